//! A topic is deleted and made anew while nobody coordinates the group that reads it (F42): who succeeds finds offsets in its log that belong to a topic which is gone.

use klamm_model::{LeaderEpoch, TopicId, TopicPartition};

use super::World;
use crate::{
    BROKER_COUNT, NODE_COUNT, PARTY_COUNT,
    disk::Loss,
    faults::{Fault, cut_off},
    renewals,
    stored::Stored,
    timeline::Happening,
};

/// A coordinator that is about to be lost, and the topic that goes.
pub(super) struct Succession {
    topic: TopicId,
    log: TopicPartition,
    epoch: LeaderEpoch,
}

impl World {
    /// Only where something was committed for the topic that there is.
    pub(super) fn lose_coordinator(
        &mut self,
        loss: Option<Loss>,
        lasts: u64,
        (lost_in, goes_in): (u64, u64),
    ) {
        let renewer = self.clients.iter().find_map(|client| client.as_renewer());
        let Some((topic, group)) = renewer.and_then(|it| it.topic_and_group()) else { return };
        if !self.checker.renewals.offsets.has(&self.checker.replicas, topic) {
            return;
        }
        let Some((node, log)) = self.coordinator_of(group) else { return };
        let image = self.checker.replicas.newest_image();
        let epoch = image.partition(log).expect("it is led").leader_epoch;
        self.succession = Some(Succession { topic, log, epoch });
        self.timeline.after(goes_in, Happening::Fault(Fault::DeleteTopic));
        let dice = &mut self.timeline.dice;
        let steps = match loss {
            Some(loss) => vec![(0, Fault::Crash { node, loss, down: lasts })],
            None if dice.chance(50) => cut_off(node, 0..NODE_COUNT, lasts, dice),
            None => cut_off(node, 0..PARTY_COUNT, lasts, dice),
        };
        for (delay, fault) in steps {
            self.timeline.after(lost_in + delay, Happening::Fault(fault));
        }
    }

    /// The node that coordinates a group which has committed offsets, and in which log it keeps them.
    fn coordinator_of(&self, group: &str) -> Option<(usize, TopicPartition)> {
        let has_group = |node: usize, log: TopicPartition| {
            let bytes = self.bytes_at(node, log);
            Stored::read(&bytes)
                .commits()
                .keys()
                .any(|(name, topic, _)| name == group && topic == renewals::NAME)
        };
        let mut logs =
            (0..BROKER_COUNT).flat_map(|node| self.group_logs(node).into_iter().map(move |it| (node, it)));
        logs.find(|(node, log)| has_group(*node, *log))
    }

    /// Looks whether somebody coordinates again, and which topic there is by then.
    pub(super) fn look_at_succession(&mut self) {
        let Some(Succession { topic, log, epoch }) = self.succession else { return };
        let image = self.checker.replicas.newest_image();
        let Some(state) = image.partition(log) else { return };
        if state.leader.is_none() || state.leader_epoch <= epoch {
            return;
        }
        self.succession = None;
        let present = image.topic_named(renewals::NAME).map(|it| it.id);
        self.timeline.coverage.count(match present {
            Some(id) if id == topic => "renewed topic: coordinator succeeded before it was deleted",
            Some(_) => "renewed topic: coordinator succeeded after it was made anew",
            None => "renewed topic: coordinator succeeded after it was deleted",
        });
    }
}
