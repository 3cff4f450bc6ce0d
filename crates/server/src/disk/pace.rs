//! How many syncs go at a time.
//!
//! A sync costs processor time too: the kernel writes, waits and is woken for it several times. Where the disk is fast, as many at a time as there are threads
//! keep every processor busy with syncs that bring one write each to disk. Of those that wait, each covers all that is written until it begins: fewer at a time do
//! the same work for less. Where a sync takes long the processors have little to do with it, and all threads may have one.

use std::time::Duration;

/// Even if syncs are nothing but work for a processor: one is begun while the other's thread is told of its end.
const AT_ONCE_LEAST: usize = 2;

/// So much of the averages is what the last sync was like.
const NEWEST_SHARE: f64 = 1.0 / 32.0;

/// Lets as many syncs begin as keep so many processors busy.
#[derive(Debug)]
pub(super) struct Pace {
    processors: f64,
    under_way: usize,
    /// What a sync took lately, and what of that it had a processor.
    took_s: f64,
    busy_s: f64,
}

impl Pace {
    pub(super) fn new(processors: usize) -> Self {
        Self { processors: processors as f64, under_way: 0, took_s: 0.0, busy_s: 0.0 }
    }

    /// How many more may begin.
    pub(super) fn room(&self) -> usize {
        self.at_once().saturating_sub(self.under_way)
    }

    fn at_once(&self) -> usize {
        if self.busy_s == 0.0 {
            return usize::MAX; // Nothing is known of this disk.
        }
        ((self.processors * self.took_s / self.busy_s) as usize).max(AT_ONCE_LEAST)
    }

    pub(super) fn begun(&mut self) {
        self.under_way += 1;
    }

    pub(super) fn ended(&mut self, took: Duration, busy: Duration) {
        self.under_way -= 1;
        let share = if self.busy_s == 0.0 { 1.0 } else { NEWEST_SHARE };
        self.took_s += share * (took.as_secs_f64() - self.took_s);
        self.busy_s += share * (busy.as_secs_f64() - self.busy_s);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many go at a time on a disk where a sync takes so long whatever else happens.
    fn at_once(processors: usize, took_us: u64, busy_us: u64) -> usize {
        let mut pace = Pace::new(processors);
        for _ in 0..200 {
            pace.begun();
            pace.ended(Duration::from_micros(took_us), Duration::from_micros(busy_us));
        }
        pace.room()
    }

    #[test]
    fn as_many_begin_as_the_processors_can_bear() {
        assert_eq!(at_once(1, 300, 45), 6);
        assert_eq!(at_once(1, 3000, 45), 66);
        assert_eq!(at_once(16, 300, 45), 106);
        assert_eq!(at_once(1, 20, 18), AT_ONCE_LEAST);
    }

    #[test]
    fn those_under_way_count_and_a_new_disk_is_tried() {
        let mut pace = Pace::new(1);
        (0..50).for_each(|_| pace.begun());
        assert!(pace.room() > 0, "nothing is known yet");
        pace.ended(Duration::from_micros(300), Duration::from_micros(58));
        assert_eq!(pace.room(), 0);
        (0..45).for_each(|_| pace.ended(Duration::from_micros(300), Duration::from_micros(58)));
        assert_eq!(pace.room(), 1);
    }
}
