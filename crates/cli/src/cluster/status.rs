//! `klamm cluster status`: what an operator looks at first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use klamm_client::metadata::{Partition, Topic};
use klamm_client::{Admin, ClusterDescription, Features};
use klamm_model::{BrokerId, ErrorCode};
use serde_json::{Value, json};

use super::brokers::{self, BrokerRow};
use super::numbers;
use crate::args::{ClusterStatusArgs, Format};
use crate::disks::Disks;
use crate::failure::{Told, tell};
use crate::output::{UNKNOWN, listed, or_nothing, print_json, print_line, print_table, size_text};
use crate::remote;

/// How long the controller is looked for: far longer than an election takes. Who comes to this command with a broken cluster is to see it, not to wait.
const CONTROLLER_PATIENCE: Duration = Duration::from_secs(3);

/// Said where there is none.
const NO_CONTROLLER: [&str; 2] = [
    "nobody leads the metadata, as far as the broker hears that was asked: a majority of the controllers is away, or it is cut off from it.",
    "What follows it knew last: brokers that are in service by that may be gone, and leaders with them.",
];

/// Partitions in trouble that are named; more are counted.
const PROBLEMS_SHOWN_MAX: usize = 50;

pub(super) async fn run(args: &ClusterStatusArgs) -> Result<()> {
    let admin = remote::administer(&args.remote).await?;
    let status = Status::ask(&admin).await?;
    match args.remote.format {
        Format::Json => print_json(&status.json())?,
        Format::Table => status.print()?,
    }
    if args.check && !status.is_healthy() {
        tell("the cluster is not healthy");
        return Err(Told.into());
    }
    Ok(())
}

struct Status {
    cluster: ClusterDescription,
    controller: Controller,
    topics: BTreeMap<Arc<str>, Topic>,
    features: Features,
    disks: Disks,
}

/// Who decides on the cluster's metadata.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Controller {
    /// This one does.
    Leads(BrokerId),
    /// The cluster does not tell, as older ones do not.
    Untold,
    /// Nobody does, as far as the brokers hear: what they know is what was so when somebody did.
    Missing,
}

impl Controller {
    fn id(self) -> Option<BrokerId> {
        match self {
            Self::Leads(id) => Some(id),
            Self::Untold | Self::Missing => None,
        }
    }

    /// Kafka names any broker as the controller; the quorum's leader is the one that decides.
    async fn ask(admin: &Admin, named: Option<BrokerId>) -> Self {
        let admin = admin.clone().with_timeout(admin.timeout().min(CONTROLLER_PATIENCE));
        match admin.describe_quorum().await {
            Ok(quorum) => quorum.leader.map_or(Self::Missing, Self::Leads),
            // Not who may not ask, or is not understood: the broker found nobody to answer.
            Err(error)
                if !error.is_unsupported() && error.code().map_or(named.is_none(), is_without_leader) =>
            {
                Self::Missing
            }
            Err(_) => named.map_or(Self::Untold, Self::Leads),
        }
    }
}

/// Whether that is what a question for the controller ends with where there is none.
fn is_without_leader(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::NotController
            | ErrorCode::RequestTimedOut
            | ErrorCode::BrokerNotAvailable
            | ErrorCode::LeaderNotAvailable
            | ErrorCode::NotLeaderOrFollower
    )
}

/// What is wrong with a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Problem {
    Offline,
    UnderReplicated,
}

impl Problem {
    fn of(partition: &Partition) -> Option<Self> {
        match partition.leader {
            None => Some(Self::Offline),
            Some(_) if partition.in_sync.len() < partition.replicas.len() => Some(Self::UnderReplicated),
            Some(_) => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::UnderReplicated => "under-replicated",
        }
    }
}

impl Status {
    async fn ask(admin: &Admin) -> Result<Self> {
        let cluster = admin.describe_cluster().await?;
        let topics = admin.list_topics().await?;
        let features = admin.features().await?;
        let controller = Controller::ask(admin, cluster.controller).await;
        let alive = cluster.brokers.iter().filter(|(_, broker)| !broker.is_fenced).map(|(id, _)| *id);
        let disks = Disks::ask(admin, alive).await;
        Ok(Self { cluster, controller, topics, features, disks })
    }

    fn partitions(&self) -> impl Iterator<Item = (&str, usize, &Partition)> {
        let topics = self.topics.iter();
        topics.flat_map(|(name, topic)| {
            topic.partitions.iter().enumerate().map(move |(number, partition)| (&**name, number, partition))
        })
    }

    fn problems(&self) -> impl Iterator<Item = (&str, usize, &Partition, Problem)> {
        self.partitions().filter_map(|(topic, number, partition)| {
            Some((topic, number, partition, Problem::of(partition)?))
        })
    }

    fn count(&self, wanted: Problem) -> usize {
        self.problems().filter(|(_, _, _, problem)| *problem == wanted).count()
    }

    fn not_preferred_count(&self) -> usize {
        let led = self.partitions().filter(|(_, _, partition)| partition.leader.is_some());
        led.filter(|(_, _, partition)| partition.replicas.first() != partition.leader.as_ref()).count()
    }

    fn missing_count(&self) -> usize {
        self.cluster.brokers.values().filter(|broker| broker.is_fenced).count()
    }

    fn directory_problems(&self) -> impl Iterator<Item = (BrokerId, &str, ErrorCode)> {
        let directories = self.disks.directories();
        directories
            .filter(|(_, directory)| directory.error != ErrorCode::None)
            .map(|(broker, directory)| (broker, &*directory.path, directory.error))
    }

    fn is_healthy(&self) -> bool {
        self.controller.id().is_some()
            && self.missing_count() == 0
            && self.problems().next().is_none()
            && self.directory_problems().next().is_none()
    }

    /// Bytes of all copies, as far as the brokers tell.
    fn size(&self) -> Option<u64> {
        self.disks.directories().next()?;
        let copies = self.disks.directories().flat_map(|(_, directory)| directory.replicas.values());
        Some(copies.map(|copy| copy.size_bytes).sum())
    }

    fn internal_count(&self) -> usize {
        self.topics.values().filter(|topic| topic.is_internal).count()
    }

    fn brokers(&self) -> Vec<BrokerRow<'_>> {
        brokers::rows(&self.cluster, &self.topics, &self.disks)
    }

    fn print(&self) -> Result<()> {
        let (known, missing) = (self.cluster.brokers.len(), self.missing_count());
        let partitions = self.partitions().count();
        let health = if self.is_healthy() { "healthy" } else { "not healthy, see below" };
        let features = self.features.levels.iter().filter(|(_, level)| level.finalized > 0);
        let features: Vec<_> = features.map(|(name, level)| format!("{name} {}", level.finalized)).collect();
        print_line(&format!("cluster     {}", or_nothing(self.cluster.id.as_deref())))?;
        print_line(&format!("health      {health}"))?;
        print_line(&format!("controller  {}", or_nothing(self.controller.id())))?;
        if self.controller == Controller::Missing {
            for line in NO_CONTROLLER {
                print_line(&format!("            {line}"))?;
            }
        }
        print_line(&format!("brokers     {} of {known} in service", known - missing))?;
        print_line(&format!(
            "topics      {}, and {} internal",
            self.topics.len() - self.internal_count(),
            self.internal_count()
        ))?;
        print_line(&format!(
            "partitions  {partitions}: {} offline, {} under-replicated, {} not led by their preferred leader",
            self.count(Problem::Offline),
            self.count(Problem::UnderReplicated),
            self.not_preferred_count()
        ))?;
        let unknown: Vec<_> = self.disks.unknown().collect();
        let unknown = if unknown.is_empty() {
            String::new()
        } else {
            format!(
                "; {UNKNOWN} of {} {}",
                if unknown.len() == 1 { "broker" } else { "brokers" },
                listed(&unknown)
            )
        };
        print_line(&format!("data        {}{unknown}", or_nothing(self.size().map(size_text))))?;
        print_line(&format!(
            "features    {}",
            if features.is_empty() { "none".to_owned() } else { features.join(", ") }
        ))?;
        print_line("")?;
        brokers::print(&self.brokers())?;
        self.print_problems()
    }

    fn print_problems(&self) -> Result<()> {
        let problems: Vec<_> = self.problems().collect();
        for (broker, path, error) in self.directory_problems() {
            print_line(&format!("\nbroker {broker}: directory {path}: {error}"))?;
        }
        if problems.is_empty() {
            return Ok(());
        }
        print_line("")?;
        let rows: Vec<_> = problems
            .iter()
            .take(PROBLEMS_SHOWN_MAX)
            .map(|(topic, number, partition, problem)| {
                vec![
                    (*topic).to_owned(),
                    number.to_string(),
                    problem.name().to_owned(),
                    or_nothing(partition.leader),
                    listed(&partition.replicas),
                    listed(&partition.in_sync),
                ]
            })
            .collect();
        print_table(&["TOPIC", "PARTITION", "PROBLEM", "LEADER", "REPLICAS", "IN SYNC"], &rows)?;
        let more = problems.len().saturating_sub(PROBLEMS_SHOWN_MAX);
        if more > 0 {
            print_line(&format!("and {more} more; --format json has all"))?;
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let problems = self.problems().map(|(topic, number, partition, problem)| {
            json!({
                "topic": topic,
                "partition": number,
                "problem": problem.name(),
                "leader": partition.leader.map(|leader| leader.0),
                "replicas": numbers(&partition.replicas),
                "in_sync": numbers(&partition.in_sync),
            })
        });
        let features = self.features.levels.iter().map(|(name, level)| {
            let supported = level.supported.map(|(min, max)| json!({ "min": min, "max": max }));
            (name.clone(), json!({ "finalized": level.finalized, "supported": supported }))
        });
        json!({
            "cluster_id": self.cluster.id,
            "healthy": self.is_healthy(),
            "controller": self.controller.id().map(|controller| controller.0),
            "current": self.controller != Controller::Missing,
            "brokers_known": self.cluster.brokers.len(),
            "brokers_in_service": self.cluster.brokers.len() - self.missing_count(),
            "topics": self.topics.len() - self.internal_count(),
            "internal_topics": self.internal_count(),
            "partitions": self.partitions().count(),
            "partitions_offline": self.count(Problem::Offline),
            "partitions_under_replicated": self.count(Problem::UnderReplicated),
            "partitions_not_led_by_preferred": self.not_preferred_count(),
            "size_bytes": self.size(),
            "features": features.collect::<serde_json::Map<_, _>>(),
            "brokers": self.brokers().iter().map(BrokerRow::json).collect::<Vec<_>>(),
            "problems": problems.collect::<Vec<_>>(),
        })
    }
}
