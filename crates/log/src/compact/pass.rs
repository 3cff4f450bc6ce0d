//! When a log is compacted, and what the parts of a pass mean for it.
//!
//! ```text
//!   compact → MapKeys → for each group of segments: Rewrite, then, if it changed, Swap → the log is clean up to where there was room for keys
//! ```
//! Collecting keys and writing go on beside everything else: they touch no file of the log. The swap is a barrier in the log's queue. Groups are
//! swapped oldest first, and one after the other: a value that a tombstone deleted is gone before the tombstone is, whenever a crash comes.
//! Whatever takes records of the segments away meanwhile (a cut, retention) ends the pass.

use std::sync::Arc;

use klamm_model::{Offset, ProducerId, Timestamp};
use rustc_hash::FxHashSet;

use super::{Keys, MapKeys, Rewrite, Rewritten, Rules, Sabotage, Source};
use crate::disk::{DiskAction, DiskError, DiskOp, Done, OpId, SegmentVersion};
use crate::log::{Life, Log};
use crate::queue::Barrier;
use crate::transactions::AbortedIndex;

/// A segment's records span no more offsets: Kafka's indexes have 4 bytes for them.
const SEGMENT_SPAN_MAX: u64 = i32::MAX as u64;
/// What a share is counted in.
pub const MILLION: u32 = 1_000_000;

/// How a log is compacted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Compaction {
    /// How long a tombstone stays from the first pass on that it went through (`delete.retention.ms`).
    pub delete_retention_ms: u64,
    /// Records younger than this stay, whatever comes after them (`min.compaction.lag.ms`).
    pub lag_ms_min: u64,
    /// A log with a record that waits for longer than this is due, however little of it is dirty (`max.compaction.lag.ms`).
    pub lag_ms_max: u64,
    /// It is due when so much of it is dirty, in millionths of its bytes (`min.cleanable.dirty.ratio`).
    pub dirty_millionths_min: u32,
    /// What the keys of a pass may take in memory (`log.cleaner.dedupe.buffer.size`).
    pub keys_bytes_max: u64,
    /// For tests of what notices a broken rule.
    pub sabotage: Option<Sabotage>,
}

impl Default for Compaction {
    /// Kafka's defaults.
    fn default() -> Self {
        Self {
            delete_retention_ms: 24 * 3600 * 1000,
            lag_ms_min: 0,
            lag_ms_max: i64::MAX as u64,
            dirty_millionths_min: MILLION / 2,
            keys_bytes_max: 128 << 20,
            sabotage: None,
        }
    }
}

/// A pass that ended well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Compacted {
    /// Where it began to collect keys.
    pub from: Offset,
    /// Each key is there once below, or newer.
    pub through: Offset,
    /// Bytes of the segments that it went through, before.
    pub bytes_before: u64,
    /// And after.
    pub bytes_after: u64,
    /// How many keys it collected.
    pub key_count: usize,
}

/// A pass that is under way.
#[derive(Debug)]
pub(crate) struct Pass {
    /// The part that was handed out, if it is not a swap.
    op: Option<OpId>,
    from: Offset,
    now: Timestamp,
    compaction: Compaction,
    /// Every segment that it goes through.
    sources: Vec<Source>,
    /// From the keys on: what stays, and what is to be written yet, the last group first.
    rules: Option<Rules>,
    groups: Vec<Vec<Source>>,
    bytes_after: u64,
    /// Producers of whose transaction there was something in what is written, since their last mark.
    members: Arc<FxHashSet<ProducerId>>,
    /// Some of the segments are not what they were.
    is_over: bool,
}

impl Log {
    /// Whether a pass would be worth its while now: how much of the log is dirty, in millionths, and more than all where a record has waited for too
    /// long. `None` if not, or if one is under way.
    pub fn compaction_due(&self, now: Timestamp) -> Option<u32> {
        let compaction = self
            .config
            .compaction
            .filter(|_| self.life == Life::Running && self.pass.is_none() && self.moving.is_none())?;
        let limit = self.compaction_limit(&compaction, now);
        let from = self.dirty_from();
        if limit <= from {
            return None;
        }
        let first_dirty = self.segment_at(from);
        let bytes = |segments: &[crate::segment::Segment]| -> u64 {
            segments.iter().map(|segment| u64::from(segment.size)).sum()
        };
        let end = self.segment_at(limit);
        let (all, dirty) = (bytes(&self.segments[..end]), bytes(&self.segments[first_dirty..end]));
        let millionths = u128::from(dirty) * u128::from(MILLION) / u128::from(all.max(1));
        let millionths = u32::try_from(millionths).unwrap_or(MILLION);
        // Of a segment that was there at start it is not known when its first record came: it may have waited for ever.
        let oldest = self.segments[first_dirty].first_timestamp;
        let waited_ms = u64::try_from(now.0.saturating_sub(oldest.0)).unwrap_or(0);
        if compaction.lag_ms_max < waited_ms {
            return Some(MILLION + 1);
        }
        (compaction.dirty_millionths_min <= millionths && 0 < dirty).then_some(millionths)
    }

    /// Begins a pass, if there is anything to do. `now` is the time on the wall.
    pub fn compact(&mut self, now: Timestamp, out: &mut Vec<DiskOp>) {
        let Some(compaction) = self.config.compaction.filter(|_| self.compaction_due(now).is_some()) else {
            return;
        };
        let limit = self.compaction_limit(&compaction, now);
        let from = self.dirty_from();
        // What is damaged stays as it is: of the rest of that segment nobody knows either what it was.
        let sources: Vec<Source> = (0..self.segment_at(limit))
            .filter(|at| !self.is_damaged(self.segments[*at].base))
            .map(|at| self.source(at))
            .collect();
        let dirty = sources.iter().copied().filter(|source| from < source.end).collect();
        let sabotage = compaction.sabotage;
        let aborted = self.aborted_between(from, limit);
        let job = MapKeys { sources: dirty, from, aborted, bytes_max: compaction.keys_bytes_max, sabotage };
        let op = self.hand_out_beside(DiskAction::MapKeys(Box::new(job)), out);
        self.last_pass = None;
        self.pass = Some(Box::new(Pass {
            op: Some(op),
            from,
            now,
            compaction,
            sources,
            rules: None,
            groups: Vec::new(),
            bytes_after: 0,
            members: Arc::default(),
            is_over: false,
        }));
    }

    /// Whether a pass is under way. One of a log that has failed is over once what it was handed out has ended.
    pub fn is_compacting(&self) -> bool {
        self.pass.as_ref().is_some_and(|pass| self.life == Life::Running || pass.op.is_some())
    }

    /// How the last pass ended, since the log was opened; `None` also while one is under way, and where it came to nothing.
    pub fn last_pass(&self) -> Option<&Result<Compacted, DiskError>> {
        self.last_pass.as_ref()
    }

    /// Each key below is there once, or newer.
    pub fn clean_to(&self) -> Offset {
        self.clean_to
    }

    fn dirty_from(&self) -> Offset {
        self.clean_to.max(self.log_start).max(self.segments[0].base)
    }

    /// Where the segments end that a pass may touch: closed ones in the stable part of the log, old enough.
    fn compaction_limit(&self, compaction: &Compaction, now: Timestamp) -> Offset {
        let ignores_watermark = compaction.sabotage == Some(Sabotage::BeyondHighWatermark);
        let stable = if ignores_watermark { self.written } else { self.last_stable().min(self.synced) };
        let youngest = now.0.saturating_sub(i64::try_from(compaction.lag_ms_min).unwrap_or(i64::MAX));
        let closed = self.segments.len() - 1;
        let may_be_touched = |at: &usize| {
            let segment = &self.segments[*at];
            let is_old = compaction.lag_ms_min == 0 || segment.largest.timestamp.0 <= youngest;
            segment.sealed && self.segment_end(*at) <= stable && is_old
        };
        let mut touched = (0..closed).take_while(may_be_touched).count();
        while 0 < touched && self.is_damaged(self.segments[touched - 1].base) {
            touched -= 1;
        }
        self.segments[touched].base
    }

    fn is_damaged(&self, base: Offset) -> bool {
        !self.quarantine.of(base).is_empty()
    }

    pub(crate) fn source(&self, at: usize) -> Source {
        let segment = &self.segments[at];
        let (segment_version, size) = (self.version_of(segment), segment.size);
        Source { segment: segment_version, size, end: self.segment_end(at) }
    }

    /// The segments are as they were when the pass began.
    fn still_has(&self, sources: &[Source]) -> bool {
        let Some(first) = sources.first() else { return false };
        let at = self.segment_at(first.segment.id.base);
        (at..).zip(sources).all(|(at, source)| at + 1 < self.segments.len() && self.source(at) == *source)
    }

    /// The segments are as they were, and nothing of them is known to be damaged. Where damage lies is known by the old files: it would be taken to be in the new ones.
    fn may_be_replaced(&self, sources: &[Source]) -> bool {
        self.still_has(sources) && !sources.iter().any(|it| self.is_damaged(it.segment.id.base))
    }

    /// Other files are about to take the place of this segment's.
    pub(crate) fn is_being_swapped(&self, segment: SegmentVersion) -> bool {
        let swapping = self.queue.started.as_ref().and_then(|it| it.barrier.swapped());
        swapping.is_some_and(|sources| sources.iter().any(|it| it.segment == segment))
    }

    /// Work that touches no file of the log.
    fn hand_out_beside(&mut self, action: DiskAction, out: &mut Vec<DiskOp>) -> OpId {
        let id = self.queue.next_id();
        out.push(DiskOp { partition: self.partition, id, action });
        id
    }

    /// Whether this is the part of a pass that is under way.
    pub(crate) fn is_of_pass(&self, op: OpId) -> bool {
        self.pass.as_ref().is_some_and(|pass| pass.op == Some(op))
    }

    /// Whether a part of a pass reads the log's files at the moment.
    pub(crate) fn pass_is_reading(&self) -> bool {
        self.pass.as_ref().is_some_and(|pass| pass.op.is_some())
    }

    /// A part of the pass has ended. Gives the segment that it found damaged, if it did.
    pub(crate) fn pass_went_on(
        &mut self,
        result: Result<Done, DiskError>,
        out: &mut Vec<DiskOp>,
    ) -> Option<Offset> {
        let mut pass = self.pass.take()?;
        pass.op = None;
        if pass.is_over || self.life != Life::Running {
            return None;
        }
        match result {
            Ok(Done::Keys(keys)) => self.keys_are_known(pass, keys, out),
            Ok(Done::Rewritten(rewritten)) => self.group_is_written(pass, *rewritten, out),
            Ok(Done::Damaged(damage)) => {
                self.last_pass = Some(Err(DiskError::Io(damage.to_string())));
                return Some(damage.base);
            }
            Ok(Done::Nothing | Done::Scrubbed(_)) => {}
            // Nothing was touched: a later pass tries again.
            Err(error) => self.last_pass = Some(Err(error)),
        }
        None
    }

    fn keys_are_known(&mut self, mut pass: Box<Pass>, keys: Arc<Keys>, out: &mut Vec<DiskOp>) {
        if keys.through <= pass.from {
            let problem = format!("the keys of one batch at offset {} have no room in memory", pass.from);
            self.last_pass = Some(Err(DiskError::Io(problem)));
            return;
        }
        let has_work = |source: &Source| source.segment.id.base < keys.through;
        let sources = pass.sources.iter().copied().take_while(has_work).collect::<Vec<_>>();
        pass.groups = self.groups(&sources);
        pass.groups.reverse();
        pass.sources = sources;
        let Compaction { mut delete_retention_ms, sabotage, .. } = pass.compaction;
        if !self.quarantine.is_empty() {
            // A damaged segment may have a value that a tombstone deletes: it would come back.
            delete_retention_ms = u64::MAX;
        }
        let numbered = self.producers.batches_below(keys.through).into();
        pass.rules = Some(Rules { keys, numbered, now: pass.now, delete_retention_ms, sabotage });
        self.rewrite_next(pass, out);
    }

    /// Neighbours that fit into one segment together.
    fn groups(&self, sources: &[Source]) -> Vec<Vec<Source>> {
        let mut groups: Vec<Vec<Source>> = Vec::new();
        let mut bytes = 0;
        for source in sources {
            let size = u64::from(source.size);
            let joins = groups.last().is_some_and(|group| {
                bytes + size <= u64::from(self.config.segment_bytes)
                    && group.last().is_some_and(|last| last.end == source.segment.id.base)
                    && source.end.since(group[0].segment.id.base) <= SEGMENT_SPAN_MAX
            });
            match groups.last_mut().filter(|_| joins) {
                Some(group) => group.push(*source),
                None => {
                    bytes = 0;
                    groups.push(vec![*source]);
                }
            }
            bytes += size;
        }
        groups
    }

    fn rewrite_next(&mut self, mut pass: Box<Pass>, out: &mut Vec<DiskOp>) {
        let Some(rules) = pass.rules.clone() else { return };
        match pass.groups.last() {
            Some(sources) => {
                let index_interval_bytes = self.config.index_interval_bytes;
                let aborted =
                    self.aborted_between(sources[0].segment.id.base, sources[sources.len() - 1].end);
                let (sources, members) = (sources.clone(), pass.members.clone());
                let job = Rewrite { sources, rules, aborted, members, index_interval_bytes };
                pass.op = Some(self.hand_out_beside(DiskAction::Rewrite(Box::new(job)), out));
                self.pass = Some(pass);
            }
            None => {
                self.clean_to = self.clean_to.max(rules.keys.through);
                self.durable_point_due = true;
                self.last_pass = Some(Ok(Compacted {
                    from: pass.from,
                    through: rules.keys.through,
                    bytes_before: pass.sources.iter().map(|source| u64::from(source.size)).sum(),
                    bytes_after: pass.bytes_after,
                    key_count: rules.keys.count(),
                }));
            }
        }
    }

    fn group_is_written(&mut self, mut pass: Box<Pass>, rewritten: Rewritten, out: &mut Vec<DiskOp>) {
        let Some(sources) = pass.groups.pop() else { return };
        if !self.may_be_replaced(&sources) {
            return; // Retention was faster, or a scrub.
        }
        pass.bytes_after += u64::from(rewritten.size);
        pass.members = rewritten.members.clone();
        if !rewritten.is_changed {
            return self.rewrite_next(pass, out);
        }
        self.queue.push_barrier(Barrier::Swap { sources, rewritten: Box::new(rewritten) });
        self.pass = Some(pass);
    }

    /// Records are taken back from `to` on: a pass that goes through them ends. Gives where the cut may be: not within segments that are being
    /// swapped, for it is not known yet where their batches will lie.
    pub(crate) fn cut_through_pass(&mut self, to: Offset) -> Offset {
        let swapping = self.queue.started.as_ref().and_then(|it| it.barrier.swapped());
        if let Some(pass) = self.pass.as_mut().filter(|pass| to < pass.sources[pass.sources.len() - 1].end) {
            // What was handed out still ends, and the next pass waits for that.
            pass.is_over = true;
            if pass.op.is_none() && swapping.is_none() {
                self.pass = None;
            }
            self.queue.waiting.retain(|step| !step.is_swap());
        }
        let Some(sources) = swapping else { return to };
        let (base, end) = (sources[0].segment.id.base, sources[sources.len() - 1].end);
        if end <= to {
            return to;
        }
        let at = self.segment_at(base);
        self.segments[at].version = self.version;
        to.min(base)
    }

    /// The swap has its turn: whether it still may.
    pub(crate) fn swap_action(&mut self, sources: &[Source]) -> Option<DiskAction> {
        if !self.may_be_replaced(sources) {
            self.pass = None;
            return None;
        }
        self.version += 1;
        let segment = SegmentVersion { id: sources[0].segment.id, version: self.version };
        let replaced = sources[1..].iter().map(|source| source.segment.id).collect();
        Some(DiskAction::Swap { segment, replaced })
    }

    /// The new files are in place.
    pub(crate) fn swapped(&mut self, sources: &[Source], rewritten: &Rewritten, out: &mut Vec<DiskOp>) {
        let pass = self.pass.take();
        // A cut may have come meanwhile: then what is here now is going to be empty.
        if !self.still_has(sources) {
            return;
        }
        let at = self.segment_at(sources[0].segment.id.base);
        let last = sources.len() - 1;
        self.segments.drain(at + 1..=at + last);
        let version = self.version;
        let segment = &mut self.segments[at];
        segment.size = rewritten.size;
        segment.version = version;
        segment.largest = rewritten.largest;
        segment.index = None;
        segment.aborted = AbortedIndex::in_file(rewritten.aborted_summary);
        segment.index_file_entry_count = rewritten.entry_count();
        segment.time_file_entry_count = rewritten.time_entry_count();
        // Its batches have other places now.
        self.tail.forget_below(sources[last].end);
        if let Some(pass) = pass.filter(|pass| !pass.is_over) {
            self.rewrite_next(pass, out);
        }
    }
}
