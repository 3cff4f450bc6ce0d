// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! BrokerRegistration, key 62.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq)]
pub struct BrokerRegistrationRequest {
    pub broker_id: i32,
    pub cluster_id: String,
    pub incarnation_id: Uuid,
    pub listeners: Vec<Listener>,
    pub features: Vec<Feature>,
    pub rack: Option<String>,
    /// Since version 1.
    pub is_migrating_zk_broker: bool,
    /// Since version 2, left out silently where a version lacks it.
    pub log_dirs: Vec<Uuid>,
    /// Since version 3, default -1, left out silently where a version lacks it.
    pub previous_broker_epoch: i64,
}

impl Default for BrokerRegistrationRequest {
    fn default() -> Self {
        Self {
            broker_id: 0,
            cluster_id: String::new(),
            incarnation_id: Uuid::default(),
            listeners: Vec::new(),
            features: Vec::new(),
            rack: Some(String::new()),
            is_migrating_zk_broker: false,
            log_dirs: Vec::new(),
            previous_broker_epoch: -1,
        }
    }
}

impl Element for BrokerRegistrationRequest {
    const WIRE_SIZE_MIN: usize = 25;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            broker_id: r.i32()?,
            cluster_id: r.string()?,
            incarnation_id: r.uuid()?,
            listeners: r.array()?,
            features: r.array()?,
            rack: r.nullable_string(true)?,
            is_migrating_zk_broker: if v >= 1 { r.bool()? } else { false },
            log_dirs: if v >= 2 { r.array()? } else { Vec::new() },
            previous_broker_epoch: if v >= 3 { r.i64()? } else { -1 },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.i32(self.broker_id);
        w.string(&self.cluster_id)?;
        w.uuid(self.incarnation_id);
        w.array(&self.listeners)?;
        w.array(&self.features)?;
        w.nullable_string(&self.rack)?;
        if v >= 1 {
            w.bool(self.is_migrating_zk_broker);
        } else {
            w.require(!self.is_migrating_zk_broker, "is_migrating_zk_broker")?;
        }
        if v >= 2 {
            w.array(&self.log_dirs)?;
        }
        if v >= 3 {
            w.i64(self.previous_broker_epoch);
        }
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct Listener {
    pub name: String,
    pub host: String,
    pub port: u16,
    pub security_protocol: i16,
}

impl Element for Listener {
    const WIRE_SIZE_MIN: usize = 7;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { name: r.string()?, host: r.string()?, port: r.u16()?, security_protocol: r.i16()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.name)?;
        w.string(&self.host)?;
        w.u16(self.port);
        w.i16(self.security_protocol);
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct Feature {
    pub name: String,
    pub min_supported_version: i16,
    pub max_supported_version: i16,
}

impl Element for Feature {
    const WIRE_SIZE_MIN: usize = 6;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { name: r.string()?, min_supported_version: r.i16()?, max_supported_version: r.i16()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.name)?;
        w.i16(self.min_supported_version);
        w.i16(self.max_supported_version);
        w.no_tags();
        Ok(())
    }
}

impl Message for BrokerRegistrationRequest {
    const NAME: &'static str = "BrokerRegistrationRequest";
    const VERSIONS: RangeInclusive<i16> = 0..=4;
    const FLEXIBLE_FROM: Option<i16> = Some(0);
}

#[derive(Clone, Debug, PartialEq)]
pub struct BrokerRegistrationResponse {
    pub throttle_time_ms: i32,
    pub error_code: i16,
    /// Default -1.
    pub broker_epoch: i64,
}

impl Default for BrokerRegistrationResponse {
    fn default() -> Self {
        Self { throttle_time_ms: 0, error_code: 0, broker_epoch: -1 }
    }
}

impl Element for BrokerRegistrationResponse {
    const WIRE_SIZE_MIN: usize = 15;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { throttle_time_ms: r.i32()?, error_code: r.i16()?, broker_epoch: r.i64()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i32(self.throttle_time_ms);
        w.i16(self.error_code);
        w.i64(self.broker_epoch);
        w.no_tags();
        Ok(())
    }
}

impl Message for BrokerRegistrationResponse {
    const NAME: &'static str = "BrokerRegistrationResponse";
    const VERSIONS: RangeInclusive<i16> = 0..=4;
    const FLEXIBLE_FROM: Option<i16> = Some(0);
}
