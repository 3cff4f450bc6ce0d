// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! CreatePartitions, key 37.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Default)]
pub struct CreatePartitionsRequest {
    pub topics: Vec<CreatePartitionsTopic>,
    pub timeout_ms: i32,
    pub validate_only: bool,
}

impl Element for CreatePartitionsRequest {
    const WIRE_SIZE_MIN: usize = 7;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { topics: r.array()?, timeout_ms: r.i32()?, validate_only: r.bool()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.array(&self.topics)?;
        w.i32(self.timeout_ms);
        w.bool(self.validate_only);
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct CreatePartitionsTopic {
    pub name: String,
    pub count: i32,
    pub assignments: Option<Vec<CreatePartitionsAssignment>>,
}

impl Default for CreatePartitionsTopic {
    fn default() -> Self {
        Self { name: String::new(), count: 0, assignments: Some(Vec::new()) }
    }
}

impl Element for CreatePartitionsTopic {
    const WIRE_SIZE_MIN: usize = 7;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { name: r.string()?, count: r.i32()?, assignments: r.nullable_array(true)? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.name)?;
        w.i32(self.count);
        w.nullable_array(&self.assignments)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct CreatePartitionsAssignment {
    pub broker_ids: Vec<i32>,
}

impl Element for CreatePartitionsAssignment {
    const WIRE_SIZE_MIN: usize = 2;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { broker_ids: r.array()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.array(&self.broker_ids)?;
        w.no_tags();
        Ok(())
    }
}

impl Message for CreatePartitionsRequest {
    const NAME: &'static str = "CreatePartitionsRequest";
    const VERSIONS: RangeInclusive<i16> = 0..=3;
    const FLEXIBLE_FROM: Option<i16> = Some(2);
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct CreatePartitionsResponse {
    pub throttle_time_ms: i32,
    pub results: Vec<CreatePartitionsTopicResult>,
}

impl Element for CreatePartitionsResponse {
    const WIRE_SIZE_MIN: usize = 6;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { throttle_time_ms: r.i32()?, results: r.array()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i32(self.throttle_time_ms);
        w.array(&self.results)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct CreatePartitionsTopicResult {
    pub name: String,
    pub error_code: i16,
    pub error_message: Option<String>,
}

impl Element for CreatePartitionsTopicResult {
    const WIRE_SIZE_MIN: usize = 5;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { name: r.string()?, error_code: r.i16()?, error_message: r.nullable_string(true)? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.name)?;
        w.i16(self.error_code);
        w.nullable_string(&self.error_message)?;
        w.no_tags();
        Ok(())
    }
}

impl Message for CreatePartitionsResponse {
    const NAME: &'static str = "CreatePartitionsResponse";
    const VERSIONS: RangeInclusive<i16> = 0..=3;
    const FLEXIBLE_FROM: Option<i16> = Some(2);
}
