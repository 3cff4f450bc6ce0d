//! Records of `__consumer_offsets`.

use bytes::Bytes;
use klamm_model::{LeaderEpoch, Offset, PartitionIndex, Timestamp, TopicId};

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
}

/// A place in a partition, and what was said of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommittedOffset {
    /// The next record to read.
    pub offset: Offset,
    /// The epoch of the last record that was read (KIP-320).
    pub leader_epoch: Option<LeaderEpoch>,
    /// Whatever the member wanted to be kept with it.
    pub metadata: String,
    /// When.
    pub committed_at: Timestamp,
    /// From when on it may be forgotten, where the member said so (requests before version 5).
    pub expires_at: Option<Timestamp>,
    /// Which topic of that name it was.
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
