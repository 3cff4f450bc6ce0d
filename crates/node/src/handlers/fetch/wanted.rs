//! The partitions a fetch is about, and from where each is read.
//!
//! A flat list, so that a session can keep it from fetch to fetch and give it away for the time in which one is parked.

use klamm_model::{PartitionIndex, TopicId, TopicPartition};
use klamm_wire::fetch::{FetchPartition, FetchTopic, PartitionData};
use rustc_hash::FxHashSet;

use crate::node::Node;

/// What to read. The order is that of the request; a session begins each answer somewhere else.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) topics: Vec<WantedTopic>,
    pub(crate) partitions: Vec<WantedPartition>,
    /// Index of the partition that is served first. Behind the last one that gave records, so that those for which an answer had no room come next.
    pub(crate) first: usize,
}

/// A topic by the name its reader gave it.
#[derive(Debug, Default)]
pub(crate) struct WantedTopic {
    /// Empty from version 13 on.
    pub(crate) name: String,
    /// Zero before version 13.
    pub(crate) wire_id: TopicId,
    /// Whose partitions are read; `None` while nobody knows the name.
    pub(crate) id: Option<TopicId>,
}

/// One partition of the list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WantedPartition {
    /// Index into the topics.
    pub(crate) topic: u32,
    pub(crate) index: PartitionIndex,
    /// The four as they were sent, not looked at yet.
    pub(crate) offset: i64,
    pub(crate) current_leader_epoch: i32,
    pub(crate) last_fetched_epoch: i32,
    pub(crate) bytes_max: i32,
    pub(crate) told: Told,
}

/// What the reader was told last of a partition; -1 where it was told nothing that holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Told {
    pub(crate) high_watermark: i64,
    pub(crate) last_stable: i64,
    pub(crate) log_start: i64,
}

impl Told {
    pub(crate) const NOTHING: Self = Self { high_watermark: -1, last_stable: -1, log_start: -1 };

    /// What an answer tells. One with an error tells nothing, so the partition comes again when the error is gone.
    pub(crate) fn by(data: &PartitionData) -> Self {
        Self {
            high_watermark: data.high_watermark,
            last_stable: data.last_stable_offset,
            log_start: data.log_start_offset,
        }
    }
}

impl WantedPartition {
    pub(crate) fn new(topic: u32, asked: &FetchPartition) -> Self {
        Self {
            topic,
            index: PartitionIndex(asked.partition),
            offset: asked.fetch_offset,
            current_leader_epoch: asked.current_leader_epoch,
            last_fetched_epoch: asked.last_fetched_epoch,
            bytes_max: asked.partition_max_bytes,
            told: Told::NOTHING,
        }
    }
}

impl WantedTopic {
    pub(crate) fn new(node: &Node, name: String, wire_id: TopicId, by_id: bool) -> Self {
        let id = if by_id { Some(wire_id) } else { node.topic_id(&name) };
        Self { name, wire_id, id }
    }
}

impl Wanted {
    pub(crate) fn new(node: &Node, topics: Vec<FetchTopic>, by_id: bool) -> Self {
        let mut wanted = Self {
            topics: Vec::with_capacity(topics.len()),
            partitions: Vec::with_capacity(topics.iter().map(|topic| topic.partitions.len()).sum()),
            first: 0,
        };
        // Who names a partition again does not read it twice: waking such a fetch would cost the square of its size, with the node's lock held.
        let mut seen = FxHashSet::default();
        for (number, FetchTopic { topic, topic_id, partitions }) in topics.into_iter().enumerate() {
            let topic = WantedTopic::new(node, topic, topic_id, by_id);
            let number = number as u32;
            let is_new =
                |asked: &&FetchPartition| topic.id.is_none_or(|topic| seen.insert((topic, asked.partition)));
            let asked = partitions.iter().filter(is_new).map(|asked| WantedPartition::new(number, asked));
            wanted.partitions.extend(asked);
            wanted.topics.push(topic);
        }
        wanted
    }

    /// The partitions as this broker knows them; without those of unknown topics.
    pub(crate) fn keys(&self) -> impl Iterator<Item = TopicPartition> {
        self.partitions.iter().filter_map(|it| {
            let topic = self.topics[it.topic as usize].id?;
            Some(TopicPartition { topic, partition: it.index })
        })
    }

    /// Indexes of the partitions in the order in which they are served.
    pub(crate) fn order(&self) -> impl Iterator<Item = usize> + use<> {
        let first = self.first.min(self.partitions.len());
        (first..self.partitions.len()).chain(0..first)
    }
}
