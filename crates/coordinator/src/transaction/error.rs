//! Why a transaction does not do what it was asked.

use thiserror::Error;

use crate::record::TransactionState;

/// Why a transaction does not do what it was asked.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum TransactionError {
    /// Not a name.
    #[error("the transactional id is empty")]
    EmptyId,
    /// Outside of what the operator allows.
    #[error("a transaction's time-out lies between 1 and {max_ms} ms")]
    InvalidTimeout {
        /// The longest.
        max_ms: i32,
    },
    /// Nobody may leave the decision over transactions to another system (KIP-939), as is Kafka's default.
    #[error("transactions that another system decides on are not enabled")]
    TwoPhaseCommit,
    /// There are no prepared transactions that could be kept (KIP-939).
    #[error("prepared transactions cannot be kept")]
    KeepPrepared,
    /// The transactional id is not known, or another producer id has it.
    #[error("the producer id does not belong to the transactional id")]
    UnknownProducer,
    /// A newer producer has the transactional id, or the transaction was ended for the producer.
    #[error("there is a newer producer with the same transactional id")]
    Fenced,
    /// The markers of the transaction before are under way: come again.
    #[error("the transaction before is not complete")]
    Concurrent,
    /// Nothing that can be done with the transaction as it is.
    #[error("the transaction is {}", state.name())]
    InvalidState {
        /// What it is.
        state: TransactionState,
    },
    /// Nobody used the id, or not for a long time.
    #[error("there is no transactional id {transactional_id}")]
    UnknownId {
        /// The id.
        transactional_id: String,
    },
    /// The controller gave none: come again.
    #[error("there are no producer ids at the moment")]
    NoProducerIds,
    /// What is to be kept of the transaction does not fit in one batch of records.
    #[error("{size} bytes are to be kept of the transaction, at most {max} fit in a batch")]
    TooLarge {
        /// How much it would be.
        size: usize,
        /// How much fits.
        max: usize,
    },
}
