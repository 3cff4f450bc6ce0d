//! The work is distributed: what every member is to get in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::assignor::{Assignor, Subscriber, Topics};
use super::partitions::{Partitions, by_topic};
use super::topics::{Wish, racks};
use super::{Consumer, Member};
use crate::Entry;
use crate::group::GroupError;
use crate::group::turn::{RebalanceCause, Turn};
use crate::record::{ConsumerTarget, GroupRecord};

/// What a partition takes in a record of what a member has, and what a topic does.
const PARTITION_SIZE: usize = 8;
const TOPIC_SIZE: usize = 32;

/// What such a record takes besides, with the names in its key.
const RECORD_SIZE: usize = 128;

impl Consumer {
    /// The work is worth distributing anew, which is done when any member shows itself.
    pub(super) fn bump(
        &mut self,
        turn: &mut Turn<'_>,
        log: &mut Vec<Entry>,
        cause: RebalanceCause,
        member: &str,
    ) {
        let hash = self.hash_topics(&turn.shared.image);
        *turn.shared.rebalances.entry(cause).or_default() += 1;
        self.put(log, self.record(self.epoch.checked_add(1).unwrap_or(1), hash));
        tracing::info!(
            group = ?self.name,
            epoch = self.epoch,
            members = self.members.len(),
            cause = cause.name(),
            ?member,
            "a group is rebalanced"
        );
    }

    /// Refused only if what a member is to get cannot be kept. The work is then left as it is distributed.
    pub(super) fn assign(&mut self, turn: &Turn<'_>, log: &mut Vec<Entry>) -> Result<(), GroupError> {
        let image = &turn.shared.image;
        let wanted = self.subscriptions(image);
        let wants_racks = self.wants_racks();
        let mut topics = Topics::new();
        for topic in wanted.values().flatten().collect::<BTreeSet<_>>() {
            let Some(topic) = image.topic(*topic) else { continue };
            let partitions = topic.partitions.iter();
            let racks = partitions
                .map(|it| if wants_racks { racks(image, &it.replicas).collect() } else { BTreeSet::new() });
            topics.insert(topic.id, racks.collect());
        }
        let subscribers = self.members.iter().map(|(id, member)| Subscriber {
            name: member.said.instance_id.as_deref().unwrap_or(id),
            rack: member.said.rack.as_deref(),
            topics: &wanted[&Wish::of(&member.said)],
            has: &member.target,
        });
        let shares =
            self.assignor(&turn.config.consumer_assignors).assign(&topics, &subscribers.collect::<Vec<_>>());
        let changed: Vec<(Arc<str>, Partitions)> = self
            .members
            .iter()
            .zip(shares)
            .filter(|((_, member), share)| member.target != *share)
            .map(|((id, _), share)| (id.clone(), share))
            .collect();
        for (id, share) in &changed {
            self.members[id].check_can_keep(turn, &self.name, id, share)?;
        }
        for (id, share) in changed {
            let record = GroupRecord::MemberTarget {
                group: self.name.to_string(),
                member: id.to_string(),
                value: Some(by_topic(&share)),
            };
            self.put(log, record);
        }
        let value = Some(ConsumerTarget { epoch: self.epoch, at: Some(turn.now.wall) });
        self.put(log, GroupRecord::Target { group: self.name.to_string(), value });
        Ok(())
    }

    /// How long the work is to stay as it is distributed. A clock that was set back holds nobody up.
    pub(super) fn assignment_stays_ms(&self, turn: &Turn<'_>) -> u32 {
        let interval_ms = turn.config.consumer_assignment_interval_ms;
        let passed_ms = self.target.at.and_then(|at| u32::try_from(turn.now.wall.0 - at.0).ok());
        passed_ms.map_or(0, |passed_ms| interval_ms.saturating_sub(passed_ms))
    }

    /// The one of these that most members want, of those that want one.
    pub(super) fn assignor(&self, allowed: &[Assignor]) -> Assignor {
        let mut votes = BTreeMap::<&str, usize>::new();
        for name in self.members.values().filter_map(|it| it.said.assignor.as_deref()) {
            *votes.entry(name).or_default() += 1;
        }
        let best = allowed.iter().rev().max_by_key(|it| votes.get(it.name()).copied().unwrap_or(0));
        *best.expect("there is one at least")
    }
}

impl Member {
    /// Whatever it may have on its way there must fit in one record.
    pub(super) fn check_can_keep(
        &self,
        turn: &Turn<'_>,
        group: &str,
        id: &str,
        share: &Partitions,
    ) -> Result<(), GroupError> {
        let all: BTreeSet<_> = share.iter().copied().chain(self.has.partitions()).collect();
        let topic_count = all.iter().map(|it| it.topic).collect::<BTreeSet<_>>().len();
        // A topic may be in both lists.
        let names_size = group.len() + id.len();
        let size = RECORD_SIZE + names_size + all.len() * PARTITION_SIZE + 2 * topic_count * TOPIC_SIZE;
        let max = turn.config.batch_size_max;
        if size <= max { Ok(()) } else { Err(GroupError::TooLarge { size, max }) }
    }
}
