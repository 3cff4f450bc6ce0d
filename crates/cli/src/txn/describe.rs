//! `klamm txn describe`.

use std::collections::BTreeSet;

use anyhow::Result;
use klamm_client::{PartitionName, TransactionDescription};
use serde_json::{Value, json};

use crate::args::{Format, TxnDescribeArgs};
use crate::failure::{Told, tell};
use crate::output::{or_nothing, print_json, print_line, print_table};
use crate::remote;
use crate::time::{date_time_text, now_ms, span_text};

pub(super) async fn run(args: &TxnDescribeArgs) -> Result<()> {
    let admin = remote::administer(&args.remote).await?;
    let ids: BTreeSet<&str> = args.ids.iter().map(String::as_str).collect();
    let mut has_failed = false;
    let mut described = Vec::new();
    for (id, outcome) in admin.describe_transactions(&Vec::from_iter(ids)).await? {
        match outcome {
            Ok(transaction) => described.push((id, transaction)),
            Err(error) => {
                has_failed = true;
                tell(&error);
            }
        }
    }
    if args.remote.format == Format::Json {
        print_json(&described.iter().map(|(id, it)| object(id, it)).collect())?;
    } else {
        for (place, (id, transaction)) in described.iter().enumerate() {
            if place > 0 {
                print_line("")?;
            }
            print(id, transaction)?;
        }
    }
    if has_failed { Err(Told.into()) } else { Ok(()) }
}

fn print(id: &str, it: &TransactionDescription) -> Result<()> {
    let timeout_ms = i64::try_from(it.timeout.as_millis()).unwrap_or(i64::MAX);
    let began = it.started_at.map(|at| {
        let ago = span_text(now_ms().saturating_sub(at.0).max(0));
        format!("{}, {ago} ago", date_time_text(at.0))
    });
    print_line(&format!("transactional id  {id}"))?;
    print_line(&format!("state             {}", it.state.name()))?;
    print_line(&format!("producer          {}, epoch {}", it.producer, it.epoch))?;
    print_line(&format!("coordinator       {}", it.coordinator))?;
    print_line(&format!("time-out          {}", span_text(timeout_ms)))?;
    print_line(&format!("began             {}", or_nothing(began)))?;
    if !it.partitions.is_empty() {
        print_line("")?;
        let row = |name: &PartitionName| vec![name.topic.to_string(), name.partition.to_string()];
        print_table(&["TOPIC", "PARTITION"], &it.partitions.iter().map(row).collect::<Vec<_>>())?;
    }
    Ok(())
}

fn object(id: &str, it: &TransactionDescription) -> Value {
    let partition = |name: &PartitionName| json!({ "topic": &*name.topic, "partition": name.partition });
    json!({
        "transactional_id": id,
        "state": it.state.name(),
        "producer": it.producer.0,
        "epoch": it.epoch.0,
        "coordinator": it.coordinator.0,
        "timeout_ms": u64::try_from(it.timeout.as_millis()).unwrap_or(u64::MAX),
        "began": it.started_at.map(|at| at.0),
        "partitions": it.partitions.iter().map(partition).collect::<Vec<_>>(),
    })
}
