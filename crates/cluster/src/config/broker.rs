//! The configs of brokers.

use std::sync::LazyLock;

use super::{ConfigError, Kind, TOPIC_CONFIGS, TOPIC_CONFIGS_WITHOUT_EFFECT, check_value, unknown};

mod table;
mod without_effect;

pub use table::{ALIASES, BROKER_DEFAULTS_OF_OUR_OWN, RACK_AWARE_SELECTOR};

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct BrokerKey {
    /// Kafka's name.
    pub name: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// The value where nothing was set; `None` where there is none, or where it depends on the machine or the cluster.
    pub default: Option<&'static str>,
    /// Whether it can be changed while the broker runs.
    pub update: Update,
    /// Whether it does anything.
    pub effect: Effect,
    /// The topics' key of which it is the default.
    pub topic_key: Option<&'static str>,
    /// For `DescribeConfigs` and the reference.
    pub doc: &'static str,
}

/// Whether a key can be changed while the broker runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Update {
    /// Only at start.
    ReadOnly,
    /// For one broker at a time.
    PerBroker,
    /// For one broker, or for all of them.
    ClusterWide,
}

/// Whether a key does anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// It does what its doc says.
    Works,
    /// It is accepted, so that a file written for Kafka loads, and changes nothing, for this reason.
    Nothing(&'static str),
    /// It is refused unless it has its default: another value promises what is not there, and somebody may rely on it (B40).
    Refused(&'static str),
}

/// All configs that a broker can have, by name.
pub fn broker_keys() -> &'static [BrokerKey] {
    static KEYS: LazyLock<Vec<BrokerKey>> = LazyLock::new(|| {
        let mut keys: Vec<_> =
            table::KEYS.iter().copied().chain(topic_defaults()).chain(without_effect::keys()).collect();
        keys.sort_unstable_by_key(|it| it.name);
        keys
    });
    &KEYS
}

/// The row of a broker's key.
pub fn broker_key(name: &str) -> Option<&'static BrokerKey> {
    let keys = broker_keys();
    keys.binary_search_by_key(&name, |it| it.name).ok().map(|at| &keys[at])
}

/// The row of a key that must be there.
pub fn known_broker_key(name: &str) -> Result<&'static BrokerKey, ConfigError> {
    broker_key(name).ok_or_else(|| unknown("broker", name, broker_keys().iter().map(|it| it.name)))
}

/// Whether a broker may have this config; its row.
pub fn check_broker(name: &str, value: &str) -> Result<&'static BrokerKey, ConfigError> {
    let key = known_broker_key(name)?;
    check_value(key.name, key.kind, value)?;
    match key.effect {
        Effect::Refused(reason) if value.trim() != key.default.unwrap_or_default() => {
            Err(ConfigError::Refused { name: key.name, value: value.to_owned(), reason })
        }
        Effect::Works | Effect::Nothing(_) | Effect::Refused(_) => Ok(key),
    }
}

/// The keys that are the defaults of topics' keys: as those are, and dynamic, as with Kafka.
fn topic_defaults() -> impl Iterator<Item = BrokerKey> {
    TOPIC_CONFIGS.iter().filter_map(|key| {
        let name = key.broker_key?;
        let without_effect = TOPIC_CONFIGS_WITHOUT_EFFECT.iter().find(|it| it.0 == key.name);
        // Where Kafka has an older name for the same, that one has the default: the newer one counts as soon as it is set.
        let has_aliases = ALIASES.iter().any(|it| it.0 == name);
        Some(BrokerKey {
            name,
            kind: key.kind,
            default: (!has_aliases).then_some(key.default),
            update: Update::ClusterWide,
            effect: without_effect.map_or(Effect::Works, |it| Effect::Nothing(it.1)),
            topic_key: Some(key.name),
            doc: key.doc,
        })
    })
}
