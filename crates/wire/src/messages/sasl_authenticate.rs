// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! SaslAuthenticate, key 36.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Default)]
pub struct SaslAuthenticateRequest {
    pub auth_bytes: Bytes,
}

impl Element for SaslAuthenticateRequest {
    const WIRE_SIZE_MIN: usize = 2;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { auth_bytes: r.bytes()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.bytes(&self.auth_bytes)?;
        w.no_tags();
        Ok(())
    }
}

impl Message for SaslAuthenticateRequest {
    const NAME: &'static str = "SaslAuthenticateRequest";
    const VERSIONS: RangeInclusive<i16> = 0..=2;
    const FLEXIBLE_FROM: Option<i16> = Some(2);
}

#[derive(Clone, Debug, PartialEq)]
pub struct SaslAuthenticateResponse {
    pub error_code: i16,
    pub error_message: Option<String>,
    pub auth_bytes: Bytes,
    /// Since version 1, left out silently where a version lacks it.
    pub session_lifetime_ms: i64,
}

impl Default for SaslAuthenticateResponse {
    fn default() -> Self {
        Self {
            error_code: 0,
            error_message: Some(String::new()),
            auth_bytes: Bytes::new(),
            session_lifetime_ms: 0,
        }
    }
}

impl Element for SaslAuthenticateResponse {
    const WIRE_SIZE_MIN: usize = 8;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            error_code: r.i16()?,
            error_message: r.nullable_string(true)?,
            auth_bytes: r.bytes()?,
            session_lifetime_ms: if v >= 1 { r.i64()? } else { 0 },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.i16(self.error_code);
        w.nullable_string(&self.error_message)?;
        w.bytes(&self.auth_bytes)?;
        if v >= 1 {
            w.i64(self.session_lifetime_ms);
        }
        w.no_tags();
        Ok(())
    }
}

impl Message for SaslAuthenticateResponse {
    const NAME: &'static str = "SaslAuthenticateResponse";
    const VERSIONS: RangeInclusive<i16> = 0..=2;
    const FLEXIBLE_FROM: Option<i16> = Some(2);
}
