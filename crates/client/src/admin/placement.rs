//! Which brokers hold a partition, and which of them leads.

use std::collections::BTreeMap;
use std::sync::Arc;

use klamm_model::BrokerId;
use klamm_wire::{
    AlterPartitionReassignmentsRequest, ElectLeadersRequest, ListPartitionReassignmentsRequest, Request,
    alter_partition_reassignments::{ReassignablePartition, ReassignableTopic},
    elect_leaders::TopicPartitions,
    list_partition_reassignments::ListPartitionReassignmentsTopics,
};

use super::ask::{ByPartition, Whom, answer, named};
use super::error::{AdminError, check};
use super::names::by_topic;
use super::topics::{brokers, numbers};
use super::{Admin, PartitionName};

/// Who may be elected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Election {
    /// The first of a partition's replicas, if it is in sync.
    Preferred,
    /// Anybody, where nobody in sync is there. Records may be lost.
    Unclean,
}

/// A partition on its way to other brokers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reassignment {
    /// Who holds it now.
    pub replicas: Vec<BrokerId>,
    /// Who is to hold it and does not yet.
    pub adding: Vec<BrokerId>,
    /// Who holds it still and is not to.
    pub removing: Vec<BrokerId>,
}

impl Admin {
    /// Elects leaders of these partitions, or of all. A partition whose leader is right already is refused with
    /// [`ErrorCode::ElectionNotNeeded`](klamm_model::ErrorCode::ElectionNotNeeded); where all were asked for, it is left out.
    pub async fn elect_leaders(
        &self,
        election: Election,
        partitions: Option<&[PartitionName]>,
    ) -> Result<ByPartition<()>, AdminError> {
        let topics = partitions.map(|partitions| {
            let topics = by_topic(partitions).into_iter();
            topics
                .map(|(topic, partitions)| TopicPartitions { topic: topic.to_string(), partitions })
                .collect()
        });
        let request = Request::ElectLeaders(ElectLeadersRequest {
            election_type: match election {
                Election::Preferred => 0,
                Election::Unclean => 1,
            },
            topic_partitions: topics,
            timeout_ms: self.change_timeout_ms(),
        });
        let read = |response| {
            let answer = answer!(response, ElectLeaders);
            check(answer.error_code, None)?;
            let mut mentioned = Vec::new();
            for topic in answer.replica_election_results {
                let name: Arc<str> = topic.topic.into();
                for partition in topic.partition_result {
                    let found = check(partition.error_code, partition.error_message);
                    mentioned.push((named(&name, partition.partition_id), found));
                }
            }
            Ok(mentioned)
        };
        let asked = partitions.unwrap_or_default().iter().cloned();
        let outcomes = self.ask_about(Whom::Controller, "election", asked, &request, read).await?;
        self.client.refresh_metadata();
        Ok(outcomes)
    }

    /// Moves partitions to other brokers, the preferred leader first; `None` takes a move back that has not ended.
    pub async fn reassign(
        &self,
        partitions: &BTreeMap<PartitionName, Option<Vec<BrokerId>>>,
    ) -> Result<ByPartition<()>, AdminError> {
        let topics = by_topic(partitions.keys()).into_iter().map(|(name, indexes)| ReassignableTopic {
            partitions: indexes
                .into_iter()
                .map(|partition_index| ReassignablePartition {
                    partition_index,
                    replicas: partitions[&named(&name, partition_index)].as_deref().map(numbers),
                })
                .collect(),
            name: name.to_string(),
        });
        let request = Request::AlterPartitionReassignments(AlterPartitionReassignmentsRequest {
            timeout_ms: self.change_timeout_ms(),
            topics: topics.collect(),
            ..AlterPartitionReassignmentsRequest::default()
        });
        let read = |response| {
            let answer = answer!(response, AlterPartitionReassignments);
            check(answer.error_code, answer.error_message)?;
            let mut mentioned = Vec::new();
            for topic in answer.responses {
                let name: Arc<str> = topic.name.into();
                for partition in topic.partitions {
                    let found = check(partition.error_code, partition.error_message);
                    mentioned.push((named(&name, partition.partition_index), found));
                }
            }
            Ok(mentioned)
        };
        let asked = partitions.keys().cloned();
        self.ask_about(Whom::Controller, "reassignment", asked, &request, read).await
    }

    /// The moves that have not ended, of these partitions or of all.
    pub async fn list_reassignments(
        &self,
        partitions: Option<&[PartitionName]>,
    ) -> Result<BTreeMap<PartitionName, Reassignment>, AdminError> {
        let topics = partitions.map(|partitions| {
            let topics = by_topic(partitions).into_iter();
            let topics = topics.map(|(name, partition_indexes)| ListPartitionReassignmentsTopics {
                name: name.to_string(),
                partition_indexes,
            });
            topics.collect()
        });
        let request = Request::ListPartitionReassignments(ListPartitionReassignmentsRequest {
            timeout_ms: self.change_timeout_ms(),
            topics,
        });
        let read = |response| {
            let answer = answer!(response, ListPartitionReassignments);
            check(answer.error_code, answer.error_message)?;
            let mut found = BTreeMap::new();
            for topic in answer.topics {
                let name: Arc<str> = topic.name.into();
                for partition in topic.partitions {
                    let reassignment = Reassignment {
                        replicas: brokers(partition.replicas),
                        adding: brokers(partition.adding_replicas),
                        removing: brokers(partition.removing_replicas),
                    };
                    found.insert(named(&name, partition.partition_index), reassignment);
                }
            }
            Ok(found)
        };
        self.ask(Whom::Controller, &request, read).await.map_err(|failure| failure.about("reassignments"))
    }
}
