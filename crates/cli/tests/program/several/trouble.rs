//! What an operator sees of a cluster in trouble.

use super::*;

fn three_with_topic() -> Cluster {
    let cluster = Cluster::of_three(3);
    cluster.ok(&["topic", "create", "t", "--partitions", "6", "--replication-factor", "3"]);
    cluster.ok_with_input(&["produce", "t", "--acks", "all"], &lines(0, 100));
    cluster
}

/// At the level that is on where nobody has said another.
#[test]
fn the_log_tells_of_a_lost_broker_of_a_lost_majority_and_of_its_end() {
    let mut cluster = three_with_topic();
    let before = cluster.node(1).said.len();
    cluster.kill(3);
    cluster.node(1).says("a broker is fenced broker=3");
    cluster.node(1).says("partitions have other leaders");
    cluster.kill(2);
    cluster.node(1).says("nobody leads the metadata");
    cluster.start(3);
    cluster.ready(&[3]);
    cluster.node(1).says("the metadata are led again");
    let said = cluster.node(1).said[before..].to_owned();
    assert_eq!(said.matches("nobody leads the metadata").count(), 1, "{said}");
    assert!(!said.contains("openraft"), "{said}");
}

/// One of three runs on, and cannot know that the second one is gone too.
fn one_of_three() -> Cluster {
    let mut cluster = three_with_topic();
    cluster.until(&STATUS, |it| it["current"] == true && it["healthy"] == true);
    cluster.kill(3);
    cluster.until(&STATUS, |it| it["brokers_in_service"] == 2);
    cluster.kill(2);
    cluster
}

#[test]
fn a_status_without_a_controller_says_that_it_is_old() {
    let cluster = one_of_three();
    // Until it has found out that it leads no more, it is the controller.
    let told =
        cluster.until_asked(|| cluster.ask_at(1, &STATUS, "").code(0), &STATUS, |it| it["current"] == false);
    assert_eq!((&told["controller"], &told["healthy"]), (&serde_json::Value::Null, &false.into()), "{told}");
    let shown = cluster.ask_at(1, &["cluster", "status"], "").code(0);
    for text in ["controller  -\n", "nobody leads the metadata", "What follows it knew last"] {
        assert!(shown.stdout.contains(text), "{}", shown.stdout);
    }
    let check = cluster.ask_at(1, &["cluster", "status", "--check"], "").code(1);
    assert!(check.stderr.contains("the cluster is not healthy"), "{}", check.stderr);
}

/// Its system lets itself be connected to, and nobody says anything.
#[test]
fn a_status_does_not_wait_for_a_broker_that_does_not_answer() {
    let mut cluster = three_with_topic();
    cluster.kill(3);
    cluster.until(&STATUS, |it| it["brokers_in_service"] == 2);
    send_signal(&cluster.node(2).child, "-STOP");
    let began = Instant::now();
    let shown = cluster.ask_at(1, &["cluster", "status"], "").code(0);
    // Three questions to any broker have a second each until another is asked, that for the controller three, and then the brokers two.
    assert!(began.elapsed() < Duration::from_secs(12), "it took {:?}", began.elapsed());
    assert!(shown.stdout.contains("; unknown of broker 2\n"), "{}", shown.stdout);
    let row = shown.stdout.lines().find(|line| line.starts_with("     2 ")).expect("its row");
    assert!(row.contains("in service") && row.matches("unknown").count() == 2, "{row}");
    let told = cluster.ask_at(1, &STATUS, "").code(0).json();
    let broker = told["brokers"].as_array().and_then(|it| it.iter().find(|it| it["broker"] == 2));
    let broker = broker.expect("it is known");
    assert!(broker["size_bytes"].is_null() && broker["directories_error"]["message"].is_string(), "{told}");
}

#[test]
fn a_copy_of_a_data_directory_that_is_started_beside_its_node_says_what_is_wrong() {
    let mut cluster = Cluster::of_three(4);
    cluster.kill(2);
    let copied =
        std::process::Command::new("cp").arg("-r").args([cluster.data_dir(2), cluster.data_dir(4)]).status();
    assert!(copied.expect("cp runs").success());
    cluster.start(2);
    cluster.ready(&[2]);
    // At other addresses, and with the number that it has.
    cluster.starts_as(4, 2);
    let (_, port) = cluster.ports[1];
    cluster.node(4).says("another process is node 2, with the same disk");
    assert!(
        cluster.node(4).has_said(&format!("it answers at 127.0.0.1:{port}.")),
        "{}",
        cluster.node(4).said
    );
    // The members go on with the true one.
    let told = cluster.ok(&QUORUM).json();
    let listeners = told["replicas"].as_array().and_then(|it| it.iter().find(|it| it["node"] == 2));
    let listeners = listeners.expect("a member")["listeners"].as_array().expect("listeners");
    assert!(listeners.iter().any(|it| it["port"] == port), "{told}");
    cluster.ok(&["topic", "create", "t", "--partitions", "6", "--replication-factor", "3"]);
    cluster.ok_with_input(&["produce", "t", "--acks", "all"], &lines(0, 10));
    cluster.all_in_sync("t", 3);
}

#[test]
fn others_lead_and_take_records_where_the_disk_of_one_is_full() {
    let mut cluster = Cluster::new(3);
    // Nobody is out of sync by time.
    cluster.settings = &["replica.lag.time.max.ms=600000"];
    cluster.start(1);
    cluster.start(3);
    cluster.settings = &["replica.lag.time.max.ms=600000", "log.dirs.min.free.bytes=1000000000000000000"];
    cluster.start(2);
    cluster.ready(&[1, 2, 3]);
    cluster.until(&STATUS, |it| it["brokers_in_service"] == 3);
    cluster.ok(&["topic", "create", "t", "--partitions", "6", "--replication-factor", "3"]);
    cluster.ok(&["topic", "create", "only", "-p", "1", "--replication-factor", "1"]);
    cluster.ok(&["cluster", "reassign", "only", "--to", "2", "--wait"]);
    let leaders = |told: &serde_json::Value| {
        let partitions = told[0]["partitions"].as_array().expect("partitions").clone();
        partitions.iter().map(|it| it["leader"].as_u64()).collect::<Vec<_>>()
    };
    cluster.until(&["topic", "describe", "t", "--format", "json"], |it| !leaders(it).contains(&Some(2)));
    for partition in ["0", "1", "2", "3", "4", "5"] {
        cluster.ok_with_input(&["produce", "t", "-p", partition, "--acks", "all"], &lines(0, 100));
    }
    // It copies nothing either, and leads where nobody else has the records.
    cluster.all_in_sync("t", 2);
    let only = cluster.ok(&["topic", "describe", "only", "--format", "json"]).json();
    assert_eq!(leaders(&only), [Some(2)]);
}
