//! Committed metadata comes in, and, while this node leads the quorum, decisions go out.
//!
//! An answer to a command leaves when the entry that it rests on was applied here (`Owed`): whoever is told "created" finds the topic, on this broker too.
//! A snapshot comes in place of many entries, and every so often the node offers one of its own (`snapshots`).

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use klamm_cluster::{
    Image,
    controller::{Command, Controller, ControllerConfig, Decision, Reply as Decided, Sighting},
    features::Supported,
    image::Changes,
    record::{self, Record, RecordError},
};
use klamm_model::{BrokerId, ControllerEpoch, ErrorCode, PartitionEpoch, Tick, TopicId, TopicPartition};
use klamm_quorum::{Accepted, Filter, Input, Output, Peer, Proposer, Registration, Verdict};

use crate::{
    ConnectionId, Effect, InternalTopic, NodeConfig, Now, ReplyTo,
    calls::Caller,
    coordinators::Kind,
    handlers,
    handlers::voters::Changing,
    news::{self, Decider, Elections, Fate, News},
    node::Node,
};
use snapshots::Snapshots;

mod snapshots;

/// What a node knows of the quorum.
#[derive(Debug)]
pub(crate) struct Metadata {
    seed: u64,
    filter: Filter,
    /// The engine delivered all that was committed before this start.
    live: bool,
    leader: Option<BrokerId>,
    leading: Option<Leading>,
    snapshots: Snapshots,
    /// How the engine saw the other nodes when it last told since this node leads the quorum: for the controller that is about to begin.
    seen: Vec<Peer>,
    /// Who waits for the engine to tell how the quorum is, by the version of the API; it has been asked when there is somebody.
    pub(crate) describing: Vec<(ReplyTo, i16)>,
    /// The metadata have what this node does not know: from there on it takes nothing.
    is_outdated: bool,
    /// A change of voters that the engine was asked for.
    pub(crate) changing: Option<Changing>,
    news: News,
}

/// This node's leadership of the quorum.
#[derive(Debug)]
struct Leading {
    proposer: Proposer,
    /// `None` until the entry that begins the epoch was applied.
    controller: Option<Controller>,
    owed: VecDeque<Owed>,
}

/// An answer that waits for a metadata offset.
#[derive(Debug)]
struct Owed {
    offset: u64,
    caller: Caller,
    reply: Decided,
}

impl Metadata {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            filter: Filter::default(),
            live: false,
            leader: None,
            leading: None,
            snapshots: Snapshots::default(),
            seen: Vec::new(),
            describing: Vec::new(),
            is_outdated: false,
            changing: None,
            news: News::default(),
        }
    }

    /// Whether the partitions here are what the image says.
    pub(crate) fn is_live(&self) -> bool {
        self.live
    }

    /// Whom to send what is for the controller.
    pub(crate) fn controller_id(&self) -> Option<BrokerId> {
        self.leader.filter(|_| self.live)
    }

    /// Whether somebody decides, this node or another.
    pub(crate) fn knows_controller(&self) -> bool {
        self.controller_id().is_some() && !self.leads_without_controller()
    }

    /// Whether this node decides.
    pub(crate) fn is_controller(&self) -> bool {
        self.leading.as_ref().is_some_and(|leading| leading.controller.is_some())
    }

    pub(crate) fn next_wake(&self) -> Option<Tick> {
        let controller = self.leading.as_ref().and_then(|it| it.controller.as_ref());
        let offer = self.snapshots.next_wake().filter(|_| self.live);
        let change = self.changing.as_ref().and_then(Changing::next_wake);
        let news = self.news.next_wake();
        controller.and_then(Controller::next_wake).into_iter().chain(offer).chain(change).chain(news).min()
    }

    /// A closed connection wants no answers.
    pub(crate) fn forget(&mut self, connection: ConnectionId) {
        self.describing.retain(|(to, _)| to.connection != connection);
        self.changing.iter_mut().for_each(|it| it.forget(connection));
        if let Some(leading) = &mut self.leading {
            leading.owed.retain(|owed| owed.caller.connection() != Some(connection));
        }
    }

    /// Leads the quorum, but must not decide yet.
    pub(crate) fn leads_without_controller(&self) -> bool {
        self.leading.as_ref().is_some_and(|leading| leading.controller.is_none())
    }
}

impl Node {
    /// News from the consensus engine.
    pub(crate) fn quorum(&mut self, now: Now, output: Output, out: &mut Vec<Effect>) {
        if self.metadata.is_outdated {
            return;
        }
        match output {
            Output::Committed(entry) => {
                match self.metadata.filter.take(&entry) {
                    Ok(Verdict::Accept(accepted)) => self.accept(now, &accepted, out),
                    Ok(Verdict::Ignore(why)) => {
                        tracing::debug!(index = entry.index, ?why, "metadata entry ignored")
                    }
                    // Going on would make this node's metadata differ from the others'.
                    Err(fault) => panic!("the metadata log is broken: {fault}"),
                }
                self.metadata.snapshots.grown(now.tick, entry.payload.len() as u64);
            }
            Output::Leader { epoch } => {
                self.resign(now, out);
                let me = self.config.broker_id;
                let mut proposer = Proposer::new(epoch);
                let begin = record::encode(&[Record::Begin { epoch, controller: me }]);
                propose(&mut proposer, &begin, out);
                self.metadata.leading = Some(Leading { proposer, controller: None, owed: VecDeque::new() });
                self.metadata.leader = Some(me);
                self.metadata.seen.clear();
                self.view_is_stale = true;
                self.go_live(now, out);
            }
            Output::NoLongerLeader => {
                self.resign(now, out);
                self.membership.waits_for_controller(now.tick);
                // Who leads now may have been told before: then nothing else would remind this broker of its sign of life.
                self.membership.controller_changed(now.tick);
                if self.metadata.leader == Some(self.config.broker_id) {
                    self.metadata.leader = None;
                }
                self.view_is_stale = true;
            }
            Output::LeaderIs { leader, epoch } => {
                // A hint may be late: the metadata themselves may know a newer controller by now, and nobody would take the hint back.
                let is_news = self.image.epoch() <= epoch && self.metadata.leader != leader;
                if is_news {
                    self.metadata.leader = leader;
                    self.controller_changed(now, out);
                    self.view_is_stale = true;
                }
                self.go_live(now, out);
            }
            Output::Snapshot(snapshot) => self.take_snapshot(now, &snapshot, out),
            Output::Peers(peers) => self.sighted(now, peers),
            Output::VotersChanged(result) => handlers::voters::changed(self, result, out),
            Output::Described(quorum) => handlers::quorum::described(self, now, &quorum, out),
        }
    }

    /// The controller decides on it when this step looks at the time.
    fn sighted(&mut self, now: Now, peers: Vec<Peer>) {
        let leading = self.metadata.leading.as_mut();
        if let Some(controller) = leading.and_then(|leading| leading.controller.as_mut()) {
            controller.sighted(now.tick, &sightings(&peers));
        } else {
            self.metadata.seen = peers;
        }
    }

    fn resign(&mut self, now: Now, out: &mut Vec<Effect>) {
        let Some(leading) = self.metadata.leading.take() else { return };
        for owed in leading.owed {
            // The decision may still be committed: nobody may be told that it was not.
            self.controller_failed(now, owed.caller, out);
        }
    }

    fn accept(&mut self, now: Now, accepted: &Accepted, out: &mut Vec<Effect>) {
        let records = match record::decode(&accepted.records) {
            Ok(records) => records,
            Err(error @ RecordError::UnknownType { .. }) => return self.outdated(error.to_string(), out),
            Err(error) => panic!("metadata entry {} can't be read: {error}", accepted.offset),
        };
        self.tell_of_registrations(&records, out);
        // What a start reads again is no news.
        let led = self.metadata.live.then(|| news::leaders_before(&self.image, &records));
        let changes = match self.image.apply_entry(accepted.offset, accepted.epoch, &records) {
            Ok(changes) => changes,
            Err(error) => panic!("metadata entry {} does not fit what came before: {error}", accepted.offset),
        };
        self.view_is_stale = true;
        if changes.features {
            self.levels_changed(out);
        }
        self.depose(now, accepted.epoch, out);
        if self.metadata.is_controller() {
            self.tell_unclean_elections(&records);
        }
        if let Some(led) = led {
            self.metadata.news.led(now.tick, led);
            self.apply_changes(now, &changes, out);
        }
        self.begin_deciding(now, accepted, out);
        self.release_owed(now, out);
    }

    /// Brokers come and go by these records, which are about to be applied.
    fn tell_of_registrations(&self, records: &[Record], out: &mut Vec<Effect>) {
        for record in records {
            let told = match record {
                Record::RegisterBroker(it) => (it.id, Some(it.directory), true),
                Record::UnregisterBroker { id, .. } => {
                    (*id, self.image.broker(*id).map(|it| it.directory), false)
                }
                _ => continue,
            };
            if let (id, Some(directory), is_there) = told {
                out.push(Effect::Registration(Registration { id, directory, is_there }));
            }
        }
    }

    /// The same of brokers that are other than they were in the image `before`.
    fn tell_of_other_registrations(
        &self,
        before: &Image,
        brokers: &BTreeSet<BrokerId>,
        out: &mut Vec<Effect>,
    ) {
        for id in brokers {
            let (is_there, broker) = match (self.image.broker(*id), before.broker(*id)) {
                (Some(now), _) => (true, now),
                (None, Some(gone)) => (false, gone),
                (None, None) => continue,
            };
            let directory = broker.directory;
            out.push(Effect::Registration(Registration { id: *id, directory, is_there }));
        }
    }

    /// The cluster is at other levels, or this node has just heard at which.
    fn levels_changed(&mut self, out: &mut Vec<Effect>) {
        let levels: Vec<_> = self.image.levels().collect();
        if self.metadata.live {
            tracing::info!(?levels, "feature levels");
        }
        if let Some(lacking) = self.config.supported.lacking(self.image.levels()) {
            self.outdated(lacking.to_string(), out);
        }
    }

    /// Going on would make this node's metadata differ from the others', or what it does from what they rely on.
    fn outdated(&mut self, what: String, out: &mut Vec<Effect>) {
        if !std::mem::replace(&mut self.metadata.is_outdated, true) {
            tracing::error!(what, "this node is older than its cluster and stops");
            out.push(Effect::Outdated(what));
        }
    }

    /// Said and counted where it was decided.
    fn tell_unclean_elections(&mut self, records: &[Record]) {
        for record in records {
            let Record::PartitionChange(change) = record else { continue };
            let (Some(Some(leader)), Some(true)) = (change.leader, change.recovering) else { continue };
            let topic = self.image.topic(change.partition.topic).map_or("", |it| &it.name);
            let partition = change.partition.partition;
            tracing::warn!(topic, %partition, %leader, "a leader was elected that may lack records: nobody who has all of them could lead");
            self.counters.unclean_elections += 1;
        }
    }

    /// An entry of a newer epoch was applied: nothing that this node proposed can be any more, though its engine may not have said so yet. Metadata offsets
    /// from here on are another controller's, and would release answers to decisions that were never committed.
    fn depose(&mut self, now: Now, epoch: ControllerEpoch, out: &mut Vec<Effect>) {
        let is_over = self.metadata.leading.as_ref().is_some_and(|leading| leading.proposer.epoch() < epoch);
        if is_over {
            self.resign(now, out);
            self.metadata.leader = self.image.controller();
            self.controller_changed(now, out);
        }
    }

    /// The entry that begins this node's epoch was applied: nothing of an older controller can come any more.
    fn begin_deciding(&mut self, now: Now, accepted: &Accepted, out: &mut Vec<Effect>) {
        let me = self.config.broker_id;
        let config = self.controller_config();
        let seed = self.metadata.seed;
        let Some(leading) = &mut self.metadata.leading else { return };
        if accepted.begins && accepted.epoch == leading.proposer.epoch() && leading.controller.is_none() {
            let mut controller = Controller::new(config, me, seed, now.tick, self.image.clone());
            controller.sighted(now.tick, &sightings(&self.metadata.seen));
            if self.image.cluster_id().is_none() {
                let id = self.config.cluster_id.clone().unwrap_or_else(|| new_cluster_id(seed));
                let mut founding = vec![Record::Cluster { id }];
                founding.extend(self.config.supported.founding());
                controller.append(now.tick, &founding);
                propose(&mut leading.proposer, &record::encode(&founding), out);
            }
            leading.controller = Some(controller);
            self.controller_changed(now, out);
            tracing::info!(epoch = %accepted.epoch, "this node is the controller");
        }
    }

    fn controller_changed(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.give_up_earlier_controllers(now, out);
        self.offline_replicas.changed();
        self.membership.controller_changed(now.tick);
        self.membership.waits_for_controller(now.tick);
    }

    fn release_owed(&mut self, now: Now, out: &mut Vec<Effect>) {
        let applied = self.image.applied();
        while let Some(leading) = &mut self.metadata.leading {
            let due = leading.owed.front().is_some_and(|owed| Some(owed.offset) <= applied);
            if !due {
                break;
            }
            let Owed { caller, reply, .. } = leading.owed.pop_front().expect("there is a front");
            self.controller_replied(now, caller, reply, out);
        }
    }

    /// Lets the controller in this node decide. The answer goes to `caller` when the decision is committed.
    ///
    /// # Panics
    /// If this node is not the controller.
    pub(crate) fn decide(&mut self, now: Now, command: &Command, caller: Caller, out: &mut Vec<Effect>) {
        let leading = self.metadata.leading.as_mut().expect("only the controller decides");
        let controller = leading.controller.as_mut().expect("only the controller decides");
        let Decision { records, reply } = controller.decide(now.tick, command);
        for payload in controller.append(now.tick, &records) {
            propose(&mut leading.proposer, &payload, out);
        }
        // Also a decision without records rests on all that was decided before.
        let offset = controller.appended();
        leading.owed.push_back(Owed { offset, caller, reply });
        self.release_owed(now, out);
    }

    /// The controller's share of passing time: sessions that expired.
    pub(crate) fn controller_time(&mut self, now: Now, out: &mut Vec<Effect>) {
        let Some(leading) = &mut self.metadata.leading else { return };
        let Some(controller) = &mut leading.controller else { return };
        if controller.next_wake().is_none_or(|at| now.tick < at) {
            return;
        }
        let records = controller.tick(now.tick);
        for payload in controller.append(now.tick, &records) {
            propose(&mut leading.proposer, &payload, out);
        }
    }

    /// Everything committed before this start has been delivered: the partitions become what the image says.
    fn go_live(&mut self, now: Now, out: &mut Vec<Effect>) {
        if std::mem::replace(&mut self.metadata.live, true) {
            return;
        }
        self.resolve_config();
        self.metadata.news.begin(&self.image);
        self.membership.controller_changed(now.tick);
        let mine: Vec<TopicPartition> = self
            .image
            .partitions()
            .filter(|(_, partition)| partition.replicas.contains(&self.config.broker_id))
            .map(|(key, _)| key)
            .collect();
        self.delete_removed(out);
        for key in mine {
            self.apply_partition(now, key, out);
        }
        for key in self.found.keys().filter(|it| self.image.partition(**it).is_none()) {
            tracing::warn!(partition = %key, "a log on this disk belongs to no known topic; it is left alone");
        }
    }

    /// Logs here of topics that were removed while nobody here was told; those of topics that nobody knows stay.
    fn delete_removed(&mut self, out: &mut Vec<Effect>) {
        if self.found.is_empty() && self.damaged.is_empty() {
            return;
        }
        let removed: BTreeMap<TopicId, Arc<str>> =
            self.image.removed_topics().map(|(id, name)| (id, Arc::clone(name))).collect();
        let here: Vec<TopicPartition> = self.found.keys().chain(&self.damaged).copied().collect();
        for key in here {
            if let Some(name) = removed.get(&key.topic) {
                self.delete_unhosted(name, key, out);
            }
        }
    }

    fn apply_changes(&mut self, now: Now, changes: &Changes, out: &mut Vec<Effect>) {
        self.offline_replicas.is_decided_in(self.image.epoch());
        for topic in &changes.topics_removed {
            for index in 0..topic.partitions.len() {
                let partition = klamm_model::PartitionIndex(index as i32);
                let key = TopicPartition { topic: topic.id, partition };
                self.delete_partition(key, ErrorCode::UnknownTopicOrPartition, out);
                self.delete_unhosted(&topic.name, key, out);
            }
            self.rules.forget(topic.id);
        }
        if !changes.topics_removed.is_empty() {
            self.forget_topics(now, &changes.topics_removed, out);
        }
        let is_new = |it: &TopicPartition| {
            self.image.partition(*it).is_some_and(|it| it.partition_epoch == PartitionEpoch(0))
        };
        // Racks are the brokers'.
        if !changes.topics_removed.is_empty()
            || !changes.topics_created.is_empty()
            || !changes.brokers.is_empty()
            || changes.partitions.iter().any(is_new)
        {
            self.tell_shards_of_topics();
        }
        for id in &changes.brokers {
            let is_now = self.image.broker(*id).map(|it| (it.epoch, it.state));
            match self.metadata.news.fate(*id, is_now) {
                None => {}
                Some(Fate::Registered) => tracing::info!(broker = %id, "a broker has registered"),
                Some(Fate::Fenced) => tracing::info!(broker = %id, "a broker is fenced"),
                Some(Fate::InService) => tracing::info!(broker = %id, "a broker takes part"),
                Some(Fate::Stopping) => tracing::info!(broker = %id, "a broker is about to stop"),
                Some(Fate::Gone) => tracing::info!(broker = %id, "a broker is no more"),
            }
        }
        if !changes.brokers.is_empty() {
            self.membership.cluster_changed(now.tick);
        }
        if changes.brokers.contains(&self.config.broker_id) && self.my_epoch().is_some() {
            self.leave_what_moved(out);
            self.offline_replicas.changed();
        }
        for key in &changes.partitions {
            self.apply_partition(now, *key, out);
        }
        for resource in &changes.configs {
            self.apply_config(resource, out);
        }
    }

    /// What is to be said of the cluster by now.
    pub(crate) fn tell_news(&mut self, now: Now) {
        let Metadata { live, leader, news, .. } = &mut self.metadata;
        // Whoever stops waits for nobody.
        if self.stopping.is_some() {
            return news.end();
        }
        // A start tells itself what it waits for.
        let hears_leader = leader.is_some() || !*live;
        match news.look(now.tick, hears_leader) {
            None => {}
            Some(Decider::Lost) => tracing::warn!(
                "nobody leads the metadata, as far as this node hears: a majority of the controllers is away, or this node is cut off from it; what only a controller can do waits"
            ),
            Some(Decider::Back { after_ms }) => {
                let leader = leader.map(|it| it.0);
                tracing::warn!(leader, after_ms, "the metadata are led again");
            }
        }
        if let Some(Elections { elected, lost }) = news.take_elections(now.tick, &self.image) {
            if elected > 0 {
                tracing::info!(partitions = elected, "partitions have other leaders");
            }
            if lost > 0 {
                tracing::warn!(
                    partitions = lost,
                    "partitions have no leader any more: of those that have all of their records nobody is there"
                );
            }
        }
    }

    /// How many replicas the topics of coordinators are to have, as soon as there are brokers for them.
    fn internal_topics(&self) -> BTreeMap<String, u16> {
        let of = |kind: Kind, topic: &InternalTopic| {
            (kind.topic().to_owned(), topic.replication_factor.unwrap_or(INTERNAL_REPLICAS))
        };
        let NodeConfig { offsets_topic, transactions_topic, .. } = &self.config;
        [of(Kind::Groups, offsets_topic), of(Kind::Transactions, transactions_topic)].into()
    }

    fn controller_config(&self) -> ControllerConfig {
        ControllerConfig {
            session_timeout_ms: self.config.session_timeout_ms,
            num_partitions: self.config.default_partition_count,
            default_replication_factor: self.config.default_replication_factor,
            delete_topics: self.config.delete_topics,
            balance_interval_ms: self.config.balance_leaders.then_some(self.config.balance_interval_ms),
            internal_topics: self.internal_topics(),
            supported: Supported::clone(&self.config.supported),
            is_broker: self.config.roles.broker,
            given: self.config.given.set.clone(),
            ..ControllerConfig::default()
        }
    }
}

/// Replicas of coordinators' topics where nothing was said. As with Kafka.
const INTERNAL_REPLICAS: u16 = 3;

fn sightings(peers: &[Peer]) -> Vec<Sighting> {
    let sighting = |it: &Peer| Sighting {
        id: it.id,
        incarnation: it.incarnation,
        silent_ms: it.silent_ms,
        is_gone: it.is_gone,
        metadata_form: it.metadata_form,
    };
    peers.iter().map(sighting).collect()
}

fn propose(proposer: &mut Proposer, records: &Bytes, out: &mut Vec<Effect>) {
    match proposer.propose(records) {
        Input::Propose { epoch, payload } => out.push(Effect::Propose { epoch, payload }),
        Input::OfferSnapshot(_) | Input::Describe | Input::ChangeVoters(_) | Input::Registration(_) => {
            unreachable!("a proposer proposes")
        }
    }
}

/// A cluster's id is made once, by its first controller: 16 bytes in the form that Kafka prints.
fn new_cluster_id(seed: u64) -> String {
    // Two rounds of SplitMix64.
    let mix = |mut value: u64| {
        value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    };
    let (high, low) = (mix(seed), mix(mix(seed)));
    klamm_model::TopicId(uuid::Uuid::from_u64_pair(high, low)).to_string()
}
