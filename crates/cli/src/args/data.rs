//! `klamm produce` and `klamm consume`.

use clap::Args;
use klamm_client::Acks;
use klamm_model::Codec;

use super::{RemoteArgs, codec, key_value};

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
    #[arg(long, value_name = "ACKS", default_value = "all")]
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
