//! Refusals, in the partition's own terms.

use klamm_log::{DamagedRange, ReadError};
use klamm_model::{BatchError, BrokerEpoch, BrokerId, LeaderEpoch, Offset};
use thiserror::Error;

/// Why a batch was not appended. Nothing of it is in the log.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum AppendError {
    /// Another replica leads, or none.
    #[error("this replica does not lead the partition")]
    NotLeader,
    /// The caller acts for another leader epoch.
    #[error("appended for leader epoch {given}, which is not the current {current}")]
    Fenced {
        /// The caller's epoch.
        given: LeaderEpoch,
        /// The partition's epoch.
        current: LeaderEpoch,
    },
    /// `acks=all` asks for more replicas in sync than there are.
    #[error("{in_sync} replicas are in sync, {min_isr} are asked for")]
    NotEnoughReplicas {
        /// Members of the committed in-sync set.
        in_sync: u32,
        /// How many `acks=all` needs.
        min_isr: u32,
    },
    /// The log refused it: the producer's numbering, a queue that is full, a disk that failed.
    #[error(transparent)]
    Log(#[from] klamm_log::AppendError),
}

/// Why a fetch, or a question about offsets, is not answered.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum FetchError {
    /// Another replica leads, or none.
    #[error("this replica does not lead the partition")]
    NotLeader,
    /// Whoever asks believes in an earlier leader.
    #[error("leader epoch {given} is older than the current {current}")]
    FencedEpoch {
        /// The epoch in the request.
        given: LeaderEpoch,
        /// The partition's epoch.
        current: LeaderEpoch,
    },
    /// Whoever asks knows of a later leader than we do.
    #[error("leader epoch {given} is newer than the current {current}")]
    UnknownEpoch {
        /// The epoch in the request.
        given: LeaderEpoch,
        /// The partition's epoch.
        current: LeaderEpoch,
    },
    /// The broker holds no replica of this partition.
    #[error("broker {follower} holds no replica of the partition")]
    UnknownReplica {
        /// Who fetched.
        follower: BrokerId,
    },
    /// The fetch comes from an earlier life of a broker that has restarted since (KIP-903).
    #[error("broker epoch {given} is older than {current}, which fetched before")]
    StaleBroker {
        /// The registration that the fetch was made under.
        given: BrokerEpoch,
        /// The newest registration of that broker that has fetched.
        current: BrokerEpoch,
    },
    /// The offset lies outside the log.
    #[error("offset {from} is not within {log_start}..={end}")]
    OutOfRange {
        /// The offset asked for.
        from: Offset,
        /// First offset of the leader's log.
        log_start: Offset,
        /// One past the last offset of the leader's log.
        end: Offset,
    },
    /// A new leader does not know yet how far its predecessor's high watermark was (KIP-207).
    #[error(
        "the high watermark {high_watermark} has not reached {epoch_start}, where the leader's epoch starts"
    )]
    OffsetNotAvailable {
        /// How far this leader knows records to be committed.
        high_watermark: Offset,
        /// Where it took over.
        epoch_start: Offset,
    },
    /// A follower lacks what its leader may have committed.
    #[error("this follower's log ends at {end}, before offset {from}")]
    NotCopiedYet {
        /// The offset asked for.
        from: Offset,
        /// One past the last offset here.
        end: Offset,
    },
    /// What a follower has there is not what was written.
    #[error("this follower's copy is damaged: {0}")]
    DamagedCopy(DamagedRange),
    /// The log could not say where the records are.
    #[error(transparent)]
    Log(#[from] ReadError),
}

/// Why a replica did not take the part it was told to take. It is idle afterwards, or goes on as before where it says so.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum BecomeError {
    /// The state is older than what this replica already knows. Following an older leader could cost committed records, so it goes on as before.
    #[error("leader epoch {given} is older than {current}, which this replica has seen")]
    OldEpoch {
        /// The epoch of the state.
        given: LeaderEpoch,
        /// The newest epoch seen, from a state or in the log's records.
        current: LeaderEpoch,
    },
    /// This replica led under that epoch before it restarted. Records it had not synced may be gone here and present at a
    /// follower, so the epoch must not be used for other records.
    #[error(
        "records of leader epoch {epoch} are in the log from before: a new epoch is needed to lead again"
    )]
    EpochUsedBefore {
        /// The epoch of the state.
        epoch: LeaderEpoch,
    },
    /// The state names another leader, or none; or, for a follower, this very replica.
    #[error("the state names {leader:?} as leader")]
    OtherLeader {
        /// The leader the state names.
        leader: Option<BrokerId>,
    },
    /// The log has failed and serves nothing until it is recovered.
    #[error("the log has failed")]
    LogFailed,
}

/// What was wrong with a leader's answer to a follower. The follower's log is as it was.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum FetchedError {
    /// The leader lacks records that were known to be committed: a bug, a lost disk or an unclean election nobody told of.
    /// The follower fetches no more until the partition gets another leader.
    #[error("the leader has nothing of ours from {to}, but everything below {high_watermark} was committed")]
    TruncationBelowHighWatermark {
        /// How far back the leader's answer would cut the log.
        to: Offset,
        /// How far records are known to be committed.
        high_watermark: Offset,
    },
    /// The leader says that the logs differ, yet names a point where they do not.
    #[error("told to diverge at epoch {epoch}, offset {end}, with nothing to cut before our end {own_end}")]
    NothingToTruncate {
        /// The epoch named.
        epoch: LeaderEpoch,
        /// Where it ends at the leader.
        end: Offset,
        /// The end of our log.
        own_end: Offset,
    },
    /// The leader calls our offset out of range, though its log starts at or before it.
    #[error("told to start again from {log_start}, though our log ends at {own_end}")]
    NoReasonToRestart {
        /// Start of the leader's log.
        log_start: Offset,
        /// The end of our log.
        own_end: Offset,
    },
    /// A batch carries an epoch that its leader cannot have written.
    #[error("a batch at {base} carries epoch {found:?}, newer than the leader's {leader_epoch}")]
    EpochFromTheFuture {
        /// First offset of the batch.
        base: Offset,
        /// The epoch it carries.
        found: Option<LeaderEpoch>,
        /// The epoch the fetch was made under.
        leader_epoch: LeaderEpoch,
    },
    /// The bytes do not begin with a whole batch.
    #[error("the leader's records are malformed: {0}")]
    Malformed(BatchError),
    /// The log refused the records.
    #[error(transparent)]
    Log(#[from] klamm_log::AppendError),
}
