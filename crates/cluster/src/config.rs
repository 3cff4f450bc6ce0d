//! The tables of configs: Kafka's names and defaults, where ours do not differ with a reason.
//!
//! Everything that accepts, resolves or describes a config reads them: [`TOPIC_CONFIGS`] for topics, [`broker_keys`] for brokers, [`GROUP_CONFIGS`] and
//! [`CLIENT_METRICS_CONFIGS`] for what is only described yet. [`Layers`] tells which of several places gives a broker's key its value.

use std::collections::BTreeMap;

use thiserror::Error;

mod broker;
mod kind;
mod layers;
mod others;
mod table;
mod topic;

pub use broker::{
    ALIASES, BROKER_DEFAULTS_OF_OUR_OWN, BrokerKey, Effect, RACK_AWARE_SELECTOR, Update, broker_key,
    broker_keys, check_broker, known_broker_key,
};
pub use kind::{Kind, items};
pub use layers::{Layers, Source};
pub use others::{CLIENT_METRICS_CONFIGS, GROUP_CONFIGS};
pub use table::{TOPIC_CONFIGS, TOPIC_CONFIGS_WITHOUT_EFFECT};
pub use topic::{CleanupPolicy, Compression, Flush, ReplicaList, TimestampType, TopicConfig};

use kind::parse_bool;
use table::TOPIC_CONFIGS_REFUSED;

/// The longest value, as with Kafka.
pub const VALUE_SIZE_MAX: usize = 32_767;

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct ConfigKey {
    /// Kafka's name.
    pub name: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// The value where nothing was set.
    pub default: &'static str,
    /// The broker's key that gives topics another default, if there is one.
    pub broker_key: Option<&'static str>,
    /// For `DescribeConfigs` and the reference.
    pub doc: &'static str,
}

/// A config that cannot be set. The texts begin as Kafka's do: scripts look for that.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ConfigError {
    /// No row of the table.
    #[error("Unknown {of} config name: {name:?}{}", hint(nearest))]
    UnknownKey {
        /// Whose configs were looked through.
        of: &'static str,
        /// The name.
        name: String,
        /// The key that was probably meant.
        nearest: Option<&'static str>,
    },
    /// Not a value of this key.
    #[error("Invalid value {value:?} for configuration {name}: it is {expected}")]
    BadValue {
        /// The key.
        name: &'static str,
        /// The value.
        value: String,
        /// What it takes.
        expected: String,
    },
    /// A new topic has no values that could be taken away.
    #[error("Null value not supported for topic configs: {name}")]
    NoValue {
        /// The key.
        name: String,
    },
    /// No key has so long a value.
    #[error("the value of {name} is longer than {VALUE_SIZE_MAX} bytes")]
    TooLong {
        /// The key.
        name: &'static str,
    },
    /// A key that would promise what is not there.
    #[error("{name} cannot be {value:?}: {reason}")]
    Refused {
        /// The key.
        name: &'static str,
        /// The value.
        value: String,
        /// What is not there.
        reason: &'static str,
    },
    /// Two keys contradict each other.
    #[error("conflict topic config setting {lesser} ({lesser_value}) > {greater} ({greater_value})")]
    Contradiction {
        /// The key that must not be larger.
        lesser: &'static str,
        /// Its value.
        lesser_value: i64,
        /// The key that must not be smaller.
        greater: &'static str,
        /// Its value.
        greater_value: i64,
    },
}

fn hint(nearest: &Option<&'static str>) -> String {
    nearest.map_or(String::new(), |it| format!("; is it {it}?"))
}

/// The row of a topic's key.
pub fn topic_key(name: &str) -> Option<&'static ConfigKey> {
    TOPIC_CONFIGS.iter().find(|it| it.name == name)
}

/// The row of a key that must be there.
pub fn known_topic_key(name: &str) -> Result<&'static ConfigKey, ConfigError> {
    topic_key(name).ok_or_else(|| unknown("topic", name, TOPIC_CONFIGS.iter().map(|it| it.name)))
}

/// Whether a topic may have this config.
pub fn check(name: &str, value: &str) -> Result<(), ConfigError> {
    let key = known_topic_key(name)?;
    check_value(key.name, key.kind, value)?;
    match TOPIC_CONFIGS_REFUSED.iter().find(|it| it.0 == key.name) {
        Some(&(_, reason)) if !value.trim().eq_ignore_ascii_case(key.default) => {
            Err(ConfigError::Refused { name: key.name, value: value.to_owned(), reason })
        }
        _ => Ok(()),
    }
}

/// Whether a topic's configs fit together, and to what it has from its brokers. That those contradict each other is no fault of the topic.
pub fn check_together(overrides: &BTreeMap<String, String>, brokers: &Layers<'_>) -> Result<(), ConfigError> {
    let (lesser, greater) = ("min.compaction.lag.ms", "max.compaction.lag.ms");
    if !overrides.contains_key(lesser) && !overrides.contains_key(greater) {
        return Ok(());
    }
    let value = |name: &str| {
        let value = overrides.get(name).cloned();
        let value = value.or_else(|| brokers.topic_default(topic_key(name)?.broker_key?));
        value?.trim().parse::<i64>().ok()
    };
    match (value(lesser), value(greater)) {
        (Some(lesser_value), Some(greater_value)) if greater_value < lesser_value => {
            Err(ConfigError::Contradiction { lesser, lesser_value, greater, greater_value })
        }
        _ => Ok(()),
    }
}

fn check_value(name: &'static str, kind: Kind, value: &str) -> Result<(), ConfigError> {
    if VALUE_SIZE_MAX < value.len() {
        return Err(ConfigError::TooLong { name });
    }
    if kind.takes(value) {
        return Ok(());
    }
    Err(ConfigError::BadValue { name, value: value.to_owned(), expected: kind.describe() })
}

fn unknown(of: &'static str, name: &str, known: impl Iterator<Item = &'static str>) -> ConfigError {
    ConfigError::UnknownKey { of, name: name.to_owned(), nearest: nearest(name, known) }
}

/// The key that a wrong one was probably meant to be.
pub fn nearest(name: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    const EDITS_MAX: usize = 3;
    // Names come from clients, and comparing costs length times length. An edit changes the length by one at most.
    let near = known.filter(|key| key.len().abs_diff(name.len()) <= EDITS_MAX);
    let distances = near.map(|key| (edits(name.as_bytes(), key.as_bytes()), key));
    distances.min_by_key(|it| it.0).filter(|it| it.0 <= EDITS_MAX).map(|it| it.1)
}

/// How many bytes must be put in, taken out or replaced to make one of the other.
fn edits(one: &[u8], other: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, byte) in one.iter().enumerate() {
        let mut diagonal = at;
        row[0] = at + 1;
        for (column, wanted) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(byte != wanted);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests;
