//! The costly part of a request that needs no state: done by the thread that read it, outside the lock.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use klamm_model::{
    BatchError, BatchView, PartitionIndex, ProduceLimits, RuleError, Timestamp, TopicId, ValidBatch,
    unpacked_size_bound, validate_produce,
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

/// Bytes of records of one request that are looked at, unpacked or packed by the thread that read it; for more of them, others would wait too long.
const AT_ONCE_BYTES_MAX: u64 = 512 << 10;

impl Body {
    /// Whether there is nothing left for [`Self::unpack_next`].
    pub fn is_ready(&self) -> bool {
        match self {
            Self::Produce(produce) => produce.packed.is_empty(),
            Self::Other(_) => true,
        }
    }

    /// Finishes one batch of those that [`begin_to_prepare`] left.
    pub fn unpack_next(&mut self, now: Timestamp) {
        if let Self::Produce(produce) = self
            && let Some(Packed { place: (topic, partition), ruled, batch, bytes }) =
                produce.packed.pop_front()
        {
            produce.topics[topic].partitions[partition].batch = ruled.rules.apply(now, batch, bytes);
        }
    }
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
    /// Batches whose records take longer. Their places in `topics` have an error until they are done.
    packed: VecDeque<Packed>,
}

/// A sound batch of whose records something is asked.
#[derive(Debug)]
struct Packed {
    /// In `topics`, and in its `partitions`.
    place: (usize, usize),
    ruled: Arc<Ruled>,
    batch: ValidBatch,
    bytes: Bytes,
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
    let mut body = begin_to_prepare(request, view, now);
    while !body.is_ready() {
        body.unpack_next(now);
    }
    body
}

/// The same, without what takes long: that is left to [`Body::unpack_next`], a batch at a time (B14).
pub fn begin_to_prepare(request: Request, view: &View, now: Timestamp) -> Body {
    match request {
        Request::Produce(produce) => Body::Produce(prepare_produce(produce, view, now)),
        other => Body::Other(other),
    }
}

fn prepare_produce(request: ProduceRequest, view: &View, now: Timestamp) -> Produce {
    let mut work = Work { now, at_once: AT_ONCE_BYTES_MAX, packed: VecDeque::new() };
    let topics = (0..).zip(request.topic_data);
    let topics = topics.map(|(place, topic)| prepare_topic(place, topic, view, &mut work)).collect();
    Produce {
        transactional_id: request.transactional_id,
        acks: request.acks,
        timeout_ms: request.timeout_ms,
        topics,
        packed: work.packed,
    }
}

fn prepare_topic(number: usize, topic: TopicProduceData, view: &View, work: &mut Work) -> ProduceTopic {
    let ruled = view.rules.of(&view.image, &topic.name, topic.topic_id);
    let partitions = (0..).zip(topic.partition_data).map(|(place, partition)| ProducePartition {
        index: PartitionIndex(partition.index),
        batch: work.check((number, place), partition.records, ruled),
    });
    let partitions = partitions.collect();
    ProduceTopic { name: topic.name, id: topic.topic_id, rules_version: ruled.version, partitions }
}

/// The work that one request makes.
struct Work {
    now: Timestamp,
    /// What is left of [`AT_ONCE_BYTES_MAX`].
    at_once: u64,
    packed: VecDeque<Packed>,
}

impl Work {
    fn check(
        &mut self,
        place: (usize, usize),
        records: Option<Records>,
        ruled: &Arc<Ruled>,
    ) -> Result<(ValidBatch, Bytes), RuleError> {
        let bytes = match records {
            Some(Records::Bytes(bytes)) => bytes,
            Some(Records::Hole { .. }) | None => Bytes::new(),
        };
        // Before anything is computed: a batch that is too large costs nothing.
        let limits = ProduceLimits { batch_size_max: ruled.rules.size_max, ..ProduceLimits::default() };
        let batch = validate_produce(&bytes, &limits)?;
        if ruled.rules.lets_through(self.now, &batch)? {
            return Ok((batch, bytes));
        }
        let size = unpacked_size_bound(batch.codec, BatchView::parse(&bytes)?.body());
        match self.at_once.checked_sub(size.map_err(BatchError::from)?) {
            Some(left) => {
                self.at_once = left;
                ruled.rules.apply(self.now, batch, bytes)
            }
            None => {
                self.packed.push_back(Packed { place, ruled: Arc::clone(ruled), batch, bytes });
                Err(BatchError::Empty.into())
            }
        }
    }
}
