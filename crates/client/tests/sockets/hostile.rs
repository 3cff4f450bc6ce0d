//! Brokers that mean no good (docs/HOSTILE_BROKER.md).

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use klamm_client::{
    Admin, Assignment, Backoff, CallError, Client, ClientConfig, Consumer, ConsumerConfig, Sasl,
    ScramMechanism, Start,
};
use klamm_model::{
    BatchBuilder, Codec, Compression, ErrorCode, LeaderEpoch, Offset, Seal, Timestamp, TopicId,
};
use klamm_wire::describe_topic_partitions::{
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic, ResponseCursor,
};
use klamm_wire::fetch::{FetchableTopicResponse, PartitionData};
use klamm_wire::metadata::{MetadataResponseBroker, MetadataResponsePartition};
use klamm_wire::{
    ApiKey, DescribeTopicPartitionsResponse, FetchResponse, MetadataResponse, Records, Request,
    RequestHeader, Response, SaslAuthenticateResponse, SaslHandshakeResponse, encode_response,
};

use crate::fake::{Reaction, broker, metadata, metadata_with_topic, versions};

const SERVED: [(ApiKey, i16); 5] = [
    (ApiKey::ApiVersions, 3),
    (ApiKey::Metadata, 9),
    (ApiKey::Fetch, 11),
    (ApiKey::SaslHandshake, 1),
    (ApiKey::SaslAuthenticate, 2),
];

fn greeting(header: &RequestHeader) -> Reaction {
    Reaction::Answer(header.api_version, versions(ErrorCode::None, &SERVED))
}

fn bytes(header: &RequestHeader, response: &Response) -> Vec<u8> {
    let encoded = encode_response(header.correlation_id, header.api_version, response).expect("encodes");
    encoded.to_bytes().expect("no holes").to_vec()
}

fn run<T>(question: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(question)
}

fn config(address: &str) -> ClientConfig {
    ClientConfig { request_timeout_ms: 2_000, connect_timeout_ms: 2_000, ..ClientConfig::new(address) }
}

#[test]
fn a_second_answer_ends_the_connection() {
    let (address, _) = broker(|header, request, port| match request {
        Request::ApiVersions(_) => greeting(header),
        _ => Reaction::Bytes(bytes(header, &metadata(port)).repeat(2)),
    });
    run(async {
        let client = Client::connect(config(&address)).await.expect("the first one is good");
        // The second one counts for whatever is asked next.
        let answer = client.topic("t", Duration::from_millis(300)).await;
        assert_eq!(answer, Err(None));
    });
}

/// What an answer costs follows what came, and not what it says.
#[test]
fn an_answer_that_announces_more_than_it_has_is_no_answer() {
    let cases: [(&str, &[u8]); 4] = [
        ("a negative length", &[0xff; 4]),
        ("more than is taken", &[0x7f, 0xff, 0xff, 0xff]),
        ("an array of a billion", &[0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0x3f, 0xff, 0xff, 0xff]),
        ("an array of less than nothing", &[0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xfe]),
    ];
    for (case, answer) in cases {
        let (address, _) = broker(move |_, _, _| Reaction::Bytes(answer.to_vec()));
        let error = run(Client::connect(config(&address))).err().expect("that was no answer");
        assert!(matches!(error, CallError::Malformed { .. } | CallError::Broken { .. }), "{case}: {error:?}");
    }
}

#[test]
fn a_million_partitions_are_taken_and_more_are_not() {
    for (count, is_taken) in [(1_000_000, true), (1_000_001, false)] {
        let (address, _) = broker(move |header, request, port| {
            let Request::Metadata(_) = request else { return greeting(header) };
            let Response::Metadata(mut answer) = metadata_with_topic(port, TopicId::ZERO) else {
                unreachable!()
            };
            // As few bytes as a partition has.
            let partitions = vec![MetadataResponsePartition { leader_id: -1, ..Default::default() }; count];
            answer.topics[0].partitions = partitions;
            Reaction::Answer(header.api_version, Response::Metadata(answer))
        });
        let config = ClientConfig { request_timeout_ms: 30_000, ..config(&address) };
        assert_eq!(run(Client::connect(config)).is_ok(), is_taken, "{count}");
    }
}

/// The name service of clouds, of which a broker has to know nothing: an advertised address there is not connected to. That port 0 is none is
/// said where addresses are read.
#[test]
fn advertised_addresses_at_which_no_broker_is_are_left_alone() {
    let (address, _) = broker(|header, request, port| match request {
        Request::Metadata(_) => {
            let Response::Metadata(answer) = metadata_with_topic(port, TopicId::ZERO) else { unreachable!() };
            let elsewhere = |host: &str| MetadataResponseBroker {
                node_id: 3,
                host: host.into(),
                port: port.into(),
                ..Default::default()
            };
            let brokers = vec![elsewhere("169.254.169.254")];
            Reaction::Answer(header.api_version, Response::Metadata(MetadataResponse { brokers, ..answer }))
        }
        Request::ApiVersions(_) => greeting(header),
        other => panic!("nobody asks {other:?}"),
    });
    let error = run(async {
        let client = Client::connect(config(&address)).await.expect("connects");
        Admin::new(&client)
            .with_timeout(Duration::from_millis(100))
            .describe_log_dirs(klamm_model::BrokerId(3))
            .await
            .expect_err("nobody is asked")
    });
    let text = error.to_string();
    assert!(
        text.contains("169.254.169.254") && text.ends_with("there is no address by that name for brokers"),
        "{text}"
    );
}

#[test]
fn brokers_that_come_and_go_take_their_connections_with_them() {
    // Each answer names the same place by another number. Every connection that is open holds the counter.
    let next = Arc::new(AtomicU16::new(0));
    let counter = next.clone();
    let (address, _) = broker(move |header, request, port| {
        let Request::Metadata(_) = request else { return greeting(header) };
        let Response::Metadata(mut answer) = metadata(port) else { unreachable!() };
        answer.brokers[0].node_id = i32::from(next.fetch_add(1, Ordering::Relaxed));
        Reaction::Answer(header.api_version, Response::Metadata(answer))
    });
    run(async {
        let backoff = Backoff { first_ms: 1, longest_ms: 1 };
        let client = Client::connect(ClientConfig { backoff, ..config(&address) }).await.expect("connects");
        // As long as it is not there, brokers are asked for it.
        while counter.load(Ordering::Relaxed) < 50 {
            let _ = client.topic("t", Duration::from_millis(10)).await;
        }
        // Those that were let go are seen to be by the other end a little later.
        let deadline = Instant::now() + Duration::from_secs(20);
        while Arc::strong_count(&counter) - 2 >= 25 {
            assert!(Instant::now() < deadline, "{} connections are open", Arc::strong_count(&counter) - 2);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
}

/// Brokers that throttle hold back reading themselves (KIP-219).
#[test]
fn a_client_does_not_wait_because_it_is_told_to() {
    let (address, _) = broker(|header, request, port| {
        let Request::Metadata(_) = request else { return greeting(header) };
        let Response::Metadata(answer) = metadata(port) else { unreachable!() };
        let answer = MetadataResponse { throttle_time_ms: i32::MAX, ..answer };
        Reaction::Answer(header.api_version, Response::Metadata(answer))
    });
    run(async {
        let client = Client::connect(config(&address)).await.expect("connects");
        let admin = Admin::new(&client).with_timeout(Duration::from_secs(30));
        for _ in 0..3 {
            admin.list_topics().await.expect("answers");
        }
    });
}

#[test]
fn a_list_without_an_end_is_given_up() {
    let (address, requests) = broker(|header, request, port| {
        let Request::DescribeTopicPartitions(request) = request else {
            let served =
                [(ApiKey::ApiVersions, 3), (ApiKey::Metadata, 9), (ApiKey::DescribeTopicPartitions, 0)];
            let answer = match header.api_key {
                ApiKey::ApiVersions => versions(ErrorCode::None, &served),
                _ => metadata(port),
            };
            return Reaction::Answer(header.api_version, answer);
        };
        let index = request.cursor.as_ref().map_or(0, |cursor| cursor.partition_index);
        let partition =
            DescribeTopicPartitionsResponsePartition { partition_index: index, ..Default::default() };
        let topic = DescribeTopicPartitionsResponseTopic {
            name: Some("t".into()),
            partitions: vec![partition],
            ..Default::default()
        };
        let next_cursor = Some(ResponseCursor { topic_name: "t".into(), partition_index: index + 1 });
        let answer =
            DescribeTopicPartitionsResponse { topics: vec![topic], next_cursor, ..Default::default() };
        Reaction::Answer(header.api_version, Response::DescribeTopicPartitions(answer))
    });
    let outcome = run(async {
        let client = Client::connect(config(&address)).await.expect("connects");
        Admin::new(&client).describe_topic_partitions(&["t"]).await
    });
    assert_eq!(
        outcome.expect_err("it has no end").to_string(),
        "topics: the answer has no end (UNKNOWN_SERVER_ERROR)"
    );
    assert_eq!(requests.try_iter().filter(|(api, _)| *api == ApiKey::DescribeTopicPartitions).count(), 500);
}

/// The page names no test that is not there.
#[test]
fn the_page_about_hostile_brokers_names_tests_that_are_there() {
    let page = include_str!("../../../../docs/HOSTILE_BROKER.md");
    let sources = [
        include_str!("hostile.rs"),
        include_str!("main.rs"),
        include_str!("producer.rs"),
        include_str!("tls.rs"),
        include_str!("../../src/metadata/tests.rs"),
        include_str!("../../src/sasl/tests.rs"),
        include_str!("../../src/consumer/machine/tests.rs"),
        include_str!("../../src/consumer/machine/tests/hostile.rs"),
        include_str!("../../src/producer/machine/tests/hostile.rs"),
        include_str!("../../src/producer/machine/tests/transactions.rs"),
    ]
    .concat();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let named: Vec<&str> = rows
        .filter_map(|row| row.rsplit(" | ").next())
        .flat_map(|tests| tests.split('`').skip(1).step_by(2))
        .collect();
    assert!(named.len() > 20, "{named:?}");
    for test in named {
        assert!(sources.contains(&format!("fn {test}(")), "{test}");
    }
}

#[test]
fn a_guard_that_asks_for_ever_is_left() {
    let (address, requests) = broker(|header, request, port| match request {
        Request::SaslHandshake(_) => Reaction::Answer(
            header.api_version,
            Response::SaslHandshake(SaslHandshakeResponse {
                error_code: 0,
                mechanisms: vec!["SCRAM-SHA-256".into()],
            }),
        ),
        Request::SaslAuthenticate(request) => {
            // Who hashes a password as often as this does nothing else for a week.
            let first = String::from_utf8_lossy(&request.auth_bytes).into_owned();
            let nonce = first.split("r=").nth(1).expect("a nonce").to_owned();
            let answer = SaslAuthenticateResponse {
                auth_bytes: format!("r={nonce}x,s=c2FsdA==,i=4294967295").into_bytes().into(),
                session_lifetime_ms: i64::MAX,
                ..Default::default()
            };
            Reaction::Answer(header.api_version, Response::SaslAuthenticate(answer))
        }
        Request::Metadata(_) => Reaction::Answer(header.api_version, metadata(port)),
        _ => greeting(header),
    });
    let sasl = Sasl::Scram {
        mechanism: ScramMechanism::Sha256,
        username: "alice".into(),
        password: "secret".into(),
    };
    let error = run(Client::connect(ClientConfig { sasl: Some(sasl), ..config(&address) })).err();
    let text = error.expect("it is left").to_string();
    assert!(text.ends_with("it wants the password to be hashed 4294967295 times"), "{text}");
    assert_eq!(requests.try_iter().filter(|(api, _)| *api == ApiKey::SaslAuthenticate).count(), 1);
}

#[test]
fn a_batch_that_unpacks_to_gigabytes_is_an_error() {
    // Zeros, and then as many records as fit, each of which is nothing.
    let bomb = |records: usize, value: &[u8]| {
        let mut builder = BatchBuilder::default();
        for _ in 0..records {
            builder.append(Timestamp(0), None, Some(value), &[]);
        }
        let compression = Compression::of(Codec::Zstd);
        builder.finish(&Seal { leader_epoch: Some(LeaderEpoch(1)), compression, ..Seal::default() })
    };
    for batch in [bomb(1, &vec![0; 64 << 20]), bomb(1 << 20, b"")] {
        assert!(batch.len() < 1 << 20, "{} bytes come over the wire", batch.len());
        let (address, _) = broker(move |header, request, port| match request {
            Request::Metadata(_) => {
                Reaction::Answer(header.api_version, metadata_with_topic(port, TopicId::ZERO))
            }
            Request::Fetch(_) => {
                let records = Some(Records::Bytes(batch.clone()));
                let partitions = vec![PartitionData { high_watermark: 1, records, ..Default::default() }];
                let topic = FetchableTopicResponse { topic: "t".into(), partitions, ..Default::default() };
                let answer = FetchResponse { responses: vec![topic], ..Default::default() };
                Reaction::Answer(header.api_version, Response::Fetch(answer))
            }
            _ => greeting(header),
        });
        run(async {
            let client = Client::connect(config(&address)).await.expect("connects");
            let consumer = Consumer::new(
                &client,
                ConsumerConfig { unpacked_batch_bytes_max: 32 << 20, ..Default::default() },
            );
            let start = Start::At(Offset::ZERO);
            consumer.assign([Assignment { topic: "t".into(), partition: 0, start }]);
            let first = consumer.records().next().await.expect("something comes");
            let error = first.expect_err("it is too much").to_string();
            assert!(error.starts_with("t-0: at offset 0: "), "{error}");
        });
    }
}
