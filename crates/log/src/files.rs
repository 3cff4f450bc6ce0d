//! The disk: performs operations on the files of a broker's data directories. The only file system calls of the crates below the shell.
//!
//! Callable from many threads. What is found on the disk is not trusted: no symbolic link is followed, and nothing that could hold somebody's
//! records is overwritten.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod data_dir;
mod journal;
mod marker;
mod together;

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use klamm_model::{TopicId, TopicPartition};
use rustc_hash::FxHashMap;
use rustix::fs::OFlags;
use thiserror::Error;

use crate::disk::{
    DiskAction, DiskError, DiskOp, Done, FileKind, LogDir, MoveStep, PARTITION_METADATA, Prefix, REPLACED,
    SegmentId, SegmentVersion,
};
use crate::recover::LogFiles;
use crate::scrub::{self, Scrub};

pub use data_dir::{DataDir, Space};
pub use marker::CleanShutdown;

const LOCK_FILE: &str = ".lock";
/// What the name of a directory ends with that is being deleted.
const DELETED: &str = "-delete";
/// And of one that is a copy of a partition on its way here.
const FUTURE: &str = "-future";
/// What file systems take.
const FILE_NAME_BYTES_MAX: usize = 255;
const TEMPORARY: &str = ".tmp";
/// Open segment files at most. Opening one again costs some 10 µs, which is only noticed if it happens for each write; an open one some 300 bytes in the kernel.
const OPEN_FILES_MAX: usize = 8192;

mod open;

use open::{Open, OpenFiles};

/// The directory cannot be used.
#[derive(Debug, Error)]
pub enum FilesError {
    /// Another process has it.
    #[error("{path} is in use by another process")]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The system said no.
    #[error("{operation} {path}: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// A partition's directory, as found at start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FoundPartition {
    /// Whose it is; `None` if `partition.metadata` is missing or unreadable.
    pub partition: Option<TopicPartition>,
    /// The topic's name, as the directory says.
    pub topic: String,
    /// The directory's name.
    pub directory: String,
    /// The data directory it is in.
    pub log_dir: LogDir,
}

/// The segment files of a broker's data directories.
pub struct Files {
    /// By their numbers; never empty.
    data_dirs: Vec<DataDir>,
    partitions: RwLock<FxHashMap<TopicPartition, Arc<Directory>>>,
    open: OpenFiles,
    /// Of the segments that were swapped: which version their files are, or are about to be.
    versions: RwLock<FxHashMap<SegmentId, u32>>,
    /// Long work that nobody waits for is to end.
    is_stopping: AtomicBool,
}

/// A segment's records, for whoever appends some.
pub struct SegmentFile(Arc<Open>);

impl SegmentFile {
    /// To write to.
    pub fn file(&self) -> &File {
        &self.0.file
    }

    /// So many bytes are written from there on, and so the next sync is about them, too.
    pub fn wrote(&self, position: u32, size: usize) {
        self.0.wrote(position..position.saturating_add(u32::try_from(size).unwrap_or(u32::MAX)));
    }
}

struct Directory {
    log_dir: LogDir,
    path: PathBuf,
    /// What was made in it at first, and it itself, is known to be on disk.
    settled: AtomicBool,
    /// The entries of all segments that begin below are known to be on disk.
    settled_below: AtomicI64,
}

impl Directory {
    fn new(log_dir: LogDir, path: PathBuf) -> Arc<Self> {
        Arc::new(Self { log_dir, path, settled: AtomicBool::new(false), settled_below: AtomicI64::new(0) })
    }

    fn name(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }
}

impl Files {
    /// Takes the directory for this process; it is made, for its owner alone, if it is not there. What was being deleted goes.
    pub fn open(directory: &Path) -> Result<Self, FilesError> {
        Self::open_all(&[directory.to_owned()])
    }

    /// The same for several data directories, in the order of their numbers.
    ///
    /// # Panics
    /// If there is none.
    pub fn open_all(directories: &[PathBuf]) -> Result<Self, FilesError> {
        assert!(!directories.is_empty(), "a broker has at least one data directory");
        let data_dirs: Vec<_> =
            directories.iter().map(|path| DataDir::open(path)).collect::<Result<_, _>>()?;
        moving::finish_moves(&data_dirs)?;
        Ok(Self {
            data_dirs,
            partitions: RwLock::default(),
            open: OpenFiles::new(open_files_max()),
            versions: RwLock::default(),
            is_stopping: AtomicBool::new(false),
        })
    }

    /// How many segment files are open. Never more than half of what the system allows the process.
    pub fn open_count(&self) -> usize {
        self.open.count()
    }

    /// The data directories.
    pub fn data_dirs(&self) -> &[DataDir] {
        &self.data_dirs
    }

    fn data_dir(&self, log_dir: LogDir) -> &DataDir {
        &self.data_dirs[usize::from(log_dir.0)]
    }

    /// What there is, in the order of the directories' names.
    pub fn partitions(&self) -> Result<Vec<FoundPartition>, FilesError> {
        let mut found = Vec::new();
        for (number, data_dir) in self.data_dirs.iter().enumerate() {
            data_dir.list(LogDir(number as u16), &mut found)?;
        }
        found.sort_by(|one, other| (&one.directory, one.log_dir).cmp(&(&other.directory, other.log_dir)));
        Ok(found)
    }

    /// Where a partition's files are, as far as that is known.
    pub fn directory_of(&self, partition: TopicPartition) -> Option<PathBuf> {
        Some(self.partition(partition).ok()?.path.clone())
    }

    /// From now on operations of this partition go to that directory, which was found at start. For recovery, its files. What a crash interrupted
    /// in a swap of segments is done first.
    pub fn adopt(&self, partition: TopicPartition, directory: &str) -> DirectoryFiles {
        self.adopt_in(LogDir::default(), partition, directory)
    }

    /// The same in another than the first data directory.
    pub fn adopt_in(&self, log_dir: LogDir, partition: TopicPartition, directory: &str) -> DirectoryFiles {
        let path = self.data_dir(log_dir).path.join(directory);
        let mut files = DirectoryFiles { path: path.clone(), unfinished: None };
        files.unfinished = compaction::finish_swaps(&files).err();
        write_lock(&self.partitions).insert(partition, Directory::new(log_dir, path));
        files
    }

    /// Performs an operation. Blocks until it has ended. In a data directory that has failed, nothing is tried any more.
    pub fn perform(&self, op: &DiskOp) -> Result<Done, DiskError> {
        self.guarded(op, || {
            self.leave_journal(op)?;
            self.try_to_perform(op)
        })
    }

    /// Not on a disk that has failed; and a failure is kept in mind.
    fn guarded(
        &self,
        op: &DiskOp,
        perform: impl FnOnce() -> Result<Done, DiskError>,
    ) -> Result<Done, DiskError> {
        let log_dir = match &op.action {
            DiskAction::CreatePartition { log_dir, .. } => *log_dir,
            DiskAction::Move(it) => it.to,
            // What is not known any more is deleted, which does no harm.
            _ => self.partition(op.partition).map_or(LogDir::default(), |directory| directory.log_dir),
        };
        let data_dir = self.data_dir(log_dir);
        let path = data_dir.path.display();
        if data_dir.is_lost() {
            return Err(DiskError::NotTried(format!("the data directory {path} has failed")));
        }
        // These go to an open file. The others come at least once a second where something is written.
        let is_by_name = !matches!(op.action, DiskAction::Write { .. } | DiskAction::Sync { .. });
        if is_by_name && !data_dir.is_in_place() {
            data_dir.lose();
            let what = "was moved or removed, or something else is in its place";
            return Err(DiskError::NotTried(format!("the data directory {path} {what}")));
        }
        let result = perform();
        if matches!(result, Err(DiskError::Unsynced(_))) {
            // The kernel drops what it could not bring to disk and calls it clean: whatever else was to be synced there may be among it.
            data_dir.lose();
        }
        // What compaction or a move prepares aside is no part of the log yet, and who only looks has changed nothing.
        let is_aside = match &op.action {
            DiskAction::MapKeys(_) | DiskAction::Rewrite(_) | DiskAction::Scrub(_) => true,
            DiskAction::Move(it) => it.step != MoveStep::Switch,
            _ => false,
        };
        if result.is_err() && !is_aside {
            data_dir.has_failures.store(true, Ordering::Relaxed);
        }
        match result {
            Err(DiskError::Io(_)) if is_aside && self.is_stopping.load(Ordering::Relaxed) => {
                Err(DiskError::CalledOff)
            }
            result => result,
        }
    }

    fn try_to_perform(&self, op: &DiskOp) -> Result<Done, DiskError> {
        let partition = op.partition;
        match &op.action {
            DiskAction::MapKeys(job) => return self.map_keys(job),
            DiskAction::Rewrite(job) => return self.rewrite(job),
            DiskAction::Scrub(job) => return self.scrub(job),
            DiskAction::Swap { segment, replaced } => self.swap(*segment, replaced),
            DiskAction::Write { segment, position, prefix, body } => {
                self.write(*segment, *position, prefix.as_ref(), body)
            }
            DiskAction::Sync { segment } => self.sync(*segment),
            DiskAction::CreatePartition { log_dir, directory, topic, base } => {
                let first = SegmentId { partition, base: *base };
                self.create_partition(partition, *log_dir, directory, *topic, first)
            }
            DiskAction::CreateSegment { segment } => self.create_segment(*segment),
            DiskAction::Truncate { segment, size, delete } => self.truncate(*segment, *size, delete),
            DiskAction::Seal { segment, index, times, aborted, next, producers, .. } => {
                let next = SegmentId { partition, base: *next };
                self.seal(*segment, [index, times, aborted], next, producers)
            }
            DiskAction::WriteBeside { kind, at, contents } => {
                self.write_beside(*kind, SegmentId { partition, base: *at }, contents, true)
            }
            DiskAction::WriteCheckpoint { name, contents } => {
                self.write_checkpoint(partition, name, contents)
            }
            DiskAction::Retire { segments } => self.retire(segments),
            DiskAction::Remove { segments, snapshots } => {
                self.remove(segments)?;
                snapshots.iter().try_for_each(|at| self.remove_snapshot(SegmentId { partition, base: *at }))
            }
            DiskAction::Note { segment, position, entries, aborted, through, producers } => {
                let through = SegmentId { partition, base: *through };
                self.note(*segment, *position, entries, aborted, through, producers)
            }
            DiskAction::Move(it) => self.move_step(partition, it),
            DiskAction::DeletePartition => self.delete_partition(partition),
        }
        .map(|()| Done::Nothing)
    }

    fn scrub(&self, job: &Scrub) -> Result<Done, DiskError> {
        let mut read = |segment, kind, position, buffer: &mut [u8]| {
            self.read_in_background(segment, kind, position, buffer)
        };
        let scrubbed = scrub::scrub(job, &mut read).map_err(failed("scrub", job.segment.id))?;
        Ok(Done::Scrubbed(Box::new(scrubbed)))
    }

    /// Work in the background that is under way is called off, so that nobody who stops has to wait for it.
    pub fn stop_background_work(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Reads one of a segment's files: as much as the buffer holds, less only at the end of the file.
    pub fn read_at(
        &self,
        segment: SegmentVersion,
        kind: FileKind,
        position: u64,
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        read_fully(&*self.file_of(segment, kind)?, position, buffer)
    }

    /// As [`Files::read_at`], but only from the page cache: `WouldBlock` if something of it is not there.
    pub fn read_cached(
        &self,
        segment: SegmentVersion,
        kind: FileKind,
        position: u64,
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        let file = self.file_of(segment, kind)?;
        fully(position, buffer, |position, buffer| read_cached(&file, position, buffer))
    }

    fn file_of(&self, segment: SegmentVersion, kind: FileKind) -> io::Result<Arc<File>> {
        match kind {
            FileKind::Log => self.segment_file(segment),
            // Whoever reads these is looking for something and comes back seldom.
            _ => self.of_version(segment, || {
                let SegmentId { partition, base } = segment.id;
                let directory = self.partition(partition)?;
                let open = |name: String| options().read(true).open(directory.path.join(name));
                let opened = open(kind.file_name(base)).or_else(|error| match error.kind() {
                    io::ErrorKind::NotFound => open(kind.retired_file_name(base)),
                    _ => Err(error),
                });
                opened.map(Arc::new)
            }),
        }
    }

    /// A segment's log file, for whoever sends stretches of it.
    pub fn segment_file(&self, segment: SegmentVersion) -> io::Result<Arc<File>> {
        let id = segment.id;
        // Between looking for the file and opening it, its directory may have moved.
        self.of_version(segment, || match self.open_segment(id).or_else(|_| self.open_segment(id)) {
            Ok(open) => Ok(open.file.clone()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Whoever was told to read it before it was retired still may. It is not kept: another of its name may come.
                let path = self.partition(id.partition)?.path.join(FileKind::Log.retired_file_name(id.base));
                Ok(Arc::new(options().read(true).open(path)?))
            }
            Err(error) => Err(error),
        })
    }

    /// Opens a file of a segment, unless it has another content by now. A swap says which version comes before it renames anything: what was
    /// opened before that is of the version asked for.
    fn of_version<T>(&self, segment: SegmentVersion, open: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let opened = open();
        let is_at = read_lock(&self.versions).get(&segment.id).copied().unwrap_or(0);
        if segment.version < is_at {
            return Err(io::Error::new(REPLACED, format!("{:?} was compacted", segment.id)));
        }
        opened
    }

    /// The same, for whoever writes to it.
    pub fn segment_to_write(&self, segment: SegmentId) -> io::Result<SegmentFile> {
        let open = self.open_segment(segment)?;
        open.dirty.store(true, Ordering::Relaxed);
        Ok(SegmentFile(open))
    }

    fn open_segment(&self, segment: SegmentId) -> io::Result<Arc<Open>> {
        self.open.get(segment, || options().read(true).write(true).open(self.path(segment, FileKind::Log)?))
    }

    fn partition(&self, partition: TopicPartition) -> io::Result<Arc<Directory>> {
        let found = read_lock(&self.partitions).get(&partition).cloned();
        found.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("no directory is known for partition {partition}"),
            )
        })
    }

    /// What an error of an operation tells of the disk.
    fn blame(&self, partition: TopicPartition, error: &io::Error) {
        if let Ok(directory) = self.partition(partition) {
            self.data_dir(directory.log_dir).note(error);
        }
    }

    fn path(&self, segment: SegmentId, kind: FileKind) -> io::Result<PathBuf> {
        Ok(self.partition(segment.partition)?.path.join(kind.file_name(segment.base)))
    }

    fn write(
        &self,
        segment: SegmentId,
        position: u32,
        prefix: Option<&Prefix>,
        body: &[u8],
    ) -> Result<(), DiskError> {
        let file = self.segment_to_write(segment).map_err(failed("open segment", segment))?;
        let start = position;
        let (mut head, mut rest) = match prefix {
            Some(prefix) => (&**prefix, body.get(prefix.len()..).unwrap_or_default()),
            None => ([].as_slice(), body),
        };
        let mut position = u64::from(position);
        while !head.is_empty() || !rest.is_empty() {
            let slices = [IoSlice::new(head), IoSlice::new(rest)];
            let slices = if head.is_empty() { &slices[1..] } else { &slices[..] };
            let size = match rustix::io::pwritev(file.file(), slices, position) {
                Ok(0) => return Err(DiskError::Io(format!("write {segment:?}: nothing was written"))),
                Ok(size) => size,
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => {
                    let error = io::Error::from(error);
                    self.blame(segment.partition, &error);
                    return Err(failed("write", segment)(error));
                }
            };
            position += size as u64;
            let of_head = size.min(head.len());
            (head, rest) = (&head[of_head..], &rest[size - of_head..]);
        }
        file.wrote(start, body.len());
        Ok(())
    }

    fn sync(&self, segment: SegmentId) -> Result<(), DiskError> {
        let open = patiently(|| self.open_segment(segment)).map_err(failed("open segment", segment))?;
        open.begin_sync();
        if let Err(error) = open.sync() {
            // Before the file can be closed: the system tells nobody else.
            if let Ok(directory) = self.partition(segment.partition) {
                self.data_dir(directory.log_dir).lose();
            }
            return Err(failed("sync", segment)(error));
        }
        self.settle_segment(segment)
    }

    /// The entries that lead to a synced segment are brought to disk, if they are not known to be there.
    fn settle_segment(&self, segment: SegmentId) -> Result<(), DiskError> {
        let directory = self.partition(segment.partition).map_err(failed("find", segment))?;
        if directory.settled_below.load(Ordering::Acquire) <= segment.base.raw() {
            self.settle(segment.partition).map_err(failed("sync the directory of", segment))?;
            directory.settled_below.fetch_max(segment.base.raw().saturating_add(1), Ordering::AcqRel);
        }
        Ok(())
    }

    /// Brings a directory's entries to disk, and the first time the directory's own.
    fn settle(&self, partition: TopicPartition) -> io::Result<()> {
        let directory = self.partition(partition)?;
        let first = !directory.settled.load(Ordering::Acquire);
        if first {
            match patiently(|| options().read(true).open(directory.path.join(PARTITION_METADATA))) {
                Ok(metadata) => metadata.sync_all().map_err(unsynced)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        sync_directory(&directory.path)?;
        if first {
            sync_directory(&self.data_dir(directory.log_dir).path)?;
            directory.settled.store(true, Ordering::Release);
        }
        Ok(())
    }

    fn create_partition(
        &self,
        partition: TopicPartition,
        log_dir: LogDir,
        name: &str,
        topic: TopicId,
        first: SegmentId,
    ) -> Result<(), DiskError> {
        let path = self.data_dir(log_dir).path.join(name);
        if !matches!(Path::new(name).components().collect::<Vec<_>>()[..], [std::path::Component::Normal(_)])
        {
            return Err(not_made(&path, "not a name for a directory"));
        }
        private_directory(true).create(&path).map_err(failed("make", &path))?;
        let made = self.create_in(partition, &Directory::new(log_dir, path.clone()), topic, first);
        if made.is_err() {
            // The log takes it for not made. If it is deleted before there is room to try again, nobody else would remove it. One with something in it stays.
            let _ = fs::remove_dir(&path);
        }
        made
    }

    fn create_in(
        &self,
        partition: TopicPartition,
        directory: &Arc<Directory>,
        topic: TopicId,
        first: SegmentId,
    ) -> Result<(), DiskError> {
        let path = &directory.path;
        let refused = |problem: &str| Err(not_made(path, problem));
        if fs::symlink_metadata(path).is_ok_and(|found| !found.is_dir()) {
            return refused("it is a link to somewhere else");
        }
        let metadata = path.join(PARTITION_METADATA);
        let is_new = match read_metadata(&metadata) {
            Ok(Some(other)) if other != topic => return refused(&format!("it belongs to topic {other}")),
            Ok(known) => known.is_none(),
            Err(error) => return Err(failed("read", &metadata)(error)),
        };
        // Whatever segment they are in: a later start would take those of a log that is not known any more for a torn tail.
        if let Some(records) = file_with_records(path).map_err(failed("list", path))? {
            return refused(&format!("it has records, in {records}"));
        }
        let made = write_file(&metadata, format!("version: 0\ntopic_id: {topic}\n").as_bytes(), false)
            .map_err(failed("write", &metadata))
            .and_then(|()| {
                write_lock(&self.partitions).insert(partition, Arc::clone(directory));
                self.create_segment(first)
            });
        if made.is_err() && is_new {
            write_lock(&self.partitions).remove(&partition);
            for file in [path.join(FileKind::Log.file_name(first.base)), temporary(&metadata), metadata] {
                let _ = fs::remove_file(file);
            }
        }
        made
    }

    fn create_segment(&self, segment: SegmentId) -> Result<(), DiskError> {
        let directory = self.partition(segment.partition).map_err(failed("find", segment))?;
        let path = directory.path.join(FileKind::Log.file_name(segment.base));
        write_lock(&self.versions).remove(&segment);
        directory.settled_below.fetch_min(segment.base.raw(), Ordering::AcqRel);
        self.open.forget(segment);
        // It is opened again by whoever writes to it first: most partitions wait long for that.
        options().write(true).create(true).truncate(true).open(&path).map_err(failed("make", &path))?;
        Ok(())
    }

    fn truncate(&self, segment: SegmentId, size: u32, delete: &[SegmentId]) -> Result<(), DiskError> {
        for gone in delete.iter().rev() {
            let directory = self.partition(gone.partition).map_err(failed("find", gone))?;
            for kind in FileKind::ALL {
                let path = directory.path.join(kind.file_name(gone.base));
                remove_file(&path).map_err(failed("remove", &path))?;
            }
            self.open.forget(*gone);
        }
        let open = self.open_segment(segment).map_err(failed("open segment", segment))?;
        let found = open.file.metadata().map_err(failed("cut", segment))?.len();
        if found < u64::from(size) {
            return Err(DiskError::Io(format!("cut {segment:?} to {size} bytes: it has only {found}")));
        }
        open.file.set_len(size.into()).map_err(failed("cut", segment))?;
        open.begin_sync();
        open.sync().map_err(failed("sync", segment))?;
        self.settle(segment.partition).map_err(failed("sync the directory of", segment))
    }

    fn seal(
        &self,
        segment: SegmentId,
        [index, times, aborted]: [&[u8]; 3],
        next: SegmentId,
        producers: &[u8],
    ) -> Result<(), DiskError> {
        self.write_beside(FileKind::Index, segment, index, true)?;
        self.write_beside(FileKind::TimeIndex, segment, times, true)?;
        if !aborted.is_empty() {
            self.write_beside(FileKind::Aborted, segment, aborted, true)?;
        }
        let path = self.path(segment, FileKind::Growing).map_err(failed("find", segment))?;
        remove_file(&path).map_err(failed("remove", &path))?;
        if producers.is_empty() {
            Ok(())
        } else {
            self.write_beside(FileKind::Producers, next, producers, true)
        }
    }

    fn note(
        &self,
        segment: SegmentId,
        position: u32,
        entries: &[u8],
        aborted: &[u8],
        through: SegmentId,
        producers: &[u8],
    ) -> Result<(), DiskError> {
        let path = self.path(segment, FileKind::Growing).map_err(failed("find", segment))?;
        let notes = options().write(true).create(true).truncate(false).open(&path);
        notes
            .and_then(|notes| notes.write_all_at(entries, position.into()))
            .map_err(failed("write", &path))?;
        if !aborted.is_empty() {
            self.write_beside(FileKind::Aborted, segment, aborted, false)?;
        }
        self.write_beside(FileKind::Producers, through, producers, false)
    }

    fn write_beside(
        &self,
        kind: FileKind,
        at: SegmentId,
        contents: &[u8],
        synced: bool,
    ) -> Result<(), DiskError> {
        let path = self.path(at, kind).map_err(failed("find", at))?;
        write_file(&path, contents, synced).map_err(failed("write", &path))
    }

    fn remove_snapshot(&self, at: SegmentId) -> Result<(), DiskError> {
        let path = self.path(at, FileKind::Producers).map_err(failed("find", at))?;
        remove_file(&path).map_err(failed("remove", &path))
    }

    fn write_checkpoint(
        &self,
        partition: TopicPartition,
        name: &str,
        contents: &[u8],
    ) -> Result<(), DiskError> {
        let directory = self.partition(partition).map_err(failed("find", partition))?;
        let path = directory.path.join(name);
        write_file(&path, contents, true).map_err(failed("write", &path))?;
        sync_directory(&directory.path).map_err(failed("sync the directory of", partition))
    }

    fn retire(&self, segments: &[SegmentId]) -> Result<(), DiskError> {
        for segment in segments {
            let directory = self.partition(segment.partition).map_err(failed("find", segment))?;
            for kind in FileKind::ALL {
                let path = directory.path.join(kind.file_name(segment.base));
                match fs::rename(&path, directory.path.join(kind.retired_file_name(segment.base))) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(failed("rename", &path)(error));
                    }
                    _ => {}
                }
            }
            self.open.forget(*segment);
        }
        Ok(())
    }

    fn remove(&self, segments: &[SegmentId]) -> Result<(), DiskError> {
        for segment in segments {
            let directory = self.partition(segment.partition).map_err(failed("find", segment))?;
            for kind in FileKind::ALL {
                let path = directory.path.join(kind.retired_file_name(segment.base));
                remove_file(&path).map_err(failed("remove", &path))?;
            }
        }
        Ok(())
    }

    fn delete_partition(&self, partition: TopicPartition) -> Result<(), DiskError> {
        let Some(directory) = write_lock(&self.partitions).remove(&partition) else { return Ok(()) };
        self.open.forget_partition(partition);
        write_lock(&self.versions).retain(|segment, _| segment.partition != partition);
        self.clear_copies(partition, &directory);
        let data_dir = &self.data_dir(directory.log_dir).path;
        let gone = data_dir.join(marked_name(directory.name(), partition.topic, DELETED));
        match fs::rename(&directory.path, &gone) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                let at = directory.path.clone();
                write_lock(&self.partitions).insert(partition, directory);
                return Err(failed("rename", at)(error));
            }
        }
        sync_directory(data_dir).map_err(failed("sync", data_dir))?;
        // From here on it is deleted: what cannot be removed now goes at the next start.
        let _ = fs::remove_dir_all(&gone);
        Ok(())
    }
}

/// One partition's directory, for recovery.
pub struct DirectoryFiles {
    path: PathBuf,
    /// Why a swap of segments that was interrupted could not be finished.
    unfinished: Option<io::Error>,
}

impl LogFiles for DirectoryFiles {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        if let Some(error) = &self.unfinished {
            return Err(io::Error::new(error.kind(), format!("an interrupted swap: {error}")));
        }
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if let Ok(name) = entry.file_name().into_string()
                && metadata.is_file()
            {
                found.push((name, metadata.len()));
            }
        }
        Ok(found)
    }

    fn read_at(&self, name: &str, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        read_fully(&options().read(true).open(self.path.join(name))?, position, buffer)
    }
}

/// The name of a file with records, of a segment or of one that was about to become one.
fn file_with_records(directory: &Path) -> io::Result<Option<String>> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if (name.ends_with(".log") || name.ends_with(".log.swap")) && 0 < entry.metadata()?.len() {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Half of what the system allows the process: the rest is for connections.
fn open_files_max() -> usize {
    let allowed = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    usize::try_from(allowed.unwrap_or(u64::MAX) / 2).unwrap_or(usize::MAX).min(OPEN_FILES_MAX)
}

fn read_lock<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write_lock<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

fn not_made(partition: &Path, problem: &str) -> DiskError {
    DiskError::Io(format!("make {}: {problem}", partition.display()))
}

fn failed<T: std::fmt::Debug>(operation: &'static str, on: T) -> impl FnOnce(io::Error) -> DiskError {
    move |error| {
        let problem = || format!("{operation} {on:?}: {error}");
        if is_unsynced(&error) {
            DiskError::Unsynced(problem())
        } else if is_full(&error) || is_want(&error) {
            DiskError::Full
        } else {
            DiskError::Io(problem())
        }
    }
}

/// A sync that failed, for whatever reason. The kernel drops what it could not bring to disk and tells it once: a second sync would succeed and mean nothing, so
/// this must never be taken for a full disk, which is tried again.
#[derive(Debug, Error)]
#[error("not brought to disk: {0}")]
struct Unsynced(io::Error);

fn unsynced(error: io::Error) -> io::Error {
    io::Error::other(Unsynced(error))
}

fn is_unsynced(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|it| it.is::<Unsynced>())
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The system has no file descriptor or memory to spare (F31). Nothing was done, and nothing is wrong with the disk.
fn is_want(error: &io::Error) -> bool {
    use rustix::io::Errno;
    Errno::from_io_error(error).is_some_and(|it| matches!(it, Errno::MFILE | Errno::NFILE | Errno::NOMEM))
}

/// Tries again while the system has no file descriptor: what is done before an answer leaves must not fail for that.
fn patiently<T>(mut open: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    const TRIES: u32 = 200;
    const PAUSE: Duration = Duration::from_millis(25);
    for _ in 0..TRIES {
        match open() {
            Err(error) if is_want(&error) => std::thread::sleep(PAUSE),
            ended => return ended,
        }
    }
    open()
}

/// For the owner alone, and never through a symbolic link.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    options
}

fn private_directory(parents: bool) -> fs::DirBuilder {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(parents).mode(0o700);
    builder
}

fn read_fully(file: &File, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
    fully(position, buffer, |position, buffer| file.read_at(buffer, position))
}

fn fully(
    position: u64,
    buffer: &mut [u8],
    mut read: impl FnMut(u64, &mut [u8]) -> io::Result<usize>,
) -> io::Result<usize> {
    let mut size = 0;
    while size < buffer.len() {
        match read(position + size as u64, &mut buffer[size..]) {
            Ok(0) => break,
            Ok(more) => size += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(size)
}

/// Reads what the page cache has; `WouldBlock` if it has nothing of it.
pub fn read_cached(file: &File, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
    use rustix::io::{Errno, ReadWriteFlags};
    match rustix::io::preadv2(file, &mut [io::IoSliceMut::new(buffer)], position, ReadWriteFlags::NOWAIT) {
        // Some file systems have no answer to "without waiting", tmpfs among them.
        Err(Errno::OPNOTSUPP) => file.read_at(buffer, position),
        other => Ok(other?),
    }
}

/// Replaces a file as a whole.
fn write_file(path: &Path, contents: &[u8], synced: bool) -> io::Result<()> {
    let temporary = temporary(path);
    let file = options().write(true).create(true).truncate(true).open(&temporary)?;
    file.write_all_at(contents, 0)?;
    if synced {
        // It is written again before it is synced again: for this one, a full disk may be waited out.
        file.sync_all().map_err(|error| if is_full(&error) { error } else { unsynced(error) })?;
    }
    fs::rename(&temporary, path)
}

/// Where a file is made that comes in place of another.
fn temporary(path: &Path) -> PathBuf {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(TEMPORARY);
    PathBuf::from(temporary)
}

fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        ended => ended,
    }
}

fn sync_file(file: &File) -> io::Result<()> {
    file.sync_data().map_err(unsynced)?;
    #[cfg(test)]
    together::tests::note_synced(file);
    Ok(())
}

fn sync_directory(path: &Path) -> io::Result<()> {
    patiently(|| File::open(path))?.sync_all().map_err(unsynced)
}

/// What the directory of a partition is called while it is being deleted, `topic-0.TOPIC_ID-delete`, or copied. A long topic name is cut, as Kafka does.
fn marked_name(directory: &str, topic: TopicId, ending: &str) -> String {
    let (name, number) = directory.rsplit_once('-').unwrap_or((directory, ""));
    let rest = format!("-{number}.{topic}{ending}");
    let kept = (0..=name.len())
        .rev()
        .find(|size| name.is_char_boundary(*size) && size + rest.len() <= FILE_NAME_BYTES_MAX);
    format!("{}{rest}", &name[..kept.unwrap_or(0)])
}

/// Whether a name is of that kind. Anything else that ends in the same way is somebody's data.
fn is_marked_name(name: &str, ending: &str) -> bool {
    let parts = name.strip_suffix(ending).and_then(|rest| rest.rsplit_once('.'));
    parts.is_some_and(|(directory, id)| {
        let number = directory.rsplit_once('-').map_or("", |(_, number)| number);
        topic_id_from(id).is_some() && number.parse::<u32>().is_ok_and(|it| it.to_string() == number)
    })
}

/// The topic that a directory belongs to. `None` if the file is missing, or does not say.
fn read_metadata(path: &Path) -> io::Result<Option<TopicId>> {
    const SIZE_MAX: usize = 256;
    let file = match options().read(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut contents = [0; SIZE_MAX];
    let size = read_fully(&file, 0, &mut contents)?;
    let text = std::str::from_utf8(&contents[..size]).unwrap_or_default();
    let id = text.lines().find_map(|line| line.strip_prefix("topic_id: "));
    Ok(id.and_then(topic_id_from))
}

/// Reads an id as `TopicId` prints it: URL-safe base64 without padding.
fn topic_id_from(text: &str) -> Option<TopicId> {
    let mut bits: u128 = 0;
    for (at, letter) in text.bytes().enumerate() {
        let digit = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = if at < 21 { (bits << 6) | u128::from(digit) } else { (bits << 2) | u128::from(digit >> 4) };
    }
    let id = TopicId(uuid::Uuid::from_u128(bits));
    (text.len() == 22 && id.to_string() == text).then_some(id)
}

mod compaction;
mod moving;
#[cfg(test)]
mod tests;
