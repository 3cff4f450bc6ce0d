//! How keys and values stand in a log.
//!
//! ```text
//!  key:    type of record i16 | fields of the key
//!  value:  version i16 | fields of the value
//! ```

use bytes::Bytes;
use klamm_wire::{DecodeError, Limits, Message, Reader, Writer};
use thiserror::Error;

use crate::Entry;

/// A record that cannot be read: damaged, or written by a newer broker in a version that this one does not know.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum RecordError {
    /// Its bytes are no such record.
    #[error("{part}: {cause}")]
    Malformed {
        /// What was being read.
        part: &'static str,
        /// What does not fit.
        cause: DecodeError,
    },
    /// A number that its field cannot have.
    #[error("{field} is {number}")]
    Impossible {
        /// Which field.
        field: &'static str,
        /// What it says.
        number: i64,
    },
}

/// Keys have one version for good: another layout is another type.
const KEY_VERSION: i16 = 0;

/// A record of type `kind`, its value in `version`.
///
/// # Panics
/// On a text of more than 32,767 bytes: neither the protocol nor a log can carry it, so no request brings one, and whoever makes one up has a bug.
pub(super) fn entry<K: Message, V: Message>(kind: i16, key: &K, version: i16, value: Option<V>) -> Entry {
    let value = value.map(|value| prefixed(version, &value, version));
    Entry { key: prefixed(kind, key, KEY_VERSION), value }
}

fn prefixed<M: Message>(prefix: i16, message: &M, version: i16) -> Bytes {
    let mut writer = Writer::new();
    writer.i16(prefix);
    message
        .encode(&mut writer, version)
        .unwrap_or_else(|error| panic!("{} cannot be written: {error}", M::NAME));
    writer.finish().to_bytes().expect("records have no holes")
}

/// A reader of what a broker has written, and the number that stands in front.
pub(super) fn open(part: &'static str, bytes: &Bytes) -> Result<(i16, Reader), RecordError> {
    let mut reader = Reader::with_limits(bytes.clone(), Limits::for_response(bytes.len()));
    let number = reader.i16().map_err(|cause| RecordError::Malformed { part, cause })?;
    Ok((number, reader))
}

/// What stands behind the type of a record.
pub(super) fn key<K: Message>(reader: Reader) -> Result<K, RecordError> {
    rest(reader, KEY_VERSION)
}

/// A value, if there is one.
pub(super) fn value<V: Message, T>(
    bytes: Option<&Bytes>,
    read: impl FnOnce(V) -> Result<T, RecordError>,
) -> Result<Option<T>, RecordError> {
    let Some(bytes) = bytes else { return Ok(None) };
    let (version, reader) = open(V::NAME, bytes)?;
    read(rest(reader, version)?).map(Some)
}

fn rest<M: Message>(mut reader: Reader, version: i16) -> Result<M, RecordError> {
    let message = M::decode(&mut reader, version);
    message
        .and_then(|it| reader.finish().map(|()| it))
        .map_err(|cause| RecordError::Malformed { part: M::NAME, cause })
}

/// `number`, if `read` understands it.
pub(super) fn checked<N: Copy + Into<i64>, T>(
    field: &'static str,
    number: N,
    read: impl FnOnce(N) -> Option<T>,
) -> Result<T, RecordError> {
    read(number).ok_or(RecordError::Impossible { field, number: number.into() })
}
