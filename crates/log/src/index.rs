//! Where some batches of a segment begin: an entry about every 4 KiB, in memory for the segment that grows, in a file of Kafka's format for those
//! that are closed.
//!
//! An entry of the file names the *last* offset of a batch and the batch's position, each in 4 bytes. So the batch with offset X begins at or
//! after the position of the last entry that is not above X.

use bytes::{BufMut, Bytes};
use klamm_model::Offset;

/// Bytes of an entry in the file.
pub(crate) const ENTRY_SIZE: usize = 8;

/// A batch of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct IndexEntry {
    /// Its last offset, from the segment's base.
    pub(crate) last: u32,
    /// How many records before the last offset it begins. Not in the file.
    pub(crate) last_delta: u32,
    /// Where it begins.
    pub(crate) position: u32,
}

/// The index of one segment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Index {
    entries: Vec<IndexEntry>,
    /// Bytes of batches since the last entry.
    since_entry: u32,
}

impl Index {
    /// Takes note of the next batch.
    pub(crate) fn note(
        &mut self,
        base: Offset,
        first: Offset,
        last_delta: u32,
        position: u32,
        size: u32,
        interval: u32,
    ) {
        // Kafka counts the bytes before the batch: the first batch never has an entry, and needs none.
        if interval < self.since_entry
            && let Ok(last) = u32::try_from(first.advance(last_delta).since(base))
        {
            self.entries.push(IndexEntry { last, last_delta, position });
            self.since_entry = 0;
        }
        self.since_entry = self.since_entry.saturating_add(size);
    }

    /// The batch with `target` begins here or later.
    pub(crate) fn floor(&self, base: Offset, target: Offset) -> u32 {
        let target = target.since(base);
        let above = self.entries.partition_point(|entry| u64::from(entry.last) <= target);
        above.checked_sub(1).map_or(0, |last| self.entries[last].position)
    }

    /// The first batch at or above `end` known here ends the segment: its base and position. `None` if no such batch is known.
    pub(crate) fn cut_point(&self, base: Offset, end: Offset) -> Option<(Offset, u32)> {
        let first = |entry: &IndexEntry| base.advance(entry.last - entry.last_delta);
        let after = self.entries.partition_point(|entry| first(entry) <= end);
        let entry = self.entries.get(after.checked_sub(1)?)?;
        Some((first(entry), entry.position))
    }

    /// Forgets batches at and after `position`.
    pub(crate) fn cut(&mut self, position: u32) {
        let keep = self.entries.partition_point(|entry| entry.position < position);
        self.entries.truncate(keep);
        let last = self.entries.last().map_or(0, |entry| entry.position);
        self.since_entry = position.saturating_sub(last);
    }

    pub(crate) fn shrink(&mut self) {
        self.entries.shrink_to_fit();
    }

    /// The index file.
    pub(crate) fn to_bytes(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(self.entries.len() * ENTRY_SIZE);
        for entry in &self.entries {
            bytes.put_u32(entry.last);
            bytes.put_u32(entry.position);
        }
        bytes.into()
    }
}

/// Reads an entry of the file: last offset from the segment's base, and position.
pub(crate) fn entry(bytes: [u8; ENTRY_SIZE]) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = bytes;
    (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
}
