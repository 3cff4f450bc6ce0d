//! Going through all partitions, a slice at a time: whoever wants something of the node meanwhile comes in between.

use klamm_model::TopicPartition;

use crate::node::Node;

/// Partitions that are looked at in one go. With a few microseconds for each, nobody else waits for as much as a millisecond.
const SLICE: usize = 128;

/// How far somebody has come who goes through all partitions, by topic id and number. What comes or goes meanwhile may be seen or not.
#[derive(Clone, Copy, Debug, Default)]
pub struct Walk {
    last: Option<TopicPartition>,
    is_over: bool,
}

impl Walk {
    /// Whether there are no more.
    pub fn is_over(&self) -> bool {
        self.is_over
    }
}

impl Node {
    /// The partitions here that come next.
    pub(crate) fn next_of(&self, walk: &mut Walk) -> Vec<TopicPartition> {
        let here = self.image.partitions_after(walk.last).filter(|key| self.hosted.contains_key(key));
        let keys: Vec<_> = here.take(SLICE).collect();
        walk.last = keys.last().copied();
        walk.is_over = keys.len() < SLICE;
        keys
    }
}
