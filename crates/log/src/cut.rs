//! Taking records back: a write that failed, another leader's log that does not have them, a log that begins anew, a topic that is deleted.

use klamm_model::Offset;

use crate::disk::{DiskOp, SegmentId};
use crate::index::{CutPoint, Index, Largest};
use crate::log::{Life, Log};
use crate::queue::{Barrier, Errand};
use crate::segment::Segment;
use crate::transactions::Unconfirmed;

impl Log {
    /// Removes every record at and above `end`. From now on they cannot be read, and appends go on from there; the disk follows when what is
    /// under way has ended.
    ///
    /// A batch that `end` falls into goes as a whole, so the log may end lower; so it may if `end` is far below the high watermark, where only
    /// some of the batches are known. It never ends below where it starts.
    pub fn truncate_to(&mut self, end: Offset, out: &mut Vec<DiskOp>) {
        let end = end.max(self.log_start);
        if self.life != Life::Running || self.end <= end {
            return;
        }
        self.take_back_from(end, false);
        self.pump(out);
        self.after_change();
    }

    /// Begins anew, without records, at `base`: for a follower whose log lies wholly below what its leader still has.
    pub fn restart_at(&mut self, base: Offset, out: &mut Vec<DiskOp>) {
        if self.life != Life::Running {
            return;
        }
        self.create_files();
        self.begin_anew(base);
        self.pump(out);
        self.after_change();
    }

    /// Gives up all records and queues what makes the disk follow.
    pub(crate) fn begin_anew(&mut self, base: Offset) {
        let (mut delete, _) = self.queue.take_back(Offset::ZERO, self.written_bytes);
        delete.extend(
            self.segments.iter().filter(|segment| segment.may_exist).map(|segment| self.id_of(segment.base)),
        );
        let oldest = self.id_of(self.segments[0].base);
        // What was to be retired goes as well, before a new segment can have such a name.
        let in_hand = match self.queue.errand {
            Some((_, Errand::Retire { count })) => count,
            _ => 0,
        };
        delete.extend(self.leftovers.named.split_off(in_hand).into_iter().map(|base| self.id_of(base)));
        // Of the new one's name there may be a snapshot, left by a crash or a cut.
        delete.push(self.id_of(base));
        delete.retain(|segment| *segment != oldest);
        delete.sort_unstable();
        delete.dedup();
        self.cut_through_pass(Offset::ZERO);
        self.cut_copies(Offset::ZERO);
        self.cut_through_scrub(Offset::ZERO);
        self.segments = vec![Segment { version: self.version, ..Segment::new(base) }];
        self.active_mut().may_exist = true;
        self.tail.clear();
        self.epochs_unsaved |= self.epochs.newest().is_some();
        self.epochs.clear();
        self.producers.clear();
        self.unconfirmed = Unconfirmed::default();
        self.quarantine_unsaved |= self.quarantine.retain(|_| false);
        (self.log_start, self.synced, self.written, self.end) = (base, base, base, base);
        (self.appended_bytes, self.written_bytes) = (self.synced_bytes, self.synced_bytes);
        (self.high_watermark, self.expired_below, self.clean_to) = (base, base, base);
        self.discard_notes_from(Offset::ZERO);
        if let Some(syncing) = &mut self.queue.syncing {
            (syncing.covers, syncing.appended_bytes) = (Offset::ZERO, 0);
        }
        let segment = self.id_of(base);
        self.queue.push_barrier(Barrier::Restart { segment, oldest, delete });
    }

    /// The topic was deleted: refuses everything from now on, and removes the files when what is under way has ended.
    pub fn delete(&mut self, out: &mut Vec<DiskOp>) {
        if self.life == Life::Deleted {
            return;
        }
        self.life = Life::Deleted;
        self.queue.abandon();
        self.tail.clear();
        self.queue.push_barrier(Barrier::Delete);
        self.pump(out);
    }

    /// Takes back everything from `to` on in all that is kept of the log, and queues the cut of the files.
    pub(crate) fn take_back_from(&mut self, to: Offset, keep_epoch: bool) {
        let written_before = self.written;
        let to = self.cut_through_pass(to);
        self.cut_through_scrub(to);
        if self.cut_leaves_nothing(to) {
            // A segment is named by its first offset: one that goes on elsewhere would be taken for damaged by the next start.
            return self.begin_anew(self.log_start);
        }
        let to = self.forget_batches(to);
        self.cut_copies(to);
        let (mut delete, touched) = self.queue.take_back(to, self.appended_bytes);
        while 1 < self.segments.len()
            && (to < self.active().base || (to == self.active().base && !self.active().may_exist))
        {
            if let Some(segment) = self.segments.pop()
                && segment.may_exist
            {
                delete.push(self.id_of(segment.base));
            }
        }
        self.reopen_last();

        self.end = to;
        self.quarantine_unsaved |= self.quarantine.retain(|range| range.from < to);
        // Deleted records do not come back, but half a batch cannot stay either.
        self.log_start = self.log_start.min(to);
        self.expired_below = self.expired_below.min(self.log_start);
        self.discard_notes_from(to);
        self.clean_to = self.clean_to.min(to);
        self.epochs_unsaved |= self.epochs.cut(to, !keep_epoch);
        if to < self.written {
            (self.written, self.written_bytes) = (to, self.appended_bytes);
        }
        if to < self.synced {
            (self.synced, self.synced_bytes) = (to, self.appended_bytes);
        }
        if let Some(syncing) = self.queue.syncing.as_mut().filter(|syncing| to < syncing.covers) {
            (syncing.covers, syncing.appended_bytes) = (to, self.appended_bytes);
        }
        if !touched && written_before <= to && delete.is_empty() {
            return; // None of it had been handed out.
        }
        let active = self.active();
        if !active.may_exist {
            return; // Nothing was ever made.
        }
        delete.sort_unstable();
        delete.dedup();
        delete.retain(|segment: &SegmentId| active.base < segment.base);
        self.queue.push_barrier(Barrier::Truncate {
            segment: self.id_of(active.base),
            size: active.size,
            delete,
            end: to,
        });
    }

    /// The log starts within a segment, and of that one no batch is known where it may be cut. Or what there was below is missing anyway.
    fn cut_leaves_nothing(&self, to: Offset) -> bool {
        if to < self.segments[0].base {
            return true;
        }
        let segment = &self.segments[self.segment_at(to)];
        let cut_point = segment.index.as_ref().and_then(|index| index.cut_point(segment.base, to));
        self.tail.start().is_none_or(|start| to < start)
            && segment.base < self.log_start
            && cut_point.is_none_or(|point| point.end < self.log_start)
    }

    /// Makes the last segment one that grows, whatever it was before. Its index file, if there is one, goes on with batches that are gone.
    pub(crate) fn reopen_last(&mut self) {
        let last = self.active_mut();
        debug_assert!(last.index.is_some() || last.size == 0, "of {last:?} no index is in memory");
        last.index.get_or_insert_with(Index::default);
        (last.index_file_entry_count, last.time_file_entry_count) = (0, 0);
        last.sealed = false;
    }

    /// The roll to a segment at `base` found the disk full: the segment before it goes on.
    pub(crate) fn unroll(&mut self, base: Offset) {
        if 1 < self.segments.len() && self.active().base == base && self.active().size == 0 {
            self.segments.pop();
            self.reopen_last();
            let (segment, size) = (self.id_of(self.active().base), self.active().size);
            self.queue.push_barrier(Barrier::Truncate {
                segment,
                size,
                delete: vec![self.id_of(base)],
                end: base,
            });
        }
    }

    /// Undoes batch by batch what the appends from `to` on did to sizes, indexes and producers. Gives the end: the base of a batch.
    fn forget_batches(&mut self, to: Offset) -> Offset {
        let mut end = self.end;
        while let Some(batch) = self.tail.last().filter(|batch| to < batch.end) {
            end = batch.base;
            let Some(batch) = self.tail.pop() else { break };
            self.appended_bytes -= u64::from(batch.size);
            if let Some(first) = self.producers.undo(batch.undo) {
                self.unconfirmed.take_back(first);
            }
            let at = self.segment_at(batch.base);
            let segment = &mut self.segments[at];
            segment.aborted.cut(batch.base);
            segment.size = batch.position;
            segment.largest = batch.largest_before;
            if let Some(index) = &mut segment.index {
                index.cut(batch.position);
            }
        }
        if end <= to {
            return end;
        }
        self.forget_unlisted_batches(to)
    }

    /// Below the batches that are listed: cuts at a place that is known, at or below `to`.
    fn forget_unlisted_batches(&mut self, to: Offset) -> Offset {
        let ended = self.known_ended();
        let at = self.segment_at(to);
        let segment = &mut self.segments[at];
        let base = segment.base;
        let cut_point = segment.index.as_ref().and_then(|index| index.cut_point(base, to));
        let start = CutPoint { end: base, position: 0, largest: Largest::NONE };
        let CutPoint { end, position, largest } =
            cut_point.filter(|point| self.log_start <= point.end).unwrap_or(start);
        let before: u64 = self.segments[at..].iter().map(|segment| u64::from(segment.size)).sum();
        let segment = &mut self.segments[at];
        (segment.size, segment.largest) = (position, largest);
        segment.aborted.cut(end);
        if let Some(index) = &mut segment.index {
            index.cut(position);
        }
        // Compaction may have made a batch larger than it was when it was counted.
        let kept_bytes = if to < self.synced { 0 } else { self.synced_bytes };
        let gone_bytes = before.saturating_sub(position.into());
        self.appended_bytes = self.appended_bytes.saturating_sub(gone_bytes).max(kept_bytes);
        self.producers.cut(end, ended.into_iter());
        self.unconfirmed.cut(end);
        self.tail.clear();
        end
    }
}
