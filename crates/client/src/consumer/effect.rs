//! What the consumer's machine is told to read, and what it wants done.

use std::sync::Arc;

use klamm_model::{BrokerId, Offset, TopicId};

use super::config::Start;
use super::error::Cause;
use super::reset::Reset;
use crate::call::CallId;
use crate::metadata::LeaderHint;
use crate::trouble::CommonTrouble;

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

/// How far a partition is read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartitionPosition {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// Where it is read next; `None` while that is being found.
    pub position: Option<Offset>,
    /// One past the last record that could be read when a broker answered last.
    pub end: Option<Offset>,
    /// Whether it is left alone for now.
    pub is_paused: bool,
}

impl PartitionPosition {
    /// Offsets that are still to be read, as far as is known.
    pub fn lag(&self) -> Option<u64> {
        u64::try_from(self.end?.raw() - self.position?.raw()).ok().or(Some(0))
    }
}

/// What the machine wants done.
#[derive(Debug)]
pub enum Effect {
    /// Ask a broker.
    Ask(Ask),
    /// A broker told who leads a partition now.
    LeaderHint(LeaderHint),
    /// What is known of the cluster proved wrong or is missing.
    RefreshMetadata,
    /// [`Machine::take`](super::machine::Machine::take) has something, or the end was reached.
    Readable,
    /// Partitions have not been readable for a while. Told once, until they were read again.
    Trouble(CommonTrouble<Cause>),
    /// A partition is read on somewhere else, and the application may want to know.
    Reset(Reset),
}

/// A question to a broker. [`Asked::question`] puts it in the protocol's words.
#[derive(Debug)]
pub struct Ask {
    /// The question's number, for [`Machine::answered`](super::machine::Machine::answered). `None`: nothing depends on an answer.
    pub call: Option<CallId>,
    /// The leader of all of the partitions, or a replica that serves readers.
    pub broker: BrokerId,
    /// What.
    pub what: Asked,
}

/// What a broker is asked.
#[derive(Debug)]
pub enum Asked {
    /// For records.
    Fetch {
        /// How long the broker may hold the answer back.
        wait_ms: u64,
        /// Most bytes of the answer.
        bytes_max: usize,
        /// What to read.
        session: SessionStep,
    },
    /// To forget a session: nobody goes on with it.
    EndSession(SessionStep),
    /// For offsets.
    ListOffsets(Vec<TopicLookup>),
    /// Where leaders' epochs end.
    OffsetForLeaderEpoch(Vec<TopicLookup>),
}

/// What a Fetch says, given what the broker knows from those before (KIP-227).
#[derive(Debug)]
pub struct SessionStep {
    /// The session, 0 if there is none yet.
    pub id: i32,
    /// Counts its requests; the first says all, and -1 ends it.
    pub epoch: i32,
    /// Whether topics have ids here; if not, they have names.
    pub uses_ids: bool,
    /// What to read that the broker does not know of, or not like this.
    pub topics: Vec<TopicFetch>,
    /// What not to read any more.
    pub forgotten: Vec<TopicFetch>,
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
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartitionFetch {
    /// The partition.
    pub partition: i32,
    /// Where to read.
    pub offset: Offset,
    /// The leader we believe in.
    pub leader_epoch: i32,
}

/// The partitions of one topic in one ListOffsets or OffsetForLeaderEpoch.
#[derive(Debug)]
pub struct TopicLookup {
    /// The topic's name.
    pub name: Arc<str>,
    /// Partition, the leader we believe in, and the time as the protocol carries it, or the epoch.
    pub partitions: Vec<(i32, i32, i64)>,
}
