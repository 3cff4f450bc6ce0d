//! Which replica a consumer is to read, by the rack it is in (KIP-392): the choice of Kafka's `RackAwareReplicaSelector`.

use std::cmp::Reverse;

use klamm_model::{BrokerId, Offset, TopicPartition};
use klamm_replica::Replica;

use crate::{ConnectionId, node::Node};

/// Readers of a partition that are known to have been sent away. Others may be sent in circles for a while.
const SENT_AWAY_MAX: usize = 32;

impl Node {
    /// Another replica of this partition, which has what is at the offset and stands in the reader's rack; of several the one that has most. `None` where the
    /// reader is to stay here.
    ///
    /// The leader's own rack does not come here. Nor does a reader that was sent away from this very offset: it may be damaged there, or not there yet for long.
    pub(super) fn nearest(
        &self,
        key: TopicPartition,
        replica: &Replica,
        (reader, rack): (ConnectionId, &str),
        from: Offset,
    ) -> Option<BrokerId> {
        let has_come_back = || self.hosted.get(&key).is_some_and(|it| it.sent_away.contains(&(reader, from)));
        if rack.is_empty() || has_come_back() {
            return None;
        }
        // Where losses were sanctioned, a follower sends readers back until its log agrees.
        let partition = self.image.partition(key).filter(|it| !it.recovering)?;
        let is_near = |id: BrokerId| {
            let broker = self.image.broker(id).filter(|_| partition.isr.contains(&id));
            broker.is_some_and(|it| it.rack.as_deref() == Some(rack) && it.is_active())
        };
        let near = replica.read_replicas(from).filter(|it| is_near(it.id));
        near.max_by_key(|it| (it.end, it.caught_up_at, Reverse(it.id))).map(|it| it.id)
    }

    pub(super) fn note_sent_away(&mut self, key: TopicPartition, reader: ConnectionId, from: Offset) {
        let Some(hosted) = self.hosted.get_mut(&key) else { return };
        hosted.sent_away.retain(|(other, _)| *other != reader);
        if hosted.sent_away.len() == SENT_AWAY_MAX {
            hosted.sent_away.pop_front();
        }
        hosted.sent_away.push_back((reader, from));
    }
}
