//! The machine's requests as the protocol has them.

use klamm_wire::{
    FetchRequest, ListOffsetsRequest, OffsetForLeaderEpochRequest, Request,
    fetch::{FetchPartition, FetchTopic, ForgottenTopic},
    list_offsets::{ListOffsetsPartition, ListOffsetsTopic},
    offset_for_leader_epoch::{OffsetForLeaderPartition, OffsetForLeaderTopic},
};

use super::config::Config;
use super::effect::{Asked, SessionStep, TopicLookup};

/// Topic ids came with the next version; up to this one the name is sent.
const FETCH_VERSION_BEFORE_IDS: i16 = 12;

/// A question in the protocol's words.
#[derive(Debug)]
pub struct Question {
    /// What is asked.
    pub request: Request,
    /// The highest version that says what is meant.
    pub version_limit: i16,
    /// How long it may go unanswered, in milliseconds.
    pub timeout_ms: u64,
    /// The broker may hold the answer back, or stand behind such a one: nothing else is to wait for it. Which connection a session is ended on matters for
    /// another reason too: none is made for that.
    pub is_parked: bool,
}

impl Asked {
    /// How a reader with these settings asks that.
    pub fn question(self, config: &Config) -> Question {
        let timeout_ms = config.request_timeout_ms;
        let parked = |(request, version_limit), wait_ms| Question {
            request,
            version_limit,
            timeout_ms: timeout_ms + wait_ms,
            is_parked: true,
        };
        let prompt = |request| Question { request, version_limit: i16::MAX, timeout_ms, is_parked: false };
        match self {
            Self::Fetch { wait_ms, bytes_max, session } => {
                parked(fetch_request(config, wait_ms, bytes_max, session), wait_ms)
            }
            Self::EndSession(session) => parked(fetch_request(config, 0, 0, session), config.wait_max_ms),
            Self::ListOffsets(topics) => prompt(list_offsets_request(config, topics)),
            Self::OffsetForLeaderEpoch(topics) => prompt(epoch_end_request(topics)),
        }
    }
}

fn fetch_request(config: &Config, wait_ms: u64, bytes_max: usize, session: SessionStep) -> (Request, i16) {
    let version_limit = if session.uses_ids { i16::MAX } else { FETCH_VERSION_BEFORE_IDS };
    let topics = session.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|fetch| FetchPartition {
            partition: fetch.partition,
            current_leader_epoch: fetch.leader_epoch,
            fetch_offset: fetch.offset.raw(),
            partition_max_bytes: clamped(config.partition_bytes_max),
            ..FetchPartition::default()
        });
        FetchTopic { topic: topic.name.to_string(), topic_id: topic.id, partitions: partitions.collect() }
    });
    let forgotten = session.forgotten.into_iter().map(|topic| ForgottenTopic {
        topic: topic.name.to_string(),
        topic_id: topic.id,
        partitions: topic.partitions.iter().map(|fetch| fetch.partition).collect(),
    });
    let request = FetchRequest {
        max_wait_ms: i32::try_from(wait_ms).unwrap_or(i32::MAX),
        min_bytes: clamped(config.bytes_min),
        max_bytes: clamped(bytes_max),
        isolation_level: config.isolation.to_wire(),
        rack_id: config.rack.clone(),
        session_id: session.id,
        session_epoch: session.epoch,
        topics: topics.collect(),
        forgotten_topics_data: forgotten.collect(),
        ..FetchRequest::default()
    };
    (Request::Fetch(request), version_limit)
}

/// The protocol carries sizes as 32 bit numbers.
fn clamped(size: usize) -> i32 {
    i32::try_from(size).unwrap_or(i32::MAX)
}

fn list_offsets_request(config: &Config, topics: Vec<TopicLookup>) -> Request {
    let topics = topics.into_iter().map(|topic| {
        let partition = |(partition_index, current_leader_epoch, timestamp)| ListOffsetsPartition {
            partition_index,
            current_leader_epoch,
            timestamp,
        };
        let partitions = topic.partitions.into_iter().map(partition).collect();
        ListOffsetsTopic { name: topic.name.to_string(), partitions }
    });
    Request::ListOffsets(ListOffsetsRequest {
        replica_id: -1,
        isolation_level: config.isolation.to_wire(),
        topics: topics.collect(),
        timeout_ms: i32::try_from(config.request_timeout_ms).unwrap_or(i32::MAX),
        ..ListOffsetsRequest::default()
    })
}

fn epoch_end_request(topics: Vec<TopicLookup>) -> Request {
    let topics = topics.into_iter().map(|topic| {
        let partition = |(partition, current_leader_epoch, epoch)| OffsetForLeaderPartition {
            partition,
            current_leader_epoch,
            leader_epoch: i32::try_from(epoch).unwrap_or(-1),
        };
        let partitions = topic.partitions.into_iter().map(partition).collect();
        OffsetForLeaderTopic { topic: topic.name.to_string(), partitions }
    });
    Request::OffsetForLeaderEpoch(OffsetForLeaderEpochRequest { replica_id: -1, topics: topics.collect() })
}
