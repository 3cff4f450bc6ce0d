//! `klamm topic describe`.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use klamm_client::metadata::{Cluster, Partition, Topic};
use klamm_client::{
    Admin, AdminError, ConfigEntry, ConfigResource, ConfigSource, DescribedTopic, PartitionName,
};
use klamm_model::{BrokerId, ErrorCode};
use serde_json::{Value, json};

use super::durability::Durability;
use super::{leader_size, led_partitions, replication_factor, topic_size};
use crate::args::{Format, TopicDescribeArgs};
use crate::disks::Disks;
use crate::failure::{Told, tell};
use crate::offsets::{Span, spans};
use crate::output::{listed, or_nothing, print_json, print_line, print_table, size_text};
use crate::{remote, select};

pub(super) async fn run(args: &TopicDescribeArgs) -> Result<()> {
    let admin = remote::administer(&args.remote).await?;
    let names = select::topics(&admin, &args.select).await?;
    let known = Known::ask(&admin, &names).await?;
    let mut has_failed = false;
    let mut described = Vec::new();
    for name in names {
        match known.cluster.topics.get_key_value(&*name) {
            Some((name, topic)) if topic.error == ErrorCode::None => {
                let configs = configs_of(&admin, name).await?;
                described.push(Described { name, topic, configs, known: &known });
            }
            answer => {
                has_failed = true;
                match answer.map(|(_, topic)| topic.error) {
                    Some(ErrorCode::UnknownTopicOrPartition) => tell(&format!("there is no topic {name:?}")),
                    Some(code) => tell(&format!("{name}: the broker answered {code}")),
                    None => tell(&format!("{name}: the broker did not answer")),
                }
            }
        }
    }
    if args.remote.format == Format::Json {
        print_json(&described.iter().map(|topic| topic.json(args.problems)).collect())?;
    } else {
        for (place, topic) in described.iter().enumerate() {
            if place > 0 {
                print_line("")?;
            }
            topic.print(args.problems)?;
        }
    }
    if has_failed { Err(Told.into()) } else { Ok(()) }
}

/// What is known of all topics that were asked for.
struct Known {
    cluster: Cluster,
    spans: BTreeMap<PartitionName, Span>,
    disks: Disks,
    /// What only newer brokers tell.
    eligible: BTreeMap<Arc<str>, DescribedTopic>,
}

impl Known {
    async fn ask(admin: &Admin, names: &[String]) -> Result<Self> {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let cluster = admin.describe(&names).await?;
        let spans = spans(admin, led_partitions(cluster.topics.iter())).await?;
        let disks = Disks::ask(admin, cluster.brokers.keys().copied()).await;
        let eligible = match admin.describe_topic_partitions(&names).await {
            Ok(eligible) => eligible,
            Err(error) if error.is_unsupported() => BTreeMap::new(),
            Err(error) => return Err(error.into()),
        };
        Ok(Self { cluster, spans, disks, eligible })
    }
}

/// A topic's settings; `None` if the broker does not tell any.
async fn configs_of(admin: &Admin, topic: &str) -> Result<Option<Vec<ConfigEntry>>, AdminError> {
    match admin.describe_configs(&ConfigResource::Topic(topic.to_owned()), None, false).await {
        Ok(configs) => Ok(Some(configs)),
        Err(error) if error.is_unsupported() => Ok(None),
        Err(error) => Err(error),
    }
}

struct Described<'a> {
    name: &'a Arc<str>,
    topic: &'a Topic,
    configs: Option<Vec<ConfigEntry>>,
    known: &'a Known,
}

impl Described<'_> {
    fn print(&self, only_problems: bool) -> Result<()> {
        let durability = Durability::of(self.configs.as_deref());
        let configs = self.own_configs().map(|configs| {
            let configs: Vec<_> = configs.map(|(name, value)| format!("{name}={value}")).collect();
            if configs.is_empty() { "as the broker is set up".to_owned() } else { configs.join(" ") }
        });
        print_line(&format!("topic        {}", self.name))?;
        print_line(&format!("id           {}", self.topic.id))?;
        print_line(&format!("partitions   {}", self.topic.partitions.len()))?;
        print_line(&format!("replication  {}", replication_factor(self.topic)))?;
        print_line(&format!("records      {}", or_nothing(self.records())))?;
        print_line(&format!("size         {}", or_nothing(self.size().map(size_text))))?;
        print_line(&format!("settings     {}", configs.unwrap_or_else(|| "not told".to_owned())))?;
        print_line(&format!("durability   {}", durability.sentence))?;
        print_line("")?;
        let rows: Vec<_> = self
            .partitions(only_problems)
            .map(|(number, partition)| {
                let span = self.span(number);
                vec![
                    number.to_string(),
                    partition.leader.map_or_else(|| "none".to_owned(), |leader| leader.to_string()),
                    partition.leader_epoch.to_string(),
                    listed(&partition.replicas),
                    listed(&partition.in_sync),
                    listed(&partition.offline),
                    or_nothing(span.map(|span| span.start)),
                    or_nothing(span.map(|span| span.end)),
                    or_nothing(self.partition_size(number).map(size_text)),
                ]
            })
            .collect();
        const HEADS: [&str; 9] =
            ["PARTITION", "LEADER", "EPOCH", "REPLICAS", "IN SYNC", "OFFLINE", "START", "END", "SIZE"];
        Ok(print_table(&HEADS, &rows)?)
    }

    fn json(&self, only_problems: bool) -> Value {
        let durability = Durability::of(self.configs.as_deref());
        let configs = self.own_configs().map(|configs| {
            configs
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect::<serde_json::Map<_, Value>>()
        });
        let eligible = self.known.eligible.get(self.name);
        let partitions = self.partitions(only_problems).map(|(number, partition)| {
            let span = self.span(number);
            let eligible = eligible.and_then(|topic| topic.partitions.get(&i32::try_from(number).ok()?));
            json!({
                "partition": number,
                "leader": partition.leader.map(|leader| leader.0),
                "leader_epoch": partition.leader_epoch,
                "replicas": numbers(&partition.replicas),
                "in_sync": numbers(&partition.in_sync),
                "offline": numbers(&partition.offline),
                "eligible_leaders": eligible.map(|it| numbers(&it.eligible_leaders)),
                "last_known_eligible": eligible.map(|it| numbers(&it.last_known_eligible)),
                "start": span.map(|span| span.start.raw()),
                "end": span.map(|span| span.end.raw()),
                "size_bytes": self.partition_size(number),
            })
        });
        json!({
            "topic": &**self.name,
            "id": self.topic.id.to_string(),
            "internal": self.topic.is_internal,
            "replication_factor": replication_factor(self.topic),
            "records": self.records(),
            "size_bytes": self.size(),
            "configs": configs,
            "durability": durability.sentence,
            "acks_all_waits_for_sync": durability.waits_for_sync,
            "flush.messages": durability.flush_messages,
            "flush.ms": durability.flush_ms,
            "partitions": partitions.collect::<Vec<_>>(),
        })
    }

    fn partitions(&self, only_problems: bool) -> impl Iterator<Item = (usize, &Partition)> {
        let all = self.topic.partitions.iter().enumerate();
        all.filter(move |(_, partition)| !only_problems || has_problem(partition))
    }

    /// The settings that somebody gave the topic.
    fn own_configs(&self) -> Option<impl Iterator<Item = (&str, &str)>> {
        let configs = self.configs.as_ref()?.iter();
        let own = configs.filter(|config| config.source == ConfigSource::Topic);
        Some(own.map(|config| (&*config.name, config.value.as_deref().unwrap_or_default())))
    }

    fn span(&self, number: usize) -> Option<Span> {
        self.known.spans.get(&PartitionName::new(self.name.clone(), i32::try_from(number).ok()?)).copied()
    }

    fn records(&self) -> Option<u64> {
        (0..self.topic.partitions.len()).map(|number| self.span(number).map(Span::count)).sum()
    }

    fn size(&self) -> Option<u64> {
        topic_size(&self.known.disks, self.name, self.topic)
    }

    fn partition_size(&self, number: usize) -> Option<u64> {
        leader_size(&self.known.disks, self.name, self.topic, number)
    }
}

fn has_problem(partition: &Partition) -> bool {
    partition.leader.is_none() || partition.in_sync.len() < partition.replicas.len()
}

fn numbers(brokers: &[BrokerId]) -> Vec<i32> {
    brokers.iter().map(|broker| broker.0).collect()
}
