// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! Produce, key 0.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ProduceRequest {
    pub transactional_id: Option<String>,
    pub acks: i16,
    pub timeout_ms: i32,
    pub topic_data: Vec<TopicProduceData>,
}

impl Element for ProduceRequest {
    const WIRE_SIZE_MIN: usize = 9;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self {
            transactional_id: r.nullable_string(true)?,
            acks: r.i16()?,
            timeout_ms: r.i32()?,
            topic_data: r.array()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.nullable_string(&self.transactional_id)?;
        w.i16(self.acks);
        w.i32(self.timeout_ms);
        w.array(&self.topic_data)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct TopicProduceData {
    /// Up to version 12, left out silently where a version lacks it.
    pub name: String,
    /// Since version 13, left out silently where a version lacks it.
    pub topic_id: TopicId,
    pub partition_data: Vec<PartitionProduceData>,
}

impl Element for TopicProduceData {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            name: if v <= 12 { r.string()? } else { String::new() },
            topic_id: if v >= 13 { r.topic_id()? } else { TopicId::default() },
            partition_data: r.array()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        if v <= 12 {
            w.string(&self.name)?;
        }
        if v >= 13 {
            w.topic_id(self.topic_id);
        }
        w.array(&self.partition_data)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct PartitionProduceData {
    pub index: i32,
    pub records: Option<Records>,
}

impl Element for PartitionProduceData {
    const WIRE_SIZE_MIN: usize = 6;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { index: r.i32()?, records: r.records(true)? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i32(self.index);
        w.records(&self.records)?;
        w.no_tags();
        Ok(())
    }
}

impl Message for ProduceRequest {
    const NAME: &'static str = "ProduceRequest";
    const VERSIONS: RangeInclusive<i16> = 3..=13;
    const FLEXIBLE_FROM: Option<i16> = Some(9);
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ProduceResponse {
    pub responses: Vec<TopicProduceResponse>,
    pub throttle_time_ms: i32,
    /// Since version 10, tag 0.
    pub node_endpoints: Vec<NodeEndpoint>,
}

impl Element for ProduceResponse {
    const WIRE_SIZE_MIN: usize = 6;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let mut it = Self { responses: r.array()?, throttle_time_ms: r.i32()?, node_endpoints: Vec::new() };
        r.tags(|r, tag| {
            match tag {
                0 if v >= 10 => it.node_endpoints = r.array()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.array(&self.responses)?;
        w.i32(self.throttle_time_ms);
        let mut tags = w.begin_tags();
        if v >= 10 {
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
pub struct TopicProduceResponse {
    /// Up to version 12, left out silently where a version lacks it.
    pub name: String,
    /// Since version 13, left out silently where a version lacks it.
    pub topic_id: TopicId,
    pub partition_responses: Vec<PartitionProduceResponse>,
}

impl Element for TopicProduceResponse {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            name: if v <= 12 { r.string()? } else { String::new() },
            topic_id: if v >= 13 { r.topic_id()? } else { TopicId::default() },
            partition_responses: r.array()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        if v <= 12 {
            w.string(&self.name)?;
        }
        if v >= 13 {
            w.topic_id(self.topic_id);
        }
        w.array(&self.partition_responses)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct PartitionProduceResponse {
    pub index: i32,
    pub error_code: i16,
    pub base_offset: i64,
    /// Default -1.
    pub log_append_time_ms: i64,
    /// Since version 5, default -1, left out silently where a version lacks it.
    pub log_start_offset: i64,
    /// Since version 8, left out silently where a version lacks it.
    pub record_errors: Vec<BatchIndexAndErrorMessage>,
    /// Since version 8, left out silently where a version lacks it.
    pub error_message: Option<String>,
    /// Since version 10, tag 0.
    pub current_leader: LeaderIdAndEpoch,
}

impl Default for PartitionProduceResponse {
    fn default() -> Self {
        Self {
            index: 0,
            error_code: 0,
            base_offset: 0,
            log_append_time_ms: -1,
            log_start_offset: -1,
            record_errors: Vec::new(),
            error_message: None,
            current_leader: LeaderIdAndEpoch::default(),
        }
    }
}

impl Element for PartitionProduceResponse {
    const WIRE_SIZE_MIN: usize = 22;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let mut it = Self {
            index: r.i32()?,
            error_code: r.i16()?,
            base_offset: r.i64()?,
            log_append_time_ms: r.i64()?,
            log_start_offset: if v >= 5 { r.i64()? } else { -1 },
            record_errors: if v >= 8 { r.array()? } else { Vec::new() },
            error_message: if v >= 8 { r.nullable_string(true)? } else { None },
            current_leader: LeaderIdAndEpoch::default(),
        };
        r.tags(|r, tag| {
            match tag {
                0 if v >= 10 => it.current_leader = LeaderIdAndEpoch::read(r)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.i32(self.index);
        w.i16(self.error_code);
        w.i64(self.base_offset);
        w.i64(self.log_append_time_ms);
        if v >= 5 {
            w.i64(self.log_start_offset);
        }
        if v >= 8 {
            w.array(&self.record_errors)?;
        }
        if v >= 8 {
            w.nullable_string(&self.error_message)?;
        }
        let mut tags = w.begin_tags();
        if v >= 10 {
            if self.current_leader != LeaderIdAndEpoch::default() {
                w.tag(&mut tags, 0, |w| self.current_leader.write(w))?;
            }
        } else {
            w.require(self.current_leader == LeaderIdAndEpoch::default(), "current_leader")?;
        }
        w.end_tags(tags);
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct BatchIndexAndErrorMessage {
    pub batch_index: i32,
    pub batch_index_error_message: Option<String>,
}

impl Element for BatchIndexAndErrorMessage {
    const WIRE_SIZE_MIN: usize = 6;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { batch_index: r.i32()?, batch_index_error_message: r.nullable_string(true)? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i32(self.batch_index);
        w.nullable_string(&self.batch_index_error_message)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct LeaderIdAndEpoch {
    /// Default -1.
    pub leader_id: i32,
    /// Default -1.
    pub leader_epoch: i32,
}

impl Default for LeaderIdAndEpoch {
    fn default() -> Self {
        Self { leader_id: -1, leader_epoch: -1 }
    }
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
    pub port: i32,
    pub rack: Option<String>,
}

impl Element for NodeEndpoint {
    const WIRE_SIZE_MIN: usize = 11;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it =
            Self { node_id: r.i32()?, host: r.string()?, port: r.i32()?, rack: r.nullable_string(true)? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i32(self.node_id);
        w.string(&self.host)?;
        w.i32(self.port);
        w.nullable_string(&self.rack)?;
        w.no_tags();
        Ok(())
    }
}

impl Message for ProduceResponse {
    const NAME: &'static str = "ProduceResponse";
    const VERSIONS: RangeInclusive<i16> = 3..=13;
    const FLEXIBLE_FROM: Option<i16> = Some(9);
}
