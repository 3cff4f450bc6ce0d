//! Which files there are, by their names.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use klamm_model::Offset;

use crate::failure::Usage;

/// Digits of a segment's name.
const NAME_DIGITS: usize = 20;
/// A small file is read as a whole; no checkpoint or snapshot comes near this.
const SMALL_FILE_SIZE_MAX: u64 = 256 << 20;
/// What Kafka adds to the names of files that are about to appear or to go.
const PASSING_SUFFIXES: [&str; 3] = [".deleted", ".cleaned", ".swap"];

/// What a file is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Kind {
    /// Batches of records.
    Segment,
    /// Where in the segment an offset is.
    Index,
    /// Which offset is the first of a time.
    TimeIndex,
    /// Transactions that were aborted.
    TransactionIndex,
    /// The producers before a segment.
    Snapshot,
    /// Which leader's records begin where.
    LeaderEpochs,
    /// Whose directory it is.
    PartitionMetadata,
    /// How far Klamm knows a log to be on disk.
    DurablePoint,
    /// What Klamm knows to be damaged of a log.
    DamagedRanges,
    /// An offset for every partition of a data directory.
    OffsetCheckpoint,
}

impl Kind {
    fn of(name: &str) -> Option<Self> {
        let name = PASSING_SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
        Some(match name {
            "leader-epoch-checkpoint" => Self::LeaderEpochs,
            "partition.metadata" => Self::PartitionMetadata,
            "durable-point" => Self::DurablePoint,
            "damaged-ranges" => Self::DamagedRanges,
            "recovery-point-offset-checkpoint"
            | "replication-offset-checkpoint"
            | "log-start-offset-checkpoint"
            | "cleaner-offset-checkpoint" => Self::OffsetCheckpoint,
            // A snapshot of Kafka's metadata is a file of batches, too.
            _ => match Path::new(name).extension()?.to_str()? {
                "log" | "checkpoint" => Self::Segment,
                "index" => Self::Index,
                "timeindex" => Self::TimeIndex,
                "txnindex" => Self::TransactionIndex,
                "snapshot" => Self::Snapshot,
                _ => return None,
            },
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Segment => "segment",
            Self::Index => "index",
            Self::TimeIndex => "time-index",
            Self::TransactionIndex => "transaction-index",
            Self::Snapshot => "snapshot",
            Self::LeaderEpochs => "leader-epochs",
            Self::PartitionMetadata => "partition-metadata",
            Self::DurablePoint => "durable-point",
            Self::DamagedRanges => "damaged-ranges",
            Self::OffsetCheckpoint => "offset-checkpoint",
        }
    }
}

/// A file that can be read here.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct LogFile {
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    pub(super) size: u64,
    /// Whether it was asked for by its name, and not found in a directory.
    pub(super) is_named: bool,
}

impl LogFile {
    /// The offset that it is named by.
    pub(super) fn base(&self) -> Option<Offset> {
        let digits = self.path.file_name()?.to_str()?.split(['.', '-']).next()?;
        Offset::from_wire(digits.parse().ok().filter(|_| digits.len() == NAME_DIGITS)?)
    }

    /// The segment that an index belongs to, if it is there.
    pub(super) fn segment(&self) -> Option<Self> {
        let path = self.path.with_extension("log");
        let size = fs::metadata(&path).ok()?.len();
        Some(Self { path, kind: Kind::Segment, size, is_named: false })
    }

    /// Where in this segment its index knows a batch, the first one behind a position.
    pub(super) fn next_indexed(&self, position: u64) -> Option<u64> {
        let index = fs::read(self.path.with_extension("index")).ok()?;
        let (entries, _) = index.as_chunks::<8>();
        let positions = entries.iter().map(|[.., a, b, c, d]| u32::from_be_bytes([*a, *b, *c, *d]).into());
        positions.filter(|it| position < *it && *it < self.size).min()
    }

    /// All of a small file.
    pub(super) fn read(&self) -> Result<Vec<u8>> {
        if self.size > SMALL_FILE_SIZE_MAX {
            bail!("{}: {} bytes, no file of its kind is so large", self.path.display(), self.size);
        }
        fs::read(&self.path).with_context(|| self.path.display().to_string())
    }
}

/// The files, and those that are in the directories, in the order of their names.
pub(super) fn find(paths: &[PathBuf]) -> Result<Vec<LogFile>> {
    let mut found = Vec::new();
    for path in paths {
        let metadata = fs::metadata(path).with_context(|| path.display().to_string())?;
        if metadata.is_dir() {
            let before = found.len();
            walk(path, &mut found)?;
            if found.len() == before {
                bail!("{}: there is no file of a log in it", path.display());
            }
        } else {
            let kind = path.file_name().and_then(|name| Kind::of(name.to_str()?));
            let kind = kind.ok_or_else(|| {
                Usage(format!("{}: no file of a log has such a name; see `klamm log --help`", path.display()))
            })?;
            found.push(LogFile { path: path.clone(), kind, size: metadata.len(), is_named: true });
        }
    }
    Ok(found)
}

/// What is in a directory and below; what is about to appear or to go is left out.
fn walk(directory: &Path, found: &mut Vec<LogFile>) -> Result<()> {
    let failed = || directory.display().to_string();
    let mut entries =
        fs::read_dir(directory).and_then(Iterator::collect::<Result<Vec<_>, _>>).with_context(failed)?;
    // A segment comes before its indexes, which are compared with it.
    entries.sort_unstable_by_key(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let stem = name.split('.').next().unwrap_or_default().to_owned();
        (stem, Kind::of(&name), name)
    });
    for entry in entries {
        let path = entry.path();
        // Links are not followed: they may lead round in circles.
        let metadata = entry.metadata().with_context(|| path.display().to_string())?;
        if metadata.is_dir() {
            walk(&path, found)?;
            continue;
        }
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| !PASSING_SUFFIXES.iter().any(|it| name.ends_with(it)))
        else {
            continue;
        };
        if let Some(kind) = Kind::of(name).filter(|_| metadata.is_file()) {
            found.push(LogFile { path, kind, size: metadata.len(), is_named: false });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_what_a_file_is() {
        for (name, kind) in [
            ("00000000000000000000.log", Some(Kind::Segment)),
            ("00000000000000000042.timeindex", Some(Kind::TimeIndex)),
            ("00000000000000000042.index.deleted", Some(Kind::Index)),
            ("00000000000000000007-0000000002.checkpoint", Some(Kind::Segment)),
            ("leader-epoch-checkpoint", Some(Kind::LeaderEpochs)),
            ("damaged-ranges", Some(Kind::DamagedRanges)),
            ("meta.properties", None),
            (".lock", None),
        ] {
            assert_eq!(Kind::of(name), kind, "{name}");
        }
    }

    #[test]
    fn a_name_tells_the_first_offset() {
        let base =
            |name: &str| LogFile { path: name.into(), kind: Kind::Segment, size: 0, is_named: true }.base();
        assert_eq!(base("t-0/00000000000000000042.log"), Some(Offset::new(42)));
        assert_eq!(base("00000000000000000007-0000000002.checkpoint"), Some(Offset::new(7)));
        assert_eq!(base("some.log"), None);
        assert_eq!(base("42.log"), None);
    }
}
