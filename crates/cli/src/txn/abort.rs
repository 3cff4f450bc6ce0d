//! `klamm txn abort`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use klamm_client::{Admin, PartitionName, TransactionState};
use klamm_model::Offset;
use serde_json::json;

use crate::args::TxnAbortArgs;
use crate::outcome::Outcomes;
use crate::remote;

pub(super) async fn run(args: &TxnAbortArgs) -> Result<()> {
    let admin = remote::administer(&args.remote).await?;
    let mut outcomes = Outcomes::new(args.remote.format);
    match (&args.topic, args.partition, args.at) {
        (Some(topic), Some(partition), Some(at)) => {
            let partition = PartitionName::new(topic.as_str(), partition);
            abort_hanging(&admin, &partition, Offset::new(at), &mut outcomes).await?;
        }
        _ => fence(&admin, &args.ids, &mut outcomes).await?,
    }
    outcomes.finish()
}

async fn fence(admin: &Admin, ids: &[String], outcomes: &mut Outcomes) -> Result<()> {
    let object = |id: &str, is_aborted, is_fenced| json!({ "transactional_id": id, "aborted": is_aborted, "fenced": is_fenced });
    let ids: BTreeSet<&str> = ids.iter().map(String::as_str).collect();
    let mut there = BTreeMap::new();
    // One that there is not would be made.
    for (id, described) in admin.describe_transactions(&Vec::from_iter(ids)).await? {
        match described {
            Ok(found) => _ = there.insert(id, found.state),
            Err(error) => _ = outcomes.failed(&error, object(&id, false, false)),
        }
    }
    let names: Vec<&str> = there.keys().map(String::as_str).collect();
    for (id, fenced) in admin.fence_producers(&names).await? {
        match fenced {
            Ok(_) => {
                let (line, is_aborted) = ending(&id, &there[&id]);
                outcomes.done(&line, object(&id, is_aborted, true))?;
            }
            Err(error) => _ = outcomes.failed(&error, object(&id, false, false)),
        }
    }
    Ok(())
}

/// What becomes of a transaction that was in this state when its producer was fenced, and whether it is aborted.
fn ending(id: &str, state: &TransactionState) -> (String, bool) {
    use TransactionState as S;
    match state {
        S::Ongoing | S::PrepareAbort | S::PrepareEpochFence => {
            (format!("the transaction of {id} is aborted, and its producer is fenced"), true)
        }
        // That cannot be taken back.
        S::PrepareCommit => {
            (format!("the transaction of {id} was committed already, and its producer is fenced"), false)
        }
        S::Empty | S::CompleteCommit | S::CompleteAbort | S::Dead | S::Other(_) => {
            (format!("nothing of {id} was open, and its producer is fenced"), false)
        }
    }
}

async fn abort_hanging(
    admin: &Admin,
    partition: &PartitionName,
    at: Offset,
    outcomes: &mut Outcomes,
) -> Result<()> {
    let object = |is_aborted| {
        let PartitionName { topic, partition } = partition;
        json!({ "topic": &**topic, "partition": partition, "at": at.raw(), "aborted": is_aborted })
    };
    let aborted = async {
        let open = admin.open_transaction(partition, at).await?;
        admin.abort_transaction(&open).await.map(|()| open.producer)
    };
    match aborted.await {
        Ok(producer) => {
            let line = format!("{partition} has the mark that aborts what producer {producer} began at {at}");
            outcomes.done(&line, object(true))
        }
        Err(error) => {
            outcomes.failed(&error, object(false));
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_open_is_aborted() {
        for (state, told, is_aborted) in [
            (TransactionState::Ongoing, "the transaction of till is aborted", true),
            (TransactionState::PrepareAbort, "the transaction of till is aborted", true),
            (TransactionState::PrepareCommit, "the transaction of till was committed already", false),
            (TransactionState::CompleteAbort, "nothing of till was open", false),
            (TransactionState::Empty, "nothing of till was open", false),
        ] {
            assert_eq!(ending("till", &state), (format!("{told}, and its producer is fenced"), is_aborted));
        }
    }
}
