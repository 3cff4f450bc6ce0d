//! Reading as it is wanted: from a moment on, elsewhere, later, one by one, by partition.

use std::collections::BTreeMap;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use futures_core::Stream;
use klamm_client::{
    Admin, Assignment, Change, Client, ConsumedRecord, Consumer, ConsumerConfig, Isolation, NewTopic,
    Producer, ProducerConfig, Record, Start, TextFormat, Topics,
};
use klamm_model::{Offset, Timestamp};

use crate::admin::until;
use crate::with_topic;

/// Writes ten records to each partition: their values are their numbers, their times the numbers from 1000 on.
pub(crate) async fn write_ten(client: &Client, topic: &str, partition_count: i32) {
    let producer = Producer::new(client, ProducerConfig::default());
    for number in 0..10 {
        for partition in 0..partition_count {
            let (value, time) = (number.to_string(), Some(Timestamp(1_000 + number)));
            let record = Record::new(topic, value.as_bytes());
            let record = Record { partition: Some(partition), timestamp: time, ..record };
            drop(producer.accept(record).await.expect("there is room"));
        }
        // So that there are several batches.
        producer.flush().await;
    }
    producer.close().await;
}

fn consumer(client: &Client, topic: &str, partition_count: i32, start: Start) -> Consumer {
    let config = ConsumerConfig { isolation: Isolation::ReadCommitted, ..ConsumerConfig::default() };
    let consumer = Consumer::new(client, config);
    consumer.assign((0..partition_count).map(|partition| Assignment {
        topic: topic.into(),
        partition,
        start,
    }));
    consumer
}

fn value(record: &ConsumedRecord) -> &str {
    std::str::from_utf8(record.value.as_deref().expect("a value")).expect("text")
}

#[test]
fn reading_begins_at_a_moment_and_goes_where_it_is_told() {
    with_topic(1, async |client, topic| {
        write_ten(&client, topic, 1).await;
        let consumer = consumer(&client, topic, 1, Start::Since(Timestamp(1_007)));
        let mut records = consumer.records();
        let first = records.next().await.expect("goes on").expect("readable");
        assert_eq!((value(&first), first.offset, first.timestamp), ("7", Offset::new(7), Timestamp(1_007)));
        let position = &consumer.positions()[0];
        assert_eq!((position.end, position.lag()), (Some(Offset::new(10)), Some(2)), "{position:?}");
        let counted = consumer.metrics();
        assert_eq!(
            (counted.batches, counted.records, counted.errors, counted.lag),
            (1, 1, 0, 2),
            "{counted:?}"
        );

        // Nothing waits in a new stream that was taken before the jump.
        for (to, expected) in
            [(Start::At(Offset::new(2)), "2"), (Start::Last(1), "9"), (Start::Earliest, "0")]
        {
            assert!(consumer.seek(topic, 0, to));
            let next = consumer.records().next().await.expect("goes on").expect("readable");
            assert_eq!(value(&next), expected, "{to:?}");
        }
        assert!(!consumer.seek("no such topic", 0, Start::Earliest));
    });
}

#[test]
fn each_partition_has_a_stream_of_its_own_if_wanted() {
    with_topic(3, async |client, topic| {
        write_ten(&client, topic, 3).await;
        let consumer = consumer(&client, topic, 3, Start::Earliest);
        let readers: Vec<_> = (0..3)
            .map(|partition| {
                let mut records = consumer.records_of(topic, partition);
                tokio::spawn(async move {
                    let mut values = Vec::new();
                    while values.len() < 10 {
                        let record = records.next().await.expect("goes on").expect("readable");
                        assert_eq!(record.partition, partition);
                        values.push(value(&record).to_owned());
                    }
                    (values, records)
                })
            })
            .collect();
        let expected: Vec<_> = (0..10).map(|number| number.to_string()).collect();
        let mut streams = Vec::new();
        for reader in readers {
            let (values, records) = reader.await.expect("no reader panics");
            assert_eq!(values, expected);
            streams.push(records);
        }
        drop(consumer);
        for mut records in streams {
            assert_eq!(records.next().await, None, "nobody fetches any more");
        }
    });
}

#[test]
fn a_subscription_finds_topics_and_partitions_that_come_later() {
    with_topic(1, async |client, topic| {
        let prefix = format!("{topic}-1");
        for (number, topics) in [
            Topics::Named([format!("{topic}-0").into()].into()),
            Topics::Matching(Arc::new(move |name: &str| name.starts_with(&prefix))),
        ]
        .into_iter()
        .enumerate()
        {
            let consumer = Consumer::new(&client, ConsumerConfig::default());
            consumer.subscribe(topics, Start::Earliest);
            let later = format!("{topic}-{number}");
            let admin = Admin::new(&client);
            let new = NewTopic { name: later.clone(), partition_count: Some(1), ..NewTopic::default() };
            admin.create_topic(&new, Change::Make).await.expect("created");
            admin.create_partitions(&later, 2, Change::Make).await.expect("added");
            // Kafka's controller answers before the broker knows.
            until(
                async || admin.list_topics().await,
                |topics| topics.get(&*later).is_some_and(|it| it.partitions.len() == 2),
            )
            .await;
            client.topic(&later, Duration::from_secs(10)).await.expect("there");
            write_ten(&client, &later, 2).await;
            let mut records = consumer.records();
            let mut read = BTreeMap::new();
            while read.values().sum::<u32>() < 20 {
                let record = records.next().await.expect("goes on").expect("readable");
                assert_eq!(&*record.topic, later);
                *read.entry(record.partition).or_default() += 1;
            }
            assert_eq!(read, BTreeMap::from([(0, 10), (1, 10)]));
        }
    });
}

#[test]
fn a_paused_partition_waits() {
    with_topic(2, async |client, topic| {
        write_ten(&client, topic, 2).await;
        let consumer = consumer(&client, topic, 2, Start::Earliest);
        assert!(consumer.pause(topic, 0));
        let mut records = consumer.records();
        for number in 0..10 {
            let record = records.next().await.expect("goes on").expect("readable");
            assert_eq!((record.partition, value(&record)), (1, number.to_string().as_str()));
        }
        let mut context = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut records).poll_next(&mut context).is_pending());
        assert!(consumer.resume(topic, 0));
        let record = records.next().await.expect("goes on").expect("readable");
        assert_eq!((record.partition, value(&record)), (0, "0"));
    });
}

/// Reads hexadecimal numbers.
struct Hexadecimal;

impl klamm_client::Deserializer<u32> for Hexadecimal {
    fn deserialize(&self, _: &str, bytes: &[u8]) -> Result<u32, klamm_client::FormatError> {
        Ok(u32::from_str_radix(std::str::from_utf8(bytes)?, 16)?)
    }
}

#[test]
fn keys_and_values_have_types_and_what_has_not_is_told_and_passed_over() {
    with_topic(1, async |client, topic| {
        let producer = Producer::new(&client, ProducerConfig::default());
        for value in [&b"ff"[..], b"green", b"10"] {
            producer.send(Record::new(topic, value).with_key(b"k")).await.expect("written");
        }
        let consumer = consumer(&client, topic, 1, Start::Earliest);
        let mut records = pin!(consumer.records().typed::<String, u32>(TextFormat, Hexadecimal));
        let first = records.next().await.expect("goes on").expect("readable");
        assert_eq!((first.key.as_deref(), first.value), (Some("k"), Some(255)));
        let cause = records.next().await.expect("goes on").expect_err("not a number").cause;
        let klamm_client::consumer::Cause::Undeserializable { at, what, .. } = cause else {
            panic!("{cause:?}")
        };
        assert_eq!((at, what), (Offset::new(1), "value"));
        assert_eq!(records.next().await.expect("goes on").expect("readable").value, Some(16));
    });
}
