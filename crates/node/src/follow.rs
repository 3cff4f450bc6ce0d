//! The following side: what is fetched from which leader, and when.
//!
//! Every partition that this node follows is in one place at a time: busy with its own disk, in the queue of its leader, or part of a fetch under way
//! ([`Fetching`]). A few fetches may be under way to one leader, over different partitions: a leader holds a fetch until one of *its* partitions has news,
//! and those that become free meanwhile must not wait for that.

use std::collections::{BTreeMap, VecDeque};

use klamm_model::{BrokerId, ErrorCode, LeaderEpoch, Offset, PartitionIndex, Tick, TopicPartition};
use klamm_replica::{Fetched, FollowerFetch};
use klamm_wire::{
    FetchRequest, FetchResponse, Records, Request,
    fetch::{FetchPartition, FetchTopic, PartitionData, ReplicaState},
};

use crate::{
    Effect, Now, PeerFailure,
    calls::Purpose,
    hosted::{Fetching, Hosted},
    node::Node,
};

/// Fetches under way to one leader at most.
const FETCHES_MAX: usize = 4;
/// Partitions in one fetch at most: an answer's size and the time under the lock stay bounded.
const PARTITIONS_MAX: usize = 2_000;
/// Before a partition that was refused, or a leader that did not answer, is asked again.
const BACK_OFF_MS: u64 = 50;
/// How long the leader may hold the last fetch that may be under way, so that partitions which become free never wait long for a turn.
const LAST_WAIT_MS: i32 = 10;
/// The version of Fetch that brokers speak among themselves.
const VERSION: i16 = 17;

#[derive(Debug, Default)]
pub(crate) struct Followers {
    leaders: BTreeMap<BrokerId, Queue>,
    /// Refused partitions, by the time at which they are looked at again.
    backing_off: BTreeMap<(Tick, TopicPartition), ()>,
}

#[derive(Debug, Default)]
struct Queue {
    ready: VecDeque<TopicPartition>,
    under_way: usize,
    not_before: Option<Tick>,
}

impl Followers {
    pub(crate) fn next_wake(&self) -> Option<Tick> {
        let leaders =
            self.leaders.values().filter(|queue| !queue.ready.is_empty() && queue.under_way < FETCHES_MAX);
        let refused = self.backing_off.keys().next().map(|(at, _)| *at);
        leaders.filter_map(|queue| queue.not_before).chain(refused).min()
    }

    /// Queues the partition if it is free to be fetched for.
    pub(crate) fn consider(&mut self, key: TopicPartition, hosted: &mut Hosted) {
        if hosted.fetching != Fetching::Idle {
            return;
        }
        if let Some(fetch) = hosted.replica.next_fetch() {
            hosted.fetching = Fetching::Queued;
            self.leaders.entry(fetch.leader).or_default().ready.push_back(key);
        }
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
                self.followers.consider(key, hosted);
            }
        }
        let leaders: Vec<BrokerId> = self.followers.leaders.keys().copied().collect();
        for leader in leaders {
            self.send_fetch(now, leader, out);
        }
    }

    fn send_fetch(&mut self, now: Now, leader: BrokerId, out: &mut Vec<Effect>) {
        let queue = self.followers.leaders.get_mut(&leader).expect("listed by the caller");
        let held_back = queue.not_before.is_some_and(|at| now.tick < at);
        if queue.ready.is_empty() || queue.under_way >= FETCHES_MAX || held_back {
            return;
        }
        queue.not_before = None;
        let batch: Vec<TopicPartition> = queue.ready.drain(..queue.ready.len().min(PARTITIONS_MAX)).collect();
        let mut asked: Vec<(TopicPartition, FollowerFetch)> = Vec::with_capacity(batch.len());
        for key in batch {
            let Some(hosted) = self.hosted.get_mut(&key) else { continue };
            hosted.fetching = Fetching::Idle;
            match hosted.replica.next_fetch() {
                Some(fetch) if fetch.leader == leader => {
                    hosted.fetching = Fetching::Asked;
                    asked.push((key, fetch));
                }
                // The leader changed while the partition was queued.
                Some(_) => self.followers.consider(key, hosted),
                None => {}
            }
        }
        if asked.is_empty() {
            return;
        }
        asked.sort_unstable_by_key(|(key, _)| *key);
        let queue = self.followers.leaders.get_mut(&leader).expect("it was just there");
        queue.under_way += 1;
        let wait_ms = if queue.under_way == FETCHES_MAX {
            LAST_WAIT_MS
        } else {
            i32::try_from(self.config.replica_fetch_wait_ms).unwrap_or(i32::MAX)
        };
        let request = self.fetch_request(&asked, wait_ms);
        self.send(leader, Purpose::Fetch { leader, asked }, Request::Fetch(request), VERSION, out);
    }

    fn fetch_request(&self, asked: &[(TopicPartition, FollowerFetch)], wait_ms: i32) -> FetchRequest {
        let partition_bytes_max = i32::try_from(self.config.replica_fetch_bytes_max).unwrap_or(i32::MAX);
        let mut topics: Vec<FetchTopic> = Vec::new();
        for (key, fetch) in asked {
            let partition = FetchPartition {
                partition: key.partition.0,
                current_leader_epoch: fetch.leader_epoch.0,
                fetch_offset: fetch.fetch_offset.raw(),
                last_fetched_epoch: fetch.last_fetched_epoch.map_or(-1, |epoch| epoch.0),
                log_start_offset: fetch.log_start.raw(),
                partition_max_bytes: partition_bytes_max,
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
                replica_epoch: self.my_epoch().map_or(-1, |epoch| epoch.0),
            },
            max_wait_ms: wait_ms,
            min_bytes: 1,
            max_bytes: i32::try_from(self.config.fetch_bytes_max).unwrap_or(i32::MAX),
            topics,
            ..Default::default()
        }
    }

    /// The answer to a fetch of ours, or why there is none.
    pub(crate) fn fetched(
        &mut self,
        now: Now,
        leader: BrokerId,
        asked: Vec<(TopicPartition, FollowerFetch)>,
        answer: Result<FetchResponse, PeerFailure>,
        out: &mut Vec<Effect>,
    ) {
        let queue = self.followers.leaders.entry(leader).or_default();
        queue.under_way = queue.under_way.saturating_sub(1);
        let response = match answer {
            Ok(response) if response.error_code == ErrorCode::None.code() => response,
            Ok(_) | Err(_) => {
                queue.not_before = Some(now.tick.after_ms(BACK_OFF_MS));
                FetchResponse::default()
            }
        };
        let mut answers: BTreeMap<TopicPartition, PartitionData> = BTreeMap::new();
        for topic in response.responses {
            for data in topic.partitions {
                let partition = PartitionIndex(data.partition_index);
                answers.insert(TopicPartition { topic: topic.topic_id, partition }, data);
            }
        }
        for (key, fetch) in asked {
            let Some(hosted) = self.hosted.get_mut(&key) else { continue };
            if hosted.fetching == Fetching::Asked {
                hosted.fetching = Fetching::Idle;
            }
            match answers.remove(&key).map(fetched_of) {
                Some(Ok(fetched)) => self.take_fetched(now, key, &fetch, fetched, out),
                Some(Err(code)) => {
                    tracing::debug!(partition = %key, %leader, %code, "fetch refused");
                    self.followers.backing_off.insert((now.tick.after_ms(BACK_OFF_MS), key), ());
                }
                None => self.followers.consider(key, hosted),
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
        self.flush_ops(out);
        match result {
            Ok(progress) => self.progressed(key, &progress, out),
            Err(error) => {
                tracing::error!(partition = %key, %error, "what the leader sent was refused");
                self.followers.backing_off.insert((now.tick.after_ms(BACK_OFF_MS), key), ());
            }
        }
    }
}

fn fetched_of(data: PartitionData) -> Result<Fetched, ErrorCode> {
    let log_start = Offset::from_wire(data.log_start_offset).unwrap_or(Offset::ZERO);
    match ErrorCode::from_code(data.error_code).unwrap_or(ErrorCode::UnknownServerError) {
        ErrorCode::None => {}
        ErrorCode::OffsetOutOfRange => return Ok(Fetched::OutOfRange { log_start }),
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
    Ok(Fetched::Data { records, high_watermark, log_start })
}
