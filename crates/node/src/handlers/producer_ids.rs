//! InitProducerId: numbers for idempotent producers, from blocks that the controller gives out.
//!
//! Where another broker may be the controller a block is there before anybody wants a number, and the next one before it is used up: without a majority of the
//! controllers no new block is to be had, and producers that begin then can still write to leaders that go on.

use std::{collections::VecDeque, ops::Range};

use klamm_cluster::controller::ProducerIdBlock;
use klamm_model::{ErrorCode, ProducerId, Tick, TopicPartition};
use klamm_wire::{InitProducerIdRequest, InitProducerIdResponse, Response};

use crate::{ConnectionId, Effect, Now, Reply, ReplyTo, node::Node};

/// Producers that may wait for a new block.
const WAITING_MAX: usize = 10_000;

/// Numbers that are to be there before they are wanted: half a block.
const RESERVE: i64 = 500;

/// Before a block is asked for again that nobody waits for.
const ASK_AGAIN_MS: u64 = 1_000;

/// The numbers this broker may give out, and who waits for more.
#[derive(Debug, Default)]
pub(crate) struct ProducerIds {
    left: Range<i64>,
    /// The block after it.
    spare: Option<Range<i64>>,
    asked: bool,
    not_before: Tick,
    waiting: VecDeque<ReplyTo>,
    /// Shards of transactions that want some.
    shards: VecDeque<TopicPartition>,
}

/// What a shard of transactions gets at once.
const OF_SHARD: u32 = 100;

impl ProducerIds {
    pub(crate) fn forget(&mut self, connection: ConnectionId) {
        self.waiting.retain(|to| to.connection != connection);
    }

    /// At most so many.
    fn take_block(&mut self, count: u32) -> Option<ProducerIdBlock> {
        let first = self.take()?;
        let more = (self.left.end - self.left.start).min(i64::from(count) - 1);
        self.left.start += more;
        Some(ProducerIdBlock { first, count: u32::try_from(more).unwrap_or(0) + 1 })
    }

    fn take(&mut self) -> Option<ProducerId> {
        if self.left.is_empty() {
            self.left = self.spare.take()?;
        }
        self.left.next().map(ProducerId)
    }

    fn put(&mut self, ProducerIdBlock { first, count }: ProducerIdBlock) {
        let block = first.0..first.0 + i64::from(count);
        if self.left.is_empty() { self.left = block } else { self.spare = Some(block) }
    }

    fn is_low(&self) -> bool {
        self.spare.is_none() && self.left.end - self.left.start < RESERVE
    }
}

pub(crate) fn handle(
    node: &mut Node,
    now: Now,
    to: ReplyTo,
    request: &InitProducerIdRequest,
    out: &mut Vec<Effect>,
) {
    // An id without an epoch, or an epoch without an id, is nobody's (KIP-360).
    let is_half_known = (request.producer_id == -1) != (request.producer_epoch == -1);
    if is_half_known {
        return answer(to, Err(ErrorCode::InvalidRequest), out);
    }
    if node.producer_ids.waiting.len() >= WAITING_MAX {
        return answer(to, Err(ErrorCode::CoordinatorLoadInProgress), out);
    }
    node.producer_ids.waiting.push_back(to);
    serve(node, now, out);
}

/// A shard of transactions hears of some as soon as there are any.
pub(crate) fn ask_for_shard(node: &mut Node, now: Now, key: TopicPartition, out: &mut Vec<Effect>) {
    node.producer_ids.shards.push_back(key);
    serve(node, now, out);
}

/// A block came, or did not.
pub(crate) fn block(node: &mut Node, now: Now, block: Option<ProducerIdBlock>, out: &mut Vec<Effect>) {
    node.producer_ids.asked = false;
    match block {
        Some(block) => {
            node.producer_ids.put(block);
            serve(node, now, out);
        }
        // Retriable; whoever still wants a number asks again, and so do we.
        None => {
            node.producer_ids.not_before = now.tick.after_ms(ASK_AGAIN_MS);
            for to in std::mem::take(&mut node.producer_ids.waiting) {
                answer(to, Err(ErrorCode::CoordinatorLoadInProgress), out);
            }
            for key in std::mem::take(&mut node.producer_ids.shards) {
                node.give_producer_ids(now, key, None, out);
            }
        }
    }
}

/// Sees to it that there are some before they are wanted.
pub(crate) fn keep_some(node: &mut Node, now: Now, out: &mut Vec<Effect>) {
    let ids = &node.producer_ids;
    if ids.is_low() && !ids.asked && ids.not_before <= now.tick && may_run_out(node) {
        ask(node, now, out);
    }
}

/// When [`keep_some`] has something to do at the latest.
pub(crate) fn next_wake(node: &Node) -> Option<Tick> {
    let ids = &node.producer_ids;
    Some(ids.not_before).filter(|_| ids.is_low() && !ids.asked && may_run_out(node))
}

/// Whether there is a controller to ask, and may be none when numbers are wanted. Who is alone asks itself.
fn may_run_out(node: &Node) -> bool {
    let has_others = 1 < node.image.brokers().len();
    has_others && node.is_active() && node.stopping.is_none() && node.metadata.controller_id().is_some()
}

fn ask(node: &mut Node, now: Now, out: &mut Vec<Effect>) {
    node.producer_ids.asked = true;
    node.ask_producer_ids(now, out);
}

fn serve(node: &mut Node, now: Now, out: &mut Vec<Effect>) {
    while let Some(to) = node.producer_ids.waiting.pop_front() {
        let Some(id) = node.producer_ids.take() else {
            node.producer_ids.waiting.push_front(to);
            break;
        };
        answer(to, Ok(id), out);
    }
    while let Some(key) = node.producer_ids.shards.pop_front() {
        let Some(block) = node.producer_ids.take_block(OF_SHARD) else {
            node.producer_ids.shards.push_front(key);
            break;
        };
        node.give_producer_ids(now, key, Some(block), out);
    }
    let is_wanted = !node.producer_ids.waiting.is_empty() || !node.producer_ids.shards.is_empty();
    if is_wanted && !node.producer_ids.asked {
        ask(node, now, out);
    }
}

fn answer(to: ReplyTo, result: Result<ProducerId, ErrorCode>, out: &mut Vec<Effect>) {
    let response = match result {
        Ok(id) => InitProducerIdResponse { producer_id: id.0, producer_epoch: 0, ..Default::default() },
        Err(code) => InitProducerIdResponse {
            error_code: code.code(),
            producer_id: -1,
            producer_epoch: -1,
            ..Default::default()
        },
    };
    out.push(Effect::Reply { to, reply: Reply::Ready(Response::InitProducerId(response)) });
}
