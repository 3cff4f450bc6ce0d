//! `klamm topic alter` and `klamm topic add-partitions`.

use anyhow::Result;
use klamm_client::{Change, ConfigChange, ConfigOperation, ConfigResource};
use klamm_model::ErrorCode;
use serde_json::json;

use crate::args::{TopicAddPartitionsArgs, TopicAlterArgs};
use crate::failure::tell;
use crate::outcome::Outcomes;
use crate::{config, remote, select};

pub(super) async fn run(args: &TopicAlterArgs) -> Result<()> {
    let admin = remote::administer(&args.remote).await?;
    let resources = select::topics(&admin, &args.select).await?.into_iter().map(ConfigResource::Topic);
    let unset =
        args.unset.iter().map(|name| ConfigChange { name: name.clone(), operation: ConfigOperation::Unset });
    let changes: Vec<_> = args.config.iter().cloned().chain(unset).collect();
    let change = if args.dry_run { Change::Check } else { Change::Make };
    config::alter(&admin, &resources.collect::<Vec<_>>(), &changes, change, args.remote.format).await
}

pub(super) async fn add_partitions(args: &TopicAddPartitionsArgs) -> Result<()> {
    let admin = remote::administer(&args.remote).await?;
    let names = select::topics(&admin, &args.select).await?;
    let there = admin.list_topics().await?;
    let mut outcomes = Outcomes::new(args.remote.format);
    let change = if args.dry_run { Change::Check } else { Change::Make };
    for name in names {
        let before = there
            .get(&*name)
            .filter(|topic| topic.error == ErrorCode::None)
            .and_then(|topic| i32::try_from(topic.partitions.len()).ok());
        // Of a topic that is not there the brokers say so themselves.
        let count = match (args.to, args.add) {
            (Some(to), _) => i32::from(to.get()),
            (None, add) => before.unwrap_or(0).saturating_add(add.map_or(0, |add| add.get().into())),
        };
        if before == Some(count) {
            let object = json!({ "topic": name, "partitions_before": count, "partitions": count });
            outcomes.done(&format!("topic {name} has {count} partitions already"), object)?;
            continue;
        }
        match admin.create_partitions(&name, count, change).await {
            Ok(()) => {
                let would = if args.dry_run { "would have" } else { "has" };
                let had = before.map_or(String::new(), |before| format!(", had {before}"));
                let object = json!({ "topic": name, "partitions_before": before, "partitions": count });
                outcomes.done(&format!("topic {name} {would} {count} partitions{had}"), object)?;
            }
            Err(error) => {
                let object = json!({ "topic": name, "partitions_before": before, "partitions": before });
                if !outcomes.failed(&error, object) {
                    break;
                }
                if before.is_some_and(|before| count < before) {
                    tell("partitions never become fewer: make another topic and copy what is to stay");
                }
            }
        }
    }
    outcomes.finish()
}
