//! All connections of a client, shared by its producers, consumers and admins.
//!
//! Owns who is connected to whom. A question to a broker without a connection waits for the connection that it causes; questions keep
//! their order, which the numbering of batches relies on. Each broker has one connection for what is answered at once and one for
//! fetches, which the broker may hold back.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use klamm_model::{BrokerId, ErrorCode};
use klamm_wire::{
    ApiKey, ApiVersionsRequest, Request, Response, SaslAuthenticateRequest, SaslHandshakeRequest,
};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;
use tracing::debug;

use super::connection::{Answer, Connection};
use super::transport::Source;
use super::{Manner, seeded};
use crate::call::{CallError, answer, in_time};
use crate::consumer;
use crate::metadata::Cluster;
use crate::metrics::{ClientMetrics, add};
use crate::sasl::{Exchange, Sasl};

/// Whom to ask.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Target {
    /// One of the addresses that the user gave.
    Bootstrap(usize),
    /// A broker by its number, at the address that the metadata gives.
    Broker(BrokerId),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bootstrap(number) => write!(f, "address {} of those given", number + 1),
            Self::Broker(broker) => write!(f, "broker {broker}"),
        }
    }
}

/// Which of the connections to a broker.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Lane {
    /// For what is answered at once.
    Prompt,
    /// For what the broker may hold back.
    Parked,
    /// For what the broker may hold back until others have asked, maybe by the same client: nobody else's questions may wait behind it.
    Own(u64),
}

/// A request on its way.
pub(crate) struct Question {
    pub(crate) request: Request,
    /// The highest version that says what is meant.
    pub(crate) version_limit: i16,
    pub(crate) timeout_ms: u64,
    pub(crate) answer: Answer,
}

/// As many as are told of those that a broker offers.
const MECHANISMS_MAX: usize = 10;

#[derive(Clone)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    bootstrap: Vec<String>,
    manner: Arc<Manner>,
    state: Mutex<State>,
    /// Questions that any broker could have answered, so far.
    turn: AtomicUsize,
}

#[derive(Default)]
struct State {
    cluster: Arc<Cluster>,
    links: BTreeMap<(Target, Lane), Link>,
    own_lanes: u64,
    is_closed: bool,
}

enum Link {
    Connecting(Vec<Question>),
    Up(Arc<Connection>),
}

impl Drop for Shared {
    fn drop(&mut self) {
        for link in self.state.get_mut().links.values() {
            if let Link::Up(connection) = link {
                connection.close(CallError::Closed);
            }
        }
    }
}

impl Pool {
    pub(crate) fn new(bootstrap: Vec<String>, manner: Manner) -> Self {
        let (manner, state) = (Arc::new(manner), Mutex::default());
        Self { shared: Arc::new(Shared { bootstrap, manner, state, turn: AtomicUsize::new(0) }) }
    }

    /// Whom to ask what any broker can answer: another one first each time, for one that is cut off from the others has nothing but old news.
    pub(crate) fn in_turn(&self, known: &Cluster) -> Vec<Target> {
        let turn = self.shared.turn.fetch_add(1, Ordering::Relaxed);
        let mut targets: Vec<_> = known.brokers.keys().map(|&broker| Target::Broker(broker)).collect();
        if !targets.is_empty() {
            let first = turn % targets.len();
            targets.rotate_left(first);
        }
        // The given addresses too: all brokers may have moved since.
        targets.extend((0..self.shared.bootstrap.len()).map(Target::Bootstrap));
        targets
    }

    pub(crate) fn metrics(&self) -> ClientMetrics {
        self.shared.manner.counters.snapshot()
    }

    /// The level of the feature `transaction.version` that the cluster has agreed on, as far as brokers have told.
    pub(crate) fn transaction_level(&self) -> i16 {
        self.shared.manner.transaction_level.lock().1
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.shared.state.lock().is_closed
    }

    /// Where the brokers are now.
    pub(crate) fn cluster_changed(&self, cluster: Arc<Cluster>) {
        let mut state = self.shared.state.lock();
        // Brokers that are not there any more are let go, or one that tells of ever new ones would use up all sockets.
        state.links.retain(|(target, _), link| match (target, link) {
            (Target::Broker(broker), Link::Up(connection))
                if !cluster.brokers.contains_key(broker) && connection.is_at_rest() =>
            {
                connection.close(CallError::Closed);
                false
            }
            _ => true,
        });
        state.cluster = cluster;
    }

    /// No new questions; those under way get an error.
    pub(crate) fn close(&self) {
        let mut state = self.shared.state.lock();
        state.is_closed = true;
        for link in state.links.values() {
            if let Link::Up(connection) = link {
                connection.close(CallError::Closed);
            }
        }
    }

    /// Asks; `question.answer` is called with what comes of it, maybe before this returns.
    pub(crate) fn ask(&self, target: Target, lane: Lane, question: Question) {
        let mut state = self.shared.state.lock();
        if state.is_closed {
            drop(state);
            return (question.answer)(Err(CallError::Closed));
        }
        let Some(address) = self.shared.address(&state.cluster, target) else {
            drop(state);
            let Target::Broker(broker) = target else {
                return (question.answer)(Err(CallError::Closed));
            };
            return (question.answer)(Err(CallError::UnknownBroker(broker)));
        };
        match state.links.get_mut(&(target, lane)) {
            Some(Link::Connecting(questions)) => return questions.push(question),
            Some(Link::Up(connection)) if !connection.is_broken() && connection.address() == address => {
                let connection = connection.clone();
                if connection.wants_proof()
                    && let Some(sasl) = self.shared.manner.sasl.clone()
                {
                    // The broker may hold back the answer to a question before this one.
                    let timeout =
                        self.shared.manner.connect_timeout.max(Duration::from_millis(question.timeout_ms));
                    return self.bring_up(state, (target, lane), question, async move {
                        authenticate(&connection, &sasl, timeout).await.map(|()| connection)
                    });
                }
                drop(state);
                return connection.ask(
                    &question.request,
                    question.version_limit,
                    question.timeout_ms,
                    question.answer,
                );
            }
            Some(Link::Up(connection)) => connection
                .close(CallError::Broken { address: address.clone(), problem: "the broker moved".into() }),
            None => {}
        }
        let manner = self.shared.manner.clone();
        let source = match target {
            Target::Bootstrap(_) => Source::User,
            Target::Broker(_) => Source::Broker,
        };
        self.bring_up(state, (target, lane), question, async move {
            let opened = open(&address, source, &manner).await;
            match &opened {
                Ok(_) => debug!(%address, ?lane, "connected"),
                Err(error) => {
                    add(&manner.counters.connections_failed, 1);
                    debug!(%address, %error, "not connected");
                }
            }
            opened
        });
    }

    /// Whoever asks until the link is up waits.
    fn bring_up(
        &self,
        mut state: MutexGuard<'_, State>,
        link: (Target, Lane),
        question: Question,
        opening: impl Future<Output = Result<Arc<Connection>, CallError>> + Send + 'static,
    ) {
        state.links.insert(link, Link::Connecting(vec![question]));
        drop(state);
        let shared = Arc::downgrade(&self.shared);
        tokio::spawn(async move { up_or_down(&shared, link, opening.await) });
    }

    /// Asks what a reader wants to know.
    pub(crate) fn ask_to_read(&self, broker: BrokerId, question: consumer::Question, answer: Answer) {
        let consumer::Question { request, version_limit, timeout_ms, is_parked } = question;
        let lane = if is_parked { Lane::Parked } else { Lane::Prompt };
        self.ask(Target::Broker(broker), lane, Question { request, version_limit, timeout_ms, answer });
    }

    /// A lane for the caller alone, until it is [closed](Self::close_lane).
    pub(crate) fn own_lane(&self) -> Lane {
        let mut state = self.shared.state.lock();
        state.own_lanes += 1;
        Lane::Own(state.own_lanes)
    }

    /// Ends all connections of the lane; questions under way get an error.
    pub(crate) fn close_lane(&self, lane: Lane) {
        let mut state = self.shared.state.lock();
        state.links.retain(|(_, it), link| match link {
            Link::Up(connection) if *it == lane => {
                connection.close(CallError::Closed);
                false
            }
            Link::Up(_) | Link::Connecting(_) => true,
        });
    }

    /// Asks and waits for the answer.
    pub(crate) async fn call(
        &self,
        target: Target,
        request: Request,
        version_limit: i16,
        timeout_ms: u64,
    ) -> Result<Response, CallError> {
        let api = request.api_key();
        let call = answer_to(|answer| {
            self.ask(target, Lane::Prompt, Question { request, version_limit, timeout_ms, answer });
        });
        in_time(api, timeout_ms, || target.to_string(), call).await
    }
}

impl Shared {
    /// The questions that wait for this link; when there are none, the link is up from now on.
    fn next_waiting(&self, link: (Target, Lane), connection: &Arc<Connection>) -> Option<Vec<Question>> {
        let mut state = self.state.lock();
        if state.is_closed {
            connection.close(CallError::Closed);
        }
        if let Some(Link::Connecting(questions)) = state.links.get_mut(&link)
            && !questions.is_empty()
        {
            return Some(std::mem::take(questions));
        }
        state.links.insert(link, Link::Up(connection.clone()));
        None
    }

    fn address(&self, cluster: &Cluster, target: Target) -> Option<String> {
        match target {
            Target::Bootstrap(index) => self.bootstrap.get(index).cloned(),
            Target::Broker(broker) => Some(cluster.brokers.get(&broker)?.to_string()),
        }
    }
}

/// Connects, finds out what the broker speaks, and shows it who we are if we are to.
async fn open(address: &str, source: Source, manner: &Arc<Manner>) -> Result<Arc<Connection>, CallError> {
    let timeout = manner.connect_timeout;
    let connection = Connection::open(address, source, manner).await?;
    let running = connection.clone();
    tokio::spawn(async move {
        let address = running.address().to_owned();
        let reason = running.run().await;
        debug!(%address, %reason, "connection ended");
    });
    let mut version = *ApiKey::ApiVersions.stable_versions().end();
    loop {
        match hello(&connection, manner, version, timeout).await? {
            Hello::Known => break,
            Hello::AskInVersion(other) if other < version => version = other,
            Hello::AskInVersion(_) => {
                let error = CallError::Unsupported { address: address.into(), api: ApiKey::ApiVersions };
                connection.close(error.clone());
                return Err(error);
            }
        }
    }
    if let Some(sasl) = &manner.sasl {
        authenticate(&connection, sasl, timeout).await?;
    }
    Ok(connection)
}

/// Klamm's nodes say so where they listen for each other, Kafka's controllers where they do.
const FOR_NODES_ONLY: &str =
    "there the cluster's nodes listen for each other, and not for clients (MISMATCHED_ENDPOINT_TYPE)";

enum Hello {
    Known,
    AskInVersion(i16),
}

async fn hello(
    connection: &Connection,
    manner: &Manner,
    version: i16,
    timeout: Duration,
) -> Result<Hello, CallError> {
    let request = Request::ApiVersions(ApiVersionsRequest {
        client_software_name: "klamm".into(),
        client_software_version: env!("CARGO_PKG_VERSION").into(),
        ..ApiVersionsRequest::default()
    });
    let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
    let response =
        answer_to(|answer| connection.ask_in_version(&request, version, timeout_ms, answer)).await?;
    let response = answer!(response, ApiVersions);
    if response.error_code == ErrorCode::UnsupportedVersion.code() {
        let offered = response.api_keys.iter().find(|api| api.api_key == ApiKey::ApiVersions.number());
        return Ok(Hello::AskInVersion(offered.map_or(0, |api| api.max_version)));
    }
    if response.error_code == ErrorCode::MismatchedEndpointType.code() {
        let address = connection.address().to_owned();
        let error = CallError::Connect { address, problem: FOR_NODES_ONLY.to_owned() };
        connection.close(error.clone());
        return Err(error);
    }
    connection.learn_versions(&response);
    manner.learn_features(&response);
    Ok(Hello::Known)
}

/// Shows the broker who we are; if it does not believe that, the connection is of no use to anybody.
async fn authenticate(connection: &Connection, sasl: &Sasl, timeout: Duration) -> Result<(), CallError> {
    let shown = show(connection, sasl, timeout).await;
    if let Err(error) = &shown {
        connection.close(error.clone());
    }
    shown
}

async fn show(connection: &Connection, sasl: &Sasl, timeout: Duration) -> Result<(), CallError> {
    let mechanism = sasl.mechanism();
    let unbelieved = |problem| {
        let address = connection.address().to_owned();
        CallError::Unauthenticated { address, mechanism, problem }
    };
    let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
    let request = Request::SaslHandshake(SaslHandshakeRequest { mechanism: mechanism.to_owned() });
    let answer = answer_to(|answer| connection.ask(&request, i16::MAX, timeout_ms, answer)).await?;
    let answer = answer!(answer, SaslHandshake);
    let begun_at = Instant::now();
    match ErrorCode::told(answer.error_code) {
        ErrorCode::None => {}
        ErrorCode::UnsupportedSaslMechanism => {
            return Err(unbelieved(format!(
                "only by {}",
                answer.mechanisms[..answer.mechanisms.len().min(MECHANISMS_MAX)].join(", ")
            )));
        }
        code => return Err(unbelieved(code.to_string())),
    }
    let nonce = format!("{:016x}{:016x}", seeded().next_u64(), seeded().next_u64());
    let (mut exchange, mut message) = Exchange::begin(sasl, nonce).map_err(unbelieved)?;
    loop {
        let request = Request::SaslAuthenticate(SaslAuthenticateRequest { auth_bytes: message.into() });
        let answer = answer_to(|answer| connection.ask(&request, i16::MAX, timeout_ms, answer)).await?;
        let answer = answer!(answer, SaslAuthenticate);
        match ErrorCode::told(answer.error_code) {
            ErrorCode::None => {}
            code => return Err(unbelieved(answer.error_message.unwrap_or_else(|| code.to_string()))),
        }
        match exchange.hear(&answer.auth_bytes).map_err(unbelieved)? {
            Some(next) => (exchange, message) = next,
            None => {
                let lifetime_ms = u64::try_from(answer.session_lifetime_ms).unwrap_or(0);
                connection.proven(Duration::from_millis(lifetime_ms), begun_at);
                return Ok(());
            }
        }
    }
}

/// Waits for the answer to what `ask` asks.
async fn answer_to(ask: impl FnOnce(Answer)) -> Result<Response, CallError> {
    let (sender, receiver) = oneshot::channel();
    ask(Box::new(move |response| {
        // Whoever asked may have lost interest.
        let _ = sender.send(response);
    }));
    receiver.await.unwrap_or(Err(CallError::Closed))
}

fn up_or_down(shared: &Weak<Shared>, link: (Target, Lane), opened: Result<Arc<Connection>, CallError>) {
    let Some(shared) = shared.upgrade() else {
        if let Ok(connection) = opened {
            connection.close(CallError::Closed);
        }
        return;
    };
    match opened {
        Ok(connection) => {
            // Not up before nobody waits, so that a question that comes meanwhile can't overtake those that waited.
            while let Some(questions) = shared.next_waiting(link, &connection) {
                for Question { request, version_limit, timeout_ms, answer } in questions {
                    connection.ask(&request, version_limit, timeout_ms, answer);
                }
            }
        }
        Err(error) => {
            let waiting = match shared.state.lock().links.remove(&link) {
                Some(Link::Connecting(questions)) => questions,
                Some(Link::Up(_)) | None => Vec::new(),
            };
            for question in waiting {
                (question.answer)(Err(error.clone()));
            }
        }
    }
}
