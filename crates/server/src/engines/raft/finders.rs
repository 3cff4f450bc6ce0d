//! Who has found this node where it is now, and not where all know it: what makes a leader write its own address anew.
//!
//! It is elsewhere if whoever calls it says so: one that calls it where all know it is reason enough to leave it there. What one has said counts no more once it comes by
//! another connection, which may be to there.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use klamm_model::BrokerId;

/// What was not said again within this time is not so any more.
const TOLD_WITHIN: Duration = Duration::from_secs(3);

/// See the module. Times are since the start of the process.
#[derive(Debug, Default)]
pub(super) struct Finders {
    /// When they said so last.
    told: BTreeMap<BrokerId, Duration>,
}

impl Finders {
    /// This one says that it has found this node where it is now.
    pub(super) fn told(&mut self, now: Duration, by: BrokerId) {
        self.told.insert(by, now);
    }

    /// This one has come by a new connection, which may be to where all know this node.
    pub(super) fn called(&mut self, from: BrokerId) {
        self.told.remove(&from);
    }

    /// Whether all that call this node have found it, of which there has to be one.
    pub(super) fn are_all(&self, now: Duration, callers: &BTreeSet<BrokerId>) -> bool {
        let is_one = |it: &BrokerId| self.told.get(it).is_some_and(|at| now < *at + TOLD_WITHIN);
        !callers.is_empty() && callers.iter().all(is_one)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: BrokerId = BrokerId(1);
    const OTHER: BrokerId = BrokerId(2);

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_node_is_elsewhere_only_if_all_that_call_it_say_so_and_only_for_a_while() {
        let mut finders = Finders::default();
        assert!(!finders.are_all(at(0), &[].into()), "nobody calls it");
        finders.told(at(0), ONE);
        assert!(finders.are_all(at(2_999), &[ONE].into()));
        assert!(!finders.are_all(at(2_999), &[ONE, OTHER].into()), "one calls it where all know it");
        finders.told(at(1_000), OTHER);
        assert!(finders.are_all(at(2_999), &[ONE, OTHER].into()));
        assert!(!finders.are_all(at(3_000), &[ONE, OTHER].into()), "one has not said so again");
        assert!(finders.are_all(at(3_000), &[OTHER].into()));
    }

    #[test]
    fn who_comes_by_another_connection_has_not_found_anything_yet() {
        let mut finders = Finders::default();
        finders.told(at(0), ONE);
        finders.told(at(0), OTHER);
        finders.called(ONE);
        assert!(finders.are_all(at(1), &[OTHER].into()));
        assert!(!finders.are_all(at(1), &[ONE, OTHER].into()));
        finders.told(at(2), ONE);
        assert!(finders.are_all(at(2), &[ONE, OTHER].into()));
    }
}
