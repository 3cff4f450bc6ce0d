//! Waiting for a record to be written.
//!
//! All records of a batch share one slot, so that a future per record costs no memory of its own but the count of who holds the slot.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use klamm_model::{Offset, Timestamp};
use parking_lot::Mutex;

use super::effect::Written;
use super::error::SendError;

/// Where a record is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivered {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The record's offset. `None` without acks, and in the rare case that the broker only remembers having it.
    pub offset: Option<Offset>,
    /// The record's timestamp: its own, or the broker's on topics that want that.
    pub timestamp: Timestamp,
}

/// What became of a batch, for all who sent records in it; of one part after the other, if it was cut on its way.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    state: Mutex<SlotState>,
}

#[derive(Debug, Default)]
struct SlotState {
    parts: Vec<Part>,
    wakers: Vec<Waker>,
}

#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) places: Range<u32>,
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    pub(crate) outcome: Result<Written, SendError>,
}

impl Slot {
    pub(crate) fn settle(&self, part: Part) {
        let wakers = {
            let mut state = self.state.lock();
            state.parts.push(part);
            std::mem::take(&mut state.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// A record on its way. Awaiting it tells where it was written; dropping it changes nothing for the record.
#[derive(Debug)]
#[must_use = "without awaiting it nobody learns whether the record was written; `post` says that on purpose"]
pub struct Delivery {
    pub(crate) slot: Arc<Slot>,
    pub(crate) place: u32,
    pub(crate) timestamp: Timestamp,
}

impl Future for Delivery {
    type Output = Result<Delivered, SendError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.slot.state.lock();
        let Some(part) = state.parts.iter().find(|part| part.places.contains(&self.place)) else {
            // Records are awaited one after the other as a rule: the last one to come is most likely the same as now.
            if !state.wakers.last().is_some_and(|last| last.will_wake(context.waker())) {
                state.wakers.push(context.waker().clone());
            }
            return Poll::Pending;
        };
        Poll::Ready(part.outcome.clone().map(|written| Delivered {
            topic: part.topic.clone(),
            partition: part.partition,
            offset: written.base_offset.map(|base| base.advance(self.place - part.places.start)),
            timestamp: written.append_time.unwrap_or(self.timestamp),
        }))
    }
}
