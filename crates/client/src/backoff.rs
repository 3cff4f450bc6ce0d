//! How long to wait before trying again.

use crate::partitioner::Random;

/// News may mend a failure: another leader, an offset found anew. Then asking again needs no wait, but only so often in a row: brokers that send
/// us round in circles must not keep us busy.
pub(crate) const HURRIES_MAX: u32 = 3;

/// Doubles from the first wait to the longest, and spreads by a fifth so that clients do not come back in step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Wait after the first failure, in milliseconds.
    pub first_ms: u64,
    /// No wait is longer, in milliseconds (before spreading).
    pub longest_ms: u64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first_ms: 100, longest_ms: 1_000 }
    }
}

impl Backoff {
    /// The wait after `failures` failures in a row, in microseconds.
    pub fn wait_us(self, failures: u32, random: &mut Random) -> u64 {
        let doublings = failures.saturating_sub(1).min(20);
        // Without any wait, who tries again keeps the processor busy.
        let wait_us = (self.first_ms << doublings).min(self.longest_ms).max(1) * 1_000;
        let spread = wait_us / 5;
        wait_us - spread + random.below(2 * spread + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_stop_growing() {
        let mut random = Random::new(1);
        for (failures, middle_ms) in [(1, 100), (2, 200), (4, 800), (5, 1_000), (4_000_000, 1_000)] {
            let wait_us = Backoff::default().wait_us(failures, &mut random);
            assert!((middle_ms * 800..=middle_ms * 1_200).contains(&wait_us), "{failures}: {wait_us}");
        }
    }
}
