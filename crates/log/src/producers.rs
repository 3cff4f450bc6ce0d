//! What a log knows of its idempotent producers (KIP-98): enough to tell a batch that was sent again from the next one, an old session of a
//! producer from the current one, and where its open transaction begins.
//!
//! Every change gives back what undoes it, because an append may be taken back: its write fails, or another leader's log does not have it.

use std::collections::hash_map::Entry;

use klamm_model::{
    BatchHeader, LeaderEpoch, Offset, Producer, ProducerEpoch, ProducerId, Timestamp, TransactionEnd,
    TransactionMark,
};
use rustc_hash::FxHashMap;

use crate::error::AppendError;
use crate::transactions::ByFirst;

/// How many batches of a producer are remembered. A producer has no more than five requests on the way (`max.in.flight.requests.per.connection`).
pub(crate) const BATCHES_KEPT: usize = 5;

/// Where there are too many producers, room is made for this part of them at once.
const NEWCOMERS_SHARE: usize = 16;

/// A batch of a producer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SequencedBatch {
    pub(crate) base_sequence: i32,
    /// Distance to the last record's sequence number, and offset.
    pub(crate) last_delta: u32,
    pub(crate) base: Offset,
    pub(crate) timestamp: Timestamp,
}

impl SequencedBatch {
    pub(crate) fn last_sequence(&self) -> i32 {
        sequence_after(self.base_sequence, self.last_delta)
    }

    pub(crate) fn last_offset(&self) -> Offset {
        self.base.advance(self.last_delta)
    }
}

/// A batch's part in a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    /// It has none.
    None,
    /// Its records belong to its producer's transaction.
    Member,
    /// It ends it.
    End(TransactionMark),
}

/// What a batch says about its producer, once it has its place in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Sent {
    pub(crate) producer: Producer,
    pub(crate) batch: SequencedBatch,
    pub(crate) part: Part,
}

impl Sent {
    /// By a batch that is stored, and the mark that it is, if it is one.
    pub(crate) fn stored(header: &BatchHeader, mark: Option<TransactionMark>) -> Option<Self> {
        let producer = header.producer?;
        let batch = SequencedBatch {
            base_sequence: producer.base_sequence,
            last_delta: header.last_offset_delta,
            base: header.base_offset,
            timestamp: header.max_timestamp,
        };
        let is_member = header.attributes.is_transactional() && !header.attributes.is_control();
        Some(Self { producer, batch, part: Part::of(is_member, mark) })
    }

    fn is_numbered(&self) -> bool {
        0 <= self.producer.base_sequence
    }
}

impl Part {
    pub(crate) fn of(is_member: bool, mark: Option<TransactionMark>) -> Self {
        match mark {
            Some(mark) => Self::End(mark),
            None if is_member => Self::Member,
            None => Self::None,
        }
    }
}

/// One producer: its newest epoch, and its last batches under it, oldest first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ProducerEntry {
    pub(crate) epoch: ProducerEpoch,
    batches: [Option<SequencedBatch>; BATCHES_KEPT],
    /// The last record of the producer, for telling who has been silent for longest.
    pub(crate) last_offset: Offset,
    /// The time of the batch with that record.
    pub(crate) timestamp: Timestamp,
    /// Where its open transaction begins.
    pub(crate) transaction: Option<Offset>,
    /// The coordinator's leadership that ended its last one.
    pub(crate) coordinator_epoch: Option<LeaderEpoch>,
}

impl ProducerEntry {
    fn new(epoch: ProducerEpoch) -> Self {
        Self {
            epoch,
            batches: [None; BATCHES_KEPT],
            last_offset: Offset::ZERO,
            timestamp: Timestamp(-1),
            transaction: None,
            coordinator_epoch: None,
        }
    }

    pub(crate) fn batches(&self) -> impl Iterator<Item = &SequencedBatch> {
        self.batches.iter().flatten()
    }

    fn last(&self) -> Option<&SequencedBatch> {
        self.batches().last()
    }

    /// The batch that this one repeats.
    fn original(&self, producer: Producer, last_delta: u32) -> Option<&SequencedBatch> {
        let is_same = |batch: &&SequencedBatch| {
            batch.base_sequence == producer.base_sequence && batch.last_delta == last_delta
        };
        self.batches().find(is_same).filter(|_| self.epoch == producer.epoch)
    }

    fn push(&mut self, batch: SequencedBatch) -> Option<SequencedBatch> {
        match self.batches.iter_mut().find(|place| place.is_none()) {
            Some(place) => {
                *place = Some(batch);
                None
            }
            None => {
                let oldest = self.batches[0];
                self.batches.rotate_left(1);
                self.batches[BATCHES_KEPT - 1] = Some(batch);
                oldest
            }
        }
    }

    fn pop(&mut self, oldest: Option<SequencedBatch>) {
        if let Some(place) = self.batches.iter_mut().rev().find(|place| place.is_some()) {
            *place = None;
        }
        if oldest.is_some() {
            self.batches.rotate_right(1);
            self.batches[0] = oldest;
        }
    }
}

/// What a log tells of one of its producers (DescribeProducers).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProducerState {
    /// The producer.
    pub id: ProducerId,
    /// Its newest session here.
    pub epoch: ProducerEpoch,
    /// The sequence number of its last record; `None` if none of this session is remembered.
    pub last_sequence: Option<i32>,
    /// The time of its last batch.
    pub last_timestamp: Timestamp,
    /// The coordinator's leadership that ended its last transaction here.
    pub coordinator_epoch: Option<LeaderEpoch>,
    /// Where its open transaction begins.
    pub transaction: Option<Offset>,
}

impl ProducerState {
    pub(crate) fn of(id: ProducerId, entry: &ProducerEntry) -> Self {
        Self {
            id,
            epoch: entry.epoch,
            last_sequence: entry.last().map(SequencedBatch::last_sequence),
            last_timestamp: entry.timestamp,
            coordinator_epoch: entry.coordinator_epoch,
            transaction: entry.transaction,
        }
    }
}

/// A transaction that a mark has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ended {
    pub(crate) producer: ProducerId,
    /// The producer's epoch before the mark.
    pub(crate) epoch: ProducerEpoch,
    /// Where it began.
    pub(crate) first: Offset,
    /// Where its mark is.
    pub(crate) mark: Offset,
    /// No transaction that was open then begins below.
    pub(crate) stable: Offset,
    pub(crate) end: TransactionEnd,
}

/// A transactional batch that begins a transaction has to wait for its coordinator's word that there is one. This tells, when the word has come, whether it is
/// still about the same: a mark that was appended meanwhile has ended what it was about (KIP-890).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TransactionGuard {
    /// The producer's last record.
    last: Option<Offset>,
}

/// Takes back what a batch did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) enum Undo {
    /// The batch has no producer.
    #[default]
    Nothing,
    /// It was added to its producer's batches.
    Pop(Box<Popped>),
    /// It changed more: the producer as it was before, if it was known.
    Restore(Box<(ProducerId, Option<ProducerEntry>)>),
}

/// How a producer was before its newest batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Popped {
    producer: ProducerId,
    last_offset: Offset,
    timestamp: Timestamp,
    /// The batch that made place.
    oldest: Option<SequencedBatch>,
}

/// What the sequence numbers say of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sequence {
    /// It is the next.
    Next,
    /// It was appended before, as this one.
    Duplicate(SequencedBatch),
}

/// The producers of one log.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Producers {
    entries: FxHashMap<ProducerId, ProducerEntry>,
    /// Whose transactions are open, by where they begin.
    open: ByFirst<ProducerId>,
}

impl Producers {
    /// Whether a batch that comes in follows what its producer appended before. The rules are those of Kafka's `ProducerAppendInfo`.
    pub(crate) fn check(
        &self,
        producer: Producer,
        last_delta: u32,
        part: Part,
    ) -> Result<Sequence, AppendError> {
        let Some(entry) = self.entries.get(&producer.id) else {
            // Its records may have been deleted by retention: any sequence number may be the next.
            return Ok(Sequence::Next);
        };
        if producer.epoch < entry.epoch {
            return Err(AppendError::StaleProducerEpoch {
                producer: producer.id,
                given: producer.epoch,
                current: entry.epoch,
            });
        }
        match part {
            Part::End(mark) => match entry.coordinator_epoch {
                Some(current) if mark.coordinator_epoch < current => {
                    let (producer, given) = (producer.id, mark.coordinator_epoch);
                    return Err(AppendError::CoordinatorFenced { producer, given, current });
                }
                _ => return Ok(Sequence::Next),
            },
            Part::None | Part::Member if producer.base_sequence < 0 => {}
            Part::None | Part::Member => {
                if let Some(original) = entry.original(producer, last_delta) {
                    return Ok(Sequence::Duplicate(*original));
                }
                let last = entry.last().filter(|_| entry.epoch == producer.epoch);
                let expected = last.map_or(0, |last| sequence_after(last.last_sequence(), 1));
                let given = producer.base_sequence;
                if given != expected {
                    return Err(AppendError::OutOfOrderSequence { producer: producer.id, given, expected });
                }
            }
        }
        match entry.transaction {
            Some(first) if part == Part::None => {
                Err(AppendError::InTransaction { producer: producer.id, first })
            }
            _ => Ok(Sequence::Next),
        }
    }

    /// `None` if the transaction of this batch has begun already, or the batch is there already.
    pub(crate) fn begins_transaction(&self, producer: Producer, last_delta: u32) -> Option<TransactionGuard> {
        let Some(entry) = self.entries.get(&producer.id) else {
            return Some(TransactionGuard { last: None });
        };
        let is_open = entry.transaction.is_some() && entry.epoch == producer.epoch;
        let is_known = is_open || entry.original(producer, last_delta).is_some();
        (!is_known).then_some(TransactionGuard { last: Some(entry.last_offset) })
    }

    /// Takes note of a batch that has its place in the log, whoever checked it. Tells of the transaction that it ended.
    pub(crate) fn note(&mut self, sent: &Sent, count_max: usize) -> (Undo, Option<Ended>) {
        let Sent { producer, batch, part } = *sent;
        if !self.entries.contains_key(&producer.id) {
            self.make_room(count_max);
        }
        let mut before = None;
        let entry = match self.entries.entry(producer.id) {
            Entry::Occupied(place) => {
                let entry = place.into_mut();
                let goes_on = match part {
                    Part::None => true,
                    Part::Member => entry.transaction.is_some(),
                    Part::End(_) => false,
                };
                if goes_on && entry.epoch == producer.epoch && sent.is_numbered() {
                    let (last_offset, timestamp) = (entry.last_offset, entry.timestamp);
                    let oldest = entry.push(batch);
                    (entry.last_offset, entry.timestamp) = (batch.last_offset(), batch.timestamp);
                    let popped = Popped { producer: producer.id, last_offset, timestamp, oldest };
                    return (Undo::Pop(Box::new(popped)), None);
                }
                before = Some(entry.clone());
                if entry.epoch != producer.epoch {
                    (entry.epoch, entry.batches) = (producer.epoch, [None; BATCHES_KEPT]);
                }
                entry
            }
            Entry::Vacant(place) => place.insert(ProducerEntry::new(producer.epoch)),
        };
        if sent.is_numbered() {
            entry.push(batch);
        }
        (entry.last_offset, entry.timestamp) = (batch.last_offset(), batch.timestamp);
        let mut ended = None;
        match part {
            Part::None => {}
            Part::Member if entry.transaction.is_some() => {}
            Part::Member => {
                entry.transaction = Some(batch.base);
                self.open.insert(batch.base, producer.id);
            }
            Part::End(mark) => {
                entry.coordinator_epoch = Some(mark.coordinator_epoch);
                if let Some(first) = entry.transaction.take() {
                    self.open.remove(first);
                    ended = Some(Ended {
                        producer: producer.id,
                        epoch: before.as_ref().map_or(producer.epoch, |before| before.epoch),
                        first,
                        mark: batch.base,
                        stable: self.first_open().unwrap_or(batch.base.advance(1)),
                        end: mark.end,
                    });
                }
            }
        }
        (Undo::Restore(Box::new((producer.id, before))), ended)
    }

    /// Takes back the newest batch that was noted. Tells where the transaction begins that it had ended.
    pub(crate) fn undo(&mut self, undo: Undo) -> Option<Offset> {
        match undo {
            Undo::Nothing => None,
            Undo::Pop(popped) => {
                let Popped { producer, last_offset, timestamp, oldest } = *popped;
                if let Some(entry) = self.entries.get_mut(&producer) {
                    entry.pop(oldest);
                    (entry.last_offset, entry.timestamp) = (last_offset, timestamp);
                }
                None
            }
            Undo::Restore(what) => {
                let (producer, before) = *what;
                let open_before = before.as_ref().and_then(|entry| entry.transaction);
                let after = match before {
                    Some(entry) => self.entries.insert(producer, entry),
                    None => self.entries.remove(&producer),
                };
                let open_after = after.and_then(|entry| entry.transaction);
                if let Some(first) = open_after {
                    self.open.remove(first);
                }
                if let Some(first) = open_before {
                    self.open.insert(first, producer);
                }
                open_before.filter(|_| open_after.is_none())
            }
        }
    }

    /// Forgets every batch at and above `end`, where nothing is left that undoes them one by one. Older batches that they pushed out stay
    /// forgotten, and a producer without any is not known any more. Transactions that had `ended` there are open again.
    pub(crate) fn cut(&mut self, end: Offset, ended: impl Iterator<Item = Ended>) {
        for entry in self.entries.values_mut() {
            for place in &mut entry.batches {
                *place = place.filter(|batch| batch.last_offset() < end);
            }
            if let Some(last) = entry.last().copied() {
                (entry.last_offset, entry.timestamp) = (last.last_offset(), last.timestamp);
            }
            entry.transaction = entry.transaction.filter(|first| *first < end);
        }
        for Ended { producer, epoch, first, .. } in ended.filter(|it| it.first < end && end <= it.mark) {
            let entry = self.entries.entry(producer).or_insert_with(|| ProducerEntry::new(epoch));
            entry.transaction = Some(first);
        }
        self.entries.retain(|_, entry| {
            if let Some(first) = entry.transaction
                && end <= entry.last_offset
            {
                entry.last_offset = first;
            }
            entry.last_offset < end
        });
        self.open = ByFirst::default();
        for (id, entry) in &self.entries {
            if let Some(first) = entry.transaction {
                self.open.insert(first, *id);
            }
        }
    }

    /// Where the oldest open transaction begins.
    pub(crate) fn first_open(&self) -> Option<Offset> {
        self.open.first().map(|(first, _)| first)
    }

    /// Forgets producers whose last batch is of before `time` and lies below `committed`, and that have no transaction open.
    pub(crate) fn expire(&mut self, time: Timestamp, committed: Offset) {
        self.entries.retain(|_, entry| {
            entry.transaction.is_some() || committed <= entry.last_offset || time <= entry.timestamp
        });
    }

    /// Where the batches begin that are remembered, and where the marks are that are their producers' last, below `end` and in rising order.
    pub(crate) fn batches_below(&self, end: Offset) -> Vec<Offset> {
        let batches = self.entries.values().flat_map(ProducerEntry::batches).map(|batch| batch.base);
        let last = self.entries.values().map(|entry| entry.last_offset);
        let mut bases: Vec<Offset> = batches.chain(last).filter(|base| *base < end).collect();
        bases.sort_unstable();
        bases.dedup();
        bases
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes what a file says of a producer: one of its batches, in their order, or the last one that was not numbered, and what holds for all of them.
    pub(crate) fn remember(
        &mut self,
        producer: Producer,
        batch: SequencedBatch,
        transaction: Option<Offset>,
        coordinator_epoch: Option<LeaderEpoch>,
    ) {
        let before = self.entries.get(&producer.id).map(|entry| (entry.last_offset, entry.timestamp));
        self.note(&Sent { producer, batch, part: Part::None }, usize::MAX);
        let Some(entry) = self.entries.get_mut(&producer.id) else { return };
        let is_newer = |(last_offset, _): &(Offset, _)| batch.last_offset() < *last_offset;
        if let Some(newer) = before.filter(is_newer) {
            (entry.last_offset, entry.timestamp) = newer;
        }
        entry.coordinator_epoch = coordinator_epoch;
        if let Some(before) = std::mem::replace(&mut entry.transaction, transaction) {
            self.open.remove(before);
        }
        if let Some(first) = transaction {
            self.open.insert(first, producer.id);
        }
    }

    pub(crate) fn get(&self, id: ProducerId) -> Option<&ProducerEntry> {
        self.entries.get(&id)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// All producers, by id.
    pub(crate) fn sorted(&self) -> Vec<(ProducerId, &ProducerEntry)> {
        let mut sorted: Vec<_> = self.entries.iter().map(|(id, entry)| (*id, entry)).collect();
        sorted.sort_unstable_by_key(|(id, _)| *id);
        sorted
    }

    fn make_room(&mut self, count_max: usize) {
        if self.entries.len() < count_max {
            return;
        }
        // Whoever looks for the silent ones looks at all, under the log's lock: once for many newcomers.
        let gone_count = self.entries.len() + 1 - count_max.max(1) + count_max / NEWCOMERS_SHARE;
        // Who has a transaction open stays: nothing else tells where it began. There are as many of those as there are coordinators' transactions.
        let closed = self.entries.iter().filter(|(_, entry)| entry.transaction.is_none());
        let mut silent: Vec<_> = closed.map(|(id, entry)| (entry.last_offset, *id)).collect();
        if let Some(last) = gone_count.checked_sub(1).filter(|last| *last < silent.len()) {
            silent.select_nth_unstable(last);
        }
        for (_, id) in silent.into_iter().take(gone_count) {
            self.entries.remove(&id);
        }
    }
}

/// Sequence numbers go from 0 to `i32::MAX` and then from 0 again.
pub(crate) fn sequence_after(sequence: i32, delta: u32) -> i32 {
    let wrapped = (i64::from(sequence) + i64::from(delta)) % (1 << 31);
    i32::try_from(wrapped).unwrap_or(0)
}
