//! Who gets which partitions in a classic group. Pure: whoever leads the group, its members get the same.
//!
//! Every partition of a topic that somebody wants goes to one member that wants it. `range` and `roundrobin` give what Kafka's assignors of those
//! names give, partition by partition; the sticky ones give as balanced shares with as few moves, but not always to the same members.

mod range;
mod round_robin;
mod sticky;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::Arc;

use crate::PartitionName;
use crate::metadata::Cluster;

/// How the members of a classic group share partitions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Assignor {
    /// A run of neighbours of each topic for each member: partitions of the same number of topics with equally many go to the same one. Members
    /// with a rack get what has a replica there, as far as that takes nothing from the balance (KIP-881).
    Range,
    /// One for each in turn, over all topics.
    RoundRobin,
    /// As many for each as for any other, and as few moves as that takes. All stop while it is done.
    Sticky,
    /// The same, where members go on with what they keep (KIP-429).
    CooperativeSticky,
}

impl Assignor {
    const ALL: [Self; 4] = [Self::Range, Self::RoundRobin, Self::Sticky, Self::CooperativeSticky];

    /// Kafka's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
            Self::Sticky => "sticky",
            Self::CooperativeSticky => "cooperative-sticky",
        }
    }

    fn java_class(self) -> &'static str {
        match self {
            Self::Range => "org.apache.kafka.clients.consumer.RangeAssignor",
            Self::RoundRobin => "org.apache.kafka.clients.consumer.RoundRobinAssignor",
            Self::Sticky => "org.apache.kafka.clients.consumer.StickyAssignor",
            Self::CooperativeSticky => "org.apache.kafka.clients.consumer.CooperativeStickyAssignor",
        }
    }

    /// Whether members keep what they have while partitions are shared anew.
    pub(super) fn is_cooperative(self) -> bool {
        self == Self::CooperativeSticky
    }

    /// The share of each member, by its id.
    pub(super) fn assign(self, topics: &Topics, members: &[Subscriber]) -> BTreeMap<String, Share> {
        // Shares do not depend on the order in which members joined, where the assignor does not want that.
        let mut members: Vec<_> = members.iter().collect();
        members.sort_by(|one, other| one.order(other));
        let shares = match self {
            Self::Range => range::assign(topics, &members),
            Self::RoundRobin => round_robin::assign(topics, &members),
            Self::Sticky => sticky::assign(topics, &members),
            Self::CooperativeSticky => {
                let mut shares = sticky::assign(topics, &members);
                sticky::leave_with_owners(&mut shares, &members);
                shares
            }
        };
        members.iter().map(|member| member.id.clone()).zip(shares).collect()
    }
}

impl FromStr for Assignor {
    type Err = &'static str;

    /// By Kafka's word, or the name of Java's class.
    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|it| it.name() == word || it.java_class() == word);
        found.ok_or("not some of range, roundrobin, sticky, cooperative-sticky")
    }
}

/// What a member gets.
pub(super) type Share = BTreeSet<PartitionName>;
/// What a member has.
pub(super) type Owned = BTreeSet<PartitionName>;

/// The partitions of each topic that somebody wants; topics that are not there are not among them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Topics(pub(super) BTreeMap<Arc<str>, Vec<Racks>>);

/// The racks that have a replica of a partition.
pub(super) type Racks = BTreeSet<String>;

impl Topics {
    /// Those of these topics that are there.
    pub(super) fn of<'a>(cluster: &Cluster, names: impl IntoIterator<Item = &'a Arc<str>>) -> Self {
        let topics = names.into_iter().filter_map(|name| {
            let partitions = &cluster.topics.get(name)?.partitions;
            let racks = partitions.iter().map(|partition| {
                let brokers = partition.replicas.iter();
                brokers.filter_map(|broker| cluster.brokers.get(broker)?.rack.clone()).collect()
            });
            (!partitions.is_empty()).then(|| (name.clone(), racks.collect()))
        });
        Self(topics.collect())
    }

    fn has(&self, name: &PartitionName) -> bool {
        let count = self.0.get(&name.topic).map_or(0, Vec::len);
        usize::try_from(name.partition).is_ok_and(|partition| partition < count)
    }
}

/// A member as assignors see it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Subscriber {
    pub(super) id: String,
    pub(super) instance_id: Option<String>,
    /// What it wants; topics that are not there may be among them.
    pub(super) topics: BTreeSet<Arc<str>>,
    /// What it has, as it says.
    pub(super) owned: Owned,
    /// In which generation it got that, if it says so.
    pub(super) generation: Option<i32>,
    pub(super) rack: Option<String>,
}

impl Subscriber {
    /// Kafka's: whoever keeps a name over restarts comes first, by that name.
    fn order(&self, other: &Self) -> Ordering {
        match (&self.instance_id, &other.instance_id) {
            (Some(one), Some(other)) => one.cmp(other),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => self.id.cmp(&other.id),
        }
    }

    /// Who is nowhere is near everything.
    fn is_near(&self, racks: &Racks) -> bool {
        self.rack.as_ref().is_none_or(|rack| racks.contains(rack))
    }
}

/// Places of the members that want each topic.
fn subscribers<'a>(topics: &'a Topics, members: &[&Subscriber]) -> BTreeMap<&'a Arc<str>, Vec<usize>> {
    let wants = |topic| (0..members.len()).filter(|&place| members[place].topics.contains(topic)).collect();
    topics.0.keys().map(|topic| (topic, wants(topic))).collect()
}

fn name(topic: &Arc<str>, partition: usize) -> PartitionName {
    let partition = i32::try_from(partition).expect("partitions are counted in 31 bits");
    PartitionName { topic: topic.clone(), partition }
}
