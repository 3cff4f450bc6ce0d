//! The consumer without sockets and clock: answers and time go in, requests and batches come out.
//!
//! Owns where each partition is read and what waits to be handed out. Invariants: batches of a partition are handed out in the order of
//! their offsets, none twice; a partition is in at most one request at a time; at most `prefetch_bytes_max` and one answer more wait.
//!
//! ```text
//!    handed out | waiting: batch batch batch | position: what the next Fetch asks for
//! ```

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use klamm_model::{BatchView, BrokerId, ErrorCode, Offset, Tick, TopicId};
use klamm_wire::{FetchResponse, ListOffsetsResponse, Records, fetch::PartitionData};

use super::batch::FetchedBatch;
use super::config::{Config, OutOfRange, Start};
use super::effect::{Assignment, Effect, PartitionFetch, TopicFetch, TopicLookup};
use super::error::{Cause, ConsumeError};
use super::slot::{Position, Slot};
use crate::call::{CallError, CallId};
use crate::metadata::Cluster;
use crate::partitioner::Random;

/// ListOffsets takes these for times that no record has.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
/// While a partition waits to be read and so is left out of a request, the request must not be parked for long: the partition may want
/// to be asked for again any moment.
const WAIT_WITH_ABSENTEES_MS: u64 = 20;

#[derive(Debug)]
struct Call {
    broker: BrokerId,
    is_fetch: bool,
    slots: Vec<usize>,
    ids: Vec<(TopicId, Arc<str>)>,
}

/// The consumer without sockets and clock.
#[derive(Debug)]
pub struct Machine {
    config: Config,
    cluster: Arc<Cluster>,
    slots: Vec<Slot>,
    places: BTreeMap<(Arc<str>, i32), usize>,
    readable: VecDeque<usize>,
    errors: VecDeque<ConsumeError>,
    calls: BTreeMap<CallId, Call>,
    fetching: BTreeMap<BrokerId, CallId>,
    waiting_bytes: usize,
    next_call: u64,
    wake: Option<Tick>,
    random: Random,
}

impl Machine {
    /// A consumer that reads nothing.
    pub fn new(config: Config, cluster: Arc<Cluster>, random: Random) -> Self {
        Self {
            config,
            cluster,
            slots: Vec::new(),
            places: BTreeMap::new(),
            readable: VecDeque::new(),
            errors: VecDeque::new(),
            calls: BTreeMap::new(),
            fetching: BTreeMap::new(),
            waiting_bytes: 0,
            next_call: 0,
            wake: None,
            random,
        }
    }

    /// What the consumer was told.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Reads these partitions from now on and no others. What waited to be handed out is dropped; late answers are ignored.
    pub fn assign(&mut self, assignments: impl IntoIterator<Item = Assignment>) {
        self.slots.clear();
        self.places.clear();
        self.readable.clear();
        self.errors.clear();
        self.calls.clear();
        self.fetching.clear();
        self.waiting_bytes = 0;
        for Assignment { topic, partition, start } in assignments {
            let place = self.slots.len();
            if self.places.contains_key(&(topic.clone(), partition)) {
                // Named twice: the first counts.
                continue;
            }
            self.places.insert((topic.clone(), partition), place);
            let (position, handed_to) = match start {
                Start::At(offset) => (Position::At(offset), offset),
                Start::Earliest | Start::Latest | Start::Last(_) | Start::Since(_) => {
                    (Position::Find(start), Offset::ZERO)
                }
            };
            self.slots.push(Slot {
                topic,
                partition,
                position,
                call: None,
                not_before: Tick(0),
                failures: 0,
                unknown_since: None,
                waiting: VecDeque::new(),
                waiting_bytes: 0,
                handed_to,
                high_watermark: None,
                has_reached_end: false,
                is_stopped: false,
                out_of_range: self.config.out_of_range,
            });
        }
    }

    /// A newer picture of the cluster.
    pub fn cluster_changed(&mut self, cluster: Arc<Cluster>) {
        for slot in &mut self.slots {
            // A new leader is no reason to wait for an old failure.
            if self.cluster.leader(&slot.topic, slot.partition) != cluster.leader(&slot.topic, slot.partition)
            {
                slot.not_before = Tick(0);
            }
        }
        self.cluster = cluster;
    }

    /// The next batch to hand out, or a partition that can't be read.
    pub fn take(&mut self) -> Option<Result<FetchedBatch, ConsumeError>> {
        if let Some(error) = self.errors.pop_front() {
            return Some(Err(error));
        }
        let place = self.readable.pop_front()?;
        let slot = &mut self.slots[place];
        let bytes = slot.waiting.pop_front().expect("a readable partition has something waiting");
        slot.waiting_bytes -= bytes.len();
        self.waiting_bytes -= bytes.len();
        if !slot.waiting.is_empty() {
            // One batch of each in turn, so that a long partition does not starve the others.
            self.readable.push_back(place);
        }
        let from = slot.handed_to;
        let checked =
            BatchView::parse(&bytes).and_then(|view| view.verify_crc().map(|()| view.next_offset()));
        match checked {
            Ok(next) => {
                slot.handed_to = next;
                slot.note_end();
                Some(Ok(FetchedBatch {
                    topic: slot.topic.clone(),
                    partition: slot.partition,
                    from,
                    high_watermark: slot.high_watermark,
                    bytes,
                    unpacked_bytes_max: self.config.unpacked_batch_bytes_max,
                }))
            }
            Err(problem) => {
                self.stop(place, Cause::Damaged { at: from, problem });
                self.errors.pop_front().map(Err)
            }
        }
    }

    /// Whether every partition has been read to its end at least once since it was assigned.
    pub fn has_reached_end(&self) -> bool {
        self.slots.iter().all(|slot| slot.has_reached_end || slot.is_stopped)
    }

    /// Where each partition is read next: topic, partition, offset (`None` while it is being found).
    pub fn positions(&self) -> impl Iterator<Item = (&Arc<str>, i32, Option<Offset>)> {
        self.slots.iter().map(|slot| {
            let offset = matches!(slot.position, Position::At(_)).then_some(slot.handed_to);
            (&slot.topic, slot.partition, offset)
        })
    }

    /// Does everything that is possible now. To be called after every event, after [`take`](Self::take) and when
    /// [`next_wake`](Self::next_wake) is due.
    pub fn advance(&mut self, now: Tick, out: &mut Vec<Effect>) {
        self.wake = None;
        let mut lookups: BTreeMap<BrokerId, Vec<usize>> = BTreeMap::new();
        let mut fetches: BTreeMap<BrokerId, Vec<usize>> = BTreeMap::new();
        let mut absentees: BTreeMap<BrokerId, ()> = BTreeMap::new();
        let mut lacks_leader = false;
        for place in 0..self.slots.len() {
            let slot = &self.slots[place];
            if slot.is_stopped || slot.call.is_some() {
                continue;
            }
            if now < slot.not_before {
                self.wake = Some(self.wake.map_or(slot.not_before, |wake| wake.min(slot.not_before)));
                continue;
            }
            let Some((leader, _)) = self.cluster.leader(&slot.topic, slot.partition) else {
                lacks_leader |= self.wait_for_leader(now, place, out);
                continue;
            };
            match slot.position {
                Position::Find(_) => lookups.entry(leader).or_default().push(place),
                Position::At(_) if slot.waiting_bytes < 2 * self.config.partition_bytes_max => {
                    fetches.entry(leader).or_default().push(place);
                }
                Position::At(_) => {
                    absentees.insert(leader, ());
                }
            }
        }
        if lacks_leader {
            out.push(Effect::RefreshMetadata);
        }
        for (broker, places) in lookups {
            self.look_up(broker, places, out);
        }
        for (broker, places) in fetches {
            let room = self.config.prefetch_bytes_max.saturating_sub(self.waiting_bytes);
            if room > 0 && !self.fetching.contains_key(&broker) {
                self.fetch(broker, places, absentees.contains_key(&broker), room, out);
            }
        }
    }

    /// When [`advance`](Self::advance) has something to do at the latest, if nothing happens before.
    pub fn next_wake(&self) -> Option<Tick> {
        self.wake
    }

    /// A broker answered an [`Effect::Fetch`].
    pub fn fetched(&mut self, now: Tick, call: CallId, response: FetchResponse, out: &mut Vec<Effect>) {
        let Some(Call { slots, ids, .. }) = self.end_call(call) else { return };
        let code = ErrorCode::from_code(response.error_code).unwrap_or(ErrorCode::UnknownServerError);
        if code != ErrorCode::None {
            for place in slots {
                self.refused(now, place, code, out);
            }
            return;
        }
        for topic in response.responses {
            let by_id = ids.iter().find(|(id, _)| *id == topic.topic_id);
            let name = match by_id {
                Some((_, name)) if topic.topic.is_empty() => name.clone(),
                _ => topic.topic.into(),
            };
            for partition in topic.partitions {
                let place = self.places.get(&(name.clone(), partition.partition_index)).copied();
                if let Some(place) = place.filter(|&place| self.slots[place].call == Some(call)) {
                    self.slots[place].call = None;
                    self.take_records(now, place, partition, out);
                }
            }
        }
        self.settle(now, call, &slots);
    }

    /// A broker answered an [`Effect::ListOffsets`].
    pub fn located(&mut self, now: Tick, call: CallId, response: ListOffsetsResponse, out: &mut Vec<Effect>) {
        let Some(Call { slots, .. }) = self.end_call(call) else { return };
        for topic in response.topics {
            let name: Arc<str> = topic.name.into();
            for answer in topic.partitions {
                let place = self.places.get(&(name.clone(), answer.partition_index)).copied();
                let Some(place) = place.filter(|&place| self.slots[place].call == Some(call)) else {
                    continue;
                };
                self.slots[place].call = None;
                match ErrorCode::from_code(answer.error_code).unwrap_or(ErrorCode::UnknownServerError) {
                    ErrorCode::None => {
                        self.slots[place].begin_at(Offset::from_wire(answer.offset));
                        if self.slots[place].has_reached_end {
                            out.push(Effect::Readable);
                        }
                    }
                    code => self.refused(now, place, code, out),
                }
            }
        }
        self.settle(now, call, &slots);
    }

    /// A request of ours brought no answer.
    pub fn call_failed(&mut self, now: Tick, call: CallId, error: &CallError, out: &mut Vec<Effect>) {
        let Some(Call { slots, .. }) = self.end_call(call) else { return };
        out.push(Effect::RefreshMetadata);
        for place in slots {
            self.slots[place].call = None;
            if error.is_retriable() {
                self.try_later(now, place);
            } else {
                self.stop(place, Cause::Call(error.clone()));
                out.push(Effect::Readable);
            }
        }
    }

    fn fetch(
        &mut self,
        broker: BrokerId,
        places: Vec<usize>,
        has_absentees: bool,
        room: usize,
        out: &mut Vec<Effect>,
    ) {
        let call = self.new_call();
        let mut topics: Vec<TopicFetch> = Vec::new();
        let mut wait_ms = self.config.wait_max_ms;
        if has_absentees {
            wait_ms = wait_ms.min(WAIT_WITH_ABSENTEES_MS);
        }
        for &place in &places {
            let slot = &mut self.slots[place];
            let Position::At(offset) = slot.position else { continue };
            slot.call = Some(call);
            if slot.high_watermark.is_none() {
                // Whoever wants to know whether there is anything at all should know soon.
                wait_ms = 0;
            }
            let leader_epoch =
                self.cluster.leader(&slot.topic, slot.partition).map_or(-1, |(_, epoch)| epoch);
            let fetch = PartitionFetch { partition: slot.partition, offset, leader_epoch };
            match topics.iter_mut().find(|topic| topic.name == slot.topic) {
                Some(topic) => topic.partitions.push(fetch),
                None => {
                    let id = self.cluster.topic_id(&slot.topic);
                    topics.push(TopicFetch { name: slot.topic.clone(), id, partitions: vec![fetch] });
                }
            }
        }
        let ids = topics.iter().map(|topic| (topic.id, topic.name.clone())).collect();
        self.calls.insert(call, Call { broker, is_fetch: true, slots: places, ids });
        self.fetching.insert(broker, call);
        out.push(Effect::Fetch { call, broker, wait_ms, bytes_max: self.config.bytes_max.min(room), topics });
    }

    fn look_up(&mut self, broker: BrokerId, places: Vec<usize>, out: &mut Vec<Effect>) {
        let call = self.new_call();
        let mut topics: Vec<TopicLookup> = Vec::new();
        for &place in &places {
            let slot = &mut self.slots[place];
            let Position::Find(start) = slot.position else { continue };
            slot.call = Some(call);
            let time = match start {
                Start::Earliest => EARLIEST,
                Start::Latest | Start::Last(_) => LATEST,
                Start::Since(timestamp) => timestamp.0.max(0),
                Start::At(_) => unreachable!("an offset needs not be found"),
            };
            let leader_epoch =
                self.cluster.leader(&slot.topic, slot.partition).map_or(-1, |(_, epoch)| epoch);
            let lookup = (slot.partition, leader_epoch, time);
            match topics.iter_mut().find(|topic| topic.name == slot.topic) {
                Some(topic) => topic.partitions.push(lookup),
                None => topics.push(TopicLookup { name: slot.topic.clone(), partitions: vec![lookup] }),
            }
        }
        self.calls.insert(call, Call { broker, is_fetch: false, slots: places, ids: Vec::new() });
        out.push(Effect::ListOffsets { call, broker, topics });
    }

    fn new_call(&mut self) -> CallId {
        let call = CallId(self.next_call);
        self.next_call += 1;
        call
    }

    fn end_call(&mut self, call: CallId) -> Option<Call> {
        let ended = self.calls.remove(&call)?;
        if ended.is_fetch {
            self.fetching.remove(&ended.broker);
        }
        Some(ended)
    }

    /// Whoever was asked for and not answered is asked for again later.
    fn settle(&mut self, now: Tick, call: CallId, places: &[usize]) {
        for &place in places {
            if self.slots[place].call == Some(call) {
                self.slots[place].call = None;
                self.try_later(now, place);
            }
        }
    }

    fn take_records(&mut self, now: Tick, place: usize, answer: PartitionData, out: &mut Vec<Effect>) {
        let code = ErrorCode::from_code(answer.error_code).unwrap_or(ErrorCode::UnknownServerError);
        let log_start = Offset::from_wire(answer.log_start_offset);
        let end = Offset::from_wire(answer.high_watermark);
        match code {
            ErrorCode::None => {}
            ErrorCode::OffsetOutOfRange => return self.out_of_range(place, log_start, end, out),
            code => return self.refused(now, place, code, out),
        }
        let slot = &mut self.slots[place];
        slot.failures = 0;
        slot.unknown_since = None;
        slot.out_of_range = self.config.out_of_range;
        slot.high_watermark = end;
        let was_empty = slot.waiting.is_empty();
        let had_reached_end = slot.has_reached_end;
        let mut damage = None;
        if let Some(Records::Bytes(run)) = answer.records {
            damage = slot.queue(&run, &mut self.waiting_bytes);
        }
        slot.note_end();
        if was_empty && !slot.waiting.is_empty() {
            self.readable.push_back(place);
            out.push(Effect::Readable);
        } else if slot.has_reached_end && !had_reached_end {
            out.push(Effect::Readable);
        }
        if let Some(cause) = damage {
            self.stop(place, cause);
            out.push(Effect::Readable);
        }
    }

    fn out_of_range(
        &mut self,
        place: usize,
        log_start: Option<Offset>,
        end: Option<Offset>,
        out: &mut Vec<Effect>,
    ) {
        let slot = &mut self.slots[place];
        let Position::At(wanted) = slot.position else { return };
        match slot.out_of_range {
            OutOfRange::Earliest => slot.position = Position::Find(Start::Earliest),
            OutOfRange::Latest => slot.position = Position::Find(Start::Latest),
            OutOfRange::Fail => {
                self.stop(place, Cause::OutOfRange { wanted, log_start, end });
                out.push(Effect::Readable);
            }
        }
    }

    fn refused(&mut self, now: Tick, place: usize, code: ErrorCode, out: &mut Vec<Effect>) {
        self.slots[place].call = None;
        if matches!(code, ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId) {
            self.unknown(now, place, out);
        } else if code.is_retriable() {
            self.try_later(now, place);
        } else {
            self.stop(place, Cause::Refused(code));
            out.push(Effect::Readable);
            return;
        }
        out.push(Effect::RefreshMetadata);
    }

    /// Says whether metadata may help.
    fn wait_for_leader(&mut self, now: Tick, place: usize, out: &mut Vec<Effect>) -> bool {
        let slot = &self.slots[place];
        match self.cluster.topics.get(&slot.topic) {
            Some(topic)
                if topic.error == ErrorCode::None
                    && self.cluster.partition(&slot.topic, slot.partition).is_some() =>
            {
                // The partition is there, only nobody leads it: that passes.
                self.try_later(now, place);
            }
            Some(topic)
                if matches!(
                    topic.error,
                    ErrorCode::InvalidTopicException | ErrorCode::TopicAuthorizationFailed
                ) =>
            {
                let code = topic.error;
                self.stop(place, Cause::Refused(code));
                out.push(Effect::Readable);
                return false;
            }
            Some(_) | None => self.unknown(now, place, out),
        }
        let not_before = self.slots[place].not_before;
        self.wake = Some(self.wake.map_or(not_before, |wake| wake.min(not_before)));
        true
    }

    fn unknown(&mut self, now: Tick, place: usize, out: &mut Vec<Effect>) {
        let since = *self.slots[place].unknown_since.get_or_insert(now);
        if now.ms_since(since) >= self.config.unknown_topic_timeout_ms {
            self.stop(place, Cause::Unknown);
            out.push(Effect::Readable);
        } else {
            self.try_later(now, place);
        }
    }

    fn try_later(&mut self, now: Tick, place: usize) {
        let slot = &mut self.slots[place];
        slot.failures = slot.failures.saturating_add(1);
        slot.not_before = Tick(now.0 + self.config.backoff.wait_us(slot.failures, &mut self.random));
    }

    fn stop(&mut self, place: usize, cause: Cause) {
        let slot = &mut self.slots[place];
        slot.is_stopped = true;
        self.waiting_bytes -= slot.waiting_bytes;
        slot.waiting.clear();
        slot.waiting_bytes = 0;
        let error = ConsumeError { topic: slot.topic.clone(), partition: slot.partition, cause };
        self.readable.retain(|&readable| readable != place);
        self.errors.push_back(error);
    }
}
