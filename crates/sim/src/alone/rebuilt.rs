//! Whether what a log has besides its records is what the records make it (I20).

use std::io;

use klamm_log::{DURABLE_POINT, DiskAction, EPOCH_CHECKPOINT, FileKind, Log, LogFiles};
use klamm_model::Offset;

/// Only the records, what says where they begin, and of the producers what no record tells any more.
struct Bare<'a> {
    files: &'a dyn LogFiles,
    snapshot: String,
    /// The file that says where the log starts.
    start: &'static str,
}

impl LogFiles for Bare<'_> {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let stays = |(name, _): &(String, u64)| {
            name.ends_with(".log") || *name == self.snapshot || name == self.start
        };
        Ok(self.files.list()?.into_iter().filter(stays).collect())
    }

    fn read_at(&self, name: &str, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.files.read_at(name, position, buffer)
    }
}

/// Whether a log that was recovered with all its files differs from one that has nothing but the records: epochs, producers, and, where nobody damaged them, the
/// indexes of closed segments.
pub(super) fn rebuilt_differs(log: &Log, files: &dyn LogFiles, with_indexes: bool) -> Option<String> {
    // Of producers whose records are deleted only the snapshot knows that was taken where the log begins.
    let base = |name: &str| name.strip_suffix(".log")?.parse().ok();
    let listed = files.list().ok()?;
    let bases = listed.iter().filter_map(|(name, _)| base(name));
    let first: i64 = bases.filter(|base| *base <= log.log_start().raw()).max()?;
    let snapshot = FileKind::Producers.file_name(Offset::new(first));
    let has_point = listed.iter().any(|(name, _)| name == DURABLE_POINT);
    let bare = Bare { files, snapshot, start: if has_point { DURABLE_POINT } else { EPOCH_CHECKPOINT } };
    let mut rebuilt = match Log::recover(log.partition(), String::new(), *log.config(), &bare) {
        Ok((rebuilt, _)) => rebuilt,
        Err(error) => return Some(format!("without the other files it is refused: {error}")),
    };
    let state = |log: &Log| {
        let producers: Vec<_> = log.producer_states().collect();
        format!(
            "{:?} to {:?}, epoch {:?}, producers {producers:?}",
            log.log_start(),
            log.end(),
            log.last_epoch()
        )
    };
    let states = [state(log), state(&rebuilt)];
    if states[0] != states[1] {
        return Some(format!("{} by its files, {} by its records", states[0], states[1]));
    }
    let mut ops = Vec::new();
    rebuilt.start(&mut ops);
    ops.iter().filter(|_| with_indexes).find_map(|op| {
        let DiskAction::Seal { segment, index, times, .. } = &op.action else { return None };
        [(FileKind::Index, index), (FileKind::TimeIndex, times)].into_iter().find_map(|(kind, wanted)| {
            let name = kind.file_name(segment.base);
            let size = listed.iter().find(|(it, _)| *it == name)?.1;
            let mut found = vec![0; usize::try_from(size).ok()?];
            files.read_at(&name, 0, &mut found).ok()?;
            (found != **wanted).then(|| format!("{name} is {found:?}, the records make it {wanted:?}"))
        })
    })
}
