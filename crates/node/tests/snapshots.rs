//! Snapshots of the metadata: when a node makes one, and what it makes of one that it is given.

use std::collections::VecDeque;

use crate::world::World;
use klamm_cluster::Image;
use klamm_log::{DiskAction, DiskOp, Done, Log, LogConfig};
use klamm_model::{BrokerId, ControllerEpoch, PartitionIndex, Tick, Timestamp, TopicId, TopicPartition};
use klamm_node::{Effect, Event, Node, NodeConfig, Now};
use klamm_quorum::{Filter, Output, Registration, Snapshot};
use klamm_replica::Sabotage;
use klamm_wire::{DeleteTopicsRequest, Request, UnregisterBrokerRequest};
use uuid::Uuid;

fn of(world: &World) -> (Image, u64) {
    let Snapshot { position, state } = world.snapshots.last().expect("it made one");
    (Image::from_bytes(state).expect("it can be read"), position.next_index)
}

fn delete(world: &mut World, name: &str) {
    let delete = DeleteTopicsRequest { topic_names: vec![name.into()], ..Default::default() };
    let sequence = world.send(Request::DeleteTopics(delete), 5);
    world.all_disk();
    world.response(sequence);
}

#[test]
fn there_is_one_after_so_many_bytes_of_entries() {
    let mut world = World::with(|config| config.snapshot_bytes = 900);
    world.create("first", 3);
    assert!(world.snapshots.is_empty(), "little came yet");
    for number in 0..20 {
        world.create(&format!("t{number}"), 3);
    }
    let (image, end) = of(&world);
    let size: usize = world.entries[..end as usize].iter().map(|it| it.payload.len()).sum();
    assert!(900 * world.snapshots.len() <= size, "{} of {size} bytes", world.snapshots.len());
    assert!(1 < world.snapshots.len(), "the bytes are counted anew");
    let behind: Vec<_> = (0..20).map(|at| image.topic_named(&format!("t{at}")).is_some()).collect();
    assert!(behind.is_sorted_by(|one, next| one >= next), "it has all up to somewhere: {behind:?}");
}

#[test]
fn there_is_one_so_long_after_a_change_and_none_without_one() {
    let mut world = World::with(|config| config.snapshot_interval_ms = 5_000);
    world.wait_ms(6_000);
    let made = world.snapshots.len();
    assert_eq!(made, 1, "of its own registration");
    world.wait_ms(60_000);
    assert_eq!(world.snapshots.len(), made, "nothing has changed");
    world.create("t", 1);
    assert_eq!(world.snapshots.len(), made);
    world.wait_ms(5_001);
    assert_eq!(world.snapshots.len(), made + 1);
    assert_eq!(&of(&world).0, world.node.image());

    let mut never = World::with(|config| config.snapshot_interval_ms = 0);
    never.create("t", 1);
    never.wait_ms(10_000_000);
    assert!(never.snapshots.is_empty());
}

#[test]
fn a_start_from_one_is_a_start_from_all_entries() {
    let mut world = World::with(|config| config.snapshot_bytes = 1);
    world.create("t", 2);
    world.create("u", 2);
    let before = world.node.image().clone();
    let topics = before.topics().cloned().collect::<Vec<_>>();
    world.restart();
    assert_eq!(world.node.image().topics().cloned().collect::<Vec<_>>(), topics);
    let keys: Vec<TopicPartition> = before.partitions().map(|(key, _)| key).collect();
    assert!(keys.iter().all(|key| world.node.replica(*key).is_some()), "all is hosted");
}

#[test]
fn a_log_of_a_topic_whose_removal_is_behind_a_snapshot_goes_and_that_of_an_unknown_one_stays() {
    let mut world = World::with(|config| config.snapshot_bytes = 1);
    let gone = world.create("gone", 1);
    world.create("t", 1);
    delete(&mut world, "gone");
    let (image, _) = of(&world);
    assert!(image.topic(gone).is_none());
    world.deleted.clear();
    let unknown = TopicId(Uuid::from_u128(77));
    let key = |topic| TopicPartition { topic, partition: PartitionIndex(0) };
    world.restart_with(|node: &mut Node| {
        for (topic, name) in [(gone, "gone-0"), (unknown, "unknown-0")] {
            let log = Log::create(key(topic), name.to_owned(), LogConfig::default(), &mut Vec::new());
            node.adopt(log);
        }
    });
    let deleted: Vec<_> = world.deleted.iter().map(|it| it.topic).collect();
    assert_eq!(deleted, [gone]);
}

/// A node that only hears of the metadata, on a disk where everything ends at once. Tells what was deleted.
fn hear(node: &mut Node, output: Output) -> Vec<TopicPartition> {
    let mut deleted = Vec::new();
    let mut events = VecDeque::from([Event::Quorum(output)]);
    while let Some(event) = events.pop_front() {
        let mut effects = Vec::new();
        node.step(Now { tick: Tick(1), wall: Timestamp(1) }, event, &mut effects);
        for effect in effects {
            if let Effect::Disk(DiskOp { partition, id, action }) = effect {
                deleted.extend(matches!(action, DiskAction::DeletePartition).then_some(partition));
                events.push_back(Event::Disk { partition, op: id, result: Ok(Done::Nothing) });
            }
        }
    }
    deleted
}

#[test]
fn one_in_place_of_entries_makes_of_a_running_node_what_the_entries_would_have() {
    let mut ahead = World::new();
    ahead.create("stays", 2);
    let goes = ahead.create("goes", 1);
    let config = NodeConfig::new(BrokerId(1), Uuid::from_u128(2), Uuid::from_u128(3));
    let mut behind = Node::new(config, 4, Sabotage::default());
    for entry in ahead.entries.clone() {
        hear(&mut behind, Output::Committed(entry));
    }
    hear(&mut behind, Output::LeaderIs { leader: Some(BrokerId(5)), epoch: ControllerEpoch(1) });
    assert_eq!(behind.partitions().count(), 3);

    let comes = ahead.create("comes", 1);
    ahead.set("stays", &["retention.ms=1000"]);
    delete(&mut ahead, "goes");
    let image = ahead.node.image();
    let mut filter = Filter::default();
    for entry in &ahead.entries {
        filter.take(entry).expect("in order");
    }
    let snapshot = Snapshot { position: filter.position(), state: image.to_bytes() };
    let deleted = hear(&mut behind, Output::Snapshot(snapshot));
    assert_eq!(deleted.iter().map(|it| it.topic).collect::<Vec<_>>(), [goes]);
    assert_eq!(behind.image(), image);
    let mut hosted: Vec<_> = behind.partitions().collect();
    hosted.sort_unstable();
    let wanted: Vec<_> = image.partitions().map(|(key, _)| key).collect();
    assert_eq!(hosted, wanted);
    assert!(wanted.iter().any(|key| key.topic == comes));

    // And what comes after it follows.
    let end = ahead.entries.len();
    ahead.create("later", 1);
    for entry in ahead.entries[end..].iter().cloned() {
        hear(&mut behind, Output::Committed(entry));
    }
    assert_eq!(behind.image(), ahead.node.image());
}

/// What the engine is told of brokers.
fn registrations(node: &mut Node, output: Output) -> Vec<Registration> {
    let mut effects = Vec::new();
    node.step(Now { tick: Tick(1), wall: Timestamp(1) }, Event::Quorum(output), &mut effects);
    let told = effects.into_iter().filter_map(|effect| match effect {
        Effect::Registration(told) => Some(told),
        _ => None,
    });
    told.collect()
}

#[test]
fn of_a_broker_that_went_behind_a_snapshot_the_engine_is_told_as_of_one_that_went_by_an_entry() {
    let mut world = World::new();
    world.send(Request::UnregisterBroker(UnregisterBrokerRequest { broker_id: 1 }), 0);
    let directory = world.config.directory;
    let came = Registration { id: BrokerId(1), directory, is_there: true };
    let went = Registration { is_there: false, ..came };
    let node = || {
        let config = NodeConfig::new(BrokerId(2), Uuid::from_u128(2), Uuid::from_u128(3));
        Node::new(config, 4, Sabotage::default())
    };
    let (mut ahead, mut behind, mut filter) = (node(), node(), Filter::default());
    let mut told = Vec::new();
    for entry in &world.entries {
        if told.is_empty() {
            registrations(&mut behind, Output::Committed(entry.clone()));
        }
        filter.take(entry).expect("in order");
        told.extend(registrations(&mut ahead, Output::Committed(entry.clone())));
        if told.last() == Some(&went) {
            break;
        }
    }
    assert_eq!(told, [came, went]);
    let snapshot = Snapshot { position: filter.position(), state: ahead.image().to_bytes() };
    assert_eq!(registrations(&mut node(), Output::Snapshot(snapshot.clone())), []);
    assert_eq!(registrations(&mut behind, Output::Snapshot(snapshot)), [went]);
}
