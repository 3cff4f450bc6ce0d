//! Requests that wait until the markers of the transaction before are written. To answer them at once would cost their clients a round trip and a pause.

use std::sync::Arc;

use klamm_model::{Now, Tick};

use super::{Output, Reply, Request, TransactionError, Transactions};
use crate::{Effects, RequestId};

/// Requests of one transactional id that may wait: its producer has one under way, and brokers one for each partition that it writes to.
const WAITING_PER_ID_MAX: usize = 100;
/// Requests that may wait in a shard.
const WAITING_MAX: usize = 10_000;

/// A request that cannot be decided yet.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) id: RequestId,
    pub(super) request: Request,
    /// Then it is answered, whatever is to be said.
    pub(super) until: Tick,
}

impl Waiting {
    pub(super) fn refuse(self, error: TransactionError, out: &mut Effects<Output>) {
        let reply = match self.request {
            Request::Init(_) => Reply::Init(Err(error)),
            Request::AddPartitions(_) => Reply::AddPartitions(Err(error)),
            Request::Verify(_) => Reply::Verify(Err(error)),
            Request::End(_) => Reply::End(Err(error)),
            Request::Describe(_) => Reply::Describe(Err(error)),
            Request::List(_) => unreachable!("nothing keeps a list from being made"),
        };
        out.outputs.push(Output::Reply(self.id, reply));
    }

    fn transactional_id(&self) -> &str {
        match &self.request {
            Request::Init(it) => &it.transactional_id,
            Request::AddPartitions(it) | Request::Verify(it) => &it.transactional_id,
            Request::End(it) => &it.transactional_id,
            Request::Describe(_) | Request::List(_) => unreachable!("whoever only looks does not wait"),
        }
    }
}

impl Transactions {
    pub(super) fn wait(&mut self, now: Now, it: Waiting, out: &mut Effects<Output>) {
        let (id, slot) = self.ids.get_key_value(it.transactional_id()).expect("its markers are under way");
        let is_full = WAITING_MAX <= self.waiting_count || WAITING_PER_ID_MAX <= slot.waiting.len();
        if it.until <= now.tick || is_full {
            return it.refuse(TransactionError::Concurrent, out);
        }
        let id = id.clone();
        self.slot(&id).waiting.push(it);
        self.waiting_count += 1;
        self.schedule(&id);
    }

    /// The markers are written: those who waited have their turn.
    pub(super) fn let_go(&mut self, now: Now, id: &Arc<str>, out: &mut Effects<Output>) {
        let waiting = std::mem::take(&mut self.slot(id).waiting);
        self.waiting_count -= waiting.len();
        for it in waiting {
            self.attempt(now, it, out);
        }
    }

    pub(super) fn give_up_waiting(&mut self, now: Now, id: &Arc<str>, out: &mut Effects<Output>) {
        for it in self.slot(id).waiting.extract_if(.., |it| it.until <= now.tick).collect::<Vec<_>>() {
            self.waiting_count -= 1;
            it.refuse(TransactionError::Concurrent, out);
        }
    }
}
