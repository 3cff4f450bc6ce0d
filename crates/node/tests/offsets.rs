//! ListOffsets and OffsetForLeaderEpoch: where a partition begins and ends, by name of a place, by time and by epoch.

use crate::world::{World, batch};
use klamm_model::ErrorCode;
use klamm_node::Event;
use klamm_wire::{
    DescribeProducersRequest, ListOffsetsRequest, OffsetForLeaderEpochRequest, Request, Response,
    describe_producers::TopicRequest,
    list_offsets::{ListOffsetsPartition, ListOffsetsTopic},
    offset_for_leader_epoch::{OffsetForLeaderPartition, OffsetForLeaderTopic},
};

/// A world with three records in `t-0`.
fn three_records() -> World {
    let mut world = World::new();
    world.create("t", 1);
    world.produce("t", -1, batch(3, None));
    world.all_disk();
    world
}

fn ask(partition_index: i32, current_leader_epoch: i32, timestamp: i64) -> ListOffsetsPartition {
    ListOffsetsPartition { partition_index, current_leader_epoch, timestamp }
}

/// Offset, timestamp and epoch.
type Listed = Result<(i64, i64, i32), ErrorCode>;

fn listing(version: i16, partitions: &[ListOffsetsPartition]) -> Request {
    let topic = ListOffsetsTopic { name: "t".into(), partitions: partitions.to_vec(), ..Default::default() };
    Request::ListOffsets(ListOffsetsRequest {
        replica_id: -1,
        topics: vec![topic],
        isolation_level: i8::from(version >= 2),
        ..Default::default()
    })
}

impl World {
    fn list(&mut self, version: i16, partitions: &[ListOffsetsPartition]) -> Vec<Listed> {
        let sequence = self.send(listing(version, partitions), version);
        let reply = self.answer(sequence).expect("an answer");
        let (Response::ListOffsets(response), _) = self.complete(reply) else { panic!("another answer") };
        let answers = response.topics[0].partitions.iter();
        answers
            .map(|it| match ErrorCode::from_code(it.error_code).expect("a known code") {
                ErrorCode::None => Ok((it.offset, it.timestamp, it.leader_epoch)),
                code => Err(code),
            })
            .collect()
    }
}

#[test]
fn places_by_name_in_the_versions_that_know_them() {
    let mut world = three_records();
    let unsupported = Err(ErrorCode::UnsupportedVersion);
    let nowhere = Ok((-1, -1, -1));
    for (timestamp, since, expected) in [
        (-1, 1, Ok((3, -1, 0))),
        (-2, 1, Ok((0, -1, 0))),
        (-3, 7, Ok((2, 1002, 0))),
        (-4, 8, Ok((0, -1, 0))),
        (-5, 9, nowhere),
        (-6, 11, nowhere),
        (-7, 12, nowhere),
        (i64::MIN, 12, nowhere),
        (0, 1, Ok((0, 1000, 0))),
        (1001, 1, Ok((1, 1001, 0))),
        (1003, 1, nowhere),
        (i64::MAX, 1, nowhere),
    ] {
        for version in 1..=11 {
            let expected = match expected {
                _ if version < since => unsupported,
                // The answer has a place for the epoch since version 4.
                Ok((offset, time, _)) if version < 4 => Ok((offset, time, -1)),
                known => known,
            };
            let got = world.list(version, &[ask(0, -1, timestamp)]);
            assert_eq!(got, [expected], "{timestamp} in version {version}");
        }
    }
}

#[test]
fn a_partition_without_records_begins_with_its_leaders_epoch() {
    let mut world = World::new();
    world.create("t", 1);
    for timestamp in [-1, -2, -4] {
        assert_eq!(world.list(8, &[ask(0, -1, timestamp)]), [Ok((0, -1, 0))], "{timestamp}");
    }
}

#[test]
fn epochs_fence_and_a_partition_is_asked_for_once() {
    let mut world = three_records();
    let got = world.list(7, &[ask(0, 0, -1), ask(0, 0, -1), ask(5, 0, -1)]);
    assert_eq!(
        got,
        [Ok((3, -1, 0)), Err(ErrorCode::InvalidRequest), Err(ErrorCode::UnknownTopicOrPartition)]
    );
    assert_eq!(world.list(7, &[ask(0, 1, -1)]), [Err(ErrorCode::UnknownLeaderEpoch)]);
}

#[test]
fn a_long_list_lets_others_in_between() {
    let mut world = three_records();
    let partitions: Vec<_> = (0..5000).map(|index| ask(index, -1, -1)).collect();
    let ends = (0..5000).map(|partition| OffsetForLeaderPartition {
        partition,
        current_leader_epoch: -1,
        ..Default::default()
    });
    let ends = OffsetForLeaderTopic { topic: "t".into(), partitions: ends.collect() };
    let ends = OffsetForLeaderEpochRequest { topics: vec![ends], ..Default::default() };
    let producers = TopicRequest { name: "t".into(), partition_indexes: (0..5000).collect() };
    let producers = DescribeProducersRequest { topics: vec![producers] };
    for (request, version) in [
        (listing(7, &partitions), 7),
        (Request::OffsetForLeaderEpoch(ends), 4),
        (Request::DescribeProducers(producers), 0),
    ] {
        let long = world.send(request, version);
        assert_eq!(world.list(7, &partitions[..1]), [Ok((3, -1, 0))]);
        assert!(!world.replies.iter().any(|(to, _)| *to == long), "it holds up nobody");
        while !world.replies.iter().any(|(to, _)| *to == long) {
            assert!(world.node.next_wake() <= Some(world.now().tick), "it goes on at once");
            world.step(Event::Tick);
        }
        let told: Vec<_> = match world.response(long) {
            Response::ListOffsets(it) => it.topics[0].partitions.iter().map(|it| it.error_code).collect(),
            Response::OffsetForLeaderEpoch(it) => {
                it.topics[0].partitions.iter().map(|it| it.error_code).collect()
            }
            Response::DescribeProducers(it) => {
                it.topics[0].partitions.iter().map(|it| it.error_code).collect()
            }
            other => panic!("another answer: {other:?}"),
        };
        let mut expected = vec![ErrorCode::UnknownTopicOrPartition.code(); 5000];
        expected[0] = 0;
        assert_eq!(told, expected);
    }
}

#[test]
fn where_an_epoch_ends() {
    let mut world = three_records();
    for (topic, partition, current, asked, expected) in [
        ("t", 0, -1, 0, (ErrorCode::None, 0, 3)),
        ("t", 0, 0, 0, (ErrorCode::None, 0, 3)),
        // Nobody led under it yet.
        ("t", 0, -1, 1, (ErrorCode::None, -1, -1)),
        ("t", 0, -1, -1, (ErrorCode::None, -1, -1)),
        ("t", 0, 1, 0, (ErrorCode::UnknownLeaderEpoch, -1, -1)),
        ("t", 1, -1, 0, (ErrorCode::UnknownTopicOrPartition, -1, -1)),
        ("nowhere", 0, -1, 0, (ErrorCode::UnknownTopicOrPartition, -1, -1)),
    ] {
        for version in 2..=4 {
            let partition = OffsetForLeaderPartition {
                partition,
                current_leader_epoch: current,
                leader_epoch: asked,
                ..Default::default()
            };
            let topic = OffsetForLeaderTopic { topic: topic.into(), partitions: vec![partition] };
            let request = OffsetForLeaderEpochRequest { topics: vec![topic], ..Default::default() };
            let sequence = world.send(Request::OffsetForLeaderEpoch(request), version);
            let Response::OffsetForLeaderEpoch(response) = world.response(sequence) else {
                panic!("another answer")
            };
            let it = &response.topics[0].partitions[0];
            let code = ErrorCode::from_code(it.error_code).expect("a known code");
            assert_eq!(
                (code, it.leader_epoch, it.end_offset),
                expected,
                "epoch {asked} of {topic:?}",
                topic = response.topics[0].topic
            );
        }
    }
}
