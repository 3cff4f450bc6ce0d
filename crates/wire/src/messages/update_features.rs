// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! UpdateFeatures, key 57.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq)]
pub struct UpdateFeaturesRequest {
    /// Default 60000.
    pub timeout_ms: i32,
    pub feature_updates: Vec<FeatureUpdateKey>,
    /// Since version 1.
    pub validate_only: bool,
}

impl Default for UpdateFeaturesRequest {
    fn default() -> Self {
        Self { timeout_ms: 60000, feature_updates: Vec::new(), validate_only: false }
    }
}

impl Element for UpdateFeaturesRequest {
    const WIRE_SIZE_MIN: usize = 6;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            timeout_ms: r.i32()?,
            feature_updates: r.array()?,
            validate_only: if v >= 1 { r.bool()? } else { false },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.i32(self.timeout_ms);
        w.array(&self.feature_updates)?;
        if v >= 1 {
            w.bool(self.validate_only);
        } else {
            w.require(!self.validate_only, "validate_only")?;
        }
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct FeatureUpdateKey {
    pub feature: String,
    pub max_version_level: i16,
    /// Up to version 0.
    pub allow_downgrade: bool,
    /// Since version 1, default 1.
    pub upgrade_type: i8,
}

impl Default for FeatureUpdateKey {
    fn default() -> Self {
        Self { feature: String::new(), max_version_level: 0, allow_downgrade: false, upgrade_type: 1 }
    }
}

impl Element for FeatureUpdateKey {
    const WIRE_SIZE_MIN: usize = 5;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            feature: r.string()?,
            max_version_level: r.i16()?,
            allow_downgrade: if v <= 0 { r.bool()? } else { false },
            upgrade_type: if v >= 1 { r.i8()? } else { 1 },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.string(&self.feature)?;
        w.i16(self.max_version_level);
        if v <= 0 {
            w.bool(self.allow_downgrade);
        } else {
            w.require(!self.allow_downgrade, "allow_downgrade")?;
        }
        if v >= 1 {
            w.i8(self.upgrade_type);
        } else {
            w.require(self.upgrade_type == 1, "upgrade_type")?;
        }
        w.no_tags();
        Ok(())
    }
}

impl Message for UpdateFeaturesRequest {
    const NAME: &'static str = "UpdateFeaturesRequest";
    const VERSIONS: RangeInclusive<i16> = 0..=2;
    const FLEXIBLE_FROM: Option<i16> = Some(0);
}

#[derive(Clone, Debug, PartialEq)]
pub struct UpdateFeaturesResponse {
    pub throttle_time_ms: i32,
    pub error_code: i16,
    pub error_message: Option<String>,
    /// Up to version 1, left out silently where a version lacks it.
    pub results: Vec<UpdatableFeatureResult>,
}

impl Default for UpdateFeaturesResponse {
    fn default() -> Self {
        Self { throttle_time_ms: 0, error_code: 0, error_message: Some(String::new()), results: Vec::new() }
    }
}

impl Element for UpdateFeaturesResponse {
    const WIRE_SIZE_MIN: usize = 8;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            throttle_time_ms: r.i32()?,
            error_code: r.i16()?,
            error_message: r.nullable_string(true)?,
            results: if v <= 1 { r.array()? } else { Vec::new() },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.i32(self.throttle_time_ms);
        w.i16(self.error_code);
        w.nullable_string(&self.error_message)?;
        if v <= 1 {
            w.array(&self.results)?;
        }
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct UpdatableFeatureResult {
    pub feature: String,
    pub error_code: i16,
    pub error_message: Option<String>,
}

impl Default for UpdatableFeatureResult {
    fn default() -> Self {
        Self { feature: String::new(), error_code: 0, error_message: Some(String::new()) }
    }
}

impl Element for UpdatableFeatureResult {
    const WIRE_SIZE_MIN: usize = 5;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { feature: r.string()?, error_code: r.i16()?, error_message: r.nullable_string(true)? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.feature)?;
        w.i16(self.error_code);
        w.nullable_string(&self.error_message)?;
        w.no_tags();
        Ok(())
    }
}

impl Message for UpdateFeaturesResponse {
    const NAME: &'static str = "UpdateFeaturesResponse";
    const VERSIONS: RangeInclusive<i16> = 0..=2;
    const FLEXIBLE_FROM: Option<i16> = Some(0);
}
