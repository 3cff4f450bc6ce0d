//! What producers are told by a leader that is cut off.

use klamm_model::{ErrorCode, PartitionIndex, TopicPartition};
use klamm_replica::Role;
use klamm_wire::{ProduceResponse, produce::PartitionProduceResponse};

use super::World;
use crate::{broker_id, timeline::Life};

impl World {
    /// Counts where a leader says that it is none, as nobody hears it; and where nobody leads in its place, so that it was for nothing.
    pub(super) fn note_sent_away(&mut self, life: Life, response: &ProduceResponse) {
        let Some(process) = &self.machines[life.node].process else { return };
        let newest = self.checker.replicas.newest_image();
        // With a message it is about something else.
        let is_away = |it: &&PartitionProduceResponse| {
            it.error_code == ErrorCode::NotLeaderOrFollower.code() && it.error_message.is_none()
        };
        for topic in &response.responses {
            let named = process.node.image().topic_named(&topic.name).map(|it| it.id);
            let topic_id = named.unwrap_or(topic.topic_id);
            for it in topic.partition_responses.iter().filter(is_away) {
                let key = TopicPartition { topic: topic_id, partition: PartitionIndex(it.index) };
                let role = process.node.replica(key).map(|replica| replica.role());
                if !matches!(role, Some(Role::Leader { .. })) {
                    continue;
                }
                self.timeline.coverage.count("producer sent away by a leader that is cut off");
                let leader = newest.partition(key).and_then(|it| it.leader);
                self.timeline.note(format_args!("{life} sends a producer away from {key}, of {leader:?}"));
                if leader == Some(broker_id(life.node)) {
                    self.timeline.coverage.count("producer sent away by a leader that nobody replaces");
                }
            }
        }
    }
}
