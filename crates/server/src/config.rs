//! Settings of a server, under Kafka's names where Kafka has them.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use klamm_cluster::config::ConfigError;
use klamm_model::BrokerId;
use klamm_node::NodeConfig;
use uuid::Uuid;

mod listeners;
mod sources;
mod toml;

pub use sources::{LoadError, Place, Setting, Sources};

/// `queued.max.request.bytes`, where nobody set it.
const RECEIVED_BYTES_MAX: usize = 256 << 20;

/// Everything a server is told before it starts.
#[derive(Clone, Debug)]
pub struct Config {
    /// `log.dirs`: where everything is kept, the metadata in the first; at least one, created if they are not there.
    pub data_dirs: Vec<PathBuf>,
    /// Addresses that clients connect to; port 0 takes a free one.
    pub listeners: Vec<SocketAddr>,
    /// `node.listener`: the address that other nodes of the cluster connect to. `None`: beside the first of the listeners. A node alone opens none.
    pub node_listener: Option<SocketAddr>,
    /// `node.advertised.listener`: host and port that other nodes are told.
    pub node_advertised: Option<(String, u16)>,
    /// `node.join`: where the nodes that are to be one cluster listen for each other. Without a cluster on its disk and without these a node is a cluster of its own.
    pub join: Vec<(String, u16)>,
    /// Where metrics are served by HTTP, if they are.
    pub metrics_listener: Option<SocketAddr>,
    /// `advertised.listeners`: host and port that clients are told, in place of the address they came in by.
    pub advertised: Option<(String, u16)>,
    /// `num.network.threads`.
    pub network_threads: usize,
    /// Threads for syncs and other disk work that blocks, at most; they start when they are needed.
    pub disk_threads: usize,
    /// `socket.request.max.bytes`.
    pub request_bytes_max: u32,
    /// `queued.max.request.bytes`: received bytes that all connections together may hold; above it large requests wait. Answers that are not read may take as much;
    /// above it the connections that hold most of them are closed.
    pub received_bytes_max: usize,
    /// `num.recovery.threads.per.data.dir`.
    pub recovery_threads: usize,
    /// `socket.listen.backlog.size`: connections that wait to be accepted.
    pub backlog: i32,
    /// What one connection may do.
    pub connection: ConnectionLimits,
    /// Seed of the node's randomness.
    pub seed: u64,
    /// What the node itself is told.
    pub node: NodeConfig,
}

/// What one connection may do.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Requests under way; reading pauses there (B27).
    pub in_flight_max: usize,
    /// Bytes of answers that wait in memory to be sent; reading pauses there.
    pub unsent_bytes_max: usize,
    /// `connections.max.idle.ms`.
    pub idle_max: Duration,
    /// An unfinished frame that brings less than 64 KiB in this time ends the connection (B3).
    pub frame_stall: Duration,
    /// A client that reads nothing of its answers for this time is given up (F47).
    pub send_stall: Duration,
    /// Where unfinished frames have used up `queued.max.request.bytes`, one of them may go on for this time; if it is not finished by then, its connection is closed.
    pub favour: Duration,
}

impl ConnectionLimits {
    /// The soonest that any of the times can run out.
    pub(crate) fn shortest(&self) -> Duration {
        self.idle_max.min(self.frame_stall).min(self.send_stall)
    }
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            in_flight_max: 256,
            unsent_bytes_max: 4 << 20,
            idle_max: Duration::from_secs(600),
            frame_stall: Duration::from_secs(30),
            send_stall: Duration::from_secs(60),
            favour: Duration::from_secs(2),
        }
    }
}

impl Config {
    /// The defaults for a server of its own.
    pub fn new(data_dir: PathBuf, node_id: BrokerId) -> Self {
        Self {
            data_dirs: vec![data_dir],
            listeners: vec![SocketAddr::from(([127, 0, 0, 1], 9092))],
            node_listener: None,
            node_advertised: None,
            join: Vec::new(),
            metrics_listener: None,
            advertised: None,
            network_threads: std::thread::available_parallelism().map_or(1, usize::from),
            disk_threads: 16,
            request_bytes_max: 100 << 20,
            received_bytes_max: RECEIVED_BYTES_MAX,
            recovery_threads: std::thread::available_parallelism().map_or(1, usize::from),
            backlog: 1024,
            connection: ConnectionLimits::default(),
            seed: 0,
            node: NodeConfig::new(node_id, Uuid::nil(), Uuid::nil()),
        }
    }

    /// Sets one key.
    ///
    /// # Errors
    /// If there is no such key, with the nearest one there is; or if the value does not fit.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), SetError> {
        self.node.give(name, value)?;
        if let Ok(at) = SETTERS.binary_search_by_key(&name, |it| it.0) {
            let reason = |reason| SetError::Unusable { name: SETTERS[at].0, value: value.to_owned(), reason };
            (SETTERS[at].1)(self, value.trim()).map_err(reason)?;
        }
        Ok(())
    }

    /// What was set for a key at start.
    fn given(&self, name: &str) -> Option<&str> {
        self.node.given.set.get(name).map(String::as_str)
    }

    /// Tells the node what the defaults are that depend on this machine, for whoever asks.
    pub(crate) fn tell_defaults(&mut self, addresses: &[SocketAddr], node_address: Option<SocketAddr>) {
        let listeners: Vec<_> = addresses.iter().map(|it| format!("PLAINTEXT://{it}")).collect();
        let data_dirs: Vec<_> = self.data_dirs.iter().map(|path| path.display().to_string()).collect();
        let defaults = [
            ("listeners", listeners.join(",")),
            ("log.dirs", data_dirs.join(",")),
            ("num.network.threads", self.network_threads.to_string()),
            ("num.recovery.threads.per.data.dir", self.recovery_threads.to_string()),
        ];
        let of_several = node_address.map(|address| ("node.listener", address.to_string()));
        Arc::make_mut(&mut self.node.given).defaults.extend(defaults.into_iter().chain(of_several));
    }
}

/// Why a key could not be set.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SetError {
    /// There is no such key, or it cannot have this value.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The value is one, but not here.
    #[error("{name} cannot be {value:?}: {reason}")]
    Unusable {
        /// The key.
        name: &'static str,
        /// As it was given.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
}

type Setter = fn(&mut Config, &str) -> Result<(), String>;

/// What each key that the server itself reads does to its settings, by name. The table of keys has checked the value; the node takes its own.
const SETTERS: &[(&str, Setter)] = &[
    ("broker.id", |it, value| same_number(it, value, "node.id")),
    ("connections.max.idle.ms", |it, value| {
        put(&mut it.connection.idle_max, number(value).map(Duration::from_millis))
    }),
    ("log.dir", |it, value| {
        if it.given("log.dirs").is_some() { Ok(()) } else { put(&mut it.data_dirs, directories(value)) }
    }),
    ("log.dirs", |it, value| put(&mut it.data_dirs, directories(value))),
    ("node.id", |it, value| same_number(it, value, "broker.id")),
    ("num.network.threads", |it, value| put(&mut it.network_threads, number(value))),
    ("num.recovery.threads.per.data.dir", |it, value| put(&mut it.recovery_threads, number(value))),
    ("queued.max.request.bytes", |it, value| {
        let is_limit = !value.starts_with('-') && value != "0";
        let bytes = if is_limit { number(value) } else { Ok(RECEIVED_BYTES_MAX) };
        put(&mut it.received_bytes_max, bytes.and_then(large_enough))
    }),
    ("socket.listen.backlog.size", |it, value| put(&mut it.backlog, number(value))),
    ("socket.request.max.bytes", |it, value| put(&mut it.request_bytes_max, number(value))),
];

/// Keys that are read elsewhere than by a setter: addresses when all is set, the rest where it is needed, in its newest form.
#[cfg(test)]
const READ_ELSEWHERE: &[&str] = &[
    "advertised.listeners",
    "listener.security.protocol.map",
    "listeners",
    "max.connections",
    "max.connections.per.ip",
    "max.request.partition.size.limit",
    "node.advertised.listener",
    "node.join",
    "node.listener",
];

fn put<T>(place: &mut T, value: Result<T, String>) -> Result<(), String> {
    *place = value?;
    Ok(())
}

fn number<T: std::str::FromStr>(value: &str) -> Result<T, String> {
    value.parse().map_err(|_| "it is too large for this machine".to_owned())
}

fn large_enough(bytes: usize) -> Result<usize, String> {
    const LEAST: usize = 1 << 20;
    if bytes < LEAST { Err(format!("it is at least {LEAST}")) } else { Ok(bytes) }
}

fn directories(list: &str) -> Result<Vec<PathBuf>, String> {
    let paths: Vec<PathBuf> = list.split(',').map(|path| PathBuf::from(path.trim())).collect();
    let is_twice = |path: &PathBuf| paths.iter().filter(|it| *it == path).count() > 1;
    if paths.iter().any(|path| path.as_os_str().is_empty()) {
        Err("one of them is empty".to_owned())
    } else if paths.iter().any(is_twice) {
        Err("one of them is there twice".to_owned())
    } else {
        Ok(paths)
    }
}

/// `broker.id` is Kafka's older name of `node.id`.
fn same_number(config: &Config, value: &str, other: &str) -> Result<(), String> {
    match config.given(other) {
        Some(number) if number != "-1" && value != "-1" && number != value => {
            Err(format!("{other} is {number:?}"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
