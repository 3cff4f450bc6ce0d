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
fn a_cluster_that_does_not_answer_is_waited_for_as_long_as_was_said() {
    let begun = std::time::Instant::now();
    klamm(&["topic", "list", "-b", "192.0.2.1:9", "--timeout", "200ms"]).code(1).says("192.0.2.1:9");
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
    klamm(&["topic", "list", "--timeout", "soon"]).code(2).says("expected a time such as 500ms");
}
