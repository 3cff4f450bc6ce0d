//! The one place where an error becomes a Kafka code.
//!
//! No `_` in any match: whoever adds a variant decides what clients are told.

use klamm_cluster::controller::{
    AllocateError, AlterConfigError, AlterPartitionError, CreatePartitionsError, CreateTopicError,
    DeleteTopicError, ElectLeaderError, FeatureError, LevelError, ReassignError, RegisterError, StaleBroker,
    UnknownBroker,
};
use klamm_cluster::quota::QuotaError;
use klamm_coordinator::{group::GroupError, transaction::TransactionError};
use klamm_log::ReadError;
use klamm_model::{BatchError, DecompressError, ErrorCode, Fault, RuleError};
use klamm_quorum::VoterError;
use klamm_replica::{AppendError, FetchError};

/// An error that a client may be told of.
pub(crate) trait ToCode {
    /// What it is told.
    fn code(&self) -> ErrorCode;
}

impl ToCode for BatchError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Corrupt(_) => ErrorCode::CorruptMessage,
            Self::Invalid(_) | Self::UnsupportedMagic(_) | Self::Empty | Self::TooManyBatches => {
                ErrorCode::InvalidRecord
            }
            Self::UnsupportedCodec(_) => ErrorCode::UnsupportedCompressionType,
            Self::TooLarge { .. } => ErrorCode::MessageTooLarge,
            Self::LogAppendTimeFromClient => ErrorCode::InvalidTimestamp,
            Self::Decompress(DecompressError::TooLarge { .. }) => ErrorCode::MessageTooLarge,
            Self::Decompress(DecompressError::Malformed(_)) => ErrorCode::CorruptMessage,
        }
    }
}

impl ToCode for VoterError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::IsVoter { .. } => ErrorCode::DuplicateVoter,
            Self::NoVoter { .. } => ErrorCode::VoterNotFound,
            // With these Kafka's leader waits for what does not come.
            Self::NotThere { .. } | Self::Behind { .. } | Self::Missing { .. } | Self::Busy | Self::Lost => {
                ErrorCode::RequestTimedOut
            }
            Self::Last => ErrorCode::InvalidRequest,
            Self::Deposed => ErrorCode::NotLeaderOrFollower,
            Self::Alone => ErrorCode::UnsupportedVersion,
        }
    }
}

impl ToCode for RuleError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Batch(error) => error.code(),
            // One code for all of a batch's records; Kafka prefers this one.
            Self::Records(faults) if faults.iter().any(|it| matches!(it.fault, Fault::Timestamp { .. })) => {
                ErrorCode::InvalidTimestamp
            }
            Self::Records(_) => ErrorCode::InvalidRecord,
        }
    }
}

impl ToCode for AppendError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::NotLeader | Self::Fenced { .. } => ErrorCode::NotLeaderOrFollower,
            Self::NotEnoughReplicas { .. } => ErrorCode::NotEnoughReplicas,
            Self::Log(error) => error.code(),
        }
    }
}

impl ToCode for klamm_log::AppendError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::StaleProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
            Self::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
            Self::InTransaction { .. } => ErrorCode::InvalidTxnState,
            Self::CoordinatorFenced { .. } => ErrorCode::TransactionCoordinatorFenced,
            Self::Damaged { .. } => ErrorCode::CorruptMessage,
            Self::TooLarge { .. } => ErrorCode::MessageTooLarge,
            // Followers alone append what another numbered; no client's batch ends here.
            Self::NotContiguous { .. } | Self::EpochWentBack { .. } => ErrorCode::UnknownServerError,
            // Retriable, and the producer keeps its order: its later batches are out of sequence until this one is in.
            Self::Overloaded { .. } | Self::LogFailed => ErrorCode::KafkaStorageError,
        }
    }
}

impl ToCode for GroupError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::InvalidId { .. } => ErrorCode::InvalidGroupId,
            Self::UnknownGroup { .. } => ErrorCode::GroupIdNotFound,
            Self::UnknownMember => ErrorCode::UnknownMemberId,
            Self::MemberIdRequired { .. } => ErrorCode::MemberIdRequired,
            Self::FencedInstance { .. } => ErrorCode::FencedInstanceId,
            Self::IllegalGeneration { .. } => ErrorCode::IllegalGeneration,
            Self::FencedEpoch { .. } => ErrorCode::FencedMemberEpoch,
            Self::StaleEpoch { .. } => ErrorCode::StaleMemberEpoch,
            Self::NoEpochs => ErrorCode::UnsupportedVersion,
            Self::UnreleasedInstance { .. } => ErrorCode::UnreleasedInstanceId,
            Self::UnsupportedAssignor { .. } => ErrorCode::UnsupportedAssignor,
            Self::InvalidRegex { .. } => ErrorCode::InvalidRegularExpression,
            Self::InvalidRequest { .. } => ErrorCode::InvalidRequest,
            Self::NotConsumer { .. } => ErrorCode::GroupIdNotFound,
            Self::RebalanceInProgress => ErrorCode::RebalanceInProgress,
            Self::InconsistentProtocol => ErrorCode::InconsistentGroupProtocol,
            Self::InvalidSessionTimeout { .. } => ErrorCode::InvalidSessionTimeout,
            Self::Full => ErrorCode::GroupMaxSizeReached,
            // As with Kafka: members know no other code that stops them.
            Self::TooLarge { .. } => ErrorCode::UnknownServerError,
            Self::NotEmpty { .. } => ErrorCode::NonEmptyGroup,
            Self::Subscribed => ErrorCode::GroupSubscribedToTopic,
            Self::MetadataTooLarge { .. } => ErrorCode::OffsetMetadataTooLarge,
            Self::NegativeOffset => ErrorCode::InvalidCommitOffsetSize,
            Self::UnstableOffset => ErrorCode::UnstableOffsetCommit,
        }
    }
}

impl ToCode for TransactionError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::EmptyId => ErrorCode::InvalidRequest,
            Self::InvalidTimeout { .. } => ErrorCode::InvalidTransactionTimeout,
            Self::TwoPhaseCommit => ErrorCode::TransactionalIdAuthorizationFailed,
            Self::KeepPrepared => ErrorCode::UnsupportedVersion,
            Self::UnknownProducer => ErrorCode::InvalidProducerIdMapping,
            Self::Fenced => ErrorCode::ProducerFenced,
            Self::Concurrent => ErrorCode::ConcurrentTransactions,
            Self::InvalidState { .. } => ErrorCode::InvalidTxnState,
            Self::UnknownId { .. } => ErrorCode::TransactionalIdNotFound,
            Self::NoProducerIds => ErrorCode::CoordinatorLoadInProgress,
            // As with Kafka: producers know no other code that stops them.
            Self::TooLarge { .. } => ErrorCode::UnknownServerError,
        }
    }
}

impl ToCode for FetchError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::NotLeader => ErrorCode::NotLeaderOrFollower,
            Self::FencedEpoch { .. } => ErrorCode::FencedLeaderEpoch,
            Self::UnknownEpoch { .. } => ErrorCode::UnknownLeaderEpoch,
            Self::UnknownReplica { .. } => ErrorCode::ReplicaNotAvailable,
            Self::StaleBroker { .. } => ErrorCode::StaleBrokerEpoch,
            Self::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            // Consumers ask the leader then. For damage by its own code they would give up, though the leader has what they want.
            Self::OffsetNotAvailable { .. } | Self::NotCopiedYet { .. } | Self::DamagedCopy(_) => {
                ErrorCode::OffsetNotAvailable
            }
            Self::Log(error) => error.code(),
        }
    }
}

impl ToCode for ReadError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            Self::Quarantined(_) | Self::Damaged { .. } => ErrorCode::CorruptMessage,
            Self::Io { .. } | Self::Replaced | Self::LogFailed => ErrorCode::KafkaStorageError,
        }
    }
}

impl ToCode for CreateTopicError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Name(_) | Self::Collides { .. } => ErrorCode::InvalidTopicException,
            Self::Exists { .. } => ErrorCode::TopicAlreadyExists,
            Self::Repeated { .. } | Self::Contradictory => ErrorCode::InvalidRequest,
            Self::PartitionCount { .. } => ErrorCode::InvalidPartitions,
            Self::TooManyPartitions { .. } | Self::TooLarge => ErrorCode::PolicyViolation,
            Self::ReplicationFactor { .. } => ErrorCode::InvalidReplicationFactor,
            Self::Assignment { .. } => ErrorCode::InvalidReplicaAssignment,
            Self::Config(_) => ErrorCode::InvalidConfig,
        }
    }
}

impl ToCode for DeleteTopicError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownName { .. } => ErrorCode::UnknownTopicOrPartition,
            Self::UnknownId { .. } => ErrorCode::UnknownTopicId,
            Self::Repeated | Self::Contradictory => ErrorCode::InvalidRequest,
            Self::Disabled => ErrorCode::TopicDeletionDisabled,
        }
    }
}

impl ToCode for CreatePartitionsError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownTopic { .. } => ErrorCode::UnknownTopicOrPartition,
            Self::Repeated => ErrorCode::InvalidRequest,
            Self::NotMore { .. } => ErrorCode::InvalidPartitions,
            Self::TooMany { .. } | Self::TooLarge => ErrorCode::PolicyViolation,
            Self::ReplicationFactor { .. } => ErrorCode::InvalidReplicationFactor,
            Self::Assignment { .. } => ErrorCode::InvalidReplicaAssignment,
        }
    }
}

impl ToCode for ElectLeaderError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownPartition { .. } => ErrorCode::UnknownTopicOrPartition,
            Self::NotNeeded => ErrorCode::ElectionNotNeeded,
            Self::PreferredNotAvailable => ErrorCode::PreferredLeaderNotAvailable,
            Self::EligibleNotAvailable => ErrorCode::EligibleLeadersNotAvailable,
        }
    }
}

impl ToCode for ReassignError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownPartition { .. } => ErrorCode::UnknownTopicOrPartition,
            Self::Repeated => ErrorCode::InvalidRequest,
            Self::NotUnderWay => ErrorCode::NoReassignmentInProgress,
            Self::Replicas { .. } => ErrorCode::InvalidReplicaAssignment,
            Self::FactorChange { .. } => ErrorCode::InvalidReplicationFactor,
        }
    }
}

impl ToCode for UnknownBroker {
    fn code(&self) -> ErrorCode {
        ErrorCode::BrokerIdNotRegistered
    }
}

impl ToCode for QuotaError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::NoEntity
            | Self::UnknownKind { .. }
            | Self::RepeatedKind { .. }
            | Self::MixedWithIp
            | Self::Name { .. }
            | Self::UnknownKey { .. }
            | Self::Repeated
            | Self::Value { .. } => ErrorCode::InvalidRequest,
            Self::TooLarge => ErrorCode::PolicyViolation,
        }
    }
}

impl ToCode for RegisterError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::OtherCluster { .. } => ErrorCode::InconsistentClusterId,
            Self::OtherDirectory { .. } => ErrorCode::DuplicateBrokerRegistration,
            Self::Level(_) => ErrorCode::UnsupportedVersion,
        }
    }
}

impl ToCode for FeatureError {
    fn code(&self) -> ErrorCode {
        match self.error {
            LevelError::UnknownKind
            | LevelError::Negative
            | LevelError::Unknown { .. }
            | LevelError::Unsupported { .. }
            | LevelError::IsLower
            | LevelError::IsHigher
            | LevelError::Stays { .. }
            | LevelError::NoLevels => ErrorCode::InvalidUpdateVersion,
            LevelError::Repeated => ErrorCode::InvalidRequest,
        }
    }
}

impl ToCode for StaleBroker {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Unknown { .. } => ErrorCode::BrokerIdNotRegistered,
            Self::Epoch { .. } => ErrorCode::StaleBrokerEpoch,
        }
    }
}

impl ToCode for AllocateError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Stale(error) => error.code(),
            Self::UsedUp => ErrorCode::UnknownServerError,
        }
    }
}

impl ToCode for AlterPartitionError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownTopic { .. } => ErrorCode::UnknownTopicId,
            Self::UnknownPartition { .. } => ErrorCode::UnknownTopicOrPartition,
            Self::AheadOfController => ErrorCode::NotController,
            Self::OldLeaderEpoch { .. } | Self::NotLeader { .. } => ErrorCode::FencedLeaderEpoch,
            Self::OldPartitionEpoch { .. } => ErrorCode::InvalidUpdateVersion,
            Self::Impossible { .. } => ErrorCode::InvalidRequest,
            Self::Ineligible { .. } => ErrorCode::IneligibleReplica,
            Self::NewLeader => ErrorCode::NewLeaderElected,
        }
    }
}

impl ToCode for AlterConfigError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownTopic { .. } => ErrorCode::UnknownTopicOrPartition,
            Self::Name(_) => ErrorCode::InvalidTopicException,
            Self::UnknownBroker { .. } => ErrorCode::BrokerIdNotRegistered,
            Self::NoTopicDefault
            | Self::RepeatedResource
            | Self::Repeated { .. }
            | Self::Malformed { .. }
            | Self::ReadOnly { .. }
            | Self::PerBroker { .. } => ErrorCode::InvalidRequest,
            // Kafka says INVALID_REQUEST to a wrong value of a broker's key, and that it should not (KAFKA-13609).
            Self::Config(_) | Self::NoList { .. } | Self::Secret { .. } => ErrorCode::InvalidConfig,
            Self::TooLarge => ErrorCode::PolicyViolation,
        }
    }
}
