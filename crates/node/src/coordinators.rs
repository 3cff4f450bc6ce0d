//! The coordinators' shards of this broker: those whose partitions it leads.
//!
//! ```text
//!  leads the partition ──▶ the log is read, piece by piece (`load`) ──▶ serves ──▶ leads no more, or the log failed: dropped
//!                                                          ▲                            │ a write was lost: read anew
//!                                                          └────────────────────────────┘
//! ```
//! While it serves, what a shard wants appended waits for the write before it: under load, many decisions go out as one batch. What it wants to
//! let go waits for the high watermark.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use klamm_cluster::{controller::ProducerIdBlock, image::Topic, topic_name};
use klamm_coordinator::{
    RequestId,
    group::{self, GroupConfig, Groups},
    transaction::{self, TransactionConfig, Transactions},
};
use klamm_model::{ErrorCode, LeaderEpoch, Offset, Tick, TopicPartition};
use klamm_replica::{Replica, Role, Sabotage};

use crate::{ConnectionId, Effect, Now, handlers::producer_ids, node::Node};

mod answers;
pub(crate) mod find;
pub(crate) mod held;
mod load;
pub(crate) mod markers;
pub(crate) mod report;
mod shard;

pub(crate) use answers::Answers;
pub use load::{Load, Loaded};
use report::Rebalances;
use shard::{Machine, Output, Shard};

/// How long a new group of a cluster waits for more members, where nobody said anything else.
pub(crate) const REBALANCE_DELAY_MS: u32 = 500;

/// What there are coordinators of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Kind {
    /// Groups and their offsets.
    Groups,
    /// Transactions.
    Transactions,
}

/// What a shard is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Asked {
    Group(group::Request),
    Transaction(transaction::Request),
}

impl Asked {
    fn kind(&self) -> Kind {
        match self {
            Self::Group(_) => Kind::Groups,
            Self::Transaction(_) => Kind::Transactions,
        }
    }
}

/// What a shard answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Said {
    Group(group::Reply),
    Transaction(transaction::Reply),
}

impl Kind {
    /// The topic that its shards keep their records in.
    pub(crate) fn topic(self) -> &'static str {
        match self {
            Self::Groups => "__consumer_offsets",
            Self::Transactions => "__transaction_state",
        }
    }

    pub(crate) fn of_topic(name: &str) -> Option<Self> {
        [Self::Groups, Self::Transactions].into_iter().find(|kind| kind.topic() == name)
    }
}

/// Whether transactions may write to a topic: of those that the cluster keeps for itself, groups' offsets alone are part of them.
pub(crate) fn has_transactions(topic: &str) -> bool {
    topic == Kind::Groups.topic() || !topic_name::is_internal(topic)
}

/// Below that, what waits may leave.
fn released_below(replica: &Replica, sabotage: Sabotage) -> Offset {
    if sabotage.answer_before_committed { replica.log().end() } else { replica.high_watermark() }
}

/// All shards, and who waits for them.
pub(crate) struct Coordinators {
    seed: u64,
    shards: BTreeMap<TopicPartition, Shard>,
    /// When each shard wants to be told of the time.
    wakes: BTreeSet<(Tick, TopicPartition)>,
    pub(crate) answers: Answers,
    pub(crate) held: held::Held,
    pub(crate) marking: markers::Marking,
    /// Clients that wait for an internal topic.
    pub(crate) finds: find::Finds,
    next_token: u64,
    /// Whether those of groups may speak, when that was looked at last.
    speaks: bool,
    /// By shards that are gone.
    rebalances: Rebalances,
}

impl Coordinators {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            shards: BTreeMap::new(),
            wakes: BTreeSet::new(),
            answers: Answers::default(),
            held: held::Held::default(),
            marking: markers::Marking::default(),
            finds: find::Finds::default(),
            next_token: 0,
            speaks: false,
            rebalances: Rebalances::new(),
        }
    }

    /// Whoever asked on this connection is gone.
    pub(crate) fn forget(&mut self, connection: ConnectionId) {
        self.answers.forget(connection);
        self.held.forget(connection);
        self.finds.forget(connection);
    }

    pub(crate) fn next_wake(&self) -> Option<Tick> {
        self.wakes.first().map(|(at, _)| *at)
    }

    fn set_wake(&mut self, key: TopicPartition) {
        let Some(shard) = self.shards.get_mut(&key) else { return };
        let wanted = shard.next_wake();
        if shard.wake != wanted {
            if let Some(old) = shard.wake {
                self.wakes.remove(&(old, key));
            }
            shard.wake = wanted;
            self.wakes.extend(wanted.map(|at| (at, key)));
        }
    }

    fn remove(&mut self, key: TopicPartition) -> Option<Shard> {
        let shard = self.shards.remove(&key)?;
        if let Some(wake) = shard.wake {
            self.wakes.remove(&(wake, key));
        }
        report::add(&mut self.rebalances, shard.groups());
        Some(shard)
    }
}

impl Node {
    /// Something of a partition changed: a shard comes or goes, reads on, or lets go what is committed.
    pub(crate) fn coordinate(&mut self, now: Now, key: TopicPartition, out: &mut Vec<Effect>) {
        let leads = self.led_epoch(key);
        let coordinators = &mut self.coordinators;
        match (coordinators.shards.get(&key).map(|shard| shard.epoch), leads) {
            (None, None) => {}
            // The log is the one that the shard was made of, and goes on.
            (Some(_), Some(epoch)) => {
                coordinators.shards.get_mut(&key).expect("it was just there").epoch = epoch;
                self.load_on(now, key, out);
            }
            (Some(_), None) => self.drop_shard(key, ErrorCode::NotCoordinator, out),
            (None, Some(epoch)) => self.begin_shard(now, key, epoch, out),
        }
    }

    /// The epoch in which this node leads a partition, if that is a coordinator's and can be read.
    fn led_epoch(&self, key: TopicPartition) -> Option<LeaderEpoch> {
        let hosted = self.hosted.get(&key)?;
        hosted.settings.coordinates?;
        let leads =
            matches!(hosted.replica.role(), Role::Leader { .. }) && !hosted.replica.log().has_failed();
        hosted.replica.leader_epoch().filter(|_| leads)
    }

    fn group_config(&self) -> GroupConfig {
        let delay_ms = if self.image.brokers().len() == 1 { 0 } else { REBALANCE_DELAY_MS };
        GroupConfig {
            initial_rebalance_delay_ms: self.config.group_initial_delay_ms.unwrap_or(delay_ms),
            ..self.config.groups.clone()
        }
    }

    fn begin_shard(&mut self, now: Now, key: TopicPartition, epoch: LeaderEpoch, out: &mut Vec<Effect>) {
        let hosted = &self.hosted[&key];
        let Some(kind) = hosted.settings.coordinates else { return };
        let log = hosted.replica.log();
        let (from, end) = (log.log_start(), log.end());
        let batch_size_max = hosted.settings.batch_size_max;
        let (groups, transactions) = (self.group_config(), self.config.transactions.clone());
        let coordinators = &mut self.coordinators;
        coordinators.next_token += 1;
        // Ids that it gives differ from those of its partition's earlier shards.
        let seed =
            coordinators.seed ^ (coordinators.next_token << 32) ^ u64::from(key.partition.0.unsigned_abs());
        let machine = match kind {
            Kind::Groups => {
                let groups = Groups::new(GroupConfig { batch_size_max, ..groups }, seed);
                let keeps_gone = self.sabotage.keep_offsets_of_gone_topics;
                Machine::Groups(if keeps_gone { groups.keeping_what_is_gone() } else { groups })
            }
            Kind::Transactions => {
                let config = TransactionConfig { batch_size_max, ..transactions };
                Machine::Transactions(Transactions::new(config, seed))
            }
        };
        let shard = Shard::new(
            (kind, machine),
            batch_size_max,
            epoch,
            coordinators.next_token,
            from..end,
            now.tick,
            self.config.commit_timeout_ms,
        );
        coordinators.shards.insert(key, shard);
        self.load_on(now, key, out);
    }

    /// The shard knows something that its log does not have, or nobody may ask it any more.
    pub(crate) fn drop_shard(&mut self, key: TopicPartition, code: ErrorCode, out: &mut Vec<Effect>) {
        if self.coordinators.remove(key).is_some() {
            self.coordinators.answers.fail_all(key, code, out);
            self.coordinators.held.fail_all(key, code);
            self.coordinators.marking.forget(key);
        }
    }

    /// What is due because time passed.
    pub(crate) fn coordinators_time(&mut self, now: Now, out: &mut Vec<Effect>) {
        let speaks = self.may_speak_for_groups(now.tick);
        if !std::mem::replace(&mut self.coordinators.speaks, speaks) && speaks {
            self.go_on_with_groups(now, out);
        }
        let is_due = |(at, key): &(Tick, TopicPartition)| (*at <= now.tick).then_some(*key);
        let due: Vec<_> = self.coordinators.wakes.iter().map_while(is_due).collect();
        for key in due {
            self.load_on(now, key, out);
            let Some(hosted) = self.hosted.get(&key) else { continue };
            let Some(shard) = self.coordinators.shards.get_mut(&key) else { continue };
            let late = shard.tick(now, hosted.replica.log().end(), speaks);
            for request in late {
                self.fail_asked(request, ErrorCode::CoordinatorNotAvailable, out);
            }
            self.settle_shard(now, key, out);
        }
    }

    /// This broker may speak for groups again. Their members were refused meanwhile, and are not to be put out for that.
    fn go_on_with_groups(&mut self, now: Now, out: &mut Vec<Effect>) {
        for key in self.shards(Kind::Groups) {
            self.coordinators.shards.get_mut(&key).expect("it was found").go_on(now);
            self.settle_shard(now, key, out);
        }
    }

    /// Asks the shard that has a group, or a transactional id, of this name.
    pub(crate) fn ask_about(
        &mut self,
        now: Now,
        name: &str,
        id: RequestId,
        asked: Asked,
        out: &mut Vec<Effect>,
    ) {
        match self.shard_of(asked.kind(), name) {
            Ok(key) => self.ask_shard(now, key, id, asked, out),
            Err(code) => self.fail_asked(id, code, out),
        }
    }

    /// No shard answers: whoever asked is told why.
    fn fail_asked(&mut self, id: RequestId, why: ErrorCode, out: &mut Vec<Effect>) {
        if !self.coordinators.held.fail(id, why) {
            self.coordinators.answers.fail(id, why, out);
        }
    }

    /// Whether this broker may speak as a coordinator. What that of transactions says rests on records, and whoever writes for them looks at the marks.
    fn may_speak(&self, now: Now, kind: Kind) -> bool {
        kind == Kind::Transactions || self.may_speak_for_groups(now.tick)
    }

    /// The partition whose shard has this group or transactional id.
    pub(crate) fn shard_of(&self, kind: Kind, name: &str) -> Result<TopicPartition, ErrorCode> {
        let topic = self.image.topic_named(kind.topic()).ok_or(ErrorCode::NotCoordinator)?;
        let partition = find::partition_of(name, topic.partitions.len());
        Ok(TopicPartition { topic: topic.id, partition })
    }

    /// All shards that are served here.
    pub(crate) fn shards(&self, kind: Kind) -> Vec<TopicPartition> {
        let is_asked = |(key, shard): (&TopicPartition, &Shard)| (shard.kind == kind).then_some(*key);
        self.coordinators.shards.iter().filter_map(is_asked).collect()
    }

    pub(crate) fn ask_shard(
        &mut self,
        now: Now,
        key: TopicPartition,
        id: RequestId,
        asked: Asked,
        out: &mut Vec<Effect>,
    ) {
        let speaks = self.may_speak(now, asked.kind());
        let Some(shard) = self.coordinators.shards.get_mut(&key) else {
            return self.fail_asked(id, ErrorCode::NotCoordinator, out);
        };
        let hosted = &self.hosted[&key];
        let log = hosted.replica.log();
        let takes_writes =
            hosted.replica.enough_in_sync() && shard.has_room(log) && !self.disks.is_full(log.log_dir());
        let refusal = if !speaks {
            Some(ErrorCode::CoordinatorNotAvailable)
        } else if !shard.serves() {
            Some(ErrorCode::CoordinatorLoadInProgress)
        } else if shard.may_write(&asked) && !takes_writes {
            Some(ErrorCode::CoordinatorNotAvailable)
        } else {
            None
        };
        if let Some(code) = refusal {
            return self.fail_asked(id, code, out);
        }
        self.coordinators.answers.belongs_to(id, key);
        self.coordinators.held.belongs_to(id, key);
        let end = log.end();
        shard.ask(now, id, asked, end);
        self.settle_shard(now, key, out);
    }

    /// After whatever a shard was told: what it has decided goes out, and what waited for that.
    fn settle_shard(&mut self, now: Now, key: TopicPartition, out: &mut Vec<Effect>) {
        self.append_of_shard(now, key, out);
        self.release_of_shard(now, key, out);
    }

    /// Appends what the shard has decided, if nothing of it is still on its way to the file.
    fn append_of_shard(&mut self, now: Now, key: TopicPartition, out: &mut Vec<Effect>) {
        let Some(hosted) = self.hosted.get(&key) else { return };
        let log = hosted.replica.log();
        if log.written() == log.end() {
            self.flush_shard(now, key, out);
        }
    }

    /// Appends it, behind what is on its way to the file: what comes next counts for it too. `false`: the shard is gone.
    pub(super) fn flush_shard(&mut self, now: Now, key: TopicPartition, out: &mut Vec<Effect>) -> bool {
        let Some(shard) = self.coordinators.shards.get_mut(&key) else { return false };
        let Some(hosted) = self.hosted.get_mut(&key) else { return false };
        // Whoever stops has its logs at rest, and they stay so: nobody was told of what is not in them.
        if self.stopping.is_some() {
            return true;
        }
        let appended = shard.append(now, &mut hosted.replica, &mut self.ops);
        self.flush_ops(out);
        if let Err(error) = &appended {
            tracing::error!(partition = %key, %error, "a coordinator's records cannot be appended; it begins anew");
            self.drop_shard(key, ErrorCode::NotCoordinator, out);
            self.moved.push(key);
        }
        appended.is_ok()
    }

    pub(super) fn shard_serves(&self, key: TopicPartition) -> bool {
        self.coordinators.shards.get(&key).is_some_and(Shard::serves)
    }

    /// Lets go what waited for the high watermark.
    fn release_of_shard(&mut self, now: Now, key: TopicPartition, out: &mut Vec<Effect>) {
        let speaks = self.may_speak_for_groups(now.tick);
        // What is let go may make the shard decide on more.
        while let Some(shard) = self.coordinators.shards.get_mut(&key)
            && let Some(hosted) = self.hosted.get(&key)
            && let Some(output) = shard.pop_committed(released_below(&hosted.replica, self.sabotage))
        {
            match output {
                // It waited here, and others may have the group by now: whoever asked asks again.
                Output::Answer(id, Said::Group(_)) if !speaks => {
                    self.coordinators.answers.fail(id, ErrorCode::CoordinatorNotAvailable, out);
                }
                Output::Answer(id, said) => {
                    if !self.coordinators.held.answer(id, &said) {
                        self.coordinators.answers.give(id, said, &self.image, out);
                    }
                }
                Output::WriteMarkers(markers) => self.write_markers(now, key, markers, out),
                Output::NeedProducerIds => producer_ids::ask_for_shard(self, now, key, out),
            }
        }
        self.coordinators.set_wake(key);
    }

    /// A shard of transactions gets producer ids, or none.
    pub(crate) fn give_producer_ids(
        &mut self,
        now: Now,
        key: TopicPartition,
        block: Option<ProducerIdBlock>,
        out: &mut Vec<Effect>,
    ) {
        let Some(hosted) = self.hosted.get(&key) else { return };
        let end = hosted.replica.log().end();
        let Some(shard) = self.coordinators.shards.get_mut(&key) else { return };
        shard.producer_ids(now, block, end);
        self.settle_shard(now, key, out);
    }

    /// Reads the next piece of a shard's log, or lets it serve if that was all.
    fn load_on(&mut self, now: Now, key: TopicPartition, out: &mut Vec<Effect>) {
        let doubt_ms = self.doubt_ms();
        let Some(shard) = self.coordinators.shards.get_mut(&key) else { return };
        let Some(hosted) = self.hosted.get(&key) else { return };
        if let Some(load) = shard.next_load(now, key, hosted.replica.log(), &self.image, doubt_ms) {
            out.push(Effect::Load(load));
        }
        // What it has decided, as it began to serve perhaps, goes out.
        self.settle_shard(now, key, out);
    }

    /// A piece was read.
    pub(crate) fn loaded(&mut self, now: Now, loaded: Loaded, out: &mut Vec<Effect>) {
        let Loaded { partition: key, token, result } = loaded;
        let Some(shard) = self.coordinators.shards.get_mut(&key) else { return };
        if let Some(damaged) = shard.loaded(now, token, key, result) {
            self.scrubber.suspect(damaged);
        }
        self.load_on(now, key, out);
    }

    /// What an operator has set may be another.
    pub(crate) fn configure_shards(&mut self) {
        let groups = self.group_config();
        for shard in self.coordinators.shards.values_mut() {
            shard.configure(groups.clone());
        }
    }

    /// There are other topics or partitions than before: groups may have to share other work.
    pub(crate) fn tell_shards_of_topics(&mut self) {
        for shard in self.coordinators.shards.values_mut() {
            shard.topics_changed(&self.image);
        }
    }

    /// Topics are gone: what groups keep of them goes too.
    pub(crate) fn forget_topics(&mut self, now: Now, topics: &[Arc<Topic>], out: &mut Vec<Effect>) {
        let topics: Vec<_> = topics.iter().map(|topic| (topic.name.to_string(), topic.id)).collect();
        for key in self.shards(Kind::Groups) {
            let end = self.hosted[&key].replica.log().end();
            let shard = self.coordinators.shards.get_mut(&key).expect("it was just listed");
            shard.forget_topics(now, &topics, end);
            self.append_of_shard(now, key, out);
            self.coordinators.set_wake(key);
        }
    }
}
