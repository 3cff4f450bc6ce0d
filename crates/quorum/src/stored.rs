//! How engines that keep a log of their own have it on disk: an entry is one batch with one record, whose value is the payload. The batch's leader epoch is the
//! entry's epoch or term, its offset the index. Kafka's segment dump tool can read it.

use std::collections::VecDeque;
use std::{fmt, io};

use bytes::{Bytes, BytesMut};
use klamm_log::{FileKind, Flush, Log, LogConfig, ReadError, Retention, SegmentVersion, resolve};
use klamm_model::{
    BatchBuilder, BatchError, Batches, LeaderEpoch, Offset, PartitionIndex, Seal, Tail, Timestamp, TopicId,
    TopicPartition, patched_prefix,
};
use thiserror::Error;

use crate::snapshot::SnapshotError;

/// The log's directory, Kafka's name for it.
pub const DIRECTORY: &str = "__cluster_metadata-0";

/// The log's identity, the same in every cluster: no topic that a cluster creates has it. Kafka's metadata log has the same.
pub const PARTITION: TopicPartition =
    TopicPartition { topic: TopicId(uuid::Uuid::from_u128(1)), partition: PartitionIndex(0) };

/// How much is read from the log at once when it starts; larger batches are read whole.
const READ_BYTES: u32 = 1 << 20;

/// An entry's payload is not larger, whatever the engine.
pub const STORED_BYTES_MAX: usize = 2_000_000;

/// The log cannot be read back.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum StoredError {
    /// Where a batch must be, there is none.
    #[error("metadata log: {0}")]
    Read(#[from] ReadError),
    /// A batch does not parse.
    #[error("metadata log: batch at offset {at} is damaged: {problem}")]
    Batch {
        /// Its offset.
        at: Offset,
        /// What is wrong.
        problem: BatchError,
    },
    /// The snapshot beside the log is of no use.
    #[error("metadata log: {0}")]
    Snapshot(#[from] SnapshotError),
    /// The log does not go on where the snapshot ends.
    #[error("metadata log: it has the entries from {start} to {end}, and {snapshot}: {what}")]
    Apart {
        /// Its first entry.
        start: u64,
        /// After its last.
        end: u64,
        /// What there is of a snapshot.
        snapshot: SnapshotEnd,
        /// What must have happened.
        what: &'static str,
    },
    /// A batch is none that we wrote.
    #[error("metadata log: batch at offset {at} is no entry: {what}")]
    NoEntry {
        /// Its offset.
        at: Offset,
        /// In what way.
        what: &'static str,
    },
}

/// Where a snapshot ends, if there is one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SnapshotEnd(pub Option<u64>);

impl fmt::Display for SnapshotEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(end) => write!(f, "the snapshot beside it ends before entry {end}"),
            None => write!(f, "there is no snapshot of what came before"),
        }
    }
}

/// Reads from a segment's file, less than asked only at its end.
pub type ReadFile<'a> = &'a mut dyn FnMut(SegmentVersion, FileKind, u64, &mut [u8]) -> io::Result<usize>;

/// An entry as the log has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stored {
    /// The batch's offset.
    pub index: u64,
    /// The batch's leader epoch.
    pub term: LeaderEpoch,
    /// The record's value.
    pub payload: Bytes,
}

/// How the metadata log is kept: synced always, deleted only before a snapshot. Of that, whole segments go, so they are not large.
pub fn log_config() -> LogConfig {
    LogConfig {
        segment_bytes: 8 << 20,
        segment_ms: u64::MAX,
        retention: Retention::FOR_EVER,
        flush: Flush::Synced,
        producer_count_max: 1,
        ..LogConfig::default()
    }
}

pub(crate) fn index(offset: Offset) -> u64 {
    offset.raw().unsigned_abs()
}

pub(crate) fn offset(index: u64) -> Offset {
    Offset::from_wire(i64::try_from(index).unwrap_or(i64::MAX)).expect("not negative")
}

/// The batch without its place, which whoever appends it gives.
pub(crate) fn batch(payload: &Bytes) -> Bytes {
    let mut builder = BatchBuilder::with_capacity(payload.len() + 128);
    // No clock in here: the log has no use for timestamps.
    builder.append(Timestamp(0), None, Some(payload), &[]);
    builder.finish(&Seal::default())
}

/// The batches of several entries, each at its place.
pub(crate) fn run_of(entries: &[Stored]) -> Bytes {
    let mut run = BytesMut::new();
    for entry in entries {
        let batch = batch(&entry.payload);
        let prefix = patched_prefix(&batch, offset(entry.index), entry.term);
        run.extend_from_slice(&prefix);
        run.extend_from_slice(&batch[prefix.len()..]);
    }
    run.freeze()
}

/// Reads all entries of a log.
pub(crate) fn read_all(log: &Log, read: ReadFile<'_>) -> Result<VecDeque<Stored>, StoredError> {
    let mut entries = VecDeque::new();
    let mut from = log.log_start();
    while let Some(plan) = log.read(from, log.end(), READ_BYTES)? {
        let segment = plan.segment;
        let range = resolve(&plan, &mut |kind, position, buffer| read(segment, kind, position, buffer))?;
        let mut run = BytesMut::zeroed((range.end - range.start) as usize);
        let count = read(segment, FileKind::Log, range.start.into(), &mut run)
            .map_err(|error| ReadError::Io { base: segment.id.base, problem: error.to_string() })?;
        run.truncate(count);
        let next = read_run(&run.freeze(), from, &mut entries)?;
        if next == from {
            return Err(StoredError::NoEntry { at: from, what: "it is not there" });
        }
        from = next;
    }
    Ok(entries)
}

/// Gives the offset after the last whole batch: a read ends anywhere in one, and the next begins with it.
fn read_run(run: &Bytes, mut at: Offset, entries: &mut VecDeque<Stored>) -> Result<Offset, StoredError> {
    let mut scratch = Vec::new();
    for view in Batches::new(run, Tail::MayBeTruncated) {
        let damaged = |problem| StoredError::Batch { at, problem };
        let none = |what| StoredError::NoEntry { at, what };
        let view = view.map_err(damaged)?;
        view.verify_crc().map_err(damaged)?;
        if view.base_offset() != at || view.record_count() != 1 {
            return Err(none("it is not one record at this offset"));
        }
        let term = view.header().leader_epoch.ok_or(none("it has no epoch"))?;
        let record = view.records(&mut scratch, STORED_BYTES_MAX).map_err(damaged)?.next();
        let record = record.ok_or(none("it is empty"))?.map_err(damaged)?;
        let payload = record.value.ok_or(none("its record has no value"))?;
        entries.push_back(Stored { index: index(at), term, payload: Bytes::copy_from_slice(payload) });
        at = view.next_offset();
    }
    Ok(at)
}
