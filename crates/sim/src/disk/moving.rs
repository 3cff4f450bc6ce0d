//! A log's way from one data directory to the other, as `klamm_log::Files` makes it.
//!
//! A copy is a directory of its own, which a start throws away; but once it is marked as whole, a start goes on until it has its place and the original is gone.

use bytes::Bytes;
use klamm_log::{DiskAction, DiskOp, FileKind, LogDir, Move, MoveStep, PARTITION_METADATA, compact::CLEANED};
use klamm_model::TopicPartition;

use super::{
    Directory, Disk, Place,
    steps::{Step, TEMPORARY, replace},
};

/// What a copy's directory is called behind the name that it is to have.
const FUTURE: &str = "-future";
/// What a segment is called behind its name that is about to be removed.
const RETIRED: &str = ".deleted";
/// In a copy that is whole: the name that it is to have.
pub(super) const WHOLE: &str = "whole-copy";

impl Disk {
    /// Why an operation is refused, with nothing done.
    pub(super) fn hindrance(&self, op: &DiskOp) -> Option<&'static str> {
        let directory = self.directory_of(op.partition);
        match &op.action {
            DiskAction::CreatePartition { directory, log_dir, .. } if !self.sabotage.keeps_deleted => {
                let found = self.directories.get(&(directory.clone(), *log_dir))?;
                let is_anothers = found.partition.is_some_and(|it| it != op.partition && found.is_whose(it));
                (is_anothers || found.has_records()).then_some("it has records, or belongs to another topic")
            }
            DiskAction::Move(it) => match &it.step {
                MoveStep::Copy { segment, size } => {
                    let log = directory.and_then(|it| it.bytes(&FileKind::Log.file_name(segment.id.base)));
                    let is_there = log.is_some_and(|log| *size as usize <= log.len());
                    (self.illness.fails_reads || !is_there).then_some("the segment cannot be read")
                }
                MoveStep::Finish { .. } => {
                    let (name, _) = self.names.get(&op.partition)?;
                    let is_taken = self.directories.contains_key(&(name.clone(), it.to));
                    (self.illness.fails_reads || is_taken).then_some("no read, or something has its place")
                }
                MoveStep::Clear | MoveStep::Switch => None,
            },
            _ => None,
        }
    }

    pub(super) fn move_steps(&self, partition: TopicPartition, it: &Move, steps: &mut Vec<Step>) {
        let Some(original) = self.names.get(&partition) else { return };
        let Some(directory) = self.directories.get(original) else { return };
        let copy = copy_of(original, partition, it.to);
        steps.push(Step::Enter(copy.clone()));
        match &it.step {
            MoveStep::Clear => steps.push(Step::RemoveDirectory),
            MoveStep::Copy { segment, size } => {
                steps.push(Step::MakeDirectory);
                let log = FileKind::Log.file_name(segment.id.base);
                for kind in [FileKind::Index, FileKind::TimeIndex, FileKind::Aborted] {
                    copy_file(directory, &kind.file_name(segment.id.base), usize::MAX, steps);
                }
                copy_file(directory, &log, *size as usize, steps);
            }
            MoveStep::Finish { copied } => {
                steps.push(Step::MakeDirectory);
                let of_copied = |name: &String| {
                    let kinds = [FileKind::Log, FileKind::Index, FileKind::TimeIndex, FileKind::Aborted];
                    copied.iter().any(|it| kinds.iter().any(|kind| kind.file_name(it.base) == *name))
                };
                let is_left_out =
                    |name: &String| [RETIRED, TEMPORARY, CLEANED].iter().any(|it| name.ends_with(it));
                let wanted: Vec<_> = directory
                    .names()
                    .map(|(name, _)| name)
                    .filter(|name| *name != WHOLE && !is_left_out(name))
                    .collect();
                for name in wanted.iter().filter(|name| !of_copied(name)) {
                    copy_file(directory, name, usize::MAX, steps);
                }
                let there = self.directories.get(&copy).into_iter().flat_map(Directory::names);
                let gone =
                    there.map(|(name, _)| name).filter(|name| !of_copied(name) && !wanted.contains(name));
                steps.extend(gone.cloned().map(Step::Remove));
                steps.extend([Step::SyncDirectory, Step::SyncParent]);
            }
            MoveStep::Switch => {
                if !self.sabotage.moves_carelessly {
                    replace(steps, WHOLE.to_owned(), original.0.clone().into(), true);
                }
                steps.extend([
                    Step::SyncDirectory,
                    Step::Call(original.0.clone()),
                    Step::SyncParent,
                    Step::Adopt,
                ]);
                take_place(steps, [original.clone()], (original.0.clone(), it.to));
            }
        }
    }

    /// What a shell does before it looks for partitions: copies that are not whole go, and those that are take their place. Tells how many.
    pub fn finish_moves(&mut self) -> u64 {
        let mut finished = 0;
        let places: Vec<Place> = self.directories.keys().cloned().collect();
        for place in places {
            let Some(directory) = self.directories.get(&place) else { continue };
            let (topic, is_copy) = (directory.bytes(PARTITION_METADATA), is_copy(&place));
            let mut steps = vec![Step::Enter(place.clone())];
            match directory.bytes(WHOLE) {
                Some(name) => {
                    finished += 1;
                    let name = str::from_utf8(name).expect("a mark of ours").to_owned();
                    if is_copy {
                        steps.push(Step::Call(name.clone()));
                    }
                    steps.push(Step::SyncParent);
                    let is_original = |(at, it): &(&Place, &Directory)| {
                        at.0 == name && at.1 != place.1 && it.bytes(PARTITION_METADATA) == topic
                    };
                    let originals = self.directories.iter().filter(is_original).map(|(at, _)| at.clone());
                    take_place(&mut steps, originals, (name.clone(), place.1));
                }
                None if is_copy => steps.push(Step::RemoveDirectory),
                None => continue,
            }
            let partition = directory.partition.expect("whoever made it knew whose it is");
            self.take(partition, steps, u64::MAX);
        }
        finished
    }
}

/// Where a copy is made.
pub(super) fn copy_of((name, _): &Place, partition: TopicPartition, to: LogDir) -> Place {
    (format!("{name}.{}{FUTURE}", partition.topic), to)
}

/// Whether this directory is a copy that is not in its place.
pub(super) fn is_copy((name, _): &Place) -> bool {
    name.ends_with(FUTURE)
}

fn copy_file(from: &Directory, name: &str, size_max: usize, steps: &mut Vec<Step>) {
    let Some(bytes) = from.bytes(name) else { return };
    let bytes = Bytes::copy_from_slice(&bytes[..bytes.len().min(size_max)]);
    let name = name.to_owned();
    steps.extend([
        Step::Create(name.clone()),
        Step::Write { name: name.clone(), position: 0, bytes },
        Step::Sync { name, is_late: true },
    ]);
}

/// The copy is in its place for certain: the originals go, and then the mark.
fn take_place(steps: &mut Vec<Step>, originals: impl IntoIterator<Item = Place>, place: Place) {
    for original in originals {
        steps.extend([Step::Enter(original), Step::Leave, Step::SyncParent, Step::RemoveDirectory]);
    }
    steps.extend([Step::Enter(place), Step::Remove(WHOLE.to_owned()), Step::SyncDirectory]);
}
