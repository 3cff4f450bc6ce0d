//! The image: the sum of all committed metadata records, as one value.
//!
//! A clone is a few counted pointers, whatever the cluster's size, and never changes afterwards: whoever holds one reads a consistent cluster without a lock. A
//! change copies only the path to what it changes. Equal records in equal order give equal images on every node; nothing else goes in.
//!
//! Invariants: a partition's leader, if any, is in its in-sync set; the in-sync set and those eligible beside it have nobody in common, nobody whose log cannot
//! be used, and are within the replicas, and so is what a reassignment adds and removes; a topic's partitions are numbered without gaps; a name belongs to one topic.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet, Vector};
use klamm_model::{
    BrokerEpoch, BrokerId, ControllerEpoch, LeaderEpoch, PartitionEpoch, PartitionIndex, ProducerId, TopicId,
    TopicPartition,
};
use uuid::Uuid;

use crate::features::{self, Supported};
use crate::quota::{QuotaEntity, QuotaValue};
use crate::record::{BrokerState, ConfigResource, Listener};
use crate::topic_name::metric_name;

mod apply;
mod difference;
mod snapshot;

pub use apply::{Changes, ImageError};
pub use snapshot::SnapshotError;

/// Configs that were set, by key. What is not here has its default.
pub type Overrides = Arc<BTreeMap<String, String>>;

/// So many removed topics are remembered. A log of one that was removed before these is left alone by a broker that was not there then.
pub const REMOVED_TOPICS_MAX: usize = 10_000;

/// The cluster after some metadata offset.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Image {
    applied: Option<u64>,
    epoch: ControllerEpoch,
    controller: Option<BrokerId>,
    cluster_id: Option<Arc<str>>,
    next_producer_id: ProducerId,
    brokers: OrdMap<BrokerId, Arc<Broker>>,
    /// The data directories of brokers that were unregistered, as they were then.
    unregistered: OrdMap<BrokerId, Uuid>,
    topics: OrdMap<TopicId, Arc<Topic>>,
    names: OrdMap<Arc<str>, TopicId>,
    /// How the names look that could look like others.
    metric_names: OrdSet<(Arc<str>, TopicId)>,
    /// Topics that were removed, the last at the end.
    removed_topics: Vector<(TopicId, Arc<str>)>,
    partition_count: u64,
    broker_configs: OrdMap<ConfigResource, Overrides>,
    quotas: OrdMap<QuotaEntity, Arc<BTreeMap<String, QuotaValue>>>,
    /// Where somebody last changed when brokers sync, for topics that do not say so themselves.
    flush_changed: Option<u64>,
    /// At which levels the cluster is. Empty in one of before there were any.
    features: OrdMap<Arc<str>, i16>,
}

/// A registered broker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broker {
    /// Its number.
    pub id: BrokerId,
    /// This registration: the metadata offset of its record.
    pub epoch: BrokerEpoch,
    /// The process that registered.
    pub incarnation: Uuid,
    /// The data directory of that process.
    pub directory: Uuid,
    /// Where it can be reached.
    pub listeners: Vec<Listener>,
    /// Where it stands.
    pub rack: Option<String>,
    /// By what it was given at start, it waits for no disk where a topic does not ask for that.
    pub is_relaxed: bool,
    /// The feature levels that it supports.
    pub supported: Supported,
    /// The data directories of that process besides the first.
    pub other_directories: Vec<Uuid>,
    /// One that an earlier process had is not among them, and this broker has not taken part since: what was in it is gone, and it is still to say which replicas.
    pub has_lost_directory: bool,
    /// Its node may have a vote on metadata.
    pub may_vote: bool,
    /// Whether it takes part.
    pub state: BrokerState,
}

impl Broker {
    /// Whether it may lead, join in-sync sets and get new partitions.
    pub fn is_active(&self) -> bool {
        self.state == BrokerState::Active
    }

    /// Its address for those who use the listener of that name.
    pub fn listener(&self, name: &str) -> Option<&Listener> {
        self.listeners.iter().find(|it| it.name == name)
    }
}

/// A topic with its partitions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Topic {
    /// Its identity.
    pub id: TopicId,
    /// Its name.
    pub name: Arc<str>,
    /// By number.
    pub partitions: Vector<Arc<Partition>>,
    /// What was set for it.
    pub configs: Overrides,
    /// The metadata offset at which somebody last changed when it is synced, since it was created.
    pub flush_changed: Option<u64>,
}

impl Topic {
    /// One partition of it.
    pub fn partition(&self, index: PartitionIndex) -> Option<&Arc<Partition>> {
        self.partitions.get(usize::try_from(index.0).ok()?)
    }

    /// How many replicas its first partition has when no reassignment is under way, which is how many the topic was created with.
    pub fn replication_factor(&self) -> usize {
        self.partitions.front().map_or(0, |it| it.target().len())
    }
}

/// Who keeps a partition and who leads it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Partition {
    /// Where its replicas are, the preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// Which of them are in sync: a record is committed when they all have it. Empty at times where nobody leads.
    pub isr: Vec<BrokerId>,
    /// Which others have all committed records (KIP-966): they left when fewer than `min.insync.replicas` stayed, and without that many nothing is committed.
    pub elr: Vec<BrokerId>,
    /// Who had all committed records when last somebody had; the last leader, where nobody leads.
    pub last_known_elr: Vec<BrokerId>,
    /// A leader was elected that may lack committed records, and not all replicas have come to follow it or its successors.
    pub recovering: bool,
    /// Who leads; `None` while nobody can who is in sync or eligible.
    pub leader: Option<BrokerId>,
    /// Counts the leaders.
    pub leader_epoch: LeaderEpoch,
    /// Counts the changes.
    pub partition_epoch: PartitionEpoch,
    /// Which of the replicas are to come by a reassignment that is under way.
    pub adding: Vec<BrokerId>,
    /// Which of the replicas are to go by it.
    pub removing: Vec<BrokerId>,
    /// Whose logs cannot be used, by what their brokers say, until another process of theirs comes: a data directory has failed, or the log is damaged.
    pub offline: Vec<BrokerId>,
    /// So many replicas it is to get as brokers join; `None`: it has as many as were asked for, or as an operator has given it since.
    pub wanted_replicas: Option<u16>,
}

impl Partition {
    /// Whether its replicas are on their way to others (KIP-455).
    pub fn is_reassigning(&self) -> bool {
        !self.adding.is_empty() || !self.removing.is_empty()
    }

    /// How many replicas it has had before a reassignment that is under way and has in the end: those that are still to come do not count yet, and those that
    /// are to go no more.
    pub fn replica_count(&self) -> usize {
        self.replicas.len() - self.adding.len().max(self.removing.len())
    }

    /// The replicas it has in the end.
    pub fn target(&self) -> Vec<BrokerId> {
        self.replicas.iter().copied().filter(|id| !self.removing.contains(id)).collect()
    }

    /// Whether nobody leads, or is known to have what a leader needs.
    pub fn has_no_heir(&self) -> bool {
        self.leader.is_none() && self.isr.is_empty() && self.elr.is_empty()
    }
}

impl Image {
    /// The metadata offset of the last entry that went in.
    pub fn applied(&self) -> Option<u64> {
        self.applied
    }

    /// The controller epoch of the last entry that went in; 0 before the first.
    pub fn epoch(&self) -> ControllerEpoch {
        self.epoch
    }

    /// The node that began that epoch. It may have failed since.
    pub fn controller(&self) -> Option<BrokerId> {
        self.controller
    }

    /// The cluster's name.
    pub fn cluster_id(&self) -> Option<&Arc<str>> {
        self.cluster_id.as_ref()
    }

    /// The first producer id that was not given out.
    pub fn next_producer_id(&self) -> ProducerId {
        self.next_producer_id
    }

    /// One registered broker.
    pub fn broker(&self, id: BrokerId) -> Option<&Arc<Broker>> {
        self.brokers.get(&id)
    }

    /// The data directory of a broker that was unregistered, if it has not come back.
    pub fn unregistered(&self, id: BrokerId) -> Option<Uuid> {
        self.unregistered.get(&id).copied()
    }

    /// All registered brokers by number, the fenced ones too.
    pub fn brokers(&self) -> impl ExactSizeIterator<Item = &Arc<Broker>> {
        self.brokers.values()
    }

    /// One topic by its identity.
    pub fn topic(&self, id: TopicId) -> Option<&Arc<Topic>> {
        self.topics.get(&id)
    }

    /// One topic by its name.
    pub fn topic_named(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(self.names.get(name)?)
    }

    /// A topic that would look the same in metrics as one of this name.
    pub fn topic_that_looks_like(&self, name: &str) -> Option<&Arc<Topic>> {
        let looks: Arc<str> = metric_name(name)?.into();
        let (found, id) = self.metric_names.range((Arc::clone(&looks), TopicId::ZERO)..).next()?;
        self.topics.get(id).filter(|_| *found == looks)
    }

    /// Topics that were removed, the last [`REMOVED_TOPICS_MAX`] of them: whoever finds a log of one may delete it, however long it was away.
    pub fn removed_topics(&self) -> impl Iterator<Item = (TopicId, &Arc<str>)> {
        self.removed_topics.iter().map(|(id, name)| (*id, name))
    }

    /// All topics by name.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.topics_from("")
    }

    /// The topics whose names are not before `name`, by name.
    pub fn topics_from(&self, name: &str) -> impl Iterator<Item = &Arc<Topic>> {
        self.names
            .range::<_, str>((Bound::Included(name), Bound::Unbounded))
            .map(|(_, id)| self.topics.get(id).expect("a name leads to a topic"))
    }

    /// How many topics there are.
    pub fn topic_count(&self) -> usize {
        self.topics.len()
    }

    /// One partition.
    pub fn partition(&self, partition: TopicPartition) -> Option<&Arc<Partition>> {
        self.topic(partition.topic)?.partition(partition.partition)
    }

    /// All partitions, by topic id and number.
    pub fn partitions(&self) -> impl Iterator<Item = (TopicPartition, &Arc<Partition>)> {
        self.topics.values().flat_map(|topic| {
            topic.partitions.iter().zip(0..).map(|(partition, index)| {
                (TopicPartition { topic: topic.id, partition: PartitionIndex(index) }, partition)
            })
        })
    }

    /// The partitions that come after one, in that order; without one all of them.
    pub fn partitions_after(&self, last: Option<TopicPartition>) -> impl Iterator<Item = TopicPartition> {
        let first = last.map_or(TopicId::ZERO, |it| it.topic);
        let keys = self.topics.range(first..).flat_map(|(topic, it)| {
            (0..).zip(&it.partitions).map(|(index, _)| (*topic, PartitionIndex(index)))
        });
        let keys = keys.map(|(topic, partition)| TopicPartition { topic, partition });
        keys.skip_while(move |key| Some(*key) <= last)
    }

    /// How many partitions there are.
    pub fn partition_count(&self) -> u64 {
        self.partition_count
    }

    /// The metadata offset at which somebody last changed when brokers sync.
    pub fn flush_changed(&self) -> Option<u64> {
        self.flush_changed
    }

    /// What was set for a topic, a broker or all brokers.
    pub fn configs(&self, resource: ConfigResource) -> Option<&Overrides> {
        match resource {
            ConfigResource::Topic(id) => self.topics.get(&id).map(|topic| &topic.configs),
            ConfigResource::Broker(_) | ConfigResource::BrokerDefault => self.broker_configs.get(&resource),
        }
    }

    /// All client quotas by entity. None is empty.
    pub fn quotas(&self) -> impl Iterator<Item = (&QuotaEntity, &BTreeMap<String, QuotaValue>)> {
        self.quotas.iter().map(|(entity, quotas)| (entity, &**quotas))
    }

    /// The level of a feature that the cluster is at; 0 where it is off or not known.
    pub fn level(&self, feature: &str) -> i16 {
        match self.features.get(feature) {
            Some(level) => *level,
            None if self.features.is_empty() => features::before_levels(feature),
            None => 0,
        }
    }

    /// All levels that the cluster is at, without those that are 0.
    pub fn levels(&self) -> impl Iterator<Item = (&str, i16)> {
        let assumed: &[&'static str] = if self.features.is_empty() { &features::BEFORE_LEVELS } else { &[] };
        let assumed = assumed.iter().map(|name| -> &str { name });
        let names = self.features.keys().map(|name| -> &str { name }).chain(assumed);
        names.map(|name| (name, self.level(name))).filter(|(_, level)| *level != 0)
    }

    /// The quotas of one entity.
    pub fn quotas_of(&self, entity: &QuotaEntity) -> Option<&BTreeMap<String, QuotaValue>> {
        self.quotas.get(entity).map(|quotas| &**quotas)
    }
}

#[cfg(test)]
mod tests;
