//! Settings of a server, under Kafka's names where Kafka has them.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use klamm_model::BrokerId;
use klamm_node::NodeConfig;
use uuid::Uuid;

/// Everything a server is told before it starts.
#[derive(Clone, Debug)]
pub struct Config {
    /// `log.dirs`: where everything is kept; created if it is not there.
    pub data_dir: PathBuf,
    /// Addresses that clients connect to; port 0 takes a free one.
    pub listeners: Vec<SocketAddr>,
    /// The address that other brokers connect to, if there are to be any.
    pub broker_listener: Option<SocketAddr>,
    /// `advertised.listeners`: host and port that clients are told, in place of the address they came in by.
    pub advertised: Option<(String, u16)>,
    /// `num.network.threads`.
    pub network_threads: usize,
    /// Threads for syncs and other disk work that blocks, at most; they start when they are needed.
    pub disk_threads: usize,
    /// `socket.request.max.bytes`.
    pub request_bytes_max: u32,
    /// `queued.max.request.bytes`: received bytes that all connections together may hold; above it large requests wait.
    pub received_bytes_max: usize,
    /// `max.connections`.
    pub connections_max: usize,
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
        }
    }
}

impl Config {
    /// The defaults for a server of its own.
    pub fn new(data_dir: PathBuf, node_id: BrokerId) -> Self {
        Self {
            data_dir,
            listeners: vec![SocketAddr::from(([127, 0, 0, 1], 9092))],
            broker_listener: None,
            advertised: None,
            network_threads: std::thread::available_parallelism().map_or(1, usize::from),
            disk_threads: 16,
            request_bytes_max: 100 << 20,
            received_bytes_max: 256 << 20,
            connections_max: 10_000,
            connection: ConnectionLimits::default(),
            seed: 0,
            node: NodeConfig::new(node_id, Uuid::nil(), Uuid::nil()),
        }
    }

    /// Sets one key, as `--set key=value` does.
    ///
    /// # Errors
    /// If there is no such key, with the nearest one there is; or if the value does not fit.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), SetError> {
        if let Some(row) = KEYS.iter().find(|row| row.name == key) {
            return (row.set)(self, value).map_err(|expected| SetError::BadValue {
                key: row.name,
                value: value.to_owned(),
                expected,
            });
        }
        if let Some(topic_key) =
            klamm_cluster::config::TOPIC_CONFIGS.iter().find(|row| row.broker_key == Some(key))
        {
            klamm_cluster::config::check(topic_key.name, value).map_err(|error| {
                SetError::BadTopicDefault { key: key.to_owned(), reason: error.to_string() }
            })?;
            self.node.topic_defaults.retain(|(name, _)| name != topic_key.name);
            self.node.topic_defaults.push((topic_key.name.to_owned(), value.to_owned()));
            return Ok(());
        }
        let known = KEYS.iter().map(|row| row.name);
        let topic_keys = klamm_cluster::config::TOPIC_CONFIGS.iter().filter_map(|row| row.broker_key);
        let nearest = known.chain(topic_keys).min_by_key(|name| distance(name, key)).unwrap_or_default();
        Err(SetError::UnknownKey { key: key.to_owned(), nearest })
    }
}

/// Why a key could not be set.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SetError {
    /// There is no such key.
    #[error("there is no key {key:?}; the nearest is {nearest:?}")]
    UnknownKey {
        /// As it was given.
        key: String,
        /// The key that differs from it least.
        nearest: &'static str,
    },
    /// The value does not fit the key.
    #[error("{key} cannot be {value:?}: it is {expected}")]
    BadValue {
        /// The key.
        key: &'static str,
        /// As it was given.
        value: String,
        /// What would fit.
        expected: &'static str,
    },
    /// The value does not fit a default for topics.
    #[error("{key}: {reason}")]
    BadTopicDefault {
        /// The key.
        key: String,
        /// What is wrong with the value.
        reason: String,
    },
}

struct Key {
    name: &'static str,
    set: fn(&mut Config, &str) -> Result<(), &'static str>,
}

const KEYS: &[Key] = &[
    Key {
        name: "auto.create.topics.enable",
        set: |config, value| put(&mut config.node.auto_create_topics, truth(value)),
    },
    Key {
        name: "broker.heartbeat.interval.ms",
        set: |config, value| put(&mut config.node.heartbeat_interval_ms, number(value, 1)),
    },
    Key { name: "broker.rack", set: |config, value| put(&mut config.node.rack, Ok(Some(value.to_owned()))) },
    Key {
        name: "broker.session.timeout.ms",
        set: |config, value| put(&mut config.node.session_timeout_ms, number(value, 1)),
    },
    Key {
        name: "connections.max.idle.ms",
        set: |config, value| {
            put(&mut config.connection.idle_max, number(value, 1).map(Duration::from_millis))
        },
    },
    Key {
        name: "default.replication.factor",
        set: |config, value| put(&mut config.node.default_replication_factor, number(value, 1).map(Some)),
    },
    Key {
        name: "fetch.max.bytes",
        set: |config, value| put(&mut config.node.fetch_bytes_max, number(value, 1024)),
    },
    Key {
        name: "log.retention.check.interval.ms",
        set: |config, value| put(&mut config.node.retention_check_interval_ms, number(value, 1)),
    },
    Key { name: "max.connections", set: |config, value| put(&mut config.connections_max, number(value, 1)) },
    Key {
        name: "message.max.bytes",
        set: |config, value| put(&mut config.node.message_bytes_max, number(value, 1)),
    },
    Key {
        name: "num.network.threads",
        set: |config, value| put(&mut config.network_threads, number(value, 1)),
    },
    Key {
        name: "num.partitions",
        set: |config, value| put(&mut config.node.default_partition_count, number(value, 1)),
    },
    Key {
        name: "queued.max.request.bytes",
        set: |config, value| put(&mut config.received_bytes_max, number(value, 1 << 20)),
    },
    Key {
        name: "replica.fetch.max.bytes",
        set: |config, value| put(&mut config.node.replica_fetch_bytes_max, number(value, 1)),
    },
    Key {
        name: "replica.fetch.wait.max.ms",
        set: |config, value| put(&mut config.node.replica_fetch_wait_ms, number(value, 1)),
    },
    Key {
        name: "replica.lag.time.max.ms",
        set: |config, value| put(&mut config.node.replica_lag_time_max_ms, number(value, 1)),
    },
    Key {
        name: "socket.request.max.bytes",
        set: |config, value| put(&mut config.request_bytes_max, number(value, 1024)),
    },
];

fn put<T>(place: &mut T, value: Result<T, &'static str>) -> Result<(), &'static str> {
    *place = value?;
    Ok(())
}

fn number<T: TryFrom<u64>>(value: &str, least: u64) -> Result<T, &'static str> {
    let number = value.parse().ok().filter(|number| *number >= least);
    number
        .and_then(|number| T::try_from(number).ok())
        .ok_or("a whole number that is not too small or too large")
}

fn truth(value: &str) -> Result<bool, &'static str> {
    value.parse().map_err(|_| "true or false")
}

/// How many letters have to be inserted, removed or exchanged to get from one word to the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for column in 0..other.len() {
            let exchanged = diagonal + usize::from(letter != other[column]);
            diagonal = row[column + 1];
            row[column + 1] = exchanged.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config::new(PathBuf::from("unused"), BrokerId(0))
    }

    #[test]
    fn keys_are_kafkas() {
        let mut config = config();
        config.set("num.partitions", "6").expect("a known key");
        config.set("log.segment.bytes", "1048576").expect("the default of a topic key");
        assert_eq!(config.node.default_partition_count, 6);
        assert_eq!(config.node.topic_defaults, [("segment.bytes".to_owned(), "1048576".to_owned())]);
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        let error = config().set("num.network.thread", "3").expect_err("no such key");
        assert_eq!(
            error.to_string(),
            "there is no key \"num.network.thread\"; the nearest is \"num.network.threads\""
        );
    }

    #[test]
    fn a_value_must_fit() {
        let error = config().set("num.partitions", "many").expect_err("not a number");
        assert_eq!(
            error.to_string(),
            "num.partitions cannot be \"many\": it is a whole number that is not too small or too large"
        );
    }
}
