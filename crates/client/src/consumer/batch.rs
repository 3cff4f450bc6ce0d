//! What a consumer hands out: one batch at a time.

use std::sync::Arc;

use bytes::Bytes;
use klamm_model::{BatchError, BatchView, Offset, RecordView};

/// A batch of records as it lies in the log, checked against its checksum and not unpacked yet.
#[derive(Clone, Debug)]
pub struct FetchedBatch {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// Reading goes on here; a batch may begin before the offset that was asked for.
    pub from: Offset,
    /// One past the last record that could be read when the broker answered.
    pub high_watermark: Option<Offset>,
    pub(crate) bytes: Bytes,
    pub(crate) unpacked_bytes_max: usize,
}

impl FetchedBatch {
    /// The records, in order. A packed batch is unpacked into `scratch`, whose contents are lost; use one buffer for many batches.
    pub fn records<'a>(
        &'a self,
        scratch: &'a mut Vec<u8>,
    ) -> Result<impl Iterator<Item = Result<RecordView<'a>, BatchError>> + 'a, BatchError> {
        scratch.clear();
        let records = BatchView::parse(&self.bytes)?.records(scratch, self.unpacked_bytes_max)?;
        let from = self.from;
        Ok(records.skip_while(move |record| matches!(record, Ok(record) if record.offset < from)))
    }

    /// Bytes of the batch as it lies in the log.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }
}
