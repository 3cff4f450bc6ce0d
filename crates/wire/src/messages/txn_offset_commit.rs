// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! TxnOffsetCommit, key 28.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq)]
pub struct TxnOffsetCommitRequest {
    pub transactional_id: String,
    pub group_id: String,
    pub producer_id: i64,
    pub producer_epoch: i16,
    /// Since version 3, default -1.
    pub generation_id_or_member_epoch: i32,
    /// Since version 3.
    pub member_id: String,
    /// Since version 3.
    pub group_instance_id: Option<String>,
    pub topics: Vec<TxnOffsetCommitRequestTopic>,
}

impl Default for TxnOffsetCommitRequest {
    fn default() -> Self {
        Self {
            transactional_id: String::new(),
            group_id: String::new(),
            producer_id: 0,
            producer_epoch: 0,
            generation_id_or_member_epoch: -1,
            member_id: String::new(),
            group_instance_id: None,
            topics: Vec::new(),
        }
    }
}

impl Element for TxnOffsetCommitRequest {
    const WIRE_SIZE_MIN: usize = 18;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            transactional_id: r.string()?,
            group_id: r.string()?,
            producer_id: r.i64()?,
            producer_epoch: r.i16()?,
            generation_id_or_member_epoch: if v >= 3 { r.i32()? } else { -1 },
            member_id: if v >= 3 { r.string()? } else { String::new() },
            group_instance_id: if v >= 3 { r.nullable_string(true)? } else { None },
            topics: r.array()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.string(&self.transactional_id)?;
        w.string(&self.group_id)?;
        w.i64(self.producer_id);
        w.i16(self.producer_epoch);
        if v >= 3 {
            w.i32(self.generation_id_or_member_epoch);
        } else {
            w.require(self.generation_id_or_member_epoch == -1, "generation_id_or_member_epoch")?;
        }
        if v >= 3 {
            w.string(&self.member_id)?;
        } else {
            w.require(self.member_id.is_empty(), "member_id")?;
        }
        if v >= 3 {
            w.nullable_string(&self.group_instance_id)?;
        } else {
            w.require(self.group_instance_id.is_none(), "group_instance_id")?;
        }
        w.array(&self.topics)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct TxnOffsetCommitRequestTopic {
    /// Up to version 5, left out silently where a version lacks it.
    pub name: String,
    /// Since version 6, left out silently where a version lacks it.
    pub topic_id: TopicId,
    pub partitions: Vec<TxnOffsetCommitRequestPartition>,
}

impl Element for TxnOffsetCommitRequestTopic {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            name: if v <= 5 { r.string()? } else { String::new() },
            topic_id: if v >= 6 { r.topic_id()? } else { TopicId::default() },
            partitions: r.array()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        if v <= 5 {
            w.string(&self.name)?;
        }
        if v >= 6 {
            w.topic_id(self.topic_id);
        }
        w.array(&self.partitions)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct TxnOffsetCommitRequestPartition {
    pub partition_index: i32,
    pub committed_offset: i64,
    /// Since version 2, default -1, left out silently where a version lacks it.
    pub committed_leader_epoch: i32,
    pub committed_metadata: Option<String>,
}

impl Default for TxnOffsetCommitRequestPartition {
    fn default() -> Self {
        Self {
            partition_index: 0,
            committed_offset: 0,
            committed_leader_epoch: -1,
            committed_metadata: Some(String::new()),
        }
    }
}

impl Element for TxnOffsetCommitRequestPartition {
    const WIRE_SIZE_MIN: usize = 14;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            partition_index: r.i32()?,
            committed_offset: r.i64()?,
            committed_leader_epoch: if v >= 2 { r.i32()? } else { -1 },
            committed_metadata: r.nullable_string(true)?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.i32(self.partition_index);
        w.i64(self.committed_offset);
        if v >= 2 {
            w.i32(self.committed_leader_epoch);
        }
        w.nullable_string(&self.committed_metadata)?;
        w.no_tags();
        Ok(())
    }
}

impl Message for TxnOffsetCommitRequest {
    const NAME: &'static str = "TxnOffsetCommitRequest";
    const VERSIONS: RangeInclusive<i16> = 0..=6;
    const FLEXIBLE_FROM: Option<i16> = Some(3);
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct TxnOffsetCommitResponse {
    pub throttle_time_ms: i32,
    pub topics: Vec<TxnOffsetCommitResponseTopic>,
}

impl Element for TxnOffsetCommitResponse {
    const WIRE_SIZE_MIN: usize = 6;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { throttle_time_ms: r.i32()?, topics: r.array()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i32(self.throttle_time_ms);
        w.array(&self.topics)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct TxnOffsetCommitResponseTopic {
    /// Up to version 5, left out silently where a version lacks it.
    pub name: String,
    /// Since version 6, left out silently where a version lacks it.
    pub topic_id: TopicId,
    pub partitions: Vec<TxnOffsetCommitResponsePartition>,
}

impl Element for TxnOffsetCommitResponseTopic {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            name: if v <= 5 { r.string()? } else { String::new() },
            topic_id: if v >= 6 { r.topic_id()? } else { TopicId::default() },
            partitions: r.array()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        if v <= 5 {
            w.string(&self.name)?;
        }
        if v >= 6 {
            w.topic_id(self.topic_id);
        }
        w.array(&self.partitions)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct TxnOffsetCommitResponsePartition {
    pub partition_index: i32,
    pub error_code: i16,
}

impl Element for TxnOffsetCommitResponsePartition {
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

impl Message for TxnOffsetCommitResponse {
    const NAME: &'static str = "TxnOffsetCommitResponse";
    const VERSIONS: RangeInclusive<i16> = 0..=6;
    const FLEXIBLE_FROM: Option<i16> = Some(3);
}
