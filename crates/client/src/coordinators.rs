//! Which broker coordinates which group, and which transactional id's transactions, as far as was asked.

use std::collections::BTreeMap;

use klamm_model::BrokerId;
use parking_lot::Mutex;

/// As many names as are remembered: whoever asks about more is not served faster by that.
const NAMES_MAX: usize = 10_000;

/// What has a coordinator.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum KeyType {
    Group,
    Transaction,
}

impl KeyType {
    /// The number as FindCoordinator has it.
    pub(crate) fn number(self) -> i8 {
        match self {
            Self::Group => 0,
            Self::Transaction => 1,
        }
    }
}

/// What is known here may be wrong by now: who was asked says so, and then it is asked for anew.
#[derive(Default)]
pub(crate) struct Coordinators {
    by_name: Mutex<BTreeMap<(KeyType, String), BrokerId>>,
}

impl Coordinators {
    pub(crate) fn of(&self, kind: KeyType, name: &str) -> Option<BrokerId> {
        self.by_name.lock().get(&(kind, name.to_owned())).copied()
    }

    pub(crate) fn learn(&self, kind: KeyType, name: &str, coordinator: BrokerId) {
        let mut known = self.by_name.lock();
        if known.len() >= NAMES_MAX {
            known.clear();
        }
        known.insert((kind, name.to_owned()), coordinator);
    }
}
