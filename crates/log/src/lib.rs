//! One partition's log: bookkeeping that turns appends into disk operations.
//!
//! Owns what is known of a partition's records: segments, where batches lie in them, leader epochs, producers' sequence numbers, how far all of it
//! is written and on disk. It touches no file and blocks nowhere: calls go in, [`DiskOp`]s come out, and their ends come in again, in any order.
//! Knows no requests, no replicas and no clock. Only [`Files`] performs operations, for those who have a disk.
//!
//! ```text
//!   topic-0/  00000000000000000000.log  .index  .timeindex  .txnindex    closed: its indexes are files
//!             00000000000000001234.log  .snapshot  grows: its index is in memory; the snapshot has the producers before it
//!                                       .growing   notes on it, with a snapshot of their own
//!             leader-epoch-checkpoint  partition.metadata  durable-point (and where the log starts)  damaged-ranges
//! ```
//! All but `durable-point`, `damaged-ranges` and `….growing` are in Kafka's formats, the epochs and `….txnindex` with a checksum behind them.

mod append;
mod checkpoint;
pub mod compact;
mod config;
mod cut;
mod disk;
mod ends;
mod epochs;
mod error;
mod files;
mod index;
mod log;
mod moving;
mod notes;
mod plan;
mod producers;
mod quarantine;
mod queue;
mod reads;
mod recover;
mod resolve;
mod retention;
mod scrub;
mod segment;
mod snapshot;
mod stop;
mod survey;
mod syncs;
mod tail;
#[cfg(test)]
mod tests;
mod transactions;
mod walk;

pub use append::Appended;
pub use compact::{Compacted, Compaction};
pub use config::{Flush, LogConfig, Retention};
pub use disk::{
    DAMAGED_RANGES, DURABLE_POINT, Damage, DiskAction, DiskError, DiskOp, Done, EPOCH_CHECKPOINT, FileKind,
    LogDir, Move, MoveStep, OpId, PARTITION_METADATA, Prefix, REPLACED, SegmentId, SegmentVersion,
};
pub use error::{AppendError, ReadError, RecoverError};
pub use files::{
    CleanShutdown, DataDir, DirectoryFiles, Files, FilesError, FoundPartition, SegmentFile, Space,
    read_cached,
};
pub use log::{Log, Progress};
pub use plan::{Floor, ReadPlan, ReadStart, Says, TimeFound, TimeLookup, TimeQuestion, TimeSpan, TimeStart};
pub use producers::{ProducerState, TransactionGuard};
pub use quarantine::DamagedRange;
pub use recover::{LogFiles, RecoveryReport};
pub use resolve::{ReadFile, ReadSegment, resolve, resolve_time};
pub use scrub::{Scrub, ScrubProgress, Scrubbed, scrub};
pub use survey::Place;
pub use transactions::{AbortedLookup, AbortedTransaction, resolve_aborted};
