//! Opening a log that was there before: what of it is good is kept, what a crash left half done is cut off, and what was on disk for certain and
//! is not any more is reported and left as it is, between what is served.
//!
//! No header is believed for what it alone says: of producers, times and epochs. Batches that are gone through have their checksums looked at, which are those
//! after the notes on the growing segment, and those of a segment whose files are gone or wrong; where only a few headers are looked at, they have to
//! agree with such a file. So a start costs no more than reading those batches does, and no producer is refused for a bit that flipped.
//!
//! Recovery only reads. What has to change becomes the first operations of the log's queue, so a crash in the middle of them is recovered from
//! in the same way.

use std::collections::{BTreeSet, VecDeque};
use std::io;

use klamm_model::{BatchHeader, LeaderEpoch, Offset, Tick, Timestamp, TopicPartition};

use crate::append::NewBatch;
use crate::config::LogConfig;
use crate::disk::{DURABLE_POINT, DiskAction, DiskOp, EPOCH_CHECKPOINT, FileKind, RETIRED};
use crate::ends::DurablePoint;
use crate::epochs::Epochs;
use crate::error::RecoverError;
use crate::index::{self, Index, Indexed, Largest, time_entry};
use crate::log::Log;
use crate::producers::{Producers, Sent};
use crate::quarantine::{DamagedRange, Quarantine};
use crate::queue::Barrier;
use crate::segment::Segment;
use crate::snapshot;
use crate::survey::{Known, Met, Place, Stored, Survey};
use crate::walk::{Walk, WalkError};

mod aborted;
mod damaged;
mod resume;

/// Batches after an index's last entry. Where there are more, entries are missing.
const BATCHES_AFTER_INDEX_MAX: u64 = 4096;
/// Small files larger than this are not ours.
const SMALL_FILE_SIZE_MAX: u64 = 256 << 20;

/// What recovery may see of a partition's directory.
pub trait LogFiles {
    /// The names of all files, and their sizes, in any order.
    fn list(&self) -> io::Result<Vec<(String, u64)>>;
    /// Reads up to the buffer's length; less only at the end of the file.
    fn read_at(&self, name: &str, position: u64, buffer: &mut [u8]) -> io::Result<usize>;
}

/// What recovery found, for the operator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecoveryReport {
    /// Where the log starts.
    pub log_start: Offset,
    /// Where it ends.
    pub end: Offset,
    /// Everything below was on disk for certain; `None` if that was not known.
    pub durable_point: Option<Offset>,
    /// Segments of the log.
    pub segment_count: usize,
    /// Batches that were looked at.
    pub scanned_count: u64,
    /// Bytes of a torn tail, which is cut off.
    pub cut_bytes: u64,
    /// Files that were missing or wrong and were made again from the records.
    pub rebuilt: Vec<String>,
    /// What is not served, of all that was on disk for certain.
    pub damaged: Vec<DamagedRange>,
}

/// A segment file as it was found.
#[derive(Clone, Copy)]
struct Found {
    base: Offset,
    size: u32,
    /// Entries of its index file; `None` if there is none that could be right.
    entry_count: Option<u32>,
    /// The same of the file with the times.
    time_entry_count: Option<u32>,
}

/// The good part of a segment.
#[derive(Clone, Copy)]
struct Scanned {
    end: Offset,
    size: u32,
}

impl Scanned {
    fn none(segment: Found) -> Self {
        Self { end: segment.base, size: 0 }
    }
}

struct Recovery<'a> {
    partition: TopicPartition,
    config: LogConfig,
    files: &'a dyn LogFiles,
    listed: Vec<(String, u64)>,
    durable_point: Option<Offset>,
    /// No cut will go below.
    committed: Offset,
    /// Records below are deleted.
    log_start: Offset,
    /// What the file with the epochs says, if it can be read. It may be from before a log began anew, or before records were deleted.
    saved_epochs: Option<Epochs>,
    scanned_count: u64,
    rebuilt: Vec<String>,
    quarantine: Quarantine,
    /// Of segments with records that are good again, the first one.
    healed_from: Option<Offset>,
}

impl Log {
    /// Opens a log from its files. Then [`start`](Self::start) it.
    ///
    /// A directory without a segment is what a crash leaves of one that was being made: it is made again.
    pub fn recover(
        partition: TopicPartition,
        directory: String,
        config: LogConfig,
        files: &dyn LogFiles,
    ) -> Result<(Self, RecoveryReport), RecoverError> {
        let listed = files
            .list()
            .map_err(|error| RecoverError::Io { name: ".".to_owned(), problem: error.to_string() })?;
        let recovery = Recovery {
            partition,
            config,
            files,
            listed,
            durable_point: None,
            committed: Offset::ZERO,
            log_start: Offset::ZERO,
            saved_epochs: None,
            scanned_count: 0,
            rebuilt: Vec::new(),
            quarantine: Quarantine::default(),
            healed_from: None,
        };
        recovery.run(directory)
    }

    /// Begins work on a log that was recovered: what is to be cut off is, and what was found is brought to disk.
    pub fn start(&mut self, out: &mut Vec<DiskOp>) {
        self.create_files();
        self.pump(out);
        if self.queue.is_open() && self.queue.syncing.is_none() && self.synced < self.written {
            self.sync(out);
        }
        self.after_change();
    }
}

impl Recovery<'_> {
    fn run(mut self, directory: String) -> Result<(Log, RecoveryReport), RecoverError> {
        let saved = self.read_durable_point()?;
        self.durable_point = saved.map(|saved| saved.point);
        self.committed = saved.map_or(Offset::ZERO, |saved| saved.committed);
        self.saved_epochs = self.read_epochs()?;
        // The epochs are saved with the start that a log has. Without the one and the other, deleted records would come back.
        let first_epoch = self.saved_epochs.iter().flat_map(Epochs::entries).next();
        let start_of_epochs = first_epoch.map_or(Offset::ZERO, |first| first.start);
        let is_gone = self.size_of(DURABLE_POINT).is_none();
        self.log_start = saved.filter(|_| !is_gone).map_or(start_of_epochs, |saved| saved.log_start);
        let clean_to = saved.map_or(Offset::ZERO, |saved| saved.clean_to);
        let mut found = self.segments()?;
        if found.is_empty() {
            let mut log = Log::empty(self.partition, self.config, self.log_start);
            log.to_create = Some(directory);
            self.refuse_damage(Offset::ZERO, 0, self.log_start, false)?;
            let base = self.log_start;
            // Of producers whose records are all deleted there is still this.
            log.producers = self.producers_from_file(base)?.unwrap_or_default();
            return Ok((log, self.report(base, base, 1, 0)));
        }
        if is_gone && 1 < found.len() {
            // The file is gone. A segment begins when all before it is on disk, and no cut goes below that without having made the file.
            self.durable_point = found.last().map(|last| last.base);
        }
        // Segments wholly below the log start are no part of it any more, whatever of them is left.
        let first_kept = found.iter().skip(1).position(|next| self.log_start < next.base);
        let deleted: Vec<Found> = found.drain(..first_kept.unwrap_or(found.len() - 1)).collect();
        self.read_quarantine(&found)?;
        let saved_point = saved.map_or(Offset::ZERO, |saved| saved.point);
        if self.log_start < saved_point.min(found[0].base) {
            self.quarantine.insert(DamagedRange::missing(self.log_start, found[0].base));
        } else {
            self.log_start = self.log_start.max(found[0].base);
        }
        let log_start = self.log_start;

        let mut repairs = Vec::new();
        let mut closed = Vec::new();
        let mut dropped = Vec::new();
        for at in 0..found.len() - 1 {
            let (segment, next) = (found[at], found[at + 1].base);
            if let Some(segment) = self.closed_well(segment, next)? {
                closed.push(segment);
            } else if let Some((segment, repair)) = self.rebuild(segment, next)? {
                closed.push(segment);
                repairs.push(repair);
            } else {
                // The log ends here. Segments beyond are what a crash left of a cut, or else something is damaged: that is found below.
                dropped = found.split_off(at + 1);
                break;
            }
        }
        let last = found[found.len() - 1];
        let closed_found = &found[..found.len() - 1];
        self.find_aborted(closed_found, last, &mut closed, &mut repairs)?;
        let (epochs, producers) = self.state_before(closed_found, last, &mut repairs)?;

        let resumed = match saved.and_then(|saved| Some((saved.notes?, saved.aborted_count))) {
            Some((notes, aborted_count)) => self.resume(notes, aborted_count, last, &epochs)?,
            None => None,
        };
        // Notes are on what is committed: no cut goes below them.
        let (listed, producers_before) = match &resumed {
            Some(_) => (Vec::new(), None),
            None => self.listed(&found)?,
        };
        let first_listed = found.len() - 1 - listed.len();

        let mut log = Log::empty(self.partition, self.config, found[first_listed].base);
        let may_grow_again = closed.split_off(first_listed);
        log.segments.splice(0..0, closed);
        log.appended_bytes = found[..first_listed].iter().map(|segment| u64::from(segment.size)).sum();
        (log.epochs, log.producers) = (epochs, producers_before.unwrap_or(producers));
        for (at, (batches, closed)) in listed.iter().zip(may_grow_again).enumerate() {
            for batch in batches {
                log.place(&NewBatch::stored(&batch.header, batch.size, batch.mark));
            }
            let segment = log.active_mut();
            assert_eq!(segment.size, closed.size, "a listed segment is whole");
            // The times are as the batches say, whatever their index does: a byte of a batch may have changed.
            let (index, aborted) = (segment.index.take(), std::mem::take(&mut segment.aborted));
            let (first_timestamp, largest) = (segment.first_timestamp, segment.largest);
            *segment = Segment { index, aborted, first_timestamp, largest, ..closed };
            log.segments.push(Segment::new(found[first_listed + at + 1].base));
        }
        log.tail.trim(self.committed, log.end);
        log.unconfirmed.confirm(self.committed);
        if let Some(resumed) = resumed {
            resumed.apply(&mut log);
        }
        log.synced_bytes = log.appended_bytes;
        log.active_mut().may_exist = true;
        let durable_point = self.durable_point.unwrap_or_default();
        let committed = self.committed;
        let last_epoch = log.epochs.newest().map(|newest| newest.epoch);
        let from = Scanned { end: log.end, size: log.active().size };
        let Scanned { end: valid_end, size } = self.scan(last, from, last_epoch, None, &mut |met| {
            match met {
                Met::Batch(Stored { header, size, mark }) => {
                    if let Some(epoch) = header.leader_epoch {
                        log.epochs.begin(epoch, log.end);
                    }
                    log.place(&NewBatch::stored(header, *size, *mark));
                    log.unconfirmed.confirm(committed);
                }
                Met::Damage(range) => log.leave_out(range),
            }
            if log.end <= durable_point {
                log.synced_bytes = log.appended_bytes;
            }
            log.tail.trim(committed, log.end);
        })?;

        let cut_bytes =
            u64::from(last.size - size) + dropped.iter().map(|segment| u64::from(segment.size)).sum::<u64>();
        let damaged = 0 < cut_bytes;
        self.refuse_damage(last.base, size, valid_end, damaged)?;
        assert_eq!(valid_end, log.end, "what was taken and what was found good");
        log.written = log.end;
        log.written_bytes = log.appended_bytes;
        log.synced = log.end.min(durable_point.max(last.base));
        log.durable_point = durable_point.min(log.end);
        (log.log_start, log.log_start_on_disk) = (log_start, log_start);
        // Compaction left out what was damaged: of keys in there, older values may be there still.
        let known_clean_to = self.healed_from.map_or(clean_to, |base| clean_to.min(base));
        (log.clean_to, log.clean_to_on_disk) = (known_clean_to.min(log.end), clean_to);
        log.durable_point_due |= self.healed_from.is_some();
        log.leftovers.named = deleted.iter().map(|segment| segment.base).collect();
        log.leftovers.retired = self.retired();
        log.leftovers.snapshots = self.snapshots();
        log.epochs.cut_front(log_start);
        log.epochs_unsaved = self.epochs_differ(&log.epochs, log.end);
        let first = log.segments[0].base;
        self.quarantine.retain(|range| range.is_part_of(log_start, first) && range.from < log.end);
        log.quarantine_unsaved = self.quarantine_differs()?;
        log.quarantine = self.quarantine.clone();
        if damaged || !dropped.is_empty() {
            let delete = dropped.iter().map(|segment| log.id_of(segment.base)).collect();
            let segment = log.id_of(last.base);
            log.queue.push_barrier(Barrier::Truncate { segment, size, delete, end: log.end });
        }
        let epochs_begin_later = log.epochs.entries().first().is_some_and(|first| log_start < first.start);
        if epochs_begin_later && (saved.is_none() || is_gone) {
            // The first records are damaged, or have no epoch. The next start would take the first that has one for the start of the log: before the epochs
            // are saved, this is. A segment begins when all before it is on disk.
            let known = DurablePoint {
                point: last.base,
                committed: self.committed,
                log_start,
                notes: None,
                aborted_count: 0,
                clean_to,
            };
            let contents = known.to_text().into();
            repairs.insert(0, DiskAction::WriteCheckpoint { name: DURABLE_POINT, contents });
            self.rebuilt.push(DURABLE_POINT.to_owned());
        }
        if !repairs.is_empty() {
            // Writing this file brings the names of those that are made again to disk too: a clean stop may be all that comes.
            log.epochs_unsaved = true;
            log.queue.push_barrier(Barrier::Repair { actions: repairs });
        }
        if log.end < log_start {
            if saved.is_none() {
                // The epochs may be those of a log that began anew since: what is there is not thrown away for them.
                return Err(RecoverError::DurablePointUnknown { valid_end: log.end });
            }
            // Some of what was deleted had not been on disk. What is deleted does not come back, and no offset is given out twice.
            log.begin_anew(log_start);
        }
        log.high_watermark = log.log_start;
        log.check_invariants();
        let report = self.report(log.log_start, log.end, log.segments.len(), cut_bytes);
        Ok((log, report))
    }

    fn report(self, log_start: Offset, end: Offset, segment_count: usize, cut_bytes: u64) -> RecoveryReport {
        let Self { durable_point, scanned_count, rebuilt, quarantine, .. } = self;
        let damaged = quarantine.ranges().to_vec();
        RecoveryReport {
            log_start,
            end,
            durable_point,
            segment_count,
            scanned_count,
            cut_bytes,
            rebuilt,
            damaged,
        }
    }

    /// Good records end at `end`, with or without damaged bytes after them.
    fn refuse_damage(
        &self,
        base: Offset,
        position: u32,
        end: Offset,
        damaged: bool,
    ) -> Result<(), RecoverError> {
        match self.durable_point {
            Some(durable_point) if end < durable_point => {
                Err(RecoverError::DamagedBelowDurablePoint { base, position, valid_end: end, durable_point })
            }
            None if damaged => Err(RecoverError::DurablePointUnknown { valid_end: end }),
            _ => Ok(()),
        }
    }

    /// The segments' files, in the order of their bases.
    fn segments(&self) -> Result<Vec<Found>, RecoverError> {
        let mut found = Vec::new();
        for (name, size) in &self.listed {
            let Some(base) = name.strip_suffix(".log").filter(|digits| digits.len() == 20) else { continue };
            let unexpected =
                |problem: &str| RecoverError::Unexpected { name: name.clone(), problem: problem.to_owned() };
            let base =
                base.parse().ok().and_then(Offset::from_wire).ok_or_else(|| unexpected("no offset"))?;
            let size = u32::try_from(*size).map_err(|_| unexpected("larger than any segment"))?;
            let entry_count = self.entry_count(FileKind::Index, base, index::ENTRY_SIZE as u64);
            let time_entry_count = self.entry_count(FileKind::TimeIndex, base, index::TIME_ENTRY_SIZE as u64);
            found.push(Found { base, size, entry_count, time_entry_count });
        }
        found.sort_unstable_by_key(|segment| segment.base);
        Ok(found)
    }

    fn entry_count(&self, kind: FileKind, base: Offset, entry_size: u64) -> Option<u32> {
        let size = self.size_of(&kind.file_name(base)).filter(|size| size % entry_size == 0)?;
        u32::try_from(size / entry_size).ok()
    }

    /// Snapshots that may be of no use: that is seen when they are about to go.
    fn snapshots(&self) -> Vec<Offset> {
        let at = |name: &str| name.strip_suffix(".snapshot")?.parse().ok();
        self.listed.iter().filter_map(|(name, _)| Offset::from_wire(at(name)?)).collect()
    }

    /// Segments whose files have other names already: it is time that they go.
    fn retired(&self) -> VecDeque<(Tick, Offset)> {
        let base = |name: &str| name.strip_suffix(RETIRED)?.split_once('.')?.0.parse().ok();
        let bases = self.listed.iter().filter_map(|(name, _)| Offset::from_wire(base(name)?));
        let sorted: BTreeSet<Offset> = bases.collect();
        sorted.into_iter().map(|base| (Tick::default(), base)).collect()
    }

    fn size_of(&self, name: &str) -> Option<u64> {
        self.listed.iter().find(|(listed, _)| listed == name).map(|(_, size)| *size)
    }

    fn read_small(&self, name: &str) -> Result<Option<Vec<u8>>, RecoverError> {
        let Some(size) = self.size_of(name).filter(|size| *size <= SMALL_FILE_SIZE_MAX) else {
            return Ok(None);
        };
        let mut contents = vec![0; usize::try_from(size).unwrap_or(0)];
        let read = self.files.read_at(name, 0, &mut contents).map_err(|error| io_error(name, &error))?;
        contents.truncate(read);
        Ok(Some(contents))
    }

    /// 0 if there is no file; `None` if it cannot be read.
    fn read_durable_point(&self) -> Result<Option<DurablePoint>, RecoverError> {
        match self.read_small(DURABLE_POINT)? {
            None => Ok(Some(DurablePoint::default())),
            Some(contents) => Ok(std::str::from_utf8(&contents).ok().and_then(DurablePoint::from_text)),
        }
    }

    /// A segment that is not the last, if it goes on up to the next as far as its index leads to its end, and its times agree with its records.
    fn closed_well(&mut self, segment: Found, next: Offset) -> Result<Option<Segment>, RecoverError> {
        let (Some(entry_count), Some(time_entry_count)) = (segment.entry_count, segment.time_entry_count)
        else {
            return Ok(None);
        };
        let mut position = 0;
        if let Some(last) = entry_count.checked_sub(1) {
            let entry = self.read_entry(segment, FileKind::Index, last)?;
            position = index::entry(entry).1;
            if segment.size <= position {
                return Ok(None);
            }
        }
        let largest = match time_entry_count.checked_sub(1) {
            Some(last) => time_entry(segment.base, self.read_entry(segment, FileKind::TimeIndex, last)?),
            None => Largest::NONE,
        };
        let damaged = self.quarantine.of(segment.base).last().copied();
        let behind = damaged.filter(|range| position < range.end || segment.size == range.end);
        let position = behind.map_or(position, |range| range.end);
        let Some((end, newest)) = self.walk_end(segment, position, behind.map(|range| range.to))? else {
            return Ok(None);
        };
        let highest = largest.timestamp.max(newest.timestamp);
        let times_agree = match largest {
            // The times may be those of records that cannot be looked at any more.
            _ if damaged.is_some() => true,
            Largest { timestamp: Timestamp(..0), .. } => newest.timestamp.0 < 0,
            _ if largest == newest => true,
            _ => {
                let header = self.header_of(segment, largest.last_offset)?;
                highest == largest.timestamp
                    && header.is_some_and(|it| {
                        (it.max_timestamp, it.last_offset()) == (largest.timestamp, largest.last_offset)
                    })
            }
        };
        Ok((end == next && times_agree).then(|| Segment { largest, ..closed_segment(segment) }))
    }

    fn read_entry<const SIZE: usize>(
        &self,
        segment: Found,
        kind: FileKind,
        at: u32,
    ) -> Result<[u8; SIZE], RecoverError> {
        let mut entry = [0; SIZE];
        let name = kind.file_name(segment.base);
        // What the file does not have is read as zeros, and no entry has those.
        self.files
            .read_at(&name, u64::from(at) * SIZE as u64, &mut entry)
            .map_err(|error| io_error(&name, &error))?;
        Ok(entry)
    }

    /// Where the batches from `position` on end, if they fill the rest of the segment, and the highest timestamp of them.
    fn walk_end(
        &mut self,
        segment: Found,
        mut position: u32,
        mut end: Option<Offset>,
    ) -> Result<Option<(Offset, Largest)>, RecoverError> {
        let name = FileKind::Log.file_name(segment.base);
        let mut read = |position: u64, buffer: &mut [u8]| self.files.read_at(&name, position, buffer);
        let mut walk = Walk::new(segment.size, crate::walk::NEAR, &mut read);
        let mut largest = Largest::NONE;
        for _ in 0..BATCHES_AFTER_INDEX_MAX {
            match walk.header_at(position) {
                // An old batch may stand behind the last one, where a cut did not get to the disk.
                Ok(Some((header, _))) if end.is_some_and(|end| end != header.base_offset) => return Ok(None),
                Ok(Some((header, after))) => {
                    end = Some(header.next_offset());
                    largest.note(header.max_timestamp, header.last_offset());
                    position = after;
                    self.scanned_count += 1;
                }
                Ok(None) => return Ok(end.map(|end| (end, largest))),
                Err(WalkError::Io(error)) => return Err(io_error(&name, &error)),
                Err(WalkError::Damaged(_)) => return Ok(None),
            }
        }
        Ok(None)
    }

    /// A segment that is not the last, from all of its records; `None` if they do not go on up to the next.
    fn rebuild(
        &mut self,
        segment: Found,
        next: Offset,
    ) -> Result<Option<(Segment, DiskAction)>, RecoverError> {
        let mut rebuilt = closed_segment(segment);
        let mut index = Index::default();
        let mut position = 0;
        let interval = self.config.index_interval_bytes;
        let scanned = self.scan(segment, Scanned::none(segment), None, Some(next), &mut |met| match met {
            Met::Batch(Stored { header, size, .. }) => {
                let batch = Indexed {
                    first: header.base_offset,
                    last_delta: header.last_offset_delta,
                    position,
                    size: *size,
                    largest_before: rebuilt.largest,
                };
                index.note(segment.base, &batch, interval);
                rebuilt.largest.note(header.max_timestamp, header.last_offset());
                position += size;
            }
            Met::Damage(range) => position = range.end,
        })?;
        if scanned.end != next {
            return Ok(None);
        }
        rebuilt.size = scanned.size;
        let repair = DiskAction::Seal {
            segment: crate::SegmentId { partition: self.partition, base: segment.base },
            size: segment.size,
            index: index.to_bytes(),
            times: index.times_to_bytes(segment.base, rebuilt.largest),
            aborted: bytes::Bytes::new(),
            next,
            producers: bytes::Bytes::new(),
        };
        self.rebuilt.push(FileKind::Index.file_name(segment.base));
        Ok(Some((Segment { index: Some(index), ..rebuilt }, repair)))
    }

    /// Goes through a segment from some batch on, as far as it is good: every batch follows the one before and has its checksum right. What is damaged
    /// below the durable point is left out. A segment that is not the last ends where the `next` begins.
    fn scan(
        &mut self,
        segment: Found,
        from: Scanned,
        epoch: Option<LeaderEpoch>,
        next: Option<Offset>,
        visit: &mut dyn FnMut(&Met),
    ) -> Result<Scanned, RecoverError> {
        let name = FileKind::Log.file_name(segment.base);
        let files = self.files;
        let mut read = |position: u64, buffer: &mut [u8]| files.read_at(&name, position, buffer);
        let durable_to = self.durable_point.unwrap_or_default();
        let damaged = self.quarantine.of(segment.base).to_vec();
        let known = Known {
            base: segment.base,
            limit: segment.size,
            end: next.unwrap_or(durable_to),
            is_closed: next.is_some(),
            durable_to,
            damaged: &damaged,
            index: &|| damaged::places(files, segment),
        };
        let from = Place { position: from.size, offset: from.end, epoch };
        let mut survey = Survey::new(known, from, &mut read);
        while let Some(met) = survey.next().map_err(|error| io_error(&name, &error))? {
            match &met {
                Met::Batch(..) => self.scanned_count += 1,
                Met::Damage(range) => _ = self.quarantine.insert(*range),
            }
            visit(&met);
        }
        Ok(Scanned { end: survey.place.offset, size: survey.place.position })
    }

    /// The batches of the closed segments that go on above what was committed, and the producers before them: a cut may end in any of these segments, and must
    /// not take more than it was told to.
    fn listed(&mut self, found: &[Found]) -> Result<(Vec<Vec<Stored>>, Option<Producers>), RecoverError> {
        let last = found.len() - 1;
        let mut first = (0..last).find(|at| self.committed < found[at + 1].base).unwrap_or(last);
        let mut producers = self.producers_from_file(found[first].base)?;
        while producers.is_none() && 0 < first {
            first -= 1;
            producers = self.producers_from_file(found[first].base)?;
        }
        producers.get_or_insert_default();
        let mut listed = Vec::new();
        for at in first..last {
            let mut batches = Vec::new();
            let mut is_whole = true;
            let next = found[at + 1].base;
            let scanned =
                self.scan(found[at], Scanned::none(found[at]), None, Some(next), &mut |met| match met {
                    Met::Batch(batch) => batches.push(*batch),
                    Met::Damage(_) => is_whole = false,
                })?;
            listed.push(batches);
            // What cannot be listed as a whole is not: a cut below goes back to its start.
            if !is_whole || scanned.end != next || scanned.size != found[at].size {
                listed.clear();
                producers = self.producers_from_file(found[at + 1].base)?;
            }
            if producers.is_none() {
                listed.clear();
            }
        }
        Ok(if listed.is_empty() { (listed, None) } else { (listed, producers) })
    }

    /// Epochs and producers as they were before the last segment: from their files, or else from the records of all segments.
    fn state_before(
        &mut self,
        closed: &[Found],
        last: Found,
        repairs: &mut Vec<DiskAction>,
    ) -> Result<(Epochs, Producers), RecoverError> {
        let epochs = self.epochs_from_file(closed, last)?;
        let producers = self.producers_from_file(last.base)?;
        if closed.is_empty() {
            return Ok((Epochs::default(), producers.unwrap_or_default()));
        }
        if let (Some(epochs), Some(producers)) = (&epochs, &producers) {
            return Ok((epochs.clone(), producers.clone()));
        }
        let mut scanned_epochs = Epochs::default();
        let mut scanned_producers = self.producers_from_file(closed[0].base)?.unwrap_or_default();
        let count_max = self.config.producer_count_max;
        for (segment, next) in closed.iter().zip(closed[1..].iter().chain([&last])) {
            self.scan(*segment, Scanned::none(*segment), None, Some(next.base), &mut |met| {
                let Met::Batch(Stored { header, mark, .. }) = met else { return };
                let goes_on = scanned_epochs
                    .newest()
                    .is_none_or(|newest| header.leader_epoch.is_some_and(|epoch| newest.epoch <= epoch));
                if let Some(epoch) = header.leader_epoch.filter(|_| goes_on) {
                    scanned_epochs.begin(epoch, header.base_offset);
                }
                if let Some(sent) = Sent::stored(header, *mark) {
                    scanned_producers.note(&sent, count_max);
                }
            })?;
        }
        if producers.is_none() {
            self.rebuilt.push(FileKind::Producers.file_name(last.base));
            repairs.push(DiskAction::WriteBeside {
                kind: FileKind::Producers,
                at: last.base,
                contents: snapshot::write(&scanned_producers),
            });
        }
        if epochs.is_none() {
            self.rebuilt.push(EPOCH_CHECKPOINT.to_owned());
            let contents = scanned_epochs.to_text().into();
            repairs.push(DiskAction::WriteCheckpoint { name: EPOCH_CHECKPOINT, contents });
        }
        Ok((epochs.unwrap_or(scanned_epochs), producers.unwrap_or(scanned_producers)))
    }

    fn read_epochs(&self) -> Result<Option<Epochs>, RecoverError> {
        let Some(contents) = self.read_small(EPOCH_CHECKPOINT)? else { return Ok(None) };
        Ok(std::str::from_utf8(&contents).ok().and_then(Epochs::from_text))
    }

    /// The epochs that are saved, from where the log starts.
    fn known_epochs(&self) -> Option<Epochs> {
        let mut epochs = self.saved_epochs.clone()?;
        epochs.cut_front(self.log_start);
        Some(epochs)
    }

    /// Whether the next start would not find these epochs. Those without a record do not count.
    fn epochs_differ(&self, epochs: &Epochs, end: Offset) -> bool {
        let mut with_records = [self.saved_epochs.clone().unwrap_or_default(), epochs.clone()];
        with_records.iter_mut().for_each(|epochs| _ = epochs.cut(end, true));
        with_records[0] != with_records[1]
    }

    /// The epochs before the last segment, if the file agrees with the records at every place where it is easy to look.
    fn epochs_from_file(&mut self, closed: &[Found], last: Found) -> Result<Option<Epochs>, RecoverError> {
        let Some(mut epochs) = self.known_epochs() else { return Ok(None) };
        let first = self.log_start;
        for segment in closed.iter().chain([&last]) {
            let at = segment.base.max(first);
            let header = self.header_of(*segment, at)?.filter(|_| self.quarantine.at(at).is_none());
            if header.is_some_and(|header| epochs.at(at) != header.leader_epoch) {
                return Ok(None);
            }
        }
        for entry in epochs.entries().iter().skip_while(|entry| entry.start <= first) {
            let Some(segment) = closed
                .iter()
                .rev()
                .find(|segment| segment.base <= entry.start)
                .filter(|_| entry.start < last.base)
            else {
                continue;
            };
            if self.quarantine.at(entry.start).is_some() {
                continue;
            }
            let header = self.header_of(*segment, entry.start)?;
            if header.map(|it| (it.base_offset, it.leader_epoch)) != Some((entry.start, Some(entry.epoch))) {
                return Ok(None);
            }
        }
        epochs.cut(last.base, true);
        Ok(Some(epochs))
    }

    /// The header of the batch that has `offset`.
    fn header_of(&self, segment: Found, offset: Offset) -> Result<Option<BatchHeader>, RecoverError> {
        let entry_count = segment.entry_count.unwrap_or(0);
        self.header_from(segment, offset, crate::ReadStart::LookInIndexFile { entry_count })
    }

    fn header_from(
        &self,
        segment: Found,
        offset: Offset,
        start: crate::ReadStart,
    ) -> Result<Option<BatchHeader>, RecoverError> {
        let name = FileKind::Log.file_name(segment.base);
        let plan = crate::ReadPlan {
            segment: crate::SegmentVersion {
                id: crate::SegmentId { partition: self.partition, base: segment.base },
                version: 0,
            },
            target: offset,
            start,
            floor: self.quarantine.end_before(segment.base, offset),
            limit: segment.size,
            limit_offset: None,
            max_bytes: 0,
            end: Offset::MAX,
        };
        let mut read = |kind: FileKind, position: u64, buffer: &mut [u8]| {
            self.files.read_at(&kind.file_name(segment.base), position, buffer)
        };
        let Ok(range) = crate::resolve(&plan, &mut read) else { return Ok(None) };
        let mut read = |position: u64, buffer: &mut [u8]| self.files.read_at(&name, position, buffer);
        match Walk::new(segment.size, crate::walk::NEAR, &mut read).header_at(range.start) {
            Ok(found) => Ok(found.map(|(header, _)| header)),
            Err(WalkError::Io(error)) => Err(io_error(&name, &error)),
            Err(WalkError::Damaged(_)) => Ok(None),
        }
    }

    fn producers_from_file(&self, base: Offset) -> Result<Option<Producers>, RecoverError> {
        let contents = self.read_small(&FileKind::Producers.file_name(base))?;
        Ok(contents.and_then(|contents| snapshot::read(&contents, base)))
    }
}

fn closed_segment(found: Found) -> Segment {
    Segment {
        size: found.size,
        index: None,
        index_file_entry_count: found.entry_count.unwrap_or(0),
        time_file_entry_count: found.time_entry_count.unwrap_or(0),
        sealed: true,
        may_exist: true,
        ..Segment::new(found.base)
    }
}

fn io_error(name: &str, error: &io::Error) -> RecoverError {
    RecoverError::Io { name: name.to_owned(), problem: error.to_string() }
}
