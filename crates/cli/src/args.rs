//! What can be said on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use klamm_client::Acks;
use klamm_model::Codec;

const EXAMPLES: &str = "\
Examples:
  klamm serve                                   a broker on 127.0.0.1:9092
  klamm dev                                     a broker that forgets everything when it ends
  klamm topic create orders --partitions 6
  echo 'me:hello' | klamm produce orders -k :
  klamm consume orders -o start -e -f '%p %o %k %s\\n'
  klamm bench produce --records 1000000 --record-size 1024 --partitions 16

The tools work with every broker that speaks Kafka's protocol. Exit codes: 0 done, 1 failed, 2 wrong usage.";

/// A Kafka-compatible event log in one binary: broker and tools.
#[derive(Parser, Debug)]
#[command(name = "klamm", version, about, after_help = EXAMPLES, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    Serve(ServeArgs),
    Dev(DevArgs),
    #[command(subcommand)]
    Topic(TopicCommand),
    Produce(ProduceArgs),
    Consume(ConsumeArgs),
    #[command(subcommand)]
    Bench(BenchCommand),
}

/// Run a broker until it is told to stop (SIGTERM, SIGINT).
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  klamm serve
  klamm serve --data-dir /srv/klamm --listen 0.0.0.0:9092 --set num.partitions=6
  klamm serve --config server.properties                    Kafka's own file loads
  KLAMM_NUM_PARTITIONS=6 KLAMM_LOG=debug klamm serve

An option beats --set, that the environment, and that the file. All keys: docs/CONFIG.md")]
pub(crate) struct ServeArgs {
    /// Where everything is kept [default: klamm in the user's data directory, $STATE_DIRECTORY as a service]
    #[arg(long, value_name = "DIR", env = "KLAMM_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) broker: BrokerArgs,
    /// This node's number in its cluster [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) node_id: Option<i32>,
}

/// Run a throw-away broker in a temporary directory, which is removed when it stops.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  klamm dev
  klamm dev --listen 127.0.0.1:0          takes a free port and says which")]
pub(crate) struct DevArgs {
    #[command(flatten)]
    pub(crate) broker: BrokerArgs,
}

#[derive(Args, Debug)]
pub(crate) struct BrokerArgs {
    /// Address for clients; port 0 takes a free one [default: 127.0.0.1:9092]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen: Option<String>,
    /// A file of settings: Kafka's .properties, or .toml with the same keys
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Set a key under Kafka's name; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) set: Vec<(String, String)>,
}

/// How to reach the brokers and how to answer.
#[derive(Args, Debug)]
pub(crate) struct RemoteArgs {
    /// Brokers to find the cluster by, separated by commas
    #[arg(
        short = 'b',
        long,
        value_name = "HOST:PORT,...",
        env = "KLAMM_BOOTSTRAP",
        default_value = "127.0.0.1:9092",
        value_delimiter = ','
    )]
    pub(crate) bootstrap: Vec<String>,
    /// How to print answers
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// For programs
    Json,
}

/// Make topics, look at them, delete them.
#[derive(Subcommand, Debug)]
#[command(after_help = "\
Examples:
  klamm topic create orders --partitions 6 --config retention.ms=86400000
  klamm topic list --format json
  klamm topic describe orders
  klamm topic delete orders")]
pub(crate) enum TopicCommand {
    Create(TopicCreateArgs),
    List(TopicListArgs),
    Describe(TopicDescribeArgs),
    Delete(TopicDeleteArgs),
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
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// List all topics.
#[derive(Args, Debug)]
pub(crate) struct TopicListArgs {
    /// The cluster's own topics too
    #[arg(long)]
    pub(crate) internal: bool,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Show partitions, leaders, replicas and durability of topics.
#[derive(Args, Debug)]
pub(crate) struct TopicDescribeArgs {
    /// Names of the topics
    #[arg(required = true, value_name = "TOPIC")]
    pub(crate) topics: Vec<String>,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Delete topics with all their records.
#[derive(Args, Debug)]
pub(crate) struct TopicDeleteArgs {
    /// Names of the topics
    #[arg(required = true, value_name = "TOPIC")]
    pub(crate) topics: Vec<String>,
    /// A topic that does not exist is fine
    #[arg(long)]
    pub(crate) if_exists: bool,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Write records, one for each line of the standard input.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  echo hello | klamm produce greetings
  klamm produce orders -k : -z zstd < orders.txt      lines are KEY:VALUE
  klamm produce orders -H source=shop -p 0 --acks 1 < orders.txt")]
pub(crate) struct ProduceArgs {
    /// The topic
    pub(crate) topic: String,
    /// What separates key and value in a line; a line without it has no key
    #[arg(short, long, value_name = "SEPARATOR")]
    pub(crate) key_separator: Option<String>,
    /// Partition of all records [default: by key, else where it fits]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) partition: Option<i32>,
    /// A header of every record; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE", value_parser = key_value)]
    pub(crate) headers: Vec<(String, String)>,
    /// An empty value is written as none, which deletes its key in a compacted topic
    #[arg(short = 'Z', long)]
    pub(crate) empty_as_null: bool,
    #[command(flatten)]
    pub(crate) writing: WritingArgs,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

#[derive(Args, Debug)]
pub(crate) struct WritingArgs {
    /// How to pack batches
    #[arg(short = 'z', long, value_name = "CODEC", default_value = "none", value_parser = codec)]
    pub(crate) compression: Codec,
    /// Who must have a record: all (in-sync replicas, on disk), 1 (the leader), 0 (nobody)
    #[arg(long, value_name = "ACKS", default_value = "all", value_parser = acks)]
    pub(crate) acks: Acks,
    /// How long a batch waits for more records, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 5)]
    pub(crate) linger: u64,
    /// Bytes of a full batch
    #[arg(long, value_name = "BYTES", default_value_t = 16_384)]
    pub(crate) batch_size: usize,
}

/// Read records and print them.
#[derive(Args, Debug)]
#[command(after_help = "\
Where to begin (-o):
  start       the oldest record (default)       end         what comes from now on
  42          offset 42                          -10         the last 10 of each partition
  @TIME       the first record since TIME: milliseconds since 1970, 2026-11-23T22:30:00Z, or a time ago such as @-90s, @-15m, @-2h, @-1d

Format (-f):
  %t topic  %p partition  %o offset  %T timestamp (ms)  %k key  %K its size  %s value  %S its size (-1: none)  %h headers  %% %
  \\n \\t \\r \\\\ \\xHH as usual; nothing is added between records

Examples:
  klamm consume orders -e                            everything there is, then exit
  klamm consume orders -o end                        what comes from now on
  klamm consume orders -p 0 -o -10 -e -f '%o %k=%s\\n'
  klamm consume orders payments -n 100 --json")]
pub(crate) struct ConsumeArgs {
    /// The topics
    #[arg(required = true, value_name = "TOPIC")]
    pub(crate) topics: Vec<String>,
    /// Where to begin: start, end, N, -N or @TIME
    #[arg(short, long, value_name = "OFFSET", default_value = "start", allow_hyphen_values = true, value_parser = crate::time::start)]
    pub(crate) offset: klamm_client::Start,
    /// Only these partitions; may be repeated
    #[arg(short, long = "partition", value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) partitions: Vec<i32>,
    /// Exit when the end of every partition has been reached
    #[arg(short, long)]
    pub(crate) exit: bool,
    /// Exit after this many records
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// How to print a record
    #[arg(short = 'f', long = "template", value_name = "FORMAT", default_value = "%s\\n", value_parser = crate::template::Template::parse)]
    pub(crate) template: crate::template::Template,
    /// Print a JSON object a line
    #[arg(long, conflicts_with = "template")]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Measure a cluster: real records, built and serialized one by one.
#[derive(Subcommand, Debug)]
#[command(after_help = "\
Examples:
  klamm bench produce --records 5000000 --record-size 1024 --partitions 16 --batch-size 262144 --linger 10
  klamm bench consume
  klamm bench latency --rate 1000 --acks 1 --seconds 30 --format json")]
pub(crate) enum BenchCommand {
    Produce(BenchProduceArgs),
    Consume(BenchConsumeArgs),
    Latency(BenchLatencyArgs),
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
    #[arg(long, value_name = "BYTES", default_value_t = 1024)]
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

/// Send single records at fixed moments and measure from the moment meant, whether or not earlier ones were answered.
#[derive(Args, Debug)]
pub(crate) struct BenchLatencyArgs {
    #[command(flatten)]
    pub(crate) topic: BenchTopicArgs,
    /// Records a second
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) rate: u64,
    /// How long, in seconds
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seconds: u64,
    /// Measure until a consumer has the record, too
    #[arg(long)]
    pub(crate) end_to_end: bool,
    /// Bytes of a record's value
    #[arg(long, value_name = "BYTES", default_value_t = 100)]
    pub(crate) record_size: usize,
    /// Who must have a record: all, 1 or 0
    #[arg(long, value_name = "ACKS", default_value = "all", value_parser = acks)]
    pub(crate) acks: Acks,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

fn codec(text: &str) -> Result<Codec, String> {
    text.parse().map_err(|_| "expected none, gzip, snappy, lz4 or zstd".to_owned())
}

fn acks(text: &str) -> Result<Acks, String> {
    match text {
        "0" => Ok(Acks::None),
        "1" => Ok(Acks::Leader),
        "all" | "-1" => Ok(Acks::All),
        _ => Err("expected all, 1 or 0".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
