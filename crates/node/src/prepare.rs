//! The costly part of a request that needs no state: done by the thread that read it, outside the lock.

use bytes::Bytes;
use klamm_model::{
    PartitionIndex, ProduceLimits, RuleError, Timestamp, TopicId, ValidBatch, validate_produce,
};
use klamm_wire::{ProduceRequest, Records, Request, produce::TopicProduceData};

use crate::{View, rules::Ruled};

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
    /// Which rules the batches were made to keep. The topic may have got others since.
    pub(crate) rules_version: u64,
    /// In the order of the request.
    pub partitions: Vec<ProducePartition>,
}

/// One batch for one partition.
#[derive(Debug)]
pub struct ProducePartition {
    /// Which partition of the topic.
    pub index: PartitionIndex,
    /// The batch with what its header says, or why it is refused.
    pub batch: Result<(ValidBatch, Bytes), RuleError>,
}

/// Checks batches: CRCs, lengths, counts and records (B12, B13, B15 of the bad inputs), and what their topics demand as far as the published view knows it;
/// recompresses them where a topic wants it.
///
/// `now` is the wall clock, for topics that limit how far timestamps may be from it.
pub fn prepare(request: Request, view: &View, now: Timestamp) -> Body {
    match request {
        Request::Produce(produce) => Body::Produce(prepare_produce(produce, view, now)),
        other => Body::Other(other),
    }
}

fn prepare_produce(request: ProduceRequest, view: &View, now: Timestamp) -> Produce {
    let topics = request.topic_data.into_iter().map(|topic| prepare_topic(topic, view, now)).collect();
    Produce {
        transactional_id: request.transactional_id,
        acks: request.acks,
        timeout_ms: request.timeout_ms,
        topics,
    }
}

fn prepare_topic(topic: TopicProduceData, view: &View, now: Timestamp) -> ProduceTopic {
    let ruled = view.rules.of(&view.image, &topic.name, topic.topic_id);
    let partitions = topic.partition_data.into_iter().map(|partition| ProducePartition {
        index: PartitionIndex(partition.index),
        batch: check(partition.records, ruled, now),
    });
    let partitions = partitions.collect();
    ProduceTopic { name: topic.name, id: topic.topic_id, rules_version: ruled.version, partitions }
}

fn check(records: Option<Records>, ruled: &Ruled, now: Timestamp) -> Result<(ValidBatch, Bytes), RuleError> {
    let bytes = match records {
        Some(Records::Bytes(bytes)) => bytes,
        Some(Records::Hole { .. }) | None => Bytes::new(),
    };
    // Before anything is computed: a batch that is too large costs nothing.
    let limits = ProduceLimits { batch_size_max: ruled.rules.size_max, ..ProduceLimits::default() };
    let batch = validate_produce(&bytes, &limits)?;
    ruled.rules.apply(now, batch, bytes)
}
