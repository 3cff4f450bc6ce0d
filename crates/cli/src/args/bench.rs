//! `klamm bench`.

use clap::{Args, Subcommand, ValueEnum};
use klamm_client::Acks;

use super::{RemoteArgs, WritingArgs};

/// Measure a cluster: real records, built and serialized one by one.
#[derive(Subcommand, Debug)]
#[command(after_help = "\
Examples:
  klamm bench produce --records 5000000 --record-size 1024 --partitions 16 --batch-size 262144 --linger 10
  klamm bench consume
  klamm bench both --records 10000000 --record-size 100 --acks 1 --batch-size 1000000
  klamm bench latency --rate 1000 --acks 1 --seconds 30 --format json")]
pub(crate) enum BenchCommand {
    Produce(BenchProduceArgs),
    Consume(BenchConsumeArgs),
    Both(BenchBothArgs),
    Latency(BenchLatencyArgs),
}

/// A year.
const SECONDS_MAX: u64 = 365 * 86_400;
/// No request may be larger.
const RECORD_SIZE_MAX: usize = 1 << 30;

fn record_size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(size) if size <= RECORD_SIZE_MAX => Ok(size),
        Ok(_) => Err(format!("a record has {RECORD_SIZE_MAX} bytes at most")),
        Err(error) => Err(format!("{error}")),
    }
}

#[derive(Args, Debug)]
pub(crate) struct BenchTopicArgs {
    /// The topic; made if it is not there
    #[arg(default_value = "klamm-bench")]
    pub(crate) topic: String,
    /// Partitions of the topic, if it has to be made
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..))]
    pub(crate) partitions: i32,
    /// Copies of each partition, if the topic has to be made [default: as the broker is set up]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i16).range(1..))]
    pub(crate) replication_factor: Option<i16>,
}

#[derive(Args, Debug)]
pub(crate) struct PayloadArgs {
    /// Bytes of a record's value
    #[arg(long, value_name = "BYTES", default_value_t = 1024, value_parser = record_size)]
    pub(crate) record_size: usize,
    /// Give every record one of N keys [default: no keys]
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) keys: u64,
    /// What the values are made of
    #[arg(long, value_enum, default_value_t = Payload::Random)]
    pub(crate) payload: Payload,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Payload {
    /// Bytes that no codec makes smaller
    Random,
    /// Words, which a codec makes about three times smaller
    Text,
}

/// Write records as fast as possible, or at a given rate.
#[derive(Args, Debug)]
pub(crate) struct BenchProduceArgs {
    #[command(flatten)]
    pub(crate) topic: BenchTopicArgs,
    /// How many records
    #[arg(short = 'n', long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) records: u64,
    /// Records a second at most [default: no limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) throughput: Option<u64>,
    #[command(flatten)]
    pub(crate) payload: PayloadArgs,
    #[command(flatten)]
    pub(crate) writing: WritingArgs,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Read a topic from its start, to its end or a number of records.
#[derive(Args, Debug)]
pub(crate) struct BenchConsumeArgs {
    /// The topic
    #[arg(default_value = "klamm-bench")]
    pub(crate) topic: String,
    /// How many records [default: all there are]
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) records: Option<u64>,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Write records as fast as possible, or at a given rate, and read them at the same time.
#[derive(Args, Debug)]
pub(crate) struct BenchBothArgs {
    #[command(flatten)]
    pub(crate) produce: BenchProduceArgs,
}

/// Send single records at fixed moments and measure from the moment meant, whether or not earlier ones were answered.
#[derive(Args, Debug)]
pub(crate) struct BenchLatencyArgs {
    #[command(flatten)]
    pub(crate) topic: BenchTopicArgs,
    /// Records a second
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) rate: u64,
    /// Send each record when the one before it was acknowledged, instead of at a rate
    #[arg(long, conflicts_with_all = ["rate", "end_to_end"])]
    pub(crate) one_at_a_time: bool,
    /// How long, in seconds
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX))]
    pub(crate) seconds: u64,
    /// Measure until a consumer has the record, too
    #[arg(long)]
    pub(crate) end_to_end: bool,
    /// Bytes of a record's value
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = record_size)]
    pub(crate) record_size: usize,
    /// Who must have a record: all, 1 or 0
    #[arg(long, value_name = "ACKS", default_value = "all")]
    pub(crate) acks: Acks,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}
