//! Membership by the classic protocol: all members join, one of them distributes the partitions, each hears of its share.
//!
//! Who is eager gives up everything before it joins again; who is cooperative goes on, and gives up what moves when it knows (KIP-429).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use klamm_model::{ErrorCode, Tick};
use klamm_wire::join_group::JoinGroupResponseMember;
use klamm_wire::{JoinGroupResponse, SyncGroupResponse};

use super::super::GroupError;
use super::super::assignor::{Assignor, Owned, Subscriber, Topics};
use super::super::config::Config;
use super::super::effect::Effect;
use super::super::metadata::GroupMetadata;
use super::super::request::{self, CONSUMER, Versions};
use super::super::{assigned, assignments, subscriber, subscription};
use super::{Machine, Protocol, Purpose, is_of_topics};
use crate::backoff::HURRIES_MAX;
use crate::metadata::Cluster;

/// How long who leads the group waits to hear of topics that only others want.
const UNKNOWN_TOPICS_MS: u64 = 5_000;
/// Beyond what a rebalance may take, for the answer's way.
const JOIN_GRACE_MS: u64 = 5_000;

/// What a member knows of a group of the classic protocol.
#[derive(Debug, Default)]
pub(super) struct Classic {
    stage: Stage,
    /// Given by the coordinator; empty before.
    pub(super) member_id: String,
    /// `None` as long as the group does not count on us.
    pub(super) generation: Option<i32>,
    assignor: Option<Assignor>,
    /// What it said that it wants.
    joined: BTreeSet<Arc<str>>,
    rejoin: Option<&'static str>,
    /// What it got, and when, for a sticky assignor: that lasts longer than what it has.
    had: (Owned, Option<i32>),
    /// The sizes of the topics that are shared, where we lead the group: when they change, they are shared anew.
    led: Option<BTreeMap<Arc<str>, usize>>,
    heartbeat_at: Tick,
    not_before: Tick,
    /// How often it was to join again at once, in a row.
    hurries: u32,
    /// Partitions were shared anew since the last commit.
    pub(super) has_moved: bool,
}

#[derive(Debug, Default)]
enum Stage {
    /// It has to join, or to join again.
    #[default]
    Out,
    Joining,
    /// It is to distribute the partitions, and waits to hear of topics.
    Sharing {
        assignor: Assignor,
        members: Vec<Subscriber>,
        until: Tick,
    },
    Syncing,
    Stable,
}

impl Classic {
    pub(super) fn is_stable(&self) -> bool {
        matches!(self.stage, Stage::Stable)
    }

    /// Cooperative members join once more when they have given up what moves: only then can others get it.
    pub(super) fn given_up(&mut self) {
        if self.is_stable() {
            self.rejoin.get_or_insert("partitions were given up");
        }
    }

    pub(super) fn lose(&mut self) {
        self.stage = Stage::Out;
        self.generation = None;
        self.led = None;
        self.rejoin = Some("the group went on without it");
    }

    pub(super) fn cluster_changed(&mut self, cluster: &Cluster) {
        let has_changed = |led: &BTreeMap<Arc<str>, usize>| *led != sizes(cluster, led.keys());
        if self.is_stable() && self.led.as_ref().is_some_and(has_changed) {
            self.rejoin.get_or_insert("topics or partitions came or went");
        }
    }

    /// What says good-bye for us. A member with a name of its own comes back soon: its partitions are kept for it.
    pub(super) fn leave_request(&self, config: &Config, reason: &str) -> Option<Versions> {
        let is_known = !self.member_id.is_empty() && config.instance_id.is_none();
        let me = GroupMetadata {
            group_id: config.group_id.clone(),
            member_id: self.member_id.clone(),
            instance_id: None,
            generation: -1,
        };
        is_known.then(|| request::leave(me, reason))
    }

    fn assignor_named(config: &Config, name: &str) -> Option<Assignor> {
        config.assignors.iter().copied().find(|assignor| assignor.name() == name)
    }
}

impl Machine {
    fn classic(&mut self) -> &mut Classic {
        match &mut self.protocol {
            Protocol::Classic(it) => it,
            Protocol::Consumer(it) => unreachable!("{it:?} has no part in the classic protocol"),
        }
    }

    /// Whether the group counts on us.
    pub(super) fn is_member(&self) -> bool {
        match &self.protocol {
            Protocol::Classic(it) => it.is_stable(),
            Protocol::Consumer(it) => it.epoch.is_some(),
        }
    }

    pub(super) fn advance_classic(&mut self, now: Tick, out: &mut Vec<Effect>) {
        self.share(now, out);
        if self.wants_in() {
            self.join_if_due(now, out);
        }
        let timeout_ms = self.config.session_timeout_ms.min(self.request_timeout_ms());
        let interval_ms = self.config.heartbeat_interval_ms;
        let me = self.metadata();
        let classic = self.classic();
        // Who waits in a rebalance is known to be there.
        if matches!(classic.stage, Stage::Out | Stage::Joining) || self.is_asking(Purpose::Heartbeat) {
            return;
        }
        let classic = self.classic();
        if now < classic.heartbeat_at {
            let at = classic.heartbeat_at;
            return self.wake_at(Some(at));
        }
        if self.ask(Purpose::Heartbeat, (request::heartbeat(me), None), timeout_ms, out) {
            self.classic().heartbeat_at = now.after_ms(interval_ms);
            self.wake_at(Some(now.after_ms(interval_ms)));
        }
    }

    /// The group is to be joined again as soon as possible.
    pub(super) fn rejoin(&mut self, reason: &'static str) {
        if let Protocol::Classic(classic) = &mut self.protocol {
            classic.rejoin.get_or_insert(reason);
        }
    }

    fn join_if_due(&mut self, now: Tick, out: &mut Vec<Effect>) {
        let topics = self.topics.clone();
        let classic = self.classic();
        match classic.stage {
            Stage::Out => {}
            Stage::Stable if classic.joined != topics => {
                classic.rejoin.get_or_insert("it wants other topics");
            }
            Stage::Stable if classic.rejoin.is_some() => {}
            _ => return,
        }
        if self.leaving.is_some() {
            return;
        }
        let is_cooperative = self.config.is_cooperative();
        let gone: Owned = self
            .owned
            .iter()
            .filter(|name| !is_cooperative || !is_of_topics(name, &topics))
            .cloned()
            .collect();
        if !gone.is_empty() {
            return self.give_up(&gone, out);
        }
        let not_before = self.classic().not_before;
        if now < not_before {
            return self.wake_at(Some(not_before));
        }
        if is_cooperative || self.commits.are_through() {
            self.join(now, out);
        }
    }

    fn join(&mut self, now: Tick, out: &mut Vec<Effect>) {
        if self.coordinator().is_none() {
            return;
        }
        let (topics, owned) = (self.topics.clone(), self.owned.clone());
        let rack = Some(self.reader.config().rack.clone()).filter(|rack| !rack.is_empty());
        let config = self.config.clone();
        let classic = self.classic();
        let mut me = Subscriber {
            topics: topics.clone(),
            owned,
            generation: classic.generation,
            rack,
            ..Default::default()
        };
        let protocols = config.assignors.iter().map(|&assignor| {
            if assignor == Assignor::Sticky {
                (me.owned, me.generation) = classic.had.clone();
            }
            (assignor.name(), subscription(assignor, &me))
        });
        let protocols = protocols.collect();
        let request = request::join(&config, &classic.member_id, protocols, classic.rejoin.take());
        (classic.stage, classic.joined) = (Stage::Joining, topics);
        classic.not_before = now;
        // An answer to an older heartbeat says nothing of what is to come.
        self.calls.retain(|_, purpose| *purpose != Purpose::Heartbeat);
        let timeout_ms = self.request_timeout_ms().max(config.poll_interval_max_ms + JOIN_GRACE_MS);
        self.ask(Purpose::Join, (request, None), timeout_ms, out);
    }

    pub(super) fn joined(&mut self, now: Tick, answer: JoinGroupResponse, out: &mut Vec<Effect>) {
        if self.closing.is_some() {
            self.join_again();
            self.classic().member_id = answer.member_id;
            return;
        }
        match ErrorCode::told(answer.error_code) {
            ErrorCode::None => self.take_part(now, answer, out),
            // It is to come again by the name it is given (KIP-394).
            ErrorCode::MemberIdRequired => {
                self.join_again();
                self.classic().member_id = answer.member_id;
                self.hurry(now);
            }
            code => self.not_joined(now, code, out),
        }
    }

    fn not_joined(&mut self, now: Tick, code: ErrorCode, out: &mut Vec<Effect>) {
        self.join_again();
        if self.is_elsewhere(now, code, out) {
            return;
        }
        match code {
            ErrorCode::RebalanceInProgress => self.hurry(now),
            code if self.is_about_member(code, out) => self.hurry(now),
            code if code.is_retriable() => self.classic().not_before = self.later(now),
            code => self.refuse(code.code(), None, out),
        }
    }

    /// It may join again at once, but only so often in a row: who sends us round in circles must not keep us busy.
    fn hurry(&mut self, now: Tick) {
        self.classic().hurries += 1;
        if self.classic().hurries > HURRIES_MAX {
            self.classic().not_before = self.later(now);
        }
    }

    pub(super) fn join_again(&mut self) {
        self.classic().stage = Stage::Out;
    }

    fn take_part(&mut self, now: Tick, answer: JoinGroupResponse, out: &mut Vec<Effect>) {
        self.failures = 0;
        let name = answer.protocol_name.unwrap_or_default();
        let is_of_consumers = answer.protocol_type.as_deref().is_none_or(|it| it == CONSUMER);
        let Some(assignor) = Classic::assignor_named(&self.config, &name).filter(|_| is_of_consumers) else {
            return self
                .fail(GroupError::Useless("the coordinator took a protocol that this member has not"), out);
        };
        let interval_ms = self.config.heartbeat_interval_ms;
        let classic = self.classic();
        let is_leader = answer.leader == answer.member_id;
        classic.member_id = answer.member_id;
        classic.generation = Some(answer.generation_id);
        classic.assignor = Some(assignor);
        classic.heartbeat_at = now.after_ms(interval_ms);
        classic.led = None;
        if !is_leader {
            return self.sync(Vec::new(), out);
        }
        let subscriber = |member: JoinGroupResponseMember| {
            let who = (member.member_id.clone(), member.group_instance_id.clone());
            // Who says nothing that can be understood gets nothing; the others need not suffer for it.
            subscriber(assignor, who, member.metadata).unwrap_or_else(|| Subscriber {
                id: member.member_id,
                instance_id: member.group_instance_id,
                ..Default::default()
            })
        };
        let members: Vec<_> = answer.members.into_iter().map(subscriber).collect();
        let until = now.after_ms(UNKNOWN_TOPICS_MS);
        // A leader with a name of its own may come back to a group that is at rest (KIP-814).
        if answer.skip_assignment {
            let topics: BTreeSet<_> =
                members.iter().flat_map(|member| member.topics.iter().cloned()).collect();
            let sizes = sizes(&self.cluster, &topics);
            self.classic().led = Some(sizes);
            return self.sync(Vec::new(), out);
        }
        let topics: BTreeSet<_> = members.iter().flat_map(|member| member.topics.iter().cloned()).collect();
        if !topics.is_empty() {
            out.push(Effect::WantTopics(topics));
        }
        self.classic().stage = Stage::Sharing { assignor, members, until };
    }

    /// Distributes the partitions, if it is this member's turn to do so and it knows of all topics.
    fn share(&mut self, now: Tick, out: &mut Vec<Effect>) {
        let cluster = self.cluster.clone();
        let classic = self.classic();
        let Stage::Sharing { assignor, members, until } = &classic.stage else { return };
        let topics: BTreeSet<_> = members.iter().flat_map(|member| &member.topics).collect();
        let is_known = topics.iter().all(|topic| cluster.topics.contains_key(*topic));
        if !is_known && now < *until {
            let until = *until;
            return self.wake_at(Some(until));
        }
        let shares = assignor.assign(&Topics::of(&cluster, topics.iter().copied()), members);
        classic.led = Some(sizes(&cluster, topics));
        self.sync(assignments(shares), out);
    }

    fn sync(&mut self, assignments: Vec<(String, bytes::Bytes)>, out: &mut Vec<Effect>) {
        let me = self.metadata();
        let timeout_ms = self.request_timeout_ms().max(self.config.poll_interval_max_ms + JOIN_GRACE_MS);
        let classic = self.classic();
        classic.stage = Stage::Syncing;
        let protocol = classic.assignor.map_or("", Assignor::name);
        let request = request::sync(me, protocol, assignments);
        if !self.ask(Purpose::Sync, (request, None), timeout_ms, out) {
            self.join_again();
        }
    }

    pub(super) fn synced(&mut self, now: Tick, answer: SyncGroupResponse, out: &mut Vec<Effect>) {
        match ErrorCode::told(answer.error_code) {
            ErrorCode::None => match assigned(answer.assignment) {
                Some(share) => self.take_over(&share, out),
                None => self.fail(GroupError::Useless("the group's leader gave something unreadable"), out),
            },
            code => self.not_joined(now, code, out),
        }
    }

    fn take_over(&mut self, share: &Owned, out: &mut Vec<Effect>) {
        let topics = self.topics.clone();
        let gone: Owned = self.owned.difference(share).cloned().collect();
        let classic = self.classic();
        classic.stage = Stage::Stable;
        (classic.has_moved, classic.hurries) = (true, 0);
        classic.had = (share.clone(), classic.generation);
        if share.iter().any(|name| !is_of_topics(name, &topics)) {
            // What it wants has changed meanwhile, which the leader did not know.
            classic.rejoin.get_or_insert("it got what it does not want");
        }
        if !gone.is_empty() {
            self.give_up(&gone, out);
        }
        self.assign(share, out);
    }

    pub(super) fn heartbeat_answered(&mut self, now: Tick, code: i16, out: &mut Vec<Effect>) {
        match ErrorCode::told(code) {
            ErrorCode::None => self.failures = 0,
            ErrorCode::RebalanceInProgress => self.rejoin("the group's partitions are shared anew"),
            code if self.is_elsewhere(now, code, out) || self.is_about_member(code, out) => {}
            code if code.is_retriable() => {}
            code => self.refuse(code.code(), None, out),
        }
    }

    /// A heartbeat brought no answer, and is due again as soon as somebody can be asked.
    pub(super) fn beat_failed(&mut self) {
        match &mut self.protocol {
            Protocol::Classic(it) => it.heartbeat_at = Tick(0),
            Protocol::Consumer(it) => it.beat_failed(),
        }
    }
}

/// How many partitions each topic has, none if it is not there.
fn sizes<'a>(cluster: &Cluster, topics: impl IntoIterator<Item = &'a Arc<str>>) -> BTreeMap<Arc<str>, usize> {
    let size = |topic| cluster.topics.get(topic).map_or(0, |it: &crate::metadata::Topic| it.partitions.len());
    topics.into_iter().map(|topic| (topic.clone(), size(topic))).collect()
}
