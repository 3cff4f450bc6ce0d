//! Compaction on a simulated disk: what is written is synced before it counts, and a swap may stop after any of its steps.

use std::io;

use klamm_log::{
    DiskError, Done, FileKind, REPLACED, SegmentId, SegmentVersion,
    compact::{self, CLEANED, CompactError, FileStep, MapKeys, Rewrite},
};
use klamm_model::TopicPartition;

use super::{Directory, DirectoryView, Disk, Edit, read};

impl Disk {
    pub(super) fn map_keys(&self, job: &MapKeys) -> Result<Done, DiskError> {
        let mut read = |segment, kind, at, buffer: &mut [u8]| self.read_at(segment, kind, at, buffer);
        compact::map_keys(job, &mut read).map(|keys| Done::Keys(keys.into())).or_else(|error| ended(&error))
    }

    pub(super) fn rewrite_segments(&mut self, job: &Rewrite) -> Result<Done, DiskError> {
        let mut bytes = Vec::new();
        let rewritten = compact::rewrite(
            job,
            &mut |segment, kind, at, buffer| self.read_at(segment, kind, at, buffer),
            &mut |more| {
                bytes.extend_from_slice(more);
                Ok(())
            },
        );
        let rewritten = match rewritten {
            Ok(rewritten) => rewritten,
            Err(error) => return ended(&error),
        };
        let segment = job.sources[0].segment.id;
        let files = [
            (FileKind::Log, bytes.into()),
            (FileKind::Index, rewritten.index.clone()),
            (FileKind::TimeIndex, rewritten.times.clone()),
        ];
        for (kind, contents) in files {
            let number = self.number_change();
            let name = kind.file_name(segment.base) + CLEANED;
            let file = self.directory(segment.partition).files.entry(name).or_default();
            file.change(number, Edit::Empty);
            file.change(number, Edit::Write { position: 0, bytes: contents });
            file.settle();
        }
        Ok(Done::Rewritten(Box::new(rewritten)))
    }

    /// The first steps of a swap: all of them, unless something came in between.
    pub(super) fn swap(&mut self, segment: SegmentVersion, replaced: &[SegmentId], count_max: usize) {
        let bases: Vec<_> = replaced.iter().map(|gone| gone.base).collect();
        for step in compact::swap_steps(segment.id.base, &bases).iter().take(count_max) {
            self.step(segment.id.partition, step);
        }
        for id in replaced.iter().chain([&segment.id]) {
            self.versions.insert(*id, segment.version);
        }
    }

    fn step(&mut self, partition: TopicPartition, step: &FileStep) {
        if *step == FileStep::SyncDirectory {
            return self.name_everything(partition);
        }
        let files = &mut self.directory(partition).files;
        match step {
            FileStep::Rename { from, to } => {
                if let Some(mut file) = files.remove(from) {
                    file.old_name.get_or_insert_with(|| from.clone());
                    files.insert(to.clone(), file);
                }
            }
            FileStep::Remove(name) => drop(files.remove(name)),
            FileStep::SyncDirectory => {}
        }
    }

    /// What a shell does with a directory before it recovers its log.
    pub(super) fn finish_swaps(&mut self, partition: TopicPartition) {
        let unfinished = compact::unfinished_swaps(&DirectoryView(self.directory(partition)));
        for step in unfinished.expect("what counts was synced") {
            self.step(partition, &step);
        }
    }

    /// Reads as a shell does.
    pub fn read_at(
        &self,
        segment: SegmentVersion,
        kind: FileKind,
        position: u64,
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        let SegmentVersion { id, version } = segment;
        if version < self.versions.get(&id).copied().unwrap_or(0) {
            return Err(REPLACED.into());
        }
        let directory: Option<&Directory> =
            self.names.get(&id.partition).and_then(|name| self.directories.get(name));
        let directory = directory.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        read(directory, &kind.file_name(id.base), position, buffer)
    }
}

/// What a pass that came to nothing is told as.
fn ended(error: &CompactError) -> Result<Done, DiskError> {
    Err(DiskError::Io(error.to_string()))
}
