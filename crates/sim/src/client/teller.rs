//! An application that moves things by transactions: the client's transactional producer machine in a shell of the simulator's.
//!
//! It writes a few records, maybe with offsets of a group, commits or aborts, stands still in the middle for longer than its transaction may be open, and is killed;
//! then another machine takes over its transactional id. Two of them may share one: each fences the other when it takes over, and the other comes back as a zombie.

use std::collections::BTreeMap;
use std::sync::Arc;

use klamm_client::producer::{
    Done, Effect, GroupOffsets, Outcome, Protocol, Question, Refused, coordinator_request, machine::Machine,
    produce_request,
};
use klamm_client::{
    CallId, GroupMetadata, PartitionName, Random, Record, TransactionError, TransactionalConfig,
};
use klamm_model::{ErrorCode, Offset, Tick, Timestamp};
use klamm_wire::Response;

use super::{
    Place, Scene, TopicPlan, code,
    pool::{Ask, Asker, News, PROMPT, Pool, Purpose},
    producer::{draw_config, first_value},
};
use crate::{
    dice::Dice,
    network::{Arrival, Party},
    timeline::{MS, SECOND},
    transfers::{End, Number, group_of, offset_of},
};

/// See the module.
pub struct Teller {
    me: usize,
    pub(super) pool: Pool,
    topics: Vec<TopicPlan>,
    id: Arc<str>,
    /// Whether it begins new transactions.
    is_working: bool,
    pace: u64,
    machine: Machine<Vec<u64>>,
    timeout_ms: u64,
    generation: u64,
    phase: Phase,
    next_value: u64,
    transfer: Option<Transfer>,
    /// It is killed as soon as what it wants to send is sent.
    falls: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Rests {
        until: u64,
    },
    /// As soon as its machine lets it.
    Begins,
    Writes {
        left: u64,
        next_at: u64,
    },
    /// With the transaction open.
    StandsStill {
        until: u64,
    },
    Ends(Outcome),
    /// Its machine can do nothing more, or was killed. Another takes over.
    Gone {
        until: u64,
    },
    Closes,
    Closed,
}

/// The open transaction, and what the coordinator was heard to say of its commit.
#[derive(Clone, Copy)]
struct Transfer {
    number: Number,
    /// The last question for the commit, and how many there were.
    asked: Option<CallId>,
    asks: u32,
    said: Said,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Said {
    /// It was not asked, or has refused.
    No,
    /// It was asked and may have done it.
    Maybe,
    Yes,
}

impl Teller {
    /// With the topics it writes to, and a transactional id that others may have too.
    pub fn new(me: usize, topics: Vec<TopicPlan>, id: Arc<str>, dice: &mut Dice) -> Self {
        let mut pool = Pool::for_transactions(me, dice);
        let config = draw(&id, dice);
        let timeout_ms = config.timeout_ms;
        let random = Random::new(dice.number());
        let machine = Machine::transactional(config, pool.metadata().cluster().clone(), random);
        Self {
            me,
            pool,
            topics,
            id,
            is_working: true,
            pace: dice.between(10 * MS, 80 * MS),
            machine,
            timeout_ms,
            generation: 0,
            phase: Phase::Rests { until: dice.between(SECOND, 2 * SECOND) },
            next_value: first_value(me, 0),
            transfer: None,
            falls: false,
        }
    }

    /// Begins no new transactions, and closes what it has.
    pub fn calm_down(&mut self) {
        self.is_working = false;
    }

    /// Whether everything it began has its end.
    pub fn is_done(&self) -> bool {
        self.phase == Phase::Closed
    }

    pub(super) fn waits_for(&self) -> String {
        let (records, calls, trouble) =
            (self.machine.record_count(), self.machine.call_count(), self.machine.transaction_trouble());
        format!(
            "{} {:?}: {records} records and {calls} requests have no end: {trouble:?}",
            self.id, self.phase
        )
    }

    pub(super) fn next_wake(&self) -> Option<u64> {
        let own = match self.phase {
            Phase::Rests { until } | Phase::StandsStill { until } | Phase::Gone { until } => {
                Some(if self.is_working { until } else { 0 })
            }
            Phase::Writes { next_at, .. } => Some(next_at),
            Phase::Begins | Phase::Ends(_) | Phase::Closes | Phase::Closed => None,
        };
        if matches!(self.phase, Phase::StandsStill { .. }) {
            return own;
        }
        let others = [self.pool.next_wake(), self.machine.next_wake().filter(|_| self.is_alive())];
        others.into_iter().flatten().map(|tick| tick.0).chain(own).min()
    }

    /// Whether its machine goes on.
    fn is_alive(&self) -> bool {
        !matches!(self.phase, Phase::Gone { .. } | Phase::Closed)
    }

    pub(super) fn wake(&mut self, scene: &mut Scene<'_>) {
        self.act(scene);
    }

    // ---- the application ----

    fn act(&mut self, scene: &mut Scene<'_>) {
        let now = scene.timeline.now();
        match self.phase {
            Phase::Rests { until } if until <= now || !self.is_working => {
                self.phase = if self.is_working { Phase::Begins } else { Phase::Closes };
                if !self.is_working {
                    self.machine.close();
                }
            }
            Phase::Writes { left: 0, next_at } if next_at <= now => self.finish(scene),
            Phase::Writes { left, next_at } if next_at <= now => self.write(left, scene),
            Phase::StandsStill { until } if until <= now || !self.is_working => {
                self.end(Outcome::Commit, scene);
            }
            Phase::Gone { until } if until <= now || !self.is_working => {
                if self.is_working {
                    self.take_over(scene);
                } else {
                    self.phase = Phase::Closed;
                }
            }
            _ => {}
        }
    }

    fn begin(&mut self, scene: &mut Scene<'_>) {
        // What the cluster has agreed on may change.
        let protocol = if self.pool.has_implicit_transactions() && scene.timeline.dice.chance(95) {
            Protocol::Implicit
        } else {
            Protocol::Named
        };
        match self.machine.begin(protocol) {
            Ok(false) => {}
            Ok(true) => {
                scene.timeline.coverage.count(match protocol {
                    Protocol::Implicit => "transaction begun, each with an epoch of its own",
                    Protocol::Named => "transaction begun, with partitions named",
                });
                let number = scene.checker.transfers.begun(self.id.clone());
                self.transfer = Some(Transfer { number, asked: None, asks: 0, said: Said::No });
                let (left, next_at) = (scene.timeline.dice.between(2, 6), scene.timeline.now());
                self.phase = Phase::Writes { left, next_at };
            }
            Err(error) => self.is_over(&error, scene),
        }
    }

    fn write(&mut self, left: u64, scene: &mut Scene<'_>) {
        let now = scene.timeline.now();
        let dice = &mut scene.timeline.dice;
        self.phase = Phase::Writes { left: left - 1, next_at: now + dice.between(MS, self.pace) };
        match dice.below(100) {
            0..3 => self.kill(scene),
            3..15 => self.commit_offsets(scene),
            _ => self.write_one(scene),
        }
    }

    fn write_one(&mut self, scene: &mut Scene<'_>) {
        let now = scene.timeline.now();
        let dice = &mut scene.timeline.dice;
        let plan = &self.topics[dice.index(self.topics.len())];
        let partition = Some(dice.below(plan.partition_count as u64) as i32);
        let value = self.next_value;
        let bytes = value.to_be_bytes();
        let record = Record { partition, ..Record::new(&plan.name, &bytes) };
        match self.machine.append(Tick(now), Timestamp(1_700_000_000_000 + (now / MS) as i64), &record) {
            Ok(appended) => {
                appended.tag.push(value);
                let place = Place { topic: plan.name.clone(), partition: appended.partition };
                let number = self.transfer.expect("one is open").number;
                scene.checker.transfers.took(number, value, place);
                self.next_value += 1;
            }
            Err(Refused::NeedsMetadata) => _ = self.pool.metadata().want(&plan.name),
            Err(Refused::NoSuchPartition(_)) => self.pool.metadata().mark_stale(),
            Err(Refused::Full) => {}
            // The transaction has failed, as its end is going to tell.
            Err(Refused::Never(error)) => scene.timeline.note(format_args!("c{}: {error}", self.me)),
        }
    }

    fn commit_offsets(&mut self, scene: &mut Scene<'_>) {
        let number = self.transfer.expect("one is open").number;
        let offset = Offset::from_wire(offset_of(number)).expect("numbers are not negative");
        let offsets = BTreeMap::from([(PartitionName::new(self.topics[0].name.clone(), 0), offset.into())]);
        let group = GroupMetadata::without_member(group_of(&self.id));
        if self.machine.send_offsets(GroupOffsets { group, offsets }).is_ok() {
            scene.timeline.coverage.count("transaction takes offsets");
            scene.checker.transfers.took_offsets(number);
        }
    }

    fn finish(&mut self, scene: &mut Scene<'_>) {
        let now = scene.timeline.now();
        let dice = &mut scene.timeline.dice;
        match dice.below(100) {
            0..3 => self.kill(scene),
            3..10 => {
                let lasts = dice.between(self.timeout_ms / 2, 2 * self.timeout_ms) * MS;
                scene.timeline.coverage.count("transaction left open for long");
                self.phase = Phase::StandsStill { until: now + lasts };
            }
            10..25 => self.end(Outcome::Abort, scene),
            _ => self.end(Outcome::Commit, scene),
        }
    }

    fn end(&mut self, outcome: Outcome, scene: &mut Scene<'_>) {
        self.phase = Phase::Ends(outcome);
        let asked = match outcome {
            Outcome::Commit => self.machine.commit(),
            Outcome::Abort => self.machine.abort(),
        };
        if let Err(error) = asked {
            self.not_ended(&error, scene);
        }
    }

    /// Looks whether what was waited for has come.
    fn look(&mut self, scene: &mut Scene<'_>) {
        match self.phase {
            Phase::Begins => self.begin(scene),
            Phase::Ends(outcome) => match self.machine.transaction_end() {
                None => {}
                Some(Ok(())) => {
                    scene.timeline.coverage.count(match outcome {
                        Outcome::Commit => "transaction committed",
                        Outcome::Abort => "transaction aborted",
                    });
                    self.settle(
                        if outcome == Outcome::Commit { End::Committed } else { End::NotCommitted },
                        scene,
                    );
                    self.rest(scene);
                }
                Some(Err(error)) => self.not_ended(&error, scene),
            },
            Phase::Closes if self.machine.is_finished() && self.machine.call_count() == 0 => {
                let left = (self.machine.buffered(), self.machine.record_count());
                if left != (0, 0) {
                    let what = format!("closed; bytes and records of transactions that are left: {left:?}");
                    scene.checker.leaked(self.me, &what);
                }
                self.phase = Phase::Closed;
            }
            _ => {}
        }
    }

    fn rest(&mut self, scene: &mut Scene<'_>) {
        self.machine.let_go();
        let until = scene.timeline.now() + scene.timeline.dice.between(1, self.pace);
        self.phase = Phase::Rests { until };
    }

    fn not_ended(&mut self, error: &TransactionError, scene: &mut Scene<'_>) {
        scene.timeline.note(format_args!("c{} {}: {error}", self.me, self.id));
        match error {
            TransactionError::MustAbort(_) if self.phase != Phase::Ends(Outcome::Abort) => {
                scene.timeline.coverage.count("transaction can only be aborted");
                self.end(Outcome::Abort, scene);
            }
            error => self.is_over(error, scene),
        }
    }

    /// The machine has come to its end.
    fn is_over(&mut self, error: &TransactionError, scene: &mut Scene<'_>) {
        match error {
            TransactionError::Fenced { .. } => scene.timeline.coverage.count("transactional producer fenced"),
            error => scene.checker.unexpected(self.me, &format!("no fault explains this: {error}")),
        }
        let lasts = scene.timeline.dice.between(MS, self.timeout_ms * MS);
        self.go(lasts, scene);
    }

    fn go(&mut self, lasts: u64, scene: &mut Scene<'_>) {
        self.settle_as_heard(scene);
        self.generation += 1;
        self.phase = Phase::Gone { until: scene.timeline.now() + lasts };
    }

    /// The process ends, and its connections with it; what it sent may still arrive.
    fn kill(&mut self, scene: &mut Scene<'_>) {
        scene.timeline.coverage.count("transactional producer killed");
        let lasts = scene.timeline.dice.between(MS, 2 * SECOND);
        self.go(lasts, scene);
        let mut ended = Vec::new();
        scene.network.break_all_of(Party::Client(self.me), scene.timeline, &mut ended);
        for arrival in ended {
            if let Arrival::Answer { server, token, answer, .. } = arrival {
                self.pool.answered(server, token, answer, scene);
            }
        }
    }

    fn take_over(&mut self, scene: &mut Scene<'_>) {
        let dice = &mut scene.timeline.dice;
        let config = draw(&self.id, dice);
        self.timeout_ms = config.timeout_ms;
        let random = Random::new(dice.number());
        self.machine = Machine::transactional(config, self.pool.metadata().cluster().clone(), random);
        self.next_value = first_value(self.me, self.generation);
        self.phase = Phase::Begins;
    }

    fn settle(&mut self, end: End, scene: &mut Scene<'_>) {
        if let Some(transfer) = self.transfer.take() {
            scene.checker.transfers.ended(transfer.number, end, &mut scene.checker.findings);
        }
    }

    /// Without a word of the machine's: by what the coordinator was heard to say.
    fn settle_as_heard(&mut self, scene: &mut Scene<'_>) {
        let end = match self.transfer.map(|transfer| transfer.said) {
            None | Some(Said::No) => End::NotCommitted,
            Some(Said::Maybe) => {
                scene.timeline.coverage.count("transaction whose end nobody was told");
                End::Unknown
            }
            Some(Said::Yes) => End::Committed,
        };
        self.settle(end, scene);
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
            if !self.is_alive() {
                return;
            }
            let before = self.phase;
            self.machine.advance(now, &mut effects);
            for effect in effects.drain(..) {
                self.perform(effect, scene);
            }
            if std::mem::take(&mut self.falls) {
                return self.kill(scene);
            }
            self.look(scene);
            if is_last && self.phase == before {
                return;
            }
        }
    }

    fn hear(&mut self, news: News, now: Tick, out: &mut Vec<Effect<Vec<u64>>>, scene: &mut Scene<'_>) {
        match news {
            News::Cluster(cluster) => self.machine.cluster_changed(cluster),
            // Whoever asked was killed.
            News::Answer(asker, _) if asker.generation != self.generation => {}
            News::Answer(Asker { call, .. }, answer) => {
                self.overhear(call, answer.as_ref().ok(), scene);
                match answer {
                    Ok(Response::Produce(response)) => self.machine.produced(now, call, response, out),
                    Ok(response) => self.machine.coordinated(now, call, response, out),
                    Err(error) => self.machine.call_failed(now, call, &error, out),
                }
            }
        }
    }

    /// What the coordinator says of the commit.
    fn overhear(&mut self, call: CallId, answer: Option<&Response>, scene: &mut Scene<'_>) {
        let Some(transfer) = self.transfer.as_mut().filter(|it| it.asked == Some(call)) else { return };
        let Some(Response::EndTxn(answer)) = answer else { return };
        match code(answer.error_code) {
            ErrorCode::None => transfer.said = Said::Yes,
            // Of several questions an earlier one may have been answered otherwise.
            ErrorCode::ProducerFenced | ErrorCode::InvalidProducerEpoch | ErrorCode::InvalidTxnState
                if transfer.asks == 1 =>
            {
                transfer.said = Said::No;
            }
            why => scene.timeline.note(format_args!("c{} {}: the commit: {why}", self.me, self.id)),
        }
    }

    fn perform(&mut self, effect: Effect<Vec<u64>>, scene: &mut Scene<'_>) {
        match effect {
            Effect::Produce { call, broker, topics } => {
                let (request, version_limit) =
                    produce_request(self.machine.config(), self.machine.transaction(), topics);
                self.ask(call, Some(broker.0), (request, version_limit), scene);
            }
            Effect::Ask { call, coordinator, question } => {
                if let (Question::End(_, _, Outcome::Commit), Some(transfer)) =
                    (&question, &mut self.transfer)
                {
                    (transfer.asked, transfer.said) = (Some(call), Said::Maybe);
                    transfer.asks += 1;
                }
                scene
                    .timeline
                    .note(format_args!("c{} {} asks {coordinator:?} {question:?}", self.me, self.id));
                self.falls = self.is_working && scene.timeline.dice.chance(3);
                let asked = coordinator_request(&self.id, question);
                self.ask(call, coordinator.map(|broker| broker.0), asked, scene);
            }
            Effect::InitProducerId { .. } => unreachable!("its coordinator gives it a number"),
            Effect::RefreshMetadata => self.pool.metadata().mark_stale(),
            Effect::LeaderHint(hint) => self.pool.hint(hint, scene),
            Effect::Done(done) => self.done(done, scene),
            // It looks after every event.
            Effect::Progress | Effect::Room | Effect::Trouble(_) => {}
        }
    }

    fn ask(
        &mut self,
        call: CallId,
        broker: Option<i32>,
        (request, version_limit): (klamm_wire::Request, i16),
        scene: &mut Scene<'_>,
    ) {
        let asker = Asker { generation: self.generation, call };
        let timeout_ms = self.machine.config().request_timeout_ms;
        match broker {
            Some(broker) => {
                let ask = Ask { request, version_limit, timeout_ms, purpose: Purpose::Machine(asker) };
                self.pool.ask_broker(klamm_model::BrokerId(broker), PROMPT, ask, scene);
            }
            None => self.pool.ask_any((request, version_limit), Some(asker), scene),
        }
    }

    fn done(&mut self, done: Done<Vec<u64>>, scene: &mut Scene<'_>) {
        let Done { tag, first_place, record_count, outcome, .. } = done;
        let places = first_place as usize..(first_place + record_count) as usize;
        match outcome {
            Ok(written) => {
                for (offset, value) in (0..).zip(&tag[places]) {
                    let offset = written.base_offset.map(|base| base.raw() + offset);
                    scene.checker.transfers.written(*value, offset);
                }
            }
            Err(error) => scene.timeline.note(format_args!("c{} fails: {error}", self.me)),
        }
    }
}

fn draw(id: &str, dice: &mut Dice) -> TransactionalConfig {
    TransactionalConfig {
        timeout_ms: dice.between(500, 5000),
        producer: draw_config(true, dice),
        ..TransactionalConfig::new(id)
    }
}
