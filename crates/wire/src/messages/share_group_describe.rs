// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! ShareGroupDescribe, key 77.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ShareGroupDescribeRequest {
    pub group_ids: Vec<String>,
    pub include_authorized_operations: bool,
}

impl Element for ShareGroupDescribeRequest {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { group_ids: r.array()?, include_authorized_operations: r.bool()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.array(&self.group_ids)?;
        w.bool(self.include_authorized_operations);
        w.no_tags();
        Ok(())
    }
}

impl Message for ShareGroupDescribeRequest {
    const NAME: &'static str = "ShareGroupDescribeRequest";
    const VERSIONS: RangeInclusive<i16> = 1..=1;
    const FLEXIBLE_FROM: Option<i16> = Some(0);
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ShareGroupDescribeResponse {
    pub throttle_time_ms: i32,
    pub groups: Vec<DescribedGroup>,
}

impl Element for ShareGroupDescribeResponse {
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
    pub assignor_name: String,
    pub members: Vec<Member>,
    /// Default -2147483648.
    pub authorized_operations: i32,
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
            assignor_name: String::new(),
            members: Vec::new(),
            authorized_operations: -2147483648,
        }
    }
}

impl Element for DescribedGroup {
    const WIRE_SIZE_MIN: usize = 20;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self {
            error_code: r.i16()?,
            error_message: r.nullable_string(true)?,
            group_id: r.string()?,
            group_state: r.string()?,
            group_epoch: r.i32()?,
            assignment_epoch: r.i32()?,
            assignor_name: r.string()?,
            members: r.array()?,
            authorized_operations: r.i32()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i16(self.error_code);
        w.nullable_string(&self.error_message)?;
        w.string(&self.group_id)?;
        w.string(&self.group_state)?;
        w.i32(self.group_epoch);
        w.i32(self.assignment_epoch);
        w.string(&self.assignor_name)?;
        w.array(&self.members)?;
        w.i32(self.authorized_operations);
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct Member {
    pub member_id: String,
    pub rack_id: Option<String>,
    pub member_epoch: i32,
    pub client_id: String,
    pub client_host: String,
    pub subscribed_topic_names: Vec<String>,
    pub assignment: Assignment,
}

impl Element for Member {
    const WIRE_SIZE_MIN: usize = 12;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self {
            member_id: r.string()?,
            rack_id: r.nullable_string(true)?,
            member_epoch: r.i32()?,
            client_id: r.string()?,
            client_host: r.string()?,
            subscribed_topic_names: r.array()?,
            assignment: Assignment::read(r)?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.member_id)?;
        w.nullable_string(&self.rack_id)?;
        w.i32(self.member_epoch);
        w.string(&self.client_id)?;
        w.string(&self.client_host)?;
        w.array(&self.subscribed_topic_names)?;
        self.assignment.write(w)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct TopicPartitions {
    pub topic_id: TopicId,
    pub topic_name: String,
    pub partitions: Vec<i32>,
}

impl Element for TopicPartitions {
    const WIRE_SIZE_MIN: usize = 19;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { topic_id: r.topic_id()?, topic_name: r.string()?, partitions: r.array()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.topic_id(self.topic_id);
        w.string(&self.topic_name)?;
        w.array(&self.partitions)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct Assignment {
    pub topic_partitions: Vec<TopicPartitions>,
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

impl Message for ShareGroupDescribeResponse {
    const NAME: &'static str = "ShareGroupDescribeResponse";
    const VERSIONS: RangeInclusive<i16> = 1..=1;
    const FLEXIBLE_FROM: Option<i16> = Some(0);
}
