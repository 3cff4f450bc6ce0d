//! What a record is before it is in a batch, and what becomes of it there.

use std::sync::Arc;

use bytes::Bytes;
use klamm_model::{RecordHeader, Timestamp};

use super::error::{Cause, SendError};

/// What a record takes in a batch besides its bytes, at most.
const RECORD_OVERHEAD: usize = 36;

/// One record to write. It only borrows: the bytes are copied once, into the batch. Keys and values are bytes, unless a
/// [`TypedProducer`](super::TypedProducer) or a [`TypedTransaction`](super::TypedTransaction) makes bytes of them.
#[derive(Debug)]
pub struct Record<'a, K: ?Sized = [u8], V: ?Sized = [u8]> {
    /// The topic.
    pub topic: &'a str,
    /// The partition, or `None` to choose by key or by load.
    pub partition: Option<i32>,
    /// When it happened; `None` is now.
    pub timestamp: Option<Timestamp>,
    /// Records of one key go to one partition.
    pub key: Option<&'a K>,
    /// The content; `None` is a tombstone.
    pub value: Option<&'a V>,
    /// Name and value each.
    pub headers: &'a [RecordHeader<'a>],
}

// Not derived: that would ask the same of keys and values, which are only lent.
impl<K: ?Sized, V: ?Sized> Copy for Record<'_, K, V> {}

impl<K: ?Sized, V: ?Sized> Clone for Record<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: ?Sized, V: ?Sized> Default for Record<'_, K, V> {
    fn default() -> Self {
        Self { topic: "", partition: None, timestamp: None, key: None, value: None, headers: &[] }
    }
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

/// A record that owns what is in it, for those who keep records or pass them on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnedRecord {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition, or `None` to choose by key or by load.
    pub partition: Option<i32>,
    /// When it happened; `None` is now.
    pub timestamp: Option<Timestamp>,
    /// Records of one key go to one partition.
    pub key: Option<Bytes>,
    /// The content; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// Name and value each.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}

impl OwnedRecord {
    /// The headers as [`lend`](Self::lend) wants them.
    pub fn lend_headers(&self) -> Vec<RecordHeader<'_>> {
        self.headers.iter().map(|(key, value)| RecordHeader { key, value: value.as_deref() }).collect()
    }

    /// The record as it can be sent, with its headers or with others.
    pub fn lend<'a>(&'a self, headers: &'a [RecordHeader<'a>]) -> Record<'a> {
        let Self { topic, partition, timestamp, key, value, .. } = self;
        let (partition, timestamp) = (*partition, *timestamp);
        Record { topic, partition, timestamp, key: key.as_deref(), value: value.as_deref(), headers }
    }
}

impl From<Record<'_>> for OwnedRecord {
    fn from(record: Record<'_>) -> Self {
        let Record { topic, partition, timestamp, key, value, headers } = record;
        let copy = Bytes::copy_from_slice;
        let headers = headers.iter().map(|header| (copy(header.key), header.value.map(copy))).collect();
        Self {
            topic: topic.into(),
            partition,
            timestamp,
            key: key.map(copy),
            value: value.map(copy),
            headers,
        }
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
    /// When it happened.
    pub timestamp: Timestamp,
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
    /// The topic has no such partition, as far as is known: it may have been added a moment ago.
    NoSuchPartition(SendError),
    /// It will never be taken.
    Never(SendError),
}

pub(crate) fn never(record: &Record<'_>, cause: Cause) -> Refused {
    Refused::Never(SendError::before_sending(record.topic, record.partition, cause))
}
