//! Why a partition can't be read.

use std::mem::discriminant;
use std::sync::Arc;

use klamm_model::{BatchError, ErrorCode, Offset};

use crate::call::CallError;
use crate::trouble::Reason;

/// Why a partition can't be read. The other partitions go on.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{topic}-{partition}: {cause}")]
pub struct ConsumeError {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// What stands in the way.
    pub cause: Cause,
}

/// What stands in the way of reading.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Cause {
    /// The wanted offset is not in the log, and the settings say not to go elsewhere.
    #[error("the log has no offset {wanted}{}", extent(*.log_start, *.end))]
    OutOfRange {
        /// The wanted one.
        wanted: Offset,
        /// The oldest there is, if the broker said.
        log_start: Option<Offset>,
        /// The end of what may be read, if the broker said.
        end: Option<Offset>,
    },
    /// Records that were read are not in the log any more: it was cut off, and others may have taken their place (KIP-320).
    #[error("the log was cut off at {end}, and was read up to {read_to}")]
    Truncated {
        /// Where reading would have gone on.
        read_to: Offset,
        /// Up to here what was read is what is there.
        end: Offset,
    },
    /// The topic was deleted, and one of the same name was made: what was not read before is gone.
    #[error("the topic was made anew, and was read up to {read_to} before")]
    MadeAnew {
        /// Where reading would have gone on in the old one.
        read_to: Offset,
    },
    /// The group has committed nothing for it, and the settings say to begin nowhere else.
    #[error("the group has committed no offset for it")]
    Uncommitted,
    /// The brokers know no such topic or partition.
    #[error("the topic or partition does not exist")]
    Unknown,
    /// The partition is there, and no broker leads it.
    #[error("nobody leads it")]
    Leaderless,
    /// The broker said no.
    #[error("the broker answered {0}")]
    Refused(ErrorCode),
    /// The broker said nothing of the partition, or nothing that is of use.
    #[error("the broker's answer is of no use")]
    Useless,
    /// What the broker sent is damaged.
    #[error("at offset {at}: {problem}")]
    Damaged {
        /// Where reading stopped.
        at: Offset,
        /// What is wrong there.
        problem: BatchError,
    },
    /// A key or value is not in the format that was asked for. The next record may be.
    #[error("at offset {at}: the {what} can't be read: {problem}")]
    Undeserializable {
        /// The record.
        at: Offset,
        /// "key" or "value".
        what: &'static str,
        /// What the deserializer said.
        problem: String,
    },
    /// The request brought no answer.
    #[error("{0}")]
    Call(CallError),
}

impl Reason for Cause {
    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Refused(one), Self::Refused(other)) => one == other,
            (Self::Call(one), Self::Call(other)) => discriminant(one) == discriminant(other),
            _ => discriminant(self) == discriminant(other),
        }
    }
}

fn extent(log_start: Option<Offset>, end: Option<Offset>) -> String {
    match (log_start, end) {
        (Some(log_start), Some(end)) => format!(", it goes from {log_start} to {end}"),
        (Some(log_start), None) => format!(", it begins at {log_start}"),
        (None, Some(end)) => format!(", it ends at {end}"),
        (None, None) => String::new(),
    }
}
