//! What was known of a topic before the picture that the client has of it now.

use std::collections::VecDeque;

use klamm_model::{Tick, TopicId};

use super::Topic;

/// As many are remembered of the topics that had a name one after the other: brokers lag by one or two.
const REPLACED_MAX: usize = 8;

/// Whoever tells of a replaced topic for so long, while nobody tells of the one that is believed, is right: ids have no order, so it may have been the late one
/// that was believed. Brokers that still answer catch up sooner than that.
const DISTRUST_MS: u64 = 10_000;

/// The newest epochs of a topic's leaders that anybody told, by partition: they are kept also while brokers say that there is no such topic, as one that
/// does so may only lag behind, and the next one may tell of a leader that is gone. And the topics that had the name before.
#[derive(Debug, Default)]
pub(super) struct Seen {
    topic_id: TopicId,
    epochs: Vec<i32>,
    /// The oldest first.
    replaced: VecDeque<TopicId>,
    /// Since when the same replaced topic is told instead of the one that is believed.
    late_since: Option<(TopicId, Tick)>,
}

impl Seen {
    /// The newest epoch of the partition's leader, if this topic is the one that was told last; else -1.
    pub(super) fn epoch(&self, topic_id: TopicId, partition: usize) -> i32 {
        let epochs = if self.topic_id == topic_id { &self.epochs[..] } else { &[] };
        epochs.get(partition).copied().unwrap_or(-1)
    }

    /// What is believed of the topic from now on.
    pub(super) fn note(&mut self, topic: &Topic) {
        if topic.partitions.is_empty() {
            return;
        }
        if self.topic_id != topic.id {
            self.replace_by(topic.id);
        }
        self.epochs.resize(self.epochs.len().max(topic.partitions.len()), -1);
        for (seen, partition) in self.epochs.iter_mut().zip(&topic.partitions) {
            *seen = (*seen).max(partition.leader_epoch);
        }
    }

    fn replace_by(&mut self, topic_id: TopicId) {
        self.replaced.retain(|id| *id != topic_id);
        if self.topic_id != TopicId::ZERO {
            if self.replaced.len() == REPLACED_MAX {
                self.replaced.pop_front();
            }
            self.replaced.push_back(self.topic_id);
        }
        (self.topic_id, self.late_since) = (topic_id, None);
        self.epochs.clear();
    }

    /// Whether a broker that lags tells of a topic that was replaced by the one that is believed.
    pub(super) fn distrusts(&mut self, now: Tick, told: &Topic) -> bool {
        if told.id == self.topic_id {
            self.late_since = None;
        }
        if !self.replaced.contains(&told.id) {
            return false;
        }
        let since = self.late_since.filter(|(id, _)| *id == told.id).map_or(now, |(_, since)| since);
        self.late_since = Some((told.id, since));
        now < since.after_ms(DISTRUST_MS)
    }
}
