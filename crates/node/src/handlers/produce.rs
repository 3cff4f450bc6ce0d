//! Produce: records become part of a log; the answer waits for what `acks` asks.

use klamm_coordinator::{record::Partitions, transaction::Identity};
use klamm_log::Appended;
use klamm_model::{
    Codec, ErrorCode, Offset, PartitionIndex, RuleError, Timestamp, TimestampRule, TopicId, TopicPartition,
};
use klamm_replica::Acks;
use klamm_wire::{
    ProduceResponse, Response,
    produce::{BatchIndexAndErrorMessage, LeaderIdAndEpoch, PartitionProduceResponse, TopicProduceResponse},
};

use super::held_ms;
use crate::{
    Effect, Now, Reply, ReplyTo,
    coordinators::held::{Then, Waiting},
    errors::ToCode,
    hosted::{Goal, ProduceWait},
    node::Node,
    prepare::{Produce, ProducePartition, ProduceTopic},
    waiters::WaiterId,
};

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

/// From this version on, whatever a transactional producer writes to becomes part of its transaction (KIP-890).
const ADDS_PARTITIONS: i16 = 12;

pub(crate) fn handle(
    node: &mut Node,
    now: Now,
    to: ReplyTo,
    version: i16,
    produce: Produce,
    out: &mut Vec<Effect>,
) {
    let Some(transactional_id) = produce.transactional_id.clone() else {
        return append_all(node, now, to, version, produce, out);
    };
    match begun(node, &produce, version) {
        Err(code) => out.push(refused(to, version, &produce, code)),
        Ok(None) => append_all(node, now, to, version, produce, out),
        Ok(Some(Begun { producer, partitions, marks })) => {
            let then = Then::Produce { to, version, produce, marks };
            let waiting = Waiting { then, adds: ADDS_PARTITIONS <= version };
            node.hold(now, (&transactional_id, producer), partitions, waiting, out);
        }
    }
}

/// Partitions in which a transaction would begin.
struct Begun {
    producer: Identity,
    partitions: Partitions,
    /// How many marks each has.
    marks: Vec<(TopicPartition, u64)>,
}

fn begun(node: &Node, produce: &Produce, version: i16) -> Result<Option<Begun>, ErrorCode> {
    let mut begun: Option<Begun> = None;
    for topic in &produce.topics {
        let id = if BY_ID <= version { Some(topic.id) } else { node.topic_id(&topic.name) };
        let Some(id) = id else { continue };
        for partition in &topic.partitions {
            let Ok((batch, _)) = &partition.batch else { continue };
            let Some(producer) = batch.producer.filter(|_| batch.is_transactional) else { continue };
            let key = TopicPartition { topic: id, partition: partition.index };
            let Some(hosted) = node.hosted.get(&key) else { continue };
            let known = hosted.replica.log().producer_state(producer.id);
            if known.is_some_and(|known| known.transaction.is_some() && known.epoch == producer.epoch) {
                continue;
            }
            let identity = Identity { producer: producer.id, epoch: producer.epoch };
            let begun = begun.get_or_insert_with(|| Begun {
                producer: identity,
                partitions: Partitions::new(),
                marks: Vec::new(),
            });
            if begun.producer != identity {
                // A transactional id has one producer.
                return Err(ErrorCode::InvalidProducerIdMapping);
            }
            begun.partitions.entry(hosted.name.to_string()).or_default().insert(partition.index);
            begun.marks.push((key, hosted.marks_count));
        }
    }
    Ok(begun)
}

/// What is said to a request of which nothing is appended.
pub(crate) fn refused(to: ReplyTo, version: i16, produce: &Produce, code: ErrorCode) -> Effect {
    if produce.acks == 0 {
        return Effect::Close { connection: to.connection, reason: "a produce request with acks=0 failed" };
    }
    let of_topic = |topic: &ProduceTopic| TopicProduceResponse {
        name: if version < BY_ID { topic.name.clone() } else { String::new() },
        topic_id: topic.id,
        partition_responses: topic.partitions.iter().map(|it| failed(it.index, code)).collect(),
        ..Default::default()
    };
    let responses = produce.topics.iter().map(of_topic).collect();
    let response = ProduceResponse { responses, ..ProduceResponse::default() };
    Effect::Reply { to, reply: Reply::Ready(Response::Produce(response)) }
}

/// From this version on, topics are named by their ids.
const BY_ID: i16 = 13;

/// Appends what a request brings; of transactions that begin with it, their coordinators know.
pub(crate) fn append_all(
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
    let mut request =
        Request { waiter, acks, transactional, now: now.wall, version, waiting: Vec::new(), failed: false };
    let mut responses = Vec::with_capacity(produce.topics.len());
    for topic in produce.topics {
        let number = responses.len() as u32;
        responses.push(append_topic(node, &mut request, number, topic, out));
    }
    let mut response = ProduceResponse { responses, ..ProduceResponse::default() };
    if request.failed && request.has_hints() {
        response.node_endpoints = node.produce_leader_endpoints(&response);
    }
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
        let id = node.produce_waiters.park(now.tick.after_ms(held_ms(produce.timeout_ms)), parked);
        assert_eq!(id, waiter, "the waiter was announced under another number");
    }
}

/// What is the same for all partitions of one request, and what they add up to.
struct Request {
    waiter: WaiterId,
    /// `None`: the client asked for a number of replicas, which Kafka has not allowed since 0.9.
    acks: Option<Acks>,
    transactional: bool,
    now: Timestamp,
    version: i16,
    waiting: Vec<Slot>,
    failed: bool,
}

impl Request {
    fn is_by_id(&self) -> bool {
        self.version >= BY_ID
    }

    /// Whether the version has a place for who leads instead (KIP-951).
    fn has_hints(&self) -> bool {
        self.version >= 10
    }

    /// Clients of this age expect zstd (KIP-110).
    fn has_zstd(&self) -> bool {
        self.version >= 7
    }
}

/// Why a partition's records were not taken.
struct Refusal {
    code: ErrorCode,
    /// For a person who reads the client's log.
    message: Option<String>,
    /// Which of the records are to blame, where not all are (KIP-467).
    records: Vec<BatchIndexAndErrorMessage>,
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self { code, message: None, records: Vec::new() }
    }
}

impl From<RuleError> for Refusal {
    fn from(error: RuleError) -> Self {
        let (code, message) = (error.code(), Some(error.to_string()));
        let records = match error {
            RuleError::Batch(_) => Vec::new(),
            RuleError::Records(faults) => faults
                .into_iter()
                .map(|it| BatchIndexAndErrorMessage {
                    batch_index: it.index as i32,
                    batch_index_error_message: Some(it.fault.to_string()),
                })
                .collect(),
        };
        Self { code, message, records }
    }
}

fn append_topic(
    node: &mut Node,
    request: &mut Request,
    number: u32,
    topic: ProduceTopic,
    out: &mut Vec<Effect>,
) -> TopicProduceResponse {
    let id = if request.is_by_id() { Some(topic.id) } else { node.topic_id(&topic.name) };
    let mut partition_responses = Vec::with_capacity(topic.partitions.len());
    for partition in topic.partitions {
        let slot = Slot { topic: number, partition: partition_responses.len() as u32 };
        partition_responses.push(append_partition(
            node,
            request,
            id,
            topic.rules_version,
            slot,
            partition,
            out,
        ));
    }
    TopicProduceResponse { name: topic.name, topic_id: topic.id, partition_responses, ..Default::default() }
}

fn append_partition(
    node: &mut Node,
    request: &mut Request,
    topic: Option<TopicId>,
    rules_version: u64,
    slot: Slot,
    partition: ProducePartition,
    out: &mut Vec<Effect>,
) -> PartitionProduceResponse {
    let index = partition.index;
    match append(node, request, topic, rules_version, partition, slot, out) {
        Ok(taken) => PartitionProduceResponse {
            index: index.0,
            base_offset: taken.appended.base.raw(),
            log_append_time_ms: taken.append_time.map_or(-1, |time| time.0),
            log_start_offset: taken.log_start.raw(),
            ..Default::default()
        },
        Err(Refusal { code, message, records }) => {
            request.failed = true;
            let hint = node.leader_hint(topic, index, code).filter(|_| request.has_hints());
            let mut failed = failed(index, code);
            failed.error_message = message;
            failed.record_errors = records;
            if let Some((leader, epoch)) = hint {
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

/// What became of records that were taken.
struct Taken {
    appended: Appended,
    /// The broker's time, where the records have that.
    append_time: Option<Timestamp>,
    log_start: Offset,
}

fn append(
    node: &mut Node,
    request: &mut Request,
    topic: Option<TopicId>,
    rules_version: u64,
    partition: ProducePartition,
    slot: Slot,
    out: &mut Vec<Effect>,
) -> Result<Taken, Refusal> {
    let acks = request.acks.ok_or(ErrorCode::InvalidRequiredAcks)?;
    let topic = topic.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let key = TopicPartition { topic, partition: partition.index };
    if !node.hosted.contains_key(&key) {
        return Err(node.why_not_hosted(key, request.is_by_id()).into());
    }
    let hosted = node.hosted.get_mut(&key).expect("checked above");
    if hosted.settings.is_internal {
        return Err(ErrorCode::InvalidTopicException.into());
    }
    let (mut batch, bytes) = partition.batch?;
    let ruled = &*hosted.settings.rules;
    if rules_version != ruled.version && !ruled.rules.lets_through(request.now, &batch)? {
        // Its records would have to be unpacked while everybody waits for the lock: the client sends it again at once, and it is prepared for these rules.
        let message = Some("the topic's configs have just changed: send the batch again".to_owned());
        return Err(Refusal { message, ..ErrorCode::NotLeaderOrFollower.into() });
    }
    if batch.codec == Codec::Zstd && !request.has_zstd() && ruled.rules.compression.is_none() {
        return Err(ErrorCode::UnsupportedCompressionType.into());
    }
    if batch.is_transactional && !request.transactional {
        // Nobody could ask a coordinator about it.
        return Err(ErrorCode::TransactionalIdAuthorizationFailed.into());
    }
    let is_stamped = ruled.rules.timestamps == TimestampRule::Append;
    if is_stamped {
        hosted.stamped = hosted.stamped.max(request.now);
        batch = batch.stamped(hosted.stamped);
    }
    if node.disks.is_full(hosted.replica.log().log_dir()) {
        let message = node.disks.why_full(hosted.replica.log().log_dir());
        return Err(Refusal { message, ..ErrorCode::KafkaStorageError.into() });
    }
    let appended =
        hosted.replica.append(&batch, bytes, acks, None, &mut node.ops).map_err(|error| error.code())?;
    node.counters.produced_records += u64::from(batch.record_count);
    node.counters.produced_bytes += batch.size as u64;
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
    Ok(Taken { appended, append_time: is_stamped.then_some(appended.max_timestamp), log_start })
}
