//! What is asked and answered in the consumer protocol (KIP-848).

use crate::group::GroupState;
use crate::record::{ConsumerMember, TopicPartitions};

/// What a member of the consumer protocol has to say. Where something is `None`, it is as it said before.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ConsumerHeartbeat {
    /// Of which group.
    pub group: String,
    /// Empty: it has none yet, and will be told (version 0).
    pub member_id: String,
    /// What it is about.
    pub presence: Presence,
    /// The name that it keeps when it restarts.
    pub instance_id: Option<String>,
    /// Where it stands.
    pub rack: Option<String>,
    /// What its client calls itself.
    pub client_id: String,
    /// Where it comes from.
    pub client_host: String,
    /// How long it may take to give up what it has (-1 on the wire: `None`).
    pub rebalance_timeout_ms: Option<i32>,
    /// The topics it wants.
    pub topics: Option<Vec<String>>,
    /// What the names of topics it wants too look like, in full; empty: there are no others (from version 1).
    pub topic_regex: Option<String>,
    /// How it wants the work to be distributed.
    pub assignor: Option<String>,
    /// What it has at the moment.
    pub owned: Option<Vec<TopicPartitions>>,
}

/// What a member of the consumer protocol is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Presence {
    /// It comes, with nothing (epoch 0).
    #[default]
    Joins,
    /// It is a member, in this epoch, which is above 0.
    Stays(i32),
    /// It goes (epoch -1).
    Leaves,
    /// It goes, and whoever comes next under its instance id gets its work (epoch -2).
    Pauses,
}

impl Presence {
    /// The member epoch of a request. `None`: there is no such epoch.
    pub fn from_wire(epoch: i32) -> Option<Self> {
        match epoch {
            0 => Some(Self::Joins),
            -1 => Some(Self::Leaves),
            -2 => Some(Self::Pauses),
            epoch => (0 < epoch).then_some(Self::Stays(epoch)),
        }
    }

    /// The member epoch of an answer.
    pub fn to_wire(self) -> i32 {
        match self {
            Self::Joins => 0,
            Self::Stays(epoch) => epoch,
            Self::Leaves => -1,
            Self::Pauses => -2,
        }
    }
}

/// What a member of the consumer protocol is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsumerBeat {
    /// Who it is.
    pub member_id: String,
    /// What it is about: of a member, the epoch that it is in now.
    pub presence: Presence,
    /// How long it may wait before it shows itself again; 0 where it has gone.
    pub heartbeat_interval_ms: u32,
    /// All it may have. `None`: nothing has changed.
    pub assignment: Option<Vec<TopicPartitions>>,
}

/// What a group of the consumer protocol is now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsumerDescription {
    /// What it is about.
    pub state: GroupState,
    /// Counts what makes the work worth distributing anew.
    pub epoch: i32,
    /// The epoch that the work was last distributed for.
    pub assignment_epoch: i32,
    /// How it is distributed.
    pub assignor: &'static str,
    /// In the order of their ids.
    pub members: Vec<DescribedConsumer>,
}

/// What a member of a group of the consumer protocol is now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DescribedConsumer {
    /// Its own, or given by the coordinator.
    pub id: String,
    /// The epoch it is in; -2 where it has gone for a while.
    pub epoch: i32,
    /// As it introduced itself.
    pub said: ConsumerMember,
    /// What it has, and need not give up.
    pub assigned: Vec<TopicPartitions>,
    /// What it is to get in the end.
    pub target: Vec<TopicPartitions>,
}
