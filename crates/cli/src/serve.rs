//! `klamm serve` and `klamm dev`.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use klamm_model::BrokerId;
use klamm_server::{Config, Server};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{BrokerArgs, DevArgs, ServeArgs};
use crate::failure::Usage;
use crate::output::{log_to_stderr, print_line};

pub(crate) fn serve(args: &ServeArgs, began: Instant) -> Result<()> {
    let data_dir = match &args.data_dir {
        Some(data_dir) => data_dir.clone(),
        None => default_data_dir()?,
    };
    run(&data_dir, args.node_id, &args.broker, began)
}

pub(crate) fn dev(args: &DevArgs, began: Instant) -> Result<()> {
    let directory =
        tempfile::Builder::new().prefix("klamm-dev-").tempdir().context("no temporary directory")?;
    let done = run(directory.path(), 1, &args.broker, began);
    let path = directory.path().to_owned();
    directory.close().with_context(|| format!("{} was not removed", path.display()))?;
    done
}

fn run(data_dir: &Path, node_id: i32, args: &BrokerArgs, began: Instant) -> Result<()> {
    log_to_stderr("warn");
    let mut config = Config::new(data_dir.to_owned(), BrokerId(node_id));
    config.listeners = vec![address(&args.listen)?];
    for (key, value) in &args.set {
        config.set(key, value).map_err(|error| Usage(format!("--set {key}={value}: {error}")))?;
    }
    // Signals are listened to before anything has to be cleaned up.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().context("no runtime")?;
    let (mut terminate, mut interrupt) = {
        let _context = runtime.enter();
        let listen = |kind| signal(kind).context("no signals");
        (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?)
    };
    print_line(&format!("data directory {}", data_dir.display()))?;
    let server = Server::start(config)
        .with_context(|| format!("the broker did not start (data directory {})", data_dir.display()))?;
    for address in server.addresses() {
        print_line(&format!("listening on {address}"))?;
    }
    print_line(&format!("ready in {} ms", began.elapsed().as_millis()))?;
    runtime.block_on(async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    });
    server.stop();
    Ok(())
}

fn address(text: &str) -> Result<SocketAddr, Usage> {
    let unusable = |problem: &str| {
        Usage(format!("--listen {text}: {problem}; expected HOST:PORT, such as 127.0.0.1:9092"))
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
