//! What lies between two images, for a node that gets a whole image in place of the entries that lead to it.

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::OrdMap;
use klamm_model::{PartitionIndex, TopicPartition};

use super::{Changes, Image, Topic};
use crate::record::ConfigResource;

impl Image {
    /// What a node has to act upon that had this image and has `later` now, which the same entries lead to. What came and went again between the two is not told.
    pub fn changes_to(&self, later: &Self) -> Changes {
        // Quotas and what else no node acts upon is in the image itself.
        let mut changes = Changes {
            controller: (self.epoch, self.controller) != (later.epoch, later.controller),
            brokers: differing(&self.brokers, &later.brokers).collect(),
            topics_created: Vec::new(),
            topics_removed: Vec::new(),
            partitions: BTreeSet::new(),
            configs: differing(&self.broker_configs, &later.broker_configs).collect(),
            features: self.features != later.features,
        };
        for id in differing(&self.topics, &later.topics) {
            match (self.topics.get(&id), later.topics.get(&id)) {
                (before, Some(now)) => {
                    if before.is_none() {
                        changes.topics_created.push(id);
                    }
                    compare(before.map(Arc::as_ref), now, &mut changes);
                }
                (Some(gone), None) => changes.topics_removed.push(Arc::clone(gone)),
                (None, None) => {}
            }
        }
        changes
    }
}

fn compare(before: Option<&Topic>, now: &Topic, changes: &mut Changes) {
    let had = |index| before.and_then(|it| it.partition(index));
    for (index, partition) in (0..).map(PartitionIndex).zip(&now.partitions) {
        if had(index) != Some(partition) {
            changes.partitions.insert(TopicPartition { topic: now.id, partition: index });
        }
    }
    let no_configs = super::Overrides::default();
    if before.map_or(&no_configs, |it| &it.configs) != &now.configs {
        changes.configs.insert(ConfigResource::Topic(now.id));
    }
}

/// The keys under which the two maps have not the same.
fn differing<'a, K, V>(one: &'a OrdMap<K, V>, other: &'a OrdMap<K, V>) -> impl Iterator<Item = K> + 'a
where
    K: Ord + Copy,
    V: PartialEq,
{
    let changed = one.iter().filter(|(key, value)| other.get(*key) != Some(*value)).map(|(key, _)| *key);
    changed.chain(other.keys().filter(|key| !one.contains_key(*key)).copied())
}
