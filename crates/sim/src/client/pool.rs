//! What the tokio shell of the client has around its machines, in the simulator's world: connections that are made when they are needed, versions that
//! are agreed on, metadata, and requests that any broker may answer.
//!
//! As there, nothing is sent by a connection before the broker has said what it serves, and questions keep their order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use klamm_client::consumer;
use klamm_client::metadata::{Cluster, LeaderHint, MetadataCache, metadata_request};
use klamm_client::{Backoff, CallError, CallId, Random};
use klamm_model::{BrokerId, Tick};
use klamm_node::PeerFailure;
use klamm_wire::{ApiKey, ApiVersionsRequest, ApiVersionsResponse, Request, Response};

use super::Scene;
use crate::{
    BROKER_COUNT,
    dice::Dice,
    network::{Lane, Party, Question},
    timeline::MS,
};

/// For what is answered at once.
pub(super) const PROMPT: Lane = 0;
/// For what the broker may hold back.
pub(super) const PARKED: Lane = 1;

/// For what waits until the other members of a group have come.
pub(super) const JOINING: Lane = 2;

/// For what a coordinator may take its time with, beside what others are asked.
pub(super) const COORDINATED: Lane = 3;

/// Which machine asked which of its questions. Machines come and go, and each numbers its questions from 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Asker {
    /// Counts the machines of a client.
    pub(super) generation: u64,
    /// The machine's number of the question.
    pub(super) call: CallId,
}

/// What a machine is to be told.
#[derive(Debug)]
pub(super) enum News {
    /// The cluster is seen to be different.
    Cluster(Arc<Cluster>),
    /// A question has its end.
    Answer(Asker, Result<Response, CallError>),
}

/// A question.
#[derive(Debug)]
pub(super) struct Ask {
    /// What.
    pub(super) request: Request,
    /// The highest version that says what is meant.
    pub(super) version_limit: i16,
    /// How long it may go unanswered.
    pub(super) timeout_ms: u64,
    /// Who wants to know.
    pub(super) purpose: Purpose,
}

/// Who wants to know an answer.
#[derive(Debug)]
pub(super) enum Purpose {
    /// A machine.
    Machine(Asker),
    /// Whoever asks one broker after the other.
    Errand(Box<Errand>),
    /// Nobody.
    Nothing,
}

/// A question that any broker may answer.
#[derive(Debug)]
pub(super) struct Errand {
    request: Request,
    version_limit: i16,
    timeout_ms: u64,
    /// Those that are left to ask.
    brokers: VecDeque<usize>,
    /// The machine that asked; if none did, it is for the metadata.
    asker: Option<Asker>,
}

#[derive(Debug)]
enum UnderWay {
    /// What the broker serves.
    Hello(Lane),
    Asked(Purpose),
}

enum Link {
    Connecting(Vec<Ask>),
    Up(Versions),
}

/// The versions that both sides of a connection speak, or the newest that a client does.
type Versions = BTreeMap<ApiKey, i16>;

/// See the module.
pub(super) struct Pool {
    me: usize,
    cache: MetadataCache,
    links: BTreeMap<(usize, Lane), Link>,
    under_way: BTreeMap<u64, UnderWay>,
    next_token: u64,
    /// Questions that any broker could have answered, so far.
    turn: usize,
    news: VecDeque<News>,
    ceilings: Versions,
    connect_timeout_ms: u64,
    request_timeout_ms: u64,
}

impl Pool {
    /// The connections of a client, which knows nothing yet.
    pub(super) fn new(me: usize, dice: &mut Dice) -> Self {
        let backoff = Backoff { first_ms: dice.between(20, 60), longest_ms: dice.between(60, 300) };
        // Topics that nobody named are found when it is over.
        let age_max_ms = dice.between(300, 5000);
        Self {
            me,
            cache: MetadataCache::new(backoff, age_max_ms, Random::new(dice.number())),
            links: BTreeMap::new(),
            under_way: BTreeMap::new(),
            next_token: 0,
            turn: 0,
            news: VecDeque::new(),
            ceilings: draw_ceilings(dice),
            connect_timeout_ms: dice.between(300, 1500),
            request_timeout_ms: dice.between(500, 2000),
        }
    }

    /// The same for transactions, mostly by somebody who speaks of them as KIP-890 has it.
    pub(super) fn for_transactions(me: usize, dice: &mut Dice) -> Self {
        let mut pool = Self::new(me, dice);
        // Before that, nobody could go on with a producer id.
        pool.speaks(&[(ApiKey::InitProducerId, 3)], dice);
        if dice.chance(65) {
            pool.speaks(IMPLICIT, dice);
        }
        pool
    }

    /// The same for members of groups, by somebody who asks about many groups at once: older requests have to be written anew, which is a shell's to do.
    pub(super) fn for_groups(me: usize, dice: &mut Dice) -> Self {
        let mut pool = Self::new(me, dice);
        pool.speaks(MEMBERS, dice);
        pool
    }

    /// It is as young as that.
    pub(super) fn speaks(&mut self, floors: &[(ApiKey, i16)], dice: &mut Dice) {
        for (key, oldest) in floors {
            let newest = key.served().expect("it is served").max;
            let ceiling = self.ceilings.get_mut(key).expect("all clients speak it");
            if *ceiling < *oldest {
                *ceiling = dice.between(*oldest as u64, newest as u64 + 1) as i16;
            }
        }
    }

    /// Whether it is told under which epoch a leader leads. Who is not takes the word of one that is cut off from the others.
    pub(super) fn knows_epochs(&self) -> bool {
        LEADER_EPOCHS.iter().all(|(key, oldest)| *oldest <= self.ceilings[key])
    }

    /// Whether it speaks of transactions as KIP-890 has it.
    pub(super) fn has_implicit_transactions(&self) -> bool {
        IMPLICIT.iter().all(|(key, oldest)| *oldest <= self.ceilings[key])
    }

    /// What is known of the cluster, and the wishes for what is to be known.
    pub(super) fn metadata(&mut self) -> &mut MetadataCache {
        &mut self.cache
    }

    /// The cluster as it is known.
    pub(super) fn cluster(&self) -> &Cluster {
        self.cache.cluster()
    }

    /// A broker says who leads a partition.
    pub(super) fn hint(&mut self, hint: LeaderHint, scene: &mut Scene<'_>) {
        if self.cache.hint(hint) {
            scene.timeline.coverage.count("client: leader hint believed");
            self.news.push_back(News::Cluster(self.cache.cluster().clone()));
        }
    }

    /// What the machine was not told yet.
    pub(super) fn next_news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    /// When it has something to do at the latest.
    pub(super) fn next_wake(&self) -> Option<Tick> {
        self.cache.next_wake()
    }

    /// Asks for metadata if that is due.
    pub(super) fn turn(&mut self, scene: &mut Scene<'_>) {
        if let Some(topics) = self.cache.ask(Tick(scene.timeline.now())) {
            let topics = (!self.cache.wants_all()).then_some(topics);
            self.ask_any((metadata_request(topics, false), i16::MAX), None, scene);
        }
    }

    /// Asks a broker; the end is told by [`next_news`](Self::next_news), maybe at once.
    pub(super) fn ask_broker(&mut self, broker: BrokerId, lane: Lane, ask: Ask, scene: &mut Scene<'_>) {
        if !self.cache.cluster().brokers.contains_key(&broker) {
            return self.end(ask.purpose, Err(CallError::UnknownBroker(broker)), scene);
        }
        self.ask(broker.0 as usize, lane, ask, scene);
    }

    /// Asks what a reader wants to know.
    pub(super) fn ask_to_read(
        &mut self,
        broker: BrokerId,
        question: consumer::Question,
        purpose: Purpose,
        scene: &mut Scene<'_>,
    ) {
        let consumer::Question { request, version_limit, timeout_ms, is_parked } = question;
        let lane = if is_parked { PARKED } else { PROMPT };
        self.ask_broker(broker, lane, Ask { request, version_limit, timeout_ms, purpose }, scene);
    }

    /// Asks brokers in turn until one answers, another one first each time: those that are known, and one that was known at the start.
    pub(super) fn ask_any(
        &mut self,
        (request, version_limit): (Request, i16),
        asker: Option<Asker>,
        scene: &mut Scene<'_>,
    ) {
        let mut brokers: VecDeque<_> = self.cache.cluster().brokers.keys().map(|it| it.0 as usize).collect();
        if !brokers.is_empty() {
            let first = self.turn % brokers.len();
            brokers.rotate_left(first);
        }
        self.turn += 1;
        brokers.push_back(scene.timeline.dice.index(BROKER_COUNT));
        let timeout_ms = self.request_timeout_ms;
        self.go_on(Box::new(Errand { request, version_limit, timeout_ms, brokers, asker }), scene);
    }

    fn go_on(&mut self, mut errand: Box<Errand>, scene: &mut Scene<'_>) {
        let node = errand.brokers.pop_front().expect("there is one left to ask");
        let Errand { version_limit, timeout_ms, .. } = *errand;
        let request = errand.request.clone();
        let ask = Ask { request, version_limit, timeout_ms, purpose: Purpose::Errand(errand) };
        self.ask(node, PROMPT, ask, scene);
    }

    /// Asks this node and no other.
    pub(super) fn ask_node(&mut self, node: usize, ask: Ask, scene: &mut Scene<'_>) {
        self.ask(node, PROMPT, ask, scene);
    }

    fn ask(&mut self, node: usize, lane: Lane, ask: Ask, scene: &mut Scene<'_>) {
        match self.links.get_mut(&(node, lane)) {
            Some(Link::Connecting(asks)) => asks.push(ask),
            Some(Link::Up(_)) if scene.network.is_connected(Party::Client(self.me), node, lane) => {
                self.send(node, lane, ask, scene);
            }
            Some(Link::Up(_)) | None => {
                self.links.insert((node, lane), Link::Connecting(vec![ask]));
                let request = Request::ApiVersions(ApiVersionsRequest {
                    client_software_name: "klamm".into(),
                    client_software_version: "1".into(),
                    ..ApiVersionsRequest::default()
                });
                let version = self.ceilings[&ApiKey::ApiVersions];
                let token = self.hand_over(node, lane, &request, version, self.connect_timeout_ms, scene);
                self.under_way.insert(token, UnderWay::Hello(lane));
            }
        }
    }

    fn send(&mut self, node: usize, lane: Lane, ask: Ask, scene: &mut Scene<'_>) {
        let Some(Link::Up(versions)) = self.links.get(&(node, lane)) else {
            unreachable!("the caller has looked")
        };
        let Ask { request, version_limit, timeout_ms, purpose } = ask;
        let api = request.api_key();
        let Some(version) = versions.get(&api).map(|version| *version.min(&version_limit)) else {
            return self.end(purpose, Err(CallError::Unsupported { address: address(node), api }), scene);
        };
        let token = self.hand_over(node, lane, &request, version, timeout_ms, scene);
        if matches!(&request, Request::Produce(produce) if produce.acks == 0) {
            // Nothing comes back: it is sent, and that is all.
            return self.end(purpose, Ok(Response::Produce(Default::default())), scene);
        }
        self.under_way.insert(token, UnderWay::Asked(purpose));
    }

    fn hand_over(
        &mut self,
        node: usize,
        lane: Lane,
        request: &Request,
        version: i16,
        timeout_ms: u64,
        scene: &mut Scene<'_>,
    ) -> u64 {
        let token = self.next_token;
        self.next_token += 1;
        let question = Question {
            caller: Party::Client(self.me),
            lane,
            server: scene.lives[node],
            node,
            token,
            request,
            version,
            patience: timeout_ms * MS,
        };
        scene.network.ask(&question, scene.timeline);
        token
    }

    /// A question has its end at the network.
    pub(super) fn answered(
        &mut self,
        node: usize,
        token: u64,
        answer: Result<Response, PeerFailure>,
        scene: &mut Scene<'_>,
    ) {
        let answer = answer.map_err(|failure| call_error(node, failure));
        match (self.under_way.remove(&token).expect("an answer to something that was asked"), answer) {
            (UnderWay::Asked(purpose), answer) => self.end(purpose, answer, scene),
            (UnderWay::Hello(lane), Ok(Response::ApiVersions(served))) => {
                let versions = self.common_versions(&served);
                if let Some(Link::Connecting(asks)) = self.links.insert((node, lane), Link::Up(versions)) {
                    asks.into_iter().for_each(|ask| self.send(node, lane, ask, scene));
                }
            }
            (UnderWay::Hello(lane), answer) => {
                let broken = answer.expect_err("an answer is of the kind that was asked for");
                // Nothing was sent but the first question. Whether there was a connection is as it comes.
                let refused = CallError::Connect { address: address(node), problem: "refused".into() };
                let error = if scene.timeline.dice.chance(50) { refused } else { broken };
                if let Some(Link::Connecting(asks)) = self.links.remove(&(node, lane)) {
                    asks.into_iter().for_each(|ask| self.end(ask.purpose, Err(error.clone()), scene));
                }
            }
        }
    }

    fn end(&mut self, purpose: Purpose, answer: Result<Response, CallError>, scene: &mut Scene<'_>) {
        match (purpose, answer) {
            (Purpose::Nothing, _) => {}
            (Purpose::Errand(errand), Err(error)) if error.is_retriable() && !errand.brokers.is_empty() => {
                self.go_on(errand, scene);
            }
            (Purpose::Machine(asker), answer) => self.news.push_back(News::Answer(asker, answer)),
            (Purpose::Errand(errand), answer) => self.came_back(errand.asker, answer, scene),
        }
    }

    fn came_back(
        &mut self,
        asker: Option<Asker>,
        answer: Result<Response, CallError>,
        scene: &mut Scene<'_>,
    ) {
        let now = Tick(scene.timeline.now());
        match (asker, answer) {
            (Some(asker), answer) => self.news.push_back(News::Answer(asker, answer)),
            (None, Ok(Response::Metadata(response))) => {
                self.cache.answered(now, response);
                self.news.push_back(News::Cluster(self.cache.cluster().clone()));
            }
            (None, _) => self.cache.failed(now),
        }
    }

    fn common_versions(&self, served: &ApiVersionsResponse) -> Versions {
        let keys = served.api_keys.iter().filter_map(|api| {
            let key = ApiKey::from_number(api.api_key)?;
            let version = api.max_version.min(*self.ceilings.get(&key)?);
            (api.min_version <= version).then_some((key, version))
        });
        keys.collect()
    }
}

/// From these versions on, leaders are known with their epochs (KIP-320).
const LEADER_EPOCHS: &[(ApiKey, i16)] = &[(ApiKey::Metadata, 7), (ApiKey::Fetch, 9)];

/// From these versions on, whatever is written to becomes part of the transaction, and each has an epoch of its own (KIP-890).
const IMPLICIT: &[(ApiKey, i16)] =
    &[(ApiKey::Produce, 12), (ApiKey::TxnOffsetCommit, 5), (ApiKey::EndTxn, 5)];

/// From these versions on, what members of groups ask can be said; in the consumer protocol commits are younger than the rest.
const MEMBERS: &[(ApiKey, i16)] = &[
    // What the coordinator gives it is told by topic ids.
    (ApiKey::Metadata, 10),
    (ApiKey::FindCoordinator, 4),
    (ApiKey::OffsetCommit, 9),
    (ApiKey::OffsetFetch, 9),
    (ApiKey::LeaveGroup, 3),
];

/// The versions in which a client speaks: any that are served, but none that no broker has beside the others. Those before leader epochs came are of one
/// time.
fn draw_ceilings(dice: &mut Dice) -> Versions {
    const OLD: &[(ApiKey, i16)] =
        &[(ApiKey::Produce, 5), (ApiKey::Fetch, 7), (ApiKey::ListOffsets, 3), (ApiKey::Metadata, 6)];
    let is_old = dice.chance(10);
    let mut draw = |key: ApiKey| {
        let served = key.served().expect("it is served");
        let newest = if is_old { OLD.iter().find(|(old, _)| *old == key).map(|it| it.1) } else { None };
        let oldest = match key {
            // Before that, a question could not say that it creates no topics.
            ApiKey::Metadata if is_old => 4,
            ApiKey::Metadata => 7,
            // Nor whose records it means.
            ApiKey::ListOffsets => 2,
            // Nor whether it looks for a group's coordinator or a transactional id's.
            ApiKey::FindCoordinator => 1,
            // Nor that anybody may lead.
            ApiKey::ElectLeaders => 1,
            _ => served.min.max(*key.stable_versions().start()),
        };
        let newest = newest.unwrap_or(served.max);
        let version =
            if dice.chance(40) { newest } else { dice.between(oldest as u64, newest as u64 + 1) as i16 };
        (key, version)
    };
    let keys = [
        ApiKey::ApiVersions,
        ApiKey::Metadata,
        ApiKey::Produce,
        ApiKey::InitProducerId,
        ApiKey::Fetch,
        ApiKey::ListOffsets,
        ApiKey::OffsetForLeaderEpoch,
        ApiKey::CreateTopics,
        ApiKey::DeleteTopics,
        ApiKey::IncrementalAlterConfigs,
        ApiKey::CreatePartitions,
        ApiKey::ElectLeaders,
        ApiKey::AlterPartitionReassignments,
        ApiKey::FindCoordinator,
        ApiKey::AddPartitionsToTxn,
        ApiKey::AddOffsetsToTxn,
        ApiKey::TxnOffsetCommit,
        ApiKey::EndTxn,
        ApiKey::JoinGroup,
        ApiKey::SyncGroup,
        ApiKey::Heartbeat,
        ApiKey::LeaveGroup,
        ApiKey::OffsetCommit,
        ApiKey::OffsetFetch,
        ApiKey::ConsumerGroupHeartbeat,
    ];
    keys.into_iter().map(&mut draw).collect()
}

fn address(node: usize) -> String {
    format!("n{node}")
}

fn call_error(node: usize, failure: PeerFailure) -> CallError {
    let address = address(node);
    match failure {
        PeerFailure::Disconnected => CallError::Broken { address, problem: "it was closed".into() },
        PeerFailure::TimedOut => CallError::TimedOut { address, api: ApiKey::ApiVersions, timeout_ms: 0 },
        PeerFailure::Garbled => unreachable!("answers are whole or not there"),
    }
}
