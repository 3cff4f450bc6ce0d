//! The log of a Raft on this node's disk: entries of terms, which may be taken back as long as they are not committed.
//!
//! Knows no Raft: it appends what it is told, takes back what it is told, and says how far all of it is on disk. What a full disk refused is appended again
//! when there is room, so whoever waits for an entry only waits.
//!
//! ```text
//!   start            synced            end
//!     |  on disk       |  on its way     |
//!   [ a  b  c  d  e  f |  g  h  i        )
//! ```

use std::collections::VecDeque;

use klamm_log::{AppendError, DiskError, DiskOp, Done, Log, OpId};
use klamm_model::{LeaderEpoch, Tick};

pub use crate::stored::{DIRECTORY, PARTITION, ReadFile, Stored, StoredError, log_config};
use crate::stored::{index, offset, read_all, run_of};

/// What a [`RaftLog`] wants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// To be carried out; the end is told by [`RaftLog::disk_done`].
    Disk(DiskOp),
    /// The disk is full: call [`RaftLog::try_again`] after a while, a second say.
    TryAgainLater,
    /// The disk failed. What the log holds is not known, so the node must stop.
    Fatal(DiskError),
}

/// The log.
///
/// Invariant: `unsynced` is the end of the log, in order; what of it is not in `log` any more found no room.
pub struct RaftLog {
    log: Log,
    unsynced: VecDeque<Stored>,
    has_failed: bool,
}

impl RaftLog {
    /// For a node that has no log yet.
    pub fn create(out: &mut Vec<Effect>) -> Self {
        let mut ops = Vec::new();
        let log = Log::create(PARTITION, DIRECTORY.to_owned(), log_config(), &mut ops);
        out.extend(ops.into_iter().map(Effect::Disk));
        Self { log, unsynced: VecDeque::new(), has_failed: false }
    }

    /// A log that was recovered with [`log_config`], and its entries. Nothing is written before [`Self::start`].
    pub fn recovered(log: Log, read: ReadFile<'_>) -> Result<(Self, VecDeque<Stored>), StoredError> {
        let entries = read_all(&log, read)?;
        let synced = index(log.synced());
        let unsynced = entries.iter().filter(|it| synced <= it.index).cloned().collect();
        Ok((Self { log, unsynced, has_failed: false }, entries))
    }

    /// Begins work on a log that was recovered: what was found is brought to disk.
    pub fn start(&mut self, out: &mut Vec<Effect>) {
        self.with_ops(out, |log, ops| log.start(ops));
    }

    /// Where the log starts: the entries below were purged.
    pub fn start_index(&self) -> u64 {
        index(self.log.log_start())
    }

    /// All entries below are on disk.
    pub fn synced(&self) -> u64 {
        self.unsynced.front().map_or(index(self.log.end()), |it| it.index)
    }

    /// One past the last entry.
    pub fn end(&self) -> u64 {
        self.unsynced.back().map_or(index(self.log.end()), |it| it.index + 1)
    }

    /// Appends entries, which follow each other and what is here. An empty log begins where they do.
    pub fn append(&mut self, entries: Vec<Stored>, out: &mut Vec<Effect>) {
        let Some(first) = entries.first() else { return };
        if self.end() != first.index {
            assert_eq!(self.start_index(), self.end(), "entry {} after entry {}", first.index, self.end());
            self.with_ops(out, |log, ops| log.restart_at(offset(first.index), ops));
        }
        let nothing_waits = self.end() == index(self.log.end());
        let from = self.unsynced.len();
        self.unsynced.extend(entries);
        if nothing_waits {
            self.write_from(from, out);
        }
    }

    /// Takes back all entries from `from` on.
    pub fn truncate(&mut self, from: u64, out: &mut Vec<Effect>) {
        self.unsynced.retain(|it| it.index < from);
        self.with_ops(out, |log, ops| log.truncate_to(offset(from), ops));
    }

    /// Gives up all entries below `below`; if that is all of them, the log goes on there.
    pub fn purge(&mut self, below: u64, out: &mut Vec<Effect>) {
        if self.end() <= below {
            self.unsynced.clear();
            self.with_ops(out, |log, ops| log.restart_at(offset(below), ops));
        } else {
            let to = offset(below).min(self.log.written());
            self.with_ops(out, |log, ops| log.advance_log_start(to, ops));
        }
    }

    /// No entry below `end` will be taken back.
    pub fn note_committed(&mut self, end: u64) {
        self.log.note_high_watermark(offset(end).min(self.log.synced()));
    }

    /// A disk operation has ended.
    pub fn disk_done(&mut self, op: OpId, result: Result<Done, DiskError>, out: &mut Vec<Effect>) {
        let mut ops = Vec::new();
        let progress = self.log.done(op, result, &mut ops);
        out.extend(ops.into_iter().map(Effect::Disk));
        if let Some(error) = progress.fatal {
            self.has_failed = true;
            out.push(Effect::Fatal(error));
        } else if progress.lost_from.is_some() {
            out.push(Effect::TryAgainLater);
        }
        let synced = index(self.log.synced());
        while self.unsynced.pop_front_if(|it| it.index < synced).is_some() {}
    }

    /// The disk was full and may have room now.
    pub fn try_again(&mut self, out: &mut Vec<Effect>) {
        let end = index(self.log.end());
        self.write_from(self.unsynced.partition_point(|it| it.index < end), out);
    }

    /// The process ends: what the log has comes to disk. Nothing may be appended afterwards.
    pub fn stop(&mut self, out: &mut Vec<Effect>) {
        self.with_ops(out, |log, ops| log.stop(ops));
    }

    /// Whether all there is is on disk, and the files beside it say so.
    pub fn is_whole(&self) -> bool {
        !self.has_failed && self.unsynced.is_empty() && self.log.is_whole()
    }

    /// Whether [`Self::periodic`] has anything to do.
    pub fn wants_periodic(&self) -> bool {
        self.log.wants_periodic()
    }

    /// Once a second or so: housekeeping of the log.
    pub fn periodic(&mut self, now: Tick, out: &mut Vec<Effect>) {
        self.with_ops(out, |log, ops| log.periodic(now, ops));
    }

    /// The newest term of an entry that was ever appended and not taken back.
    pub fn last_term(&self) -> Option<LeaderEpoch> {
        self.log.last_epoch()
    }

    fn write_from(&mut self, from: usize, out: &mut Vec<Effect>) {
        let entries = &self.unsynced.make_contiguous()[from..];
        if entries.is_empty() || self.has_failed {
            return;
        }
        let run = run_of(entries);
        let mut ops = Vec::new();
        let appended = self.log.append_as_follower(run, &mut ops);
        out.extend(ops.into_iter().map(Effect::Disk));
        match appended {
            Ok(_) => {}
            Err(AppendError::Overloaded { .. }) => out.push(Effect::TryAgainLater),
            // The failure itself was told by `disk_done`.
            Err(AppendError::LogFailed) => self.has_failed = true,
            Err(error) => panic!("the metadata log refused entries of ours: {error}"),
        }
    }

    fn with_ops(&mut self, out: &mut Vec<Effect>, act: impl FnOnce(&mut Log, &mut Vec<DiskOp>)) {
        let mut ops = Vec::new();
        act(&mut self.log, &mut ops);
        out.extend(ops.into_iter().map(Effect::Disk));
    }
}

#[cfg(test)]
mod tests;
