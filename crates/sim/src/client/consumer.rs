//! An application that reads: the client's consumer machine in a shell of the simulator's. It looks at every record that it is handed.
//!
//! It reads partitions that it names, topics, or whatever has a name; pauses and seeks, takes its time, and begins anew where it was.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use klamm_client::consumer::{self, Asked, Effect, TopicFetch, machine::Machine};
use klamm_client::{
    Assignment, Backoff, CallId, ConsumeError, ConsumerConfig as Config, FetchedBatch, Isolation, Random,
    Start, Topics,
};
use klamm_model::{Batches, Offset, Tail, Tick};
use klamm_wire::{FetchResponse, Records, Response};

use super::{
    ClientSabotage, Place, Scene, TopicPlan,
    pool::{Asker, News, Pool, Purpose},
};
use crate::{
    BROKER_COUNT,
    check::Checker,
    dice::Dice,
    machine::rack,
    renewals,
    timeline::{MS, SECOND},
};

/// No batch of a run is larger.
const BATCH_SIZE_MAX: usize = 20_000;

/// See the module.
pub struct Consumer {
    me: usize,
    pub(super) pool: Pool,
    topics: Vec<TopicPlan>,
    sabotage: ClientSabotage,
    wish: Wish,
    machine: Machine,
    generation: u64,
    partitions: BTreeMap<Place, Reading>,
    paused: BTreeSet<Place>,
    /// Seeks, pauses and begins anew, if at all.
    acts_at: Option<u64>,
    /// Looks for records again; a quick application is told when there are some.
    takes_at: u64,
    is_slow: bool,
    skips: bool,
    /// Questions to brokers that did not lead what they were asked for, as far as was known.
    nearby: BTreeSet<CallId>,
}

/// How it says what it wants to read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wish {
    Partitions,
    Topics,
    Names,
}

/// How far a partition is read.
#[derive(Clone, Copy, Debug)]
struct Reading {
    next: Next,
    high_watermark: i64,
}

#[derive(Clone, Copy, Debug)]
enum Next {
    At(i64),
    /// Somewhere from here on.
    From(i64),
}

const START: Reading = Reading { next: Next::At(0), high_watermark: 0 };

impl Consumer {
    /// With the topics it reads.
    pub fn new(
        me: usize,
        topics: Vec<TopicPlan>,
        is_restless: bool,
        sabotage: ClientSabotage,
        dice: &mut Dice,
    ) -> Self {
        let mut pool = Pool::new(me, dice);
        let wish = [Wish::Partitions, Wish::Topics, Wish::Names][dice.index(3)];
        match wish {
            Wish::Partitions | Wish::Topics => {
                topics.iter().for_each(|topic| _ = pool.metadata().want(&topic.name));
            }
            Wish::Names => pool.metadata().want_all(),
        }
        let config = draw_config(me, dice);
        let machine = Machine::new(config, pool.metadata().cluster().clone(), Random::new(dice.number()));
        let mut consumer = Self {
            me,
            pool,
            topics,
            sabotage,
            wish,
            machine,
            generation: 0,
            partitions: BTreeMap::new(),
            paused: BTreeSet::new(),
            acts_at: is_restless.then_some(4 * SECOND),
            takes_at: 0,
            is_slow: dice.chance(30),
            skips: false,
            nearby: BTreeSet::new(),
        };
        consumer.begin();
        consumer
    }

    /// Reads on to the end, without more ado.
    pub fn calm_down(&mut self) {
        (self.acts_at, self.is_slow, self.takes_at) = (None, false, 0);
        for place in std::mem::take(&mut self.paused) {
            self.machine.pause(&place.topic, place.partition, false);
        }
    }

    /// Where it is in every partition.
    pub fn positions(&self) -> BTreeMap<Place, i64> {
        let known = self
            .machine
            .positions()
            .filter_map(|it| Some((Place { topic: it.topic, partition: it.partition }, it.position?.raw())));
        known.collect()
    }

    /// What it has read to the end without being given anything: that must have been right.
    pub fn leave(&self, checker: &mut Checker) {
        for (place, position) in self.positions() {
            let reading = self.partitions.get(&place).copied().unwrap_or(START);
            if let Next::At(next) = reading.next
                && next < position
            {
                checker.passed_over(&place, self.me, self.machine.config().isolation, next..position);
            }
        }
    }

    pub(super) fn next_wake(&self) -> Option<u64> {
        let takes_at = self.is_slow.then_some(self.takes_at);
        let others = [self.pool.next_wake(), self.machine.next_wake()];
        others.into_iter().flatten().map(|tick| tick.0).chain(self.acts_at).chain(takes_at).min()
    }

    pub(super) fn wake(&mut self, scene: &mut Scene<'_>) {
        if self.acts_at.is_some_and(|at| at <= scene.timeline.now()) {
            self.act(scene);
        }
    }

    // ---- the application ----

    fn act(&mut self, scene: &mut Scene<'_>) {
        let now = scene.timeline.now();
        self.acts_at = Some(now + scene.timeline.dice.between(SECOND / 2, 5 * SECOND));
        let place = match self.partitions.len() {
            0 => None,
            count => self.partitions.keys().nth(scene.timeline.dice.index(count)).cloned(),
        };
        match (scene.timeline.dice.below(4), place) {
            (0, Some(place)) => self.seek(&place, scene),
            (1, Some(place)) => {
                let is_paused = !self.paused.remove(&place);
                if self.machine.pause(&place.topic, place.partition, is_paused) && is_paused {
                    scene.timeline.coverage.count("client: partition paused");
                    self.paused.insert(place);
                }
            }
            (2, _) => self.begin(),
            _ => self.begin_anew(scene),
        }
    }

    fn seek(&mut self, place: &Place, scene: &mut Scene<'_>) {
        let dice = &mut scene.timeline.dice;
        let reading = self.partitions.get_mut(place).expect("it is read");
        let seen = reading.high_watermark;
        // The log may be shorter by now where anybody leads.
        let end_least = if scene.checker.is_loose(place) { 0 } else { seen };
        let (start, next) = match dice.below(4) {
            0 => (Start::Earliest, Next::At(0)),
            1 => (Start::Latest, Next::From(end_least)),
            2 => {
                let count = dice.below(50);
                (Start::Last(count), Next::From((end_least - count as i64).max(0)))
            }
            _ => {
                let offset = dice.below(seen as u64 + 1) as i64;
                (Start::At(at(offset)), Next::At(offset))
            }
        };
        if self.machine.seek(&place.topic, place.partition, start) {
            scene.timeline.coverage.count("client: position sought");
            reading.next = next;
        }
    }

    /// Another machine goes on where this one was.
    fn begin_anew(&mut self, scene: &mut Scene<'_>) {
        let mut effects = Vec::new();
        self.machine.close(&mut effects);
        for effect in effects {
            self.perform(effect, scene);
        }
        let mut effects = Vec::new();
        self.machine.advance(Tick(scene.timeline.now()), &mut effects);
        let machine = &mut self.machine;
        let left = (effects.len(), machine.call_count(), machine.waiting_bytes(), machine.next_wake());
        if left != (0, 0, 0, None) || machine.take().is_some() {
            let what = format!("closed; effects, requests, bytes and timer that are left: {left:?}");
            scene.checker.leaked(self.me, &what);
        }
        scene.timeline.coverage.count("client: consumer closed");
        let dice = &mut scene.timeline.dice;
        let (config, random) = (draw_config(self.me, dice), Random::new(dice.number()));
        if config.isolation != self.machine.config().isolation {
            // One of them sees further than the other.
            self.partitions.values_mut().for_each(|reading| reading.high_watermark = 0);
        }
        self.machine = Machine::new(config, self.pool.metadata().cluster().clone(), random);
        self.generation += 1;
        self.begin();
    }

    /// Says what it wants to read, and from where.
    fn begin(&mut self) {
        self.paused.clear();
        match self.wish {
            Wish::Partitions => {
                let assignments = self.topics.iter().flat_map(|plan| {
                    (0..plan.partition_count).map(|partition| {
                        let (topic, start) = (plan.name.clone(), Start::Earliest);
                        Assignment { topic, partition, start }
                    })
                });
                self.machine.assign(assignments);
            }
            Wish::Topics => {
                let names = self.topics.iter().map(|topic| topic.name.clone()).collect();
                self.machine.subscribe(Topics::Named(names), Start::Earliest);
            }
            Wish::Names => {
                self.pool.metadata().want_all_no_more();
                self.pool.metadata().want_all();
                self.machine
                    .subscribe(Topics::Matching(Arc::new(|name| name != renewals::NAME)), Start::Earliest);
            }
        }
        for (place, reading) in &mut self.partitions {
            let Next::At(offset) = reading.next else {
                reading.next = START.next;
                continue;
            };
            // What is not known yet will be read from its first record on.
            if !self.machine.seek(&place.topic, place.partition, Start::At(at(offset))) {
                reading.next = START.next;
            }
        }
    }

    /// Takes what is there. Says whether there may be more.
    fn take(&mut self, scene: &mut Scene<'_>) -> bool {
        let now = scene.timeline.now();
        if now < self.takes_at {
            return false;
        }
        let Some(next) = self.machine.take() else {
            if self.is_slow {
                self.takes_at = now + scene.timeline.dice.between(20 * MS, 300 * MS);
            }
            return false;
        };
        match next {
            Ok(batch) => {
                self.look_at(&batch, scene);
                if self.sabotage == ClientSabotage::HandsOutTwice && scene.timeline.dice.chance(5) {
                    self.look_at(&batch, scene);
                }
            }
            Err(error) => self.stopped(&error, scene),
        }
        true
    }

    fn look_at(&mut self, batch: &FetchedBatch, scene: &mut Scene<'_>) {
        let place = Place { topic: batch.topic.clone(), partition: batch.partition };
        if self.paused.contains(&place) {
            scene.checker.unexpected(self.me, &format!("{place:?} is paused, and handed out"));
        }
        let high_watermark = batch.high_watermark.map_or(0, Offset::raw);
        let reading = self.partitions.entry(place.clone()).or_insert(START);
        // What was read was below it too.
        let seen = match reading.next {
            Next::At(next) => next.max(reading.high_watermark),
            Next::From(_) => reading.high_watermark,
        };
        if high_watermark < seen {
            scene.checker.high_watermark_went_back(&place, self.me, seen, high_watermark);
        }
        reading.high_watermark = seen.max(high_watermark);
        let epoch = batch.view().ok().and_then(|view| view.header().leader_epoch).map_or(-1, |epoch| epoch.0);
        let mut scratch = Vec::new();
        let records = match batch.records(&mut scratch) {
            Ok(records) => records,
            Err(error) => return scene.checker.garbage(&place, self.me, &error.to_string()),
        };
        for record in records {
            let record = match record {
                Ok(record) => record,
                Err(error) => return scene.checker.garbage(&place, self.me, &error.to_string()),
            };
            let offset = record.offset.raw();
            match reading.next {
                Next::At(next) if next < offset => {
                    let isolation = self.machine.config().isolation;
                    scene.checker.passed_over(&place, self.me, isolation, next..offset);
                }
                Next::At(first) | Next::From(first) if offset < first => {
                    scene.checker.read_again(&place, self.me, first, offset);
                }
                Next::At(_) | Next::From(_) => {}
            }
            if high_watermark <= offset {
                scene.checker.read_above_high_watermark(&place, self.me, offset, high_watermark);
            }
            let value = record.value.and_then(|value| value.first_chunk());
            let value = value.map(|value| u64::from_be_bytes(*value));
            scene.checker.read(&place, offset, epoch, value, self.me);
            if self.machine.config().isolation == Isolation::ReadCommitted {
                scene.checker.read_committed(&place, offset);
            }
            scene.timeline.coverage.count("record read");
            reading.next = Next::At(offset + 1);
        }
    }

    /// A partition can't be read: is that right, and if so, on with it.
    fn stopped(&mut self, error: &ConsumeError, scene: &mut Scene<'_>) {
        use klamm_client::consumer::Cause;
        let place = Place { topic: error.topic.clone(), partition: error.partition };
        match &error.cause {
            Cause::Unknown => scene.timeline.coverage.count("client: topic unknown for long"),
            Cause::OutOfRange { .. } if !self.pool.knows_epochs() => {
                scene.timeline.coverage.count("client: position refused, maybe by an old leader");
            }
            Cause::OutOfRange { .. } | Cause::Truncated { .. } | Cause::MadeAnew { .. } => {
                if scene.checker.position_refused(&place, self.me, &error.to_string()) {
                    scene.timeline.coverage.count("unclean: reader told that what it read is gone");
                }
            }
            Cause::Damaged { .. } => scene.checker.garbage(&place, self.me, &error.to_string()),
            Cause::Leaderless
            | Cause::Refused(_)
            | Cause::Uncommitted
            | Cause::Useless
            | Cause::Undeserializable { .. }
            | Cause::Call(_) => {
                scene.checker.unexpected(self.me, &format!("no fault explains this: {error}"));
            }
        }
        let reading = self.partitions.entry(place.clone()).or_insert(START);
        reading.next = START.next;
        self.machine.seek(&place.topic, place.partition, Start::Earliest);
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
            self.look_at_bytes(scene);
            if is_last && !self.take(scene) {
                return;
            }
        }
    }

    fn hear(&mut self, news: News, now: Tick, out: &mut Vec<Effect>, scene: &mut Scene<'_>) {
        match news {
            News::Cluster(cluster) => self.machine.cluster_changed(cluster),
            // Whoever asked is closed.
            News::Answer(asker, _) if asker.generation != self.generation => {}
            News::Answer(Asker { call, .. }, answer) => match answer {
                Ok(Response::Fetch(mut response)) => {
                    self.note_who_answered(call, &response, scene);
                    if self.skips {
                        self.skips = !skip_first(&mut response);
                    }
                    self.machine.fetched(now, call, response, out);
                }
                Ok(Response::ListOffsets(response)) => self.machine.located(now, call, response, out),
                Ok(Response::OffsetForLeaderEpoch(response)) => {
                    scene.timeline.coverage.count("client: position validated");
                    self.machine.validated(now, call, response, out);
                }
                Ok(other) => unreachable!("an answer of another kind: {other:?}"),
                Err(error) => {
                    self.skips = self.sabotage == ClientSabotage::SkipsAfterReset;
                    self.machine.call_failed(now, call, &error, out);
                }
            },
        }
    }

    fn perform(&mut self, effect: Effect, scene: &mut Scene<'_>) {
        match effect {
            Effect::Ask(ask) => self.ask(ask, scene),
            Effect::LeaderHint(hint) => self.pool.hint(hint, scene),
            Effect::RefreshMetadata => self.pool.metadata().mark_stale(),
            // It looks after every event.
            Effect::Readable | Effect::Trouble(_) | Effect::Reset(_) => {}
        }
    }

    fn note_who_answered(&mut self, call: CallId, response: &FetchResponse, scene: &mut Scene<'_>) {
        let is_nearby = self.nearby.remove(&call);
        for data in response.responses.iter().flat_map(|topic| &topic.partitions) {
            if 0 <= data.preferred_read_replica {
                scene.timeline.coverage.count("client: sent to a replica in its rack");
            }
            if is_nearby && matches!(&data.records, Some(Records::Bytes(run)) if !run.is_empty()) {
                scene.timeline.coverage.count("client: records read at a follower");
            }
            if is_nearby && data.error_code != 0 {
                scene.timeline.coverage.count("client: refused by a follower");
            }
        }
    }

    fn ask(&mut self, consumer::Ask { call, broker, what }: consumer::Ask, scene: &mut Scene<'_>) {
        if let (Some(call), Asked::Fetch { session, .. }) = (call, &what) {
            let cluster = self.pool.metadata().cluster();
            let is_led = |topic: &TopicFetch| {
                topic.partitions.iter().all(|it| {
                    cluster.leader(&topic.name, it.partition).is_none_or(|(leader, _)| leader == broker)
                })
            };
            if !session.topics.iter().all(is_led) {
                self.nearby.insert(call);
            }
        }
        let purpose = call.map_or(Purpose::Nothing, |call| self.purpose(call));
        self.pool.ask_to_read(broker, what.question(self.machine.config()), purpose, scene);
    }

    fn purpose(&self, call: CallId) -> Purpose {
        Purpose::Machine(Asker { generation: self.generation, call })
    }

    fn look_at_bytes(&mut self, scene: &mut Scene<'_>) {
        let config = self.machine.config();
        let most = config.prefetch_bytes_max + BROKER_COUNT * (config.bytes_max + BATCH_SIZE_MAX);
        let waiting = self.machine.waiting_bytes();
        if most < waiting {
            scene.checker.leaked(self.me, &format!("{waiting} bytes wait to be read, the bound is {most}"));
        }
    }
}

fn at(offset: i64) -> Offset {
    Offset::from_wire(offset).expect("offsets are not negative")
}

pub(super) fn draw_config(me: usize, dice: &mut Dice) -> Config {
    Config {
        rack: rack(me),
        bytes_max: if dice.chance(20) { 300 } else { 20_000 },
        partition_bytes_max: dice.between(300, 3000) as usize,
        wait_max_ms: dice.below(500),
        prefetch_bytes_max: if dice.chance(30) { 1000 } else { 50_000 },
        isolation: if dice.chance(50) { Isolation::ReadCommitted } else { Isolation::ReadUncommitted },
        backoff: Backoff { first_ms: dice.between(5, 100), longest_ms: dice.between(100, 1000) },
        request_timeout_ms: dice.between(700, 2000),
        unknown_topic_timeout_ms: dice.between(500, 10_000),
        ..Config::default()
    }
}

/// Takes the first batch away where there are several. Says whether there were.
fn skip_first(response: &mut FetchResponse) -> bool {
    let mut partitions = response.responses.iter_mut().flat_map(|topic| &mut topic.partitions);
    let first = partitions.find_map(|partition| {
        let Some(Records::Bytes(run)) = &mut partition.records else { return None };
        let size = Batches::new(run, Tail::MayBeTruncated).next()?.ok()?.bytes().len();
        (size < run.len()).then(|| *run = run.slice(size..))
    });
    first.is_some()
}
