//! `klamm cluster brokers`: who is there, what each holds and leads, and where.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use klamm_client::metadata::Topic;
use klamm_client::{Admin, AdminError, ApiRange, BrokerDescription, ClusterDescription, LogDir};
use klamm_model::{BrokerId, ErrorCode};
use serde_json::{Value, json};

use crate::args::{ClusterBrokersArgs, Format};
use crate::disks::Disks;
use crate::outcome::error_json;
use crate::output::{UNKNOWN, or_nothing, print_json, print_line, print_table, size_text};
use crate::remote;

pub(super) async fn run(args: &ClusterBrokersArgs) -> Result<()> {
    let admin = remote::administer(&args.remote).await?;
    let cluster = admin.describe_cluster().await?;
    let topics = admin.list_topics().await?;
    let in_service: Vec<_> =
        cluster.brokers.iter().filter(|(_, it)| !it.is_fenced).map(|(id, _)| *id).collect();
    let disks = Disks::ask(&admin, in_service.iter().copied()).await;
    let apis = if args.apis { apis(&admin, &in_service).await? } else { BTreeMap::new() };
    let rows = rows(&cluster, &topics, &disks);
    match args.remote.format {
        Format::Json => {
            let brokers = rows.iter().map(|row| {
                let mut object = row.json();
                if args.apis {
                    object["apis"] = apis.get(&row.id).into_iter().flatten().map(api_json).collect();
                }
                object
            });
            Ok(print_json(&brokers.collect())?)
        }
        Format::Table => {
            print(&rows)?;
            print_directories(&rows)?;
            print_apis(&apis)
        }
    }
}

/// A broker, and what the cluster has put on it.
pub(super) struct BrokerRow<'a> {
    id: BrokerId,
    broker: &'a BrokerDescription,
    leader_count: usize,
    replica_count: usize,
    directories: Option<&'a Result<Vec<LogDir>, AdminError>>,
    /// It was asked what it holds, and has not told.
    is_unknown: bool,
}

pub(super) fn rows<'a>(
    cluster: &'a ClusterDescription,
    topics: &BTreeMap<Arc<str>, Topic>,
    disks: &'a Disks,
) -> Vec<BrokerRow<'a>> {
    let (mut leaders, mut replicas): (BTreeMap<BrokerId, usize>, BTreeMap<BrokerId, usize>) =
        Default::default();
    for partition in topics.values().flat_map(|topic| &topic.partitions) {
        if let Some(leader) = partition.leader {
            *leaders.entry(leader).or_default() += 1;
        }
        for replica in &partition.replicas {
            *replicas.entry(*replica).or_default() += 1;
        }
    }
    let row = |(id, broker): (&BrokerId, &'a BrokerDescription)| BrokerRow {
        id: *id,
        broker,
        leader_count: leaders.get(id).copied().unwrap_or(0),
        replica_count: replicas.get(id).copied().unwrap_or(0),
        directories: disks.of(*id),
        is_unknown: disks.is_unknown(*id),
    };
    cluster.brokers.iter().map(row).collect()
}

impl BrokerRow<'_> {
    fn told(&self) -> Option<&[LogDir]> {
        self.directories?.as_deref().ok()
    }

    /// Bytes of all copies, if the broker tells.
    fn size(&self) -> Option<u64> {
        Some(self.told()?.iter().map(size_of).sum())
    }

    /// Bytes that are free, where every directory's file system is told. Directories may share one: then the figure is that one's.
    fn usable(&self) -> Option<u64> {
        let told = self.told()?.iter().map(|it| Some((it.total_bytes?, it.usable_bytes?)));
        let mut told: Vec<_> = told.collect::<Option<_>>()?;
        told.sort_unstable();
        told.dedup();
        Some(told.iter().map(|(_, usable)| usable).sum())
    }

    fn bytes_text(&self, bytes: Option<u64>) -> String {
        if self.is_unknown { UNKNOWN.to_owned() } else { or_nothing(bytes.map(size_text)) }
    }

    fn state(&self) -> &'static str {
        if self.broker.is_fenced { "fenced" } else { "in service" }
    }

    pub(super) fn json(&self) -> Value {
        let directories = self.told().map(|told| told.iter().map(directory_json).collect::<Vec<_>>());
        let error = self.directories.and_then(|told| told.as_ref().err()).map(error_json);
        json!({
            "broker": self.id.0,
            "host": self.broker.host,
            "port": self.broker.port,
            "rack": self.broker.rack,
            "fenced": self.broker.is_fenced,
            "leaders": self.leader_count,
            "replicas": self.replica_count,
            "size_bytes": self.size(),
            "directories": directories,
            "directories_error": error,
        })
    }
}

fn size_of(directory: &LogDir) -> u64 {
    directory.replicas.values().map(|copy| copy.size_bytes).sum()
}

pub(super) fn print(rows: &[BrokerRow<'_>]) -> Result<()> {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            vec![
                row.id.to_string(),
                format!("{}:{}", row.broker.host, row.broker.port),
                or_nothing(row.broker.rack.as_deref()),
                row.state().to_owned(),
                row.leader_count.to_string(),
                row.replica_count.to_string(),
                row.bytes_text(row.size()),
                row.bytes_text(row.usable()),
            ]
        })
        .collect();
    Ok(print_table(&["BROKER", "ADDRESS", "RACK", "STATE", "LEADERS", "REPLICAS", "DATA", "FREE"], &rows)?)
}

fn print_directories(rows: &[BrokerRow<'_>]) -> Result<()> {
    let mut lines = Vec::new();
    for row in rows {
        if let Some(Err(error)) = row.directories {
            print_line(&format!("\nbroker {}: {error}", row.id))?;
        }
        for directory in row.told().unwrap_or_default() {
            let state = match directory.error {
                ErrorCode::None if directory.is_cordoned => "cordoned".to_owned(),
                ErrorCode::None => "good".to_owned(),
                error => error.to_string(),
            };
            lines.push(vec![
                row.id.to_string(),
                directory.path.clone(),
                state,
                directory.replicas.len().to_string(),
                size_text(size_of(directory)),
                or_nothing(directory.usable_bytes.map(size_text)),
                or_nothing(directory.total_bytes.map(size_text)),
            ]);
        }
    }
    if lines.is_empty() {
        return Ok(());
    }
    print_line("")?;
    Ok(print_table(&["BROKER", "DIRECTORY", "STATE", "REPLICAS", "DATA", "FREE", "TOTAL"], &lines)?)
}

fn directory_json(directory: &LogDir) -> Value {
    json!({
        "path": directory.path,
        "error": (directory.error != ErrorCode::None).then(|| directory.error.name()),
        "cordoned": directory.is_cordoned,
        "replicas": directory.replicas.len(),
        "size_bytes": size_of(directory),
        "usable_bytes": directory.usable_bytes,
        "total_bytes": directory.total_bytes,
    })
}

async fn apis(admin: &Admin, brokers: &[BrokerId]) -> Result<BTreeMap<BrokerId, Vec<ApiRange>>> {
    let mut apis = BTreeMap::new();
    for broker in brokers {
        apis.insert(*broker, admin.api_versions(*broker).await?);
    }
    Ok(apis)
}

fn print_apis(apis: &BTreeMap<BrokerId, Vec<ApiRange>>) -> Result<()> {
    if apis.is_empty() {
        return Ok(());
    }
    print_line("")?;
    let rows = apis.iter().flat_map(|(broker, ranges)| {
        ranges.iter().map(|api| {
            let name = api.name.unwrap_or("unknown").to_owned();
            vec![broker.to_string(), api.key.to_string(), name, api.min.to_string(), api.max.to_string()]
        })
    });
    Ok(print_table(&["BROKER", "KEY", "API", "FROM", "TO"], &rows.collect::<Vec<_>>())?)
}

fn api_json(api: &ApiRange) -> Value {
    json!({ "key": api.key, "name": api.name, "min": api.min, "max": api.max })
}
