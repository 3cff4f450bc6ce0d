//! The following side of replication: what is asked of which leader, and when.
//!
//! A leader is asked by one session over one connection ([`crate::feeds`] is its other end). A partition that is free to take more is named once; the leader keeps the
//! question until it has an answer. Then the partition is busy with its own disk, and named again when that is done. So that nobody waits for what others wait
//! for, a second fetch may be under way: the leader answers the first one when it comes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use klamm_model::{
    BrokerEpoch, BrokerId, ErrorCode, LeaderEpoch, Offset, PartitionIndex, Tick, TopicId, TopicPartition,
};
use klamm_replica::{Fetched, FollowerFetch};
use klamm_wire::{
    FetchRequest, FetchResponse, Records, Request,
    fetch::{FetchPartition, FetchTopic, ForgottenTopic, PartitionData, ReplicaState},
};

use crate::{
    Effect, Now, PeerFailure,
    calls::Purpose,
    fetch_sessions::EPOCH_FULL,
    hosted::{Fetching, Hosted},
    node::Node,
};

/// Fetches under way to one leader at most: the one that waits there, and the one that takes its place.
const FETCHES_MAX: usize = 2;
/// Partitions that one fetch names at most: its size and the leader's time under the lock stay bounded.
const PARTITIONS_MAX: usize = 2_000;
/// Before a partition that was refused, or a leader that did not answer, is asked again.
const BACK_OFF_MS: u64 = 50;
/// Before records are asked for again that could not be written. A full disk stays full for a while, and the leader would read and send the same records some thousand times a second.
const DISK_BACK_OFF_MS: u64 = 500;
/// A fetch that would name nothing waits so long for records that have just come to be written, and synced where that counts: mostly they are, and it names where they end.
/// What the leader has for other partitions waits as well, and comes in one answer.
const WRITE_PATIENCE_MS: u64 = 1;
/// The version of Fetch that brokers speak among themselves.
const VERSION: i16 = 17;

#[derive(Debug, Default)]
pub(crate) struct Followers {
    lines: BTreeMap<BrokerId, Line>,
    /// Partitions that were refused, whose disk took nothing, or whose turn it is not yet, by the time at which they are looked at again.
    backing_off: BTreeMap<(Tick, TopicPartition), ()>,
}

/// What is asked of one leader.
#[derive(Debug, Default)]
struct Line {
    session: Session,
    /// The registration that the leader knows this broker by.
    broker_epoch: Option<BrokerEpoch>,
    /// Answers to older requests belong to sessions that are no more.
    first_token: u64,
    /// To be named. May hold some that are not to be named here any more.
    ready: VecDeque<TopicPartition>,
    /// Questions that the leader is to drop.
    unasked: BTreeSet<TopicPartition>,
    /// Questions that the leader has, or is about to get.
    asked: BTreeSet<TopicPartition>,
    under_way: usize,
    /// Nothing is sent before: the leader refused, or did not answer.
    not_before: Tick,
    /// Records that came last may be on disk by then.
    writes_until: Tick,
}

#[derive(Clone, Copy, Debug, Default)]
enum Session {
    #[default]
    None,
    /// Nothing can be asked before its number is known.
    Opening,
    Open {
        id: i32,
        next_epoch: i32,
    },
}

impl Followers {
    pub(crate) fn next_wake(&self, is_registered: bool) -> Option<Tick> {
        let lines = self.lines.values().filter(|_| is_registered);
        let refused = self.backing_off.keys().next().map(|(at, _)| *at);
        // What may be sent at once has been sent.
        lines.filter_map(Line::sends_at).filter(|at| *at != Tick(0)).chain(refused).min()
    }

    /// Queues the partition if it is free to take more, and takes back a question that does not hold any more.
    pub(crate) fn consider(&mut self, key: TopicPartition, hosted: &mut Hosted) {
        let next = hosted.replica.next_fetch();
        match hosted.fetching {
            // The leader that it is queued for may be out of reach: another one is not to wait for that.
            Fetching::Queued { leader } if next.is_none_or(|next| next.leader == leader) => return,
            Fetching::Resting => return,
            // It may have been asked there before, under an older epoch.
            Fetching::Queued { leader } => self.take_back(key, leader),
            Fetching::Asked { fetch, .. } if next == Some(fetch) => return,
            Fetching::Asked { fetch, .. } => {
                hosted.fetching = Fetching::Idle;
                if next.is_none_or(|next| next.leader != fetch.leader) {
                    self.take_back(key, fetch.leader);
                }
            }
            Fetching::Idle => {}
        }
        if let Some(fetch) = next {
            hosted.fetching = Fetching::Queued { leader: fetch.leader };
            self.lines.entry(fetch.leader).or_default().ready.push_back(key);
        }
    }

    /// The partition is not here any more.
    pub(crate) fn gone(&mut self, key: TopicPartition, hosted: &Hosted) {
        match hosted.fetching {
            Fetching::Asked { fetch, .. } => self.take_back(key, fetch.leader),
            Fetching::Queued { leader } => self.take_back(key, leader),
            Fetching::Idle | Fetching::Resting => {}
        }
    }

    /// What the leader sent could not be written, or is not to be: it is asked for again in a while, and who lacks it for long is not in sync.
    pub(crate) fn rest(&mut self, now: Now, key: TopicPartition, hosted: &mut Hosted) {
        self.gone(key, hosted);
        hosted.fetching = Fetching::Resting;
        self.backing_off.insert((now.tick.after_ms(DISK_BACK_OFF_MS), key), ());
    }

    fn take_back(&mut self, key: TopicPartition, leader: BrokerId) {
        if let Some(line) = self.lines.get_mut(&leader)
            && line.asked.remove(&key)
        {
            line.unasked.insert(key);
        }
    }
}

impl Line {
    /// From when on a fetch may be sent, zero at once; `None` if there is nothing to ask.
    fn sends_at(&self) -> Option<Tick> {
        // Before the session is open nothing can be asked in it.
        if matches!(self.session, Session::Opening) || FETCHES_MAX <= self.under_way {
            return None;
        }
        let has_something_to_say = !self.ready.is_empty() || !self.unasked.is_empty();
        // While anything is asked, the leader has a fetch that it can answer.
        let is_needed = self.under_way == 0 && !self.asked.is_empty();
        if has_something_to_say {
            Some(self.not_before)
        } else {
            is_needed.then(|| self.not_before.max(self.writes_until))
        }
    }

    fn may_send(&self, now: Tick) -> bool {
        self.sends_at().is_some_and(|at| at <= now)
    }
}

impl Node {
    /// Sends what fetches may be sent.
    pub(crate) fn send_fetches(&mut self, now: Now, out: &mut Vec<Effect>) {
        while let Some(((at, key), ())) = self.followers.backing_off.first_key_value() {
            if *at > now.tick {
                break;
            }
            let key = *key;
            self.followers.backing_off.pop_first();
            if let Some(hosted) = self.hosted.get_mut(&key) {
                if hosted.fetching == Fetching::Resting {
                    hosted.fetching = Fetching::Idle;
                }
                self.followers.consider(key, hosted);
            }
        }
        let epoch = self.my_epoch();
        // What this process says it has, it says under its registration: the controller goes by what held from there on (docs/decisions/0006).
        if epoch.is_none() {
            return;
        }
        let leaders: Vec<BrokerId> = self.followers.lines.keys().copied().collect();
        for leader in leaders {
            let line = &self.followers.lines[&leader];
            // Leaders count positions under the registration that was given to them.
            if line.broker_epoch != epoch && !matches!(line.session, Session::None) {
                self.break_session(leader);
            }
            while self.followers.lines[&leader].may_send(now.tick) {
                self.send_fetch(now, leader, epoch, out);
            }
        }
    }

    fn send_fetch(&mut self, now: Now, leader: BrokerId, epoch: Option<BrokerEpoch>, out: &mut Vec<Effect>) {
        let token = self.next_token;
        let line = self.followers.lines.get_mut(&leader).expect("listed by the caller");
        (line.not_before, line.writes_until) = (Tick(0), Tick(0));
        let batch: Vec<TopicPartition> = line.ready.drain(..line.ready.len().min(PARTITIONS_MAX)).collect();
        let mut asked: Vec<(TopicPartition, FollowerFetch)> = Vec::with_capacity(batch.len());
        for key in batch {
            let has_to_wait =
                !self.throttles.following.may_go_on(now.tick) && self.is_throttled_follower(key);
            let rests_until = has_to_wait.then(|| self.follower_rests_until(now));
            let Some(hosted) = self.hosted.get_mut(&key) else { continue };
            // It may have been queued elsewhere since.
            if hosted.fetching != (Fetching::Queued { leader }) {
                continue;
            }
            if let Some(at) = rests_until {
                hosted.fetching = Fetching::Resting;
                self.followers.backing_off.insert((at, key), ());
                self.counters.held_back_following += 1;
                continue;
            }
            hosted.fetching = Fetching::Idle;
            match hosted.replica.next_fetch() {
                Some(fetch) if fetch.leader == leader => {
                    hosted.fetching = Fetching::Asked { fetch, token };
                    asked.push((key, fetch));
                }
                Some(_) | None => self.followers.consider(key, hosted),
            }
        }
        asked.sort_unstable_by_key(|(key, _)| *key);
        let line = self.followers.lines.get_mut(&leader).expect("it was just there");
        line.asked.extend(asked.iter().map(|(key, _)| *key));
        // What is asked for again is not to be forgotten: of a partition that is named both ways a leader keeps nothing, and it would never be told of it.
        line.unasked.retain(|key| asked.binary_search_by_key(key, |(key, _)| *key).is_err());
        let unasked = std::mem::take(&mut line.unasked);
        if asked.is_empty() && unasked.is_empty() && (line.asked.is_empty() || line.under_way > 0) {
            return;
        }
        let (session_id, session_epoch) = match line.session {
            Session::Open { id, next_epoch } => {
                let after = if next_epoch == i32::MAX { 1 } else { next_epoch + 1 };
                line.session = Session::Open { id, next_epoch: after };
                (id, next_epoch)
            }
            Session::None | Session::Opening => {
                line.session = Session::Opening;
                line.broker_epoch = epoch;
                line.first_token = token;
                (0, EPOCH_FULL)
            }
        };
        line.under_way += 1;
        let request = FetchRequest {
            session_id,
            session_epoch,
            forgotten_topics_data: forgotten(&unasked),
            ..self.fetch_request(epoch, &asked)
        };
        self.send(leader, Purpose::Fetch { leader }, Request::Fetch(request), VERSION, out);
    }

    fn fetch_request(
        &self,
        epoch: Option<BrokerEpoch>,
        asked: &[(TopicPartition, FollowerFetch)],
    ) -> FetchRequest {
        let partition_bytes_max = i32::try_from(self.config.replica_fetch_bytes_max).unwrap_or(i32::MAX);
        let mut topics: Vec<FetchTopic> = Vec::new();
        for (key, fetch) in asked {
            let partition = FetchPartition {
                partition: key.partition.0,
                current_leader_epoch: fetch.leader_epoch.0,
                fetch_offset: fetch.fetch_offset.raw(),
                last_fetched_epoch: fetch.last_fetched_epoch.map_or(-1, |epoch| epoch.0),
                log_start_offset: fetch.log_start.raw(),
                // Who can take nothing still says where it is.
                partition_max_bytes: if self.may_take(*key) { partition_bytes_max } else { 0 },
                ..Default::default()
            };
            match topics.last_mut() {
                Some(topic) if topic.topic_id == key.topic => topic.partitions.push(partition),
                _ => topics.push(FetchTopic {
                    topic_id: key.topic,
                    partitions: vec![partition],
                    ..Default::default()
                }),
            }
        }
        FetchRequest {
            replica_state: ReplicaState {
                replica_id: self.config.broker_id.0,
                replica_epoch: epoch.map_or(-1, |epoch| epoch.0),
            },
            max_wait_ms: i32::try_from(self.config.replica_fetch_wait_ms).unwrap_or(i32::MAX),
            min_bytes: 1,
            max_bytes: i32::try_from(self.config.fetch_bytes_max).unwrap_or(i32::MAX),
            topics,
            ..Default::default()
        }
    }

    /// Whether there is room for the records of a partition that this broker follows.
    fn may_take(&self, key: TopicPartition) -> bool {
        self.hosted.get(&key).is_none_or(|it| self.disks.may_follow(it.replica.log().log_dir()))
    }

    /// What the leader has been asked is perhaps not what can be taken now: it is asked again.
    pub(crate) fn ask_again_by_room(&mut self, key: TopicPartition) {
        if let Some(hosted) = self.hosted.get_mut(&key)
            && matches!(hosted.fetching, Fetching::Asked { .. })
        {
            self.followers.gone(key, hosted);
            hosted.fetching = Fetching::Idle;
            self.followers.consider(key, hosted);
        }
    }

    /// The answer to a fetch of ours, or why there is none.
    pub(crate) fn fetched(
        &mut self,
        now: Now,
        leader: BrokerId,
        token: u64,
        answer: Result<FetchResponse, PeerFailure>,
        out: &mut Vec<Effect>,
    ) {
        match answer {
            Ok(_) => self.heard_of(leader),
            Err(PeerFailure::Disconnected) => self.doubt(now, leader),
            Err(PeerFailure::TimedOut | PeerFailure::Garbled) => {}
        }
        let line = self.followers.lines.entry(leader).or_default();
        line.under_way = line.under_way.saturating_sub(1);
        if token < line.first_token {
            return;
        }
        let response = match answer {
            Ok(response) if response.error_code == ErrorCode::None.code() && response.session_id != 0 => {
                response
            }
            Ok(_) | Err(_) => {
                line.not_before = now.tick.after_ms(BACK_OFF_MS);
                return self.break_session(leader);
            }
        };
        if matches!(line.session, Session::Opening) {
            line.session = Session::Open { id: response.session_id, next_epoch: 1 };
        }
        for topic in response.responses {
            for data in topic.partitions {
                let key =
                    TopicPartition { topic: topic.topic_id, partition: PartitionIndex(data.partition_index) };
                self.partition_fetched(now, (leader, token), key, data, out);
            }
        }
    }

    fn partition_fetched(
        &mut self,
        now: Now,
        (leader, token): (BrokerId, u64),
        key: TopicPartition,
        data: PartitionData,
        out: &mut Vec<Effect>,
    ) {
        let Some(hosted) = self.hosted.get_mut(&key) else { return };
        let fetch = match hosted.fetching {
            // The answer to an older question may have been on its way when this one was asked.
            Fetching::Asked { fetch, token: named } if fetch.leader == leader && named <= token => fetch,
            Fetching::Asked { .. } | Fetching::Queued { .. } | Fetching::Idle | Fetching::Resting => return,
        };
        if !is_news_only(&data) {
            hosted.fetching = Fetching::Idle;
            self.followers.lines.entry(leader).or_default().asked.remove(&key);
        }
        let size = if let Some(Records::Bytes(records)) = &data.records { records.len() } else { 0 };
        if 0 < size && !self.disks.may_follow(hosted.replica.log().log_dir()) {
            return self.followers.rest(now, key, hosted);
        }
        if 0 < size && self.is_throttled_follower(key) {
            self.throttles.following.take(now.tick, size as u64);
        }
        match fetched_of(data) {
            Ok(fetched) => self.take_fetched(now, key, &fetch, fetched, out),
            Err(code) => {
                tracing::debug!(partition = %key, %leader, %code, "fetch refused");
                self.followers.backing_off.insert((now.tick.after_ms(BACK_OFF_MS), key), ());
            }
        }
    }

    fn take_fetched(
        &mut self,
        now: Now,
        key: TopicPartition,
        fetch: &FollowerFetch,
        fetched: Fetched,
        out: &mut Vec<Effect>,
    ) {
        let hosted = self.hosted.get_mut(&key).expect("the caller has it");
        let result = hosted.replica.fetched(fetch, fetched, &mut self.ops);
        if !self.ops.is_empty() {
            let line = self.followers.lines.entry(fetch.leader).or_default();
            line.writes_until = now.tick.after_ms(WRITE_PATIENCE_MS);
        }
        self.flush_ops(out);
        match result {
            Ok(progress) => self.progressed(key, &progress, out),
            Err(error) => {
                tracing::error!(partition = %key, %error, "what the leader sent was refused");
                self.followers.backing_off.insert((now.tick.after_ms(BACK_OFF_MS), key), ());
            }
        }
    }

    /// The leader has forgotten, or never got, what it was asked: everything is asked anew.
    fn break_session(&mut self, leader: BrokerId) {
        let Some(line) = self.followers.lines.get_mut(&leader) else { return };
        line.session = Session::None;
        line.first_token = self.next_token;
        line.unasked.clear();
        for key in std::mem::take(&mut line.asked) {
            let Some(hosted) = self.hosted.get_mut(&key) else { continue };
            if matches!(hosted.fetching, Fetching::Asked { fetch, .. } if fetch.leader == leader) {
                hosted.fetching = Fetching::Idle;
                self.followers.consider(key, hosted);
            }
        }
    }
}

fn forgotten(keys: &BTreeSet<TopicPartition>) -> Vec<ForgottenTopic> {
    let mut by_topic: BTreeMap<TopicId, Vec<i32>> = BTreeMap::new();
    for key in keys {
        by_topic.entry(key.topic).or_default().push(key.partition.0);
    }
    let topic = |(topic_id, partitions)| ForgottenTopic { topic_id, partitions, ..Default::default() };
    by_topic.into_iter().map(topic).collect()
}

/// Only how far the leader has come; the question stays.
fn is_news_only(data: &PartitionData) -> bool {
    data.error_code == ErrorCode::None.code() && data.diverging_epoch.epoch < 0 && data.records.is_none()
}

fn fetched_of(data: PartitionData) -> Result<Fetched, ErrorCode> {
    let log_start = Offset::from_wire(data.log_start_offset);
    match ErrorCode::told(data.error_code) {
        ErrorCode::None => {}
        code @ ErrorCode::OffsetOutOfRange => {
            return log_start.map(|log_start| Fetched::OutOfRange { log_start }).ok_or(code);
        }
        code => return Err(code),
    }
    let diverging = LeaderEpoch::from_wire(data.diverging_epoch.epoch)
        .zip(Offset::from_wire(data.diverging_epoch.end_offset));
    if let Some((epoch, end)) = diverging {
        return Ok(Fetched::Diverging { epoch, end });
    }
    let records = match data.records {
        Some(Records::Bytes(records)) => records,
        Some(Records::Hole { .. }) | None => bytes::Bytes::new(),
    };
    let high_watermark = Offset::from_wire(data.high_watermark).unwrap_or(Offset::ZERO);
    let log_start = log_start.unwrap_or(Offset::ZERO);
    Ok(Fetched::Data { records, high_watermark, log_start })
}
