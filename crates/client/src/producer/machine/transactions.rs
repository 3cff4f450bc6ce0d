//! A producer's transactions: what may be done now, and what comes of it.
//!
//! ```text
//!                 begin           commit                    decided
//!    Idle -------------> Open -------------> Ending(Commit) --------> Idle
//!     ^                   |  something is missing  |
//!     |  decided          +-----> Failed <---------+
//!     |                   | abort   | abort
//!   (Identifying) <- Ending(Abort) <+
//! ```
//! Identifying is where a producer begins, and where it gets an epoch in which its numbers begin anew, if the end of a transaction brings none. From anywhere to Over:
//! another producer has the transactional id, or the coordinator refuses for good. What the coordinator is asked on the way is in [`super::coordinator`].
//!
//! Invariants: a transaction is committed only when each of its records is acknowledged and each of its offsets taken, nothing is sent outside of one, and of one that
//! failed or is to be aborted nothing is sent any more.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use klamm_model::{BrokerId, ErrorCode, Tick};

use super::super::effect::Effect;
use super::super::error::Cause;
use super::super::question::{GroupOffsets, Outcome, Protocol, Question};
use super::super::transaction_error::TransactionError;
use super::Machine;
use crate::call::CallId;
use crate::trouble::Failing;

/// Where a producer is with its transactions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// It needs an identity, or a new epoch.
    Identifying,
    Idle,
    Open,
    /// Something is missing, for this reason.
    Failed(Cause),
    Ending(Outcome),
    /// For ever.
    Over(TransactionError),
}

#[derive(Debug)]
pub(super) struct Transactions {
    pub(super) id: Arc<str>,
    pub(super) timeout_ms: u64,
    pub(super) phase: Phase,
    /// Somebody has a transaction in hand. Until it is let go there is no other, so that nobody takes the next one for it.
    is_held: bool,
    /// What that somebody wanted last.
    wish: Option<Outcome>,
    pub(super) protocol: Protocol,
    /// A transaction was ended under this identity by the older protocol: its requests may still be under way, and would be taken for those of a newer one.
    pub(super) has_used_epoch: bool,
    /// The coordinator knows of the transaction, or may: it has to be ended there.
    pub(super) is_begun: bool,
    /// The numbers of some partition can't go on.
    pub(super) needs_epoch: bool,
    pub(super) coordinator: Option<BrokerId>,
    /// Of the group that offsets were committed for last.
    pub(super) group_coordinator: Option<(String, BrokerId)>,
    pub(super) asked: Option<(CallId, Question)>,
    /// What brought no answer and may have been done all the same: it is asked until that is known.
    pub(super) unsure: Option<Question>,
    pub(super) not_before: Tick,
    pub(super) failing: Option<Failing<Cause>>,
    /// Partitions and groups that the coordinator knows to be part of the transaction.
    pub(super) added: BTreeSet<usize>,
    pub(super) added_groups: BTreeSet<String>,
    /// Partitions that it has to hear of.
    pub(super) wanted: BTreeSet<usize>,
    /// What groups' coordinators are to be told, with the tickets of those who wait for it.
    pub(super) offsets: VecDeque<(u64, GroupOffsets)>,
    tickets: u64,
    /// The last ticket whose offsets are part of the transaction.
    done_ticket: u64,
}

impl Transactions {
    pub(super) fn new(id: Arc<str>, timeout_ms: u64) -> Self {
        Self {
            id,
            timeout_ms,
            phase: Phase::Identifying,
            is_held: false,
            wish: None,
            protocol: Protocol::Named,
            has_used_epoch: false,
            is_begun: false,
            needs_epoch: false,
            coordinator: None,
            group_coordinator: None,
            asked: None,
            unsure: None,
            not_before: Tick(0),
            failing: None,
            added: BTreeSet::new(),
            added_groups: BTreeSet::new(),
            wanted: BTreeSet::new(),
            offsets: VecDeque::new(),
            tickets: 0,
            done_ticket: 0,
        }
    }

    /// Whether records and offsets are taken.
    pub(super) fn check_open(&self) -> Result<(), TransactionError> {
        match &self.phase {
            Phase::Open => Ok(()),
            Phase::Failed(cause) => Err(must_abort(cause)),
            Phase::Ending(outcome) => {
                Err(TransactionError::Ending { is_commit: *outcome == Outcome::Commit })
            }
            Phase::Over(error) => Err(error.clone()),
            Phase::Identifying | Phase::Idle => Err(TransactionError::NotOpen),
        }
    }

    /// Whether batches may be sent. A commit waits for them.
    pub(super) fn sends(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Ending(Outcome::Commit))
    }

    /// Whether nothing is left to be done once the producer is closed.
    pub(super) fn is_settled(&self) -> bool {
        matches!(self.phase, Phase::Idle | Phase::Identifying | Phase::Over(_))
    }

    /// Why batches that are not under way are of no use any more.
    fn doom(&self) -> Option<Cause> {
        let error = match &self.phase {
            Phase::Failed(cause) => must_abort(cause),
            Phase::Over(error) => error.clone(),
            Phase::Ending(Outcome::Abort) => return Some(Cause::Aborted),
            Phase::Identifying | Phase::Idle | Phase::Open | Phase::Ending(Outcome::Commit) => return None,
        };
        Some(Cause::Transaction(Box::new(error)))
    }

    /// Why the coordinator does not hear of a partition that something waits to go to.
    pub(super) fn stands_in_the_way(&self, slot: usize) -> Option<&Failing<Cause>> {
        self.failing.as_ref().filter(|_| self.wanted.contains(&slot))
    }

    fn fail(&mut self, cause: Cause) -> bool {
        let may_fail = self.sends();
        if may_fail && self.is_held {
            (self.phase, self.wish) = (Phase::Failed(cause), None);
        } else if may_fail {
            // Whoever asked for the commit did not wait for it, and nobody is left to abort it.
            self.end(Outcome::Abort);
        }
        may_fail
    }

    fn end(&mut self, outcome: Outcome) {
        (self.phase, self.wish) = (Phase::Ending(outcome), Some(outcome));
        if outcome == Outcome::Abort {
            self.wanted.clear();
            self.offsets.clear();
        }
    }

    pub(super) fn offsets_done(&mut self) {
        if let Some((ticket, _)) = self.offsets.pop_front() {
            self.done_ticket = ticket;
        }
    }

    /// The transaction is decided, or there was none; what belonged to it is forgotten.
    pub(super) fn decided(&mut self) {
        self.phase = if self.needs_epoch { Phase::Identifying } else { Phase::Idle };
        self.is_begun = false;
        self.added.clear();
        self.added_groups.clear();
        self.wanted.clear();
        self.offsets.clear();
    }
}

/// What users do.
impl<T: Clone + Default> Machine<T> {
    /// The transactional id and how transactions go, for what is written to say.
    pub fn transaction(&self) -> Option<(Arc<str>, Protocol)> {
        self.transactions.as_ref().map(|it| (it.id.clone(), it.protocol))
    }

    /// Whether a transaction could begin; `None` while that is not known.
    pub fn is_ready(&self) -> Option<Result<(), TransactionError>> {
        match &self.transactions().phase {
            Phase::Over(error) => Some(Err(error.clone())),
            Phase::Idle if !self.transactions().is_held => Some(Ok(())),
            _ => None,
        }
    }

    /// Begins a transaction. `false`: the one before has to come to its end first, or an identity is missing; to be tried again after
    /// [`Effect::Progress`].
    pub fn begin(&mut self, protocol: Protocol) -> Result<bool, TransactionError> {
        if self.is_closed {
            return Err(TransactionError::Closed);
        }
        let it = self.transactions_mut();
        match &it.phase {
            Phase::Over(error) => Err(error.clone()),
            Phase::Open | Phase::Failed(_) => Err(TransactionError::AlreadyOpen),
            Phase::Identifying | Phase::Ending(_) => Ok(false),
            Phase::Idle if it.is_held => Ok(false),
            Phase::Idle if it.protocol != protocol && it.has_used_epoch => {
                (it.protocol, it.phase) = (protocol, Phase::Identifying);
                Ok(false)
            }
            Phase::Idle => {
                (it.protocol, it.phase, it.is_held, it.wish) = (protocol, Phase::Open, true, None);
                Ok(true)
            }
        }
    }

    /// Takes offsets into the transaction. Gives a ticket for [`offsets_taken`](Self::offsets_taken).
    pub fn send_offsets(&mut self, offsets: GroupOffsets) -> Result<u64, TransactionError> {
        let it = self.transactions_mut();
        it.check_open()?;
        it.tickets += 1;
        it.offsets.push_back((it.tickets, offsets));
        Ok(it.tickets)
    }

    /// Whether the offsets are part of the transaction; `None` while that is not known.
    pub fn offsets_taken(&self, ticket: u64) -> Option<Result<(), TransactionError>> {
        let it = self.transactions();
        if ticket <= it.done_ticket {
            return Some(Ok(()));
        }
        match &it.phase {
            Phase::Open | Phase::Ending(Outcome::Commit) => None,
            _ => Some(it.check_open()),
        }
    }

    /// Everything that the transaction took is to count, if nothing of it is missing. What comes of that is told by
    /// [`transaction_end`](Self::transaction_end).
    pub fn commit(&mut self) -> Result<(), TransactionError> {
        let it = self.transactions_mut();
        match it.check_open() {
            Ok(()) => {
                it.end(Outcome::Commit);
                self.hurry();
                Ok(())
            }
            // Whoever asks again waits for the same.
            Err(TransactionError::Ending { is_commit: true }) => Ok(()),
            Err(TransactionError::NotOpen) if it.wish == Some(Outcome::Commit) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Nothing that the transaction took is to count. What comes of that is told by [`transaction_end`](Self::transaction_end).
    pub fn abort(&mut self) -> Result<(), TransactionError> {
        let it = self.transactions_mut();
        match &it.phase {
            Phase::Over(error) => Err(error.clone()),
            // Nobody knows how far that came.
            _ if it.wish == Some(Outcome::Commit) => Err(TransactionError::Ending { is_commit: true }),
            Phase::Open | Phase::Failed(_) => {
                it.end(Outcome::Abort);
                Ok(())
            }
            Phase::Ending(_) | Phase::Identifying | Phase::Idle => Ok(()),
        }
    }

    /// What came of [`commit`](Self::commit) or [`abort`](Self::abort); `None` while that is not known.
    pub fn transaction_end(&self) -> Option<Result<(), TransactionError>> {
        match &self.transactions().phase {
            Phase::Ending(_) | Phase::Identifying => None,
            Phase::Idle => Some(Ok(())),
            Phase::Open | Phase::Failed(_) | Phase::Over(_) => Some(self.transactions().check_open()),
        }
    }

    /// Nobody has the transaction in hand any more: if it goes on, it is aborted.
    pub fn let_go(&mut self) {
        let it = self.transactions_mut();
        it.is_held = false;
        if matches!(it.phase, Phase::Open | Phase::Failed(_)) {
            it.end(Outcome::Abort);
        }
    }

    /// What stands in the way of the coordinator's word.
    pub fn transaction_trouble(&self) -> Option<Cause> {
        self.transactions().failing.as_ref().map(|it| it.cause.clone())
    }

    pub(super) fn close_transactions(&mut self) {
        if let Some(it) = &mut self.transactions
            && matches!(it.phase, Phase::Open | Phase::Failed(_))
        {
            it.end(Outcome::Abort);
        }
    }

    /// Something that the transaction took is not known to be where it belongs.
    pub(super) fn fail_transaction(&mut self, cause: &Cause, out: &mut Vec<Effect<T>>) {
        let Some(it) = &mut self.transactions else { return };
        if matches!(cause, Cause::Refused { code: ErrorCode::ProducerFenced, .. }) {
            let transactional_id = it.id.to_string();
            self.transactions_over(TransactionError::Fenced { transactional_id }, out);
        } else if it.fail(cause.clone()) {
            out.push(Effect::Progress);
        }
    }

    pub(super) fn transactions_over(&mut self, error: TransactionError, out: &mut Vec<Effect<T>>) {
        let it = self.transactions_mut();
        if !matches!(it.phase, Phase::Over(_)) {
            (it.phase, it.unsure) = (Phase::Over(error), None);
            out.push(Effect::Progress);
        }
    }

    /// Of a transaction that will not be committed nothing is sent any more.
    pub(super) fn give_up_doomed(&mut self, out: &mut Vec<Effect<T>>) {
        let Some(cause) = self.transactions.as_ref().and_then(Transactions::doom) else { return };
        for slot in self.active.clone() {
            let mut given_up = Vec::new();
            let must_renumber = self.queues[slot].give_up_waiting(|batch| given_up.push(batch));
            self.transactions_mut().needs_epoch |= must_renumber;
            for batch in given_up {
                self.give_up(slot, batch, cause.clone(), out);
            }
        }
    }

    pub(super) fn transactions(&self) -> &Transactions {
        self.transactions.as_ref().expect("only transactional producers are asked about transactions")
    }

    pub(super) fn transactions_mut(&mut self) -> &mut Transactions {
        self.transactions.as_mut().expect("only transactional producers are asked about transactions")
    }
}

fn must_abort(cause: &Cause) -> TransactionError {
    TransactionError::MustAbort(Box::new(cause.clone()))
}
