//! Chores of this repository, run as `cargo xtask …`.
#![allow(clippy::disallowed_methods, reason = "a tool that reads and writes the sources")]

mod config_docs;
mod extract;
mod fuzz;
mod generate;
mod rust;
mod schema;
mod testing;

use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

const USAGE: &str = "\
usage: cargo xtask gen                  write the message code from the schema
       cargo xtask gen --check          only tell whether the committed code is what the schema gives
       cargo xtask docs                 write docs/CONFIG.md from the tables of configs
       cargo xtask docs --check         only tell whether the committed page is what the tables give
       cargo xtask gen extract JAR…     write the schema from the message definitions in the jars kafka-clients,
                                        kafka-group-coordinator and kafka-transaction-coordinator
       cargo xtask protocol             write docs/PROTOCOL.md from the table of API keys
       cargo xtask testing              write docs/TESTING.md: what must hold and what may happen, where it is tried, and how
                                        often the simulator met it; runs 500 seeds
       cargo xtask testing --check      only tell whether the committed page is what the tables and the sources give
       cargo xtask fuzz [--seconds N] [TARGET…]
                                        run the fuzzer's targets, each for 60 seconds or N";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["gen"] => generate::write(),
        ["gen", "--check"] => generate::check(),
        ["docs"] => config_docs::write(),
        ["docs", "--check"] => config_docs::check(),
        ["gen", "extract", jars @ ..] if !jars.is_empty() => extract::write(jars),
        ["testing"] => testing::write(),
        ["testing", "--check"] => testing::check(),
        ["protocol"] => protocol(),
        ["fuzz", rest @ ..] => fuzz::run(rest),
        _ => bail!("{USAGE}"),
    }
}

/// The test that tells when the page is stale is also what writes it: this program must not depend on `wire`, whose code it generates.
fn protocol() -> Result<()> {
    let status = Command::new(env!("CARGO"))
        .args(["test", "--quiet", "--package", "klamm-wire", "--test", "protocol"])
        .env("UPDATE_EXPECT", "1")
        .status()
        .context("running cargo")?;
    ensure!(status.success(), "the page could not be written");
    Ok(())
}
