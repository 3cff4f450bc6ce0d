//! Transactions within a node: their coordinator, the partitions they write to, and the offsets that come with them.

use bytes::Bytes;
use klamm_model::{
    BatchBuilder, ErrorCode as Code, Producer, ProducerEpoch, ProducerId, Seal, Timestamp, TopicId,
};
use klamm_wire::{
    AddPartitionsToTxnRequest, EndTxnRequest, EndTxnResponse, FetchRequest, FindCoordinatorRequest,
    InitProducerIdRequest, InitProducerIdResponse, ListTransactionsRequest, OffsetFetchRequest,
    ProduceRequest, Records, Request, Response, TxnOffsetCommitRequest, WriteTxnMarkersRequest,
    add_partitions_to_txn::AddPartitionsToTxnTopic,
    fetch::{FetchPartition, FetchTopic, PartitionData},
    offset_fetch::OffsetFetchRequestTopic,
    produce::{PartitionProduceData, TopicProduceData},
    txn_offset_commit::{TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic},
    write_txn_markers::{WritableTxnMarker, WritableTxnMarkerTopic},
};

mod world;
use world::World;

macro_rules! taken {
    ($world:expr, $sequence:expr, $api:ident) => {
        match $world.response($sequence) {
            Response::$api(response) => response,
            other => panic!("another answer: {other:?}"),
        }
    };
}

macro_rules! ask {
    ($world:expr, $version:expr, $api:ident($request:expr)) => {{
        let sequence = $world.send(Request::$api($request), $version);
        $world.all_disk();
        taken!($world, sequence, $api)
    }};
}

fn code(number: i16) -> Code {
    Code::from_code(number).expect("a known code")
}

/// A node with both kinds of coordinators and a topic `t`.
fn with_coordinators() -> (World, TopicId) {
    let mut world = World::new();
    for key_type in [0, 1] {
        let request = FindCoordinatorRequest { key: "any".into(), key_type, ..Default::default() };
        assert_eq!(code(ask!(world, 3, FindCoordinator(request)).error_code), Code::None);
    }
    let topic = world.create("t", 1);
    (world, topic)
}

fn init(world: &mut World) -> InitProducerIdResponse {
    let request = InitProducerIdRequest {
        transactional_id: Some("x".into()),
        transaction_timeout_ms: 60_000,
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    };
    let response = ask!(world, 4, InitProducerId(request));
    assert_eq!(code(response.error_code), Code::None);
    response
}

fn records(who: &InitProducerIdResponse, base_sequence: i32) -> Bytes {
    let mut builder = BatchBuilder::default();
    // Marks have the time of the broker: what lies far before it is another segment.
    builder.append(Timestamp(1_700_000_000_000), None, Some(b"value"), &[]);
    let producer = Some(Producer {
        id: ProducerId(who.producer_id),
        epoch: ProducerEpoch(who.producer_epoch),
        base_sequence,
    });
    builder.finish(&Seal { producer, is_transactional: true, ..Seal::default() })
}

/// The code and the base offset.
fn produce(world: &mut World, topic: TopicId, version: i16, id: Option<&str>, records: Bytes) -> (Code, i64) {
    let partition = PartitionProduceData { records: Some(Records::Bytes(records)), ..Default::default() };
    let topic = TopicProduceData {
        name: "t".into(),
        topic_id: topic,
        partition_data: vec![partition],
        ..Default::default()
    };
    let request = ProduceRequest {
        transactional_id: id.map(Into::into),
        acks: -1,
        timeout_ms: 1000,
        topic_data: vec![topic],
        ..Default::default()
    };
    let response = ask!(world, version, Produce(request));
    let partition = &response.responses[0].partition_responses[0];
    (code(partition.error_code), partition.base_offset)
}

fn add_partition(world: &mut World, who: &InitProducerIdResponse) -> Code {
    let request = AddPartitionsToTxnRequest {
        v3_and_below_transactional_id: "x".into(),
        v3_and_below_producer_id: who.producer_id,
        v3_and_below_producer_epoch: who.producer_epoch,
        v3_and_below_topics: vec![AddPartitionsToTxnTopic { name: "t".into(), partitions: vec![0] }],
        ..Default::default()
    };
    let response = ask!(world, 3, AddPartitionsToTxn(request));
    code(response.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code)
}

fn end(world: &mut World, version: i16, who: &InitProducerIdResponse, committed: bool) -> EndTxnResponse {
    let request = EndTxnRequest {
        transactional_id: "x".into(),
        producer_id: who.producer_id,
        producer_epoch: who.producer_epoch,
        committed,
    };
    ask!(world, version, EndTxn(request))
}

fn fetch(world: &mut World) -> PartitionData {
    let partition = FetchPartition {
        partition_max_bytes: 1 << 20,
        current_leader_epoch: -1,
        last_fetched_epoch: -1,
        ..Default::default()
    };
    let topic = FetchTopic { topic: "t".into(), partitions: vec![partition], ..Default::default() };
    let request =
        FetchRequest { max_bytes: 1 << 20, isolation_level: 1, topics: vec![topic], ..Default::default() };
    let sequence = world.send(Request::Fetch(request), 12);
    let reply = world.answer(sequence).expect("an answer at once");
    let (Response::Fetch(mut response), _) = world.complete(reply) else { panic!("another answer") };
    response.responses[0].partitions.remove(0)
}

#[test]
fn the_older_protocol_adds_its_partitions_first() {
    let (mut world, topic) = with_coordinators();
    let who = init(&mut world);
    let refused = produce(&mut world, topic, 9, Some("x"), records(&who, 0));
    assert_eq!(refused, (Code::InvalidTxnState, -1), "a partition that the coordinator knows nothing of");
    assert_eq!(add_partition(&mut world, &who), Code::None);
    assert_eq!(produce(&mut world, topic, 9, Some("x"), records(&who, 0)), (Code::None, 0));
    assert_eq!(fetch(&mut world).last_stable_offset, 0);
    let ended = end(&mut world, 4, &who, true);
    assert_eq!(code(ended.error_code), Code::None);
    let data = fetch(&mut world);
    assert_eq!((data.last_stable_offset, data.high_watermark), (2, 2));
    assert_eq!(data.aborted_transactions.map(|it| it.len()), Some(0));
}

#[test]
fn the_newer_protocol_needs_no_word_and_has_an_epoch_for_each_transaction() {
    let (mut world, topic) = with_coordinators();
    let mut who = init(&mut world);
    for (number, committed) in [true, false].into_iter().enumerate() {
        let sent = produce(&mut world, topic, 13, Some("x"), records(&who, 0));
        assert_eq!(sent, (Code::None, 2 * number as i64));
        let ended = end(&mut world, 5, &who, committed);
        assert_eq!(code(ended.error_code), Code::None);
        assert_eq!((ended.producer_id, ended.producer_epoch), (who.producer_id, who.producer_epoch + 1));
        let late = produce(&mut world, topic, 13, Some("x"), records(&who, 1));
        assert_eq!(late.0, Code::InvalidProducerEpoch, "the transaction is over");
        who.producer_epoch = ended.producer_epoch;
    }
    let data = fetch(&mut world);
    assert_eq!((data.last_stable_offset, data.high_watermark), (4, 4));
    let aborted = data.aborted_transactions.expect("a list");
    assert_eq!(aborted.iter().map(|it| it.first_offset).collect::<Vec<_>>(), [2]);
}

#[test]
fn a_newer_producer_fences_and_aborts() {
    let (mut world, topic) = with_coordinators();
    let old = init(&mut world);
    assert_eq!(produce(&mut world, topic, 13, Some("x"), records(&old, 0)), (Code::None, 0));
    let new = init(&mut world);
    assert!(old.producer_epoch < new.producer_epoch);
    assert_eq!(fetch(&mut world).aborted_transactions.map(|it| it.len()), Some(1));
    assert_eq!(produce(&mut world, topic, 13, Some("x"), records(&old, 1)).0, Code::InvalidProducerEpoch);
    assert_eq!(code(end(&mut world, 5, &old, true).error_code), Code::ProducerFenced);
}

#[test]
fn a_transaction_that_is_forgotten_is_aborted_in_time() {
    let (mut world, topic) = with_coordinators();
    let who = init(&mut world);
    assert_eq!(produce(&mut world, topic, 13, Some("x"), records(&who, 0)), (Code::None, 0));
    world.wait_ms(60_000);
    world.all_disk();
    let data = fetch(&mut world);
    assert_eq!((data.last_stable_offset, data.aborted_transactions.map(|it| it.len())), (2, Some(1)));
    assert_eq!(code(end(&mut world, 5, &who, true).error_code), Code::InvalidTxnState);
}

fn commit_offsets(world: &mut World, version: i16, who: &InitProducerIdResponse, offset: i64) -> Code {
    let partition = TxnOffsetCommitRequestPartition {
        committed_offset: offset,
        committed_leader_epoch: -1,
        ..Default::default()
    };
    let topic =
        TxnOffsetCommitRequestTopic { name: "t".into(), partitions: vec![partition], ..Default::default() };
    let request = TxnOffsetCommitRequest {
        transactional_id: "x".into(),
        group_id: "g".into(),
        producer_id: who.producer_id,
        producer_epoch: who.producer_epoch,
        generation_id_or_member_epoch: -1,
        topics: vec![topic],
        ..Default::default()
    };
    let response = ask!(world, version, TxnOffsetCommit(request));
    code(response.topics[0].partitions[0].error_code)
}

fn committed(world: &mut World, require_stable: bool) -> (Code, i64) {
    let topic = OffsetFetchRequestTopic { name: "t".into(), partition_indexes: vec![0] };
    let request = OffsetFetchRequest {
        group_id: "g".into(),
        topics: Some(vec![topic]),
        require_stable,
        ..Default::default()
    };
    let response = ask!(world, 7, OffsetFetch(request));
    let partition = &response.topics[0].partitions[0];
    (code(partition.error_code), partition.committed_offset)
}

#[test]
fn offsets_count_when_their_transaction_does_and_are_there_after_a_restart() {
    let (mut world, _) = with_coordinators();
    let mut who = init(&mut world);
    // The older protocol adds the group's partition first.
    assert_eq!(commit_offsets(&mut world, 3, &who, 1), Code::InvalidTxnState);
    assert_eq!(commit_offsets(&mut world, 4, &who, 1), Code::TransactionAbortable);
    for (offset, is_committed, expected) in [(5, true, 5), (9, false, 5), (7, true, 7)] {
        assert_eq!(commit_offsets(&mut world, 5, &who, offset), Code::None);
        assert_eq!(committed(&mut world, true).0, Code::UnstableOffsetCommit);
        let ended = end(&mut world, 5, &who, is_committed);
        assert_eq!(code(ended.error_code), Code::None);
        who.producer_epoch = ended.producer_epoch;
        assert_eq!(committed(&mut world, true), (Code::None, expected));
    }
    assert_eq!(commit_offsets(&mut world, 5, &who, 8), Code::None);
    world.restart_with_logs();
    assert_eq!(committed(&mut world, true).0, Code::UnstableOffsetCommit);
    let ended = end(&mut world, 5, &who, true);
    assert_eq!(code(ended.error_code), Code::None);
    assert_eq!(committed(&mut world, true), (Code::None, 8));
}

#[test]
fn an_operator_may_end_what_hangs() {
    let (mut world, topic) = with_coordinators();
    let who = init(&mut world);
    assert_eq!(produce(&mut world, topic, 13, Some("x"), records(&who, 0)), (Code::None, 0));
    let listed = ask!(
        world,
        1,
        ListTransactions(ListTransactionsRequest { duration_filter: -1, ..Default::default() })
    );
    assert_eq!(listed.transaction_states[0].transaction_state, "Ongoing");
    let topics = vec![
        WritableTxnMarkerTopic { name: "t".into(), partition_indexes: vec![0, 9] },
        WritableTxnMarkerTopic { name: "none".into(), partition_indexes: vec![0] },
    ];
    let marker = WritableTxnMarker {
        producer_id: who.producer_id,
        producer_epoch: who.producer_epoch,
        coordinator_epoch: 0,
        topics,
        ..Default::default()
    };
    let response = ask!(world, 1, WriteTxnMarkers(WriteTxnMarkersRequest { markers: vec![marker] }));
    let codes = response.markers[0].topics.iter().flat_map(|it| &it.partitions).map(|it| code(it.error_code));
    let unknown = Code::UnknownTopicOrPartition;
    assert_eq!(codes.collect::<Vec<_>>(), [Code::None, unknown, unknown]);
    assert_eq!(fetch(&mut world).last_stable_offset, 2);
}

#[test]
fn records_of_a_transaction_need_its_name() {
    let (mut world, topic) = with_coordinators();
    let who = init(&mut world);
    let refused = produce(&mut world, topic, 13, None, records(&who, 0));
    assert_eq!(refused.0, Code::TransactionalIdAuthorizationFailed);
}
