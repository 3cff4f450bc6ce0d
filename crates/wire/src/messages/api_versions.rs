// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! ApiVersions, key 18.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq)]
pub struct ApiVersionsRequest {
    /// Since version 3, left out silently where a version lacks it.
    pub client_software_name: String,
    /// Since version 3, left out silently where a version lacks it.
    pub client_software_version: String,
    /// Since version 5, left out silently where a version lacks it.
    pub cluster_id: Option<String>,
    /// Since version 5, default -1, left out silently where a version lacks it.
    pub node_id: i32,
}

impl Default for ApiVersionsRequest {
    fn default() -> Self {
        Self {
            client_software_name: String::new(),
            client_software_version: String::new(),
            cluster_id: None,
            node_id: -1,
        }
    }
}

impl Element for ApiVersionsRequest {
    const WIRE_SIZE_MIN: usize = 1;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            client_software_name: if v >= 3 { r.string()? } else { String::new() },
            client_software_version: if v >= 3 { r.string()? } else { String::new() },
            cluster_id: if v >= 5 { r.nullable_string(true)? } else { None },
            node_id: if v >= 5 { r.i32()? } else { -1 },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        if v >= 3 {
            w.string(&self.client_software_name)?;
        }
        if v >= 3 {
            w.string(&self.client_software_version)?;
        }
        if v >= 5 {
            w.nullable_string(&self.cluster_id)?;
        }
        if v >= 5 {
            w.i32(self.node_id);
        }
        w.no_tags();
        Ok(())
    }
}

impl Message for ApiVersionsRequest {
    const NAME: &'static str = "ApiVersionsRequest";
    const VERSIONS: RangeInclusive<i16> = 0..=5;
    const FLEXIBLE_FROM: Option<i16> = Some(3);
}

#[derive(Clone, Debug, PartialEq)]
pub struct ApiVersionsResponse {
    pub error_code: i16,
    pub api_keys: Vec<ApiVersion>,
    /// Since version 1, left out silently where a version lacks it.
    pub throttle_time_ms: i32,
    /// Since version 3, tag 0, left out silently where a version lacks it.
    pub supported_features: Vec<SupportedFeatureKey>,
    /// Since version 3, tag 1, default -1, left out silently where a version lacks it.
    pub finalized_features_epoch: i64,
    /// Since version 3, tag 2, left out silently where a version lacks it.
    pub finalized_features: Vec<FinalizedFeatureKey>,
    /// Since version 3, tag 3, left out silently where a version lacks it.
    pub zk_migration_ready: bool,
}

impl Default for ApiVersionsResponse {
    fn default() -> Self {
        Self {
            error_code: 0,
            api_keys: Vec::new(),
            throttle_time_ms: 0,
            supported_features: Vec::new(),
            finalized_features_epoch: -1,
            finalized_features: Vec::new(),
            zk_migration_ready: false,
        }
    }
}

impl Element for ApiVersionsResponse {
    const WIRE_SIZE_MIN: usize = 6;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let mut it = Self {
            error_code: r.i16()?,
            api_keys: r.array()?,
            throttle_time_ms: if v >= 1 { r.i32()? } else { 0 },
            supported_features: Vec::new(),
            finalized_features_epoch: -1,
            finalized_features: Vec::new(),
            zk_migration_ready: false,
        };
        r.tags(|r, tag| {
            match tag {
                0 if v >= 3 => it.supported_features = r.array()?,
                1 if v >= 3 => it.finalized_features_epoch = r.i64()?,
                2 if v >= 3 => it.finalized_features = r.array()?,
                3 if v >= 3 => it.zk_migration_ready = r.bool()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.i16(self.error_code);
        w.array(&self.api_keys)?;
        if v >= 1 {
            w.i32(self.throttle_time_ms);
        }
        let mut tags = w.begin_tags();
        if v >= 3 && !self.supported_features.is_empty() {
            w.tag(&mut tags, 0, |w| w.array(&self.supported_features))?;
        }
        if v >= 3 && self.finalized_features_epoch != -1 {
            w.tag(&mut tags, 1, |w| {
                w.i64(self.finalized_features_epoch);
                Ok(())
            })?;
        }
        if v >= 3 && !self.finalized_features.is_empty() {
            w.tag(&mut tags, 2, |w| w.array(&self.finalized_features))?;
        }
        if v >= 3 && self.zk_migration_ready {
            w.tag(&mut tags, 3, |w| {
                w.bool(self.zk_migration_ready);
                Ok(())
            })?;
        }
        w.end_tags(tags);
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ApiVersion {
    pub api_key: i16,
    pub min_version: i16,
    pub max_version: i16,
}

impl Element for ApiVersion {
    const WIRE_SIZE_MIN: usize = 6;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { api_key: r.i16()?, min_version: r.i16()?, max_version: r.i16()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i16(self.api_key);
        w.i16(self.min_version);
        w.i16(self.max_version);
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct SupportedFeatureKey {
    pub name: String,
    pub min_version: i16,
    pub max_version: i16,
}

impl Element for SupportedFeatureKey {
    const WIRE_SIZE_MIN: usize = 6;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { name: r.string()?, min_version: r.i16()?, max_version: r.i16()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.name)?;
        w.i16(self.min_version);
        w.i16(self.max_version);
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct FinalizedFeatureKey {
    pub name: String,
    pub max_version_level: i16,
    pub min_version_level: i16,
}

impl Element for FinalizedFeatureKey {
    const WIRE_SIZE_MIN: usize = 6;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { name: r.string()?, max_version_level: r.i16()?, min_version_level: r.i16()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.name)?;
        w.i16(self.max_version_level);
        w.i16(self.min_version_level);
        w.no_tags();
        Ok(())
    }
}

impl Message for ApiVersionsResponse {
    const NAME: &'static str = "ApiVersionsResponse";
    const VERSIONS: RangeInclusive<i16> = 0..=5;
    const FLEXIBLE_FROM: Option<i16> = Some(3);
}
