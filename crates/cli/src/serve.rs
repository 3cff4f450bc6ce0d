//! `klamm serve` and `klamm dev`.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use klamm_model::BrokerId;
use klamm_server::{Config, LoadError, Server, Sources, StartError};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::{BrokerArgs, DevArgs, ServeArgs};
use crate::failure::Usage;
use crate::output::{log_to_stderr, print_line};

/// What a broker writes to the standard error by itself: what becomes of the cluster, and nothing that a quiet one would say by the minute or that clients cause (members that
/// come to groups and go). The library of the consensus protocol warns of every election and of every node that is away; what of it matters the broker says itself.
const LOG: &str = "warn,klamm=info,klamm_coordinator=warn,openraft=off";

/// For whoever tries things out, maybe with three nodes in one terminal: what is wrong.
const DEV_LOG: &str = "warn,openraft=off";

pub(crate) fn serve(args: &ServeArgs, began: Instant) -> Result<()> {
    log_to_stderr(LOG);
    let mut options = Vec::new();
    if let Some(data_dir) = &args.data_dir {
        let path = text_of(data_dir)?;
        options.push(("log.dirs".to_owned(), path.to_owned(), format!("--data-dir {path}")));
    }
    if let Some(node_id) = args.node_id {
        options.push(("node.id".to_owned(), node_id.to_string(), format!("--node-id {node_id}")));
    }
    if let Some(roles) = &args.roles {
        options.push(("process.roles".to_owned(), roles.clone(), format!("--roles {roles}")));
    }
    if let Some(list) = &args.join {
        options.push(("node.join".to_owned(), list.clone(), format!("--join {list}")));
    }
    if let Some(listen) = &args.node_listen {
        options.push(("node.listener".to_owned(), listen.clone(), format!("--node-listen {listen}")));
    }
    options.extend(args.broker.listen.as_deref().map(listeners));
    let config = settings(&args.broker, options, default_data_dir)?;
    let data_dirs: Vec<String> = config.data_dirs.iter().map(|path| path.display().to_string()).collect();
    run(vec![config], &data_dirs.join(","), began)
}

fn text_of(path: &Path) -> Result<&str, Usage> {
    path.to_str().ok_or_else(|| Usage(format!("--data-dir {}: the path is not UTF-8", path.display())))
}

fn listeners(listen: &str) -> Given {
    let uri = if listen.contains("://") { listen.to_owned() } else { format!("PLAINTEXT://{listen}") };
    ("listeners".to_owned(), uri, format!("--listen {listen}"))
}

pub(crate) fn dev(args: &DevArgs, began: Instant) -> Result<()> {
    log_to_stderr(DEV_LOG);
    if let Some(data_dir) = &args.data_dir {
        return dev_in(data_dir, args, began);
    }
    let directory =
        tempfile::Builder::new().prefix("klamm-dev-").tempdir().context("no temporary directory")?;
    let path = directory.path().to_owned();
    let done = dev_in(&path, args, began);
    directory.close().with_context(|| format!("{} was not removed", path.display()))?;
    done
}

fn dev_in(directory: &Path, args: &DevArgs, began: Instant) -> Result<()> {
    let told = text_of(directory)?;
    let given = |key: &str, value: String| (key.to_owned(), value, format!("{key} of klamm dev"));
    let mut configs = Vec::new();
    if args.nodes == 1 {
        let mut options = vec![given("log.dirs", told.to_owned())];
        options.extend(args.broker.listen.as_deref().map(listeners));
        configs.push(settings(&args.broker, options, || Ok(directory.to_owned()))?);
    } else {
        let Ports { host, clients, nodes } = Ports::of(args)?;
        let join: Vec<String> = nodes.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        for (number, (client, node)) in clients.iter().zip(&join).enumerate() {
            let options = vec![
                given("log.dirs", format!("{told}/node-{}", number + 1)),
                given("node.id", (number + 1).to_string()),
                given("listeners", format!("PLAINTEXT://{host}:{client}")),
                given("node.listener", node.clone()),
                given("node.join", join.join(",")),
            ];
            let mut config = settings(&args.broker, options, || Ok(directory.to_owned()))?;
            if let Some(address) = &mut config.metrics_listener
                && address.port() != 0
            {
                address.set_port(address.port() + number as u16);
            }
            configs.push(config);
        }
    }
    run(configs, told, began)
}

/// Where several nodes of one process listen: for clients, and, on this machine only, for each other.
struct Ports {
    host: String,
    clients: Vec<u16>,
    nodes: Vec<u16>,
}

impl Ports {
    fn of(args: &DevArgs) -> Result<Self> {
        let listen = args.broker.listen.as_deref().unwrap_or("127.0.0.1:9092");
        let unusable = || Usage(format!("--listen {listen}: expected HOST:PORT"));
        let address = listen.strip_prefix("PLAINTEXT://").unwrap_or(listen);
        let (host, port) = address.rsplit_once(':').ok_or_else(unusable)?;
        let first: u16 = port.parse().map_err(|_| unusable())?;
        let count = 2 * args.nodes;
        let ports: Vec<u16> = if first == 0 {
            free_ports(count).context("no free ports")?
        } else {
            let last = first.checked_add(count - 1).ok_or_else(|| {
                Usage(format!("--listen {listen}: {} nodes take {count} ports from there on, and the last there is is {}", args.nodes, u16::MAX))
            })?;
            (first..=last).collect()
        };
        let (clients, nodes) = ports.split_at(usize::from(args.nodes));
        Ok(Self { host: host.to_owned(), clients: clients.to_vec(), nodes: nodes.to_vec() })
    }
}

/// Ports that nobody has: what the nodes are told of each other has to be known before they start.
fn free_ports(count: u16) -> std::io::Result<Vec<u16>> {
    let taken: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    taken.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

/// A key, its value, and how that was given.
type Given = (String, String, String);

/// What the file, the environment, `--set` and the other options say, each stronger than the one before.
fn settings(
    args: &BrokerArgs,
    options: Vec<Given>,
    data_dir: impl FnOnce() -> Result<PathBuf>,
) -> Result<Config> {
    let set = args.set.iter().map(|(key, value)| (key.clone(), value.clone(), format!("--set {key}")));
    let unusable = |error: LoadError| Usage(error.to_string());
    let mut sources = Sources::default();
    if let Some(file) = &args.config {
        sources.file(file).map_err(unusable)?;
        announce(&format!("settings of {}", file.display()));
    }
    sources.environment(variables()?).map_err(unusable)?;
    sources.arguments(set).map_err(unusable)?;
    sources.arguments(options).map_err(unusable)?;
    let mut config = Config { data_dirs: Vec::new(), ..Config::new(PathBuf::new(), BrokerId(1)) };
    for warning in sources.apply(&mut config).map_err(unusable)? {
        tracing::warn!("settings {warning}");
    }
    if config.data_dirs.is_empty() {
        config.data_dirs = vec![data_dir()?];
    }
    config.metrics_listener = args.metrics_listen.as_deref().map(metrics_address).transpose()?;
    Ok(config)
}

/// The variables that may be ours.
fn variables() -> Result<Vec<(String, String)>, Usage> {
    let ours = std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"KLAMM_"));
    ours.map(|(name, value)| match (name.to_str(), value.into_string()) {
        (Some(name), Ok(value)) => Ok((name.to_owned(), value)),
        _ => Err(Usage(format!("the variable {} is not UTF-8", name.display()))),
    })
    .collect()
}

/// Says how far a start is. A broker serves though nobody reads that, or the disk is full that it goes to.
fn announce(line: &str) {
    let _ = print_line(line);
}

/// Runs these nodes, most often one, until they are told to stop.
fn run(configs: Vec<Config>, data_dirs: &str, began: Instant) -> Result<()> {
    // Signals are listened to before anything has to be cleaned up.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().context("no runtime")?;
    let mut stops = {
        let _context = runtime.enter();
        Stops::listen().context("no signals")?
    };
    announce(&format!("data directory {data_dirs}"));
    let (tell, told) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // Nobody listens if it was told to stop meanwhile.
        let _ = tell.send(start_all(configs));
    });
    let started = runtime.block_on(async {
        tokio::select! {
            started = told => started.context("the start ended early").map(Some),
            () = stops.any() => Ok(None),
        }
    })?;
    // A start that is cut short does no more harm than a crash: the next one begins again.
    let Some(started) = started else {
        announce("told to stop before it was ready");
        return Ok(());
    };
    let servers =
        started.with_context(|| format!("the broker did not start (data directory {data_dirs})"))?;
    let (tell_failure, mut failed) = tokio::sync::mpsc::unbounded_channel();
    for server in &servers {
        let tell_failure = tell_failure.clone();
        server.on_failure(move |reason| {
            // Nobody listens if the stop has begun.
            let _ = tell_failure.send(reason);
        });
    }
    for address in servers.iter().flat_map(Server::addresses) {
        announce(&format!("listening on {address}"));
    }
    for address in servers.iter().filter_map(Server::metrics_address) {
        announce(&format!("metrics on http://{address}/metrics"));
    }
    let started_ms = began.elapsed().as_millis();
    announce(&format!("ready in {started_ms} ms"));
    // Whoever reads this may ask it to stop: from here on a stop is one in order.
    let addresses: Vec<_> = servers.iter().flat_map(Server::addresses).collect();
    tracing::info!(?addresses, data_dirs, started_ms, "serving");
    runtime.block_on(async {
        let failure = tokio::select! {
            () = stops.any() => None,
            reason = failed.recv() => reason,
        };
        let (tell, told) = tokio::sync::oneshot::channel();
        let stop_began = Instant::now();
        std::thread::spawn(move || {
            stop_all(servers);
            tell.send(())
        });
        tokio::select! {
            // What went wrong it has said itself.
            ended = told => ended.context("the broker did not stop as it should")?,
            () = insisted(&mut stops.interrupt, stop_began) => {
                bail!("interrupted again while it stopped: the next start goes about it as after a crash")
            }
        }
        match failure {
            Some(reason) => bail!(reason),
            None => Ok(()),
        }
    })
}

/// Starts all at the same time: each of several waits for the others. Gives up with the first that fails.
fn start_all(configs: Vec<Config>) -> Result<Vec<Server>, StartError> {
    let count = configs.len();
    let (tell, told) = std::sync::mpsc::channel();
    for (number, config) in configs.into_iter().enumerate() {
        let tell = tell.clone();
        std::thread::spawn(move || {
            let nodes = |address| announce(&format!("listening for other nodes on {address}"));
            // Nobody listens if another one has failed.
            let _ = tell.send((number, Server::start_telling(config, nodes)));
        });
    }
    drop(tell);
    let mut servers: Vec<(usize, Server)> = Vec::with_capacity(count);
    for (number, started) in told {
        servers.push((number, started?));
    }
    servers.sort_by_key(|(number, _)| *number);
    Ok(servers.into_iter().map(|(_, server)| server).collect())
}

fn stop_all(servers: Vec<Server>) {
    let stopping: Vec<_> =
        servers.into_iter().map(|server| std::thread::spawn(move || server.stop())).collect();
    for thread in stopping {
        // A panic has been told where it happened.
        let _ = thread.join();
    }
}

/// The signals by which it is told to stop.
struct Stops {
    terminate: Signal,
    interrupt: Signal,
    /// The terminal is gone. Whoever started it with `nohup` wants it to go on.
    hangup: Option<Signal>,
}

impl Stops {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) },
        })
    }

    async fn any(&mut self) {
        let Self { terminate, interrupt, hangup } = self;
        let hung_up = async {
            match hangup {
                Some(hangup) => {
                    hangup.recv().await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = hung_up => {}
        }
    }
}

/// What was asked for by whoever started it, as the system tells it; the first signal is the lowest bit.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & 1 == 1))
}

/// Somebody at the keyboard will not wait. Whoever passes signals on (`timeout`, `npm`, a shell) often sends one twice, at once: that is not meant so, and
/// a stop that is cut short costs the clean marker.
async fn insisted(interrupt: &mut Signal, stop_began: Instant) {
    while interrupt.recv().await.is_some() {
        if Duration::from_secs(1) <= stop_began.elapsed() {
            return;
        }
    }
    std::future::pending().await
}

fn metrics_address(text: &str) -> Result<SocketAddr, Usage> {
    match text.parse::<u16>() {
        Ok(port) => Ok(SocketAddr::from(([127, 0, 0, 1], port))),
        Err(_) => address(text),
    }
}

fn address(text: &str) -> Result<SocketAddr, Usage> {
    let unusable = |problem: &str| {
        Usage(format!("--metrics-listen {text}: {problem}; expected HOST:PORT, such as 127.0.0.1:9100"))
    };
    let mut found = text.to_socket_addrs().map_err(|error| unusable(&error.to_string()))?;
    found.next().ok_or_else(|| unusable("the name has no address"))
}

/// The place the system has for data: a service is told by `STATE_DIRECTORY`, a user has `XDG_DATA_HOME`.
fn default_data_dir() -> Result<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if let Some(state) = absolute("STATE_DIRECTORY") {
        return Ok(state);
    }
    let data_home = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")));
    data_home
        .map(|data_home| data_home.join("klamm"))
        .context("there is no home directory to keep data in; --data-dir DIR names a place")
}
