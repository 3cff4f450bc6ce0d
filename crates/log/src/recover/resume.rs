//! Taking the notes on the growing segment for what they say, where all that is cheap to look at agrees with them.

use klamm_model::{Offset, Timestamp};

use super::{Found, Recovery, io_error};
use crate::disk::FileKind;
use crate::epochs::Epochs;
use crate::error::RecoverError;
use crate::index::{Index, NOTE_SIZE};
use crate::log::Log;
use crate::notes::Notes;
use crate::plan::{Floor, ReadStart};
use crate::producers::Producers;
use crate::transactions::{AbortedIndex, AbortedTransaction};
use crate::walk::{NEAR, Walk, WalkError};

/// A growing segment up to where the notes on it go.
pub(super) struct Resumed {
    notes: Notes,
    index: Index,
    aborted: Vec<AbortedTransaction>,
    first_timestamp: Timestamp,
    epochs: Epochs,
    producers: Producers,
}

impl Resumed {
    /// Makes it the end of a log that has nothing of the segment yet.
    pub(super) fn apply(self, log: &mut Log) {
        let Self { notes, index, aborted, first_timestamp, epochs, producers } = self;
        let active = log.active_mut();
        assert!(active.size == 0 && active.base == notes.base, "notes on another segment: {notes:?}");
        (active.size, active.largest) = (notes.position, notes.largest);
        (active.index, active.first_timestamp) = (Some(index), first_timestamp);
        active.aborted = AbortedIndex::in_memory(aborted);
        log.appended_bytes += u64::from(notes.position);
        (log.end, log.epochs, log.producers, log.notes) = (notes.through, epochs, producers, Some(notes));
    }
}

impl Recovery<'_> {
    /// `None` if something does not agree: then all of the segment is read.
    pub(super) fn resume(
        &mut self,
        notes: Notes,
        aborted_count: u32,
        last: Found,
        epochs_before: &Epochs,
    ) -> Result<Option<Resumed>, RecoverError> {
        let kept = self.durable_point.map_or(Offset::ZERO, |point| point.min(self.committed));
        if notes.base != last.base || last.size < notes.position || kept < notes.through {
            return Ok(None);
        }
        let name = FileKind::Growing.file_name(last.base);
        let Some(growing) = self.read_small(&name)? else { return Ok(None) };
        let Some(producers) = self.producers_from_file(notes.through)? else { return Ok(None) };
        let entries = growing.get(..notes.entry_count as usize * NOTE_SIZE);
        let Some(index) = entries.and_then(|entries| Index::from_notes(last.base, entries, notes.position))
        else {
            return Ok(None);
        };
        let Some(aborted) = self.noted_aborted(notes, aborted_count)? else { return Ok(None) };
        let Some(epochs) = self.epochs_through(notes, last, &index, epochs_before)? else { return Ok(None) };
        let first = self.header_from(last, last.base, ReadStart::AtOrAfter(Floor::start_of(last.base)))?;
        let Some(first) = first.filter(|first| first.base_offset == last.base) else { return Ok(None) };
        let first_timestamp = first.max_timestamp;
        if !self.leads_to(notes, last, &index)? {
            return Ok(None);
        }
        Ok(Some(Resumed { notes, index, aborted, first_timestamp, epochs, producers }))
    }

    /// Whether the batches after the last one that the notes know of lead to where the notes end.
    fn leads_to(&mut self, notes: Notes, last: Found, index: &Index) -> Result<bool, RecoverError> {
        let (mut end, mut position) = index.last_known(last.base).unwrap_or((last.base, 0));
        let name = FileKind::Log.file_name(last.base);
        let mut read = |position: u64, buffer: &mut [u8]| self.files.read_at(&name, position, buffer);
        let mut walk = Walk::new(notes.position, NEAR, &mut read);
        loop {
            match walk.header_at(position) {
                Ok(Some((header, after))) if header.base_offset == end => {
                    (end, position) = (header.next_offset(), after);
                    self.scanned_count += 1;
                }
                Ok(None) => return Ok(end == notes.through),
                Ok(Some(_)) | Err(WalkError::Damaged(_)) => return Ok(false),
                Err(WalkError::Io(error)) => return Err(io_error(&name, &error)),
            }
        }
    }

    /// The epochs of what is noted, if those that are saved agree with the records.
    fn epochs_through(
        &self,
        notes: Notes,
        last: Found,
        index: &Index,
        epochs_before: &Epochs,
    ) -> Result<Option<Epochs>, RecoverError> {
        let first = last.base.max(self.log_start);
        let (Some(mut epochs), true) = (self.known_epochs(), first < notes.through) else {
            return Ok(None);
        };
        epochs.cut(notes.through, true);
        let mut before = epochs.clone();
        before.cut(last.base, true);
        if before != *epochs_before {
            return Ok(None);
        }
        let starts = epochs.entries().iter().map(|entry| entry.start).filter(|start| first < *start);
        let newest = notes.through.before().unwrap_or_default();
        for (at, begins) in starts.map(|start| (start, true)).chain([(first, false), (newest, false)]) {
            let header = self.header_from(last, at, ReadStart::AtOrAfter(index.floor(last.base, at)))?;
            let agrees = header.is_some_and(|header| {
                header.leader_epoch == epochs.at(at) && (!begins || header.base_offset == at)
            });
            if !agrees {
                return Ok(None);
            }
        }
        Ok(Some(epochs))
    }
}
