//! Many nodes and clients in one thread, with seeded faults: the same node code as in production in a world that is as bad as it may be.
//!
//! One number, the seed, decides everything: the faults, the order of all that happens, the clients' doings. [`run`] lives through one seed; a seed lived
//! through twice gives the same trace. The [`check::Checker`] looks at the history, not at the nodes' own opinion of it.

#![allow(clippy::print_stdout)]

use klamm_model::BrokerId;

pub mod alone;
pub mod check;
pub mod client;
pub mod coverage;
pub mod dice;
pub mod disk;
pub mod engine;
pub mod faults;
pub mod groups;
pub mod machine;
pub mod network;
pub mod orders;
pub mod originals;
pub mod outcomes;
pub mod renewals;
pub mod replicas;
pub mod roles;
pub mod runner;
pub mod sightings;
pub mod stored;
pub mod timeline;
pub mod trace;
pub mod transfers;
pub mod world;

pub use world::{BrokerSabotage, Options, Outcome, Sabotage, Workload, run};

/// Machines in the world that are brokers: the first ones.
pub const BROKER_COUNT: usize = 3;
/// Machines in the world, at most: in some runs there are controllers that are no brokers.
pub const NODE_COUNT: usize = 6;
/// Clients in the world: five who write and read, one who creates topics and operates the cluster, one who deletes its own and makes it anew.
pub const CLIENT_COUNT: usize = 7;
/// Everybody who is on the network.
pub const PARTY_COUNT: usize = NODE_COUNT + CLIENT_COUNT;

/// The broker that runs on a machine.
pub fn broker_id(node: usize) -> BrokerId {
    BrokerId(node as i32)
}
