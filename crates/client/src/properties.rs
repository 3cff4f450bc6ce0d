//! Configuration by Kafka's property names. One table says who reads a key and what a value does; docs/CLIENT_CONFIG.md is written from it.
//!
//! A file of properties may be meant for several kinds of clients, so each kind takes what it reads and leaves alone what others read. What
//! nobody knows is refused: a misspelt setting would be missed only where it hurts.

mod foreign;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use klamm_model::{BadLine, Codec, Compression, parse_properties};
use tracing::debug;

use crate::tls::{NOT_PEM, read_store, with_lines};
use crate::{
    Acks, Assignor, ClientConfig, ConsumerConfig, GroupConfig, GroupProtocol, Password, ProducerConfig, Sasl,
    ScramMechanism, Tls, TlsIdentity, TlsVersion, Tokens, TransactionalConfig,
};

/// Settings that can't be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PropertyError {
    /// The text is not in the format of properties.
    #[error("{0}")]
    Unreadable(#[from] BadLine),
    /// The text sets something twice, and only one of the two can count.
    #[error("line {line}: {key} was set before, in line {before}")]
    Repeated {
        /// The setting.
        key: String,
        /// Where it stands the second time, counted from 1.
        line: usize,
        /// Where it stands the first time.
        before: usize,
    },
    /// No client of Kafka has such settings.
    #[error("there is no setting {}", listed(.keys))]
    Unknown {
        /// What was found instead of settings.
        keys: Vec<String>,
    },
    /// A setting with a value that it can't have.
    #[error("{key}={value}: {problem}")]
    Invalid {
        /// The setting.
        key: String,
        /// Its value.
        value: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A setting without which nothing goes.
    #[error("{0} is not set")]
    Missing(&'static str),
}

/// The settings that a text in the format of Java's `.properties` has, in their order. What comes later in such a list counts.
///
/// ```
/// use klamm_client::{ClientConfig, ProducerConfig, read_properties};
///
/// let mut settings = read_properties("# for all of us\nbootstrap.servers = a:9092, b:9092\nlinger.ms = 20\n")?;
/// settings.push(("client.id".into(), "me".into()));
/// assert_eq!(ClientConfig::from_properties(&settings)?.bootstrap, ["a:9092", "b:9092"]);
/// assert_eq!(ProducerConfig::from_properties(&settings)?.linger_ms, 20);
/// # Ok::<(), klamm_client::PropertyError>(())
/// ```
pub fn read_properties(text: &str) -> Result<Vec<(String, String)>, PropertyError> {
    let lines = parse_properties(text)?;
    let mut places = BTreeMap::new();
    for (line, key, _) in &lines {
        if let Some(before) = places.insert(key, *line) {
            return Err(PropertyError::Repeated { key: key.clone(), line: *line, before });
        }
    }
    Ok(lines.into_iter().map(|(_, key, value)| (key, value)).collect())
}

/// The names of all settings that are understood, to find the one that was meant.
pub fn property_names() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|(key, _)| *key)
}

/// What a setting of another client is here, if it is one of librdkafka's that Kafka's clients have by another name or not at all.
pub fn foreign_property(name: &str) -> Option<String> {
    foreign::meaning(name)
}

fn listed(keys: &[String]) -> String {
    let with_meaning = keys.iter().map(|key| match foreign_property(key) {
        Some(meaning) => format!("{key} (of librdkafka; {meaning})"),
        None => key.clone(),
    });
    with_meaning.collect::<Vec<_>>().join(", ")
}

type Set<C> = fn(&mut C, &str) -> Result<(), String>;

enum Reader {
    Client(Set<ClientConfig>),
    Producer(Set<ProducerConfig>),
    Transactions(Set<TransactionalConfig>),
    Consumer(Set<ConsumerConfig>),
    Group(Set<GroupConfig>),
    /// It is accepted and has no effect, for this reason.
    Nobody(&'static str),
}

use Reader::{Client, Consumer, Group, Nobody, Producer, Transactions};

const JAAS: &str = "sasl.jaas.config";
const KEY: &str = "ssl.keystore.key";
const CHAIN: &str = "ssl.keystore.certificate.chain";
const ROOTS: &str = "ssl.truststore.certificates";
/// What is not shown when it is wrong: a key may have been put where certificates belong.
const SECRETS: [&str; 4] = [JAAS, KEY, CHAIN, ROOTS];
/// Numbers of 32 and of 64 bits, as Kafka has them.
const INT: i64 = i32::MAX as i64;
const LONG: i64 = i64::MAX;
const PROTOCOL: &str = "security.protocol";
const ID: &str = "transactional.id";
const PROTOCOL_OF_GROUP: &str = "group.protocol";
/// Settings that only one of the protocols of groups has, and would be missed in the other.
const OF_CLASSIC: [&str; 3] =
    ["heartbeat.interval.ms", "partition.assignment.strategy", "session.timeout.ms"];
const OF_CONSUMER: [&str; 1] = ["group.remote.assignor"];
const WITH_TRANSACTIONS: &str = "a producer of transactions has it, and this is none";
const IN_CODE: &str = "given in code, by type";
const BY_ITSELF: &str = "sockets and addresses are looked after without settings";
const OF_JAVA: &str = "only Java has such a thing";
const NO_PASSWORD: &str = "PEM files have no password, and a key that has one is refused";
const NO_METRICS: &str =
    "everything is counted, and told when asked: `metrics()` of client, producer and consumer";

/// Rows of one key stand together. Values are set in this order, whatever the order they were given in.
const KEYS: &[(&str, Reader)] = &[
    ("acks", Producer(|config, value| set(&mut config.acks, value))),
    ("allow.auto.create.topics", Client(|config, value| set_flag(&mut config.auto_create_topics, value))),
    (
        "auto.commit.interval.ms",
        Group(|config, value| set_ms(config.auto_commit_interval_ms.insert(0), 0..=INT, value)),
    ),
    ("auto.offset.reset", Consumer(|config, value| set(&mut config.out_of_range, value))),
    ("auto.offset.reset", Group(|config, value| set(&mut config.uncommitted, value))),
    ("batch.size", Producer(|config, value| set_size(&mut config.batch_size, 0..=INT, value))),
    ("bootstrap.resolve.timeout.ms", Nobody(BY_ITSELF)),
    ("bootstrap.servers", Client(|config, value| set_list(&mut config.bootstrap, value))),
    ("buffer.memory", Producer(|config, value| set_size(&mut config.buffer_memory, 1..=LONG, value))),
    ("check.crcs", Nobody("checksums are always looked at")),
    ("client.dns.lookup", Nobody(BY_ITSELF)),
    ("client.id", Client(|config, value| set(&mut config.client_id, value))),
    ("client.rack", Consumer(|config, value| set(&mut config.rack, value))),
    ("compression.type", Producer(set_codec)),
    ("compression.gzip.level", Producer(set_gzip_level)),
    ("compression.lz4.level", Nobody("there is one way only, the fast one")),
    (
        "compression.zstd.level",
        Producer(|config, value| set_level(config, Codec::Zstd, -131_072..=22, value)),
    ),
    ("connections.max.idle.ms", Nobody(BY_ITSELF)),
    ("default.api.timeout.ms", Nobody("each call has a time of its own")),
    (
        "delivery.timeout.ms",
        Producer(|config, value| set_ms(&mut config.delivery_timeout_ms, 1..=INT, value)),
    ),
    ("enable.auto.commit", Group(set_auto_commit)),
    ("enable.idempotence", Producer(|config, value| set_flag(&mut config.idempotent, value))),
    ("enable.metrics.push", Nobody(NO_METRICS)),
    ("exclude.internal.topics", Nobody("topics are assigned by name")),
    ("fetch.max.bytes", Consumer(|config, value| set_size(&mut config.bytes_max, 0..=INT, value))),
    ("fetch.max.wait.ms", Consumer(|config, value| set_ms(&mut config.wait_max_ms, 0..=INT, value))),
    ("fetch.min.bytes", Consumer(|config, value| set_size(&mut config.bytes_min, 0..=INT, value))),
    ("group.id", Group(|config, value| set(&mut config.group_id, value))),
    ("group.instance.id", Group(|config, value| set(config.instance_id.insert(String::new()), value))),
    (PROTOCOL_OF_GROUP, Group(|config, value| set(&mut config.protocol, value))),
    (
        "group.remote.assignor",
        Group(|config, value| set(config.server_assignor.insert(String::new()), value)),
    ),
    (
        "heartbeat.interval.ms",
        Group(|config, value| set_ms(&mut config.heartbeat_interval_ms, 1..=INT, value)),
    ),
    ("interceptor.classes", Nobody(IN_CODE)),
    ("isolation.level", Consumer(|config, value| set(&mut config.isolation, value))),
    ("key.deserializer", Nobody(IN_CODE)),
    ("key.serializer", Nobody(IN_CODE)),
    ("linger.ms", Producer(|config, value| set_ms(&mut config.linger_ms, 0..=LONG, value))),
    ("max.block.ms", Producer(|config, value| set_ms(&mut config.block_max_ms, 0..=LONG, value))),
    (
        "max.in.flight.requests.per.connection",
        Producer(|config, value| set_size(&mut config.in_flight_max, 1..=INT, value)),
    ),
    (
        "max.partition.fetch.bytes",
        Consumer(|config, value| set_size(&mut config.partition_bytes_max, 0..=INT, value)),
    ),
    ("max.poll.interval.ms", Group(|config, value| set_ms(&mut config.poll_interval_max_ms, 1..=INT, value))),
    ("max.poll.records", Nobody("what waits to be read is bounded in bytes")),
    ("max.request.size", Producer(|config, value| set_size(&mut config.request_size_max, 1..=INT, value))),
    ("metadata.cluster.check.enable", Nobody(BY_ITSELF)),
    ("metadata.max.age.ms", Client(|config, value| set_ms(&mut config.metadata_age_max_ms, 0..=LONG, value))),
    (
        "metadata.max.age.ms",
        Consumer(|config, value| set_ms(&mut config.nearest_age_max_ms, 0..=LONG, value)),
    ),
    ("metadata.max.idle.ms", Nobody("a topic is kept up to date from the first use on")),
    ("metadata.recovery.rebootstrap.trigger.ms", Nobody(BY_ITSELF)),
    ("metadata.recovery.strategy", Nobody(BY_ITSELF)),
    ("metric.reporters", Nobody(NO_METRICS)),
    ("metrics.num.samples", Nobody(NO_METRICS)),
    ("metrics.recording.level", Nobody(NO_METRICS)),
    ("metrics.sample.window.ms", Nobody(NO_METRICS)),
    ("partition.assignment.strategy", Group(set_assignors)),
    (
        "partitioner.adaptive.partitioning.enable",
        Producer(|config, value| set_flag(&mut config.prefers_idle_partitions, value)),
    ),
    ("partitioner.availability.timeout.ms", Nobody("how many batches wait in a partition says enough")),
    ("partitioner.class", Nobody(IN_CODE)),
    ("partitioner.ignore.keys", Producer(|config, value| set_flag(&mut config.ignores_keys, value))),
    ("partitioner.rack.aware", Nobody("how many batches wait in a partition says enough")),
    ("receive.buffer.bytes", Nobody(BY_ITSELF)),
    ("reconnect.backoff.max.ms", Nobody(BY_ITSELF)),
    ("reconnect.backoff.ms", Nobody(BY_ITSELF)),
    ("request.timeout.ms", Client(|config, value| set_ms(&mut config.request_timeout_ms, 1..=INT, value))),
    ("request.timeout.ms", Producer(|config, value| set_ms(&mut config.request_timeout_ms, 1..=INT, value))),
    ("request.timeout.ms", Consumer(|config, value| set_ms(&mut config.request_timeout_ms, 1..=INT, value))),
    ("retries", Producer(|config, value| number(0..=INT, value).map(|it| config.retries_max = it as u32))),
    ("retry.backoff.ms", Producer(|config, value| set_ms(&mut config.backoff.first_ms, 0..=LONG, value))),
    ("retry.backoff.ms", Consumer(|config, value| set_ms(&mut config.backoff.first_ms, 0..=LONG, value))),
    (
        "retry.backoff.max.ms",
        Producer(|config, value| set_ms(&mut config.backoff.longest_ms, 0..=LONG, value)),
    ),
    (
        "retry.backoff.max.ms",
        Consumer(|config, value| set_ms(&mut config.backoff.longest_ms, 0..=LONG, value)),
    ),
    ("sasl.mechanism", Client(set_mechanism)),
    (JAAS, Client(set_jaas)),
    ("security.providers", Nobody(OF_JAVA)),
    ("send.buffer.bytes", Nobody(BY_ITSELF)),
    ("session.timeout.ms", Group(|config, value| set_ms(&mut config.session_timeout_ms, 1..=INT, value))),
    ("socket.connection.setup.timeout.max.ms", Nobody("every try has the same time")),
    (
        "socket.connection.setup.timeout.ms",
        Client(|config, value| set_ms(&mut config.connect_timeout_ms, 1..=LONG, value)),
    ),
    (
        "ssl.cipher.suites",
        Client(|config, value| set_list(tls(config).cipher_suites.insert(Vec::new()), value)),
    ),
    ("ssl.enabled.protocols", Client(set_tls_versions)),
    ("ssl.endpoint.identification.algorithm", Client(set_name_check)),
    ("ssl.engine.factory.class", Nobody(OF_JAVA)),
    ("ssl.key.password", Nobody(NO_PASSWORD)),
    ("ssl.keymanager.algorithm", Nobody(OF_JAVA)),
    (CHAIN, Client(|config, value| set_chain(config, &with_lines(value)))),
    (KEY, Client(|config, value| set_key(config, with_lines(value)))),
    (
        "ssl.keystore.location",
        Client(|config, file| {
            let text = read_store(file)?;
            set_chain(config, &text)?;
            set_key(config, text)
        }),
    ),
    ("ssl.keystore.password", Nobody(NO_PASSWORD)),
    ("ssl.keystore.type", Client(|_, value| refuse_unless(value == "PEM", NOT_PEM))),
    ("ssl.protocol", Nobody("the newest that both sides have is taken")),
    ("ssl.provider", Nobody(OF_JAVA)),
    ("ssl.secure.random.implementation", Nobody(OF_JAVA)),
    ("ssl.trustmanager.algorithm", Nobody(OF_JAVA)),
    (ROOTS, Client(|config, value| set_roots(config, &with_lines(value)))),
    ("ssl.truststore.location", Client(|config, file| set_roots(config, &read_store(file)?))),
    ("ssl.truststore.password", Nobody(NO_PASSWORD)),
    ("ssl.truststore.type", Client(|_, value| refuse_unless(value == "PEM", NOT_PEM))),
    // It decides which of those above count.
    (PROTOCOL, Client(set_protocol)),
    ("transaction.timeout.ms", Transactions(|config, value| set_ms(&mut config.timeout_ms, 1..=INT, value))),
    (ID, Transactions(|config, value| set(&mut config.transactional_id, value))),
    ("value.deserializer", Nobody(IN_CODE)),
    ("value.serializer", Nobody(IN_CODE)),
];

impl ClientConfig {
    /// The defaults, changed by Kafka's settings; `bootstrap.servers` must be among them. docs/CLIENT_CONFIG.md has the keys.
    pub fn from_properties(properties: &[(impl AsRef<str>, impl AsRef<str>)]) -> Result<Self, PropertyError> {
        let config = Self { bootstrap: Vec::new(), ..Self::new("") };
        let given = last_of_each(properties);
        let config = read(config, &given, |reader| match reader {
            Client(set) => Some(*set),
            Producer(_) | Transactions(_) | Consumer(_) | Group(_) | Nobody(_) => None,
        })?;
        // As Kafka's clients do without it: what stands there of TLS and SASL does not count.
        let config =
            if given.contains_key(PROTOCOL) { config } else { Self { tls: None, sasl: None, ..config } };
        if config.bootstrap.is_empty() {
            Err(PropertyError::Missing("bootstrap.servers"))
        } else {
            Ok(config)
        }
    }
}

impl ProducerConfig {
    /// The defaults, changed by Kafka's settings: docs/CLIENT_CONFIG.md has the keys.
    pub fn from_properties(properties: &[(impl AsRef<str>, impl AsRef<str>)]) -> Result<Self, PropertyError> {
        let given = last_of_each(properties);
        // Whoever asks for transactions must not lose them without a word.
        match given.get(ID) {
            Some(id) => Err(invalid(ID, id, WITH_TRANSACTIONS)),
            None => Self::of_transactions_or_not(&given),
        }
    }

    fn of_transactions_or_not(given: &BTreeMap<&str, &str>) -> Result<Self, PropertyError> {
        let config = read(Self::default(), given, |reader| match reader {
            Producer(set) => Some(*set),
            Client(_) | Transactions(_) | Consumer(_) | Group(_) | Nobody(_) => None,
        })?;
        match given.get_key_value("enable.idempotence") {
            // Whoever asks for it must not lose it by another setting.
            Some((key, value)) if config.idempotent && config.acks != Acks::All => {
                Err(invalid(key, value, "needs acks=all"))
            }
            _ => Ok(config),
        }
    }
}

impl TransactionalConfig {
    /// The defaults, changed by Kafka's settings; `transactional.id` must be among them. docs/CLIENT_CONFIG.md has the keys.
    pub fn from_properties(properties: &[(impl AsRef<str>, impl AsRef<str>)]) -> Result<Self, PropertyError> {
        let given = last_of_each(properties);
        let config = Self { producer: ProducerConfig::of_transactions_or_not(&given)?, ..Self::new("") };
        let config = read(config, &given, |reader| match reader {
            Transactions(set) => Some(*set),
            Client(_) | Producer(_) | Consumer(_) | Group(_) | Nobody(_) => None,
        })?;
        if config.transactional_id.is_empty() { Err(PropertyError::Missing(ID)) } else { Ok(config) }
    }
}

impl ConsumerConfig {
    /// The defaults, changed by Kafka's settings: docs/CLIENT_CONFIG.md has the keys.
    pub fn from_properties(properties: &[(impl AsRef<str>, impl AsRef<str>)]) -> Result<Self, PropertyError> {
        read(Self::default(), &last_of_each(properties), |reader| match reader {
            Consumer(set) => Some(*set),
            Client(_) | Producer(_) | Transactions(_) | Group(_) | Nobody(_) => None,
        })
    }
}

impl GroupConfig {
    /// The defaults, changed by Kafka's settings; `group.id` must be among them. docs/CLIENT_CONFIG.md has the keys. What only the other protocol
    /// of groups has is refused.
    pub fn from_properties(properties: &[(impl AsRef<str>, impl AsRef<str>)]) -> Result<Self, PropertyError> {
        let given = last_of_each(properties);
        let config = read(Self::new(""), &given, |reader| match reader {
            Group(set) => Some(*set),
            Client(_) | Producer(_) | Transactions(_) | Consumer(_) | Nobody(_) => None,
        })?;
        if config.group_id.is_empty() {
            return Err(PropertyError::Missing("group.id"));
        }
        let (others, problem) = match config.protocol {
            GroupProtocol::Classic => (&OF_CONSUMER[..], "only with group.protocol=consumer"),
            GroupProtocol::Consumer => {
                (&OF_CLASSIC[..], "not with group.protocol=consumer, where brokers say it")
            }
        };
        if let Some((key, value)) = others.iter().find_map(|key| given.get_key_value(key)) {
            return Err(invalid(key, value, problem));
        }
        if config.heartbeat_interval_ms >= config.session_timeout_ms {
            let value = config.heartbeat_interval_ms.to_string();
            return Err(invalid("heartbeat.interval.ms", &value, "not less than session.timeout.ms"));
        }
        Ok(config)
    }
}

fn last_of_each(properties: &[(impl AsRef<str>, impl AsRef<str>)]) -> BTreeMap<&str, &str> {
    properties.iter().map(|(key, value)| (key.as_ref(), value.as_ref())).collect()
}

fn read<C>(
    mut config: C,
    given: &BTreeMap<&str, &str>,
    setter_of: impl Fn(&Reader) -> Option<Set<C>>,
) -> Result<C, PropertyError> {
    let is_unknown = |key: &&&str| !KEYS.iter().any(|(known, _)| known == *key);
    let keys: Vec<String> = given.keys().filter(is_unknown).map(|key| shown(key)).collect();
    if !keys.is_empty() {
        return Err(PropertyError::Unknown { keys });
    }
    for (key, reader) in KEYS {
        let Some(value) = given.get(key) else { continue };
        if let Nobody(because) = reader {
            debug!(key, because, "a setting has no effect");
        }
        if let Some(set) = setter_of(reader) {
            set(&mut config, value.trim()).map_err(|problem| invalid(key, value, &problem))?;
        }
    }
    Ok(config)
}

/// What stands where a setting's name should. If it looks like none it may be a line of a key that was put there without `\\` at its end, which nobody shall read.
fn shown(key: &str) -> String {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    let is_name = key.len() <= 64 && key.bytes().all(fits);
    if is_name {
        key.to_owned()
    } else {
        "(something that is no name; lines that go on end with \\)".to_owned()
    }
}

fn invalid(key: &str, value: &str, problem: &str) -> PropertyError {
    let value = if SECRETS.contains(&key) { "(not shown)" } else { value };
    PropertyError::Invalid { key: key.into(), value: value.into(), problem: problem.into() }
}

fn set<T: FromStr<Err: Display>>(place: &mut T, value: &str) -> Result<(), String> {
    *place = value.parse().map_err(|problem: T::Err| problem.to_string())?;
    Ok(())
}

fn set_flag(place: &mut bool, value: &str) -> Result<(), String> {
    set(place, &value.to_ascii_lowercase()).map_err(|_| "neither true nor false".into())
}

/// A number within Kafka's own bounds, except that zero is refused where nothing could ever go on with it.
fn number(range: RangeInclusive<i64>, value: &str) -> Result<u64, String> {
    let number = value.parse().ok().filter(|number| range.contains(number));
    number.map(i64::cast_unsigned).ok_or_else(|| match (range.start(), range.end()) {
        (start, &LONG) => format!("not a number from {start} on"),
        (start, end) => format!("not a number from {start} to {end}"),
    })
}

fn set_size(place: &mut usize, range: RangeInclusive<i64>, value: &str) -> Result<(), String> {
    *place = usize::try_from(number(range, value)?).unwrap_or(usize::MAX);
    Ok(())
}

/// Kafka has the largest number of 64 bits for "for ever"; a hundred years are as good, and can be added to a clock.
fn set_ms(place: &mut u64, range: RangeInclusive<i64>, value: &str) -> Result<(), String> {
    const FOR_EVER_MS: u64 = 100 * 365 * 24 * 3_600 * 1_000;
    *place = number(range, value)?.min(FOR_EVER_MS);
    Ok(())
}

fn set_list(place: &mut Vec<String>, value: &str) -> Result<(), String> {
    *place = value.split(',').map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned).collect();
    Ok(())
}

fn set_auto_commit(config: &mut GroupConfig, value: &str) -> Result<(), String> {
    let mut is_wanted = true;
    set_flag(&mut is_wanted, value)?;
    config.auto_commit_interval_ms = config.auto_commit_interval_ms.filter(|_| is_wanted);
    Ok(())
}

fn set_assignors(config: &mut GroupConfig, value: &str) -> Result<(), String> {
    let mut names = Vec::new();
    set_list(&mut names, value)?;
    let assignors: Result<Vec<Assignor>, _> = names.iter().map(|name| name.parse()).collect();
    config.assignors = assignors?;
    refuse_unless(!config.assignors.is_empty(), "none at all")
}

/// What must not be lost without a word.
fn refuse_unless(is_right: bool, problem: &str) -> Result<(), String> {
    if is_right { Ok(()) } else { Err(problem.to_owned()) }
}

fn set_mechanism(config: &mut ClientConfig, value: &str) -> Result<(), String> {
    let (username, password) = (String::new(), Password::default());
    config.sasl = Some(match value {
        "PLAIN" => Sasl::Plain { username, password },
        "SCRAM-SHA-256" => Sasl::Scram { mechanism: ScramMechanism::Sha256, username, password },
        "SCRAM-SHA-512" => Sasl::Scram { mechanism: ScramMechanism::Sha512, username, password },
        "OAUTHBEARER" => Sasl::OAuthBearer(Tokens::new(|| Err("sasl.jaas.config gives none".into()))),
        _ => return Err("not one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER".into()),
    });
    Ok(())
}

/// What Java reads as the options of a login module: `org…LoginModule required username="a" password="b";`
fn set_jaas(config: &mut ClientConfig, value: &str) -> Result<(), String> {
    let option = |name: &str| jaas_option(value, name).ok_or_else(|| format!("it has no {name}=\"…\""));
    match &mut config.sasl {
        None => return Err("it needs a sasl.mechanism".into()),
        Some(Sasl::Plain { username, password } | Sasl::Scram { username, password, .. }) => {
            (*username, *password) = (option("username")?, option("password")?.into());
        }
        Some(Sasl::OAuthBearer(tokens)) => {
            *tokens = Tokens::unsecured(&option("unsecuredLoginStringClaim_sub")?);
        }
    }
    Ok(())
}

/// The value of an option, in either of the quotes that Java takes, or in none.
fn jaas_option(text: &str, name: &str) -> Option<String> {
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let (mut value, mut letters) = (String::new(), after.chars());
        if let Some(quote) = letters.next().filter(|first| matches!(first, '"' | '\'')) {
            loop {
                match letters.next()? {
                    letter if letter == quote => break,
                    '\\' => value.push(letters.next()?),
                    letter => value.push(letter),
                }
            }
            rest = letters.as_str();
        } else {
            let end = after.find(|it: char| it == ';' || it.is_whitespace()).unwrap_or(after.len());
            (value, rest) = (after[..end].to_owned(), &after[end..]);
        }
        if before.split_whitespace().next_back() == Some(name) {
            return Some(value);
        }
    }
}

fn set_protocol(config: &mut ClientConfig, value: &str) -> Result<(), String> {
    let (has_tls, has_sasl) = match value.to_ascii_uppercase().as_str() {
        "PLAINTEXT" => (false, false),
        "SSL" => (true, false),
        "SASL_PLAINTEXT" => (false, true),
        "SASL_SSL" => (true, true),
        _ => return Err("not one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL".into()),
    };
    refuse_unless(!has_sasl || config.sasl.is_some(), "it needs a sasl.mechanism")?;
    let is_nobody = |sasl: &Sasl| matches!(sasl, Sasl::Plain { username, .. } | Sasl::Scram { username, .. } if username.is_empty());
    refuse_unless(
        !has_sasl || !config.sasl.as_ref().is_some_and(is_nobody),
        "it needs a sasl.jaas.config with a username",
    )?;
    config.sasl = config.sasl.take().filter(|_| has_sasl);
    config.tls = has_tls.then(|| config.tls.take().unwrap_or_default());
    let lacks_half = |it: &TlsIdentity| it.chain.is_empty() || it.key.shown().is_empty();
    let has_half = config.tls.as_ref().and_then(|tls| tls.identity.as_ref()).is_some_and(lacks_half);
    refuse_unless(!has_half, "of ssl.keystore.key and ssl.keystore.certificate.chain there is only one")
}

fn tls(config: &mut ClientConfig) -> &mut Tls {
    config.tls.get_or_insert_default()
}

fn identity(config: &mut ClientConfig) -> &mut TlsIdentity {
    let nothing = || TlsIdentity { chain: String::new(), key: Password::default() };
    tls(config).identity.get_or_insert_with(nothing)
}

fn set_roots(config: &mut ClientConfig, text: &str) -> Result<(), String> {
    set_store(tls(config).roots.get_or_insert_default(), certificates_of(text)?)
}

fn set_chain(config: &mut ClientConfig, text: &str) -> Result<(), String> {
    set_store(&mut identity(config).chain, certificates_of(text)?)
}

/// The certificates of what may have keys in it, too: those must not stand where certificates are shown.
fn certificates_of(text: &str) -> Result<String, String> {
    let mut is_inside = false;
    let mut certificates = String::new();
    for line in text.lines().map(str::trim) {
        is_inside |= line == "-----BEGIN CERTIFICATE-----";
        if is_inside {
            certificates.push_str(line);
            certificates.push('\n');
        }
        is_inside &= line != "-----END CERTIFICATE-----";
    }
    if certificates.is_empty() { Err("no certificate in PEM is in it".to_owned()) } else { Ok(certificates) }
}

fn set_key(config: &mut ClientConfig, text: String) -> Result<(), String> {
    let mut key = identity(config).key.shown().to_owned();
    set_store(&mut key, text)?;
    identity(config).key = key.into();
    Ok(())
}

/// Nobody should have to guess which of two was taken.
fn set_store(place: &mut String, text: String) -> Result<(), String> {
    refuse_unless(place.is_empty(), "there is a file and a text for the same")?;
    *place = text;
    Ok(())
}

fn set_tls_versions(config: &mut ClientConfig, value: &str) -> Result<(), String> {
    let mut names = Vec::new();
    set_list(&mut names, value)?;
    let versions = names.iter().map(|name| match name.as_str() {
        "TLSv1.2" => Ok(TlsVersion::V1_2),
        "TLSv1.3" => Ok(TlsVersion::V1_3),
        _ => Err("not some of TLSv1.2, TLSv1.3".to_owned()),
    });
    tls(config).versions = versions.collect::<Result<_, _>>()?;
    Ok(())
}

fn set_name_check(config: &mut ClientConfig, value: &str) -> Result<(), String> {
    refuse_unless(value.is_empty() || value.eq_ignore_ascii_case("https"), "neither https nor empty")?;
    tls(config).checks_names = !value.is_empty();
    Ok(())
}

fn set_codec(config: &mut ProducerConfig, value: &str) -> Result<(), String> {
    let mut codec = Codec::None;
    set(&mut codec, value)?;
    config.compression = Compression::of(codec);
    Ok(())
}

/// Kafka has -1 for the usual level.
fn set_gzip_level(config: &mut ProducerConfig, value: &str) -> Result<(), String> {
    if value == "-1" { Ok(()) } else { set_level(config, Codec::Gzip, 1..=9, value) }
}

/// The level counts for its own codec only.
fn set_level(
    config: &mut ProducerConfig,
    codec: Codec,
    levels: RangeInclusive<i32>,
    value: &str,
) -> Result<(), String> {
    let level = value.parse().ok().filter(|level| levels.contains(level));
    let level = level.ok_or_else(|| format!("not a level from {} to {}", levels.start(), levels.end()))?;
    if config.compression.codec == codec {
        config.compression.level = level;
    }
    Ok(())
}
