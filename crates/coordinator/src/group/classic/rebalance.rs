//! From one generation to the next.

use std::collections::BTreeMap;
use std::sync::Arc;

use klamm_model::Tick;

use super::member::Parked;
use super::{Classic, ClassicState, Member, phase_timer};
use crate::group::turn::{RebalanceCause, Turn};
use crate::group::{GroupError, Join, Reply};

/// Of what a client says about why it joins or leaves.
const REASON_CHARS_MAX: usize = 255;

/// A new group waits for more members: most of them are started together.
#[derive(Debug)]
pub(super) struct Initial {
    /// Somebody came since it was last looked.
    pub(super) has_new_member: bool,
    /// How long it may still be put off.
    remaining_ms: u64,
}

/// Who makes a group rebalance, and why.
pub(super) struct Reason<'a> {
    cause: RebalanceCause,
    member: &'a str,
    /// In the words of its client (KIP-800).
    said: String,
}

impl<'a> Reason<'a> {
    pub(super) fn new(cause: RebalanceCause, member: &'a str, said: Option<&str>) -> Self {
        Self { cause, member, said: said.unwrap_or_default().chars().take(REASON_CHARS_MAX).collect() }
    }

    pub(super) fn of_join(cause: RebalanceCause, member: &'a str, it: &Join) -> Self {
        Self::new(cause, member, it.reason.as_deref())
    }
}

impl Classic {
    /// A member came, went or changed: the others must know, unless they are about to join anyway.
    pub(super) fn rebalance_or_complete(&mut self, turn: &mut Turn<'_>, reason: &Reason<'_>) {
        if self.state == ClassicState::PreparingRebalance {
            self.complete_join_if_all_came(turn);
        } else {
            self.rebalance(turn, reason);
        }
    }

    pub(super) fn rebalance(&mut self, turn: &mut Turn<'_>, reason: &Reason<'_>) {
        *turn.shared.rebalances.entry(reason.cause).or_default() += 1;
        tracing::info!(
            group = ?self.name,
            generation = self.generation,
            members = self.members.len(),
            cause = reason.cause.name(),
            member = ?reason.member,
            reason = ?reason.said,
            "a group is rebalanced"
        );
        self.end_syncs(turn);
        let was_empty = self.state == ClassicState::Empty;
        self.state = ClassicState::PreparingRebalance;
        if was_empty {
            let delay_ms = u64::from(turn.config.initial_rebalance_delay_ms);
            let remaining_ms = self.rebalance_timeout_ms().saturating_sub(delay_ms);
            self.initial = Some(Initial { has_new_member: false, remaining_ms });
            if delay_ms == 0 { self.complete_join(turn) } else { self.wait_for_more(turn, delay_ms) }
        } else if self.have_all_come() {
            self.complete_join(turn);
        } else {
            self.wait_for_members(turn);
        }
    }

    /// Nobody gets work of this generation any more.
    fn end_syncs(&mut self, turn: &mut Turn<'_>) {
        self.unsynced_count = 0;
        for member in self.members.values_mut() {
            member.owes_sync = false;
            if let Some(parked @ Parked::Sync(_)) = member.parked {
                member.parked = None;
                parked.refuse(turn, GroupError::RebalanceInProgress);
            }
        }
    }

    pub(super) fn complete_join_if_all_came(&mut self, turn: &mut Turn<'_>) {
        let is_joining = self.state == ClassicState::PreparingRebalance && self.initial.is_none();
        if is_joining && self.have_all_come() {
            self.complete_join(turn);
        }
    }

    fn have_all_come(&self) -> bool {
        self.joining_count == self.members.len() && self.pending.is_empty()
    }

    /// The time to join, or to sync, may be up.
    pub(in crate::group) fn phase_timer_fired(&mut self, turn: &mut Turn<'_>) {
        let timer = phase_timer(&self.name);
        if !self.phase.has_come(&mut turn.shared.timers, turn.now.tick, timer) {
            return;
        }
        match self.state {
            ClassicState::Empty => {}
            ClassicState::PreparingRebalance => match &mut self.initial {
                Some(initial) if initial.has_new_member && 0 < initial.remaining_ms => {
                    let delay_ms =
                        u64::from(turn.config.initial_rebalance_delay_ms).min(initial.remaining_ms);
                    initial.has_new_member = false;
                    initial.remaining_ms -= delay_ms;
                    self.wait_for_more(turn, delay_ms);
                }
                _ => self.complete_join(turn),
            },
            ClassicState::CompletingRebalance | ClassicState::Stable => self.remove_unsynced(turn),
        }
    }

    /// Of a new group, members that nobody knows yet: what another coordinator was told is nothing to wait for.
    fn wait_for_more(&mut self, turn: &mut Turn<'_>, delay_ms: u64) {
        // Never at once: a time-out of nothing would come again and again.
        self.end_phase_at(turn, turn.now.tick.after_ms(delay_ms.max(1)));
    }

    pub(super) fn wait_for_members(&mut self, turn: &mut Turn<'_>) {
        self.end_phase_at(turn, turn.until(self.rebalance_timeout_ms()));
    }

    fn end_phase_at(&mut self, turn: &mut Turn<'_>, ends: Tick) {
        self.phase.cancel(&mut turn.shared.timers, phase_timer(&self.name));
        self.phase.set(&mut turn.shared.timers, ends, phase_timer(&self.name));
    }

    /// The slowest member decides.
    fn rebalance_timeout_ms(&self) -> u64 {
        let slowest = self.members.values().map(|it| it.rebalance_timeout_ms).max();
        slowest.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0)
    }

    /// Goes on with whoever came, and with static members, which may be away for a session.
    fn complete_join(&mut self, turn: &mut Turn<'_>) {
        self.initial = None;
        self.phase.cancel(&mut turn.shared.timers, phase_timer(&self.name));
        let is_late = |member: &Member| !member.is_joining() && member.instance_id.is_none();
        for id in self.ids_where(is_late) {
            tracing::info!(group = ?self.name, member = ?id, "a member did not join again in time");
            self.remove(turn, &id, &GroupError::UnknownMember);
        }
        if self.members.is_empty() {
            return self.become_empty(turn);
        }
        if !self.elect() {
            // Only static members, and none of them there: their sessions decide.
            return self.wait_for_members(turn);
        }
        self.begin_generation(turn);
    }

    fn ids_where(&self, is_it: impl Fn(&Member) -> bool) -> Vec<Arc<str>> {
        self.members.iter().filter(|(_, member)| is_it(member)).map(|(id, _)| id.clone()).collect()
    }

    /// A leader that has joined. `false`: nobody has.
    fn elect(&mut self) -> bool {
        let leader = self.leader.as_ref().and_then(|id| self.members.get(id));
        if leader.is_some_and(Member::is_joining) {
            return true;
        }
        let Some((id, _)) = self.members.iter().find(|(_, member)| member.is_joining()) else { return false };
        self.leader = Some(id.clone());
        true
    }

    fn next_generation(&self) -> i32 {
        self.generation.checked_add(1).unwrap_or(1)
    }

    fn become_empty(&mut self, turn: &mut Turn<'_>) {
        tracing::info!(group = ?self.name, generation = self.generation, "a group has no members any more");
        self.state = ClassicState::Empty;
        self.leader = None;
        self.protocol = None;
        if !self.is_recorded {
            // It never came to be.
            self.protocol_type = None;
            return;
        }
        self.generation = self.next_generation();
        self.since = Some(turn.now.wall);
        self.persist(turn, self.record()).expect("a group without members fits");
    }

    fn begin_generation(&mut self, turn: &mut Turn<'_>) {
        self.generation = self.next_generation();
        self.protocol = self.select_protocol();
        self.state = ClassicState::CompletingRebalance;
        for id in self.ids_where(Member::is_joining) {
            let member = self.members.get_mut(&id).expect("listed above");
            if let Some(Parked::Join(request)) = member.parked.take() {
                member.is_new = false;
                member.owes_sync = true;
                member.begin_session(turn, &self.name, &id);
                turn.answer(request, Reply::Join(Ok(self.joined(&id))));
            }
        }
        // Static members that are away owe nothing: their sessions decide.
        self.unsynced_count = self.joining_count;
        self.joining_count = 0;
        self.wait_for_members(turn);
    }

    /// What all support, and most like best.
    pub(super) fn select_protocol(&self) -> Option<String> {
        let is_common = |name: &str| self.supported.get(name) == Some(&self.members.len());
        let mut votes = BTreeMap::<&str, usize>::new();
        for member in self.members.values() {
            let vote = member.protocols.iter().find(|(name, _)| is_common(name));
            if let Some((name, _)) = vote {
                *votes.entry(name).or_default() += 1;
            }
        }
        votes.into_iter().max_by_key(|(_, count)| *count).map(|(name, _)| name.to_owned())
    }

    fn remove_unsynced(&mut self, turn: &mut Turn<'_>) {
        let unsynced = self.ids_where(|member| member.owes_sync);
        for id in &unsynced {
            self.remove(turn, id, &GroupError::UnknownMember);
        }
        if let Some(first) = unsynced.first() {
            self.rebalance(turn, &Reason::new(RebalanceCause::NoSync, first, None));
        }
    }
}
