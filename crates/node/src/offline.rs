//! Replicas here whose logs cannot be used: the controller is told of them, so that others lead, and nobody counts on what is not there.
//!
//! It is told until the metadata say it. They forget it when another process of this broker registers, which then tells what it cannot use either.

use klamm_model::{Tick, TopicPartition};

use crate::{Effect, Now, node::Node};

/// Before it is looked again whether the metadata say what was told.
const TELL_AGAIN_MS: u64 = 200;

/// Partitions that are told of at once: what the controller makes of them has to fit into one entry of the metadata, as with changes of in-sync sets.
const PARTITIONS_MAX: usize = 1_000;

/// When to look whether there is something to tell.
#[derive(Debug, Default)]
pub(crate) struct OfflineReplicas {
    /// `None`: when something changes.
    next: Option<Tick>,
    is_under_way: bool,
}

impl OfflineReplicas {
    /// There are others, the controller is another, or this broker is registered anew.
    pub(crate) fn changed(&mut self) {
        self.next = Some(Tick(0));
    }

    /// The controller has answered, or nobody knows whether it heard.
    pub(crate) fn told(&mut self, now: Tick) {
        (self.is_under_way, self.next) = (false, Some(now.after_ms(TELL_AGAIN_MS)));
    }

    pub(crate) fn next_wake(&self) -> Option<Tick> {
        self.next.filter(|_| !self.is_under_way)
    }
}

impl Node {
    /// Tells the controller, when it is time.
    pub(crate) fn tell_offline_replicas(&mut self, now: Now, out: &mut Vec<Effect>) {
        let is_due = self.offline_replicas.next_wake().is_some_and(|at| at <= now.tick);
        if !is_due || self.metadata.controller_id().is_none() {
            return;
        }
        self.offline_replicas.next = None;
        let Some(epoch) = self.my_epoch().filter(|_| !self.metadata.leads_without_controller()) else {
            return;
        };
        let me = self.config.broker_id;
        let is_untold = |key: &&TopicPartition| {
            self.image
                .partition(**key)
                .is_some_and(|it| it.replicas.contains(&me) && !it.offline.contains(&me))
        };
        let untold: Vec<_> = self.offline.iter().filter(is_untold).take(PARTITIONS_MAX).copied().collect();
        if untold.is_empty() {
            return;
        }
        tracing::info!(partitions = untold.len(), "the controller is told of replicas that are offline here");
        self.offline_replicas.is_under_way = true;
        self.call_replicas_offline(now, epoch, untold, out);
    }
}
