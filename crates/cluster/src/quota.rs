//! Client quotas: how much a user, a client or an address may ask for (KIP-546). Kept with the metadata, so that every broker knows them.

use std::collections::BTreeMap;
use std::fmt;

use thiserror::Error;

/// A name longer than this is nobody's.
pub const NAME_BYTES_MAX: usize = 1024;

/// What a quota can be for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum EntityKind {
    /// An authenticated user.
    User,
    /// What a client calls itself.
    ClientId,
    /// The address a client comes from.
    Ip,
}

impl EntityKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::User, Self::ClientId, Self::Ip];

    /// Kafka's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::ClientId => "client-id",
            Self::Ip => "ip",
        }
    }

    /// The one with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }
}

/// Whom a quota is for: each kind with a name, or with none for everybody of the kind who has no quota of their own.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct QuotaEntity(pub BTreeMap<EntityKind, Option<String>>);

impl fmt::Display for QuotaEntity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (kind, name)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{}={}", kind.name(), name.as_deref().unwrap_or("<default>"))?;
        }
        Ok(())
    }
}

/// A limit. Kept as the bits of the number that the wire has, so that equal limits are equal.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct QuotaValue(u64);

impl QuotaValue {
    /// What a client sent, be it possible or not.
    pub fn new(value: f64) -> Self {
        Self(value.to_bits())
    }

    /// As the wire has it.
    pub fn get(self) -> f64 {
        f64::from_bits(self.0)
    }

    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

impl fmt::Debug for QuotaValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.get())
    }
}

/// Why a quota cannot be set.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum QuotaError {
    /// For nobody.
    #[error("a quota is for a user, a client-id or an ip")]
    NoEntity,
    /// A kind that there is none of.
    #[error("there are no quotas for a {kind:?}")]
    UnknownKind {
        /// What was asked for.
        kind: String,
    },
    /// A kind stands there more than once.
    #[error("the {kind} is given more than once")]
    RepeatedKind {
        /// Which.
        kind: &'static str,
    },
    /// An address is a quota's only kind.
    #[error("a quota of an ip is not one of a user or a client-id")]
    MixedWithIp,
    /// A name that nobody has.
    #[error("{name:?} is no {kind}")]
    Name {
        /// Of which kind.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// There is no such quota for this kind of entity.
    #[error("there is no quota {key:?} for {entity}")]
    UnknownKey {
        /// The key.
        key: String,
        /// For whom.
        entity: QuotaEntity,
    },
    /// A key or an entity stands there more than once.
    #[error("a quota is given more than once")]
    Repeated,
    /// Not a limit.
    #[error("{key} cannot be {value:?}")]
    Value {
        /// The key.
        key: String,
        /// The value.
        value: QuotaValue,
    },
    /// All records of a request are committed as one entry, and that has a limit.
    #[error("the change is too large to be committed at once")]
    TooLarge,
}

/// A quota that can be set.
struct QuotaKey {
    name: &'static str,
    is_of_ip: bool,
    /// `None`: fractions are possible.
    whole_max: Option<f64>,
}

const KEYS: &[QuotaKey] = &[
    QuotaKey { name: "producer_byte_rate", is_of_ip: false, whole_max: Some(i64::MAX as f64) },
    QuotaKey { name: "consumer_byte_rate", is_of_ip: false, whole_max: Some(i64::MAX as f64) },
    QuotaKey { name: "request_percentage", is_of_ip: false, whole_max: None },
    QuotaKey { name: "controller_mutation_rate", is_of_ip: false, whole_max: None },
    QuotaKey { name: "connection_creation_rate", is_of_ip: true, whole_max: Some(i32::MAX as f64) },
];

/// An entity as a client names it, if it can be.
pub fn check_entity(parts: &[(String, Option<String>)]) -> Result<QuotaEntity, QuotaError> {
    let mut entity = BTreeMap::new();
    for (kind, name) in parts {
        let kind = EntityKind::named(kind).ok_or_else(|| QuotaError::UnknownKind { kind: kind.clone() })?;
        if let Some(name) = name.as_ref().filter(|name| !is_name(kind, name)) {
            return Err(QuotaError::Name { kind: kind.name(), name: name.clone() });
        }
        if entity.insert(kind, name.clone()).is_some() {
            return Err(QuotaError::RepeatedKind { kind: kind.name() });
        }
    }
    match (entity.len(), entity.contains_key(&EntityKind::Ip)) {
        (0, _) => Err(QuotaError::NoEntity),
        (2.., true) => Err(QuotaError::MixedWithIp),
        _ => Ok(QuotaEntity(entity)),
    }
}

fn is_name(kind: EntityKind, name: &str) -> bool {
    let is_of_host = |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | ':' | '-' | '_' | '%');
    let is_possible = kind != EntityKind::Ip || name.chars().all(is_of_host);
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && is_possible
}

/// Whether a quota may have this value.
pub fn check_value(entity: &QuotaEntity, key: &str, value: QuotaValue) -> Result<(), QuotaError> {
    let is_of_ip = entity.0.contains_key(&EntityKind::Ip);
    let row = KEYS
        .iter()
        .find(|row| row.name == key && row.is_of_ip == is_of_ip)
        .ok_or_else(|| QuotaError::UnknownKey { key: key.to_owned(), entity: entity.clone() })?;
    let number = value.get();
    let fits = row.whole_max.is_none_or(|max| number <= max && number.fract() <= 1e-6);
    if number.is_finite() && 0.0 < number && fits {
        Ok(())
    } else {
        Err(QuotaError::Value { key: key.to_owned(), value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(words: &str) -> Vec<(String, Option<String>)> {
        let pairs = words.split_whitespace().map(|it| it.split_once('=').expect("kind=name"));
        pairs.map(|(kind, name)| (kind.to_owned(), (name != "-").then(|| name.to_owned()))).collect()
    }

    #[test]
    fn entities_are_checked() {
        for (words, expected) in [
            ("user=a", "user=a"),
            ("user=a client-id=-", "user=a,client-id=<default>"),
            ("ip=127.0.0.1", "ip=127.0.0.1"),
            ("ip=-", "ip=<default>"),
            ("", "a quota is for a user, a client-id or an ip"),
            ("group=a", "there are no quotas for a \"group\""),
            ("user=a user=b", "the user is given more than once"),
            ("user=a ip=::1", "a quota of an ip is not one of a user or a client-id"),
            ("user=", "\"\" is no user"),
            ("ip=a/b", "\"a/b\" is no ip"),
        ] {
            let told = match check_entity(&parts(words)) {
                Ok(entity) => entity.to_string(),
                Err(error) => error.to_string(),
            };
            assert_eq!(told, expected, "{words:?}");
        }
    }

    #[test]
    fn values_are_checked() {
        let fits = |entity: &str, key: &str, value: f64| {
            let entity = check_entity(&parts(entity)).expect("an entity");
            check_value(&entity, key, QuotaValue::new(value)).is_ok()
        };
        assert!(fits("user=a", "producer_byte_rate", 1e6));
        assert!(fits("client-id=a", "request_percentage", 0.5));
        assert!(fits("ip=-", "connection_creation_rate", 10.0));
        assert!(!fits("user=a", "producer_byte_rate", 1.5), "bytes are whole");
        assert!(!fits("user=a", "connection_creation_rate", 10.0), "that is for addresses");
        assert!(!fits("ip=-", "connection_creation_rate", 1e10), "too many");
        assert!(!fits("user=a", "byte_rate", 1.0), "no such key");
        for value in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(!fits("user=a", "request_percentage", value), "{value}");
        }
    }
}
