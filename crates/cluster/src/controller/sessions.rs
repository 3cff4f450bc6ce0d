//! When each broker was last heard of.
//!
//! Sessions are not in the metadata: they would be its busiest part. What a broker shows of itself comes by two ways, and either will do: its heartbeats, and
//! the engine's connection to it, where it is a member of the quorum too. The first stands for the whole broker but waits for its lock, its disk and for entries to be
//! committed; the second waits for nothing, and is there before a controller takes over. So:
//! - both silent for the timeout: fenced;
//! - the process is gone, which a connection that broke and is refused shows: fenced at once;
//! - no heartbeat while the connection answers: slow, and fenced only after [`HEARTBEAT_TIMEOUTS`] timeouts, since then it serves nobody.
//!
//! A new controller has heard no heartbeat yet, and goes by the connections alone; where there is none, the session starts when it takes over.
//!
//! What connections show may be late or wrong: that costs a failover, as any fencing of a broker that lives, and never a record.
//!
//! The controller's own broker has no session: it lives as long as whoever would miss it. A controller that is no broker, and was one, has left a registration that ends as any
//! other does.

use std::collections::{BTreeMap, BTreeSet};

use klamm_model::{BrokerEpoch, BrokerId, Tick};

use super::{Heartbeat, Sighting};
use crate::image::{Broker, Image};
use crate::record::BrokerState;

/// A broker whose process answers but that shows no heartbeat is given so many timeouts.
const HEARTBEAT_TIMEOUTS: u64 = 5;

#[derive(Debug)]
pub(super) struct Sessions {
    timeout_ms: u64,
    /// The controller's own broker, if it is one.
    own: Option<BrokerId>,
    by_broker: BTreeMap<BrokerId, Session>,
    observed: Tick,
}

#[derive(Debug)]
struct Session {
    epoch: BrokerEpoch,
    /// Of this registration, or since when this controller waits for one.
    beat: Tick,
    has_beaten: bool,
    /// When the engine's connection to this very process last showed that it is there.
    seen: Option<Tick>,
    process: Process,
    /// The metadata offset it said it had applied.
    applied: Option<u64>,
    /// The metadata offset by which it lost what it led, if it is draining.
    drained_at: Option<u64>,
    /// The metadata offset by which it was fenced last.
    fenced_at: Option<u64>,
    /// It is fenced, and may be about to take part: meanwhile it may be in sync, where it was before it restarted, and must not stay so for ever.
    is_starting: bool,
    /// It says that a disk of it is nearly full.
    is_full: bool,
}

/// Whether its process is known to be gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Process {
    MayLive,
    /// The engine says so.
    Gone,
    /// It said so, and the broker has shown itself since.
    SaidGone,
}

impl Session {
    fn new(now: Tick, broker: &Broker) -> Self {
        Self {
            epoch: broker.epoch,
            beat: now,
            has_beaten: false,
            seen: None,
            process: Process::MayLive,
            applied: None,
            drained_at: None,
            fenced_at: None,
            is_starting: true,
            is_full: false,
        }
    }

    /// The last sign of life by either way. Who took over goes by what was seen before it did.
    fn heard(&self) -> Tick {
        match self.seen {
            Some(seen) if self.has_beaten => seen.max(self.beat),
            Some(seen) => seen,
            None => self.beat,
        }
    }

    /// When it ends, if nothing more comes. At that moment it still holds.
    fn ends(&self, timeout_ms: u64) -> Tick {
        let heard = self.heard().after_ms(timeout_ms);
        heard.min(self.beat.after_ms(timeout_ms * HEARTBEAT_TIMEOUTS))
    }
}

impl Sessions {
    pub(super) fn new(now: Tick, timeout_ms: u64, own: Option<BrokerId>, image: &Image) -> Self {
        let mut sessions = Self { timeout_ms, own, by_broker: BTreeMap::new(), observed: now };
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
                session.beat = session.beat.after_ms(asleep_ms);
                session.seen = session.seen.map(|it| it.after_ms(asleep_ms));
            }
        }
        self.observed = self.observed.max(now);
    }

    pub(super) fn heard(&mut self, now: Tick, it: &Heartbeat) {
        if let Some(session) = self.by_broker.get_mut(&it.id) {
            (session.beat, session.has_beaten) = (now, true);
            session.applied = session.applied.max(it.applied);
            session.is_full = it.is_full;
        }
    }

    /// Brokers that take no records from clients, by their last heartbeats.
    pub(super) fn full(&self) -> BTreeSet<BrokerId> {
        self.by_broker.iter().filter(|(_, session)| session.is_full).map(|(id, _)| *id).collect()
    }

    /// How the engine's connections show other nodes. What they show of another process than the one that is registered, an older or a newer one, counts for
    /// nothing: the newer one will register itself, and nobody who has is fenced by old news.
    pub(super) fn sighted(&mut self, now: Tick, sightings: &[Sighting], image: &Image) {
        for sighting in sightings {
            let is_known = |it: &&Broker| it.incarnation == sighting.incarnation;
            let Some(broker) = image.broker(sighting.id).map(|it| &**it).filter(is_known) else { continue };
            let Some(session) = self.by_broker.get_mut(&broker.id) else { continue };
            let seen = Tick(now.0.saturating_sub(sighting.silent_ms * 1000));
            session.seen = session.seen.max(Some(seen));
            session.process = match session.process {
                _ if !sighting.is_gone => Process::MayLive,
                Process::MayLive => Process::Gone,
                known => known,
            };
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
        let session = self.by_broker.entry(id).or_insert_with(|| Session::new(now, broker));
        if session.epoch != broker.epoch {
            *session = Session::new(now, broker);
        }
        if broker.state == BrokerState::Fenced {
            session.fenced_at = session.fenced_at.or(image.applied());
        } else {
            session.is_starting = false;
            let is_back = session.fenced_at.take().is_some();
            if is_back && session.process == Process::Gone {
                // It knows that it was fenced, so it lives, whatever answers its port. Once is enough.
                session.process = Process::SaidGone;
            }
        }
        match broker.state {
            BrokerState::Draining => session.drained_at = session.drained_at.or(image.applied()),
            BrokerState::Active => session.drained_at = None,
            BrokerState::Fenced => {}
        }
    }

    /// Their sessions have ended, and what follows from that is decided.
    pub(super) fn gave_up(&mut self, ids: &BTreeSet<BrokerId>) {
        for (_, session) in self.by_broker.iter_mut().filter(|(id, _)| ids.contains(id)) {
            session.is_starting = false;
        }
    }

    /// Brokers that take part, or are about to, and are gone, or were not heard of for too long.
    pub(super) fn expired(&self, now: Tick, image: &Image) -> BTreeSet<BrokerId> {
        let is_over = |it: &Session| it.process == Process::Gone || it.ends(self.timeout_ms) < now;
        self.watched(image).filter(|(_, session)| is_over(session)).map(|(id, _)| id).collect()
    }

    pub(super) fn next_wake(&self, image: &Image) -> Option<Tick> {
        // One past the end, since at the end itself a session still holds.
        let end = |it: &Session| match it.process {
            Process::Gone => self.observed,
            _ => it.ends(self.timeout_ms).after_ms(1),
        };
        let ends = self.watched(image).map(|(_, session)| end(session)).min()?;
        // Often enough for `observe` to tell sleep from silence.
        Some(ends.min(self.observed.after_ms(self.timeout_ms / 4)))
    }

    /// Whether everybody else who takes part knows by now that this broker leads nothing, be it drained or fenced.
    pub(super) fn is_drained(&self, id: BrokerId, image: &Image) -> bool {
        let lost_all_at = |session: &Session| session.drained_at.or(session.fenced_at);
        let Some(drained_at) = self.by_broker.get(&id).and_then(lost_all_at) else {
            return false;
        };
        image.brokers().filter(|it| it.id != id && it.is_active() && Some(it.id) != self.own).all(|it| {
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
            .filter(move |(id, session)| Some(*id) != self.own && (session.is_starting || takes_part(*id)))
    }
}
