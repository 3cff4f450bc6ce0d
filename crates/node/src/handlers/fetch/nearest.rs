//! Which replica a consumer is to read, by the rack it is in (KIP-392): the choice of Kafka's `RackAwareReplicaSelector`.

use std::cmp::Reverse;

use klamm_model::{BrokerId, Offset, TopicPartition};
use klamm_replica::Replica;

use crate::node::Node;

impl Node {
    /// Another replica of this partition, which has what is at the offset and stands in the reader's rack; of several the one that has most. `None` where the
    /// reader is to stay here.
    ///
    /// The leader's own rack does not come here.
    pub(super) fn nearest(
        &self,
        key: TopicPartition,
        replica: &Replica,
        rack: &str,
        from: Offset,
    ) -> Option<BrokerId> {
        if rack.is_empty() {
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
}
