//! Writing records.
//!
//! [`machine`] decides, without clock and sockets; [`Producer`] drives it: callers append under a short lock, one task sends.

mod config;
mod delivery;
mod effect;
mod error;
pub mod machine;
mod queue;
mod record;
mod request;
mod reseal;
mod shell;
mod typed;

pub use config::{Acks, Config};
pub use delivery::{Delivered, Delivery};
pub use effect::{Done, Effect, TopicBatches, Written};
pub use error::{Cause, SendError};
pub use queue::BatchId;
pub use record::{Appended, OwnedRecord, Record, Refused};
pub use request::{identity_request, produce_request};
pub use shell::{BatchReport, Producer, Unacknowledged};
pub use typed::TypedProducer;
