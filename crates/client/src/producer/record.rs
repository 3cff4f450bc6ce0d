//! What a record is before it is in a batch, and what becomes of it there.

use klamm_model::{RecordHeader, Timestamp};

use super::error::{Cause, SendError};

/// What a record takes in a batch besides its bytes, at most.
const RECORD_OVERHEAD: usize = 36;

/// One record to write. It only borrows: the bytes are copied once, into the batch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Record<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition, or `None` to choose by key or by load.
    pub partition: Option<i32>,
    /// When it happened; `None` is now.
    pub timestamp: Option<Timestamp>,
    /// Records of one key go to one partition.
    pub key: Option<&'a [u8]>,
    /// The content; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Name and value each.
    pub headers: &'a [RecordHeader<'a>],
}

impl<'a> Record<'a> {
    /// A record without key and headers.
    pub fn new(topic: &'a str, value: &'a [u8]) -> Self {
        Self { topic, value: Some(value), ..Self::default() }
    }

    /// The same with a key.
    pub fn with_key(self, key: &'a [u8]) -> Self {
        Self { key: Some(key), ..self }
    }

    pub(crate) fn size(&self) -> usize {
        let headers: usize = self
            .headers
            .iter()
            .map(|header| 10 + header.key.len() + header.value.map_or(0, <[u8]>::len))
            .sum();
        RECORD_OVERHEAD + self.key.map_or(0, <[u8]>::len) + self.value.map_or(0, <[u8]>::len) + headers
    }
}

/// Where an appended record is.
#[derive(Debug)]
pub struct Appended<'a, T> {
    /// What belongs to its batch; the first to append finds the default.
    pub tag: &'a mut T,
    /// Its place in the batch.
    pub place: u32,
    /// The partition that was chosen.
    pub partition: i32,
    /// Whether [`Machine::advance`](super::machine::Machine::advance) has something to do now or a new deadline.
    pub wants_advance: bool,
}

/// Why a record was not taken.
#[derive(Debug)]
pub enum Refused {
    /// The topic is not known yet: ask for its metadata and try again.
    NeedsMetadata,
    /// The buffer is full: try again after [`Effect::Room`](super::effect::Effect::Room).
    Full,
    /// It will never be taken.
    Never(SendError),
}

pub(crate) fn never(record: &Record<'_>, cause: Cause) -> Refused {
    Refused::Never(SendError::before_sending(record.topic, record.partition, cause))
}
