// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! FetchSnapshot, key 59.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq)]
pub struct FetchSnapshotRequest {
    /// Tag 0.
    pub cluster_id: Option<String>,
    /// Default -1.
    pub replica_id: i32,
    /// Default 0x7fffffff.
    pub max_bytes: i32,
    pub topics: Vec<RequestTopicSnapshot>,
}

impl Default for FetchSnapshotRequest {
    fn default() -> Self {
        Self { cluster_id: None, replica_id: -1, max_bytes: 2147483647, topics: Vec::new() }
    }
}

impl Element for FetchSnapshotRequest {
    const WIRE_SIZE_MIN: usize = 10;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let mut it = Self { cluster_id: None, replica_id: r.i32()?, max_bytes: r.i32()?, topics: r.array()? };
        r.tags(|r, tag| {
            match tag {
                0 => it.cluster_id = r.nullable_string(true)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i32(self.replica_id);
        w.i32(self.max_bytes);
        w.array(&self.topics)?;
        let mut tags = w.begin_tags();
        if self.cluster_id.is_some() {
            w.tag(&mut tags, 0, |w| w.nullable_string(&self.cluster_id))?;
        }
        w.end_tags(tags);
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct RequestTopicSnapshot {
    pub name: String,
    pub partitions: Vec<RequestPartitionSnapshot>,
}

impl Element for RequestTopicSnapshot {
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

#[derive(Clone, Debug, PartialEq, Default)]
pub struct RequestPartitionSnapshot {
    pub partition: i32,
    pub current_leader_epoch: i32,
    pub snapshot_id: RequestSnapshotId,
    pub position: i64,
    /// Since version 1, tag 0, left out silently where a version lacks it.
    pub replica_directory_id: Uuid,
}

impl Element for RequestPartitionSnapshot {
    const WIRE_SIZE_MIN: usize = 30;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let mut it = Self {
            partition: r.i32()?,
            current_leader_epoch: r.i32()?,
            snapshot_id: RequestSnapshotId::read(r)?,
            position: r.i64()?,
            replica_directory_id: Uuid::default(),
        };
        r.tags(|r, tag| {
            match tag {
                0 if v >= 1 => it.replica_directory_id = r.uuid()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.i32(self.partition);
        w.i32(self.current_leader_epoch);
        self.snapshot_id.write(w)?;
        w.i64(self.position);
        let mut tags = w.begin_tags();
        if v >= 1 && self.replica_directory_id != Uuid::default() {
            w.tag(&mut tags, 0, |w| {
                w.uuid(self.replica_directory_id);
                Ok(())
            })?;
        }
        w.end_tags(tags);
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct RequestSnapshotId {
    pub end_offset: i64,
    pub epoch: i32,
}

impl Element for RequestSnapshotId {
    const WIRE_SIZE_MIN: usize = 13;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { end_offset: r.i64()?, epoch: r.i32()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i64(self.end_offset);
        w.i32(self.epoch);
        w.no_tags();
        Ok(())
    }
}

impl Message for FetchSnapshotRequest {
    const NAME: &'static str = "FetchSnapshotRequest";
    const VERSIONS: RangeInclusive<i16> = 0..=1;
    const FLEXIBLE_FROM: Option<i16> = Some(0);
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct FetchSnapshotResponse {
    pub throttle_time_ms: i32,
    pub error_code: i16,
    pub topics: Vec<ResponseTopicSnapshot>,
    /// Since version 1, tag 0.
    pub node_endpoints: Vec<NodeEndpoint>,
}

impl Element for FetchSnapshotResponse {
    const WIRE_SIZE_MIN: usize = 8;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let mut it = Self {
            throttle_time_ms: r.i32()?,
            error_code: r.i16()?,
            topics: r.array()?,
            node_endpoints: Vec::new(),
        };
        r.tags(|r, tag| {
            match tag {
                0 if v >= 1 => it.node_endpoints = r.array()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.i32(self.throttle_time_ms);
        w.i16(self.error_code);
        w.array(&self.topics)?;
        let mut tags = w.begin_tags();
        if v >= 1 {
            if !self.node_endpoints.is_empty() {
                w.tag(&mut tags, 0, |w| w.array(&self.node_endpoints))?;
            }
        } else {
            w.require(self.node_endpoints.is_empty(), "node_endpoints")?;
        }
        w.end_tags(tags);
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ResponseTopicSnapshot {
    pub name: String,
    pub partitions: Vec<ResponsePartitionSnapshot>,
}

impl Element for ResponseTopicSnapshot {
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

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ResponsePartitionSnapshot {
    pub index: i32,
    pub error_code: i16,
    pub snapshot_id: ResponseSnapshotId,
    /// Tag 0.
    pub current_leader: LeaderIdAndEpoch,
    pub size: i64,
    pub position: i64,
    pub unaligned_records: Option<Records>,
}

impl Element for ResponsePartitionSnapshot {
    const WIRE_SIZE_MIN: usize = 37;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let mut it = Self {
            index: r.i32()?,
            error_code: r.i16()?,
            snapshot_id: ResponseSnapshotId::read(r)?,
            current_leader: LeaderIdAndEpoch::default(),
            size: r.i64()?,
            position: r.i64()?,
            unaligned_records: r.records(false)?,
        };
        r.tags(|r, tag| {
            match tag {
                0 => it.current_leader = LeaderIdAndEpoch::read(r)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i32(self.index);
        w.i16(self.error_code);
        self.snapshot_id.write(w)?;
        w.i64(self.size);
        w.i64(self.position);
        w.require(self.unaligned_records.is_some(), "unaligned_records")?;
        w.records(&self.unaligned_records)?;
        let mut tags = w.begin_tags();
        if self.current_leader != LeaderIdAndEpoch::default() {
            w.tag(&mut tags, 0, |w| self.current_leader.write(w))?;
        }
        w.end_tags(tags);
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ResponseSnapshotId {
    pub end_offset: i64,
    pub epoch: i32,
}

impl Element for ResponseSnapshotId {
    const WIRE_SIZE_MIN: usize = 13;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { end_offset: r.i64()?, epoch: r.i32()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i64(self.end_offset);
        w.i32(self.epoch);
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct LeaderIdAndEpoch {
    pub leader_id: i32,
    pub leader_epoch: i32,
}

impl Element for LeaderIdAndEpoch {
    const WIRE_SIZE_MIN: usize = 9;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { leader_id: r.i32()?, leader_epoch: r.i32()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i32(self.leader_id);
        w.i32(self.leader_epoch);
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct NodeEndpoint {
    pub node_id: i32,
    pub host: String,
    pub port: u16,
}

impl Element for NodeEndpoint {
    const WIRE_SIZE_MIN: usize = 8;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { node_id: r.i32()?, host: r.string()?, port: r.u16()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i32(self.node_id);
        w.string(&self.host)?;
        w.u16(self.port);
        w.no_tags();
        Ok(())
    }
}

impl Message for FetchSnapshotResponse {
    const NAME: &'static str = "FetchSnapshotResponse";
    const VERSIONS: RangeInclusive<i16> = 0..=1;
    const FLEXIBLE_FROM: Option<i16> = Some(0);
}
