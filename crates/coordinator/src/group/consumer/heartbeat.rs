//! A member says what it wants and has, and is told what it may have.

use std::sync::Arc;

use super::assignor::Assignor;
use super::member::{Holding, PAUSED, Reported, introduced};
use super::partitions::{Partitions, by_topic, flat};
use super::reconcile::{Aim, Voice};
use super::topics::compiled;
use super::{Consumer, Member};
use crate::Entry;
use crate::group::turn::{RebalanceCause, Turn};
use crate::group::{ConsumerBeat, ConsumerHeartbeat, GroupError, NAME_SIZE_MAX, Presence};
use crate::record::{ConsumerMember, GroupRecord};

/// How often a member shows itself that has not all it is to get, at most, and how much less often for each member of its group: a thousand members make a thousand
/// requests a second.
const UNSETTLED_INTERVAL_MS_MIN: u32 = 100;
const UNSETTLED_INTERVAL_MS_PER_MEMBER: u32 = 1;

impl ConsumerHeartbeat {
    /// Refuses what no member can mean, whatever group it is about.
    pub(in crate::group) fn check(&self, assignors: &[Assignor]) -> Result<(), GroupError> {
        let check = |holds: bool, why| if holds { Ok(()) } else { Err(GroupError::InvalidRequest { why }) };
        let is_in = |presence: fn(&Presence) -> bool| presence(&self.presence);
        let is_empty = |it: &Option<String>| it.as_ref().is_some_and(String::is_empty);
        check(is_in(|it| *it == Presence::Joins) || !self.member_id.is_empty(), "MemberId can't be empty.")?;
        check(!is_empty(&self.instance_id), "InstanceId can't be empty.")?;
        check(!is_empty(&self.rack), "RackId can't be empty.")?;
        match self.presence {
            Presence::Joins => {
                check(
                    self.rebalance_timeout_ms.is_some(),
                    "RebalanceTimeoutMs must be provided in first request.",
                )?;
                let has_nothing = self.owned.as_ref().is_some_and(Vec::is_empty);
                check(has_nothing, "TopicPartitions must be empty when (re-)joining.")?;
                let wants = self.topics.is_some() || self.topic_regex.is_some();
                check(
                    wants,
                    "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
                )?;
            }
            Presence::Pauses => check(self.instance_id.is_some(), "InstanceId can't be null.")?,
            Presence::Stays(_) | Presence::Leaves => {}
        }
        let names = [&self.instance_id, &self.rack, &self.assignor, &self.topic_regex].into_iter().flatten();
        let mut names = names.chain(self.topics.iter().flatten()).chain([&self.member_id]);
        check(names.all(|it| it.len() <= NAME_SIZE_MAX), "A name is too long.")?;
        let names = || assignors.iter().map(|it| it.name());
        if let Some(assignor) = self.assignor.clone().filter(|it| !names().any(|name| name == it)) {
            let supported = names().collect::<Vec<_>>().join(", ");
            return Err(GroupError::UnsupportedAssignor { assignor, supported });
        }
        self.topic_regex.as_deref().map_or(Ok(()), |it| compiled(it).map(drop))
    }

    /// It says all there is to say, as after an error: it wants to be told all.
    fn is_full(&self) -> bool {
        let wants = self.topics.is_some() || self.topic_regex.is_some();
        self.rebalance_timeout_ms.is_some() && wants && self.owned.is_some()
    }

    fn given_epoch(&self) -> i32 {
        self.presence.to_wire()
    }
}

/// Who a request is from.
pub(super) struct Who {
    pub(super) id: Arc<str>,
    /// The static member that was here under the same name.
    pub(super) replaces: Option<Arc<str>>,
}

impl Consumer {
    /// Nothing changes by this heartbeat: its member is where it is to be, says nothing new, and the topics are those that were looked at.
    pub(in crate::group) fn is_news_free(&self, it: &ConsumerHeartbeat, image_count: u64) -> bool {
        let Some(member) = self.members.get(&*it.member_id) else { return false };
        it.presence == Presence::Stays(self.epoch)
            && member.has.is_at(self.epoch)
            && introduced(Some(&member.said), it) == member.said
            && self.has_seen(image_count)
    }

    pub(in crate::group) fn has_seen(&self, image_count: u64) -> bool {
        self.seen_image == Some(image_count)
    }

    pub(in crate::group) fn heartbeat(
        &mut self,
        turn: &mut Turn<'_>,
        log: &mut Vec<Entry>,
        it: &ConsumerHeartbeat,
    ) -> Result<ConsumerBeat, GroupError> {
        match it.presence {
            Presence::Joins | Presence::Stays(_) => self.show(turn, log, it),
            Presence::Leaves | Presence::Pauses => self.leave(turn, log, it),
        }
    }

    fn show(
        &mut self,
        turn: &mut Turn<'_>,
        log: &mut Vec<Entry>,
        it: &ConsumerHeartbeat,
    ) -> Result<ConsumerBeat, GroupError> {
        let owned = it.owned.as_deref().map(flat);
        let who = self.admit(turn, it, owned.as_ref())?;
        let before = self.members.get(who.replaces.as_ref().unwrap_or(&who.id));
        let said = introduced(before.map(|it| &it.said), it);
        let cause = self.keep(turn, log, &who, said)?;
        let id = who.id;
        let name = self.name.clone();
        let voice = Voice::Epoch(it.given_epoch());
        let target_epoch = self.target.epoch;
        let member = self.member_mut(&id);
        member.hear(it.given_epoch(), owned.as_ref());
        member.begin_session(turn, &name, &id);
        // There must be an epoch that it has not heard of.
        let needs_epoch = member.has.must_begin_anew(voice) && target_epoch <= member.has.epoch;
        let cause = cause.or(needs_epoch.then_some(RebalanceCause::ChangedMember));
        if needs_epoch || self.assignment_stays_ms(turn) == 0 {
            self.distribute(turn, log, cause, &id)?;
        } else {
            self.look_at_topics(turn, log, cause, &id);
        }
        self.check_is_resolved(&id)?;
        let before = self.members[&id].has.clone();
        self.reconcile(turn, log, &id, voice, owned.as_ref())?;
        let member = &self.members[&id];
        let has = &member.has;
        let has_changed = !before.assigned.keys().eq(has.assigned.keys());
        let is_told = has_changed
            || member.may_lack_answer()
            || before.epoch != it.given_epoch()
            || it.presence == Presence::Joins
            || it.is_full();
        Ok(ConsumerBeat {
            member_id: id.to_string(),
            presence: Presence::Stays(has.epoch),
            heartbeat_interval_ms: self.interval_ms(turn, &self.members[&id]),
            assignment: is_told.then(|| by_topic(has.assigned.keys())),
        })
    }

    /// When the member is to come again: soon, while it waits for others or others wait for it, for so long is a partition nobody's, or until the work is distributed anew. Of many members each waits
    /// longer, so that they are not more than the coordinator needs.
    fn interval_ms(&self, turn: &Turn<'_>, member: &Member) -> u32 {
        let usual_ms = turn.config.consumer_heartbeat_interval_ms;
        if member.has.is_at(self.epoch) {
            return usual_ms;
        }
        let count = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
        let soon_ms = UNSETTLED_INTERVAL_MS_MIN.max(count.saturating_mul(UNSETTLED_INTERVAL_MS_PER_MEMBER));
        let is_assigned = self.target.epoch == self.epoch;
        usual_ms.min(if is_assigned { soon_ms } else { soon_ms.max(self.assignment_stays_ms(turn)) })
    }

    /// Who it is, if it may be here.
    fn admit(
        &self,
        turn: &mut Turn<'_>,
        it: &ConsumerHeartbeat,
        owned: Option<&Partitions>,
    ) -> Result<Who, GroupError> {
        let joins = it.presence == Presence::Joins;
        let static_id = it.instance_id.as_ref().and_then(|it| self.instances.get(it));
        if let (Some(static_id), Some(instance_id)) = (static_id, &it.instance_id)
            && **static_id != *it.member_id
        {
            let instance_id = instance_id.clone();
            if !joins {
                return Err(GroupError::FencedInstance { instance_id });
            }
            let old = &self.members[static_id];
            // One of the classic protocol does not say that it only restarts.
            let is_free = old.has.epoch == PAUSED || old.said.upgraded.is_some();
            if !is_free || self.members.contains_key(&*it.member_id) {
                return Err(GroupError::UnreleasedInstance { instance_id });
            }
            let id = new_id(turn, &it.member_id, &it.client_id);
            return Ok(Who { id, replaces: Some(static_id.clone()) });
        }
        if let Some((id, member)) = self.members.get_key_value(&*it.member_id) {
            if member.said.upgraded.is_some() {
                return Err(GroupError::UnknownMember);
            }
            if joins && member.has.epoch == PAUSED {
                return Ok(Who { id: id.clone(), replaces: Some(id.clone()) });
            }
            member.check_epoch(it.given_epoch(), owned)?;
            return Ok(Who { id: id.clone(), replaces: None });
        }
        if !joins {
            return Err(GroupError::UnknownMember);
        }
        if turn.config.consumer_members_max <= self.members.len() {
            return Err(GroupError::Full);
        }
        Ok(Who { id: new_id(turn, &it.member_id, &it.client_id), replaces: None })
    }

    /// Keeps what a member says of itself. Tells why the work is worth distributing anew, if it is.
    pub(super) fn keep(
        &mut self,
        turn: &mut Turn<'_>,
        log: &mut Vec<Entry>,
        who: &Who,
        said: ConsumerMember,
    ) -> Result<Option<RebalanceCause>, GroupError> {
        let before = self.members.get(who.replaces.as_ref().unwrap_or(&who.id)).map(|it| &it.said);
        if who.replaces.is_none() && before == Some(&said) {
            return Ok(None);
        }
        fn wants(it: &ConsumerMember) -> impl PartialEq {
            (&it.topics, &it.topic_regex, &it.assignor, &it.rack)
        }
        let cause = match before {
            None => Some(RebalanceCause::NewMember),
            Some(before) => (wants(before) != wants(&said)).then_some(RebalanceCause::ChangedMember),
        };
        let (group, member) = (self.name.to_string(), who.id.to_string());
        let record = GroupRecord::Member { group, member, value: Some(said) };
        turn.check_fits([&record.encode()])?;
        if let Some(old) = who.replaces.as_ref().map(|id| &self.members[id]) {
            old.check_can_keep(turn, &self.name, &who.id, &old.target)?;
        }
        match &who.replaces {
            Some(old_id) => self.replace(turn, log, old_id, &who.id, record),
            None => self.put(log, record),
        }
        Ok(cause)
    }

    /// A static member is back: it has the work it had, if it is still to have it.
    fn replace(
        &mut self,
        turn: &mut Turn<'_>,
        log: &mut Vec<Entry>,
        old_id: &Arc<str>,
        new_id: &Arc<str>,
        said: GroupRecord,
    ) {
        tracing::info!(group = ?self.name, member = ?new_id, before = ?old_id, "a static member is back");
        let old = &self.members[old_id];
        let (target, has) = (old.target.clone(), Holding { epoch: 0, previous_epoch: 0, ..old.has.clone() });
        self.strike(turn, log, old_id);
        self.put(log, said);
        let (group, member) = (self.name.to_string(), new_id.to_string());
        let value = Some(by_topic(&target));
        self.put(log, GroupRecord::MemberTarget { group: group.clone(), member: member.clone(), value });
        self.put(log, GroupRecord::Assignment { group, member, value: Some(has.record()) });
    }

    /// Distributes the work, if that is worth doing, for this cause or an earlier one.
    pub(super) fn distribute(
        &mut self,
        turn: &mut Turn<'_>,
        log: &mut Vec<Entry>,
        cause: Option<RebalanceCause>,
        id: &Arc<str>,
    ) -> Result<(), GroupError> {
        self.look_at_topics(turn, log, cause, id);
        if self.target.epoch < self.epoch { self.assign(turn, log) } else { Ok(()) }
    }

    /// Other topics than before may be a cause too.
    pub(super) fn look_at_topics(
        &mut self,
        turn: &mut Turn<'_>,
        log: &mut Vec<Entry>,
        cause: Option<RebalanceCause>,
        id: &Arc<str>,
    ) {
        if cause.is_none() && self.has_seen(turn.shared.image_count) {
            return;
        }
        self.resolve(turn, log);
        let have_changed = || self.hash_topics(&turn.shared.image) != self.topics_hash;
        if let Some(cause) = cause.or_else(|| have_changed().then_some(RebalanceCause::TopicsChanged)) {
            self.bump(turn, log, cause, id);
        }
    }

    /// Brings a member as close to what it is to get as others allow.
    pub(super) fn reconcile(
        &mut self,
        turn: &mut Turn<'_>,
        log: &mut Vec<Entry>,
        id: &Arc<str>,
        voice: Voice,
        owned: Option<&Partitions>,
    ) -> Result<(), GroupError> {
        let member = &self.members[id];
        let aim = Aim { target: &member.target, target_epoch: self.target.epoch, voice, owned };
        let is_free = |it: &_| self.owners.get(it).is_none_or(|owner| owner == id);
        let Some(next) = member.has.next(&aim, is_free)? else { return Ok(()) };
        let (group, member) = (self.name.to_string(), id.to_string());
        self.put(log, GroupRecord::Assignment { group, member, value: Some(next.record()) });
        let name = self.name.clone();
        self.member_mut(id).time_revocation(turn, &name, id);
        Ok(())
    }
}

impl Member {
    /// Whether the member is where it believes to be, or would be there had it got the last answer. Whoever joins has nothing, and may come at any time.
    fn check_epoch(&self, given: i32, owned: Option<&Partitions>) -> Result<(), GroupError> {
        let epoch = self.has.epoch;
        let may_have_lost_answer =
            given == self.has.previous_epoch && given < epoch && self.confirmed_epoch < epoch;
        // In the epoch before it has nothing that is another's by now.
        let has_only_its_own = || owned.is_none_or(|it| it.iter().all(|it| self.has.since(it).is_some()));
        if given == 0 || given == epoch || may_have_lost_answer && has_only_its_own() {
            return Ok(());
        }
        Err(GroupError::FencedEpoch { epoch })
    }

    /// What it says tells which answers it has got.
    fn hear(&mut self, given_epoch: i32, owned: Option<&Partitions>) {
        self.confirmed_epoch = self.confirmed_epoch.max(given_epoch);
        if let Some(owned) = owned {
            self.reported = Some(Reported::of(owned, &self.has));
        }
    }

    /// It may not have got the answer that told of something that came free, or that it is to give up: it is told until it says that it has what it is to have.
    fn may_lack_answer(&self) -> bool {
        self.reported.as_ref().is_some_and(|it| !it.is_just(&self.has.assigned))
    }
}

pub(super) fn new_id(turn: &mut Turn<'_>, own: &str, client: &str) -> Arc<str> {
    if own.is_empty() { turn.new_member_id(client) } else { own.into() }
}
