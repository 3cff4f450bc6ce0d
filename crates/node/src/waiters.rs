//! Parked requests: each waits for something to happen, or for its deadline (Kafka's purgatories).

use std::collections::BTreeSet;

use klamm_model::Tick;
use rustc_hash::FxHashMap;

/// A parked request. Never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct WaiterId(u64);

/// All requests that wait, by number and by deadline.
///
/// Lists elsewhere hold numbers of waiters that may be gone by now: whoever meets one drops it.
#[derive(Debug)]
pub(crate) struct Waiters<T> {
    next: u64,
    parked: FxHashMap<WaiterId, (Tick, T)>,
    deadlines: BTreeSet<(Tick, WaiterId)>,
}

impl<T> Default for Waiters<T> {
    fn default() -> Self {
        Self { next: 0, parked: FxHashMap::default(), deadlines: BTreeSet::new() }
    }
}

impl<T> Waiters<T> {
    /// The number the next parked request gets, for lists that are filled before it is parked.
    pub(crate) fn next_id(&self) -> WaiterId {
        WaiterId(self.next)
    }

    pub(crate) fn park(&mut self, deadline: Tick, waiter: T) -> WaiterId {
        let id = WaiterId(self.next);
        self.next += 1;
        self.parked.insert(id, (deadline, waiter));
        self.deadlines.insert((deadline, id));
        id
    }

    pub(crate) fn get_mut(&mut self, id: WaiterId) -> Option<&mut T> {
        self.parked.get_mut(&id).map(|(_, waiter)| waiter)
    }

    /// Takes a waiter out for a moment; [`Self::put_back`] undoes it.
    pub(crate) fn take(&mut self, id: WaiterId) -> Option<(Tick, T)> {
        let (deadline, waiter) = self.parked.remove(&id)?;
        self.deadlines.remove(&(deadline, id));
        Some((deadline, waiter))
    }

    pub(crate) fn put_back(&mut self, id: WaiterId, deadline: Tick, waiter: T) {
        self.parked.insert(id, (deadline, waiter));
        self.deadlines.insert((deadline, id));
    }

    pub(crate) fn remove(&mut self, id: WaiterId) -> Option<T> {
        self.take(id).map(|(_, waiter)| waiter)
    }

    /// Takes one waiter whose deadline has come.
    pub(crate) fn pop_due(&mut self, now: Tick) -> Option<(WaiterId, T)> {
        let (deadline, id) = *self.deadlines.first()?;
        (deadline <= now).then(|| {
            let waiter = self.remove(id).expect("every deadline belongs to a parked waiter");
            (id, waiter)
        })
    }

    /// One waiter whose deadline has come.
    pub(crate) fn first_due(&self, now: Tick) -> Option<WaiterId> {
        self.deadlines.first().filter(|(deadline, _)| *deadline <= now).map(|(_, id)| *id)
    }

    pub(crate) fn len(&self) -> usize {
        self.parked.len()
    }

    pub(crate) fn next_deadline(&self) -> Option<Tick> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Takes every waiter that `wanted` picks; for rare events such as a closed connection.
    pub(crate) fn take_where(&mut self, wanted: impl Fn(&T) -> bool) -> Vec<(WaiterId, T)> {
        let mut ids: Vec<WaiterId> =
            self.parked.iter().filter(|(_, (_, waiter))| wanted(waiter)).map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids.into_iter().filter_map(|id| self.remove(id).map(|waiter| (id, waiter))).collect()
    }
}
