//! The answer to a fetch, as far as it goes now.

use klamm_log::{AbortedLookup, ReadPlan};
use klamm_model::{BrokerId, ErrorCode, LeaderEpoch, Offset, PartitionIndex, Tick, TopicId, TopicPartition};
use klamm_replica::{ConsumerFetchRequest, FetchAnswer, Isolation, Role};
use klamm_wire::{
    FetchResponse, Records, Response,
    fetch::{EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, PartitionData},
};

use super::{
    Fetch, Session, VERSION_WITH_RACKS,
    wanted::{Told, WantedPartition},
};
use crate::{Effect, Now, Reply, ReplyTo, errors::ToCode, hosted::Hosted, node::Node};

/// The answer as far as it goes now, and whether it is good enough to be sent.
pub(super) struct Plan {
    responses: Vec<FetchableTopicResponse>,
    reads: Vec<ReadPlan>,
    /// Which transactions were aborted, by the read that has records of them.
    aborted: Vec<(u32, AbortedLookup)>,
    bytes: u64,
    /// Those of them that are read at a follower.
    follower_bytes: u64,
    /// Something the reader must hear at once: an error, a log that diverges.
    urgent: bool,
    /// For a session, the places in its list of the partitions in the answer, in the same order.
    answered: Vec<usize>,
    /// Behind the last partition that has records.
    next_first: Option<usize>,
    /// From where on it sends the reader to other replicas.
    sent_away: Vec<(TopicPartition, Offset)>,
    /// Others may lead by now what this broker leads.
    is_cut_off: bool,
}

impl Plan {
    pub(super) fn new(now: Tick, fetch: &mut Fetch, node: &Node) -> Self {
        let topic_count = match fetch.session {
            Session::None | Session::New => fetch.wanted.topics.len(),
            Session::Kept(_) => 0,
        };
        let mut plan = Self {
            responses: Vec::with_capacity(topic_count),
            reads: Vec::new(),
            aborted: Vec::new(),
            bytes: 0,
            follower_bytes: 0,
            urgent: false,
            answered: Vec::new(),
            next_first: None,
            sent_away: Vec::new(),
            is_cut_off: node.is_cut_off(now),
        };
        let mut open_topic = None;
        for place in fetch.wanted.order() {
            let asked = fetch.wanted.partitions[place];
            let before = plan.reads.len();
            let Some(data) = plan.partition(fetch, node, &asked) else { continue };
            if before < plan.reads.len() {
                plan.next_first = Some(place + 1);
            }
            if fetch.session != Session::None {
                plan.answered.push(place);
            }
            if open_topic != Some(asked.topic) {
                open_topic = Some(asked.topic);
                plan.responses.push(topic_response(fetch, place));
            }
            plan.responses.last_mut().expect("it was just opened").partitions.push(data);
        }
        plan
    }

    /// `None` if a session's reader learns nothing from it.
    fn partition(
        &mut self,
        fetch: &mut Fetch,
        node: &Node,
        asked: &WantedPartition,
    ) -> Option<PartitionData> {
        let room = u64::from(fetch.bytes_max).saturating_sub(self.bytes);
        let room = u32::try_from(room).unwrap_or(u32::MAX);
        let bytes_max = u32::try_from(asked.bytes_max).unwrap_or(0).min(room);
        let index = asked.index;
        let key = fetch.key(node, asked);
        let answer = key
            .ok_or(ErrorCode::UnknownTopicOrPartition)
            .and_then(|key| fetch.read(node, key, asked, bytes_max).map(|(answer, near)| (key, answer, near)))
            .map_err(|code| {
                if self.is_only_behind(node, key, asked, code) {
                    ErrorCode::NotLeaderOrFollower
                } else {
                    code
                }
            });
        Some(match answer {
            Ok((_, FetchAnswer::Diverging { epoch, end }, _)) => {
                self.urgent = true;
                PartitionData {
                    diverging_epoch: EpochEndOffset {
                        epoch: epoch.0,
                        end_offset: end.raw(),
                        ..Default::default()
                    },
                    ..fetch.empty(index)
                }
            }
            Ok((key, FetchAnswer::Data { high_watermark, last_stable, log_start, .. }, Some(near))) => {
                self.urgent = true;
                self.sent_away.extend(Offset::from_wire(asked.offset).map(|from| (key, from)));
                PartitionData {
                    high_watermark: high_watermark.raw(),
                    last_stable_offset: last_stable.raw(),
                    log_start_offset: log_start.raw(),
                    preferred_read_replica: near.0,
                    ..fetch.empty(index)
                }
            }
            Ok((key, FetchAnswer::Data { read, high_watermark, last_stable, log_start, aborted }, None)) => {
                let (high_watermark, last_stable) = (high_watermark.raw(), last_stable.raw());
                let log_start = log_start.raw();
                if read.is_some() {
                    let bytes = fetch.available(node, key, asked).min(u64::from(bytes_max));
                    self.bytes += bytes;
                    if node.replica(key).is_some_and(|it| matches!(it.role(), Role::Follower { .. })) {
                        self.follower_bytes += bytes;
                    }
                }
                // The first batch is given even where there is no room for it, or the reader would be stuck.
                let wanted = read.filter(|_| bytes_max > 0 || self.reads.is_empty());
                let told = Told { high_watermark, last_stable, log_start };
                if wanted.is_none() && told == asked.told && matches!(fetch.session, Session::Kept(_)) {
                    return None;
                }
                let records = match wanted {
                    Some(read) => {
                        let token = self.reads.len() as u32;
                        self.reads.push(read);
                        self.aborted.extend(aborted.map(|aborted| (token, *aborted)));
                        Records::Hole { size: 0, token }
                    }
                    None => Records::Bytes(bytes::Bytes::new()),
                };
                PartitionData {
                    high_watermark,
                    last_stable_offset: last_stable,
                    log_start_offset: log_start,
                    records: Some(records),
                    ..fetch.empty(index)
                }
            }
            Err(code) => {
                self.urgent = true;
                PartitionData {
                    error_code: code.code(),
                    current_leader: fetch.leader_hint(node, key.map(|key| key.topic), index, code),
                    ..fetch.empty(index)
                }
            }
        })
    }

    /// Whether the reader may be where a successor's log is and this one has not come to. Told that there is nothing, it would begin anew elsewhere.
    fn is_only_behind(
        &self,
        node: &Node,
        key: Option<TopicPartition>,
        asked: &WantedPartition,
        code: ErrorCode,
    ) -> bool {
        let hosted = key.and_then(|key| node.hosted.get(&key)).filter(|it| it.replica_count > 1);
        let is_beyond = |hosted: &Hosted| hosted.replica.log().end().raw() < asked.offset;
        self.is_cut_off && code == ErrorCode::OffsetOutOfRange && hosted.is_some_and(is_beyond)
    }

    pub(super) fn is_enough(&self, fetch: &Fetch) -> bool {
        self.urgent || self.bytes >= fetch.bytes_min
    }

    pub(super) fn send(self, now: Now, to: ReplyTo, fetch: Fetch, node: &mut Node, out: &mut Vec<Effect>) {
        let Self { responses, reads, aborted, urgent, answered, next_first, follower_bytes, .. } = self;
        node.counters.follower_read_bytes += follower_bytes;
        for (key, from) in self.sent_away {
            node.note_sent_away(key, to.connection, from);
        }
        let mut response = FetchResponse { responses, ..FetchResponse::default() };
        if urgent && fetch.version >= 16 {
            response.node_endpoints = node.fetch_leader_endpoints(&response);
        }
        let bytes_max = fetch.bytes_max;
        if fetch.session != Session::None {
            response.session_id = keep(now, fetch, &response, &answered, next_first, node);
        }
        let reply = if reads.is_empty() {
            Reply::Ready(Response::Fetch(response))
        } else {
            Reply::Fetch { response, reads, aborted, bytes_max }
        };
        out.push(Effect::Reply { to, reply });
    }
}

/// Keeps the list with what the answer tells; gives the session's number, 0 where it found no room.
fn keep(
    now: Now,
    fetch: Fetch,
    response: &FetchResponse,
    answered: &[usize],
    next_first: Option<usize>,
    node: &mut Node,
) -> i32 {
    let Fetch { version, session, mut wanted, .. } = fetch;
    let answers = response.responses.iter().flat_map(|topic| &topic.partitions);
    for (place, data) in answered.iter().zip(answers) {
        wanted.partitions[*place].told = Told::by(data);
    }
    wanted.first = next_first.unwrap_or(wanted.first);
    match session {
        Session::Kept(id) => {
            node.fetch_sessions.give_back(id, wanted);
            id.0
        }
        Session::New => node.fetch_sessions.open(now.tick, version >= 13, wanted).map_or(0, |id| id.0),
        Session::None => 0,
    }
}

/// The place in the answer for this partition and those of the same topic that follow it.
fn topic_response(fetch: &Fetch, place: usize) -> FetchableTopicResponse {
    let wanted = &fetch.wanted;
    let number = wanted.partitions[place].topic;
    let partition_count = match fetch.session {
        Session::None | Session::New => {
            wanted.partitions[place..].iter().take_while(|it| it.topic == number).count()
        }
        Session::Kept(_) => 0,
    };
    let topic = &wanted.topics[number as usize];
    FetchableTopicResponse {
        topic: topic.name.clone(),
        topic_id: topic.wire_id,
        partitions: Vec::with_capacity(partition_count),
        ..Default::default()
    }
}

impl Fetch {
    /// The partition under the id that its topic has now: under the same name a session may meet a topic that was created again.
    fn key(&mut self, node: &Node, asked: &WantedPartition) -> Option<TopicPartition> {
        let topic = &mut self.wanted.topics[asked.topic as usize];
        let partition = asked.index;
        let is_hosted = |topic| node.hosted.contains_key(&TopicPartition { topic, partition });
        if self.version < 13 && !topic.id.is_some_and(is_hosted) {
            topic.id = node.topic_id(&topic.name);
        }
        topic.id.map(|topic| TopicPartition { topic, partition })
    }

    /// What there is to read here, or who else is to be asked.
    fn read(
        &self,
        node: &Node,
        key: TopicPartition,
        asked: &WantedPartition,
        bytes_max: u32,
    ) -> Result<(FetchAnswer, Option<BrokerId>), ErrorCode> {
        let replica = node.replica(key).filter(|_| !node.is_deleted(key));
        let replica = replica.ok_or_else(|| node.why_not_hosted(key, self.version >= 13))?;
        let from = Offset::from_wire(asked.offset).ok_or(ErrorCode::OffsetOutOfRange)?;
        let answer = replica.consumer_fetch(&ConsumerFetchRequest {
            current_leader_epoch: LeaderEpoch::from_wire(asked.current_leader_epoch),
            last_fetched_epoch: LeaderEpoch::from_wire(asked.last_fetched_epoch),
            from,
            max_bytes: bytes_max,
            isolation: self.isolation,
            by_follower: VERSION_WITH_RACKS <= self.version,
        });
        let answer = answer.map_err(|error| error.code())?;
        Ok((answer, node.nearest(key, replica, (self.connection, &self.rack), from)))
    }

    /// About how many bytes there are for this reader from where it wants to read.
    fn available(&self, node: &Node, key: TopicPartition, asked: &WantedPartition) -> u64 {
        let Some(replica) = node.replica(key) else { return 0 };
        let from = Offset::from_wire(asked.offset).unwrap_or(Offset::ZERO);
        let end = match self.isolation {
            Isolation::ReadUncommitted => replica.high_watermark(),
            Isolation::ReadCommitted => replica.last_stable(),
        };
        replica.log().bytes_between(from, end)
    }

    /// Who leads instead, where that is the trouble and the version has a place for it.
    fn leader_hint(
        &self,
        node: &Node,
        topic: Option<TopicId>,
        index: PartitionIndex,
        code: ErrorCode,
    ) -> LeaderIdAndEpoch {
        let hint = node.leader_hint(topic, index, code).filter(|_| self.version >= 12);
        hint.map_or_else(LeaderIdAndEpoch::default, |(id, epoch)| LeaderIdAndEpoch {
            leader_id: id.0,
            leader_epoch: epoch.0,
            ..Default::default()
        })
    }

    fn empty(&self, index: PartitionIndex) -> PartitionData {
        let aborted = match self.isolation {
            // A reader of committed records wants a list, not null.
            Isolation::ReadCommitted => Some(Vec::new()),
            Isolation::ReadUncommitted => None,
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
