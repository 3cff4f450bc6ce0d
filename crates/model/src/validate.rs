//! The check that a client's batch must pass before it is given a place in a log.
//!
//! It stands on the path of every record that comes in. A compressed body is not unpacked here, only its [outline](unpacked_size_bound) is looked at (docs/decisions/0003):
//! a topic's [rules](crate::BatchRules) may want to unpack it, and whoever reads it meets the same checks again in [`Records`](crate::Records).

use crate::record::{skip_record, timestamp_after};
use crate::{
    BatchError, BatchHeader, BatchView, Codec, Corruption, Invalidity, Producer, RecordProblem, Timestamp,
    TimestampType, TransactionMark, unpacked_size_bound,
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
        Self { batch_size_max: 1_048_588, header_count_max: 65_536 }
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
    /// What the header calls the highest timestamp, or is to call it.
    pub max_timestamp: Timestamp,
    /// The timestamp type that the header is to get together with `max_timestamp`, where it says something else.
    pub stamp: Option<TimestampType>,
    /// The lowest timestamp of the records; of a compressed batch, the base timestamp.
    pub oldest_timestamp: Timestamp,
    /// The highest timestamp of the records; of a compressed batch, what the header says.
    pub newest_timestamp: Timestamp,
    /// How the body is compressed.
    pub codec: Codec,
    /// The idempotent or transactional producer. A client's has a sequence number; with [`Producer::NO_SEQUENCE`], a batch of the broker's own is not numbered.
    pub producer: Option<Producer>,
    /// Whether the records belong to a transaction. If so, there is a producer.
    pub is_transactional: bool,
    /// The batch ends the producer's transaction. Never a client's.
    pub mark: Option<TransactionMark>,
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
        return Err(BatchError::TooLarge { size: batch.size(), size_max: limits.batch_size_max });
    }
    batch.verify_crc()?;
    let header = batch.header();
    let codec = header.attributes.codec()?;
    check_header(header)?;
    let (oldest_timestamp, newest_timestamp) = match codec {
        Codec::None => check_records(header, batch.body(), limits.header_count_max)?,
        _ => {
            check_outline(header.record_count, codec, batch.body())?;
            (header.base_timestamp, header.max_timestamp)
        }
    };
    Ok(ValidBatch {
        record_count: header.record_count,
        last_offset_delta: header.last_offset_delta,
        base_timestamp: header.base_timestamp,
        max_timestamp: header.max_timestamp,
        stamp: None,
        oldest_timestamp,
        newest_timestamp,
        codec,
        producer: header.producer,
        is_transactional: header.attributes.is_transactional(),
        mark: None,
        size: batch.size(),
    }
    .with_max_timestamp(newest_timestamp))
}

impl ValidBatch {
    /// With the highest timestamp that its records have. A header that says another is corrected, as with Kafka: it decides when records are deleted.
    pub(crate) fn with_max_timestamp(self, max_timestamp: Timestamp) -> Self {
        let stamp =
            if max_timestamp == self.max_timestamp { self.stamp } else { Some(TimestampType::CreateTime) };
        Self { max_timestamp, stamp, ..self }
    }

    /// With the broker's time for all its records.
    pub fn stamped(self, now: Timestamp) -> Self {
        let stamp = Some(TimestampType::LogAppendTime);
        Self { max_timestamp: now, stamp, oldest_timestamp: now, newest_timestamp: now, ..self }
    }
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
        let BatchHeader { record_count, last_offset_delta, .. } = *header;
        return Err(Invalidity::Count { record_count, last_offset_delta }.into());
    }
    match header.producer {
        None if attributes.is_transactional() => Err(Invalidity::TransactionWithoutProducer.into()),
        Some(Producer { epoch, base_sequence, .. }) if epoch.0 < 0 || base_sequence < 0 => {
            Err(Invalidity::Producer { epoch: epoch.0, base_sequence }.into())
        }
        _ => Ok(()),
    }
}

/// Length, attributes, timestamp and offset delta, no key, no value, no headers.
const RECORD_SIZE_MIN: u64 = 7;

fn check_outline(record_count: u32, codec: Codec, body: &[u8]) -> Result<(), BatchError> {
    let unpacked_size_max = unpacked_size_bound(codec, body)?;
    if unpacked_size_max < u64::from(record_count) * RECORD_SIZE_MIN {
        return Err(Invalidity::TooManyRecords { record_count, unpacked_size_max }.into());
    }
    Ok(())
}

/// Walks over every record; gives the lowest and the highest timestamp.
pub(crate) fn check_records(
    header: &BatchHeader,
    body: &[u8],
    header_count_max: u32,
) -> Result<(Timestamp, Timestamp), BatchError> {
    let mut rest = body;
    let (mut oldest, mut newest) = (Timestamp(i64::MAX), Timestamp(i64::MIN));
    for index in 0..header.record_count {
        let record = skip_record(&mut rest, header_count_max).map_err(|problem| problem.at(index))?;
        if i64::from(record.offset_delta) != i64::from(index) {
            return Err(RecordProblem::OffsetDelta.at(index));
        }
        let timestamp = timestamp_after(header.base_timestamp, record.timestamp_delta)
            .map_err(|problem| problem.at(index))?;
        oldest = oldest.min(timestamp);
        newest = newest.max(timestamp);
    }
    if rest.is_empty() { Ok((oldest, newest)) } else { Err(Invalidity::BytesAfterRecords(rest.len()).into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::position;
    use crate::{BATCH_HEADER_SIZE, BatchBuilder, Offset, ProducerEpoch, ProducerId, Seal, put_varint};

    /// A good batch of three records, changed by `change`, with length and checksum set right afterwards.
    fn check(change: impl FnOnce(&mut Vec<u8>)) -> Result<ValidBatch, BatchError> {
        let mut bytes = good();
        change(&mut bytes);
        let length = (bytes.len() - crate::BATCH_OVERHEAD) as u32;
        bytes[position::BATCH_LENGTH..position::LEADER_EPOCH].copy_from_slice(&length.to_be_bytes());
        let crc = crate::crc32c(&bytes[position::ATTRIBUTES..]);
        bytes[position::CRC..position::ATTRIBUTES].copy_from_slice(&crc.to_be_bytes());
        validate_produce(&bytes, &ProduceLimits::default())
    }

    fn good() -> Vec<u8> {
        let mut builder = BatchBuilder::default();
        for value in ["a", "b", "c"] {
            builder.append(Timestamp(1000), None, Some(value.as_bytes()), &[]);
        }
        let producer = Producer { id: ProducerId(7), epoch: ProducerEpoch(0), base_sequence: 5 };
        builder.finish(&Seal { producer: Some(producer), ..Seal::default() }).to_vec()
    }

    /// A batch whose only record has these bytes after its length.
    fn check_record(fields: &[u8]) -> Result<ValidBatch, BatchError> {
        check(|bytes| {
            bytes.truncate(BATCH_HEADER_SIZE);
            bytes[position::LAST_OFFSET_DELTA + 3] = 0;
            bytes[position::RECORD_COUNT + 3] = 1;
            put_varint(bytes, fields.len() as i32);
            bytes.extend_from_slice(fields);
        })
    }

    fn invalid<T>(error: Invalidity) -> Result<T, BatchError> {
        Err(BatchError::Invalid(error))
    }

    #[test]
    fn a_good_batch_is_summed_up() {
        let valid = check(|_| ()).expect("good");
        let producer = valid.producer.expect("set");
        assert_eq!((producer.id.0, producer.epoch.0, producer.base_sequence), (7, 0, 5));
        assert_eq!((valid.record_count, valid.last_offset_delta, valid.size), (3, 2, good().len()));
        assert_eq!((valid.oldest_timestamp.0, valid.newest_timestamp.0), (1000, 1000));
    }

    #[test]
    fn flags_that_no_client_may_set() {
        let with_flag = |flag: u8| check(|bytes| bytes[position::ATTRIBUTES + 1] |= flag);
        assert_eq!(with_flag(0x20), invalid(Invalidity::ControlFromClient));
        assert_eq!(with_flag(0x40), invalid(Invalidity::DeleteHorizonFromClient));
        assert_eq!(with_flag(0x08), Err(BatchError::LogAppendTimeFromClient));
        for codec in 5..8 {
            assert_eq!(with_flag(codec), Err(BatchError::UnsupportedCodec(codec)));
        }
        assert!(with_flag(0x10).is_ok_and(|valid| valid.is_transactional));
    }

    #[test]
    fn a_producer_comes_with_epoch_and_sequence_and_a_transaction_with_a_producer() {
        let no_epoch = check(|bytes| bytes[position::PRODUCER_EPOCH..][..2].fill(0xff));
        assert_eq!(no_epoch, invalid(Invalidity::Producer { epoch: -1, base_sequence: 5 }));
        let no_sequence = check(|bytes| bytes[position::BASE_SEQUENCE..][..4].fill(0xff));
        assert_eq!(no_sequence, invalid(Invalidity::Producer { epoch: 0, base_sequence: -1 }));
        let no_producer = check(|bytes| {
            bytes[position::PRODUCER_ID..][..14].fill(0xff);
            bytes[position::ATTRIBUTES + 1] |= 0x10;
        });
        assert_eq!(no_producer, invalid(Invalidity::TransactionWithoutProducer));
    }

    #[test]
    fn other_formats_and_other_lengths() {
        for magic in [0, 1, 3, 127] {
            assert_eq!(
                check(|bytes| bytes[position::MAGIC] = magic),
                Err(BatchError::UnsupportedMagic(magic as i8))
            );
        }
        let limits = ProduceLimits::default();
        for length in [0_i32, -1, 48, i32::MIN] {
            let mut bytes = good();
            bytes[position::BATCH_LENGTH..][..4].copy_from_slice(&length.to_be_bytes());
            assert_eq!(validate_produce(&bytes, &limits), Err(Corruption::Length(length).into()));
        }
        let good = good();
        let have = good.len() - 1;
        let cut = Corruption::Truncated { have, need: good.len() };
        assert_eq!(validate_produce(&good[..have], &limits), Err(cut.into()));
        assert_eq!(
            validate_produce(&[&good[..], b"x"].concat(), &limits),
            Err(Corruption::TrailingBytes(1).into())
        );
        assert_eq!(validate_produce(&[&good[..], &good].concat(), &limits), Err(BatchError::TooManyBatches));
        assert_eq!(validate_produce(b"", &limits), Err(BatchError::Empty));
        let small = ProduceLimits { batch_size_max: have, ..limits };
        assert_eq!(
            validate_produce(&good, &small),
            Err(BatchError::TooLarge { size: good.len(), size_max: have })
        );
        assert!(validate_produce(&good, &ProduceLimits { batch_size_max: good.len(), ..limits }).is_ok());
    }

    #[test]
    fn counts_and_offsets_that_contradict_each_other() {
        let counted = |record_count: u32, last_offset_delta: u32| {
            check(|bytes| {
                bytes[position::RECORD_COUNT..][..4].copy_from_slice(&record_count.to_be_bytes());
                bytes[position::LAST_OFFSET_DELTA..][..4].copy_from_slice(&last_offset_delta.to_be_bytes());
            })
        };
        for (record_count, last_offset_delta) in [(0, 0), (3, 3), (3, 1), (1, 2)] {
            assert_eq!(
                counted(record_count, last_offset_delta),
                invalid(Invalidity::Count { record_count, last_offset_delta })
            );
        }
        assert_eq!(counted(2, 1), invalid(Invalidity::BytesAfterRecords(8)));
        assert_eq!(counted(4, 3), Err(RecordProblem::Varint.at(3)));
        for (record_count, last_offset_delta) in [(u32::MAX, 2), (3, u32::MAX)] {
            let refused = counted(record_count, last_offset_delta);
            assert!(
                matches!(refused, Err(BatchError::Corrupt(Corruption::Field { value: -1, .. }))),
                "{refused:?}"
            );
        }
        let from_elsewhere = check(|bytes| bytes[7] = 3);
        assert_eq!(from_elsewhere, invalid(Invalidity::BaseOffset(Offset::new(3).raw())));
        // The offset delta of the last record: after length, attributes and timestamp delta.
        let swapped = check(|bytes| {
            let at = bytes.len() - 8 + 3;
            bytes[at] = 2;
        });
        assert_eq!(swapped, Err(RecordProblem::OffsetDelta.at(2)));
    }

    #[test]
    fn records_that_are_malformed() {
        use RecordProblem::*;
        let refused = |fields: &[u8], problem: RecordProblem| {
            assert_eq!(check_record(fields), Err(problem.at(0)), "{fields:02x?}");
        };
        // attributes, timestamp delta, offset delta, key length, value length, header count; 1 is -1 in zigzag.
        assert!(check_record(&[0, 0, 0, 1, 1, 0]).is_ok());
        assert!(check_record(&[0, 0, 0, 1, 1, 2, 2, b'k', 1]).is_ok());
        refused(&[], Truncated);
        refused(&[0], Varint);
        refused(&[0, 0, 0, 1, 1], Varint);
        refused(&[0, 0, 0, 1, 1, 0, 0], TrailingBytes);
        refused(&[0, 0, 2, 1, 1, 0], OffsetDelta);
        refused(&[0, 0, 1, 1, 1, 0], OffsetDelta);
        refused(&[0, 0, 0, 3, 1, 0], NegativeLength);
        refused(&[0, 0, 0, 1, 3, 0], NegativeLength);
        refused(&[0, 0, 0, 1, 1, 1], NegativeLength);
        refused(&[0, 0, 0, 1, 1, 2, 1, 1], NegativeLength);
        refused(&[0, 0, 0, 40, 1, 0], Truncated);
        refused(&[0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], Varint);
        refused(&[0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f], HeaderCount);
        refused(&[0, 0, 0, 1, 1, 4, 0, 1], HeaderCount);
        let beyond_64_bits = [&[0, 0xfe], &[0xff; 8][..], &[0x01, 0, 1, 1, 0]].concat();
        refused(&beyond_64_bits, Timestamp);
    }

    #[test]
    fn a_record_with_a_million_headers_is_refused() {
        let mut fields = vec![0, 0, 0, 1, 1];
        put_varint(&mut fields, 500_000);
        fields.extend([0, 1].repeat(500_000));
        assert_eq!(check_record(&fields), Err(RecordProblem::HeaderCount.at(0)));
    }

    #[test]
    fn of_a_compressed_body_the_outline_is_looked_at() {
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let with = |records: &[u8], record_count: u32| {
                check(|bytes| {
                    bytes[position::ATTRIBUTES + 1] |= codec.id();
                    bytes[position::RECORD_COUNT..][..4].copy_from_slice(&record_count.to_be_bytes());
                    let last = record_count - 1;
                    bytes[position::LAST_OFFSET_DELTA..][..4].copy_from_slice(&last.to_be_bytes());
                    bytes.truncate(BATCH_HEADER_SIZE);
                    crate::compress(crate::Compression::of(codec), records, bytes);
                })
            };
            let good = good()[BATCH_HEADER_SIZE..].to_vec();
            assert!(with(&good, 3).is_ok_and(|valid| valid.codec == codec));
            // What is inside is not looked at.
            assert!(with(b"these are no records, but three of them could be as long", 3).is_ok());
            for record_count in [1 << 30, i32::MAX as u32] {
                let refused = with(&good, record_count);
                let is_expected =
                    matches!(refused, Err(BatchError::Invalid(Invalidity::TooManyRecords { .. })));
                assert!(is_expected, "{codec}: {refused:?}");
            }
            let nonsense = check(|bytes| {
                bytes[position::ATTRIBUTES + 1] |= codec.id();
                bytes.truncate(BATCH_HEADER_SIZE);
                bytes.extend_from_slice(b"nonsense");
            });
            assert_eq!(nonsense, Err(crate::DecompressError::Malformed(codec).into()));
        }
    }
}
