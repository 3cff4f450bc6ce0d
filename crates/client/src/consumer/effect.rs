//! What the consumer's machine is told to read, and what it wants done.

use std::sync::Arc;

use klamm_model::{BrokerId, Offset, TopicId};

use super::config::Start;
use crate::call::CallId;

/// A partition to read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Assignment {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// Where to begin.
    pub start: Start,
}

/// What the machine wants done.
#[derive(Debug)]
pub enum Effect {
    /// Ask for records; to be answered by [`Machine::fetched`](super::machine::Machine::fetched) or [`Machine::call_failed`](super::machine::Machine::call_failed).
    Fetch {
        /// The question's number.
        call: CallId,
        /// The leader of all of the partitions.
        broker: BrokerId,
        /// How long the broker may hold the answer back.
        wait_ms: u64,
        /// Most bytes of the answer.
        bytes_max: usize,
        /// What to read.
        topics: Vec<TopicFetch>,
    },
    /// Ask for offsets; to be answered by [`Machine::located`](super::machine::Machine::located) or [`Machine::call_failed`](super::machine::Machine::call_failed).
    ListOffsets {
        /// The question's number.
        call: CallId,
        /// The leader of all of the partitions.
        broker: BrokerId,
        /// What to find.
        topics: Vec<TopicLookup>,
    },
    /// What is known of the cluster proved wrong or is missing.
    RefreshMetadata,
    /// [`Machine::take`](super::machine::Machine::take) has something, or the end was reached.
    Readable,
}

/// The partitions of one topic in one Fetch.
#[derive(Debug)]
pub struct TopicFetch {
    /// The topic's name.
    pub name: Arc<str>,
    /// Its id, zero while unknown.
    pub id: TopicId,
    /// The partitions.
    pub partitions: Vec<PartitionFetch>,
}

/// One partition in a Fetch.
#[derive(Clone, Copy, Debug)]
pub struct PartitionFetch {
    /// The partition.
    pub partition: i32,
    /// Where to read.
    pub offset: Offset,
    /// The leader we believe in.
    pub leader_epoch: i32,
}

/// The partitions of one topic in one ListOffsets.
#[derive(Debug)]
pub struct TopicLookup {
    /// The topic's name.
    pub name: Arc<str>,
    /// Partition, the leader we believe in, and the time as the protocol carries it.
    pub partitions: Vec<(i32, i32, i64)>,
}
