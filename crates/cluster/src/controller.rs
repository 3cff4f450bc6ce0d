//! The controller: the one node that decides what changes in the cluster.
//!
//! It looks at the image after everything it has **appended** (proposed, maybe not yet committed), so that two commands before one commit do not decide on the
//! same past. A decision is records and an answer; the caller appends the records here, proposes them, and lets the answer go once they are committed. A
//! controller is dropped when its node leads no more: nothing is ever undone.
//!
//! What is not in the image are the sessions of brokers, when each was last heard of, and who said that it has nothing of a partition that nobody leads. They live and die
//! with the controller.

use std::collections::BTreeMap;

use bytes::Bytes;
use klamm_model::{BrokerId, ControllerEpoch, Tick};
use uuid::Uuid;

use crate::features::Supported;
use crate::image::Image;
use crate::record::{self, Record};

mod balance;
mod brokers;
mod command;
mod configs;
mod durability;
mod elections;
mod emptiness;
mod features;
mod internal_topics;
mod leaders;
mod new_partitions;
mod partitions;
mod placement;
mod quotas;
mod reassign;
mod sessions;
mod topics;

pub use brokers::PRODUCER_ID_BLOCK;
pub use command::*;
pub use topics::PARTITIONS_OF_REQUEST_MAX;

use balance::Balance;
use elections::Elections;
use emptiness::Emptiness;
use sessions::Sessions;

/// What an operator may set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ControllerConfig {
    /// A broker that was not heard of for so long is fenced.
    pub session_timeout_ms: u64,
    /// Partitions of a topic whose creator left that open.
    pub num_partitions: u32,
    /// Replicas of a topic whose creator left that open; `None`: three, or as many as there are brokers.
    pub default_replication_factor: Option<u16>,
    /// The largest group of records that the consensus engine takes at once.
    pub entry_bytes_max: usize,
    /// Whether clients may delete topics.
    pub delete_topics: bool,
    /// How often preferred leaders are elected where others lead; `None`: only when somebody asks for it.
    pub balance_interval_ms: Option<u64>,
    /// Topics of the cluster's own, with how many replicas they are to have: fewer where there are fewer brokers, and more as brokers join.
    pub internal_topics: BTreeMap<String, u16>,
    /// The feature levels that this node supports.
    pub supported: Supported,
    /// Whether this node is a broker too: it would have no session with itself.
    pub is_broker: bool,
    /// Given at start. Topics have defaults from there, under brokers' names.
    pub given: BTreeMap<String, String>,
}

impl Default for ControllerConfig {
    fn default() -> Self {
        Self {
            session_timeout_ms: 1_000,
            num_partitions: 1,
            default_replication_factor: None,
            entry_bytes_max: 900_000,
            delete_topics: true,
            balance_interval_ms: Some(300_000),
            internal_topics: BTreeMap::new(),
            supported: Supported::ours(),
            is_broker: true,
            given: BTreeMap::new(),
        }
    }
}

/// Another node, as the consensus engine's connection to it shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sighting {
    /// Whom.
    pub id: BrokerId,
    /// Which process of it.
    pub incarnation: Uuid,
    /// How long ago it last showed that it is there.
    pub silent_ms: u64,
    /// There is no such process any more.
    pub is_gone: bool,
    /// The newest form of metadata that it reads.
    pub metadata_form: i16,
}

/// Records to append, and the answer once everything appended so far is committed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    /// Applied together or not at all. May be empty.
    pub records: Vec<Record>,
    /// What to tell whoever asked.
    pub reply: Reply,
}

/// The decider of one controller epoch.
#[derive(Debug)]
pub struct Controller {
    config: ControllerConfig,
    me: BrokerId,
    seed: u64,
    image: Image,
    sessions: Sessions,
    balance: Balance,
    emptiness: Emptiness,
    /// The newest form of metadata that each node reads which the engine's connections show. Those that are no brokers have told it nowhere else.
    forms: BTreeMap<BrokerId, i16>,
    /// Whether all partitions that could have a leader have one.
    is_checked: bool,
    /// Internal topics lack replicas that there are brokers for.
    may_raise: bool,
}

impl Controller {
    /// For the node that began the image's epoch. `seed` makes topic ids that nobody else makes, and spreads partitions.
    pub fn new(config: ControllerConfig, me: BrokerId, seed: u64, now: Tick, image: Image) -> Self {
        assert_eq!(image.controller(), Some(me), "a controller starts after its own first entry was applied");
        let own = config.is_broker.then_some(me);
        let sessions = Sessions::new(now, config.session_timeout_ms, own, &image);
        let balance = Balance::new(now, config.balance_interval_ms);
        let emptiness = Emptiness::default();
        let mut begun = Self {
            config,
            me,
            seed,
            image,
            sessions,
            balance,
            emptiness,
            forms: BTreeMap::new(),
            is_checked: false,
            may_raise: false,
        };
        begun.may_raise = !begun.raise_internal_topics().is_empty();
        begun
    }

    /// Decides on a command. Changes nothing but what is known of brokers' sessions: the image moves by [`Self::append`] alone.
    pub fn decide(&mut self, now: Tick, command: &Command) -> Decision {
        self.sessions.observe(now);
        match command {
            Command::CreateTopics(it) => self.create_topics(it),
            Command::DeleteTopics(it) => self.delete_topics(it),
            Command::RegisterBroker(it) => self.register_broker(it),
            Command::Heartbeat(it) => self.heartbeat(now, it),
            Command::AlterPartitions(it) => self.alter_partitions(it),
            Command::ReplicasOffline(it) => self.replicas_offline(it),
            Command::AllocateProducerIds(it) => self.allocate_producer_ids(it),
            Command::AlterConfigs(it) => self.alter_configs(it),
            Command::CreatePartitions(it) => self.create_partitions(it),
            Command::ElectLeaders(it) => self.elect_leaders(it),
            Command::AlterReassignments(it) => self.alter_reassignments(it),
            Command::ListReassignments(it) => self.list_reassignments(it.as_ref()),
            Command::UnregisterBroker(id) => self.unregister_broker(*id),
            Command::AlterQuotas(it) => self.alter_quotas(it),
            Command::UpdateFeatures(it) => self.update_features(it),
        }
    }

    /// The engine tells how it sees the other nodes. [`Self::tick`], due at once if one of them is gone, draws the consequences.
    pub fn sighted(&mut self, now: Tick, sightings: &[Sighting]) {
        self.sessions.observe(now);
        self.sessions.sighted(now, sightings, &self.image);
        // One that is not there may be back with a newer version, or never.
        let is_there = |it: &&Sighting| !it.is_gone && it.silent_ms < self.config.session_timeout_ms;
        self.forms = sightings.iter().filter(is_there).map(|it| (it.id, it.metadata_form)).collect();
    }

    /// What time alone brings about: brokers that fell silent are fenced, and others lead in their place; brokers that are there get what they are to have.
    pub fn tick(&mut self, now: Tick) -> Vec<Record> {
        self.sessions.observe(now);
        let expired = self.sessions.expired(now, &self.image);
        if !expired.is_empty() {
            self.sessions.gave_up(&expired);
            return self.elections().fence(&expired);
        }
        // An earlier controller may have failed between two entries of one decision.
        if !std::mem::replace(&mut self.is_checked, true) {
            return self.elections().elect();
        }
        let raised = self.raise_internal_topics();
        if raised.is_empty() { self.balance(now) } else { raised }
    }

    /// The rules of elections, for the cluster after everything appended.
    fn elections(&self) -> Elections<'_> {
        self.elections_in(&self.image)
    }

    /// The same, for the cluster as it is in another image.
    fn elections_in<'a>(&self, image: &'a Image) -> Elections<'a> {
        Elections::new(image, &self.config.given, self.sessions.full())
    }

    /// Takes decided records for given, and gives the payloads to propose, in this order and before those of any later decision. There is more than one only where
    /// brokers with very many partitions come or go; what comes of them is right between any two.
    ///
    /// The last one's metadata offset is [`Self::appended`], if this controller lives to see it committed.
    pub fn append(&mut self, now: Tick, records: &[Record]) -> Vec<Bytes> {
        let mut payloads = Vec::new();
        let mut may_lack = false;
        for (payload, part) in record::encode_split(records, self.config.entry_bytes_max) {
            let changes = self
                .image
                .apply_entry(self.appended() + 1, self.image.epoch(), part)
                .unwrap_or_else(|error| panic!("the controller decided on what does not fit: {error}"));
            may_lack |= !changes.brokers.is_empty() || !changes.partitions.is_empty();
            for id in changes.brokers {
                self.sessions.broker_changed(now, id, &self.image);
            }
            payloads.push(payload);
        }
        if may_lack {
            self.may_raise = !self.raise_internal_topics().is_empty();
        }
        payloads
    }

    /// The metadata offset of the last of these records, once they are appended.
    fn offset_after(&self, records: &[Record]) -> u64 {
        self.appended() + record::encode_split(records, self.config.entry_bytes_max).len() as u64
    }

    /// The metadata offset of the last appended entry. An answer may leave once the node's own image has applied it.
    pub fn appended(&self) -> u64 {
        self.image.applied().expect("a controller's image has its own first entry")
    }

    /// When [`Self::tick`] is due at the latest; `None` while no session can end. A moment in the past means at once.
    pub fn next_wake(&self) -> Option<Tick> {
        // Signs of life put the look at sessions off, again and again: what is to be done does not wait for that.
        if !self.is_checked || self.may_raise {
            return Some(Tick(0));
        }
        // Who is alone has nobody to share with.
        let balance =
            self.balance.next_wake().filter(|_| 1 < self.image.brokers().filter(|it| it.is_active()).count());
        self.sessions.next_wake(&self.image).into_iter().chain(balance).min()
    }

    /// The cluster after everything appended.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// The epoch this controller decides in.
    pub fn epoch(&self) -> ControllerEpoch {
        self.image.epoch()
    }

    /// The node it runs on.
    pub fn me(&self) -> BrokerId {
        self.me
    }
}

#[cfg(test)]
mod tests;
