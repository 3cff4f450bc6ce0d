use expect_test::expect;

use super::*;

fn resolved(pairs: &[(&str, &str)]) -> TopicConfig {
    let overrides = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    TopicConfig::resolve(&overrides, &TopicConfig::default())
}

#[test]
fn the_table_is_in_order_and_every_default_passes_its_own_check() {
    assert!(TOPIC_CONFIGS.is_sorted_by(|one, next| one.name < next.name));
    for key in TOPIC_CONFIGS {
        assert_eq!(check(key.name, key.default), Ok(()), "{}", key.name);
    }
}

#[test]
fn the_typed_defaults_are_those_of_the_table() {
    let all: Vec<_> = TOPIC_CONFIGS
        .iter()
        .filter(|it| it.name != "min.insync.replicas")
        .map(|it| (it.name, it.default))
        .collect();
    assert_eq!(resolved(&all), TopicConfig::default());
}

#[test]
fn a_wrong_key_or_value_says_what_would_be_right() {
    let told = [
        ("retention.msec", "1"),
        ("no.such.thing", "1"),
        ("../../etc/passwd", "1"),
        ("retention.ms", "a week"),
        ("retention.ms", "-2"),
        ("segment.bytes", "100"),
        ("segment.bytes", "2147483648"),
        ("cleanup.policy", "compact,forget"),
        ("cleanup.policy", "compact,compact"),
        ("cleanup.policy", "compact,"),
        ("message.timestamp.type", "logappendtime"),
        ("preallocate", "1"),
        ("min.cleanable.dirty.ratio", "NaN"),
        ("compression.gzip.level", "10"),
        ("compression.gzip.level", "0"),
        ("remote.storage.enable", "True"),
        ("leader.replication.throttled.replicas", "0:1,x"),
    ]
    .map(|(name, value)| check(name, value).expect_err(name).to_string())
    .join("\n");
    expect![[r#"
        Unknown topic config name: "retention.msec"; is it retention.ms?
        Unknown topic config name: "no.such.thing"
        Unknown topic config name: "../../etc/passwd"
        Invalid value "a week" for configuration retention.ms: it is a whole number from -1
        Invalid value "-2" for configuration retention.ms: it is a whole number from -1
        Invalid value "100" for configuration segment.bytes: it is a whole number from 1048576
        Invalid value "2147483648" for configuration segment.bytes: it is a whole number from 1048576
        Invalid value "compact,forget" for configuration cleanup.policy: it is a list of compact, delete
        Invalid value "compact,compact" for configuration cleanup.policy: it is a list of compact, delete
        Invalid value "compact," for configuration cleanup.policy: it is a list of compact, delete
        Invalid value "logappendtime" for configuration message.timestamp.type: it is one of CreateTime, LogAppendTime
        Invalid value "1" for configuration preallocate: it is true or false
        Invalid value "NaN" for configuration min.cleanable.dirty.ratio: it is a number from 0 to 1
        Invalid value "10" for configuration compression.gzip.level: it is -1, or a whole number from 1 to 9
        Invalid value "0" for configuration compression.gzip.level: it is -1, or a whole number from 1 to 9
        remote.storage.enable cannot be "True": Tiered Storage functionality is disabled in the broker
        Invalid value "0:1,x" for configuration leader.replication.throttled.replicas: it is a list of partition:broker, or *"#]]
    .assert_eq(&told);
}

#[test]
fn synced_is_the_default_and_relaxed_must_be_asked_for() {
    let relaxed = |messages, interval_ms| Flush::Relaxed { messages, interval_ms };
    for (pairs, expected) in [
        (vec![], Flush::Synced),
        (vec![("flush.messages", "1")], Flush::Synced),
        (vec![("flush.messages", "9223372036854775807")], relaxed(NEVER, None)),
        (vec![("flush.messages", "9223372036854775807"), ("flush.ms", "1000")], relaxed(NEVER, Some(1000))),
        (vec![("flush.messages", "10000")], relaxed(10_000, None)),
        (vec![("flush.messages", "10000"), ("flush.ms", "0")], Flush::Synced),
        (vec![("flush.ms", "1000")], Flush::Synced),
    ] {
        assert_eq!(resolved(&pairs).flush, expected, "{pairs:?}");
    }
    let defaults = TopicConfig { flush: relaxed(500, None), ..TopicConfig::default() };
    assert_eq!(TopicConfig::resolve(&BTreeMap::new(), &defaults).flush, relaxed(500, None));
}

const NEVER: u64 = i64::MAX as u64;

#[test]
fn min_insync_replicas_is_two_of_three_and_never_more_than_there_are() {
    let default = TopicConfig::default();
    assert_eq!([1, 2, 3, 5].map(|factor| default.min_insync_replicas(factor)), [1, 1, 2, 2]);
    let set = resolved(&[("min.insync.replicas", "3")]);
    assert_eq!([1, 2, 3, 5].map(|factor| set.min_insync_replicas(factor)), [1, 2, 3, 3]);
}

#[test]
fn what_has_no_effect_is_in_the_table() {
    for (name, reason) in TOPIC_CONFIGS_WITHOUT_EFFECT {
        assert!(topic_key(name).is_some() && !reason.is_empty(), "{name}");
    }
    for (name, kafkas, why) in BROKER_DEFAULTS_OF_OUR_OWN {
        let key = broker_key(name).unwrap_or_else(|| panic!("no {name}"));
        let is_alike = key.default == Some(*kafkas) && *name != "min.insync.replicas";
        assert!(!is_alike && !why.is_empty(), "{name}");
    }
}

#[test]
fn every_broker_key_is_there_once_and_its_default_passes_its_own_check() {
    assert!(broker_keys().is_sorted_by(|one, next| one.name < next.name));
    for key in broker_keys() {
        if let Some(default) = key.default {
            check_broker(key.name, default).unwrap_or_else(|error| panic!("{error}"));
        }
        assert!(key.doc.ends_with('.') || matches!(key.effect, Effect::Refused(_)), "{}", key.name);
    }
    for (name, others) in ALIASES {
        for name in std::iter::once(name).chain(others.iter().map(|it| &it.0)) {
            assert!(broker_key(name).is_some(), "{name}");
        }
    }
    assert!(300 < broker_keys().len(), "{}", broker_keys().len());
}

#[test]
fn a_wrong_broker_key_or_value_says_what_would_be_right() {
    let told = [
        ("log.retention.mss", "1"),
        ("retention.ms", "1"),
        ("log.retention.ms", "-2"),
        ("log.cleaner.io.max.bytes.per.second", "NaN"),
        ("offsets.topic.replication.factor", "32768"),
        ("process.roles", "broker,zookeeper"),
        ("create.topic.policy.class.name", "com.example.Policy"),
    ]
    .map(|(name, value)| check_broker(name, value).expect_err(name).to_string())
    .join("\n");
    expect![[r#"
        Unknown broker config name: "log.retention.mss"; is it log.retention.ms?
        Unknown broker config name: "retention.ms"
        Invalid value "-2" for configuration log.retention.ms: it is a whole number from -1
        Invalid value "NaN" for configuration log.cleaner.io.max.bytes.per.second: it is a number from 0
        Invalid value "32768" for configuration offsets.topic.replication.factor: it is a whole number from 1
        Invalid value "broker,zookeeper" for configuration process.roles: it is a list of broker, controller
        create.topic.policy.class.name cannot be "com.example.Policy": no Java class can be asked which topics are allowed"#]].assert_eq(&told);
    let long = "x".repeat(VALUE_SIZE_MAX + 1);
    assert_eq!(
        check_broker("broker.rack", &long).expect_err("too long"),
        ConfigError::TooLong { name: "broker.rack" }
    );
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn the_strongest_place_counts() {
    let broker = map(&[("log.retention.ms", "1")]);
    let cluster = map(&[("log.retention.ms", "2"), ("log.segment.bytes", "2000000")]);
    let given = map(&[("log.retention.ms", "3"), ("log.segment.bytes", "3000000"), ("num.partitions", "3")]);
    let layers = Layers { broker: Some(&broker), cluster: Some(&cluster), given: &given };
    let value = |name| layers.value(broker_key(name).expect("a key"));
    assert_eq!(value("log.retention.ms"), Some("1"));
    assert_eq!(value("log.segment.bytes"), Some("2000000"));
    assert_eq!(value("num.partitions"), Some("3"));
    assert_eq!(value("fetch.max.bytes"), Some("57671680"));
    assert_eq!(value("broker.rack"), None);
    expect![[r#"
        [
            (
                Broker,
                "log.retention.ms",
                "1",
            ),
            (
                Cluster,
                "log.retention.ms",
                "2",
            ),
            (
                Given,
                "log.retention.ms",
                "3",
            ),
            (
                Default,
                "log.retention.hours",
                "168",
            ),
        ]
    "#]]
    .assert_debug_eq(&layers.said("log.retention.ms"));
}

#[test]
fn older_names_and_units_count_where_the_newer_is_not_set() {
    let retention = |pairs: &[(&str, &str)]| {
        let given = map(pairs);
        let layers = Layers { broker: None, cluster: None, given: &given };
        layers.topic_defaults().get("retention.ms").cloned()
    };
    let (hours, minutes, ms) = ("log.retention.hours", "log.retention.minutes", "log.retention.ms");
    for (pairs, expected) in [
        (vec![], None),
        (vec![(hours, "24")], Some("86400000")),
        (vec![(hours, "24"), (minutes, "30")], Some("1800000")),
        (vec![(hours, "24"), (minutes, "30"), (ms, "5")], Some("5")),
        (vec![(hours, "-1")], Some("-1")),
        (vec![(hours, "2147483647")], Some("7730941129200000")),
    ] {
        assert_eq!(retention(&pairs).as_deref(), expected, "{pairs:?}");
    }
    let given =
        map(&[("log.roll.hours", "1"), ("log.flush.scheduler.interval.ms", "7"), ("message.max.bytes", "9")]);
    let defaults = Layers { broker: None, cluster: None, given: &given }.topic_defaults();
    assert_eq!(defaults, map(&[("segment.ms", "3600000"), ("flush.ms", "7"), ("max.message.bytes", "9")]));
}

#[test]
fn compaction_must_be_possible() {
    let (min, max) = ("min.compaction.lag.ms", "max.compaction.lag.ms");
    let (broker_min, broker_max) = ("log.cleaner.min.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms");
    let fits = |topic: &[_], given: &[_]| {
        check_together(&map(topic), &Layers { broker: None, cluster: None, given: &map(given) })
    };
    for (topic, given) in [
        (&[(min, "5"), (max, "5")][..], &[][..]),
        (&[(min, "5")], &[(broker_max, "5")]),
        (&[(min, "6"), (max, "7")], &[(broker_max, "5")]),
        (&[(min, "6")], &[]),
        (&[], &[(broker_min, "6"), (broker_max, "5")]),
    ] {
        assert_eq!(fits(topic, given), Ok(()), "{topic:?} {given:?}");
    }
    for (topic, given) in [
        (&[(min, "6"), (max, "5")][..], &[][..]),
        (&[(min, "6")], &[(broker_max, "5")]),
        (&[(max, "5")], &[(broker_min, "6")]),
    ] {
        assert_eq!(
            fits(topic, given).expect_err("never and always").to_string(),
            "conflict topic config setting min.compaction.lag.ms (6) > max.compaction.lag.ms (5)"
        );
    }
}

#[test]
fn minus_one_is_no_limit() {
    let config = resolved(&[
        ("retention.ms", "-1"),
        ("retention.bytes", "1000"),
        ("cleanup.policy", "delete, compact"),
    ]);
    assert_eq!((config.retention_ms, config.retention_bytes), (None, Some(1000)));
    assert_eq!(config.cleanup, CleanupPolicy { delete: true, compact: true });
    let keeps_all = resolved(&[("cleanup.policy", "")]);
    assert_eq!(keeps_all.cleanup, CleanupPolicy { delete: false, compact: false });
}

/// A value that one of the older names takes is one that topics can have.
#[test]
fn what_an_older_name_says_is_what_its_topics_take() {
    for alias in ALIASES.iter().flat_map(|(_, others)| others.iter().map(|it| it.0)) {
        let values = ["-1", "0", "1", "2147483647", "9223372036854775807"];
        for value in values.into_iter().filter(|value| check_broker(alias, value).is_ok()) {
            let given = BTreeMap::from([(alias.to_owned(), value.to_owned())]);
            let layers = Layers { broker: None, cluster: None, given: &given };
            for (name, value) in layers.topic_defaults() {
                check(&name, &value).unwrap_or_else(|error| panic!("{alias}: {error}"));
            }
        }
    }
}
