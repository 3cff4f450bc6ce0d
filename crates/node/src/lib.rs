//! A whole node as one deterministic state machine.
//!
//! [`Node::step`] takes an [`Event`] and the time and gives [`Effect`]s. It owns all decisions of a broker and, where it leads the quorum, of the controller;
//! it knows no sockets, files, threads or clocks. The same code runs in production, where the `server` crate carries out the effects, and in the simulator.

mod calls;
mod cleaner;
mod codec;
mod config;
mod coordinators;
mod disks;
mod doubts;
mod errors;
mod event;
mod features;
mod feeds;
mod fetch_sessions;
mod follow;
mod handlers;
mod hosted;
mod line_limit;
mod membership;
mod metadata;
mod mover;
mod news;
mod node;
mod offline;
mod partitions;
mod pipeline;
mod prepare;
mod quotas;
mod reads;
mod reply;
mod report;
mod rules;
mod scrubber;
mod stalls;
mod stopping;
mod throttle;
mod turned_away;
mod unsecured;
mod waiters;
mod walk;

pub use config::{
    BROKER_LISTENER, CleanerConfig, Endpoint, Given, InternalTopic, NodeConfig, Roles, ScrubberConfig,
};
pub use coordinators::{
    Load, Loaded,
    report::{Lag, LagWalk},
};
pub use event::{
    ConnectionId, Effect, Event, Incoming, Listener, Now, Origin, PeerFailure, ReplyTo, Rest, View,
};
pub use line_limit::LineLimit;
pub use node::Node;
pub use partitions::log_config;
pub use pipeline::Pipeline;
pub use prepare::{Body, Produce, ProducePartition, ProduceTopic, begin_to_prepare, prepare};
pub use reads::{answer_from_view, api_versions_misplaced, api_versions_unsupported};
pub use reply::{FileRange, Found, Lookup, ReadAt, Reply};
pub use report::{LogDirReport, Report};
pub use walk::Walk;
