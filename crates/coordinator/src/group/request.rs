//! What a shard of groups can be asked, and what it answers.
//!
//! Every request but [`List`] is about one group: the node takes requests that name several apart. The node has also seen to it that topics that offsets are
//! committed for are there, and that whoever asks may.

use bytes::Bytes;
use klamm_model::{LeaderEpoch, Offset, PartitionIndex, Producer, TopicId};

use super::GroupError;
use crate::record::CommittedOffset;

mod consumer;

pub use consumer::*;

/// What a shard of groups can be asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// From a client that wants to be a member, or a member that wants to be one of the next generation too. Answered when all have joined.
    Join(Join),
    /// From a member of a new generation: the leader brings everybody's work, all get their own. Answered when the leader was there.
    Sync(Sync),
    /// From every member, all the time.
    Heartbeat(Heartbeat),
    /// From members that stop, or from an operator for them.
    Leave(Leave),
    /// From members of the consumer protocol: everything that they have to say (KIP-848).
    ConsumerHeartbeat(Box<ConsumerHeartbeat>),
    /// From members, and from whoever uses a group's offsets without being one.
    Commit(Commit),
    /// Offsets that count when the producer's transaction is committed (KIP-98).
    TxnCommit(TxnCommit),
    /// From anybody.
    FetchOffsets(FetchOffsets),
    /// From an operator.
    DeleteOffsets(DeleteOffsets),
    /// From an operator: the group of this name, with its offsets.
    DeleteGroup(String),
    /// From an operator: the group of this name.
    Describe(String),
    /// From an operator: the group of this name, of the consumer protocol.
    DescribeConsumer(String),
    /// From an operator.
    List(List),
}

/// The answer to the request of the same name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// What the member is to do next.
    Join(Result<Joined, GroupError>),
    /// The member's work.
    Sync(Result<Synced, GroupError>),
    /// Whether all is as the member believes.
    Heartbeat(Result<(), GroupError>),
    /// One per member named, in that order.
    Leave(Result<Vec<Left>, GroupError>),
    /// What the member has from now on.
    ConsumerHeartbeat(Result<ConsumerBeat, GroupError>),
    /// As they were asked for.
    Commit(Result<ByTopic<Result<(), GroupError>>, GroupError>),
    /// As they were asked for.
    TxnCommit(Result<ByTopic<Result<(), GroupError>>, GroupError>),
    /// As they were asked for, or all; `None` where nothing was committed.
    FetchOffsets(Result<ByTopic<Result<Option<CommittedOffset>, GroupError>>, GroupError>),
    /// As they were asked for.
    DeleteOffsets(Result<ByTopic<Result<(), GroupError>>, GroupError>),
    /// Whether it is gone.
    DeleteGroup(Result<(), GroupError>),
    /// What the group is now.
    Describe(Result<Description, GroupError>),
    /// What the group is now.
    DescribeConsumer(Result<ConsumerDescription, GroupError>),
    /// In the order of their names.
    List(Vec<Listed>),
}

/// Something for each of some partitions, in the order of whoever asked.
pub type ByTopic<T> = Vec<OfTopic<T>>;

/// Something for each of some partitions of a topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OfTopic<T> {
    /// Its name.
    pub topic: String,
    /// Its id, where whoever asked named it by that, or the node knew it. Stays with what is committed.
    pub id: Option<TopicId>,
    /// In the order of whoever asked.
    pub partitions: Vec<(PartitionIndex, T)>,
}

/// A client wants to be a member of the next generation.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Join {
    /// Of which group.
    pub group: String,
    /// Empty: it has none yet.
    pub member_id: String,
    /// The name that it keeps when it restarts (KIP-345).
    pub instance_id: Option<String>,
    /// What its client calls itself.
    pub client_id: String,
    /// Where it comes from.
    pub client_host: String,
    /// How long it may be silent.
    pub session_timeout_ms: i32,
    /// How long it may take to join again; the session's time-out where the request has none (version 0).
    pub rebalance_timeout_ms: i32,
    /// What the members do: `consumer`, `connect`, …
    pub protocol_type: String,
    /// Ways to distribute the work, the best first, with what the member has to say for each.
    pub protocols: Vec<(String, Bytes)>,
    /// Why it joins now (KIP-800).
    pub reason: Option<String>,
    /// A new member is first told its id and comes again with it, so that one who never hears the answer leaves nothing behind (KIP-394, from version 4).
    pub can_learn_id: bool,
    /// A static leader that came back may be told that there is nothing to distribute (KIP-814, from version 9).
    pub can_skip_assignment: bool,
}

/// A member of a generation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Joined {
    /// Which.
    pub generation: i32,
    /// What the members do.
    pub protocol_type: String,
    /// How the work is distributed.
    pub protocol: Option<String>,
    /// Who does it.
    pub leader: String,
    /// Who this member is.
    pub member_id: String,
    /// The work need not be distributed again.
    pub skips_assignment: bool,
    /// All, for the leader; for the others empty.
    pub members: Vec<JoinedMember>,
}

/// What a leader must know of a member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JoinedMember {
    /// Who it is.
    pub id: String,
    /// The name it keeps.
    pub instance_id: Option<String>,
    /// What it said for the protocol.
    pub subscription: Bytes,
}

/// Who a member says it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Identity {
    /// May be empty for those that are no members.
    pub member_id: String,
    /// The name it keeps.
    pub instance_id: Option<String>,
    /// Of which generation it is a member, or in which epoch. `None` (-1 on the wire): of none.
    pub generation: Option<i32>,
}

/// A member wants its work.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sync {
    /// Of which group.
    pub group: String,
    /// Who.
    pub member: Identity,
    /// What it believes the members do (from version 5).
    pub protocol_type: Option<String>,
    /// How it believes the work is distributed (from version 5).
    pub protocol: Option<String>,
    /// From the leader: every member's work.
    pub assignments: Vec<(String, Bytes)>,
}

/// A member's work.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Synced {
    /// What the members do.
    pub protocol_type: String,
    /// How the work is distributed.
    pub protocol: Option<String>,
    /// As the leader wrote it.
    pub assignment: Bytes,
}

/// A sign of life.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Heartbeat {
    /// Of which group.
    pub group: String,
    /// Who.
    pub member: Identity,
}

/// Members go.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Leave {
    /// From which group.
    pub group: String,
    /// Who.
    pub members: Vec<Leaving>,
}

/// A member that goes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Leaving {
    /// Empty where an operator removes the member by its instance id.
    pub member_id: String,
    /// The name it keeps.
    pub instance_id: Option<String>,
    /// Why it goes (KIP-800).
    pub reason: Option<String>,
}

/// What became of a member that was to go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Left {
    /// As it was asked for.
    pub member_id: String,
    /// As it was asked for.
    pub instance_id: Option<String>,
    /// Whether it is gone.
    pub result: Result<(), GroupError>,
}

/// Offsets to keep.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Commit {
    /// For which group. May be empty, as old clients have it.
    pub group: String,
    /// By whom; nobody for those that use a group's offsets without being members.
    pub member: Identity,
    /// Whoever asks can be told of epochs (from version 9).
    pub knows_epochs: bool,
    /// How long to keep them, where the request says so (before version 5).
    pub retention_ms: Option<u64>,
    /// Each stands by itself.
    pub topics: ByTopic<NewOffset>,
}

/// Offsets to keep if the transaction is committed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TxnCommit {
    /// Whose transaction it is. The node has seen to it that it is open and covers the partition that this shard has.
    pub producer: Producer,
    /// For which group.
    pub group: String,
    /// By whom (KIP-447); nobody before version 3.
    pub member: Identity,
    /// Each stands by itself.
    pub topics: ByTopic<NewOffset>,
}

/// An offset to keep.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewOffset {
    /// The next record to read. `None`: the request had a negative number, which is refused here.
    pub offset: Option<Offset>,
    /// The epoch of the last record that was read (KIP-320).
    pub leader_epoch: Option<LeaderEpoch>,
    /// Whatever is to be kept with it.
    pub metadata: String,
}

/// Which offsets are kept?
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FetchOffsets {
    /// For which group.
    pub group: String,
    /// By which member of the consumer protocol (from version 9). `None`: whoever asks does not say.
    pub member: Option<Identity>,
    /// `None`: all there are.
    pub topics: Option<ByTopic<()>>,
    /// An offset that an open transaction will change is none (KIP-447).
    pub require_stable: bool,
}

/// Offsets to forget.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DeleteOffsets {
    /// Of which group.
    pub group: String,
    /// Each stands by itself.
    pub topics: ByTopic<()>,
}

/// Which groups are there?
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct List {
    /// `None`: whatever their state. Words that are no state match nothing.
    pub states: Option<Vec<GroupState>>,
    /// `None`: whatever their protocol.
    pub types: Option<Vec<GroupType>>,
}

/// A group that is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// Its name.
    pub group: String,
    /// What its members do; empty where it has only offsets.
    pub protocol_type: String,
    /// What it is about.
    pub state: GroupState,
    /// By which protocol it is led.
    pub group_type: GroupType,
}

/// What a group is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum GroupState {
    /// No members; maybe offsets.
    Empty,
    /// Members join.
    PreparingRebalance,
    /// All have joined; the leader distributes the work.
    CompletingRebalance,
    /// The work is to be distributed anew, at the next sign of life of any member (consumer protocol).
    Assigning,
    /// Members are on their way to what they are to get (consumer protocol).
    Reconciling,
    /// All members have their work.
    Stable,
}

impl GroupState {
    /// Kafka's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
        }
    }

    /// By Kafka's word, in capitals or not.
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [
            Self::Empty,
            Self::PreparingRebalance,
            Self::CompletingRebalance,
            Self::Assigning,
            Self::Reconciling,
            Self::Stable,
        ];
        all.into_iter().find(|it| it.name().eq_ignore_ascii_case(name))
    }
}

/// By which protocol a group is led.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum GroupType {
    /// Its members join and sync.
    Classic,
    /// The coordinator distributes the work (KIP-848).
    Consumer,
}

impl GroupType {
    /// Kafka's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Consumer => "consumer",
        }
    }

    /// By Kafka's word, in capitals or not.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Classic, Self::Consumer].into_iter().find(|it| it.name().eq_ignore_ascii_case(name))
    }
}

/// What a group is now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Description {
    /// What it is about.
    pub state: GroupState,
    /// What its members do; empty where it has only offsets.
    pub protocol_type: String,
    /// How the work is distributed, if it is.
    pub protocol: Option<String>,
    /// In the order of their ids.
    pub members: Vec<DescribedMember>,
}

/// What a member is now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DescribedMember {
    /// Given by the coordinator.
    pub id: String,
    /// The name it keeps.
    pub instance_id: Option<String>,
    /// What its client calls itself.
    pub client_id: String,
    /// Where it comes from.
    pub client_host: String,
    /// What it said for the protocol; empty while the group is rebalanced.
    pub subscription: Bytes,
    /// Its work; empty while the group is rebalanced.
    pub assignment: Bytes,
}
