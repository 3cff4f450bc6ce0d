//! The `klamm` command line: a broker, and tools for any broker that speaks Kafka's protocol.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage. What was asked for goes to the standard output, everything else to the standard error.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the program at the top is the world: it owns time, files, threads and the environment"
)]

mod args;
mod bench;
mod cluster;
mod completions;
mod config;
mod consume;
mod disks;
mod failure;
mod group;
mod input;
mod interrupt;
mod json;
mod log;
mod offsets;
mod outcome;
mod output;
mod pace;
mod produce;
mod progress;
mod range;
mod remote;
mod report;
mod select;
mod serve;
mod template;
mod time;
mod topic;
mod txn;
mod waiting;

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

use args::{Cli, Command};

fn main() -> ExitCode {
    let began = Instant::now();
    failure::report_panics_in_one_line();
    let done = match Cli::parse().command {
        Command::Serve(args) => serve::serve(&args, began),
        Command::Dev(args) => serve::dev(&args, began),
        Command::Topic(command) => topic::run(&command),
        Command::Produce(args) => produce::run(&args),
        Command::Consume(args) => consume::run(&args),
        Command::Group(command) => group::run(&command),
        Command::Txn(command) => txn::run(&command),
        Command::Config(command) => config::run(&command),
        Command::Cluster(command) => cluster::run(&command),
        Command::Log(command) => log::run(&command),
        Command::Bench(command) => bench::run(&command),
        Command::Completions(args) => completions::run(&args),
    };
    failure::exit_code(done)
}
