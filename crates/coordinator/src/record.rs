//! What the coordinators' logs consist of, in the formats of Apache Kafka 4.4: its tools read our logs, and our brokers could read its.

mod format;
mod group;
mod transaction;

pub use format::RecordError;
pub use group::{
    ClassicGroup, ClassicMember, CommittedOffset, ConsumerAssignment, ConsumerGroup, ConsumerMember,
    ConsumerTarget, GroupRecord, OwnedPartitions, Reconciliation, ResolvedRegex, TopicPartitions,
    UpgradedMember,
};
pub use transaction::{Partitions, Transaction, TransactionRecord, TransactionState, TransactionVersion};
