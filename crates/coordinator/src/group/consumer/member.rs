//! A member: what it said of itself, what it has, and what it is to get.

use std::sync::Arc;

use bytes::Bytes;
use klamm_model::TopicPartition;

use super::partitions::{Owned, Partitions, flat_owned, owned_by_topic};
use super::{duty_timer, session_timer};
use crate::group::timers::Deadline;
use crate::group::turn::Turn;
use crate::group::{ConsumerHeartbeat, GroupError};
use crate::record::{ConsumerAssignment, ConsumerMember, Reconciliation};

/// The epoch of a static member that has gone for a while: whoever comes under its name takes its place.
pub(super) const PAUSED: i32 = -2;

/// A member, under its id.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) said: ConsumerMember,
    pub(super) has: Holding,
    /// What it is to get in the end.
    pub(super) target: Partitions,
    /// The newest epoch that it is known to know: older ones are of requests that were on their way for too long. Not recorded.
    pub(super) confirmed_epoch: i32,
    /// What it last said that it has. Not recorded.
    pub(super) reported: Option<Reported>,
    /// One of the classic protocol has joined and not fetched its work.
    pub(super) owes_sync: bool,
    session: Deadline,
    /// When it must have done what it was told: given partitions up; of the classic protocol, joined again or fetched its work.
    duty: Deadline,
}

/// What a member said that it has, as far as that is something it was to have: it may name whatever it likes, and as much.
#[derive(Debug)]
pub(super) struct Reported {
    pub(super) of_its: Partitions,
    /// It named partitions that it was never told to have, or has given up.
    pub(super) has_others: bool,
}

impl Reported {
    pub(super) fn of(owned: &Partitions, has: &Holding) -> Self {
        let of_its: Partitions = has.partitions().filter(|it| owned.contains(it)).collect();
        Self { has_others: of_its.len() < owned.len(), of_its }
    }

    pub(super) fn is_just(&self, assigned: &Owned) -> bool {
        !self.has_others && self.of_its.iter().eq(assigned.keys())
    }
}

impl Default for Member {
    fn default() -> Self {
        Self {
            said: introduced(None, &ConsumerHeartbeat::default()),
            has: Holding::default(),
            target: Partitions::new(),
            confirmed_epoch: 0,
            reported: None,
            owes_sync: false,
            session: Deadline::default(),
            duty: Deadline::default(),
        }
    }
}

/// What a member has. Nothing of it is another's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Holding {
    /// The target epoch that it works by; 0 of one that is new.
    pub(super) epoch: i32,
    /// One that it may still believe to be in: the answer that told of the newer one may be lost.
    pub(super) previous_epoch: i32,
    pub(super) state: Reconciliation,
    /// What it may read.
    pub(super) assigned: Owned,
    /// What it was told to give up, and has not yet.
    pub(super) revoking: Owned,
}

impl Default for Holding {
    fn default() -> Self {
        Self {
            epoch: 0,
            previous_epoch: 0,
            state: Reconciliation::Stable,
            assigned: Owned::new(),
            revoking: Owned::new(),
        }
    }
}

impl From<&ConsumerAssignment> for Holding {
    fn from(it: &ConsumerAssignment) -> Self {
        Self {
            epoch: it.epoch,
            previous_epoch: it.previous_epoch,
            state: it.state,
            assigned: flat_owned(&it.assigned),
            revoking: flat_owned(&it.revoking),
        }
    }
}

impl Holding {
    pub(super) fn record(&self) -> ConsumerAssignment {
        ConsumerAssignment {
            epoch: self.epoch,
            previous_epoch: self.previous_epoch,
            state: self.state,
            assigned: owned_by_topic(&self.assigned),
            revoking: owned_by_topic(&self.revoking),
        }
    }

    /// All that nobody else may have.
    pub(super) fn partitions(&self) -> impl Iterator<Item = TopicPartition> {
        self.assigned.keys().chain(self.revoking.keys()).copied()
    }

    pub(super) fn is_at(&self, target_epoch: i32) -> bool {
        self.state == Reconciliation::Stable && self.epoch == target_epoch
    }

    /// In which epoch it got the partition.
    pub(super) fn since(&self, partition: &TopicPartition) -> Option<i32> {
        self.assigned.get(partition).or_else(|| self.revoking.get(partition)).copied()
    }
}

/// What is known of a member after it has said this.
pub(super) fn introduced(before: Option<&ConsumerMember>, it: &ConsumerHeartbeat) -> ConsumerMember {
    let kept = |said: &Option<String>, before: Option<&String>| said.as_ref().or(before).cloned();
    let topics = it.topics.clone().map(sorted);
    let regex = kept(&it.topic_regex, before.and_then(|it| it.topic_regex.as_ref()));
    ConsumerMember {
        instance_id: kept(&it.instance_id, before.and_then(|it| it.instance_id.as_ref())),
        rack: kept(&it.rack, before.and_then(|it| it.rack.as_ref())),
        client_id: it.client_id.clone(),
        client_host: it.client_host.clone(),
        topics: topics.or_else(|| Some(before?.topics.clone())).unwrap_or_default(),
        topic_regex: regex.filter(|it| !it.is_empty()),
        rebalance_timeout_ms: it
            .rebalance_timeout_ms
            .or_else(|| Some(before?.rebalance_timeout_ms))
            .unwrap_or_default(),
        assignor: kept(&it.assignor, before.and_then(|it| it.assignor.as_ref())),
        upgraded: None,
    }
}

/// Each name once.
pub(in crate::group) fn sorted(mut topics: Vec<String>) -> Vec<String> {
    topics.sort();
    topics.dedup();
    topics
}

impl Member {
    /// Of one that speaks the classic protocol: what it likes best, and what it says for it.
    pub(super) fn first_protocol(&self) -> Option<&(String, Bytes)> {
        self.said.upgraded.as_ref()?.protocols.first()
    }

    /// It is not in the epoch that it speaks of.
    pub(super) fn is_elsewhere(&self) -> GroupError {
        match &self.said.upgraded {
            Some(_) => GroupError::IllegalGeneration,
            None => GroupError::StaleEpoch { epoch: self.has.epoch },
        }
    }

    pub(super) fn begin_session(&mut self, turn: &mut Turn<'_>, group: &Arc<str>, id: &Arc<str>) {
        let ms = match &self.said.upgraded {
            Some(it) => u64::try_from(it.session_timeout_ms).unwrap_or(0),
            None => u64::from(turn.config.consumer_session_timeout_ms),
        };
        let ends = turn.until(ms);
        self.session.set(&mut turn.shared.timers, ends, session_timer(group, id));
    }

    pub(super) fn has_expired(&mut self, turn: &mut Turn<'_>, group: &Arc<str>, id: &Arc<str>) -> bool {
        self.session.has_come(&mut turn.shared.timers, turn.now.tick, session_timer(group, id))
    }

    /// While it has something to give up, its time runs; from now on, as it may have been told of more. One of the classic protocol has it from when it was told.
    pub(super) fn time_revocation(&mut self, turn: &mut Turn<'_>, group: &Arc<str>, id: &Arc<str>) {
        if self.said.upgraded.is_some() {
            return;
        }
        self.release(turn, group, id);
        if self.has.state == Reconciliation::Revoking {
            self.expect(turn, group, id);
        }
    }

    /// It was told to come and do something: its time runs from when it was told first.
    pub(super) fn expect(&mut self, turn: &mut Turn<'_>, group: &Arc<str>, id: &Arc<str>) {
        if !self.duty.is_set() {
            let ends = turn.until(u64::try_from(self.said.rebalance_timeout_ms).unwrap_or(0));
            self.duty.set(&mut turn.shared.timers, ends, duty_timer(group, id));
        }
    }

    pub(super) fn time_duty_anew(&mut self, turn: &mut Turn<'_>, group: &Arc<str>, id: &Arc<str>) {
        if self.duty.is_set() {
            self.release(turn, group, id);
            self.expect(turn, group, id);
        }
    }

    /// It has done what it was to do.
    pub(super) fn release(&mut self, turn: &mut Turn<'_>, group: &Arc<str>, id: &Arc<str>) {
        self.duty.cancel(&mut turn.shared.timers, duty_timer(group, id));
    }

    pub(super) fn is_overdue(&mut self, turn: &mut Turn<'_>, group: &Arc<str>, id: &Arc<str>) -> bool {
        self.duty.has_come(&mut turn.shared.timers, turn.now.tick, duty_timer(group, id))
    }

    pub(super) fn end_timers(&mut self, turn: &mut Turn<'_>, group: &Arc<str>, id: &Arc<str>) {
        self.session.cancel(&mut turn.shared.timers, session_timer(group, id));
        self.release(turn, group, id);
    }
}
