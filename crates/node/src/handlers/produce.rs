//! Produce: records become part of a log; the answer waits for what `acks` asks.

use std::collections::BTreeMap;

use klamm_coordinator::transaction::Identity;
use klamm_log::{Appended, TransactionGuard};
use klamm_model::{
    Codec, ErrorCode, Offset, PartitionIndex, RuleError, Timestamp, TimestampRule, TopicId, TopicPartition,
    ValidBatch,
};
use klamm_replica::{Acks, Role};
use klamm_wire::{
    ProduceResponse, Response,
    produce::{BatchIndexAndErrorMessage, LeaderIdAndEpoch, PartitionProduceResponse, TopicProduceResponse},
};

use super::held_ms;
use crate::{
    Effect, Now, Reply, ReplyTo,
    coordinators::held::{Line, Refused, Then, Waiting},
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
    let producer = match &produce.transactional_id {
        Some(_) => producer_of(&produce),
        None => Ok(None),
    };
    match (producer, produce.transactional_id.clone()) {
        (Err(code), _) => out.push(refused(to, version, &produce, code)),
        (Ok(Some(producer)), Some(transactional_id)) => {
            let line = Line { connection: to.connection, producer };
            let then = Then::Produce { to, version, produce };
            let waiting = Waiting::new(line, transactional_id, then, ADDS_PARTITIONS <= version);
            node.take_in_turn(now, waiting, out);
        }
        (Ok(_), _) => append_all(node, now, to, version, produce, &Refused::new(), out),
    }
}

/// Whose transaction the records are of. A transactional id has one producer.
fn producer_of(produce: &Produce) -> Result<Option<Identity>, ErrorCode> {
    let partitions = produce.topics.iter().flat_map(|topic| &topic.partitions);
    let batches = partitions.filter_map(|it| it.batch.as_ref().ok()).map(|(batch, _)| batch);
    let transactional = batches.filter(|batch| batch.is_transactional).filter_map(|batch| batch.producer);
    let mut producers = transactional.map(|it| Identity { producer: it.id, epoch: it.epoch });
    let first = producers.next();
    if producers.all(|it| Some(it) == first) { Ok(first) } else { Err(ErrorCode::InvalidProducerIdMapping) }
}

/// Partitions in which a transaction begins with what a request brings, of those where it is going to be appended.
pub(crate) fn begun(
    node: &Node,
    now: Now,
    version: i16,
    produce: &Produce,
) -> BTreeMap<TopicPartition, TransactionGuard> {
    let mut begun = BTreeMap::new();
    let request = Request::new(node, now, version, produce);
    for topic in &produce.topics {
        let id = request.topic_id(node, topic);
        for partition in &topic.partitions {
            let Ok((batch, _)) = &partition.batch else { continue };
            let Ok(key) = request.place(node, id, partition.index) else { continue };
            let replica = &node.hosted[&key].replica;
            let is_led = matches!(replica.role(), Role::Leader { .. })
                && (request.acks != Some(Acks::All) || replica.enough_in_sync());
            if let Some(guard) = replica.log().begins_transaction(batch)
                && is_led
                && request.admit(node, key, topic.rules_version, batch).is_ok()
            {
                begun.insert(key, guard);
            }
        }
    }
    begun
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

/// Appends what a request brings, but to the partitions that are refused; of transactions that begin with it, their coordinators know.
pub(crate) fn append_all(
    node: &mut Node,
    now: Now,
    to: ReplyTo,
    version: i16,
    produce: Produce,
    refused: &Refused,
    out: &mut Vec<Effect>,
) {
    let mut request = Request::new(node, now, version, &produce);
    let mut responses = Vec::with_capacity(produce.topics.len());
    for topic in produce.topics {
        let number = responses.len() as u32;
        responses.push(append_topic(node, &mut request, number, topic, refused, out));
    }
    let mut response = ProduceResponse { responses, ..ProduceResponse::default() };
    let mut partitions = response.responses.iter().flat_map(|topic| &topic.partition_responses);
    let takes_some = request.is_stalled && partitions.any(|it| it.error_code == ErrorCode::None.code());
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
        assert_eq!(id, request.waiter, "the waiter was announced under another number");
    }
    if request.is_stalled && !takes_some && node.sent_away.comes_again(now.tick, to.connection) {
        let reason = "it was told to look for another leader, and comes again";
        out.push(Effect::Dismiss { connection: to.connection, reason });
    }
}

/// What is the same for all partitions of one request, and what they add up to.
struct Request {
    waiter: WaiterId,
    /// `None`: the client asked for a number of replicas, which Kafka has not allowed since 0.9.
    acks: Option<Acks>,
    transactional: bool,
    now: Now,
    version: i16,
    waiting: Vec<Slot>,
    failed: bool,
    /// Something is turned away as nothing is committed there while this broker is cut off.
    is_stalled: bool,
}

impl Request {
    fn new(node: &Node, now: Now, version: i16, produce: &Produce) -> Self {
        let acks = match produce.acks {
            0 => Some(Acks::None),
            1 => Some(Acks::Leader),
            -1 => Some(Acks::All),
            _ => None,
        };
        let transactional = produce.transactional_id.is_some();
        let waiter = node.produce_waiters.next_id();
        Self {
            waiter,
            acks,
            transactional,
            now,
            version,
            waiting: Vec::new(),
            failed: false,
            is_stalled: false,
        }
    }

    fn topic_id(&self, node: &Node, topic: &ProduceTopic) -> Option<TopicId> {
        if self.is_by_id() { Some(topic.id) } else { node.topic_id(&topic.name) }
    }

    /// The partition, if this node has it and clients may write to it.
    fn place(
        &self,
        node: &Node,
        topic: Option<TopicId>,
        partition: PartitionIndex,
    ) -> Result<TopicPartition, ErrorCode> {
        if self.acks.is_none() {
            return Err(ErrorCode::InvalidRequiredAcks);
        }
        let key = TopicPartition { topic: topic.ok_or(ErrorCode::UnknownTopicOrPartition)?, partition };
        match node.hosted.get(&key) {
            None => Err(node.why_not_hosted(key, self.is_by_id())),
            Some(_) if node.is_deleted(key) => Err(node.why_not_hosted(key, self.is_by_id())),
            Some(hosted) if hosted.settings.is_internal => Err(ErrorCode::InvalidTopicException),
            Some(_) => Ok(key),
        }
    }

    /// What keeps a batch from being appended, but for its place in its producer's history and the state of the replicas.
    fn admit(
        &self,
        node: &Node,
        key: TopicPartition,
        rules_version: u64,
        batch: &ValidBatch,
    ) -> Result<(), Refusal> {
        let hosted = &node.hosted[&key];
        let ruled = &*hosted.settings.rules;
        if rules_version != ruled.version && !ruled.rules.lets_through(self.now.wall, batch)? {
            // Its records would have to be unpacked while everybody waits for the lock: the client sends it again at once, and it is prepared for these rules.
            let message = Some("the topic's configs have just changed: send the batch again".to_owned());
            return Err(Refusal { message, ..ErrorCode::NotLeaderOrFollower.into() });
        }
        if batch.codec == Codec::Zstd && !self.has_zstd() && ruled.rules.compression.is_none() {
            return Err(ErrorCode::UnsupportedCompressionType.into());
        }
        let log = hosted.replica.log();
        if let Some(producer) = batch.producer.filter(|_| batch.is_transactional) {
            if !self.transactional {
                // Nobody could ask a coordinator about it.
                return Err(ErrorCode::TransactionalIdAuthorizationFailed.into());
            }
            // Each transaction of the newer protocol numbers its records anew: whatever comes before this one is missing.
            if ADDS_PARTITIONS <= self.version
                && producer.base_sequence != 0
                && log.producer_state(producer.id).is_none()
            {
                return Err(ErrorCode::OutOfOrderSequenceNumber.into());
            }
        }
        if self.waits_in_vain(node, key) {
            return Err(ErrorCode::NotLeaderOrFollower.into());
        }
        if node.disks.is_full(log.log_dir()) {
            let message = node.disks.why_full(log.log_dir());
            return Err(Refusal { message, ..ErrorCode::KafkaStorageError.into() });
        }
        Ok(())
    }

    /// Whether what is appended would not be committed.
    fn waits_in_vain(&self, node: &Node, key: TopicPartition) -> bool {
        self.acks == Some(Acks::All) && node.is_stalled(self.now.tick, key)
    }

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
    refused: &Refused,
    out: &mut Vec<Effect>,
) -> TopicProduceResponse {
    let id = request.topic_id(node, &topic);
    let mut partition_responses = Vec::with_capacity(topic.partitions.len());
    for partition in topic.partitions {
        let slot = Slot { topic: number, partition: partition_responses.len() as u32 };
        let key = id.map(|topic| TopicPartition { topic, partition: partition.index });
        let response = match key.and_then(|key| refused.get(&key)) {
            Some(code) => {
                request.failed = true;
                request.is_stalled |=
                    *code == ErrorCode::NotLeaderOrFollower && node.is_cut_off(request.now.tick);
                let producer = partition.batch.as_ref().ok().and_then(|(batch, _)| batch.producer);
                if let Some(hosted) = key.and_then(|key| node.hosted.get_mut(&key)) {
                    hosted.turned_away.told(node.awake.time(), producer, *code);
                }
                failed(partition.index, *code)
            }
            None => append_partition(node, request, id, topic.rules_version, slot, partition, out),
        };
        partition_responses.push(response);
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
    let key = request.place(node, topic, partition.index)?;
    let (mut batch, bytes) = partition.batch?;
    let admitted = request.admit(node, key, rules_version, &batch);
    request.is_stalled |= admitted.as_ref().is_err_and(|it| it.code == ErrorCode::NotLeaderOrFollower)
        && request.waits_in_vain(node, key);
    let acks = request.acks.expect("a place was found");
    let hosted = node.hosted.get_mut(&key).expect("a place was found");
    let (awake, producer) = (node.awake.time(), batch.producer);
    admitted.map_err(|refusal| Refusal {
        code: hosted.turned_away.told(awake, producer, refusal.code),
        ..refusal
    })?;
    if let Some(producer) = producer.filter(|_| matches!(hosted.replica.role(), Role::Leader { .. })) {
        let is_known = || hosted.replica.log().producer_state(producer.id).is_some();
        if let Some(code) = hosted.turned_away.too_early(awake, producer, is_known) {
            return Err(code.into());
        }
    }
    let is_stamped = hosted.settings.rules.rules.timestamps == TimestampRule::Append;
    if is_stamped {
        hosted.stamped = hosted.stamped.max(request.now.wall);
        batch = batch.stamped(hosted.stamped);
    }
    let appended =
        hosted.replica.append(&batch, bytes, acks, None, &mut node.ops).map_err(|error| error.code());
    let appended = appended.map_err(|code| hosted.turned_away.told(awake, producer, code))?;
    producer.inspect(|it| hosted.turned_away.taken(*it));
    node.counters.produced_records += u64::from(batch.record_count);
    node.counters.produced_bytes += batch.size as u64;
    let goal = match acks {
        Acks::None => None,
        Acks::Leader => Some(Goal::Written),
        Acks::All => Some(Goal::Committed),
    };
    if let Some(goal) = goal.filter(|goal| !hosted.reached(*goal, appended.end)) {
        let wait = ProduceWait { end: appended.end, waiter: request.waiter, slot, since: request.now.tick };
        hosted.wait(goal, wait);
        request.waiting.push(slot);
    }
    let log_start = hosted.replica.log().log_start();
    node.flush_ops(out);
    Ok(Taken { appended, append_time: is_stamped.then_some(appended.max_timestamp), log_start })
}
