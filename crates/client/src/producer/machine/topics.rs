//! The topics that were written to, and which of their partitions a record goes to.

use std::mem;
use std::sync::Arc;

use klamm_model::{ErrorCode, TopicId};

use super::super::error::Cause;
use super::super::queue::PartitionQueue;
use super::super::record::{Record, Refused, never};
use super::Machine;
use crate::partitioner::partition_of_key;

#[derive(Debug)]
pub(super) struct TopicSlots {
    pub(super) name: Arc<str>,
    pub(super) id: TopicId,
    pub(super) slots: Vec<usize>,
    pub(super) sticky: Option<usize>,
}

impl<T: Default> Machine<T> {
    pub(super) fn topic(&mut self, record: &Record<'_>) -> Result<usize, Refused> {
        if self.topics.get(self.recent_topic).is_some_and(|topic| &*topic.name == record.topic) {
            return Ok(self.recent_topic);
        }
        let topic = match self.topics_by_name.get(record.topic) {
            Some(&topic) => topic,
            None => self.learn_topic(record)?,
        };
        self.recent_topic = topic;
        Ok(topic)
    }

    fn learn_topic(&mut self, record: &Record<'_>) -> Result<usize, Refused> {
        let Some((name, known)) = self.cluster.topics.get_key_value(record.topic) else {
            return Err(Refused::NeedsMetadata);
        };
        match known.error {
            ErrorCode::InvalidTopicException | ErrorCode::TopicAuthorizationFailed => {
                return Err(never(record, Cause::Refused { code: known.error, message: None }));
            }
            _ if known.partitions.is_empty() => return Err(Refused::NeedsMetadata),
            _ => {}
        }
        let name = name.clone();
        let topic = self.topics.len();
        self.topics.push(TopicSlots {
            name: name.clone(),
            id: TopicId::ZERO,
            slots: Vec::new(),
            sticky: None,
        });
        self.topics_by_name.insert(name, topic);
        self.refresh_topic(topic);
        Ok(topic)
    }

    pub(super) fn refresh_topic(&mut self, index: usize) {
        let topic = &mut self.topics[index];
        let Some(known) = self.cluster.topics.get(&topic.name).filter(|known| known.error == ErrorCode::None)
        else {
            return;
        };
        for number in topic.slots.len()..known.partitions.len() {
            topic.slots.push(self.queues.len());
            self.queues.push(PartitionQueue::new(topic.name.clone(), number as i32));
            self.is_active.push(false);
        }
        if mem::replace(&mut topic.id, known.id) != known.id {
            topic.slots.iter().for_each(|&slot| self.queues[slot].forget_numbers());
        }
    }

    pub(super) fn choose_partition(&mut self, index: usize, record: &Record<'_>) -> Result<usize, Refused> {
        let topic = &mut self.topics[index];
        let partition_count = topic.slots.len();
        if let Some(partition) = record.partition {
            return match usize::try_from(partition) {
                Ok(number) if number < partition_count => Ok(number),
                // It may have been added a moment ago, but only the shell can find out: it asks for metadata once.
                _ => Err(never(record, Cause::UnknownPartition { partition_count })),
            };
        }
        if let Some(key) = record.key {
            return Ok(partition_of_key(key, partition_count as i32) as usize);
        }
        if let Some(sticky) = topic.sticky.filter(|&sticky| self.queues[topic.slots[sticky]].has_open()) {
            let fits =
                !self.queues[topic.slots[sticky]].would_overflow(record.size(), self.config.batch_size);
            if fits {
                return Ok(sticky);
            }
        }
        let chosen = self.least_busy(index);
        self.topics[index].sticky = Some(chosen);
        Ok(chosen)
    }

    /// The less busy of two partitions drawn at random: spreads evenly and steers around a slow broker.
    fn least_busy(&mut self, index: usize) -> usize {
        let count = self.topics[index].slots.len() as u64;
        let mut draw = || self.random.below(count) as usize;
        let (one, other) = (draw(), draw());
        let topic = &self.topics[index];
        let cost = |number: usize| {
            let has_leader = self.cluster.leader(&topic.name, number as i32).is_some();
            (!has_leader, self.queues[topic.slots[number]].backlog())
        };
        if cost(other) < cost(one) { other } else { one }
    }

    pub(super) fn find_topic(&self, name: &str, id: TopicId) -> Option<usize> {
        if name.is_empty() {
            return self.topics.iter().position(|topic| topic.id == id);
        }
        self.topics_by_name.get(name).copied()
    }
}
