//! Reaching the brokers.

use std::fs;
use std::future::{Future, pending};
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow, bail};
use klamm_client::{
    Acks, Admin, CallError, Client, ClientConfig, ConsumerConfig, GroupConfig, GroupProtocol, ProducerConfig,
    PropertyError, TransactionalConfig, foreign_property, metadata::Topic, property_names, read_properties,
};
use klamm_model::ErrorCode;

use crate::args::RemoteArgs;
use crate::config::hint;
use crate::failure::{Usage, tell};

const DEFAULT_PORT: u16 = 9092;
const DEFAULT_ADDRESS: &str = "127.0.0.1";
const BOOTSTRAP: &str = "bootstrap.servers";
const ACKS: &str = "acks";
const BEGINS: &str = "auto.offset.reset";
/// A person waits: whoever takes no connection by then is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// By then a topic has leaders or has none.
const LEADERS_TIMEOUT: Duration = Duration::from_secs(1);
/// By then a topic that may be made is made.
const CREATION_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs a command on a runtime of one thread: nothing it does is helped by more.
pub(crate) fn run<T>(command: impl Future<Output = Result<T>>) -> Result<T> {
    crate::output::log_to_stderr("warn");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(command)
}

/// The same where the command may stand still, in a write that nobody reads for example, while what it has spawned goes on.
pub(crate) fn run_beside<T>(command: impl Future<Output = Result<T>>) -> Result<T> {
    crate::output::log_to_stderr("warn");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let handle = runtime.handle().clone();
    // It ends with the process.
    thread::spawn(move || runtime.block_on(pending::<()>()));
    handle.block_on(command)
}

/// What clients are told. There are secrets among it: it is never printed.
#[derive(Clone)]
pub(crate) struct Settings {
    /// By Kafka's names; the last of a name counts.
    given: Vec<(String, String)>,
    file: Option<PathBuf>,
    /// Up to here they come from the file.
    file_end: usize,
    client: ClientConfig,
}

/// What the file says, what beats it on the command line, and the options that stand for settings of their own.
pub(crate) fn settings(remote: &RemoteArgs) -> Result<Settings> {
    let mut given = vec![(BOOTSTRAP.to_owned(), DEFAULT_ADDRESS.to_owned())];
    if let Some(file) = &remote.client_config {
        let name = file.display();
        let text = fs::read_to_string(file).map_err(|error| Usage(format!("{name}: {error}")))?;
        given.extend(read_properties(&text).map_err(|error| Usage(format!("{name}: {error}")))?);
    }
    let file_end = given.len();
    given.extend(remote.client_settings.iter().cloned());
    if !remote.bootstrap.is_empty() {
        given.push((BOOTSTRAP.to_owned(), remote.bootstrap.join(",")));
    }
    if let Some(timeout) = remote.timeout {
        given.push(("request.timeout.ms".to_owned(), timeout.as_millis().to_string()));
    }
    let mut client = ClientConfig::from_properties(&given).map_err(|error| usage(&error))?;
    client.bootstrap = client.bootstrap.iter().map(|address| with_port(address)).collect::<Result<_, _>>()?;
    if !is_set(&given, "socket.connection.setup.timeout.ms") {
        client.connect_timeout_ms = client.request_timeout_ms.min(CONNECT_TIMEOUT.as_millis() as u64);
    }
    Ok(Settings { given, file: remote.client_config.clone(), file_end, client })
}

fn is_set(given: &[(String, String)], key: &str) -> bool {
    given.iter().any(|(set, _)| set == key)
}

fn usage(error: &PropertyError) -> Usage {
    let hint = match error {
        PropertyError::Unknown { keys } => {
            let first = keys.first().filter(|key| foreign_property(key).is_none());
            first.map(|key| hint(key, property_names()))
        }
        _ => None,
    };
    let hint = hint.unwrap_or_default();
    Usage(format!("settings of clients: {error}{hint}"))
}

impl Settings {
    /// For producers, which wait this long for a topic if nothing is said of that. `acks`: what an option of its own says.
    pub(crate) fn producer(&self, block_max_ms: u64, acks: Option<Acks>) -> Result<ProducerConfig> {
        self.check_idempotence(acks)?;
        let mut given = self.given.clone();
        given.extend(acks.map(|acks| (ACKS.to_owned(), acks.to_wire().to_string())));
        let config = ProducerConfig::from_properties(&given).map_err(|error| usage(&error))?;
        let block_max_ms =
            if is_set(&self.given, "max.block.ms") { config.block_max_ms } else { block_max_ms };
        Ok(ProducerConfig { block_max_ms, ..config })
    }

    /// For one that writes in transactions, as this producer does without.
    pub(crate) fn transactional(&self, id: &str, producer: ProducerConfig) -> Result<TransactionalConfig> {
        let mut given = self.given.clone();
        given.push(("transactional.id".to_owned(), id.to_owned()));
        let config = TransactionalConfig::from_properties(&given).map_err(|error| usage(&error))?;
        Ok(TransactionalConfig { producer, ..config })
    }

    /// Who asks for it must not lose it by another setting without a word; Kafka's clients refuse that, too.
    fn check_idempotence(&self, option: Option<Acks>) -> Result<(), Usage> {
        let Some((wanted, place)) = self.found("enable.idempotence") else { return Ok(()) };
        let (acks, acks_place) = match (option, self.found(ACKS)) {
            (Some(acks), _) => (acks, "--acks".to_owned()),
            (None, Some((acks, place))) => {
                (acks.parse().unwrap_or_default(), format!("{ACKS}={acks} ({place})"))
            }
            (None, None) => return Ok(()),
        };
        if acks == Acks::All || !wanted.eq_ignore_ascii_case("true") {
            return Ok(());
        }
        Err(Usage(format!(
            "enable.idempotence={wanted} ({place}) needs acks=all, and {acks_place} asks for less"
        )))
    }

    /// The value that counts, and where it was given, for a person.
    fn found(&self, key: &str) -> Option<(&str, String)> {
        let (number, (_, value)) = self.given.iter().enumerate().rfind(|(_, (set, _))| set == key)?;
        let file = self.file.as_ref().filter(|_| number < self.file_end);
        Some((value.trim(), file.map_or("-X".to_owned(), |file| file.display().to_string())))
    }

    pub(crate) fn consumer(&self) -> Result<ConsumerConfig> {
        Ok(ConsumerConfig::from_properties(&self.given).map_err(|error| usage(&error))?)
    }

    /// For a member of the group. `begins`: where it does if the group has committed nothing, or nothing that is there, if that is said.
    pub(crate) fn member(
        &self,
        group: &str,
        protocol: Option<GroupProtocol>,
        begins: Option<&str>,
    ) -> Result<(ConsumerConfig, GroupConfig)> {
        let set = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let mut given = vec![set(BEGINS, "earliest")];
        given.extend(self.given.iter().cloned());
        given.extend(begins.map(|begins| set(BEGINS, begins)));
        given.push(set("group.id", group));
        given.extend(protocol.map(|protocol| set("group.protocol", protocol.name())));
        let read = ConsumerConfig::from_properties(&given).map_err(|error| usage(&error))?;
        let member = GroupConfig::from_properties(&given).map_err(|error| usage(&error))?;
        Ok((read, member))
    }

    /// How long brokers may take to answer.
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_millis(self.client.request_timeout_ms)
    }
}

/// Connects to the cluster. `creates_topics`: whether asking for a topic may make it.
pub(crate) async fn connect(settings: &Settings, creates_topics: bool) -> Result<Client> {
    let mut config = settings.client.clone();
    config.auto_create_topics &= creates_topics;
    Client::connect(config).await.map_err(|error| match error {
        CallError::TlsSetup(_) => Usage(format!("settings of clients: {error}")).into(),
        error => anyhow!(
            "{error}\n  Is a broker running there? `klamm serve` starts one; --bootstrap HOST:PORT names another."
        ),
    })
}

/// Connects to administer the cluster.
pub(crate) async fn administer(remote: &RemoteArgs) -> Result<Admin> {
    let settings = settings(remote)?;
    Ok(Admin::new(&connect(&settings, false).await?).with_timeout(settings.timeout()))
}

/// The topic. Its partitions have leaders, or have had none for a while. Brokers may take `timeout` to tell of it.
pub(crate) async fn topic(client: &Client, name: &str, timeout: Duration) -> Result<Topic> {
    found(client, name, LEADERS_TIMEOUT, timeout).await?.map_err(|answer| no_topic(name, answer))
}

/// The same, of one that is made if it is not there.
pub(crate) async fn topic_or_new(client: &Client, name: &str, timeout: Duration) -> Result<Topic> {
    let mut topic = found(client, name, LEADERS_TIMEOUT, timeout).await?;
    if let Err(ErrorCode::UnknownTopicOrPartition | ErrorCode::LeaderNotAvailable) = topic {
        topic = found(client, name, CREATION_TIMEOUT, timeout).await?;
    }
    topic.map_err(|answer| no_topic(name, answer))
}

/// What brokers say of the topic. That no broker has said anything yet says nothing of it.
async fn found(
    client: &Client,
    name: &str,
    patience: Duration,
    timeout: Duration,
) -> Result<Result<Topic, ErrorCode>> {
    let began = Instant::now();
    let mut is_told = false;
    loop {
        match client.topic(name, patience).await {
            Ok(topic) => return Ok(Ok(topic)),
            Err(Some(code)) => return Ok(Err(code)),
            Err(None) if timeout <= began.elapsed() => break,
            Err(None) if !is_told => {
                tell(&format!("waiting: no broker tells of topic {name:?}"));
                is_told = true;
            }
            Err(None) => {}
        }
    }
    let why = client.unreachable().map_or(String::new(), |error| format!(": {error}"));
    bail!("no broker tells of topic {name:?}{why}; that was waited for {} s", began.elapsed().as_secs())
}

fn no_topic(name: &str, answer: ErrorCode) -> Error {
    match answer {
        ErrorCode::UnknownTopicOrPartition => {
            anyhow!("there is no topic {name:?}; `klamm topic create {name}` makes it")
        }
        ErrorCode::InvalidTopicException => anyhow!("{name:?} is no name for a topic"),
        code => anyhow!("topic {name:?}: the broker answered {code}"),
    }
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
