//! Given the same records, the producer's machine makes the batches and chooses the partitions that the Java client does
//! (interop/java-golden).

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use klamm_client::metadata::{Cluster, Partition, Topic};
use klamm_client::producer::{Effect, machine::Machine};
use klamm_client::{OwnedRecord, ProducerConfig, Random, partition_of_key};
use klamm_model::{
    BATCH_HEADER_SIZE, BatchHeader, BrokerId, Codec, Compression, ErrorCode, Tick, Timestamp, TopicId,
    decompress,
};
use klamm_wire::InitProducerIdResponse;

const LINES: &str = include_str!("golden/java-4.4.0.txt");

#[test]
fn batches_and_partitions_are_those_of_the_java_client() {
    let (mut records, mut is_complete, mut seen) = (Vec::new(), false, BTreeMap::<&str, u32>::new());
    for line in LINES.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        *seen.entry(words[0]).or_default() += 1;
        match words.as_slice() {
            ["record", timestamp, key, value, headers @ ..] => {
                if std::mem::take(&mut is_complete) {
                    records.clear();
                }
                records.push(record(timestamp, key, value, headers));
            }
            ["batch", codec, producer, epoch, hex] => {
                is_complete = true;
                let codec = codec.parse().expect("a codec");
                let ours = batch(&records, codec, number(producer), number(epoch));
                let theirs = from_hex(hex).expect("a batch");
                match codec {
                    Codec::None => assert_eq!(ours, theirs, "{line}"),
                    // Every packer packs in its own way; what is packed and all around it is the same.
                    _ => assert_eq!(unpacked(codec, &ours), unpacked(codec, &theirs), "{line}"),
                }
            }
            ["partition", key, count, partition] => {
                let key = from_hex(key).expect("a key");
                assert_eq!(partition_of_key(&key, number(count)), number::<i32>(partition), "{line}");
            }
            _ => panic!("{line}"),
        }
    }
    assert_eq!(seen, BTreeMap::from([("batch", 18), ("partition", 144), ("record", 16)]));
}

fn record(timestamp: &str, key: &str, value: &str, headers: &[&str]) -> OwnedRecord {
    let headers = headers.iter().map(|header| {
        let (name, value) = header.split_once('=').expect("name and value");
        (from_hex(name).expect("a name"), from_hex(value))
    });
    OwnedRecord {
        topic: "t".into(),
        partition: Some(0),
        timestamp: Some(Timestamp(number(timestamp))),
        key: from_hex(key),
        value: from_hex(value),
        headers: headers.collect(),
    }
}

/// The batch that is sent, as producer 4 billion in epoch 7 or as nobody (-1).
fn batch(records: &[OwnedRecord], codec: Codec, producer_id: i64, producer_epoch: i16) -> Bytes {
    let partitions = vec![Partition { leader: Some(BrokerId(1)), ..Partition::default() }];
    let topic = Topic { id: TopicId::ZERO, error: ErrorCode::None, is_internal: false, partitions };
    let cluster = Cluster { topics: BTreeMap::from([("t".into(), topic)]), ..Cluster::default() };
    let config = ProducerConfig {
        compression: Compression::of(codec),
        idempotent: producer_id >= 0,
        ..ProducerConfig::default()
    };
    let mut machine = Machine::<()>::new(config, Arc::new(cluster), Random::new(1));
    for record in records {
        let headers = record.lend_headers();
        machine.append(Tick(0), Timestamp(0), &record.lend(&headers)).expect("there is room");
    }
    machine.flush();
    let mut effects = Vec::new();
    machine.advance(Tick(0), &mut effects);
    if let [Effect::InitProducerId { call }] = effects[..] {
        let response =
            InitProducerIdResponse { producer_id, producer_epoch, ..InitProducerIdResponse::default() };
        machine.identified(Tick(0), call, &response, &mut effects);
        effects.clear();
        machine.advance(Tick(0), &mut effects);
    }
    let [Effect::Produce { topics, .. }] = &effects[..] else { panic!("{effects:?}") };
    let [(0, batch)] = &topics[0].partitions[..] else { panic!("{topics:?}") };
    batch.clone()
}

/// All of the header but what packing decides, and the records.
fn unpacked(codec: Codec, batch: &Bytes) -> (BatchHeader, Vec<u8>) {
    let header = BatchHeader::parse(batch).expect("a header");
    let mut records = Vec::new();
    decompress(codec, &batch[BATCH_HEADER_SIZE..], &mut records, 1 << 20).expect("unpacks");
    (BatchHeader { size: 0, crc: 0, ..header }, records)
}

fn number<T: std::str::FromStr<Err: std::fmt::Debug>>(word: &str) -> T {
    word.parse().expect("a number")
}

/// `None` for "-".
fn from_hex(hex: &str) -> Option<Bytes> {
    let digit = |char: u8| char::from(char).to_digit(16).expect("a hexadecimal digit") as u8;
    let bytes = || hex.as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1]));
    (hex != "-").then(|| bytes().collect())
}
