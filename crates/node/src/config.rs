//! What a node is told at construction, and which of Kafka's keys say it.

use std::{collections::BTreeMap, sync::Arc};

use klamm_cluster::{
    config::{self, ConfigError, Layers, TopicConfig},
    features::Supported,
};
use klamm_coordinator::{
    group::{Assignor, GroupConfig, MigrationPolicy},
    transaction::TransactionConfig,
};
use klamm_model::{BrokerEpoch, BrokerId};
use uuid::Uuid;

use crate::throttle::UNLIMITED;

/// An address under which a broker can be reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// Name of the listener; peers use the one called [`BROKER_LISTENER`].
    pub name: String,
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// What a node is to its cluster: `process.roles`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Roles {
    /// It has partitions, and clients.
    pub broker: bool,
    /// It keeps the metadata, and may have a vote on them.
    pub controller: bool,
}

impl Roles {
    /// What every node is where nothing is said.
    pub const BOTH: Self = Self { broker: true, controller: true };
}

/// The name of the listener that brokers use among themselves.
pub const BROKER_LISTENER: &str = "BROKER";

/// Settings of one node, under Kafka's names where Kafka has them.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// `node.id`.
    pub broker_id: BrokerId,
    /// `process.roles`.
    pub roles: Roles,
    /// Identity of the data directory, made when it was first used. A broker that lost its disk comes with another.
    pub directory: Uuid,
    /// The same of the data directories besides the first.
    pub other_directories: Vec<Uuid>,
    /// `log.dirs`: where the data directories are, by their numbers; at least one.
    pub log_dirs: Vec<String>,
    /// `log.dirs.min.free.bytes`: no records are taken from clients where less is free; `None` for 5 GiB, or a twentieth of a smaller disk.
    pub min_free_bytes: Option<u64>,
    /// The cluster that the data directory belongs to, where it is known.
    pub cluster_id: Option<String>,
    /// Differs between two runs of the same broker, so that a restart is noticed.
    pub incarnation: Uuid,
    /// The broker epoch of this broker's last process, if that one left everything whole on its disks; `None` after a crash.
    pub previous_epoch: Option<BrokerEpoch>,
    /// What the broker registers as its addresses.
    pub endpoints: Vec<Endpoint>,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// `replica.selector.class`: whether consumers are sent to replicas in their own racks.
    pub reads_in_racks: bool,
    /// `leader.replication.throttled.rate`
    pub leader_throttle_rate: u64,
    /// `follower.replication.throttled.rate`
    pub follower_throttle_rate: u64,
    /// `num.partitions`: of a topic whose creator did not say.
    pub default_partition_count: u32,
    /// `default.replication.factor`; `None` means as many as there are brokers, up to 3.
    pub default_replication_factor: Option<u16>,
    /// `auto.create.topics.enable`.
    pub auto_create_topics: bool,
    /// `delete.topic.enable`.
    pub delete_topics: bool,
    /// `auto.leader.rebalance.enable`.
    pub balance_leaders: bool,
    /// `leader.imbalance.check.interval.seconds`.
    pub balance_interval_ms: u64,
    /// `replica.lag.time.max.ms`.
    pub replica_lag_time_max_ms: u64,
    /// `replica.fetch.wait.max.ms`: how long a leader may hold a follower's fetch.
    pub replica_fetch_wait_ms: u32,
    /// `replica.fetch.max.bytes`, for one partition.
    pub replica_fetch_bytes_max: u32,
    /// `broker.heartbeat.interval.ms`.
    pub heartbeat_interval_ms: u64,
    /// `broker.session.timeout.ms`.
    pub session_timeout_ms: u64,
    /// `metadata.log.max.record.bytes.between.snapshots`.
    pub snapshot_bytes: u64,
    /// `metadata.log.max.snapshot.interval.ms`: how long after a change there is a snapshot with it at the latest; 0: never for that reason.
    pub snapshot_interval_ms: u64,
    /// `fetch.max.bytes`: no fetch answer is planned larger, whatever the client asks.
    pub fetch_bytes_max: u32,
    /// Longest time a fetch may be parked; larger wishes are cut to it.
    pub fetch_wait_max_ms: u32,
    /// Partitions of all fetches of clients that wait together; a partition takes about 100 bytes. One that finds no room is answered with what there is.
    pub fetch_parked_partitions_max: usize,
    /// `max.incremental.fetch.session.cache.slots`: readers whose partitions are kept from fetch to fetch. Others name them each time.
    pub fetch_session_count_max: usize,
    /// `log.retention.check.interval.ms`: how often it is looked for segments to delete.
    pub retention_check_interval_ms: u64,
    /// `producer.id.expiration.ms`: how long a silent producer is known to a partition.
    pub producer_id_expiration_ms: u64,
    /// How compacted topics are compacted.
    pub cleaner: CleanerConfig,
    /// How damage is looked for that nobody has met.
    pub scrubber: ScrubberConfig,
    /// What holds for groups.
    pub groups: GroupConfig,
    /// The topic that groups are kept in.
    pub offsets_topic: InternalTopic,
    /// What holds for transactions.
    pub transactions: TransactionConfig,
    /// The topic that transactions are kept in.
    pub transactions_topic: InternalTopic,
    /// `offsets.commit.timeout.ms`: how long an answer of a coordinator waits for its records to be committed.
    pub commit_timeout_ms: u64,
    /// `group.initial.rebalance.delay.ms`; `None`: not at all on the only node of a cluster, else half a second.
    pub group_initial_delay_ms: Option<u32>,
    /// The feature levels that this node supports: those of this software, unless somebody tries how others would do.
    pub supported: Arc<Supported>,
    /// What was given at start under Kafka's names, for whoever asks what holds and why, and for the defaults of topics.
    pub given: Arc<Given>,
}

/// A topic that coordinators keep their records in, as it is made. Its partitions are as many for ever: they decide which shard has what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InternalTopic {
    /// `….num.partitions`.
    pub partition_count: u32,
    /// `….replication.factor`; `None`: 3.
    pub replication_factor: Option<u16>,
    /// `….segment.bytes`.
    pub segment_bytes: u32,
}

impl Default for InternalTopic {
    fn default() -> Self {
        Self { partition_count: 50, replication_factor: None, segment_bytes: 100 << 20 }
    }
}

/// How compacted topics are compacted.
#[derive(Clone, PartialEq, Debug)]
pub struct CleanerConfig {
    /// `log.cleaner.enable`.
    pub enabled: bool,
    /// `log.cleaner.backoff.ms`: rest when there was nothing to compact.
    pub backoff_ms: u64,
    /// `log.cleaner.dedupe.buffer.size`: memory for the keys of one round.
    pub dedupe_bytes_max: u64,
    /// `log.cleaner.io.max.bytes.per.second`; `None` is no limit.
    pub bytes_per_second_max: Option<u64>,
}

impl Default for CleanerConfig {
    fn default() -> Self {
        Self { enabled: true, backoff_ms: 15_000, dedupe_bytes_max: 128 << 20, bytes_per_second_max: None }
    }
}

/// How damage is looked for that nobody has met.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScrubberConfig {
    /// `log.scrub.bytes.per.second`; 0: only where something was damaged already.
    pub bytes_per_second: u64,
    /// `log.scrub.interval.ms`: from the beginning of a round to that of the next.
    pub interval_ms: u64,
}

impl Default for ScrubberConfig {
    fn default() -> Self {
        Self { bytes_per_second: 4 << 20, interval_ms: 7 * 24 * 3600 * 1000 }
    }
}

/// What a broker was told at start.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Given {
    /// Keys that were set, as they were set. Secrets are here without their values.
    pub set: BTreeMap<String, String>,
    /// Keys that nobody set and whose defaults depend on the machine.
    pub defaults: BTreeMap<&'static str, String>,
}

impl NodeConfig {
    /// The defaults of `KAFKA.md` for a broker with this id.
    pub fn new(broker_id: BrokerId, directory: Uuid, incarnation: Uuid) -> Self {
        Self {
            broker_id,
            roles: Roles::BOTH,
            directory,
            other_directories: Vec::new(),
            log_dirs: vec!["data".to_owned()],
            min_free_bytes: None,
            cluster_id: None,
            incarnation,
            previous_epoch: None,
            endpoints: Vec::new(),
            rack: None,
            reads_in_racks: false,
            leader_throttle_rate: UNLIMITED,
            follower_throttle_rate: UNLIMITED,
            default_partition_count: 1,
            default_replication_factor: None,
            auto_create_topics: true,
            delete_topics: true,
            balance_leaders: true,
            balance_interval_ms: 300_000,
            replica_lag_time_max_ms: 10_000,
            replica_fetch_wait_ms: 500,
            replica_fetch_bytes_max: 1 << 20,
            heartbeat_interval_ms: 250,
            session_timeout_ms: 1_000,
            snapshot_bytes: 20 << 20,
            snapshot_interval_ms: 3_600_000,
            fetch_bytes_max: 55 << 20,
            fetch_wait_max_ms: 300_000,
            fetch_parked_partitions_max: 1_000_000,
            fetch_session_count_max: 1_000,
            retention_check_interval_ms: 300_000,
            producer_id_expiration_ms: 86_400_000,
            cleaner: CleanerConfig::default(),
            scrubber: ScrubberConfig::default(),
            groups: GroupConfig::default(),
            offsets_topic: InternalTopic::default(),
            transactions: TransactionConfig::default(),
            transactions_topic: InternalTopic::default(),
            commit_timeout_ms: 5_000,
            group_initial_delay_ms: None,
            supported: Arc::new(Supported::ours()),
            given: Arc::default(),
        }
    }

    /// Takes one key over that was given at start, and keeps it for whoever asks. Keys that are not a node's are only kept.
    ///
    /// # Errors
    /// If there is no such key, or if it cannot have this value.
    pub fn give(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        let key = config::check_broker(name, value)?;
        self.take(name, value);
        let kept = if key.kind.is_secret() { String::new() } else { value.trim().to_owned() };
        Arc::make_mut(&mut self.given).set.insert(name.to_owned(), kept);
        Ok(())
    }

    /// Makes a value the one that holds, if a node reads it. It was checked.
    pub(crate) fn take(&mut self, name: &str, value: &str) {
        if let Ok(at) = SETTERS.binary_search_by_key(&name, |it| it.0) {
            (SETTERS[at].1)(self, value.trim());
        }
    }

    /// What holds for topics where they have nothing of their own.
    pub(crate) fn topic_defaults(layers: Layers<'_>) -> TopicConfig {
        TopicConfig::resolve(&layers.topic_defaults(), &TopicConfig::default())
    }

    /// The keys that a node reads.
    pub fn keys() -> impl Iterator<Item = &'static str> {
        SETTERS.iter().map(|it| it.0)
    }
}

/// All logs are looked at for each round, so that shorter rests would leave time for nothing else.
const CLEANER_BACKOFF_MS_MIN: u64 = 100;
const SCRUB_INTERVAL_MS_MIN: u64 = 1000;

type Setter = fn(&mut NodeConfig, &str);

/// What each key that a node reads does to its settings, by name. The table of keys has checked the value.
const SETTERS: &[(&str, Setter)] = &[
    ("add.partitions.to.txn.retry.backoff.max.ms", |it, value| it.transactions.wait_ms = number(value)),
    ("auto.create.topics.enable", |it, value| it.auto_create_topics = truth(value)),
    ("auto.leader.rebalance.enable", |it, value| it.balance_leaders = truth(value)),
    ("broker.heartbeat.interval.ms", |it, value| it.heartbeat_interval_ms = number(value)),
    ("broker.id", |it, value| {
        if value != "-1" {
            it.broker_id = BrokerId(number(value));
        }
    }),
    ("broker.rack", |it, value| it.rack = Some(value.to_owned()).filter(|it| !it.is_empty())),
    ("broker.session.timeout.ms", |it, value| it.session_timeout_ms = number(value)),
    ("default.replication.factor", |it, value| it.default_replication_factor = Some(number(value))),
    ("delete.topic.enable", |it, value| it.delete_topics = truth(value)),
    ("fetch.max.bytes", |it, value| it.fetch_bytes_max = number(value)),
    ("follower.replication.throttled.rate", |it, value| it.follower_throttle_rate = number(value)),
    ("group.consumer.assignment.interval.ms", |it, value| {
        it.groups.consumer_assignment_interval_ms = number(value);
    }),
    ("group.consumer.assignors", |it, value| {
        let named = config::items(value).filter_map(Assignor::from_name).collect::<Vec<_>>();
        it.groups.consumer_assignors = if named.is_empty() { Assignor::ALL.to_vec() } else { named };
    }),
    ("group.consumer.heartbeat.interval.ms", |it, value| {
        it.groups.consumer_heartbeat_interval_ms = number(value);
    }),
    ("group.consumer.max.size", |it, value| it.groups.consumer_members_max = number(value)),
    ("group.consumer.migration.policy", |it, value| {
        it.groups.consumer_migration = MigrationPolicy::from_name(value).expect("one of the table's words");
    }),
    ("group.consumer.session.timeout.ms", |it, value| {
        it.groups.consumer_session_timeout_ms = number(value);
    }),
    ("group.initial.rebalance.delay.ms", |it, value| it.group_initial_delay_ms = Some(number(value))),
    ("group.max.session.timeout.ms", |it, value| it.groups.session_timeout_ms_max = number(value)),
    ("group.max.size", |it, value| it.groups.members_max = number(value)),
    ("group.min.session.timeout.ms", |it, value| it.groups.session_timeout_ms_min = number(value)),
    ("leader.imbalance.check.interval.seconds", |it, value| {
        it.balance_interval_ms = number::<u64>(value).saturating_mul(1_000);
    }),
    ("leader.replication.throttled.rate", |it, value| it.leader_throttle_rate = number(value)),
    ("log.cleaner.backoff.ms", |it, value| {
        it.cleaner.backoff_ms = number::<u64>(value).max(CLEANER_BACKOFF_MS_MIN)
    }),
    ("log.cleaner.dedupe.buffer.size", |it, value| it.cleaner.dedupe_bytes_max = number(value)),
    ("log.cleaner.enable", |it, value| it.cleaner.enabled = truth(value)),
    ("log.cleaner.io.max.bytes.per.second", |it, value| {
        let rate: f64 = number(value);
        it.cleaner.bytes_per_second_max = (rate < u64::MAX as f64).then_some(rate as u64);
    }),
    ("log.dirs.min.free.bytes", |it, value| it.min_free_bytes = value.parse().ok()),
    ("log.retention.check.interval.ms", |it, value| it.retention_check_interval_ms = number(value)),
    ("log.scrub.bytes.per.second", |it, value| it.scrubber.bytes_per_second = number(value)),
    ("log.scrub.interval.ms", |it, value| {
        it.scrubber.interval_ms = number::<u64>(value).max(SCRUB_INTERVAL_MS_MIN)
    }),
    ("max.incremental.fetch.session.cache.slots", |it, value| it.fetch_session_count_max = number(value)),
    ("metadata.log.max.record.bytes.between.snapshots", |it, value| it.snapshot_bytes = number(value)),
    ("metadata.log.max.snapshot.interval.ms", |it, value| it.snapshot_interval_ms = number(value)),
    ("node.id", |it, value| it.broker_id = BrokerId(number(value))),
    ("num.partitions", |it, value| it.default_partition_count = number(value)),
    ("offset.metadata.max.bytes", |it, value| it.groups.offset_metadata_size_max = number(value)),
    ("offsets.commit.timeout.ms", |it, value| it.commit_timeout_ms = number(value)),
    ("offsets.retention.check.interval.ms", |it, value| it.groups.offsets_check_interval_ms = number(value)),
    ("offsets.retention.minutes", |it, value| {
        it.groups.offsets_retention_ms = number::<u64>(value) * 60_000;
    }),
    ("offsets.topic.num.partitions", |it, value| it.offsets_topic.partition_count = number(value)),
    ("offsets.topic.replication.factor", |it, value| {
        it.offsets_topic.replication_factor = Some(number(value));
    }),
    ("offsets.topic.segment.bytes", |it, value| it.offsets_topic.segment_bytes = number(value)),
    ("process.roles", |it, value| {
        let has = |role| config::items(value).any(|it| it == role);
        let roles = Roles { broker: has("broker"), controller: has("controller") };
        // Nothing said is both.
        it.roles = if roles.broker || roles.controller { roles } else { Roles::BOTH };
    }),
    ("producer.id.expiration.ms", |it, value| it.producer_id_expiration_ms = number(value)),
    ("replica.fetch.max.bytes", |it, value| it.replica_fetch_bytes_max = number(value)),
    ("replica.fetch.wait.max.ms", |it, value| it.replica_fetch_wait_ms = number(value)),
    ("replica.lag.time.max.ms", |it, value| it.replica_lag_time_max_ms = number(value)),
    ("replica.selector.class", |it, value| it.reads_in_racks = value == config::RACK_AWARE_SELECTOR),
    ("transaction.max.timeout.ms", |it, value| it.transactions.timeout_ms_max = number(value)),
    ("transaction.remove.expired.transaction.cleanup.interval.ms", |it, value| {
        it.transactions.expiry_check_interval_ms = number(value);
    }),
    ("transaction.state.log.num.partitions", |it, value| {
        it.transactions_topic.partition_count = number(value)
    }),
    ("transaction.state.log.replication.factor", |it, value| {
        it.transactions_topic.replication_factor = Some(number(value));
    }),
    ("transaction.state.log.segment.bytes", |it, value| it.transactions_topic.segment_bytes = number(value)),
    ("transactional.id.expiration.ms", |it, value| it.transactions.id_expiration_ms = number(value)),
];

fn number<T: std::str::FromStr>(value: &str) -> T {
    value.parse().unwrap_or_else(|_| panic!("{value:?} passed the check of its key"))
}

fn truth(value: &str) -> bool {
    value.eq_ignore_ascii_case("true")
}

#[cfg(test)]
mod tests {
    use klamm_cluster::config::{broker_key, broker_keys};

    use super::*;

    #[test]
    fn setters_are_in_order_and_have_rows() {
        assert!(SETTERS.is_sorted_by(|one, next| one.0 < next.0));
        for (name, _) in SETTERS {
            let key = broker_key(name).unwrap_or_else(|| panic!("{name} has no row in the table of keys"));
            assert_eq!(key.effect, config::Effect::Works, "{name}");
        }
    }

    /// Whatever passes the table's check is taken without a panic, and the defaults of the table are those of the settings.
    #[test]
    fn the_defaults_of_the_table_are_those_that_hold() {
        let fresh = NodeConfig::new(BrokerId(1), Uuid::nil(), Uuid::nil());
        let mut told = fresh.clone();
        for key in broker_keys() {
            if let Some(default) = key.default {
                told.give(key.name, default).unwrap_or_else(|error| panic!("{error}"));
            }
        }
        told.given = Arc::default();
        assert_eq!(format!("{told:?}"), format!("{fresh:?}"));
    }
}
