//! Transactions within a node: their coordinator, the partitions they write to, and the offsets that come with them.

use bytes::Bytes;
use klamm_cluster::record::Record;
use klamm_coordinator::record::{Transaction, TransactionRecord, TransactionState, TransactionVersion};
use klamm_log::{Done, Log, LogConfig};
use klamm_model::{
    BatchBuilder, BrokerId, ControllerEpoch, ErrorCode as Code, LeaderEpoch, Offset, PartitionIndex,
    Producer, ProducerEpoch, ProducerId, Seal, Timestamp, TopicId, TopicPartition,
};
use klamm_node::{Event, Listener, PeerFailure};
use klamm_wire::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, EndTxnRequest,
    EndTxnResponse, FetchRequest, FindCoordinatorRequest, InitProducerIdRequest, InitProducerIdResponse,
    ListTransactionsRequest, OffsetFetchRequest, ProduceRequest, Records, Request, Response,
    TxnOffsetCommitRequest, WriteTxnMarkersRequest, WriteTxnMarkersResponse,
    add_partitions_to_txn::{
        AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopic,
        AddPartitionsToTxnTopicResult,
    },
    fetch::{FetchPartition, FetchTopic, PartitionData},
    offset_fetch::OffsetFetchRequestTopic,
    produce::{PartitionProduceData, TopicProduceData},
    txn_offset_commit::{TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic},
    write_txn_markers::{
        WritableTxnMarker, WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopic,
        WritableTxnMarkerTopicResult,
    },
};

use crate::world::{World, another};

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

fn offset(raw: i64) -> Offset {
    Offset::from_wire(raw).expect("no sentinel")
}

/// The partition that has what is known of the transactional id `x`.
fn coordinator_of_x(world: &World) -> TopicPartition {
    let topic = world.node.image().topic_named("__transaction_state").expect("it was made").id;
    TopicPartition { topic, partition: PartitionIndex(20) }
}

/// A node with both kinds of coordinators and a topic `t`.
fn with_coordinators() -> (World, TopicId) {
    let mut world = World::new();
    for key_type in [0, 1] {
        let request = FindCoordinatorRequest { key: "any".into(), key_type, ..Default::default() };
        assert_eq!(code(ask!(world, 3, FindCoordinator(request)).error_code), Code::None);
    }
    let topic = world.create("t", 2);
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

/// A batch of one record for each of these partitions, by their sequence numbers.
fn send(
    world: &mut World,
    topic: TopicId,
    version: i16,
    who: &InitProducerIdResponse,
    to: &[(i32, i32)],
) -> u64 {
    let data = |(index, sequence): &(i32, i32)| PartitionProduceData {
        index: *index,
        records: Some(Records::Bytes(records(who, *sequence))),
    };
    let partition_data = to.iter().map(data).collect();
    send_data(world, topic, version, Some("x"), partition_data)
}

fn send_data(
    world: &mut World,
    topic_id: TopicId,
    version: i16,
    id: Option<&str>,
    partition_data: Vec<PartitionProduceData>,
) -> u64 {
    let topic = TopicProduceData { name: "t".into(), topic_id, partition_data };
    let request = ProduceRequest {
        transactional_id: id.map(Into::into),
        acks: -1,
        timeout_ms: 1000,
        topic_data: vec![topic],
        ..Default::default()
    };
    world.send(Request::Produce(request), version)
}

/// The codes and the base offsets.
fn sent(world: &mut World, sequence: u64) -> Vec<(Code, i64)> {
    let response = taken!(world, sequence, Produce);
    let partitions = response.responses[0].partition_responses.iter();
    partitions.map(|it| (code(it.error_code), it.base_offset)).collect()
}

fn produce(world: &mut World, topic: TopicId, version: i16, id: Option<&str>, records: Bytes) -> (Code, i64) {
    let data = PartitionProduceData { records: Some(Records::Bytes(records)), ..Default::default() };
    let sequence = send_data(world, topic, version, id, vec![data]);
    world.all_disk();
    sent(world, sequence).remove(0)
}

fn adding(who: &InitProducerIdResponse, topic: &str, partitions: &[i32]) -> AddPartitionsToTxnRequest {
    AddPartitionsToTxnRequest {
        v3_and_below_transactional_id: "x".into(),
        v3_and_below_producer_id: who.producer_id,
        v3_and_below_producer_epoch: who.producer_epoch,
        v3_and_below_topics: vec![AddPartitionsToTxnTopic {
            name: topic.into(),
            partitions: partitions.to_vec(),
        }],
        ..Default::default()
    }
}

fn add_partition(world: &mut World, who: &InitProducerIdResponse) -> Code {
    let response = ask!(world, 3, AddPartitionsToTxn(adding(who, "t", &[0])));
    code(response.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code)
}

fn ending(who: &InitProducerIdResponse, committed: bool) -> EndTxnRequest {
    EndTxnRequest {
        transactional_id: "x".into(),
        producer_id: who.producer_id,
        producer_epoch: who.producer_epoch,
        committed,
    }
}

fn end(world: &mut World, version: i16, who: &InitProducerIdResponse, committed: bool) -> EndTxnResponse {
    ask!(world, version, EndTxn(ending(who, committed)))
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
    assert_eq!(code(end(&mut world, 5, &who, true).error_code), Code::ProducerFenced);
}

fn commit_offsets(world: &mut World, version: i16, who: &InitProducerIdResponse, offset: i64) -> Code {
    let sequence = send_offsets(world, version, who, offset);
    world.all_disk();
    offsets_sent(world, sequence)
}

fn offsets_sent(world: &mut World, sequence: u64) -> Code {
    code(taken!(world, sequence, TxnOffsetCommit).topics[0].partitions[0].error_code)
}

fn send_offsets(world: &mut World, version: i16, who: &InitProducerIdResponse, offset: i64) -> u64 {
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
    world.send(Request::TxnOffsetCommit(request), version)
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

/// Producers of the older protocol look for the group's coordinator, who has its topic made, only afterwards.
#[test]
fn a_group_is_added_to_a_transaction_before_anybody_has_looked_for_its_coordinator() {
    let mut world = World::new();
    let request = FindCoordinatorRequest { key: "x".into(), key_type: 1, ..Default::default() };
    assert_eq!(code(ask!(world, 3, FindCoordinator(request)).error_code), Code::None);
    let who = init(&mut world);
    // The second time shows that the first transaction came to its end, with nothing there to mark.
    for _ in 0..2 {
        let request = AddOffsetsToTxnRequest {
            transactional_id: "x".into(),
            producer_id: who.producer_id,
            producer_epoch: who.producer_epoch,
            group_id: "g".into(),
        };
        assert_eq!(code(ask!(world, 3, AddOffsetsToTxn(request)).error_code), Code::None);
        assert_eq!(code(end(&mut world, 4, &who, true).error_code), Code::None);
    }
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
    let report = world.node.report();
    assert_eq!((report.open_transactions, report.oldest_transaction), (1, Some(world.wall)));
    let abort = mark(&who, &[("t", &[0, 9]), ("none", &[0])]);
    let unknown = Code::UnknownTopicOrPartition;
    assert_eq!(write_mark(&mut world, Listener::Client, abort), [Code::None, unknown, unknown]);
    assert_eq!(fetch(&mut world).last_stable_offset, 2);
}

/// An abort, by a coordinator of epoch 0.
fn mark(who: &InitProducerIdResponse, topics: &[(&str, &[i32])]) -> WritableTxnMarker {
    let topic = |(name, partitions): &(&str, &[i32])| WritableTxnMarkerTopic {
        name: (*name).into(),
        partition_indexes: partitions.to_vec(),
    };
    WritableTxnMarker {
        producer_id: who.producer_id,
        producer_epoch: who.producer_epoch,
        topics: topics.iter().map(topic).collect(),
        ..Default::default()
    }
}

/// What is said of each partition, in their order.
fn write_mark(world: &mut World, listener: Listener, marker: WritableTxnMarker) -> Vec<Code> {
    let version = if marker.transaction_version == 0 { 1 } else { 2 };
    let request = WriteTxnMarkersRequest { markers: vec![marker] };
    let sequence = world.send_on(listener, Request::WriteTxnMarkers(request), version);
    world.all_disk();
    let response = taken!(world, sequence, WriteTxnMarkers);
    let partitions = response.markers[0].topics.iter().flat_map(|it| &it.partitions);
    partitions.map(|it| code(it.error_code)).collect()
}

#[test]
fn records_of_a_transaction_need_its_name() {
    let (mut world, topic) = with_coordinators();
    let who = init(&mut world);
    let refused = produce(&mut world, topic, 13, None, records(&who, 0));
    assert_eq!(refused.0, Code::TransactionalIdAuthorizationFailed);
}

/// The mark of the last one comes between the question of whether the coordinator knows of the next one and its answer.
#[test]
fn a_transaction_may_begin_before_the_marks_of_the_last_one_are_written() {
    let (mut world, topic) = with_coordinators();
    let mut who = init(&mut world);
    let mut sequence = send(&mut world, topic, 13, &who, &[(0, 0)]);
    for number in 0..3 {
        world.all_disk();
        assert_eq!(sent(&mut world, sequence), [(Code::None, 2 * number)]);
        let ended = world.send(Request::EndTxn(ending(&who, true)), 5);
        who.producer_epoch += 1;
        sequence = send(&mut world, topic, 13, &who, &[(0, 0)]);
        world.all_disk();
        assert_eq!(code(taken!(world, ended, EndTxn).error_code), Code::None);
    }
    assert_eq!(sent(&mut world, sequence), [(Code::None, 6)]);
}

/// What `__consumer_offsets` has of the group `g`.
const OFFSETS: (&str, &[i32]) = ("__consumer_offsets", &[3]);

/// Between the coordinator's word and the append, somebody may end the transaction there. In the newer protocol the coordinator is asked again; in the older
/// one the request may be one of the transaction that is over.
#[test]
fn what_a_mark_has_overtaken_is_not_appended_on_the_old_word() {
    const RECORDS: (&str, &[i32]) = ("t", &[0]);
    for (place, version, epochs_on, told) in [
        (RECORDS, 9, 0, Code::NotEnoughReplicas),
        (RECORDS, 13, 0, Code::None),
        (RECORDS, 13, 1, Code::InvalidProducerEpoch),
        (OFFSETS, 5, 0, Code::None),
        (OFFSETS, 5, 1, Code::InvalidProducerEpoch),
    ] {
        let (mut world, topic) = with_coordinators();
        let who = init(&mut world);
        if version == 9 {
            assert_eq!(add_partition(&mut world, &who), Code::None);
            // The coordinator's word waits for what it has decided before.
            world.send(Request::AddPartitionsToTxn(adding(&who, "t", &[1])), 3);
        }
        let request = match place {
            OFFSETS => send_offsets(&mut world, version, &who, 5),
            _ => send(&mut world, topic, version, &who, &[(0, 0)]),
        };
        let mut abort = mark(&who, &[place]);
        (abort.transaction_version, abort.producer_epoch) =
            (2 * epochs_on, who.producer_epoch + i16::from(epochs_on));
        assert_eq!(write_mark(&mut world, Listener::Broker, abort), [Code::None]);
        match place {
            OFFSETS => assert_eq!(offsets_sent(&mut world, request), told),
            _ => assert_eq!(sent(&mut world, request)[0].0, told, "{version} {epochs_on}"),
        }
        world.hold_loads = true;
        let is_open = place == OFFSETS && told == Code::None;
        let expected = if is_open { Code::UnstableOffsetCommit } else { Code::None };
        assert_eq!(committed(&mut world, true), (expected, -1), "the shard is as it was");
        // Whatever was appended belongs to the transaction, and ends with it.
        let ended = end(&mut world, if version == 9 { 4 } else { 5 }, &who, true);
        assert_eq!(code(ended.error_code), Code::None);
        let data = fetch(&mut world);
        assert_eq!(data.last_stable_offset, data.high_watermark, "{version} {epochs_on}");
    }
}

/// While a request waits for the coordinator's word, its partitions may come to need it that did not when it came.
#[test]
fn every_partition_in_which_a_transaction_begins_is_asked_about() {
    let (mut world, topic) = with_coordinators();
    let who = init(&mut world);
    let first = send(&mut world, topic, 13, &who, &[(1, 0)]);
    world.all_disk();
    assert_eq!(sent(&mut world, first), [(Code::None, 0)]);
    let both = send(&mut world, topic, 13, &who, &[(0, 0), (1, 1)]);
    assert_eq!(write_mark(&mut world, Listener::Broker, mark(&who, &[("t", &[1])])), [Code::None]);
    assert_eq!(sent(&mut world, both), [(Code::None, 0), (Code::None, 2)]);
}

#[test]
fn the_first_batch_of_a_transaction_of_the_newer_protocol_is_numbered_0() {
    let (mut world, topic) = with_coordinators();
    let who = init(&mut world);
    let sent = produce(&mut world, topic, 12, Some("x"), records(&who, 5));
    assert_eq!(sent, (Code::OutOfOrderSequenceNumber, -1));
    // With the older one, what came before may have been deleted long ago, once it was not turned away just now.
    (0..30).for_each(|_| world.wait_ms(250));
    assert_eq!(add_partition(&mut world, &who), Code::None);
    assert_eq!(produce(&mut world, topic, 11, Some("x"), records(&who, 5)), (Code::None, 0));
}

/// Requests of one connection keep their order, though only the first has to wait for the coordinator.
#[test]
fn what_comes_behind_a_request_that_is_held_waits_for_it() {
    let (mut world, topic) = with_coordinators();
    let who = init(&mut world);
    let opened = send(&mut world, topic, 13, &who, &[(1, 0)]);
    world.all_disk();
    assert_eq!(sent(&mut world, opened), [(Code::None, 0)]);
    let held = send(&mut world, topic, 13, &who, &[(0, 0), (1, 1)]);
    let behind = [send(&mut world, topic, 13, &who, &[(1, 2)]), send(&mut world, topic, 13, &who, &[(1, 3)])];
    world.all_disk();
    assert_eq!(sent(&mut world, held), [(Code::None, 0), (Code::None, 1)]);
    assert_eq!(behind.map(|it| sent(&mut world, it)), [[(Code::None, 2)], [(Code::None, 3)]]);
}

/// What follows is missing its beginning, whatever the coordinator would say of it by now.
#[test]
fn what_comes_behind_a_request_that_is_refused_is_refused_in_the_same_partition() {
    let (mut world, topic) = with_coordinators();
    let who = init(&mut world);
    // The coordinator's word waits for what it has decided before.
    world.send(Request::AddPartitionsToTxn(adding(&who, "t", &[1])), 3);
    let held = send(&mut world, topic, 9, &who, &[(0, 0)]);
    world.send(Request::AddPartitionsToTxn(adding(&who, "t", &[0])), 3);
    let behind = send(&mut world, topic, 9, &who, &[(0, 1), (1, 0)]);
    world.all_disk();
    assert_eq!(sent(&mut world, held), [(Code::InvalidTxnState, -1)]);
    assert_eq!(sent(&mut world, behind), [(Code::InvalidTxnState, -1), (Code::None, 0)]);
}

/// The tools abort with a coordinator's epoch of their own choice, which must not be in the coordinator's way afterwards.
#[test]
fn a_client_may_abort_what_is_open_and_nothing_else() {
    let (mut world, topic) = with_coordinators();
    let who = init(&mut world);
    assert_eq!(produce(&mut world, topic, 13, Some("x"), records(&who, 0)), (Code::None, 0));
    let open = [("t", &[0][..])];
    let later = InitProducerIdResponse { producer_epoch: who.producer_epoch + 1, ..who.clone() };
    let stranger = InitProducerIdResponse { producer_id: 77, ..who.clone() };
    let nobody = InitProducerIdResponse { producer_id: -1, ..who.clone() };
    let commit = WritableTxnMarker { transaction_result: true, ..mark(&who, &open) };
    let no_coordinator = WritableTxnMarker { coordinator_epoch: -1, ..mark(&who, &open) };
    for (marker, refused) in [
        (commit, Code::ClusterAuthorizationFailed),
        (mark(&later, &open), Code::InvalidProducerEpoch),
        (mark(&stranger, &open), Code::InvalidProducerEpoch),
        (mark(&nobody, &open), Code::InvalidRequest),
        (no_coordinator, Code::InvalidRequest),
        (mark(&who, &[("__transaction_state", &[0])]), Code::UnknownTopicOrPartition),
    ] {
        assert_eq!(write_mark(&mut world, Listener::Client, marker), [refused]);
    }
    assert_eq!(fetch(&mut world).last_stable_offset, 0);
    let forged = WritableTxnMarker { coordinator_epoch: i32::MAX, ..mark(&who, &open) };
    assert_eq!(write_mark(&mut world, Listener::Client, forged), [Code::None]);
    assert_eq!(fetch(&mut world).last_stable_offset, 2);
    let ended = end(&mut world, 5, &who, false);
    assert_eq!(code(ended.error_code), Code::None);
    // It waits for the coordinator's marks.
    init(&mut world);
    assert_eq!(fetch(&mut world).last_stable_offset, 3);
}

#[test]
fn clients_add_no_internal_topics() {
    let (mut world, _) = with_coordinators();
    let who = init(&mut world);
    for topic in ["__consumer_offsets", "__transaction_state"] {
        let response = ask!(world, 3, AddPartitionsToTxn(adding(&who, topic, &[0])));
        let added = &response.results_by_topic_v3_and_below[0].results_by_partition[0];
        assert_eq!(code(added.partition_error_code), Code::TopicAuthorizationFailed);
    }
}

/// The logs are at rest, and stay so.
#[test]
fn nothing_is_appended_while_the_process_stops() {
    let (mut world, topic) = with_coordinators();
    let who = init(&mut world);
    let key = |partition| TopicPartition { topic, partition: PartitionIndex(partition) };
    let opened = send(&mut world, topic, 13, &who, &[(0, 0)]);
    world.all_disk();
    assert_eq!(sent(&mut world, opened), [(Code::None, 0)]);
    send(&mut world, topic, 13, &who, &[(1, 0)]);
    let request = EndTxnRequest {
        transactional_id: "x".into(),
        producer_id: who.producer_id,
        producer_epoch: who.producer_epoch,
        committed: true,
    };
    world.send(Request::EndTxn(request), 5);
    world.step(Event::Stopping);
    world.all_disk();
    let end = |world: &World, partition| world.node.replica(key(partition)).map(|it| it.log().end());
    assert_eq!([end(&world, 0), end(&world, 1)], [Some(offset(1)), Some(offset(0))]);
    assert!(world.rest.is_some_and(|rest| rest.is_whole));
}

/// An older version of a coordinator may have left one that ends nowhere.
#[test]
fn what_a_shard_decides_as_it_begins_to_serve_is_appended() {
    let (mut world, _) = with_coordinators();
    let key = coordinator_of_x(&world);
    let transaction = Transaction {
        producer: ProducerId(5),
        previous_producer: None,
        next_producer: None,
        epoch: ProducerEpoch(1),
        timeout_ms: 60_000,
        state: TransactionState::PrepareAbort,
        partitions: [("t".to_owned(), [].into())].into(),
        updated_at: world.wall,
        started_at: Some(world.wall),
        version: TransactionVersion::V2,
    };
    let record = TransactionRecord { transactional_id: "x".into(), value: Some(transaction) }.encode();
    let mut builder = BatchBuilder::default();
    builder.append(world.wall, Some(&record.key), record.value.as_deref(), &[]);
    let (batch, bytes) = builder.finish_own(&Seal::default());
    let mut ops = Vec::new();
    let mut log = Log::create(key, "__transaction_state-20".to_owned(), LogConfig::default(), &mut ops);
    log.append_as_leader(LeaderEpoch(0), &batch, bytes, &mut ops).expect("the first");
    while let Some(op) = (!ops.is_empty()).then(|| ops.remove(0)) {
        world.write(&op.action);
        assert_eq!(log.done(op.id, Ok(Done::Nothing), &mut ops).error, None);
    }
    world.restart_with(|node| node.adopt(log));
    assert_eq!(world.node.replica(key).map(|it| it.high_watermark()), Some(offset(2)));
}

/// One of two partitions is not known to it yet.
#[test]
fn a_coordinator_on_another_broker_says_of_each_partition_what_is_in_its_way() {
    let (mut world, topic) = with_coordinators();
    let who = init(&mut world);
    let key = coordinator_of_x(&world);
    world.give_away(key);
    for (codes, told) in [
        (
            [Code::OperationNotAttempted, Code::UnknownTopicOrPartition],
            [(Code::NotEnoughReplicas, -1), (Code::UnknownTopicOrPartition, -1)],
        ),
        ([Code::None, Code::TransactionAbortable], [(Code::None, 0), (Code::TransactionAbortable, -1)]),
    ] {
        let held = send(&mut world, topic, 13, &who, &[(0, 0), (1, 0)]);
        answer_added(&mut world, &codes);
        assert_eq!(sent(&mut world, held), told);
    }
}

/// The other broker has added the partitions, or not.
fn answer_added(world: &mut World, codes: &[Code]) {
    let Some((token, Request::AddPartitionsToTxn(_))) = world.sent.pop() else { panic!("nothing was asked") };
    let result = |(index, code): (i32, &Code)| AddPartitionsToTxnPartitionResult {
        partition_index: index,
        partition_error_code: code.code(),
    };
    let results_by_partition = (0..).zip(codes).map(result).collect();
    let topic_results = vec![AddPartitionsToTxnTopicResult { name: "t".into(), results_by_partition }];
    let transaction = AddPartitionsToTxnResult { transactional_id: "x".into(), topic_results };
    let response =
        AddPartitionsToTxnResponse { results_by_transaction: vec![transaction], ..Default::default() };
    let answer = Ok(Response::AddPartitionsToTxn(response));
    world.step(Event::Peer { from: BrokerId(2), token, answer });
    world.all_disk();
}

/// The older protocol: what came before it may be deleted, and librdkafka takes its answer for that of all before it.
#[test]
fn who_was_turned_away_on_a_coordinators_word_comes_before_what_was_sent_behind_it() {
    let (mut world, topic) = with_coordinators();
    let who = init(&mut world);
    let key = coordinator_of_x(&world);
    world.give_away(key);
    for (sequence, coordinator, told) in [
        (0, Code::OperationNotAttempted, (Code::NotEnoughReplicas, -1)),
        (1, Code::None, (Code::NotEnoughReplicas, -1)),
        (0, Code::None, (Code::None, 0)),
        (1, Code::None, (Code::None, 1)),
    ] {
        let held = send(&mut world, topic, 11, &who, &[(0, sequence)]);
        if world.answer(held).is_none()
            && world.sent.iter().any(|it| matches!(it.1, Request::AddPartitionsToTxn(_)))
        {
            answer_added(&mut world, &[coordinator]);
        }
        world.all_disk();
        assert_eq!(sent(&mut world, held), [told], "{sequence}");
    }
}

/// Nobody hears this broker: its coordinator will not answer, and whoever writes is to look for another leader.
#[test]
fn what_is_held_for_a_coordinator_that_is_out_of_reach_is_sent_away() {
    let (mut world, topic) = with_coordinators();
    let who = init(&mut world);
    let key = coordinator_of_x(&world);
    world.give_away(key);
    world.decides(BrokerId(2), ControllerEpoch(3), Record::RegisterBroker(another()));
    let held = send(&mut world, topic, 13, &who, &[(0, 0)]);
    for _ in 0..4 {
        assert!(world.answer(held).is_none());
        world.wait_ms(250);
    }
    world.wait_ms(250);
    world.wait_ms(250);
    assert_eq!(sent(&mut world, held), [(Code::NotLeaderOrFollower, -1)]);
}

#[test]
fn what_is_held_goes_with_its_connection() {
    let (mut world, topic) = with_coordinators();
    let who = init(&mut world);
    let key = coordinator_of_x(&world);
    world.give_away(key);
    let requests = [0, 1].map(|sequence| send(&mut world, topic, 13, &who, &[(0, sequence)]));
    world.step(Event::Closed(crate::world::CONNECTION));
    answer_added(&mut world, &[Code::None]);
    assert!(requests.iter().all(|it| world.answer(*it).is_none()));
    assert_eq!(fetch(&mut world).high_watermark, 0);
}

#[test]
fn marks_of_a_coordinator_that_was_replaced_are_tried_again_slowly() {
    let (mut world, topic) = with_coordinators();
    let who = init(&mut world);
    assert_eq!(produce(&mut world, topic, 13, Some("x"), records(&who, 0)), (Code::None, 0));
    world.give_away(TopicPartition { topic, partition: PartitionIndex(0) });
    assert_eq!(code(end(&mut world, 5, &who, true).error_code), Code::None);
    let marks = |world: &mut World| {
        let marks = std::mem::take(&mut world.sent).into_iter();
        marks.filter(|(_, it)| matches!(it, Request::WriteTxnMarkers(_))).map(|(token, _)| token).collect()
    };
    let first: Vec<u64> = marks(&mut world);
    world.step(Event::Peer { from: BrokerId(2), token: first[0], answer: Err(PeerFailure::TimedOut) });
    world.wait_ms(100);
    let second: Vec<u64> = marks(&mut world);
    let result = WritableTxnMarkerPartitionResult {
        partition_index: 0,
        error_code: Code::TransactionCoordinatorFenced.code(),
    };
    let topics = vec![WritableTxnMarkerTopicResult { name: "t".into(), partitions: vec![result] }];
    let marker = WritableTxnMarkerResult { producer_id: who.producer_id, topics };
    let answer = Ok(Response::WriteTxnMarkers(WriteTxnMarkersResponse { markers: vec![marker] }));
    world.step(Event::Peer { from: BrokerId(2), token: second[0], answer });
    let mut after_ms = |ms| {
        world.wait_ms(ms);
        marks(&mut world).len()
    };
    assert_eq!([after_ms(10_000), after_ms(19_000), after_ms(1_000)], [0, 0, 1]);
}

#[test]
fn the_topics_of_both_coordinators_are_made_at_once() {
    let mut world = World::new();
    world.hold_proposals = true;
    let found = [0, 1].map(|key_type| {
        let request = FindCoordinatorRequest { key: "any".into(), key_type, ..Default::default() };
        world.send(Request::FindCoordinator(request), 3)
    });
    world.hold_proposals = false;
    for entry in std::mem::take(&mut world.proposed) {
        world.commit(entry);
    }
    assert_eq!(found.map(|it| code(taken!(world, it, FindCoordinator).error_code)), [Code::None; 2]);
}
