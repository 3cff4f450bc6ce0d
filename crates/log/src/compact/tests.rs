//! Passes over segments in memory, beside a model that has every record in a map.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use expect_test::{Expect, expect};
use klamm_model::{
    BatchBuilder, BatchHeader, Batches, Codec, Compression, LeaderEpoch, Offset, Producer, ProducerEpoch,
    ProducerId, RecordHeader, Seal, Tail as RunEnd, Timestamp, TransactionEnd, TransactionMark,
    patched_prefix, position,
};
use proptest::prelude::*;

use super::*;
use crate::disk::{SegmentId, SegmentVersion};
use crate::tests::PARTITION;
use crate::transactions::{self, AbortedLookup, AbortedTransaction};

/// The records of one offset each.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    timestamp: i64,
    header_count: usize,
}

/// A batch to be put into a log.
#[derive(Clone, Debug)]
struct Given {
    records: Vec<Record>,
    codec: Codec,
    producer: Option<(i64, i32)>,
    starts_epoch: bool,
    starts_segment: bool,
    is_transactional: bool,
}

/// Segments in memory.
#[derive(Clone, Debug, Default)]
struct Segments {
    segments: Vec<(Source, Vec<u8>)>,
    aborted: Vec<AbortedTransaction>,
    end: i64,
    epoch: i32,
}

fn segment_at(base: i64) -> SegmentVersion {
    SegmentVersion { id: SegmentId { partition: PARTITION, base: Offset::new(base) }, version: 0 }
}

impl Segments {
    fn append(&mut self, given: &Given) {
        let mut builder = BatchBuilder::default();
        for record in &given.records {
            let headers = vec![RecordHeader { key: b"h", value: None }; record.header_count];
            let (key, value) = (record.key.as_deref(), record.value.as_deref());
            builder.append(Timestamp(record.timestamp), key, value, &headers);
        }
        let producer = given.producer.map(|(id, base_sequence)| Producer {
            id: ProducerId(id),
            epoch: ProducerEpoch(0),
            base_sequence,
        });
        let compression = Compression::of(given.codec);
        let is_transactional = given.is_transactional;
        let seal = Seal { compression, producer, is_transactional, ..Seal::default() };
        self.epoch += i32::from(given.starts_epoch);
        self.append_bytes(&builder.finish(&seal), given.records.len(), given.starts_segment);
    }

    fn append_bytes(&mut self, batch: &[u8], count: usize, starts_segment: bool) {
        let mut batch = batch.to_vec();
        let prefix = patched_prefix(&batch, Offset::new(self.end), LeaderEpoch(self.epoch));
        batch[..prefix.len()].copy_from_slice(&prefix);
        if starts_segment || self.segments.is_empty() {
            let segment = segment_at(self.end);
            self.segments.push((Source { segment, size: 0, end: segment.id.base }, Vec::new()));
        }
        self.end += count as i64;
        let (source, bytes) = self.segments.last_mut().expect("there is one");
        bytes.extend_from_slice(&batch);
        (source.size, source.end) = (bytes.len() as u32, Offset::new(self.end));
    }

    fn read(&self, segment: SegmentVersion, at: u64, buffer: &mut [u8]) -> usize {
        let (_, bytes) = self.segments.iter().find(|(source, _)| source.segment == segment).expect("there");
        let rest = &bytes[at as usize..];
        let size = rest.len().min(buffer.len());
        buffer[..size].copy_from_slice(&rest[..size]);
        size
    }

    /// A whole pass. Gives how far it went, and whether anything changed.
    fn pass(&mut self, from: i64, bytes_max: u64, rules: &Rules, together: usize) -> (i64, bool) {
        let sources: Vec<Source> = self.segments.iter().map(|(source, _)| *source).collect();
        let first = sources.iter().position(|source| Offset::new(from) < source.end).unwrap_or(0);
        let job = MapKeys {
            sources: sources[first..].to_vec(),
            from: Offset::new(from),
            aborted: self.lookup(),
            bytes_max,
            sabotage: rules.sabotage,
        };
        let keys = map_keys(&job, &mut |segment, _, at, buffer| Ok(self.read(segment, at, buffer)));
        let keys = Arc::new(keys.expect("good segments"));
        let through = keys.through;
        let rules = Rules { keys, ..rules.clone() };
        let mut is_changed = false;
        let (mut segments, mut aborted, mut members) = (Vec::new(), Vec::new(), Arc::default());
        for sources in sources.chunks(together) {
            let job = Rewrite {
                sources: sources.to_vec(),
                rules: rules.clone(),
                aborted: self.lookup(),
                members: std::mem::take(&mut members),
                index_interval_bytes: 100,
            };
            let mut bytes = Vec::new();
            let rewritten = rewrite(
                &job,
                &mut |segment, _, at, buffer| Ok(self.read(segment, at, buffer)),
                &mut |more| {
                    bytes.extend_from_slice(more);
                    Ok(())
                },
            )
            .expect("good segments");
            assert_eq!(rewritten.size as usize, bytes.len());
            if !rewritten.is_changed {
                let before: Vec<u8> = self.bytes_of(sources);
                assert_eq!(before, bytes, "said to be unchanged");
            }
            is_changed |= rewritten.is_changed;
            let end = sources.last().expect("not empty").end;
            let segment = sources[0].segment;
            segments.push((Source { segment, size: rewritten.size, end }, bytes));
            let file = transactions::from_bytes(segment.id.base, &rewritten.aborted);
            aborted.extend(file.expect("a good file"));
            members = rewritten.members;
        }
        (self.segments, self.aborted) = (segments, aborted);
        (through.raw(), is_changed)
    }

    fn lookup(&self) -> AbortedLookup {
        AbortedLookup {
            from: Offset::ZERO,
            to: Offset::MAX,
            known: self.aborted.clone(),
            ..Default::default()
        }
    }

    fn bytes_of(&self, sources: &[Source]) -> Vec<u8> {
        let wanted = self.segments.iter().filter(|(source, _)| sources.contains(source));
        wanted.flat_map(|(_, bytes)| bytes.clone()).collect()
    }

    /// Every batch: its header and its records by offset.
    fn batches(&self) -> Vec<(BatchHeader, BTreeMap<i64, Record>)> {
        let mut found = Vec::new();
        let mut unpacked = Vec::new();
        let mut end = 0;
        for (source, bytes) in &self.segments {
            for batch in Batches::new(bytes, RunEnd::MustBeComplete) {
                let batch = batch.expect("whole");
                batch.verify_crc().expect("good");
                assert_eq!(batch.base_offset().raw(), end, "no hole");
                end = batch.next_offset().raw();
                let mut records = BTreeMap::new();
                for record in batch.records(&mut unpacked, 1 << 20).expect("unpacks") {
                    let record = record.expect("good");
                    let of_record = Record {
                        key: record.key.map(<[u8]>::to_vec),
                        value: record.value.map(<[u8]>::to_vec),
                        timestamp: record.timestamp.0,
                        header_count: record.headers.len(),
                    };
                    records.insert(record.offset.raw(), of_record);
                }
                found.push((*batch.header(), records));
            }
            assert_eq!(source.end.raw(), end);
        }
        assert_eq!(end, self.end);
        found
    }

    fn records(&self) -> BTreeMap<i64, Record> {
        self.batches().into_iter().flat_map(|(_, records)| records).collect()
    }

    /// Where each leader epoch begins.
    fn epochs(&self) -> Vec<(i64, i32)> {
        let mut epochs: Vec<(i64, i32)> = Vec::new();
        for (header, _) in self.batches() {
            let epoch = header.leader_epoch.expect("stored").0;
            if epochs.last().is_none_or(|(_, last)| *last != epoch) {
                epochs.push((header.base_offset.raw(), epoch));
            }
        }
        epochs
    }

    /// Of each batch that has a producer: whose it is, and its first sequence number and distance to the last.
    fn sequences(&self) -> BTreeSet<(i64, i32, u32)> {
        let sequence = |(header, _): (BatchHeader, _)| {
            let producer: Producer = header.producer?;
            Some((producer.id.0, producer.base_sequence, header.last_offset_delta))
        };
        self.batches().into_iter().filter_map(sequence).collect()
    }
}

fn rules(now: i64, delete_retention_ms: u64) -> Rules {
    let keys = Arc::new(Keys::new(Offset::ZERO, 0, false));
    Rules { keys, numbered: Arc::from([]), now: Timestamp(now), delete_retention_ms, sabotage: None }
}

/// What must be left, by the rules in their shortest form.
struct Model {
    records: BTreeMap<i64, Record>,
    /// First and last offset of the batches that may be compacted.
    batches: Vec<(i64, i64)>,
    /// When the tombstones of a batch may go, by its first offset.
    horizons: BTreeMap<i64, i64>,
}

impl Model {
    fn pass(&mut self, from: i64, through: i64, now: i64, delete_retention_ms: i64) {
        let mut newest = BTreeMap::new();
        for (offset, record) in self.records.range(from..through) {
            newest.insert(record.key.clone(), *offset);
        }
        for (first, last) in &self.batches {
            let horizon = self.horizons.get(first).copied();
            self.records.retain(|offset, record| {
                let is_of_batch = first <= offset && offset <= last && *offset < through;
                let is_newest = newest.get(&record.key).is_none_or(|newest| newest <= offset);
                let is_gone = record.value.is_none() && horizon.is_some_and(|horizon| horizon <= now);
                !is_of_batch || (record.key.is_some() && is_newest && !is_gone)
            });
            let has_tombstone =
                self.records.range(first..=last).any(|(offset, it)| *offset < through && it.value.is_none());
            if has_tombstone {
                self.horizons.entry(*first).or_insert(now + delete_retention_ms);
            }
        }
    }
}

fn any_record() -> impl Strategy<Value = Record> {
    let key = prop::option::weighted(0.95, 0..12_u8).prop_map(|key| key.map(|key| vec![b'k', key]));
    let value = prop::option::weighted(0.8, 0..5_usize).prop_map(|size| size.map(|size| vec![b'v'; size]));
    (key, value, 1_000..2_000_i64, 0..2_usize).prop_map(|(key, value, timestamp, header_count)| Record {
        key,
        value,
        timestamp,
        header_count,
    })
}

fn any_batch() -> impl Strategy<Value = Given> {
    (
        prop::collection::vec(any_record(), 1..6),
        prop::sample::select(&Codec::ALL[..]),
        prop::option::of((0..3_i64, 0..1000_i32)),
        prop::bool::weighted(0.15),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(records, codec, producer, starts_epoch, starts_segment, is_transactional)| Given {
            records,
            codec,
            producer: producer.or(is_transactional.then_some((9, 0))),
            starts_epoch,
            starts_segment,
            is_transactional,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the log, after each of several passes exactly those records are left that must be, at their offsets, and no hole.
    #[test]
    fn the_last_value_of_each_key_stays(
        runs in prop::collection::vec((prop::collection::vec(any_batch(), 1..25), 1..4_usize, 0..200_i64), 1..4),
        keep_numbered in any::<bool>(),
    ) {
        let mut log = Segments::default();
        let (records, batches) = (BTreeMap::new(), Vec::new());
        let mut model = Model { records, batches, horizons: BTreeMap::new() };
        let (mut from, mut now) = (0, 10_000);
        for (given, together, later) in runs {
            for batch in &given {
                let first = log.end;
                log.append(batch);
                model.records.extend((first..).zip(batch.records.iter().cloned()));
                model.batches.push((first, log.end - 1));
            }
            now += later;
            let (epochs, sequences) = (log.epochs(), log.sequences());
            let numbered = log.batches().iter().filter(|(header, _)| header.producer.is_some())
                .map(|(header, _)| header.base_offset).collect();
            let numbered = if keep_numbered { numbered } else { Arc::from([]) };
            let (through, _) = log.pass(from, 0, &Rules { numbered, ..rules(now, 100) }, together);
            prop_assert_eq!(through, log.end, "there is room for all keys");
            model.pass(from, through, now, 100);
            prop_assert_eq!(&log.records(), &model.records);
            let (epochs_after, sequences_after) = (log.epochs(), log.sequences());
            prop_assert_eq!(epochs_after, epochs);
            prop_assert!(sequences_after.is_subset(&sequences));
            prop_assert!(!keep_numbered || sequences_after == sequences);
            from = through;
        }
        // What nothing was added to stays as it is, once its tombstones are gone.
        log.pass(from, 0, &rules(now + 1000, 100), 1);
        let (_, is_changed) = log.pass(from, 0, &rules(now + 1000, 100), 1);
        prop_assert!(!is_changed);
    }
}

/// `batch KEY=VALUE…` (no value: a tombstone), `segment`, `producer ID SEQ` for the next batch, `pass FROM NOW`; then what is there.
#[expect(clippy::needless_pass_by_value, reason = "cases read better")]
fn check(script: &str, expected: Expect) {
    let mut log = Segments::default();
    let mut text = String::new();
    let (mut starts_segment, mut producer) = (false, None);
    let mut numbered = Vec::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["segment"] => starts_segment = true,
            ["producer", id, sequence] => {
                producer = Some((id.parse().expect("id"), sequence.parse().expect("sequence")));
                numbered.push(Offset::new(log.end));
            }
            ["batch", ..] => {
                let record = |word: &&str| {
                    let (key, value) = word.split_once('=').unwrap_or((word, ""));
                    let value = (!value.is_empty()).then(|| value.as_bytes().to_vec());
                    Record { key: Some(key.into()), value, timestamp: 500, header_count: 0 }
                };
                let records = words[1..].iter().map(record).collect();
                let codec = Codec::None;
                let (starts_epoch, is_transactional) = (false, false);
                log.append(&Given {
                    records,
                    codec,
                    producer: producer.take(),
                    starts_epoch,
                    starts_segment,
                    is_transactional,
                });
                starts_segment = false;
            }
            ["pass", from, now] => {
                let rules =
                    Rules { numbered: numbered.clone().into(), ..rules(now.parse().expect("ms"), 100) };
                let (through, is_changed) = log.pass(from.parse().expect("offset"), 0, &rules, 2);
                let _ = writeln!(
                    text,
                    "{line}: through {through}{}",
                    if is_changed { "" } else { ", unchanged" }
                );
                for (header, records) in log.batches() {
                    let _ = write!(text, "  {}..{}", header.base_offset, header.last_offset());
                    if let Some(horizon) = header.delete_horizon() {
                        let _ = write!(text, " until {horizon}");
                    }
                    for (offset, record) in records {
                        let part = |part: Option<Vec<u8>>| {
                            String::from_utf8(part.unwrap_or_default()).expect("text")
                        };
                        let _ = write!(text, " {offset}:{}={}", part(record.key), part(record.value));
                    }
                    text.push('\n');
                }
            }
            _ => panic!("{line:?}"),
        }
    }
    expected.assert_eq(&text);
}

#[test]
fn older_values_go_and_their_offsets_are_taken_by_one_empty_batch() {
    check(
        "batch a=1 b=1\n batch a=2\n batch a=3 c=1\n pass 0 0\n segment\n batch b=2\n batch a=4\n pass 5 0",
        expect![[r#"
            pass 0 0: through 5
              0..1 1:b=1
              2..2
              3..4 3:a=3 4:c=1
            pass 5 0: through 7
              0..2
              3..4 4:c=1
              5..5 5:b=2
              6..6 6:a=4
        "#]],
    );
}

#[test]
fn a_tombstone_stays_for_its_time_from_its_first_pass_on() {
    check(
        "batch a=1 b=1\n batch a\n pass 0 1000\n pass 3 1099\n pass 3 1100",
        expect![[r#"
            pass 0 1000: through 3
              0..1 1:b=1
              2..2 until 1100 2:a=
            pass 3 1099: through 3, unchanged
              0..1 1:b=1
              2..2 until 1100 2:a=
            pass 3 1100: through 3
              0..1 1:b=1
              2..2
        "#]],
    );
}

#[test]
fn a_producers_batch_stays_without_records() {
    check(
        "producer 7 0\n batch a=1\n batch a=2\n pass 0 0\n pass 2 0",
        expect![[r#"
        pass 0 0: through 2
          0..0
          1..1 1:a=2
        pass 2 0: through 2, unchanged
          0..0
          1..1 1:a=2
    "#]],
    );
}

/// Aborted records go and displace nothing; committed ones are like others. A mark stays while there is something of its transaction, one pass more, in which its time
/// begins, and until that is over.
#[test]
fn of_an_aborted_transaction_the_records_go_first_and_then_the_mark() {
    let mut log = Segments::default();
    let append = |log: &mut Segments, value: &str, producer: Option<(i64, i32)>| {
        let value = Some(value.as_bytes().to_vec());
        log.append(&Given {
            records: vec![Record { key: Some(b"k".to_vec()), value, timestamp: 1, header_count: 0 }],
            codec: Codec::None,
            producer,
            starts_epoch: false,
            starts_segment: true,
            is_transactional: producer.is_some(),
        });
    };
    let end = |log: &mut Segments, id: i64, first: i64, end: TransactionEnd| {
        let mark = Offset::new(log.end);
        let (producer, first, stable) = (ProducerId(id), Offset::new(first), mark.advance(1));
        if end == TransactionEnd::Abort {
            log.aborted.push(AbortedTransaction { producer, first, mark, stable });
        }
        let said = TransactionMark { end, coordinator_epoch: LeaderEpoch(0) };
        log.append_bytes(&said.to_batch(producer, ProducerEpoch(0), Timestamp(1)).1, 1, false);
    };
    append(&mut log, "older", None);
    append(&mut log, "aborted", Some((1, 0)));
    end(&mut log, 1, 1, TransactionEnd::Abort);
    let mut seen = Vec::new();
    let mut pass = |log: &mut Segments, now: i64| {
        log.pass(0, 0, &rules(now, 100), 1);
        let values = log.records().into_iter().map(|(offset, it)| {
            let value = it.value.unwrap_or_default();
            format!(
                "{offset}:{}",
                if value.len() == 6 { "mark" } else { std::str::from_utf8(&value).unwrap_or("?") }
            )
        });
        seen.push(format!("{now}: {} {:?}", values.collect::<Vec<_>>().join(" "), log.aborted.len()));
    };
    pass(&mut log, 1000);
    pass(&mut log, 1050);
    append(&mut log, "committed", Some((2, 0)));
    end(&mut log, 2, 3, TransactionEnd::Commit);
    pass(&mut log, 1149);
    pass(&mut log, 1150);
    append(&mut log, "newer", None);
    for now in [1200, 1300, 1400] {
        pass(&mut log, now);
    }
    expect![[r#"
        1000: 0:older 2:mark 1
        1050: 0:older 2:mark 1
        1149: 2:mark 3:committed 4:mark 1
        1150: 3:committed 4:mark 0
        1200: 4:mark 5:newer 0
        1300: 4:mark 5:newer 0
        1400: 5:newer 0"#]]
    .assert_eq(&seen.join("\n"));
}

#[test]
fn a_pass_without_room_for_all_keys_cleans_as_far_as_it_has_them() {
    let mut log = Segments::default();
    let key = |key: u32| Record {
        key: Some(key.to_be_bytes().to_vec()),
        value: Some(b"v".to_vec()),
        timestamp: 1,
        header_count: 0,
    };
    let given = |records| Given {
        records,
        codec: Codec::None,
        producer: None,
        starts_epoch: false,
        starts_segment: false,
        is_transactional: false,
    };
    // 28,672 keys have room; batches have 1,000, the first 500 of them the same in all.
    for at in 0..60_u32 {
        log.append(&given((0..500).chain(1000 + at * 500..1500 + at * 500).map(key).collect()));
    }
    let (through, _) = log.pass(0, 0, &rules(0, 0), 1);
    assert_eq!(through, 56_000, "500 keys and 500 new ones for each of 56 batches");
    let records = log.records();
    assert_eq!(records.range(56_000..).count(), 4000, "from the first batch without room on, all is there");
    assert_eq!(records.range(..56_000).count(), 56 * 500, "before, only the keys that occur once");
    let (through, _) = log.pass(through, 0, &rules(0, 0), 1);
    assert_eq!((through, log.records().len()), (60_000, 60 * 500 + 500));
}

#[test]
fn damage_ends_a_pass_and_is_told() {
    let mut log = Segments::default();
    for at in 0..3_u8 {
        let record = Record { key: Some(vec![at]), value: None, timestamp: 1, header_count: 0 };
        let (codec, producer) = (Codec::None, None);
        let (starts_epoch, starts_segment, is_transactional) = (false, false, false);
        log.append(&Given {
            records: vec![record],
            codec,
            producer,
            starts_epoch,
            starts_segment,
            is_transactional,
        });
    }
    let sources: Vec<Source> = log.segments.iter().map(|(source, _)| *source).collect();
    let size = log.segments[0].1.len();
    for at in 0..size {
        // Leader epochs are in no checksum; Klamm finds other epochs by comparing with its list of them.
        if (position::LEADER_EPOCH..position::MAGIC).contains(&(at % (size / 3))) {
            continue;
        }
        let mut damaged = log.clone();
        damaged.segments[0].1[at] ^= 0x10;
        let (sources, aborted) = (sources.clone(), AbortedLookup::default());
        let job = MapKeys { sources, from: Offset::ZERO, aborted, bytes_max: 0, sabotage: None };
        let mapped = map_keys(&job, &mut |segment, _, at, buffer| Ok(damaged.read(segment, at, buffer)));
        let batch = at / (size / 3) * (size / 3);
        match mapped {
            Err(CompactError::Damaged { position, .. }) => assert_eq!(position as usize, batch, "byte {at}"),
            other => panic!("byte {at}: {other:?}"),
        }
    }
}
