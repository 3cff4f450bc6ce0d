//! Why records were not written.

use std::mem::discriminant;
use std::sync::Arc;

use klamm_model::ErrorCode;

use super::transaction_error::TransactionError;
use crate::call::CallError;
use crate::trouble::Reason;

/// Records that were given to the producer and are not known to be written.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}: {}: {cause}", self.place(), effort(*.tries, *.maybe_written))]
pub struct SendError {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition, once it was chosen.
    pub partition: Option<i32>,
    /// How often the records were sent.
    pub tries: u32,
    /// Whether they may be in the log all the same: an answer got lost, or came from a broker that could not know. To send them again could then
    /// store them twice.
    pub maybe_written: bool,
    /// What stood in the way at last.
    pub cause: Cause,
}

impl SendError {
    pub(crate) fn before_sending(topic: &str, partition: Option<i32>, cause: Cause) -> Self {
        Self { topic: topic.into(), partition, tries: 0, maybe_written: false, cause }
    }

    fn place(&self) -> String {
        match self.partition {
            Some(partition) => format!("{}-{partition}", self.topic),
            None => self.topic.to_string(),
        }
    }
}

/// What stood in the way of a record.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Cause {
    /// The partition is there, and no broker leads it.
    #[error("nobody leads it")]
    Leaderless,
    /// The broker said no.
    #[error("the broker answered {code}{}", detail(.message))]
    Refused {
        /// Its error code.
        code: ErrorCode,
        /// Its explanation, if it gave one.
        message: Option<String>,
    },
    /// The request brought no answer.
    #[error("{0}")]
    Call(CallError),
    /// Time ran out while it was tried again.
    #[error("no acknowledgement within {timeout_ms} ms{}", last_cause(.last))]
    TimedOut {
        /// The delivery timeout.
        timeout_ms: u64,
        /// What went wrong in the last try, or why there was none.
        last: Option<Box<Cause>>,
    },
    /// A single record exceeds what may be sent at once.
    #[error("the record takes {size} bytes, the limit is {size_max}")]
    RecordTooLarge {
        /// Its size in a batch.
        size: usize,
        /// The limit of this producer.
        size_max: usize,
    },
    /// The buffer stayed full.
    #[error("the buffer of {buffer_memory} bytes stayed full for {waited_ms} ms")]
    BufferFull {
        /// Its size.
        buffer_memory: usize,
        /// How long the record waited.
        waited_ms: u64,
    },
    /// The brokers told of no such topic in time.
    #[error("the topic is not known after {waited_ms} ms{}", told_of_it(*.answer, .last))]
    UnknownTopic {
        /// How long the record waited.
        waited_ms: u64,
        /// What the brokers answered about it.
        answer: Option<ErrorCode>,
        /// Why no broker answered, if none did.
        last: Option<CallError>,
    },
    /// The partition asked for does not exist.
    #[error("the topic has {partition_count} partitions, from 0")]
    UnknownPartition {
        /// How many there are.
        partition_count: usize,
    },
    /// Its key or value has no bytes.
    #[error("no {what} can be made of it: {problem}")]
    Unserializable {
        /// "key" or "value".
        what: &'static str,
        /// What the serializer said.
        problem: String,
    },
    /// It belongs in a transaction, and that does not go on.
    #[error("{0}")]
    Transaction(Box<TransactionError>),
    /// Its transaction was aborted before it was written.
    #[error("its transaction was aborted")]
    Aborted,
    /// The producer was closed before.
    #[error("the producer is closed")]
    Closed,
    /// The producer was closed meanwhile, and who closed it did not want to wait any longer.
    #[error("the producer was closed before an acknowledgement came")]
    Abandoned,
}

impl Reason for Cause {
    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            // Brokers name the partition in their explanation.
            (Self::Refused { code: one, .. }, Self::Refused { code: other, .. }) => one == other,
            (Self::Call(one), Self::Call(other)) => discriminant(one) == discriminant(other),
            _ => discriminant(self) == discriminant(other),
        }
    }
}

fn effort(tries: u32, maybe_written: bool) -> String {
    let written = if maybe_written { "not known to be written" } else { "not written" };
    match tries {
        0 => "not sent".to_owned(),
        1 => format!("{written} after 1 try"),
        tries => format!("{written} after {tries} tries"),
    }
}

fn detail(message: &Option<String>) -> String {
    message.as_ref().map_or(String::new(), |message| format!(": {message}"))
}

pub(super) fn last_cause(last: &Option<Box<Cause>>) -> String {
    last.as_ref().map_or(String::new(), |cause| format!("; what stood in the way: {cause}"))
}

fn told_of_it(answer: Option<ErrorCode>, last: &Option<CallError>) -> String {
    match (last, answer) {
        (Some(error), _) => format!("; {error}"),
        (None, Some(code)) => format!(" ({code})"),
        (None, None) => String::new(),
    }
}
