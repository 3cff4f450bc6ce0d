// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! OffsetCommit, key 8.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq)]
pub struct OffsetCommitRequest {
    pub group_id: String,
    /// Default -1.
    pub generation_id_or_member_epoch: i32,
    pub member_id: String,
    /// Since version 7.
    pub group_instance_id: Option<String>,
    /// Up to version 4, default -1, left out silently where a version lacks it.
    pub retention_time_ms: i64,
    pub topics: Vec<OffsetCommitRequestTopic>,
}

impl Default for OffsetCommitRequest {
    fn default() -> Self {
        Self {
            group_id: String::new(),
            generation_id_or_member_epoch: -1,
            member_id: String::new(),
            group_instance_id: None,
            retention_time_ms: -1,
            topics: Vec::new(),
        }
    }
}

impl Element for OffsetCommitRequest {
    const WIRE_SIZE_MIN: usize = 9;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            group_id: r.string()?,
            generation_id_or_member_epoch: r.i32()?,
            member_id: r.string()?,
            group_instance_id: if v >= 7 { r.nullable_string(true)? } else { None },
            retention_time_ms: if v <= 4 { r.i64()? } else { -1 },
            topics: r.array()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.string(&self.group_id)?;
        w.i32(self.generation_id_or_member_epoch);
        w.string(&self.member_id)?;
        if v >= 7 {
            w.nullable_string(&self.group_instance_id)?;
        } else {
            w.require(self.group_instance_id.is_none(), "group_instance_id")?;
        }
        if v <= 4 {
            w.i64(self.retention_time_ms);
        }
        w.array(&self.topics)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct OffsetCommitRequestTopic {
    /// Up to version 9, left out silently where a version lacks it.
    pub name: String,
    /// Since version 10, left out silently where a version lacks it.
    pub topic_id: TopicId,
    pub partitions: Vec<OffsetCommitRequestPartition>,
}

impl Element for OffsetCommitRequestTopic {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            name: if v <= 9 { r.string()? } else { String::new() },
            topic_id: if v >= 10 { r.topic_id()? } else { TopicId::default() },
            partitions: r.array()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        if v <= 9 {
            w.string(&self.name)?;
        }
        if v >= 10 {
            w.topic_id(self.topic_id);
        }
        w.array(&self.partitions)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct OffsetCommitRequestPartition {
    pub partition_index: i32,
    pub committed_offset: i64,
    /// Since version 6, default -1, left out silently where a version lacks it.
    pub committed_leader_epoch: i32,
    pub committed_metadata: Option<String>,
}

impl Default for OffsetCommitRequestPartition {
    fn default() -> Self {
        Self {
            partition_index: 0,
            committed_offset: 0,
            committed_leader_epoch: -1,
            committed_metadata: Some(String::new()),
        }
    }
}

impl Element for OffsetCommitRequestPartition {
    const WIRE_SIZE_MIN: usize = 14;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            partition_index: r.i32()?,
            committed_offset: r.i64()?,
            committed_leader_epoch: if v >= 6 { r.i32()? } else { -1 },
            committed_metadata: r.nullable_string(true)?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.i32(self.partition_index);
        w.i64(self.committed_offset);
        if v >= 6 {
            w.i32(self.committed_leader_epoch);
        }
        w.nullable_string(&self.committed_metadata)?;
        w.no_tags();
        Ok(())
    }
}

impl Message for OffsetCommitRequest {
    const NAME: &'static str = "OffsetCommitRequest";
    const VERSIONS: RangeInclusive<i16> = 2..=10;
    const FLEXIBLE_FROM: Option<i16> = Some(8);
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct OffsetCommitResponse {
    /// Since version 3, left out silently where a version lacks it.
    pub throttle_time_ms: i32,
    pub topics: Vec<OffsetCommitResponseTopic>,
}

impl Element for OffsetCommitResponse {
    const WIRE_SIZE_MIN: usize = 4;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self { throttle_time_ms: if v >= 3 { r.i32()? } else { 0 }, topics: r.array()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        if v >= 3 {
            w.i32(self.throttle_time_ms);
        }
        w.array(&self.topics)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct OffsetCommitResponseTopic {
    /// Up to version 9, left out silently where a version lacks it.
    pub name: String,
    /// Since version 10, left out silently where a version lacks it.
    pub topic_id: TopicId,
    pub partitions: Vec<OffsetCommitResponsePartition>,
}

impl Element for OffsetCommitResponseTopic {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            name: if v <= 9 { r.string()? } else { String::new() },
            topic_id: if v >= 10 { r.topic_id()? } else { TopicId::default() },
            partitions: r.array()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        if v <= 9 {
            w.string(&self.name)?;
        }
        if v >= 10 {
            w.topic_id(self.topic_id);
        }
        w.array(&self.partitions)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct OffsetCommitResponsePartition {
    pub partition_index: i32,
    pub error_code: i16,
}

impl Element for OffsetCommitResponsePartition {
    const WIRE_SIZE_MIN: usize = 6;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { partition_index: r.i32()?, error_code: r.i16()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i32(self.partition_index);
        w.i16(self.error_code);
        w.no_tags();
        Ok(())
    }
}

impl Message for OffsetCommitResponse {
    const NAME: &'static str = "OffsetCommitResponse";
    const VERSIONS: RangeInclusive<i16> = 2..=10;
    const FLEXIBLE_FROM: Option<i16> = Some(8);
}
