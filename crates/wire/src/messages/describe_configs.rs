// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! DescribeConfigs, key 32.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Default)]
pub struct DescribeConfigsRequest {
    pub resources: Vec<DescribeConfigsResource>,
    pub include_synonyms: bool,
    /// Since version 3.
    pub include_documentation: bool,
}

impl Element for DescribeConfigsRequest {
    const WIRE_SIZE_MIN: usize = 4;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            resources: r.array()?,
            include_synonyms: r.bool()?,
            include_documentation: if v >= 3 { r.bool()? } else { false },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.array(&self.resources)?;
        w.bool(self.include_synonyms);
        if v >= 3 {
            w.bool(self.include_documentation);
        } else {
            w.require(!self.include_documentation, "include_documentation")?;
        }
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct DescribeConfigsResource {
    pub resource_type: i8,
    pub resource_name: String,
    pub configuration_keys: Option<Vec<String>>,
}

impl Default for DescribeConfigsResource {
    fn default() -> Self {
        Self { resource_type: 0, resource_name: String::new(), configuration_keys: Some(Vec::new()) }
    }
}

impl Element for DescribeConfigsResource {
    const WIRE_SIZE_MIN: usize = 4;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self {
            resource_type: r.i8()?,
            resource_name: r.string()?,
            configuration_keys: r.nullable_array(true)?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i8(self.resource_type);
        w.string(&self.resource_name)?;
        w.nullable_array(&self.configuration_keys)?;
        w.no_tags();
        Ok(())
    }
}

impl Message for DescribeConfigsRequest {
    const NAME: &'static str = "DescribeConfigsRequest";
    const VERSIONS: RangeInclusive<i16> = 1..=4;
    const FLEXIBLE_FROM: Option<i16> = Some(4);
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct DescribeConfigsResponse {
    pub throttle_time_ms: i32,
    pub results: Vec<DescribeConfigsResult>,
}

impl Element for DescribeConfigsResponse {
    const WIRE_SIZE_MIN: usize = 6;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { throttle_time_ms: r.i32()?, results: r.array()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i32(self.throttle_time_ms);
        w.array(&self.results)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct DescribeConfigsResult {
    pub error_code: i16,
    pub error_message: Option<String>,
    pub resource_type: i8,
    pub resource_name: String,
    pub configs: Vec<DescribeConfigsResourceResult>,
}

impl Default for DescribeConfigsResult {
    fn default() -> Self {
        Self {
            error_code: 0,
            error_message: Some(String::new()),
            resource_type: 0,
            resource_name: String::new(),
            configs: Vec::new(),
        }
    }
}

impl Element for DescribeConfigsResult {
    const WIRE_SIZE_MIN: usize = 7;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self {
            error_code: r.i16()?,
            error_message: r.nullable_string(true)?,
            resource_type: r.i8()?,
            resource_name: r.string()?,
            configs: r.array()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i16(self.error_code);
        w.nullable_string(&self.error_message)?;
        w.i8(self.resource_type);
        w.string(&self.resource_name)?;
        w.array(&self.configs)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct DescribeConfigsResourceResult {
    pub name: String,
    pub value: Option<String>,
    pub read_only: bool,
    /// Default -1.
    pub config_source: i8,
    pub is_sensitive: bool,
    pub synonyms: Vec<DescribeConfigsSynonym>,
    /// Since version 3, left out silently where a version lacks it.
    pub config_type: i8,
    /// Since version 3, left out silently where a version lacks it.
    pub documentation: Option<String>,
}

impl Default for DescribeConfigsResourceResult {
    fn default() -> Self {
        Self {
            name: String::new(),
            value: Some(String::new()),
            read_only: false,
            config_source: -1,
            is_sensitive: false,
            synonyms: Vec::new(),
            config_type: 0,
            documentation: Some(String::new()),
        }
    }
}

impl Element for DescribeConfigsResourceResult {
    const WIRE_SIZE_MIN: usize = 9;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            name: r.string()?,
            value: r.nullable_string(true)?,
            read_only: r.bool()?,
            config_source: r.i8()?,
            is_sensitive: r.bool()?,
            synonyms: r.array()?,
            config_type: if v >= 3 { r.i8()? } else { 0 },
            documentation: if v >= 3 { r.nullable_string(true)? } else { Some(String::new()) },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.string(&self.name)?;
        w.nullable_string(&self.value)?;
        w.bool(self.read_only);
        w.i8(self.config_source);
        w.bool(self.is_sensitive);
        w.array(&self.synonyms)?;
        if v >= 3 {
            w.i8(self.config_type);
        }
        if v >= 3 {
            w.nullable_string(&self.documentation)?;
        }
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct DescribeConfigsSynonym {
    pub name: String,
    pub value: Option<String>,
    pub source: i8,
}

impl Default for DescribeConfigsSynonym {
    fn default() -> Self {
        Self { name: String::new(), value: Some(String::new()), source: 0 }
    }
}

impl Element for DescribeConfigsSynonym {
    const WIRE_SIZE_MIN: usize = 4;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { name: r.string()?, value: r.nullable_string(true)?, source: r.i8()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.name)?;
        w.nullable_string(&self.value)?;
        w.i8(self.source);
        w.no_tags();
        Ok(())
    }
}

impl Message for DescribeConfigsResponse {
    const NAME: &'static str = "DescribeConfigsResponse";
    const VERSIONS: RangeInclusive<i16> = 1..=4;
    const FLEXIBLE_FROM: Option<i16> = Some(4);
}
