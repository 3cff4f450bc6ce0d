//! Partitions move to other brokers (KIP-455).
//!
//! ```text
//!  asked for        meanwhile                                         in the end
//!  1,2 -> 3,2       replicas 3,2,1   adding 3   removing 1            replicas 3,2
//! ```
//! The new replicas are added first and copy; once all replicas that are to stay are in sync, the others go, and with them, maybe, the leader. Where those
//! that are to stay are in sync already, both happen at once. A leader's change of its in-sync set is what ends a reassignment, see [`completed`].

use std::collections::BTreeSet;

use klamm_model::{BrokerId, PartitionIndex, TopicPartition};

use super::new_partitions::check_replicas;
use super::{AlterReassignments, ByTopic, Controller, Decision, ReassignError, Reassignment, Reply};
use crate::image::{Partition, Topic};

impl Controller {
    pub(super) fn alter_reassignments(&self, it: &AlterReassignments) -> Decision {
        let mut records = Vec::new();
        let mut seen = BTreeSet::new();
        let mut answers = Vec::new();
        for (topic, partitions) in &it.partitions {
            let mut of_topic = Vec::new();
            for (index, target) in partitions {
                let result = self.partition(topic, *index).and_then(|(topic, at, partition)| {
                    // A second change would rest on the state before the first.
                    if !seen.insert(at) {
                        return Err(ReassignError::Repeated);
                    }
                    let after = match target {
                        Some(target) => self.reassigned(partition, target, it.may_change_factor)?,
                        None => called_off(partition)?,
                    };
                    // Who moves replicas says how many there are to be.
                    let after = Partition { wanted_replicas: None, ..after };
                    records.extend(self.elections().change(at, topic, partition, after).1);
                    Ok(())
                });
                of_topic.push((*index, result));
            }
            answers.push((topic.clone(), of_topic));
        }
        Decision { records, reply: Reply::AlterReassignments(answers) }
    }

    pub(super) fn list_reassignments(&self, asked: Option<&ByTopic<()>>) -> Decision {
        let of_topic = |topic: &Topic, indexes: &mut dyn Iterator<Item = PartitionIndex>| {
            let moving = indexes.filter_map(|index| {
                let it = topic.partition(index).filter(|it| it.is_reassigning())?;
                let (adding, removing) = (it.adding.clone(), it.removing.clone());
                Some((index, Reassignment { replicas: it.replicas.clone(), adding, removing }))
            });
            (topic.name.to_string(), moving.collect::<Vec<_>>())
        };
        let mut list: ByTopic<Reassignment> = match asked {
            None => {
                let all = |topic: &Topic| (0..).map(PartitionIndex).take(topic.partitions.len());
                self.image.topics().map(|topic| of_topic(topic, &mut all(topic))).collect()
            }
            Some(asked) => {
                let known = asked.iter().filter_map(|(name, indexes)| {
                    let topic = self.image.topic_named(name)?;
                    Some(of_topic(topic, &mut indexes.iter().map(|(index, ())| *index)))
                });
                known.collect()
            }
        };
        list.retain(|(_, partitions)| !partitions.is_empty());
        Decision { records: Vec::new(), reply: Reply::ListReassignments(list) }
    }

    fn partition(
        &self,
        name: &str,
        index: PartitionIndex,
    ) -> Result<(&Topic, TopicPartition, &Partition), ReassignError> {
        let unknown = || ReassignError::UnknownPartition { topic: name.to_owned(), partition: index };
        let topic = self.image.topic_named(name).ok_or_else(unknown)?;
        let partition = topic.partition(index).ok_or_else(unknown)?;
        Ok((topic, TopicPartition { topic: topic.id, partition: index }, partition))
    }

    fn reassigned(
        &self,
        partition: &Partition,
        target: &[BrokerId],
        may_change_factor: bool,
    ) -> Result<Partition, ReassignError> {
        check_replicas(&self.image, target).map_err(|what| ReassignError::Replicas { what })?;
        let has = partition.target().len();
        if !may_change_factor && has != target.len() {
            return Err(ReassignError::FactorChange { has, asked: target.len() });
        }
        Ok(towards(partition, target))
    }
}

/// On the way to these replicas, or there already.
pub(super) fn towards(partition: &Partition, target: &[BrokerId]) -> Partition {
    let removing = without(&partition.replicas, target);
    let adding = without(target, &partition.replicas);
    let replicas = target.iter().chain(&removing).copied().collect();
    completed(Partition { replicas, adding, removing, ..partition.clone() })
}

/// The replicas that were to come do not, and those that were to go stay.
fn called_off(partition: &Partition) -> Result<Partition, ReassignError> {
    if !partition.is_reassigning() {
        return Err(ReassignError::NotUnderWay);
    }
    let after = Partition {
        replicas: without(&partition.replicas, &partition.adding),
        isr: without(&partition.isr, &partition.adding),
        elr: without(&partition.elr, &partition.adding),
        adding: Vec::new(),
        removing: Vec::new(),
        ..partition.clone()
    };
    if after.isr.is_empty() && after.elr.is_empty() {
        let what = "only replicas that were added are in sync".to_owned();
        return Err(ReassignError::Replicas { what });
    }
    Ok(after)
}

/// Ends a reassignment if everybody who is to stay is in sync.
pub(super) fn completed(it: Partition) -> Partition {
    let target = it.target();
    if !it.is_reassigning() || target.is_empty() || !target.iter().all(|id| it.isr.contains(id)) {
        return it;
    }
    let (isr, elr) = (without(&it.isr, &it.removing), without(&it.elr, &it.removing));
    Partition { replicas: target, isr, elr, adding: Vec::new(), removing: Vec::new(), ..it }
}

fn without(brokers: &[BrokerId], others: &[BrokerId]) -> Vec<BrokerId> {
    brokers.iter().copied().filter(|id| !others.contains(id)).collect()
}
