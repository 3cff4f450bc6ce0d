//! `klamm txn abort`.

use std::collections::BTreeSet;

use anyhow::Result;
use klamm_client::{Admin, PartitionName};
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
    let object = |id: &str, is_fenced| json!({ "transactional_id": id, "aborted": is_fenced });
    let ids: BTreeSet<&str> = ids.iter().map(String::as_str).collect();
    let mut there = Vec::new();
    // One that there is not would be made.
    for (id, described) in admin.describe_transactions(&Vec::from_iter(ids)).await? {
        match described {
            Ok(_) => there.push(id),
            Err(error) => _ = outcomes.failed(&error, object(&id, false)),
        }
    }
    let there: Vec<&str> = there.iter().map(String::as_str).collect();
    for (id, fenced) in admin.fence_producers(&there).await? {
        match fenced {
            Ok(_) => outcomes
                .done(&format!("nothing of {id} is open, and its producer is fenced"), object(&id, true))?,
            Err(error) => _ = outcomes.failed(&error, object(&id, false)),
        }
    }
    Ok(())
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
