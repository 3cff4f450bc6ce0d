//! What a shard of transactions can be asked, and what it answers.
//!
//! Every request but [`List`] is about one transactional id: the node takes requests that name several apart. It has also seen to it that the partitions are
//! there, and that whoever asks may.

use std::collections::BTreeSet;

use klamm_model::{ProducerEpoch, ProducerId, Timestamp};

use super::TransactionError;
use crate::record::{Partitions, TransactionState, TransactionVersion};
use crate::{Pattern, RequestId};

/// What a shard of transactions can be asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// From a producer that starts, or goes on after an error (KIP-360). Whatever its predecessor left open is aborted.
    Init(Init),
    /// From a producer, before it writes to partitions (until `transaction.version` 1), or from the leader of a partition that it writes to (KIP-890). A
    /// transaction begins with it. For AddOffsetsToTxn the node names the partition that has the group's offsets.
    AddPartitions(AddPartitions),
    /// From the leader of partitions that a producer writes to: does the transaction cover them?
    Verify(AddPartitions),
    /// From a producer: commit or abort.
    End(End),
    /// From an operator: the transactional id of this name.
    Describe(String),
    /// From an operator.
    List(List),
}

/// The answer to the request of the same name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// Who the producer is from now on.
    Init(Result<Identity, TransactionError>),
    /// The same for all partitions that were asked for.
    AddPartitions(Result<(), TransactionError>),
    /// Those that the transaction does not cover: their records must not be written, the producer may abort and go on.
    Verify(Result<Partitions, TransactionError>),
    /// It is decided. Who the producer is in its next transaction: somebody else, where each has an epoch of its own (version 5 of EndTxn).
    End(Result<Identity, TransactionError>),
    /// What the id is about.
    Describe(Result<Description, TransactionError>),
    /// In the order of their ids. Who may see which is the node's business.
    List(Vec<Listed>),
}

/// What a shard of transactions wants, once everything appended until then is committed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Somebody gets an answer.
    Reply(RequestId, Reply),
    /// Markers are to be written to partitions. What became of it, the node tells by [`MarkersReport`], sooner or later.
    WriteMarkers(Markers),
    /// Producer ids are running out. The node tells of a block, or that there is none. There is one such wish at a time.
    NeedProducerIds,
}

/// A producer as partitions see it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Identity {
    /// Whose records these are.
    pub producer: ProducerId,
    /// Fences whoever had a lower one.
    pub epoch: ProducerEpoch,
}

/// A producer wants to be the one with the transactional id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Init {
    /// Which.
    pub transactional_id: String,
    /// How long a transaction of its may be open.
    pub timeout_ms: i32,
    /// Who it is, if it goes on after an error; otherwise everybody before is fenced.
    pub current: Option<Identity>,
    /// Another system decides over its transactions (KIP-939).
    pub two_phase_commit: bool,
    /// A prepared transaction is not aborted (KIP-939).
    pub keep_prepared: bool,
}

/// Partitions that a transaction is to cover.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AddPartitions {
    /// Whose.
    pub transactional_id: String,
    /// Who the producer believes to be.
    pub producer: Identity,
    /// Which.
    pub partitions: Partitions,
    /// What the producer speaks: 2 from version 4 of the requests on.
    pub version: TransactionVersion,
}

/// The end of a transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct End {
    /// Whose.
    pub transactional_id: String,
    /// Who the producer believes to be.
    pub producer: Identity,
    /// Which end.
    pub outcome: Outcome,
    /// What the producer speaks: 2 from version 5 of the request on.
    pub version: TransactionVersion,
}

/// How a transaction ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// Its records count.
    Commit,
    /// Its records never were.
    Abort,
}

/// Which transactional ids are there?
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct List {
    /// Empty: whatever their state.
    pub states: BTreeSet<TransactionState>,
    /// Empty: whoever has them.
    pub producers: BTreeSet<ProducerId>,
    /// Only those whose names it stands for (KIP-1152).
    pub pattern: Option<Pattern>,
    /// Only those whose transaction began longer ago than this (KIP-994).
    pub longer_than_ms: Option<u64>,
}

/// A transactional id that is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// Its name.
    pub transactional_id: String,
    /// Who has it.
    pub producer: ProducerId,
    /// What its transaction is about.
    pub state: TransactionState,
}

/// What a transactional id is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Description {
    /// Who has it.
    pub producer: Identity,
    /// What its transaction is about.
    pub state: TransactionState,
    /// How long a transaction may be open.
    pub timeout_ms: i32,
    /// When the transaction began.
    pub started_at: Option<Timestamp>,
    /// What it has written to.
    pub partitions: Partitions,
}

/// Markers that end a transaction in its partitions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Markers {
    /// By which the report is known.
    pub id: MarkersId,
    /// Whose transaction it is.
    pub transactional_id: String,
    /// The producer that the markers speak of; with its next epoch already, where each transaction has its own.
    pub producer: Identity,
    /// What they say.
    pub outcome: Outcome,
    /// Whether each transaction has an epoch of its own.
    pub version: TransactionVersion,
    /// Where to.
    pub partitions: Partitions,
}

/// Markers that are under way. Another time they are sent under another number, by another shard too: a late report never speaks of what was sent since.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MarkersId(pub u64);

/// What became of markers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MarkersReport {
    /// Which.
    pub id: MarkersId,
    /// Whose transaction it was.
    pub transactional_id: String,
    /// The partitions that have to be tried again: leader not known or another one, not enough replicas, no answer in time, whatever it was. All others are done: the marker is committed there, or there is nothing that it could end, because the topic is gone
    /// or the partition has seen a later epoch of the producer.
    pub failed: Partitions,
    /// A partition has marks of this shard's successor, which sees to the rest.
    pub is_superseded: bool,
}
