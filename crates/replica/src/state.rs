//! What a replica is told from outside: the partition's place in the cluster, its settings, and what a simulation breaks on purpose.

use klamm_model::{BrokerId, LeaderEpoch, PartitionEpoch};

/// One partition as the committed metadata has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartitionState {
    /// Who leads; `None` while no in-sync replica is alive.
    pub leader: Option<BrokerId>,
    /// Which leader of the partition this is.
    pub leader_epoch: LeaderEpoch,
    /// Which change of the partition this is.
    pub partition_epoch: PartitionEpoch,
    /// The committed in-sync replicas.
    pub isr: Vec<BrokerId>,
    /// Others, who are not in sync, have all committed records too (KIP-966): as long as they are told to, nothing more is committed without them.
    pub others_eligible: bool,
    /// Every broker that is to hold the partition.
    pub replicas: Vec<BrokerId>,
    /// Whether this leader was elected although it may lack committed records. Followers then cut their logs back even below
    /// what they know to be committed.
    pub unclean: bool,
}

/// The settings of a topic that replication needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplicaConfig {
    /// A follower that has not been level with its leader for so long leaves the in-sync set (`replica.lag.time.max.ms`).
    pub lag_time_max_ms: u64,
    /// `min.insync.replicas`. Counts no higher than the number of replicas there are.
    pub min_isr: u32,
}

impl Default for ReplicaConfig {
    fn default() -> Self {
        Self { lag_time_max_ms: 10_000, min_isr: 1 }
    }
}

/// Rules that a simulation switches off to see that its checkers notice. All off in production; each is looked at in one place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sabotage {
    /// Counts what is written as if it were synced, as leader and as follower.
    pub ack_before_synced: bool,
    /// Serves and counts a follower's fetch whatever epochs it carries.
    pub skip_epoch_check_on_fetch: bool,
    /// A follower keeps its records whatever its leader has: it never names its last epoch.
    pub skip_truncation: bool,
    /// The high watermark waits for the committed in-sync set only, not for the one being proposed.
    pub high_watermark_ignores_pending_isr: bool,
    /// The high watermark waits for the leader's own disk only.
    pub high_watermark_ignores_followers: bool,
    /// A follower joins the in-sync set at the high watermark, even below the start of the leader's epoch.
    pub isr_join_below_epoch_start: bool,
    /// Consumers are given what is not committed.
    pub serve_above_high_watermark: bool,
    /// A leader takes each batch as if it came from a producer that does not number its batches.
    pub forget_producer_state: bool,
    /// What was found to be damaged is served like everything else.
    pub forget_damage: bool,
    /// Coordinators answer when their records are appended, and not when they are committed.
    pub answer_before_committed: bool,
    /// A coordinator that takes over keeps the offsets of topics that went while nobody was.
    pub keep_offsets_of_gone_topics: bool,
    /// A log of which nothing is found on disk begins anew, and counts as it did.
    pub trusts_what_is_gone: bool,
    /// A process that crashed says that it was stopped.
    pub crash_counts_as_stop: bool,
    /// Every record is old enough to be deleted, those of the segment that grows too.
    pub retention_ignores_age: bool,
}
