//! Members go.

use std::sync::Arc;

use super::Consumer;
use super::member::{Holding, PAUSED};
use super::partitions::Owned;
use crate::Entry;
use crate::group::turn::{RebalanceCause, Turn};
use crate::group::{ConsumerBeat, ConsumerHeartbeat, GroupError, Leaving, Left, Presence};
use crate::record::{GroupRecord, Reconciliation};

impl Consumer {
    pub(super) fn leave(
        &mut self,
        turn: &mut Turn<'_>,
        log: &mut Vec<Entry>,
        it: &ConsumerHeartbeat,
    ) -> Result<ConsumerBeat, GroupError> {
        let id = self.find(&it.member_id, it.instance_id.as_deref())?;
        match it.presence {
            Presence::Pauses => self.pause(turn, log, &id),
            _ => self.remove(turn, log, &id, RebalanceCause::Left),
        }
        let member_id = id.to_string();
        Ok(ConsumerBeat { member_id, presence: it.presence, heartbeat_interval_ms: 0, assignment: None })
    }

    /// Members of the classic protocol go, or an operator removes any. Each by itself.
    pub(in crate::group) fn remove_all(
        &mut self,
        turn: &mut Turn<'_>,
        log: &mut Vec<Entry>,
        members: Vec<Leaving>,
    ) -> Vec<Left> {
        let remove = |it: Leaving| {
            let found = match it.instance_id.as_ref().filter(|_| it.member_id.is_empty()) {
                Some(instance_id) => {
                    self.instances.get(instance_id).cloned().ok_or(GroupError::UnknownMember)
                }
                None => self.find(&it.member_id, it.instance_id.as_deref()),
            };
            let result = found.map(|id| self.remove(turn, log, &id, RebalanceCause::Left));
            Left { member_id: it.member_id, instance_id: it.instance_id, result }
        };
        members.into_iter().map(remove).collect()
    }

    pub(super) fn find(&self, member_id: &str, instance_id: Option<&str>) -> Result<Arc<str>, GroupError> {
        if let Some(instance_id) = instance_id {
            let id = self.instances.get(instance_id).ok_or(GroupError::UnknownMember)?;
            if **id != *member_id {
                return Err(GroupError::FencedInstance { instance_id: instance_id.to_owned() });
            }
        }
        self.members.get_key_value(member_id).map(|(id, _)| id.clone()).ok_or(GroupError::UnknownMember)
    }

    /// A static member restarts: it keeps what it has, until its session ends. What it had to give up it has given up.
    fn pause(&mut self, turn: &mut Turn<'_>, log: &mut Vec<Entry>, id: &Arc<str>) {
        let has = Holding {
            epoch: PAUSED,
            previous_epoch: PAUSED,
            state: Reconciliation::Stable,
            revoking: Owned::new(),
            assigned: self.members[id].has.assigned.clone(),
        };
        let (group, member) = (self.name.to_string(), id.to_string());
        self.put(log, GroupRecord::Assignment { group, member, value: Some(has.record()) });
        let name = self.name.clone();
        self.member_mut(id).time_revocation(turn, &name, id);
    }

    fn remove(&mut self, turn: &mut Turn<'_>, log: &mut Vec<Entry>, id: &Arc<str>, cause: RebalanceCause) {
        self.strike(turn, log, id);
        self.resolve(turn, log);
        self.bump(turn, log, cause, id);
    }

    /// Takes everything out of the log that is known of a member.
    pub(super) fn strike(&mut self, turn: &mut Turn<'_>, log: &mut Vec<Entry>, id: &Arc<str>) {
        let name = self.name.clone();
        self.member_mut(id).end_timers(turn, &name, id);
        let (group, member) = (name.to_string(), id.to_string());
        self.put(log, GroupRecord::Assignment { group: group.clone(), member: member.clone(), value: None });
        self.put(
            log,
            GroupRecord::MemberTarget { group: group.clone(), member: member.clone(), value: None },
        );
        self.put(log, GroupRecord::Member { group, member, value: None });
    }

    pub(in crate::group) fn session_timer_fired(
        &mut self,
        turn: &mut Turn<'_>,
        log: &mut Vec<Entry>,
        id: &Arc<str>,
    ) {
        let name = self.name.clone();
        if self.members.get_mut(id).is_some_and(|it| it.has_expired(turn, &name, id)) {
            self.remove(turn, log, id, RebalanceCause::SessionEnded);
        }
    }

    pub(in crate::group) fn duty_timer_fired(
        &mut self,
        turn: &mut Turn<'_>,
        log: &mut Vec<Entry>,
        id: &Arc<str>,
    ) {
        let name = self.name.clone();
        let Some(member) = self.members.get_mut(id) else { return };
        let cause = match member.said.upgraded {
            Some(_) => RebalanceCause::NoSync,
            None => RebalanceCause::NotRevoked,
        };
        if member.is_overdue(turn, &name, id) {
            self.remove(turn, log, id, cause);
        }
    }
}
