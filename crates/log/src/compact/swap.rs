//! How new segments take the place of old ones: the steps in a directory, in an order that a crash may interrupt anywhere.
//!
//! ```text
//!   ….log.cleaned becomes ….log.swap; synced                from here on the new segment counts
//!   what it replaces goes, and the old indexes; synced      so that nothing is there twice, and no index leads to other places
//!   ….log.swap becomes ….log, ….index.cleaned ….index, and so do ….timeindex and ….txnindex; synced
//! ```
//! A start that finds a `….log.swap` goes on from there, before it looks at anything else. The names are Kafka's, which would go on in the same
//! way. An index that is lost on the way is made again, like any other.

use std::io;

use klamm_model::Offset;

use super::end_of;
use crate::disk::FileKind;
use crate::recover::LogFiles;

/// What the name of a file ends with while it is written.
pub const CLEANED: &str = ".cleaned";
/// And from when it counts until it has its own name.
pub const SWAP: &str = ".swap";

/// A step in a partition's directory. Repeated, it changes nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FileStep {
    /// Another name for a file, in the place of one that has it. A file that is not there has it already.
    Rename {
        /// Its name.
        from: String,
        /// Its name afterwards.
        to: String,
    },
    /// A file goes, if it is there.
    Remove(String),
    /// What was renamed and removed until now is so after a crash too.
    SyncDirectory,
}

/// Puts the segment that was written at `base` in the place of the old one and of those in `replaced`.
pub fn swap_steps(base: Offset, replaced: &[Offset]) -> Vec<FileStep> {
    let log = FileKind::Log.file_name(base);
    let counts = FileStep::Rename { from: log.clone() + CLEANED, to: log + SWAP };
    let mut steps = vec![counts, FileStep::SyncDirectory];
    finish(base, replaced, &mut steps);
    steps
}

/// Goes on with the swaps that a crash interrupted.
pub fn unfinished_swaps(files: &dyn LogFiles) -> io::Result<Vec<FileStep>> {
    let listed = files.list()?;
    let base = |name: &str, ending: &str| {
        let digits = name.strip_suffix(ending).filter(|digits| digits.len() == 20)?;
        Offset::from_wire(digits.parse().ok()?)
    };
    let mut bases: Vec<Offset> = listed.iter().filter_map(|(name, _)| base(name, ".log")).collect();
    bases.sort_unstable();
    let mut swaps: Vec<(Offset, &String, u64)> =
        listed.iter().filter_map(|(name, size)| Some((base(name, ".log.swap")?, name, *size))).collect();
    swaps.sort_unstable();
    let mut steps = Vec::new();
    for (base, name, size) in swaps {
        let size = u32::try_from(size).map_err(io::Error::other)?;
        let end = end_of(base, size, &mut |position, buffer| files.read_at(name, position, buffer))?;
        let replaced: Vec<Offset> =
            bases.iter().copied().filter(|other| base < *other && *other < end).collect();
        finish(base, &replaced, &mut steps);
    }
    Ok(steps)
}

fn finish(base: Offset, replaced: &[Offset], steps: &mut Vec<FileStep>) {
    let files = |base: Offset| FileKind::ALL.map(|kind| FileStep::Remove(kind.file_name(base)));
    steps.extend(replaced.iter().flat_map(|gone| files(*gone)));
    let kinds = [FileKind::Index, FileKind::TimeIndex, FileKind::Aborted];
    let indexes = kinds.map(|kind| kind.file_name(base));
    steps.extend(indexes.iter().cloned().map(FileStep::Remove));
    steps.push(FileStep::SyncDirectory);
    let log = FileKind::Log.file_name(base);
    steps.push(FileStep::Rename { from: log.clone() + SWAP, to: log });
    steps.extend(indexes.map(|index| FileStep::Rename { from: index.clone() + CLEANED, to: index }));
    steps.push(FileStep::SyncDirectory);
}
