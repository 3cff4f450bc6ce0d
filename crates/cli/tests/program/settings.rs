//! Where a broker takes its settings from, and what it does about mistakes in them.

use std::fs;

use crate::broker::{Broker, klamm};

#[test]
fn an_argument_beats_the_environment_and_that_the_file() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data_dir = directory.path().join("data");
    let file = directory.path().join("server.properties");
    let text = format!(
        "process.roles=broker,controller\nnode.id=7\nlisteners=PLAINTEXT://127.0.0.1:0,CONTROLLER://:0\n\
         controller.listener.names=CONTROLLER\nlog.dirs={}\nnum.io.threads=8\n\
         num.partitions=1\nlog.retention.hours=24\nfetch.max.bytes=5000\n",
        data_dir.display()
    );
    fs::write(&file, text).expect("a file");
    let arguments = ["serve", "--config", file.to_str().expect("a plain path"), "--set", "num.partitions=3"];
    let broker =
        Broker::with(&arguments, &[("KLAMM_NUM_PARTITIONS", "2"), ("KLAMM_FETCH_MAX_BYTES", "6000")]);
    assert_eq!(broker.data_dir(), data_dir);
    let keys = ["num.partitions", "fetch.max.bytes", "log.retention.hours", "num.io.threads"];
    let got = broker.ok(&[&["config", "get", "--broker", "7"], keys.as_slice()].concat()).stdout;
    for (key, value) in keys.into_iter().zip(["3", "6000", "24", "8"]) {
        let row = got.lines().find(|row| row.contains(key)).unwrap_or_else(|| panic!("no {key}:\n{got}"));
        assert!(row.split_whitespace().any(|word| word == value), "{row}");
    }
    broker.ok(&["topic", "create", "t"]).says("topic t created: 3 partitions");
}

#[test]
fn a_mistake_in_a_file_stops_the_start_and_has_a_line() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (name, text, told) in [
        (
            "a.properties",
            "node.id=1\nlog.retention.mss=5\n",
            "line 2: Unknown broker config name: \"log.retention.mss\"; is it log.retention.ms?",
        ),
        ("b.properties", "listeners=SSL://127.0.0.1:0\n", "SSL is to speak SSL, which is not served yet"),
        ("c.properties", "authorizer.class.name=kafka.Authorizer\n", "there is no authorizer yet"),
        (
            "d.toml",
            "[num]\npartitions = 0\n",
            "line 2: Invalid value \"0\" for configuration num.partitions: it is a whole number from 1",
        ),
    ] {
        let file = directory.path().join(name);
        fs::write(&file, text).expect("a file");
        klamm(&["serve", "--config", file.to_str().expect("a plain path")]).code(2).says(told);
    }
    klamm(&["serve", "--config", "nowhere.toml"]).code(2).says("nowhere.toml: No such file");
}
