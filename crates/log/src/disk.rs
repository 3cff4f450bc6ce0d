//! Disk work as a value: what a log wants done, and how it may end.
//!
//! Whoever carries an operation out tells its end by [`Log::done`](crate::Log::done), once. Operations that were handed out together may be
//! carried out at the same time and may end in any order: what must not overlap is not handed out together.

use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use klamm_model::{BATCH_HEADER_SIZE, BatchError, Offset, TopicId, TopicPartition};
use thiserror::Error;

use crate::compact::{Keys, MapKeys, Rewrite, Rewritten};
use crate::scrub::{Scrub, Scrubbed};

/// A step of a partition's way to another data directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Move {
    /// Where it is to go.
    pub to: LogDir,
    /// What is done.
    pub step: MoveStep,
}

/// What is done for a move.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MoveStep {
    /// What there is of a copy goes.
    Clear,
    /// A closed segment is copied.
    Copy {
        /// Which.
        segment: SegmentVersion,
        /// Its bytes.
        size: u32,
    },
    /// Everything else is copied, and it is said on disk that the copy is whole.
    Finish {
        /// Segments of which there is a copy.
        copied: Vec<SegmentId>,
    },
    /// The copy takes the place of what was copied.
    Switch,
}

/// The epoch cache, in Kafka's format.
pub const EPOCH_CHECKPOINT: &str = "leader-epoch-checkpoint";
/// How far the log is known to be on disk, in a format of ours.
pub const DURABLE_POINT: &str = "durable-point";
/// What of the log is damaged, in a format of ours.
pub const DAMAGED_RANGES: &str = "damaged-ranges";
/// Which topic a directory belongs to, in Kafka's format.
pub const PARTITION_METADATA: &str = "partition.metadata";

/// One of the data directories of a broker, by its place in `log.dirs`. The first, 0, has the metadata log too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct LogDir(pub u16);

/// A file of records and those beside it that have its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SegmentId {
    /// Whose records.
    pub partition: TopicPartition,
    /// The offset of its first record, and its name.
    pub base: Offset,
}

/// A segment with the content that its log knew. Compaction gives it another one under the same name, and a higher version: then positions mean
/// other places.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SegmentVersion {
    /// Which segment.
    pub id: SegmentId,
    /// 0 for what was there when the log was opened or the segment was made.
    pub version: u32,
}

/// What a read of a segment fails with that has another content by now. Nothing is wrong: whoever asks again is told other places.
pub const REPLACED: io::ErrorKind = io::ErrorKind::StaleNetworkFileHandle;

/// A segment's files.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FileKind {
    /// The batches.
    Log,
    /// Where some of them begin.
    Index,
    /// How far the timestamps have risen at some of them.
    TimeIndex,
    /// Notes on a segment that still grows.
    Growing,
    /// The producers' state before the segment's first record.
    Producers,
    /// Which transactions were aborted whose marks lie in the segment.
    Aborted,
}

/// What the name of a retired file ends with.
pub(crate) const RETIRED: &str = ".deleted";

impl FileKind {
    /// All of a segment's files. The log comes last: as long as it has its name, the others are not forgotten.
    pub const ALL: [Self; 6] =
        [Self::Index, Self::TimeIndex, Self::Aborted, Self::Growing, Self::Producers, Self::Log];

    /// What the name ends with.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Index => "index",
            Self::TimeIndex => "timeindex",
            Self::Growing => "growing",
            Self::Producers => "snapshot",
            Self::Aborted => "txnindex",
        }
    }

    /// The file's name within its partition's directory.
    pub fn file_name(self, base: Offset) -> String {
        format!("{:020}.{}", base.raw(), self.extension())
    }

    /// Its name from when the segment is retired until it is removed.
    pub fn retired_file_name(self, base: Offset) -> String {
        self.file_name(base) + RETIRED
    }
}

/// Names an operation within one log. Later ones have higher numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OpId(pub u64);

/// Something to be done, and whose it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DiskOp {
    /// The log to tell the end to.
    pub partition: TopicPartition,
    /// What to call it by.
    pub id: OpId,
    /// What to do.
    pub action: DiskAction,
}

/// What a leader puts before the records of a batch: base offset, length and leader epoch, or, where it stamps the batch, the whole header.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    bytes: [u8; BATCH_HEADER_SIZE],
    size: u8,
}

impl<const SIZE: usize> From<[u8; SIZE]> for Prefix {
    fn from(prefix: [u8; SIZE]) -> Self {
        let mut bytes = [0; BATCH_HEADER_SIZE];
        bytes[..SIZE].copy_from_slice(&prefix);
        Self { bytes, size: SIZE as u8 }
    }
}

impl std::ops::Deref for Prefix {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.size)]
    }
}

impl std::fmt::Debug for Prefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}

/// What to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DiskAction {
    /// Makes the directory, `partition.metadata` and an empty first segment. Made already: made again. Nothing needs to be on disk yet.
    CreatePartition {
        /// Where the directory is to be.
        log_dir: LogDir,
        /// The directory's name, such as `topic-0`.
        directory: String,
        /// The topic's identity, for `partition.metadata`.
        topic: TopicId,
        /// Where the log starts.
        base: Offset,
    },
    /// Makes an empty segment; one that is there is emptied.
    CreateSegment {
        /// Its name.
        segment: SegmentId,
    },
    /// Writes all of `body`, or fails.
    Write {
        /// Where to.
        segment: SegmentId,
        /// The place of the first byte.
        position: u32,
        /// Written in place of as many bytes at the front of `body`.
        prefix: Option<Prefix>,
        /// Whole batches.
        body: Bytes,
    },
    /// Brings what is written to disk. A segment's first one also brings the directory's entry there.
    Sync {
        /// Which segment.
        segment: SegmentId,
    },
    /// Removes the segments to delete, the last one first, cuts the file, and brings all of that to disk. A segment that is not there is
    /// removed already.
    Truncate {
        /// The segment that is the last afterwards.
        segment: SegmentId,
        /// Its size afterwards.
        size: u32,
        /// Segments that go, in rising order.
        delete: Vec<SegmentId>,
    },
    /// A segment that gets no more records: writes its indexes, and the producers' state for whoever starts after it. Notes on it go.
    Seal {
        /// Which segment.
        segment: SegmentId,
        /// Its size.
        size: u32,
        /// The whole index file.
        index: Bytes,
        /// The whole file with the times.
        times: Bytes,
        /// The whole file with the aborted transactions; empty if it is there already.
        aborted: Bytes,
        /// The base of the segment that follows, which the snapshot is named by.
        next: Offset,
        /// The whole snapshot file.
        producers: Bytes,
    },
    /// Replaces a file beside a segment.
    WriteBeside {
        /// Which one.
        kind: FileKind,
        /// The offset that it is named by.
        at: Offset,
        /// The whole file.
        contents: Bytes,
    },
    /// Notes on a segment that still grows: more index entries, the aborted transactions, and a snapshot. Nothing needs to be on disk when it ends.
    Note {
        /// Which segment.
        segment: SegmentId,
        /// Where in the file with the notes the entries belong.
        position: u32,
        /// What is new in it.
        entries: Bytes,
        /// The whole file with the aborted transactions; empty if there are none.
        aborted: Bytes,
        /// The offset that the snapshot is named by.
        through: Offset,
        /// The whole snapshot file.
        producers: Bytes,
    },
    /// Replaces a small file as a whole: a crash leaves the old or the new one. On disk when it ends.
    WriteCheckpoint {
        /// Its name within the partition's directory.
        name: &'static str,
        /// All of it.
        contents: Bytes,
    },
    /// Gives the files of these segments names that no start takes for a log's (`….log.deleted`), the oldest first. Files that are not there have
    /// them already. Whoever reads a segment may go on. Nothing needs to be on disk when it ends.
    Retire {
        /// Which segments, in rising order.
        segments: Vec<SegmentId>,
    },
    /// Removes files that were retired, and snapshots that are of no use.
    Remove {
        /// Whose files.
        segments: Vec<SegmentId>,
        /// The offsets that the snapshots are named by.
        snapshots: Vec<Offset>,
    },
    /// A part of compaction: collects keys. Touches nothing of the log; what an earlier pass left unfinished goes.
    MapKeys(Box<MapKeys>),
    /// A part of compaction: writes segments anew, beside the old ones, and brings that to disk.
    Rewrite(Box<Rewrite>),
    /// Puts what [`Rewrite`](Self::Rewrite) wrote in the place of these segments. A crash leaves the old ones or the new one. On disk when it ends.
    Swap {
        /// The new segment, with its new version.
        segment: SegmentVersion,
        /// What goes besides the old one of its name, in rising order.
        replaced: Vec<SegmentId>,
    },
    /// A step of the partition's way to another data directory.
    Move(Box<Move>),
    /// A part of a scrub: looks at what is there, and changes nothing.
    Scrub(Box<Scrub>),
    /// Removes the directory; it gets a name first that no start takes for a partition.
    DeletePartition,
}

/// What an operation that succeeded has to tell.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Done {
    /// Nothing else.
    #[default]
    Nothing,
    /// The keys that were collected.
    Keys(Arc<Keys>),
    /// What the new segment is like.
    Rewritten(Box<Rewritten>),
    /// What a look at a segment has found.
    Scrubbed(Box<Scrubbed>),
    /// It met a batch that is not what was written, and did nothing.
    Damaged(Damage),
}

/// A place where a segment is not what was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// The segment.
    pub base: Offset,
    /// Where in its log file.
    pub position: u32,
    /// What is wrong.
    pub problem: BatchError,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { base, position, problem } = self;
        write!(f, "segment {base} is damaged at position {position}: {problem}")
    }
}

/// How an operation failed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum DiskError {
    /// There is no room, or no file descriptor or memory to do it with. It may be tried again later. A sync that failed is
    /// never this, whatever the reason: what it was to bring to disk is lost.
    #[error("the disk is full, or the system has no file descriptor or memory left")]
    Full,
    /// What is on the disk now is not known.
    #[error("{0}")]
    Io(String),
    /// Nothing was done: the data directory has failed before.
    #[error("{0}")]
    NotTried(String),
    /// What the system took is not on the disk, and it tells that once: anything else that waits to be synced there may be lost with it.
    #[error("{0}")]
    Unsynced(String),
    /// It was done aside, and was not waited for as the process ends: nothing is wrong, and nothing has changed.
    #[error("called off, as the broker stops")]
    CalledOff,
}
