//! `klamm group delete`.

use std::collections::BTreeSet;

use anyhow::Result;
use klamm_client::{Admin, AdminError, PartitionName};
use klamm_model::ErrorCode;
use serde_json::{Value, json};

use crate::args::GroupDeleteArgs;
use crate::outcome::Outcomes;
use crate::remote;

pub(super) async fn run(args: &GroupDeleteArgs) -> Result<()> {
    let admin = remote::administer(&args.remote).await?;
    let groups: BTreeSet<&str> = args.groups.iter().map(String::as_str).collect();
    let groups: Vec<&str> = groups.into_iter().collect();
    let mut outcomes = Outcomes::new(args.remote.format);
    if args.topics.is_empty() {
        delete(&admin, &groups, args.if_exists, &mut outcomes).await?;
    } else {
        delete_offsets(&admin, &groups, args, &mut outcomes).await?;
    }
    outcomes.finish()
}

async fn delete(admin: &Admin, groups: &[&str], if_exists: bool, outcomes: &mut Outcomes) -> Result<()> {
    for (group, outcome) in admin.delete_groups(groups).await? {
        let object = |deleted, exists| json!({ "group": group, "deleted": deleted, "exists": exists });
        match outcome {
            Ok(()) => outcomes.done(&format!("group {group} deleted"), object(true, Some(true)))?,
            Err(error) if if_exists && is_no_group(&error) => {
                outcomes.done(&format!("group {group} does not exist"), object(false, Some(false)))?;
            }
            Err(error) => {
                let exists = error.code().map(|code| code != ErrorCode::GroupIdNotFound);
                outcomes.failed(&error, object(false, exists));
            }
        }
    }
    Ok(())
}

/// What the groups have committed for the topics. A group that there is not has committed nothing, as far as brokers tell: whether there is one is asked first.
async fn delete_offsets(
    admin: &Admin,
    groups: &[&str],
    args: &GroupDeleteArgs,
    outcomes: &mut Outcomes,
) -> Result<()> {
    let topics: BTreeSet<&str> = args.topics.iter().map(String::as_str).collect();
    for (group, described) in admin.describe_groups(groups).await? {
        let objects = topics.iter().map(|topic| object(&group, topic, None, false));
        match described {
            Ok(_) => forget(admin, &group, &topics, args.if_exists, outcomes).await?,
            Err(error) if args.if_exists && is_no_group(&error) => {
                for (topic, object) in topics.iter().zip(objects) {
                    let line = format!("group {group} does not exist, and has committed nothing for {topic}");
                    outcomes.done(&line, object)?;
                }
            }
            Err(error) => outcomes.all_failed(&error, objects),
        }
    }
    Ok(())
}

async fn forget(
    admin: &Admin,
    group: &str,
    topics: &BTreeSet<&str>,
    if_exists: bool,
    outcomes: &mut Outcomes,
) -> Result<()> {
    let committed = admin.group_offsets(group, None).await?;
    let partitions: Vec<_> = committed.into_keys().filter(|name| topics.contains(&*name.topic)).collect();
    let unread = topics.iter().filter(|topic| partitions.iter().all(|name| *name.topic != ***topic));
    let unread: Vec<&str> = unread.copied().collect();
    if !unread.is_empty() {
        nothing_to_forget(admin, group, &unread, if_exists, outcomes).await?;
    }
    if partitions.is_empty() {
        return Ok(());
    }
    for (name, outcome) in admin.delete_group_offsets(group, &partitions).await? {
        let object = |deleted| object(group, &name.topic, Some(&name), deleted);
        match outcome {
            Ok(()) => outcomes.done(&format!("group {group} forgot {name}"), object(true))?,
            Err(error) => _ = outcomes.failed(&error, object(false)),
        }
    }
    Ok(())
}

/// The group has committed nothing for these topics. That is as it should be, unless a name is wrong.
async fn nothing_to_forget(
    admin: &Admin,
    group: &str,
    topics: &[&str],
    if_exists: bool,
    outcomes: &mut Outcomes,
) -> Result<()> {
    let cluster = admin.describe(topics).await?;
    for &topic in topics {
        let object = object(group, topic, None, false);
        let there = cluster.topics.get(topic).map_or(ErrorCode::UnknownTopicOrPartition, |it| it.error);
        match there {
            ErrorCode::None => {
                outcomes.done(&format!("group {group} has committed nothing for {topic}"), object)?;
            }
            ErrorCode::UnknownTopicOrPartition if if_exists => {
                outcomes.done(&format!("topic {topic} does not exist"), object)?;
            }
            code => {
                let error = AdminError::Refused { subject: topic.to_owned(), code, message: None };
                outcomes.failed(&error, object);
            }
        }
    }
    Ok(())
}

fn object(group: &str, topic: &str, partition: Option<&PartitionName>, deleted: bool) -> Value {
    let partition = partition.map(|name| name.partition);
    json!({ "group": group, "topic": topic, "partition": partition, "deleted": deleted })
}

fn is_no_group(error: &AdminError) -> bool {
    error.code() == Some(ErrorCode::GroupIdNotFound)
}
