//! Writing records.
//!
//! [`machine`] decides, without clock and sockets; [`Producer`] drives it: callers append under a short lock, one task sends.

mod config;
mod delivery;
mod error;
pub mod machine;
mod queue;
mod shell;

pub use config::{Acks, Config};
pub use delivery::{Delivered, Delivery};
pub use error::{Cause, SendError};
pub use machine::Record;
pub use queue::BatchId;
pub use shell::{BatchReport, Producer};
