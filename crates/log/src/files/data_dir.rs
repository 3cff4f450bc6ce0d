//! One data directory: who may use it, how it was left, and whether its disk still answers.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use klamm_model::{PartitionIndex, TopicId, TopicPartition};
use rustc_hash::FxHashMap;
use rustix::fs::{FlockOperation, flock};

use super::{
    CleanShutdown, DELETED, FilesError, FoundPartition, LOCK_FILE, is_marked_name, is_want,
    journal::{self, Journal, Place},
    marker, options, private_directory, read_metadata,
};
use crate::disk::{FileKind, LogDir, PARTITION_METADATA, SegmentId};

/// A data directory, held by this process.
pub struct DataDir {
    pub(super) path: PathBuf,
    /// Device and number of the directory itself, wherever it is by now, and what keeps another one from getting the number.
    identity: (u64, u64),
    _opened: File,
    /// Held as long as this is.
    _lock: File,
    clean_shutdown: Option<CleanShutdown>,
    /// An operation failed: what is on the disk may differ from what the logs say.
    pub(super) has_failures: AtomicBool,
    /// The disk failed: what it answers from now on means nothing.
    is_lost: AtomicBool,
    loss_is_told: AtomicBool,
    pub(super) journal: Journal,
}

/// How much a file system holds, and how much of it is free for us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Space {
    /// All of it.
    pub total_bytes: u64,
    /// What can still be written.
    pub free_bytes: u64,
}

impl DataDir {
    pub(super) fn open(directory: &Path) -> Result<Self, FilesError> {
        let failed = |operation, path: &Path| {
            let path = path.to_owned();
            move |source| FilesError::Io { operation, path, source }
        };
        private_directory(true).create(directory).map_err(failed("make", directory))?;
        let opened = File::open(directory).map_err(failed("open", directory))?;
        let identity = identity(&opened.metadata().map_err(failed("open", directory))?);
        let lock_path = directory.join(LOCK_FILE);
        let lock = options().write(true).create(true).open(&lock_path).map_err(failed("open", &lock_path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(FilesError::Locked { path: directory.to_owned() });
            }
            Err(error) => return Err(failed("lock", &lock_path)(error.into())),
        }
        for entry in fs::read_dir(directory).map_err(failed("list", directory))? {
            let path = entry.map_err(failed("list", directory))?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            if name.is_some_and(|name| is_marked_name(name, DELETED)) && path.is_dir() && !path.is_symlink() {
                // What cannot be removed is in nobody's way.
                let _ = fs::remove_dir_all(&path);
            }
        }
        let clean_shutdown = marker::read(directory).map_err(failed("read the marker in", directory))?;
        match clean_shutdown {
            // All is in its place, and there is none, but for one that somebody has brought here.
            Some(_) => journal::remove(directory),
            None => journal::replay(directory, || records_of(directory)),
        }
        .map_err(failed("put back what .klamm-journal has in", directory))?;
        Ok(Self {
            path: directory.to_owned(),
            identity,
            _opened: opened,
            _lock: lock,
            clean_shutdown,
            has_failures: AtomicBool::new(false),
            is_lost: AtomicBool::new(false),
            loss_is_told: AtomicBool::new(false),
            journal: Journal::new(directory),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Who stopped last with everything on disk; `None` after a crash, and where nobody was before.
    pub fn clean_shutdown(&self) -> Option<CleanShutdown> {
        self.clean_shutdown
    }

    /// Something is going to be written: from now on the directory counts as left by a crash.
    pub fn begin(&self) -> Result<(), FilesError> {
        marker::remove(&self.path).map_err(|source| FilesError::Io {
            operation: "remove the marker in",
            path: self.path.clone(),
            source,
        })
    }

    /// All logs are at rest and whole: says so to the next process, unless an operation has failed. Tells whether it does.
    pub fn leave(&self, marker: CleanShutdown) -> Result<bool, FilesError> {
        // Beside the marker nobody would look at a journal.
        let is_behind = self.has_failures.load(Ordering::Relaxed) || self.journal.is_open();
        if is_behind || self.is_lost() || !self.is_in_place() {
            return Ok(false);
        }
        marker::write(&self.path, marker).map_err(|source| FilesError::Io {
            operation: "write the marker in",
            path: self.path.clone(),
            source,
        })?;
        Ok(true)
    }

    /// How much room there is.
    pub fn space(&self) -> io::Result<Space> {
        let found = rustix::fs::statvfs(&self.path)?;
        Ok(Space {
            total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
            free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
        })
    }

    /// Whether its path still leads to it. Where it was moved or removed, or a disk was mounted over it, what is named by its path belongs to somebody else, and
    /// what goes on to be written to open files may be found by nobody.
    pub(super) fn is_in_place(&self) -> bool {
        match fs::metadata(&self.path) {
            Ok(there) => identity(&there) == self.identity,
            Err(error) => !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
        }
    }

    /// Whether the disk has failed.
    pub fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Acquire)
    }

    /// Whether the disk has failed and this was not told before.
    pub fn take_loss(&self) -> bool {
        self.is_lost() && !self.loss_is_told.swap(true, Ordering::AcqRel)
    }

    /// Nothing that is on this disk can be relied on any more: a write that the system took may be missing.
    pub(super) fn lose(&self) {
        self.is_lost.store(true, Ordering::Release);
    }

    /// An operation failed with this error. Some tell more about the disk than about the operation.
    pub(super) fn note(&self, error: &io::Error) {
        use rustix::io::Errno;
        let of_the_disk = [Errno::IO, Errno::ROFS, Errno::NODEV, Errno::NXIO, Errno::UCLEAN, Errno::STALE];
        if Errno::from_io_error(error).is_some_and(|errno| of_the_disk.contains(&errno)) {
            self.lose();
        }
    }

    /// What there is, in no order.
    pub(super) fn list(&self, log_dir: LogDir, found: &mut Vec<FoundPartition>) -> Result<(), FilesError> {
        let failed = |source| FilesError::Io { operation: "list", path: self.path.clone(), source };
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Some((topic, number, directory)) = partition_name(&entry).map_err(failed)? else { continue };
            let topic_id = topic_id_of(&entry).map_err(failed)?;
            if topic_id.is_none() && is_hardly_begun(&entry.path()).unwrap_or(false) {
                // A crash came while it was made: whoever makes it goes on, or another in another data directory.
                continue;
            }
            let partition = topic_id.map(|topic| TopicPartition { topic, partition: PartitionIndex(number) });
            found.push(FoundPartition { partition, topic, directory, log_dir });
        }
        Ok(())
    }
}

/// What an entry of a data directory is called, if it is a partition's directory: topic, number, all of it.
fn partition_name(entry: &fs::DirEntry) -> io::Result<Option<(String, i32, String)>> {
    let Ok(directory) = entry.file_name().into_string() else { return Ok(None) };
    let Some((topic, number)) = directory.rsplit_once('-') else { return Ok(None) };
    let Some(number) = number.parse().ok().filter(|number: &i32| 0 <= *number) else { return Ok(None) };
    Ok(entry.file_type()?.is_dir().then(|| (topic.to_owned(), number, directory.clone())))
}

fn topic_id_of(entry: &fs::DirEntry) -> io::Result<Option<TopicId>> {
    match read_metadata(&entry.path().join(PARTITION_METADATA)) {
        // A bad sector under one directory is no reason to do without the others; too few file descriptors pass.
        Err(error) if !is_want(&error) => Ok(None),
        read => read,
    }
}

/// Where the records of a segment are, for whoever puts some of them back.
fn records_of(data_dir: &Path) -> io::Result<impl Fn(SegmentId) -> Place + use<>> {
    let (mut directories, mut unknown) = (FxHashMap::default(), Vec::new());
    for entry in fs::read_dir(data_dir)? {
        let entry = entry?;
        let Some((_, number, _)) = partition_name(&entry)? else { continue };
        let number = PartitionIndex(number);
        let Some(topic) = topic_id_of(&entry)? else {
            unknown.push((number, entry.path()));
            continue;
        };
        let partition = TopicPartition { topic, partition: number };
        if let Some(other) = directories.insert(partition, entry.path()) {
            let (one, other) = (entry.path(), other);
            let what =
                format!("{} and {} say that they are the same partition", one.display(), other.display());
            return Err(io::Error::other(what));
        }
    }
    Ok(move |segment: SegmentId| {
        let number = segment.partition.partition;
        match directories.get(&segment.partition) {
            Some(directory) => Place::At(directory.join(FileKind::Log.file_name(segment.base))),
            None => match unknown.iter().find(|(it, _)| *it == number) {
                Some((_, directory)) => Place::Unknown(directory.clone()),
                None => Place::Nowhere,
            },
        }
    })
}

/// By which a system tells directories apart.
fn identity(directory: &fs::Metadata) -> (u64, u64) {
    (directory.dev(), directory.ino())
}

/// Whether there is nothing in a partition's directory but what is made first.
fn is_hardly_begun(directory: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let found = entry.metadata()?;
        let is_metadata = entry.file_name().to_string_lossy().starts_with(PARTITION_METADATA);
        if !found.is_file() || (!is_metadata && 0 < found.len()) {
            return Ok(false);
        }
    }
    Ok(true)
}
