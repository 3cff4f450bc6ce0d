//! The metadata of the cluster at a start: which engine has them, what is on the disk, and how a node without a cluster comes to one.

use std::{
    path::PathBuf,
    sync::{Arc, mpsc},
    thread,
};

use klamm_cluster::Image;
use klamm_log::{Files, FoundPartition, Log, LogDir};
use klamm_node::Roles;
use klamm_quorum::{snapshot, solo};

use crate::{
    config::Config,
    engines::{
        self, Engine, Order, RaftEnds,
        raft::{self, Greet, Member, OpenedRaft, RaftConfig},
    },
    joining::{self, Answers, Found, SAY_EVERY},
    shared::Shared,
    start::{StartError, opening, system},
};

/// What a node is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A cluster of its own.
    Alone,
    /// The same, and from now on others may join it.
    Opening,
    /// One of several that are a cluster, or are to become one.
    OneOfSeveral,
}

/// An engine that has read its log, and what it will be told by.
pub(super) enum Opened {
    Alone(Box<engines::Opened>, mpsc::Receiver<Order>),
    OneOfSeveral(Box<OpenedRaft>, RaftEnds),
}

/// Tells from time to time what a node of several waits for, until this is dropped.
pub(super) struct Watch {
    _is_over: mpsc::Sender<()>,
}

/// A running engine.
pub(super) struct Begun {
    pub(super) thread: thread::JoinHandle<bool>,
    pub(super) watch: Option<Watch>,
}

impl Kind {
    /// What is on the disk counts, and only without a cluster there what it was told to join. Who is told of other nodes, or where to listen for some, is not to
    /// stay alone.
    pub(super) fn of(config: &Config, files: &Files, found: &[FoundPartition]) -> Result<Self, StartError> {
        if raft::is_here(files.data_dirs()[0].path()) {
            return Ok(Self::OneOfSeveral);
        }
        let is_alone = found.iter().any(|it| it.directory == solo::DIRECTORY);
        let kind = match (is_alone, config.join.is_empty(), config.node_listener) {
            (false, false, _) => Self::OneOfSeveral,
            (true, false, _) => {
                tracing::warn!(
                    "this node is a cluster of its own already, which the others may join: --join is not looked at"
                );
                Self::Opening
            }
            (_, true, Some(_)) => Self::Opening,
            (_, true, None) => Self::Alone,
        };
        kind.refuse_roles(config.node.roles)?;
        Ok(kind)
    }

    /// A cluster of one node needs that for everything. Who is only a controller founds one by a list that has nobody else.
    fn refuse_roles(self, roles: Roles) -> Result<(), StartError> {
        if self == Self::OneOfSeveral || roles == Roles::BOTH {
            return Ok(());
        }
        let why = "a node that is a cluster of its own is both broker and controller; --join names the cluster that it is to be a part of";
        Err(StartError::Roles(why.to_owned()))
    }
}

/// Where the metadata are: in the first of the data directories.
fn directory(files: &Files) -> PathBuf {
    files.data_dirs()[0].path().join(solo::DIRECTORY)
}

/// Reads what is on the disk.
pub(super) fn open(
    kind: Kind,
    config: &Config,
    files: &Arc<Files>,
    found: &[FoundPartition],
) -> Result<(Engine, Opened), StartError> {
    Ok(match kind {
        Kind::Alone => {
            let opened = open_alone(config, files, found)?;
            let (engine, orders) = Engine::new();
            (engine, Opened::Alone(Box::new(opened), orders))
        }
        Kind::Opening | Kind::OneOfSeveral => {
            if kind == Kind::Opening || opening::is_under_way(files)? {
                opening::open_up(config, files, found)?;
            }
            let opened = open_one_of_several(config, files)?;
            let (engine, ends) = Engine::raft();
            (engine, Opened::OneOfSeveral(Box::new(opened), ends))
        }
    })
}

fn open_one_of_several(config: &Config, files: &Arc<Files>) -> Result<OpenedRaft, StartError> {
    if !raft::is_here(files.data_dirs()[0].path()) {
        refuse_lost(config, files)?;
    }
    let opened = raft::open(RaftConfig { me: config.node.broker_id, files: Arc::clone(files) })
        .map_err(|error| StartError::Metadata(error.to_string()))?;
    check_state(opened.state())?;
    refuse_voter(config, &opened)?;
    let has_begun = !opened.is_pristine() || config.node.cluster_id.is_some();
    if !has_begun && config.join.is_empty() {
        return Err(StartError::NotJoined);
    }
    if !opened.is_pristine() && !config.join.is_empty() {
        tracing::debug!("this node belongs to a cluster: --join is asked only where no leader is heard of");
    }
    Ok(opened)
}

/// A broker that is no controller would go on voting: by its own log it has to, and the others count on it.
fn refuse_voter(config: &Config, opened: &OpenedRaft) -> Result<(), StartError> {
    if config.node.roles.controller || !opened.is_voter() {
        return Ok(());
    }
    let me = config.node.broker_id;
    Err(StartError::Roles(format!(
        "node {me} has a vote on the cluster's metadata, and cannot be a broker only before that is taken from it while it runs (klamm cluster quorum remove {me})"
    )))
}

/// A directory that belongs to a cluster has its metadata: begun anew, they would be another history under the same name, and votes would be given twice.
pub(super) fn refuse_lost(config: &Config, files: &Files) -> Result<(), StartError> {
    let Some(cluster) = &config.node.cluster_id else { return Ok(()) };
    let dir = directory(files);
    Err(StartError::Metadata(format!(
        "this directory belongs to cluster {cluster}, but {} is gone",
        dir.display()
    )))
}

pub(super) fn open_alone(
    config: &Config,
    files: &Files,
    found: &[FoundPartition],
) -> Result<engines::Opened, StartError> {
    let me = config.node.broker_id;
    let refuse = |error: &dyn std::fmt::Display| StartError::Metadata(error.to_string());
    let Some(found) = found.iter().find(|found| found.directory == solo::DIRECTORY) else {
        refuse_lost(config, files)?;
        return Ok(engines::Opened::create(me));
    };
    if found.log_dir != LogDir::default() {
        return Err(refuse(&"it is not in the first of log.dirs"));
    }
    let directory = files.adopt(solo::PARTITION, solo::DIRECTORY);
    let (log, report) =
        Log::recover(solo::PARTITION, solo::DIRECTORY.to_owned(), solo::log_config(), &directory)
            .map_err(|error| refuse(&error))?;
    if let Some(range) = report.damaged.first() {
        // Whoever reads on behind it would take another history for the cluster's.
        return Err(refuse(range));
    }
    if report.cut_bytes > 0 {
        tracing::warn!(?report, "a torn tail is cut off the metadata log");
    } else {
        tracing::debug!(?report, "metadata log recovered");
    }
    let kept = snapshot::read(&directory).map_err(|error| refuse(&error))?;
    check_state(kept.as_ref().map(|it| &*it.snapshot.state))?;
    engines::Opened::recovered(me, log, kept, files).map_err(|error| refuse(&error))
}

/// Whether the node can read what the snapshot says. It would panic later if not.
fn check_state(state: Option<&[u8]>) -> Result<(), StartError> {
    let read = state.map(Image::from_bytes).transpose();
    let refused = |error| StartError::Metadata(format!("{}: {error}", snapshot::FILE_NAME));
    read.map(drop).map_err(refused)
}

/// Starts the engine, once it is known which cluster's it is: for a node that is to join one this takes as long as the others take.
pub(super) fn begin(shared: &Arc<Shared>, opened: Opened) -> Result<Begun, StartError> {
    let cannot = system("start the metadata thread");
    match opened {
        Opened::Alone(opened, orders) => {
            let thread = engines::start_solo(Arc::clone(shared), *opened, orders).map_err(cannot)?;
            Ok(Begun { thread, watch: None })
        }
        Opened::OneOfSeveral(opened, ends) => {
            if let Some(own) = Member::of(&shared.config.node) {
                shared.greeter.wants_in(&own.host, own.port);
            }
            let found = if opened.is_pristine() { come_to_a_cluster(shared, &opened)? } else { None };
            let members = found.clone().unwrap_or_else(|| opened.members());
            if let Some(cluster_id) = shared.greeter.cluster_id() {
                shared.monitor.belong(&cluster_id);
            }
            let watch = watch(shared, &members)?;
            let greeter = Arc::clone(&shared.greeter);
            let greet: Greet = Arc::new(move |purpose| greeter.greeting(purpose));
            let ask = joining::ask_again(shared)?;
            let thread = raft::start_raft(Arc::clone(shared), *opened, found, greet, ask, ends);
            Ok(Begun { thread: thread.map_err(cannot)?, watch: Some(watch) })
        }
    }
}

/// Waits until this node belongs to a cluster. Gives the voters if it is to found it.
fn come_to_a_cluster(shared: &Arc<Shared>, opened: &OpenedRaft) -> Result<Option<Vec<Member>>, StartError> {
    opened.keep().map_err(system("write the vote"))?;
    let list = &shared.config.join;
    if list.is_empty() {
        // A member that was interrupted before its engine had heard anything: the others will call it.
        return Ok(None);
    }
    Ok(match joining::join(shared, list)? {
        Found::Founder(voters) => Some(voters),
        Found::Member => None,
    })
}

/// Says every few seconds whom the start waits for: it cannot be ready without a majority of the voters.
fn watch(shared: &Arc<Shared>, members: &[Member]) -> Result<Watch, StartError> {
    let me = shared.greeter.me.node;
    let others = members.iter().filter(|it| it.id != me).map(|it| (it.host.clone(), it.port)).collect();
    let list = if members.is_empty() { shared.config.join.clone() } else { others };
    let address = |it: &Member| (it.host.clone(), it.port);
    let own = Member::of(&shared.config.node).as_ref().map(address);
    let known = members.iter().find(|it| it.id == me).map(address);
    let greeter = Arc::clone(&shared.greeter);
    let (watching, is_over) = mpsc::channel();
    let say = move || {
        while let Err(mpsc::RecvTimeoutError::Timeout) = is_over.recv_timeout(SAY_EVERY) {
            let silent = joining::silent(&list, &greeter);
            tracing::warn!("waiting for a controller, which a majority of the voters elects: {silent}");
            let Some(known) = &known else { continue };
            let (host, port) = known;
            match (joining::who_answers(known, &greeter), &own) {
                (Answers::Twin, _) => tracing::warn!(
                    "another process is node {me}, with the same disk, and the others call that one: it answers at {host}:{port}. One of the two has a copy of the other's data directory; stop it"
                ),
                (Answers::Another, Some(own)) if own != known => tracing::warn!(
                    "the members call this node at {host}:{port}, and it listens at {}:{}: who answers is told so",
                    own.0,
                    own.1
                ),
                (Answers::Another | Answers::This, _) => {}
            }
        }
    };
    let spawned = thread::Builder::new().name("watch".to_owned()).spawn(say);
    spawned.map(|_| Watch { _is_over: watching }).map_err(system("start a thread"))
}
