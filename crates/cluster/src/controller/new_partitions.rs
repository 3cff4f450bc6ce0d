//! Topics get more partitions.

use std::collections::{BTreeMap, BTreeSet};

use klamm_model::{BrokerId, PartitionIndex, TopicPartition};

use super::{
    Controller, CreatePartitions, CreatePartitionsError, Decision, MorePartitions, PARTITIONS_OF_REQUEST_MAX,
    Reply, placement,
};
use crate::image::{Image, Topic};
use crate::record::{self, Record};

/// What the topics before it in the same request have used up.
#[derive(Default)]
struct Used {
    partition_count: u64,
    bytes: usize,
}

impl Controller {
    pub(super) fn create_partitions(&self, it: &CreatePartitions) -> Decision {
        let mut records = Vec::new();
        let mut used = Used::default();
        let added: u64 = it.topics.iter().map(|topic| self.added(topic)).sum();
        let mut answers = Vec::new();
        for (topic, is_repeated) in each_once(&it.topics, |topic| &topic.name) {
            let result = if u64::from(PARTITIONS_OF_REQUEST_MAX) < added {
                Err(CreatePartitionsError::TooMany { max: PARTITIONS_OF_REQUEST_MAX })
            } else if is_repeated {
                Err(CreatePartitionsError::Repeated)
            } else {
                self.more_partitions(topic, &mut used)
            };
            let result = result.map(|new| {
                if !it.validate_only {
                    records.extend(new);
                }
            });
            answers.push((topic.name.clone(), result));
        }
        Decision { records, reply: Reply::CreatePartitions(answers) }
    }

    fn added(&self, it: &MorePartitions) -> u64 {
        let has = self.image.topic_named(&it.name).map_or(0, |topic| topic.partitions.len() as u64);
        u64::try_from(it.count).unwrap_or(0).saturating_sub(has)
    }

    fn more_partitions(
        &self,
        it: &MorePartitions,
        used: &mut Used,
    ) -> Result<Vec<Record>, CreatePartitionsError> {
        let topic = self
            .image
            .topic_named(&it.name)
            .ok_or_else(|| CreatePartitionsError::UnknownTopic { name: it.name.clone() })?;
        let has = topic.partitions.len();
        let added = usize::try_from(it.count)
            .ok()
            .and_then(|count| count.checked_sub(has))
            .filter(|added| 0 < *added)
            .ok_or(CreatePartitionsError::NotMore { has, asked: it.count })?;
        let placed = match &it.assignments {
            Some(assignments) => self.assigned_more(topic, added, assignments)?,
            None => self.placed_more(topic, added, used)?,
        };

        let mut records = Vec::new();
        for (index, (replicas, isr)) in (has..).zip(placed) {
            let index = PartitionIndex(i32::try_from(index).expect("within what was asked for"));
            let partition = TopicPartition { topic: topic.id, partition: index };
            let leader = isr.first().copied();
            records.push(Record::Partition { partition, replicas, isr, leader });
        }
        let bytes: usize = records.iter().map(record::encoded_size).sum();
        if self.config.entry_bytes_max < used.bytes + bytes {
            return Err(CreatePartitionsError::TooLarge);
        }
        used.bytes += bytes;
        used.partition_count += added as u64;
        Ok(records)
    }

    fn placed_more(
        &self,
        topic: &Topic,
        added: usize,
        used: &Used,
    ) -> Result<Vec<Placed>, CreatePartitionsError> {
        let needed = topic.replication_factor();
        let alive = self.image.brokers().filter(|it| it.is_active()).count();
        if alive < needed {
            return Err(CreatePartitionsError::ReplicationFactor { needed, alive });
        }
        let start = self.seed.wrapping_add(self.image.partition_count()).wrapping_add(used.partition_count);
        let count = u32::try_from(added).expect("within the limit of a request");
        let factor = u16::try_from(needed).expect("no more than there are brokers");
        let places = placement::place(&self.image, start, count, factor);
        Ok(places.into_iter().map(|replicas| (replicas.clone(), replicas)).collect())
    }

    fn assigned_more(
        &self,
        topic: &Topic,
        added: usize,
        assignments: &[Vec<BrokerId>],
    ) -> Result<Vec<Placed>, CreatePartitionsError> {
        let unusable = |what: String| CreatePartitionsError::Assignment { what };
        if assignments.len() != added {
            return Err(unusable(format!("{added} partitions are added and {} assigned", assignments.len())));
        }
        let factor = topic.replication_factor();
        let mut placed = Vec::new();
        for replicas in assignments {
            check_replicas(&self.image, replicas).map_err(unusable)?;
            if replicas.len() != factor {
                return Err(unusable(format!(
                    "the topic's partitions have {factor} replicas, not {}",
                    replicas.len()
                )));
            }
            let isr = in_sync_at_creation(&self.image, replicas);
            if isr.is_empty() {
                return Err(unusable("none of the brokers of a partition takes part".to_owned()));
            }
            placed.push((replicas.clone(), isr));
        }
        Ok(placed)
    }
}

/// Everything that a request names, once and in the order of the request, with whether it is named again: whoever does that does not know what they ask.
pub(super) fn each_once<'a, T>(
    named: &'a [T],
    name: impl Fn(&'a T) -> &'a String,
) -> impl Iterator<Item = (&'a T, bool)> {
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for it in named {
        *times.entry(name(it)).or_default() += 1;
    }
    // A name that was answered has been taken out.
    named.iter().filter_map(move |it| Some((it, 1 < times.remove(name(it).as_str())?)))
}

/// Replicas and in-sync set of a partition.
pub(super) type Placed = (Vec<BrokerId>, Vec<BrokerId>);

/// Whether a client's replicas of a partition can be meant: somebody, everybody known, nobody twice.
pub(super) fn check_replicas(image: &Image, replicas: &[BrokerId]) -> Result<(), String> {
    if replicas.is_empty() {
        return Err("a partition has no replicas".to_owned());
    }
    if let Some(id) = replicas.iter().find(|id| image.broker(**id).is_none()) {
        return Err(format!("broker {id} is not registered"));
    }
    if replicas.iter().collect::<BTreeSet<_>>().len() != replicas.len() {
        return Err("a partition names a broker twice".to_owned());
    }
    Ok(())
}

/// Who of a new partition's replicas starts in sync: everybody who takes part, for there is nothing to have yet.
pub(super) fn in_sync_at_creation(image: &Image, replicas: &[BrokerId]) -> Vec<BrokerId> {
    let takes_part = |id: &BrokerId| image.broker(*id).is_some_and(|it| it.is_active());
    replicas.iter().copied().filter(takes_part).collect()
}
