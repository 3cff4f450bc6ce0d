//! Commands about partitions of topics that exist: more of them, other leaders, other replicas.

use klamm_model::{BrokerId, PartitionIndex};
use thiserror::Error;

/// Something for each of a number of partitions, as clients group it.
pub type ByTopic<T> = Vec<(String, Vec<(PartitionIndex, T)>)>;

/// Topics that are to have more partitions.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CreatePartitions {
    /// Each stands by itself.
    pub topics: Vec<MorePartitions>,
    /// Only say what would happen.
    pub validate_only: bool,
}

/// A topic that is to have more partitions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MorePartitions {
    /// Its name.
    pub name: String,
    /// How many it is to have, those that are there included.
    pub count: i32,
    /// The replicas of each new one, the preferred leader first; `None`: placed by the controller.
    pub assignments: Option<Vec<Vec<BrokerId>>>,
}

/// Why a topic keeps the partitions it has.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum CreatePartitionsError {
    /// No topic has that name.
    #[error("The topic '{name}' does not exist.")]
    UnknownTopic {
        /// The name.
        name: String,
    },
    /// The request names it more than once.
    #[error("the topic is named more than once")]
    Repeated,
    /// Partitions are never taken away.
    #[error("The topic currently has {has} partition(s); {asked} would not be an increase.")]
    NotMore {
        /// How many there are.
        has: usize,
        /// How many were asked for.
        asked: i32,
    },
    /// The whole request is refused.
    #[error("Excessively large number of partitions per request: at most {max} are created.")]
    TooMany {
        /// The limit.
        max: u32,
    },
    /// Too few brokers take part.
    #[error("{}", super::unreachable_factor(*needed as i64, *alive))]
    ReplicationFactor {
        /// What the topic's other partitions have.
        needed: usize,
        /// How many brokers take part.
        alive: usize,
    },
    /// The assignment does not make sense.
    #[error("the assignment of partitions cannot be used: {what}")]
    Assignment {
        /// In what way.
        what: String,
    },
    /// All records of a request are committed as one entry, and that has a limit.
    #[error("what the request creates is too large to be committed at once")]
    TooLarge,
}

/// Leaders to elect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ElectLeaders {
    /// In which way.
    pub election: Election,
    /// Of which partitions; `None`: of all. The answer then leaves out those where nothing was to be done.
    pub partitions: Option<ByTopic<()>>,
}

/// Who may be elected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Election {
    /// The first of the replicas, if it is in sync.
    Preferred,
    /// Anybody who lives, where nobody leads, whatever records it has.
    Unclean,
}

/// Why the leader stays who it is.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ElectLeaderError {
    /// There is no such partition.
    #[error("there is no partition {topic}-{partition}")]
    UnknownPartition {
        /// Of which topic.
        topic: String,
        /// Its number.
        partition: PartitionIndex,
    },
    /// It has the leader already that it would get.
    #[error("no election is needed")]
    NotNeeded,
    /// The preferred leader is not in sync, or does not take part.
    #[error("the preferred leader cannot lead now")]
    PreferredNotAvailable,
    /// None of the replicas takes part.
    #[error("no replica can lead now")]
    EligibleNotAvailable,
}

/// Partitions that are to have other replicas (KIP-455).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AlterReassignments {
    /// The replicas each is to have in the end, the preferred leader first; `None`: a reassignment under way is called off.
    pub partitions: ByTopic<Option<Vec<BrokerId>>>,
    /// Whether a partition may get more or fewer replicas than it has (KIP-860).
    pub may_change_factor: bool,
}

/// Why replicas stay as they are.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ReassignError {
    /// There is no such partition.
    #[error("there is no partition {topic}-{partition}")]
    UnknownPartition {
        /// Of which topic.
        topic: String,
        /// Its number.
        partition: PartitionIndex,
    },
    /// The request names it more than once.
    #[error("the partition is named more than once")]
    Repeated,
    /// There is nothing to call off.
    #[error("no reassignment of the partition is under way")]
    NotUnderWay,
    /// The replicas do not make sense.
    #[error("the replicas cannot be used: {what}")]
    Replicas {
        /// In what way.
        what: String,
    },
    /// It may not change, but would.
    #[error("the partition has {has} replicas and was to have {asked}")]
    FactorChange {
        /// How many it has, or was to have by a reassignment under way.
        has: usize,
        /// How many were asked for.
        asked: usize,
    },
}

/// Whose reassignments to list; `None`: all.
pub type ListReassignments = Option<ByTopic<()>>;

/// A reassignment under way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reassignment {
    /// All replicas there are meanwhile: those to come and those to go too.
    pub replicas: Vec<BrokerId>,
    /// Those to come.
    pub adding: Vec<BrokerId>,
    /// Those to go.
    pub removing: Vec<BrokerId>,
}
