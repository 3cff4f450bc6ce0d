//! Configs of groups and of client metrics, as Kafka has them. They are described with their defaults; setting them waits until what they are for is served.

use super::ConfigKey;
use super::Kind::{self, Boolean, List, OneOf, Text};

const fn key(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    broker_key: Option<&'static str>,
    doc: &'static str,
) -> ConfigKey {
    ConfigKey { name, kind, default, broker_key, doc }
}

const POSITIVE: Kind = Kind::POSITIVE;
const NATURAL: Kind = Kind::NATURAL;

/// All configs that a group can have, by name.
pub const GROUP_CONFIGS: &[ConfigKey] = &[
    key(
        "consumer.assignment.interval.ms",
        NATURAL,
        "0",
        Some("group.consumer.assignment.interval.ms"),
        "The time between two assignments of a consumer group.",
    ),
    key(
        "consumer.heartbeat.interval.ms",
        POSITIVE,
        "5000",
        Some("group.consumer.heartbeat.interval.ms"),
        "How often members of a consumer group show signs of life.",
    ),
    key(
        "consumer.session.timeout.ms",
        POSITIVE,
        "45000",
        Some("group.consumer.session.timeout.ms"),
        "How long a member of a consumer group may be silent.",
    ),
    key(
        "errors.deadletterqueue.copy.record.enable",
        Boolean,
        "false",
        None,
        "Whether a record's content goes to the dead letter queue with it.",
    ),
    key(
        "errors.deadletterqueue.topic.name",
        Text,
        "",
        None,
        "The topic that is a share group's dead letter queue.",
    ),
    key(
        "share.assignment.interval.ms",
        NATURAL,
        "1000",
        Some("group.share.assignment.interval.ms"),
        "The time between two assignments of a share group.",
    ),
    key("share.auto.offset.reset", Text, "latest", None, "Where a share group begins to read."),
    key(
        "share.delivery.count.limit",
        Kind::Int { min: 2, max: i32::MAX },
        "5",
        Some("group.share.delivery.count.limit"),
        "How often a record is delivered to a share group.",
    ),
    key(
        "share.heartbeat.interval.ms",
        POSITIVE,
        "5000",
        Some("group.share.heartbeat.interval.ms"),
        "How often members of a share group show signs of life.",
    ),
    key(
        "share.isolation.level",
        OneOf(&["read_committed", "read_uncommitted"]),
        "read_uncommitted",
        None,
        "Whether a share group gets records of open and aborted transactions.",
    ),
    key(
        "share.partition.max.record.locks",
        Kind::Int { min: 100, max: i32::MAX },
        "2000",
        Some("group.share.partition.max.record.locks"),
        "How many records of a partition may be out for delivery.",
    ),
    key(
        "share.record.lock.duration.ms",
        Kind::Int { min: 1000, max: i32::MAX },
        "30000",
        Some("group.share.record.lock.duration.ms"),
        "How long a consumer has for a record.",
    ),
    key("share.renew.acknowledge.enable", Boolean, "true", None, "Whether a consumer may ask for more time."),
    key(
        "share.session.timeout.ms",
        POSITIVE,
        "45000",
        Some("group.share.session.timeout.ms"),
        "How long a member of a share group may be silent.",
    ),
    key(
        "streams.assignment.interval.ms",
        NATURAL,
        "1000",
        Some("group.streams.assignment.interval.ms"),
        "The time between two assignments of a streams group.",
    ),
    key("streams.assignor.name", Text, "sticky", None, "How a streams group spreads its tasks."),
    key(
        "streams.heartbeat.interval.ms",
        POSITIVE,
        "5000",
        Some("group.streams.heartbeat.interval.ms"),
        "How often members of a streams group show signs of life.",
    ),
    key(
        "streams.initial.rebalance.delay.ms",
        NATURAL,
        "3000",
        Some("group.streams.initial.rebalance.delay.ms"),
        "How long a new streams group waits for more members.",
    ),
    key(
        "streams.num.standby.replicas",
        NATURAL,
        "0",
        Some("group.streams.num.standby.replicas"),
        "Standby copies of each task.",
    ),
    key(
        "streams.rack.aware.assignment.tags",
        List,
        "",
        None,
        "By which tags of its clients a streams group keeps standby copies apart.",
    ),
    key(
        "streams.session.timeout.ms",
        POSITIVE,
        "45000",
        Some("group.streams.session.timeout.ms"),
        "How long a member of a streams group may be silent.",
    ),
];

/// All configs that a subscription to client metrics can have, by name.
pub const CLIENT_METRICS_CONFIGS: &[ConfigKey] = &[
    key(
        "interval.ms",
        Kind::Int { min: 100, max: 3_600_000 },
        "300000",
        None,
        "How often clients send metrics.",
    ),
    key("match", List, "", None, "Which clients are meant."),
    key("metrics", List, "", None, "Which metrics are wanted, by the beginnings of their names."),
];
