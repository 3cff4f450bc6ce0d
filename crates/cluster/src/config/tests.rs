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
        ("message.timestamp.type", "logappendtime"),
        ("preallocate", "1"),
        ("min.cleanable.dirty.ratio", "NaN"),
        ("compression.gzip.level", "10"),
        ("leader.replication.throttled.replicas", "0:1,x"),
    ]
    .map(|(name, value)| check(name, value).expect_err(name).to_string())
    .join("\n");
    expect![[r#"
        there is no topic config "retention.msec"; is it retention.ms?
        there is no topic config "no.such.thing"
        there is no topic config "../../etc/passwd"
        retention.ms is a whole number from -1, not "a week"
        retention.ms is a whole number from -1, not "-2"
        segment.bytes is a whole number from 1048576, not "100"
        segment.bytes is a whole number from 1048576, not "2147483648"
        cleanup.policy is a list of compact, delete, not "compact,forget"
        message.timestamp.type is one of CreateTime, LogAppendTime, not "logappendtime"
        preallocate is true or false, not "1"
        min.cleanable.dirty.ratio is a number from 0 to 1, not "NaN"
        compression.gzip.level is a whole number from -1 to 9, not "10"
        leader.replication.throttled.replicas is a list of partition:broker, or *, not "0:1,x""#]]
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
fn minus_one_is_no_limit() {
    let config = resolved(&[
        ("retention.ms", "-1"),
        ("retention.bytes", "1000"),
        ("cleanup.policy", "delete, compact"),
    ]);
    assert_eq!((config.retention_ms, config.retention_bytes), (None, Some(1000)));
    assert_eq!(config.cleanup, CleanupPolicy { delete: true, compact: true });
}
