//! What a member of a group can be told.

use std::str::FromStr;

use super::assignor::Assignor;
use crate::consumer::OutOfRange;

/// By which protocol a group shares its partitions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum GroupProtocol {
    /// One of the members does, and all stop for it or give up what moves.
    #[default]
    Classic,
    /// The coordinator does, and each member moves at its own pace (KIP-848).
    Consumer,
}

impl GroupProtocol {
    /// Kafka's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Consumer => "consumer",
        }
    }
}

impl FromStr for GroupProtocol {
    type Err = &'static str;

    /// By Kafka's word, in capitals or not.
    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word.to_ascii_lowercase().as_str() {
            "classic" => Ok(Self::Classic),
            "consumer" => Ok(Self::Consumer),
            _ => Err("neither classic nor consumer"),
        }
    }
}

/// Settings of a member of a group; the defaults are those of Kafka's Java client. All members should have the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// The group.
    pub group_id: String,
    /// By which protocol it shares its partitions.
    pub protocol: GroupProtocol,
    /// A name that this member keeps over restarts (KIP-345): it gets back what it had, and whoever takes its name takes its place.
    pub instance_id: Option<String>,
    /// Who is not heard of for so long is out of the group, in milliseconds. In the consumer protocol the coordinator decides that.
    pub session_timeout_ms: u64,
    /// How often the coordinator is to hear of us, in milliseconds. In the consumer protocol it says that itself.
    pub heartbeat_interval_ms: u64,
    /// The longest that the application may be busy with what it was handed, a revocation for example, in milliseconds. Who takes longer is
    /// out of the group until it asks for more. Rebalances wait so long for a member.
    pub poll_interval_max_ms: u64,
    /// How often what the application is done with is committed by itself, in milliseconds; also before a partition is given up. `None`: never.
    pub auto_commit_interval_ms: Option<u64>,
    /// How members share partitions, the best liked first; the group takes one that all of them have. Not for the consumer protocol.
    pub assignors: Vec<Assignor>,
    /// How the coordinator is to share partitions in the consumer protocol, `uniform` or `range` for example; `None` leaves that to it.
    pub server_assignor: Option<String>,
    /// Where to begin a partition for which the group has committed nothing.
    pub uncommitted: OutOfRange,
}

impl Config {
    /// The defaults, with a group.
    pub fn new(group_id: impl Into<String>) -> Self {
        Self {
            group_id: group_id.into(),
            protocol: GroupProtocol::Classic,
            instance_id: None,
            session_timeout_ms: 45_000,
            heartbeat_interval_ms: 3_000,
            poll_interval_max_ms: 300_000,
            auto_commit_interval_ms: Some(5_000),
            assignors: vec![Assignor::Range, Assignor::CooperativeSticky],
            server_assignor: None,
            uncommitted: OutOfRange::Latest,
        }
    }

    /// Whether members keep what they have while partitions are shared anew. Who may have to stop for it, does.
    pub(super) fn is_cooperative(&self) -> bool {
        self.assignors.iter().all(|assignor| assignor.is_cooperative())
    }
}
