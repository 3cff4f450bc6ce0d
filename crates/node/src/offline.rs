//! Replicas here whose logs cannot be used: the controller is told of them, so that others lead, and nobody counts on what is not there.
//!
//! A replica that an earlier process had, by the metadata, and of which nothing is found on disk, waits for the registration of this one. If no data directory was lost it
//! never had anything, and begins anew. If one was, the controller is told first that its log is gone: nobody is to count on it, and it is not to lead with nothing.
//!
//! It is told until the metadata say it. They forget it when another process of this broker registers, which then tells what it cannot use either.

use std::collections::BTreeSet;

use klamm_cluster::controller::LogFate;
use klamm_model::{BrokerEpoch, Tick, TopicPartition};

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
    /// Replicas of which nothing was found.
    absent: BTreeSet<TopicPartition>,
    /// Of these nobody believes any more that there is something.
    settled: BTreeSet<TopicPartition>,
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

    /// Nothing of it is on disk.
    pub(crate) fn not_found(&mut self, key: TopicPartition) {
        self.absent.insert(key);
        self.next = Some(Tick(0));
    }

    /// Whether it may be begun anew whatever was lost. It was not found before.
    pub(crate) fn take_settled(&mut self, key: TopicPartition) -> bool {
        self.settled.remove(&key)
    }

    /// Whether the controller is to be told first of what is gone.
    pub(crate) fn has_absent(&self) -> bool {
        !self.absent.is_empty()
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
        if self.offline_replicas.has_absent() {
            return self.tell_what_is_gone(now, epoch, out);
        }
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
        self.call_replicas_offline(now, epoch, (LogFate::Offline, untold), out);
    }

    fn tell_what_is_gone(&mut self, now: Now, epoch: BrokerEpoch, out: &mut Vec<Effect>) {
        let gone: Vec<_> = self.offline_replicas.absent.iter().take(PARTITIONS_MAX).copied().collect();
        tracing::error!(
            partitions = gone.len(),
            "a data directory is lost, and these partitions with it: they are fetched anew, where others have them"
        );
        self.offline_replicas.is_under_way = true;
        self.call_replicas_offline(now, epoch, (LogFate::Gone, gone), out);
    }

    /// The controller has answered, or nobody knows whether it heard.
    pub(crate) fn gone_replicas_told(
        &mut self,
        now: Now,
        partitions: &[TopicPartition],
        is_taken: bool,
        out: &mut Vec<Effect>,
    ) {
        self.offline_replicas.told(now.tick);
        if is_taken {
            self.begin_anew(now, partitions, out);
            self.offline_replicas.changed();
            self.membership.cluster_changed(now.tick);
        }
    }

    /// Whether a data directory of an earlier process is lost, and this one has not taken part since.
    pub(crate) fn has_lost_directory(&self) -> bool {
        self.image.broker(self.config.broker_id).is_some_and(|it| it.has_lost_directory)
    }

    /// This process is registered: what was not found on disk is begun anew, unless it has to be told of first.
    pub(crate) fn settle_absent(&mut self, now: Now, out: &mut Vec<Effect>) {
        if !self.has_lost_directory() {
            let absent: Vec<_> = self.offline_replicas.absent.iter().copied().collect();
            self.begin_anew(now, &absent, out);
        }
    }

    fn begin_anew(&mut self, now: Now, partitions: &[TopicPartition], out: &mut Vec<Effect>) {
        for key in partitions {
            if self.offline_replicas.absent.remove(key) {
                self.offline_replicas.settled.insert(*key);
                self.apply_partition(now, *key, out);
            }
        }
    }
}
