//! `klamm serve` and `klamm dev`.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use klamm_model::BrokerId;
use klamm_server::{Config, LoadError, Server, Sources};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::{BrokerArgs, DevArgs, ServeArgs};
use crate::failure::Usage;
use crate::output::{log_to_stderr, print_line};

pub(crate) fn serve(args: &ServeArgs, began: Instant) -> Result<()> {
    let mut options = Vec::new();
    if let Some(data_dir) = &args.data_dir {
        let unusable = || Usage(format!("--data-dir {}: the path is not UTF-8", data_dir.display()));
        let path = data_dir.to_str().ok_or_else(unusable)?;
        options.push(("log.dirs".to_owned(), path.to_owned(), format!("--data-dir {path}")));
    }
    if let Some(node_id) = args.node_id {
        options.push(("node.id".to_owned(), node_id.to_string(), format!("--node-id {node_id}")));
    }
    let config = settings(&args.broker, options, default_data_dir)?;
    run(config, began)
}

pub(crate) fn dev(args: &DevArgs, began: Instant) -> Result<()> {
    let directory =
        tempfile::Builder::new().prefix("klamm-dev-").tempdir().context("no temporary directory")?;
    let path = directory.path().to_owned();
    let own = path.to_str().context("the path of the temporary directory is not UTF-8")?.to_owned();
    let options = vec![("log.dirs".to_owned(), own, "the temporary directory".to_owned())];
    let done = settings(&args.broker, options, || Ok(path.clone())).and_then(|config| run(config, began));
    directory.close().with_context(|| format!("{} was not removed", path.display()))?;
    done
}

/// A key, its value, and how that was given.
type Given = (String, String, String);

/// What the file, the environment, `--set` and the other options say, each stronger than the one before.
fn settings(
    args: &BrokerArgs,
    mut options: Vec<Given>,
    data_dir: impl FnOnce() -> Result<PathBuf>,
) -> Result<Config> {
    log_to_stderr("warn");
    if let Some(listen) = &args.listen {
        let uri = if listen.contains("://") { listen.clone() } else { format!("PLAINTEXT://{listen}") };
        options.push(("listeners".to_owned(), uri, format!("--listen {listen}")));
    }
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

fn run(config: Config, began: Instant) -> Result<()> {
    // Signals are listened to before anything has to be cleaned up.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().context("no runtime")?;
    let mut stops = {
        let _context = runtime.enter();
        Stops::listen().context("no signals")?
    };
    let data_dirs: Vec<String> = config.data_dirs.iter().map(|path| path.display().to_string()).collect();
    let data_dirs = data_dirs.join(",");
    announce(&format!("data directory {data_dirs}"));
    let (tell, told) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // Nobody listens if it was told to stop meanwhile.
        let _ = tell.send(Server::start(config));
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
    let server = started.with_context(|| format!("the broker did not start (data directory {data_dirs})"))?;
    let (tell_failure, failed) = tokio::sync::oneshot::channel();
    server.on_failure(move |reason| {
        // Nobody listens if the stop has begun.
        let _ = tell_failure.send(reason);
    });
    for address in server.addresses() {
        announce(&format!("listening on {address}"));
    }
    if let Some(address) = server.metrics_address() {
        announce(&format!("metrics on http://{address}/metrics"));
    }
    announce(&format!("ready in {} ms", began.elapsed().as_millis()));
    runtime.block_on(async {
        let failure = tokio::select! {
            () = stops.any() => None,
            reason = failed => reason.ok(),
        };
        let (tell, told) = tokio::sync::oneshot::channel();
        let stop_began = Instant::now();
        std::thread::spawn(move || tell.send(server.stop()));
        tokio::select! {
            // What went wrong it has said itself.
            ended = told => ended.map(|_| ()).context("the broker did not stop as it should")?,
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
