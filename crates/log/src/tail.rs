//! The last batches of a log, one by one: where each begins, and how to take it back.
//!
//! Everything above the written frontier is here, everything above the high watermark as far as there is room, and a few more, so that who reads
//! at the tail is told exact positions and a cut above the high watermark undoes exactly what was done.

use std::collections::VecDeque;

use klamm_model::Offset;

use crate::index::Largest;
use crate::producers::Undo;

/// Batches below the high watermark that are kept for readers close behind it.
const BEHIND_KEPT: usize = 64;

/// Written batches kept although the high watermark does not move, for want of followers: some megabytes.
pub(crate) const WRITTEN_KEPT_MAX: usize = 1 << 16;

/// A batch in the log.
#[derive(Debug)]
pub(crate) struct TailBatch {
    pub(crate) base: Offset,
    pub(crate) end: Offset,
    /// Where it lies in its segment.
    pub(crate) position: u32,
    pub(crate) size: u32,
    /// The segment's largest timestamp before it.
    pub(crate) largest_before: Largest,
    /// What it did to its producer.
    pub(crate) undo: Undo,
}

/// Invariant: every batch begins where the one before it ends, and the last one ends where the log does.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    batches: VecDeque<TailBatch>,
}

impl Tail {
    pub(crate) fn push(&mut self, batch: TailBatch) {
        self.batches.push_back(batch);
    }

    pub(crate) fn last(&self) -> Option<&TailBatch> {
        self.batches.back()
    }

    pub(crate) fn pop(&mut self) -> Option<TailBatch> {
        self.batches.pop_back()
    }

    pub(crate) fn get(&self, at: usize) -> Option<&TailBatch> {
        self.batches.get(at)
    }

    /// Where the first batch begins that is known here.
    pub(crate) fn start(&self) -> Option<Offset> {
        Some(self.batches.front()?.base)
    }

    /// The batch that has `offset`, by its number here.
    pub(crate) fn find(&self, offset: Offset) -> Option<usize> {
        if offset < self.start()? {
            return None;
        }
        // Most readers are close to the end.
        let last = self.batches.len() - 1;
        let found = if self.batches[last].base <= offset {
            last
        } else {
            self.batches.partition_point(|batch| batch.end <= offset)
        };
        (offset < self.batches[found].end).then_some(found)
    }

    /// The last batch from the one numbered `first` on for which `fits` holds; it holds for `first`, and for none after one it does not hold for.
    pub(crate) fn last_that(&self, first: usize, fits: impl Fn(&TailBatch) -> bool) -> &TailBatch {
        let (mut fitting, mut not) = (first, self.batches.len());
        while 1 < not - fitting {
            let middle = fitting + (not - fitting) / 2;
            if fits(&self.batches[middle]) { fitting = middle } else { not = middle }
        }
        &self.batches[fitting]
    }

    /// Forgets what is far enough below the high watermark, or too much to be kept.
    pub(crate) fn trim(&mut self, high_watermark: Offset, written: Offset) {
        let committed = high_watermark.min(written);
        while self.batches.get(BEHIND_KEPT).is_some_and(|batch| batch.end <= committed) {
            self.batches.pop_front();
        }
        while self.batches.get(WRITTEN_KEPT_MAX).is_some_and(|batch| batch.end <= written) {
            self.batches.pop_front();
        }
    }

    /// Forgets the batches below `end`, written ones.
    pub(crate) fn forget_below(&mut self, end: Offset) {
        while self.batches.front().is_some_and(|batch| batch.base < end) {
            self.batches.pop_front();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.batches = VecDeque::new();
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &TailBatch> {
        self.batches.iter()
    }
}
