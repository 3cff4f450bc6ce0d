//! Who leads when brokers come and go. Clean elections only: nobody leads a partition who is not in its in-sync set.
//!
//! - A broker that goes leaves the in-sync sets that have other members; of what it led, the first of the replicas that is in sync and takes part becomes leader.
//! - Where nobody would remain in sync, the set stays as it is and the partition has no leader, until one of the set comes back.
//! - A new leader starts with those of the in-sync set that take part: everybody in the set has all committed records, so that nothing is lost by it.
//!
//! Looks at all partitions on each such change: some tens of nanoseconds each, on a rare occasion.

use std::collections::BTreeSet;

use klamm_model::{BrokerId, LeaderEpoch, PartitionEpoch, TopicPartition};

use crate::image::{Image, Partition};
use crate::record::{BrokerState, PartitionChange, Record};

/// What makes these brokers fenced. Their state comes last: if a controller fails half-way, the next one finds brokers that take part and are silent.
pub(super) fn fence(image: &Image, ids: &BTreeSet<BrokerId>) -> Vec<Record> {
    let mut records = leave(image, ids);
    let brokers = ids.iter().filter_map(|id| image.broker(*id));
    records.extend(brokers.map(|it| Record::BrokerState {
        id: it.id,
        epoch: it.epoch,
        state: BrokerState::Fenced,
    }));
    records
}

/// What takes leadership and in-sync membership from these brokers.
pub(super) fn leave(image: &Image, ids: &BTreeSet<BrokerId>) -> Vec<Record> {
    image.partitions().filter_map(|(at, partition)| leave_partition(image, ids, at, partition)).collect()
}

fn leave_partition(
    image: &Image,
    ids: &BTreeSet<BrokerId>,
    at: TopicPartition,
    partition: &Partition,
) -> Option<Record> {
    let leader = partition.leader?;
    if !partition.isr.iter().any(|id| ids.contains(id)) {
        return None;
    }
    let takes_part = |id: BrokerId| !ids.contains(&id) && is_active(image, id);
    let staying: Vec<_> = partition.isr.iter().copied().filter(|id| !ids.contains(id)).collect();
    let next = partition.replicas.iter().copied().find(|id| staying.contains(id) && takes_part(*id));
    let change = Change {
        isr: (!staying.is_empty()).then_some(staying),
        leader: ids.contains(&leader).then_some(next),
        ..Change::default()
    };
    Some(change.record(at, partition))
}

/// What gives leaders to partitions that have none and could.
pub(super) fn elect(image: &Image) -> Vec<Record> {
    elect_when(image, |id| is_active(image, id))
}

/// The same, as if this broker took part already.
pub(super) fn elect_with(image: &Image, joining: BrokerId) -> Vec<Record> {
    elect_when(image, |id| id == joining || is_active(image, id))
}

fn elect_when(image: &Image, takes_part: impl Fn(BrokerId) -> bool) -> Vec<Record> {
    let leaderless = image.partitions().filter(|(_, partition)| partition.leader.is_none());
    leaderless.filter_map(|(at, partition)| elect_partition(at, partition, &takes_part)).collect()
}

/// What gives a leader to a partition that has none; `None` if nobody in sync can lead.
pub(super) fn elect_partition(
    at: TopicPartition,
    partition: &Partition,
    takes_part: impl Fn(BrokerId) -> bool,
) -> Option<Record> {
    let next = partition.replicas.iter().find(|id| partition.isr.contains(id) && takes_part(**id))?;
    let isr: Vec<_> = partition.isr.iter().copied().filter(|id| takes_part(*id)).collect();
    let isr = (isr != partition.isr).then_some(isr);
    Some(Change { isr, leader: Some(Some(*next)), ..Change::default() }.record(at, partition))
}

pub(super) fn is_active(image: &Image, id: BrokerId) -> bool {
    image.broker(id).is_some_and(|it| it.is_active())
}

/// A change of a partition, its epochs left to be counted.
#[derive(PartialEq, Default)]
pub(super) struct Change {
    pub(super) isr: Option<Vec<BrokerId>>,
    pub(super) leader: Option<Option<BrokerId>>,
    pub(super) replicas: Option<Vec<BrokerId>>,
    pub(super) adding: Option<Vec<BrokerId>>,
    pub(super) removing: Option<Vec<BrokerId>>,
}

impl Change {
    pub(super) fn record(self, at: TopicPartition, before: &Partition) -> Record {
        Record::PartitionChange(PartitionChange {
            partition: at,
            partition_epoch: PartitionEpoch(before.partition_epoch.0 + 1),
            leader_epoch: self.leader.map(|_| LeaderEpoch(before.leader_epoch.0 + 1)),
            leader: self.leader,
            isr: self.isr,
            replicas: self.replicas,
            adding: self.adding,
            removing: self.removing,
        })
    }
}
