//! Partitions by the names of their topics, as administrators know them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// One partition, by the name of its topic.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PartitionName {
    /// The topic.
    pub topic: Arc<str>,
    /// Its number within the topic.
    pub partition: i32,
}

impl PartitionName {
    /// The topic's partition of this number.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for PartitionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// The partitions' numbers by topic, as requests want them.
pub(crate) fn by_topic<'a>(
    partitions: impl IntoIterator<Item = &'a PartitionName>,
) -> BTreeMap<Arc<str>, Vec<i32>> {
    let mut topics: BTreeMap<Arc<str>, Vec<i32>> = BTreeMap::new();
    for PartitionName { topic, partition } in partitions {
        topics.entry(topic.clone()).or_default().push(*partition);
    }
    topics
}
