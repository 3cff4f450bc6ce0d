//! One partition that is read.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use klamm_model::{Batches, Offset, Tail, Tick};

use super::config::{OutOfRange, Start};
use super::error::Cause;
use crate::call::CallId;

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    pub(super) position: Position,
    pub(super) call: Option<CallId>,
    pub(super) not_before: Tick,
    pub(super) failures: u32,
    pub(super) unknown_since: Option<Tick>,
    pub(super) waiting: VecDeque<Bytes>,
    pub(super) waiting_bytes: usize,
    /// Where the next record handed out will be at the earliest.
    pub(super) handed_to: Offset,
    pub(super) high_watermark: Option<Offset>,
    pub(super) has_reached_end: bool,
    pub(super) is_stopped: bool,
    pub(super) out_of_range: OutOfRange,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Position {
    Find(Start),
    At(Offset),
}

impl Slot {
    pub(super) fn begin_at(&mut self, found: Option<Offset>) {
        let Position::Find(start) = self.position else { return };
        let Some(found) = found else {
            // No record is that young.
            self.position = Position::Find(Start::Latest);
            return;
        };
        let offset = match start {
            Start::Last(count) => {
                // The log may begin later than that; then the beginning is meant.
                self.out_of_range = OutOfRange::Earliest;
                let back = i64::try_from(count).unwrap_or(i64::MAX);
                Offset::from_wire(found.raw().saturating_sub(back)).unwrap_or(Offset::ZERO)
            }
            Start::Earliest | Start::Latest | Start::At(_) | Start::Since(_) => found,
        };
        if matches!(start, Start::Latest | Start::Last(_)) {
            self.high_watermark = Some(found);
        }
        self.position = Position::At(offset);
        self.handed_to = offset;
        self.failures = 0;
        self.note_end();
    }

    /// Takes the whole batches of an answer. A batch that the end of the answer cuts off comes again with the next.
    pub(super) fn queue(&mut self, run: &Bytes, waiting_bytes: &mut usize) -> Option<Cause> {
        let Position::At(mut position) = self.position else { return None };
        for batch in Batches::new(run, Tail::MayBeTruncated) {
            let view = match batch {
                Ok(view) => view,
                Err(problem) => return Some(Cause::Damaged { at: position, problem }),
            };
            // The broker begins with the batch that holds the offset, which may lie before it.
            if view.next_offset() <= position {
                continue;
            }
            position = view.next_offset();
            if view.header().attributes.is_control() {
                continue;
            }
            let bytes = run.slice_ref(view.bytes());
            self.waiting_bytes += bytes.len();
            *waiting_bytes += bytes.len();
            self.waiting.push_back(bytes);
        }
        self.position = Position::At(position);
        if self.waiting.is_empty() {
            self.handed_to = position;
        }
        None
    }

    pub(super) fn note_end(&mut self) {
        if let (Position::At(position), Some(end)) = (self.position, self.high_watermark) {
            self.has_reached_end |= self.waiting.is_empty() && end <= position;
        }
    }
}
