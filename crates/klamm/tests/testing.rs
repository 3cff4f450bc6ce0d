//! The broker for tests, as a test has it.
#![allow(clippy::disallowed_methods, reason = "a test looks at the clock and at what is left on disk")]

use std::time::{Duration, Instant};

use klamm::{
    Admin, Assignment, Change, Consumer, ConsumerConfig, NewTopic, Producer, ProducerConfig, Record, Start,
    testing::{Broker, BrokerError},
};

#[tokio::test]
async fn what_was_written_is_there_after_a_restart_and_clients_find_it_again() {
    let mut broker = Broker::start().await.expect("starts");
    let client = broker.client().await.expect("connects");
    let producer = Producer::new(&client, ProducerConfig::default());
    producer.send(Record::new("events", b"before")).await.expect("written");

    let bootstrap = broker.bootstrap();
    broker.stop().await;
    let waiting = producer.accept(Record::new("events", b"meanwhile")).await.expect("taken");
    broker.start_again().await.expect("starts again");
    assert_eq!(broker.bootstrap(), bootstrap);
    waiting.await.expect("written once the broker is back");

    let consumer = Consumer::new(&client, ConsumerConfig::default());
    consumer.assign([Assignment { topic: "events".into(), partition: 0, start: Start::Earliest }]);
    let mut records = consumer.records();
    for expected in [&b"before"[..], b"meanwhile"] {
        let record = records.next().await.expect("goes on").expect("a record");
        assert_eq!(record.value.as_deref(), Some(expected));
    }
}

#[tokio::test]
async fn it_is_there_and_gone_within_moments() {
    let broker = Broker::start().await.expect("starts");
    let client = broker.client().await.expect("connects");
    let waits_long = ConsumerConfig { wait_max_ms: 300_000, ..ConsumerConfig::default() };
    let consumer = Consumer::new(&client, waits_long);
    Admin::new(&client)
        .create_topic(&NewTopic { name: "events".into(), ..NewTopic::default() }, Change::Make)
        .await
        .expect("created");
    consumer.assign([Assignment { topic: "events".into(), partition: 0, start: Start::Latest }]);
    let mut records = consumer.records();
    let waits = tokio::time::timeout(Duration::from_millis(100), records.next()).await;
    assert!(waits.is_err(), "{waits:?}");
    // A fetch of that consumer waits in the broker.
    let directory = broker.data_dir().to_owned();
    assert!(directory.exists());
    let began = Instant::now();
    drop(broker);
    assert!(!directory.exists());
    let took = began.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[tokio::test]
async fn settings_are_kafkas_and_a_wrong_one_is_told() {
    let broker = Broker::with_settings([("num.partitions", "3")]).await.expect("starts");
    let client = broker.client().await.expect("connects");
    Admin::new(&client)
        .create_topic(&NewTopic { name: "events".into(), ..NewTopic::default() }, Change::Make)
        .await
        .expect("created");
    let topic = client.topic("events", Duration::from_secs(10)).await.expect("there");
    assert_eq!(topic.partitions.len(), 3);

    let wrong = Broker::with_settings([("num.partition", "3")]).await.err();
    assert!(
        matches!(&wrong, Some(BrokerError::Settings(error)) if error.to_string().contains("num.partitions")),
        "{wrong:?}"
    );
}
