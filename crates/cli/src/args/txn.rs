//! `klamm txn`.

use std::time::Duration;

use clap::{Args, Subcommand};
use klamm_client::TransactionState;

use super::RemoteArgs;

/// Look at transactions, find those that nobody ends, end them.
#[derive(Subcommand, Debug)]
#[command(after_help = "\
Examples:
  klamm txn list --state ongoing --longer-than 1m
  klamm txn describe transfers-1
  klamm txn abort transfers-1                          its producer is fenced
  klamm txn find-hanging
  klamm txn abort --topic accounts -p 3 --at 4711      one that no coordinator knows")]
pub(crate) enum TxnCommand {
    List(TxnListArgs),
    Describe(TxnDescribeArgs),
    FindHanging(TxnFindHangingArgs),
    Abort(TxnAbortArgs),
}

/// List transactional ids with what has become of their last transactions.
#[derive(Args, Debug)]
pub(crate) struct TxnListArgs {
    /// Only ids that one of these regular expressions matches as a whole
    #[arg(value_name = "PATTERN")]
    pub(crate) patterns: Vec<String>,
    /// Only those in this state: empty, ongoing, preparecommit, prepareabort, completecommit, completeabort …; may be repeated
    #[arg(long = "state", value_name = "STATE", value_parser = state)]
    pub(crate) states: Vec<TransactionState>,
    /// Only those of the producer with this number; may be repeated
    #[arg(long = "producer", value_name = "N")]
    pub(crate) producers: Vec<i64>,
    /// Only those that began longer ago, 1m for example
    #[arg(long, value_name = "TIME", value_parser = crate::time::duration)]
    pub(crate) longer_than: Option<Duration>,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Show what transactions cover and since when they are open.
#[derive(Args, Debug)]
pub(crate) struct TxnDescribeArgs {
    /// Transactional ids
    #[arg(required = true, value_name = "ID")]
    pub(crate) ids: Vec<String>,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Find transactions that are open in a partition and that no coordinator will end.
#[derive(Args, Debug)]
#[command(after_help = "\
Readers of committed records get nothing beyond such a transaction. klamm txn abort --topic … -p … --at … ends it.")]
pub(crate) struct TxnFindHangingArgs {
    /// Only in this topic; may be repeated [default: all topics]
    #[arg(long = "topic", value_name = "TOPIC")]
    pub(crate) topics: Vec<String>,
    /// Only in these partitions; may be repeated
    #[arg(short, long = "partition", value_name = "N", requires = "topics", value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) partitions: Vec<i32>,
    /// Only those in which nothing was written for longer: as long as the brokers let transactions be open (transaction.max.timeout.ms)
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = crate::time::duration)]
    pub(crate) longer_than: Duration,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Abort transactions: of transactional ids, whose producers are fenced, or one in a partition that no coordinator knows.
#[derive(Args, Debug)]
#[command(after_help = "\
With --topic the mark is written to the partition's log, past the coordinator. If the coordinator knows the transaction and commits it, its records
in this partition are lost: only for what klamm txn find-hanging shows.")]
pub(crate) struct TxnAbortArgs {
    /// Transactional ids
    #[arg(required_unless_present = "topic", conflicts_with = "topic", value_name = "ID")]
    pub(crate) ids: Vec<String>,
    /// The topic of a hanging transaction
    #[arg(long, requires_all = ["partition", "at"])]
    pub(crate) topic: Option<String>,
    /// Its partition
    #[arg(short, long, value_name = "N", requires = "topic", value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) partition: Option<i32>,
    /// The offset at which it begins there
    #[arg(long, value_name = "OFFSET", requires = "topic", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) at: Option<i64>,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// A word that is none would list nothing, as if there were nothing.
fn state(word: &str) -> Result<TransactionState, &'static str> {
    match word.parse() {
        Ok(TransactionState::Other(_)) => Err(
            "none of empty, ongoing, preparecommit, prepareabort, completecommit, completeabort, prepareepochfence and dead",
        ),
        Ok(state) => Ok(state),
        Err(never) => match never {},
    }
}
