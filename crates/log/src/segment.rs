//! What is kept in memory of a segment.

use klamm_model::{Offset, Tick, Timestamp};

use crate::index::{Index, Largest};
use crate::transactions::AbortedIndex;

/// A segment, as it will be when everything queued is done.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) base: Offset,
    /// Of its content: compaction gives it another, and all that is known of positions in it goes.
    pub(crate) version: u32,
    pub(crate) size: u32,
    /// The highest timestamp.
    pub(crate) largest: Largest,
    /// The highest timestamp of the first batch.
    pub(crate) first_timestamp: Timestamp,
    /// If it has no timestamps: when it was first seen closed.
    pub(crate) undated_since: Option<Timestamp>,
    /// Where batches begin: of the last segment, and of those that a cut may make the last again.
    pub(crate) index: Option<Index>,
    /// The aborted transactions whose marks it has. In memory where `index` is.
    pub(crate) aborted: AbortedIndex,
    /// Entries of the index file, once it is written.
    pub(crate) index_file_entry_count: u32,
    /// Entries of the file with the times.
    pub(crate) time_file_entry_count: u32,
    /// It is closed, its index file is written, and the next one is there.
    pub(crate) sealed: bool,
    /// Its file is there, or may be.
    pub(crate) may_exist: bool,
    /// When about the first batch came, where it has no timestamp.
    pub(crate) opened: Option<Tick>,
}

impl Segment {
    pub(crate) fn new(base: Offset) -> Self {
        Self {
            base,
            version: 0,
            size: 0,
            largest: Largest::NONE,
            undated_since: None,
            first_timestamp: Timestamp(i64::MIN),
            index: Some(Index::default()),
            aborted: AbortedIndex::default(),
            index_file_entry_count: 0,
            time_file_entry_count: 0,
            sealed: false,
            may_exist: false,
            opened: None,
        }
    }
}
