//! Replicas here whose logs cannot be used: the controller is told of them, so that others lead, and nobody counts on what is not there.
//!
//! A replica that an earlier process had, by the metadata, and of which nothing is found on disk, waits for the registration of this one. Then the controller is told first
//! that its log is gone: nobody is to count on it, and it is not to lead with nothing. Only when that is committed it begins anew, and the broker takes part.
//!
//! Where nobody leads, and nobody is known to have all records, each replica without any says so to each controller: if that is all of them, one leads.
//!
//! It is told until the metadata say it. They forget it when another process of this broker registers, which then tells what it cannot use either.

use std::collections::BTreeSet;

use klamm_cluster::{
    controller::LogFate,
    image::{Partition, Topic},
};
use klamm_model::{BrokerEpoch, ControllerEpoch, Offset, Tick, TopicPartition};

use crate::{Effect, Now, node::Node};

/// Before it is looked again whether the metadata say what was told.
const TELL_AGAIN_MS: u64 = 200;

/// Before a controller is told again what is empty, as long as nobody leads it: it counts who has said so in its memory, and may be another one by now in the same node.
const EMPTY_AGAIN_MS: u64 = 1_000;

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
    /// Nobody leads these, nobody is known to have all of them, and here is nothing.
    empty: BTreeSet<TopicPartition>,
    /// Those of them that the controller has not been told of, and when all of them are told again.
    empty_untold: BTreeSet<TopicPartition>,
    empty_again: Option<Tick>,
    /// Which controller.
    told_in: Option<ControllerEpoch>,
    /// The same, but here are records. A person was told.
    stuck: BTreeSet<TopicPartition>,
    /// Of so many absent ones, and of so many that cannot be used, the log says so; it is not to say so each time that the controller is told.
    said: usize,
    said_offline: usize,
}

impl OfflineReplicas {
    /// There are others, the controller is another, or this broker is registered anew.
    pub(crate) fn changed(&mut self) {
        self.next = Some(Tick(0));
        self.empty_untold.clone_from(&self.empty);
    }

    /// The same node may be another controller, which has not heard what the one before was told.
    pub(crate) fn is_decided_in(&mut self, epoch: ControllerEpoch) {
        if self.told_in.replace(epoch) != Some(epoch) {
            self.changed();
        }
    }

    /// The controller has answered, or nobody knows whether it heard.
    pub(crate) fn told(&mut self, now: Tick) {
        (self.is_under_way, self.next) = (false, Some(now.after_ms(TELL_AGAIN_MS)));
    }

    /// Nothing of it is on disk. Whether that is news.
    pub(crate) fn not_found(&mut self, key: TopicPartition) -> bool {
        self.next = Some(Tick(0));
        self.absent.insert(key)
    }

    /// Or it is no replica of this broker any more.
    pub(crate) fn has_leader_or_heir(&mut self, key: TopicPartition) {
        self.empty.remove(&key);
        self.empty_untold.remove(&key);
        self.stuck.remove(&key);
    }

    fn is_empty(&mut self, key: TopicPartition) {
        self.empty.insert(key);
        self.empty_untold.insert(key);
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
        self.next.into_iter().chain(self.empty_again).min().filter(|_| !self.is_under_way)
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
        if self.offline_replicas.empty_again.take_if(|at| *at <= now.tick).is_some() {
            self.offline_replicas.empty_untold.clone_from(&self.offline_replicas.empty);
        }
        let Some(epoch) = self.my_epoch().filter(|_| !self.metadata.leads_without_controller()) else {
            return;
        };
        if self.offline_replicas.has_absent() {
            return self.tell_what_is_gone(now, epoch, out);
        }
        if !self.offline_replicas.empty_untold.is_empty() {
            let empty = self.offline_replicas.empty_untold.iter().take(PARTITIONS_MAX).copied().collect();
            self.offline_replicas.is_under_way = true;
            return self.call_replicas_offline(now, epoch, (LogFate::Gone, empty), out);
        }
        let me = self.config.broker_id;
        let is_untold = |key: &&TopicPartition| {
            self.image
                .partition(**key)
                .is_some_and(|it| it.replicas.contains(&me) && !it.offline.contains(&me))
        };
        let untold: Vec<_> = self.offline.iter().filter(is_untold).take(PARTITIONS_MAX).copied().collect();
        let count = untold.len();
        if std::mem::replace(&mut self.offline_replicas.said_offline, count) != count && count > 0 {
            tracing::info!(partitions = count, "the controller is told of replicas that are offline here");
        }
        if untold.is_empty() {
            return;
        }
        self.offline_replicas.is_under_way = true;
        self.call_replicas_offline(now, epoch, (LogFate::Offline, untold), out);
    }

    fn tell_what_is_gone(&mut self, now: Now, epoch: BrokerEpoch, out: &mut Vec<Effect>) {
        let gone: Vec<_> = self.offline_replicas.absent.iter().take(PARTITIONS_MAX).copied().collect();
        let count = self.offline_replicas.absent.len();
        if std::mem::replace(&mut self.offline_replicas.said, count) != count {
            tracing::warn!(
                partitions = count,
                "the controller is told of replicas of which nothing was found"
            );
        }
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
            for key in partitions {
                self.offline_replicas.empty_untold.remove(key);
            }
            let waits =
                !self.offline_replicas.empty.is_empty() && self.offline_replicas.empty_untold.is_empty();
            self.offline_replicas.empty_again = waits.then(|| now.tick.after_ms(EMPTY_AGAIN_MS));
            self.begin_anew(now, partitions, out);
            self.offline_replicas.next = Some(Tick(0));
            self.membership.cluster_changed(now.tick);
        }
    }

    /// Whether it takes a person to have somebody lead a partition that is hosted here, or a word of each replica that it has nothing.
    pub(crate) fn note_whether_lost(&mut self, key: TopicPartition, topic: &Topic, partition: &Partition) {
        let Some(hosted) = self.hosted.get(&key) else { return };
        let log = hosted.replica.log();
        // The last leader leads again when it is back.
        if !partition.has_no_heir() || partition.last_known_elr.len() == 1 || log.has_failed() {
            return self.offline_replicas.has_leader_or_heir(key);
        }
        if log.end() == Offset::ZERO {
            self.offline_replicas.is_empty(key);
        } else if self.offline_replicas.stuck.insert(key) {
            tracing::error!(partition = %key, topic = %topic.name, end = %log.end(), "nobody leads this partition, as all who had all of its records for certain have lost them; an operator decides who leads with what is left (`klamm cluster elect --unclean`)");
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
