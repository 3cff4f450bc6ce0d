//! What the producer's machine wants done.

use std::sync::Arc;

use bytes::Bytes;
use klamm_model::{BrokerId, Offset, Timestamp, TopicId};

use super::error::{Cause, SendError};
use super::question::Question;
use crate::call::CallId;
use crate::metadata::LeaderHint;
use crate::trouble::CommonTrouble;

/// What the machine wants done.
#[derive(Debug)]
pub enum Effect<T> {
    /// Send these batches; to be answered by [`Machine::produced`](super::machine::Machine::produced) or [`Machine::call_failed`](super::machine::Machine::call_failed).
    Produce {
        /// The question's number.
        call: CallId,
        /// The leader of all of them.
        broker: BrokerId,
        /// At most one batch of each partition.
        topics: Vec<TopicBatches>,
    },
    /// Ask any broker for a producer id; to be answered by [`Machine::identified`](super::machine::Machine::identified) or [`Machine::call_failed`](super::machine::Machine::call_failed).
    InitProducerId {
        /// The question's number.
        call: CallId,
    },
    /// Ask a coordinator, or anybody where none is named; to be answered by [`Machine::coordinated`](super::machine::Machine::coordinated) or
    /// [`Machine::call_failed`](super::machine::Machine::call_failed).
    Ask {
        /// The question's number.
        call: CallId,
        /// Whom.
        coordinator: Option<BrokerId>,
        /// What.
        question: Question,
    },
    /// Whoever waits for a transaction's beginning or end, or for its offsets, may look again.
    Progress,
    /// What is known of the cluster proved wrong.
    RefreshMetadata,
    /// A broker told who leads a partition now.
    LeaderHint(LeaderHint),
    /// A batch reached its end, or a part of one that was cut because it was too large for its broker.
    Done(Done<T>),
    /// Somebody was refused for lack of room, and there is room again.
    Room,
    /// Partitions have not been written for a while though that was tried. Told once, until they were written again.
    Trouble(CommonTrouble<Cause>),
}

/// The batches of one topic in one request.
#[derive(Debug)]
pub struct TopicBatches {
    /// The topic's name.
    pub name: Arc<str>,
    /// Its id, zero while unknown.
    pub id: TopicId,
    /// Partition and batch.
    pub partitions: Vec<(i32, Bytes)>,
}

/// How a batch ended, or a part of one.
#[derive(Debug)]
pub struct Done<T> {
    /// What [`Machine::append`](super::machine::Machine::append) handed out for the batch.
    pub tag: T,
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// Place of its first record in the batch: 0, or where the part begins.
    pub first_place: u32,
    /// Records in it.
    pub record_count: u32,
    /// Bytes of the records before compression.
    pub size: usize,
    /// Where it is now, or why it is not.
    pub outcome: Result<Written, SendError>,
}

/// Where a batch was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Written {
    /// Offset of its first record; `None` if the broker did not tell (no acks, or a repeated batch it no longer knows the place of).
    pub base_offset: Option<Offset>,
    /// The time the broker put into the records, on topics that want that.
    pub append_time: Option<Timestamp>,
}
