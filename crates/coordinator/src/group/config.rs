//! What an operator may set for groups.

use super::Assignor;

/// What an operator may set for groups.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupConfig {
    /// `group.min.session.timeout.ms`: the shortest that a member may ask for.
    pub session_timeout_ms_min: u32,
    /// `group.max.session.timeout.ms`: the longest that a member may ask for.
    pub session_timeout_ms_max: u32,
    /// `group.initial.rebalance.delay.ms`: how long a new group waits for more members.
    pub initial_rebalance_delay_ms: u32,
    /// `group.max.size`: members of one group.
    pub members_max: usize,
    /// `group.consumer.session.timeout.ms`: how long a member of the consumer protocol may be silent.
    pub consumer_session_timeout_ms: u32,
    /// `group.consumer.heartbeat.interval.ms`: how often it is to show itself.
    pub consumer_heartbeat_interval_ms: u32,
    /// `group.consumer.assignors`: how the work of a group may be distributed; the first where members do not care. There is one at least.
    pub consumer_assignors: Vec<Assignor>,
    /// `group.consumer.assignment.interval.ms`: how long the work stays as it is distributed, at least.
    pub consumer_assignment_interval_ms: u32,
    /// `group.consumer.max.size`: members of one group of the consumer protocol.
    pub consumer_members_max: usize,
    /// `group.consumer.migration.policy`: which moves between the protocols groups make while they have members.
    pub consumer_migration: MigrationPolicy,
    /// `offset.metadata.max.bytes`: of what is kept with an offset.
    pub offset_metadata_size_max: usize,
    /// `offsets.retention.minutes`, in milliseconds: how long offsets are kept that nobody uses.
    pub offsets_retention_ms: u64,
    /// `offsets.retention.check.interval.ms`: how often it is looked for such offsets.
    pub offsets_check_interval_ms: u64,
    /// The most that one append may hold: what the log takes in one batch (`max.message.bytes` of the topic).
    pub batch_size_max: usize,
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self {
            session_timeout_ms_min: 6_000,
            session_timeout_ms_max: 1_800_000,
            initial_rebalance_delay_ms: 3_000,
            members_max: i32::MAX as usize,
            consumer_session_timeout_ms: 45_000,
            consumer_heartbeat_interval_ms: 5_000,
            consumer_assignors: Assignor::ALL.to_vec(),
            consumer_assignment_interval_ms: 0,
            consumer_members_max: i32::MAX as usize,
            consumer_migration: MigrationPolicy::Bidirectional,
            offset_metadata_size_max: 4_096,
            offsets_retention_ms: 10_080 * 60_000,
            offsets_check_interval_ms: 600_000,
            batch_size_max: 1_048_588,
        }
    }
}

/// Which moves between the protocols groups make while they have members.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MigrationPolicy {
    /// None: the first member decides.
    Disabled,
    /// To the consumer protocol, with the first member that speaks it.
    Upgrade,
    /// To the classic protocol, with the last member that spoke the other.
    Downgrade,
    /// Both.
    Bidirectional,
}

impl MigrationPolicy {
    /// By Kafka's word.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "disabled" => Self::Disabled,
            "upgrade" => Self::Upgrade,
            "downgrade" => Self::Downgrade,
            "bidirectional" => Self::Bidirectional,
            _ => return None,
        })
    }

    pub(super) fn upgrades(self) -> bool {
        matches!(self, Self::Upgrade | Self::Bidirectional)
    }

    pub(super) fn downgrades(self) -> bool {
        matches!(self, Self::Downgrade | Self::Bidirectional)
    }
}
