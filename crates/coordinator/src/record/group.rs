//! Records of `__consumer_offsets`.

use bytes::Bytes;
use klamm_model::{LeaderEpoch, Offset, PartitionIndex, Timestamp, TopicId};

use super::RecordError;
use crate::Entry;

mod format;

/// A change of what is known of a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GroupRecord {
    /// A group's place in a partition.
    Offset {
        /// Whose.
        group: String,
        /// In which topic.
        topic: String,
        /// In which partition of it.
        partition: PartitionIndex,
        /// `None`: forgotten.
        value: Option<CommittedOffset>,
    },
    /// A group of the classic protocol, with all its members, as of its newest generation.
    Classic {
        /// Which.
        group: String,
        /// `None`: there is no such group.
        value: Option<ClassicGroup>,
    },
    /// A group of the consumer protocol (KIP-848).
    Consumer {
        /// Which.
        group: String,
        /// `None`: there is no such group.
        value: Option<ConsumerGroup>,
    },
    /// A member of a group of the consumer protocol, as it introduced itself.
    Member {
        /// Of which group.
        group: String,
        /// Who.
        member: String,
        /// `None`: it is no member any more.
        value: Option<ConsumerMember>,
    },
    /// How far the work of a group of the consumer protocol is distributed.
    Target {
        /// Of which group.
        group: String,
        /// `None`: not at all.
        value: Option<ConsumerTarget>,
    },
    /// What a member of a group of the consumer protocol is to get in the end.
    MemberTarget {
        /// Of which group.
        group: String,
        /// Who.
        member: String,
        /// `None`: it gets nothing, not even an empty share.
        value: Option<Vec<TopicPartitions>>,
    },
    /// What a member of a group of the consumer protocol has at the moment.
    Assignment {
        /// Of which group.
        group: String,
        /// Who.
        member: String,
        /// `None`: it has nothing and knows of nothing.
        value: Option<ConsumerAssignment>,
    },
    /// Topics that a regular expression stood for.
    Regex {
        /// Of which group.
        group: String,
        /// Which one.
        regex: String,
        /// `None`: no member has it any more.
        value: Option<ResolvedRegex>,
    },
}

impl GroupRecord {
    /// As it is stored.
    ///
    /// # Panics
    /// On a text of more than 32,767 bytes.
    pub fn encode(&self) -> Entry {
        format::encode(self.clone())
    }

    /// Reads what is stored. `None`: a record of a kind that this version does not know and leaves alone.
    pub fn decode(key: &Bytes, value: Option<&Bytes>) -> Result<Option<Self>, RecordError> {
        format::decode(key, value)
    }
}

/// A place in a partition, and what was said of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommittedOffset {
    /// The next record to read.
    pub offset: Offset,
    /// The epoch of the last record that was read (KIP-320). Not kept where `expires_at` is.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Whatever the member wanted to be kept with it.
    pub metadata: String,
    /// When.
    pub committed_at: Timestamp,
    /// From when on it may be forgotten, where the member said so (requests before version 5).
    pub expires_at: Option<Timestamp>,
    /// Which topic of that name it was. Not kept where `expires_at` is.
    pub topic: Option<TopicId>,
}

/// A group of the classic protocol.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClassicGroup {
    /// What its members do: `consumer`, `connect`, …
    pub protocol_type: String,
    /// How often it was rebalanced.
    pub generation: i32,
    /// The protocol that all members have in common.
    pub protocol: Option<String>,
    /// Who distributes the work.
    pub leader: Option<String>,
    /// Since when the group is in this state.
    pub since: Option<Timestamp>,
    /// In the order of their ids.
    pub members: Vec<ClassicMember>,
}

/// A member of a group of the classic protocol.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClassicMember {
    /// Given by the coordinator.
    pub id: String,
    /// Given by whoever runs it: stays the same when it restarts (KIP-345).
    pub instance_id: Option<String>,
    /// What its client calls itself.
    pub client_id: String,
    /// Where it comes from.
    pub client_host: String,
    /// How long it may take to join again.
    pub rebalance_timeout_ms: i32,
    /// How long it may be silent.
    pub session_timeout_ms: i32,
    /// What it told of itself for the chosen protocol.
    pub subscription: Bytes,
    /// What the leader gave it.
    pub assignment: Bytes,
}

/// A group of the consumer protocol.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsumerGroup {
    /// Counts what makes the work worth distributing anew: members and subscriptions that change, topics that grow.
    pub epoch: i32,
    /// Of the topics it is subscribed to, as they were at that epoch; 0: not known.
    pub metadata_hash: i64,
}

/// A member of a group of the consumer protocol.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsumerMember {
    /// Given by whoever runs it: stays the same when it restarts.
    pub instance_id: Option<String>,
    /// Where it stands.
    pub rack: Option<String>,
    /// What its client calls itself.
    pub client_id: String,
    /// Where it comes from.
    pub client_host: String,
    /// The topics it wants.
    pub topics: Vec<String>,
    /// What the names of topics it wants too have in common.
    pub topic_regex: Option<String>,
    /// How long it may take to give up what it has.
    pub rebalance_timeout_ms: i32,
    /// How it wants the work to be distributed, where it cares.
    pub assignor: Option<String>,
    /// It speaks the classic protocol all the same.
    pub upgraded: Option<UpgradedMember>,
}

/// What must be known of a member that speaks the classic protocol in a group of the consumer protocol.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UpgradedMember {
    /// How long it may be silent.
    pub session_timeout_ms: i32,
    /// Ways to distribute the work, the best first, with what the member has to say for each.
    pub protocols: Vec<(String, Bytes)>,
}

/// A distribution of work.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsumerTarget {
    /// The group's epoch that it was made for.
    pub epoch: i32,
    /// When it was made.
    pub at: Option<Timestamp>,
}

/// Partitions of a topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicPartitions {
    /// Which topic.
    pub topic: TopicId,
    /// Which partitions of it.
    pub partitions: Vec<PartitionIndex>,
}

/// What a member of a group of the consumer protocol has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsumerAssignment {
    /// The epoch it is in.
    pub epoch: i32,
    /// The one before: an answer that got lost must not fence the member.
    pub previous_epoch: i32,
    /// On its way to what it is to get.
    pub state: Reconciliation,
    /// What it may read.
    pub assigned: Vec<OwnedPartitions>,
    /// What it must give up.
    pub revoking: Vec<OwnedPartitions>,
}

/// Where a member is on its way to what it is to get.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reconciliation {
    /// There.
    Stable,
    /// It has something to give up first.
    Revoking,
    /// It waits for what others have to give up.
    Waiting,
    /// A later version of the format knows.
    Unknown,
}

/// Partitions that somebody has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnedPartitions {
    /// Of which topic.
    pub topic: TopicId,
    /// Which, and the member's epoch since when: commits from before are a zombie's (KIP-1251).
    pub partitions: Vec<(PartitionIndex, i32)>,
}

/// What a regular expression stood for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResolvedRegex {
    /// The names that matched.
    pub topics: Vec<String>,
    /// Which state of the cluster's metadata was looked at.
    pub metadata_version: i64,
    /// When.
    pub at: Timestamp,
}
