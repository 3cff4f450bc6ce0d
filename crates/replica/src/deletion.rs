//! Records that clients want deleted: everything below an offset, on every replica (KIP-107).
//!
//! ```text
//!   low_watermark     log_start            last_stable
//!       |  on some replica  |   for everybody   |
//!       [  a  b  c  d  e    |  f  g  h  i       )
//! ```

use klamm_log::DiskOp;
use klamm_model::{BrokerId, Offset};

use crate::error::FetchError;
use crate::replica::{Duty, Replica};

impl Replica {
    /// Deletes the records below `to`, or all stable ones, and tells below which offset that is. They are not readable from here on; others have deleted
    /// theirs once [`Self::low_watermark`] got there.
    pub fn delete_records(
        &mut self,
        to: Option<Offset>,
        out: &mut Vec<DiskOp>,
    ) -> Result<Offset, FetchError> {
        self.leading(None)?;
        let (log_start, end) = (self.log.log_start(), self.last_stable());
        let to = to.unwrap_or(end);
        // Above the high watermark another leader may put other records, which nobody asked to delete. And of a transaction, all or nothing is there.
        if end < to {
            return Err(FetchError::OutOfRange { from: to, log_start, end });
        }
        self.log.advance_log_start(to, out);
        Ok(to)
    }

    /// Where the logs of all replicas that live start at the latest, this one's as its disk has it; `None` if this one does not lead, or somebody has not told
    /// yet.
    pub fn low_watermark(&self, lives: impl Fn(BrokerId) -> bool) -> Option<Offset> {
        let Duty::Leader(leader) = &self.duty else {
            return None;
        };
        let mut others = leader.followers.iter().filter(|it| lives(it.id)).map(|it| it.log_start);
        others.try_fold(self.log.durable_log_start(), |lowest, it| Some(lowest.min(it?)))
    }
}
