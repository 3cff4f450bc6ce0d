//! The offsets that are kept for a group.
//!
//! Those of an open transaction lie apart until its marker comes. Then they count as of where they stand in the log, not as of where the marker stands: an offset
//! committed after them stays. (Kafka compares places in the log too, or compaction could change which one is left.)

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included, Unbounded};

use klamm_model::{Offset, PartitionIndex, ProducerId};

use crate::record::CommittedOffset;

#[derive(Debug, Default)]
pub(super) struct Offsets {
    settled: ByPartition,
    /// Of transactions that are open.
    open: BTreeMap<ProducerId, ByPartition>,
    /// How many were applied: orders them as the log does.
    applied: u64,
}

type ByPartition = BTreeMap<String, BTreeMap<PartitionIndex, Kept>>;

#[derive(Debug)]
struct Kept {
    value: CommittedOffset,
    /// Its place among all that were applied.
    place: u64,
}

impl Offsets {
    /// What a record says. `None` takes away what transactions would bring, too.
    pub(super) fn apply(
        &mut self,
        topic: &str,
        partition: PartitionIndex,
        value: Option<CommittedOffset>,
        transaction: Option<ProducerId>,
    ) {
        self.applied += 1;
        let place = self.applied;
        match (value, transaction) {
            (Some(value), None) => insert(&mut self.settled, topic, partition, Kept { value, place }),
            (Some(value), Some(producer)) => {
                insert(self.open.entry(producer).or_default(), topic, partition, Kept { value, place });
            }
            (None, _) => {
                remove(&mut self.settled, topic, partition);
                for offsets in self.open.values_mut() {
                    remove(offsets, topic, partition);
                }
                self.open.retain(|_, offsets| !offsets.is_empty());
            }
        }
    }

    pub(super) fn end_transaction(&mut self, producer: ProducerId, is_committed: bool) {
        let Some(offsets) = self.open.remove(&producer).filter(|_| is_committed) else { return };
        for (topic, partitions) in offsets {
            for (partition, kept) in partitions {
                if self.kept(&topic, partition).is_none_or(|it| it.place < kept.place) {
                    insert(&mut self.settled, &topic, partition, kept);
                }
            }
        }
    }

    pub(super) fn get(&self, topic: &str, partition: PartitionIndex) -> Option<&CommittedOffset> {
        self.kept(topic, partition).map(|it| &it.value)
    }

    /// A transaction that is not ended will change it.
    pub(super) fn is_unstable(&self, topic: &str, partition: PartitionIndex) -> bool {
        self.open.values().any(|offsets| offsets.get(topic).is_some_and(|it| it.contains_key(&partition)))
    }

    /// The partitions of which something counts, by topic.
    pub(super) fn settled(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = PartitionIndex>)> {
        self.settled.iter().map(|(topic, partitions)| (topic.as_str(), partitions.keys().copied()))
    }

    /// What counts of the partitions behind one, by topic and partition.
    pub(super) fn settled_after(
        &self,
        after: Option<(&str, PartitionIndex)>,
    ) -> impl Iterator<Item = (&str, PartitionIndex, Offset)> {
        let from = after.map_or(Unbounded, |(topic, _)| Included(topic));
        self.settled.range::<str, _>((from, Unbounded)).flat_map(move |(topic, partitions)| {
            let behind =
                after.filter(|(last, _)| last == topic).map_or(Unbounded, |(_, last)| Excluded(last));
            let each = partitions.range((behind, Unbounded));
            each.map(move |(index, kept)| (topic.as_str(), *index, kept.value.offset))
        })
    }

    /// The partitions of which anything is kept, by a transaction too; one may occur more than once.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, PartitionIndex)> {
        self.each().map(|(topic, partition, _)| (topic, partition))
    }

    /// All that is kept, by transactions too.
    pub(super) fn each(&self) -> impl Iterator<Item = (&str, PartitionIndex, &CommittedOffset)> {
        std::iter::once(&self.settled).chain(self.open.values()).flatten().flat_map(|(topic, partitions)| {
            partitions.iter().map(|(index, kept)| (topic.as_str(), *index, &kept.value))
        })
    }

    /// The same of one topic.
    pub(super) fn of_topic<'a>(
        &'a self,
        topic: &'a str,
    ) -> impl Iterator<Item = (PartitionIndex, &'a CommittedOffset)> {
        std::iter::once(&self.settled)
            .chain(self.open.values())
            .filter_map(move |offsets| offsets.get(topic))
            .flatten()
            .map(|(index, kept)| (*index, &kept.value))
    }

    /// The producer's transaction will change something.
    pub(super) fn is_changed_by(&self, producer: ProducerId) -> bool {
        self.open.contains_key(&producer)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.settled.is_empty() && self.open.is_empty()
    }

    /// Everything there is, for tests.
    #[cfg(test)]
    pub(super) fn values(&self) -> Vec<(Option<ProducerId>, &str, PartitionIndex, &CommittedOffset)> {
        let open = self.open.iter().map(|(producer, offsets)| (Some(*producer), offsets));
        let all = std::iter::once((None, &self.settled)).chain(open).flat_map(|(producer, offsets)| {
            offsets.iter().flat_map(move |(topic, partitions)| {
                partitions.iter().map(move |(index, it)| (producer, topic.as_str(), *index, &it.value))
            })
        });
        all.collect()
    }

    fn kept(&self, topic: &str, partition: PartitionIndex) -> Option<&Kept> {
        self.settled.get(topic)?.get(&partition)
    }
}

fn insert(offsets: &mut ByPartition, topic: &str, partition: PartitionIndex, kept: Kept) {
    match offsets.get_mut(topic) {
        Some(partitions) => drop(partitions.insert(partition, kept)),
        None => drop(offsets.insert(topic.to_owned(), BTreeMap::from([(partition, kept)]))),
    }
}

fn remove(offsets: &mut ByPartition, topic: &str, partition: PartitionIndex) {
    if let Some(partitions) = offsets.get_mut(topic) {
        partitions.remove(&partition);
        if partitions.is_empty() {
            offsets.remove(topic);
        }
    }
}
