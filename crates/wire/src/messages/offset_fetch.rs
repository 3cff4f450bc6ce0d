// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! OffsetFetch, key 9.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq)]
pub struct OffsetFetchRequest {
    /// Up to version 7.
    pub group_id: String,
    /// Up to version 7, may be null in versions 2-7.
    pub topics: Option<Vec<OffsetFetchRequestTopic>>,
    /// Since version 8.
    pub groups: Vec<OffsetFetchRequestGroup>,
    /// Since version 7.
    pub require_stable: bool,
}

impl Default for OffsetFetchRequest {
    fn default() -> Self {
        Self { group_id: String::new(), topics: Some(Vec::new()), groups: Vec::new(), require_stable: false }
    }
}

impl Element for OffsetFetchRequest {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            group_id: if v <= 7 { r.string()? } else { String::new() },
            topics: if v <= 7 { r.nullable_array(v >= 2)? } else { Some(Vec::new()) },
            groups: if v >= 8 { r.array()? } else { Vec::new() },
            require_stable: if v >= 7 { r.bool()? } else { false },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        if v <= 7 {
            w.string(&self.group_id)?;
        } else {
            w.require(self.group_id.is_empty(), "group_id")?;
        }
        if v <= 7 {
            w.require(self.topics.is_some() || v >= 2, "topics")?;
            w.nullable_array(&self.topics)?;
        } else {
            w.require(self.topics.as_ref().is_some_and(Vec::is_empty), "topics")?;
        }
        if v >= 8 {
            w.array(&self.groups)?;
        } else {
            w.require(self.groups.is_empty(), "groups")?;
        }
        if v >= 7 {
            w.bool(self.require_stable);
        } else {
            w.require(!self.require_stable, "require_stable")?;
        }
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct OffsetFetchRequestTopic {
    pub name: String,
    pub partition_indexes: Vec<i32>,
}

impl Element for OffsetFetchRequestTopic {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { name: r.string()?, partition_indexes: r.array()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.name)?;
        w.array(&self.partition_indexes)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct OffsetFetchRequestGroup {
    pub group_id: String,
    /// Since version 9, left out silently where a version lacks it.
    pub member_id: Option<String>,
    /// Since version 9, default -1, left out silently where a version lacks it.
    pub member_epoch: i32,
    pub topics: Option<Vec<OffsetFetchRequestTopics>>,
}

impl Default for OffsetFetchRequestGroup {
    fn default() -> Self {
        Self { group_id: String::new(), member_id: None, member_epoch: -1, topics: Some(Vec::new()) }
    }
}

impl Element for OffsetFetchRequestGroup {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            group_id: r.string()?,
            member_id: if v >= 9 { r.nullable_string(true)? } else { None },
            member_epoch: if v >= 9 { r.i32()? } else { -1 },
            topics: r.nullable_array(true)?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.string(&self.group_id)?;
        if v >= 9 {
            w.nullable_string(&self.member_id)?;
        }
        if v >= 9 {
            w.i32(self.member_epoch);
        }
        w.nullable_array(&self.topics)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct OffsetFetchRequestTopics {
    /// Up to version 9, left out silently where a version lacks it.
    pub name: String,
    /// Since version 10, left out silently where a version lacks it.
    pub topic_id: TopicId,
    pub partition_indexes: Vec<i32>,
}

impl Element for OffsetFetchRequestTopics {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            name: if v <= 9 { r.string()? } else { String::new() },
            topic_id: if v >= 10 { r.topic_id()? } else { TopicId::default() },
            partition_indexes: r.array()?,
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
        w.array(&self.partition_indexes)?;
        w.no_tags();
        Ok(())
    }
}

impl Message for OffsetFetchRequest {
    const NAME: &'static str = "OffsetFetchRequest";
    const VERSIONS: RangeInclusive<i16> = 1..=10;
    const FLEXIBLE_FROM: Option<i16> = Some(6);
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct OffsetFetchResponse {
    /// Since version 3, left out silently where a version lacks it.
    pub throttle_time_ms: i32,
    /// Up to version 7.
    pub topics: Vec<OffsetFetchResponseTopic>,
    /// Versions 2 to 7, left out silently where a version lacks it.
    pub error_code: i16,
    /// Since version 8.
    pub groups: Vec<OffsetFetchResponseGroup>,
}

impl Element for OffsetFetchResponse {
    const WIRE_SIZE_MIN: usize = 4;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            throttle_time_ms: if v >= 3 { r.i32()? } else { 0 },
            topics: if v <= 7 { r.array()? } else { Vec::new() },
            error_code: if (2..=7).contains(&v) { r.i16()? } else { 0 },
            groups: if v >= 8 { r.array()? } else { Vec::new() },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        if v >= 3 {
            w.i32(self.throttle_time_ms);
        }
        if v <= 7 {
            w.array(&self.topics)?;
        } else {
            w.require(self.topics.is_empty(), "topics")?;
        }
        if (2..=7).contains(&v) {
            w.i16(self.error_code);
        }
        if v >= 8 {
            w.array(&self.groups)?;
        } else {
            w.require(self.groups.is_empty(), "groups")?;
        }
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct OffsetFetchResponseTopic {
    pub name: String,
    pub partitions: Vec<OffsetFetchResponsePartition>,
}

impl Element for OffsetFetchResponseTopic {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { name: r.string()?, partitions: r.array()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.name)?;
        w.array(&self.partitions)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct OffsetFetchResponsePartition {
    pub partition_index: i32,
    pub committed_offset: i64,
    /// Since version 5, default -1, left out silently where a version lacks it.
    pub committed_leader_epoch: i32,
    pub metadata: Option<String>,
    pub error_code: i16,
}

impl Default for OffsetFetchResponsePartition {
    fn default() -> Self {
        Self {
            partition_index: 0,
            committed_offset: 0,
            committed_leader_epoch: -1,
            metadata: Some(String::new()),
            error_code: 0,
        }
    }
}

impl Element for OffsetFetchResponsePartition {
    const WIRE_SIZE_MIN: usize = 16;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            partition_index: r.i32()?,
            committed_offset: r.i64()?,
            committed_leader_epoch: if v >= 5 { r.i32()? } else { -1 },
            metadata: r.nullable_string(true)?,
            error_code: r.i16()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.i32(self.partition_index);
        w.i64(self.committed_offset);
        if v >= 5 {
            w.i32(self.committed_leader_epoch);
        }
        w.nullable_string(&self.metadata)?;
        w.i16(self.error_code);
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct OffsetFetchResponseGroup {
    pub group_id: String,
    pub topics: Vec<OffsetFetchResponseTopics>,
    pub error_code: i16,
}

impl Element for OffsetFetchResponseGroup {
    const WIRE_SIZE_MIN: usize = 5;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { group_id: r.string()?, topics: r.array()?, error_code: r.i16()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.group_id)?;
        w.array(&self.topics)?;
        w.i16(self.error_code);
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct OffsetFetchResponseTopics {
    /// Up to version 9, left out silently where a version lacks it.
    pub name: String,
    /// Since version 10, left out silently where a version lacks it.
    pub topic_id: TopicId,
    pub partitions: Vec<OffsetFetchResponsePartitions>,
}

impl Element for OffsetFetchResponseTopics {
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
pub struct OffsetFetchResponsePartitions {
    pub partition_index: i32,
    pub committed_offset: i64,
    /// Default -1.
    pub committed_leader_epoch: i32,
    pub metadata: Option<String>,
    pub error_code: i16,
}

impl Default for OffsetFetchResponsePartitions {
    fn default() -> Self {
        Self {
            partition_index: 0,
            committed_offset: 0,
            committed_leader_epoch: -1,
            metadata: Some(String::new()),
            error_code: 0,
        }
    }
}

impl Element for OffsetFetchResponsePartitions {
    const WIRE_SIZE_MIN: usize = 20;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self {
            partition_index: r.i32()?,
            committed_offset: r.i64()?,
            committed_leader_epoch: r.i32()?,
            metadata: r.nullable_string(true)?,
            error_code: r.i16()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i32(self.partition_index);
        w.i64(self.committed_offset);
        w.i32(self.committed_leader_epoch);
        w.nullable_string(&self.metadata)?;
        w.i16(self.error_code);
        w.no_tags();
        Ok(())
    }
}

impl Message for OffsetFetchResponse {
    const NAME: &'static str = "OffsetFetchResponse";
    const VERSIONS: RangeInclusive<i16> = 1..=10;
    const FLEXIBLE_FROM: Option<i16> = Some(6);
}
