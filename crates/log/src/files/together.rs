//! One call that brings what was written to many files to disk.
//!
//! However little a file has that is not on disk, its sync costs the file system a commit of its journal and the disk a flush. `syncfs` does both once for all
//! files; 45 logs with a few hundred bytes each take it a fifth of the time, and a tenth of the processor. It means as much as a sync of each file if
//!
//! - the file system waits for the data, its journal and the disk's own cache, as ext4 does; without a journal it flushes the cache before the inodes are
//!   written, so a sync of the directory comes after it, which flushes again. Others sync file by file: nothing was measured there, and some wait for
//!   less (a file system in user space need not hear of it at all);
//! - it tells of errors. Linux does since 5.8, once to each descriptor, without a word about the file. So one descriptor asks, one call at a time, and after an error
//!   never again: the next call would succeed, whatever was lost. A file's own sync tells of its own error still, and that is what is asked then;
//! - the files are on that file system: a partition's directory may be a mount of its own.
//!
//! The call waits for what anybody else wrote there, too. Whoever makes it looks first how much that is.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use klamm_model::TopicPartition;

use super::{Files, Open, failed, patiently};
use crate::disk::{DiskAction, DiskError, DiskOp, Done, LogDir, SegmentId};

/// `EXT4_SUPER_MAGIC` of Linux, which is that of ext2 and ext3 as well: the same code serves them.
const EXT4: u64 = 0xEF53;

/// The first Linux whose `syncfs` tells of errors.
const TELLS_ERRORS: (u32, u32) = (5, 8);

/// Whether one call is known to bring all of a file system to disk, and to tell if it could not.
#[derive(Debug)]
pub(super) struct Together {
    holds: AtomicBool,
    is_calling: AtomicBool,
}

impl Together {
    /// For the file system that this is on.
    pub(super) fn of(opened: &File) -> Self {
        let is_ext4 = rustix::fs::fstatfs(opened).is_ok_and(|it| it.f_type as u64 == EXT4);
        let system = rustix::system::uname();
        let tells_errors = system.sysname().to_bytes() == b"Linux"
            && release(&system.release().to_string_lossy()).is_some_and(|it| TELLS_ERRORS <= it);
        Self { holds: AtomicBool::new(is_ext4 && tells_errors), is_calling: AtomicBool::new(false) }
    }

    fn holds(&self) -> bool {
        self.holds.load(Ordering::Acquire)
    }

    /// Makes the call, unless an earlier one has failed. Tells whether all is on disk.
    fn call(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<bool> {
        if !self.holds() {
            return Ok(false);
        }
        assert!(!self.is_calling.swap(true, Ordering::AcqRel), "an error is told to one of two calls");
        let result = sync();
        if result.is_err() {
            self.holds.store(false, Ordering::Release);
        }
        self.is_calling.store(false, Ordering::Release);
        result.map(|()| true)
    }
}

/// Of `6.18.44-name` the first two numbers.
fn release(name: &str) -> Option<(u32, u32)> {
    let mut numbers = name.split(|it: char| !it.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

impl Files {
    /// The data directory of a partition, if [`sync_together`](Self::sync_together) is more there than one sync after the other.
    pub fn syncs_together(&self, partition: TopicPartition) -> Option<LogDir> {
        let log_dir = self.partition(partition).ok()?.log_dir;
        self.data_dir(log_dir).together.holds().then_some(log_dir)
    }

    /// Performs syncs of partitions of one data directory, by one call if that can be. The results come in the order of the operations.
    ///
    /// For each data directory the caller makes one such call at a time: an error is told to one of them.
    pub fn sync_together(&self, log_dir: LogDir, ops: &[DiskOp]) -> Vec<Result<Done, DiskError>> {
        let data_dir = self.data_dir(log_dir);
        self.sync_together_by(log_dir, ops, || {
            rustix::fs::syncfs(&data_dir.opened)?;
            data_dir.opened.sync_data()
        })
    }

    fn sync_together_by(
        &self,
        log_dir: LogDir,
        ops: &[DiskOp],
        sync: impl FnOnce() -> io::Result<()>,
    ) -> Vec<Result<Done, DiskError>> {
        // They stay open until they are synced: what is written to an opened file is told of most surely.
        let opened: Vec<_> = ops.iter().map(|op| self.open_for_one(log_dir, op)).collect();
        for open in opened.iter().flatten() {
            open.dirty.store(false, Ordering::Relaxed);
        }
        let data_dir = self.data_dir(log_dir);
        let is_done = !data_dir.is_lost()
            && data_dir.together.call(sync).unwrap_or_else(|error| {
                // It may be of the inodes, of which no file's own sync tells. What is not of the disk, as no room for somebody's file, is of some file.
                data_dir.note(&error);
                false
            });
        let finish = |(op, open): (&DiskOp, &Option<Arc<Open>>)| match (&op.action, open) {
            (DiskAction::Sync { segment }, Some(_)) if is_done => {
                self.guarded(op, || self.settle_segment(*segment).map(|()| Done::Nothing))
            }
            _ => self.perform(op),
        };
        ops.iter().zip(&opened).map(finish).collect()
    }

    /// The file that this operation syncs, if a call for the data directory is good for it.
    fn open_for_one(&self, log_dir: LogDir, op: &DiskOp) -> Option<Arc<Open>> {
        let DiskAction::Sync { segment } = op.action else { return None };
        let is_there = self.partition(op.partition).is_ok_and(|it| it.log_dir == log_dir);
        let open = is_there.then(|| patiently(|| self.open_segment(segment)).ok()).flatten()?;
        let device = open.file.metadata().ok()?.dev();
        (device == self.data_dir(log_dir).device()).then_some(open)
    }

    /// The entries that lead to a synced segment are brought to disk, if they are not known to be there.
    pub(super) fn settle_segment(&self, segment: SegmentId) -> Result<(), DiskError> {
        let directory = self.partition(segment.partition).map_err(failed("find", segment))?;
        if directory.settled_below.load(Ordering::Acquire) <= segment.base.raw() {
            self.settle(segment.partition).map_err(failed("sync the directory of", segment))?;
            directory.settled_below.fetch_max(segment.base.raw().saturating_add(1), Ordering::AcqRel);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use klamm_model::{LeaderEpoch, PartitionIndex};

    use super::*;
    use crate::Log;
    use crate::tests::{PARTITION, batch, config};

    #[test]
    fn the_kernel_is_old_enough_or_not() {
        for (name, enough) in [("6.18.44-fc-v657", true), ("5.8", true), ("5.7.19", false), ("4.4.0", false)]
        {
            assert_eq!(release(name).is_some_and(|it| TELLS_ERRORS <= it), enough, "{name}");
        }
        assert_eq!((release("unknown"), release("6")), (None, None));
    }

    /// Four logs, the last of which is in another data directory, with a written record each, and the syncs that are to follow.
    fn written(files: &Files) -> (Vec<Log>, Vec<DiskOp>) {
        let (mut logs, mut syncs) = (Vec::new(), Vec::new());
        for number in 0..4 {
            let partition = TopicPartition { partition: PartitionIndex(number), ..PARTITION };
            let mut ops = Vec::new();
            let log_dir = LogDir(u16::from(number == 3));
            let mut log =
                Log::create_in(log_dir, partition, format!("some-topic-{number}"), config(), &mut ops);
            let (valid, bytes) = batch(2, 0, None);
            log.append_as_leader(LeaderEpoch(3), &valid, bytes, &mut ops).expect("appended");
            while let Some(op) = ops.pop() {
                if matches!(op.action, DiskAction::Sync { .. }) {
                    syncs.push(op);
                } else {
                    log.done(op.id, files.perform(&op), &mut ops);
                }
            }
            logs.push(log);
        }
        (logs, syncs)
    }

    fn synced(logs: &mut [Log], syncs: &[DiskOp], results: Vec<Result<Done, DiskError>>) -> Vec<bool> {
        let end = |(log, (op, result)): (&mut Log, (&DiskOp, Result<Done, DiskError>))| {
            log.done(op.id, result, &mut Vec::new()).synced == Some(log.end())
        };
        logs.iter_mut().zip(syncs.iter().zip(results)).map(end).collect()
    }

    fn two_dirs() -> ([tempfile::TempDir; 2], Files) {
        let dirs = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
        let files = Files::open_all(&dirs.each_ref().map(|it| it.path().to_owned())).expect("opened");
        // Whatever file system the tests run on.
        files.data_dirs().iter().for_each(|it| it.together.holds.store(true, Ordering::Release));
        (dirs, files)
    }

    #[test]
    fn all_of_a_data_directory_are_synced_by_one_call_and_who_is_elsewhere_by_its_own() {
        let (_dirs, files) = two_dirs();
        let (mut logs, syncs) = written(&files);
        let mut calls = 0;
        let results = files.sync_together_by(LogDir(0), &syncs, || {
            calls += 1;
            Ok(())
        });
        assert_eq!(synced(&mut logs, &syncs, results), [true; 4]);
        assert_eq!(calls, 1);
        assert!(
            syncs
                .iter()
                .all(|it| files.partition(it.partition).is_ok_and(|it| it.settled.load(Ordering::Acquire)))
        );
        assert_eq!(files.syncs_together(logs[3].partition()), Some(LogDir(1)));
        let again = files.sync_together(LogDir(0), &syncs);
        assert!(again.iter().all(Result::is_ok), "{again:?}");
    }

    #[test]
    fn after_an_error_each_is_synced_by_its_own_and_tells_of_its_own_error() {
        let (_dirs, files) = two_dirs();
        let (mut logs, syncs) = written(&files);
        let results = files.sync_together_by(LogDir(0), &syncs, || Err(io::Error::other("of some file")));
        assert_eq!(synced(&mut logs, &syncs, results), [true; 4]);
        assert_eq!(files.syncs_together(logs[0].partition()), None);
    }

    #[test]
    fn an_error_of_the_disk_is_one_of_all_that_is_on_it() {
        let (_dirs, files) = two_dirs();
        let (_, syncs) = written(&files);
        let results = files.sync_together_by(LogDir(0), &syncs, || Err(rustix::io::Errno::IO.into()));
        assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, false, false, true]);
        assert!(files.data_dirs()[0].is_lost() && !files.data_dirs()[1].is_lost());
        let results =
            files.sync_together_by(LogDir(0), &syncs[..3], || panic!("nothing is tried there any more"));
        assert!(results.iter().all(|it| matches!(it, Err(DiskError::NotTried(_)))), "{results:?}");
    }

    #[test]
    fn who_was_told_of_an_error_never_asks_for_all_again() {
        let together = Together { holds: AtomicBool::new(true), is_calling: AtomicBool::new(false) };
        assert!(together.call(|| Ok(())).is_ok_and(|is_done| is_done) && together.holds());
        assert!(together.call(|| Err(io::Error::other("of some file"))).is_err() && !together.holds());
        let again = together.call(|| panic!("the next call would succeed, and mean nothing"));
        assert!(again.is_ok_and(|is_done| !is_done));
    }
}
