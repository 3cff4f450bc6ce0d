//! A group that has members moves from one protocol to the other, as the operator lets it.
//!
//! ```text
//!   classic, of readers of topics  --- the first member of the consumer protocol joins --->  consumer, with members that speak the classic one
//!                                  <-- the last member of the consumer protocol is out ---
//! ```
//!
//! Everybody keeps what they have, and is told that there is a rebalance; whoever waits to join has joined. What is appended for it is in one batch: there is no half of a group.

use std::collections::BTreeSet;
use std::sync::Arc;

use klamm_model::TopicPartition;

use super::classic::Classic;
use super::consumer::Consumer;
use super::protocol::Protocol;
use super::turn::Turn;
use super::{ConsumerBeat, ConsumerHeartbeat, Group, GroupError, GroupState, Reply};
use crate::Entry;
use crate::record::ConsumerMember;

/// A member that moves with its group: one that speaks the classic protocol.
pub(super) struct Migrant {
    pub(super) id: Arc<str>,
    pub(super) said: ConsumerMember,
    pub(super) has: BTreeSet<TopicPartition>,
    /// What it had before, and has not given up: nobody else may have it yet.
    pub(super) gives_up: BTreeSet<TopicPartition>,
}

impl Group {
    /// The first member of the consumer protocol joins. The group becomes one of that protocol, if it may; a group that has members only if the new one is taken.
    pub(super) fn upgrade(
        &mut self,
        turn: &mut Turn<'_>,
        it: &ConsumerHeartbeat,
    ) -> Result<ConsumerBeat, GroupError> {
        let Protocol::Classic(classic) = &mut self.protocol else { unreachable!("it has another protocol") };
        let mut log: Vec<Entry> = classic.tombstone().into_iter().collect();
        let mut consumer = Consumer::new(self.name.clone());
        let has_members = classic.state() != GroupState::Empty;
        if has_members {
            let migrants = migrants(turn, classic)
                .ok_or_else(|| GroupError::NotConsumer { group: self.name.to_string() })?;
            consumer.take_over(&mut log, classic.generation(), migrants);
            turn.check_fits(&log)?;
        }
        let rebalances = turn.shared.rebalances.clone();
        let beat = consumer.heartbeat(turn, &mut log, it);
        if has_members {
            if beat.is_err() {
                consumer.end_timers(turn);
                turn.shared.rebalances = rebalances;
                return beat;
            }
            tracing::info!(group = ?self.name, "a group moves to the consumer protocol");
        }
        let joining = classic.end(turn);
        consumer.start(turn);
        for (id, join) in joining {
            let joined = consumer.join(turn, &mut log, &join);
            turn.answer(id, Reply::Join(joined));
        }
        self.protocol = Protocol::Consumer(consumer);
        self.conclude(turn, log);
        beat
    }

    /// Appends what was decided. Where nobody is left who speaks the consumer protocol, the group becomes one of the classic protocol, if it may.
    pub(super) fn conclude(&mut self, turn: &mut Turn<'_>, mut log: Vec<Entry>) {
        let successor = match &mut self.protocol {
            // Nobody goes without a trace.
            Protocol::Consumer(consumer) if !log.is_empty() => downgraded(turn, consumer, &mut log),
            _ => None,
        };
        turn.append(None, log);
        if let Some(classic) = successor {
            self.protocol = Protocol::Classic(classic);
            self.protocol.start(turn);
        }
    }
}

/// `None`: the group may not move.
fn migrants(turn: &Turn<'_>, classic: &Classic) -> Option<Vec<Migrant>> {
    let has_room = classic.member_count() < turn.config.consumer_members_max;
    let may = turn.config.consumer_migration.upgrades() && classic.is_of_consumers() && has_room;
    // Members that say what no consumer says are left where they are.
    if may { classic.migrants(&turn.shared.image).ok() } else { None }
}

fn downgraded(turn: &mut Turn<'_>, consumer: &mut Consumer, log: &mut Vec<Entry>) -> Option<Classic> {
    let has_room = consumer.member_count() <= turn.config.members_max;
    if !turn.config.consumer_migration.downgrades() || !has_room || !consumer.has_only_classics() {
        return None;
    }
    let mut entries = consumer.tombstones();
    let classic =
        Classic::of(consumer.name(), consumer.generation(), consumer.migrants(), turn, &mut entries)?;
    if turn.check_fits(log.iter().chain(&entries)).is_err() {
        tracing::warn!(group = ?classic.name, "a group is too large to move to the classic protocol");
        return None;
    }
    tracing::info!(group = ?classic.name, "a group moves to the classic protocol");
    consumer.end_timers(turn);
    log.extend(entries);
    Some(classic)
}
