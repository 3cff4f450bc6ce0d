// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! ListGroups, key 16.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ListGroupsRequest {
    /// Since version 4.
    pub states_filter: Vec<String>,
    /// Since version 5.
    pub types_filter: Vec<String>,
}

impl Element for ListGroupsRequest {
    const WIRE_SIZE_MIN: usize = 1;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            states_filter: if v >= 4 { r.array()? } else { Vec::new() },
            types_filter: if v >= 5 { r.array()? } else { Vec::new() },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        if v >= 4 {
            w.array(&self.states_filter)?;
        } else {
            w.require(self.states_filter.is_empty(), "states_filter")?;
        }
        if v >= 5 {
            w.array(&self.types_filter)?;
        } else {
            w.require(self.types_filter.is_empty(), "types_filter")?;
        }
        w.no_tags();
        Ok(())
    }
}

impl Message for ListGroupsRequest {
    const NAME: &'static str = "ListGroupsRequest";
    const VERSIONS: RangeInclusive<i16> = 0..=5;
    const FLEXIBLE_FROM: Option<i16> = Some(3);
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ListGroupsResponse {
    /// Since version 1, left out silently where a version lacks it.
    pub throttle_time_ms: i32,
    pub error_code: i16,
    pub groups: Vec<ListedGroup>,
}

impl Element for ListGroupsResponse {
    const WIRE_SIZE_MIN: usize = 6;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            throttle_time_ms: if v >= 1 { r.i32()? } else { 0 },
            error_code: r.i16()?,
            groups: r.array()?,
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
        w.array(&self.groups)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ListedGroup {
    pub group_id: String,
    pub protocol_type: String,
    /// Since version 4, left out silently where a version lacks it.
    pub group_state: String,
    /// Since version 5, left out silently where a version lacks it.
    pub group_type: String,
}

impl Element for ListedGroup {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            group_id: r.string()?,
            protocol_type: r.string()?,
            group_state: if v >= 4 { r.string()? } else { String::new() },
            group_type: if v >= 5 { r.string()? } else { String::new() },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.string(&self.group_id)?;
        w.string(&self.protocol_type)?;
        if v >= 4 {
            w.string(&self.group_state)?;
        }
        if v >= 5 {
            w.string(&self.group_type)?;
        }
        w.no_tags();
        Ok(())
    }
}

impl Message for ListGroupsResponse {
    const NAME: &'static str = "ListGroupsResponse";
    const VERSIONS: RangeInclusive<i16> = 0..=5;
    const FLEXIBLE_FROM: Option<i16> = Some(3);
}
