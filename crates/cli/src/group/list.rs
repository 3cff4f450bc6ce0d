//! `klamm group list`.

use anyhow::Result;
use klamm_client::GroupFilter;
use serde_json::json;

use super::or_dash;
use crate::args::{Format, GroupListArgs};
use crate::output::{print_json, print_table};
use crate::{remote, select};

pub(super) async fn run(args: &GroupListArgs) -> Result<()> {
    let patterns = select::patterns(&args.patterns)?;
    let filter = GroupFilter { states: args.states.clone(), types: args.types.clone() };
    let admin = remote::administer(&args.remote).await?;
    let mut groups = admin.list_groups(&filter).await?;
    groups.retain(|name, _| patterns.is_empty() || patterns.iter().any(|pattern| pattern.is_match(name)));
    if args.remote.format == Format::Json {
        let rows = groups.iter().map(|(name, group)| {
            json!({
                "group": name,
                "state": told(group.state.name()),
                "type": told(group.group_type.name()),
                "protocol_type": told(&group.protocol_type),
                "coordinator": group.coordinator.0,
            })
        });
        return Ok(print_json(&rows.collect())?);
    }
    let rows: Vec<_> = groups
        .iter()
        .map(|(name, group)| {
            vec![
                name.clone(),
                or_dash(group.state.name()),
                or_dash(group.group_type.name()),
                or_dash(&group.protocol_type),
                group.coordinator.to_string(),
            ]
        })
        .collect();
    Ok(print_table(&["GROUP", "STATE", "TYPE", "PROTOCOL", "COORDINATOR"], &rows)?)
}

/// What is empty is not told.
fn told(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}
