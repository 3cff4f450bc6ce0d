//! Record batches: what is taken from a client can be read, is the same in another compression, and nothing unpacks to more than it may.

use bytes::Bytes;
use klamm_model::{
    BATCH_HEADER_SIZE, BATCH_OVERHEAD, BatchError, BatchRules, BatchView, Batches, Codec, Compression, MAGIC,
    ProduceLimits, Tail, Timestamp, TimestampRule, compress, crc32c, decompress, position,
    unpacked_size_bound, validate_produce,
};

use crate::take_byte;

const UNPACKED_SIZE_MAX: usize = 1 << 18;

/// The first byte says what of the batch is set right: length, magic and checksum, and whether the rest is a body to be compressed first.
pub fn run(mut data: &[u8]) {
    let kind = take_byte(&mut data);
    for codec in Codec::ALL {
        let mut unpacked = Vec::new();
        if decompress(codec, data, &mut unpacked, UNPACKED_SIZE_MAX).is_ok() {
            assert!(unpacked.len() <= UNPACKED_SIZE_MAX, "{codec}: {} bytes", unpacked.len());
            let bound = unpacked_size_bound(codec, data).unwrap_or(u64::MAX);
            assert!(unpacked.len() as u64 <= bound, "{codec}: {} bytes, {bound} announced", unpacked.len());
        }
        assert!(unpacked.capacity() <= 4 * UNPACKED_SIZE_MAX, "{codec}: {} bytes", unpacked.capacity());
        let (mut packed, mut again) = (Vec::new(), Vec::new());
        compress(Compression::of(codec), data, &mut packed);
        assert_eq!(decompress(codec, &packed, &mut again, data.len()), Ok(()));
        assert_eq!(again, data, "{codec}");
        let bound = unpacked_size_bound(codec, &packed).expect("what we pack is well built");
        assert!(data.len() as u64 <= bound, "{codec}: {bound} for {}", data.len());
    }
    for batch in Batches::new(data, Tail::MayBeTruncated).flatten() {
        let _ = batch.records(&mut Vec::new(), UNPACKED_SIZE_MAX).map(|records| records.count());
    }
    let bytes = if kind & 1 == 0 { Bytes::copy_from_slice(data) } else { set_right(data, kind & 2 != 0) };
    let Ok(valid) = validate_produce(&bytes, &ProduceLimits::default()) else { return };
    assert_eq!((valid.size, valid.record_count), (bytes.len(), valid.last_offset_delta + 1));
    let now = valid.newest_timestamp;
    let plain = match plain(&bytes) {
        Ok(records) => {
            assert_eq!(records.len(), valid.record_count as usize);
            Some(records)
        }
        Err(error) => {
            assert!(matches!(error, BatchError::Decompress(_)) || valid.codec != Codec::None, "{error}");
            None
        }
    };
    for codec in Codec::ALL {
        let rules = BatchRules {
            unpacked_size_max: UNPACKED_SIZE_MAX,
            timestamps: TimestampRule::Append,
            compression: Some(Compression::of(codec)),
            ..BatchRules::default()
        };
        let Ok((_, repacked)) = rules.apply(now, valid, bytes.clone()) else { continue };
        if let Some(plain) = &plain {
            assert_eq!(self::plain(&repacked).as_ref(), Ok(plain), "{codec}");
        }
    }
    let picky =
        BatchRules { key_required: true, unpacked_size_max: UNPACKED_SIZE_MAX, ..BatchRules::default() };
    let _ = picky.apply(Timestamp(0), valid, bytes);
}

type Plain = (i64, i64, Option<Vec<u8>>, Option<Vec<u8>>, usize);

fn plain(bytes: &[u8]) -> Result<Vec<Plain>, BatchError> {
    let mut unpacked = Vec::new();
    let records = BatchView::parse(bytes)?.records(&mut unpacked, UNPACKED_SIZE_MAX)?;
    records
        .map(|record| {
            let record = record?;
            let headers = record.headers.iter().map(|header| header.key.len() + 1).sum();
            let text = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
            Ok((record.offset.raw(), record.timestamp.0, text(record.key), text(record.value), headers))
        })
        .collect()
}

/// A batch whose length, magic and checksum fit the rest, so that damage lies deeper.
fn set_right(data: &[u8], pack: bool) -> Bytes {
    let mut bytes = data.to_vec();
    bytes.resize(bytes.len().max(BATCH_HEADER_SIZE), 0);
    bytes[position::MAGIC] = MAGIC as u8;
    bytes[..8].fill(0);
    if let Some(codec) = Codec::from_id(bytes[position::ATTRIBUTES + 1] & 7).filter(|_| pack) {
        let body = bytes.split_off(BATCH_HEADER_SIZE);
        compress(Compression::of(codec), &body, &mut bytes);
    }
    let length = (bytes.len() - BATCH_OVERHEAD) as u32;
    bytes[position::BATCH_LENGTH..][..4].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c(&bytes[position::ATTRIBUTES..]);
    bytes[position::CRC..][..4].copy_from_slice(&crc.to_be_bytes());
    bytes.into()
}
