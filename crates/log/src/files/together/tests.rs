//! Power cuts and restarts at any moment, with files whose unsynced bytes may be gone.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use klamm_model::{Offset, PartitionIndex, TopicId, TopicPartition};
use uuid::Uuid;

use super::*;
use crate::disk::OpId;
use crate::files::journal::{FILE_NAME, Journal};
use crate::files::{CleanShutdown, FilesError, unsynced};

thread_local! {
    /// What files had when they were synced last, by their numbers: all of them that is left when the power is cut.
    static SYNCED: RefCell<BTreeMap<u64, Vec<u8>>> = const { RefCell::new(BTreeMap::new()) };
    /// So many syncs, and then the power goes, before the last one has done anything.
    static SYNCS_LEFT: Cell<u64> = const { Cell::new(u64::MAX) };
}

/// Told of every sync of this thread.
pub(in super::super) fn note_synced(file: &File) {
    SYNCS_LEFT.set(SYNCS_LEFT.get().saturating_sub(1));
    if SYNCS_LEFT.get() == 0 {
        resume_unwind(Box::new("the power went"));
    }
    let Ok(metadata) = file.metadata() else { return };
    let mut bytes = vec![0; usize::try_from(metadata.len()).expect("small")];
    read_fully(file, 0, &mut bytes).expect("readable");
    SYNCED.with_borrow_mut(|synced| synced.insert(metadata.ino(), bytes));
}

/// Numbers by chance.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

fn segment(topic: u128, partition: i32, base: i64) -> SegmentId {
    let topic = TopicId(Uuid::from_u128(topic));
    let partition = TopicPartition { topic, partition: PartitionIndex(partition) };
    SegmentId { partition, base: Offset::new(base) }
}

fn op(segment: SegmentId, action: DiskAction) -> DiskOp {
    DiskOp { partition: segment.partition, id: OpId(1), action }
}

fn sync(segment: SegmentId) -> DiskOp {
    op(segment, DiskAction::Sync { segment })
}

/// A segment as its log knows it.
#[derive(Clone, Default)]
struct Known {
    written: Vec<u8>,
    synced_size: usize,
}

/// Some partitions of which anything happens to their segments that happens to segments.
struct World {
    dir: tempfile::TempDir,
    files: Files,
    dice: Dice,
    known: BTreeMap<SegmentId, Known>,
    topics: [u128; 3],
    marks: u8,
}

impl World {
    fn new(seed: u64) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let files = Files::open(dir.path()).expect("opened");
        let mut world =
            Self { dir, files, dice: Dice(seed), known: BTreeMap::new(), topics: [1, 2, 3], marks: 0 };
        (0..3).for_each(|number| world.create(number));
        world.files.data_dirs[0].journal.make(128 << 10).expect("made");
        note_synced(&File::open(world.dir.path().join(FILE_NAME)).expect("there"));
        world
    }

    fn perform(&self, segment: SegmentId, action: DiskAction) {
        self.files.perform(&op(segment, action)).expect("performed");
    }

    /// A new file may have the number of one that is gone.
    fn note_new(&mut self, segment: SegmentId) {
        let path = self.files.path(segment, crate::FileKind::Log).expect("known");
        let inode = fs::metadata(path).expect("there").ino();
        SYNCED.with_borrow_mut(|synced| synced.remove(&inode));
        self.known.insert(segment, Known::default());
    }

    fn create(&mut self, number: usize) {
        let segment = segment(self.topics[number], 0, 0);
        let (directory, topic) = (format!("topic{number}-0"), segment.partition.topic);
        let create = DiskAction::CreatePartition { log_dir: LogDir(0), directory, topic, base: segment.base };
        self.perform(segment, create);
        self.note_new(segment);
    }

    fn any(&mut self) -> SegmentId {
        let count = self.known.len() as u64;
        *self.known.keys().nth(self.dice.below(count) as usize).expect("there are some")
    }

    fn write(&mut self, segment: SegmentId, size: u64) {
        self.marks = self.marks.wrapping_add(1);
        let body = Bytes::from(vec![self.marks; size as usize]);
        let known = self.known.get_mut(&segment).expect("known");
        let position = known.written.len() as u32;
        known.written.extend_from_slice(&body);
        self.perform(segment, DiskAction::Write { segment, position, prefix: None, body });
    }

    fn sync_some(&mut self) {
        let wanted: Vec<SegmentId> = self.known.keys().copied().collect();
        let ops: Vec<DiskOp> = wanted.into_iter().filter(|_| self.dice.below(3) > 0).map(sync).collect();
        for (op, result) in ops.iter().zip(self.files.sync_together(LogDir(0), &ops)) {
            result.expect("synced");
            let DiskAction::Sync { segment } = op.action else { continue };
            let known = self.known.get_mut(&segment).expect("known");
            known.synced_size = known.written.len();
        }
    }

    fn truncate(&mut self, segment: SegmentId) {
        let known = self.known.get_mut(&segment).expect("known");
        let size = self.dice.below(known.written.len() as u64 + 1) as u32;
        known.written.truncate(size as usize);
        known.synced_size = size as usize;
        self.perform(segment, DiskAction::Truncate { segment, size, delete: Vec::new() });
    }

    fn step(&mut self) {
        match self.dice.below(20) {
            0 => {
                let segment = self.any();
                self.truncate(segment);
            }
            1 => {
                let number = self.dice.below(3) as usize;
                let gone = segment(self.topics[number], 0, 0);
                self.perform(gone, DiskAction::DeletePartition);
                self.known.retain(|it, _| it.partition != gone.partition);
                // The same topic again, or another one of its name.
                self.topics[number] += u128::from(self.dice.below(2)) * 10;
                self.create(number);
            }
            2 => {
                let of = self.any();
                let next = SegmentId { base: Offset::new(self.dice.below(3) as i64), ..of };
                self.perform(next, DiskAction::CreateSegment { segment: next });
                self.note_new(next);
            }
            3 => {
                let gone = self.any();
                if gone.base != Offset::ZERO {
                    self.perform(gone, DiskAction::Retire { segments: vec![gone] });
                    self.known.remove(&gone);
                }
            }
            4 => {
                let segment = self.any();
                self.write(segment, 80_000);
            }
            5..=12 => {
                let (segment, size) = (self.any(), 1 + self.dice.below(300));
                self.write(segment, size);
            }
            _ => self.sync_some(),
        }
    }

    /// The process ends in the middle, and another comes.
    fn restart(&mut self) {
        let elsewhere = tempfile::tempdir().expect("a directory");
        self.files = Files::open(elsewhere.path()).expect("opened");
        self.files = Files::open(self.dir.path()).expect("opened again");
        for segment in self.known.keys() {
            let directory = self.directory_of(*segment);
            let _ = self.files.adopt(segment.partition, &directory);
        }
        self.files.data_dirs[0].journal.make(128 << 10).expect("made");
        note_synced(&File::open(self.dir.path().join(FILE_NAME)).expect("there"));
    }

    fn directory_of(&self, segment: SegmentId) -> String {
        let is_its = |topic: &u128| TopicId(Uuid::from_u128(*topic)) == segment.partition.topic;
        format!("topic{}-0", self.topics.iter().position(is_its).expect("one of the three"))
    }

    /// The power goes, and comes back. Of each file there is what it had, or only what was synced.
    fn revert(&mut self) {
        for path in files_in(self.dir.path()) {
            let inode = fs::metadata(&path).expect("there").ino();
            if path.ends_with(FILE_NAME) && self.dice.below(3) > 0 {
                let synced = SYNCED.with_borrow(|synced| synced.get(&inode).cloned());
                if let Some(synced) = synced {
                    // Page by page: those that were not synced may have come there or not.
                    let mut now = fs::read(&path).expect("there");
                    for (page, old) in now.chunks_mut(4096).zip(synced.chunks(4096)) {
                        if self.dice.below(3) > 0 {
                            page.copy_from_slice(old);
                        }
                    }
                    fs::write(&path, now).expect("written");
                }
            }
            if path.extension().is_some_and(|it| it == "log") && self.dice.below(3) > 0 {
                let synced = SYNCED.with_borrow(|synced| synced.get(&inode).cloned()).unwrap_or_default();
                fs::write(&path, synced).expect("written");
            }
        }
    }

    fn cut_power(&mut self) {
        self.revert();
        // It goes again while that is put back, too.
        for _ in 0..self.dice.below(4) {
            let elsewhere = tempfile::tempdir().expect("a directory");
            self.files = Files::open(elsewhere.path()).expect("opened");
            SYNCS_LEFT.set(1 + self.dice.below(6));
            let path = self.dir.path().to_owned();
            let _ = catch_unwind(|| drop(Files::open(&path)));
            SYNCS_LEFT.set(u64::MAX);
            self.revert();
        }
        self.restart();
        // What is there after that was on the disk.
        for path in files_in(self.dir.path()) {
            note_synced(&File::open(path).expect("there"));
        }
        let places: Vec<_> =
            self.known.keys().map(|it| (*it, self.files.path(*it, crate::FileKind::Log))).collect();
        for (segment, path) in places {
            let found = fs::read(path.expect("known")).unwrap_or_default();
            let known = self.known.get_mut(&segment).expect("known");
            assert!(
                known.synced_size <= found.len(),
                "{segment:?}: {} of {} synced bytes",
                found.len(),
                known.synced_size
            );
            assert!(known.written.starts_with(&found), "{segment:?} has something else than was written");
            *known = Known { synced_size: found.len(), written: found };
        }
    }
}

impl World {
    /// Steps until the power goes in the middle of one, of which everything or nothing may be there.
    fn step_until_it_goes(&mut self, syncs_left: u64) {
        SYNCS_LEFT.set(syncs_left);
        for _ in 0..80 {
            let before = self.known.clone();
            if catch_unwind(AssertUnwindSafe(|| self.step())).is_err() {
                self.known.retain(|it, _| before.contains_key(it));
                for (it, known) in &mut self.known {
                    let was = &before[it];
                    known.synced_size = known.synced_size.min(was.synced_size);
                    if known.written.len() < was.written.len() {
                        known.written.clone_from(&was.written);
                    }
                }
                break;
            }
        }
        SYNCS_LEFT.set(u64::MAX);
    }
}

#[test]
fn the_power_may_go_in_the_middle_of_anything() {
    for seed in 1000..1015 {
        let mut world = World::new(seed);
        for _ in 0..4 {
            let syncs_left = 1 + world.dice.below(40);
            world.step_until_it_goes(syncs_left);
            world.cut_power();
        }
    }
}

fn files_in(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("readable").map(|it| it.expect("readable").path());
    entries.flat_map(|it| if it.is_dir() { files_in(&it) } else { vec![it] }).collect()
}

#[test]
fn what_was_synced_is_there_after_the_power_was_cut_and_what_went_does_not_come_back() {
    for seed in 0..15 {
        let mut world = World::new(seed);
        for _ in 0..4 {
            (0..60).for_each(|_| world.step());
            if world.dice.below(3) == 0 {
                world.restart();
                (0..5).for_each(|_| world.step());
            }
            world.cut_power();
        }
    }
}

/// Two segments of one directory, with a byte of each in the journal as often as is said.
fn with_journal(groups: u8) -> (tempfile::TempDir, [SegmentId; 2]) {
    let dir = tempfile::tempdir().expect("a directory");
    let files = Files::open(dir.path()).expect("opened");
    let segments = [segment(1, 0, 0), segment(2, 0, 0)];
    for (number, segment) in segments.iter().enumerate() {
        let (directory, topic) = (format!("t{number}-0"), segment.partition.topic);
        let create = DiskAction::CreatePartition { log_dir: LogDir(0), directory, topic, base: segment.base };
        files.perform(&op(*segment, create)).expect("made");
        files.perform(&sync(*segment)).expect("synced");
    }
    files.data_dirs[0].journal.make(128 << 10).expect("made");
    for position in 0..u32::from(groups) {
        for segment in segments {
            let body = Bytes::from(vec![b'a' + position as u8]);
            let write = DiskAction::Write { segment, position, prefix: None, body };
            files.perform(&op(segment, write)).expect("written");
        }
        let synced = files.sync_together(LogDir(0), &segments.map(sync));
        assert!(synced.iter().all(Result::is_ok), "{synced:?}");
    }
    // As if nothing of it had come to its place.
    for number in 0..2 {
        fs::write(dir.path().join(format!("t{number}-0/00000000000000000000.log")), b"").expect("emptied");
    }
    (dir, segments)
}

fn records(dir: &Path, number: u8) -> Vec<u8> {
    fs::read(dir.join(format!("t{number}-0/00000000000000000000.log"))).expect("readable")
}

/// Why the directory is not opened.
fn refused(dir: &Path) -> String {
    match Files::open(dir) {
        Err(FilesError::Io { source, .. }) => source.to_string(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it is opened"),
    }
}

#[test]
fn what_the_journal_has_is_put_in_its_place_once() {
    let (dir, _) = with_journal(3);
    let files = Files::open(dir.path()).expect("opened");
    assert_eq!((records(dir.path(), 0), records(dir.path(), 1)), (b"abc".to_vec(), b"abc".to_vec()));
    assert!(!dir.path().join(FILE_NAME).exists());
    drop(files);
}

#[test]
fn a_torn_end_is_an_end_and_damage_before_one_that_is_whole_is_not() {
    let flip = |dir: &Path, page: usize| {
        let path = dir.join(FILE_NAME);
        let mut bytes = fs::read(&path).expect("readable");
        bytes[page * 4096 + 20] ^= 1;
        fs::write(&path, bytes).expect("written");
    };
    // The page before the first group begins the generation.
    let (dir, _) = with_journal(3);
    flip(dir.path(), 3);
    drop(Files::open(dir.path()).expect("opened"));
    assert_eq!(records(dir.path(), 0), b"ab");
    for page in [0, 1, 2] {
        let (dir, _) = with_journal(3);
        flip(dir.path(), page);
        assert!(refused(dir.path()).starts_with("it is damaged"), "page {page}");
        assert!(dir.path().join(FILE_NAME).exists());
    }
}

#[test]
fn an_empty_journal_is_a_damaged_one() {
    for contents in [vec![], vec![0; 128 << 10]] {
        let (dir, _) = with_journal(1);
        fs::write(dir.path().join(FILE_NAME), contents).expect("written");
        assert!(refused(dir.path()).starts_with("it is damaged"));
    }
}

#[test]
fn no_stop_is_clean_while_there_is_a_journal() {
    let dir = tempfile::tempdir().expect("a directory");
    let files = Files::open(dir.path()).expect("opened");
    files.data_dirs[0].journal.make(128 << 10).expect("made");
    let marker = CleanShutdown { broker_epoch: klamm_model::BrokerEpoch(1), incarnation: Uuid::from_u128(1) };
    assert!(!files.data_dirs[0].leave(marker).expect("not written"));
    files.close_journals();
    assert!(files.data_dirs[0].leave(marker).expect("written"));
}

#[test]
fn a_journal_has_so_many_segments_and_no_more() {
    let dir = tempfile::tempdir().expect("a directory");
    let journal = Journal::new(dir.path());
    assert!(!journal.takes(segment(1, 0, 0), 2), "it is not open");
    journal.make(128 << 10).expect("made");
    let stretch = |topic| Stretch { segment: segment(topic, 0, 0), position: 0, bytes: vec![1] };
    assert!(journal.append(&[stretch(1), stretch(2)], |_| Ok(())).expect("appended"));
    assert!(journal.takes(segment(1, 0, 0), 2) && !journal.takes(segment(3, 0, 0), 2));
    journal.forget(|it| *it == segment(1, 0, 0), |_| Ok(())).expect("forgotten");
    assert!(journal.takes(segment(3, 0, 0), 2));
}

#[test]
fn a_directory_that_does_not_say_whose_it_is_keeps_the_journal() {
    let (dir, _) = with_journal(1);
    let metadata = dir.path().join("t0-0/partition.metadata");
    let contents = fs::read(&metadata).expect("readable");
    fs::write(&metadata, b"garbage").expect("written");
    assert!(refused(dir.path()).contains("t0-0 does not say whose it is"));
    fs::write(&metadata, contents).expect("written");
    drop(Files::open(dir.path()).expect("opened"));
    assert_eq!(records(dir.path(), 0), b"a");
    // One that is not there any more was removed.
    let (dir, _) = with_journal(1);
    fs::remove_dir_all(dir.path().join("t0-0")).expect("removed");
    drop(Files::open(dir.path()).expect("opened"));
    assert_eq!(records(dir.path(), 1), b"a");
}

#[test]
fn a_journal_beside_the_marker_of_a_clean_stop_is_not_looked_at() {
    let (dir, _) = with_journal(1);
    let copy = fs::read(dir.path().join(FILE_NAME)).expect("readable");
    let marker = CleanShutdown { broker_epoch: klamm_model::BrokerEpoch(1), incarnation: Uuid::from_u128(1) };
    let files = Files::open(dir.path()).expect("opened");
    files.close_journals();
    assert!(files.data_dirs[0].leave(marker).expect("written"));
    drop(files);
    fs::write(dir.path().join("t0-0/00000000000000000000.log"), b"newer").expect("written");
    fs::write(dir.path().join(FILE_NAME), copy).expect("written");
    drop(Files::open(dir.path()).expect("opened"));
    assert_eq!(records(dir.path(), 0), b"newer");
    assert!(!dir.path().join(FILE_NAME).exists());
}

#[test]
fn a_segment_that_could_not_be_synced_ends_the_journal_and_one_that_could_not_be_opened_does_not() {
    let dir = tempfile::tempdir().expect("a directory");
    let journal = Journal::new(dir.path());
    journal.make(16 << 10).expect("made");
    let stretch = [Stretch { segment: segment(1, 0, 0), position: 0, bytes: vec![7; 5000] }];
    assert!(journal.append(&stretch, |_| panic!("there is room")).expect("appended"));
    let closed = || io::Error::from(io::ErrorKind::PermissionDenied);
    assert!(!journal.append(&stretch, |_| Err(closed())).expect("each goes by itself"));
    journal.append(&stretch, |_| Err(unsynced(closed()))).expect_err("it is lost");
    let kept = fs::read(dir.path().join(FILE_NAME)).expect("readable");
    // The system would say now that all is well.
    journal.append(&stretch, |_| Ok(())).expect_err("it is lost for good");
    journal.forget(|_| true, |_| Ok(())).expect_err("it is lost for good");
    journal.close(|_| Ok(())).expect_err("it is lost for good");
    assert_eq!(fs::read(dir.path().join(FILE_NAME)).expect("readable"), kept, "the next start needs it");
}
