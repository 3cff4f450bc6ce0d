//! `klamm group`.

mod delete;
mod describe;
mod lag;
mod list;
mod seek;
mod standstill;

use anyhow::Result;

use crate::args::GroupCommand;
use crate::remote;

pub(crate) use seek::Goal;

pub(crate) fn run(command: &GroupCommand) -> Result<()> {
    remote::run(async {
        match command {
            GroupCommand::List(args) => list::run(args).await,
            GroupCommand::Describe(args) => describe::run(args).await,
            GroupCommand::Seek(args) => seek::run(args).await,
            GroupCommand::Delete(args) => delete::run(args).await,
        }
    })
}

/// What stands in a table where a text may be empty.
fn or_dash(text: &str) -> String {
    crate::output::or_nothing(Some(text).filter(|text| !text.is_empty()))
}
