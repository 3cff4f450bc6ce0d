//! Appending: checks, the place in the log, and the write.

use std::hash::{Hash as _, Hasher as _};

use bytes::Bytes;
use klamm_model::{
    BatchHeader, Batches, LeaderEpoch, Offset, Tail as RunEnd, Timestamp, TopicPartition, TransactionMark,
    ValidBatch, patched_prefix, restamped_header,
};
use rustc_hash::FxHasher;

use crate::compact::{filler, is_filler};
use crate::disk::{DiskAction, DiskOp};
use crate::error::AppendError;
use crate::index::Indexed;
use crate::log::{Life, Log};
use crate::producers::{Part, Sent, Sequence, SequencedBatch};
use crate::queue::{Barrier, Running, Step, Write};
use crate::segment::Segment;
use crate::snapshot;
use crate::tail::TailBatch;
use crate::transactions::{self, ABORTED_MAX};

/// Kafka's readers take a position, and an offset from the segment's base, for an `i32`.
const SEGMENT_SPAN_MAX: u64 = i32::MAX as u64;

/// What an append came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Appended {
    /// Offset of the first record.
    pub base: Offset,
    /// One past the last: what has to be written, or committed, before the append counts.
    pub end: Offset,
    /// The producer had sent it before; these are the offsets and the time it got then, and nothing was appended now.
    pub duplicate: bool,
    /// The highest timestamp of the records.
    pub max_timestamp: Timestamp,
}

/// A batch that is about to get its place.
pub(crate) struct NewBatch {
    pub(crate) size: u32,
    pub(crate) last_delta: u32,
    pub(crate) max_timestamp: Timestamp,
    pub(crate) sent: Option<Sent>,
}

impl NewBatch {
    pub(crate) fn stored(header: &BatchHeader, size: u32, mark: Option<TransactionMark>) -> Self {
        Self {
            size,
            last_delta: header.last_offset_delta,
            max_timestamp: header.max_timestamp,
            sent: Sent::stored(header, mark),
        }
    }
}

impl Log {
    /// Appends a producer's batch under the leader's epoch, unless its producer's numbering or transaction forbids it. A batch that was appended before, one of
    /// the producer's last five, is answered with its offsets of then.
    pub fn append_as_leader(
        &mut self,
        epoch: LeaderEpoch,
        batch: &ValidBatch,
        bytes: Bytes,
        out: &mut Vec<DiskOp>,
    ) -> Result<Appended, AppendError> {
        self.refuse_if_closed()?;
        assert_eq!(batch.size, bytes.len(), "the batch was checked, and is another now");
        let base = self.end;
        let part = Part::of(batch.is_transactional, batch.mark);
        if let Some(producer) = batch.producer
            && let Sequence::Duplicate(original) =
                self.producers.check(producer, batch.last_offset_delta, part)?
        {
            return Ok(Appended {
                base: original.base,
                end: original.last_offset().advance(1),
                duplicate: true,
                max_timestamp: original.timestamp,
            });
        }
        self.refuse_older_epoch(base, Some(epoch), self.epochs.newest().map(|newest| newest.epoch))?;
        self.refuse_if_full(batch.size)?;
        let size = self.fitting(base, batch.size)?;

        self.prepare_segment(size, batch.last_offset_delta, batch.max_timestamp);
        self.note_epoch(epoch, base);
        let position = self.place(&NewBatch {
            size,
            last_delta: batch.last_offset_delta,
            max_timestamp: batch.max_timestamp,
            sent: batch.producer.map(|producer| Sent {
                producer,
                batch: SequencedBatch {
                    base_sequence: producer.base_sequence,
                    last_delta: batch.last_offset_delta,
                    base,
                    timestamp: batch.max_timestamp,
                },
                part,
            }),
        });
        let prefix = match batch.stamp {
            None => patched_prefix(&bytes, base, epoch).into(),
            Some(timestamp_type) => {
                let mut header = restamped_header(&bytes, timestamp_type, batch.max_timestamp);
                let place = patched_prefix(&header, base, epoch);
                header[..place.len()].copy_from_slice(&place);
                header.into()
            }
        };
        self.write(
            Write {
                segment: self.id_of(self.active().base),
                position,
                prefix: Some(prefix),
                body: bytes,
                base,
                end: self.end,
                appended_bytes: self.appended_bytes,
            },
            out,
        );
        self.draft_notes(self.config.notes_interval_bytes);
        self.pump(out);
        self.after_change();
        Ok(Appended { base, end: self.end, duplicate: false, max_timestamp: batch.max_timestamp })
    }

    /// Appends batches as the leader stored them. They have to be whole and undamaged, and to follow what is here: all of them, or none is taken.
    pub fn append_as_follower(&mut self, run: Bytes, out: &mut Vec<DiskOp>) -> Result<Appended, AppendError> {
        self.refuse_if_closed()?;
        let base = self.end;
        let run = self.without_what_is_here(run);
        self.check_run(&run)?;
        self.refuse_if_full(run.len())?;

        let mut pending: Option<Write> = None;
        let mut taken = 0;
        let mut max_timestamp = Timestamp(i64::MIN);
        for batch in Batches::new(&run, RunEnd::MustBeComplete) {
            let batch = batch.map_err(|problem| AppendError::Damaged { base: self.end, problem })?;
            let header = batch.header();
            let (first, size) = (self.end, self.fitting(self.end, batch.size())?);
            max_timestamp = max_timestamp.max(header.max_timestamp);
            if self.must_roll(size, header.last_offset_delta, header.max_timestamp) {
                pending.take().into_iter().for_each(|write| self.write(write, out));
            }
            self.prepare_segment(size, header.last_offset_delta, header.max_timestamp);
            if let Some(epoch) = header.leader_epoch {
                self.note_epoch(epoch, first);
            }
            let position = self.place(&NewBatch::stored(header, size, TransactionMark::of(&batch)));
            let (end, appended_bytes, segment) =
                (self.end, self.appended_bytes, self.id_of(self.active().base));
            let write = pending.get_or_insert(Write {
                segment,
                position,
                prefix: None,
                body: Bytes::new(),
                base: first,
                end,
                appended_bytes,
            });
            let started = taken - write.body.len();
            taken += batch.size();
            write.body = run.slice(started..taken);
            (write.end, write.appended_bytes) = (end, appended_bytes);
        }
        pending.into_iter().for_each(|write| self.write(write, out));
        self.draft_notes(self.config.notes_interval_bytes);
        self.pump(out);
        self.after_change();
        Ok(Appended { base, end: self.end, duplicate: false, max_timestamp })
    }

    /// Where compaction has dropped everything, one batch without records may take the offsets of several, some of which are here: only the others follow.
    /// Refused, a log that ends in the middle of such a batch could never go on.
    fn without_what_is_here(&self, run: Bytes) -> Bytes {
        let Some(Ok(first)) = Batches::new(&run, RunEnd::MustBeComplete).next() else { return run };
        let (header, next) = (first.header(), first.next_offset());
        let is_across = first.base_offset() < self.end && self.end < next;
        if !is_across || !is_filler(header) || first.verify_crc().is_err() {
            return run;
        }
        let left = u32::try_from(next.raw() - self.end.raw() - 1).expect("less than the batch had");
        let filler = filler(self.end, left, header.leader_epoch);
        [&filler[..], &run[first.size()..]].concat().into()
    }

    fn check_run(&self, run: &Bytes) -> Result<(), AppendError> {
        let mut end = self.end;
        // The newest epoch of a record: one that has none may be older than the leader's.
        let mut last = self.last_epoch();
        for batch in Batches::new(run, RunEnd::MustBeComplete) {
            let batch = batch.map_err(|problem| AppendError::Damaged { base: end, problem })?;
            batch.verify_crc().map_err(|problem| AppendError::Damaged { base: end, problem })?;
            if batch.base_offset() != end {
                return Err(AppendError::NotContiguous { given: batch.base_offset(), end });
            }
            let epoch = batch.header().leader_epoch;
            self.refuse_older_epoch(end, epoch, last)?;
            self.fitting(end, batch.size())?;
            last = epoch;
            end = batch.next_offset();
        }
        Ok(())
    }

    pub(crate) fn refuse_if_closed(&self) -> Result<(), AppendError> {
        if self.life == Life::Running { Ok(()) } else { Err(AppendError::LogFailed) }
    }

    /// One append is always taken: a batch larger than the queue would never be otherwise.
    fn refuse_if_full(&self, size: usize) -> Result<(), AppendError> {
        let queued_bytes = self.queue.bytes;
        if 0 < queued_bytes && self.config.queue_bytes_max < queued_bytes.saturating_add(size as u64) {
            return Err(AppendError::Overloaded { queued_bytes });
        }
        Ok(())
    }

    fn refuse_older_epoch(
        &self,
        base: Offset,
        given: Option<LeaderEpoch>,
        last: Option<LeaderEpoch>,
    ) -> Result<(), AppendError> {
        if given.is_none() || given < last {
            return Err(AppendError::EpochWentBack { base, given, last });
        }
        Ok(())
    }

    fn fitting(&self, base: Offset, size: usize) -> Result<u32, AppendError> {
        let room = Offset::MAX.since(base) > u64::from(u32::MAX) + 1;
        match i32::try_from(size).ok().and_then(|size| u32::try_from(size).ok()) {
            Some(size) if room => Ok(size),
            _ => Err(AppendError::TooLarge { base, size }),
        }
    }

    /// A record of this epoch is about to have the offset `at`.
    fn note_epoch(&mut self, epoch: LeaderEpoch, at: Offset) {
        let changed = self.epochs.begin(epoch, at);
        self.epochs_unsaved |= changed || self.epochs.newest().is_some_and(|newest| newest.start == at);
    }

    /// Whether the next batch, of this size and length, has to go to a new segment. The rules are those of Kafka's `LogSegment.shouldRoll`.
    fn must_roll(&self, size: u32, last_delta: u32, max_timestamp: Timestamp) -> bool {
        let active = self.active();
        if active.size == 0 {
            return false;
        }
        let too_large = u64::from(active.size) + u64::from(size)
            > u64::from(self.config.segment_bytes).min(SEGMENT_SPAN_MAX);
        let too_long = self.end.since(active.base) + u64::from(last_delta) > SEGMENT_SPAN_MAX;
        let index_full =
            active.index.as_ref().is_some_and(|index| index.is_full(self.config.segment_index_bytes));
        let age_ms = if 0 <= active.first_timestamp.0 {
            u64::try_from(max_timestamp.0.saturating_sub(active.first_timestamp.0)).unwrap_or(0)
        } else {
            active.opened.map_or(0, |opened| self.now.ms_since(opened))
        };
        let too_old = self.config.segment_ms.saturating_sub(self.jitter_ms(active.base)) < age_ms;
        let too_many_aborted = ABORTED_MAX <= active.aborted.entries().len();
        too_large || too_long || index_full || too_old || too_many_aborted
    }

    /// How much earlier than others this segment ends: the same whenever it is asked.
    fn jitter_ms(&self, base: Offset) -> u64 {
        let max = self.config.segment_jitter_ms.min(self.config.segment_ms);
        if max == 0 {
            return 0;
        }
        let TopicPartition { topic, partition } = self.partition;
        let mut drawn = FxHasher::default();
        (topic, partition, base).hash(&mut drawn);
        drawn.finish() % max
    }

    fn prepare_segment(&mut self, size: u32, last_delta: u32, max_timestamp: Timestamp) {
        self.create_files();
        if self.must_roll(size, last_delta, max_timestamp) {
            self.roll();
        }
        let now = self.now;
        self.active_mut().opened.get_or_insert(now);
    }

    /// Ends the growing segment, which has records, and begins the next.
    pub(crate) fn roll(&mut self) {
        let next = self.id_of(self.end);
        let old = self.active();
        assert!(0 < old.size, "segment {} of {} ends without records", old.base, self.partition);
        self.queue.push_barrier(Barrier::Roll {
            old: self.id_of(old.base),
            size: old.size,
            index: old.index.as_ref().map(|index| index.to_bytes()).unwrap_or_default(),
            times: old
                .index
                .as_ref()
                .map(|index| index.times_to_bytes(old.base, old.largest))
                .unwrap_or_default(),
            aborted: transactions::to_bytes(old.base, old.aborted.entries()),
            next,
            producers: snapshot::write(&self.producers),
        });
        self.segments.push(Segment::new(next.base));
        self.discard_notes_from(Offset::ZERO);
    }

    /// Gives a batch its place at the end of the last segment, in all that is kept of the log, and tells the position.
    pub(crate) fn place(&mut self, batch: &NewBatch) -> u32 {
        let base = self.end;
        let interval = self.config.index_interval_bytes;
        let count_max = self.config.producer_count_max;
        let noted = batch.sent.as_ref().map(|sent| self.producers.note(sent, count_max));
        let (undo, ended) = noted.unwrap_or_default();
        if let Some(ended) = ended {
            self.note_ended(ended);
        }
        let segment = self.active_mut();
        let (position, largest_before) = (segment.size, segment.largest);
        if position == 0 {
            segment.first_timestamp = batch.max_timestamp;
        }
        if let Some(index) = &mut segment.index {
            let (last_delta, size) = (batch.last_delta, batch.size);
            let batch = Indexed { first: base, last_delta, position, size, largest_before };
            index.note(segment.base, &batch, interval);
        }
        segment.size += batch.size;
        segment.largest.note(batch.max_timestamp, base.advance(batch.last_delta));
        let end = base.advance(batch.last_delta).advance(1);
        self.tail.push(TailBatch { base, end, position, size: batch.size, largest_before, undo });
        self.end = end;
        self.appended_bytes += u64::from(batch.size);
        position
    }

    fn write(&mut self, write: Write, out: &mut Vec<DiskOp>) {
        self.queue.bytes += write.body.len() as u64;
        if self.queue.is_open() {
            self.hand_out(write, out);
        } else {
            self.queue.waiting.push_back(Step::Write(write));
        }
    }

    pub(crate) fn hand_out(&mut self, write: Write, out: &mut Vec<DiskOp>) {
        let id = self.queue.next_id();
        let Write { segment, position, prefix, body, base, end, appended_bytes } = write;
        self.queue.running.push_back(Running {
            id,
            base,
            end,
            size: body.len() as u64,
            appended_bytes,
            finished: false,
            lost: false,
        });
        out.push(DiskOp {
            partition: self.partition,
            id,
            action: DiskAction::Write { segment, position, prefix, body },
        });
    }
}
