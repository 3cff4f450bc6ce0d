//! The producer against brokers that do not take records, or not any more.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use klamm_client::{
    Acks, Cause, Client, ClientConfig, Delivery, Producer, ProducerConfig, Record, Unacknowledged,
};
use klamm_model::{ErrorCode, Offset, TopicId};
use klamm_wire::produce::{LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse, TopicProduceResponse};
use klamm_wire::{ApiKey, ProduceResponse, RequestHeader, Response};
use tokio::runtime::Runtime;

use crate::fake::{Reaction, broker, led_by, metadata, metadata_with_topic, port_of, versions};

/// A broker that leads "t" and does this with what is written.
fn leader(produce: impl Fn(&RequestHeader) -> Reaction + Send + Sync + Clone + 'static) -> String {
    let (address, _) = broker(move |header, _, port| match header.api_key {
        ApiKey::ApiVersions => {
            let served = [(ApiKey::ApiVersions, 3), (ApiKey::Metadata, 9), (ApiKey::Produce, 12)];
            Reaction::Answer(header.api_version, versions(ErrorCode::None, &served))
        }
        ApiKey::Metadata => Reaction::Answer(header.api_version, metadata_with_topic(port, TopicId::ZERO)),
        _ => produce(header),
    });
    address
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

async fn producer(address: &str, config: ProducerConfig) -> Producer {
    let client = Client::connect(ClientConfig::new(address)).await.expect("connects");
    Producer::new(&client, ProducerConfig { idempotent: false, linger_ms: 0, ..config })
}

fn answer(partition: PartitionProduceResponse, node_endpoints: Vec<NodeEndpoint>) -> Response {
    let topic =
        TopicProduceResponse { name: "t".into(), partition_responses: vec![partition], ..Default::default() };
    Response::Produce(ProduceResponse { responses: vec![topic], node_endpoints, ..Default::default() })
}

#[test]
fn what_a_deaf_broker_does_not_take_counts_though_nobody_waits_for_an_answer() {
    const VALUE: &[u8] = &[7; 100_000];
    let address = leader(|_| Reaction::Deaf);
    runtime().block_on(async {
        let config = ProducerConfig {
            acks: Acks::None,
            buffer_memory: 1 << 20,
            block_max_ms: 300,
            ..ProducerConfig::default()
        };
        let producer = producer(&address, config).await;
        let mut accepted = 0;
        let refused = loop {
            match producer.accept(Record::new("t", VALUE)).await {
                Ok(_) => accepted += 1,
                Err(error) => break error.to_string(),
            }
            // What the two sockets hold is the system's, and a few megabytes.
            assert!(accepted < 1000, "100 MB were accepted");
        };
        assert!(accepted >= 10, "{accepted}: {refused}");
        assert!(refused.contains("buffer"), "{refused}");
        assert!(producer.buffered() <= (1 << 20) + 2 * VALUE.len(), "{} bytes", producer.buffered());
    });
}

#[test]
fn who_waits_for_a_topic_in_vain_can_know_why() {
    let is_gone = Arc::new(AtomicBool::new(false));
    let (address, _) = broker(move |header, _, port| match header.api_key {
        ApiKey::ApiVersions => {
            let served = [(ApiKey::ApiVersions, 3), (ApiKey::Metadata, 9)];
            Reaction::Answer(header.api_version, versions(ErrorCode::None, &served))
        }
        _ if is_gone.swap(true, Ordering::Relaxed) => Reaction::Hangup,
        _ => Reaction::Answer(header.api_version, metadata(port)),
    });
    runtime().block_on(async {
        let producer = producer(&address, ProducerConfig { block_max_ms: 50, ..Default::default() }).await;
        let why = loop {
            let error = producer.send(Record::new("t", b"a")).await.expect_err("nobody knows the topic");
            match error.cause {
                Cause::UnknownTopic { last: Some(why), .. } => break why,
                // It takes its time until the broker was asked.
                Cause::UnknownTopic { last: None, .. } => {}
                other => panic!("{other}"),
            }
        };
        assert_eq!(why.to_string(), format!("the connection to {address} broke: the broker closed it"));
    });
}

#[test]
fn who_led_a_partition_leads_to_who_does() {
    // Metadata never tells of the new leader: only the answer to the record does (KIP-951).
    let written = PartitionProduceResponse { base_offset: 7, ..Default::default() };
    let new = leader(move |header| Reaction::Answer(header.api_version, answer(written.clone(), Vec::new())));
    let (host, port) = new.split_once(':').expect("host and port");
    let node =
        NodeEndpoint { node_id: 4, host: host.into(), port: port.parse().expect("a port"), rack: None };
    let refused = PartitionProduceResponse {
        error_code: ErrorCode::NotLeaderOrFollower.code(),
        current_leader: LeaderIdAndEpoch { leader_id: 4, leader_epoch: 2 },
        ..Default::default()
    };
    let old = leader(move |header| {
        Reaction::Answer(header.api_version, answer(refused.clone(), vec![node.clone()]))
    });
    runtime().block_on(async {
        let producer = producer(&old, ProducerConfig::default()).await;
        let delivered = producer.send(Record::new("t", b"value")).await.expect("written");
        assert_eq!(delivered.offset, Some(Offset::new(7)));
    });
}

/// One of two brokers, 3 and 4.
fn one_of_two(
    ports: &Arc<OnceLock<[u16; 2]>>,
    (leader, epoch): (i32, i32),
    produced: PartitionProduceResponse,
) -> String {
    let ports = ports.clone();
    let (address, _) = broker(move |header, _, port| {
        let response = match header.api_key {
            ApiKey::ApiVersions => versions(
                ErrorCode::None,
                &[(ApiKey::ApiVersions, 3), (ApiKey::Metadata, 9), (ApiKey::Produce, 12)],
            ),
            ApiKey::Metadata => led_by(leader, epoch, ports.get().copied().unwrap_or([port; 2])),
            _ => answer(produced.clone(), Vec::new()),
        };
        Reaction::Answer(header.api_version, response)
    });
    address
}

/// It is cut off from the others, and says what it knew before: somebody else is to be asked.
#[test]
fn who_leads_is_asked_of_another_broker_than_the_one_that_does_not_know() {
    let ports = Arc::new(OnceLock::new());
    let away = PartitionProduceResponse {
        error_code: ErrorCode::NotLeaderOrFollower.code(),
        base_offset: -1,
        ..Default::default()
    };
    let old = one_of_two(&ports, (3, 1), away);
    let written = PartitionProduceResponse { base_offset: 7, ..Default::default() };
    let new = one_of_two(&ports, (4, 2), written);
    ports.set([port_of(&old), port_of(&new)]).expect("set once");
    runtime().block_on(async {
        let config = ProducerConfig { delivery_timeout_ms: 10_000, ..ProducerConfig::default() };
        let producer = producer(&old, config).await;
        let delivered = producer.send(Record::new("t", b"value")).await.expect("written");
        assert_eq!(delivered.offset, Some(Offset::new(7)));
    });
}

#[test]
fn a_broker_that_stands_still_keeps_nobody_from_asking_the_others() {
    let ports = Arc::new(OnceLock::new());
    let written = PartitionProduceResponse { base_offset: 7, ..Default::default() };
    let good = one_of_two(&ports, (3, 1), written);
    let (silent, asked) = broker(|_, _, _| Reaction::Silence);
    ports.set([port_of(&good), port_of(&silent)]).expect("set once");
    runtime().block_on(async {
        let producer = producer(&good, ProducerConfig::default()).await;
        let delivered = tokio::time::timeout(Duration::from_secs(8), producer.send(Record::new("t", b"a")));
        assert!(delivered.await.expect("in time").is_ok());
    });
    assert_eq!(asked.try_recv().map(|(key, _)| key), Ok(ApiKey::ApiVersions), "it was asked first");
}

#[test]
fn a_producer_is_closed_within_the_time_it_is_given() {
    let address = leader(|_| Reaction::Silence);
    runtime().block_on(async {
        let producer = producer(&address, ProducerConfig::default()).await;
        let delivery = producer.accept(Record::new("t", b"a")).await.expect("there is room");
        let closed = producer.close_within(Duration::from_millis(50)).await;
        assert_eq!(closed, Err(Unacknowledged { record_count: 1 }));
        let error = delivery.await.expect_err("nobody acknowledged it");
        assert_eq!((error.tries, &error.cause), (1, &Cause::Abandoned));
    });
}

#[test]
fn what_was_done_is_counted() {
    let count = Arc::new(AtomicUsize::new(0));
    let address = leader(move |header| {
        let code = if count.fetch_add(1, Ordering::Relaxed) == 0 {
            ErrorCode::NotEnoughReplicas
        } else {
            ErrorCode::None
        };
        let Response::Produce(answer) =
            answer(PartitionProduceResponse { error_code: code.code(), ..Default::default() }, Vec::new())
        else {
            unreachable!("that is what it makes")
        };
        let answer = ProduceResponse { throttle_time_ms: 7, ..answer };
        Reaction::Answer(header.api_version, Response::Produce(answer))
    });
    runtime().block_on(async {
        let client = Client::connect(ClientConfig::new(&address)).await.expect("connects");
        let before = client.metrics();
        client.topic("t", Duration::from_secs(10)).await.expect("there");
        let config = ProducerConfig { idempotent: false, linger_ms: 60_000, ..ProducerConfig::default() };
        let producer = Producer::new(&client, config);
        let sent = [b"a", b"b"].map(|value| producer.send(Record::new("t", value)));
        producer.flush().await;
        for delivery in sent {
            delivery.await.expect("written");
        }
        let _third = producer.accept(Record::new("t", b"c")).await.expect("there is room");
        let counted = producer.metrics();
        assert_eq!((counted.records, counted.batches, counted.retries, counted.records_failed), (2, 1, 1, 0));
        assert_eq!((counted.buffered_records, counted.queue_time.count, counted.latency.count), (1, 1, 1));
        assert!(counted.bytes > 0 && counted.buffered_bytes == producer.buffered(), "{counted:?}");
        assert!(counted.queue_time.max <= counted.latency.max, "{counted:?}");
        let after = client.metrics();
        assert_eq!((after.connections, after.connections_made, after.requests_failed), (2, 2, 0));
        assert_eq!((after.latency.count, after.throttled), (after.requests, Duration::from_millis(14)));
        assert!(
            before.requests + 2 < after.requests && before.bytes_received < after.bytes_received,
            "{after:?}"
        );
        assert!(after.latency.mean() <= Some(after.latency.max), "{after:?}");
    });
}

/// What is logged, as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panics while writing").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn take(&self) -> String {
        let bytes = std::mem::take(&mut *self.0.lock().expect("nobody panics while writing"));
        String::from_utf8(bytes).expect("text")
    }
}

#[test]
fn a_dropped_producer_says_what_is_not_acknowledged_and_leaves_nobody_waiting() {
    let address = leader(|_| Reaction::Silence);
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, || {
        let runtime = runtime();
        let deliveries: Vec<Delivery> = runtime.block_on(async {
            let producer = producer(&address, ProducerConfig::default()).await;
            let mut deliveries = Vec::new();
            for value in [b"a", b"b"] {
                deliveries.push(producer.accept(Record::new("t", value)).await.expect("there is room"));
            }
            deliveries
        });
        let told = log.take();
        assert!(told.contains("WARN") && told.contains("records=2"), "{told}");
        // Now nobody is left who could send.
        drop(runtime);
        let told = log.take();
        assert!(told.contains("given up") && told.contains("records=2"), "{told}");
        for delivery in deliveries {
            let error = self::runtime().block_on(delivery).expect_err("nobody acknowledged it");
            assert_eq!(error.cause, Cause::Abandoned);
        }
    });
}
