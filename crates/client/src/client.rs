//! The client: where the cluster is, what it looks like, and the connections to it.

use std::sync::Arc;
use std::time::Duration;

use klamm_model::{ErrorCode, Tick};
use klamm_wire::{ApiKey, MetadataResponse, Request, Response};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use crate::backoff::Backoff;
use crate::call::{CallError, answer, is_question};
use crate::coordinators::Coordinators;
use crate::metadata::{Cluster, LeaderHint, MetadataCache, Topic, metadata_request};
use crate::metrics::{ClientMetrics, Counters};
use crate::net::{Clock, Lane, Manner, Pool, Question, seeded};
use crate::sasl::Sasl;
use crate::tls::Tls;

/// Settings that everybody who shares the client shares.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Addresses `HOST:PORT` to find the cluster by; one that answers is enough.
    pub bootstrap: Vec<String>,
    /// How connections are secured, if they are to be.
    pub tls: Option<Tls>,
    /// How brokers learn who we are, if they want to know.
    pub sasl: Option<Sasl>,
    /// What brokers call us in their logs.
    pub client_id: String,
    /// How long a connection may take to be made, in milliseconds.
    pub connect_timeout_ms: u64,
    /// How long a request may go unanswered, in milliseconds.
    pub request_timeout_ms: u64,
    /// The wait before metadata is asked for again.
    pub backoff: Backoff,
    /// Metadata is asked for again when it is this old, in milliseconds.
    pub metadata_age_max_ms: u64,
    /// Whether asking for an unknown topic may create it, where the broker allows that.
    pub auto_create_topics: bool,
}

impl Config {
    /// The defaults, with one address.
    pub fn new(bootstrap: impl Into<String>) -> Self {
        Self {
            bootstrap: vec![bootstrap.into()],
            tls: None,
            sasl: None,
            client_id: "klamm".into(),
            connect_timeout_ms: 10_000,
            request_timeout_ms: 30_000,
            // Shorter than for records: while a partition has no leader, this decides how soon the next one is found.
            backoff: Backoff { first_ms: 50, longest_ms: 250 },
            metadata_age_max_ms: 300_000,
            auto_create_topics: true,
        }
    }
}

/// A connection to a cluster, shared by any number of producers, consumers and admins. Cheap to clone; everything is given up when the
/// last clone, and whatever was made from it, is dropped.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    config: Config,
    clock: Clock,
    pool: Pool,
    metadata: Arc<Metadata>,
    coordinators: Coordinators,
}

/// While one of these is there, metadata of all topics are asked for.
pub(crate) struct AllTopics(Client);

impl AllTopics {
    pub(crate) fn of(client: &Client) -> Self {
        let metadata = &client.shared.metadata;
        metadata.cache.lock().want_all();
        metadata.wake.notify_one();
        Self(client.clone())
    }
}

impl Drop for AllTopics {
    fn drop(&mut self) {
        self.0.shared.metadata.cache.lock().want_all_no_more();
    }
}

/// What the refreshing task holds: not the client, so that it ends with it.
struct Metadata {
    cache: Mutex<MetadataCache>,
    /// Why no broker answered the last time.
    unreachable: Mutex<Option<CallError>>,
    newest: watch::Sender<Arc<Cluster>>,
    wake: Notify,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.pool.close();
        self.metadata.wake.notify_one();
    }
}

impl Client {
    /// Asks the first broker that answers what the cluster looks like. Must be called within a tokio runtime, which from then on drives
    /// the connections.
    pub async fn connect(config: Config) -> Result<Self, CallError> {
        let clock = Clock::start();
        let tls = config.tls.as_ref().map(Tls::prepare).transpose().map_err(CallError::TlsSetup)?;
        let manner = Manner {
            client_id: config.client_id.clone(),
            connect_timeout: Duration::from_millis(config.connect_timeout_ms),
            tls,
            sasl: config.sasl.clone(),
            counters: Counters::default(),
            // Older than any picture: what does not tell of one has no such features.
            transaction_level: Mutex::new((-1, 0)),
        };
        let pool = Pool::new(config.bootstrap.clone(), manner);
        let cache = MetadataCache::new(config.backoff, config.metadata_age_max_ms, seeded());
        let metadata = Arc::new(Metadata {
            cache: Mutex::new(cache),
            unreachable: Mutex::default(),
            newest: watch::Sender::default(),
            wake: Notify::new(),
        });
        let asker = Asker {
            pool: pool.clone(),
            timeout_ms: config.request_timeout_ms,
            auto_create_topics: config.auto_create_topics,
        };
        metadata.cache.lock().ask(clock.now());
        let response = asker.ask(Some(Vec::new()), &Cluster::default()).await?;
        metadata.answered(clock, &pool, response);
        tokio::spawn(refresh(metadata.clone(), clock, asker));
        Ok(Self {
            shared: Arc::new(Shared { config, clock, pool, metadata, coordinators: Coordinators::default() }),
        })
    }

    /// The newest picture of the cluster.
    pub fn cluster(&self) -> Arc<Cluster> {
        self.shared.metadata.newest.borrow().clone()
    }

    /// The topic, waiting until it has partitions with leaders. `Err` tells what the brokers say of it when that takes too long, if they
    /// say anything. Creates the topic where both this client and the brokers want that.
    pub async fn topic(&self, name: &str, timeout: Duration) -> Result<Topic, Option<ErrorCode>> {
        self.want_topic(name);
        let mut clusters = self.clusters();
        let is_there = |cluster: &Arc<Cluster>| {
            cluster.topics.get(name).is_some_and(|topic| {
                matches!(topic.error, ErrorCode::InvalidTopicException | ErrorCode::TopicAuthorizationFailed)
                    || (!topic.partitions.is_empty()
                        && topic.partitions.iter().all(|partition| partition.leader.is_some()))
            })
        };
        let found = tokio::time::timeout(timeout, clusters.wait_for(is_there)).await;
        let cluster = match found {
            Ok(Ok(cluster)) => cluster.clone(),
            Ok(Err(_)) | Err(_) => self.cluster(),
        };
        match cluster.topics.get(name) {
            Some(topic) if topic.error == ErrorCode::None && !topic.partitions.is_empty() => {
                Ok(topic.clone())
            }
            Some(topic) => Err(Some(topic.error)),
            None => Err(None),
        }
    }

    /// What was done so far on the connections.
    pub fn metrics(&self) -> ClientMetrics {
        self.shared.pool.metrics()
    }

    /// Ends all connections. Producers and consumers of this client get errors from now on.
    pub fn close(&self) {
        self.shared.pool.close();
    }

    pub(crate) fn clock(&self) -> Clock {
        self.shared.clock
    }

    pub(crate) fn config(&self) -> &Config {
        &self.shared.config
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.shared.pool
    }

    pub(crate) fn coordinators(&self) -> &Coordinators {
        &self.shared.coordinators
    }

    /// Why no broker has answered lately, if none has.
    pub fn unreachable(&self) -> Option<CallError> {
        self.shared.metadata.unreachable.lock().clone()
    }

    /// Tells of every newer picture.
    pub(crate) fn clusters(&self) -> watch::Receiver<Arc<Cluster>> {
        self.shared.metadata.newest.subscribe()
    }

    /// Waits for what drives a machine on: work that came, the moment at which it wants to be woken, or a newer picture of the cluster, which is returned.
    /// An error: the client is gone.
    pub(crate) async fn turn(
        &self,
        work: &Notify,
        clusters: &mut watch::Receiver<Arc<Cluster>>,
        wake: Option<Tick>,
    ) -> Result<Option<Arc<Cluster>>, watch::error::RecvError> {
        let due = async {
            match wake {
                Some(tick) => tokio::time::sleep_until(self.clock().instant(tick)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = work.notified() => Ok(None),
            changed = clusters.changed() => changed.map(|()| Some(clusters.borrow_and_update().clone())),
            () = due => Ok(None),
        }
    }

    /// The topic's metadata is wanted from now on.
    pub(crate) fn want_topic(&self, topic: &str) {
        if self.shared.metadata.cache.lock().want(topic) {
            self.shared.metadata.wake.notify_one();
        }
    }

    pub(crate) fn forget_topic(&self, topic: &str) {
        self.shared.metadata.cache.lock().forget(topic);
    }

    /// What is known proved wrong.
    pub(crate) fn refresh_metadata(&self) {
        self.shared.metadata.cache.lock().mark_stale();
        self.shared.metadata.wake.notify_one();
    }

    /// A broker says who leads a partition. What it says of one partition proves nothing about others: those still have to be asked for.
    pub(crate) fn leader_hint(&self, hint: LeaderHint) {
        let metadata = &self.shared.metadata;
        let cluster = {
            let mut cache = metadata.cache.lock();
            if !cache.hint(hint) {
                return;
            }
            cache.cluster().clone()
        };
        self.shared.pool.cluster_changed(cluster.clone());
        metadata.newest.send_replace(cluster);
    }

    /// Asks brokers in turn, until one answers.
    pub(crate) async fn call_any(
        &self,
        request: &Request,
        version_limit: i16,
        timeout_ms: u64,
    ) -> Result<Response, CallError> {
        let cluster = self.cluster();
        let ends = is_question(request.api_key()).then(|| Instant::now() + Duration::from_millis(timeout_ms));
        call_any(self.pool(), &cluster, request, version_limit, timeout_ms, ends).await
    }
}

impl Metadata {
    fn answered(&self, clock: Clock, pool: &Pool, response: MetadataResponse) {
        let cluster = {
            let mut cache = self.cache.lock();
            cache.answered(clock.now(), response);
            cache.cluster().clone()
        };
        pool.cluster_changed(cluster.clone());
        self.newest.send_replace(cluster);
    }
}

/// Asks for metadata whenever the cache wants it, until the client is gone.
async fn refresh(metadata: Arc<Metadata>, clock: Clock, asker: Asker) {
    loop {
        if asker.pool.is_closed() {
            return;
        }
        let (topics, wants_all, wake) = {
            let mut cache = metadata.cache.lock();
            (cache.ask(clock.now()), cache.wants_all(), cache.next_wake())
        };
        match topics {
            Some(topics) => {
                let known = metadata.newest.borrow().clone();
                match asker.ask((!wants_all).then_some(topics), &known).await {
                    Ok(response) => {
                        if metadata.unreachable.lock().take().is_some() {
                            warn!("a broker answers again");
                        }
                        metadata.answered(clock, &asker.pool, response);
                    }
                    Err(CallError::Closed) => return,
                    Err(error) => {
                        // Once for as long as it lasts.
                        if metadata.unreachable.lock().is_none() {
                            warn!(%error, "no broker answers, trying on");
                        }
                        *metadata.unreachable.lock() = Some(error);
                        metadata.cache.lock().failed(clock.now());
                    }
                }
            }
            None => {
                let due = async {
                    match wake {
                        Some(tick) => tokio::time::sleep_until(clock.instant(tick)).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = metadata.wake.notified() => {}
                    () = due => {}
                }
            }
        }
    }
}

struct Asker {
    pool: Pool,
    timeout_ms: u64,
    auto_create_topics: bool,
}

impl Asker {
    /// Asks for these topics, or for all.
    async fn ask(
        &self,
        topics: Option<Vec<Arc<str>>>,
        known: &Cluster,
    ) -> Result<MetadataResponse, CallError> {
        let request = metadata_request(topics, self.auto_create_topics);
        let response = call_any(&self.pool, known, &request, i16::MAX, self.timeout_ms, None).await?;
        Ok(answer!(response, Metadata))
    }
}

async fn call_any(
    pool: &Pool,
    known: &Cluster,
    request: &Request,
    version_limit: i16,
    timeout_ms: u64,
    ends: Option<Instant>,
) -> Result<Response, CallError> {
    let mut targets = pool.in_turn(known).into_iter().peekable();
    let api = request.api_key();
    let (sender, mut answers) = mpsc::unbounded_channel();
    let (mut open, mut failure): (_, Option<CallError>) = (0, None);
    loop {
        if let Some(target) = targets.next() {
            let sender = sender.clone();
            let answer = Box::new(move |answer| {
                // Another one may have answered before.
                let _ = sender.send(answer);
            });
            let question = Question { request: request.clone(), version_limit, timeout_ms, answer };
            pool.ask(target, Lane::Prompt, question);
            open += 1;
        }
        if open == 0 {
            return Err(failure.unwrap_or(CallError::Closed));
        }
        let is_impatient = may_be_asked_twice(api) && targets.peek().is_some();
        let next_one = is_impatient.then(|| Instant::now() + SILENCE);
        let answer = match next_one.into_iter().chain(ends).min() {
            Some(until) => timeout_at(until, answers.recv()).await.ok(),
            None => Some(answers.recv().await),
        };
        if answer.is_none() && ends.is_some_and(|it| it <= Instant::now()) {
            let timed_out = CallError::TimedOut { address: "any broker".to_owned(), api, timeout_ms };
            return Err(failure.unwrap_or(timed_out));
        }
        match answer.map(|answer| answer.expect("this end has a sender too")) {
            Some(Ok(response)) => return Ok(response),
            // Another one may have been asked before, which only takes its time.
            Some(Err(error)) if error.is_retriable() || 1 < open => {
                open -= 1;
                // What asking again does not help is said in the end.
                if failure.as_ref().is_none_or(CallError::is_retriable) {
                    failure = Some(error);
                }
            }
            Some(Err(error)) => return Err(error),
            // It may stand still for long: the next one is asked, and whoever answers first is believed.
            None => {}
        }
    }
}

/// Whoever does not answer a question within this time is not the only one to be asked.
const SILENCE: Duration = Duration::from_secs(1);

/// A number that nobody uses is no loss.
fn may_be_asked_twice(api: ApiKey) -> bool {
    is_question(api) || api == ApiKey::InitProducerId
}
