//! The rows of keys that do something; those that are defaults of topics' keys come from the topics' table.

use super::super::Kind::{self, Boolean, Double, List, SomeOf, Text};
use super::Update::{self, ClusterWide, ReadOnly};
use super::{BrokerKey, Effect};

const fn key(
    name: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    update: Update,
    doc: &'static str,
) -> BrokerKey {
    BrokerKey { name, kind, default, update, effect: Effect::Works, topic_key: None, doc }
}

const POSITIVE: Kind = Kind::POSITIVE;
const NATURAL: Kind = Kind::NATURAL;
const POSITIVE_LONG: Kind = Kind::POSITIVE_LONG;
const NATURAL_LONG: Kind = Kind::NATURAL_LONG;
const ANY_LONG: Kind = Kind::Long { min: i64::MIN, max: i64::MAX };

/// Keys, by name.
pub(super) const KEYS: &[BrokerKey] = &[
    key(
        "advertised.listeners",
        List,
        None,
        ReadOnly,
        "The address that clients are told, NAME://HOST:PORT. By default that of the first of `listeners`; a client that came in on this machine is told the address it came in by.",
    ),
    key(
        "auto.create.topics.enable",
        Boolean,
        Some("true"),
        ReadOnly,
        "Whether a client that asks for a topic that does not exist has it created.",
    ),
    key(
        "broker.heartbeat.interval.ms",
        POSITIVE,
        Some("250"),
        ReadOnly,
        "How often a broker shows the controller a sign of life.",
    ),
    key(
        "broker.id",
        Kind::Int { min: -1, max: i32::MAX },
        Some("-1"),
        ReadOnly,
        "Kafka's older name of `node.id`; -1 is not set.",
    ),
    key("broker.rack", Text, None, ReadOnly, "Where the broker stands. Replicas are spread over racks."),
    key(
        "broker.session.timeout.ms",
        POSITIVE,
        Some("1000"),
        ReadOnly,
        "A broker that the controller has not heard of for so long leads nothing any more.",
    ),
    key(
        "connections.max.idle.ms",
        POSITIVE_LONG,
        Some("600000"),
        ReadOnly,
        "A connection that asks nothing for so long is closed.",
    ),
    key(
        "default.replication.factor",
        Kind::Int { min: 1, max: i16::MAX as i32 },
        None,
        ReadOnly,
        "Replicas of a topic whose creator left that open. By default three, or as many as there are brokers.",
    ),
    key("delete.topic.enable", Boolean, Some("true"), ReadOnly, "Whether topics can be deleted."),
    key(
        "fetch.max.bytes",
        Kind::Int { min: 1024, max: i32::MAX },
        Some("57671680"),
        ReadOnly,
        "The largest answer to a fetch, whatever the client asks for.",
    ),
    key(
        "listener.security.protocol.map",
        Text,
        Some("PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL"),
        ReadOnly,
        "What each listener's name means. A listener that is not PLAINTEXT by this map stops the start.",
    ),
    key(
        "listeners",
        List,
        Some("PLAINTEXT://127.0.0.1:9092"),
        ReadOnly,
        "The addresses that clients connect to, NAME://HOST:PORT with commas between. No host is every address of this machine; port 0 takes a free one. Those named in `controller.listener.names` are not opened.",
    ),
    key(
        "log.cleaner.backoff.ms",
        NATURAL_LONG,
        Some("15000"),
        ClusterWide,
        "How long compaction rests when there was nothing to compact; 100 at least.",
    ),
    key(
        "log.cleaner.dedupe.buffer.size",
        Kind::Long { min: 1_048_576, max: i64::MAX },
        Some("134217728"),
        ClusterWide,
        "Memory for the keys of one round of compaction.",
    ),
    key("log.cleaner.enable", Boolean, Some("true"), ReadOnly, "Whether compacted topics are compacted."),
    key(
        "log.cleaner.io.max.bytes.per.second",
        Double,
        Some("1.7976931348623157E308"),
        ClusterWide,
        "How much compaction reads and writes a second at most, over one log's turn and the rest after it: within its turn a log is gone through as fast as the disk can.",
    ),
    key("log.dir", List, None, ReadOnly, "Where everything is kept, if `log.dirs` does not say so."),
    key(
        "log.dirs",
        List,
        None,
        ReadOnly,
        "Where everything is kept. By default `klamm` in the user's data directory.",
    ),
    key(
        "log.dirs.min.free.bytes",
        Kind::Long { min: -1, max: i64::MAX },
        Some("-1"),
        ReadOnly,
        "No records are taken from clients for a data directory where less is free; fetches and deletions go on. -1 is 5 GiB, or a twentieth of a smaller disk; 0 is no guard. Not a key of Kafka's.",
    ),
    key(
        "log.flush.scheduler.interval.ms",
        NATURAL_LONG,
        Some("9223372036854775807"),
        ReadOnly,
        "`log.flush.interval.ms`, where that is not set.",
    ),
    key(
        "log.retention.check.interval.ms",
        POSITIVE_LONG,
        Some("300000"),
        ReadOnly,
        "How often it is looked for segments that are too old or too many.",
    ),
    key(
        "log.scrub.bytes.per.second",
        NATURAL_LONG,
        Some("4194304"),
        ClusterWide,
        "How much is read a second, at most, to find records on disk that are not what was written. 0: only the segments in which somebody has met such records. A key of Klamm's own.",
    ),
    key(
        "log.scrub.interval.ms",
        Kind::Long { min: 1, max: i64::MAX },
        Some("604800000"),
        ClusterWide,
        "How often all records are looked at in that way, unless that takes longer. The first round begins an hour after the start, or when this time is over. Less than 1000 is 1000. A key of Klamm's own.",
    ),
    key(
        "log.retention.hours",
        Kind::Int { min: i32::MIN, max: i32::MAX },
        Some("168"),
        ReadOnly,
        "`log.retention.ms` in hours, where neither that nor `log.retention.minutes` is set; negative is for ever.",
    ),
    key(
        "log.retention.minutes",
        Kind::Int { min: i32::MIN, max: i32::MAX },
        None,
        ReadOnly,
        "`log.retention.ms` in minutes, where that is not set; negative is for ever.",
    ),
    key("log.roll.hours", POSITIVE, Some("168"), ReadOnly, "`log.roll.ms` in hours, where that is not set."),
    key(
        "log.roll.jitter.hours",
        NATURAL,
        Some("0"),
        ReadOnly,
        "`log.roll.jitter.ms` in hours, where that is not set.",
    ),
    key(
        "max.connections",
        NATURAL,
        Some("10000"),
        ClusterWide,
        "Connections at a time; another one is closed at once. Clients on the broker's own machine have 8 more, so that an operator gets in.",
    ),
    key(
        "max.connections.per.ip",
        NATURAL,
        Some("2147483647"),
        ClusterWide,
        "Connections at a time from one address; another one is closed at once. The broker's own machine has 8 more.",
    ),
    key(
        "max.incremental.fetch.session.cache.slots",
        NATURAL,
        Some("1000"),
        ReadOnly,
        "How many fetch sessions are remembered (KIP-227).",
    ),
    key(
        "max.request.partition.size.limit",
        POSITIVE,
        Some("2000"),
        ReadOnly,
        "How many partitions one answer to DescribeTopicPartitions describes at most.",
    ),
    key("node.id", NATURAL, Some("1"), ReadOnly, "The node's number in its cluster."),
    key(
        "num.network.threads",
        POSITIVE,
        None,
        ReadOnly,
        "Threads that serve connections; they decide and write as well. By default one for each processor.",
    ),
    key(
        "num.partitions",
        POSITIVE,
        Some("1"),
        ReadOnly,
        "Partitions of a topic whose creator left that open.",
    ),
    key(
        "num.recovery.threads.per.data.dir",
        POSITIVE,
        None,
        ReadOnly,
        "Threads that recover logs at start. By default one for each processor.",
    ),
    key(
        "process.roles",
        SomeOf(&["broker", "controller"]),
        Some("broker,controller"),
        ReadOnly,
        "Every node is both, and is accepted as either list that has `broker` in it.",
    ),
    key(
        "producer.id.expiration.ms",
        POSITIVE,
        Some("86400000"),
        ClusterWide,
        "A producer that wrote nothing to a partition for so long is forgotten there.",
    ),
    key(
        "queued.max.request.bytes",
        ANY_LONG,
        Some("268435456"),
        ReadOnly,
        "Received bytes that all connections together may hold; above it large requests wait. 0 or less is the default.",
    ),
    key(
        "replica.fetch.max.bytes",
        POSITIVE,
        Some("1048576"),
        ReadOnly,
        "Bytes of one partition that a follower fetches at once.",
    ),
    key(
        "replica.fetch.wait.max.ms",
        POSITIVE,
        Some("500"),
        ReadOnly,
        "How long a leader may hold a follower's fetch that finds nothing.",
    ),
    key(
        "replica.lag.time.max.ms",
        POSITIVE_LONG,
        Some("10000"),
        ReadOnly,
        "A follower that was not at the end of the log for so long is not in sync.",
    ),
    key(
        "socket.listen.backlog.size",
        POSITIVE,
        Some("1024"),
        ReadOnly,
        "Connections that wait to be accepted.",
    ),
    key(
        "socket.request.max.bytes",
        Kind::Int { min: 1024, max: i32::MAX },
        Some("104857600"),
        ReadOnly,
        "The largest request.",
    ),
];

/// Keys that Kafka has under older names and in other units, too: the first of them that is set counts. The numbers make milliseconds of the values.
pub const ALIASES: &[(&str, &[(&str, i64)])] = &[
    ("log.flush.interval.ms", &[("log.flush.scheduler.interval.ms", 1)]),
    ("log.retention.ms", &[("log.retention.minutes", 60_000), ("log.retention.hours", 3_600_000)]),
    ("log.roll.jitter.ms", &[("log.roll.jitter.hours", 3_600_000)]),
    ("log.roll.ms", &[("log.roll.hours", 3_600_000)]),
];

/// Where our default is not Kafka's: the key, Kafka's default, and why.
pub const BROKER_DEFAULTS_OF_OUR_OWN: &[(&str, &str, &str)] = &[
    ("broker.heartbeat.interval.ms", "2000", "A failed broker is noticed within a second."),
    ("broker.session.timeout.ms", "9000", "A failed broker is noticed within a second."),
    (
        "default.replication.factor",
        "1",
        "Records are kept on as many brokers as make them safe, with no setting.",
    ),
    ("listeners", "PLAINTEXT://:9092", "Nobody on the network reaches a broker before somebody says so."),
    (
        "log.dirs",
        "/tmp/kafka-logs",
        "Records that were acknowledged are not left where the system cleans up.",
    ),
    ("log.flush.interval.messages", "9223372036854775807", "An acknowledged record is on disk."),
    ("max.connections", "2147483647", "Memory and open files are bounded."),
    (
        "min.insync.replicas",
        "1",
        "Still 1 here, but a topic with three replicas or more has 2 where nobody set it: an acknowledged record survives the loss of any one broker.",
    ),
    ("node.id", "none", "One node needs no number."),
    ("num.network.threads", "3", "As many as can run at once."),
    ("num.recovery.threads.per.data.dir", "2", "As many as can run at once."),
    ("process.roles", "none", "Every node is both."),
    ("queued.max.request.bytes", "-1", "Memory is bounded."),
    ("replica.lag.time.max.ms", "30000", "A slow follower holds up acknowledgements for a shorter time."),
    ("socket.listen.backlog.size", "50", "A storm of connections is taken."),
];
