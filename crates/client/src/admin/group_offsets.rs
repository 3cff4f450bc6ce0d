//! What groups have committed: look at it, set it, take it away.

use std::collections::BTreeMap;
use std::sync::Arc;

use klamm_model::{ErrorCode, LeaderEpoch, Offset};
use klamm_wire::{
    OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest, OffsetFetchResponse, Request, Response,
    offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic},
    offset_delete::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic},
    offset_fetch::{OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics},
};

use super::ask::{ByPartition, Mentioned, answer, named};
use super::error::{AdminError, Failure, check};
use super::names::by_topic;
use super::{Admin, PartitionName};
use crate::call::CallError;

/// Who commits so is in no generation of the group.
const NO_GENERATION: i32 = -1;

/// How far a group has read a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommittedOffset {
    /// The first record that is not done.
    pub offset: Offset,
    /// The epoch of the last record that is done, if whoever committed said it.
    pub leader_epoch: Option<LeaderEpoch>,
    /// What whoever committed added.
    pub metadata: String,
}

impl From<Offset> for CommittedOffset {
    fn from(offset: Offset) -> Self {
        Self { offset, leader_epoch: None, metadata: String::new() }
    }
}

impl Admin {
    /// What the group has committed for these partitions, or for all that it has committed any for. `None`: nothing. A group that there is not
    /// has committed nothing.
    pub async fn group_offsets(
        &self,
        group: &str,
        partitions: Option<&[PartitionName]>,
    ) -> Result<ByPartition<Option<CommittedOffset>>, AdminError> {
        let topics = partitions.map(by_topic);
        let request = Request::OffsetFetch(fetch(group, topics.as_ref()));
        let fetched = match self.ask_coordinator(group, &request, read_offsets).await {
            Err(AdminError::Call(CallError::Unencodable { .. })) => {
                let request = Request::OffsetFetch(fetch_of_one(group, topics.as_ref()));
                self.ask_coordinator(group, &request, read_offsets).await
            }
            fetched => fetched,
        };
        Ok(outcomes(fetched?, partitions.unwrap_or_default()))
    }

    /// Has the group go on at these offsets. Only a group without members takes that: who has any says [`ErrorCode::UnknownMemberId`]. A group
    /// that there is not is made.
    pub async fn alter_group_offsets(
        &self,
        group: &str,
        offsets: &BTreeMap<PartitionName, CommittedOffset>,
    ) -> Result<ByPartition<()>, AdminError> {
        let request = Request::OffsetCommit(OffsetCommitRequest {
            group_id: group.to_owned(),
            generation_id_or_member_epoch: NO_GENERATION,
            topics: topics_to_commit(offsets),
            ..Default::default()
        });
        let read = |response| {
            let mut mentioned = Vec::new();
            for topic in answer!(response, OffsetCommit).topics {
                let name: Arc<str> = topic.name.into();
                for partition in topic.partitions {
                    mentioned
                        .push((named(&name, partition.partition_index), check(partition.error_code, None)));
                }
            }
            unless_elsewhere(mentioned)
        };
        let altered = self.ask_coordinator(group, &request, read).await?;
        Ok(outcomes(altered, offsets.keys()))
    }

    /// Has the group forget what it has committed for these partitions. Where members read the topic, it fails with
    /// [`ErrorCode::GroupSubscribedToTopic`].
    pub async fn delete_group_offsets(
        &self,
        group: &str,
        partitions: &[PartitionName],
    ) -> Result<ByPartition<()>, AdminError> {
        let topics = by_topic(partitions).into_iter().map(|(name, partitions)| OffsetDeleteRequestTopic {
            name: name.to_string(),
            partitions: partitions
                .into_iter()
                .map(|partition_index| OffsetDeleteRequestPartition { partition_index })
                .collect(),
        });
        let request = Request::OffsetDelete(OffsetDeleteRequest {
            group_id: group.to_owned(),
            topics: topics.collect(),
        });
        let read = |response| {
            let answer = answer!(response, OffsetDelete);
            check(answer.error_code, None)?;
            let mut mentioned = Vec::new();
            for topic in answer.topics {
                let name: Arc<str> = topic.name.into();
                for partition in topic.partitions {
                    mentioned
                        .push((named(&name, partition.partition_index), check(partition.error_code, None)));
                }
            }
            Ok(mentioned)
        };
        let deleted = self.ask_coordinator(group, &request, read).await?;
        Ok(outcomes(deleted, partitions))
    }
}

type Topics = BTreeMap<Arc<str>, Vec<i32>>;

/// The offsets as OffsetCommit wants them.
pub(crate) fn topics_to_commit(
    offsets: &BTreeMap<PartitionName, CommittedOffset>,
) -> Vec<OffsetCommitRequestTopic> {
    let partition_of = |name: &Arc<str>, partition_index| {
        let committed = &offsets[&named(name, partition_index)];
        OffsetCommitRequestPartition {
            partition_index,
            committed_offset: committed.offset.raw(),
            committed_leader_epoch: committed.leader_epoch.map_or(-1, |epoch| epoch.0),
            committed_metadata: Some(committed.metadata.clone()),
        }
    };
    let topics = by_topic(offsets.keys()).into_iter().map(|(name, partitions)| OffsetCommitRequestTopic {
        partitions: partitions.into_iter().map(|partition| partition_of(&name, partition)).collect(),
        name: name.to_string(),
        ..Default::default()
    });
    topics.collect()
}

/// Asks what a group has committed for these partitions, or for all.
pub(crate) fn fetch(group: &str, topics: Option<&Topics>) -> OffsetFetchRequest {
    let topic = |(name, partitions): (&Arc<str>, &Vec<i32>)| OffsetFetchRequestTopics {
        name: name.to_string(),
        partition_indexes: partitions.clone(),
        ..Default::default()
    };
    let groups = vec![OffsetFetchRequestGroup {
        group_id: group.to_owned(),
        topics: topics.map(|topics| topics.iter().map(topic).collect()),
        ..Default::default()
    }];
    OffsetFetchRequest { groups, ..Default::default() }
}

/// The same for brokers before 3.0, which are asked about one group that travels elsewhere in the request.
pub(crate) fn fetch_of_one(group: &str, topics: Option<&Topics>) -> OffsetFetchRequest {
    let topic = |(name, partitions): (&Arc<str>, &Vec<i32>)| OffsetFetchRequestTopic {
        name: name.to_string(),
        partition_indexes: partitions.clone(),
    };
    let topics = topics.map(|topics| topics.iter().map(topic).collect());
    OffsetFetchRequest { group_id: group.to_owned(), topics, ..Default::default() }
}

/// What an answer to either tells of each partition, or the error of all.
pub(crate) fn told_offsets(answer: OffsetFetchResponse) -> Result<Vec<ToldOffset>, i16> {
    if answer.error_code != 0 {
        return Err(answer.error_code);
    }
    let mut told = Vec::new();
    let mut tell = |topic: &Arc<str>, partition, error_code, (offset, leader_epoch, metadata)| {
        let committed = Offset::from_wire(offset).map(|offset| CommittedOffset {
            offset,
            leader_epoch: LeaderEpoch::from_wire(leader_epoch),
            metadata: Option::unwrap_or_default(metadata),
        });
        told.push((named(topic, partition), error_code, committed));
    };
    for group in answer.groups {
        if group.error_code != 0 {
            return Err(group.error_code);
        }
        for topic in group.topics {
            let name: Arc<str> = topic.name.into();
            for it in topic.partitions {
                let committed = (it.committed_offset, it.committed_leader_epoch, it.metadata);
                tell(&name, it.partition_index, it.error_code, committed);
            }
        }
    }
    for topic in answer.topics {
        let name: Arc<str> = topic.name.into();
        for it in topic.partitions {
            let committed = (it.committed_offset, it.committed_leader_epoch, it.metadata);
            tell(&name, it.partition_index, it.error_code, committed);
        }
    }
    Ok(told)
}

/// A partition, its error code, and what is committed for it, if anything is.
pub(crate) type ToldOffset = (PartitionName, i16, Option<CommittedOffset>);

fn read_offsets(response: Response) -> Result<Mentioned<Option<CommittedOffset>>, Failure> {
    let told = told_offsets(answer!(response, OffsetFetch)).map_err(|code| Failure::of(code, None))?;
    let mention = |(name, code, committed)| (name, check(code, None).map(|()| committed));
    unless_elsewhere(told.into_iter().map(mention).collect())
}

/// A broker that does not keep the group, or not yet, says so of every partition.
fn unless_elsewhere<T>(mentioned: Mentioned<T>) -> Result<Mentioned<T>, Failure> {
    use ErrorCode::{CoordinatorLoadInProgress, CoordinatorNotAvailable, NotCoordinator};
    match mentioned.first() {
        Some((
            _,
            Err(
                failure @ Failure::Refused {
                    code: NotCoordinator | CoordinatorNotAvailable | CoordinatorLoadInProgress,
                    ..
                },
            ),
        )) => Err(failure.clone()),
        _ => Ok(mentioned),
    }
}

/// What was said of each partition; what was not said of one that was asked for is an error.
fn outcomes<'a, T>(
    mentioned: Mentioned<T>,
    asked: impl IntoIterator<Item = &'a PartitionName>,
) -> ByPartition<T> {
    let about = |(partition, found): (PartitionName, Result<T, Failure>)| {
        let found = found.map_err(|failure| failure.about(&partition));
        (partition, found)
    };
    let mut outcomes: ByPartition<T> = mentioned.into_iter().map(about).collect();
    for partition in asked {
        outcomes.entry(partition.clone()).or_insert_with_key(|it| Err(Failure::silent().about(it)));
    }
    outcomes
}
