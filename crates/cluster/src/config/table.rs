//! The rows, by name. Defaults are Kafka's but for `flush.messages`: an acknowledged record is on disk.

use super::ConfigKey;
use super::Kind::{Boolean, Int, Long, OneOf, Ratio, Replicas, SomeOf};

/// All configs that a topic can have, by name.
pub const TOPIC_CONFIGS: &[ConfigKey] = &[
    ConfigKey {
        name: "cleanup.policy",
        kind: SomeOf(&["compact", "delete"]),
        default: "delete",
        broker_key: Some("log.cleanup.policy"),
        doc: "What happens to old segments: deleted by age and size, compacted to the last value of each key, or both.",
    },
    ConfigKey {
        name: "compression.gzip.level",
        kind: Int { min: -1, max: 9 },
        default: "-1",
        broker_key: Some("compression.gzip.level"),
        doc: "Level where the broker compresses with gzip; -1 is the library's own.",
    },
    ConfigKey {
        name: "compression.lz4.level",
        kind: Int { min: 1, max: 17 },
        default: "9",
        broker_key: Some("compression.lz4.level"),
        doc: "Level where the broker compresses with lz4.",
    },
    ConfigKey {
        name: "compression.type",
        kind: OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
        default: "producer",
        broker_key: Some("compression.type"),
        doc: "How batches are stored; `producer` keeps them as they came.",
    },
    ConfigKey {
        name: "compression.zstd.level",
        kind: Int {
            min: -131_072,
            max: 22,
        },
        default: "3",
        broker_key: Some("compression.zstd.level"),
        doc: "Level where the broker compresses with zstd.",
    },
    ConfigKey {
        name: "delete.retention.ms",
        kind: Long {
            min: 0,
            max: i64::MAX,
        },
        default: "86400000",
        broker_key: Some("log.cleaner.delete.retention.ms"),
        doc: "How long a tombstone stays in a compacted topic.",
    },
    ConfigKey {
        name: "errors.deadletterqueue.group.enable",
        kind: Boolean,
        default: "false",
        broker_key: None,
        doc: "Whether share groups may use this topic as their dead letter queue.",
    },
    ConfigKey {
        name: "file.delete.delay.ms",
        kind: Long {
            min: 0,
            max: i64::MAX,
        },
        default: "60000",
        broker_key: Some("log.segment.delete.delay.ms"),
        doc: "How long a deleted file stays before it is removed.",
    },
    ConfigKey {
        name: "flush.messages",
        kind: Long {
            min: 1,
            max: i64::MAX,
        },
        default: "1",
        broker_key: Some("log.flush.interval.messages"),
        doc: "1: an acks=all answer waits until the records are synced to disk. Larger: records count once they are in the page cache, and are synced in the background.",
    },
    ConfigKey {
        name: "flush.ms",
        kind: Long {
            min: 0,
            max: i64::MAX,
        },
        default: "9223372036854775807",
        broker_key: Some("log.flush.interval.ms"),
        doc: "The longest time until records are synced to disk, where `flush.messages` does not sync them before.",
    },
    ConfigKey {
        name: "follower.replication.throttled.replicas",
        kind: Replicas,
        default: "",
        broker_key: None,
        doc: "Followers whose replication is slowed down.",
    },
    ConfigKey {
        name: "index.interval.bytes",
        kind: Int {
            min: 0,
            max: i32::MAX,
        },
        default: "4096",
        broker_key: Some("log.index.interval.bytes"),
        doc: "How many bytes of records lie between two entries of the offset index.",
    },
    ConfigKey {
        name: "leader.replication.throttled.replicas",
        kind: Replicas,
        default: "",
        broker_key: None,
        doc: "Leaders whose replication is slowed down.",
    },
    ConfigKey {
        name: "local.retention.bytes",
        kind: Long {
            min: -2,
            max: i64::MAX,
        },
        default: "-2",
        broker_key: Some("log.local.retention.bytes"),
        doc: "How much stays on the broker of a topic with remote storage; -2 is `retention.bytes`.",
    },
    ConfigKey {
        name: "local.retention.ms",
        kind: Long {
            min: -2,
            max: i64::MAX,
        },
        default: "-2",
        broker_key: Some("log.local.retention.ms"),
        doc: "How long records stay on the broker of a topic with remote storage; -2 is `retention.ms`.",
    },
    ConfigKey {
        name: "max.compaction.lag.ms",
        kind: Long {
            min: 1,
            max: i64::MAX,
        },
        default: "9223372036854775807",
        broker_key: Some("log.cleaner.max.compaction.lag.ms"),
        doc: "The longest time a record may stay uncompacted.",
    },
    ConfigKey {
        name: "max.decompressed.message.bytes",
        kind: Int {
            min: 1,
            max: 2_147_483_639,
        },
        default: "2147483639",
        broker_key: Some("max.decompressed.message.bytes"),
        doc: "The largest size to which one batch may decompress.",
    },
    ConfigKey {
        name: "max.message.bytes",
        kind: Int {
            min: 0,
            max: i32::MAX,
        },
        default: "1048588",
        broker_key: Some("message.max.bytes"),
        doc: "The largest batch, as it is stored.",
    },
    ConfigKey {
        name: "message.timestamp.after.max.ms",
        kind: Long {
            min: 0,
            max: i64::MAX,
        },
        default: "3600000",
        broker_key: Some("log.message.timestamp.after.max.ms"),
        doc: "How far a record's timestamp may be ahead of the broker's clock.",
    },
    ConfigKey {
        name: "message.timestamp.before.max.ms",
        kind: Long {
            min: 0,
            max: i64::MAX,
        },
        default: "9223372036854775807",
        broker_key: Some("log.message.timestamp.before.max.ms"),
        doc: "How far a record's timestamp may be behind the broker's clock.",
    },
    ConfigKey {
        name: "message.timestamp.type",
        kind: OneOf(&["CreateTime", "LogAppendTime"]),
        default: "CreateTime",
        broker_key: Some("log.message.timestamp.type"),
        doc: "Whether a record's timestamp is the producer's or the broker's.",
    },
    ConfigKey {
        name: "min.cleanable.dirty.ratio",
        kind: Ratio,
        default: "0.5",
        broker_key: Some("log.cleaner.min.cleanable.ratio"),
        doc: "How much of a compacted log must be uncompacted before it is compacted again.",
    },
    ConfigKey {
        name: "min.compaction.lag.ms",
        kind: Long {
            min: 0,
            max: i64::MAX,
        },
        default: "0",
        broker_key: Some("log.cleaner.min.compaction.lag.ms"),
        doc: "How long a record stays uncompacted at least.",
    },
    ConfigKey {
        name: "min.insync.replicas",
        kind: Int {
            min: 1,
            max: i32::MAX,
        },
        default: "1",
        broker_key: Some("min.insync.replicas"),
        doc: "How many replicas must have the records of an acks=all produce. Where nobody set it: 2 with three replicas or more, else 1.",
    },
    ConfigKey {
        name: "preallocate",
        kind: Boolean,
        default: "false",
        broker_key: Some("log.preallocate"),
        doc: "Whether segment files get their full size at once.",
    },
    ConfigKey {
        name: "remote.copy.lag.bytes",
        kind: Long {
            min: -1,
            max: i64::MAX,
        },
        default: "-1",
        broker_key: Some("log.remote.copy.lag.bytes"),
        doc: "How far copying to remote storage may be behind, in bytes.",
    },
    ConfigKey {
        name: "remote.copy.lag.ms",
        kind: Long {
            min: -1,
            max: i64::MAX,
        },
        default: "0",
        broker_key: Some("log.remote.copy.lag.ms"),
        doc: "How far copying to remote storage may be behind, in time.",
    },
    ConfigKey {
        name: "remote.log.copy.disable",
        kind: Boolean,
        default: "false",
        broker_key: None,
        doc: "Whether nothing more is copied to remote storage.",
    },
    ConfigKey {
        name: "remote.log.delete.on.disable",
        kind: Boolean,
        default: "false",
        broker_key: None,
        doc: "Whether disabling remote storage deletes what is there.",
    },
    ConfigKey {
        name: "remote.storage.enable",
        kind: Boolean,
        default: "false",
        broker_key: None,
        doc: "Whether closed segments are kept in remote storage.",
    },
    ConfigKey {
        name: "retention.bytes",
        kind: Long {
            min: -1,
            max: i64::MAX,
        },
        default: "-1",
        broker_key: Some("log.retention.bytes"),
        doc: "How large a partition may become before its oldest segments are deleted; -1 is no limit.",
    },
    ConfigKey {
        name: "retention.ms",
        kind: Long {
            min: -1,
            max: i64::MAX,
        },
        default: "604800000",
        broker_key: Some("log.retention.ms"),
        doc: "How old records become before they are deleted; -1 is for ever.",
    },
    ConfigKey {
        name: "segment.bytes",
        kind: Int {
            min: 1_048_576,
            max: i32::MAX,
        },
        default: "1073741824",
        broker_key: Some("log.segment.bytes"),
        doc: "How large a segment file becomes.",
    },
    ConfigKey {
        name: "segment.index.bytes",
        kind: Int {
            min: 4,
            max: i32::MAX,
        },
        default: "10485760",
        broker_key: Some("log.index.size.max.bytes"),
        doc: "How large a segment's index becomes.",
    },
    ConfigKey {
        name: "segment.jitter.ms",
        kind: Long {
            min: 0,
            max: i64::MAX,
        },
        default: "0",
        broker_key: Some("log.roll.jitter.ms"),
        doc: "By how much the end of a segment's time is moved at random, so that segments do not all end at once.",
    },
    ConfigKey {
        name: "segment.ms",
        kind: Long {
            min: 1,
            max: i64::MAX,
        },
        default: "604800000",
        broker_key: Some("log.roll.ms"),
        doc: "How old a segment becomes before a new one is begun.",
    },
    ConfigKey {
        name: "unclean.leader.election.enable",
        kind: Boolean,
        default: "false",
        broker_key: Some("unclean.leader.election.enable"),
        doc: "Whether a replica that is not in sync may lead when no other can. Records may be lost.",
    },
];
