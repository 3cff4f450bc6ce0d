//! What an answer means for the batches it is about.

use std::collections::btree_map::Entry;

use klamm_model::{ErrorCode, Offset, ProducerEpoch, Tick, Timestamp};
use klamm_wire::produce::PartitionProduceResponse;

use super::super::effect::{Done, Effect, Written};
use super::super::error::{Cause, SendError};
use super::super::question::Identity;
use super::super::queue::Batch;
use super::{IdentityState, Machine};
use crate::backoff::HURRIES_MAX;
use crate::call::{CallError, CallId};

impl<T: Clone + Default> Machine<T> {
    pub(super) fn judge(
        &mut self,
        now: Tick,
        call: CallId,
        slot: usize,
        answer: PartitionProduceResponse,
        out: &mut Vec<Effect<T>>,
    ) {
        use ErrorCode as E;
        let code = ErrorCode::from_code(answer.error_code).unwrap_or(E::UnknownServerError);
        match code {
            E::None | E::DuplicateSequenceNumber => {
                // The offsets of all records of the batch have to fit.
                let largest = i64::MAX - i64::from(u32::MAX);
                let base_offset = Offset::from_wire(answer.base_offset).filter(|base| base.raw() <= largest);
                let append_time =
                    (answer.log_append_time_ms >= 0).then_some(Timestamp(answer.log_append_time_ms));
                self.succeed(now, slot, call, Written { base_offset, append_time }, out);
            }
            // As Java's client does; not counted as a try, as it has less to send each time.
            E::MessageTooLarge if self.queues[slot].can_be_cut(call) => {
                let id = self.queues[slot].cut(call, self.config.compression);
                *self.outstanding.get_mut(&id).expect("it has not ended") += 1;
            }
            // Another epoch is the coordinator's to give, and only for another transaction.
            E::InvalidProducerEpoch if self.transactions.is_some() => {
                self.refuse(call, slot, false, Cause::Refused { code, message: answer.error_message }, out);
            }
            E::OutOfOrderSequenceNumber | E::UnknownProducerId
                if self.transactions.is_some()
                    && self.queues[slot].is_first(call)
                    && !self.queues[slot].is_first_and_maybe_written(call) =>
            {
                self.renumber(slot);
                self.refuse(call, slot, false, Cause::Refused { code, message: answer.error_message }, out);
            }
            // It may be in the log, and would be stored once more under another number: rather an error, which says so.
            E::OutOfOrderSequenceNumber | E::UnknownProducerId | E::InvalidProducerEpoch
                if self.identity().is_some() && self.queues[slot].is_first_and_maybe_written(call) =>
            {
                let cause = Cause::Refused { code, message: answer.error_message };
                if self.queues[slot].may_doubt() {
                    out.push(Effect::RefreshMetadata);
                    self.retry(now, call, slot, None, cause, out);
                } else {
                    self.refuse(call, slot, true, cause, out);
                }
            }
            // The batch is surely not in the log: what was before it is missing, or the broker has forgotten us.
            E::OutOfOrderSequenceNumber | E::UnknownProducerId | E::InvalidProducerEpoch
                if self.identity().is_some() =>
            {
                if self.queues[slot].is_first(call) {
                    self.renumber(slot);
                }
                let cause = Cause::Refused { code, message: answer.error_message };
                let wait_us = match self.queues[slot].tries(call).saturating_sub(HURRIES_MAX) {
                    0 => 0,
                    again => self.config.backoff.wait_us(again, &mut self.random),
                };
                self.send_again((now, wait_us), call, slot, Some(false), cause);
            }
            _ if code.is_retriable() => {
                if asks_for_metadata(code) {
                    out.push(Effect::RefreshMetadata);
                }
                let maybe_written = may_have_been_written(code).then_some(true);
                self.retry(
                    now,
                    call,
                    slot,
                    maybe_written,
                    Cause::Refused { code, message: answer.error_message },
                    out,
                );
            }
            _ => {
                let message = answer.error_message.or_else(|| {
                    answer.record_errors.into_iter().find_map(|error| error.batch_index_error_message)
                });
                self.refuse(call, slot, false, Cause::Refused { code, message }, out);
            }
        }
    }

    pub(super) fn not_answered(
        &mut self,
        now: Tick,
        call: CallId,
        slot: usize,
        error: &CallError,
        out: &mut Vec<Effect<T>>,
    ) {
        let maybe_written = !error.was_not_sent();
        if error.is_retriable() {
            self.retry(now, call, slot, maybe_written.then_some(true), Cause::Call(error.clone()), out);
        } else {
            self.refuse(call, slot, maybe_written, Cause::Call(error.clone()), out);
        }
    }

    pub(super) fn retry(
        &mut self,
        now: Tick,
        call: CallId,
        slot: usize,
        maybe_written: Option<bool>,
        cause: Cause,
        out: &mut Vec<Effect<T>>,
    ) {
        let tries = self.queues[slot].tries(call);
        if tries > self.config.retries_max {
            return self.refuse(call, slot, maybe_written == Some(true), cause, out);
        }
        let wait_us = self.wait_us(tries, &cause);
        self.send_again((now, wait_us), call, slot, maybe_written, cause);
    }

    fn send_again(
        &mut self,
        (now, wait_us): (Tick, u64),
        call: CallId,
        slot: usize,
        maybe_written: Option<bool>,
        cause: Cause,
    ) {
        let not_before = Tick(now.0 + wait_us);
        if self.queues[slot].retry((now, not_before), call, maybe_written, cause) {
            self.told.lasts(slot);
        }
    }

    pub(super) fn refuse(
        &mut self,
        call: CallId,
        slot: usize,
        maybe_written: bool,
        cause: Cause,
        out: &mut Vec<Effect<T>>,
    ) {
        let Some((batch, must_renumber)) = self.queues[slot].refuse(call, maybe_written) else {
            return;
        };
        if must_renumber {
            self.renumber(slot);
        }
        self.give_up(slot, batch, cause, out);
    }

    /// The numbers of this partition can't go on. A new epoch lets it begin again at 0; the other partitions follow when it suits them.
    pub(super) fn renumber(&mut self, slot: usize) {
        let IdentityState::Known(identity) = self.identity else {
            return;
        };
        if !self.queues[slot].is_stamped(identity) {
            return;
        }
        if let Some(it) = &mut self.transactions {
            it.needs_epoch = true;
            return;
        }
        self.identity = match identity.epoch.0.checked_add(1) {
            Some(epoch) => IdentityState::Known(Identity { epoch: ProducerEpoch(epoch), ..identity }),
            None => IdentityState::Unknown { asking: None, not_before: Tick(0), failing: None },
        };
    }

    pub(super) fn succeed(
        &mut self,
        now: Tick,
        slot: usize,
        call: CallId,
        written: Written,
        out: &mut Vec<Effect<T>>,
    ) {
        if let Some(batch) = self.queues[slot].settle(call) {
            self.told.is_over(slot);
            self.metrics.latency.add_us(now.0.saturating_sub(batch.opened_at.0));
            self.finish(slot, batch, Ok(written), out);
        }
    }

    pub(super) fn give_up(&mut self, slot: usize, batch: Batch<T>, cause: Cause, out: &mut Vec<Effect<T>>) {
        let queue = &self.queues[slot];
        let Batch { tries, maybe_written, .. } = batch;
        let error = SendError {
            topic: queue.topic.clone(),
            partition: Some(queue.index),
            tries,
            maybe_written,
            cause,
        };
        self.fail_transaction(&error.cause, out);
        self.finish(slot, batch, Err(error), out);
    }

    pub(super) fn finish(
        &mut self,
        slot: usize,
        batch: Batch<T>,
        outcome: Result<Written, SendError>,
        out: &mut Vec<Effect<T>>,
    ) {
        let Entry::Occupied(mut parts) = self.outstanding.entry(batch.id) else {
            panic!("{:?} ended twice", batch.id);
        };
        *parts.get_mut() -= 1;
        if *parts.get() == 0 {
            parts.remove();
        }
        self.buffered -= batch.size;
        let metrics = &mut self.metrics;
        metrics.retries += u64::from(batch.tries.saturating_sub(1));
        if outcome.is_ok() {
            metrics.records += u64::from(batch.record_count);
            metrics.bytes += batch.size as u64;
            metrics.batches += 1;
        } else {
            metrics.records_failed += u64::from(batch.record_count);
            metrics.batches_failed += 1;
        }
        let (topic, partition) = (self.queues[slot].topic.clone(), self.queues[slot].index);
        let Batch { tag, first_place, record_count, size, .. } = batch;
        out.push(Effect::Done(Done { tag, topic, partition, first_place, record_count, size, outcome }));
    }
}

/// Answers which say that the partition is led by somebody else or not there at all.
fn asks_for_metadata(code: ErrorCode) -> bool {
    use ErrorCode as E;
    matches!(
        code,
        E::NotLeaderOrFollower
            | E::LeaderNotAvailable
            | E::FencedLeaderEpoch
            | E::UnknownLeaderEpoch
            | E::UnknownTopicOrPartition
            | E::UnknownTopicId
            | E::InconsistentTopicId
            | E::KafkaStorageError
            | E::ReplicaNotAvailable
    )
}

/// Refusals that come before the log is touched, whatever the broker. Every other error may have come after the append, for example when
/// the leader changed while the batch waited for its followers.
fn may_have_been_written(code: ErrorCode) -> bool {
    use ErrorCode as E;
    !matches!(code, E::NotEnoughReplicas | E::CorruptMessage | E::ConcurrentTransactions)
}
