//! Reading records.
//!
//! [`machine`] decides, without clock and sockets; [`Consumer`] drives it: one task fetches ahead within a budget, callers take batches.

mod batch;
mod config;
mod effect;
mod error;
pub mod machine;
mod shell;
mod slot;

pub use batch::FetchedBatch;
pub use config::{Config, OutOfRange, Start};
pub use effect::{Assignment, Effect, PartitionFetch, TopicFetch, TopicLookup};
pub use error::{Cause, ConsumeError};
pub use shell::Consumer;
