//! `klamm cluster drain` and `klamm cluster unregister`: a broker that is to go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Result, bail};
use klamm_client::metadata::{Partition, Topic};
use klamm_client::{Admin, ClusterDescription, Election, PartitionName};
use klamm_model::{BrokerId, ErrorCode};
use serde_json::json;

use super::{numbers, placement};
use crate::args::{ClusterDrainArgs, ClusterUnregisterArgs, Format};
use crate::outcome::Outcomes;
use crate::output::{listed, print_line};
use crate::remote;

/// So many partitions are on their way at once: each copy takes from what the brokers have for their clients.
const MOVES_MAX: usize = 100;

pub(super) async fn drain(args: &ClusterDrainArgs) -> Result<()> {
    let admin = remote::administer(&args.remote).await?;
    let broker = BrokerId(args.broker);
    let mut outcomes = Outcomes::new(args.remote.format);
    let mut tried = BTreeSet::new();
    loop {
        let placement = Placement::ask(&admin).await?;
        if !placement.brokers.contains_key(&broker) {
            bail!("there is no broker {broker}");
        }
        let plan = if args.leaders { placement.others_lead(broker) } else { placement.without(broker) };
        // What could not be done is not tried again, and partitions that are made meanwhile are seen in the next round.
        let untried = plan.into_iter().filter(|(partition, _)| !tried.contains(partition));
        let max = if args.dry_run { usize::MAX } else { MOVES_MAX };
        let next: Vec<_> = untried.take(max).collect();
        if next.is_empty() {
            break;
        }
        tried.extend(next.iter().map(|(partition, _)| partition.clone()));
        carry_out(&admin, args, next, &mut outcomes).await?;
        if args.dry_run {
            break;
        }
    }
    let ended = outcomes.finish();
    if ended.is_ok() && !args.dry_run && args.remote.format == Format::Table {
        let what = if args.leaders { "leads" } else { "holds" };
        print_line(&format!("broker {broker} {what} nothing any more"))?;
    }
    ended
}

/// Moves partitions, and waits until they are where they are to be.
async fn carry_out(
    admin: &Admin,
    args: &ClusterDrainArgs,
    plan: Goals,
    outcomes: &mut Outcomes,
) -> Result<()> {
    let mut goals = BTreeMap::new();
    for (partition, goal) in plan {
        let Some(goal) = goal else {
            let what = if args.leaders {
                "no other replica is in sync"
            } else {
                "no other broker is there to hold it"
            };
            outcomes.refused(&format!("{partition}: {what}"), object(&partition, None, args.dry_run));
            continue;
        };
        if args.dry_run {
            outcomes.done(
                &format!("{partition} would move to {}", listed(&goal)),
                object(&partition, Some(&goal), true),
            )?;
        } else {
            goals.insert(partition, goal);
        }
    }
    let moves = goals.iter().map(|(partition, goal)| (partition.clone(), Some(goal.clone()))).collect();
    let mut begun = Vec::new();
    for (partition, answer) in admin.reassign(&moves).await? {
        match answer {
            Ok(()) => begun.push(partition),
            Err(error) => {
                _ = outcomes
                    .failed(&error, object(&partition, goals.get(&partition).map(Vec::as_slice), false))
            }
        }
    }
    if begun.is_empty() {
        return Ok(());
    }
    placement::wait(admin, &begun).await?;
    let elected = match args.leaders {
        true => admin.elect_leaders(Election::Preferred, Some(&begun)).await?,
        false => BTreeMap::new(),
    };
    for partition in begun {
        let goal = goals.get(&partition).map_or(&[][..], Vec::as_slice);
        let done = object(&partition, Some(goal), false);
        match elected.get(&partition) {
            Some(Err(error)) if error.code() != Some(ErrorCode::ElectionNotNeeded) => {
                outcomes.failed(error, done);
            }
            _ => outcomes.done(&format!("{partition} is on {}", listed(goal)), done)?,
        }
    }
    Ok(())
}

fn object(partition: &PartitionName, to: Option<&[BrokerId]>, dry_run: bool) -> serde_json::Value {
    json!({
        "topic": &*partition.topic,
        "partition": partition.partition,
        "to": to.map(numbers),
        "dry_run": dry_run,
    })
}

pub(super) async fn unregister(args: &ClusterUnregisterArgs) -> Result<()> {
    let admin = remote::administer(&args.remote).await?;
    let broker = BrokerId(args.broker);
    let cluster = admin.describe_cluster().await?;
    if cluster.brokers.get(&broker).is_some_and(|it| !it.is_fenced) && !args.force {
        bail!(
            "broker {broker} is in service: stop it first, or it registers again (--force does it nevertheless)"
        );
    }
    let topics = admin.list_topics().await?;
    let partitions = topics.values().flat_map(|topic| &topic.partitions);
    let held = partitions.filter(|it| it.replicas.contains(&broker)).count();
    let mut outcomes = Outcomes::new(args.remote.format);
    let object = json!({ "broker": broker.0, "replicas": held });
    match admin.unregister_broker(broker).await {
        Ok(()) => {
            let still = if held == 0 {
                String::new()
            } else {
                format!("; {held} partitions still name it as a replica")
            };
            outcomes.done(&format!("broker {broker} is unregistered{still}"), object)?;
        }
        Err(error) => _ = outcomes.failed(&error, object),
    }
    outcomes.finish()
}

/// Which broker holds what.
struct Placement {
    brokers: BTreeMap<BrokerId, BrokerPlace>,
    topics: BTreeMap<Arc<str>, Topic>,
    /// Replicas that are on their way to be removed.
    removing: BTreeMap<PartitionName, Vec<BrokerId>>,
}

struct BrokerPlace {
    rack: Option<String>,
    is_there: bool,
}

/// Where a partition goes; `None`: it cannot.
type Goals = Vec<(PartitionName, Option<Vec<BrokerId>>)>;

impl Placement {
    async fn ask(admin: &Admin) -> Result<Self> {
        let ClusterDescription { brokers, .. } = admin.describe_cluster().await?;
        let place = |rack, is_fenced: bool| BrokerPlace { rack, is_there: !is_fenced };
        let brokers = brokers.into_iter().map(|(id, it)| (id, place(it.rack, it.is_fenced))).collect();
        let topics = admin.list_topics().await?;
        let moves = admin.list_reassignments(None).await?;
        let removing = moves.into_iter().map(|(partition, it)| (partition, it.removing)).collect();
        Ok(Self { brokers, topics, removing })
    }

    /// All partitions, with the replicas that they have in the end.
    fn partitions(&self) -> impl Iterator<Item = (PartitionName, &Partition, Vec<BrokerId>)> {
        self.topics.iter().flat_map(move |(name, topic)| {
            topic.partitions.iter().zip(0..).map(move |(partition, number)| {
                let name = PartitionName::new(name.clone(), number);
                let removing = self.removing.get(&name).map_or(&[][..], Vec::as_slice);
                let stays = partition.replicas.iter().copied().filter(|id| !removing.contains(id)).collect();
                (name, partition, stays)
            })
        })
    }

    /// Another broker in its place, wherever it has a replica: of a rack that has none where there is one, and with the fewest replicas.
    fn without(&self, broker: BrokerId) -> Goals {
        let mut counts: BTreeMap<BrokerId, usize> = BTreeMap::new();
        for (_, _, replicas) in self.partitions() {
            replicas.iter().for_each(|id| *counts.entry(*id).or_default() += 1);
        }
        let rack = |id: BrokerId| self.brokers.get(&id).and_then(|it| it.rack.as_ref());
        let mut goals = Goals::new();
        for (name, _, replicas) in self.partitions().filter(|it| it.2.contains(&broker)) {
            let is_used = |id: BrokerId| {
                rack(id).is_some()
                    && replicas.iter().any(|other| *other != broker && rack(*other) == rack(id))
            };
            let there = self.brokers.iter().filter(|(_, it)| it.is_there).map(|(id, _)| *id);
            let free = there.filter(|id| *id != broker && !replicas.contains(id));
            let next = free.min_by_key(|id| (is_used(*id), counts.get(id).copied().unwrap_or(0), *id));
            next.iter().for_each(|id| *counts.entry(*id).or_default() += 1);
            let instead = |next| replicas.iter().map(|id| if *id == broker { next } else { *id }).collect();
            goals.push((name, next.map(instead)));
        }
        goals
    }

    /// The same replicas with it as the last, and one that is in sync as the first, wherever it leads: whoever is preferred the least often.
    fn others_lead(&self, broker: BrokerId) -> Goals {
        let mut counts: BTreeMap<BrokerId, usize> = BTreeMap::new();
        for first in self.partitions().filter_map(|(_, _, replicas)| replicas.first().copied()) {
            *counts.entry(first).or_default() += 1;
        }
        let mut goals = Goals::new();
        let is_its = |partition: &Partition, replicas: &[BrokerId]| {
            partition.leader == Some(broker) || replicas.first() == Some(&broker) && 1 < replicas.len()
        };
        for (name, partition, replicas) in self.partitions().filter(|it| is_its(it.1, &it.2)) {
            let others: Vec<_> = replicas.iter().copied().filter(|id| *id != broker).collect();
            let is_there = |id: &BrokerId| self.brokers.get(id).is_some_and(|it| it.is_there);
            let able = others.iter().filter(|id| partition.in_sync.contains(id) && is_there(id));
            let first = able.min_by_key(|id| counts.get(id).copied().unwrap_or(0)).copied();
            first.iter().for_each(|id| *counts.entry(*id).or_default() += 1);
            let order = |first| {
                let rest = others.iter().copied().filter(move |id| *id != first);
                std::iter::once(first).chain(rest).chain([broker]).collect()
            };
            goals.push((name, first.map(order)));
        }
        goals
    }
}

#[cfg(test)]
mod tests {
    use klamm_model::TopicId;

    use super::*;

    /// `<replicas>/<in sync>` of each partition of a topic, the first in sync leads; brokers 1 to 4, two of them in each rack, and 5 that is not there.
    fn placement(partitions: &[&str]) -> Placement {
        let ids = |text: &str| text.split(',').map(|it| BrokerId(it.parse().expect("a number"))).collect();
        let partition = |text: &&str| {
            let (replicas, in_sync) = text.split_once('/').expect("replicas/in sync");
            let in_sync: Vec<_> = ids(in_sync);
            Partition {
                leader: in_sync.first().copied(),
                replicas: ids(replicas),
                in_sync,
                ..Partition::default()
            }
        };
        let topic = Topic {
            id: TopicId::ZERO,
            error: ErrorCode::None,
            is_internal: false,
            partitions: partitions.iter().map(partition).collect(),
        };
        let broker = |id: i32| {
            let rack = Some(if id % 2 == 0 { "even" } else { "odd" }.to_owned());
            (BrokerId(id), BrokerPlace { rack, is_there: id != 5 })
        };
        Placement {
            brokers: (1..=5).map(broker).collect(),
            topics: [("t".into(), topic)].into(),
            removing: BTreeMap::new(),
        }
    }

    fn told(goals: Goals) -> Vec<String> {
        let goal = |goal: Option<Vec<BrokerId>>| goal.map_or("nowhere".to_owned(), |it| listed(&it));
        goals.into_iter().map(|(name, to)| format!("{name} {}", goal(to))).collect()
    }

    #[test]
    fn each_replica_goes_to_another_rack_than_the_others_and_where_the_fewest_are() {
        let placement = placement(&["1,2/1,2", "2,1/2", "3,4/3,4", "1/1", "4,3,1,2/1"]);
        let goals = told(placement.without(BrokerId(1)));
        assert_eq!(goals, ["t-0 3,2", "t-1 2,3", "t-3 4", "t-4 nowhere"]);
    }

    #[test]
    fn what_is_on_its_way_away_is_not_moved_again() {
        let mut placement = placement(&["2,1/1,2"]);
        placement.removing = [(PartitionName::new("t", 0), vec![BrokerId(1)])].into();
        assert!(told(placement.without(BrokerId(1))).is_empty());
    }

    #[test]
    fn others_lead_that_are_in_sync() {
        let placement = placement(&["1,2,3/1,2,3", "1,3/3", "1,2,3/1,2,3", "2,1/1", "1,2/1", "5,1/1", "1/1"]);
        let goals = told(placement.others_lead(BrokerId(1)));
        let expected =
            ["t-0 3,2,1", "t-1 3,1", "t-2 2,3,1", "t-3 nowhere", "t-4 nowhere", "t-5 nowhere", "t-6 nowhere"];
        assert_eq!(goals, expected);
    }
}
