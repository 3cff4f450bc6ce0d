// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! DeleteAcls, key 31.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Default)]
pub struct DeleteAclsRequest {
    pub filters: Vec<DeleteAclsFilter>,
}

impl Element for DeleteAclsRequest {
    const WIRE_SIZE_MIN: usize = 2;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { filters: r.array()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.array(&self.filters)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct DeleteAclsFilter {
    pub resource_type_filter: i8,
    pub resource_name_filter: Option<String>,
    /// Default 3.
    pub pattern_type_filter: i8,
    pub principal_filter: Option<String>,
    pub host_filter: Option<String>,
    pub operation: i8,
    pub permission_type: i8,
}

impl Default for DeleteAclsFilter {
    fn default() -> Self {
        Self {
            resource_type_filter: 0,
            resource_name_filter: Some(String::new()),
            pattern_type_filter: 3,
            principal_filter: Some(String::new()),
            host_filter: Some(String::new()),
            operation: 0,
            permission_type: 0,
        }
    }
}

impl Element for DeleteAclsFilter {
    const WIRE_SIZE_MIN: usize = 8;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self {
            resource_type_filter: r.i8()?,
            resource_name_filter: r.nullable_string(true)?,
            pattern_type_filter: r.i8()?,
            principal_filter: r.nullable_string(true)?,
            host_filter: r.nullable_string(true)?,
            operation: r.i8()?,
            permission_type: r.i8()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i8(self.resource_type_filter);
        w.nullable_string(&self.resource_name_filter)?;
        w.i8(self.pattern_type_filter);
        w.nullable_string(&self.principal_filter)?;
        w.nullable_string(&self.host_filter)?;
        w.i8(self.operation);
        w.i8(self.permission_type);
        w.no_tags();
        Ok(())
    }
}

impl Message for DeleteAclsRequest {
    const NAME: &'static str = "DeleteAclsRequest";
    const VERSIONS: RangeInclusive<i16> = 1..=3;
    const FLEXIBLE_FROM: Option<i16> = Some(2);
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct DeleteAclsResponse {
    pub throttle_time_ms: i32,
    pub filter_results: Vec<DeleteAclsFilterResult>,
}

impl Element for DeleteAclsResponse {
    const WIRE_SIZE_MIN: usize = 6;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { throttle_time_ms: r.i32()?, filter_results: r.array()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i32(self.throttle_time_ms);
        w.array(&self.filter_results)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct DeleteAclsFilterResult {
    pub error_code: i16,
    pub error_message: Option<String>,
    pub matching_acls: Vec<DeleteAclsMatchingAcl>,
}

impl Default for DeleteAclsFilterResult {
    fn default() -> Self {
        Self { error_code: 0, error_message: Some(String::new()), matching_acls: Vec::new() }
    }
}

impl Element for DeleteAclsFilterResult {
    const WIRE_SIZE_MIN: usize = 5;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it =
            Self { error_code: r.i16()?, error_message: r.nullable_string(true)?, matching_acls: r.array()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i16(self.error_code);
        w.nullable_string(&self.error_message)?;
        w.array(&self.matching_acls)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct DeleteAclsMatchingAcl {
    pub error_code: i16,
    pub error_message: Option<String>,
    pub resource_type: i8,
    pub resource_name: String,
    /// Default 3.
    pub pattern_type: i8,
    pub principal: String,
    pub host: String,
    pub operation: i8,
    pub permission_type: i8,
}

impl Default for DeleteAclsMatchingAcl {
    fn default() -> Self {
        Self {
            error_code: 0,
            error_message: Some(String::new()),
            resource_type: 0,
            resource_name: String::new(),
            pattern_type: 3,
            principal: String::new(),
            host: String::new(),
            operation: 0,
            permission_type: 0,
        }
    }
}

impl Element for DeleteAclsMatchingAcl {
    const WIRE_SIZE_MIN: usize = 11;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self {
            error_code: r.i16()?,
            error_message: r.nullable_string(true)?,
            resource_type: r.i8()?,
            resource_name: r.string()?,
            pattern_type: r.i8()?,
            principal: r.string()?,
            host: r.string()?,
            operation: r.i8()?,
            permission_type: r.i8()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i16(self.error_code);
        w.nullable_string(&self.error_message)?;
        w.i8(self.resource_type);
        w.string(&self.resource_name)?;
        w.i8(self.pattern_type);
        w.string(&self.principal)?;
        w.string(&self.host)?;
        w.i8(self.operation);
        w.i8(self.permission_type);
        w.no_tags();
        Ok(())
    }
}

impl Message for DeleteAclsResponse {
    const NAME: &'static str = "DeleteAclsResponse";
    const VERSIONS: RangeInclusive<i16> = 1..=3;
    const FLEXIBLE_FROM: Option<i16> = Some(2);
}
