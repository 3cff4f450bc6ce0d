use std::collections::BTreeMap;

use klamm_log::{FileKind, LogFiles, RecoverError, SegmentVersion};

use super::*;
use crate::contract::{self, Engines};
use crate::test_disk::Disk;
use crate::{Accepted, Filter, Proposer, Verdict};

/// One engine on its disk.
struct Rig {
    solo: Solo,
    disk: Disk,
    told: VecDeque<Output>,
    must_try_again: bool,
    fatal: Option<DiskError>,
    dice: u64,
}

const ME: BrokerId = BrokerId(4);

impl Rig {
    fn new(dice: u64) -> Self {
        let mut effects = Vec::new();
        let solo = Solo::create(ME, &mut effects);
        let mut rig = Self {
            solo,
            disk: Disk::default(),
            told: VecDeque::new(),
            must_try_again: false,
            fatal: None,
            dice,
        };
        rig.take(effects);
        rig
    }

    fn roll(&mut self) -> u64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.dice >> 33
    }

    fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Disk(op) => self.disk.queue.push(op),
                Effect::Tell(output) => self.told.push_back(output),
                Effect::TryAgainLater => self.must_try_again = true,
                Effect::Fatal(error) => self.fatal = Some(error),
            }
        }
    }

    /// Whether anything happened.
    fn step(&mut self) -> bool {
        let choice = self.roll();
        let Some((id, result)) = self.disk.step(choice) else { return false };
        let mut effects = Vec::new();
        self.solo.disk_done(id, result, &mut effects);
        self.take(effects);
        true
    }

    fn propose(&mut self, input: Input) {
        let mut effects = Vec::new();
        self.solo.step(input, &mut effects);
        self.take(effects);
    }

    fn start_again(&mut self) -> Result<(), RecoverError> {
        let choice = self.roll();
        self.disk.lose_power(choice);
        let (log, _) = Log::recover(PARTITION, DIRECTORY.to_owned(), log_config(), &self.disk)?;
        let mut effects = Vec::new();
        let disk = &self.disk;
        let mut read = |segment: SegmentVersion, kind: FileKind, position: u64, buffer: &mut [u8]| {
            disk.read_at(&kind.file_name(segment.id.base), position, buffer)
        };
        let kept = snapshot::read(disk).expect("the snapshot is whole");
        self.solo = Solo::recovered(ME, log, kept, &mut read, &mut effects).expect("the log reads back");
        self.told.clear();
        self.take(effects);
        Ok(())
    }

    fn settle(&mut self) -> Vec<Output> {
        while self.step() {}
        self.told.drain(..).collect()
    }
}

impl Engines for Rig {
    fn nodes(&self) -> Vec<BrokerId> {
        vec![ME]
    }

    fn input(&mut self, _: BrokerId, input: Input) {
        self.propose(input);
    }

    fn next(&mut self) -> Option<(BrokerId, Output)> {
        while self.told.is_empty() && self.step() {}
        self.told.pop_front().map(|output| (ME, output))
    }

    fn restart(&mut self, _: BrokerId) {
        self.start_again().expect("the log recovers");
    }
}

fn leads(epoch: i32) -> [Output; 2] {
    let epoch = ControllerEpoch(epoch);
    [Output::Leader { epoch }, Output::LeaderIs { leader: Some(ME), epoch }]
}

fn accepted(outputs: &[Output]) -> Vec<Accepted> {
    accepted_from(Filter::default(), outputs)
}

fn accepted_from(mut filter: Filter, outputs: &[Output]) -> Vec<Accepted> {
    let entries = outputs.iter().filter_map(|it| match it {
        Output::Committed(entry) => Some(entry),
        _ => None,
    });
    entries
        .filter_map(|entry| match filter.take(entry).expect("in order") {
            Verdict::Accept(it) => Some(it),
            Verdict::Ignore(_) => None,
        })
        .collect()
}

#[test]
fn the_contract_holds_over_restarts_with_power_failures() {
    let mut snapshots = 0;
    for seed in 0..60 {
        let outcome = contract::run(&mut Rig::new(seed), seed, 60);
        assert!(!outcome.accepted.is_empty() && 1 < outcome.epochs, "seed {seed}: nothing was tried");
        snapshots += outcome.snapshots;
    }
    assert!(60 < snapshots, "starts from a snapshot were hardly tried: {snapshots}");
}

#[test]
fn what_is_proposed_is_told_once_it_is_synced_and_not_before() {
    let mut rig = Rig::new(1);
    assert_eq!(rig.settle(), leads(1));
    let mut proposer = Proposer::new(ControllerEpoch(1));
    rig.propose(proposer.propose(b"begin"));
    rig.propose(proposer.propose(b"more"));
    while rig.told.is_empty() {
        assert!(rig.step(), "the disk has work");
    }
    let file = rig.disk.files.values().map(|it| it.synced_size).max();
    assert!(Some(0) < file, "told before it was synced");
    let told = rig.settle();
    let records: Vec<_> = accepted(&told).into_iter().map(|it| it.records).collect();
    assert_eq!(records, [Bytes::from_static(b"begin"), Bytes::from_static(b"more")]);
}

#[test]
fn a_start_tells_everything_again_and_leads_under_the_next_epoch() {
    let mut rig = Rig::new(2);
    rig.settle();
    let mut proposer = Proposer::new(ControllerEpoch(1));
    for records in [b"a".repeat(10), b"b".repeat(900_000), b"c".repeat(900_000), Vec::new()] {
        rig.propose(proposer.propose(&records));
    }
    let before = rig.settle();
    rig.start_again().expect("the log recovers");
    let mut after = rig.settle();
    assert_eq!(after.split_off(after.len() - 2), leads(2));
    assert_eq!(before, after);
}

#[test]
fn a_log_that_is_read_in_several_pieces_is_read_whole() {
    let mut rig = Rig::new(10);
    rig.settle();
    let mut proposer = Proposer::new(ControllerEpoch(1));
    for number in 0..200_u8 {
        rig.propose(proposer.propose(&vec![number; 27_000 + usize::from(number)]));
    }
    let before = rig.settle();
    // A stop in order: the start has no reason to look at the batches, and so does not know where they end.
    let mut effects = Vec::new();
    rig.solo.stop(&mut effects);
    rig.take(effects);
    rig.settle();
    rig.start_again().expect("the log recovers");
    let mut after = rig.settle();
    assert_eq!(after.split_off(after.len() - 2), leads(2));
    assert_eq!(before, after);
}

#[test]
fn proposals_of_an_older_epoch_are_forgotten() {
    let mut rig = Rig::new(3);
    rig.settle();
    rig.propose(Proposer::new(ControllerEpoch(1)).propose(b""));
    rig.settle();
    rig.start_again().expect("the log recovers");
    rig.settle();
    rig.propose(Proposer::new(ControllerEpoch(1)).propose(b"late"));
    assert_eq!(rig.settle(), []);
}

#[test]
fn a_full_disk_costs_the_leadership_until_there_is_room() {
    let mut rig = Rig::new(4);
    rig.settle();
    let mut proposer = Proposer::new(ControllerEpoch(1));
    rig.propose(proposer.propose(b"begin"));
    let begun = rig.settle();
    assert_eq!(accepted(&begun).len(), 1);

    rig.disk.is_full = true;
    rig.propose(proposer.propose(b"lost"));
    rig.propose(proposer.propose(b"lost too"));
    assert_eq!(rig.settle(), [Output::NoLongerLeader]);
    assert!(rig.must_try_again);

    rig.disk.is_full = false;
    let mut effects = Vec::new();
    rig.solo.try_again(&mut effects);
    rig.take(effects);
    assert_eq!(rig.settle(), leads(2));
    rig.propose(Proposer::new(ControllerEpoch(2)).propose(b"again"));
    let told = [begun, rig.settle()].concat();
    let records: Vec<_> = accepted(&told).into_iter().map(|it| it.records).collect();
    assert_eq!(records, [Bytes::from_static(b"begin"), Bytes::from_static(b"again")]);
}

#[test]
fn a_broken_disk_is_the_end() {
    let mut rig = Rig::new(5);
    rig.settle();
    rig.disk.is_broken = true;
    rig.propose(Proposer::new(ControllerEpoch(1)).propose(b"lost"));
    assert_eq!(rig.settle(), [Output::NoLongerLeader]);
    assert!(rig.fatal.is_some());
    rig.propose(Proposer::new(ControllerEpoch(1)).propose(b"lost"));
    assert_eq!(rig.settle(), []);
}

/// The node's state after all it was told, of which a snapshot says how many entries there were.
fn offer(told: &[Output], state: &'static [u8]) -> Input {
    let mut filter = Filter::default();
    for output in told {
        match output {
            Output::Committed(entry) => drop(filter.take(entry).expect("in order")),
            Output::Snapshot(snapshot) => filter = Filter::at(snapshot.position),
            _ => {}
        }
    }
    Input::OfferSnapshot(Snapshot { position: filter.position(), state: Bytes::from_static(state) })
}

#[test]
fn a_start_tells_the_snapshot_and_what_came_behind_it() {
    let mut rig = Rig::new(6);
    rig.settle();
    let mut proposer = Proposer::new(ControllerEpoch(1));
    rig.propose(proposer.propose(b"begin"));
    rig.propose(proposer.propose(b"in it"));
    let told = rig.settle();
    let offered = offer(&told, b"both");
    rig.propose(offered.clone());
    rig.propose(proposer.propose(b"behind it"));
    let behind = rig.settle();
    assert_eq!(index(rig.solo.log().log_start()), 2, "what the snapshot has is given up");

    let Input::OfferSnapshot(snapshot) = offered else { unreachable!("it was made above") };
    rig.start_again().expect("the log recovers");
    let expected = [vec![Output::Snapshot(snapshot.clone())], behind, leads(2).to_vec()].concat();
    assert_eq!(rig.settle(), expected);

    // Nothing behind it, and nothing of the log at all.
    let offered = offer(&expected, b"all");
    rig.propose(offered.clone());
    rig.settle();
    rig.start_again().expect("the log recovers");
    let Input::OfferSnapshot(all) = offered else { unreachable!("it was made above") };
    assert_eq!(rig.settle(), [vec![Output::Snapshot(all)], leads(2).to_vec()].concat());
    rig.propose(Input::OfferSnapshot(snapshot));
    assert!(rig.disk.queue.is_empty(), "an older one is of no use");
}

#[test]
fn whatever_a_power_failure_leaves_of_a_snapshot_and_of_what_goes_for_it_nothing_is_lost() {
    let (mut cut, mut purged) = (0, 0);
    for seed in 0..120 {
        let mut rig = Rig::new(seed);
        let mut told = rig.settle();
        let mut proposer = Proposer::new(ControllerEpoch(1));
        rig.propose(proposer.propose(b"begin"));
        // Segments of 8 MB come to their end.
        for number in 0..10_u8 {
            rig.propose(proposer.propose(&vec![number; 950_000]));
        }
        told.extend(rig.settle());
        rig.propose(offer(&told, b"state"));
        for _ in 0..seed % 6 {
            rig.step();
        }
        cut += usize::from(!rig.disk.queue.is_empty());
        rig.start_again().expect("the log recovers");
        let after = rig.settle();
        let accepted = match &after[0] {
            Output::Snapshot(snapshot) => {
                assert_eq!(snapshot.state, Bytes::from_static(b"state"), "seed {seed}");
                let from = snapshot.position.next_offset;
                from + u64::try_from(accepted_from(Filter::at(snapshot.position), &after).len()).expect("few")
            }
            _ => accepted(&after).len() as u64,
        };
        assert_eq!(accepted, 11, "seed {seed}");
        purged += usize::from(!rig.disk.files.contains_key(&FileKind::Log.file_name(offset(0))));
    }
    assert!(40 < cut && 10 < purged, "{cut} were interrupted, {purged} gave up a segment");
}

#[test]
fn a_snapshot_that_finds_no_room_leaves_the_one_before() {
    let mut rig = Rig::new(7);
    rig.settle();
    rig.propose(Proposer::new(ControllerEpoch(1)).propose(b"begin"));
    let told = rig.settle();
    rig.disk.is_full = true;
    rig.propose(offer(&told, b"no room"));
    assert_eq!(rig.settle(), [], "who leads goes on");
    assert_eq!(index(rig.solo.log().log_start()), 0);
    rig.disk.is_full = false;
    rig.propose(offer(&told, b"room"));
    rig.settle();
    assert_eq!(index(rig.solo.log().log_start()), 1);
}

#[test]
fn a_start_refuses_a_snapshot_and_a_log_that_do_not_belong_together() {
    let mut rig = Rig::new(8);
    let mut told = rig.settle();
    let mut proposer = Proposer::new(ControllerEpoch(1));
    let mut copies = Vec::new();
    for records in [b"begin".as_slice(), b"one", b"two"] {
        rig.propose(proposer.propose(records));
        told.extend(rig.settle());
        rig.propose(offer(&told, b"state"));
        rig.settle();
        copies.push(rig.disk.files.clone());
    }
    let last = copies.pop().expect("three");
    let refused = |files: BTreeMap<String, crate::test_disk::File>| {
        let disk = Disk { files, ..Disk::default() };
        let (log, _) = Log::recover(PARTITION, DIRECTORY.to_owned(), log_config(), &disk).expect("a log");
        let mut read = |segment: SegmentVersion, kind: FileKind, position: u64, buffer: &mut [u8]| {
            disk.read_at(&kind.file_name(segment.id.base), position, buffer)
        };
        let kept = snapshot::read(&disk).map_err(SoloError::from);
        let recovered = kept.and_then(|it| Solo::recovered(ME, log, it, &mut read, &mut Vec::new()));
        recovered.map(drop).expect_err("they do not belong together").to_string()
    };
    let mut without = last.clone();
    without.remove(snapshot::FILE_NAME);
    let mut old_snapshot = last.clone();
    old_snapshot.insert(snapshot::FILE_NAME.to_owned(), copies[0][snapshot::FILE_NAME].clone());
    let mut old_log = copies[0].clone();
    old_log.insert(snapshot::FILE_NAME.to_owned(), last[snapshot::FILE_NAME].clone());
    let mut damaged = last;
    damaged.get_mut(snapshot::FILE_NAME).expect("it is there").bytes[40] ^= 1;
    expect_test::expect![[r#"
        metadata log: it has the entries from 3 to 3, and there is no snapshot of what came before: the snapshot that belongs to this log is gone
        metadata log: it has the entries from 3 to 3, and the snapshot beside it ends before entry 1: the snapshot that belongs to this log is gone
        metadata log: it has the entries from 1 to 1, and the snapshot beside it ends before entry 3: the log is an old copy, or has lost its end
        metadata log: metadata-snapshot is damaged: its checksum is another; bring it back from a copy of the same moment as the log, or start as a new node"#]].assert_eq(&[without, old_snapshot, old_log, damaged].map(refused).join("\n"));
}

#[test]
fn it_is_all_of_the_quorum_and_what_is_synced_is_committed() {
    let mut rig = Rig::new(11);
    rig.settle();
    let mut proposer = Proposer::new(ControllerEpoch(1));
    rig.propose(proposer.propose(b""));
    rig.propose(Input::Describe);
    let told = |outputs: Vec<Output>| {
        let described = outputs.into_iter().find_map(|it| match it {
            Output::Described(it) => Some(it),
            _ => None,
        });
        let described = described.expect("it was asked");
        let [own] = &described.replicas[..] else { panic!("{described:?}") };
        assert_eq!((own.id, own.is_voter, own.end), (ME, true, Some(described.committed)));
        described.committed
    };
    assert_eq!(told(rig.settle()), 0, "the proposal is not on the disk yet");
    rig.propose(Input::Describe);
    assert_eq!(told(rig.settle()), 1);
}

#[test]
fn nobody_is_added_to_a_lone_node_and_it_is_not_removed() {
    let mut rig = Rig::new(12);
    rig.settle();
    let other = BrokerId(5);
    let directory = uuid::Uuid::from_u128(1);
    for (change, error) in [
        (VoterChange::Add { id: other, directory }, VoterError::Alone),
        (VoterChange::Add { id: ME, directory }, VoterError::IsVoter { id: ME }),
        (VoterChange::Remove { id: ME, directory }, VoterError::Last),
        (VoterChange::Remove { id: other, directory }, VoterError::NoVoter { id: other, directory }),
    ] {
        rig.propose(Input::ChangeVoters(change));
        assert_eq!(rig.settle(), [Output::VotersChanged(Err(error))]);
    }
}
