//! Refusals, in the log's own terms.

use klamm_model::{BatchError, LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use thiserror::Error;

use crate::quarantine::DamagedRange;

/// Why nothing was appended.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum AppendError {
    /// The producer has a newer session (INVALID_PRODUCER_EPOCH).
    #[error("producer {producer} appended under epoch {given}, which is older than {current}")]
    StaleProducerEpoch {
        /// Which producer.
        producer: ProducerId,
        /// The batch's epoch.
        given: ProducerEpoch,
        /// The newest epoch seen.
        current: ProducerEpoch,
    },
    /// The batch does not follow the producer's last one, and is none of its last five (OUT_OF_ORDER_SEQUENCE_NUMBER).
    #[error("producer {producer} appended sequence {given} where {expected} is next")]
    OutOfOrderSequence {
        /// Which producer.
        producer: ProducerId,
        /// The batch's first sequence number.
        given: i32,
        /// What would have followed.
        expected: i32,
    },
    /// The producer has a transaction open, and the batch does not belong to it (INVALID_TXN_STATE).
    #[error("producer {producer} appended outside of its transaction, which is open since offset {first}")]
    InTransaction {
        /// Which producer.
        producer: ProducerId,
        /// Where the transaction begins.
        first: Offset,
    },
    /// A mark of a coordinator that has been replaced since (TRANSACTION_COORDINATOR_FENCED).
    #[error("coordinator epoch {given} ends a transaction of producer {producer}, but {current} did before")]
    CoordinatorFenced {
        /// Whose transaction.
        producer: ProducerId,
        /// The mark's epoch.
        given: LeaderEpoch,
        /// The newest epoch seen.
        current: LeaderEpoch,
    },
    /// A follower was given records that do not follow its own.
    #[error("records begin at offset {given}, the log ends at {end}")]
    NotContiguous {
        /// The first offset of the batch.
        given: Offset,
        /// Where the log ends.
        end: Offset,
    },
    /// A batch is of an older leader than the record before it, or of none.
    #[error("batch at offset {base} has leader epoch {given:?} after {last:?}")]
    EpochWentBack {
        /// The first offset of the batch.
        base: Offset,
        /// Its epoch.
        given: Option<LeaderEpoch>,
        /// The epoch before it.
        last: Option<LeaderEpoch>,
    },
    /// A follower was given bytes that are not whole, good batches.
    #[error("batch at offset {base} is damaged: {problem}")]
    Damaged {
        /// Where it would have been appended.
        base: Offset,
        /// What is wrong.
        problem: BatchError,
    },
    /// There is no offset left, or the batch is beyond what a segment may hold.
    #[error("a batch of {size} bytes at offset {base} does not fit")]
    TooLarge {
        /// Where it would have been appended.
        base: Offset,
        /// Its size.
        size: usize,
    },
    /// As much waits for the disk as may.
    #[error("{queued_bytes} bytes wait to be written already")]
    Overloaded {
        /// How much waits.
        queued_bytes: u64,
    },
    /// The disk failed before, or the log was deleted.
    #[error("the log has failed or was deleted")]
    LogFailed,
}

/// Why nothing is read.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ReadError {
    /// There is no such offset, or not any more.
    #[error("offset {from} is not within {log_start}..={end}")]
    OutOfRange {
        /// What was asked for.
        from: Offset,
        /// Where the log starts.
        log_start: Offset,
        /// Where it ends.
        end: Offset,
    },
    /// What was written there is lost, and known to be.
    #[error("{0}")]
    Quarantined(DamagedRange),
    /// The file does not hold what the log says it does.
    #[error("segment {base} is damaged at position {position}: {problem}")]
    Damaged {
        /// The segment.
        base: Offset,
        /// Where.
        position: u32,
        /// What is wrong.
        problem: BatchError,
    },
    /// The segment was compacted since it was said where to read: whoever asks again is told another place.
    #[error("the segment was compacted meanwhile")]
    Replaced,
    /// The file could not be read.
    #[error("segment {base}: {problem}")]
    Io {
        /// The segment.
        base: Offset,
        /// What the system said.
        problem: String,
    },
    /// The disk failed before, or the log was deleted.
    #[error("the log has failed or was deleted")]
    LogFailed,
}

/// Why a log is not opened. Its files stay as they are.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum RecoverError {
    /// Records that were on disk for certain are not there any more.
    #[error(
        "segment {base} is damaged at position {position}: valid records end at offset {valid_end}, but everything below {durable_point} was on disk"
    )]
    DamagedBelowDurablePoint {
        /// The segment.
        base: Offset,
        /// Where the damage begins.
        position: u32,
        /// Where the records before it end.
        valid_end: Offset,
        /// Everything below was on disk.
        durable_point: Offset,
    },
    /// The end of the log is damaged, and it is not known how much of it had to be there.
    #[error(
        "records end at offset {valid_end} with damaged bytes after them, and the durable point cannot be read"
    )]
    DurablePointUnknown {
        /// Where the good records end.
        valid_end: Offset,
    },
    /// A file has a size or a name that no log of ours can have.
    #[error("{name}: {problem}")]
    Unexpected {
        /// The file.
        name: String,
        /// What is odd about it.
        problem: String,
    },
    /// A file could not be read.
    #[error("{name}: {problem}")]
    Io {
        /// The file.
        name: String,
        /// What the system said.
        problem: String,
    },
}
