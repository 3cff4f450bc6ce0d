// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! Heartbeat, key 12.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Default)]
pub struct HeartbeatRequest {
    pub group_id: String,
    pub generation_id: i32,
    pub member_id: String,
    /// Since version 3.
    pub group_instance_id: Option<String>,
}

impl Element for HeartbeatRequest {
    const WIRE_SIZE_MIN: usize = 8;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            group_id: r.string()?,
            generation_id: r.i32()?,
            member_id: r.string()?,
            group_instance_id: if v >= 3 { r.nullable_string(true)? } else { None },
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
        w.no_tags();
        Ok(())
    }
}

impl Message for HeartbeatRequest {
    const NAME: &'static str = "HeartbeatRequest";
    const VERSIONS: RangeInclusive<i16> = 0..=4;
    const FLEXIBLE_FROM: Option<i16> = Some(4);
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct HeartbeatResponse {
    /// Since version 1, left out silently where a version lacks it.
    pub throttle_time_ms: i32,
    pub error_code: i16,
}

impl Element for HeartbeatResponse {
    const WIRE_SIZE_MIN: usize = 2;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self { throttle_time_ms: if v >= 1 { r.i32()? } else { 0 }, error_code: r.i16()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        if v >= 1 {
            w.i32(self.throttle_time_ms);
        }
        w.i16(self.error_code);
        w.no_tags();
        Ok(())
    }
}

impl Message for HeartbeatResponse {
    const NAME: &'static str = "HeartbeatResponse";
    const VERSIONS: RangeInclusive<i16> = 0..=4;
    const FLEXIBLE_FROM: Option<i16> = Some(4);
}
