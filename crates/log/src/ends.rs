//! What the end of a disk operation moves, and what may start then.

use bytes::Bytes;
use klamm_model::{Offset, Tick};

use crate::checkpoint;
use crate::config::Flush;
use crate::disk::{
    DAMAGED_RANGES, DURABLE_POINT, DiskAction, DiskError, DiskOp, Done, EPOCH_CHECKPOINT, MoveStep, OpId,
};
use crate::index;
use crate::log::{Life, Log, Progress};
use crate::notes::Notes;
use crate::queue::{Barrier, Errand, Started, Step};

/// How often the durable point is saved while it moves.
const DURABLE_POINT_INTERVAL_MS: u64 = 1000;

impl Log {
    /// An operation has ended. What may start now is added to `out`.
    ///
    /// # Panics
    /// If it is none of this log's operations under way.
    pub fn done(&mut self, op: OpId, result: Result<Done, DiskError>, out: &mut Vec<DiskOp>) -> Progress {
        let written_before = self.written;
        let mut progress = Progress::default();
        if self.is_of_pass(op) {
            progress.suspect = self.pass_went_on(result, out);
            self.pump(out);
            self.after_change();
            return progress;
        }
        if self.is_of_scrub(op) {
            progress.scrubbed = self.scrub_went_on(result);
            self.pump(out);
            self.after_change();
            return progress;
        }
        let result = result.map(|_| ());
        if self.is_of_move(op) {
            self.move_went_on(result.is_ok());
            self.pump(out);
            self.after_change();
            return progress;
        }
        progress.error = result.clone().err();
        if let Ok(at) = self.queue.running.binary_search_by_key(&op, |running| running.id) {
            self.write_ended(at, result, &mut progress);
        } else if self.queue.syncing.is_some_and(|syncing| syncing.id == op) {
            self.sync_ended(result, &mut progress);
        } else if self.queue.errand.is_some_and(|(id, _)| id == op) {
            self.errand_ended(result, &mut progress);
        } else {
            self.barrier_went_on(op, result, &mut progress, out);
        }
        if self.life == Life::Running && written_before < self.written {
            progress.written = Some(self.written);
        }
        self.pump(out);
        self.after_change();
        progress
    }

    fn write_ended(&mut self, at: usize, result: Result<(), DiskError>, progress: &mut Progress) {
        let running = &mut self.queue.running[at];
        assert!(!running.finished, "write {:?} of {} ended twice", running.id, self.partition);
        running.finished = true;
        self.queue.bytes -= running.size;
        let (base, lost) = (running.base, running.lost);
        match result {
            Ok(()) => {}
            Err(DiskError::Full) if lost => {}
            Err(DiskError::Full) => self.lose_from(base, progress),
            Err(error) => self.fail(error, base, progress),
        }
        while let Some(first) = self.queue.running.front().filter(|first| first.finished) {
            if !first.lost {
                self.written = first.end;
                self.written_bytes = first.appended_bytes;
            }
            self.queue.running.pop_front();
        }
    }

    fn errand_ended(&mut self, result: Result<(), DiskError>, progress: &mut Progress) {
        let Some((_, errand)) = self.queue.errand.take() else { return };
        match (errand, result) {
            (Errand::Retire { .. } | Errand::Remove { .. }, Err(DiskError::Full)) => {
                self.errands_pause = true
            }
            (Errand::Retire { .. } | Errand::Remove { .. }, _) => self.leftovers_cleared(errand),
            (Errand::DurablePoint { log_start, clean_to }, Ok(())) => {
                // They say the same, should this file be damaged.
                self.epochs_unsaved |= self.log_start_on_disk < log_start;
                (self.log_start_on_disk, self.clean_to_on_disk) = (log_start, clean_to);
            }
            (Errand::Epochs | Errand::Quarantine, Ok(())) => {}
            (Errand::Note { notes, void }, Ok(())) => self.noted(notes, void),
            // There will be others.
            (Errand::Note { .. }, Err(DiskError::Full)) => self.errands_pause = true,
            (Errand::Epochs, Err(DiskError::Full)) => {
                (self.epochs_unsaved, self.errands_pause) = (true, true)
            }
            (Errand::Quarantine, Err(DiskError::Full)) => {
                (self.quarantine_unsaved, self.errands_pause) = (true, true);
            }
            (Errand::DurablePoint { .. }, Err(DiskError::Full)) => {
                (self.notes_unsaved, self.durable_point_due, self.errands_pause) = (true, true, true);
            }
            (_, Err(error)) => self.fail(error, self.synced, progress),
        }
    }

    fn barrier_went_on(
        &mut self,
        op: OpId,
        result: Result<(), DiskError>,
        progress: &mut Progress,
        out: &mut Vec<DiskOp>,
    ) {
        let started = self.queue.started.take().filter(|started| started.op == Some(op));
        let Some(mut started) = started else { panic!("{op:?} of {} is not under way", self.partition) };
        started.op = None;
        if let Err(error) = result {
            return self.barrier_failed(started, error, progress);
        }
        let action = started.actions.pop_front();
        match (action, &started.barrier) {
            // All of the segment was written before; a cut may have taken back some of it since.
            (Some(DiskAction::Sync { .. }), Barrier::Roll { next, .. }) if next.base <= self.written => {
                self.synced_to(next.base, self.written_bytes, progress);
            }
            // Until the next one is there, this one may have to go on.
            (Some(DiskAction::CreateSegment { .. }), Barrier::Roll { old: segment, index, times, .. }) => {
                let entry_count = u32::try_from(index.len() / index::ENTRY_SIZE).unwrap_or(0);
                let time_entry_count = u32::try_from(times.len() / index::TIME_ENTRY_SIZE).unwrap_or(0);
                let last = self.active().base;
                if let Some(sealed) =
                    self.segments.iter_mut().find(|it| it.base == segment.base && it.base < last)
                {
                    sealed.index_file_entry_count = entry_count;
                    sealed.time_file_entry_count = time_entry_count;
                    sealed.sealed = true;
                }
                self.durable_point_due = true;
            }
            (Some(DiskAction::Truncate { .. }), Barrier::Truncate { end, .. }) => {
                // The cut brought the last segment to disk, and those before were there.
                self.synced_to(self.written, self.written_bytes, progress);
                progress.truncated = Some(*end);
            }
            (Some(DiskAction::Truncate { .. }), Barrier::Restart { segment, .. })
                if started.actions.is_empty() =>
            {
                progress.truncated = Some(segment.base);
            }
            (Some(DiskAction::WriteCheckpoint { name: DURABLE_POINT, contents }), _) => {
                let saved = std::str::from_utf8(&contents).ok().and_then(DurablePoint::from_text);
                self.log_start_on_disk = saved.map_or(self.log_start_on_disk, |saved| saved.log_start);
            }
            (Some(DiskAction::DeletePartition), _) => progress.deleted = true,
            (Some(DiskAction::Swap { .. }), Barrier::Swap { sources, rewritten }) => {
                self.swapped(sources, rewritten, out);
            }
            (Some(DiskAction::Move(it)), Barrier::Move { to }) if it.step == MoveStep::Switch => {
                self.moved(*to);
            }
            _ => {}
        }
        if !started.actions.is_empty() {
            self.hand_out_barrier(started, out);
        }
    }

    fn barrier_failed(&mut self, started: Box<Started>, error: DiskError, progress: &mut Progress) {
        if self.life != Life::Running && !matches!(started.barrier, Barrier::Delete) {
            return;
        }
        let at_sync = matches!(started.actions.front(), Some(DiskAction::Sync { .. }));
        let restarts = |step: &Step| matches!(step, Step::Barrier(barrier) if matches!(**barrier, Barrier::Restart { .. }));
        let is_undone = matches!(error, DiskError::Full | DiskError::NotTried(_) | DiskError::CalledOff);
        let only_moves = matches!(started.actions.front(), Some(DiskAction::Move(it)) if it.step != MoveStep::Switch || is_undone);
        match (&started.barrier, error) {
            // The log is as it was, and where it was.
            _ if only_moves => self.move_failed(),
            (_, error) if at_sync => self.fail(error, self.synced, progress),
            (Barrier::Create { directory, base, .. }, DiskError::Full)
                if !self.queue.waiting.iter().any(restarts) =>
            {
                self.to_create = Some(directory.clone());
                self.segments[0].may_exist = false;
                self.lose_from(*base, progress);
            }
            (Barrier::Roll { next, .. }, DiskError::Full) => {
                let next = next.base;
                let epochs_left = |action: &DiskAction| matches!(action, DiskAction::WriteCheckpoint { .. });
                self.epochs_unsaved |= started.actions.iter().any(epochs_left);
                // Unless it was taken back already.
                if self.segments.iter().skip(1).any(|segment| segment.base == next) {
                    self.lose_from(next, progress);
                    self.unroll(next);
                }
            }
            (_, DiskError::Full) => self.queue.started = Some(started),
            // Nobody waits for files that cannot be removed: what they are is said by the topic's id.
            (Barrier::Delete, _) => progress.deleted = true,
            (_, error) => self.fail(error, self.synced, progress),
        }
    }

    /// A write at `base` found the disk full: that and everything behind it is taken back, and the log goes on.
    fn lose_from(&mut self, base: Offset, progress: &mut Progress) {
        if self.life == Life::Running {
            self.take_back_from(base, true);
            progress.lost_from = Some(base);
        }
    }

    /// The end: nobody knows what is on the disk.
    pub(crate) fn fail(&mut self, error: DiskError, lost_from: Offset, progress: &mut Progress) {
        if self.life == Life::Running {
            self.life = Life::Failed;
            self.queue.abandon();
            self.end = lost_from.min(self.end);
            self.written = self.written.min(self.end);
            progress.lost_from = Some(self.end);
            progress.fatal = Some(error);
        }
    }

    /// The disk that it is on has failed, though none of its own operations has: what is not synced counts as lost.
    pub fn disk_failed(&mut self, error: DiskError) -> Progress {
        let mut progress = Progress::default();
        self.fail(error, self.synced, &mut progress);
        self.after_change();
        progress
    }

    /// Hands out what may start.
    pub(crate) fn pump(&mut self, out: &mut Vec<DiskOp>) {
        while self.queue.started.is_none() {
            match self.queue.waiting.front() {
                Some(Step::Write(_)) => {
                    if let Some(Step::Write(write)) = self.queue.waiting.pop_front() {
                        self.hand_out(write, out);
                    }
                }
                Some(Step::Barrier(barrier))
                    if self.queue.is_drained() && !(barrier.takes_files_away() && self.is_being_read()) =>
                {
                    if let Some(Step::Barrier(barrier)) = self.queue.waiting.pop_front() {
                        let actions = self.actions_of(&barrier);
                        self.hand_out_barrier(
                            Box::new(Started { barrier: *barrier, actions: actions.into(), op: None }),
                            out,
                        );
                    }
                }
                _ => break,
            }
        }
        if self.life == Life::Running && self.queue.is_open() && self.to_create.is_none() {
            self.drop_old_segments();
            self.sync_if_due(out);
            self.save_if_due(out);
            self.write_notes_if_due(out);
            self.clear_leftovers_if_due(out);
            self.move_on(out);
            if !self.queue.waiting.is_empty() {
                self.pump(out);
            }
        }
    }

    fn is_being_read(&self) -> bool {
        self.pass_is_reading() || self.scrub_is_reading() || self.move_is_copying()
    }

    fn hand_out_barrier(&mut self, mut started: Box<Started>, out: &mut Vec<DiskOp>) {
        if let Some(action) = started.actions.front().cloned() {
            let id = self.queue.next_id();
            started.op = Some(id);
            out.push(DiskOp { partition: self.partition, id, action });
            self.queue.started = Some(started);
        }
    }

    /// What a barrier consists of, now that everything before it has ended.
    fn actions_of(&mut self, barrier: &Barrier) -> Vec<DiskAction> {
        let mut actions = Vec::new();
        match barrier {
            Barrier::Create { directory, topic, base } => {
                actions.push(DiskAction::CreatePartition {
                    log_dir: self.log_dir,
                    directory: directory.clone(),
                    topic: *topic,
                    base: *base,
                });
            }
            Barrier::Roll { old, size, index, times, aborted, next, producers } => {
                if self.synced < next.base {
                    actions.push(DiskAction::Sync { segment: *old });
                }
                if self.epochs_unsaved {
                    // A start reads the epochs of closed segments from the file.
                    self.epochs_unsaved = false;
                    actions.push(self.epochs_checkpoint());
                }
                let (index, times) = (index.clone(), times.clone());
                let (aborted, producers) = (aborted.clone(), producers.clone());
                actions.push(DiskAction::Seal {
                    segment: *old,
                    size: *size,
                    index,
                    times,
                    aborted,
                    next: next.base,
                    producers,
                });
                actions.push(DiskAction::CreateSegment { segment: *next });
                if let Some(segment) = self.segments.iter_mut().find(|segment| segment.base == next.base) {
                    segment.may_exist = true;
                }
            }
            Barrier::Truncate { segment, size, delete, end } => {
                let floor = delete.last().unwrap_or(segment).base;
                self.lower_durable_point(*end, floor, &mut actions);
                actions.extend(self.quarantine_checkpoint_if_unsaved());
                actions.push(DiskAction::Truncate { segment: *segment, size: *size, delete: delete.clone() });
            }
            Barrier::Restart { segment, oldest, delete } => {
                // Whenever a crash comes, what is left is a log: the old one emptied, or the new one.
                let floor = delete.iter().chain([oldest]).fold(segment.base, |floor, it| floor.max(it.base));
                self.lower_durable_point(Offset::ZERO, floor, &mut actions);
                actions.extend(self.quarantine_checkpoint_if_unsaved());
                actions.push(DiskAction::Truncate { segment: *oldest, size: 0, delete: delete.clone() });
                if oldest != segment {
                    actions.push(DiskAction::CreateSegment { segment: *segment });
                    let delete = vec![*oldest];
                    actions.push(DiskAction::Truncate { segment: *segment, size: 0, delete });
                }
            }
            Barrier::Swap { sources, .. } => actions.extend(self.swap_action(sources)),
            Barrier::Move { to } => actions = self.move_actions(*to),
            Barrier::Repair { actions: repairs } => actions.clone_from(repairs),
            Barrier::Delete => actions.push(DiskAction::DeletePartition),
        }
        actions
    }

    /// A crash after a cut below the durable point would look like damage, and records after a cut below the log start would be taken for deleted
    /// ones. As long as the file does not exist, the base of the last segment, `floor`, counts as the durable point.
    fn lower_durable_point(&mut self, to: Offset, floor: Offset, actions: &mut Vec<DiskAction>) {
        let saved = if self.durable_point == Offset::ZERO { floor } else { self.durable_point };
        if to < saved || self.log_start < self.log_start_on_disk {
            self.durable_point = self.durable_point.min(to);
            self.log_start_on_disk = self.log_start_on_disk.min(self.log_start);
            self.clean_to_on_disk = self.clean_to;
            actions.push(self.durable_point_checkpoint(self.durable_point));
        }
    }

    fn save_if_due(&mut self, out: &mut Vec<DiskOp>) {
        if self.queue.errand.is_some() || self.errands_pause {
            return;
        }
        // The last one says all of it.
        self.durable_point_due |= self.is_stopping && self.written == self.synced;
        if self.epochs_unsaved {
            self.epochs_unsaved = false;
            self.hand_out_errand(Errand::Epochs, self.epochs_checkpoint(), out);
        } else if self.durable_point_due && self.durable_point_is_old() {
            (self.durable_point_due, self.durable_point_saved) = (false, self.now);
            self.durable_point = self.synced;
            let action = self.durable_point_checkpoint(self.synced);
            let Self { log_start, clean_to, .. } = *self;
            self.hand_out_errand(Errand::DurablePoint { log_start, clean_to }, action, out);
        } else if let Some(action) = self.quarantine_checkpoint_if_unsaved() {
            // What is good again is forgotten when it is on disk that compaction has to go through it.
            self.hand_out_errand(Errand::Quarantine, action, out);
        }
    }

    pub(crate) fn hand_out_errand(&mut self, errand: Errand, action: DiskAction, out: &mut Vec<DiskOp>) {
        let id = self.queue.next_id();
        self.queue.errand = Some((id, errand));
        out.push(DiskOp { partition: self.partition, id, action });
    }

    pub(crate) fn durable_point_is_old(&self) -> bool {
        self.durable_point < self.synced
            || self.log_start_on_disk != self.log_start
            || self.clean_to_on_disk != self.clean_to
            || self.notes_unsaved
    }

    /// The file that says how far the log is known to be on disk, what of that no cut goes below, where the log starts, which notes hold, and how
    /// far it is clean.
    fn durable_point_checkpoint(&mut self, point: Offset) -> DiskAction {
        self.notes_unsaved = false;
        let committed = self.high_watermark.min(point);
        let notes = self.notes.filter(|notes| notes.through <= committed);
        let through = notes.map_or(Offset::ZERO, |notes| notes.through);
        let aborted_count = self.active().aborted.entries().partition_point(|it| it.mark < through) as u32;
        let Self { log_start, clean_to, .. } = *self;
        let point = DurablePoint { point, committed, log_start, notes, aborted_count, clean_to };
        DiskAction::WriteCheckpoint { name: DURABLE_POINT, contents: point.to_text().into() }
    }

    fn epochs_checkpoint(&self) -> DiskAction {
        DiskAction::WriteCheckpoint { name: EPOCH_CHECKPOINT, contents: Bytes::from(self.epochs.to_text()) }
    }

    /// On disk before a cut is: what comes in the place of damaged records is good.
    fn quarantine_checkpoint_if_unsaved(&mut self) -> Option<DiskAction> {
        let is_unsaved = std::mem::take(&mut self.quarantine_unsaved);
        let contents = || Bytes::from(self.quarantine.to_text());
        is_unsaved.then(|| DiskAction::WriteCheckpoint { name: DAMAGED_RANGES, contents: contents() })
    }

    /// Time passed. Whoever owns the log calls this every so often, at least while [`wants_periodic`](Self::wants_periodic).
    pub fn periodic(&mut self, now: Tick, out: &mut Vec<DiskOp>) {
        self.now = now;
        if self.life == Life::Failed {
            return;
        }
        self.errands_pause = false;
        self.create_files();
        if self.queue.started.as_ref().is_some_and(|started| started.op.is_none())
            && let Some(stalled) = self.queue.started.take()
        {
            self.hand_out_barrier(stalled, out);
        }
        if self.life == Life::Deleted {
            return;
        }
        if let Flush::Relaxed { delay_ms_max, .. } = self.config.flush
            && self.queue.is_open()
            && self.queue.syncing.is_none()
            && self.synced < self.written
            && delay_ms_max <= now.ms_since(self.sync_started)
        {
            self.sync(out);
        }
        if self.durable_point_is_old() && DURABLE_POINT_INTERVAL_MS <= now.ms_since(self.durable_point_saved)
        {
            self.durable_point_due = true;
        }
        if self.synced == self.end {
            self.draft_notes_at_rest();
        }
        self.pump(out);
        if !self.wants_periodic() {
            self.rest();
        }
        self.after_change();
    }

    /// Whether [`periodic`](Self::periodic) may have something to do before anything else happens to this log.
    pub fn wants_periodic(&self) -> bool {
        let stalled = self.queue.started.as_ref().is_some_and(|started| started.op.is_none());
        let unsaved = self.durable_point_is_old() || self.epochs_unsaved;
        let unsaved = unsaved || (self.synced < self.written && self.config.flush != Flush::LAZY);
        let unsaved = unsaved || self.quarantine_unsaved;
        let unsaved = unsaved || self.to_create.is_some() || self.errands_pause || self.notes_are_due();
        let unsaved = unsaved || !self.leftovers.named.is_empty();
        match self.life {
            Life::Running => stalled || unsaved,
            Life::Failed => false,
            Life::Deleted => stalled,
        }
    }

    /// Gives back memory that only a busy log needs.
    fn rest(&mut self) {
        if self.high_watermark == self.end && self.queue.is_drained() && self.queue.waiting.is_empty() {
            self.tail.clear();
            self.forget_indexes();
            self.queue.running.shrink_to_fit();
            self.queue.waiting.shrink_to_fit();
            if let Some(index) = &mut self.active_mut().index {
                index.shrink();
            }
        }
    }
}

/// What the file with the durable point says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct DurablePoint {
    /// Everything below was on disk.
    pub(crate) point: Offset,
    /// Everything below was committed as far as this replica knew: a start lists the batches from here on, so that a cut can be exact.
    pub(crate) committed: Offset,
    /// Records below are deleted.
    pub(crate) log_start: Offset,
    /// The notes on the growing segment. Never above `committed`.
    pub(crate) notes: Option<Notes>,
    /// Aborted transactions whose marks they are on.
    pub(crate) aborted_count: u32,
    /// Each key is there once below, or newer.
    pub(crate) clean_to: Offset,
}

impl DurablePoint {
    pub(crate) fn to_text(self) -> String {
        let Self { point, committed, log_start, notes, aborted_count, clean_to } = self;
        let notes = notes.map_or_else(|| "-".to_owned(), Notes::to_line);
        let lines = format!("{point}\n{committed}\n{log_start}\n{notes}\n{clean_to}\n{aborted_count}\n");
        checkpoint::checked(&format!("3\n{lines}"))
    }

    /// Reads the file; `None` if it is damaged, or contradicts itself. Version 0 had no log start, version 1 knew nothing of compaction, and
    /// version 2 nothing of transactions.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let lines: Vec<&str> = checkpoint::body(text)?.lines().collect();
        let offset = |at: usize| Offset::from_wire(lines[at].parse().ok()?);
        let mut it = match lines[..] {
            ["0", _, _] | ["1", _, _, _, _] | ["2", _, _, _, _, _] | ["3", _, _, _, _, _, _] => {
                Self { point: offset(1)?, committed: offset(2)?, ..Self::default() }
            }
            _ => return None,
        };
        if let Some(notes) = lines.get(4) {
            it.log_start = offset(3)?;
            it.notes = Notes::from_line(notes);
        }
        if let Some(clean_to) = lines.get(5) {
            it.clean_to = Offset::from_wire(clean_to.parse().ok()?)?;
        }
        if let Some(aborted_count) = lines.get(6) {
            it.aborted_count = aborted_count.parse().ok()?;
        }
        let notes_hold = it.notes.is_none_or(|notes| notes.through <= it.committed);
        (it.committed <= it.point && notes_hold).then_some(it)
    }
}
