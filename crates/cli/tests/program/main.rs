//! Runs the program as people do, against a broker of its own in this process' child.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "runs processes")]

mod broker;
mod cluster;
mod config;
mod data;
mod disks;
mod group;
mod log;
mod members;
mod settings;
mod several;
mod start;
mod topic;
mod txn;

use std::fs::File;
use std::process::{Command, Stdio};

use broker::{Broker, klamm, klamm_with};

#[test]
fn a_topic_from_cradle_to_grave() {
    let broker = Broker::start();
    broker.ok(&["topic", "create", "orders", "--partitions", "3"]).says("topic orders created: 3 partitions");
    broker.fails(&["topic", "create", "orders"]).says("orders: the topic exists already");
    broker.ok(&["topic", "create", "orders", "--if-not-exists"]).says("exists already");
    broker.ok(&["topic", "list"]).says("orders           3            1");
    broker.ok(&["topic", "describe", "orders"]).says("PARTITION  LEADER");
    let described = broker.ok(&["topic", "describe", "orders", "--format", "json"]).json();
    assert_eq!(described[0]["topic"], "orders");
    assert_eq!(described[0]["partitions"].as_array().map(Vec::len), Some(3));
    assert_eq!(described[0]["partitions"][2]["leader"], 1);
    let listed = broker.ok(&["topic", "list", "--format", "json"]).json();
    assert_eq!(listed[0]["replication_factor"], 1);
    broker.ok(&["topic", "delete", "orders"]).says("topic orders deleted");
    broker.fails(&["topic", "delete", "orders"]).says("orders: there is no such topic");
    broker.ok(&["topic", "delete", "orders", "--if-exists"]).says("does not exist");
    broker.fails(&["topic", "describe", "orders"]).says("there is no topic \"orders\"");
    broker.fails(&["topic", "create", "no spaces"]).says("INVALID_TOPIC_EXCEPTION");
}

#[test]
fn lines_come_back_as_they_went_in_whatever_the_codec() {
    let broker = Broker::start();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        broker.ok_with_input(&["produce", codec, "-z", codec], "one\n\nthree\n");
        broker.ok(&["consume", codec, "-e"]).prints("one\n\nthree\n");
    }
}

#[test]
fn keys_headers_and_formats() {
    let broker = Broker::start();
    let input = "me:hello\nnobody\nyou:\n";
    broker.ok_with_input(&["produce", "t", "-k", ":", "-H", "a=1", "-H", "b=", "-Z", "-p", "0"], input);
    broker
        .ok(&["consume", "t", "-e", "-f", "%t %p %o %k %K %s %S %h\\n"])
        .prints("t 0 0 me 2 hello 5 a=1,b=\nt 0 1  -1 nobody 6 a=1,b=\nt 0 2 you 3  -1 a=1,b=\n");
    let line = broker.ok(&["consume", "t", "--json", "-n", "1"]).json();
    assert_eq!(line["key"], "me");
    assert_eq!(line["headers"][0]["name"], "a");
}

#[test]
fn reading_begins_where_it_should_and_ends_when_it_should() {
    let broker = Broker::start();
    let lines: String = (0..100).map(|number| format!("{number}\n")).collect();
    broker.ok(&["topic", "create", "t", "-p", "2"]);
    broker.ok_with_input(&["produce", "t", "-p", "0"], &lines);
    broker.ok_with_input(&["produce", "t", "-p", "1"], "other\n");
    broker.ok(&["consume", "t", "-p", "0", "-o", "98", "-e"]).prints("98\n99\n");
    broker.ok(&["consume", "t", "-p", "0", "-o", "-1", "-e"]).prints("99\n");
    broker.ok(&["consume", "t", "-p", "0", "-o", "-1000", "-n", "2"]).prints("0\n1\n");
    broker.ok(&["consume", "t", "-p", "0", "-o", "@-1h", "-n", "1"]).prints("0\n");
    broker.ok(&["consume", "t", "-o", "@2099-01-01", "-e"]).prints("");
    broker.ok(&["consume", "t", "-o", "end", "-e"]).prints("");
    broker.ok(&["consume", "t", "-n", "0"]).prints("");
    assert_eq!(broker.ok(&["consume", "t", "-e"]).stdout.lines().count(), 101);
    broker.fails(&["consume", "t", "-p", "0", "-o", "101", "-e"]).says("the log has no offset 101");
    broker.fails(&["consume", "t", "-p", "2", "-e"]).says("has no partition 2; it has 2");
    broker.fails(&["consume", "nothing", "-e"]).says("there is no topic \"nothing\"");
}

#[test]
fn what_was_acknowledged_survives_a_restart() {
    let mut broker = Broker::start();
    broker.ok_with_input(&["produce", "t"], "kept\n");
    broker.restart();
    broker.ok(&["consume", "t", "-e"]).prints("kept\n");
    broker.ok_with_input(&["produce", "t"], "and more\n");
    broker.ok(&["consume", "t", "-e"]).prints("kept\nand more\n");
}

#[test]
fn benchmarks_count_what_they_did() {
    let broker = Broker::start();
    let json = ["--format", "json"];
    let produce = ["bench", "produce", "-n", "5000", "--record-size", "100", "-p", "4", "--keys", "10"];
    let produced = broker.ok(&[&produce[..], &json].concat()).json();
    assert_eq!(produced["records"], 5000);
    assert!(produced["latency"]["acknowledged_after"]["p50_ms"].as_f64() > Some(0.0));
    let consumed = broker.ok(&["bench", "consume", "--format", "json"]).json();
    assert_eq!(consumed["records"], 5000);
    assert_eq!(consumed["bytes"], produced["bytes"]);
    broker.fails(&["bench", "consume", "-n", "5001"]).says("has only 5000 records");
    let latency = ["bench", "latency", "t2", "--rate", "200", "--seconds", "1", "--end-to-end"];
    let measured = broker.ok(&[&latency[..], &json].concat()).json();
    assert_eq!(measured["latency"]["acknowledged_after"]["records"], 200);
    assert_eq!(measured["latency"]["received_after"]["records"], 200);
    // One of them may take all of the time.
    let measured = broker
        .ok(&["bench", "latency", "t2", "--one-at-a-time", "--seconds", "1", "--format", "json"])
        .json();
    assert!(measured["latency"]["acknowledged_after"]["records"].as_u64() > Some(0), "{measured}");
}

#[test]
fn a_benchmark_reads_what_it_writes_meanwhile() {
    let broker = Broker::start();
    broker.ok_with_input(&["produce", "klamm-bench"], "here before\n");
    let both = ["bench", "both", "-n", "20000", "--record-size", "100", "--acks", "1", "--format", "json"];
    let measured = broker.ok(&both).json();
    assert_eq!(measured["in"]["records"], 20_000);
    assert_eq!(measured["out"]["records"], 20_000);
    assert_eq!(measured["out"]["bytes"], measured["in"]["bytes"]);
    assert!(measured["out"]["records_per_second"].as_f64() > Some(0.0));
}

#[test]
fn shells_learn_the_commands() {
    for (shell, word) in [("bash", "_klamm()"), ("zsh", "#compdef klamm"), ("fish", "complete -c klamm")] {
        klamm(&["completions", shell]).code(0).says(word).says("add-partitions").says("client-config");
    }
    klamm(&["completions", "basic"]).code(2).says("possible values: bash");
}

#[test]
fn a_throw_away_broker_leaves_nothing_behind() {
    let mut broker = Broker::dev();
    broker.ok_with_input(&["produce", "t"], "x\n");
    let data_dir = broker.data_dir().to_owned();
    assert!(data_dir.exists());
    broker.stop();
    assert!(!data_dir.exists(), "{} is still there", data_dir.display());
}

#[test]
fn wrong_usage_is_told_apart_from_failure() {
    klamm(&["topic", "lst"]).code(2).says("a similar subcommand exists: 'list'");
    klamm(&["produce", "t", "--akcs", "1"]).code(2).says("a similar argument exists: '--acks'");
    klamm(&["produce", "t", "-z", "brotli"]).code(2).says("expected none, gzip, snappy, lz4 or zstd");
    klamm(&["consume", "t", "-o", "middle"]).code(2).says("expected start, end, an offset");
    klamm(&["consume", "t", "-f", "%q"]).code(2).says("there is no %q");
    klamm(&["serve", "--set", "num.partition=3"]).code(2).says("num.partitions");
    klamm(&["serve", "--listen", "nowhere"]).code(2).says("expected HOST:PORT");
    klamm(&["serve", "--join", ""]).code(2).says("there is no address in it");
    klamm(&["dev", "--nodes", "3", "--listen", "127.0.0.1:65534"]).code(2).says("take 6 ports");
    klamm(&["topic", "list", "-b", "127.0.0.1:1"]).code(1).says("no broker answers at 127.0.0.1:1");
    klamm(&["topic", "list", "-b", "http://127.0.0.1:1"]).code(2).says("expected HOST:PORT");
    klamm(&["bench", "latency", "--seconds", "18446744073709551615"]).code(2).says("is not in 1..=");
    klamm(&["bench", "produce", "--record-size", "99999999999999"]).code(2).says("bytes at most");
    klamm(&[]).code(2).says("Usage: klamm <COMMAND>");
    klamm(&["--version"]).code(0).says("klamm 0.");
}

#[test]
fn two_brokers_do_not_share_a_directory_or_an_address() {
    let broker = Broker::start();
    let directory = broker.data_dir().to_str().expect("a plain path").to_owned();
    let second = ["serve", "--data-dir", &directory, "--listen", "127.0.0.1:0"];
    let refused = klamm_with(&second, &[("KLAMM_CLIENT_CONFIG", "for clients")]).code(1);
    assert!(!refused.stderr.contains("KLAMM_CLIENT_CONFIG"), "it is none of a broker's: {}", refused.stderr);
    refused.says("in use by another process");
    let other = broker.data_dir().join("other");
    let other = other.to_str().expect("a plain path");
    klamm(&["serve", "--data-dir", other, "--listen", broker.address()]).code(1).says("cannot listen on");
}

#[test]
fn whoever_stops_reading_hears_no_complaint() {
    let broker = Broker::start();
    let lines: String = (0..50_000).map(|number| format!("line {number}\n")).collect();
    broker.ok_with_input(&["produce", "t"], &lines);
    let mut consume = broker.spawn(&["consume", "t"]);
    drop(consume.stdout.take());
    let output = consume.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_failure_is_one_though_nobody_hears_of_it() {
    let full = File::options().write(true).open("/dev/full").expect("it takes nothing");
    let (reader, broken) = std::io::pipe().expect("a pipe");
    drop(reader);
    for stderr in [Stdio::from(full), Stdio::from(broken)] {
        let mut failing = Command::new(env!("CARGO_BIN_EXE_klamm"));
        failing.args(["topic", "list", "-b", "127.0.0.1:1"]).stderr(stderr);
        assert_eq!(failing.status().expect("it runs").code(), Some(1));
    }
}
