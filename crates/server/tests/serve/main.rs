//! A whole server in this process, and sockets.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod bad_inputs;
mod client;
mod damage;
mod limits;
mod metrics;
mod nodes;
mod snapshots;

use std::{
    io::{Read, Write},
    net::SocketAddr,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use client::{Client, batch, fetch_request, produce_request, produced, values};
use klamm_model::BrokerId;
use klamm_server::{Config, Server, Shutdown, StartError};
use klamm_wire::{ApiKey, ApiVersionsRequest, MetadataRequest, Request, Response};

use crate::client::{FETCH_VERSION, PRODUCE_VERSION};

fn config(data_dir: &Path) -> Config {
    let mut config = Config::new(data_dir.to_owned(), BrokerId(1));
    config.listeners = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    config.network_threads = 2;
    // However full the disk is that the tests run on.
    config.node.min_free_bytes = Some(0);
    config
}

fn with_server(configure: impl FnOnce(&mut Config), test: impl FnOnce(&Server, SocketAddr)) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut config = config(directory.path());
    configure(&mut config);
    let server = Server::start(config).expect("to start");
    test(&server, server.addresses()[0]);
    server.stop();
}

fn api_versions() -> Request {
    let request = ApiVersionsRequest {
        client_software_name: "test".to_owned(),
        client_software_version: "1".to_owned(),
        ..Default::default()
    };
    Request::ApiVersions(request)
}

#[test]
fn a_client_learns_which_versions_are_served() {
    with_server(
        |_| {},
        |_, address| {
            let mut client = Client::connect(address);
            let Response::ApiVersions(response) = client.call(3, &api_versions()) else {
                panic!("another answer")
            };
            assert_eq!(response.error_code, 0);
            let produce = response.api_keys.iter().find(|row| row.api_key == 0).expect("Produce is served");
            assert_eq!((produce.min_version, produce.max_version), (0, 13));
        },
    );
}

#[test]
fn an_advertised_address_is_told_also_where_it_is_of_this_machine() {
    with_server(
        |config| config.advertised = Some(("localhost".to_owned(), 29092)),
        |_, address| {
            let request = Request::Metadata(MetadataRequest::default());
            let Response::Metadata(response) = Client::connect(address).call(5, &request) else {
                panic!("another answer")
            };
            let told: Vec<_> = response.brokers.iter().map(|it| (&*it.host, it.port)).collect();
            assert_eq!(told, [("localhost", 29092)]);
        },
    );
}

#[test]
fn a_version_of_the_future_is_answered_in_the_oldest_form() {
    with_server(
        |_| {},
        |_, address| {
            let mut client = Client::connect(address);
            let mut frame = client.frame(3, &api_versions()).to_vec();
            frame[6..8].copy_from_slice(&99_i16.to_be_bytes());
            client.stream.write_all(&frame).expect("to be sent");
            let (correlation_id, response) = client.receive(ApiKey::ApiVersions, 0);
            let Response::ApiVersions(response) = response else { panic!("another answer") };
            assert_eq!((correlation_id, response.error_code), (1, 35));
            assert!(!response.api_keys.is_empty());
        },
    );
}

#[test]
fn what_was_produced_is_fetched_by_whoever_asks_and_after_a_restart() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let large = vec![7; 900_000];
    let server = Server::start(config(directory.path())).expect("to start");
    let mut client = Client::connect(server.addresses()[0]);
    client.create_topic("events", 2);
    assert_eq!(client.produce("events", 0, -1, batch(&[b"one", b"two"])), (0, 0));
    assert_eq!(client.produce("events", 0, -1, batch(&[&large])), (2, 0));
    assert_eq!(client.produce("events", 1, -1, batch(&[b"elsewhere"])), (0, 0));
    assert_eq!(client.fetch("events", 1, 0), [b"elsewhere"]);
    drop(client);
    let mut other = Client::connect(server.addresses()[0]);
    let seen: Vec<Vec<u8>> = other.fetch("events", 0, 0);
    assert_eq!(seen[..2], [b"one", b"two"]);
    assert!(seen[2] == large);
    server.stop();

    let server = Server::start(config(directory.path())).expect("to start again");
    let mut client = Client::connect(server.addresses()[0]);
    assert_eq!(client.fetch("events", 0, 0).len(), 3);
    assert_eq!(client.produce("events", 0, -1, batch(&[b"four"])), (3, 0));
    assert_eq!(client.fetch("events", 0, 3), [b"four"]);
    server.stop();
}

#[test]
fn records_that_the_page_cache_has_forgotten_are_read_from_the_disk() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let server = Server::start(config(directory.path())).expect("to start");
    let mut client = Client::connect(server.addresses()[0]);
    client.create_topic("events", 1);
    let large = vec![7; 300_000];
    for expected in 0..8 {
        let value = if expected % 2 == 0 { &large[..] } else { b"small" };
        assert_eq!(client.produce("events", 0, -1, batch(&[value])), (expected, 0));
    }
    let path = directory.path().join("events-0/00000000000000000000.log");
    let file = std::fs::File::open(path).expect("the segment");
    for from in [1, 4, 7] {
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("advice is taken");
        let seen = client.fetch("events", 0, from);
        assert_eq!(seen.len() as i64, 8 - from);
        assert!(seen.last().is_some_and(|last| last == b"small"));
    }
    server.stop();
}

#[test]
fn a_parked_fetch_is_woken_by_a_producer_on_another_thread() {
    with_server(
        |_| {},
        |_, address| {
            let mut producer = Client::connect(address);
            producer.create_topic("events", 1);
            // Two connections are dealt to two threads.
            let mut consumer = Client::connect(address);
            consumer.send(FETCH_VERSION, &fetch_request("events", 0, 0, 15_000));
            thread::sleep(Duration::from_millis(50));
            let began = Instant::now();
            producer.produce("events", 0, -1, batch(&[b"wake up"]));
            let (_, response) = consumer.receive(ApiKey::Fetch, FETCH_VERSION);
            assert_eq!(values(&response), [b"wake up"]);
            assert!(began.elapsed() < Duration::from_secs(5));
        },
    );
}

#[test]
fn a_fetch_of_nothing_is_answered_when_its_time_is_over() {
    with_server(
        |_| {},
        |_, address| {
            let mut client = Client::connect(address);
            client.create_topic("events", 1);
            let began = Instant::now();
            let response = client.call(FETCH_VERSION, &fetch_request("events", 0, 0, 200));
            assert!(values(&response).is_empty());
            let took = began.elapsed();
            assert!((Duration::from_millis(200)..Duration::from_secs(15)).contains(&took), "{took:?}");
        },
    );
}

#[test]
fn answers_come_in_the_order_of_requests() {
    with_server(
        |_| {},
        |_, address| {
            let mut client = Client::connect(address);
            client.create_topic("events", 4);
            let mut frames = Vec::new();
            for round in 0..50 {
                let produce =
                    produce_request("events", round % 4, if round % 3 == 0 { -1 } else { 1 }, batch(&[b"x"]));
                frames.extend(client.frame(PRODUCE_VERSION, &produce));
                frames.extend(client.frame(3, &api_versions()));
                // Wants no answer, and gets none.
                frames
                    .extend(client.frame(PRODUCE_VERSION, &produce_request("events", 0, 0, batch(&[b"y"]))));
            }
            client.stream.write_all(&frames).expect("to be sent");
            for round in 0..50 {
                let (correlation_id, response) = client.receive(ApiKey::Produce, PRODUCE_VERSION);
                // The first was the creation.
                assert_eq!((correlation_id, produced(&response).1), (round * 3 + 2, 0));
                assert_eq!(client.receive(ApiKey::ApiVersions, 3).0, round * 3 + 3);
            }
            // What needed no answer is committed in its own time.
            wait_until("all is committed", || client.fetch("events", 0, 0).len() == 50 + 13);
        },
    );
}

#[test]
fn a_request_may_come_byte_by_byte() {
    with_server(
        |_| {},
        |_, address| {
            let mut client = Client::connect(address);
            client.create_topic("events", 1);
            let frame = client.frame(PRODUCE_VERSION, &produce_request("events", 0, -1, batch(&[b"slow"])));
            for byte in &frame {
                client.stream.write_all(&[*byte]).expect("to be sent");
            }
            assert_eq!(produced(&client.receive(ApiKey::Produce, PRODUCE_VERSION).1), (0, 0));
        },
    );
}

#[test]
fn announced_frames_cost_no_memory() {
    with_server(
        |_| {},
        |server, address| {
            let connections: Vec<Client> = (0..500)
                .map(|_| {
                    let mut client = Client::connect(address);
                    let mut announced = (90_u32 << 20).to_be_bytes().to_vec();
                    announced.resize(4096, 0);
                    client.stream.write_all(&announced).expect("to be sent");
                    client
                })
                .collect();
            let mut good = Client::connect(address);
            good.call(3, &api_versions());
            wait_until("all are read", || server.received_bytes() >= 500 * 4096);
            assert!(server.received_bytes() < 8 << 20, "{} bytes", server.received_bytes());
            assert_eq!(server.connection_count(), 501);
            drop(connections);
            wait_until("all are gone", || server.connection_count() == 1);
            wait_until("their memory is gone", || server.received_bytes() == 0);
        },
    );
}

#[test]
fn a_frame_that_does_not_get_on_ends_its_connection_and_no_other() {
    let soon = |config: &mut Config| config.connection.frame_stall = Duration::from_millis(200);
    with_server(soon, |server, address| {
        let mut slow = Client::connect(address);
        slow.stream.write_all(&[0, 1, 0, 0, 5]).expect("to be sent");
        let mut idle = Client::connect(address);
        idle.call(3, &api_versions());
        wait_until("the slow one is closed", || server.connection_count() == 1);
        assert!(slow.receive_frame().is_err());
        idle.call(3, &api_versions());
    });
}

#[test]
fn an_idle_connection_is_closed_in_the_end() {
    let soon = |config: &mut Config| config.connection.idle_max = Duration::from_millis(300);
    with_server(soon, |server, address| {
        let mut idle = Client::connect(address);
        let frame = idle.frame(3, &api_versions());
        // On a busy machine it may be idle for too long before.
        let _ = idle.stream.write_all(&frame).and_then(|()| idle.receive_frame());
        assert!(idle.is_closed());
        wait_until("its place is free", || server.connection_count() == 0);
    });
}

#[test]
fn a_client_that_reads_nothing_is_given_up_and_holds_little() {
    let soon = |config: &mut Config| config.connection.send_stall = Duration::from_millis(500);
    with_server(soon, |server, address| {
        let mut client = Client::connect(address);
        client.create_topic("events", 1);
        client.produce("events", 0, -1, batch(&[&vec![1; 1_000_000]]));
        let frames: Vec<u8> =
            (0..100).flat_map(|_| client.frame(FETCH_VERSION, &fetch_request("events", 0, 0, 0))).collect();
        client.stream.write_all(&frames).expect("to be sent");
        wait_until("it is given up", || server.connection_count() == 0);
    });
}

#[test]
fn a_flood_of_requests_is_read_no_faster_than_it_is_answered() {
    with_server(
        |_| {},
        |server, address| {
            let mut client = Client::connect(address);
            let count = 100_000;
            let frames: Vec<u8> = (0..count).flat_map(|_| client.frame(3, &api_versions())).collect();
            let mut stream = client.stream.try_clone().expect("a socket");
            let writer = thread::spawn(move || stream.write_all(&frames));
            // Nothing is read for a while: the server must stop reading too.
            thread::sleep(Duration::from_millis(300));
            assert!(server.received_bytes() < 1 << 20, "{} bytes", server.received_bytes());
            for expected in 1..=count {
                assert_eq!(client.receive(ApiKey::ApiVersions, 3).0, expected);
            }
            writer.join().expect("no panic").expect("all sent");
        },
    );
}

/// Each answer is as large as the cluster: they are made as they are read, a few at a time.
#[test]
fn many_large_answers_asked_for_at_once_come_in_order() {
    with_server(
        |config| config.connection.unsent_bytes_max = 64 << 10,
        |_, address| {
            Client::connect(address).create_topic("wide", 200);
            let mut client = Client::connect(address);
            let count = 200;
            let ask = Request::Metadata(MetadataRequest { topics: None, ..Default::default() });
            let frames: Vec<u8> = (0..count).flat_map(|_| client.frame(5, &ask)).collect();
            client.stream.write_all(&frames).expect("to be sent");
            Client::connect(address).call(3, &api_versions());
            for expected in 1..=count {
                let (correlation, response) = client.receive(ApiKey::Metadata, 5);
                let Response::Metadata(response) = response else { panic!("another answer") };
                assert_eq!((correlation, response.topics[0].partitions.len()), (expected, 200));
            }
            client.call(3, &api_versions());
        },
    );
}

#[test]
fn too_many_connections_are_refused() {
    // This machine has eight more.
    let few = |config: &mut Config| config.set("max.connections", "3").expect("a number");
    with_server(few, |_, address| {
        let mut good: Vec<Client> = (0..11).map(|_| Client::connect(address)).collect();
        for client in &mut good {
            client.call(3, &api_versions());
        }
        assert!(Client::connect(address).is_closed());
        good.pop();
        wait_until("there is room", || {
            let mut next = Client::connect(address);
            let frame = next.frame(3, &api_versions());
            next.stream.write_all(&frame).is_ok() && next.receive_frame().is_ok()
        });
    });
}

#[test]
fn the_limit_of_connections_changes_while_the_broker_runs() {
    use klamm_wire::{IncrementalAlterConfigsRequest, incremental_alter_configs as alter};
    let one = |config: &mut Config| config.set("max.connections", "1").expect("a number");
    with_server(one, |_, address| {
        let is_served = || {
            let mut client = Client::connect(address);
            let frame = client.frame(3, &api_versions());
            (client.stream.write_all(&frame).is_ok() && client.receive_frame().is_ok()).then_some(client)
        };
        // This machine has eight more than one.
        let mut first = Client::connect(address);
        first.call(3, &api_versions());
        let others: Vec<Client> = (0..8).map_while(|_| is_served()).collect();
        assert!(others.len() == 8 && Client::connect(address).is_closed(), "ten connections");
        let config = alter::AlterableConfig {
            name: "max.connections".into(),
            config_operation: 0,
            value: Some("2".into()),
        };
        let brokers = alter::AlterConfigsResource {
            resource_type: 4,
            resource_name: String::new(),
            configs: vec![config],
        };
        let request = IncrementalAlterConfigsRequest { resources: vec![brokers], ..Default::default() };
        first.call(1, &Request::IncrementalAlterConfigs(request));
        let second = is_served();
        assert!(second.is_some() && Client::connect(address).is_closed(), "eleven connections");
    });
}

#[test]
fn servers_share_a_process_but_not_a_directory() {
    let (one, other) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let first = Server::start(config(one.path())).expect("to start");
    let second = Server::start(config(other.path())).expect("to start");
    assert!(matches!(Server::start(config(one.path())), Err(StartError::Files(_))));
    Client::connect(first.addresses()[0]).create_topic("events", 1);
    Client::connect(second.addresses()[0]).create_topic("events", 1);
    first.stop();
    let mut taken = config(one.path());
    taken.listeners = second.addresses().to_vec();
    assert!(matches!(Server::start(taken), Err(StartError::Listen { .. })));
    second.stop();
}

#[test]
fn a_clean_stop_is_marked_and_the_mark_is_gone_while_the_server_runs() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let marker = directory.path().join("clean-shutdown");
    for round in 0..2 {
        let server = Server::start(config(directory.path())).expect("to start");
        assert!(!marker.exists(), "round {round}");
        let mut client = Client::connect(server.addresses()[0]);
        client.create_topic(&format!("relaxed-{round}"), 3);
        client.produce(&format!("relaxed-{round}"), 0, 1, batch(&[b"not synced yet"]));
        assert_eq!(server.stop(), Shutdown::Clean);
        assert!(marker.exists(), "round {round}");
    }
}

#[test]
fn a_stop_after_a_failure_is_not_called_clean() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let server = Server::start(config(directory.path())).expect("to start");
    let mut client = Client::connect(server.addresses()[0]);
    client.create_topic("events", 1);
    client.produce("events", 0, -1, batch(&[b"one"]));
    let events = directory.path().join("events-0");
    // The broker may be putting a file into it just now.
    wait_until("it is removed", || std::fs::remove_dir_all(&events).is_ok());
    // The file is open, so this is written; what has to be saved beside it finds no place.
    client.produce("events", 0, 1, batch(&[b"two"]));
    assert_eq!(server.stop(), Shutdown::Unclean);
    assert!(!directory.path().join("clean-shutdown").exists());
}

#[test]
fn a_stop_answers_what_it_took_and_takes_nothing_more() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let server = Server::start(config(directory.path())).expect("to start");
    let mut client = Client::connect(server.addresses()[0]);
    client.create_topic("events", 2);
    // Parked for a minute: a stop does not wait for it.
    let mut consumer = Client::connect(server.addresses()[0]);
    consumer.send(FETCH_VERSION, &fetch_request("events", 1, 0, 60_000));
    let frames: Vec<u8> = (0..5000)
        .flat_map(|_| client.frame(PRODUCE_VERSION, &produce_request("events", 0, -1, batch(&[b"x"]))))
        .collect();
    let mut stream = client.stream.try_clone().expect("a socket");
    // The server may close before everything is sent.
    let writer = thread::spawn(move || stream.write_all(&frames));
    assert_eq!(produced(&client.receive(ApiKey::Produce, PRODUCE_VERSION).1).1, 0);
    let stopping = thread::spawn(move || server.stop());
    let mut answered = 1;
    while let Ok(frame) = client.receive_frame() {
        drop(frame);
        answered += 1;
    }
    assert_eq!(stopping.join().expect("no panic"), Shutdown::Clean);
    let _ = writer.join().expect("no panic");

    let server = Server::start(config(directory.path())).expect("to start again");
    let mut client = Client::connect(server.addresses()[0]);
    wait_until("everything is there", || client.fetch("events", 0, 0).len() == answered);
    server.stop();
}

#[test]
fn a_directory_stays_with_its_node() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    Server::start(config(directory.path())).expect("to start").stop();
    let mut other = config(directory.path());
    other.node.broker_id = BrokerId(2);
    let Err(error) = Server::start(other) else { panic!("another node started on it") };
    assert_eq!(error.to_string(), "this directory belongs to node 1, not to node 2");
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
