//! Figures of the coordinators here: how far groups are behind, and what is open.

use std::{
    collections::BTreeMap,
    ops::Bound::{Included, Unbounded},
    sync::Arc,
};

use klamm_coordinator::group::{Committed, Groups, RebalanceCause};
use klamm_model::{PartitionIndex, Timestamp, TopicPartition};

use super::{Coordinators, shard::Shard};
use crate::node::Node;

/// How often groups were rebalanced, and why.
pub(crate) type Rebalances = BTreeMap<RebalanceCause, u64>;

/// Offsets that are looked at in one go. At about a microsecond each, nobody else waits for as much as a millisecond.
const SLICE: usize = 256;

/// How far a group is behind in a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lag {
    /// Which group.
    pub group: Arc<str>,
    /// In which topic.
    pub topic: Arc<str>,
    /// In which of its partitions.
    pub partition: PartitionIndex,
    /// Committed records behind what it has committed.
    pub messages: u64,
    /// When about the first of them was written; `None` if there is none, or they have no times.
    pub since: Option<Timestamp>,
}

/// How far somebody has come who goes through the offsets of all groups. What comes or goes meanwhile may be seen or not.
#[derive(Debug, Default)]
pub struct LagWalk {
    shard: Option<TopicPartition>,
    last: Option<(Arc<str>, String, PartitionIndex)>,
    is_over: bool,
}

impl LagWalk {
    /// Whether there are no more.
    pub fn is_over(&self) -> bool {
        self.is_over
    }
}

/// Adds those of one shard.
pub(super) fn add(rebalances: &mut Rebalances, groups: Option<&Groups>) {
    for (cause, count) in groups.into_iter().flat_map(Groups::rebalances) {
        *rebalances.entry(*cause).or_default() += count;
    }
}

impl Coordinators {
    /// Since the start of the process.
    pub(crate) fn rebalances(&self) -> Rebalances {
        let mut rebalances = self.rebalances.clone();
        self.shards.values().for_each(|shard| add(&mut rebalances, shard.groups()));
        rebalances
    }

    /// How many transactions are open, and since when the oldest is.
    pub(crate) fn open_transactions(&self) -> (usize, Option<Timestamp>) {
        let open = self.shards.values().filter_map(Shard::transactions).map(|it| it.open());
        open.fold((0, None), |(count, oldest), (more, since)| {
            (count + more, [oldest, since].into_iter().flatten().min())
        })
    }
}

impl Node {
    /// How far the groups that come next are behind, in partitions that this broker has a replica of.
    pub fn lags_next(&self, walk: &mut LagWalk, lags: &mut Vec<Lag>) {
        let from = walk.shard.map_or(Unbounded, Included);
        let mut left = SLICE;
        for (key, shard) in self.coordinators.shards.range((from, Unbounded)) {
            let last = walk.last.take().filter(|_| walk.shard == Some(*key));
            walk.shard = Some(*key);
            let after = last.as_ref().map(|(group, topic, partition)| (&**group, &**topic, *partition));
            for committed in shard.groups().into_iter().flat_map(|groups| groups.committed_after(after)) {
                lags.extend(self.lag(&committed));
                left -= 1;
                if left == 0 {
                    let Committed { group, topic, partition, .. } = committed;
                    walk.last = Some((group.clone(), topic.to_owned(), partition));
                    return;
                }
            }
        }
        walk.is_over = true;
    }

    fn lag(&self, it: &Committed<'_>) -> Option<Lag> {
        let topic = self.image.topic_named(it.topic)?.id;
        let hosted = self.hosted.get(&TopicPartition { topic, partition: it.partition })?;
        let (log, end) = (hosted.replica.log(), hosted.replica.high_watermark());
        let messages = if it.offset < end { end.since(it.offset) } else { 0 };
        let first = it.offset.max(log.log_start());
        let since = (first < end).then(|| log.time_near(first)).flatten();
        let (group, topic) = (it.group.clone(), hosted.name.clone());
        Some(Lag { group, topic, partition: it.partition, messages, since })
    }
}
