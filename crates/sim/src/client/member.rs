//! An application that reads as one of a group: the client's member machine in a shell of the simulator's.
//!
//! It commits what it is done with, by itself or as asked, acknowledges what is revoked at once or late, stands still for longer than its session lasts, leaves and
//! comes back, and is killed; then another one takes its place.

use std::collections::BTreeMap;
use std::sync::Arc;

use klamm_client::consumer::{self, Cause};
use klamm_client::group::{
    Assignor, CommitId, Config as GroupConfig, Effect, GroupProtocol, ReaderId, RevocationId, Taken, Whom,
    machine::Machine,
};
use klamm_client::{
    CallId, ConsumeError, ConsumerConfig, FetchedBatch, GroupConsumeError, Isolation, OutOfRange,
    PartitionName, Random, Start, Topics,
};
use klamm_model::{Offset, Tick};
use klamm_wire::{OffsetCommitRequest, Request, Response};

use super::{
    Place, Scene, TopicPlan,
    consumer::draw_config,
    pool::{Ask, Asker, JOINING, News, PROMPT, Pool, Purpose},
};
use crate::{
    check::Checker,
    dice::Dice,
    network::{Arrival, Party},
    timeline::{MS, SECOND},
};

/// The application has one thing in hand at a time.
const READER: ReaderId = ReaderId(0);
/// The reader's questions are numbered by themselves.
const OF_READER: u64 = 1 << 32;

/// A group of a run.
#[derive(Clone, Debug)]
pub struct GroupPlan {
    /// Its name.
    pub name: Arc<str>,
    /// By which protocol its members share.
    pub protocol: GroupProtocol,
    /// How long a member may be silent.
    pub session_timeout_ms: u64,
    /// Whether members keep what they have while partitions move.
    pub is_cooperative: bool,
}

/// See the module.
pub struct Member {
    me: usize,
    pub(super) pool: Pool,
    topics: Vec<TopicPlan>,
    plan: GroupPlan,
    /// Whether it comes and goes.
    is_restless: bool,
    machine: Machine,
    generation: u64,
    phase: Phase,
    acts_at: u64,
    /// Of each partition that it has: where it is.
    owned: BTreeMap<Place, Reading>,
    /// To be acknowledged then.
    revoked: Option<(RevocationId, u64)>,
    asked: BTreeMap<CallId, (u64, Asked)>,
    next_commit: u64,
    /// It is killed as soon as what it wants to send is sent.
    falls: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Reads,
    StandsStill { until: u64 },
    Leaves,
    Gone { until: u64 },
}

/// Where a partition is read.
#[derive(Clone, Copy, Debug)]
enum Reading {
    /// It was assigned when so much was committed, and nothing came of it yet.
    Fresh(i64),
    At(i64),
}

/// What was asked of the coordinator, as far as it matters to whoever checks.
enum Asked {
    Beat,
    /// A rebalance waits for the answer.
    Joins,
    Commit(Box<OffsetCommitRequest>),
    Other,
}

impl Member {
    /// One of a group that reads these topics.
    pub fn new(
        me: usize,
        topics: Vec<TopicPlan>,
        plan: GroupPlan,
        is_restless: bool,
        dice: &mut Dice,
    ) -> Self {
        let mut pool = Pool::for_groups(me, dice);
        topics.iter().for_each(|topic| _ = pool.metadata().want(&topic.name));
        let machine = machine(me, &plan, &mut pool, dice);
        Self {
            me,
            pool,
            topics,
            plan,
            is_restless,
            machine,
            generation: 0,
            phase: Phase::Gone { until: dice.between(SECOND, 3 * SECOND) },
            acts_at: dice.between(3 * SECOND, 6 * SECOND),
            owned: BTreeMap::new(),
            revoked: None,
            asked: BTreeMap::new(),
            next_commit: 0,
            falls: false,
        }
    }

    /// Stays in the group and reads on to the end.
    pub fn calm_down(&mut self) {
        self.is_restless = false;
    }

    /// Whether it is to be waited for.
    pub(super) fn waits_for(&self) -> Option<String> {
        (self.phase != Phase::Reads).then(|| format!("a member of {}: {:?}", self.plan.name, self.phase))
    }

    /// Its group, and where it is in every partition that it has.
    pub fn positions(&self) -> (Arc<str>, BTreeMap<Place, i64>) {
        let of_reader = self.machine.reader().positions();
        let known = of_reader.filter_map(|it| {
            let place = Place { topic: it.topic, partition: it.partition };
            Some((place, it.position?.raw()))
        });
        (self.plan.name.clone(), known.collect())
    }

    /// What it has read to the end without being given anything: that must have been right.
    pub fn leave(&self, checker: &mut Checker) {
        let (_, positions) = self.positions();
        for (place, reading) in &self.owned {
            if let (Reading::At(next), Some(position)) = (reading, positions.get(place))
                && next < position
            {
                let isolation = self.machine.reader().config().isolation;
                checker.passed_over(place, self.me, isolation, *next..*position);
            }
        }
    }

    /// Whether a rebalance or a commit waits for an answer.
    pub fn is_in_the_middle(&self) -> bool {
        self.asked.values().any(|(_, asked)| matches!(asked, Asked::Joins | Asked::Commit(_)))
    }

    fn key(&self) -> crate::groups::Member {
        (self.me, self.generation)
    }

    pub(super) fn next_wake(&self) -> Option<u64> {
        let own = match self.phase {
            Phase::Reads if self.is_restless => Some(self.acts_at),
            Phase::Reads | Phase::Leaves => None,
            Phase::StandsStill { until } | Phase::Gone { until } => {
                Some(if self.is_restless { until } else { 0 })
            }
        };
        if matches!(self.phase, Phase::StandsStill { .. }) {
            return own;
        }
        let is_gone = matches!(self.phase, Phase::Gone { .. });
        let others = [self.pool.next_wake(), self.machine.next_wake().filter(|_| !is_gone)];
        let acknowledges = self.revoked.map(|(_, at)| at);
        others.into_iter().flatten().map(|tick| tick.0).chain(own).chain(acknowledges).min()
    }

    pub(super) fn wake(&mut self, scene: &mut Scene<'_>) {
        self.act(scene);
    }

    // ---- the application ----

    fn act(&mut self, scene: &mut Scene<'_>) {
        let now = scene.timeline.now();
        if let Some((revocation, _)) = self.revoked.take_if(|(_, at)| *at <= now) {
            self.machine.acknowledge(Tick(now), revocation);
        }
        match self.phase {
            Phase::Reads if self.is_restless && self.acts_at <= now => self.be_restless(scene),
            Phase::StandsStill { until } if until <= now || !self.is_restless => self.phase = Phase::Reads,
            Phase::Gone { until } if until <= now || !self.is_restless => self.join(scene),
            _ => {}
        }
    }

    fn be_restless(&mut self, scene: &mut Scene<'_>) {
        let now = scene.timeline.now();
        let session = self.plan.session_timeout_ms * MS;
        let dice = &mut scene.timeline.dice;
        self.acts_at = now + dice.between(SECOND, 6 * SECOND);
        match dice.below(3) {
            0 => {
                let until = now + dice.between(session / 2, 3 * session);
                scene.timeline.coverage.count("group: member stands still");
                self.phase = Phase::StandsStill { until };
            }
            1 => {
                scene.timeline.coverage.count("group: member leaves");
                let mut effects = Vec::new();
                self.machine.close(Tick(now), true, &mut effects);
                effects.into_iter().for_each(|effect| self.perform(effect, scene));
                self.phase = Phase::Leaves;
                self.has_nothing(scene);
            }
            _ => self.kill(scene),
        }
    }

    fn join(&mut self, scene: &mut Scene<'_>) {
        let now = Tick(scene.timeline.now());
        scene.timeline.coverage.count(match self.plan.protocol {
            GroupProtocol::Classic => "group: joined by the classic protocol",
            GroupProtocol::Consumer => "group: joined by the consumer protocol",
        });
        self.generation += 1;
        self.machine = machine(self.me, &self.plan, &mut self.pool, &mut scene.timeline.dice);
        let topics = Topics::Named(self.topics.iter().map(|topic| topic.name.clone()).collect());
        let mut effects = Vec::new();
        self.machine.subscribe(now, topics, &mut effects);
        effects.into_iter().for_each(|effect| self.perform(effect, scene));
        self.phase = Phase::Reads;
    }

    fn kill(&mut self, scene: &mut Scene<'_>) {
        scene.timeline.coverage.count("group: member killed");
        self.has_nothing(scene);
        self.generation += 1;
        self.phase = Phase::Gone { until: scene.timeline.now() + scene.timeline.dice.below(2 * SECOND) };
        let mut ended = Vec::new();
        scene.network.break_all_of(Party::Client(self.me), scene.timeline, &mut ended);
        for arrival in ended {
            if let Arrival::Answer { server, token, answer, .. } = arrival {
                self.pool.answered(server, token, answer, scene);
            }
        }
    }

    fn has_nothing(&mut self, scene: &mut Scene<'_>) {
        scene.checker.groups.ended(self.key());
        self.owned.clear();
        self.revoked = None;
        for (_, asked) in std::mem::take(&mut self.asked).into_values() {
            self.doubt(asked, scene);
        }
    }

    /// There is no answer, and there may come none.
    fn doubt(&mut self, asked: Asked, scene: &mut Scene<'_>) {
        let Asked::Commit(commit) = asked else { return };
        for topic in &commit.topics {
            for partition in &topic.partitions {
                let place = Place { topic: topic.name.as_str().into(), partition: partition.partition_index };
                let offset = partition.committed_offset;
                scene.checker.groups.doubts_commit(&self.plan.name, &place, offset);
            }
        }
    }

    /// Takes what is there. Says whether there may be more.
    fn take(&mut self, scene: &mut Scene<'_>) -> bool {
        let now = scene.timeline.now();
        if self.phase != Phase::Reads {
            return false;
        }
        let Some(next) = self.machine.take(Tick(now), READER) else { return false };
        match next {
            Ok(Taken::Batch(batch)) => self.look_at(&batch, scene),
            Ok(Taken::Assigned(partitions)) => self.assigned(&partitions, scene),
            Ok(Taken::Revoked { revocation, partitions }) => {
                scene.timeline.coverage.count("group: partitions revoked");
                self.lost(&partitions, scene);
                let dice = &mut scene.timeline.dice;
                let delay = if dice.chance(70) { 0 } else { dice.below(SECOND) };
                self.revoked = Some((revocation, now + delay));
                if delay == 0 {
                    self.act(scene);
                }
            }
            Ok(Taken::Lost(partitions)) => {
                scene.timeline.coverage.count("group: partitions lost");
                self.lost(&partitions, scene);
            }
            Err(GroupConsumeError::Partition(error)) => self.stopped(&error, scene),
            Err(error) => {
                scene.checker.unexpected(self.me, &format!("no fault explains this: {error}"));
                self.kill(scene);
            }
        }
        true
    }

    /// A partition can't be read. Who knows no epochs takes the word of an old leader, which has not got what was committed since: it asks again, until it
    /// finds the one that has.
    fn stopped(&mut self, error: &ConsumeError, scene: &mut Scene<'_>) {
        match error.cause {
            Cause::OutOfRange { wanted, .. } if !self.pool.knows_epochs() => {
                scene.timeline.coverage.count("group: position refused, maybe by an old leader");
                let name = PartitionName::new(error.topic.clone(), error.partition);
                self.machine.seek(&name, Start::At(wanted));
            }
            _ => scene.checker.unexpected(self.me, &format!("no fault explains this: {error}")),
        }
    }

    fn assigned(&mut self, partitions: &[PartitionName], scene: &mut Scene<'_>) {
        scene.timeline.coverage.count("group: partitions assigned");
        let (now, session) = (scene.timeline.now(), self.plan.session_timeout_ms * MS);
        for place in partitions.iter().map(place_of) {
            let groups = &mut scene.checker.groups;
            let committed = groups.committed(&self.plan.name, &place);
            let findings = &mut scene.checker.findings;
            groups.assigned(&self.plan.name, &place, self.key(), (now, session), findings);
            self.owned.insert(place, Reading::Fresh(committed));
        }
        scene.timeline.note(format_args!("c{} has {partitions:?} too", self.me));
    }

    fn lost(&mut self, partitions: &[PartitionName], scene: &mut Scene<'_>) {
        for place in partitions.iter().map(place_of) {
            scene.checker.groups.gave_up(&self.plan.name, &place, self.key());
            self.owned.remove(&place);
        }
        scene.timeline.note(format_args!("c{} has {partitions:?} no more", self.me));
    }

    fn look_at(&mut self, batch: &FetchedBatch, scene: &mut Scene<'_>) {
        let place = Place { topic: batch.topic.clone(), partition: batch.partition };
        let Some(reading) = self.owned.get(&place).copied() else {
            return scene.checker.unexpected(self.me, &format!("{place:?} is not had, and handed out"));
        };
        let group = self.plan.name.clone();
        let from = match reading {
            Reading::Fresh(at_least) => {
                let (at, key) = (batch.from.raw(), self.key());
                let findings = &mut scene.checker.findings;
                scene.checker.groups.begins(&group, &place, key, (at, at_least), findings);
                at
            }
            Reading::At(next) => next,
        };
        let epoch = batch.view().ok().and_then(|view| view.header().leader_epoch).map_or(-1, |epoch| epoch.0);
        let mut scratch = Vec::new();
        let records = match batch.records(&mut scratch) {
            Ok(records) => records,
            Err(error) => return scene.checker.garbage(&place, self.me, &error.to_string()),
        };
        let isolation = self.machine.reader().config().isolation;
        let mut next = from;
        for record in records {
            let record = match record {
                Ok(record) => record,
                Err(error) => return scene.checker.garbage(&place, self.me, &error.to_string()),
            };
            let offset = record.offset.raw();
            if offset < next {
                scene.checker.read_again(&place, self.me, next, offset);
            } else if next < offset {
                scene.checker.passed_over(&place, self.me, isolation, next..offset);
            }
            let value = record.value.and_then(|value| value.first_chunk());
            scene.checker.read(&place, offset, epoch, value.map(|value| u64::from_be_bytes(*value)), self.me);
            if isolation == Isolation::ReadCommitted {
                scene.checker.read_committed(&place, offset);
            }
            scene.timeline.coverage.count("group: record read");
            next = offset + 1;
        }
        scene.checker.groups.gave(&group, &place, from, next);
        self.owned.insert(place.clone(), Reading::At(next));
        if self.machine.config().auto_commit_interval_ms.is_none() && scene.timeline.dice.chance(30) {
            self.commit(&place, next, scene);
        }
    }

    fn commit(&mut self, place: &Place, offset: i64, scene: &mut Scene<'_>) {
        let name = PartitionName::new(place.topic.clone(), place.partition);
        let offset = Offset::from_wire(offset).expect("offsets are not negative");
        self.next_commit += 1;
        let mut effects = Vec::new();
        let offsets = BTreeMap::from([(name, offset.into())]);
        self.machine.commit(Tick(scene.timeline.now()), CommitId(self.next_commit), offsets, &mut effects);
        effects.into_iter().for_each(|effect| self.perform(effect, scene));
    }

    // ---- the shell ----

    /// Does what there is to do, until there is nothing left at this moment.
    pub(super) fn go_on(&mut self, scene: &mut Scene<'_>) {
        let now = Tick(scene.timeline.now());
        let mut effects = Vec::new();
        // Whoever stands still hears nothing either.
        while !matches!(self.phase, Phase::StandsStill { .. }) {
            self.pool.turn(scene);
            let mut is_last = true;
            while let Some(news) = self.pool.next_news() {
                is_last = false;
                self.hear(news, now, &mut effects, scene);
            }
            if matches!(self.phase, Phase::Gone { .. }) {
                return;
            }
            self.machine.advance(now, &mut effects);
            for effect in effects.drain(..) {
                self.perform(effect, scene);
            }
            if std::mem::take(&mut self.falls) {
                return self.kill(scene);
            }
            if self.phase == Phase::Leaves && self.machine.is_finished() {
                self.generation += 1;
                let until = now.0 + scene.timeline.dice.below(2 * SECOND);
                self.phase = Phase::Gone { until };
                return;
            }
            if is_last && !self.take(scene) {
                return;
            }
        }
    }

    fn hear(&mut self, news: News, now: Tick, out: &mut Vec<Effect>, scene: &mut Scene<'_>) {
        match news {
            News::Cluster(cluster) => self.machine.cluster_changed(cluster),
            // Whoever asked is no more.
            News::Answer(asker, _) if asker.generation != self.generation => {}
            News::Answer(Asker { call, .. }, answer) if OF_READER <= call.0 => {
                let call = CallId(call.0 - OF_READER);
                self.machine.read(out, |reader, out| reader.answered(now, call, answer, out));
            }
            News::Answer(Asker { call, .. }, answer) => {
                match (self.asked.remove(&call), &answer) {
                    (Some((asked_at, asked)), Ok(answer)) => self.overhear(asked_at, asked, answer, scene),
                    (Some((_, asked)), Err(_)) => self.doubt(asked, scene),
                    (None, _) => {}
                }
                self.machine.answered(now, call, answer, out);
            }
        }
    }

    /// What the coordinator says.
    fn overhear(&mut self, asked_at: u64, asked: Asked, answer: &Response, scene: &mut Scene<'_>) {
        let key = self.key();
        match (asked, answer) {
            (Asked::Beat, Response::Heartbeat(answer)) if answer.error_code == 0 => {
                scene.checker.groups.heard(key, asked_at);
            }
            (Asked::Beat, Response::ConsumerGroupHeartbeat(answer)) if answer.error_code == 0 => {
                scene.checker.groups.heard(key, asked_at);
            }
            (Asked::Joins, Response::SyncGroup(answer)) if answer.error_code == 0 => {
                scene.checker.groups.heard(key, asked_at);
            }
            (Asked::Commit(asked), Response::OffsetCommit(answer)) => {
                for (topic, told) in asked.topics.iter().zip(&answer.topics) {
                    for (partition, told) in topic.partitions.iter().zip(&told.partitions) {
                        let place =
                            Place { topic: topic.name.as_str().into(), partition: partition.partition_index };
                        scene.timeline.coverage.count(if told.error_code == 0 {
                            "group: offset committed"
                        } else {
                            "group: commit refused"
                        });
                        if told.error_code == 0 {
                            let offset = (partition.committed_offset, asked_at);
                            let findings = &mut scene.checker.findings;
                            scene.checker.groups.took_commit(&self.plan.name, &place, key, offset, findings);
                        }
                    }
                }
            }
            _ => {}
        }
    }

    fn perform(&mut self, effect: Effect, scene: &mut Scene<'_>) {
        match effect {
            Effect::Read(effect) => self.perform_read(effect, scene),
            Effect::Ask { call, whom, is_parked, request, version_limit, timeout_ms, .. } => {
                let asked = match &*request {
                    Request::Heartbeat(_) | Request::ConsumerGroupHeartbeat(_) => Asked::Beat,
                    Request::JoinGroup(_) | Request::SyncGroup(_) => Asked::Joins,
                    Request::OffsetCommit(commit) => Asked::Commit(Box::new(commit.clone())),
                    _ => Asked::Other,
                };
                self.falls |=
                    matches!(asked, Asked::Joins) && self.is_restless && scene.timeline.dice.chance(3);
                self.asked.insert(call, (scene.timeline.now(), asked));
                let asker = Asker { generation: self.generation, call };
                match whom {
                    Whom::Anybody => self.pool.ask_any((*request, version_limit), Some(asker), scene),
                    Whom::Coordinator(broker) => {
                        let lane = if is_parked { JOINING } else { PROMPT };
                        let purpose = Purpose::Machine(asker);
                        let ask = Ask { request: *request, version_limit, timeout_ms, purpose };
                        self.pool.ask_broker(broker, lane, ask, scene);
                    }
                }
            }
            Effect::WantTopics(topics) => topics.iter().for_each(|name| _ = self.pool.metadata().want(name)),
            Effect::Committed { outcome, .. } => {
                if let Err(error) = outcome {
                    scene.timeline.note(format_args!("c{}: {error}", self.me));
                }
            }
            Effect::Note(note) => scene.timeline.note(format_args!("c{}: {note}", self.me)),
        }
    }

    fn perform_read(&mut self, effect: consumer::Effect, scene: &mut Scene<'_>) {
        use consumer::Effect as Read;
        match effect {
            Read::Ask(ask) => self.ask_to_read(ask, scene),
            Read::RefreshMetadata => self.pool.metadata().mark_stale(),
            Read::LeaderHint(hint) => self.pool.hint(hint, scene),
            // It looks after every event.
            Read::Readable | Read::Trouble(_) | Read::Reset(_) => {}
        }
    }

    fn ask_to_read(&mut self, consumer::Ask { call, broker, what }: consumer::Ask, scene: &mut Scene<'_>) {
        let generation = self.generation;
        let purpose = match call {
            Some(call) => Purpose::Machine(Asker { generation, call: CallId(call.0 + OF_READER) }),
            None => Purpose::Nothing,
        };
        self.pool.ask_to_read(broker, what.question(self.machine.reader().config()), purpose, scene);
    }
}

fn place_of(name: &PartitionName) -> Place {
    Place { topic: name.topic.clone(), partition: name.partition }
}

fn machine(me: usize, plan: &GroupPlan, pool: &mut Pool, dice: &mut Dice) -> Machine {
    let config = GroupConfig {
        protocol: plan.protocol,
        session_timeout_ms: plan.session_timeout_ms,
        heartbeat_interval_ms: plan.session_timeout_ms / 5,
        // Who is heard of is not waited for less long than who is not.
        poll_interval_max_ms: 3 * plan.session_timeout_ms,
        auto_commit_interval_ms: dice.chance(50).then(|| dice.between(50, 1000)),
        assignors: if plan.is_cooperative {
            vec![Assignor::CooperativeSticky]
        } else {
            vec![Assignor::Range, Assignor::CooperativeSticky]
        },
        uncommitted: OutOfRange::Earliest,
        ..GroupConfig::new(&*plan.name)
    };
    // Topics that are made late must not stop it.
    let read = ConsumerConfig { unknown_topic_timeout_ms: 120_000, ..draw_config(me, dice) };
    let random = Random::new(dice.number());
    Machine::new(config, read, pool.metadata().cluster().clone(), random)
}
