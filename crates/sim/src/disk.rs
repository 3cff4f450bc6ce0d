//! A machine's disk: what is written, what of it is on the platter, and what a crash leaves.
//!
//! Promises as little as `klamm_log::Files` over a file system does: a write is on the platter after a sync that *began* after the write ended, a file's
//! name after the first sync of a segment in its directory, a cut when it ends, a checkpoint as a whole or not at all. Everything else may be lost, kept
//! or torn when the power goes, in any combination.

use std::{collections::BTreeMap, io};

use bytes::Bytes;
use klamm_log::{
    DiskAction, DiskError, DiskOp, Done, FileKind, LogFiles, OpId, PARTITION_METADATA, Prefix, SegmentId,
};
use klamm_model::{TopicId, TopicPartition};

use crate::{
    dice::Dice,
    timeline::{MS, Timeline},
};

mod compaction;

/// What the disk does wrong on purpose, to see that the checkers notice.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DiskSabotage {
    /// Says that it synced and did not.
    pub fsync_lies: bool,
    /// Stores batches as the producer sent them, without the offset and the epoch that the log gave them.
    pub forgets_offsets: bool,
}

/// What is wrong with the disk at the moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Illness {
    /// Writes find no room.
    pub full: bool,
    /// The next sync fails.
    pub fails_sync: bool,
    /// Everything takes this many times longer.
    pub slowness: u64,
}

/// How much a crash takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loss {
    /// The process ended; what it wrote is in the page cache.
    Process,
    /// The machine lost power: of what was not synced, some is there and some is not.
    Power,
    /// The same, and nothing that was not synced is there.
    AllUnsynced,
}

/// One machine's disk.
#[derive(Default)]
pub struct Disk {
    directories: BTreeMap<String, Directory>,
    names: BTreeMap<TopicPartition, String>,
    /// Of the segments that were swapped since the start.
    versions: BTreeMap<SegmentId, u32>,
    jobs: BTreeMap<u64, Job>,
    next_job: u64,
    next_change: u64,
    /// What is wrong with it.
    pub illness: Illness,
    sabotage: DiskSabotage,
    has_failed_sync: bool,
}

/// An operation under way.
struct Job {
    op: DiskOp,
    /// Changes that existed when it began; a sync covers these.
    changes_before: u64,
    fails: Option<DiskError>,
}

#[derive(Default)]
struct Directory {
    partition: Option<TopicPartition>,
    is_durable: bool,
    files: BTreeMap<String, File>,
}

#[derive(Clone, Default)]
struct File {
    /// As whoever reads it sees it.
    content: Vec<u8>,
    /// As it is on the platter.
    durable: Vec<u8>,
    /// What leads from the one to the other.
    changes: Vec<Change>,
    is_name_durable: bool,
    /// The name it has on the platter, where it was renamed and that is not there yet.
    old_name: Option<String>,
}

#[derive(Clone)]
struct Change {
    number: u64,
    what: Edit,
}

#[derive(Clone)]
enum Edit {
    Empty,
    Write { position: usize, bytes: Bytes },
}

impl File {
    fn change(&mut self, number: u64, what: Edit) {
        apply(&mut self.content, &what);
        self.changes.push(Change { number, what });
    }

    /// Brings the changes before `number` to the platter.
    fn sync(&mut self, number: u64) {
        let rest = self.changes.partition_point(|change| change.number < number);
        for change in self.changes.drain(..rest) {
            apply(&mut self.durable, &change.what);
        }
        self.is_name_durable = true;
    }

    /// What the system failed to bring to the platter it forgets about: a later sync succeeds without it (fsyncgate).
    fn forget(&mut self, number: u64, dice: &mut Dice) {
        let rest = self.changes.partition_point(|change| change.number < number);
        for change in self.changes.drain(..rest) {
            if dice.chance(50) {
                apply(&mut self.durable, &change.what);
            }
        }
    }

    fn settle(&mut self) {
        self.durable.clone_from(&self.content);
        self.changes.clear();
        self.is_name_durable = true;
    }
}

fn apply(content: &mut Vec<u8>, edit: &Edit) {
    match edit {
        Edit::Empty => content.clear(),
        Edit::Write { position, bytes } => {
            let end = position + bytes.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[*position..end].copy_from_slice(bytes);
        }
    }
}

/// A partition's directory, as a starting node finds it.
pub struct Found {
    /// Whose it is, where that could be read.
    pub partition: Option<TopicPartition>,
    /// Its name.
    pub directory: String,
}

impl Disk {
    /// A new, empty disk.
    pub fn new(sabotage: DiskSabotage) -> Self {
        Self { sabotage, ..Self::default() }
    }

    /// Takes an operation. It ends after the returned time, by [`Self::end`] with the returned number.
    pub fn begin(&mut self, op: DiskOp, timeline: &mut Timeline) -> (u64, u64) {
        let dice = &mut timeline.dice;
        let duration = match &op.action {
            DiskAction::Write { .. } if dice.chance(30) => 1,
            DiskAction::Write { .. } => dice.between(5, 400),
            DiskAction::Sync { .. } if dice.chance(5) => dice.between(5 * MS, 60 * MS),
            DiskAction::Sync { .. } => dice.between(MS / 5, 4 * MS),
            _ => dice.between(50, 3 * MS),
        };
        let fails = self.failure(&op.action, timeline);
        let job = self.next_job;
        self.next_job += 1;
        self.jobs.insert(job, Job { op, changes_before: self.next_change, fails });
        (job, duration * self.illness.slowness.max(1))
    }

    fn failure(&mut self, action: &DiskAction, timeline: &mut Timeline) -> Option<DiskError> {
        let failure = match action {
            // A cut syncs too.
            DiskAction::Sync { .. } | DiskAction::Truncate { .. } if self.illness.fails_sync => {
                self.illness.fails_sync = false;
                self.has_failed_sync = true;
                timeline.coverage.count("disk: failed sync");
                DiskError::Io("the sync failed".to_owned())
            }
            DiskAction::Write { .. }
            | DiskAction::CreateSegment { .. }
            | DiskAction::Seal { .. }
            | DiskAction::Rewrite(_)
            | DiskAction::Swap { .. }
            | DiskAction::WriteCheckpoint { .. }
                if self.illness.full && timeline.dice.chance(70) =>
            {
                timeline.coverage.count("disk: full");
                DiskError::Full
            }
            _ => return None,
        };
        Some(failure)
    }

    /// An operation that was begun ends now.
    pub fn end(&mut self, job: u64, dice: &mut Dice) -> (TopicPartition, OpId, Result<Done, DiskError>) {
        let Job { op, changes_before, fails } = self.jobs.remove(&job).expect("an operation ends once");
        let (partition, id) = (op.partition, op.id);
        let result = match (fails, &op.action) {
            (Some(error), _) => {
                self.perform_partly(op, changes_before, true, dice);
                Err(error)
            }
            (None, DiskAction::MapKeys(job)) => self.map_keys(job),
            (None, DiskAction::Rewrite(job)) => self.rewrite_segments(job),
            (None, _) => {
                self.perform(op, changes_before);
                Ok(Done::Nothing)
            }
        };
        (partition, id, result)
    }

    fn directory(&mut self, partition: TopicPartition) -> &mut Directory {
        let name = self.names.get(&partition).expect("operations follow the one that made the directory");
        self.directories.get_mut(name).expect("a named directory exists")
    }

    fn file(&mut self, segment: SegmentId, kind: FileKind) -> &mut File {
        self.directory(segment.partition).files.entry(kind.file_name(segment.base)).or_default()
    }

    fn number_change(&mut self) -> u64 {
        self.next_change += 1;
        self.next_change - 1
    }

    fn change(&mut self, segment: SegmentId, kind: FileKind, edit: Edit) {
        let number = self.number_change();
        self.file(segment, kind).change(number, edit);
    }

    fn perform(&mut self, op: DiskOp, changes_before: u64) {
        match op.action {
            DiskAction::CreatePartition { directory, topic, base, .. } => {
                self.names.insert(op.partition, directory.clone());
                let made = self.directories.entry(directory).or_default();
                made.partition = Some(op.partition);
                let number = self.number_change();
                let metadata = format!("version: 0\ntopic_id: {topic}\n");
                let directory = self.directory(op.partition);
                let file = directory.files.entry(PARTITION_METADATA.to_owned()).or_default();
                file.change(number, Edit::Empty);
                file.change(number, Edit::Write { position: 0, bytes: metadata.into() });
                let segment = SegmentId { partition: op.partition, base };
                self.change(segment, FileKind::Log, Edit::Empty);
            }
            DiskAction::CreateSegment { segment } => {
                self.versions.remove(&segment);
                self.change(segment, FileKind::Log, Edit::Empty);
            }
            // They have ended before they come here.
            DiskAction::MapKeys(_) | DiskAction::Rewrite(_) => {}
            DiskAction::Swap { segment, replaced } => self.swap(segment, &replaced, usize::MAX),
            DiskAction::Write { segment, position, prefix, body } => {
                let bytes = self.stored(prefix, body);
                self.change(segment, FileKind::Log, Edit::Write { position: position as usize, bytes });
            }
            DiskAction::Sync { segment } => {
                if self.sabotage.fsync_lies {
                    return self.name_everything(segment.partition);
                }
                self.file(segment, FileKind::Log).sync(changes_before);
                self.name_everything(segment.partition);
            }
            DiskAction::Truncate { segment, size, delete } => {
                for gone in delete.iter().rev() {
                    self.remove_segment(*gone);
                }
                let file = self.file(segment, FileKind::Log);
                file.content.truncate(size as usize);
                file.settle();
            }
            DiskAction::Seal { segment, size: _, index, times, next, producers } => {
                self.rewrite(segment, FileKind::Index, index);
                self.rewrite(segment, FileKind::TimeIndex, times);
                self.directory(op.partition).files.remove(&FileKind::Growing.file_name(segment.base));
                if !producers.is_empty() {
                    let snapshot = SegmentId { base: next, ..segment };
                    self.rewrite(snapshot, FileKind::Producers, producers);
                }
            }
            DiskAction::Note { segment, position, entries, through, producers } => {
                let edit = Edit::Write { position: position as usize, bytes: entries };
                self.change(segment, FileKind::Growing, edit);
                let snapshot = SegmentId { base: through, ..segment };
                self.change(snapshot, FileKind::Producers, Edit::Empty);
                self.change(snapshot, FileKind::Producers, Edit::Write { position: 0, bytes: producers });
            }
            DiskAction::WriteSnapshot { at, producers } => {
                self.rewrite(SegmentId { partition: op.partition, base: at }, FileKind::Producers, producers);
            }
            DiskAction::WriteCheckpoint { name, contents } => {
                let lies = self.sabotage.fsync_lies;
                let number = self.number_change();
                let file = self.directory(op.partition).files.entry(name.to_owned()).or_default();
                file.change(number, Edit::Empty);
                file.change(number, Edit::Write { position: 0, bytes: contents });
                file.is_name_durable = true;
                if !lies {
                    file.settle();
                }
            }
            DiskAction::Retire { segments } => segments.into_iter().for_each(|gone| self.retire(gone)),
            DiskAction::Remove { segments, snapshots } => {
                for at in snapshots {
                    self.directory(op.partition).files.remove(&FileKind::Producers.file_name(at));
                }
                for gone in segments {
                    let files = &mut self.directory(gone.partition).files;
                    for kind in FileKind::ALL {
                        files.remove(&kind.retired_file_name(gone.base));
                    }
                }
            }
            DiskAction::DeletePartition => {
                if let Some(name) = self.names.remove(&op.partition) {
                    self.directories.remove(&name);
                }
            }
        }
    }

    fn stored(&self, prefix: Option<Prefix>, body: Bytes) -> Bytes {
        match prefix.filter(|_| !self.sabotage.forgets_offsets) {
            Some(prefix) => [&prefix[..], &body[prefix.len()..]].concat().into(),
            None => body,
        }
    }

    /// Small files beside a segment are synced, but must never be trusted: some are left to the crash.
    fn rewrite(&mut self, segment: SegmentId, kind: FileKind, contents: Bytes) {
        let careless = self.next_change.is_multiple_of(5);
        self.change(segment, kind, Edit::Empty);
        self.change(segment, kind, Edit::Write { position: 0, bytes: contents });
        if !careless {
            self.file(segment, kind).settle();
        }
    }

    fn remove_segment(&mut self, segment: SegmentId) {
        let files = &mut self.directory(segment.partition).files;
        for kind in FileKind::ALL {
            files.remove(&kind.file_name(segment.base));
        }
    }

    fn retire(&mut self, segment: SegmentId) {
        let files = &mut self.directory(segment.partition).files;
        for kind in FileKind::ALL {
            let name = kind.file_name(segment.base);
            if let Some(mut file) = files.remove(&name) {
                file.old_name = Some(name);
                files.insert(kind.retired_file_name(segment.base), file);
            }
        }
    }

    /// The directory itself was synced: names are there, and what `CreatePartition` made.
    fn name_everything(&mut self, partition: TopicPartition) {
        let directory = self.directory(partition);
        directory.is_durable = true;
        for (name, file) in &mut directory.files {
            file.is_name_durable = true;
            file.old_name = None;
            if name == PARTITION_METADATA {
                file.settle();
            }
        }
    }

    /// What is left of an operation that failed, or that a crash came in the middle of.
    fn perform_partly(&mut self, op: DiskOp, changes_before: u64, has_failed: bool, dice: &mut Dice) {
        match op.action {
            DiskAction::Write { segment, position, prefix, body } => {
                let bytes = self.stored(prefix, body);
                let kept = bytes.slice(..dice.index(bytes.len() + 1));
                self.change(segment, FileKind::Log, Edit::Write { position: position as usize, bytes: kept });
            }
            DiskAction::Sync { segment } => self.file(segment, FileKind::Log).forget(changes_before, dice),
            DiskAction::Truncate { segment, size, delete } => {
                let done = dice.index(delete.len() + 2);
                for gone in delete.iter().rev().take(done) {
                    self.remove_segment(*gone);
                }
                if delete.len() < done {
                    let file = self.file(segment, FileKind::Log);
                    file.content.truncate(size as usize);
                    if has_failed {
                        file.forget(u64::MAX, dice);
                    } else {
                        file.settle();
                    }
                }
            }
            DiskAction::Retire { segments } => {
                let done = dice.index(segments.len() + 1);
                segments.into_iter().take(done).for_each(|gone| self.retire(gone));
            }
            DiskAction::Seal { segment, index, .. } => {
                let kept = index.slice(..dice.index(index.len() + 1));
                self.rewrite(segment, FileKind::Index, kept);
            }
            DiskAction::Swap { segment, replaced } => {
                self.swap(segment, &replaced, dice.index(11 + 4 * replaced.len()));
            }
            // What is half written counts for nothing.
            DiskAction::MapKeys(_) | DiskAction::Rewrite(_) => {}
            action @ (DiskAction::CreatePartition { .. }
            | DiskAction::CreateSegment { .. }
            | DiskAction::Note { .. }
            | DiskAction::WriteSnapshot { .. }
            | DiskAction::WriteCheckpoint { .. }
            | DiskAction::Remove { .. }
            | DiskAction::DeletePartition) => {
                if dice.chance(50) {
                    self.perform(DiskOp { action, ..op }, changes_before);
                }
            }
        }
    }

    /// The process ends, with or without the machine. Nothing that is under way is told to anybody any more.
    pub fn crash(&mut self, loss: Loss, dice: &mut Dice) {
        let loss = if self.has_failed_sync && loss == Loss::Process { Loss::Power } else { loss };
        for (_, job) in std::mem::take(&mut self.jobs) {
            let known = self.names.contains_key(&job.op.partition)
                || matches!(job.op.action, DiskAction::CreatePartition { .. });
            if known && job.fails.is_none() {
                self.crash_within(job, dice);
            }
        }
        match loss {
            Loss::Process => {}
            Loss::Power => self.lose_power(true, dice),
            Loss::AllUnsynced => self.lose_power(false, dice),
        }
        self.names.clear();
        self.versions.clear();
        self.has_failed_sync &= loss == Loss::Process;
    }

    /// Whether the page cache may hold what will never get to the platter.
    pub fn has_failed_sync(&self) -> bool {
        self.has_failed_sync
    }

    fn crash_within(&mut self, job: Job, dice: &mut Dice) {
        match &job.op.action {
            // It may have come to its end unseen, or brought nothing to the platter yet.
            DiskAction::Sync { .. } => {
                if dice.chance(50) {
                    self.perform(job.op, job.changes_before);
                }
            }
            _ => self.perform_partly(job.op, job.changes_before, false, dice),
        }
    }

    fn lose_power(&mut self, keeps_some: bool, dice: &mut Dice) {
        self.directories.retain(|_, directory| directory.is_durable || (keeps_some && dice.chance(50)));
        for directory in self.directories.values_mut() {
            directory.is_durable = true;
            let renamed: Vec<String> = directory
                .files
                .iter()
                .filter(|(_, file)| file.old_name.is_some())
                .map(|(name, _)| name.clone())
                .collect();
            for name in renamed.into_iter().filter(|_| !keeps_some || dice.chance(50)) {
                if let Some(mut file) = directory.files.remove(&name)
                    && let Some(old) = file.old_name.take()
                {
                    directory.files.entry(old).or_insert(file);
                }
            }
            directory.files.retain(|_, file| file.is_name_durable || (keeps_some && dice.chance(50)));
            for file in directory.files.values_mut() {
                let changes = std::mem::take(&mut file.changes);
                for change in changes.iter().filter(|_| keeps_some) {
                    lose_some(&mut file.durable, &change.what, dice);
                }
                file.content.clone_from(&file.durable);
                file.is_name_durable = true;
            }
        }
    }

    /// What a starting node finds.
    pub fn found(&self) -> Vec<Found> {
        let found = |(name, directory): (&String, &Directory)| Found {
            // The file says which topic it is; it was written from what this remembers.
            partition: directory.partition.filter(|partition| is_metadata_whole(directory, partition.topic)),
            directory: name.clone(),
        };
        self.directories.iter().map(found).collect()
    }

    /// A view for recovery; from now on operations of this partition go to that directory.
    pub fn adopt(&mut self, partition: TopicPartition, directory: &str) -> DirectoryView<'_> {
        self.names.insert(partition, directory.to_owned());
        self.finish_swaps(partition);
        DirectoryView(&self.directories[directory])
    }

    /// The segments of a partition as whoever reads sees them: base offset and bytes, in order.
    pub fn segments(&self, partition: TopicPartition) -> Vec<(i64, &[u8])> {
        let directory = self.names.get(&partition).and_then(|name| self.directories.get(name));
        let files = directory.map(|directory| &directory.files);
        let logs = files.into_iter().flatten().filter_map(|(name, file)| {
            let base = name.strip_suffix(".log")?.parse().ok()?;
            Some((base, file.content.as_slice()))
        });
        logs.collect()
    }
}

/// The power goes while this change is only in the page cache.
fn lose_some(durable: &mut Vec<u8>, edit: &Edit, dice: &mut Dice) {
    match (dice.below(3), edit) {
        (0, _) => {}
        (1, Edit::Write { position, bytes }) => {
            let bytes = bytes.slice(..dice.index(bytes.len() + 1));
            apply(durable, &Edit::Write { position: *position, bytes });
        }
        _ => apply(durable, edit),
    }
}

fn is_metadata_whole(directory: &Directory, topic: TopicId) -> bool {
    let wanted = format!("version: 0\ntopic_id: {topic}\n");
    directory.files.get(PARTITION_METADATA).is_some_and(|file| file.content == wanted.as_bytes())
}

fn read(directory: &Directory, name: &str, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let file = directory.files.get(name).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    let from = usize::try_from(position).unwrap_or(usize::MAX).min(file.content.len());
    let size = buffer.len().min(file.content.len() - from);
    buffer[..size].copy_from_slice(&file.content[from..from + size]);
    Ok(size)
}

/// One directory, for recovery.
pub struct DirectoryView<'a>(&'a Directory);

impl LogFiles for DirectoryView<'_> {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        Ok(self.0.files.iter().map(|(name, file)| (name.clone(), file.content.len() as u64)).collect())
    }

    fn read_at(&self, name: &str, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        read(self.0, name, position, buffer)
    }
}
