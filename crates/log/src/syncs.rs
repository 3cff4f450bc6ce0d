//! How far a log is on disk, and what a sync is good for.
//!
//! ```text
//!   handed out ──▶ waits for its turn ──▶ begins ──▶ has ended
//!       covers what is written now    └── and now, if the log is told
//! ```
//! A log has one sync under way, and everything that is written until it begins shares it. Invariant: what a sync covers was written before the system
//! was asked for it.

use klamm_model::Offset;

use crate::config::Flush;
use crate::disk::{DiskAction, DiskError, DiskOp, OpId};
use crate::log::{Life, Log, Progress};
use crate::queue::Syncing;

impl Log {
    /// A sync that was handed out begins: it covers what was written while it waited, too. Whoever carries it out may tell this once, and asks the
    /// system only afterwards: what is written behind its back would count as on disk, and a crash would take it.
    ///
    /// Other operations, and syncs of which nothing hangs any more, are none of its business.
    pub fn sync_begins(&mut self, op: OpId) {
        let Some(syncing) = self.queue.syncing.as_mut().filter(|syncing| syncing.id == op) else { return };
        // What is written lies in the segment that is synced, or below: a roll waits for the sync to end, and what goes to the next segment waits
        // for the roll. Behind a cut it is the same.
        if self.life == Life::Running {
            assert!(
                syncing.covers <= self.written,
                "a sync of {} covers {}, and written is {}",
                self.partition,
                syncing.covers,
                self.written
            );
            (syncing.covers, syncing.appended_bytes) = (self.written, self.written_bytes);
        }
    }

    pub(crate) fn sync_if_due(&mut self, out: &mut Vec<DiskOp>) {
        if self.queue.syncing.is_some() || self.written <= self.synced {
            return;
        }
        let due = match self.config.flush {
            Flush::Synced => true,
            Flush::Relaxed { .. } if self.is_stopping => true,
            Flush::Relaxed { bytes_max, .. } => bytes_max <= self.written_bytes - self.synced_bytes,
        };
        if due {
            self.sync(out);
        }
    }

    pub(crate) fn sync(&mut self, out: &mut Vec<DiskOp>) {
        let id = self.queue.next_id();
        self.sync_started = self.now;
        self.queue.syncing = Some(Syncing { id, covers: self.written, appended_bytes: self.written_bytes });
        let segment = self.id_of(self.active().base);
        out.push(DiskOp { partition: self.partition, id, action: DiskAction::Sync { segment } });
    }

    pub(crate) fn sync_ended(&mut self, result: Result<(), DiskError>, progress: &mut Progress) {
        let Some(syncing) = self.queue.syncing.take() else { return };
        match result {
            Ok(()) => self.synced_to(syncing.covers, syncing.appended_bytes, progress),
            // The kernel drops what it could not write and calls it clean: a second sync would succeed, and mean nothing.
            Err(error) => self.fail(error, self.synced, progress),
        }
    }

    pub(crate) fn synced_to(&mut self, covers: Offset, appended_bytes: u64, progress: &mut Progress) {
        if self.life == Life::Running && self.synced < covers {
            assert!(
                covers <= self.written,
                "synced {covers} above written {} of {}",
                self.written,
                self.partition
            );
            self.synced = covers;
            self.synced_bytes = appended_bytes;
            progress.synced = Some(covers);
        }
    }
}
