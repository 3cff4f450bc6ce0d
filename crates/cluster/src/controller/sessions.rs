//! When each broker was last heard of.
//!
//! Sessions are not in the metadata: they would be its busiest part. So a new controller does not know them, and starts all at the moment it takes over; a
//! broker that died together with the old controller is noticed one timeout later. (Carrying the last heartbeats over shortens that; not done yet.)
//!
//! The controller's own broker has no session: it lives as long as whoever would miss it.

use std::collections::{BTreeMap, BTreeSet};

use klamm_model::{BrokerEpoch, BrokerId, Tick};

use crate::image::Image;
use crate::record::BrokerState;

#[derive(Debug)]
pub(super) struct Sessions {
    timeout_ms: u64,
    me: BrokerId,
    by_broker: BTreeMap<BrokerId, Session>,
    observed: Tick,
}

#[derive(Debug)]
struct Session {
    epoch: BrokerEpoch,
    heard: Tick,
    /// The metadata offset it said it had applied.
    applied: Option<u64>,
    /// The metadata offset by which it lost what it led, if it is draining.
    drained_at: Option<u64>,
    /// The metadata offset by which it was fenced last.
    fenced_at: Option<u64>,
    /// It is fenced, and may be about to take part: meanwhile it may be in sync, where it was before it restarted, and must not stay so for ever.
    is_starting: bool,
}

impl Sessions {
    pub(super) fn new(now: Tick, timeout_ms: u64, me: BrokerId, image: &Image) -> Self {
        let mut sessions = Self { timeout_ms, me, by_broker: BTreeMap::new(), observed: now };
        for broker in image.brokers() {
            sessions.broker_changed(now, broker.id, image);
        }
        sessions
    }

    /// Time passed. If this controller itself was asleep (a paused process, a stalled machine), heartbeats wait unread: nobody may be blamed for that time.
    pub(super) fn observe(&mut self, now: Tick) {
        let asleep_ms = now.ms_since(self.observed);
        if self.timeout_ms / 2 < asleep_ms {
            for session in self.by_broker.values_mut() {
                session.heard = session.heard.after_ms(asleep_ms);
            }
        }
        self.observed = self.observed.max(now);
    }

    pub(super) fn heard(&mut self, now: Tick, id: BrokerId, applied: Option<u64>) {
        if let Some(session) = self.by_broker.get_mut(&id) {
            session.heard = now;
            session.applied = session.applied.max(applied);
        }
    }

    /// Whether a fenced broker knows that it was. One that does not may still believe that it leads what others lead by now, and must not be taken for one that
    /// serves.
    pub(super) fn knows_of_its_fence(&self, id: BrokerId) -> bool {
        self.by_broker.get(&id).is_some_and(|session| session.fenced_at <= session.applied)
    }

    /// The image has another state of this broker.
    pub(super) fn broker_changed(&mut self, now: Tick, id: BrokerId, image: &Image) {
        let Some(broker) = image.broker(id) else {
            self.by_broker.remove(&id);
            return;
        };
        let session = self.by_broker.entry(id).or_insert(Session {
            epoch: broker.epoch,
            heard: now,
            applied: None,
            drained_at: None,
            fenced_at: None,
            is_starting: true,
        });
        if session.epoch != broker.epoch {
            *session = Session {
                epoch: broker.epoch,
                heard: now,
                applied: None,
                drained_at: None,
                fenced_at: None,
                is_starting: true,
            };
        }
        if broker.state == BrokerState::Fenced {
            session.fenced_at = session.fenced_at.or(image.applied());
        } else {
            session.fenced_at = None;
            session.is_starting = false;
        }
        if broker.state == BrokerState::Draining {
            session.drained_at = session.drained_at.or(image.applied());
        }
    }

    /// Their sessions have ended, and what follows from that is decided.
    pub(super) fn gave_up(&mut self, ids: &BTreeSet<BrokerId>) {
        for (_, session) in self.by_broker.iter_mut().filter(|(id, _)| ids.contains(id)) {
            session.is_starting = false;
        }
    }

    /// Brokers that take part, or are about to, and were not heard of for too long.
    pub(super) fn expired(&self, now: Tick, image: &Image) -> BTreeSet<BrokerId> {
        self.watched(image)
            .filter(|(_, session)| self.timeout_ms < now.ms_since(session.heard))
            .map(|(id, _)| id)
            .collect()
    }

    pub(super) fn next_wake(&self, image: &Image) -> Option<Tick> {
        // One past the timeout, since at the timeout itself a session still holds.
        let ends =
            self.watched(image).map(|(_, session)| session.heard.after_ms(self.timeout_ms + 1)).min()?;
        // Often enough for `observe` to tell sleep from silence.
        Some(ends.min(self.observed.after_ms(self.timeout_ms / 4)))
    }

    /// Whether everybody else who takes part knows by now that this broker leads nothing.
    pub(super) fn is_drained(&self, id: BrokerId, image: &Image) -> bool {
        let Some(drained_at) = self.by_broker.get(&id).and_then(|it| it.drained_at) else {
            return false;
        };
        image.brokers().filter(|it| it.id != id && it.is_active() && it.id != self.me).all(|it| {
            self.by_broker
                .get(&it.id)
                .is_some_and(|it| it.applied.is_some_and(|applied| drained_at <= applied))
        })
    }

    fn watched(&self, image: &Image) -> impl Iterator<Item = (BrokerId, &Session)> {
        let takes_part = |id| image.broker(id).is_some_and(|it| it.state != BrokerState::Fenced);
        self.by_broker
            .iter()
            .map(|(id, session)| (*id, session))
            .filter(move |(id, session)| *id != self.me && (session.is_starting || takes_part(*id)))
    }
}
