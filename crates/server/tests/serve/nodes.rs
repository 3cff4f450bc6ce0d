//! The listener that nodes have for each other.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    thread,
    time::{Duration, Instant},
};

use klamm_model::{BrokerId, ErrorCode};
use klamm_server::{Config, Server};
use klamm_wire::{
    ApiKey, BrokerHeartbeatRequest, GREETING_SIZE_MAX, Greeting, GreetingPurpose, MetadataRequest, Request,
    Response, metadata::MetadataRequestTopic,
};
use uuid::Uuid;

use crate::{api_versions, client::Client, config};

/// A cluster of several that has one node yet.
fn with_node(test: impl FnOnce(&Server, SocketAddr)) {
    with_node_set(|_| {}, test);
}

fn with_node_set(set: impl FnOnce(&mut Config), test: impl FnOnce(&Server, SocketAddr)) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let free = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port");
    let mut told = None;
    let join = vec![("127.0.0.1".to_owned(), free.port())];
    let mut config = Config { node_listener: Some(free), join, ..config(directory.path()) };
    set(&mut config);
    let server = Server::start_telling(config, |address| told = Some(address)).expect("to start");
    assert_eq!((server.node_address(), told), (Some(free), Some(free)));
    test(&server, free);
    server.stop();
}

fn greeting(purpose: GreetingPurpose, node: i32, cluster_id: Option<&str>) -> Greeting {
    Greeting {
        purpose,
        node: BrokerId(node),
        directory: Uuid::from_u128(7),
        incarnation: Uuid::from_u128(8),
        cluster_id: cluster_id.map(str::to_owned),
        founder: None,
        level: klamm_cluster::features::METADATA_FORM_MAX,
        may_vote: true,
        address: None,
        refused: None,
    }
}

/// The answer to a greeting, and the connection.
fn greet(address: SocketAddr, greeting: &Greeting) -> (Greeting, Client) {
    let mut client = Client::connect(address);
    client.stream.write_all(&greeting.encode().expect("short fields")).expect("to be sent");
    let answer = Greeting::decode(client.receive_frame().expect("an answer")).expect("a greeting");
    (answer, client)
}

#[test]
fn nobody_is_served_there_before_he_has_greeted_as_a_node_of_the_cluster() {
    with_node(|server, nodes| {
        let (me, asker) = greet(nodes, &greeting(GreetingPurpose::Question, 2, None));
        assert_eq!((me.node, me.refused), (BrokerId(1), None));
        let cluster = me.cluster_id.expect("it founded one");
        assert!(asker.is_closed(), "nothing follows a question");

        let mut client = Client::connect(nodes);
        let request = Request::Metadata(MetadataRequest::default());
        client.send(9, &request);
        assert!(client.is_closed(), "a client's request is no greeting");

        // What every client asks first is answered, so that its user knows.
        let mut client = Client::connect(nodes);
        client.send(3, &api_versions());
        let (_, response) = client.receive(ApiKey::ApiVersions, 3);
        let Response::ApiVersions(response) = response else { panic!("another answer") };
        assert_eq!(ErrorCode::told(response.error_code), ErrorCode::MismatchedEndpointType);
        assert!(response.api_keys.is_empty() && client.is_closed(), "and nothing more is");

        let (answer, stranger) = greet(nodes, &greeting(GreetingPurpose::Requests, 2, Some("another")));
        let told = format!("node 1 belongs to cluster {cluster}, not to cluster another");
        assert_eq!(answer.refused, Some(told));
        assert!(stranger.is_closed());

        let (answer, copy) = greet(nodes, &greeting(GreetingPurpose::Question, 1, None));
        assert!(
            answer
                .refused
                .is_some_and(|why| why.contains("node 1 of cluster") && why.contains("another disk"))
        );
        assert!(copy.is_closed());

        let (answer, unknown) = greet(nodes, &greeting(GreetingPurpose::Quorum, 2, Some(&cluster)));
        assert_eq!(answer.refused.as_deref(), Some("node 2 is no member of the quorum"));
        assert!(unknown.is_closed());

        // A broker that is not known yet is to be able to register.
        let heartbeat =
            Request::BrokerHeartbeat(BrokerHeartbeatRequest { broker_id: 2, ..Default::default() });
        let (answer, mut broker) = greet(nodes, &greeting(GreetingPurpose::Requests, 2, Some(&cluster)));
        assert_eq!((answer.refused, answer.cluster_id), (None, Some(cluster)));
        broker.send(1, &heartbeat);
        let (_, response) = broker.receive(ApiKey::BrokerHeartbeat, 1);
        assert!(matches!(response, Response::BrokerHeartbeat(_)), "{response:?}");

        let mut client = Client::connect(server.addresses()[0]);
        client.send(1, &heartbeat);
        assert!(client.is_closed(), "brokers are not served where clients are");
    });
}

#[test]
fn whoever_does_not_greet_holds_no_place() {
    let soon = |config: &mut Config| config.connection.frame_stall = Duration::from_millis(200);
    with_node_set(soon, |_, nodes| {
        let mut dribbling = Client::connect(nodes);
        dribbling.stream.write_all(&[0, 0, 0, 50, 1]).expect("to be sent");
        let silent = Client::connect(nodes);
        assert!(silent.is_closed() && dribbling.is_closed());
    });
}

/// A socket that is closed over what nobody has read takes with it what is on its way.
#[test]
fn who_is_dismissed_gets_its_answer_whatever_it_sent_behind_its_question() {
    with_node(|_, nodes| {
        let frame: Vec<u8> = 100_u32.to_be_bytes().into_iter().chain([0; 100]).collect();
        for behind in [frame.repeat(40_000), vec![0xff; 10_000]] {
            let mut client = Client::connect(nodes);
            let mut sent = client.frame(3, &api_versions()).to_vec();
            sent.extend(behind);
            client.stream.write_all(&sent).expect("it is read");
            let (_, response) = client.receive(ApiKey::ApiVersions, 3);
            assert!(matches!(response, Response::ApiVersions(_)), "{response:?}");
        }
    });
}

#[test]
fn who_is_dismissed_holds_its_place_no_longer_than_others_that_say_nothing() {
    let soon = |config: &mut Config| config.connection.frame_stall = Duration::from_secs(3);
    with_node_set(soon, |_, nodes| {
        let mut client = Client::connect(nodes);
        client.send(3, &api_versions());
        client.receive(ApiKey::ApiVersions, 3);
        assert_eq!(client.stream.read(&mut [0]).expect("an end"), 0);
        let deadline = Instant::now() + Duration::from_secs(20);
        while client.stream.write_all(&[0]).is_ok() {
            assert!(Instant::now() < deadline, "what it sends keeps it");
            thread::sleep(Duration::from_millis(20));
        }
    });
}

#[test]
fn whoever_has_not_greeted_may_announce_no_more_than_a_greeting() {
    with_node(|_, nodes| {
        for size in [GREETING_SIZE_MAX + 1, 90 << 20] {
            let mut announcing = Client::connect(nodes);
            announcing.stream.write_all(&size.to_be_bytes()).expect("to be sent");
            assert!(announcing.is_closed(), "{size} bytes are waited for");
        }
        // Who has may ask for much, and need not wait for the answer to his greeting.
        let names = (0..1_000).map(|number| MetadataRequestTopic {
            name: Some(format!("topic-{number}")),
            ..Default::default()
        });
        let many = MetadataRequest { topics: Some(names.collect()), ..Default::default() };
        let (me, _) = greet(nodes, &greeting(GreetingPurpose::Question, 2, None));
        let cluster = me.cluster_id;
        let mut node = Client::connect(nodes);
        let mut sent =
            greeting(GreetingPurpose::Requests, 2, cluster.as_deref()).encode().expect("short").to_vec();
        let request = node.frame(9, &Request::Metadata(many));
        assert!(GREETING_SIZE_MAX < request.len() as u32);
        sent.extend(&request);
        sent.extend(&node.frame(9, &Request::Metadata(MetadataRequest::default())));
        node.stream.write_all(&sent).expect("to be sent");
        let answer = Greeting::decode(node.receive_frame().expect("an answer")).expect("a greeting");
        assert_eq!(answer.refused, None);
        for _ in 0..2 {
            let (_, response) = node.receive(ApiKey::Metadata, 9);
            assert!(matches!(response, Response::Metadata(_)), "{response:?}");
        }
    });
}
