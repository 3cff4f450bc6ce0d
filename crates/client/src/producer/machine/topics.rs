//! The topics that were written to, and which of their partitions a record goes to.

use std::mem;
use std::sync::Arc;

use klamm_model::{ErrorCode, TopicId};

use super::super::error::{Cause, SendError};
use super::super::queue::PartitionQueue;
use super::super::record::{Record, Refused, never};
use super::Machine;
use crate::partitioner::{draw_idle, partition_of_key};

#[derive(Debug)]
pub(super) struct TopicSlots {
    pub(super) name: Arc<str>,
    pub(super) id: TopicId,
    pub(super) slots: Vec<usize>,
    pub(super) sticky: Option<Sticky>,
}

/// Where records without a key go for a while, so that they fill batches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sticky {
    pub(super) partition: usize,
    /// Bytes that went there since it was chosen.
    pub(super) produced: usize,
}

impl<T: Clone + Default> Machine<T> {
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

    /// The partition of a record, and whether nothing but load decided.
    pub(super) fn choose_partition(
        &mut self,
        index: usize,
        record: &Record<'_>,
    ) -> Result<(usize, bool), Refused> {
        let partition_count = self.topics[index].slots.len();
        let by_choice = || {
            let partitioner = self.config.partitioner.as_ref()?;
            partitioner.choose(record, partition_count as i32, &self.cluster)
        };
        if let Some(partition) = record.partition.or_else(by_choice) {
            return match usize::try_from(partition) {
                Ok(number) if number < partition_count => Ok((number, false)),
                _ => {
                    let cause = Cause::UnknownPartition { partition_count };
                    let error = SendError::before_sending(record.topic, record.partition, cause);
                    Err(Refused::NoSuchPartition(error))
                }
            };
        }
        if let Some(key) = record.key.filter(|_| !self.config.ignores_keys) {
            return Ok((partition_of_key(key, partition_count as i32) as usize, false));
        }
        Ok((self.sticky_partition(index, record.size()), true))
    }

    /// Each partition gets a batch's worth of bytes in turn (KIP-794). A partition that is left in the middle of a batch leaves a small one
    /// behind, so it is left at the end of one; unless records with keys keep opening new ones there, then after twice as much.
    fn sticky_partition(&mut self, index: usize, growth: usize) -> usize {
        let topic = &self.topics[index];
        let batch_size = self.config.batch_size;
        if let Some(Sticky { partition, produced }) = topic.sticky {
            let queue = &self.queues[topic.slots[partition]];
            let is_within = queue.has_open() && !queue.would_overflow(growth, batch_size);
            if produced + growth <= if is_within { 2 * batch_size } else { batch_size } {
                return partition;
            }
        }
        let partition = self.draw_partition(index);
        self.topics[index].sticky = Some(Sticky { partition, produced: 0 });
        partition
    }

    fn draw_partition(&mut self, index: usize) -> usize {
        let topic = &self.topics[index];
        let known = self.cluster.topics.get(&topic.name).map_or(&[][..], |known| &known.partitions);
        let waiting = topic.slots.iter().enumerate().map(|(number, &slot)| {
            known.get(number)?.leader?;
            Some(if self.config.prefers_idle_partitions { self.queues[slot].waiting() } else { 0 })
        });
        let drawn = draw_idle(waiting, &mut self.random);
        drawn.unwrap_or_else(|| self.random.below(topic.slots.len() as u64) as usize)
    }

    pub(super) fn find_topic(&self, name: &str, id: TopicId) -> Option<usize> {
        if name.is_empty() {
            return self.topics.iter().position(|topic| topic.id == id);
        }
        self.topics_by_name.get(name).copied()
    }
}
