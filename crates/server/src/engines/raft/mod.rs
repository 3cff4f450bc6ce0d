//! The engine of a cluster of several nodes: openraft, on a log and a network of our own (`docs/decisions/0005-openraft.md`).
//!
//! ```text
//!   node --orders--> driver --> openraft --> store --jobs--> disk thread --> log, vote
//!    ^                 |  \        |
//!    |             detector \      +--> network --> links --> other members
//!    '--- teller <--- seat <-'--- machine (applied)
//! ```
//! All of it but the writing is on one thread, which never waits for the node's lock: a thread of its own tells the node.

mod detector;
mod disk;
mod driver;
mod finders;
mod hub;
mod links;
mod lost;
mod machine;
mod network;
mod progress;
mod seat;
mod sightings;
mod snapshot;
mod store;
pub(crate) mod succession;
#[cfg(test)]
mod tests;
mod types;
mod vote;
mod voters;

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
};

use klamm_log::{DiskError, Files, FilesError, Log, LogDir};
use klamm_model::BrokerId;
use klamm_node::{BROKER_LISTENER, Event, NodeConfig};
use klamm_quorum::{
    Output,
    raft_log::{DIRECTORY, PARTITION, RaftLog, log_config},
    snapshot::{self as snapshot_file, FILE_NAME},
    stored::SnapshotEnd,
};
use klamm_wire::{Ballot, Greeting, GreetingPurpose};
use openraft::{Membership, entry::RaftPayload};
use uuid::Uuid;

use self::{
    snapshot::{RaftSnapshot, RaftSnapshotError},
    types::{Address, Entry, broker, from_stored},
    vote::{Kept, VoteError},
};
use super::RaftEnds;
use crate::{
    identity,
    shared::{Performer, Shared},
};

/// How this node greets.
pub(crate) type Greet = Arc<dyn Fn(GreetingPurpose) -> Greeting + Send + Sync>;

/// Why a node must not get metadata, by its greeting.
pub(crate) type TooOld = Arc<dyn Fn(&Greeting) -> Option<String> + Send + Sync>;

/// Whose log, and where.
pub(crate) struct RaftConfig {
    pub(crate) me: BrokerId,
    /// The log is in the first data directory, and the vote beside it.
    pub(crate) files: Arc<Files>,
}

/// A node that votes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Member {
    pub(crate) id: BrokerId,
    /// The disk with its log and vote.
    pub(crate) directory: Uuid,
    /// Of the listener that is for nodes.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// An engine that has read its disk, and has not written anything.
pub(crate) struct OpenedRaft {
    me: BrokerId,
    files: Arc<Files>,
    log: Option<RaftLog>,
    entries: VecDeque<Entry>,
    kept: Kept,
    snapshot: Option<RaftSnapshot>,
}

/// What is on the disk cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RaftError {
    #[error(transparent)]
    Files(#[from] FilesError),
    #[error(transparent)]
    Vote(#[from] VoteError),
    #[error(
        "the metadata log is there, but not the file {0} that says whom this node voted for: without it the node could vote twice; bring it back, or start as a new node",
        vote::FILE_NAME
    )]
    VoteLost,
    #[error(
        "the file {0} is there, but not the metadata log that belongs to it: the node may have forgotten what it promised; bring it back, or start as a new node",
        vote::FILE_NAME
    )]
    LogLost,
    #[error(
        "the metadata log has entries of term {log}, the file {name} is of term {kept}: it is an old copy", name = vote::FILE_NAME
    )]
    VoteOld { log: u64, kept: u64 },
    #[error(
        "the metadata log has no entries before {start}, and {snapshot}: the file {name} that belongs to it is gone; bring it back, or start as a new node",
        name = FILE_NAME
    )]
    SnapshotLost { start: u64, snapshot: SnapshotEnd },
    #[error(transparent)]
    Snapshot(#[from] RaftSnapshotError),
    #[error("the metadata log is not in the first of log.dirs")]
    Elsewhere,
    #[error(
        "the metadata log ends before entry {end}, but the file {name} says that a lone node's ended before entry {promised}: one of them is an old copy",
        name = vote::FILE_NAME
    )]
    Succession { end: u64, promised: u64 },
    #[error("the metadata log cannot be taken over: {0}")]
    Disk(#[from] DiskError),
    #[error("{name}: {0}", name = vote::FILE_NAME)]
    Promise(io::Error),
    #[error("{0}")]
    Log(String),
    #[error("metadata entry {index}: {problem}")]
    Entry { index: u64, problem: String },
}

/// Whether there is such an engine's log in the first data directory, and not a lone node's or none.
pub(crate) fn is_here(data_dir: &Path) -> bool {
    std::fs::symlink_metadata(data_dir.join(vote::FILE_NAME)).is_ok()
}

/// Reads log and vote.
pub(crate) fn open(config: RaftConfig) -> Result<OpenedRaft, RaftError> {
    let RaftConfig { me, files } = config;
    let kept = vote::read(&data_dir(&files))?;
    let found = files.partitions()?.into_iter().find(|it| it.directory == DIRECTORY);
    if found.as_ref().is_some_and(|it| it.log_dir != LogDir::default()) {
        return Err(RaftError::Elsewhere);
    }
    let opened = match (kept, found) {
        (None, Some(_)) => return Err(RaftError::VoteLost),
        (Some(kept), None) if kept != Kept::default() => return Err(RaftError::LogLost),
        (_, None) => OpenedRaft {
            me,
            files,
            log: None,
            entries: VecDeque::new(),
            kept: Kept::default(),
            snapshot: None,
        },
        (Some(kept), Some(_)) => recover(me, files, kept)?,
    };
    let of_log = opened.entries.back().map(|it| it.log_id);
    let newest = of_log.max(opened.snapshot.as_ref().and_then(|it| it.applied));
    let log = newest.map_or(0, |it| it.leader_id.term);
    let kept = opened.kept.vote.term;
    if kept < log { Err(RaftError::VoteOld { log, kept }) } else { Ok(opened) }
}

fn recover(me: BrokerId, files: Arc<Files>, kept: Kept) -> Result<OpenedRaft, RaftError> {
    let problem = |error: &dyn std::fmt::Display| RaftError::Log(error.to_string());
    let directory = files.adopt(PARTITION, DIRECTORY);
    let (log, report) = Log::recover(PARTITION, DIRECTORY.to_owned(), log_config(), &directory)
        .map_err(|error| problem(&error))?;
    if let Some(range) = report.damaged.first() {
        // Entries that this node told others it has are gone: another may rely on them.
        return Err(RaftError::Log(format!("the metadata log: {range}")));
    }
    if report.cut_bytes > 0 {
        tracing::warn!(?report, "a torn tail is cut off the metadata log");
    }
    let mut read =
        |segment, kind, position, buffer: &mut [u8]| files.read_at(segment, kind, position, buffer);
    let (log, stored) = RaftLog::recovered(log, &mut read).map_err(|error| problem(&error))?;
    // What was noted as given up, and is there still, may be a lone node's.
    let given_up = kept.purged.map_or(0, |it| it.index + 1);
    let stored = stored.into_iter().filter(|it| given_up <= it.index);
    let entry = |stored: klamm_quorum::raft_log::Stored| {
        let index = stored.index;
        from_stored(stored).map_err(|error| RaftError::Entry { index, problem: error.to_string() })
    };
    let entries = stored.map(entry).collect::<Result<_, _>>()?;
    let kept_snapshot = snapshot_file::read(&directory).map_err(RaftSnapshotError::from)?;
    let snapshot = kept_snapshot.map(RaftSnapshot::from_kept).transpose()?;
    let start = log.start_index().max(given_up);
    let end = snapshot.as_ref().map(|it| it.applied.map_or(0, |it| it.index + 1));
    if end.unwrap_or(0) < start {
        return Err(RaftError::SnapshotLost { start, snapshot: SnapshotEnd(end) });
    }
    let kept = Kept { alone_until: None, ..kept };
    Ok(OpenedRaft { me, files, log: Some(log), entries, kept, snapshot })
}

fn data_dir(files: &Files) -> PathBuf {
    files.data_dirs()[0].path().to_owned()
}

impl OpenedRaft {
    /// It has never voted and has no entries: it belongs to no cluster yet, as far as this engine knows.
    pub(crate) fn is_pristine(&self) -> bool {
        self.kept.vote == Ballot::default() && self.entries.is_empty() && self.snapshot.is_none()
    }

    /// Says on the disk that it is this engine's, before anything is promised to anybody: if the files are gone later, they were lost.
    pub(crate) fn keep(&self) -> io::Result<()> {
        vote::store(&data_dir(&self.files), &self.kept)
    }
}

impl OpenedRaft {
    /// The node's state as of its snapshot.
    pub(crate) fn state(&self) -> Option<&[u8]> {
        self.snapshot.as_ref().map(|it| &*it.snapshot.state)
    }

    /// Its snapshot has the entries of the Raft before this one.
    fn snapshot_end(&self) -> u64 {
        self.snapshot.as_ref().and_then(|it| it.applied).map_or(0, |it| it.index + 1)
    }

    /// The members as its log has them, committed or not.
    pub(crate) fn members(&self) -> Vec<Member> {
        let nodes = self.membership().into_iter().flat_map(Membership::nodes);
        nodes.map(|(id, address)| Member::at(broker(*id), address)).collect()
    }

    /// Whether by that this node has a vote.
    pub(crate) fn is_voter(&self) -> bool {
        self.membership().is_some_and(|it| it.voter_ids().any(|id| broker(id) == self.me))
    }

    fn membership(&self) -> Option<&Membership<u64, Address>> {
        let mut in_log = self.entries.iter().rev().filter_map(RaftPayload::get_membership);
        in_log.next().or(self.snapshot.as_ref().map(|it| it.membership.membership()))
    }
}

impl Member {
    /// This node, as others call it.
    pub(crate) fn of(node: &NodeConfig) -> Option<Self> {
        let own = node.endpoints.iter().find(|it| it.name == BROKER_LISTENER)?;
        Some(Self { id: node.broker_id, directory: node.directory, host: own.host.clone(), port: own.port })
    }

    fn address(&self) -> Address {
        Address { directory: self.directory, host: self.host.clone(), port: self.port }
    }

    fn at(id: BrokerId, Address { directory, host, port }: &Address) -> Self {
        Self { id, directory: *directory, host: host.clone(), port: *port }
    }
}

/// Everything that the engine's own thread needs.
struct Setup {
    opened: OpenedRaft,
    found: Option<Vec<Member>>,
    greet: Greet,
    too_old: TooOld,
    ends: RaftEnds,
    tell: Box<dyn FnMut(Output) + Send>,
    /// Has other nodes asked to let this one in.
    ask: Box<dyn FnMut() + Send>,
    world: disk::World,
    seed: u64,
    /// Where other nodes are to call this one, if it is known.
    own: Option<Member>,
    /// Nothing gets through to these nodes.
    cut: Option<Arc<dyn Fn(BrokerId) -> bool + Send + Sync>>,
}

/// Starts the engine on threads of its own. `found` is for the founder alone: the cluster begins with exactly these voters. `ask` has other nodes asked to let this one
/// in, as often as it is called. The thread ends by telling whether all of the log is on disk.
pub(crate) fn start_raft(
    shared: Arc<Shared>,
    opened: OpenedRaft,
    found: Option<Vec<Member>>,
    greet: Greet,
    ask: Box<dyn FnMut() + Send>,
    ends: RaftEnds,
) -> io::Result<thread::JoinHandle<bool>> {
    let seed = identity::random_uuid()?.as_u64_pair().0;
    // Whoever greets before the engine has begun is answered right.
    ends.members.lock().extend(opened.members().into_iter().map(|it| (it.id, it)));
    let (tell, told) = mpsc::channel();
    let teller = Arc::clone(&shared);
    let teller =
        thread::Builder::new().name("metadata".to_owned()).spawn(move || tell_node(teller, &told))?;
    let greeter = Arc::clone(&shared.greeter);
    let own = Member::of(&shared.config.node);
    let (operated, fail) = (Arc::clone(&shared), shared);
    let setup = Setup {
        world: disk::World {
            files: Arc::clone(&opened.files),
            data_dir: data_dir(&opened.files),
            snapshot_end: opened.snapshot_end(),
            operated: Box::new(move |op, took| operated.metrics.operated(op, took)),
            voted: Box::new(|took| tracing::debug!(ms = took.as_millis() as u64, "a vote was written")),
            fail: Box::new(move |reason| fail.fail(reason)),
        },
        opened,
        found,
        greet,
        too_old: Arc::new(move |answer| greeter.why_too_old(answer)),
        ends,
        // The teller ends only after this.
        tell: Box::new(move |output| drop(tell.send(output))),
        ask,
        seed,
        own,
        cut: None,
    };
    thread::Builder::new().name("quorum".to_owned()).spawn(move || {
        let is_whole = driver::run(setup);
        if teller.join().is_err() {
            tracing::error!("the thread that tells the node of metadata had panicked");
        }
        is_whole
    })
}

/// Steps the node with what the engine says, which takes its lock, and performs what comes of it.
fn tell_node(shared: Arc<Shared>, told: &mpsc::Receiver<Output>) {
    /// Entries that are told under one lock.
    const TOLD_MAX: usize = 256;
    let mut performer = Performer::new(shared, None);
    while let Ok(output) = told.recv() {
        let outputs = std::iter::once(output).chain(told.try_iter().take(TOLD_MAX));
        performer.events.extend(outputs.map(Event::Quorum));
        performer.run();
    }
}
