//! Reaching the brokers.

use std::future::Future;
use std::net::Ipv6Addr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use klamm_client::{Admin, Client, ClientConfig, metadata::Topic};
use klamm_model::ErrorCode;

use crate::args::RemoteArgs;
use crate::failure::{Usage, tell};
use crate::output::listed;

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
    let bootstrap = remote.bootstrap.iter().map(|address| with_port(address)).collect::<Result<_, _>>()?;
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

/// The topic, once all its partitions have leaders. Those that have none by then are told: what is said to them, or asked of them, waits.
pub(crate) async fn topic(client: &Client, name: &str) -> Result<Topic> {
    let topic = client.topic(name, TOPIC_TIMEOUT).await.map_err(|answer| match answer {
        Some(ErrorCode::UnknownTopicOrPartition) | None => {
            anyhow!("there is no topic {name:?}; `klamm topic create {name}` makes it")
        }
        Some(ErrorCode::InvalidTopicException) => anyhow!("{name:?} is no name for a topic"),
        Some(code) => anyhow!("topic {name:?}: the broker answered {code}"),
    })?;
    let partitions = topic.partitions.iter().enumerate();
    let leaderless: Vec<_> = partitions.filter(|(_, it)| it.leader.is_none()).map(|it| it.0).collect();
    if !leaderless.is_empty() {
        let numbers = listed(&leaderless);
        tell(&format!("topic {name:?}: nobody leads partition {numbers}; `klamm cluster status` tells more"));
    }
    Ok(topic)
}

/// A broker's address; without a port, it is Kafka's.
fn with_port(address: &str) -> Result<String, Usage> {
    let address = address.trim();
    let is_v6 = |it: &str| it.split('%').next().is_some_and(|it| it.parse::<Ipv6Addr>().is_ok());
    let (host, port) = match address.rsplit_once(':') {
        // In a bare IPv6 address every group looks like a port.
        _ if is_v6(address) => (format!("[{address}]"), Some(DEFAULT_PORT)),
        Some((host, port)) if !port.ends_with(']') => (host.to_owned(), port.parse().ok()),
        _ => (address.to_owned(), Some(DEFAULT_PORT)),
    };
    let is_host = match host.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
        Some(inside) => is_v6(inside),
        None => !host.is_empty() && !host.contains([':', '/', '[', ']']),
    };
    match port {
        Some(port) if is_host && port != 0 => Ok(format!("{host}:{port}")),
        _ => Err(Usage(format!("{address:?} is no address of a broker; expected HOST:PORT"))),
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
            ("fe80::1%eth0", "[fe80::1%eth0]:9092"),
            (" 127.0.0.1:9093", "127.0.0.1:9093"),
        ] {
            assert_eq!(with_port(given).expect("an address"), meant);
        }
    }

    #[test]
    fn what_is_no_address_is_wrong_usage() {
        for wrong in
            ["", " ", ":9092", "host:", "host:port", "host:0", "host:65536", "http://host:9092", "[host]:1"]
        {
            let error = with_port(wrong).expect_err(wrong);
            assert!(error.0.ends_with("expected HOST:PORT"), "{error}");
        }
    }
}
