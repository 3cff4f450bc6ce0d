//! Whatever happens in whatever order, a restart finds everything that was synced, byte for byte, and nothing that was never appended.

use std::collections::BTreeMap;

use klamm_model::{BatchView, Batches, Tail as RunEnd, Tick, TransactionEnd, TransactionMark};
use proptest::prelude::*;

use super::transactions::{Told, aborted};
use super::*;
use crate::ends::DurablePoint;

/// What must be true of a log, kept beside it.
struct World {
    bench: Bench,
    /// The records as they are, by the first offset of a batch.
    expected: BTreeMap<i64, Vec<u8>>,
    /// Every batch that was ever at an offset.
    ever: BTreeMap<i64, Vec<Vec<u8>>>,
    high_watermark: i64,
    /// How far it ever was, of what is there.
    confirmed: i64,
    /// Records were deleted: of some transactions it is not known here where they began.
    is_cut_in_front: bool,
    /// Epoch and next sequence number of the producers. The last two have transactions.
    sequences: [(i16, i32); 5],
    epoch: i32,
    now: Tick,
    mark: u64,
    full: bool,
}

impl World {
    fn new(flush: Flush) -> Self {
        Self {
            bench: Bench::new(LogConfig { flush, ..config() }),
            expected: BTreeMap::new(),
            ever: BTreeMap::new(),
            high_watermark: 0,
            confirmed: 0,
            is_cut_in_front: false,
            sequences: [(0, 0); 5],
            epoch: 0,
            now: Tick::default(),
            mark: 0,
            full: false,
        }
    }

    fn step(&mut self, kind: u8, argument: usize) {
        let under_way = self.bench.under_way.len();
        match kind {
            0..27 => self.append(argument),
            27..30 => self.end_transaction(argument),
            30..66 if 0 < under_way => self.end(argument % under_way, Ok(())),
            66..70 => self.bench.begin_sync(),
            70..75 if 0 < under_way => self.fail_one(argument),
            75..80 => self.cut(argument),
            80..86 => {
                let room = self.bench.log.frontier().raw() - self.high_watermark;
                if 0 < room {
                    self.high_watermark += argument as i64 % (room + 1);
                    self.confirmed = self.confirmed.max(self.high_watermark);
                    self.bench.log.note_high_watermark(offset(self.high_watermark));
                }
            }
            86..92 => {
                self.now = self.now.after_ms(argument as u64 % 2000);
                self.bench.log.periodic(self.now, &mut self.bench.under_way);
            }
            92..94 => {
                self.epoch += 1;
                let end = self.bench.log.end();
                self.bench.log.begin_epoch(LeaderEpoch(self.epoch), end);
            }
            94 if argument.is_multiple_of(3) => self.restart_log(argument),
            94 => self.expire(argument),
            95..97 => self.copy_run(argument),
            97..100 => self.crash(argument),
            _ => {}
        }
        self.check();
    }

    fn append(&mut self, argument: usize) {
        self.mark += 1;
        let id = argument % 6;
        let producer = self.sequences.get(id).map(|(epoch, sequence)| (id as i64, *epoch, *sequence));
        let count = 1 + (argument / 6 % 6) as u32;
        let (valid, bytes) = batch_of(count, self.mark, producer, id == 3 || id == 4);
        self.append_batch(&valid, &bytes);
    }

    /// By a coordinator, of which one gives out a new epoch each time.
    fn end_transaction(&mut self, argument: usize) {
        self.mark += 1;
        let id = 3 + argument % 2;
        let epoch = ProducerEpoch(self.sequences[id].0 + i16::from(id == 4));
        let end = if argument & 2 == 0 { TransactionEnd::Commit } else { TransactionEnd::Abort };
        let mark = TransactionMark { end, coordinator_epoch: LeaderEpoch(7) };
        let (valid, bytes) = mark.to_batch(ProducerId(id as i64), epoch, Timestamp(self.mark as i64));
        self.append_batch(&valid, &bytes);
    }

    fn append_batch(&mut self, valid: &ValidBatch, bytes: &Bytes) {
        let base = self.bench.log.end();
        match self.bench.log.append_as_leader(
            LeaderEpoch(self.epoch),
            valid,
            bytes.clone(),
            &mut self.bench.under_way,
        ) {
            Ok(appended) if !appended.duplicate => {
                let prefix = klamm_model::patched_prefix(bytes, base, LeaderEpoch(self.epoch)).into();
                self.note(base.raw(), written_bytes(Some(&prefix), bytes));
            }
            // What the world takes for the next sequence may be one that was taken back.
            Ok(_) | Err(AppendError::OutOfOrderSequence { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        self.learn_sequences();
    }

    /// Several batches at once, as a follower gets them.
    fn copy_run(&mut self, argument: usize) {
        let mut run = Vec::new();
        let mut base = self.bench.log.end();
        let mut batches = Vec::new();
        for _ in 0..1 + argument % 5 {
            self.mark += 1;
            let (valid, bytes) = batch(1 + (self.mark % 4) as u32, self.mark, None);
            let prefix = klamm_model::patched_prefix(&bytes, base, LeaderEpoch(self.epoch)).into();
            let bytes = written_bytes(Some(&prefix), &bytes);
            run.extend_from_slice(&bytes);
            batches.push((base.raw(), bytes));
            base = base.advance(valid.record_count);
        }
        self.bench.log.append_as_follower(run.into(), &mut self.bench.under_way).expect("continuous");
        batches.into_iter().for_each(|(base, bytes)| self.note(base, bytes));
    }

    fn note(&mut self, base: i64, bytes: Vec<u8>) {
        self.ever.entry(base).or_default().push(bytes.clone());
        self.expected.insert(base, bytes);
    }

    fn forget_from(&mut self, end: Offset) {
        // A cut within a batch takes the batch, and a log of which nothing is left then begins anew at its start, which may be within that batch.
        self.expected
            .retain(|_, bytes| BatchView::parse(bytes).expect("a batch of ours").next_offset() <= end);
        self.high_watermark = self.high_watermark.min(end.raw());
        self.confirmed = self.confirmed.min(end.raw());
        self.learn_sequences();
    }

    /// A producer goes on where the log is.
    fn learn_sequences(&mut self) {
        self.sequences = [(0, 0); 5];
        for (id, entry) in self.bench.log.producers.sorted() {
            let sequence = entry.batches().last().map_or(0, |last| last.last_sequence() + 1);
            self.sequences[id.0 as usize] = (entry.epoch.0, sequence);
        }
    }

    fn end(&mut self, at: usize, result: Result<(), DiskError>) {
        let progress = self.bench.end(at, result);
        assert_eq!(progress.fatal, None);
        if let Some(lost_from) = progress.lost_from {
            assert_eq!(self.bench.log.end(), lost_from);
            self.forget_from(lost_from);
        }
    }

    /// The disk is full: what needs room fails, perhaps after some of it was written.
    fn fail_one(&mut self, argument: usize) {
        let at = argument % self.bench.under_way.len();
        match self.bench.under_way[at].action.clone() {
            DiskAction::Sync { .. } | DiskAction::Truncate { .. } => return self.end(at, Ok(())),
            DiskAction::Write { segment, position, prefix, body } if argument.is_multiple_of(2) => {
                let bytes = written_bytes(prefix.as_ref(), &body);
                let body = Bytes::from(bytes[..argument % bytes.len()].to_vec());
                self.bench.disk.perform(&DiskAction::Write { segment, position, prefix: None, body });
            }
            _ => {}
        }
        self.full = true;
        self.end(at, Err(DiskError::Full));
    }

    fn cut(&mut self, argument: usize) {
        let room = self.bench.log.end().raw() - self.high_watermark;
        if 0 < room {
            let to = self.high_watermark + argument as i64 % room;
            self.bench.log.truncate_to(offset(to), &mut self.bench.under_way);
            assert!(self.bench.log.end().raw() <= to);
            self.forget_from(self.bench.log.end());
        }
    }

    fn restart_log(&mut self, argument: usize) {
        let base = self.bench.log.end().raw() + 1 + argument as i64 % 50;
        self.bench.log.restart_at(offset(base), &mut self.bench.under_way);
        self.expected.clear();
        (self.high_watermark, self.confirmed, self.is_cut_in_front) = (base, base, true);
        self.learn_sequences();
    }

    /// Records are deleted: by somebody's wish, or by size or age.
    fn expire(&mut self, argument: usize) {
        let log = &mut self.bench.log;
        let before = log.log_start().raw();
        if argument.is_multiple_of(2) {
            let room = self.high_watermark.min(log.frontier().raw()) - before;
            if 0 < room {
                log.advance_log_start(
                    offset(before + argument as i64 / 6 % (room + 1)),
                    &mut self.bench.under_way,
                );
            }
        } else {
            let mut config = *log.config();
            config.retention.bytes_max = Some(argument as u64 % 1500);
            log.set_config(config);
            log.enforce_retention(Timestamp(0), &mut self.bench.under_way);
        }
    }

    /// Some of what was under way happens, then the power fails.
    fn crash(&mut self, argument: usize) {
        let mut state = argument as u64 | 1;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 8) as usize
        };
        let log = &self.bench.log;
        let synced = log.synced().raw();
        let log_start = log.log_start().raw();
        let deleted_below = log.log_start_on_disk.min(log.log_start());
        let mut disk = self.bench.disk.clone();
        disk.begin(&self.bench.under_way);
        for op in &self.bench.under_way {
            if random().is_multiple_of(2) {
                let _ = disk.end(op);
            }
        }
        disk.crash(&mut random);
        let kept: Vec<_> =
            self.expected.range(..synced).map(|(base, bytes)| (*base, bytes.clone())).collect();

        let config = *log.config();
        let (bench, _) = Bench::open(disk.clone(), config)
            .unwrap_or_else(|error| panic!("after a crash with {synced} synced: {error}"));
        // Of producers whose records are deleted only the snapshot knows that was taken where the log begins now.
        let snapshot = FileKind::Producers.file_name(bench.log.segments[0].base);
        let has_point = disk.files.contains_key(DURABLE_POINT);
        let says_start = if has_point { DURABLE_POINT } else { EPOCH_CHECKPOINT };
        disk.files.retain(|name, _| name.ends_with(".log") || *name == snapshot || name == says_start);
        let (rebuilt, _) = Log::recover(PARTITION, "topic-0".to_owned(), config, &disk)
            .expect("the other files do not matter");
        assert_eq!(rebuilt.end(), bench.log.end());
        assert_eq!(rebuilt.epochs, bench.log.epochs, "epochs rebuilt from the records");
        assert_eq!(rebuilt.producers, bench.log.producers, "producers rebuilt from the records");
        let of_growing = |log: &Log| {
            let segment = log.active();
            (segment.base, segment.size, segment.largest, segment.first_timestamp, segment.index.clone())
        };
        assert_eq!(of_growing(&rebuilt), of_growing(&bench.log), "the growing segment's index");
        let (by_records, by_files) = (aborted(&rebuilt, &disk), aborted(&bench.log, &bench.disk));
        assert_eq!(by_records, by_files, "aborted transactions rebuilt from the records");
        let largest = |log: &Log| log.segments.iter().map(|it| (it.base, it.largest)).collect::<Vec<_>>();
        assert_eq!(largest(&rebuilt), largest(&bench.log), "times rebuilt from the records");
        assert!(deleted_below <= bench.log.log_start(), "deleted below {deleted_below}");
        self.bench = bench;

        let found = self.records();
        for (base, bytes) in &found {
            assert!(self.ever.get(base).is_some_and(|ever| ever.contains(bytes)), "never appended at {base}");
        }
        for (base, bytes) in kept {
            assert_eq!(found.get(&base), Some(&bytes), "synced batch {base} of a log from {log_start}");
        }
        self.expected = found;
        self.confirmed = self.confirmed.min(self.bench.log.end().raw());
        // Of what a start does not read, cuts are not exact.
        let saved = disk.files.get(DURABLE_POINT).and_then(|file| std::str::from_utf8(&file.data).ok());
        let committed = saved.and_then(DurablePoint::from_text).map_or(Offset::ZERO, |saved| saved.committed);
        let log = &self.bench.log;
        self.high_watermark = log.active().base.max(log.log_start()).max(committed).min(log.end()).raw();
        self.confirmed = self.confirmed.max(self.high_watermark);
        self.bench.log.note_high_watermark(offset(self.high_watermark));
        self.epoch += 1;
        self.learn_sequences();
    }

    /// Everything that can be read.
    fn records(&self) -> BTreeMap<i64, Vec<u8>> {
        let log = &self.bench.log;
        let mut found = BTreeMap::new();
        let mut from = log.log_start();
        while let Some(plan) = log.read(from, log.written(), 200).expect("in range") {
            let bytes = self.bench.resolve(&plan).expect("readable");
            let mut read = 0;
            for batch in Batches::new(&bytes, RunEnd::MayBeTruncated) {
                let batch = batch.expect("good");
                batch.verify_crc().expect("good");
                found.insert(batch.base_offset().raw(), batch.bytes().to_vec());
                from = batch.next_offset();
                read += 1;
            }
            assert!(0 < read, "nothing read from {from}");
        }
        found
    }

    fn check(&mut self) {
        let log = &self.bench.log;
        log.check_invariants();
        let log_start = log.log_start();
        self.expected
            .retain(|_, bytes| log_start < BatchView::parse(bytes).expect("a batch of ours").next_offset());
        assert!(self.high_watermark <= log.end().raw());
        let expected: BTreeMap<_, _> =
            self.expected.range(..log.written().raw()).map(|(base, bytes)| (*base, bytes.clone())).collect();
        assert_eq!(self.records(), expected, "what is readable");
        self.is_cut_in_front |= log_start != Offset::ZERO;
        self.check_transactions();
    }

    /// Whatever the log says of transactions is what its records say.
    fn check_transactions(&self) {
        let log = &self.bench.log;
        let told = |confirmed| Told::by(&self.expected, confirmed);
        let known = log.first_unstable().unwrap_or(Offset::MAX);
        let first = told(self.confirmed).first_unstable.max(log.log_start());
        assert!(known <= first, "what is below {known} is decided, but {first} is not");
        let by_log = aborted(log, &self.bench.disk);
        let by_records = told(self.confirmed).aborted;
        if self.is_cut_in_front {
            let is_known =
                |it: &(i64, i64, i64)| by_log.iter().any(|known| (known.0, known.2) == (it.0, it.2));
            assert!(by_records.iter().all(is_known), "{by_records:?} are aborted, known are {by_log:?}");
        } else {
            assert_eq!(by_log, by_records, "aborted");
            assert!(told(self.high_watermark).first_unstable <= known, "{known} is not decided");
        }
    }

    /// When everything has ended, memory and disk agree.
    fn finish(&mut self) {
        for _ in 0..4 {
            while !self.bench.under_way.is_empty() {
                self.end(0, Ok(()));
            }
            self.now = self.now.after_ms(2000);
            self.bench.log.periodic(self.now, &mut self.bench.under_way);
        }
        self.check();
        let log = &self.bench.log;
        assert!(!log.wants_periodic());
        assert_eq!((log.synced(), log.queued_bytes(), log.unsynced_bytes()), (log.end(), 0, 0));
        let on_disk: usize = self
            .bench
            .disk
            .files
            .iter()
            .filter(|(name, _)| name.ends_with(".log"))
            .map(|(_, file)| file.data.len())
            .sum();
        assert_eq!(log.size_bytes(), on_disk as u64);
        let (again, report) = Bench::open(self.bench.disk.clone(), *log.config()).expect("good files");
        assert_eq!((again.log.end(), report.cut_bytes), (log.end(), 0));
        let mut epochs = log.epochs.clone();
        let mut epochs_again = again.log.epochs.clone();
        for epochs in [&mut epochs, &mut epochs_again] {
            epochs.cut(log.end(), true);
        }
        assert_eq!(epochs_again, epochs);
        assert_eq!(again.log.log_start(), log.log_start());
        assert_eq!(again.log.producers, log.producers);
    }
}

fn run(flush: Flush, steps: &[(u8, u16)]) {
    let mut world = World::new(flush);
    for &(kind, argument) in steps {
        world.step(kind, usize::from(argument));
    }
    world.finish();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn synced_logs_keep_what_was_synced(steps in prop::collection::vec((0..100_u8, any::<u16>()), 1..200)) {
        run(Flush::Synced, &steps);
    }

    #[test]
    fn relaxed_logs_keep_what_was_synced(steps in prop::collection::vec((0..100_u8, any::<u16>()), 1..200)) {
        run(Flush::Relaxed { bytes_max: 300, delay_ms_max: 100 }, &steps);
    }
}
