// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! DescribeDelegationToken, key 41.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq)]
pub struct DescribeDelegationTokenRequest {
    pub owners: Option<Vec<DescribeDelegationTokenOwner>>,
}

impl Default for DescribeDelegationTokenRequest {
    fn default() -> Self {
        Self { owners: Some(Vec::new()) }
    }
}

impl Element for DescribeDelegationTokenRequest {
    const WIRE_SIZE_MIN: usize = 2;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { owners: r.nullable_array(true)? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.nullable_array(&self.owners)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct DescribeDelegationTokenOwner {
    pub principal_type: String,
    pub principal_name: String,
}

impl Element for DescribeDelegationTokenOwner {
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

impl Message for DescribeDelegationTokenRequest {
    const NAME: &'static str = "DescribeDelegationTokenRequest";
    const VERSIONS: RangeInclusive<i16> = 1..=3;
    const FLEXIBLE_FROM: Option<i16> = Some(2);
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct DescribeDelegationTokenResponse {
    pub error_code: i16,
    pub tokens: Vec<DescribedDelegationToken>,
    pub throttle_time_ms: i32,
}

impl Element for DescribeDelegationTokenResponse {
    const WIRE_SIZE_MIN: usize = 8;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { error_code: r.i16()?, tokens: r.array()?, throttle_time_ms: r.i32()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i16(self.error_code);
        w.array(&self.tokens)?;
        w.i32(self.throttle_time_ms);
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct DescribedDelegationToken {
    pub principal_type: String,
    pub principal_name: String,
    /// Since version 3.
    pub token_requester_principal_type: String,
    /// Since version 3.
    pub token_requester_principal_name: String,
    pub issue_timestamp: i64,
    pub expiry_timestamp: i64,
    pub max_timestamp: i64,
    pub token_id: String,
    pub hmac: Bytes,
    pub renewers: Vec<DescribedDelegationTokenRenewer>,
}

impl Element for DescribedDelegationToken {
    const WIRE_SIZE_MIN: usize = 30;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            principal_type: r.string()?,
            principal_name: r.string()?,
            token_requester_principal_type: if v >= 3 { r.string()? } else { String::new() },
            token_requester_principal_name: if v >= 3 { r.string()? } else { String::new() },
            issue_timestamp: r.i64()?,
            expiry_timestamp: r.i64()?,
            max_timestamp: r.i64()?,
            token_id: r.string()?,
            hmac: r.bytes()?,
            renewers: r.array()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
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
        w.i64(self.issue_timestamp);
        w.i64(self.expiry_timestamp);
        w.i64(self.max_timestamp);
        w.string(&self.token_id)?;
        w.bytes(&self.hmac)?;
        w.array(&self.renewers)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct DescribedDelegationTokenRenewer {
    pub principal_type: String,
    pub principal_name: String,
}

impl Element for DescribedDelegationTokenRenewer {
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

impl Message for DescribeDelegationTokenResponse {
    const NAME: &'static str = "DescribeDelegationTokenResponse";
    const VERSIONS: RangeInclusive<i16> = 1..=3;
    const FLEXIBLE_FROM: Option<i16> = Some(2);
}
