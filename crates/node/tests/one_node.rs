//! What one node does with the requests of its clients.

mod admin;
mod quotas;
mod unsecured;
mod voters;

use crate::world::{CONNECTION, World, batch, producer};
use bytes::Bytes;
use klamm_log::{DiskAction, DiskError, Space};
use klamm_model::{BrokerId, ControllerEpoch, ErrorCode, TopicId};
use klamm_node::{Body, Event, Listener, Origin, Reply, answer_from_view, prepare};
use klamm_quorum::{Output, ReplicaDescription, VoterChange, VoterError};
use klamm_wire::{
    CreateTopicsRequest, FetchRequest, InitProducerIdRequest, ListOffsetsRequest, MetadataRequest,
    ProduceRequest, Records, Request, Response, create_topics::CreatableTopic, fetch, list_offsets,
    metadata::MetadataRequestTopic, produce,
};
use uuid::Uuid;

#[test]
fn a_node_alone_founds_its_cluster_and_serves() {
    let world = World::new();
    let view = world.view.expect("a view was published");
    assert!(view.ready);
    assert_eq!(view.controller, Some(BrokerId(1)));
    assert_eq!(view.image.cluster_id().map(|id| id.len()), Some(22));
}

#[test]
fn a_node_that_was_told_its_cluster_founds_no_other() {
    let mut world = World::new();
    // The first begins the epoch; the second founds the cluster.
    world.entries.truncate(1);
    world.restart_with(|node| node.belong("told"));
    assert_eq!(world.node.image().cluster_id().map(|id| &**id), Some("told"));
}

#[test]
fn acks_1_waits_for_the_write_and_acks_all_for_the_sync() {
    let mut world = World::new();
    world.create("t", 1);
    let one = world.produce("t", 1, batch(3, None));
    let all = world.produce("t", -1, batch(2, None));
    assert!(world.replies.is_empty(), "nothing is written yet");
    assert_eq!(world.writes(), 3, "two batches, and the file with the epoch that begins with them");
    assert_eq!(world.produced(one), (ErrorCode::None, 0));
    assert!(world.replies.is_empty(), "nothing is synced yet");
    world.all_disk();
    assert_eq!(world.produced(all), (ErrorCode::None, 3));
}

#[test]
fn acks_0_is_not_answered_and_closes_when_it_fails() {
    let mut world = World::new();
    world.create("t", 1);
    world.produce("t", 0, batch(1, None));
    world.all_disk();
    assert!(world.replies.is_empty() && world.closed.is_empty());
    world.produce("nowhere", 0, batch(1, None));
    assert!(world.replies.is_empty());
    assert_eq!(world.closed.len(), 1);
}

#[test]
fn a_parked_fetch_is_woken_by_the_high_watermark() {
    let mut world = World::new();
    world.create("t", 1);
    let fetch = world.fetch("t", 0, 500, 1);
    world.produce("t", 1, batch(1, None));
    world.writes();
    assert!(!world.replies.iter().any(|(to, _)| *to == fetch), "what is not synced is not for consumers");
    world.all_disk();
    let Some(Reply::Fetch { response, reads, .. }) = world.answer(fetch) else { panic!("no records") };
    assert_eq!(reads.len(), 1);
    assert_eq!(response.responses[0].partitions[0].high_watermark, 1);
}

#[test]
fn a_parked_fetch_ends_at_its_deadline_with_an_empty_answer() {
    let mut world = World::new();
    world.create("t", 1);
    let fetch = world.fetch("t", 0, 500, 1);
    world.wait_ms(499);
    assert!(world.answer(fetch).is_none());
    world.wait_ms(1);
    let Response::Fetch(response) = world.response(fetch) else { panic!("another answer") };
    let partition = &response.responses[0].partitions[0];
    assert_eq!(partition.error_code, 0);
    assert_eq!(partition.records, Some(Records::Bytes(Bytes::new())), "never null");
}

#[test]
fn a_fetch_waits_for_as_many_bytes_as_it_wants() {
    let mut world = World::new();
    world.create("t", 1);
    let size = batch(1, None).len() as i32;
    let fetch = world.fetch("t", 0, 500, 2 * size);
    for round in 0..2 {
        assert!(!world.replies.iter().any(|(to, _)| *to == fetch), "answered after {round} batches");
        world.produce("t", -1, batch(1, None));
        world.all_disk();
    }
    assert!(matches!(world.answer(fetch), Some(Reply::Fetch { .. })));
}

#[test]
fn a_resent_batch_gets_its_first_offset_once_that_is_committed() {
    let mut world = World::new();
    world.create("t", 1);
    let first = world.produce("t", -1, batch(2, producer(0)));
    let again = world.produce("t", -1, batch(2, producer(0)));
    assert!(world.replies.is_empty());
    world.all_disk();
    assert_eq!(world.produced(first), (ErrorCode::None, 0));
    assert_eq!(world.produced(again), (ErrorCode::None, 0));
    let gap = world.produce("t", -1, batch(2, producer(9)));
    assert_eq!(world.produced(gap).0, ErrorCode::OutOfOrderSequenceNumber);
    let next = world.produce("t", -1, batch(1, producer(2)));
    world.all_disk();
    assert_eq!(world.produced(next), (ErrorCode::None, 2));
}

#[test]
fn a_full_disk_refuses_what_it_was_given_and_takes_more_later() {
    let mut world = World::new();
    world.create("t", 1);
    let lost = world.produce("t", -1, batch(2, producer(0)));
    world.disk(|action| matches!(action, DiskAction::Write { .. }), &Err(DiskError::Full));
    world.all_disk();
    assert_eq!(world.produced(lost).0, ErrorCode::KafkaStorageError);
    let again = world.produce("t", -1, batch(2, producer(0)));
    world.all_disk();
    assert_eq!(world.produced(again), (ErrorCode::None, 0));
}

/// A batch of two records; what its producer is told.
fn told(world: &mut World, sequence: i32) -> ErrorCode {
    let asked = world.produce("t", -1, batch(2, producer(sequence)));
    world.all_disk();
    world.produced(asked).0
}

#[test]
fn who_sent_behind_a_batch_that_was_turned_away_is_told_the_same_and_not_of_a_gap() {
    let mut world = World::new();
    world.create("t", 1);
    let free = |world: &mut World, free_bytes| {
        world.step(Event::Space(vec![Some(Space { total_bytes: 100 << 30, free_bytes })]));
    };
    assert_eq!(told(&mut world, 0), ErrorCode::None);
    free(&mut world, 0);
    assert_eq!(told(&mut world, 2), ErrorCode::KafkaStorageError);
    free(&mut world, 50 << 30);
    assert_eq!(told(&mut world, 4), ErrorCode::KafkaStorageError, "it was on its way");
    assert_eq!([2, 4].map(|it| told(&mut world, it)), [ErrorCode::None; 2]);
    assert_eq!(told(&mut world, 9), ErrorCode::OutOfOrderSequenceNumber, "nothing was turned away any more");

    // What was taken, and could not be written.
    let asked = world.produce("t", -1, batch(2, producer(6)));
    world.disk(|action| matches!(action, DiskAction::Write { .. }), &Err(DiskError::Full));
    world.all_disk();
    assert_eq!(world.produced(asked).0, ErrorCode::KafkaStorageError);
    assert_eq!(told(&mut world, 8), ErrorCode::KafkaStorageError);
    assert_eq!([6, 8].map(|it| told(&mut world, it)), [ErrorCode::None; 2]);
}

/// The first batch of a producer may have come right before this broker led.
#[test]
fn who_is_not_known_may_have_sent_others_before_that_were_turned_away() {
    let mut world = World::new();
    world.create("t", 1);
    assert_eq!(told(&mut world, 2), ErrorCode::NotLeaderOrFollower);
    assert_eq!([0, 2].map(|it| told(&mut world, it)), [ErrorCode::None; 2]);

    let mut world = World::new();
    world.create("t", 1);
    world.wait_ms(60_000);
    assert_eq!(told(&mut world, 2), ErrorCode::NotLeaderOrFollower, "it stood still");
    (0..30).for_each(|_| world.wait_ms(250));
    assert_eq!(told(&mut world, 2), ErrorCode::None, "what was before may be deleted");
}

#[test]
fn a_failed_sync_takes_the_partition_offline() {
    let mut world = World::new();
    world.create("t", 1);
    let lost = world.produce("t", -1, batch(1, None));
    world.writes();
    let failure = Err(DiskError::Io("no such sector".into()));
    world.disk(|action| matches!(action, DiskAction::Sync { .. }), &failure);
    assert_eq!(world.produced(lost).0, ErrorCode::KafkaStorageError);
    let later = world.produce("t", 1, batch(1, None));
    world.all_disk();
    assert_eq!(world.produced(later).0, ErrorCode::KafkaStorageError);
    let asked = world.send(Request::Metadata(MetadataRequest { topics: None, ..Default::default() }), 9);
    let Response::Metadata(told) = world.response(asked) else { panic!("another answer") };
    let told = &told.topics[0].partitions[0];
    assert_eq!((told.leader_id, &told.offline_replicas[..]), (-1, &[1][..]));
    assert_eq!(told.error_code, ErrorCode::LeaderNotAvailable.code());
}

#[test]
fn a_produce_that_waits_too_long_is_answered_with_a_timeout() {
    let mut world = World::new();
    world.create("t", 1);
    let late = world.produce("t", -1, batch(1, None));
    world.wait_ms(1000);
    assert_eq!(world.produced(late).0, ErrorCode::RequestTimedOut);
    world.all_disk();
    assert!(world.replies.is_empty(), "one answer only");
}

#[test]
fn who_does_not_want_to_wait_is_told_all_the_same_what_became_of_the_records() {
    let mut world = World::new();
    world.create("t", 1);
    for (base, (acks, timeout_ms)) in (0..).zip([(1, 0), (-1, 0), (-1, -5)]) {
        let partition = produce::PartitionProduceData {
            records: Some(Records::Bytes(batch(1, None))),
            ..Default::default()
        };
        let topic = produce::TopicProduceData {
            name: "t".into(),
            partition_data: vec![partition],
            ..Default::default()
        };
        let request = ProduceRequest { acks, timeout_ms, topic_data: vec![topic], ..Default::default() };
        let sequence = world.send(Request::Produce(request), 9);
        world.wait_ms(900);
        assert!(world.replies.is_empty(), "the disk is not done yet");
        world.all_disk();
        assert_eq!(world.produced(sequence), (ErrorCode::None, base), "acks={acks} in {timeout_ms} ms");
    }
}

#[test]
fn what_cannot_be_appended_says_why() {
    let mut world = World::new();
    world.create("t", 1);
    let mut broken = batch(1, None).to_vec();
    *broken.last_mut().expect("a batch has bytes") ^= 1;
    for (acks, topic, records, code) in [
        (1, "nowhere", batch(1, None), ErrorCode::UnknownTopicOrPartition),
        (2, "t", batch(1, None), ErrorCode::InvalidRequiredAcks),
        (1, "t", Bytes::from(broken), ErrorCode::CorruptMessage),
        (1, "t", Bytes::new(), ErrorCode::InvalidRecord),
        (1, "t", batch(200_000, None), ErrorCode::MessageTooLarge),
    ] {
        let sequence = world.produce(topic, acks, records);
        assert_eq!(world.produced(sequence).0, code, "acks={acks} to {topic}");
    }
}

#[test]
fn a_client_may_not_fetch_as_a_follower() {
    let mut world = World::new();
    world.create("t", 1);
    let request = FetchRequest { replica_id: 2, ..Default::default() };
    let sequence = world.send(Request::Fetch(request), 12);
    let Response::Fetch(response) = world.response(sequence) else { panic!("another answer") };
    assert_eq!(response.error_code, ErrorCode::ClusterAuthorizationFailed.code());
}

#[test]
fn what_brokers_ask_is_not_served_to_clients() {
    let mut world = World::new();
    world.send(Request::BrokerHeartbeat(Default::default()), 1);
    assert_eq!(world.closed.len(), 1);
}

#[test]
fn producer_ids_are_never_given_twice() {
    let mut world = World::new();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..2500 {
        let sequence = world.send(
            Request::InitProducerId(InitProducerIdRequest { transactional_id: None, ..Default::default() }),
            4,
        );
        let Response::InitProducerId(response) = world.response(sequence) else { panic!("another answer") };
        assert_eq!(response.error_code, 0);
        assert!(seen.insert(response.producer_id), "{} twice", response.producer_id);
    }
}

#[test]
fn metadata_creates_the_topic_it_asks_for() {
    let mut world = World::new();
    let topic = MetadataRequestTopic { name: Some("new".into()), ..Default::default() };
    let request = Request::Metadata(MetadataRequest {
        topics: Some(vec![topic]),
        allow_auto_topic_creation: true,
        ..Default::default()
    });
    let origin = Origin {
        listener: Listener::Client,
        local_host: "10.0.0.1".into(),
        local_port: 1,
        peer_host: "there".into(),
    };
    let view = world.view.clone().expect("a view was published");
    assert!(answer_from_view(&view, &origin, 12, &request).is_none(), "the view cannot create");
    let sequence = world.send(request.clone(), 12);
    let Response::Metadata(response) = world.response(sequence) else { panic!("another answer") };
    assert_eq!(response.topics[0].error_code, 0);
    assert_eq!(response.topics[0].partitions[0].leader_id, 1);
    let view = world.view.clone().expect("a view was published");
    let Some(Response::Metadata(again)) = answer_from_view(&view, &origin, 12, &request) else {
        panic!("no answer")
    };
    assert_eq!(
        (again.brokers[0].host.as_str(), again.brokers[0].port),
        ("10.0.0.1", 1),
        "the address it came in by"
    );
}

#[test]
fn who_may_have_a_producer_id() {
    let mut world = World::new();
    for (transactional_id, producer_id, producer_epoch, expected) in [
        (None, -1, -1, ErrorCode::None),
        (None, 5, 0, ErrorCode::None),
        (None, 5, -1, ErrorCode::InvalidRequest),
        (None, -1, 0, ErrorCode::InvalidRequest),
        (Some(""), -1, -1, ErrorCode::InvalidRequest),
        (Some("t"), -1, -1, ErrorCode::NotCoordinator),
    ] {
        let request = InitProducerIdRequest {
            transactional_id: transactional_id.map(Into::into),
            producer_id,
            producer_epoch,
            ..Default::default()
        };
        let sequence = world.send(Request::InitProducerId(request), 5);
        let Response::InitProducerId(response) = world.response(sequence) else { panic!("another answer") };
        assert_eq!(
            response.error_code,
            expected.code(),
            "{transactional_id:?} {producer_id} {producer_epoch}"
        );
    }
}

#[test]
fn metadata_creates_no_topic_of_the_clusters_own() {
    let mut world = World::new();
    let own = ["__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata"];
    let named = |name: &str| MetadataRequestTopic { name: Some(name.into()), ..Default::default() };
    for topics in [own.map(named).into(), [own[0], "new"].map(named).to_vec()] {
        let request =
            MetadataRequest { topics: Some(topics), allow_auto_topic_creation: true, ..Default::default() };
        let sequence = world.send(Request::Metadata(request), 12);
        let Response::Metadata(response) = world.response(sequence) else { panic!("another answer") };
        assert_eq!(response.topics[0].error_code, ErrorCode::UnknownTopicOrPartition.code());
    }
    assert_eq!(world.node.image().topics().count(), 1);
}

#[test]
fn offsets_at_the_ends_and_unknown_partitions() {
    let mut world = World::new();
    world.create("t", 1);
    world.produce("t", -1, batch(3, None));
    world.all_disk();
    for (timestamp, partition, expected) in
        [(-2, 0, Ok(0)), (-1, 0, Ok(3)), (-1, 9, Err(ErrorCode::UnknownTopicOrPartition))]
    {
        let partition = list_offsets::ListOffsetsPartition {
            partition_index: partition,
            timestamp,
            current_leader_epoch: -1,
            ..Default::default()
        };
        let topic = list_offsets::ListOffsetsTopic {
            name: "t".into(),
            partitions: vec![partition],
            ..Default::default()
        };
        let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
        let sequence = world.send(Request::ListOffsets(request), 7);
        let Response::ListOffsets(response) = world.response(sequence) else { panic!("another answer") };
        let answer = &response.topics[0].partitions[0];
        let got = match ErrorCode::from_code(answer.error_code) {
            Some(ErrorCode::None) => Ok(answer.offset),
            code => Err(code.expect("a known code")),
        };
        assert_eq!(got, expected);
    }
}

#[test]
fn a_closed_connection_leaves_nothing_behind() {
    let mut world = World::new();
    world.create("t", 1);
    world.fetch("t", 0, 500, 1);
    world.produce("t", -1, batch(1, None));
    world.step(Event::Closed(CONNECTION));
    world.all_disk();
    world.wait_ms(2000);
    assert!(world.replies.is_empty());
}

#[test]
fn produce_is_prepared_outside_the_node() {
    let world = World::new();
    let view = world.view.as_ref().expect("a view was published");
    let request = ProduceRequest { acks: 1, ..Default::default() };
    assert!(matches!(prepare(Request::Produce(request), view, world.wall), Body::Produce(_)));
}

/// Requests that are served, each with answers that succeed and that fail.
fn one_of_each(topic_id: TopicId) -> Vec<Request> {
    let unknown = TopicId(Uuid::from_u128(99));
    let mut requests = Vec::new();
    for (name, id) in [("t", topic_id), ("nowhere", unknown)] {
        let partition = list_offsets::ListOffsetsPartition {
            timestamp: -1,
            current_leader_epoch: -1,
            ..Default::default()
        };
        let topic = list_offsets::ListOffsetsTopic {
            name: name.into(),
            partitions: vec![partition],
            ..Default::default()
        };
        requests.push(Request::ListOffsets(ListOffsetsRequest { topics: vec![topic], ..Default::default() }));

        let partition = fetch::FetchPartition { current_leader_epoch: 7, ..Default::default() };
        let topic = fetch::FetchTopic {
            topic: name.into(),
            topic_id: id,
            partitions: vec![partition],
            ..Default::default()
        };
        requests.push(Request::Fetch(FetchRequest {
            replica_id: -1,
            topics: vec![topic],
            ..Default::default()
        }));

        let partition = produce::PartitionProduceData {
            records: Some(Records::Bytes(batch(1, None))),
            ..Default::default()
        };
        let topic = produce::TopicProduceData {
            name: name.into(),
            topic_id: id,
            partition_data: vec![partition],
            ..Default::default()
        };
        requests.push(Request::Produce(ProduceRequest {
            acks: 1,
            timeout_ms: 10,
            topic_data: vec![topic],
            ..Default::default()
        }));

        for name in [Some(name.to_owned()), None] {
            let topic = MetadataRequestTopic { name, topic_id: id, ..Default::default() };
            requests
                .push(Request::Metadata(MetadataRequest { topics: Some(vec![topic]), ..Default::default() }));
        }
        let topic =
            klamm_wire::describe_producers::TopicRequest { name: name.into(), partition_indexes: vec![0, 0] };
        requests
            .push(Request::DescribeProducers(klamm_wire::DescribeProducersRequest { topics: vec![topic] }));
        let topic = klamm_wire::offset_for_leader_epoch::OffsetForLeaderTopic {
            topic: name.into(),
            partitions: vec![Default::default()],
        };
        requests.push(Request::OffsetForLeaderEpoch(klamm_wire::OffsetForLeaderEpochRequest {
            topics: vec![topic],
            ..Default::default()
        }));
        let topic = CreatableTopic {
            name: format!("{name}.new"),
            num_partitions: 2,
            replication_factor: 1,
            ..Default::default()
        };
        requests
            .push(Request::CreateTopics(CreateTopicsRequest { topics: vec![topic], ..Default::default() }));
        let topic = klamm_wire::describe_topic_partitions::TopicRequest { name: name.into() };
        requests.push(Request::DescribeTopicPartitions(klamm_wire::DescribeTopicPartitionsRequest {
            topics: vec![topic],
            ..Default::default()
        }));
    }
    for (name, id) in [(Some("nowhere"), TopicId::ZERO), (None, unknown), (Some("t.new"), TopicId::ZERO)] {
        requests.push(Request::DeleteTopics(klamm_wire::DeleteTopicsRequest {
            topics: vec![klamm_wire::delete_topics::DeleteTopicState {
                name: name.map(Into::into),
                topic_id: id,
            }],
            topic_names: name.map(Into::into).into_iter().collect(),
            ..Default::default()
        }));
    }
    for transactional_id in [None, Some("t".to_owned())] {
        requests
            .push(Request::InitProducerId(InitProducerIdRequest { transactional_id, ..Default::default() }));
    }
    for (resource_type, name) in
        [(2, "t"), (2, "nowhere"), (4, "1"), (4, ""), (8, "1"), (16, "m"), (32, "g"), (9, "x")]
    {
        requests.extend(on_configs(resource_type, name));
    }
    requests.push(Request::ListConfigResources(Default::default()));
    requests.extend(admin::examples());
    requests.extend(unsecured::examples());
    requests.extend(voters::examples());
    requests.push(Request::Metadata(MetadataRequest { topics: None, ..Default::default() }));
    requests.push(Request::DescribeCluster(Default::default()));
    requests.push(Request::DescribeLogDirs(klamm_wire::DescribeLogDirsRequest { topics: None }));
    let dirs = vec![klamm_wire::alter_replica_log_dirs::AlterReplicaLogDir {
        path: "elsewhere".to_owned(),
        topics: vec![klamm_wire::alter_replica_log_dirs::AlterReplicaLogDirTopic {
            name: "t".to_owned(),
            partitions: vec![0],
        }],
    }];
    requests.push(Request::AlterReplicaLogDirs(klamm_wire::AlterReplicaLogDirsRequest { dirs }));
    requests.push(Request::ApiVersions(klamm_wire::ApiVersionsRequest {
        client_software_name: "test".into(),
        client_software_version: "1".into(),
        ..Default::default()
    }));
    requests
}

fn on_configs(resource_type: i8, name: &str) -> [Request; 3] {
    use klamm_wire::{alter_configs, describe_configs, incremental_alter_configs as incremental};
    let resource_name = name.to_owned();
    let asked = describe_configs::DescribeConfigsResource {
        resource_type,
        resource_name: resource_name.clone(),
        configuration_keys: None,
    };
    let replaced = alter_configs::AlterConfigsResource {
        resource_type,
        resource_name: resource_name.clone(),
        configs: Vec::new(),
    };
    let config =
        incremental::AlterableConfig { name: "retention.ms".into(), config_operation: 0, value: None };
    let changed = incremental::AlterConfigsResource { resource_type, resource_name, configs: vec![config] };
    [
        Request::DescribeConfigs(klamm_wire::DescribeConfigsRequest {
            resources: vec![asked],
            include_synonyms: true,
            include_documentation: true,
        }),
        Request::AlterConfigs(klamm_wire::AlterConfigsRequest {
            resources: vec![replaced],
            ..Default::default()
        }),
        Request::IncrementalAlterConfigs(klamm_wire::IncrementalAlterConfigsRequest {
            resources: vec![changed],
            ..Default::default()
        }),
    ]
}

#[test]
fn every_answer_can_be_encoded_in_every_version_that_is_served() {
    for served in klamm_wire::SERVED {
        let mut answered = 0;
        for version in served.min..=served.max {
            if !served.key.is_served(version) {
                continue;
            }
            let mut world = World::new();
            let topic = world.create("t", 1);
            for request in one_of_each(topic) {
                if request.api_key() != served.key {
                    continue;
                }
                let sequence = world.send(request, version);
                world.all_disk();
                world.wait_ms(20);
                world.response(sequence);
                answered += 1;
            }
        }
        assert!(answered > 0, "no example of {}", served.key);
    }
}

#[test]
fn a_topic_created_again_waits_for_the_directory_of_the_deleted_one() {
    let mut world = World::new();
    let old = world.create("t", 1);
    let delete = klamm_wire::DeleteTopicsRequest { topic_names: vec!["t".into()], ..Default::default() };
    let sequence = world.send(Request::DeleteTopics(delete), 5);
    world.response(sequence);
    let topic =
        CreatableTopic { name: "t".into(), num_partitions: 1, replication_factor: 1, ..Default::default() };
    let create = CreateTopicsRequest { topics: vec![topic], ..Default::default() };
    let sequence = world.send(Request::CreateTopics(create), 7);
    world.response(sequence);
    let waiting: Vec<_> = world.disk.iter().map(|op| (op.partition.topic == old, &op.action)).collect();
    assert!(matches!(waiting[..], [(true, DiskAction::DeletePartition)]), "{waiting:?}");
    world.all_disk();
    let produced = world.produce("t", -1, batch(1, None));
    world.all_disk();
    assert_eq!(world.produced(produced), (ErrorCode::None, 0));
}

#[test]
fn a_topic_is_gone_for_whoever_names_its_id_while_its_log_still_is_on_the_way_out() {
    let mut world = World::new();
    let id = world.create("t", 1);
    let delete = klamm_wire::DeleteTopicsRequest { topic_names: vec!["t".into()], ..Default::default() };
    let sequence = world.send(Request::DeleteTopics(delete), 5);
    world.response(sequence);
    assert_eq!(world.disk.len(), 1, "the disk has not deleted it yet");

    let partition =
        produce::PartitionProduceData { records: Some(Records::Bytes(batch(1, None))), ..Default::default() };
    let topic =
        produce::TopicProduceData { topic_id: id, partition_data: vec![partition], ..Default::default() };
    let request = ProduceRequest { acks: -1, topic_data: vec![topic], ..Default::default() };
    let sequence = world.send(Request::Produce(request), 13);
    assert_eq!(world.produced(sequence).0, ErrorCode::UnknownTopicId);

    let partition =
        fetch::FetchPartition { current_leader_epoch: -1, last_fetched_epoch: -1, ..Default::default() };
    let topic = fetch::FetchTopic { topic_id: id, partitions: vec![partition], ..Default::default() };
    let request = FetchRequest { session_epoch: -1, topics: vec![topic], ..Default::default() };
    let sequence = world.send(Request::Fetch(request), 13);
    let Response::Fetch(fetched) = world.response(sequence) else { panic!("another answer") };
    assert_eq!(fetched.responses[0].partitions[0].error_code, ErrorCode::UnknownTopicId.code());
}

#[test]
fn the_shortest_rests_leave_time_for_everything_else() {
    let mut world = World::with(|config| {
        for (key, value) in [("log.cleaner.backoff.ms", "0"), ("log.scrub.interval.ms", "1")] {
            config.give(key, value).expect("a key");
        }
    });
    world.create_with("t", 1, &[("cleanup.policy", "compact")]);
    let began = world.tick;
    for _ in 0..100 {
        world.all_disk();
        world.tick = world.tick.max(world.node.next_wake().expect("of a heartbeat, at least").0);
        world.step(Event::Tick);
    }
    assert!(began + 1_000_000 < world.tick, "{} us for a hundred rounds", world.tick - began);
}
