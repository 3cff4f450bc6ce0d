//! What an operation does to files, one call of the system after another, in the order in which `klamm_log::Files` makes them.
//!
//! A crash may come between any two of them, and in the middle of one that writes.

use bytes::Bytes;
use klamm_log::{
    DURABLE_POINT, DiskAction, DiskOp, FileKind, LogDir, PARTITION_METADATA, SegmentId,
    compact::{self, FileStep},
};
use klamm_model::{Offset, TopicId, crc32c};

use super::{Disk, Place, moving::copy_of};

/// One call. Names are those within the partition's directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// What comes next is done in this directory; what comes first, in the partition's. No call of its own.
    Enter(Place),
    /// Makes the directory that was entered, if it is not there.
    MakeDirectory,
    /// From here on this is the partition's directory. No call: it is what the process knows.
    Adopt,
    /// An empty file; one that is there is emptied.
    Create(String),
    Write {
        name: String,
        position: usize,
        bytes: Bytes,
    },
    Cut {
        name: String,
        size: usize,
    },
    /// Brings what is in the file to the platter, or what was in it when the operation began.
    Sync {
        name: String,
        is_late: bool,
    },
    Rename {
        from: String,
        to: String,
    },
    Remove(String),
    /// Files of a pass that came to nothing go.
    RemoveCleaned,
    /// Brings the names in the directory to the platter.
    SyncDirectory,
    /// The directory gets another name in its data directory.
    Call(String),
    /// Brings the directory's own name to the platter.
    SyncParent,
    /// The directory gets a name that no start takes for a partition.
    Leave,
    RemoveDirectory,
}

/// What the name of a file ends with that is about to replace another.
pub(super) const TEMPORARY: &str = ".tmp";

impl Step {
    /// Whether the system is asked for something.
    pub(super) fn is_call(&self) -> bool {
        !matches!(self, Self::Enter(_) | Self::Adopt)
    }

    /// The same, but of what it writes only so many bytes of all that there are.
    pub(super) fn torn(self, kept: impl FnOnce(usize) -> usize) -> Self {
        match self {
            Self::Write { name, position, bytes } => {
                let bytes = bytes.slice(..kept(bytes.len()));
                Self::Write { name, position, bytes }
            }
            step => step,
        }
    }
}

impl Disk {
    /// The steps of an operation. What compaction writes aside is not known before it was read: see [`super::compaction`].
    pub(super) fn steps(&self, op: &DiskOp) -> Vec<Step> {
        let mut out = Vec::new();
        let steps = &mut out;
        match &op.action {
            DiskAction::CreatePartition { log_dir, directory, topic, base } => {
                let place = (directory.clone(), *log_dir);
                steps.extend([Step::Enter(place), Step::MakeDirectory, Step::Adopt]);
                replace(steps, PARTITION_METADATA.to_owned(), metadata(*topic), false);
                steps.push(Step::Create(FileKind::Log.file_name(*base)));
            }
            DiskAction::CreateSegment { segment } => {
                steps.push(Step::Create(FileKind::Log.file_name(segment.base)));
            }
            DiskAction::Write { segment, position, prefix, body } => steps.push(Step::Write {
                name: FileKind::Log.file_name(segment.base),
                position: *position as usize,
                bytes: self.stored(*prefix, body.clone()),
            }),
            DiskAction::Sync { segment } => {
                steps.push(Step::Sync { name: FileKind::Log.file_name(segment.base), is_late: false });
                self.settle_segment(*segment, steps);
            }
            DiskAction::Truncate { segment, size, delete } => {
                let names =
                    delete.iter().rev().flat_map(|gone| FileKind::ALL.map(|it| it.file_name(gone.base)));
                steps.extend(names.map(Step::Remove));
                let name = FileKind::Log.file_name(segment.base);
                steps.push(Step::Cut { name: name.clone(), size: *size as usize });
                steps.push(Step::Sync { name, is_late: true });
                self.settle(*segment, steps);
            }
            DiskAction::Seal { segment, index, times, aborted, next, producers, .. } => {
                let mut index = index.clone();
                if self.sabotage.flips_indexes {
                    index = index.iter().map(|byte| byte ^ 1).collect();
                }
                replace(steps, FileKind::Index.file_name(segment.base), index, true);
                replace(steps, FileKind::TimeIndex.file_name(segment.base), times.clone(), true);
                if !aborted.is_empty() {
                    replace(steps, FileKind::Aborted.file_name(segment.base), aborted.clone(), true);
                }
                steps.push(Step::Remove(FileKind::Growing.file_name(segment.base)));
                if !producers.is_empty() {
                    replace(steps, FileKind::Producers.file_name(*next), producers.clone(), true);
                }
            }
            DiskAction::Note { segment, position, entries, aborted, through, producers } => {
                let name = FileKind::Growing.file_name(segment.base);
                steps.push(Step::Write { name, position: *position as usize, bytes: entries.clone() });
                if !aborted.is_empty() {
                    replace(steps, FileKind::Aborted.file_name(segment.base), aborted.clone(), false);
                }
                replace(steps, FileKind::Producers.file_name(*through), producers.clone(), false);
            }
            DiskAction::WriteBeside { kind, at, contents } => {
                replace(steps, kind.file_name(*at), contents.clone(), true);
            }
            DiskAction::WriteCheckpoint { name, contents } => {
                let is_forgotten = self.sabotage.forgets_log_start && *name == DURABLE_POINT;
                let contents = if is_forgotten { without_log_start(contents) } else { contents.clone() };
                replace(steps, (*name).to_owned(), contents, true);
                steps.push(Step::SyncDirectory);
            }
            DiskAction::Retire { segments } => {
                let kinds = segments.iter().flat_map(|gone| FileKind::ALL.map(|kind| (gone.base, kind)));
                steps.extend(kinds.map(|(base, kind)| Step::Rename {
                    from: kind.file_name(base),
                    to: kind.retired_file_name(base),
                }));
            }
            DiskAction::Remove { segments, snapshots } => {
                let kinds = segments.iter().flat_map(|gone| FileKind::ALL.map(|kind| (gone.base, kind)));
                steps.extend(kinds.map(|(base, kind)| Step::Remove(kind.retired_file_name(base))));
                steps.extend(snapshots.iter().map(|at| Step::Remove(FileKind::Producers.file_name(*at))));
            }
            DiskAction::MapKeys(_) => steps.push(Step::RemoveCleaned),
            DiskAction::Rewrite(_) | DiskAction::Scrub(_) => {}
            DiskAction::Move(it) => self.move_steps(op.partition, it, steps),
            DiskAction::Swap { segment, replaced } => {
                let bases: Vec<Offset> = replaced.iter().map(|gone| gone.base).collect();
                let swap = compact::swap_steps(segment.id.base, &bases);
                // Without the name that counts from the first step on, the old files go while the new one does not count yet.
                let skipped = if self.sabotage.swaps_carelessly { 2 } else { 0 };
                let log = FileKind::Log.file_name(segment.id.base);
                steps.extend(swap[skipped..].iter().map(|step| match Step::from(step) {
                    Step::Rename { to, .. } if to == log && 0 < skipped => {
                        Step::Rename { from: log.clone() + compact::CLEANED, to }
                    }
                    step => step,
                }));
            }
            DiskAction::DeletePartition if self.sabotage.keeps_deleted => {}
            DiskAction::DeletePartition => {
                let copies = self.names.get(&op.partition).into_iter().flat_map(|place| {
                    let copy = copy_of(place, op.partition, LogDir(place.1.0 ^ 1));
                    [Step::Enter(copy), Step::RemoveDirectory, Step::Enter(place.clone())]
                });
                steps.extend(copies);
                steps.extend([Step::Leave, Step::SyncParent, Step::RemoveDirectory]);
            }
        }
        out
    }

    /// The first sync of a segment brings its name to the platter, and the first of a directory that one's.
    fn settle_segment(&self, segment: SegmentId, steps: &mut Vec<Step>) {
        let known = self.directory_of(segment.partition);
        if known.is_none_or(|directory| directory.settled_below <= segment.base) {
            self.settle(segment, steps);
        }
    }

    fn settle(&self, segment: SegmentId, steps: &mut Vec<Step>) {
        let is_first = self.directory_of(segment.partition).is_none_or(|directory| !directory.is_settled);
        if is_first {
            steps.push(Step::Sync { name: PARTITION_METADATA.to_owned(), is_late: true });
        }
        steps.push(Step::SyncDirectory);
        if is_first {
            steps.push(Step::SyncParent);
        }
    }
}

/// Replaces a file as a whole.
pub(super) fn replace(steps: &mut Vec<Step>, name: String, bytes: Bytes, is_synced: bool) {
    let temporary = name.clone() + TEMPORARY;
    steps.push(Step::Create(temporary.clone()));
    steps.push(Step::Write { name: temporary.clone(), position: 0, bytes });
    if is_synced {
        steps.push(Step::Sync { name: temporary.clone(), is_late: true });
    }
    steps.push(Step::Rename { from: temporary, to: name });
}

/// The file with the durable point, of a log of which nothing was deleted.
fn without_log_start(contents: &[u8]) -> Bytes {
    let text = std::str::from_utf8(contents).expect("a text of ours");
    let mut lines: Vec<&str> = text.lines().collect();
    let checksum = lines.pop();
    assert!(checksum.is_some() && 3 < lines.len(), "another format: {text}");
    lines[3] = "0";
    let text = lines.join("\n") + "\n";
    format!("{text}{:08x}\n", crc32c(text.as_bytes())).into()
}

/// What the file says that tells whose directory this is.
pub(super) fn metadata(topic: TopicId) -> Bytes {
    format!("version: 0\ntopic_id: {topic}\n").into()
}

impl From<&FileStep> for Step {
    fn from(step: &FileStep) -> Self {
        match step {
            FileStep::Rename { from, to } => Self::Rename { from: from.clone(), to: to.clone() },
            FileStep::Remove(name) => Self::Remove(name.clone()),
            FileStep::SyncDirectory => Self::SyncDirectory,
        }
    }
}
