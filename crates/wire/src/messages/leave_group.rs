// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! LeaveGroup, key 13.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Default)]
pub struct LeaveGroupRequest {
    pub group_id: String,
    /// Up to version 2.
    pub member_id: String,
    /// Since version 3.
    pub members: Vec<MemberIdentity>,
}

impl Element for LeaveGroupRequest {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            group_id: r.string()?,
            member_id: if v <= 2 { r.string()? } else { String::new() },
            members: if v >= 3 { r.array()? } else { Vec::new() },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.string(&self.group_id)?;
        if v <= 2 {
            w.string(&self.member_id)?;
        } else {
            w.require(self.member_id.is_empty(), "member_id")?;
        }
        if v >= 3 {
            w.array(&self.members)?;
        } else {
            w.require(self.members.is_empty(), "members")?;
        }
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct MemberIdentity {
    pub member_id: String,
    pub group_instance_id: Option<String>,
    /// Since version 5, left out silently where a version lacks it.
    pub reason: Option<String>,
}

impl Element for MemberIdentity {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            member_id: r.string()?,
            group_instance_id: r.nullable_string(true)?,
            reason: if v >= 5 { r.nullable_string(true)? } else { None },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.string(&self.member_id)?;
        w.nullable_string(&self.group_instance_id)?;
        if v >= 5 {
            w.nullable_string(&self.reason)?;
        }
        w.no_tags();
        Ok(())
    }
}

impl Message for LeaveGroupRequest {
    const NAME: &'static str = "LeaveGroupRequest";
    const VERSIONS: RangeInclusive<i16> = 0..=5;
    const FLEXIBLE_FROM: Option<i16> = Some(4);
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct LeaveGroupResponse {
    /// Since version 1, left out silently where a version lacks it.
    pub throttle_time_ms: i32,
    pub error_code: i16,
    /// Since version 3.
    pub members: Vec<MemberResponse>,
}

impl Element for LeaveGroupResponse {
    const WIRE_SIZE_MIN: usize = 2;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            throttle_time_ms: if v >= 1 { r.i32()? } else { 0 },
            error_code: r.i16()?,
            members: if v >= 3 { r.array()? } else { Vec::new() },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        if v >= 1 {
            w.i32(self.throttle_time_ms);
        }
        w.i16(self.error_code);
        if v >= 3 {
            w.array(&self.members)?;
        } else {
            w.require(self.members.is_empty(), "members")?;
        }
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct MemberResponse {
    pub member_id: String,
    pub group_instance_id: Option<String>,
    pub error_code: i16,
}

impl Default for MemberResponse {
    fn default() -> Self {
        Self { member_id: String::new(), group_instance_id: Some(String::new()), error_code: 0 }
    }
}

impl Element for MemberResponse {
    const WIRE_SIZE_MIN: usize = 5;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self {
            member_id: r.string()?,
            group_instance_id: r.nullable_string(true)?,
            error_code: r.i16()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.member_id)?;
        w.nullable_string(&self.group_instance_id)?;
        w.i16(self.error_code);
        w.no_tags();
        Ok(())
    }
}

impl Message for LeaveGroupResponse {
    const NAME: &'static str = "LeaveGroupResponse";
    const VERSIONS: RangeInclusive<i16> = 0..=5;
    const FLEXIBLE_FROM: Option<i16> = Some(4);
}
