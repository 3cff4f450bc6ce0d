//! `klamm topic`.

use expect_test::expect;

use crate::broker::{Broker, klamm};

#[test]
fn several_topics_at_once_and_those_that_fail_do_not_keep_the_others_back() {
    let broker = Broker::start();
    broker.ok(&["topic", "create", "b"]);
    broker.run_anyway(&["topic", "create", "a", "b", "c", "-p", "2"]).expect(
        &[],
        &expect![[r#"
        topic a created: 2 partitions, replication factor 1
        topic c created: 2 partitions, replication factor 1
        klamm: b: the topic exists already
        exit code 1
    "#]],
    );
    let made = broker.fails(&["topic", "create", "d", "b", "--format", "json"]).json();
    assert_eq!(made[0]["created"], true);
    assert_eq!(made[0]["error"], serde_json::Value::Null);
    assert_eq!(made[1]["created"], false);
    assert_eq!(made[1]["error"]["code"], "TOPIC_ALREADY_EXISTS");
    broker.run_anyway(&["topic", "delete", "a", "nothing", "b"]).expect(
        &[],
        &expect![[r#"
        topic a deleted
        topic b deleted
        klamm: nothing: there is no such topic or partition
        exit code 1
    "#]],
    );
    broker.ok(&["topic", "list"]).expect(
        &[],
        &expect![[r#"
        TOPIC  PARTITIONS  REPLICATION
        c  2  1
        d  1  1
    "#]],
    );
}

#[test]
fn a_dry_run_changes_nothing() {
    let broker = Broker::start();
    broker.ok(&["topic", "create", "t", "-p", "3", "--dry-run"]).expect(
        &[],
        &expect![[r#"
        topic t would be created: 3 partitions, replication factor 1
    "#]],
    );
    broker.ok(&["topic", "list"]).prints("TOPIC  PARTITIONS  REPLICATION\n");
    broker.fails(&["topic", "create", "no spaces", "--dry-run"]).says("INVALID_TOPIC_EXCEPTION");
    broker.ok(&["topic", "create", "t"]);
    broker.ok(&["topic", "delete", "t", "u", "--dry-run"]).expect(
        &[],
        &expect![[r#"
        topic t would be deleted
        topic u does not exist
    "#]],
    );
    broker.ok(&["topic", "describe", "t"]);
}

#[test]
fn patterns_choose_topics_and_what_they_delete_is_confirmed() {
    let broker = Broker::start();
    broker.ok(&["topic", "create", "test-1", "test-2", "other", "a-test-3"]);
    broker.ok(&["topic", "list", "test-.*", "o.*"]).expect(
        &[],
        &expect![[r#"
        TOPIC  PARTITIONS  REPLICATION
        other  1  1
        test-1  1  1
        test-2  1  1
    "#]],
    );
    broker.run_anyway(&["topic", "delete", "-r", "test-.*"]).expect(
        &[],
        &expect![[r#"
        klamm: the pattern matches test-1, test-2: --yes to delete, --dry-run to see what that means
        exit code 2
    "#]],
    );
    broker.ok(&["topic", "delete", "-r", "test-.*", "--dry-run"]).expect(
        &[],
        &expect![[r#"
        topic test-1 would be deleted
        topic test-2 would be deleted
    "#]],
    );
    broker.ok(&["topic", "delete", "-r", "test-.*", "--yes"]).expect(
        &[],
        &expect![[r#"
        topic test-1 deleted
        topic test-2 deleted
    "#]],
    );
    broker.run_anyway(&["topic", "describe", "-r", "test-.*"]).expect(
        &[],
        &expect![[r#"
        klamm: no topic matches test-.*
        exit code 1
    "#]],
    );
    broker.run_anyway(&["topic", "list", "("]).code(2).says("pattern \"(\"");
}

#[test]
fn a_description_has_everything_on_one_page() {
    let broker = Broker::start();
    broker.ok(&["topic", "create", "orders", "-p", "2", "-c", "retention.ms=1000000"]);
    broker.ok_with_input(&["produce", "orders", "-p", "1"], "one\ntwo\n");
    broker.ok(&["topic", "describe", "orders"]).expect(
        &[],
        &expect![[r#"
        topic  orders
        id  <id>
        partitions  2
        replication  1
        records  2
        size  81 B
        settings  retention.ms=1000000
        durability  synced: acks=all is answered when the records are on disk

        PARTITION  LEADER  EPOCH  REPLICAS  IN SYNC  OFFLINE  START  END  SIZE
          0  1  0  1  1  -  0  0  0 B
          1  1  0  1  1  -  0  2  81 B
    "#]],
    );
    let described = broker.ok(&["topic", "describe", "orders", "--format", "json"]).json();
    assert_eq!(described[0]["configs"]["retention.ms"], "1000000");
    assert_eq!(described[0]["acks_all_waits_for_sync"], true);
    assert_eq!(described[0]["records"], 2);
    assert_eq!(described[0]["partitions"][1]["end"], 2);
    assert_eq!(described[0]["partitions"][1]["in_sync"], serde_json::json!([1]));
    assert_eq!(described[0]["partitions"][0]["eligible_leaders"], serde_json::json!([]));
    let healthy = broker.ok(&["topic", "describe", "orders", "--problems", "--format", "json"]).json();
    assert_eq!(healthy[0]["partitions"], serde_json::json!([]));
}

#[test]
fn what_does_not_wait_for_the_disk_says_so() {
    let broker = Broker::start();
    broker.ok(&["topic", "create", "fast", "-c", "flush.messages=10000"]);
    broker
        .ok(&["topic", "describe", "fast"])
        .says("durability   relaxed: on disk after 10000 records at the latest");
    let described = broker.ok(&["topic", "describe", "fast", "--format", "json"]).json();
    assert_eq!(described[0]["acks_all_waits_for_sync"], false);
}

#[test]
fn a_list_counts_records_and_bytes() {
    let broker = Broker::start();
    broker.ok(&["topic", "create", "orders", "-p", "2"]);
    broker.ok_with_input(&["produce", "orders"], "one\ntwo\nthree\n");
    broker.ok(&["topic", "list", "--long"]).expect(
        &[],
        &expect![[r#"
            TOPIC  PARTITIONS  REPLICATION  RECORDS  SIZE
            orders  2  1  3  93 B
        "#]],
    );
    let listed = broker.ok(&["topic", "list", "-l", "--format", "json"]).json();
    assert_eq!(listed[0]["records"], 3);
    assert!(listed[0]["size_bytes"].as_u64() > Some(0), "{listed}");
}

#[test]
fn settings_are_altered_and_given_back() {
    let broker = Broker::start();
    broker.ok(&["topic", "create", "t", "u"]);
    let alter = ["topic", "alter", "t", "u", "-c", "retention.ms=5000", "-c", "cleanup.policy+=compact"];
    broker.ok(&alter).expect(
        &[],
        &expect![[r#"
        topic t: retention.ms=5000 cleanup.policy+=compact
        topic u: retention.ms=5000 cleanup.policy+=compact
    "#]],
    );
    broker
        .ok(&["topic", "describe", "u"])
        .says("settings     cleanup.policy=delete,compact retention.ms=5000");
    broker.ok(&["topic", "alter", "u", "--unset", "retention.ms", "-c", "cleanup.policy=delete"]);
    broker.ok(&["topic", "describe", "u"]).says("settings     cleanup.policy=delete\n");
    broker.run_anyway(&["topic", "alter", "t", "-c", "retention.mss=1"]).expect(
        &[],
        &expect![[r#"
            klamm: topic t: Unknown topic config name: "retention.mss"; is it retention.ms? (INVALID_CONFIG)
            exit code 1
        "#]],
    );
    broker.run_anyway(&["topic", "alter", "t", "-c", "retention.ms=soon"]).expect(
        &[],
        &expect![[r#"
        klamm: topic t: Invalid value "soon" for configuration retention.ms: it is a whole number from -1 (INVALID_CONFIG)
        exit code 1
    "#]],
    );
    broker.ok(&["topic", "alter", "t", "-c", "retention.ms=7", "--dry-run"]).expect(
        &[],
        &expect![[r#"
        topic t would be changed: retention.ms=7
    "#]],
    );
    broker.ok(&["topic", "describe", "t"]).says("retention.ms=5000");
}

#[test]
fn partitions_are_added_and_never_taken() {
    let broker = Broker::start();
    broker.ok(&["topic", "create", "t", "-p", "2"]);
    broker.ok(&["topic", "add-partitions", "t", "--to", "4", "--dry-run"]).expect(
        &[],
        &expect![[r#"
        topic t would have 4 partitions, had 2
    "#]],
    );
    broker.ok(&["topic", "add-partitions", "t", "--to", "4"]).expect(
        &[],
        &expect![[r#"
        topic t has 4 partitions, had 2
    "#]],
    );
    broker.ok(&["topic", "add-partitions", "t", "--to", "4"]).expect(
        &[],
        &expect![[r#"
        topic t has 4 partitions already
    "#]],
    );
    broker.ok(&["topic", "add-partitions", "t", "--add", "1"]).expect(
        &[],
        &expect![[r#"
        topic t has 5 partitions, had 4
    "#]],
    );
    broker.run_anyway(&["topic", "add-partitions", "t", "--to", "3"]).expect(
        &[],
        &expect![[r#"
        klamm: t: The topic currently has 5 partition(s); 3 would not be an increase. (INVALID_PARTITIONS)
        klamm: partitions never become fewer: make another topic and copy what is to stay
        exit code 1
    "#]],
    );
    broker.run_anyway(&["topic", "add-partitions", "nothing", "--to", "3"]).expect(
        &[],
        &expect![[r#"
        klamm: nothing: there is no such topic or partition
        exit code 1
    "#]],
    );
    broker.ok_with_input(&["produce", "t", "-p", "4"], "into the new one\n");
    broker.ok(&["consume", "t", "-p", "4", "-e"]).prints("into the new one\n");
}

#[test]
fn the_oldest_records_are_trimmed() {
    let broker = Broker::start();
    let lines: String = (0..100).map(|number| format!("{number}\n")).collect();
    broker.ok(&["topic", "create", "t", "-p", "2"]);
    broker.ok_with_input(&["produce", "t", "-p", "0"], &lines);
    broker.ok_with_input(&["produce", "t", "-p", "1"], "only\n");
    broker.ok(&["topic", "trim", "t", "--to", "-10", "--dry-run"]).expect(
        &[],
        &expect![[r#"
        TOPIC  PARTITION  START BEFORE  START  END  WOULD DELETE
        t  0  0  90  100  90
        t  1  0  0  1  0
    "#]],
    );
    broker.ok(&["topic", "trim", "t", "-p", "0", "--to", "42"]).expect(
        &[],
        &expect![[r#"
        TOPIC  PARTITION  START BEFORE  START  END  DELETED
        t  0  0  42  100  42
    "#]],
    );
    broker.ok(&["consume", "t", "-p", "0", "-n", "1"]).prints("42\n");
    broker.ok(&["topic", "trim", "t", "-p", "0", "--to", "10"]).expect(
        &[],
        &expect![[r#"
        TOPIC  PARTITION  START BEFORE  START  END  DELETED
        t  0  42  42  100  0
    "#]],
    );
    let trimmed = broker.ok(&["topic", "trim", "t", "--to", "@-1h", "--format", "json"]).json();
    assert_eq!(trimmed[0]["records_deleted"], 0);
    broker.run_anyway(&["topic", "trim", "t", "-p", "0", "--to", "1000"]).expect(
        &[],
        &expect![[r#"
        TOPIC  PARTITION  START BEFORE  START  END  DELETED
        t  0  42  -  100  -
        klamm: t-0: the log has no such offset
        exit code 1
    "#]],
    );
    broker.ok(&["topic", "trim", "t", "--to", "end"]).expect(
        &[],
        &expect![[r#"
        TOPIC  PARTITION  START BEFORE  START  END  DELETED
        t  0  42  100  100  58
        t  1  0  1  1  1
    "#]],
    );
    broker.ok(&["consume", "t", "-e"]).prints("");
    broker
        .run_anyway(&["topic", "trim", "t", "-p", "0", "--to", "1000", "--dry-run"])
        .says("the log has no such offset");
    broker.run_anyway(&["topic", "trim", "t", "--to", "start"]).expect(
        &[],
        &expect![[r#"
        klamm: --to start: there is nothing before the start
        exit code 2
    "#]],
    );
    broker.run_anyway(&["topic", "trim", "nothing", "--to", "end"]).expect(
        &[],
        &expect![[r#"
        klamm: there is no topic "nothing"
        exit code 1
    "#]],
    );
}

#[test]
fn a_cluster_that_does_not_answer_is_waited_for_as_long_as_was_said() {
    let begun = std::time::Instant::now();
    klamm(&["topic", "list", "-b", "192.0.2.1:9", "--timeout", "200ms"]).code(1).says("192.0.2.1:9");
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
    klamm(&["topic", "list", "--timeout", "soon"]).code(2).says("expected a time such as 500ms");
}
