//! Syncs of several segments of one data directory, by its journal where that is less work.

use std::sync::Arc;

use klamm_model::TopicPartition;

use super::journal::Stretch;
use super::open::{Open, Unsynced};
use super::{Files, failed, io, patiently, read_fully, sync_file, unsynced};
use crate::disk::{DiskAction, DiskError, DiskOp, Done, LogDir, MoveStep, SegmentId};

/// More of a segment is not written twice to be spared a sync.
const STRETCH_BYTES_MAX: u32 = 64 << 10;

/// How a sync is made.
enum Way {
    /// With others, by the journal.
    Together,
    /// Nothing was written since the last one.
    Done,
    Alone,
}

impl Files {
    /// The data directory whose syncs this one is best made with, if it is one of those.
    pub fn syncs_together(&self, op: &DiskOp) -> Option<LogDir> {
        let DiskAction::Sync { segment } = op.action else { return None };
        let log_dir = self.partition(op.partition).ok()?.log_dir;
        if !self.data_dir(log_dir).journal.is_open() {
            return None;
        }
        let size = self.open_segment(segment).ok()?.unsynced_size()?;
        (size <= STRETCH_BYTES_MAX).then_some(log_dir)
    }

    /// Performs syncs of partitions of one data directory. The results come in the order of the operations.
    pub fn sync_together(&self, log_dir: LogDir, ops: &[DiskOp]) -> Vec<Result<Done, DiskError>> {
        let mut stretches = Vec::new();
        let ways: Vec<Way> = ops.iter().map(|op| self.way_of(log_dir, op, &mut stretches)).collect();
        let appended = match self.data_dir(log_dir) {
            data_dir if data_dir.is_lost() || stretches.is_empty() => Ok(false),
            data_dir => data_dir.journal.append(&stretches, |segment| self.sync_covered(segment)),
        };
        let appended = appended.map_err(|error| failed("sync the journal of", log_dir)(unsynced(error)));
        let finish = |(op, way): (&DiskOp, Way)| match (&op.action, way, &appended) {
            (_, Way::Together, Err(error)) => self.guarded(op, || Err(error.clone())),
            (DiskAction::Sync { segment }, Way::Together, Ok(true))
            | (DiskAction::Sync { segment }, Way::Done, _) => {
                self.guarded(op, || self.settle_segment(*segment).map(|()| Done::Nothing))
            }
            _ => self.perform(op),
        };
        ops.iter().zip(ways).map(finish).collect()
    }

    fn way_of(&self, log_dir: LogDir, op: &DiskOp, stretches: &mut Vec<Stretch>) -> Way {
        let DiskAction::Sync { segment } = op.action else { return Way::Alone };
        let is_here = self.partition(op.partition).is_ok_and(|it| it.log_dir == log_dir);
        let Some(open) = is_here.then(|| patiently(|| self.open_segment(segment)).ok()).flatten() else {
            return Way::Alone;
        };
        if open.unsynced_size().is_none_or(|size| 4 * STRETCH_BYTES_MAX < size) {
            return Way::Alone;
        }
        let count = stretches.len();
        // If it cannot be read it is synced by itself, with all that there is.
        match read_unsynced(segment, &open, stretches) {
            Ok(()) if stretches.len() == count => Way::Done,
            Ok(()) => Way::Together,
            Err(_) => {
                stretches.truncate(count);
                Way::Alone
            }
        }
    }

    /// What the journal has of this segment is on disk by itself.
    fn sync_covered(&self, segment: SegmentId) -> io::Result<()> {
        match patiently(|| self.open_segment(segment)) {
            Ok(open) => sync_file(&open.file),
            // A start would find nothing to put anything back into.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Before anything but an append happens to a segment, it is on disk, and the journal has nothing to say of it.
    pub(super) fn leave_journal(&self, op: &DiskOp) -> Result<(), DiskError> {
        let of_segments = |segments: &[SegmentId]| self.forget(op, |it| segments.contains(it));
        match &op.action {
            DiskAction::CreateSegment { segment } => of_segments(&[*segment]),
            DiskAction::Truncate { segment, delete, .. } => {
                self.forget(op, |it| it == segment || delete.contains(it))
            }
            DiskAction::Retire { segments } | DiskAction::Remove { segments, .. } => of_segments(segments),
            DiskAction::Swap { segment, replaced } => {
                self.forget(op, |it| *it == segment.id || replaced.contains(it))
            }
            DiskAction::Move(it) if it.step != MoveStep::Switch => Ok(()),
            DiskAction::Move(_) | DiskAction::CreatePartition { .. } | DiskAction::DeletePartition => {
                self.forget(op, |it| it.partition == op.partition)
            }
            DiskAction::Write { .. }
            | DiskAction::Sync { .. }
            | DiskAction::Seal { .. }
            | DiskAction::WriteBeside { .. }
            | DiskAction::Note { .. }
            | DiskAction::WriteCheckpoint { .. }
            | DiskAction::MapKeys(_)
            | DiskAction::Rewrite(_)
            | DiskAction::Scrub(_) => Ok(()),
        }
    }

    fn forget(&self, op: &DiskOp, is_meant: impl Fn(&SegmentId) -> bool) -> Result<(), DiskError> {
        let Ok(directory) = self.partition(op.partition) else { return Ok(()) };
        let journal = &self.data_dir(directory.log_dir).journal;
        if !journal.is_open() {
            return Ok(());
        }
        let forgotten = journal.forget(is_meant, |segment| self.sync_covered(segment));
        forgotten.map_err(|error| failed("sync the journal for", op.partition)(unsynced(error)))
    }

    /// All logs are at rest: their data directories' journals have nothing more to say.
    pub fn close_journals(&self) {
        for data_dir in self.data_dirs.iter().filter(|it| !it.is_lost()) {
            if data_dir.journal.close(|segment| self.sync_covered(segment)).is_err() {
                data_dir.lose();
            }
        }
    }

    /// A segment was synced by itself.
    pub(super) fn note_sync(&self, partition: TopicPartition) {
        if let Ok(directory) = self.partition(partition) {
            let data_dir = self.data_dir(directory.log_dir);
            data_dir.journal.note_sync(|| data_dir.space());
        }
    }
}

/// Takes what was written since the last sync.
fn read_unsynced(segment: SegmentId, open: &Arc<Open>, stretches: &mut Vec<Stretch>) -> io::Result<()> {
    let Unsynced::Ranges(ranges) = open.begin_sync() else { return Err(io::ErrorKind::Other.into()) };
    for range in ranges {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        if read_fully(&open.file, u64::from(range.start), &mut bytes)? < bytes.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        stretches.push(Stretch { segment, position: range.start, bytes });
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::fs::{self, File};
    use std::os::unix::fs::MetadataExt;
    use std::path::{Path, PathBuf};

    use bytes::Bytes;
    use klamm_model::{Offset, PartitionIndex, TopicId};
    use uuid::Uuid;

    use super::*;
    use crate::disk::OpId;

    thread_local! {
        /// What files had when they were synced last, by their numbers: all of them that is left when the power is cut.
        static SYNCED: RefCell<BTreeMap<u64, Vec<u8>>> = const { RefCell::new(BTreeMap::new()) };
    }

    /// Told of every sync of this thread.
    pub(in super::super) fn note_synced(file: &File) {
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
            let create =
                DiskAction::CreatePartition { log_dir: LogDir(0), directory, topic, base: segment.base };
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
        }

        fn directory_of(&self, segment: SegmentId) -> String {
            let is_its = |topic: &u128| TopicId(Uuid::from_u128(*topic)) == segment.partition.topic;
            format!("topic{}-0", self.topics.iter().position(is_its).expect("one of the three"))
        }

        /// The power goes, and comes back. Of each file there is what it had, or only what was synced.
        fn cut_power(&mut self) {
            for path in files_in(self.dir.path()) {
                let inode = fs::metadata(&path).expect("there").ino();
                if path.extension().is_some_and(|it| it == "log") && self.dice.below(3) > 0 {
                    let synced = SYNCED.with_borrow(|synced| synced.get(&inode).cloned()).unwrap_or_default();
                    fs::write(&path, synced).expect("written");
                }
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

    fn files_in(directory: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(directory).expect("readable").map(|it| it.expect("readable").path());
        entries.flat_map(|it| if it.is_dir() { files_in(&it) } else { vec![it] }).collect()
    }

    #[test]
    fn what_was_synced_is_there_after_the_power_was_cut_and_what_went_does_not_come_back() {
        for seed in 0..40 {
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
}
