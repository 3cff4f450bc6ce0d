// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! CreateDelegationToken, key 38.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq)]
pub struct CreateDelegationTokenRequest {
    /// Since version 3.
    pub owner_principal_type: Option<String>,
    /// Since version 3.
    pub owner_principal_name: Option<String>,
    pub renewers: Vec<CreatableRenewers>,
    pub max_lifetime_ms: i64,
}

impl Default for CreateDelegationTokenRequest {
    fn default() -> Self {
        Self {
            owner_principal_type: Some(String::new()),
            owner_principal_name: Some(String::new()),
            renewers: Vec::new(),
            max_lifetime_ms: 0,
        }
    }
}

impl Element for CreateDelegationTokenRequest {
    const WIRE_SIZE_MIN: usize = 10;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            owner_principal_type: if v >= 3 { r.nullable_string(true)? } else { Some(String::new()) },
            owner_principal_name: if v >= 3 { r.nullable_string(true)? } else { Some(String::new()) },
            renewers: r.array()?,
            max_lifetime_ms: r.i64()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        if v >= 3 {
            w.nullable_string(&self.owner_principal_type)?;
        } else {
            w.require(
                self.owner_principal_type.as_ref().is_some_and(String::is_empty),
                "owner_principal_type",
            )?;
        }
        if v >= 3 {
            w.nullable_string(&self.owner_principal_name)?;
        } else {
            w.require(
                self.owner_principal_name.as_ref().is_some_and(String::is_empty),
                "owner_principal_name",
            )?;
        }
        w.array(&self.renewers)?;
        w.i64(self.max_lifetime_ms);
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct CreatableRenewers {
    pub principal_type: String,
    pub principal_name: String,
}

impl Element for CreatableRenewers {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { principal_type: r.string()?, principal_name: r.string()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.principal_type)?;
        w.string(&self.principal_name)?;
        w.no_tags();
        Ok(())
    }
}

impl Message for CreateDelegationTokenRequest {
    const NAME: &'static str = "CreateDelegationTokenRequest";
    const VERSIONS: RangeInclusive<i16> = 1..=3;
    const FLEXIBLE_FROM: Option<i16> = Some(2);
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct CreateDelegationTokenResponse {
    pub error_code: i16,
    pub principal_type: String,
    pub principal_name: String,
    /// Since version 3.
    pub token_requester_principal_type: String,
    /// Since version 3.
    pub token_requester_principal_name: String,
    pub issue_timestamp_ms: i64,
    pub expiry_timestamp_ms: i64,
    pub max_timestamp_ms: i64,
    pub token_id: String,
    pub hmac: Bytes,
    pub throttle_time_ms: i32,
}

impl Element for CreateDelegationTokenResponse {
    const WIRE_SIZE_MIN: usize = 35;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            error_code: r.i16()?,
            principal_type: r.string()?,
            principal_name: r.string()?,
            token_requester_principal_type: if v >= 3 { r.string()? } else { String::new() },
            token_requester_principal_name: if v >= 3 { r.string()? } else { String::new() },
            issue_timestamp_ms: r.i64()?,
            expiry_timestamp_ms: r.i64()?,
            max_timestamp_ms: r.i64()?,
            token_id: r.string()?,
            hmac: r.bytes()?,
            throttle_time_ms: r.i32()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.i16(self.error_code);
        w.string(&self.principal_type)?;
        w.string(&self.principal_name)?;
        if v >= 3 {
            w.string(&self.token_requester_principal_type)?;
        } else {
            w.require(self.token_requester_principal_type.is_empty(), "token_requester_principal_type")?;
        }
        if v >= 3 {
            w.string(&self.token_requester_principal_name)?;
        } else {
            w.require(self.token_requester_principal_name.is_empty(), "token_requester_principal_name")?;
        }
        w.i64(self.issue_timestamp_ms);
        w.i64(self.expiry_timestamp_ms);
        w.i64(self.max_timestamp_ms);
        w.string(&self.token_id)?;
        w.bytes(&self.hmac)?;
        w.i32(self.throttle_time_ms);
        w.no_tags();
        Ok(())
    }
}

impl Message for CreateDelegationTokenResponse {
    const NAME: &'static str = "CreateDelegationTokenResponse";
    const VERSIONS: RangeInclusive<i16> = 1..=3;
    const FLEXIBLE_FROM: Option<i16> = Some(2);
}
