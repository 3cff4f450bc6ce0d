use bytes::Bytes;
use klamm_log::{FileKind, LogFiles, ReadError, SegmentVersion};

use super::*;
use crate::test_disk::Disk;

/// A log on its disk.
struct Rig {
    log: RaftLog,
    disk: Disk,
    must_try_again: bool,
    fatal: Option<DiskError>,
    dice: u64,
}

fn stored(index: u64, term: i32) -> Stored {
    let payload = Bytes::from(format!("{index} of {term}").into_bytes());
    Stored { index, term: LeaderEpoch(term), payload }
}

impl Rig {
    fn new(dice: u64) -> Self {
        let mut out = Vec::new();
        let log = RaftLog::create(&mut out);
        let mut rig = Self { log, disk: Disk::default(), must_try_again: false, fatal: None, dice };
        rig.take(out);
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
                Effect::TryAgainLater => self.must_try_again = true,
                Effect::Fatal(error) => self.fatal = Some(error),
            }
        }
    }

    fn act(&mut self, act: impl FnOnce(&mut RaftLog, &mut Vec<Effect>)) {
        let mut out = Vec::new();
        act(&mut self.log, &mut out);
        self.take(out);
    }

    fn append(&mut self, entries: &[(u64, i32)]) {
        let entries = entries.iter().map(|(index, term)| stored(*index, *term)).collect();
        self.act(|log, out| log.append(entries, out));
    }

    fn step(&mut self) -> bool {
        let choice = self.roll();
        let Some((op, result)) = self.disk.step(choice) else { return false };
        self.act(|log, out| log.disk_done(op, result, out));
        true
    }

    fn settle(&mut self) {
        while self.step() {}
    }

    /// Power fails. Gives what the log has then.
    fn start_again(&mut self) -> Result<Vec<(u64, i32)>, StoredError> {
        self.recover(|_| true)
    }

    /// The same of those entries that are this log's.
    fn recover(&mut self, is_own: impl Fn(&Stored) -> bool) -> Result<Vec<(u64, i32)>, StoredError> {
        let choice = self.roll();
        self.disk.lose_power(choice);
        let (log, _) = Log::recover(PARTITION, DIRECTORY.to_owned(), log_config(), &self.disk)
            .expect("the log recovers");
        let disk = &self.disk;
        let mut read = |segment: SegmentVersion, kind: FileKind, position: u64, buffer: &mut [u8]| {
            disk.read_at(&kind.file_name(segment.id.base), position, buffer)
        };
        let (log, entries) = RaftLog::recovered(log, &mut read)?;
        self.log = log;
        self.act(RaftLog::start);
        let entries: Vec<Stored> = entries.into_iter().filter(is_own).collect();
        for entry in &entries {
            assert_eq!(*entry, stored(entry.index, entry.term.0), "what was appended comes back");
        }
        Ok(entries.into_iter().map(|it| (it.index, it.term.0)).collect())
    }
}

#[test]
fn what_is_synced_survives_whatever_a_power_failure_leaves_of_the_rest() {
    for seed in 0..200 {
        let mut rig = Rig::new(seed);
        let (mut synced, mut all) = (Vec::new(), Vec::new());
        // A cut that was not on disk yet is undone: nobody was told of it either.
        let mut before_cuts: Vec<Vec<(u64, i32)>> = Vec::new();
        let mut term = 0;
        for _ in 0..30 {
            match rig.roll() % 8 {
                0 => {
                    let found = rig.start_again().expect("the log recovers");
                    assert!(found.starts_with(&synced), "seed {seed}");
                    let mut possible = before_cuts.drain(..).chain([all]);
                    assert!(possible.any(|it| it.starts_with(&found)), "seed {seed}");
                    rig.settle();
                    all = found;
                }
                1 => term += 1,
                2 => {
                    before_cuts.push(all.clone());
                    let keep = all.len() as u64 * 3 / 4;
                    rig.act(|log, out| log.truncate(keep, out));
                    all.truncate(keep as usize);
                }
                3 => rig.settle(),
                4 => {
                    rig.step();
                }
                _ => {
                    let next = all.len() as u64;
                    let entries: Vec<_> = (next..next + 1 + rig.roll() % 3).map(|it| (it, term)).collect();
                    rig.append(&entries);
                    all.extend(entries);
                }
            }
            assert_eq!(rig.log.end(), all.len() as u64, "seed {seed}");
            synced = all[..rig.log.synced() as usize].to_vec();
        }
    }
}

#[test]
fn entries_of_a_run_share_one_sync() {
    let mut rig = Rig::new(1);
    rig.settle();
    rig.append(&[(0, 0), (1, 1), (2, 1), (3, 2)]);
    let mut count = 0;
    while rig.step() {
        count += 1;
    }
    assert_eq!((rig.log.synced(), rig.log.end()), (4, 4));
    // A write, its sync, and the file of the terms, which all have begun.
    assert!(count <= 4, "{count} operations");
    assert_eq!(rig.log.last_term(), Some(LeaderEpoch(2)));
}

#[test]
fn a_full_disk_only_makes_wait() {
    let mut rig = Rig::new(2);
    rig.append(&[(0, 1)]);
    rig.settle();
    rig.disk.is_full = true;
    rig.append(&[(1, 1), (2, 1)]);
    rig.settle();
    assert!(rig.must_try_again);
    rig.append(&[(3, 2)]);
    rig.settle();
    assert_eq!((rig.log.synced(), rig.log.end()), (1, 4));
    rig.disk.is_full = false;
    rig.act(RaftLog::try_again);
    rig.settle();
    assert_eq!((rig.log.synced(), rig.log.end()), (4, 4));
    assert_eq!(rig.start_again().expect("it recovers"), [(0, 1), (1, 1), (2, 1), (3, 2)]);
}

#[test]
fn a_broken_disk_is_the_end() {
    let mut rig = Rig::new(3);
    rig.settle();
    rig.disk.is_broken = true;
    rig.append(&[(0, 1)]);
    rig.settle();
    assert!(rig.fatal.is_some() && rig.log.synced() == 0 && !rig.log.is_whole());
}

#[test]
fn a_damaged_entry_that_was_on_disk_is_no_torn_tail() {
    let mut rig = Rig::new(4);
    for index in 0..3 {
        rig.append(&[(index, 1)]);
        rig.settle();
    }
    rig.act(RaftLog::stop);
    rig.settle();
    let name = FileKind::Log.file_name(offset(0));
    let file = rig.disk.files.get_mut(&name).expect("the segment");
    let end = file.bytes.len();
    file.bytes[end - 3] ^= 1;
    let refused = rig.start_again().expect_err("an entry that was promised is gone");
    assert!(matches!(refused, StoredError::Read(ReadError::Quarantined(_))), "{refused}");
}

#[test]
fn a_log_that_is_empty_begins_where_it_is_told_to() {
    let mut rig = Rig::new(5);
    rig.append(&[(0, 1), (1, 1)]);
    rig.settle();
    rig.act(|log, out| log.purge(7, out));
    rig.settle();
    assert_eq!((rig.log.start_index(), rig.log.end()), (7, 7));
    rig.append(&[(7, 3), (8, 3)]);
    rig.settle();
    assert_eq!(rig.start_again().expect("it recovers"), [(7, 3), (8, 3)]);
}

/// A node was alone, and its log is a Raft's from now on: the Raft's snapshot has all that it says, and the entries go.
#[test]
fn a_lone_nodes_entries_make_way_for_a_rafts_whatever_a_power_failure_leaves() {
    use crate::solo;
    for (seed, cut_after) in (0..5).flat_map(|seed| (0..20).map(move |count| (seed, count))) {
        let mut rig = Rig::new(seed);
        let mut effects = Vec::new();
        let mut lone = solo::Solo::create(klamm_model::BrokerId(1), &mut effects);
        let mut proposer = crate::Proposer::new(klamm_model::ControllerEpoch(1));
        rig.disk = Disk::default();
        for _ in 0..10 {
            lone.step(proposer.propose(b"records"), &mut effects);
            while !effects.is_empty() {
                for effect in std::mem::take(&mut effects) {
                    let solo::Effect::Disk(op) = effect else { continue };
                    rig.disk.queue.push(op);
                    let (id, result) = rig.disk.step(0).expect("it waits");
                    lone.disk_done(id, result, &mut effects);
                }
            }
        }
        assert_eq!(index(lone.log().synced()), 10);
        // Behind the lone node's last there is an entry that is in the snapshot only.
        let mut appended = false;
        for start in 0..3 {
            let entries = rig.recover(|it| it.payload.first() != Some(&0)).expect("the log recovers");
            assert!(entries.is_empty() || appended, "seed {seed}: {entries:?}");
            rig.act(|log, out| log.purge(11, out));
            if start < 2 {
                let end = rig.log.end();
                assert!(11 <= end, "seed {seed}: {end}");
                rig.append(&[(end, 2)]);
                appended = true;
                for _ in 0..cut_after {
                    rig.step();
                }
            } else {
                rig.settle();
            }
        }
        assert_eq!(rig.log.start_index(), 11, "seed {seed}");
        rig.append(&[(rig.log.end(), 3)]);
        rig.settle();
        assert_eq!(rig.log.synced(), rig.log.end());
        let found = rig.start_again().expect("the log recovers");
        assert_eq!(found.first(), Some(&(11, found[0].1)));
        assert_eq!(found.last().map(|it| it.1), Some(3));
    }
}
