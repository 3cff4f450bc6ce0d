//! What is known to be damaged from before.

use klamm_model::Offset;

use super::{Found, Recovery, io_error};
use crate::disk::{DAMAGED_RANGES, FileKind};
use crate::error::RecoverError;
use crate::index::{self, Index, NOTE_SIZE};
use crate::log::Log;
use crate::quarantine::{DamagedRange, Quarantine};
use crate::recover::LogFiles;
use crate::survey::{Known, Place, Survey};

/// An index that is larger is not read for where a log may go on.
const INDEX_SIZE_MAX: u64 = 64 << 20;

impl Recovery<'_> {
    /// Reads what an earlier process noted. What is good again is forgotten.
    pub(super) fn read_quarantine(&mut self, found: &[Found]) -> Result<(), RecoverError> {
        for range in self.saved_quarantine()?.ranges() {
            let segment = found.iter().find(|it| it.base == range.base && range.end <= it.size);
            let Some(segment) = segment else { continue };
            if self.is_repaired(*segment, range)? {
                self.healed_from.get_or_insert(range.base);
            } else {
                self.quarantine.insert(*range);
            }
        }
        Ok(())
    }

    pub(super) fn quarantine_differs(&self) -> Result<bool, RecoverError> {
        Ok(self.saved_quarantine()? != self.quarantine)
    }

    fn saved_quarantine(&self) -> Result<Quarantine, RecoverError> {
        let contents = self.read_small(DAMAGED_RANGES)?.unwrap_or_default();
        Ok(std::str::from_utf8(&contents).ok().and_then(Quarantine::from_text).unwrap_or_default())
    }

    /// Somebody has put good records where damaged ones were: all of them are there, one after the other.
    fn is_repaired(&self, segment: Found, range: &DamagedRange) -> Result<bool, RecoverError> {
        let name = FileKind::Log.file_name(segment.base);
        let mut read = |position: u64, buffer: &mut [u8]| self.files.read_at(&name, position, buffer);
        let known = Known {
            base: segment.base,
            limit: segment.size,
            end: range.to,
            is_closed: false,
            durable_to: Offset::MAX,
            damaged: &[],
            index: &Vec::new,
        };
        let from = Place { position: range.position, offset: range.from, epoch: None };
        let mut survey = Survey::new(known, from, &mut read);
        while survey.place.offset < range.to {
            if survey.next_good().map_err(|error| io_error(&name, &error))?.is_none() {
                return Ok(false);
            }
        }
        Ok(survey.place.offset == range.to)
    }
}

/// Where batches of a segment begin, as far as its index or the notes on it say.
pub(super) fn places(files: &dyn LogFiles, segment: Found) -> Vec<(u32, Offset)> {
    let base = segment.base;
    let read = |kind: FileKind| {
        let name = kind.file_name(base);
        let listed = files.list().unwrap_or_default();
        let size = listed.iter().find(|(it, _)| *it == name).map_or(0, |(_, size)| *size).min(INDEX_SIZE_MAX);
        let mut contents = vec![0; size as usize];
        let size = files.read_at(&name, 0, &mut contents).unwrap_or(0);
        contents.truncate(size);
        contents
    };
    let indexed = index::places(base, &read(FileKind::Index));
    if !indexed.is_empty() {
        return indexed;
    }
    let mut notes = read(FileKind::Growing);
    notes.truncate(notes.len() / NOTE_SIZE * NOTE_SIZE);
    Index::from_notes(base, &notes, segment.size).map_or_else(Vec::new, |index| index.places(base))
}

impl Log {
    /// The growing segment goes on behind this range.
    pub(super) fn leave_out(&mut self, range: &DamagedRange) {
        let active = self.active_mut();
        let size = range.end - active.size;
        active.size = range.end;
        self.appended_bytes += u64::from(size);
        self.end = range.to;
        // One by one, only batches are known that follow one another.
        self.tail.clear();
    }
}
