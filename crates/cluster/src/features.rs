//! Feature levels: which steps of its history a cluster has taken, so that nodes of several versions can be one (KIP-584).
//!
//! A node supports a range of each feature's levels. The cluster is at one level of each, which only its operator changes, and only to what all its brokers
//! support. A node that does not support a level of its cluster takes no part: it would do less than the others rely on, or not understand what they write.

use std::collections::BTreeMap;
use std::fmt;

use crate::record::Record;

/// The form of our own metadata. At level 0 it is that of before there were levels: none is kept, and no record names one. A higher one stays.
pub const METADATA_FORM: &str = "klamm.metadata.version";
/// What Kafka's metadata can say in which of its releases; tools show the release.
pub const METADATA: &str = "metadata.version";
/// Groups of the consumer protocol (KIP-848), from level 1 on.
pub const GROUPS: &str = "group.version";
/// From level 2 on an epoch for each transaction (KIP-890). Producers go by it, brokers serve both.
pub const TRANSACTIONS: &str = "transaction.version";
/// Eligible leader replicas (KIP-966).
pub const ELIGIBLE_LEADERS: &str = "eligible.leader.replicas.version";

/// What this software supports, and where a cluster stands in whose metadata there are no levels.
const FEATURES: [(&str, LevelRange, i16); 5] = [
    (METADATA_FORM, LevelRange { min: 0, max: 1 }, 0),
    (METADATA, LevelRange { min: 33, max: 33 }, 33),
    (GROUPS, LevelRange { min: 0, max: 1 }, 1),
    (TRANSACTIONS, LevelRange { min: 0, max: 2 }, 2),
    (ELIGIBLE_LEADERS, LevelRange { min: 1, max: 1 }, 1),
];

/// The newest form of metadata that this software reads and writes.
pub const METADATA_FORM_MAX: i16 = FEATURES[0].1.max;

/// Levels from one to another, both included. 0 is a feature that is off, or not known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LevelRange {
    /// The lowest.
    pub min: i16,
    /// The highest.
    pub max: i16,
}

impl LevelRange {
    /// Whether a level is within.
    pub fn contains(self, level: i16) -> bool {
        (self.min..=self.max).contains(&level)
    }
}

impl fmt::Display for LevelRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.min, self.max)
    }
}

/// What a node supports, by the feature's name. Empty: it is older than all features, and told none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Supported(pub BTreeMap<String, LevelRange>);

impl Supported {
    /// By this software.
    pub fn ours() -> Self {
        Self(FEATURES.iter().map(|(name, range, _)| ((*name).to_owned(), *range)).collect())
    }

    /// The levels of one feature; of one that is not known only 0.
    pub fn range(&self, name: &str) -> LevelRange {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// The first level of the cluster that is not among these.
    pub fn lacking<'a>(&self, levels: impl IntoIterator<Item = (&'a str, i16)>) -> Option<Lacking> {
        let lacks = |(name, level): (&str, i16)| {
            let range = self.range(name);
            (!range.contains(level)).then(|| Lacking { name: name.to_owned(), level, range })
        };
        levels.into_iter().find_map(lacks)
    }

    /// What a cluster begins with that is founded by a node with this: everything it can do.
    pub fn founding(&self) -> Vec<Record> {
        let highest = self.0.iter().filter(|(_, range)| 0 < range.max);
        highest.map(|(name, range)| Record::Feature { name: name.clone(), level: range.max }).collect()
    }
}

/// A level of the cluster that a node does not support.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lacking {
    /// The feature.
    pub name: String,
    /// Where the cluster stands.
    pub level: i16,
    /// What the node supports.
    pub range: LevelRange,
}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, level, range } = self;
        write!(f, "the cluster is at level {level} of {name}, and this node supports levels {range}")
    }
}

/// Where a cluster stands in whose metadata there are no levels, as they were before there were any.
pub(crate) fn before_levels(name: &str) -> i16 {
    FEATURES.iter().find(|it| it.0 == name).map_or(0, |it| it.2)
}

/// The features of such a cluster.
pub(crate) const BEFORE_LEVELS: [&str; 4] = [METADATA, GROUPS, TRANSACTIONS, ELIGIBLE_LEADERS];
