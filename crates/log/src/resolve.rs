//! Turning a plan into positions: with reads of files, outside of any lock.

use std::{io, ops::Range};

use klamm_model::{BatchError, BatchView, Corruption, Offset, Timestamp};

use crate::disk::{FileKind, SegmentId};
use crate::error::ReadError;
use crate::index;
use crate::plan::{ReadPlan, ReadStart, TimeLookup, TimeQuestion, TimeSpan};
use crate::walk::{ALL, NEAR, Walk, WalkError};

/// Records of one batch, unpacked, when they are looked through for a timestamp.
const UNPACKED_BYTES_MAX: usize = 256 << 20;

/// Reads a file of a plan's segment.
pub type ReadFile<'a> = dyn FnMut(FileKind, u64, &mut [u8]) -> io::Result<usize> + 'a;
/// Reads a file of a segment.
pub type ReadSegment<'a> = dyn FnMut(SegmentId, FileKind, u64, &mut [u8]) -> io::Result<usize> + 'a;

/// Where in the segment's log file the records of a plan are. The first batch comes whole even if it is larger than asked for; the last one may be
/// cut off.
pub fn resolve(plan: &ReadPlan, read: &mut ReadFile<'_>) -> Result<Range<u32>, ReadError> {
    match plan.start {
        ReadStart::Exact { position, first_end } => {
            let wanted_end = position.saturating_add(plan.max_bytes).max(first_end);
            Ok(position..wanted_end.min(plan.limit))
        }
        ReadStart::AtOrAfter(floor) => find(plan, floor, read),
        ReadStart::LookInIndexFile { entry_count } => match floor_in_file(plan, entry_count, read) {
            // An index that leads astray is no reason not to find what is there.
            0 => find(plan, 0, read),
            floor => find(plan, floor, read).or_else(|_| find(plan, 0, read)),
        },
    }
}

fn find(plan: &ReadPlan, floor: u32, read: &mut ReadFile<'_>) -> Result<Range<u32>, ReadError> {
    let base = plan.segment.base;
    let mut read_log = |position: u64, buffer: &mut [u8]| read(FileKind::Log, position, buffer);
    let mut walk = Walk::new(plan.limit, NEAR, &mut read_log);
    let mut position = floor;
    let beyond = |offset: Offset| plan.limit_offset.is_some_and(|limit| limit <= offset);
    let (start, first_end) = loop {
        let Some((header, end)) = walk.header_at(position).map_err(|error| at(base, position, error))? else {
            return Ok(position..position);
        };
        if position == floor && plan.target < header.base_offset {
            // Nothing before it can have the target, so this place is wrong.
            let problem = Corruption::Field { name: "base offset", value: header.base_offset.raw() };
            return Err(ReadError::Damaged { base, position, problem: BatchError::Corrupt(problem) });
        }
        if plan.target < header.next_offset() {
            if beyond(header.last_offset()) {
                return Ok(position..position);
            }
            break (position, end);
        }
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

/// The position that the index file has for the target, 0 if none.
fn floor_in_file(plan: &ReadPlan, entry_count: u32, read: &mut ReadFile<'_>) -> u32 {
    let target = plan.target.since(plan.segment.base);
    let mut entry_at = |at: u32| -> Option<(u32, u32)> {
        let mut entry = [0; index::ENTRY_SIZE];
        let size = read(FileKind::Index, u64::from(at) * index::ENTRY_SIZE as u64, &mut entry).ok()?;
        (size == entry.len()).then(|| index::entry(entry))
    };
    let (mut low, mut high) = (0, entry_count);
    let mut floor = 0;
    while low < high {
        let middle = low + (high - low) / 2;
        match entry_at(middle) {
            Some((last, position)) if u64::from(last) <= target => {
                floor = position;
                low = middle + 1;
            }
            Some(_) => high = middle,
            None => return 0,
        }
    }
    if floor < plan.limit { floor } else { 0 }
}

/// The record that a question about time asks for.
pub fn resolve_time(
    lookup: &TimeLookup,
    read: &mut ReadSegment<'_>,
) -> Result<Option<(Offset, Timestamp)>, ReadError> {
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
            let mut largest: Option<(Offset, Timestamp)> = None;
            for span in &lookup.spans {
                if largest.is_some_and(|(_, timestamp)| span.largest_timestamp <= timestamp) {
                    continue;
                }
                // The batches' own highest timestamps first: only one batch has to be unpacked.
                let Some(timestamp) = largest_in(lookup, span, read)? else { continue };
                if largest.is_none_or(|(_, before)| before < timestamp)
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
    let mut read_log = |position: u64, buffer: &mut [u8]| read(segment, FileKind::Log, position, buffer);
    let mut walk = Walk::new(span.limit, ALL, &mut read_log);
    let mut position = 0;
    let mut largest = None;
    while let Some((header, end)) =
        walk.header_at(position).map_err(|error| at(segment.base, position, error))?
    {
        if lookup.limit <= header.last_offset() {
            break;
        }
        if lookup.log_start <= header.base_offset {
            largest = largest.max(Some(header.max_timestamp));
        }
        position = end;
    }
    Ok(largest)
}

fn first_at_or_after(
    lookup: &TimeLookup,
    span: &TimeSpan,
    time: Timestamp,
    read: &mut ReadSegment<'_>,
) -> Result<Option<(Offset, Timestamp)>, ReadError> {
    let segment = span.segment;
    let mut read_log = |position: u64, buffer: &mut [u8]| read(segment, FileKind::Log, position, buffer);
    let mut walk = Walk::new(span.limit, ALL, &mut read_log);
    let mut position = 0;
    let mut scratch = Vec::new();
    while let Some((header, end)) =
        walk.header_at(position).map_err(|error| at(segment.base, position, error))?
    {
        if lookup.limit <= header.base_offset {
            break;
        }
        if time <= header.max_timestamp && lookup.log_start <= header.last_offset() {
            let damaged = |problem| ReadError::Damaged { base: segment.base, position, problem };
            let batch = walk.batch(position, end).map_err(|error| at(segment.base, position, error))?;
            let view = BatchView::parse(batch).map_err(damaged)?;
            for record in view.records(&mut scratch, UNPACKED_BYTES_MAX).map_err(damaged)? {
                let record = record.map_err(damaged)?;
                if lookup.limit <= record.offset {
                    return Ok(None);
                }
                if time <= record.timestamp && lookup.log_start <= record.offset {
                    return Ok(Some((record.offset, record.timestamp)));
                }
            }
        }
        position = end;
    }
    Ok(None)
}

fn at(base: Offset, position: u32, error: WalkError) -> ReadError {
    match error {
        WalkError::Io(error) => ReadError::Io { base, problem: error.to_string() },
        WalkError::Damaged(problem) => ReadError::Damaged { base, position, problem },
    }
}
