//! What is to happen when: thousands of sessions, most of which never end.

use std::collections::BTreeSet;
use std::sync::Arc;

use klamm_model::Tick;

/// What a moment is for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Timer {
    /// It is looked for offsets that nobody uses.
    Expiry,
    /// The time of a group's members to join, or to sync, is up.
    Phase(Arc<str>),
    /// A session of the group's member ends.
    Session(Arc<str>, Arc<str>),
    /// The time of the group's member to do what it was told is up (consumer protocol).
    Duty(Arc<str>, Arc<str>),
}

/// A moment that is noticed so late was slept through, by a paused process or a stalled machine. Whoever had to do something by then may have done it, unread.
const LATE_MS_MAX: u64 = 500;

/// What waits unread is read in this time.
const GRACE_MS: u64 = 1_000;

/// All moments, the next one first.
#[derive(Debug, Default)]
pub(super) struct Timers(BTreeSet<(Tick, Timer)>);

impl Timers {
    pub(super) fn set(&mut self, due: Tick, timer: Timer) {
        self.0.insert((due, timer));
    }

    pub(super) fn pop_due(&mut self, now: Tick) -> Option<Timer> {
        self.0.first().filter(|(due, _)| *due <= now)?;
        self.0.pop_first().map(|(_, timer)| timer)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn next_due(&self) -> Option<Tick> {
        self.0.first().map(|(due, _)| *due)
    }
}

/// A moment that mostly moves on before it comes, as a session's end does with every heartbeat. Moving it on costs nothing: its timer goes off too early then, and is
/// set anew.
#[derive(Debug, Default)]
pub(super) struct Deadline {
    at: Tick,
    armed: Option<Tick>,
}

impl Deadline {
    pub(super) fn set(&mut self, timers: &mut Timers, at: Tick, timer: impl Fn() -> Timer) {
        self.at = at;
        if self.armed.is_none_or(|armed| at < armed) {
            self.cancel(timers, &timer);
            timers.set(at, timer());
            self.armed = Some(at);
        }
    }

    pub(super) fn is_set(&self) -> bool {
        self.armed.is_some()
    }

    pub(super) fn cancel(&mut self, timers: &mut Timers, timer: impl Fn() -> Timer) {
        if let Some(armed) = self.armed.take() {
            timers.0.remove(&(armed, timer()));
        }
    }

    /// Its timer went off. Whether the moment has come.
    pub(super) fn has_come(&mut self, timers: &mut Timers, now: Tick, timer: impl Fn() -> Timer) -> bool {
        self.armed = None;
        let is_slept_through = LATE_MS_MAX < now.ms_since(self.at);
        if now < self.at || is_slept_through {
            let at = if is_slept_through { now.after_ms(GRACE_MS) } else { self.at };
            self.set(timers, at, timer);
            return false;
        }
        true
    }
}
