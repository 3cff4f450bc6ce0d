//! What a node is told at construction.

use klamm_model::BrokerId;
use uuid::Uuid;

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

/// The name of the listener that brokers use among themselves.
pub const BROKER_LISTENER: &str = "BROKER";

/// Settings of one node, under Kafka's names where Kafka has them.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// `node.id`.
    pub broker_id: BrokerId,
    /// Identity of the data directory, made when it was first used. A broker that lost its disk comes with another.
    pub directory: Uuid,
    /// The cluster that the data directory belongs to, where it is known.
    pub cluster_id: Option<String>,
    /// Differs between two runs of the same broker, so that a restart is noticed.
    pub incarnation: Uuid,
    /// What the broker registers as its addresses.
    pub endpoints: Vec<Endpoint>,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// `num.partitions`: of a topic whose creator did not say.
    pub default_partition_count: u32,
    /// `default.replication.factor`; `None` means as many as there are brokers, up to 3.
    pub default_replication_factor: Option<u16>,
    /// `auto.create.topics.enable`.
    pub auto_create_topics: bool,
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
    /// `fetch.max.bytes`: no fetch answer is planned larger, whatever the client asks.
    pub fetch_bytes_max: u32,
    /// Longest time a fetch may be parked; larger wishes are cut to it.
    pub fetch_wait_max_ms: u32,
    /// `max.incremental.fetch.session.cache.slots`: readers whose partitions are kept from fetch to fetch. Others name them each time.
    pub fetch_session_count_max: usize,
    /// `message.max.bytes` of a topic without an own `max.message.bytes`.
    pub message_bytes_max: u32,
    /// `log.retention.check.interval.ms`: how often old segments are looked for.
    pub retention_check_interval_ms: u64,
    /// Topic settings in force where neither topic nor cluster sets them, as `--set log.*` gave them.
    pub topic_defaults: Vec<(String, String)>,
}

impl NodeConfig {
    /// The defaults of `KAFKA.md` for a broker with this id.
    pub fn new(broker_id: BrokerId, directory: Uuid, incarnation: Uuid) -> Self {
        Self {
            broker_id,
            directory,
            cluster_id: None,
            incarnation,
            endpoints: Vec::new(),
            rack: None,
            default_partition_count: 1,
            default_replication_factor: None,
            auto_create_topics: true,
            replica_lag_time_max_ms: 10_000,
            replica_fetch_wait_ms: 500,
            replica_fetch_bytes_max: 1 << 20,
            heartbeat_interval_ms: 250,
            session_timeout_ms: 1_000,
            fetch_bytes_max: 55 << 20,
            fetch_wait_max_ms: 300_000,
            fetch_session_count_max: 1000,
            message_bytes_max: 1_048_588,
            retention_check_interval_ms: 300_000,
            topic_defaults: Vec::new(),
        }
    }
}
