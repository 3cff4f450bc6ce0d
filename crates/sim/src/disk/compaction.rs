//! Compaction on a simulated disk: what is written is synced before it counts, and a swap may stop after any of its steps.

use std::io;

use klamm_log::{
    Damage, DiskError, Done, FileKind, REPLACED, SegmentVersion,
    compact::{self, CLEANED, CompactError, MapKeys, Rewrite},
};
use klamm_model::TopicPartition;

use super::{
    DirectoryView, Disk, read,
    steps::{Step, replace},
};

impl Disk {
    pub(super) fn map_keys(&self, job: &MapKeys) -> Result<Done, DiskError> {
        let mut read = |segment, kind, at, buffer: &mut [u8]| self.read_at(segment, kind, at, buffer);
        let job = MapKeys { sabotage: self.sabotage.compaction, ..job.clone() };
        compact::map_keys(&job, &mut read).map(|keys| Done::Keys(keys.into())).or_else(ended)
    }

    pub(super) fn rewrite_segments(
        &mut self,
        partition: TopicPartition,
        job: &Rewrite,
    ) -> Result<Done, DiskError> {
        let mut job = job.clone();
        job.rules.sabotage = self.sabotage.compaction;
        let mut bytes = Vec::new();
        let rewritten = compact::rewrite(
            &job,
            &mut |segment, kind, at, buffer| self.read_at(segment, kind, at, buffer),
            &mut |more| {
                bytes.extend_from_slice(more);
                Ok(())
            },
        );
        let rewritten = match rewritten {
            Ok(rewritten) => rewritten,
            Err(error) => return ended(error),
        };
        let base = job.sources[0].segment.id.base;
        let log = FileKind::Log.file_name(base) + CLEANED;
        let mut steps = vec![
            Step::Create(log.clone()),
            Step::Write { name: log.clone(), position: 0, bytes: bytes.into() },
        ];
        if rewritten.is_changed {
            steps.push(Step::Sync { name: log, is_late: true });
            for (kind, contents) in
                [(FileKind::Index, &rewritten.index), (FileKind::TimeIndex, &rewritten.times)]
            {
                replace(&mut steps, kind.file_name(base) + CLEANED, contents.clone(), true);
            }
        } else {
            steps.push(Step::Remove(log));
        }
        self.take(partition, steps, u64::MAX);
        Ok(Done::Rewritten(Box::new(rewritten)))
    }

    /// What a shell does with a directory before it recovers its log.
    pub(super) fn finish_swaps(&mut self, partition: TopicPartition) {
        let Some(directory) = self.directory_of(partition) else { return };
        let unfinished = compact::unfinished_swaps(&DirectoryView(directory));
        let steps: Vec<Step> = unfinished.expect("what counts was synced").iter().map(Step::from).collect();
        self.take(partition, steps, u64::MAX);
    }

    /// Reads as a shell does: what was retired since, under its new name.
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
        if self.illness.fails_reads {
            return Err(io::Error::other("input/output error"));
        }
        let directory = self.directory_of(id.partition);
        let directory = directory.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        read(directory, &kind.file_name(id.base), position, buffer).or_else(|error| match kind {
            FileKind::Log => read(directory, &kind.retired_file_name(id.base), position, buffer),
            _ => Err(error),
        })
    }
}

/// What a pass that came to nothing is told as.
fn ended(error: CompactError) -> Result<Done, DiskError> {
    match error {
        CompactError::Damaged { segment, position, problem } => {
            Ok(Done::Damaged(Damage { base: segment.base, position, problem }))
        }
        error => Err(DiskError::Io(error.to_string())),
    }
}
