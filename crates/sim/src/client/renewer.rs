//! An application that deletes its topic and makes it anew under the same name, again and again, whatever else happens (F42).
//!
//! It writes by the topic's id and by its name, reads by the id, commits how far it is for a group, and goes on asking for the topics that are gone.

mod offsets;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use klamm_client::{CallError, CallId};
use klamm_model::{
    BatchBuilder, BrokerId, ErrorCode, PartitionIndex, Seal, Timestamp, TopicId, TopicPartition,
};
use klamm_wire::{
    ApiKey, DeleteTopicsRequest, FetchRequest, ProduceRequest, Records, Request, Response,
    delete_topics::DeleteTopicState,
    fetch::{FetchPartition, FetchTopic},
    produce::{PartitionProduceData, TopicProduceData},
};

use offsets::Offsets;

use super::{
    Scene, TopicPlan, admin, code,
    pool::{Ask, Asker, COORDINATED, News, PARKED, PROMPT, Pool, Purpose},
};
use crate::{
    BROKER_COUNT, broker_id,
    check::Checker,
    dice::Dice,
    renewals::{Knowledge, NAME, Whose, knowledge},
    stored::Stored,
    timeline::{MS, SECOND},
};

/// From these versions on a topic is told by its id.
const BY_ID: &[(ApiKey, i16)] =
    &[(ApiKey::Metadata, 10), (ApiKey::Produce, 13), (ApiKey::Fetch, 13), (ApiKey::DeleteTopics, 6)];
/// The newest version that names a topic when it is written to.
const PRODUCE_BY_NAME: i16 = 12;
/// Its values are nobody else's.
const FIRST_VALUE: u64 = 0xF42 << 48;

/// See the module.
pub struct Renewer {
    me: usize,
    pub(super) pool: Pool,
    plan: TopicPlan,
    pace: u64,
    /// Whether it writes and deletes.
    is_working: bool,
    phase: Phase,
    acts_at: u64,
    current: Option<TopicId>,
    gone: Vec<TopicId>,
    /// Of the topic there is: what was read, and what is acknowledged, each up to here.
    read_to: BTreeMap<i32, i64>,
    acked_to: BTreeMap<i32, i64>,
    reads: BTreeSet<(TopicId, i32)>,
    next_value: u64,
    asked: BTreeMap<CallId, Asked>,
    next_call: u64,
    /// What it commits and looks up, if it does.
    offsets: Option<Offsets>,
    /// The topic that is deleted next is made anew at once.
    is_in_haste: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Gone {
        until: u64,
    },
    Creates,
    /// It is there, under an id that is still to be found out.
    Looks {
        until: u64,
    },
    Lives {
        until: u64,
    },
    Deletes {
        again_at: Option<u64>,
    },
}

#[derive(Clone, Copy, Debug)]
enum Asked {
    Create,
    Delete(TopicId),
    Write { value: u64, partition: i32, by_id: Option<(TopicId, Knowledge)> },
    Read { id: TopicId, partition: i32, from: i64, knew: Knowledge },
    Offsets(offsets::Asked),
}

impl Renewer {
    /// With a topic of its own, and maybe a group that reads it.
    pub fn new(me: usize, has_group: bool, dice: &mut Dice) -> Self {
        let mut pool = Pool::new(me, dice);
        pool.speaks(BY_ID, dice);
        pool.speaks(offsets::BY_ID, dice);
        pool.metadata().want(NAME);
        let plan = TopicPlan {
            name: NAME.into(),
            partition_count: dice.between(1, 3) as i32,
            replication_factor: dice.between(2, 4) as i16,
            is_relaxed: false,
            is_loose: false,
            is_throttled: false,
            min_isr: dice.between(1, 3) as u32,
            created_at: 0,
        };
        Self {
            me,
            pool,
            plan,
            pace: dice.between(50 * MS, 250 * MS),
            is_working: true,
            phase: Phase::Gone { until: dice.between(SECOND, 3 * SECOND) },
            acts_at: 0,
            current: None,
            gone: Vec::new(),
            read_to: BTreeMap::new(),
            acked_to: BTreeMap::new(),
            reads: BTreeSet::new(),
            next_value: FIRST_VALUE,
            asked: BTreeMap::new(),
            next_call: 0,
            offsets: has_group.then(|| Offsets::new(me, dice)),
            is_in_haste: false,
        }
    }

    /// The topic that there is, and the group that reads it.
    pub fn topic_and_group(&self) -> Option<(TopicId, &str)> {
        let is_there = self.is_working && matches!(self.phase, Phase::Lives { .. });
        self.current.filter(|_| is_there).zip(self.offsets.as_ref().map(Offsets::group))
    }

    /// Deletes the topic now, if it is there, and makes it anew at once.
    pub(super) fn hurry(&mut self, now: u64) {
        if self.topic_and_group().is_some() {
            self.phase = Phase::Lives { until: now };
            self.acts_at = now;
            self.is_in_haste = true;
        }
    }

    /// Writes and deletes nothing more; the topic that there is stays.
    pub fn calm_down(&mut self) {
        self.is_working = false;
    }

    /// Whether it has read what was acknowledged, and waits for nothing.
    pub fn is_done(&self) -> bool {
        let has_read = |(partition, to): (&i32, &i64)| *to <= self.position(*partition);
        !self.is_working
            && matches!(self.phase, Phase::Lives { .. })
            // A read that finds nothing more is no reason to go on; it is asked again and again.
            && self.asked.values().all(|asked| matches!(asked, Asked::Read { .. }))
            && self.offsets.as_ref().is_none_or(Offsets::is_concluded)
            && self.acked_to.iter().all(has_read)
    }

    pub(super) fn waits_for(&self) -> String {
        let Self { phase, read_to, acked_to, asked, .. } = self;
        format!("{NAME} {phase:?}: read to {read_to:?}, acknowledged to {acked_to:?}, asked: {asked:?}")
    }

    pub(super) fn next_wake(&self) -> Option<u64> {
        let acts_at = (!self.is_done()).then_some(self.acts_at);
        self.pool.next_wake().map(|tick| tick.0).into_iter().chain(acts_at).min()
    }

    pub(super) fn wake(&mut self, scene: &mut Scene<'_>) {
        let now = scene.timeline.now();
        if self.acts_at <= now && !self.is_done() {
            self.acts_at = now + scene.timeline.dice.between(self.pace / 2, self.pace);
            self.act(scene);
        }
    }

    pub(super) fn go_on(&mut self, scene: &mut Scene<'_>) {
        self.pool.turn(scene);
        while let Some(news) = self.pool.next_news() {
            match news {
                News::Cluster(_) => self.look(scene),
                News::Answer(Asker { call, .. }, answer) => self.hear(call, answer, scene),
            }
        }
    }

    // ---- the application ----

    fn act(&mut self, scene: &mut Scene<'_>) {
        let now = scene.timeline.now();
        match self.phase {
            Phase::Gone { until } if until <= now || !self.is_working => {
                self.phase = Phase::Creates;
                self.ask_any(Asked::Create, (admin::request(&self.plan), i16::MAX), scene);
            }
            // Somebody who lags may have told of it, or not.
            Phase::Looks { until } if until <= now => self.phase = Phase::Gone { until: now },
            Phase::Looks { .. } => self.pool.metadata().mark_stale(),
            Phase::Lives { until } if until <= now && self.is_working => self.delete(scene),
            Phase::Deletes { again_at: Some(at) } if at <= now => self.delete(scene),
            Phase::Gone { .. } | Phase::Creates | Phase::Lives { .. } | Phase::Deletes { .. } => {}
        }
        if let (Some(id), Phase::Lives { .. } | Phase::Deletes { .. }) = (self.current, self.phase) {
            (0..self.plan.partition_count).for_each(|it| self.read(id, it, self.leader(it), scene));
        }
        if self.is_working {
            self.write(scene);
        }
        if let Some(id) = self.one_that_is_gone(&mut scene.timeline.dice)
            && self.is_working
        {
            let node = scene.timeline.dice.index(BROKER_COUNT);
            self.read(id, 0, Some(broker_id(node)), scene);
        }
        self.look_after_offsets(scene);
    }

    fn look_after_offsets(&mut self, scene: &mut Scene<'_>) {
        let gone = self.one_that_is_gone(&mut scene.timeline.dice);
        let Some(offsets) = &mut self.offsets else { return };
        let topic = offsets::Topic {
            id: self.current,
            gone: gone.filter(|_| self.is_working),
            partition_count: self.plan.partition_count,
            is_in_use: self.is_working,
        };
        for offsets::Wish { asked, broker, request, version_limit } in offsets.act(&topic, scene) {
            let asked = Asked::Offsets(asked);
            match broker {
                Some(broker) => self.ask(asked, broker, COORDINATED, (request, version_limit), scene),
                None => self.ask_any(asked, (request, version_limit), scene),
            }
        }
    }

    fn one_that_is_gone(&self, dice: &mut Dice) -> Option<TopicId> {
        if self.gone.is_empty() || dice.chance(60) {
            return None;
        }
        // Mostly the last one, of which somebody may not have heard.
        let from = if dice.chance(70) { self.gone.len() - 1 } else { 0 };
        Some(self.gone[from + dice.index(self.gone.len() - from)])
    }

    /// Writes by the id, to a topic that is gone too, or by the name, whether there is one or not.
    fn write(&mut self, scene: &mut Scene<'_>) {
        let partition = scene.timeline.dice.index(self.plan.partition_count as usize) as i32;
        let by_id = if scene.timeline.dice.chance(40) {
            None
        } else {
            self.one_that_is_gone(&mut scene.timeline.dice).or(self.current)
        };
        let leader = self.leader(partition).filter(|_| scene.timeline.dice.chance(90));
        let broker = leader.unwrap_or_else(|| broker_id(scene.timeline.dice.index(BROKER_COUNT)));
        let node = broker.0 as usize;
        let replicas = &scene.checker.replicas;
        let named = replicas.image_of(node).and_then(|image| image.topic_named(NAME)).map(|it| it.id);
        let by_id = by_id.map(|id| (id, knowledge(replicas, node, id)));
        let value = self.next_value;
        self.next_value += 1;
        let whose = by_id.map_or(Whose::Since(named), |(id, _)| Whose::Only(id));
        scene.checker.renewals.sent(value, partition, whose);
        let limit = if by_id.is_some() { i16::MAX } else { PRODUCE_BY_NAME };
        let request = produce(by_id.map(|(id, _)| id), partition, value);
        let asked = Asked::Write { value, partition, by_id };
        self.ask(asked, broker, PROMPT, (request, limit), scene);
    }

    fn read(&mut self, id: TopicId, partition: i32, from: Option<BrokerId>, scene: &mut Scene<'_>) {
        let Some(broker) = from else { return self.pool.metadata().mark_stale() };
        if !self.reads.insert((id, partition)) {
            return;
        }
        let knew = knowledge(&scene.checker.replicas, broker.0 as usize, id);
        let from = if Some(id) == self.current { self.position(partition) } else { 0 };
        let asked = Asked::Read { id, partition, from, knew };
        self.ask(asked, broker, PARKED, (fetch(id, partition, from), i16::MAX), scene);
    }

    fn position(&self, partition: i32) -> i64 {
        self.read_to.get(&partition).copied().unwrap_or(0)
    }

    fn leader(&self, partition: i32) -> Option<BrokerId> {
        self.pool.cluster().leader(NAME, partition).map(|(leader, _)| leader)
    }

    fn delete(&mut self, scene: &mut Scene<'_>) {
        let Some(id) = self.current else { return };
        self.phase = Phase::Deletes { again_at: None };
        let topics = vec![DeleteTopicState { name: None, topic_id: id }];
        let request = DeleteTopicsRequest { topics, timeout_ms: 1000, ..Default::default() };
        self.ask_any(Asked::Delete(id), (Request::DeleteTopics(request), i16::MAX), scene);
    }

    /// Somebody tells of the topic, perhaps of one that is gone.
    fn look(&mut self, scene: &mut Scene<'_>) {
        let Phase::Looks { .. } = self.phase else { return };
        let found = self.pool.cluster().topics.get(NAME).filter(|it| it.error == ErrorCode::None);
        let Some(id) = found.map(|topic| topic.id).filter(|id| !id.is_zero()) else { return };
        if self.gone.contains(&id) {
            return scene.timeline.coverage.count("renewed topic: told of one that is gone");
        }
        self.current = Some(id);
        self.read_to.clear();
        self.acked_to.clear();
        let lasts = scene.timeline.dice.between(SECOND / 3, 4 * SECOND);
        self.phase = Phase::Lives { until: scene.timeline.now() + lasts };
    }

    // ---- answers ----

    fn hear(&mut self, call: CallId, answer: Result<Response, CallError>, scene: &mut Scene<'_>) {
        match (self.asked.remove(&call).expect("an answer to something that was asked"), answer) {
            (Asked::Create, answer) => self.created(answer, scene),
            (Asked::Delete(id), answer) => self.deleted(id, answer, scene),
            (Asked::Write { value, partition, by_id }, Ok(Response::Produce(response))) => {
                let told = &response.responses[0].partition_responses[0];
                let code = code(told.error_code);
                self.wrote((value, partition, told.base_offset), code, by_id, scene);
            }
            (Asked::Read { id, partition, from, knew }, answer) => {
                self.reads.remove(&(id, partition));
                if let Ok(Response::Fetch(response)) = answer {
                    self.fetched((id, partition, from), knew, &response, scene);
                }
            }
            (Asked::Offsets(asked), answer) => {
                let told = self.offsets.as_mut().and_then(|it| it.hear(asked, answer, scene));
                if let Some((id, knew, code)) = told {
                    self.told(id, knew, code, scene);
                }
            }
            (Asked::Write { .. }, _) => self.pool.metadata().mark_stale(),
        }
    }

    fn created(&mut self, answer: Result<Response, CallError>, scene: &mut Scene<'_>) {
        let code = match answer {
            Ok(Response::CreateTopics(response)) => code(response.topics[0].error_code),
            _ => ErrorCode::NetworkException,
        };
        let now = scene.timeline.now();
        self.phase = match code {
            // An earlier question may have got through, and late.
            ErrorCode::None | ErrorCode::TopicAlreadyExists => {
                scene.timeline.coverage.count("renewed topic: made");
                self.pool.metadata().mark_stale();
                Phase::Looks { until: now + 3 * SECOND }
            }
            _ => Phase::Gone { until: now + scene.timeline.dice.between(20 * MS, 200 * MS) },
        };
    }

    fn deleted(&mut self, id: TopicId, answer: Result<Response, CallError>, scene: &mut Scene<'_>) {
        let code = match answer {
            Ok(Response::DeleteTopics(response)) => code(response.responses[0].error_code),
            _ => ErrorCode::NetworkException,
        };
        let (now, dice) = (scene.timeline.now(), &mut scene.timeline.dice);
        self.phase = match code {
            ErrorCode::None | ErrorCode::UnknownTopicId => {
                self.gone.push(id);
                self.current = None;
                let is_in_haste = std::mem::take(&mut self.is_in_haste);
                let pause = if is_in_haste || dice.chance(60) { 0 } else { dice.between(MS, SECOND) };
                if is_in_haste {
                    self.acts_at = now;
                }
                scene.timeline.coverage.count("renewed topic: deleted");
                Phase::Gone { until: now + pause }
            }
            _ => Phase::Deletes { again_at: Some(now + dice.between(20 * MS, 200 * MS)) },
        };
    }

    fn wrote(
        &mut self,
        (value, partition, offset): (u64, i32, i64),
        code: ErrorCode,
        by_id: Option<(TopicId, Knowledge)>,
        scene: &mut Scene<'_>,
    ) {
        if let Some((id, knew)) = by_id {
            self.told(id, knew, code, scene);
        }
        if code != ErrorCode::None {
            return self.pool.metadata().mark_stale();
        }
        scene.timeline.coverage.count("renewed topic: record acknowledged");
        scene.checker.renewals.acked(value, offset);
        // Nobody waits for what may be in one that is gone by now.
        if self.current.is_some_and(|id| scene.checker.renewals.is_for(value, id)) {
            let to = self.acked_to.entry(partition).or_default();
            *to = (*to).max(offset + 1);
        }
    }

    fn told(&mut self, id: TopicId, knew: Knowledge, code: ErrorCode, scene: &mut Scene<'_>) {
        if knew == Knowledge::Had {
            scene.timeline.coverage.count("renewed topic: asked for an id that is gone");
        }
        let Checker { renewals, replicas, findings, .. } = &mut *scene.checker;
        renewals.told((self.me, id), (knew, code), replicas, findings);
    }

    fn fetched(
        &mut self,
        (id, partition, from): (TopicId, i32, i64),
        knew: Knowledge,
        response: &klamm_wire::FetchResponse,
        scene: &mut Scene<'_>,
    ) {
        let Some(topic) = response.responses.first() else { return };
        let told = &topic.partitions[0];
        let code = code(told.error_code);
        self.told(id, knew, code, scene);
        if topic.topic_id != id {
            let what = format!("asked for {id:?}, answered for {:?}", topic.topic_id);
            scene.checker.unexpected(self.me, &what);
        }
        match code {
            ErrorCode::None => {}
            ErrorCode::OffsetOutOfRange => {
                let what = format!("{id:?} {partition}: it was read up to {from}");
                let place = super::Place { topic: NAME.into(), partition };
                scene.checker.position_refused(&place, self.me, &what);
                return;
            }
            _ => return self.pool.metadata().mark_stale(),
        }
        let key = TopicPartition { topic: id, partition: PartitionIndex(partition) };
        let run = told.records.as_ref().and_then(Records::bytes).cloned().unwrap_or_default();
        let mut next = from;
        for record in Stored::read(&run).records().iter().filter(|record| from <= record.offset) {
            if record.offset != next {
                let what = format!("client {}: {key}: {next} is next, {} was given", self.me, record.offset);
                scene.checker.findings.broken("I11", what);
            }
            next = record.offset + 1;
            scene.timeline.coverage.count("renewed topic: record read");
            let Checker { renewals, replicas, findings, .. } = &mut *scene.checker;
            renewals.read(self.me, key, record, replicas, findings);
        }
        if Some(id) == self.current {
            let to = self.read_to.entry(partition).or_default();
            *to = (*to).max(next);
        }
    }

    // ---- the shell ----

    fn ask_any(&mut self, asked: Asked, request: (Request, i16), scene: &mut Scene<'_>) {
        let asker = self.asker(asked);
        self.pool.ask_any(request, Some(asker), scene);
    }

    fn ask(
        &mut self,
        asked: Asked,
        broker: BrokerId,
        lane: u8,
        (request, version_limit): (Request, i16),
        scene: &mut Scene<'_>,
    ) {
        let purpose = Purpose::Machine(self.asker(asked));
        let ask = Ask { request, version_limit, timeout_ms: 1500, purpose };
        self.pool.ask_broker(broker, lane, ask, scene);
    }

    fn asker(&mut self, asked: Asked) -> Asker {
        let call = CallId(self.next_call);
        self.next_call += 1;
        self.asked.insert(call, asked);
        Asker { generation: 0, call }
    }
}

fn produce(id: Option<TopicId>, partition: i32, value: u64) -> Request {
    let mut builder = BatchBuilder::default();
    builder.append(Timestamp(1_700_000_000_000), None, Some(&value.to_be_bytes()), &[]);
    let records: Bytes = builder.finish(&Seal::default());
    let data = PartitionProduceData {
        index: partition,
        records: Some(Records::Bytes(records)),
        ..Default::default()
    };
    let topic = TopicProduceData {
        name: if id.is_none() { NAME.to_owned() } else { String::new() },
        topic_id: id.unwrap_or(TopicId::ZERO),
        partition_data: vec![data],
        ..Default::default()
    };
    Request::Produce(ProduceRequest {
        acks: -1,
        timeout_ms: 1000,
        topic_data: vec![topic],
        ..Default::default()
    })
}

fn fetch(id: TopicId, partition: i32, from: i64) -> Request {
    let partition = FetchPartition {
        partition,
        fetch_offset: from,
        current_leader_epoch: -1,
        last_fetched_epoch: -1,
        partition_max_bytes: 3000,
        ..Default::default()
    };
    let topic = FetchTopic { topic_id: id, partitions: vec![partition], ..Default::default() };
    Request::Fetch(FetchRequest {
        replica_id: -1,
        max_wait_ms: 100,
        min_bytes: 1,
        max_bytes: 100_000,
        session_epoch: -1,
        topics: vec![topic],
        ..Default::default()
    })
}
