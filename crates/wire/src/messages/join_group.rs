// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! JoinGroup, key 11.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq)]
pub struct JoinGroupRequest {
    pub group_id: String,
    pub session_timeout_ms: i32,
    /// Since version 1, default -1, left out silently where a version lacks it.
    pub rebalance_timeout_ms: i32,
    pub member_id: String,
    /// Since version 5.
    pub group_instance_id: Option<String>,
    pub protocol_type: String,
    pub protocols: Vec<JoinGroupRequestProtocol>,
    /// Since version 8, left out silently where a version lacks it.
    pub reason: Option<String>,
}

impl Default for JoinGroupRequest {
    fn default() -> Self {
        Self {
            group_id: String::new(),
            session_timeout_ms: 0,
            rebalance_timeout_ms: -1,
            member_id: String::new(),
            group_instance_id: None,
            protocol_type: String::new(),
            protocols: Vec::new(),
            reason: None,
        }
    }
}

impl Element for JoinGroupRequest {
    const WIRE_SIZE_MIN: usize = 14;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            group_id: r.string()?,
            session_timeout_ms: r.i32()?,
            rebalance_timeout_ms: if v >= 1 { r.i32()? } else { -1 },
            member_id: r.string()?,
            group_instance_id: if v >= 5 { r.nullable_string(true)? } else { None },
            protocol_type: r.string()?,
            protocols: r.array()?,
            reason: if v >= 8 { r.nullable_string(true)? } else { None },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.string(&self.group_id)?;
        w.i32(self.session_timeout_ms);
        if v >= 1 {
            w.i32(self.rebalance_timeout_ms);
        }
        w.string(&self.member_id)?;
        if v >= 5 {
            w.nullable_string(&self.group_instance_id)?;
        } else {
            w.require(self.group_instance_id.is_none(), "group_instance_id")?;
        }
        w.string(&self.protocol_type)?;
        w.array(&self.protocols)?;
        if v >= 8 {
            w.nullable_string(&self.reason)?;
        }
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct JoinGroupRequestProtocol {
    pub name: String,
    pub metadata: Bytes,
}

impl Element for JoinGroupRequestProtocol {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { name: r.string()?, metadata: r.bytes()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.name)?;
        w.bytes(&self.metadata)?;
        w.no_tags();
        Ok(())
    }
}

impl Message for JoinGroupRequest {
    const NAME: &'static str = "JoinGroupRequest";
    const VERSIONS: RangeInclusive<i16> = 0..=9;
    const FLEXIBLE_FROM: Option<i16> = Some(6);
}

#[derive(Clone, Debug, PartialEq)]
pub struct JoinGroupResponse {
    /// Since version 2, left out silently where a version lacks it.
    pub throttle_time_ms: i32,
    pub error_code: i16,
    /// Default -1.
    pub generation_id: i32,
    /// Since version 7, left out silently where a version lacks it.
    pub protocol_type: Option<String>,
    /// May be null in versions 7+.
    pub protocol_name: Option<String>,
    pub leader: String,
    /// Since version 9.
    pub skip_assignment: bool,
    pub member_id: String,
    pub members: Vec<JoinGroupResponseMember>,
}

impl Default for JoinGroupResponse {
    fn default() -> Self {
        Self {
            throttle_time_ms: 0,
            error_code: 0,
            generation_id: -1,
            protocol_type: None,
            protocol_name: Some(String::new()),
            leader: String::new(),
            skip_assignment: false,
            member_id: String::new(),
            members: Vec::new(),
        }
    }
}

impl Element for JoinGroupResponse {
    const WIRE_SIZE_MIN: usize = 15;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            throttle_time_ms: if v >= 2 { r.i32()? } else { 0 },
            error_code: r.i16()?,
            generation_id: r.i32()?,
            protocol_type: if v >= 7 { r.nullable_string(true)? } else { None },
            protocol_name: r.nullable_string(v >= 7)?,
            leader: r.string()?,
            skip_assignment: if v >= 9 { r.bool()? } else { false },
            member_id: r.string()?,
            members: r.array()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        if v >= 2 {
            w.i32(self.throttle_time_ms);
        }
        w.i16(self.error_code);
        w.i32(self.generation_id);
        if v >= 7 {
            w.nullable_string(&self.protocol_type)?;
        }
        w.require(self.protocol_name.is_some() || v >= 7, "protocol_name")?;
        w.nullable_string(&self.protocol_name)?;
        w.string(&self.leader)?;
        if v >= 9 {
            w.bool(self.skip_assignment);
        } else {
            w.require(!self.skip_assignment, "skip_assignment")?;
        }
        w.string(&self.member_id)?;
        w.array(&self.members)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct JoinGroupResponseMember {
    pub member_id: String,
    /// Since version 5, left out silently where a version lacks it.
    pub group_instance_id: Option<String>,
    pub metadata: Bytes,
}

impl Element for JoinGroupResponseMember {
    const WIRE_SIZE_MIN: usize = 4;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            member_id: r.string()?,
            group_instance_id: if v >= 5 { r.nullable_string(true)? } else { None },
            metadata: r.bytes()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.string(&self.member_id)?;
        if v >= 5 {
            w.nullable_string(&self.group_instance_id)?;
        }
        w.bytes(&self.metadata)?;
        w.no_tags();
        Ok(())
    }
}

impl Message for JoinGroupResponse {
    const NAME: &'static str = "JoinGroupResponse";
    const VERSIONS: RangeInclusive<i16> = 0..=9;
    const FLEXIBLE_FROM: Option<i16> = Some(6);
}
