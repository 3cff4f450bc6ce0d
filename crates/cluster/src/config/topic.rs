//! The configs of one topic, resolved and typed.

use std::collections::{BTreeMap, BTreeSet};

use klamm_model::{BrokerId, PartitionIndex};

use super::{ConfigError, check, items, parse_bool};

/// What happens to old segments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CleanupPolicy {
    /// Deleted by age and size.
    pub delete: bool,
    /// Compacted to the last value of each key.
    pub compact: bool,
}

/// How batches are stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compression {
    /// As the producer sent them.
    Producer,
    /// Uncompressed.
    None,
    /// With gzip.
    Gzip,
    /// With snappy.
    Snappy,
    /// With lz4.
    Lz4,
    /// With zstd.
    Zstd,
}

/// Whose timestamp a record has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimestampType {
    /// The producer's.
    CreateTime,
    /// The broker's, at the append.
    LogAppendTime,
}

/// When records count as kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flush {
    /// Once they are synced to disk.
    Synced,
    /// Once they are in the page cache; they are synced in the background.
    Relaxed {
        /// At the latest after so many records.
        messages: u64,
        /// At the latest after so long, if that was set.
        interval_ms: Option<u64>,
    },
}

/// Replicas of a topic, as `partition:broker,…` or `*` names them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReplicaList {
    /// All there are.
    All,
    /// These.
    These(BTreeSet<(PartitionIndex, BrokerId)>),
}

impl ReplicaList {
    const NONE: Self = Self::These(BTreeSet::new());

    /// Whether this replica is one of them.
    pub fn names(&self, partition: PartitionIndex, broker: BrokerId) -> bool {
        match self {
            Self::All => true,
            Self::These(replicas) => replicas.contains(&(partition, broker)),
        }
    }

    fn parse(value: &str) -> Self {
        let replica = |pair: &str| {
            let (partition, broker) = pair.split_once(':').unwrap_or_else(|| checked(pair));
            (PartitionIndex(number(partition.trim())), BrokerId(number(broker.trim())))
        };
        match value {
            "*" => Self::All,
            list => Self::These(items(list).map(replica).collect()),
        }
    }
}

/// The configs of one topic. What nothing in this program reads yet is in the table only.
#[derive(Clone, PartialEq, Debug)]
pub struct TopicConfig {
    /// `cleanup.policy`
    pub cleanup: CleanupPolicy,
    /// `compression.type`
    pub compression: Compression,
    /// `compression.gzip.level`; `None`: the library's own.
    pub gzip_level: Option<i32>,
    /// `compression.zstd.level`
    pub zstd_level: i32,
    /// `retention.ms`; `None`: for ever.
    pub retention_ms: Option<u64>,
    /// `retention.bytes`; `None`: no limit.
    pub retention_bytes: Option<u64>,
    /// `segment.bytes`
    pub segment_bytes: u32,
    /// `segment.ms`
    pub segment_ms: u64,
    /// `segment.jitter.ms`
    pub segment_jitter_ms: u64,
    /// `segment.index.bytes`
    pub segment_index_bytes: u32,
    /// `index.interval.bytes`
    pub index_interval_bytes: u32,
    /// `max.message.bytes`
    pub max_message_bytes: u32,
    /// `max.decompressed.message.bytes`
    pub max_decompressed_message_bytes: u32,
    /// `min.insync.replicas`, where somebody set it. Use [`Self::min_insync_replicas`].
    pub min_insync_replicas: Option<u32>,
    /// `flush.messages` and `flush.ms`
    pub flush: Flush,
    /// `message.timestamp.type`
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`
    pub timestamp_before_max_ms: u64,
    /// `message.timestamp.after.max.ms`
    pub timestamp_after_max_ms: u64,
    /// `delete.retention.ms`
    pub delete_retention_ms: u64,
    /// `min.compaction.lag.ms`
    pub min_compaction_lag_ms: u64,
    /// `max.compaction.lag.ms`
    pub max_compaction_lag_ms: u64,
    /// `min.cleanable.dirty.ratio`
    pub min_cleanable_dirty_ratio: f64,
    /// `file.delete.delay.ms`
    pub file_delete_delay_ms: u64,
    /// `unclean.leader.election.enable`
    pub unclean_leader_election: bool,
    /// `leader.replication.throttled.replicas`
    pub throttled_leaders: ReplicaList,
    /// `follower.replication.throttled.replicas`
    pub throttled_followers: ReplicaList,
}

const NEVER: u64 = i64::MAX as u64;

impl Default for TopicConfig {
    fn default() -> Self {
        Self {
            cleanup: CleanupPolicy { delete: true, compact: false },
            compression: Compression::Producer,
            gzip_level: None,
            zstd_level: 3,
            retention_ms: Some(604_800_000),
            retention_bytes: None,
            segment_bytes: 1 << 30,
            segment_ms: 604_800_000,
            segment_jitter_ms: 0,
            segment_index_bytes: 10 << 20,
            index_interval_bytes: 4096,
            max_message_bytes: 1_048_588,
            max_decompressed_message_bytes: 2_147_483_639,
            min_insync_replicas: None,
            flush: Flush::Synced,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: NEVER,
            timestamp_after_max_ms: 3_600_000,
            delete_retention_ms: 86_400_000,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: NEVER,
            min_cleanable_dirty_ratio: 0.5,
            file_delete_delay_ms: 60_000,
            unclean_leader_election: false,
            throttled_leaders: ReplicaList::NONE,
            throttled_followers: ReplicaList::NONE,
        }
    }
}

impl TopicConfig {
    /// What holds for a topic: its own configs, and where it has none, `defaults`.
    ///
    /// # Panics
    /// If an override does not pass [`check`]: it was checked when it was set.
    pub fn resolve(overrides: &BTreeMap<String, String>, defaults: &Self) -> Self {
        let mut config = defaults.clone();
        for (name, value) in overrides {
            config.set(name, value).unwrap_or_else(|error| panic!("a committed config is wrong: {error}"));
        }
        config.flush = Self::flush(overrides, defaults.flush);
        config
    }

    /// How many replicas must have an acks=all record. Never more than there are, so that a topic with fewer replicas than the cluster's default still works.
    pub fn min_insync_replicas(&self, replication_factor: usize) -> usize {
        let wanted = match self.min_insync_replicas {
            Some(set) => usize::try_from(set).unwrap_or(usize::MAX),
            None if 3 <= replication_factor => 2,
            None => 1,
        };
        wanted.min(replication_factor.max(1))
    }

    /// Takes one value over, if it may be set.
    fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        check(name, value)?;
        let value = value.trim();
        match name {
            "cleanup.policy" => {
                let has = |word| items(value).any(|it| it == word);
                self.cleanup = CleanupPolicy { delete: has("delete"), compact: has("compact") };
            }
            "compression.type" => {
                self.compression = match value {
                    "uncompressed" => Compression::None,
                    "gzip" => Compression::Gzip,
                    "snappy" => Compression::Snappy,
                    "lz4" => Compression::Lz4,
                    "zstd" => Compression::Zstd,
                    _ => Compression::Producer,
                };
            }
            "compression.gzip.level" => self.gzip_level = Some(number(value)).filter(|it| 0 <= *it),
            "compression.zstd.level" => self.zstd_level = number(value),
            "retention.ms" => self.retention_ms = limit(value),
            "retention.bytes" => self.retention_bytes = limit(value),
            "segment.bytes" => self.segment_bytes = number(value),
            "segment.ms" => self.segment_ms = number(value),
            "segment.jitter.ms" => self.segment_jitter_ms = number(value),
            "segment.index.bytes" => self.segment_index_bytes = number(value),
            "index.interval.bytes" => self.index_interval_bytes = number(value),
            "max.message.bytes" => self.max_message_bytes = number(value),
            "max.decompressed.message.bytes" => self.max_decompressed_message_bytes = number(value),
            "min.insync.replicas" => self.min_insync_replicas = Some(number(value)),
            "message.timestamp.type" => {
                let is_append = value == "LogAppendTime";
                self.timestamp_type =
                    if is_append { TimestampType::LogAppendTime } else { TimestampType::CreateTime };
            }
            "message.timestamp.before.max.ms" => self.timestamp_before_max_ms = number(value),
            "message.timestamp.after.max.ms" => self.timestamp_after_max_ms = number(value),
            "delete.retention.ms" => self.delete_retention_ms = number(value),
            "min.compaction.lag.ms" => self.min_compaction_lag_ms = number(value),
            "max.compaction.lag.ms" => self.max_compaction_lag_ms = number(value),
            "min.cleanable.dirty.ratio" => {
                self.min_cleanable_dirty_ratio = value.parse().unwrap_or_else(|_| checked(value))
            }
            "file.delete.delay.ms" => self.file_delete_delay_ms = number(value),
            "unclean.leader.election.enable" => {
                self.unclean_leader_election = parse_bool(value) == Some(true)
            }
            "leader.replication.throttled.replicas" => self.throttled_leaders = ReplicaList::parse(value),
            "follower.replication.throttled.replicas" => self.throttled_followers = ReplicaList::parse(value),
            // `flush.*` hold together, see `flush`. The others have no reader yet.
            _ => {}
        }
        Ok(())
    }

    /// The two flush keys make one decision: where each record is to be synced (`flush.messages=1`), an answer waits for that.
    ///
    /// # Panics
    /// If an override does not pass [`check`].
    pub fn flush(overrides: &BTreeMap<String, String>, default: Flush) -> Flush {
        let (default_messages, default_interval_ms) = match default {
            Flush::Synced => (1, None),
            Flush::Relaxed { messages, interval_ms } => (messages, interval_ms),
        };
        let messages = overrides.get("flush.messages").map_or(default_messages, |it| number(it.trim()));
        let interval_ms = match overrides.get("flush.ms") {
            Some(value) => Some(number(value.trim())).filter(|it| *it != NEVER),
            None => default_interval_ms,
        };
        let is_synced = messages == 1 || interval_ms == Some(0);
        if is_synced { Flush::Synced } else { Flush::Relaxed { messages, interval_ms } }
    }
}

fn number<T: std::str::FromStr>(value: &str) -> T {
    value.parse().unwrap_or_else(|_| checked(value))
}

/// -1 is "no limit".
fn limit(value: &str) -> Option<u64> {
    value.parse().ok()
}

fn checked<T>(value: &str) -> T {
    panic!("{value:?} passed the check of its key")
}
