//! Records on disk that are not what was written any more: whoever wants them is told, everybody else is served.

use std::io;

use klamm_cluster::record::{self, PartitionChange, Record};
use klamm_log::{DiskAction, Done, FileKind, SegmentId};
use klamm_model::{
    BrokerId, ControllerEpoch, ErrorCode, LeaderEpoch, PartitionEpoch, PartitionIndex, TopicPartition,
};
use klamm_node::{Event, Reply, Report, Walk};
use klamm_quorum::{Entry, Input, Proposer};
use klamm_wire::{DeleteTopicsRequest, ListOffsetsRequest, Request, Response, list_offsets};

use crate::world::{World, batch};

/// A topic of so many batches with two records each. A round looks at everything within seconds.
fn world(batch_count: usize, bytes_per_second: u64) -> World {
    let mut world = World::with(|config| {
        config.scrubber.bytes_per_second = bytes_per_second;
        config.scrubber.interval_ms = 10_000;
    });
    world.create("t", 1);
    for _ in 0..batch_count {
        world.produce("t", -1, batch(2, None));
        world.all_disk();
    }
    world
}

fn batch_size() -> usize {
    batch(2, None).len()
}

/// A byte of a batch changes on the disk.
fn flip(world: &mut World, number: usize, within: usize) {
    world.files[0].1[number * batch_size() + within] ^= 1;
}

fn is_scrub(action: &DiskAction) -> bool {
    matches!(action, DiskAction::Scrub(_))
}

fn report(world: &World) -> Report {
    let (mut report, mut walk) = (world.node.report(), Walk::default());
    world.node.report_next(&mut walk, &mut report);
    report
}

/// Error, high watermark and bytes of records from an offset on, and the segments that were found damaged by reading.
fn read(world: &mut World, from: i64) -> (ErrorCode, i64, usize, Vec<SegmentId>) {
    let sequence = world.fetch("t", from, 0, 1);
    let reply = world.answer(sequence).expect("an answer");
    let (response, ranges, suspects) = world.complete_suspecting(reply);
    let Response::Fetch(response) = response else { panic!("another answer") };
    let partition = &response.responses[0].partitions[0];
    let code = ErrorCode::from_code(partition.error_code).expect("a known code");
    (code, partition.high_watermark, ranges.iter().map(|it| it.range.len()).sum(), suspects)
}

#[test]
fn what_a_scrub_finds_is_told_of_and_what_lies_around_it_is_served() {
    let mut world = world(5, 1 << 20);
    flip(&mut world, 2, 70);
    assert_eq!(read(&mut world, 0).2, 5 * batch_size(), "nobody knows yet");
    world.wait_ms(9_000);
    assert!(!world.disk.iter().any(|op| is_scrub(&op.action)), "it is not time");
    world.wait_ms(1_000);
    assert_eq!(world.disk(is_scrub, &Ok(Done::Nothing)), 1);
    world.all_disk();

    let size = batch_size();
    assert_eq!(read(&mut world, 0), (ErrorCode::None, 10, 2 * size, vec![]), "up to the damage");
    for from in 4..6 {
        assert_eq!(read(&mut world, from), (ErrorCode::CorruptMessage, -1, 0, vec![]));
    }
    assert_eq!(read(&mut world, 6), (ErrorCode::None, 10, 2 * size, vec![]), "and behind it");
    let produced = world.produce("t", -1, batch(2, None));
    world.all_disk();
    assert_eq!(world.produced(produced), (ErrorCode::None, 10));
    assert_eq!(read(&mut world, 6).2, 3 * size);
    let latest =
        list_offsets::ListOffsetsPartition { timestamp: -1, current_leader_epoch: -1, ..Default::default() };
    let topics = vec![list_offsets::ListOffsetsTopic { name: "t".into(), partitions: vec![latest] }];
    let request = ListOffsetsRequest { replica_id: -1, topics, ..Default::default() };
    let sequence = world.send(Request::ListOffsets(request), 7);
    let Response::ListOffsets(response) = world.response(sequence) else { panic!("another answer") };
    assert_eq!(response.topics[0].partitions[0].offset, 12);
    let report = report(&world);
    assert_eq!((report.damaged_ranges, report.damaged_bytes, report.offline), (1, size as u64, 0));
    assert_eq!(report.scrubbed_bytes, 5 * size as u64);
}

/// That one has them, most likely, and consumers that are told of damage would give up.
#[test]
fn a_follower_sends_whoever_wants_what_is_damaged_to_its_leader() {
    let mut world = world(5, 1 << 20);
    flip(&mut world, 2, 70);
    world.wait_ms(10_000);
    world.all_disk();
    assert_eq!(read(&mut world, 4).0, ErrorCode::CorruptMessage, "it leads");
    let (partition, before) = world.node.image().partitions().next().expect("there is one");
    let change = PartitionChange {
        leader: Some(Some(BrokerId(2))),
        leader_epoch: Some(LeaderEpoch(before.leader_epoch.0 + 1)),
        replicas: Some(vec![BrokerId(1), BrokerId(2)]),
        isr: Some(vec![BrokerId(1), BrokerId(2)]),
        ..PartitionChange::nothing(partition, PartitionEpoch(before.partition_epoch.0 + 1))
    };
    let (epoch, controller) = (ControllerEpoch(2), BrokerId(9));
    let records = [Record::Begin { epoch, controller }, Record::PartitionChange(change)];
    let Input::Propose { epoch, payload } = Proposer::new(epoch).propose(&record::encode(&records)) else {
        panic!("a proposer proposes")
    };
    world.commit(Entry { index: 0, epoch, payload });
    assert_eq!(read(&mut world, 4).0, ErrorCode::OffsetNotAvailable);
    assert_eq!(read(&mut world, 6).2, 2 * batch_size(), "what lies behind is served");
}

/// Batches far from the end are looked for in the file: a header that is wrong is met on the way.
#[test]
fn what_a_reader_meets_is_looked_at_though_nobody_scrubs() {
    let mut world = world(200, 0);
    flip(&mut world, 2, 16);
    let (code, _, bytes, suspects) = read(&mut world, 8);
    assert_eq!((code, bytes), (ErrorCode::CorruptMessage, 0), "it is not known where the log goes on");
    let &[segment] = suspects.as_slice() else { panic!("{suspects:?}") };
    assert_eq!(world.disk(is_scrub, &Ok(Done::Nothing)), 0, "nobody told the node");
    for _ in 0..3 {
        world.step(Event::Suspect(segment));
    }
    assert_eq!(world.disk(is_scrub, &Ok(Done::Nothing)), 2, "once, and once for those who told meanwhile");
    world.all_disk();
    assert_eq!(read(&mut world, 4), (ErrorCode::CorruptMessage, -1, 0, vec![]));
    let (code, _, bytes, suspects) = read(&mut world, 8);
    assert_eq!((code, bytes, suspects), (ErrorCode::None, 196 * batch_size(), vec![]));
    world.wait_ms(1 << 40);
    assert_eq!(world.disk(is_scrub, &Ok(Done::Nothing)), 0, "there are no rounds");
}

#[test]
fn a_scrub_reads_no_more_in_a_second_than_it_may() {
    let mut world = world(10, 100);
    world.create("u", 1);
    world.produce("u", -1, batch(2, None));
    world.all_disk();
    world.wait_ms(10_000);
    let first = world.disk.iter().find(|op| is_scrub(&op.action)).expect("a round has begun").partition;
    let topic = world.node.replica(first).expect("hosted").log().size_bytes();
    assert_eq!(world.disk(is_scrub, &Ok(Done::Nothing)), 1, "one log at a time");
    let rest_ms = topic * 1000 / 100;
    world.wait_ms(rest_ms - 1);
    assert_eq!(world.disk(is_scrub, &Ok(Done::Nothing)), 0);
    world.wait_ms(1);
    assert_eq!(world.disk(is_scrub, &Ok(Done::Nothing)), 1);
    assert_eq!(report(&world).scrubbed_bytes, 11 * batch_size() as u64);
}

/// Somebody who is woken for a round that never begins is woken again at once.
#[test]
fn whoever_stops_waits_for_no_round() {
    let mut world = world(1, 1 << 20);
    world.produce("t", -1, batch(2, None));
    world.step(Event::Stopping);
    assert_eq!(world.rest, None, "a write is under way");
    world.wait_ms(10_000);
    assert_eq!(world.disk(is_scrub, &Ok(Done::Nothing)), 0);
    let wake = world.node.next_wake();
    assert!(wake.is_none_or(|at| world.tick < at.0), "{wake:?}");
}

/// F30: an unreadable sector costs the fetch that wants it, and nothing else.
#[test]
fn a_read_that_fails_costs_that_fetch_alone() {
    let mut world = world(200, 1 << 20);
    let sequence = world.fetch("t", 8, 0, 1);
    let reply = world.answer(sequence).expect("an answer");
    assert!(matches!(reply, Reply::Fetch { .. }));
    let mut fail = |_, kind: FileKind, _, _: &mut [u8]| {
        assert_eq!(kind, FileKind::Log);
        Err(io::Error::from_raw_os_error(5))
    };
    let found = reply.look(&mut fail);
    let (response, ranges) = reply.complete(found, &mut |segment| panic!("{segment:?} is not damaged"));
    let Response::Fetch(response) = response else { panic!("another answer") };
    assert_eq!(response.responses[0].partitions[0].error_code, ErrorCode::KafkaStorageError.code());
    assert!(ranges.is_empty());
    assert_eq!(read(&mut world, 8).2, 196 * batch_size());
    let produced = world.produce("t", -1, batch(2, None));
    world.all_disk();
    assert_eq!((world.produced(produced).0, report(&world).offline), (ErrorCode::None, 0));
}

#[test]
fn a_damaged_log_goes_with_its_topic() {
    for is_deleted_while_down in [false, true] {
        let mut world = World::new();
        let key = TopicPartition { topic: world.create("t", 1), partition: PartitionIndex(0) };
        let delete = |world: &mut World| {
            let topic_names = vec!["t".to_owned()];
            let request = DeleteTopicsRequest { topic_names, ..Default::default() };
            world.send(Request::DeleteTopics(request), 5);
        };
        if is_deleted_while_down {
            delete(&mut world);
        }
        world.restart_with(|node| node.adopt_damaged(key));
        if !is_deleted_while_down {
            assert_eq!(report(&world).offline, 1);
            delete(&mut world);
            let [op] = world.disk.make_contiguous() else { panic!("{:?}", world.disk) };
            assert_eq!((op.partition, &op.action), (key, &DiskAction::DeletePartition));
        }
        world.create("t", 1);
        let produced = world.produce("t", -1, batch(1, None));
        world.all_disk();
        assert_eq!(world.produced(produced), (ErrorCode::None, 0));
        assert_eq!(report(&world).offline, 0);
    }
}

/// Whatever data directory a new log would have its place in: those records may be the partition's.
#[test]
fn a_partition_does_not_begin_anew_while_there_are_records_that_may_be_its_own() {
    let mut world = World::new();
    world.create("t", 1);
    world.create("u", 1);
    world.restart_with(|node| node.adopt_unclaimed("t-0".to_owned()));
    assert_eq!(report(&world).offline, 1);
    for (topic, expected) in [("t", ErrorCode::KafkaStorageError), ("u", ErrorCode::None)] {
        let produced = world.produce(topic, -1, batch(1, None));
        world.all_disk();
        assert_eq!(world.produced(produced).0, expected, "{topic}");
    }
}
