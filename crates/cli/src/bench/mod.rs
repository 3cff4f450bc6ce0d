//! `klamm bench`: measures a cluster with real records, each built and serialized by itself.

mod both;
mod consume;
mod latency;
mod payload;
mod produce;
mod report;

use anyhow::Result;
use klamm_client::{Admin, Change, Client, NewTopic, metadata::Topic};
use klamm_model::ErrorCode;

use crate::args::{BenchCommand, BenchTopicArgs};
use crate::remote::{self, Settings};

pub(crate) fn run(command: &BenchCommand) -> Result<()> {
    match command {
        BenchCommand::Produce(args) => produce::run(args),
        BenchCommand::Consume(args) => consume::run(args),
        BenchCommand::Both(args) => both::run(&args.produce),
        BenchCommand::Latency(args) => latency::run(args),
    }
}

/// The topic to measure with, made if it is not there.
async fn topic(client: &Client, settings: &Settings, args: &BenchTopicArgs) -> Result<Topic> {
    let admin = Admin::new(client);
    let cluster = admin.describe(&[&args.topic]).await?;
    let is_there = cluster.topics.get(&*args.topic).is_some_and(|topic| topic.error == ErrorCode::None);
    if !is_there {
        let new = NewTopic {
            name: args.topic.clone(),
            partition_count: Some(args.partitions),
            replication_factor: args.replication_factor,
            ..NewTopic::default()
        };
        admin.create_topic(&new, Change::Make).await?;
    }
    remote::topic(client, &args.topic, settings.timeout()).await
}
