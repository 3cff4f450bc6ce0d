//! Compaction of a log with everything else going on: appends, cuts, deleted records, crashes at any moment, operations that end in any order.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use klamm_model::{Batches, Tail as RunEnd, Tick};
use proptest::prelude::*;

use super::damage::scrub_all;
use super::recovery::segment_mut;
use super::*;
use crate::compact::{self, Sabotage};

const GRACE_MS: i64 = 5000;

fn compacted(sabotage: Option<Sabotage>, flush: Flush) -> LogConfig {
    let compaction = Compaction {
        delete_retention_ms: GRACE_MS as u64,
        dirty_millionths_min: 0,
        sabotage,
        ..Compaction::default()
    };
    LogConfig {
        segment_bytes: 400,
        index_interval_bytes: 100,
        flush,
        retention: Retention::FOR_EVER,
        compaction: Some(compaction),
        ..LogConfig::default()
    }
}

/// A record of a key; without a value it deletes it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    key: u8,
    value: Option<u64>,
    appended_ms: i64,
}

fn keyed(entries: &[Entry]) -> (ValidBatch, Bytes) {
    let mut builder = BatchBuilder::default();
    for Entry { key, value, appended_ms } in entries {
        let value = value.map(|value| value.to_be_bytes());
        builder.append(Timestamp(*appended_ms), Some(&[*key]), value.as_ref().map(|it| it.as_slice()), &[]);
    }
    let bytes = builder.finish(&Seal::default());
    (validate_produce(&bytes, &ProduceLimits::default()).expect("a good batch"), bytes)
}

/// A batch of one record, which is on disk afterwards.
fn append_one(bench: &mut Bench, entry: Entry) {
    let (valid, bytes) = keyed(&[entry]);
    bench.log.append_as_leader(LeaderEpoch(0), &valid, bytes, &mut bench.under_way).expect("appended");
    bench.settle();
}

/// What must be true of a compacted log, kept beside it.
struct World {
    bench: Bench,
    expected: BTreeMap<i64, Entry>,
    /// Every record that was ever at an offset.
    ever: BTreeMap<i64, Vec<Entry>>,
    /// What is known to have been compacted away, rightly.
    gone: BTreeSet<i64>,
    high_watermark: i64,
    /// How far it ever was, of what is there.
    committed: i64,
    now: Tick,
    wall_ms: i64,
    mark: u64,
    epoch: i32,
    passes: usize,
}

impl World {
    fn new(config: LogConfig) -> Self {
        Self {
            bench: Bench::new(config),
            expected: BTreeMap::new(),
            ever: BTreeMap::new(),
            gone: BTreeSet::new(),
            high_watermark: 0,
            committed: 0,
            now: Tick::default(),
            wall_ms: 1_000_000,
            mark: 0,
            epoch: 0,
            passes: 0,
        }
    }

    fn step(&mut self, kind: u8, argument: usize) {
        let under_way = self.bench.under_way.len();
        match kind {
            0..30 => self.append(argument),
            30..70 if 0 < under_way => self.end(argument % under_way, Ok(())),
            70..73 if 0 < under_way => self.disk_is_full(argument % under_way),
            73..80 => self.commit(argument),
            80..86 => self.pass(),
            86..90 => self.tick(argument),
            90..92 => self.cut(self.high_watermark, argument),
            // Another leader was elected that lacks committed records. (Below the log start nothing can be cut.)
            92 if self.bench.log.segments[0].base == self.bench.log.log_start() => {
                self.cut(self.bench.log.log_start().raw(), argument);
            }
            93 => self.delete_records(argument),
            94..96 => {
                self.epoch += 1;
                let end = self.bench.log.end();
                self.bench.log.begin_epoch(LeaderEpoch(self.epoch), end);
            }
            96 => self.restart_log(argument),
            97..100 => self.crash(argument),
            _ => {}
        }
        self.check();
    }

    fn append(&mut self, argument: usize) {
        let entries: Vec<Entry> = (0..1 + argument % 3)
            .map(|at| {
                self.mark += 1;
                let dice = argument / 3 + at * 5;
                let value = (!dice.is_multiple_of(5)).then_some(self.mark);
                Entry { key: (dice % 7) as u8, value, appended_ms: self.wall_ms }
            })
            .collect();
        let (valid, bytes) = keyed(&entries);
        let epoch = LeaderEpoch(self.epoch);
        let appended = self.bench.log.append_as_leader(epoch, &valid, bytes, &mut self.bench.under_way);
        self.note(appended.expect("appended").base, entries);
    }

    fn note(&mut self, base: Offset, entries: Vec<Entry>) {
        for (offset, entry) in (base.raw()..).zip(entries) {
            self.ever.entry(offset).or_default().push(entry.clone());
            self.expected.insert(offset, entry);
        }
    }

    fn end(&mut self, at: usize, result: Result<(), DiskError>) {
        let was_compacting = self.bench.log.is_compacting();
        let progress = self.bench.end(at, result);
        assert_eq!(progress.fatal, None);
        if let Some(lost_from) = progress.lost_from {
            self.forget_from(lost_from.raw());
        }
        let ended_well = matches!(self.bench.log.last_pass(), Some(Ok(_)));
        self.passes += usize::from(was_compacting && !self.bench.log.is_compacting() && ended_well);
    }

    fn disk_is_full(&mut self, at: usize) {
        match self.bench.under_way[at].action {
            DiskAction::Sync { .. } | DiskAction::Truncate { .. } => self.end(at, Ok(())),
            _ => self.end(at, Err(DiskError::Full)),
        }
    }

    fn forget_from(&mut self, end: i64) {
        self.expected.split_off(&end);
        self.gone.split_off(&end);
        self.high_watermark = self.high_watermark.min(end);
        self.committed = self.committed.min(end);
    }

    fn commit(&mut self, argument: usize) {
        let room = self.bench.log.frontier().raw() - self.high_watermark;
        if 0 < room {
            self.high_watermark += argument as i64 % (room + 1);
            self.committed = self.committed.max(self.high_watermark);
            self.bench.log.note_high_watermark(offset(self.high_watermark));
        }
    }

    fn pass(&mut self) {
        let now = Timestamp(self.wall_ms);
        self.bench.log.compact(now, &mut self.bench.under_way);
    }

    fn tick(&mut self, argument: usize) {
        self.now = self.now.after_ms(argument as u64 % 2000);
        self.wall_ms += argument as i64 % 2000;
        self.bench.log.periodic(self.now, &mut self.bench.under_way);
    }

    fn cut(&mut self, lowest: i64, argument: usize) {
        let room = self.bench.log.end().raw() - lowest;
        if 0 < room {
            let to = lowest + argument as i64 % room;
            // What replaced them may go with the cut.
            let superseded: Vec<i64> = self.expected.range(..to).map(|(offset, _)| *offset).collect();
            let superseded = superseded.into_iter().filter(|offset| self.is_superseded(*offset));
            let superseded: Vec<i64> = superseded.collect();
            self.gone.extend(superseded);
            self.bench.log.truncate_to(offset(to), &mut self.bench.under_way);
            self.forget_from(self.bench.log.end().raw());
            let high_watermark = offset(self.high_watermark);
            self.bench.log.note_high_watermark(high_watermark);
        }
    }

    /// A newer record of the same key was committed.
    fn is_superseded(&self, offset: i64) -> bool {
        let key = self.expected[&offset].key;
        let later = offset + 1..self.committed.max(offset + 1);
        self.expected.range(later).any(|(_, later)| later.key == key)
    }

    fn delete_records(&mut self, argument: usize) {
        let limit = self.high_watermark.min(self.bench.log.synced().raw());
        let room = limit - self.bench.log.log_start().raw();
        if 0 < room {
            let to = self.bench.log.log_start().raw() + argument as i64 % (room + 1);
            self.bench.log.advance_log_start(offset(to), &mut self.bench.under_way);
        }
    }

    fn restart_log(&mut self, argument: usize) {
        let base = self.bench.log.end().raw() + 1 + argument as i64 % 50;
        self.bench.log.restart_at(offset(base), &mut self.bench.under_way);
        self.expected.clear();
        (self.high_watermark, self.committed) = (base, base);
    }

    /// Some of what was under way happens, a swap perhaps in part; then the power fails.
    fn crash(&mut self, argument: usize) {
        let mut state = argument as u64 | 1;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 8) as usize
        };
        let config = *self.bench.log.config();
        let synced = self.bench.log.synced().raw();
        let last_synced = self.expected.range(..synced).next_back().map(|(offset, _)| *offset);
        let mut disk = self.bench.disk.clone();
        disk.begin(&self.bench.under_way);
        for op in &self.bench.under_way {
            match &op.action {
                DiskAction::Swap { segment, replaced } => {
                    let bases: Vec<Offset> = replaced.iter().map(|gone| gone.base).collect();
                    let steps = compact::swap_steps(segment.id.base, &bases);
                    steps.iter().take(random() % (steps.len() + 1)).for_each(|step| disk.step(step));
                }
                _ if random().is_multiple_of(2) => drop(disk.end(op)),
                _ => {}
            }
        }
        disk.crash(&mut random);
        let (bench, _) = Bench::open(disk, config)
            .unwrap_or_else(|error| panic!("after a crash with {synced} synced: {error}"));
        let end = bench.log.end().raw();
        assert!(
            last_synced.is_none_or(|last| last < end),
            "{last_synced:?} was synced, but the log ends at {end}"
        );
        self.bench = bench;
        self.high_watermark = self.bench.log.active().base.raw();
        self.forget_from(self.bench.log.end().raw());
        self.committed = self.committed.max(self.high_watermark);
        self.bench.log.note_high_watermark(offset(self.high_watermark));
        self.epoch += 1;
        // Of what was not synced, or was cut and the cut had not ended, anything may be there.
        let found = self.records();
        self.expected.retain(|at, _| *at < synced || found.contains_key(at));
        for (at, (key, value)) in found {
            let ever = self.ever.get(&at).into_iter().flatten();
            let same = ever.clone().find(|entry| (entry.key, entry.value) == (key, value));
            let same = same.unwrap_or_else(|| panic!("record {at} was never appended"));
            self.expected.insert(at, same.clone());
        }
    }

    /// Everything that can be read.
    fn records(&self) -> BTreeMap<i64, (u8, Option<u64>)> {
        let log = &self.bench.log;
        let mut found = BTreeMap::new();
        let mut unpacked = Vec::new();
        let mut from = log.log_start();
        while let Some(plan) = log.read(from, log.written(), 200).expect("in range") {
            let bytes = self.bench.resolve(&plan).expect("readable");
            let before = from;
            for batch in Batches::new(&bytes, RunEnd::MayBeTruncated) {
                let batch = batch.expect("good");
                batch.verify_crc().expect("good");
                for record in batch.records(&mut unpacked, 1 << 20).expect("good") {
                    let record = record.expect("good");
                    let value =
                        record.value.map(|value| u64::from_be_bytes(value.try_into().expect("8 bytes")));
                    if log.log_start() <= record.offset {
                        found.insert(record.offset.raw(), (record.key.expect("a key")[0], value));
                    }
                }
                from = batch.next_offset();
            }
            assert!(before < from, "nothing read from {from}");
        }
        found
    }

    fn check(&mut self) {
        let log = &self.bench.log;
        log.check_invariants();
        let found = self.records();
        let readable: Vec<_> = self
            .expected
            .range(log.log_start().raw()..log.written().raw().max(log.log_start().raw()))
            .collect();
        for (offset, entry) in &readable {
            match found.get(*offset) {
                Some(it) => assert_eq!(*it, (entry.key, entry.value), "record {offset}"),
                None if self.gone.contains(*offset) => {}
                None => {
                    let is_old = entry.value.is_none() && GRACE_MS <= self.wall_ms - entry.appended_ms;
                    let may_go = is_old || self.is_superseded(**offset);
                    assert!(may_go, "record {offset} of key {} is lost", entry.key);
                }
            }
        }
        let gone = readable.iter().map(|(offset, _)| **offset).filter(|offset| !found.contains_key(offset));
        self.gone.extend(gone.collect::<Vec<_>>());
        for offset in found.keys() {
            assert!(self.expected.contains_key(offset), "record {offset} was never appended, or deleted");
        }
    }

    fn settle(&mut self) {
        while !self.bench.under_way.is_empty() {
            self.end(0, Ok(()));
        }
    }

    /// In the end everything is committed and clean, and after a restart it is the same.
    fn finish(&mut self) {
        for _ in 0..4 {
            self.settle();
            self.tick(1999);
        }
        self.high_watermark = self.bench.log.end().raw();
        self.committed = self.high_watermark;
        self.bench.log.note_high_watermark(offset(self.high_watermark));
        self.pass();
        self.settle();
        self.tick(1999);
        self.settle();
        self.check();
        let log = &self.bench.log;
        assert!(!log.wants_periodic() && !log.is_compacting());
        let mut keys = BTreeSet::new();
        for (offset, (key, _)) in self.records().range(..log.clean_to().raw()) {
            assert!(keys.insert(*key), "key {key} is there before and at {offset}");
        }
        let (mut again, report) = Bench::open(self.bench.disk.clone(), *log.config()).expect("good files");
        assert_eq!((again.log.end(), report.cut_bytes), (log.end(), 0));
        assert_eq!((again.log.clean_to(), again.log.size_bytes()), (log.clean_to(), log.size_bytes()));
        let mut epochs = log.epochs.clone();
        // Of one without a record nothing needs to be known.
        epochs.cut(log.end(), true);
        again.log.epochs.cut(log.end(), true);
        assert_eq!(again.log.epochs, epochs);
        self.bench = again;
        self.check();
    }
}

fn run(config: LogConfig, steps: &[(u8, u16)]) -> usize {
    let mut world = World::new(config);
    for &(kind, argument) in steps {
        world.step(kind, usize::from(argument));
    }
    world.finish();
    world.passes
}

/// Known or met by the pass, which then ends and tells of it.
#[test]
fn compaction_leaves_a_damaged_segment_as_it_is() {
    for is_known in [true, false] {
        let mut bench = Bench::new(compacted(None, Flush::Synced));
        for number in 0..40 {
            append_one(&mut bench, Entry { key: number % 3, value: Some(number.into()), appended_ms: 0 });
        }
        bench.log.note_high_watermark(bench.log.end());
        let base = bench.log.segments[2].base;
        segment_mut(&mut bench.disk, base.raw())[75] ^= 1;
        if is_known {
            assert_eq!(scrub_all(&mut bench, 1000).len(), 1);
            bench.settle();
        }
        let (damaged, before) = (bench.disk.segment(base).to_vec(), bench.log.size_bytes());
        bench.log.compact(Timestamp(1), &mut bench.under_way);
        let mut suspects = Vec::new();
        while !bench.under_way.is_empty() {
            suspects.extend(bench.end(0, Ok(())).suspect);
        }
        assert_eq!(bench.disk.segment(base), damaged, "known: {is_known}");
        assert_eq!(bench.log.size_bytes() < before, is_known, "the others, once it is known");
        assert_eq!(suspects, if is_known { vec![] } else { vec![base] });
    }
}

/// A scrub finds, at any moment of a pass, that a segment is damaged which the pass has read already. It lies elsewhere in the new file, or is not there.
#[test]
fn damage_that_is_found_during_a_pass_is_where_it_is_said_to_be() {
    let mut found = 0;
    for ended in 0.. {
        let mut bench = Bench::new(compacted(None, Flush::Synced));
        for number in 0..40 {
            append_one(&mut bench, Entry { key: number % 3, value: Some(number.into()), appended_ms: 0 });
        }
        bench.log.note_high_watermark(bench.log.end());
        bench.log.compact(Timestamp(1), &mut bench.under_way);
        for _ in 0..ended {
            bench.end(0, Ok(()));
        }
        if bench.under_way.is_empty() {
            break;
        }
        let first = bench.log.segments[0].base.raw();
        segment_mut(&mut bench.disk, first)[60] ^= 1;
        bench.log.begin_scrub();
        // What is being swapped is looked at again and again, until it is done.
        for _ in 0..10 {
            if bench.log.scrub_on(1 << 20, &mut bench.under_way) {
                bench.end(bench.under_way.len() - 1, Ok(()));
            }
        }
        bench.settle();
        for range in bench.log.damaged() {
            let there = &bench.disk.segment(range.base)[range.position as usize..range.end as usize];
            let is_good = BatchView::parse(there).is_ok_and(|batch| batch.verify_crc().is_ok());
            assert!(!is_good, "{ended} operations have ended: {range:?} is good");
            found += 1;
        }
    }
    assert!(0 < found);
}

/// When a tombstone may go is noted in its batch, with more digits than the time that was there.
#[test]
fn a_cut_takes_batches_that_compaction_made_larger() {
    let mut bench = Bench::new(compacted(None, Flush::Synced));
    for key in 0..40 {
        append_one(&mut bench, Entry { key, value: None, appended_ms: 0 });
    }
    bench.log.note_high_watermark(bench.log.end());
    let before = bench.log.size_bytes();
    bench.log.compact(Timestamp(1), &mut bench.under_way);
    bench.settle();
    assert!(before < bench.log.size_bytes());
    bench.log.truncate_to(offset(0), &mut bench.under_way);
    bench.settle();
    let log = &bench.log;
    assert_eq!((log.end(), log.size_bytes(), log.unsynced_bytes()), (offset(0), 0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_last_value_of_each_key_survives_everything(steps in prop::collection::vec((0..100_u8, any::<u16>()), 1..300)) {
        run(compacted(None, Flush::Synced), &steps);
    }

    #[test]
    fn and_so_it_does_where_only_a_roll_syncs(steps in prop::collection::vec((0..100_u8, any::<u16>()), 1..300)) {
        run(compacted(None, Flush::Relaxed { bytes_max: 300, delay_ms_max: 100 }), &steps);
    }
}

/// The same steps for a seed, always.
fn steps_of(seed: u64) -> Vec<(u8, u16)> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 8
    };
    (0..400).map(|_| ((random() % 100) as u8, random() as u16)).collect()
}

/// Control of the checks above: they notice every rule that is broken.
#[test]
fn a_broken_rule_is_noticed() {
    let noticed = |sabotage| {
        let config = compacted(sabotage, Flush::Synced);
        (0..40)
            .filter(|seed| catch_unwind(AssertUnwindSafe(|| run(config, &steps_of(*seed)))).is_err())
            .count()
    };
    assert_eq!(noticed(None), 0);
    for sabotage in [Sabotage::KeepsOlder, Sabotage::BeyondHighWatermark, Sabotage::NoGrace] {
        assert!(0 < noticed(Some(sabotage)), "{sabotage:?}");
    }
    let passes: usize = (0..40).map(|seed| run(compacted(None, Flush::Synced), &steps_of(seed))).sum();
    assert!(50 < passes, "only {passes} passes");
}

/// Three closed segments with keys a and b, the last one with their newest values.
fn some_segments() -> World {
    let mut world = World::new(compacted(None, Flush::Synced));
    for at in 0..24_u64 {
        world.mark = at;
        let entries = [Entry { key: (at % 2) as u8, value: Some(at), appended_ms: world.wall_ms }];
        let (valid, bytes) = keyed(&entries);
        let under_way = &mut world.bench.under_way;
        let appended = world.bench.log.append_as_leader(LeaderEpoch(0), &valid, bytes, under_way);
        world.note(appended.expect("appended").base, entries.to_vec());
        world.settle();
    }
    world.high_watermark = world.bench.log.end().raw();
    world.committed = world.high_watermark;
    world.bench.log.note_high_watermark(offset(world.high_watermark));
    world
}

/// F44: whatever of a swap's steps is on disk when the power fails, in whatever order the file system brought it there, the log that is found has
/// the last value of each key, and its other files are of no other log.
#[test]
fn a_crash_at_each_step_of_a_swap_leaves_one_log_or_the_other() {
    let mut world = some_segments();
    world.bench.log.set_config(LogConfig { segment_bytes: 900, ..*world.bench.log.config() });
    world.pass();
    let swap = loop {
        let at = world.bench.under_way.iter().position(|op| matches!(op.action, DiskAction::Swap { .. }));
        match at {
            Some(at) => break world.bench.under_way[at].clone(),
            None => world.end(0, Ok(())),
        }
    };
    let DiskAction::Swap { segment, replaced } = &swap.action else { unreachable!() };
    assert!(!replaced.is_empty(), "several segments become one");
    let bases: Vec<Offset> = replaced.iter().map(|gone| gone.base).collect();
    let steps = compact::swap_steps(segment.id.base, &bases);
    let mut outcomes = BTreeSet::new();
    for done in 0..=steps.len() {
        let synced =
            steps[..done].iter().rposition(|step| *step == FileStep::SyncDirectory).map_or(0, |at| at + 1);
        let unsynced = &steps[synced..done];
        for subset in 0..1_u32 << unsynced.len() {
            let mut disk = world.bench.disk.clone();
            steps[..synced].iter().for_each(|step| disk.step(step));
            let kept = unsynced.iter().enumerate().filter(|(at, _)| subset & (1 << at) != 0);
            kept.for_each(|(_, step)| disk.step(step));
            disk.step(&FileStep::SyncDirectory);
            let (bench, report) = Bench::open(disk, *world.bench.log.config()).expect("a log");
            assert_eq!((bench.log.end(), report.cut_bytes), (world.bench.log.end(), 0), "{done} {subset:b}");
            outcomes.insert(bench.log.size_bytes());
            let mut after = World {
                bench,
                expected: world.expected.clone(),
                gone: BTreeSet::new(),
                high_watermark: world.high_watermark,
                committed: world.committed,
                epoch: 1,
                ..World::new(*world.bench.log.config())
            };
            after.wall_ms = world.wall_ms;
            after.check();
            after.finish();
        }
    }
    assert_eq!(outcomes.len(), 2, "the sizes of the old log and of the new one: {outcomes:?}");
}

#[test]
fn who_planned_a_read_before_the_swap_is_told_that_it_is_old() {
    let mut world = some_segments();
    let plan = world.bench.log.read(offset(0), offset(8), 1000).expect("in range").expect("there");
    world.pass();
    world.settle();
    assert_eq!(world.bench.resolve(&plan), Err(ReadError::Replaced));
    world.check();
}

#[test]
fn a_pass_is_due_by_share_and_by_age() {
    let mut world = some_segments();
    let due = |world: &mut World, change: fn(&mut Compaction), later_ms: i64| {
        let mut config = compacted(None, Flush::Synced);
        config.compaction.iter_mut().for_each(change);
        world.bench.log.set_config(config);
        world.bench.log.compaction_due(Timestamp(world.wall_ms + later_ms))
    };
    assert_eq!(due(&mut world, |_| {}, 0), Some(1_000_000), "nothing is clean");
    world.pass();
    world.settle();
    assert_eq!(due(&mut world, |_| {}, 0), None, "nothing new");
    world.wall_ms += 1000;
    for at in 0..12 {
        world.append(at * 3);
        world.settle();
    }
    world.commit(usize::MAX >> 1);
    world.high_watermark = world.bench.log.end().raw();
    world.bench.log.note_high_watermark(offset(world.high_watermark));
    let share = due(&mut world, |_| {}, 0).expect("something is dirty");
    assert!((100_000..990_000).contains(&share), "{share}");
    assert_eq!(due(&mut world, |it| it.dirty_millionths_min = 999_000, 0), None);
    assert_eq!(due(&mut world, |it| it.lag_ms_min = 5000, 4999), None, "too young");
    assert!(due(&mut world, |it| it.lag_ms_min = 5000, 5001).is_some());
    let overdue = |it: &mut Compaction| (it.dirty_millionths_min, it.lag_ms_max) = (999_000, 5000);
    // The first segment that is not clean has records from before.
    assert_eq!(due(&mut world, overdue, 4000), None);
    assert_eq!(due(&mut world, overdue, 4001), Some(compact::MILLION + 1), "a record waits for too long");
}

/// A value is in a segment that is damaged elsewhere, and deleted in a later one.
#[test]
fn a_damaged_segment_is_left_as_it_is_and_what_was_deleted_in_it_stays_deleted() {
    for is_damaged in [false, true] {
        let mut bench = Bench::new(compacted(None, Flush::Synced));
        let append = |bench: &mut Bench, marks: std::ops::Range<u64>| {
            for mark in marks {
                let entry = match mark {
                    0 => Entry { key: 9, value: Some(0), appended_ms: 0 },
                    20 => Entry { key: 9, value: None, appended_ms: 0 },
                    _ => Entry { key: (mark % 3) as u8, value: Some(mark), appended_ms: 0 },
                };
                append_one(bench, entry);
                bench.log.note_high_watermark(bench.log.end());
            }
        };
        append(&mut bench, 0..40);
        let batch_size = keyed(&[Entry { key: 0, value: Some(0), appended_ms: 0 }]).1.len();
        let file = FileKind::Log.file_name(offset(0));
        bench.disk.files.get_mut(&file).expect("there").data[batch_size + 65] ^= u8::from(is_damaged);
        let first = bench.disk.segment(offset(0)).to_vec();
        let pass = |bench: &mut Bench, now: i64| {
            bench.log.compact(Timestamp(now), &mut bench.under_way);
            let mut suspect = None;
            while !bench.under_way.is_empty() {
                suspect = suspect.or(bench.end(0, Ok(())).suspect);
            }
            (suspect, bench.log.last_pass().expect("one has ended").is_ok())
        };
        let expected = if is_damaged { (Some(offset(0)), false) } else { (None, true) };
        assert_eq!(pass(&mut bench, 1), expected);
        bench.log.begin_scrub_of(offset(0));
        assert!(bench.log.scrub_on(1 << 20, &mut bench.under_way));
        bench.settle();
        // From the second pass on the tombstone's time runs; the third and the fourth may take it.
        for number in 1..4 {
            append(&mut bench, number * 100..number * 100 + 20);
            assert_eq!(pass(&mut bench, number as i64 * 1_000_000), (None, true), "pass {number}");
        }
        let of_key = |bench: &Bench| {
            let mut found = Vec::new();
            for segment in &bench.log.segments {
                for batch in Batches::new(bench.disk.segment(segment.base), RunEnd::MustBeComplete) {
                    let batch = batch.expect("whole");
                    if batch.verify_crc().is_err() {
                        continue;
                    }
                    for record in batch.records(&mut Vec::new(), 1 << 20).expect("records") {
                        let record = record.expect("a record");
                        let is_of_key = record.key == Some(&[9]);
                        found.extend(is_of_key.then_some((record.offset.raw(), record.value.is_some())));
                    }
                }
            }
            found
        };
        if is_damaged {
            assert!(bench.disk.segment(offset(0)) == first);
            assert_eq!(of_key(&bench), [(0, true), (20, false)]);
            // It is good again: the value goes, and then the tombstone.
            bench.disk.files.get_mut(&file).expect("there").data[batch_size + 65] ^= 1;
            (bench, _) = Bench::open(bench.disk, compacted(None, Flush::Synced)).expect("opened");
            bench.settle();
            for (number, expected) in [(4, vec![(20, false)]), (5, vec![])] {
                append(&mut bench, number * 100..number * 100 + 20);
                assert_eq!(pass(&mut bench, number as i64 * 1_000_000), (None, true), "pass {number}");
                assert_eq!(of_key(&bench), expected, "pass {number}");
            }
        } else {
            assert_eq!(of_key(&bench), [], "both are gone");
        }
        assert!(bench.log.size_bytes() < 2000, "the rest is compacted: {}", bench.log.size_bytes());
    }
}

/// A reader's finding: who was away while its leader compacted asks from the middle of a batch that stands for several dropped ones.
#[test]
fn a_follower_goes_on_in_the_middle_of_what_compaction_has_dropped() {
    use crate::compact::filler;
    let mut follower = Bench::new(LogConfig::default());
    follower.append(3, 0);
    follower.settle();
    let mut leader = filler(Offset::ZERO, 5, Some(LeaderEpoch(0)));
    leader.extend(filler(offset(6), 0, Some(LeaderEpoch(1))));
    let appended =
        follower.log.append_as_follower(leader.into(), &mut follower.under_way).expect("it follows");
    assert_eq!((appended.base, appended.end), (offset(3), offset(7)));
    follower.settle();
    let again = filler(Offset::ZERO, 6, Some(LeaderEpoch(0)));
    let refused = follower.log.append_as_follower(again.into(), &mut follower.under_way);
    assert!(matches!(refused, Err(AppendError::NotContiguous { .. })), "{refused:?}");
    let ahead = filler(offset(8), 6, Some(LeaderEpoch(1)));
    let refused = follower.log.append_as_follower(ahead.into(), &mut follower.under_way);
    assert!(matches!(refused, Err(AppendError::NotContiguous { .. })), "{refused:?}");
}
