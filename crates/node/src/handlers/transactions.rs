//! Requests about transactions: their coordinators' shards decide.

use klamm_coordinator::transaction::Identity;
use klamm_model::{ErrorCode, ProducerEpoch, ProducerId};
use klamm_wire::{AddOffsetsToTxnRequest, InitProducerIdResponse, Request, Response, TxnOffsetCommitRequest};

use super::{groups, reply};
use crate::{
    Effect, Listener, Now, ReplyTo,
    codec::{offsets, transactions},
    coordinators::{
        Kind, find,
        held::{Line, Then, Waiting},
    },
    node::Node,
};

/// `false`: it is about something else.
pub(super) fn is_about_transactions(request: &Request) -> bool {
    match request {
        Request::InitProducerId(it) => it.transactional_id.is_some(),
        Request::AddPartitionsToTxn(_)
        | Request::AddOffsetsToTxn(_)
        | Request::EndTxn(_)
        | Request::TxnOffsetCommit(_)
        | Request::WriteTxnMarkers(_)
        | Request::DescribeTransactions(_)
        | Request::ListTransactions(_) => true,
        _ => false,
    }
}

pub(super) fn handle(
    node: &mut Node,
    now: Now,
    to: ReplyTo,
    (listener, version): (Listener, i16),
    request: Request,
    out: &mut Vec<Effect>,
) {
    match request {
        Request::WriteTxnMarkers(it) => node.write_txn_markers(now, to, (listener, version), it, out),
        Request::TxnOffsetCommit(it) => commit_offsets(node, now, to, version, it, out),
        Request::AddOffsetsToTxn(it) => add_offsets(node, now, to, version, &it, out),
        Request::InitProducerId(it)
            if (it.producer_id == -1) != (it.producer_epoch == -1)
                || it.transactional_id.as_deref() == Some("") =>
        {
            // An id without an epoch, or an epoch without an id, is nobody's (KIP-360); nor is a name without letters.
            let (producer_id, producer_epoch) = (-1, -1);
            let error_code = ErrorCode::InvalidRequest.code();
            let response =
                InitProducerIdResponse { error_code, producer_id, producer_epoch, ..Default::default() };
            reply(to, Response::InitProducerId(response), out);
        }
        request => {
            if let Some(parts) = transactions::take_apart(request, version, &node.image) {
                groups::ask_all(node, now, to, version, Kind::Transactions, parts, out);
            }
        }
    }
}

fn add_offsets(
    node: &mut Node,
    now: Now,
    to: ReplyTo,
    version: i16,
    request: &AddOffsetsToTxnRequest,
    out: &mut Vec<Effect>,
) {
    // It need not be there yet: producers look for the group's coordinator, who has it made, after they have asked for this.
    let topic = node.image.topic_named(Kind::Groups.topic());
    let partition_count =
        topic.map_or(node.config.offsets_topic.partition_count as usize, |it| it.partitions.len());
    let partition = find::partition_of(&request.group_id, partition_count);
    let parts = transactions::add_offsets(request, partition);
    groups::ask_all(node, now, to, version, Kind::Transactions, parts, out);
}

/// Offsets of a transaction: its coordinator hears of them before the group's does.
fn commit_offsets(
    node: &mut Node,
    now: Now,
    to: ReplyTo,
    version: i16,
    request: TxnOffsetCommitRequest,
    out: &mut Vec<Effect>,
) {
    /// From this version on, what is committed becomes part of the transaction by itself (KIP-890).
    const ADDS: i16 = 5;
    let transactional_id = request.transactional_id.clone();
    let producer =
        Identity { producer: ProducerId(request.producer_id), epoch: ProducerEpoch(request.producer_epoch) };
    let line = Line { connection: to.connection, producer };
    let (response, asked) = offsets::txn_commit(request, version, &node.image);
    let mut ids = node.coordinators.answers.begin(to, version, response, usize::from(asked.is_some()), out);
    let Some((id, asked)) = ids.next().zip(asked) else { return };
    match node.shard_of(Kind::Groups, &asked.group) {
        Ok(shard) => {
            let then = Then::Offsets { id, version, shard, asked };
            node.take_in_turn(now, Waiting::new(line, transactional_id, then, ADDS <= version), out);
        }
        Err(code) => node.coordinators.answers.fail(id, code, out),
    }
}
