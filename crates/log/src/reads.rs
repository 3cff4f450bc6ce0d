//! Where records are, as far as that is known without touching a file.

use klamm_model::{Offset, Timestamp};

use crate::error::ReadError;
use crate::log::{Life, Log};
use crate::plan::{Floor, ReadPlan, ReadStart, TimeLookup, TimeQuestion, TimeSpan, TimeStart};
use crate::segment::Segment;

impl Log {
    /// Where to read the records from `from` on, up to `limit` and never above what is written: whole batches, from the one that has `from`.
    /// `None` if there is nothing yet.
    pub fn read(&self, from: Offset, limit: Offset, max_bytes: u32) -> Result<Option<ReadPlan>, ReadError> {
        if self.life != Life::Running {
            return Err(ReadError::LogFailed);
        }
        if from < self.log_start || self.end < from {
            return Err(ReadError::OutOfRange { from, log_start: self.log_start, end: self.end });
        }
        let limit = limit.min(self.written);
        if limit <= from {
            return Ok(None);
        }
        let damage = self.quarantine.from(from).first();
        if let Some(damaged) = damage.filter(|damaged| damaged.from <= from) {
            return Err(ReadError::Quarantined(*damaged));
        }
        let at = self.segment_at(from);
        let segment = &self.segments[at];
        let limit = limit.min(self.segment_end(at));
        let damage = damage.filter(|damaged| damaged.from < limit);
        let limit = damage.map_or(limit, |damaged| damaged.from);
        let mut plan = ReadPlan {
            segment: self.version_of(segment),
            target: from,
            start: ReadStart::AtOrAfter(Floor::start_of(segment.base)),
            floor: self.quarantine.end_before(segment.base, from),
            limit: segment.size,
            limit_offset: None,
            max_bytes,
            end: limit,
        };
        if let Some((found, batch)) =
            self.tail.find(from).and_then(|found| Some((found, self.tail.get(found)?)))
        {
            if limit < batch.end {
                return Ok(None);
            }
            let first_end = batch.position + batch.size;
            let position_max = u64::from(batch.position) + u64::from(max_bytes);
            let fits = |batch: &crate::tail::TailBatch| {
                batch.end <= limit && u64::from(batch.position) + u64::from(batch.size) <= position_max
            };
            let last = self.tail.last_that(found, fits);
            plan.start = ReadStart::Exact { position: batch.position, first_end };
            (plan.limit, plan.end) = (last.position + last.size, last.end);
            return Ok(Some(plan));
        }
        let beyond = segment.index.as_ref().and_then(|index| index.beyond(segment.base, from, max_bytes));
        plan.end = beyond.map_or(limit, |beyond| beyond.min(limit));
        let start = Floor::start_of(segment.base);
        let floor = segment.index.as_ref().map_or(start, |index| index.floor(segment.base, from));
        plan.start = match segment.index_file_entry_count {
            entry_count if floor == start && 0 < entry_count => ReadStart::LookInIndexFile { entry_count },
            _ => ReadStart::AtOrAfter(floor),
        };
        (plan.limit, plan.limit_offset) = match damage {
            Some(damaged) if damaged.base == segment.base => (damaged.position, None),
            _ => self.position_limit(at, limit),
        };
        Ok(Some(plan))
    }

    /// Where `limit` lies in a segment, or where at the latest, with the offset to stop at before.
    pub(crate) fn position_limit(&self, at: usize, limit: Offset) -> (u32, Option<Offset>) {
        let segment = &self.segments[at];
        if self.segment_end(at) <= limit {
            return (segment.size, None);
        }
        if let Some(batch) = self.tail.find(limit).and_then(|found| self.tail.get(found)) {
            return (batch.position, None);
        }
        // The batches that are listed all lie above: the first of them may be in this segment.
        let first =
            self.tail.get(0).filter(|first| first.base < self.segment_end(at) && segment.base <= first.base);
        (first.map_or(segment.size, |first| first.position), Some(limit))
    }

    /// About how many bytes lie between two offsets; exact at the tail, and never 0 if there is a record.
    pub fn bytes_between(&self, from: Offset, to: Offset) -> u64 {
        let (from, to) = (from.max(self.log_start), to.min(self.end));
        if to <= from {
            return 0;
        }
        let (first, last) = (self.segment_at(from), self.segment_at(to));
        let (start, end) = (self.position_about(first, from), self.position_about(last, to));
        let before: u64 = self.segments[first..last].iter().map(|segment| u64::from(segment.size)).sum();
        (before + end).saturating_sub(start).max(1)
    }

    fn position_about(&self, at: usize, offset: Offset) -> u64 {
        let segment = &self.segments[at];
        let size = u64::from(segment.size);
        if offset <= segment.base {
            return 0;
        }
        if self.segment_end(at) <= offset {
            return size;
        }
        if let Some(batch) = self.tail.find(offset).and_then(|found| self.tail.get(found)) {
            return u64::from(batch.position);
        }
        match segment.index.as_ref().map(|index| index.floor(segment.base, offset).position) {
            Some(floor) if 0 < floor => u64::from(floor),
            _ => {
                let (records, all) =
                    (offset.since(segment.base), self.segment_end(at).since(segment.base).max(1));
                u64::try_from(u128::from(size) * u128::from(records) / u128::from(all)).unwrap_or(size)
            }
        }
    }

    /// A question for the first record at or after a time, among those below `limit`.
    pub fn lookup_time(&self, at: Timestamp, limit: Offset) -> TimeLookup {
        self.lookup(TimeQuestion::AtOrAfter(at), limit)
    }

    /// A question for the first record with the highest timestamp below `limit` (KIP-734).
    pub fn lookup_largest_timestamp(&self, limit: Offset) -> TimeLookup {
        self.lookup(TimeQuestion::Largest, limit)
    }

    fn lookup(&self, question: TimeQuestion, limit: Offset) -> TimeLookup {
        let limit = limit.min(self.written);
        let mut spans = Vec::new();
        if self.log_start < limit && self.life == Life::Running {
            for at in self.segment_at(self.log_start)..self.segments.len() {
                let segment = &self.segments[at];
                if limit <= segment.base {
                    break;
                }
                let largest = segment.largest;
                let time = match question {
                    TimeQuestion::AtOrAfter(time) if largest.timestamp < time => continue,
                    TimeQuestion::AtOrAfter(time) => time,
                    TimeQuestion::Largest => largest.timestamp,
                };
                let damaged = self.quarantine.of(segment.base);
                let floor = match &segment.index {
                    // What lies below the log's start does not count.
                    Some(index) if damaged.is_empty() => {
                        index.floor(segment.base, self.log_start.max(segment.base))
                    }
                    _ => Floor::start_of(segment.base),
                };
                let whole = TimeSpan {
                    segment: self.version_of(segment),
                    start: time_start(segment, time),
                    floor,
                    limit: self.position_limit(at, limit).0,
                    largest_timestamp: largest.timestamp,
                    largest_counts: damaged.is_empty()
                        && self.log_start <= segment.base
                        && largest.last_offset < limit,
                };
                // What lies between damaged ranges is gone through from its beginning.
                let ends = damaged.iter().map(|damaged| damaged.position).chain([whole.limit]);
                let floors = [whole.floor].into_iter().chain(damaged.iter().map(Floor::behind));
                for (floor, end) in floors.zip(ends) {
                    let start = if damaged.is_empty() { whole.start } else { TimeStart::AtOrAfter(floor) };
                    if floor.position < end.min(whole.limit) {
                        spans.push(TimeSpan { start, floor, limit: end.min(whole.limit), ..whole });
                    }
                }
            }
        }
        TimeLookup { question, log_start: self.log_start, limit, spans }
    }
}

/// Where to look in a segment for the first record of this time or later.
fn time_start(segment: &Segment, time: Timestamp) -> TimeStart {
    match segment {
        Segment { index: Some(index), .. } => TimeStart::AtOrAfter(index.floor_of_time(segment.base, time)),
        Segment { index_file_entry_count: entry_count, time_file_entry_count: time_entry_count, .. } => {
            TimeStart::LookInIndexFiles { entry_count: *entry_count, time_entry_count: *time_entry_count }
        }
    }
}
