//! A node alone, to which others come.

use super::*;

/// Node 1 alone: a topic, records, and a group that has read some of them.
fn alone(cluster: &mut Cluster) {
    // How often the controller looks whether internal topics lack replicas.
    cluster.settings = &["leader.imbalance.check.interval.seconds=1"];
    cluster.tells_list = false;
    cluster.start(1);
    cluster.ready(&[1]);
    cluster.ok(&["topic", "create", "t", "-p", "3"]);
    cluster.ok_with_input(&["produce", "t", "--acks", "all"], &lines(0, 500));
    let read = cluster.ok(&["consume", "t", "-g", "readers", "-o", "start", "-n", "300"]);
    assert_eq!(read.stdout.lines().count(), 300);
}

/// Two more come, vote, and take copies of everything; then the first is lost for good.
fn grows_and_loses_the_first(cluster: &mut Cluster) {
    cluster.tells_list = true;
    (2..=3).for_each(|id| cluster.start(id));
    cluster.ready(&[2, 3]);
    cluster.until(&STATUS, |it| it["brokers_in_service"] == 3);
    for id in [2, 3] {
        let is_there = |it: &serde_json::Value| it["node"] == id && !it["last_caught_up_ms"].is_null();
        cluster.until(&QUORUM, |it| it["replicas"].as_array().expect("replicas").iter().any(is_there));
        cluster.ok(&["cluster", "quorum", "add", &id.to_string()]);
    }
    cluster.ok(&["cluster", "reassign", "t", "--to", "1,2,3", "--wait"]);
    cluster.all_in_sync("t", 3);
    // Nobody has to say so: it was made while there was one broker.
    cluster.all_in_sync("__consumer_offsets", 3);
    cluster.ok_with_input(&["produce", "t", "--acks", "all"], &lines(500, 800));

    cluster.kill(1);
    cluster.ok_with_input(&["produce", "t", "--acks", "all"], &lines(800, 1000));
    let rest = cluster.ok(&["consume", "t", "-g", "readers", "-e"]);
    assert_eq!(rest.stdout.lines().count(), 700, "it goes on where it was");
    let mut read: Vec<usize> =
        cluster.ok(&["consume", "t", "-e"]).stdout.lines().map(|it| it.parse().expect("a number")).collect();
    read.sort_unstable();
    assert_eq!(read, (0..1000).collect::<Vec<_>>());
    cluster.ok(&["topic", "create", "u", "--replication-factor", "2"]);

    cluster.start(1);
    cluster.ready(&[1]);
    cluster.all_in_sync("t", 3);
}

#[test]
fn others_join_a_node_that_is_alone_and_runs_on_and_bear_its_loss() {
    let mut cluster = Cluster::new(3);
    alone(&mut cluster);
    let status = cluster.ok(&QUORUM).json();
    assert_eq!(status["replicas"].as_array().map(Vec::len), Some(1), "{status}");
    grows_and_loses_the_first(&mut cluster);
}

/// It was never told of nodes until then; and it is started like the others, with the list of all.
#[test]
fn others_join_a_node_that_was_alone_and_was_killed_and_bear_its_loss() {
    let mut cluster = Cluster::new(3);
    cluster.listens = false;
    alone(&mut cluster);
    let id = cluster.ok(&STATUS).json()["cluster_id"].clone();
    let other = "00000000-0000-0000-0000-000000000009";
    let refused = cluster.ask_at(1, &["cluster", "quorum", "add", "2", "--directory", other], "").code(1);
    assert!(refused.stderr.contains("--node-listen"), "{}", refused.stderr);
    cluster.kill(1);
    (cluster.listens, cluster.tells_list) = (true, true);
    cluster.start(1);
    cluster.node(1).says("listening for other nodes on");
    cluster.ready(&[1]);
    assert_eq!(cluster.ok(&STATUS).json()["cluster_id"], id);
    grows_and_loses_the_first(&mut cluster);
}
