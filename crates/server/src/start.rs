//! Starting and stopping a server.

mod metadata;
mod opening;

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use klamm_cluster::config::TopicConfig;
use klamm_log::{CleanShutdown, DataDir, Files, FilesError, FoundPartition, Log};
use klamm_model::{BrokerEpoch, TopicPartition};
use klamm_node::{Event, Node, Rest, log_config};
use klamm_quorum::solo;
use klamm_replica::Sabotage;
use mio::{Poll, Waker};
use parking_lot::Mutex;

use crate::{
    buffer::Budget,
    clock::Clock,
    config::Config,
    disk::DiskThreads,
    doors::{Doors, listen_on},
    greet::{Greeter, Me},
    identity::{self, IdentityError},
    inbox::{Inbox, Mail},
    io::{IoThread, WAKER_TOKEN},
    metrics::{self, Http, Metrics},
    monitor::{LockTimes, Monitor},
    places::Places,
    shared::{IO_THREADS_MAX, Performer, Shared},
    start::metadata::{Kind, Watch},
};

/// How long others may take to take over from a broker that stops.
const HAND_OVER_PATIENCE: Duration = Duration::from_secs(5);

/// How long a node may take until it serves. A node alone needs milliseconds.
const READY_PATIENCE: Duration = Duration::from_secs(60);

/// A running server. Several may live in one process.
pub struct Server {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    node_address: Option<SocketAddr>,
    io_threads: Vec<thread::JoinHandle<()>>,
    engine_thread: Option<thread::JoinHandle<bool>>,
    metrics: Option<Http>,
    is_stopped: bool,
}

/// How a server left its data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shutdown {
    /// Everything is on disk, and marked so: the next start need not look for what a crash left.
    Clean,
    /// Something failed, or was never begun: the next start goes about it as after a crash.
    Unclean,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be used.
    #[error("{0}")]
    Files(#[from] FilesError),
    /// It is not this node's.
    #[error("{0}")]
    Identity(#[from] IdentityError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// A partition is in two data directories.
    #[error("{one} and {other} are the same partition: one of them has to go elsewhere")]
    Twins {
        /// One of them.
        one: PathBuf,
        /// And the other.
        other: PathBuf,
    },
    /// The metadata log cannot be used.
    #[error("the metadata log: {0}")]
    Metadata(String),
    /// The system refused something.
    #[error("cannot {operation}: {error}")]
    System {
        /// What.
        operation: &'static str,
        /// Why.
        error: io::Error,
    },
    /// It came up against something that it cannot do without.
    #[error("{0}")]
    Failed(String),
    /// The cluster that it was to join does not take it.
    #[error("the cluster refuses this node: {0}")]
    Refused(String),
    /// It was to join a cluster before, and did not come to it.
    #[error(
        "this node was to join a cluster (--join) and has not; --join tells where that is, another --data-dir makes it a cluster of its own"
    )]
    NotJoined,
    /// It cannot be what `process.roles` makes of it.
    #[error("process.roles: {0}")]
    Roles(String),
    /// The node did not come to serve.
    #[error("the node was not ready after {} s", READY_PATIENCE.as_secs())]
    NotReady,
}

impl Server {
    /// Starts a server; it serves when this returns.
    ///
    /// # Errors
    /// If the data directory, an address or the metadata log cannot be used.
    pub fn start(config: Config) -> Result<Self, StartError> {
        Self::start_telling(config, |_| {})
    }

    /// The same. A node of several tells where other nodes connect to; for the rest it waits for them, as long as it takes.
    ///
    /// # Errors
    /// As above, or if the cluster refuses this node.
    pub fn start_telling(
        mut config: Config,
        tell_node_address: impl FnOnce(SocketAddr),
    ) -> Result<Self, StartError> {
        // Taken first: an address that is taken by somebody else is known at once.
        let mut doors = Doors::take(&config)?;
        let metrics_listener =
            config.metrics_listener.map(|address| listen_on(address, config.backlog)).transpose()?;
        // Before it is decided how many of them the logs' files may take.
        let file_descriptors_max = file_descriptors_max();
        let files = Arc::new(Files::open_all(&config.data_dirs)?);
        let found = files.partitions()?;
        refuse_unclaimed(&files, &found)?;
        let kind = Kind::of(&config, &files, &found)?;
        refuse_partitions(&config, &files, &found)?;
        if kind != Kind::Alone {
            doors.take_for_nodes(&config)?;
        }
        let was_left_clean = prepare_node_config(&mut config, &files, &doors)?;
        refuse_twins(&files, &found)?;
        let (engine, opened) = metadata::open(kind, &config, &files, &found)?;
        let later = doors.listen(&config)?;
        let Doors { mut doors, addresses, node_address } = doors;
        if let Some(address) = node_address {
            tell_node_address(address);
        }
        let seed = match config.seed {
            0 => identity::random_uuid().map_err(system("draw a random number"))?.as_u64_pair().0,
            seed => seed,
        };
        let mut node = Node::new(config.node.clone(), seed, Sabotage::default());
        recover_partitions(&files, &found, config.recovery_threads, &mut node);
        // So far everything was only read, but for what a crash had left in a journal.
        for data_dir in files.data_dirs() {
            data_dir.begin()?;
        }

        let clock = Clock::new();
        let (ready, is_ready) = mpsc::channel();
        let thread_count = config.network_threads.clamp(1, IO_THREADS_MAX);
        let mut polls = Vec::new();
        let mut inboxes = Vec::new();
        for _ in 0..thread_count {
            let poll = Poll::new().map_err(system("poll"))?;
            let waker = Waker::new(poll.registry(), WAKER_TOKEN).map_err(system("make a waker"))?;
            inboxes.push(Inbox::new(waker));
            polls.push(poll);
        }
        let me = Me {
            node: config.node.broker_id,
            directory: config.node.directory,
            incarnation: config.node.incarnation,
            may_vote: config.node.roles.controller,
        };
        let data_dirs = files.data_dirs().iter().map(|it| it.path().to_owned()).collect();
        let greeter = Greeter::new(me, data_dirs, config.node.cluster_id.clone());
        let shared = Arc::new(Shared {
            clock,
            monitor: Monitor::new(node, engine.clone(), clock, ready.clone()),
            engine,
            greeter,
            files,
            disk: DiskThreads::new(config.disk_threads.max(1), config.network_threads.div_ceil(2).max(1)),
            inboxes,
            budget: Budget::new(config.received_bytes_max),
            unsent: Budget::new(config.received_bytes_max),
            places: Arc::new(Places::default()),
            file_descriptors_max,
            metrics: Metrics::default(),
            was_left_clean,
            failure: Mutex::default(),
            disk_lines: Mutex::default(),
            writes_aside_until: AtomicU64::new(0),
            config,
        });
        let mut server = Self {
            shared: Arc::clone(&shared),
            addresses,
            node_address,
            io_threads: Vec::new(),
            engine_thread: None,
            metrics: None,
            is_stopped: false,
        };
        // Its first view is published before anybody can ask for something.
        let mut performer = Performer::new(Arc::clone(&shared), None);
        performer.events.push(Event::Tick);
        performer.run();
        for (index, poll) in polls.into_iter().enumerate() {
            let doors = if index == 0 { std::mem::take(&mut doors) } else { Vec::new() };
            let io_thread = IoThread::new(index, Arc::clone(&shared), poll, doors);
            let spawned = thread::Builder::new().name(format!("io-{index}")).spawn(move || io_thread.run());
            server.io_threads.push(spawned.map_err(system("start an I/O thread"))?);
        }
        let metadata::Begun { thread, watch } = metadata::begin(&shared, opened)?;
        server.engine_thread = Some(thread);
        // Nobody listens any more once it is ready.
        shared.on_failure(move |reason| drop(ready.send(Err(reason))));
        wait_until_ready(&is_ready, watch)?;
        if let Some(view) = shared.monitor.view().load().as_ref()
            && let Some(cluster_id) = view.image.cluster_id()
        {
            shared.greeter.belong(cluster_id)?;
        }
        if let Some(listener) = metrics_listener {
            let asked = Arc::downgrade(&shared);
            let pages = Arc::new(move |path: &str| metrics::page(&asked, path));
            server.metrics = Some(Http::start(listener, pages).map_err(system("serve metrics"))?);
        }
        later.listen()?;
        shared.inboxes[0].deliver(&mut vec![Mail::Open]);
        Ok(server)
    }

    /// Where clients connect to, in the order of the configuration.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where other nodes connect to; a node that is a cluster of its own has no such address.
    pub fn node_address(&self) -> Option<SocketAddr> {
        self.node_address
    }

    /// Where metrics are served.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|http| http.address)
    }

    /// How long the node's lock was held and waited for so far.
    pub fn lock_times(&self) -> LockTimes {
        self.shared.monitor.times()
    }

    /// Bytes of received requests that are held now.
    pub fn received_bytes(&self) -> usize {
        self.shared.budget.used()
    }

    /// Fetches that wait for records.
    pub fn parked_fetches(&self) -> usize {
        self.shared.monitor.report().parked_fetches
    }

    /// Bytes of answers that wait in memory for their readers.
    pub fn unsent_bytes(&self) -> usize {
        self.shared.unsent.used()
    }

    /// Connections of clients and brokers.
    pub fn connection_count(&self) -> usize {
        self.shared.places.taken()
    }

    /// Disk operations that have failed.
    pub fn disk_error_count(&self) -> u64 {
        self.shared.metrics.disk_errors.load(Ordering::Relaxed)
    }

    /// Whom to tell, once, that the server cannot go on, and why: its metadata's disk has failed. It answers what it can until it is stopped.
    pub fn on_failure(&self, tell: impl FnOnce(String) + Send + 'static) {
        self.shared.on_failure(tell);
    }

    /// Stops: nothing new is taken, what is owed is answered within two seconds, and everything comes to disk.
    pub fn stop(mut self) -> Shutdown {
        self.stop_threads()
    }

    fn stop_threads(&mut self) -> Shutdown {
        if std::mem::replace(&mut self.is_stopped, true) {
            return Shutdown::Unclean;
        }
        self.hand_over();
        self.metrics = None;
        self.shared.files.stop_background_work();
        for inbox in &self.shared.inboxes {
            inbox.deliver(&mut vec![Mail::Stop]);
        }
        for thread in self.io_threads.drain(..) {
            join(thread);
        }
        self.shared.engine.stop();
        let has_begun = self.engine_thread.is_some();
        let metadata_is_whole = self.engine_thread.take().and_then(join).unwrap_or(false);
        let rest = self.bring_to_rest();
        self.shared.disk.stop();
        match rest.broker_epoch.filter(|_| metadata_is_whole && rest.is_whole) {
            Some(broker_epoch) => self.leave(broker_epoch),
            None if metadata_is_whole && rest.is_whole && !self.shared.config.node.roles.broker => {
                Shutdown::Clean
            }
            None if has_begun => {
                tracing::warn!("not everything is known to be on disk");
                Shutdown::Unclean
            }
            // It was given up before it belonged to a cluster.
            None => Shutdown::Unclean,
        }
    }

    /// Has others lead what this broker leads, while it still serves. A cluster in trouble keeps nobody for long.
    fn hand_over(&self) {
        let left = self.shared.monitor.expect_left();
        let mut performer = Performer::new(Arc::clone(&self.shared), None);
        performer.events.push(Event::Leaving);
        performer.run();
        if left.recv_timeout(HAND_OVER_PATIENCE) != Ok(true) {
            tracing::warn!("stopping before others have taken over everything that this broker leads");
        }
    }

    /// Ends the work of all logs. A disk that does not answer keeps it waiting; nothing else can.
    fn bring_to_rest(&self) -> Rest {
        let rest = self.shared.monitor.expect_rest();
        let mut performer = Performer::new(Arc::clone(&self.shared), None);
        performer.events.push(Event::Stopping);
        performer.run();
        rest.recv().expect("the monitor holds the other end until it has told")
    }

    /// The last thing to be written, in each data directory.
    fn leave(&self, broker_epoch: BrokerEpoch) -> Shutdown {
        let incarnation = self.shared.config.node.incarnation;
        self.shared.files.close_journals();
        let mut shutdown = Shutdown::Clean;
        for data_dir in self.shared.files.data_dirs() {
            let path = data_dir.path().display();
            match data_dir.leave(CleanShutdown { broker_epoch, incarnation }) {
                Ok(true) => continue,
                Ok(false) => {
                    tracing::warn!(%path, "a disk operation had failed, or the directory is not where it was; the next start looks at everything")
                }
                Err(error) => tracing::error!(%error, "could not say that the stop was clean"),
            }
            shutdown = Shutdown::Unclean;
        }
        shutdown
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop_threads();
    }
}

/// A node alone needs milliseconds until it serves. One of several waits for as long as the others take.
fn wait_until_ready(
    is_ready: &mpsc::Receiver<Result<(), String>>,
    watch: Option<Watch>,
) -> Result<(), StartError> {
    let ready = match watch {
        None => is_ready.recv_timeout(READY_PATIENCE).map_err(|_| StartError::NotReady)?,
        Some(_) => is_ready.recv().map_err(|_| StartError::NotReady)?,
    };
    drop(watch);
    ready.map_err(StartError::Failed)
}

fn join<T>(thread: thread::JoinHandle<T>) -> Option<T> {
    let name = thread.thread().name().unwrap_or_default().to_owned();
    let ended = thread.join();
    if ended.is_err() {
        tracing::error!(name, "a thread had panicked");
    }
    ended.ok()
}

pub(crate) fn system(operation: &'static str) -> impl FnOnce(io::Error) -> StartError {
    move |error| StartError::System { operation, error }
}

/// Raises the limit of file descriptors as far as it may be raised. Half of them are for the logs' files, and a few for whatever else comes (F31): tells how
/// many connections may have.
fn file_descriptors_max() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let limit = setrlimit(Resource::Nofile, raised).map_or(limit.current, |()| limit.maximum);
    limit.map_or(usize::MAX, |limit| usize::try_from(limit / 8 * 3).unwrap_or(usize::MAX))
}

/// Tells whether the data directories are as a clean stop leaves them.
fn prepare_node_config(config: &mut Config, files: &Files, doors: &Doors) -> Result<bool, StartError> {
    let paths: Vec<PathBuf> = files.data_dirs().iter().map(|it| it.path().to_owned()).collect();
    let identity = identity::claim_all(&paths, config.node.broker_id)?;
    let is_new = identity.cluster_id.is_none();
    config.node.directory = identity.directory;
    config.node.other_directories = identity.others.iter().map(|(directory, _)| *directory).collect();
    config.node.cluster_id = identity.cluster_id;
    config.node.incarnation = identity::random_uuid().map_err(system("draw a random number"))?;
    config.node.log_dirs = paths.iter().map(|path| shown(path)).collect();
    config.node.previous_epoch = previous_epoch(files);
    // Without a broker there are no logs that a crash could have left anything of.
    let was_left_clean = is_new || config.node.previous_epoch.is_some() || !config.node.roles.broker;
    if !was_left_clean {
        tracing::warn!("the broker was not stopped cleanly: looking for what the crash left");
    }
    config.node.endpoints = doors.endpoints(config);
    config.tell_defaults(&doors.addresses, doors.node_address);
    Ok(was_left_clean)
}

/// As clients see it.
fn shown(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// What the last process was registered under, if it left all data directories clean.
fn previous_epoch(files: &Files) -> Option<BrokerEpoch> {
    let mut markers = files.data_dirs().iter().map(DataDir::clean_shutdown);
    let first = markers.next()??;
    markers.all(|it| it == Some(first)).then_some(first.broker_epoch)
}

/// Partitions in a directory that is nobody's: with a new identity the cluster would not take this broker for the one that had them.
fn refuse_unclaimed(files: &Files, found: &[FoundPartition]) -> Result<(), IdentityError> {
    for (number, data_dir) in files.data_dirs().iter().enumerate() {
        let is_theirs = |it: &FoundPartition| it.partition.is_some() && usize::from(it.log_dir.0) == number;
        if found.iter().any(is_theirs) && !identity::is_claimed(data_dir.path()) {
            return Err(IdentityError::Lost { path: data_dir.path().display().to_string() });
        }
    }
    Ok(())
}

/// Partitions of a node that is no broker any more: nobody would serve what may be there alone.
fn refuse_partitions(config: &Config, files: &Files, found: &[FoundPartition]) -> Result<(), StartError> {
    let Some(it) = found.iter().find(|it| it.directory != solo::DIRECTORY) else { return Ok(()) };
    if config.node.roles.broker {
        return Ok(());
    }
    let path = files.data_dirs()[usize::from(it.log_dir.0)].path().join(&it.directory);
    Err(StartError::Roles(format!(
        "a controller has no partitions, and {} is one: give all to other brokers first (klamm cluster drain {})",
        path.display(),
        config.node.broker_id
    )))
}

/// The same partition in two places: nobody knows which of them has the records. A deleted topic of the same name may be left where its disk failed.
fn refuse_twins(files: &Files, found: &[FoundPartition]) -> Result<(), StartError> {
    let path = |it: &FoundPartition| files.data_dirs()[usize::from(it.log_dir.0)].path().join(&it.directory);
    let may_be_one = |one: &FoundPartition, other: &FoundPartition| {
        one.partition == other.partition || one.partition.is_none() || other.partition.is_none()
    };
    for (at, one) in found.iter().enumerate() {
        let mut namesakes = found[at + 1..].iter().take_while(|other| other.directory == one.directory);
        if let Some(other) = namesakes.find(|other| may_be_one(one, other)) {
            return Err(StartError::Twins { one: path(one), other: path(other) });
        }
    }
    Ok(())
}

/// Recovers all logs, several at a time, and hands them to the node.
fn recover_partitions(files: &Files, found: &[FoundPartition], threads_max: usize, node: &mut Node) {
    let wanted: Vec<(TopicPartition, &FoundPartition)> = found
        .iter()
        .filter(|found| found.directory != solo::DIRECTORY)
        .filter_map(|found| {
            if found.partition.is_none() {
                tracing::error!(
                    directory = found.directory,
                    "it is not known whose directory this is; it is left alone"
                );
                node.adopt_unclaimed(found.directory.clone());
            }
            Some((found.partition?, found))
        })
        .collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut recovered = Vec::new();
        while let Some((partition, found)) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
            recovered.push((*partition, recover_partition(files, *partition, found)));
        }
        recovered
    };
    let thread_count = threads_max.min(wanted.len());
    let recovered: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (1..thread_count).map(|_| scope.spawn(work)).collect();
        let own = work();
        own.into_iter()
            .chain(threads.into_iter().flat_map(|thread| thread.join().expect("recovery does not panic")))
            .collect()
    });
    for (partition, log) in recovered {
        match log {
            Some(log) => node.adopt(log),
            None => node.adopt_damaged(partition),
        }
    }
}

fn recover_partition(files: &Files, partition: TopicPartition, found: &FoundPartition) -> Option<Log> {
    let directory = files.adopt_in(found.log_dir, partition, &found.directory);
    match Log::recover(partition, found.directory.clone(), log_config(&TopicConfig::default()), &directory) {
        Ok((mut log, report)) => {
            log.set_log_dir(found.log_dir);
            if report.durable_point.is_none() {
                tracing::warn!(directory = found.directory, log_start = %report.log_start, "the durable point cannot be read; where the log starts is taken from its epochs");
            }
            if report.cut_bytes > 0 {
                tracing::warn!(directory = found.directory, ?report, "a torn tail is cut off");
            } else {
                tracing::debug!(directory = found.directory, ?report, "log recovered");
            }
            Some(log)
        }
        Err(error) => {
            tracing::error!(directory = found.directory, %error, "the log is damaged and stays as it is; its partition is offline");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use klamm_log::LogDir;
    use klamm_model::{PartitionIndex, TopicId};

    use super::*;

    #[test]
    fn only_what_may_be_the_same_partition_is_a_twin() {
        let place = tempfile::tempdir().expect("a directory");
        let files = Files::open_all(&["0", "1", "2"].map(|name| place.path().join(name))).expect("opened");
        let found = |(number, topic): (usize, &Option<u128>)| FoundPartition {
            partition: topic.map(|topic| TopicPartition {
                topic: TopicId(uuid::Uuid::from_u128(topic)),
                partition: PartitionIndex(0),
            }),
            topic: "t".to_owned(),
            directory: "t-0".to_owned(),
            log_dir: LogDir(number as u16),
        };
        for (topics, is_refused) in [
            ([Some(1), Some(2), Some(3)], false),
            ([Some(1), Some(2), Some(1)], true),
            ([Some(1), Some(2), None], true),
        ] {
            let found: Vec<_> = topics.iter().enumerate().map(found).collect();
            assert_eq!(refuse_twins(&files, &found).is_err(), is_refused, "{topics:?}");
        }
    }
}
