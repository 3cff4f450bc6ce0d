//! The costly part of a request that needs no state: done by the thread that read it, outside the lock.

use bytes::Bytes;
use klamm_model::{BatchError, PartitionIndex, ProduceLimits, TopicId, ValidBatch, validate_produce};
use klamm_wire::{ProduceRequest, Records, Request};

/// A request, ready for [`crate::Node::step`].
#[derive(Debug)]
pub enum Body {
    /// Records to append; every batch was checked.
    Produce(Produce),
    /// Anything else, as it was decoded.
    Other(Request),
}

/// A produce request whose batches were checked.
#[derive(Debug)]
pub struct Produce {
    /// Set by transactional producers.
    pub transactional_id: Option<String>,
    /// 0, 1 or -1 for "all"; anything else is refused by the handler.
    pub acks: i16,
    /// How long the client will wait for the answer.
    pub timeout_ms: i32,
    /// In the order of the request; the answer keeps it.
    pub topics: Vec<ProduceTopic>,
}

/// The part of a produce request for one topic.
#[derive(Debug)]
pub struct ProduceTopic {
    /// Empty from version 13 on.
    pub name: String,
    /// Zero before version 13.
    pub id: TopicId,
    /// In the order of the request.
    pub partitions: Vec<ProducePartition>,
}

/// One batch for one partition.
#[derive(Debug)]
pub struct ProducePartition {
    /// Which partition of the topic.
    pub index: PartitionIndex,
    /// The batch with what its header says, or why it is refused.
    pub batch: Result<(ValidBatch, Bytes), BatchError>,
}

/// Checks what can be checked without knowing any topic: CRCs, lengths, counts and records (B12, B13, B15 of the bad inputs).
///
/// Sizes against `max.message.bytes` are the handler's: they depend on the topic.
pub fn prepare(request: Request) -> Body {
    match request {
        Request::Produce(produce) => Body::Produce(prepare_produce(produce)),
        other => Body::Other(other),
    }
}

fn prepare_produce(request: ProduceRequest) -> Produce {
    let limits = ProduceLimits { batch_size_max: usize::MAX, ..ProduceLimits::default() };
    let check = |records: Option<Records>| {
        let bytes = match records {
            Some(Records::Bytes(bytes)) => bytes,
            Some(Records::Hole { .. }) | None => Bytes::new(),
        };
        validate_produce(&bytes, &limits).map(|batch| (batch, bytes))
    };
    Produce {
        transactional_id: request.transactional_id,
        acks: request.acks,
        timeout_ms: request.timeout_ms,
        topics: request
            .topic_data
            .into_iter()
            .map(|topic| ProduceTopic {
                name: topic.name,
                id: topic.topic_id,
                partitions: topic
                    .partition_data
                    .into_iter()
                    .map(|partition| ProducePartition {
                        index: PartitionIndex(partition.index),
                        batch: check(partition.records),
                    })
                    .collect(),
            })
            .collect(),
    }
}
