//! What a log says about where records are. It knows without touching a file; the rest is found by [`resolve`](crate::resolve) and
//! [`resolve_time`](crate::resolve_time), outside of any lock.

use klamm_model::{BatchHeader, LeaderEpoch, Offset, Timestamp};

use crate::disk::SegmentVersion;
use crate::quarantine::DamagedRange;

/// A place in a segment's log file where a batch begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Floor {
    /// The place.
    pub position: u32,
    /// What the batch has to say of itself: the checksum knows nothing of offsets.
    pub says: Says,
}

/// An offset of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Says {
    /// Its first one.
    First(Offset),
    /// Its last one.
    Last(Offset),
}

impl Floor {
    /// Where a segment begins.
    pub(crate) fn start_of(base: Offset) -> Self {
        Self { position: 0, says: Says::First(base) }
    }

    /// Where it goes on behind what is damaged.
    pub(crate) fn behind(damaged: &DamagedRange) -> Self {
        Self { position: damaged.end, says: Says::First(damaged.to) }
    }

    pub(crate) fn is_place_of(self, header: &BatchHeader) -> bool {
        match self.says {
            Says::First(first) => header.base_offset == first,
            Says::Last(last) => header.last_offset() == last,
        }
    }
}

/// Where to look for the batch with the first offset wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadStart {
    /// It begins here, and ends at `first_end`.
    Exact {
        /// Where it begins.
        position: u32,
        /// Where the batch after it begins.
        first_end: u32,
    },
    /// It begins here or further on.
    AtOrAfter(Floor),
    /// The index file knows more.
    LookInIndexFile {
        /// Entries of the index file.
        entry_count: u32,
    },
}

/// A stretch of one segment that is to be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadPlan {
    /// Which segment.
    pub segment: SegmentVersion,
    /// The first offset wanted.
    pub target: Offset,
    /// Where its batch is.
    pub start: ReadStart,
    /// It does not begin before this place, whatever an index says: there something is damaged.
    pub floor: Floor,
    /// Nothing at or after this position may be read.
    pub limit: u32,
    /// No batch that begins at or above this offset may be read, where `limit` does not say that already.
    pub limit_offset: Option<Offset>,
    /// How much is wanted. The first batch is given whole.
    pub max_bytes: u32,
    /// No record at or above this offset is read.
    pub end: Offset,
}

/// A record that was looked for by time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimeFound {
    /// Its place.
    pub offset: Offset,
    /// Its time.
    pub timestamp: Timestamp,
    /// Whose leader appended it.
    pub epoch: Option<LeaderEpoch>,
}

/// What to look for by time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimeQuestion {
    /// The first record of this time or later.
    AtOrAfter(Timestamp),
    /// The first record of the highest timestamp there is.
    Largest,
}

/// Where to look for a time in a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimeStart {
    /// From here on.
    AtOrAfter(Floor),
    /// The index files know more.
    LookInIndexFiles {
        /// Entries of the index file.
        entry_count: u32,
        /// Entries of the file with the times.
        time_entry_count: u32,
    },
}

/// A segment that may have the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimeSpan {
    /// Which segment.
    pub segment: SegmentVersion,
    /// Where to begin.
    pub start: TimeStart,
    /// Nothing before this place may be read.
    pub floor: Floor,
    /// Nothing at or after this position may be read.
    pub limit: u32,
    /// No record has a higher timestamp.
    pub largest_timestamp: Timestamp,
    /// A record that counts has it.
    pub largest_counts: bool,
}

/// A question about time, and where the answer may be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TimeLookup {
    /// What is asked.
    pub question: TimeQuestion,
    /// Records below do not count.
    pub log_start: Offset,
    /// Records at and above do not count.
    pub limit: Offset,
    /// Where to look, in the order of offsets.
    pub spans: Vec<TimeSpan>,
}
