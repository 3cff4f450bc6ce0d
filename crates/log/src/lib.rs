//! One partition's log: bookkeeping that turns appends into disk operations.
mod config;
mod disk;
mod error;
mod files;
mod log;
mod plan;
mod recover;
mod resolve;

pub use config::{Flush, LogConfig};
pub use disk::{DURABLE_POINT, DiskAction, DiskError, DiskOp, EPOCH_CHECKPOINT, FileKind, OpId, PARTITION_METADATA, SegmentId};
pub use error::{AppendError, ReadError, RecoverError};
pub use files::{DirectoryFiles, Files, FilesError, FoundPartition};
pub use log::{Appended, Log, Progress};
pub use plan::{ReadPlan, ReadStart, TimeLookup, TimeQuestion, TimeSpan};
pub use recover::{LogFiles, RecoveryReport};
pub use resolve::{resolve, resolve_time};
