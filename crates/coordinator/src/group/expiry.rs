//! What nobody uses any more is forgotten: offsets, and groups that have neither members nor offsets.

use std::ops::Bound;
use std::sync::Arc;

use klamm_model::{Now, PartitionIndex, Timestamp};

use super::protocol::Protocol;
use super::timers::Timer;
use super::turn::Turn;
use super::{Group, GroupConfig, GroupState, Groups, Reply};
use crate::record::CommittedOffset;
use crate::{Effects, Entry, RequestId};

/// Groups that are looked at in one step: a shard may have a hundred thousand.
const GROUPS_OF_STEP_MAX: usize = 1_000;

/// Between two steps, others have their turn.
const STEP_PAUSE_MS: u64 = 10;

/// From when on an offset is unused.
#[derive(Clone, Copy)]
enum Unused {
    SinceCommitted,
    Since(Timestamp),
    Never,
}

impl Groups {
    /// Looks at the next groups, in the order of their names.
    pub(super) fn expire(&mut self, now: Now, out: &mut Effects<(RequestId, Reply)>) {
        let from = self.expired_to.take().map_or(Bound::Unbounded, Bound::Excluded);
        let names: Vec<Arc<str>> = self
            .groups
            .range::<str, _>((from.as_ref().map(|it| &**it), Bound::Unbounded))
            .take(GROUPS_OF_STEP_MAX)
            .map(|(name, _)| name.clone())
            .collect();
        let (groups, mut turn) = self.split(Now { wall: self.steady_wall(now), ..now }, out);
        let mut entries = Vec::new();
        for name in &names {
            let group = groups.get_mut(name).expect("listed above");
            entries.extend(group.expire(&turn));
            if group.is_unused() {
                entries.extend(group.protocol.dissolve(&mut turn));
                groups.remove(name);
                tracing::info!(group = ?name, "a group without members and offsets is forgotten");
            }
        }
        turn.append(None, entries);
        let is_done = names.len() < GROUPS_OF_STEP_MAX;
        let pause_ms = if is_done { turn.config.offsets_check_interval_ms } else { STEP_PAUSE_MS };
        turn.shared.timers.set(now.tick.after_ms(pause_ms.max(1)), Timer::Expiry);
        self.expired_to = names.last().filter(|_| !is_done).cloned();
    }

    /// The wall clock, had it gone on evenly: one that jumps ahead must not cost anybody offsets.
    fn steady_wall(&self, now: Now) -> Timestamp {
        let Some(started) = self.started else { return now.wall };
        let passed_ms = i64::try_from(now.tick.ms_since(started.tick)).unwrap_or(i64::MAX);
        now.wall.min(Timestamp(started.wall.0.saturating_add(passed_ms)))
    }
}

impl Group {
    fn expire(&mut self, turn: &Turn<'_>) -> Vec<Entry> {
        let mut expired = self.expired(turn.now.wall, turn.config);
        if !expired.is_empty() {
            let read = self.protocol.topics();
            expired.retain(|(topic, _)| !read.has(topic));
        }
        expired.iter().map(|(topic, partition)| self.forget(topic, *partition)).collect()
    }

    fn expired(&self, now: Timestamp, config: &GroupConfig) -> Vec<(String, PartitionIndex)> {
        let retention_ms = i64::try_from(config.offsets_retention_ms).unwrap_or(i64::MAX);
        let unused = self.unused();
        let is_expired = |it: &CommittedOffset| {
            let since = match unused {
                Unused::Never => return false,
                Unused::SinceCommitted => it.committed_at,
                Unused::Since(since) => since,
            };
            match it.expires_at {
                Some(at) => at <= now,
                None => retention_ms <= now.0.saturating_sub(since.0),
            }
        };
        let mut expired = Vec::new();
        for (topic, partitions) in self.offsets.settled() {
            for partition in partitions {
                let is_it = self.offsets.get(topic, partition).is_some_and(is_expired);
                if is_it && !self.offsets.is_unstable(topic, partition) {
                    expired.push((topic.to_owned(), partition));
                }
            }
        }
        expired
    }

    fn unused(&self) -> Unused {
        let Protocol::Classic(classic) = &self.protocol else { return Unused::SinceCommitted };
        match classic.state() {
            GroupState::Empty if classic.protocol_type().is_some() => {
                classic.since().map_or(Unused::SinceCommitted, Unused::Since)
            }
            GroupState::Empty => Unused::SinceCommitted,
            // What the members do not read any more.
            GroupState::Stable if classic.is_of_consumers() => Unused::SinceCommitted,
            _ => Unused::Never,
        }
    }
}
