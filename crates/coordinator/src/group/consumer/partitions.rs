//! Partitions as groups count them, and as records list them.

use std::collections::{BTreeMap, BTreeSet};

use klamm_model::TopicPartition;

use crate::record::{OwnedPartitions, TopicPartitions};

/// Some partitions.
pub(super) type Partitions = BTreeSet<TopicPartition>;

/// Partitions that a member has, with its epoch when it got them.
pub(super) type Owned = BTreeMap<TopicPartition, i32>;

pub(super) fn flat(topics: &[TopicPartitions]) -> Partitions {
    let each = topics.iter().flat_map(|it| it.partitions.iter().map(|partition| (it.topic, *partition)));
    each.map(|(topic, partition)| TopicPartition { topic, partition }).collect()
}

pub(in crate::group) fn by_topic<'a>(
    partitions: impl IntoIterator<Item = &'a TopicPartition>,
) -> Vec<TopicPartitions> {
    let mut topics: Vec<TopicPartitions> = Vec::new();
    for it in partitions {
        match topics.last_mut().filter(|last| last.topic == it.topic) {
            Some(last) => last.partitions.push(it.partition),
            None => topics.push(TopicPartitions { topic: it.topic, partitions: vec![it.partition] }),
        }
    }
    topics
}

pub(super) fn flat_owned(topics: &[OwnedPartitions]) -> Owned {
    let each = topics.iter().flat_map(|it| it.partitions.iter().map(|(at, since)| (it.topic, *at, *since)));
    each.map(|(topic, partition, since)| (TopicPartition { topic, partition }, since)).collect()
}

pub(super) fn owned_by_topic(owned: &Owned) -> Vec<OwnedPartitions> {
    let mut topics: Vec<OwnedPartitions> = Vec::new();
    for (it, since) in owned {
        match topics.last_mut().filter(|last| last.topic == it.topic) {
            Some(last) => last.partitions.push((it.partition, *since)),
            None => {
                topics.push(OwnedPartitions { topic: it.topic, partitions: vec![(it.partition, *since)] })
            }
        }
    }
    topics
}
