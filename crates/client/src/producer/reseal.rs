//! Batches of our own making, made anew: under other numbers, or as two.

use bytes::Bytes;
use klamm_model::{
    BATCH_HEADER_SIZE, BatchBuilder, BatchHeader, BatchView, Compression, Producer, Seal, crc32c, position,
};

/// A batch has no more: its builder sees to that.
const UNPACKED_SIZE_MAX: usize = i32::MAX as usize;

/// Sequences are not negative; after the largest comes 0.
pub(super) fn sequence_after(sequence: i32, record_count: u32) -> i32 {
    ((i64::from(sequence) + i64::from(record_count)) & i64::from(i32::MAX)) as i32
}

/// The same batch under another identity. The records are as they were, but the checksum covers the header's numbers too.
pub(super) fn restamped(batch: &Bytes, producer: Producer) -> Bytes {
    let mut header = BatchHeader::parse(batch).expect("a batch of our own making");
    header.producer = Some(producer);
    let mut copy = batch.to_vec();
    copy[..BATCH_HEADER_SIZE].copy_from_slice(&header.write());
    let checksum = crc32c(&copy[position::ATTRIBUTES..]);
    copy[position::CRC..position::ATTRIBUTES].copy_from_slice(&checksum.to_be_bytes());
    copy.into()
}

/// The first `count` records of a batch and the others, as two batches under the numbers that the records had; and the bytes that the records
/// of the second take before compression.
pub(super) fn cut(batch: &Bytes, count: u32, compression: Compression) -> ([Bytes; 2], usize) {
    let view = BatchView::parse(batch).expect("a batch of our own making");
    let mut unpacked = Vec::new();
    let records = view.records(&mut unpacked, UNPACKED_SIZE_MAX).expect("it was packed here");
    let mut parts = [BatchBuilder::default(), BatchBuilder::default()];
    for record in records {
        let record = record.expect("it was written here");
        let headers: Vec<_> = record.headers.iter().collect();
        let part = usize::from(parts[0].record_count() == count);
        parts[part].append(record.timestamp, record.key, record.value, &headers);
    }
    let is_transactional = view.header().attributes.is_transactional();
    let mut producer = view.header().producer;
    let size = parts[1].size() - BATCH_HEADER_SIZE;
    let parts = parts.map(|mut part| {
        let record_count = part.record_count();
        let bytes = part.finish(&Seal { compression, producer, is_transactional, ..Seal::default() });
        producer = producer
            .map(|it| Producer { base_sequence: sequence_after(it.base_sequence, record_count), ..it });
        bytes
    });
    (parts, size)
}

#[cfg(test)]
mod tests {
    use klamm_model::{Codec, ProducerEpoch, ProducerId, RecordHeader, Timestamp};

    use super::*;

    const PRODUCER: Producer =
        Producer { id: ProducerId(9), epoch: ProducerEpoch(2), base_sequence: i32::MAX - 1 };

    fn three(compression: Compression) -> Bytes {
        let mut builder = BatchBuilder::with_capacity(100);
        for number in 0..3_u8 {
            let headers = [RecordHeader { key: b"h", value: Some(&[number]) }];
            let key = (number == 1).then_some(&b"k"[..]);
            builder.append(Timestamp(7 - i64::from(number)), key, Some(&[number; 9]), &headers);
        }
        builder.finish(&Seal { compression, producer: Some(PRODUCER), ..Seal::default() })
    }

    fn records(batch: &Bytes) -> Vec<String> {
        let view = BatchView::parse(batch).expect("parses");
        view.verify_crc().expect("checksum");
        let mut scratch = Vec::new();
        let records = view.records(&mut scratch, 1 << 10).expect("unpacks").map(|record| {
            let record = record.expect("a record");
            let headers: Vec<_> = record.headers.iter().collect();
            format!("{:?} {:?} {:?} {headers:?}", record.timestamp, record.key, record.value)
        });
        records.collect()
    }

    #[test]
    fn sequences_wrap_to_zero() {
        assert_eq!(sequence_after(5, 3), 8);
        assert_eq!(sequence_after(i32::MAX, 1), 0);
        assert_eq!(sequence_after(i32::MAX - 1, 5), 3);
    }

    #[test]
    fn a_restamped_batch_is_whole() {
        let batch = three(Compression::NONE);
        let producer = Producer { base_sequence: 77, ..PRODUCER };
        let restamped = restamped(&batch, producer);
        assert_eq!(records(&restamped), records(&batch));
        assert_eq!(BatchHeader::parse(&restamped).expect("parses").producer, Some(producer));
    }

    #[test]
    fn two_parts_of_a_batch_have_its_records_and_its_numbers() {
        for compression in Codec::ALL.map(Compression::of) {
            let batch = three(compression);
            let ([first, second], size) = cut(&batch, 2, compression);
            assert_eq!([records(&first), records(&second)].concat(), records(&batch));
            let header = |part| BatchHeader::parse(part).expect("parses");
            assert_eq!(header(&first).producer, Some(PRODUCER));
            assert_eq!(header(&second).producer, Some(Producer { base_sequence: 0, ..PRODUCER }));
            assert_eq!(header(&second).max_timestamp, Timestamp(5));
            // Seven bytes are around the value and the header's four.
            assert_eq!(size, 9 + 4 + 7, "of the third record");
        }
    }
}
