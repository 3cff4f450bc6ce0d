//! What an operator reads in the log at its usual level when something becomes of the cluster, and nothing else.

mod world;

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use klamm_cluster::record::{BrokerState, PartitionChange, Record};
use klamm_model::{
    BrokerEpoch, BrokerId, ControllerEpoch, LeaderEpoch, PartitionEpoch, PartitionIndex, TopicPartition,
};
use klamm_node::Event;
use klamm_quorum::Output;
use world::{World, another};

const OTHER: BrokerId = BrokerId(2);

/// What is logged, as text.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panics while writing").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn take(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.0.lock().expect("nobody panics while writing"));
        String::from_utf8(bytes).expect("text").lines().map(|it| it.trim_start().to_owned()).collect()
    }
}

fn logged(test: impl FnOnce(&Lines)) {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || test(&lines));
}

fn leader(world: &mut World, leader: Option<BrokerId>, epoch: i32) {
    world.step(Event::Quorum(Output::LeaderIs { leader, epoch: ControllerEpoch(epoch) }));
}

#[test]
fn a_quiet_node_says_nothing() {
    logged(|lines| {
        let mut world = World::new();
        world.create("t", 3);
        world.all_disk();
        let told = lines.take();
        assert!(told.contains(&"INFO this node is the controller epoch=1".to_owned()), "{told:?}");
        for _ in 0..6_000 {
            world.wait_ms(100);
            world.all_disk();
        }
        assert_eq!(lines.take(), [""; 0]);
    });
}

#[test]
fn brokers_and_leaders_that_change_are_told_of_in_one_line_each() {
    logged(|lines| {
        let mut world = World::new();
        let topic = world.create("t", 3);
        lines.take();
        world.decides(OTHER, ControllerEpoch(2), Record::RegisterBroker(another()));
        let epoch = world.node.image().broker(OTHER).expect("it has registered").epoch;
        let becomes = |state| Record::BrokerState { id: OTHER, epoch, state };
        world.decides(OTHER, ControllerEpoch(3), becomes(BrokerState::Active));
        world.decides(OTHER, ControllerEpoch(4), becomes(BrokerState::Fenced));
        let told = ["a broker has registered", "a broker takes part", "a broker is fenced"];
        assert_eq!(lines.take(), told.map(|it| format!("INFO {it} broker=2")));
        assert_ne!(epoch, BrokerEpoch(0));

        for (number, leader) in [(0, Some(OTHER)), (1, Some(OTHER)), (2, None)] {
            let key = TopicPartition { topic, partition: PartitionIndex(number) };
            let before = world.node.image().partition(key).expect("it is there").clone();
            let change = PartitionChange {
                leader: Some(leader),
                leader_epoch: Some(LeaderEpoch(before.leader_epoch.0 + 1)),
                isr: Some(vec![OTHER]),
                replicas: Some(vec![BrokerId(1), OTHER]),
                ..PartitionChange::nothing(key, PartitionEpoch(before.partition_epoch.0 + 1))
            };
            world.decides(OTHER, ControllerEpoch(5 + number), Record::PartitionChange(change));
            world.all_disk();
        }
        assert_eq!(lines.take(), [""; 0], "they are counted first");
        world.wait_ms(1_000);
        let told = [
            "INFO partitions have other leaders partitions=2",
            "WARN partitions have no leader any more: of those that have all of their records nobody is there partitions=1",
        ];
        assert_eq!(lines.take(), told);
    });
}

#[test]
fn a_node_that_hears_of_no_leader_says_so_once_and_once_when_that_is_over() {
    logged(|lines| {
        let mut world = World::new();
        lines.take();
        world.step(Event::Quorum(Output::NoLongerLeader));
        leader(&mut world, None, 2);
        world.wait_ms(2_900);
        assert_eq!(lines.take(), [""; 0], "an election takes a moment");
        assert!(world.node.next_wake().is_some_and(|at| at.0 <= world.tick + 100_000), "it wakes by itself");
        for _ in 0..600 {
            world.wait_ms(100);
        }
        let told = lines.take();
        assert!(told.len() == 1 && told[0].starts_with("WARN nobody leads the metadata"), "{told:?}");
        leader(&mut world, Some(OTHER), 3);
        assert_eq!(lines.take(), ["WARN the metadata are led again leader=2 after_ms=62900"]);
        leader(&mut world, None, 4);
        world.wait_ms(1_000);
        leader(&mut world, Some(OTHER), 5);
        assert_eq!(lines.take(), [""; 0]);
    });
}

/// Their leader is gone for a moment, and the same again.
#[test]
fn a_node_that_starts_again_does_not_say_that_its_partitions_had_no_leader() {
    logged(|lines| {
        let mut world = World::new();
        world.create("t", 3);
        world.all_disk();
        world.wait_ms(1_000);
        world.restart_with_logs();
        world.all_disk();
        lines.take();
        world.wait_ms(1_000);
        assert_eq!(lines.take(), [""; 0]);
    });
}

#[test]
fn a_node_that_is_stopped_does_not_say_that_the_metadata_are_led_again() {
    logged(|lines| {
        let mut world = World::new();
        world.step(Event::Quorum(Output::NoLongerLeader));
        leader(&mut world, None, 2);
        world.wait_ms(3_000);
        lines.take();
        world.step(Event::Stopping);
        world.wait_ms(3_000);
        assert_eq!(lines.take(), [""; 0]);
    });
}
