//! Nodes let in, voters added and removed.

use std::time::{Duration, Instant};

use klamm_model::BrokerId;
use klamm_quorum::{Description, Input, Registration, ReplicaDescription, VoterChange, VoterError};
use uuid::Uuid;

use super::cluster::{Cluster, METADATA_FORM, directory};

fn add(id: BrokerId) -> VoterChange {
    VoterChange::Add { id, directory: directory(id) }
}

fn remove(id: BrokerId) -> VoterChange {
    VoterChange::Remove { id, directory: directory(id) }
}

fn of(quorum: &Description, id: BrokerId) -> Option<ReplicaDescription> {
    quorum.replicas.iter().find(|it| it.id == id).cloned()
}

fn voters(quorum: &Description) -> Vec<BrokerId> {
    quorum.replicas.iter().filter(|it| it.is_voter).map(|it| it.id).collect()
}

/// One more, that listens and has everything.
fn with_observer(cluster: &mut Cluster, at: BrokerId, leader: BrokerId) -> BrokerId {
    let new = cluster.arrive();
    cluster.let_in(new, at, leader);
    cluster.until("it is told all", |it| it.told[&new].entries.len() == it.told[&leader].entries.len());
    cluster.until_described(leader, "it has caught up", |it| {
        of(it, new).is_some_and(|it| !it.is_voter && it.caught_up_ms.is_some_and(|ms| ms < 1_000))
    });
    new
}

#[test]
fn a_node_that_is_let_in_listens_and_once_it_votes_another_can_go() {
    let mut cluster = Cluster::new(3, 1_000);
    let leader = cluster.leader();
    let [first, second] = cluster.others(&[leader])[..] else { panic!("three nodes") };
    let old = cluster.ids();
    cluster.work(leader, &old, 5);
    let unknown = BrokerId(4);
    let not_there = VoterError::NotThere { id: unknown, directory: directory(unknown) };
    assert_eq!(cluster.change(leader, add(unknown)), Err(not_there));
    // It asks a follower, which passes that on.
    let new = with_observer(&mut cluster, first, leader);
    let all = cluster.ids();
    cluster.work(leader, &all, 2);
    cluster.until("it is told what it reads", |it| {
        let told = it.told[&leader].peers.iter().find(|it| it.id == new);
        told.is_some_and(|it| it.metadata_form == METADATA_FORM)
    });

    let other_disk = Uuid::from_u128(99);
    let wrong = VoterChange::Add { id: new, directory: other_disk };
    assert_eq!(cluster.change(leader, wrong), Err(VoterError::NotThere { id: new, directory: other_disk }));
    assert_eq!(cluster.change(leader, add(first)), Err(VoterError::IsVoter { id: first }));
    assert_eq!(cluster.change(first, add(new)), Err(VoterError::Deposed));
    assert_eq!(cluster.change(leader, add(new)), Ok(()));
    let quorum = cluster.until_described(leader, "it votes", |it| voters(it).contains(&new));
    assert_eq!(voters(&quorum).len(), 4);

    let wrong = VoterChange::Remove { id: first, directory: other_disk };
    assert_eq!(cluster.change(leader, wrong), Err(VoterError::NoVoter { id: first, directory: other_disk }));
    assert_eq!(cluster.change(leader, remove(first)), Ok(()));
    // It votes no more, and hears of everything still.
    cluster.work(leader, &all, 2);
    let gone = VoterError::NoVoter { id: first, directory: directory(first) };
    assert_eq!(cluster.change(leader, remove(first)), Err(gone));
    cluster.kill(first);
    cluster.kill(second);
    let left = [leader, new];
    let next = cluster.leader_of(&left);
    cluster.work(next, &left, 3);
    // What they decide is a majority's, also after a restart.
    cluster.kill(next);
    cluster.start(next);
    let next = cluster.leader_of(&left);
    cluster.work(next, &left, 2);
    cluster.start(first);
    cluster.start(second);
    cluster.work(next, &all, 2);
}

#[test]
fn a_leader_that_is_removed_answers_and_leaves_the_lead_to_others() {
    let mut cluster = Cluster::new(3, 1_100);
    let leader = cluster.leader();
    let all = cluster.ids();
    cluster.work(leader, &all, 2);
    assert_eq!(cluster.change(leader, remove(leader)), Ok(()));
    cluster.until("it leads no more", |it| it.told[&leader].leads.is_none());
    let others = cluster.others(&[leader]);
    let next = cluster.leader_of(&others);
    cluster.work(next, &all, 3);
    let quorum = cluster.until_described(next, "it only listens", |it| {
        of(it, leader).is_some_and(|it| !it.is_voter && it.end.is_some())
    });
    assert_eq!(voters(&quorum), others);
    cluster.until("it knows whom to ask", |it| it.told[&leader].leader == Some(next));
    // And back.
    cluster.until_described(next, "it has caught up", |it| {
        of(it, leader).is_some_and(|it| it.caught_up_ms.is_some_and(|ms| ms < 1_000))
    });
    assert_eq!(cluster.change(next, add(leader)), Ok(()));
    cluster.work(next, &all, 1);
}

#[test]
fn who_is_behind_is_not_made_a_voter_and_the_last_one_stays() {
    let mut cluster = Cluster::new(1, 1_200);
    let leader = cluster.leader();
    cluster.work(leader, &[leader], 2);
    assert_eq!(cluster.change(leader, remove(leader)), Err(VoterError::Last));
    let new = with_observer(&mut cluster, leader, leader);
    cluster.cut(&[leader], &[new]);
    cluster.cut(&[new], &[leader]);
    cluster.work(leader, &[leader], 2);
    cluster.until_described(leader, "it is silent", |it| {
        of(it, new).is_some_and(|it| it.caught_up_ms.is_some_and(|ms| 2_000 < ms))
    });
    assert_eq!(cluster.change(leader, add(new)), Err(VoterError::Behind { id: new }));
    cluster.heal();
    cluster.until_described(leader, "it has caught up", |it| {
        of(it, new).is_some_and(|it| it.caught_up_ms.is_some_and(|ms| ms < 1_000))
    });
    assert_eq!(cluster.change(leader, add(new)), Ok(()));
    cluster.work(leader, &[leader, new], 2);
    assert_eq!(cluster.change(leader, remove(leader)), Ok(()));
    let next = cluster.leader_of(&[new]);
    cluster.work(next, &[leader, new], 2);
}

/// It would need a majority with one that is away, and could not be taken back.
#[test]
fn no_voter_is_removed_or_added_where_no_majority_would_be_there() {
    let mut cluster = Cluster::new(3, 1_250);
    let leader = cluster.leader();
    let all = cluster.ids();
    cluster.work(leader, &all, 2);
    let [away, there] = cluster.others(&[leader])[..] else { panic!("three nodes") };
    cluster.kill(away);
    cluster.until("it is gone", |it| it.sees_gone(leader, away));
    for (removed, left) in [(there, leader), (leader, there)] {
        let mut voters = vec![left, away];
        voters.sort_unstable();
        let missing = VoterError::Missing { voters, missing: vec![away] };
        assert_eq!(cluster.change(leader, remove(removed)), Err(missing));
    }
    cluster.work(leader, &[leader, there], 2);
    // The one that is away can go, and then nobody.
    assert_eq!(cluster.change(leader, remove(away)), Ok(()));
    cluster.work(leader, &[leader, there], 2);
    assert_eq!(cluster.change(leader, remove(there)), Ok(()));
    // With one that only listens it would take both.
    cluster.kill(there);
    cluster.work(leader, &[leader], 2);
    assert_eq!(cluster.change(leader, add(there)), Err(VoterError::Behind { id: there }));
    cluster.work(leader, &[leader], 1);
}

#[test]
fn a_change_whose_leader_dies_is_there_or_is_not_and_the_next_one_can_be_made() {
    let mut cluster = Cluster::new(3, 1_300);
    let leader = cluster.leader();
    let new = with_observer(&mut cluster, leader, leader);
    let all = cluster.ids();
    let mut removed = None;
    // Three or four vote at any time, so that the loss of one is borne.
    for round in 0..4 {
        let leader = cluster.leader();
        cluster.work(leader, &all, 1);
        cluster.until_described(leader, "all are there", |it| {
            it.replicas.iter().all(|it| it.caught_up_ms.is_some_and(|ms| ms < 1_000))
        });
        let change = match round {
            0 => add(new),
            1 => remove(*removed.insert(leader)),
            2 => add(removed.expect("it was removed before")),
            _ => remove(new),
        };
        cluster.begin_change(leader, change);
        cluster.kill(leader);
        let others = cluster.others(&[leader]);
        // All of them miss it at once, and of two that stand for election one may lead for a moment.
        cluster.work_with_any(&others);
        cluster.start(leader);
        make_sure(&mut cluster, change);
        // A leader that is removed says so before it leaves the lead.
        cluster.work_with_any(&all);
    }
}

/// Asked for again it is made, or was.
fn make_sure(cluster: &mut Cluster, change: VoterChange) {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let leader = cluster.leader();
        match cluster.change(leader, change) {
            Ok(()) | Err(VoterError::IsVoter { .. } | VoterError::NoVoter { .. }) => return,
            Err(error) => assert!(Instant::now() < until, "{change:?}: {error}"),
        }
        // Until there are signs of life again.
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// All that run apply metadata by which the broker of this node was unregistered.
fn unregister(cluster: &Cluster, id: BrokerId) {
    let told = Registration { id, directory: directory(id), is_there: false };
    for running in cluster.running() {
        cluster.input(running, Input::Registration(told));
    }
}

fn is_member(quorum: &Description, id: BrokerId) -> bool {
    of(quorum, id).is_some()
}

#[test]
fn a_node_that_was_let_in_by_a_leader_that_lost_the_lead_right_then_is_let_in_by_the_next_one() {
    let mut cluster = Cluster::new(3, 1_400);
    let old = cluster.leader();
    let all = cluster.ids();
    cluster.work(old, &all, 2);
    let new = cluster.arrive();
    let others = cluster.others(&[old, new]);
    cluster.cut(&[old], &others);
    cluster.cut(&others, &[old]);
    // What it writes now the others never get; the new node does.
    cluster.knock(new, old);
    let term = cluster.term(old);
    cluster.until_on_disk("it is called", |it| it.has_voted(new, term));
    let next = cluster.leader_of(&others);
    cluster.work(next, &others, 2);
    cluster.heal();
    let all = cluster.ids();
    cluster.work(next, &all, 2);
    let quorum = cluster.until_described(next, "it is described", |_| true);
    assert!(of(&quorum, new).is_some_and(|it| !it.is_voter), "{quorum:?}");
}

#[test]
fn an_observer_goes_with_its_broker_and_comes_back_if_it_was_only_away() {
    let mut cluster = Cluster::new(3, 1_500);
    let leader = cluster.leader();
    let new = with_observer(&mut cluster, leader, leader);
    let all = cluster.ids();
    let [first, _] = cluster.others(&[leader, new])[..] else { panic!("three voters") };
    // One that is there is not given up, and a voter never.
    unregister(&cluster, new);
    unregister(&cluster, first);
    cluster.work(leader, &all, 2);
    cluster.kill(first);
    cluster.kill(new);
    let quorum = cluster.until_described(leader, "it is given up", |it| !is_member(it, new));
    assert!(of(&quorum, first).is_some_and(|it| it.is_voter), "{quorum:?}");
    cluster.start(first);
    cluster.start(new);
    let leader = cluster.leader();
    cluster.work(leader, &all, 2);
    // A machine that stands still, and goes on later.
    let others = cluster.others(&[new]);
    cluster.cut(&[new], &others);
    cluster.cut(&others, &[new]);
    unregister(&cluster, new);
    cluster.until_described(leader, "it is given up", |it| !is_member(it, new));
    cluster.heal();
    let leader = cluster.leader();
    cluster.work(leader, &all, 2);
}

#[test]
fn whoever_comes_to_lead_gives_up_an_observer_that_the_last_leader_could_not() {
    let mut cluster = Cluster::new(3, 1_600);
    let leader = cluster.leader();
    let new = with_observer(&mut cluster, leader, leader);
    let all = cluster.ids();
    cluster.work(leader, &all, 1);
    unregister(&cluster, new);
    cluster.kill(leader);
    cluster.kill(new);
    let others = cluster.running();
    let next = cluster.leader_of(&others);
    cluster.until_described(next, "it is given up", |it| !is_member(it, new));
    cluster.start(leader);
    cluster.work(next, &cluster.others(&[new]), 1);
}

/// Those that it knows are all gone, and call it no more: it is told of none of those who came for them.
#[test]
fn an_observer_that_was_away_while_all_voters_were_replaced_comes_back() {
    let mut cluster = Cluster::new(1, 1_700);
    let first = cluster.leader();
    let away = with_observer(&mut cluster, first, first);
    cluster.kill(away);
    let second = with_observer(&mut cluster, first, first);
    assert_eq!(cluster.change(first, add(second)), Ok(()));
    assert_eq!(cluster.change(first, remove(first)), Ok(()));
    let leader = cluster.leader_of(&[second]);
    cluster.kill(first);
    cluster.work(leader, &[leader], 3);
    cluster.start(away);
    cluster.work(leader, &[leader, away], 2);
}
