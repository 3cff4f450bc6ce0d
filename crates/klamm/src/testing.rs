//! A broker inside the process of a test.

use std::{io, net::SocketAddr, panic::resume_unwind, path::Path};

use klamm_client::{CallError, Client, ClientConfig};
use klamm_model::BrokerId;
use klamm_server::{Config, LoadError, Server, Sources};
use tempfile::TempDir;

pub use klamm_server::{Shutdown, StartError};

/// A whole broker of one node, on a free port of 127.0.0.1, with its data in a temporary directory. Both are gone when it is dropped, which takes
/// some milliseconds and may block. Several may live in one process.
///
/// It starts within milliseconds, so each test can have its own. Topics are created when they are first used, with one partition, as Kafka's defaults
/// have it. `acks=all` does not wait for the disk: what a test writes dies with it anyway. `log.flush.interval.messages=1`
/// as a setting brings that back.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use klamm::{Producer, ProducerConfig, Record, testing::Broker};
///
/// let mut broker = Broker::with_settings([("num.partitions", "4")]).await?;
/// let client = broker.client().await?;
/// let producer = Producer::new(&client, ProducerConfig::default());
///
/// producer.send(Record::new("events", b"before")).await?;
///
/// // What does a program do when its broker is not there for a while?
/// broker.stop().await;
/// let delivery = producer.accept(Record::new("events", b"meanwhile")).await?;
/// broker.start_again().await?;
/// delivery.await?;
/// # Ok(())
/// # }
/// ```
pub struct Broker {
    /// Before the directory, which is removed when nobody writes to it any more.
    server: Option<Server>,
    settings: Vec<(String, String)>,
    address: SocketAddr,
    directory: TempDir,
}

/// Why there is no broker to test against.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// There is no room for its data.
    #[error("no temporary directory: {0}")]
    Directory(#[from] io::Error),
    /// One of the settings cannot be.
    #[error(transparent)]
    Settings(#[from] LoadError),
    /// It was not able to start.
    #[error(transparent)]
    Start(#[from] StartError),
}

impl Broker {
    /// A broker with defaults.
    ///
    /// # Errors
    /// If there is no temporary directory, or no port.
    pub async fn start() -> Result<Self, BrokerError> {
        Self::with_settings::<&str>([]).await
    }

    /// A broker that is told these things, by Kafka's names.
    ///
    /// # Errors
    /// As with [`start`](Self::start), and if a setting cannot be, with the nearest name there is.
    pub async fn with_settings<T: Into<String>>(
        settings: impl IntoIterator<Item = (T, T)>,
    ) -> Result<Self, BrokerError> {
        let settings = settings.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        let directory = tempfile::Builder::new().prefix("klamm-test-").tempdir()?;
        let mut broker =
            Self { server: None, settings, address: SocketAddr::from(([127, 0, 0, 1], 0)), directory };
        broker.start_again().await?;
        Ok(broker)
    }

    /// Starts it where it was, with the data that it had, after [`stop`](Self::stop); it stops first if it still runs.
    ///
    /// # Errors
    /// As with [`start`](Self::start).
    pub async fn start_again(&mut self) -> Result<(), BrokerError> {
        self.stop().await;
        let config = self.config()?;
        let server = aside(move || Server::start(config)).await?;
        self.address = server.addresses()[0];
        self.server = Some(server);
        Ok(())
    }

    /// Stops it: connections end, and nobody is answered until it is started again.
    pub async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            aside(|| server.stop()).await;
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same, as `bootstrap.servers` has it.
    pub fn bootstrap(&self) -> String {
        self.address.to_string()
    }

    /// Where its data is, for those who want to look.
    pub fn data_dir(&self) -> &Path {
        self.directory.path()
    }

    /// A client that is connected to it.
    ///
    /// # Errors
    /// If it is not reached, because it was stopped.
    pub async fn client(&self) -> Result<Client, CallError> {
        Client::connect(ClientConfig::new(self.bootstrap())).await
    }

    fn config(&self) -> Result<Config, LoadError> {
        let mut config = Config::new(self.directory.path().join("data"), BrokerId(1));
        let own = [
            ("listeners", format!("PLAINTEXT://{}", self.address)),
            ("log.flush.interval.messages", i64::MAX.to_string()),
            // A test writes little: it works where a disk is nearly full too.
            ("log.dirs.min.free.bytes", "0".to_owned()),
        ];
        let mut sources = Sources::default();
        sources
            .arguments(own.map(|(key, value)| (key.to_owned(), value, "the broker for tests".to_owned())))?;
        let given = self.settings.iter();
        sources
            .arguments(given.map(|(key, value)| (key.clone(), value.clone(), format!("setting {key}"))))?;
        sources.apply(&mut config)?;
        Ok(config)
    }
}

/// Runs what blocks, and lets others go on meanwhile.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(panicked) => resume_unwind(panicked.into_panic()),
    }
}
