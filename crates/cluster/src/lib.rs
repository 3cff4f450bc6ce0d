//! Cluster metadata: its records, their sum (the image), and the controller that decides on new ones.
//!
//! Records come in groups that a consensus engine has committed; every node applies the same groups in the same order to its [`Image`] and so sees the same
//! cluster. One node, the controller, looks at the newest image and decides: a [`Command`](controller::Command) gives records and an answer that may leave
//! once the records are committed. Nothing here knows how they get committed, nor what a request looks like on the wire.

pub mod config;
pub mod controller;
pub mod features;
pub mod image;
pub mod quota;
pub mod record;
pub mod topic_name;

pub use controller::{Command, Controller, ControllerConfig, Decision, Reply};
pub use image::{Broker, Changes, Image, ImageError, Partition, SnapshotError, Topic};
pub use record::{BrokerState, ConfigResource, Listener, Record, RecordError, RegisterBroker};
