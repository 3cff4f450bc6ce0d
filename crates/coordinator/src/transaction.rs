//! Transactions: the shard of one partition of `__transaction_state`.
//!
//! What becomes of a transactional id is in [`rules`]. Here it is remembered, appended, and seen through: whatever is decided goes to all partitions by markers, which
//! are sent until every one of them is done, by the next shard too if this one ends. Until then requests for the id wait a little.
//!
//! Time is the node's own. A new shard gives every open transaction its whole time again: nobody knows how long the old one had been gone.

mod config;
mod error;
mod expiry;
mod markers;
mod request;
mod rules;
mod stock;
#[cfg(test)]
mod tests;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use klamm_cluster::controller::ProducerIdBlock;
use klamm_model::{Now, Tick, Timestamp};
use tracing::info;

pub use config::TransactionConfig;
pub use error::TransactionError;
pub use request::*;

use expiry::Expiry;
use markers::Marking;
use rules::{Known, Refusal};
use stock::Stock;
use waiting::Waiting;

use crate::record::{TransactionRecord, TransactionState, TransactionVersion};
use crate::{Append, Effects, Entry, RequestId};

/// What a batch has around an entry, and what a later record of the same transaction may have in addition.
const ENTRY_OVERHEAD: usize = 256;
/// When a transaction could not be aborted because there is no producer id for the next one.
const ABORT_RETRY_MS: u64 = 1_000;

/// All transactional ids of one partition of `__transaction_state`.
#[derive(Debug)]
pub struct Transactions {
    config: TransactionConfig,
    ids: BTreeMap<Arc<str>, Slot>,
    /// When something is due for an id.
    due: BTreeSet<(Tick, Arc<str>)>,
    /// Transactions that have begun and are not complete, by their age.
    open: BTreeSet<(Timestamp, Arc<str>)>,
    stock: Stock,
    /// The last number of markers that were sent.
    markers: MarkersId,
    waiting_count: usize,
    expiry: Expiry,
}

/// A transactional id.
#[derive(Debug)]
struct Slot {
    known: Known,
    task: Option<Task>,
    /// Until the markers are written, in the order they came in.
    waiting: Vec<Waiting>,
    /// As it stands in [`Transactions::due`].
    due: Option<Tick>,
}

/// What is to be seen through.
#[derive(Debug)]
enum Task {
    /// The transaction is open until then.
    Abort(Tick),
    Mark(Marking),
}

impl Transactions {
    /// An empty shard. `seed` makes the numbers of markers: one that was used before would take old reports for its own.
    pub fn new(config: TransactionConfig, seed: u64) -> Self {
        Self {
            config,
            ids: BTreeMap::new(),
            due: BTreeSet::new(),
            open: BTreeSet::new(),
            stock: Stock::default(),
            markers: MarkersId(seed),
            waiting_count: 0,
            expiry: Expiry::default(),
        }
    }

    /// Takes what the log has, in its order.
    pub fn replay(&mut self, record: TransactionRecord) {
        let id: Arc<str> = record.transactional_id.into();
        let slot = record.value.map(|value| Slot::new(Known::read(value)));
        let after = slot.as_ref().and_then(|slot| slot.known.open_since());
        let before = match slot {
            Some(slot) => self.ids.insert(id.clone(), slot),
            None => self.ids.remove(&id),
        };
        self.note_open(&id, before.and_then(|slot| slot.known.open_since()), after);
    }

    /// All was read. What was decided is seen through.
    pub fn start(&mut self, now: Now, out: &mut Effects<Output>) {
        self.expiry.start(now.tick, &self.config);
        let is_busy = |slot: &Slot| {
            slot.known.value.state == TransactionState::Ongoing || slot.known.outcome().is_some()
        };
        let busy: Vec<_> =
            self.ids.iter().filter(|(_, slot)| is_busy(slot)).map(|(id, _)| id.clone()).collect();
        for id in busy {
            self.see_through(now, &id, out);
            self.schedule(&id);
        }
    }

    /// Decides on a request. It is answered by this call or a later one, always exactly once, unless the shard ends before.
    pub fn handle(&mut self, now: Now, id: RequestId, request: Request, out: &mut Effects<Output>) {
        let until = now.tick.after_ms(self.config.wait_ms);
        self.attempt(now, Waiting { id, request, until }, out);
    }

    /// The ids that [`Output::NeedProducerIds`] was about, or that there are none at the moment.
    pub fn producer_ids(&mut self, now: Now, block: Option<ProducerIdBlock>, out: &mut Effects<Output>) {
        let waiting = self.stock.fill(block);
        for it in waiting {
            if block.is_some() {
                self.attempt(now, it, out);
            } else {
                it.refuse(TransactionError::NoProducerIds, out);
            }
        }
    }

    /// What became of [`Output::WriteMarkers`].
    pub fn markers_written(&mut self, now: Now, report: &MarkersReport, out: &mut Effects<Output>) {
        let Some((id, slot)) = self.ids.get_key_value(&*report.transactional_id) else { return };
        let Some(Task::Mark(marking)) = &slot.task else { return };
        if marking.sent != Some(report.id) {
            return;
        }
        let id = id.clone();
        self.reported(now, &id, report, out);
        self.schedule(&id);
    }

    /// What time brings about.
    pub fn tick(&mut self, now: Now, out: &mut Effects<Output>) {
        while let Some((_, id)) = self.due.first().filter(|(tick, _)| *tick <= now.tick).cloned() {
            self.give_up_waiting(now, &id, out);
            match &self.slot(&id).task {
                Some(Task::Abort(at)) if *at <= now.tick => self.time_out(now, &id, out),
                Some(Task::Mark(marking)) if marking.again.is_some_and(|again| again <= now.tick) => {
                    self.send_markers(now, &id, out);
                }
                _ => {}
            }
            self.schedule(&id);
        }
        self.expire(now, out);
    }

    /// How many transactions have begun and are not complete, and since when the oldest is.
    pub fn open(&self) -> (usize, Option<Timestamp>) {
        (self.open.len(), self.open.first().map(|(since, _)| *since))
    }

    /// When [`Self::tick`] is due at the latest.
    pub fn next_wake(&self) -> Option<Tick> {
        self.due.first().map(|(tick, _)| *tick).into_iter().chain(self.expiry.next()).min()
    }

    fn attempt(&mut self, now: Now, it: Waiting, out: &mut Effects<Output>) {
        let decided = self.decide(now, &it.request, out);
        self.stock.ask(out);
        match decided {
            Ok(reply) => out.outputs.push(Output::Reply(it.id, reply)),
            Err(Refusal::Because(error)) => it.refuse(error, out),
            Err(Refusal::NoProducerId) => self.stock.wait(it, out),
            Err(Refusal::MarkersUnderWay) => self.wait(now, it, out),
            Err(Refusal::Open) => unreachable!("what is open is aborted where that is to be done"),
        }
    }

    fn decide(&mut self, now: Now, request: &Request, out: &mut Effects<Output>) -> Result<Reply, Refusal> {
        Ok(match request {
            Request::Init(it) => Reply::Init(Ok(self.init(now, it, out)?)),
            Request::AddPartitions(it) => Reply::AddPartitions(Ok(self.add_partitions(now, it, out)?)),
            Request::Verify(it) => Reply::Verify(Ok(rules::verify(self.known(&it.transactional_id)?, it)?)),
            Request::End(it) => Reply::End(Ok(self.end(now, it, out)?)),
            Request::Describe(id) => Reply::Describe(Ok(self.describe(id)?)),
            Request::List(it) => Reply::List(self.list(now, it)),
        })
    }

    fn init(&mut self, now: Now, it: &Init, out: &mut Effects<Output>) -> Result<Identity, Refusal> {
        if it.transactional_id.is_empty() {
            return Err(TransactionError::EmptyId.into());
        }
        if it.two_phase_commit {
            return Err(TransactionError::TwoPhaseCommit.into());
        }
        if it.keep_prepared {
            return Err(TransactionError::KeepPrepared.into());
        }
        if !(1..=self.config.timeout_ms_max).contains(&it.timeout_ms) {
            return Err(TransactionError::InvalidTimeout { max_ms: self.config.timeout_ms_max }.into());
        }
        let (id, slot) = match self.ids.get_key_value(&*it.transactional_id) {
            Some((id, slot)) => (id.clone(), Some(slot)),
            None => (it.transactional_id.as_str().into(), None),
        };
        match rules::init(slot.map(|it| &it.known), it, now.wall, || self.stock.take()) {
            Ok(known) => {
                let identity = known.identity();
                self.put(now, &id, known, out)?;
                Ok(identity)
            }
            Err(Refusal::Open) => {
                let known = &self.ids[&id].known;
                // Whoever goes on after an error is not to be fenced.
                let known = if it.current.is_some() { known.clone() } else { rules::fenced(known) };
                self.abort(now, (&id, &known), out)?;
                // Where nothing had been written, it is complete at once.
                self.init(now, it, out)
            }
            Err(refusal) => Err(refusal),
        }
    }

    fn add_partitions(
        &mut self,
        now: Now,
        it: &AddPartitions,
        out: &mut Effects<Output>,
    ) -> Result<(), Refusal> {
        match rules::add_partitions(self.known(&it.transactional_id)?, it, now.wall)? {
            Some(known) => self.put(now, &it.transactional_id.as_str().into(), known, out),
            None => Ok(()),
        }
    }

    fn end(&mut self, now: Now, it: &End, out: &mut Effects<Output>) -> Result<Identity, Refusal> {
        let known = self.known(&it.transactional_id)?;
        if !rules::end(known, it)? {
            return Ok(known.identity());
        }
        let id = it.transactional_id.as_str().into();
        let known = known.clone();
        self.prepare(now, (&id, &known), it.outcome, it.version, out)
    }

    fn time_out(&mut self, now: Now, id: &Arc<str>, out: &mut Effects<Output>) {
        let known = rules::fenced(&self.ids[id].known);
        match self.abort(now, (id, &known), out) {
            Ok(()) => info!(transactional_id = %id, "transaction was open for too long"),
            Err(_) => self.slot(id).task = Some(Task::Abort(now.tick.after_ms(ABORT_RETRY_MS))),
        }
        self.stock.ask(out);
    }

    /// Aborts an open transaction, with a new epoch whatever its producer speaks.
    fn abort(
        &mut self,
        now: Now,
        known: (&Arc<str>, &Known),
        out: &mut Effects<Output>,
    ) -> Result<(), Refusal> {
        self.prepare(now, known, Outcome::Abort, TransactionVersion::V2, out).map(drop)
    }

    fn prepare(
        &mut self,
        now: Now,
        (id, known): (&Arc<str>, &Known),
        outcome: Outcome,
        version: TransactionVersion,
        out: &mut Effects<Output>,
    ) -> Result<Identity, Refusal> {
        let known = rules::prepare(known, outcome, version, now.wall, || self.stock.take())?;
        let identity = known.next_identity();
        self.put(now, id, known, out)?;
        Ok(identity)
    }

    /// The only place where something is changed for good. Fails before anything is changed.
    fn put(
        &mut self,
        now: Now,
        id: &Arc<str>,
        known: Known,
        out: &mut Effects<Output>,
    ) -> Result<(), Refusal> {
        let record = TransactionRecord { transactional_id: id.to_string(), value: Some(known.value.clone()) };
        let entry = record.encode();
        let grows = matches!(known.value.state, TransactionState::Empty | TransactionState::Ongoing);
        let size = entry_size(&entry);
        if grows && self.config.batch_size_max < size {
            return Err(TransactionError::TooLarge { size, max: self.config.batch_size_max }.into());
        }
        out.appends.push(Append { transaction: None, entries: vec![entry] });
        let after = known.open_since();
        let before = match self.ids.get_mut(id) {
            Some(slot) => std::mem::replace(&mut slot.known, known).open_since(),
            None => self.ids.insert(id.clone(), Slot::new(known)).and_then(|slot| slot.known.open_since()),
        };
        self.note_open(id, before, after);
        self.see_through(now, id, out);
        self.schedule(id);
        Ok(())
    }

    fn note_open(&mut self, id: &Arc<str>, before: Option<Timestamp>, after: Option<Timestamp>) {
        if before != after {
            before.map(|since| self.open.remove(&(since, id.clone())));
            after.map(|since| self.open.insert((since, id.clone())));
        }
    }

    /// What is to be done now that things are as they are.
    fn see_through(&mut self, now: Now, id: &Arc<str>, out: &mut Effects<Output>) {
        let slot = self.slot(id);
        if slot.known.outcome().is_some() {
            return self.mark(now, id, out);
        }
        if slot.known.value.state != TransactionState::Ongoing {
            slot.task = None;
        } else if !matches!(slot.task, Some(Task::Abort(_))) {
            let timeout_ms = u64::try_from(slot.known.value.timeout_ms).unwrap_or(0);
            slot.task = Some(Task::Abort(now.tick.after_ms(timeout_ms)));
        }
    }

    fn describe(&self, id: &str) -> Result<Description, TransactionError> {
        if id.is_empty() {
            return Err(TransactionError::EmptyId);
        }
        let unknown = || TransactionError::UnknownId { transactional_id: id.to_owned() };
        let known = &self.ids.get(id).ok_or_else(unknown)?.known;
        Ok(Description {
            producer: known.identity(),
            state: known.value.state,
            timeout_ms: known.value.timeout_ms,
            started_at: known.value.started_at,
            partitions: known.value.partitions.clone(),
        })
    }

    fn list(&self, now: Now, it: &List) -> Vec<Listed> {
        let is_wanted = |(id, slot): &(&Arc<str>, &Slot)| {
            let value = &slot.known.value;
            // To Kafka, what never began began before all times.
            let age_ms =
                value.started_at.map_or(u64::MAX, |at| now.wall.0.saturating_sub(at.0).max(0) as u64);
            (it.states.is_empty() || it.states.contains(&value.state))
                && (it.producers.is_empty() || it.producers.contains(&value.producer))
                && it.longer_than_ms.is_none_or(|least| least < age_ms)
                && it.pattern.as_ref().is_none_or(|pattern| pattern.is_match(id))
        };
        let wanted = self.ids.iter().filter(is_wanted);
        let listed = |(id, slot): (&Arc<str>, &Slot)| Listed {
            transactional_id: id.to_string(),
            producer: slot.known.value.producer,
            state: slot.known.value.state,
        };
        wanted.map(listed).collect()
    }

    fn known(&self, id: &str) -> Result<&Known, TransactionError> {
        if id.is_empty() {
            return Err(TransactionError::EmptyId);
        }
        self.ids.get(id).map(|slot| &slot.known).ok_or(TransactionError::UnknownProducer)
    }

    fn slot(&mut self, id: &str) -> &mut Slot {
        self.ids.get_mut(id).unwrap_or_else(|| panic!("{id} was there a moment ago"))
    }

    /// Notes when something is next to be done for the id.
    fn schedule(&mut self, id: &Arc<str>) {
        let slot = self.ids.get_mut(id).expect("ids are scheduled while they are there");
        let task = slot.task.as_ref().and_then(|task| match task {
            Task::Abort(at) => Some(*at),
            Task::Mark(marking) => marking.again,
        });
        let due = slot.waiting.iter().map(|it| it.until).chain(task).min();
        let before = std::mem::replace(&mut slot.due, due);
        if before != due {
            before.map(|tick| self.due.remove(&(tick, id.clone())));
            due.map(|tick| self.due.insert((tick, id.clone())));
        }
    }
}

impl Slot {
    fn new(known: Known) -> Self {
        Self { known, task: None, waiting: Vec::new(), due: None }
    }
}

fn entry_size(entry: &Entry) -> usize {
    entry.key.len() + entry.value.as_ref().map_or(0, |it| it.len()) + ENTRY_OVERHEAD
}
