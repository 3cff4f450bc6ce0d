//! A lone node's engine, and this one in its place on the same disk.

use std::{collections::VecDeque, path::Path};

use bytes::Bytes;
use klamm_log::{Files, Log};
use klamm_model::{BrokerId, ControllerEpoch};
use klamm_quorum::{
    Filter, Input, Output, Proposer, Snapshot, VoterChange,
    contract::Witness,
    snapshot,
    solo::{DIRECTORY, Effect, PARTITION, Solo, log_config},
};

use super::cluster::{Cluster, directory};
use crate::engines::raft::{
    Member,
    succession::{Left, Step, perform},
};

/// A lone node that proposes numbers.
struct Lone<'a> {
    me: BrokerId,
    files: &'a Files,
    witness: &'a mut Witness,
    solo: Solo,
    effects: VecDeque<Effect>,
    filter: Filter,
    epoch: ControllerEpoch,
}

impl<'a> Lone<'a> {
    /// Its process starts.
    fn start(me: BrokerId, files: &'a Files, witness: &'a mut Witness) -> Self {
        let mut effects = Vec::new();
        let is_there = files.partitions().expect("listed").iter().any(|it| it.directory == DIRECTORY);
        let solo = if is_there {
            let directory = files.adopt(PARTITION, DIRECTORY);
            let (log, _) =
                Log::recover(PARTITION, DIRECTORY.to_owned(), log_config(), &directory).expect("it recovers");
            let kept = snapshot::read(&directory).expect("it is whole");
            let mut read =
                |segment, kind, position, buffer: &mut [u8]| files.read_at(segment, kind, position, buffer);
            Solo::recovered(me, log, kept, &mut read, &mut effects).expect("it reads back")
        } else {
            Solo::create(me, &mut effects)
        };
        witness.restarted(me);
        let (filter, epoch) = (Filter::default(), ControllerEpoch(0));
        let mut lone = Self { me, files, witness, solo, effects: effects.into(), filter, epoch };
        lone.settle();
        lone
    }

    fn settle(&mut self) {
        while let Some(effect) = self.effects.pop_front() {
            match effect {
                Effect::Disk(op) => {
                    let result = self.files.perform(&op);
                    self.act(|solo, out| solo.disk_done(op.id, result, out));
                }
                Effect::Tell(output) => {
                    self.witness.saw(self.me, &output);
                    match output {
                        Output::Committed(entry) => drop(self.filter.take(&entry).expect("in order")),
                        Output::Snapshot(it) => self.filter = Filter::at(it.position),
                        Output::Leader { epoch } => self.epoch = epoch,
                        _ => {}
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn act(&mut self, act: impl FnOnce(&mut Solo, &mut Vec<Effect>)) {
        let mut out = Vec::new();
        act(&mut self.solo, &mut out);
        self.effects.extend(out);
    }

    fn work(&mut self, count: u64) {
        let mut proposer = Proposer::new(self.epoch);
        for number in 0..count {
            let input = proposer.propose(&number.to_be_bytes());
            self.act(|solo, out| solo.step(input, out));
            self.settle();
        }
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot { position: self.filter.position(), state: Bytes::from_static(b"all of it") }
    }
}

/// A lone node that was started so often, with so many proposals each time, of which a snapshot is kept or none. What is left of it.
fn lone(witness: &mut Witness, path: &Path, me: BrokerId, runs: &[(u64, bool)]) -> Left {
    let files = Files::open(path).expect("it can be used");
    for (count, offers) in runs {
        let mut lone = Lone::start(me, &files, witness);
        lone.work(*count);
        if *offers {
            let snapshot = lone.snapshot();
            lone.act(|solo, out| solo.step(Input::OfferSnapshot(snapshot), out));
            lone.settle();
        }
    }
    let ended = Lone::start(me, &files, witness);
    Left { epoch: ControllerEpoch(ended.epoch.0 - 1), snapshot: ended.snapshot() }
}

fn succeeded(seed: u64, runs: &[(u64, bool)]) -> Cluster {
    Cluster::prepared(seed, |witness, path, own: &Member| {
        let left = lone(witness, path, own.id, runs);
        let files = Files::open(path).expect("it can be used");
        perform(&Step::ALL, &files, own, &left).expect("it is taken over");
    })
}

#[test]
fn what_a_lone_node_was_told_goes_on_under_newer_epochs_whatever_its_log_was_like() {
    let cases: [&[(u64, bool)]; 5] = [
        &[],
        &[(1, false)],
        &[(5, false), (3, false)],
        &[(5, true)],
        &[(5, true), (2, false), (4, true), (0, false)],
    ];
    for (number, runs) in cases.into_iter().enumerate() {
        let mut cluster = succeeded(2_000 + number as u64, runs);
        let me = cluster.leader();
        let end = runs.iter().map(|(count, _)| count).sum::<u64>();
        let at = |cluster: &Cluster| cluster.told[&me].snapshot.as_ref().map(|it| it.position.next_index);
        assert_eq!(at(&cluster), Some(end), "{runs:?}");
        cluster.work(me, &[me], 3);
        // Twice, for the first time the lone node's entries may be there still.
        for _ in 0..2 {
            cluster.kill(me);
            cluster.start(me);
            cluster.leader();
            assert_eq!(at(&cluster), Some(end), "{runs:?}");
            cluster.work(me, &[me], 2);
        }
    }
}

#[test]
fn others_join_what_was_a_lone_node_vote_and_go_on_without_it() {
    let mut cluster = succeeded(2_100, &[(40, false), (30, true), (20, false)]);
    let first = cluster.leader();
    cluster.work(first, &[first], 2);
    for _ in 0..2 {
        let new = cluster.arrive();
        cluster.let_in(new, first, first);
        let end = cluster.next_index(first);
        cluster.until("it is told all", |it| it.next_index(new) == end);
        let told = cluster.told[&new].snapshot.as_ref().expect("what came before");
        assert_eq!((told.position.next_index, &told.state[..]), (90, &b"all of it"[..]));
        cluster.until_described(first, "it has caught up", |it| {
            it.replicas.iter().any(|it| it.id == new && it.caught_up_ms.is_some_and(|ms| ms < 1_000))
        });
        assert_eq!(cluster.change(first, VoterChange::Add { id: new, directory: directory(new) }), Ok(()));
    }
    let all = cluster.ids();
    cluster.work(first, &all, 3);
    cluster.kill(first);
    let others = cluster.others(&[first]);
    let next = cluster.leader_of(&others);
    cluster.work(next, &others, 3);
    cluster.start(first);
    cluster.work(next, &all, 2);
}
