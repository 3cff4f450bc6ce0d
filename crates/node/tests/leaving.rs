//! A controlled shutdown: others lead before the broker goes.

mod world;

use klamm_model::{BrokerId, PartitionIndex, TopicPartition};
use klamm_node::{Event, Listener};
use klamm_wire::{
    AlterPartitionReassignmentsRequest, BrokerHeartbeatRequest, BrokerRegistrationRequest, Request, Response,
    alter_partition_reassignments::{ReassignablePartition, ReassignableTopic},
    broker_registration::Listener as Registered,
};
use uuid::Uuid;
use world::World;

const OTHER: BrokerId = BrokerId(2);

/// Another broker is registered here, and shows that it is alive. Tells its epoch.
fn registers(world: &mut World) -> i64 {
    let listener =
        |name: &str, port| Registered { name: name.into(), host: "there".into(), port, ..Default::default() };
    let request = BrokerRegistrationRequest {
        broker_id: OTHER.0,
        incarnation_id: Uuid::from_u128(20),
        log_dirs: vec![Uuid::from_u128(21)],
        listeners: vec![listener("CLIENT", 1), listener("BROKER", 2)],
        ..Default::default()
    };
    let sequence = world.send_on(Listener::Broker, Request::BrokerRegistration(request), 4);
    let Response::BrokerRegistration(response) = world.response(sequence) else { panic!("another answer") };
    assert_eq!(response.error_code, 0);
    response.broker_epoch
}

/// A sign of life of the other broker, which knows everything that is committed.
fn shows_life(world: &mut World, broker_epoch: i64) {
    let request = BrokerHeartbeatRequest {
        broker_id: OTHER.0,
        broker_epoch,
        current_metadata_offset: world.node.image().applied().expect("something") as i64,
        ..Default::default()
    };
    let sequence = world.send_on(Listener::Broker, Request::BrokerHeartbeat(request), 1);
    let Response::BrokerHeartbeat(response) = world.response(sequence) else { panic!("another answer") };
    assert!(!response.is_fenced);
}

#[test]
fn who_is_alone_need_not_wait() {
    let mut world = World::new();
    world.step(Event::Leaving);
    assert_eq!(world.handed_over, 1);
}

#[test]
fn who_leads_goes_when_others_lead_and_all_know() {
    let mut world = World::new();
    let topic = world.create("t", 1);
    let epoch = registers(&mut world);
    shows_life(&mut world, epoch);
    let partition = TopicPartition { topic, partition: PartitionIndex(0) };
    let leader = |world: &World| world.node.image().partition(partition).expect("it is there").leader;
    give_to_other(&mut world);
    assert_eq!(leader(&world), Some(BrokerId(1)), "the other one is not in sync yet");
    world.step(Event::Leaving);
    assert_eq!(world.handed_over, 0);
    world.wait_ms(50);
    assert_eq!(world.handed_over, 0, "the other broker has not heard of it");
    shows_life(&mut world, epoch);
    world.wait_ms(50);
    assert_eq!(world.handed_over, 1);
    world.wait_ms(50);
    assert_eq!(world.handed_over, 1, "it is told once");
}

/// The other broker is to have the partition too.
fn give_to_other(world: &mut World) {
    let partitions =
        vec![ReassignablePartition { partition_index: 0, replicas: Some(vec![1, 2]), ..Default::default() }];
    let topics = vec![ReassignableTopic { name: "t".into(), partitions, ..Default::default() }];
    let request = AlterPartitionReassignmentsRequest { topics, ..Default::default() };
    let sequence = world.send(Request::AlterPartitionReassignments(request), 0);
    let Response::AlterPartitionReassignments(response) = world.response(sequence) else {
        panic!("another answer")
    };
    assert_eq!(response.error_code, 0);
}
