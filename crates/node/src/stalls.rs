//! Partitions in which nothing is committed while this broker is cut off from the others.
//!
//! Clients may well reach it. Another broker leads by then, most likely, which it cannot hear of: whoever waits here for a commit waits for as long as the cut
//! lasts. So producers are told, after a session, that it does not lead, and ask others who does. What was appended may still be committed, as after any
//! election: a producer that numbers its batches may send them again anywhere, and others are told by this very code that they may be stored twice.
//!
//! Where commits go on nobody is sent away, however long no controller was heard: without a majority of them nobody else is going to lead.

use std::collections::BTreeSet;

use klamm_model::{ErrorCode, Tick, TopicPartition};
use klamm_replica::Role;

use crate::{Effect, Now, node::Node};

impl Node {
    /// Now and then: who has waited for a session in vain waits no more.
    pub(crate) fn look_for_stalls(
        &mut self,
        now: Now,
        among: &BTreeSet<TopicPartition>,
        out: &mut Vec<Effect>,
    ) {
        let is_cut_off = self.is_cut_off(now.tick);
        let session_ms = self.config.session_timeout_ms;
        let mut stalled = 0;
        for key in among {
            let Some(hosted) = self.hosted.get_mut(key) else { continue };
            let leads_others =
                matches!(hosted.replica.role(), Role::Leader { .. }) && hosted.replica_count > 1;
            if !is_cut_off || !leads_others {
                hosted.stalled_at = None;
                continue;
            }
            if hosted.waits_in_vain_since().is_none_or(|since| now.tick.ms_since(since) < session_ms) {
                continue;
            }
            stalled += usize::from(hosted.stalled_at.is_none());
            hosted.stalled_at = Some(hosted.replica.high_watermark());
            for wait in hosted.take_committed_waits() {
                self.fail_wait(&wait, ErrorCode::NotLeaderOrFollower, out);
            }
        }
        self.look_at_held(now, is_cut_off);
        if 0 < stalled {
            tracing::warn!(
                partitions = stalled,
                "nothing is committed, and no controller hears this broker: producers are told to look for other leaders"
            );
        }
    }

    /// Whether what is appended here now would wait in vain.
    pub(crate) fn is_stalled(&self, now: Tick, key: TopicPartition) -> bool {
        let stalled_at = self.hosted.get(&key).and_then(|hosted| Some((hosted, hosted.stalled_at?)));
        stalled_at.is_some_and(|(hosted, at)| hosted.replica.high_watermark() == at) && self.is_cut_off(now)
    }
}
