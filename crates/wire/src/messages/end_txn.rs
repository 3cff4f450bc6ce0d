// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! EndTxn, key 26.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Default)]
pub struct EndTxnRequest {
    pub transactional_id: String,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub committed: bool,
}

impl Element for EndTxnRequest {
    const WIRE_SIZE_MIN: usize = 13;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self {
            transactional_id: r.string()?,
            producer_id: r.i64()?,
            producer_epoch: r.i16()?,
            committed: r.bool()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.transactional_id)?;
        w.i64(self.producer_id);
        w.i16(self.producer_epoch);
        w.bool(self.committed);
        w.no_tags();
        Ok(())
    }
}

impl Message for EndTxnRequest {
    const NAME: &'static str = "EndTxnRequest";
    const VERSIONS: RangeInclusive<i16> = 0..=5;
    const FLEXIBLE_FROM: Option<i16> = Some(3);
}

#[derive(Clone, Debug, PartialEq)]
pub struct EndTxnResponse {
    pub throttle_time_ms: i32,
    pub error_code: i16,
    /// Since version 5, default -1, left out silently where a version lacks it.
    pub producer_id: i64,
    /// Since version 5, default -1, left out silently where a version lacks it.
    pub producer_epoch: i16,
}

impl Default for EndTxnResponse {
    fn default() -> Self {
        Self { throttle_time_ms: 0, error_code: 0, producer_id: -1, producer_epoch: -1 }
    }
}

impl Element for EndTxnResponse {
    const WIRE_SIZE_MIN: usize = 6;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            throttle_time_ms: r.i32()?,
            error_code: r.i16()?,
            producer_id: if v >= 5 { r.i64()? } else { -1 },
            producer_epoch: if v >= 5 { r.i16()? } else { -1 },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.i32(self.throttle_time_ms);
        w.i16(self.error_code);
        if v >= 5 {
            w.i64(self.producer_id);
        }
        if v >= 5 {
            w.i16(self.producer_epoch);
        }
        w.no_tags();
        Ok(())
    }
}

impl Message for EndTxnResponse {
    const NAME: &'static str = "EndTxnResponse";
    const VERSIONS: RangeInclusive<i16> = 0..=5;
    const FLEXIBLE_FROM: Option<i16> = Some(3);
}
