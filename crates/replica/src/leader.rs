//! What a leader knows of the other replicas: how far each has come, who is in sync, and what that makes of the high watermark.
//!
//! Knows no log: offsets come in, the committed end goes out.

use klamm_model::{BrokerEpoch, BrokerId, LeaderEpoch, Offset, PartitionEpoch, Tick};

use crate::isr::Proposals;
use crate::state::{PartitionState, ReplicaConfig, Sabotage};

/// A leader in one epoch.
///
/// Invariant: `followers` are the replicas other than this one, and every member of the in-sync set other than this one is
/// among them.
pub(crate) struct Leader {
    pub(crate) epoch: LeaderEpoch,
    /// Where this epoch's records start. Nobody knows whether records before it are committed until the high watermark gets here.
    pub(crate) epoch_start: Offset,
    pub(crate) partition_epoch: PartitionEpoch,
    pub(crate) isr: Vec<BrokerId>,
    /// Others have all committed records, as the metadata say.
    others_eligible: bool,
    /// How many replicas there are, this one included.
    pub(crate) replica_count: usize,
    /// Empty where the partition has one replica: everything is committed as soon as it is on this disk.
    pub(crate) followers: Vec<Follower>,
    pub(crate) proposals: Proposals,
}

/// Another replica, as its leader sees it.
pub(crate) struct Follower {
    pub(crate) id: BrokerId,
    pub(crate) broker_epoch: Option<BrokerEpoch>,
    /// What it claims to hold: the offset of its last fetch under this leader's epoch. `None` before the first.
    pub(crate) end: Option<Offset>,
    /// Where its log starts, as its last fetch told.
    pub(crate) log_start: Option<Offset>,
    /// In the committed in-sync set.
    pub(crate) in_sync: bool,
    /// In a set that was proposed under the current partition epoch and may still be committed.
    pub(crate) proposed: bool,
    /// When it last had everything there was to fetch.
    pub(crate) caught_up_at: Tick,
    fetched_at: Tick,
    /// What there was to fetch when it last did.
    leader_end_then: Offset,
    /// By its last fetch: what comes next is not for it.
    pub(crate) takes_none: bool,
}

impl Leader {
    pub(crate) fn new(me: BrokerId, now: Tick, state: &PartitionState, epoch_start: Offset) -> Self {
        let mut leader = Self {
            epoch: state.leader_epoch,
            epoch_start,
            partition_epoch: state.partition_epoch,
            isr: Vec::new(),
            others_eligible: false,
            replica_count: 0,
            followers: Vec::new(),
            proposals: Proposals::default(),
        };
        leader.adopt_replicas(me, now, &state.replicas);
        leader.adopt_isr(now, state.partition_epoch, &state.isr);
        leader.adopt_eligible(state.others_eligible);
        leader
    }

    /// The partition's replicas are these now. What is known of those that stay is kept. Whether anybody went.
    pub(crate) fn adopt_replicas(&mut self, me: BrokerId, now: Tick, replicas: &[BrokerId]) -> bool {
        self.replica_count = replicas.len();
        let mut known = std::mem::take(&mut self.followers);
        for &id in replicas.iter().filter(|&&id| id != me) {
            let follower = match known.iter().position(|follower| follower.id == id) {
                Some(at) => known.swap_remove(at),
                None => Follower::unheard(id, now),
            };
            self.followers.push(follower);
        }
        !known.is_empty()
    }

    /// A set was committed under a partition epoch that is newer, or the first. Whatever was proposed under the one before can
    /// never be committed any more.
    pub(crate) fn adopt_isr(&mut self, now: Tick, partition_epoch: PartitionEpoch, isr: &[BrokerId]) {
        self.partition_epoch = partition_epoch;
        self.isr = isr.to_vec();
        self.proposals = Proposals::default();
        for follower in &mut self.followers {
            let in_sync = isr.contains(&follower.id);
            if in_sync && !follower.in_sync {
                // One that just joined was behind for longer than a member may be; without this it would be thrown out at once.
                follower.caught_up_at = now;
            }
            follower.in_sync = in_sync;
            follower.proposed = false;
        }
    }

    /// Whether others have all committed records, under the partition epoch that was adopted last. Whoever says that they have means that nothing is committed
    /// now; which `min.insync.replicas` this broker goes by does not matter then.
    pub(crate) fn adopt_eligible(&mut self, others_eligible: bool) {
        self.others_eligible = others_eligible;
    }

    /// The log ends here, perhaps lower than before: records copied as a follower may fail to be written after this replica
    /// took over. Its epoch then starts lower; and those who hold the lost records do not hold what gets their offsets next.
    pub(crate) fn forget_above(&mut self, end: Offset) {
        self.epoch_start = self.epoch_start.min(end);
        for follower in &mut self.followers {
            follower.end = follower.end.map(|claimed| claimed.min(end));
        }
    }

    pub(crate) fn follower_mut(&mut self, id: BrokerId) -> Option<&mut Follower> {
        self.followers.iter_mut().find(|follower| follower.id == id)
    }

    /// How many replicas must be in sync before anything counts as committed (KIP-966).
    pub(crate) fn in_sync_needed(&self, config: ReplicaConfig) -> usize {
        usize::try_from(config.min_isr).unwrap_or(usize::MAX).min(self.replica_count)
    }

    pub(crate) fn enough_in_sync(&self, config: ReplicaConfig) -> bool {
        self.in_sync_needed(config) <= self.isr.len() && !self.others_eligible
    }

    /// Below this every member of the maximal in-sync set has everything, `own_end` being what counts on this replica's disk.
    /// `None` while that cannot be told: somebody has not fetched in this epoch, or too few are in sync.
    pub(crate) fn committed_end(
        &self,
        own_end: Offset,
        config: ReplicaConfig,
        sabotage: Sabotage,
    ) -> Option<Offset> {
        if self.followers.is_empty() || sabotage.high_watermark_ignores_followers {
            return Some(own_end);
        }
        if !self.enough_in_sync(config) {
            return None;
        }
        let mut committed = own_end;
        for follower in &self.followers {
            let may_join = follower.proposed && !sabotage.high_watermark_ignores_pending_isr;
            if follower.in_sync || may_join {
                committed = committed.min(follower.end?);
            }
        }
        Some(committed)
    }
}

impl Follower {
    fn unheard(id: BrokerId, now: Tick) -> Self {
        Self {
            id,
            broker_epoch: None,
            end: None,
            log_start: None,
            in_sync: false,
            proposed: false,
            caught_up_at: now,
            fetched_at: now,
            leader_end_then: Offset::MAX,
            takes_none: false,
        }
    }

    /// It fetched from `offset` under the current epoch when `leader_end` was there to fetch.
    pub(crate) fn fetched(
        &mut self,
        now: Tick,
        broker_epoch: Option<BrokerEpoch>,
        offset: Offset,
        leader_end: Offset,
    ) {
        if leader_end <= offset {
            self.caught_up_at = now;
        } else if self.leader_end_then <= offset {
            // Under constant load it is never level, but it has what there was when it last asked.
            self.caught_up_at = self.caught_up_at.max(self.fetched_at);
        }
        self.fetched_at = now;
        self.leader_end_then = leader_end;
        self.end = Some(offset);
        self.broker_epoch = broker_epoch.or(self.broker_epoch);
    }

    /// It was there at `heard` and waited for more than it had.
    pub(crate) fn waited(&mut self, heard: Tick) {
        if self.end.is_some_and(|end| self.leader_end_then <= end) {
            self.caught_up_at = self.caught_up_at.max(heard);
        }
    }

    /// Whether it has been behind for too long, or silent, or is behind and will stay so.
    pub(crate) fn lags(&self, now: Tick, leader_end: Offset, config: ReplicaConfig) -> bool {
        let level = self.end.is_some_and(|end| leader_end <= end);
        !level && (self.takes_none || config.lag_time_max_ms < now.ms_since(self.caught_up_at))
    }
}
