//! Questions to a cluster and changes of it.
//!
//! Every call goes to a broker that can answer it: anybody, the controller, the broker it is about, or the leaders of its partitions. Where that
//! was the wrong one, because a leader or the controller has just changed, it is asked again after a while, until the time is up. A change whose
//! answer got lost is not asked for again: it may have been made, and the second answer would be wrong.

mod ask;
mod cluster;
mod configs;
mod error;
mod log_dirs;
mod names;
mod offsets;
mod placement;
mod producers;
mod topics;

use std::time::Duration;

use crate::client::Client;

pub use cluster::{
    ApiRange, BrokerDescription, ClusterDescription, FeatureLevel, Features, Quorum, QuorumReplica,
};
pub use configs::{
    ConfigChange, ConfigEntry, ConfigOperation, ConfigResource, ConfigSource, ConfigSynonym, ConfigType,
};
pub use error::AdminError;
pub use log_dirs::{LogDir, ReplicaOnDisk};
pub use names::PartitionName;
pub use offsets::{ListedOffset, OffsetQuestion, TrimTo};
pub use placement::{Election, Reassignment};
pub use producers::ActiveProducer;
pub use topics::{CreatedTopic, DescribedPartition, DescribedTopic, NewTopic};

/// How long a call may take, with all its attempts.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Whether a change is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Change {
    /// It is.
    #[default]
    Make,
    /// The brokers only say whether they would make it.
    Check,
}

/// Questions to a cluster and changes of it.
#[derive(Clone)]
pub struct Admin {
    client: Client,
    timeout: Duration,
}

impl Admin {
    /// On the client's connections.
    pub fn new(client: &Client) -> Self {
        Self { client: client.clone(), timeout: TIMEOUT }
    }

    /// The same, where each call may take this long, with all its attempts.
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }
}
