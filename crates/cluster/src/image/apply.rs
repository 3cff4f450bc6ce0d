//! How a record changes the image, and what an entry changed.

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::Vector;
use klamm_model::{
    BrokerEpoch, BrokerId, ControllerEpoch, LeaderEpoch, PartitionEpoch, TopicId, TopicPartition,
};
use thiserror::Error;

use super::{Broker, Image, Overrides, Partition, REMOVED_TOPICS_MAX, Topic};
use crate::quota::{QuotaEntity, QuotaValue};
use crate::record::{BrokerState, ConfigResource, PartitionChange, Record, RegisterBroker};
use crate::topic_name::metric_name;

/// What an entry changed, for whoever follows the image. Look up the new state in the image.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    /// Another controller began.
    pub controller: bool,
    /// Brokers that registered, left or changed their state.
    pub brokers: BTreeSet<BrokerId>,
    /// Topics that are there now.
    pub topics_created: Vec<TopicId>,
    /// Topics that are gone, as they were.
    pub topics_removed: Vec<Arc<Topic>>,
    /// Partitions that are new or changed; those of removed topics are not among them.
    pub partitions: BTreeSet<TopicPartition>,
    /// What got other configs.
    pub configs: BTreeSet<ConfigResource>,
    /// The cluster is at other levels of features.
    pub features: bool,
}

/// A committed record does not fit the image. Whoever decided on it had another image, so one of the two is wrong and the node must stop.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ImageError {
    /// The entry is not the next one.
    #[error("metadata entry {got} was applied where {expected} must come")]
    OutOfOrder {
        /// The offset that must come next.
        expected: u64,
        /// The offset that came.
        got: u64,
    },
    /// An entry of a new epoch must begin it, and no other may.
    #[error("metadata entry of epoch {entry} does not fit epoch {current}: {what}")]
    WrongEpoch {
        /// The entry's epoch.
        entry: ControllerEpoch,
        /// The image's epoch.
        current: ControllerEpoch,
        /// In what way.
        what: &'static str,
    },
    /// The record does not fit what is there.
    #[error("{what}: {record:?}")]
    Unfit {
        /// In what way.
        what: &'static str,
        /// The record.
        record: Box<Record>,
    },
}

impl Image {
    /// Applies one accepted entry: all its records, or on an error none.
    pub fn apply_entry(
        &mut self,
        offset: u64,
        epoch: ControllerEpoch,
        records: &[Record],
    ) -> Result<Changes, ImageError> {
        let expected = self.applied.map_or(0, |it| it + 1);
        if offset != expected {
            return Err(ImageError::OutOfOrder { expected, got: offset });
        }
        let wrong_epoch = |what| Err(ImageError::WrongEpoch { entry: epoch, current: self.epoch, what });
        let begins = matches!(records.first(), Some(Record::Begin { epoch: begun, .. }) if *begun == epoch);
        if epoch < self.epoch {
            return wrong_epoch("it is older");
        }
        if begins != (self.epoch < epoch) {
            return wrong_epoch("an epoch begins with its first entry, and only with it");
        }
        if records.iter().skip(1).any(|it| matches!(it, Record::Begin { .. })) {
            return wrong_epoch("it begins twice");
        }
        let mut next = self.clone();
        next.applied = Some(offset);
        next.epoch = epoch;
        let mut changes = Changes::default();
        for record in records {
            next.apply(offset, record, &mut changes)
                .map_err(|what| ImageError::Unfit { what, record: Box::new(record.clone()) })?;
        }
        *self = next;
        Ok(changes)
    }

    fn apply(&mut self, offset: u64, record: &Record, changes: &mut Changes) -> Result<(), &'static str> {
        match record {
            Record::Begin { controller, .. } => {
                self.controller = Some(*controller);
                changes.controller = true;
            }
            Record::Cluster { id } => {
                if self.cluster_id.is_some() {
                    return Err("the cluster has a name");
                }
                self.cluster_id = Some(id.as_str().into());
            }
            Record::RegisterBroker(it) => self.register(offset, it, changes),
            Record::BrokerState { id, epoch, state } => {
                self.set_broker_state(*id, *epoch, *state, changes)?
            }
            Record::UnregisterBroker { id, epoch } => {
                let directory = self.registration(*id, *epoch)?.directory;
                self.brokers.remove(id);
                self.unregistered.insert(*id, directory);
                changes.brokers.insert(*id);
            }
            Record::Topic { name, id } => self.create_topic(name, *id, changes)?,
            Record::RemoveTopic { id } => self.remove_topic(*id, changes)?,
            Record::Partition { partition, replicas, isr, leader } => {
                let state = Partition {
                    replicas: replicas.clone(),
                    isr: isr.clone(),
                    elr: Vec::new(),
                    last_known_elr: Vec::new(),
                    recovering: false,
                    leader: *leader,
                    leader_epoch: LeaderEpoch(0),
                    partition_epoch: PartitionEpoch(0),
                    adding: Vec::new(),
                    removing: Vec::new(),
                    offline: Vec::new(),
                    wanted_replicas: None,
                };
                self.create_partition(*partition, state, changes)?;
            }
            Record::PartitionChange(change) => self.change_partition(change, changes)?,
            Record::Config { resource, key, value } => {
                self.set_config(offset, *resource, key, value.as_deref(), changes)?
            }
            Record::ProducerIds { broker, broker_epoch, next } => {
                self.registration(*broker, *broker_epoch)?;
                if *next <= self.next_producer_id {
                    return Err("these producer ids were given out before");
                }
                self.next_producer_id = *next;
            }
            Record::ClientQuota { entity, key, value } => self.set_quota(entity, key, *value),
            Record::Feature { name, level } => {
                self.features.insert(name.as_str().into(), *level);
                changes.features = true;
            }
        }
        Ok(())
    }

    fn register(&mut self, offset: u64, it: &RegisterBroker, changes: &mut Changes) {
        let is_missing =
            |known: &Broker| known.other_directories.iter().any(|id| !it.other_directories.contains(id));
        let has_lost_directory =
            self.brokers.get(&it.id).is_some_and(|known| known.has_lost_directory || is_missing(known));
        let broker = Broker {
            id: it.id,
            epoch: BrokerEpoch(i64::try_from(offset).expect("a metadata offset")),
            incarnation: it.incarnation,
            directory: it.directory,
            listeners: it.listeners.clone(),
            rack: it.rack.clone(),
            is_relaxed: it.is_relaxed,
            supported: it.supported.clone(),
            other_directories: it.other_directories.clone(),
            has_lost_directory,
            may_vote: it.may_vote,
            state: BrokerState::Fenced,
        };
        self.brokers.insert(it.id, Arc::new(broker));
        self.unregistered.remove(&it.id);
        changes.brokers.insert(it.id);
    }

    fn registration(&self, id: BrokerId, epoch: BrokerEpoch) -> Result<&Arc<Broker>, &'static str> {
        let broker = self.brokers.get(&id).ok_or("no such broker")?;
        if broker.epoch == epoch { Ok(broker) } else { Err("another registration of the broker holds") }
    }

    fn set_broker_state(
        &mut self,
        id: BrokerId,
        epoch: BrokerEpoch,
        state: BrokerState,
        changes: &mut Changes,
    ) -> Result<(), &'static str> {
        let mut broker = Broker { state, ..Broker::clone(self.registration(id, epoch)?) };
        // It has said by now what it lacks.
        broker.has_lost_directory &= !broker.is_active();
        self.brokers.insert(id, Arc::new(broker));
        changes.brokers.insert(id);
        Ok(())
    }

    pub(super) fn create_topic(
        &mut self,
        name: &str,
        id: TopicId,
        changes: &mut Changes,
    ) -> Result<(), &'static str> {
        let name: Arc<str> = name.into();
        if self.names.contains_key(&name) || self.topics.contains_key(&id) || id.is_zero() {
            return Err("the name or the id is taken");
        }
        self.names.insert(Arc::clone(&name), id);
        self.metric_names.extend(metric_name(&name).map(|looks| (looks.into(), id)));
        let topic =
            Topic { id, name, partitions: Vector::new(), configs: Overrides::default(), flush_changed: None };
        self.topics.insert(id, Arc::new(topic));
        changes.topics_created.push(id);
        Ok(())
    }

    fn remove_topic(&mut self, id: TopicId, changes: &mut Changes) -> Result<(), &'static str> {
        let topic = self.topics.remove(&id).ok_or("no such topic")?;
        self.names.remove(&topic.name);
        self.remember_removed(id, &topic.name);
        if let Some(looks) = metric_name(&topic.name) {
            self.metric_names.remove(&(looks.into(), id));
        }
        self.partition_count -= topic.partitions.len() as u64;
        changes.topics_created.retain(|it| *it != id);
        changes.partitions.retain(|it| it.topic != id);
        changes.configs.remove(&ConfigResource::Topic(id));
        changes.topics_removed.push(topic);
        Ok(())
    }

    pub(super) fn remember_removed(&mut self, id: TopicId, name: &Arc<str>) {
        self.removed_topics.push_back((id, Arc::clone(name)));
        if REMOVED_TOPICS_MAX < self.removed_topics.len() {
            self.removed_topics.pop_front();
        }
    }

    fn create_partition(
        &mut self,
        at: TopicPartition,
        partition: Partition,
        changes: &mut Changes,
    ) -> Result<(), &'static str> {
        check_partition(&partition)?;
        if partition.isr.is_empty() {
            return Err("nobody is in sync at the beginning");
        }
        let topic = Arc::make_mut(self.topics.get_mut(&at.topic).ok_or("no such topic")?);
        if usize::try_from(at.partition.0) != Ok(topic.partitions.len()) {
            return Err("it is not the topic's next partition");
        }
        topic.partitions.push_back(Arc::new(partition));
        self.partition_count += 1;
        changes.partitions.insert(at);
        Ok(())
    }

    fn change_partition(
        &mut self,
        change: &PartitionChange,
        changes: &mut Changes,
    ) -> Result<(), &'static str> {
        let topic = Arc::make_mut(self.topics.get_mut(&change.partition.topic).ok_or("no such topic")?);
        let index = change.partition.partition;
        let mut partition = Partition::clone(topic.partition(index).ok_or("no such partition")?);
        if change.partition_epoch.0 != partition.partition_epoch.0 + 1 {
            return Err("the partition has changed since");
        }
        if change.leader.is_some() != change.leader_epoch.is_some() {
            return Err("a leader and its epoch change together");
        }
        if change.leader_epoch.is_some_and(|it| it.0 != partition.leader_epoch.0 + 1) {
            return Err("the leader epoch is not the next one");
        }
        partition.partition_epoch = change.partition_epoch;
        partition.leader = change.leader.unwrap_or(partition.leader);
        partition.leader_epoch = change.leader_epoch.unwrap_or(partition.leader_epoch);
        if let Some(replicas) = &change.replicas {
            partition.replicas.clone_from(replicas);
        }
        if let Some(isr) = &change.isr {
            partition.isr.clone_from(isr);
        }
        if let Some(elr) = &change.elr {
            partition.elr.clone_from(elr);
        }
        if let Some(known) = &change.last_known_elr {
            partition.last_known_elr.clone_from(known);
        }
        partition.recovering = change.recovering.unwrap_or(partition.recovering);
        if let Some(adding) = &change.adding {
            partition.adding.clone_from(adding);
        }
        if let Some(removing) = &change.removing {
            partition.removing.clone_from(removing);
        }
        if let Some(offline) = &change.offline {
            partition.offline.clone_from(offline);
        }
        partition.wanted_replicas = change.wanted_replicas.unwrap_or(partition.wanted_replicas);
        check_partition(&partition)?;
        topic.partitions.set(usize::try_from(index.0).expect("it was found"), Arc::new(partition));
        changes.partitions.insert(change.partition);
        Ok(())
    }

    fn set_quota(&mut self, entity: &QuotaEntity, key: &str, value: Option<QuotaValue>) {
        let quotas = Arc::make_mut(self.quotas.entry(entity.clone()).or_default());
        match value {
            Some(value) => quotas.insert(key.to_owned(), value),
            None => quotas.remove(key),
        };
        if quotas.is_empty() {
            self.quotas.remove(entity);
        }
    }

    fn set_config(
        &mut self,
        offset: u64,
        resource: ConfigResource,
        key: &str,
        value: Option<&str>,
        changes: &mut Changes,
    ) -> Result<(), &'static str> {
        let overrides = match resource {
            ConfigResource::Topic(id) => {
                let topic = Arc::make_mut(self.topics.get_mut(&id).ok_or("no such topic")?);
                if key.starts_with("flush.") && !changes.topics_created.contains(&id) {
                    topic.flush_changed = Some(offset);
                }
                &mut topic.configs
            }
            ConfigResource::Broker(_) | ConfigResource::BrokerDefault => {
                if key.starts_with("log.flush.") {
                    self.flush_changed = Some(offset);
                }
                self.broker_configs.entry(resource).or_default()
            }
        };
        let set = Arc::make_mut(overrides);
        match value {
            Some(value) => set.insert(key.to_owned(), value.to_owned()),
            None => set.remove(key),
        };
        if set.is_empty() && !matches!(resource, ConfigResource::Topic(_)) {
            self.broker_configs.remove(&resource);
        }
        changes.configs.insert(resource);
        Ok(())
    }
}

pub(super) fn check_partition(it: &Partition) -> Result<(), &'static str> {
    let distinct = |brokers: &[BrokerId]| brokers.iter().collect::<BTreeSet<_>>().len() == brokers.len();
    let known = it.isr.iter().chain(&it.elr).chain(&it.last_known_elr);
    if !known.copied().all(|id| it.replicas.contains(&id)) {
        return Err("who is in sync or eligible is not one of the replicas");
    }
    let have_all: Vec<_> = it.isr.iter().chain(&it.elr).copied().collect();
    if !distinct(&it.replicas) || !distinct(&have_all) || !distinct(&it.last_known_elr) {
        return Err("a replica is named twice");
    }
    let moving: Vec<_> = it.adding.iter().chain(&it.removing).copied().collect();
    if !distinct(&moving) || !moving.iter().all(|id| it.replicas.contains(id)) {
        return Err("what a reassignment adds and removes is not a part of the replicas");
    }
    if it.leader.is_some_and(|leader| !it.isr.contains(&leader)) {
        return Err("the leader is not in sync");
    }
    if !distinct(&it.offline) || !it.offline.iter().all(|id| it.replicas.contains(id)) {
        return Err("whose logs cannot be used is not a part of the replicas");
    }
    if it.offline.iter().any(|id| have_all.contains(id)) {
        return Err("somebody whose log cannot be used is in sync or eligible");
    }
    // Kept from overflowing: an epoch that has no next one would stop the partition for ever, and only garbage gets there.
    let last = i32::MAX - 1;
    if last < it.partition_epoch.0 || last < it.leader_epoch.0 {
        Err("its epochs are used up")
    } else {
        Ok(())
    }
}
