use std::time::Instant;

use klamm_model::BrokerId;
use klamm_quorum::{Description, ReplicaDescription, contract};

use super::cluster::Cluster;

#[test]
fn the_contract_holds_over_crashes_of_any_node() {
    let mut epochs = 0;
    for seed in 0..3 {
        let outcome = contract::run(&mut Cluster::new(3, seed), seed, 120);
        let (accepted, proposed) = (outcome.accepted.len(), outcome.proposed);
        eprintln!("seed {seed}: {accepted} of {proposed} accepted, {} epochs", outcome.epochs);
        assert!(0 < accepted, "seed {seed}: nothing was tried");
        epochs += outcome.epochs;
    }
    assert!(3 < epochs, "no leader ever crashed");
}

#[test]
fn when_the_leader_dies_another_leads_soon() {
    let mut cluster = Cluster::new(3, 100);
    let mut took = Vec::new();
    for _ in 0..6 {
        let leader = cluster.leader();
        let all = cluster.ids();
        cluster.work(leader, &all, 3);
        let others = cluster.others(&[leader]);
        let began = Instant::now();
        cluster.kill(leader);
        let next = cluster.leader_of(&others);
        took.push(began.elapsed().as_millis());
        cluster.work(next, &others, 3);
        cluster.start(leader);
        cluster.until("the one that died is told all again", |it| {
            it.told[&leader].entries.len() == it.told[&next].entries.len()
                && it.told[&leader].leader == Some(next)
        });
    }
    took.sort_unstable();
    eprintln!("a leader that dies, milliseconds until another is told that it leads: {took:?}");
    assert!(took[took.len() / 2] <= 500, "{took:?}");
}

#[test]
fn a_leader_that_is_cut_off_leads_no_more_another_does_and_nobody_fights_when_it_is_back() {
    let mut cluster = Cluster::new(3, 200);
    let mut took = Vec::new();
    for _ in 0..4 {
        let leader = cluster.leader();
        let all = cluster.ids();
        cluster.work(leader, &all, 1);
        let others = cluster.others(&[leader]);
        let before = cluster.last_term();
        let began = Instant::now();
        cluster.cut(&[leader], &others);
        cluster.cut(&others, &[leader]);
        let next = cluster.leader_of(&others);
        took.push(began.elapsed().as_millis());
        cluster.until("it knows that it leads no more", |it| it.told[&leader].leads.is_none());
        cluster.work(next, &others, 3);
        let after = cluster.last_term();
        assert!(after <= before + 2, "{} elections for one leader that was cut off", after - before);
        cluster.heal();
        cluster.until("the one that was cut off follows", |it| {
            it.told[&leader].leader == Some(next)
                && it.told[&leader].entries.len() == it.told[&next].entries.len()
        });
        cluster.work(next, &all, 20);
        assert_eq!(cluster.last_term(), after, "an election although all hear their leader");
    }
    took.sort_unstable();
    eprintln!("a leader that is silent, milliseconds until another is told that it leads: {took:?}");
    assert!(took[took.len() / 2] <= 1_000, "{took:?}");
}

#[test]
fn a_leader_that_is_only_not_heard_or_only_does_not_hear_is_replaced_too() {
    for hears in [true, false] {
        let mut cluster = Cluster::new(3, 300);
        let leader = cluster.leader();
        let all = cluster.ids();
        cluster.work(leader, &all, 1);
        let others = cluster.others(&[leader]);
        let began = Instant::now();
        if hears {
            cluster.cut(&[leader], &others);
        } else {
            cluster.cut(&others, &[leader]);
        }
        let next = cluster.leader_of(&others);
        eprintln!("hears: {hears}: another leads after {} ms", began.elapsed().as_millis());
        cluster.until("it knows that it leads no more", |it| it.told[&leader].leads.is_none());
        let after = cluster.last_term();
        cluster.heal();
        cluster.until("it follows", |it| it.told[&leader].leader == Some(next));
        cluster.work(next, &all, 20);
        assert_eq!(cluster.last_term(), after, "an election although all hear their leader");
    }
}

#[test]
fn a_follower_that_hears_nothing_disturbs_nobody() {
    let mut cluster = Cluster::new(3, 400);
    let leader = cluster.leader();
    let all = cluster.ids();
    cluster.work(leader, &all, 1);
    let before = cluster.last_term();
    let deaf = cluster.others(&[leader])[0];
    let rest = cluster.others(&[deaf]);
    cluster.cut(&[leader], &[deaf]);
    // Longer than it is patient.
    let began = Instant::now();
    while began.elapsed().as_millis() < 2_000 {
        cluster.work(leader, &rest, 1);
    }
    assert_eq!((cluster.term(deaf), cluster.last_term()), (before, before), "it stood for an election");
    cluster.heal();
    cluster.until("it is told what it missed", |it| {
        it.told[&deaf].entries.len() == it.told[&leader].entries.len()
    });
    cluster.work(leader, &all, 5);
    assert_eq!(cluster.last_term(), before);
    assert_eq!(cluster.told[&leader].resigned_count, 0);
}

#[test]
fn a_follower_that_dies_is_seen_to_be_gone_at_once_and_one_that_died_with_the_leader_when_another_leads() {
    let mut cluster = Cluster::new(5, 420);
    let leader = cluster.leader();
    let all = cluster.ids();
    cluster.work(leader, &all, 1);
    cluster.until("all are seen", |it| it.told[&leader].peers.len() == 4);
    let victim = cluster.others(&[leader])[0];
    let mut took = Vec::new();
    for _ in 0..3 {
        let began = Instant::now();
        cluster.kill(victim);
        cluster.until("it is seen to be gone", |it| it.sees_gone(leader, victim));
        took.push(began.elapsed().as_millis());
        cluster.start(victim);
        cluster.until("it is seen again", |it| !it.sees_gone(leader, victim));
        // A connection that breaks at once again is not taken for news at once.
        let rest = cluster.ids();
        cluster
            .until("it has caught up", |it| it.told[&victim].entries.len() == it.told[&leader].entries.len());
        cluster.work(leader, &rest, 5);
    }
    took.sort_unstable();
    eprintln!("a follower that dies, milliseconds until the leader is told: {took:?}");
    assert!(took[1] <= 200, "{took:?}");

    cluster.kill(leader);
    cluster.kill(victim);
    let others = cluster.others(&[leader, victim]);
    let next = cluster.leader_of(&others);
    cluster.until("both are seen to be gone by who leads now", |it| {
        it.sees_gone(next, leader) && it.sees_gone(next, victim)
    });
}

#[test]
fn a_node_that_is_silent_is_not_gone_and_who_comes_to_lead_knows_for_how_long_it_was() {
    let mut cluster = Cluster::new(5, 430);
    let leader = cluster.leader();
    let all = cluster.ids();
    cluster.work(leader, &all, 1);
    let silent = cluster.others(&[leader])[0];
    let rest = cluster.others(&[silent]);
    cluster.cut(&[silent], &rest);
    cluster.cut(&rest, &[silent]);
    cluster.until("it is silent", |it| it.sees_silent_ms(leader, silent).is_some_and(|ms| 2_000 < ms));
    let seen: Vec<_> = cluster.told[&leader].peers.iter().filter(|it| it.id != silent).collect();
    assert!(seen.iter().all(|it| it.silent_ms < 1_000 && !it.is_gone), "{seen:?}");
    cluster.kill(leader);
    let others = cluster.others(&[leader, silent]);
    let next = cluster.leader_of(&others);
    cluster.until("it is told how the others are", |it| it.sees_silent_ms(next, silent).is_some());
    let known = cluster.sees_silent_ms(next, silent);
    // What the leader last told it of that may be some calls old.
    assert!(known.is_some_and(|ms| 1_500 < ms), "it begins to count anew: {known:?}");
    assert!(cluster.sees_gone(next, leader) && !cluster.sees_gone(next, silent));
}

#[test]
fn connections_that_break_and_can_be_made_again_and_slow_disks_make_nobody_silent() {
    let mut cluster = Cluster::new(3, 440);
    let leader = cluster.leader();
    let all = cluster.ids();
    cluster.work(leader, &all, 1);
    let others = cluster.others(&[leader]);
    cluster.told.get_mut(&leader).expect("it runs").silent_ms = 0;
    others.iter().for_each(|id| cluster.slow_disk(*id, 300));
    let began = Instant::now();
    while began.elapsed().as_millis() < 2_000 {
        cluster.break_connections();
        cluster.work(leader, &all, 1);
    }
    let told = &cluster.told[&leader];
    assert!(told.silent_ms < 1_000 && told.resigned_count == 0, "{} ms", told.silent_ms);
    assert!(told.peers.iter().all(|it| !it.is_gone), "{:?}", told.peers);
}

#[test]
fn a_slow_disk_costs_nobody_the_lead_and_one_that_does_not_answer_does() {
    let mut cluster = Cluster::new(3, 450);
    let leader = cluster.leader();
    let all = cluster.ids();
    cluster.work(leader, &all, 1);
    let before = cluster.last_term();
    // A write and a sync: longer than a leader may be silent.
    all.iter().for_each(|id| cluster.slow_disk(*id, 500));
    cluster.work(leader, &all, 2);
    assert_eq!((cluster.told[&leader].resigned_count, cluster.last_term()), (0, before));
    all.iter().for_each(|id| cluster.slow_disk(*id, 0));
    cluster.work(leader, &all, 1);

    cluster.slow_disk(leader, 4_500);
    cluster.propose(leader, b"it is not known what becomes of this");
    cluster.until("it leads no more", |it| it.told[&leader].leads.is_none());
    let others = cluster.others(&[leader]);
    let next = cluster.leader_of(&others);
    cluster.slow_disk(leader, 0);
    cluster.work(next, &all, 2);
}

#[test]
fn slow_disks_elect_somebody_too() {
    // Longer than the lease, which is how long openraft would wait for a vote; longer than elections are apart.
    slow_disks_elect_somebody(460, 400);
    slow_disks_elect_somebody(470, 700);
}

fn slow_disks_elect_somebody(seed: u64, slow_ms: u64) {
    let mut cluster = Cluster::new(3, seed);
    let leader = cluster.leader();
    let all = cluster.ids();
    cluster.work(leader, &all, 1);
    let before = cluster.last_term();
    let others = cluster.others(&[leader]);
    others.iter().for_each(|id| cluster.slow_disk(*id, slow_ms));
    let began = Instant::now();
    cluster.kill(leader);
    let next = cluster.leader_of(&others);
    let terms = cluster.last_term() - before;
    eprintln!("{slow_ms} ms: another leads after {} ms, {terms} terms", began.elapsed().as_millis());
    assert!(terms <= 3, "{terms} elections, each in the way of the one before");
    cluster.work(next, &others, 1);
}

#[test]
fn without_a_majority_nobody_leads_and_with_it_all_goes_on() {
    let mut cluster = Cluster::new(3, 500);
    let leader = cluster.leader();
    let all = cluster.ids();
    cluster.work(leader, &all, 2);
    let others = cluster.others(&[leader]);
    others.iter().for_each(|id| cluster.kill(*id));
    cluster.until("it knows that it leads no more", |it| it.told[&leader].leads.is_none());
    let had = cluster.told[&leader].entries.clone();
    cluster.start(others[0]);
    let two = [leader, others[0]];
    let next = cluster.leader_of(&two);
    cluster.work(next, &two, 2);
    assert!(cluster.told[&others[0]].entries.starts_with(&had), "what was committed is there");
    cluster.start(others[1]);
    cluster.work(next, &all, 2);
}

#[test]
fn after_a_restart_of_all_everything_is_told_again_before_anybody_is_told_whom_to_ask() {
    let mut cluster = Cluster::new(3, 600);
    let leader = cluster.leader();
    let all = cluster.ids();
    cluster.work(leader, &all, 10);
    let had = cluster.told[&leader].entries.clone();
    all.iter().for_each(|id| cluster.stop(*id));
    all.iter().for_each(|id| cluster.start(*id));
    let next = cluster.leader();
    cluster.work(next, &all, 2);
    for id in &all {
        let told = &cluster.told[id];
        assert!(told.entries.starts_with(&had), "node {id} was told something else");
        assert!(Some(had.len()) <= told.live_at, "node {id} was told too early whom to ask");
    }
}

#[test]
fn one_node_alone_is_a_quorum_and_is_told_its_past_again() {
    let mut cluster = Cluster::new(1, 700);
    let me = BrokerId(1);
    assert_eq!(cluster.leader(), me);
    cluster.work(me, &[me], 5);
    let had = cluster.told[&me].entries.clone();
    cluster.kill(me);
    cluster.start(me);
    assert_eq!(cluster.leader(), me);
    assert_eq!(cluster.told[&me].entries, had);
    cluster.work(me, &[me], 1);
}

#[test]
fn proposals_that_come_faster_than_they_are_committed_keep_their_order() {
    let mut cluster = Cluster::new(3, 800);
    let leader = cluster.leader();
    let began = Instant::now();
    for number in 0..3_000_u32 {
        cluster.propose(leader, &number.to_be_bytes());
    }
    cluster.propose(leader, &vec![7; klamm_quorum::rules::RECORDS_BYTES_MAX]);
    cluster.propose(leader, &vec![8; klamm_quorum::rules::RECORDS_BYTES_MAX]);
    cluster.propose(leader, b"end");
    cluster.until("all of them are told everywhere", |it| {
        it.told.values().all(|told| told.entries.last().is_some_and(|it| &it.payload[8..] == b"end"))
    });
    eprintln!("3,000 proposals and two of the largest size: {} ms", began.elapsed().as_millis());
    let numbers: Vec<u32> = cluster.told[&leader]
        .entries
        .iter()
        .filter_map(|it| Some(u32::from_be_bytes(it.payload[8..].try_into().ok()?)))
        .collect();
    assert!(numbers.into_iter().eq(0..3_000), "a proposal is missing, or out of order");
}

#[test]
fn the_leader_tells_how_far_each_voter_is_and_who_is_cut_off_falls_behind() {
    let mut cluster = Cluster::new(3, 900);
    let leader = cluster.leader();
    let all = cluster.ids();
    cluster.work(leader, &all, 5);
    let of = |quorum: &Description, id| -> ReplicaDescription {
        quorum.replicas.iter().find(|it| it.id == id).expect("a member").clone()
    };
    let all_are_there = |it: &Description| {
        let is_there = |replica: &ReplicaDescription| {
            replica.is_voter && replica.end == Some(it.committed) && replica.caught_up_ms.is_some()
        };
        it.replicas.len() == 3 && it.replicas.iter().all(is_there)
    };
    let quorum = cluster.until_described(leader, "all have everything", all_are_there);
    let own = of(&quorum, leader);
    assert_eq!((own.heard_ms, own.caught_up_ms), (Some(0), Some(0)));

    let others = cluster.others(&[leader]);
    let rest = cluster.others(&[others[0]]);
    cluster.cut(&[others[0]], &[leader]);
    cluster.cut(&[leader], &[others[0]]);
    cluster.work(leader, &rest, 5);
    let quorum = cluster.until_described(leader, "it is silent", |it| {
        of(it, others[0]).heard_ms > Some(300) && of(it, others[1]).end == Some(it.committed)
    });
    let (behind, own) = (of(&quorum, others[0]), of(&quorum, leader));
    assert!(behind.end < own.end && behind.caught_up_ms >= behind.heard_ms, "{quorum:?}");

    // Who only follows knows the members, and nothing of how they are.
    let told = cluster.until_described(others[1], "it knows the members", |it| it.replicas.len() == 3);
    let unknown = |it: &ReplicaDescription| it.id == others[1] || (it.end, it.heard_ms) == (None, None);
    assert!(told.replicas.iter().all(unknown), "{told:?}");
    cluster.heal();
    cluster.until_described(leader, "all have everything again", all_are_there);
}
