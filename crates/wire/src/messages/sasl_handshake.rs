// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! SaslHandshake, key 17.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Default)]
pub struct SaslHandshakeRequest {
    pub mechanism: String,
}

impl Element for SaslHandshakeRequest {
    const WIRE_SIZE_MIN: usize = 2;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { mechanism: r.string()? };
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.mechanism)?;
        Ok(())
    }
}

impl Message for SaslHandshakeRequest {
    const NAME: &'static str = "SaslHandshakeRequest";
    const VERSIONS: RangeInclusive<i16> = 0..=1;
    const FLEXIBLE_FROM: Option<i16> = None;
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct SaslHandshakeResponse {
    pub error_code: i16,
    pub mechanisms: Vec<String>,
}

impl Element for SaslHandshakeResponse {
    const WIRE_SIZE_MIN: usize = 6;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { error_code: r.i16()?, mechanisms: r.array()? };
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i16(self.error_code);
        w.array(&self.mechanisms)?;
        Ok(())
    }
}

impl Message for SaslHandshakeResponse {
    const NAME: &'static str = "SaslHandshakeResponse";
    const VERSIONS: RangeInclusive<i16> = 0..=1;
    const FLEXIBLE_FROM: Option<i16> = None;
}
