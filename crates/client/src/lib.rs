//! Producer, consumer and admin client.
//!
//! What is decided is decided in machines that know neither sockets nor clocks ([`producer::machine`], [`metadata`], [`consumer::machine`],
//! [`group::machine`]); around them is a small tokio shell: connections shared by everybody (`net`), and the public [`Client`], [`Producer`],
//! [`Consumer`], [`GroupConsumer`] and [`Admin`]. It runs on any tokio runtime, a `current_thread` one included.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use klamm_client::{Client, ClientConfig, Producer, ProducerConfig, Record};
//!
//! let client = Client::connect(ClientConfig::new("127.0.0.1:9092")).await?;
//! let producer = Producer::new(&client, ProducerConfig::default());
//! let delivered = producer.send(Record::new("events", b"hello").with_key(b"me")).await?;
//! println!("{} {} {:?}", delivered.topic, delivered.partition, delivered.offset);
//! producer.close().await;
//! # Ok(())
//! # }
//! ```

mod admin;
mod backoff;
mod call;
mod client;
pub mod consumer;
mod coordinators;
mod format;
pub mod group;
pub mod metadata;
mod metrics;
mod net;
mod partitioner;
pub mod producer;
mod properties;
mod sasl;
mod tls;
mod trouble;

pub use admin::{
    Acl, AclFilter, AclOperation, AclPattern, AclPermission, AclResource, ActiveProducer, Admin, AdminError,
    ApiRange, BrokerDescription, ByItem, Change, ClusterDescription, CommittedOffset, ConfigChange,
    ConfigEntry, ConfigOperation, ConfigResource, ConfigSource, ConfigSynonym, ConfigType, CreatedTopic,
    DelegationToken, DescribedPartition, DescribedTopic, Election, FeatureLevel, FeatureUpdate, Features,
    GroupDescription, GroupFilter, GroupMember, GroupState, GroupType, ListedGroup, ListedOffset,
    ListedTransaction, LogDir, NewTopic, OffsetQuestion, OpenTransaction, PartitionName, Principal, Quorum,
    QuorumReplica, QuotaEntity, QuotaMatch, QuotaPart, Quotas, Reassignment, ReplicaOnDisk, ScramChange,
    ScramMechanism, TransactionDescription, TransactionFilter, TransactionState, TrimTo,
};
pub use backoff::Backoff;
pub use call::{CallError, CallId};
pub use client::{Client, Config as ClientConfig};
pub use consumer::{
    Assignment, Config as ConsumerConfig, ConsumeError, ConsumedRecord, Consumer, FetchedBatch, Isolation,
    OutOfRange, PartitionPosition, RecordStream, Reset, Start, Topics, TypedStream,
};
#[cfg(feature = "json")]
pub use format::JsonFormat;
pub use format::{Deserializer, FormatError, RawFormat, Serializer, TextFormat};
pub use group::{
    Assignor, Commit, CommitError, Config as GroupConfig, GroupConsumeError, GroupConsumer, GroupError,
    GroupEvent, GroupMetadata, GroupProtocol, GroupRecords, Revocation,
};
pub use metrics::{ClientMetrics, ConsumerMetrics, ProducerMetrics, Timing};
pub use partitioner::{Partitioner, Random, murmur2, partition_of_key};
pub use producer::{
    Acks, BatchReport, Cause, Config as ProducerConfig, Delivered, Delivery, OwnedRecord, Producer,
    Protocol as TransactionProtocol, Record, RecordFormat, SendError, Transaction, TransactionError,
    TransactionalConfig, TransactionalProducer, TypedProducer, TypedTransaction, Unacknowledged, Uncommitted,
};
pub use properties::{PropertyError, foreign_property, property_names, read_properties};
pub use sasl::{Password, Sasl, Tokens};
pub use tls::{Tls, TlsIdentity, TlsProblem, TlsVersion};
pub use trouble::{CommonTrouble, Trouble};
