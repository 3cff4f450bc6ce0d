//! `klamm topic delete`.

use anyhow::Result;
use klamm_model::ErrorCode;
use serde_json::json;

use crate::args::TopicDeleteArgs;
use crate::outcome::Outcomes;
use crate::{remote, select};

pub(super) async fn run(args: &TopicDeleteArgs) -> Result<()> {
    let admin = remote::administer(&args.remote).await?;
    let names = select::topics(&admin, &args.select).await?;
    let mut outcomes = Outcomes::new(args.remote.format);
    if args.confirm.dry_run {
        let there = admin.list_topics().await?;
        for name in names {
            let is_there = there.contains_key(&*name);
            let what = if is_there { "would be deleted" } else { "does not exist" };
            let object = json!({ "topic": name, "deleted": false, "exists": is_there });
            outcomes.done(&format!("topic {name} {what}"), object)?;
        }
        return outcomes.finish();
    }
    if !select::confirm("delete", &names, &args.select, &args.confirm)? {
        return Ok(());
    }
    for name in names {
        match admin.delete_topic(&name).await {
            Ok(()) => outcomes.done(
                &format!("topic {name} deleted"),
                json!({ "topic": name, "deleted": true, "exists": true }),
            )?,
            Err(error) if args.if_exists && error.code() == Some(ErrorCode::UnknownTopicOrPartition) => {
                let object = json!({ "topic": name, "deleted": false, "exists": false });
                outcomes.done(&format!("topic {name} does not exist"), object)?;
            }
            Err(error) => {
                let exists = error.code().map(|code| code != ErrorCode::UnknownTopicOrPartition);
                let object = json!({ "topic": name, "deleted": false, "exists": exists });
                if !outcomes.failed(&error, object) {
                    break;
                }
            }
        }
    }
    outcomes.finish()
}
