//! A disk for the tests of logs.

use std::collections::BTreeMap;
use std::io;

use klamm_log::{DiskAction, DiskError, DiskOp, Done, FileKind, LogFiles, OpId, SegmentId};

/// A disk that carries out what it is given in any order, and on a power failure keeps what was synced and a part of the rest.
#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) files: BTreeMap<String, File>,
    pub(crate) queue: Vec<DiskOp>,
    pub(crate) is_full: bool,
    pub(crate) is_broken: bool,
}

#[derive(Default, Clone)]
pub(crate) struct File {
    pub(crate) bytes: Vec<u8>,
    pub(crate) synced_size: usize,
}

impl Disk {
    /// Carries out one of the operations that wait.
    pub(crate) fn step(&mut self, choice: u64) -> Option<(OpId, Result<Done, DiskError>)> {
        let count = self.queue.len() as u64;
        if count == 0 {
            return None;
        }
        let op = self.queue.remove(usize::try_from(choice % count).expect("few"));
        if self.is_broken {
            return Some((op.id, Err(DiskError::Io("broken".into()))));
        }
        if self.is_full && matches!(op.action, DiskAction::Write { .. } | DiskAction::WriteCheckpoint { .. })
        {
            return Some((op.id, Err(DiskError::Full)));
        }
        self.perform(op.action);
        Some((op.id, Ok(Done::Nothing)))
    }

    fn perform(&mut self, action: DiskAction) {
        let log_name = |segment: SegmentId| FileKind::Log.file_name(segment.base);
        match action {
            DiskAction::CreatePartition { base, .. } => {
                self.files.insert(FileKind::Log.file_name(base), File::default());
            }
            DiskAction::CreateSegment { segment } => {
                self.files.insert(log_name(segment), File::default());
            }
            DiskAction::Write { segment, position, prefix, body } => {
                let file = self.files.get_mut(&log_name(segment)).expect("it was created");
                let mut body = body.to_vec();
                if let Some(prefix) = prefix {
                    body[..16].copy_from_slice(&prefix);
                }
                let end = position as usize + body.len();
                file.bytes.resize(file.bytes.len().max(end), 0);
                file.bytes[position as usize..end].copy_from_slice(&body);
            }
            DiskAction::Sync { segment } => {
                let file = self.files.get_mut(&log_name(segment)).expect("it was created");
                file.synced_size = file.bytes.len();
            }
            DiskAction::Truncate { segment, size, delete } => {
                let file = self.files.get_mut(&log_name(segment)).expect("it was created");
                file.bytes.truncate(size as usize);
                file.synced_size = file.bytes.len();
                for segment in delete {
                    self.files.remove(&log_name(segment));
                }
            }
            DiskAction::Seal { segment, index, times, aborted, .. } => {
                self.replace(FileKind::Index.file_name(segment.base), &index);
                self.replace(FileKind::TimeIndex.file_name(segment.base), &times);
                self.replace(FileKind::Aborted.file_name(segment.base), &aborted);
            }
            DiskAction::WriteCheckpoint { name, contents } => self.replace(name.to_owned(), &contents),
            DiskAction::WriteBeside { kind, at, contents } => self.replace(kind.file_name(at), &contents),
            // Notes on the records are of no use to an engine that reads all of them.
            DiskAction::Note { .. } => {}
            DiskAction::MapKeys(_) | DiskAction::Rewrite(_) | DiskAction::Swap { .. } => {
                panic!("nobody compacts the metadata log")
            }
            DiskAction::Move(_) => panic!("nobody moves the metadata log"),
            DiskAction::Scrub(_) => panic!("all of it is read at each start"),
            DiskAction::Retire { segments } => {
                for segment in segments {
                    for kind in FileKind::ALL {
                        self.files.remove(&kind.file_name(segment.base));
                    }
                }
            }
            DiskAction::Remove { .. } => {}
            DiskAction::DeletePartition => panic!("nobody deletes the metadata log"),
        }
    }

    fn replace(&mut self, name: String, contents: &[u8]) {
        self.files.insert(name, File { bytes: contents.to_vec(), synced_size: contents.len() });
    }

    pub(crate) fn lose_power(&mut self, choice: u64) {
        self.queue.clear();
        for file in self.files.values_mut() {
            let unsynced = file.bytes.len().saturating_sub(file.synced_size);
            let kept = if unsynced == 0 { 0 } else { usize::try_from(choice).unwrap_or(0) % (unsynced + 1) };
            file.bytes.truncate(file.synced_size + kept);
            file.synced_size = file.bytes.len();
        }
    }
}

impl LogFiles for Disk {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        Ok(self.files.iter().map(|(name, file)| (name.clone(), file.bytes.len() as u64)).collect())
    }

    fn read_at(&self, name: &str, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let file = self.files.get(name).ok_or(io::ErrorKind::NotFound)?;
        let rest = file.bytes.get(usize::try_from(position).expect("small")..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}
