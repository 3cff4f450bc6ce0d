//! Random interleavings: a controller, a producer and a network that delays, loses and repeats, driven by numbers.

use std::collections::BTreeMap;

use bytes::Bytes;
use klamm_log::{DiskAction, DiskError};
use klamm_model::{BrokerEpoch, BrokerId, LeaderEpoch, Offset};

use super::disk::Stored;
use super::world::{Settings, World, numbered};
use crate::{
    Acks, BecomeError, ConsumerFetchRequest, FetchAnswer, Fetched, FollowerFetch, Isolation, IsrChange,
    IsrProposal, IsrRefused, PartitionState, Role,
};

/// Everything that happened, so that a test can tell whether it tested anything.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Counts {
    pub(super) acknowledged: u32,
    pub(super) elections: u32,
    pub(super) truncations: u32,
    pub(super) isr_changes: u32,
    pub(super) crashes: u32,
    pub(super) failed_writes: u32,
    pub(super) duplicates: u32,
}

/// What may happen besides the usual.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Faults {
    pub(super) crashes: bool,
    pub(super) full_disks: bool,
}

struct Story {
    world: World,
    faults: Faults,
    /// The committed metadata; each broker has been told a part of it.
    history: Vec<PartitionState>,
    told: BTreeMap<BrokerId, usize>,
    requests: Vec<(BrokerId, BrokerEpoch, FollowerFetch)>,
    answers: Vec<(BrokerId, BrokerEpoch, FollowerFetch, Fetched)>,
    proposals: Vec<(BrokerId, BrokerEpoch, IsrProposal)>,
    producer: Sender,
    /// Every batch that any replica called committed.
    committed: Vec<Stored>,
    /// How far each replica called them committed in this life of it.
    high_watermarks: BTreeMap<BrokerId, Offset>,
    counts: Counts,
}

/// An idempotent producer with one batch in flight, resent to anyone until it is acknowledged.
struct Sender {
    next_sequence: i32,
    batch: Option<Bytes>,
    /// The replica that took it, its epoch, and the end to be committed.
    waits: Option<(BrokerId, LeaderEpoch, Offset)>,
    acknowledged: Vec<Bytes>,
}

/// Plays one story. The error says which invariant broke, and when.
pub(super) fn play(numbers: &[u32], settings: Settings, faults: Faults) -> Result<Counts, String> {
    let mut story = Story::new(settings, faults);
    for (step, &number) in numbers.iter().enumerate() {
        let happened = story.step(number);
        story.check().map_err(|problem| format!("step {step}, {happened}: {problem}"))?;
    }
    Ok(story.counts)
}

/// A second, third … draw from the same number.
fn one_in(of: u32, number: u32, draw: u32) -> bool {
    (number.wrapping_add(draw).wrapping_mul(0x9E37_79B1) >> 12).is_multiple_of(of)
}

/// Picks one of `count` by a part of a number.
fn pick(number: u32, count: usize) -> Option<usize> {
    (0 < count).then(|| (number / 64) as usize % count.max(1))
}

impl Story {
    fn new(settings: Settings, faults: Faults) -> Self {
        let world = World::new(settings);
        let mut first = world.state.clone();
        first.leader = Some(BrokerId(1));
        first.leader_epoch = LeaderEpoch(1);
        first.partition_epoch.0 = 1;
        Self {
            told: world.brokers.iter().map(|broker| (broker.id, 0)).collect(),
            world,
            faults,
            history: vec![first],
            requests: Vec::new(),
            answers: Vec::new(),
            proposals: Vec::new(),
            producer: Sender { next_sequence: 0, batch: None, waits: None, acknowledged: Vec::new() },
            committed: Vec::new(),
            high_watermarks: BTreeMap::new(),
            counts: Counts::default(),
        }
    }

    fn step(&mut self, number: u32) -> &'static str {
        let id = BrokerId(1 + i32::try_from(number / 64 % 3).expect("0, 1 or 2"));
        match number % 64 {
            0..18 => self.finish_disk_op(id, number),
            18..27 => self.ask(id),
            27..36 => self.handle(number),
            36..45 => self.deliver(number),
            45..51 => self.produce(id),
            51..55 => self.tell(id),
            55 if one_in(4, number, 2) => self.elect(number),
            56 | 57 => self.propose(id),
            58 | 59 => self.decide(number),
            60 => {
                self.world.now = self.world.now.after_ms(u64::from(number / 64 % 7000));
                "time passes"
            }
            61 => self.consume(id),
            62 if self.faults.crashes && one_in(4, number, 3) => self.crash(id, number),
            63 if self.faults.full_disks => self.fill_disk(id, number),
            _ => self.finish_disk_op(id, number),
        }
    }

    fn finish_disk_op(&mut self, id: BrokerId, number: u32) -> &'static str {
        let broker = self.world.broker(id);
        if let Some(at) = pick(number / 3, broker.pending.len()) {
            self.counts.truncations +=
                u32::from(matches!(broker.pending[at].action, DiskAction::Truncate { .. }));
            broker.finish(at, Ok(()));
        }
        "disk"
    }

    fn fill_disk(&mut self, id: BrokerId, number: u32) -> &'static str {
        let broker = self.world.broker(id);
        if let Some(at) = pick(number / 3, broker.pending.len())
            && matches!(broker.pending[at].action, DiskAction::Write { .. })
        {
            self.counts.failed_writes += 1;
            broker.finish(at, Err(DiskError::Full));
        }
        "disk full"
    }

    fn ask(&mut self, id: BrokerId) -> &'static str {
        let broker = self.world.broker(id);
        if let Some(fetch) = broker.replica.next_fetch() {
            let epoch = broker.epoch;
            self.requests.push((id, epoch, fetch));
        }
        "ask"
    }

    fn handle(&mut self, number: u32) -> &'static str {
        if let Some(at) = pick(number, self.requests.len()) {
            // One in eight arrives again later.
            let (from, epoch, fetch) =
                if one_in(8, number, 0) { self.requests[at] } else { self.requests.remove(at) };
            if let Ok((answer, _)) = self.world.answer(from, epoch, &fetch) {
                self.answers.push((from, epoch, fetch, answer));
            }
        }
        "handle"
    }

    fn deliver(&mut self, number: u32) -> &'static str {
        if let Some(at) = pick(number, self.answers.len()) {
            let (to, epoch, fetch, answer) =
                if one_in(8, number, 0) { self.answers[at].clone() } else { self.answers.remove(at) };
            // A connection does not outlive its process.
            if self.world.broker(to).epoch == epoch {
                // What a follower refuses to do is seen as records that never arrive, or are not the leader's.
                let _ = self.world.deliver(to, &fetch, answer);
            }
        }
        "deliver"
    }

    fn produce(&mut self, to: BrokerId) -> &'static str {
        if let Some((at, epoch, end)) = self.producer.waits {
            let replica = &self.world.broker(at).replica;
            if replica.role() == (Role::Leader { epoch }) && end <= replica.high_watermark() {
                self.counts.acknowledged += 1;
                self.producer.acknowledged.extend(self.producer.batch.take().map(|batch| batch.slice(16..)));
                self.producer.next_sequence += 1;
                self.producer.waits = None;
            }
        }
        let batch = match &self.producer.batch {
            Some(batch) => batch.clone(),
            None => self.world.batch(1, Some(numbered(self.producer.next_sequence))),
        };
        self.producer.batch = Some(batch.clone());
        if let Ok(appended) = self.world.append(to, batch, Acks::All)
            && let Role::Leader { epoch } = self.world.broker(to).replica.role()
        {
            self.counts.duplicates += u32::from(appended.duplicate);
            self.producer.waits = Some((to, epoch, appended.end));
        }
        "produce"
    }

    /// The broker applies the next change of the metadata.
    fn tell(&mut self, id: BrokerId) -> &'static str {
        let next = self.told[&id];
        if let Some(state) = self.history.get(next).cloned() {
            let _: Result<_, BecomeError> = self.world.tell(id, &state);
            self.told.insert(id, next + 1);
        }
        "tell"
    }

    fn commit(&mut self, change: impl FnOnce(&mut PartitionState)) {
        let mut state = self.history[self.history.len() - 1].clone();
        change(&mut state);
        state.partition_epoch.0 += 1;
        self.history.push(state);
    }

    fn newest(&self) -> &PartitionState {
        &self.history[self.history.len() - 1]
    }

    fn elect(&mut self, number: u32) -> &'static str {
        let isr = self.newest().isr.clone();
        let leader = isr[(number / 64) as usize % isr.len()];
        // Sometimes those that are not elected are believed dead.
        let alone = one_in(4, number, 0);
        self.counts.elections += 1;
        self.commit(|state| {
            state.leader = Some(leader);
            state.leader_epoch.0 += 1;
            if alone {
                state.isr = vec![leader];
            }
        });
        "elect"
    }

    fn propose(&mut self, id: BrokerId) -> &'static str {
        let now = self.world.now;
        let broker = self.world.broker(id);
        let epoch = broker.epoch;
        if let Some(proposal) = broker.replica.isr_proposal(now, |_| true) {
            self.proposals.push((id, epoch, proposal));
        }
        "propose"
    }

    /// The controller takes a proposal; or its sender gives up waiting, and it arrives later.
    fn decide(&mut self, number: u32) -> &'static str {
        let Some(at) = pick(number, self.proposals.len()) else {
            return "decide";
        };
        let (from, epoch, proposal) = self.proposals[at].clone();
        let answer =
            if one_in(4, number, 0) { Err(IsrRefused::Unknown) } else { self.alter(from, &proposal) };
        if answer != Err(IsrRefused::Unknown) {
            self.proposals.remove(at);
        }
        let lost = one_in(4, number, 1);
        let answer = if lost { Err(IsrRefused::Unknown) } else { answer };
        let now = self.world.now;
        let broker = self.world.broker(from);
        if broker.epoch == epoch {
            broker.replica.isr_answered(now, &proposal, answer);
        }
        "decide"
    }

    fn alter(&mut self, from: BrokerId, proposal: &IsrProposal) -> Result<IsrChange, IsrRefused> {
        let state = self.newest().clone();
        let current = state.leader == Some(from)
            && state.leader_epoch == proposal.leader_epoch
            && state.partition_epoch == proposal.partition_epoch;
        let all_alive = proposal.isr.iter().all(|member| {
            let epoch = self.world.broker(member.id).epoch;
            member.broker_epoch.is_none_or(|claimed| claimed == epoch)
        });
        if !current || !all_alive {
            return Err(IsrRefused::NotApplied);
        }
        let isr: Vec<BrokerId> = proposal.isr.iter().map(|member| member.id).collect();
        self.counts.isr_changes += 1;
        self.commit(|state| state.isr = isr.clone());
        let committed = self.newest();
        Ok(IsrChange {
            isr,
            leader_epoch: committed.leader_epoch,
            partition_epoch: committed.partition_epoch,
        })
    }

    fn consume(&mut self, id: BrokerId) -> &'static str {
        let from = self.committed.last().map_or(Offset::ZERO, |last| last.end);
        let broker = self.world.broker(id);
        let fetch = ConsumerFetchRequest {
            current_leader_epoch: None,
            last_fetched_epoch: None,
            from,
            max_bytes: 1_000_000,
            isolation: Isolation::ReadUncommitted,
            by_follower: true,
        };
        if let Ok(FetchAnswer::Data { read: Some(plan), .. }) = broker.replica.consumer_fetch(&fetch) {
            let records = broker.disk.read(&plan);
            // Read is read: from now on it counts as committed, and must stay what it is.
            let seen = super::disk::batches(&records);
            for stored in seen.into_iter().filter(|stored| from <= stored.base) {
                if self.committed.last().map_or(Offset::ZERO, |last| last.end) == stored.base {
                    self.committed.push(stored);
                }
            }
        }
        "consume"
    }

    fn crash(&mut self, id: BrokerId, number: u32) -> &'static str {
        self.counts.crashes += 1;
        self.world.crash(id);
        self.high_watermarks.remove(&id);
        if self.newest().leader == Some(id) {
            self.elect(number);
        }
        // A new registration is answered with the metadata up to itself; what was before is told to nobody.
        self.told.insert(id, self.history.len() - 1);
        "crash"
    }

    fn check(&mut self) -> Result<(), String> {
        let mut logs = BTreeMap::new();
        for broker in &self.world.brokers {
            logs.insert(broker.id, broker.contents()?);
        }
        self.check_high_watermarks(&logs)?;
        self.check_log_matching(&logs)?;
        self.check_completeness(&logs)?;
        self.check_acknowledged()
    }

    /// I2, I3: one value for each offset below any high watermark, for ever.
    fn check_high_watermarks(&mut self, logs: &BTreeMap<BrokerId, Vec<Stored>>) -> Result<(), String> {
        for broker in &self.world.brokers {
            let (id, replica) = (broker.id, &broker.replica);
            let (start, high_watermark, end) =
                (replica.log().log_start(), replica.high_watermark(), replica.log().end());
            if !(start <= high_watermark && high_watermark <= end) {
                return Err(format!(
                    "I3: broker {id}: log start {start}, high watermark {high_watermark}, end {end}"
                ));
            }
            let before = self.high_watermarks.insert(id, high_watermark).unwrap_or_default();
            if high_watermark < before {
                return Err(format!(
                    "I4: broker {id}: the high watermark went from {before} back to {high_watermark}"
                ));
            }
            for (at, stored) in
                logs[&id].iter().enumerate().take_while(|(_, stored)| stored.end <= high_watermark)
            {
                match self.committed.get(at) {
                    Some(known) if known != stored => {
                        return Err(format!(
                            "I2: broker {id} has another batch at {} than was committed",
                            stored.base
                        ));
                    }
                    Some(_) => {}
                    None => self.committed.push(stored.clone()),
                }
            }
        }
        Ok(())
    }

    /// I6: where two logs have the same offset and epoch, they are the same up to there.
    fn check_log_matching(&self, logs: &BTreeMap<BrokerId, Vec<Stored>>) -> Result<(), String> {
        for (one, ones) in logs {
            for (other, others) in logs.range(*one..).skip(1) {
                let last_common =
                    ones.iter().zip(others).rposition(|(a, b)| (a.base, a.epoch) == (b.base, b.epoch));
                let Some(common) = last_common else { continue };
                if let Some((a, _)) = ones[..=common].iter().zip(&others[..=common]).find(|(a, b)| a != b) {
                    return Err(format!(
                        "I6: brokers {one} and {other} differ at {}, and agree after it",
                        a.base
                    ));
                }
            }
        }
        Ok(())
    }

    /// I7: whoever leads, or may be elected, has all that is committed.
    fn check_completeness(&self, logs: &BTreeMap<BrokerId, Vec<Stored>>) -> Result<(), String> {
        for id in &self.newest().isr {
            let log = &logs[id];
            if log.len() < self.committed.len() || log[..self.committed.len()] != self.committed[..] {
                let have = log.iter().zip(&self.committed).take_while(|(a, b)| a == b).count();
                return Err(format!(
                    "I7: broker {id} is in sync and lacks {} committed batches",
                    self.committed.len() - have
                ));
            }
        }
        Ok(())
    }

    /// I1, I14: what was acknowledged is committed, once, in order.
    fn check_acknowledged(&self) -> Result<(), String> {
        let mut batches = self.committed.iter().map(|stored| &stored.body);
        if let Some(lost) =
            self.producer.acknowledged.iter().position(|sent| !batches.any(|stored| stored == sent))
        {
            return Err(format!("I1: the acknowledged batch {lost} is not there"));
        }
        let twice = self.committed.windows(2).find(|pair| pair[0].body == pair[1].body);
        match twice {
            Some(pair) => Err(format!("I14: the batch at {} is there twice", pair[0].base)),
            None => Ok(()),
        }
    }
}
