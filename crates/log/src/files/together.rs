//! Syncs of several segments of one data directory, by its journal where that is less work.

use std::sync::Arc;

use super::journal::Stretch;
use super::open::{Open, Unsynced};
use super::{Files, failed, io, is_unsynced, patiently, read_fully, unsynced};
use crate::disk::{DiskAction, DiskError, DiskOp, Done, LogDir, MoveStep, SegmentId};

/// A page: where more is to be synced, writing it twice costs more than is spared (measured with 8 KiB at a time).
const STRETCH_BYTES_MAX: u32 = 4 << 10;
/// A journal has something of so many segments at most.
const COVERED_MAX: usize = 512;
/// What is written while a sync waits goes with it.
const GROWN_BYTES_MAX: u32 = 4 * STRETCH_BYTES_MAX;

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
        // What goes by the journal is synced by itself only later, and its file should be open until then.
        let count_max = COVERED_MAX.min(self.open.count_max() / 4);
        if !self.data_dir(log_dir).journal.takes(segment, count_max) {
            return None;
        }
        let size = self.open_segment(segment).ok()?.unsynced_size()?;
        (size <= STRETCH_BYTES_MAX).then_some(log_dir)
    }

    /// Performs syncs of partitions of one data directory. The results come in the order of the operations.
    pub fn sync_together(&self, log_dir: LogDir, ops: &[DiskOp]) -> Vec<Result<Done, DiskError>> {
        if let [op] = ops {
            // Nobody shares it: its own sync costs the same, and leaves nothing to do.
            return vec![self.perform(op)];
        }
        let mut stretches = Vec::new();
        let ways: Vec<Way> = ops.iter().map(|op| self.way_of(log_dir, op, &mut stretches)).collect();
        let appended = match self.data_dir(log_dir) {
            data_dir if data_dir.is_lost() || stretches.is_empty() => Ok(false),
            data_dir => data_dir.journal.append(&stretches, |segment| self.sync_covered(segment)),
        };
        let appended = appended.map_err(|error| {
            self.data_dir(log_dir).lose();
            failed("sync the journal of", log_dir)(error)
        });
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
        if open.unsynced_size().is_none_or(|size| GROWN_BYTES_MAX < size) {
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
            Ok(open) => {
                open.sync()?;
                // Somebody else's sync of it was told that it could not be, perhaps, and the file opened anew since.
                let directory = self.partition(segment.partition);
                match directory.is_ok_and(|it| self.data_dir(it.log_dir).is_lost()) {
                    true => Err(unsynced(io::Error::other("the data directory has failed"))),
                    false => Ok(()),
                }
            }
            // It was removed by hand perhaps: a start would find nothing to put anything back into. But if all of the directory is elsewhere it will be found there.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let directory = self.partition(segment.partition);
                match directory.is_ok_and(|it| !self.data_dir(it.log_dir).is_in_place()) {
                    true => Err(unsynced(error)),
                    false => Ok(()),
                }
            }
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
            DiskAction::Move(_) | DiskAction::DeletePartition => {
                self.forget(op, |it| it.partition == op.partition)
            }
            // It may be remembered elsewhere, in a data directory that has failed.
            DiskAction::CreatePartition { log_dir, .. } => {
                self.forget_in(*log_dir, op, |it| it.partition == op.partition)
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
        self.forget_in(directory.log_dir, op, is_meant)
    }

    fn forget_in(
        &self,
        log_dir: LogDir,
        op: &DiskOp,
        is_meant: impl Fn(&SegmentId) -> bool,
    ) -> Result<(), DiskError> {
        let data_dir = self.data_dir(log_dir);
        if !data_dir.journal.is_open() {
            return Ok(());
        }
        if data_dir.is_lost() {
            return Err(DiskError::NotTried(format!(
                "the data directory {} has failed",
                data_dir.path.display()
            )));
        }
        let forgotten = data_dir.journal.forget(is_meant, |segment| self.sync_covered(segment));
        forgotten.map_err(|error| match failed("sync the journal for", op.partition)(error) {
            DiskError::Unsynced(problem) => {
                data_dir.lose();
                // A move is from here to another data directory, which has not failed.
                DiskError::Io(problem)
            }
            other => other,
        })
    }

    /// All logs are at rest: their data directories' journals have nothing more to say.
    pub fn close_journals(&self) {
        for data_dir in self.data_dirs.iter().filter(|it| !it.is_lost() && it.is_in_place()) {
            if data_dir.journal.close(|segment| self.sync_covered(segment)).is_err() {
                // Then it is not said that all is in its place.
                data_dir.lose();
            }
        }
    }

    /// Syncs have been made by themselves, and so it may pay to make a journal for others like them.
    pub fn note_sync(&self, op: &DiskOp) {
        if let (DiskAction::Sync { .. }, Ok(directory)) = (&op.action, self.partition(op.partition)) {
            let data_dir = self.data_dir(directory.log_dir);
            let space = || match data_dir.is_in_place() {
                true => data_dir.space(),
                false => Err(io::ErrorKind::NotFound.into()),
            };
            if data_dir.journal.note_sync(space).is_err_and(|error| is_unsynced(&error)) {
                data_dir.lose();
            }
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
pub(super) mod tests;
