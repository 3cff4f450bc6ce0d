//! The records of a group's member one by one.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec;

use futures_core::Stream;

use super::effect::{ReaderId, Taken};
use super::error::GroupConsumeError;
use super::shell::Shared;
use crate::consumer::{Cause, ConsumeError, ConsumedRecord, FetchedBatch};

/// The records of a [`GroupConsumer`](super::GroupConsumer). Partitions are given up between two records, as soon as the next one is asked for.
pub struct GroupRecords {
    shared: Arc<Shared>,
    reader: ReaderId,
    ready: vec::IntoIter<ConsumedRecord>,
    has_ended: bool,
}

impl GroupRecords {
    pub(super) fn new(shared: Arc<Shared>, reader: ReaderId) -> Self {
        Self { shared, reader, ready: Vec::new().into_iter(), has_ended: false }
    }

    /// The next record, for those who need no stream.
    pub async fn next(&mut self) -> Option<Result<ConsumedRecord, GroupConsumeError>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    fn poll_taken(&self, context: &Context<'_>) -> Poll<Result<Taken, GroupConsumeError>> {
        let reader = self.reader;
        self.shared.poll(context, |machine, now| {
            let taken = machine.take(now, reader);
            machine.hand_out_records(reader);
            taken
        })
    }
}

impl Drop for GroupRecords {
    fn drop(&mut self) {
        self.shared.let_go(self.reader);
    }
}

impl Stream for GroupRecords {
    type Item = Result<ConsumedRecord, GroupConsumeError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if self.has_ended || self.shared.is_closed() {
                return Poll::Ready(None);
            }
            if let Some(record) = self.ready.next() {
                if self.shared.hand_out(self.reader, record.offset.advance(1)) {
                    return Poll::Ready(Some(Ok(record)));
                }
                // The partition was given up or is read elsewhere.
                self.ready = Vec::new().into_iter();
            }
            let Poll::Ready(taken) = self.poll_taken(context) else { return Poll::Pending };
            match taken {
                Ok(Taken::Batch(batch)) => match unpacked(&batch) {
                    Ok(records) => self.ready = records.into_iter(),
                    Err(error) => return Poll::Ready(Some(Err(error.into()))),
                },
                Ok(Taken::Revoked { revocation, .. }) => self.shared.acknowledge(revocation),
                Ok(Taken::Assigned(_) | Taken::Lost(_)) => {}
                Err(error) => {
                    self.has_ended = matches!(error, GroupConsumeError::Group(_));
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}

fn unpacked(batch: &FetchedBatch) -> Result<Vec<ConsumedRecord>, ConsumeError> {
    batch.owned_records().map_err(|problem| {
        let cause = Cause::Damaged { at: batch.from, problem };
        ConsumeError { topic: batch.topic.clone(), partition: batch.partition, cause }
    })
}
