//! Produce: records become part of a log; the answer waits for what `acks` asks.

use klamm_log::Appended;
use klamm_model::{BatchError, ErrorCode, Offset, PartitionIndex, TopicId, TopicPartition};
use klamm_replica::Acks;
use klamm_wire::{
    ProduceResponse, Response,
    produce::{LeaderIdAndEpoch, PartitionProduceResponse, TopicProduceResponse},
};

use crate::{
    Effect, Now, Reply, ReplyTo,
    errors::ToCode,
    hosted::{Goal, ProduceWait},
    node::Node,
    prepare::{Produce, ProducePartition, ProduceTopic},
    waiters::WaiterId,
};

/// The longest an answer to a produce request is held, whatever its client asks for.
const TIMEOUT_MS_MAX: u64 = 10 * 60 * 1000;

/// A produce request whose records are appended and whose answer waits.
#[derive(Debug)]
pub(crate) struct ProduceWaiter {
    pub(crate) to: ReplyTo,
    /// Filled with success at append; failures overwrite their slot.
    pub(crate) response: ProduceResponse,
    /// The slots that still wait.
    pub(crate) waiting: Vec<Slot>,
}

/// A partition's place in a produce answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Slot {
    pub(crate) topic: u32,
    pub(crate) partition: u32,
}

impl ProduceWaiter {
    /// The answer, complete now.
    pub(crate) fn answer(self) -> Effect {
        assert!(
            self.waiting.is_empty(),
            "an answer leaves with partitions that still wait: {:?}",
            self.waiting
        );
        Effect::Reply { to: self.to, reply: Reply::Ready(Response::Produce(self.response)) }
    }

    /// Whatever still waits has waited long enough; what becomes of it is unknown.
    pub(crate) fn time_out(&mut self) {
        for slot in std::mem::take(&mut self.waiting) {
            let slot = self.slot(slot);
            *slot = failed(PartitionIndex(slot.index), ErrorCode::RequestTimedOut);
        }
    }

    /// One slot waits no more.
    pub(crate) fn close(&mut self, slot: Slot) {
        self.waiting.retain(|it| *it != slot);
    }

    pub(crate) fn slot(&mut self, slot: Slot) -> &mut PartitionProduceResponse {
        &mut self.response.responses[slot.topic as usize].partition_responses[slot.partition as usize]
    }
}

pub(crate) fn handle(
    node: &mut Node,
    now: Now,
    to: ReplyTo,
    version: i16,
    produce: Produce,
    out: &mut Vec<Effect>,
) {
    let acks = match produce.acks {
        0 => Some(Acks::None),
        1 => Some(Acks::Leader),
        -1 => Some(Acks::All),
        _ => None,
    };
    let waiter = node.produce_waiters.next_id();
    let transactional = produce.transactional_id.is_some();
    let mut request = Request {
        waiter,
        acks,
        transactional,
        by_id: version >= 13,
        hints: version >= 10,
        waiting: Vec::new(),
        failed: false,
    };
    let mut responses = Vec::with_capacity(produce.topics.len());
    for topic in produce.topics {
        let number = responses.len() as u32;
        responses.push(append_topic(node, &mut request, number, topic, out));
    }
    let mut response = ProduceResponse { responses, ..ProduceResponse::default() };
    if request.failed && request.hints {
        response.node_endpoints = node.produce_leader_endpoints(&response);
    }
    let timeout_ms = u64::try_from(produce.timeout_ms).unwrap_or(0).min(TIMEOUT_MS_MAX);
    if produce.acks == 0 {
        // No answer could carry the error; a closed connection makes the client look up its leaders again, as with Kafka.
        out.push(if request.failed {
            Effect::Close { connection: to.connection, reason: "a produce request with acks=0 failed" }
        } else {
            Effect::NoReply { to }
        });
    } else if request.waiting.is_empty() {
        out.push(Effect::Reply { to, reply: Reply::Ready(Response::Produce(response)) });
    } else {
        let parked = ProduceWaiter { to, response, waiting: request.waiting };
        let id = node.produce_waiters.park(now.tick.after_ms(timeout_ms), parked);
        assert_eq!(id, waiter, "the waiter was announced under another number");
    }
}

/// What is the same for all partitions of one request, and what they add up to.
struct Request {
    waiter: WaiterId,
    /// `None`: the client asked for a number of replicas, which Kafka has not allowed since 0.9.
    acks: Option<Acks>,
    transactional: bool,
    by_id: bool,
    /// The version has a place for who leads instead (KIP-951).
    hints: bool,
    waiting: Vec<Slot>,
    failed: bool,
}

fn append_topic(
    node: &mut Node,
    request: &mut Request,
    number: u32,
    topic: ProduceTopic,
    out: &mut Vec<Effect>,
) -> TopicProduceResponse {
    let id = if request.by_id { Some(topic.id) } else { node.topic_id(&topic.name) };
    let mut partition_responses = Vec::with_capacity(topic.partitions.len());
    for partition in topic.partitions {
        let slot = Slot { topic: number, partition: partition_responses.len() as u32 };
        partition_responses.push(append_partition(node, request, id, slot, partition, out));
    }
    TopicProduceResponse { name: topic.name, topic_id: topic.id, partition_responses, ..Default::default() }
}

fn append_partition(
    node: &mut Node,
    request: &mut Request,
    topic: Option<TopicId>,
    slot: Slot,
    partition: ProducePartition,
    out: &mut Vec<Effect>,
) -> PartitionProduceResponse {
    let index = partition.index;
    match append(node, request, topic, partition, slot, out) {
        Ok((appended, log_start)) => PartitionProduceResponse {
            index: index.0,
            base_offset: appended.base.raw(),
            log_append_time_ms: -1,
            log_start_offset: log_start.raw(),
            ..Default::default()
        },
        Err(code) => {
            request.failed = true;
            let current_leader = topic.and_then(|topic| node.current_leader(topic, index));
            let hint = request.hints
                && matches!(code, ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch);
            let mut failed = failed(index, code);
            if let (true, Some((leader, epoch))) = (hint, current_leader) {
                failed.current_leader =
                    LeaderIdAndEpoch { leader_id: leader.0, leader_epoch: epoch.0, ..Default::default() };
            }
            failed
        }
    }
}

/// What a produce answer says of a partition whose records were not taken.
pub(crate) fn failed(index: PartitionIndex, code: ErrorCode) -> PartitionProduceResponse {
    PartitionProduceResponse {
        index: index.0,
        error_code: code.code(),
        base_offset: -1,
        log_append_time_ms: -1,
        log_start_offset: -1,
        ..Default::default()
    }
}

fn append(
    node: &mut Node,
    request: &mut Request,
    topic: Option<TopicId>,
    partition: ProducePartition,
    slot: Slot,
    out: &mut Vec<Effect>,
) -> Result<(Appended, Offset), ErrorCode> {
    let acks = request.acks.ok_or(ErrorCode::InvalidRequiredAcks)?;
    let topic = topic.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let key = TopicPartition { topic, partition: partition.index };
    if !node.hosted.contains_key(&key) {
        return Err(node.why_not_hosted(key, request.by_id));
    }
    let (batch, bytes) = partition.batch.map_err(|error| error.code())?;
    if request.transactional || batch.is_transactional {
        // Transactions come with the transaction coordinator; until then none can be open.
        return Err(ErrorCode::InvalidTxnState);
    }
    let hosted = node.hosted.get_mut(&key).expect("checked above");
    if batch.size > hosted.settings.message_bytes_max as usize {
        let error =
            BatchError::TooLarge { size: batch.size, size_max: hosted.settings.message_bytes_max as usize };
        return Err(error.code());
    }
    let appended =
        hosted.replica.append(&batch, bytes, acks, None, &mut node.ops).map_err(|error| error.code())?;
    let goal = match acks {
        Acks::None => None,
        Acks::Leader => Some(Goal::Written),
        Acks::All => Some(Goal::Committed),
    };
    if let Some(goal) = goal.filter(|goal| !hosted.reached(*goal, appended.end)) {
        hosted.wait(goal, ProduceWait { end: appended.end, waiter: request.waiter, slot });
        request.waiting.push(slot);
    }
    let log_start = hosted.replica.log().log_start();
    node.flush_ops(out);
    Ok((appended, log_start))
}
