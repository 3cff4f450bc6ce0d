//! ListOffsets and OffsetForLeaderEpoch: where a partition begins and ends, by name of a place, by time and by epoch.

mod world;

use klamm_model::ErrorCode;
use klamm_node::Reply;
use klamm_wire::{
    ListOffsetsRequest, OffsetForLeaderEpochRequest, Request, Response,
    list_offsets::{ListOffsetsPartition, ListOffsetsTopic},
    offset_for_leader_epoch::{OffsetForLeaderPartition, OffsetForLeaderTopic},
};
use world::{World, batch};

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

/// Offset, timestamp and epoch; `None` where a file has to be looked at.
type Listed = Option<Result<(i64, i64, i32), ErrorCode>>;

impl World {
    fn list(&mut self, version: i16, partitions: &[ListOffsetsPartition]) -> Vec<Listed> {
        let topic =
            ListOffsetsTopic { name: "t".into(), partitions: partitions.to_vec(), ..Default::default() };
        let request = ListOffsetsRequest {
            replica_id: -1,
            topics: vec![topic],
            isolation_level: i8::from(version >= 2),
            ..Default::default()
        };
        let sequence = self.send(Request::ListOffsets(request), version);
        let (response, looked_up) = match self.answer(sequence).expect("an answer") {
            Reply::Ready(Response::ListOffsets(response)) => (response, Vec::new()),
            Reply::Times { response, lookups } => {
                let places = lookups.iter().map(|it| it.partition).collect();
                (response, places)
            }
            other => panic!("{other:?}"),
        };
        let answers = response.topics[0].partitions.iter().enumerate();
        answers
            .map(|(place, it)| match ErrorCode::from_code(it.error_code) {
                _ if looked_up.contains(&place) => None,
                Some(ErrorCode::None) => Some(Ok((it.offset, it.timestamp, it.leader_epoch))),
                code => Some(Err(code.expect("a known code"))),
            })
            .collect()
    }
}

#[test]
fn places_by_name_in_the_versions_that_know_them() {
    let mut world = three_records();
    let unsupported = Some(Err(ErrorCode::UnsupportedVersion));
    let nowhere = Some(Ok((-1, -1, -1)));
    for (timestamp, since, expected) in [
        (-1, 1, Some(Ok((3, -1, 0)))),
        (-2, 1, Some(Ok((0, -1, 0)))),
        (-3, 7, None),
        (-4, 8, Some(Ok((0, -1, 0)))),
        (-5, 9, nowhere),
        (-6, 11, nowhere),
        (-7, 12, nowhere),
        (i64::MIN, 12, nowhere),
        (1001, 1, None),
    ] {
        for version in 1..=11 {
            let expected = match expected {
                _ if version < since => unsupported,
                // The answer has a place for the epoch since version 4.
                Some(Ok((offset, time, _))) if version < 4 => Some(Ok((offset, time, -1))),
                known => known,
            };
            let got = world.list(version, &[ask(0, -1, timestamp)]);
            assert_eq!(got, [expected], "{timestamp} in version {version}");
        }
    }
}

#[test]
fn epochs_fence_and_a_partition_is_asked_for_once() {
    let mut world = three_records();
    let got = world.list(7, &[ask(0, 0, -1), ask(0, 0, -1), ask(5, 0, -1)]);
    assert_eq!(
        got,
        [
            Some(Ok((3, -1, 0))),
            Some(Err(ErrorCode::InvalidRequest)),
            Some(Err(ErrorCode::UnknownTopicOrPartition))
        ]
    );
    assert_eq!(world.list(7, &[ask(0, 1, -1)]), [Some(Err(ErrorCode::UnknownLeaderEpoch))]);
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
