//! `klamm txn find-hanging`: what is open in a partition's log, and covered by no transaction that a coordinator knows.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use klamm_client::{ActiveProducer, Admin, PartitionName, TransactionDescription, TransactionFilter};
use klamm_model::{ErrorCode, Offset, ProducerId};
use serde_json::json;

use crate::args::{Format, TxnFindHangingArgs};
use crate::failure::{Told, tell};
use crate::output::{or_nothing, print_json, print_table};
use crate::time::{now_ms, span_text};
use crate::{remote, select};

/// A transaction that is open in a partition and that nobody is going to end.
struct Hanging {
    partition: PartitionName,
    producer: ActiveProducer,
    start: Offset,
    /// Who has the producer's number, if anybody has.
    transactional_id: Option<String>,
    /// Since the last record was written in it.
    idle_ms: Option<i64>,
}

pub(super) async fn run(args: &TxnFindHangingArgs) -> Result<()> {
    let admin = remote::administer(&args.remote).await?;
    let topics = match args.topics.as_slice() {
        [] => admin.list_topics().await?.into_keys().map(|name| name.to_string()).collect(),
        topics => topics.to_vec(),
    };
    let partitions = select::partitions(&admin, &topics, &args.partitions).await?;
    let least_ms = i64::try_from(args.longer_than.as_millis()).unwrap_or(i64::MAX);
    let mut has_failed = false;
    let mut open = Vec::new();
    for (partition, producers) in admin.describe_producers(partitions).await? {
        match producers {
            Ok(producers) => {
                open.extend(producers.into_iter().filter_map(|it| open_long(&partition, it, least_ms)))
            }
            Err(error) => {
                has_failed = true;
                tell(&error);
            }
        }
    }
    let hanging = unknown_to_coordinators(&admin, open).await?;
    print(args.remote.format, &hanging)?;
    if has_failed { Err(Told.into()) } else { Ok(()) }
}

fn open_long(partition: &PartitionName, producer: ActiveProducer, least_ms: i64) -> Option<Hanging> {
    let start = producer.transaction_start?;
    let idle_ms = producer.last_timestamp.map(|at| now_ms().saturating_sub(at.0).max(0));
    let (partition, transactional_id) = (partition.clone(), None);
    let it = Hanging { partition, producer, start, transactional_id, idle_ms };
    it.idle_ms.is_none_or(|idle_ms| least_ms <= idle_ms).then_some(it)
}

/// Those that no coordinator has among the partitions of a transaction.
async fn unknown_to_coordinators(admin: &Admin, open: Vec<Hanging>) -> Result<Vec<Hanging>> {
    if open.is_empty() {
        return Ok(open);
    }
    let producers: BTreeSet<ProducerId> = open.iter().map(|it| it.producer.id).collect();
    let filter =
        TransactionFilter { producers: producers.into_iter().collect(), ..TransactionFilter::default() };
    let listed = admin.list_transactions(&filter).await?;
    let ids: BTreeMap<ProducerId, &String> = listed.iter().map(|(id, it)| (it.producer, id)).collect();
    let names: Vec<&str> = ids.values().map(|id| id.as_str()).collect();
    let mut known: BTreeMap<String, TransactionDescription> = BTreeMap::new();
    for (id, described) in admin.describe_transactions(&names).await? {
        match described {
            Ok(described) => _ = known.insert(id, described),
            Err(error) if error.code() == Some(ErrorCode::TransactionalIdNotFound) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let hanging = open.into_iter().filter_map(|it| {
        let transactional_id = ids.get(&it.producer.id).map(|id| (*id).clone());
        let transaction = transactional_id.as_ref().and_then(|id| known.get(id));
        let is_covered = transaction.is_some_and(|known| known.partitions.contains(&it.partition));
        (!is_covered).then_some(Hanging { transactional_id, ..it })
    });
    Ok(hanging.collect())
}

fn print(format: Format, hanging: &[Hanging]) -> Result<()> {
    if format == Format::Json {
        let rows = hanging.iter().map(|it| {
            json!({
                "topic": &*it.partition.topic,
                "partition": it.partition.partition,
                "at": it.start.raw(),
                "producer": it.producer.id.0,
                "epoch": it.producer.epoch,
                "idle_ms": it.idle_ms,
                "transactional_id": it.transactional_id,
            })
        });
        return Ok(print_json(&rows.collect())?);
    }
    let row = |it: &Hanging| {
        vec![
            it.partition.topic.to_string(),
            it.partition.partition.to_string(),
            it.start.to_string(),
            it.producer.id.to_string(),
            it.producer.epoch.to_string(),
            or_nothing(it.idle_ms.map(span_text)),
            or_nothing(it.transactional_id.as_ref()),
        ]
    };
    let rows: Vec<_> = hanging.iter().map(row).collect();
    const HEADS: [&str; 7] = ["TOPIC", "PARTITION", "AT", "PRODUCER", "EPOCH", "IDLE", "TRANSACTIONAL ID"];
    Ok(print_table(&HEADS, &rows)?)
}
