//! Who the controller is changes.

use crate::world::{World, another};
use klamm_cluster::record::Record;
use klamm_model::{BrokerId, ControllerEpoch, ErrorCode};
use klamm_node::{Event, Listener, PeerFailure, Reply};
use klamm_quorum::Output;
use klamm_wire::{
    BrokerHeartbeatRequest, BrokerHeartbeatResponse, CreateTopicsRequest, Request, Response,
    create_topics::CreatableTopic,
};

/// The node hears that another one leads the quorum.
fn leads(world: &mut World, leader: i32) {
    let epoch = ControllerEpoch(leader);
    world.step(Event::Quorum(Output::LeaderIs { leader: Some(BrokerId(leader)), epoch }));
    world.wait_ms(0);
}

/// Tokens of its signs of life.
fn signs_of_life(world: &World) -> Vec<u64> {
    let is_one = |(_, request): &&(u64, Request)| matches!(request, Request::BrokerHeartbeat(_));
    world.sent.iter().filter(is_one).map(|(token, _)| *token).collect()
}

fn answers(world: &mut World, from: i32, token: u64, answer: Result<Response, PeerFailure>) {
    world.step(Event::Peer { from: BrokerId(from), token, answer });
}

#[test]
fn a_controller_that_falls_silent_keeps_nobody_from_asking_the_next_one() {
    let mut world = World::new();
    world.step(Event::Quorum(Output::NoLongerLeader));
    leads(&mut world, 2);
    let [first] = signs_of_life(&world)[..] else { panic!("it shows that it is alive") };
    let topics = vec![CreatableTopic { name: "t".into(), num_partitions: 1, ..Default::default() }];
    let asked = world.send(Request::CreateTopics(CreateTopicsRequest { topics, ..Default::default() }), 5);
    world.wait_ms(5_000);
    assert_eq!(signs_of_life(&world), [first], "one at a time");
    leads(&mut world, 3);
    let [_, second] = signs_of_life(&world)[..] else { panic!("the new controller hears of it at once") };
    let Some(Reply::Ready(Response::CreateTopics(answer))) = world.answer(asked) else { panic!("no answer") };
    assert_eq!(
        answer.topics[0].error_code,
        ErrorCode::RequestTimedOut.code(),
        "nobody knows what became of it"
    );

    let alive = Response::BrokerHeartbeat(BrokerHeartbeatResponse::default());
    answers(&mut world, 2, first, Ok(alive.clone()));
    world.wait_ms(5_000);
    assert_eq!(signs_of_life(&world), [first, second], "an answer that comes late is none to the second");
    answers(&mut world, 3, second, Ok(alive));
    world.wait_ms(5_000);
    assert_eq!(signs_of_life(&world).len(), 3);
}

/// Another may have been elected meanwhile: whoever is told that it was heard relies on that for a session.
#[test]
fn a_controller_that_stood_still_takes_no_sign_of_life_before_it_knows_that_it_leads() {
    let mut world = World::new();
    world.decides(BrokerId(1), ControllerEpoch(2), Record::RegisterBroker(another()));
    world.step(Event::Quorum(Output::Leader { epoch: ControllerEpoch(3) }));
    let epoch = world.node.image().broker(BrokerId(2)).expect("it is registered").epoch;
    let request = BrokerHeartbeatRequest { broker_id: 2, broker_epoch: epoch.0, ..Default::default() };
    for (stood_still_ms, told) in [
        (10, ErrorCode::None),
        (699, ErrorCode::None),
        (700, ErrorCode::NotController),
        (299, ErrorCode::NotController),
        (1, ErrorCode::None),
    ] {
        world.wait_ms(stood_still_ms);
        let sequence = world.send_on(Listener::Broker, Request::BrokerHeartbeat(request.clone()), 1);
        let Response::BrokerHeartbeat(answer) = world.response(sequence) else { panic!("another answer") };
        assert_eq!(answer.error_code, told.code(), "after {stood_still_ms} ms");
    }
}
