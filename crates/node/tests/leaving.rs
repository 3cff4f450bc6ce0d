//! How brokers go: by a controlled shutdown, after which others lead, by dying, and because the cluster does not take them.

use crate::world::{World, features};
use klamm_cluster::features::Supported;
use klamm_model::{BrokerId, ControllerEpoch, ErrorCode, PartitionIndex, Tick, Timestamp, TopicPartition};
use klamm_node::{Effect, Event, Listener, Node, NodeConfig, Now};
use klamm_quorum::{Output, Peer};
use klamm_replica::Sabotage;
use klamm_wire::{
    AlterPartitionReassignmentsRequest, BrokerHeartbeatRequest, BrokerRegistrationRequest,
    BrokerRegistrationResponse, Request, Response,
    alter_partition_reassignments::{ReassignablePartition, ReassignableTopic},
    broker_registration::Listener as Registered,
};
use uuid::Uuid;

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
        features: features(&Supported::ours()),
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
    assert_eq!(world.left, [true]);
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
    assert_eq!(world.left, [false; 0]);
    world.wait_ms(50);
    assert_eq!(world.left, [false; 0], "the other broker has not heard of it");
    shows_life(&mut world, epoch);
    world.wait_ms(50);
    assert_eq!(world.left, [true]);
    world.wait_ms(50);
    assert_eq!(world.left, [true], "it is told once");
}

/// Nodes are stopped one right after the other, the controller first: who is next waits until another one decides, and goes alone if none does.
#[test]
fn who_leads_waits_for_the_next_controller_and_not_for_ever() {
    for somebody_decides in [true, false] {
        let mut world = World::new();
        world.create("t", 1);
        let epoch = registers(&mut world);
        shows_life(&mut world, epoch);
        world.step(Event::Quorum(Output::NoLongerLeader));
        world.step(Event::Leaving);
        world.wait_ms(1_900);
        assert_eq!(world.left, [false; 0]);
        if somebody_decides {
            world.step(Event::Quorum(Output::LeaderIs { leader: Some(OTHER), epoch: ControllerEpoch(9) }));
            let asks = |call: &Request| matches!(call, Request::BrokerHeartbeat(it) if it.want_shut_down);
            assert!(world.sent.iter().any(|(_, call)| asks(call)), "the controller is asked at once");
        }
        world.wait_ms(99);
        assert_eq!(world.left, [false; 0]);
        world.wait_ms(1);
        assert_eq!(world.left, if somebody_decides { vec![] } else { vec![false] });
    }
}

/// Silence of the controller is noticed when it has lasted for a second, and only then is the next one waited for.
#[test]
fn the_next_controller_is_waited_for_from_when_there_is_none() {
    let mut world = World::new();
    world.create("t", 1);
    let epoch = registers(&mut world);
    shows_life(&mut world, epoch);
    let leads = |leader| Event::Quorum(Output::LeaderIs { leader, epoch: ControllerEpoch(9) });
    world.step(Event::Quorum(Output::NoLongerLeader));
    world.step(leads(Some(OTHER)));
    world.step(Event::Leaving);
    world.wait_ms(1_500);
    world.step(leads(None));
    world.wait_ms(1_999);
    assert_eq!(world.left, [false; 0]);
    world.wait_ms(1);
    assert_eq!(world.left, [false]);
}

/// The engine tells how it sees the other broker's process.
fn is_seen(incarnation: u128, is_gone: bool) -> Event {
    let incarnation = Uuid::from_u128(incarnation);
    Event::Quorum(Output::Peers(vec![Peer {
        id: OTHER,
        incarnation,
        silent_ms: 0,
        is_gone,
        metadata_form: 1,
    }]))
}

#[test]
fn a_broker_whose_process_is_gone_is_fenced_at_once() {
    let mut world = World::new();
    let epoch = registers(&mut world);
    shows_life(&mut world, epoch);
    let takes_part = |world: &World| world.node.image().broker(OTHER).expect("it is known").is_active();
    world.step(is_seen(20, false));
    world.step(is_seen(19, true));
    assert!(takes_part(&world), "it is another process that is gone");
    world.step(is_seen(20, true));
    assert!(!takes_part(&world));
    shows_life(&mut world, epoch);
    assert!(takes_part(&world), "it was not so");
}

#[test]
fn a_new_controller_begins_with_what_it_was_told_before_it_could_decide() {
    let mut world = World::new();
    let epoch = registers(&mut world);
    shows_life(&mut world, epoch);
    world.hold_proposals = true;
    // What it was told in an earlier epoch is forgotten.
    world.step(is_seen(20, false));
    world.step(Event::Quorum(Output::NoLongerLeader));
    world.step(Event::Quorum(Output::Leader { epoch: ControllerEpoch(9) }));
    world.step(is_seen(20, true));
    assert!(world.node.image().broker(OTHER).expect("it is known").is_active());
    world.hold_proposals = false;
    for entry in std::mem::take(&mut world.proposed) {
        world.commit(entry);
    }
    assert!(!world.node.image().broker(OTHER).expect("it is known").is_active());
}

#[test]
fn a_broker_that_the_cluster_knows_with_another_disk_gives_up() {
    let config = NodeConfig::new(BrokerId(1), Uuid::from_u128(7), Uuid::from_u128(8));
    let mut node = Node::new(config, 1, Sabotage::default());
    let now = Now { tick: Tick(0), wall: Timestamp(0) };
    let mut effects = Vec::new();
    let leader = Output::LeaderIs { leader: Some(OTHER), epoch: ControllerEpoch(1) };
    node.step(now, Event::Quorum(leader), &mut effects);
    let token = effects.iter().find_map(|it| match it {
        Effect::Send { token, request: Request::BrokerRegistration(_), .. } => Some(*token),
        _ => None,
    });
    let refused = BrokerRegistrationResponse {
        error_code: ErrorCode::DuplicateBrokerRegistration.code(),
        ..Default::default()
    };
    effects.clear();
    let answer = Ok(Response::BrokerRegistration(refused));
    node.step(now, Event::Peer { from: OTHER, token: token.expect("it registers"), answer }, &mut effects);
    let why = effects.iter().find_map(|it| match it {
        Effect::Refused(why) => Some(why.as_str()),
        _ => None,
    });
    let wanted = "broker 1 is known with another data directory; unregister it first if that one is lost";
    assert_eq!(why, Some(wanted));
    effects.clear();
    node.step(Now { tick: Tick(0).after_ms(5_000), ..now }, Event::Tick, &mut effects);
    let asks = effects.iter().any(|it| matches!(it, Effect::Send { .. }));
    assert!(!asks, "nothing is gained by asking again");
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
