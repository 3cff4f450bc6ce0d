//! The topics of one node, and what their configs say of their records: as they are created, and as somebody alters them.

use super::requests::Configs;
use crate::dice::Dice;

/// Topics of every kind, by their names.
pub const TOPICS: &[(&str, Kind)] = &[
    ("plain", Kind::Plain),
    ("by-age", Kind::ByAge),
    ("by-size", Kind::BySize),
    ("compacted", Kind::Compacted),
    ("compacted-too", Kind::Compacted),
    ("relaxed", Kind::Relaxed),
    ("brief", Kind::Brief),
];

/// What is configured of a topic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// Kept for ever, but for what somebody deletes.
    Plain,
    /// Kept for a time.
    ByAge,
    /// Kept up to a size.
    BySize,
    /// The last value of each key is kept.
    Compacted,
    /// Synced in the background.
    Relaxed,
    /// Deleted and created again.
    Brief,
}

/// What becomes of a topic's records, as it is configured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule {
    /// `retention.ms`
    pub age_max_ms: Option<i64>,
    /// `retention.bytes`
    pub bytes_max: Option<u64>,
    /// `cleanup.policy` is `compact`.
    pub compacts: bool,
    /// `message.timestamp.type` is `LogAppendTime`.
    pub stamps: bool,
}

impl Kind {
    /// `delete.retention.ms` of compacted topics.
    pub const GRACE_MS: i64 = 1500;
    /// Batches of a topic that is kept up to a size, as many as may be under way, are no larger together: they count when it is looked what is too much, and may be lost then.
    pub const UNDER_WAY_BYTES_MAX: u64 = 4000;

    /// The rule for its records, unless somebody alters it.
    pub fn rule(self) -> Rule {
        Rule {
            age_max_ms: (self == Self::ByAge).then_some(3000),
            bytes_max: (self == Self::BySize).then_some(9000),
            compacts: self == Self::Compacted,
            stamps: false,
        }
    }

    /// Another rule that it may get while it is used.
    pub(super) fn altered(self, dice: &mut Dice) -> Rule {
        let usual = self.rule();
        match self {
            _ if dice.chance(40) => usual,
            Self::Plain => Rule { stamps: true, ..usual },
            Self::ByAge => Rule { age_max_ms: dice.chance(50).then_some(1500), ..usual },
            Self::BySize => Rule { bytes_max: dice.chance(50).then_some(5000), ..usual },
            Self::Compacted => Rule { compacts: false, ..usual },
            Self::Relaxed | Self::Brief => usual,
        }
    }

    pub(super) fn configs(self) -> Configs {
        let mut configs = vec![("segment.ms", "700".to_owned()), ("file.delete.delay.ms", "400".to_owned())];
        match self {
            Self::Compacted => configs.extend([
                ("delete.retention.ms", Self::GRACE_MS.to_string()),
                ("min.cleanable.dirty.ratio", "0.1".to_owned()),
            ]),
            Self::Relaxed => {
                configs.extend([("flush.messages", i64::MAX.to_string()), ("flush.ms", "300".to_owned())]);
            }
            _ => {}
        }
        configs
    }
}

impl Rule {
    pub(super) fn configs(self) -> Configs {
        vec![
            ("retention.ms", self.age_max_ms.unwrap_or(-1).to_string()),
            ("retention.bytes", self.bytes_max.map_or("-1".to_owned(), |max| max.to_string())),
            ("cleanup.policy", if self.compacts { "compact" } else { "delete" }.to_owned()),
            ("message.timestamp.type", if self.stamps { "LogAppendTime" } else { "CreateTime" }.to_owned()),
        ]
    }
}
