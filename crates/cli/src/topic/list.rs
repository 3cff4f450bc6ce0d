//! `klamm topic list`.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use klamm_client::{Admin, PartitionName, metadata::Topic};
use serde_json::{Value, json};

use super::{led_partitions, replication_factor, topic_size};
use crate::args::{Format, TopicListArgs};
use crate::disks::Disks;
use crate::offsets::{Span, spans};
use crate::output::{or_nothing, print_json, print_table, size_text};
use crate::{remote, select};

pub(super) async fn run(args: &TopicListArgs) -> Result<()> {
    let patterns = select::patterns(&args.patterns)?;
    let admin = remote::administer(&args.remote).await?;
    let mut topics = admin.list_topics().await?;
    topics.retain(|name, topic| {
        let is_wanted = patterns.is_empty() || patterns.iter().any(|pattern| pattern.is_match(name));
        is_wanted && (args.internal || !topic.is_internal)
    });
    let amounts = if args.long { Some(Amounts::ask(&admin, &topics).await?) } else { None };
    if args.remote.format == Format::Json {
        let rows = topics.iter().map(|(name, topic)| topic_json(name, topic, amounts.as_ref()));
        return Ok(print_json(&rows.collect())?);
    }
    let rows: Vec<_> = topics
        .iter()
        .map(|(name, topic)| {
            let mut row = vec![
                name.to_string(),
                topic.partitions.len().to_string(),
                replication_factor(topic).to_string(),
            ];
            if let Some(amounts) = &amounts {
                row.push(or_nothing(amounts.records(name, topic)));
                row.push(or_nothing(topic_size(&amounts.disks, name, topic).map(size_text)));
            }
            row
        })
        .collect();
    let heads: &[&str] = if args.long {
        &["TOPIC", "PARTITIONS", "REPLICATION", "RECORDS", "SIZE"]
    } else {
        &["TOPIC", "PARTITIONS", "REPLICATION"]
    };
    Ok(print_table(heads, &rows)?)
}

/// How much there is.
struct Amounts {
    spans: BTreeMap<PartitionName, Span>,
    disks: Disks,
}

impl Amounts {
    async fn ask(admin: &Admin, topics: &BTreeMap<Arc<str>, Topic>) -> Result<Self> {
        let spans = spans(admin, led_partitions(topics.iter())).await?;
        let brokers = admin.describe(&[]).await?.brokers;
        Ok(Self { spans, disks: Disks::ask(admin, brokers.into_keys()).await })
    }

    /// `None` if a partition's leader does not tell.
    fn records(&self, name: &Arc<str>, topic: &Topic) -> Option<u64> {
        let numbers = 0..i32::try_from(topic.partitions.len()).ok()?;
        numbers.map(|number| Some(self.spans.get(&PartitionName::new(name.clone(), number))?.count())).sum()
    }
}

fn topic_json(name: &Arc<str>, topic: &Topic, amounts: Option<&Amounts>) -> Value {
    let mut object = json!({
        "topic": &**name,
        "id": topic.id.to_string(),
        "partitions": topic.partitions.len(),
        "replication_factor": replication_factor(topic),
        "internal": topic.is_internal,
    });
    if let Some(amounts) = amounts {
        object["records"] = amounts.records(name, topic).into();
        object["size_bytes"] = topic_size(&amounts.disks, name, topic).into();
    }
    object
}
