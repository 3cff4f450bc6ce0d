//! What readers see of transactions: where the stable part of a partition ends, and whose records were aborted.

use crate::world::{World, batch};
use klamm_log::{DiskAction, DiskOp, Done, Log, LogConfig};
use klamm_model::{
    BatchBuilder, LeaderEpoch, PartitionIndex, Producer, ProducerEpoch, ProducerId, Seal, Timestamp,
    TopicPartition, TransactionEnd, TransactionMark,
};
use klamm_wire::{
    DescribeProducersRequest, FetchRequest, ListOffsetsRequest, Request, Response,
    describe_producers::TopicRequest,
    fetch::{FetchPartition, FetchTopic, PartitionData},
    list_offsets::{ListOffsetsPartition, ListOffsetsTopic},
};

/// A log that the node finds when it starts.
struct Found {
    log: Log,
    world: World,
}

impl Found {
    fn new(partition: TopicPartition, config: LogConfig, world: World) -> Self {
        let mut ops = Vec::new();
        let log = Log::create(partition, "t-0".to_owned(), config, &mut ops);
        let mut found = Self { log, world };
        found.perform(ops);
        found
    }

    fn perform(&mut self, ops: Vec<DiskOp>) {
        let mut waiting = std::collections::VecDeque::from(ops);
        while let Some(op) = waiting.pop_front() {
            self.world.write(&op.action);
            if let DiskAction::Seal { segment, aborted, .. } = &op.action {
                self.world.aborted.push((*segment, aborted.to_vec()));
            }
            let mut more = Vec::new();
            assert_eq!(self.log.done(op.id, Ok(Done::Nothing), &mut more).error, None);
            waiting.extend(more);
        }
        self.log.note_high_watermark(self.log.end());
    }

    /// A batch of two records in a transaction.
    fn send(&mut self, id: i64, base_sequence: i32) {
        let mut builder = BatchBuilder::default();
        builder.append(Timestamp(1000), None, Some(b"one"), &[]);
        builder.append(Timestamp(1000), None, Some(b"two"), &[]);
        let producer = Some(Producer { id: ProducerId(id), epoch: ProducerEpoch(0), base_sequence });
        let seal = Seal { producer, is_transactional: true, ..Seal::default() };
        let (valid, bytes) = builder.finish_own(&seal);
        let mut ops = Vec::new();
        self.log.append_as_leader(LeaderEpoch(0), &valid, bytes, &mut ops).expect("in order");
        self.perform(ops);
    }

    fn end(&mut self, id: i64, end: TransactionEnd) {
        let mark = TransactionMark { end, coordinator_epoch: LeaderEpoch(4) };
        let (valid, bytes) = mark.to_batch(ProducerId(id), ProducerEpoch(0), Timestamp(2000));
        let mut ops = Vec::new();
        self.log.append_as_leader(LeaderEpoch(0), &valid, bytes, &mut ops).expect("in order");
        self.perform(ops);
    }

    fn start(self) -> World {
        let Self { log, mut world } = self;
        world.restart_with(|node| node.adopt(log));
        world
    }
}

fn found(config: LogConfig) -> Found {
    let mut world = World::new();
    let topic = world.create("t", 1);
    world.files.clear();
    Found::new(TopicPartition { topic, partition: PartitionIndex(0) }, config, world)
}

fn asked(isolation_level: i8, session: (i32, i32), from: Option<i64>) -> FetchRequest {
    let partition = |fetch_offset| FetchPartition {
        fetch_offset,
        partition_max_bytes: 1 << 20,
        current_leader_epoch: -1,
        last_fetched_epoch: -1,
        ..Default::default()
    };
    let topic =
        |from| FetchTopic { topic: "t".into(), partitions: vec![partition(from)], ..Default::default() };
    FetchRequest {
        max_bytes: 1 << 20,
        isolation_level,
        session_id: session.0,
        session_epoch: session.1,
        topics: from.map(topic).into_iter().collect(),
        ..Default::default()
    }
}

/// Bytes of records, and what else there is.
fn fetched(world: &mut World, request: FetchRequest) -> (i32, Option<(usize, PartitionData)>) {
    let sequence = world.send(Request::Fetch(request), 12);
    let reply = world.answer(sequence).expect("an answer");
    let (Response::Fetch(response), ranges) = world.complete(reply) else { panic!("another answer") };
    let bytes = ranges.iter().map(|it| it.range.len()).sum();
    let data = response.responses.into_iter().flat_map(|topic| topic.partitions).next();
    (response.session_id, data.map(|data| (bytes, data)))
}

fn latest(world: &mut World, isolation_level: i8) -> i64 {
    let partition = ListOffsetsPartition { timestamp: -1, current_leader_epoch: -1, ..Default::default() };
    let topics = vec![ListOffsetsTopic { name: "t".into(), partitions: vec![partition] }];
    let request = ListOffsetsRequest { replica_id: -1, isolation_level, topics, ..Default::default() };
    let sequence = world.send(Request::ListOffsets(request), 7);
    let Response::ListOffsets(response) = world.response(sequence) else { panic!("another answer") };
    response.topics[0].partitions[0].offset
}

/// Producer 1's first transaction was aborted, its second is open; producer 2's is committed behind the beginning of that.
fn one_of_each() -> World {
    let mut found = found(LogConfig::default());
    found.send(1, 0);
    found.end(1, TransactionEnd::Abort);
    found.send(1, 2);
    found.send(2, 0);
    found.end(2, TransactionEnd::Commit);
    found.start()
}

#[test]
fn who_reads_committed_records_is_told_of_the_aborted_ones_and_gets_none_of_an_open_transaction() {
    let mut world = one_of_each();
    let told = |data: &PartitionData| {
        let aborted = data.aborted_transactions.as_ref();
        let aborted =
            aborted.map(|list| list.iter().map(|it| (it.producer_id, it.first_offset)).collect::<Vec<_>>());
        (data.high_watermark, data.last_stable_offset, aborted)
    };
    let all: usize = world.files.iter().map(|(_, file)| file.len()).sum();
    let (_, Some((bytes, data))) = fetched(&mut world, asked(0, (0, -1), Some(0))) else { panic!("no data") };
    assert_eq!((bytes, told(&data)), (all, (8, 3, None)));
    let (_, Some((bytes, data))) = fetched(&mut world, asked(1, (0, -1), Some(0))) else { panic!("no data") };
    assert!(bytes < all / 2);
    assert_eq!(told(&data), (8, 3, Some(vec![(1, 0)])));
    let (_, Some((bytes, data))) = fetched(&mut world, asked(1, (0, -1), Some(3))) else { panic!("no data") };
    assert_eq!((bytes, told(&data)), (0, (8, 3, Some(vec![]))), "nothing that is stable");
    assert_eq!((latest(&mut world, 0), latest(&mut world, 1)), (8, 3));

    let topic = TopicRequest { name: "t".into(), partition_indexes: vec![0] };
    let sequence =
        world.send(Request::DescribeProducers(DescribeProducersRequest { topics: vec![topic] }), 0);
    let Response::DescribeProducers(response) = world.response(sequence) else { panic!("another answer") };
    let producers: Vec<_> = response.topics[0].partitions[0]
        .active_producers
        .iter()
        .map(|it| (it.producer_id, it.last_timestamp, it.coordinator_epoch, it.current_txn_start_offset))
        .collect();
    assert_eq!(producers, [(1, 1000, 4, 3), (2, 2000, 4, -1)]);
}

/// A session is not told again what it knows, and a fetch that waits is not answered for records that it may not see.
#[test]
fn an_open_transaction_holds_those_who_wait_for_stable_records() {
    let mut world = one_of_each();
    let (session, Some(_)) = fetched(&mut world, asked(1, (0, 0), Some(3))) else { panic!("no data") };
    assert_eq!(fetched(&mut world, asked(1, (session, 1), None)), (session, None));
    let waits = FetchRequest { max_wait_ms: 500, min_bytes: 1, ..asked(1, (0, -1), Some(3)) };
    let waiting = world.send(Request::Fetch(waits.clone()), 12);
    let hasty = world.send(Request::Fetch(FetchRequest { isolation_level: 0, ..waits }), 12);
    assert!(world.answer(hasty).is_some() && world.answer(waiting).is_none());
    world.produce("t", -1, batch(1, None));
    world.all_disk();
    assert!(world.answer(waiting).is_none(), "a record that is committed, but not stable");
    let (_, Some((bytes, data))) = fetched(&mut world, asked(1, (session, 2), None)) else {
        panic!("no data")
    };
    assert_eq!(
        (bytes, data.high_watermark, data.last_stable_offset),
        (0, 9, 3),
        "the high watermark has moved"
    );
    world.wait_ms(500);
    assert!(world.answer(waiting).is_some());
}

/// Of closed segments the files say what was aborted. Without them nobody gets records that may not count.
#[test]
fn what_was_aborted_in_closed_segments_is_looked_up_in_their_files() {
    let mut found =
        found(LogConfig { segment_bytes: 400, index_interval_bytes: 100, ..LogConfig::default() });
    for round in 0..20 {
        found.send(1, round * 2);
        found.end(1, if round % 4 == 0 { TransactionEnd::Abort } else { TransactionEnd::Commit });
    }
    let mut now = klamm_model::Tick::default();
    for _ in 0..3 {
        now = now.after_ms(2000);
        let mut ops = Vec::new();
        found.log.periodic(now, &mut ops);
        found.perform(ops);
    }
    let mut world = found.start();
    assert!(4 < world.aborted.len());
    let mut seen = Vec::new();
    let mut from = 0;
    while from < 60 {
        let (_, Some((bytes, data))) = fetched(&mut world, asked(1, (0, -1), Some(from))) else {
            panic!("no data")
        };
        assert_eq!((data.error_code, data.last_stable_offset), (0, 60));
        assert!(0 < bytes, "nothing from {from} on");
        seen.extend(data.aborted_transactions.into_iter().flatten().map(|it| it.first_offset));
        from += 3;
    }
    seen.dedup();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, [0, 12, 24, 36, 48]);
    world.aborted.iter_mut().for_each(|(_, file)| file.truncate(3));
    let (_, Some((bytes, data))) = fetched(&mut world, asked(1, (0, -1), Some(0))) else { panic!("no data") };
    assert_eq!((bytes, data.error_code), (0, klamm_model::ErrorCode::KafkaStorageError.code()));
    let (_, Some((bytes, data))) = fetched(&mut world, asked(0, (0, -1), Some(0))) else { panic!("no data") };
    assert!(0 < bytes && data.error_code == 0);
}
