//! Reading records.
//!
//! [`machine`] decides, without clock and sockets; [`Consumer`] drives it: one task fetches ahead within a budget, callers take batches.

mod aborted;
mod batch;
mod config;
mod effect;
mod error;
pub mod machine;
mod request;
mod reset;
mod session;
mod shell;
mod slot;
mod stream;
mod subscription;

pub use batch::{ConsumedRecord, FetchedBatch};
pub use config::{Config, Isolation, OutOfRange, Start};
pub use effect::{
    Ask, Asked, Assignment, Effect, PartitionFetch, PartitionPosition, SessionStep, TopicFetch, TopicLookup,
};
pub use error::{Cause, ConsumeError};
pub use request::Question;
pub use reset::Reset;
pub(crate) use reset::Resets;
pub use shell::Consumer;
pub use stream::{RecordStream, TypedStream};
pub use subscription::Topics;
