//! What clients send that they should not (docs/BAD_INPUT.md has the whole list): to a running server, over a socket.

use std::path::PathBuf;

use klamm_wire::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, FetchRequest,
    create_partitions::CreatePartitionsTopic,
    create_topics::CreatableTopic,
    delete_topics::DeleteTopicState,
    fetch::{FetchTopic, ReplicaState},
    metadata::MetadataRequestTopic,
};

use super::*;

fn framed(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
}

/// A request's frame; `body` begins with the tags of the header where the version has them.
fn request(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    framed(&[&key.to_be_bytes(), &version.to_be_bytes(), &[0, 0, 0, 1, 0, 1, b'x'][..], body].concat())
}

fn varint(mut value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// Everything until the server ends the connection.
fn answer_to(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut client = Client::connect(address);
    // The server may close before everything is sent, and a reset is as good as an end.
    let _ = client.stream.write_all(bytes);
    let mut answer = Vec::new();
    if let Err(error) = client.stream.read_to_end(&mut answer) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{:?}", &bytes[..bytes.len().min(40)]);
    }
    answer
}

#[test]
fn frames_that_are_no_requests_end_their_connection_and_no_other() {
    const METADATA: i16 = 3;
    let many =
        |count: u32, element: &[u8]| [&count.to_be_bytes()[..], &element.repeat(count as usize)].concat();
    let ones = |size| [0xff].repeat(size);
    let tags = |count: u32, tags: &[u8]| request(METADATA, 9, &[&varint(count), tags].concat());
    let topics = |count: &[u8]| request(METADATA, 9, &[&[0][..], count, &[0; 40]].concat());
    let table = [
        ("B1 negative", ones(4)),
        ("B1 the most negative", i32::MIN.to_be_bytes().to_vec()),
        ("B2 too large", ((100 << 20) + 1_u32).to_be_bytes().to_vec()),
        ("B2 TLS", vec![0x16, 0x03, 0x01, 0x00, 0xee, 0x01, 0x00, 0x00, 0xea, 0x03, 0x03]),
        ("B2 HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("B2 SSH", b"SSH-2.0-OpenSSH\r\n".to_vec()),
        ("B4 empty", vec![0; 4]),
        ("B4 shorter than a header", framed(&[0, 18, 0, 0, 0, 0, 0])),
        ("B6 a count of 2^31-1", request(METADATA, 1, &[0x7f, 0xff, 0xff, 0xff, 0, 1])),
        ("B6 null where an array must be", request(METADATA, 0, &ones(4))),
        ("B6 a count of -2", request(METADATA, 1, &[0xff, 0xff, 0xff, 0xfe])),
        ("B6 a compact count of 2^32-1", topics(&[0xff, 0xff, 0xff, 0xff, 0x0f])),
        ("B7 a number of six bytes", topics(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x01])),
        ("B7 a number beyond 32 bits", topics(&[0xff, 0xff, 0xff, 0xff, 0x1f])),
        ("B7 a number longer than it needs to be", topics(&[0x81, 0x00])),
        ("B8 twenty million tags in a header", tags(20_000_000, &[0, 0].repeat(1_000_000))),
        ("B8 tags in no order", tags(2, &[5, 0, 4, 0])),
        ("B8 a tag again", tags(2, &[5, 0, 5, 0])),
        ("B8 a tag beyond the frame", tags(1, &[5, 100])),
        ("B9 a million names of nothing", request(METADATA, 0, &many(900_000, &[0, 0]))),
        (
            "B9 a million topics without partitions",
            request(2, 1, &[&ones(4)[..], &many(300_000, &[0; 6])].concat()),
        ),
        ("B10 a string that is not UTF-8", request(METADATA, 1, &[0, 0, 0, 1, 0, 2, 0xc3, 0x28])),
        ("B10 a string beyond the frame", request(METADATA, 1, &[0, 0, 0, 1, 0x7f, 0xff, b'a'])),
        ("B10 a string of a negative length", request(METADATA, 1, &[0, 0, 0, 1, 0x80, 0, b'a'])),
        ("a body cut short", request(METADATA, 4, &[0, 0, 0, 1, 0, 1, b'a'])),
    ];
    with_server(
        |_| {},
        |server, address| {
            let mut good = Client::connect(address);
            good.call(3, &api_versions());
            for (what, bytes) in table {
                assert_eq!(answer_to(address, &bytes), b"", "{what}");
                good.call(3, &api_versions());
            }
            wait_until("only the good one is left", || server.connection_count() == 1);
            wait_until("their memory is gone", || server.received_bytes() == 0);
        },
    );
}

/// B5, B21: only what is told in ApiVersions is served on a listener for clients; what brokers and controllers say to each other is not.
#[test]
fn keys_and_versions_that_are_not_served_end_the_connection() {
    with_server(
        |_| {},
        |_, address| {
            let known = ApiKey::ALL.iter().map(|key| key.number());
            for number in known.chain([-1, 4, 5, 6, 7, 95, i16::MAX]) {
                let key = ApiKey::from_number(number);
                let (first, last) = key.map_or((0, 0), |key| key.versions().into_inner());
                for version in [i16::MIN, -1, first, last, last + 1, i16::MAX] {
                    if key.is_some_and(|key| key.is_served(version)) {
                        continue;
                    }
                    let answer = answer_to_one(address, &request(number, version, &[0; 64]));
                    if key == Some(ApiKey::ApiVersions) {
                        // Correlation id and error code of version 0: a client from the future learns what it may ask.
                        assert_eq!(answer.as_deref().map(|it| &it[..6]), Some(&[0, 0, 0, 1, 0, 35][..]));
                    } else {
                        assert_eq!(answer, None, "{key:?} {version}");
                    }
                }
            }
        },
    );
}

/// The answer's frame, if there is one.
fn answer_to_one(address: SocketAddr, bytes: &[u8]) -> Option<bytes::Bytes> {
    let mut client = Client::connect(address);
    client.stream.write_all(bytes).expect("to be sent");
    client.receive_frame().ok()
}

fn tree(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(tree(&path));
        }
        found.push(path);
    }
    found.sort();
    found
}

/// B17, and the NUL of B10: whatever asks for the topic, and nothing of it gets to the disk.
#[test]
fn names_that_no_topic_can_have_reach_no_directory() {
    const INVALID_TOPIC: i16 = 17;
    const UNKNOWN_TOPIC: i16 = 3;
    let outside = tempfile::tempdir().expect("a temporary directory");
    let server = Server::start(config(&outside.path().join("data"))).expect("to start");
    let mut client = Client::connect(server.addresses()[0]);
    let before = tree(outside.path());
    let (long, deep) = ("x".repeat(250), "../".repeat(20));
    let names = [
        "",
        ".",
        "..",
        "../x",
        "..\\x",
        "a/b",
        "/tmp",
        &deep,
        "a\0b",
        "\0",
        "a b",
        "a\nb",
        "größe",
        "日本",
        "a:b",
        &long,
        "__cluster_metadata",
    ];
    for name in names {
        let created = |client: &mut Client, version| {
            let topic = CreatableTopic {
                name: name.into(),
                num_partitions: 1,
                replication_factor: 1,
                ..Default::default()
            };
            let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 1000, ..Default::default() };
            let Response::CreateTopics(response) = client.call(version, &Request::CreateTopics(request))
            else {
                panic!("another answer")
            };
            response.topics[0].error_code
        };
        assert_eq!([created(&mut client, 2), created(&mut client, 7)], [INVALID_TOPIC; 2], "{name:?}");
        let described = |client: &mut Client, version| {
            let topic = MetadataRequestTopic { name: Some(name.into()), ..Default::default() };
            let request = MetadataRequest {
                topics: Some(vec![topic]),
                allow_auto_topic_creation: true,
                ..Default::default()
            };
            let Response::Metadata(response) = client.call(version, &Request::Metadata(request)) else {
                panic!("another answer")
            };
            (response.topics[0].error_code, response.topics[0].partitions.len())
        };
        assert_eq!(
            [described(&mut client, 4), described(&mut client, 13)],
            [(INVALID_TOPIC, 0); 2],
            "{name:?}"
        );
        assert_eq!(client.produce(name, 0, -1, batch(&[b"x"])), (-1, UNKNOWN_TOPIC), "{name:?}");
        let grown = CreatePartitionsTopic { name: name.into(), count: 2, ..Default::default() };
        let request = CreatePartitionsRequest { topics: vec![grown], timeout_ms: 1000, ..Default::default() };
        let Response::CreatePartitions(response) = client.call(3, &Request::CreatePartitions(request)) else {
            panic!("another answer")
        };
        assert_eq!(response.results[0].error_code, UNKNOWN_TOPIC, "{name:?}");
        let deleted = DeleteTopicState { name: Some(name.into()), ..Default::default() };
        let request = DeleteTopicsRequest { topics: vec![deleted], timeout_ms: 1000, ..Default::default() };
        let Response::DeleteTopics(response) = client.call(6, &Request::DeleteTopics(request)) else {
            panic!("another answer")
        };
        assert_eq!(response.responses[0].error_code, UNKNOWN_TOPIC, "{name:?}");
    }
    assert_eq!(tree(outside.path()), before);
    client.create_topic(&long[1..], 1);
    assert_eq!(client.produce(&long[1..], 0, -1, batch(&[b"x"])), (0, 0));
    let name = PathBuf::from(format!("{}-0", &long[1..]));
    assert!(
        tree(outside.path()).iter().any(|path| path.ends_with(&name)),
        "names that can be get their directory"
    );
    server.stop();
}

/// B19: a list is gone through with the node's lock held. That of a reader of all there is gets its answer, and so does an admin's, which says more of each thing.
#[test]
fn a_list_of_more_partitions_than_a_broker_has_ends_its_connection() {
    with_server(
        |_| {},
        |_, address| {
            let fetch = |count| {
                let Request::Fetch(mut request) = fetch_request("events", 0, 0, 0) else { unreachable!() };
                let partition = request.topics[0].partitions[0].clone();
                request.topics[0].partitions = vec![partition; count];
                Request::Fetch(request)
            };
            let name = |number| Some(format!("{number:0100}"));
            let topics =
                (0..40_000).map(|number| MetadataRequestTopic { name: name(number), ..Default::default() });
            let metadata = MetadataRequest {
                topics: Some(topics.collect()),
                allow_auto_topic_creation: false,
                ..Default::default()
            };
            for (version, request, is_answered) in
                [(4, fetch(50_000), true), (4, fetch(250_000), false), (4, Request::Metadata(metadata), true)]
            {
                let mut client = Client::connect(address);
                client.send(version, &request);
                assert_eq!(client.receive_frame().is_ok(), is_answered, "{:?}", request.api_key());
            }
        },
    );
}

/// B20, B21: what a fetch cannot ask for.
#[test]
fn fetches_that_make_no_sense_are_answered() {
    const NOT_AUTHORIZED: i16 = 31;
    with_server(
        |_| {},
        |_, address| {
            let mut client = Client::connect(address);
            client.create_topic("events", 1);
            client.produce("events", 0, -1, batch(&[b"x"]));
            let mut fetch = |version, change: &dyn Fn(&mut FetchRequest)| {
                let Request::Fetch(mut request) = fetch_request("events", 0, 0, 5000) else { unreachable!() };
                if version > 12 {
                    request.topics.clear();
                }
                change(&mut request);
                let Response::Fetch(response) = client.call(version, &Request::Fetch(request)) else {
                    panic!("another answer")
                };
                (response.error_code, response.responses.len())
            };
            for replica in [0, 1, 7, i32::MAX] {
                assert_eq!(fetch(12, &|it| it.replica_id = replica), (NOT_AUTHORIZED, 0), "{replica}");
                let state = ReplicaState { replica_id: replica, replica_epoch: 1, ..Default::default() };
                assert_eq!(
                    fetch(17, &|it| it.replica_state = state.clone()),
                    (NOT_AUTHORIZED, 0),
                    "{replica}"
                );
            }
            // Nothing is asked for, so nothing is waited for.
            let forever = |it: &mut FetchRequest| it.max_wait_ms = i32::MAX;
            for version in [4, 12, 18] {
                assert_eq!(
                    fetch(version, &|it| {
                        forever(it);
                        it.topics.clear()
                    }),
                    (0, 0),
                    "version {version}"
                );
            }
            let without_partitions = || FetchTopic { topic: "events".into(), ..Default::default() };
            let (code, topics) = fetch(12, &|it| {
                forever(it);
                it.topics = vec![without_partitions(); 3]
            });
            assert!(code == 0 && topics <= 3, "{topics} topics");
            for (min, max, wait) in [
                (i32::MIN, i32::MAX, i32::MAX),
                (1, i32::MIN, i32::MAX),
                (0, 0, i32::MAX),
                (i32::MAX, i32::MAX, i32::MIN),
            ] {
                let sizes = |it: &mut FetchRequest| {
                    (it.min_bytes, it.max_bytes, it.max_wait_ms) = (min, max, wait);
                    it.topics[0].partitions[0].partition_max_bytes = max;
                };
                assert_eq!(fetch(12, &sizes), (0, 1), "{min} {max} {wait}");
            }
        },
    );
}

/// Found by attackers who sent much and hung up: what was read before a connection broke was taken for requests of the one that was read next.
#[test]
fn what_comes_before_a_connection_breaks_is_no_request_of_another() {
    with_server(
        |config| config.network_threads = 1,
        |_, address| {
            let mut good = Client::connect(address);
            for _ in 0..200 {
                let mut bad = Client::connect(address);
                let frame = bad.frame(3, &api_versions());
                // A reset instead of an end, right behind the request.
                rustix::net::sockopt::set_socket_linger(&bad.stream, Some(Duration::ZERO)).expect("a socket");
                bad.stream.write_all(&frame).expect("to be sent");
                drop(bad);
                good.call(3, &api_versions());
            }
        },
    );
}
