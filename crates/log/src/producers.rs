//! What a log knows of its idempotent producers (KIP-98): enough to tell a batch that was sent again from the next one, and an old session of a
//! producer from the current one.
//!
//! Every change gives back what undoes it, because an append may be taken back: its write fails, or another leader's log does not have it.

use klamm_model::{BatchHeader, Offset, Producer, ProducerEpoch, ProducerId, Timestamp};
use rustc_hash::FxHashMap;

use crate::error::AppendError;

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

/// One producer: its newest epoch, and its last batches under it, oldest first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ProducerEntry {
    pub(crate) epoch: ProducerEpoch,
    batches: [Option<SequencedBatch>; BATCHES_KEPT],
    /// The last record of the producer, for telling who has been silent for longest.
    pub(crate) last_offset: Offset,
}

impl ProducerEntry {
    fn new(epoch: ProducerEpoch) -> Self {
        Self { epoch, batches: [None; BATCHES_KEPT], last_offset: Offset::ZERO }
    }

    pub(crate) fn batches(&self) -> impl Iterator<Item = &SequencedBatch> {
        self.batches.iter().flatten()
    }

    fn last(&self) -> Option<&SequencedBatch> {
        self.batches().last()
    }

    fn push(&mut self, batch: SequencedBatch) -> Option<SequencedBatch> {
        self.last_offset = batch.last_offset();
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
    /// The sequence number of its last record and the time of its last batch; `None` if none of this session is remembered.
    pub last: Option<(i32, Timestamp)>,
}

/// Takes back what a batch did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) enum Undo {
    /// The batch has no producer.
    #[default]
    Nothing,
    /// It was added to its producer's batches, in the place of the oldest.
    Pop(Box<(ProducerId, Offset, Option<SequencedBatch>)>),
    /// It changed more: the producer as it was before, if it was known.
    Restore(Box<(ProducerId, Option<ProducerEntry>)>),
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
}

impl Producers {
    /// Whether a client's batch follows what its producer appended before. The rules are those of Kafka's `ProducerAppendInfo`.
    pub(crate) fn check(&self, producer: Producer, last_delta: u32) -> Result<Sequence, AppendError> {
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
        let given = producer.base_sequence;
        let out_of_order =
            |expected| AppendError::OutOfOrderSequence { producer: producer.id, given, expected };
        if entry.epoch < producer.epoch {
            return if given == 0 { Ok(Sequence::Next) } else { Err(out_of_order(0)) };
        }
        let same = |batch: &&SequencedBatch| batch.base_sequence == given && batch.last_delta == last_delta;
        if let Some(batch) = entry.batches().find(same) {
            return Ok(Sequence::Duplicate(*batch));
        }
        let expected = entry.last().map_or(0, |last| sequence_after(last.last_sequence(), 1));
        if given == expected { Ok(Sequence::Next) } else { Err(out_of_order(expected)) }
    }

    /// Takes note of a batch that has its place in the log, whoever checked it.
    pub(crate) fn note(&mut self, producer: Producer, batch: SequencedBatch, count_max: usize) -> Undo {
        if !self.entries.contains_key(&producer.id) {
            self.make_room(count_max);
        }
        let mut before = None;
        let entry = match self.entries.entry(producer.id) {
            std::collections::hash_map::Entry::Occupied(place) => {
                let entry = place.into_mut();
                if entry.epoch != producer.epoch {
                    before = Some(std::mem::replace(entry, ProducerEntry::new(producer.epoch)));
                } else if 0 <= producer.base_sequence {
                    let last_offset = entry.last_offset;
                    let oldest = entry.push(batch);
                    return Undo::Pop(Box::new((producer.id, last_offset, oldest)));
                } else {
                    before = Some(entry.clone());
                }
                entry
            }
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(ProducerEntry::new(producer.epoch))
            }
        };
        // A transaction's mark has an epoch and no sequence.
        if 0 <= producer.base_sequence {
            entry.push(batch);
        }
        entry.last_offset = batch.last_offset();
        Undo::Restore(Box::new((producer.id, before)))
    }

    /// Takes back the newest batch that was noted.
    pub(crate) fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Nothing => {}
            Undo::Pop(what) => {
                let (producer, last_offset, oldest) = *what;
                if let Some(entry) = self.entries.get_mut(&producer) {
                    entry.pop(oldest);
                    entry.last_offset = last_offset;
                }
            }
            Undo::Restore(what) => {
                let (producer, before) = *what;
                match before {
                    Some(entry) => self.entries.insert(producer, entry),
                    None => self.entries.remove(&producer),
                };
            }
        }
    }

    /// Forgets every batch at and above `end`, where nothing is left that undoes them one by one. Older batches that they pushed out stay
    /// forgotten, and a producer without any is not known any more.
    pub(crate) fn cut(&mut self, end: Offset) {
        for entry in self.entries.values_mut() {
            for place in &mut entry.batches {
                *place = place.filter(|batch| batch.last_offset() < end);
            }
            if let Some(last_offset) = entry.last().map(SequencedBatch::last_offset) {
                entry.last_offset = last_offset;
            }
        }
        self.entries.retain(|_, entry| entry.last_offset < end);
    }

    /// Forgets producers whose last batch is of before `time` and lies below `committed`.
    pub(crate) fn expire(&mut self, time: Timestamp, committed: Offset) {
        self.entries.retain(|_, entry| {
            committed <= entry.last_offset || entry.last().is_none_or(|last| time <= last.timestamp)
        });
    }

    /// Where the batches begin that are remembered, below `end` and in rising order.
    pub(crate) fn batches_below(&self, end: Offset) -> Vec<Offset> {
        let batches = self.entries.values().flat_map(ProducerEntry::batches);
        let mut bases: Vec<Offset> = batches.map(|batch| batch.base).filter(|base| *base < end).collect();
        bases.sort_unstable();
        bases
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
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
        let mut silent: Vec<_> = self.entries.iter().map(|(id, entry)| (entry.last_offset, *id)).collect();
        if let Some(last) = gone_count.checked_sub(1).filter(|last| *last < silent.len()) {
            silent.select_nth_unstable(last);
        }
        for (_, id) in silent.into_iter().take(gone_count) {
            self.entries.remove(&id);
        }
    }
}

/// What a batch that has its place in the log says about its producer.
pub(crate) fn sequenced(header: &BatchHeader) -> Option<(Producer, SequencedBatch)> {
    let producer = header.producer?;
    let batch = SequencedBatch {
        base_sequence: producer.base_sequence,
        last_delta: header.last_offset_delta,
        base: header.base_offset,
        timestamp: header.max_timestamp,
    };
    Some((producer, batch))
}

/// Sequence numbers go from 0 to `i32::MAX` and then from 0 again.
pub(crate) fn sequence_after(sequence: i32, delta: u32) -> i32 {
    let wrapped = (i64::from(sequence) + i64::from(delta)) % (1 << 31);
    i32::try_from(wrapped).unwrap_or(0)
}
