//! A member.

use std::sync::Arc;

use bytes::Bytes;

use super::{RequestId, session_timer};
use crate::group::Join;
use crate::group::timers::Deadline;
use crate::group::turn::Turn;
use crate::record::ClassicMember;

/// What a member takes besides its names and what it says.
pub(super) const MEMBER_SIZE: usize = 256;

/// A member, under its id.
#[derive(Debug, Default)]
pub(in crate::group) struct Member {
    pub(super) instance_id: Option<String>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) session_timeout_ms: i32,
    /// Ways to distribute the work, the best first, and what it says for each.
    pub(super) protocols: Vec<(String, Bytes)>,
    pub(super) assignment: Bytes,
    /// The one request of it that waits.
    pub(super) parked: Option<Parked>,
    /// It does not know its id yet: it cannot send heartbeats, and comes under another when it comes again.
    pub(super) is_new: bool,
    /// It was told of a generation and has not asked for its work.
    pub(super) owes_sync: bool,
    pub(super) session: Deadline,
}

/// A request that waits for others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Parked {
    Join(RequestId),
    Sync(RequestId),
}

impl Member {
    /// One that is new. Copies what is kept of the request: its bytes are a slice of a frame that may be large.
    pub(in crate::group) fn of_join(it: &Join) -> Self {
        Self {
            instance_id: it.instance_id.clone(),
            client_id: it.client_id.clone(),
            client_host: it.client_host.clone(),
            rebalance_timeout_ms: it.rebalance_timeout_ms,
            session_timeout_ms: it.session_timeout_ms,
            protocols: protocols_of(it),
            is_new: true,
            ..Self::default()
        }
    }

    /// A static member that has restarted.
    pub(super) fn of_return(it: &Join, before: &Self) -> Self {
        Self {
            assignment: before.assignment.clone(),
            is_new: false,
            owes_sync: before.owes_sync,
            ..Self::of_join(it)
        }
    }

    /// What a record says of it. The protocols that the record does not speak of are lost only where what it says of the chosen one is new.
    pub(super) fn apply(&mut self, it: &ClassicMember, protocol: &str) {
        self.instance_id.clone_from(&it.instance_id);
        self.client_id.clone_from(&it.client_id);
        self.client_host.clone_from(&it.client_host);
        self.rebalance_timeout_ms = it.rebalance_timeout_ms;
        self.session_timeout_ms = it.session_timeout_ms;
        if self.protocols.is_empty() || self.subscription(protocol) != it.subscription {
            self.protocols = vec![(protocol.to_owned(), Bytes::copy_from_slice(&it.subscription))];
        }
        self.assignment = Bytes::copy_from_slice(&it.assignment);
    }

    pub(super) fn record(&self, id: &str, protocol: &str) -> ClassicMember {
        ClassicMember {
            id: id.to_owned(),
            instance_id: self.instance_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            session_timeout_ms: self.session_timeout_ms,
            subscription: self.subscription(protocol),
            assignment: self.assignment.clone(),
        }
    }

    /// What it says for the protocol.
    pub(super) fn subscription(&self, protocol: &str) -> Bytes {
        self.protocols.iter().find(|(name, _)| name == protocol).map(|it| it.1.clone()).unwrap_or_default()
    }

    /// What it says of itself now.
    pub(super) fn update(&mut self, it: &Join) {
        self.rebalance_timeout_ms = it.rebalance_timeout_ms;
        self.session_timeout_ms = it.session_timeout_ms;
        self.protocols = protocols_of(it);
    }

    pub(super) fn is_joining(&self) -> bool {
        matches!(self.parked, Some(Parked::Join(_)))
    }

    pub(super) fn size(&self) -> usize {
        let names =
            self.client_id.len() + self.client_host.len() + self.instance_id.as_ref().map_or(0, String::len);
        MEMBER_SIZE + names + protocols_size(&self.protocols)
    }

    pub(super) fn begin_session(&mut self, turn: &mut Turn<'_>, group: &Arc<str>, id: &Arc<str>) {
        self.begin_session_of(turn, group, id, u64::try_from(self.session_timeout_ms).unwrap_or(0));
    }

    pub(super) fn begin_session_of(&mut self, turn: &mut Turn<'_>, group: &Arc<str>, id: &Arc<str>, ms: u64) {
        let ends = turn.until(ms);
        self.session.set(&mut turn.shared.timers, ends, session_timer(group, id));
    }

    pub(super) fn end_session(&mut self, turn: &mut Turn<'_>, group: &Arc<str>, id: &Arc<str>) {
        self.session.cancel(&mut turn.shared.timers, session_timer(group, id));
    }

    /// Its session's timer went off. A member that waits for others cannot be blamed for its silence, unless it would not come again anyway.
    pub(super) fn has_expired(&mut self, turn: &mut Turn<'_>, group: &Arc<str>, id: &Arc<str>) -> bool {
        let has_come =
            self.session.has_come(&mut turn.shared.timers, turn.now.tick, session_timer(group, id));
        if has_come && self.parked.is_some() && !self.is_new {
            self.begin_session(turn, group, id);
            return false;
        }
        has_come
    }
}

pub(super) fn protocols_size(protocols: &[(String, Bytes)]) -> usize {
    protocols.iter().map(|(name, said)| name.len() + said.len()).sum()
}

/// The first of each name: a member has one vote and one thing to say for each.
fn protocols_of(it: &Join) -> Vec<(String, Bytes)> {
    let mut protocols: Vec<(String, Bytes)> = Vec::with_capacity(it.protocols.len().min(8));
    for (name, said) in &it.protocols {
        if !protocols.iter().any(|(known, _)| known == name) {
            protocols.push((name.clone(), Bytes::copy_from_slice(said)));
        }
    }
    protocols
}
