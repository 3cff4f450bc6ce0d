//! What is not meant of a log that ended before the first record to read: it is read from that end.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use klamm_client::{PartitionName, Start};
use klamm_model::{Offset, RecordView, Timestamp};

use crate::range::Bound;

pub(super) struct Beginning {
    since: Option<Timestamp>,
    /// Of logs that are too short so far.
    offsets: BTreeMap<PartitionName, Offset>,
    over: RefCell<BTreeSet<PartitionName>>,
}

impl Beginning {
    pub(super) fn new(from: Bound) -> Self {
        let since = match from {
            Bound::Place(Start::Since(moment)) => Some(moment),
            Bound::Place(_) | Bound::After(_) => None,
        };
        Self { since, offsets: BTreeMap::new(), over: RefCell::default() }
    }

    /// Nothing before this offset is meant.
    pub(super) fn expect(&mut self, name: PartitionName, first: Offset) {
        self.offsets.insert(name, first);
    }

    /// Whether all that comes of the partition is meant.
    pub(super) fn is_over(&self, name: &PartitionName) -> bool {
        (self.since.is_none() && self.offsets.is_empty()) || self.over.borrow().contains(name)
    }

    /// Whether this record is the first that is meant.
    pub(super) fn ends_with(&self, name: &PartitionName, record: &RecordView<'_>) -> bool {
        let is_young = self.since.is_none_or(|since| since <= record.timestamp);
        let is_first = is_young && self.offsets.get(name).is_none_or(|first| *first <= record.offset);
        if is_first {
            self.over.borrow_mut().insert(name.clone());
        }
        is_first
    }
}
