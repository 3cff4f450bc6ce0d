//! DeleteRecords: everything below an offset goes; the answer waits until it is gone for good here, and from all other replicas that live (KIP-107).

use klamm_cluster::{record::BrokerState, topic_name};
use klamm_model::{ErrorCode, Offset, PartitionIndex, TopicPartition};
use klamm_replica::Role;
use klamm_wire::{
    DeleteRecordsRequest, DeleteRecordsResponse, Response,
    delete_records::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult},
};

use super::{held_ms, reply};
use crate::{Effect, Now, ReplyTo, errors::ToCode, node::Node, waiters::WaiterId};

/// "All that is committed."
const HIGH_WATERMARK: i64 = -1;

/// "There is no low watermark to tell."
const NONE: i64 = -1;

/// A request whose records are deleted here and whose answer waits for others.
#[derive(Debug)]
pub(crate) struct DeleteWaiter {
    pub(crate) to: ReplyTo,
    /// Filled with timeouts; what is reached in time overwrites its place.
    response: DeleteRecordsResponse,
    waiting: Vec<Waiting>,
}

/// A partition that waits.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    key: TopicPartition,
    goal: Offset,
    /// Its place in the answer.
    topic: usize,
    partition: usize,
}

impl DeleteWaiter {
    fn answer(self) -> Effect {
        Effect::Reply { to: self.to, reply: crate::Reply::Ready(Response::DeleteRecords(self.response)) }
    }

    fn close(&mut self, place: Waiting, result: Result<Offset, ErrorCode>) {
        let slot = &mut self.response.topics[place.topic].partitions[place.partition];
        *slot = partition_result(slot.partition_index, result);
    }
}

pub(super) fn handle(
    node: &mut Node,
    now: Now,
    to: ReplyTo,
    request: &DeleteRecordsRequest,
    out: &mut Vec<Effect>,
) {
    let mut waiting = Vec::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in &topic.partitions {
            let index = asked.partition_index;
            let result = match delete(node, &topic.name, PartitionIndex(index), asked.offset, out) {
                Ok((key, goal)) => match low_watermark(node, key).filter(|reached| goal <= *reached) {
                    Some(reached) => Ok(reached),
                    None => {
                        let (topic, partition) = (topics.len(), partitions.len());
                        waiting.push(Waiting { key, goal, topic, partition });
                        Err(ErrorCode::RequestTimedOut)
                    }
                },
                Err(code) => Err(code),
            };
            partitions.push(partition_result(index, result));
        }
        topics.push(DeleteRecordsTopicResult { name: topic.name.clone(), partitions });
    }
    let response = DeleteRecordsResponse { topics, ..Default::default() };
    if waiting.is_empty() {
        return reply(to, Response::DeleteRecords(response), out);
    }
    let timeout_ms = held_ms(request.timeout_ms);
    let keys: Vec<_> = waiting.iter().map(|it| it.key).collect();
    let id = node.delete_waiters.park(now.tick.after_ms(timeout_ms), DeleteWaiter { to, response, waiting });
    for key in keys {
        let hosted = node.hosted.get_mut(&key).expect("records were deleted from it");
        if !hosted.deletes.contains(&id) {
            hosted.deletes.push(id);
        }
    }
}

/// Deletes here; the answer is below which offset.
fn delete(
    node: &mut Node,
    name: &str,
    index: PartitionIndex,
    offset: i64,
    out: &mut Vec<Effect>,
) -> Result<(TopicPartition, Offset), ErrorCode> {
    let topic = node.image.topic_named(name).cloned().ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let key = TopicPartition { topic: topic.id, partition: index };
    if topic.partition(index).is_none() {
        return Err(ErrorCode::UnknownTopicOrPartition);
    }
    if topic_name::is_internal(name) {
        return Err(ErrorCode::InvalidTopicException);
    }
    if !node.hosted.contains_key(&key) {
        return Err(node.why_not_hosted(key, false));
    }
    // Compaction alone keeps the last value of every key for ever, as somebody may rely on.
    let cleanup = node.topic_config(&topic).cleanup;
    let is_for_ever = cleanup.compact && !cleanup.delete;
    let hosted = node.hosted.get_mut(&key).expect("checked above");
    if !matches!(hosted.replica.role(), Role::Leader { .. }) {
        return Err(ErrorCode::NotLeaderOrFollower);
    }
    if is_for_ever {
        return Err(ErrorCode::PolicyViolation);
    }
    let to = match offset {
        HIGH_WATERMARK => None,
        _ => Some(Offset::from_wire(offset).ok_or(ErrorCode::OffsetOutOfRange)?),
    };
    let goal = hosted.replica.delete_records(to, &mut node.ops).map_err(|error| error.code())?;
    node.flush_ops(out);
    Ok((key, goal))
}

fn low_watermark(node: &Node, key: TopicPartition) -> Option<Offset> {
    let lives = |id| node.image.broker(id).is_some_and(|broker| broker.state != BrokerState::Fenced);
    node.hosted.get(&key)?.replica.low_watermark(lives)
}

fn partition_result(partition_index: i32, result: Result<Offset, ErrorCode>) -> DeleteRecordsPartitionResult {
    match result {
        Ok(low) => DeleteRecordsPartitionResult { partition_index, low_watermark: low.raw(), error_code: 0 },
        Err(code) => {
            DeleteRecordsPartitionResult { partition_index, low_watermark: NONE, error_code: code.code() }
        }
    }
}

impl Node {
    /// Somebody's log may start further on now, or somebody counts no more.
    pub(crate) fn release_deletes(&mut self, key: TopicPartition, out: &mut Vec<Effect>) {
        let is_idle = self.hosted.get(&key).is_none_or(|hosted| hosted.deletes.is_empty());
        let Some(reached) = (if is_idle { None } else { low_watermark(self, key) }) else { return };
        self.close_deletes(key, out, |goal| (goal <= reached).then_some(Ok(reached)));
    }

    /// Nobody knows any more what becomes of these.
    pub(crate) fn fail_deletes(&mut self, key: TopicPartition, code: ErrorCode, out: &mut Vec<Effect>) {
        self.close_deletes(key, out, |_| Some(Err(code)));
    }

    fn close_deletes(
        &mut self,
        key: TopicPartition,
        out: &mut Vec<Effect>,
        outcome: impl Fn(Offset) -> Option<Result<Offset, ErrorCode>>,
    ) {
        let Some(hosted) = self.hosted.get_mut(&key) else { return };
        let ids = std::mem::take(&mut hosted.deletes);
        let still: Vec<_> = ids.into_iter().filter(|id| self.close_delete(*id, key, out, &outcome)).collect();
        if let Some(hosted) = self.hosted.get_mut(&key) {
            hosted.deletes = still;
        }
    }

    /// Whether the request still waits for this partition.
    fn close_delete(
        &mut self,
        id: WaiterId,
        key: TopicPartition,
        out: &mut Vec<Effect>,
        outcome: impl Fn(Offset) -> Option<Result<Offset, ErrorCode>>,
    ) -> bool {
        // Timed out, or its connection is gone.
        let Some(waiter) = self.delete_waiters.get_mut(id) else { return false };
        for place in std::mem::take(&mut waiter.waiting) {
            match outcome(place.goal).filter(|_| place.key == key) {
                Some(result) => waiter.close(place, result),
                None => waiter.waiting.push(place),
            }
        }
        if waiter.waiting.is_empty() {
            let waiter = self.delete_waiters.remove(id).expect("it was just there");
            out.push(waiter.answer());
            return false;
        }
        waiter.waiting.iter().any(|it| it.key == key)
    }

    pub(crate) fn time_out_deletes(&mut self, now: Now, out: &mut Vec<Effect>) {
        while let Some((_, waiter)) = self.delete_waiters.pop_due(now.tick) {
            out.push(waiter.answer());
        }
    }
}
