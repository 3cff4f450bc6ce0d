//! A disk in memory that forgets on a crash what was not synced.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use klamm_log::{DiskAction, DiskOp, FileKind, LogFiles, PARTITION_METADATA, ReadPlan, SegmentId, resolve};
use klamm_model::{BatchView, Batches, LeaderEpoch, Offset, Tail};

/// The directory of one partition.
#[derive(Default)]
pub(super) struct Disk {
    files: BTreeMap<String, File>,
}

#[derive(Default)]
struct File {
    bytes: Vec<u8>,
    /// What a crash leaves; `None` if not even the name.
    synced: Option<Vec<u8>>,
}

/// A batch as it lies in a log.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) base: Offset,
    pub(super) end: Offset,
    pub(super) epoch: Option<LeaderEpoch>,
    /// Without the header's first 16 bytes, which the leader writes.
    pub(super) body: Bytes,
}

impl Disk {
    pub(super) fn perform(&mut self, op: &DiskOp) {
        match &op.action {
            DiskAction::CreatePartition { base, .. } => {
                self.replace(PARTITION_METADATA.to_string(), &[]);
                self.files.insert(FileKind::Log.file_name(*base), File::default());
            }
            DiskAction::CreateSegment { segment } => {
                self.files.insert(log_name(segment.base), File::default());
            }
            DiskAction::Write { segment, position, prefix, body } => {
                let file = self.files.get_mut(&log_name(segment.base)).expect("a segment to write to");
                let start = *position as usize;
                let end = start + body.len();
                if file.bytes.len() < end {
                    file.bytes.resize(end, 0);
                }
                file.bytes[start..end].copy_from_slice(body);
                if let Some(prefix) = prefix {
                    file.bytes[start..start + prefix.len()].copy_from_slice(prefix);
                }
            }
            DiskAction::Sync { segment } => self.sync(segment.base),
            DiskAction::Truncate { segment, size, delete } => {
                self.remove(delete);
                let file = self.files.get_mut(&log_name(segment.base)).expect("a segment to cut");
                file.bytes.truncate(*size as usize);
                self.sync(segment.base);
            }
            DiskAction::Seal { segment, index, aborted, next, producers, .. } => {
                self.replace(FileKind::Index.file_name(segment.base), index);
                self.replace(FileKind::Aborted.file_name(segment.base), aborted);
                self.replace(FileKind::Producers.file_name(*next), producers);
            }
            DiskAction::Retire { segments } => self.remove(segments),
            DiskAction::Remove { .. } | DiskAction::Note { .. } => {}
            DiskAction::WriteBeside { kind, at, contents } => self.replace(kind.file_name(*at), contents),
            DiskAction::WriteCheckpoint { name, contents } => self.replace((*name).to_string(), contents),
            DiskAction::MapKeys(_) | DiskAction::Rewrite(_) | DiskAction::Swap { .. } => {
                panic!("nothing is compacted here")
            }
            DiskAction::Move(_) => panic!("there is one directory"),
            DiskAction::Scrub(_) => panic!("nothing is scrubbed here"),
            DiskAction::DeletePartition => self.files.clear(),
        }
    }

    fn remove(&mut self, segments: &[SegmentId]) {
        for (segment, kind) in segments.iter().flat_map(|gone| FileKind::ALL.map(|kind| (gone, kind))) {
            self.files.remove(&kind.file_name(segment.base));
        }
    }

    /// A write that fails may have written some of it.
    pub(super) fn fail(&mut self, op: &DiskOp) {
        if let DiskAction::Write { segment, position, prefix, body } = &op.action {
            let half = body.slice(..body.len() / 2);
            let action =
                DiskAction::Write { segment: *segment, position: *position, prefix: *prefix, body: half };
            self.perform(&DiskOp { action, ..op.clone() });
        }
    }

    pub(super) fn crash(&mut self) {
        self.files.retain(|_, file| file.synced.is_some());
        for file in self.files.values_mut() {
            file.bytes = file.synced.clone().unwrap_or_default();
        }
    }

    /// Whether there is a log to recover.
    pub(super) fn has_log(&self) -> bool {
        self.files.keys().any(|name| name.ends_with(".log"))
    }

    /// What a fetch with this plan gets.
    pub(super) fn read(&self, plan: &ReadPlan) -> Bytes {
        let name = |kind: FileKind| kind.file_name(plan.segment.id.base);
        let range = resolve(plan, &mut |kind, position, buffer| self.read_at(&name(kind), position, buffer))
            .expect("what was promised to be there is there");
        let file = &self.files[&name(FileKind::Log)];
        Bytes::copy_from_slice(&file.bytes[range.start as usize..range.end as usize])
    }

    /// The batches below `written`; an error if one is missing.
    pub(super) fn contents(&self, written: Offset) -> Result<Vec<Stored>, String> {
        let mut contents: Vec<Stored> = Vec::new();
        for (name, file) in self.files.iter().filter(|(name, _)| name.ends_with(".log")) {
            for batch in Batches::new(&file.bytes, Tail::MayBeTruncated) {
                let Ok(batch) = batch else { break };
                if written <= batch.base_offset() {
                    break;
                }
                if let Some(last) = contents.last()
                    && last.end != batch.base_offset()
                {
                    return Err(format!("{name}: {} follows {}", batch.base_offset(), last.end));
                }
                contents.push(Stored::of(&batch));
            }
        }
        match contents.last() {
            Some(last) if last.end != written => {
                Err(format!("said to be written up to {written}, is up to {}", last.end))
            }
            _ => Ok(contents),
        }
    }

    fn sync(&mut self, base: Offset) {
        let file = self.files.get_mut(&log_name(base)).expect("a segment to sync");
        file.synced = Some(file.bytes.clone());
    }

    fn replace(&mut self, name: String, contents: &[u8]) {
        self.files.insert(name, File { bytes: contents.to_vec(), synced: Some(contents.to_vec()) });
    }
}

impl Stored {
    fn of(batch: &BatchView<'_>) -> Self {
        Self {
            base: batch.base_offset(),
            end: batch.next_offset(),
            epoch: batch.header().leader_epoch,
            body: Bytes::copy_from_slice(&batch.bytes()[16..]),
        }
    }
}

/// The whole batches in a run of bytes.
pub(super) fn batches(run: &[u8]) -> Vec<Stored> {
    Batches::new(run, Tail::MayBeTruncated).map_while(Result::ok).map(|batch| Stored::of(&batch)).collect()
}

impl LogFiles for Disk {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        Ok(self.files.iter().map(|(name, file)| (name.clone(), file.bytes.len() as u64)).collect())
    }

    fn read_at(&self, name: &str, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let file = self.files.get(name).ok_or(io::ErrorKind::NotFound)?;
        let from = usize::try_from(position).unwrap_or(usize::MAX).min(file.bytes.len());
        let count = buffer.len().min(file.bytes.len() - from);
        buffer[..count].copy_from_slice(&file.bytes[from..from + count]);
        Ok(count)
    }
}

fn log_name(base: Offset) -> String {
    FileKind::Log.file_name(base)
}
