//! Questions to a cluster and changes of it.
//!
//! Every call goes to a broker that can answer it: anybody, the controller, the broker it is about, the leaders of its partitions, or the coordinators
//! of its groups and transactions. Where that was the wrong one, because it has just changed, it is asked again after a while, until the time is up. A change whose
//! answer got lost is not asked for again: it may have been made, and the second answer would be wrong.
//!
//! AlterConfigs is not here: it takes away every setting that it does not name, and IncrementalAlterConfigs does better since Kafka 2.3 (KIP-339).
//! Nor is what clients ask for by themselves: OffsetForLeaderEpoch, InitProducerId, SASL.

mod acls;
mod ask;
mod cluster;
mod configs;
mod error;
mod features;
mod group_offsets;
mod groups;
mod log_dirs;
mod names;
mod offsets;
mod placement;
mod producers;
mod quotas;
mod scram;
mod tokens;
mod topics;
mod transactions;
mod wire_enum;

use std::time::Duration;

use crate::client::Client;

pub use acls::{Acl, AclFilter, AclOperation, AclPattern, AclPermission, AclResource};
pub use ask::ByItem;
pub use cluster::{ApiRange, BrokerDescription, ClusterDescription, Quorum, QuorumReplica};
pub use configs::{
    ConfigChange, ConfigEntry, ConfigOperation, ConfigResource, ConfigSource, ConfigSynonym, ConfigType,
};
pub use error::AdminError;
pub use features::{FeatureLevel, FeatureUpdate, Features};
pub use group_offsets::CommittedOffset;
pub(crate) use group_offsets::{fetch, fetch_of_one, told_offsets, topics_to_commit};
pub use groups::{GroupDescription, GroupFilter, GroupMember, GroupState, GroupType, ListedGroup};
pub use log_dirs::{LogDir, ReplicaOnDisk};
pub use names::PartitionName;
pub(crate) use names::by_topic;
pub use offsets::{ListedOffset, OffsetQuestion, TrimTo};
pub use placement::{Election, Reassignment};
pub use producers::ActiveProducer;
pub use quotas::{QuotaEntity, QuotaMatch, QuotaPart, Quotas};
pub use scram::{ScramChange, ScramMechanism};
pub use tokens::{DelegationToken, Principal};
pub use topics::{CreatedTopic, DescribedPartition, DescribedTopic, NewTopic};
pub use transactions::{
    ListedTransaction, OpenTransaction, TransactionDescription, TransactionFilter, TransactionState,
};

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

/// Questions to a cluster and changes of it. A call about several things gives each its own outcome; it fails as a whole only where nobody
/// could be asked, or who was asked refuses everything.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use klamm_client::{Admin, Change, Client, ClientConfig, NewTopic, OffsetQuestion, PartitionName};
///
/// let client = Client::connect(ClientConfig::new("127.0.0.1:9092")).await?;
/// let admin = Admin::new(&client);
/// let topics = ["orders", "payments"].map(|name| NewTopic {
///     name: name.to_owned(),
///     partition_count: Some(12),
///     ..NewTopic::default()
/// });
/// for (name, outcome) in admin.create_topics(&topics, Change::Make).await? {
///     match outcome {
///         Ok(topic) => println!("{name} is {}", topic.id),
///         Err(error) => println!("{error}"),
///     }
/// }
/// let partition = PartitionName::new("orders", 0);
/// let ends = admin.list_offsets([partition.clone()], OffsetQuestion::Latest).await?;
/// match &ends[&partition] {
///     Ok(end) => println!("{partition} ends at {:?}", end.offset),
///     Err(error) => println!("{error}"),
/// }
/// # Ok(())
/// # }
/// ```
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

    /// How long each call may take.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }
}
