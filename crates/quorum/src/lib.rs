//! The seam between a node and the consensus engine that orders cluster metadata.
//!
//! An engine turns proposals into one sequence of entries that is the same on every node and survives what the engine is built to survive. That is all it
//! does: it does not know what a record means. An engine may be a Raft in this process, an ensemble elsewhere, or a single log on a single disk ([`solo`]).
//!
//! What every engine promises, checked by [`contract`]:
//! - `Committed` entries come in index order, without gaps, from 0 or from a `Snapshot`; the entry of an index is the same on every node and after every restart.
//! - After a restart of the node the engine delivers again, from the start or from a snapshot.
//! - `Leader { epoch }` is given to one node at most per epoch, and epochs only grow, from 1. (A node that restarted may get its last epoch again if nothing that
//!   was proposed under it can ever be committed.) Whatever was committed before the epoch began was delivered to its leader before. A node that was deposed
//!   without knowing may be told of its epoch late, after another was told of a higher one.
//! - While a node is leader, its proposals are committed in the order they were made, each at least once. An engine that lost or reordered one must say
//!   `NoLongerLeader`. A proposal may be committed **twice** (a client of an ensemble that lost its connection cannot know), and **late**: after another node
//!   became leader, even after that one's first entries.
//! - A leader that others do not hear, so that another may be elected, is told `NoLongerLeader` within [`DEPOSED_WITHIN_MS`], if its process runs; one that stood still for
//!   less than [`LEADER_PAUSE_MS`] is not replaced for that. Groups of consumers rest on it, which are told much that changes nothing and so is committed nowhere.
//! - A proposal is at most [`PAYLOAD_BYTES_MAX`].
//! - A `Snapshot` is one that a node offered, at a position that this node has not passed, and never comes to a leader that was not deposed. Entries are given
//!   up only when a snapshot that has them is as durable as they were.
//! - `Peers` is what the engine's connections show, now and then and whenever one of them shows that a process is gone, to whoever leads. It orders nothing: an engine
//!   without connections never says it, and it may come late, twice, to somebody who leads no more, and be wrong. Nothing but time may hang on it.
//! - Every `ChangeVoters` is answered by one `VotersChanged`, which may take as long as there is no majority.
//! - Every `Describe` is answered by one `Described`, in order, unless the engine ends first. It tells how things were at some moment since it was asked for.
//!
//! What is late or double is dropped when it is applied, by [`rules`], in the same way on every node. So an engine needs no terms of its own.

use bytes::Bytes;
use klamm_model::{BrokerId, ControllerEpoch};
use uuid::Uuid;

pub mod contract;
pub mod raft_log;
pub mod rules;
pub mod snapshot;
pub mod solo;
pub mod stored;
#[cfg(test)]
mod test_disk;

pub use rules::{Accepted, EngineFault, Filter, Ignored, Position, Proposer, Verdict};

/// The largest payload of one entry. An ensemble of ZooKeeper servers refuses nodes above 1 MiB, and an entry that replicates slowly holds up all behind it.
pub const PAYLOAD_BYTES_MAX: usize = 1_000_000;

/// Within this time a node that was deposed, and runs, is told so. Meanwhile another may lead.
pub const DEPOSED_WITHIN_MS: u64 = 1_200;

/// Nobody is elected in place of a leader because that stood still for less.
pub const LEADER_PAUSE_MS: u64 = 700;

/// One committed entry: a group of metadata records that are applied together or not at all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The engine's own numbering of entries, contiguous from 0. Not the metadata offset: that counts accepted entries only, see [`rules`].
    pub index: u64,
    /// The epoch under which its proposer was leader.
    pub epoch: ControllerEpoch,
    /// What [`Proposer`] made: a sequence number, then the records.
    pub payload: Bytes,
}

/// What a node tells its engine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// Commit this, if I still am the leader of that epoch; otherwise forget it.
    Propose {
        /// From the `Leader` output that this proposal rests on.
        epoch: ControllerEpoch,
        /// Made by [`Proposer`].
        payload: Bytes,
    },
    /// The node's state up to a position: the engine may forget the entries below and give this to nodes that are behind.
    OfferSnapshot(Snapshot),
    /// How is the quorum? Whoever does not lead it knows little of the others.
    Describe,
    /// Change who votes. One at a time: the next is refused until this one is answered.
    ChangeVoters(VoterChange),
    /// A broker was registered, or unregistered, by metadata that this node has applied: every node tells, in order, also of what is long ago. An engine may do nothing
    /// about it. It may give up one who keeps the log there without a vote and is silent, once its broker is unregistered: nobody expects it back.
    Registration(Registration),
}

/// Whether a broker belongs to the cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Registration {
    /// Which.
    pub id: BrokerId,
    /// The disk that has its metadata.
    pub directory: Uuid,
    /// Or it was unregistered.
    pub is_there: bool,
}

/// A change of those who decide what is committed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VoterChange {
    /// A node that keeps the log already votes from now on.
    Add {
        /// Which.
        id: BrokerId,
        /// The disk it has the log on: the same number on another one is another node.
        directory: Uuid,
    },
    /// A voter does not vote any more, and goes on keeping the log.
    Remove {
        /// Which.
        id: BrokerId,
        /// Its disk.
        directory: Uuid,
    },
}

/// Why voters are what they were, or nobody knows.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum VoterError {
    /// It votes already, maybe with another disk.
    #[error("node {id} is a voter already")]
    IsVoter {
        /// Which.
        id: BrokerId,
    },
    /// It does not keep the log, or by another disk.
    #[error(
        "node {id} with the directory {directory} has not joined the cluster: it is started with --join first"
    )]
    NotThere {
        /// Which.
        id: BrokerId,
        /// The disk that was named.
        directory: Uuid,
    },
    /// A majority with it would have to wait for it.
    #[error("node {id} does not have all metadata yet, or is silent")]
    Behind {
        /// Which.
        id: BrokerId,
    },
    /// It does not vote, or has another disk.
    #[error("node {id} with the directory {directory} is no voter")]
    NoVoter {
        /// Which.
        id: BrokerId,
        /// The disk that was named.
        directory: Uuid,
    },
    /// With the change nothing could be decided any more, nor could it be taken back.
    #[error(
        "the voters would be {}, and no majority of them is there: {} silent, or without all metadata yet; bring back or remove who is missing first",
        list(voters),
        are(missing)
    )]
    Missing {
        /// Who would vote.
        voters: Vec<BrokerId>,
        /// Who of them is silent or behind.
        missing: Vec<BrokerId>,
    },
    /// Nobody would be left.
    #[error("the last voter cannot be removed")]
    Last,
    /// One is under way.
    #[error("another change of the quorum is under way")]
    Busy,
    /// Whoever leads has to be asked.
    #[error("this node does not lead the quorum")]
    Deposed,
    /// It was begun, and another node leads by now: it may still be committed, or be there already.
    #[error("the quorum has another leader by now, and nobody knows what became of the change")]
    Lost,
    /// Its log is one node's.
    #[error(
        "this node is a cluster of its own and listens to no other nodes: it is started with --node-listen first"
    )]
    Alone,
}

fn list(ids: &[BrokerId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn are(ids: &[BrokerId]) -> String {
    if let [only] = ids { format!("node {only} is") } else { format!("nodes {} are", list(ids)) }
}

/// What an engine tells its node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// This node may propose under this epoch. Everything committed before was delivered first.
    Leader {
        /// Higher than any before.
        epoch: ControllerEpoch,
    },
    /// This node must not propose any more; whatever it proposed and has not seen committed may or may not be.
    NoLongerLeader,
    /// Whom to send what needs a controller. A hint: it may be late.
    LeaderIs {
        /// `None` while there is an election.
        leader: Option<BrokerId>,
        /// The epoch of that leader, or the last one known.
        epoch: ControllerEpoch,
    },
    /// The next entry.
    Committed(Entry),
    /// The node's state is replaced by this one; entries go on at `position.next_index`.
    Snapshot(Snapshot),
    /// The other nodes that the engine has had a connection to.
    Peers(Vec<Peer>),
    /// The answer to `Describe`.
    Described(Description),
    /// The answer to `ChangeVoters`: the change is committed, or why it is not.
    VotersChanged(Result<(), VoterError>),
}

/// Another node, as the engine's connection to it shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Whom.
    pub id: BrokerId,
    /// The process that was at the other end.
    pub incarnation: Uuid,
    /// How long ago it last showed that it is there, without times at which the process here stood still itself.
    pub silent_ms: u64,
    /// The connection to it broke, and its port refuses another one: there is no such process any more.
    pub is_gone: bool,
    /// The newest form of metadata that it reads, as it says.
    pub metadata_form: i16,
}

/// Who keeps the engine's log, and how far each of them is, as the node that was asked knows. Positions are in the engine's own numbering, which is not that of
/// entries: an engine may keep more than those.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Description {
    /// What is before this position is committed.
    pub committed: u64,
    /// The voters, and those that only listen.
    pub replicas: Vec<ReplicaDescription>,
}

/// One of those who keep the engine's log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReplicaDescription {
    /// Whose.
    pub id: BrokerId,
    /// The disk that it is on; `None` where the engine does not tell disks apart.
    pub directory: Option<Uuid>,
    /// Whether it decides with others what is committed.
    pub is_voter: bool,
    /// It has what is before this position.
    pub end: Option<u64>,
    /// How long ago it was heard last.
    pub heard_ms: Option<u64>,
    /// How long ago it had all that the leader had.
    pub caught_up_ms: Option<u64>,
    /// Where other nodes call it, as far as the engine knows.
    pub address: Option<(String, u16)>,
}

/// A node's whole metadata state after a prefix of the entries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// Where the prefix ends, and what the rules need to know to go on from there.
    pub position: Position,
    /// The state, as the node wrote it.
    pub state: Bytes,
}
