//! Reading records.
//!
//! [`machine`] decides, without clock and sockets; [`Consumer`] drives it: one task fetches ahead within a budget, callers take batches.

mod batch;
mod config;
mod error;
pub mod machine;
mod shell;

pub use batch::FetchedBatch;
pub use config::{Config, OutOfRange, Start};
pub use error::{Cause, ConsumeError};
pub use machine::Assignment;
pub use shell::Consumer;
