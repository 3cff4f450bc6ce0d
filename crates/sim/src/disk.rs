//! A machine's disk: what is written, what of it is on the platter, and what a crash leaves.
//!
//! An operation is a row of [steps](steps), as `klamm_log::Files` makes them over a file system, and each promises as little as there: a write is on the
//! platter after a sync of its file that *began* after the write ended, a name after a sync of its directory. Everything else may be lost, kept or torn when the
//! power goes, in any combination.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use bytes::Bytes;
use klamm_log::{
    CleanShutdown, DiskAction, DiskError, DiskOp, Done, LogDir, LogFiles, MoveStep, OpId, Prefix, SegmentId,
    Space,
};
use klamm_model::TopicPartition;

use crate::{
    dice::Dice,
    timeline::{MS, Timeline},
};

mod compaction;
mod damage;
mod directory;
mod moving;
mod steps;

use damage::Hurt;
pub use damage::{Damage, Flip};
use directory::Directory;
use steps::Step;

/// As large as a disk is that has room without end.
const PLENTY: u64 = 1 << 40;

/// What the disk does wrong on purpose, to see that the checkers notice.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DiskSabotage {
    /// Says that it synced and did not.
    pub fsync_lies: bool,
    /// Stores batches as the producer sent them, without the offset and the epoch that the log gave them.
    pub forgets_offsets: bool,
    /// Syncs again where a sync failed, and says that all is well.
    pub retries_sync: bool,
    /// Tells that a sync begins when it ends.
    pub tells_late: bool,
    /// Breaks a rule of compaction while it writes segments anew.
    pub compaction: Option<klamm_log::compact::Sabotage>,
    /// Puts a compacted segment in place without the name that says that it counts.
    pub swaps_carelessly: bool,
    /// Puts the copy of a log that moves in its place without the mark that says that it counts.
    pub moves_carelessly: bool,
    /// Writes beside each durable point that nothing is deleted.
    pub forgets_log_start: bool,
    /// A start is shown checksums that are right, whatever the records are.
    pub mends_checksums: bool,
    /// Writes indexes that lead elsewhere.
    pub flips_indexes: bool,
    /// A start is not shown what is known to be damaged.
    pub forgets_damage: bool,
    /// A start is shown nothing behind a damaged batch.
    pub cuts_at_damage: bool,
    /// Where the durable point is damaged, the epochs are gone too.
    pub forgets_epochs: bool,
    /// The files of a deleted partition stay, and whoever comes after it gets them.
    pub keeps_deleted: bool,
    /// Compaction is shown checksums that are right.
    pub mends_for_compaction: bool,
}

/// What is wrong with the disk at the moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Illness {
    /// Writes find no room, most of the time.
    pub full: bool,
    /// The next sync fails.
    pub fails_sync: bool,
    /// Writes in this directory fail.
    pub fails_writes: Option<LogDir>,
    /// Reads of records fail.
    pub fails_reads: bool,
    /// Everything takes this many times longer.
    pub slowness: u64,
    /// A sync takes so much longer, in microseconds.
    pub sync_delay: u64,
}

/// How much a crash takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loss {
    /// The process ended; what it wrote is in the page cache.
    Process,
    /// The machine lost power: of what was not synced, some is there and some is not.
    Power,
    /// The same, and nothing that was not synced is there.
    AllUnsynced,
}

/// A directory's name, and the data directory it is in.
type Place = (String, LogDir);

/// One machine's disk.
#[derive(Default)]
pub struct Disk {
    directories: BTreeMap<Place, Directory>,
    names: BTreeMap<TopicPartition, Place>,
    /// Of the segments that were swapped since the start.
    versions: BTreeMap<SegmentId, u32>,
    jobs: BTreeMap<u64, Job>,
    next_job: u64,
    next_change: u64,
    /// What is wrong with it.
    pub illness: Illness,
    /// How much there is room for, in each data directory; `None`: without end.
    pub capacity: Option<u64>,
    /// Data directories of which the process has been told that they are lost.
    lost: BTreeSet<LogDir>,
    /// Markers of a clean stop.
    markers: BTreeMap<LogDir, CleanShutdown>,
    /// The machine stops after so many more steps, in the middle of the next one if that writes.
    pub steps_left: Option<u64>,
    /// Steps made so far.
    pub step_count: u64,
    sabotage: DiskSabotage,
    has_failed_sync: bool,
    hurt: BTreeMap<TopicPartition, Hurt>,
    /// Compaction wrote a damaged segment anew.
    pub rewrote_damaged: Option<String>,
}

/// An operation under way.
struct Job {
    op: DiskOp,
    /// Changes that existed when it began; a sync covers these.
    changes_before: u64,
    fails: Option<DiskError>,
}

/// A partition's directory, as a starting node finds it.
pub struct Found {
    /// Whose it is, where that could be read.
    pub partition: Option<TopicPartition>,
    /// Its name.
    pub directory: String,
    /// The data directory it is in.
    pub log_dir: LogDir,
}

impl Disk {
    /// A new, empty disk.
    pub fn new(sabotage: DiskSabotage) -> Self {
        Self { sabotage, ..Self::default() }
    }

    /// How long an operation waits for a thread before it begins. Syncs do at times: many of them come together.
    pub fn wait_for(op: &DiskOp, dice: &mut Dice) -> Option<u64> {
        let waits = matches!(op.action, DiskAction::Sync { .. }) && dice.chance(50);
        waits.then(|| if dice.chance(10) { dice.between(4 * MS, 40 * MS) } else { dice.between(20, 4 * MS) })
    }

    /// Takes an operation. It ends after the returned time, by [`Self::end`] with the returned number.
    pub fn begin<W>(&mut self, op: DiskOp, timeline: &mut Timeline<W>) -> (u64, u64) {
        let dice = &mut timeline.dice;
        let is_sync = matches!(op.action, DiskAction::Sync { .. } | DiskAction::Truncate { .. });
        let duration = match &op.action {
            DiskAction::Write { .. } if dice.chance(30) => 1,
            DiskAction::Write { .. } => dice.between(5, 400),
            DiskAction::Sync { .. } if dice.chance(5) => dice.between(5 * MS, 60 * MS),
            DiskAction::Sync { .. } => dice.between(MS / 5, 4 * MS),
            DiskAction::Move(_) => dice.between(MS, 30 * MS),
            _ => dice.between(50, 3 * MS),
        };
        let fails = self.failure(&op, timeline);
        let job = self.next_job;
        self.next_job += 1;
        self.jobs.insert(job, Job { op, changes_before: self.next_change, fails });
        let delay = if is_sync { self.illness.sync_delay } else { 0 };
        (job, duration * self.illness.slowness.max(1) + delay)
    }

    fn failure<W>(&mut self, op: &DiskOp, timeline: &mut Timeline<W>) -> Option<DiskError> {
        let log_dir = self.log_dir_of(op);
        if self.lost.contains(&log_dir) {
            return Some(DiskError::NotTried("the data directory has failed".to_owned()));
        }
        match &op.action {
            DiskAction::Move(it) if it.step == MoveStep::Clear => None,
            // A cut syncs too.
            DiskAction::Sync { .. } | DiskAction::Truncate { .. } | DiskAction::Move(_)
                if self.illness.fails_sync =>
            {
                self.illness.fails_sync = false;
                self.has_failed_sync = true;
                timeline.coverage.count("disk: failed sync");
                Some(DiskError::Unsynced("the sync failed".to_owned()))
            }
            DiskAction::Write { .. }
            | DiskAction::Move(_)
            | DiskAction::CreateSegment { .. }
            | DiskAction::Seal { .. }
            | DiskAction::Note { .. }
            | DiskAction::Rewrite(_)
            | DiskAction::Swap { .. }
            | DiskAction::WriteCheckpoint { .. } => {
                if self.illness.fails_writes == Some(log_dir) {
                    timeline.coverage.count("disk: failed write");
                    return Some(DiskError::Io("input/output error".to_owned()));
                }
                let room = self.capacity.map(|capacity| capacity.saturating_sub(self.used(log_dir)));
                let is_full = self.illness.full && timeline.dice.chance(70);
                if is_full || room.is_some_and(|room| room < size_of(&op.action)) {
                    timeline.coverage.count("disk: full");
                    return Some(DiskError::Full);
                }
                None
            }
            _ => None,
        }
    }

    /// How much room there is in the first so many data directories, as a broker is told that looks.
    pub fn spaces(&self, count: u16) -> Vec<Option<Space>> {
        let space = |number| {
            let total_bytes = self.capacity.unwrap_or(PLENTY);
            let room = total_bytes.saturating_sub(self.used(LogDir(number)));
            Some(Space { total_bytes, free_bytes: if self.illness.full { 0 } else { room } })
        };
        (0..count).map(space).collect()
    }

    /// How much is in a data directory.
    pub fn used(&self, log_dir: LogDir) -> u64 {
        self.directories.values().filter(|it| it.log_dir == log_dir).map(Directory::size).sum()
    }

    /// Nothing that is in this data directory answers any more, until the process starts anew.
    pub fn lose(&mut self, log_dir: LogDir) -> bool {
        self.lost.insert(log_dir)
    }

    /// All that is in a data directory is gone, while nobody uses it.
    pub fn wipe(&mut self, log_dir: LogDir) {
        self.directories.retain(|_, it| it.log_dir != log_dir);
        self.markers.remove(&log_dir);
    }

    /// The partitions in a data directory.
    pub fn partitions_in(&self, log_dir: LogDir) -> impl Iterator<Item = TopicPartition> {
        self.directories.values().filter(move |it| it.log_dir == log_dir).filter_map(|it| it.partition)
    }

    /// Whether the process has been told that a data directory is lost.
    pub fn has_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    /// The data directory that an operation is about.
    pub fn log_dir_of(&self, op: &DiskOp) -> LogDir {
        match &op.action {
            DiskAction::CreatePartition { log_dir, .. } => *log_dir,
            DiskAction::Move(it) => it.to,
            _ => self.directory_of(op.partition).map_or(LogDir::default(), |directory| directory.log_dir),
        }
    }

    /// The operation that is to end under this number.
    pub fn op_of(&self, job: u64) -> Option<&DiskOp> {
        self.jobs.get(&job).map(|job| &job.op)
    }

    /// An operation that was begun ends now.
    pub fn end(&mut self, job: u64, dice: &mut Dice) -> (TopicPartition, OpId, Result<Done, DiskError>) {
        let Job { op, changes_before, fails } = self.jobs.remove(&job).expect("an operation ends once");
        let (partition, id) = (op.partition, op.id);
        if fails.is_none()
            && let Some(problem) = self.hindrance(&op)
        {
            return (partition, id, Err(DiskError::Io(problem.to_owned())));
        }
        let result = match (fails, &op.action) {
            (Some(_), DiskAction::Sync { .. }) if self.sabotage.retries_sync => {
                self.fail(&op, &DiskError::Unsynced(String::new()), changes_before, dice);
                Ok(Done::Nothing)
            }
            (Some(error), _) => {
                self.fail(&op, &error, changes_before, dice);
                Err(error)
            }
            (None, DiskAction::MapKeys(job)) => {
                let done = self.map_keys(job);
                self.perform(&op, changes_before);
                done
            }
            (None, DiskAction::Rewrite(job)) => self.rewrite_segments(partition, job),
            (None, DiskAction::Scrub(job)) => {
                let mut read = |segment, kind, position, buffer: &mut [u8]| {
                    self.read_at(segment, kind, position, buffer)
                };
                let scrubbed = klamm_log::scrub(job, &mut read);
                scrubbed
                    .map(|it| Done::Scrubbed(Box::new(it)))
                    .map_err(|error| DiskError::Io(error.to_string()))
            }
            (None, _) => {
                self.perform(&op, changes_before);
                Ok(Done::Nothing)
            }
        };
        (partition, id, result)
    }

    fn directory_of(&self, partition: TopicPartition) -> Option<&Directory> {
        self.names.get(&partition).and_then(|name| self.directories.get(name))
    }

    fn perform(&mut self, op: &DiskOp, changes_before: u64) {
        let steps = self.steps(op);
        if let DiskAction::Swap { segment, replaced } = &op.action {
            let gone = replaced.iter().chain([&segment.id]);
            self.versions.extend(gone.map(|id| (*id, segment.version)));
        }
        if let DiskAction::CreateSegment { segment } = &op.action {
            self.versions.remove(segment);
        }
        if op.action == DiskAction::DeletePartition {
            self.versions.retain(|segment, _| segment.partition != op.partition);
        }
        self.take(op.partition, steps, changes_before);
        let is_halted = self.is_halted();
        let directory = self.names.get(&op.partition).and_then(|name| self.directories.get_mut(name));
        match (&op.action, directory) {
            _ if is_halted => {}
            (DiskAction::Sync { segment }, Some(directory)) => {
                directory.is_settled = true;
                directory.settled_below = directory.settled_below.max(segment.base.advance(1));
            }
            (DiskAction::Truncate { .. }, Some(directory)) => directory.is_settled = true,
            (DiskAction::CreateSegment { segment }, Some(directory)) => {
                directory.settled_below = directory.settled_below.min(segment.base);
            }
            _ => {}
        }
    }

    /// Whether the machine has stopped.
    pub fn is_halted(&self) -> bool {
        self.steps_left == Some(0)
    }

    fn take(
        &mut self,
        partition: TopicPartition,
        steps: impl IntoIterator<Item = Step>,
        changes_before: u64,
    ) {
        let mut place = self.names.get(&partition).cloned();
        for step in steps {
            if self.is_halted() {
                return;
            }
            let mut step = step;
            if step.is_call() {
                self.step_count += 1;
                if let Some(left) = &mut self.steps_left {
                    *left -= 1;
                    step = if *left == 0 { step.torn(|size| size / 2) } else { step };
                }
            }
            self.step(partition, &mut place, step, changes_before);
        }
    }

    /// One step, in the directory at `place`.
    fn step(
        &mut self,
        partition: TopicPartition,
        place: &mut Option<Place>,
        step: Step,
        changes_before: u64,
    ) {
        if let Step::Enter(to) = step {
            return *place = Some(to);
        }
        let Some(here) = place else { return };
        match step {
            Step::Sync { .. } if self.sabotage.fsync_lies => {}
            Step::Adopt => drop(self.names.insert(partition, here.clone())),
            Step::MakeDirectory => {
                let made = self.directories.entry(here.clone()).or_default();
                (made.partition, made.log_dir) = (Some(partition), here.1);
            }
            Step::RemoveDirectory => {
                self.directories.remove(here);
                self.names.retain(|_, place| place != here);
            }
            Step::Call(name) => {
                let Some(mut directory) = self.directories.remove(here) else { return };
                let old = std::mem::replace(&mut here.0, name);
                directory.durable_name.get_or_insert(old);
                self.directories.insert(here.clone(), directory);
            }
            step => {
                let number = self.next_change;
                self.next_change += 1;
                if let Some(directory) = self.directories.get_mut(here) {
                    directory.step(step, number, changes_before);
                }
            }
        }
    }

    fn stored(&self, prefix: Option<Prefix>, body: Bytes) -> Bytes {
        match prefix.filter(|_| !self.sabotage.forgets_offsets) {
            Some(prefix) => [&prefix[..], &body[prefix.len()..]].concat().into(),
            None => body,
        }
    }

    /// What an operation that fails leaves: some of its steps, and what a sync that failed was to bring to the platter is forgotten.
    fn fail(&mut self, op: &DiskOp, error: &DiskError, changes_before: u64, dice: &mut Dice) {
        let steps = self.steps(op);
        let sync = steps.iter().position(|step| matches!(step, Step::Sync { .. }));
        let (done, forgotten) = match (&op.action, error) {
            (_, DiskError::NotTried(_)) => (0, None),
            (_, DiskError::Unsynced(_)) => (sync.unwrap_or(0), sync),
            // It may stop anywhere on its way, unless it has to be as if it had not begun.
            (DiskAction::Move(_), DiskError::Io(_)) => (dice.index(steps.len() + 1), None),
            _ => (dice.index(sync.unwrap_or(steps.len()) + 1), None),
        };
        self.take_some(op.partition, &steps, done, changes_before, dice);
        let entered = steps[..done].iter().rev().find_map(|step| match step {
            Step::Enter(place) => Some(place),
            _ => None,
        });
        if let Some(Step::Sync { name, is_late }) = forgotten.and_then(|at| steps.get(at))
            && let Some(place) = entered.or(self.names.get(&op.partition))
            && let Some(directory) = self.directories.get_mut(place)
        {
            directory.forget(name, if *is_late { u64::MAX } else { changes_before }, dice);
        }
    }

    /// The first steps, and a part of the next one if that writes.
    fn take_some(
        &mut self,
        partition: TopicPartition,
        steps: &[Step],
        count: usize,
        changes_before: u64,
        dice: &mut Dice,
    ) {
        let torn = steps.get(count).filter(|step| matches!(step, Step::Write { .. }));
        let torn = torn.map(|step| step.clone().torn(|size| dice.index(size + 1)));
        self.take(partition, steps[..count].iter().cloned().chain(torn), changes_before);
    }

    /// The process ends, with or without the machine. Nothing that is under way is told to anybody any more.
    pub fn crash(&mut self, loss: Loss, dice: &mut Dice) {
        let loss = if self.has_failed_sync && loss == Loss::Process { Loss::Power } else { loss };
        for (_, job) in std::mem::take(&mut self.jobs) {
            let Job { op, changes_before, fails } = job;
            let is_known = self.names.contains_key(&op.partition)
                || matches!(op.action, DiskAction::CreatePartition { .. });
            // What would be refused is not begun either: a directory that is another topic's is not touched.
            if is_known && fails.is_none() && self.hindrance(&op).is_none() {
                let steps = self.steps(&op);
                let count = dice.index(steps.len() + 1);
                self.take_some(op.partition, &steps, count, changes_before, dice);
            }
        }
        if loss != Loss::Process {
            self.lose_power(loss == Loss::Power, dice);
        }
        self.directories.retain(|_, directory| directory.leaving.is_none());
        self.directories.values_mut().for_each(Directory::unsettle);
        self.names.clear();
        self.versions.clear();
        self.lost.clear();
        self.steps_left = None;
        self.has_failed_sync &= loss == Loss::Process;
    }

    /// Whether the page cache may hold what will never get to the platter.
    pub fn has_failed_sync(&self) -> bool {
        self.has_failed_sync
    }

    fn lose_power(&mut self, keeps_some: bool, dice: &mut Dice) {
        for (mut place, mut directory) in std::mem::take(&mut self.directories) {
            let is_kept = directory.is_durable || (keeps_some && dice.chance(50));
            if !is_kept {
                continue;
            }
            let former = directory.durable_name.take();
            if let Some(former) = former.filter(|_| !keeps_some || dice.chance(50)) {
                place.0 = former;
            }
            // A deletion whose new name did not get to the platter has not begun.
            directory.leaving.take_if(|is_certain| !*is_certain && (!keeps_some || dice.chance(50)));
            directory.is_durable = true;
            directory.lose(keeps_some, dice);
            self.directories.insert(place, directory);
        }
    }

    /// What a starting node finds.
    pub fn found(&self) -> Vec<Found> {
        let found = |((name, _), directory): (&Place, &Directory)| Found {
            // The file says which topic it is; it was written from what this remembers.
            partition: directory.partition.filter(|partition| directory.is_whose(*partition)),
            directory: name.clone(),
            log_dir: directory.log_dir,
        };
        // A crash while it was made leaves a directory of nobody.
        let is_something = |directory: &Directory| {
            directory.has_records() || directory.partition.is_some_and(|it| directory.is_whose(it))
        };
        self.directories.iter().filter(|(_, it)| is_something(it)).map(found).collect()
    }

    /// A directory with records of which nothing says whose they are goes, unless somebody damaged it: the power was lost before it was settled, and so before
    /// anything in it counted.
    pub fn clear_unsettled(&mut self, found: &Found) -> bool {
        let place = (found.directory.clone(), found.log_dir);
        let partition = self.directories.get(&place).and_then(|it| it.partition);
        let is_unsettled = found.partition.is_none() && partition.is_some_and(|it| self.hurt(it).is_none());
        if is_unsettled {
            self.directories.remove(&place);
        }
        is_unsettled
    }

    /// From now on operations of this partition go to that directory. What a crash interrupted in a swap of segments is done.
    pub fn adopt(&mut self, partition: TopicPartition, log_dir: LogDir, directory: &str) {
        let place = &(directory.to_owned(), log_dir);
        self.names.insert(partition, place.clone());
        self.finish_swaps(partition);
        if self.sabotage.mends_checksums {
            self.mend_checksums(place);
        }
        if self.sabotage.forgets_damage {
            self.forget_damage(place);
        }
        if self.sabotage.cuts_at_damage {
            self.cut_at_damage(place);
        }
    }

    /// A view for recovery.
    pub fn view(&self, partition: TopicPartition) -> Option<DirectoryView<'_>> {
        self.directory_of(partition).map(DirectoryView)
    }

    /// The segments of a partition as whoever reads sees them: base offset and bytes, in order.
    pub fn segments(&self, partition: TopicPartition) -> Vec<(i64, &[u8])> {
        let logs = self.directory_of(partition).into_iter().flat_map(Directory::names);
        logs.filter_map(|(name, bytes)| Some((name.strip_suffix(".log")?.parse().ok()?, bytes))).collect()
    }

    /// The last thing that a process writes to a data directory.
    pub fn leave(&mut self, log_dir: LogDir, marker: CleanShutdown) {
        self.markers.insert(log_dir, marker);
    }

    /// Who stopped last with everything on disk in each of so many data directories; the markers go.
    pub fn take_markers(&mut self, count: u16) -> Option<CleanShutdown> {
        let markers = std::mem::take(&mut self.markers);
        let first = markers.get(&LogDir(0)).copied()?;
        (0..count).all(|number| markers.get(&LogDir(number)) == Some(&first)).then_some(first)
    }
}

/// How much more room an operation takes, about.
fn size_of(action: &DiskAction) -> u64 {
    let size = match action {
        DiskAction::Write { body, .. } => body.len(),
        DiskAction::Seal { index, times, aborted, producers, .. } => {
            index.len() + times.len() + aborted.len() + producers.len()
        }
        DiskAction::Note { entries, aborted, producers, .. } => {
            entries.len() + aborted.len() + producers.len()
        }
        DiskAction::WriteCheckpoint { contents, .. } => contents.len(),
        DiskAction::Move(it) => match it.step {
            MoveStep::Copy { size, .. } => size as usize,
            _ => 1,
        },
        DiskAction::Rewrite(job) => job.sources.iter().map(|source| source.size as usize).sum(),
        _ => 1,
    };
    size as u64
}

fn read(directory: &Directory, name: &str, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let bytes = directory.bytes(name).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    let from = usize::try_from(position).unwrap_or(usize::MAX).min(bytes.len());
    let size = buffer.len().min(bytes.len() - from);
    buffer[..size].copy_from_slice(&bytes[from..from + size]);
    Ok(size)
}

/// One directory, for recovery.
pub struct DirectoryView<'a>(&'a Directory);

impl LogFiles for DirectoryView<'_> {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        Ok(self.0.names().map(|(name, bytes)| (name.clone(), bytes.len() as u64)).collect())
    }

    fn read_at(&self, name: &str, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        read(self.0, name, position, buffer)
    }
}

#[cfg(test)]
mod tests {
    use klamm_model::{Offset, PartitionIndex, TopicId};
    use uuid::Uuid;

    use super::*;

    /// A node that goes live on an old image wants to make the directory of a topic that is gone, and another one of the same name has it.
    #[test]
    fn a_crash_does_not_let_a_topic_take_the_directory_of_another() {
        for seed in 0..20 {
            let mut timeline: Timeline<()> = Timeline::new(seed, false);
            let mut disk = Disk::new(DiskSabotage::default());
            let [one, other] = [1, 2].map(|id| TopicPartition {
                topic: TopicId(Uuid::from_u128(id)),
                partition: PartitionIndex(0),
            });
            let create = |partition: TopicPartition| DiskAction::CreatePartition {
                log_dir: LogDir(0),
                directory: "renewed-0".to_owned(),
                topic: partition.topic,
                base: Offset::ZERO,
            };
            let segment = SegmentId { partition: one, base: Offset::ZERO };
            let body = Bytes::from_static(b"records");
            let write = DiskAction::Write { segment, position: 0, prefix: None, body };
            for (id, action) in [(1, create(one)), (2, write)] {
                let (job, _) = disk.begin(DiskOp { partition: one, id: OpId(id), action }, &mut timeline);
                assert!(disk.end(job, &mut timeline.dice).2.is_ok());
            }
            disk.begin(DiskOp { partition: other, id: OpId(1), action: create(other) }, &mut timeline);
            disk.crash(Loss::Process, &mut timeline.dice);
            let found = disk.found();
            assert_eq!(found.iter().map(|it| it.partition).collect::<Vec<_>>(), [Some(one)]);
            disk.adopt(one, LogDir(0), "renewed-0");
            assert_eq!(disk.segments(one), [(0, &b"records"[..])]);
        }
    }
}
