//! What can be said on the command line.

mod bench;
mod cluster;
mod config;
mod data;
mod group;
mod log;
mod topic;
mod txn;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use klamm_model::{Codec, Compression};

pub(crate) use bench::*;
pub(crate) use cluster::*;
pub(crate) use config::{ConfigCommand, ConfigGetArgs};
pub(crate) use data::*;
pub(crate) use group::*;
pub(crate) use log::{LogCommand, LogDumpArgs, LogVerifyArgs};
pub(crate) use topic::*;
pub(crate) use txn::*;

const EXAMPLES: &str = "\
Examples:
  klamm serve                                   a broker on 127.0.0.1:9092
  klamm dev                                     a broker that forgets everything when it ends
  klamm topic create orders --partitions 6
  echo 'me:hello' | klamm produce orders -k :
  klamm consume orders -o start -e -f '%p %o %k %s\\n'
  klamm group describe billing
  klamm cluster status
  klamm bench produce --records 1000000 --record-size 1024 --partitions 16

The tools work with every broker that speaks Kafka's protocol. What was asked for goes to the standard output, everything else to the standard error.
Exit codes: 0 done, 1 failed, 2 wrong usage. docs/CLI.md has the shapes of JSON.";

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
    Group(GroupCommand),
    #[command(subcommand)]
    Txn(TxnCommand),
    #[command(subcommand)]
    Config(ConfigCommand),
    #[command(subcommand)]
    Cluster(ClusterCommand),
    #[command(subcommand)]
    Log(LogCommand),
    #[command(subcommand)]
    Bench(BenchCommand),
    Completions(CompletionsArgs),
}

/// Run a broker until it is told to stop (SIGTERM, SIGINT, SIGHUP).
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  klamm serve
  klamm serve --data-dir /srv/klamm --listen 0.0.0.0:9092 --set num.partitions=6
  klamm serve --node-id 2 --join a:9093,b:9093,c:9093        one of three, which are given the same list
  klamm serve --node-listen a:9093                           alone, until others join it
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
    /// Become one cluster with the nodes at these addresses, the same list on each; with a cluster on its disk a node does not look at it
    #[arg(long, value_name = "HOST:PORT,...")]
    pub(crate) join: Option<String>,
    /// What this node is: broker, controller or both, separated by a comma [default: both]
    #[arg(long, value_name = "ROLE,...")]
    pub(crate) roles: Option<String>,
    /// Address for the other nodes of a cluster [default: beside that for clients, the port after it]; a node alone that has it can be joined by others
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) node_listen: Option<String>,
}

/// Run a throw-away broker in a temporary directory, which is removed when it stops.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  klamm dev
  klamm dev --listen 127.0.0.1:0          takes a free port and says which
  klamm dev --nodes 3                     a cluster of three in one process, clients at ports 9092 to 9094")]
pub(crate) struct DevArgs {
    /// So many nodes, which are one cluster; they take twice as many ports, from that of --listen on
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=9))]
    pub(crate) nodes: u16,
    /// Keep the data here, and do not remove them
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
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
    /// Serve metrics for Prometheus here; a port alone is one of 127.0.0.1
    #[arg(long, value_name = "[HOST:]PORT")]
    pub(crate) metrics_listen: Option<String>,
    /// Set a key under Kafka's name; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) set: Vec<(String, String)>,
}

/// How to reach the brokers and how to answer.
#[derive(Args, Clone, Debug)]
pub(crate) struct RemoteArgs {
    /// Brokers to find the cluster by, separated by commas [default: 127.0.0.1:9092]
    #[arg(short = 'b', long, value_name = "HOST:PORT,...", env = "KLAMM_BOOTSTRAP", value_delimiter = ',')]
    pub(crate) bootstrap: Vec<String>,
    /// A file of settings of clients, Kafka's .properties: TLS, SASL, timeouts and more
    #[arg(long, value_name = "FILE", env = "KLAMM_CLIENT_CONFIG")]
    pub(crate) client_config: Option<PathBuf>,
    /// A setting of clients under Kafka's name, docs/CLIENT_CONFIG.md has them; may be repeated
    #[arg(short = 'X', long = "client-set", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) client_settings: Vec<(String, String)>,
    /// How long brokers may take to answer, such as 500ms, 10s or 2m [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = crate::time::duration)]
    pub(crate) timeout: Option<Duration>,
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

/// Print what makes a shell complete this program's commands.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  source <(klamm completions bash)
  klamm completions zsh > ~/.zfunc/_klamm
  klamm completions fish > ~/.config/fish/completions/klamm.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

/// `zstd`, `zstd:3`
fn compression(text: &str) -> Result<Compression, String> {
    let (codec, level) = text.split_once(':').map_or((text, None), |(codec, level)| (codec, Some(level)));
    let codec = codec.parse().map_err(|_| "expected none, gzip, snappy, lz4 or zstd")?;
    let default = Compression::of(codec);
    let Some(level) = level else { return Ok(default) };
    let levels = match codec {
        Codec::Gzip => 1..=9,
        Codec::Zstd => -131_072..=22,
        Codec::None | Codec::Snappy | Codec::Lz4 => return Err(format!("{codec} has no levels")),
    };
    let level = level.parse().ok().filter(|level| levels.contains(level));
    let level =
        level.ok_or_else(|| format!("{codec} has levels from {} to {}", levels.start(), levels.end()))?;
    Ok(Compression { level, ..default })
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
