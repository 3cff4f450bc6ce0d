// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! Vote, key 52.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq)]
pub struct VoteRequest {
    pub cluster_id: Option<String>,
    /// Since version 1, default -1, left out silently where a version lacks it.
    pub voter_id: i32,
    pub topics: Vec<RequestTopicData>,
}

impl Default for VoteRequest {
    fn default() -> Self {
        Self { cluster_id: None, voter_id: -1, topics: Vec::new() }
    }
}

impl Element for VoteRequest {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            cluster_id: r.nullable_string(true)?,
            voter_id: if v >= 1 { r.i32()? } else { -1 },
            topics: r.array()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.nullable_string(&self.cluster_id)?;
        if v >= 1 {
            w.i32(self.voter_id);
        }
        w.array(&self.topics)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct RequestTopicData {
    pub topic_name: String,
    pub partitions: Vec<RequestPartitionData>,
}

impl Element for RequestTopicData {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { topic_name: r.string()?, partitions: r.array()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.topic_name)?;
        w.array(&self.partitions)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct RequestPartitionData {
    pub partition_index: i32,
    pub replica_epoch: i32,
    pub replica_id: i32,
    /// Since version 1, left out silently where a version lacks it.
    pub replica_directory_id: Uuid,
    /// Since version 1, left out silently where a version lacks it.
    pub voter_directory_id: Uuid,
    pub last_offset_epoch: i32,
    pub last_offset: i64,
    /// Since version 2.
    pub pre_vote: bool,
}

impl Element for RequestPartitionData {
    const WIRE_SIZE_MIN: usize = 25;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            partition_index: r.i32()?,
            replica_epoch: r.i32()?,
            replica_id: r.i32()?,
            replica_directory_id: if v >= 1 { r.uuid()? } else { Uuid::default() },
            voter_directory_id: if v >= 1 { r.uuid()? } else { Uuid::default() },
            last_offset_epoch: r.i32()?,
            last_offset: r.i64()?,
            pre_vote: if v >= 2 { r.bool()? } else { false },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.i32(self.partition_index);
        w.i32(self.replica_epoch);
        w.i32(self.replica_id);
        if v >= 1 {
            w.uuid(self.replica_directory_id);
        }
        if v >= 1 {
            w.uuid(self.voter_directory_id);
        }
        w.i32(self.last_offset_epoch);
        w.i64(self.last_offset);
        if v >= 2 {
            w.bool(self.pre_vote);
        } else {
            w.require(!self.pre_vote, "pre_vote")?;
        }
        w.no_tags();
        Ok(())
    }
}

impl Message for VoteRequest {
    const NAME: &'static str = "VoteRequest";
    const VERSIONS: RangeInclusive<i16> = 0..=2;
    const FLEXIBLE_FROM: Option<i16> = Some(0);
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct VoteResponse {
    pub error_code: i16,
    pub topics: Vec<ResponseTopicData>,
    /// Since version 1, tag 0.
    pub node_endpoints: Vec<NodeEndpoint>,
}

impl Element for VoteResponse {
    const WIRE_SIZE_MIN: usize = 4;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let mut it = Self { error_code: r.i16()?, topics: r.array()?, node_endpoints: Vec::new() };
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
pub struct ResponseTopicData {
    pub topic_name: String,
    pub partitions: Vec<ResponsePartitionData>,
}

impl Element for ResponseTopicData {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { topic_name: r.string()?, partitions: r.array()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.topic_name)?;
        w.array(&self.partitions)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ResponsePartitionData {
    pub partition_index: i32,
    pub error_code: i16,
    pub leader_id: i32,
    pub leader_epoch: i32,
    pub vote_granted: bool,
}

impl Element for ResponsePartitionData {
    const WIRE_SIZE_MIN: usize = 16;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self {
            partition_index: r.i32()?,
            error_code: r.i16()?,
            leader_id: r.i32()?,
            leader_epoch: r.i32()?,
            vote_granted: r.bool()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i32(self.partition_index);
        w.i16(self.error_code);
        w.i32(self.leader_id);
        w.i32(self.leader_epoch);
        w.bool(self.vote_granted);
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

impl Message for VoteResponse {
    const NAME: &'static str = "VoteResponse";
    const VERSIONS: RangeInclusive<i16> = 0..=2;
    const FLEXIBLE_FROM: Option<i16> = Some(0);
}
