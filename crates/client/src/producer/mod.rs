//! Writing records.
//!
//! [`machine`] decides, without clock and sockets; [`Producer`] drives it: callers append under a short lock, one task sends.

mod config;
mod delivery;
mod effect;
mod error;
pub mod machine;
mod question;
mod queue;
mod record;
mod request;
mod reseal;
mod shell;
mod transaction;
mod transaction_error;
mod typed;

pub use config::{Acks, Config, TransactionalConfig};
pub use delivery::{Delivered, Delivery};
pub use effect::{Done, Effect, TopicBatches, Written};
pub use error::{Cause, SendError};
pub use question::{GroupOffsets, Identity, Outcome, Protocol, Question};
pub use queue::BatchId;
pub use record::{Appended, OwnedRecord, Record, Refused};
pub use request::{coordinator_request, identity_request, produce_request};
pub use shell::{BatchReport, Producer, Unacknowledged};
pub use transaction::{Transaction, TransactionalProducer, Uncommitted};
pub use transaction_error::TransactionError;
pub use typed::{RecordFormat, TypedProducer, TypedTransaction};
