//! Data directories that go away under a broker.

use std::fs;
use std::time::{Duration, Instant};

use regex_lite::Regex;

use super::broker::Broker;

#[test]
fn a_data_directory_that_is_moved_away_ends_the_broker_and_what_is_in_its_place_is_left_alone() {
    let mut broker = Broker::start();
    broker.ok_with_input(&["produce", "t"], "kept\n");
    let data_dir = broker.data_dir().to_owned();
    let aside = data_dir.with_file_name("aside");
    fs::rename(&data_dir, &aside).expect("renamed");
    fs::create_dir(&data_dir).expect("made");
    broker.run_anyway(&["topic", "create", "u", "--timeout", "10s"]);
    assert_eq!(broker.ended(), Some(1));
    fs::remove_dir(&data_dir).expect("still empty");
    assert!(!aside.join("clean-shutdown").exists());
    fs::rename(&aside, &data_dir).expect("renamed");
    broker.start_again();
    broker.ok(&["consume", "t", "-e"]).prints("kept\n");
}

#[test]
fn the_second_of_two_may_go_and_whoever_asks_is_told() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let [one, two] = ["one", "two"].map(|name| place.path().join(name));
    let dirs = format!("log.dirs={},{}", one.display(), two.display());
    let mut broker = Broker::with(&["serve", "--listen", "127.0.0.1:0", "--set", dirs.as_str()], &[]);
    broker.ok(&["topic", "create", "t", "-p", "2"]);
    broker.ok_with_input(&["produce", "t", "-p", "0"], "kept\n");
    broker.ok_with_input(&["produce", "t", "-p", "1"], "gone\n");
    assert!(one.join("t-0").exists() && two.join("t-1").exists());
    broker.ok(&["cluster", "status", "--check"]).says("partitions  2: 0 offline");
    fs::rename(&two, place.path().join("aside")).expect("renamed");
    broker.ok(&["topic", "create", "u", "-p", "2"]);
    let deadline = Instant::now() + Duration::from_secs(20);
    let status = loop {
        let status = broker.run_anyway(&["cluster", "status", "--check"]);
        // One of each topic, and nobody waits for either.
        if status.stdout.contains("partitions  4: 2 offline") {
            break status.code(1);
        }
        assert!(Instant::now() < deadline, "{}", status.stdout);
    };
    status.says("not healthy").says("two: KAFKA_STORAGE_ERROR");
    let problems = broker.ok(&["topic", "describe", "t", "--problems", "--format", "json"]).json();
    assert_eq!(problems[0]["partitions"][0]["partition"], 1);
    assert_eq!(problems[0]["partitions"][0]["leader"], serde_json::Value::Null);
    broker.ok(&["consume", "t", "-p", "0", "-e"]).prints("kept\n");
    let nobody = "nobody leads t-1 (`klamm cluster status` tells more)";
    let read = broker.fails(&["consume", "t", "-e", "--timeout", "4s"]).prints("kept\n");
    let waited =
        Regex::new(r"waited for \d+ s").expect("a pattern").replace(&read.stderr, "waited for some time");
    assert_eq!(waited, format!("klamm: {nobody}; that was waited for some time\n"));
    read.says(&format!("klamm: waiting: {nobody}\n"));
    let settings = ["-X", "delivery.timeout.ms=5000", "-X", "request.timeout.ms=1000"];
    let written =
        broker.run_with_input(&[&["produce", "t", "-p", "1"], &settings[..]].concat(), "lost\n").code(1);
    written
        .says(&format!("waiting: {nobody}"))
        .says("line 1: t-1: not sent")
        .says("0 records were written, 1 was not acknowledged");
    broker.stop();
    assert!(!two.exists());
}
