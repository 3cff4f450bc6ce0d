//! Compaction on a simulated disk: what is written is synced before it counts, and a swap may stop after any of its steps.

use std::io;

use klamm_log::{
    Damage, DiskError, Done, FileKind, REPLACED, SegmentVersion,
    compact::{self, CLEANED, CompactError, MapKeys, Rewrite, Source},
};
use klamm_model::{BatchView, Batches, Tail, TopicPartition};

use super::{
    DirectoryView, Disk,
    damage::mend,
    read,
    steps::{Step, replace},
};

impl Disk {
    pub(super) fn map_keys(&self, job: &MapKeys) -> Result<Done, DiskError> {
        let mut read = |segment, kind, at, buffer: &mut [u8]| self.read_aside(segment, kind, at, buffer);
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
        let damaged = job.sources.iter().find(|it| self.is_damaged(it)).copied();
        let mut bytes = Vec::new();
        let rewritten = compact::rewrite(
            &job,
            &mut |segment, kind, at, buffer| self.read_aside(segment, kind, at, buffer),
            &mut |more| {
                bytes.extend_from_slice(more);
                Ok(())
            },
        );
        let rewritten = match rewritten {
            Ok(rewritten) => rewritten,
            Err(error) => return ended(error),
        };
        if let Some(source) = damaged.filter(|_| rewritten.is_changed) {
            self.rewrote_damaged =
                Some(format!("{:?} is damaged, and compaction wrote it anew", source.segment.id));
        }
        let base = job.sources[0].segment.id.base;
        let log = FileKind::Log.file_name(base) + CLEANED;
        let mut steps = vec![
            Step::Create(log.clone()),
            Step::Write { name: log.clone(), position: 0, bytes: bytes.into() },
        ];
        if rewritten.is_changed {
            steps.push(Step::Sync { name: log, is_late: true });
            for (kind, contents) in [
                (FileKind::Index, &rewritten.index),
                (FileKind::TimeIndex, &rewritten.times),
                (FileKind::Aborted, &rewritten.aborted),
            ] {
                replace(&mut steps, kind.file_name(base) + CLEANED, contents.clone(), true);
            }
        } else {
            steps.push(Step::Remove(log));
        }
        self.take(partition, steps, u64::MAX);
        Ok(Done::Rewritten(Box::new(rewritten)))
    }

    /// What compaction is shown.
    fn read_aside(
        &self,
        segment: SegmentVersion,
        kind: FileKind,
        position: u64,
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        let size = self.read_at(segment, kind, position, buffer)?;
        let directory = self.directory_of(segment.id.partition);
        if let Some(log) = directory.and_then(|it| it.bytes(&kind.file_name(segment.id.base)))
            && (self.sabotage.mends_for_compaction, kind) == (true, FileKind::Log)
        {
            let mut log = log.to_vec();
            mend(&mut log);
            buffer[..size].copy_from_slice(&log[position as usize..][..size]);
        }
        Ok(size)
    }

    /// Whether a segment is not what was written, as far as can be seen without knowing that.
    fn is_damaged(&self, source: &Source) -> bool {
        let id = source.segment.id;
        let log = self.directory_of(id.partition).and_then(|it| it.bytes(&FileKind::Log.file_name(id.base)));
        let Some(log) = log.and_then(|log| log.get(..source.size as usize)) else { return false };
        let mut next = id.base;
        let mut is_next = |batch: BatchView<'_>| {
            let is_in_order = next <= batch.base_offset() && batch.next_offset() <= source.end;
            next = batch.next_offset();
            is_in_order && batch.verify_crc().is_ok()
        };
        !Batches::new(log, Tail::MayBeTruncated).all(|batch| batch.is_ok_and(&mut is_next))
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
        read(directory, &kind.file_name(id.base), position, buffer)
            .or_else(|_| read(directory, &kind.retired_file_name(id.base), position, buffer))
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
