//! What an answer means for the partitions it is about.

use std::sync::Arc;

use klamm_model::{BrokerId, ErrorCode, LeaderEpoch, Offset, Tick};
use klamm_wire::fetch::{LeaderIdAndEpoch, PartitionData};
use klamm_wire::{FetchResponse, ListOffsetsResponse, OffsetForLeaderEpochResponse, Records, Response};

use super::super::aborted::Aborted;
use super::super::config::{Isolation, OutOfRange, Start};
use super::super::effect::Effect;
use super::super::error::Cause;
use super::super::slot::Position;
use super::{Call, Machine};
use crate::call::{CallError, CallId};
use crate::metadata::{BrokerAddress, LeaderHint};

/// The replica that a leader named is read for so long at least: whoever asked the leader each time would never get to read.
const NEAREST_MS_MIN: u64 = 1_000;

impl Machine {
    /// What came of any of the questions.
    pub fn answered(
        &mut self,
        now: Tick,
        call: CallId,
        answer: Result<Response, CallError>,
        out: &mut Vec<Effect>,
    ) {
        match answer {
            Ok(Response::Fetch(answer)) => self.fetched(now, call, answer, out),
            Ok(Response::ListOffsets(answer)) => self.located(now, call, answer, out),
            Ok(Response::OffsetForLeaderEpoch(answer)) => self.validated(now, call, answer, out),
            Ok(_) => unreachable!("answers are decoded as what was asked for"),
            Err(error) => self.call_failed(now, call, &error, out),
        }
    }

    /// A broker answered an [`Asked::Fetch`].
    pub fn fetched(&mut self, now: Tick, call: CallId, response: FetchResponse, out: &mut Vec<Effect>) {
        let Some(Call { slots, ids, broker, .. }) = self.end_call(call) else { return };
        let code = ErrorCode::told(response.error_code);
        let session = self.sessions.entry(broker).or_default();
        if code != ErrorCode::None {
            let was_session = session.begin_anew() && is_about_session(code);
            for place in slots {
                if was_session {
                    // The next request says all, and goes out at once.
                    self.end_slot(call, place);
                    continue;
                }
                if self.end_slot(call, place) {
                    self.refused(now, place, code, out);
                }
            }
            return;
        }
        let is_partial = session.answered(response.session_id);
        let endpoints = response.node_endpoints;
        for topic in response.responses {
            let by_id = ids.get(&topic.topic_id).filter(|_| topic.topic.is_empty());
            let name = by_id.cloned().unwrap_or_else(|| topic.topic.into());
            for partition in topic.partitions {
                let Some(place) = self.asked(call, &name, partition.partition_index) else { continue };
                let LeaderIdAndEpoch { leader_id, leader_epoch } = partition.current_leader;
                let endpoint = endpoints.iter().find(|endpoint| endpoint.node_id == leader_id);
                let address = endpoint.and_then(|it| BrokerAddress::from_wire(&it.host, it.port, &it.rack));
                let told = (leader_id, leader_epoch);
                let hint = LeaderHint::from_wire(&name, partition.partition_index, told, address);
                out.extend(hint.map(Effect::LeaderHint));
                self.take_records(now, place, partition, out);
            }
        }
        if is_partial {
            // What is not mentioned is as it was, and so can be read.
            for &place in &slots {
                if self.end_slot(call, place) {
                    self.slots[place].was_read();
                    self.told.is_over(place);
                }
            }
        }
        self.settle(now, call, &slots);
    }

    /// A broker answered an [`Asked::ListOffsets`].
    pub fn located(&mut self, now: Tick, call: CallId, response: ListOffsetsResponse, out: &mut Vec<Effect>) {
        let Some(Call { slots, .. }) = self.end_call(call) else { return };
        for topic in response.topics {
            let name: Arc<str> = topic.name.into();
            for answer in topic.partitions {
                let Some(place) = self.asked(call, &name, answer.partition_index) else { continue };
                match ErrorCode::told(answer.error_code) {
                    // Only a time may be later than all records: everything else is somewhere.
                    ErrorCode::None
                        if answer.offset < 0
                            && !matches!(self.slots[place].position, Position::FindSince { .. }) =>
                    {
                        self.try_later(now, place, Cause::Useless);
                    }
                    ErrorCode::None => {
                        self.slots[place].begin_at(Offset::from_wire(answer.offset));
                        out.extend(self.slots[place].reset().map(Effect::Reset));
                        if self.slots[place].has_reached_end {
                            out.push(Effect::Readable);
                        }
                    }
                    code => self.refused(now, place, code, out),
                }
            }
        }
        self.settle(now, call, &slots);
    }

    /// A broker answered an [`Asked::OffsetForLeaderEpoch`].
    pub fn validated(
        &mut self,
        now: Tick,
        call: CallId,
        response: OffsetForLeaderEpochResponse,
        out: &mut Vec<Effect>,
    ) {
        let Some(Call { slots, .. }) = self.end_call(call) else { return };
        for topic in response.topics {
            let name: Arc<str> = topic.topic.into();
            for answer in topic.partitions {
                let Some(place) = self.asked(call, &name, answer.partition) else { continue };
                match ErrorCode::told(answer.error_code) {
                    ErrorCode::None => {
                        let epoch = LeaderEpoch::from_wire(answer.leader_epoch);
                        let end = Offset::from_wire(answer.end_offset).unwrap_or(Offset::ZERO);
                        self.compare(place, epoch, end, out);
                    }
                    code => self.refused(now, place, code, out),
                }
            }
        }
        self.settle(now, call, &slots);
    }

    /// A request of ours brought no answer.
    pub fn call_failed(&mut self, now: Tick, call: CallId, error: &CallError, out: &mut Vec<Effect>) {
        let Some(Call { slots, broker, is_fetch, .. }) = self.end_call(call) else { return };
        if is_fetch {
            self.sessions.entry(broker).or_default().begin_anew();
        }
        out.push(Effect::RefreshMetadata);
        for place in slots {
            if !self.end_slot(call, place) {
                continue;
            }
            self.slots[place].nearest = None;
            if error.is_retriable() {
                self.try_later(now, place, Cause::Call(error.clone()));
            } else if self.slots[place].must_validate {
                // Who does not serve the question is too old for it.
                self.slots[place].must_validate = false;
            } else {
                self.stop(place, Cause::Call(error.clone()));
                out.push(Effect::Readable);
            }
        }
    }

    fn end_call(&mut self, call: CallId) -> Option<Call> {
        let ended = self.calls.remove(&call)?;
        if ended.is_fetch {
            self.fetching.remove(&ended.broker);
        }
        Some(ended)
    }

    /// Whoever was asked for and not answered is asked for again later.
    fn settle(&mut self, now: Tick, call: CallId, places: &[usize]) {
        for &place in places {
            if self.end_slot(call, place) {
                self.try_later(now, place, Cause::Useless);
            }
        }
    }

    /// The partition, if this call asked for it and it was not answered yet.
    fn asked(&mut self, call: CallId, topic: &Arc<str>, partition: i32) -> Option<usize> {
        let place = self.places.get(&(topic.clone(), partition)).copied()?;
        self.end_slot(call, place).then_some(place)
    }

    /// Whether the partition still waited for this call; whoever sought another offset does not.
    fn end_slot(&mut self, call: CallId, place: usize) -> bool {
        let waited = self.slots[place].call == Some(call);
        if waited {
            self.slots[place].call = None;
        }
        waited
    }

    fn take_records(&mut self, now: Tick, place: usize, answer: PartitionData, out: &mut Vec<Effect>) {
        let code = ErrorCode::told(answer.error_code);
        let log_start = Offset::from_wire(answer.log_start_offset);
        let end = Offset::from_wire(match self.config.isolation {
            Isolation::ReadUncommitted => answer.high_watermark,
            Isolation::ReadCommitted => answer.last_stable_offset,
        });
        match code {
            ErrorCode::None => {}
            // A replica may lag behind or lead in deleting: only the leader can tell that an offset is lost.
            ErrorCode::OffsetOutOfRange if self.slots[place].asked_nearby => {
                self.slots[place].nearest = None;
                // The leader may name the same one again.
                if !self.slots[place].may_hurry() {
                    self.try_later(now, place, Cause::Refused(code));
                }
                return;
            }
            ErrorCode::OffsetOutOfRange => return self.out_of_range(now, place, log_start, end, out),
            code => return self.refused(now, place, code, out),
        }
        let slot = &mut self.slots[place];
        slot.unknown_since = None;
        (slot.out_of_range, slot.is_counted_back) = (self.config.out_of_range, false);
        // A follower hears of the end from its leader, and may know less than we do.
        slot.high_watermark = if slot.asked_nearby { end.max(slot.high_watermark) } else { end };
        let was_empty = slot.waiting.is_empty();
        let had_reached_end = slot.has_reached_end;
        let (mut damage, mut is_of_use) = (None, true);
        let is_sent_on = 0 <= answer.preferred_read_replica;
        if is_sent_on {
            let lease_ms = self.config.nearest_age_max_ms.max(NEAREST_MS_MIN);
            slot.nearest = Some((BrokerId(answer.preferred_read_replica), now.after_ms(lease_ms)));
        }
        if let Some(Records::Bytes(run)) = answer.records {
            let mut aborted = match self.config.isolation {
                Isolation::ReadUncommitted => None,
                Isolation::ReadCommitted => Some(Aborted::new(answer.aborted_transactions)),
            };
            let before = slot.position;
            damage = slot.queue(&run, aborted.as_mut(), &mut self.waiting_bytes);
            is_of_use = run.is_empty() || slot.position != before;
        }
        if is_of_use && !is_sent_on {
            slot.was_read();
            self.told.is_over(place);
        }
        // Who sends again and again what was not asked for is asked at leisure.
        let is_in_vain = !is_of_use && !slot.may_hurry();
        slot.note_end();
        if was_empty && !slot.waiting.is_empty() && !slot.is_paused {
            self.readable.push_back(place);
            out.push(Effect::Readable);
        } else if slot.has_reached_end && !had_reached_end {
            out.push(Effect::Readable);
        }
        if let Some(cause) = damage {
            self.stop(place, cause);
            out.push(Effect::Readable);
        } else if is_in_vain {
            self.try_later(now, place, Cause::Useless);
        }
    }

    /// What was read was written up to `read_epoch`. The leader's log has that epoch up to `end`, or, if it never had it, an older one.
    fn compare(&mut self, place: usize, epoch: Option<LeaderEpoch>, end: Offset, out: &mut Vec<Effect>) {
        let slot = &mut self.slots[place];
        slot.must_validate = false;
        let Position::At(position) = slot.position else { return };
        if position <= end {
            return;
        }
        let read_to = slot.handed_to;
        self.drop_waiting(place);
        let slot = &mut self.slots[place];
        slot.read_epoch = epoch;
        if end < read_to {
            let cause = Cause::Truncated { read_to, end };
            if slot.out_of_range == OutOfRange::Fail {
                self.stop(place, cause);
                out.push(Effect::Readable);
                return;
            }
            (slot.handed_to, slot.lost) = (end, Some(cause));
        }
        slot.position = Position::At(slot.handed_to);
        out.extend(slot.reset().map(Effect::Reset));
    }

    fn out_of_range(
        &mut self,
        now: Tick,
        place: usize,
        log_start: Option<Offset>,
        end: Option<Offset>,
        out: &mut Vec<Effect>,
    ) {
        let slot = &mut self.slots[place];
        let Position::At(wanted) = slot.position else { return };
        let cause = Cause::OutOfRange { wanted, log_start, end };
        match slot.out_of_range {
            OutOfRange::Earliest => slot.position = Position::Find(Start::Earliest),
            OutOfRange::Latest => slot.position = Position::Find(Start::Latest),
            OutOfRange::Fail => {
                self.stop(place, cause);
                out.push(Effect::Readable);
                return;
            }
        }
        let slot = &mut self.slots[place];
        slot.lost = (!slot.is_counted_back).then(|| cause.clone());
        if !slot.may_hurry() {
            self.try_later(now, place, cause);
        }
    }

    fn refused(&mut self, now: Tick, place: usize, code: ErrorCode, out: &mut Vec<Effect>) {
        self.slots[place].nearest = None;
        if matches!(code, ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId) {
            self.unknown(now, place, Cause::Unknown, out);
        } else if code.is_retriable() && code != ErrorCode::CorruptMessage {
            // A leader whose own records are damaged says so again and again.
            self.try_later(now, place, Cause::Refused(code));
        } else {
            self.stop(place, Cause::Refused(code));
            out.push(Effect::Readable);
            return;
        }
        out.push(Effect::RefreshMetadata);
    }
}

fn is_about_session(code: ErrorCode) -> bool {
    use ErrorCode as E;
    matches!(code, E::FetchSessionIdNotFound | E::InvalidFetchSessionEpoch | E::FetchSessionTopicIdError)
}
