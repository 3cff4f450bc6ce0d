// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! DescribeGroups, key 15.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Default)]
pub struct DescribeGroupsRequest {
    pub groups: Vec<String>,
    /// Since version 3.
    pub include_authorized_operations: bool,
}

impl Element for DescribeGroupsRequest {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            groups: r.array()?,
            include_authorized_operations: if v >= 3 { r.bool()? } else { false },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.array(&self.groups)?;
        if v >= 3 {
            w.bool(self.include_authorized_operations);
        } else {
            w.require(!self.include_authorized_operations, "include_authorized_operations")?;
        }
        w.no_tags();
        Ok(())
    }
}

impl Message for DescribeGroupsRequest {
    const NAME: &'static str = "DescribeGroupsRequest";
    const VERSIONS: RangeInclusive<i16> = 0..=6;
    const FLEXIBLE_FROM: Option<i16> = Some(5);
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct DescribeGroupsResponse {
    /// Since version 1, left out silently where a version lacks it.
    pub throttle_time_ms: i32,
    pub groups: Vec<DescribedGroup>,
}

impl Element for DescribeGroupsResponse {
    const WIRE_SIZE_MIN: usize = 4;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self { throttle_time_ms: if v >= 1 { r.i32()? } else { 0 }, groups: r.array()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        if v >= 1 {
            w.i32(self.throttle_time_ms);
        }
        w.array(&self.groups)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct DescribedGroup {
    pub error_code: i16,
    /// Since version 6.
    pub error_message: Option<String>,
    pub group_id: String,
    pub group_state: String,
    pub protocol_type: String,
    pub protocol_data: String,
    pub members: Vec<DescribedGroupMember>,
    /// Since version 3, default -2147483648.
    pub authorized_operations: i32,
}

impl Default for DescribedGroup {
    fn default() -> Self {
        Self {
            error_code: 0,
            error_message: None,
            group_id: String::new(),
            group_state: String::new(),
            protocol_type: String::new(),
            protocol_data: String::new(),
            members: Vec::new(),
            authorized_operations: -2147483648,
        }
    }
}

impl Element for DescribedGroup {
    const WIRE_SIZE_MIN: usize = 12;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            error_code: r.i16()?,
            error_message: if v >= 6 { r.nullable_string(true)? } else { None },
            group_id: r.string()?,
            group_state: r.string()?,
            protocol_type: r.string()?,
            protocol_data: r.string()?,
            members: r.array()?,
            authorized_operations: if v >= 3 { r.i32()? } else { -2147483648 },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.i16(self.error_code);
        if v >= 6 {
            w.nullable_string(&self.error_message)?;
        } else {
            w.require(self.error_message.is_none(), "error_message")?;
        }
        w.string(&self.group_id)?;
        w.string(&self.group_state)?;
        w.string(&self.protocol_type)?;
        w.string(&self.protocol_data)?;
        w.array(&self.members)?;
        if v >= 3 {
            w.i32(self.authorized_operations);
        } else {
            w.require(self.authorized_operations == -2147483648, "authorized_operations")?;
        }
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct DescribedGroupMember {
    pub member_id: String,
    /// Since version 4, left out silently where a version lacks it.
    pub group_instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub member_metadata: Bytes,
    pub member_assignment: Bytes,
}

impl Element for DescribedGroupMember {
    const WIRE_SIZE_MIN: usize = 7;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            member_id: r.string()?,
            group_instance_id: if v >= 4 { r.nullable_string(true)? } else { None },
            client_id: r.string()?,
            client_host: r.string()?,
            member_metadata: r.bytes()?,
            member_assignment: r.bytes()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.string(&self.member_id)?;
        if v >= 4 {
            w.nullable_string(&self.group_instance_id)?;
        }
        w.string(&self.client_id)?;
        w.string(&self.client_host)?;
        w.bytes(&self.member_metadata)?;
        w.bytes(&self.member_assignment)?;
        w.no_tags();
        Ok(())
    }
}

impl Message for DescribeGroupsResponse {
    const NAME: &'static str = "DescribeGroupsResponse";
    const VERSIONS: RangeInclusive<i16> = 0..=6;
    const FLEXIBLE_FROM: Option<i16> = Some(5);
}
