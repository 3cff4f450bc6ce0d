// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! DeleteTopics, key 20.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Default)]
pub struct DeleteTopicsRequest {
    /// Since version 6.
    pub topics: Vec<DeleteTopicState>,
    /// Up to version 5, left out silently where a version lacks it.
    pub topic_names: Vec<String>,
    pub timeout_ms: i32,
}

impl Element for DeleteTopicsRequest {
    const WIRE_SIZE_MIN: usize = 6;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            topics: if v >= 6 { r.array()? } else { Vec::new() },
            topic_names: if v <= 5 { r.array()? } else { Vec::new() },
            timeout_ms: r.i32()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        if v >= 6 {
            w.array(&self.topics)?;
        } else {
            w.require(self.topics.is_empty(), "topics")?;
        }
        if v <= 5 {
            w.array(&self.topic_names)?;
        }
        w.i32(self.timeout_ms);
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct DeleteTopicState {
    pub name: Option<String>,
    pub topic_id: TopicId,
}

impl Element for DeleteTopicState {
    const WIRE_SIZE_MIN: usize = 18;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { name: r.nullable_string(true)?, topic_id: r.topic_id()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.nullable_string(&self.name)?;
        w.topic_id(self.topic_id);
        w.no_tags();
        Ok(())
    }
}

impl Message for DeleteTopicsRequest {
    const NAME: &'static str = "DeleteTopicsRequest";
    const VERSIONS: RangeInclusive<i16> = 1..=6;
    const FLEXIBLE_FROM: Option<i16> = Some(4);
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct DeleteTopicsResponse {
    pub throttle_time_ms: i32,
    pub responses: Vec<DeletableTopicResult>,
}

impl Element for DeleteTopicsResponse {
    const WIRE_SIZE_MIN: usize = 6;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { throttle_time_ms: r.i32()?, responses: r.array()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i32(self.throttle_time_ms);
        w.array(&self.responses)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct DeletableTopicResult {
    /// May be null in versions 6+.
    pub name: Option<String>,
    /// Since version 6, left out silently where a version lacks it.
    pub topic_id: TopicId,
    pub error_code: i16,
    /// Since version 5, left out silently where a version lacks it.
    pub error_message: Option<String>,
}

impl Default for DeletableTopicResult {
    fn default() -> Self {
        Self { name: Some(String::new()), topic_id: TopicId::default(), error_code: 0, error_message: None }
    }
}

impl Element for DeletableTopicResult {
    const WIRE_SIZE_MIN: usize = 4;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            name: r.nullable_string(v >= 6)?,
            topic_id: if v >= 6 { r.topic_id()? } else { TopicId::default() },
            error_code: r.i16()?,
            error_message: if v >= 5 { r.nullable_string(true)? } else { None },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.require(self.name.is_some() || v >= 6, "name")?;
        w.nullable_string(&self.name)?;
        if v >= 6 {
            w.topic_id(self.topic_id);
        }
        w.i16(self.error_code);
        if v >= 5 {
            w.nullable_string(&self.error_message)?;
        }
        w.no_tags();
        Ok(())
    }
}

impl Message for DeleteTopicsResponse {
    const NAME: &'static str = "DeleteTopicsResponse";
    const VERSIONS: RangeInclusive<i16> = 1..=6;
    const FLEXIBLE_FROM: Option<i16> = Some(4);
}
