//! `klamm topic`.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use klamm_client::{Admin, AdminError, Client, NewTopic, metadata::Topic};
use klamm_model::{BrokerId, ErrorCode};
use serde_json::{Value, json};

use crate::args::{Format, TopicCommand, TopicCreateArgs, TopicDeleteArgs, TopicDescribeArgs, TopicListArgs};
use crate::output::{print_json, print_line, print_table};
use crate::remote;

/// The topic settings that decide when a record is on disk.
const FLUSH_MESSAGES: &str = "flush.messages";
const FLUSH_MS: &str = "flush.ms";
/// What these settings are when the page cache is to be trusted.
const NEVER: &str = "9223372036854775807";

pub(crate) fn run(command: &TopicCommand) -> Result<()> {
    remote::run(async {
        match command {
            TopicCommand::Create(args) => create(args).await,
            TopicCommand::List(args) => list(args).await,
            TopicCommand::Describe(args) => describe(args).await,
            TopicCommand::Delete(args) => delete(args).await,
        }
    })
}

async fn create(args: &TopicCreateArgs) -> Result<()> {
    let client = remote::connect(&args.remote, false).await?;
    let admin = Admin::new(&client);
    let mut made = Vec::new();
    for name in &args.topics {
        let topic = NewTopic {
            name: name.clone(),
            partition_count: args.partitions,
            replication_factor: args.replication_factor,
            configs: args.config.clone(),
        };
        match admin.create_topic(&topic).await {
            Ok(created) => made.push((name, Some(created))),
            Err(AdminError::Refused { code: ErrorCode::TopicAlreadyExists, .. }) if args.if_not_exists => {
                made.push((name, None));
            }
            Err(error) => return Err(error.into()),
        }
    }
    if args.remote.format == Format::Json {
        let made = made.into_iter().map(|(name, created)| match created {
            Some(created) => json!({
                "topic": name,
                "created": true,
                "id": created.id.to_string(),
                "partitions": created.partition_count,
                "replication_factor": created.replication_factor,
            }),
            None => json!({ "topic": name, "created": false }),
        });
        return Ok(print_json(&made.collect())?);
    }
    for (name, created) in made {
        let Some(created) = created else {
            print_line(&format!("topic {name} exists already"))?;
            continue;
        };
        let what = match (created.partition_count, created.replication_factor) {
            (Some(partitions), Some(copies)) => {
                format!(": {partitions} partitions, replication factor {copies}")
            }
            _ => String::new(),
        };
        print_line(&format!("topic {name} created{what}"))?;
    }
    Ok(())
}

async fn list(args: &TopicListArgs) -> Result<()> {
    let client = remote::connect(&args.remote, false).await?;
    let topics = Admin::new(&client).list_topics().await?;
    let shown: Vec<_> = topics.iter().filter(|(_, topic)| args.internal || !topic.is_internal).collect();
    if args.remote.format == Format::Json {
        let topics = shown.into_iter().map(|(name, topic)| {
            json!({
                "topic": &**name,
                "id": topic.id.to_string(),
                "partitions": topic.partitions.len(),
                "replication_factor": replication_factor(topic),
                "internal": topic.is_internal,
            })
        });
        return Ok(print_json(&topics.collect())?);
    }
    let rows: Vec<_> = shown
        .into_iter()
        .map(|(name, topic)| {
            vec![name.to_string(), topic.partitions.len().to_string(), replication_factor(topic).to_string()]
        })
        .collect();
    Ok(print_table(&["TOPIC", "PARTITIONS", "REPLICATION"], &rows)?)
}

async fn describe(args: &TopicDescribeArgs) -> Result<()> {
    let client = remote::connect(&args.remote, false).await?;
    let names: Vec<&str> = args.topics.iter().map(String::as_str).collect();
    let cluster = Admin::new(&client).describe(&names).await?;
    let mut described = Vec::new();
    for name in names {
        let Some(topic) = cluster.topics.get(name) else { bail!("{name}: the broker did not answer") };
        match topic.error {
            ErrorCode::None => described.push((name, topic, durability(&client, name).await?)),
            ErrorCode::UnknownTopicOrPartition => bail!("there is no topic {name:?}"),
            code => bail!("{name}: the broker answered {code}"),
        }
    }
    if args.remote.format == Format::Json {
        let topics = described.iter().map(|(name, topic, durability)| topic_json(name, topic, durability));
        return Ok(print_json(&topics.collect())?);
    }
    for (place, (name, topic, durability)) in described.iter().enumerate() {
        if place > 0 {
            print_line("")?;
        }
        print_line(&format!("topic        {name}"))?;
        print_line(&format!("id           {}", topic.id))?;
        print_line(&format!("partitions   {}", topic.partitions.len()))?;
        print_line(&format!("replication  {}", replication_factor(topic)))?;
        print_line(&format!("durability   {}", durability.sentence))?;
        print_line("")?;
        let rows: Vec<_> = topic
            .partitions
            .iter()
            .enumerate()
            .map(|(number, partition)| {
                vec![
                    number.to_string(),
                    partition.leader.map_or_else(|| "none".to_owned(), |leader| leader.to_string()),
                    partition.leader_epoch.to_string(),
                    listed(&partition.replicas),
                    listed(&partition.in_sync),
                    listed(&partition.offline),
                ]
            })
            .collect();
        print_table(&["PARTITION", "LEADER", "EPOCH", "REPLICAS", "IN SYNC", "OFFLINE"], &rows)?;
    }
    Ok(())
}

async fn delete(args: &TopicDeleteArgs) -> Result<()> {
    let client = remote::connect(&args.remote, false).await?;
    let admin = Admin::new(&client);
    let mut deleted = Vec::new();
    for name in &args.topics {
        match admin.delete_topic(name).await {
            Ok(()) => deleted.push((name, true)),
            Err(AdminError::Refused { code: ErrorCode::UnknownTopicOrPartition, .. }) if args.if_exists => {
                deleted.push((name, false));
            }
            Err(error) => return Err(error.into()),
        }
    }
    if args.remote.format == Format::Json {
        let deleted = deleted.into_iter().map(|(name, deleted)| json!({ "topic": name, "deleted": deleted }));
        return Ok(print_json(&deleted.collect())?);
    }
    for (name, was_there) in deleted {
        let what = if was_there { "deleted" } else { "does not exist" };
        print_line(&format!("topic {name} {what}"))?;
    }
    Ok(())
}

struct Durability {
    sentence: String,
    flush_messages: Option<String>,
    flush_ms: Option<String>,
}

/// When an acknowledged record is on disk, as the topic's settings say. Only a broker that serves DescribeConfigs tells.
async fn durability(client: &Client, topic: &str) -> Result<Durability> {
    let configs = Admin::new(client).topic_configs(topic, &[FLUSH_MESSAGES, FLUSH_MS]).await?;
    let Some(mut configs) = configs else {
        let sentence = "not told: this broker does not serve DescribeConfigs".to_owned();
        return Ok(Durability { sentence, flush_messages: None, flush_ms: None });
    };
    let sentence = sentence(&configs);
    Ok(Durability {
        sentence,
        flush_messages: configs.remove(FLUSH_MESSAGES),
        flush_ms: configs.remove(FLUSH_MS),
    })
}

fn sentence(configs: &BTreeMap<String, String>) -> String {
    let limit = |name| configs.get(name).map(String::as_str).filter(|value| *value != NEVER);
    match (limit(FLUSH_MESSAGES), limit(FLUSH_MS)) {
        (None, None) => {
            "relaxed: acknowledged from the page cache, the system writes to disk when it likes".to_owned()
        }
        (Some("1" | "0"), _) => "synced: acknowledged when it is on disk".to_owned(),
        (Some(messages), None) => format!("relaxed: on disk after {messages} records at the latest"),
        (None, Some(ms)) => format!("relaxed: on disk after {ms} ms at the latest"),
        (Some(messages), Some(ms)) => {
            format!("relaxed: on disk after {messages} records or {ms} ms at the latest")
        }
    }
}

fn topic_json(name: &str, topic: &Topic, durability: &Durability) -> Value {
    let partitions = topic.partitions.iter().enumerate().map(|(number, partition)| {
        json!({
            "partition": number,
            "leader": partition.leader.map(|leader| leader.0),
            "leader_epoch": partition.leader_epoch,
            "replicas": numbers(&partition.replicas),
            "in_sync": numbers(&partition.in_sync),
            "offline": numbers(&partition.offline),
        })
    });
    json!({
        "topic": name,
        "id": topic.id.to_string(),
        "internal": topic.is_internal,
        "replication_factor": replication_factor(topic),
        "durability": durability.sentence,
        "flush.messages": durability.flush_messages,
        "flush.ms": durability.flush_ms,
        "partitions": partitions.collect::<Vec<_>>(),
    })
}

fn replication_factor(topic: &Topic) -> usize {
    topic.partitions.iter().map(|partition| partition.replicas.len()).max().unwrap_or(0)
}

fn numbers(brokers: &[BrokerId]) -> Vec<i32> {
    brokers.iter().map(|broker| broker.0).collect()
}

fn listed(brokers: &[BrokerId]) -> String {
    match brokers {
        [] => "-".to_owned(),
        brokers => brokers.iter().map(BrokerId::to_string).collect::<Vec<_>>().join(","),
    }
}
