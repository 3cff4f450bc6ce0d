//! By which protocol a group's members share their work.

use super::classic::{Classic, Topics};
use super::commit::Manner;
use super::consumer::Consumer;
use super::timers::Timer;
use super::turn::Turn;
use super::{
    ByTopic, ConsumerBeat, ConsumerHeartbeat, Group, GroupError, GroupState, Identity, Join, Leaving, Left,
    Listed, NewOffset, Presence, Reply, Sync,
};
use crate::record::{ClassicGroup, GroupRecord};
use crate::{Entry, RequestId};

#[derive(Debug)]
pub(super) enum Protocol {
    /// Also of a group that never had members.
    Classic(Classic),
    Consumer(Consumer),
}

impl Protocol {
    /// No members, nor any on their way.
    pub(super) fn is_unused(&self) -> bool {
        match self {
            Self::Classic(it) => it.is_unused(),
            Self::Consumer(it) => it.state() == GroupState::Empty,
        }
    }

    /// The log has something of it.
    pub(super) fn is_recorded(&self) -> bool {
        match self {
            Self::Classic(it) => it.is_recorded,
            Self::Consumer(it) => it.is_recorded(),
        }
    }

    pub(super) fn state(&self) -> GroupState {
        match self {
            Self::Classic(it) => it.state(),
            Self::Consumer(it) => it.state(),
        }
    }

    pub(super) fn start(&mut self, turn: &mut Turn<'_>) {
        match self {
            Self::Classic(it) => it.start(turn),
            Self::Consumer(it) => it.start(turn),
        }
    }

    pub(super) fn go_on(&mut self, turn: &mut Turn<'_>) {
        match self {
            Self::Classic(it) => it.go_on(turn),
            Self::Consumer(it) => it.go_on(turn),
        }
    }

    pub(super) fn list(&self) -> Listed {
        match self {
            Self::Classic(it) => it.list(),
            Self::Consumer(it) => it.list(),
        }
    }

    /// What members read.
    pub(super) fn topics(&self) -> Topics {
        match self {
            Self::Classic(it) => it.topics(),
            Self::Consumer(it) => Topics::Known(it.wanted()),
        }
    }

    /// It is known what its members read.
    pub(super) fn is_of_consumers(&self) -> bool {
        match self {
            Self::Classic(it) => it.is_of_consumers(),
            Self::Consumer(_) => true,
        }
    }

    /// What takes the group, which has no members, out of the log, if it is there. Whoever was on the way need not come any more.
    pub(super) fn dissolve(&mut self, turn: &mut Turn<'_>) -> Vec<Entry> {
        match self {
            Self::Classic(it) => {
                it.dismiss(turn);
                it.tombstone().into_iter().collect()
            }
            Self::Consumer(it) => it.tombstones(),
        }
    }

    /// Whether offsets may be committed by whoever says it is this.
    pub(super) fn check_commit(
        &mut self,
        turn: &mut Turn<'_>,
        who: &Identity,
        topics: &ByTopic<NewOffset>,
        manner: Manner,
    ) -> Result<(), GroupError> {
        match self {
            Self::Classic(it) => {
                it.check_commit(who, manner == Manner::Transactional)?;
                // Whoever commits is alive.
                if matches!(it.state(), GroupState::Stable | GroupState::PreparingRebalance) {
                    it.renew(turn, &who.member_id);
                }
                Ok(())
            }
            Self::Consumer(it) => it.check_commit(who, topics, manner),
        }
    }
}

impl Group {
    pub(super) fn classic(&mut self) -> Option<&mut Classic> {
        match &mut self.protocol {
            Protocol::Classic(it) => Some(it),
            Protocol::Consumer(_) => None,
        }
    }

    #[cfg(test)]
    pub(super) fn as_classic(&self) -> Option<&Classic> {
        match &self.protocol {
            Protocol::Classic(it) => Some(it),
            Protocol::Consumer(_) => None,
        }
    }

    pub(super) fn consumer(&self) -> Option<&Consumer> {
        match &self.protocol {
            Protocol::Classic(_) => None,
            Protocol::Consumer(it) => Some(it),
        }
    }

    /// A client of the classic protocol joins. Answers now, or when all have joined.
    pub(super) fn join(&mut self, turn: &mut Turn<'_>, id: RequestId, it: &Join) {
        match &mut self.protocol {
            Protocol::Classic(classic) => classic.join(turn, id, it),
            Protocol::Consumer(consumer) if consumer.state() == GroupState::Empty => {
                let entries = consumer.tombstones();
                turn.append(None, entries);
                let mut classic = Classic::new(self.name.clone());
                classic.join(turn, id, it);
                self.protocol = Protocol::Classic(classic);
            }
            Protocol::Consumer(consumer) => {
                let mut log = Vec::new();
                let joined = consumer.join(turn, &mut log, it);
                turn.answer(id, Reply::Join(joined));
                self.conclude(turn, log);
            }
        }
    }

    /// Answers now, or when the leader was there.
    pub(super) fn sync(&mut self, turn: &mut Turn<'_>, id: RequestId, it: &Sync) {
        match &mut self.protocol {
            Protocol::Classic(classic) => classic.sync(turn, id, it),
            Protocol::Consumer(consumer) => {
                let synced = consumer.sync(turn, it);
                turn.answer(id, Reply::Sync(synced));
            }
        }
    }

    pub(super) fn heartbeat(&mut self, turn: &mut Turn<'_>, who: &Identity) -> Result<(), GroupError> {
        match &mut self.protocol {
            Protocol::Classic(classic) => classic.heartbeat(turn, who),
            Protocol::Consumer(consumer) => {
                let mut log = Vec::new();
                let beaten = consumer.beat(turn, &mut log, who);
                turn.append(None, log);
                beaten
            }
        }
    }

    pub(super) fn leave(&mut self, turn: &mut Turn<'_>, members: Vec<Leaving>) -> Vec<Left> {
        match &mut self.protocol {
            Protocol::Classic(classic) => classic.leave(turn, members),
            Protocol::Consumer(consumer) => {
                let mut log = Vec::new();
                let left = consumer.remove_all(turn, &mut log, members);
                self.conclude(turn, log);
                left
            }
        }
    }

    pub(super) fn consumer_heartbeat(
        &mut self,
        turn: &mut Turn<'_>,
        it: &ConsumerHeartbeat,
    ) -> Result<ConsumerBeat, GroupError> {
        if it.presence != Presence::Joins && self.consumer().is_none() {
            return Err(GroupError::UnknownMember);
        }
        let Protocol::Consumer(consumer) = &mut self.protocol else { return self.upgrade(turn, it) };
        let mut log = Vec::new();
        let beat = consumer.heartbeat(turn, &mut log, it);
        self.conclude(turn, log);
        beat
    }

    pub(super) fn timer_fired(&mut self, turn: &mut Turn<'_>, timer: &Timer) {
        let mut log = Vec::new();
        match (&mut self.protocol, timer) {
            (Protocol::Classic(it), Timer::Phase(_)) => it.phase_timer_fired(turn),
            (Protocol::Classic(it), Timer::Session(_, member)) => it.session_timer_fired(turn, member),
            (Protocol::Consumer(it), Timer::Session(_, member)) => {
                it.session_timer_fired(turn, &mut log, member);
            }
            (Protocol::Consumer(it), Timer::Duty(_, member)) => it.duty_timer_fired(turn, &mut log, member),
            (protocol, timer) => panic!("{timer:?} of {protocol:?}"),
        }
        self.conclude(turn, log);
    }

    pub(super) fn replay_classic(&mut self, record: &ClassicGroup) {
        if self.classic().is_none() {
            self.protocol = Protocol::Classic(Classic::new(self.name.clone()));
        }
        self.classic().expect("it is one now").apply(record);
    }

    /// What the log says of groups of the consumer protocol, and of a classic one that is no more. A tombstone may be older than what it does not concern: the group may have
    /// changed its protocol.
    pub(super) fn replay(&mut self, record: GroupRecord) {
        let is_tombstone = match &record {
            GroupRecord::Classic { value, .. } => {
                assert!(value.is_none(), "a classic group is replayed as one");
                if self.classic().is_some() {
                    self.protocol = Protocol::Classic(Classic::new(self.name.clone()));
                }
                return;
            }
            GroupRecord::Consumer { value, .. } => value.is_none(),
            GroupRecord::Member { value, .. } => value.is_none(),
            GroupRecord::Target { value, .. } => value.is_none(),
            GroupRecord::MemberTarget { value, .. } => value.is_none(),
            GroupRecord::Assignment { value, .. } => value.is_none(),
            GroupRecord::Regex { value, .. } => value.is_none(),
            GroupRecord::Offset { .. } => panic!("not of the members: {record:?}"),
        };
        match &mut self.protocol {
            Protocol::Classic(_) if is_tombstone => {}
            Protocol::Consumer(_) if is_tombstone && matches!(record, GroupRecord::Consumer { .. }) => {
                self.protocol = Protocol::Classic(Classic::new(self.name.clone()));
            }
            Protocol::Consumer(it) => it.apply(record),
            Protocol::Classic(_) => {
                let mut consumer = Consumer::new(self.name.clone());
                consumer.apply(record);
                self.protocol = Protocol::Consumer(consumer);
            }
        }
    }
}
