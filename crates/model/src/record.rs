//! Records within the body of a batch that is not, or no longer, compressed.

use crate::varint::{take_varint, take_varlong};
use crate::{BatchError, BatchHeader, Invalidity, Offset, RecordProblem, Timestamp, TimestampType};

/// One record, in somebody's bytes.
#[derive(Clone, Copy, Debug)]
pub struct RecordView<'a> {
    /// Its position in the log.
    pub offset: Offset,
    /// Set by its maker or by the broker, as the batch says.
    pub timestamp: Timestamp,
    /// What compaction and the choice of a partition go by.
    pub key: Option<&'a [u8]>,
    /// The data; `None` deletes the key on a compacted topic.
    pub value: Option<&'a [u8]>,
    /// Named extras, in the order of the producer; a name may occur several times.
    pub headers: Headers<'a>,
}

/// A named extra of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordHeader<'a> {
    /// The name, UTF-8 by custom.
    pub key: &'a [u8],
    /// The data.
    pub value: Option<&'a [u8]>,
}

/// The headers of one record.
///
/// Invariant: `bytes` begins with `count` well-formed headers.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    count: u32,
    bytes: &'a [u8],
}

impl<'a> Headers<'a> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = RecordHeader<'a>> + use<'a> {
        let mut rest = self.bytes;
        (0..self.count).map_while(move |_| take_header(&mut rest).ok())
    }
}

/// The records of one batch, one after the other. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
    index: u32,
    record_count: u32,
    base_offset: Offset,
    last_offset_delta: u32,
    base_timestamp: Timestamp,
    /// The time of the whole batch, where the broker stamps it.
    append_time: Option<Timestamp>,
}

impl<'a> Records<'a> {
    pub(crate) fn new(header: &BatchHeader, body: &'a [u8]) -> Self {
        let append_time = match header.attributes.timestamp_type() {
            TimestampType::CreateTime => None,
            TimestampType::LogAppendTime => Some(header.max_timestamp),
        };
        Self {
            rest: body,
            index: 0,
            record_count: header.record_count,
            base_offset: header.base_offset,
            last_offset_delta: header.last_offset_delta,
            base_timestamp: header.base_timestamp,
            append_time,
        }
    }

    fn take(&mut self) -> Result<RecordView<'a>, RecordProblem> {
        let record = take_record(&mut self.rest, u32::MAX)?;
        let offset_delta = u32::try_from(record.offset_delta)
            .ok()
            .filter(|delta| *delta <= self.last_offset_delta);
        let timestamp = match self.append_time {
            Some(time) => time,
            None => record.timestamp(self.base_timestamp)?,
        };
        Ok(RecordView {
            offset: self
                .base_offset
                .advance(offset_delta.ok_or(RecordProblem::OffsetDelta)?),
            timestamp,
            key: record.key,
            value: record.value,
            headers: record.headers,
        })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordView<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.index == self.record_count {
            let left = std::mem::take(&mut self.rest).len();
            return (left > 0).then(|| Err(Invalidity::BytesAfterRecords(left).into()));
        }
        let index = self.index;
        self.index += 1;
        Some(self.take().map_err(|problem| {
            self.rest = &[];
            self.index = self.record_count;
            problem.at(index)
        }))
    }
}

/// A record as it is written, deltas and all.
pub(crate) struct RawRecord<'a> {
    timestamp_delta: i64,
    pub(crate) offset_delta: i32,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: Headers<'a>,
}

impl RawRecord<'_> {
    #[inline]
    pub(crate) fn timestamp(&self, base: Timestamp) -> Result<Timestamp, RecordProblem> {
        base.0
            .checked_add(self.timestamp_delta)
            .map(Timestamp)
            .ok_or(RecordProblem::Timestamp)
    }
}

/// Takes one record off the front of `rest`.
#[inline]
pub(crate) fn take_record<'a>(
    rest: &mut &'a [u8],
    header_count_max: u32,
) -> Result<RawRecord<'a>, RecordProblem> {
    let length = take_length(rest)?.ok_or(RecordProblem::NegativeLength)?;
    let mut fields = take_bytes(rest, length)?;
    // The attributes byte means nothing so far, and Kafka does not look at it.
    take_bytes(&mut fields, 1)?;
    let timestamp_delta = take_varlong(&mut fields).ok_or(RecordProblem::Varint)?;
    let offset_delta = take_varint(&mut fields).ok_or(RecordProblem::Varint)?;
    let key = take_nullable(&mut fields)?;
    let value = take_nullable(&mut fields)?;
    let header_count = take_length(&mut fields)?.ok_or(RecordProblem::NegativeLength)?;
    let headers = Headers {
        count: header_count as u32,
        bytes: fields,
    };
    if header_count > 0 {
        skip_headers(&mut fields, header_count, header_count_max)?;
    }
    if !fields.is_empty() {
        return Err(RecordProblem::TrailingBytes);
    }
    Ok(RawRecord {
        timestamp_delta,
        offset_delta,
        key,
        value,
        headers,
    })
}

fn skip_headers(
    fields: &mut &[u8],
    header_count: usize,
    header_count_max: u32,
) -> Result<(), RecordProblem> {
    // A header takes at least the two lengths.
    if header_count > header_count_max as usize || header_count > fields.len() / 2 {
        return Err(RecordProblem::HeaderCount);
    }
    for _ in 0..header_count {
        take_header(fields)?;
    }
    Ok(())
}

fn take_header<'a>(fields: &mut &'a [u8]) -> Result<RecordHeader<'a>, RecordProblem> {
    let key = take_nullable(fields)?.ok_or(RecordProblem::NegativeLength)?;
    Ok(RecordHeader {
        key,
        value: take_nullable(fields)?,
    })
}

#[inline]
fn take_nullable<'a>(fields: &mut &'a [u8]) -> Result<Option<&'a [u8]>, RecordProblem> {
    match take_length(fields)? {
        Some(length) => take_bytes(fields, length).map(Some),
        None => Ok(None),
    }
}

/// A length, or `None` for -1.
#[inline]
fn take_length(bytes: &mut &[u8]) -> Result<Option<usize>, RecordProblem> {
    match take_varint(bytes).ok_or(RecordProblem::Varint)? {
        -1 => Ok(None),
        length => usize::try_from(length)
            .map(Some)
            .map_err(|_| RecordProblem::NegativeLength),
    }
}

#[inline]
fn take_bytes<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], RecordProblem> {
    let (taken, rest) = bytes
        .split_at_checked(length)
        .ok_or(RecordProblem::Truncated)?;
    *bytes = rest;
    Ok(taken)
}
