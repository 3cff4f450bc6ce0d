//! Which batches belong to transactions that were aborted (KIP-98).

use std::collections::BTreeSet;

use klamm_model::{BatchError, BatchView, Offset, ProducerId};
use klamm_wire::fetch::AbortedTransaction;

/// A control record says in its key, after a version of two bytes, what became of the transaction: 0 is aborted.
const ABORT: [u8; 2] = [0, 0];
/// Nobody packs so few bytes, least of all into more than this.
const MARK_SIZE_MAX: usize = 1 << 10;

/// The aborted transactions that an answer tells of: those that begin behind the batch looked at last, and those that are open there.
pub(super) struct Aborted {
    /// The first to begin comes last.
    to_come: Vec<(Offset, ProducerId)>,
    open: BTreeSet<ProducerId>,
}

impl Aborted {
    pub(super) fn new(transactions: Option<Vec<AbortedTransaction>>) -> Self {
        let known = transactions.unwrap_or_default().into_iter().filter_map(|transaction| {
            let producer = ProducerId::from_wire(transaction.producer_id)?;
            Some((Offset::from_wire(transaction.first_offset)?, producer))
        });
        let mut to_come: Vec<_> = known.collect();
        to_come.sort_unstable_by(|one, other| other.cmp(one));
        Self { to_come, open: BTreeSet::new() }
    }

    /// Whether the batch is to be left out. To be asked of every batch of the answer, in order.
    pub(super) fn hides(&mut self, batch: &BatchView<'_>) -> Result<bool, BatchError> {
        while let Some((_, producer)) = self.to_come.pop_if(|(first, _)| *first <= batch.last_offset()) {
            self.open.insert(producer);
        }
        let header = batch.header();
        let Some(producer) = header.producer else { return Ok(false) };
        if header.attributes.is_control() {
            let mut scratch = Vec::new();
            let mark = batch.records(&mut scratch, MARK_SIZE_MAX)?.next().transpose()?;
            if mark.and_then(|mark| mark.key?.get(2..4)) == Some(&ABORT[..]) {
                self.open.remove(&producer.id);
            }
        }
        Ok(header.attributes.is_transactional() && self.open.contains(&producer.id))
    }
}
