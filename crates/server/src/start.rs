//! Starting and stopping a server.

use std::{
    fs, io,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use klamm_cluster::config::TopicConfig;
use klamm_log::{Files, FilesError, FoundPartition, Log};
use klamm_model::TopicPartition;
use klamm_node::{BROKER_LISTENER, Endpoint, Listener, Node, log_config};
use klamm_quorum::solo;
use klamm_replica::Sabotage;
use mio::{Poll, Waker, net::TcpListener};

use crate::{
    buffer::Budget,
    clock::Clock,
    config::Config,
    disk::DiskThreads,
    engines::{self, Engine, Opened},
    identity::{self, IdentityError},
    inbox::{Inbox, Mail},
    io::{Door, IoThread, WAKER_TOKEN},
    monitor::{LockTimes, Monitor},
    shared::{IO_THREADS_MAX, Shared},
};

/// How long a node may take until it serves. A node alone needs milliseconds.
const READY_PATIENCE: Duration = Duration::from_secs(60);

/// A running server. Several may live in one process.
pub struct Server {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    broker_address: Option<SocketAddr>,
    io_threads: Vec<thread::JoinHandle<()>>,
    engine: Engine,
    engine_thread: Option<thread::JoinHandle<()>>,
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
    /// The node did not come to serve.
    #[error("the node was not ready after {} s", READY_PATIENCE.as_secs())]
    NotReady,
}

impl Server {
    /// Starts a server; it serves when this returns.
    ///
    /// # Errors
    /// If the data directory, an address or the metadata log cannot be used.
    pub fn start(mut config: Config) -> Result<Self, StartError> {
        let began = Instant::now();
        // Listening comes first: what arrives before the node is ready waits in the backlog, and an address that is taken is known at once.
        let (mut doors, addresses, broker_address) = listen(&config)?;
        let files = Arc::new(Files::open(&config.data_dir)?);
        prepare_node_config(&mut config, &addresses, broker_address)?;
        let found = files.partitions()?;
        let opened = open_metadata(&config, &files, &found)?;
        let seed = match config.seed {
            0 => identity::random_uuid().map_err(system("draw a random number"))?.as_u64_pair().0,
            seed => seed,
        };
        let mut node = Node::new(config.node.clone(), seed, Sabotage::default());
        recover_partitions(&files, &found, config.recovery_threads, &mut node);

        let clock = Clock::new();
        let (engine, orders) = Engine::new();
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
        let shared = Arc::new(Shared {
            clock,
            monitor: Monitor::new(node, engine.clone(), clock, ready),
            files,
            disk: DiskThreads::new(config.disk_threads.max(1)),
            inboxes,
            budget: Budget::new(config.received_bytes_max),
            connection_count: AtomicUsize::new(0),
            writes_aside_until: AtomicU64::new(0),
            config,
        });
        let mut server = Self {
            shared: Arc::clone(&shared),
            addresses,
            broker_address,
            io_threads: Vec::new(),
            engine,
            engine_thread: None,
        };
        for (index, poll) in polls.into_iter().enumerate() {
            let doors = if index == 0 { std::mem::take(&mut doors) } else { Vec::new() };
            let io_thread = IoThread::new(index, Arc::clone(&shared), poll, doors);
            let spawned = thread::Builder::new().name(format!("io-{index}")).spawn(move || io_thread.run());
            server.io_threads.push(spawned.map_err(system("start an I/O thread"))?);
        }
        server.engine_thread = Some(
            engines::start_solo(Arc::clone(&shared), opened, orders)
                .map_err(system("start the metadata thread"))?,
        );
        is_ready.recv_timeout(READY_PATIENCE).map_err(|_| StartError::NotReady)?;
        if let Some(view) = shared.monitor.view().load().as_ref()
            && let Some(cluster_id) = view.image.cluster_id()
        {
            identity::join(shared.files.directory(), view.me, cluster_id)?;
        }
        shared.inboxes[0].deliver(&mut vec![Mail::Open]);
        tracing::info!(addresses = ?server.addresses, data_dir = %shared.files.directory().display(), started_ms = began.elapsed().as_millis() as u64, "serving");
        Ok(server)
    }

    /// Where clients connect to, in the order of the configuration.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where other brokers connect to.
    pub fn broker_address(&self) -> Option<SocketAddr> {
        self.broker_address
    }

    /// How long the node's lock was held and waited for so far.
    pub fn lock_times(&self) -> LockTimes {
        self.shared.monitor.times()
    }

    /// Bytes of received requests that are held now.
    pub fn received_bytes(&self) -> usize {
        self.shared.budget.used()
    }

    /// Connections of clients and brokers.
    pub fn connection_count(&self) -> usize {
        self.shared.connection_count.load(Ordering::Relaxed)
    }

    /// Stops: nothing new is taken, what is owed is answered within two seconds, disk work ends.
    pub fn stop(mut self) {
        self.stop_threads();
    }

    fn stop_threads(&mut self) {
        self.shared.files.stop_background_work();
        for inbox in &self.shared.inboxes {
            inbox.deliver(&mut vec![Mail::Stop]);
        }
        for thread in self.io_threads.drain(..) {
            join(thread);
        }
        self.engine.stop();
        if let Some(thread) = self.engine_thread.take() {
            join(thread);
        }
        self.shared.disk.stop();
        if let Err(error) = sync_last_segments(self.shared.files.directory()) {
            tracing::error!(%error, "not everything is known to be on disk");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop_threads();
    }
}

/// Brings to disk what topics with a relaxed flush had not asked for yet. Sealed segments are there already.
fn sync_last_segments(data_dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(data_dir)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        let mut last = None;
        for file in fs::read_dir(entry.path())? {
            let path = file?.path();
            if path.extension().is_some_and(|extension| extension == "log") {
                last = last.max(Some(path));
            }
        }
        if let Some(path) = last {
            fs::File::open(path)?.sync_data()?;
        }
    }
    Ok(())
}

fn join(thread: thread::JoinHandle<()>) {
    let name = thread.thread().name().unwrap_or_default().to_owned();
    if thread.join().is_err() {
        tracing::error!(name, "a thread had panicked");
    }
}

fn system(operation: &'static str) -> impl FnOnce(io::Error) -> StartError {
    move |error| StartError::System { operation, error }
}

type Doors = (Vec<Door>, Vec<SocketAddr>, Option<SocketAddr>);

fn listen(config: &Config) -> Result<Doors, StartError> {
    let mut doors = Vec::new();
    let mut open = |address: SocketAddr, listener| {
        let opened =
            listening_socket(address, config.backlog).and_then(|socket| Ok((socket.local_addr()?, socket)));
        let (local, socket) = opened.map_err(|error| StartError::Listen { address, error })?;
        doors.push(Door { socket, listener, is_open: false });
        Ok::<_, StartError>(local)
    };
    let addresses =
        config.listeners.iter().map(|address| open(*address, Listener::Client)).collect::<Result<_, _>>()?;
    let broker_address = config.broker_listener.map(|address| open(address, Listener::Broker)).transpose()?;
    Ok((doors, addresses, broker_address))
}

fn listening_socket(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    // A restarted server finds connections of its former life on the port.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(TcpListener::from_std(socket.into()))
}

fn prepare_node_config(
    config: &mut Config,
    addresses: &[SocketAddr],
    broker_address: Option<SocketAddr>,
) -> Result<(), StartError> {
    let identity = identity::claim(&config.data_dir, config.node.broker_id)?;
    config.node.directory = identity.directory;
    config.node.cluster_id = identity.cluster_id;
    config.node.incarnation = identity::random_uuid().map_err(system("draw a random number"))?;
    let endpoint = |name: &str, (host, port): (String, u16)| Endpoint { name: name.to_owned(), host, port };
    let told = |address: &SocketAddr| {
        config.advertised.clone().unwrap_or_else(|| (address.ip().to_string(), address.port()))
    };
    let mut endpoints: Vec<Endpoint> =
        addresses.iter().take(1).map(|address| endpoint("PLAINTEXT", told(address))).collect();
    endpoints.extend(
        broker_address.map(|address| endpoint(BROKER_LISTENER, (address.ip().to_string(), address.port()))),
    );
    config.node.endpoints = endpoints;
    config.tell_defaults(addresses);
    Ok(())
}

fn open_metadata(config: &Config, files: &Files, found: &[FoundPartition]) -> Result<Opened, StartError> {
    let me = config.node.broker_id;
    if !found.iter().any(|found| found.directory == solo::DIRECTORY) {
        return Ok(Opened::create(me));
    }
    let refuse = |error: &dyn std::fmt::Display| StartError::Metadata(error.to_string());
    let directory = files.adopt(solo::PARTITION, solo::DIRECTORY);
    let (log, report) =
        Log::recover(solo::PARTITION, solo::DIRECTORY.to_owned(), solo::log_config(), &directory)
            .map_err(|error| refuse(&error))?;
    tracing::debug!(?report, "metadata log recovered");
    Opened::recovered(me, log, files).map_err(|error| refuse(&error))
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
    let directory = files.adopt(partition, &found.directory);
    match Log::recover(partition, found.directory.clone(), log_config(&TopicConfig::default()), &directory) {
        Ok((log, report)) if report.cut_bytes > 0 => {
            tracing::warn!(directory = found.directory, ?report, "a torn tail is cut off");
            Some(log)
        }
        Ok((log, report)) => {
            tracing::debug!(directory = found.directory, ?report, "log recovered");
            Some(log)
        }
        Err(error) => {
            tracing::error!(directory = found.directory, %error, "the log is damaged and stays as it is; its partition is offline");
            None
        }
    }
}
