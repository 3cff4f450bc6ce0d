//! The files of a pass of compaction; see [`compact`] for the order of things.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use klamm_model::Offset;

use super::{
    DirectoryFiles, Files, failed, options, remove_file, sync_directory, unsynced, write_file, write_lock,
};
use crate::compact::{self, CompactError, FileStep, MapKeys, Rewrite, Rewritten};
use crate::disk::{Damage, DiskError, Done, FileKind, SegmentId, SegmentVersion};

impl Files {
    pub(super) fn map_keys(&self, job: &MapKeys) -> Result<Done, DiskError> {
        if let Some(source) = job.sources.first() {
            let partition = source.segment.id.partition;
            let directory = self.partition(partition).map_err(failed("find", partition))?;
            remove_cleaned(&directory.path).map_err(failed("clear", &directory.path))?;
        }
        let mut read = |segment, kind, position, buffer: &mut [u8]| {
            self.read_in_background(segment, kind, position, buffer)
        };
        compact::map_keys(job, &mut read).map(|keys| Done::Keys(keys.into())).or_else(ended)
    }

    pub(super) fn rewrite(&self, job: &Rewrite) -> Result<Done, DiskError> {
        let segment = job.sources[0].segment.id;
        let path = |kind| self.path(segment, kind).map(|path| with(&path, compact::CLEANED));
        let log = path(FileKind::Log).map_err(failed("find", segment))?;
        let index = path(FileKind::Index).map_err(failed("find", segment))?;
        let times = path(FileKind::TimeIndex).map_err(failed("find", segment))?;
        let aborted = path(FileKind::Aborted).map_err(failed("find", segment))?;
        let written = self.write_cleaned(job, &log, [&index, &times, &aborted]);
        // One that is as the old ones were is not needed, nor is half of one.
        if !matches!(written, Ok(Rewritten { is_changed: true, .. })) {
            remove_file(&log).map_err(failed("remove", &log))?;
        }
        written.map(|rewritten| Done::Rewritten(Box::new(rewritten))).or_else(ended)
    }

    fn write_cleaned(
        &self,
        job: &Rewrite,
        log: &Path,
        indexes: [&Path; 3],
    ) -> Result<Rewritten, CompactError> {
        let file =
            options().write(true).create(true).truncate(true).open(log).map_err(CompactError::Write)?;
        let mut read = |segment, kind, position, buffer: &mut [u8]| {
            self.read_in_background(segment, kind, position, buffer)
        };
        let mut position = 0;
        let rewritten = compact::rewrite(job, &mut read, &mut |bytes| {
            file.write_all_at(bytes, position)?;
            position += bytes.len() as u64;
            Ok(())
        })?;
        if rewritten.is_changed {
            file.sync_all().map_err(unsynced).map_err(CompactError::Write)?;
            let contents = [&rewritten.index, &rewritten.times, &rewritten.aborted];
            for (path, contents) in indexes.into_iter().zip(contents) {
                write_file(path, contents, true).map_err(CompactError::Write)?;
            }
        }
        Ok(rewritten)
    }

    /// Whoever stops does not wait until gigabytes were gone through ([`DiskError::CalledOff`]).
    pub(super) fn read_in_background(
        &self,
        segment: SegmentVersion,
        kind: FileKind,
        position: u64,
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        if self.is_stopping.load(Ordering::Relaxed) {
            return Err(io::Error::other("the broker stops"));
        }
        self.read_at(segment, kind, position, buffer)
    }

    pub(super) fn swap(&self, segment: SegmentVersion, replaced: &[SegmentId]) -> Result<(), DiskError> {
        let SegmentVersion { id, version } = segment;
        let directory = self.partition(id.partition).map_err(failed("find", id))?;
        let path = &directory.path;
        let log = path.join(FileKind::Log.file_name(id.base));
        if !with(&log, compact::CLEANED).exists() && !with(&log, compact::SWAP).exists() {
            return Err(DiskError::Io(format!("swap {id:?}: the new segment is not there")));
        }
        // Who would read an older version from now on is told that there is none; who has it open goes on with it.
        let gone = || replaced.iter().chain([&id]).copied();
        write_lock(&self.versions).extend(gone().map(|segment| (segment, version)));
        let bases: Vec<Offset> = replaced.iter().map(|gone| gone.base).collect();
        for step in compact::swap_steps(id.base, &bases) {
            perform(path, &step).map_err(failed("swap", id))?;
        }
        gone().for_each(|segment| self.open.forget(segment));
        Ok(())
    }
}

/// Goes on with the swaps that a crash interrupted, in a directory that nobody uses yet.
pub(super) fn finish_swaps(files: &DirectoryFiles) -> io::Result<()> {
    compact::unfinished_swaps(files)?.iter().try_for_each(|step| perform(&files.path, step))
}

fn perform(path: &Path, step: &FileStep) -> io::Result<()> {
    match step {
        FileStep::Rename { from, to } => match fs::rename(path.join(from), path.join(to)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
        FileStep::Remove(name) => remove_file(&path.join(name)),
        FileStep::SyncDirectory => sync_directory(path),
    }
}

fn with(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Removes what a pass left that came to nothing.
fn remove_cleaned(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        if path.as_os_str().as_encoded_bytes().ends_with(compact::CLEANED.as_bytes()) {
            remove_file(&path)?;
        }
    }
    Ok(())
}

/// What a pass that came to nothing is told as.
fn ended(error: CompactError) -> Result<Done, DiskError> {
    match error {
        CompactError::Write(error) => Err(failed("write", "a compacted segment")(error)),
        CompactError::Damaged { segment, position, problem } => {
            Ok(Done::Damaged(Damage { base: segment.base, position, problem }))
        }
        error @ (CompactError::Read { .. } | CompactError::Aborted(_)) => {
            Err(DiskError::Io(error.to_string()))
        }
    }
}
