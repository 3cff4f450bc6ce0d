//! The machine's requests as the protocol has them.

use klamm_wire::{
    InitProducerIdRequest, ProduceRequest, Records, Request,
    produce::{PartitionProduceData, TopicProduceData},
};

use super::config::Config;
use super::effect::TopicBatches;

/// Topic ids came with the next version; up to this one the name is sent.
const PRODUCE_VERSION_BEFORE_IDS: i16 = 12;

/// What [`Effect::Produce`](super::Effect::Produce) asks for, and the highest version that says what is meant.
pub fn produce_request(config: &Config, topics: Vec<TopicBatches>) -> (Request, i16) {
    let lacks_id = topics.iter().any(|topic| topic.id.is_zero());
    let version_limit = if lacks_id { PRODUCE_VERSION_BEFORE_IDS } else { i16::MAX };
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
        transactional_id: None,
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
