use std::collections::BTreeSet;

use klamm_cluster::config::{Effect, broker_keys};

use super::*;

fn config() -> Config {
    Config::new(PathBuf::from("unused"), BrokerId(0))
}

/// The table is the one place that says which keys there are; each that works has a reader, and each reader a row.
#[test]
fn every_key_that_works_is_read_somewhere() {
    assert!(SETTERS.is_sorted_by(|one, next| one.0 < next.0));
    let aliases = klamm_cluster::config::ALIASES.iter().flat_map(|it| it.1.iter().map(|it| it.0));
    let read: BTreeSet<&str> = SETTERS
        .iter()
        .map(|it| it.0)
        .chain(NodeConfig::keys())
        .chain(READ_ELSEWHERE.iter().copied())
        .chain(aliases)
        .collect();
    let works: BTreeSet<&str> = broker_keys()
        .iter()
        .filter(|it| it.effect == Effect::Works && it.topic_key.is_none())
        .map(|it| it.name)
        .collect();
    assert_eq!(read, works);
}

#[test]
fn keys_are_kafkas() {
    let mut config = config();
    config.set("num.partitions", "6").expect("a known key");
    config.set("log.segment.bytes", "1048576").expect("the default of a topic key");
    config.set("num.recovery.threads.per.data.dir", "3").expect("a known key");
    assert_eq!((config.node.default_partition_count, config.recovery_threads), (6, 3));
    assert_eq!(config.given("log.segment.bytes"), Some("1048576"));
}

#[test]
fn what_does_not_fit_is_refused_and_says_what_would() {
    for (key, value, told) in [
        (
            "num.network.thread",
            "3",
            r#"Unknown broker config name: "num.network.thread"; is it num.network.threads?"#,
        ),
        (
            "num.partitions",
            "many",
            r#"Invalid value "many" for configuration num.partitions: it is a whole number from 1"#,
        ),
        (
            "log.retention.ms",
            "7 days",
            r#"Invalid value "7 days" for configuration log.retention.ms: it is a whole number from -1"#,
        ),
        ("log.dirs", "/a,/a", r#"log.dirs cannot be "/a,/a": one of them is there twice"#),
        ("log.dirs", "/a,", r#"log.dirs cannot be "/a,": one of them is empty"#),
        (
            "queued.max.request.bytes",
            "5000",
            r#"queued.max.request.bytes cannot be "5000": it is at least 1048576"#,
        ),
        (
            "authorizer.class.name",
            "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            r#"authorizer.class.name cannot be "org.apache.kafka.metadata.authorizer.StandardAuthorizer": there is no authorizer yet, and without one everything is allowed"#,
        ),
        (
            "security.inter.broker.protocol",
            "SSL",
            r#"security.inter.broker.protocol cannot be "SSL": brokers speak plaintext with each other"#,
        ),
    ] {
        assert_eq!(config().set(key, value).expect_err(key).to_string(), told);
    }
    let mut config = config();
    config.set("node.id", "3").expect("a number");
    assert_eq!(
        config.set("broker.id", "4").expect_err("another").to_string(),
        r#"broker.id cannot be "4": node.id is "3""#
    );
    config.set("broker.id", "3").expect("the same number");
}

#[test]
fn data_directories_are_a_list() {
    let mut config = config();
    config.set("log.dirs", "/one, /two").expect("two directories");
    config.set("log.dir", "/three").expect("a key that does not count any more");
    assert_eq!(config.data_dirs, [PathBuf::from("/one"), PathBuf::from("/two")]);
}

#[test]
fn a_secret_is_not_kept() {
    let mut config = config();
    config.set("ssl.keystore.password", "open sesame").expect("a key without effect");
    assert_eq!(config.given("ssl.keystore.password"), Some(""));
    assert!(!format!("{config:?}").contains("sesame"));
}
