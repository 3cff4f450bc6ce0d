//! A group of the classic protocol: its members choose a leader among them, who distributes the work.
//!
//! ```text
//!             first member                      all joined                    the leader has synced
//!   Empty ------------------> PreparingRebalance ---------> CompletingRebalance -----------------> Stable
//!     ^  all gone                 |      ^                        | somebody comes, goes or changes   |
//!     +---------------------------+      +------------------------+-----------------------------------+
//! ```
//!
//! What is kept of it is the record of its newest stable (or empty) generation. Everything between two records is the members' to repeat when another node leads.

use std::collections::BTreeMap;
use std::sync::Arc;

use klamm_model::Timestamp;

use super::embedded::CONSUMER;
use super::pending::Place;
use super::timers::{Deadline, Timer};
use super::turn::{RebalanceCause, Turn};
use super::{GroupError, GroupState, Identity, Reply};
use crate::record::{ClassicGroup, GroupRecord};
use crate::{Entry, RequestId};

#[cfg(test)]
mod audit;
mod describe;
mod join;
mod leave;
mod member;
mod migration;
mod rebalance;
mod sync;
mod topics;

pub(super) use member::Member;
use member::Parked;
use rebalance::{Initial, Reason};
pub(super) use topics::Topics;

#[derive(Debug)]
pub(super) struct Classic {
    pub(super) name: Arc<str>,
    state: ClassicState,
    /// Since when, as of the newest record.
    since: Option<Timestamp>,
    generation: i32,
    /// What members do; `None` if there never was one.
    protocol_type: Option<String>,
    /// How the work of this generation is distributed.
    protocol: Option<String>,
    leader: Option<Arc<str>>,
    members: BTreeMap<Arc<str>, Member>,
    /// Static members by the name they keep.
    instances: BTreeMap<String, Arc<str>>,
    /// How many members support a protocol.
    supported: BTreeMap<String, usize>,
    /// Members that wait for the next generation.
    joining_count: usize,
    /// Members of this generation that have not asked for their work.
    unsynced_count: usize,
    /// Bytes that the members hold.
    size: usize,
    /// Who was told an id and has not come with it yet.
    pending: BTreeMap<Arc<str>, Newcomer>,
    /// A new group waits for more members.
    initial: Option<Initial>,
    /// When the time to join, or to sync, is up.
    phase: Deadline,
    /// The log has a record of it.
    pub(super) is_recorded: bool,
}

/// Who was told an id and has not come with it yet.
#[derive(Debug)]
struct Newcomer {
    place: Place,
    /// Until when it is waited for.
    deadline: Deadline,
}

/// Where a group is on its way to its next generation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ClassicState {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
}

impl From<ClassicState> for GroupState {
    fn from(it: ClassicState) -> Self {
        match it {
            ClassicState::Empty => Self::Empty,
            ClassicState::PreparingRebalance => Self::PreparingRebalance,
            ClassicState::CompletingRebalance => Self::CompletingRebalance,
            ClassicState::Stable => Self::Stable,
        }
    }
}

impl Classic {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            state: ClassicState::Empty,
            since: None,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            supported: BTreeMap::new(),
            joining_count: 0,
            unsynced_count: 0,
            size: 0,
            pending: BTreeMap::new(),
            initial: None,
            phase: Deadline::default(),
            is_recorded: false,
        }
    }

    /// Makes the group what a record says, whether that was read or is being appended: in the second case members keep what is no record's.
    pub(super) fn apply(&mut self, record: &ClassicGroup) {
        let protocol = record.protocol.as_deref().unwrap_or_default();
        let mut before = std::mem::take(&mut self.members);
        self.delist_all();
        for it in &record.members {
            if self.members.contains_key(&*it.id) {
                continue;
            }
            let (id, mut member) =
                before.remove_entry(&*it.id).unwrap_or_else(|| (it.id.as_str().into(), Member::default()));
            member.apply(it, protocol);
            self.enlist(id, member);
        }
        let is_empty = self.members.is_empty();
        self.state = if is_empty { ClassicState::Empty } else { ClassicState::Stable };
        self.since = record.since;
        self.generation = record.generation;
        self.protocol_type = Some(record.protocol_type.clone()).filter(|it| !it.is_empty());
        self.protocol.clone_from(&record.protocol);
        self.leader = record.leader.as_deref().map(Arc::from);
        self.is_recorded = true;
    }

    /// The record of the group as it is now.
    fn record(&self) -> ClassicGroup {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        ClassicGroup {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.as_deref().map(str::to_owned),
            since: self.since,
            members: self.members.iter().map(|(id, member)| member.record(id, protocol)).collect(),
        }
    }

    /// Appends the record and makes the group what it says, or refuses before anything has changed.
    fn persist(&mut self, turn: &mut Turn<'_>, record: ClassicGroup) -> Result<(), GroupError> {
        let record = GroupRecord::Classic { group: self.name.to_string(), value: Some(record) };
        let entry = record.encode();
        // Nothing is smaller than a group without members.
        if !self.members.is_empty() {
            turn.check_fits([&entry])?;
        }
        turn.append(None, [entry]);
        if let GroupRecord::Classic { value: Some(record), .. } = record {
            self.apply(&record);
        }
        Ok(())
    }

    /// What takes the group out of the log, if it is there.
    pub(super) fn tombstone(&self) -> Option<Entry> {
        let record = GroupRecord::Classic { group: self.name.to_string(), value: None };
        self.is_recorded.then(|| record.encode())
    }

    /// Whoever was on the way need not come any more.
    pub(super) fn dismiss(&mut self, turn: &mut Turn<'_>) {
        while let Some((id, _)) = self.pending.first_key_value() {
            let id = id.clone();
            self.forget_pending(turn, &id);
        }
    }

    /// No members, nor any on their way.
    pub(super) fn is_unused(&self) -> bool {
        self.state == ClassicState::Empty && self.pending.is_empty()
    }

    pub(super) fn state(&self) -> GroupState {
        self.state.into()
    }

    pub(super) fn generation(&self) -> i32 {
        self.generation
    }

    pub(super) fn member_count(&self) -> usize {
        self.members.len()
    }

    pub(super) fn since(&self) -> Option<Timestamp> {
        self.since
    }

    pub(super) fn protocol_type(&self) -> Option<&str> {
        self.protocol_type.as_deref()
    }

    pub(super) fn is_of_consumers(&self) -> bool {
        self.protocol_type() == Some(CONSUMER)
    }

    /// Loading is over, or the group has just come from the consumer protocol: whoever is a member may be silent for a whole session from now on. Where nobody leads them
    /// yet, they are to choose somebody; where they are more than there may be, the last to come again have to go.
    pub(super) fn start(&mut self, turn: &mut Turn<'_>) {
        self.begin_sessions(turn);
        let Some(first) = self.members.keys().next().cloned() else { return };
        if self.leader.is_none() {
            self.rebalance(turn, &Reason::new(RebalanceCause::ProtocolChanged, &first, None));
        } else if turn.config.members_max < self.members.len() {
            self.rebalance(turn, &Reason::new(RebalanceCause::OverCapacity, &first, None));
        }
    }

    /// Nobody was answered for a while: all may be silent for a whole session from now on, and take all the time of a rebalance.
    pub(super) fn go_on(&mut self, turn: &mut Turn<'_>) {
        self.begin_sessions(turn);
        if self.phase.is_set() && self.initial.is_none() {
            self.wait_for_members(turn);
        }
    }

    fn begin_sessions(&mut self, turn: &mut Turn<'_>) {
        for (id, member) in &mut self.members {
            member.begin_session(turn, &self.name, id);
        }
    }

    /// The member, if it is who it says it is.
    fn check_member(&self, id: &str, instance_id: Option<&str>) -> Result<(), GroupError> {
        if let Some(instance_id) = instance_id {
            match self.instances.get(instance_id) {
                None => return Err(GroupError::UnknownMember),
                Some(current) if **current != *id => {
                    return Err(GroupError::FencedInstance { instance_id: instance_id.to_owned() });
                }
                Some(_) => {}
            }
        }
        if self.members.contains_key(id) { Ok(()) } else { Err(GroupError::UnknownMember) }
    }

    fn check_identity(&self, it: &Identity) -> Result<(), GroupError> {
        self.check_member(&it.member_id, it.instance_id.as_deref())?;
        if it.generation == Some(self.generation) { Ok(()) } else { Err(GroupError::IllegalGeneration) }
    }

    /// A sign of life.
    pub(super) fn heartbeat(&mut self, turn: &mut Turn<'_>, who: &Identity) -> Result<(), GroupError> {
        self.check_identity(who)?;
        self.renew(turn, &who.member_id);
        if self.state == ClassicState::PreparingRebalance {
            Err(GroupError::RebalanceInProgress)
        } else {
            Ok(())
        }
    }

    /// Whether offsets may be committed by whoever says it is this.
    pub(super) fn check_commit(&self, who: &Identity, is_transactional: bool) -> Result<(), GroupError> {
        let is_empty = self.state == ClassicState::Empty;
        let is_nobody = who.member_id.is_empty() && who.instance_id.is_none();
        match who.generation {
            // Somebody who uses the offsets without being a member, or resets them.
            None if is_empty => return Ok(()),
            // Producers before version 3 cannot say whom they commit for.
            None if is_nobody && is_transactional => return Ok(()),
            None if is_nobody => return Err(GroupError::UnknownMember),
            _ => self.check_identity(who)?,
        }
        // The member has no work yet that it could have done.
        if self.state == ClassicState::CompletingRebalance && !is_transactional {
            return Err(GroupError::RebalanceInProgress);
        }
        Ok(())
    }

    /// A member's session begins again.
    pub(super) fn renew(&mut self, turn: &mut Turn<'_>, id: &str) {
        if let Some((id, _)) = self.members.get_key_value(id) {
            let id = id.clone();
            self.members.get_mut(&id).expect("found above").begin_session(turn, &self.name, &id);
        }
    }

    fn enlist(&mut self, id: Arc<str>, member: Member) {
        self.size += member.size();
        self.joining_count += usize::from(member.is_joining());
        self.unsynced_count += usize::from(member.owes_sync);
        for (protocol, _) in &member.protocols {
            match self.supported.get_mut(protocol) {
                Some(count) => *count += 1,
                None => drop(self.supported.insert(protocol.clone(), 1)),
            }
        }
        if let Some(instance_id) = &member.instance_id {
            self.instances.insert(instance_id.clone(), id.clone());
        }
        self.members.insert(id, member);
    }

    fn delist(&mut self, id: &str) -> Option<(Arc<str>, Member)> {
        let (id, member) = self.members.remove_entry(id)?;
        self.size -= member.size();
        self.joining_count -= usize::from(member.is_joining());
        self.unsynced_count -= usize::from(member.owes_sync);
        for (protocol, _) in &member.protocols {
            let count = self.supported.get_mut(protocol).expect("counted when the member was enlisted");
            *count -= 1;
            if *count == 0 {
                self.supported.remove(protocol);
            }
        }
        if let Some(instance_id) = &member.instance_id {
            self.instances.remove(instance_id);
        }
        Some((id, member))
    }

    fn delist_all(&mut self) {
        self.members.clear();
        self.instances.clear();
        self.supported.clear();
        (self.joining_count, self.unsynced_count, self.size) = (0, 0, 0);
    }

    /// Whoever waited with the member's request is told why it waits no longer; somebody else leads if the member did.
    fn remove(&mut self, turn: &mut Turn<'_>, id: &str, why: &GroupError) {
        let Some((id, mut member)) = self.delist(id) else { return };
        member.end_session(turn, &self.name, &id);
        if let Some(parked) = member.parked {
            parked.refuse(turn, why.clone());
        }
        if self.leader.as_deref() == Some(&*id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    fn forget_pending(&mut self, turn: &mut Turn<'_>, id: &str) -> bool {
        let Some((id, mut newcomer)) = self.pending.remove_entry(id) else { return false };
        newcomer.deadline.cancel(&mut turn.shared.timers, session_timer(&self.name, &id));
        turn.shared.pending.remove(&self.name, newcomer.place);
        true
    }

    fn is_leader(&self, id: &str) -> bool {
        self.leader.as_deref() == Some(id)
    }

    fn park(&mut self, turn: &mut Turn<'_>, id: &str, request: Parked) {
        let member = self.members.get_mut(id).expect("only members' requests are parked");
        let was_joining = member.is_joining();
        // The same member asks twice: the connection on which it asked first is not its any more.
        if let Some(earlier) = member.parked.replace(request) {
            earlier.refuse(turn, GroupError::RebalanceInProgress);
        }
        self.joining_count += usize::from(member.is_joining());
        self.joining_count -= usize::from(was_joining);
    }
}

fn phase_timer(group: &Arc<str>) -> impl Fn() -> Timer {
    || Timer::Phase(group.clone())
}

fn session_timer(group: &Arc<str>, member: &Arc<str>) -> impl Fn() -> Timer {
    || Timer::Session(group.clone(), member.clone())
}

impl Parked {
    fn refuse(self, turn: &mut Turn<'_>, why: GroupError) {
        match self {
            Self::Join(id) => turn.answer(id, Reply::Join(Err(why))),
            Self::Sync(id) => turn.answer(id, Reply::Sync(Err(why))),
        }
    }
}
