//! Looking for damage that nobody has met yet: the log's segments are gone through from time to time, every checksum and every place.
//!
//! It goes on beside everything else, in pieces, each of them a disk operation; when the next one comes, whoever owns the log says. A segment that
//! is cut, compacted or deleted meanwhile is another by then: what a piece found in the old one is forgotten. What it finds is put into quarantine.

use std::io;

use klamm_model::Offset;

use crate::disk::{DiskAction, DiskError, DiskOp, Done, FileKind, OpId, SegmentVersion};
use crate::index;
use crate::log::{Life, Log};
use crate::quarantine::DamagedRange;
use crate::resolve::ReadSegment;
use crate::survey::{Known, Met, Place, Survey};

/// Look at a stretch of a segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scrub {
    /// Which segment.
    pub segment: SegmentVersion,
    /// Its size.
    pub size: u32,
    /// Where its records end.
    pub end: Offset,
    /// Where to go on.
    pub from: Place,
    /// So many bytes, and what is left of a batch then.
    pub bytes_max: u32,
    /// Entries of the index file.
    pub index_entry_count: u32,
    /// What is known to be damaged.
    pub damaged: Vec<DamagedRange>,
}

/// What a look at a stretch of a segment has found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scrubbed {
    /// Where the next one begins.
    pub to: Place,
    /// What is not what was written.
    pub damaged: Vec<DamagedRange>,
}

/// How a piece of a scrub has ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScrubProgress {
    /// How much was looked at.
    pub bytes: u32,
    /// What was found that was not known before.
    pub damaged: Vec<DamagedRange>,
    /// The rest of a segment could not be read; it goes on with the next.
    pub error: Option<DiskError>,
}

/// A scrub that is under way.
#[derive(Debug)]
pub(crate) struct Scrubbing {
    /// The piece that was handed out.
    op: Option<OpId>,
    segment: SegmentVersion,
    at: Place,
    /// Only this segment.
    is_one_segment: bool,
    /// The records are not those that they were.
    is_void: bool,
}

/// Goes through a stretch of a segment.
pub fn scrub(job: &Scrub, read: &mut ReadSegment<'_>) -> io::Result<Scrubbed> {
    let base = job.segment.id.base;
    let index_size = job.index_entry_count as usize * index::ENTRY_SIZE;
    let read = std::cell::RefCell::new(read);
    let index = || {
        let mut file = vec![0; index_size];
        let size = (read.borrow_mut())(job.segment, FileKind::Index, 0, &mut file).unwrap_or(0);
        index::places(base, &file[..size])
    };
    let known = Known {
        base,
        limit: job.size,
        end: job.end,
        is_closed: true,
        durable_to: Offset::MAX,
        damaged: &job.damaged,
        index: &index,
    };
    let mut read_log =
        |position: u64, buffer: &mut [u8]| (read.borrow_mut())(job.segment, FileKind::Log, position, buffer);
    let mut survey = Survey::new(known, job.from, &mut read_log);
    let stop = job.from.position.saturating_add(job.bytes_max);
    let mut damaged = Vec::new();
    while survey.place.position < stop {
        match survey.next()? {
            Some(Met::Batch(..)) => {}
            Some(Met::Damage(range)) => damaged.push(range),
            // Bytes behind the last record are nobody's.
            None => return Ok(Scrubbed { to: Place { position: job.size, ..survey.place }, damaged }),
        }
    }
    Ok(Scrubbed { to: survey.place, damaged })
}

impl Log {
    /// Begins to look for damage, from the first record on.
    pub fn begin_scrub(&mut self) {
        self.scrub_from(0, false);
    }

    /// The same for one segment only, the one that begins at `base`.
    pub fn begin_scrub_of(&mut self, base: Offset) {
        if let Ok(at) = self.segments.binary_search_by_key(&base, |segment| segment.base) {
            self.scrub_from(at, true);
        }
    }

    fn scrub_from(&mut self, at: usize, is_one_segment: bool) {
        if self.life == Life::Running && !self.scrub_is_reading() {
            let segment = self.version_of(&self.segments[at]);
            let at = Place::start_of(segment.id.base);
            self.scrubbing =
                Some(Box::new(Scrubbing { op: None, segment, at, is_one_segment, is_void: false }));
        }
    }

    /// Hands out the next piece of the scrub that was begun. Tells whether there was one.
    pub fn scrub_on(&mut self, bytes_max: u32, out: &mut Vec<DiskOp>) -> bool {
        if self.life != Life::Running || self.scrub_is_reading() {
            return false;
        }
        let Some(mut scrubbing) = self.scrubbing.take() else { return false };
        let Some(job) = self.next_scrub(&mut scrubbing, bytes_max) else { return false };
        let id = self.queue.next_id();
        scrubbing.op = Some(id);
        self.scrubbing = Some(scrubbing);
        out.push(DiskOp { partition: self.partition, id, action: DiskAction::Scrub(Box::new(job)) });
        true
    }

    fn next_scrub(&self, scrubbing: &mut Scrubbing, bytes_max: u32) -> Option<Scrub> {
        let mut number = self.segment_at(scrubbing.at.offset.max(self.segments[0].base));
        if scrubbing.segment != self.version_of(&self.segments[number]) {
            // Deleted, compacted, or the end of the one before.
            if scrubbing.is_one_segment {
                return None;
            }
            scrubbing.at = Place::start_of(self.segments[number].base);
        }
        loop {
            let segment = self.segments.get(number)?;
            let end = self.segment_end(number).min(self.written);
            let (size, inexact) = self.position_limit(number, end);
            if scrubbing.at.position < size && scrubbing.at.offset < end && inexact.is_none() {
                scrubbing.segment = self.version_of(segment);
                return Some(Scrub {
                    segment: scrubbing.segment,
                    size,
                    end,
                    from: scrubbing.at,
                    bytes_max,
                    index_entry_count: segment.index_file_entry_count,
                    damaged: self.quarantine.of(segment.base).to_vec(),
                });
            }
            if scrubbing.is_one_segment {
                return None;
            }
            number += 1;
            scrubbing.at = Place::start_of(self.segments.get(number)?.base);
        }
    }

    /// Nothing is known to be damaged any more. For tests of what notices a broken rule.
    pub fn forget_damage(&mut self) {
        self.quarantine.retain(|_| false);
    }

    /// Whether this is the piece of a scrub that is under way.
    pub(crate) fn is_of_scrub(&self, op: OpId) -> bool {
        self.scrubbing.as_ref().is_some_and(|scrubbing| scrubbing.op == Some(op))
    }

    /// Whether a piece of a scrub reads the log's files at the moment.
    pub fn scrub_is_reading(&self) -> bool {
        self.scrubbing.as_ref().is_some_and(|scrubbing| scrubbing.op.is_some())
    }

    /// Records are taken back, from `to` on.
    pub(crate) fn cut_through_scrub(&mut self, to: Offset) {
        if let Some(scrubbing) = &mut self.scrubbing {
            scrubbing.is_void |= to < self.end;
        }
    }

    /// A piece has ended.
    pub(crate) fn scrub_went_on(&mut self, result: Result<Done, DiskError>) -> Option<ScrubProgress> {
        let mut scrubbing = self.scrubbing.take()?;
        scrubbing.op = None;
        let mut progress = ScrubProgress { bytes: 0, damaged: Vec::new(), error: None };
        if self.life != Life::Running || std::mem::take(&mut scrubbing.is_void) {
            return Some(progress);
        }
        let number = self.segment_at(scrubbing.segment.id.base.max(self.segments[0].base));
        let is_there = self.version_of(&self.segments[number]) == scrubbing.segment
            && !self.is_being_swapped(scrubbing.segment);
        match result {
            Ok(Done::Scrubbed(scrubbed)) if is_there => {
                progress.bytes = scrubbed.to.position - scrubbing.at.position;
                scrubbing.at = scrubbed.to;
                for range in scrubbed.damaged {
                    if self.quarantine.insert(range) {
                        self.quarantine_unsaved = true;
                        progress.damaged.push(range);
                    }
                }
            }
            Err(error) if is_there => {
                progress.error = Some(error);
                scrubbing.at = Place { position: u32::MAX, ..scrubbing.at };
            }
            _ => {}
        }
        self.scrubbing = Some(scrubbing);
        Some(progress)
    }
}
