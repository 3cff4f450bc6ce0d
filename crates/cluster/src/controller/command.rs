//! What a controller can be asked, and what it answers.

use klamm_model::{
    BrokerEpoch, BrokerId, LeaderEpoch, PartitionEpoch, PartitionIndex, ProducerId, TopicId, TopicPartition,
};
use thiserror::Error;

use crate::config::ConfigError;
use crate::features::Lacking;
use crate::quota::QuotaError;
use crate::record::{BrokerState, RegisterBroker};
use crate::topic_name::TopicNameError;

mod features;
mod partitions;
mod quotas;

pub use features::*;
pub use partitions::*;
pub use quotas::*;

/// What a controller can be asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// From clients, and from brokers for them.
    CreateTopics(CreateTopics),
    /// From clients.
    DeleteTopics(DeleteTopics),
    /// From a broker that starts.
    RegisterBroker(Register),
    /// From every broker, all the time.
    Heartbeat(Heartbeat),
    /// From leaders whose in-sync sets change.
    AlterPartitions(AlterPartitions),
    /// From brokers whose logs cannot be used any more.
    ReplicasOffline(OfflineReplicas),
    /// From a broker that has no producer ids left.
    AllocateProducerIds(AllocateProducerIds),
    /// From clients.
    AlterConfigs(AlterConfigs),
    /// From clients.
    CreatePartitions(CreatePartitions),
    /// From clients.
    ElectLeaders(ElectLeaders),
    /// From clients.
    AlterReassignments(AlterReassignments),
    /// From clients. Changes nothing, but must see what was decided before.
    ListReassignments(ListReassignments),
    /// From clients: a broker that will not come back.
    UnregisterBroker(BrokerId),
    /// From clients.
    AlterQuotas(AlterQuotas),
    /// From clients.
    UpdateFeatures(UpdateFeatures),
}

/// The answer to the command of the same name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// One per name asked for, in that order.
    CreateTopics(Vec<(String, Result<CreatedTopic, CreateTopicError>)>),
    /// One per topic asked for, in that order.
    DeleteTopics(Vec<(TopicRef, Result<DeletedTopic, DeleteTopicError>)>),
    /// The broker epoch.
    RegisterBroker(Result<BrokerEpoch, RegisterError>),
    /// What the broker is now.
    Heartbeat(Result<HeartbeatAnswer, StaleBroker>),
    /// One per partition asked for, in that order, unless the broker itself is refused.
    AlterPartitions(Result<Vec<(TopicPartition, PartitionResult)>, StaleBroker>),
    /// That others lead, wherever they can.
    ReplicasOffline(Result<(), StaleBroker>),
    /// A block of ids.
    AllocateProducerIds(Result<ProducerIdBlock, AllocateError>),
    /// One per resource asked for, in that order.
    AlterConfigs(Vec<Result<(), AlterConfigError>>),
    /// One per name asked for.
    CreatePartitions(Vec<(String, Result<(), CreatePartitionsError>)>),
    /// As they were asked for.
    ElectLeaders(ByTopic<Result<(), ElectLeaderError>>),
    /// As they were asked for.
    AlterReassignments(ByTopic<Result<(), ReassignError>>),
    /// Those that are under way.
    ListReassignments(ByTopic<Reassignment>),
    /// Whether there was such a broker.
    UnregisterBroker(Result<(), UnknownBroker>),
    /// One per entity asked for, in that order.
    AlterQuotas(Vec<(NamedEntity, Result<(), QuotaError>)>),
    /// All levels, or none.
    UpdateFeatures(Result<(), FeatureError>),
}

/// What became of one proposal.
pub type PartitionResult = Result<PartitionAnswer, AlterPartitionError>;

/// Topics to create.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CreateTopics {
    /// Each stands by itself: one may fail while others are created.
    pub topics: Vec<NewTopic>,
    /// Only say what would happen.
    pub validate_only: bool,
}

/// A topic to create.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// Where its partitions go.
    pub layout: Layout,
    /// Its configs; `None` as a value is refused.
    pub configs: Vec<(String, Option<String>)>,
}

/// How many partitions a topic has and where they go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Layout {
    /// Placed by the controller.
    Counted {
        /// `None` (-1 on the wire): the cluster's default. Passed on as asked, so that nonsense is refused in one place.
        partitions: Option<i32>,
        /// `None` (-1 on the wire): the cluster's default.
        replication_factor: Option<i16>,
    },
    /// Placed by whoever asks: the replicas of each partition, the preferred leader first.
    Assigned(Vec<(PartitionIndex, Vec<BrokerId>)>),
    /// Both counts and an assignment were given, which is a contradiction.
    Contradictory,
}

/// A topic that is, or would be, created.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreatedTopic {
    /// Its id; one that only would be created has none.
    pub id: Option<TopicId>,
    /// How many partitions it has.
    pub partition_count: u32,
    /// How many replicas each has.
    pub replication_factor: u16,
    /// What was set for it.
    pub configs: std::collections::BTreeMap<String, String>,
}

/// Why a topic was not created. Where scripts look for words of Kafka's, the texts have them.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum CreateTopicError {
    /// It cannot be a topic's name.
    #[error(transparent)]
    Name(#[from] TopicNameError),
    /// There is one.
    #[error("Topic '{name}' already exists.")]
    Exists {
        /// Its name.
        name: String,
        /// Its id.
        id: TopicId,
    },
    /// Metrics could not tell the two apart.
    #[error("Topic '{name}' collides with existing topic: {other}")]
    Collides {
        /// The new name.
        name: String,
        /// The one that is there.
        other: String,
    },
    /// The request names it more than once.
    #[error("topic {name} is named more than once")]
    Repeated {
        /// Its name.
        name: String,
    },
    /// Not a number of partitions.
    #[error("Number of partitions was set to an invalid non-positive value: {count}.")]
    PartitionCount {
        /// What was asked for.
        count: i32,
    },
    /// The whole request is refused.
    #[error("Excessively large number of partitions per request: at most {max} are created.")]
    TooManyPartitions {
        /// The limit.
        max: u32,
    },
    /// Not a number of replicas, or more than there are brokers that take part.
    #[error("{}", unreachable_factor(i64::from(*asked), *alive))]
    ReplicationFactor {
        /// What was asked for.
        asked: i16,
        /// How many brokers take part.
        alive: usize,
    },
    /// The assignment does not make sense.
    #[error("the assignment of partitions cannot be used: {what}")]
    Assignment {
        /// In what way.
        what: String,
    },
    /// Counts and an assignment were given.
    #[error("either counts or an assignment of partitions, not both")]
    Contradictory,
    /// A config cannot be set.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// All records of a request are committed as one entry, and that has a limit.
    #[error("what the request creates is too large to be committed at once")]
    TooLarge,
}

/// As Kafka's placer says it.
pub(super) fn unreachable_factor(asked: i64, alive: usize) -> String {
    if asked <= 0 {
        return "Replication factor must be larger than 0, or -1 to use the default value.".to_owned();
    }
    format!(
        "Unable to replicate the partition {asked} time(s): The target replication factor of {asked} cannot be reached because only {alive} broker(s) take part."
    )
}

/// Topics to delete.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DeleteTopics {
    /// Each stands by itself.
    pub topics: Vec<TopicRef>,
}

/// A topic, as a client names it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TopicRef {
    /// By name.
    Name(String),
    /// By id.
    Id(TopicId),
    /// By both, or by neither, which is refused.
    Contradictory {
        /// The name, if there was one.
        name: Option<String>,
        /// The id, maybe zero.
        id: TopicId,
    },
}

/// A topic that was deleted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeletedTopic {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: TopicId,
}

/// Why a topic was not deleted.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum DeleteTopicError {
    /// No topic has that name.
    #[error("The topic '{name}' does not exist.")]
    UnknownName {
        /// The name.
        name: String,
    },
    /// No topic has that id.
    #[error("there is no topic with the id {id}")]
    UnknownId {
        /// The id.
        id: TopicId,
    },
    /// The request names it more than once.
    #[error("the topic is named more than once")]
    Repeated,
    /// Neither name nor id, or both.
    #[error("a topic is named either by its name or by its id")]
    Contradictory,
    /// The operator wants it so.
    #[error("Topic deletion is disabled: delete.topic.enable is false.")]
    Disabled,
}

/// A broker that starts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Register {
    /// Who it is.
    pub broker: RegisterBroker,
    /// The cluster it believes to be in.
    pub cluster_id: Option<String>,
    /// The epoch under which it stopped with everything on its disks; `None` if it may have lost what was not synced (KIP-966). A controller that takes
    /// every restart for a crash is on the safe side.
    pub previous_epoch: Option<BrokerEpoch>,
}

/// Why a broker may not take part.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum RegisterError {
    /// Its data belongs elsewhere.
    #[error("the broker belongs to cluster {given}, this is {ours}")]
    OtherCluster {
        /// What it believes.
        given: String,
        /// What is so.
        ours: String,
    },
    /// Another data directory has this id: either two brokers were given one number, or one has lost its disk. It would lead with an empty log.
    #[error("broker {id} is known with another data directory; unregister it first if that one is lost")]
    OtherDirectory {
        /// Its number.
        id: BrokerId,
    },
    /// It is too old for the cluster, or too new.
    #[error(
        "Unable to register because the broker does not support finalized version {} of {}. The broker wants a version between {} and {}, inclusive.",
        .0.level, .0.name, .0.range.min, .0.range.max
    )]
    Level(Lacking),
}

/// A sign of life.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Heartbeat {
    /// From whom.
    pub id: BrokerId,
    /// From which registration of it.
    pub epoch: BrokerEpoch,
    /// The metadata offset its image has applied.
    pub applied: Option<u64>,
    /// It cannot serve, for a reason of its own.
    pub wants_fence: bool,
    /// It is about to stop and waits until it may.
    pub wants_shutdown: bool,
    /// It takes no records from clients, as a disk of it is nearly full.
    pub is_full: bool,
}

/// What a broker learns from a heartbeat.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeartbeatAnswer {
    /// What it is.
    pub state: BrokerState,
    /// Whether its image is as new as it must be to take part.
    pub is_caught_up: bool,
    /// It leads nothing any more and may stop.
    pub may_shut_down: bool,
}

/// The broker speaks for a registration that does not hold: it must register again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum StaleBroker {
    /// Never registered, or unregistered.
    #[error("broker {id} is not registered")]
    Unknown {
        /// Its number.
        id: BrokerId,
    },
    /// It registered again since, or this is another process.
    #[error("epoch {given} of broker {id} is not {current}")]
    Epoch {
        /// Its number.
        id: BrokerId,
        /// What it says.
        given: BrokerEpoch,
        /// What holds.
        current: BrokerEpoch,
    },
}

/// There is no such broker to unregister.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("Broker ID {id} is not currently registered")]
pub struct UnknownBroker {
    /// Its number.
    pub id: BrokerId,
}

/// A leader wants other in-sync sets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AlterPartitions {
    /// The leader.
    pub broker: BrokerId,
    /// Its registration.
    pub broker_epoch: BrokerEpoch,
    /// Each stands by itself.
    pub partitions: Vec<IsrProposal>,
}

/// A new in-sync set for a partition (KIP-497).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IsrProposal {
    /// Which partition.
    pub partition: TopicPartition,
    /// The epoch in which the proposer leads it.
    pub leader_epoch: LeaderEpoch,
    /// The state the proposal rests on.
    pub partition_epoch: PartitionEpoch,
    /// The set, each member with the registration under which it caught up, where the leader knows it (KIP-903).
    pub isr: Vec<(BrokerId, Option<BrokerEpoch>)>,
}

/// The state of a partition after a proposal was taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartitionAnswer {
    /// Who leads.
    pub leader: BrokerId,
    /// In which epoch.
    pub leader_epoch: LeaderEpoch,
    /// Who is in sync.
    pub isr: Vec<BrokerId>,
    /// The epoch after this change.
    pub partition_epoch: PartitionEpoch,
}

/// Why an in-sync set stays as it is.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum AlterPartitionError {
    /// The topic is gone.
    #[error("there is no topic with the id {id}")]
    UnknownTopic {
        /// The id.
        id: TopicId,
    },
    /// The topic has no such partition.
    #[error("there is no partition {partition}")]
    UnknownPartition {
        /// Which.
        partition: TopicPartition,
    },
    /// The proposer has seen what this controller has not: some newer controller must have decided it.
    #[error("the proposal is newer than this controller's state")]
    AheadOfController,
    /// Another leader was elected since.
    #[error("leader epoch {given} is older than {current}")]
    OldLeaderEpoch {
        /// The proposal's.
        given: LeaderEpoch,
        /// What holds.
        current: LeaderEpoch,
    },
    /// Only the leader may propose.
    #[error("the leader is {leader:?}, not {proposer}")]
    NotLeader {
        /// Who asked.
        proposer: BrokerId,
        /// Who leads.
        leader: Option<BrokerId>,
    },
    /// The partition changed since.
    #[error("partition epoch {given} is older than {current}")]
    OldPartitionEpoch {
        /// The proposal's.
        given: PartitionEpoch,
        /// What holds.
        current: PartitionEpoch,
    },
    /// Empty, without its leader, with somebody twice, or with somebody who is no replica.
    #[error("the proposed in-sync set is impossible: {what}")]
    Impossible {
        /// In what way.
        what: &'static str,
    },
    /// A member is fenced, draining, or has restarted since it caught up.
    #[error("broker {id} may not be in sync now")]
    Ineligible {
        /// The first such member.
        id: BrokerId,
    },
    /// The set was taken, and ended a reassignment that leaves the proposer without the lead.
    #[error("the proposal ended a reassignment: another broker leads")]
    NewLeader,
}

/// What became of replicas' logs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFate {
    /// They cannot be used for as long as the process lives: their data directory has failed, or they are damaged.
    Offline,
    /// Nothing of them is there: others are begun in their places, empty. Said before the broker takes part, and again where nobody is known to have all records.
    Gone,
}

/// A broker has replicas whose logs are not what they are believed to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OfflineReplicas {
    /// The broker.
    pub broker: BrokerId,
    /// Its registration.
    pub broker_epoch: BrokerEpoch,
    /// What became of them.
    pub fate: LogFate,
    /// Which partitions. Those that it has no replica of count for nothing.
    pub partitions: Vec<TopicPartition>,
}

/// A broker needs producer ids.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AllocateProducerIds {
    /// Which broker.
    pub broker: BrokerId,
    /// Its registration.
    pub broker_epoch: BrokerEpoch,
}

/// Ids that no other broker gives out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProducerIdBlock {
    /// The first.
    pub first: ProducerId,
    /// How many.
    pub count: u32,
}

/// Why there are no ids.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum AllocateError {
    /// The broker is not who it says.
    #[error(transparent)]
    Stale(#[from] StaleBroker),
    /// All 2^63 are used.
    #[error("there are no producer ids left")]
    UsedUp,
}

/// Configs to change.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AlterConfigs {
    /// Each stands by itself; within one, all keys change or none. What could not be understood keeps its place.
    pub resources: Vec<Result<ConfigChange, AlterConfigError>>,
    /// Only say what would happen.
    pub validate_only: bool,
}

/// Configs of one resource to change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigChange {
    /// Of what.
    pub target: ConfigTarget,
    /// What becomes of each key that is named.
    pub operations: Vec<(String, ConfigOperation)>,
    /// Keys that are not named have their defaults again; otherwise they stay.
    pub replaces: bool,
}

/// What has configs, as a client names it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ConfigTarget {
    /// A topic by name.
    Topic(String),
    /// One broker.
    Broker(BrokerId),
    /// All brokers that have no value of their own.
    BrokerDefault,
}

/// What becomes of a key (KIP-339).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConfigOperation {
    /// It has this value.
    Set(String),
    /// It has its default again.
    Delete,
    /// These items are added to its list, where they are not in it.
    Append(String),
    /// These items are taken out of its list.
    Subtract(String),
}

/// Why configs stay as they are.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum AlterConfigError {
    /// It cannot be a topic's name.
    #[error(transparent)]
    Name(#[from] TopicNameError),
    /// There is a default of all brokers, but none of all topics.
    #[error("Default topic resources are not allowed.")]
    NoTopicDefault,
    /// No topic has that name.
    #[error("The topic '{name}' does not exist.")]
    UnknownTopic {
        /// The name.
        name: String,
    },
    /// No broker has that number.
    #[error("No broker with id {id} found.")]
    UnknownBroker {
        /// The number.
        id: BrokerId,
    },
    /// The request names the same thing more than once, so that nobody can tell what is meant.
    #[error("Each resource must appear at most once.")]
    RepeatedResource,
    /// A key is named more than once.
    #[error("{key} is named more than once")]
    Repeated {
        /// The key.
        key: String,
    },
    /// Not something that can be done.
    #[error("{what}")]
    Malformed {
        /// In what way.
        what: String,
    },
    /// Brokers read it when they start.
    #[error("Cannot update these configs dynamically: {key} is given at the start")]
    ReadOnly {
        /// The key.
        key: &'static str,
    },
    /// All brokers would have the same value, which makes no sense.
    #[error("{key} can be set for one broker at a time only")]
    PerBroker {
        /// The key.
        key: &'static str,
    },
    /// There is nothing to append to.
    #[error("{key} is not a list: items cannot be added or taken out")]
    NoList {
        /// The key.
        key: String,
    },
    /// Whoever may read the metadata log could read it.
    #[error("{key} is a secret and is not kept in the cluster's metadata")]
    Secret {
        /// The key.
        key: &'static str,
    },
    /// A config cannot be set.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// All records of a request are committed as one entry, and that has a limit.
    #[error("the change is too large to be committed at once")]
    TooLarge,
}
