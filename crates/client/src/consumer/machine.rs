//! The consumer without sockets and clock: answers and time go in, requests and batches come out.
//!
//! Owns where each partition is read and what waits to be handed out. Invariants: batches of a partition are handed out in the order of
//! their offsets, none twice; a partition is in at most one request at a time; at most `prefetch_bytes_max` and one answer more wait.
//!
//! ```text
//!    handed out | waiting: batch batch batch | position: what the next Fetch asks for
//! ```

mod answers;
mod share;
#[cfg(test)]
mod tests;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;
use std::sync::Arc;

use klamm_model::{BatchView, BrokerId, ErrorCode, Tick, TopicId};

use super::batch::FetchedBatch;
use super::config::{Config, OutOfRange, Start};
use super::effect::{Ask, Asked, Assignment, Effect, PartitionFetch, PartitionPosition, TopicLookup};
use super::error::{Cause, ConsumeError};
use super::session::Session;
use super::slot::{Position, Slot};
use super::subscription::{Notice, Subscription, Topics};
use crate::call::CallId;
use crate::metadata::Cluster;
use crate::metrics::ConsumerMetrics;
use crate::partitioner::Random;
use crate::trouble::{Failing, Told, Trouble};

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
    ids: BTreeMap<TopicId, Arc<str>>,
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
    sessions: BTreeMap<BrokerId, Session>,
    subscription: Option<Subscription>,
    waiting_bytes: usize,
    metrics: ConsumerMetrics,
    next_call: u64,
    wake: Option<Tick>,
    /// An error waits that nobody was told of.
    has_news: bool,
    told: Told,
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
            sessions: BTreeMap::new(),
            subscription: None,
            waiting_bytes: 0,
            metrics: ConsumerMetrics::default(),
            next_call: 0,
            wake: None,
            has_news: false,
            told: Told::default(),
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
        self.told = Told::default();
        self.calls.clear();
        self.fetching.clear();
        for session in self.sessions.values_mut() {
            session.begin_anew();
        }
        self.waiting_bytes = 0;
        self.subscription = None;
        for Assignment { topic, partition, start } in assignments {
            self.add(topic, partition, start);
        }
    }

    /// Reads nothing any more, and has the brokers forget what was read.
    pub fn close(&mut self, out: &mut Vec<Effect>) {
        self.assign([]);
        for (broker, session) in mem::take(&mut self.sessions) {
            let ends =
                session.end().map(|session| Ask { call: None, broker, what: Asked::EndSession(session) });
            out.extend(ends.map(Effect::Ask));
        }
    }

    /// Reads all partitions of these topics from now on and no others, also partitions that come later.
    pub fn subscribe(&mut self, topics: Topics, start: Start) {
        let named = match &topics {
            // Every topic has this partition: so one that never comes is told.
            Topics::Named(names) => names.iter().cloned().collect(),
            Topics::Matching(_) => Vec::new(),
        };
        self.assign(named.into_iter().map(|topic| Assignment { topic, partition: 0, start }));
        self.subscription = Some(Subscription::new(topics, start, &self.cluster));
        self.follow_topics();
    }

    fn follow_topics(&mut self) {
        let Some(mut subscription) = self.subscription.take() else { return };
        let cluster = self.cluster.clone();
        for (name, topic) in &cluster.topics {
            let Some(Notice { start, is_younger }) = subscription.notice(name, topic) else { continue };
            if let Some(place) = self.place(name, 0).filter(|_| is_younger) {
                // It stood for the topic until that came, and is as new as the topic.
                let position = &mut self.slots[place].position;
                if matches!(position, Position::Find(_)) {
                    *position = Position::Find(start);
                }
            }
            for partition in 0..topic.partitions.len() {
                self.add(name.clone(), partition as i32, start);
            }
        }
        subscription.noticed_all(&cluster);
        self.subscription = Some(subscription);
    }

    fn add(&mut self, topic: Arc<str>, partition: i32, start: Start) {
        // Named twice: the first counts.
        if let Entry::Vacant(vacant) = self.places.entry((topic.clone(), partition)) {
            vacant.insert(self.slots.len());
            let topic_id = id_of(&self.cluster, &topic);
            self.slots
                .push(Slot { topic_id, ..Slot::new(topic, partition, start, self.config.out_of_range) });
        }
    }

    /// Reads the partition from there on; what waited to be handed out is dropped, and a partition that could not be read is tried again.
    /// Says whether it is one of ours.
    pub fn seek(&mut self, topic: &str, partition: i32, to: Start) -> bool {
        let Some(place) = self.place(topic, partition) else { return false };
        self.drop_waiting(place);
        let slot = &mut self.slots[place];
        self.errors.retain(|error| !slot.is(&error.topic, error.partition));
        let (is_paused, topic_id, out_of_range) = (slot.is_paused, slot.topic_id, self.config.out_of_range);
        // The end stays known: within a session the broker tells of it only when it changes.
        let (high_watermark, was_handed_out) = (slot.high_watermark, slot.was_handed_out);
        let new = Slot::new(slot.topic.clone(), partition, to, out_of_range);
        *slot = Slot { is_paused, topic_id, high_watermark, was_handed_out, ..new };
        slot.note_end();
        self.told.is_over(place);
        true
    }

    /// Neither fetches nor hands out records of the partition while it is paused; what waits is kept. Says whether it is one of ours.
    pub fn pause(&mut self, topic: &str, partition: i32, is_paused: bool) -> bool {
        let Some(place) = self.place(topic, partition) else { return false };
        let was_paused = mem::replace(&mut self.slots[place].is_paused, is_paused);
        if is_paused {
            self.readable.retain(|&readable| readable != place);
        } else if was_paused && !self.slots[place].waiting.is_empty() {
            self.readable.push_back(place);
        }
        true
    }

    /// A newer picture of the cluster.
    pub fn cluster_changed(&mut self, cluster: Arc<Cluster>) {
        let mut begun_anew = Vec::new();
        for (place, slot) in self.slots.iter_mut().enumerate() {
            let topic_id = id_of(&cluster, &slot.topic);
            if !topic_id.is_zero() && topic_id != slot.topic_id {
                let is_known = !mem::replace(&mut slot.topic_id, topic_id).is_zero();
                begun_anew.extend(is_known.then_some(place));
            }
            let leader = cluster.leader(&slot.topic, slot.partition);
            if self.cluster.leader(&slot.topic, slot.partition) != leader {
                // A new leader is no reason to wait for an old failure, and may lack what was read of the old one.
                if slot.may_hurry() {
                    slot.not_before = Tick(0);
                }
                slot.nearest = None;
                slot.must_validate = slot.read_epoch.is_some() && leader.is_some_and(|(_, epoch)| 0 <= epoch);
            }
        }
        self.cluster = cluster;
        for place in begun_anew {
            self.begin_anew(place);
        }
        self.follow_topics();
    }

    /// The topic was deleted, and one of the same name was made: the position says nothing of its records.
    fn begin_anew(&mut self, place: usize) {
        let slot = &mut self.slots[place];
        let (topic, partition, read_to) = (slot.topic.clone(), slot.partition, slot.handed_to);
        if slot.is_stopped {
            return;
        }
        if !matches!(slot.position, Position::At(_)) {
            // What is on its way may be a place in the old one.
            slot.find_anew();
            slot.call = None;
            return;
        }
        match slot.out_of_range {
            // Nothing was missed by who had nothing yet.
            _ if !slot.was_handed_out => _ = self.seek(&topic, partition, Start::Earliest),
            OutOfRange::Fail => {
                self.stop(place, Cause::MadeAnew { read_to });
                self.has_news = true;
            }
            elsewhere => {
                let is_end = elsewhere == OutOfRange::Latest;
                self.seek(&topic, partition, if is_end { Start::Latest } else { Start::Earliest });
                self.slots[place].lost = Some(Cause::MadeAnew { read_to });
            }
        }
        self.slots[place].high_watermark = None;
    }

    /// The next batch to hand out, or a partition that can't be read.
    pub fn take(&mut self) -> Option<Result<FetchedBatch, ConsumeError>> {
        if let Some(error) = self.errors.pop_front() {
            return Some(Err(error));
        }
        let place = self.readable.pop_front()?;
        Some(self.hand_out(place))
    }

    /// The same for one partition only.
    pub fn take_of(&mut self, topic: &str, partition: i32) -> Option<Result<FetchedBatch, ConsumeError>> {
        let is_meant = |error: &ConsumeError| error.partition == partition && *error.topic == *topic;
        if let Some(number) = self.errors.iter().position(is_meant) {
            return self.errors.remove(number).map(Err);
        }
        let is_meant = |&place: &usize| self.slots[place].is(topic, partition);
        let number = self.readable.iter().position(is_meant)?;
        let place = self.readable.remove(number)?;
        Some(self.hand_out(place))
    }

    fn hand_out(&mut self, place: usize) -> Result<FetchedBatch, ConsumeError> {
        let slot = &mut self.slots[place];
        let bytes = slot.waiting.pop_front().expect("a readable partition has something waiting");
        slot.waiting_bytes -= bytes.len();
        self.waiting_bytes -= bytes.len();
        if !slot.waiting.is_empty() {
            // One batch of each in turn, so that a long partition does not starve the others.
            self.readable.push_back(place);
        }
        let from = slot.handed_to;
        let checked = BatchView::parse(&bytes).and_then(|view| {
            view.verify_crc().map(|()| (view.next_offset(), view.record_count(), view.header().leader_epoch))
        });
        match checked {
            Ok((next, record_count, epoch)) => {
                self.metrics.records += u64::from(record_count);
                self.metrics.bytes += bytes.len() as u64;
                self.metrics.batches += 1;
                slot.epoch_before = slot.handed_epoch;
                // Marks and what was aborted are not for the application: it is past them too.
                let next = match slot.position {
                    Position::At(position) if slot.waiting.is_empty() => position,
                    _ => next,
                };
                (slot.handed_to, slot.handed_epoch, slot.was_handed_out) = (next, epoch, true);
                slot.note_end();
                Ok(FetchedBatch {
                    topic: slot.topic.clone(),
                    partition: slot.partition,
                    from,
                    high_watermark: slot.high_watermark,
                    bytes,
                    unpacked_bytes_max: self.config.unpacked_batch_bytes_max,
                })
            }
            Err(problem) => Err(self.stopped(place, Cause::Damaged { at: from, problem })),
        }
    }

    /// Whether every partition has been read to its end at least once since it was assigned.
    pub fn has_reached_end(&self) -> bool {
        let waits_for_topics = self.subscription.is_some() && self.slots.is_empty();
        !waits_for_topics && self.slots.iter().all(|slot| slot.has_reached_end || slot.is_stopped)
    }

    /// Requests that have neither an answer nor an end.
    pub fn call_count(&self) -> usize {
        self.calls.len()
    }

    /// Bytes that wait to be handed out.
    pub fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// How far each partition is read.
    pub fn positions(&self) -> impl Iterator<Item = PartitionPosition> {
        self.slots.iter().map(|slot| PartitionPosition {
            topic: slot.topic.clone(),
            partition: slot.partition,
            position: matches!(slot.position, Position::At(_)).then_some(slot.handed_to),
            end: slot.high_watermark,
            is_paused: slot.is_paused,
        })
    }

    /// Which partitions are not readable for now though they are tried, and why: what lasts longest first.
    pub fn troubles(&self, now: Tick) -> Vec<Trouble<Cause>> {
        let mut troubles: Vec<_> = self.places_in_trouble(now).map(|(_, trouble)| trouble).collect();
        troubles.sort_by(Trouble::order);
        troubles
    }

    fn places_in_trouble(&self, now: Tick) -> impl Iterator<Item = (usize, Trouble<Cause>)> {
        let wanted = self.slots.iter().enumerate().filter(|(_, slot)| !slot.is_stopped && !slot.is_paused);
        wanted.filter_map(move |(place, slot)| Some((place, self.trouble(slot, now)?)))
    }

    fn trouble(&self, slot: &Slot, now: Tick) -> Option<Trouble<Cause>> {
        let failing = slot.failing.as_ref()?;
        Some(Trouble {
            topic: slot.topic.clone(),
            partition: slot.partition,
            broker: slot.failed_at,
            address: slot.failed_at.and_then(|broker| self.cluster.brokers.get(&broker).cloned()),
            cause: failing.cause.clone(),
            tries: failing.tries,
            tries_before: failing.tries_before,
            lasts: failing.lasts(now),
        })
    }

    /// What was done so far.
    pub fn metrics(&self) -> ConsumerMetrics {
        let lag = self.positions().filter_map(|position| position.lag()).fold(0, u64::saturating_add);
        ConsumerMetrics { buffered_bytes: self.waiting_bytes, lag, ..self.metrics }
    }

    /// Does everything that is possible now. To be called after every event, after [`take`](Self::take) and when
    /// [`next_wake`](Self::next_wake) is due.
    pub fn advance(&mut self, now: Tick, out: &mut Vec<Effect>) {
        self.wake = None;
        if mem::take(&mut self.has_news) {
            out.push(Effect::Readable);
        }
        let mut lookups: BTreeMap<BrokerId, Vec<usize>> = BTreeMap::new();
        let mut fetches: BTreeMap<BrokerId, Vec<usize>> = BTreeMap::new();
        let mut validations: BTreeMap<BrokerId, Vec<usize>> = BTreeMap::new();
        let mut absentees: BTreeSet<BrokerId> = BTreeSet::new();
        let mut lacks_leader = false;
        for place in 0..self.slots.len() {
            let slot = &self.slots[place];
            if slot.is_stopped || slot.is_paused || slot.call.is_some() || slot.position == Position::Awaited
            {
                continue;
            }
            if now < slot.not_before {
                self.wake = Some(self.wake.map_or(slot.not_before, |wake| wake.min(slot.not_before)));
                continue;
            }
            let leader = self.cluster.leader(&slot.topic, slot.partition);
            let Some((leader, _)) = leader.filter(|(_, epoch)| slot.may_ask(*epoch)) else {
                lacks_leader |= self.wait_for_leader(now, place, out);
                continue;
            };
            match slot.position {
                Position::Awaited => {}
                Position::Find(_) | Position::FindSince { .. } => {
                    lookups.entry(leader).or_default().push(place)
                }
                Position::At(_) if slot.must_validate => validations.entry(leader).or_default().push(place),
                // At least a batch, as brokers do, however little is allowed.
                Position::At(_) if slot.waiting_bytes < (2 * self.config.partition_bytes_max).max(1) => {
                    fetches.entry(self.reader_of(place, leader, now)).or_default().push(place);
                }
                Position::At(_) => {
                    absentees.insert(self.reader_of(place, leader, now));
                }
            }
        }
        if self.told.is_due() {
            let all = self.places_in_trouble(now).collect();
            out.extend(self.told.gather(all).into_iter().map(Effect::Trouble));
        }
        if lacks_leader {
            out.push(Effect::RefreshMetadata);
        }
        for (broker, places) in lookups {
            let (call, topics) = self.look_up(broker, places);
            out.push(Effect::Ask(Ask { call: Some(call), broker, what: Asked::ListOffsets(topics) }));
        }
        for (broker, places) in validations {
            let (call, topics) = self.look_up(broker, places);
            out.push(Effect::Ask(Ask {
                call: Some(call),
                broker,
                what: Asked::OffsetForLeaderEpoch(topics),
            }));
        }
        for (broker, places) in fetches {
            let room = self.config.prefetch_bytes_max.max(1).saturating_sub(self.waiting_bytes);
            if room > 0 && !self.fetching.contains_key(&broker) {
                self.fetch(broker, places, absentees.contains(&broker), room, out);
            }
        }
    }

    /// When [`advance`](Self::advance) has something to do at the latest, if nothing happens before.
    pub fn next_wake(&self) -> Option<Tick> {
        self.wake
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
        let mut wanted = Vec::new();
        let mut wait_ms = self.config.wait_max_ms;
        if has_absentees {
            wait_ms = wait_ms.min(WAIT_WITH_ABSENTEES_MS);
        }
        for &place in &places {
            let slot = &mut self.slots[place];
            let Position::At(offset) = slot.position else { continue };
            (slot.call, slot.asked) = (Some(call), Some(broker));
            slot.asked_nearby = slot.nearest.is_some_and(|it| it.0 == broker);
            let leader_epoch =
                self.cluster.leader(&slot.topic, slot.partition).map_or(-1, |(_, epoch)| epoch);
            let fetch = PartitionFetch { partition: slot.partition, offset, leader_epoch };
            wanted.push((slot.topic.clone(), self.cluster.topic_id(&slot.topic), fetch));
        }
        let ids = wanted.iter().map(|(name, id, _)| (*id, name.clone())).collect();
        let session = self.sessions.entry(broker).or_default().request(wanted);
        let is_asked_about = |slot: &Slot| {
            let topic = session.topics.iter().find(|topic| topic.name == slot.topic);
            topic.is_some_and(|topic| topic.partitions.iter().any(|it| it.partition == slot.partition))
        };
        let is_new = |&place: &usize| {
            let slot: &Slot = &self.slots[place];
            slot.high_watermark.is_none() && is_asked_about(slot)
        };
        if places.iter().any(is_new) {
            // Whoever wants to know whether there is anything at all should know soon.
            wait_ms = 0;
        }
        self.calls.insert(call, Call { broker, is_fetch: true, slots: places, ids });
        self.fetching.insert(broker, call);
        let what = Asked::Fetch { wait_ms, bytes_max: self.config.bytes_max.min(room), session };
        out.push(Effect::Ask(Ask { call: Some(call), broker, what }));
    }

    /// Asks about partitions whose position has to be found, or is to be looked at again.
    fn look_up(&mut self, broker: BrokerId, places: Vec<usize>) -> (CallId, Vec<TopicLookup>) {
        let call = self.new_call();
        let mut topics: Vec<TopicLookup> = Vec::new();
        for &place in &places {
            let slot = &mut self.slots[place];
            (slot.call, slot.asked) = (Some(call), Some(broker));
            let wanted = match slot.position {
                Position::Find(Start::Earliest) => EARLIEST,
                Position::Find(Start::Latest | Start::Last(_) | Start::Since(_)) => LATEST,
                Position::FindSince { moment, .. } => moment.0.max(0),
                Position::Find(Start::At(_)) | Position::Awaited => {
                    unreachable!("an offset needs not be found")
                }
                Position::At(_) => slot.read_epoch.expect("only what was read can be validated").0.into(),
            };
            let leader_epoch =
                self.cluster.leader(&slot.topic, slot.partition).map_or(-1, |(_, epoch)| epoch);
            let lookup = (slot.partition, leader_epoch, wanted);
            match topics.iter_mut().find(|topic| topic.name == slot.topic) {
                Some(topic) => topic.partitions.push(lookup),
                None => topics.push(TopicLookup { name: slot.topic.clone(), partitions: vec![lookup] }),
            }
        }
        self.calls.insert(call, Call { broker, is_fetch: false, slots: places, ids: BTreeMap::new() });
        (call, topics)
    }

    /// Who is asked for records: the leader, or the replica that it named as nearer.
    fn reader_of(&self, place: usize, leader: BrokerId, now: Tick) -> BrokerId {
        let nearest = self.slots[place].nearest.filter(|(_, until)| now < *until);
        nearest.map_or(leader, |(broker, _)| broker)
    }

    fn place(&self, topic: &str, partition: i32) -> Option<usize> {
        self.places.get(&(topic.into(), partition)).copied()
    }

    fn new_call(&mut self) -> CallId {
        let call = CallId(self.next_call);
        self.next_call += 1;
        call
    }

    /// Says whether metadata may help.
    fn wait_for_leader(&mut self, now: Tick, place: usize, out: &mut Vec<Effect>) -> bool {
        let slot = &mut self.slots[place];
        slot.asked = None;
        match self.cluster.topics.get(&slot.topic) {
            Some(topic)
                if topic.error == ErrorCode::None
                    && self.cluster.partition(&slot.topic, slot.partition).is_some() =>
            {
                // That passes.
                self.try_later(now, place, Cause::Leaderless);
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
            Some(topic) => {
                let is_unknown = matches!(topic.error, ErrorCode::None | ErrorCode::UnknownTopicOrPartition);
                let cause = if is_unknown { Cause::Unknown } else { Cause::Refused(topic.error) };
                self.unknown(now, place, cause, out);
            }
            None => self.unknown(now, place, Cause::Unknown, out),
        }
        let not_before = self.slots[place].not_before;
        self.wake = Some(self.wake.map_or(not_before, |wake| wake.min(not_before)));
        true
    }

    fn unknown(&mut self, now: Tick, place: usize, cause: Cause, out: &mut Vec<Effect>) {
        let since = *self.slots[place].unknown_since.get_or_insert(now);
        if now.ms_since(since) >= self.config.unknown_topic_timeout_ms {
            self.stop(place, cause);
            out.push(Effect::Readable);
        } else {
            self.try_later(now, place, cause);
        }
    }

    fn try_later(&mut self, now: Tick, place: usize, cause: Cause) {
        self.metrics.retries += 1;
        let slot = &mut self.slots[place];
        slot.find_anew();
        slot.failed_at = slot.asked;
        if Failing::note(&mut slot.failing, now, cause) {
            self.told.lasts(place);
        }
        let tries = slot.failing.as_ref().map_or(0, Failing::all_tries);
        slot.not_before = Tick(now.0 + self.config.backoff.wait_us(tries, &mut self.random));
    }

    fn stop(&mut self, place: usize, cause: Cause) {
        let error = self.stopped(place, cause);
        self.errors.push_back(error);
    }

    fn stopped(&mut self, place: usize, cause: Cause) -> ConsumeError {
        self.drop_waiting(place);
        self.metrics.errors += 1;
        let slot = &mut self.slots[place];
        slot.is_stopped = true;
        ConsumeError { topic: slot.topic.clone(), partition: slot.partition, cause }
    }

    fn drop_waiting(&mut self, place: usize) {
        let slot = &mut self.slots[place];
        self.waiting_bytes -= mem::take(&mut slot.waiting_bytes);
        slot.waiting.clear();
        self.readable.retain(|&readable| readable != place);
    }
}

/// Zero if it is not known.
fn id_of(cluster: &Cluster, topic: &str) -> TopicId {
    cluster.topics.get(topic).map_or(TopicId::ZERO, |topic| topic.id)
}
