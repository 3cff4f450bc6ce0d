//! Several data directories, disks that are full or broken, and how a node comes to rest.

use klamm_cluster::record::{PartitionChange, Record};
use klamm_log::{DiskAction, DiskError, Done, LogDir, MoveStep, Space};
use klamm_model::{
    BatchBuilder, BrokerId, ControllerEpoch, ErrorCode, LeaderEpoch, PartitionEpoch, PartitionIndex, Seal,
    Timestamp, TopicId, TopicPartition,
};
use klamm_node::{Event, PeerFailure, Reply};
use klamm_wire::{
    AlterReplicaLogDirsRequest, AssignReplicasToDirsResponse, BrokerHeartbeatResponse,
    DescribeLogDirsRequest, FetchResponse, Request, Response,
    alter_replica_log_dirs::{AlterReplicaLogDir, AlterReplicaLogDirTopic},
};
use uuid::Uuid;

use crate::world::{World, another, batch};

const TOTAL: u64 = 100 << 30;

fn two_dirs() -> World {
    World::with(|config| {
        config.log_dirs = vec!["/one".to_owned(), "/two".to_owned()];
        config.min_free_bytes = Some(1 << 30);
    })
}

/// The shell has looked.
fn free(world: &mut World, free_bytes: &[u64]) {
    let space = |free_bytes: &u64| Some(Space { total_bytes: TOTAL, free_bytes: *free_bytes });
    world.step(Event::Space(free_bytes.iter().map(space).collect()));
}

fn delete(world: &mut World, topic: &str) {
    let topics =
        klamm_wire::DeleteTopicsRequest { topic_names: vec![topic.to_owned()], ..Default::default() };
    world.send(Request::DeleteTopics(topics), 5);
}

/// A partition and its size.
type PartitionSize = (String, i32, i64);

/// Each directory's path, error, and partitions with their sizes.
fn describe(world: &mut World) -> Vec<(String, i16, Vec<PartitionSize>)> {
    let sequence = world.send(Request::DescribeLogDirs(DescribeLogDirsRequest { topics: None }), 4);
    let Response::DescribeLogDirs(response) = world.response(sequence) else { panic!("another answer") };
    let sizes = |topics: &[klamm_wire::describe_log_dirs::DescribeLogDirsTopic]| {
        let of_topic = |topic: &klamm_wire::describe_log_dirs::DescribeLogDirsTopic| {
            let name = topic.name.clone();
            let sizes = topic.partitions.iter().map(|it| (it.partition_index, it.partition_size));
            sizes.map(move |(index, size)| (name.clone(), index, size)).collect::<Vec<_>>()
        };
        topics.iter().flat_map(of_topic).collect()
    };
    response.results.iter().map(|it| (it.log_dir.clone(), it.error_code, sizes(&it.topics))).collect()
}

fn placed(world: &mut World) -> Vec<usize> {
    describe(world).iter().map(|(_, _, partitions)| partitions.len()).collect()
}

#[test]
fn new_partitions_go_where_the_fewest_are() {
    let mut world = two_dirs();
    world.create("a", 3);
    assert_eq!(placed(&mut world), [2, 1]);
    world.create("b", 1);
    assert_eq!(placed(&mut world), [2, 2]);
    delete(&mut world, "b");
    world.all_disk();
    world.create("c", 2);
    assert_eq!(placed(&mut world), [3, 2]);
}

#[test]
fn sizes_are_told_by_directory_and_topic() {
    let mut world = two_dirs();
    world.create("t", 2);
    world.produce("t", -1, batch(3, None));
    world.all_disk();
    let size = batch(3, None).len() as i64;
    let (one, two) = (("t".to_owned(), 0, size), ("t".to_owned(), 1, 0));
    assert_eq!(describe(&mut world), [("/one".to_owned(), 0, vec![one]), ("/two".to_owned(), 0, vec![two])]);
    let topic = klamm_wire::describe_log_dirs::DescribableLogDirTopic {
        topic: "t".to_owned(),
        partitions: vec![1, 1, 9],
    };
    let request = DescribeLogDirsRequest { topics: Some(vec![topic, Default::default()]) };
    let sequence = world.send(Request::DescribeLogDirs(request), 1);
    let Response::DescribeLogDirs(response) = world.response(sequence) else { panic!("another answer") };
    let counts: Vec<_> = response.results.iter().map(|it| it.topics.len()).collect();
    assert_eq!((counts, response.results[1].topics[0].partitions.len()), (vec![0, 1], 1));
}

/// Each look at all partitions is made in slices: who comes meanwhile is served in between, and the node wants to go on at once.
#[test]
fn who_looks_at_all_partitions_holds_up_nobody() {
    let mut world = two_dirs();
    world.create("t", 300);
    let described = |world: &mut World, topics| {
        let survey = world.send(Request::DescribeLogDirs(DescribeLogDirsRequest { topics }), 4);
        assert!(world.replies.is_empty(), "answered in one go");
        assert!(
            world.node.next_wake().is_some_and(|at| at <= world.now().tick),
            "it does not go on by itself"
        );
        let taken = world.produce_to("t", 299, 1, batch(1, None));
        world.all_disk();
        assert_eq!(world.produced(taken).0, ErrorCode::None);
        for _ in 0..4 {
            world.step(Event::Tick);
        }
        let Response::DescribeLogDirs(response) = world.response(survey) else { panic!("another answer") };
        let topics = response.results.iter().flat_map(|dir| &dir.topics);
        let mut indexes: Vec<_> =
            topics.flat_map(|topic| &topic.partitions).map(|it| it.partition_index).collect();
        indexes.sort_unstable();
        indexes
    };
    assert!(described(&mut world, None).into_iter().eq(0..300));
    let partitions = (-1000..2000).chain(0..300).collect();
    let named = klamm_wire::describe_log_dirs::DescribableLogDirTopic { topic: "t".to_owned(), partitions };
    assert!(described(&mut world, Some(vec![named])).into_iter().eq(0..300), "each once");

    let (mut report, mut walk, mut slices) = (world.node.report(), klamm_node::Walk::default(), 0);
    while !walk.is_over() {
        world.node.report_next(&mut walk, &mut report);
        slices += 1;
    }
    assert_eq!((report.partitions, report.leaders, slices), (300, 300, 3));
}

#[test]
fn a_nearly_full_disk_takes_no_records_until_there_is_room_again() {
    let mut world = two_dirs();
    world.create("t", 2);
    free(&mut world, &[1 << 30, TOTAL]);
    let taken = world.produce("t", -1, batch(1, None));
    world.all_disk();
    assert_eq!(world.produced(taken), (ErrorCode::None, 0), "as much as is to be free");
    free(&mut world, &[(1 << 30) - 1, TOTAL]);
    let refused = world.produce("t", -1, batch(1, None));
    let Response::Produce(response) = world.response(refused) else { panic!("another answer") };
    let partition = &response.responses[0].partition_responses[0];
    assert_eq!(partition.error_code, ErrorCode::KafkaStorageError.code());
    assert!(partition.error_message.as_ref().is_some_and(|it| it.contains("nearly full")), "{partition:?}");
    let fetch = world.fetch("t", 0, 0, 1);
    assert!(matches!(world.answer(fetch), Some(Reply::Fetch { .. })), "what is there is read");
    world.create("u", 2);
    assert_eq!(placed(&mut world), [1, 3], "new partitions go where there is room");

    free(&mut world, &[(1 << 30) + 1, TOTAL]);
    let refused = world.produce("t", -1, batch(1, None));
    assert_eq!(world.produced(refused).0, ErrorCode::KafkaStorageError, "a little more is asked for");
    free(&mut world, &[2 << 30, TOTAL]);
    let taken = world.produce("t", -1, batch(1, None));
    world.all_disk();
    assert_eq!(world.produced(taken), (ErrorCode::None, 1));
}

#[test]
fn room_is_looked_at_while_records_come_and_while_it_is_waited_for() {
    let mut world = two_dirs();
    assert_eq!(world.looks, 1, "at the start");
    free(&mut world, &[TOTAL, TOTAL]);
    world.create("t", 1);
    world.wait_ms(10_000);
    let before = world.looks;
    world.wait_ms(10_000);
    assert_eq!(world.looks, before, "nothing was written");
    world.produce("t", -1, batch(1, None));
    world.all_disk();
    world.wait_ms(1000);
    assert_eq!(world.looks, before + 1);
    world.wait_ms(1000);
    assert_eq!(world.looks, before + 1, "no second look before the first is answered");
    free(&mut world, &[0, TOTAL]);
    for round in 0..3 {
        world.wait_ms(1000);
        assert_eq!(world.looks, before + 2 + round, "it waits for room");
        free(&mut world, &[0, TOTAL]);
    }
    free(&mut world, &[TOTAL, TOTAL]);
    world.wait_ms(10_000);
    world.wait_ms(10_000);
    assert_eq!(world.looks, before + 4, "it stopped to wait");
}

#[test]
fn the_less_room_there_is_the_sooner_it_is_looked_at() {
    let mut world = two_dirs();
    world.create("t", 1);
    free(&mut world, &[(1 << 30) + (4 << 20), TOTAL]);
    let before = world.looks;
    let mut builder = BatchBuilder::with_capacity(1 << 20);
    builder.append(Timestamp(1000), None, Some(&vec![0; 600_000]), &[]);
    let records = builder.finish(&Seal::default());
    world.produce("t", -1, records.clone());
    assert_eq!(world.looks, before);
    world.produce("t", -1, records);
    assert_eq!(world.looks, before + 1, "after a mebibyte, for four are left");
}

#[test]
fn a_directory_that_fails_goes_offline_alone() {
    let mut world = two_dirs();
    world.create("t", 2);
    world.create("u", 1);
    let waiting = world.produce("t", -1, batch(1, None));
    world.writes();
    world.step(Event::LogDirFailed(LogDir(0)));
    assert_eq!(world.produced(waiting).0, ErrorCode::KafkaStorageError, "what was not synced is lost");
    let refused = world.produce("t", 1, batch(1, None));
    assert_eq!(world.produced(refused).0, ErrorCode::KafkaStorageError);
    let lost = describe(&mut world);
    assert_eq!(lost[0], ("/one".to_owned(), ErrorCode::KafkaStorageError.code(), vec![]));
    assert_eq!(lost[1].2.len(), 1, "t-1; the other two were in the first");
    world.create("v", 2);
    assert_eq!(describe(&mut world)[1].2.len(), 3, "new partitions go to the one that serves");
    let taken = world.produce("v", -1, batch(1, None));
    world.all_disk();
    assert_eq!(world.produced(taken), (ErrorCode::None, 0));

    delete(&mut world, "t");
    let refused = DiskError::NotTried("the data directory has failed".to_owned());
    world.disk(|action| *action == DiskAction::DeletePartition, &Err(refused));
    world.create("t", 1);
    let taken = world.produce("t", -1, batch(1, None));
    world.all_disk();
    assert_eq!(world.produced(taken), (ErrorCode::None, 0), "what cannot be removed keeps no name");
}

/// The signs of life that another node, as the controller, is shown, each answered: whether they say that a disk is full.
fn beats(world: &mut World) -> Vec<bool> {
    let sent: Vec<_> = world.sent.drain(..).collect();
    let mut beats = Vec::new();
    for (token, request) in sent {
        if let Request::BrokerHeartbeat(it) = request {
            let answer = Ok(Response::BrokerHeartbeat(BrokerHeartbeatResponse::default()));
            world.step(Event::Peer { from: BrokerId(2), token, answer });
            beats.push(it.cordoned_log_dirs.is_some_and(|dirs| !dirs.is_empty()));
        }
    }
    beats
}

/// So that others lead meanwhile what this broker takes no records of.
#[test]
fn the_controller_hears_at_once_that_a_disk_is_full_and_that_there_is_room_again() {
    let mut world = two_dirs();
    world.create("t", 1);
    let something = Record::Topic { name: "u".to_owned(), id: TopicId(Uuid::from_u128(77)) };
    world.decides(BrokerId(2), ControllerEpoch(2), something);
    world.wait_ms(1);
    assert_eq!(beats(&mut world), [false]);
    free(&mut world, &[TOTAL, 1 << 20]);
    assert_eq!(beats(&mut world), [true]);
    free(&mut world, &[TOTAL, 2 << 20]);
    assert_eq!(beats(&mut world), [false; 0], "that is no news");
    free(&mut world, &[TOTAL, 2 << 30]);
    assert_eq!(beats(&mut world), [false]);
}

/// However little is to stay free: after a write that found no room it is looked whether there is none.
#[test]
fn a_write_that_finds_no_room_asks_how_much_there_is() {
    let mut world = World::with(|config| config.min_free_bytes = Some(0));
    world.create("t", 1);
    free(&mut world, &[TOTAL]);
    let looks = world.looks;
    let lost = world.produce("t", 1, batch(1, None));
    world.disk(|action| matches!(action, DiskAction::Write { .. }), &Err(DiskError::Full));
    assert_eq!((world.produced(lost).0, world.looks), (ErrorCode::KafkaStorageError, looks + 1));
    // A quota, or no file descriptor, is another matter.
    for (free_bytes, expected) in
        [(2 << 20, ErrorCode::None), (1 << 19, ErrorCode::KafkaStorageError), (2 << 20, ErrorCode::None)]
    {
        free(&mut world, &[free_bytes]);
        let produced = world.produce("t", 1, batch(1, None));
        world.all_disk();
        assert_eq!(world.produced(produced).0, expected, "{free_bytes} bytes free");
    }
}

/// The replicas that the controller is told of, if it is asked anything about them.
fn told(world: &mut World) -> Vec<(u64, Vec<i32>)> {
    let told = world.sent.drain(..).filter_map(|(token, request)| {
        let Request::AssignReplicasToDirs(it) = request else { return None };
        let topics = it.directories.into_iter().flat_map(|it| it.topics);
        let partitions = topics.flat_map(|it| it.partitions).map(|it| it.partition_index);
        Some((token, partitions.collect()))
    });
    told.collect()
}

#[test]
fn the_controller_is_told_of_what_is_offline_until_the_metadata_say_so() {
    const OTHER: BrokerId = BrokerId(2);
    let mut world = two_dirs();
    let topic = world.create("t", 3);
    let something = Record::Topic { name: "u".to_owned(), id: TopicId(Uuid::from_u128(77)) };
    world.decides(OTHER, ControllerEpoch(2), something);
    world.step(Event::LogDirFailed(LogDir(0)));
    let asked = told(&mut world);
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].1, [0, 2], "what is in the other directory is served");
    world.wait_ms(1000);
    assert_eq!(told(&mut world), [], "it is told");
    let answer = Ok(Response::AssignReplicasToDirs(AssignReplicasToDirsResponse::default()));
    world.step(Event::Peer { from: OTHER, token: asked[0].0, answer });
    let is_offline = |index, epoch| {
        let partition = TopicPartition { topic, partition: PartitionIndex(index) };
        Record::PartitionChange(PartitionChange {
            isr: Some(Vec::new()),
            leader: Some(None),
            leader_epoch: Some(LeaderEpoch(epoch)),
            offline: Some(vec![BrokerId(1)]),
            ..PartitionChange::nothing(partition, PartitionEpoch(1))
        })
    };
    world.decides(OTHER, ControllerEpoch(3), is_offline(0, 1));
    world.wait_ms(200);
    let again = told(&mut world);
    assert_eq!(again.last().map(|it| &it.1[..]), Some(&[2][..]), "the metadata say it of one of them");
    world.step(Event::Peer { from: OTHER, token: again[0].0, answer: Err(PeerFailure::TimedOut) });
    world.decides(OTHER, ControllerEpoch(4), is_offline(2, 1));
    for _ in 0..5 {
        world.wait_ms(200);
    }
    assert_eq!(told(&mut world), [], "they say it of all");
    let refused = world.produce_to("t", 0, 1, batch(1, None));
    assert_eq!(world.produced(refused).0, ErrorCode::KafkaStorageError);
}

#[test]
fn what_was_offline_is_led_again_by_the_next_process() {
    let mut world = two_dirs();
    let topic = world.create("t", 1);
    world.produce("t", -1, batch(1, None));
    world.all_disk();
    world.step(Event::LogDirFailed(LogDir(0)));
    let partition = TopicPartition { topic, partition: PartitionIndex(0) };
    let known = |world: &World| {
        let it = world.node.image().partition(partition).expect("it is there");
        (it.leader, it.isr.clone(), it.offline.clone())
    };
    let me = BrokerId(1);
    assert_eq!(known(&world), (None, vec![], vec![me]));
    world.config.incarnation = Uuid::from_u128(4);
    world.restart_with_logs();
    assert_eq!(known(&world), (Some(me), vec![me], vec![]));
    let taken = world.produce("t", -1, batch(1, None));
    world.all_disk();
    assert_eq!(world.produced(taken), (ErrorCode::None, 1));
}

/// Or it would be elected with an empty log, where others have what it had. Whether its data directory is another one or only this log is gone.
#[test]
fn a_log_of_which_nothing_is_found_is_told_of_before_the_broker_takes_part() {
    for directory in [5, 6] {
        let mut world = World::with(|config| {
            config.log_dirs = vec!["/one".to_owned(), "/two".to_owned()];
            config.other_directories = vec![Uuid::from_u128(5)];
        });
        let topic = world.create("t", 1);
        world.all_disk();
        world.config.incarnation = Uuid::from_u128(4);
        world.config.other_directories = vec![Uuid::from_u128(directory)];
        world.restart();
        let partition = TopicPartition { topic, partition: PartitionIndex(0) };
        let it = world.node.image().partition(partition).expect("it is there");
        assert_eq!((it.leader, &it.isr[..]), (Some(BrokerId(1)), &[BrokerId(1)][..]));
        // Led by nobody, out of all sets, and elected.
        assert_eq!(it.partition_epoch, PartitionEpoch(3), "{directory}");
        let taken = world.produce("t", -1, batch(1, None));
        world.all_disk();
        assert_eq!(world.produced(taken), (ErrorCode::None, 0));
    }
}

/// Where nobody is known to have all records, each controller is told who has none: if that is everybody, somebody leads.
#[test]
fn each_controller_is_told_of_a_log_that_is_empty_where_nobody_can_lead() {
    const OTHER: BrokerId = BrokerId(2);
    for record_count in [0, 1] {
        let mut world = two_dirs();
        let topic = world.create("t", 1);
        (0..record_count).for_each(|_| {
            world.produce("t", -1, batch(1, None));
        });
        world.all_disk();
        let partition = TopicPartition { topic, partition: PartitionIndex(0) };
        let lost = Record::PartitionChange(PartitionChange {
            isr: Some(Vec::new()),
            leader: Some(None),
            leader_epoch: Some(LeaderEpoch(1)),
            ..PartitionChange::nothing(partition, PartitionEpoch(1))
        });
        world.decides(OTHER, ControllerEpoch(2), lost);
        world.wait_ms(1);
        let asked = told(&mut world);
        let expected: &[&[i32]] = if record_count == 0 { &[&[0]] } else { &[] };
        assert!(asked.iter().map(|it| &it.1[..]).eq(expected.iter().copied()), "{record_count}: {asked:?}");
        let answer = |world: &mut World, asked: Vec<(u64, Vec<i32>)>| {
            for (token, _) in asked {
                let answer = Ok(Response::AssignReplicasToDirs(AssignReplicasToDirsResponse::default()));
                world.step(Event::Peer { from: OTHER, token, answer });
            }
        };
        answer(&mut world, asked);
        world.wait_ms(999);
        assert_eq!(told(&mut world), [], "it has heard");
        // It may be another one by now, in the same node: seed 2068 of the simulator.
        world.wait_ms(1);
        let again = told(&mut world);
        assert!(again.iter().map(|it| &it.1[..]).eq(expected.iter().copied()), "{record_count}: {again:?}");
        answer(&mut world, again);
        let something = Record::Topic { name: "u".to_owned(), id: TopicId(Uuid::from_u128(77)) };
        world.decides(OTHER, ControllerEpoch(3), something);
        world.wait_ms(1);
        assert_eq!(told(&mut world).len(), expected.len(), "another one has not");
    }
}

fn alter(world: &mut World, path: &str, name: &str, partition: i32) -> ErrorCode {
    let topics = vec![AlterReplicaLogDirTopic { name: name.to_owned(), partitions: vec![partition] }];
    let dirs = vec![AlterReplicaLogDir { path: path.to_owned(), topics }];
    let sequence = world.send(Request::AlterReplicaLogDirs(AlterReplicaLogDirsRequest { dirs }), 2);
    let Response::AlterReplicaLogDirs(response) = world.response(sequence) else { panic!("another answer") };
    ErrorCode::from_code(response.results[0].partitions[0].error_code).expect("a known code")
}

/// The partitions in each directory; those on their way there with a sign.
fn places(world: &mut World) -> Vec<String> {
    let sequence = world.send(Request::DescribeLogDirs(DescribeLogDirsRequest { topics: None }), 4);
    let Response::DescribeLogDirs(response) = world.response(sequence) else { panic!("another answer") };
    let place = |dir: &klamm_wire::describe_log_dirs::DescribeLogDirsResult| {
        let partitions = dir.topics.iter().flat_map(|topic| &topic.partitions);
        let names =
            partitions.map(|it| format!("{}{}", if it.is_future_key { ">" } else { "" }, it.partition_index));
        names.collect::<Vec<_>>().join(" ")
    };
    response.results.iter().map(place).collect()
}

#[test]
fn partitions_move_between_directories_one_after_the_other() {
    let mut world = two_dirs();
    world.create("t", 4);
    assert_eq!(places(&mut world), ["0 2", "1 3"]);
    for (path, name, partition, expected) in [
        ("/one", "t", 0, ErrorCode::None),
        ("/two/", "t", 1, ErrorCode::None),
        ("/three", "t", 0, ErrorCode::LogDirNotFound),
        ("/one", "t", 4, ErrorCode::UnknownTopicOrPartition),
        ("/one", "nothing", 0, ErrorCode::UnknownTopicOrPartition),
    ] {
        assert_eq!(alter(&mut world, path, name, partition), expected, "{path} {name}-{partition}");
    }
    assert!(world.disk.is_empty(), "all are where they are to be");

    for partition in [0, 2, 0] {
        assert_eq!(alter(&mut world, "/two", "t", partition), ErrorCode::None);
    }
    assert_eq!(alter(&mut world, "/one", "t", 3), ErrorCode::None);
    assert_eq!(places(&mut world), ["0 2 >3", ">0 1 >2 3"]);
    assert_eq!(world.disk.len(), 1, "one at a time");
    assert_eq!(alter(&mut world, "/one", "t", 2), ErrorCode::None);
    assert_eq!(places(&mut world), ["0 2 >3", ">0 1 3"], "what waits is called off");
    let taken = world.produce_to("t", 0, -1, batch(1, None));
    world.all_disk();
    assert_eq!(world.produced(taken), (ErrorCode::None, 0), "it is written meanwhile");
    assert_eq!(places(&mut world), ["2 3", "0 1"]);
    let counts: Vec<_> = world.node.report().log_dirs.iter().map(|dir| dir.partitions).collect();
    assert_eq!(counts, [2, 2]);

    assert_eq!(alter(&mut world, "/one", "t", 0), ErrorCode::None);
    assert_eq!(alter(&mut world, "/two", "t", 0), ErrorCode::None);
    world.all_disk();
    assert_eq!(places(&mut world), ["2 3", "0 1"], "what runs is called off");
    let size = batch(1, None).len() as u64;
    for (free_bytes, expected) in
        [((1 << 30) + size - 1, ErrorCode::KafkaStorageError), ((1 << 30) + size, ErrorCode::None)]
    {
        free(&mut world, &[free_bytes, TOTAL]);
        assert_eq!(alter(&mut world, "/one", "t", 0), expected, "{free_bytes} bytes are free");
    }
    assert_eq!(alter(&mut world, "/two", "t", 0), ErrorCode::None);
    world.all_disk();
    free(&mut world, &[TOTAL, TOTAL]);

    // Whatever was due meanwhile.
    free(&mut world, &[TOTAL, TOTAL]);
    let looks = world.looks;
    assert_eq!(alter(&mut world, "/one", "t", 0), ErrorCode::None);
    assert_eq!(world.looks, looks + 1, "a move takes room");
    assert_eq!(alter(&mut world, "/one", "t", 1), ErrorCode::None);
    free(&mut world, &[(1 << 30) - 1, TOTAL]);
    world.all_disk();
    assert_eq!(places(&mut world), ["0 2 3", "1"], "when its turn came there was no room any more");
    free(&mut world, &[TOTAL, TOTAL]);

    assert_eq!(alter(&mut world, "/one", "t", 1), ErrorCode::None);
    delete(&mut world, "t");
    world.all_disk();
    world.create("u", 2);
    assert_eq!(alter(&mut world, "/two", "u", 0), ErrorCode::None);
    world.all_disk();
    assert_eq!(places(&mut world), ["", "0 1"], "a deleted one holds up nobody");
}

/// What the leader is asked for, which has no records: whether for those of each partition.
fn asked_for_records(world: &mut World) -> Vec<(i32, bool)> {
    let mut asked = Vec::new();
    world.wait_ms(1);
    // Where there is an answer it asks on, and for what it could not ask for before.
    for _ in 0..2 {
        for (token, request) in std::mem::take(&mut world.sent) {
            let Request::Fetch(fetch) = request else { continue };
            let partitions = fetch.topics.into_iter().flat_map(|it| it.partitions);
            asked.extend(partitions.map(|it| (it.partition, 0 < it.partition_max_bytes)));
            let answer = Ok(Response::Fetch(FetchResponse { session_id: 1, ..Default::default() }));
            world.step(Event::Peer { from: BrokerId(2), token, answer });
        }
    }
    asked
}

#[test]
fn a_partition_that_leaves_a_full_directory_is_asked_for_again_and_others_are_left_alone() {
    let mut world = two_dirs();
    let topic = world.create("t", 2);
    world.all_disk();
    world.decides(BrokerId(2), ControllerEpoch(2), Record::RegisterBroker(another()));
    for partition in [0, 1].map(PartitionIndex) {
        let partition = TopicPartition { topic, partition };
        let led_by_another = Record::PartitionChange(PartitionChange {
            leader: Some(Some(BrokerId(2))),
            leader_epoch: Some(LeaderEpoch(1)),
            replicas: Some(vec![BrokerId(1), BrokerId(2)]),
            isr: Some(vec![BrokerId(1), BrokerId(2)]),
            ..PartitionChange::nothing(partition, PartitionEpoch(1))
        });
        world.decides(BrokerId(2), ControllerEpoch(3 + partition.partition.0), led_by_another);
    }
    assert_eq!(asked_for_records(&mut world), [(0, true), (1, true)]);
    free(&mut world, &[1 << 29, TOTAL]);
    assert_eq!(asked_for_records(&mut world), [], "it is just enough");
    free(&mut world, &[(1 << 29) - 1, TOTAL]);
    assert_eq!(asked_for_records(&mut world), [(0, false)]);
    free(&mut world, &[(5 << 27) - 1, TOTAL]);
    assert_eq!(asked_for_records(&mut world), [], "it does not come and go");
    assert_eq!(alter(&mut world, "/two", "t", 0), ErrorCode::None);
    world.all_disk();
    assert_eq!(places(&mut world), ["", "0 1"]);
    assert_eq!(asked_for_records(&mut world), [(0, true)]);
    for (free_bytes, expected) in [((1 << 29) - 1, false), (5 << 27, true)] {
        free(&mut world, &[TOTAL, free_bytes]);
        assert_eq!(asked_for_records(&mut world), [(0, expected), (1, expected)]);
    }
}

fn is_switch(action: &DiskAction) -> bool {
    matches!(action, DiskAction::Move(it) if it.step == MoveStep::Switch)
}

#[test]
fn a_topic_deleted_while_it_switches_leaves_the_directory_that_counts_it() {
    let mut world = two_dirs();
    world.create("t", 1);
    world.create("u", 1);
    assert_eq!(alter(&mut world, "/two", "t", 0), ErrorCode::None);
    world.disk(|action| !is_switch(action), &Ok(Done::Nothing));
    assert!(is_switch(&world.disk[0].action), "{:?}", world.disk);
    delete(&mut world, "t");
    assert_eq!(alter(&mut world, "/one", "u", 0), ErrorCode::None, "it looks whose turn it is");
    world.all_disk();
    let counts: Vec<_> = world.node.report().log_dirs.iter().map(|dir| dir.partitions).collect();
    assert_eq!((places(&mut world), counts), (vec!["0".to_owned(), String::new()], vec![1, 0]));
}

#[test]
fn a_node_without_work_is_at_rest_at_once() {
    let mut world = World::new();
    world.step(Event::Stopping);
    let rest = world.rest.expect("nothing is under way");
    assert!(rest.is_whole && rest.broker_epoch.is_some(), "{rest:?}");
}

#[test]
fn it_rests_when_the_last_log_has_everything_on_disk() {
    let mut world = World::new();
    world.create("busy", 3);
    world.create("quiet", 3);
    let produced = world.produce("busy", 1, batch(2, None));
    world.writes();
    assert_eq!(world.produced(produced), (ErrorCode::None, 0));
    world.step(Event::Stopping);
    world.disk(|action| matches!(action, DiskAction::Sync { .. }), &Ok(Done::Nothing));
    assert_eq!(world.rest, None, "the durable point is not saved yet");
    world.all_disk();
    assert!(world.rest.expect("nothing is under way any more").is_whole);
}

#[test]
fn what_failed_or_found_no_room_is_not_whole() {
    for error in [DiskError::Full, DiskError::Io("broken".to_owned())] {
        let mut world = World::new();
        world.create("t", 1);
        world.produce("t", -1, batch(2, None));
        world.writes();
        world.step(Event::Stopping);
        world.disk(|action| matches!(action, DiskAction::Sync { .. }), &Ok(Done::Nothing));
        world.disk(|_| true, &Err(error));
        assert!(!world.rest.expect("nothing is under way any more").is_whole);
    }
}

#[test]
fn whoever_stops_before_it_knows_its_logs_left_nothing_whole() {
    let mut world = World::new();
    world.create("t", 1);
    world.produce("t", 1, batch(2, None));
    world.all_disk();
    world.begin_restart();
    world.step(Event::Stopping);
    assert!(!world.rest.expect("no log is at work").is_whole, "what was found may not be on disk");
}

#[test]
fn a_deletion_under_way_is_waited_for() {
    let mut world = World::new();
    world.create("t", 1);
    delete(&mut world, "t");
    world.step(Event::Stopping);
    assert_eq!(world.rest, None);
    world.all_disk();
    assert!(world.rest.expect("it is gone").is_whole);
}
