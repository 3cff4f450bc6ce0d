//! The client library of Klamm, and of Apache Kafka: producer, consumer and admin; with the feature `testing` also a broker to test against.
//!
//! A program depends on `klamm`; its tests have it as a dev-dependency with `features = ["testing"]`.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use klamm::{Assignment, Consumer, ConsumerConfig, Producer, ProducerConfig, Record, Start, testing::Broker};
//!
//! let broker = Broker::start().await?;
//! let client = broker.client().await?;
//! let producer = Producer::new(&client, ProducerConfig::default());
//! let delivered = producer.send(Record::new("events", b"hello").with_key(b"me")).await?;
//!
//! let consumer = Consumer::new(&client, ConsumerConfig::default());
//! consumer.assign([Assignment { topic: delivered.topic, partition: delivered.partition, start: Start::Earliest }]);
//! let record = consumer.records().next().await.expect("the stream goes on")?;
//! assert_eq!(record.value.as_deref(), Some(&b"hello"[..]));
//! # Ok(())
//! # }
//! ```

pub use klamm_client::*;
pub use klamm_model::{
    BatchError, BatchView, BrokerId, Codec, Compression, ErrorCode, LeaderEpoch, Offset, ProducerEpoch,
    ProducerId, Timestamp, TopicId,
};

#[cfg(feature = "testing")]
pub mod testing;
