//! The only file system calls of the crates below the shell.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]
use std::{fs::File, io, path::Path, path::PathBuf, sync::Arc};

use klamm_model::{TopicId, TopicPartition};
use thiserror::Error;

use crate::disk::{DiskError, DiskOp, FileKind, SegmentId};
use crate::recover::LogFiles;

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
}

/// The segment files of a data directory. Callable from many threads.
pub struct Files {}

#[allow(missing_docs, clippy::unimplemented, unused_variables)]
impl Files {
    /// Takes the directory; it is made (0700) if it is not there.
    pub fn open(directory: &Path) -> Result<Self, FilesError> { unimplemented!() }
    pub fn directory(&self) -> &Path { unimplemented!() }
    pub fn partitions(&self) -> Result<Vec<FoundPartition>, FilesError> { unimplemented!() }
    /// View for recovery; afterwards operations of this partition go to that directory.
    pub fn adopt(&self, partition: TopicPartition, directory: &str) -> DirectoryFiles { unimplemented!() }
    pub fn perform(&self, op: &DiskOp) -> Result<(), DiskError> { unimplemented!() }
    pub fn read_at(&self, segment: SegmentId, kind: FileKind, position: u64, buffer: &mut [u8]) -> io::Result<usize> { unimplemented!() }
    pub fn segment_file(&self, segment: SegmentId) -> io::Result<Arc<File>> { unimplemented!() }
}

/// One partition's directory, for recovery.
pub struct DirectoryFiles {}

#[allow(clippy::unimplemented)]
impl LogFiles for DirectoryFiles {
    fn list(&self) -> io::Result<Vec<(String, u64)>> { unimplemented!() }
    fn read_at(&self, _name: &str, _position: u64, _buffer: &mut [u8]) -> io::Result<usize> { unimplemented!() }
}
