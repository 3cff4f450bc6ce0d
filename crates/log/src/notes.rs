//! Notes on the growing segment, so that a start need not read all of it: its indexes, and the producers' state at some offset.
//!
//! They are drafted at the end of a batch when there is enough new since the last ones, or when the log comes to rest. Once everything below is on
//! disk and committed, the index entries are appended to `….growing`, the aborted transactions written to `….txnindex`, if there are any, and the producers to a
//! snapshot named by the offset; then the file with the durable point names the offset. Nothing of it is synced, and nothing is trusted: a start that finds notes which do not agree with
//! each other, or with the records, reads the segment from its beginning.
//!
//! What is noted is never above the durable point of the same file, and a cut below that rewrites it first. So notes never speak of records that
//! were cut since.

use bytes::Bytes;
use klamm_model::{Offset, Timestamp};

use crate::disk::{DiskAction, DiskOp};
use crate::index::{Largest, NOTE_SIZE};
use crate::log::{Life, Log};
use crate::queue::Errand;
use crate::snapshot;
use crate::transactions;

/// A log that comes to rest is noted if a start would have to read more than this: some tenths of a millisecond.
const UNNOTED_AT_REST_MAX: u32 = 256 * 1024;

/// How far the notes on a segment go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Notes {
    /// Where the segment begins.
    pub(crate) base: Offset,
    /// Records below are noted.
    pub(crate) through: Offset,
    /// Where the first one that is not begins.
    pub(crate) position: u32,
    /// Index entries of those before.
    pub(crate) entry_count: u32,
    /// Their highest timestamp.
    pub(crate) largest: Largest,
}

impl Notes {
    /// A line of the file with the durable point.
    pub(crate) fn to_line(self) -> String {
        let Self { base, through, position, entry_count, largest: Largest { timestamp, last_offset } } = self;
        format!("{base} {through} {position} {entry_count} {} {last_offset}", timestamp.0)
    }

    pub(crate) fn from_line(line: &str) -> Option<Self> {
        let mut words = line.split(' ').map(|word| word.parse::<i64>().ok());
        let mut number = || words.next().flatten();
        Some(Self {
            base: Offset::from_wire(number()?)?,
            through: Offset::from_wire(number()?)?,
            position: u32::try_from(number()?).ok()?,
            entry_count: u32::try_from(number()?).ok()?,
            largest: Largest { timestamp: Timestamp(number()?), last_offset: Offset::from_wire(number()?)? },
        })
    }
}

/// Notes that wait until what they are about is on disk and committed.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) notes: Notes,
    pub(crate) aborted: Bytes,
    pub(crate) producers: Bytes,
}

impl Log {
    /// Takes notes if so many bytes are new since the last ones.
    pub(crate) fn draft_notes(&mut self, new_bytes_min: u32) {
        let active = self.active();
        let noted = self.notes.filter(|notes| notes.base == active.base).map_or(0, |notes| notes.position);
        let Some(index) =
            active.index.as_ref().filter(|_| new_bytes_min <= active.size.saturating_sub(noted))
        else {
            return;
        };
        if self.draft.is_some() {
            return;
        }
        let notes = Notes {
            base: active.base,
            through: self.end,
            position: active.size,
            entry_count: index.len(),
            largest: active.largest,
        };
        let aborted = match active.aborted.entries() {
            [] => Bytes::new(),
            entries => transactions::to_bytes(active.base, entries),
        };
        self.draft = Some(Box::new(Draft { notes, aborted, producers: snapshot::write(&self.producers) }));
    }

    /// The process is about to end: what a start would have to find out is noted. Ends when no operation is under way any more.
    pub fn come_to_rest(&mut self, out: &mut Vec<DiskOp>) {
        if self.life != Life::Running {
            return;
        }
        if self.queue.is_open() && self.queue.syncing.is_none() && self.synced < self.written {
            self.sync(out);
        }
        self.draft_notes_at_rest();
        self.durable_point_due = true;
        self.pump(out);
        self.after_change();
    }

    pub(crate) fn draft_notes_at_rest(&mut self) {
        self.draft_notes(UNNOTED_AT_REST_MAX.min(self.config.notes_interval_bytes / 8));
    }

    /// Whether there is a draft of which everything is on disk and committed.
    pub(crate) fn notes_are_due(&self) -> bool {
        self.draft.as_ref().is_some_and(|draft| draft.notes.through <= self.synced.min(self.high_watermark))
    }

    pub(crate) fn write_notes_if_due(&mut self, out: &mut Vec<DiskOp>) {
        if self.queue.errand.is_some() || self.errands_pause || !self.notes_are_due() {
            return;
        }
        let Some(draft) = self.draft.take() else { return };
        let Draft { notes, aborted, producers } = *draft;
        let base = self.active().base;
        let before = self.notes.filter(|before| before.base == base).map_or(0, |before| before.entry_count);
        let Some(index) = self.active().index.as_ref().filter(|_| notes.base == base) else { return };
        let action = DiskAction::Note {
            segment: self.id_of(base),
            position: before * NOTE_SIZE as u32,
            entries: index.notes_to_bytes(base, before, notes.entry_count),
            aborted,
            through: notes.through,
            producers,
        };
        self.hand_out_errand(Errand::Note { notes, void: false }, action, out);
    }

    /// Notes are written. `void`: what they are about was taken back since.
    pub(crate) fn noted(&mut self, notes: Notes, void: bool) {
        if void {
            return self.leftovers.snapshots.push(notes.through);
        }
        self.discard_notes_from(Offset::ZERO);
        (self.notes, self.notes_unsaved, self.durable_point_due) = (Some(notes), true, true);
    }

    /// Notes on records at or above `end` are worth nothing any more.
    pub(crate) fn discard_notes_from(&mut self, end: Offset) {
        self.draft.take_if(|draft| end < draft.notes.through);
        if let Some(notes) = self.notes.take_if(|notes| end < notes.through) {
            self.leftovers.snapshots.push(notes.through);
            self.notes_unsaved = true;
        }
        if let Some((_, Errand::Note { notes, void })) = &mut self.queue.errand {
            *void |= end < notes.through;
        }
    }
}
