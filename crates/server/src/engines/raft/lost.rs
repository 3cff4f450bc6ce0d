//! A node that hears of no leader asks to be let in again: it may be no member any more, and of that nobody tells one who is none. Or it is where no member calls it, and says by that where
//! it is.
//!
//! It was let in by a leader that lost the lead right then, so that the entry with it never came to be; or it was away when its broker was unregistered. A member that asks because
//! there is no leader just now does no harm: whoever leads knows it. As long as there is none it asks less and less often.

use std::time::Duration;

/// Far above what an election takes.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two times that it asks, at first and at last.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// See the module. Times are since the start of the process.
#[derive(Debug, Default)]
pub(super) struct Lost {
    /// When to ask next; `None` while a leader is heard of.
    due: Option<Duration>,
    /// After the last time that it asked.
    pause: Option<Duration>,
}

impl Lost {
    /// Whether others are to be asked now. It is looked at with each sign of life that is due.
    pub(super) fn look(&mut self, now: Duration, hears_leader: bool) -> bool {
        if hears_leader {
            *self = Self::default();
            return false;
        }
        let due = *self.due.get_or_insert(now + PATIENCE);
        let asks = due <= now;
        if asks {
            let pause = self.pause.map_or(PAUSE.0, |it| (it * 2).min(PAUSE.1));
            (self.pause, self.due) = (Some(pause), Some(now + pause));
        }
        asks
    }

    /// It has asked, and was not let in yet.
    pub(super) fn is_lost(&self) -> bool {
        self.pause.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When it asks, looked at as often as it wants, while a leader is heard of in these spans.
    fn asks(until: u64, heard: &[(u64, u64)]) -> Vec<u64> {
        let mut lost = Lost::default();
        (0..until)
            .filter(|now| {
                let hears = heard.iter().any(|(from, end)| (*from..*end).contains(now));
                lost.look(Duration::from_millis(*now), hears)
            })
            .collect()
    }

    #[test]
    fn whoever_hears_of_no_leader_for_long_asks_less_and_less_often() {
        assert_eq!(asks(60_000, &[]), [2_000, 3_000, 5_000, 9_000, 17_000, 27_000, 37_000, 47_000, 57_000]);
    }

    #[test]
    fn a_leader_that_is_heard_of_ends_it_and_an_election_is_waited_for() {
        assert_eq!(asks(10_000, &[(0, 3_000), (4_900, 10_000)]), [0; 0]);
        assert_eq!(asks(15_000, &[(0, 1_000), (7_000, 12_500)]), [3_000, 4_000, 6_000, 14_500]);
    }
}
