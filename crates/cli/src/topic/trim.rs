//! `klamm topic trim`: deletes the oldest records.

use std::collections::BTreeMap;

use anyhow::Result;
use klamm_client::{AdminError, PartitionName, Start, TrimTo};
use klamm_model::{ErrorCode, Offset};
use serde_json::json;

use crate::args::{Format, TopicTrimArgs};
use crate::failure::{Told, Usage, tell};
use crate::offsets::{Span, offsets_of, spans};
use crate::outcome::error_json;
use crate::output::{or_nothing, print_json, print_table};
use crate::{remote, select};

pub(super) async fn run(args: &TopicTrimArgs) -> Result<()> {
    if args.to == Start::Earliest {
        return Err(Usage("--to start: there is nothing before the start".to_owned()).into());
    }
    let admin = remote::administer(&args.remote).await?;
    let names = select::topics(&admin, &args.select).await?;
    let partitions = select::partitions(&admin, &names, &args.partitions).await?;
    let before = spans(&admin, partitions.iter().cloned()).await?;
    let goals = offsets_of(&admin, args.to, &before).await?;
    let is_dry = args.confirm.dry_run;
    if !is_dry && !select::confirm("delete records of", &names, &args.select, &args.confirm)? {
        return Ok(());
    }
    let mut trimmed = Vec::new();
    let wanted: BTreeMap<_, _> =
        goals.iter().filter(|(partition, goal)| before[*partition].start < **goal).map(trim).collect();
    let mut answers = if is_dry { BTreeMap::new() } else { admin.delete_records(&wanted).await? };
    for partition in partitions {
        let span = before.get(&partition).copied();
        let after = match (answers.remove(&partition), span) {
            (Some(answer), _) => answer,
            (None, Some(span)) if span.end < goals[&partition] => {
                Err(refused(&partition, ErrorCode::OffsetOutOfRange))
            }
            (None, Some(span)) => Ok(goals[&partition].max(span.start)),
            (None, None) => Err(refused(&partition, ErrorCode::LeaderNotAvailable)),
        };
        trimmed.push(Trimmed { partition, before: span, after });
    }
    print(&trimmed, args.remote.format, is_dry)
}

/// What a broker would answer that is not asked.
fn refused(partition: &PartitionName, code: ErrorCode) -> AdminError {
    AdminError::Refused { subject: partition.to_string(), code, message: None }
}

fn trim((partition, goal): (&PartitionName, &Offset)) -> (PartitionName, TrimTo) {
    (partition.clone(), TrimTo::Offset(*goal))
}

struct Trimmed {
    partition: PartitionName,
    before: Option<Span>,
    after: Result<Offset, AdminError>,
}

impl Trimmed {
    fn deleted_count(&self) -> Option<u64> {
        Some(self.after.as_ref().ok()?.since(self.before?.start))
    }
}

fn print(trimmed: &[Trimmed], format: Format, is_dry: bool) -> Result<()> {
    match format {
        Format::Json => {
            let rows = trimmed.iter().map(|it| {
                json!({
                    "topic": &*it.partition.topic,
                    "partition": it.partition.partition,
                    "start_before": it.before.map(|span| span.start.raw()),
                    "start": it.after.as_ref().ok().map(|start| start.raw()),
                    "end": it.before.map(|span| span.end.raw()),
                    "records_deleted": it.deleted_count(),
                    "dry_run": is_dry,
                    "error": it.after.as_ref().err().map(error_json),
                })
            });
            print_json(&rows.collect())?;
        }
        Format::Table => {
            let rows: Vec<_> = trimmed
                .iter()
                .map(|it| {
                    vec![
                        it.partition.topic.to_string(),
                        it.partition.partition.to_string(),
                        or_nothing(it.before.map(|span| span.start)),
                        or_nothing(it.after.as_ref().ok()),
                        or_nothing(it.before.map(|span| span.end)),
                        or_nothing(it.deleted_count()),
                    ]
                })
                .collect();
            let deleted = if is_dry { "WOULD DELETE" } else { "DELETED" };
            print_table(&["TOPIC", "PARTITION", "START BEFORE", "START", "END", deleted], &rows)?;
        }
    }
    let mut has_failed = false;
    for error in trimmed.iter().filter_map(|it| it.after.as_ref().err()) {
        has_failed = true;
        tell(&error);
    }
    if has_failed { Err(Told.into()) } else { Ok(()) }
}
