//! `klamm topic create`.

use anyhow::Result;
use klamm_client::{Change, NewTopic};
use klamm_model::ErrorCode;
use serde_json::json;

use crate::args::TopicCreateArgs;
use crate::outcome::Outcomes;
use crate::remote;

pub(super) async fn run(args: &TopicCreateArgs) -> Result<()> {
    let admin = remote::administer(&args.remote).await?;
    let mut outcomes = Outcomes::new(args.remote.format);
    let change = if args.dry_run { Change::Check } else { Change::Make };
    for name in &args.topics {
        let topic = NewTopic {
            name: name.clone(),
            partition_count: args.partitions,
            replication_factor: args.replication_factor,
            configs: args.config.clone(),
            ..NewTopic::default()
        };
        match admin.create_topic(&topic, change).await {
            Ok(created) => {
                let what = match (created.partition_count, created.replication_factor) {
                    (Some(partitions), Some(copies)) => {
                        format!(": {partitions} partitions, replication factor {copies}")
                    }
                    _ => String::new(),
                };
                let verb = if args.dry_run { "would be created" } else { "created" };
                let id = (!created.id.is_zero()).then(|| created.id.to_string());
                let object = json!({
                    "topic": name,
                    "created": !args.dry_run,
                    "id": id,
                    "partitions": created.partition_count,
                    "replication_factor": created.replication_factor,
                });
                outcomes.done(&format!("topic {name} {verb}{what}"), object)?;
            }
            Err(error) if args.if_not_exists && error.code() == Some(ErrorCode::TopicAlreadyExists) => {
                let object = json!({ "topic": name, "created": false });
                outcomes.done(&format!("topic {name} exists already"), object)?;
            }
            Err(error) => {
                if !outcomes.failed(&error, json!({ "topic": name, "created": false })) {
                    break;
                }
            }
        }
    }
    outcomes.finish()
}
