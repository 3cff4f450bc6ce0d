//! Turning a plan into positions: with reads of files, outside of any lock.

use std::{io, ops::Range};

use klamm_model::{BatchError, BatchHeader, BatchView, Corruption, Offset, Timestamp};

use crate::disk::{FileKind, REPLACED, SegmentVersion};
use crate::error::ReadError;
use crate::index::{self, time_entry};
use crate::plan::{
    Floor, ReadPlan, ReadStart, Says, TimeFound, TimeLookup, TimeQuestion, TimeSpan, TimeStart,
};
use crate::walk::{ALL, NEAR, ReadAt, Walk, WalkError};

/// Records of one batch, unpacked, when they are looked through for a timestamp.
const UNPACKED_BYTES_MAX: usize = 256 << 20;

/// Reads a file of a plan's segment.
pub type ReadFile<'a> = dyn FnMut(FileKind, u64, &mut [u8]) -> io::Result<usize> + 'a;
/// Reads a file of a segment.
pub type ReadSegment<'a> = dyn FnMut(SegmentVersion, FileKind, u64, &mut [u8]) -> io::Result<usize> + 'a;

/// Where in the segment's log file the records of a plan are. The first batch comes whole even if it is larger than asked for; the last one may be
/// cut off.
pub fn resolve(plan: &ReadPlan, read: &mut ReadFile<'_>) -> Result<Range<u32>, ReadError> {
    match plan.start {
        ReadStart::Exact { position, first_end } => {
            let wanted_end = position.saturating_add(plan.max_bytes).max(first_end);
            Ok(position..wanted_end.min(plan.limit))
        }
        ReadStart::AtOrAfter(floor) if plan.floor.position < floor.position => find(plan, floor, read),
        ReadStart::AtOrAfter(_) => find(plan, plan.floor, read),
        ReadStart::LookInIndexFile { entry_count } => {
            match floor_in_file(plan.segment.id.base, plan.target, entry_count, read) {
                // An index that leads astray is no reason not to find what is there.
                Some(floor) if (plan.floor.position + 1..plan.limit).contains(&floor.position) => {
                    find(plan, floor, read).or_else(|_| find(plan, plan.floor, read))
                }
                _ => find(plan, plan.floor, read),
            }
        }
    }
}

fn find(plan: &ReadPlan, floor: Floor, read: &mut ReadFile<'_>) -> Result<Range<u32>, ReadError> {
    let base = plan.segment.id.base;
    let mut read_log = |position: u64, buffer: &mut [u8]| read(FileKind::Log, position, buffer);
    let mut walk = Walk::new(plan.limit, NEAR, &mut read_log);
    let mut position = floor.position;
    let mut expected: Option<Offset> = None;
    let beyond = |offset: Offset| plan.limit_offset.is_some_and(|limit| limit <= offset);
    let (start, first_end) = loop {
        let Some((header, end)) = walk.header_at(position).map_err(|error| at(base, position, error))? else {
            return Ok(position..position);
        };
        if expected.map_or(!floor.is_place_of(&header), |expected| expected != header.base_offset) {
            // A wrong place, an old batch in the place of another, or a bit that flipped.
            return Err(misplaced(base, position, &header));
        }
        if plan.target < header.next_offset() {
            if beyond(header.last_offset()) {
                return Ok(position..position);
            }
            break (position, end);
        }
        expected = Some(header.next_offset());
        position = end;
    };
    let wanted_end = start.saturating_add(plan.max_bytes).max(first_end).min(plan.limit);
    if plan.limit_offset.is_none() {
        return Ok(start..wanted_end);
    }
    let mut end = first_end;
    while end < wanted_end {
        match walk.header_at(end).map_err(|error| at(base, end, error))? {
            Some((header, next)) if !beyond(header.last_offset()) && next <= wanted_end => end = next,
            _ => break,
        }
    }
    Ok(start..end)
}

/// The place that the index file has for an offset.
fn floor_in_file(base: Offset, target: Offset, entry_count: u32, read: &mut ReadFile<'_>) -> Option<Floor> {
    let target = target.since(base);
    last_entry(FileKind::Index, entry_count, read, &|bytes| {
        let (last, position) = index::entry(bytes);
        (u64::from(last) <= target).then(|| Floor { position, says: Says::Last(base.advance(last)) })
    })
}

fn misplaced(base: Offset, position: u32, header: &BatchHeader) -> ReadError {
    let problem = Corruption::Field { name: "base offset", value: header.base_offset.raw() };
    damaged(base, position)(problem.into())
}

/// What a problem of the batch there means for whoever reads.
fn damaged(base: Offset, position: u32) -> impl Fn(BatchError) -> ReadError {
    move |problem| ReadError::Damaged { base, position, problem }
}

/// The record that a question about time asks for.
pub fn resolve_time(lookup: &TimeLookup, read: &mut ReadSegment<'_>) -> Result<Option<TimeFound>, ReadError> {
    match lookup.question {
        TimeQuestion::AtOrAfter(at) => {
            for span in &lookup.spans {
                if let Some(found) = first_at_or_after(lookup, span, at, read)? {
                    return Ok(Some(found));
                }
            }
            Ok(None)
        }
        TimeQuestion::Largest => {
            let mut largest: Option<TimeFound> = None;
            for span in &lookup.spans {
                if largest.is_some_and(|it| span.largest_timestamp <= it.timestamp) {
                    continue;
                }
                let counting = if span.largest_counts {
                    Some(span.largest_timestamp)
                } else {
                    // The batches' own highest timestamps first: only one batch has to be unpacked.
                    largest_in(lookup, span, read)?
                };
                let Some(timestamp) = counting else { continue };
                if largest.is_none_or(|it| it.timestamp < timestamp)
                    && let Some(found) = first_at_or_after(lookup, span, timestamp, read)?
                {
                    largest = Some(found);
                }
            }
            Ok(largest)
        }
    }
}

fn largest_in(
    lookup: &TimeLookup,
    span: &TimeSpan,
    read: &mut ReadSegment<'_>,
) -> Result<Option<Timestamp>, ReadError> {
    let segment = span.segment;
    let floor = first_floor(lookup, span, read);
    let mut read_log = |position: u64, buffer: &mut [u8]| read(segment, FileKind::Log, position, buffer);
    let mut run = Run::new(span, floor, &mut read_log);
    let mut largest = None;
    while let Some((header, batch)) = run.next()?.filter(|(header, _)| header.last_offset() < lookup.limit) {
        let counting = if lookup.log_start <= header.base_offset {
            Some(header.max_timestamp)
        } else if lookup.log_start <= header.last_offset() {
            let damaged = damaged(segment.id.base, batch.start);
            largest_from(&run.view(batch)?, lookup.log_start).map_err(damaged)?
        } else {
            None
        };
        largest = largest.max(counting);
    }
    Ok(largest)
}

/// The highest timestamp of a batch that the log's start falls into.
fn largest_from(batch: &BatchView<'_>, log_start: Offset) -> Result<Option<Timestamp>, BatchError> {
    let mut largest = None;
    for record in batch.records(&mut Vec::new(), UNPACKED_BYTES_MAX)? {
        let record = record?;
        if log_start <= record.offset {
            largest = largest.max(Some(record.timestamp));
        }
    }
    Ok(largest)
}

fn first_at_or_after(
    lookup: &TimeLookup,
    span: &TimeSpan,
    time: Timestamp,
    read: &mut ReadSegment<'_>,
) -> Result<Option<TimeFound>, ReadError> {
    let segment = span.segment;
    let floor = first_floor(lookup, span, read);
    let start = match span.start {
        // The highest timestamp that counts may be lower than the one that this start is for.
        _ if lookup.question == TimeQuestion::Largest && !span.largest_counts => floor,
        TimeStart::AtOrAfter(floor) => floor,
        TimeStart::LookInIndexFiles { entry_count, time_entry_count } => {
            let mut read =
                |kind: FileKind, position: u64, buffer: &mut [u8]| read(segment, kind, position, buffer);
            time_floor(span, entry_count, time_entry_count, time, &mut read)
        }
    };
    let start = if start.position < floor.position { floor } else { start };
    let mut read_log = |position: u64, buffer: &mut [u8]| read(segment, FileKind::Log, position, buffer);
    let mut run = Run::new(span, start, &mut read_log);
    let mut scratch = Vec::new();
    while let Some((header, batch)) = run.next()?.filter(|(header, _)| header.base_offset < lookup.limit) {
        if header.max_timestamp < time || header.last_offset() < lookup.log_start {
            continue;
        }
        let damaged = damaged(segment.id.base, batch.start);
        let view = run.view(batch)?;
        for record in view.records(&mut scratch, UNPACKED_BYTES_MAX).map_err(&damaged)? {
            let record = record.map_err(&damaged)?;
            if lookup.limit <= record.offset {
                return Ok(None);
            }
            if time <= record.timestamp && lookup.log_start <= record.offset {
                let (offset, timestamp) = (record.offset, record.timestamp);
                return Ok(Some(TimeFound { offset, timestamp, epoch: header.leader_epoch }));
            }
        }
    }
    Ok(None)
}

/// Where to begin at the earliest: what lies below the log's start does not count. The index file has to agree with the records.
fn first_floor(lookup: &TimeLookup, span: &TimeSpan, read: &mut ReadSegment<'_>) -> Floor {
    let (segment, base) = (span.segment, span.segment.id.base);
    let TimeStart::LookInIndexFiles { entry_count, .. } = span.start else { return span.floor };
    if lookup.log_start <= base {
        return span.floor;
    }
    let mut read = |kind: FileKind, position: u64, buffer: &mut [u8]| read(segment, kind, position, buffer);
    let Some(floor) = floor_in_file(base, lookup.log_start, entry_count, &mut read) else {
        return span.floor;
    };
    let mut read_log = |position: u64, buffer: &mut [u8]| read(FileKind::Log, position, buffer);
    match Walk::new(span.limit, NEAR, &mut read_log).header_at(floor.position) {
        Ok(Some((header, _))) if floor.is_place_of(&header) => floor,
        _ => span.floor,
    }
}

/// The batches of a segment from one on, each looked at as a whole: whoever passes one by believes what it says of times.
struct Run<'a> {
    base: Offset,
    walk: Walk<'a>,
    at: Floor,
}

impl<'a> Run<'a> {
    fn new(span: &TimeSpan, at: Floor, read: &'a mut ReadAt<'a>) -> Self {
        Self { base: span.segment.id.base, walk: Walk::new(span.limit, ALL, read), at }
    }

    fn next(&mut self) -> Result<Option<(BatchHeader, Range<u32>)>, ReadError> {
        let (base, position) = (self.base, self.at.position);
        let header = self.walk.header_at(position).map_err(|error| at(base, position, error))?;
        let Some((header, end)) = header else { return Ok(None) };
        if !self.at.is_place_of(&header) {
            return Err(misplaced(base, position, &header));
        }
        self.view(position..end)?.verify_crc().map_err(damaged(base, position))?;
        self.at = Floor { position: end, says: Says::First(header.next_offset()) };
        Ok(Some((header, position..end)))
    }

    fn view(&mut self, batch: Range<u32>) -> Result<BatchView<'_>, ReadError> {
        let (base, position) = (self.base, batch.start);
        let bytes = self.walk.batch(position, batch.end).map_err(|error| at(base, position, error))?;
        BatchView::parse(bytes).map_err(damaged(base, position))
    }
}

/// Where to begin to look for a time, by the index files: they have to agree with the records, or else the beginning of the segment it is.
fn time_floor(
    span: &TimeSpan,
    entry_count: u32,
    time_entry_count: u32,
    time: Timestamp,
    read: &mut ReadFile<'_>,
) -> Floor {
    let base = span.segment.id.base;
    let start = Floor::start_of(base);
    let found = last_entry(FileKind::TimeIndex, time_entry_count, read, &|bytes| {
        let largest = time_entry(base, bytes);
        (largest.timestamp < time).then_some(largest)
    });
    let Some(largest) = found.filter(|it| base <= it.last_offset) else { return start };
    let floor = floor_in_file(base, largest.last_offset, entry_count, read).unwrap_or(start);
    let mut read_log = |position: u64, buffer: &mut [u8]| read(FileKind::Log, position, buffer);
    let mut walk = Walk::new(span.limit, NEAR, &mut read_log);
    let mut position = floor.position;
    while let Ok(Some((header, end))) = walk.header_at(position) {
        if largest.last_offset <= header.last_offset() {
            let is_it =
                (header.last_offset(), header.max_timestamp) == (largest.last_offset, largest.timestamp);
            return if is_it { Floor { position, says: Says::Last(largest.last_offset) } } else { start };
        }
        position = end;
    }
    start
}

/// The last entry of an index file for which `is_below` gives something; it gives nothing for any after it.
fn last_entry<const SIZE: usize, T>(
    kind: FileKind,
    entry_count: u32,
    read: &mut ReadFile<'_>,
    is_below: &dyn Fn([u8; SIZE]) -> Option<T>,
) -> Option<T> {
    let (mut low, mut high) = (0, entry_count);
    let mut found = None;
    while low < high {
        let middle = low + (high - low) / 2;
        let mut entry = [0; SIZE];
        let size = read(kind, u64::from(middle) * SIZE as u64, &mut entry).ok()?;
        match is_below(entry) {
            _ if size < SIZE => return None,
            Some(entry) => {
                found = Some(entry);
                low = middle + 1;
            }
            None => high = middle,
        }
    }
    found
}

fn at(base: Offset, position: u32, error: WalkError) -> ReadError {
    match error {
        WalkError::Io(error) if error.kind() == REPLACED => ReadError::Replaced,
        WalkError::Io(error) => ReadError::Io { base, problem: error.to_string() },
        WalkError::Damaged(problem) => damaged(base, position)(problem),
    }
}
