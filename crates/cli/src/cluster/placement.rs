//! `klamm cluster reassign` and `klamm cluster elect`.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use klamm_client::{Admin, AdminError, Election, PartitionName, Reassignment};
use klamm_model::{BrokerId, ErrorCode};
use serde_json::{Value, json};

use super::{numbers, throttle::Throttle};
use crate::args::{ClusterElectArgs, ClusterReassignArgs, Format};
use crate::outcome::Outcomes;
use crate::output::{listed, print_json, print_line, print_table};
use crate::progress::Progress;
use crate::{remote, select};

/// How often is looked whether a move has ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

pub(super) async fn reassign(args: &ClusterReassignArgs) -> Result<()> {
    let admin = remote::administer(&args.remote).await?;
    let partitions = select::partitions(&admin, &args.topics, &args.partitions).await?;
    if args.to.is_empty() && !args.cancel {
        let wanted = (!partitions.is_empty()).then_some(&*partitions);
        return print_moves(&admin.list_reassignments(wanted).await?, args.remote.format);
    }
    let to: Vec<BrokerId> = args.to.iter().copied().map(BrokerId).collect();
    let goal = (!args.cancel).then_some(&to);
    let throttle = match args.throttle {
        Some(rate) => Some(Throttle::begin(&admin, &partitions, &to, rate).await?),
        None => None,
    };
    let moves: BTreeMap<_, _> = partitions.into_iter().map(|partition| (partition, goal.cloned())).collect();
    let answers = admin.reassign(&moves).await;
    if let (Err(_), Some(throttle)) = (&answers, &throttle) {
        // Why there is no move is what the user is to hear.
        let _ = throttle.end(&admin).await;
    }
    let answers = answers?;
    let mut outcomes = Outcomes::new(args.remote.format);
    let mut begun = Vec::new();
    for (partition, answer) in answers {
        let object = json!({
            "topic": &*partition.topic,
            "partition": partition.partition,
            "to": goal.map(|to| numbers(to)),
        });
        match (answer, goal) {
            (Ok(()), Some(to)) => {
                outcomes.done(&format!("{partition} moves to {}", listed(to)), object)?;
                begun.push(partition);
            }
            (Ok(()), None) => outcomes.done(&format!("{partition} stays where it was"), object)?,
            // Taking back what is not on its way changes nothing, and is as it was wanted.
            (Err(error), None) if error.code() == Some(ErrorCode::NoReassignmentInProgress) => {
                outcomes.done(&format!("{partition} is not on its way"), object)?;
            }
            (Err(error), _) => {
                outcomes.failed(&error, object);
            }
        }
    }
    if args.wait {
        wait(&admin, &begun).await?;
    }
    if let Some(throttle) = throttle.filter(|_| args.wait || begun.is_empty()) {
        throttle.end(&admin).await?;
    }
    outcomes.finish()
}

/// Waits until none of the partitions is on its way.
pub(super) async fn wait(admin: &Admin, partitions: &[PartitionName]) -> Result<(), AdminError> {
    let mut progress = Progress::new();
    loop {
        let left = admin.list_reassignments(Some(partitions)).await?.len();
        if left == 0 || partitions.is_empty() {
            return Ok(());
        }
        progress.show(|| format!("{left} of {} partitions on their way", partitions.len()));
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

fn print_moves(moves: &BTreeMap<PartitionName, Reassignment>, format: Format) -> Result<()> {
    if format == Format::Json {
        let moves = moves.iter().map(|(partition, it)| {
            json!({
                "topic": &*partition.topic,
                "partition": partition.partition,
                "replicas": numbers(&it.replicas),
                "adding": numbers(&it.adding),
                "removing": numbers(&it.removing),
            })
        });
        return Ok(print_json(&moves.collect())?);
    }
    if moves.is_empty() {
        return Ok(print_line("no partition is on its way")?);
    }
    let rows: Vec<_> = moves
        .iter()
        .map(|(partition, it)| {
            vec![
                partition.topic.to_string(),
                partition.partition.to_string(),
                listed(&it.replicas),
                listed(&it.adding),
                listed(&it.removing),
            ]
        })
        .collect();
    Ok(print_table(&["TOPIC", "PARTITION", "REPLICAS", "ADDING", "REMOVING"], &rows)?)
}

pub(super) async fn elect(args: &ClusterElectArgs) -> Result<()> {
    let admin = remote::administer(&args.remote).await?;
    let election = if args.unclean { Election::Unclean } else { Election::Preferred };
    let partitions = match args.topics.as_slice() {
        [] => None,
        topics => Some(select::partitions(&admin, topics, &args.partitions).await?),
    };
    let answers = admin.elect_leaders(election, partitions.as_deref()).await?;
    let is_needless = |answer: &Result<(), AdminError>| {
        answer.as_ref().is_err_and(|error| error.code() == Some(ErrorCode::ElectionNotNeeded))
    };
    let is_quiet = partitions.is_none() && answers.values().all(is_needless);
    let mut outcomes = Outcomes::new(args.remote.format);
    for (partition, answer) in answers {
        match answer {
            Ok(()) => outcomes.done(&format!("{partition}: elected"), elected_json(&partition, true))?,
            Err(error) if error.code() == Some(ErrorCode::ElectionNotNeeded) => {
                // Of all partitions, only those are told of that had another leader.
                if partitions.is_some() {
                    let line = format!("{partition}: the leader is the right one already");
                    outcomes.done(&line, elected_json(&partition, false))?;
                }
            }
            Err(error) => {
                outcomes.failed(&error, elected_json(&partition, false));
            }
        }
    }
    if is_quiet && args.remote.format == Format::Table {
        print_line("every leader is the right one already")?;
    }
    outcomes.finish()
}

fn elected_json(partition: &PartitionName, elected: bool) -> Value {
    json!({ "topic": &*partition.topic, "partition": partition.partition, "elected": elected })
}
