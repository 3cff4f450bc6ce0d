//! The 61 bytes before the records of a batch (message format 2, KIP-98).
//!
//! ```text
//!    0  base offset       i64 ┐
//!    8  length            i32 │ the broker sets offset and epoch:
//!   12  leader epoch      i32 │ none of this is in the checksum
//!   16  magic, 2           i8 │
//!   17  CRC-32C           u32 ┘
//!   21  attributes        i16 ┐
//!   23  last offset delta i32 │
//!   27  base timestamp    i64 │
//!   35  max timestamp     i64 │ checksummed, with the records
//!   43  producer id       i64 │
//!   51  producer epoch    i16 │
//!   53  base sequence     i32 │
//!   57  record count      i32 ┘
//! ```

use crate::checksum::{crc32c, crc32c_with_front};
use crate::{BatchError, Codec, Corruption, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};

/// Size of everything before the records.
pub const BATCH_HEADER_SIZE: usize = 61;

/// Bytes of a batch that its length field does not count: the base offset and the length itself.
pub const BATCH_OVERHEAD: usize = 12;

/// The message format's number.
pub const MAGIC: i8 = 2;

/// Where the fields of the header begin.
pub mod position {
    #![allow(missing_docs)]
    pub const BASE_OFFSET: usize = 0;
    pub const BATCH_LENGTH: usize = 8;
    pub const LEADER_EPOCH: usize = 12;
    pub const MAGIC: usize = 16;
    pub const CRC: usize = 17;
    pub const ATTRIBUTES: usize = 21;
    pub const LAST_OFFSET_DELTA: usize = 23;
    pub const BASE_TIMESTAMP: usize = 27;
    pub const MAX_TIMESTAMP: usize = 35;
    pub const PRODUCER_ID: usize = 43;
    pub const PRODUCER_EPOCH: usize = 51;
    pub const BASE_SEQUENCE: usize = 53;
    pub const RECORD_COUNT: usize = 57;
}

/// Who wrote a batch, if it was an idempotent or transactional producer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Producer {
    /// Whose sequence this is.
    pub id: ProducerId,
    /// Which session of the producer.
    pub epoch: ProducerEpoch,
    /// The sequence number of the first record; [`NO_SEQUENCE`](Self::NO_SEQUENCE) where the batch is not numbered.
    pub base_sequence: i32,
}

impl Producer {
    /// Of a mark that ends a transaction, and of offsets that a coordinator stores in one.
    pub const NO_SEQUENCE: i32 = -1;
}

/// What a record's timestamp means.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum TimestampType {
    /// Set by whoever made the record.
    #[default]
    CreateTime,
    /// The batch's max timestamp, set by the broker, holds for each of its records.
    LogAppendTime,
}

/// The flags of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Attributes(pub i16);

impl Attributes {
    const CODEC: i16 = 0x07;
    const LOG_APPEND_TIME: i16 = 0x08;
    const TRANSACTIONAL: i16 = 0x10;
    const CONTROL: i16 = 0x20;
    const DELETE_HORIZON: i16 = 0x40;

    pub(crate) fn new(codec: Codec, is_transactional: bool, is_control: bool) -> Self {
        let transactional = if is_transactional { Self::TRANSACTIONAL } else { 0 };
        let control = if is_control { Self::CONTROL } else { 0 };
        Self(i16::from(codec.id()) | transactional | control)
    }

    /// How the body is compressed.
    pub fn codec(self) -> Result<Codec, BatchError> {
        let id = (self.0 & Self::CODEC) as u8;
        Codec::from_id(id).ok_or(BatchError::UnsupportedCodec(id))
    }

    /// What the timestamps mean.
    pub fn timestamp_type(self) -> TimestampType {
        if self.0 & Self::LOG_APPEND_TIME == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Whether the records belong to a transaction.
    pub fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// Whether the records are the broker's own marks and not a client's data.
    pub fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    /// Whether the base timestamp is the time after which compaction may drop the batch's tombstones (KIP-534).
    pub fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }

    /// The same, with a base timestamp that is a delete horizon.
    pub fn with_delete_horizon(self) -> Self {
        Self(self.0 | Self::DELETE_HORIZON)
    }

    /// The same, for a batch that has no records left.
    pub fn without_records(self) -> Self {
        Self(self.0 & !(Self::CODEC | Self::DELETE_HORIZON))
    }

    pub(crate) fn with_codec(self, codec: Codec) -> Self {
        Self((self.0 & !Self::CODEC) | i16::from(codec.id()))
    }

    fn with_timestamp_type(self, timestamp_type: TimestampType) -> Self {
        match timestamp_type {
            TimestampType::CreateTime => Self(self.0 & !Self::LOG_APPEND_TIME),
            TimestampType::LogAppendTime => Self(self.0 | Self::LOG_APPEND_TIME),
        }
    }
}

/// A batch without its records.
///
/// Invariant of a parsed one: `size` has room for the header, and the offset after the batch fits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchHeader {
    /// Offset of the first record that was in the batch when it was written; compaction may have dropped it.
    pub base_offset: Offset,
    /// Bytes of the whole batch, this header included.
    pub size: usize,
    /// Epoch of the leader that appended the batch; `None` as it comes from a client.
    pub leader_epoch: Option<LeaderEpoch>,
    /// CRC-32C of everything after itself.
    pub crc: u32,
    /// Compression and flags.
    pub attributes: Attributes,
    /// Distance from the base offset to the last record's.
    pub last_offset_delta: u32,
    /// What the records' timestamps are counted from.
    pub base_timestamp: Timestamp,
    /// The highest timestamp of the records.
    pub max_timestamp: Timestamp,
    /// The idempotent or transactional producer.
    pub producer: Option<Producer>,
    /// Records in the body. 0 only in a batch that compaction emptied and kept for its producer's sequence.
    pub record_count: u32,
}

impl BatchHeader {
    /// Reads the header at the front of `bytes`. The checksum is not looked at.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let Some(header) = bytes.first_chunk::<BATCH_HEADER_SIZE>() else {
            return Err(Corruption::Truncated { have: bytes.len(), need: BATCH_HEADER_SIZE }.into());
        };
        // First of all the magic: other formats have other fields.
        let magic = i8::from_be_bytes(field(header, position::MAGIC));
        if magic != MAGIC {
            return Err(BatchError::UnsupportedMagic(magic));
        }
        let base_offset = i64::from_be_bytes(field(header, position::BASE_OFFSET));
        let last_offset_delta = i32::from_be_bytes(field(header, position::LAST_OFFSET_DELTA));
        let record_count = i32::from_be_bytes(field(header, position::RECORD_COUNT));
        let producer = ProducerId::from_wire(i64::from_be_bytes(field(header, position::PRODUCER_ID)));
        Ok(Self {
            base_offset: offset(base_offset)?,
            size: batch_size(header)?,
            leader_epoch: LeaderEpoch::from_wire(i32::from_be_bytes(field(header, position::LEADER_EPOCH))),
            crc: u32::from_be_bytes(field(header, position::CRC)),
            attributes: Attributes(i16::from_be_bytes(field(header, position::ATTRIBUTES))),
            last_offset_delta: not_negative("last offset delta", last_offset_delta)?,
            base_timestamp: Timestamp(i64::from_be_bytes(field(header, position::BASE_TIMESTAMP))),
            max_timestamp: Timestamp(i64::from_be_bytes(field(header, position::MAX_TIMESTAMP))),
            producer: producer.map(|id| Producer {
                id,
                epoch: ProducerEpoch(i16::from_be_bytes(field(header, position::PRODUCER_EPOCH))),
                base_sequence: i32::from_be_bytes(field(header, position::BASE_SEQUENCE)),
            }),
            record_count: not_negative("record count", record_count)?,
        })
    }

    /// When compaction may drop the batch's tombstones, if it was said (KIP-534).
    pub fn delete_horizon(&self) -> Option<Timestamp> {
        self.attributes.has_delete_horizon().then_some(self.base_timestamp)
    }

    /// The whole batch of this header and this body, with size and checksum as they have to be.
    ///
    /// # Panics
    /// On a size, delta or count that the format cannot express.
    pub fn seal(mut self, body: &[u8]) -> Vec<u8> {
        self.size = BATCH_HEADER_SIZE + body.len();
        let mut batch = self.write().to_vec();
        batch.extend_from_slice(body);
        let crc = crc32c(&batch[position::ATTRIBUTES..]);
        batch[position::CRC..position::ATTRIBUTES].copy_from_slice(&crc.to_be_bytes());
        batch
    }

    /// The header's bytes; the checksum is written as it stands.
    ///
    /// # Panics
    /// On a size, delta or count that the format cannot express.
    pub fn write(&self) -> [u8; BATCH_HEADER_SIZE] {
        let length = self.size.checked_sub(BATCH_OVERHEAD).map(i32::try_from);
        let Some(Ok(length)) = length else { panic!("batch of {} bytes", self.size) };
        let (producer_id, producer_epoch, base_sequence) =
            self.producer.map_or((-1, -1, -1), |it| (it.id.0, it.epoch.0, it.base_sequence));
        let mut header = [0; BATCH_HEADER_SIZE];
        put(&mut header, position::BASE_OFFSET, self.base_offset.raw().to_be_bytes());
        put(&mut header, position::BATCH_LENGTH, length.to_be_bytes());
        put(&mut header, position::LEADER_EPOCH, self.leader_epoch.map_or(-1, |it| it.0).to_be_bytes());
        put(&mut header, position::MAGIC, MAGIC.to_be_bytes());
        put(&mut header, position::CRC, self.crc.to_be_bytes());
        put(&mut header, position::ATTRIBUTES, self.attributes.0.to_be_bytes());
        put(&mut header, position::LAST_OFFSET_DELTA, wire_count(self.last_offset_delta));
        put(&mut header, position::BASE_TIMESTAMP, self.base_timestamp.0.to_be_bytes());
        put(&mut header, position::MAX_TIMESTAMP, self.max_timestamp.0.to_be_bytes());
        put(&mut header, position::PRODUCER_ID, producer_id.to_be_bytes());
        put(&mut header, position::PRODUCER_EPOCH, producer_epoch.to_be_bytes());
        put(&mut header, position::BASE_SEQUENCE, base_sequence.to_be_bytes());
        put(&mut header, position::RECORD_COUNT, wire_count(self.record_count));
        header
    }

    /// Offset of the last record that was in the batch when it was written.
    pub fn last_offset(&self) -> Offset {
        self.base_offset.advance(self.last_offset_delta)
    }

    /// Where the next batch of the log begins at the earliest.
    pub fn next_offset(&self) -> Offset {
        self.last_offset().advance(1)
    }
}

/// Size of the batch that begins with `bytes`, header included, as its length field says.
pub fn batch_size(bytes: &[u8]) -> Result<usize, BatchError> {
    let Some(front) = bytes.first_chunk::<BATCH_OVERHEAD>() else {
        return Err(Corruption::Truncated { have: bytes.len(), need: BATCH_OVERHEAD }.into());
    };
    let length = i32::from_be_bytes(field(front, position::BATCH_LENGTH));
    match usize::try_from(length).map(|length| length + BATCH_OVERHEAD) {
        Ok(size) if size >= BATCH_HEADER_SIZE => Ok(size),
        _ => Err(Corruption::Length(length).into()),
    }
}

/// The first 16 bytes of a batch with the place that the leader gave it. The checksum does not cover them.
///
/// # Panics
/// If `original` is shorter than that.
pub fn patched_prefix(original: &[u8], base_offset: Offset, leader_epoch: LeaderEpoch) -> [u8; 16] {
    let mut prefix: [u8; 16] = field(original, 0);
    put(&mut prefix, position::BASE_OFFSET, base_offset.raw().to_be_bytes());
    put(&mut prefix, position::LEADER_EPOCH, leader_epoch.0.to_be_bytes());
    prefix
}

/// The header of the batch `original` with another timestamp type and max timestamp, and the checksum that goes with it. The records are not looked at, so
/// it takes no longer for a large batch.
///
/// The checksum of `original` has to be right: it tells what the records contribute.
///
/// # Panics
/// If `original` is shorter than a header.
pub fn restamped_header(
    original: &[u8],
    timestamp_type: TimestampType,
    max_timestamp: Timestamp,
) -> [u8; BATCH_HEADER_SIZE] {
    let old: [u8; BATCH_HEADER_SIZE] = field(original, 0);
    let attributes = Attributes(i16::from_be_bytes(field(&old, position::ATTRIBUTES)));
    let mut new = old;
    put(&mut new, position::ATTRIBUTES, attributes.with_timestamp_type(timestamp_type).0.to_be_bytes());
    put(&mut new, position::MAX_TIMESTAMP, max_timestamp.0.to_be_bytes());
    let crc = crc32c_with_front(
        u32::from_be_bytes(field(&old, position::CRC)),
        &old[position::ATTRIBUTES..],
        &new[position::ATTRIBUTES..],
        original.len() - BATCH_HEADER_SIZE,
    );
    put(&mut new, position::CRC, crc.to_be_bytes());
    new
}

fn offset(raw: i64) -> Result<Offset, BatchError> {
    // Above this, the offset after the batch would not fit.
    let largest = i64::MAX - i64::from(u32::MAX);
    Offset::from_wire(raw)
        .filter(|_| raw <= largest)
        .ok_or(BatchError::Corrupt(Corruption::Field { name: "base offset", value: raw }))
}

fn not_negative(name: &'static str, raw: i32) -> Result<u32, BatchError> {
    u32::try_from(raw).map_err(|_| Corruption::Field { name, value: raw.into() }.into())
}

fn wire_count(count: u32) -> [u8; 4] {
    let Ok(count) = i32::try_from(count) else { panic!("{count} records in a batch") };
    count.to_be_bytes()
}

#[inline]
fn field<const SIZE: usize>(bytes: &[u8], at: usize) -> [u8; SIZE] {
    let mut field = [0; SIZE];
    field.copy_from_slice(&bytes[at..at + SIZE]);
    field
}

#[inline]
fn put<const SIZE: usize>(bytes: &mut [u8], at: usize, value: [u8; SIZE]) {
    bytes[at..at + SIZE].copy_from_slice(&value);
}
