//! Both ends of replication: what a leader tells its follower, broker 2, and what a follower asks its leader, broker 2.
//!
//! A script has one action a line; what follows from it stands below.
//!
//! ```text
//! lead t 2                       a topic with two partitions that this node leads; both brokers are in sync
//! produce t-0 3                  one batch of three records, acks=all
//! ask 0/0 t-0@5 -t-1 wait=9      broker 2 fetches: session/epoch, partitions with offsets, those to be forgotten
//!                                "t-0@5!" says where it is, and takes nothing
//! follow t 2                     a topic that broker 2 leads
//! relax t                        its records count when they are written, and not when they are synced
//! leader t-0 3                   another broker leads
//! tell 1 t-0 2                   the leader answers fetch 1 with records of t-0, two at an offset that follows, or "hw=5", "start=2", "gone=2", an error's name
//! delete t-0 3                   records before offset 3 are deleted
//! disk                           what was to be written is
//! begin t-0 3                    the same as "produce", and its disk waits
//! together                       what was to be written is, all at once
//! full                           what was to be written is not: there is no room
//! free 2                         so many MiB are free of a hundred, of which five are to stay free
//! tick 500                       milliseconds pass
//! ```
//!
//! What is throttled:
//!
//! ```text
//! throttle leader t 100          what t's leaders send followers out of sync, in bytes a second; "follower" for what this broker copies; "-" for no limit
//! spare leader t                 the limit stays, and t is none of the topics that it is for
//! ```
//!
//! Where this broker stands in the rack "a" and consumers are to read in theirs:
//!
//! ```text
//! rack 2 b                       broker 2 registers, in rack "b"
//! away 2                         it is not heard of any more
//! isr t-0 1,2,3                  who is in sync
//! read t-0@3 b wait=500          a consumer in rack "b" fetches; "v=10" by an older version, "epoch=1" of the leader that it knows
//! ```

use std::{collections::BTreeMap, fmt::Write as _};

use crate::world::{CONNECTION, World, another, batch};
use expect_test::{Expect, expect};
use klamm_cluster::record::{self, BrokerState, ConfigResource, PartitionChange, Record, RegisterBroker};
use klamm_log::{DiskAction, DiskError, Done, Space};
use klamm_model::{
    BrokerId, ControllerEpoch, ErrorCode, LeaderEpoch, Offset, PartitionEpoch, PartitionIndex, TopicId,
    TopicPartition, patched_prefix,
};
use klamm_node::{Event, Listener, PeerFailure, Reply};
use klamm_quorum::{Entry, Input, Proposer};
use klamm_wire::{
    DeleteRecordsRequest, FetchRequest, FetchResponse, Records, Request, Response,
    delete_records::{DeleteRecordsPartition, DeleteRecordsTopic},
    fetch::{
        FetchPartition, FetchTopic, FetchableTopicResponse, ForgottenTopic, PartitionData, ReplicaState,
    },
};
use uuid::Uuid;

const OTHER: BrokerId = BrokerId(2);

struct Script {
    world: World,
    topics: BTreeMap<String, TopicId>,
    /// Of requests that are not answered yet: what they are called.
    open: BTreeMap<u64, String>,
    asked: u64,
    epoch: i32,
    /// Tokens of this node's fetches, the first one's first.
    tokens: Vec<u64>,
}

fn check(script: &str, expected: &Expect) {
    check_in(World::new(), script, expected);
}

/// With consumers that read in their own racks.
fn check_in_racks(script: &str, expected: &Expect) {
    let world = World::with(|config| {
        config.reads_in_racks = true;
        config.rack = Some("a".into());
    });
    check_in(world, script, expected);
}

fn check_in(world: World, script: &str, expected: &Expect) {
    let mut it = Script {
        world,
        topics: BTreeMap::new(),
        open: BTreeMap::new(),
        asked: 0,
        epoch: 1,
        tokens: Vec::new(),
    };
    let mut transcript = String::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        transcript.push_str(line);
        transcript.push('\n');
        it.act(line);
        it.answers(&mut transcript);
        it.questions(&mut transcript);
    }
    expected.assert_eq(&transcript);
}

fn number<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("{text} is no number"))
}

impl Script {
    fn act(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["lead", topic, count] => self.create(topic, count, BrokerId(1)),
            ["follow", topic, count] => self.create(topic, count, OTHER),
            ["leader", partition, broker] => self.change(self.key(partition), BrokerId(number(broker))),
            ["produce", partition, count] => {
                self.begin_to_produce(partition, count);
                self.world.all_disk();
            }
            ["begin", partition, count] => self.begin_to_produce(partition, count),
            ["ask", ref words @ ..] => {
                let request = self.request(words);
                let sequence = self.world.send_on(Listener::Broker, Request::Fetch(request), 17);
                self.asked += 1;
                self.open.insert(sequence, format!("#{}", self.asked));
            }
            ["tell", fetch, ref words @ ..] => self.tell(self.tokens[number::<usize>(fetch) - 1], words),
            ["delete", partition, to] => {
                let TopicPartition { partition: PartitionIndex(index), .. } = self.key(partition);
                let partitions = vec![DeleteRecordsPartition {
                    partition_index: index,
                    offset: number(to),
                    ..Default::default()
                }];
                let (name, _) = partition.rsplit_once('-').expect("topic-partition");
                let topics = vec![DeleteRecordsTopic { name: name.into(), partitions, ..Default::default() }];
                let request = DeleteRecordsRequest { topics, timeout_ms: 1000, ..Default::default() };
                self.world.send(Request::DeleteRecords(request), 2);
                self.world.all_disk();
            }
            ["replicas", partition, ref brokers @ ..] => self.move_to(self.key(partition), brokers),
            ["rack", broker, rack] => self.register(BrokerId(number(broker)), rack),
            ["away", broker] => {
                let id = BrokerId(number(broker));
                let epoch = self.world.node.image().broker(id).expect("it is registered").epoch;
                let state = BrokerState::Fenced;
                self.commit(Record::BrokerState { id, epoch, state });
            }
            ["isr", partition, brokers] => {
                let partition = self.key(partition);
                let before = self.world.node.image().partition(partition).expect("it is there");
                let isr = brokers.split(',').map(|it| BrokerId(number(it))).collect();
                let next = PartitionEpoch(before.partition_epoch.0 + 1);
                let change = PartitionChange { isr: Some(isr), ..PartitionChange::nothing(partition, next) };
                self.commit(Record::PartitionChange(change));
            }
            ["read", partition, rack, ref words @ ..] => self.read(partition, rack, words),
            ["throttle", part, topic, rate] => self.throttle(part, topic, rate),
            ["spare", part, topic] => self.name_throttled(part, topic, None),
            ["relax", topic] => {
                let resource = ConfigResource::Topic(self.topics[topic]);
                let value = Some("1000000".to_owned());
                self.commit(Record::Config { resource, key: "flush.messages".to_owned(), value });
            }
            ["together"] => self.world.disk_together(),
            ["disk"] => _ = self.world.disk(|_| true, &Ok(Done::Nothing)),
            ["full"] => {
                let is_write = |action: &DiskAction| matches!(action, DiskAction::Write { .. });
                self.world.disk(is_write, &Err(DiskError::Full));
            }
            ["free", mib] => {
                let space = Space { total_bytes: 100 << 20, free_bytes: number::<u64>(mib) << 20 };
                self.world.step(Event::Space(vec![Some(space)]));
            }
            ["tick", ms] => self.world.wait_ms(number(ms)),
            ["close"] => self.world.step(Event::Closed(CONNECTION)),
            _ => panic!("{line}"),
        }
    }

    fn key(&self, text: &str) -> TopicPartition {
        let (topic, index) = text.rsplit_once('-').expect("topic-partition");
        TopicPartition { topic: self.topics[topic], partition: PartitionIndex(number(index)) }
    }

    fn name(&self, topic: TopicId) -> &str {
        self.topics.iter().find(|(_, id)| **id == topic).map_or("?", |(name, _)| name)
    }

    fn create(&mut self, topic: &str, count: &str, leader: BrokerId) {
        let id = self.world.create(topic, number(count));
        self.topics.insert(topic.to_owned(), id);
        for index in 0..number(count) {
            self.change(TopicPartition { topic: id, partition: PartitionIndex(index) }, leader);
        }
    }

    /// These have the partition from now on, and who leads it goes on.
    fn move_to(&mut self, partition: TopicPartition, brokers: &[&str]) {
        let before = self.world.node.image().partition(partition).expect("it is there");
        let replicas: Vec<_> = brokers.iter().map(|it| BrokerId(number(it))).collect();
        let isr = before.isr.iter().copied().filter(|it| replicas.contains(it)).collect();
        let next = PartitionEpoch(before.partition_epoch.0 + 1);
        let nothing = PartitionChange::nothing(partition, next);
        self.decide(PartitionChange { replicas: Some(replicas), isr: Some(isr), ..nothing });
    }

    /// Both brokers have the partition from now on, and this one leads it.
    fn change(&mut self, partition: TopicPartition, leader: BrokerId) {
        let before = self.world.node.image().partition(partition).expect("it is there");
        let follower = if leader == BrokerId(1) { OTHER } else { BrokerId(1) };
        let change = PartitionChange {
            leader: Some(Some(leader)),
            leader_epoch: Some(LeaderEpoch(before.leader_epoch.0 + 1)),
            isr: Some(vec![leader, follower]),
            replicas: Some(vec![BrokerId(1), BrokerId(2), BrokerId(3)]),
            ..PartitionChange::nothing(partition, PartitionEpoch(before.partition_epoch.0 + 1))
        };
        self.decide(change);
    }

    fn decide(&mut self, change: PartitionChange) {
        self.commit(Record::PartitionChange(change));
        self.world.all_disk();
    }

    fn begin_to_produce(&mut self, partition: &str, count: &str) {
        let (topic, index) = partition.rsplit_once('-').expect("topic-partition");
        let sequence = self.world.produce_to(topic, number(index), -1, batch(number(count), None));
        self.open.insert(sequence, format!("produced to {partition}:"));
    }

    fn throttle(&mut self, part: &str, topic: &str, rate: &str) {
        let value = Some(rate.to_owned()).filter(|rate| rate != "-");
        self.name_throttled(part, topic, value.as_ref().map(|_| "*".to_owned()));
        let resource = ConfigResource::Broker(BrokerId(1));
        self.commit(Record::Config { resource, key: format!("{part}.replication.throttled.rate"), value });
    }

    fn name_throttled(&mut self, part: &str, topic: &str, replicas: Option<String>) {
        let resource = ConfigResource::Topic(self.topics[topic]);
        let key = format!("{part}.replication.throttled.replicas");
        self.commit(Record::Config { resource, key, value: replicas });
    }

    fn register(&mut self, id: BrokerId, rack: &str) {
        let number = u128::from(id.0.unsigned_abs());
        self.commit(Record::RegisterBroker(RegisterBroker {
            id,
            incarnation: Uuid::from_u128(100 + number),
            directory: Uuid::from_u128(200 + number),
            rack: Some(rack.to_owned()),
            ..another()
        }));
        let epoch = self.world.node.image().broker(id).expect("it is registered").epoch;
        self.commit(Record::BrokerState { id, epoch, state: BrokerState::Active });
    }

    fn read(&mut self, partition: &str, rack: &str, words: &[&str]) {
        let (key, offset) = partition.split_once('@').expect("topic-partition@offset");
        let key = self.key(key);
        let mut version = 17;
        let mut asked = FetchPartition {
            partition: key.partition.0,
            fetch_offset: number(offset),
            partition_max_bytes: 1 << 20,
            ..Default::default()
        };
        let mut request = FetchRequest {
            max_bytes: 1 << 20,
            min_bytes: 1,
            session_epoch: -1,
            rack_id: rack.to_owned(),
            ..Default::default()
        };
        for word in words {
            match word.split_once('=').expect("what=number") {
                ("wait", ms) => request.max_wait_ms = number(ms),
                ("v", it) => version = number(it),
                ("epoch", epoch) => asked.current_leader_epoch = number(epoch),
                _ => panic!("{word}"),
            }
        }
        let topic = if version < 13 { self.name(key.topic).to_owned() } else { String::new() };
        request.topics =
            vec![FetchTopic { topic, topic_id: key.topic, partitions: vec![asked], ..Default::default() }];
        let sequence = self.world.send(Request::Fetch(request), version);
        self.open.insert(sequence, format!("read {partition}:"));
    }

    fn commit(&mut self, record: Record) {
        // Each by a controller of its own: a new proposer begins to count again.
        self.epoch += 1;
        let (epoch, controller) = (ControllerEpoch(self.epoch), BrokerId(9));
        let records = record::encode(&[Record::Begin { epoch, controller }, record]);
        let Input::Propose { epoch, payload } = Proposer::new(epoch).propose(&records) else {
            panic!("a proposer proposes")
        };
        self.world.commit(Entry { index: 0, epoch, payload });
    }

    fn request(&self, words: &[&str]) -> FetchRequest {
        let (session, epoch) = words[0].split_once('/').expect("session/epoch");
        let mut request = FetchRequest {
            replica_state: ReplicaState { replica_id: OTHER.0, replica_epoch: 5 },
            max_bytes: 1 << 20,
            session_id: number(session),
            session_epoch: number(epoch),
            ..Default::default()
        };
        for word in &words[1..] {
            if let Some(wait) = word.strip_prefix("wait=") {
                request.max_wait_ms = number(wait);
            } else if let Some(max) = word.strip_prefix("max=") {
                request.max_bytes = number(max);
            } else if let Some(forgotten) = word.strip_prefix('-') {
                let TopicPartition { topic: topic_id, partition } = self.key(forgotten);
                let partitions = vec![partition.0];
                let forgotten = ForgottenTopic { topic_id, partitions, ..Default::default() };
                request.forgotten_topics_data.push(forgotten);
            } else {
                let takes_none = word.ends_with('!');
                let (key, offset) =
                    word.trim_end_matches('!').split_once('@').expect("topic-partition@offset");
                let key = self.key(key);
                let led = self.world.node.image().partition(key).expect("it is there").leader_epoch;
                let asked = FetchPartition {
                    partition: key.partition.0,
                    fetch_offset: number(offset),
                    partition_max_bytes: if takes_none { 0 } else { 1 << 20 },
                    current_leader_epoch: led.0,
                    log_start_offset: 0,
                    ..Default::default()
                };
                let topic = FetchTopic { topic_id: key.topic, partitions: vec![asked], ..Default::default() };
                request.topics.push(topic);
            }
        }
        request
    }

    fn answers(&mut self, transcript: &mut String) {
        for (sequence, what) in self.open.clone() {
            let Some(reply) = self.world.answer(sequence) else { continue };
            self.open.remove(&sequence);
            let told = match &reply {
                Reply::Ready(Response::Fetch(response)) | Reply::Fetch { response, .. } => {
                    self.print(response)
                }
                Reply::Ready(Response::Produce(response)) => {
                    code(response.responses[0].partition_responses[0].error_code)
                }
                _ => panic!("{reply:?}"),
            };
            writeln!(transcript, "  {what} {told}").expect("a string");
        }
    }

    fn print(&self, response: &FetchResponse) -> String {
        if response.error_code != 0 {
            return code(response.error_code);
        }
        let mut text = format!("session {}", response.session_id);
        for topic in &response.responses {
            for it in &topic.partitions {
                let what = match it.records {
                    _ if it.preferred_read_replica >= 0 => {
                        format!("at broker {}, hw {}", it.preferred_read_replica, it.high_watermark)
                    }
                    _ if it.error_code != 0 && it.log_start_offset > 0 => {
                        format!("{}, start {}", code(it.error_code), it.log_start_offset)
                    }
                    _ if it.error_code != 0 => code(it.error_code),
                    Some(Records::Bytes(ref none)) if none.is_empty() => {
                        format!("nothing, hw {}", it.high_watermark)
                    }
                    Some(_) => format!("records, hw {}", it.high_watermark),
                    None => format!("hw {}", it.high_watermark),
                };
                write!(text, " | {}-{} {what}", self.name(topic.topic_id), it.partition_index)
                    .expect("a string");
            }
        }
        text
    }

    /// What this node has asked its leaders.
    fn questions(&mut self, transcript: &mut String) {
        for (token, request) in std::mem::take(&mut self.world.sent) {
            let Request::Fetch(request) = request else { continue };
            self.tokens.push(token);
            let (session, epoch) = (request.session_id, request.session_epoch);
            let mut text = format!("  fetch {}: {session}/{epoch}", self.tokens.len());
            for topic in &request.topics {
                for it in &topic.partitions {
                    let name = self.name(topic.topic_id);
                    let takes = if it.partition_max_bytes == 0 { "!" } else { "" };
                    write!(text, " {name}-{}@{}{takes}", it.partition, it.fetch_offset).expect("a string");
                }
            }
            for topic in &request.forgotten_topics_data {
                for partition in &topic.partitions {
                    write!(text, " -{}-{partition}", self.name(topic.topic_id)).expect("a string");
                }
            }
            writeln!(transcript, "{text}").expect("a string");
        }
    }

    fn tell(&mut self, token: u64, words: &[&str]) {
        let mut response = FetchResponse { session_id: 1, ..Default::default() };
        let mut failure = None;
        for pair in words.chunks(2) {
            match pair {
                ["lost"] => failure = Some(PeerFailure::Disconnected),
                ["unknown"] => response.error_code = ErrorCode::FetchSessionIdNotFound.code(),
                [key, what] => {
                    let key = self.key(key);
                    let partitions = vec![self.data(key, what)];
                    let topic =
                        FetchableTopicResponse { topic_id: key.topic, partitions, ..Default::default() };
                    response.responses.push(topic);
                }
                _ => panic!("{pair:?}"),
            }
        }
        let answer = failure.map_or(Ok(Response::Fetch(response)), Err);
        self.world.step(Event::Peer { from: OTHER, token, answer });
    }

    fn data(&self, key: TopicPartition, what: &str) -> PartitionData {
        let log = self.world.node.replica(key).expect("it is here").log();
        let mut data = PartitionData { partition_index: key.partition.0, ..Default::default() };
        data.records = None;
        if let Some(hw) = what.strip_prefix("hw=") {
            data.high_watermark = number(hw);
        } else if let Some(start) = what.strip_prefix("start=") {
            (data.high_watermark, data.log_start_offset) = (number(start), number(start));
        } else if let Ok(count) = what.parse() {
            let mut records = batch(count, None).to_vec();
            let prefix = patched_prefix(&records, log.end(), LeaderEpoch(0));
            records[..prefix.len()].copy_from_slice(&prefix);
            data.records = Some(Records::Bytes(records.into()));
            data.high_watermark = Offset::ZERO.raw();
        } else if let Some(start) = what.strip_prefix("gone=") {
            (data.error_code, data.log_start_offset) = (ErrorCode::OffsetOutOfRange.code(), number(start));
        } else {
            data.error_code = match what {
                "NotLeader" => ErrorCode::NotLeaderOrFollower.code(),
                _ => panic!("{what}"),
            };
        }
        data
    }
}

fn code(code: i16) -> String {
    format!("{:?}", ErrorCode::from_code(code).expect("a known code"))
}

#[test]
fn a_question_waits_for_records_and_is_answered_once() {
    check(
        "lead t 2
         ask 0/0 t-0@0 t-1@0
         ask 1/1 wait=500
         produce t-0 2
         ask 1/2 wait=500
         produce t-0 1
         ask 1/3 t-0@2 wait=500
         ask 1/4 t-0@3 wait=500
         tick 499
         tick 1",
        &expect![[r#"
            lead t 2
            ask 0/0 t-0@0 t-1@0
              #1 session 1 | t-0 hw 0 | t-1 hw 0
            ask 1/1 wait=500
            produce t-0 2
              #2 session 1 | t-0 records, hw 0
            ask 1/2 wait=500
            produce t-0 1
            ask 1/3 t-0@2 wait=500
              produced to t-0: None
              #3 session 1
              #4 session 1 | t-0 records, hw 2
            ask 1/4 t-0@3 wait=500
              produced to t-0: None
            tick 499
            tick 1
              #5 session 1 | t-0 hw 3
        "#]],
    );
}

#[test]
fn a_fetch_takes_the_place_of_the_one_that_waits() {
    check(
        "lead t 3
         ask 0/0 t-0@0
         ask 1/1 wait=500
         ask 1/2 t-1@0 wait=500
         ask 1/3 t-2@0 -t-0 wait=500
         produce t-0 1
         produce t-1 1
         ask 1/4 wait=500
         tick 500",
        &expect![[r#"
            lead t 3
            ask 0/0 t-0@0
              #1 session 1 | t-0 hw 0
            ask 1/1 wait=500
            ask 1/2 t-1@0 wait=500
              #2 session 1
            ask 1/3 t-2@0 -t-0 wait=500
              #3 session 1 | t-1 hw 0
            produce t-0 1
            produce t-1 1
              #4 session 1 | t-1 records, hw 0 | t-2 hw 0
            ask 1/4 wait=500
            tick 500
              #5 session 1
        "#]],
    );
}

#[test]
fn a_follower_that_begins_anew_or_is_not_known() {
    check(
        "lead t 1
         ask 7/1 t-0@0
         ask 0/0 t-0@0
         ask 1/2 wait=500
         ask 1/1 wait=500
         ask 0/0 t-0@0
         produce t-0 1
         close
         ask 2/1",
        &expect![[r#"
            lead t 1
            ask 7/1 t-0@0
              #1 FetchSessionIdNotFound
            ask 0/0 t-0@0
              #2 session 1 | t-0 hw 0
            ask 1/2 wait=500
              #3 InvalidFetchSessionEpoch
            ask 1/1 wait=500
            ask 0/0 t-0@0
              #4 session 1
              #5 session 2 | t-0 hw 0
            produce t-0 1
            close
            ask 2/1
              #6 FetchSessionIdNotFound
        "#]],
    );
}

#[test]
fn what_finds_no_room_is_told_next() {
    check(
        "lead t 2
         produce t-0 50
         produce t-1 50
         ask 0/0 t-0@0 t-1@0 max=100
         ask 1/1 wait=500 max=100
         ask 1/2 t-0@50 wait=500",
        &expect![[r#"
            lead t 2
            produce t-0 50
            produce t-1 50
            ask 0/0 t-0@0 t-1@0 max=100
              #1 session 1 | t-0 records, hw 0
            ask 1/1 wait=500 max=100
              #2 session 1 | t-1 records, hw 0
            ask 1/2 t-0@50 wait=500
              produced to t-0: None
        "#]],
    );
}

/// A new replica begins where the leader's log does, or it never would.
#[test]
fn who_asks_for_what_is_deleted_is_told_where_the_log_begins() {
    check(
        "lead t 1
         produce t-0 5
         ask 0/0 t-0@5
         delete t-0 3
         ask 1/1 t-0@0 wait=500",
        &expect![[r#"
            lead t 1
            produce t-0 5
            ask 0/0 t-0@5
              produced to t-0: None
              #1 session 1 | t-0 hw 5
            delete t-0 3
            ask 1/1 t-0@0 wait=500
              #2 session 1 | t-0 OffsetOutOfRange, start 3
        "#]],
    );
}

#[test]
fn a_follower_begins_where_its_leaders_log_does() {
    check(
        "follow t 1
         tell 1 t-0 gone=100
         disk",
        &expect![[r#"
            follow t 1
              fetch 1: 0/0 t-0@0
            tell 1 t-0 gone=100
              fetch 2: 1/1 t-0@100
            disk
        "#]],
    );
}

#[test]
fn a_follower_hears_that_its_leader_leads_no_more() {
    check(
        "lead t 1
         ask 0/0 t-0@0
         ask 1/1 wait=500
         leader t-0 3",
        &expect![[r#"
            lead t 1
            ask 0/0 t-0@0
              #1 session 1 | t-0 hw 0
            ask 1/1 wait=500
            leader t-0 3
              #2 session 1 | t-0 FencedLeaderEpoch
              fetch 1: 0/0 t-0@0
        "#]],
    );
}

#[test]
fn a_partition_is_named_when_it_is_free_to_take_more() {
    check(
        "follow t 3
         tell 1
         tell 2 t-0 2
         tick 1
         tell 3 t-1 1
         tick 1
         disk
         tell 4
         tell 5 t-2 hw=0
         tell 6 t-0 NotLeader
         tick 50",
        &expect![[r#"
            follow t 3
              fetch 1: 0/0 t-0@0
            tell 1
              fetch 2: 1/1 t-1@0 t-2@0
            tell 2 t-0 2
            tick 1
              fetch 3: 1/2
            tell 3 t-1 1
            tick 1
              fetch 4: 1/3
            disk
              fetch 5: 1/4 t-0@2
            tell 4
              fetch 6: 1/5 t-1@1
            tell 5 t-2 hw=0
            tell 6 t-0 NotLeader
              fetch 7: 1/6
            tick 50
              fetch 8: 1/7 t-0@2
        "#]],
    );
}

#[test]
fn what_is_written_at_once_is_named_by_the_next_fetch() {
    check(
        "follow t 3
         relax t
         tell 1
         tell 2 t-0 2 t-1 1
         together",
        &expect![[r#"
            follow t 3
              fetch 1: 0/0 t-0@0
            relax t
            tell 1
              fetch 2: 1/1 t-1@0 t-2@0
            tell 2 t-0 2 t-1 1
            together
              fetch 3: 1/2 t-0@2 t-1@1
        "#]],
    );
}

#[test]
fn what_is_synced_soon_is_named_by_the_next_fetch_and_nobody_waits_for_what_is_not() {
    check(
        "follow t 3
         tell 1
         tell 2 t-0 2 t-1 1
         together
         together
         tell 3 t-0 1
         together
         tick 1",
        &expect![[r#"
            follow t 3
              fetch 1: 0/0 t-0@0
            tell 1
              fetch 2: 1/1 t-1@0 t-2@0
            tell 2 t-0 2 t-1 1
            together
            together
              fetch 3: 1/2 t-0@2 t-1@1
            tell 3 t-0 1
            together
            tick 1
              fetch 4: 1/3
        "#]],
    );
}

#[test]
fn what_one_thread_has_written_is_told_in_one_answer() {
    check(
        "lead t 2
         ask 0/0 t-0@0 t-1@0
         ask 1/1 wait=500
         begin t-0 5
         begin t-1 3
         together",
        &expect![[r#"
            lead t 2
            ask 0/0 t-0@0 t-1@0
              #1 session 1 | t-0 hw 0 | t-1 hw 0
            ask 1/1 wait=500
            begin t-0 5
            begin t-1 3
            together
              #2 session 1 | t-1 records, hw 0 | t-0 records, hw 0
        "#]],
    );
}

#[test]
fn what_a_full_disk_could_not_take_is_asked_for_again_after_a_while() {
    check(
        "follow t 1
         tell 1 t-0 2
         full
         tick 499
         tick 1
         tell 2 t-0 2
         disk",
        &expect![[r#"
            follow t 1
              fetch 1: 0/0 t-0@0
            tell 1 t-0 2
            full
            tick 499
            tick 1
              fetch 2: 1/1 t-0@0
            tell 2 t-0 2
            disk
              fetch 3: 1/2 t-0@2
        "#]],
    );
}

/// What is left is for the metadata, and for what makes room.
#[test]
fn a_disk_that_is_nearly_full_follows_and_a_full_one_only_says_where_it_is() {
    check(
        "follow t 2
         tell 1
         free 4
         tell 2 t-0 2
         disk
         free 2
         tell 3
         free 4",
        &expect![[r#"
            follow t 2
              fetch 1: 0/0 t-0@0
            tell 1
              fetch 2: 1/1 t-1@0
            free 4
            tell 2 t-0 2
            disk
              fetch 3: 1/2 t-0@2
            free 2
              fetch 4: 1/3 t-0@2! t-1@0!
            tell 3
            free 4
              fetch 5: 1/4 t-0@2 t-1@0
        "#]],
    );
}

#[test]
fn who_takes_nothing_is_sent_no_records() {
    check(
        "lead t 1
         ask 0/0 t-0@0!
         produce t-0 2
         ask 1/1 t-0@0!
         ask 1/2 t-0@0",
        &expect![[r#"
            lead t 1
            ask 0/0 t-0@0!
              #1 session 1 | t-0 hw 0
            produce t-0 2
            ask 1/1 t-0@0!
              #2 session 1 | t-0 hw 0
            ask 1/2 t-0@0
              #3 session 1 | t-0 records, hw 0
        "#]],
    );
}

#[test]
fn a_session_that_ends_is_opened_again_with_everything() {
    check(
        "follow t 2
         tell 1
         tell 2 t-0 1
         tick 1
         tell 3 lost
         disk
         tick 50
         tell 4 unknown
         tick 50",
        &expect![[r#"
            follow t 2
              fetch 1: 0/0 t-0@0
            tell 1
              fetch 2: 1/1 t-1@0
            tell 2 t-0 1
            tick 1
              fetch 3: 1/2
            tell 3 lost
            disk
            tick 50
              fetch 4: 0/0 t-0@1 t-1@0
            tell 4 unknown
            tick 50
              fetch 5: 0/0 t-0@1 t-1@0
        "#]],
    );
}

#[test]
fn another_leader_is_asked_at_once_and_the_old_one_is_told_to_forget() {
    check(
        "follow t 2
         tell 1
         leader t-0 3
         tell 2
         leader t-1 3",
        &expect![[r#"
            follow t 2
              fetch 1: 0/0 t-0@0
            tell 1
              fetch 2: 1/1 t-1@0
            leader t-0 3
              fetch 3: 1/2 -t-0
              fetch 4: 0/0 t-0@0
            tell 2
            leader t-1 3
              fetch 5: 1/3 -t-1
        "#]],
    );
}

/// Of a partition that is named both ways the leader keeps nothing.
#[test]
fn a_leader_that_is_asked_again_before_it_could_be_told_to_forget_is_not_told_to() {
    check(
        "follow t 1
         leader t-0 3
         leader t-0 2
         tell 1",
        &expect![[r#"
            follow t 1
              fetch 1: 0/0 t-0@0
            leader t-0 3
              fetch 2: 0/0 t-0@0
            leader t-0 2
            tell 1
              fetch 3: 1/1 t-0@0
        "#]],
    );
}

/// The follower waits, and does not hear that it was gone. Then it is to say again how far it is: what the leader knew of it is forgotten.
#[test]
fn a_follower_that_is_taken_away_and_back_is_asked_where_it_is() {
    check(
        "lead t 1
         ask 0/0 t-0@0
         ask 1/1 wait=500
         replicas t-0 1 3
         replicas t-0 1 2 3
         ask 1/2 t-0@0 wait=500
         replicas t-0 1 2
         replicas t-0 1 2 3",
        &expect![[r#"
            lead t 1
            ask 0/0 t-0@0
              #1 session 1 | t-0 hw 0
            ask 1/1 wait=500
            replicas t-0 1 3
              #2 session 1 | t-0 ReplicaNotAvailable
            replicas t-0 1 2 3
            ask 1/2 t-0@0 wait=500
            replicas t-0 1 2
            replicas t-0 1 2 3
        "#]],
    );
}

#[test]
fn a_consumer_is_sent_to_an_in_sync_replica_of_its_rack() {
    check_in_racks(
        "lead t 1
         rack 2 b
         rack 3 c
         produce t-0 3
         ask 0/0 t-0@0
         read t-0@0 b
         read t-0@1 b
         ask 1/1 t-0@3
         read t-0@3 b wait=500
         read t-0@0 a
         read t-0@0 c
         read t-0@0 b v=10
         read t-0@7 b
         read t-0@0 b epoch=0
         isr t-0 1
         read t-0@0 b
         isr t-0 1,2
         read t-0@0 b
         away 2
         read t-0@0 b",
        &expect![[r#"
            lead t 1
            rack 2 b
            rack 3 c
            produce t-0 3
            ask 0/0 t-0@0
              #1 session 1 | t-0 records, hw 0
            read t-0@0 b
              read t-0@0: session 0 | t-0 at broker 2, hw 0
            read t-0@1 b
              read t-0@1: session 0 | t-0 nothing, hw 0
            ask 1/1 t-0@3
              produced to t-0: None
              #2 session 1 | t-0 hw 3
            read t-0@3 b wait=500
              read t-0@3: session 0 | t-0 at broker 2, hw 3
            read t-0@0 a
              read t-0@0: session 0 | t-0 records, hw 3
            read t-0@0 c
              read t-0@0: session 0 | t-0 records, hw 3
            read t-0@0 b v=10
              read t-0@0: session 0 | t-0 records, hw 3
            read t-0@7 b
              read t-0@7: session 0 | t-0 NotLeaderOrFollower
            read t-0@0 b epoch=0
              read t-0@0: session 0 | t-0 FencedLeaderEpoch
            isr t-0 1
            read t-0@0 b
              read t-0@0: session 0 | t-0 records, hw 3
            isr t-0 1,2
            read t-0@0 b
              read t-0@0: session 0 | t-0 at broker 2, hw 3
            away 2
            read t-0@0 b
              read t-0@0: session 0 | t-0 records, hw 3
        "#]],
    );
}

/// It may lag there, or be damaged: whoever was sent there again and again would never get it.
#[test]
fn who_comes_back_for_the_same_is_not_sent_away_again() {
    check_in_racks(
        "lead t 1
         rack 2 b
         produce t-0 3
         ask 0/0 t-0@0
         ask 1/1 t-0@3
         read t-0@0 b
         read t-0@0 b
         read t-0@3 b
         read t-0@0 b",
        &expect![[r#"
            lead t 1
            rack 2 b
            produce t-0 3
            ask 0/0 t-0@0
              #1 session 1 | t-0 records, hw 0
            ask 1/1 t-0@3
              produced to t-0: None
              #2 session 1 | t-0 hw 3
            read t-0@0 b
              read t-0@0: session 0 | t-0 at broker 2, hw 3
            read t-0@0 b
              read t-0@0: session 0 | t-0 records, hw 3
            read t-0@3 b
              read t-0@3: session 0 | t-0 at broker 2, hw 3
            read t-0@0 b
              read t-0@0: session 0 | t-0 at broker 2, hw 3
        "#]],
    );
}

#[test]
fn where_nobody_said_so_consumers_read_at_the_leader() {
    check(
        "lead t 1
         rack 2 b
         produce t-0 3
         ask 0/0 t-0@0
         ask 1/1 t-0@3
         read t-0@0 b",
        &expect![[r#"
            lead t 1
            rack 2 b
            produce t-0 3
            ask 0/0 t-0@0
              #1 session 1 | t-0 records, hw 0
            ask 1/1 t-0@3
              produced to t-0: None
              #2 session 1 | t-0 hw 3
            read t-0@0 b
              read t-0@0: session 0 | t-0 records, hw 3
        "#]],
    );
}

#[test]
fn a_follower_answers_consumers_once_it_knows_that_there_is_more() {
    check_in_racks(
        "follow t 1
         read t-0@0 a wait=500
         tell 1 t-0 2
         disk
         tell 2 t-0 hw=2
         read t-0@2 a wait=100
         tick 100
         read t-0@5 a
         read t-0@0 a v=10
         read t-0@0 a epoch=9",
        &expect![[r#"
            follow t 1
              fetch 1: 0/0 t-0@0
            read t-0@0 a wait=500
            tell 1 t-0 2
            disk
              fetch 2: 1/1 t-0@2
            tell 2 t-0 hw=2
              read t-0@0: session 0 | t-0 records, hw 2
              fetch 3: 1/2
            read t-0@2 a wait=100
            tick 100
              read t-0@2: session 0 | t-0 nothing, hw 2
            read t-0@5 a
              read t-0@5: session 0 | t-0 OffsetNotAvailable
            read t-0@0 a v=10
              read t-0@0: session 0 | t-0 NotLeaderOrFollower
            read t-0@0 a epoch=9
              read t-0@0: session 0 | t-0 UnknownLeaderEpoch
        "#]],
    );
}

/// By the epoch that it knows, a consumer is not to wait at a follower of another leader.
#[test]
fn a_consumer_that_waits_at_a_follower_is_told_of_a_new_epoch() {
    check_in_racks(
        "follow t 1
         read t-0@0 a epoch=1 wait=500
         leader t-0 3",
        &expect![[r#"
            follow t 1
              fetch 1: 0/0 t-0@0
            read t-0@0 a epoch=1 wait=500
            leader t-0 3
              read t-0@0: session 0 | t-0 FencedLeaderEpoch
              fetch 2: 0/0 t-0@0
        "#]],
    );
}

#[test]
fn where_consumers_wait_at_followers_those_are_told_of_high_watermarks_at_once() {
    check_in_racks(
        "lead t 1
         ask 0/0 t-0@0
         ask 1/1 wait=500
         produce t-0 3
         ask 1/2 t-0@3 wait=500
         ask 1/3 wait=500",
        &expect![[r#"
            lead t 1
            ask 0/0 t-0@0
              #1 session 1 | t-0 hw 0
            ask 1/1 wait=500
            produce t-0 3
              #2 session 1 | t-0 records, hw 0
            ask 1/2 t-0@3 wait=500
              produced to t-0: None
              #3 session 1 | t-0 hw 3
            ask 1/3 wait=500
        "#]],
    );
}

#[test]
fn a_leader_holds_followers_back_that_catch_up() {
    check(
        "lead t 3
         produce t-0 50
         produce t-1 50
         isr t-0 1
         isr t-1 1
         throttle leader t 100
         ask 0/0 t-0@0 t-1@0
         ask 1/1 t-2@0 wait=100000
         tick 1000
         produce t-2 50
         ask 1/2 t-2@50 wait=100000
         tick 20000
         ask 1/3 t-0@50 t-1@50 wait=100000",
        &expect![[r#"
            lead t 3
            produce t-0 50
            produce t-1 50
            isr t-0 1
            isr t-1 1
            throttle leader t 100
            ask 0/0 t-0@0 t-1@0
              #1 session 1 | t-0 records, hw 0 | t-1 hw 0
            ask 1/1 t-2@0 wait=100000
            tick 1000
              produced to t-0: RequestTimedOut
              produced to t-1: RequestTimedOut
            produce t-2 50
              #2 session 1 | t-2 records, hw 0
            ask 1/2 t-2@50 wait=100000
              produced to t-2: None
            tick 20000
              #3 session 1 | t-1 records, hw 0 | t-2 hw 50
            ask 1/3 t-0@50 t-1@50 wait=100000
        "#]],
    );
}

#[test]
fn without_a_limit_any_more_a_leader_goes_on_at_once() {
    check(
        "lead t 2
         produce t-0 50
         produce t-1 50
         isr t-0 1
         isr t-1 1
         throttle leader t 0
         ask 0/0 t-0@0 t-1@0
         ask 1/1 wait=100000
         tick 50000
         throttle leader t -",
        &expect![[r#"
            lead t 2
            produce t-0 50
            produce t-1 50
            isr t-0 1
            isr t-1 1
            throttle leader t 0
            ask 0/0 t-0@0 t-1@0
              #1 session 1 | t-0 hw 0 | t-1 hw 0
            ask 1/1 wait=100000
            tick 50000
              produced to t-0: RequestTimedOut
              produced to t-1: RequestTimedOut
            throttle leader t -
              #2 session 1 | t-0 records, hw 0 | t-1 records, hw 0
        "#]],
    );
}

#[test]
fn a_topic_that_is_not_throttled_any_more_waits_for_nobody() {
    check(
        "lead t 1
         produce t-0 50
         isr t-0 1
         throttle leader t 0
         ask 0/0 t-0@0
         ask 1/1 wait=100000
         spare leader t",
        &expect![[r#"
            lead t 1
            produce t-0 50
            isr t-0 1
            throttle leader t 0
            ask 0/0 t-0@0
              #1 session 1 | t-0 hw 0
            ask 1/1 wait=100000
            spare leader t
              #2 session 1 | t-0 records, hw 0
        "#]],
    );
}

/// The first one may lack more for as long as somebody writes to it.
#[test]
fn partitions_that_are_held_back_take_turns() {
    check(
        "lead t 2
         produce t-0 50
         produce t-0 50
         produce t-1 50
         isr t-0 1
         isr t-1 1
         throttle leader t 100
         ask 0/0 t-0@0 t-1@0 max=1
         ask 1/1 t-0@50 max=1 wait=100000
         tick 20000
         ask 1/2 t-1@50 max=1 wait=100000
         tick 20000",
        &expect![[r#"
            lead t 2
            produce t-0 50
            produce t-0 50
            produce t-1 50
            isr t-0 1
            isr t-1 1
            throttle leader t 100
            ask 0/0 t-0@0 t-1@0 max=1
              #1 session 1 | t-0 records, hw 0 | t-1 hw 0
            ask 1/1 t-0@50 max=1 wait=100000
            tick 20000
              produced to t-0: RequestTimedOut
              produced to t-0: RequestTimedOut
              produced to t-1: RequestTimedOut
              #2 session 1 | t-1 records, hw 0 | t-0 hw 0
            ask 1/2 t-1@50 max=1 wait=100000
              #3 session 1 | t-0 records, hw 0 | t-1 hw 0
            tick 20000
        "#]],
    );
}

#[test]
fn a_follower_that_catches_up_asks_for_no_more_than_it_may() {
    check(
        "follow t 1
         isr t-0 2
         throttle follower t 200
         tell 1 t-0 100
         disk
         tick 500
         tick 500
         tick 60000
         tell 2 t-0 100
         isr t-0 1,2
         disk
         tick 500",
        &expect![[r#"
            follow t 1
              fetch 1: 0/0 t-0@0
            isr t-0 2
            throttle follower t 200
            tell 1 t-0 100
            disk
            tick 500
            tick 500
            tick 60000
              fetch 2: 1/1 t-0@100
            tell 2 t-0 100
            isr t-0 1,2
            disk
              fetch 3: 1/2 t-0@200
            tick 500
        "#]],
    );
}
