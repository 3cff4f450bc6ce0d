//! Takes values off a frame.
//!
//! A frame comes from a peer: every length is checked against the bytes that are there, and what a frame becomes in
//! memory is charged to an allowance, since an element of one byte may become a struct of a hundred.

use bytes::Bytes;
use klamm_model::TopicId;
use thiserror::Error;
use uuid::Uuid;

use crate::{Element, Records};

/// As many elements as Kafka accepts in one array.
const ARRAY_COUNT_MAX: usize = 1_000_000;
/// As many tagged fields as Kafka accepts in one struct.
const TAG_COUNT_MAX: u32 = 10_000;
/// As long as a string may be in Kafka, in any encoding.
pub(crate) const STRING_SIZE_MAX: usize = i16::MAX as usize;

/// What a request may become at most, however large its frame is: as much as a Fetch of 290,000 partitions.
const REQUEST_DECODED_BYTES_MAX: usize = 16 << 20;

/// How much a frame may become when it is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of strings and array elements together. Slices of the frame are free.
    pub decoded_bytes_max: usize,
}

impl Limits {
    /// In proportion to what was sent. The constant part lets small frames with many short names through: a topic name of
    /// three letters takes 5 bytes in a Metadata request and 43 in memory.
    pub fn for_frame(frame_size: usize) -> Self {
        let in_proportion = frame_size.saturating_mul(4).saturating_add(256 * 1024);
        Self { decoded_bytes_max: in_proportion.min(REQUEST_DECODED_BYTES_MAX) }
    }

    /// For a client, which chose its server. Some answers are mostly short strings: a group in ListGroups takes some 25 bytes
    /// and 115 in memory, and there may be any number of groups.
    pub fn for_response(frame_size: usize) -> Self {
        Self { decoded_bytes_max: frame_size.saturating_mul(16).saturating_add(1024 * 1024) }
    }
}

/// Why bytes are not the message they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("at byte {position}: {problem}")]
pub struct DecodeError {
    /// How many bytes of the frame had been taken.
    pub position: usize,
    /// What is wrong there.
    pub problem: DecodeProblem,
}

/// See [`DecodeError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)]
pub enum DecodeProblem {
    #[error("the frame ends inside of a value")]
    Truncated,
    #[error("null where a value must be")]
    NullNotAllowed,
    #[error("a negative length")]
    NegativeLength,
    #[error("a string of more than {STRING_SIZE_MAX} bytes")]
    StringTooLong,
    #[error("a string that is not UTF-8")]
    NotUtf8,
    #[error("a variable-length integer of more than 32 bits, or longer than it needs to be")]
    VarintTooLong,
    #[error("an array of more elements than the frame can hold, or than {ARRAY_COUNT_MAX}")]
    TooManyElements,
    #[error("the message takes more memory than its frame is allowed")]
    AllowanceExceeded,
    #[error("more than {TAG_COUNT_MAX} tagged fields")]
    TooManyTags,
    #[error("tagged fields that are not in ascending order")]
    TagsOutOfOrder,
    #[error("a tagged field that is not as long as it says")]
    TagSizeMismatch,
    #[error("bytes are left after the message")]
    TrailingBytes,
    #[error("there is no API key {0}")]
    UnknownApiKey(i16),
    #[error("there is no version {0}")]
    UnsupportedVersion(i16),
}

/// A position in a frame, and the version of the message that is being read.
#[derive(Debug)]
pub struct Reader {
    frame: Bytes,
    position: usize,
    /// One past the last byte that may be taken: the end of the frame, or of a tagged field.
    end: usize,
    version: i16,
    flexible: bool,
    /// What is left of [`Limits::decoded_bytes_max`].
    allowance: usize,
    /// Makes the reader invent a valid message instead of taking one from the frame.
    #[cfg(test)]
    pub(crate) dice: Option<crate::tests::Dice>,
}

impl Reader {
    /// Starts at the beginning of `frame`, which is without its length.
    pub fn new(frame: Bytes) -> Self {
        let limits = Limits::for_frame(frame.len());
        Self::with_limits(frame, limits)
    }

    /// As [`Reader::new`], with limits of the caller's choice.
    pub fn with_limits(frame: Bytes, limits: Limits) -> Self {
        Self {
            position: 0,
            end: frame.len(),
            frame,
            version: 0,
            flexible: false,
            allowance: limits.decoded_bytes_max,
            #[cfg(test)]
            dice: None,
        }
    }

    /// Whatever may still be decoded, no more than this.
    pub fn limit(&mut self, limits: Limits) {
        self.allowance = self.allowance.min(limits.decoded_bytes_max);
    }

    /// How many bytes have been taken.
    pub fn position(&self) -> usize {
        self.position
    }

    /// How many bytes may still be taken.
    pub fn remaining(&self) -> usize {
        self.end - self.position
    }

    /// Fails if bytes are left.
    pub fn finish(&self) -> Result<(), DecodeError> {
        if self.remaining() == 0 { Ok(()) } else { Err(self.error(DecodeProblem::TrailingBytes)) }
    }

    /// The version of the message that is being read.
    pub fn version(&self) -> i16 {
        self.version
    }

    /// From here on the values are of a message in this version.
    pub fn set_version(&mut self, version: i16, flexible: bool) {
        self.version = version;
        self.flexible = flexible;
    }

    /// One byte; anything but 0 is true, as in Kafka.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.fixed::<1>()? != [0])
    }

    /// One byte.
    pub fn i8(&mut self) -> Result<i8, DecodeError> {
        self.fixed().map(i8::from_be_bytes)
    }

    /// Two bytes.
    pub fn i16(&mut self) -> Result<i16, DecodeError> {
        self.fixed().map(i16::from_be_bytes)
    }

    /// Two bytes.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.fixed().map(u16::from_be_bytes)
    }

    /// Four bytes.
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        self.fixed().map(i32::from_be_bytes)
    }

    /// Eight bytes.
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        self.fixed().map(i64::from_be_bytes)
    }

    /// Eight bytes.
    pub fn f64(&mut self) -> Result<f64, DecodeError> {
        self.fixed().map(f64::from_be_bytes)
    }

    /// Sixteen bytes.
    pub fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        self.fixed().map(Uuid::from_bytes)
    }

    /// Sixteen bytes.
    pub fn topic_id(&mut self) -> Result<TopicId, DecodeError> {
        self.uuid().map(TopicId)
    }

    /// A string.
    pub fn string(&mut self) -> Result<String, DecodeError> {
        let size = self.length(Classic::Short, false)?;
        self.utf8(size.unwrap_or(0))
    }

    /// A string or, where allowed, null.
    pub fn nullable_string(&mut self, null_allowed: bool) -> Result<Option<String>, DecodeError> {
        let size = self.length(Classic::Short, null_allowed)?;
        size.map(|size| self.utf8(size)).transpose()
    }

    /// A string in the encoding before the compact one, or null.
    pub(crate) fn classic_nullable_string(&mut self) -> Result<Option<String>, DecodeError> {
        let flexible = std::mem::replace(&mut self.flexible, false);
        let result = self.nullable_string(true);
        self.flexible = flexible;
        result
    }

    /// Bytes, as a slice of the frame.
    pub fn bytes(&mut self) -> Result<Bytes, DecodeError> {
        let size = self.length(Classic::Long, false)?;
        self.slice(size.unwrap_or(0))
    }

    /// Bytes or, where allowed, null.
    pub fn nullable_bytes(&mut self, null_allowed: bool) -> Result<Option<Bytes>, DecodeError> {
        let size = self.length(Classic::Long, null_allowed)?;
        size.map(|size| self.slice(size)).transpose()
    }

    /// Record batches, as a slice of the frame.
    pub fn records(&mut self, null_allowed: bool) -> Result<Option<Records>, DecodeError> {
        Ok(self.nullable_bytes(null_allowed)?.map(Records::Bytes))
    }

    /// An array.
    pub fn array<E: Element>(&mut self) -> Result<Vec<E>, DecodeError> {
        let count = self.length(Classic::Long, false)?;
        self.elements(count.unwrap_or(0))
    }

    /// An array or, where allowed, null.
    pub fn nullable_array<E: Element>(&mut self, null_allowed: bool) -> Result<Option<Vec<E>>, DecodeError> {
        let count = self.length(Classic::Long, null_allowed)?;
        count.map(|count| self.elements(count)).transpose()
    }

    /// A struct behind a byte that tells whether there is one.
    pub fn nullable_struct<E: Element>(&mut self) -> Result<Option<E>, DecodeError> {
        if self.i8()? < 0 { Ok(None) } else { E::read(self).map(Some) }
    }

    /// A struct that is a tagged field and may be null: the byte in front tells it in another way there.
    pub fn tagged_struct<E: Element>(&mut self) -> Result<Option<E>, DecodeError> {
        if self.varint()? == 0 { Ok(None) } else { E::read(self).map(Some) }
    }

    /// An unsigned integer of one to five bytes.
    pub fn varint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0;
        for index in 0..5 {
            let [byte] = self.fixed::<1>()?;
            let padded = byte == 0 && index != 0;
            let overflows = index == 4 && 0x0f < byte;
            if padded || overflows {
                return Err(self.error(DecodeProblem::VarintTooLong));
            }
            value |= u32::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.error(DecodeProblem::VarintTooLong))
    }

    /// The tagged fields at the end of a struct, if this version has them. `known` takes the value of a field and returns
    /// true, or takes nothing and returns false.
    pub fn tags(
        &mut self,
        mut known: impl FnMut(&mut Self, u32) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        #[cfg(test)]
        if let Some(tags) = self.invented_tags() {
            for tag in tags {
                known(self, tag)?;
            }
            return Ok(());
        }
        let mut lowest_next = 0;
        for _ in 0..self.tag_count()? {
            let (tag, end_outside) = self.begin_tag(lowest_next)?;
            if !known(self, tag)? {
                self.position = self.end;
            }
            self.end_tag(end_outside)?;
            lowest_next = u64::from(tag) + 1;
        }
        Ok(())
    }

    /// Tagged fields of which none is known.
    pub fn skip_tags(&mut self) -> Result<(), DecodeError> {
        if self.flexible { self.tags(|_, _| Ok(false)) } else { Ok(()) }
    }

    fn tag_count(&mut self) -> Result<u32, DecodeError> {
        let count = if self.flexible { self.varint()? } else { 0 };
        if count <= TAG_COUNT_MAX { Ok(count) } else { Err(self.error(DecodeProblem::TooManyTags)) }
    }

    /// Reads a field's tag and size and ends the reader where the field ends. Also gives the end that was before.
    fn begin_tag(&mut self, lowest: u64) -> Result<(u32, usize), DecodeError> {
        let tag = self.varint()?;
        if u64::from(tag) < lowest {
            return Err(self.error(DecodeProblem::TagsOutOfOrder));
        }
        let size = self.varint()? as usize;
        if self.remaining() < size {
            return Err(self.error(DecodeProblem::Truncated));
        }
        Ok((tag, std::mem::replace(&mut self.end, self.position + size)))
    }

    fn end_tag(&mut self, end_outside: usize) -> Result<(), DecodeError> {
        if self.position != self.end {
            return Err(self.error(DecodeProblem::TagSizeMismatch));
        }
        self.end = end_outside;
        Ok(())
    }

    fn elements<E: Element>(&mut self, count: usize) -> Result<Vec<E>, DecodeError> {
        self.check_count(count, E::WIRE_SIZE_MIN, size_of::<E>())?;
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(E::read(self)?);
        }
        Ok(elements)
    }

    fn check_count(&mut self, count: usize, wire_size_min: usize, size: usize) -> Result<(), DecodeError> {
        #[cfg(test)]
        if self.dice.is_some() {
            return Ok(());
        }
        if ARRAY_COUNT_MAX < count || self.remaining() / wire_size_min < count {
            return Err(self.error(DecodeProblem::TooManyElements));
        }
        self.charge(count * size)
    }

    /// The length in front of a value, -1 being null.
    fn length(&mut self, classic: Classic, null_allowed: bool) -> Result<Option<usize>, DecodeError> {
        #[cfg(test)]
        if let Some(dice) = &mut self.dice {
            return Ok(dice.length(null_allowed));
        }
        let length = match classic {
            _ if self.flexible => i64::from(self.varint()?) - 1,
            Classic::Short => i64::from(self.i16()?),
            Classic::Long => i64::from(self.i32()?),
        };
        match usize::try_from(length) {
            Ok(length) => Ok(Some(length)),
            Err(_) if length != -1 => Err(self.error(DecodeProblem::NegativeLength)),
            Err(_) if null_allowed => Ok(None),
            Err(_) => Err(self.error(DecodeProblem::NullNotAllowed)),
        }
    }

    fn utf8(&mut self, size: usize) -> Result<String, DecodeError> {
        #[cfg(test)]
        if let Some(dice) = &mut self.dice {
            return Ok(dice.text(size));
        }
        if STRING_SIZE_MAX < size {
            return Err(self.error(DecodeProblem::StringTooLong));
        }
        let range = self.take(size)?;
        self.charge(size)?;
        match std::str::from_utf8(&self.frame[range]) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(self.error(DecodeProblem::NotUtf8)),
        }
    }

    fn slice(&mut self, size: usize) -> Result<Bytes, DecodeError> {
        #[cfg(test)]
        if let Some(dice) = &mut self.dice {
            return Ok(dice.text(size).into());
        }
        let range = self.take(size)?;
        Ok(self.frame.slice(range))
    }

    fn fixed<const SIZE: usize>(&mut self) -> Result<[u8; SIZE], DecodeError> {
        #[cfg(test)]
        if let Some(dice) = &mut self.dice {
            return Ok(dice.bytes());
        }
        match self.frame[self.position..self.end].first_chunk() {
            Some(bytes) => {
                self.position += SIZE;
                Ok(*bytes)
            }
            None => Err(self.error(DecodeProblem::Truncated)),
        }
    }

    fn take(&mut self, size: usize) -> Result<std::ops::Range<usize>, DecodeError> {
        if self.remaining() < size {
            return Err(self.error(DecodeProblem::Truncated));
        }
        let start = self.position;
        self.position += size;
        Ok(start..self.position)
    }

    fn charge(&mut self, size: usize) -> Result<(), DecodeError> {
        match self.allowance.checked_sub(size) {
            Some(left) => {
                self.allowance = left;
                Ok(())
            }
            None => Err(self.error(DecodeProblem::AllowanceExceeded)),
        }
    }

    #[cfg(test)]
    fn invented_tags(&mut self) -> Option<Vec<u32>> {
        let flexible = self.flexible;
        self.dice.as_mut().map(|dice| if flexible { dice.tags() } else { Vec::new() })
    }

    pub(crate) fn unsupported_version(&self, version: i16) -> DecodeError {
        self.error(DecodeProblem::UnsupportedVersion(version))
    }

    pub(crate) fn error(&self, problem: DecodeProblem) -> DecodeError {
        DecodeError { position: self.position, problem }
    }
}

/// How wide a length is where it is not compact.
#[derive(Clone, Copy)]
enum Classic {
    Short,
    Long,
}
