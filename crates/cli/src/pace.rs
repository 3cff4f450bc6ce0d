//! So many records a second and no more.

use std::time::{Duration, Instant};

/// What was missed by more than this is not made up for: whoever waited for input does not get a burst of it afterwards.
const LAG_MAX: Duration = Duration::from_millis(100);

/// Gives each record its moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    interval: Duration,
    next: Option<Instant>,
}

impl Pace {
    /// `100`, `0.5`
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let per_second: f64 = text.parse().map_err(|_| "expected a number of records a second")?;
        let interval = Duration::try_from_secs_f64(1.0 / per_second);
        let interval = interval.ok().filter(|it| !it.is_zero() && per_second.is_finite());
        let interval = interval.ok_or("expected a number of records a second, above 0")?;
        Ok(Self { interval, next: None })
    }

    /// When the next record may go, given that it wants to now.
    pub(crate) fn turn(&mut self, now: Instant) -> Instant {
        let turn =
            self.next.map_or(now, |next| now.checked_sub(LAG_MAX).map_or(next, |least| next.max(least)));
        self.next = turn.checked_add(self.interval);
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_turns_and_a_pause_brings_no_burst() {
        let ms = Duration::from_millis;
        let (mut pace, began) = (Pace::parse("100").expect("a rate"), Instant::now() + ms(1_000));
        let turns = [0, 0, 0, 15, 5_000, 5_000].map(|now| pace.turn(began + ms(now)) - (began - LAG_MAX));
        assert_eq!(turns, [100, 110, 120, 130, 5_000, 5_010].map(ms));
        for wrong in ["", "x", "0", "-1", "inf", "NaN", "1e-30", "1e30"] {
            assert!(Pace::parse(wrong).is_err(), "{wrong}");
        }
    }
}
