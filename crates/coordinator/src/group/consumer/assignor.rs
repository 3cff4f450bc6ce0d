//! Who gets which partitions. Pure: the same members and topics give the same shares on every node.
//!
//! Every partition of a topic that somebody wants goes to one member that wants it. Apart from that, the assignors differ in what they care for.

use std::collections::{BTreeMap, BTreeSet};

use klamm_model::{PartitionIndex, TopicId};

use super::partitions::Partitions;

mod range;
#[cfg(test)]
mod tests;
mod uniform;

/// A way to distribute the work of a group of the consumer protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Assignor {
    /// As many partitions for each as for any other, and as few moves as that takes. Of those that move, as many as possible to where a replica is.
    Uniform,
    /// A run of neighbours of each topic for each: partitions of equal numbers of equal topics go to the same member.
    Range,
}

impl Assignor {
    /// All that there are.
    pub const ALL: [Self; 2] = [Self::Uniform, Self::Range];

    /// Kafka's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    /// By Kafka's word.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// One share for each member, in their order.
    pub(super) fn assign(self, topics: &Topics<'_>, members: &[Subscriber<'_>]) -> Vec<Partitions> {
        match self {
            Self::Uniform => uniform::assign(topics, members),
            Self::Range => range::assign(topics, members),
        }
    }
}

/// The racks that have a replica, for each partition of each topic. Empty where nobody asks for racks.
pub(super) type Topics<'a> = BTreeMap<TopicId, Vec<BTreeSet<&'a str>>>;

/// A member as assignors see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subscriber<'a> {
    /// What it keeps when it restarts: places are given in the order of names.
    pub(super) name: &'a str,
    pub(super) rack: Option<&'a str>,
    /// Topics that are not there may be among them.
    pub(super) topics: &'a BTreeSet<TopicId>,
    /// Its share so far.
    pub(super) has: &'a Partitions,
}

/// Who wants each topic: places of members, in their order. Topics that nobody wants are not among them.
fn subscribers(topics: &Topics<'_>, members: &[Subscriber<'_>]) -> BTreeMap<TopicId, Vec<usize>> {
    let mut subscribers = BTreeMap::<TopicId, Vec<usize>>::new();
    for (place, member) in members.iter().enumerate() {
        for topic in member.topics.iter().filter(|it| topics.contains_key(it)) {
            subscribers.entry(*topic).or_default().push(place);
        }
    }
    subscribers
}

fn index(number: usize) -> PartitionIndex {
    PartitionIndex(i32::try_from(number).expect("partitions are counted in 31 bits"))
}
