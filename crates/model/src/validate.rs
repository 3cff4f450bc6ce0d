//! The check that a client's batch must pass before it is given a place in a log.
//!
//! It stands on the path of every record that comes in. A compressed body is not unpacked: whoever reads it meets the same checks again in
//! [`Records`](crate::Records).

use crate::record::take_record;
use crate::{
    BatchError, BatchHeader, BatchView, Codec, Corruption, Invalidity, Producer, RecordProblem,
    Timestamp, TimestampType,
};

/// What a client's batch may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProduceLimits {
    /// Bytes of a batch, header included (`max.message.bytes`).
    pub batch_size_max: usize,
    /// Headers of one record. Kafka has no such limit; each header costs its readers an object.
    pub header_count_max: u32,
}

impl Default for ProduceLimits {
    /// Kafka's default size, and more headers than anybody uses.
    fn default() -> Self {
        Self {
            batch_size_max: 1_048_588,
            header_count_max: 65_536,
        }
    }
}

/// What there is to know of a batch that passed, so that nobody needs to parse it again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ValidBatch {
    /// How many records it has, and so how many offsets it takes. At least 1.
    pub record_count: u32,
    /// Always `record_count - 1`.
    pub last_offset_delta: u32,
    /// What the header calls the first timestamp.
    pub base_timestamp: Timestamp,
    /// What the header calls the highest timestamp.
    pub max_timestamp: Timestamp,
    /// The lowest timestamp of the records; of a compressed batch, the base timestamp.
    pub oldest_timestamp: Timestamp,
    /// The highest timestamp of the records; of a compressed batch, what the header says.
    pub newest_timestamp: Timestamp,
    /// How the body is compressed.
    pub codec: Codec,
    /// The idempotent or transactional producer, with a sequence number that is not negative.
    pub producer: Option<Producer>,
    /// Whether the records belong to a transaction. If so, there is a producer.
    pub is_transactional: bool,
    /// Bytes of the whole batch.
    pub size: usize,
}

/// Checks what a Produce request brings for one partition: one batch and nothing else.
pub fn validate_produce(bytes: &[u8], limits: &ProduceLimits) -> Result<ValidBatch, BatchError> {
    if bytes.is_empty() {
        return Err(BatchError::Empty);
    }
    let batch = BatchView::parse(bytes)?;
    if batch.size() < bytes.len() {
        return Err(after_the_batch(&bytes[batch.size()..]));
    }
    if batch.size() > limits.batch_size_max {
        return Err(BatchError::TooLarge {
            size: batch.size(),
            size_max: limits.batch_size_max,
        });
    }
    batch.verify_crc()?;
    let header = batch.header();
    let codec = header.attributes.codec()?;
    check_header(header)?;
    let (oldest_timestamp, newest_timestamp) = match codec {
        Codec::None => check_records(header, batch.body(), limits)?,
        _ => (header.base_timestamp, header.max_timestamp),
    };
    Ok(ValidBatch {
        record_count: header.record_count,
        last_offset_delta: header.last_offset_delta,
        base_timestamp: header.base_timestamp,
        max_timestamp: header.max_timestamp,
        oldest_timestamp,
        newest_timestamp,
        codec,
        producer: header.producer,
        is_transactional: header.attributes.is_transactional(),
        size: batch.size(),
    })
}

fn after_the_batch(rest: &[u8]) -> BatchError {
    match BatchHeader::parse(rest) {
        Ok(_) => BatchError::TooManyBatches,
        Err(_) => Corruption::TrailingBytes(rest.len()).into(),
    }
}

fn check_header(header: &BatchHeader) -> Result<(), BatchError> {
    let attributes = header.attributes;
    if attributes.is_control() {
        return Err(Invalidity::ControlFromClient.into());
    }
    if attributes.has_delete_horizon() {
        return Err(Invalidity::DeleteHorizonFromClient.into());
    }
    if attributes.timestamp_type() == TimestampType::LogAppendTime {
        return Err(BatchError::LogAppendTimeFromClient);
    }
    if header.base_offset.raw() != 0 {
        return Err(Invalidity::BaseOffset(header.base_offset.raw()).into());
    }
    if header.record_count.checked_sub(1) != Some(header.last_offset_delta) {
        let BatchHeader {
            record_count,
            last_offset_delta,
            ..
        } = *header;
        return Err(Invalidity::Count {
            record_count,
            last_offset_delta,
        }
        .into());
    }
    match header.producer {
        None if attributes.is_transactional() => Err(Invalidity::TransactionWithoutProducer.into()),
        Some(Producer {
            epoch,
            base_sequence,
            ..
        }) if epoch.0 < 0 || base_sequence < 0 => Err(Invalidity::Producer {
            epoch: epoch.0,
            base_sequence,
        }
        .into()),
        _ => Ok(()),
    }
}

/// Walks over every record; gives the lowest and the highest timestamp.
fn check_records(
    header: &BatchHeader,
    body: &[u8],
    limits: &ProduceLimits,
) -> Result<(Timestamp, Timestamp), BatchError> {
    let mut rest = body;
    let (mut oldest, mut newest) = (Timestamp(i64::MAX), Timestamp(i64::MIN));
    for index in 0..header.record_count {
        let record =
            take_record(&mut rest, limits.header_count_max).map_err(|problem| problem.at(index))?;
        if i64::from(record.offset_delta) != i64::from(index) {
            return Err(RecordProblem::OffsetDelta.at(index));
        }
        let timestamp = record
            .timestamp(header.base_timestamp)
            .map_err(|problem| problem.at(index))?;
        oldest = oldest.min(timestamp);
        newest = newest.max(timestamp);
    }
    if rest.is_empty() {
        Ok((oldest, newest))
    } else {
        Err(Invalidity::BytesAfterRecords(rest.len()).into())
    }
}
