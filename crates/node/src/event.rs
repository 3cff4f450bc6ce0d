//! What can happen to a node and what it can want: the whole of its contact with the world.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use klamm_cluster::{
    Image,
    config::{Layers, broker_key},
    features::Supported,
};
use klamm_log::{DiskError, DiskOp, Done, LogDir, OpId, SegmentId, Space};
pub use klamm_model::Now;
use klamm_model::{BrokerEpoch, BrokerId, ControllerEpoch, TopicPartition};
use klamm_quorum::{Position, Registration, VoterChange};
use klamm_wire::{Request, Response};

use crate::{
    Load, Loaded, config::Given, partitions::layers, prepare::Body, reply::Reply, rules::TopicRules,
};

/// A connection, as the shell numbered it; never used twice in the life of a node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnectionId(pub u64);

/// Where an answer goes: a connection and the place of its request in that connection's order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ReplyTo {
    /// The connection the request came by.
    pub connection: ConnectionId,
    /// 0 for the first request read on the connection, then one more each.
    pub sequence: u64,
}

/// Which door a request came in by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Listener {
    /// Open to clients.
    Client,
    /// For the other brokers of the cluster only.
    Broker,
}

/// What is known about the connection a request came by.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Which door.
    pub listener: Listener,
    /// By which host this client finds this node: the local address it connected to, or what is advertised in its place.
    pub local_host: String,
    /// The port of that.
    pub local_port: u16,
    /// Where the client is.
    pub peer_host: String,
}

/// A request that was read, decoded and checked (see [`crate::prepare`]).
#[derive(Debug)]
pub struct Incoming {
    /// Where the answer goes.
    pub to: ReplyTo,
    /// The connection it came by.
    pub origin: Arc<Origin>,
    /// Version of the API it was sent in; the answer has the same.
    pub version: i16,
    /// What the client calls itself.
    pub client_id: Option<String>,
    /// What is asked.
    pub body: Body,
}

/// All that can happen to a node.
#[derive(Debug)]
pub enum Event {
    /// A client or a broker asks.
    Request(Incoming),
    /// A connection is gone; answers to it are dropped by the shell.
    Closed(ConnectionId),
    /// A disk operation ended.
    Disk {
        /// The partition whose operation it was.
        partition: TopicPartition,
        /// Which of the operations of that partition's log.
        op: OpId,
        /// How it ended.
        result: Result<Done, DiskError>,
    },
    /// A sync that was handed out has waited and begins now, or as soon as this was told, but not before: it covers what was written meanwhile. Whoever carries
    /// it out tells this once or not at all.
    SyncBegins {
        /// The partition whose operation it is.
        partition: TopicPartition,
        /// Which of the operations of that partition's log.
        op: OpId,
    },
    /// The consensus engine has news.
    Quorum(klamm_quorum::Output),
    /// The end of an [`Effect::Send`]: an answer, or why there is none.
    Peer {
        /// Who was asked.
        from: BrokerId,
        /// The token of the `Send`.
        token: u64,
        /// The answer.
        answer: Result<Response, PeerFailure>,
    },
    /// The end of an [`Effect::Load`].
    Loaded(Loaded),
    /// Somebody has read this segment, and what is there is not what was written.
    Suspect(SegmentId),
    /// Time passed.
    Tick,
    /// The answer to [`Effect::LookAtSpace`], by the numbers of the data directories; `None` where it could not be found out.
    Space(Vec<Option<Space>>),
    /// A data directory answers no more, or nothing that it answers can be believed.
    LogDirFailed(LogDir),
    /// The process is to end: others take over what this broker leads, as long as it serves. [`Effect::Left`] tells when they have.
    Leaving,
    /// The process is going to end. No request comes after it; [`Effect::AtRest`] tells when the disks have everything.
    Stopping,
}

/// Why a peer did not answer. Whether it acted on the request is unknown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PeerFailure {
    /// No connection, or it broke.
    #[error("the connection broke or could not be made")]
    Disconnected,
    /// No answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// The answer could not be read.
    #[error("the answer could not be read")]
    Garbled,
}

/// All that a node can want.
#[derive(Debug)]
pub enum Effect {
    /// Answer a request. There is exactly one `Reply` or `NoReply` for every request whose connection lives.
    Reply {
        /// The request.
        to: ReplyTo,
        /// The answer.
        reply: Reply,
    },
    /// The request wants no answer.
    NoReply {
        /// The request.
        to: ReplyTo,
    },
    /// Close a connection; no answer to its other requests is owed.
    Close {
        /// Which.
        connection: ConnectionId,
        /// For the log.
        reason: &'static str,
    },
    /// Take no more requests on a connection, and close it once those that were taken are answered, but for those that wait for records or for members of a group.
    Dismiss {
        /// Which.
        connection: ConnectionId,
        /// For the log.
        reason: &'static str,
    },
    /// Carry out a disk operation, then tell by [`Event::Disk`].
    Disk(DiskOp),
    /// Read a piece of a coordinator's log, then tell by [`Event::Loaded`].
    Load(Load),
    /// Ask another broker on its broker listener, then tell by [`Event::Peer`].
    Send {
        /// Whom.
        to: BrokerId,
        /// Comes back with the answer.
        token: u64,
        /// What.
        request: Request,
        /// In which version of the API.
        version: i16,
    },
    /// Hand a group of metadata records to the consensus engine.
    Propose {
        /// The epoch this node leads under.
        epoch: ControllerEpoch,
        /// The records.
        payload: Bytes,
    },
    /// Tell the consensus engine what the metadata come to up to here, once they are written as bytes.
    OfferSnapshot {
        /// Up to where.
        position: Position,
        /// What they come to.
        image: Image,
    },
    /// Ask the consensus engine how the quorum is; it tells by [`klamm_quorum::Output::Described`].
    DescribeQuorum,
    /// Have the consensus engine change who votes; it tells by [`klamm_quorum::Output::VotersChanged`].
    ChangeVoters(VoterChange),
    /// Tell the consensus engine of a broker that came or went.
    Registration(Registration),
    /// The newest committed view, for what is answered outside the lock.
    Publish(Arc<View>),
    /// Look how much room the data directories have, then tell by [`Event::Space`].
    LookAtSpace,
    /// The cluster does not take this broker, and never will as it is: nobody is served by its going on. Tells why.
    Refused(String),
    /// The metadata have what this node does not know: it must not go on with less than the others have. Tells what.
    Outdated(String),
    /// After [`Event::Leaving`]: there is nothing more to wait for.
    Left {
        /// This broker leads nothing that another one could, and everybody knows. Else there is no controller that could see to that.
        has_handed_over: bool,
    },
    /// After [`Event::Stopping`]: no log has an operation under way or wants one.
    AtRest(Rest),
}

/// What a node leaves behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rest {
    /// Every log is on disk, with all that belongs to it: the next start need not look for what a crash left.
    pub is_whole: bool,
    /// What it was registered under.
    pub broker_epoch: Option<BrokerEpoch>,
}

/// The committed metadata as one broker shows it.
#[derive(Clone, Debug)]
pub struct View {
    /// The metadata.
    pub image: Image,
    /// The broker whose view this is.
    pub me: BrokerId,
    /// Whether the broker is registered, unfenced and serves what it leads.
    pub ready: bool,
    /// The controller, as far as this broker knows.
    pub controller: Option<BrokerId>,
    /// Whether Metadata may create topics.
    pub auto_create_topics: bool,
    /// What topics demand of the batches written to them.
    pub(crate) rules: TopicRules,
    /// Partitions whose logs here cannot be used, whatever the metadata say of this broker.
    pub(crate) offline: Arc<BTreeSet<TopicPartition>>,
    /// Brokers that may be gone: who leads their partitions is about to change, or is not.
    pub(crate) doubted: BTreeSet<BrokerId>,
    /// What the broker was told at start.
    pub given: Arc<Given>,
    /// The feature levels that it supports.
    pub(crate) supported: Arc<Supported>,
}

impl View {
    /// Where the values of this broker's keys come from.
    pub(crate) fn layers(&self) -> Layers<'_> {
        layers(&self.image, self.me, &self.given)
    }

    /// The value that one of this broker's keys has now; `None` where it has none.
    ///
    /// # Panics
    /// If there is no such key.
    pub fn broker_value(&self, name: &str) -> Option<&str> {
        let key = broker_key(name).unwrap_or_else(|| panic!("{name} has no row in the table of keys"));
        self.layers().set(name).or(self.given.defaults.get(name).map(String::as_str)).or(key.default)
    }
}
