//! `klamm topic`.

use std::num::NonZeroU16;

use clap::{ArgGroup, Args, Subcommand};
use klamm_client::Start;

use super::{RemoteArgs, key_value};

/// Make topics, look at them, change them, delete them.
#[derive(Subcommand, Debug)]
#[command(after_help = "\
Examples:
  klamm topic create orders --partitions 6 --config retention.ms=86400000
  klamm topic list --long --format json
  klamm topic describe orders
  klamm topic alter orders --config retention.ms=3600000 --unset max.message.bytes
  klamm topic add-partitions orders --to 12
  klamm topic trim orders --to @-7d --dry-run
  klamm topic delete -r 'test-.*' --yes")]
pub(crate) enum TopicCommand {
    Create(TopicCreateArgs),
    List(TopicListArgs),
    Describe(TopicDescribeArgs),
    Alter(TopicAlterArgs),
    AddPartitions(TopicAddPartitionsArgs),
    Trim(TopicTrimArgs),
    Delete(TopicDeleteArgs),
}

/// Which topics a command is about.
#[derive(Args, Debug)]
pub(crate) struct SelectArgs {
    /// Names of the topics, or patterns with --regex
    #[arg(required = true, value_name = "TOPIC")]
    pub(crate) topics: Vec<String>,
    /// TOPIC is a regular expression that a whole name matches; the cluster's own topics never do
    #[arg(short, long)]
    pub(crate) regex: bool,
}

/// What a change that cannot be taken back asks for.
#[derive(Args, Debug)]
pub(crate) struct ConfirmArgs {
    /// Do not ask, though topics were chosen by a pattern (what is named is never asked about)
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Only say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Make topics.
#[derive(Args, Debug)]
pub(crate) struct TopicCreateArgs {
    /// Names of the topics
    #[arg(required = true, value_name = "TOPIC")]
    pub(crate) topics: Vec<String>,
    /// Number of partitions [default: as the broker is set up]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub(crate) partitions: Option<i32>,
    /// Copies of each partition [default: as the broker is set up]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i16).range(1..))]
    pub(crate) replication_factor: Option<i16>,
    /// A setting of the topic; may be repeated
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) config: Vec<(String, String)>,
    /// A topic that exists already is fine
    #[arg(long)]
    pub(crate) if_not_exists: bool,
    /// The brokers only say whether they would make them
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// List topics.
#[derive(Args, Debug)]
pub(crate) struct TopicListArgs {
    /// Only topics whose whole name one of these regular expressions matches
    #[arg(value_name = "PATTERN")]
    pub(crate) patterns: Vec<String>,
    /// The cluster's own topics too
    #[arg(long)]
    pub(crate) internal: bool,
    /// How many records they have and what they take on disk, too
    #[arg(short, long)]
    pub(crate) long: bool,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Show partitions, leaders, replicas, offsets, sizes, settings and durability of topics.
#[derive(Args, Debug)]
pub(crate) struct TopicDescribeArgs {
    #[command(flatten)]
    pub(crate) select: SelectArgs,
    /// Only partitions that have no leader, or replicas that are not in sync
    #[arg(long)]
    pub(crate) problems: bool,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Change settings of topics. `klamm config get --topic TOPIC --all` lists them.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("changes").args(["config", "unset"]).required(true).multiple(true))]
pub(crate) struct TopicAlterArgs {
    #[command(flatten)]
    pub(crate) select: SelectArgs,
    /// Give a setting a value (KEY+=VALUE adds to a list, KEY-=VALUE takes from it); may be repeated
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = super::config::assignment)]
    pub(crate) config: Vec<klamm_client::ConfigChange>,
    /// Give a setting its default again; may be repeated
    #[arg(short, long, value_name = "KEY")]
    pub(crate) unset: Vec<String>,
    /// The brokers only say whether they would do it
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Give topics more partitions. Keys go to other partitions from then on, and partitions never become fewer.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("number").args(["to", "add"]).required(true))]
pub(crate) struct TopicAddPartitionsArgs {
    #[command(flatten)]
    pub(crate) select: SelectArgs,
    /// Until there are N; a topic that has N already is fine
    #[arg(long, value_name = "N")]
    pub(crate) to: Option<NonZeroU16>,
    /// N more
    #[arg(long, value_name = "N")]
    pub(crate) add: Option<NonZeroU16>,
    /// The brokers only say whether they would do it
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Delete the oldest records of topics.
#[derive(Args, Debug)]
#[command(after_help = "\
What is deleted (--to):
  42          everything before offset 42         end         everything there is
  @TIME       everything before the first record since TIME, as in klamm consume
  -1000       everything but the last 1000 records of each partition

Examples:
  klamm topic trim orders --to @-30d
  klamm topic trim orders -p 0 --to 42
  klamm topic trim -r 'test-.*' --to end --yes")]
pub(crate) struct TopicTrimArgs {
    #[command(flatten)]
    pub(crate) select: SelectArgs,
    /// How far: OFFSET, end, -N or @TIME
    #[arg(long, value_name = "OFFSET", allow_hyphen_values = true, value_parser = crate::time::start)]
    pub(crate) to: Start,
    /// Only these partitions; may be repeated
    #[arg(short, long = "partition", value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) partitions: Vec<i32>,
    #[command(flatten)]
    pub(crate) confirm: ConfirmArgs,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Delete topics with all their records.
#[derive(Args, Debug)]
pub(crate) struct TopicDeleteArgs {
    #[command(flatten)]
    pub(crate) select: SelectArgs,
    /// A topic that does not exist is fine
    #[arg(long)]
    pub(crate) if_exists: bool,
    #[command(flatten)]
    pub(crate) confirm: ConfirmArgs,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}
