//! What is written is read again.

use std::{borrow::Cow, task::Poll};

use klamm_client::{
    Assignment, Cause, Client, Consumer, ConsumerConfig, Deserializer, FormatError, JsonFormat, NewTopic,
    OwnedRecord, Producer, ProducerConfig, Random, RawFormat, Record, Serializer, Start, TextFormat,
    TypedProducer,
};
use klamm_model::{Codec, Compression, ErrorCode, Offset, Timestamp};

use crate::{with_new_topic, with_topic};

/// All of the topic's records, by partition and in order.
async fn read(client: &Client, topic: &str) -> Vec<OwnedRecord> {
    let consumer = Consumer::new(client, ConsumerConfig::default());
    let count = client.cluster().topics[topic].partitions.len() as i32;
    consumer.assign((0..count).map(|partition| Assignment {
        topic: topic.into(),
        partition,
        start: Start::Earliest,
    }));
    let (mut records, mut scratch) = (Vec::new(), Vec::new());
    while let Some(batch) = consumer.next_batch_or_end().await.expect("readable") {
        for record in batch.records(&mut scratch).expect("unpacks") {
            let record = record.expect("a record");
            let headers: Vec<_> = record.headers.iter().collect();
            records.push(OwnedRecord::from(Record {
                topic,
                partition: Some(batch.partition),
                timestamp: Some(record.timestamp),
                key: record.key,
                value: record.value,
                headers: &headers,
            }));
        }
    }
    records.sort_by_key(|record| record.partition);
    records
}

#[test]
fn every_field_of_a_record_comes_back_packed_in_whatever_way() {
    with_topic(2, async |client, topic| {
        let mut written = Vec::new();
        let packed = Codec::ALL.map(Compression::of).into_iter().chain([
            Compression { codec: Codec::Gzip, level: 9 },
            Compression { codec: Codec::Zstd, level: 19 },
        ]);
        for (number, compression) in packed.enumerate() {
            let producer =
                Producer::new(&client, ProducerConfig { compression, ..ProducerConfig::default() });
            let record = OwnedRecord {
                topic: topic.into(),
                partition: Some(1),
                timestamp: Some(Timestamp(1_700_000_000_000 + number as i64)),
                key: (number % 2 == 0).then(|| "key".into()),
                value: (number != 3).then(|| "value ".repeat(100).into()),
                headers: vec![("name".into(), Some("value".into())), ("name".into(), None)],
            };
            let delivered = producer.send_owned(&record).await.expect("written");
            assert_eq!((&*delivered.topic, delivered.partition), (topic, 1));
            assert_eq!(delivered.offset, Some(Offset::new(number as i64)));
            assert_eq!(Some(delivered.timestamp), record.timestamp);
            written.push(record);
            producer.close().await;
        }
        assert_eq!(read(&client, topic).await, written);
    });
}

#[test]
fn batches_that_are_too_large_for_a_topic_are_cut_and_a_record_that_is_too_large_alone_is_told() {
    let configs = vec![("max.message.bytes".to_owned(), "1000".to_owned())];
    let topic = NewTopic { partition_count: Some(1), configs, ..NewTopic::default() };
    with_new_topic(topic, async |client, topic| {
        let mut written = Vec::new();
        for compression in Codec::ALL.map(Compression::of) {
            let config = ProducerConfig { linger_ms: 60_000, compression, ..ProducerConfig::default() };
            let producer = Producer::new(&client, config);
            // Noise, so that no codec makes them small.
            let mut random = Random::new(7);
            let mut noise = |size| (0..size).map(|_| random.below(256) as u8).collect::<Vec<u8>>();
            let values: Vec<_> =
                (0..60).map(|number| noise(if number == 20 { 2_000 } else { 100 })).collect();
            let mut deliveries = Vec::new();
            for value in &values {
                deliveries.push(producer.accept(Record::new(topic, value)).await.expect("there is room"));
            }
            producer.close().await;
            for (value, delivery) in values.into_iter().zip(deliveries) {
                if value.len() > 1_000 {
                    let cause = delivery.await.expect_err("no topic of such records").cause;
                    let Cause::Refused { code, .. } = cause else { panic!("{cause:?}") };
                    assert_eq!(code, ErrorCode::MessageTooLarge);
                    continue;
                }
                let offset = delivery.await.expect("written").offset;
                assert_eq!(offset, Some(Offset::new(written.len() as i64)));
                written.push(value);
            }
        }
        let read = read(&client, topic).await;
        let read: Vec<_> = read.into_iter().map(|record| record.value.expect("a value")).collect();
        assert_eq!(read, written);
    });
}

/// One byte says it all.
struct Switch;

impl Serializer<bool> for Switch {
    fn serialize<'a>(&self, _: &str, item: &'a bool) -> Result<Cow<'a, [u8]>, FormatError> {
        if *item { Ok(Cow::Borrowed(b"1")) } else { Err("it is off".into()) }
    }
}

#[test]
fn keys_and_values_may_have_types() {
    with_topic(1, async |client, topic| {
        let producer = std::sync::Arc::new(Producer::new(&client, ProducerConfig::default()));
        let json = TypedProducer::<str, Vec<u32>>::new(producer.clone(), TextFormat, JsonFormat);
        let one_and_two = vec![1, 2];
        let numbers = Record { topic, key: Some("k"), value: Some(&one_and_two), ..Record::default() };
        assert_eq!(json.send(numbers).await.expect("written").offset, Some(Offset::ZERO));
        let switches = TypedProducer::<[u8], bool>::new(producer, RawFormat, Switch);
        switches.send(Record { topic, value: Some(&true), ..Record::default() }).await.expect("written");
        switches.send(Record { topic, key: Some(b"gone"), ..Record::default() }).await.expect("a tombstone");
        let off = switches.send(Record { topic, value: Some(&false), ..Record::default() }).await;
        let error = off.expect_err("it has no bytes").to_string();
        assert_eq!(error, format!("{topic}: not sent: no value can be made of it: it is off"));

        let records = read(&client, topic).await;
        let values: Vec<_> = records.iter().map(|record| record.value.as_deref()).collect();
        assert_eq!(values, [Some(&b"[1,2]"[..]), Some(b"1"), None]);
        let numbers: Vec<u32> = JsonFormat.deserialize(topic, values[0].expect("a value")).expect("JSON");
        assert_eq!(numbers, [1, 2]);
        let key: String =
            TextFormat.deserialize(topic, records[0].key.as_deref().expect("a key")).expect("text");
        assert_eq!(key, "k");
    });
}

#[test]
fn a_record_whose_acceptance_is_given_up_is_not_sent() {
    with_topic(1, async |client, topic| {
        // Each record is a batch, after which others get their turn.
        let config = ProducerConfig { linger_ms: 0, ..ProducerConfig::default() };
        let producer = Producer::new(&client, config);
        let (mut taken, mut given_up) = (0, 0);
        for _ in 0..20 {
            let mut accept = std::pin::pin!(producer.accept(Record::new(topic, b"a")));
            match std::future::poll_fn(|context| Poll::Ready(accept.as_mut().poll(context))).await {
                Poll::Ready(accepted) => {
                    drop(accepted.expect("taken"));
                    taken += 1;
                }
                Poll::Pending => given_up += 1,
            }
        }
        assert!(0 < given_up && 0 < taken, "{taken} taken, {given_up} given up");
        producer.close().await;
        assert_eq!(read(&client, topic).await.len(), taken);
    });
}
