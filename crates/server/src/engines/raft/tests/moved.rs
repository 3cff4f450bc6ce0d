//! Members that come back at other addresses.

use klamm_model::BrokerId;

use super::cluster::Cluster;

/// Stopped and started again at another port.
fn come_back_elsewhere(cluster: &mut Cluster, ids: &[BrokerId]) {
    for id in ids {
        cluster.kill(*id);
        cluster.move_away(*id);
    }
    for id in ids {
        cluster.start(*id);
    }
}

/// All call each other where they are, and have what is written then. Who leads.
fn all_are_found(cluster: &mut Cluster) -> BrokerId {
    let all = cluster.ids();
    let ports: Vec<u16> = all.iter().map(|id| cluster.port(*id)).collect();
    for id in &all {
        cluster.until_described(*id, "all are told where all are", |it| {
            it.replicas.iter().map(|it| it.address.as_ref().map_or(0, |it| it.1)).eq(ports.iter().copied())
        });
    }
    cluster.work_with_any(&all)
}

#[test]
fn a_member_that_comes_back_elsewhere_is_called_there() {
    let mut cluster = Cluster::new(3, 2_000);
    let leader = all_are_found(&mut cluster);
    let follower = cluster.others(&[leader])[0];
    come_back_elsewhere(&mut cluster, &[follower]);
    let leader = all_are_found(&mut cluster);
    // The leader, who comes back as somebody else's follower.
    come_back_elsewhere(&mut cluster, &[leader]);
    let leader = all_are_found(&mut cluster);
    // One without a vote.
    let observer = cluster.arrive();
    cluster.let_in(observer, leader, leader);
    all_are_found(&mut cluster);
    come_back_elsewhere(&mut cluster, &[observer]);
    all_are_found(&mut cluster);
}

/// What it says of itself may be less than what is known of it: where it is found it stays.
#[test]
fn a_member_that_is_found_is_where_it_is_found() {
    let mut cluster = Cluster::new(3, 2_100);
    let leader = all_are_found(&mut cluster);
    let [follower, other] = cluster.others(&[leader])[..] else { panic!("three nodes") };
    for at in [leader, other] {
        cluster.say(at, follower, 1);
    }
    all_are_found(&mut cluster);
}

/// There is no leader who could write where it is before the one that has more has called it there.
#[test]
fn a_voter_by_whose_vote_alone_another_comes_to_lead_is_called_where_it_says() {
    let mut cluster = Cluster::new(2, 2_200);
    let first = cluster.leader();
    cluster.work(first, &cluster.ids(), 2);
    let second = cluster.others(&[first])[0];
    cluster.kill(second);
    cluster.propose(first, b"more than the other has");
    cluster.until("it leads no more", |it| it.told[&first].leads.is_none());
    cluster.move_away(second);
    cluster.start(second);
    assert_eq!(all_are_found(&mut cluster), first);
}

/// They ask by what they were told to join.
#[test]
fn members_that_all_come_back_elsewhere_find_each_other_where_they_can_ask() {
    let mut cluster = Cluster::new(3, 2_300);
    all_are_found(&mut cluster);
    let all = cluster.ids();
    come_back_elsewhere(&mut cluster, &all);
    all_are_found(&mut cluster);
}
