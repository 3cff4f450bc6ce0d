//! Which broker coordinates which group, as far as was asked.

use std::collections::BTreeMap;

use klamm_model::BrokerId;
use parking_lot::Mutex;

/// As many groups as are remembered: whoever asks about more is not served faster by that.
const GROUPS_MAX: usize = 10_000;

/// The coordinators of groups. What is known here may be wrong by now: who was asked says so, and then it is asked for anew.
#[derive(Default)]
pub(crate) struct Coordinators {
    of_groups: Mutex<BTreeMap<String, BrokerId>>,
}

impl Coordinators {
    pub(crate) fn of_group(&self, group: &str) -> Option<BrokerId> {
        self.of_groups.lock().get(group).copied()
    }

    pub(crate) fn learn(&self, group: &str, coordinator: BrokerId) {
        let mut known = self.of_groups.lock();
        if known.len() >= GROUPS_MAX {
            known.clear();
        }
        known.insert(group.to_owned(), coordinator);
    }
}
