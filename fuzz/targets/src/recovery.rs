//! A log's directory of any content: a start takes what is good of it or refuses it, and never claims records that are not there.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
};

use klamm_log::{
    DAMAGED_RANGES, DURABLE_POINT, DiskAction, DiskOp, Done, EPOCH_CHECKPOINT, FileKind, Log, LogConfig,
    LogFiles, ReadError, RecoveryReport, SegmentId, SegmentVersion,
    compact::{FileStep, unfinished_swaps},
    resolve, scrub,
};
use klamm_model::{
    BatchBuilder, BatchView, LeaderEpoch, Offset, PartitionIndex, ProduceLimits, Seal, Timestamp, TopicId,
    TopicPartition, crc32c, position, validate_produce,
};

use crate::{take, take_byte};

const PARTITION: TopicPartition =
    TopicPartition { topic: TopicId(uuid::Uuid::from_u128(7)), partition: PartitionIndex(0) };

/// Small enough that a few batches make several segments with several entries.
pub fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 600,
        index_interval_bytes: 150,
        notes_interval_bytes: 200,
        ..LogConfig::default()
    }
}

/// The bytes are a [`Directory`].
pub fn run(data: &[u8]) {
    let mut disk = Directory::from_bytes(data);
    let Some((mut log, report, ops)) = open(&mut disk) else { return };
    disk.settle(&mut log, ops);
    check_last_segment(&disk, &log, &report);
    if report.durable_point.is_some_and(|point| disk.has_batch_around(point)) {
        return;
    }
    let found = (log.log_start(), log.end());
    assert_eq!(log.synced(), log.end(), "all that is there is on disk");

    let (mut log, report, ops) = open(&mut disk).expect("what was repaired can be opened");
    disk.settle(&mut log, ops);
    assert_eq!(((log.log_start(), log.end()), report.cut_bytes), (found, 0), "a second start finds the same");
    scrub_all(&mut disk, &mut log);
    check_readable(&disk, &log);
    if log.end().raw() < i64::MAX / 2 {
        append(&mut disk, &mut log, LeaderEpoch(i32::MAX), 1);
        assert_eq!(log.written(), found.1.advance(1));
    }
}

fn open(disk: &mut Directory) -> Option<(Log, RecoveryReport, Vec<DiskOp>)> {
    for step in unfinished_swaps(disk).ok()? {
        disk.step(&step);
    }
    let (mut log, report) = Log::recover(PARTITION, "topic-0".to_owned(), config(), disk).ok()?;
    assert!(log.log_start() <= log.end());
    assert_eq!((report.log_start, report.end), (log.log_start(), log.end()));
    let mut ops = Vec::new();
    log.start(&mut ops);
    Some((log, report, ops))
}

/// Above the durable point the segment that grows is made of whole batches that follow one another up to the end. What is below was on disk for certain: a start
/// looks at it only where the notes on it do not say what is there, and whoever reads it checks it.
fn check_last_segment(disk: &Directory, log: &Log, report: &RecoveryReport) {
    let base = |name: &String| name.strip_suffix(".log").and_then(|digits| digits.parse().ok());
    let base: i64 = disk.files.keys().filter_map(base).max().expect("a log has a segment");
    let mut rest = disk.files[&FileKind::Log.file_name(Offset::new(base))].as_slice();
    let durable_point = report.durable_point.unwrap_or_default();
    let (mut end, mut last) = (Offset::new(base), Offset::new(base));
    while !rest.is_empty() {
        let batch = match BatchView::parse(rest) {
            Ok(batch) if batch.base_offset() == end => batch,
            // The one before may say that it ends anywhere, if a start does not look at it.
            _ if last < durable_point => return,
            other => panic!("{other:?} at {end}"),
        };
        if durable_point < batch.next_offset() {
            batch.verify_crc().expect("what was not on disk for certain is checked");
        }
        (last, end) = (batch.base_offset(), batch.next_offset());
        rest = &rest[batch.size()..];
    }
    assert!(end == log.end() || last < durable_point, "what is claimed is there");
}

/// Looks at everything there is.
fn scrub_all(disk: &mut Directory, log: &mut Log) {
    let mut ops = Vec::new();
    log.begin_scrub();
    while log.scrub_on(500, &mut ops) {
        disk.settle(log, std::mem::take(&mut ops));
    }
}

/// After that, whoever reads gets good batches one after the other, or is told that there are none.
fn check_readable(disk: &Directory, log: &Log) {
    let mut from = log.log_start();
    while from < log.end() {
        let plan = match log.read(from, Offset::MAX, 1) {
            Ok(plan) => plan.expect("all of it is written"),
            Err(ReadError::Quarantined(range)) => {
                assert!(range.from <= from && from < range.to, "{range} at {from}");
                from = range.to;
                continue;
            }
            Err(error) => panic!("{from}: {error}"),
        };
        let mut read = |kind: FileKind, position: u64, buffer: &mut [u8]| {
            disk.read_at(&kind.file_name(plan.segment.id.base), position, buffer)
        };
        let range = resolve(&plan, &mut read).unwrap_or_else(|error| panic!("{from}: {error}"));
        let file = &disk.files[&FileKind::Log.file_name(plan.segment.id.base)];
        let batch = BatchView::parse(&file[range.start as usize..range.end as usize]).expect("a batch");
        batch.verify_crc().expect("a good one");
        assert!(batch.base_offset() <= from && from < batch.next_offset(), "another than {from}");
        from = batch.next_offset();
    }
}

fn append(disk: &mut Directory, log: &mut Log, epoch: LeaderEpoch, count: u64) {
    let mut builder = BatchBuilder::default();
    for at in 0..count {
        builder.append(Timestamp(1000 + at as i64), None, Some(b"some value"), &[]);
    }
    let bytes = builder.finish(&Seal::default());
    let valid = validate_produce(&bytes, &ProduceLimits::default()).expect("a good batch");
    let mut ops = Vec::new();
    log.append_as_leader(epoch, &valid, bytes, &mut ops).expect("appended");
    disk.settle(log, ops);
}

/// A directory as it is after some batches, for seeds.
pub fn sample(batch_counts: &[u64]) -> Directory {
    let mut disk = Directory::default();
    let mut ops = Vec::new();
    let mut log = Log::create(PARTITION, "topic-0".to_owned(), config(), &mut ops);
    disk.settle(&mut log, ops);
    for (number, count) in (0..).zip(batch_counts) {
        append(&mut disk, &mut log, LeaderEpoch(number / 3), *count);
        log.note_high_watermark(log.end());
        let mut ops = Vec::new();
        log.periodic(klamm_model::Tick(u64::from(number as u32) * 2_000_000), &mut ops);
        disk.settle(&mut log, ops);
    }
    disk
}

/// Files in memory.
///
/// As bytes: for each file its kind, its base, a length of two bytes, and what is in it. The top bit of the kind says that checksums are to be set right, which
/// no fuzzer guesses.
#[derive(Debug, Default)]
pub struct Directory {
    files: BTreeMap<String, Vec<u8>>,
}

const SET_RIGHT: u8 = 0x80;

/// The names of what stands in a partition's directory, by kind.
fn name_of(kind: u8, base: Offset) -> String {
    match kind % 12 {
        0 => FileKind::Log.file_name(base),
        1 => FileKind::Index.file_name(base),
        2 => FileKind::TimeIndex.file_name(base),
        3 => FileKind::Growing.file_name(base),
        4 => FileKind::Producers.file_name(base),
        5 => DURABLE_POINT.to_owned(),
        6 => EPOCH_CHECKPOINT.to_owned(),
        7 => FileKind::Log.file_name(base) + ".swap",
        8 => FileKind::Log.file_name(base) + ".deleted",
        9 => DAMAGED_RANGES.to_owned(),
        11 => FileKind::Aborted.file_name(base),
        _ => FileKind::Index.file_name(base) + ".cleaned",
    }
}

impl Directory {
    fn from_bytes(mut data: &[u8]) -> Self {
        let mut files = BTreeMap::new();
        while !data.is_empty() {
            let (kind, base) = (take_byte(&mut data), take_byte(&mut data));
            let base = Offset::new(if base == u8::MAX { i64::MAX - 3 } else { base.into() });
            let size = u16::from_be_bytes([take_byte(&mut data), take_byte(&mut data)]);
            let mut contents = take(&mut data, size.into()).to_vec();
            if kind & SET_RIGHT != 0 {
                set_right(kind & !SET_RIGHT, base, &mut contents);
            }
            files.insert(name_of(kind & !SET_RIGHT, base), contents);
        }
        Self { files }
    }

    /// Whether a batch begins below an offset and ends above it. No batch is on disk in part, so the file that would say so does not say what was written.
    fn has_batch_around(&self, offset: Offset) -> bool {
        self.files.iter().filter(|(name, _)| name.ends_with(".log")).any(|(_, contents)| {
            let mut rest = contents.as_slice();
            while let Ok(batch) = BatchView::parse(rest) {
                if batch.base_offset() < offset && offset < batch.next_offset() {
                    return true;
                }
                rest = &rest[batch.size()..];
            }
            false
        })
    }

    /// The opposite of `from_bytes`, of bases below 255.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, contents) in &self.files {
            let base = name.get(..20).and_then(|digits| digits.parse::<i64>().ok()).unwrap_or(0);
            let kind = (0..12).find(|kind| name_of(*kind, Offset::new(base)) == *name);
            let Some(kind) = kind else { continue };
            bytes.extend([kind | SET_RIGHT, u8::try_from(base).expect("a small log")]);
            bytes.extend((contents.len() as u16).to_be_bytes());
            bytes.extend(contents);
        }
        bytes
    }

    /// Performs operations, and those that follow, until there are none.
    fn settle(&mut self, log: &mut Log, ops: Vec<DiskOp>) {
        let mut waiting: std::collections::VecDeque<DiskOp> = ops.into();
        while let Some(op) = waiting.pop_front() {
            let done = match &op.action {
                DiskAction::Scrub(job) => {
                    let mut read = |segment: SegmentVersion, kind: FileKind, position, buffer: &mut [u8]| {
                        self.read_at(&kind.file_name(segment.id.base), position, buffer)
                    };
                    Done::Scrubbed(Box::new(scrub(job, &mut read).expect("readable")))
                }
                action => {
                    self.perform(action);
                    Done::Nothing
                }
            };
            let mut more = Vec::new();
            let progress = log.done(op.id, Ok(done), &mut more);
            assert_eq!(progress.error, None);
            waiting.extend(more);
        }
    }

    fn perform(&mut self, action: &DiskAction) {
        let name = |kind: FileKind, segment: &SegmentId| kind.file_name(segment.base);
        match action {
            DiskAction::CreatePartition { base, .. } => self.put(FileKind::Log.file_name(*base), &[]),
            DiskAction::CreateSegment { segment } => self.put(name(FileKind::Log, segment), &[]),
            DiskAction::Write { segment, position, prefix, body } => {
                let file =
                    self.files.get_mut(&name(FileKind::Log, segment)).expect("a segment is made first");
                file.truncate(*position as usize);
                file.extend_from_slice(body);
                if let Some(prefix) = prefix {
                    file[*position as usize..][..prefix.len()].copy_from_slice(prefix);
                }
            }
            DiskAction::Truncate { segment, size, delete } => {
                delete.iter().for_each(|gone| self.remove(gone.base));
                let file = self.files.get_mut(&name(FileKind::Log, segment)).expect("there");
                assert!(*size as usize <= file.len(), "cut to {size} of {}", file.len());
                file.truncate(*size as usize);
            }
            DiskAction::Seal { segment, index, times, aborted, next, producers, .. } => {
                self.put(name(FileKind::Index, segment), index);
                self.put(name(FileKind::TimeIndex, segment), times);
                if !aborted.is_empty() {
                    self.put(name(FileKind::Aborted, segment), aborted);
                }
                self.files.remove(&name(FileKind::Growing, segment));
                if !producers.is_empty() {
                    self.put(FileKind::Producers.file_name(*next), producers);
                }
            }
            DiskAction::WriteBeside { kind, at, contents } => self.put(kind.file_name(*at), contents),
            DiskAction::Note { segment, position, entries, aborted, through, producers } => {
                let file = self.files.entry(name(FileKind::Growing, segment)).or_default();
                file.resize(*position as usize, 0);
                file.extend_from_slice(entries);
                if !aborted.is_empty() {
                    self.put(name(FileKind::Aborted, segment), aborted);
                }
                self.put(FileKind::Producers.file_name(*through), producers);
            }
            DiskAction::WriteCheckpoint { name, contents } => self.put((*name).to_owned(), contents),
            DiskAction::Retire { segments } => {
                segments.iter().for_each(|gone| self.remove(gone.base));
            }
            DiskAction::Remove { segments, snapshots } => {
                segments
                    .iter()
                    .for_each(|gone| drop(self.files.remove(&FileKind::Log.retired_file_name(gone.base))));
                snapshots.iter().for_each(|at| drop(self.files.remove(&FileKind::Producers.file_name(*at))));
            }
            DiskAction::Sync { .. } => {}
            DiskAction::MapKeys(_)
            | DiskAction::Rewrite(_)
            | DiskAction::Swap { .. }
            | DiskAction::Move(_)
            | DiskAction::Scrub(_)
            | DiskAction::DeletePartition => {
                panic!("nobody asked for {action:?}")
            }
        }
    }

    fn step(&mut self, step: &FileStep) {
        match step {
            FileStep::Rename { from, to } => {
                if let Some(file) = self.files.remove(from) {
                    self.files.insert(to.clone(), file);
                }
            }
            FileStep::Remove(name) => drop(self.files.remove(name)),
            FileStep::SyncDirectory => {}
        }
    }

    fn put(&mut self, name: String, contents: &[u8]) {
        self.files.insert(name, contents.to_vec());
    }

    fn remove(&mut self, base: Offset) {
        for kind in FileKind::ALL {
            self.files.remove(&kind.file_name(base));
        }
    }
}

impl LogFiles for Directory {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        Ok(self.files.iter().map(|(name, file)| (name.clone(), file.len() as u64)).collect())
    }

    fn read_at(&self, name: &str, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let file = self.files.get(name).ok_or(ErrorKind::NotFound)?;
        let data = usize::try_from(position).ok().and_then(|at| file.get(at..)).unwrap_or_default();
        let size = data.len().min(buffer.len());
        buffer[..size].copy_from_slice(&data[..size]);
        Ok(size)
    }
}

/// Sets the checksums of batches, of a snapshot, of aborted transactions, of the durable point and of what is damaged.
fn set_right(kind: u8, base: Offset, contents: &mut Vec<u8>) {
    match kind % 12 {
        0 | 7 => {
            let mut at = 0;
            while let Ok(batch) = BatchView::parse(&contents[at..]) {
                let (crc, size) = (crc32c(&batch.bytes()[position::ATTRIBUTES..]), batch.size());
                contents[at + position::CRC..][..4].copy_from_slice(&crc.to_be_bytes());
                at += size;
            }
        }
        4 if contents.len() >= 6 => {
            let crc = crc32c(&contents[6..]);
            contents[2..6].copy_from_slice(&crc.to_be_bytes());
        }
        11 if contents.len() >= 4 => {
            let size = contents.len();
            let (entries, checksum) = contents.split_at_mut(size - 4);
            let crc = crc32c(&[&base.raw().to_be_bytes()[..], entries].concat());
            checksum.copy_from_slice(&crc.to_be_bytes());
        }
        5 | 9 => {
            let text = String::from_utf8_lossy(contents).into_owned();
            let Some((body, _)) = text.strip_suffix('\n').and_then(|text| text.rsplit_once('\n')) else {
                return;
            };
            let crc = crc32c(format!("{body}\n").as_bytes());
            *contents = format!("{body}\n{crc:08x}\n").into_bytes();
        }
        _ => {}
    }
}
