// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! SyncGroup, key 14.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Default)]
pub struct SyncGroupRequest {
    pub group_id: String,
    pub generation_id: i32,
    pub member_id: String,
    /// Since version 3.
    pub group_instance_id: Option<String>,
    /// Since version 5, left out silently where a version lacks it.
    pub protocol_type: Option<String>,
    /// Since version 5, left out silently where a version lacks it.
    pub protocol_name: Option<String>,
    pub assignments: Vec<SyncGroupRequestAssignment>,
}

impl Element for SyncGroupRequest {
    const WIRE_SIZE_MIN: usize = 9;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            group_id: r.string()?,
            generation_id: r.i32()?,
            member_id: r.string()?,
            group_instance_id: if v >= 3 { r.nullable_string(true)? } else { None },
            protocol_type: if v >= 5 { r.nullable_string(true)? } else { None },
            protocol_name: if v >= 5 { r.nullable_string(true)? } else { None },
            assignments: r.array()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.string(&self.group_id)?;
        w.i32(self.generation_id);
        w.string(&self.member_id)?;
        if v >= 3 {
            w.nullable_string(&self.group_instance_id)?;
        } else {
            w.require(self.group_instance_id.is_none(), "group_instance_id")?;
        }
        if v >= 5 {
            w.nullable_string(&self.protocol_type)?;
        }
        if v >= 5 {
            w.nullable_string(&self.protocol_name)?;
        }
        w.array(&self.assignments)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct SyncGroupRequestAssignment {
    pub member_id: String,
    pub assignment: Bytes,
}

impl Element for SyncGroupRequestAssignment {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { member_id: r.string()?, assignment: r.bytes()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.member_id)?;
        w.bytes(&self.assignment)?;
        w.no_tags();
        Ok(())
    }
}

impl Message for SyncGroupRequest {
    const NAME: &'static str = "SyncGroupRequest";
    const VERSIONS: RangeInclusive<i16> = 0..=5;
    const FLEXIBLE_FROM: Option<i16> = Some(4);
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct SyncGroupResponse {
    /// Since version 1, left out silently where a version lacks it.
    pub throttle_time_ms: i32,
    pub error_code: i16,
    /// Since version 5, left out silently where a version lacks it.
    pub protocol_type: Option<String>,
    /// Since version 5, left out silently where a version lacks it.
    pub protocol_name: Option<String>,
    pub assignment: Bytes,
}

impl Element for SyncGroupResponse {
    const WIRE_SIZE_MIN: usize = 6;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            throttle_time_ms: if v >= 1 { r.i32()? } else { 0 },
            error_code: r.i16()?,
            protocol_type: if v >= 5 { r.nullable_string(true)? } else { None },
            protocol_name: if v >= 5 { r.nullable_string(true)? } else { None },
            assignment: r.bytes()?,
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
        if v >= 5 {
            w.nullable_string(&self.protocol_type)?;
        }
        if v >= 5 {
            w.nullable_string(&self.protocol_name)?;
        }
        w.bytes(&self.assignment)?;
        w.no_tags();
        Ok(())
    }
}

impl Message for SyncGroupResponse {
    const NAME: &'static str = "SyncGroupResponse";
    const VERSIONS: RangeInclusive<i16> = 0..=5;
    const FLEXIBLE_FROM: Option<i16> = Some(4);
}
