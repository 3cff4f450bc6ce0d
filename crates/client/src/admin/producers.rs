//! Producers that a partition remembers.

use std::sync::Arc;

use klamm_model::{LeaderEpoch, Offset, ProducerId, Timestamp};
use klamm_wire::{DescribeProducersRequest, Request, describe_producers::TopicRequest};

use super::ask::{ByPartition, answer, named};
use super::error::{AdminError, check};
use super::names::by_topic;
use super::{Admin, PartitionName};

/// An idempotent or transactional producer that a partition remembers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ActiveProducer {
    /// Its number.
    pub id: ProducerId,
    /// Its session.
    pub epoch: i32,
    /// The sequence number of its last record; `None` if there is none.
    pub last_sequence: Option<i32>,
    /// The timestamp of its last batch.
    pub last_timestamp: Option<Timestamp>,
    /// Where its open transaction begins, if it has one.
    pub transaction_start: Option<Offset>,
    /// Under which leadership its transactions' coordinator last wrote a mark here, if it ever did.
    pub coordinator_epoch: Option<LeaderEpoch>,
}

impl Admin {
    /// The producers that each partition remembers.
    pub async fn describe_producers(
        &self,
        partitions: impl IntoIterator<Item = PartitionName>,
    ) -> Result<ByPartition<Vec<ActiveProducer>>, AdminError> {
        let request = |partitions: &[PartitionName]| {
            let topics = by_topic(partitions)
                .into_iter()
                .map(|(name, partition_indexes)| TopicRequest { name: name.to_string(), partition_indexes });
            Request::DescribeProducers(DescribeProducersRequest { topics: topics.collect() })
        };
        self.ask_leaders(partitions, request, |response| {
            let mut mentioned = Vec::new();
            for topic in answer!(response, DescribeProducers).topics {
                let name: Arc<str> = topic.name.into();
                for partition in topic.partitions {
                    let producers = partition.active_producers.into_iter().filter_map(|producer| {
                        Some(ActiveProducer {
                            id: ProducerId::from_wire(producer.producer_id)?,
                            epoch: producer.producer_epoch,
                            last_sequence: (producer.last_sequence >= 0).then_some(producer.last_sequence),
                            last_timestamp: (producer.last_timestamp >= 0)
                                .then_some(Timestamp(producer.last_timestamp)),
                            transaction_start: Offset::from_wire(producer.current_txn_start_offset),
                            coordinator_epoch: (producer.coordinator_epoch >= 0)
                                .then_some(LeaderEpoch(producer.coordinator_epoch)),
                        })
                    });
                    let producers = producers.collect();
                    let found = check(partition.error_code, partition.error_message).map(|()| producers);
                    mentioned.push((named(&name, partition.partition_index), found));
                }
            }
            mentioned
        })
        .await
    }
}
