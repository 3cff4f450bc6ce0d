//! `klamm cluster quorum`.

use anyhow::{Context as _, Result};
use klamm_client::{Quorum, QuorumReplica};
use klamm_model::{BrokerId, Timestamp};
use serde_json::{Value, json};

use crate::args::{ClusterQuorumArgs, Format, QuorumChange, QuorumChangeArgs};
use crate::outcome::Outcomes;
use crate::output::{or_nothing, print_json, print_line, print_table};
use crate::{remote, time};

pub(super) async fn run(args: &ClusterQuorumArgs) -> Result<()> {
    match &args.change {
        None => show(args).await,
        Some(QuorumChange::Add(args)) => change(args, true).await,
        Some(QuorumChange::Remove(args)) => change(args, false).await,
    }
}

/// Has a node vote, or vote no more. Without a directory id it is the one that the quorum knows the node by.
async fn change(args: &QuorumChangeArgs, votes: bool) -> Result<()> {
    let admin = remote::administer(&args.remote).await?;
    let node = BrokerId(args.node);
    let quorum = admin.describe_quorum().await?;
    let known = replicas(&quorum).find(|(_, it)| it.node == node).and_then(|(_, it)| it.directory);
    let directory = args.directory.or(known);
    let directory = directory.with_context(|| {
        format!("node {node} has not joined the cluster: it is started with --join first")
    })?;
    let done = if votes {
        let listeners = quorum.listeners.get(&node).map_or(&[][..], |it| &it[..]);
        admin.add_raft_voter(node, directory, listeners).await
    } else {
        admin.remove_raft_voter(node, directory).await
    };
    let object = json!({ "node": node.0, "directory": directory.to_string(), "voter": votes });
    let mut outcomes = Outcomes::new(args.remote.format);
    match done {
        Ok(()) => {
            let now = if votes { "votes now" } else { "votes no more" };
            outcomes.done(&format!("node {node} {now}"), object)?;
        }
        Err(error) => {
            outcomes.failed(&error, object);
        }
    }
    outcomes.finish()
}

async fn show(args: &ClusterQuorumArgs) -> Result<()> {
    let admin = remote::administer(&args.remote).await?;
    let quorum = admin.describe_quorum().await?;
    match args.remote.format {
        Format::Json => Ok(print_json(&quorum_json(&quorum))?),
        Format::Table => print(&quorum),
    }
}

fn print(quorum: &Quorum) -> Result<()> {
    print_line(&format!("leader          {}", or_nothing(quorum.leader)))?;
    print_line(&format!("epoch           {}", quorum.leader_epoch))?;
    print_line(&format!("high watermark  {}", or_nothing(quorum.high_watermark)))?;
    print_line("")?;
    let now_ms = time::now_ms();
    let rows: Vec<_> = replicas(quorum)
        .map(|(role, replica)| {
            vec![
                replica.node.to_string(),
                role.to_owned(),
                or_nothing(replica.log_end),
                or_nothing(lag(quorum, replica)),
                ago(now_ms, replica.last_fetch),
                ago(now_ms, replica.last_caught_up),
            ]
        })
        .collect();
    Ok(print_table(&["NODE", "ROLE", "END", "LAG", "HEARD", "CAUGHT UP"], &rows)?)
}

fn replicas(quorum: &Quorum) -> impl Iterator<Item = (&'static str, &QuorumReplica)> {
    let role = |replica: &QuorumReplica| if Some(replica.node) == quorum.leader { "leader" } else { "voter" };
    let voters = quorum.voters.iter().map(move |replica| (role(replica), replica));
    voters.chain(quorum.observers.iter().map(|replica| ("observer", replica)))
}

/// Entries behind the leader.
fn lag(quorum: &Quorum, replica: &QuorumReplica) -> Option<u64> {
    let leader = quorum.voters.iter().find(|voter| Some(voter.node) == quorum.leader)?;
    Some(leader.log_end?.since(replica.log_end?))
}

fn ago(now_ms: i64, then: Option<Timestamp>) -> String {
    or_nothing(then.map(|then| format!("{} ms ago", now_ms.saturating_sub(then.0).max(0))))
}

fn quorum_json(quorum: &Quorum) -> Value {
    let replicas = replicas(quorum).map(|(role, replica)| {
        let listeners = quorum.listeners.get(&replica.node).into_iter().flatten();
        let listeners = listeners
            .map(|(name, host, port)| json!({ "listener": name, "host": host, "port": port }))
            .collect::<Vec<_>>();
        json!({
            "node": replica.node.0,
            "role": role,
            "directory": replica.directory.map(|it| it.to_string()),
            "end": replica.log_end.map(|end| end.raw()),
            "lag": lag(quorum, replica),
            "last_fetch_ms": replica.last_fetch.map(|time| time.0),
            "last_caught_up_ms": replica.last_caught_up.map(|time| time.0),
            "listeners": listeners,
        })
    });
    json!({
        "leader": quorum.leader.map(|leader| leader.0),
        "epoch": quorum.leader_epoch,
        "high_watermark": quorum.high_watermark.map(|mark| mark.raw()),
        "replicas": replicas.collect::<Vec<_>>(),
    })
}
