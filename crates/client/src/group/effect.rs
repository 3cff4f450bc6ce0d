//! What a member's machine wants done, and what it tells the application.

use klamm_model::BrokerId;
use klamm_wire::Request;

use super::error::CommitError;
use crate::PartitionName;
use crate::call::CallId;
use crate::consumer::{self, FetchedBatch};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Numbers the commits of one member, so that an outcome finds who waits for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CommitId(pub u64);

/// Numbers what an application is to acknowledge.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RevocationId(pub u64);

/// Numbers those who read: each has one thing in hand at a time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ReaderId(pub u64);

/// Whom to ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whom {
    /// Any broker.
    Anybody,
    /// The group's coordinator.
    Coordinator(BrokerId),
}

/// What the machine wants done.
#[derive(Debug)]
pub enum Effect {
    /// What reading wants; answers go to [`Machine::read`](super::machine::Machine::read).
    Read(consumer::Effect),
    /// Ask; to be answered by [`Machine::answered`](super::machine::Machine::answered).
    Ask {
        /// The question's number.
        call: CallId,
        /// Whom.
        whom: Whom,
        /// Whether the answer may be held back until others have come: such a question must not stand in the way of any other.
        is_parked: bool,
        /// What.
        request: Box<Request>,
        /// The same for a broker that is too old for the request, if it can be said.
        older: Option<Box<Request>>,
        /// The highest version that says what is meant.
        version_limit: i16,
        /// How long it may go unanswered, in milliseconds.
        timeout_ms: u64,
    },
    /// Keep these topics up to date in the picture of the cluster.
    WantTopics(BTreeSet<Arc<str>>),
    /// What came of a commit.
    Committed {
        /// Which.
        commit: CommitId,
        /// What.
        outcome: Result<(), CommitError>,
    },
    /// The group changed its mind about this member, or nobody can say what it thinks; for the log.
    Note(&'static str),
}

/// What an application is told, in this order.
#[derive(Debug)]
pub enum Taken {
    /// Records of a partition that it has.
    Batch(FetchedBatch),
    /// It has these partitions too from now on.
    Assigned(Vec<PartitionName>),
    /// It is to give up these partitions, and has them until it has acknowledged that; nothing more is read of them.
    Revoked {
        /// What to acknowledge.
        revocation: RevocationId,
        /// Which.
        partitions: Vec<PartitionName>,
    },
    /// It has lost these partitions: others may have them already, and nothing can be committed for them.
    Lost(Vec<PartitionName>),
}
