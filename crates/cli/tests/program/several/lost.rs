//! A partition's directory that is gone when its node starts: what the others have is not cut away for it.

use super::*;

const DESCRIBE: [&str; 5] = ["topic", "describe", "t", "--format", "json"];

fn begun() -> Cluster {
    let cluster = Cluster::of_three(3);
    cluster.ok(&["topic", "create", "t", "-p", "1", "--replication-factor", "3"]);
    cluster.ok(&["config", "set", "-t", "t", "min.insync.replicas=2"]);
    cluster.ok_with_input(&["produce", "t", "--acks", "all"], &lines(0, 500));
    cluster.all_in_sync("t", 3);
    cluster
}

/// Takes the partition away from a node that is down, which is the first to start. It hears of the partition when the metadata have a leader.
fn starts_without(cluster: &mut Cluster, victim: usize) {
    fs::remove_dir_all(cluster.data_dir(victim).join("t-0")).expect("it was there");
    cluster.start(victim);
    let others: Vec<_> = (1..=3).filter(|id| *id != victim).collect();
    others.iter().for_each(|id| cluster.start(*id));
    cluster.node(victim).says("nothing of this partition was found on disk");
    cluster.ready(&[1, 2, 3]);
    cluster.all_in_sync("t", 3);
    let read = cluster.ok(&["consume", "t", "-e"]).stdout;
    assert!(read == lines(0, 500), "{} of 500 records are left", read.lines().count());
    let of = |id| segments(&cluster.data_dir(id).join("t-0"));
    assert!(of(1) == of(2) && of(2) == of(3), "not the same everywhere");
}

#[test]
fn a_leader_whose_partition_is_gone_does_not_lead_when_all_come_back() {
    let mut cluster = begun();
    let leader = cluster.ok(&DESCRIBE).json()[0]["partitions"][0]["leader"].as_u64().expect("it has one");
    (1..=3).for_each(|id| cluster.kill(id));
    starts_without(&mut cluster, leader as usize);
}

#[test]
fn whoever_stopped_before_leads_where_the_last_in_sync_comes_back_without_the_partition() {
    let mut cluster = begun();
    for id in [1, 2] {
        roles::stop(&mut cluster, id);
    }
    cluster.until(&DESCRIBE, |it| it[0]["partitions"][0]["in_sync"] == serde_json::json!([3]));
    cluster.kill(3);
    starts_without(&mut cluster, 3);
}
