//! `klamm cluster`.

use expect_test::expect;

use crate::broker::Broker;

#[test]
fn status_is_one_page() {
    let broker = Broker::start();
    broker.ok(&["topic", "create", "t", "-p", "3"]);
    broker.ok(&["cluster", "status", "--check"]).expect(
        &[],
        &expect![[r#"
            cluster  <id>
            health  healthy
            controller  1
            brokers  1 of 1 in service
            topics  1, and 0 internal
            partitions  3: 0 offline, 0 under-replicated, 0 not led by their preferred leader
            data  0 B
            features  eligible.leader.replicas.version 1, group.version 1, klamm.metadata.version 1, metadata.version 33, transaction.version 2

            BROKER  ADDRESS  RACK  STATE  LEADERS  REPLICAS  DATA  FREE
              1  <address>  -  in service  3  3  0 B  <size>
        "#]],
    );
    let status = broker.ok(&["cluster", "status", "--format", "json"]).json();
    assert_eq!(status["healthy"], true);
    assert_eq!(status["brokers_in_service"], 1);
    assert_eq!(status["partitions"], 3);
    assert_eq!(status["partitions_offline"], 0);
    assert_eq!(status["problems"], serde_json::json!([]));
    assert_eq!(status["brokers"][0]["leaders"], 3);
}

#[test]
fn brokers_have_directories_and_serve_requests() {
    let broker = Broker::start();
    broker.ok(&["topic", "create", "t", "-p", "3"]);
    let directory = broker.data_dir().to_str().expect("a plain path");
    broker.ok(&["cluster", "brokers"]).expect(
        &[(directory, "DIR")],
        &expect![[r#"
            BROKER  ADDRESS  RACK  STATE  LEADERS  REPLICAS  DATA  FREE
              1  <address>  -  in service  3  3  0 B  <size>

            BROKER  DIRECTORY  STATE  REPLICAS  DATA  FREE  TOTAL
              1  DIR  good  3  0 B  <size>  <size>
        "#]],
    );
    let brokers = broker.ok(&["cluster", "brokers", "--apis", "--format", "json"]).json();
    assert_eq!(brokers[0]["directories"][0]["path"], directory);
    assert_eq!(brokers[0]["directories"][0]["replicas"], 3);
    assert!(brokers[0]["directories"][0]["total_bytes"].as_u64() > Some(0));
    assert_eq!(brokers[0]["apis"][0]["name"], "Produce");
    broker.ok(&["cluster", "brokers", "--apis"]).says("ApiVersions");
}

#[test]
fn the_quorum_of_one() {
    let broker = Broker::start();
    let quorum = broker.ok(&["cluster", "quorum", "--format", "json"]).json();
    assert_eq!(quorum["leader"], 1);
    assert_eq!(quorum["replicas"][0]["role"], "leader");
    assert_eq!(quorum["replicas"][0]["lag"], 0);
    broker.ok(&["cluster", "quorum"]).says("NODE  ROLE    END  LAG  HEARD");
}

#[test]
fn leaders_are_elected_where_that_is_needed() {
    let broker = Broker::start();
    broker.ok(&["topic", "create", "t", "-p", "2"]);
    broker.ok(&["cluster", "elect"]).expect(
        &[],
        &expect![[r#"
        every leader is the right one already
    "#]],
    );
    broker.ok(&["cluster", "elect", "t", "-p", "1"]).expect(
        &[],
        &expect![[r#"
        t-1: the leader is the right one already
    "#]],
    );
    broker.run_anyway(&["cluster", "elect", "t", "--unclean", "--format", "json"]).expect(
        &[],
        &expect![[r#"
        [
          {
          "elected": false,
          "error": null,
          "partition": 0,
          "topic": "t"
          },
          {
          "elected": false,
          "error": null,
          "partition": 1,
          "topic": "t"
          }
        ]
    "#]],
    );
    broker.run_anyway(&["cluster", "elect", "nothing"]).expect(
        &[],
        &expect![[r#"
        klamm: there is no topic "nothing"
        exit code 1
    "#]],
    );
}

#[test]
fn one_node_moves_nothing_and_says_so() {
    let broker = Broker::start();
    broker.ok(&["topic", "create", "t", "-p", "2"]);
    broker.ok(&["cluster", "reassign"]).expect(
        &[],
        &expect![[r#"
        no partition is on its way
    "#]],
    );
    broker.ok(&["cluster", "reassign", "t", "--to", "1", "--wait"]).expect(
        &[],
        &expect![[r#"
        t-0 moves to 1
        t-1 moves to 1
    "#]],
    );
    broker.run_anyway(&["cluster", "reassign", "t", "-p", "0", "--to", "2"]).expect(
        &[],
        &expect![[r#"
        klamm: t-0: the replicas cannot be used: broker 2 is not registered (INVALID_REPLICA_ASSIGNMENT)
        exit code 1
    "#]],
    );
    broker.ok(&["cluster", "reassign", "t", "--cancel"]).expect(
        &[],
        &expect![[r#"
        t-0 is not on its way
        t-1 is not on its way
    "#]],
    );
    assert_eq!(broker.ok(&["cluster", "reassign", "--format", "json"]).json(), serde_json::json!([]));
}

#[test]
fn feature_levels_are_shown_and_set() {
    let mut broker = Broker::start();
    let levels = |broker: &Broker| {
        let listed = broker.ok(&["cluster", "features", "--format", "json"]).json();
        let all = listed.as_array().expect("a list").clone();
        all.into_iter()
            .map(|it| (it["feature"].as_str().expect("a name").to_owned(), it["level"].as_i64()))
            .collect::<Vec<_>>()
    };
    broker.ok(&["cluster", "features"]).expect(
        &[],
        &expect![[r#"
        FEATURE  LEVEL  SUPPORTED
        eligible.leader.replicas.version  1  1 to 1
        group.version  1  0 to 1
        klamm.metadata.version  1  0 to 1
        metadata.version  33  33 to 33
        transaction.version  2  0 to 2
    "#]],
    );
    let before = levels(&broker);
    broker.fails(&["cluster", "features", "set", "group.version=0"]).says("with --downgrade only");
    let set = ["cluster", "features", "set", "group.version=0", "transaction.version=1", "--downgrade"];
    broker.ok(&[&set[..], &["--dry-run"]].concat()).says("group.version can be set to level 0");
    assert_eq!(levels(&broker), before);
    broker.ok(&set).says("transaction.version is at level 1");
    // Producers and consumers go by it, and transactions are of the kind before.
    broker.ok_with_input(&["produce", "t", "--transactional-id", "x"], "one\n");
    broker.ok(&["consume", "t", "-g", "g", "-e"]).prints("one\n");
    broker.restart();
    let after = levels(&broker);
    assert!(after.contains(&("group.version".to_owned(), Some(0))), "{after:?}");
    broker.fails(&["cluster", "features", "set", "transaction.version=9"]).says("only supports versions 0-2");
    broker.fails(&["cluster", "features", "set", "klamm.metadata.version=0", "--unsafe"]).says("stay there");
    broker.run_anyway(&["cluster", "features", "set", "nothing"]).code(2).says("NAME=LEVEL");
    broker
        .ok(&["cluster", "features", "set", "group.version=1", "transaction.version=2"])
        .says("is at level 2");
    assert_eq!(levels(&broker), before);
}
