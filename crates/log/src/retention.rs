//! Old records go: by age and size, and below where somebody had them deleted.
//!
//! Whole segments, the oldest first, and nothing above the stable part of the log. A segment that still grows is closed first. On disk the new log
//! start is noted before anything else (`durable-point`); then the files are retired, that is renamed, and removed when those who read them had
//! the time to finish. So whatever a crash or a power failure leaves of the renames, a start knows what is below the log, and goes on with it.

use std::collections::VecDeque;

use klamm_model::{Offset, Tick, Timestamp};

use crate::config::Retention;
use crate::disk::{DiskAction, DiskOp, SegmentId};
use crate::log::{Life, Log};
use crate::queue::Errand;

/// Segments that are not part of the log any more, and whose files are still there. In rising order.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    /// Have their names still, or may have.
    pub(crate) named: Vec<Offset>,
    /// Are renamed, and go at that time.
    pub(crate) retired: VecDeque<(Tick, Offset)>,
    /// Snapshots that nobody needs, by the offsets they are named by.
    pub(crate) snapshots: Vec<Offset>,
}

impl Log {
    /// Looks for segments that are too old or too much, and producers that have been silent for too long, as Kafka does every
    /// `log.retention.check.interval.ms`. `wall` is compared with timestamps of records and decides nothing else.
    pub fn enforce_retention(&mut self, wall: Timestamp, out: &mut Vec<DiskOp>) {
        if self.life != Life::Running {
            return;
        }
        let expiration_ms = i64::try_from(self.config.producer_expiration_ms).unwrap_or(i64::MAX);
        let silent_since = Timestamp(wall.0.saturating_sub(expiration_ms));
        self.producers.expire(silent_since, self.high_watermark);
        let count = self.expired_count(wall);
        if let Some(last) = count.checked_sub(1) {
            self.expired_below = self.segment_end(last);
            if count == self.segments.len() {
                self.roll();
            }
        }
        self.pump(out);
        self.after_change();
    }

    /// How many of the oldest segments are to go.
    fn expired_count(&mut self, wall: Timestamp) -> usize {
        let Retention { age_ms_max, bytes_max } = self.config.retention;
        let mut excess = bytes_max.map_or(0, |max| self.size_bytes().saturating_sub(max));
        let mut count = 0;
        let stable = self.last_stable();
        for at in 0..self.segments.len() {
            let (end, grows) = (self.segment_end(at), at + 1 == self.segments.len());
            let segment = &mut self.segments[at];
            // A growing one without a byte cannot end, though records may be missing there that it is known to have had.
            if (grows && segment.size == 0) || stable < end {
                break;
            }
            let since = match segment.largest.timestamp {
                // Without timestamps, Kafka goes by when the file was changed: here, by when it was first seen closed.
                Timestamp(..0) if grows => wall,
                Timestamp(..0) => *segment.undated_since.get_or_insert(wall),
                largest => largest,
            };
            let age_ms = u64::try_from(wall.0.saturating_sub(since.0)).unwrap_or(0);
            let too_old = age_ms_max.is_some_and(|max| max < age_ms);
            let too_much = bytes_max.is_some() && u64::from(segment.size) <= excess;
            if !too_old && !too_much {
                break;
            }
            excess = excess.saturating_sub(segment.size.into());
            count += 1;
        }
        count
    }

    /// Records below are not there any more. Segments that lie wholly below go.
    ///
    /// The new start is on its way to disk when this returns. Until it is there no file goes, and a crash may bring the records back.
    ///
    /// # Panics
    /// If it is above what is written: whoever asks for it has to be refused before. It may be above what is synced; where a power failure takes that, a start
    /// begins anew there.
    pub fn advance_log_start(&mut self, to: Offset, out: &mut Vec<DiskOp>) {
        if self.life != Life::Running || to <= self.log_start {
            return;
        }
        let Self { partition, written, .. } = self;
        assert!(to <= *written, "log start {to} of {partition} is above what is written, {written}");
        self.move_log_start(to);
        self.pump(out);
        self.after_change();
    }

    fn move_log_start(&mut self, to: Offset) {
        self.log_start = to;
        // They are saved when the start is on disk: by that, a start knows what of them holds.
        self.epochs.cut_front(to);
        self.forget_damage_below();
        self.durable_point_due = true;
    }

    fn forget_damage_below(&mut self) {
        let (log_start, first) = (self.log_start, self.segments[0].base);
        self.quarantine_unsaved |= self.quarantine.retain(|range| range.is_part_of(log_start, first));
    }

    /// Takes closed segments out of the log that are below its start, or expired.
    pub(crate) fn drop_old_segments(&mut self) {
        let bound = self.expired_below.max(self.log_start);
        let closed = self.segments.len() - 1;
        let count =
            (0..closed).take_while(|at| self.segments[*at].sealed && self.segment_end(*at) <= bound).count();
        let Some(last) = count.checked_sub(1) else { return };
        let end = self.segment_end(last);
        if self.log_start < end {
            self.move_log_start(end);
        }
        self.leftovers.named.extend(self.segments.drain(..count).map(|segment| segment.base));
        self.segments.shrink_to(2);
        self.forget_damage_below();
    }

    /// Hands out what may be done with leftover files.
    pub(crate) fn clear_leftovers_if_due(&mut self, out: &mut Vec<DiskOp>) {
        if self.queue.errand.is_some() || self.errands_pause {
            return;
        }
        let due = self.leftovers.retired.iter().take_while(|(at, _)| *at <= self.now);
        let segments: Vec<_> = due.map(|(_, base)| self.id_of(*base)).collect();
        let snapshots = self.useless_snapshots();
        let (errand, action) = if !segments.is_empty() || !snapshots.is_empty() {
            let (count, snapshot_count) = (segments.len(), self.leftovers.snapshots.len());
            (Errand::Remove { count, snapshot_count }, DiskAction::Remove { segments, snapshots })
        } else if let Some(segments) = self.nameable() {
            (Errand::Retire { count: segments.len() }, DiskAction::Retire { segments })
        } else {
            return;
        };
        self.hand_out_errand(errand, action, out);
    }

    /// Snapshots named by no segment, nor by the notes on disk.
    fn useless_snapshots(&mut self) -> Vec<Offset> {
        if self.notes_unsaved || self.leftovers.snapshots.is_empty() {
            return Vec::new();
        }
        let noted = self.notes.map(|notes| notes.through);
        let segments = &self.segments;
        let is_used = |at: &Offset| {
            noted == Some(*at) || segments.binary_search_by_key(at, |segment| segment.base).is_ok()
        };
        self.leftovers.snapshots.retain(|at| !is_used(at));
        self.leftovers.snapshots.clone()
    }

    /// Leftovers that a start would not take for part of the log any more.
    fn nameable(&self) -> Option<Vec<SegmentId>> {
        let is_known = self.segments[0].base <= self.log_start_on_disk;
        (is_known && !self.leftovers.named.is_empty())
            .then(|| self.leftovers.named.iter().map(|base| self.id_of(*base)).collect())
    }

    /// What could not be renamed or removed is found by the next start, which goes on with it.
    pub(crate) fn leftovers_cleared(&mut self, errand: Errand) {
        match errand {
            Errand::Retire { count } => {
                let at = self.now.after_ms(self.config.file_delete_delay_ms);
                self.leftovers.retired.extend(self.leftovers.named.drain(..count).map(|base| (at, base)));
            }
            Errand::Remove { count, snapshot_count } => {
                self.leftovers.retired.drain(..count);
                self.leftovers.snapshots.drain(..snapshot_count);
                self.leftovers.retired.shrink_to_fit();
                self.leftovers.snapshots.shrink_to_fit();
            }
            Errand::Epochs | Errand::Quarantine | Errand::DurablePoint { .. } | Errand::Note { .. } => {}
        }
    }

    /// When [`periodic`](Self::periodic) has files to remove, at the earliest; `None` also while other work is under way that comes first.
    pub fn next_removal(&self) -> Option<Tick> {
        let is_free = self.life == Life::Running && self.queue.is_open() && self.to_create.is_none();
        let is_free = is_free && self.queue.errand.is_none() && !self.errands_pause;
        self.leftovers.retired.front().map(|(at, _)| *at).filter(|_| is_free)
    }
}
