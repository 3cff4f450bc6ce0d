// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! FindCoordinator, key 10.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Default)]
pub struct FindCoordinatorRequest {
    /// Up to version 3.
    pub key: String,
    /// Since version 1.
    pub key_type: i8,
    /// Since version 4.
    pub coordinator_keys: Vec<String>,
}

impl Element for FindCoordinatorRequest {
    const WIRE_SIZE_MIN: usize = 2;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            key: if v <= 3 { r.string()? } else { String::new() },
            key_type: if v >= 1 { r.i8()? } else { 0 },
            coordinator_keys: if v >= 4 { r.array()? } else { Vec::new() },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        if v <= 3 {
            w.string(&self.key)?;
        } else {
            w.require(self.key.is_empty(), "key")?;
        }
        if v >= 1 {
            w.i8(self.key_type);
        } else {
            w.require(self.key_type == 0, "key_type")?;
        }
        if v >= 4 {
            w.array(&self.coordinator_keys)?;
        } else {
            w.require(self.coordinator_keys.is_empty(), "coordinator_keys")?;
        }
        w.no_tags();
        Ok(())
    }
}

impl Message for FindCoordinatorRequest {
    const NAME: &'static str = "FindCoordinatorRequest";
    const VERSIONS: RangeInclusive<i16> = 0..=6;
    const FLEXIBLE_FROM: Option<i16> = Some(3);
}

#[derive(Clone, Debug, PartialEq)]
pub struct FindCoordinatorResponse {
    /// Since version 1, left out silently where a version lacks it.
    pub throttle_time_ms: i32,
    /// Up to version 3.
    pub error_code: i16,
    /// Versions 1 to 3, left out silently where a version lacks it.
    pub error_message: Option<String>,
    /// Up to version 3.
    pub node_id: i32,
    /// Up to version 3.
    pub host: String,
    /// Up to version 3.
    pub port: i32,
    /// Since version 4.
    pub coordinators: Vec<Coordinator>,
}

impl Default for FindCoordinatorResponse {
    fn default() -> Self {
        Self {
            throttle_time_ms: 0,
            error_code: 0,
            error_message: Some(String::new()),
            node_id: 0,
            host: String::new(),
            port: 0,
            coordinators: Vec::new(),
        }
    }
}

impl Element for FindCoordinatorResponse {
    const WIRE_SIZE_MIN: usize = 6;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            throttle_time_ms: if v >= 1 { r.i32()? } else { 0 },
            error_code: if v <= 3 { r.i16()? } else { 0 },
            error_message: if (1..=3).contains(&v) { r.nullable_string(true)? } else { Some(String::new()) },
            node_id: if v <= 3 { r.i32()? } else { 0 },
            host: if v <= 3 { r.string()? } else { String::new() },
            port: if v <= 3 { r.i32()? } else { 0 },
            coordinators: if v >= 4 { r.array()? } else { Vec::new() },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        if v >= 1 {
            w.i32(self.throttle_time_ms);
        }
        if v <= 3 {
            w.i16(self.error_code);
        } else {
            w.require(self.error_code == 0, "error_code")?;
        }
        if (1..=3).contains(&v) {
            w.nullable_string(&self.error_message)?;
        }
        if v <= 3 {
            w.i32(self.node_id);
        } else {
            w.require(self.node_id == 0, "node_id")?;
        }
        if v <= 3 {
            w.string(&self.host)?;
        } else {
            w.require(self.host.is_empty(), "host")?;
        }
        if v <= 3 {
            w.i32(self.port);
        } else {
            w.require(self.port == 0, "port")?;
        }
        if v >= 4 {
            w.array(&self.coordinators)?;
        } else {
            w.require(self.coordinators.is_empty(), "coordinators")?;
        }
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Coordinator {
    pub key: String,
    pub node_id: i32,
    pub host: String,
    pub port: i32,
    pub error_code: i16,
    pub error_message: Option<String>,
}

impl Default for Coordinator {
    fn default() -> Self {
        Self {
            key: String::new(),
            node_id: 0,
            host: String::new(),
            port: 0,
            error_code: 0,
            error_message: Some(String::new()),
        }
    }
}

impl Element for Coordinator {
    const WIRE_SIZE_MIN: usize = 14;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self {
            key: r.string()?,
            node_id: r.i32()?,
            host: r.string()?,
            port: r.i32()?,
            error_code: r.i16()?,
            error_message: r.nullable_string(true)?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.key)?;
        w.i32(self.node_id);
        w.string(&self.host)?;
        w.i32(self.port);
        w.i16(self.error_code);
        w.nullable_string(&self.error_message)?;
        w.no_tags();
        Ok(())
    }
}

impl Message for FindCoordinatorResponse {
    const NAME: &'static str = "FindCoordinatorResponse";
    const VERSIONS: RangeInclusive<i16> = 0..=6;
    const FLEXIBLE_FROM: Option<i16> = Some(3);
}
