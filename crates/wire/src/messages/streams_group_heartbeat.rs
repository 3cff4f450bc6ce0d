// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! StreamsGroupHeartbeat, key 88.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq)]
pub struct StreamsGroupHeartbeatRequest {
    pub group_id: String,
    pub member_id: String,
    pub member_epoch: i32,
    pub endpoint_information_epoch: i32,
    pub instance_id: Option<String>,
    pub rack_id: Option<String>,
    /// Default -1.
    pub rebalance_timeout_ms: i32,
    pub topology: Option<Topology>,
    pub active_tasks: Option<Vec<RequestTaskIds>>,
    pub standby_tasks: Option<Vec<RequestTaskIds>>,
    pub warmup_tasks: Option<Vec<RequestTaskIds>>,
    pub process_id: Option<String>,
    pub user_endpoint: Option<RequestEndpoint>,
    pub client_tags: Option<Vec<KeyValue>>,
    pub task_offsets: Option<Vec<TaskOffset>>,
    pub task_end_offsets: Option<Vec<TaskOffset>>,
    pub shutdown_application: bool,
}

impl Default for StreamsGroupHeartbeatRequest {
    fn default() -> Self {
        Self {
            group_id: String::new(),
            member_id: String::new(),
            member_epoch: 0,
            endpoint_information_epoch: 0,
            instance_id: None,
            rack_id: None,
            rebalance_timeout_ms: -1,
            topology: None,
            active_tasks: None,
            standby_tasks: None,
            warmup_tasks: None,
            process_id: None,
            user_endpoint: None,
            client_tags: None,
            task_offsets: None,
            task_end_offsets: None,
            shutdown_application: false,
        }
    }
}

impl Element for StreamsGroupHeartbeatRequest {
    const WIRE_SIZE_MIN: usize = 27;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self {
            group_id: r.string()?,
            member_id: r.string()?,
            member_epoch: r.i32()?,
            endpoint_information_epoch: r.i32()?,
            instance_id: r.nullable_string(true)?,
            rack_id: r.nullable_string(true)?,
            rebalance_timeout_ms: r.i32()?,
            topology: r.nullable_struct()?,
            active_tasks: r.nullable_array(true)?,
            standby_tasks: r.nullable_array(true)?,
            warmup_tasks: r.nullable_array(true)?,
            process_id: r.nullable_string(true)?,
            user_endpoint: r.nullable_struct()?,
            client_tags: r.nullable_array(true)?,
            task_offsets: r.nullable_array(true)?,
            task_end_offsets: r.nullable_array(true)?,
            shutdown_application: r.bool()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.group_id)?;
        w.string(&self.member_id)?;
        w.i32(self.member_epoch);
        w.i32(self.endpoint_information_epoch);
        w.nullable_string(&self.instance_id)?;
        w.nullable_string(&self.rack_id)?;
        w.i32(self.rebalance_timeout_ms);
        w.nullable_struct(&self.topology)?;
        w.nullable_array(&self.active_tasks)?;
        w.nullable_array(&self.standby_tasks)?;
        w.nullable_array(&self.warmup_tasks)?;
        w.nullable_string(&self.process_id)?;
        w.nullable_struct(&self.user_endpoint)?;
        w.nullable_array(&self.client_tags)?;
        w.nullable_array(&self.task_offsets)?;
        w.nullable_array(&self.task_end_offsets)?;
        w.bool(self.shutdown_application);
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct Topology {
    pub epoch: i32,
    pub subtopologies: Vec<Subtopology>,
}

impl Element for Topology {
    const WIRE_SIZE_MIN: usize = 6;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { epoch: r.i32()?, subtopologies: r.array()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i32(self.epoch);
        w.array(&self.subtopologies)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct Subtopology {
    pub subtopology_id: String,
    pub source_topics: Vec<String>,
    pub source_topic_regex: Vec<String>,
    pub state_changelog_topics: Vec<TopicInfo>,
    pub repartition_sink_topics: Vec<String>,
    pub repartition_source_topics: Vec<TopicInfo>,
    pub copartition_groups: Vec<CopartitionGroup>,
}

impl Element for Subtopology {
    const WIRE_SIZE_MIN: usize = 8;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self {
            subtopology_id: r.string()?,
            source_topics: r.array()?,
            source_topic_regex: r.array()?,
            state_changelog_topics: r.array()?,
            repartition_sink_topics: r.array()?,
            repartition_source_topics: r.array()?,
            copartition_groups: r.array()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.subtopology_id)?;
        w.array(&self.source_topics)?;
        w.array(&self.source_topic_regex)?;
        w.array(&self.state_changelog_topics)?;
        w.array(&self.repartition_sink_topics)?;
        w.array(&self.repartition_source_topics)?;
        w.array(&self.copartition_groups)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct CopartitionGroup {
    pub source_topics: Vec<i16>,
    pub source_topic_regex: Vec<i16>,
    pub repartition_source_topics: Vec<i16>,
}

impl Element for CopartitionGroup {
    const WIRE_SIZE_MIN: usize = 4;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self {
            source_topics: r.array()?,
            source_topic_regex: r.array()?,
            repartition_source_topics: r.array()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.array(&self.source_topics)?;
        w.array(&self.source_topic_regex)?;
        w.array(&self.repartition_source_topics)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct KeyValue {
    pub key: String,
    pub value: String,
}

impl Element for KeyValue {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { key: r.string()?, value: r.string()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.key)?;
        w.string(&self.value)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct TopicInfo {
    pub name: String,
    pub partitions: i32,
    pub replication_factor: i16,
    pub topic_configs: Vec<KeyValue>,
}

impl Element for TopicInfo {
    const WIRE_SIZE_MIN: usize = 9;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self {
            name: r.string()?,
            partitions: r.i32()?,
            replication_factor: r.i16()?,
            topic_configs: r.array()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.name)?;
        w.i32(self.partitions);
        w.i16(self.replication_factor);
        w.array(&self.topic_configs)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct RequestEndpoint {
    pub host: String,
    pub port: u16,
}

impl Element for RequestEndpoint {
    const WIRE_SIZE_MIN: usize = 4;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { host: r.string()?, port: r.u16()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.host)?;
        w.u16(self.port);
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct TaskOffset {
    pub subtopology_id: String,
    pub partition: i32,
    pub offset: i64,
}

impl Element for TaskOffset {
    const WIRE_SIZE_MIN: usize = 14;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { subtopology_id: r.string()?, partition: r.i32()?, offset: r.i64()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.subtopology_id)?;
        w.i32(self.partition);
        w.i64(self.offset);
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct RequestTaskIds {
    pub subtopology_id: String,
    pub partitions: Vec<i32>,
}

impl Element for RequestTaskIds {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { subtopology_id: r.string()?, partitions: r.array()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.subtopology_id)?;
        w.array(&self.partitions)?;
        w.no_tags();
        Ok(())
    }
}

impl Message for StreamsGroupHeartbeatRequest {
    const NAME: &'static str = "StreamsGroupHeartbeatRequest";
    const VERSIONS: RangeInclusive<i16> = 0..=1;
    const FLEXIBLE_FROM: Option<i16> = Some(0);
}

#[derive(Clone, Debug, PartialEq)]
pub struct StreamsGroupHeartbeatResponse {
    pub throttle_time_ms: i32,
    pub error_code: i16,
    pub error_message: Option<String>,
    pub member_id: String,
    pub member_epoch: i32,
    pub heartbeat_interval_ms: i32,
    /// Up to version 0.
    pub acceptable_recovery_lag_legacy: i32,
    pub task_offset_interval_ms: i32,
    /// Since version 1, default -1, left out silently where a version lacks it.
    pub acceptable_recovery_lag: i64,
    pub status: Option<Vec<Status>>,
    pub active_tasks: Option<Vec<ResponseTaskIds>>,
    pub standby_tasks: Option<Vec<ResponseTaskIds>>,
    pub warmup_tasks: Option<Vec<ResponseTaskIds>>,
    /// Since version 1.
    pub topology_description_required: bool,
    pub endpoint_information_epoch: i32,
    pub partitions_by_user_endpoint: Option<Vec<EndpointToPartitions>>,
}

impl Default for StreamsGroupHeartbeatResponse {
    fn default() -> Self {
        Self {
            throttle_time_ms: 0,
            error_code: 0,
            error_message: None,
            member_id: String::new(),
            member_epoch: 0,
            heartbeat_interval_ms: 0,
            acceptable_recovery_lag_legacy: 0,
            task_offset_interval_ms: 0,
            acceptable_recovery_lag: -1,
            status: Some(Vec::new()),
            active_tasks: None,
            standby_tasks: None,
            warmup_tasks: None,
            topology_description_required: false,
            endpoint_information_epoch: 0,
            partitions_by_user_endpoint: None,
        }
    }
}

impl Element for StreamsGroupHeartbeatResponse {
    const WIRE_SIZE_MIN: usize = 34;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            throttle_time_ms: r.i32()?,
            error_code: r.i16()?,
            error_message: r.nullable_string(true)?,
            member_id: r.string()?,
            member_epoch: r.i32()?,
            heartbeat_interval_ms: r.i32()?,
            acceptable_recovery_lag_legacy: if v <= 0 { r.i32()? } else { 0 },
            task_offset_interval_ms: r.i32()?,
            acceptable_recovery_lag: if v >= 1 { r.i64()? } else { -1 },
            status: r.nullable_array(true)?,
            active_tasks: r.nullable_array(true)?,
            standby_tasks: r.nullable_array(true)?,
            warmup_tasks: r.nullable_array(true)?,
            topology_description_required: if v >= 1 { r.bool()? } else { false },
            endpoint_information_epoch: r.i32()?,
            partitions_by_user_endpoint: r.nullable_array(true)?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.i32(self.throttle_time_ms);
        w.i16(self.error_code);
        w.nullable_string(&self.error_message)?;
        w.string(&self.member_id)?;
        w.i32(self.member_epoch);
        w.i32(self.heartbeat_interval_ms);
        if v <= 0 {
            w.i32(self.acceptable_recovery_lag_legacy);
        } else {
            w.require(self.acceptable_recovery_lag_legacy == 0, "acceptable_recovery_lag_legacy")?;
        }
        w.i32(self.task_offset_interval_ms);
        if v >= 1 {
            w.i64(self.acceptable_recovery_lag);
        }
        w.nullable_array(&self.status)?;
        w.nullable_array(&self.active_tasks)?;
        w.nullable_array(&self.standby_tasks)?;
        w.nullable_array(&self.warmup_tasks)?;
        if v >= 1 {
            w.bool(self.topology_description_required);
        } else {
            w.require(!self.topology_description_required, "topology_description_required")?;
        }
        w.i32(self.endpoint_information_epoch);
        w.nullable_array(&self.partitions_by_user_endpoint)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct EndpointToPartitions {
    pub user_endpoint: ResponseEndpoint,
    pub active_partitions: Vec<TopicPartition>,
    pub standby_partitions: Vec<TopicPartition>,
}

impl Element for EndpointToPartitions {
    const WIRE_SIZE_MIN: usize = 7;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self {
            user_endpoint: ResponseEndpoint::read(r)?,
            active_partitions: r.array()?,
            standby_partitions: r.array()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        self.user_endpoint.write(w)?;
        w.array(&self.active_partitions)?;
        w.array(&self.standby_partitions)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct Status {
    pub status_code: i8,
    pub status_detail: String,
}

impl Element for Status {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { status_code: r.i8()?, status_detail: r.string()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i8(self.status_code);
        w.string(&self.status_detail)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct TopicPartition {
    pub topic: String,
    pub partitions: Vec<i32>,
}

impl Element for TopicPartition {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { topic: r.string()?, partitions: r.array()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.topic)?;
        w.array(&self.partitions)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ResponseTaskIds {
    pub subtopology_id: String,
    pub partitions: Vec<i32>,
}

impl Element for ResponseTaskIds {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { subtopology_id: r.string()?, partitions: r.array()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.subtopology_id)?;
        w.array(&self.partitions)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ResponseEndpoint {
    pub host: String,
    pub port: u16,
}

impl Element for ResponseEndpoint {
    const WIRE_SIZE_MIN: usize = 4;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { host: r.string()?, port: r.u16()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.host)?;
        w.u16(self.port);
        w.no_tags();
        Ok(())
    }
}

impl Message for StreamsGroupHeartbeatResponse {
    const NAME: &'static str = "StreamsGroupHeartbeatResponse";
    const VERSIONS: RangeInclusive<i16> = 0..=1;
    const FLEXIBLE_FROM: Option<i16> = Some(0);
}
