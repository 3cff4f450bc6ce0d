//! Reading batches where they lie: nothing is copied unless a body must be decompressed.

use crate::header::{BATCH_HEADER_SIZE, position};
use crate::{BatchError, BatchHeader, Codec, Corruption, Offset, Records, crc32c, decompress};

/// What a reader of a run of batches makes of a last batch that is not complete.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tail {
    /// A Fetch answer and a read from a segment may be cut anywhere: the reader stops before the cut.
    MayBeTruncated,
    /// The run is to be whole batches.
    MustBeComplete,
}

/// The batches in a run of bytes, one after the other. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    run: &'a [u8],
    position: usize,
    tail: Tail,
    is_done: bool,
}

impl<'a> Batches<'a> {
    /// Reads the batches of `run` from its front.
    pub fn new(run: &'a [u8], tail: Tail) -> Self {
        Self { run, position: 0, tail, is_done: false }
    }

    /// Bytes of the run that complete batches took so far.
    pub fn position(&self) -> usize {
        self.position
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<BatchView<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done || self.position == self.run.len() {
            return None;
        }
        match BatchView::parse(&self.run[self.position..]) {
            Ok(batch) => {
                self.position += batch.size();
                Some(Ok(batch))
            }
            Err(BatchError::Corrupt(Corruption::Truncated { .. })) if self.tail == Tail::MayBeTruncated => {
                self.is_done = true;
                None
            }
            Err(error) => {
                self.is_done = true;
                Some(Err(error))
            }
        }
    }
}

/// One whole batch within somebody's bytes.
///
/// Invariant: `bytes` is exactly the batch that `header` describes. Its checksum may still be wrong.
#[derive(Clone, Copy, Debug)]
pub struct BatchView<'a> {
    header: BatchHeader,
    bytes: &'a [u8],
}

impl<'a> BatchView<'a> {
    /// The batch at the front of `bytes`.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BatchError> {
        let header = BatchHeader::parse(bytes)?;
        match bytes.get(..header.size) {
            Some(bytes) => Ok(Self { header, bytes }),
            None => Err(Corruption::Truncated { have: bytes.len(), need: header.size }.into()),
        }
    }

    /// The fields before the records.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The whole batch.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What follows the header: the records, compressed or not.
    pub fn body(&self) -> &'a [u8] {
        &self.bytes[BATCH_HEADER_SIZE..]
    }

    /// Bytes of the whole batch.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Offset of the first record as it was written.
    pub fn base_offset(&self) -> Offset {
        self.header.base_offset
    }

    /// Offset of the last record as it was written.
    pub fn last_offset(&self) -> Offset {
        self.header.last_offset()
    }

    /// Where the next batch begins at the earliest.
    pub fn next_offset(&self) -> Offset {
        self.header.next_offset()
    }

    /// Records in the body, as the header says.
    pub fn record_count(&self) -> u32 {
        self.header.record_count
    }

    /// How the body is compressed.
    pub fn codec(&self) -> Result<Codec, BatchError> {
        self.header.attributes.codec()
    }

    /// Whether the bytes are those that were written.
    pub fn verify_crc(&self) -> Result<(), BatchError> {
        let stored = self.header.crc;
        let computed = crc32c(&self.bytes[position::ATTRIBUTES..]);
        if stored == computed { Ok(()) } else { Err(Corruption::Checksum { stored, computed }.into()) }
    }

    /// The records. A compressed body is unpacked into `scratch`, which is cleared first and never gets more than `size_max` bytes; one that is
    /// not compressed is read where it lies.
    pub fn records<'b>(&self, scratch: &'b mut Vec<u8>, size_max: usize) -> Result<Records<'b>, BatchError>
    where
        'a: 'b,
    {
        let body = match self.codec()? {
            Codec::None => self.body(),
            codec => {
                scratch.clear();
                decompress(codec, self.body(), scratch, size_max)?;
                scratch.as_slice()
            }
        };
        Ok(self.records_in(body))
    }

    /// The records in `body`, which is this batch's, unpacked before.
    pub fn records_in<'b>(&self, body: &'b [u8]) -> Records<'b> {
        Records::new(&self.header, body)
    }
}
