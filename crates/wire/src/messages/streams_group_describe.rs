// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! StreamsGroupDescribe, key 89.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Default)]
pub struct StreamsGroupDescribeRequest {
    pub group_ids: Vec<String>,
    pub include_authorized_operations: bool,
    /// Since version 1.
    pub include_topology_description: bool,
}

impl Element for StreamsGroupDescribeRequest {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            group_ids: r.array()?,
            include_authorized_operations: r.bool()?,
            include_topology_description: if v >= 1 { r.bool()? } else { false },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.array(&self.group_ids)?;
        w.bool(self.include_authorized_operations);
        if v >= 1 {
            w.bool(self.include_topology_description);
        } else {
            w.require(!self.include_topology_description, "include_topology_description")?;
        }
        w.no_tags();
        Ok(())
    }
}

impl Message for StreamsGroupDescribeRequest {
    const NAME: &'static str = "StreamsGroupDescribeRequest";
    const VERSIONS: RangeInclusive<i16> = 0..=1;
    const FLEXIBLE_FROM: Option<i16> = Some(0);
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct StreamsGroupDescribeResponse {
    pub throttle_time_ms: i32,
    pub groups: Vec<DescribedGroup>,
}

impl Element for StreamsGroupDescribeResponse {
    const WIRE_SIZE_MIN: usize = 6;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { throttle_time_ms: r.i32()?, groups: r.array()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i32(self.throttle_time_ms);
        w.array(&self.groups)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct DescribedGroup {
    pub error_code: i16,
    pub error_message: Option<String>,
    pub group_id: String,
    pub group_state: String,
    pub group_epoch: i32,
    pub assignment_epoch: i32,
    pub topology: Option<Topology>,
    pub members: Vec<Member>,
    /// Default -2147483648.
    pub authorized_operations: i32,
    /// Since version 1.
    pub topology_description: Option<TopologyDescription>,
    /// Since version 1.
    pub topology_description_status: i8,
    /// Since version 1, left out silently where a version lacks it.
    pub assignor_name: Option<String>,
}

impl Default for DescribedGroup {
    fn default() -> Self {
        Self {
            error_code: 0,
            error_message: None,
            group_id: String::new(),
            group_state: String::new(),
            group_epoch: 0,
            assignment_epoch: 0,
            topology: None,
            members: Vec::new(),
            authorized_operations: -2147483648,
            topology_description: None,
            topology_description_status: 0,
            assignor_name: None,
        }
    }
}

impl Element for DescribedGroup {
    const WIRE_SIZE_MIN: usize = 20;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            error_code: r.i16()?,
            error_message: r.nullable_string(true)?,
            group_id: r.string()?,
            group_state: r.string()?,
            group_epoch: r.i32()?,
            assignment_epoch: r.i32()?,
            topology: r.nullable_struct()?,
            members: r.array()?,
            authorized_operations: r.i32()?,
            topology_description: if v >= 1 { r.nullable_struct()? } else { None },
            topology_description_status: if v >= 1 { r.i8()? } else { 0 },
            assignor_name: if v >= 1 { r.nullable_string(true)? } else { None },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.i16(self.error_code);
        w.nullable_string(&self.error_message)?;
        w.string(&self.group_id)?;
        w.string(&self.group_state)?;
        w.i32(self.group_epoch);
        w.i32(self.assignment_epoch);
        w.nullable_struct(&self.topology)?;
        w.array(&self.members)?;
        w.i32(self.authorized_operations);
        if v >= 1 {
            w.nullable_struct(&self.topology_description)?;
        } else {
            w.require(self.topology_description.is_none(), "topology_description")?;
        }
        if v >= 1 {
            w.i8(self.topology_description_status);
        } else {
            w.require(self.topology_description_status == 0, "topology_description_status")?;
        }
        if v >= 1 {
            w.nullable_string(&self.assignor_name)?;
        }
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct Topology {
    pub epoch: i32,
    pub subtopologies: Option<Vec<Subtopology>>,
}

impl Element for Topology {
    const WIRE_SIZE_MIN: usize = 6;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { epoch: r.i32()?, subtopologies: r.nullable_array(true)? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i32(self.epoch);
        w.nullable_array(&self.subtopologies)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct Subtopology {
    pub subtopology_id: String,
    pub source_topics: Vec<String>,
    pub repartition_sink_topics: Vec<String>,
    pub state_changelog_topics: Vec<TopicInfo>,
    pub repartition_source_topics: Vec<TopicInfo>,
}

impl Element for Subtopology {
    const WIRE_SIZE_MIN: usize = 6;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self {
            subtopology_id: r.string()?,
            source_topics: r.array()?,
            repartition_sink_topics: r.array()?,
            state_changelog_topics: r.array()?,
            repartition_source_topics: r.array()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.subtopology_id)?;
        w.array(&self.source_topics)?;
        w.array(&self.repartition_sink_topics)?;
        w.array(&self.state_changelog_topics)?;
        w.array(&self.repartition_source_topics)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct Member {
    pub member_id: String,
    pub member_epoch: i32,
    pub instance_id: Option<String>,
    pub rack_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub topology_epoch: i32,
    pub process_id: String,
    pub user_endpoint: Option<Endpoint>,
    pub client_tags: Vec<KeyValue>,
    pub task_offsets: Vec<TaskOffset>,
    pub task_end_offsets: Vec<TaskOffset>,
    pub assignment: Assignment,
    pub target_assignment: Assignment,
    pub is_classic: bool,
}

impl Element for Member {
    const WIRE_SIZE_MIN: usize = 28;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self {
            member_id: r.string()?,
            member_epoch: r.i32()?,
            instance_id: r.nullable_string(true)?,
            rack_id: r.nullable_string(true)?,
            client_id: r.string()?,
            client_host: r.string()?,
            topology_epoch: r.i32()?,
            process_id: r.string()?,
            user_endpoint: r.nullable_struct()?,
            client_tags: r.array()?,
            task_offsets: r.array()?,
            task_end_offsets: r.array()?,
            assignment: Assignment::read(r)?,
            target_assignment: Assignment::read(r)?,
            is_classic: r.bool()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.member_id)?;
        w.i32(self.member_epoch);
        w.nullable_string(&self.instance_id)?;
        w.nullable_string(&self.rack_id)?;
        w.string(&self.client_id)?;
        w.string(&self.client_host)?;
        w.i32(self.topology_epoch);
        w.string(&self.process_id)?;
        w.nullable_struct(&self.user_endpoint)?;
        w.array(&self.client_tags)?;
        w.array(&self.task_offsets)?;
        w.array(&self.task_end_offsets)?;
        self.assignment.write(w)?;
        self.target_assignment.write(w)?;
        w.bool(self.is_classic);
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct Endpoint {
    pub host: String,
    pub port: u16,
}

impl Element for Endpoint {
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
pub struct Assignment {
    pub active_tasks: Vec<TaskIds>,
    pub standby_tasks: Vec<TaskIds>,
    pub warmup_tasks: Vec<TaskIds>,
}

impl Element for Assignment {
    const WIRE_SIZE_MIN: usize = 4;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { active_tasks: r.array()?, standby_tasks: r.array()?, warmup_tasks: r.array()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.array(&self.active_tasks)?;
        w.array(&self.standby_tasks)?;
        w.array(&self.warmup_tasks)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct TaskIds {
    pub subtopology_id: String,
    pub partitions: Vec<i32>,
}

impl Element for TaskIds {
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
pub struct TopologyDescription {
    pub subtopologies: Vec<TopologyDescriptionSubtopology>,
    pub global_stores: Vec<TopologyDescriptionGlobalStore>,
}

impl Element for TopologyDescription {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { subtopologies: r.array()?, global_stores: r.array()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.array(&self.subtopologies)?;
        w.array(&self.global_stores)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct TopologyDescriptionSubtopology {
    pub subtopology_id: String,
    pub nodes: Vec<TopologyDescriptionNode>,
}

impl Element for TopologyDescriptionSubtopology {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { subtopology_id: r.string()?, nodes: r.array()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.subtopology_id)?;
        w.array(&self.nodes)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct TopologyDescriptionNode {
    pub name: String,
    pub node_type: i8,
    pub source_topics: Vec<String>,
    pub sink_topic: Option<String>,
    pub stores: Vec<String>,
    pub successors: Vec<String>,
}

impl Element for TopologyDescriptionNode {
    const WIRE_SIZE_MIN: usize = 7;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self {
            name: r.string()?,
            node_type: r.i8()?,
            source_topics: r.array()?,
            sink_topic: r.nullable_string(true)?,
            stores: r.array()?,
            successors: r.array()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.name)?;
        w.i8(self.node_type);
        w.array(&self.source_topics)?;
        w.nullable_string(&self.sink_topic)?;
        w.array(&self.stores)?;
        w.array(&self.successors)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct TopologyDescriptionGlobalStore {
    pub source: TopologyDescriptionNode,
    pub processor: TopologyDescriptionNode,
}

impl Element for TopologyDescriptionGlobalStore {
    const WIRE_SIZE_MIN: usize = 15;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it =
            Self { source: TopologyDescriptionNode::read(r)?, processor: TopologyDescriptionNode::read(r)? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        self.source.write(w)?;
        self.processor.write(w)?;
        w.no_tags();
        Ok(())
    }
}

impl Message for StreamsGroupDescribeResponse {
    const NAME: &'static str = "StreamsGroupDescribeResponse";
    const VERSIONS: RangeInclusive<i16> = 0..=1;
    const FLEXIBLE_FROM: Option<i16> = Some(0);
}
