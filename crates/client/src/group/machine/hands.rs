//! What the application has in hand: handed out, and not done until it asks for more.

use std::collections::BTreeMap;

use klamm_model::{LeaderEpoch, Offset, Tick};

use super::super::effect::{Effect, ReaderId};
use super::Machine;
use crate::PartitionName;
use crate::admin::CommittedOffset;
use crate::consumer::{FetchedBatch, Start};

/// Where a partition is read next, and the epoch of what is before, as far as is known.
pub(super) type Place = (Offset, Option<LeaderEpoch>);

/// A batch that one reader of the application has.
#[derive(Debug)]
pub(super) struct Hand {
    pub(super) name: PartitionName,
    epoch: Option<LeaderEpoch>,
    /// Up to here it is done.
    pub(super) done: Place,
    /// Up to here it was handed out, where that goes record by record.
    handed: Option<Place>,
}

impl Machine {
    pub(super) fn hold(&mut self, reader: ReaderId, batch: &FetchedBatch) {
        let name = PartitionName { topic: batch.topic.clone(), partition: batch.partition };
        let epoch = batch.view().ok().and_then(|view| view.header().leader_epoch);
        let done = (batch.from, self.reader.epoch_before(&name));
        self.hands.insert(reader, Hand { name, epoch, done, handed: None });
    }

    /// The reader hands out the batch it took record by record: nothing of it so far.
    pub fn hand_out_records(&mut self, reader: ReaderId) {
        if let Some(hand) = self.hands.get_mut(&reader) {
            hand.handed = Some(hand.done);
        }
    }

    /// The reader hands out the record before this offset, and is done with those before that. `false` if the batch does not count any more:
    /// its partition was given up, or is read elsewhere now.
    pub fn hand_out_record(&mut self, now: Tick, reader: ReaderId, next: Offset) -> bool {
        let Some(hand) = self.hands.get_mut(&reader) else { return false };
        hand.done = hand.handed.unwrap_or(hand.done);
        hand.handed = Some((next, hand.epoch));
        self.busy_since = Some(now);
        true
    }

    /// The reader goes away: what it took and did not hand out is read again by others.
    pub fn let_go(&mut self, reader: ReaderId) {
        self.is_done(reader);
        let Some(Hand { name, handed: Some((handed, epoch)), .. }) = self.hands.remove(&reader) else {
            return;
        };
        if self.reader.handed_to(&name).is_some_and(|(taken, _)| handed < taken) {
            self.reader.go_to(&name, Start::At(handed), epoch);
        }
    }

    /// Reads a partition from there on; what was fetched or handed out before does not count any more. Says whether it is one of ours.
    pub fn seek(&mut self, name: &PartitionName, to: Start) -> bool {
        self.hands.retain(|_, hand| hand.name != *name);
        !self.is_leaving(name) && self.reader.seek(&name.topic, name.partition, to)
    }

    /// Leaves the partition alone while it is paused. Says whether it is one of ours.
    pub fn pause(&mut self, name: &PartitionName, is_paused: bool) -> bool {
        self.reader.pause(&name.topic, name.partition, is_paused)
    }

    /// Up to where each partition that it has was handed out: records before that are not read again.
    pub fn positions(&self) -> BTreeMap<PartitionName, CommittedOffset> {
        self.places(|hand| hand.handed)
    }

    /// Up to where the application is done.
    pub(super) fn done(&self) -> BTreeMap<PartitionName, CommittedOffset> {
        self.places(|hand| Some(hand.done))
    }

    /// The epoch of the record before this offset, if the application is there or was handed that record last.
    pub(super) fn epoch_up_to(&self, name: &PartitionName, offset: Offset) -> Option<LeaderEpoch> {
        let hands = self.hands.values().filter(|hand| hand.name == *name);
        let in_hands = hands.flat_map(|hand| hand.handed.into_iter().chain([hand.done]));
        let mut all = in_hands.chain(self.reader.handed_to(name)).chain(self.leaving_place(name));
        all.find_map(|(at, epoch)| epoch.filter(|_| at == offset))
    }

    fn places(&self, of_hand: impl Fn(&Hand) -> Option<Place>) -> BTreeMap<PartitionName, CommittedOffset> {
        let places = self.owned.iter().filter_map(|name| {
            let (offset, leader_epoch) = match self.leaving_place(name) {
                Some(place) => place,
                None => {
                    let hands = self.hands.values().filter(|hand| hand.name == *name);
                    let in_hand = hands.filter_map(&of_hand).min_by_key(|(offset, _)| *offset);
                    in_hand.or_else(|| self.reader.handed_to(name))?
                }
            };
            Some((name.clone(), CommittedOffset { offset, leader_epoch, metadata: String::new() }))
        });
        places.collect()
    }

    /// Where a partition is that is to be given up: nothing more is handed out of it.
    pub(super) fn take_place(&mut self, name: &PartitionName) -> Option<Place> {
        let hands = self.hands.values().filter(|hand| hand.name == *name);
        let handed = hands.filter_map(|hand| hand.handed).min_by_key(|(offset, _)| *offset);
        let place = handed.or_else(|| self.reader.handed_to(name));
        self.hands.retain(|_, hand| hand.name != *name);
        place
    }

    pub(super) fn has_something(&self) -> bool {
        !self.events.is_empty() || self.failed.is_some() || self.reader.is_readable()
    }

    /// Whoever is busy for too long is not waited for: others get its partitions.
    pub(super) fn look_at_application(&mut self, now: Tick, out: &mut Vec<Effect>) {
        let Some(since) = self.busy_since.filter(|_| self.wants_in()) else { return };
        let until = since.after_ms(self.config.poll_interval_max_ms);
        if now < until {
            return self.wake_at(Some(until));
        }
        self.is_idle = true;
        out.push(Effect::Note("the application was busy for longer than max.poll.interval.ms allows, and is out of its group until it asks for more"));
        self.leave_for_now("max.poll.interval.ms is over", out);
        self.lose(out);
    }
}
