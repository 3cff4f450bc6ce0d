//! The table of topic configs: Kafka's names and defaults, where ours do not differ with a reason.
//!
//! Everything that accepts, resolves or describes a topic config reads [`TOPIC_CONFIGS`].

use std::collections::BTreeMap;

use thiserror::Error;

mod table;
mod topic;

pub use table::TOPIC_CONFIGS;
pub use topic::{CleanupPolicy, Compression, Flush, TimestampType, TopicConfig};

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

/// What values a config takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// A number within 32 bits.
    Int {
        /// Smallest value.
        min: i32,
        /// Largest value.
        max: i32,
    },
    /// A number within 64 bits.
    Long {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// A part of one: 0 to 1.
    Ratio,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Some of these words, with commas between.
    SomeOf(&'static [&'static str]),
    /// `partition:broker` pairs with commas between, or `*`.
    Replicas,
}

/// A config that cannot be set.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ConfigError {
    /// No row of the table.
    #[error("there is no topic config {name:?}{}", hint(nearest))]
    UnknownKey {
        /// The name.
        name: String,
        /// The key that was probably meant.
        nearest: Option<&'static str>,
    },
    /// Not a value of this key.
    #[error("{name} is {expected}, not {value:?}")]
    BadValue {
        /// The key.
        name: &'static str,
        /// The value.
        value: String,
        /// What it takes.
        expected: String,
    },
}

fn hint(nearest: &Option<&'static str>) -> String {
    nearest.map_or(String::new(), |it| format!("; is it {it}?"))
}

/// The row of a key.
pub fn topic_key(name: &str) -> Option<&'static ConfigKey> {
    TOPIC_CONFIGS.iter().find(|it| it.name == name)
}

/// Whether a topic may have this config.
pub fn check(name: &str, value: &str) -> Result<(), ConfigError> {
    let Some(key) = topic_key(name) else {
        return Err(ConfigError::UnknownKey { name: name.to_owned(), nearest: nearest(name) });
    };
    if key.kind.takes(value) {
        return Ok(());
    }
    Err(ConfigError::BadValue { name: key.name, value: value.to_owned(), expected: key.kind.describe() })
}

/// The same, where no value means the default again: then the key must exist.
pub fn check_optional(name: &str, value: Option<&str>) -> Result<(), ConfigError> {
    check(name, value.or(topic_key(name).map(|it| it.default)).unwrap_or_default())
}

/// Every key with its value for a topic, and whether that was set for the topic itself.
pub fn describe(
    overrides: &BTreeMap<String, String>,
) -> impl Iterator<Item = (&'static ConfigKey, &str, bool)> {
    TOPIC_CONFIGS.iter().map(|key| match overrides.get(key.name) {
        Some(value) => (key, value.as_str(), true),
        None => (key, key.default, false),
    })
}

/// The key that a wrong one was probably meant to be.
fn nearest(name: &str) -> Option<&'static str> {
    // Names come from clients; comparing costs length times length.
    if 64 < name.len() {
        return None;
    }
    let distance = |key: &&'static str| edits(name.as_bytes(), key.as_bytes());
    let best = TOPIC_CONFIGS.iter().map(|key| key.name).min_by_key(distance)?;
    (distance(&best) <= 3).then_some(best)
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

impl Kind {
    fn takes(self, value: &str) -> bool {
        let value = value.trim();
        match self {
            Self::Boolean => parse_bool(value).is_some(),
            Self::Int { min, max } => value.parse().is_ok_and(|it: i32| (min..=max).contains(&it)),
            Self::Long { min, max } => value.parse().is_ok_and(|it: i64| (min..=max).contains(&it)),
            Self::Ratio => value.parse().is_ok_and(|it: f64| (0.0..=1.0).contains(&it)),
            Self::OneOf(words) => words.contains(&value),
            Self::SomeOf(words) => value.split(',').all(|it| words.contains(&it.trim())),
            Self::Replicas => value.is_empty() || value == "*" || value.split(',').all(is_replica),
        }
    }

    /// In words, to be put after "is".
    pub fn describe(self) -> String {
        match self {
            Self::Boolean => "true or false".to_owned(),
            Self::Int { min, max } => range(min.into(), max.into(), i32::MAX.into()),
            Self::Long { min, max } => range(min, max, i64::MAX),
            Self::Ratio => "a number from 0 to 1".to_owned(),
            Self::OneOf(words) => format!("one of {}", words.join(", ")),
            Self::SomeOf(words) => format!("a list of {}", words.join(", ")),
            Self::Replicas => "a list of partition:broker, or *".to_owned(),
        }
    }
}

fn range(min: i64, max: i64, unbounded: i64) -> String {
    if max == unbounded {
        format!("a whole number from {min}")
    } else {
        format!("a whole number from {min} to {max}")
    }
}

fn parse_bool(value: &str) -> Option<bool> {
    if value.eq_ignore_ascii_case("true") {
        Some(true)
    } else if value.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

fn is_replica(pair: &str) -> bool {
    let is_number = |it: &str| it.trim().parse().is_ok_and(|it: i32| 0 <= it);
    pair.split_once(':').is_some_and(|(partition, broker)| is_number(partition) && is_number(broker))
}

#[cfg(test)]
mod tests;
