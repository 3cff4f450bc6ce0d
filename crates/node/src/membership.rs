//! This broker's place in the cluster: registered with the controller, and alive in its eyes.

use klamm_cluster::Image;
use klamm_model::{BrokerEpoch, BrokerId, Tick};
use klamm_quorum::{DEPOSED_WITHIN_MS, LEADER_PAUSE_MS};
use uuid::Uuid;

use crate::{Effect, Now, node::Node};

/// Before a registration that failed is tried again.
const REGISTER_AGAIN_MS: u64 = 100;

/// How often a broker that leaves asks whether it may: others tell how far they are by their own signs of life.
const LEAVE_AGAIN_MS: u64 = 50;

/// How long a broker that leaves waits for a controller where there is none just now, from when it heard that. An election takes some hundred milliseconds, or one after the other as much; where there is no majority nobody comes.
const CONTROLLER_PATIENCE_MS: u64 = 2_000;

/// Within this time whoever stood still has heard from the engine in its own process whether it still leads.
const HEARD_WITHIN_MS: u64 = 300;

/// When to register and when to show a sign of life.
#[derive(Debug, Default)]
pub(crate) struct Membership {
    leaving: Leaving,
    /// When a broker that leaves gives up, if there is no controller by then.
    gives_up_at: Option<Tick>,
    under_way: bool,
    /// `None`: nothing to do until the controller changes.
    next: Option<Tick>,
    /// When the last sign of life was sent.
    sent: Tick,
    /// When the last one was sent of which another node, as the controller, said that this broker takes part.
    acknowledged: Option<Tick>,
    /// The last moment that this process saw, and until when it does not know what it missed, as it stood still before.
    observed: Option<Tick>,
    in_doubt_until: Tick,
    /// The same as the controller that this process was, if another could have been elected meanwhile.
    may_be_deposed_until: Tick,
}

/// A controlled shutdown: the controller has others lead, and says when nobody comes to this broker any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Leaving {
    #[default]
    No,
    Asks,
    Left,
}

impl Membership {
    /// What the next sign of life says.
    pub(crate) fn wants_shutdown(&self) -> bool {
        self.leaving != Leaving::No
    }

    pub(crate) fn next_wake(&self) -> Option<Tick> {
        self.next.filter(|_| !self.under_way)
    }

    /// When a broker that leaves, and has no controller to ask, goes all the same.
    pub(crate) fn gives_up_at(&self) -> Option<Tick> {
        self.gives_up_at.filter(|_| self.leaving == Leaving::Asks)
    }

    /// A new controller knows nothing of this broker's sessions.
    pub(crate) fn controller_changed(&mut self, now: Tick) {
        self.next = Some(now);
    }

    /// There is something that the controller should know now.
    pub(crate) fn has_news(&mut self, now: Tick) {
        self.next = self.next.map(|_| now);
    }

    /// Somebody came or went, maybe this broker itself.
    pub(crate) fn cluster_changed(&mut self, now: Tick) {
        self.next.get_or_insert(now);
    }

    pub(crate) fn registration_ended(&mut self, now: Tick, registered: bool) {
        self.under_way = false;
        // Registered brokers are fenced until their first sign of life.
        self.next = Some(if registered { now } else { now.after_ms(REGISTER_AGAIN_MS) });
    }

    /// Another node, as the controller, says that this broker takes part, or took part when it last showed that it lives.
    pub(crate) fn was_acknowledged(&mut self) {
        self.acknowledged = Some(self.sent);
    }

    /// Time passed. Whoever stood still (a paused process, a stalled machine) has not heard what happened meanwhile.
    pub(crate) fn observe(&mut self, now: Tick, session_timeout_ms: u64) {
        let stood_still_ms = self.observed.map_or(0, |before| now.ms_since(before));
        if session_timeout_ms / 2 < stood_still_ms {
            self.in_doubt_until = now.after_ms(session_timeout_ms);
        }
        if LEADER_PAUSE_MS <= stood_still_ms {
            self.may_be_deposed_until = now.after_ms(HEARD_WITHIN_MS);
        }
        self.observed = self.observed.max(Some(now));
    }

    /// Whether another may be the controller in place of this one, which stood still, and has not been told yet.
    pub(crate) fn may_be_deposed(&self, now: Tick) -> bool {
        now < self.may_be_deposed_until
    }

    /// Only another controller may say something else.
    pub(crate) fn refused(&mut self) {
        (self.under_way, self.next) = (false, None);
    }

    pub(crate) fn heartbeat_ended(&mut self, now: Tick, interval_ms: u64) {
        self.under_way = false;
        let interval_ms = if self.leaving == Leaving::Asks { LEAVE_AGAIN_MS } else { interval_ms };
        self.next = Some(now.after_ms(interval_ms));
    }

    /// There is no controller, or it is another that is to come.
    pub(crate) fn waits_for_controller(&mut self, now: Tick) {
        self.gives_up_at = Some(now.after_ms(CONTROLLER_PATIENCE_MS));
    }

    /// The broker epoch of this very process.
    pub(crate) fn epoch(image: &Image, me: BrokerId, incarnation: Uuid) -> Option<BrokerEpoch> {
        image.broker(me).filter(|broker| broker.incarnation == incarnation).map(|broker| broker.epoch)
    }
}

impl Node {
    /// The epoch of this process's registration, once it is committed.
    pub(crate) fn my_epoch(&self) -> Option<BrokerEpoch> {
        Membership::epoch(&self.image, self.config.broker_id, self.config.incarnation)
    }

    /// Registered and not fenced.
    pub(crate) fn is_active(&self) -> bool {
        self.my_epoch().is_some()
            && self.image.broker(self.config.broker_id).is_some_and(|broker| broker.is_active())
    }

    /// Whether it does what it is there for: a broker serves, a controller knows of one that decides.
    pub(crate) fn is_ready(&self) -> bool {
        if self.config.roles.broker { self.is_active() } else { self.metadata.knows_controller() }
    }

    /// For how long a broker that is cut off may still speak for groups of which others have the coordinator by now: see [`Self::may_speak_for_groups`].
    pub(crate) fn doubt_ms(&self) -> u64 {
        if self.image.brokers().len() == 1 { 0 } else { self.config.session_timeout_ms + DEPOSED_WITHIN_MS }
    }

    /// Whether what this broker says as the coordinator of a group can be relied on. Most of it changes nothing and so waits for no other replica: a broker
    /// that is cut off could go on for ever telling members that they are, while another coordinator gives away what they have. So it speaks for a
    /// session after the last sign of life that the controller has taken, as of when that was *sent*; the controller, which has that later, has nobody else
    /// lead before. What moves without that (an operator's election, a controller that is deposed and does not know it yet, and goes on to take signs of life until it does) is
    /// why a new coordinator lets members be silent for [`Self::doubt_ms`] longer.
    pub(crate) fn may_speak_for_groups(&self, now: Tick) -> bool {
        // A controller has no session with itself. After it stood still another may be the controller.
        let decides = self.metadata.is_controller() && self.membership.in_doubt_until <= now;
        self.image.brokers().len() == 1 || decides || self.is_acknowledged(now)
    }

    fn is_acknowledged(&self, now: Tick) -> bool {
        self.membership.acknowledged.is_some_and(|at| now.ms_since(at) <= self.config.session_timeout_ms)
    }

    /// Whether no controller has taken a sign of life of this broker for a session: others may lead by now what it leads, and it would not hear of it. Right after
    /// it stood still it has only not heard yet.
    pub(crate) fn is_cut_off(&self, now: Tick) -> bool {
        let is_silent = !self.metadata.is_controller() && !self.is_acknowledged(now);
        is_silent && 1 < self.image.brokers().len() && self.membership.in_doubt_until <= now
    }

    /// Has others take over. Where there is nobody else there is nothing to wait for; if it was the controller that stopped right before, the next one is waited for.
    pub(crate) fn begin_to_leave(&mut self, now: Now, out: &mut Vec<Effect>) {
        let has_others = self.image.brokers().any(|it| it.id != self.config.broker_id && it.is_active());
        if !has_others || !self.is_active() {
            return self.has_left(true, out);
        }
        self.membership.leaving = Leaving::Asks;
        self.membership.waits_for_controller(now.tick);
        self.membership.next = Some(now.tick);
    }

    /// The controller says that it may go, or there is none that could.
    pub(crate) fn has_left(&mut self, has_handed_over: bool, out: &mut Vec<Effect>) {
        if self.membership.leaving != Leaving::Left {
            self.membership.leaving = Leaving::Left;
            out.push(Effect::Left { has_handed_over });
        }
    }

    /// Registers, or shows a sign of life, when it is time.
    pub(crate) fn membership_time(&mut self, now: Now, out: &mut Vec<Effect>) {
        let is_in_vain = self.membership.gives_up_at().is_some_and(|at| at <= now.tick);
        if is_in_vain && self.metadata.controller_id().is_none() {
            self.has_left(false, out);
        }
        if !self.config.roles.broker
            || self.membership.next_wake().is_none_or(|at| now.tick < at)
            || self.metadata.controller_id().is_none()
        {
            return;
        }
        // Alone in the cluster, its own controller, and in service: nobody needs to hear from it.
        if self.metadata.is_controller() && self.image.brokers().len() == 1 && self.is_active() {
            self.membership.next = None;
            return;
        }
        if self.metadata.leads_without_controller() {
            self.membership.next = None;
            return;
        }
        (self.membership.under_way, self.membership.sent) = (true, now.tick);
        match self.my_epoch() {
            None => self.call_register(now, out),
            // Whoever takes part may lead. It shows itself when that is done.
            Some(_) if self.offline_replicas.has_absent() => {
                (self.membership.under_way, self.membership.next) = (false, None);
            }
            Some(epoch) => self.call_heartbeat(now, epoch, out),
        }
    }
}
