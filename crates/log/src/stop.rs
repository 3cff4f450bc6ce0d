//! The end of the process, as a log sees it: everything written comes to disk, relaxed or not, and what makes the next start short is saved.

use crate::disk::DiskOp;
use crate::log::{Life, Log};

impl Log {
    /// Begins to stop. Nothing may be appended afterwards; the log is done when it [`is_at_rest`](Self::is_at_rest).
    pub fn stop(&mut self, out: &mut Vec<DiskOp>) {
        self.is_stopping = true;
        self.come_to_rest(out);
        // Of one that is deleted or has failed, what is under way ends.
        self.pump(out);
    }

    /// No operation is under way. A log that stops has done then what could be done; what a full disk holds up would wait for ever.
    pub fn is_at_rest(&self) -> bool {
        let queue = &self.queue;
        queue.running.is_empty()
            && queue.syncing.is_none()
            && queue.errand.is_none()
            && queue.started.as_ref().is_none_or(|started| started.op.is_none())
    }

    /// All there is is on disk, and the files beside it say so.
    pub fn is_whole(&self) -> bool {
        let nothing_waits = self.is_at_rest() && self.queue.is_open() && self.to_create.is_none();
        match self.life {
            Life::Running => {
                nothing_waits
                    && self.synced == self.end
                    && !self.durable_point_is_old()
                    && !self.epochs_unsaved
                    && !self.quarantine_unsaved
                    // What was to be saved last found no room.
                    && !self.errands_pause
            }
            Life::Failed => false,
            Life::Deleted => nothing_waits,
        }
    }
}
