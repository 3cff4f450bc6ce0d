//! Reading as one of a group, whose members share the partitions of their topics.
//!
//! [`machine`] decides, without clock and sockets; [`GroupConsumer`] drives it.

mod assignor;
mod config;
mod effect;
mod error;
mod format;
pub mod machine;
mod metadata;
mod request;
mod shell;
mod stream;

pub use assignor::Assignor;
pub use config::{Config, GroupProtocol};
pub use effect::{CommitId, Effect, ReaderId, RevocationId, Taken, Whom};
pub use error::{CommitError, GroupConsumeError, GroupError};
pub(crate) use format::understood;
use format::{assigned, assignments, subscriber, subscription};
pub use metadata::GroupMetadata;
pub use shell::{Commit, GroupConsumer, GroupEvent, Revocation};
pub use stream::GroupRecords;
