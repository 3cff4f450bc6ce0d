//! An application that writes: the client's producer machine in a shell of the simulator's, and what the application was told.
//!
//! It sends, flushes and closes at any moment, and then goes on with another producer.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use klamm_client::producer::{
    BatchId, Done, Effect, Refused, TopicBatches, identity_request, machine::Machine, produce_request,
};
use klamm_client::{Acks, Backoff, CallError, CallId, ProducerConfig as Config, Random, Record, SendError};
use klamm_model::{
    BATCH_HEADER_SIZE, BatchHeader, BrokerId, Codec, Compression, ErrorCode, Producer as Number, Tick,
    Timestamp, crc32c, position,
};
use klamm_wire::{ProduceResponse, Response};

use super::{
    ClientSabotage, Place, Scene, TopicPlan, code,
    pool::{Ask, Asker, News, PROMPT, Pool, Purpose},
};
use crate::{
    dice::Dice,
    outcomes::{Outcome, Promise},
    timeline::{MS, SECOND},
};

/// A client stands still for so long at most, and meanwhile tells nobody that time is over.
const STANDSTILL_MAX: u64 = 5 * SECOND;

/// See the module.
pub struct Producer {
    me: usize,
    pub(super) pool: Pool,
    topics: Vec<TopicPlan>,
    sabotage: ClientSabotage,
    /// Whether it makes new records.
    is_producing: bool,
    /// Whether each of its producers is idempotent.
    is_steady: bool,
    pace: u64,
    machine: Machine<Vec<u64>>,
    promise: Promise,
    generation: u64,
    phase: Phase,
    next_send_at: u64,
    waits_for_room: bool,
    next_value: u64,
    /// When each record was accepted that has no outcome yet.
    unended: BTreeMap<u64, u64>,
    /// Bytes that appending took and outcomes did not give back.
    held_bytes: usize,
    /// What is flushed once all values before this one have an outcome.
    flushes: VecDeque<(BatchId, u64)>,
    numbers: BTreeMap<Place, Numbers>,
    sent: BTreeMap<CallId, Vec<Sent>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Open {
        until: u64,
    },
    /// Nothing new is taken.
    Closing {
        deadline: Option<u64>,
    },
    /// Every record has its outcome; requests may still be under way.
    Over,
    Closed {
        until: u64,
    },
}

/// The sequence numbers of a partition as they went over the network.
#[derive(Clone, Copy)]
struct Numbers {
    session: (i64, i16),
    sent_to: i32,
    acked_to: i32,
}

struct Sent {
    broker: BrokerId,
    place: Place,
    session: (i64, i16),
    base_sequence: i32,
    end_sequence: i32,
    /// When it was sent, all before it had been acknowledged.
    is_next: bool,
}

impl Producer {
    /// With the topics it writes to.
    pub fn new(
        me: usize,
        topics: Vec<TopicPlan>,
        is_steady: bool,
        sabotage: ClientSabotage,
        dice: &mut Dice,
    ) -> Self {
        let mut pool = Pool::new(me, dice);
        let config = draw_config(is_steady, dice);
        let promise = promise_of(&config);
        let machine = Machine::new(config, pool.metadata().cluster().clone(), Random::new(dice.number()));
        Self {
            me,
            pool,
            topics,
            sabotage,
            is_producing: true,
            is_steady,
            pace: dice.between(40 * MS, 150 * MS),
            machine,
            promise,
            generation: 0,
            phase: Phase::Open { until: dice.between(2 * SECOND, 12 * SECOND) },
            next_send_at: 0,
            waits_for_room: false,
            next_value: first_value(me, 0),
            unended: BTreeMap::new(),
            held_bytes: 0,
            flushes: VecDeque::new(),
            numbers: BTreeMap::new(),
            sent: BTreeMap::new(),
        }
    }

    /// Makes no new records, and closes what it has.
    pub fn calm_down(&mut self) {
        self.is_producing = false;
    }

    /// Whether everything it gave away has its end.
    pub fn is_done(&self) -> bool {
        !self.is_producing && matches!(self.phase, Phase::Closed { .. })
    }

    pub(super) fn waits_for(&self) -> String {
        let (records, calls, buffered) =
            (self.machine.record_count(), self.machine.call_count(), self.machine.buffered());
        let phase = self.phase;
        format!("{phase:?}: {records} records of {buffered} bytes and {calls} requests have no end")
    }

    pub(super) fn next_wake(&self) -> Option<u64> {
        let own = match self.phase {
            Phase::Open { .. } if !self.is_producing => Some(0),
            Phase::Open { until } if self.waits_for_room => Some(until),
            Phase::Open { until } => Some(until.min(self.next_send_at)),
            Phase::Closing { deadline } => deadline,
            Phase::Over => None,
            Phase::Closed { until } => self.is_producing.then_some(until),
        };
        let others = [self.pool.next_wake(), self.machine.next_wake()];
        others.into_iter().flatten().map(|tick| tick.0).chain(own).min()
    }

    pub(super) fn wake(&mut self, scene: &mut Scene<'_>) {
        let now = scene.timeline.now();
        match self.phase {
            Phase::Open { until } if until <= now || !self.is_producing => self.close(scene),
            Phase::Open { .. } if self.next_send_at <= now && !self.waits_for_room => self.send_some(scene),
            Phase::Closed { until } if until <= now && self.is_producing => self.begin_anew(scene),
            _ => {}
        }
    }

    // ---- the application ----

    fn send_some(&mut self, scene: &mut Scene<'_>) {
        let now = scene.timeline.now();
        let dice = &mut scene.timeline.dice;
        self.next_send_at = now + dice.between(self.pace / 2, 2 * self.pace);
        let count = if dice.chance(10) { dice.between(10, 40) } else { dice.between(1, 6) };
        let flushes = dice.chance(10);
        for _ in 0..count {
            if !self.send_one(scene) {
                break;
            }
        }
        if flushes {
            self.flushes.push_back((self.machine.flush(), self.next_value));
        }
    }

    /// Says whether there is room for more.
    fn send_one(&mut self, scene: &mut Scene<'_>) -> bool {
        let now = scene.timeline.now();
        let dice = &mut scene.timeline.dice;
        let plan = &self.topics[dice.index(self.topics.len())];
        let value = self.next_value;
        let mut bytes = value.to_be_bytes().to_vec();
        let size_max = if dice.chance(5) { 3000 } else { 120 };
        bytes.resize(8 + dice.index(size_max), b'.');
        let key = [dice.below(8) as u8];
        let (partition, key) = match dice.below(3) {
            0 => (Some(dice.below(plan.partition_count as u64) as i32), None),
            1 => (None, Some(&key[..])),
            _ => (None, None),
        };
        let record = Record { partition, key, ..Record::new(&plan.name, &bytes) };
        let before = self.machine.buffered();
        match self.machine.append(Tick(now), Timestamp(1_700_000_000_000 + (now / MS) as i64), &record) {
            Ok(appended) => {
                assert_eq!(appended.place as usize, appended.tag.len(), "a record's place in its batch");
                appended.tag.push(value);
                let place = Place { topic: plan.name.clone(), partition: appended.partition };
                scene.checker.outcomes.accepted(value, place, self.promise);
                self.unended.insert(value, now);
                self.held_bytes += self.machine.buffered() - before;
                self.next_value += 1;
            }
            Err(Refused::NeedsMetadata) => {
                self.pool.metadata().want(&plan.name);
            }
            Err(Refused::NoSuchPartition(_)) => self.pool.metadata().mark_stale(),
            Err(Refused::Full) => {
                scene.timeline.coverage.count("client: buffer full");
                self.waits_for_room = true;
                return false;
            }
            Err(Refused::Never(error)) => {
                scene.checker.unexpected(self.me, &format!("a record was refused: {error}"))
            }
        }
        true
    }

    fn close(&mut self, scene: &mut Scene<'_>) {
        let (now, dice) = (scene.timeline.now(), &mut scene.timeline.dice);
        let patience = if dice.chance(30) { 0 } else { dice.below(SECOND) };
        let deadline = (self.is_producing && dice.chance(60)).then_some(now + patience);
        self.machine.close();
        self.phase = Phase::Closing { deadline };
        self.flushes.push_back((self.machine.flush(), self.next_value));
    }

    fn begin_anew(&mut self, scene: &mut Scene<'_>) {
        let (now, dice) = (scene.timeline.now(), &mut scene.timeline.dice);
        let config = draw_config(self.is_steady, dice);
        self.promise = promise_of(&config);
        let random = Random::new(dice.number());
        self.machine = Machine::new(config, self.pool.metadata().cluster().clone(), random);
        self.generation += 1;
        self.next_value = first_value(self.me, self.generation);
        self.phase = Phase::Open { until: now + dice.between(SECOND / 10, 8 * SECOND) };
        self.waits_for_room = false;
        self.numbers.clear();
    }

    // ---- the shell ----

    /// Does what there is to do, until there is nothing left at this moment.
    pub(super) fn go_on(&mut self, scene: &mut Scene<'_>) {
        let now = Tick(scene.timeline.now());
        let mut effects = Vec::new();
        loop {
            self.pool.turn(scene);
            let mut is_last = true;
            while let Some(news) = self.pool.next_news() {
                is_last = false;
                self.hear(news, now, &mut effects, scene);
            }
            self.machine.advance(now, &mut effects);
            for effect in effects.drain(..) {
                self.perform(effect, scene);
            }
            if is_last {
                break;
            }
        }
        self.look(scene);
    }

    fn hear(&mut self, news: News, now: Tick, out: &mut Vec<Effect<Vec<u64>>>, scene: &mut Scene<'_>) {
        match news {
            News::Cluster(cluster) => self.machine.cluster_changed(cluster),
            News::Answer(Asker { generation, call }, answer) => {
                assert_eq!(generation, self.generation, "a machine ends after its last question");
                let sent = self.sent.remove(&call).unwrap_or_default();
                match answer {
                    Ok(Response::Produce(response)) => {
                        self.witness(&sent, &response, scene);
                        self.machine.produced(now, call, response, out);
                    }
                    Ok(Response::InitProducerId(response)) => {
                        if response.error_code == 0 {
                            scene.checker.session(response.producer_id, self.me);
                        }
                        self.machine.identified(now, call, &response, out);
                    }
                    Ok(other) => unreachable!("an answer of another kind: {other:?}"),
                    Err(_) if self.sabotage == ClientSabotage::LosesFailures => {}
                    Err(error) => self.machine.call_failed(now, call, &error, out),
                }
            }
        }
    }

    fn perform(&mut self, effect: Effect<Vec<u64>>, scene: &mut Scene<'_>) {
        match effect {
            Effect::Produce { call, broker, topics } => self.produce(call, broker, topics, scene),
            Effect::InitProducerId { call } => {
                let asker = Asker { generation: self.generation, call };
                self.pool.ask_any((identity_request(), i16::MAX), Some(asker), scene);
            }
            Effect::RefreshMetadata => self.pool.metadata().mark_stale(),
            Effect::LeaderHint(hint) => self.pool.hint(hint, scene),
            Effect::Room => (self.waits_for_room, self.next_send_at) = (false, scene.timeline.now()),
            Effect::Done(done) => self.done(done, scene),
            Effect::Trouble(_) => {}
            Effect::Ask { .. } | Effect::Progress => unreachable!("its records belong to no transaction"),
        }
    }

    fn produce(
        &mut self,
        call: CallId,
        broker: BrokerId,
        mut topics: Vec<TopicBatches>,
        scene: &mut Scene<'_>,
    ) {
        let mut sent = Vec::new();
        for topic in &mut topics {
            for (partition, batch) in &mut topic.partitions {
                let place = Place { topic: topic.name.clone(), partition: *partition };
                sent.extend(self.note_numbers(broker, place, batch, scene));
            }
        }
        self.sent.insert(call, sent);
        let (request, version_limit) =
            produce_request(self.machine.config(), self.machine.transaction(), topics);
        let purpose = Purpose::Machine(Asker { generation: self.generation, call });
        let timeout_ms = self.machine.config().request_timeout_ms;
        self.pool.ask_broker(broker, PROMPT, Ask { request, version_limit, timeout_ms, purpose }, scene);
    }

    /// What is to be remembered of a batch that is sent. Here numbers are forged by those who do wrong on purpose.
    fn note_numbers(
        &mut self,
        broker: BrokerId,
        place: Place,
        batch: &mut Bytes,
        scene: &mut Scene<'_>,
    ) -> Option<Sent> {
        let header = BatchHeader::parse(batch).expect("the client makes whole batches");
        let number = header.producer?;
        let session = (number.id.0, number.epoch.0);
        let fresh = Numbers { session, sent_to: 0, acked_to: 0 };
        let numbers = self.numbers.entry(place.clone()).or_insert(fresh);
        if numbers.session != session {
            scene.timeline.coverage.count("client: numbers begun anew");
            *numbers = fresh;
        }
        let base_sequence = number.base_sequence;
        let is_again = base_sequence < numbers.sent_to;
        if is_again {
            scene.timeline.coverage.count("client: batch sent again");
        }
        let (me, count) = (self.me, header.record_count);
        scene.timeline.note(format_args!("c{me} sends {place:?} {session:?} {base_sequence}+{count}"));
        match self.sabotage {
            ClientSabotage::ForgetsNumberAtRetry if is_again => *batch = renumbered(batch, None),
            ClientSabotage::NewNumberAtRetry if is_again => {
                *batch = renumbered(batch, Some(Number { base_sequence: numbers.sent_to, ..number }));
            }
            ClientSabotage::NumbersNothing => *batch = renumbered(batch, None),
            _ => {}
        }
        let end_sequence = base_sequence + header.record_count as i32;
        numbers.sent_to = numbers.sent_to.max(end_sequence);
        let is_next = base_sequence == numbers.acked_to;
        Some(Sent { broker, place, session, base_sequence, end_sequence, is_next })
    }

    /// What the brokers say of the numbers.
    fn witness(&mut self, sent: &[Sent], response: &ProduceResponse, scene: &mut Scene<'_>) {
        let cluster = self.pool.metadata().cluster().clone();
        for topic in &response.responses {
            let by_id = cluster.topic_name(topic.topic_id).filter(|_| topic.name.is_empty());
            let name: &str = by_id.map_or(&topic.name, |name| name);
            for answer in &topic.partition_responses {
                let result = code(answer.error_code);
                if result == ErrorCode::None {
                    let all = self.machine.config().acks == Acks::All;
                    scene.timeline.coverage.count(if all {
                        "batch acked by all"
                    } else {
                        "batch acked by one"
                    });
                }
                let is_meant = |it: &&Sent| &*it.place.topic == name && it.place.partition == answer.index;
                let Some(sent) = sent.iter().find(is_meant) else { continue };
                if result != ErrorCode::None {
                    let (me, place, base) = (self.me, &sent.place, sent.base_sequence);
                    scene
                        .timeline
                        .note(format_args!("c{me} {place:?} {base} of {:?}: {result}", sent.session));
                }
                let numbers = self.numbers.get_mut(&sent.place).expect("it was numbered");
                match result {
                    ErrorCode::None | ErrorCode::DuplicateSequenceNumber
                        if numbers.session == sent.session =>
                    {
                        numbers.acked_to = numbers.acked_to.max(sent.end_sequence);
                    }
                    ErrorCode::OutOfOrderSequenceNumber | ErrorCode::UnknownProducerId if sent.is_next => {
                        scene.checker.sequence_refused(&sent.place, self.me, sent.base_sequence, sent.broker);
                    }
                    ErrorCode::OutOfOrderSequenceNumber => {
                        scene.timeline.coverage.count("batch out of order behind another");
                    }
                    _ => {}
                }
            }
        }
    }

    fn done(&mut self, done: Done<Vec<u64>>, scene: &mut Scene<'_>) {
        let Done { tag, first_place, record_count, size, outcome, .. } = done;
        let now = scene.timeline.now();
        if self.sabotage == ClientSabotage::ForgetsOutcomes && scene.timeline.dice.chance(5) {
            return;
        }
        if self.sabotage != ClientSabotage::KeepsBytes {
            self.held_bytes -= size;
        }
        let places = first_place as usize..(first_place + record_count) as usize;
        let latest = self.machine.config().delivery_timeout_ms * MS + STANDSTILL_MAX;
        for (offset, value) in (0..).zip(&tag[places]) {
            let outcome = match &outcome {
                Ok(written) => Outcome::Written(written.base_offset.map(|base| base.raw() + offset)),
                Err(error) if error.tries == 0 => Outcome::NeverSent,
                Err(_) => Outcome::Failed,
            };
            let times = if self.sabotage == ClientSabotage::TellsTwice { 2 } else { 1 };
            for _ in 0..times {
                scene.checker.outcomes.ended(*value, outcome, &mut scene.checker.findings);
            }
            if let Some(accepted_at) = self.unended.remove(value)
                && accepted_at + latest < now
            {
                let what =
                    format!("value {value:x} was accepted at {accepted_at} and has its outcome only now");
                scene.checker.unexpected(self.me, &what);
            }
        }
        if let Err(error) = outcome {
            self.failed(&error, scene);
        }
    }

    fn failed(&mut self, error: &SendError, scene: &mut Scene<'_>) {
        use klamm_client::Cause;
        scene.timeline.note(format_args!("c{} fails: {error}", self.me));
        let coverage = &mut scene.timeline.coverage;
        match &error.cause {
            Cause::TimedOut { .. } => coverage.count("client: no acknowledgement in time"),
            Cause::Abandoned => coverage.count("client: given up when it was closed"),
            Cause::Refused { code, .. } if code.is_retriable() => coverage.count("client: tried too often"),
            Cause::Call(
                CallError::Broken { .. } | CallError::TimedOut { .. } | CallError::Connect { .. },
            ) => {
                coverage.count("client: tried too often");
            }
            Cause::Refused { code: ErrorCode::OutOfOrderSequenceNumber, .. } => {
                coverage.count("client: given up because nobody knows whether it is there");
            }
            _ => scene.checker.unexpected(self.me, &format!("no fault explains this: {error}")),
        }
    }

    // ---- what must hold ----

    fn look(&mut self, scene: &mut Scene<'_>) {
        let now = scene.timeline.now();
        self.look_at_bytes(scene);
        while let Some((mark, end)) = self.flushes.front().copied() {
            if !self.machine.is_flushed(mark) {
                break;
            }
            self.flushes.pop_front();
            scene.timeline.coverage.count("client: flushed");
            if let Some((value, _)) = self.unended.range(..end).next() {
                scene.checker.unexpected(self.me, &format!("flushed, and {value:x} has no outcome"));
            }
        }
        if let Phase::Closing { deadline } = self.phase {
            if self.machine.is_finished() {
                scene.timeline.coverage.count("client: closed with everything acknowledged or failed");
                self.phase = Phase::Over;
            } else if deadline.is_some_and(|deadline| deadline <= now) {
                self.abandon(scene);
            }
        }
        // What the machine has given up may be on its way still.
        if self.phase == Phase::Over && self.machine.call_count() == 0 && self.sent.is_empty() {
            let mut effects = Vec::new();
            self.machine.advance(Tick(now), &mut effects);
            for effect in effects {
                self.perform(effect, scene);
            }
            self.look_for_leaks(scene);
            self.phase = Phase::Closed { until: now + scene.timeline.dice.below(SECOND) };
        }
    }

    /// The deadline of closing has come.
    fn abandon(&mut self, scene: &mut Scene<'_>) {
        scene.timeline.coverage.count("client: closed with records unacknowledged");
        let (told, unended) = (self.machine.record_count(), self.unended.len() as u64);
        if told != unended {
            let what = format!("closed with {unended} records without an outcome, and {told} are told");
            scene.checker.unexpected(self.me, &what);
        }
        let mut effects = Vec::new();
        self.machine.abandon(&mut effects);
        for effect in effects {
            self.perform(effect, scene);
        }
        self.phase = Phase::Over;
        self.look(scene);
    }

    fn look_at_bytes(&mut self, scene: &mut Scene<'_>) {
        let (told, held) = (self.machine.buffered(), self.held_bytes);
        if told != held {
            scene.checker.leaked(self.me, &format!("{held} bytes are held, and {told} are told"));
            self.held_bytes = told;
        }
        let most = self.machine.config().buffer_memory + BATCH_HEADER_SIZE;
        if most < told {
            scene.checker.leaked(self.me, &format!("{told} bytes are buffered, the bound is {most}"));
        }
    }

    /// Everything is over: nothing may be left of it.
    fn look_for_leaks(&mut self, scene: &mut Scene<'_>) {
        let machine = &self.machine;
        let left = (machine.buffered(), machine.record_count(), machine.next_wake(), self.unended.len());
        if left != (0, 0, None, 0) || !machine.is_finished() {
            let what = format!("closed; bytes, records, timer and outcomes that are left: {left:?}");
            scene.checker.leaked(self.me, &what);
        }
        if !self.flushes.is_empty() {
            scene.checker.leaked(self.me, "closed, and somebody waits for a flush");
        }
        self.unended.clear();
    }
}

pub(super) fn first_value(me: usize, generation: u64) -> u64 {
    ((me as u64) << 48) | (generation << 32)
}

fn promise_of(config: &Config) -> Promise {
    match config.acks {
        Acks::All if config.idempotent => Promise::Once,
        Acks::All => Promise::Kept,
        Acks::Leader | Acks::None => Promise::Told,
    }
}

pub(super) fn draw_config(is_steady: bool, dice: &mut Dice) -> Config {
    let (acks, idempotent) = match dice.below(6) {
        _ if is_steady => (Acks::All, true),
        0 => (Acks::All, true),
        1 | 2 => (Acks::All, false),
        3 => (Acks::None, true),
        _ => (Acks::Leader, dice.chance(50)),
    };
    let pick = |dice: &mut Dice, choices: [usize; 3]| choices[dice.index(3)];
    let batch_size = pick(dice, [400, 2000, 16_384]);
    // What waits when the faults stop has to get through in time, one batch after the other.
    let buffer_memory = 6000.max(batch_size * pick(dice, [10, 30, 60]));
    Config {
        acks,
        idempotent,
        linger_ms: pick(dice, [0, 5, 50]) as u64,
        batch_size,
        buffer_memory,
        request_size_max: pick(dice, [4000, 20_000, 1 << 20]),
        in_flight_max: dice.between(1, 8) as usize,
        compression: Compression::of(if dice.chance(10) { Codec::Lz4 } else { Codec::None }),
        retries_max: if dice.chance(80) { u32::MAX } else { dice.below(6) as u32 },
        backoff: Backoff { first_ms: dice.between(5, 100), longest_ms: dice.between(100, 1000) },
        delivery_timeout_ms: if dice.chance(60) { 120_000 } else { dice.between(500, 6000) },
        // Longer than a leader may hold its followers' fetches, or nothing would ever be acknowledged in time.
        request_timeout_ms: dice.between(1000, 2500),
        ..Config::default()
    }
}

/// A batch under another number, or under none.
fn renumbered(batch: &Bytes, number: Option<Number>) -> Bytes {
    let mut header = BatchHeader::parse(batch).expect("the client makes whole batches");
    header.producer = number;
    let mut copy = batch.to_vec();
    copy[..BATCH_HEADER_SIZE].copy_from_slice(&header.write());
    let checksum = crc32c(&copy[position::ATTRIBUTES..]);
    copy[position::CRC..position::ATTRIBUTES].copy_from_slice(&checksum.to_be_bytes());
    copy.into()
}
