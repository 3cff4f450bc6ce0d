//! `klamm group`.

use clap::{Args, Subcommand};
use klamm_client::{GroupState, GroupType};

use super::RemoteArgs;
use crate::group::Goal;

/// Look at groups of consumers and how far behind they are, move them, delete them.
#[derive(Subcommand, Debug)]
#[command(after_help = "\
Examples:
  klamm group list --state stable
  klamm group describe billing                         members, and how far each partition is behind
  klamm group seek billing --to @-2h --dry-run
  klamm group seek billing --to +1 --topics orders -p 3    skips a record
  klamm group delete billing")]
pub(crate) enum GroupCommand {
    List(GroupListArgs),
    Describe(GroupDescribeArgs),
    Seek(GroupSeekArgs),
    Delete(GroupDeleteArgs),
}

/// List groups.
#[derive(Args, Debug)]
pub(crate) struct GroupListArgs {
    /// Only groups whose whole name one of these regular expressions matches
    #[arg(value_name = "PATTERN")]
    pub(crate) patterns: Vec<String>,
    /// Only groups in this state: empty, preparingrebalance, completingrebalance, stable …; may be repeated
    #[arg(long = "state", value_name = "STATE", value_parser = state)]
    pub(crate) states: Vec<GroupState>,
    /// Only groups of this type: classic, consumer, share or streams; may be repeated
    #[arg(long = "type", value_name = "TYPE", value_parser = group_type)]
    pub(crate) types: Vec<GroupType>,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Show members of groups, what they read, and how far behind they are.
#[derive(Args, Debug)]
#[command(after_help = "\
LAG is the number of offsets from the committed one to the end (below 0: the log ends before it), BEHIND how long ago the first record was written that is not done yet. What is not known is shown as -.
STUCK SINCE is since when there was something to do and nothing was committed beyond that offset, if that is 30 s or more; unknown: __consumer_offsets, which tells it, can't be read.")]
pub(crate) struct GroupDescribeArgs {
    /// Names of the groups
    #[arg(required = true, value_name = "GROUP")]
    pub(crate) groups: Vec<String>,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Have a group that has no members go on elsewhere.
#[derive(Args, Debug)]
#[command(after_help = "\
Where it goes on (--to):
  start, end  with the first record, or with what comes from now on
  42          at offset 42
  @TIME       at the first record since TIME, as in klamm consume
  +N, -N      N offsets beyond or before what is committed, within what there is

Examples:
  klamm group seek billing --to start --dry-run
  klamm group seek billing --to @2026-11-23T22:30:00Z --topics orders,payments
  klamm group seek billing --to +1 --topics orders -p 3

Without --topics it is about the partitions that the group has committed something for; with it about all partitions of these topics.
A group that there is not is made, if --topics says for what.")]
pub(crate) struct GroupSeekArgs {
    /// Name of the group
    #[arg(value_name = "GROUP")]
    pub(crate) group: String,
    /// Where to: start, end, @TIME, OFFSET, +N or -N
    #[arg(long, value_name = "OFFSET", allow_hyphen_values = true, value_parser = Goal::parse)]
    pub(crate) to: Goal,
    /// Only these topics, separated by commas
    #[arg(long, value_name = "TOPIC,...", value_delimiter = ',')]
    pub(crate) topics: Vec<String>,
    /// Only these partitions; may be repeated
    #[arg(short, long = "partition", value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) partitions: Vec<i32>,
    /// Only say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Delete groups that have no members, or what they have committed for a topic.
#[derive(Args, Debug)]
pub(crate) struct GroupDeleteArgs {
    /// Names of the groups
    #[arg(required = true, value_name = "GROUP")]
    pub(crate) groups: Vec<String>,
    /// Only what is committed for this topic; a group that never had members and has nothing else goes with it. May be repeated
    #[arg(long = "topic", value_name = "TOPIC")]
    pub(crate) topics: Vec<String>,
    /// A group, or a topic, that does not exist is fine
    #[arg(long)]
    pub(crate) if_exists: bool,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// A word that is none would list nothing, as if there were nothing.
fn state(word: &str) -> Result<GroupState, &'static str> {
    match word.parse() {
        // Of an application of Kafka Streams, whose topics are not all there.
        Ok(GroupState::Other(word)) if !word.eq_ignore_ascii_case("NotReady") => Err(
            "none of empty, preparingrebalance, completingrebalance, stable, assigning, reconciling, notready and dead",
        ),
        Ok(state) => Ok(state),
        Err(never) => match never {},
    }
}

fn group_type(word: &str) -> Result<GroupType, &'static str> {
    match word.parse() {
        Ok(GroupType::Other(_)) => Err("none of classic, consumer, share and streams"),
        Ok(group_type) => Ok(group_type),
        Err(never) => match never {},
    }
}
