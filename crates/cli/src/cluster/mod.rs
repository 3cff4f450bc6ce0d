//! `klamm cluster`.

mod brokers;
mod drain;
mod features;
mod placement;
mod quorum;
mod status;
mod throttle;

use anyhow::Result;
use klamm_model::BrokerId;

use crate::args::ClusterCommand;
use crate::remote;

pub(crate) fn run(command: &ClusterCommand) -> Result<()> {
    remote::run(async {
        match command {
            ClusterCommand::Status(args) => status::run(args).await,
            ClusterCommand::Brokers(args) => brokers::run(args).await,
            ClusterCommand::Quorum(args) => quorum::run(args).await,
            ClusterCommand::Features(args) => features::run(args).await,
            ClusterCommand::Reassign(args) => placement::reassign(args).await,
            ClusterCommand::Unthrottle(args) => throttle::unthrottle(args).await,
            ClusterCommand::Elect(args) => placement::elect(args).await,
            ClusterCommand::Drain(args) => drain::drain(args).await,
            ClusterCommand::Unregister(args) => drain::unregister(args).await,
        }
    })
}

fn numbers(brokers: &[BrokerId]) -> Vec<i32> {
    brokers.iter().map(|broker| broker.0).collect()
}
