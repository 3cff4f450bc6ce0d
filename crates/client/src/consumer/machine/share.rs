//! Partitions that a group gives to this consumer and takes away again, while others go on.

use std::collections::BTreeSet;

use klamm_model::{LeaderEpoch, Offset};

use super::super::config::Start;
use super::super::effect::Effect;
use super::super::error::Cause;
use super::super::slot::Position;
use super::Machine;
use crate::PartitionName;

impl Machine {
    /// Reads the partition as soon as [`begin`](Self::begin) says from where.
    pub(crate) fn await_start(&mut self, name: &PartitionName) {
        self.add(name.topic.clone(), name.partition, Start::Earliest);
        let place = self.place(&name.topic, name.partition).expect("it was added");
        self.slots[place].position = Position::Awaited;
    }

    /// Whether it is not known yet from where the partition is to be read.
    pub(crate) fn awaits_start(&self, name: &PartitionName) -> bool {
        let place = self.place(&name.topic, name.partition);
        place.is_some_and(|place| self.slots[place].position == Position::Awaited)
    }

    /// Reads a partition that waits for it from there on, where what is before was written up to this epoch, as far as is known. Whoever
    /// sought another place meanwhile stays there.
    pub(crate) fn begin(&mut self, name: &PartitionName, start: Start, epoch: Option<LeaderEpoch>) {
        if self.awaits_start(name) {
            self.go_to(name, start, epoch);
        }
    }

    /// Reads the partition from there on, where what is before was written up to this epoch, as far as is known.
    pub(crate) fn go_to(&mut self, name: &PartitionName, start: Start, epoch: Option<LeaderEpoch>) {
        self.seek(&name.topic, name.partition, start);
        let Some(place) = self.place(&name.topic, name.partition) else { return };
        let leader = self.cluster.leader(&name.topic, name.partition);
        let slot = &mut self.slots[place];
        if let (Start::At(_), Some(_)) = (start, epoch) {
            // Since that was committed, the log may have lost what is before (KIP-320).
            (slot.read_epoch, slot.handed_epoch) = (epoch, epoch);
            slot.must_validate = leader.is_none_or(|(_, epoch)| 0 <= epoch);
        }
    }

    /// The partition can't be read, for this reason.
    pub(crate) fn give_up(&mut self, name: &PartitionName, cause: Cause, out: &mut Vec<Effect>) {
        if let Some(place) = self.place(&name.topic, name.partition) {
            self.stop(place, cause);
            out.push(Effect::Readable);
        }
    }

    /// Reads these partitions no more. What waited of them is dropped; late answers are ignored.
    pub(crate) fn drop_partitions(&mut self, gone: &BTreeSet<PartitionName>) {
        let is_gone = |topic: &std::sync::Arc<str>, partition| {
            gone.contains(&PartitionName { topic: topic.clone(), partition })
        };
        let mut numbers = Vec::with_capacity(self.slots.len());
        let mut kept = Vec::new();
        for slot in std::mem::take(&mut self.slots) {
            if is_gone(&slot.topic, slot.partition) {
                self.waiting_bytes -= slot.waiting_bytes;
                numbers.push(None);
            } else {
                numbers.push(Some(kept.len()));
                kept.push(slot);
            }
        }
        self.slots = kept;
        let renumbered = |place: &usize| numbers[*place];
        self.places = std::mem::take(&mut self.places)
            .into_iter()
            .filter_map(|(name, place)| Some((name, numbers[place]?)))
            .collect();
        self.readable = self.readable.iter().filter_map(renumbered).collect();
        for call in self.calls.values_mut() {
            call.slots = call.slots.iter().filter_map(renumbered).collect();
        }
        self.told.renumber(|place| numbers[place]);
        self.errors.retain(|error| !is_gone(&error.topic, error.partition));
    }

    /// Where the partition is read next by whoever takes its batches, and the epoch of what is before.
    pub(crate) fn handed_to(&self, name: &PartitionName) -> Option<(Offset, Option<LeaderEpoch>)> {
        let slot = &self.slots[self.place(&name.topic, name.partition)?];
        matches!(slot.position, Position::At(_)).then_some((slot.handed_to, slot.handed_epoch))
    }

    /// The epoch of what is before the batch that was handed out last.
    pub(crate) fn epoch_before(&self, name: &PartitionName) -> Option<LeaderEpoch> {
        self.slots[self.place(&name.topic, name.partition)?].epoch_before
    }

    /// Whether [`take`](Self::take) would find something.
    pub(crate) fn is_readable(&self) -> bool {
        !self.errors.is_empty() || !self.readable.is_empty()
    }
}
