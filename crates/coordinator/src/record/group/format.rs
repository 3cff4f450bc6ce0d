//! What is stored of groups, as Kafka lays it out.

use klamm_wire::coordinator_records::{
    ClassicMemberMetadata, ClassicProtocol, MemberMetadata, TopicPartition,
    TopicPartitions as SincePartitions,
};
use klamm_wire::{
    ConsumerGroupCurrentMemberAssignmentKey as AssignmentKey,
    ConsumerGroupCurrentMemberAssignmentValue as AssignmentValue,
    ConsumerGroupMemberMetadataKey as MemberKey, ConsumerGroupMemberMetadataValue as MemberValue,
    ConsumerGroupMetadataKey as ConsumerKey, ConsumerGroupMetadataValue as ConsumerValue,
    ConsumerGroupRegularExpressionKey as RegexKey, ConsumerGroupRegularExpressionValue as RegexValue,
    ConsumerGroupTargetAssignmentMemberKey as MemberTargetKey,
    ConsumerGroupTargetAssignmentMemberValue as MemberTargetValue,
    ConsumerGroupTargetAssignmentMetadataKey as TargetKey,
    ConsumerGroupTargetAssignmentMetadataValue as TargetValue, GroupMetadataKey as ClassicKey,
    GroupMetadataValue as ClassicValue, OffsetCommitKey as OffsetKey, OffsetCommitValue as OffsetValue,
};

use super::*;
use crate::record::format::{checked, entry, key, open, value};

/// Brokers of all versions that are still about can read it; Kafka does not write the next one either.
const CLASSIC_VERSION: i16 = 3;
const OFFSET_VERSION: i16 = 4;
/// The only one that has a place for the time from which an offset may be forgotten.
const EXPIRING_OFFSET_VERSION: i16 = 1;
/// Of everything that came with the consumer protocol.
const CONSUMER_VERSION: i16 = 0;

pub(super) fn encode(record: GroupRecord) -> Entry {
    match record {
        GroupRecord::Offset { group, topic, partition, value } => {
            let expiring = value.as_ref().is_some_and(|it| it.expires_at.is_some());
            let version = if expiring { EXPIRING_OFFSET_VERSION } else { OFFSET_VERSION };
            let key = OffsetKey { group, topic, partition: partition.0 };
            entry(OffsetKey::RECORD_TYPE, &key, version, value.map(OffsetValue::from))
        }
        GroupRecord::Classic { group, value } => entry(
            ClassicKey::RECORD_TYPE,
            &ClassicKey { group },
            CLASSIC_VERSION,
            value.map(ClassicValue::from),
        ),
        GroupRecord::Consumer { group, value } => {
            let value = value.map(|it| ConsumerValue { epoch: it.epoch, metadata_hash: it.metadata_hash });
            entry(ConsumerKey::RECORD_TYPE, &ConsumerKey { group_id: group }, CONSUMER_VERSION, value)
        }
        GroupRecord::Member { group, member, value } => {
            let key = MemberKey { group_id: group, member_id: member };
            entry(MemberKey::RECORD_TYPE, &key, CONSUMER_VERSION, value.map(MemberValue::from))
        }
        GroupRecord::Target { group, value } => {
            let value = value.map(|it| TargetValue {
                assignment_epoch: it.epoch,
                assignment_timestamp: it.at.map_or(0, |at| at.0),
            });
            entry(TargetKey::RECORD_TYPE, &TargetKey { group_id: group }, CONSUMER_VERSION, value)
        }
        GroupRecord::MemberTarget { group, member, value } => {
            let key = MemberTargetKey { group_id: group, member_id: member };
            let topics = |it: Vec<TopicPartitions>| it.into_iter().map(TopicPartition::from).collect();
            let value = value.map(|it| MemberTargetValue { topic_partitions: topics(it) });
            entry(MemberTargetKey::RECORD_TYPE, &key, CONSUMER_VERSION, value)
        }
        GroupRecord::Assignment { group, member, value } => {
            let key = AssignmentKey { group_id: group, member_id: member };
            entry(AssignmentKey::RECORD_TYPE, &key, CONSUMER_VERSION, value.map(AssignmentValue::from))
        }
        GroupRecord::Regex { group, regex, value } => {
            let key = RegexKey { group_id: group, regular_expression: regex };
            let value = value.map(|it| RegexValue {
                topics: it.topics,
                version: it.metadata_version,
                timestamp: it.at.0,
            });
            entry(RegexKey::RECORD_TYPE, &key, CONSUMER_VERSION, value)
        }
    }
}

pub(super) fn decode(stored: &Bytes, bytes: Option<&Bytes>) -> Result<Option<GroupRecord>, RecordError> {
    let (kind, reader) = open("the key", stored)?;
    Ok(Some(match kind {
        OffsetKey::RECORD_TYPE => {
            let OffsetKey { group, topic, partition } = key(reader)?;
            let partition = PartitionIndex(partition);
            GroupRecord::Offset {
                group,
                topic,
                partition,
                value: value::<OffsetValue, _>(bytes, CommittedOffset::try_from)?,
            }
        }
        ClassicKey::RECORD_TYPE => {
            let ClassicKey { group } = key(reader)?;
            GroupRecord::Classic {
                group,
                value: value(bytes, |it: ClassicValue| Ok(ClassicGroup::from(it)))?,
            }
        }
        ConsumerKey::RECORD_TYPE => {
            let ConsumerKey { group_id: group } = key(reader)?;
            let read =
                |it: ConsumerValue| Ok(ConsumerGroup { epoch: it.epoch, metadata_hash: it.metadata_hash });
            GroupRecord::Consumer { group, value: value(bytes, read)? }
        }
        MemberKey::RECORD_TYPE => {
            let MemberKey { group_id: group, member_id: member } = key(reader)?;
            GroupRecord::Member {
                group,
                member,
                value: value(bytes, |it: MemberValue| Ok(ConsumerMember::from(it)))?,
            }
        }
        TargetKey::RECORD_TYPE => {
            let TargetKey { group_id: group } = key(reader)?;
            let read = |it: TargetValue| {
                let at = (it.assignment_timestamp != 0).then_some(Timestamp(it.assignment_timestamp));
                Ok(ConsumerTarget { epoch: it.assignment_epoch, at })
            };
            GroupRecord::Target { group, value: value(bytes, read)? }
        }
        MemberTargetKey::RECORD_TYPE => {
            let MemberTargetKey { group_id: group, member_id: member } = key(reader)?;
            let read = |it: MemberTargetValue| {
                Ok(it.topic_partitions.into_iter().map(TopicPartitions::from).collect())
            };
            GroupRecord::MemberTarget { group, member, value: value(bytes, read)? }
        }
        AssignmentKey::RECORD_TYPE => {
            let AssignmentKey { group_id: group, member_id: member } = key(reader)?;
            GroupRecord::Assignment {
                group,
                member,
                value: value(bytes, |it: AssignmentValue| Ok(ConsumerAssignment::from(it)))?,
            }
        }
        RegexKey::RECORD_TYPE => {
            let RegexKey { group_id: group, regular_expression: regex } = key(reader)?;
            let read = |it: RegexValue| {
                Ok(ResolvedRegex {
                    topics: it.topics,
                    metadata_version: it.version,
                    at: Timestamp(it.timestamp),
                })
            };
            GroupRecord::Regex { group, regex, value: value(bytes, read)? }
        }
        _ => return Ok(None),
    }))
}

impl From<CommittedOffset> for OffsetValue {
    fn from(it: CommittedOffset) -> Self {
        Self {
            offset: it.offset.raw(),
            leader_epoch: it.leader_epoch.map_or(-1, |epoch| epoch.0),
            metadata: it.metadata,
            commit_timestamp: it.committed_at.0,
            expire_timestamp: it.expires_at.map_or(-1, |at| at.0),
            topic_id: it.topic.unwrap_or(TopicId::ZERO),
        }
    }
}

impl TryFrom<OffsetValue> for CommittedOffset {
    type Error = RecordError;

    fn try_from(it: OffsetValue) -> Result<Self, RecordError> {
        Ok(Self {
            offset: checked("a committed offset", it.offset, Offset::from_wire)?,
            leader_epoch: LeaderEpoch::from_wire(it.leader_epoch),
            metadata: it.metadata,
            committed_at: Timestamp(it.commit_timestamp),
            expires_at: known_time(it.expire_timestamp),
            topic: (!it.topic_id.is_zero()).then_some(it.topic_id),
        })
    }
}

/// Kafka writes "unknown" as -1.
fn known_time(raw: i64) -> Option<Timestamp> {
    (raw != -1).then_some(Timestamp(raw))
}

impl From<ClassicGroup> for ClassicValue {
    fn from(it: ClassicGroup) -> Self {
        let member = |it: ClassicMember| MemberMetadata {
            member_id: it.id,
            group_instance_id: it.instance_id,
            client_id: it.client_id,
            client_host: it.client_host,
            rebalance_timeout: it.rebalance_timeout_ms,
            session_timeout: it.session_timeout_ms,
            subscription: it.subscription,
            assignment: it.assignment,
        };
        Self {
            protocol_type: it.protocol_type,
            generation: it.generation,
            protocol: it.protocol,
            leader: it.leader,
            current_state_timestamp: it.since.map_or(-1, |at| at.0),
            members: it.members.into_iter().map(member).collect(),
        }
    }
}

impl From<ClassicValue> for ClassicGroup {
    fn from(it: ClassicValue) -> Self {
        let member = |it: MemberMetadata| ClassicMember {
            id: it.member_id,
            instance_id: it.group_instance_id,
            client_id: it.client_id,
            client_host: it.client_host,
            // Version 0 has only one of the two.
            rebalance_timeout_ms: if it.rebalance_timeout == -1 {
                it.session_timeout
            } else {
                it.rebalance_timeout
            },
            session_timeout_ms: it.session_timeout,
            subscription: it.subscription,
            assignment: it.assignment,
        };
        Self {
            protocol_type: it.protocol_type,
            generation: it.generation,
            protocol: it.protocol,
            leader: it.leader,
            since: known_time(it.current_state_timestamp),
            members: it.members.into_iter().map(member).collect(),
        }
    }
}

impl From<ConsumerMember> for MemberValue {
    fn from(it: ConsumerMember) -> Self {
        let protocol = |(name, metadata)| ClassicProtocol { name, metadata };
        Self {
            instance_id: it.instance_id,
            rack_id: it.rack,
            client_id: it.client_id,
            client_host: it.client_host,
            subscribed_topic_names: it.topics,
            subscribed_topic_regex: it.topic_regex,
            rebalance_timeout_ms: it.rebalance_timeout_ms,
            server_assignor: it.assignor,
            classic_member_metadata: it.upgraded.map(|it| ClassicMemberMetadata {
                session_timeout_ms: it.session_timeout_ms,
                supported_protocols: it.protocols.into_iter().map(protocol).collect(),
            }),
        }
    }
}

impl From<MemberValue> for ConsumerMember {
    fn from(it: MemberValue) -> Self {
        Self {
            instance_id: it.instance_id,
            rack: it.rack_id,
            client_id: it.client_id,
            client_host: it.client_host,
            topics: it.subscribed_topic_names,
            topic_regex: it.subscribed_topic_regex,
            rebalance_timeout_ms: it.rebalance_timeout_ms,
            assignor: it.server_assignor,
            upgraded: it.classic_member_metadata.map(|it| UpgradedMember {
                session_timeout_ms: it.session_timeout_ms,
                protocols: it.supported_protocols.into_iter().map(|it| (it.name, it.metadata)).collect(),
            }),
        }
    }
}

impl From<TopicPartitions> for TopicPartition {
    fn from(it: TopicPartitions) -> Self {
        Self {
            topic_id: it.topic,
            partitions: it.partitions.into_iter().map(|partition| partition.0).collect(),
        }
    }
}

impl From<TopicPartition> for TopicPartitions {
    fn from(it: TopicPartition) -> Self {
        Self { topic: it.topic_id, partitions: it.partitions.into_iter().map(PartitionIndex).collect() }
    }
}

impl From<ConsumerAssignment> for AssignmentValue {
    fn from(it: ConsumerAssignment) -> Self {
        let topics = |owned: Vec<OwnedPartitions>| owned.into_iter().map(SincePartitions::from).collect();
        Self {
            member_epoch: it.epoch,
            previous_member_epoch: it.previous_epoch,
            state: it.state.number(),
            assigned_partitions: topics(it.assigned),
            partitions_pending_revocation: topics(it.revoking),
        }
    }
}

impl From<AssignmentValue> for ConsumerAssignment {
    fn from(it: AssignmentValue) -> Self {
        let topics = |owned: Vec<SincePartitions>| {
            owned.into_iter().map(|topic| owned_partitions(topic, it.member_epoch)).collect()
        };
        Self {
            epoch: it.member_epoch,
            previous_epoch: it.previous_member_epoch,
            state: Reconciliation::from_number(it.state),
            assigned: topics(it.assigned_partitions),
            revoking: topics(it.partitions_pending_revocation),
        }
    }
}

impl From<OwnedPartitions> for SincePartitions {
    fn from(it: OwnedPartitions) -> Self {
        let (partitions, epochs) =
            it.partitions.into_iter().map(|(partition, since)| (partition.0, since)).unzip();
        Self { topic_id: it.topic, partitions, assignment_epochs: Some(epochs) }
    }
}

/// Where it is not written since when (brokers before 4.3), a partition counts as assigned in the member's epoch.
fn owned_partitions(it: SincePartitions, member_epoch: i32) -> OwnedPartitions {
    let count = it.partitions.len();
    let epochs = it.assignment_epochs.filter(|epochs| epochs.len() == count);
    let epochs = epochs.unwrap_or_else(|| vec![member_epoch; count]);
    let partitions = it.partitions.into_iter().map(PartitionIndex).zip(epochs).collect();
    OwnedPartitions { topic: it.topic_id, partitions }
}

impl Reconciliation {
    fn number(self) -> i8 {
        match self {
            Self::Stable => 0,
            Self::Revoking => 1,
            Self::Waiting => 2,
            Self::Unknown => 127,
        }
    }

    fn from_number(number: i8) -> Self {
        match number {
            0 => Self::Stable,
            1 => Self::Revoking,
            2 => Self::Waiting,
            _ => Self::Unknown,
        }
    }
}
