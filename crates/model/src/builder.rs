//! Making a batch, record by record.
//!
//! The header's place is kept free at the front, so that a batch without compression is never copied.

use bytes::Bytes;

use crate::header::{BATCH_HEADER_SIZE, position};
use crate::varint::write_varlong;
use crate::{
    Attributes, BatchHeader, Codec, Compression, LeaderEpoch, Offset, Producer, RecordHeader, Timestamp,
    ValidBatch, compress, crc32c, varlong_size,
};

/// Most that comes before a record's key: its length, attributes, timestamp, offset and the key's length; rounded up to whole machine words.
const FRONT_SIZE_MAX: usize = 32;

/// Most that the fields around a record's key, value and headers take: the former, the value's length and the number of headers; again rounded up.
const RECORD_OVERHEAD_MAX: usize = FRONT_SIZE_MAX + 8 + 8;

/// What a finished batch says about itself besides its records.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Seal {
    /// Offset of the first record; a producer leaves it at 0.
    pub base_offset: Offset,
    /// Epoch of the leader that appends it; a producer leaves it out.
    pub leader_epoch: Option<LeaderEpoch>,
    /// How to pack the records.
    pub compression: Compression,
    /// The idempotent or transactional producer.
    pub producer: Option<Producer>,
    /// Whether the records belong to a transaction.
    pub is_transactional: bool,
    /// Whether the records are the broker's own marks.
    pub is_control: bool,
}

/// Collects records for one batch.
///
/// Invariant: `buffer` is empty or has the header's place and `record_count` whole records.
#[derive(Clone, Debug, Default)]
pub struct BatchBuilder {
    buffer: Vec<u8>,
    capacity: usize,
    record_count: u32,
    base_timestamp: Timestamp,
    max_timestamp: Timestamp,
}

impl BatchBuilder {
    /// With room for a batch of `capacity` bytes, which is taken when the first record comes; the batch may grow beyond it.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { capacity, ..Self::default() }
    }

    /// Adds a record, at the next offset.
    ///
    /// # Panics
    /// If the batch would outgrow the format's 2 GiB: whoever appends asks [`size_after`](Self::size_after) first.
    pub fn append(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[RecordHeader<'_>],
    ) {
        let size_after = self.size_after(key, value, headers);
        assert!(i32::try_from(size_after).is_ok(), "batch of {size_after} bytes");
        if self.record_count == 0 {
            self.buffer.reserve(self.capacity.max(size_after));
            self.buffer.resize(BATCH_HEADER_SIZE, 0);
            self.base_timestamp = timestamp;
            self.max_timestamp = timestamp;
        }
        let timestamp_delta = timestamp.0.wrapping_sub(self.base_timestamp.0);
        put_record(&mut self.buffer, timestamp_delta, i64::from(self.record_count), key, value, headers);
        self.record_count += 1;
        self.max_timestamp = self.max_timestamp.max(timestamp);
    }

    /// Records so far.
    pub fn record_count(&self) -> u32 {
        self.record_count
    }

    /// Whether there is no record yet.
    pub fn is_empty(&self) -> bool {
        self.record_count == 0
    }

    /// Bytes of the batch so far, header included, before compression.
    pub fn size(&self) -> usize {
        self.buffer.len().max(BATCH_HEADER_SIZE)
    }

    /// What [`size`](Self::size) will at most be with one more record.
    pub fn size_after(
        &self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[RecordHeader<'_>],
    ) -> usize {
        self.size()
            + RECORD_OVERHEAD_MAX
            + key.map_or(0, <[u8]>::len)
            + value.map_or(0, <[u8]>::len)
            + headers_size(headers)
    }

    /// The same as [`finish`](Self::finish), with all that a log asks of a batch: for records of the broker's own, which nobody has to check. They have one
    /// timestamp.
    pub fn finish_own(&mut self, seal: &Seal) -> (ValidBatch, Bytes) {
        let (record_count, timestamp) = (self.record_count, self.max_timestamp);
        let bytes = self.finish(seal);
        let batch = ValidBatch {
            record_count,
            last_offset_delta: record_count - 1,
            base_timestamp: timestamp,
            max_timestamp: timestamp,
            stamp: None,
            oldest_timestamp: timestamp,
            newest_timestamp: timestamp,
            codec: seal.compression.codec,
            producer: seal.producer,
            is_transactional: seal.is_transactional,
            mark: None,
            size: bytes.len(),
        };
        (batch, bytes)
    }

    /// The batch of all records so far. The builder is empty afterwards and may be used for the next.
    ///
    /// # Panics
    /// If there is no record.
    pub fn finish(&mut self, seal: &Seal) -> Bytes {
        assert!(self.record_count > 0, "a batch without records");
        let mut batch = match seal.compression.codec {
            Codec::None => std::mem::take(&mut self.buffer),
            _ => {
                let mut packed = Vec::with_capacity(self.buffer.len() / 2);
                packed.resize(BATCH_HEADER_SIZE, 0);
                compress(seal.compression, &self.buffer[BATCH_HEADER_SIZE..], &mut packed);
                self.buffer.clear();
                packed
            }
        };
        let mut header = BatchHeader {
            base_offset: seal.base_offset,
            size: batch.len(),
            leader_epoch: seal.leader_epoch,
            crc: 0,
            attributes: Attributes::new(seal.compression.codec, seal.is_transactional, seal.is_control),
            last_offset_delta: self.record_count - 1,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer: seal.producer,
            record_count: self.record_count,
        };
        batch[..BATCH_HEADER_SIZE].copy_from_slice(&header.write());
        header.crc = crc32c(&batch[position::ATTRIBUTES..]);
        batch[position::CRC..position::ATTRIBUTES].copy_from_slice(&header.crc.to_be_bytes());
        self.record_count = 0;
        batch.into()
    }
}

/// Appends one record: the distances are those from its batch's base timestamp and base offset.
#[inline]
pub fn put_record(
    out: &mut Vec<u8>,
    timestamp_delta: i64,
    offset_delta: i64,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[RecordHeader<'_>],
) {
    let size = 1
        + varlong_size(timestamp_delta)
        + varlong_size(offset_delta)
        + nullable_size(key)
        + nullable_size(value)
        + varlong_size(headers.len() as i64)
        + headers_size(headers);

    // What comes before the key is put together aside and appended at once.
    let mut front = [0; FRONT_SIZE_MAX];
    let mut at = write_varlong(&mut front, 0, size as i64);
    at = write_varlong(&mut front, at + 1, timestamp_delta);
    at = write_varlong(&mut front, at, offset_delta);
    at = write_varlong(&mut front, at, key.map_or(-1, |key| key.len() as i64));
    put_front(out, &front, at);
    out.extend_from_slice(key.unwrap_or_default());
    put_nullable(out, value);
    put_length(out, headers.len() as i64);
    for header in headers {
        put_nullable(out, Some(header.key));
        put_nullable(out, header.value);
    }
}

fn headers_size(headers: &[RecordHeader<'_>]) -> usize {
    headers.iter().map(|header| nullable_size(Some(header.key)) + nullable_size(header.value)).sum()
}

fn nullable_size(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| varlong_size(bytes.len() as i64) + bytes.len())
}

fn put_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    put_length(out, bytes.map_or(-1, |bytes| bytes.len() as i64));
    out.extend_from_slice(bytes.unwrap_or_default());
}

fn put_length(out: &mut Vec<u8>, length: i64) {
    let mut front = [0; 8];
    let size = write_varlong(&mut front, 0, length);
    put_front(out, &front, size);
}

/// Appends the first `size` bytes of `front`. Copying a fixed number of bytes and cutting them off again is much faster than copying just a few.
#[inline]
fn put_front<const SIZE_MAX: usize>(out: &mut Vec<u8>, front: &[u8; SIZE_MAX], size: usize) {
    let end = out.len() + size;
    out.extend_from_slice(front);
    out.truncate(end);
}
