// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! InitProducerId, key 22.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq)]
pub struct InitProducerIdRequest {
    pub transactional_id: Option<String>,
    pub transaction_timeout_ms: i32,
    /// Since version 3, default -1.
    pub producer_id: i64,
    /// Since version 3, default -1.
    pub producer_epoch: i16,
    /// Since version 6.
    pub enable2_pc: bool,
    /// Since version 6.
    pub keep_prepared_txn: bool,
}

impl Default for InitProducerIdRequest {
    fn default() -> Self {
        Self {
            transactional_id: Some(String::new()),
            transaction_timeout_ms: 0,
            producer_id: -1,
            producer_epoch: -1,
            enable2_pc: false,
            keep_prepared_txn: false,
        }
    }
}

impl Element for InitProducerIdRequest {
    const WIRE_SIZE_MIN: usize = 6;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            transactional_id: r.nullable_string(true)?,
            transaction_timeout_ms: r.i32()?,
            producer_id: if v >= 3 { r.i64()? } else { -1 },
            producer_epoch: if v >= 3 { r.i16()? } else { -1 },
            enable2_pc: if v >= 6 { r.bool()? } else { false },
            keep_prepared_txn: if v >= 6 { r.bool()? } else { false },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.nullable_string(&self.transactional_id)?;
        w.i32(self.transaction_timeout_ms);
        if v >= 3 {
            w.i64(self.producer_id);
        } else {
            w.require(self.producer_id == -1, "producer_id")?;
        }
        if v >= 3 {
            w.i16(self.producer_epoch);
        } else {
            w.require(self.producer_epoch == -1, "producer_epoch")?;
        }
        if v >= 6 {
            w.bool(self.enable2_pc);
        } else {
            w.require(!self.enable2_pc, "enable2_pc")?;
        }
        if v >= 6 {
            w.bool(self.keep_prepared_txn);
        } else {
            w.require(!self.keep_prepared_txn, "keep_prepared_txn")?;
        }
        w.no_tags();
        Ok(())
    }
}

impl Message for InitProducerIdRequest {
    const NAME: &'static str = "InitProducerIdRequest";
    const VERSIONS: RangeInclusive<i16> = 0..=6;
    const FLEXIBLE_FROM: Option<i16> = Some(2);
    const LATEST_UNSTABLE: bool = true;
}

#[derive(Clone, Debug, PartialEq)]
pub struct InitProducerIdResponse {
    pub throttle_time_ms: i32,
    pub error_code: i16,
    /// Default -1.
    pub producer_id: i64,
    pub producer_epoch: i16,
    /// Since version 6, default -1.
    pub ongoing_txn_producer_id: i64,
    /// Since version 6, default -1.
    pub ongoing_txn_producer_epoch: i16,
}

impl Default for InitProducerIdResponse {
    fn default() -> Self {
        Self {
            throttle_time_ms: 0,
            error_code: 0,
            producer_id: -1,
            producer_epoch: 0,
            ongoing_txn_producer_id: -1,
            ongoing_txn_producer_epoch: -1,
        }
    }
}

impl Element for InitProducerIdResponse {
    const WIRE_SIZE_MIN: usize = 16;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            throttle_time_ms: r.i32()?,
            error_code: r.i16()?,
            producer_id: r.i64()?,
            producer_epoch: r.i16()?,
            ongoing_txn_producer_id: if v >= 6 { r.i64()? } else { -1 },
            ongoing_txn_producer_epoch: if v >= 6 { r.i16()? } else { -1 },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.i32(self.throttle_time_ms);
        w.i16(self.error_code);
        w.i64(self.producer_id);
        w.i16(self.producer_epoch);
        if v >= 6 {
            w.i64(self.ongoing_txn_producer_id);
        } else {
            w.require(self.ongoing_txn_producer_id == -1, "ongoing_txn_producer_id")?;
        }
        if v >= 6 {
            w.i16(self.ongoing_txn_producer_epoch);
        } else {
            w.require(self.ongoing_txn_producer_epoch == -1, "ongoing_txn_producer_epoch")?;
        }
        w.no_tags();
        Ok(())
    }
}

impl Message for InitProducerIdResponse {
    const NAME: &'static str = "InitProducerIdResponse";
    const VERSIONS: RangeInclusive<i16> = 0..=6;
    const FLEXIBLE_FROM: Option<i16> = Some(2);
}
