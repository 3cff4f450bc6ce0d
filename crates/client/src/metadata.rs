//! What the client knows of the cluster, and when it asks again.
//!
//! [`Cluster`] is an immutable picture; [`MetadataCache`] owns the newest one and decides when to ask. It knows no sockets and no clock.
//! Invariant: the leader epoch of a partition never goes back while its topic stays the same, so that a late answer from a broker that
//! lags cannot send the client back to a leader which is gone (KIP-320); nor is a topic that was replaced by one of the same name soon taken for the newer one.

mod seen;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use klamm_model::{BrokerId, ErrorCode, Tick, TopicId};
use klamm_wire::{MetadataRequest, MetadataResponse, Request, metadata::MetadataRequestTopic};

use crate::backoff::Backoff;
use crate::partitioner::Random;
use seen::Seen;

/// The cluster as the brokers described it last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    /// The cluster's own id, if it said one.
    pub id: Option<String>,
    /// The active controller, if there is one.
    pub controller: Option<BrokerId>,
    /// Every live broker.
    pub brokers: BTreeMap<BrokerId, BrokerAddress>,
    /// The topics that somebody asked for.
    pub topics: BTreeMap<Arc<str>, Topic>,
    /// How often all topics were told, as they are while somebody asks for all: from one time to the next, what is new was made between them.
    pub all_told: u64,
}

/// Where a broker listens for clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerAddress {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The broker's rack, if it has one.
    pub rack: Option<String>,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its identity; [`TopicId::ZERO`] when the broker does not know ids.
    pub id: TopicId,
    /// Why the topic can't be described, else [`ErrorCode::None`].
    pub error: ErrorCode,
    /// Whether the cluster itself owns it.
    pub is_internal: bool,
    /// In the order of their numbers.
    pub partitions: Vec<Partition>,
}

/// One partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Partition {
    /// Who takes writes now; `None` while there is no leader.
    pub leader: Option<BrokerId>,
    /// Which leader that is; -1 when the broker does not say.
    pub leader_epoch: i32,
    /// Who holds a copy.
    pub replicas: Vec<BrokerId>,
    /// Who holds everything that is committed.
    pub in_sync: Vec<BrokerId>,
    /// Who is not there.
    pub offline: Vec<BrokerId>,
}

/// What a broker that was asked in vain says of who leads a partition (KIP-951).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderHint {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// Who leads it.
    pub leader: BrokerId,
    /// Since which election.
    pub leader_epoch: i32,
    /// Where that broker listens, if the answer says so.
    pub address: Option<BrokerAddress>,
}

impl LeaderHint {
    /// What an answer says, if anything: -1 means that the broker does not know.
    pub(crate) fn from_wire(
        topic: &Arc<str>,
        partition: i32,
        (leader, leader_epoch): (i32, i32),
        address: Option<BrokerAddress>,
    ) -> Option<Self> {
        let (topic, is_told) = (topic.clone(), 0 <= leader && 0 <= leader_epoch);
        is_told.then_some(Self { topic, partition, leader: BrokerId(leader), leader_epoch, address })
    }
}

/// As one connects to it: a numeric IPv6 address needs its brackets.
impl fmt::Display for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, .. } = self;
        let is_bare_ipv6 = host.contains(':') && !host.starts_with('[');
        if is_bare_ipv6 { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl BrokerAddress {
    pub(crate) fn from_wire(host: &str, port: i32, rack: &Option<String>) -> Option<Self> {
        // Nobody listens at port 0.
        let port = u16::try_from(port).ok().filter(|port| *port != 0)?;
        Some(Self { host: host.to_owned(), port, rack: rack.clone() })
    }
}

impl Cluster {
    /// The picture that an answer gives by itself.
    pub fn from_response(response: MetadataResponse) -> Self {
        let brokers = response
            .brokers
            .into_iter()
            .filter_map(|broker| {
                let address = BrokerAddress::from_wire(&broker.host, broker.port, &broker.rack)?;
                Some((BrokerId(broker.node_id), address))
            })
            .collect();
        let topics = response
            .topics
            .into_iter()
            .filter_map(|topic| {
                let name = Arc::from(topic.name?);
                let mut partitions =
                    vec![Partition { leader_epoch: -1, ..Partition::default() }; topic.partitions.len()];
                for partition in topic.partitions {
                    // Numbers are dense; whatever names a partition outside the count is ignored instead of believed.
                    let Some(place) = usize::try_from(partition.partition_index)
                        .ok()
                        .and_then(|index| partitions.get_mut(index))
                    else {
                        continue;
                    };
                    *place = Partition {
                        leader: (partition.leader_id >= 0).then_some(BrokerId(partition.leader_id)),
                        leader_epoch: partition.leader_epoch,
                        replicas: broker_ids(partition.replica_nodes),
                        in_sync: broker_ids(partition.isr_nodes),
                        offline: broker_ids(partition.offline_replicas),
                    };
                }
                let error = ErrorCode::told(topic.error_code);
                Some((name, Topic { id: topic.topic_id, error, is_internal: topic.is_internal, partitions }))
            })
            .collect();
        let controller = (response.controller_id >= 0).then_some(BrokerId(response.controller_id));
        Self { id: response.cluster_id, controller, brokers, topics, all_told: 0 }
    }

    /// The partition, if the topic and the number are known.
    pub fn partition(&self, topic: &str, partition: i32) -> Option<&Partition> {
        self.topics.get(topic)?.partitions.get(usize::try_from(partition).ok()?)
    }

    /// Who takes writes of the partition and in which epoch, as far as is known.
    pub fn leader(&self, topic: &str, partition: i32) -> Option<(BrokerId, i32)> {
        let partition = self.partition(topic, partition)?;
        Some((partition.leader?, partition.leader_epoch))
    }

    /// The topic's id, [`TopicId::ZERO`] while it is unknown.
    pub fn topic_id(&self, topic: &str) -> TopicId {
        self.topics.get(topic).map_or(TopicId::ZERO, |topic| topic.id)
    }

    /// The name of the topic with this id.
    pub fn topic_name(&self, id: TopicId) -> Option<&Arc<str>> {
        self.topics.iter().find(|(_, topic)| topic.id == id).map(|(name, _)| name)
    }

    /// Takes over what a newer answer says about the topics it covers, except where more is known already.
    fn merge(&self, newer: Self, seen: &BTreeMap<Arc<str>, Seen>) -> Self {
        let mut topics = self.topics.clone();
        let mut brokers = if newer.brokers.is_empty() { self.brokers.clone() } else { newer.brokers };
        for (name, mut topic) in newer.topics {
            let known = topics.remove(&name).filter(|known| known.id == topic.id);
            let seen = seen.get(&name);
            for (index, partition) in topic.partitions.iter_mut().enumerate() {
                let epoch = seen.map_or(-1, |seen| seen.epoch(topic.id, index));
                if epoch <= partition.leader_epoch {
                    continue;
                }
                // Whoever leads by now is not the one that is told.
                *partition =
                    known.as_ref().and_then(|known| known.partitions.get(index)).cloned().unwrap_or(
                        Partition { leader: None, leader_epoch: epoch, ..std::mem::take(partition) },
                    );
                // Who answers may not have heard of the leader's broker either.
                let leader = partition.leader.and_then(|leader| self.brokers.get_key_value(&leader));
                if let Some((&leader, address)) = leader {
                    brokers.entry(leader).or_insert_with(|| address.clone());
                }
            }
            topics.insert(name, topic);
        }
        Self {
            id: newer.id.or_else(|| self.id.clone()),
            controller: newer.controller,
            brokers,
            topics,
            all_told: self.all_told,
        }
    }
}

fn broker_ids(raw: Vec<i32>) -> Vec<BrokerId> {
    raw.into_iter().map(BrokerId).collect()
}

/// Asks for these topics, or for all.
pub fn metadata_request(topics: Option<Vec<Arc<str>>>, allow_auto_topic_creation: bool) -> Request {
    let topic = |name: Arc<str>| MetadataRequestTopic { name: Some(name.to_string()), ..Default::default() };
    let topics = topics.map(|topics| topics.into_iter().map(topic).collect());
    Request::Metadata(MetadataRequest { topics, allow_auto_topic_creation, ..MetadataRequest::default() })
}

/// Owns the newest [`Cluster`] and decides when a Metadata request is due.
#[derive(Debug)]
pub struct MetadataCache {
    cluster: Arc<Cluster>,
    seen: BTreeMap<Arc<str>, Seen>,
    wanted: BTreeSet<Arc<str>>,
    unanswered: BTreeSet<Arc<str>>,
    /// How many want to know of all topics.
    all_wanted: usize,
    state: State,
    stale: bool,
    failures: u32,
    backoff: Backoff,
    age_max_ms: u64,
    random: Random,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Resting { since: Option<Tick>, not_before: Tick },
    Asking { all: bool },
}

impl MetadataCache {
    /// An empty cache; the first question is due at once.
    pub fn new(backoff: Backoff, age_max_ms: u64, random: Random) -> Self {
        Self {
            cluster: Arc::default(),
            seen: BTreeMap::new(),
            wanted: BTreeSet::new(),
            unanswered: BTreeSet::new(),
            all_wanted: 0,
            state: State::Resting { since: None, not_before: Tick(0) },
            stale: true,
            failures: 0,
            backoff,
            age_max_ms,
            random,
        }
    }

    /// The newest picture.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// From now on the topic is kept up to date. Says whether that is news.
    pub fn want(&mut self, topic: &str) -> bool {
        if self.wanted.contains(topic) {
            return false;
        }
        let topic: Arc<str> = topic.into();
        self.wanted.insert(topic.clone());
        self.unanswered.insert(topic);
        true
    }

    /// From now on all topics are asked for, as often as the settings say and at once.
    pub fn want_all(&mut self) {
        self.all_wanted += 1;
        self.stale = true;
        if let State::Resting { since, not_before } = &mut self.state {
            (*since, *not_before) = (None, Tick(0));
        }
    }

    /// One of those who wanted all topics does so no more.
    pub fn want_all_no_more(&mut self) {
        self.all_wanted -= 1;
    }

    /// Whether all topics are to be asked for instead of those that [`ask`](Self::ask) names.
    pub fn wants_all(&self) -> bool {
        self.all_wanted > 0
    }

    /// The topic is no longer of interest (it was deleted).
    pub fn forget(&mut self, topic: &str) {
        self.wanted.remove(topic);
        self.unanswered.remove(topic);
        self.seen.remove(topic);
        if self.cluster.topics.contains_key(topic) {
            Arc::make_mut(&mut self.cluster).topics.remove(topic);
        }
    }

    /// Something that was believed proved wrong: ask again, but not more often than the back-off allows.
    pub fn mark_stale(&mut self) {
        self.stale = true;
    }

    /// Believes a hint that is newer than what is known, if it leads anywhere. Says whether it did.
    pub fn hint(&mut self, hint: LeaderHint) -> bool {
        let LeaderHint { topic, partition, leader, leader_epoch, address } = hint;
        let known = self.cluster.partition(&topic, partition).map(|known| known.leader_epoch);
        let is_newer = known.is_some_and(|known| known < leader_epoch);
        if !is_newer || (address.is_none() && !self.cluster.brokers.contains_key(&leader)) {
            return false;
        }
        let cluster = Arc::make_mut(&mut self.cluster);
        cluster.brokers.extend(address.map(|address| (leader, address)));
        let known = cluster.topics.get_mut(&topic).expect("it was found above");
        let place = &mut known.partitions[partition as usize];
        (place.leader, place.leader_epoch) = (Some(leader), leader_epoch);
        self.seen.entry(topic).or_default().note(known);
        true
    }

    /// The topics to ask for, if a question is due now. The caller must report how it went.
    pub fn ask(&mut self, now: Tick) -> Option<Vec<Arc<str>>> {
        if self.next_wake()? > now {
            return None;
        }
        self.state = State::Asking { all: self.wants_all() };
        self.stale = false;
        self.unanswered.clear();
        Some(self.wanted.iter().cloned().collect())
    }

    /// When [`ask`](Self::ask) will have a question; `None` while one is under way.
    pub fn next_wake(&self) -> Option<Tick> {
        let State::Resting { since, not_before } = self.state else {
            return None;
        };
        let Some(since) = since else {
            return Some(not_before);
        };
        if !self.unanswered.is_empty() && self.failures == 0 {
            return Some(Tick(0));
        }
        Some(if self.stale { not_before } else { since.after_ms(self.age_max_ms).max(not_before) })
    }

    /// An answer came. Topics that are about to exist (no leader yet, just created) are asked for again soon.
    pub fn answered(&mut self, now: Tick, response: MetadataResponse) {
        let mut newer = Cluster::from_response(response);
        let all: Option<BTreeSet<_>> =
            (self.state == State::Asking { all: true }).then(|| newer.topics.keys().cloned().collect());
        let told_count = newer.topics.len();
        newer
            .topics
            .retain(|name, topic| !self.seen.get_mut(name).is_some_and(|seen| seen.distrusts(now, topic)));
        let is_late = newer.topics.len() < told_count;
        let mut merged = self.cluster.merge(newer, &self.seen);
        merged.all_told += u64::from(all.is_some());
        // What nobody asked for is not kept, or a broker that tells of ever new topics would fill our memory.
        merged.topics.retain(|name, _| {
            let is_told = all.as_ref().map_or(self.wants_all(), |all| all.contains(name));
            is_told || self.wanted.contains(name)
        });
        let incomplete = is_late
            || self.wanted.iter().any(|name| {
                merged.topics.get(name).is_none_or(|topic| {
                    topic.error.is_retriable()
                        || topic.error == ErrorCode::UnknownTopicOrPartition
                        || topic.partitions.iter().any(|partition| partition.leader.is_none())
                })
            });
        self.cluster = Arc::new(merged);
        self.note_epochs();
        self.failures = if incomplete { self.failures.saturating_add(1) } else { 0 };
        let wait_us = self.backoff.wait_us(self.failures.max(1), &mut self.random);
        self.state = State::Resting { since: Some(now), not_before: Tick(now.0 + wait_us) };
        self.stale |= incomplete;
    }

    fn note_epochs(&mut self) {
        self.seen.retain(|name, _| self.cluster.topics.contains_key(name));
        for (name, topic) in &self.cluster.topics {
            match self.seen.get_mut(name) {
                Some(seen) => seen.note(topic),
                None => self.seen.entry(name.clone()).or_default().note(topic),
            }
        }
    }

    /// Nobody answered.
    pub fn failed(&mut self, now: Tick) {
        self.failures = self.failures.saturating_add(1);
        let wait_us = self.backoff.wait_us(self.failures, &mut self.random);
        self.state = State::Resting { since: Some(now), not_before: Tick(now.0 + wait_us) };
        self.stale = true;
    }
}
