//! Producer ids that may be given out, and who waits for some.

use klamm_cluster::controller::ProducerIdBlock;
use klamm_model::ProducerId;

use super::rules::Refusal;
use super::waiting::Waiting;
use super::{Output, TransactionError};
use crate::Effects;

/// Requests that may wait for a block.
const WAITING_MAX: usize = 10_000;

/// Ids that nobody else gives out. What is left when the shard ends is lost: there are enough.
#[derive(Debug, Default)]
pub(super) struct Stock {
    next: i64,
    end: i64,
    /// There are none left, and somebody wanted one.
    is_short: bool,
    is_asking: bool,
    waiting: Vec<Waiting>,
}

impl Stock {
    pub(super) fn take(&mut self) -> Result<ProducerId, Refusal> {
        let taken = (self.next < self.end).then_some(ProducerId(self.next)).ok_or(Refusal::NoProducerId);
        self.next = self.end.min(self.next + 1);
        self.is_short = self.next == self.end;
        taken
    }

    /// Asks for more as soon as the last one is taken.
    pub(super) fn ask(&mut self, out: &mut Effects<Output>) {
        if self.is_short && !std::mem::replace(&mut self.is_asking, true) {
            out.outputs.push(Output::NeedProducerIds);
        }
    }

    #[cfg(test)]
    pub(super) fn is_asking(&self) -> bool {
        self.is_asking
    }

    pub(super) fn wait(&mut self, it: Waiting, out: &mut Effects<Output>) {
        if WAITING_MAX <= self.waiting.len() {
            return it.refuse(TransactionError::NoProducerIds, out);
        }
        self.waiting.push(it);
    }

    /// Takes what was asked for, if it came, and gives those who wait.
    pub(super) fn fill(&mut self, block: Option<ProducerIdBlock>) -> Vec<Waiting> {
        self.is_asking = false;
        if let Some(block) = block {
            self.next = block.first.0;
            self.end = block.first.0.saturating_add(block.count.into());
            self.is_short = false;
        }
        std::mem::take(&mut self.waiting)
    }
}
