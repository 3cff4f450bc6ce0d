//! Kafka's requests about the offsets of groups, as a coordinator's shards understand them, and what their answers say.

use std::sync::Arc;

use klamm_cluster::{Image, image::Topic};
use klamm_coordinator::{
    group::{
        ByTopic, Commit, DeleteOffsets, FetchOffsets, GroupError, NewOffset, OfTopic, Request as Asked,
        TxnCommit,
    },
    record::CommittedOffset,
};
use klamm_model::{
    ErrorCode, LeaderEpoch, Offset, PartitionIndex, Producer, ProducerEpoch, ProducerId, TopicId,
};
use klamm_wire::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, OffsetFetchRequest,
    OffsetFetchResponse, Response, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
    offset_commit::{OffsetCommitRequestPartition, OffsetCommitResponsePartition, OffsetCommitResponseTopic},
    offset_delete::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic},
    offset_fetch::{
        OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponseGroup,
        OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
        OffsetFetchResponseTopics,
    },
    txn_offset_commit::{TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic},
};

use super::groups::{Parts, Whom, code, identity};
use crate::{coordinators, errors::ToCode};

/// From these versions on, topics are named by their ids.
const COMMIT_BY_ID: i16 = 10;
const FETCH_BY_ID: i16 = 10;
/// From this version on, members are in epochs, and may be told that there is no such group (KIP-848).
const COMMIT_KNOWS_EPOCHS: i16 = 9;
/// From this version on, several groups may be asked for at once (KIP-709).
const FETCH_GROUPS: i16 = 8;

pub(super) fn commit(request: OffsetCommitRequest, version: i16, image: &Image) -> Parts {
    let mut response = OffsetCommitResponse::default();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let known = match version >= COMMIT_BY_ID {
            true => image.topic(topic.topic_id),
            false => image.topic_named(&topic.name),
        };
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        let mut answers = Vec::with_capacity(topic.partitions.len());
        for partition in topic.partitions {
            let index = PartitionIndex(partition.partition_index);
            let why_not = why_not(known, index, version >= COMMIT_BY_ID);
            if why_not == ErrorCode::None {
                partitions.push((index, new_offset(partition)));
            }
            answers
                .push(OffsetCommitResponsePartition { partition_index: index.0, error_code: why_not.code() });
        }
        if let Some(known) = known.filter(|_| !partitions.is_empty()) {
            topics.push(OfTopic { topic: known.name.to_string(), id: Some(known.id), partitions });
        }
        response.topics.push(OffsetCommitResponseTopic {
            name: topic.name,
            topic_id: topic.topic_id,
            partitions: answers,
        });
    }
    let response = Response::OffsetCommit(response);
    if topics.is_empty() {
        return Parts { response, parts: Vec::new() };
    }
    let asked = Commit {
        group: request.group_id.clone(),
        member: identity(request.member_id, request.group_instance_id, request.generation_id_or_member_epoch),
        knows_epochs: COMMIT_KNOWS_EPOCHS <= version,
        retention_ms: u64::try_from(request.retention_time_ms).ok(),
        topics,
    };
    Parts::one(response, &request.group_id, Asked::Commit(asked))
}

fn why_not(topic: Option<&Arc<Topic>>, index: PartitionIndex, is_by_id: bool) -> ErrorCode {
    match topic {
        None if is_by_id => ErrorCode::UnknownTopicId,
        None => ErrorCode::UnknownTopicOrPartition,
        Some(topic) if topic.partition(index).is_none() => ErrorCode::UnknownTopicOrPartition,
        Some(_) => ErrorCode::None,
    }
}

fn new_offset(partition: OffsetCommitRequestPartition) -> NewOffset {
    NewOffset {
        offset: Offset::from_wire(partition.committed_offset),
        leader_epoch: LeaderEpoch::from_wire(partition.committed_leader_epoch),
        metadata: partition.committed_metadata.unwrap_or_default(),
    }
}

/// The partitions that the shard was asked for are those without an error so far, in their order.
pub(super) fn committed(
    response: &mut OffsetCommitResponse,
    version: i16,
    result: Result<ByTopic<Result<(), GroupError>>, GroupError>,
) {
    let told = match result {
        Ok(told) => told,
        // A member of a group that is not there is told of its generation, until it could be told of its group.
        Err(GroupError::UnknownGroup { .. }) if version < COMMIT_KNOWS_EPOCHS => {
            return not_committed(response, ErrorCode::IllegalGeneration.code());
        }
        Err(error) => return not_committed(response, error.code().code()),
    };
    let told = told.into_iter().flat_map(|topic| topic.partitions);
    for (place, (index, result)) in open(response).zip(told) {
        assert_eq!(place.partition_index, index.0, "answers come in the order of the questions");
        place.error_code = code(result.err());
    }
}

pub(super) fn not_committed(response: &mut OffsetCommitResponse, why: i16) {
    open(response).for_each(|place| place.error_code = why);
}

fn open(response: &mut OffsetCommitResponse) -> impl Iterator<Item = &mut OffsetCommitResponsePartition> {
    let places = response.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
    places.filter(|place| place.error_code == ErrorCode::None.code())
}

pub(super) fn fetch(request: OffsetFetchRequest, version: i16, image: &Image) -> Parts {
    let require_stable = request.require_stable;
    if version < FETCH_GROUPS {
        return fetch_of_one(request, version);
    }
    let mut response = OffsetFetchResponse::default();
    let mut parts = Vec::with_capacity(request.groups.len());
    for OffsetFetchRequestGroup { group_id, topics, member_id, member_epoch } in request.groups {
        let mut answer = OffsetFetchResponseGroup { group_id: group_id.clone(), ..Default::default() };
        let topics = topics.map(|topics| {
            let known = topics.into_iter().filter_map(|topic| known(topic, version, image, &mut answer));
            known.collect::<Vec<_>>()
        });
        let member = member_id.map(|member_id| identity(member_id, None, member_epoch));
        let asked = FetchOffsets { group: group_id.clone(), member, topics, require_stable };
        parts.push((Whom::Named(group_id), coordinators::Asked::Group(Asked::FetchOffsets(asked))));
        response.groups.push(answer);
    }
    Parts { response: Response::OffsetFetch(response), parts }
}

/// A topic that is asked for by an id that nobody knows is told in the answer.
fn known(
    topic: OffsetFetchRequestTopics,
    version: i16,
    image: &Image,
    answer: &mut OffsetFetchResponseGroup,
) -> Option<OfTopic<()>> {
    let partitions = || topic.partition_indexes.iter().map(|index| PartitionIndex(*index));
    if version < FETCH_BY_ID {
        let partitions = partitions().map(|index| (index, ())).collect();
        return Some(OfTopic { topic: topic.name, id: None, partitions });
    }
    if let Some(known) = image.topic(topic.topic_id) {
        let partitions = partitions().map(|index| (index, ())).collect();
        return Some(OfTopic { topic: known.name.to_string(), id: Some(known.id), partitions });
    }
    let unknown = |index: PartitionIndex| OffsetFetchResponsePartitions {
        error_code: ErrorCode::UnknownTopicId.code(),
        ..nothing(index)
    };
    answer.topics.push(OffsetFetchResponseTopics {
        topic_id: topic.topic_id,
        partitions: partitions().map(unknown).collect(),
        ..Default::default()
    });
    None
}

fn fetch_of_one(request: OffsetFetchRequest, version: i16) -> Parts {
    let of_topic = |topic: klamm_wire::offset_fetch::OffsetFetchRequestTopic| OfTopic {
        topic: topic.name,
        id: None,
        partitions: topic.partition_indexes.iter().map(|index| (PartitionIndex(*index), ())).collect(),
    };
    let topics: Option<ByTopic<()>> = request.topics.map(|topics| topics.into_iter().map(of_topic).collect());
    let mut response = OffsetFetchResponse::default();
    if version < 2 {
        // Without a place for the whole's error, each partition has it.
        let nothing = |topic: &OfTopic<()>| OffsetFetchResponseTopic {
            name: topic.topic.clone(),
            partitions: topic.partitions.iter().map(|(index, ())| old(nothing(*index))).collect(),
        };
        response.topics = topics.iter().flatten().map(nothing).collect();
    }
    let asked = FetchOffsets {
        group: request.group_id.clone(),
        member: None,
        topics,
        require_stable: request.require_stable,
    };
    Parts::one(Response::OffsetFetch(response), &request.group_id, Asked::FetchOffsets(asked))
}

/// What is told of a partition for which nothing was committed.
fn nothing(index: PartitionIndex) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index: index.0,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some(String::new()),
        error_code: 0,
    }
}

fn old(partition: OffsetFetchResponsePartitions) -> OffsetFetchResponsePartition {
    let OffsetFetchResponsePartitions {
        partition_index,
        committed_offset,
        committed_leader_epoch,
        metadata,
        error_code,
    } = partition;
    OffsetFetchResponsePartition {
        partition_index,
        committed_offset,
        committed_leader_epoch,
        metadata,
        error_code,
    }
}

fn found(
    (index, result): (PartitionIndex, Result<Option<CommittedOffset>, GroupError>),
) -> OffsetFetchResponsePartitions {
    match result {
        Ok(None) => nothing(index),
        Ok(Some(committed)) => OffsetFetchResponsePartitions {
            partition_index: index.0,
            committed_offset: committed.offset.raw(),
            committed_leader_epoch: committed.leader_epoch.map_or(-1, |epoch| epoch.0),
            metadata: Some(committed.metadata),
            error_code: 0,
        },
        Err(error) => OffsetFetchResponsePartitions { error_code: error.code().code(), ..nothing(index) },
    }
}

pub(super) fn fetched(
    response: &mut OffsetFetchResponse,
    place: usize,
    version: i16,
    topics: ByTopic<Result<Option<CommittedOffset>, GroupError>>,
    image: &Image,
) {
    if version < FETCH_GROUPS {
        let of_topic = |topic: OfTopic<_>| OffsetFetchResponseTopic {
            name: topic.topic,
            partitions: topic.partitions.into_iter().map(|it| old(found(it))).collect(),
        };
        response.topics = topics.into_iter().map(of_topic).collect();
        return;
    }
    for OfTopic { topic, id, partitions } in topics {
        let id = id.or_else(|| image.topic_named(&topic).map(|it| it.id));
        if version >= FETCH_BY_ID && id.is_none() {
            // Committed for a topic that is gone: there is no way to name it.
            continue;
        }
        response.groups[place].topics.push(OffsetFetchResponseTopics {
            name: topic,
            topic_id: id.unwrap_or(TopicId::ZERO),
            partitions: partitions.into_iter().map(found).collect(),
        });
    }
}

pub(super) fn not_fetched(response: &mut OffsetFetchResponse, place: usize, version: i16, why: i16) {
    match version {
        ..2 => {
            let places = response.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
            places.for_each(|place| place.error_code = why);
        }
        2..FETCH_GROUPS => response.error_code = why,
        _ => response.groups[place].error_code = why,
    }
}

pub(super) fn delete(request: OffsetDeleteRequest) -> Parts {
    let of_topic = |topic: klamm_wire::offset_delete::OffsetDeleteRequestTopic| OfTopic {
        topic: topic.name,
        id: None,
        partitions: topic.partitions.iter().map(|it| (PartitionIndex(it.partition_index), ())).collect(),
    };
    let topics = request.topics.into_iter().map(of_topic).collect();
    let asked = Asked::DeleteOffsets(DeleteOffsets { group: request.group_id.clone(), topics });
    Parts::one(Response::OffsetDelete(OffsetDeleteResponse::default()), &request.group_id, asked)
}

pub(super) fn deleted(
    response: &mut OffsetDeleteResponse,
    result: Result<ByTopic<Result<(), GroupError>>, GroupError>,
) {
    match result {
        Err(error) => response.error_code = error.code().code(),
        Ok(topics) => {
            let partition = |(index, result): (PartitionIndex, Result<(), GroupError>)| {
                OffsetDeleteResponsePartition { partition_index: index.0, error_code: code(result.err()) }
            };
            let of_topic = |topic: OfTopic<_>| OffsetDeleteResponseTopic {
                name: topic.topic,
                partitions: topic.partitions.into_iter().map(partition).collect(),
            };
            response.topics = topics.into_iter().map(of_topic).collect();
        }
    }
}

/// From this version on, topics are named by their ids.
const TXN_BY_ID: i16 = 6;

/// The answer so far, and what is left to do, if anything is.
pub(crate) fn txn_commit(
    request: TxnOffsetCommitRequest,
    version: i16,
    image: &Image,
) -> (Response, Option<TxnCommit>) {
    let mut response = TxnOffsetCommitResponse::default();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let known = match version >= TXN_BY_ID {
            true => image.topic(topic.topic_id),
            false => image.topic_named(&topic.name),
        };
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        let mut answers = Vec::with_capacity(topic.partitions.len());
        for it in topic.partitions {
            let index = PartitionIndex(it.partition_index);
            let why_not = why_not(known, index, version >= TXN_BY_ID);
            if why_not == ErrorCode::None {
                let offset = NewOffset {
                    offset: Offset::from_wire(it.committed_offset),
                    leader_epoch: LeaderEpoch::from_wire(it.committed_leader_epoch),
                    metadata: it.committed_metadata.unwrap_or_default(),
                };
                partitions.push((index, offset));
            }
            let error_code = why_not.code();
            answers.push(TxnOffsetCommitResponsePartition { partition_index: index.0, error_code });
        }
        if let Some(known) = known.filter(|_| !partitions.is_empty()) {
            topics.push(OfTopic { topic: known.name.to_string(), id: Some(known.id), partitions });
        }
        response.topics.push(TxnOffsetCommitResponseTopic {
            name: topic.name,
            topic_id: topic.topic_id,
            partitions: answers,
        });
    }
    let is_empty = topics.is_empty();
    let asked = TxnCommit {
        producer: Producer {
            id: ProducerId(request.producer_id),
            epoch: ProducerEpoch(request.producer_epoch),
            base_sequence: Producer::NO_SEQUENCE,
        },
        group: request.group_id,
        member: identity(request.member_id, request.group_instance_id, request.generation_id_or_member_epoch),
        topics,
    };
    (Response::TxnOffsetCommit(response), (!is_empty).then_some(asked))
}

pub(super) fn txn_committed(
    response: &mut TxnOffsetCommitResponse,
    result: Result<ByTopic<Result<(), GroupError>>, GroupError>,
) {
    let told = match result {
        Ok(told) => told,
        Err(error) => return not_txn_committed(response, error.code().code()),
    };
    let told = told.into_iter().flat_map(|topic| topic.partitions);
    for (place, (index, result)) in open_txn(response).zip(told) {
        assert_eq!(place.partition_index, index.0, "answers come in the order of the questions");
        place.error_code = code(result.err());
    }
}

pub(super) fn not_txn_committed(response: &mut TxnOffsetCommitResponse, why: i16) {
    open_txn(response).for_each(|place| place.error_code = why);
}

fn open_txn(
    response: &mut TxnOffsetCommitResponse,
) -> impl Iterator<Item = &mut TxnOffsetCommitResponsePartition> {
    let places = response.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
    places.filter(|place| place.error_code == ErrorCode::None.code())
}
