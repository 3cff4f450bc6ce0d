//! Why a member is out of its group for good, and why a commit was refused.

use klamm_model::ErrorCode;

use crate::PartitionName;
use crate::call::CallError;
use crate::consumer::ConsumeError;

/// Why a consumer is not in its group any more and does not come back by itself. Whatever passes is tried again and is none of these.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum GroupError {
    /// Somebody else has come with the same `group.instance.id` (KIP-345).
    #[error("another member has taken the place of {instance_id:?}")]
    Fenced {
        /// The name that both have.
        instance_id: String,
    },
    /// Somebody else is in the group by the same `group.instance.id`, and has not said that it goes (KIP-848).
    #[error("a member {instance_id:?} is in the group still: it has not left, and its session is not over")]
    Unreleased {
        /// The name that both have.
        instance_id: String,
    },
    /// The coordinator does not want it as a member.
    #[error("the coordinator answered {code}{}", told(.message))]
    Refused {
        /// The error code.
        code: ErrorCode,
        /// What it said, if anything.
        message: Option<String>,
    },
    /// What the coordinator or the group's leader sent is of no use.
    #[error("{0}")]
    Useless(&'static str),
    /// No broker can be asked.
    #[error("{0}")]
    Call(CallError),
}

/// What a group's consumer can be told instead of records.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum GroupConsumeError {
    /// A partition can't be read; the others go on.
    #[error(transparent)]
    Partition(#[from] ConsumeError),
    /// The consumer is out of its group for good. Whoever asks again is told the same.
    #[error(transparent)]
    Group(#[from] GroupError),
}

/// Why offsets were not committed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CommitError {
    /// Somebody else has come with the same `group.instance.id`.
    #[error("another member has taken this one's place")]
    Fenced,
    /// The group does not count this consumer among its members, or has gone on without it: others have its partitions now, and will read
    /// again what was not committed.
    #[error("not a member of the group now")]
    NotMember,
    /// The group's partitions are being shared anew, and those that were to be committed are not this consumer's any more.
    #[error("the partitions are being shared anew")]
    RebalanceInProgress,
    /// The coordinator does not take it.
    #[error("{partition}: the coordinator answered {code}")]
    Refused {
        /// The first such partition.
        partition: PartitionName,
        /// The error code.
        code: ErrorCode,
    },
    /// The coordinator could not be asked, or not be found, for as long as a request may take; this is what stood in the way last. Whether
    /// the offsets are committed is not known.
    #[error("not committed in time: {0}")]
    TimedOut(String),
    /// The consumer was closed, or is out of its group for good.
    #[error("the consumer is closed")]
    Closed,
}

fn told(message: &Option<String>) -> String {
    message
        .as_deref()
        .filter(|message| !message.is_empty())
        .map(|message| format!(": {message}"))
        .unwrap_or_default()
}
