//! `klamm txn list`.

use anyhow::Result;
use klamm_client::TransactionFilter;
use klamm_model::ProducerId;
use serde_json::json;

use crate::args::{Format, TxnListArgs};
use crate::output::{print_json, print_table};
use crate::{remote, select};

pub(super) async fn run(args: &TxnListArgs) -> Result<()> {
    let patterns = select::patterns(&args.patterns)?;
    let filter = TransactionFilter {
        states: args.states.clone(),
        producers: args.producers.iter().copied().map(ProducerId).collect(),
        longer_than: args.longer_than,
        pattern: None,
    };
    let admin = remote::administer(&args.remote).await?;
    let mut listed = admin.list_transactions(&filter).await?;
    listed.retain(|id, _| patterns.is_empty() || patterns.iter().any(|pattern| pattern.is_match(id)));
    if args.remote.format == Format::Json {
        let rows = listed.iter().map(|(id, it)| {
            json!({
                "transactional_id": id,
                "state": it.state.name(),
                "producer": it.producer.0,
                "coordinator": it.coordinator.0,
            })
        });
        return Ok(print_json(&rows.collect())?);
    }
    let row = |(id, it): (&String, &klamm_client::ListedTransaction)| {
        vec![id.clone(), it.state.name().to_owned(), it.producer.to_string(), it.coordinator.to_string()]
    };
    let rows: Vec<_> = listed.iter().map(row).collect();
    Ok(print_table(&["TRANSACTIONAL ID", "STATE", "PRODUCER", "COORDINATOR"], &rows)?)
}
