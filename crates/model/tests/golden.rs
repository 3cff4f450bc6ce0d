//! Batches made by Kafka's Java client are read as what went into them, and ours are the same bytes.

#![allow(clippy::unwrap_used)]

use std::fmt::Write;

use klamm_model::*;

const START_MS: i64 = 1_700_000_000_000;

/// A record with its own memory, to be compared.
#[derive(Clone, PartialEq, Debug)]
struct Record {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

fn record(timestamp: i64, key: Option<&str>, value: Option<&str>) -> Record {
    let bytes = |text: &str| text.as_bytes().to_vec();
    Record { timestamp, key: key.map(bytes), value: value.map(bytes), headers: Vec::new() }
}

fn sample() -> Vec<Record> {
    let header = |key: &str, value: Option<&str>| (key.to_owned(), value.map(|it| it.as_bytes().to_vec()));
    vec![
        record(START_MS, Some("key"), Some("value")),
        record(START_MS + 1, None, Some("no key")),
        record(START_MS - 1000, Some("no value"), None),
        Record {
            headers: vec![
                header("h1", Some("v1")),
                header("h1", None),
                header("", Some("")),
                header("größe", Some("ü")),
            ],
            ..record(START_MS + 200_000, Some(""), Some(""))
        },
        record(START_MS, None, None),
    ]
}

fn many() -> Vec<Record> {
    let mut long = String::new();
    for index in 0..40 {
        write!(long, "abcdefghij-{index}").unwrap();
    }
    let one = |index: i64| {
        let tail = if index % 100 == 0 { long.as_str() } else { "" };
        let key = format!("key-{index}");
        let mut record = record(START_MS + index * 7, Some(&key), Some(&format!("value {index} {tail}")));
        if index % 50 == 0 {
            record.headers.push(("i".to_owned(), Some(index.to_string().into_bytes())));
        }
        record
    };
    (0..400).map(one).collect()
}

fn read(batch: &BatchView<'_>) -> Vec<Record> {
    let mut scratch = Vec::new();
    let records = batch.records(&mut scratch, 1 << 20).unwrap();
    let mut expected_offset = batch.base_offset();
    let owned = |record: Result<RecordView<'_>, BatchError>| {
        let record = record.unwrap();
        assert_eq!(record.offset, expected_offset);
        expected_offset = expected_offset.advance(1);
        Record {
            timestamp: record.timestamp.0,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record
                .headers
                .iter()
                .map(|it| (String::from_utf8(it.key.to_vec()).unwrap(), it.value.map(<[u8]>::to_vec)))
                .collect(),
        }
    };
    records.map(owned).collect()
}

fn build(records: &[Record], seal: &Seal) -> Vec<u8> {
    let mut builder = BatchBuilder::with_capacity(16 * 1024);
    for it in records {
        let headers: Vec<_> = it
            .headers
            .iter()
            .map(|(key, value)| RecordHeader { key: key.as_bytes(), value: value.as_deref() })
            .collect();
        builder.append(Timestamp(it.timestamp), it.key.as_deref(), it.value.as_deref(), &headers);
    }
    builder.finish(seal).to_vec()
}

macro_rules! golden_files {
    ($($name:literal)*) => {
        &[$(($name, include_str!(concat!("golden/", $name, ".hex")))),*]
    };
}

const GOLDEN_FILES: &[(&str, &str)] = golden_files![
    "commit-marker"
    "idempotent"
    "log-append-time"
    "many-gzip"
    "many-gzip-level-1"
    "many-lz4"
    "many-lz4-level-17"
    "many-snappy"
    "many-zstd"
    "many-zstd-level-22"
    "placed"
    "sample-gzip"
    "sample-lz4"
    "sample-none"
    "sample-snappy"
    "sample-zstd"
    "transactional"
];

fn golden(name: &str) -> Vec<u8> {
    let (_, text) = GOLDEN_FILES.iter().find(|file| file.0 == name).unwrap();
    let text: String = text.split_whitespace().collect();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn parse(bytes: &[u8]) -> BatchView<'_> {
    let batch = BatchView::parse(bytes).unwrap();
    assert_eq!(batch.size(), bytes.len());
    batch.verify_crc().unwrap();
    assert_eq!(batch.header().write(), bytes[..BATCH_HEADER_SIZE]);
    batch
}

#[test]
fn every_compression_of_java_is_read() {
    let limits = ProduceLimits::default();
    for (set, expected, variants) in [
        ("sample", sample(), &["none", "gzip", "snappy", "lz4", "zstd"][..]),
        ("many", many(), &["gzip", "gzip-level-1", "snappy", "lz4", "lz4-level-17", "zstd", "zstd-level-22"]),
    ] {
        for variant in variants {
            let bytes = golden(&format!("{set}-{variant}"));
            let batch = parse(&bytes);
            let codec = batch.codec().unwrap();
            assert!(variant.starts_with(codec.name()), "{variant}");
            assert_eq!(read(&batch), expected, "{variant}");

            let valid = validate_produce(&bytes, &limits).unwrap();
            assert_eq!(valid.record_count as usize, expected.len());
            assert_eq!((valid.codec, valid.size), (codec, bytes.len()));
            assert_eq!(Some(valid.newest_timestamp.0), expected.iter().map(|it| it.timestamp).max());
            assert_eq!(valid.producer, None);
        }
    }
}

#[test]
fn batches_without_compression_are_built_to_the_same_bytes() {
    let producer =
        |base_sequence| Some(Producer { id: ProducerId(4711), epoch: ProducerEpoch(3), base_sequence });
    let plain = Seal::default();
    let idempotent = Seal { producer: producer(1234), ..plain };
    let transactional = Seal { producer: producer(i32::MAX - 2), is_transactional: true, ..plain };
    let placed =
        Seal { base_offset: Offset::new(5_000_000_000), leader_epoch: Some(LeaderEpoch(9)), ..plain };
    for (name, seal) in [
        ("sample-none", plain),
        ("idempotent", idempotent),
        ("transactional", transactional),
        ("placed", placed),
    ] {
        let bytes = golden(name);
        assert_eq!(build(&sample(), &seal), bytes, "{name}");
        assert_eq!(read(&parse(&bytes)), sample(), "{name}");
    }
}

#[test]
fn a_place_in_the_log_is_set_without_touching_the_checksum() {
    let mut bytes = golden("sample-none");
    let prefix = patched_prefix(&bytes, Offset::new(5_000_000_000), LeaderEpoch(9));
    bytes[..prefix.len()].copy_from_slice(&prefix);
    assert_eq!(bytes, golden("placed"));
}

#[test]
fn the_broker_stamps_as_java_does() {
    let appended_at = Timestamp(1_800_000_000_000);
    let mut bytes = golden("sample-none");
    let header = restamped_header(&bytes, TimestampType::LogAppendTime, appended_at);
    bytes[..BATCH_HEADER_SIZE].copy_from_slice(&header);
    let prefix = patched_prefix(&bytes, Offset::new(77), LeaderEpoch(9));
    bytes[..prefix.len()].copy_from_slice(&prefix);
    for bytes in [bytes, golden("log-append-time")] {
        let batch = parse(&bytes);
        assert_eq!(batch.header().attributes.timestamp_type(), TimestampType::LogAppendTime);
        assert!(read(&batch).iter().all(|it| it.timestamp == appended_at.0));
    }
}

#[test]
fn a_transaction_marker_is_a_control_batch_without_sequence() {
    let bytes = golden("commit-marker");
    let batch = parse(&bytes);
    let header = batch.header();
    assert!(header.attributes.is_control() && header.attributes.is_transactional());
    assert_eq!(
        header.producer,
        Some(Producer { id: ProducerId(4711), epoch: ProducerEpoch(3), base_sequence: -1 })
    );
    assert_eq!(header.leader_epoch, Some(LeaderEpoch(9)));
    assert_eq!((batch.base_offset(), batch.next_offset()), (Offset::new(42), Offset::new(43)));
    let refused = validate_produce(&bytes, &ProduceLimits::default());
    assert_eq!(refused, Err(BatchError::Invalid(Invalidity::ControlFromClient)));
}
