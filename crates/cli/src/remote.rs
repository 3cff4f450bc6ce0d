//! Reaching the brokers.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use klamm_client::{Admin, Client, ClientConfig, metadata::Topic};
use klamm_model::ErrorCode;

use crate::args::RemoteArgs;

const DEFAULT_PORT: u16 = 9092;
/// A person waits: whoever takes no connection by then is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// By then a topic has leaders or has none.
const TOPIC_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs a command on a runtime of one thread: nothing it does is helped by more.
pub(crate) fn run<T>(command: impl Future<Output = Result<T>>) -> Result<T> {
    crate::output::log_to_stderr("warn");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(command)
}

/// Connects to the cluster. `creates_topics`: whether asking for a topic may make it.
pub(crate) async fn connect(remote: &RemoteArgs, creates_topics: bool) -> Result<Client> {
    let bootstrap = remote.bootstrap.iter().map(|address| with_port(address)).collect();
    let config = ClientConfig {
        bootstrap,
        connect_timeout_ms: milliseconds(remote.timeout.min(CONNECT_TIMEOUT)),
        request_timeout_ms: milliseconds(remote.timeout),
        auto_create_topics: creates_topics,
        ..ClientConfig::new("")
    };
    Client::connect(config).await.map_err(|error| {
        anyhow!("{error}\n  Is a broker running there? `klamm serve` starts one; --bootstrap HOST:PORT names another.")
    })
}

/// Connects to administer the cluster.
pub(crate) async fn administer(remote: &RemoteArgs) -> Result<Admin> {
    Ok(Admin::new(&connect(remote, false).await?).with_timeout(remote.timeout))
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The topic, once all its partitions have leaders.
pub(crate) async fn topic(client: &Client, name: &str) -> Result<Topic> {
    client.topic(name, TOPIC_TIMEOUT).await.map_err(|answer| match answer {
        Some(ErrorCode::UnknownTopicOrPartition) | None => {
            anyhow!("there is no topic {name:?}; `klamm topic create {name}` makes it")
        }
        Some(ErrorCode::InvalidTopicException) => anyhow!("{name:?} is no name for a topic"),
        Some(code) => anyhow!("topic {name:?}: the broker answered {code}"),
    })
}

fn with_port(address: &str) -> String {
    let host = address.trim();
    let has_port = match host.rsplit_once(':') {
        // In a bare IPv6 address every group looks like a port.
        Some((before, port)) => {
            port.parse::<u16>().is_ok() && (!before.contains(':') || before.ends_with(']'))
        }
        None => false,
    };
    match has_port {
        true => host.to_owned(),
        false if host.contains(':') && !host.starts_with('[') => format!("[{host}]:{DEFAULT_PORT}"),
        false => format!("{host}:{DEFAULT_PORT}"),
    }
}

#[cfg(test)]
mod tests {
    use super::with_port;

    #[test]
    fn a_missing_port_is_kafkas() {
        for (given, meant) in [
            ("localhost", "localhost:9092"),
            ("localhost:1", "localhost:1"),
            ("::1", "[::1]:9092"),
            ("[::1]", "[::1]:9092"),
            ("[::1]:19", "[::1]:19"),
            (" 127.0.0.1:9093", "127.0.0.1:9093"),
        ] {
            assert_eq!(with_port(given), meant);
        }
    }
}
