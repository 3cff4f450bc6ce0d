//! Every so often partitions go back to the leaders that are preferred, where those are in sync again: a broker that was away leads nothing when it is back.

use klamm_model::Tick;

use super::Controller;
use crate::record::Record;

/// So many partitions get another leader at a time; those that remain come next. Each of them stands still for a moment.
const ELECTIONS_MAX: usize = 1_000;

/// When it is looked next.
#[derive(Debug)]
pub(super) struct Balance {
    interval_ms: Option<u64>,
    next: Option<Tick>,
}

impl Balance {
    /// The first time an interval after the controller began. `None`: never.
    pub(super) fn new(now: Tick, interval_ms: Option<u64>) -> Self {
        Self { interval_ms, next: interval_ms.map(|it| now.after_ms(it)) }
    }

    pub(super) fn next_wake(&self) -> Option<Tick> {
        self.next
    }
}

impl Controller {
    /// What has preferred leaders lead, if it is time to look.
    pub(super) fn balance(&mut self, now: Tick) -> Vec<Record> {
        let (Some(next), Some(interval_ms)) = (self.balance.next, self.balance.interval_ms) else {
            return Vec::new();
        };
        if now < next {
            return Vec::new();
        }
        let elections = self.elections();
        let mut preferred = elections.preferred_everywhere();
        let records: Vec<_> = preferred.by_ref().take(ELECTIONS_MAX).collect();
        let next = if preferred.next().is_some() { now } else { now.after_ms(interval_ms) };
        drop(preferred);
        self.balance.next = Some(next);
        records
    }
}
