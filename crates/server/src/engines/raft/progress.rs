//! How far the other members were when they were last heard, for whoever asks how the quorum is.
//!
//! Of a node that is sent entries all the time nobody ever sees that it has all of them: the last are on their way. As with Kafka it had all, when it was heard
//! before, if by now it has what there was then.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use klamm_model::BrokerId;
use klamm_quorum::{Description, ReplicaDescription};
use openraft::{RaftMetrics, ServerState};

use super::types::{Address, broker, raft_id};

/// See the module. Times are since the start of the process; it counts from when this node was elected.
#[derive(Debug, Default)]
pub(super) struct Progress {
    by_node: BTreeMap<BrokerId, Reached>,
}

#[derive(Clone, Copy, Debug)]
struct Reached {
    heard: Duration,
    /// The end of the leader's log at that time.
    end_then: u64,
    caught_up: Option<Duration>,
}

impl Progress {
    /// Another node leads, or this one anew: what was known is of the past.
    pub(super) fn forget(&mut self) {
        self.by_node.clear();
    }

    /// A member answered this node. Only to a leader does that say anything.
    pub(super) fn heard(&mut self, now: Duration, node: BrokerId, seen: &RaftMetrics<u64, Address>) {
        if seen.state == ServerState::Leader {
            self.reached(now, node, matched(seen, node), end_of(seen));
        }
    }

    /// A member was heard; it has what is before `matched`, and this node, the leader, what is before `end`.
    fn reached(&mut self, now: Duration, node: BrokerId, matched: Option<u64>, end: u64) {
        let before = self.by_node.get(&node).copied();
        let has = |position| matched.is_some_and(|matched| position <= matched);
        let caught_up = if has(end) {
            Some(now)
        } else {
            before.and_then(|it| if has(it.end_then) { Some(it.heard) } else { it.caught_up })
        };
        self.by_node.insert(node, Reached { heard: now, end_then: end, caught_up });
    }

    /// For how long a member has been silent.
    fn heard_ago(&self, now: Duration, node: BrokerId) -> Option<Duration> {
        self.by_node.get(&node).map(|it| now.saturating_sub(it.heard))
    }

    /// How long ago it had all that the leader had.
    pub(super) fn caught_up_ago(&self, now: Duration, node: BrokerId) -> Option<Duration> {
        self.by_node.get(&node)?.caught_up.map(|at| now.saturating_sub(at))
    }

    /// The quorum as this node, `me`, knows it; of the others it knows much only if it leads.
    pub(super) fn describe(
        &self,
        now: Duration,
        me: BrokerId,
        seen: &RaftMetrics<u64, Address>,
    ) -> Description {
        let ms = |it: Duration| u64::try_from(it.as_millis()).unwrap_or(u64::MAX);
        let membership = seen.membership_config.membership();
        let voters: BTreeSet<u64> = membership.voter_ids().collect();
        let replica = |(number, address): (&u64, &Address)| {
            let id = broker(*number);
            let own = (id == me).then_some(Duration::ZERO);
            ReplicaDescription {
                id,
                directory: Some(address.directory),
                is_voter: voters.contains(number),
                end: if id == me { Some(end_of(seen)) } else { matched(seen, id) },
                heard_ms: own.or_else(|| self.heard_ago(now, id)).map(ms),
                caught_up_ms: own.or_else(|| self.caught_up_ago(now, id)).map(ms),
                address: Some((address.host.clone(), address.port)),
            }
        };
        let committed = seen.last_applied.map_or(0, |it| it.index + 1);
        Description { committed, replicas: membership.nodes().map(replica).collect() }
    }
}

/// Where this node's log ends.
fn end_of(seen: &RaftMetrics<u64, Address>) -> u64 {
    seen.last_log_index.map_or(0, |last| last + 1)
}

/// Up to where another node has what this one, its leader, has; `None` where nothing is known.
fn matched(seen: &RaftMetrics<u64, Address>, node: BrokerId) -> Option<u64> {
    let known = seen.replication.as_ref()?.get(&raft_id(node))?;
    Some(known.map_or(0, |it| it.index + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: BrokerId = BrokerId(1);

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn who_has_all_there_was_when_it_was_heard_before_had_all_then() {
        let mut progress = Progress::default();
        let ago = |it: &Progress, now| (it.heard_ago(ms(now), ONE), it.caught_up_ago(ms(now), ONE));
        assert_eq!(ago(&progress, 5), (None, None));
        progress.reached(ms(10), ONE, None, 4);
        assert_eq!(ago(&progress, 11), (Some(ms(1)), None), "nothing is known to be there");
        progress.reached(ms(20), ONE, Some(4), 6);
        assert_eq!(ago(&progress, 20), (Some(ms(0)), Some(ms(10))), "it has what there was at 10");
        progress.reached(ms(30), ONE, Some(5), 8);
        assert_eq!(ago(&progress, 30), (Some(ms(0)), Some(ms(20))), "it falls behind");
        progress.reached(ms(40), ONE, Some(8), 8);
        assert_eq!(ago(&progress, 41), (Some(ms(1)), Some(ms(1))));
        progress.forget();
        assert_eq!(ago(&progress, 50), (None, None));
    }
}
