// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! ConsumerGroupHeartbeat, key 68.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq)]
pub struct ConsumerGroupHeartbeatRequest {
    pub group_id: String,
    pub member_id: String,
    pub member_epoch: i32,
    pub instance_id: Option<String>,
    pub rack_id: Option<String>,
    /// Default -1.
    pub rebalance_timeout_ms: i32,
    pub subscribed_topic_names: Option<Vec<String>>,
    /// Since version 1.
    pub subscribed_topic_regex: Option<String>,
    pub server_assignor: Option<String>,
    pub topic_partitions: Option<Vec<RequestTopicPartitions>>,
}

impl Default for ConsumerGroupHeartbeatRequest {
    fn default() -> Self {
        Self {
            group_id: String::new(),
            member_id: String::new(),
            member_epoch: 0,
            instance_id: None,
            rack_id: None,
            rebalance_timeout_ms: -1,
            subscribed_topic_names: None,
            subscribed_topic_regex: None,
            server_assignor: None,
            topic_partitions: None,
        }
    }
}

impl Element for ConsumerGroupHeartbeatRequest {
    const WIRE_SIZE_MIN: usize = 16;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            group_id: r.string()?,
            member_id: r.string()?,
            member_epoch: r.i32()?,
            instance_id: r.nullable_string(true)?,
            rack_id: r.nullable_string(true)?,
            rebalance_timeout_ms: r.i32()?,
            subscribed_topic_names: r.nullable_array(true)?,
            subscribed_topic_regex: if v >= 1 { r.nullable_string(true)? } else { None },
            server_assignor: r.nullable_string(true)?,
            topic_partitions: r.nullable_array(true)?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.string(&self.group_id)?;
        w.string(&self.member_id)?;
        w.i32(self.member_epoch);
        w.nullable_string(&self.instance_id)?;
        w.nullable_string(&self.rack_id)?;
        w.i32(self.rebalance_timeout_ms);
        w.nullable_array(&self.subscribed_topic_names)?;
        if v >= 1 {
            w.nullable_string(&self.subscribed_topic_regex)?;
        } else {
            w.require(self.subscribed_topic_regex.is_none(), "subscribed_topic_regex")?;
        }
        w.nullable_string(&self.server_assignor)?;
        w.nullable_array(&self.topic_partitions)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct RequestTopicPartitions {
    pub topic_id: TopicId,
    pub partitions: Vec<i32>,
}

impl Element for RequestTopicPartitions {
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

impl Message for ConsumerGroupHeartbeatRequest {
    const NAME: &'static str = "ConsumerGroupHeartbeatRequest";
    const VERSIONS: RangeInclusive<i16> = 0..=1;
    const FLEXIBLE_FROM: Option<i16> = Some(0);
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ConsumerGroupHeartbeatResponse {
    pub throttle_time_ms: i32,
    pub error_code: i16,
    pub error_message: Option<String>,
    pub member_id: Option<String>,
    pub member_epoch: i32,
    pub heartbeat_interval_ms: i32,
    pub assignment: Option<Assignment>,
}

impl Element for ConsumerGroupHeartbeatResponse {
    const WIRE_SIZE_MIN: usize = 18;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self {
            throttle_time_ms: r.i32()?,
            error_code: r.i16()?,
            error_message: r.nullable_string(true)?,
            member_id: r.nullable_string(true)?,
            member_epoch: r.i32()?,
            heartbeat_interval_ms: r.i32()?,
            assignment: r.nullable_struct()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i32(self.throttle_time_ms);
        w.i16(self.error_code);
        w.nullable_string(&self.error_message)?;
        w.nullable_string(&self.member_id)?;
        w.i32(self.member_epoch);
        w.i32(self.heartbeat_interval_ms);
        w.nullable_struct(&self.assignment)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct Assignment {
    pub topic_partitions: Vec<ResponseTopicPartitions>,
}

impl Element for Assignment {
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
pub struct ResponseTopicPartitions {
    pub topic_id: TopicId,
    pub partitions: Vec<i32>,
}

impl Element for ResponseTopicPartitions {
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

impl Message for ConsumerGroupHeartbeatResponse {
    const NAME: &'static str = "ConsumerGroupHeartbeatResponse";
    const VERSIONS: RangeInclusive<i16> = 0..=1;
    const FLEXIBLE_FROM: Option<i16> = Some(0);
}
