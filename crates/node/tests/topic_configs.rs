//! Configs of topics that change while records come: what the node has its disk do from then on. Cases are scripts:
//!
//! ```text
//! create [KEY=VALUE…]     the topic
//! set KEY=VALUE…          KEY= is the default again
//! append [SIZE]           a record of this moment, of so many bytes; whether it was taken, or still waits for the disk to sync
//! wait MS                 time passes
//! ```
//! Under each line stands what the disk was told meanwhile. Writes, syncs and what a log notes for its next start are left out.

use std::fmt::Write;

use crate::world::{World, batch};
use expect_test::{Expect, expect};
use klamm_log::{DiskAction, DiskError, Done, FileKind, LogConfig, SegmentId, SegmentVersion, compact};
use klamm_model::{BatchBuilder, ErrorCode, PartitionIndex, Seal, Timestamp, TopicPartition};
use klamm_node::Event;
use klamm_wire::{
    DeleteRecordsRequest, Request, Response,
    delete_records::{DeleteRecordsPartition, DeleteRecordsTopic},
};

impl World {
    fn run(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let told = match words.as_slice() {
            ["create", configs @ ..] => {
                let configs: Vec<_> =
                    configs.iter().map(|it| it.split_once('=').expect("key=value")).collect();
                self.create_with("t", 1, &configs);
                String::new()
            }
            ["set", configs @ ..] => {
                self.set("t", configs);
                String::new()
            }
            ["append", size @ ..] => {
                let size = size.first().map_or(10, |it| it.parse().expect("a size"));
                return self.append(size);
            }
            ["wait", ms] => {
                let ms: u64 = ms.parse().expect("a time");
                // In steps, as time passes: what is due is done, and what follows from it later on.
                for _ in 0..10 {
                    self.wall = Timestamp(self.wall.0 + ms as i64 / 10);
                    self.wait_ms(ms / 10);
                }
                String::new()
            }
            _ => panic!("{line}"),
        };
        told + &self.disk_told()
    }

    fn append(&mut self, size: usize) -> String {
        let mut builder = BatchBuilder::with_capacity(size);
        builder.append(self.wall, Some(b"key"), Some(&vec![0; size]), &[]);
        let sequence = self.produce("t", -1, builder.finish(&Seal::default()));
        let without_sync = self.disk_but(|action| matches!(action, DiskAction::Sync { .. }));
        let waits = !self.replies.iter().any(|(to, _)| *to == sequence);
        let told = without_sync + &self.disk_told();
        let code = self.produced(sequence).0.name();
        format!("{code}{}{told}", if waits { " once synced" } else { "" })
    }

    fn disk_told(&mut self) -> String {
        self.disk_but(|_| false)
    }

    /// Ends what the disk was told, but for what is to wait.
    fn disk_but(&mut self, waits: fn(&DiskAction) -> bool) -> String {
        let mut told = String::new();
        while let Some(at) = self.disk.iter().position(|op| !waits(&op.action)) {
            let op = self.disk.remove(at).expect("it was just found");
            if op.partition.topic == self.topic() {
                told += &described(&op.action);
            }
            let result = Ok(self.perform(&op.action));
            self.step(Event::Disk { partition: op.partition, op: op.id, result });
        }
        told
    }

    /// Compaction goes through what was written.
    fn perform(&mut self, action: &DiskAction) -> Done {
        self.write(action);
        let mut read = |segment: SegmentVersion, _: FileKind, position: u64, buffer: &mut [u8]| {
            let file = self.files.iter().find(|(id, _)| *id == segment.id).map(|(_, file)| &file[..]);
            let bytes = file.and_then(|file| file.get(position as usize..)).unwrap_or_default();
            let size = bytes.len().min(buffer.len());
            buffer[..size].copy_from_slice(&bytes[..size]);
            Ok(size)
        };
        match action {
            DiskAction::MapKeys(job) => {
                Done::Keys(compact::map_keys(job, &mut read).expect("good records").into())
            }
            DiskAction::Rewrite(job) => {
                let mut written = Vec::new();
                let mut write = |bytes: &[u8]| {
                    written.extend_from_slice(bytes);
                    Ok(())
                };
                let rewritten = compact::rewrite(job, &mut read, &mut write).expect("good records");
                self.cleaned = written;
                Done::Rewritten(Box::new(rewritten))
            }
            DiskAction::Swap { segment, .. } => {
                let cleaned = std::mem::take(&mut self.cleaned);
                let known = self.files.iter_mut().find(|(id, _)| *id == segment.id);
                known.expect("a segment that was written").1 = cleaned;
                Done::Nothing
            }
            _ => Done::Nothing,
        }
    }

    fn topic(&self) -> klamm_model::TopicId {
        self.node.image().topic_named("t").expect("the topic of the script").id
    }

    fn log_config(&self) -> LogConfig {
        let key = TopicPartition { topic: self.topic(), partition: PartitionIndex(0) };
        *self.node.replica(key).expect("a partition of this node").log().config()
    }
}

fn described(action: &DiskAction) -> String {
    let bases = |segments: &[SegmentId]| {
        let bases: Vec<_> = segments.iter().map(|it| it.base.raw().to_string()).collect();
        bases.join(", ")
    };
    match action {
        DiskAction::Seal { segment, next, index, .. } => {
            let entries = index.len() / 8;
            format!("; segment {} ends at {next}, with {entries} index entries", segment.base)
        }
        DiskAction::Retire { segments } => format!("; segment {} leaves the log", bases(segments)),
        DiskAction::Remove { segments, .. } if !segments.is_empty() => {
            format!("; segment {} is removed", bases(segments))
        }
        DiskAction::MapKeys(_) => "; compaction begins".to_owned(),
        _ => String::new(),
    }
}

fn check(script: &str, expected: &Expect) {
    check_with(&[], script, expected);
}

/// With configs of the broker.
fn check_with(given: &[(&str, &str)], script: &str, expected: &Expect) {
    let mut world = World::with(|config| {
        for (name, value) in given {
            config.give(name, value).expect("a config of a broker");
        }
    });
    let mut output = String::new();
    for line in script.lines().map(str::trim) {
        let told = world.run(line);
        writeln!(output, "{line}: {}", told.trim_start_matches("; ")).expect("a text takes text");
    }
    expected.assert_eq(&output.replace(": \n", "\n"));
}

#[test]
fn segments_end_by_size() {
    check(
        "create
         append 600000
         append 600000
         set segment.bytes=1048576
         append 600000
         append 600000
         set segment.bytes=
         append 600000",
        &expect![[r#"
            create
            append 600000: NONE once synced
            append 600000: NONE once synced
            set segment.bytes=1048576
            append 600000: NONE once synced; segment 0 ends at 2, with 1 index entries
            append 600000: NONE once synced; segment 2 ends at 3, with 0 index entries
            set segment.bytes=
            append 600000: NONE once synced
        "#]],
    );
}

#[test]
fn segments_end_by_age() {
    check(
        "create
         append
         wait 5000
         append
         set segment.ms=3000
         append
         append
         wait 5000
         append
         set segment.ms=
         wait 5000
         append",
        &expect![[r#"
            create
            append: NONE once synced
            wait 5000
            append: NONE once synced
            set segment.ms=3000
            append: NONE once synced; segment 0 ends at 2, with 0 index entries
            append: NONE once synced
            wait 5000
            append: NONE once synced; segment 2 ends at 4, with 0 index entries
            set segment.ms=
            wait 5000
            append: NONE once synced
        "#]],
    );
}

#[test]
fn a_full_index_ends_a_segment_and_its_entries_lie_as_far_apart_as_they_are_to() {
    check(
        "create index.interval.bytes=0 segment.index.bytes=24
         append
         append
         append
         append
         append
         set index.interval.bytes=100000
         append
         append
         append
         append
         append
         set segment.ms=1
         wait 1000
         append",
        &expect![[r#"
            create index.interval.bytes=0 segment.index.bytes=24
            append: NONE once synced
            append: NONE once synced
            append: NONE once synced; segment 0 ends at 2, with 1 index entries
            append: NONE once synced
            append: NONE once synced; segment 2 ends at 4, with 1 index entries
            set index.interval.bytes=100000
            append: NONE once synced
            append: NONE once synced
            append: NONE once synced
            append: NONE once synced
            append: NONE once synced
            set segment.ms=1
            wait 1000
            append: NONE once synced; segment 4 ends at 10, with 0 index entries
        "#]],
    );
}

#[test]
fn old_records_go_by_age_and_their_files_after_a_while() {
    check(
        "create segment.ms=1000
         append
         wait 2000
         append
         wait 400000
         set retention.ms=300000
         wait 310000
         set file.delete.delay.ms=500000
         append
         wait 310000
         wait 310000
         set retention.ms=-1
         append
         wait 1000000",
        &expect![[r#"
            create segment.ms=1000
            append: NONE once synced
            wait 2000
            append: NONE once synced; segment 0 ends at 1, with 0 index entries
            wait 400000
            set retention.ms=300000
            wait 310000: segment 1 ends at 2, with 0 index entries; segment 0, 1 leaves the log
            set file.delete.delay.ms=500000
            append: NONE once synced
            wait 310000: segment 0, 1 is removed
            wait 310000: segment 2 ends at 3, with 0 index entries; segment 2 leaves the log
            set retention.ms=-1
            append: NONE once synced
            wait 1000000
        "#]],
    );
}

#[test]
fn old_records_go_by_size() {
    check(
        "create segment.bytes=1048576
         append 900000
         append 900000
         append 900000
         wait 310000
         set retention.bytes=1000000
         wait 310000
         set retention.bytes=-1
         append 900000
         wait 310000",
        &expect![[r#"
            create segment.bytes=1048576
            append 900000: NONE once synced
            append 900000: NONE once synced; segment 0 ends at 1, with 0 index entries
            append 900000: NONE once synced; segment 1 ends at 2, with 0 index entries
            wait 310000
            set retention.bytes=1000000
            wait 310000: segment 0 leaves the log
            set retention.bytes=-1
            append 900000: NONE once synced; segment 2 ends at 3, with 0 index entries
            wait 310000: segment 0 is removed
        "#]],
    );
}

#[test]
fn what_becomes_of_old_segments_is_changed_while_they_are_there() {
    check(
        "create segment.ms=1000 retention.ms=100000
         append
         wait 2000
         append
         set cleanup.policy=compact
         wait 400000
         append
         set cleanup.policy=compact,delete
         wait 310000
         append
         set cleanup.policy=delete
         wait 310000
         append
         set cleanup.policy=
         wait 310000",
        &expect![[r#"
            create segment.ms=1000 retention.ms=100000
            append: NONE once synced
            wait 2000
            append: NONE once synced; segment 0 ends at 1, with 0 index entries
            set cleanup.policy=compact
            wait 400000: compaction begins
            append: NONE once synced; segment 1 ends at 2, with 0 index entries
            set cleanup.policy=compact,delete
            wait 310000: compaction begins; segment 2 ends at 3, with 0 index entries; segment 0, 2 leaves the log
            append: NONE once synced
            set cleanup.policy=delete
            wait 310000: segment 3 ends at 4, with 0 index entries; segment 0, 2 is removed; segment 3 leaves the log
            append: NONE once synced
            set cleanup.policy=
            wait 310000: segment 4 ends at 5, with 0 index entries; segment 3 is removed; segment 4 leaves the log
        "#]],
    );
}

#[test]
fn compaction_waits_for_dirt_and_for_age() {
    check(
        "create segment.ms=1000 cleanup.policy=compact min.compaction.lag.ms=60000
         append
         wait 2000
         append
         wait 50000
         wait 20000
         append
         set min.compaction.lag.ms=100000000
         wait 20000
         set min.compaction.lag.ms=
         wait 20000",
        &expect![[r#"
            create segment.ms=1000 cleanup.policy=compact min.compaction.lag.ms=60000
            append: NONE once synced
            wait 2000
            append: NONE once synced; segment 0 ends at 1, with 0 index entries
            wait 50000
            wait 20000: compaction begins
            append: NONE once synced; segment 1 ends at 2, with 0 index entries
            set min.compaction.lag.ms=100000000
            wait 20000
            set min.compaction.lag.ms=
            wait 20000: compaction begins
        "#]],
    );
    check(
        "create cleanup.policy=compact
         append
         wait 20000
         append
         wait 20000
         set max.compaction.lag.ms=10000
         append
         wait 20000
         append
         wait 20000",
        &expect![[r#"
            create cleanup.policy=compact
            append: NONE once synced
            wait 20000
            append: NONE once synced
            wait 20000
            set max.compaction.lag.ms=10000
            append: NONE once synced; segment 0 ends at 2, with 0 index entries
            wait 20000: compaction begins
            append: NONE once synced; segment 2 ends at 3, with 0 index entries
            wait 20000: compaction begins
        "#]],
    );
}

/// Two topics are to be compacted. Whichever has its turn first fails at `part` each time; whose turn it was, that one being `1`.
fn turns(part: fn(&DiskAction) -> bool) -> String {
    let mut world = World::new();
    for name in ["a", "b"] {
        world.create_with(name, 1, &[("cleanup.policy", "compact"), ("segment.ms", "1000")]);
    }
    for _ in 0..3 {
        for name in ["a", "b"] {
            let mut builder = BatchBuilder::default();
            builder.append(world.wall, Some(b"key"), Some(b"value"), &[]);
            world.produce(name, 1, builder.finish(&Seal::default()));
        }
        world.all_disk();
        world.wall = Timestamp(world.wall.0 + 2000);
    }
    let (mut first, mut turns) = (None, String::new());
    for _ in 0..3 {
        world.wait_ms(20_000);
        while let Some(op) = world.disk.pop_front() {
            if matches!(op.action, DiskAction::MapKeys(_)) {
                let is_first = *first.get_or_insert(op.partition) == op.partition;
                turns += if is_first { "1" } else { "2" };
            }
            let result = if first == Some(op.partition) && part(&op.action) {
                Err(DiskError::Io("broken".to_owned()))
            } else {
                Ok(world.perform(&op.action))
            };
            world.step(Event::Disk { partition: op.partition, op: op.id, result });
        }
    }
    turns
}

#[test]
fn among_many_logs_the_one_is_found_that_is_to_be_compacted() {
    let mut world = World::new();
    world.create("many", 1000);
    world.create_with("t", 1, &[("cleanup.policy", "compact"), ("segment.ms", "1000")]);
    world.append(1);
    world.wall = Timestamp(world.wall.0 + 2000);
    world.append(1);
    world.wait_ms(20_000);
    let mut steps = 1;
    while !world.disk.iter().any(|op| matches!(op.action, DiskAction::MapKeys(_))) {
        assert!(world.node.next_wake() <= Some(world.now().tick), "the look goes on at once");
        world.step(Event::Tick);
        steps += 1;
    }
    assert!(steps > 1, "so many logs are not looked at in one go");
    // Its last pass may end when there is nothing to be compacted any more.
    world.set("t", &["cleanup.policy=delete"]);
    world.wait_ms(20_000);
    (0..steps).for_each(|_| world.step(Event::Tick));
    world.disk_told();
    assert!(world.node.next_wake() > Some(world.now().tick), "nobody is woken for nothing");
}

#[test]
fn a_log_that_cannot_be_compacted_holds_up_no_other() {
    assert_eq!(turns(|it| matches!(it, DiskAction::MapKeys(_))), "1211");
    assert_eq!(turns(|it| matches!(it, DiskAction::Swap { .. })), "12", "the log itself fails");
}

#[test]
fn compaction_rests_as_long_as_it_has_read_and_written_too_much() {
    let script = "create segment.ms=1000 cleanup.policy=compact
         append 1
         wait 2000
         append 2
         wait 20000
         append 3
         wait 30000
         wait 30000
         wait 30000";
    check(
        script,
        &expect![[r#"
            create segment.ms=1000 cleanup.policy=compact
            append 1: NONE once synced
            wait 2000
            append 2: NONE once synced; segment 0 ends at 1, with 0 index entries
            wait 20000: compaction begins
            append 3: NONE once synced; segment 1 ends at 2, with 0 index entries
            wait 30000: compaction begins
            wait 30000
            wait 30000
        "#]],
    );
    check_with(
        &[("log.cleaner.io.max.bytes.per.second", "2")],
        script,
        &expect![[r#"
            create segment.ms=1000 cleanup.policy=compact
            append 1: NONE once synced
            wait 2000
            append 2: NONE once synced; segment 0 ends at 1, with 0 index entries
            wait 20000: compaction begins
            append 3: NONE once synced; segment 1 ends at 2, with 0 index entries
            wait 30000
            wait 30000
            wait 30000: compaction begins
        "#]],
    );
}

#[test]
fn answers_wait_for_the_disk_as_long_as_every_record_is_to_be_synced() {
    check(
        "create
         append
         set flush.messages=10000
         append
         set flush.ms=0
         append
         set flush.ms=1000
         append
         set flush.messages=1
         append",
        &expect![[r#"
            create
            append: NONE once synced
            set flush.messages=10000
            append: NONE
            set flush.ms=0
            append: NONE once synced
            set flush.ms=1000
            append: NONE
            set flush.messages=1
            append: NONE once synced
        "#]],
    );
}

#[test]
fn other_settings_of_syncing_hold_for_what_was_written_before() {
    const NEVER: &str = "flush.messages=9223372036854775807";
    let mut world = World::new();
    world.create("t", 1);
    world.set("t", &[NEVER]);
    world.produce("t", -1, batch(3, None));
    world.all_disk();
    world.wait_ms(1000);
    world.all_disk();
    world.set("t", &["flush.messages=1"]);
    let partitions = vec![DeleteRecordsPartition { partition_index: 0, offset: -1 }];
    let topics = vec![DeleteRecordsTopic { name: "t".into(), partitions }];
    let deleted = world.send(Request::DeleteRecords(DeleteRecordsRequest { topics, timeout_ms: 1000 }), 2);
    world.wait_ms(500);
    let syncs = world.disk(|action| matches!(action, DiskAction::Sync { .. }), &Ok(Done::Nothing));
    assert_eq!(syncs, 1, "though nothing more comes");
    world.all_disk();
    let Response::DeleteRecords(response) = world.response(deleted) else { panic!("another answer") };
    assert_eq!(response.topics[0].partitions[0].low_watermark, 3);

    let waiting = world.produce("t", -1, batch(1, None));
    world.writes();
    assert!(!world.replies.iter().any(|(to, _)| *to == waiting), "it is not synced");
    world.set("t", &[NEVER]);
    assert_eq!(world.produced(waiting), (ErrorCode::None, 3));
}

/// Old segments are looked for in slices, too.
#[test]
fn old_records_go_in_topics_with_many_partitions() {
    let mut world = World::new();
    world.create_with("t", 300, &[("retention.ms", "1000")]);
    for partition in 0..300 {
        world.produce_to("t", partition, 1, batch(1, None));
    }
    world.all_disk();
    world.wait_ms(30_001);
    for _ in 0..2 {
        assert!(
            world.node.next_wake().is_some_and(|at| at <= world.now().tick),
            "it does not go on by itself"
        );
        world.step(Event::Tick);
    }
    let closed = world.disk_told().matches("leaves the log").count();
    assert_eq!(closed, 300);
}

/// What a log makes of each is shown by its own tests.
#[test]
fn what_is_set_for_a_topic_reaches_its_log() {
    let compaction = |it: &LogConfig| it.compaction.unwrap_or_default();
    type Held<'a> = &'a dyn Fn(&LogConfig) -> u64;
    let cases: [(&str, Held<'_>, u64); 14] = [
        ("retention.ms=5001", &|it| it.retention.age_ms_max.unwrap_or(0), 5001),
        ("retention.bytes=5002", &|it| it.retention.bytes_max.unwrap_or(0), 5002),
        ("segment.bytes=5000003", &|it| it.segment_bytes.into(), 5_000_003),
        ("segment.ms=5004", &|it| it.segment_ms, 5004),
        ("segment.jitter.ms=5005", &|it| it.segment_jitter_ms, 5005),
        ("segment.index.bytes=5006", &|it| it.segment_index_bytes.into(), 5006),
        ("index.interval.bytes=5007", &|it| it.index_interval_bytes.into(), 5007),
        ("file.delete.delay.ms=5008", &|it| it.file_delete_delay_ms, 5008),
        ("cleanup.policy=delete,compact", &|it| u64::from(it.compaction.is_some()), 1),
        ("delete.retention.ms=5009", &|it| compaction(it).delete_retention_ms, 5009),
        ("min.compaction.lag.ms=5010", &|it| compaction(it).lag_ms_min, 5010),
        ("max.compaction.lag.ms=5011", &|it| compaction(it).lag_ms_max, 5011),
        ("min.cleanable.dirty.ratio=0.25", &|it| compaction(it).dirty_millionths_min.into(), 250_000),
        ("flush.messages=5012", &|it| u64::from(it.flush != LogConfig::default().flush), 1),
    ];
    let mut world = World::new();
    world.create("t", 1);
    for (config, held, expected) in cases {
        assert_ne!(held(&world.log_config()), expected, "before {config}");
        world.set("t", &[config]);
        assert_eq!(held(&world.log_config()), expected, "{config}");
    }
    let before = world.log_config();
    world.restart();
    assert_eq!(world.log_config(), before, "after a restart");
}
