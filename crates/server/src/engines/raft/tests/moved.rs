//! Members that come back at other addresses.

use std::time::{Duration, Instant};

use klamm_model::BrokerId;

use super::{
    super::links::{CONNECT_PATIENCE, MOVED_AFTER},
    cluster::{Cluster, address},
};

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
            all.iter().zip(&ports).all(|(id, port)| address(it, *id) == Some(*port))
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

/// Nobody has tried it: of one that is cut off or stopped for a while anything may be said.
#[test]
fn where_nobody_answers_is_written_nowhere() {
    let mut cluster = Cluster::new(3, 2_100);
    let leader = all_are_found(&mut cluster);
    let others = cluster.others(&[leader]);
    let [away, other] = others[..] else { panic!("three nodes") };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("a socket can be");
    let wrong = listener.local_addr().expect("an address").port();
    cluster.kill(away);
    // Somebody takes their calls and says nothing, for longer than whoever has answered there would be looked for where it was, and what comes of that be written.
    let mut taken = Vec::new();
    let began = Instant::now();
    while began.elapsed() < CONNECT_PATIENCE + MOVED_AFTER + Duration::from_secs(1) {
        // Again and again: as long as they do not know that it is gone, they know where it is.
        for at in [leader, other] {
            cluster.say(at, away, wrong);
        }
        taken.extend(std::iter::from_fn(|| listener.accept().ok()));
        cluster.work(leader, &[leader, other], 1);
    }
    assert!(2 <= taken.len(), "{taken:?}: one has not tried it");
    let quorum = cluster.until_described(leader, "it is described", |_| true);
    assert_eq!(address(&quorum, away), Some(cluster.port(away)));
    drop((listener, taken));
    cluster.start(away);
    all_are_found(&mut cluster);
}

/// It may be a name, and what the member says of itself a number.
#[test]
fn a_member_to_which_there_is_a_connection_is_called_nowhere_else() {
    let mut cluster = Cluster::new(3, 2_150);
    let leader = all_are_found(&mut cluster);
    let follower = cluster.others(&[leader])[0];
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("a socket can be");
    let other = listener.local_addr().expect("an address").port();
    cluster.say(leader, follower, other);
    let all = cluster.ids();
    cluster.work(leader, &all, 5);
    // Nor later, by what was said while there was one.
    cluster.kill(follower);
    cluster.work(leader, &cluster.others(&[follower]), 20);
    cluster.start(follower);
    all_are_found(&mut cluster);
    let called = listener.accept();
    assert!(called.is_err(), "{called:?}");
}

/// It hears of a leader, itself, and is called by nobody.
#[test]
fn a_member_that_comes_back_elsewhere_and_leads_at_once_is_found() {
    let mut cluster = Cluster::new(3, 2_400);
    let first = all_are_found(&mut cluster);
    let others = cluster.others(&[first]);
    let [behind, away] = others[..] else { panic!("three nodes") };
    cluster.kill(behind);
    cluster.work(first, &[first, away], 3);
    cluster.kill(away);
    cluster.kill(first);
    // It has more than the other, which can neither find it nor lead it.
    cluster.move_away(first);
    cluster.start(behind);
    cluster.start(first);
    assert_eq!(cluster.leader(), first);
    let port = cluster.port(first);
    cluster.until_described(behind, "it is found", |it| address(it, first) == Some(port));
    cluster.start(away);
    all_are_found(&mut cluster);
}

/// Whoever knows of it calls the wrong place, and it is a member that nobody has reached.
#[test]
fn a_node_that_was_let_in_elsewhere_than_it_is_may_say_so() {
    let mut cluster = Cluster::new(3, 2_500);
    let leader = all_are_found(&mut cluster);
    let new = cluster.arrive();
    cluster.say(leader, new, 1);
    cluster.until_described(leader, "it is let in", |it| address(it, new) == Some(1));
    let follower = cluster.others(&[leader, new])[0];
    cluster.let_in(new, follower, leader);
    all_are_found(&mut cluster);
}

/// There is no leader who could write where it is before the one that has more has called it there.
#[test]
fn a_voter_by_whose_vote_alone_another_comes_to_lead_is_called_where_it_says() {
    let mut cluster = Cluster::new(3, 2_200);
    let first = all_are_found(&mut cluster);
    let others = cluster.others(&[first]);
    let [second, away] = others[..] else { panic!("three nodes") };
    cluster.kill(second);
    // Known to two, or it would be by chance whether the first writes it before it gives up the lead.
    cluster.work(first, &[first, away], 3);
    cluster.kill(away);
    cluster.until("it leads no more", |it| it.told[&first].leads.is_none());
    cluster.move_away(second);
    cluster.start(second);
    assert_eq!(cluster.leader(), first);
    let port = cluster.port(second);
    for id in [first, second] {
        cluster.until_described(id, "it is found", |it| address(it, second) == Some(port));
    }
    cluster.start(away);
    all_are_found(&mut cluster);
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
