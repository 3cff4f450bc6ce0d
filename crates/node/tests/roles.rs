//! What a node is by `process.roles`, and what the cluster makes of that.

use crate::world::World;
use klamm_cluster::record::Record;
use klamm_model::{BrokerId, ControllerEpoch, ErrorCode as Code, Tick, Timestamp};
use klamm_node::{Effect, Event, Listener, Node, NodeConfig, Now, Roles};
use klamm_quorum::{Output, VoterChange};
use klamm_replica::Sabotage;
use klamm_wire::{
    AddRaftVoterRequest, BrokerRegistrationRequest, DescribeClusterRequest, MetadataRequest, Request,
    Response,
};
use uuid::Uuid;

const CONTROLLER: Roles = Roles { broker: false, controller: true };
const BROKER: Roles = Roles { broker: true, controller: false };

#[test]
fn a_controller_that_is_no_broker_registers_none_and_is_ready_when_it_decides() {
    let mut world = World::with(|config| config.roles = CONTROLLER);
    assert!(world.view.as_ref().is_some_and(|it| it.ready));
    for _ in 0..20 {
        world.wait_ms(250);
    }
    assert_eq!(world.node.image().brokers().len(), 0);
    assert!(world.sent.is_empty());
    // It serves nobody, so that there is nothing to hand over.
    world.step(Event::Leaving);
    assert_eq!(world.left, [true]);
}

/// Nobody else would look after it: the controller has no session with a broker of its own.
#[test]
fn what_a_controller_registered_as_a_broker_ends_when_it_is_none_any_more() {
    let mut world = World::new();
    let is_active = |world: &World| world.node.image().broker(BrokerId(1)).is_some_and(|it| it.is_active());
    assert!(is_active(&world));
    world.config.roles = CONTROLLER;
    world.config.incarnation = Uuid::from_u128(33);
    world.restart();
    for _ in 0..5 {
        world.wait_ms(250);
    }
    assert!(!is_active(&world), "clients would be sent there");
}

/// How a node with these roles introduces itself to the controller, node 2.
fn registration(number: i32, roles: Roles) -> BrokerRegistrationRequest {
    let mut config = NodeConfig::new(BrokerId(number), Uuid::from_u128(7), Uuid::from_u128(8));
    config.roles = roles;
    let mut node = Node::new(config, 1, Sabotage::default());
    let now = Now { tick: Tick(0), wall: Timestamp(0) };
    let mut effects = Vec::new();
    let leader = Output::LeaderIs { leader: Some(BrokerId(2)), epoch: ControllerEpoch(1) };
    node.step(now, Event::Quorum(leader), &mut effects);
    let sent = effects.into_iter().find_map(|it| match it {
        Effect::Send { request: Request::BrokerRegistration(request), .. } => Some(request),
        _ => None,
    });
    sent.expect("it registers")
}

#[test]
fn a_broker_that_is_no_controller_says_so_and_gets_no_vote() {
    let mut world = World::with(|config| config.roles = CONTROLLER);
    for (number, roles) in [(4, BROKER), (5, Roles::BOTH)] {
        let request = Request::BrokerRegistration(registration(number, roles));
        let sequence = world.send_on(Listener::Broker, request, 4);
        let Response::BrokerRegistration(answer) = world.response(sequence) else { panic!("another answer") };
        assert_eq!(Code::told(answer.error_code), Code::None);
        let broker = world.node.image().broker(BrokerId(number)).expect("it is registered");
        assert_eq!(broker.may_vote, roles.controller);
    }
    let mut add = |voter_id| {
        let voter_directory_id = Uuid::from_u128(7);
        let request = AddRaftVoterRequest {
            cluster_id: None,
            timeout_ms: 5_000,
            voter_id,
            voter_directory_id,
            ..Default::default()
        };
        let sequence = world.send_on(Listener::Broker, Request::AddRaftVoter(request), 1);
        if !world.voter_changes.is_empty() {
            return None;
        }
        let Response::AddRaftVoter(answer) = world.response(sequence) else { panic!("another answer") };
        Some((Code::told(answer.error_code), answer.error_message.unwrap_or_default()))
    };
    let (code, why) = add(4).expect("it is refused here");
    assert_eq!(code, Code::InvalidRequest);
    assert!(why.starts_with("node 4 is registered as a broker only (process.roles)"), "{why}");
    assert_eq!(add(5), None, "the engine decides");
    let directory = Uuid::from_u128(7);
    assert_eq!(world.voter_changes, [VoterChange::Add { id: BrokerId(5), directory }]);
}

/// Clients ask the node that is named as the controller, and cannot reach one that is no broker.
#[test]
fn a_broker_names_itself_where_the_controller_is_none() {
    let mut world = World::new();
    let cluster = Record::Config {
        resource: klamm_cluster::record::ConfigResource::BrokerDefault,
        key: "log.retention.ms".to_owned(),
        value: None,
    };
    world.decides(BrokerId(9), ControllerEpoch(2), cluster);
    let sequence = world.send(Request::Metadata(MetadataRequest::default()), 12);
    let Response::Metadata(told) = world.response(sequence) else { panic!("another answer") };
    assert_eq!(told.controller_id, 1);
    assert_eq!(told.brokers.iter().map(|it| it.node_id).collect::<Vec<_>>(), [1]);
    let request = DescribeClusterRequest { endpoint_type: 1, ..Default::default() };
    let sequence = world.send(Request::DescribeCluster(request), 1);
    let Response::DescribeCluster(told) = world.response(sequence) else { panic!("another answer") };
    assert_eq!((told.controller_id, told.brokers.len()), (1, 1));
}
