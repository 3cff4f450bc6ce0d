//! What an operator sees of a cluster in trouble.

use super::*;

const STATUS: [&str; 4] = ["cluster", "status", "--format", "json"];

fn three_with_topic() -> Cluster {
    let mut cluster = Cluster::new(3);
    (1..=3).for_each(|id| cluster.start(id));
    cluster.ready(&[1, 2, 3]);
    cluster.until(&STATUS, |it| it["brokers_in_service"] == 3);
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
