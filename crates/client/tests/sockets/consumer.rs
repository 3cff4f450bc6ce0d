//! The consumer against brokers that have moved, and what it leaves behind.

use klamm_client::{Assignment, Client, ClientConfig, Consumer, ConsumerConfig, Start};
use klamm_model::{BatchBuilder, ErrorCode, LeaderEpoch, Offset, Seal, Timestamp, TopicId};
use klamm_wire::fetch::{FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData};
use klamm_wire::{ApiKey, FetchRequest, FetchResponse, Records, Request, Response};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::fake::{Reaction, broker, metadata_with_topic, versions};

const TOPIC: TopicId = TopicId(Uuid::from_u128(7));

/// A broker that leads "t" and answers readers like this, or not at all.
fn leader(fetch: impl Fn(&FetchRequest) -> Option<FetchResponse> + Send + Sync + Clone + 'static) -> String {
    let (address, _) = broker(move |header, request, port| match request {
        Request::ApiVersions(_) => {
            let served = [(ApiKey::ApiVersions, 3), (ApiKey::Metadata, 12), (ApiKey::Fetch, 17)];
            Reaction::Answer(header.api_version, versions(ErrorCode::None, &served))
        }
        Request::Metadata(_) => Reaction::Answer(header.api_version, metadata_with_topic(port, TOPIC)),
        Request::Fetch(request) => match fetch(request) {
            Some(answer) => Reaction::Answer(header.api_version, Response::Fetch(answer)),
            None => Reaction::Silence,
        },
        other => panic!("nobody asks {other:?}"),
    });
    address
}

fn answer(partition: PartitionData) -> FetchResponse {
    let topic = FetchableTopicResponse { topic_id: TOPIC, partitions: vec![partition], ..Default::default() };
    FetchResponse { responses: vec![topic], ..Default::default() }
}

/// Runs `question` with a consumer of the topic's only partition.
fn with_consumer<T>(address: &str, question: impl AsyncFnOnce(Consumer) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = Client::connect(ClientConfig::new(address)).await.expect("connects");
        let consumer = Consumer::new(&client, ConsumerConfig::default());
        let start = Start::At(Offset::ZERO);
        consumer.assign([Assignment { topic: "t".into(), partition: 0, start }]);
        question(consumer).await
    })
}

#[test]
fn who_led_a_partition_leads_to_who_does() {
    // Metadata never tells of the new leader: only the answer to the reader does (KIP-951).
    let mut builder = BatchBuilder::default();
    builder.append(Timestamp(1), None, Some(b"value"), &[]);
    let seal = Seal { leader_epoch: Some(LeaderEpoch(2)), ..Seal::default() };
    let records = Some(Records::Bytes(builder.finish(&seal)));
    let found = PartitionData { high_watermark: 1, records, ..Default::default() };
    let new = leader(move |_| Some(answer(found.clone())));
    let (host, port) = new.split_once(':').expect("host and port");
    let node =
        NodeEndpoint { node_id: 4, host: host.into(), port: port.parse().expect("a port"), rack: None };
    let moved = PartitionData {
        error_code: ErrorCode::NotLeaderOrFollower.code(),
        current_leader: LeaderIdAndEpoch { leader_id: 4, leader_epoch: 2 },
        ..Default::default()
    };
    let old =
        leader(move |_| Some(FetchResponse { node_endpoints: vec![node.clone()], ..answer(moved.clone()) }));
    with_consumer(&old, async |consumer| {
        let batch = consumer.next_batch().await.expect("readable");
        assert_eq!((batch.partition, batch.high_watermark), (0, Some(Offset::new(1))));
    });
}

#[test]
fn who_waits_in_vain_can_know_why() {
    let (told, mut requests) = mpsc::unbounded_channel();
    let error_code = ErrorCode::KafkaStorageError.code();
    let address = leader(move |_| {
        told.send(()).expect("the test listens");
        Some(answer(PartitionData { error_code, ..Default::default() }))
    });
    with_consumer(&address, async |consumer| {
        assert_eq!(consumer.troubles(), []);
        for _ in 0..3 {
            requests.recv().await.expect("it is tried again");
        }
        let troubles = consumer.troubles();
        let [trouble] = &troubles[..] else { panic!("{troubles:?}") };
        assert!(trouble.tries >= 2);
        let told = format!("t-0: the broker answered KAFKA_STORAGE_ERROR (broker 3 at {address}, ");
        assert!(trouble.to_string().starts_with(&told), "{trouble}");
    });
}

#[test]
fn a_dropped_consumer_ends_its_session() {
    let (told, mut requests) = mpsc::unbounded_channel();
    let address = leader(move |request| {
        told.send((request.session_id, request.session_epoch)).expect("the test listens");
        let first = PartitionData { high_watermark: 0, ..Default::default() };
        (request.session_epoch == 0).then(|| FetchResponse { session_id: 77, ..answer(first) })
    });
    with_consumer(&address, async |consumer| {
        assert_eq!(requests.recv().await, Some((0, 0)));
        // This one is parked.
        assert_eq!(requests.recv().await, Some((77, 1)));
        drop(consumer);
        assert_eq!(requests.recv().await, Some((77, -1)));
    });
}
