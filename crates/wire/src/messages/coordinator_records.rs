// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! What the coordinators' internal topics consist of.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Default)]
pub struct OffsetCommitKey {
    pub group: String,
    pub topic: String,
    pub partition: i32,
}

impl Element for OffsetCommitKey {
    const WIRE_SIZE_MIN: usize = 8;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { group: r.string()?, topic: r.string()?, partition: r.i32()? };
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.group)?;
        w.string(&self.topic)?;
        w.i32(self.partition);
        Ok(())
    }
}

impl Message for OffsetCommitKey {
    const NAME: &'static str = "OffsetCommitKey";
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    const FLEXIBLE_FROM: Option<i16> = None;
}

#[derive(Clone, Debug, PartialEq)]
pub struct OffsetCommitValue {
    pub offset: i64,
    /// Since version 3, default -1, left out silently where a version lacks it.
    pub leader_epoch: i32,
    pub metadata: String,
    pub commit_timestamp: i64,
    /// Versions 1 to 1, default -1, left out silently where a version lacks it.
    pub expire_timestamp: i64,
    /// Since version 4, tag 0, left out silently where a version lacks it.
    pub topic_id: TopicId,
}

impl Default for OffsetCommitValue {
    fn default() -> Self {
        Self {
            offset: 0,
            leader_epoch: -1,
            metadata: String::new(),
            commit_timestamp: 0,
            expire_timestamp: -1,
            topic_id: TopicId::default(),
        }
    }
}

impl Element for OffsetCommitValue {
    const WIRE_SIZE_MIN: usize = 18;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let mut it = Self {
            offset: r.i64()?,
            leader_epoch: if v >= 3 { r.i32()? } else { -1 },
            metadata: r.string()?,
            commit_timestamp: r.i64()?,
            expire_timestamp: if (1..=1).contains(&v) { r.i64()? } else { -1 },
            topic_id: TopicId::default(),
        };
        r.tags(|r, tag| {
            match tag {
                0 if v >= 4 => it.topic_id = r.topic_id()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.i64(self.offset);
        if v >= 3 {
            w.i32(self.leader_epoch);
        }
        w.string(&self.metadata)?;
        w.i64(self.commit_timestamp);
        if (1..=1).contains(&v) {
            w.i64(self.expire_timestamp);
        }
        let mut tags = w.begin_tags();
        if v >= 4 && self.topic_id != TopicId::default() {
            w.tag(&mut tags, 0, |w| {
                w.topic_id(self.topic_id);
                Ok(())
            })?;
        }
        w.end_tags(tags);
        Ok(())
    }
}

impl Message for OffsetCommitValue {
    const NAME: &'static str = "OffsetCommitValue";
    const VERSIONS: RangeInclusive<i16> = 0..=4;
    const FLEXIBLE_FROM: Option<i16> = Some(4);
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct GroupMetadataKey {
    pub group: String,
}

impl Element for GroupMetadataKey {
    const WIRE_SIZE_MIN: usize = 2;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { group: r.string()? };
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.group)?;
        Ok(())
    }
}

impl Message for GroupMetadataKey {
    const NAME: &'static str = "GroupMetadataKey";
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    const FLEXIBLE_FROM: Option<i16> = None;
}

#[derive(Clone, Debug, PartialEq)]
pub struct GroupMetadataValue {
    pub protocol_type: String,
    pub generation: i32,
    pub protocol: Option<String>,
    pub leader: Option<String>,
    /// Since version 2, default -1, left out silently where a version lacks it.
    pub current_state_timestamp: i64,
    pub members: Vec<MemberMetadata>,
}

impl Default for GroupMetadataValue {
    fn default() -> Self {
        Self {
            protocol_type: String::new(),
            generation: 0,
            protocol: Some(String::new()),
            leader: Some(String::new()),
            current_state_timestamp: -1,
            members: Vec::new(),
        }
    }
}

impl Element for GroupMetadataValue {
    const WIRE_SIZE_MIN: usize = 14;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            protocol_type: r.string()?,
            generation: r.i32()?,
            protocol: r.nullable_string(true)?,
            leader: r.nullable_string(true)?,
            current_state_timestamp: if v >= 2 { r.i64()? } else { -1 },
            members: r.array()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.string(&self.protocol_type)?;
        w.i32(self.generation);
        w.nullable_string(&self.protocol)?;
        w.nullable_string(&self.leader)?;
        if v >= 2 {
            w.i64(self.current_state_timestamp);
        }
        w.array(&self.members)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct MemberMetadata {
    pub member_id: String,
    /// Since version 3, left out silently where a version lacks it.
    pub group_instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    /// Since version 1, default -1, left out silently where a version lacks it.
    pub rebalance_timeout: i32,
    pub session_timeout: i32,
    pub subscription: Bytes,
    pub assignment: Bytes,
}

impl Default for MemberMetadata {
    fn default() -> Self {
        Self {
            member_id: String::new(),
            group_instance_id: None,
            client_id: String::new(),
            client_host: String::new(),
            rebalance_timeout: -1,
            session_timeout: 0,
            subscription: Bytes::new(),
            assignment: Bytes::new(),
        }
    }
}

impl Element for MemberMetadata {
    const WIRE_SIZE_MIN: usize = 15;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            member_id: r.string()?,
            group_instance_id: if v >= 3 { r.nullable_string(true)? } else { None },
            client_id: r.string()?,
            client_host: r.string()?,
            rebalance_timeout: if v >= 1 { r.i32()? } else { -1 },
            session_timeout: r.i32()?,
            subscription: r.bytes()?,
            assignment: r.bytes()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.string(&self.member_id)?;
        if v >= 3 {
            w.nullable_string(&self.group_instance_id)?;
        }
        w.string(&self.client_id)?;
        w.string(&self.client_host)?;
        if v >= 1 {
            w.i32(self.rebalance_timeout);
        }
        w.i32(self.session_timeout);
        w.bytes(&self.subscription)?;
        w.bytes(&self.assignment)?;
        w.no_tags();
        Ok(())
    }
}

impl Message for GroupMetadataValue {
    const NAME: &'static str = "GroupMetadataValue";
    const VERSIONS: RangeInclusive<i16> = 0..=4;
    const FLEXIBLE_FROM: Option<i16> = Some(4);
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ConsumerGroupMetadataKey {
    pub group_id: String,
}

impl Element for ConsumerGroupMetadataKey {
    const WIRE_SIZE_MIN: usize = 2;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { group_id: r.string()? };
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.group_id)?;
        Ok(())
    }
}

impl Message for ConsumerGroupMetadataKey {
    const NAME: &'static str = "ConsumerGroupMetadataKey";
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    const FLEXIBLE_FROM: Option<i16> = None;
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ConsumerGroupMetadataValue {
    pub epoch: i32,
    /// Tag 0.
    pub metadata_hash: i64,
}

impl Element for ConsumerGroupMetadataValue {
    const WIRE_SIZE_MIN: usize = 5;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let mut it = Self { epoch: r.i32()?, metadata_hash: 0 };
        r.tags(|r, tag| {
            match tag {
                0 => it.metadata_hash = r.i64()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i32(self.epoch);
        let mut tags = w.begin_tags();
        if self.metadata_hash != 0 {
            w.tag(&mut tags, 0, |w| {
                w.i64(self.metadata_hash);
                Ok(())
            })?;
        }
        w.end_tags(tags);
        Ok(())
    }
}

impl Message for ConsumerGroupMetadataValue {
    const NAME: &'static str = "ConsumerGroupMetadataValue";
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    const FLEXIBLE_FROM: Option<i16> = Some(0);
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ConsumerGroupMemberMetadataKey {
    pub group_id: String,
    pub member_id: String,
}

impl Element for ConsumerGroupMemberMetadataKey {
    const WIRE_SIZE_MIN: usize = 4;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { group_id: r.string()?, member_id: r.string()? };
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.group_id)?;
        w.string(&self.member_id)?;
        Ok(())
    }
}

impl Message for ConsumerGroupMemberMetadataKey {
    const NAME: &'static str = "ConsumerGroupMemberMetadataKey";
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    const FLEXIBLE_FROM: Option<i16> = None;
}

#[derive(Clone, Debug, PartialEq)]
pub struct ConsumerGroupMemberMetadataValue {
    pub instance_id: Option<String>,
    pub rack_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub subscribed_topic_names: Vec<String>,
    pub subscribed_topic_regex: Option<String>,
    /// Default -1.
    pub rebalance_timeout_ms: i32,
    pub server_assignor: Option<String>,
    /// Tag 0.
    pub classic_member_metadata: Option<ClassicMemberMetadata>,
}

impl Default for ConsumerGroupMemberMetadataValue {
    fn default() -> Self {
        Self {
            instance_id: Some(String::new()),
            rack_id: Some(String::new()),
            client_id: String::new(),
            client_host: String::new(),
            subscribed_topic_names: Vec::new(),
            subscribed_topic_regex: Some(String::new()),
            rebalance_timeout_ms: -1,
            server_assignor: Some(String::new()),
            classic_member_metadata: Some(ClassicMemberMetadata::default()),
        }
    }
}

impl Element for ConsumerGroupMemberMetadataValue {
    const WIRE_SIZE_MIN: usize = 12;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let mut it = Self {
            instance_id: r.nullable_string(true)?,
            rack_id: r.nullable_string(true)?,
            client_id: r.string()?,
            client_host: r.string()?,
            subscribed_topic_names: r.array()?,
            subscribed_topic_regex: r.nullable_string(true)?,
            rebalance_timeout_ms: r.i32()?,
            server_assignor: r.nullable_string(true)?,
            classic_member_metadata: Some(ClassicMemberMetadata::default()),
        };
        r.tags(|r, tag| {
            match tag {
                0 => it.classic_member_metadata = r.tagged_struct()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.nullable_string(&self.instance_id)?;
        w.nullable_string(&self.rack_id)?;
        w.string(&self.client_id)?;
        w.string(&self.client_host)?;
        w.array(&self.subscribed_topic_names)?;
        w.nullable_string(&self.subscribed_topic_regex)?;
        w.i32(self.rebalance_timeout_ms);
        w.nullable_string(&self.server_assignor)?;
        let mut tags = w.begin_tags();
        if self.classic_member_metadata != Some(ClassicMemberMetadata::default()) {
            w.tag(&mut tags, 0, |w| w.tagged_struct(&self.classic_member_metadata))?;
        }
        w.end_tags(tags);
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ClassicMemberMetadata {
    pub session_timeout_ms: i32,
    pub supported_protocols: Vec<ClassicProtocol>,
}

impl Element for ClassicMemberMetadata {
    const WIRE_SIZE_MIN: usize = 6;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { session_timeout_ms: r.i32()?, supported_protocols: r.array()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i32(self.session_timeout_ms);
        w.array(&self.supported_protocols)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ClassicProtocol {
    pub name: String,
    pub metadata: Bytes,
}

impl Element for ClassicProtocol {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { name: r.string()?, metadata: r.bytes()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.name)?;
        w.bytes(&self.metadata)?;
        w.no_tags();
        Ok(())
    }
}

impl Message for ConsumerGroupMemberMetadataValue {
    const NAME: &'static str = "ConsumerGroupMemberMetadataValue";
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    const FLEXIBLE_FROM: Option<i16> = Some(0);
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ConsumerGroupTargetAssignmentMetadataKey {
    pub group_id: String,
}

impl Element for ConsumerGroupTargetAssignmentMetadataKey {
    const WIRE_SIZE_MIN: usize = 2;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { group_id: r.string()? };
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.group_id)?;
        Ok(())
    }
}

impl Message for ConsumerGroupTargetAssignmentMetadataKey {
    const NAME: &'static str = "ConsumerGroupTargetAssignmentMetadataKey";
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    const FLEXIBLE_FROM: Option<i16> = None;
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ConsumerGroupTargetAssignmentMetadataValue {
    pub assignment_epoch: i32,
    /// Tag 0.
    pub assignment_timestamp: i64,
}

impl Element for ConsumerGroupTargetAssignmentMetadataValue {
    const WIRE_SIZE_MIN: usize = 5;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let mut it = Self { assignment_epoch: r.i32()?, assignment_timestamp: 0 };
        r.tags(|r, tag| {
            match tag {
                0 => it.assignment_timestamp = r.i64()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i32(self.assignment_epoch);
        let mut tags = w.begin_tags();
        if self.assignment_timestamp != 0 {
            w.tag(&mut tags, 0, |w| {
                w.i64(self.assignment_timestamp);
                Ok(())
            })?;
        }
        w.end_tags(tags);
        Ok(())
    }
}

impl Message for ConsumerGroupTargetAssignmentMetadataValue {
    const NAME: &'static str = "ConsumerGroupTargetAssignmentMetadataValue";
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    const FLEXIBLE_FROM: Option<i16> = Some(0);
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ConsumerGroupTargetAssignmentMemberKey {
    pub group_id: String,
    pub member_id: String,
}

impl Element for ConsumerGroupTargetAssignmentMemberKey {
    const WIRE_SIZE_MIN: usize = 4;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { group_id: r.string()?, member_id: r.string()? };
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.group_id)?;
        w.string(&self.member_id)?;
        Ok(())
    }
}

impl Message for ConsumerGroupTargetAssignmentMemberKey {
    const NAME: &'static str = "ConsumerGroupTargetAssignmentMemberKey";
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    const FLEXIBLE_FROM: Option<i16> = None;
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ConsumerGroupTargetAssignmentMemberValue {
    pub topic_partitions: Vec<TopicPartition>,
}

impl Element for ConsumerGroupTargetAssignmentMemberValue {
    const WIRE_SIZE_MIN: usize = 2;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { topic_partitions: r.array()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.array(&self.topic_partitions)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct TopicPartition {
    pub topic_id: TopicId,
    pub partitions: Vec<i32>,
}

impl Element for TopicPartition {
    const WIRE_SIZE_MIN: usize = 18;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { topic_id: r.topic_id()?, partitions: r.array()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.topic_id(self.topic_id);
        w.array(&self.partitions)?;
        w.no_tags();
        Ok(())
    }
}

impl Message for ConsumerGroupTargetAssignmentMemberValue {
    const NAME: &'static str = "ConsumerGroupTargetAssignmentMemberValue";
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    const FLEXIBLE_FROM: Option<i16> = Some(0);
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ConsumerGroupCurrentMemberAssignmentKey {
    pub group_id: String,
    pub member_id: String,
}

impl Element for ConsumerGroupCurrentMemberAssignmentKey {
    const WIRE_SIZE_MIN: usize = 4;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { group_id: r.string()?, member_id: r.string()? };
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.group_id)?;
        w.string(&self.member_id)?;
        Ok(())
    }
}

impl Message for ConsumerGroupCurrentMemberAssignmentKey {
    const NAME: &'static str = "ConsumerGroupCurrentMemberAssignmentKey";
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    const FLEXIBLE_FROM: Option<i16> = None;
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ConsumerGroupCurrentMemberAssignmentValue {
    pub member_epoch: i32,
    pub previous_member_epoch: i32,
    pub state: i8,
    pub assigned_partitions: Vec<TopicPartitions>,
    pub partitions_pending_revocation: Vec<TopicPartitions>,
}

impl Element for ConsumerGroupCurrentMemberAssignmentValue {
    const WIRE_SIZE_MIN: usize = 12;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self {
            member_epoch: r.i32()?,
            previous_member_epoch: r.i32()?,
            state: r.i8()?,
            assigned_partitions: r.array()?,
            partitions_pending_revocation: r.array()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i32(self.member_epoch);
        w.i32(self.previous_member_epoch);
        w.i8(self.state);
        w.array(&self.assigned_partitions)?;
        w.array(&self.partitions_pending_revocation)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct TopicPartitions {
    pub topic_id: TopicId,
    pub partitions: Vec<i32>,
    /// Tag 0.
    pub assignment_epochs: Option<Vec<i32>>,
}

impl Default for TopicPartitions {
    fn default() -> Self {
        Self { topic_id: TopicId::default(), partitions: Vec::new(), assignment_epochs: Some(Vec::new()) }
    }
}

impl Element for TopicPartitions {
    const WIRE_SIZE_MIN: usize = 18;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let mut it =
            Self { topic_id: r.topic_id()?, partitions: r.array()?, assignment_epochs: Some(Vec::new()) };
        r.tags(|r, tag| {
            match tag {
                0 => it.assignment_epochs = r.nullable_array(true)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.topic_id(self.topic_id);
        w.array(&self.partitions)?;
        let mut tags = w.begin_tags();
        if !self.assignment_epochs.as_ref().is_some_and(Vec::is_empty) {
            w.tag(&mut tags, 0, |w| w.nullable_array(&self.assignment_epochs))?;
        }
        w.end_tags(tags);
        Ok(())
    }
}

impl Message for ConsumerGroupCurrentMemberAssignmentValue {
    const NAME: &'static str = "ConsumerGroupCurrentMemberAssignmentValue";
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    const FLEXIBLE_FROM: Option<i16> = Some(0);
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ConsumerGroupRegularExpressionKey {
    pub group_id: String,
    pub regular_expression: String,
}

impl Element for ConsumerGroupRegularExpressionKey {
    const WIRE_SIZE_MIN: usize = 4;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { group_id: r.string()?, regular_expression: r.string()? };
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.group_id)?;
        w.string(&self.regular_expression)?;
        Ok(())
    }
}

impl Message for ConsumerGroupRegularExpressionKey {
    const NAME: &'static str = "ConsumerGroupRegularExpressionKey";
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    const FLEXIBLE_FROM: Option<i16> = None;
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ConsumerGroupRegularExpressionValue {
    pub topics: Vec<String>,
    pub version: i64,
    pub timestamp: i64,
}

impl Element for ConsumerGroupRegularExpressionValue {
    const WIRE_SIZE_MIN: usize = 18;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { topics: r.array()?, version: r.i64()?, timestamp: r.i64()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.array(&self.topics)?;
        w.i64(self.version);
        w.i64(self.timestamp);
        w.no_tags();
        Ok(())
    }
}

impl Message for ConsumerGroupRegularExpressionValue {
    const NAME: &'static str = "ConsumerGroupRegularExpressionValue";
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    const FLEXIBLE_FROM: Option<i16> = Some(0);
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct TransactionLogKey {
    pub transactional_id: String,
}

impl Element for TransactionLogKey {
    const WIRE_SIZE_MIN: usize = 2;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { transactional_id: r.string()? };
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.transactional_id)?;
        Ok(())
    }
}

impl Message for TransactionLogKey {
    const NAME: &'static str = "TransactionLogKey";
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    const FLEXIBLE_FROM: Option<i16> = None;
}

#[derive(Clone, Debug, PartialEq)]
pub struct TransactionLogValue {
    pub producer_id: i64,
    /// Since version 1, tag 0, default -1.
    pub previous_producer_id: i64,
    /// Since version 1, tag 1, default -1.
    pub next_producer_id: i64,
    pub producer_epoch: i16,
    /// Since version 1, tag 3, default -1.
    pub next_producer_epoch: i16,
    pub transaction_timeout_ms: i32,
    pub transaction_status: i8,
    pub transaction_partitions: Option<Vec<PartitionsSchema>>,
    pub transaction_last_update_timestamp_ms: i64,
    pub transaction_start_timestamp_ms: i64,
    /// Since version 1, tag 2.
    pub client_transaction_version: i16,
}

impl Default for TransactionLogValue {
    fn default() -> Self {
        Self {
            producer_id: 0,
            previous_producer_id: -1,
            next_producer_id: -1,
            producer_epoch: 0,
            next_producer_epoch: -1,
            transaction_timeout_ms: 0,
            transaction_status: 0,
            transaction_partitions: Some(Vec::new()),
            transaction_last_update_timestamp_ms: 0,
            transaction_start_timestamp_ms: 0,
            client_transaction_version: 0,
        }
    }
}

impl Element for TransactionLogValue {
    const WIRE_SIZE_MIN: usize = 33;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let mut it = Self {
            producer_id: r.i64()?,
            previous_producer_id: -1,
            next_producer_id: -1,
            producer_epoch: r.i16()?,
            next_producer_epoch: -1,
            transaction_timeout_ms: r.i32()?,
            transaction_status: r.i8()?,
            transaction_partitions: r.nullable_array(true)?,
            transaction_last_update_timestamp_ms: r.i64()?,
            transaction_start_timestamp_ms: r.i64()?,
            client_transaction_version: 0,
        };
        r.tags(|r, tag| {
            match tag {
                0 if v >= 1 => it.previous_producer_id = r.i64()?,
                1 if v >= 1 => it.next_producer_id = r.i64()?,
                3 if v >= 1 => it.next_producer_epoch = r.i16()?,
                2 if v >= 1 => it.client_transaction_version = r.i16()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.i64(self.producer_id);
        w.i16(self.producer_epoch);
        w.i32(self.transaction_timeout_ms);
        w.i8(self.transaction_status);
        w.nullable_array(&self.transaction_partitions)?;
        w.i64(self.transaction_last_update_timestamp_ms);
        w.i64(self.transaction_start_timestamp_ms);
        let mut tags = w.begin_tags();
        if v >= 1 {
            if self.previous_producer_id != -1 {
                w.tag(&mut tags, 0, |w| {
                    w.i64(self.previous_producer_id);
                    Ok(())
                })?;
            }
        } else {
            w.require(self.previous_producer_id == -1, "previous_producer_id")?;
        }
        if v >= 1 {
            if self.next_producer_id != -1 {
                w.tag(&mut tags, 1, |w| {
                    w.i64(self.next_producer_id);
                    Ok(())
                })?;
            }
        } else {
            w.require(self.next_producer_id == -1, "next_producer_id")?;
        }
        if v >= 1 {
            if self.client_transaction_version != 0 {
                w.tag(&mut tags, 2, |w| {
                    w.i16(self.client_transaction_version);
                    Ok(())
                })?;
            }
        } else {
            w.require(self.client_transaction_version == 0, "client_transaction_version")?;
        }
        if v >= 1 {
            if self.next_producer_epoch != -1 {
                w.tag(&mut tags, 3, |w| {
                    w.i16(self.next_producer_epoch);
                    Ok(())
                })?;
            }
        } else {
            w.require(self.next_producer_epoch == -1, "next_producer_epoch")?;
        }
        w.end_tags(tags);
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct PartitionsSchema {
    pub topic: String,
    pub partition_ids: Vec<i32>,
}

impl Element for PartitionsSchema {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { topic: r.string()?, partition_ids: r.array()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.topic)?;
        w.array(&self.partition_ids)?;
        w.no_tags();
        Ok(())
    }
}

impl Message for TransactionLogValue {
    const NAME: &'static str = "TransactionLogValue";
    const VERSIONS: RangeInclusive<i16> = 0..=1;
    const FLEXIBLE_FROM: Option<i16> = Some(1);
}
impl OffsetCommitKey {
    /// What stands in front of a key.
    pub const RECORD_TYPE: i16 = 1;
}

impl GroupMetadataKey {
    /// What stands in front of a key.
    pub const RECORD_TYPE: i16 = 2;
}

impl ConsumerGroupMetadataKey {
    /// What stands in front of a key.
    pub const RECORD_TYPE: i16 = 3;
}

impl ConsumerGroupMemberMetadataKey {
    /// What stands in front of a key.
    pub const RECORD_TYPE: i16 = 5;
}

impl ConsumerGroupTargetAssignmentMetadataKey {
    /// What stands in front of a key.
    pub const RECORD_TYPE: i16 = 6;
}

impl ConsumerGroupTargetAssignmentMemberKey {
    /// What stands in front of a key.
    pub const RECORD_TYPE: i16 = 7;
}

impl ConsumerGroupCurrentMemberAssignmentKey {
    /// What stands in front of a key.
    pub const RECORD_TYPE: i16 = 8;
}

impl ConsumerGroupRegularExpressionKey {
    /// What stands in front of a key.
    pub const RECORD_TYPE: i16 = 16;
}

impl TransactionLogKey {
    /// What stands in front of a key.
    pub const RECORD_TYPE: i16 = 0;
}
