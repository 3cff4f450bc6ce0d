//! What a consumer hands out: batches, and the records in them.

use std::sync::Arc;

use bytes::Bytes;
use klamm_model::{BatchError, BatchView, Codec, Offset, RecordView, Timestamp, decompress};

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

    /// The records, each for itself. They share the memory of the batch, which is kept as long as one of them is. What they take beside that
    /// is bounded like the batch itself: records of a few bytes each become twenty times as large.
    pub fn owned_records(&self) -> Result<Vec<ConsumedRecord>, BatchError> {
        let view = BatchView::parse(&self.bytes)?;
        let body = match view.codec()? {
            Codec::None => self.bytes.slice_ref(view.body()),
            codec => {
                let mut unpacked = Vec::new();
                decompress(codec, view.body(), &mut unpacked, self.unpacked_bytes_max)?;
                unpacked.into()
            }
        };
        let share = |bytes| body.slice_ref(bytes);
        let (mut size, size_max) = (0, self.unpacked_bytes_max);
        view.records_in(&body)
            .skip_while(|record| matches!(record, Ok(record) if record.offset < self.from))
            .map(|record| {
                let RecordView { offset, timestamp, key, value, headers } = record?;
                size += size_of::<ConsumedRecord>() + headers.len() * size_of::<(Bytes, Option<Bytes>)>();
                if size > size_max {
                    return Err(BatchError::TooLarge { size, size_max });
                }
                let headers = headers.iter().map(|it| (share(it.key), it.value.map(share)));
                Ok(ConsumedRecord {
                    topic: self.topic.clone(),
                    partition: self.partition,
                    offset,
                    timestamp,
                    key: key.map(share),
                    value: value.map(share),
                    headers: headers.collect(),
                })
            })
            .collect()
    }

    /// The batch as it lies in the log, with its header.
    pub fn view(&self) -> Result<BatchView<'_>, BatchError> {
        BatchView::parse(&self.bytes)
    }

    /// Bytes of the batch as it lies in the log.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }
}

/// One record that was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsumedRecord<K = Bytes, V = Bytes> {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// Its place there.
    pub offset: Offset,
    /// When it happened, or was appended, as the topic wants it.
    pub timestamp: Timestamp,
    /// What its partition was chosen by.
    pub key: Option<K>,
    /// The content; `None` is a tombstone.
    pub value: Option<V>,
    /// Name and value each.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}
