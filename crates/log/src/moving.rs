//! A log on its way to another data directory (`AlterReplicaLogDirs`).
//!
//! ```text
//!   copy closed segments, one after the other → end the growing one while it is large → barrier: copy the rest, then switch
//! ```
//! Copies are made beside everything else, in a directory of their own, which a start throws away. The barrier makes the copy whole; the switch says so on disk, and
//! only then the copy takes the place of what was copied: from there on a start finishes what a crash interrupted. Whatever takes records of a copied
//! segment back (a cut) makes its copy void; compaction waits.

use klamm_model::Offset;

use crate::compact::Source;
use crate::disk::{DiskAction, DiskOp, LogDir, Move, MoveStep, OpId};
use crate::log::{Life, Log};
use crate::queue::Barrier;

/// A growing segment that is larger ends first, so that appends wait for little.
const REST_BYTES_MAX: u32 = 16 << 20;
/// How often, at most: records may come faster than they are copied.
const ROLLS_MAX: u32 = 8;

/// A move that is under way.
#[derive(Debug)]
pub(crate) struct Moving {
    to: LogDir,
    /// The part that was handed out, if it is not the barrier.
    op: Option<OpId>,
    /// The segment that is being copied, and whether it is still what it was when that began.
    copying: Option<(Source, bool)>,
    /// In the order of their offsets, without a gap but for what retention took.
    copied: Vec<Source>,
    began: bool,
    rolls: u32,
    /// The barrier is queued, or has begun.
    is_switching: bool,
    /// It is not wanted any more; only the copy has to go.
    is_over: bool,
    is_clearing: bool,
}

impl Log {
    /// Takes the log to another data directory, by and by; it is read and written meanwhile. Changes nothing on a log that is on its way already.
    pub fn move_to(&mut self, to: LogDir, out: &mut Vec<DiskOp>) {
        if self.life == Life::Running && self.moving.is_none() && to != self.log_dir {
            self.moving = Some(Box::new(Moving {
                to,
                op: None,
                copying: None,
                copied: Vec::new(),
                began: false,
                rolls: 0,
                is_switching: false,
                is_over: false,
                is_clearing: false,
            }));
            self.pump(out);
        }
    }

    /// The log stays where it is, unless it is too late for that.
    pub fn call_off_move(&mut self, out: &mut Vec<DiskOp>) {
        if let Some(moving) = self.moving.as_mut().filter(|moving| !moving.is_switching) {
            moving.is_over = true;
            self.pump(out);
        }
    }

    /// The data directory that the log is on its way to.
    pub fn moving_to(&self) -> Option<LogDir> {
        self.moving.as_ref().filter(|moving| !moving.is_over).map(|moving| moving.to)
    }

    /// Whether a move is under way, or what one left is being removed.
    pub fn is_moving(&self) -> bool {
        self.moving.as_ref().is_some_and(|moving| self.life == Life::Running || moving.op.is_some())
    }

    /// How much of the log is copied: its bytes, and where it ends.
    pub fn copied(&self) -> (u64, Offset) {
        let copied = || self.moving.iter().flat_map(|moving| &moving.copied);
        let end = copied().map(|source| source.end).max().unwrap_or(self.log_start);
        (copied().map(|source| u64::from(source.size)).sum(), end)
    }

    /// Whether a part of a move reads the log's files at the moment.
    pub(crate) fn move_is_copying(&self) -> bool {
        self.moving.as_ref().is_some_and(|moving| moving.op.is_some())
    }

    /// Whether this is the part of a move that is under way.
    pub(crate) fn is_of_move(&self, op: OpId) -> bool {
        self.moving.as_ref().is_some_and(|moving| moving.op == Some(op))
    }

    /// A part of the move has ended.
    pub(crate) fn move_went_on(&mut self, went_well: bool) {
        let Some(mut moving) = self.moving.take() else { return };
        moving.op = None;
        if self.life != Life::Running || moving.is_clearing {
            // What could not be removed of a copy goes at the next start.
            return;
        }
        match moving.copying.take() {
            // It was cut, or left the log as one that is too old: whatever came of its copy.
            Some((source, is_good)) if !is_good || !self.has_segment(&source) => {}
            Some((source, _)) if went_well => moving.copied.push(source),
            copying => moving.is_over |= copying.is_some() || !went_well,
        }
        self.moving = Some(moving);
    }

    /// Hands out what comes next. Called whenever something has ended.
    pub(crate) fn move_on(&mut self, out: &mut Vec<DiskOp>) {
        let Some(moving) = &self.moving else { return };
        if moving.op.is_some() || moving.is_switching || self.pass.is_some() || self.is_stopping {
            return;
        }
        if moving.is_over || !moving.began {
            // Of an earlier move something may be left.
            self.hand_out_move(MoveStep::Clear, None, out);
        } else if let Some(source) = self.next_to_copy() {
            let Source { segment, size, .. } = source;
            self.hand_out_move(MoveStep::Copy { segment, size }, Some(source), out);
        } else {
            self.end_copying();
        }
    }

    fn hand_out_move(&mut self, step: MoveStep, copying: Option<Source>, out: &mut Vec<DiskOp>) {
        let id = self.queue.next_id();
        let Some(moving) = &mut self.moving else { return };
        (moving.op, moving.copying, moving.began) = (Some(id), copying.map(|source| (source, true)), true);
        moving.is_clearing = moving.is_over;
        let action = DiskAction::Move(Box::new(Move { to: moving.to, step }));
        out.push(DiskOp { partition: self.partition, id, action });
    }

    /// The oldest closed segment of which there is no copy.
    fn next_to_copy(&self) -> Option<Source> {
        let copied_to = self.moving.as_ref()?.copied.last().map_or(Offset::ZERO, |last| last.end);
        let first = self.segments.partition_point(|segment| segment.base < copied_to);
        (first..self.segments.len() - 1).find(|at| self.segments[*at].sealed).map(|at| self.source(at))
    }

    fn has_segment(&self, source: &Source) -> bool {
        let at = self.segments.binary_search_by_key(&source.segment.id.base, |segment| segment.base);
        at.is_ok_and(|at| self.source(at) == *source)
    }

    /// All closed segments are copied. What is left is copied while nothing is written.
    fn end_copying(&mut self) {
        let size = self.active().size;
        let Some(moving) = &mut self.moving else { return };
        if REST_BYTES_MAX < size && moving.rolls < ROLLS_MAX {
            moving.rolls += 1;
            return self.roll();
        }
        moving.is_switching = true;
        let to = moving.to;
        self.queue.push_barrier(Barrier::Move { to });
    }

    /// The barrier has its turn: what it consists of.
    pub(crate) fn move_actions(&self, to: LogDir) -> Vec<DiskAction> {
        let Some(moving) = self.moving.as_ref().filter(|moving| !moving.is_over) else { return Vec::new() };
        let closed = moving.copied.iter().filter(|source| source.segment.id.base < self.active().base);
        let copied = closed.filter(|source| self.has_segment(source)).map(|it| it.segment.id).collect();
        let steps = [MoveStep::Finish { copied }, MoveStep::Switch];
        steps.map(|step| DiskAction::Move(Box::new(Move { to, step }))).into()
    }

    /// The copy has taken the log's place.
    pub(crate) fn moved(&mut self, to: LogDir) {
        self.moving = None;
        self.log_dir = to;
    }

    /// The copy could not be made whole.
    pub(crate) fn move_failed(&mut self) {
        if let Some(moving) = &mut self.moving {
            (moving.is_over, moving.is_switching) = (true, false);
        }
    }

    /// Records are taken back from `to` on: copies of segments that had them are void.
    pub(crate) fn cut_copies(&mut self, to: Offset) {
        if let Some(moving) = &mut self.moving {
            moving.copied.retain(|source| source.end <= to);
            if let Some((source, is_good)) = &mut moving.copying {
                *is_good &= source.end <= to;
            }
        }
    }
}
