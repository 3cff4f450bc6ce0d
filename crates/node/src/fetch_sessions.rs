//! Incremental fetch sessions (KIP-227): what a reader asks for again and again is kept here, so that requests and answers carry only what changes.
//!
//! A reader that wants no session costs nothing here. A session's list of partitions belongs to the fetch under way while that one is parked.
//!
//! Invariant: there are at most `session_count_max` sessions, with [`PARTITIONS_MAX`] partitions in all.

use klamm_model::{ErrorCode, PartitionIndex, Tick, TopicId};
use klamm_wire::fetch::{FetchTopic, ForgottenTopic};
use rustc_hash::FxHashMap;

use crate::{
    handlers::fetch::wanted::{Wanted, WantedPartition, WantedTopic},
    node::Node,
    waiters::WaiterId,
};

/// A session that was not used, or that is not older, than this is spared (Kafka's `fetch.session` eviction time).
const EVICTION_MS: u64 = 120_000;

/// Partitions of all sessions together. A partition takes about 100 bytes; readers that find no room send whole requests.
const PARTITIONS_MAX: usize = 1_000_000;

/// Partitions of a session: a request of a few bytes goes through all of them. Who reads more sends whole requests, each of which costs its sender
/// something too.
const SESSION_PARTITIONS_MAX: usize = 10_000;

/// Epoch of the request that opens a session.
pub(crate) const EPOCH_FULL: i32 = 0;
/// Epoch of a request that closes the session it names, if any, and opens none.
pub(crate) const EPOCH_FINAL: i32 = -1;

/// Number of a session, never 0: that is "none" on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct SessionId(pub(crate) i32);

/// All sessions of a broker.
#[derive(Debug)]
pub(crate) struct FetchSessions {
    sessions: FxHashMap<SessionId, Session>,
    session_count_max: usize,
    partition_count: usize,
    random: u64,
}

#[derive(Debug)]
struct Session {
    /// That the next request must have.
    epoch: i32,
    by_id: bool,
    created: Tick,
    used: Tick,
    list: List,
    index: Index,
}

#[derive(Debug)]
enum List {
    Here(Wanted),
    /// With the fetch that is parked.
    Lent(WaiterId),
}

/// Where in a session's list a topic and a partition are.
#[derive(Debug, Default)]
struct Index {
    topics: FxHashMap<TopicKey, u32>,
    partitions: FxHashMap<(u32, PartitionIndex), u32>,
    /// Partitions of each topic.
    counts: Vec<u32>,
    /// Places of topics that have no partition any more.
    free: Vec<u32>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum TopicKey {
    Id(TopicId),
    Name(String),
}

/// A request that goes on with a session.
pub(crate) struct Continued<'a> {
    pub(crate) id: SessionId,
    pub(crate) epoch: i32,
    pub(crate) by_id: bool,
    pub(crate) topics: Vec<FetchTopic>,
    pub(crate) forgotten: &'a [ForgottenTopic],
}

impl FetchSessions {
    pub(crate) fn new(session_count_max: usize, seed: u64) -> Self {
        Self { sessions: FxHashMap::default(), session_count_max, partition_count: 0, random: seed }
    }

    /// The parked fetch that has the list which a request of this epoch goes on with.
    pub(crate) fn parked(&self, id: SessionId, epoch: i32) -> Option<WaiterId> {
        match self.sessions.get(&id).filter(|session| session.epoch == epoch)?.list {
            List::Here(_) => None,
            List::Lent(waiter) => Some(waiter),
        }
    }

    /// Opens a session on what was just answered, if there is room or a session of less use.
    pub(crate) fn open(&mut self, now: Tick, by_id: bool, mut wanted: Wanted) -> Option<SessionId> {
        let partition_count = wanted.partitions.len();
        if SESSION_PARTITIONS_MAX < partition_count {
            return None;
        }
        let index = Index::new(&mut wanted, by_id);
        if self.session_count_max <= self.sessions.len() {
            let victim = self.victim(now, partition_count)?;
            self.close(victim);
        }
        if PARTITIONS_MAX < self.partition_count + partition_count {
            return None;
        }
        self.partition_count += partition_count;
        let id = self.new_id();
        let list = List::Here(wanted);
        let session = Session { epoch: 1, by_id, created: now, used: now, list, index };
        self.sessions.insert(id, session);
        Some(id)
    }

    pub(crate) fn close(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.remove(&id) {
            self.partition_count -= session.index.partitions.len();
        }
    }

    /// Which session a new one may take the place of: one that is stale; or, of those that are not brand-new, the smallest, if it is smaller than the new one.
    /// Looks at all of them, but only when all places are taken.
    fn victim(&self, now: Tick, partition_count: usize) -> Option<SessionId> {
        let is_past = |tick: Tick| tick.after_ms(EVICTION_MS) < now;
        let (id, oldest) = self.sessions.iter().min_by_key(|(id, session)| (session.used, **id))?;
        if is_past(oldest.used) {
            return Some(*id);
        }
        let worth = |session: &Session| session.index.partitions.len();
        self.sessions
            .iter()
            .filter(|(_, session)| is_past(session.created))
            .min_by_key(|(id, session)| (worth(session), **id))
            .filter(|(_, session)| worth(session) < partition_count)
            .map(|(id, _)| *id)
    }

    /// Numbers are spread, so that a reader that mistakes its broker is not taken for another.
    fn new_id(&mut self) -> SessionId {
        loop {
            self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let id = SessionId((self.random >> 33) as i32);
            if id.0 != 0 && !self.sessions.contains_key(&id) {
                return id;
            }
        }
    }

    /// The fetch that borrowed the list waits for more.
    pub(crate) fn lend(&mut self, id: SessionId, waiter: WaiterId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.list = List::Lent(waiter);
        }
    }

    /// Brings the list back, unless the session was closed meanwhile.
    pub(crate) fn give_back(&mut self, id: SessionId, wanted: Wanted) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.list = List::Here(wanted);
        }
    }
}

impl Node {
    /// Takes the list of a session, changed as the request says. `give_back` or `lend` has to follow.
    ///
    /// The caller has answered a fetch that is parked on the session.
    pub(crate) fn continue_session(
        &mut self,
        now: Tick,
        request: Continued<'_>,
    ) -> Result<Wanted, ErrorCode> {
        let Continued { id, epoch, by_id, topics, forgotten } = request;
        let session = self.fetch_sessions.sessions.get(&id).ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if session.epoch != epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if session.by_id != by_id {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        let topics: Vec<(WantedTopic, _)> = topics
            .into_iter()
            .map(|FetchTopic { topic, topic_id, partitions }| {
                (WantedTopic::new(self, topic, topic_id, by_id), partitions)
            })
            .collect();
        let sessions = &mut self.fetch_sessions;
        let session = sessions.sessions.get_mut(&id).expect("it was just there");
        let List::Here(wanted) = &mut session.list else { panic!("session {} has a parked fetch", id.0) };
        let mut wanted = std::mem::take(wanted);
        let before = session.index.partitions.len();
        for (topic, partitions) in topics.into_iter().filter(|(_, partitions)| !partitions.is_empty()) {
            let key = TopicKey::of(&topic, by_id);
            let number = session.index.topic(&mut wanted, key, topic);
            for asked in &partitions {
                session.index.ask(&mut wanted, WantedPartition::new(number, asked));
            }
        }
        for topic in forgotten {
            session.index.forget(&mut wanted, topic, by_id);
        }
        let after = session.index.partitions.len();
        sessions.partition_count = sessions.partition_count - before + after;
        session.epoch = if epoch == i32::MAX { 1 } else { epoch + 1 };
        session.used = now;
        let is_too_large = SESSION_PARTITIONS_MAX < after;
        if is_too_large || PARTITIONS_MAX < sessions.partition_count {
            sessions.close(id);
            return Err(ErrorCode::FetchSessionIdNotFound);
        }
        Ok(wanted)
    }
}

impl TopicKey {
    fn of(topic: &WantedTopic, by_id: bool) -> Self {
        if by_id { Self::Id(topic.wire_id) } else { Self::Name(topic.name.clone()) }
    }
}

impl Index {
    /// Of a list that may name a topic or partition twice: the later one counts.
    fn new(wanted: &mut Wanted, by_id: bool) -> Self {
        let mut index = Self::default();
        let Wanted { topics, partitions, first } = std::mem::take(wanted);
        // A topic without partitions is not kept: nothing bounds how many of them there are.
        let mut topics: Vec<Result<u32, WantedTopic>> = topics.into_iter().map(Err).collect();
        for partition in partitions {
            let number = match &mut topics[partition.topic as usize] {
                Ok(number) => *number,
                unseen @ Err(_) => {
                    let Err(topic) = std::mem::replace(unseen, Ok(0)) else { unreachable!("matched above") };
                    let number = index.topic(wanted, TopicKey::of(&topic, by_id), topic);
                    *unseen = Ok(number);
                    number
                }
            };
            let place = index.ask(wanted, WantedPartition { topic: number, ..partition });
            wanted.partitions[place as usize].told = partition.told;
        }
        wanted.first = first;
        index
    }

    /// The topic's place in the list, a new one if it has none.
    fn topic(&mut self, wanted: &mut Wanted, key: TopicKey, topic: WantedTopic) -> u32 {
        if let Some(number) = self.topics.get(&key) {
            return *number;
        }
        let number = match self.free.pop() {
            Some(number) => {
                wanted.topics[number as usize] = topic;
                number
            }
            None => {
                wanted.topics.push(topic);
                self.counts.push(0);
                wanted.topics.len() as u32 - 1
            }
        };
        self.topics.insert(key, number);
        number
    }

    /// Adds a partition, or changes from where it is read. Tells its place.
    fn ask(&mut self, wanted: &mut Wanted, asked: WantedPartition) -> u32 {
        let end = wanted.partitions.len() as u32;
        let place = *self.partitions.entry((asked.topic, asked.index)).or_insert(end);
        match wanted.partitions.get_mut(place as usize) {
            Some(known) => *known = WantedPartition { told: known.told, ..asked },
            None => {
                wanted.partitions.push(asked);
                self.counts[asked.topic as usize] += 1;
            }
        }
        place
    }

    fn forget(&mut self, wanted: &mut Wanted, forgotten: &ForgottenTopic, by_id: bool) {
        let key =
            if by_id { TopicKey::Id(forgotten.topic_id) } else { TopicKey::Name(forgotten.topic.clone()) };
        let Some(number) = self.topics.get(&key).copied() else { return };
        for partition in &forgotten.partitions {
            let Some(place) = self.partitions.remove(&(number, PartitionIndex(*partition))) else { continue };
            wanted.partitions.swap_remove(place as usize);
            if let Some(moved) = wanted.partitions.get(place as usize) {
                self.partitions.insert((moved.topic, moved.index), place);
            }
            self.counts[number as usize] -= 1;
        }
        if self.counts[number as usize] == 0 {
            self.topics.remove(&key);
            wanted.topics[number as usize] = WantedTopic::default();
            self.free.push(number);
        }
    }
}
