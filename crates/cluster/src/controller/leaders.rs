//! Clients ask for elections (KIP-183, KIP-460).

use std::collections::BTreeSet;

use klamm_model::{PartitionIndex, TopicPartition};

use super::elections;
use super::{ByTopic, Controller, Decision, ElectLeaderError, ElectLeaders, Election, Reply};
use crate::record::Record;

impl Controller {
    pub(super) fn elect_leaders(&self, it: &ElectLeaders) -> Decision {
        let mut records = Vec::new();
        let answers = match &it.partitions {
            Some(asked) => {
                let mut elected = BTreeSet::new();
                let mut elect = |topic: &str, index| {
                    let (at, record) = self.election(it.election, topic, index)?;
                    // The second time it has the leader that the first one gives it.
                    if !elected.insert(at) {
                        return Err(ElectLeaderError::NotNeeded);
                    }
                    records.push(record);
                    Ok(())
                };
                let of_topic = |(topic, partitions): &(String, Vec<(PartitionIndex, ())>)| {
                    let answers = partitions.iter().map(|(index, ())| (*index, elect(topic, *index)));
                    (topic.clone(), answers.collect())
                };
                asked.iter().map(of_topic).collect()
            }
            None => self.elect_all(it.election, &mut records),
        };
        Decision { records, reply: Reply::ElectLeaders(answers) }
    }

    fn elect_all(
        &self,
        election: Election,
        records: &mut Vec<Record>,
    ) -> ByTopic<Result<(), ElectLeaderError>> {
        let mut answers = Vec::new();
        for topic in self.image.topics() {
            let mut partitions = Vec::new();
            for index in (0..).map(PartitionIndex).take(topic.partitions.len()) {
                match self.election(election, &topic.name, index) {
                    Ok((_, record)) => {
                        records.push(record);
                        partitions.push((index, Ok(())));
                    }
                    Err(ElectLeaderError::NotNeeded) => {}
                    Err(error) => partitions.push((index, Err(error))),
                }
            }
            answers.push((topic.name.to_string(), partitions));
        }
        answers
    }

    fn election(
        &self,
        election: Election,
        topic: &str,
        index: PartitionIndex,
    ) -> Result<(TopicPartition, Record), ElectLeaderError> {
        let unknown = || ElectLeaderError::UnknownPartition { topic: topic.to_owned(), partition: index };
        let topic = self.image.topic_named(topic).ok_or_else(unknown)?;
        let partition = topic.partition(index).ok_or_else(unknown)?;
        let at = TopicPartition { topic: topic.id, partition: index };
        let preferred = partition.replicas[0];
        match election {
            Election::Preferred if partition.leader == Some(preferred) => Err(ElectLeaderError::NotNeeded),
            Election::Preferred => {
                let record = self.elections().prefer(at, topic, partition);
                Ok((at, record.ok_or(ElectLeaderError::PreferredNotAvailable)?))
            }
            Election::Unclean if partition.leader.is_some() => Err(ElectLeaderError::NotNeeded),
            Election::Unclean => {
                let takes_part = |id| elections::is_active(&self.image, id);
                let record = self.elections().elect_partition(at, topic, partition, true, takes_part);
                Ok((at, record.ok_or(ElectLeaderError::EligibleNotAvailable)?))
            }
        }
    }
}
