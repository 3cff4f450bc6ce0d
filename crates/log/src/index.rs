//! Where some batches of a segment begin, and which times lie before them: an entry about every 4 KiB, in memory for the segment that grows, in two
//! files of Kafka's formats for those that are closed.
//!
//! An entry of the `.index` names the *last* offset of a batch and the batch's position, each in 4 bytes. So the batch with offset X begins at or
//! after the position of the last entry that is not above X. An entry of the `.timeindex` names the highest timestamp so far, in 8 bytes, and the
//! last offset of the first batch that has it, in 4; timestamps rise from entry to entry, and the last one is the segment's highest.

use bytes::{BufMut, Bytes};
use klamm_model::{Offset, Timestamp, crc32c};

use crate::plan::{Floor, Says};

/// Bytes of an entry in the file.
pub(crate) const ENTRY_SIZE: usize = 8;
/// Bytes of an entry in the file with the times.
pub(crate) const TIME_ENTRY_SIZE: usize = 12;
/// Bytes of an entry in the notes on a growing segment: all that there is of it, and a checksum.
pub(crate) const NOTE_SIZE: usize = 28;

/// The highest timestamp of some batches, and where it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Largest {
    /// `i64::MIN` if none of them has one.
    pub(crate) timestamp: Timestamp,
    /// The last offset of the first batch that has it.
    pub(crate) last_offset: Offset,
}

impl Largest {
    pub(crate) const NONE: Self = Self { timestamp: Timestamp(i64::MIN), last_offset: Offset::ZERO };

    /// Takes note of the next batch. One without a timestamp says nothing, nor does its file of times.
    pub(crate) fn note(&mut self, timestamp: Timestamp, last_offset: Offset) {
        if self.timestamp < timestamp && 0 <= timestamp.0 {
            *self = Self { timestamp, last_offset };
        }
    }
}

/// A batch of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Entry {
    /// Its last offset, from the segment's base.
    last: u32,
    /// How many records before the last offset it begins. Not in the file.
    last_delta: u32,
    /// Where it begins.
    position: u32,
    /// The last offset, from the segment's base, of the batch with the highest timestamp before it.
    largest_last: u32,
    /// That timestamp.
    largest: Timestamp,
}

/// Where a segment may be cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct CutPoint {
    /// It ends before this offset.
    pub(crate) end: Offset,
    /// And this position.
    pub(crate) position: u32,
    /// And has this highest timestamp then.
    pub(crate) largest: Largest,
}

/// The index of one segment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Index {
    entries: Vec<Entry>,
    /// Bytes of batches since the last entry.
    since_entry: u32,
}

/// A batch that the index is told of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Indexed {
    pub(crate) first: Offset,
    pub(crate) last_delta: u32,
    pub(crate) position: u32,
    pub(crate) size: u32,
    /// The highest timestamp in the segment before it.
    pub(crate) largest_before: Largest,
}

impl Index {
    /// Takes note of the next batch of the segment that begins at `base`.
    pub(crate) fn note(&mut self, base: Offset, batch: &Indexed, interval: u32) {
        // Kafka counts the bytes before the batch: the first batch never has an entry, and needs none.
        if interval < self.since_entry
            && let Ok(last) = u32::try_from(batch.first.advance(batch.last_delta).since(base))
        {
            self.entries.push(Entry {
                last,
                last_delta: batch.last_delta,
                position: batch.position,
                largest_last: batch.largest_before.last_offset.since(base) as u32,
                largest: batch.largest_before.timestamp,
            });
            self.since_entry = 0;
        }
        self.since_entry = self.since_entry.saturating_add(batch.size);
    }

    /// Whether a file of `bytes_max` has no room for another entry, and one for the end of the segment.
    pub(crate) fn is_full(&self, bytes_max: u32) -> bool {
        bytes_max as usize / TIME_ENTRY_SIZE <= self.entries.len() + 1
    }

    /// The batch with `target` begins here or later.
    pub(crate) fn floor(&self, base: Offset, target: Offset) -> Floor {
        let target = target.since(base);
        self.last_of(base, self.entries.partition_point(|entry| u64::from(entry.last) <= target))
    }

    /// The highest timestamps that are known up to `target` and behind it, and where they are.
    pub(crate) fn times_around(&self, base: Offset, target: Offset) -> [Option<Largest>; 2] {
        let last = |entry: &Entry| base.advance(entry.largest_last);
        let behind = self.entries.partition_point(|entry| last(entry) <= target);
        let largest = |at: usize| {
            let entry = self.entries.get(at)?;
            Some(Largest { timestamp: entry.largest, last_offset: last(entry) })
        };
        [behind.checked_sub(1).and_then(largest), largest(behind)]
    }

    /// Where a batch begins that nobody reads who wants so many bytes from the batch with `target` on; `None` if none is known.
    pub(crate) fn beyond(&self, base: Offset, target: Offset, max_bytes: u32) -> Option<Offset> {
        let target = target.since(base);
        // The batch begins at or before this entry's, and is given whole.
        let first = self.entries.partition_point(|entry| u64::from(entry.last) <= target);
        let end = self.entries.get(first)?.position.saturating_add(max_bytes);
        let rest = &self.entries[first + 1..];
        let entry = rest.get(rest.partition_point(|entry| entry.position < end))?;
        Some(base.advance(entry.last - entry.last_delta))
    }

    /// The first batch of this time or later begins here or later.
    pub(crate) fn floor_of_time(&self, base: Offset, time: Timestamp) -> Floor {
        self.last_of(base, self.entries.partition_point(|entry| entry.largest < time))
    }

    /// The batch of the last one of the first `count` entries.
    fn last_of(&self, base: Offset, count: usize) -> Floor {
        let floor = |last: usize| {
            let Entry { last, position, .. } = self.entries[last];
            Floor { position, says: Says::Last(base.advance(last)) }
        };
        count.checked_sub(1).map_or(Floor::start_of(base), floor)
    }

    /// The last batch that begins at or below `end` as far as is known here: the segment may be cut before it. `None` if no such batch is known.
    pub(crate) fn cut_point(&self, base: Offset, end: Offset) -> Option<CutPoint> {
        let first = |entry: &Entry| base.advance(entry.last - entry.last_delta);
        let after = self.entries.partition_point(|entry| first(entry) <= end);
        let entry = self.entries.get(after.checked_sub(1)?)?;
        let largest = Largest { timestamp: entry.largest, last_offset: base.advance(entry.largest_last) };
        Some(CutPoint { end: first(entry), position: entry.position, largest })
    }

    /// Forgets batches at and after `position`.
    pub(crate) fn cut(&mut self, position: u32) {
        let keep = self.entries.partition_point(|entry| entry.position < position);
        self.entries.truncate(keep);
        let last = self.entries.last().map_or(0, |entry| entry.position);
        self.since_entry = position.saturating_sub(last);
    }

    pub(crate) fn len(&self) -> u32 {
        self.entries.len() as u32
    }

    /// Entries from one number to another, for the notes on a segment that begins at `base`.
    pub(crate) fn notes_to_bytes(&self, base: Offset, from: u32, to: u32) -> Bytes {
        let mut bytes = Vec::with_capacity((to - from) as usize * NOTE_SIZE);
        for (number, entry) in (from..to).zip(&self.entries[from as usize..to as usize]) {
            bytes.extend_from_slice(&note(base, number, entry));
        }
        bytes.into()
    }

    /// The index of a segment from notes on the first `position` bytes of it; `None` if they are damaged.
    pub(crate) fn from_notes(base: Offset, notes: &[u8], position: u32) -> Option<Self> {
        let mut entries: Vec<Entry> = Vec::with_capacity(notes.len() / NOTE_SIZE);
        let (notes, []) = notes.as_chunks::<NOTE_SIZE>() else { return None };
        for (number, bytes) in (0..).zip(notes) {
            let [last, last_delta, at, largest_last, high, low, _] = *bytes.as_chunks::<4>().0 else {
                return None;
            };
            let [last, last_delta, at, largest_last] =
                [last, last_delta, at, largest_last].map(u32::from_be_bytes);
            let largest = i64::from(i32::from_be_bytes(high)) << 32 | i64::from(u32::from_be_bytes(low));
            let entry = Entry { last, last_delta, position: at, largest_last, largest: Timestamp(largest) };
            let follows = |before: &Entry| before.last < last && before.position < at;
            if note(base, number, &entry) != *bytes || position <= at || !entries.last().is_none_or(follows) {
                return None;
            }
            entries.push(entry);
        }
        let last = entries.last().map_or(0, |entry| entry.position);
        Some(Self { entries, since_entry: position - last })
    }

    /// The first offset and the position of the last batch that has an entry.
    pub(crate) fn last_known(&self, base: Offset) -> Option<(Offset, u32)> {
        let entry = self.entries.last()?;
        Some((base.advance(entry.last.checked_sub(entry.last_delta)?), entry.position))
    }

    /// Positions and last offsets of the batches that have entries.
    pub(crate) fn places(&self, base: Offset) -> Vec<(u32, Offset)> {
        self.entries.iter().map(|entry| (entry.position, base.advance(entry.last))).collect()
    }

    pub(crate) fn shrink(&mut self) {
        self.entries.shrink_to_fit();
    }

    /// The `.index`.
    pub(crate) fn to_bytes(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(self.entries.len() * ENTRY_SIZE);
        for entry in &self.entries {
            bytes.put_u32(entry.last);
            bytes.put_u32(entry.position);
        }
        bytes.into()
    }

    /// The `.timeindex` of a segment that begins at `base` and whose highest timestamp is `largest`.
    pub(crate) fn times_to_bytes(&self, base: Offset, largest: Largest) -> Bytes {
        let mut bytes = Vec::with_capacity((self.entries.len() + 1) * TIME_ENTRY_SIZE);
        let end = (largest.timestamp, largest.last_offset.since(base) as u32);
        let mut highest = Timestamp(-1);
        for (timestamp, last) in
            self.entries.iter().map(|entry| (entry.largest, entry.largest_last)).chain([end])
        {
            if highest < timestamp {
                bytes.put_i64(timestamp.0);
                bytes.put_u32(last);
                highest = timestamp;
            }
        }
        bytes.into()
    }
}

/// Numbered and named, so that notes on something else are not taken for these.
fn note(base: Offset, number: u32, entry: &Entry) -> [u8; NOTE_SIZE] {
    let mut bytes = [0; NOTE_SIZE];
    let mut fields = &mut bytes[..];
    fields.put_u32(entry.last);
    fields.put_u32(entry.last_delta);
    fields.put_u32(entry.position);
    fields.put_u32(entry.largest_last);
    fields.put_i64(entry.largest.0);
    let mut checked = [0; 36];
    checked[..24].copy_from_slice(&bytes[..24]);
    checked[24..32].copy_from_slice(&base.raw().to_be_bytes());
    checked[32..].copy_from_slice(&number.to_be_bytes());
    bytes[24..].copy_from_slice(&crc32c(&checked).to_be_bytes());
    bytes
}

/// Reads an entry of the `.index`: last offset from the segment's base, and position.
pub(crate) fn entry(bytes: [u8; ENTRY_SIZE]) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = bytes;
    (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
}

/// The same as [`Index::places`], from the `.index`. It may say anything.
pub(crate) fn places(base: Offset, file: &[u8]) -> Vec<(u32, Offset)> {
    let (entries, _) = file.as_chunks::<ENTRY_SIZE>();
    let place = |bytes: &[u8; ENTRY_SIZE]| {
        let (last, position) = entry(*bytes);
        (position, Offset::new(base.raw().saturating_add(last.into())))
    };
    entries.iter().map(place).collect()
}

/// Reads an entry of the `.timeindex` of a segment.
pub(crate) fn time_entry(base: Offset, bytes: [u8; TIME_ENTRY_SIZE]) -> Largest {
    let [a, b, c, d, e, f, g, h, last @ ..] = bytes;
    Largest {
        timestamp: Timestamp(i64::from_be_bytes([a, b, c, d, e, f, g, h])),
        last_offset: Offset::new(base.raw().saturating_add(u32::from_be_bytes(last).into())),
    }
}
