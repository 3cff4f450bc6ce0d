//! The topics of coordinators get the replicas that are asked for as brokers join: a cluster may have been one broker when they were made.
//!
//! How many a partition lacks is part of its metadata, from when it is made until it has them all, or until an operator says how many there are to be. The replicas
//! that are there stay, and who is to lead is spread over all of them. One reassignment follows another where brokers come one by one.

use std::collections::BTreeMap;

use klamm_model::{BrokerId, PartitionIndex, TopicPartition};

use super::{Controller, reassign};
use crate::image::{Broker, Partition, Topic};
use crate::record::Record;

impl Controller {
    /// Replicas of a partition whose creator left that open: of an internal topic those that are asked for, as far as there are brokers, with how many it is to get.
    pub(super) fn replicas_by_default(&self, topic: &str, alive: usize) -> (u16, Option<u16>) {
        let there = |most: u16| u16::try_from(alive).map_or(most, |alive| alive.clamp(1, most));
        match self.config.internal_topics.get(topic) {
            Some(asked) if there(*asked) < *asked => (there(*asked), Some(*asked)),
            Some(asked) => (*asked, None),
            None => (self.config.default_replication_factor.unwrap_or(there(3)), None),
        }
    }

    /// What begins to bring replicas to partitions that are to have more and can.
    pub(super) fn raise_internal_topics(&self) -> Vec<Record> {
        let topics = self.config.internal_topics.keys().filter_map(|name| self.image.topic_named(name));
        let lacking = topics.filter(|topic| topic.partitions.iter().any(|it| it.wanted_replicas.is_some()));
        let mut alive = None;
        let mut records = Vec::new();
        for topic in lacking {
            let alive = alive.get_or_insert_with(|| self.alive());
            records.extend(self.raise(topic, alive));
        }
        records
    }

    fn alive(&self) -> Vec<&Broker> {
        self.image.brokers().map(|it| &**it).filter(|it| it.is_active()).collect()
    }

    fn raise(&self, topic: &Topic, alive: &[&Broker]) -> Vec<Record> {
        let goal = |it: &Partition| it.wanted_replicas.map(|wanted| usize::from(wanted).min(alive.len()));
        let lacks = |it: &Partition| {
            goal(it).is_some_and(|goal| it.target().len() < goal)
                && !it.is_reassigning()
                && it.leader.is_some()
        };
        let mut records = Vec::new();
        let mut spread = Spread::default();
        topic.partitions.iter().filter(|it| !lacks(it)).for_each(|it| spread.count(&it.target()));
        for (index, before) in (0..).map(PartitionIndex).zip(&topic.partitions).filter(|it| lacks(it.1)) {
            let target = spread.filled(before.replicas.clone(), goal(before).unwrap_or(0), alive);
            spread.count(&target);
            let at = TopicPartition { topic: topic.id, partition: index };
            let still_wanted = before.wanted_replicas.filter(|wanted| target.len() < usize::from(*wanted));
            let after = Partition { wanted_replicas: still_wanted, ..reassign::towards(before, &target) };
            records.extend(self.elections().change(at, topic, before, after).1);
        }
        records
    }
}

/// How many replicas of a topic each broker has, and how many of them are preferred.
#[derive(Default)]
struct Spread {
    replicas: BTreeMap<BrokerId, usize>,
    preferred: BTreeMap<BrokerId, usize>,
}

impl Spread {
    fn count(&mut self, replicas: &[BrokerId]) {
        for id in replicas {
            *self.replicas.entry(*id).or_default() += 1;
        }
        if let Some(first) = replicas.first() {
            *self.preferred.entry(*first).or_default() += 1;
        }
    }

    /// These replicas and as many more as are missing, in racks that have none before others, and where the fewest are; whoever is preferred least often first.
    fn filled(&self, mut replicas: Vec<BrokerId>, factor: usize, alive: &[&Broker]) -> Vec<BrokerId> {
        let of = |counts: &BTreeMap<BrokerId, usize>, id| counts.get(&id).copied().unwrap_or(0);
        let rack_of = |id| alive.iter().find(|it| it.id == id).and_then(|it| it.rack.as_ref());
        while replicas.len() < factor {
            let others = alive.iter().filter(|it| !replicas.contains(&it.id));
            let in_rack = |it: &Broker| {
                let mut racks = replicas.iter().map(|id| rack_of(*id));
                it.rack.is_some() && racks.any(|rack| rack == it.rack.as_ref())
            };
            let next = others.min_by_key(|it| (in_rack(it), of(&self.replicas, it.id), it.id));
            let Some(next) = next else { break };
            replicas.push(next.id);
        }
        let least = (0..replicas.len()).min_by_key(|at| of(&self.preferred, replicas[*at]));
        replicas[..=least.unwrap_or(0)].rotate_right(1);
        replicas
    }
}
