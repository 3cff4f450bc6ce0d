//! A disk in memory that loses what was not synced, and a log on it.

mod compaction;
mod crashes;
mod damage;
mod producers;
mod reads;
mod recovery;
mod retention;
mod scripts;
mod transactions;

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use klamm_model::{
    BatchBuilder, BatchView, LeaderEpoch, Offset, PartitionIndex, ProduceLimits, Producer, ProducerEpoch,
    ProducerId, Seal, Timestamp, TopicId, TopicPartition, ValidBatch, validate_produce,
};

use crate::compact::{CompactError, FileStep, MapKeys, Rewrite};
use crate::*;

pub(crate) const PARTITION: TopicPartition =
    TopicPartition { topic: TopicId(uuid::Uuid::from_u128(7)), partition: PartitionIndex(0) };

/// Small enough that a test sees several segments and index entries.
pub(crate) fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 600,
        index_interval_bytes: 150,
        notes_interval_bytes: 200,
        ..LogConfig::default()
    }
}

pub(crate) fn offset(raw: i64) -> Offset {
    Offset::new(raw)
}

/// A batch as a client sends it: so many records, told apart by `mark`.
pub(crate) fn batch(count: u32, mark: u64, producer: Option<(i64, i16, i32)>) -> (ValidBatch, Bytes) {
    batch_of(count, mark, producer, false)
}

pub(crate) fn batch_of(
    count: u32,
    mark: u64,
    producer: Option<(i64, i16, i32)>,
    is_transactional: bool,
) -> (ValidBatch, Bytes) {
    let mut builder = BatchBuilder::with_capacity(256);
    for at in 0..count {
        let value = format!("{mark}/{at}");
        builder.append(Timestamp(1000 + mark as i64 * 10 + i64::from(at)), None, Some(value.as_bytes()), &[]);
    }
    let producer = producer.map(|(id, epoch, base_sequence)| Producer {
        id: ProducerId(id),
        epoch: ProducerEpoch(epoch),
        base_sequence,
    });
    let bytes = builder.finish(&Seal { producer, is_transactional, ..Seal::default() });
    (validate_produce(&bytes, &ProduceLimits::default()).expect("a good batch"), bytes)
}

/// A file: what is in it, and what a crash leaves for certain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MemoryFile {
    pub(super) data: Vec<u8>,
    durable: Vec<u8>,
    /// Writes since the last sync: when, where and what.
    unsynced: Vec<(u64, usize, Vec<u8>)>,
    /// The directory's entry is on disk.
    pub(super) settled: bool,
    /// The name on disk, where it is another still.
    old_name: Option<String>,
}

impl MemoryFile {
    fn write(&mut self, when: u64, position: usize, bytes: &[u8]) {
        put(&mut self.data, position, bytes);
        self.unsynced.push((when, position, bytes.to_vec()));
    }

    /// Makes durable what was written by `when`.
    fn sync_as_of(&mut self, when: u64) {
        for (_, position, bytes) in self.unsynced.extract_if(.., |(written, ..)| *written <= when) {
            put(&mut self.durable, position, &bytes);
        }
        self.settled = true;
    }

    fn sync(&mut self) {
        self.durable.clone_from(&self.data);
        self.unsynced.clear();
        self.settled = true;
    }
}

fn put(data: &mut Vec<u8>, position: usize, bytes: &[u8]) {
    if data.len() < position + bytes.len() {
        data.resize(position + bytes.len(), 0);
    }
    data[position..position + bytes.len()].copy_from_slice(bytes);
}

/// One partition's directory.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryDisk {
    pub(super) files: BTreeMap<String, MemoryFile>,
    pub(super) exists: bool,
    /// Counts writes.
    now: u64,
    /// Of the segments that were swapped.
    versions: BTreeMap<Offset, u32>,
    /// When the syncs began that have not ended: they cover what was written by then, and no more.
    began: BTreeMap<OpId, u64>,
}

fn log_name(segment: SegmentId) -> String {
    FileKind::Log.file_name(segment.base)
}

impl MemoryDisk {
    /// Operations that were handed out by now have begun.
    pub(super) fn begin(&mut self, ops: &[DiskOp]) {
        for op in ops {
            self.began.entry(op.id).or_insert(self.now);
        }
    }

    pub(super) fn end(&mut self, op: &DiskOp) -> Result<Done, DiskError> {
        match &op.action {
            DiskAction::MapKeys(job) => return self.map_keys(job),
            DiskAction::Rewrite(job) => return self.rewrite(job),
            DiskAction::Scrub(job) => {
                let mut read = |segment, kind, position, buffer: &mut [u8]| {
                    self.read_version(segment, kind, position, buffer)
                };
                let scrubbed = scrub(job, &mut read).map_err(|error| DiskError::Io(error.to_string()))?;
                return Ok(Done::Scrubbed(Box::new(scrubbed)));
            }
            DiskAction::Sync { segment } => {
                let when = self.began[&op.id];
                self.files.values_mut().for_each(|file| (file.settled, file.old_name) = (true, None));
                self.file(*segment).sync_as_of(when);
            }
            action => self.perform(action),
        }
        Ok(Done::Nothing)
    }

    fn map_keys(&self, job: &MapKeys) -> Result<Done, DiskError> {
        let mut read =
            |segment, kind, position, buffer: &mut [u8]| self.read_version(segment, kind, position, buffer);
        compact::map_keys(job, &mut read).map(|keys| Done::Keys(keys.into())).or_else(|error| match error {
            CompactError::Damaged { segment, position, problem } => {
                Ok(Done::Damaged(Damage { base: segment.base, position, problem }))
            }
            error => Err(DiskError::Io(error.to_string())),
        })
    }

    fn rewrite(&mut self, job: &Rewrite) -> Result<Done, DiskError> {
        let mut bytes = Vec::new();
        let rewritten = compact::rewrite(
            job,
            &mut |segment, kind, position, buffer| self.read_version(segment, kind, position, buffer),
            &mut |more| {
                bytes.extend_from_slice(more);
                Ok(())
            },
        )
        .map_err(|error| DiskError::Io(error.to_string()))?;
        let cleaned = |kind: FileKind| kind.file_name(job.sources[0].segment.id.base) + compact::CLEANED;
        self.replace(cleaned(FileKind::Log), &bytes);
        self.replace(cleaned(FileKind::Index), &rewritten.index);
        self.replace(cleaned(FileKind::TimeIndex), &rewritten.times);
        self.replace(cleaned(FileKind::Aborted), &rewritten.aborted);
        Ok(Done::Rewritten(Box::new(rewritten)))
    }

    pub(super) fn step(&mut self, step: &FileStep) {
        match step {
            FileStep::Rename { from, to } => {
                if let Some(mut file) = self.files.remove(from) {
                    file.old_name = Some(from.clone());
                    self.files.insert(to.clone(), file);
                }
            }
            FileStep::Remove(name) => drop(self.files.remove(name)),
            FileStep::SyncDirectory => {
                self.files.values_mut().for_each(|file| (file.settled, file.old_name) = (true, None));
            }
        }
    }

    fn version_of(&self, base: Offset) -> u32 {
        self.versions.get(&base).copied().unwrap_or(0)
    }

    pub(super) fn read_version(
        &self,
        segment: SegmentVersion,
        kind: FileKind,
        position: u64,
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        if segment.version < self.version_of(segment.id.base) {
            return Err(REPLACED.into());
        }
        self.read(&kind.file_name(segment.id.base), position, buffer)
    }

    pub(super) fn perform(&mut self, action: &DiskAction) {
        match action {
            DiskAction::CreatePartition { base, .. } => {
                self.exists = true;
                self.files.insert(FileKind::Log.file_name(*base), MemoryFile::default());
            }
            DiskAction::CreateSegment { segment } => {
                self.versions.remove(&segment.base);
                self.files.insert(log_name(*segment), MemoryFile::default());
            }
            DiskAction::Write { segment, position, prefix, body } => {
                let bytes = written_bytes(prefix.as_ref(), body);
                self.now += 1;
                let now = self.now;
                self.file(*segment).write(now, *position as usize, &bytes);
            }
            DiskAction::Sync { .. }
            | DiskAction::MapKeys(_)
            | DiskAction::Rewrite(_)
            | DiskAction::Move(_)
            | DiskAction::Scrub(_) => {
                panic!("it needs more than the files")
            }
            DiskAction::Swap { segment, replaced } => {
                let bases: Vec<Offset> = replaced.iter().map(|gone| gone.base).collect();
                for step in compact::swap_steps(segment.id.base, &bases) {
                    self.step(&step);
                }
                for base in bases.into_iter().chain([segment.id.base]) {
                    self.versions.insert(base, segment.version);
                }
            }
            DiskAction::Truncate { segment, size, delete } => {
                for (gone, kind) in files_of(delete) {
                    self.files.remove(&kind.file_name(gone));
                }
                let file = self.file(*segment);
                assert!(*size as usize <= file.data.len(), "cut to {size}, but has {}", file.data.len());
                file.data.truncate(*size as usize);
                file.sync();
            }
            DiskAction::Seal { segment, size, index, times, aborted, next, producers } => {
                assert_eq!(self.file(*segment).data.len(), *size as usize, "sealed size");
                self.replace(FileKind::Index.file_name(segment.base), index);
                self.replace(FileKind::TimeIndex.file_name(segment.base), times);
                self.files.remove(&FileKind::Growing.file_name(segment.base));
                if !aborted.is_empty() {
                    self.replace(FileKind::Aborted.file_name(segment.base), aborted);
                }
                if !producers.is_empty() {
                    self.replace(FileKind::Producers.file_name(*next), producers);
                }
            }
            DiskAction::Note { segment, position, entries, aborted, through, producers } => {
                self.now += 1;
                let now = self.now;
                let notes = self.files.entry(FileKind::Growing.file_name(segment.base)).or_default();
                notes.write(now, *position as usize, entries);
                let replaced = [
                    (FileKind::Aborted.file_name(segment.base), aborted),
                    (FileKind::Producers.file_name(*through), producers),
                ];
                for (name, contents) in replaced.into_iter().filter(|(_, contents)| !contents.is_empty()) {
                    let mut file = MemoryFile::default();
                    file.write(now, 0, contents);
                    self.files.insert(name, file);
                }
            }
            DiskAction::WriteBeside { kind, at, contents } => self.replace(kind.file_name(*at), contents),
            DiskAction::WriteCheckpoint { name, contents } => self.replace((*name).to_owned(), contents),
            DiskAction::Retire { segments } => {
                for (gone, kind) in files_of(segments) {
                    let name = kind.file_name(gone);
                    if let Some(mut file) = self.files.remove(&name) {
                        file.old_name = Some(name);
                        self.files.insert(kind.retired_file_name(gone), file);
                    }
                }
            }
            DiskAction::Remove { segments, snapshots } => {
                for at in snapshots {
                    self.files.remove(&FileKind::Producers.file_name(*at));
                }
                for (gone, kind) in files_of(segments) {
                    self.files.remove(&kind.retired_file_name(gone));
                }
            }
            DiskAction::DeletePartition => *self = Self::default(),
        }
    }

    fn file(&mut self, segment: SegmentId) -> &mut MemoryFile {
        self.files.get_mut(&log_name(segment)).unwrap_or_else(|| panic!("{segment:?} is not there"))
    }

    fn replace(&mut self, name: String, contents: &[u8]) {
        let mut file = MemoryFile { data: contents.to_vec(), ..MemoryFile::default() };
        file.sync();
        self.files.insert(name, file);
    }

    /// What a crash leaves: of what was not synced, anything. `random` gives numbers.
    pub(super) fn crash(&mut self, random: &mut dyn FnMut() -> usize) {
        let renamed =
            self.files.extract_if(.., |_, file| file.old_name.is_some() && random().is_multiple_of(2));
        let back: Vec<_> = renamed.filter_map(|(_, mut file)| Some((file.old_name.take()?, file))).collect();
        self.files.extend(back);
        self.files.retain(|_, file| file.settled || random().is_multiple_of(2));
        for file in self.files.values_mut() {
            let mut data = file.durable.clone();
            for (_, position, bytes) in &file.unsynced {
                let kept = match random() % 4 {
                    0 => 0,
                    1 => random() % (bytes.len() + 1),
                    _ => bytes.len(),
                };
                if 0 < kept {
                    put(&mut data, *position, &bytes[..kept]);
                }
            }
            file.data = data;
            file.sync();
        }
    }

    /// The bytes of all segments, by base.
    pub(super) fn segment(&self, base: Offset) -> &[u8] {
        &self.files[&FileKind::Log.file_name(base)].data
    }

    pub(super) fn read(&self, name: &str, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let file = self.files.get(name).ok_or(io::ErrorKind::NotFound)?;
        let data = file.data.get(position as usize..).unwrap_or_default();
        let size = data.len().min(buffer.len());
        buffer[..size].copy_from_slice(&data[..size]);
        Ok(size)
    }
}

fn files_of(segments: &[SegmentId]) -> impl Iterator<Item = (Offset, FileKind)> {
    segments.iter().flat_map(|segment| FileKind::ALL.map(|kind| (segment.base, kind)))
}

pub(crate) fn written_bytes(prefix: Option<&Prefix>, body: &Bytes) -> Vec<u8> {
    let mut bytes = body.to_vec();
    if let Some(prefix) = prefix {
        bytes[..prefix.len()].copy_from_slice(prefix);
    }
    bytes
}

impl LogFiles for MemoryDisk {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        Ok(self.files.iter().map(|(name, file)| (name.clone(), file.data.len() as u64)).collect())
    }

    fn read_at(&self, name: &str, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.read(name, position, buffer)
    }
}

/// A log on its disk, with operations that have not ended.
pub(crate) struct Bench {
    pub(super) log: Log,
    pub(super) disk: MemoryDisk,
    pub(super) under_way: Vec<DiskOp>,
}

impl Bench {
    pub(super) fn new(config: LogConfig) -> Self {
        let mut under_way = Vec::new();
        let log = Log::create(PARTITION, "topic-0".to_owned(), config, &mut under_way);
        Self { log, disk: MemoryDisk::default(), under_way }
    }

    pub(super) fn open(disk: MemoryDisk, config: LogConfig) -> Result<(Self, RecoveryReport), RecoverError> {
        let mut disk = disk;
        disk.began.clear();
        disk.versions.clear();
        for step in compact::unfinished_swaps(&disk).expect("what counts is whole") {
            disk.step(&step);
        }
        let (mut log, report) = Log::recover(PARTITION, "topic-0".to_owned(), config, &disk)?;
        let mut under_way = Vec::new();
        log.start(&mut under_way);
        Ok((Self { log, disk, under_way }, report))
    }

    pub(super) fn append(&mut self, count: u32, mark: u64) -> Appended {
        let (valid, bytes) = batch(count, mark, None);
        let epoch = self.log.last_epoch().unwrap_or_default();
        self.log.append_as_leader(epoch, &valid, bytes, &mut self.under_way).expect("appended")
    }

    pub(super) fn append_by(
        &mut self,
        epoch: i32,
        count: u32,
        mark: u64,
        producer: (i64, i16, i32),
    ) -> Result<Appended, AppendError> {
        let (valid, bytes) = batch(count, mark, Some(producer));
        self.log.append_as_leader(LeaderEpoch(epoch), &valid, bytes, &mut self.under_way)
    }

    /// Performs and ends one operation.
    pub(super) fn end(&mut self, at: usize, result: Result<(), DiskError>) -> Progress {
        self.disk.begin(&self.under_way);
        let op = self.under_way.remove(at);
        let result = result.and_then(|()| self.disk.end(&op));
        self.log.done(op.id, result, &mut self.under_way)
    }

    /// The sync that was handed out begins now, if there is one: until now it has waited.
    pub(super) fn begin_sync(&mut self) {
        let waits = |op: &&DiskOp| matches!(op.action, DiskAction::Sync { .. });
        if let Some(op) = self.under_way.iter().find(waits) {
            self.log.sync_begins(op.id);
            self.disk.began.insert(op.id, self.disk.now);
        }
    }

    /// Performs everything until nothing is left.
    pub(super) fn settle(&mut self) {
        while !self.under_way.is_empty() {
            self.end(0, Ok(()));
        }
    }

    pub(super) fn resolve(&self, plan: &ReadPlan) -> Result<Vec<u8>, ReadError> {
        let mut read = |kind: FileKind, position: u64, buffer: &mut [u8]| {
            self.disk.read_version(plan.segment, kind, position, buffer)
        };
        let range = resolve(plan, &mut read)?;
        if plan.segment.version < self.disk.version_of(plan.segment.id.base) {
            return Err(ReadError::Replaced);
        }
        Ok(self.disk.segment(plan.segment.id.base)[range.start as usize..range.end as usize].to_vec())
    }

    pub(super) fn find(&self, lookup: &TimeLookup) -> Option<(i64, i64)> {
        self.try_find(lookup).expect("readable")
    }

    pub(super) fn try_find(&self, lookup: &TimeLookup) -> Result<Option<(i64, i64)>, ReadError> {
        let mut read = |segment: SegmentVersion, kind: FileKind, position: u64, buffer: &mut [u8]| {
            self.disk.read_version(segment, kind, position, buffer)
        };
        let found = resolve_time(lookup, &mut read)?;
        Ok(found.map(|it| (it.offset.raw(), it.timestamp.0)))
    }
}
