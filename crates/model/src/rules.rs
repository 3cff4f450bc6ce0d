//! What a topic demands of the batches that are written to it, beyond being sound.
//!
//! A batch that keeps the rules already is let through as it came, without a byte being copied. One that is only to be stamped is told so in its
//! [`ValidBatch`]; its header is written anew with the place it gets. The bytes change only where the topic wants another compression.

use bytes::Bytes;

use crate::header::position;
use crate::validate::check_records;
use crate::{
    BATCH_HEADER_SIZE, BatchError, BatchView, Codec, Compression, ProduceLimits, Records, Timestamp,
    ValidBatch, compress, crc32c, decompress,
};

/// Told of at most so many records of one batch; the producer treats the others of the batch alike (KIP-467).
pub const RECORD_FAULTS_MAX: usize = 1000;

/// The rules of one topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchRules {
    /// Bytes of a batch as it came, and as it is stored (`max.message.bytes`).
    pub size_max: usize,
    /// Bytes of records to which a batch may unpack, where it has to be unpacked (`max.decompressed.message.bytes`).
    pub unpacked_size_max: usize,
    /// Whether every record must have a key (`cleanup.policy=compact`).
    pub key_required: bool,
    /// What becomes of timestamps (`message.timestamp.*`).
    pub timestamps: TimestampRule,
    /// How records are stored (`compression.type`); `None`: as they came.
    pub compression: Option<Compression>,
}

/// What becomes of the timestamps that producers set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimestampRule {
    /// They hold, if they are not too far from the broker's clock.
    Create {
        /// How far they may be behind it.
        before_max_ms: u64,
        /// How far they may be ahead of it.
        after_max_ms: u64,
    },
    /// The broker's clock at the append takes their place.
    Append,
}

/// What is wrong with a batch for its topic.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RuleError {
    /// With all of it.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// With some of its records. The first [`RECORD_FAULTS_MAX`] of them, at least one.
    #[error("{} records are refused, the first: {}", .0.len(), .0[0].fault)]
    Records(Vec<RecordFault>),
}

/// A record that a topic does not take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordFault {
    /// Its place in the batch, from 0.
    pub index: u32,
    /// Why.
    pub fault: Fault,
}

/// Why a topic does not take a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    /// Compaction goes by keys.
    #[error("a compacted topic takes no record without a key")]
    NoKey,
    /// Too far from the broker's clock.
    #[error("timestamp {} is not within [{}, {}]", timestamp.0, oldest.0, newest.0)]
    Timestamp {
        /// The record's.
        timestamp: Timestamp,
        /// The lowest that is taken now.
        oldest: Timestamp,
        /// The highest that is taken now.
        newest: Timestamp,
    },
}

impl Default for BatchRules {
    /// Kafka's defaults.
    fn default() -> Self {
        Self {
            size_max: ProduceLimits::default().batch_size_max,
            unpacked_size_max: i32::MAX as usize,
            key_required: false,
            timestamps: TimestampRule::Create { before_max_ms: i64::MAX as u64, after_max_ms: 3_600_000 },
            compression: None,
        }
    }
}

/// A producer that did not set a timestamp writes this.
const NO_TIMESTAMP: Timestamp = Timestamp(-1);

impl BatchRules {
    /// Makes of a sound batch one that keeps the rules, or tells why that is not possible.
    pub fn apply(
        &self,
        now: Timestamp,
        batch: ValidBatch,
        bytes: Bytes,
    ) -> Result<(ValidBatch, Bytes), RuleError> {
        if self.lets_through(now, &batch)? {
            return Ok((batch, bytes));
        }
        let repack = self.repack(&batch);
        let (oldest, newest) = self.window(now);
        let view = BatchView::parse(&bytes)?;
        let mut unpacked = Vec::new();
        let (batch, body) = match batch.codec {
            Codec::None => (batch, view.body()),
            codec => {
                decompress(codec, view.body(), &mut unpacked, self.unpacked_size_max)
                    .map_err(BatchError::from)?;
                (summed_up(batch, &view, &unpacked)?, unpacked.as_slice())
            }
        };
        self.check_each(&view, body, oldest, newest)?;
        let Some(wanted) = repack else { return Ok((batch, bytes)) };
        let repacked = repacked(&view, wanted, body);
        let batch = ValidBatch { codec: wanted.codec, size: repacked.len(), ..batch };
        self.check_size(batch.size)?;
        Ok((batch, repacked))
    }

    /// Whether a sound batch keeps the rules as it is, and nobody has to look at its records for that.
    pub fn lets_through(&self, now: Timestamp, batch: &ValidBatch) -> Result<bool, RuleError> {
        self.check_size(batch.size)?;
        let (oldest, newest) = self.window(now);
        let is_in_window = oldest <= batch.oldest_timestamp && batch.newest_timestamp <= newest;
        Ok(!self.key_required && is_in_window && self.repack(batch).is_none())
    }

    fn repack(&self, batch: &ValidBatch) -> Option<Compression> {
        self.compression.filter(|wanted| wanted.codec != batch.codec)
    }

    fn check_size(&self, size: usize) -> Result<(), BatchError> {
        if self.size_max < size {
            return Err(BatchError::TooLarge { size, size_max: self.size_max });
        }
        Ok(())
    }

    /// The lowest and the highest timestamp that are taken now.
    fn window(&self, now: Timestamp) -> (Timestamp, Timestamp) {
        let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        match self.timestamps {
            TimestampRule::Append => (Timestamp(i64::MIN), Timestamp(i64::MAX)),
            TimestampRule::Create { before_max_ms, after_max_ms } => (
                Timestamp(now.0.saturating_sub(signed(before_max_ms))),
                Timestamp(now.0.saturating_add(signed(after_max_ms))),
            ),
        }
    }

    fn check_each(
        &self,
        view: &BatchView<'_>,
        body: &[u8],
        oldest: Timestamp,
        newest: Timestamp,
    ) -> Result<(), RuleError> {
        let mut faults = Vec::new();
        for (index, record) in (0..).zip(Records::new(view.header(), body)) {
            let record = record?;
            let timestamp = record.timestamp;
            let fault = if self.key_required && record.key.is_none() {
                Fault::NoKey
            } else if timestamp != NO_TIMESTAMP && (timestamp < oldest || newest < timestamp) {
                Fault::Timestamp { timestamp, oldest, newest }
            } else {
                continue;
            };
            faults.push(RecordFault { index, fault });
            if faults.len() == RECORD_FAULTS_MAX {
                break;
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(RuleError::Records(faults)) }
    }
}

/// What is known of a compressed batch once it was unpacked.
fn summed_up(batch: ValidBatch, view: &BatchView<'_>, body: &[u8]) -> Result<ValidBatch, BatchError> {
    let header_count_max = ProduceLimits::default().header_count_max;
    let (oldest_timestamp, newest_timestamp) = check_records(view.header(), body, header_count_max)?;
    Ok(ValidBatch { oldest_timestamp, newest_timestamp, ..batch }.with_max_timestamp(newest_timestamp))
}

/// The same records in another compression.
fn repacked(view: &BatchView<'_>, compression: Compression, body: &[u8]) -> Bytes {
    let mut packed = Vec::with_capacity(BATCH_HEADER_SIZE + body.len() / 2);
    packed.resize(BATCH_HEADER_SIZE, 0);
    compress(compression, body, &mut packed);
    let mut header = *view.header();
    header.size = packed.len();
    header.attributes = header.attributes.with_codec(compression.codec);
    packed[..BATCH_HEADER_SIZE].copy_from_slice(&header.write());
    let crc = crc32c(&packed[position::ATTRIBUTES..]);
    packed[position::CRC..position::ATTRIBUTES].copy_from_slice(&crc.to_be_bytes());
    packed.into()
}
