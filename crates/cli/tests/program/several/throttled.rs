//! Moves that may copy no more than so much in a second.

use super::Cluster;

/// What was set of throttles: the lists of a topic, and the rates of brokers.
fn settings(cluster: &Cluster) -> Vec<String> {
    let asked = ["config", "get", "--topic", "t", "--broker", "1", "--broker", "2", "--format", "json"];
    let answer = cluster.ok(&asked).json();
    let resources = answer.as_array().expect("a list");
    let of_one = |it: &serde_json::Value| {
        let name = it["name"].as_str().expect("a name").to_owned();
        let configs = it["configs"].as_array().expect("a list").clone();
        configs.into_iter().map(move |it| format!("{name}: {}={}", it["key"], it["value"]).replace('"', ""))
    };
    let mut all: Vec<_> = resources.iter().flat_map(of_one).filter(|it| it.contains("throttled")).collect();
    all.sort();
    all
}

fn on_their_way(cluster: &Cluster) -> usize {
    cluster.ok(&["cluster", "reassign", "--format", "json"]).json().as_array().expect("a list").len()
}

#[test]
fn a_move_is_held_back_until_it_is_told_to_hurry_and_leaves_no_limit() {
    let mut cluster = Cluster::new(2);
    (1..=2).for_each(|id| cluster.start(id));
    cluster.ready(&[1, 2]);
    cluster.ok(&["topic", "create", "t", "-p", "2", "--replication-factor", "1"]);
    cluster.ok(&["cluster", "reassign", "t", "--to", "1", "--wait"]);
    let record = "x".repeat(100_000);
    for partition in ["0", "1"] {
        cluster.ok_with_input(&["produce", "t", "-p", partition, "-z", "none"], &record);
    }

    // One partition takes what there is for a minute and more. Until then it cannot say that it has everything either.
    let begin = ["cluster", "reassign", "t", "--to", "1,2", "--throttle", "1000"];
    cluster.ok(&begin).prints("t-0 moves to 1,2\nt-1 moves to 1,2\n");
    let brokers = ["cluster", "brokers", "--format", "json"];
    cluster.until(&brokers, |it| it[1]["size_bytes"].as_u64() >= Some(100_000));
    let limited = |rate: &str| {
        let rates = |broker| {
            ["follower", "leader"].map(|side| format!("{broker}: {side}.replication.throttled.rate={rate}"))
        };
        let lists = [
            "t: follower.replication.throttled.replicas=0:2,1:2".to_owned(),
            "t: leader.replication.throttled.replicas=0:1,1:1".to_owned(),
        ];
        rates(1).into_iter().chain(rates(2)).chain(lists).collect::<Vec<_>>()
    };
    assert_eq!(settings(&cluster), limited("1000"));
    assert_eq!(on_their_way(&cluster), 2, "they wait");
    let has = cluster.ok(&brokers).json()[1]["size_bytes"].as_u64().expect("a size");
    assert!(has < 200_000, "{has} of both");

    cluster.ok(&["cluster", "reassign", "t", "--to", "1,2", "--throttle", "100000000", "--wait"]);
    cluster.all_in_sync("t", 2);
    assert_eq!(settings(&cluster), [""; 0]);
}

#[test]
fn what_holds_a_move_back_can_be_taken_back() {
    let mut cluster = Cluster::new(2);
    (1..=2).for_each(|id| cluster.start(id));
    cluster.ready(&[1, 2]);
    cluster.ok(&["cluster", "unthrottle"]).prints("nothing is throttled\n");
    cluster.ok(&["topic", "create", "t", "-p", "2", "--replication-factor", "1"]);
    cluster.ok(&["cluster", "reassign", "t", "--to", "1", "--wait"]);
    let record = "x".repeat(100_000);
    for partition in ["0", "1"] {
        cluster.ok_with_input(&["produce", "t", "-p", partition, "-z", "none"], &record);
    }
    cluster.ok(&["cluster", "reassign", "t", "--to", "1,2", "--throttle", "1000"]);
    let expected = "topic t: not throttled any more\nbroker 1: not throttled any more\nbroker 2: not throttled any more\n";
    cluster.ok(&["cluster", "unthrottle"]).prints(expected);
    cluster
        .until(&["cluster", "reassign", "--format", "json"], |it| it.as_array().is_some_and(Vec::is_empty));
    assert_eq!(settings(&cluster), [""; 0]);
}
