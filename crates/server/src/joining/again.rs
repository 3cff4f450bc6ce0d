//! A node of a cluster asks to be let in again, when its engine says so: each time all whom it knows of, who pass it on to the quorum's leader as they do for one who is new, or call it where it is now.
//!
//! A copy of another process's disk says nothing as long as that one answers where the members call it: called by mistake, it could give that one's vote a second time.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Weak,
        mpsc::{SyncSender, sync_channel},
    },
};

use super::{
    ask::{ask, spawn},
    twin::{Answers, who_answers},
};
use crate::{engines::raft::Member, peers, shared::Shared, start::StartError};

/// Gives what has all of them asked once more. What is called for while they are being asked already is not done twice.
pub(crate) fn ask_again(shared: &Arc<Shared>) -> Result<Box<dyn FnMut() + Send>, StartError> {
    let (again, is_wanted): (SyncSender<()>, _) = sync_channel(0);
    // It ends with the engine, and keeps nothing of the server until then.
    let (greeter, engine) = (Arc::clone(&shared.greeter), shared.engine.clone());
    let own = Member::of(&shared.config.node).map(|it| (it.host, it.port));
    let shared = Arc::downgrade(shared);
    spawn("ask", move || {
        let (mut refusal, mut has_twin) = (None, false);
        while is_wanted.recv().is_ok() {
            let called = engine.address_of(greeter.me.node).filter(|it| own.as_ref() != Some(it));
            if let Some((host, port)) = called.filter(|it| who_answers(it, &greeter) == Answers::Twin) {
                if !std::mem::replace(&mut has_twin, true) {
                    tracing::warn!(
                        host,
                        port,
                        "another process with the same disk answers where the members call this node: they are not told of this one"
                    );
                }
                continue;
            }
            has_twin = false;
            for (host, port) in known(&shared, own.as_ref()) {
                let refused = match ask(&host, port, &greeter) {
                    Ok(answer) => answer.refused,
                    Err(error) => {
                        tracing::debug!(host, port, %error, "cannot ask to be let in");
                        continue;
                    }
                };
                if let Some(why) = refused.filter(|it| refusal.as_ref() != Some(it)) {
                    tracing::warn!(host, port, why, "this node is not let in");
                    refusal = Some(why);
                }
            }
        }
    })?;
    Ok(Box::new(move || {
        // They are being asked already.
        let _ = again.try_send(());
    }))
}

/// Where other nodes are, by the quorum's members as this node knows them, by its metadata, and by what it was told to join.
fn known(shared: &Weak<Shared>, own: Option<&(String, u16)>) -> BTreeSet<(String, u16)> {
    let Some(shared) = shared.upgrade() else { return BTreeSet::new() };
    let view = shared.monitor.view().load();
    let brokers = view.iter().flat_map(|view| {
        view.image.brokers().filter_map(|it| peers::address(view, it.id)).collect::<Vec<_>>()
    });
    let mut known: BTreeSet<_> =
        shared.engine.addresses().into_iter().chain(brokers).chain(shared.config.join.clone()).collect();
    own.map(|own| known.remove(own));
    known
}
