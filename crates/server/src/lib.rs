//! The shell around a node: sockets, disks, threads and clocks.
//!
//! ```text
//!   socket -> input -> request --.                        .-> output -> socket
//!                                 >- monitor (the node) -<
//!   disk threads, engine, peers -'                        '-> disk threads, engine, peers
//! ```
//! The shape is "the node as a monitor": the I/O threads ([`io`](crate) module) own connections, step the node under one lock, and carry out what
//! comes of it themselves. Nothing in here decides anything that a client can see; that is all in `klamm-node`.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod buffer;
mod clock;
mod config;
mod connection;
mod disk;
mod doors;
mod engines;
mod greet;
mod identity;
mod inbox;
mod input;
mod io;
mod joining;
mod metrics;
mod monitor;
mod output;
mod peers;
mod places;
mod request;
mod shared;
mod socket;
mod start;
mod turns;
mod write;

pub use config::{Config, ConnectionLimits, LoadError, Place, SetError, Setting, Sources};
#[doc(hidden)]
pub use input::cut_frames;
pub use monitor::LockTimes;
pub use start::{Server, Shutdown, StartError};
