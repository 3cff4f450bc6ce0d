// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! EndQuorumEpoch, key 54.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Default)]
pub struct EndQuorumEpochRequest {
    pub cluster_id: Option<String>,
    pub topics: Vec<RequestTopicData>,
    /// Since version 1, left out silently where a version lacks it.
    pub leader_endpoints: Vec<LeaderEndpoint>,
}

impl Element for EndQuorumEpochRequest {
    const WIRE_SIZE_MIN: usize = 4;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            cluster_id: r.nullable_string(true)?,
            topics: r.array()?,
            leader_endpoints: if v >= 1 { r.array()? } else { Vec::new() },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.nullable_string(&self.cluster_id)?;
        w.array(&self.topics)?;
        if v >= 1 {
            w.array(&self.leader_endpoints)?;
        }
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
    pub leader_id: i32,
    pub leader_epoch: i32,
    /// Up to version 0, left out silently where a version lacks it.
    pub preferred_successors: Vec<i32>,
    /// Since version 1, left out silently where a version lacks it.
    pub preferred_candidates: Vec<ReplicaInfo>,
}

impl Element for RequestPartitionData {
    const WIRE_SIZE_MIN: usize = 14;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            partition_index: r.i32()?,
            leader_id: r.i32()?,
            leader_epoch: r.i32()?,
            preferred_successors: if v <= 0 { r.array()? } else { Vec::new() },
            preferred_candidates: if v >= 1 { r.array()? } else { Vec::new() },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.i32(self.partition_index);
        w.i32(self.leader_id);
        w.i32(self.leader_epoch);
        if v <= 0 {
            w.array(&self.preferred_successors)?;
        }
        if v >= 1 {
            w.array(&self.preferred_candidates)?;
        }
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ReplicaInfo {
    pub candidate_id: i32,
    pub candidate_directory_id: Uuid,
}

impl Element for ReplicaInfo {
    const WIRE_SIZE_MIN: usize = 21;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { candidate_id: r.i32()?, candidate_directory_id: r.uuid()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i32(self.candidate_id);
        w.uuid(self.candidate_directory_id);
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct LeaderEndpoint {
    pub name: String,
    pub host: String,
    pub port: u16,
}

impl Element for LeaderEndpoint {
    const WIRE_SIZE_MIN: usize = 5;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { name: r.string()?, host: r.string()?, port: r.u16()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.name)?;
        w.string(&self.host)?;
        w.u16(self.port);
        w.no_tags();
        Ok(())
    }
}

impl Message for EndQuorumEpochRequest {
    const NAME: &'static str = "EndQuorumEpochRequest";
    const VERSIONS: RangeInclusive<i16> = 0..=1;
    const FLEXIBLE_FROM: Option<i16> = Some(1);
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct EndQuorumEpochResponse {
    pub error_code: i16,
    pub topics: Vec<ResponseTopicData>,
    /// Since version 1, tag 0.
    pub node_endpoints: Vec<NodeEndpoint>,
}

impl Element for EndQuorumEpochResponse {
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
}

impl Element for ResponsePartitionData {
    const WIRE_SIZE_MIN: usize = 14;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self {
            partition_index: r.i32()?,
            error_code: r.i16()?,
            leader_id: r.i32()?,
            leader_epoch: r.i32()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i32(self.partition_index);
        w.i16(self.error_code);
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

impl Message for EndQuorumEpochResponse {
    const NAME: &'static str = "EndQuorumEpochResponse";
    const VERSIONS: RangeInclusive<i16> = 0..=1;
    const FLEXIBLE_FROM: Option<i16> = Some(1);
}
