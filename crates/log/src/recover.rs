//! Opening a log.
use std::io;

use klamm_model::Offset;

/// What recovery may see of a partition's directory.
pub trait LogFiles {
    /// The names of all files, and their sizes, in any order.
    fn list(&self) -> io::Result<Vec<(String, u64)>>;
    /// Reads up to the buffer's length; less only at the end of the file.
    fn read_at(&self, name: &str, position: u64, buffer: &mut [u8]) -> io::Result<usize>;
}

/// What recovery found, for the operator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecoveryReport {
    /// Where the log starts.
    pub log_start: Offset,
    /// Where it ends.
    pub end: Offset,
    /// Everything below was on disk for certain; `None` if that was not known.
    pub durable_point: Option<Offset>,
    /// Segments of the log.
    pub segment_count: usize,
    /// Batches that were looked at.
    pub scanned_count: u64,
    /// Bytes of a torn tail, which is cut off.
    pub cut_bytes: u64,
    /// Files that were missing or wrong and were made again from the records.
    pub rebuilt: Vec<String>,
}
