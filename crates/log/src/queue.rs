//! The order of one log's disk operations.
//!
//! ```text
//!   handed out:  write write write   and at most one sync and one errand beside them, all ending in any order
//!   waiting:     | roll | write write | cut | write
//!                  a barrier starts when nothing is handed out; nothing behind it starts before it has ended
//! ```

use std::collections::VecDeque;

use bytes::Bytes;
use klamm_model::{Offset, TopicId};

use crate::compact::{Rewritten, Source};
use crate::disk::{DiskAction, LogDir, OpId, Prefix, SegmentId};
use crate::notes::Notes;

/// Bytes and the place they go to.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) segment: SegmentId,
    pub(crate) position: u32,
    pub(crate) prefix: Option<Prefix>,
    pub(crate) body: Bytes,
    pub(crate) base: Offset,
    pub(crate) end: Offset,
    /// Bytes of the whole log with it.
    pub(crate) appended_bytes: u64,
}

/// A write that was handed out.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) id: OpId,
    pub(crate) base: Offset,
    pub(crate) end: Offset,
    pub(crate) size: u64,
    pub(crate) appended_bytes: u64,
    pub(crate) finished: bool,
    /// It was taken back: how it ends moves nothing.
    pub(crate) lost: bool,
}

/// Something that overlaps with nothing.
#[derive(Debug)]
pub(crate) enum Barrier {
    Create {
        directory: String,
        topic: TopicId,
        base: Offset,
    },
    /// The segment ends; another begins at `next`.
    Roll {
        old: SegmentId,
        size: u32,
        index: Bytes,
        times: Bytes,
        aborted: Bytes,
        next: SegmentId,
        producers: Bytes,
    },
    Truncate {
        segment: SegmentId,
        size: u32,
        delete: Vec<SegmentId>,
        end: Offset,
    },
    /// The log begins anew at `segment`. Of what there was, `oldest` goes last, and everything in `delete` before.
    Restart {
        segment: SegmentId,
        delete: Vec<SegmentId>,
        oldest: SegmentId,
    },
    /// What compaction made of these segments takes their place.
    Swap {
        sources: Vec<Source>,
        rewritten: Box<Rewritten>,
    },
    /// The log goes on in another data directory.
    Move {
        to: LogDir,
    },
    /// Rewrites what recovery found missing.
    Repair {
        actions: Vec<DiskAction>,
    },
    Delete,
}

/// A barrier that has begun: what is still to be done, the current one first.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) barrier: Barrier,
    pub(crate) actions: VecDeque<DiskAction>,
    /// The one handed out; `None` while there is no room on the disk.
    pub(crate) op: Option<OpId>,
}

#[derive(Debug)]
pub(crate) enum Step {
    Write(Write),
    Barrier(Box<Barrier>),
}

impl Barrier {
    /// What compaction, a scrub or a move reads has to stay where it is until that has ended.
    pub(crate) fn takes_files_away(&self) -> bool {
        matches!(self, Self::Delete | Self::Move { .. })
    }

    /// The segments that others are to take the place of.
    pub(crate) fn swapped(&self) -> Option<&[Source]> {
        match self {
            Self::Swap { sources, .. } => Some(sources),
            _ => None,
        }
    }
}

impl Step {
    pub(crate) fn is_swap(&self) -> bool {
        matches!(self, Self::Barrier(barrier) if barrier.swapped().is_some())
    }
}

/// A sync that was handed out, and what it covers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Syncing {
    pub(crate) id: OpId,
    pub(crate) covers: Offset,
    pub(crate) appended_bytes: u64,
}

/// Work beside the writes: it touches nothing that they do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Errand {
    /// The file with the epochs.
    Epochs,
    /// The file with what is damaged.
    Quarantine,
    /// The file with the durable point and this log start.
    DurablePoint { log_start: Offset, clean_to: Offset },
    /// Notes on the growing segment. `void`: what they are about was taken back since.
    Note { notes: Notes, void: bool },
    /// Segments get names that no start takes for a log's.
    Retire { count: usize },
    /// Files of so many retired segments go, and of so many snapshots.
    Remove { count: usize, snapshot_count: usize },
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    last_id: u64,
    pub(crate) running: VecDeque<Running>,
    pub(crate) syncing: Option<Syncing>,
    pub(crate) errand: Option<(OpId, Errand)>,
    pub(crate) started: Option<Box<Started>>,
    pub(crate) waiting: VecDeque<Step>,
    /// Bytes of writes that wait or are handed out.
    pub(crate) bytes: u64,
}

impl Queue {
    pub(crate) fn next_id(&mut self) -> OpId {
        self.last_id += 1;
        OpId(self.last_id)
    }

    /// Nothing is handed out.
    pub(crate) fn is_drained(&self) -> bool {
        self.running.is_empty() && self.syncing.is_none() && self.errand.is_none() && self.started.is_none()
    }

    /// Nothing keeps what comes next from being handed out at once.
    pub(crate) fn is_open(&self) -> bool {
        self.started.is_none() && self.waiting.is_empty()
    }

    pub(crate) fn push_barrier(&mut self, barrier: Barrier) {
        self.waiting.push_back(Step::Barrier(Box::new(barrier)));
    }

    /// Takes back every write from `to` on, every roll there or later, and cuts to a later offset. `appended_bytes` is what the log has before
    /// `to`. Gives the segments that those cuts had to remove, and whether anything of it may be on the disk.
    pub(crate) fn take_back(&mut self, to: Offset, appended_bytes: u64) -> (Vec<SegmentId>, bool) {
        let mut touched = false;
        for running in self.running.iter_mut().filter(|running| to < running.end) {
            touched = true;
            if running.base < to {
                // A follower's run of batches, of which the first ones stay.
                running.end = to;
                running.appended_bytes = appended_bytes;
            } else {
                running.lost = true;
            }
        }
        let mut deleted = Vec::new();
        let mut bytes = 0;
        self.waiting.retain_mut(|step| match step {
            Step::Write(write) if to < write.end => {
                let dropped =
                    (write.appended_bytes.saturating_sub(appended_bytes)).min(write.body.len() as u64);
                let kept = write.body.len() - usize::try_from(dropped).unwrap_or(usize::MAX);
                bytes += dropped;
                write.body.truncate(kept);
                write.end = to;
                write.appended_bytes = appended_bytes;
                write.base < to
            }
            Step::Barrier(barrier) => match barrier.as_mut() {
                Barrier::Roll { next, .. } => next.base < to,
                Barrier::Truncate { delete, end, .. } if to <= *end => {
                    touched = true;
                    deleted.append(delete);
                    false
                }
                _ => true,
            },
            Step::Write(_) => true,
        });
        self.bytes -= bytes;
        (deleted, touched)
    }

    /// Drops everything that was not handed out, and lets what was move nothing.
    pub(crate) fn abandon(&mut self) {
        for running in &mut self.running {
            running.lost = true;
        }
        for step in self.waiting.drain(..) {
            if let Step::Write(write) = step {
                self.bytes -= write.body.len() as u64;
            }
        }
        if let Some(started) = &mut self.started {
            started.actions.truncate(1);
            if started.op.is_none() {
                self.started = None;
            }
        }
    }
}
