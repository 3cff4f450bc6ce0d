//! Who has said that it has nothing of a partition that nobody leads, and of which nobody is known to have all records.
//!
//! An operator decides there who is to lead, as one of the replicas may have records that the others lack. If none of them has any there is nothing to decide: a topic that
//! was made right before the power was lost everywhere comes back by itself. What was said counts while nobody led since, and for the process that said it: the next one
//! may find what somebody has put back.

use std::collections::{BTreeMap, BTreeSet};

use klamm_model::{BrokerEpoch, BrokerId, LeaderEpoch, TopicPartition};

use crate::image::Image;

#[derive(Debug, Default)]
pub(super) struct Emptiness {
    said: BTreeMap<TopicPartition, Said>,
}

#[derive(Debug)]
struct Said {
    /// Changes when somebody leads.
    leader_epoch: LeaderEpoch,
    by: BTreeSet<(BrokerId, BrokerEpoch)>,
}

impl Emptiness {
    /// This process of a broker has nothing of these partitions. Gives those that nobody has anything of.
    pub(super) fn said(
        &mut self,
        image: &Image,
        by: (BrokerId, BrokerEpoch),
        partitions: &BTreeSet<TopicPartition>,
    ) -> BTreeSet<TopicPartition> {
        let still = |at: &TopicPartition, said: &Said| {
            image.partition(*at).is_some_and(|it| it.has_no_heir() && it.leader_epoch == said.leader_epoch)
        };
        self.said.retain(|at, said| still(at, said));
        let mut empty = BTreeSet::new();
        for at in partitions {
            let Some(it) = image.partition(*at).filter(|it| it.has_no_heir()) else { continue };
            let said = self.said.entry(*at);
            let said = said.or_insert_with(|| Said { leader_epoch: it.leader_epoch, by: BTreeSet::new() });
            said.by.insert(by);
            let has_said = |id: &BrokerId| {
                image.broker(*id).is_some_and(|broker| said.by.contains(&(*id, broker.epoch)))
            };
            if it.replicas.iter().all(has_said) {
                empty.insert(*at);
            }
        }
        empty
    }
}
