//! Appends values to a message that is being made.
//!
//! All small values go to one buffer, which grows. Record batches and other large bytes are not copied: they become
//! parts of their own when the message is finished.
//!
//! ```text
//!   buffer   [length|header|fields . . . . |fields . . |fields]
//!   cuts                             ^ bytes      ^ hole
//!   parts    [length|header|fields][bytes][fields][hole][fields]
//! ```

use bytes::Bytes;
use klamm_model::TopicId;
use thiserror::Error;
use uuid::Uuid;

use crate::{Element, Records};

/// From this size on bytes are not copied into the buffer. Below, a copy is cheaper than one part more to send.
const PART_SIZE_MIN: usize = 1024;
/// Most requests and responses fit in, so that the buffer does not grow.
const BUFFER_SIZE_FIRST: usize = 512;

/// Why a message cannot be written in the version asked for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)]
pub enum EncodeError {
    #[error("version {version} has no place for the value of {field}")]
    ValueNotInVersion { field: &'static str, version: i16 },
    #[error("{message} has no version {version}")]
    UnsupportedVersion { message: &'static str, version: i16 },
    #[error("{size} is more than the protocol can carry there")]
    TooLong { size: usize },
}

/// A message, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// One after another they are the message.
    pub parts: Vec<Part>,
}

/// A piece of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Bytes in memory.
    Bytes(Bytes),
    /// From [`Records::Hole`]: bytes that the sender takes from elsewhere.
    Hole {
        /// How many bytes must be sent.
        size: u32,
        /// As it was in the message.
        token: u32,
    },
}

impl Part {
    /// The size in bytes.
    pub fn size(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Hole { size, .. } => *size as usize,
        }
    }
}

impl Encoded {
    /// The size of all parts, holes too.
    pub fn size(&self) -> usize {
        self.parts.iter().map(Part::size).sum()
    }

    /// The message in one piece, without a copy where it is in one piece already; none if it has a hole.
    pub fn to_bytes(&self) -> Option<Bytes> {
        if let [Part::Bytes(only)] = self.parts.as_slice() {
            return Some(only.clone());
        }
        let mut whole = Vec::with_capacity(self.size());
        for part in &self.parts {
            match part {
                Part::Bytes(bytes) => whole.extend_from_slice(bytes),
                Part::Hole { .. } => return None,
            }
        }
        Some(whole.into())
    }
}

/// A message in the making, and the version it is written in.
#[derive(Debug)]
pub struct Writer {
    buffer: Vec<u8>,
    /// Parts that lie between bytes of the buffer, in order, with the position in the buffer they stand before.
    cuts: Vec<(usize, Part)>,
    version: i16,
    flexible: bool,
    /// Inside of a tagged field, whose size must be known before its content: bytes are always copied.
    in_tag: bool,
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

/// The tagged fields of one struct while they are written, in ascending order.
#[derive(Debug)]
pub struct Tags {
    /// Where the count stands; none if the version has no tagged fields.
    count_position: Option<usize>,
    count: u8,
}

impl Writer {
    /// An empty message.
    pub fn new() -> Self {
        Self {
            buffer: Vec::with_capacity(BUFFER_SIZE_FIRST),
            cuts: Vec::new(),
            version: 0,
            flexible: false,
            in_tag: false,
        }
    }

    /// The message as it was written.
    pub fn finish(self) -> Encoded {
        let buffer = Bytes::from(self.buffer);
        let mut parts = Vec::with_capacity(2 * self.cuts.len() + 1);
        let mut start = 0;
        for (position, part) in self.cuts {
            if start < position {
                parts.push(Part::Bytes(buffer.slice(start..position)));
            }
            parts.push(part);
            start = position;
        }
        if start < buffer.len() {
            parts.push(Part::Bytes(buffer.slice(start..)));
        }
        Encoded { parts }
    }

    /// A message that starts with its length, which is set when it is finished.
    pub(crate) fn begin_frame() -> Self {
        let mut writer = Self::new();
        writer.i32(0);
        writer
    }

    pub(crate) fn finish_frame(mut self) -> Result<Encoded, EncodeError> {
        let size = self.buffer.len() - 4 + self.cuts.iter().map(|(_, part)| part.size()).sum::<usize>();
        let length = i32::try_from(size).map_err(|_| EncodeError::TooLong { size })?;
        self.buffer[..4].copy_from_slice(&length.to_be_bytes());
        Ok(self.finish())
    }

    /// The version of the message that is being written.
    pub fn version(&self) -> i16 {
        self.version
    }

    /// From here on the values are of a message in this version.
    pub fn set_version(&mut self, version: i16, flexible: bool) {
        self.version = version;
        self.flexible = flexible;
    }

    /// Refuses the message unless `holds`: `field` has a value that the version cannot carry.
    pub fn require(&self, holds: bool, field: &'static str) -> Result<(), EncodeError> {
        if holds { Ok(()) } else { Err(EncodeError::ValueNotInVersion { field, version: self.version }) }
    }

    /// One byte.
    pub fn bool(&mut self, value: bool) {
        self.buffer.push(u8::from(value));
    }

    /// One byte.
    pub fn i8(&mut self, value: i8) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    /// Two bytes.
    pub fn i16(&mut self, value: i16) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    /// Two bytes.
    pub fn u16(&mut self, value: u16) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    /// Four bytes.
    pub fn i32(&mut self, value: i32) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    /// Eight bytes.
    pub fn i64(&mut self, value: i64) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    /// Eight bytes.
    pub fn f64(&mut self, value: f64) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    /// Sixteen bytes.
    pub fn uuid(&mut self, value: Uuid) {
        self.buffer.extend_from_slice(value.as_bytes());
    }

    /// Sixteen bytes.
    pub fn topic_id(&mut self, value: TopicId) {
        self.uuid(value.0);
    }

    /// A string.
    pub fn string(&mut self, value: &str) -> Result<(), EncodeError> {
        let size = value.len();
        // Kafka takes no longer strings in the compact encoding either.
        match i16::try_from(size) {
            Err(_) => return Err(EncodeError::TooLong { size }),
            Ok(_) if self.flexible => self.length(size)?,
            Ok(short) => self.i16(short),
        }
        self.buffer.extend_from_slice(value.as_bytes());
        Ok(())
    }

    /// A string or null.
    pub fn nullable_string(&mut self, value: &Option<String>) -> Result<(), EncodeError> {
        match value {
            Some(value) => self.string(value)?,
            None if self.flexible => self.varint(0),
            None => self.i16(-1),
        }
        Ok(())
    }

    /// A string in the encoding before the compact one, or null.
    pub(crate) fn classic_nullable_string(&mut self, value: &Option<String>) -> Result<(), EncodeError> {
        let flexible = std::mem::replace(&mut self.flexible, false);
        let result = self.nullable_string(value);
        self.flexible = flexible;
        result
    }

    /// Bytes.
    pub fn bytes(&mut self, value: &Bytes) -> Result<(), EncodeError> {
        self.length(value.len())?;
        if value.len() < PART_SIZE_MIN || self.in_tag {
            self.buffer.extend_from_slice(value);
        } else {
            self.cuts.push((self.buffer.len(), Part::Bytes(value.clone())));
        }
        Ok(())
    }

    /// Bytes or null.
    pub fn nullable_bytes(&mut self, value: &Option<Bytes>) -> Result<(), EncodeError> {
        match value {
            Some(value) => self.bytes(value)?,
            None => self.null_length(),
        }
        Ok(())
    }

    /// Record batches or null.
    ///
    /// # Panics
    /// On a hole in a tagged field: no schema has one.
    pub fn records(&mut self, value: &Option<Records>) -> Result<(), EncodeError> {
        match value {
            Some(Records::Bytes(bytes)) => self.bytes(bytes)?,
            Some(Records::Hole { size, token }) => {
                assert!(!self.in_tag, "a hole in a tagged field");
                self.length(*size as usize)?;
                if *size != 0 {
                    self.cuts.push((self.buffer.len(), Part::Hole { size: *size, token: *token }));
                }
            }
            None => self.null_length(),
        }
        Ok(())
    }

    /// An array.
    pub fn array<E: Element>(&mut self, elements: &[E]) -> Result<(), EncodeError> {
        self.length(elements.len())?;
        elements.iter().try_for_each(|element| element.write(self))
    }

    /// An array or null.
    pub fn nullable_array<E: Element>(&mut self, elements: &Option<Vec<E>>) -> Result<(), EncodeError> {
        match elements {
            Some(elements) => self.array(elements)?,
            None => self.null_length(),
        }
        Ok(())
    }

    /// A struct behind a byte that tells whether there is one.
    pub fn nullable_struct<E: Element>(&mut self, value: &Option<E>) -> Result<(), EncodeError> {
        match value {
            Some(value) => {
                self.i8(1);
                value.write(self)?;
            }
            None => self.i8(-1),
        }
        Ok(())
    }

    /// A struct that is a tagged field and may be null.
    pub fn tagged_struct<E: Element>(&mut self, value: &Option<E>) -> Result<(), EncodeError> {
        self.varint(u32::from(value.is_some()));
        value.as_ref().map_or(Ok(()), |value| value.write(self))
    }

    /// An unsigned integer in as few bytes as possible.
    pub fn varint(&mut self, value: u32) {
        let (bytes, size) = varint(value);
        self.buffer.extend_from_slice(&bytes[..size]);
    }

    /// Starts the tagged fields at the end of a struct.
    pub fn begin_tags(&mut self) -> Tags {
        let count_position = self.flexible.then_some(self.buffer.len());
        self.no_tags();
        Tags { count_position, count: 0 }
    }

    /// Appends a tagged field. A struct of ours has a handful of them, so that their count takes one byte.
    pub fn tag(
        &mut self,
        tags: &mut Tags,
        tag: u32,
        write: impl FnOnce(&mut Self) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.varint(tag);
        let size_position = self.buffer.len();
        let in_tag = std::mem::replace(&mut self.in_tag, true);
        write(self)?;
        self.in_tag = in_tag;
        let size = self.buffer.len() - size_position;
        let (bytes, count) = varint(u32::try_from(size).map_err(|_| EncodeError::TooLong { size })?);
        // The size goes in front of what was just written.
        self.buffer.splice(size_position..size_position, bytes[..count].iter().copied());
        tags.count += 1;
        Ok(())
    }

    /// Ends the tagged fields of a struct.
    pub fn end_tags(&mut self, Tags { count_position, count }: Tags) {
        if let Some(position) = count_position {
            self.buffer[position] = count;
        }
    }

    /// Ends a struct that has no tagged field.
    pub fn no_tags(&mut self) {
        if self.flexible {
            self.buffer.push(0);
        }
    }

    fn length(&mut self, length: usize) -> Result<(), EncodeError> {
        let classic = i32::try_from(length).map_err(|_| EncodeError::TooLong { size: length })?;
        if self.flexible {
            self.varint(classic.unsigned_abs() + 1)
        } else {
            self.i32(classic)
        }
        Ok(())
    }

    fn null_length(&mut self) {
        if self.flexible { self.varint(0) } else { self.i32(-1) }
    }
}

fn varint(value: u32) -> ([u8; 5], usize) {
    let mut bytes = [0; 5];
    let mut rest = value;
    let mut size = 0;
    loop {
        bytes[size] = (rest & 0x7f) as u8;
        rest >>= 7;
        size += 1;
        if rest == 0 {
            return (bytes, size);
        }
        bytes[size - 1] |= 0x80;
    }
}
