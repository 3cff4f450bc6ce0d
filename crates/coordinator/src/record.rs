//! What the coordinators' logs consist of, in the formats of Apache Kafka 4.4: its tools read our logs, and our brokers could read its.

mod group;
mod transaction;

pub use group::{ClassicGroup, ClassicMember, CommittedOffset, GroupRecord};
