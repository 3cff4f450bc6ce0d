//! What operators see of a group.

use super::Consumer;
use super::partitions::by_topic;
use crate::group::{ConsumerDescription, DescribedConsumer, GroupConfig, GroupType, Listed};

impl Consumer {
    pub(in crate::group) fn describe(&self, config: &GroupConfig) -> ConsumerDescription {
        let members = self.members.iter().map(|(id, member)| DescribedConsumer {
            id: id.to_string(),
            epoch: member.has.epoch,
            said: member.said.clone(),
            assigned: by_topic(member.has.assigned.keys()),
            target: by_topic(&member.target),
        });
        ConsumerDescription {
            state: self.state(),
            epoch: self.epoch,
            assignment_epoch: self.target.epoch,
            assignor: self.assignor(&config.consumer_assignors).name(),
            members: members.collect(),
        }
    }

    pub(in crate::group) fn list(&self) -> Listed {
        Listed {
            group: self.name.to_string(),
            protocol_type: "consumer".to_owned(),
            state: self.state(),
            group_type: GroupType::Consumer,
        }
    }
}
