//! The machine's requests as the protocol has them.

use std::sync::Arc;

use klamm_wire::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest, FindCoordinatorRequest,
    InitProducerIdRequest, ProduceRequest, Records, Request, TxnOffsetCommitRequest,
    add_partitions_to_txn::AddPartitionsToTxnTopic,
    produce::{PartitionProduceData, TopicProduceData},
    txn_offset_commit::{TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic},
};

use super::config::Config;
use super::effect::TopicBatches;
use super::question::{GroupOffsets, Outcome, Protocol, Question};
use crate::admin::{PartitionName, by_topic};
use crate::coordinators::KeyType;

/// Topic ids came with the next version; up to this one the name is sent.
const PRODUCE_VERSION_BEFORE_IDS: i16 = 12;
/// With the next versions of these, what is written to becomes part of the transaction by itself (KIP-890).
const PRODUCE_VERSION_NAMED: i16 = 11;
const OFFSETS_VERSION_NAMED: i16 = 4;
const END_VERSION_NAMED: i16 = 4;
/// The next version has topic ids.
const OFFSETS_VERSION_BY_NAME: i16 = 5;
/// The next version is for brokers.
const ADD_PARTITIONS_VERSION_MAX: i16 = 3;
/// The next version asks for several at once.
const FIND_VERSION_MAX: i16 = 3;

/// What [`Effect::Produce`](super::Effect::Produce) asks for, and the highest version that says what is meant.
pub fn produce_request(
    config: &Config,
    transaction: Option<(Arc<str>, Protocol)>,
    topics: Vec<TopicBatches>,
) -> (Request, i16) {
    let lacks_id = topics.iter().any(|topic| topic.id.is_zero());
    let version_limit = match &transaction {
        Some((_, Protocol::Named)) => PRODUCE_VERSION_NAMED,
        _ if lacks_id => PRODUCE_VERSION_BEFORE_IDS,
        _ => i16::MAX,
    };
    let topic_data = topics.into_iter().map(|topic| {
        let partition_data = topic
            .partitions
            .into_iter()
            .map(|(index, batch)| PartitionProduceData { index, records: Some(Records::Bytes(batch)) });
        TopicProduceData {
            name: topic.name.to_string(),
            topic_id: topic.id,
            partition_data: partition_data.collect(),
        }
    });
    let request = ProduceRequest {
        transactional_id: transaction.map(|(id, _)| id.to_string()),
        acks: config.acks.to_wire(),
        timeout_ms: i32::try_from(config.request_timeout_ms).unwrap_or(i32::MAX),
        topic_data: topic_data.collect(),
    };
    (Request::Produce(request), version_limit)
}

/// What [`Effect::InitProducerId`](super::Effect::InitProducerId) asks for.
pub fn identity_request() -> Request {
    Request::InitProducerId(InitProducerIdRequest {
        transactional_id: None,
        transaction_timeout_ms: i32::MAX,
        producer_id: -1,
        producer_epoch: -1,
        ..InitProducerIdRequest::default()
    })
}

/// What [`Effect::Ask`](super::Effect::Ask) asks for in the name of a transactional id, and the highest version that says what is meant.
pub fn coordinator_request(transactional_id: &str, question: Question) -> (Request, i16) {
    let transactional_id = transactional_id.to_owned();
    let find = |key, kind: KeyType| {
        let key_type = kind.number();
        let request = FindCoordinatorRequest { key, key_type, ..FindCoordinatorRequest::default() };
        (Request::FindCoordinator(request), FIND_VERSION_MAX)
    };
    match question {
        Question::FindCoordinator => find(transactional_id, KeyType::Transaction),
        Question::FindGroupCoordinator(group) => find(group, KeyType::Group),
        Question::Identify { current, timeout_ms } => {
            let request = InitProducerIdRequest {
                transactional_id: Some(transactional_id),
                transaction_timeout_ms: i32::try_from(timeout_ms).unwrap_or(i32::MAX),
                producer_id: current.map_or(-1, |it| it.id.0),
                producer_epoch: current.map_or(-1, |it| it.epoch.0),
                ..InitProducerIdRequest::default()
            };
            (Request::InitProducerId(request), i16::MAX)
        }
        Question::AddPartitions(identity, topics) => {
            let topics = topics.into_iter().map(|(name, partitions)| {
                let name = name.to_string();
                AddPartitionsToTxnTopic { name, partitions }
            });
            let request = AddPartitionsToTxnRequest {
                v3_and_below_transactional_id: transactional_id,
                v3_and_below_producer_id: identity.id.0,
                v3_and_below_producer_epoch: identity.epoch.0,
                v3_and_below_topics: topics.collect(),
                ..AddPartitionsToTxnRequest::default()
            };
            (Request::AddPartitionsToTxn(request), ADD_PARTITIONS_VERSION_MAX)
        }
        Question::AddGroup(identity, group_id) => {
            let request = AddOffsetsToTxnRequest {
                transactional_id,
                producer_id: identity.id.0,
                producer_epoch: identity.epoch.0,
                group_id,
            };
            (Request::AddOffsetsToTxn(request), i16::MAX)
        }
        Question::CommitOffsets(identity, protocol, GroupOffsets { group, offsets }) => {
            let topics = by_topic(offsets.keys()).into_iter().map(|(topic, numbers)| {
                let partitions = numbers.into_iter().map(|partition| {
                    let committed = &offsets[&PartitionName { topic: topic.clone(), partition }];
                    TxnOffsetCommitRequestPartition {
                        partition_index: partition,
                        committed_offset: committed.offset.raw(),
                        committed_leader_epoch: committed.leader_epoch.map_or(-1, |epoch| epoch.0),
                        committed_metadata: Some(committed.metadata.clone()),
                    }
                });
                let (name, partitions) = (topic.to_string(), partitions.collect());
                TxnOffsetCommitRequestTopic { name, partitions, ..TxnOffsetCommitRequestTopic::default() }
            });
            let request = TxnOffsetCommitRequest {
                transactional_id,
                topics: topics.collect(),
                group_id: group.group_id,
                producer_id: identity.id.0,
                producer_epoch: identity.epoch.0,
                generation_id_or_member_epoch: group.generation,
                member_id: group.member_id,
                group_instance_id: group.instance_id,
            };
            let version_limit = match protocol {
                Protocol::Named => OFFSETS_VERSION_NAMED,
                Protocol::Implicit => OFFSETS_VERSION_BY_NAME,
            };
            (Request::TxnOffsetCommit(request), version_limit)
        }
        Question::End(identity, protocol, outcome) => {
            let request = EndTxnRequest {
                transactional_id,
                producer_id: identity.id.0,
                producer_epoch: identity.epoch.0,
                committed: outcome == Outcome::Commit,
            };
            let version_limit = match protocol {
                Protocol::Named => END_VERSION_NAMED,
                Protocol::Implicit => i16::MAX,
            };
            (Request::EndTxn(request), version_limit)
        }
    }
}
