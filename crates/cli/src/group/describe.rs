//! `klamm group describe`.

use std::collections::BTreeMap;

use anyhow::Result;
use klamm_client::{Admin, Client, CommittedOffset, GroupDescription, GroupMember, PartitionName};
use serde_json::{Value, json};

use super::lag::{Lag, lags};
use super::or_dash;
use crate::args::{Format, GroupDescribeArgs};
use crate::failure::{Told, tell};
use crate::output::{counted, or_nothing, print_json, print_line, print_table};
use crate::remote::{self, Settings};
use crate::time::span_text;

pub(super) async fn run(args: &GroupDescribeArgs) -> Result<()> {
    let settings = remote::settings(&args.remote)?;
    let client = remote::connect(&settings, false).await?;
    let admin = Admin::new(&client).with_timeout(settings.timeout());
    let names: Vec<&str> = args.groups.iter().map(String::as_str).collect();
    let mut has_failed = false;
    let mut described = Vec::new();
    for (name, group) in admin.describe_groups(&names).await? {
        match group {
            Ok(group) => described.push(Described::ask(&client, &admin, &settings, name, group).await?),
            Err(error) => {
                has_failed = true;
                tell(&error);
            }
        }
    }
    if args.remote.format == Format::Json {
        print_json(&described.iter().map(Described::json).collect())?;
    } else {
        for (place, group) in described.iter().enumerate() {
            if place > 0 {
                print_line("")?;
            }
            group.print()?;
        }
    }
    if has_failed { Err(Told.into()) } else { Ok(()) }
}

struct Described {
    name: String,
    group: GroupDescription,
    lags: BTreeMap<PartitionName, Lag>,
}

impl Described {
    async fn ask(
        client: &Client,
        admin: &Admin,
        settings: &Settings,
        name: String,
        group: GroupDescription,
    ) -> Result<Self> {
        let assigned = group.members.iter().filter_map(|member| member.assignment.as_ref()).flatten();
        let mut committed: BTreeMap<PartitionName, Option<CommittedOffset>> =
            assigned.map(|partition| (partition.clone(), None)).collect();
        for (partition, offset) in admin.group_offsets(&name, None).await? {
            committed.insert(partition, offset?);
        }
        let lags = lags(client, admin, settings.consumer()?, &name, committed, settings.timeout()).await?;
        Ok(Self { name, group, lags })
    }

    fn print(&self) -> Result<()> {
        let GroupDescription { protocol_type, protocol, state, coordinator, members } = &self.group;
        let protocol = protocol.as_ref().map(|protocol| format!(" ({protocol})")).unwrap_or_default();
        let behind = self.behind_ms().map(|ms| format!(", {} behind", span_text(ms))).unwrap_or_default();
        let lag = self.lag().map(|lag| format!("{}{behind}", counted(lag, "record", "records")));
        print_line(&format!("group        {}", self.name))?;
        print_line(&format!("state        {}", state.name()))?;
        print_line(&format!("protocol     {}{protocol}", or_dash(protocol_type)))?;
        print_line(&format!("coordinator  {coordinator}"))?;
        print_line(&format!("members      {}", members.len()))?;
        print_line(&format!("lag          {}", or_nothing(lag)))?;
        if !members.is_empty() {
            print_line("")?;
            let rows: Vec<_> = members.iter().map(member_row).collect();
            print_table(&["MEMBER", "INSTANCE", "CLIENT", "HOST", "PARTITIONS"], &rows)?;
        }
        if !self.lags.is_empty() {
            print_line("")?;
            let rows: Vec<_> = self.lags.iter().map(|(name, lag)| self.partition_row(name, lag)).collect();
            const HEADS: [&str; 9] = [
                "TOPIC",
                "PARTITION",
                "COMMITTED",
                "END",
                "LAG",
                "BEHIND",
                "STUCK SINCE",
                "MEMBER",
                "CLIENT",
            ];
            print_table(&HEADS, &rows)?;
        }
        Ok(())
    }

    fn partition_row(&self, name: &PartitionName, lag: &Lag) -> Vec<String> {
        let owner = self.owner(name);
        vec![
            name.topic.to_string(),
            name.partition.to_string(),
            or_nothing(lag.committed.as_ref().map(|committed| committed.offset)),
            or_nothing(lag.end),
            or_nothing(lag.count()),
            or_nothing(lag.behind_ms.map(span_text)),
            lag.standstill.text(),
            or_nothing(owner.map(|owner| &owner.id)),
            or_nothing(owner.map(|owner| &owner.client_id)),
        ]
    }

    fn json(&self) -> Value {
        let members = self.group.members.iter().map(|member| {
            let partitions = member.assignment.as_ref().map(|all| {
                let partition =
                    |it: &PartitionName| json!({ "topic": &*it.topic, "partition": it.partition });
                all.iter().map(partition).collect::<Vec<_>>()
            });
            json!({
                "member": member.id,
                "instance": member.instance_id,
                "client": member.client_id,
                "host": member.host,
                "topics": member.topics,
                "partitions": partitions,
            })
        });
        let partitions = self.lags.iter().map(|(name, lag)| {
            let owner = self.owner(name);
            json!({
                "topic": &*name.topic,
                "partition": name.partition,
                "committed": lag.committed.as_ref().map(|committed| committed.offset.raw()),
                "metadata": lag.committed.as_ref().map(|committed| &committed.metadata),
                "end": lag.end.map(|end| end.raw()),
                "lag": lag.count(),
                "behind_ms": lag.behind_ms,
                "stuck": lag.standstill.word(),
                "stuck_since_ms": lag.standstill.since_ms(),
                "member": owner.map(|owner| &owner.id),
                "client": owner.map(|owner| &owner.client_id),
            })
        });
        json!({
            "group": self.name,
            "state": self.group.state.name(),
            "protocol_type": self.group.protocol_type,
            "protocol": self.group.protocol,
            "coordinator": self.group.coordinator.0,
            "lag": self.lag(),
            "behind_ms": self.behind_ms(),
            "members": members.collect::<Vec<_>>(),
            "partitions": partitions.collect::<Vec<_>>(),
        })
    }

    /// Of all partitions for which it is known; `None` if it is of none. A log that is too short makes up for nothing that is to be read of others.
    fn lag(&self) -> Option<u64> {
        let open = |lag: &Lag| lag.count().map(|count| u64::try_from(count).unwrap_or(0));
        self.lags.values().filter_map(open).reduce(u64::saturating_add)
    }

    /// Of the partition that is the furthest behind.
    fn behind_ms(&self) -> Option<i64> {
        self.lags.values().filter_map(|lag| lag.behind_ms).max()
    }

    fn owner(&self, name: &PartitionName) -> Option<&GroupMember> {
        let owns = |member: &&GroupMember| member.assignment.as_ref().is_some_and(|all| all.contains(name));
        self.group.members.iter().find(owns)
    }
}

fn member_row(member: &GroupMember) -> Vec<String> {
    vec![
        member.id.clone(),
        or_nothing(member.instance_id.as_ref()),
        or_dash(&member.client_id),
        or_dash(&member.host),
        or_nothing(member.assignment.as_ref().map(|all| all.len())),
    ]
}
