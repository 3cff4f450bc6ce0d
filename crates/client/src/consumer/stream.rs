//! Records one by one.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec;

use bytes::Bytes;
use futures_core::Stream;

use super::batch::{ConsumedRecord, FetchedBatch};
use super::error::{Cause, ConsumeError};
use super::machine::Machine;
use super::shell::Shared;
use crate::format::Deserializer;

/// The records of a [`Consumer`](super::Consumer), or of one of its partitions. After an error the other partitions go on. Ends when the
/// consumer is dropped.
pub struct RecordStream {
    shared: Arc<Shared>,
    only: Option<(Arc<str>, i32)>,
    ready: vec::IntoIter<ConsumedRecord>,
}

impl RecordStream {
    pub(super) fn new(shared: Arc<Shared>, only: Option<(Arc<str>, i32)>) -> Self {
        Self { shared, only, ready: Vec::new().into_iter() }
    }

    /// The same records with keys and values that have types.
    pub fn typed<K, V>(
        self,
        keys: impl Deserializer<K> + 'static,
        values: impl Deserializer<V> + 'static,
    ) -> TypedStream<K, V> {
        TypedStream { records: self, keys: Box::new(keys), values: Box::new(values) }
    }

    /// The next record, for those who need no stream.
    pub async fn next(&mut self) -> Option<Result<ConsumedRecord, ConsumeError>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    fn poll_batch(&self, context: &Context<'_>) -> Poll<Result<FetchedBatch, ConsumeError>> {
        match &self.only {
            Some((topic, partition)) => {
                self.shared.poll(context, |machine| machine.take_of(topic, *partition))
            }
            None => self.shared.poll(context, Machine::take),
        }
    }
}

impl Stream for RecordStream {
    type Item = Result<ConsumedRecord, ConsumeError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(record) = self.ready.next() {
                return Poll::Ready(Some(Ok(record)));
            }
            let Poll::Ready(batch) = self.poll_batch(context) else {
                return if self.shared.is_dropped() { Poll::Ready(None) } else { Poll::Pending };
            };
            let unpacked = batch.and_then(|batch| {
                batch.owned_records().map_err(|problem| {
                    let cause = Cause::Damaged { at: batch.from, problem };
                    ConsumeError { topic: batch.topic.clone(), partition: batch.partition, cause }
                })
            });
            match unpacked {
                Ok(records) => self.ready = records.into_iter(),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}

/// The records of a [`RecordStream`] with keys and values that have types. After one that has not, the next ones come.
pub struct TypedStream<K, V> {
    records: RecordStream,
    keys: Box<dyn Deserializer<K>>,
    values: Box<dyn Deserializer<V>>,
}

impl<K, V> TypedStream<K, V> {
    /// The next record, for those who need no stream.
    pub async fn next(&mut self) -> Option<Result<ConsumedRecord<K, V>, ConsumeError>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    fn typed(&self, record: ConsumedRecord) -> Result<ConsumedRecord<K, V>, ConsumeError> {
        let ConsumedRecord { topic, partition, offset, timestamp, key, value, headers } = record;
        let key = read("key", &*self.keys, &topic, key);
        let value = read("value", &*self.values, &topic, value);
        match (key, value) {
            (Ok(key), Ok(value)) => {
                Ok(ConsumedRecord { topic, partition, offset, timestamp, key, value, headers })
            }
            (Err((what, problem)), _) | (_, Err((what, problem))) => {
                let cause = Cause::Undeserializable { at: offset, what, problem };
                Err(ConsumeError { topic, partition, cause })
            }
        }
    }
}

impl<K, V> Stream for TypedStream<K, V> {
    type Item = Result<ConsumedRecord<K, V>, ConsumeError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = Pin::new(&mut self.records).poll_next(context);
        next.map(|next| next.map(|record| record.and_then(|record| self.typed(record))))
    }
}

fn read<T>(
    what: &'static str,
    deserializer: &dyn Deserializer<T>,
    topic: &str,
    bytes: Option<Bytes>,
) -> Result<Option<T>, (&'static str, String)> {
    let item = bytes.map(|bytes| deserializer.deserialize(topic, &bytes)).transpose();
    item.map_err(|error| (what, error.to_string()))
}
