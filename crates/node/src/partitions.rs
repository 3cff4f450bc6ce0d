//! The committed image becomes replicas: what this node is to hold, lead, follow or delete.

use std::sync::Arc;

use klamm_cluster::{
    Image,
    config::{Flush as FlushSetting, Layers, TopicConfig},
    image::{Partition, Topic},
    record::ConfigResource,
    topic_name,
};
use klamm_log::{Compaction, DiskAction, DiskOp, Flush, Log, LogConfig, OpId, Retention, compact::MILLION};
use klamm_model::{BrokerId, ErrorCode, LeaderEpoch, PartitionIndex, TopicId, TopicPartition};
use klamm_replica::{PartitionState, Replica, ReplicaConfig, Role};
use klamm_wire::{FetchResponse, ProduceResponse, fetch, produce};

use crate::{
    Effect, NodeConfig, Now,
    config::Given,
    coordinators::Kind,
    hosted::{Hosted, Settings},
    node::Node,
};

/// The settings of a topic that its log needs.
pub fn log_config(config: &TopicConfig) -> LogConfig {
    LogConfig {
        segment_bytes: config.segment_bytes,
        segment_ms: match config.cleanup.compact {
            // What grows is not compacted: it has to end in time.
            true => config.segment_ms.min(config.max_compaction_lag_ms),
            false => config.segment_ms,
        },
        segment_jitter_ms: config.segment_jitter_ms,
        segment_index_bytes: config.segment_index_bytes,
        index_interval_bytes: config.index_interval_bytes,
        retention: if config.cleanup.delete {
            Retention { age_ms_max: config.retention_ms, bytes_max: config.retention_bytes }
        } else {
            Retention::FOR_EVER
        },
        compaction: config.cleanup.compact.then(|| compaction(config)),
        file_delete_delay_ms: config.file_delete_delay_ms,
        flush: match config.flush {
            FlushSetting::Synced => Flush::Synced,
            FlushSetting::Relaxed { messages, interval_ms } => relaxed(messages, interval_ms),
        },
        ..LogConfig::default()
    }
}

fn compaction(config: &TopicConfig) -> Compaction {
    Compaction {
        delete_retention_ms: config.delete_retention_ms,
        lag_ms_min: config.min_compaction_lag_ms,
        lag_ms_max: config.max_compaction_lag_ms,
        dirty_millionths_min: (config.min_cleanable_dirty_ratio * f64::from(MILLION)) as u32,
        ..Compaction::default()
    }
}

/// Kafka's keys: with neither set, only much that waits is synced. A number of records is met by a bound on bytes.
fn relaxed(messages: u64, interval_ms: Option<u64>) -> Flush {
    let bounds = if messages == FLUSH_MESSAGES_NEVER { Flush::LAZY } else { Flush::RELAXED };
    let Flush::Relaxed { bytes_max, delay_ms_max } = bounds else { unreachable!("it is relaxed") };
    let delay_ms_max = interval_ms.map_or(delay_ms_max, |it| it.min(delay_ms_max));
    Flush::Relaxed { bytes_max, delay_ms_max }
}

/// `flush.messages` that no log reaches.
const FLUSH_MESSAGES_NEVER: u64 = i64::MAX as u64;

fn directory(topic: &str, partition: PartitionIndex) -> String {
    format!("{topic}-{partition}")
}

fn state(partition: &Partition) -> PartitionState {
    PartitionState {
        leader: partition.leader,
        leader_epoch: partition.leader_epoch,
        partition_epoch: partition.partition_epoch,
        isr: partition.isr.clone(),
        replicas: partition.replicas.clone(),
        others_eligible: !partition.elr.is_empty(),
        unclean: partition.recovering,
    }
}

impl Node {
    pub(crate) fn topic_id(&self, name: &str) -> Option<TopicId> {
        self.image.topic_named(name).map(|topic| topic.id)
    }

    /// Who leads instead, where that is why somebody is refused (KIP-951).
    pub(crate) fn leader_hint(
        &self,
        topic: Option<TopicId>,
        partition: PartitionIndex,
        code: ErrorCode,
    ) -> Option<(BrokerId, LeaderEpoch)> {
        let is_why = matches!(code, ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch);
        let topic = topic.filter(|_| is_why)?;
        let partition = self.image.partition(TopicPartition { topic, partition })?;
        // Whoever is refused here is not sent here.
        let leader = partition.leader.filter(|leader| *leader != self.config.broker_id);
        leader.map(|leader| (leader, partition.leader_epoch))
    }

    /// Whether a partition that is hosted here is so only until its log is gone: what is under way to a slow disk may take long.
    pub(crate) fn is_deleted(&self, key: TopicPartition) -> bool {
        let is_idle = self.hosted.get(&key).is_some_and(|it| matches!(it.replica.role(), Role::Idle));
        is_idle && self.image.topic(key.topic).is_none()
    }

    /// What to tell somebody who asks for a partition that this node does not have.
    pub(crate) fn why_not_hosted(&self, key: TopicPartition, by_id: bool) -> ErrorCode {
        match (self.image.topic(key.topic), self.image.partition(key)) {
            (None, _) if by_id => ErrorCode::UnknownTopicId,
            (None, _) | (Some(_), None) => ErrorCode::UnknownTopicOrPartition,
            (Some(_), Some(partition)) if partition.replicas.contains(&self.config.broker_id) => {
                // Damaged on this disk, or its directory is still another topic's.
                if self.damaged.contains(&key) {
                    ErrorCode::KafkaStorageError
                } else {
                    ErrorCode::NotLeaderOrFollower
                }
            }
            (Some(_), Some(_)) => ErrorCode::NotLeaderOrFollower,
        }
    }

    /// The settings of a topic's log on this broker.
    fn log_config(&mut self, config: &TopicConfig) -> LogConfig {
        let producer_expiration_ms = self.config.producer_id_expiration_ms;
        let mut log_config = LogConfig { producer_expiration_ms, ..log_config(config) };
        log_config.compaction = log_config.compaction.filter(|_| self.config.cleaner.enabled);
        if let Some(compaction) = &mut log_config.compaction {
            compaction.keys_bytes_max = self.config.cleaner.dedupe_bytes_max;
            self.cleaner.expect_work();
        }
        log_config
    }

    /// Whether what was given at start has topics synced only by and by, where nothing else says when.
    pub(crate) fn is_relaxed_at_start(&self) -> bool {
        let given = Layers { broker: None, cluster: None, given: &self.config.given.set };
        NodeConfig::topic_defaults(given).flush != FlushSetting::Synced
    }

    pub(crate) fn topic_config(&self, topic: &Topic) -> TopicConfig {
        TopicConfig::resolve(&topic.configs, &self.topic_defaults)
    }

    fn settings(&mut self, topic: &Topic, config: &TopicConfig) -> Settings {
        Settings {
            rules: self.rules.set(topic.id, config),
            is_internal: topic_name::is_internal(&topic.name),
            coordinates: Kind::of_topic(&topic.name),
            batch_size_max: config.max_message_bytes as usize,
        }
    }

    /// Makes this node's part of a partition what the image says.
    pub(crate) fn apply_partition(&mut self, now: Now, key: TopicPartition, out: &mut Vec<Effect>) {
        let (Some(topic), Some(partition)) = (self.image.topic(key.topic), self.image.partition(key)) else {
            return;
        };
        let (topic, partition) = (Arc::clone(topic), Arc::clone(partition));
        if !partition.replicas.contains(&self.config.broker_id) {
            // What was decided before this process registered may be undone by what comes: the replica may be back, and in sync, as of what is on disk.
            if self.my_epoch().is_none() {
                return;
            }
            // A reassignment takes a replica away only once those that stay are in sync.
            self.delete_partition(key, ErrorCode::NotLeaderOrFollower, out);
            return self.delete_unhosted(&topic.name, key, out);
        }
        if !self.hosted.contains_key(&key) {
            if self.leaving.contains_key(&(Arc::clone(&topic.name), key.partition)) {
                return;
            }
            self.host(key, &topic, &partition, out);
        }
        let mut state = state(&partition);
        let me = self.config.broker_id;
        // Until this process is registered, whatever the metadata let this broker lead was led by an earlier process. Records of that one may be gone here and
        // be on followers: nothing may be appended under its epoch. Registering brings a new one.
        if state.leader == Some(me) && self.my_epoch().is_none() {
            state.leader = None;
        }
        self.count_replicas(key, &topic, &partition, out);
        self.note_whether_lost(key, &topic, &partition);
        let Some(hosted) = self.hosted.get_mut(&key) else { return };
        let epoch_before = hosted.replica.leader_epoch();
        if hosted.replica.log().has_failed() {
            return self.stay_offline(key, &state, out);
        }
        let became = if state.leader == Some(me) {
            if !matches!(hosted.replica.role(), Role::Leader { .. }) {
                hosted.begin_to_stamp(now.wall);
                hosted.turned_away.led(self.awake.time());
            }
            hosted.replica.become_leader(now.tick, &state)
        } else {
            hosted.replica.become_follower(&state)
        };
        self.flush_ops(out);
        match became {
            Ok(progress) => {
                let role = self.hosted.get(&key).map(|hosted| hosted.replica.role());
                if matches!(role, Some(Role::Leader { .. })) {
                    self.isr_due.insert(key);
                }
                if epoch_before != Some(state.leader_epoch) {
                    // Who reads here, at the leader or at a follower, knows the partition under the epoch before.
                    self.wake_fetches(key, true);
                }
                tracing::debug!(partition = %key, topic = %topic.name, ?role, "partition changed");
                self.progressed(key, &progress, out);
                self.coordinate(now, key, out);
            }
            Err(error) => {
                tracing::error!(partition = %key, topic = %topic.name, %error, "this broker can't take its part");
            }
        }
    }

    fn replica_config(&self, config: &TopicConfig, partition: &Partition) -> ReplicaConfig {
        ReplicaConfig {
            lag_time_max_ms: self.config.replica_lag_time_max_ms,
            min_isr: config.min_insync_replicas(partition.replica_count()) as u32,
        }
    }

    /// Where nobody has set how many have to be in sync, that depends on how many replicas there are.
    fn count_replicas(
        &mut self,
        key: TopicPartition,
        topic: &Topic,
        partition: &Partition,
        out: &mut Vec<Effect>,
    ) {
        let Some(hosted) = self.hosted.get_mut(&key) else { return };
        hosted.replica_count = partition.replicas.len();
        if std::mem::replace(&mut hosted.min_isr_of, partition.replica_count()) == partition.replica_count() {
            return;
        }
        let replica_config = self.replica_config(&self.topic_config(topic), partition);
        let Some(hosted) = self.hosted.get_mut(&key) else { return };
        let progress = hosted.replica.set_config(replica_config);
        self.progressed(key, &progress, out);
    }

    /// The partition has changed, and the log here cannot be used: whoever leads now, it is not this replica, though it may have been.
    fn stay_offline(&mut self, key: TopicPartition, state: &PartitionState, out: &mut Vec<Effect>) {
        if state.leader != Some(self.config.broker_id)
            && let Some(hosted) = self.hosted.get_mut(&key)
        {
            let progress = hosted.replica.become_offline();
            self.progressed(key, &progress, out);
        }
    }

    fn host(&mut self, key: TopicPartition, topic: &Topic, partition: &Partition, out: &mut Vec<Effect>) {
        let config = self.topic_config(topic);
        let log_config = self.log_config(&config);
        let mut may_lack_from = None;
        let mut have_all = partition.isr.iter().chain(&partition.elr);
        let others_have_all = have_all.any(|replica| *replica != self.config.broker_id);
        if others_have_all && self.found.get(&key).is_some_and(|log| !log.damaged().is_empty()) {
            // They have what is missing here: it must neither lead nor be counted.
            self.found.remove(&key);
            self.adopt_damaged(key);
        }
        let is_settled = self.offline_replicas.take_settled(key);
        // An earlier process had it: what this one applies before it takes part is from before it came.
        let is_known_from_before = !is_settled && !self.is_active() && !self.sabotage.trusts_what_is_gone;
        let log = match self.found.remove(&key) {
            Some(log) if log.has_no_files() && is_known_from_before => {
                self.found.insert(key, log);
                return self.nothing_found(key, topic);
            }
            Some(mut log) => {
                // Nobody waited for the disk (F5, F49): whether something is gone cannot be known, from where on it would be can.
                if log_config.flush != Flush::Synced && self.config.previous_epoch.is_none() {
                    may_lack_from = Some(log.end());
                    tracing::warn!(partition = %key, topic = %topic.name, from = %log.end(), "the broker was not stopped cleanly and this topic is not synced: what was acknowledged from this offset on is lost, if the machine went down");
                }
                log.set_config(log_config);
                log.start(&mut self.ops);
                log
            }
            None if self.damaged.contains(&key) => {
                tracing::error!(partition = %key, topic = %topic.name, "the log is damaged; the partition is offline here");
                return;
            }
            None => {
                let name = directory(&topic.name, key.partition);
                if self.unclaimed.contains(&name) {
                    tracing::error!(partition = %key, topic = %topic.name, directory = name, "there are records that may be this partition's, and nothing says whose they are; it is offline here");
                    self.adopt_damaged(key);
                    return;
                }
                if is_known_from_before {
                    return self.nothing_found(key, topic);
                }
                Log::create_in(self.disks.place(), key, name, log_config, &mut self.ops)
            }
        };
        self.flush_ops(out);
        self.disks.hosted(log.log_dir());
        let replica_config = self.replica_config(&config, partition);
        let replica = Replica::new(self.config.broker_id, log, replica_config, self.sabotage);
        let settings = self.settings(topic, &config);
        let mut hosted = Hosted::new(Arc::clone(&topic.name), replica, settings);
        hosted.note_throttles(key, self.config.broker_id, &config);
        hosted.replica_count = partition.replicas.len();
        hosted.min_isr_of = partition.replica_count();
        hosted.may_lack_from = may_lack_from;
        let damaged = hosted.replica.log().damaged().to_vec();
        self.hosted.insert(key, hosted);
        damaged.iter().for_each(|range| self.tell_damage(key, range));
    }

    /// A crash right after a topic was created leaves nothing of a partition either, and nobody can tell that from a log that somebody removed. So the controller takes
    /// it out of what counts first, and others lead, who have at least as much.
    fn nothing_found(&mut self, key: TopicPartition, topic: &Topic) {
        if self.offline_replicas.not_found(key) {
            tracing::error!(partition = %key, topic = %topic.name, directory = directory(&topic.name, key.partition), "nothing of this partition was found on disk: it is fetched from others, and begins anew, empty, where nobody has any of it");
        }
    }

    /// A partition left this node by a committed decision: its topic was deleted, or it moved to others. Its log goes, and whoever waits is told `code`.
    pub(crate) fn delete_partition(&mut self, key: TopicPartition, code: ErrorCode, out: &mut Vec<Effect>) {
        let Some(hosted) = self.hosted.get_mut(&key) else { return };
        self.leaving.entry((Arc::clone(&hosted.name), key.partition)).or_default().insert(key);
        let progress = hosted.replica.delete(&mut self.ops);
        self.offline_replicas.has_leader_or_heir(key);
        self.flush_ops(out);
        self.fail_waits(key, None, code, out);
        self.lose_marks(key, None, code);
        self.fail_deletes(key, code, out);
        self.wake_fetches(key, true);
        self.progressed(key, &progress, out);
    }

    /// The same of a log on disk that no replica here has, for it is damaged, or its topic was deleted while this node was down. What stayed of it would be
    /// in the way of a topic of the same name.
    pub(crate) fn delete_unhosted(&mut self, name: &Arc<str>, key: TopicPartition, out: &mut Vec<Effect>) {
        if self.damaged.remove(&key) | self.found.remove(&key).is_some() {
            self.leaving.entry((Arc::clone(name), key.partition)).or_default().insert(key);
            self.ops.push(DiskOp { partition: key, id: OpId(1), action: DiskAction::DeletePartition });
            self.flush_ops(out);
        }
    }

    /// This process has just been registered, which is later than everything that an earlier one knew. Partitions that moved to others before are not to stay.
    pub(crate) fn leave_what_moved(&mut self, out: &mut Vec<Effect>) {
        let (image, me) = (self.image.clone(), self.config.broker_id);
        let has_moved =
            |key: &TopicPartition| image.partition(*key).is_some_and(|it| !it.replicas.contains(&me));
        let hosted: Vec<_> = self.hosted.keys().copied().filter(has_moved).collect();
        for key in hosted {
            self.delete_partition(key, ErrorCode::NotLeaderOrFollower, out);
        }
        let found: Vec<_> = self.found.keys().chain(&self.damaged).copied().filter(has_moved).collect();
        for key in found {
            if let Some(topic) = image.topic(key.topic) {
                self.delete_unhosted(&topic.name, key, out);
            }
        }
    }

    pub(crate) fn apply_config(&mut self, resource: &ConfigResource, out: &mut Vec<Effect>) {
        match resource {
            ConfigResource::Topic(id) => {
                if let Some(topic) = self.image.topic(*id).cloned() {
                    self.apply_topic_config(&topic, out);
                }
            }
            ConfigResource::Broker(id) if *id != self.config.broker_id => {}
            ConfigResource::Broker(_) | ConfigResource::BrokerDefault => {
                self.resolve_config();
                for topic in self.image.clone().topics() {
                    self.apply_topic_config(topic, out);
                }
            }
        }
    }

    /// Settings that were given at start, and over them what the metadata say now.
    pub(crate) fn resolve_config(&mut self) {
        let me = ConfigResource::Broker(self.config.broker_id);
        let set = [self.image.configs(ConfigResource::BrokerDefault), self.image.configs(me)];
        let mut config = self.started_with.clone();
        for (name, value) in set.into_iter().flatten().flat_map(|it| it.iter()) {
            config.take(name, value);
        }
        self.config = config;
        self.set_throttles();
        let layers = layers(&self.image, self.config.broker_id, &self.config.given);
        self.topic_defaults = NodeConfig::topic_defaults(layers);
        self.rules.set_common(&self.topic_defaults);
        self.configure_shards();
        self.view_is_stale = true;
    }

    fn apply_topic_config(&mut self, topic: &Topic, out: &mut Vec<Effect>) {
        let config = self.topic_config(topic);
        let settings = self.settings(topic, &config);
        let log_config = self.log_config(&config);
        for index in 0..topic.partitions.len() {
            let key = TopicPartition { topic: topic.id, partition: PartitionIndex(index as i32) };
            let replica_config = self.replica_config(&config, &topic.partitions[index]);
            let Some(hosted) = self.hosted.get_mut(&key) else { continue };
            hosted.settings = settings.clone();
            let was_throttled = hosted.throttled_leader;
            hosted.note_throttles(key, self.config.broker_id, &config);
            let is_free = was_throttled && !hosted.throttled_leader;
            hosted.replica.set_log_config(log_config);
            let progress = hosted.replica.set_config(replica_config);
            if is_free {
                // Nobody is to wait for what others have to pay.
                self.wake_feeds(key, true);
            }
            self.progressed(key, &progress, out);
        }
    }

    /// Addresses of the leaders that an answer points to (KIP-951), for clients of this listener.
    pub(crate) fn produce_leader_endpoints(&self, response: &ProduceResponse) -> Vec<produce::NodeEndpoint> {
        let partitions = response.responses.iter().flat_map(|topic| &topic.partition_responses);
        let leaders = partitions.map(|partition| partition.current_leader.leader_id);
        endpoints(&self.image, leaders)
            .map(|(node_id, host, port, rack)| produce::NodeEndpoint { node_id, host, port, rack })
            .collect()
    }

    /// The same for fetches.
    pub(crate) fn fetch_leader_endpoints(&self, response: &FetchResponse) -> Vec<fetch::NodeEndpoint> {
        let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
        let leaders = partitions.map(|partition| partition.current_leader.leader_id);
        endpoints(&self.image, leaders)
            .map(|(node_id, host, port, rack)| fetch::NodeEndpoint { node_id, host, port, rack })
            .collect()
    }
}

/// Where the values of a broker's keys come from.
pub(crate) fn layers<'a>(image: &'a Image, broker: BrokerId, given: &'a Given) -> Layers<'a> {
    let configs = |resource| image.configs(resource).map(|it| &**it);
    Layers {
        broker: configs(ConfigResource::Broker(broker)),
        cluster: configs(ConfigResource::BrokerDefault),
        given: &given.set,
    }
}

fn endpoints(
    image: &Image,
    leaders: impl Iterator<Item = i32>,
) -> impl Iterator<Item = (i32, String, i32, Option<String>)> {
    let ids: std::collections::BTreeSet<i32> = leaders.filter(|id| *id >= 0).collect();
    ids.into_iter().filter_map(|id| {
        let broker = image.broker(BrokerId(id))?;
        let listener = broker.listeners.iter().find(|it| it.name != crate::BROKER_LISTENER)?;
        Some((id, listener.host.clone(), i32::from(listener.port), broker.rack.clone()))
    })
}
