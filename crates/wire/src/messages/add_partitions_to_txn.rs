// @generated from schema/kafka-4.4.0.txt by `cargo xtask gen`: edits are lost.
//! AddPartitionsToTxn, key 24.

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Default)]
pub struct AddPartitionsToTxnRequest {
    /// Since version 4.
    pub transactions: Vec<AddPartitionsToTxnTransaction>,
    /// Up to version 3.
    pub v3_and_below_transactional_id: String,
    /// Up to version 3.
    pub v3_and_below_producer_id: i64,
    /// Up to version 3.
    pub v3_and_below_producer_epoch: i16,
    /// Up to version 3.
    pub v3_and_below_topics: Vec<AddPartitionsToTxnTopic>,
}

impl Element for AddPartitionsToTxnRequest {
    const WIRE_SIZE_MIN: usize = 2;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            transactions: if v >= 4 { r.array()? } else { Vec::new() },
            v3_and_below_transactional_id: if v <= 3 { r.string()? } else { String::new() },
            v3_and_below_producer_id: if v <= 3 { r.i64()? } else { 0 },
            v3_and_below_producer_epoch: if v <= 3 { r.i16()? } else { 0 },
            v3_and_below_topics: if v <= 3 { r.array()? } else { Vec::new() },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        if v >= 4 {
            w.array(&self.transactions)?;
        } else {
            w.require(self.transactions.is_empty(), "transactions")?;
        }
        if v <= 3 {
            w.string(&self.v3_and_below_transactional_id)?;
        } else {
            w.require(self.v3_and_below_transactional_id.is_empty(), "v3_and_below_transactional_id")?;
        }
        if v <= 3 {
            w.i64(self.v3_and_below_producer_id);
        } else {
            w.require(self.v3_and_below_producer_id == 0, "v3_and_below_producer_id")?;
        }
        if v <= 3 {
            w.i16(self.v3_and_below_producer_epoch);
        } else {
            w.require(self.v3_and_below_producer_epoch == 0, "v3_and_below_producer_epoch")?;
        }
        if v <= 3 {
            w.array(&self.v3_and_below_topics)?;
        } else {
            w.require(self.v3_and_below_topics.is_empty(), "v3_and_below_topics")?;
        }
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct AddPartitionsToTxnTransaction {
    pub transactional_id: String,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub verify_only: bool,
    pub topics: Vec<AddPartitionsToTxnTopic>,
}

impl Element for AddPartitionsToTxnTransaction {
    const WIRE_SIZE_MIN: usize = 14;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self {
            transactional_id: r.string()?,
            producer_id: r.i64()?,
            producer_epoch: r.i16()?,
            verify_only: r.bool()?,
            topics: r.array()?,
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.transactional_id)?;
        w.i64(self.producer_id);
        w.i16(self.producer_epoch);
        w.bool(self.verify_only);
        w.array(&self.topics)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct AddPartitionsToTxnTopic {
    pub name: String,
    pub partitions: Vec<i32>,
}

impl Element for AddPartitionsToTxnTopic {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { name: r.string()?, partitions: r.array()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.name)?;
        w.array(&self.partitions)?;
        w.no_tags();
        Ok(())
    }
}

impl Message for AddPartitionsToTxnRequest {
    const NAME: &'static str = "AddPartitionsToTxnRequest";
    const VERSIONS: RangeInclusive<i16> = 0..=5;
    const FLEXIBLE_FROM: Option<i16> = Some(3);
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct AddPartitionsToTxnResponse {
    pub throttle_time_ms: i32,
    /// Since version 4, left out silently where a version lacks it.
    pub error_code: i16,
    /// Since version 4.
    pub results_by_transaction: Vec<AddPartitionsToTxnResult>,
    /// Up to version 3.
    pub results_by_topic_v3_and_below: Vec<AddPartitionsToTxnTopicResult>,
}

impl Element for AddPartitionsToTxnResponse {
    const WIRE_SIZE_MIN: usize = 6;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let v = r.version();
        let it = Self {
            throttle_time_ms: r.i32()?,
            error_code: if v >= 4 { r.i16()? } else { 0 },
            results_by_transaction: if v >= 4 { r.array()? } else { Vec::new() },
            results_by_topic_v3_and_below: if v <= 3 { r.array()? } else { Vec::new() },
        };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        let v = w.version();
        w.i32(self.throttle_time_ms);
        if v >= 4 {
            w.i16(self.error_code);
        }
        if v >= 4 {
            w.array(&self.results_by_transaction)?;
        } else {
            w.require(self.results_by_transaction.is_empty(), "results_by_transaction")?;
        }
        if v <= 3 {
            w.array(&self.results_by_topic_v3_and_below)?;
        } else {
            w.require(self.results_by_topic_v3_and_below.is_empty(), "results_by_topic_v3_and_below")?;
        }
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct AddPartitionsToTxnResult {
    pub transactional_id: String,
    pub topic_results: Vec<AddPartitionsToTxnTopicResult>,
}

impl Element for AddPartitionsToTxnResult {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { transactional_id: r.string()?, topic_results: r.array()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.transactional_id)?;
        w.array(&self.topic_results)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct AddPartitionsToTxnTopicResult {
    pub name: String,
    pub results_by_partition: Vec<AddPartitionsToTxnPartitionResult>,
}

impl Element for AddPartitionsToTxnTopicResult {
    const WIRE_SIZE_MIN: usize = 3;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { name: r.string()?, results_by_partition: r.array()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.string(&self.name)?;
        w.array(&self.results_by_partition)?;
        w.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct AddPartitionsToTxnPartitionResult {
    pub partition_index: i32,
    pub partition_error_code: i16,
}

impl Element for AddPartitionsToTxnPartitionResult {
    const WIRE_SIZE_MIN: usize = 6;

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let it = Self { partition_index: r.i32()?, partition_error_code: r.i16()? };
        r.skip_tags()?;
        Ok(it)
    }

    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i32(self.partition_index);
        w.i16(self.partition_error_code);
        w.no_tags();
        Ok(())
    }
}

impl Message for AddPartitionsToTxnResponse {
    const NAME: &'static str = "AddPartitionsToTxnResponse";
    const VERSIONS: RangeInclusive<i16> = 0..=5;
    const FLEXIBLE_FROM: Option<i16> = Some(3);
}
