//! Nodes without a vote that are taken for gone, and are not.

use super::*;

/// What a node that has a vote says until it is as it should be; others may stand still.
fn until(cluster: &Cluster, arguments: &[&str], is_so: impl Fn(&serde_json::Value) -> bool) {
    cluster.until_asked(|| cluster.ask_at(1, arguments, "").code(0), arguments, is_so);
}

fn is_member(told: &serde_json::Value, id: usize) -> bool {
    told["replicas"].as_array().expect("replicas").iter().any(|it| it["node"] == id)
}

/// Once it is out of service. (`cluster status` would ask it how much it holds, and wait for that.)
fn unregister(cluster: &Cluster, id: usize) {
    let arguments = ["cluster", "unregister", &id.to_string()];
    let until = Instant::now() + PATIENCE;
    loop {
        let answer = cluster.ask_at(1, &arguments, "");
        if !answer.stderr.contains("is in service") {
            answer.code(0);
            return;
        }
        assert!(Instant::now() < until, "it is in service still");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn an_observer_whose_broker_is_unregistered_is_given_up_and_comes_back_if_it_was_not_gone() {
    let mut cluster = Cluster::of_four();
    until(&cluster, &QUORUM, |it| is_member(it, 4));

    cluster.kill(4);
    unregister(&cluster, 4);
    until(&cluster, &QUORUM, |it| !is_member(it, 4));
    // It goes by what is on its disk: nobody tells it again where the others are.
    cluster.tells_list = false;
    cluster.start(4);
    cluster.ready(&[4]);
    until(&cluster, &STATUS, |it| it["brokers_in_service"] == 4);
    until(&cluster, &QUORUM, |it| is_member(it, 4));

    // A machine that stands still, and goes on when all have given it up.
    send_signal(&cluster.node(4).child, "-STOP");
    unregister(&cluster, 4);
    until(&cluster, &QUORUM, |it| !is_member(it, 4));
    send_signal(&cluster.node(4).child, "-CONT");
    until(&cluster, &STATUS, |it| it["brokers_in_service"] == 4);
    until(&cluster, &QUORUM, |it| is_member(it, 4));
    // It has the metadata, and tells those who ask it.
    cluster.ok(&["topic", "create", "t", "--replication-factor", "3"]);
    let list = ["topic", "list", "--format", "json"];
    cluster.until_asked(|| cluster.ask_at(4, &list, "").code(0), &list, |it| it[0]["topic"] == "t");
}

/// A machine is lost with its disk, and another one takes its number: once nobody counts on what the old one had promised.
#[test]
fn a_number_that_was_given_up_everywhere_may_be_another_nodes() {
    let mut cluster = Cluster::of_three(3);
    cluster.ok(&["topic", "create", "t", "-p", "3", "--replication-factor", "2"]);
    cluster.ok_with_input(&["produce", "t", "--acks", "all"], &lines(0, 500));

    cluster.kill(3);
    let has_replicas = |it: &serde_json::Value| {
        let partitions = it[0]["partitions"].as_array().expect("partitions");
        partitions.iter().any(|it| it["replicas"].as_array().expect("replicas").contains(&3.into()))
    };
    let describe = ["topic", "describe", "t", "--format", "json"];
    for step in ["drain", "quorum", "unregister"] {
        fs::remove_dir_all(cluster.data_dir(3)).expect("it is lost");
        cluster.start(3);
        cluster.node(3).says("the cluster refuses this node");
        assert!(cluster.node(3).has_said("has another disk"), "{}", cluster.node(3).said);
        assert_eq!(cluster.node(3).child.wait().expect("it ends").code(), Some(1));
        cluster.running[2] = None;
        match step {
            "drain" => {
                cluster.ok(&["cluster", "drain", "3"]);
                cluster.until(&describe, |it| !has_replicas(it));
            }
            "quorum" => drop(cluster.ok(&["cluster", "quorum", "remove", "3"])),
            _ => unregister(&cluster, 3),
        }
    }
    until(&cluster, &QUORUM, |it| !is_member(it, 3));
    fs::remove_dir_all(cluster.data_dir(3)).expect("it is lost");
    cluster.start(3);
    cluster.ready(&[3]);
    until(&cluster, &STATUS, |it| it["brokers_in_service"] == 3);
    let has_caught_up =
        |it: &serde_json::Value| it["node"] == 3 && it["role"] == "observer" && it["lag"] == 0;
    until(&cluster, &QUORUM, |it| it["replicas"].as_array().expect("replicas").iter().any(has_caught_up));
    cluster.ok(&["cluster", "quorum", "add", "3"]);
    cluster.ok(&["cluster", "reassign", "t", "--to", "2,3", "--wait"]);
    cluster.all_in_sync("t", 2);
    let read = cluster.ask_at(3, &["consume", "t", "-e"], "").code(0);
    assert_eq!(read.stdout.lines().count(), 500);
}
