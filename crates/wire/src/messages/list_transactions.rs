// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! ListTransactions, key 66.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq)]
pub struct ListTransactionsRequest {
    pub state_filters: Vec<String>,
    pub producer_id_filters: Vec<i64>,
    /// Since version 1, default -1.
    pub duration_filter: i64,
    /// Since version 2.
    pub transactional_id_pattern: Option<String>,
}

impl Default for ListTransactionsRequest {
    fn default() -> Self {
        Self {
            state_filters: Vec::new(),
            producer_id_filters: Vec::new(),
            duration_filter: -1,
            transactional_id_pattern: None,
        }
    }
}

impl Element for ListTransactionsRequest {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            state_filters: r.array()?,
            producer_id_filters: r.array()?,
            duration_filter: if v >= 1 { r.i64()? } else { -1 },
            transactional_id_pattern: if v >= 2 { r.nullable_string(true)? } else { None },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.array(&self.state_filters)?;
        w.array(&self.producer_id_filters)?;
        if v >= 1 {
            w.i64(self.duration_filter);
        } else {
            w.require(self.duration_filter == -1, "duration_filter")?;
        }
        if v >= 2 {
            w.nullable_string(&self.transactional_id_pattern)?;
        } else {
            w.require(self.transactional_id_pattern.is_none(), "transactional_id_pattern")?;
        }
        w.no_tags();
        Ok(())
    }
}

impl Message for ListTransactionsRequest {
    const NAME: &'static str = "ListTransactionsRequest";
    const VERSIONS: RangeInclusive<i16> = 0..=2;
    const FLEXIBLE_FROM: Option<i16> = Some(0);
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ListTransactionsResponse {
    pub throttle_time_ms: i32,
    pub error_code: i16,
    pub unknown_state_filters: Vec<String>,
    pub transaction_states: Vec<TransactionState>,
}

impl Element for ListTransactionsResponse {
    const WIRE_SIZE_MIN: usize = 9;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self {
            throttle_time_ms: r.i32()?,
            error_code: r.i16()?,
            unknown_state_filters: r.array()?,
            transaction_states: r.array()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i32(self.throttle_time_ms);
        w.i16(self.error_code);
        w.array(&self.unknown_state_filters)?;
        w.array(&self.transaction_states)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct TransactionState {
    pub transactional_id: String,
    pub producer_id: i64,
    pub transaction_state: String,
}

impl Element for TransactionState {
    const WIRE_SIZE_MIN: usize = 11;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it =
            Self { transactional_id: r.string()?, producer_id: r.i64()?, transaction_state: r.string()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.transactional_id)?;
        w.i64(self.producer_id);
        w.string(&self.transaction_state)?;
        w.no_tags();
        Ok(())
    }
}

impl Message for ListTransactionsResponse {
    const NAME: &'static str = "ListTransactionsResponse";
    const VERSIONS: RangeInclusive<i16> = 0..=2;
    const FLEXIBLE_FROM: Option<i16> = Some(0);
}
