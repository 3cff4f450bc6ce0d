//! Writing records whose keys and values have types.

use std::borrow::Cow;
use std::sync::Arc;

use super::delivery::{Delivered, Delivery};
use super::error::{Cause, SendError};
use super::record::Record;
use super::shell::Producer;
use super::transaction::Transaction;
use crate::format::{FormatError, Serializer};

/// How bytes are made of keys and values.
pub struct RecordFormat<K: ?Sized, V: ?Sized> {
    keys: Box<dyn Serializer<K>>,
    values: Box<dyn Serializer<V>>,
}

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
    format: RecordFormat<K, V>,
}

/// A [`Transaction`] whose records have types; [`Transaction::typed`] gives it. Records of several types may be written in one.
///
/// ```no_run
/// # async fn example(producer: klamm_client::TransactionalProducer) -> Result<(), Box<dyn std::error::Error>> {
/// use klamm_client::{RawFormat, Record, RecordFormat, TextFormat};
///
/// let scores: RecordFormat<str, [u8; 4]> = RecordFormat::new(TextFormat, RawFormat);
/// let notes: RecordFormat<str, str> = RecordFormat::new(TextFormat, TextFormat);
/// let transaction = producer.begin().await?;
/// let score = 7_u32.to_be_bytes();
/// transaction.typed(&scores).post(Record { topic: "scores", key: Some("me"), value: Some(&score), ..Record::default() }).await?;
/// transaction.typed(&notes).post(Record { topic: "notes", value: Some("well done"), ..Record::default() }).await?;
/// transaction.commit().await?;
/// # Ok(())
/// # }
/// ```
///
/// A record of which no bytes can be made is refused and was never part of the transaction, which can go on without it.
pub struct TypedTransaction<'t, K: ?Sized, V: ?Sized> {
    transaction: &'t Transaction,
    format: &'t RecordFormat<K, V>,
}

impl<K: ?Sized, V: ?Sized> RecordFormat<K, V> {
    /// Keys and values each by their own.
    pub fn new(keys: impl Serializer<K> + 'static, values: impl Serializer<V> + 'static) -> Self {
        Self { keys: Box::new(keys), values: Box::new(values) }
    }

    fn serialize<'a>(&self, record: &Record<'a, K, V>) -> Result<Serialized<'a>, SendError> {
        let refused = |what, error: FormatError| {
            let cause = Cause::Unserializable { what, problem: error.to_string() };
            SendError::before_sending(record.topic, record.partition, cause)
        };
        let topic = record.topic;
        let key = bytes_of(&*self.keys, topic, record.key).map_err(|error| refused("key", error))?;
        let value = bytes_of(&*self.values, topic, record.value).map_err(|error| refused("value", error))?;
        Ok(Serialized { key, value })
    }
}

/// The bytes of a record.
struct Serialized<'a> {
    key: Option<Cow<'a, [u8]>>,
    value: Option<Cow<'a, [u8]>>,
}

impl Serialized<'_> {
    fn of<'s, K: ?Sized, V: ?Sized>(&'s self, record: Record<'s, K, V>) -> Record<'s> {
        let Record { topic, partition, timestamp, headers, .. } = record;
        let (key, value) = (self.key.as_deref(), self.value.as_deref());
        Record { topic, partition, timestamp, key, value, headers }
    }
}

impl<K: ?Sized, V: ?Sized> TypedProducer<K, V> {
    /// Writes by `producer`, which others may share.
    pub fn new(
        producer: impl Into<Arc<Producer>>,
        keys: impl Serializer<K> + 'static,
        values: impl Serializer<V> + 'static,
    ) -> Self {
        Self { producer: producer.into(), format: RecordFormat::new(keys, values) }
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
        let bytes = self.format.serialize(&record)?;
        self.producer.accept(bytes.of(record)).await
    }
}

impl Transaction {
    /// To write records of these types.
    pub fn typed<'t, K: ?Sized, V: ?Sized>(
        &'t self,
        format: &'t RecordFormat<K, V>,
    ) -> TypedTransaction<'t, K, V> {
        TypedTransaction { transaction: self, format }
    }
}

impl<K: ?Sized, V: ?Sized> TypedTransaction<'_, K, V> {
    /// As [`Transaction::send`], but nothing happens before the future is awaited.
    pub async fn send(&self, record: Record<'_, K, V>) -> Result<Delivered, SendError> {
        self.accept(record).await?.await
    }

    /// As [`Transaction::accept`].
    pub async fn accept(&self, record: Record<'_, K, V>) -> Result<Delivery, SendError> {
        let bytes = self.format.serialize(&record)?;
        self.transaction.accept(bytes.of(record)).await
    }

    /// As [`Transaction::post`].
    pub async fn post(&self, record: Record<'_, K, V>) -> Result<(), SendError> {
        let bytes = self.format.serialize(&record)?;
        self.transaction.post(bytes.of(record)).await
    }
}

fn bytes_of<'a, T: ?Sized>(
    serializer: &dyn Serializer<T>,
    topic: &str,
    item: Option<&'a T>,
) -> Result<Option<Cow<'a, [u8]>>, FormatError> {
    item.map(|item| serializer.serialize(topic, item)).transpose()
}
