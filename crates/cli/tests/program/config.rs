//! `klamm config`.

use expect_test::expect;

use crate::broker::{Broker, klamm};

#[test]
fn a_topics_settings_from_get_to_unset() {
    let broker = Broker::start();
    broker.ok(&["topic", "create", "t"]);
    broker.ok(&["config", "get", "-t", "t"]).expect(
        &[],
        &expect![[r#"
        RESOURCE  KEY  VALUE  SOURCE
    "#]],
    );
    broker.ok(&["config", "set", "-t", "t", "retention.ms=60000", "cleanup.policy+=compact"]).expect(
        &[],
        &expect![[r#"
        topic t: retention.ms=60000 cleanup.policy+=compact
    "#]],
    );
    broker.ok(&["config", "get", "-t", "t"]).expect(
        &[],
        &expect![[r#"
        RESOURCE  KEY  VALUE  SOURCE
        topic t  cleanup.policy  delete,compact  topic
        topic t  retention.ms  60000  topic
    "#]],
    );
    broker.ok(&["config", "get", "-t", "t", "retention.bytes"]).expect(
        &[],
        &expect![[r#"
        RESOURCE  KEY  VALUE  SOURCE
        topic t  retention.bytes  -1  default
    "#]],
    );
    broker.ok(&["config", "unset", "-t", "t", "retention.ms"]).expect(
        &[],
        &expect![[r#"
        topic t: retention.ms unset
    "#]],
    );
    broker.ok(&["config", "get", "-t", "t"]).expect(
        &[],
        &expect![[r#"
        RESOURCE  KEY  VALUE  SOURCE
        topic t  cleanup.policy  delete,compact  topic
    "#]],
    );
}

#[test]
fn all_settings_have_types_sources_and_documentation() {
    let broker = Broker::start();
    broker.ok(&["topic", "create", "t", "-c", "retention.ms=60000"]);
    let described = broker.ok(&["config", "get", "-t", "t", "--all", "--docs", "--format", "json"]).json();
    let configs = described[0]["configs"].as_array().expect("a list");
    assert!(configs.len() > 25, "{}", configs.len());
    let retention = configs.iter().find(|config| config["key"] == "retention.ms").expect("there");
    assert_eq!(retention["source"], "topic");
    assert_eq!(retention["type"], "long");
    assert_eq!(retention["read_only"], false);
    assert_eq!(retention["synonyms"][0]["source"], "topic");
    assert!(configs.iter().all(|config| config["documentation"].is_string()), "{described}");
    broker
        .ok(&["config", "get", "-t", "t", "retention.ms", "--docs"])
        .says("topic t: retention.ms=60000 (long, topic)\n    ");
}

#[test]
fn a_typo_is_told_with_what_was_meant_and_nothing_is_changed() {
    let broker = Broker::start();
    broker.ok(&["topic", "create", "t"]);
    broker.run_anyway(&["config", "get", "-t", "t", "retension.ms"]).expect(
        &[],
        &expect![[r#"
        RESOURCE  KEY  VALUE  SOURCE
        klamm: topic t has no setting retension.ms; is it retention.ms?
        exit code 1
    "#]],
    );
    broker.run_anyway(&["config", "set", "-t", "t", "segment.ms=1000", "retension.ms=1"]).expect(
        &[],
        &expect![[r#"
            klamm: topic t: Unknown topic config name: "retension.ms"; is it retention.ms? (INVALID_CONFIG)
            exit code 1
        "#]],
    );
    broker.run_anyway(&["config", "set", "-t", "nothing", "retention.ms=1"]).expect(
        &[],
        &expect![[r#"
        klamm: topic nothing: there is no such topic or partition
        exit code 1
    "#]],
    );
    broker.run_anyway(&["config", "get", "-t", "nothing"]).expect(
        &[],
        &expect![[r#"
        klamm: topic nothing: there is no such topic or partition
        exit code 1
    "#]],
    );
    broker.ok(&["config", "get", "-t", "t"]).prints("RESOURCE  KEY  VALUE  SOURCE\n");
    klamm(&["config", "get"]).code(2).says("--topic");
    klamm(&["config", "set", "-t", "t", "retention.ms"]).code(2).says("expected KEY=VALUE");
}

#[test]
fn the_cluster_and_one_broker_have_settings_too() {
    let broker = Broker::start();
    broker.ok(&["config", "set", "--cluster", "log.retention.ms=86400000"]).expect(
        &[],
        &expect![[r#"
        cluster: log.retention.ms=86400000
    "#]],
    );
    broker.ok(&["config", "get", "--cluster"]).expect(
        &[],
        &expect![[r#"
        RESOURCE  KEY  VALUE  SOURCE
        cluster  log.retention.ms  86400000  cluster
    "#]],
    );
    broker.ok(&["config", "set", "--broker", "1", "log.retention.ms=3600000"]).expect(
        &[],
        &expect![[r#"
        broker 1: log.retention.ms=3600000
    "#]],
    );
    broker.ok(&["config", "get", "--broker", "1", "log.retention.ms", "num.partitions"]).expect(
        &[],
        &expect![[r#"
        RESOURCE  KEY  VALUE  SOURCE
        broker 1  log.retention.ms  3600000  broker
        broker 1  num.partitions  1  default, read-only
    "#]],
    );
    broker.ok(&["config", "unset", "--broker", "1", "log.retention.ms"]);
    let left = broker.ok(&["config", "get", "--broker", "1", "log.retention.ms", "--format", "json"]).json();
    assert_eq!(left[0]["configs"][0]["value"], "86400000");
    assert_eq!(left[0]["configs"][0]["source"], "cluster");
}
