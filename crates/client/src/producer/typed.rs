//! Writing records whose keys and values have types.

use std::borrow::Cow;
use std::sync::Arc;

use super::delivery::{Delivered, Delivery};
use super::error::{Cause, SendError};
use super::record::Record;
use super::shell::Producer;
use crate::format::{FormatError, Serializer};

/// A [`Producer`] that makes the bytes of keys and values itself.
///
/// ```no_run
/// # async fn example(producer: klamm_client::Producer) -> Result<(), klamm_client::SendError> {
/// use klamm_client::{RawFormat, Record, TextFormat, TypedProducer};
///
/// let names: TypedProducer<str, [u8; 4]> = TypedProducer::new(producer, TextFormat, RawFormat);
/// names.send(Record { topic: "scores", key: Some("me"), value: Some(&7_u32.to_be_bytes()), ..Record::default() }).await?;
/// # Ok(())
/// # }
/// ```
pub struct TypedProducer<K: ?Sized, V: ?Sized> {
    producer: Arc<Producer>,
    keys: Box<dyn Serializer<K>>,
    values: Box<dyn Serializer<V>>,
}

impl<K: ?Sized, V: ?Sized> TypedProducer<K, V> {
    /// Writes by `producer`, which others may share.
    pub fn new(
        producer: impl Into<Arc<Producer>>,
        keys: impl Serializer<K> + 'static,
        values: impl Serializer<V> + 'static,
    ) -> Self {
        Self { producer: producer.into(), keys: Box::new(keys), values: Box::new(values) }
    }

    /// Who writes, to flush it for example.
    pub fn producer(&self) -> &Arc<Producer> {
        &self.producer
    }

    /// As [`Producer::send`], but nothing happens before the future is awaited.
    pub async fn send(&self, record: Record<'_, K, V>) -> Result<Delivered, SendError> {
        self.accept(record).await?.await
    }

    /// As [`Producer::accept`].
    pub async fn accept(&self, record: Record<'_, K, V>) -> Result<Delivery, SendError> {
        let Record { topic, partition, timestamp, key, value, headers } = record;
        let refused = |what, error: FormatError| {
            let cause = Cause::Unserializable { what, problem: error.to_string() };
            SendError::before_sending(topic, partition, cause)
        };
        let key = bytes_of(&*self.keys, topic, key).map_err(|error| refused("key", error))?;
        let value = bytes_of(&*self.values, topic, value).map_err(|error| refused("value", error))?;
        let (key, value) = (key.as_deref(), value.as_deref());
        self.producer.accept(Record { topic, partition, timestamp, key, value, headers }).await
    }
}

fn bytes_of<'a, T: ?Sized>(
    serializer: &dyn Serializer<T>,
    topic: &str,
    item: Option<&'a T>,
) -> Result<Option<Cow<'a, [u8]>>, FormatError> {
    item.map(|item| serializer.serialize(topic, item)).transpose()
}
