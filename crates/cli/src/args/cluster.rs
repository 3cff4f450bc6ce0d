//! `klamm cluster`.

use clap::{ArgGroup, Args, Subcommand};
use uuid::Uuid;

use super::RemoteArgs;

/// Look at the cluster as a whole, and decide which brokers hold and lead what.
#[derive(Subcommand, Debug)]
#[command(after_help = "\
Examples:
  klamm cluster status
  klamm cluster status --check && echo healthy
  klamm cluster brokers --apis
  klamm cluster features
  klamm cluster reassign                               what is on its way
  klamm cluster reassign orders --to 1,2,3
  klamm cluster reassign orders --to 1,2,3 --throttle 50000000 --wait
  klamm cluster elect                                  preferred leaders, everywhere
  klamm cluster drain 3 && klamm cluster status        before broker 3 is taken away
  klamm cluster unregister 3                           once it is")]
pub(crate) enum ClusterCommand {
    Status(ClusterStatusArgs),
    Brokers(ClusterBrokersArgs),
    Quorum(ClusterQuorumArgs),
    Features(ClusterFeaturesArgs),
    Reassign(ClusterReassignArgs),
    Unthrottle(ClusterUnthrottleArgs),
    Elect(ClusterElectArgs),
    Drain(ClusterDrainArgs),
    Unregister(ClusterUnregisterArgs),
}

/// Show what an operator looks at first: brokers, partitions in trouble, disks, features.
#[derive(Args, Debug)]
pub(crate) struct ClusterStatusArgs {
    /// Exit with 1 if there is no controller, a broker is missing, or a partition has no leader or too few replicas in sync
    #[arg(long)]
    pub(crate) check: bool,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Show the brokers and their data directories.
#[derive(Args, Debug)]
pub(crate) struct ClusterBrokersArgs {
    /// Which requests each serves in which versions, too
    #[arg(long)]
    pub(crate) apis: bool,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Show who keeps the cluster's metadata, and how far each is; or change who votes on it.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Examples:
  klamm cluster quorum
  klamm cluster quorum add 4                           a node that was started with --join
  klamm cluster quorum remove 1")]
pub(crate) struct ClusterQuorumArgs {
    #[command(subcommand)]
    pub(crate) change: Option<QuorumChange>,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Changes of who votes.
#[derive(Subcommand, Debug)]
pub(crate) enum QuorumChange {
    /// Have a node vote that has joined the cluster and has all metadata
    Add(QuorumChangeArgs),
    /// Have a node vote no more; its broker goes on
    Remove(QuorumChangeArgs),
}

/// Which node.
#[derive(Args, Debug)]
pub(crate) struct QuorumChangeArgs {
    /// The node
    #[arg(value_name = "NODE", value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) node: i32,
    /// The id of its first data directory (directory.id in meta.properties), where that is to be made sure of
    #[arg(long, value_name = "ID")]
    pub(crate) directory: Option<Uuid>,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Show at which feature levels the cluster is, and which the asked broker supports; or change them.
///
/// When all nodes run a newer version of klamm, raising the levels has the cluster use what that version brought; until then it can go back to the older one.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Examples:
  klamm cluster features
  klamm cluster features set group.version=1 transaction.version=2
  klamm cluster features set group.version=0 --downgrade")]
pub(crate) struct ClusterFeaturesArgs {
    #[command(subcommand)]
    pub(crate) change: Option<FeaturesChange>,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Changes of feature levels.
#[derive(Subcommand, Debug)]
pub(crate) enum FeaturesChange {
    /// Set levels, all of them or none; 0 is off
    Set(FeaturesSetArgs),
}

/// Which levels.
#[derive(Args, Debug)]
pub(crate) struct FeaturesSetArgs {
    /// The features and their levels
    #[arg(value_name = "NAME=LEVEL", required = true, value_parser = feature_level)]
    pub(crate) levels: Vec<(String, i16)>,
    /// Lower ones too, where nothing gets lost by it
    #[arg(long)]
    pub(crate) downgrade: bool,
    /// Lower ones too, whatever gets lost
    #[arg(long = "unsafe", conflicts_with = "downgrade")]
    pub(crate) is_unsafe: bool,
    /// Change nothing, and show what would be
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

fn feature_level(text: &str) -> Result<(String, i16), String> {
    let (name, level) = text.split_once('=').ok_or("it is NAME=LEVEL")?;
    let level: i16 = level.parse().map_err(|_| format!("{level:?} is no level"))?;
    if level < 0 { Err("there are no levels below 0".to_owned()) } else { Ok((name.to_owned(), level)) }
}

/// Move partitions to other brokers; without topics, show what is on its way.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("move").args(["to", "cancel"]).requires("topics"))]
pub(crate) struct ClusterReassignArgs {
    /// The topics
    #[arg(value_name = "TOPIC")]
    pub(crate) topics: Vec<String>,
    /// Only these partitions; may be repeated
    #[arg(short, long = "partition", value_name = "N", requires = "topics", value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) partitions: Vec<i32>,
    /// The brokers that are to hold them, the preferred leader first
    #[arg(long, value_name = "ID,...", value_delimiter = ',', value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) to: Vec<i32>,
    /// Take a move back that has not ended
    #[arg(long)]
    pub(crate) cancel: bool,
    /// Copy so many bytes a second at most, from and to each of the brokers; with --wait until the move has ended, else until `klamm cluster unthrottle`. Said
    /// again, the rate is another
    #[arg(long, value_name = "BYTES", requires = "to", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) throttle: Option<i64>,
    /// Wait until the move has ended
    #[arg(long, requires = "to")]
    pub(crate) wait: bool,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Let what catches up copy as fast as it can: takes back all limits that moves have set, of all brokers and topics.
#[derive(Args, Debug)]
pub(crate) struct ClusterUnthrottleArgs {
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Elect the preferred leader of partitions; of all without topics.
#[derive(Args, Debug)]
pub(crate) struct ClusterElectArgs {
    /// The topics
    #[arg(value_name = "TOPIC")]
    pub(crate) topics: Vec<String>,
    /// Only these partitions; may be repeated
    #[arg(short, long = "partition", value_name = "N", requires = "topics", value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) partitions: Vec<i32>,
    /// Elect a replica that is not in sync, where none is there that is. Records may be lost
    #[arg(long, requires = "topics")]
    pub(crate) unclean: bool,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Move everything that a broker holds to other brokers, and wait until it is there.
///
/// Partitions that are made meanwhile may come to it: what came until the end is moved too. Interrupted, what was begun goes on; said again, the rest
/// follows.
#[derive(Args, Debug)]
pub(crate) struct ClusterDrainArgs {
    /// The broker
    #[arg(value_name = "BROKER", value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) broker: i32,
    /// Only have others lead: its replicas stay, as the last of each partition
    #[arg(long)]
    pub(crate) leaders: bool,
    /// Change nothing, and show what would be
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Forget a broker that will not come back.
///
/// Another one may have its number then, with an empty disk.
#[derive(Args, Debug)]
pub(crate) struct ClusterUnregisterArgs {
    /// The broker
    #[arg(value_name = "BROKER", value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) broker: i32,
    /// Even though it is in service
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}
