//! Nodes that are started again at other addresses.

use super::*;

/// Killed and started at other ports, for clients and for nodes.
fn move_away(cluster: &mut Cluster, ids: &[usize]) {
    for id in ids {
        cluster.kill(*id);
        cluster.ports[*id - 1] = free_ports(1)[0];
    }
    for id in ids {
        cluster.start(*id);
    }
}

/// All are ready, in service, and known where they are; and what is written is read.
fn all_are_found(cluster: &mut Cluster, count: usize) {
    let ids: Vec<usize> = (1..=cluster.ports.len()).collect();
    let (all, ports) = (ids.len(), cluster.ports.clone());
    cluster.until(&STATUS, |it| it["brokers_in_service"] == all);
    cluster.until(&QUORUM, |it| {
        let replicas = it["replicas"].as_array().expect("replicas");
        ids.iter().all(|id| {
            let of = replicas.iter().find(|it| it["node"] == *id).expect("a member");
            let listeners = of["listeners"].as_array().expect("listeners");
            listeners.iter().any(|it| it["port"] == ports[id - 1].1)
        })
    });
    cluster.all_in_sync("t", 4);
    cluster.ok_with_input(&["produce", "t", "--acks", "all"], &lines(count, count + 100));
    for id in ids {
        let read = cluster.ask_at(id, &["consume", "t", "-e"], "").code(0);
        assert_eq!(read.stdout.lines().count(), count + 100);
    }
}

#[test]
fn nodes_that_are_started_at_other_addresses_are_found_there() {
    let mut cluster = Cluster::of_four();
    cluster.ok(&["topic", "create", "t", "-p", "4", "--replication-factor", "4"]);
    all_are_found(&mut cluster, 0);

    // They go by what is on their disks: nobody tells them where the others are.
    cluster.tells_list = false;
    let leader = cluster.ok(&QUORUM).json()["leader"].as_u64().expect("a leader") as usize;
    let follower = (1..=3).find(|id| *id != leader).expect("three voters");
    for (number, id) in [follower, leader, 4].into_iter().enumerate() {
        move_away(&mut cluster, &[id]);
        cluster.ready(&[id]);
        all_are_found(&mut cluster, 100 * (number + 1));
    }

    // All at once, so that nobody is where anybody was. They ask those that they are told of.
    cluster.tells_list = true;
    move_away(&mut cluster, &[1, 2, 3, 4]);
    cluster.ready(&[1, 2, 3, 4]);
    all_are_found(&mut cluster, 400);
}

#[test]
fn who_cannot_be_found_says_where_the_members_call_it() {
    let mut cluster = Cluster::new(2);
    (1..=2).for_each(|id| cluster.start(id));
    cluster.ready(&[1, 2]);
    let before = cluster.ports[1].1;
    cluster.kill(1);
    move_away(&mut cluster, &[2]);
    let now = cluster.ports[1].1;
    cluster.node(2).says(&format!(
        "the members call this node at 127.0.0.1:{before}, and it listens at 127.0.0.1:{now}"
    ));
    cluster.start(1);
    cluster.ready(&[1, 2]);
}
