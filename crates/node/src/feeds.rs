//! The leading side of replication: what followers are told, each by a feed of its own.
//!
//! A feed is a fetch session (KIP-227) whose questions hold for one answer. A follower names a partition when it has room for more of it; the question waits
//! here until there are records, an error, or a point at which the logs part. With that answer the partition leaves the feed: the follower writes first, and its next
//! question tells how far it has come. So a fetch costs what it names and what it tells, however many partitions wait.
//!
//! A follower does not wait for an answer before it asks for something more: the fetch that is parked is then answered at once, and the new one waits for all.
//! That the high watermark moved is no reason for an answer, but where followers serve consumers: those wait for it there.
//!
//! A feed ends with its connection. Null records in an answer mean that the question stays; records, even none, that it is to be asked again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use klamm_log::ReadPlan;
use klamm_model::{
    BrokerEpoch, BrokerId, ErrorCode, LeaderEpoch, Offset, PartitionIndex, Tick, TopicPartition,
};
use klamm_replica::{FetchAnswer, FollowerFetchRequest, Replica};
use klamm_wire::{
    FetchRequest, FetchResponse, Records, Response,
    fetch::{EpochEndOffset, FetchPartition, FetchableTopicResponse, PartitionData},
};
use rustc_hash::FxHashMap;

use crate::{
    ConnectionId, Effect, Now, Reply, ReplyTo,
    errors::ToCode,
    fetch_sessions::{EPOCH_FINAL, EPOCH_FULL},
    node::Node,
};

/// All feeds of a leader.
#[derive(Debug, Default)]
pub(crate) struct Feeds {
    feeds: BTreeMap<ConnectionId, Feed>,
    last_id: i32,
    /// Feeds whose parked fetch has something to tell.
    woken: BTreeSet<ConnectionId>,
    /// What waits until more may be sent to followers that catch up, in the order in which it came to wait. Each of its feed's `held` is here once.
    held: VecDeque<(ConnectionId, TopicPartition)>,
}

#[derive(Debug)]
struct Feed {
    /// The session's number on the wire.
    id: i32,
    /// The session epoch that the next request must have.
    next_epoch: i32,
    follower: BrokerId,
    broker_epoch: Option<BrokerEpoch>,
    /// When the follower last asked for anything.
    heard: Tick,
    questions: FxHashMap<TopicPartition, Question>,
    /// Questions that may have an answer, in the order in which they are looked at.
    ready: VecDeque<TopicPartition>,
    /// Questions of partitions whose frontiers moved. No reason to answer, but told with the next answer.
    stale: Vec<TopicPartition>,
    /// Partitions that wait until more may be sent to followers that catch up. Their questions wait for records as well.
    held: BTreeSet<TopicPartition>,
    /// The high watermarks that the follower was told last; kept where followers serve consumers.
    high_watermarks: FxHashMap<TopicPartition, Offset>,
    parked: Option<Parked>,
}

/// From where on a follower wants a partition.
#[derive(Debug)]
struct Question {
    from: Option<Offset>,
    leader_epoch: Option<LeaderEpoch>,
    last_fetched_epoch: Option<LeaderEpoch>,
    log_start: Option<Offset>,
    bytes_max: u32,
    told: Option<Told>,
    is_ready: bool,
    is_stale: bool,
}

/// Frontiers as the follower knows them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Told {
    high_watermark: Offset,
    last_stable: Offset,
    log_start: Offset,
}

#[derive(Debug)]
struct Parked {
    to: ReplyTo,
    bytes_max: u32,
    deadline: Tick,
}

/// An answer as far as it goes.
#[derive(Default)]
struct Answer {
    responses: Vec<FetchableTopicResponse>,
    reads: Vec<ReadPlan>,
    bytes: u64,
    /// Something that is worth an answer.
    is_due: bool,
}

impl Feeds {
    /// When [`Node::feeds_time`] wants to be called.
    pub(crate) fn next_wake(&self) -> Option<Tick> {
        self.feeds.values().filter_map(|feed| Some(feed.parked.as_ref()?.deadline)).min()
    }

    pub(crate) fn hold_some_back(&self) -> bool {
        !self.held.is_empty()
    }

    /// Tells whether it did not wait already.
    fn hold_back(&mut self, connection: ConnectionId, key: TopicPartition) -> bool {
        let is_new = self.feeds.get_mut(&connection).is_some_and(|feed| feed.held.insert(key));
        if is_new {
            self.held.push_back((connection, key));
        }
        is_new
    }

    pub(crate) fn parked_count(&self) -> usize {
        self.feeds.values().filter(|feed| feed.parked.is_some()).count()
    }

    fn open(&mut self, connection: ConnectionId, follower: BrokerId, now: Tick) {
        self.last_id = if self.last_id == i32::MAX { 1 } else { self.last_id + 1 };
        let feed = Feed {
            id: self.last_id,
            next_epoch: 1,
            follower,
            broker_epoch: None,
            heard: now,
            questions: FxHashMap::default(),
            ready: VecDeque::new(),
            stale: Vec::new(),
            held: BTreeSet::new(),
            high_watermarks: FxHashMap::default(),
            parked: None,
        };
        self.feeds.insert(connection, feed);
    }
}

impl Question {
    fn new(asked: &FetchPartition) -> Self {
        Self {
            from: Offset::from_wire(asked.fetch_offset),
            leader_epoch: LeaderEpoch::from_wire(asked.current_leader_epoch),
            last_fetched_epoch: LeaderEpoch::from_wire(asked.last_fetched_epoch),
            log_start: Offset::from_wire(asked.log_start_offset),
            bytes_max: u32::try_from(asked.partition_max_bytes).unwrap_or(0),
            told: None,
            is_ready: true,
            is_stale: false,
        }
    }
}

/// A follower's fetch, which came by the brokers' listener.
pub(crate) fn handle(
    node: &mut Node,
    now: Now,
    to: ReplyTo,
    follower: BrokerId,
    request: &FetchRequest,
    out: &mut Vec<Effect>,
) {
    let (connection, epoch) = (to.connection, request.session_epoch);
    if let Err(code) = node.enter_feed(now, to, follower, request, out) {
        let response = FetchResponse { error_code: code.code(), ..FetchResponse::default() };
        return out.push(Effect::Reply { to, reply: Reply::Ready(Response::Fetch(response)) });
    }
    node.take_questions(now, connection, request);
    let bytes_max = u32::try_from(request.max_bytes).unwrap_or(0).min(node.config.fetch_bytes_max);
    let answer = node.look_at_questions(now, connection, bytes_max);
    node.flush_ops(out);
    let wait_ms =
        u64::try_from(request.max_wait_ms).unwrap_or(0).min(u64::from(node.config.fetch_wait_max_ms));
    // Whoever opens a feed can't go on before it knows the number.
    let is_due = answer.is_due || node.has_news(connection);
    if is_due || wait_ms == 0 || matches!(epoch, EPOCH_FULL | EPOCH_FINAL) {
        node.tell_feed(to, answer, out);
        if epoch == EPOCH_FINAL {
            node.close_feed(connection);
        }
        return;
    }
    let feed = node.feeds.feeds.get_mut(&connection).expect("it was entered above");
    feed.parked = Some(Parked { to, bytes_max, deadline: now.tick.after_ms(wait_ms) });
}

impl Node {
    /// The feed this request goes on with, or opens.
    fn enter_feed(
        &mut self,
        now: Now,
        to: ReplyTo,
        follower: BrokerId,
        request: &FetchRequest,
        out: &mut Vec<Effect>,
    ) -> Result<(), ErrorCode> {
        if matches!(request.session_epoch, EPOCH_FULL | EPOCH_FINAL) {
            // Who begins anew has given up whatever it had asked for before.
            let is_its = |(connection, feed): (&ConnectionId, &Feed)| {
                (feed.follower == follower).then_some(*connection)
            };
            let earlier: Vec<ConnectionId> = self.feeds.feeds.iter().filter_map(is_its).collect();
            for connection in earlier.into_iter().chain([to.connection]) {
                self.answer_parked(now, connection, out);
                self.close_feed(connection);
            }
            self.feeds.open(to.connection, follower, now.tick);
            self.heard_of(follower);
            return Ok(());
        }
        self.answer_parked(now, to.connection, out);
        let feed = self.feeds.feeds.get_mut(&to.connection);
        let feed = feed
            .filter(|feed| feed.id == request.session_id && feed.follower == follower)
            .ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if feed.next_epoch != request.session_epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        feed.next_epoch = if feed.next_epoch == i32::MAX { 1 } else { feed.next_epoch + 1 };
        Ok(())
    }

    /// Notes what the request names, and what it does not want any more.
    fn take_questions(&mut self, now: Now, connection: ConnectionId, request: &FetchRequest) {
        let feed = self.feeds.feeds.get_mut(&connection).expect("the caller has entered it");
        feed.heard = now.tick;
        let epoch = request.replica_state.replica_epoch;
        feed.broker_epoch = (epoch >= 0).then_some(BrokerEpoch(epoch));
        let mut unasked = Vec::new();
        for topic in &request.forgotten_topics_data {
            for partition in &topic.partitions {
                let key = TopicPartition { topic: topic.topic_id, partition: PartitionIndex(*partition) };
                feed.high_watermarks.remove(&key);
                match feed.questions.remove(&key) {
                    Some(question) if question.is_ready => feed.ready.retain(|it| *it != key),
                    Some(_) => unasked.push(key),
                    None => {}
                }
            }
        }
        for topic in &request.topics {
            for asked in &topic.partitions {
                let key =
                    TopicPartition { topic: topic.topic_id, partition: PartitionIndex(asked.partition) };
                match feed.questions.insert(key, Question::new(asked)) {
                    Some(before) if before.is_ready => {}
                    Some(_) => {
                        unasked.push(key);
                        feed.ready.push_back(key);
                    }
                    None => feed.ready.push_back(key),
                }
            }
        }
        for key in unasked {
            self.leave_list(key, connection);
        }
    }

    fn leave_list(&mut self, key: TopicPartition, connection: ConnectionId) {
        if let Some(hosted) = self.hosted.get_mut(&key) {
            hosted.feeds.retain(|it| *it != connection);
        }
    }

    /// Looks at every question that may have an answer. Those without one wait for the partition's next records.
    fn look_at_questions(&mut self, now: Now, connection: ConnectionId, bytes_max: u32) -> Answer {
        let mut answer = Answer::default();
        let feed = self.feeds.feeds.get_mut(&connection).expect("the caller has it");
        let ready = std::mem::take(&mut feed.ready);
        let mut later = VecDeque::new();
        for key in ready {
            match self.look_at(now, connection, key, bytes_max, &mut answer) {
                Some(Look::Answered) | None => {}
                Some(Look::NoRoom) => later.push_back(key),
                Some(Look::Waits) => {
                    let question = self.question(connection, key).expect("it was just looked at");
                    question.is_ready = false;
                    match self.hosted.get_mut(&key) {
                        Some(hosted) => hosted.feeds.push(connection),
                        None => unreachable!("{key} is answered with an error where it is not hosted"),
                    }
                }
            }
        }
        let feed = self.feeds.feeds.get_mut(&connection).expect("it was just there");
        feed.ready = later;
        answer
    }

    fn question(&mut self, connection: ConnectionId, key: TopicPartition) -> Option<&mut Question> {
        self.feeds.feeds.get_mut(&connection)?.questions.get_mut(&key)
    }

    /// `None` where the question is not asked any more.
    fn look_at(
        &mut self,
        now: Now,
        connection: ConnectionId,
        key: TopicPartition,
        bytes_max: u32,
        answer: &mut Answer,
    ) -> Option<Look> {
        let feed = self.feeds.feeds.get(&connection)?;
        let question = feed.questions.get(&key)?;
        let takes_none = question.bytes_max == 0;
        let room =
            u64::from(bytes_max).saturating_sub(answer.bytes).min(u64::from(question.bytes_max)) as u32;
        let request = question.from.ok_or(ErrorCode::OffsetOutOfRange).map(|from| FollowerFetchRequest {
            follower: feed.follower,
            broker_epoch: feed.broker_epoch,
            current_leader_epoch: question.leader_epoch,
            fetch_offset: from,
            last_fetched_epoch: question.last_fetched_epoch,
            log_start: question.log_start,
            max_bytes: room,
            takes_none,
        });
        let follower = feed.follower;
        let looked = request.and_then(|request| self.follower_fetch(now, key, &request));
        let is_throttled = self.is_throttled_at_leader(key, follower);
        let data = match looked {
            Ok(FetchAnswer::Diverging { epoch, end }) => PartitionData {
                diverging_epoch: EpochEndOffset {
                    epoch: epoch.0,
                    end_offset: end.raw(),
                    ..Default::default()
                },
                ..nothing(key.partition)
            },
            Ok(FetchAnswer::Data { read, high_watermark, last_stable, log_start, .. }) => {
                let told = Told { high_watermark, last_stable, log_start };
                match read {
                    Some(_) if is_throttled && !self.throttles.leading.may_go_on(now.tick) => {
                        self.counters.held_back_leading += u64::from(self.feeds.hold_back(connection, key));
                        return Some(self.wait(connection, key, told, answer));
                    }
                    // The first records are told even where there is no room for them, or the follower would be stuck.
                    Some(read) if 0 < room || answer.reads.is_empty() => {
                        let bytes = self.bytes_of(key, &read).min(u64::from(room));
                        answer.bytes += bytes;
                        if is_throttled {
                            self.throttles.leading.take(now.tick, bytes);
                        }
                        let token = answer.reads.len() as u32;
                        answer.reads.push(read);
                        self.note_told(connection, key, told);
                        PartitionData {
                            records: Some(Records::Hole { size: 0, token }),
                            ..told.data(key.partition)
                        }
                    }
                    Some(_) => return Some(Look::NoRoom),
                    None => return Some(self.wait(connection, key, told, answer)),
                }
            }
            Err(code) => PartitionData {
                error_code: code.code(),
                // A follower that has nothing the leader still has begins there.
                log_start_offset: self.replica(key).map_or(-1, |it| it.log().log_start().raw()),
                ..nothing(key.partition)
            },
        };
        answer.is_due = true;
        let feed = self.feeds.feeds.get_mut(&connection)?;
        feed.questions.remove(&key);
        if data.error_code != ErrorCode::None.code() {
            // It may be of a topic that is gone, and nobody would forget it any more.
            feed.high_watermarks.remove(&key);
        }
        answer.push(key, data);
        Some(Look::Answered)
    }

    fn note_told(&mut self, connection: ConnectionId, key: TopicPartition, told: Told) {
        if self.config.reads_in_racks
            && let Some(feed) = self.feeds.feeds.get_mut(&connection)
        {
            feed.high_watermarks.insert(key, told.high_watermark);
        }
    }

    /// Consumers may wait at the follower for what it is not told otherwise before it has another reason to be answered.
    fn has_news(&self, connection: ConnectionId) -> bool {
        let Some(feed) = self.feeds.feeds.get(&connection).filter(|_| self.config.reads_in_racks) else {
            return false;
        };
        feed.stale.iter().any(|key| {
            let is_asked = feed.questions.contains_key(key);
            let high_watermark = self.replica(*key).filter(|_| is_asked).map(Replica::high_watermark);
            high_watermark.is_some_and(|it| feed.high_watermarks.get(key).is_none_or(|told| *told < it))
        })
    }

    /// About how many bytes there are to read.
    fn bytes_of(&self, key: TopicPartition, read: &ReadPlan) -> u64 {
        self.hosted.get(&key).map_or(0, |it| it.replica.log().bytes_between(read.target, read.end))
    }

    /// There is no more for the follower than it has. That the log starts later than it thinks is told at once, for somebody may wait until it is so everywhere.
    fn wait(
        &mut self,
        connection: ConnectionId,
        key: TopicPartition,
        told: Told,
        answer: &mut Answer,
    ) -> Look {
        let feed = self.feeds.feeds.get_mut(&connection).expect("the caller has it");
        let question = feed.questions.get_mut(&key).expect("the caller has it");
        let known = question.told.map_or(question.log_start, |told| Some(told.log_start));
        if known != Some(told.log_start) {
            question.told = Some(told);
            answer.is_due = true;
            answer.push(key, told.data(key.partition));
            self.note_told(connection, key, told);
        } else if question.told != Some(told) && !question.is_stale {
            question.is_stale = true;
            feed.stale.push(key);
        }
        Look::Waits
    }

    fn follower_fetch(
        &mut self,
        now: Now,
        key: TopicPartition,
        request: &FollowerFetchRequest,
    ) -> Result<FetchAnswer, ErrorCode> {
        let Some(hosted) = self.hosted.get_mut(&key) else {
            return Err(self.why_not_hosted(key, true));
        };
        let before = hosted.replica.high_watermark();
        let answer = hosted.replica.follower_fetch(now.tick, request);
        // Also where nothing could be read: where the follower stands counts all the same.
        if hosted.replica.high_watermark() != before || !hosted.deletes.is_empty() {
            self.moved.push(key);
        }
        self.isr_due.insert(key);
        answer.map(|(answer, _)| answer).map_err(|error| error.code())
    }

    /// Sends an answer, and with it how far the partitions have come of which the follower knows less.
    fn tell_feed(&mut self, to: ReplyTo, mut answer: Answer, out: &mut Vec<Effect>) {
        let feed = self.feeds.feeds.get_mut(&to.connection).expect("the caller has it");
        for key in std::mem::take(&mut feed.stale) {
            let Some(question) = feed.questions.get_mut(&key) else { continue };
            question.is_stale = false;
            let Some(hosted) = self.hosted.get(&key) else { continue };
            let told = Told {
                high_watermark: hosted.replica.high_watermark(),
                last_stable: hosted.replica.last_stable(),
                log_start: hosted.replica.log().log_start(),
            };
            if question.told != Some(told) {
                question.told = Some(told);
                answer.push(key, told.data(key.partition));
                if self.config.reads_in_racks {
                    feed.high_watermarks.insert(key, told.high_watermark);
                }
            }
        }
        let response =
            FetchResponse { session_id: feed.id, responses: answer.responses, ..FetchResponse::default() };
        let reply = match answer.reads {
            reads if reads.is_empty() => Reply::Ready(Response::Fetch(response)),
            reads => {
                Reply::Fetch { response, reads, aborted: Vec::new(), bytes_max: self.config.fetch_bytes_max }
            }
        };
        out.push(Effect::Reply { to, reply });
    }

    /// The partition has more, or its frontiers moved; `all`: it is not led here any more, or no more at all.
    pub(crate) fn wake_feeds(&mut self, key: TopicPartition, all: bool) {
        let Some(hosted) = self.hosted.get_mut(&key) else { return };
        let saw = (hosted.replica.log().written(), hosted.replica.log().log_start());
        if !all && hosted.feeds_saw == saw {
            for connection in &hosted.feeds {
                let Some(feed) = self.feeds.feeds.get_mut(connection) else { continue };
                let Some(question) = feed.questions.get_mut(&key) else { continue };
                if !question.is_stale {
                    question.is_stale = true;
                    feed.stale.push(key);
                }
                if self.config.reads_in_racks && feed.parked.is_some() {
                    self.feeds.woken.insert(*connection);
                }
            }
            return;
        }
        hosted.feeds_saw = saw;
        for connection in hosted.feeds.drain(..) {
            let Some(feed) = self.feeds.feeds.get_mut(&connection) else { continue };
            let Some(question) = feed.questions.get_mut(&key) else { continue };
            hosted.replica.follower_waited(feed.follower, feed.heard);
            question.is_ready = true;
            feed.ready.push_back(key);
            if feed.parked.is_some() {
                self.feeds.woken.insert(connection);
            }
        }
    }

    /// Answers the fetches that were woken and find something.
    pub(crate) fn answer_woken_feeds(&mut self, now: Now, out: &mut Vec<Effect>) {
        while let Some(connection) = self.feeds.woken.pop_first() {
            let Some(feed) = self.feeds.feeds.get_mut(&connection) else { continue };
            let Some(parked) = feed.parked.take() else { continue };
            let answer = self.look_at_questions(now, connection, parked.bytes_max);
            self.flush_ops(out);
            if answer.is_due || self.has_news(connection) {
                self.tell_feed(parked.to, answer, out);
            } else if let Some(feed) = self.feeds.feeds.get_mut(&connection) {
                feed.parked = Some(parked);
            }
        }
    }

    /// Answers the parked fetch, if there is one, with what there is to tell.
    fn answer_parked(&mut self, now: Now, connection: ConnectionId, out: &mut Vec<Effect>) {
        let Some(feed) = self.feeds.feeds.get_mut(&connection) else { return };
        let Some(parked) = feed.parked.take() else { return };
        let answer = self.look_at_questions(now, connection, parked.bytes_max);
        self.flush_ops(out);
        self.tell_feed(parked.to, answer, out);
    }

    /// More may be sent to followers that catch up. Who has waited longest goes first, and one after another: the first by number would else take all there is for
    /// as long as it lacks anything, which it may do for ever.
    fn release_held(&mut self, now: Now, out: &mut Vec<Effect>) {
        while self.throttles.leading.may_go_on(now.tick)
            && let Some((connection, key)) = self.feeds.held.pop_front()
        {
            let Some(feed) = self.feeds.feeds.get_mut(&connection) else { continue };
            feed.held.remove(&key);
            let Some(question) = feed.questions.get_mut(&key).filter(|it| !it.is_ready) else { continue };
            question.is_ready = true;
            feed.ready.push_back(key);
            if feed.parked.is_some() {
                self.feeds.woken.insert(connection);
            }
            self.leave_list(key, connection);
            self.answer_woken_feeds(now, out);
        }
    }

    /// Answers what has waited for long enough.
    pub(crate) fn feeds_time(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.release_held(now, out);
        let is_due = |feed: &Feed| feed.parked.as_ref().is_some_and(|it| it.deadline <= now.tick);
        let due: Vec<_> =
            self.feeds.feeds.iter().filter(|(_, feed)| is_due(feed)).map(|(it, _)| *it).collect();
        for connection in due {
            self.answer_parked(now, connection, out);
        }
    }

    /// The connection is gone, or its follower begins anew; who that is.
    pub(crate) fn close_feed(&mut self, connection: ConnectionId) -> Option<BrokerId> {
        let feed = self.feeds.feeds.remove(&connection)?;
        if !feed.held.is_empty() {
            self.feeds.held.retain(|(it, _)| *it != connection);
        }
        for (key, question) in feed.questions {
            if !question.is_ready {
                self.leave_list(key, connection);
            }
        }
        Some(feed.follower)
    }
}

/// What became of a question.
enum Look {
    Answered,
    /// There are records, but not in this answer.
    NoRoom,
    Waits,
}

impl Answer {
    fn push(&mut self, key: TopicPartition, data: PartitionData) {
        match self.responses.last_mut() {
            Some(topic) if topic.topic_id == key.topic => topic.partitions.push(data),
            _ => self.responses.push(FetchableTopicResponse {
                topic_id: key.topic,
                partitions: vec![data],
                ..Default::default()
            }),
        }
    }
}

impl Told {
    fn data(self, partition: PartitionIndex) -> PartitionData {
        PartitionData {
            high_watermark: self.high_watermark.raw(),
            last_stable_offset: self.last_stable.raw(),
            log_start_offset: self.log_start.raw(),
            ..nothing(partition)
        }
    }
}

fn nothing(partition: PartitionIndex) -> PartitionData {
    PartitionData {
        partition_index: partition.0,
        high_watermark: -1,
        last_stable_offset: -1,
        log_start_offset: -1,
        preferred_read_replica: -1,
        records: None,
        ..Default::default()
    }
}
