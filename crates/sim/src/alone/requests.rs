//! The requests of the clients, and their batches.

use bytes::Bytes;
use klamm_model::{BatchBuilder, Producer as Session, RecordHeader, Seal, Timestamp};
use klamm_wire::{
    AlterReplicaLogDirsRequest, CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest, FetchRequest,
    IncrementalAlterConfigsRequest, InitProducerIdRequest, ListOffsetsRequest, ProduceRequest, Records,
    Request,
    alter_replica_log_dirs::{AlterReplicaLogDir, AlterReplicaLogDirTopic},
    create_topics::{CreatableTopic, CreatableTopicConfig},
    delete_records::{DeleteRecordsPartition, DeleteRecordsTopic},
    fetch::{FetchPartition, FetchTopic},
    incremental_alter_configs::{AlterConfigsResource, AlterableConfig},
    list_offsets::{ListOffsetsPartition, ListOffsetsTopic},
    produce::{PartitionProduceData, TopicProduceData},
};

use super::history::Made;

/// Configs of a topic, by their names.
pub(super) type Configs = Vec<(&'static str, String)>;

pub(super) fn encode(records: &[Made], producer: Session, size: usize) -> Bytes {
    let mut builder = BatchBuilder::default();
    for made in records {
        let value = vec![made.key; 1 + size];
        let number = made.number.to_be_bytes();
        let header = RecordHeader { key: b"number", value: Some(&number) };
        let value = (!made.is_tombstone).then_some(&value[..]);
        builder.append(Timestamp(made.timestamp), Some(&[made.key]), value, &[header]);
    }
    builder.finish(&Seal { producer: Some(producer), ..Seal::default() })
}

pub(super) fn create(topic: &str, configs: Configs) -> Request {
    let configs = configs
        .into_iter()
        .map(|(name, value)| CreatableTopicConfig { name: name.to_owned(), value: Some(value) });
    let topic = CreatableTopic {
        name: topic.to_owned(),
        num_partitions: 1,
        replication_factor: 1,
        configs: configs.collect(),
        ..Default::default()
    };
    Request::CreateTopics(CreateTopicsRequest { topics: vec![topic], timeout_ms: 1000, ..Default::default() })
}

pub(super) fn alter(topic: &str, configs: Configs) -> Request {
    let set = |(name, value): (&str, String)| AlterableConfig {
        name: name.to_owned(),
        config_operation: 0,
        value: Some(value),
    };
    let topic = AlterConfigsResource {
        resource_type: 2,
        resource_name: topic.to_owned(),
        configs: configs.into_iter().map(set).collect(),
    };
    Request::IncrementalAlterConfigs(IncrementalAlterConfigsRequest {
        resources: vec![topic],
        validate_only: false,
    })
}

pub(super) fn produce(topic: &str, bytes: Bytes, acks_all: bool) -> Request {
    let data = PartitionProduceData { index: 0, records: Some(Records::Bytes(bytes)), ..Default::default() };
    let topic = TopicProduceData { name: topic.to_owned(), partition_data: vec![data], ..Default::default() };
    let acks = if acks_all { -1 } else { 1 };
    Request::Produce(ProduceRequest { acks, timeout_ms: 1500, topic_data: vec![topic], ..Default::default() })
}

pub(super) fn list_offsets(topic: &str, timestamp: i64) -> Request {
    let partition = ListOffsetsPartition { timestamp, ..Default::default() };
    let topic = ListOffsetsTopic { name: topic.to_owned(), partitions: vec![partition] };
    Request::ListOffsets(ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() })
}

pub(super) fn fetch(topic: &str, from: i64) -> Request {
    let partition = FetchPartition {
        fetch_offset: from,
        current_leader_epoch: -1,
        last_fetched_epoch: -1,
        partition_max_bytes: 3000,
        ..Default::default()
    };
    let topic = FetchTopic { topic: topic.to_owned(), partitions: vec![partition], ..Default::default() };
    Request::Fetch(FetchRequest {
        replica_id: -1,
        min_bytes: 0,
        max_bytes: 100_000,
        session_epoch: -1,
        topics: vec![topic],
        ..Default::default()
    })
}

pub(super) fn delete_records(topic: &str, to: i64) -> Request {
    let partition = DeleteRecordsPartition { partition_index: 0, offset: to };
    let topic = DeleteRecordsTopic { name: topic.to_owned(), partitions: vec![partition] };
    Request::DeleteRecords(DeleteRecordsRequest { topics: vec![topic], timeout_ms: 1500 })
}

pub(super) fn move_log(topic: &str, to: &str) -> Request {
    let topic = AlterReplicaLogDirTopic { name: topic.to_owned(), partitions: vec![0] };
    let dir = AlterReplicaLogDir { path: to.to_owned(), topics: vec![topic] };
    Request::AlterReplicaLogDirs(AlterReplicaLogDirsRequest { dirs: vec![dir] })
}

pub(super) fn delete(topic: &str) -> Request {
    Request::DeleteTopics(DeleteTopicsRequest { topic_names: vec![topic.to_owned()], ..Default::default() })
}

pub(super) fn session() -> Request {
    Request::InitProducerId(InitProducerIdRequest {
        transactional_id: None,
        producer_id: -1,
        producer_epoch: -1,
        transaction_timeout_ms: 1000,
        ..Default::default()
    })
}
