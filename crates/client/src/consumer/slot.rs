//! One partition that is read.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use klamm_model::{Batches, BrokerId, LeaderEpoch, Offset, Tail, Tick, Timestamp, TopicId};

use super::aborted::Aborted;
use super::config::{OutOfRange, Start};
use super::error::Cause;
use super::reset::Reset;
use crate::backoff::HURRIES_MAX;
use crate::call::CallId;
use crate::trouble::Failing;

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) topic: Arc<str>,
    /// Which topic of that name is read; zero until a broker has told it.
    pub(super) topic_id: TopicId,
    pub(super) partition: i32,
    pub(super) position: Position,
    pub(super) call: Option<CallId>,
    /// The broker of that call, or of the last one.
    pub(super) asked: Option<BrokerId>,
    /// It was asked as one that the leader had named, whoever leads by now: it may lag.
    pub(super) asked_nearby: bool,
    pub(super) not_before: Tick,
    pub(super) failing: Option<Failing<Cause>>,
    /// The broker that was asked in vain the last time, if any could be asked.
    pub(super) failed_at: Option<BrokerId>,
    /// How often it was asked for again at once since it was read.
    pub(super) hurries: u32,
    pub(super) unknown_since: Option<Tick>,
    pub(super) waiting: VecDeque<Bytes>,
    pub(super) waiting_bytes: usize,
    /// Where the next record handed out will be at the earliest.
    pub(super) handed_to: Offset,
    /// The leader's epoch in which the records before that were written, as far as is known.
    pub(super) handed_epoch: Option<LeaderEpoch>,
    /// The same of what is before the last batch that was handed out.
    pub(super) epoch_before: Option<LeaderEpoch>,
    pub(super) was_handed_out: bool,
    pub(super) high_watermark: Option<Offset>,
    pub(super) has_reached_end: bool,
    pub(super) is_stopped: bool,
    pub(super) is_paused: bool,
    /// The replica that the leader wants us to read from, and until when.
    pub(super) nearest: Option<(BrokerId, Tick)>,
    /// The leader's epoch in which what is before the position was written; `None` until something was read.
    pub(super) read_epoch: Option<LeaderEpoch>,
    /// There is a new leader since then: its log may have something else before the position.
    pub(super) must_validate: bool,
    pub(super) out_of_range: OutOfRange,
    /// The position was counted from the end: where the log begins later, its beginning is what was asked for.
    pub(super) is_counted_back: bool,
    /// Why the place that is looked for is not the one that was to be read next.
    pub(super) lost: Option<Cause>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Position {
    /// The group has to say where it has come to.
    Awaited,
    Find(Start),
    /// The end was learnt; now the first record of that time or later is looked for. What is appended between the two questions is either found or
    /// lies behind that end: asked the other way round, records of that time would be passed over.
    FindSince {
        moment: Timestamp,
        end: Offset,
    },
    At(Offset),
}

impl Slot {
    pub(super) fn new(topic: Arc<str>, partition: i32, start: Start, out_of_range: OutOfRange) -> Self {
        let (position, handed_to) = match start {
            Start::At(offset) => (Position::At(offset), offset),
            Start::Earliest | Start::Latest | Start::Last(_) | Start::Since(_) => {
                (Position::Find(start), Offset::ZERO)
            }
        };
        Self {
            topic,
            topic_id: TopicId::ZERO,
            partition,
            position,
            call: None,
            asked: None,
            asked_nearby: false,
            not_before: Tick(0),
            failing: None,
            failed_at: None,
            hurries: 0,
            unknown_since: None,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            handed_to,
            handed_epoch: None,
            epoch_before: None,
            was_handed_out: false,
            high_watermark: None,
            has_reached_end: false,
            is_stopped: false,
            is_paused: false,
            nearest: None,
            read_epoch: None,
            must_validate: false,
            out_of_range,
            is_counted_back: false,
            lost: None,
        }
    }

    pub(super) fn is(&self, topic: &str, partition: i32) -> bool {
        self.partition == partition && *self.topic == *topic
    }

    /// Whether a leader of this epoch may have all that was read: one from before its last record lacks it, and knows nothing of the leaders since
    /// (KIP-320). Who does not say an epoch (-1) is believed.
    pub(super) fn may_ask(&self, leader_epoch: i32) -> bool {
        leader_epoch < 0 || self.read_epoch.is_none_or(|read| read.0 <= leader_epoch)
    }

    /// Whether there is no need to wait though it could not be read, as there is news.
    pub(super) fn may_hurry(&mut self) -> bool {
        self.hurries = self.hurries.saturating_add(1);
        self.hurries <= HURRIES_MAX
    }

    pub(super) fn was_read(&mut self) {
        (self.failing, self.hurries) = (None, 0);
    }

    /// The place is looked for anew: what was learnt of the log so far may be of another leader's, or of another log.
    pub(super) fn find_anew(&mut self) {
        if let Position::FindSince { moment, .. } = self.position {
            self.position = Position::Find(Start::Since(moment));
        }
    }

    /// Takes what a broker found; `None` where no record is that young.
    pub(super) fn begin_at(&mut self, found: Option<Offset>) {
        let (offset, end) = match (self.position, found) {
            (Position::Find(Start::Since(moment)), Some(end)) => {
                self.position = Position::FindSince { moment, end };
                return;
            }
            (Position::Find(Start::Last(count)), Some(end)) => {
                // The log may begin later than that; then the beginning is meant.
                (self.out_of_range, self.is_counted_back) = (OutOfRange::Earliest, true);
                let back = i64::try_from(count).unwrap_or(i64::MAX);
                (Offset::from_wire(end.raw().saturating_sub(back)).unwrap_or(Offset::ZERO), Some(end))
            }
            (Position::Find(Start::Latest), Some(end)) | (Position::FindSince { end, .. }, None) => {
                (end, Some(end))
            }
            (Position::Find(_) | Position::FindSince { .. }, Some(found)) => (found, None),
            (Position::Find(_), None) | (Position::At(_) | Position::Awaited, _) => return,
        };
        self.high_watermark = end.or(self.high_watermark);
        self.position = Position::At(offset);
        self.handed_to = offset;
        (self.read_epoch, self.must_validate) = (None, false);
        self.note_end();
    }

    /// The place that was lost has been made good by another one: what there is to tell of that.
    pub(super) fn reset(&mut self) -> Option<Reset> {
        let Position::At(to) = self.position else { return None };
        let (topic, partition, cause) = (self.topic.clone(), self.partition, self.lost.take()?);
        Some(Reset { topic, partition, cause, to })
    }

    /// Takes the whole batches of an answer. A batch that the end of the answer cuts off comes again with the next.
    pub(super) fn queue(
        &mut self,
        run: &Bytes,
        mut aborted: Option<&mut Aborted>,
        waiting_bytes: &mut usize,
    ) -> Option<Cause> {
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
            let is_hidden = match aborted.as_mut().map_or(Ok(false), |aborted| aborted.hides(&view)) {
                Ok(is_hidden) => is_hidden,
                Err(problem) => return Some(Cause::Damaged { at: position, problem }),
            };
            position = view.next_offset();
            self.read_epoch = view.header().leader_epoch.or(self.read_epoch);
            if is_hidden || view.header().attributes.is_control() {
                continue;
            }
            let bytes = run.slice_ref(view.bytes());
            self.waiting_bytes += bytes.len();
            *waiting_bytes += bytes.len();
            self.waiting.push_back(bytes);
        }
        self.position = Position::At(position);
        if self.waiting.is_empty() {
            (self.handed_to, self.handed_epoch) = (position, self.read_epoch);
        }
        None
    }

    pub(super) fn note_end(&mut self) {
        if let (Position::At(position), Some(end)) = (self.position, self.high_watermark) {
            self.has_reached_end |= self.waiting.is_empty() && end <= position;
        }
    }
}
