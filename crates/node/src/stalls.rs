//! Partitions in which nothing is committed while this broker is cut off from the others.
//!
//! Clients may well reach it. Another broker leads by then, most likely, which it cannot hear of: whoever waits here for a commit waits for as long as the cut
//! lasts. So producers are told, after a session, that it does not lead, and ask others who does. What was appended may still be committed, as after any
//! election: a producer that numbers its batches may send them again anywhere, and others are told by this very code that they may be stored twice.
//!
//! librdkafka asks for metadata where it has sent something last, and that is here as long as it writes to nobody else: whoever comes again and again on the same
//! connection is dismissed, and asks somewhere else.
//!
//! Where commits go on nobody is sent away, however long no controller was heard: without a majority of them nobody else is going to lead.

use std::collections::{BTreeMap, BTreeSet};

use klamm_model::{ErrorCode, Tick, TopicPartition};
use klamm_replica::Role;

use crate::{ConnectionId, Effect, Now, node::Node};

/// Who was sent away finds another leader sooner, if it asks another broker.
const COMES_AGAIN_MS: u64 = 500;

/// A connection may have gone before it is noted, while its batch was unpacked.
const NOTED_MS_MAX: u64 = 60_000;

/// Connections on which producers were sent away, as nothing is committed: since when.
#[derive(Debug, Default)]
pub(crate) struct SentAway(BTreeMap<ConnectionId, Tick>);

impl SentAway {
    /// Somebody is sent away. Whether it comes again, and ought to be somewhere else.
    pub(crate) fn comes_again(&mut self, now: Tick, connection: ConnectionId) -> bool {
        let first = *self.0.entry(connection).or_insert(now);
        COMES_AGAIN_MS <= now.ms_since(first)
    }

    fn forget_old(&mut self, now: Tick) {
        self.0.retain(|_, first| now.ms_since(*first) < NOTED_MS_MAX);
    }

    pub(crate) fn forget(&mut self, connection: ConnectionId) {
        self.0.remove(&connection);
    }
}

impl Node {
    /// Now and then: who has waited for a session in vain waits no more.
    pub(crate) fn look_for_stalls(
        &mut self,
        now: Now,
        among: &BTreeSet<TopicPartition>,
        out: &mut Vec<Effect>,
    ) {
        let is_cut_off = self.is_cut_off(now.tick);
        if !is_cut_off {
            self.sent_away = SentAway::default();
        }
        self.sent_away.forget_old(now.tick);
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
