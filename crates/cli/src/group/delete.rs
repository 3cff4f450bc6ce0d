//! `klamm group delete`.

use std::collections::BTreeSet;

use anyhow::Result;
use klamm_client::{Admin, PartitionName};
use klamm_model::ErrorCode;
use serde_json::json;

use crate::args::GroupDeleteArgs;
use crate::outcome::Outcomes;
use crate::remote;

pub(super) async fn run(args: &GroupDeleteArgs) -> Result<()> {
    let admin = remote::administer(&args.remote).await?;
    let groups: BTreeSet<&str> = args.groups.iter().map(String::as_str).collect();
    let groups: Vec<&str> = groups.into_iter().collect();
    let mut outcomes = Outcomes::new(args.remote.format);
    if args.topics.is_empty() {
        for (group, outcome) in admin.delete_groups(&groups).await? {
            let object = |deleted, exists| json!({ "group": group, "deleted": deleted, "exists": exists });
            match outcome {
                Ok(()) => outcomes.done(&format!("group {group} deleted"), object(true, Some(true)))?,
                Err(error) if args.if_exists && error.code() == Some(ErrorCode::GroupIdNotFound) => {
                    outcomes.done(&format!("group {group} does not exist"), object(false, Some(false)))?;
                }
                Err(error) => {
                    let exists = error.code().map(|code| code != ErrorCode::GroupIdNotFound);
                    outcomes.failed(&error, object(false, exists));
                }
            }
        }
        return outcomes.finish();
    }
    for group in groups {
        delete_offsets(&admin, group, args, &mut outcomes).await?;
    }
    outcomes.finish()
}

/// What the group has committed for the topics.
async fn delete_offsets(
    admin: &Admin,
    group: &str,
    args: &GroupDeleteArgs,
    outcomes: &mut Outcomes,
) -> Result<()> {
    let committed = admin.group_offsets(group, None).await?;
    let is_meant = |name: &PartitionName| args.topics.iter().any(|topic| **topic == *name.topic);
    let partitions: Vec<_> = committed.into_keys().filter(is_meant).collect();
    if partitions.is_empty() {
        let line = format!("group {group} has committed nothing for {}", args.topics.join(" or "));
        return outcomes
            .done(&line, json!({ "group": group, "topic": null, "partition": null, "deleted": false }));
    }
    for (name, outcome) in admin.delete_group_offsets(group, &partitions).await? {
        let object = |deleted| json!({ "group": group, "topic": &*name.topic, "partition": name.partition, "deleted": deleted });
        match outcome {
            Ok(()) => outcomes.done(&format!("group {group} forgot {name}"), object(true))?,
            Err(error) => {
                outcomes.failed(&error, object(false));
            }
        }
    }
    Ok(())
}
