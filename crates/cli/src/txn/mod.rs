//! `klamm txn`.

mod abort;
mod describe;
mod hanging;
mod list;

use anyhow::Result;

use crate::args::TxnCommand;
use crate::remote;

pub(crate) fn run(command: &TxnCommand) -> Result<()> {
    remote::run(async {
        match command {
            TxnCommand::List(args) => list::run(args).await,
            TxnCommand::Describe(args) => describe::run(args).await,
            TxnCommand::FindHanging(args) => hanging::run(args).await,
            TxnCommand::Abort(args) => abort::run(args).await,
        }
    })
}
