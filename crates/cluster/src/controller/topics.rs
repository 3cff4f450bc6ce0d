//! Topics are created and deleted.

use std::collections::{BTreeMap, BTreeSet};

use klamm_model::{BrokerId, PartitionEpoch, PartitionIndex, TopicId, TopicPartition};
use uuid::Builder;

use super::new_partitions::{Placed, check_replicas, each_once, in_sync_at_creation};
use super::{
    Controller, CreateTopicError, CreateTopics, CreatedTopic, Decision, DeleteTopicError, DeleteTopics,
    DeletedTopic, Layout, NewTopic, Reply, TopicRef, placement,
};
use crate::config::{self, ConfigError};
use crate::image::Topic;
use crate::record::{self, ConfigResource, PartitionChange, Record};
use crate::topic_name;

/// Kafka's limit, as a policy: one request must not hold up a controller for seconds.
pub const PARTITIONS_OF_REQUEST_MAX: u32 = 10_000;

/// What the topics before it in the same request have used up.
#[derive(Default)]
struct Used {
    metric_names: BTreeMap<String, String>,
    partition_count: u64,
    bytes: usize,
    ids: u64,
}

impl Controller {
    pub(super) fn create_topics(&self, it: &CreateTopics) -> Decision {
        let mut records = Vec::new();
        let mut used = Used::default();
        let is_too_much =
            u64::from(PARTITIONS_OF_REQUEST_MAX) < it.topics.iter().map(|it| self.asked_partitions(it)).sum();
        let mut answers = Vec::new();
        for (topic, is_repeated) in each_once(&it.topics, |topic| &topic.name) {
            let result = if is_too_much {
                Err(CreateTopicError::TooManyPartitions { max: PARTITIONS_OF_REQUEST_MAX })
            } else if is_repeated {
                Err(CreateTopicError::Repeated { name: topic.name.clone() })
            } else {
                self.create_topic(topic, &mut used)
            };
            let result = result.map(|(new, mut created)| {
                if it.validate_only {
                    created.id = None;
                } else {
                    records.extend(new);
                }
                created
            });
            answers.push((topic.name.clone(), result));
        }
        Decision { records, reply: Reply::CreateTopics(answers) }
    }

    /// A topic that cannot be created is some work as well.
    fn asked_partitions(&self, it: &NewTopic) -> u64 {
        let asked = match &it.layout {
            Layout::Counted { partitions, .. } => {
                partitions.map_or(self.config.num_partitions.into(), |it| it.try_into().unwrap_or(0))
            }
            Layout::Assigned(partitions) => partitions.len() as u64,
            Layout::Contradictory => 0,
        };
        asked.max(1)
    }

    fn create_topic(
        &self,
        it: &NewTopic,
        used: &mut Used,
    ) -> Result<(Vec<Record>, CreatedTopic), CreateTopicError> {
        topic_name::validate(&it.name)?;
        self.check_free(&it.name, used)?;
        let configs = set_configs(it)?;
        self.check_together(&configs)?;
        let alive = self.image.brokers().filter(|it| it.is_active()).count();
        let (by_default, mut wanted) = self.replicas_by_default(&it.name, alive);
        let (partitions, replication_factor) = match &it.layout {
            Layout::Counted { partitions, replication_factor } => {
                wanted = wanted.filter(|_| replication_factor.is_none());
                let asked =
                    replication_factor.unwrap_or_else(|| i16::try_from(by_default).unwrap_or(i16::MAX));
                self.placed(*partitions, asked, alive, used)?
            }
            Layout::Assigned(partitions) => {
                wanted = None;
                self.assigned(partitions)?
            }
            Layout::Contradictory => return Err(CreateTopicError::Contradictory),
        };

        let id = self.new_topic_id(used);
        let partition_count = u32::try_from(partitions.len()).expect("within the limit");
        let mut records = vec![Record::Topic { name: it.name.clone(), id }];
        for (index, (replicas, isr)) in (0..).zip(partitions) {
            let partition = TopicPartition { topic: id, partition: PartitionIndex(index) };
            let leader = isr.first().copied();
            records.push(Record::Partition { partition, replicas, isr, leader });
            records.extend(wanted.map(|wanted| {
                let nothing = PartitionChange::nothing(partition, PartitionEpoch(1));
                Record::PartitionChange(PartitionChange { wanted_replicas: Some(Some(wanted)), ..nothing })
            }));
        }
        for (key, value) in &configs {
            let resource = ConfigResource::Topic(id);
            records.push(Record::Config { resource, key: key.clone(), value: Some(value.clone()) });
        }

        let bytes: usize = records.iter().map(record::encoded_size).sum();
        if self.config.entry_bytes_max < used.bytes + bytes {
            return Err(CreateTopicError::TooLarge);
        }
        used.bytes += bytes;
        used.ids += 1;
        used.partition_count += u64::from(partition_count);
        used.metric_names.extend(topic_name::metric_name(&it.name).map(|looks| (looks, it.name.clone())));
        Ok((records, CreatedTopic { id: Some(id), partition_count, replication_factor, configs }))
    }

    fn check_free(&self, name: &str, used: &Used) -> Result<(), CreateTopicError> {
        if let Some(topic) = self.image.topic_named(name) {
            return Err(CreateTopicError::Exists { name: name.to_owned(), id: topic.id });
        }
        let looks = topic_name::metric_name(name);
        let in_request = looks.and_then(|looks| used.metric_names.get(&looks)).map(String::as_str);
        match in_request.or_else(|| self.image.topic_that_looks_like(name).map(|it| &*it.name)) {
            None => Ok(()),
            Some(other) => Err(CreateTopicError::Collides { name: name.to_owned(), other: other.to_owned() }),
        }
    }

    /// The replicas and in-sync set of each partition, as the controller places them.
    fn placed(
        &self,
        partitions: Option<i32>,
        asked: i16,
        alive: usize,
        used: &Used,
    ) -> Result<(Vec<Placed>, u16), CreateTopicError> {
        let impossible = CreateTopicError::ReplicationFactor { asked, alive };
        let Some(replication_factor) = u16::try_from(asked).ok().filter(|it| 0 < *it) else {
            return Err(impossible);
        };
        let partition_count = match partitions {
            None => self.config.num_partitions,
            Some(count) => u32::try_from(count)
                .ok()
                .filter(|it| 0 < *it)
                .ok_or(CreateTopicError::PartitionCount { count })?,
        };
        if alive < usize::from(replication_factor) {
            return Err(impossible);
        }

        let start = self.seed.wrapping_add(self.image.partition_count()).wrapping_add(used.partition_count);
        let places = placement::place(&self.image, start, partition_count, replication_factor);
        Ok((places.into_iter().map(|replicas| (replicas.clone(), replicas)).collect(), replication_factor))
    }

    /// The same, as the client wants them.
    fn assigned(
        &self,
        partitions: &[(PartitionIndex, Vec<BrokerId>)],
    ) -> Result<(Vec<Placed>, u16), CreateTopicError> {
        let unusable = |what: String| Err(CreateTopicError::Assignment { what });
        let by_index: BTreeMap<_, _> =
            partitions.iter().map(|(index, replicas)| (*index, replicas)).collect();
        let is_whole = by_index.keys().zip(0..).all(|(index, expected)| index.0 == expected);
        if by_index.is_empty() || !is_whole || by_index.len() != partitions.len() {
            return unusable("partitions are numbered from 0 without gaps, each once".to_owned());
        }
        let replication_factor = by_index[&PartitionIndex(0)].len();
        let mut placed = Vec::new();
        for (index, replicas) in by_index {
            if let Err(what) = check_replicas(&self.image, replicas) {
                return unusable(what);
            }
            if replicas.len() != replication_factor {
                return unusable(format!(
                    "partition {index} has {} replicas, partition 0 has {replication_factor}",
                    replicas.len()
                ));
            }
            let isr = in_sync_at_creation(&self.image, replicas);
            if isr.is_empty() {
                return unusable(format!("none of the brokers of partition {index} takes part"));
            }
            placed.push((replicas.clone(), isr));
        }
        let factor = u16::try_from(replication_factor).expect("no more than there are brokers");
        Ok((placed, factor))
    }

    /// An id that nobody has used: `seed` is drawn anew by every process, and the offset tells apart what one controller creates.
    fn new_topic_id(&self, used: &Used) -> TopicId {
        let mut salt = 0;
        loop {
            let high = mix(&[self.seed, self.appended(), used.ids, salt, 0]);
            let low = mix(&[self.seed, self.appended(), used.ids, salt, 1]);
            let id = TopicId(
                Builder::from_random_bytes((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
                    .into_uuid(),
            );
            // A leading dash would look like an option on a command line.
            if self.image.topic(id).is_none() && !id.to_string().starts_with('-') {
                return id;
            }
            salt += 1;
        }
    }

    /// A topic that is named twice, be it by name and by id, is not deleted at all: whoever asks so does not know what they ask.
    pub(super) fn delete_topics(&self, it: &DeleteTopics) -> Decision {
        let found: Vec<_> = it.topics.iter().map(|named| self.topic_to_delete(named)).collect();
        let mut times: BTreeMap<TopicId, usize> = BTreeMap::new();
        for topic in found.iter().flatten() {
            *times.entry(topic.id).or_default() += 1;
        }
        let mut records = Vec::new();
        let mut answered = BTreeSet::new();
        let mut answers = Vec::new();
        for (named, topic) in it.topics.iter().zip(found) {
            if !answered.insert(named) {
                continue;
            }
            let result = topic.and_then(|topic| {
                if 1 < times[&topic.id] {
                    return Err(DeleteTopicError::Repeated);
                }
                records.push(Record::RemoveTopic { id: topic.id });
                Ok(DeletedTopic { name: topic.name.to_string(), id: topic.id })
            });
            answers.push((named.clone(), result));
        }
        Decision { records, reply: Reply::DeleteTopics(answers) }
    }

    fn topic_to_delete(&self, named: &TopicRef) -> Result<&Topic, DeleteTopicError> {
        if !self.config.delete_topics {
            return Err(DeleteTopicError::Disabled);
        }
        let topic = match named {
            TopicRef::Name(name) => self
                .image
                .topic_named(name)
                .ok_or_else(|| DeleteTopicError::UnknownName { name: name.clone() })?,
            TopicRef::Id(id) => self.image.topic(*id).ok_or(DeleteTopicError::UnknownId { id: *id })?,
            TopicRef::Contradictory { .. } => return Err(DeleteTopicError::Contradictory),
        };
        Ok(topic)
    }
}

fn set_configs(it: &NewTopic) -> Result<BTreeMap<String, String>, ConfigError> {
    let set = |(key, value): &(String, Option<String>)| {
        let value = value.as_ref().ok_or_else(|| ConfigError::NoValue { name: key.clone() })?;
        config::check(key, value)?;
        Ok((key.clone(), value.clone()))
    };
    it.configs.iter().map(set).collect()
}

/// Numbers that depend on each of these in an unforeseeable way (SplitMix64's finish, once per number).
fn mix(numbers: &[u64]) -> u64 {
    numbers.iter().fold(0, |state, number| {
        let mut mixed = (state ^ number).wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    })
}
