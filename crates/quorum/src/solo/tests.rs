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
        self.solo = Solo::recovered(ME, log, &mut read, &mut effects).expect("the log reads back");
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
    let mut filter = Filter::default();
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
    for seed in 0..60 {
        let outcome = contract::run(&mut Rig::new(seed), seed, 60);
        assert!(!outcome.accepted.is_empty() && 1 < outcome.epochs, "seed {seed}: nothing was tried");
    }
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
