//! Offsets are committed, fetched and deleted.

use std::collections::BTreeSet;

use klamm_model::{PartitionIndex, Producer, Timestamp, TopicId};

use super::turn::Turn;
use super::{
    ByTopic, Commit, DeleteOffsets, FetchOffsets, Group, GroupError, GroupState, NewOffset, OfTopic,
    TxnCommit,
};
use crate::Entry;
use crate::record::{CommittedOffset, GroupRecord};

/// The longest text that a record can hold.
const TEXT_SIZE_MAX: usize = i16::MAX as usize;

/// What came of each partition that was named.
pub(super) type Results = Result<ByTopic<Result<(), GroupError>>, GroupError>;

/// How offsets are committed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Manner {
    /// At once. Whoever does may not know what an epoch is.
    Plain {
        knows_epochs: bool,
    },
    Transactional,
}

impl Group {
    pub(super) fn commit(&mut self, turn: &mut Turn<'_>, it: Commit) -> Results {
        let manner = Manner::Plain { knows_epochs: it.knows_epochs };
        self.protocol.check_commit(turn, &it.member, &it.topics, manner)?;
        let retention_ms = it.retention_ms.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX));
        let expires_at = retention_ms.map(|ms| Timestamp(turn.now.wall.0.saturating_add(ms)));
        Ok(self.keep(turn, it.topics, expires_at, None))
    }

    pub(super) fn txn_commit(&mut self, turn: &mut Turn<'_>, it: TxnCommit) -> Results {
        self.protocol.check_commit(turn, &it.member, &it.topics, Manner::Transactional)?;
        Ok(self.keep(turn, it.topics, None, Some(it.producer)))
    }

    fn keep(
        &mut self,
        turn: &mut Turn<'_>,
        topics: ByTopic<NewOffset>,
        expires_at: Option<Timestamp>,
        transaction: Option<Producer>,
    ) -> ByTopic<Result<(), GroupError>> {
        let mut entries = Vec::new();
        let answers = each(topics, |topic, id, partition, it| {
            let value = checked(turn, it, expires_at, id)?;
            let record = self.record(topic, partition, Some(value));
            let entry = record.encode();
            turn.check_fits([&entry])?;
            if let GroupRecord::Offset { value, .. } = record {
                self.offsets.apply(topic, partition, value, transaction.map(|it| it.id));
            }
            entries.push(entry);
            Ok(())
        });
        turn.append(transaction, entries);
        answers
    }

    fn record(&self, topic: &str, partition: PartitionIndex, value: Option<CommittedOffset>) -> GroupRecord {
        let group = self.name.to_string();
        GroupRecord::Offset { group, topic: topic.to_owned(), partition, value }
    }

    pub(super) fn fetch_offsets(
        &self,
        it: FetchOffsets,
    ) -> Result<ByTopic<Result<Option<CommittedOffset>, GroupError>>, GroupError> {
        if let (Some(consumer), Some(who)) = (self.consumer(), &it.member) {
            consumer.check_fetch(who)?;
        }
        let stable = |topic: &str, partition| {
            if it.require_stable && self.offsets.is_unstable(topic, partition) {
                return Err(GroupError::UnstableOffset);
            }
            Ok(self.offsets.get(topic, partition).cloned())
        };
        let Some(topics) = it.topics else {
            let all = self.offsets.settled().map(|(topic, partitions)| {
                let partitions = partitions.map(|index| (index, stable(topic, index))).collect();
                OfTopic { topic: topic.to_owned(), id: None, partitions }
            });
            return Ok(all.collect());
        };
        Ok(each(topics, |topic, _, partition, ()| stable(topic, partition)))
    }

    pub(super) fn delete_offsets(&mut self, turn: &mut Turn<'_>, it: DeleteOffsets) -> Results {
        if self.protocol.state() != GroupState::Empty && !self.protocol.is_of_consumers() {
            return Err(GroupError::NotEmpty { group: it.group });
        }
        let read = self.protocol.topics();
        let mut entries = Vec::new();
        let answers = each(it.topics, |topic, _, partition, ()| {
            if read.has(topic) {
                return Err(GroupError::Subscribed);
            }
            if self.offsets.get(topic, partition).is_some() || self.offsets.is_unstable(topic, partition) {
                entries.push(self.forget(topic, partition));
            }
            Ok(())
        });
        turn.append(None, entries);
        Ok(answers)
    }

    /// The topic of that id is gone. There may be another of its name already.
    pub(super) fn forget_topic(&mut self, topic: &str, id: TopicId) -> Vec<Entry> {
        let is_gone = |it: &CommittedOffset| it.topic.is_none_or(|it| it == id);
        let gone = wholly_gone(self.offsets.of_topic(topic).map(|(index, it)| (topic, index, is_gone(it))));
        gone.into_iter().map(|(topic, partition)| self.forget(&topic, partition)).collect()
    }

    /// Topics went while nobody could tell this shard: the one before it had died, or was not read yet. What was committed for them would be taken for the place in whatever
    /// has their names by now.
    pub(super) fn forget_gone(&mut self, is_there: impl Fn(TopicId) -> bool) -> Vec<Entry> {
        let is_gone = |it: &CommittedOffset| it.topic.is_some_and(|id| !is_there(id));
        if !self.offsets.each().any(|(_, _, it)| is_gone(it)) {
            return Vec::new();
        }
        let gone = wholly_gone(self.offsets.each().map(|(topic, index, it)| (topic, index, is_gone(it))));
        gone.into_iter().map(|(topic, partition)| self.forget(&topic, partition)).collect()
    }

    /// All that is kept of it, and the group itself.
    pub(super) fn forget_all(&mut self, turn: &mut Turn<'_>) -> Vec<Entry> {
        let all: BTreeSet<(String, PartitionIndex)> =
            self.offsets.all().map(|(topic, partition)| (topic.to_owned(), partition)).collect();
        let mut entries: Vec<Entry> = all.iter().map(|(topic, index)| self.forget(topic, *index)).collect();
        entries.extend(self.protocol.dissolve(turn));
        entries
    }

    pub(super) fn forget(&mut self, topic: &str, partition: PartitionIndex) -> Entry {
        self.offsets.apply(topic, partition, None, None);
        self.record(topic, partition, None).encode()
    }
}

/// The partitions of which all that is kept is gone: a tombstone takes all, so that where some of it is of a topic that is there, nothing goes.
fn wholly_gone<'a>(
    kept: impl Iterator<Item = (&'a str, PartitionIndex, bool)>,
) -> Vec<(String, PartitionIndex)> {
    let (mut gone, mut there) = (BTreeSet::new(), BTreeSet::new());
    for (topic, partition, is_gone) in kept {
        let places = if is_gone { &mut gone } else { &mut there };
        places.insert((topic, partition));
    }
    gone.difference(&there).map(|(topic, partition)| ((*topic).to_owned(), *partition)).collect()
}

fn checked(
    turn: &Turn<'_>,
    it: NewOffset,
    expires_at: Option<Timestamp>,
    topic: Option<TopicId>,
) -> Result<CommittedOffset, GroupError> {
    // Kafka counts what its strings are made of.
    let max = turn.config.offset_metadata_size_max;
    let is_long = max < it.metadata.len() && max < it.metadata.encode_utf16().count();
    if is_long || TEXT_SIZE_MAX < it.metadata.len() {
        return Err(GroupError::MetadataTooLarge { max: max.min(TEXT_SIZE_MAX) });
    }
    // The one format of records that has a date of expiry has neither epoch nor id.
    let is_dated = expires_at.is_some();
    Ok(CommittedOffset {
        offset: it.offset.ok_or(GroupError::NegativeOffset)?,
        leader_epoch: it.leader_epoch.filter(|_| !is_dated),
        metadata: it.metadata,
        committed_at: turn.now.wall,
        expires_at,
        topic: topic.filter(|_| !is_dated),
    })
}

/// The same partitions, with what came of each.
pub(super) fn each<T, U>(
    topics: ByTopic<T>,
    mut f: impl FnMut(&str, Option<TopicId>, PartitionIndex, T) -> U,
) -> ByTopic<U> {
    let each_topic = topics.into_iter().map(|OfTopic { topic, id, partitions }| {
        let each = partitions.into_iter().map(|(partition, it)| (partition, f(&topic, id, partition, it)));
        let partitions = each.collect();
        OfTopic { topic, id, partitions }
    });
    each_topic.collect()
}
