//! A group of the consumer protocol (KIP-848): the coordinator distributes the work, and members come to have theirs one by one.
//!
//! ```text
//!   group epoch      counts what makes the work worth distributing anew        Assigning:   target epoch < group epoch
//!   target epoch     the group epoch that the work was last distributed for    Reconciling: somebody's epoch < target epoch, or somebody waits
//!   member's epoch   the target epoch that the member works by                 Stable:      all are there
//! ```
//!
//! A member gets a partition when nobody else has it any more: whoever is to lose it says so first, or is gone. So no partition ever has two owners, as far as members do
//! what they are told; whoever does not is out after its time.
//!
//! All of that is in the log, each member by itself. What is not: when sessions end, and for which topics the members' wishes were last looked at.

use std::collections::BTreeMap;
use std::sync::Arc;

use klamm_model::TopicPartition;
use rustc_hash::FxHashMap;

use super::commit::Manner;
use super::timers::Timer;
use super::turn::Turn;
use super::{ByTopic, GroupError, GroupState, Identity, NewOffset};
use crate::Entry;
use crate::record::{ConsumerGroup, ConsumerTarget, GroupRecord, ResolvedRegex};

mod assignor;
#[cfg(test)]
mod audit;
mod classics;
mod describe;
mod heartbeat;
mod leave;
mod member;
mod migration;
mod partitions;
mod reconcile;
mod target;
mod topics;

pub use assignor::Assignor;
pub(super) use member::sorted;
use member::{Holding, Member};
pub(super) use partitions::by_topic;
use partitions::{Partitions, flat};

#[derive(Debug)]
pub(super) struct Consumer {
    name: Arc<str>,
    /// 0: nobody ever was a member, and the log has nothing of it.
    epoch: i32,
    /// Of the topics that members want, as they were at that epoch.
    topics_hash: i64,
    target: ConsumerTarget,
    members: BTreeMap<Arc<str>, Member>,
    /// Static members by the name they keep.
    instances: BTreeMap<String, Arc<str>>,
    /// What members' regular expressions stand for.
    regexes: BTreeMap<String, ResolvedRegex>,
    /// Who has a partition, or has not yet given it up.
    owners: FxHashMap<TopicPartition, Arc<str>>,
    /// Which of the shard's images was looked at last.
    seen_image: Option<u64>,
}

impl Consumer {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            epoch: 0,
            topics_hash: 0,
            target: ConsumerTarget { epoch: 0, at: None },
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            regexes: BTreeMap::new(),
            owners: FxHashMap::default(),
            seen_image: None,
        }
    }

    /// Makes the group what a record says, whether that was read or is being appended. A log that was compacted may speak of what a member has before it speaks of the
    /// member.
    pub(super) fn apply(&mut self, record: GroupRecord) {
        match record {
            GroupRecord::Consumer { value: Some(it), .. } => {
                (self.epoch, self.topics_hash) = (it.epoch, it.metadata_hash);
            }
            GroupRecord::Member { member, value: Some(said), .. } => {
                let id = self.obtain(&member);
                self.forget_instance(&id);
                if let Some(instance_id) = &said.instance_id {
                    self.instances.insert(instance_id.clone(), id.clone());
                }
                self.member_mut(&id).said = said;
            }
            GroupRecord::Member { member, value: None, .. } => {
                self.forget_instance(&member);
                self.hold(&member, Holding::default());
                self.members.remove(&*member);
            }
            GroupRecord::Target { value, .. } => {
                self.target = value.unwrap_or(ConsumerTarget { epoch: 0, at: None });
            }
            GroupRecord::MemberTarget { member, value: Some(share), .. } => {
                let id = self.obtain(&member);
                self.member_mut(&id).target = flat(&share);
            }
            GroupRecord::MemberTarget { member, value: None, .. } => {
                if let Some(it) = self.members.get_mut(&*member) {
                    it.target = Partitions::new();
                }
            }
            GroupRecord::Assignment { member, value: Some(it), .. } => {
                let id = self.obtain(&member);
                self.hold(&id, Holding::from(&it));
            }
            GroupRecord::Assignment { member, value: None, .. } => self.hold(&member, Holding::default()),
            GroupRecord::Regex { regex, value: Some(it), .. } => drop(self.regexes.insert(regex, it)),
            GroupRecord::Regex { regex, value: None, .. } => drop(self.regexes.remove(&regex)),
            // The first two are others' matter, and without the third there is no group.
            GroupRecord::Offset { .. } | GroupRecord::Classic { .. } | GroupRecord::Consumer { .. } => {
                panic!("not of a member or its group: {record:?}")
            }
        }
    }

    /// Changes the group by a record that is to be appended.
    fn put(&mut self, log: &mut Vec<Entry>, record: GroupRecord) {
        log.push(record.encode());
        self.apply(record);
    }

    fn obtain(&mut self, member: &str) -> Arc<str> {
        if let Some((id, _)) = self.members.get_key_value(member) {
            return id.clone();
        }
        let id: Arc<str> = member.into();
        self.members.insert(id.clone(), Member::default());
        id
    }

    fn member_mut(&mut self, id: &str) -> &mut Member {
        self.members.get_mut(id).expect("a member")
    }

    fn forget_instance(&mut self, member: &str) {
        let instance_id = self.members.get(member).and_then(|it| it.said.instance_id.as_ref());
        if let Some(instance_id) = instance_id
            && self.instances.get(instance_id).is_some_and(|it| **it == *member)
        {
            self.instances.remove(instance_id);
        }
    }

    fn hold(&mut self, member: &str, holding: Holding) {
        let Some((id, _)) = self.members.get_key_value(member) else { return };
        let id = id.clone();
        let before = std::mem::replace(&mut self.member_mut(&id).has, holding);
        for partition in before.partitions() {
            if self.owners.get(&partition).is_some_and(|it| *it == id) {
                self.owners.remove(&partition);
            }
        }
        for partition in self.members[&id].has.partitions() {
            self.owners.insert(partition, id.clone());
        }
    }

    /// What takes the group out of the log, if it is there.
    pub(super) fn tombstones(&self) -> Vec<Entry> {
        if !self.is_recorded() {
            return Vec::new();
        }
        let group = self.name.to_string();
        let members = self.members.keys().flat_map(|member| {
            let (group, member) = (group.clone(), member.to_string());
            [
                GroupRecord::Assignment { group: group.clone(), member: member.clone(), value: None },
                GroupRecord::MemberTarget { group: group.clone(), member: member.clone(), value: None },
                GroupRecord::Member { group, member, value: None },
            ]
        });
        let regexes = self.regexes.keys().map(|regex| GroupRecord::Regex {
            group: group.clone(),
            regex: regex.clone(),
            value: None,
        });
        let records = members.chain(regexes).chain([
            GroupRecord::Target { group: group.clone(), value: None },
            GroupRecord::Consumer { group: group.clone(), value: None },
        ]);
        records.map(|it| it.encode()).collect()
    }

    /// A log that was compacted may speak of it before it says that there is such a group.
    pub(super) fn is_recorded(&self) -> bool {
        0 < self.epoch || 0 < self.target.epoch || !self.regexes.is_empty() || !self.members.is_empty()
    }

    pub(super) fn name(&self) -> Arc<str> {
        self.name.clone()
    }

    pub(super) fn member_count(&self) -> usize {
        self.members.len()
    }

    /// There is none of its own protocol, and some of the classic one.
    pub(super) fn has_only_classics(&self) -> bool {
        !self.members.is_empty() && self.members.values().all(|it| it.said.upgraded.is_some())
    }

    /// It is no more.
    pub(super) fn end_timers(&mut self, turn: &mut Turn<'_>) {
        for (id, member) in &mut self.members {
            member.end_timers(turn, &self.name, id);
        }
    }

    #[cfg(test)]
    pub(super) fn epoch_of(&self, id: &str) -> Option<i32> {
        self.members.get(id).map(|it| it.has.epoch)
    }

    /// How many partitions are kept of what the member last said that it has.
    #[cfg(test)]
    pub(super) fn reported_count(&self, id: &str) -> Option<usize> {
        Some(self.members.get(id)?.reported.as_ref()?.of_its.len())
    }

    #[cfg(test)]
    pub(super) fn has_member(&self, id: &str) -> bool {
        self.members.contains_key(id)
    }

    pub(super) fn state(&self) -> GroupState {
        if self.members.is_empty() {
            GroupState::Empty
        } else if self.target.epoch < self.epoch {
            GroupState::Assigning
        } else if self.members.values().all(|it| it.has.is_at(self.target.epoch)) {
            GroupState::Stable
        } else {
            GroupState::Reconciling
        }
    }

    /// Loading is over: whoever is a member may be silent for a whole session from now on, and has all its time to give up what it must.
    pub(super) fn start(&mut self, turn: &mut Turn<'_>) {
        for (id, member) in &mut self.members {
            member.begin_session(turn, &self.name, id);
            member.time_revocation(turn, &self.name, id);
        }
    }

    /// Nobody was answered for a while: they have all of that anew.
    pub(super) fn go_on(&mut self, turn: &mut Turn<'_>) {
        for (id, member) in &mut self.members {
            member.begin_session(turn, &self.name, id);
            member.time_duty_anew(turn, &self.name, id);
        }
    }

    /// Whether offsets may be committed by whoever says it is this. A member may be behind, as far as it has had the partitions ever since (KIP-1251).
    pub(super) fn check_commit(
        &self,
        who: &Identity,
        topics: &ByTopic<NewOffset>,
        manner: Manner,
    ) -> Result<(), GroupError> {
        let is_nobody = who.member_id.is_empty() && who.instance_id.is_none();
        let Some(epoch) = who.generation.or((!is_nobody).then_some(-1)) else {
            // Who resets offsets while nobody uses them. Producers before version 3 cannot say whom they commit for: only the classic protocol takes them at their
            // word, as it did before they could.
            return if self.members.is_empty() { Ok(()) } else { Err(GroupError::UnknownMember) };
        };
        let member = self.members.get(&*who.member_id).ok_or(GroupError::UnknownMember)?;
        if member.said.upgraded.is_none() && manner == (Manner::Plain { knows_epochs: false }) {
            return Err(GroupError::NoEpochs);
        }
        let has = &member.has;
        let mut named = topics.iter().flat_map(|it| it.partitions.iter().map(|(at, _)| (it.id, *at)));
        let had_since_then = |(topic, partition)| {
            let since = Option::and_then(topic, |topic| has.since(&TopicPartition { topic, partition }));
            since.is_some_and(|since| since <= epoch)
        };
        if has.epoch == epoch || 0 <= epoch && epoch < has.epoch && named.all(had_since_then) {
            return Ok(());
        }
        Err(member.is_elsewhere())
    }

    /// Whether whoever says it is this may be told offsets.
    pub(super) fn check_fetch(&self, who: &Identity) -> Result<(), GroupError> {
        let member = self.members.get(&*who.member_id).ok_or(GroupError::UnknownMember)?;
        if who.generation == Some(member.has.epoch) { Ok(()) } else { Err(member.is_elsewhere()) }
    }

    fn record(&self, epoch: i32, metadata_hash: i64) -> GroupRecord {
        GroupRecord::Consumer {
            group: self.name.to_string(),
            value: Some(ConsumerGroup { epoch, metadata_hash }),
        }
    }
}

fn session_timer(group: &Arc<str>, member: &Arc<str>) -> impl Fn() -> Timer {
    || Timer::Session(group.clone(), member.clone())
}

fn duty_timer(group: &Arc<str>, member: &Arc<str>) -> impl Fn() -> Timer {
    || Timer::Duty(group.clone(), member.clone())
}
