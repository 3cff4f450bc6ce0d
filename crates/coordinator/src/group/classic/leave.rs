//! Members go.

use std::sync::Arc;

use super::rebalance::Reason;
use super::{Classic, session_timer};
use crate::group::turn::{RebalanceCause, Turn};
use crate::group::{GroupError, Leaving, Left};

impl Classic {
    /// Each by itself; the others learn of all at once.
    pub(in crate::group) fn leave(&mut self, turn: &mut Turn<'_>, members: Vec<Leaving>) -> Vec<Left> {
        let mut first = None;
        let mut answers = Vec::with_capacity(members.len());
        for it in members {
            let result = self.leave_one(turn, &it).map(|member| {
                if let Some(id) = member {
                    first.get_or_insert((id, it.reason));
                }
            });
            answers.push(Left { member_id: it.member_id, instance_id: it.instance_id, result });
        }
        match first {
            Some((id, said)) => {
                let reason = Reason::new(RebalanceCause::Left, &id, said.as_deref());
                self.rebalance_or_complete(turn, &reason);
            }
            None => self.complete_join_if_all_came(turn),
        }
        answers
    }

    /// The member that is gone; `None`: it was only on its way.
    fn leave_one(&mut self, turn: &mut Turn<'_>, it: &Leaving) -> Result<Option<Arc<str>>, GroupError> {
        if self.forget_pending(turn, &it.member_id) {
            return Ok(None);
        }
        let id: Arc<str> = if it.member_id.is_empty() {
            // An operator knows the instance's name only.
            let instance_id = it.instance_id.as_ref().ok_or(GroupError::UnknownMember)?;
            self.instances.get(instance_id).cloned().ok_or(GroupError::UnknownMember)?
        } else {
            self.check_member(&it.member_id, it.instance_id.as_deref())?;
            it.member_id.as_str().into()
        };
        self.remove(turn, &id, &GroupError::UnknownMember);
        Ok(Some(id))
    }

    /// Somebody who was told an id is not waited for any more. If it comes all the same, it is to ask for another.
    pub(in crate::group) fn give_up_on(&mut self, turn: &mut Turn<'_>, newcomer: &str) {
        self.forget_pending(turn, newcomer);
        self.complete_join_if_all_came(turn);
    }

    /// The session of a member, or of somebody who was to become one, may be over.
    pub(in crate::group) fn session_timer_fired(&mut self, turn: &mut Turn<'_>, id: &Arc<str>) {
        if let Some(newcomer) = self.pending.get_mut(id) {
            let timer = session_timer(&self.name, id);
            if newcomer.deadline.has_come(&mut turn.shared.timers, turn.now.tick, timer) {
                self.give_up_on(turn, id);
            }
            return;
        }
        let Some(member) = self.members.get_mut(id) else { return };
        if member.has_expired(turn, &self.name, id) {
            self.remove(turn, id, &GroupError::UnknownMember);
            self.rebalance_or_complete(turn, &Reason::new(RebalanceCause::SessionEnded, id, None));
        }
    }
}
