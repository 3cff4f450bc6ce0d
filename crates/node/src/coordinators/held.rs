//! Requests of transactional producers that the transaction's coordinator must hear of first (KIP-890): what is written to a partition that it does not know of
//! would never get a mark, and nothing behind it would ever be stable.

use klamm_coordinator::{
    RequestId,
    group::Request as GroupRequest,
    record::{Partitions, TransactionVersion},
    transaction::{AddPartitions, Identity, Reply, Request},
};
use klamm_model::{ErrorCode, PartitionIndex, TopicPartition};
use klamm_wire::{
    AddPartitionsToTxnRequest, Request as WireRequest, Response,
    add_partitions_to_txn::{AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction},
};
use rustc_hash::FxHashMap;

use super::{Asked, Kind, Said};
use crate::{
    ConnectionId, Effect, Now, PeerFailure, ReplyTo, calls::Purpose, errors::ToCode, handlers::produce,
    node::Node, prepare::Produce,
};

/// The version in which brokers ask one another.
const VERSION: i16 = 5;

/// All that are held, by what their coordinator's shard here was asked under.
#[derive(Default)]
pub(crate) struct Held {
    waiting: FxHashMap<RequestId, (Waiting, Option<TopicPartition>)>,
}

/// A request that is held.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) then: Then,
    /// Its producer speaks the newer protocol: whatever it writes to becomes part of its transaction.
    pub(crate) adds: bool,
}

/// What is done once the transaction covers it.
#[derive(Debug)]
pub(crate) enum Then {
    /// Records are appended.
    Produce {
        to: ReplyTo,
        version: i16,
        produce: Produce,
        /// How many marks each of its partitions had. One more may have ended the very transaction.
        marks: Vec<(TopicPartition, u64)>,
    },
    /// Offsets are kept for a group, for the answer of this number.
    Offsets { id: RequestId, version: i16, group: String, asked: GroupRequest },
}

impl Held {
    pub(super) fn take(&mut self, id: RequestId) -> Option<Waiting> {
        self.waiting.remove(&id).map(|(waiting, _)| waiting)
    }

    pub(super) fn belongs_to(&mut self, id: RequestId, shard: TopicPartition) {
        if let Some((_, place)) = self.waiting.get_mut(&id) {
            *place = Some(shard);
        }
    }

    pub(super) fn forget(&mut self, connection: ConnectionId) {
        self.waiting.retain(|_, (waiting, _)| match &waiting.then {
            Then::Produce { to, .. } => to.connection != connection,
            // Its answer is forgotten elsewhere.
            Then::Offsets { .. } => true,
        });
    }
}

impl Node {
    /// Asks the coordinator of a transaction whether it covers these partitions, or has it cover them.
    pub(crate) fn hold(
        &mut self,
        now: Now,
        (transactional_id, producer): (&str, Identity),
        partitions: Partitions,
        waiting: Waiting,
        out: &mut Vec<Effect>,
    ) {
        let leader = self.shard_of(Kind::Transactions, transactional_id).ok().and_then(|key| {
            let leader = self.image.partition(key)?.leader?;
            Some((key, leader))
        });
        let Some((key, leader)) = leader else {
            return self.refuse_held(waiting, ErrorCode::CoordinatorNotAvailable, out);
        };
        if leader != self.config.broker_id {
            let request = asking(transactional_id, producer, &partitions, !waiting.adds);
            let request = WireRequest::AddPartitionsToTxn(request);
            return self.send(leader, Purpose::Verify(Box::new(waiting)), request, VERSION, out);
        }
        let asked = AddPartitions {
            transactional_id: transactional_id.to_owned(),
            producer,
            partitions,
            version: TransactionVersion::V2,
        };
        let asked = if waiting.adds { Request::AddPartitions(asked) } else { Request::Verify(asked) };
        let id = self.coordinators.answers.own_request();
        self.coordinators.held.waiting.insert(id, (waiting, None));
        self.ask_shard(now, key, id, Asked::Transaction(asked), out);
    }

    /// The coordinator's shard here has answered.
    pub(super) fn verified(&mut self, now: Now, waiting: Waiting, said: Said, out: &mut Vec<Effect>) {
        let code = match said {
            Said::Transaction(Reply::AddPartitions(Ok(()))) => ErrorCode::None,
            Said::Transaction(Reply::Verify(Ok(missing))) if missing.is_empty() => ErrorCode::None,
            Said::Transaction(Reply::Verify(Ok(_))) => ErrorCode::TransactionAbortable,
            Said::Transaction(Reply::AddPartitions(Err(error)) | Reply::Verify(Err(error))) => error.code(),
            other => panic!("{other:?} is no answer to whether a transaction covers partitions"),
        };
        self.go_on(now, waiting, code, out);
    }

    /// Another broker, which has the coordinator's shard, has answered.
    pub(crate) fn verify_answered(
        &mut self,
        now: Now,
        waiting: Waiting,
        answer: Result<Response, PeerFailure>,
        out: &mut Vec<Effect>,
    ) {
        let code = match answer {
            Ok(Response::AddPartitionsToTxn(response)) => {
                let topics = response.results_by_transaction.iter().flat_map(|it| &it.topic_results);
                let codes = topics.flat_map(|it| &it.results_by_partition).map(|it| it.partition_error_code);
                let first = [response.error_code].into_iter().chain(codes).find(|code| *code != 0);
                ErrorCode::from_code(first.unwrap_or(0)).unwrap_or(ErrorCode::UnknownServerError)
            }
            Ok(_) | Err(_) => ErrorCode::CoordinatorNotAvailable,
        };
        self.go_on(now, waiting, code, out);
    }

    fn go_on(&mut self, now: Now, waiting: Waiting, code: ErrorCode, out: &mut Vec<Effect>) {
        if code != ErrorCode::None {
            return self.refuse_held(waiting, code, out);
        }
        match waiting.then {
            Then::Offsets { id, group, asked, .. } => {
                self.ask_about(now, &group, id, Asked::Group(asked), out)
            }
            Then::Produce { to, version, produce, marks } => {
                let is_as_before = |(key, count): &(TopicPartition, u64)| {
                    self.hosted.get(key).is_none_or(|hosted| hosted.marks_count == *count)
                };
                if marks.iter().all(is_as_before) {
                    return produce::append_all(self, now, to, version, produce, out);
                }
                // The transaction may have ended meanwhile: the client sends it again, and it is looked anew.
                out.push(produce::refused(to, version, &produce, ErrorCode::NotEnoughReplicas));
            }
        }
    }

    pub(super) fn refuse_held(&mut self, waiting: Waiting, why: ErrorCode, out: &mut Vec<Effect>) {
        let Waiting { then, adds } = waiting;
        match then {
            Then::Offsets { id, version, .. } => {
                let code = match why {
                    // This is not about the group's coordinator, which whoever asks has found.
                    ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable => {
                        ErrorCode::CoordinatorLoadInProgress
                    }
                    ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
                    ErrorCode::TransactionAbortable if version < OFFSETS_KNOW_ABORTABLE => {
                        ErrorCode::InvalidTxnState
                    }
                    code => code,
                };
                self.coordinators.answers.fail(id, code, out);
            }
            Then::Produce { to, version, produce, .. } => {
                let code = match why {
                    // Producers know these of their own coordinator only; this one makes them send the batch again.
                    ErrorCode::NotCoordinator
                    | ErrorCode::CoordinatorNotAvailable
                    | ErrorCode::CoordinatorLoadInProgress => ErrorCode::NotEnoughReplicas,
                    ErrorCode::ConcurrentTransactions if !adds => ErrorCode::NotEnoughReplicas,
                    ErrorCode::TransactionAbortable if version < ABORTABLE_IS_KNOWN => {
                        ErrorCode::InvalidTxnState
                    }
                    ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
                    code => code,
                };
                out.push(produce::refused(to, version, &produce, code));
            }
        }
    }

    /// A shard is gone, and with it the answers that it owes.
    pub(super) fn refuse_held_by(&mut self, shard: TopicPartition, why: ErrorCode, out: &mut Vec<Effect>) {
        let is_its = |(id, (_, place)): (&RequestId, &(Waiting, Option<TopicPartition>))| {
            (*place == Some(shard)).then_some(*id)
        };
        let mut ids: Vec<RequestId> = self.coordinators.held.waiting.iter().filter_map(is_its).collect();
        ids.sort_unstable();
        for id in ids {
            let waiting = self.coordinators.held.take(id).expect("it was just listed");
            self.refuse_held(waiting, why, out);
        }
    }
}

/// From these versions on, producers know that they may abort and go on.
const ABORTABLE_IS_KNOWN: i16 = 11;
const OFFSETS_KNOW_ABORTABLE: i16 = 4;

fn asking(
    transactional_id: &str,
    producer: Identity,
    partitions: &Partitions,
    verify_only: bool,
) -> AddPartitionsToTxnRequest {
    let topic = |(name, partitions): (&String, &std::collections::BTreeSet<PartitionIndex>)| {
        AddPartitionsToTxnTopic { name: name.clone(), partitions: partitions.iter().map(|it| it.0).collect() }
    };
    let transaction = AddPartitionsToTxnTransaction {
        transactional_id: transactional_id.to_owned(),
        producer_id: producer.producer.0,
        producer_epoch: producer.epoch.0,
        verify_only,
        topics: partitions.iter().map(topic).collect(),
    };
    AddPartitionsToTxnRequest { transactions: vec![transaction], ..Default::default() }
}
