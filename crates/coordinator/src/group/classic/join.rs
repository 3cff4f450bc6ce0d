//! A client joins, or a member does again.

use std::sync::Arc;

use super::member::{MEMBER_SIZE, Parked, protocols_size};
use super::rebalance::Reason;
use super::{Classic, ClassicState, Member, Newcomer, session_timer};
use crate::RequestId;
use crate::group::timers::Deadline;
use crate::group::turn::{RebalanceCause, Turn};
use crate::group::{GroupError, Join, Joined, JoinedMember, Reply};

/// A member that does not know its id may wait so long; whoever still wants to join after that asks again.
const NEW_MEMBER_TIMEOUT_MS: u64 = 5 * 60_000;

/// A client that was told an id comes with it at once. It is waited for as long as its session would last, and no longer than this.
const PENDING_MS_MAX: u64 = 60_000;

/// What a group's members may hold in memory, in batches: they name several protocols, of which only one must fit in the record.
const GROUP_SIZE_IN_BATCHES_MAX: usize = 8;

impl Classic {
    /// Answers now, or when all have joined.
    pub(in crate::group) fn join(&mut self, turn: &mut Turn<'_>, id: RequestId, it: &Join) {
        if let Err(why) = self.try_join(turn, id, it) {
            turn.answer(id, Reply::Join(Err(why)));
        }
    }

    fn try_join(&mut self, turn: &mut Turn<'_>, id: RequestId, it: &Join) -> Result<(), GroupError> {
        if !self.has_room(turn, &it.member_id) {
            // It may be one of too many, where the limit was lowered.
            self.remove(turn, &it.member_id, &GroupError::Full);
            self.complete_join_if_all_came(turn);
            return Err(GroupError::Full);
        }
        if !self.supports(it) {
            return Err(GroupError::InconsistentProtocol);
        }
        self.check_size(turn, it)?;
        if it.member_id.is_empty() {
            self.join_new(turn, id, it)
        } else if self.pending.contains_key(&*it.member_id) {
            if it.instance_id.is_some() {
                return Err(GroupError::UnknownMember);
            }
            self.forget_pending(turn, &it.member_id);
            self.add_member(turn, id, &it.member_id.as_str().into(), it);
            Ok(())
        } else {
            self.check_member(&it.member_id, it.instance_id.as_deref())?;
            self.join_again(turn, id, it);
            Ok(())
        }
    }

    fn has_room(&self, turn: &Turn<'_>, member_id: &str) -> bool {
        let max = turn.config.members_max;
        let member = self.members.get(member_id);
        match self.state {
            ClassicState::Empty => true,
            // Counts who waits, not who is there: of too many, the last to come again have to go.
            ClassicState::PreparingRebalance => {
                member.is_some_and(Member::is_joining) || self.joining_count < max
            }
            ClassicState::CompletingRebalance | ClassicState::Stable => {
                member.is_some() || self.members.len() < max
            }
        }
    }

    /// Whether a protocol remains that all have.
    fn supports(&self, it: &Join) -> bool {
        if self.members.is_empty() {
            return !it.protocol_type.is_empty() && !it.protocols.is_empty();
        }
        self.protocol_type() == Some(&it.protocol_type)
            && it.protocols.iter().any(|(name, _)| self.supported.get(name) == Some(&self.members.len()))
    }

    fn check_size(&self, turn: &Turn<'_>, it: &Join) -> Result<(), GroupError> {
        let max = turn.config.batch_size_max;
        let own = MEMBER_SIZE + it.client_id.len() + protocols_size(&it.protocols);
        if max < own {
            return Err(GroupError::TooLarge { size: own, max });
        }
        let before = self.members.get(&*it.member_id).map_or(0, Member::size);
        let size = self.size - before + own;
        let max = max.saturating_mul(GROUP_SIZE_IN_BATCHES_MAX);
        if size <= max { Ok(()) } else { Err(GroupError::TooLarge { size, max }) }
    }

    fn join_new(&mut self, turn: &mut Turn<'_>, id: RequestId, it: &Join) -> Result<(), GroupError> {
        let member_id = turn.new_member_id(it.instance_id.as_ref().unwrap_or(&it.client_id));
        if let Some(instance_id) = &it.instance_id {
            if let Some(old_id) = self.instances.get(instance_id).cloned() {
                return self.replace_static(turn, id, &old_id, &member_id, it);
            }
        } else if it.can_learn_id {
            self.await_newcomer(turn, &member_id, it);
            return Err(GroupError::MemberIdRequired { member_id: member_id.to_string() });
        }
        self.add_member(turn, id, &member_id, it);
        Ok(())
    }

    fn await_newcomer(&mut self, turn: &mut Turn<'_>, id: &Arc<str>, it: &Join) {
        let session_ms = u64::try_from(it.session_timeout_ms).unwrap_or(0);
        let ends = turn.now.tick.after_ms(session_ms.clamp(1, PENDING_MS_MAX));
        let mut deadline = Deadline::default();
        deadline.set(&mut turn.shared.timers, ends, session_timer(&self.name, id));
        let place = turn.shared.pending.add(&self.name, id);
        self.pending.insert(id.clone(), Newcomer { place, deadline });
    }

    fn add_member(&mut self, turn: &mut Turn<'_>, id: RequestId, member_id: &Arc<str>, it: &Join) {
        if self.members.is_empty() {
            self.protocol_type = Some(it.protocol_type.clone());
        }
        self.leader.get_or_insert_with(|| member_id.clone());
        if let Some(initial) = &mut self.initial {
            initial.has_new_member = true;
        }
        let mut member = Member::of_join(it);
        member.parked = Some(Parked::Join(id));
        member.begin_session_of(turn, &self.name, member_id, NEW_MEMBER_TIMEOUT_MS);
        self.enlist(member_id.clone(), member);
        self.rebalance_or_complete(turn, &Reason::of_join(RebalanceCause::NewMember, member_id, it));
    }

    /// A member that has an id. What it gets depends on whether its coming concerns the others.
    fn join_again(&mut self, turn: &mut Turn<'_>, id: RequestId, it: &Join) {
        let member_id = &*it.member_id;
        let has_changed = self.members.get(member_id).is_some_and(|member| member.protocols != it.protocols);
        let cause = match self.state {
            ClassicState::PreparingRebalance => RebalanceCause::ChangedMember,
            // The leader may know of changes that members do not speak of: the topics' partitions.
            ClassicState::Stable if self.is_leader(member_id) => RebalanceCause::LeaderRejoined,
            _ if has_changed => RebalanceCause::ChangedMember,
            // It did not get the answer.
            _ => return self.tell_generation(turn, id, member_id),
        };
        let (key, mut member) = self.delist(member_id).expect("checked to be a member");
        member.update(it);
        self.enlist(key, member);
        self.park(turn, member_id, Parked::Join(id));
        self.rebalance_or_complete(turn, &Reason::of_join(cause, member_id, it));
    }

    /// A static member has restarted: it has another id, and the work it had (KIP-345). Whoever still goes by the old id is fenced.
    fn replace_static(
        &mut self,
        turn: &mut Turn<'_>,
        id: RequestId,
        old_id: &str,
        new_id: &Arc<str>,
        it: &Join,
    ) -> Result<(), GroupError> {
        let (old_id, old) = self.delist(old_id).expect("static members are members");
        let old_leader = self.leader.clone();
        if self.is_leader(&old_id) {
            self.leader = Some(new_id.clone());
        }
        self.enlist(new_id.clone(), Member::of_return(it, &old));
        let is_quiet = self.state == ClassicState::Stable && self.select_protocol() == self.protocol;
        if is_quiet && let Err(why) = self.persist(turn, self.record()) {
            self.delist(new_id);
            self.enlist(old_id, old);
            self.leader = old_leader;
            return Err(why);
        }
        self.fence(turn, &old_id, old);
        self.renew(turn, new_id);
        if is_quiet {
            tracing::info!(group = ?self.name, member = ?new_id, "a static member is back");
            let joined = self.joined_again(new_id, it.can_skip_assignment, old_leader.as_deref());
            turn.answer(id, Reply::Join(Ok(joined)));
        } else {
            self.park(turn, new_id, Parked::Join(id));
            let reason = Reason::of_join(RebalanceCause::StaticMemberReplaced, new_id, it);
            self.rebalance_or_complete(turn, &reason);
        }
        Ok(())
    }

    /// What a static member is told that came back without anybody noticing. As a leader it has nothing to distribute; where it cannot be told so (KIP-814), it must
    /// not know that it leads.
    fn joined_again(&self, member_id: &str, can_skip: bool, old_leader: Option<&str>) -> Joined {
        let joined = self.joined(member_id);
        if can_skip {
            return Joined { skips_assignment: self.is_leader(member_id), ..joined };
        }
        Joined { leader: old_leader.unwrap_or_default().to_owned(), members: Vec::new(), ..joined }
    }

    fn fence(&mut self, turn: &mut Turn<'_>, old_id: &Arc<str>, mut old: Member) {
        old.end_session(turn, &self.name, old_id);
        if let (Some(parked), Some(instance_id)) = (old.parked, old.instance_id) {
            parked.refuse(turn, GroupError::FencedInstance { instance_id });
        }
    }

    fn tell_generation(&self, turn: &mut Turn<'_>, id: RequestId, member_id: &str) {
        turn.answer(id, Reply::Join(Ok(self.joined(member_id))));
    }

    /// What a member of the current generation is told.
    pub(super) fn joined(&self, member_id: &str) -> Joined {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let all = self.members.iter().map(|(id, member)| JoinedMember {
            id: id.to_string(),
            instance_id: member.instance_id.clone(),
            subscription: member.subscription(protocol),
        });
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol: self.protocol.clone(),
            leader: self.leader.as_deref().unwrap_or_default().to_owned(),
            member_id: member_id.to_owned(),
            skips_assignment: false,
            members: if self.is_leader(member_id) { all.collect() } else { Vec::new() },
        }
    }
}
