//! Forgetting transactional ids that nobody uses any more. These are days: the log's timestamps are all there is to go by, since no process lives that long for certain.

use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use klamm_model::{Now, Tick};

use super::{Output, Slot, TransactionConfig, Transactions, entry_size};
use crate::record::{TransactionRecord, TransactionState};
use crate::{Append, Effects};

/// Ids that are looked at in one go: others wait meanwhile.
const LOOKED_AT_MAX: usize = 1_000;

/// Where the search for unused ids is.
#[derive(Debug, Default)]
pub(super) struct Expiry {
    /// When to go on.
    next: Option<Tick>,
    /// The last id that was looked at.
    after: Option<Arc<str>>,
}

impl Expiry {
    pub(super) fn start(&mut self, now: Tick, config: &TransactionConfig) {
        self.next = Some(now.after_ms(config.expiry_check_interval_ms.max(1)));
        self.after = None;
    }

    pub(super) fn next(&self) -> Option<Tick> {
        self.next
    }
}

impl Transactions {
    pub(super) fn expire(&mut self, now: Now, out: &mut Effects<Output>) {
        if self.expiry.next.is_none_or(|next| now.tick < next) {
            return;
        }
        let start = self.expiry.after.take().map_or(Unbounded, Excluded);
        let looked_at = self.ids.range::<Arc<str>, _>((start, Unbounded)).take(LOOKED_AT_MAX);
        let mut last = None;
        let mut unused = Vec::new();
        for (count, (id, slot)) in looked_at.enumerate() {
            if self.is_unused(slot, now) {
                unused.push(id.clone());
            }
            last = (count + 1 == LOOKED_AT_MAX).then(|| id.clone());
        }
        match last {
            Some(last) => self.expiry.after = Some(last),
            None => self.expiry.start(now.tick, &self.config),
        }
        self.forget(&unused, out);
    }

    fn is_unused(&self, slot: &Slot, now: Now) -> bool {
        use TransactionState::{CompleteAbort, CompleteCommit, Empty};
        let value = &slot.known.value;
        let age_ms = now.wall.0.saturating_sub(value.updated_at.0);
        matches!(value.state, Empty | CompleteCommit | CompleteAbort)
            && u64::try_from(age_ms).is_ok_and(|age_ms| self.config.id_expiration_ms <= age_ms)
    }

    fn forget(&mut self, unused: &[Arc<str>], out: &mut Effects<Output>) {
        let mut entries = Vec::new();
        let mut size = 0;
        for id in unused {
            let slot = self.ids.remove(id).expect("it was looked at");
            assert!(slot.due.is_none(), "{id} is unused, and something is due for it");
            let entry = TransactionRecord { transactional_id: id.to_string(), value: None }.encode();
            let entry_size = entry_size(&entry);
            if self.config.batch_size_max < size + entry_size && !entries.is_empty() {
                out.appends.push(Append { transaction: None, entries: std::mem::take(&mut entries) });
                size = 0;
            }
            size += entry_size;
            entries.push(entry);
        }
        if !entries.is_empty() {
            out.appends.push(Append { transaction: None, entries });
        }
    }
}
