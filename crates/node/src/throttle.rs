//! How much replicas that catch up may be sent, or ask for, in a second (KIP-73): whether they may go on, and when they may again.
//!
//! Only replicas that are out of sync and named by the topic are held back. What they take is paid for with time: who took a batch waits for as long as the
//! rate gives it, so that over any while the rate holds, however large batches are. A rest earns a second's worth at most.

use klamm_model::{BrokerId, Tick, TopicPartition};

use crate::{Now, node::Node};

/// What a rest is worth at most, in microseconds.
const CREDIT_US_MAX: u64 = 1_000_000;
/// What Kafka has for no limit.
pub(crate) const UNLIMITED: u64 = i64::MAX as u64;

/// One rate, and how far it is used up.
#[derive(Debug)]
pub(crate) struct Throttle {
    bytes_per_second: u64,
    /// When all that was taken is paid for.
    paid_at: Tick,
}

/// Those of a broker.
#[derive(Debug, Default)]
pub(crate) struct Throttles {
    /// `leader.replication.throttled.rate`
    pub(crate) leading: Throttle,
    /// `follower.replication.throttled.rate`
    pub(crate) following: Throttle,
}

impl Default for Throttle {
    fn default() -> Self {
        Self { bytes_per_second: UNLIMITED, paid_at: Tick(0) }
    }
}

impl Throttle {
    /// Another rate begins afresh: what is owed by the one before might never be paid.
    pub(crate) fn set_rate(&mut self, bytes_per_second: u64) {
        if self.bytes_per_second != bytes_per_second {
            *self = Self { bytes_per_second, paid_at: Tick(0) };
        }
    }

    pub(crate) fn may_go_on(&self, now: Tick) -> bool {
        self.bytes_per_second == UNLIMITED || (0 < self.bytes_per_second && self.paid_at <= now)
    }

    /// When somebody may go on; `None`: not before there is another rate.
    pub(crate) fn goes_on_at(&self) -> Option<Tick> {
        (0 < self.bytes_per_second).then_some(self.paid_at)
    }

    pub(crate) fn take(&mut self, now: Tick, bytes: u64) {
        if matches!(self.bytes_per_second, 0 | UNLIMITED) {
            return;
        }
        let cost_us = u128::from(bytes) * 1_000_000 / u128::from(self.bytes_per_second);
        let from = self.paid_at.0.max(now.0.saturating_sub(CREDIT_US_MAX));
        self.paid_at = Tick(from.saturating_add(u64::try_from(cost_us).unwrap_or(u64::MAX)));
    }
}

impl Node {
    /// Whether this follower of a partition led here catches up, and is to be held back for that.
    pub(crate) fn is_throttled_at_leader(&self, key: TopicPartition, follower: BrokerId) -> bool {
        let hosted = self.hosted.get(&key);
        hosted.is_some_and(|it| it.throttled_leader && !it.replica.in_sync().contains(&follower))
    }

    /// The same of a partition that is followed here.
    pub(crate) fn is_throttled_follower(&self, key: TopicPartition) -> bool {
        let is_named = self.hosted.get(&key).is_some_and(|it| it.throttled_follower);
        let is_in_sync = |me| self.image.partition(key).is_some_and(|it| it.isr.contains(me));
        is_named && !is_in_sync(&self.config.broker_id)
    }

    /// How long a partition rests whose turn it is not yet. Another rate is noticed soon.
    pub(crate) fn follower_rests_until(&self, now: Now) -> Tick {
        const REST_MS_MAX: u64 = 500;
        let latest = now.tick.after_ms(REST_MS_MAX);
        let at = self.throttles.following.goes_on_at().unwrap_or(latest);
        at.clamp(now.tick.after_ms(1), latest)
    }

    /// The rates that hold now.
    pub(crate) fn set_throttles(&mut self) {
        self.throttles.leading.set_rate(self.config.leader_throttle_rate);
        self.throttles.following.set_rate(self.config.follower_throttle_rate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever takes a batch of so many bytes whenever it may, for so many seconds: how many it had.
    fn taken(bytes_per_second: u64, batch: u64, seconds: u64) -> u64 {
        let mut throttle = Throttle::default();
        throttle.set_rate(bytes_per_second);
        let (end, mut total) = (Tick(100_000_000 + seconds * 1_000_000), 0);
        let mut now = Tick(100_000_000);
        while now < end {
            if throttle.may_go_on(now) {
                throttle.take(now, batch);
                total += batch;
            }
            now = now.after_ms(1);
        }
        total
    }

    #[test]
    fn over_a_while_the_rate_holds_whatever_the_size_of_a_batch() {
        for batch in [100, 10_000, 1_000_000] {
            let bytes = taken(100_000, batch, 60);
            let most = 6_000_000 + 100_000 + batch;
            assert!((6_000_000..=most).contains(&bytes), "{bytes} in batches of {batch}");
        }
    }

    #[test]
    fn a_rest_earns_a_second_and_no_more() {
        let mut throttle = Throttle::default();
        throttle.set_rate(1_000);
        let now = Tick(3_600_000_000);
        throttle.take(now, 1_000);
        assert!(throttle.may_go_on(now));
        throttle.take(now, 500);
        assert_eq!(throttle.goes_on_at(), Some(now.after_ms(500)));
        assert!(!throttle.may_go_on(now.after_ms(499)));
        assert!(throttle.may_go_on(now.after_ms(500)));
    }

    #[test]
    fn a_rate_of_nothing_holds_until_there_is_another() {
        let mut throttle = Throttle::default();
        throttle.set_rate(0);
        assert!(!throttle.may_go_on(Tick(u64::MAX)));
        assert_eq!(throttle.goes_on_at(), None);
        throttle.set_rate(1);
        throttle.take(Tick(5_000_000), u64::MAX);
        assert!(!throttle.may_go_on(Tick(6_000_000)));
        throttle.set_rate(UNLIMITED);
        assert!(throttle.may_go_on(Tick(6_000_000)));
    }
}
