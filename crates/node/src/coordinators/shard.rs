//! One shard: its machine, how much of its log was read, and what waits for the log.

use std::{collections::VecDeque, mem, ops::Range};

use bytes::Bytes;
use klamm_cluster::{Image, controller::ProducerIdBlock};
use klamm_coordinator::{
    Append, Effects, Entry, RequestId,
    group::{GroupConfig, Groups},
    transaction::{self, Markers, MarkersReport, Transactions},
};
use klamm_log::{DiskOp, Log, ReadError, SegmentId};
use klamm_model::{
    BatchBuilder, LeaderEpoch, Now, Offset, Producer, ProducerId, Seal, Tick, Timestamp, TopicId,
    TopicPartition,
};
use klamm_replica::{Acks, AppendError, Replica};

use super::{
    Asked, Kind, Said,
    load::{Item, LOAD_BYTES, Load, Piece},
};

/// Before a piece that could not be read is tried again.
const LOAD_AGAIN_MS: u64 = 200;

/// What was decided and is not written, of one shard, because writes do not end. Less than a log's queue takes, so that what was decided can be appended.
const UNWRITTEN_BYTES_MAX: u64 = 16 << 20;

/// Who decides.
pub(super) enum Machine {
    Groups(Groups),
    Transactions(Transactions),
}

/// What a shard wants let go once it is committed.
#[derive(Debug)]
pub(super) enum Output {
    Answer(RequestId, Said),
    WriteMarkers(Markers),
    NeedProducerIds,
}

/// A shard of this broker.
pub(super) struct Shard {
    pub(super) kind: Kind,
    pub(super) epoch: LeaderEpoch,
    machine: Machine,
    /// `None` while it serves.
    loading: Option<Loading>,
    /// Decided and applied, and not in the log yet.
    appends: Vec<Append>,
    /// The size of it.
    append_bytes: usize,
    batch_size_max: usize,
    /// How long an answer may wait for its records to be committed.
    commit_timeout_ms: u64,
    owed: VecDeque<Owed>,
    /// It may not speak, so what members do not say in time counts for nothing.
    is_mute: bool,
    /// When it is to be told of the time, as its owner has noted it.
    pub(super) wake: Option<Tick>,
}

struct Loading {
    token: u64,
    next: Offset,
    end: Offset,
    is_reading: bool,
    /// A piece could not be read: not before then again.
    again: Option<Tick>,
    began: Tick,
    record_count: u64,
    strange_count: u64,
}

/// Something that may be let go when the log is committed so far.
struct Owed {
    end: Offset,
    /// Whoever asked waits so long.
    due: Option<Tick>,
    output: Output,
}

impl Shard {
    pub(super) fn new(
        (kind, machine): (Kind, Machine),
        batch_size_max: usize,
        epoch: LeaderEpoch,
        token: u64,
        log: Range<Offset>,
        now: Tick,
        commit_timeout_ms: u64,
    ) -> Self {
        let loading = Loading {
            token,
            next: log.start,
            end: log.end,
            is_reading: false,
            again: None,
            began: now,
            record_count: 0,
            strange_count: 0,
        };
        Self {
            kind,
            epoch,
            batch_size_max,
            commit_timeout_ms,
            machine,
            loading: Some(loading),
            appends: Vec::new(),
            append_bytes: 0,
            owed: VecDeque::new(),
            is_mute: false,
            wake: None,
        }
    }

    /// Whether more may be decided that has to be written. What goes on by itself, such as rebalances, does not ask.
    pub(super) fn has_room(&self, log: &Log) -> bool {
        log.queued_bytes() + self.append_bytes as u64 <= UNWRITTEN_BYTES_MAX
    }

    pub(super) fn groups(&self) -> Option<&Groups> {
        match &self.machine {
            Machine::Groups(groups) if self.serves() => Some(groups),
            Machine::Groups(_) | Machine::Transactions(_) => None,
        }
    }

    pub(super) fn transactions(&self) -> Option<&Transactions> {
        match &self.machine {
            Machine::Transactions(transactions) if self.serves() => Some(transactions),
            Machine::Groups(_) | Machine::Transactions(_) => None,
        }
    }

    pub(super) fn serves(&self) -> bool {
        self.loading.is_none()
    }

    pub(super) fn next_wake(&self) -> Option<Tick> {
        match &self.loading {
            Some(loading) => loading.again,
            None => {
                let of_machine = match &self.machine {
                    Machine::Groups(_) if self.is_mute => None,
                    Machine::Groups(groups) => groups.next_wake(),
                    Machine::Transactions(transactions) => transactions.next_wake(),
                };
                of_machine.into_iter().chain(self.owed.iter().find_map(|it| it.due)).min()
            }
        }
    }

    /// What is to be read next. Without anything left it serves from now on; for so long the coordinator before it may still be believed.
    pub(super) fn next_load(
        &mut self,
        now: Now,
        key: TopicPartition,
        log: &Log,
        image: &Image,
        doubt_ms: u64,
    ) -> Option<Load> {
        let loading = self.loading.as_mut()?;
        if loading.is_reading || loading.again.is_some_and(|again| now.tick < again) {
            return None;
        }
        loading.again = None;
        while loading.next < loading.end {
            match log.read(loading.next, loading.end, LOAD_BYTES) {
                Ok(Some(plan)) => {
                    loading.is_reading = true;
                    return Some(Load { partition: key, kind: self.kind, token: loading.token, plan });
                }
                // It is still being written; whoever moves the frontier comes here again.
                Ok(None) => return None,
                Err(ReadError::Quarantined(damaged)) => {
                    tracing::error!(partition = %key, from = %damaged.from, to = %damaged.to, "a coordinator's records are damaged: what they said of groups is lost");
                    loading.next = damaged.to;
                }
                Err(error) => {
                    tracing::error!(partition = %key, %error, "a coordinator's log cannot be read");
                    loading.again = Some(now.tick.after_ms(LOAD_AGAIN_MS));
                    return None;
                }
            }
        }
        self.begin_to_serve(now, key, log.end(), image, doubt_ms);
        None
    }

    fn begin_to_serve(&mut self, now: Now, key: TopicPartition, end: Offset, image: &Image, doubt_ms: u64) {
        let Some(loading) = self.loading.take() else { return };
        if loading.strange_count > 0 {
            tracing::warn!(partition = %key, records = loading.strange_count, "records of a coordinator's log are not understood here, and left alone");
        }
        tracing::debug!(partition = %key, records = loading.record_count, us = now.tick.0 - loading.began.0, "a coordinator serves");
        match &mut self.machine {
            // The sessions of members begin when nobody else can tell them any more that they are members.
            Machine::Groups(groups) => {
                let mut effects = Effects::default();
                groups.start(now, now.tick.after_ms(doubt_ms), image, &mut effects);
                self.take(now, effects, end);
            }
            Machine::Transactions(transactions) => {
                let mut effects = Effects::default();
                transactions.start(now, &mut effects);
                self.take(now, effects, end);
            }
        }
    }

    /// A piece was read. Tells of a segment that is not what was written.
    pub(super) fn loaded(
        &mut self,
        now: Now,
        token: u64,
        key: TopicPartition,
        result: Result<Piece, ReadError>,
    ) -> Option<SegmentId> {
        // Read for another shard of this partition.
        let loading = self.loading.as_mut().filter(|loading| loading.token == token)?;
        loading.is_reading = false;
        match result {
            Ok(piece) => {
                loading.record_count += piece.items.len() as u64;
                loading.strange_count += piece.strange_count;
                if piece.next <= loading.next {
                    tracing::error!(partition = %key, at = %loading.next, "a coordinator's log has no batch where one should be");
                    loading.again = Some(now.tick.after_ms(LOAD_AGAIN_MS));
                }
                loading.next = loading.next.max(piece.next);
                piece.items.into_iter().for_each(|item| self.machine.replay(item));
                None
            }
            // Compacted meanwhile: the next plan knows the new places.
            Err(ReadError::Replaced) => None,
            Err(error) => {
                tracing::error!(partition = %key, %error, "a coordinator's log cannot be read");
                loading.again = Some(now.tick.after_ms(LOAD_AGAIN_MS));
                match error {
                    ReadError::Damaged { base, .. } => Some(SegmentId { partition: key, base }),
                    _ => None,
                }
            }
        }
    }

    /// What an operator has set for groups.
    pub(super) fn configure(&mut self, config: GroupConfig) {
        if let Machine::Groups(groups) = &mut self.machine {
            groups.configure(config);
        }
    }

    pub(super) fn topics_changed(&mut self, image: &Image) {
        // One that is still read is told when it begins to serve.
        if let Machine::Groups(groups) = &mut self.machine
            && self.loading.is_none()
        {
            groups.topics_changed(image.clone());
        }
    }

    /// `end` is that of the log.
    pub(super) fn ask(&mut self, now: Now, id: RequestId, asked: Asked, end: Offset) {
        match (&mut self.machine, asked) {
            (Machine::Groups(groups), Asked::Group(request)) => {
                let mut effects = Effects::default();
                groups.handle(now, id, request, &mut effects);
                self.take(now, effects, end);
            }
            (Machine::Transactions(transactions), Asked::Transaction(request)) => {
                let mut effects = Effects::default();
                transactions.handle(now, id, request, &mut effects);
                self.take(now, effects, end);
            }
            (_, asked) => panic!("{:?} has nothing to do with {asked:?}", self.kind),
        }
    }

    /// Whether the answer to a request rests on records that it makes: those need enough replicas in sync.
    pub(super) fn may_write(&self, asked: &Asked) -> bool {
        use klamm_coordinator::transaction::Request;
        match (&self.machine, asked) {
            (Machine::Groups(groups), Asked::Group(request)) => groups.may_write(request),
            (_, Asked::Transaction(Request::Init(_) | Request::AddPartitions(_) | Request::End(_))) => true,
            (_, Asked::Transaction(Request::Verify(_) | Request::Describe(_) | Request::List(_))) => false,
            (_, asked) => panic!("{:?} has nothing to do with {asked:?}", self.kind),
        }
    }

    pub(super) fn forget_topics(&mut self, now: Now, topics: &[(String, TopicId)], end: Offset) {
        // One that is still read looks for what is gone when it begins to serve.
        if let (true, Machine::Groups(groups)) = (self.loading.is_none(), &mut self.machine) {
            let mut effects = Effects::default();
            groups.topics_deleted(now, topics, &mut effects);
            self.take(now, effects, end);
        }
    }

    /// A producer's transaction was ended in this partition: what it brought counts, or never was.
    pub(super) fn end_transaction(&mut self, producer: ProducerId, is_committed: bool) {
        if let Machine::Groups(groups) = &mut self.machine {
            groups.end_transaction(producer, is_committed);
        }
    }

    pub(super) fn markers_written(&mut self, now: Now, report: &MarkersReport, end: Offset) {
        if let Machine::Transactions(transactions) = &mut self.machine {
            let mut effects = Effects::default();
            transactions.markers_written(now, report, &mut effects);
            self.take(now, effects, end);
        }
    }

    pub(super) fn producer_ids(&mut self, now: Now, block: Option<ProducerIdBlock>, end: Offset) {
        if let Machine::Transactions(transactions) = &mut self.machine {
            let mut effects = Effects::default();
            transactions.producer_ids(now, block, &mut effects);
            self.take(now, effects, end);
        }
    }

    /// It may speak again. What is due for groups is due from now on.
    pub(super) fn go_on(&mut self, now: Now) {
        self.is_mute = false;
        if let (true, Machine::Groups(groups)) = (self.loading.is_none(), &mut self.machine) {
            groups.go_on(now);
        }
    }

    /// Time passed, and `speaks` is whether groups may hear of it. Gives the requests that have waited for too long for their records to be committed.
    pub(super) fn tick(&mut self, now: Now, end: Offset, speaks: bool) -> Vec<RequestId> {
        if !self.serves() {
            return Vec::new();
        }
        match &mut self.machine {
            Machine::Groups(_) if !speaks => self.is_mute = true,
            Machine::Groups(groups) => {
                let mut effects = Effects::default();
                groups.tick(now, &mut effects);
                self.take(now, effects, end);
            }
            Machine::Transactions(transactions) => {
                let mut effects = Effects::default();
                transactions.tick(now, &mut effects);
                self.take(now, effects, end);
            }
        }
        let mut late = Vec::new();
        self.owed.retain(|owed| match &owed.output {
            Output::Answer(id, _) if owed.due.is_some_and(|due| due <= now.tick) => {
                late.push(*id);
                false
            }
            _ => true,
        });
        late
    }

    fn take<O: Into<Output>>(&mut self, now: Now, effects: Effects<O>, end: Offset) {
        self.append_bytes += effects.appends.iter().flat_map(|it| &it.entries).map(size_bound).sum::<usize>();
        self.appends.extend(effects.appends);
        let waiting: usize = self.appends.iter().map(|append| append.entries.len()).sum();
        let end = end.advance(waiting as u32);
        let due = now.tick.after_ms(self.commit_timeout_ms);
        self.owed.extend(effects.outputs.into_iter().map(|output| {
            let output = output.into();
            let due = matches!(output, Output::Answer(..)).then_some(due);
            Owed { end, due, output }
        }));
    }

    /// The next that may leave, with everything below `committed` committed.
    pub(super) fn pop_committed(&mut self, committed: Offset) -> Option<Output> {
        self.owed.pop_front_if(|owed| owed.end <= committed).map(|owed| owed.output)
    }

    /// Appends everything that was decided, neighbours that may be in one batch together.
    pub(super) fn append(
        &mut self,
        now: Now,
        replica: &mut Replica,
        ops: &mut Vec<DiskOp>,
    ) -> Result<(), AppendError> {
        let mut batch = Batch::default();
        self.append_bytes = 0;
        for append in mem::take(&mut self.appends) {
            if !batch.fits(&append, self.batch_size_max) {
                batch.append(self.epoch, replica, ops)?;
            }
            batch.add(&append, now.wall);
        }
        batch.append(self.epoch, replica, ops)
    }
}

/// What stands around a key and a value takes less.
fn size_bound(entry: &Entry) -> usize {
    40 + entry.key.len() + entry.value.as_ref().map_or(0, Bytes::len)
}

/// Decisions that go to the log together.
#[derive(Default)]
struct Batch {
    transaction: Option<Producer>,
    builder: BatchBuilder,
}

impl Batch {
    fn fits(&self, append: &Append, size_max: usize) -> bool {
        let added: usize = append.entries.iter().map(size_bound).sum();
        self.builder.is_empty()
            // Two transactional commits are never one batch: each has its own place in its producer's history.
            || self.transaction.is_none()
                && append.transaction.is_none()
                && self.builder.size() + added <= size_max
    }

    fn add(&mut self, append: &Append, timestamp: Timestamp) {
        self.transaction = append.transaction;
        for entry in &append.entries {
            self.builder.append(timestamp, Some(&entry.key), entry.value.as_deref(), &[]);
        }
    }

    fn append(
        &mut self,
        epoch: LeaderEpoch,
        replica: &mut Replica,
        ops: &mut Vec<DiskOp>,
    ) -> Result<(), AppendError> {
        if self.builder.is_empty() {
            return Ok(());
        }
        let producer = self.transaction.take();
        let seal = Seal { producer, is_transactional: producer.is_some(), ..Seal::default() };
        let (batch, bytes) = self.builder.finish_own(&seal);
        // Who asks is told when it is committed, and not before: how many are in sync at this moment does not matter.
        replica.append(&batch, bytes, Acks::Leader, Some(epoch), ops).map(|_| ())
    }
}

impl Machine {
    fn replay(&mut self, item: Item) {
        match (self, item) {
            (Self::Groups(groups), Item::Group(record, transaction)) => groups.replay(*record, transaction),
            (Self::Groups(groups), Item::End { producer, is_committed }) => {
                groups.end_transaction(producer, is_committed);
            }
            (Self::Transactions(transactions), Item::Transaction(record)) => transactions.replay(*record),
            // Nobody writes marks there.
            (Self::Transactions(_), Item::End { .. }) => {}
            (_, item) => panic!("{item:?} was read for another kind of shard"),
        }
    }
}

impl From<(RequestId, klamm_coordinator::group::Reply)> for Output {
    fn from((id, reply): (RequestId, klamm_coordinator::group::Reply)) -> Self {
        Self::Answer(id, Said::Group(reply))
    }
}

impl From<transaction::Output> for Output {
    fn from(output: transaction::Output) -> Self {
        match output {
            transaction::Output::Reply(id, reply) => Self::Answer(id, Said::Transaction(reply)),
            transaction::Output::WriteMarkers(markers) => Self::WriteMarkers(markers),
            transaction::Output::NeedProducerIds => Self::NeedProducerIds,
        }
    }
}
