// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! ListConfigResources, key 74.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ListConfigResourcesRequest {
    /// Since version 1.
    pub resource_types: Vec<i8>,
}

impl Element for ListConfigResourcesRequest {
    const WIRE_SIZE_MIN: usize = 1;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self { resource_types: if v >= 1 { r.array()? } else { Vec::new() } };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        if v >= 1 {
            w.array(&self.resource_types)?;
        } else {
            w.require(self.resource_types.is_empty(), "resource_types")?;
        }
        w.no_tags();
        Ok(())
    }
}

impl Message for ListConfigResourcesRequest {
    const NAME: &'static str = "ListConfigResourcesRequest";
    const VERSIONS: RangeInclusive<i16> = 0..=1;
    const FLEXIBLE_FROM: Option<i16> = Some(0);
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ListConfigResourcesResponse {
    pub throttle_time_ms: i32,
    pub error_code: i16,
    pub config_resources: Vec<ConfigResource>,
}

impl Element for ListConfigResourcesResponse {
    const WIRE_SIZE_MIN: usize = 8;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { throttle_time_ms: r.i32()?, error_code: r.i16()?, config_resources: r.array()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i32(self.throttle_time_ms);
        w.i16(self.error_code);
        w.array(&self.config_resources)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct ConfigResource {
    pub resource_name: String,
    /// Since version 1, default 16, left out silently where a version lacks it.
    pub resource_type: i8,
}

impl Default for ConfigResource {
    fn default() -> Self {
        Self { resource_name: String::new(), resource_type: 16 }
    }
}

impl Element for ConfigResource {
    const WIRE_SIZE_MIN: usize = 2;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self { resource_name: r.string()?, resource_type: if v >= 1 { r.i8()? } else { 16 } };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.string(&self.resource_name)?;
        if v >= 1 {
            w.i8(self.resource_type);
        }
        w.no_tags();
        Ok(())
    }
}

impl Message for ListConfigResourcesResponse {
    const NAME: &'static str = "ListConfigResourcesResponse";
    const VERSIONS: RangeInclusive<i16> = 0..=1;
    const FLEXIBLE_FROM: Option<i16> = Some(0);
}
