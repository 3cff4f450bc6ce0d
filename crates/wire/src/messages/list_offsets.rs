// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! ListOffsets, key 2.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ListOffsetsRequest {
    pub replica_id: i32,
    /// Since version 2.
    pub isolation_level: i8,
    pub topics: Vec<ListOffsetsTopic>,
    /// Since version 10, left out silently where a version lacks it.
    pub timeout_ms: i32,
}

impl Element for ListOffsetsRequest {
    const WIRE_SIZE_MIN: usize = 7;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            replica_id: r.i32()?,
            isolation_level: if v >= 2 { r.i8()? } else { 0 },
            topics: r.array()?,
            timeout_ms: if v >= 10 { r.i32()? } else { 0 },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.i32(self.replica_id);
        if v >= 2 {
            w.i8(self.isolation_level);
        } else {
            w.require(self.isolation_level == 0, "isolation_level")?;
        }
        w.array(&self.topics)?;
        if v >= 10 {
            w.i32(self.timeout_ms);
        }
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ListOffsetsTopic {
    pub name: String,
    pub partitions: Vec<ListOffsetsPartition>,
}

impl Element for ListOffsetsTopic {
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
pub struct ListOffsetsPartition {
    pub partition_index: i32,
    /// Since version 4, default -1, left out silently where a version lacks it.
    pub current_leader_epoch: i32,
    pub timestamp: i64,
}

impl Default for ListOffsetsPartition {
    fn default() -> Self {
        Self { partition_index: 0, current_leader_epoch: -1, timestamp: 0 }
    }
}

impl Element for ListOffsetsPartition {
    const WIRE_SIZE_MIN: usize = 12;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            partition_index: r.i32()?,
            current_leader_epoch: if v >= 4 { r.i32()? } else { -1 },
            timestamp: r.i64()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.i32(self.partition_index);
        if v >= 4 {
            w.i32(self.current_leader_epoch);
        }
        w.i64(self.timestamp);
        w.no_tags();
        Ok(())
    }
}

impl Message for ListOffsetsRequest {
    const NAME: &'static str = "ListOffsetsRequest";
    const VERSIONS: RangeInclusive<i16> = 1..=11;
    const FLEXIBLE_FROM: Option<i16> = Some(6);
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ListOffsetsResponse {
    /// Since version 2, left out silently where a version lacks it.
    pub throttle_time_ms: i32,
    pub topics: Vec<ListOffsetsTopicResponse>,
}

impl Element for ListOffsetsResponse {
    const WIRE_SIZE_MIN: usize = 4;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self { throttle_time_ms: if v >= 2 { r.i32()? } else { 0 }, topics: r.array()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        if v >= 2 {
            w.i32(self.throttle_time_ms);
        }
        w.array(&self.topics)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ListOffsetsTopicResponse {
    pub name: String,
    pub partitions: Vec<ListOffsetsPartitionResponse>,
}

impl Element for ListOffsetsTopicResponse {
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
pub struct ListOffsetsPartitionResponse {
    pub partition_index: i32,
    pub error_code: i16,
    /// Default -1.
    pub timestamp: i64,
    /// Default -1.
    pub offset: i64,
    /// Since version 4, default -1.
    pub leader_epoch: i32,
}

impl Default for ListOffsetsPartitionResponse {
    fn default() -> Self {
        Self { partition_index: 0, error_code: 0, timestamp: -1, offset: -1, leader_epoch: -1 }
    }
}

impl Element for ListOffsetsPartitionResponse {
    const WIRE_SIZE_MIN: usize = 22;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            partition_index: r.i32()?,
            error_code: r.i16()?,
            timestamp: r.i64()?,
            offset: r.i64()?,
            leader_epoch: if v >= 4 { r.i32()? } else { -1 },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.i32(self.partition_index);
        w.i16(self.error_code);
        w.i64(self.timestamp);
        w.i64(self.offset);
        if v >= 4 {
            w.i32(self.leader_epoch);
        } else {
            w.require(self.leader_epoch == -1, "leader_epoch")?;
        }
        w.no_tags();
        Ok(())
    }
}

impl Message for ListOffsetsResponse {
    const NAME: &'static str = "ListOffsetsResponse";
    const VERSIONS: RangeInclusive<i16> = 1..=11;
    const FLEXIBLE_FROM: Option<i16> = Some(6);
}
