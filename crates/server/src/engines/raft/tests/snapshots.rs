use std::fs;

use klamm_quorum::{raft_log::DIRECTORY, snapshot::FILE_NAME, stored::SnapshotEnd};

use super::cluster::{Cluster, open_at};
use crate::engines::raft::{RaftError, snapshot::RaftSnapshotError};

/// More than are kept beside a snapshot.
const MANY: usize = 150;

#[test]
fn a_member_that_was_away_for_long_gets_a_snapshot_and_what_came_behind_it() {
    let mut cluster = Cluster::new(3, 70);
    let leader = cluster.leader();
    let all = cluster.ids();
    cluster.work(leader, &all, 3);
    let away = cluster.others(&[leader])[0];
    let there = cluster.others(&[away]);
    cluster.kill(away);
    cluster.work(leader, &there, MANY);
    // Of several pieces, and so large that no frame of the links could have it.
    let state: Vec<u8> = (0..9 << 20).map(|at: u32| (at / 7) as u8).collect();
    let at = cluster.next_index(leader);
    there.iter().for_each(|id| cluster.offer(*id, &state));
    cluster.work(leader, &there, 5);
    cluster.until_on_disk("the entries before the snapshot are given up", |it| {
        there.iter().all(|id| it.kept(*id).is_some_and(|(first, _)| 0 < first))
    });

    cluster.start(away);
    let wanted = cluster.next_index(leader);
    cluster.until("it is where the others are", |it| it.next_index(away) == wanted);
    let told = &cluster.told[&away];
    let snapshot = told.snapshot.as_ref().expect("it was given one");
    assert_eq!((snapshot.position.next_index, &snapshot.state[..]), (at, &state[..]));
    // Its own, and then none that the snapshot has.
    let mut told = told.entries.iter().map(|it| it.index).filter(|index| 20 < *index);
    assert_eq!(told.next(), Some(at));

    // It goes on from there by itself, and can lead.
    cluster.kill(away);
    cluster.start(away);
    cluster
        .until("it is where it was", |it| it.next_index(away) == wanted && it.told[&away].leader.is_some());
    assert!(cluster.told[&away].snapshot.is_some(), "from its own disk");
    cluster.kill(leader);
    let now = cluster.others(&[leader]);
    let next = cluster.leader_of(&now);
    cluster.work(next, &now, 3);
}

#[test]
fn a_cluster_that_starts_again_goes_on_from_its_snapshots() {
    let mut cluster = Cluster::new(3, 71);
    let leader = cluster.leader();
    let all = cluster.ids();
    cluster.work(leader, &all, MANY);
    all.iter().for_each(|id| cluster.offer(*id, b"all of it"));
    cluster.until_on_disk("everybody has a snapshot", |it| {
        all.iter().all(|id| it.kept(*id).is_some_and(|(first, _)| 0 < first))
    });
    cluster.work(leader, &all, 2);
    let end = cluster.next_index(leader);
    all.iter().for_each(|id| cluster.kill(*id));
    all.iter().for_each(|id| cluster.start(*id));
    let leader = cluster.leader();
    cluster.work(leader, &all, 2);
    for id in all {
        let told = &cluster.told[&id];
        assert_eq!(told.snapshot.as_ref().map(|it| &it.state[..]), Some(&b"all of it"[..]));
        assert!(end < cluster.next_index(id) && told.entries.len() < 10, "{} entries", told.entries.len());
    }
}

#[test]
fn a_damaged_snapshot_or_an_old_one_or_none_is_refused() {
    let mut cluster = Cluster::new(3, 72);
    let leader = cluster.leader();
    let all = cluster.ids();
    let id = cluster.others(&[leader])[0];
    let file = cluster.path(id).join(DIRECTORY).join(FILE_NAME);
    let mut copies = Vec::new();
    for round in 0..2 {
        cluster.work(leader, &all, MANY);
        cluster.offer(id, b"state");
        cluster.until_on_disk("there is a snapshot, and entries are given up for it", |it| {
            it.kept(id).is_some_and(|(first, _)| round * MANY as u64 + 20 < first)
        });
        copies.push(fs::read(&file).expect("it is there"));
    }
    cluster.kill(id);
    let path = cluster.path(id);
    let refused = || {
        let Err(error) = open_at(&path, id) else { panic!("it was opened") };
        eprintln!("{error}");
        error
    };
    let mut damaged = copies[1].clone();
    let at = damaged.len() - 3;
    damaged[at] ^= 1;
    fs::write(&file, &damaged).expect("written");
    assert!(matches!(refused(), RaftError::Snapshot(RaftSnapshotError::File(_))));
    fs::write(&file, &copies[0]).expect("written");
    assert!(matches!(refused(), RaftError::SnapshotLost { snapshot: SnapshotEnd(Some(_)), .. }));
    fs::remove_file(&file).expect("removed");
    assert!(matches!(refused(), RaftError::SnapshotLost { snapshot: SnapshotEnd(None), .. }));
    fs::write(&file, &copies[1]).expect("written");
    cluster.start(id);
    let end = cluster.next_index(leader);
    cluster.until("it is where the others are", |it| it.next_index(id) == end);
}
