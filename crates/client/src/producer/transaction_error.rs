//! Why a transaction does not go on.

use super::error::{Cause, last_cause};

/// Why a transaction does not go on.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TransactionError {
    /// Another producer has taken over the transactional id, or the transaction was open for too long. This producer has come to its end, and nothing of
    /// what it had not committed counts.
    #[error(
        "another producer has the transactional id {transactional_id} now, or the transaction was open for too long"
    )]
    Fenced {
        /// The transactional id.
        transactional_id: String,
    },
    /// The producer has come to its end for another reason. A new one with the same transactional id aborts what this one left behind.
    #[error("the producer can't go on: {0}")]
    Fatal(Box<Cause>),
    /// Something of the transaction is missing: it can't be committed any more, only aborted. After that the producer can begin another one.
    #[error("the transaction can only be aborted: {0}")]
    MustAbort(Box<Cause>),
    /// The coordinator has not decided in time, and is asked on. Whoever commits again goes on waiting for the same.
    #[error("nothing decided within {waited_ms} ms{}", last_cause(.last))]
    Undecided {
        /// How long that was waited for.
        waited_ms: u64,
        /// What stood in the way at last.
        last: Option<Box<Cause>>,
    },
    /// There is one at a time.
    #[error("a transaction is open already")]
    AlreadyOpen,
    /// The transaction takes nothing more: its end is asked for.
    #[error("the transaction is being {}", if *.is_commit { "committed" } else { "aborted" })]
    Ending {
        /// Which end.
        is_commit: bool,
    },
    /// Records and offsets of such a producer belong in a transaction.
    #[error("no transaction is open")]
    NotOpen,
    /// The settings do not go together.
    #[error("{0}")]
    Unsuitable(&'static str),
    /// The producer was closed before.
    #[error("the producer is closed")]
    Closed,
}

impl TransactionError {
    /// Whether this producer can do nothing more.
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::Fenced { .. } | Self::Fatal(_) | Self::Closed | Self::Unsuitable(_) => true,
            Self::MustAbort(_)
            | Self::Undecided { .. }
            | Self::AlreadyOpen
            | Self::Ending { .. }
            | Self::NotOpen => false,
        }
    }
}
