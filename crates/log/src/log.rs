//! A partition's log.
use bytes::Bytes;
use klamm_model::{LeaderEpoch, Offset, Tick, Timestamp, TopicPartition, ValidBatch};

use crate::config::LogConfig;
use crate::disk::{DiskError, DiskOp, OpId};
use crate::error::{AppendError, ReadError, RecoverError};
use crate::plan::{ReadPlan, TimeLookup};
use crate::recover::{LogFiles, RecoveryReport};

/// What an append came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Appended {
    /// Offset of the first record.
    pub base: Offset,
    /// One past the last: what has to be written, or committed, before the append counts.
    pub end: Offset,
    /// The producer had sent it before; these are the offsets it got then, and nothing was appended now.
    pub duplicate: bool,
}

/// What the end of an operation moved.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// The written frontier moved up to here.
    pub written: Option<Offset>,
    /// The synced frontier moved up to here.
    pub synced: Option<Offset>,
    /// Everything appended at and above is gone again, because of `error`.
    pub lost_from: Option<Offset>,
    /// What failed. If `fatal` is not set, the log goes on.
    pub error: Option<DiskError>,
    /// The log has failed for good, now: all further calls are refused.
    pub fatal: Option<DiskError>,
    /// A cut of the log is on disk; it ended here.
    pub truncated: Option<Offset>,
    /// The files are gone, as [`Log::delete`] asked.
    pub deleted: bool,
}

/// A partition's log.
pub struct Log {}

#[allow(missing_docs, clippy::all, clippy::unimplemented, unused_variables, clippy::needless_pass_by_value)]
impl Log {
    pub fn create(partition: TopicPartition, directory: String, config: LogConfig, out: &mut Vec<DiskOp>) -> Log { unimplemented!() }
    pub fn recover(partition: TopicPartition, directory: String, config: LogConfig, files: &dyn LogFiles) -> Result<(Log, RecoveryReport), RecoverError> { unimplemented!() }
    pub fn start(&mut self, out: &mut Vec<DiskOp>) { unimplemented!() }
    pub fn append_as_leader(&mut self, epoch: LeaderEpoch, batch: &ValidBatch, bytes: Bytes, out: &mut Vec<DiskOp>) -> Result<Appended, AppendError> { unimplemented!() }
    pub fn append_as_follower(&mut self, run: Bytes, out: &mut Vec<DiskOp>) -> Result<Appended, AppendError> { unimplemented!() }
    pub fn done(&mut self, op: OpId, result: Result<(), DiskError>, out: &mut Vec<DiskOp>) -> Progress { unimplemented!() }
    pub fn truncate_to(&mut self, end: Offset, out: &mut Vec<DiskOp>) { unimplemented!() }
    pub fn restart_at(&mut self, base: Offset, out: &mut Vec<DiskOp>) { unimplemented!() }
    pub fn delete(&mut self, out: &mut Vec<DiskOp>) { unimplemented!() }
    pub fn advance_log_start(&mut self, to: Offset) { unimplemented!() }
    pub fn begin_epoch(&mut self, epoch: LeaderEpoch, at: Offset, out: &mut Vec<DiskOp>) { unimplemented!() }
    pub fn note_high_watermark(&mut self, high_watermark: Offset) { unimplemented!() }
    pub fn periodic(&mut self, now: Tick, out: &mut Vec<DiskOp>) { unimplemented!() }
    pub fn wants_periodic(&self) -> bool { unimplemented!() }
    pub fn set_config(&mut self, config: LogConfig) { unimplemented!() }
    pub fn config(&self) -> &LogConfig { unimplemented!() }
    pub fn partition(&self) -> TopicPartition { unimplemented!() }
    pub fn log_start(&self) -> Offset { unimplemented!() }
    pub fn end(&self) -> Offset { unimplemented!() }
    pub fn written(&self) -> Offset { unimplemented!() }
    pub fn synced(&self) -> Offset { unimplemented!() }
    pub fn frontier(&self) -> Offset { unimplemented!() }
    pub fn has_failed(&self) -> bool { unimplemented!() }
    pub fn last_epoch(&self) -> Option<LeaderEpoch> { unimplemented!() }
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> { unimplemented!() }
    pub fn epoch_end(&self, asked: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> { unimplemented!() }
    pub fn read(&self, from: Offset, limit: Offset, max_bytes: u32) -> Result<Option<ReadPlan>, ReadError> { unimplemented!() }
    pub fn bytes_between(&self, from: Offset, to: Offset) -> u64 { unimplemented!() }
    pub fn lookup_time(&self, at: Timestamp, limit: Offset) -> TimeLookup { unimplemented!() }
    pub fn lookup_largest_timestamp(&self, limit: Offset) -> TimeLookup { unimplemented!() }
    pub fn size_bytes(&self) -> u64 { unimplemented!() }
    pub fn unsynced_bytes(&self) -> u64 { unimplemented!() }
    pub fn queued_bytes(&self) -> u64 { unimplemented!() }
    pub fn check_invariants(&self) { unimplemented!() }
}
