//! The few shapes of Kafka's protocol that are spoken here, each in one old version without the flexible encoding.

use anyhow::{Context, Result, bail, ensure};
use crc_fast::{CrcAlgorithm, checksum};

pub(crate) const PRODUCE: i16 = 0;
pub(crate) const FETCH: i16 = 1;
pub(crate) const LIST_OFFSETS: i16 = 2;
pub(crate) const METADATA: i16 = 3;
pub(crate) const API_VERSIONS: i16 = 18;
pub(crate) const INIT_PRODUCER_ID: i16 = 22;

/// The only version of each key that is spoken.
pub(crate) const SPOKEN: [(i16, i16); 6] =
    [(PRODUCE, 7), (FETCH, 4), (LIST_OFFSETS, 1), (METADATA, 7), (API_VERSIONS, 0), (INIT_PRODUCER_ID, 1)];

pub(crate) const BATCH_HEADER_BYTES: usize = 61;

/// Writes big-endian fields behind one another.
#[derive(Default)]
pub(crate) struct Out(pub(crate) Vec<u8>);

impl Out {
    pub(crate) fn i8(&mut self, value: i8) -> &mut Self {
        self.0.extend(value.to_be_bytes());
        self
    }
    pub(crate) fn i16(&mut self, value: i16) -> &mut Self {
        self.0.extend(value.to_be_bytes());
        self
    }
    pub(crate) fn i32(&mut self, value: i32) -> &mut Self {
        self.0.extend(value.to_be_bytes());
        self
    }
    pub(crate) fn i64(&mut self, value: i64) -> &mut Self {
        self.0.extend(value.to_be_bytes());
        self
    }
    pub(crate) fn text(&mut self, value: &str) -> &mut Self {
        self.i16(value.len() as i16);
        self.0.extend(value.as_bytes());
        self
    }

    /// Leaves room for a frame's length; `end_frame` fills it in.
    pub(crate) fn begin_frame(&mut self) -> usize {
        self.i32(0);
        self.0.len()
    }
    /// `beyond` counts bytes of the frame that are sent from elsewhere.
    pub(crate) fn end_frame(&mut self, begin: usize, beyond: usize) {
        let size = (self.0.len() - begin + beyond) as u32;
        self.0[begin - 4..begin].copy_from_slice(&size.to_be_bytes());
    }

    pub(crate) fn begin_request(&mut self, key: i16, correlation: i32) -> usize {
        let version = SPOKEN.iter().find(|spoken| spoken.0 == key).map_or(0, |spoken| spoken.1);
        self.begin_request_of(key, version, correlation)
    }
    pub(crate) fn begin_request_of(&mut self, key: i16, version: i16, correlation: i32) -> usize {
        let begin = self.begin_frame();
        self.i16(key).i16(version).i32(correlation).text("bench-floor");
        begin
    }

    // --- the flexible encoding

    pub(crate) fn uvarint(&mut self, mut value: usize) -> &mut Self {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }
    /// Text, or a run of bytes.
    pub(crate) fn compact(&mut self, value: &[u8]) -> &mut Self {
        self.uvarint(value.len() + 1).0.extend(value);
        self
    }
    pub(crate) fn no_tags(&mut self) -> &mut Self {
        self.uvarint(0)
    }
}

/// Reads big-endian fields one after another, and knows where it is.
pub(crate) struct In<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) at: usize,
}

impl<'a> In<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }
    pub(crate) fn take(&mut self, size: usize) -> Result<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at + size).context("the frame is too short")?;
        self.at += size;
        Ok(taken)
    }
    pub(crate) fn skip(&mut self, size: usize) -> Result<&mut Self> {
        self.take(size)?;
        Ok(self)
    }
    pub(crate) fn i16(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(self.take(2)?.try_into()?))
    }
    pub(crate) fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.take(4)?.try_into()?))
    }
    pub(crate) fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_be_bytes(self.take(8)?.try_into()?))
    }
    /// A string; null reads as the empty one.
    pub(crate) fn text(&mut self) -> Result<&'a str> {
        let size = usize::try_from(self.i16()?).unwrap_or(0);
        Ok(std::str::from_utf8(self.take(size)?)?)
    }
    /// Of the flexible encoding.
    pub(crate) fn uvarint(&mut self) -> Result<usize> {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = self.take(1)?[0];
            value |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 || shift > 28 {
                return Ok(value);
            }
        }
    }
    pub(crate) fn error(&mut self) -> Result<()> {
        match self.i16()? {
            0 => Ok(()),
            code => bail!("the broker answered error {code}"),
        }
    }
}

/// Checks a batch's length and CRC; tells how many records it holds.
pub(crate) fn check_batch(batch: &[u8]) -> Result<i64> {
    ensure!(batch.len() >= BATCH_HEADER_BYTES && batch[16] == 2, "not one batch of format 2");
    let mut header = In { bytes: batch, at: 8 };
    ensure!(header.i32()? as usize + 12 == batch.len(), "not exactly one batch");
    let crc = u32::from_be_bytes(batch[17..21].try_into()?);
    ensure!(checksum(CrcAlgorithm::Crc32Iscsi, &batch[21..]) == u64::from(crc), "the CRC is wrong");
    header.at = 23;
    Ok(i64::from(header.i32()?) + 1)
}

/// One uncompressed batch of as many equal records as fit in `batch_bytes`, at least one.
pub(crate) fn build_batch(batch_bytes: usize, record_bytes: usize) -> (Vec<u8>, i32) {
    // A value's length never repeats itself in a real log; here only its size matters.
    let value: Vec<u8> = (0..record_bytes).map(|at| b'a' + (at * 7 % 26) as u8).collect();
    let mut records = Vec::new();
    let mut count = 0;
    while count == 0 || BATCH_HEADER_BYTES + records.len() + record_bytes + 16 <= batch_bytes {
        let mut record = vec![0, 0]; // no attributes, timestamp delta 0
        varint(&mut record, count);
        record.push(1); // a null key
        varint(&mut record, record_bytes as i32);
        record.extend(&value);
        record.push(0); // no headers
        varint(&mut records, record.len() as i32);
        records.extend(record);
        count += 1;
    }
    let now_ms = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |age| age.as_millis() as i64);
    let mut checked = Out::default();
    checked.i16(0).i32(count - 1).i64(now_ms).i64(now_ms).i64(-1).i16(-1).i32(-1).i32(count);
    checked.0.extend(records);
    let crc = checksum(CrcAlgorithm::Crc32Iscsi, &checked.0) as u32;
    let mut batch = Out::default();
    batch.i64(0).i32(checked.0.len() as i32 + 9).i32(-1).i8(2).i32(crc as i32);
    batch.0.extend(checked.0);
    (batch.0, count)
}

/// Makes a batch the next one of a transaction.
pub(crate) fn stamp_batch(batch: &mut [u8], producer_id: i64, epoch: i16, sequence: i32) {
    const TRANSACTIONAL: i16 = 0x10;
    batch[21..23].copy_from_slice(&TRANSACTIONAL.to_be_bytes());
    batch[43..51].copy_from_slice(&producer_id.to_be_bytes());
    batch[51..53].copy_from_slice(&epoch.to_be_bytes());
    batch[53..57].copy_from_slice(&sequence.to_be_bytes());
    let crc = checksum(CrcAlgorithm::Crc32Iscsi, &batch[21..]) as u32;
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

fn varint(out: &mut Vec<u8>, value: i32) {
    let mut rest = ((value << 1) ^ (value >> 31)) as u32;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_built_batch_passes_its_own_check_until_a_byte_is_changed() {
        let (mut batch, count) = build_batch(16 * 1024, 100);
        assert!(batch.len() <= 16 * 1024);
        assert_eq!(check_batch(&batch).expect("whole"), i64::from(count));
        stamp_batch(&mut batch, 7, 1, 3);
        assert_eq!(check_batch(&batch).expect("stamped"), i64::from(count));
        batch[200] ^= 1;
        assert!(check_batch(&batch).is_err());
    }
}
