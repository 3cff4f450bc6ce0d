//! Members of a new generation get their work.

use bytes::Bytes;
use rustc_hash::FxHashMap;

use super::member::Parked;
use super::{Classic, ClassicState, phase_timer};
use crate::RequestId;
use crate::group::turn::Turn;
use crate::group::{GroupError, Reply, Sync, Synced};
use crate::record::ClassicGroup;

impl Classic {
    /// Answers now, or when the leader has said who does what.
    pub(in crate::group) fn sync(&mut self, turn: &mut Turn<'_>, id: RequestId, it: &Sync) {
        if let Err(why) = self.try_sync(turn, id, it) {
            turn.answer(id, Reply::Sync(Err(why)));
        }
    }

    fn try_sync(&mut self, turn: &mut Turn<'_>, id: RequestId, it: &Sync) -> Result<(), GroupError> {
        self.check_identity(&it.member)?;
        let differs = |given: &Option<String>, ours: &Option<String>| given.is_some() && given != ours;
        if differs(&it.protocol_type, &self.protocol_type) || differs(&it.protocol, &self.protocol) {
            return Err(GroupError::InconsistentProtocol);
        }
        let member_id = &it.member.member_id;
        match self.state {
            ClassicState::Empty => return Err(GroupError::UnknownMember),
            ClassicState::PreparingRebalance => return Err(GroupError::RebalanceInProgress),
            ClassicState::CompletingRebalance if self.is_leader(member_id) => {
                let record = self.assigned(turn, &it.assignments);
                self.persist(turn, record)?;
                self.park(turn, member_id, Parked::Sync(id));
                self.note_sync(turn, member_id);
                self.hand_out(turn);
            }
            ClassicState::CompletingRebalance => {
                self.park(turn, member_id, Parked::Sync(id));
                self.note_sync(turn, member_id);
            }
            ClassicState::Stable => {
                // A sign of life like a heartbeat: who has just been given work is not gone the next moment.
                self.renew(turn, member_id);
                self.note_sync(turn, member_id);
                turn.answer(id, Reply::Sync(Ok(self.synced(member_id))));
            }
        }
        Ok(())
    }

    /// The group as the leader wants it. Whom it forgot has nothing to do; whom it invented is nobody.
    fn assigned(&self, turn: &Turn<'_>, assignments: &[(String, Bytes)]) -> ClassicGroup {
        let by_member: FxHashMap<&str, &Bytes> =
            assignments.iter().map(|(id, assignment)| (id.as_str(), assignment)).collect();
        let mut record = self.record();
        record.since = Some(turn.now.wall);
        for member in &mut record.members {
            member.assignment = by_member.get(&*member.id).copied().cloned().unwrap_or_default();
        }
        record
    }

    fn note_sync(&mut self, turn: &mut Turn<'_>, id: &str) {
        let member = self.members.get_mut(id).expect("checked to be a member");
        self.unsynced_count -= usize::from(std::mem::take(&mut member.owes_sync));
        if self.unsynced_count == 0 {
            self.phase.cancel(&mut turn.shared.timers, phase_timer(&self.name));
        }
    }

    fn hand_out(&mut self, turn: &mut Turn<'_>) {
        tracing::debug!(group = ?self.name, generation = self.generation, members = self.members.len(), "a group is stable");
        for id in self.members.keys().cloned().collect::<Vec<_>>() {
            let member = self.members.get_mut(&id).expect("listed above");
            if let Some(Parked::Sync(request)) = member.parked {
                member.parked = None;
                // While it waited, its session did not matter.
                member.begin_session(turn, &self.name, &id);
                turn.answer(request, Reply::Sync(Ok(self.synced(&id))));
            }
        }
    }

    fn synced(&self, member_id: &str) -> Synced {
        Synced {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol: self.protocol.clone(),
            assignment: self.members.get(member_id).map(|it| it.assignment.clone()).unwrap_or_default(),
        }
    }
}
