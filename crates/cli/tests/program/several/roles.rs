//! Nodes that are controllers only, or brokers only, and that become something else.

use super::*;

/// Controllers 1 to 3 and brokers 4 and 5, all of them in the list.
fn three_controllers_and_two_brokers() -> Cluster {
    let mut cluster = Cluster::new(5);
    cluster.roles = (1..=3).map(|id| (id, "controller")).chain([(4, "broker"), (5, "broker")]).collect();
    [5, 2, 4, 3, 1].into_iter().for_each(|id| cluster.start(id));
    cluster.ready(&[1, 2, 3, 4, 5]);
    cluster.until(&STATUS, |it| it["brokers_in_service"] == 2);
    cluster
}

fn role(told: &serde_json::Value, id: usize) -> serde_json::Value {
    let replicas = told["replicas"].as_array().expect("a list");
    replicas.iter().find(|it| it["node"] == id).map(|it| it["role"].clone()).unwrap_or_default()
}

fn has_partitions(cluster: &Cluster, id: usize) -> bool {
    let found = fs::read_dir(cluster.data_dir(id)).expect("its directory");
    found.map(|it| it.expect("a file").file_name()).any(|it| it.to_string_lossy().starts_with("t-"))
}

pub(super) fn stop(cluster: &mut Cluster, id: usize) {
    send_signal(&cluster.node(id).child, "-TERM");
    let code = cluster.node(id).child.wait().expect("it ends").code();
    assert_eq!(code, Some(0), "{}", cluster.node(id).said);
    cluster.running[id - 1] = None;
}

#[test]
fn controllers_that_are_no_brokers_and_brokers_that_are_no_controllers_are_one_cluster() {
    let mut cluster = three_controllers_and_two_brokers();
    let told = cluster.until(&QUORUM, |it| it["replicas"].as_array().map(Vec::len) == Some(5));
    for id in 1..=5 {
        assert_eq!(role(&told, id) == "observer", 3 < id, "{told}");
    }
    let refused = cluster.ask_at(4, &["cluster", "quorum", "add", "5"], "").code(1);
    assert!(refused.stderr.contains("is registered as a broker only"), "{}", refused.stderr);
    // Nobody serves clients there.
    cluster.ask_at(1, &["topic", "list", "--timeout", "1s"], "").code(1);
    let controller = format!("127.0.0.1:{}", cluster.ports[0].1);
    for what in ["status", "quorum"] {
        let refused = klamm(&["cluster", what, "--timeout", "10s", "--bootstrap", &controller]).code(1);
        let why =
            format!("no broker answers at {controller}: there the cluster's nodes listen for each other");
        assert!(refused.stderr.contains(&why), "{}", refused.stderr);
    }
    cluster.ok(&["topic", "create", "t", "--partitions", "4", "--replication-factor", "2"]);
    cluster.ok_with_input(&["produce", "t", "--acks", "all"], &lines(0, 500));
    let leader = told["leader"].as_u64().and_then(|it| usize::try_from(it).ok()).expect("one leads");
    cluster.kill(leader);
    // What was asked of the controller that died may be answered with a time-out: first another one decides.
    for id in [4, 5] {
        let ask = || cluster.ask_at(id, &QUORUM, "").code(0);
        let told = cluster.until_asked(ask, &QUORUM, |it| it["leader"].as_u64() != Some(leader as u64));
        assert_eq!(role(&told, 4), "observer");
    }
    cluster.ok(&["topic", "create", "u", "--partitions", "2", "--replication-factor", "2"]);
    cluster.ok_with_input(&["produce", "t", "--acks", "all"], &lines(500, 1000));
    cluster.kill(4);
    cluster.ok_with_input(&["produce", "t", "--acks", "all"], &lines(1000, 1500));
    assert_eq!(cluster.ok(&["consume", "t", "-g", "g", "-e"]).stdout.lines().count(), 1500);
    cluster.start(leader);
    cluster.start(4);
    cluster.ready(&[leader, 4]);
    cluster.all_in_sync("t", 2);
    (1..=5).for_each(|id| stop(&mut cluster, id));
    assert!(!has_partitions(&cluster, 1), "a controller has none");
}

#[test]
fn roles_that_cannot_be_are_refused_at_the_start() {
    let alone = |roles: &str| {
        let place = tempfile::tempdir().expect("a temporary directory");
        let mut command = command(&["serve", "--roles", roles, "--listen", "127.0.0.1:0", "--data-dir"]);
        command.arg(place.path());
        run(command, &["serve"], "").code(1).stderr
    };
    for roles in ["broker", "controller"] {
        assert!(alone(roles).contains("is both broker and controller"), "{}", alone(roles));
    }
    let mut broker = Cluster::new(1);
    broker.roles = vec![(1, "broker")];
    broker.start(1);
    broker.node(1).says("a controller has to be the first");
    assert_eq!(broker.node(1).child.wait().expect("it ends").code(), Some(1));
    // Who has a vote, or partitions, keeps the role for them.
    let mut cluster = Cluster::new(2);
    [1, 2].into_iter().for_each(|id| cluster.start(id));
    cluster.ready(&[1, 2]);
    cluster.ok(&["topic", "create", "t", "--partitions", "2"]);
    for (id, roles, why) in [(1, "broker", "has a vote"), (2, "controller", "a controller has no partitions")]
    {
        cluster.until(&["topic", "describe", "t", "--format", "json"], |it| {
            it[0]["partitions"][0]["leader"] != serde_json::Value::Null
        });
        cluster.kill(id);
        cluster.roles = vec![(id, roles)];
        cluster.start(id);
        cluster.node(id).says(why);
        cluster.node(id).child.wait().expect("it ends");
        cluster.roles.clear();
        cluster.start(id);
        cluster.ready(&[id]);
    }
}

/// First a broker only, then both again with a vote, then a controller only: each after what the refusal of a start without it tells to do.
#[test]
fn a_node_takes_other_roles_once_it_has_given_up_what_goes_with_the_old_ones() {
    let mut cluster = Cluster::of_three(3);
    cluster.ok(&["topic", "create", "t", "--partitions", "3", "--replication-factor", "2"]);
    cluster.ok_with_input(&["produce", "t", "--acks", "all"], &lines(0, 500));

    cluster.ok(&["cluster", "quorum", "remove", "3"]);
    // By its own log too: what is committed it may not have yet.
    cluster.until(&QUORUM, |it| {
        let replicas = it["replicas"].as_array().expect("a list");
        replicas.iter().any(|it| it["node"] == 3 && it["role"] == "observer" && it["lag"] == 0)
    });
    let restart = |cluster: &mut Cluster, roles: Option<&'static str>| {
        stop(cluster, 3);
        cluster.roles = roles.map(|it| (3, it)).into_iter().collect();
        cluster.start(3);
        cluster.ready(&[3]);
    };
    restart(&mut cluster, Some("broker"));
    cluster.all_in_sync("t", 2);
    assert_eq!(role(&cluster.ok(&QUORUM).json(), 3), "observer");
    cluster.ask_at(1, &["cluster", "quorum", "add", "3"], "").code(1);

    restart(&mut cluster, None);
    cluster.until(&QUORUM, |it| {
        let replicas = it["replicas"].as_array().expect("a list");
        replicas.iter().any(|it| it["node"] == 3 && !it["last_caught_up_ms"].is_null())
    });
    cluster.ok(&["cluster", "quorum", "add", "3"]);
    cluster.until(&QUORUM, |it| role(it, 3) == "voter");

    cluster.ok(&["cluster", "drain", "3"]);
    let until = Instant::now() + PATIENCE;
    while has_partitions(&cluster, 3) {
        assert!(Instant::now() < until, "what it had is still there");
        std::thread::sleep(Duration::from_millis(50));
    }
    restart(&mut cluster, Some("controller"));
    cluster.until(&STATUS, |it| it["brokers_in_service"] == 2);
    cluster.ok(&["cluster", "unregister", "3"]);
    cluster.until(&STATUS, |it| it["brokers_known"] == 2);
    assert_eq!(role(&cluster.ok(&QUORUM).json(), 3), "voter");
    // Now it is one of two that decide.
    cluster.kill(2);
    cluster.until(&QUORUM, |it| it["leader"].as_u64().is_some_and(|it| it != 2));
    cluster.ok(&["topic", "create", "u"]);
    cluster.ok_with_input(&["produce", "t", "--acks", "all"], &lines(500, 1000));
    assert_eq!(cluster.ok(&["consume", "t", "-e"]).stdout.lines().count(), 1000);
}
