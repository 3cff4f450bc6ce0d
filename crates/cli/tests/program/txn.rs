//! `klamm txn`, and writing in a transaction.

use std::io::Write;

use expect_test::expect;
use klamm_client::{Client, ClientConfig, Record, Transaction, TransactionalConfig, TransactionalProducer};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::broker::{Broker, klamm};
use crate::data::{lines, stopped_by};

/// A transaction with one record in `orders-1`, by the producer `till`, that stays open.
fn open_transaction(broker: &Broker) -> (Runtime, Transaction) {
    broker.ok(&["topic", "create", "orders", "-p", "2"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let transaction = runtime.block_on(async {
        let client = Client::connect(ClientConfig::new(broker.address())).await.expect("connects");
        let config = TransactionalConfig::new("till");
        let producer = TransactionalProducer::start(&client, config).await.expect("has the id");
        let transaction = producer.begin().await.expect("begins");
        let record = Record { partition: Some(1), ..Record::new("orders", b"open") };
        transaction.send(record).await.expect("written");
        transaction
    });
    (runtime, transaction)
}

#[test]
fn transactions_are_listed_described_and_aborted_by_their_ids() {
    let broker = Broker::start();
    let (_runtime, _transaction) = open_transaction(&broker);
    broker.ok(&["txn", "list"]).expect(
        &[],
        &expect![[r#"
            TRANSACTIONAL ID  STATE  PRODUCER  COORDINATOR
            till  Ongoing  0  1
        "#]],
    );
    let list = ["txn", "list", "--format", "json"];
    for (arguments, count) in [
        (&["--state", "ONGOING", "t.*"][..], 1),
        (&["--state", "empty"][..], 0),
        (&["--producer", "0"][..], 1),
        (&["--producer", "1"][..], 0),
        (&["--longer-than", "1h"][..], 0),
        (&["t"][..], 0),
    ] {
        let listed = broker.ok(&[&list[..], arguments].concat()).json();
        assert_eq!(listed.as_array().map(Vec::len), Some(count), "{arguments:?} {listed}");
    }
    let mut described = broker.ok(&["txn", "describe", "till", "--format", "json"]).json();
    let began = described[0]["began"].take();
    assert!(began.as_i64().is_some_and(|at| 1_700_000_000_000 < at), "{began}");
    let partitions = [json!({ "topic": "orders", "partition": 1 })];
    let wanted = json!([{
        "transactional_id": "till", "state": "Ongoing", "producer": 0, "epoch": 0, "coordinator": 1, "timeout_ms": 60_000, "began": null,
        "partitions": partitions,
    }]);
    assert_eq!(described, wanted);
    broker
        .ok(&["txn", "find-hanging", "--longer-than", "1ms"])
        .prints("TOPIC  PARTITION  AT  PRODUCER  EPOCH  IDLE  TRANSACTIONAL ID\n");
    broker.run_anyway(&["txn", "abort", "till", "nothing"]).expect(
        &[],
        &expect![[r#"
            the transaction of till is aborted, and its producer is fenced
            klamm: nothing: there is no such transactional id
            exit code 1
        "#]],
    );
    broker.run_anyway(&["txn", "describe", "till", "nothing"]).expect(
        &[],
        &expect![[r#"
            transactional id  till
            state  Empty
            producer  0, epoch 3
            coordinator  1
            time-out  0.0 s
            began  -
            klamm: nothing: there is no such transactional id
            exit code 1
        "#]],
    );
    let again = broker.ok(&["txn", "abort", "till", "--format", "json"]).json();
    assert_eq!(
        again,
        json!([{ "transactional_id": "till", "aborted": false, "fenced": true, "error": null }])
    );
    broker.ok(&["txn", "abort", "till"]).says("nothing of till was open, and its producer is fenced");
    broker.ok(&["consume", "orders", "-e", "--read-committed"]).prints("");
    klamm(&["txn", "abort"]).code(2);
    klamm(&["txn", "abort", "--topic", "orders", "-p", "1"]).code(2).says("--at");
}

#[test]
fn what_no_coordinator_knows_is_found_and_aborted_where_it_is() {
    let mut broker = Broker::start();
    let (_runtime, _transaction) = open_transaction(&broker);
    broker.ok_with_input(&["produce", "orders", "-p", "1"], "behind\n");
    // The coordinator forgets everything.
    broker.stop();
    for entry in std::fs::read_dir(broker.data_dir()).expect("readable") {
        let path = entry.expect("an entry").path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("__transaction_state-")) {
            std::fs::remove_dir_all(path).expect("removed");
        }
    }
    broker.start_again();
    broker
        .ok(&["txn", "find-hanging"])
        .prints("TOPIC  PARTITION  AT  PRODUCER  EPOCH  IDLE  TRANSACTIONAL ID\n");
    let found =
        broker.ok(&["txn", "find-hanging", "--topic", "orders", "--longer-than", "1ms", "--format", "json"]);
    let found = found.json();
    assert_eq!(found.as_array().map(Vec::len), Some(1), "{found}");
    let hanging = |key: &str| found[0][key].clone();
    assert_eq!(
        (hanging("partition"), hanging("at"), hanging("transactional_id")),
        (json!(1), json!(0), json!(null))
    );
    broker.ok(&["consume", "orders", "-p", "1", "-e", "--read-committed"]).prints("");
    broker
        .fails(&["txn", "abort", "--topic", "orders", "-p", "1", "--at", "1"])
        .says("orders-1: no open transaction begins at offset 1");
    broker
        .ok(&["txn", "abort", "--topic", "orders", "-p", "1", "--at", "0"])
        .says("orders-1 has the mark that aborts what producer 0 began at 0");
    broker.ok(&["consume", "orders", "-p", "1", "-e", "--read-committed"]).prints("behind\n");
}

#[test]
fn all_of_an_input_counts_or_nothing_of_it() {
    let broker = Broker::start();
    broker.ok(&["topic", "create", "orders", "-p", "2"]);
    let produce = ["produce", "orders", "--transactional-id", "till", "-p", "0"];
    broker.ok_with_input(&produce, "1\n2\n");
    let json = [&produce[..4], &["--json"]].concat();
    broker
        .run_with_input(&json, "{\"value\": \"3\"}\n{\"value\": \"4\", \"partition\": 9}\n")
        .code(1)
        .says("2 partitions");
    broker.ok_with_input(&[&produce[..], &["-n", "1"]].concat(), "5\n6\n");
    let consume = ["consume", "orders", "-e", "-p", "0"];
    broker.ok(&[&consume[..], &["--read-committed"]].concat()).prints("1\n2\n5\n");
    let acks = [&produce[..], &["--acks", "1"]].concat();
    broker.run_with_input(&acks, "7\n").code(1).says("transactions need acks=all");
}

#[test]
fn what_is_interrupted_is_aborted_at_once() {
    let broker = Broker::start();
    let mut produce =
        broker.spawn(&["produce", "orders", "--transactional-id", "till", "-v", "--linger", "0"]);
    let mut stdin = produce.stdin.take().expect("piped");
    let mut told = lines(&mut produce);
    stdin.write_all(b"1\n2\n").expect("it listens");
    assert_eq!(told.by_ref().take(2).count(), 2);
    let says = "klamm: interrupted: 2 records were written\n\
                klamm: the transaction is aborted: nothing of it counts\n";
    assert_eq!(stopped_by(produce, "-INT"), (says.into(), Some(130)));
    let listed = broker.ok(&["txn", "list", "--state", "ongoing", "--format", "json"]).json();
    assert_eq!(listed, json!([]));
}

#[test]
fn a_state_that_there_is_not_is_wrong_usage() {
    for list in ["txn list --state open", "group list --state emtpy", "group list --type classical"] {
        klamm(&list.split(' ').collect::<Vec<_>>()).code(2).says("none of ");
    }
}
