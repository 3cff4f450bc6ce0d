//! `klamm topic`.

mod alter;
mod create;
mod delete;
mod describe;
mod durability;
mod list;
mod trim;

use std::sync::Arc;

use anyhow::Result;
use klamm_client::{PartitionName, metadata::Topic};

use crate::args::TopicCommand;
use crate::disks::Disks;
use crate::remote;

pub(crate) fn run(command: &TopicCommand) -> Result<()> {
    remote::run(async {
        match command {
            TopicCommand::Create(args) => create::run(args).await,
            TopicCommand::List(args) => list::run(args).await,
            TopicCommand::Describe(args) => describe::run(args).await,
            TopicCommand::Alter(args) => alter::run(args).await,
            TopicCommand::AddPartitions(args) => alter::add_partitions(args).await,
            TopicCommand::Trim(args) => trim::run(args).await,
            TopicCommand::Delete(args) => delete::run(args).await,
        }
    })
}

/// The partitions of these topics that have leaders to ask.
fn led_partitions<'a>(
    topics: impl Iterator<Item = (&'a Arc<str>, &'a Topic)> + Clone,
) -> impl Iterator<Item = PartitionName> + Clone {
    topics.flat_map(|(name, topic)| {
        let led = (0..).zip(&topic.partitions).filter(|(_, partition)| partition.leader.is_some());
        led.map(|(number, _)| PartitionName::new(name.clone(), number))
    })
}

/// Bytes of the leader's copy.
fn leader_size(disks: &Disks, name: &Arc<str>, topic: &Topic, number: usize) -> Option<u64> {
    let partition = PartitionName::new(name.clone(), i32::try_from(number).ok()?);
    disks.size_of(topic.partitions[number].leader?, &partition)
}

/// Bytes of all leaders' copies; `None` if one is not known.
fn topic_size(disks: &Disks, name: &Arc<str>, topic: &Topic) -> Option<u64> {
    (0..topic.partitions.len()).map(|number| leader_size(disks, name, topic, number)).sum()
}

fn replication_factor(topic: &Topic) -> usize {
    topic.partitions.iter().map(|partition| partition.replicas.len()).max().unwrap_or(0)
}
