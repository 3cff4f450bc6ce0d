//! What a transactional producer asks coordinators.

use std::collections::BTreeMap;
use std::sync::Arc;

use klamm_model::{ProducerEpoch, ProducerId};

use crate::admin::{CommittedOffset, PartitionName};
use crate::group::GroupMetadata;

/// Who we are to the brokers. A new epoch lets every partition begin again at sequence 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The producer's number.
    pub id: ProducerId,
    /// Its session.
    pub epoch: ProducerEpoch,
}

/// How transactions go, as the cluster has agreed by its feature `transaction.version`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// The coordinator hears of every partition before something is written there.
    Named,
    /// What is written to belongs to the transaction by itself, and each transaction has an epoch of its own (KIP-890).
    Implicit,
}

impl Protocol {
    /// By the level of `transaction.version`.
    pub fn of_level(level: i16) -> Self {
        if level < 2 { Self::Named } else { Self::Implicit }
    }
}

/// How a transaction is to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// All of it counts.
    Commit,
    /// Nothing of it does.
    Abort,
}

/// Offsets that are committed with a transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupOffsets {
    /// For whom.
    pub group: GroupMetadata,
    /// The first record of each partition that is not done.
    pub offsets: BTreeMap<PartitionName, CommittedOffset>,
}

/// A question to a coordinator, or for one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Question {
    /// Who coordinates our transactions? Anybody can say.
    FindCoordinator,
    /// Who coordinates this group? Anybody can say.
    FindGroupCoordinator(String),
    /// An identity, or a new epoch of the one that we have.
    Identify {
        /// What we have.
        current: Option<Identity>,
        /// How long our transactions may take.
        timeout_ms: u64,
    },
    /// The transaction gets these partitions.
    AddPartitions(Identity, BTreeMap<Arc<str>, Vec<i32>>),
    /// The transaction gets offsets of this group.
    AddGroup(Identity, String),
    /// These offsets count when the transaction is committed: for the group's coordinator.
    CommitOffsets(Identity, Protocol, GroupOffsets),
    /// The transaction ends.
    End(Identity, Protocol, Outcome),
}
