//! Requests of transactional producers that the transaction's coordinator must hear of first (KIP-890): what is written to a partition that it does not know of
//! would never get a mark, and nothing behind it would ever be stable.
//!
//! ```text
//!  request ──▶ nothing begins with it ─────────────────────────────────────────────────▶ carried out
//!         └──▶ a transaction begins: its coordinator is asked ──▶ it covers the partition, and no mark came since ──▶ carried out
//!                                    ▲                       ├──▶ refused, and with it what came behind for the same partition
//!                                    └───────────────────────┴──  it does, but a mark came since: that of the transaction before, if all is well
//! ```
//! As long as a request is held, its producer's later ones by the same connection wait behind it, so that sequence numbers and offsets keep their order.

use std::collections::{BTreeMap, VecDeque};

use klamm_coordinator::{
    RequestId,
    group::{Request as GroupRequest, TxnCommit},
    record::{Partitions, TransactionVersion},
    transaction::{AddPartitions, Identity, Reply, Request},
};
use klamm_log::TransactionGuard;
use klamm_model::{ErrorCode, PartitionIndex, Tick, TopicPartition};
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

/// So often a coordinator is asked again, as marks came while it was asked. After that the client is to send it again.
const OVERTAKEN_MAX: u32 = 3;

/// All that are held.
#[derive(Default)]
pub(crate) struct Held {
    /// By what the coordinator was asked under, with its shard if that is here.
    asked: FxHashMap<RequestId, (Waiting, Option<TopicPartition>)>,
    /// Those whose coordinator has answered, in the order of the answers.
    answered: VecDeque<(Waiting, Word)>,
    /// Who waits behind one of them, in the order they came in.
    behind: FxHashMap<Line, VecDeque<Waiting>>,
}

/// The requests of a producer that came by one connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Line {
    pub(crate) connection: ConnectionId,
    pub(crate) producer: Identity,
}

/// A request that may have to be held.
#[derive(Debug)]
pub(crate) struct Waiting {
    line: Line,
    transactional_id: String,
    then: Then,
    /// Its producer speaks the newer protocol: whatever it writes to becomes part of its transaction.
    adds: bool,
    /// The partitions that its coordinator is asked about, as they were then: a mark that came since has ended the very transaction.
    asked: BTreeMap<TopicPartition, TransactionGuard>,
    /// Partitions that are not written to, and why.
    refused: Refused,
    /// How often the coordinator was asked in vain, as a mark came meanwhile.
    overtaken: u32,
    /// Since when the coordinator is asked.
    asked_at: Tick,
}

/// Partitions that are not written to, and what their producer is told.
pub(crate) type Refused = BTreeMap<TopicPartition, ErrorCode>;

/// What is done once the transaction covers it.
#[derive(Debug)]
pub(crate) enum Then {
    /// Records are appended.
    Produce { to: ReplyTo, version: i16, produce: Produce },
    /// Offsets are kept for a group, by this shard, for the answer of this number.
    Offsets { id: RequestId, version: i16, shard: TopicPartition, asked: TxnCommit },
}

/// What a coordinator says of the partitions that it was asked about.
#[derive(Debug)]
struct Word {
    of_all: ErrorCode,
    but: BTreeMap<String, BTreeMap<PartitionIndex, ErrorCode>>,
}

impl Word {
    fn all(of_all: ErrorCode) -> Self {
        Self { of_all, but: BTreeMap::new() }
    }

    fn of(&self, topic: &str, partition: PartitionIndex) -> ErrorCode {
        let but = self.but.get(topic).and_then(|partitions| partitions.get(&partition));
        but.copied().unwrap_or(self.of_all)
    }
}

impl Held {
    /// The coordinator's shard here has that request now: if it goes, so does the request.
    pub(super) fn belongs_to(&mut self, id: RequestId, shard: TopicPartition) {
        if let Some((_, place)) = self.asked.get_mut(&id) {
            *place = Some(shard);
        }
    }

    /// `false`: it is not about a request that is held.
    pub(super) fn answer(&mut self, id: RequestId, said: &Said) -> bool {
        let is_held = self.asked.contains_key(&id);
        if is_held {
            self.take_word(id, word_of(said));
        }
        is_held
    }

    /// The same if there is no answer.
    pub(super) fn fail(&mut self, id: RequestId, why: ErrorCode) -> bool {
        let is_held = self.asked.contains_key(&id);
        self.take_word(id, Word::all(why));
        is_held
    }

    fn take_word(&mut self, id: RequestId, word: Word) {
        let waiting = self.asked.remove(&id).map(|(waiting, _)| (waiting, word));
        self.answered.extend(waiting);
    }

    /// A shard is gone, and with it the answers that it owes.
    pub(super) fn fail_all(&mut self, shard: TopicPartition, why: ErrorCode) {
        let of_shard =
            |(_, (_, place)): &(&RequestId, &(Waiting, Option<TopicPartition>))| *place == Some(shard);
        let mut ids: Vec<RequestId> = self.asked.iter().filter(of_shard).map(|(id, _)| *id).collect();
        ids.sort_unstable();
        for id in ids {
            self.fail(id, why);
        }
    }

    pub(super) fn forget(&mut self, connection: ConnectionId) {
        self.asked.retain(|_, (waiting, _)| waiting.line.connection != connection);
        self.answered.retain(|(waiting, _)| waiting.line.connection != connection);
        self.behind.retain(|line, _| line.connection != connection);
    }

    /// Who is next of those behind.
    fn next_of(&mut self, line: Line) -> Option<Waiting> {
        let next = self.behind.get_mut(&line)?.pop_front();
        if next.is_none() {
            self.behind.remove(&line);
        }
        next
    }
}

impl Waiting {
    pub(crate) fn new(line: Line, transactional_id: String, then: Then, adds: bool) -> Self {
        Self {
            line,
            transactional_id,
            then,
            adds,
            asked: BTreeMap::new(),
            refused: Refused::new(),
            overtaken: 0,
            asked_at: Tick(0),
        }
    }

    /// What the producer is told where its coordinator says this.
    fn told(&self, why: ErrorCode, is_cut_off: bool) -> ErrorCode {
        // What may be sent again, whatever was in the way. Producers know the codes of coordinators of their own coordinator only, or of their group's, which
        // they have found. Where this broker reaches nobody they are to look for who has its place by now.
        let again = match (&self.then, is_cut_off) {
            (Then::Produce { .. }, false) => ErrorCode::NotEnoughReplicas,
            (Then::Produce { .. }, true) => ErrorCode::NotLeaderOrFollower,
            (Then::Offsets { .. }, false) => ErrorCode::CoordinatorLoadInProgress,
            (Then::Offsets { .. }, true) => ErrorCode::NotCoordinator,
        };
        let knows_abortable = match self.then {
            Then::Produce { version, .. } => ABORTABLE_IS_KNOWN <= version,
            Then::Offsets { version, .. } => OFFSETS_KNOW_ABORTABLE <= version,
        };
        match why {
            ErrorCode::NotCoordinator
            | ErrorCode::CoordinatorNotAvailable
            | ErrorCode::CoordinatorLoadInProgress
            // Another partition of the request was in the way.
            | ErrorCode::OperationNotAttempted => again,
            ErrorCode::ConcurrentTransactions if !self.adds => again,
            ErrorCode::TransactionAbortable if !knows_abortable => ErrorCode::InvalidTxnState,
            ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
            code => code,
        }
    }
}

impl Node {
    /// Takes a request of a transactional producer when those before it are done.
    pub(crate) fn take_in_turn(&mut self, now: Now, waiting: Waiting, out: &mut Vec<Effect>) {
        match self.coordinators.held.behind.get_mut(&waiting.line) {
            Some(behind) => behind.push_back(waiting),
            None => {
                self.attempt(now, waiting, out);
            }
        }
    }

    /// Does what is asked, or holds it until the coordinator has been asked. Tells whether it is held.
    fn attempt(&mut self, now: Now, mut waiting: Waiting, out: &mut Vec<Effect>) -> bool {
        waiting.asked = self.begun(now, &waiting, out);
        let is_held = !waiting.asked.is_empty();
        if is_held {
            self.hold(now, waiting, out);
        } else {
            self.carry_out(now, waiting, out);
        }
        is_held
    }

    /// Partitions in which a transaction begins with what is to be written.
    fn begun(
        &mut self,
        now: Now,
        waiting: &Waiting,
        out: &mut Vec<Effect>,
    ) -> BTreeMap<TopicPartition, TransactionGuard> {
        let mut begun = match &waiting.then {
            Then::Produce { version, produce, .. } => produce::begun(self, now, *version, produce),
            Then::Offsets { shard, asked, .. } => {
                // What it has decided before may have begun it.
                let is_served = self.shard_serves(*shard) && self.flush_shard(now, *shard, out);
                let hosted = self.hosted.get(shard).filter(|_| is_served);
                let guard = hosted.and_then(|it| it.replica.log().begins_unnumbered(asked.producer).ok()?);
                guard.into_iter().map(|guard| (*shard, guard)).collect()
            }
        };
        begun.retain(|key, _| !waiting.refused.contains_key(key));
        begun
    }

    /// Asks the coordinator whether the transaction covers these partitions, or has it cover them.
    fn hold(&mut self, now: Now, mut waiting: Waiting, out: &mut Vec<Effect>) {
        waiting.asked_at = now.tick;
        self.plan_periodic(now);
        self.coordinators.held.behind.entry(waiting.line).or_default();
        let mut partitions = Partitions::new();
        for key in waiting.asked.keys() {
            let name = self.hosted[key].name.to_string();
            partitions.entry(name).or_default().insert(key.partition);
        }
        let (adds, producer) = (waiting.adds, waiting.line.producer);
        let transactional_id = waiting.transactional_id.clone();
        let place = self.shard_of(Kind::Transactions, &transactional_id);
        let id = self.coordinators.answers.own_request();
        self.coordinators.held.asked.insert(id, (waiting, None));
        let leader = place.ok().and_then(|key| Some((key, self.image.partition(key)?.leader?)));
        let Some((key, leader)) = leader else {
            return self.coordinators.held.take_word(id, Word::all(ErrorCode::CoordinatorNotAvailable));
        };
        let version = TransactionVersion::V2;
        let asked = AddPartitions { transactional_id, producer, partitions, version };
        if leader != self.config.broker_id {
            let request = WireRequest::AddPartitionsToTxn(request_of(asked, !adds));
            return self.send(leader, Purpose::Verify(id), request, VERSION, out);
        }
        let asked = if adds { Request::AddPartitions(asked) } else { Request::Verify(asked) };
        self.ask_shard(now, key, id, Asked::Transaction(asked), out);
    }

    /// Another broker, which has the coordinator's shard, has answered.
    pub(crate) fn verify_answered(&mut self, id: RequestId, answer: Result<Response, PeerFailure>) {
        let mut word = Word::all(ErrorCode::CoordinatorNotAvailable);
        if let Ok(Response::AddPartitionsToTxn(response)) = answer {
            if response.error_code != 0 {
                word.of_all = ErrorCode::told(response.error_code);
            }
            for topic in response.results_by_transaction.into_iter().flat_map(|it| it.topic_results) {
                let codes = topic.results_by_partition.into_iter();
                let codes = codes
                    .map(|it| (PartitionIndex(it.partition_index), ErrorCode::told(it.partition_error_code)));
                word.but.insert(topic.name, codes.collect());
            }
        }
        self.coordinators.held.take_word(id, word);
    }

    /// Now and then: where this broker is cut off, whose coordinator has not answered for a session is not held any longer.
    pub(crate) fn look_at_held(&mut self, now: Now, is_cut_off: bool) {
        let session_ms = self.config.session_timeout_ms;
        let held = &mut self.coordinators.held;
        let is_late = |(_, (waiting, _)): &(&RequestId, &(Waiting, Option<TopicPartition>))| {
            is_cut_off && session_ms <= now.tick.ms_since(waiting.asked_at)
        };
        let mut late: Vec<RequestId> = held.asked.iter().filter(is_late).map(|(id, _)| *id).collect();
        late.sort_unstable();
        for id in late {
            held.fail(id, ErrorCode::CoordinatorNotAvailable);
        }
        if !held.asked.is_empty() {
            self.plan_periodic(now);
        }
    }

    /// Goes on with those whose coordinators have answered, and those behind. `false`: there are none.
    pub(crate) fn go_on_with_held(&mut self, now: Now, out: &mut Vec<Effect>) -> bool {
        let mut went_on = false;
        // Whoever stops has its logs at rest, and they stay so.
        while self.stopping.is_none()
            && let Some((waiting, word)) = self.coordinators.held.answered.pop_front()
        {
            went_on = true;
            let line = waiting.line;
            if self.go_on(now, waiting, &word, out) {
                continue;
            }
            while let Some(next) = self.coordinators.held.next_of(line) {
                if self.attempt(now, next, out) {
                    break;
                }
            }
        }
        went_on
    }

    /// Tells whether it is held again.
    fn go_on(&mut self, now: Now, mut waiting: Waiting, word: &Word, out: &mut Vec<Effect>) -> bool {
        let asked = std::mem::take(&mut waiting.asked);
        let is_cut_off = self.is_cut_off(now.tick);
        for key in asked.keys() {
            let Some(hosted) = self.hosted.get(key) else { continue };
            let code = word.of(&hosted.name, key.partition);
            if code != ErrorCode::None {
                waiting.refused.insert(*key, waiting.told(code, is_cut_off));
            }
        }
        // Where the coordinator was not asked, or a mark came since, its word is worth nothing.
        let begun = self.begun(now, &waiting, out);
        let is_covered = |(key, guard): (&TopicPartition, &TransactionGuard)| asked.get(key) == Some(guard);
        if !begun.iter().all(is_covered) {
            // Who begins its next transaction at once is told of it only when the marks of the last one are written, and so they come in between. In the older
            // protocol a transaction has no epoch of its own, and a mark may mean that the request is too late.
            if waiting.adds && waiting.overtaken < OVERTAKEN_MAX {
                waiting.overtaken += 1;
                waiting.asked = begun;
                self.hold(now, waiting, out);
                return true;
            }
            for (key, _) in begun.into_iter().filter(|(key, guard)| !is_covered((key, guard))) {
                waiting.refused.insert(key, waiting.told(ErrorCode::CoordinatorNotAvailable, is_cut_off));
            }
        }
        for behind in self.coordinators.held.behind.get_mut(&waiting.line).into_iter().flatten() {
            for (key, code) in &waiting.refused {
                behind.refused.entry(*key).or_insert(*code);
            }
        }
        self.carry_out(now, waiting, out);
        false
    }

    fn carry_out(&mut self, now: Now, waiting: Waiting, out: &mut Vec<Effect>) {
        match waiting.then {
            Then::Produce { to, version, produce } => {
                produce::append_all(self, now, to, version, produce, &waiting.refused, out);
            }
            Then::Offsets { id, shard, asked, .. } => {
                let begins = |it: &crate::hosted::Hosted| it.replica.log().begins_unnumbered(asked.producer);
                let stale = self.hosted.get(&shard).and_then(|it| begins(it).err()).map(|error| error.code());
                // One producer's offsets that cannot be appended must not cost the shard.
                match waiting.refused.get(&shard).copied().or(stale) {
                    Some(code) => self.coordinators.answers.fail(id, code, out),
                    None => {
                        let asked = Asked::Group(GroupRequest::TxnCommit(asked));
                        self.ask_shard(now, shard, id, asked, out);
                    }
                }
            }
        }
    }
}

/// From these versions on, producers know that they may abort and go on.
const ABORTABLE_IS_KNOWN: i16 = 11;
const OFFSETS_KNOW_ABORTABLE: i16 = 4;

fn word_of(said: &Said) -> Word {
    match said {
        Said::Transaction(Reply::AddPartitions(Ok(()))) => Word::all(ErrorCode::None),
        Said::Transaction(Reply::Verify(Ok(missing))) => {
            let missing = missing.iter().map(|(topic, partitions)| {
                let codes = partitions.iter().map(|it| (*it, ErrorCode::TransactionAbortable));
                (topic.clone(), codes.collect())
            });
            Word { of_all: ErrorCode::None, but: missing.collect() }
        }
        Said::Transaction(Reply::AddPartitions(Err(error)) | Reply::Verify(Err(error))) => {
            Word::all(error.code())
        }
        other => panic!("{other:?} is no answer to whether a transaction covers partitions"),
    }
}

fn request_of(asked: AddPartitions, verify_only: bool) -> AddPartitionsToTxnRequest {
    let topics = asked.partitions.into_iter().map(|(name, partitions)| AddPartitionsToTxnTopic {
        name,
        partitions: partitions.into_iter().map(|it| it.0).collect(),
    });
    let transaction = AddPartitionsToTxnTransaction {
        transactional_id: asked.transactional_id,
        producer_id: asked.producer.producer.0,
        producer_epoch: asked.producer.epoch.0,
        verify_only,
        topics: topics.collect(),
    };
    AddPartitionsToTxnRequest { transactions: vec![transaction], ..Default::default() }
}
