//! The only clocks: everything further in gets the time as an argument.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use klamm_model::{Tick, Timestamp};
use klamm_node::Now;

/// Counts ticks since the server started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now() }
    }

    /// Both clocks; `at` is a moment the caller knows already.
    pub(crate) fn now_at(&self, at: Instant) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { tick: self.tick(at), wall: Timestamp(i64::try_from(wall.as_millis()).unwrap_or(i64::MAX)) }
    }

    pub(crate) fn tick(&self, at: Instant) -> Tick {
        Tick(u64::try_from(at.saturating_duration_since(self.start).as_micros()).unwrap_or(u64::MAX))
    }

    pub(crate) fn instant(&self, tick: Tick) -> Instant {
        self.start + Duration::from_micros(tick.0)
    }
}
