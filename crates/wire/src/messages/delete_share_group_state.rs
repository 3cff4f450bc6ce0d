// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! DeleteShareGroupState, key 86.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Default)]
pub struct DeleteShareGroupStateRequest {
    pub group_id: String,
    pub topics: Vec<DeleteStateData>,
}

impl Element for DeleteShareGroupStateRequest {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { group_id: r.string()?, topics: r.array()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.group_id)?;
        w.array(&self.topics)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct DeleteStateData {
    pub topic_id: TopicId,
    pub partitions: Vec<PartitionData>,
}

impl Element for DeleteStateData {
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

#[derive(Clone, Debug, PartialEq, Default)]
pub struct PartitionData {
    pub partition: i32,
}

impl Element for PartitionData {
    const WIRE_SIZE_MIN: usize = 5;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { partition: r.i32()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i32(self.partition);
        w.no_tags();
        Ok(())
    }
}

impl Message for DeleteShareGroupStateRequest {
    const NAME: &'static str = "DeleteShareGroupStateRequest";
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    const FLEXIBLE_FROM: Option<i16> = Some(0);
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct DeleteShareGroupStateResponse {
    pub results: Vec<DeleteStateResult>,
}

impl Element for DeleteShareGroupStateResponse {
    const WIRE_SIZE_MIN: usize = 2;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { results: r.array()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.array(&self.results)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct DeleteStateResult {
    pub topic_id: TopicId,
    pub partitions: Vec<PartitionResult>,
}

impl Element for DeleteStateResult {
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

#[derive(Clone, Debug, PartialEq, Default)]
pub struct PartitionResult {
    pub partition: i32,
    pub error_code: i16,
    pub error_message: Option<String>,
}

impl Element for PartitionResult {
    const WIRE_SIZE_MIN: usize = 8;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { partition: r.i32()?, error_code: r.i16()?, error_message: r.nullable_string(true)? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i32(self.partition);
        w.i16(self.error_code);
        w.nullable_string(&self.error_message)?;
        w.no_tags();
        Ok(())
    }
}

impl Message for DeleteShareGroupStateResponse {
    const NAME: &'static str = "DeleteShareGroupStateResponse";
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    const FLEXIBLE_FROM: Option<i16> = Some(0);
}
