//! Membership by the consumer protocol (KIP-848): by heartbeats the coordinator tells each member what it is to have, and the member tells what it
//! has. What it is to give up it gives up first; only then does the coordinator give that to others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use klamm_model::{ErrorCode, Tick, TopicId};
use klamm_wire::consumer_group_heartbeat::RequestTopicPartitions;
use klamm_wire::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, Request};

use super::super::assignor::Owned;
use super::super::config::Config;
use super::super::effect::Effect;
use super::super::request::{Versions, clamped_ms};
use super::{Machine, Protocol, Purpose};
use crate::PartitionName;
use crate::consumer::Effect as ReadEffect;
use crate::partitioner::Random;

/// The epoch of who joins, of who leaves, and of who leaves and will be back by the same name.
const JOINS: i32 = 0;
const LEAVES: i32 = -1;
const LEAVES_FOR_NOW: i32 = -2;

type ById = BTreeSet<(TopicId, i32)>;

/// What a member knows of itself in a group of the consumer protocol.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) member_id: String,
    /// `None` as long as we don't know that the coordinator counts on us.
    pub(super) epoch: Option<i32>,
    /// It was asked to, and may do so even if no answer came: it is to be told when we go.
    may_count: bool,
    /// What it is to have, as long as it has something else.
    target: Option<ById>,
    /// Topics by the ids that the coordinator calls them by.
    ids: BTreeMap<Arc<str>, TopicId>,
    /// What it told that it has, and what it tells just now.
    acknowledged: ById,
    telling: Option<ById>,
    /// It was told in a new epoch what it is to have. It says in that epoch what it has, the same as before perhaps: among what it is to have no more may be something that it
    /// never took over, or never heard of, and the coordinator waits for its word.
    owes_word: bool,
    /// What it told that it wants.
    subscribed: BTreeSet<Arc<str>>,
    regex: Option<String>,
    /// The coordinator may not have got what was told: everything is to be told again.
    tells_all: bool,
    due: Tick,
    not_before: Tick,
    /// Names are looked for of topics that it is to have.
    lacks_names: bool,
}

impl Member {
    /// The member's id is its own choice; it keeps it as long as it lives.
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            member_id: format!("{:016x}{:016x}", random.next_u64(), random.next_u64()),
            epoch: None,
            may_count: false,
            target: None,
            ids: BTreeMap::new(),
            acknowledged: ById::new(),
            telling: None,
            owes_word: false,
            subscribed: BTreeSet::new(),
            regex: None,
            tells_all: true,
            due: Tick(0),
            not_before: Tick(0),
            lacks_names: false,
        }
    }

    pub(super) fn lose(&mut self) {
        (self.epoch, self.target, self.telling) = (None, None, None);
        self.owes_word = false;
        self.acknowledged.clear();
        self.tells_all = true;
        self.due = Tick(0);
    }

    pub(super) fn beat_failed(&mut self) {
        (self.telling, self.tells_all, self.due) = (None, true, Tick(0));
    }

    /// What says good-bye for us, if anybody may count on us. Who does not knows no such member, which is as good.
    pub(super) fn leave_request(&self, config: &Config) -> Option<Versions> {
        let member_epoch = if config.instance_id.is_some() { LEAVES_FOR_NOW } else { LEAVES };
        let request = || Request::ConsumerGroupHeartbeat(Box::new(self.heartbeat(config, member_epoch)));
        self.may_count.then(|| (request(), None))
    }

    /// Nobody counts on us.
    pub(super) fn is_unknown(&mut self) {
        self.may_count = false;
    }

    fn heartbeat(&self, config: &Config, member_epoch: i32) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest {
            group_id: config.group_id.clone(),
            member_id: self.member_id.clone(),
            member_epoch,
            instance_id: config.instance_id.clone(),
            rebalance_timeout_ms: -1,
            ..Default::default()
        }
    }

    /// What it has, as the coordinator calls it.
    fn by_id(&self, owned: &Owned) -> ById {
        owned.iter().filter_map(|name| Some((*self.ids.get(&name.topic)?, name.partition))).collect()
    }
}

impl Machine {
    fn member(&mut self) -> &mut Member {
        match &mut self.protocol {
            Protocol::Consumer(it) => it,
            Protocol::Classic(it) => unreachable!("{it:?} has no part in the consumer protocol"),
        }
    }

    pub(super) fn advance_member(&mut self, now: Tick, out: &mut Vec<Effect>) {
        if !self.wants_in() {
            return;
        }
        self.reconcile(out);
        if self.is_asking(Purpose::Heartbeat) || self.coordinator().is_none() {
            return;
        }
        let Protocol::Consumer(member) = &self.protocol else { return };
        // What changed is told at once, and what is to be given up is had until it is.
        let has_moved = self.leaving.is_none() && member.by_id(&self.owned) != member.acknowledged;
        let wants_others = member.subscribed != self.topics || member.regex != self.wish.regex;
        let owes_word = self.leaving.is_none() && member.owes_word;
        let has_news = member.epoch.is_some() && (has_moved || owes_word || wants_others);
        let at = if has_news { member.not_before } else { member.due.max(member.not_before) };
        if now < at {
            return self.wake_at(Some(at));
        }
        self.beat(now, out);
    }

    fn beat(&mut self, now: Tick, out: &mut Vec<Effect>) {
        let (config, topics, regex) = (self.config.clone(), self.topics.clone(), self.wish.regex.clone());
        let has = self.owned.clone();
        let rack = Some(self.reader.config().rack.clone()).filter(|rack| !rack.is_empty());
        let timeout_ms = self.request_timeout_ms();
        let member = self.member();
        let mut request = member.heartbeat(&config, member.epoch.unwrap_or(JOINS));
        let tells_all = member.tells_all;
        if tells_all {
            request.rebalance_timeout_ms = clamped_ms(config.poll_interval_max_ms);
            request.server_assignor = config.server_assignor;
            request.rack_id = rack;
        }
        if tells_all || member.subscribed != topics || member.regex != regex {
            request.subscribed_topic_names = Some(topics.iter().map(ToString::to_string).collect());
            // The empty one takes back what was told before.
            let had = member.regex.is_some();
            request.subscribed_topic_regex = regex.clone().or_else(|| had.then(String::new));
        }
        member.may_count = true;
        let has = member.by_id(&has);
        if tells_all || member.owes_word || has != member.acknowledged {
            request.topic_partitions = Some(by_topic(&has));
            member.telling = Some(has);
            member.owes_word = false;
        }
        (member.subscribed, member.regex, member.tells_all) = (topics, regex, false);
        // Until the answer says how long to wait.
        member.due = now;
        let request = Request::ConsumerGroupHeartbeat(Box::new(request));
        self.ask(Purpose::Heartbeat, (request, None), timeout_ms, out);
    }

    pub(super) fn member_answered(
        &mut self,
        now: Tick,
        answer: ConsumerGroupHeartbeatResponse,
        out: &mut Vec<Effect>,
    ) {
        let code = ErrorCode::told(answer.error_code);
        if code != ErrorCode::None {
            return self.member_refused(now, code, answer.error_message, out);
        }
        self.failures = 0;
        let member = self.member();
        if let Some(id) = answer.member_id.filter(|id| !id.is_empty()) {
            member.member_id = id;
        }
        let is_in_new_epoch =
            member.epoch.replace(answer.member_epoch).is_some_and(|it| it != answer.member_epoch);
        member.acknowledged =
            member.telling.take().unwrap_or_else(|| std::mem::take(&mut member.acknowledged));
        member.due = now.after_ms(u64::try_from(answer.heartbeat_interval_ms).unwrap_or(0).max(1));
        if let Some(assignment) = answer.assignment {
            let topics = assignment.topic_partitions.into_iter();
            let target =
                topics.flat_map(|it| it.partitions.into_iter().map(move |number| (it.topic_id, number)));
            member.target = Some(target.collect());
            member.lacks_names = false;
            member.owes_word |= is_in_new_epoch;
        }
        self.reconcile(out);
    }

    fn member_refused(&mut self, now: Tick, code: ErrorCode, message: Option<String>, out: &mut Vec<Effect>) {
        self.beat_failed();
        let not_before = self.later(now);
        self.member().not_before = not_before;
        if self.is_elsewhere(now, code, out) {
            return;
        }
        match code {
            code if self.is_about_member(code, out) => {}
            code if code.is_retriable() => {}
            code => self.refuse(code.code(), message, out),
        }
    }

    /// Goes towards what the member is to have: gives up first, and takes over when that is done.
    fn reconcile(&mut self, out: &mut Vec<Effect>) {
        if self.leaving.is_some() {
            return;
        }
        let cluster = self.cluster.clone();
        let member = self.member();
        let Some(target) = &member.target else { return };
        let mut names = BTreeMap::new();
        for (id, _) in target {
            let known = member.ids.iter().find(|(_, known)| *known == id).map(|(name, _)| name);
            names.entry(*id).or_insert_with(|| known.or_else(|| cluster.topic_name(*id)).cloned());
        }
        let named = target.iter().filter_map(|(id, partition)| {
            Some(PartitionName { topic: names[id].clone()?, partition: *partition })
        });
        let wanted: Owned = named.collect();
        let is_whole = wanted.len() == target.len();
        let found = names.into_iter().filter_map(|(id, name)| Some((name?, id)));
        member.ids.extend(found);
        if !is_whole && !std::mem::replace(&mut member.lacks_names, true) {
            // They are taken over when they have been found.
            out.push(Effect::Read(ReadEffect::RefreshMetadata));
        }
        let gone: Owned = self.owned.difference(&wanted).cloned().collect();
        if !gone.is_empty() {
            return self.give_up(&gone, out);
        }
        if is_whole {
            self.member().target = None;
        }
        self.assign(&wanted, out);
    }
}

fn by_topic(partitions: &ById) -> Vec<RequestTopicPartitions> {
    let mut topics = BTreeMap::<TopicId, Vec<i32>>::new();
    for (topic_id, partition) in partitions {
        topics.entry(*topic_id).or_default().push(*partition);
    }
    let topic = |(topic_id, partitions)| RequestTopicPartitions { topic_id, partitions };
    topics.into_iter().map(topic).collect()
}
