//! `klamm log`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Format;

/// Read the files of a stopped broker, Klamm's or Apache Kafka's.
#[derive(Subcommand, Debug)]
#[command(after_help = "\
Files: segments (.log), indexes (.index, .timeindex, .txnindex), producers (.snapshot), checkpoints and partition.metadata. A directory stands for
all such files in it and below. Files of a broker that runs can be read, too; what it is just writing may look damaged.

Examples:
  klamm log dump orders-0/00000000000000000000.log --records
  klamm log verify /var/lib/klamm --all")]
pub(crate) enum LogCommand {
    Dump(LogDumpArgs),
    Verify(LogVerifyArgs),
}

/// Print what is in the files: a line for each batch, or entry.
#[derive(Args, Debug)]
pub(crate) struct LogDumpArgs {
    /// Files and directories
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The records of each batch, too
    #[arg(short, long)]
    pub(crate) records: bool,
    /// How to print; with json, an object a line
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
}

/// Check files: checksums, every record, the order of offsets, and that the indexes agree with their segments. Exits with 1 at the first damage.
#[derive(Args, Debug)]
pub(crate) struct LogVerifyArgs {
    /// Files and directories
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Look for more damage after the first
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Name good files, too, that were found in directories
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
}
