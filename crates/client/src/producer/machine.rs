//! The producer without sockets and clock: records, answers and time go in, requests and outcomes come out.
//!
//! Owns the batches, the buffer's bytes, the identity and who may be asked next. It must never know how a request travels.
//! Invariants: `buffered` is the sum of the sizes of all batches and stays within `buffer_memory` (one record more at most); every record
//! ends in exactly one [`Effect::Done`]; records of one partition are stored in the order they were appended, once, as long as batches
//! are numbered and none is given up.

mod answers;
mod coordinator;
mod silent;
#[cfg(test)]
mod tests;
mod topics;
mod transactions;

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use klamm_model::{BrokerId, ErrorCode, ProducerEpoch, ProducerId, Tick, Timestamp};
use klamm_wire::{ApiKey, InitProducerIdResponse, ProduceResponse, produce::LeaderIdAndEpoch};
use rustc_hash::FxHashMap;

use self::topics::TopicSlots;
use self::transactions::Transactions;
use super::config::{Acks, Config, TransactionalConfig};
use super::effect::{Effect, TopicBatches, Written};
use super::error::Cause;
use super::question::Identity;
use super::queue::{BatchId, Next, PartitionQueue};
use super::record::{Appended, Record, Refused, never};
use crate::call::{CallError, CallId};
use crate::metadata::{BrokerAddress, Cluster, LeaderHint};
use crate::metrics::ProducerMetrics;
use crate::partitioner::Random;
use crate::trouble::{Failing, LASTING_MS, Told, Trouble};

#[derive(Debug)]
struct Call {
    broker: BrokerId,
    slots: Vec<usize>,
    /// Since then, or since it was last looked at, nothing was heard of it.
    silent_since: Tick,
    is_silent: bool,
}

#[derive(Debug)]
enum IdentityState {
    Off,
    Unknown {
        asking: Option<CallId>,
        not_before: Tick,
        failing: Option<Failing<Cause>>,
    },
    /// The coordinator of our transactions gives it.
    Awaited,
    Known(Identity),
}

/// The producer without sockets and clock. `T` is whatever the shell wants to keep with each batch.
#[derive(Debug)]
pub struct Machine<T> {
    config: Config,
    cluster: Arc<Cluster>,
    topics: Vec<TopicSlots>,
    topics_by_name: FxHashMap<Arc<str>, usize>,
    recent_topic: usize,
    queues: Vec<PartitionQueue<T>>,
    is_active: Vec<bool>,
    active: Vec<usize>,
    identity: IdentityState,
    transactions: Option<Transactions>,
    calls: BTreeMap<CallId, Call>,
    in_flight: BTreeMap<BrokerId, usize>,
    /// Of each batch that has not ended, the number of parts: more than one if it was cut.
    outstanding: BTreeMap<BatchId, u32>,
    next_call: u64,
    next_batch: u64,
    buffered: usize,
    somebody_waits_for_room: bool,
    told: Told,
    metrics: ProducerMetrics,
    is_closed: bool,
    wake: Option<Tick>,
    random: Random,
}

impl<T: Clone + Default> Machine<T> {
    /// A producer with nothing in it.
    pub fn new(config: Config, cluster: Arc<Cluster>, random: Random) -> Self {
        let identity = if config.numbers_batches() {
            IdentityState::Unknown { asking: None, not_before: Tick(0), failing: None }
        } else {
            IdentityState::Off
        };
        Self {
            config,
            cluster,
            topics: Vec::new(),
            topics_by_name: FxHashMap::default(),
            recent_topic: 0,
            queues: Vec::new(),
            is_active: Vec::new(),
            active: Vec::new(),
            identity,
            transactions: None,
            calls: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            outstanding: BTreeMap::new(),
            next_call: 0,
            next_batch: 0,
            buffered: 0,
            somebody_waits_for_room: false,
            told: Told::default(),
            metrics: ProducerMetrics::default(),
            is_closed: false,
            wake: None,
            random,
        }
    }

    /// A producer whose records belong to transactions. Its settings number batches.
    pub fn transactional(config: TransactionalConfig, cluster: Arc<Cluster>, random: Random) -> Self {
        let transactions = Some(Transactions::new(config.transactional_id.into(), config.timeout_ms));
        Self { identity: IdentityState::Awaited, transactions, ..Self::new(config.producer, cluster, random) }
    }

    /// What the producer was told.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// A newer picture of the cluster.
    pub fn cluster_changed(&mut self, cluster: Arc<Cluster>) {
        for &slot in &self.active {
            let queue = &mut self.queues[slot];
            if self.cluster.leader(&queue.topic, queue.index) != cluster.leader(&queue.topic, queue.index) {
                queue.leader_changed();
            }
        }
        self.cluster = cluster;
        for topic in 0..self.topics.len() {
            self.refresh_topic(topic);
        }
    }

    /// Puts a record into the open batch of its partition.
    pub fn append(
        &mut self,
        now: Tick,
        wall: Timestamp,
        record: &Record<'_>,
    ) -> Result<Appended<'_, T>, Refused> {
        self.append_at(|| now, || wall, record)
    }

    /// The same, where reading a clock costs as much as all the rest: one is asked for each batch, the other for each record without a time of its own.
    pub fn append_at(
        &mut self,
        now: impl FnOnce() -> Tick,
        wall: impl FnOnce() -> Timestamp,
        record: &Record<'_>,
    ) -> Result<Appended<'_, T>, Refused> {
        if self.is_closed {
            return Err(never(record, Cause::Closed));
        }
        if let Some(Err(error)) = self.transactions.as_ref().map(Transactions::check_open) {
            return Err(never(record, Cause::Transaction(Box::new(error))));
        }
        let growth = record.size();
        let size_max = self.config.request_size_max.min(self.config.buffer_memory);
        if growth > size_max {
            return Err(never(record, Cause::RecordTooLarge { size: growth, size_max }));
        }
        let topic = self.topic(record)?;
        if self.buffered + growth > self.config.buffer_memory {
            self.somebody_waits_for_room = true;
            self.hurry();
            return Err(Refused::Full);
        }
        let (partition, is_sticky) = self.choose_partition(topic, record)?;
        let slot = self.topics[topic].slots[partition];
        let batch_size = self.config.batch_size;
        let queue = &mut self.queues[slot];
        let mut wants_advance = false;
        if queue.would_overflow(growth, batch_size) {
            queue.close_open();
            wants_advance = true;
        }
        if !queue.has_open() {
            let now = now();
            let id = BatchId(self.next_batch);
            self.next_batch += 1;
            self.outstanding.insert(id, 1);
            queue.open(id, T::default(), now, batch_size);
            wants_advance |= self.config.linger_ms == 0;
            let due = now.after_ms(self.config.linger_ms);
            wants_advance |= self.wake.is_none_or(|wake| due < wake);
            if !mem::replace(&mut self.is_active[slot], true) {
                self.active.push(slot);
            }
        }
        let timestamp = record.timestamp.unwrap_or_else(wall);
        let queue = &mut self.queues[slot];
        let (place, bytes) = queue.append(timestamp, record.key, record.value, record.headers);
        self.buffered += bytes;
        if let Some(sticky) = self.topics[topic].sticky.as_mut().filter(|_| is_sticky) {
            sticky.produced += bytes;
        }
        // The next record is most likely as large as this one: a batch that could not take it need not wait for it.
        if queue.would_overflow(bytes, batch_size) {
            wants_advance = true;
            queue.close_open();
        }
        let partition = partition as i32;
        Ok(Appended { tag: &mut queue.newest().tag, place, partition, timestamp, wants_advance })
    }

    /// Does everything that is possible now. To be called after every event and when [`next_wake`](Self::next_wake) is due.
    pub fn advance(&mut self, now: Tick, out: &mut Vec<Effect<T>>) {
        self.wake = None;
        self.look_at_silent(now, out);
        self.expire(now, out);
        self.give_up_doomed(out);
        if !self.active.is_empty() && self.is_identified(now, out) {
            self.send_ready(now, out);
        }
        self.coordinate(now, out);
        if self.told.is_due() {
            let all = self.slots_in_trouble(now).collect();
            out.extend(self.told.gather(all).into_iter().map(Effect::Trouble));
        }
        self.offer_room(out);
    }

    /// When [`advance`](Self::advance) has something to do at the latest, if nothing happens before.
    pub fn next_wake(&self) -> Option<Tick> {
        self.wake
    }

    /// A broker answered a [`Effect::Produce`]. Without acks the shell reports that the request was sent, by an empty answer.
    pub fn produced(&mut self, now: Tick, call: CallId, response: ProduceResponse, out: &mut Vec<Effect<T>>) {
        let Some(Call { slots, .. }) = self.end_call(call) else {
            return;
        };
        if self.config.acks == Acks::None {
            for slot in slots {
                self.succeed(now, slot, call, Written { base_offset: None, append_time: None }, out);
            }
            return;
        }
        let endpoints = response.node_endpoints;
        for topic in response.responses {
            let Some(index) = self.find_topic(&topic.name, topic.topic_id) else {
                continue;
            };
            for partition in topic.partition_responses {
                let slot = usize::try_from(partition.index)
                    .ok()
                    .and_then(|number| self.topics[index].slots.get(number).copied());
                let Some(slot) = slot.filter(|&slot| self.queues[slot].tries(call) > 0) else { continue };
                let LeaderIdAndEpoch { leader_id, leader_epoch } = partition.current_leader;
                let endpoint = endpoints.iter().find(|endpoint| endpoint.node_id == leader_id);
                let address = endpoint.and_then(|it| BrokerAddress::from_wire(&it.host, it.port, &it.rack));
                let topic = &self.topics[index].name;
                let hint = LeaderHint::from_wire(topic, partition.index, (leader_id, leader_epoch), address);
                out.extend(hint.map(Effect::LeaderHint));
                self.judge(now, call, slot, partition, out);
            }
        }
        let problem = "a partition is missing from it".to_owned();
        let error = CallError::Malformed { address: "the broker".into(), api: ApiKey::Produce, problem };
        for slot in slots {
            // Those that were answered are no longer found under this call.
            self.not_answered(now, call, slot, &error, out);
        }
    }

    /// A broker answered an [`Effect::InitProducerId`].
    pub fn identified(
        &mut self,
        now: Tick,
        call: CallId,
        response: &InitProducerIdResponse,
        out: &mut Vec<Effect<T>>,
    ) {
        let code = ErrorCode::told(response.error_code);
        match (code, ProducerId::from_wire(response.producer_id)) {
            (ErrorCode::None, Some(id)) => {
                self.identity =
                    IdentityState::Known(Identity { id, epoch: ProducerEpoch(response.producer_epoch) });
            }
            _ => self.not_identified(
                now,
                call,
                &Cause::Refused { code, message: None },
                code.is_retriable(),
                out,
            ),
        }
    }

    /// A request of ours brought no answer.
    pub fn call_failed(&mut self, now: Tick, call: CallId, error: &CallError, out: &mut Vec<Effect<T>>) {
        if let Some(Call { slots, .. }) = self.end_call(call) {
            out.push(Effect::RefreshMetadata);
            for slot in slots {
                self.not_answered(now, call, slot, error, out);
            }
        } else if !self.not_coordinated(now, call, error, out) {
            self.not_identified(now, call, &Cause::Call(error.clone()), error.is_retriable(), out);
        }
    }

    /// Everything appended so far goes out without lingering. Done when [`is_flushed`](Self::is_flushed) says so of the returned mark.
    pub fn flush(&mut self) -> BatchId {
        self.hurry();
        BatchId(self.next_batch)
    }

    /// Whether every batch before the mark has reached its end.
    pub fn is_flushed(&self, mark: BatchId) -> bool {
        self.outstanding.first_key_value().is_none_or(|(oldest, _)| *oldest >= mark)
    }

    /// Takes no more records. What was taken goes on its way.
    pub fn close(&mut self) -> BatchId {
        self.is_closed = true;
        self.close_transactions();
        self.flush()
    }

    /// Gives up every batch that is not acknowledged.
    pub fn abandon(&mut self, out: &mut Vec<Effect<T>>) {
        self.is_closed = true;
        self.give_up_all(&Cause::Abandoned, out);
    }

    /// Records that wait for an acknowledgement.
    pub fn record_count(&self) -> u64 {
        self.active.iter().map(|&slot| self.queues[slot].record_count()).sum()
    }

    /// Whether nothing more will ever come of this producer.
    pub fn is_finished(&self) -> bool {
        let is_settled = self.transactions.as_ref().is_none_or(Transactions::is_settled);
        self.is_closed && self.outstanding.is_empty() && is_settled
    }

    /// Requests that have neither an answer nor an end.
    pub fn call_count(&self) -> usize {
        let is_asking = matches!(self.identity, IdentityState::Unknown { asking: Some(_), .. });
        let is_asking = is_asking || self.transactions.as_ref().is_some_and(|it| it.asked.is_some());
        self.calls.len() + usize::from(is_asking)
    }

    /// Bytes waiting for an acknowledgement.
    pub fn buffered(&self) -> usize {
        self.buffered
    }

    /// Which partitions are not written for now though that is tried, and why: what lasts longest first.
    pub fn troubles(&self, now: Tick) -> Vec<Trouble<Cause>> {
        let mut troubles: Vec<_> = self.slots_in_trouble(now).map(|(_, trouble)| trouble).collect();
        troubles.sort_by(Trouble::order);
        troubles
    }

    fn slots_in_trouble(&self, now: Tick) -> impl Iterator<Item = (usize, Trouble<Cause>)> {
        let wanted = self.active.iter().filter(|slot| !self.queues[**slot].is_idle());
        wanted.filter_map(move |&slot| Some((slot, self.trouble(slot, now)?)))
    }

    fn trouble(&self, slot: usize, now: Tick) -> Option<Trouble<Cause>> {
        let queue = &self.queues[slot];
        let (broker, failing) = match self.obstacle(slot, now) {
            Some(obstacle) => (None, obstacle),
            None => (self.leader_of(slot), queue.failing()?.clone()),
        };
        let lasts = failing.lasts(now);
        Some(Trouble {
            topic: queue.topic.clone(),
            partition: queue.index,
            broker,
            address: broker.and_then(|broker| self.cluster.brokers.get(&broker).cloned()),
            cause: failing.cause,
            tries: failing.tries,
            tries_before: failing.tries_before,
            lasts,
        })
    }

    /// Why nothing can be sent to the partition at all.
    fn obstacle(&self, slot: usize, now: Tick) -> Option<Failing<Cause>> {
        let queue = &self.queues[slot];
        match &self.identity {
            IdentityState::Unknown { failing: Some(failing), .. } => {
                // The partition may have had nothing to send when that began.
                let since = queue.oldest().map_or(failing.since, |oldest| oldest.max(failing.since));
                Some(Failing { since, ..failing.clone() })
            }
            _ if let Some(failing) = self.transactions.as_ref().and_then(|it| it.stands_in_the_way(slot)) => {
                Some(failing.clone())
            }
            _ if self.leader_of(slot).is_none() => {
                let failing = queue.failing();
                let since = failing.map(|it| it.since).into_iter().chain(queue.leaderless_since).min();
                Some(Failing {
                    cause: Cause::Leaderless,
                    since: since.unwrap_or(now),
                    tries: 0,
                    tries_before: failing.map_or(0, Failing::all_tries),
                })
            }
            _ => None,
        }
    }

    /// What was done so far.
    pub fn metrics(&self) -> ProducerMetrics {
        let (buffered_bytes, buffered_records) = (self.buffered, self.record_count());
        ProducerMetrics { buffered_bytes, buffered_records, ..self.metrics }
    }

    fn hurry(&mut self) {
        for &slot in &self.active {
            self.queues[slot].hurry();
        }
    }

    fn wake_by(&mut self, moment: Tick) {
        self.wake = Some(self.wake.map_or(moment, |wake| wake.min(moment)));
    }

    fn expire(&mut self, now: Tick, out: &mut Vec<Effect<T>>) {
        let timeout_ms = self.config.delivery_timeout_ms;
        let Some(opened_before) = now.0.checked_sub(timeout_ms * 1_000).map(Tick) else {
            // No batch can be older than the clock.
            if let Some(oldest) = self.active.iter().filter_map(|&slot| self.queues[slot].oldest()).min() {
                self.wake_by(oldest.after_ms(timeout_ms));
            }
            return;
        };
        for place in 0..self.active.len() {
            let slot = self.active[place];
            let Some(oldest) = self.queues[slot].oldest() else {
                continue;
            };
            if oldest < opened_before {
                let mut expired = Vec::new();
                let must_renumber = self.queues[slot].expire(opened_before, |batch| expired.push(batch));
                if must_renumber {
                    self.renumber(slot);
                }
                for mut batch in expired {
                    let last = batch.failing.take().map(|failing| failing.cause);
                    let last = last.or_else(|| self.obstacle(slot, now).map(|it| it.cause)).map(Box::new);
                    self.give_up(slot, batch, Cause::TimedOut { timeout_ms, last }, out);
                }
            }
            if let Some(oldest) = self.queues[slot].oldest() {
                self.wake_by(Tick(oldest.after_ms(timeout_ms).0 + 1));
            }
        }
    }

    /// Whether batches may be numbered now; asks for an identity if there is none.
    fn is_identified(&mut self, now: Tick, out: &mut Vec<Effect<T>>) -> bool {
        match &mut self.identity {
            IdentityState::Off => true,
            IdentityState::Known(_) => self.transactions.as_ref().is_none_or(Transactions::sends),
            IdentityState::Awaited => false,
            IdentityState::Unknown { asking: Some(_), .. } => false,
            // What waited for it was given up meanwhile.
            _ if self.active.iter().all(|&slot| self.queues[slot].is_idle()) => false,
            IdentityState::Unknown { asking, not_before, .. } => {
                if *not_before <= now {
                    let call = CallId(self.next_call);
                    self.next_call += 1;
                    *asking = Some(call);
                    out.push(Effect::InitProducerId { call });
                } else {
                    let not_before = *not_before;
                    self.wake_by(not_before);
                }
                false
            }
        }
    }

    fn identity(&self) -> Option<Identity> {
        match self.identity {
            IdentityState::Known(identity) => Some(identity),
            IdentityState::Off | IdentityState::Unknown { .. } | IdentityState::Awaited => None,
        }
    }

    fn send_ready(&mut self, now: Tick, out: &mut Vec<Effect<T>>) {
        let mut ready: BTreeMap<BrokerId, Vec<usize>> = BTreeMap::new();
        let mut lacks_leader = false;
        let mut place = 0;
        while place < self.active.len() {
            let slot = self.active[place];
            if self.queues[slot].is_idle() {
                self.is_active[slot] = false;
                self.queues[slot].leaderless_since = None;
                self.active.swap_remove(place);
                continue;
            }
            place += 1;
            match self.next_of(now, slot) {
                Next::Blocked => {}
                Next::At(moment) => self.wake_by(moment),
                Next::Ready(_) if !self.is_covered(slot) => {}
                Next::Ready(_) => match self.leader_of(slot) {
                    Some(leader) => ready.entry(leader).or_default().push(slot),
                    None => {
                        lacks_leader = true;
                        let since = *self.queues[slot].leaderless_since.get_or_insert(now);
                        match since.after_ms(LASTING_MS) {
                            lasting if now < lasting => self.wake_by(lasting),
                            _ => self.told.lasts(slot),
                        }
                    }
                },
            }
        }
        if lacks_leader {
            out.push(Effect::RefreshMetadata);
        }
        for (broker, mut slots) in ready {
            while !slots.is_empty()
                && self.in_flight.get(&broker).copied().unwrap_or(0) < self.config.in_flight_limit()
            {
                self.send_request(now, broker, &mut slots, out);
            }
        }
        // Whoever came last this time comes first next time.
        if self.active.len() > 1 {
            self.active.rotate_left(1);
        }
    }

    /// Fills one request. What stays in `slots` still has something to send.
    fn send_request(
        &mut self,
        now: Tick,
        broker: BrokerId,
        slots: &mut Vec<usize>,
        out: &mut Vec<Effect<T>>,
    ) {
        let call = CallId(self.next_call);
        self.next_call += 1;
        let identity = self.identity();
        let sealing = (self.config.compression, self.transactions.is_some());
        let mut topics: Vec<TopicBatches> = Vec::new();
        let mut taken = Vec::new();
        let mut size = 0;
        for &slot in slots.iter() {
            let Next::Ready(batch_size) = self.next_of(now, slot) else {
                continue;
            };
            if size > 0 && size + batch_size > self.config.request_size_max {
                continue;
            }
            size += batch_size;
            let bytes = self.queues[slot].take(call, sealing, identity);
            if let Some(opened_at) = self.queues[slot].opened_first_sent(call) {
                self.metrics.queue_time.add_us(now.0.saturating_sub(opened_at.0));
            }
            let (name, partition) = (&self.queues[slot].topic, self.queues[slot].index);
            match topics.iter_mut().find(|topic| topic.name == *name) {
                Some(topic) => topic.partitions.push((partition, bytes)),
                None => {
                    let (name, id) = (name.clone(), self.cluster.topic_id(name));
                    topics.push(TopicBatches { name, id, partitions: vec![(partition, bytes)] });
                }
            }
            taken.push(slot);
        }
        slots.retain(|&slot| matches!(self.next_of(now, slot), Next::Ready(_)));
        if taken.is_empty() {
            // Cannot be while something is ready; nothing may spin here in any case.
            slots.clear();
            return;
        }
        if let Some(it) = &mut self.transactions {
            it.is_begun = true;
        }
        *self.in_flight.entry(broker).or_default() += 1;
        self.calls.insert(call, Call { broker, slots: taken, silent_since: now, is_silent: false });
        out.push(Effect::Produce { call, broker, topics });
    }

    fn next_of(&self, now: Tick, slot: usize) -> Next {
        self.queues[slot].next(now, self.config.linger_ms, self.config.in_flight_limit(), self.identity())
    }

    fn leader_of(&self, slot: usize) -> Option<BrokerId> {
        let queue = &self.queues[slot];
        self.cluster.leader(&queue.topic, queue.index).map(|(leader, _)| leader)
    }

    fn end_call(&mut self, call: CallId) -> Option<Call> {
        let ended = self.calls.remove(&call)?;
        let count = self.in_flight.get_mut(&ended.broker).expect("counted when it was sent");
        *count -= 1;
        Some(ended)
    }

    fn not_identified(
        &mut self,
        now: Tick,
        call: CallId,
        cause: &Cause,
        is_retriable: bool,
        out: &mut Vec<Effect<T>>,
    ) {
        let IdentityState::Unknown { asking, not_before, failing } = &mut self.identity else {
            return;
        };
        if *asking != Some(call) {
            return;
        }
        *asking = None;
        if Failing::note(failing, now, cause.clone()) {
            self.active.iter().for_each(|&slot| self.told.lasts(slot));
        }
        let tries = failing.as_ref().map_or(0, Failing::all_tries);
        *not_before = Tick(now.0 + self.config.backoff.wait_us(tries, &mut self.random));
        if !is_retriable {
            self.give_up_all(cause, out);
        }
    }

    fn give_up_all(&mut self, cause: &Cause, out: &mut Vec<Effect<T>>) {
        for slot in self.active.clone() {
            let mut refused = Vec::new();
            self.queues[slot].expire(Tick(u64::MAX), |batch| refused.push(batch));
            for batch in refused {
                self.give_up(slot, batch, cause.clone(), out);
            }
        }
    }

    fn offer_room(&mut self, out: &mut Vec<Effect<T>>) {
        // Half empty before anybody is woken: otherwise every small batch would wake all who wait.
        if self.somebody_waits_for_room && self.buffered <= self.config.buffer_memory / 2 {
            self.somebody_waits_for_room = false;
            out.push(Effect::Room);
        }
    }
}
