//! `klamm log`, on files that were made byte by byte and on those of a broker.

use std::fs;
use std::path::{Path, PathBuf};

use expect_test::{Expect, expect};
use klamm_model::{
    BatchBuilder, Codec, Compression, LeaderEpoch, Offset, Producer, ProducerEpoch, ProducerId, RecordHeader,
    Seal, Timestamp,
};

use crate::broker::{Answer, Broker, klamm};

const SEGMENT: &str = "00000000000000000010.log";

/// A directory with a segment of three batches from offset 10 on, and whatever else is put there.
struct Directory(tempfile::TempDir);

impl Directory {
    fn new() -> Self {
        let directory = Self(tempfile::tempdir().expect("a temporary directory"));
        let mut bytes = batch(10, 3, Codec::None, None);
        bytes.extend(batch(13, 2, Codec::Zstd, Some(7)));
        bytes.extend(batch(20, 1, Codec::Gzip, None));
        directory.put(SEGMENT, &bytes);
        directory
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).expect("a file can be written");
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).expect("a file can be read")
    }

    fn klamm(&self, arguments: &[&str], file: &str) -> Answer {
        let path = self.path(file);
        klamm(&[arguments, &[path.to_str().expect("a plain path")]].concat())
    }

    #[track_caller]
    fn check(&self, arguments: &[&str], file: &str, expected: &Expect) {
        let directory = self.0.path().to_str().expect("a plain path");
        self.klamm(arguments, file).expect(&[(directory, "DIR")], expected);
    }
}

fn batch(base: i64, count: i64, codec: Codec, producer: Option<i64>) -> Vec<u8> {
    let mut builder = BatchBuilder::default();
    for offset in base..base + count {
        let key = format!("key {offset}");
        let header = RecordHeader { key: b"source", value: Some(b"a test") };
        builder.append(
            Timestamp(1_795_473_000_000 + offset),
            Some(key.as_bytes()),
            Some(b"\xff\"value"),
            &[header],
        );
    }
    let producer =
        producer.map(|id| Producer { id: ProducerId(id), epoch: ProducerEpoch(0), base_sequence: 40 });
    let seal = Seal {
        base_offset: Offset::new(base),
        leader_epoch: Some(LeaderEpoch(2)),
        compression: Compression::of(codec),
        producer,
        ..Seal::default()
    };
    builder.finish(&seal).to_vec()
}

fn index(entries: &[(u32, u32)]) -> Vec<u8> {
    entries
        .iter()
        .flat_map(|(offset, position)| [offset.to_be_bytes(), position.to_be_bytes()])
        .flatten()
        .collect()
}

#[test]
fn a_dump_has_a_line_for_each_batch_and_record() {
    let directory = Directory::new();
    directory.check(&["log", "dump"], SEGMENT, &expect![[r#"
        DIR/00000000000000000010.log: segment, 397 bytes
        offsets 10 to 12  records 3  position 0  size 163  codec none  newest 2026-11-23T22:30:00.012Z  epoch 2
        offsets 13 to 14  records 2  position 163  size 119  codec zstd  newest 2026-11-23T22:30:00.014Z  epoch 2  producer 7 epoch 0 sequence 40
        offsets 20 to 20  records 1  position 282  size 115  codec gzip  newest 2026-11-23T22:30:00.020Z  epoch 2
    "#]]);
    directory.check(&["log", "dump", "--records"], SEGMENT, &expect![[r#"
        DIR/00000000000000000010.log: segment, 397 bytes
        offsets 10 to 12  records 3  position 0  size 163  codec none  newest 2026-11-23T22:30:00.012Z  epoch 2
          offset 10  2026-11-23T22:30:00.010Z  key "key 10"  value "�\"value"  header source="a test"
          offset 11  2026-11-23T22:30:00.011Z  key "key 11"  value "�\"value"  header source="a test"
          offset 12  2026-11-23T22:30:00.012Z  key "key 12"  value "�\"value"  header source="a test"
        offsets 13 to 14  records 2  position 163  size 119  codec zstd  newest 2026-11-23T22:30:00.014Z  epoch 2  producer 7 epoch 0 sequence 40
          offset 13  2026-11-23T22:30:00.013Z  key "key 13"  value "�\"value"  header source="a test"
          offset 14  2026-11-23T22:30:00.014Z  key "key 14"  value "�\"value"  header source="a test"
        offsets 20 to 20  records 1  position 282  size 115  codec gzip  newest 2026-11-23T22:30:00.020Z  epoch 2
          offset 20  2026-11-23T22:30:00.020Z  key "key 20"  value "�\"value"  header source="a test"
    "#]]);
}

#[test]
fn what_a_terminal_would_obey_is_dumped_as_a_text() {
    let directory = Directory::new();
    let mut builder = BatchBuilder::default();
    let header = RecordHeader { key: b"bell\x07\n", value: Some("\u{9b}2J".as_bytes()) };
    builder.append(Timestamp(1_795_473_000_000), None, Some(b"\x1b[31mred"), &[header]);
    directory.put(SEGMENT, &builder.finish(&Seal::default()));
    let dumped = directory.klamm(&["log", "dump", "--records"], SEGMENT).code(0);
    let hidden = dumped.stdout.chars().find(|it| it.is_control() && *it != '\n');
    assert_eq!(hidden, None, "{}", dumped.stdout);
    assert!(dumped.stdout.contains(r"bell\u{7}\n"), "{}", dumped.stdout);
    assert!(dumped.stdout.contains("[31mred"), "{}", dumped.stdout);
}

#[test]
fn a_dump_for_programs_has_an_object_for_each() {
    let directory = Directory::new();
    let dumped = directory.klamm(&["log", "dump", "--records", "--format", "json"], SEGMENT).code(0);
    let objects: Vec<serde_json::Value> =
        dumped.stdout.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect();
    let kinds: Vec<_> = objects.iter().filter_map(|object| object["type"].as_str()).collect();
    assert_eq!(
        kinds,
        ["file", "batch", "record", "record", "record", "batch", "record", "record", "batch", "record"]
    );
    assert_eq!(objects[5]["producer_id"], 7);
    assert_eq!(objects[2]["value_base64"], "/yJ2YWx1ZQ==");
    assert_eq!(objects[2]["headers"][0]["value"], "a test");
}

#[test]
fn small_files_are_dumped_too() {
    let directory = Directory::new();
    directory.put("leader-epoch-checkpoint", b"0\n2\n0 0\n2 10\n");
    directory.put("partition.metadata", b"version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ\n");
    directory.put("00000000000000000010.index", &index(&[(4, 0), (0, 0)]));
    directory.put("replication-offset-checkpoint", b"0\n1\norders 3 17\n");
    directory.put(
        "00000000000000000010.timeindex",
        &[&1_795_473_000_012_i64.to_be_bytes()[..], &[0, 0, 0, 2]].concat(),
    );
    directory.check(&["log", "dump"], "", &expect![[r#"
        DIR/00000000000000000010.log: segment, 397 bytes
        offsets 10 to 12  records 3  position 0  size 163  codec none  newest 2026-11-23T22:30:00.012Z  epoch 2
        offsets 13 to 14  records 2  position 163  size 119  codec zstd  newest 2026-11-23T22:30:00.014Z  epoch 2  producer 7 epoch 0 sequence 40
        offsets 20 to 20  records 1  position 282  size 115  codec gzip  newest 2026-11-23T22:30:00.020Z  epoch 2

        DIR/00000000000000000010.index: index, 16 bytes
        offset 14  position 0

        DIR/00000000000000000010.timeindex: time-index, 12 bytes
        timestamp 1795473000012 (2026-11-23T22:30:00.012Z)  offset 12

        DIR/leader-epoch-checkpoint: leader-epochs, 13 bytes
        epoch 0  from offset 0
        epoch 2  from offset 10

        DIR/partition.metadata: partition-metadata, 44 bytes
        topic id <id>

        DIR/replication-offset-checkpoint: offset-checkpoint, 16 bytes
        orders-3  offset 17
    "#]]);
}

#[test]
fn what_is_good_is_said_to_be() {
    let directory = Directory::new();
    let first = directory.bytes(SEGMENT).len() as u32;
    assert!(first > 200, "the batches are where the index says: {first}");
    directory.put("00000000000000000010.index", &index(&[(2, 0), (0, 0)]));
    directory.put(
        "00000000000000000010.timeindex",
        &[&1_795_473_000_012_i64.to_be_bytes()[..], &[0, 0, 0, 2]].concat(),
    );
    directory.put("00000000000000000021.log", &batch(21, 5, Codec::Lz4, None));
    directory.check(
        &["log", "verify", "--verbose"],
        "",
        &expect![[r#"
            DIR/00000000000000000010.log: good: 3 batches, 6 records, offsets 10 to 21, 397 B
            DIR/00000000000000000010.index: good: 1 entry
            DIR/00000000000000000010.timeindex: good: 1 entry
            DIR/00000000000000000021.log: good: 1 batch, 5 records, offsets 21 to 26, 159 B
            4 files, 584 B: 4 batches, 11 records
        "#]],
    );
    let report = directory.klamm(&["log", "verify", "--format", "json"], SEGMENT).code(0).json();
    assert_eq!(report[0]["good"], true);
    assert_eq!(report[0]["contents"]["records"], 6);
    assert_eq!(report[0]["contents"]["end"], 21);
}

#[test]
fn the_first_damage_ends_it_and_all_is_found_on_demand() {
    let directory = Directory::new();
    let mut bytes = directory.bytes(SEGMENT);
    let second = batch(10, 3, Codec::None, None).len();
    bytes[second + 70] ^= 1;
    let end = bytes.len();
    bytes.truncate(end - 5);
    directory.put(SEGMENT, &bytes);
    directory.put("00000000000000000010.index", &index(&[(4, 7)]));
    directory.put("00000000000000000015.log", &batch(15, 5, Codec::Snappy, None));
    directory.check(&["log", "verify"], "", &expect![[r#"
        DIR/00000000000000000010.log: damaged: position 163: batch at offset 13: corrupt batch: checksum 57562762, the header says 90d09960
        1 file, 392 B: 2 batches, 3 records
        klamm: 1 of 1 file damaged, 2 not looked at: --all does
        exit code 1
    "#]]);
    directory.check(&["log", "verify", "--all"], "", &expect![[r#"
        DIR/00000000000000000010.log: damaged: position 163: batch at offset 13: corrupt batch: checksum 57562762, the header says 90d09960
        DIR/00000000000000000010.log: damaged: position 282: the batch is cut off: 110 bytes of 115
        DIR/00000000000000000010.index: note: not compared with its segment, which is damaged
        3 files, 561 B: 3 batches, 8 records
        klamm: 1 of 3 files damaged
        exit code 1
    "#]]);
    directory.check(&["log", "dump"], SEGMENT, &expect![[r#"
        DIR/00000000000000000010.log: segment, 392 bytes
        offsets 10 to 12  records 3  position 0  size 163  codec none  newest 2026-11-23T22:30:00.012Z  epoch 2
        offsets 13 to 14  records 2  position 163  size 119  codec zstd  newest 2026-11-23T22:30:00.014Z  epoch 2  producer 7 epoch 0 sequence 40
        klamm: DIR/00000000000000000010.log: position 163: corrupt batch: checksum 57562762, the header says 90d09960
        klamm: DIR/00000000000000000010.log: position 282: the batch is cut off: 110 bytes of 115
        exit code 1
    "#]]);
}

#[test]
fn an_index_that_leads_elsewhere_is_damaged() {
    let directory = Directory::new();
    directory.put("00000000000000000010.index", &index(&[(4, 7)]));
    directory.check(&["log", "verify"], "00000000000000000010.index", &expect![[r#"
        DIR/00000000000000000010.index: damaged: position 0: offset 14 is at 7, where no batch of the segment begins
        klamm: 1 of 1 file damaged
        exit code 1
    "#]]);
}

/// The header of one batch and the body of another: the index knows where to go on.
#[test]
fn what_lies_behind_damage_is_looked_at_too() {
    let directory = Directory::new();
    let mut bytes = directory.bytes(SEGMENT);
    bytes[163 + 16] = 9;
    bytes[282 + 70] ^= 1;
    directory.put(SEGMENT, &bytes);
    directory.put("00000000000000000010.index", &index(&[(10, 282)]));
    let ranges = "0\n10 13 15 163 282\n";
    let checksum = klamm_model::crc32c(ranges.as_bytes());
    directory.put("damaged-ranges", format!("{ranges}{checksum:08x}\n").as_bytes());
    directory.check(&["log", "verify", "--all"], SEGMENT, &expect![[r#"
        DIR/00000000000000000010.log: damaged: position 163: no batch begins here: message format 9, only 2 is supported
        DIR/00000000000000000010.log: damaged: position 282: batch at offset 20: corrupt batch: checksum c0fbb3f1, the header says ae6b9740
        klamm: 1 of 1 file damaged
        exit code 1
    "#]]);
    directory.check(
        &["log", "dump"],
        "damaged-ranges",
        &expect![[r#"
            DIR/damaged-ranges: damaged-ranges, 28 bytes
            offsets 13 to 14  segment 10  position 163  size 119
        "#]],
    );
}

#[test]
fn zeros_at_the_end_are_what_was_not_written_yet() {
    let directory = Directory::new();
    let mut bytes = directory.bytes(SEGMENT);
    bytes.resize(bytes.len() + 1_000, 0);
    directory.put(SEGMENT, &bytes);
    directory.check(
        &["log", "verify"],
        SEGMENT,
        &expect![[r#"
        DIR/00000000000000000010.log: good: 3 batches, 6 records, offsets 10 to 21, 1.4 KiB
        DIR/00000000000000000010.log: note: 1000 bytes of zeros at the end
    "#]],
    );
}

#[test]
fn other_files_and_none_are_refused() {
    let directory = Directory::new();
    directory.put("notes.txt", b"hello");
    directory.check(
        &["log", "verify"],
        "notes.txt",
        &expect![[r#"
        klamm: DIR/notes.txt: no file of a log has such a name; see `klamm log --help`
        exit code 2
    "#]],
    );
    directory.check(
        &["log", "dump"],
        "missing.log",
        &expect![[r#"
        klamm: DIR/missing.log: No such file or directory (os error 2)
        exit code 1
    "#]],
    );
    fs::create_dir(directory.path("empty")).expect("a directory can be made");
    directory.check(
        &["log", "verify"],
        "empty",
        &expect![[r#"
        klamm: DIR/empty: there is no file of a log in it
        exit code 1
    "#]],
    );
}

#[test]
fn everything_that_a_broker_leaves_is_good_until_a_bit_is_flipped() {
    let mut broker = Broker::start();
    broker.ok(&["topic", "create", "t", "-c", "segment.bytes=1048576"]);
    let line = "x".repeat(1_000) + "\n";
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        broker.ok_with_input(&["produce", "t", "-z", codec, "--acks", "all"], &line.repeat(1_000));
    }
    broker.stop();
    let data = broker.data_dir().to_str().expect("a plain path").to_owned();
    let reports = klamm(&["log", "verify", &data, "--format", "json"]).code(0).json();
    let records: i64 = reports
        .as_array()
        .expect("a list")
        .iter()
        .filter(|report| report["file"].as_str().is_some_and(|file| file.contains("/t-0/")))
        .filter_map(|report| report["contents"]["records"].as_i64())
        .sum();
    assert_eq!(records, 5_000);
    let kinds = |wanted: &str| {
        reports.as_array().expect("a list").iter().filter(|report| report["kind"] == wanted).count()
    };
    assert!(kinds("segment") > 1 && kinds("index") > 0 && kinds("snapshot") > 0, "{reports}");

    let segment = broker.data_dir().join("t-0/00000000000000000000.log");
    flip(&segment, 500);
    klamm(&["log", "verify", &data]).code(1).says(
        "/t-0/00000000000000000000.log: damaged: position 0: batch at offset 0: corrupt batch: checksum",
    );
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("a file can be read");
    bytes[at] ^= 1;
    fs::write(path, bytes).expect("a file can be written");
}
