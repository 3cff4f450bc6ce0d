//! Offsets: find them, and delete the records before them.

use std::collections::BTreeMap;
use std::sync::Arc;

use klamm_model::{LeaderEpoch, Offset, Timestamp};
use klamm_wire::{
    DeleteRecordsRequest, ListOffsetsRequest, Request,
    delete_records::{DeleteRecordsPartition, DeleteRecordsTopic},
    list_offsets::{ListOffsetsPartition, ListOffsetsTopic},
};

use super::ask::{ByPartition, answer, named};
use super::error::{AdminError, check};
use super::names::by_topic;
use super::{Admin, PartitionName};
use crate::consumer::Isolation;

/// Consumers ask with this; followers have a number.
const NO_REPLICA: i32 = -1;
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;
/// What DeleteRecords calls the high watermark.
const HIGH_WATERMARK: i64 = -1;

/// Which offset of a partition is looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OffsetQuestion {
    /// The first record's.
    Earliest,
    /// The one after the last record that consumers see.
    Latest,
    /// The one after the last record that consumers see who read only what is committed.
    LatestCommitted,
    /// The first record's that is not older.
    Since(Timestamp),
    /// Of the record with the highest timestamp (Kafka 3.0 and newer).
    MaxTimestamp,
    /// The first record's that is on the leader's own disk (KIP-405).
    EarliestLocal,
    /// Of the last record that is in remote storage (KIP-1005).
    LatestTiered,
    /// Of the first record that is to go to remote storage and has not (KIP-1023).
    EarliestPendingUpload,
}

impl OffsetQuestion {
    fn wire(self) -> i64 {
        match self {
            Self::Earliest => EARLIEST,
            Self::Latest | Self::LatestCommitted => LATEST,
            Self::Since(timestamp) => timestamp.0.max(0),
            Self::MaxTimestamp => MAX_TIMESTAMP,
            Self::EarliestLocal => EARLIEST_LOCAL,
            Self::LatestTiered => LATEST_TIERED,
            Self::EarliestPendingUpload => EARLIEST_PENDING_UPLOAD,
        }
    }

    fn isolation(self) -> Isolation {
        match self {
            Self::LatestCommitted => Isolation::ReadCommitted,
            _ => Isolation::ReadUncommitted,
        }
    }
}

/// An offset that was looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListedOffset {
    /// The offset; `None` if no record is so new.
    pub offset: Option<Offset>,
    /// The timestamp of that record, where one was looked for by time.
    pub timestamp: Option<Timestamp>,
    /// The epoch of that record, if the broker says.
    pub leader_epoch: Option<LeaderEpoch>,
}

/// How far records are deleted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TrimTo {
    /// Everything before this offset.
    Offset(Offset),
    /// Everything that consumers see.
    End,
}

impl Admin {
    /// Asks for an offset of every partition.
    pub async fn list_offsets(
        &self,
        partitions: impl IntoIterator<Item = PartitionName>,
        question: OffsetQuestion,
    ) -> Result<ByPartition<ListedOffset>, AdminError> {
        let timeout_ms = self.change_timeout_ms();
        let request = |partitions: &[PartitionName]| {
            let topics = by_topic(partitions).into_iter().map(|(name, partitions)| ListOffsetsTopic {
                name: name.to_string(),
                partitions: partitions
                    .into_iter()
                    .map(|partition_index| ListOffsetsPartition {
                        partition_index,
                        timestamp: question.wire(),
                        ..ListOffsetsPartition::default()
                    })
                    .collect(),
            });
            Request::ListOffsets(ListOffsetsRequest {
                replica_id: NO_REPLICA,
                isolation_level: question.isolation().to_wire(),
                topics: topics.collect(),
                timeout_ms,
                ..ListOffsetsRequest::default()
            })
        };
        self.ask_leaders(partitions, request, |response| {
            let mut mentioned = Vec::new();
            for topic in answer!(response, ListOffsets).topics {
                let name: Arc<str> = topic.name.into();
                for partition in topic.partitions {
                    let found = check(partition.error_code, None).map(|()| ListedOffset {
                        offset: Offset::from_wire(partition.offset),
                        timestamp: (partition.timestamp >= 0).then_some(Timestamp(partition.timestamp)),
                        leader_epoch: LeaderEpoch::from_wire(partition.leader_epoch),
                    });
                    mentioned.push((named(&name, partition.partition_index), found));
                }
            }
            mentioned
        })
        .await
    }

    /// Deletes the oldest records. Says where each partition starts afterwards.
    pub async fn delete_records(
        &self,
        partitions: &BTreeMap<PartitionName, TrimTo>,
    ) -> Result<ByPartition<Offset>, AdminError> {
        let timeout_ms = self.change_timeout_ms();
        let partition_of = |name: &Arc<str>, partition_index| {
            let offset = match partitions[&named(name, partition_index)] {
                TrimTo::Offset(offset) => offset.raw(),
                TrimTo::End => HIGH_WATERMARK,
            };
            DeleteRecordsPartition { partition_index, offset }
        };
        let request = |partitions: &[PartitionName]| {
            let topics = by_topic(partitions).into_iter().map(|(name, partitions)| DeleteRecordsTopic {
                partitions: partitions.into_iter().map(|partition| partition_of(&name, partition)).collect(),
                name: name.to_string(),
            });
            Request::DeleteRecords(DeleteRecordsRequest { topics: topics.collect(), timeout_ms })
        };
        self.ask_leaders(partitions.keys().cloned(), request, |response| {
            let mut mentioned = Vec::new();
            for topic in answer!(response, DeleteRecords).topics {
                let name: Arc<str> = topic.name.into();
                for partition in topic.partitions {
                    let start = Offset::from_wire(partition.low_watermark).unwrap_or_default();
                    let found = check(partition.error_code, None).map(|()| start);
                    mentioned.push((named(&name, partition.partition_index), found));
                }
            }
            mentioned
        })
        .await
    }
}
