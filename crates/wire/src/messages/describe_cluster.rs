// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! DescribeCluster, key 60.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq)]
pub struct DescribeClusterRequest {
    pub include_cluster_authorized_operations: bool,
    /// Since version 1, default 1.
    pub endpoint_type: i8,
    /// Since version 2.
    pub include_fenced_brokers: bool,
}

impl Default for DescribeClusterRequest {
    fn default() -> Self {
        Self { include_cluster_authorized_operations: false, endpoint_type: 1, include_fenced_brokers: false }
    }
}

impl Element for DescribeClusterRequest {
    const WIRE_SIZE_MIN: usize = 2;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            include_cluster_authorized_operations: r.bool()?,
            endpoint_type: if v >= 1 { r.i8()? } else { 1 },
            include_fenced_brokers: if v >= 2 { r.bool()? } else { false },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.bool(self.include_cluster_authorized_operations);
        if v >= 1 {
            w.i8(self.endpoint_type);
        } else {
            w.require(self.endpoint_type == 1, "endpoint_type")?;
        }
        if v >= 2 {
            w.bool(self.include_fenced_brokers);
        } else {
            w.require(!self.include_fenced_brokers, "include_fenced_brokers")?;
        }
        w.no_tags();
        Ok(())
    }
}

impl Message for DescribeClusterRequest {
    const NAME: &'static str = "DescribeClusterRequest";
    const VERSIONS: RangeInclusive<i16> = 0..=2;
    const FLEXIBLE_FROM: Option<i16> = Some(0);
}

#[derive(Clone, Debug, PartialEq)]
pub struct DescribeClusterResponse {
    pub throttle_time_ms: i32,
    pub error_code: i16,
    pub error_message: Option<String>,
    /// Since version 1, default 1.
    pub endpoint_type: i8,
    pub cluster_id: String,
    /// Default -1.
    pub controller_id: i32,
    pub brokers: Vec<DescribeClusterBroker>,
    /// Default -2147483648.
    pub cluster_authorized_operations: i32,
}

impl Default for DescribeClusterResponse {
    fn default() -> Self {
        Self {
            throttle_time_ms: 0,
            error_code: 0,
            error_message: None,
            endpoint_type: 1,
            cluster_id: String::new(),
            controller_id: -1,
            brokers: Vec::new(),
            cluster_authorized_operations: -2147483648,
        }
    }
}

impl Element for DescribeClusterResponse {
    const WIRE_SIZE_MIN: usize = 18;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            throttle_time_ms: r.i32()?,
            error_code: r.i16()?,
            error_message: r.nullable_string(true)?,
            endpoint_type: if v >= 1 { r.i8()? } else { 1 },
            cluster_id: r.string()?,
            controller_id: r.i32()?,
            brokers: r.array()?,
            cluster_authorized_operations: r.i32()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.i32(self.throttle_time_ms);
        w.i16(self.error_code);
        w.nullable_string(&self.error_message)?;
        if v >= 1 {
            w.i8(self.endpoint_type);
        } else {
            w.require(self.endpoint_type == 1, "endpoint_type")?;
        }
        w.string(&self.cluster_id)?;
        w.i32(self.controller_id);
        w.array(&self.brokers)?;
        w.i32(self.cluster_authorized_operations);
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct DescribeClusterBroker {
    pub broker_id: i32,
    pub host: String,
    pub port: i32,
    pub rack: Option<String>,
    /// Since version 2.
    pub is_fenced: bool,
}

impl Element for DescribeClusterBroker {
    const WIRE_SIZE_MIN: usize = 11;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            broker_id: r.i32()?,
            host: r.string()?,
            port: r.i32()?,
            rack: r.nullable_string(true)?,
            is_fenced: if v >= 2 { r.bool()? } else { false },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.i32(self.broker_id);
        w.string(&self.host)?;
        w.i32(self.port);
        w.nullable_string(&self.rack)?;
        if v >= 2 {
            w.bool(self.is_fenced);
        } else {
            w.require(!self.is_fenced, "is_fenced")?;
        }
        w.no_tags();
        Ok(())
    }
}

impl Message for DescribeClusterResponse {
    const NAME: &'static str = "DescribeClusterResponse";
    const VERSIONS: RangeInclusive<i16> = 0..=2;
    const FLEXIBLE_FROM: Option<i16> = Some(0);
}
