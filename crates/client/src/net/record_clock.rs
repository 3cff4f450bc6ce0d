//! What time it is, for records: asked so often that asking would be a tenth of all work.

use klamm_model::Timestamp;

use super::Clock;

/// Gives records their timestamps.
///
/// Linux has a clock that costs a fifth of the exact one, and goes in ticks of 1 to 10 ms. The exact one is read when that clock has gone
/// on: what follows another record after more than a tick has the exact time, what follows sooner may have the time of the record before.
#[derive(Default, Debug)]
pub(crate) struct RecordClock {
    #[cfg(target_os = "linux")]
    read_at: Option<rustix::time::Timespec>,
    #[cfg(target_os = "linux")]
    last: Timestamp,
}

impl RecordClock {
    #[cfg(target_os = "linux")]
    pub(crate) fn wall(&mut self) -> Timestamp {
        let coarse = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        if self.read_at != Some(coarse) {
            self.read_at = Some(coarse);
            self.last = Clock::wall();
        }
        self.last
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn wall(&mut self) -> Timestamp {
        Clock::wall()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Coarser than any tick that Linux is built with.
    const TICK_MAX_MS: i64 = 10;

    #[test]
    fn the_time_of_a_record_is_at_most_a_tick_old_and_never_to_come() {
        let mut clock = RecordClock::default();
        for _ in 0..200_000 {
            let before = Clock::wall();
            let told = clock.wall();
            let after = Clock::wall();
            // Whoever is put to sleep within this has not been told a wrong time.
            let pause_ms = after.0 - before.0;
            assert!(told <= after && before.0 - told.0 <= TICK_MAX_MS + pause_ms, "{told:?} at {before:?}");
        }
    }
}
