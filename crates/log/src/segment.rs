//! What is kept in memory of a segment.

use klamm_model::{Offset, Tick, Timestamp};

use crate::index::Index;

/// A segment, as it will be when everything queued is done.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) base: Offset,
    pub(crate) size: u32,
    /// No record has a higher one. `i64::MAX` where that is not known: a closed segment is not read at start.
    pub(crate) largest_timestamp: Timestamp,
    /// Where batches begin: of the last segment, and of those that may become the last again by a cut above the high watermark.
    pub(crate) index: Option<Index>,
    /// Entries of the index file, once it is written.
    pub(crate) index_file_entry_count: u32,
    /// It is closed and its index file is written.
    pub(crate) sealed: bool,
    /// Its file is there, or may be.
    pub(crate) may_exist: bool,
    /// When about the first batch came.
    pub(crate) opened: Option<Tick>,
}

impl Segment {
    pub(crate) fn new(base: Offset) -> Self {
        Self {
            base,
            size: 0,
            largest_timestamp: Timestamp(i64::MIN),
            index: Some(Index::default()),
            index_file_entry_count: 0,
            sealed: false,
            may_exist: false,
            opened: None,
        }
    }
}
