//! What administrators ask one node.

use klamm_model::{ErrorCode as Code, TopicId};
use klamm_quorum::Registration;
use klamm_wire::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, AlterClientQuotasRequest,
    AlterPartitionReassignmentsRequest, ApiVersionsRequest, ConsumerGroupDescribeRequest,
    CreatePartitionsRequest, DeleteGroupsRequest, DeleteRecordsRequest, DeleteTopicsRequest,
    DescribeClientQuotasRequest, DescribeClusterRequest, DescribeGroupsRequest, DescribeQuorumRequest,
    DescribeTopicPartitionsRequest, DescribeTransactionsRequest, ElectLeadersRequest, EndTxnRequest,
    FindCoordinatorRequest, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, ListGroupsRequest,
    ListPartitionReassignmentsRequest, ListTransactionsRequest, OffsetCommitRequest, OffsetDeleteRequest,
    OffsetFetchRequest, SyncGroupRequest, TxnOffsetCommitRequest, UnregisterBrokerRequest,
    UpdateFeaturesRequest, WriteTxnMarkersRequest,
    add_partitions_to_txn::AddPartitionsToTxnTopic,
    alter_partition_reassignments::{ReassignablePartition, ReassignableTopic},
    create_partitions::{CreatePartitionsAssignment, CreatePartitionsTopic},
    create_topics::{CreatableReplicaAssignment, CreatableTopicConfig},
    delete_records::{DeleteRecordsPartition, DeleteRecordsTopic},
    delete_topics::DeleteTopicState,
    describe_quorum::{RequestPartitionData, RequestTopicData},
    describe_topic_partitions::{RequestCursor, TopicRequest},
    elect_leaders::TopicPartitions,
    list_partition_reassignments::ListPartitionReassignmentsTopics,
    write_txn_markers::{WritableTxnMarker, WritableTxnMarkerTopic},
};

use super::*;

/// Sends a request and takes the answer that must come at once.
macro_rules! ask {
    ($world:expr, $version:expr, $api:ident($request:expr)) => {{
        let sequence = $world.send(Request::$api($request), $version);
        match $world.response(sequence) {
            Response::$api(response) => response,
            other => panic!("another answer: {other:?}"),
        }
    }};
}

/// A request of each kind, for those that need no more than to be answered.
pub(super) fn examples() -> Vec<Request> {
    vec![
        Request::FindCoordinator(FindCoordinatorRequest::default()),
        Request::DeleteRecords(DeleteRecordsRequest::default()),
        Request::CreatePartitions(CreatePartitionsRequest::default()),
        Request::ElectLeaders(ElectLeadersRequest::default()),
        Request::ElectLeaders(ElectLeadersRequest { topic_partitions: None, ..Default::default() }),
        Request::AlterPartitionReassignments(AlterPartitionReassignmentsRequest::default()),
        Request::ListPartitionReassignments(ListPartitionReassignmentsRequest::default()),
        Request::DescribeClientQuotas(DescribeClientQuotasRequest::default()),
        Request::AlterClientQuotas(AlterClientQuotasRequest::default()),
        Request::DescribeQuorum(quorum_of("__cluster_metadata", 0)),
        Request::UpdateFeatures(UpdateFeaturesRequest::default()),
        Request::UnregisterBroker(UnregisterBrokerRequest { broker_id: 9 }),
        Request::JoinGroup(JoinGroupRequest::default()),
        Request::SyncGroup(SyncGroupRequest::default()),
        Request::Heartbeat(HeartbeatRequest::default()),
        Request::LeaveGroup(LeaveGroupRequest::default()),
        Request::OffsetCommit(OffsetCommitRequest::default()),
        Request::OffsetFetch(OffsetFetchRequest { topics: Some(Vec::new()), ..Default::default() }),
        Request::OffsetDelete(OffsetDeleteRequest::default()),
        Request::DescribeGroups(DescribeGroupsRequest::default()),
        Request::ListGroups(ListGroupsRequest::default()),
        Request::DeleteGroups(DeleteGroupsRequest::default()),
        Request::ConsumerGroupHeartbeat(Box::default()),
        Request::ConsumerGroupDescribe(ConsumerGroupDescribeRequest::default()),
        Request::AddPartitionsToTxn(AddPartitionsToTxnRequest::default()),
        Request::AddOffsetsToTxn(AddOffsetsToTxnRequest::default()),
        Request::EndTxn(EndTxnRequest::default()),
        Request::WriteTxnMarkers(WriteTxnMarkersRequest::default()),
        Request::TxnOffsetCommit(TxnOffsetCommitRequest::default()),
        Request::DescribeTransactions(DescribeTransactionsRequest::default()),
        Request::ListTransactions(ListTransactionsRequest::default()),
    ]
}

fn code(number: i16) -> Code {
    Code::from_code(number).expect("a known code")
}

fn grow(world: &mut World, name: &str, count: i32, assignments: Option<&[&[i32]]>) -> Code {
    let assignments = assignments
        .map(|them| them.iter().map(|ids| CreatePartitionsAssignment { broker_ids: ids.to_vec() }).collect());
    let topic = CreatePartitionsTopic { name: name.into(), count, assignments };
    let request = CreatePartitionsRequest { topics: vec![topic], ..Default::default() };
    code(ask!(world, 3, CreatePartitions(request)).results[0].error_code)
}

#[test]
fn new_partitions_take_records_when_their_creation_is_answered() {
    let mut world = World::new();
    world.create("t", 1);
    assert_eq!(grow(&mut world, "t", 3, None), Code::None);
    let records = produce::PartitionProduceData {
        index: 2,
        records: Some(Records::Bytes(batch(1, None))),
        ..Default::default()
    };
    let topic =
        produce::TopicProduceData { name: "t".into(), partition_data: vec![records], ..Default::default() };
    let request =
        ProduceRequest { acks: -1, timeout_ms: 1000, topic_data: vec![topic], ..Default::default() };
    let sequence = world.send(Request::Produce(request), 9);
    world.all_disk();
    assert_eq!(world.produced(sequence), (Code::None, 0));
}

#[test]
fn partitions_that_cannot_be_added_say_why() {
    let mut world = World::new();
    world.create("t", 2);
    for (name, count, assignments, expected) in [
        ("t", 2, None, Code::InvalidPartitions),
        ("t", 1, None, Code::InvalidPartitions),
        ("t", i32::MIN, None, Code::InvalidPartitions),
        ("t", 20_000, None, Code::PolicyViolation),
        ("x", 3, None, Code::UnknownTopicOrPartition),
        ("t", 3, Some(&[&[9][..]][..]), Code::InvalidReplicaAssignment),
        ("t", 4, Some(&[&[1]]), Code::InvalidReplicaAssignment),
        ("t", 3, Some(&[&[1]]), Code::None),
    ] {
        assert_eq!(grow(&mut world, name, count, assignments), expected, "{name} to {count}");
    }
    let topic = CreatePartitionsTopic { name: "t".into(), count: 9, assignments: None };
    let request = CreatePartitionsRequest { topics: vec![topic], validate_only: true, ..Default::default() };
    assert_eq!(ask!(world, 0, CreatePartitions(request)).results[0].error_code, 0);
    assert_eq!(world.node.image().topic_named("t").map(|it| it.partitions.len()), Some(3));
}

fn create(world: &mut World, topic: CreatableTopic, version: i16) -> (Code, Option<String>) {
    let request = CreateTopicsRequest { topics: vec![topic], ..Default::default() };
    let mut response = ask!(world, version, CreateTopics(request));
    let topic = response.topics.pop().expect("one topic");
    (code(topic.error_code), topic.error_message)
}

#[test]
fn topics_that_cannot_be_created_say_why() {
    let mut world = World::new();
    world.create("taken.name", 1);
    let long = "x".repeat(250);
    let named = |name: &str| CreatableTopic {
        name: name.into(),
        num_partitions: -1,
        replication_factor: -1,
        ..Default::default()
    };
    let assigned = |places: &[(i32, &[i32])]| CreatableTopic {
        assignments: places
            .iter()
            .map(|(partition_index, ids)| CreatableReplicaAssignment {
                partition_index: *partition_index,
                broker_ids: ids.to_vec(),
            })
            .collect(),
        ..named("t")
    };
    let config = |name: &str, value: &str| CreatableTopic {
        configs: vec![CreatableTopicConfig { name: name.into(), value: Some(value.into()) }],
        ..named("t")
    };
    let mut without_value = config("retention.ms", "");
    without_value.configs[0].value = None;
    for name in ["", ".", "..", "../x", "a/b", "a\0b", "größe", "__cluster_metadata", &long] {
        assert_eq!(create(&mut world, named(name), 7).0, Code::InvalidTopicException, "{name:?}");
    }
    for (topic, expected) in [
        (named("taken.name"), Code::TopicAlreadyExists),
        (named("taken_name"), Code::InvalidTopicException),
        (CreatableTopic { num_partitions: 0, ..named("t") }, Code::InvalidPartitions),
        (CreatableTopic { num_partitions: 1_000_000, ..named("t") }, Code::PolicyViolation),
        (CreatableTopic { replication_factor: 2, ..named("t") }, Code::InvalidReplicationFactor),
        (CreatableTopic { replication_factor: 0, ..named("t") }, Code::InvalidReplicationFactor),
        (CreatableTopic { num_partitions: 1, ..assigned(&[(0, &[1])]) }, Code::InvalidRequest),
        (assigned(&[(1, &[1])]), Code::InvalidReplicaAssignment),
        (assigned(&[(0, &[1]), (0, &[1])]), Code::InvalidReplicaAssignment),
        (assigned(&[(0, &[1, 1])]), Code::InvalidReplicaAssignment),
        (assigned(&[(0, &[2])]), Code::InvalidReplicaAssignment),
        (assigned(&[(0, &[])]), Code::InvalidReplicaAssignment),
        (config("retention", "1"), Code::InvalidConfig),
        (config("retention.ms", "soon"), Code::InvalidConfig),
        (without_value, Code::InvalidConfig),
        (assigned(&[(0, &[1]), (1, &[1])]), Code::None),
    ] {
        let described = format!("{topic:?}");
        let (code, message) = create(&mut world, topic, 2);
        assert_eq!(code, expected, "{described}");
        assert_eq!(message.is_some(), code != Code::None, "{described}");
    }
    let nothing = CreatableTopic { num_partitions: 0, ..named("u") };
    for (topics, expected) in [
        (vec![named("u"); 2], Code::InvalidRequest),
        (vec![nothing.clone(); 10_000], Code::InvalidRequest),
        (vec![nothing; 10_001], Code::PolicyViolation),
    ] {
        let response = ask!(world, 7, CreateTopics(CreateTopicsRequest { topics, ..Default::default() }));
        let codes: Vec<_> = response.topics.iter().map(|it| code(it.error_code)).collect();
        assert_eq!(codes, [expected]);
    }
}

#[test]
fn topics_are_deleted_by_name_or_id_but_not_by_both() {
    let mut world = World::new();
    let (t, u) = (world.create("t", 1), world.create("u", 1));
    let state = |name: Option<&str>, topic_id| DeleteTopicState { name: name.map(Into::into), topic_id };
    let mut delete = |topics: Vec<DeleteTopicState>| {
        let response = ask!(world, 6, DeleteTopics(DeleteTopicsRequest { topics, ..Default::default() }));
        response.responses.iter().map(|it| (it.name.clone(), code(it.error_code))).collect::<Vec<_>>()
    };
    let name = |name: &str| Some(name.to_owned());
    assert_eq!(
        delete(vec![state(Some("t"), t), state(None, TopicId::ZERO)]),
        [(name("t"), Code::InvalidRequest), (None, Code::InvalidRequest)]
    );
    assert_eq!(
        delete(vec![state(Some("t"), TopicId::ZERO), state(None, t)]),
        [(name("t"), Code::InvalidRequest), (None, Code::InvalidRequest)]
    );
    assert_eq!(
        delete(vec![state(None, t), state(Some("u"), TopicId::ZERO), state(Some("x"), TopicId::ZERO)]),
        [(name("t"), Code::None), (name("u"), Code::None), (name("x"), Code::UnknownTopicOrPartition)]
    );
    assert_eq!(delete(vec![state(None, u)]), [(None, Code::UnknownTopicId)]);
}

fn trim(world: &mut World, name: &str, partition_index: i32, offset: i64) -> (Code, i64) {
    let partition = DeleteRecordsPartition { partition_index, offset };
    let topic = DeleteRecordsTopic { name: name.into(), partitions: vec![partition] };
    let request = DeleteRecordsRequest { topics: vec![topic], timeout_ms: 1000 };
    let sequence = world.send(Request::DeleteRecords(request), 2);
    world.all_disk();
    let Response::DeleteRecords(response) = world.response(sequence) else { panic!("another answer") };
    let partition = &response.topics[0].partitions[0];
    (code(partition.error_code), partition.low_watermark)
}

#[test]
fn deleted_records_are_not_read_any_more() {
    let mut world = World::new();
    world.create("t", 1);
    for _ in 0..3 {
        world.produce("t", -1, batch(2, None));
    }
    world.all_disk();
    assert_eq!(trim(&mut world, "t", 0, 3), (Code::None, 3));
    assert_eq!(trim(&mut world, "t", 0, 1), (Code::None, 3), "what is gone stays gone");
    let fetch = world.fetch("t", 2, 0, 1);
    let Response::Fetch(response) = world.response(fetch) else { panic!("another answer") };
    let partition = &response.responses[0].partitions[0];
    assert_eq!(code(partition.error_code), Code::OffsetOutOfRange);
    let fetch = world.fetch("t", 3, 0, 1);
    let Some(Reply::Fetch { response, .. }) = world.answer(fetch) else { panic!("no records") };
    assert_eq!(response.responses[0].partitions[0].log_start_offset, 3);
    assert_eq!(trim(&mut world, "t", 0, -1), (Code::None, 6));
}

#[test]
fn a_deletion_is_answered_when_it_is_for_good_or_after_its_time() {
    let mut world = World::new();
    world.create("t", 1);
    world.produce("t", -1, batch(2, None));
    world.all_disk();
    let partition = DeleteRecordsPartition { partition_index: 0, offset: 1 };
    let topic = DeleteRecordsTopic { name: "t".into(), partitions: vec![partition] };
    let request = DeleteRecordsRequest { topics: vec![topic], timeout_ms: 1000 };
    let late = world.send(Request::DeleteRecords(request.clone()), 2);
    world.wait_ms(999);
    assert!(world.answer(late).is_none(), "a start would find the records again");
    world.wait_ms(1);
    let Response::DeleteRecords(response) = world.response(late) else { panic!("another answer") };
    assert_eq!(code(response.topics[0].partitions[0].error_code), Code::RequestTimedOut);
    let again = world.send(Request::DeleteRecords(request), 2);
    world.all_disk();
    let Response::DeleteRecords(response) = world.response(again) else { panic!("another answer") };
    assert_eq!(response.topics[0].partitions[0].low_watermark, 1);
    assert!(world.answer(late).is_none(), "one answer only");
}

#[test]
fn records_that_cannot_be_deleted_say_why() {
    let mut world = World::new();
    world.create("t", 1);
    let compacted = CreatableTopic {
        name: "c".into(),
        num_partitions: 1,
        replication_factor: 1,
        configs: vec![CreatableTopicConfig { name: "cleanup.policy".into(), value: Some("compact".into()) }],
        ..Default::default()
    };
    assert_eq!(create(&mut world, compacted, 7).0, Code::None);
    world.create("__consumer_offsets", 1);
    world.produce("t", -1, batch(2, None));
    world.all_disk();
    for (name, partition, offset, expected) in [
        ("t", 0, 3, Code::OffsetOutOfRange),
        ("t", 0, -2, Code::OffsetOutOfRange),
        ("t", 1, 0, Code::UnknownTopicOrPartition),
        ("t", -1, 0, Code::UnknownTopicOrPartition),
        ("x", 0, 0, Code::UnknownTopicOrPartition),
        ("c", 0, 0, Code::PolicyViolation),
        ("__consumer_offsets", 0, 0, Code::InvalidTopicException),
    ] {
        assert_eq!(trim(&mut world, name, partition, offset), (expected, -1), "{name}-{partition}");
    }
}

fn elect(world: &mut World, election_type: i8, topics: Option<&[(&str, i32)]>, version: i16) -> Vec<Code> {
    let topic_partitions = topics.map(|topics| {
        let one = |(topic, partition): &(&str, i32)| TopicPartitions {
            topic: (*topic).into(),
            partitions: vec![*partition],
        };
        topics.iter().map(one).collect()
    });
    let request = ElectLeadersRequest { election_type, topic_partitions, timeout_ms: 1000 };
    let response = ask!(world, version, ElectLeaders(request));
    let partitions = response.replica_election_results.iter().flat_map(|it| &it.partition_result);
    std::iter::once(response.error_code).chain(partitions.map(|it| it.error_code)).map(code).collect()
}

#[test]
fn a_node_alone_leads_already_what_it_could() {
    let mut world = World::new();
    world.create("t", 2);
    for version in 0..=2 {
        for kind in if version == 0 { 0..=0 } else { 0..=1 } {
            assert_eq!(
                elect(&mut world, kind, Some(&[("t", 1), ("t", 2), ("x", 0)]), version),
                [Code::None, Code::ElectionNotNeeded]
                    .into_iter()
                    .chain([Code::UnknownTopicOrPartition; 2])
                    .collect::<Vec<_>>()
            );
            assert_eq!(elect(&mut world, kind, None, version), [Code::None]);
        }
    }
    assert_eq!(elect(&mut world, 7, Some(&[("t", 0)]), 1), [Code::InvalidRequest; 2]);
}

#[test]
fn partitions_move_nowhere_on_a_node_alone() {
    let mut world = World::new();
    world.create("t", 1);
    let mut reassign = |topic: &str, replicas: Option<&[i32]>| {
        let partition = ReassignablePartition { partition_index: 0, replicas: replicas.map(<[i32]>::to_vec) };
        let topic = ReassignableTopic { name: topic.into(), partitions: vec![partition] };
        let request = AlterPartitionReassignmentsRequest { topics: vec![topic], ..Default::default() };
        let response = ask!(world, 1, AlterPartitionReassignments(request));
        assert_eq!(response.error_code, 0);
        code(response.responses[0].partitions[0].error_code)
    };
    assert_eq!(reassign("t", Some(&[1])), Code::None);
    assert_eq!(reassign("t", Some(&[1, 2])), Code::InvalidReplicaAssignment);
    assert_eq!(reassign("t", Some(&[])), Code::InvalidReplicaAssignment);
    assert_eq!(reassign("t", None), Code::NoReassignmentInProgress);
    assert_eq!(reassign("x", Some(&[1])), Code::UnknownTopicOrPartition);
    let named = ListPartitionReassignmentsTopics { name: "t".into(), partition_indexes: vec![0] };
    for topics in [None, Some(vec![named])] {
        let request = ListPartitionReassignmentsRequest { topics, ..Default::default() };
        let response = ask!(world, 0, ListPartitionReassignments(request));
        assert_eq!((response.error_code, response.topics.len()), (0, 0));
    }
}

#[test]
fn no_request_names_more_partitions_than_any_broker_has() {
    let mut world = World::new();
    for (count, closed) in [(100_000, 0), (100_001, 1)] {
        let topic = TopicPartitions { topic: "t".into(), partitions: (0..count).collect() };
        let elections = ElectLeadersRequest { topic_partitions: Some(vec![topic]), ..Default::default() };
        let partition = DeleteRecordsPartition { partition_index: 0, offset: -1 };
        let topic = DeleteRecordsTopic {
            name: "t".into(),
            partitions: vec![partition; count.unsigned_abs() as usize],
        };
        let deletions = DeleteRecordsRequest { topics: vec![topic], ..Default::default() };
        let partition_indexes = (0..count).collect();
        let topic = ListPartitionReassignmentsTopics { name: "t".into(), partition_indexes };
        let listing = ListPartitionReassignmentsRequest { topics: Some(vec![topic]), ..Default::default() };
        let topic = WritableTxnMarkerTopic {
            name: "t".into(),
            partition_indexes: vec![0; count.unsigned_abs() as usize],
        };
        let marker = WritableTxnMarker { producer_id: 1, topics: vec![topic], ..Default::default() };
        let marks = WriteTxnMarkersRequest { markers: vec![marker] };
        let topic =
            AddPartitionsToTxnTopic { name: "t".into(), partitions: vec![0; count.unsigned_abs() as usize] };
        let adding = AddPartitionsToTxnRequest { v3_and_below_topics: vec![topic], ..Default::default() };
        for (request, version) in [
            (Request::WriteTxnMarkers(marks), 1),
            (Request::AddPartitionsToTxn(adding), 3),
            (Request::ElectLeaders(elections), 2),
            (Request::DeleteRecords(deletions), 2),
            (Request::ListPartitionReassignments(listing), 0),
        ] {
            world.send(request, version);
            assert_eq!(std::mem::take(&mut world.closed).len(), closed, "{count}");
        }
    }
}

fn quorum_of(name: &str, partition_index: i32) -> DescribeQuorumRequest {
    let partitions = vec![RequestPartitionData { partition_index }];
    DescribeQuorumRequest { topics: vec![RequestTopicData { topic_name: name.into(), partitions }] }
}

#[test]
fn the_metadata_log_is_described() {
    let mut world = World::new();
    for version in 0..=2 {
        let request = quorum_of("__cluster_metadata", 0);
        let response = ask!(world, version, DescribeQuorum(request));
        let log = &response.topics[0].partitions[0];
        assert_eq!((log.error_code, log.leader_id, log.leader_epoch), (0, 1, 1));
        assert_eq!(log.high_watermark as usize, world.entries.len());
        let voters: Vec<_> = log.current_voters.iter().map(|it| (it.replica_id, it.log_end_offset)).collect();
        assert_eq!(voters, [(1, log.high_watermark)]);
        assert!(log.observers.is_empty());
        assert_eq!(response.nodes.len(), usize::from(version == 2));
    }
    for request in [quorum_of("t", 0), quorum_of("__cluster_metadata", 1)] {
        let response = ask!(world, 2, DescribeQuorum(request));
        let partition = &response.topics[0].partitions[0];
        assert_eq!(code(partition.error_code), Code::UnknownTopicOrPartition);
    }
}

#[test]
fn the_quorum_is_told_as_the_engine_has_it() {
    let mut world = World::new();
    world.hold_descriptions = true;
    let describe = || Request::DescribeQuorum(quorum_of("__cluster_metadata", 0));
    let asked = [world.send(describe(), 2), world.send(describe(), 0)];
    assert_eq!(world.descriptions, 1, "who asks meanwhile gets the same answer");
    let (disk, mut quorum) = (Uuid::from_u128(9), world.alone());
    let other = ReplicaDescription {
        id: BrokerId(2),
        directory: Some(disk),
        is_voter: true,
        end: Some(3),
        heard_ms: Some(40),
        caught_up_ms: None,
        address: None,
    };
    let silent =
        ReplicaDescription { id: BrokerId(3), is_voter: false, end: None, heard_ms: None, ..other.clone() };
    quorum.replicas.extend([other, silent]);
    quorum.committed = 7;
    world.step(Event::Quorum(Output::Described(quorum)));
    for (sequence, version) in asked.into_iter().zip([2, 0]) {
        let Response::DescribeQuorum(response) = world.response(sequence) else { panic!("another answer") };
        let log = &response.topics[0].partitions[0];
        assert_eq!((log.high_watermark, log.leader_id, log.current_voters.len()), (7, 1, 2));
        let (voter, observer) = (&log.current_voters[1], &log.observers[0]);
        assert_eq!((voter.replica_id, voter.log_end_offset), (2, 3));
        assert_eq!(voter.last_fetch_timestamp, world.wall.0 - 40);
        assert_eq!(voter.last_caught_up_timestamp, -1);
        assert_eq!(voter.replica_directory_id, if version == 2 { disk } else { Uuid::nil() });
        assert_eq!(
            (observer.replica_id, observer.log_end_offset, observer.last_fetch_timestamp),
            (3, -1, -1)
        );
    }

    // Whoever is deposed meanwhile does not know it any more, and nobody waits who is gone.
    let late = world.send(describe(), 2);
    world.step(Event::Quorum(Output::NoLongerLeader));
    world.step(Event::Quorum(Output::Described(world.alone())));
    let Response::DescribeQuorum(response) = world.response(late) else { panic!("another answer") };
    assert_eq!(code(response.topics[0].partitions[0].error_code), Code::NotLeaderOrFollower);
    let nobody = ask!(world, 2, DescribeQuorum(quorum_of("__cluster_metadata", 0)));
    assert_eq!(code(nobody.error_code), Code::NotLeaderOrFollower);
    world.step(Event::Quorum(Output::Leader { epoch: ControllerEpoch(2) }));
    world.send(describe(), 2);
    world.step(Event::Closed(CONNECTION));
    world.step(Event::Quorum(Output::Described(world.alone())));
    assert!(world.replies.is_empty(), "{:?}", world.replies);
}

#[test]
fn a_broker_that_is_unregistered_registers_again_while_it_lives() {
    let mut world = World::new();
    world.create("t", 1);
    let unregister = |broker_id| UnregisterBrokerRequest { broker_id };
    let response = ask!(world, 0, UnregisterBroker(unregister(2)));
    assert_eq!(code(response.error_code), Code::BrokerIdNotRegistered);
    let response = ask!(world, 0, UnregisterBroker(unregister(1)));
    assert_eq!(code(response.error_code), Code::None);
    world.wait_ms(1000);
    assert!(world.view.as_ref().is_some_and(|view| view.ready));
    // The engine is told, by metadata alone: another that reads them says the same.
    let directory = world.config.directory;
    let told = [true, false, true].map(|is_there| Registration { id: BrokerId(1), directory, is_there });
    assert_eq!(world.registrations, told);
    let late = world.produce("t", -1, batch(1, None));
    world.all_disk();
    assert_eq!(world.produced(late), (Code::None, 0));
}

#[test]
fn a_client_that_meant_another_broker_looks_for_its_cluster_again() {
    let mut world = World::new();
    let cluster = world.node.image().cluster_id().expect("it has one").to_string();
    let ours = Some(cluster.as_str());
    for (cluster_id, node_id, expected) in [
        (None, -1, Code::None),
        (ours, 1, Code::None),
        (ours, 2, Code::RebootstrapRequired),
        (Some("other"), 1, Code::RebootstrapRequired),
        (ours, -1, Code::InvalidRequest),
        (None, 1, Code::InvalidRequest),
    ] {
        let request = ApiVersionsRequest {
            client_software_name: "a".into(),
            client_software_version: "1".into(),
            cluster_id: cluster_id.map(Into::into),
            node_id,
        };
        let response = ask!(world, 5, ApiVersions(request));
        assert_eq!(code(response.error_code), expected, "{cluster_id:?} {node_id}");
        assert_eq!(response.api_keys.is_empty(), expected != Code::None);
    }
}

#[test]
fn the_first_who_looks_for_a_coordinator_has_its_topic_made() {
    let mut world = World::new();
    for version in 0..=6 {
        for (key_type, expected) in [(0, Code::None), (1, Code::None), (9, Code::InvalidRequest)] {
            if version == 0 && key_type != 0 {
                continue;
            }
            let mut request = FindCoordinatorRequest { key_type, ..Default::default() };
            if version < 4 {
                request.key = "g".into();
            } else {
                request.coordinator_keys = vec!["g".into(), "h".into()];
            }
            let response = ask!(world, version, FindCoordinator(request));
            let codes: Vec<_> = if version < 4 {
                vec![(response.error_code, response.node_id)]
            } else {
                response.coordinators.iter().map(|it| (it.error_code, it.node_id)).collect()
            };
            assert_eq!(codes.len(), if version < 4 { 1 } else { 2 });
            let node = if expected == Code::None { 1 } else { -1 };
            assert!(codes.iter().all(|it| *it == (expected.code(), node)), "version {version}: {codes:?}");
        }
    }
}

#[test]
fn everybody_may_do_everything_where_nobody_is_refused() {
    let mut world = World::new();
    world.create("t", 1);
    for (is_asked, topic, cluster) in [(false, i32::MIN, i32::MIN), (true, 3576, 8096)] {
        let request = MetadataRequest {
            topics: None,
            include_cluster_authorized_operations: is_asked,
            include_topic_authorized_operations: is_asked,
            ..Default::default()
        };
        let response = ask!(world, 8, Metadata(request));
        assert_eq!(response.topics[0].topic_authorized_operations, topic);
        assert_eq!(response.cluster_authorized_operations, cluster);
        let request =
            DescribeClusterRequest { include_cluster_authorized_operations: is_asked, ..Default::default() };
        assert_eq!(ask!(world, 0, DescribeCluster(request)).cluster_authorized_operations, cluster);
    }
    let request = DescribeTopicPartitionsRequest { response_partition_limit: 10, ..Default::default() };
    let response = ask!(world, 0, DescribeTopicPartitions(request));
    assert_eq!(response.topics[0].topic_authorized_operations, 3576);
}

#[test]
fn a_cluster_is_asked_for_its_brokers_only() {
    let mut world = World::new();
    for (endpoint_type, expected) in
        [(1, Code::None), (2, Code::MismatchedEndpointType), (3, Code::UnsupportedEndpointType)]
    {
        let request = DescribeClusterRequest { endpoint_type, ..Default::default() };
        let response = ask!(world, 2, DescribeCluster(request));
        assert_eq!(code(response.error_code), expected);
        assert_eq!(response.brokers.len(), usize::from(expected == Code::None));
    }
}

#[test]
fn a_topic_that_is_named_again_is_described_once() {
    let mut world = World::new();
    let id = world.create("t", 100);
    let named = |name: &str| MetadataRequestTopic { name: Some(name.into()), ..Default::default() };
    let request = MetadataRequest {
        topics: Some(["t", "other", "t", "other", "t"].map(named).into()),
        ..Default::default()
    };
    let told = ask!(world, 9, Metadata(request)).topics;
    assert_eq!(told.iter().map(|it| it.name.as_deref()).collect::<Vec<_>>(), [Some("t"), Some("other")]);
    let by_name = named("t");
    let by_id = MetadataRequestTopic { name: None, topic_id: id };
    let unknown = MetadataRequestTopic { name: None, topic_id: TopicId(Uuid::from_u128(9)) };
    for topic in [by_name, by_id, unknown] {
        let request = MetadataRequest { topics: Some(vec![topic; 1000]), ..Default::default() };
        assert_eq!(ask!(world, 12, Metadata(request)).topics.len(), 1);
    }
}

#[test]
fn metadata_is_asked_for_by_name_or_by_id() {
    let mut world = World::new();
    let (t, other) = (world.create("t", 1), TopicId(Uuid::from_u128(9)));
    let old = (Some(""), Code::InvalidRequest);
    for (name, topic_id, before_12, expected) in [
        (Some("t"), TopicId::ZERO, (Some("t"), Code::None), (Some("t"), Code::None)),
        (None, t, old, (Some("t"), Code::None)),
        (Some("u"), t, (Some("u"), Code::InvalidRequest), (Some("t"), Code::None)),
        (None, other, old, (None, Code::UnknownTopicId)),
        (None, TopicId::ZERO, old, (None, Code::UnknownTopicId)),
    ] {
        let topic = MetadataRequestTopic { name: name.map(Into::into), topic_id };
        for version in 10..=13 {
            let request = MetadataRequest { topics: Some(vec![topic.clone()]), ..Default::default() };
            let told = &ask!(world, version, Metadata(request)).topics[0];
            let expected = if version < 12 { before_12 } else { expected };
            assert_eq!((told.name.as_deref(), code(told.error_code)), expected, "version {version}");
        }
    }
}

#[test]
fn a_page_begins_where_a_page_can_begin() {
    let mut world = World::new();
    world.create("t", 3);
    let mut page = |topics: &[&str], cursor: Option<(&str, i32)>| {
        let request = DescribeTopicPartitionsRequest {
            topics: topics.iter().map(|name| TopicRequest { name: (*name).into() }).collect(),
            response_partition_limit: 2,
            cursor: cursor
                .map(|(name, partition_index)| RequestCursor { topic_name: name.into(), partition_index }),
        };
        let response = ask!(world, 0, DescribeTopicPartitions(request));
        let topics = response.topics.iter().map(|it| (code(it.error_code), it.partitions.len()));
        (topics.collect::<Vec<_>>(), response.next_cursor.map(|it| it.partition_index))
    };
    assert_eq!(page(&["t"], None), (vec![(Code::None, 2)], Some(2)));
    assert_eq!(page(&["t"], Some(("t", 2))), (vec![(Code::None, 1)], None));
    assert_eq!(page(&["t"], Some(("t", -1))), (vec![(Code::InvalidRequest, 0)], None));
    assert_eq!(page(&["t"], Some(("u", 0))), (vec![(Code::InvalidRequest, 0)], None));
}
