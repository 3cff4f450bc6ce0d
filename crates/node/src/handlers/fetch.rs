//! Fetch: consumers read below the high watermark, followers up to what is written. A fetch that finds too little is parked.

use klamm_log::ReadPlan;
use klamm_model::{
    BrokerEpoch, BrokerId, ErrorCode, LeaderEpoch, Offset, PartitionIndex, TopicId, TopicPartition,
};
use klamm_replica::{FetchAnswer, FetchError, FollowerFetchRequest};
use klamm_wire::{
    FetchRequest, FetchResponse, Records, Response,
    fetch::{EpochEndOffset, FetchPartition, FetchableTopicResponse, LeaderIdAndEpoch, PartitionData},
};

use crate::{Effect, Listener, Now, Reply, ReplyTo, errors::ToCode, node::Node, waiters::WaiterId};

/// A fetch that found too little and waits for more.
#[derive(Debug)]
pub(crate) struct FetchWaiter {
    pub(crate) to: ReplyTo,
    fetch: Fetch,
}

/// Who reads.
#[derive(Clone, Copy, Debug)]
enum Reader {
    Consumer { read_committed: bool },
    Follower { broker: BrokerId, broker_epoch: i64 },
}

#[derive(Debug)]
struct Fetch {
    reader: Reader,
    version: i16,
    bytes_min: u64,
    bytes_max: u32,
    topics: Vec<Topic>,
}

#[derive(Debug)]
struct Topic {
    name: String,
    wire_id: TopicId,
    /// `None` if nobody knows it by that name.
    id: Option<TopicId>,
    partitions: Vec<FetchPartition>,
}

/// The answer as far as it goes now, and whether it is good enough to be sent.
struct Plan {
    responses: Vec<FetchableTopicResponse>,
    reads: Vec<ReadPlan>,
    bytes: u64,
    /// Something the reader must hear at once: an error, a log that diverges.
    urgent: bool,
}

pub(crate) fn handle(
    node: &mut Node,
    now: Now,
    to: ReplyTo,
    listener: Listener,
    version: i16,
    request: FetchRequest,
    out: &mut Vec<Effect>,
) {
    if let Some(error) = refusal(&request, listener, version) {
        let response = FetchResponse { error_code: error.code(), ..FetchResponse::default() };
        out.push(Effect::Reply { to, reply: Reply::Ready(Response::Fetch(response)) });
        return;
    }
    let wait_ms =
        u64::try_from(request.max_wait_ms).unwrap_or(0).min(u64::from(node.config.fetch_wait_max_ms));
    let fetch = Fetch::new(node, request, version);
    let plan = fetch.plan(node, now);
    node.flush_ops(out);
    // A follower's position may have raised the high watermark; whoever waits for that is answered before this fetch is.
    node.settle(now, out);
    if wait_ms == 0 || fetch.topics.is_empty() || plan.is_enough(&fetch) {
        plan.send(to, &fetch, node, out);
        return;
    }
    let parked = FetchWaiter { to, fetch };
    let id = node.fetch_waiters.next_id();
    parked.register(node, id);
    node.fetch_waiters.park(now.tick.after_ms(wait_ms), parked);
}

/// Tries a parked fetch again; `last` answers it with whatever there is.
pub(crate) fn retry(node: &mut Node, now: Now, id: WaiterId, last: bool, out: &mut Vec<Effect>) {
    let Some((deadline, parked)) = node.fetch_waiters.take(id) else { return };
    let plan = parked.fetch.plan(node, now);
    node.flush_ops(out);
    if last || plan.is_enough(&parked.fetch) {
        parked.unregister(node, id);
        let FetchWaiter { to, fetch } = parked;
        plan.send(to, &fetch, node, out);
    } else {
        node.fetch_waiters.put_back(id, deadline, parked);
    }
}

fn refusal(request: &FetchRequest, listener: Listener, version: i16) -> Option<ErrorCode> {
    let (replica, _) = follower_of(request, version);
    if replica >= 0 && listener == Listener::Client {
        return Some(ErrorCode::ClusterAuthorizationFailed);
    }
    // Sessions are not kept yet: every answer says session 0, so a client that names one means another broker's.
    (request.session_id != 0).then_some(ErrorCode::FetchSessionIdNotFound)
}

/// Broker id and epoch of a fetching follower, -1 for a consumer; the field moved in version 15.
fn follower_of(request: &FetchRequest, version: i16) -> (i32, i64) {
    if version >= 15 {
        (request.replica_state.replica_id, request.replica_state.replica_epoch)
    } else {
        (request.replica_id, -1)
    }
}

impl FetchWaiter {
    /// Enters it where it is to be woken.
    fn register(&self, node: &mut Node, id: WaiterId) {
        self.for_each_list(node, |list| list.push(id));
    }

    /// The opposite: lists hold only fetches that are parked.
    pub(crate) fn unregister(&self, node: &mut Node, id: WaiterId) {
        self.for_each_list(node, |list| list.retain(|it| *it != id));
    }

    fn for_each_list(&self, node: &mut Node, mut change: impl FnMut(&mut Vec<WaiterId>)) {
        let follower = matches!(self.fetch.reader, Reader::Follower { .. });
        for key in self.fetch.partitions() {
            if let Some(hosted) = node.hosted.get_mut(&key) {
                change(if follower { &mut hosted.followers } else { &mut hosted.consumers });
            }
        }
    }
}

impl Fetch {
    fn new(node: &Node, request: FetchRequest, version: i16) -> Self {
        let (replica, broker_epoch) = follower_of(&request, version);
        let reader = if replica >= 0 {
            Reader::Follower { broker: BrokerId(replica), broker_epoch }
        } else {
            Reader::Consumer { read_committed: request.isolation_level == 1 }
        };
        let topics = request
            .topics
            .into_iter()
            .map(|topic| Topic {
                id: if version >= 13 { Some(topic.topic_id) } else { node.topic_id(&topic.topic) },
                wire_id: topic.topic_id,
                name: topic.topic,
                partitions: topic.partitions,
            })
            .collect();
        Self {
            reader,
            version,
            bytes_min: u64::try_from(request.min_bytes).unwrap_or(0),
            bytes_max: u32::try_from(request.max_bytes).unwrap_or(0).min(node.config.fetch_bytes_max),
            topics,
        }
    }

    fn partitions(&self) -> Vec<TopicPartition> {
        self.topics
            .iter()
            .filter_map(|topic| topic.id.map(|id| (id, &topic.partitions)))
            .flat_map(|(topic, partitions)| {
                partitions
                    .iter()
                    .map(move |it| TopicPartition { topic, partition: PartitionIndex(it.partition) })
            })
            .collect()
    }

    fn plan(&self, node: &mut Node, now: Now) -> Plan {
        let mut plan = Plan {
            responses: Vec::with_capacity(self.topics.len()),
            reads: Vec::new(),
            bytes: 0,
            urgent: false,
        };
        for topic in &self.topics {
            let partitions = topic
                .partitions
                .iter()
                .map(|partition| self.plan_partition(node, now, topic, partition, &mut plan))
                .collect();
            plan.responses.push(FetchableTopicResponse {
                topic: topic.name.clone(),
                topic_id: topic.wire_id,
                partitions,
                ..Default::default()
            });
        }
        plan
    }

    fn plan_partition(
        &self,
        node: &mut Node,
        now: Now,
        topic: &Topic,
        asked: &FetchPartition,
        plan: &mut Plan,
    ) -> PartitionData {
        let index = PartitionIndex(asked.partition);
        let room = u64::from(self.bytes_max).saturating_sub(plan.bytes);
        let room = u32::try_from(room).unwrap_or(u32::MAX);
        let bytes_max = u32::try_from(asked.partition_max_bytes).unwrap_or(0).min(room);
        let answer = match topic.id {
            None => Err(ErrorCode::UnknownTopicOrPartition),
            Some(id) => {
                self.read(node, now, TopicPartition { topic: id, partition: index }, asked, bytes_max)
            }
        };
        match answer {
            Ok(FetchAnswer::Diverging { epoch, end }) => {
                plan.urgent = true;
                PartitionData {
                    diverging_epoch: EpochEndOffset {
                        epoch: epoch.0,
                        end_offset: end.raw(),
                        ..Default::default()
                    },
                    ..self.empty(index)
                }
            }
            Ok(FetchAnswer::Data { read, high_watermark, log_start }) => {
                if let (Some(_), Some(id)) = (&read, topic.id) {
                    let available =
                        self.available(node, TopicPartition { topic: id, partition: index }, asked);
                    plan.bytes += available.min(u64::from(bytes_max));
                }
                // The first batch is given even where there is no room for it, or the reader would be stuck.
                let wanted = read.filter(|_| bytes_max > 0 || plan.reads.is_empty());
                let records = match wanted {
                    Some(read) => {
                        plan.reads.push(read);
                        Records::Hole { size: 0, token: plan.reads.len() as u32 - 1 }
                    }
                    None => Records::Bytes(bytes::Bytes::new()),
                };
                PartitionData {
                    high_watermark: high_watermark.raw(),
                    last_stable_offset: high_watermark.raw(),
                    log_start_offset: log_start.raw(),
                    records: Some(records),
                    ..self.empty(index)
                }
            }
            Err(code) => {
                plan.urgent = true;
                let hint = matches!(code, ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch);
                let leader = topic
                    .id
                    .filter(|_| hint && self.version >= 12)
                    .and_then(|id| node.current_leader(id, index));
                PartitionData {
                    error_code: code.code(),
                    current_leader: leader.map_or_else(LeaderIdAndEpoch::default, |(id, epoch)| {
                        LeaderIdAndEpoch { leader_id: id.0, leader_epoch: epoch.0, ..Default::default() }
                    }),
                    ..self.empty(index)
                }
            }
        }
    }

    fn read(
        &self,
        node: &mut Node,
        now: Now,
        key: TopicPartition,
        asked: &FetchPartition,
        bytes_max: u32,
    ) -> Result<FetchAnswer, ErrorCode> {
        if !node.hosted.contains_key(&key) {
            return Err(node.why_not_hosted(key, self.version >= 13));
        }
        let hosted = node.hosted.get_mut(&key).expect("checked above");
        let from = Offset::from_wire(asked.fetch_offset).ok_or(ErrorCode::OffsetOutOfRange)?;
        let current_epoch = LeaderEpoch::from_wire(asked.current_leader_epoch);
        let last_epoch = LeaderEpoch::from_wire(asked.last_fetched_epoch);
        let replica = &mut hosted.replica;
        let answer: Result<FetchAnswer, FetchError> = match self.reader {
            Reader::Consumer { .. } => replica.consumer_fetch(current_epoch, last_epoch, from, bytes_max),
            Reader::Follower { broker, broker_epoch } => {
                let request = FollowerFetchRequest {
                    follower: broker,
                    broker_epoch: (broker_epoch >= 0).then_some(BrokerEpoch(broker_epoch)),
                    current_leader_epoch: current_epoch,
                    fetch_offset: from,
                    last_fetched_epoch: last_epoch,
                    max_bytes: bytes_max,
                };
                replica.follower_fetch(now.tick, &request).map(|(answer, progress)| {
                    if progress.high_watermark.is_some() {
                        node.moved.push(key);
                    }
                    node.isr_due.insert(key);
                    answer
                })
            }
        };
        answer.map_err(|error| error.code())
    }

    /// About how many bytes there are for this reader from where it wants to read.
    fn available(&self, node: &Node, key: TopicPartition, asked: &FetchPartition) -> u64 {
        let Some(replica) = node.replica(key) else { return 0 };
        let from = Offset::from_wire(asked.fetch_offset).unwrap_or(Offset::ZERO);
        let end = match self.reader {
            Reader::Consumer { .. } => replica.high_watermark(),
            Reader::Follower { .. } => replica.log().written(),
        };
        replica.log().bytes_between(from, end)
    }

    fn empty(&self, index: PartitionIndex) -> PartitionData {
        let aborted = match self.reader {
            // No transaction can be open or aborted yet; a reader of committed records wants a list, not null.
            Reader::Consumer { read_committed: true } => Some(Vec::new()),
            Reader::Consumer { read_committed: false } | Reader::Follower { .. } => None,
        };
        PartitionData {
            partition_index: index.0,
            high_watermark: -1,
            last_stable_offset: -1,
            log_start_offset: -1,
            preferred_read_replica: -1,
            aborted_transactions: aborted,
            // Never null: librdkafka calls that a parse failure.
            records: Some(Records::Bytes(bytes::Bytes::new())),
            ..Default::default()
        }
    }
}

impl Plan {
    fn is_enough(&self, fetch: &Fetch) -> bool {
        self.urgent || self.bytes >= fetch.bytes_min
    }

    fn send(self, to: ReplyTo, fetch: &Fetch, node: &Node, out: &mut Vec<Effect>) {
        let mut response = FetchResponse { responses: self.responses, ..FetchResponse::default() };
        if self.urgent && fetch.version >= 16 {
            response.node_endpoints = node.fetch_leader_endpoints(&response);
        }
        let reply = if self.reads.is_empty() {
            Reply::Ready(Response::Fetch(response))
        } else {
            Reply::Fetch { response, reads: self.reads, bytes_max: fetch.bytes_max }
        };
        out.push(Effect::Reply { to, reply });
    }
}
