// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! StreamsGroupTopologyDescriptionUpdate, key 93.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Default)]
pub struct StreamsGroupTopologyDescriptionUpdateRequest {
    pub group_id: String,
    pub member_id: String,
    pub topology_epoch: i32,
    pub topology_description: TopologyDescription,
}

impl Element for StreamsGroupTopologyDescriptionUpdateRequest {
    const WIRE_SIZE_MIN: usize = 10;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self {
            group_id: r.string()?,
            member_id: r.string()?,
            topology_epoch: r.i32()?,
            topology_description: TopologyDescription::read(r)?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.group_id)?;
        w.string(&self.member_id)?;
        w.i32(self.topology_epoch);
        self.topology_description.write(w)?;
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

impl Message for StreamsGroupTopologyDescriptionUpdateRequest {
    const NAME: &'static str = "StreamsGroupTopologyDescriptionUpdateRequest";
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    const FLEXIBLE_FROM: Option<i16> = Some(0);
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct StreamsGroupTopologyDescriptionUpdateResponse {
    pub throttle_time_ms: i32,
    pub error_code: i16,
    pub error_message: Option<String>,
}

impl Element for StreamsGroupTopologyDescriptionUpdateResponse {
    const WIRE_SIZE_MIN: usize = 8;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self {
            throttle_time_ms: r.i32()?,
            error_code: r.i16()?,
            error_message: r.nullable_string(true)?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i32(self.throttle_time_ms);
        w.i16(self.error_code);
        w.nullable_string(&self.error_message)?;
        w.no_tags();
        Ok(())
    }
}

impl Message for StreamsGroupTopologyDescriptionUpdateResponse {
    const NAME: &'static str = "StreamsGroupTopologyDescriptionUpdateResponse";
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    const FLEXIBLE_FROM: Option<i16> = Some(0);
}
