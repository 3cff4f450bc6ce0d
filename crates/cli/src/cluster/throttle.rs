//! How much moves may copy in a second, in the way of Kafka's own tool (KIP-73): rates of the brokers that take part, and in each topic the replicas that they
//! are for. `klamm cluster unthrottle` takes all of it back.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use klamm_client::{
    Admin, AdminError, Change, ConfigChange, ConfigOperation, ConfigResource, ConfigSource, PartitionName,
};
use klamm_model::BrokerId;

use crate::args::{ClusterUnthrottleArgs, Format};
use crate::config::resource_json;
use crate::outcome::Outcomes;
use crate::output::print_line;
use crate::remote;

/// Of a broker: what it sends as a leader, and what it copies as a follower.
const RATES: [&str; 2] = ["leader.replication.throttled.rate", "follower.replication.throttled.rate"];
/// Of a topic: who sends, and who copies.
const LISTS: [&str; 2] = ["leader.replication.throttled.replicas", "follower.replication.throttled.replicas"];
/// A list of all replicas there are.
const ALL: &str = "*";

/// What a move adds to the settings of the cluster.
#[derive(Default, PartialEq, Eq, Debug)]
pub(super) struct Throttle {
    brokers: BTreeSet<BrokerId>,
    /// For each topic the replicas of both lists, as `partition:broker`.
    topics: BTreeMap<String, [BTreeSet<String>; 2]>,
}

impl Throttle {
    /// Holds back what these partitions are to be copied to those brokers, before they are told to move.
    pub(super) async fn begin(
        admin: &Admin,
        partitions: &[PartitionName],
        to: &[BrokerId],
        bytes_per_second: i64,
    ) -> Result<Self, AdminError> {
        let topics = admin.list_topics().await?;
        let adding = admin.list_reassignments(Some(partitions)).await?;
        let mut throttle = Self::default();
        for partition in partitions {
            let known = topics
                .get(&partition.topic)
                .and_then(|topic| topic.partitions.get(usize::try_from(partition.partition).ok()?));
            // Where it is not known, the move will be refused.
            let Some(known) = known else { continue };
            let adding = adding.get(partition).map_or(&[][..], |it| &it.adding);
            let have = known.replicas.iter().copied().filter(|id| !adding.contains(id));
            throttle.add(partition, &have.collect::<Vec<_>>(), to);
        }
        if let Err(error) = throttle.set(admin, bytes_per_second).await {
            // What was set by then would be in the way of others. Why not all of it could be is what the user is to hear.
            let _ = throttle.end(admin).await;
            return Err(error);
        }
        Ok(throttle)
    }

    async fn set(&self, admin: &Admin, bytes_per_second: i64) -> Result<(), AdminError> {
        for (topic, lists) in &self.topics {
            change_lists(admin, topic, lists, with).await?;
        }
        let rate = ConfigOperation::Set(bytes_per_second.to_string());
        for broker in &self.brokers {
            set_rates(admin, *broker, &rate).await?;
        }
        Ok(())
    }

    fn add(&mut self, partition: &PartitionName, have: &[BrokerId], to: &[BrokerId]) {
        self.brokers.extend(have.iter().chain(to));
        let replica = |id: &BrokerId| format!("{}:{id}", partition.partition);
        let [leaders, followers] = self.topics.entry(partition.topic.to_string()).or_default();
        leaders.extend(have.iter().map(replica));
        followers.extend(to.iter().filter(|id| !have.contains(id)).map(replica));
    }

    /// The move is over, or does not begin. Rates stay as long as others are on their way.
    pub(super) async fn end(&self, admin: &Admin) -> Result<(), AdminError> {
        for (topic, lists) in &self.topics {
            change_lists(admin, topic, lists, without).await?;
        }
        if admin.list_reassignments(None).await?.is_empty() {
            for broker in &self.brokers {
                set_rates(admin, *broker, &ConfigOperation::Unset).await?;
            }
        }
        Ok(())
    }
}

async fn set_rates(admin: &Admin, broker: BrokerId, rate: &ConfigOperation) -> Result<(), AdminError> {
    let change = |name: &str| ConfigChange { name: name.to_owned(), operation: rate.clone() };
    admin.alter_configs(&ConfigResource::Broker(broker), &RATES.map(change), Change::Make).await
}

/// Both lists of a topic become what `changed` makes of them.
async fn change_lists(
    admin: &Admin,
    topic: &str,
    lists: &[BTreeSet<String>; 2],
    changed: fn(&str, &BTreeSet<String>) -> String,
) -> Result<(), AdminError> {
    let known = admin.topic_configs(topic, &LISTS).await?.unwrap_or_default();
    let change = |(name, replicas): (&&str, &BTreeSet<String>)| {
        let now = known.get(*name).map_or("", |it| it);
        let then = changed(now, replicas);
        let is_new = items(now).ne(items(&then));
        let operation = if then.is_empty() { ConfigOperation::Unset } else { ConfigOperation::Set(then) };
        is_new.then(|| ConfigChange { name: (*name).to_owned(), operation })
    };
    let changes: Vec<_> = LISTS.iter().zip(lists).filter_map(change).collect();
    if changes.is_empty() {
        return Ok(());
    }
    admin.alter_configs(&ConfigResource::Topic(topic.to_owned()), &changes, Change::Make).await
}

fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|it| !it.is_empty())
}

/// The list with these replicas, which may be in it already.
fn with(list: &str, replicas: &BTreeSet<String>) -> String {
    if list.trim() == ALL {
        return list.to_owned();
    }
    let new = replicas.iter().map(String::as_str).filter(|it| items(list).all(|known| known != *it));
    items(list).chain(new).collect::<Vec<_>>().join(",")
}

/// The list without these replicas. One of all there are was somebody else's.
fn without(list: &str, replicas: &BTreeSet<String>) -> String {
    items(list).filter(|it| !replicas.contains(*it)).collect::<Vec<_>>().join(",")
}

/// Takes back every rate of a broker and every list of a topic, whoever set them.
pub(super) async fn unthrottle(args: &ClusterUnthrottleArgs) -> Result<()> {
    let admin = remote::administer(&args.remote).await?;
    let topics =
        admin.list_topics().await?.into_keys().map(|it| (ConfigResource::Topic(it.to_string()), LISTS));
    let brokers = admin.describe_cluster().await?.brokers.into_iter().filter(|(_, it)| !it.is_fenced);
    let brokers = brokers.map(|(id, _)| (ConfigResource::Broker(id), RATES));
    let mut outcomes = Outcomes::new(args.remote.format);
    let mut is_quiet = true;
    for (resource, keys) in topics.chain(brokers) {
        match unset(&admin, &resource, keys).await {
            Ok(false) => continue,
            Ok(true) => {
                outcomes.done(&format!("{resource}: not throttled any more"), resource_json(&resource))?;
            }
            Err(error) => _ = outcomes.failed(&error, resource_json(&resource)),
        }
        is_quiet = false;
    }
    if is_quiet && args.remote.format == Format::Table {
        print_line("nothing is throttled")?;
    }
    outcomes.finish()
}

/// Gives those of the settings their defaults that somebody set for the resource. Tells whether there were any.
async fn unset(admin: &Admin, resource: &ConfigResource, keys: [&str; 2]) -> Result<bool, AdminError> {
    let entries = admin.describe_configs(resource, Some(&keys), false).await?;
    let is_its_own = |source| matches!(source, ConfigSource::Topic | ConfigSource::Broker);
    let set = entries.into_iter().filter(|it| is_its_own(it.source));
    let changes: Vec<_> =
        set.map(|it| ConfigChange { name: it.name, operation: ConfigOperation::Unset }).collect();
    if changes.is_empty() {
        return Ok(false);
    }
    admin.alter_configs(resource, &changes, Change::Make).await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(replicas: &[&str]) -> BTreeSet<String> {
        replicas.iter().map(|it| (*it).to_owned()).collect()
    }

    #[test]
    fn who_has_a_partition_sends_and_who_is_to_have_it_copies() {
        let mut throttle = Throttle::default();
        let ids = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect::<Vec<_>>();
        throttle.add(&PartitionName::new("t", 0), &ids(&[1, 2]), &ids(&[2, 3]));
        throttle.add(&PartitionName::new("t", 1), &ids(&[3]), &ids(&[2, 3]));
        let lists = [set(&["0:1", "0:2", "1:3"]), set(&["0:3", "1:2"])];
        let brokers = ids(&[1, 2, 3]).into_iter().collect();
        assert_eq!(throttle, Throttle { brokers, topics: [("t".to_owned(), lists)].into() });
    }

    #[test]
    fn lists_of_others_stay() {
        let ours = set(&["0:1", "1:1"]);
        assert_eq!(with("", &ours), "0:1,1:1");
        assert_eq!(with("7:1, 1:1", &ours), "7:1,1:1,0:1");
        assert_eq!(without("7:1,1:1,0:1", &ours), "7:1");
        assert_eq!(without("0:1,1:1", &ours), "");
        for changed in [with, without] {
            assert_eq!(changed("*", &ours), "*");
        }
    }
}
