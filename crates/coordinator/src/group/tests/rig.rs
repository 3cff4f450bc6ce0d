//! A shard of groups with its log in a test, driven by lines of text.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;

use bytes::Bytes;
use klamm_model::{Offset, PartitionIndex, ProducerEpoch, Timestamp, TopicPartition};
use klamm_wire::consumer_protocol::SubscriptionTopicPartition;
use klamm_wire::{ConsumerProtocolSubscription, Message, Writer};
use uuid::Uuid;

use super::super::*;
use crate::group::consumer::{Consumer, by_topic};
use crate::{Append, Entry};

mod readers;
mod told;

use readers::{Readers, Topics};

pub(super) struct Rig {
    pub(super) groups: Groups,
    config: GroupConfig,
    now: Now,
    log: Vec<Logged>,
    requests: u64,
    /// Whose requests wait.
    waiting: BTreeMap<RequestId, String>,
    clients: BTreeMap<String, Client>,
    readers: Readers,
    /// Requests that their members have given up, and that are still on their way.
    late: VecDeque<(String, ConsumerHeartbeat)>,
    /// There is a group `g`.
    has_group: bool,
    topics: Topics,
    /// What members are called here: their ids are long.
    names: BTreeMap<String, String>,
    taken: BTreeSet<String>,
}

enum Logged {
    Batch(Append),
    Marker(ProducerId, bool),
}

#[derive(Default)]
struct Client {
    member: Identity,
    /// What it said of itself, `NAME:VALUE`, and says again.
    said: BTreeMap<String, String>,
    /// What it was given last, until it joins again.
    reads: BTreeSet<TopicPartition>,
}

impl Rig {
    pub(super) fn new(config: GroupConfig) -> Self {
        Self {
            groups: Groups::new(config.clone(), 1),
            config,
            now: Now { tick: Tick(0), wall: Timestamp(0) },
            log: Vec::new(),
            requests: 0,
            waiting: BTreeMap::new(),
            clients: BTreeMap::new(),
            readers: Readers::default(),
            late: VecDeque::new(),
            has_group: false,
            topics: Topics::new(),
            names: BTreeMap::new(),
            taken: BTreeSet::new(),
        }
        .started()
    }

    fn started(mut self) -> Self {
        self.start(0);
        self
    }

    /// What it appends as it begins to serve.
    fn start(&mut self, doubt_ms: u64) -> String {
        let (image, from) = (self.topics.image.clone(), self.now.tick.after_ms(doubt_ms));
        self.step(|groups, now, out| groups.start(now, from, &image, out))
    }

    /// `WHO VERB …` for members, `VERB …` for everything else. `LONG` stands for a name that is longer than names may be.
    pub(super) fn run(&mut self, line: &str) -> String {
        let line = line.replace("LONG", &"x".repeat(NAME_SIZE_MAX + 1));
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["wait", ms] => self.wait(number(ms)),
            ["clock", ms] => {
                self.now.wall.0 += number::<i64>(ms);
                String::new()
            }
            ["sleep", ms] => {
                self.pass_to(self.now.tick.after_ms(number(ms)));
                self.step(Groups::tick)
            }
            ["restart"] => self.restart(0),
            ["restart-in-doubt", ms] => self.restart(number(ms)),
            // It may not speak.
            ["mute", ms] => {
                self.pass_to(self.now.tick.after_ms(number(ms)));
                self.groups.go_on(self.now);
                self.step(Groups::tick)
            }
            ["limit", count] => {
                self.config.members_max = number(count);
                self.restart(0)
            }
            ["compact"] => self.compact(),
            ["newer-version", who] => {
                let entry = self.readers.in_unknown_state(who, &self.groups).encode();
                self.log.push(Logged::Batch(Append { transaction: None, entries: vec![entry] }));
                self.restart(0)
            }
            ["causes"] => {
                let causes = self.groups.rebalances().iter();
                causes.map(|(cause, count)| format!("{count} {}\n", cause.name())).collect()
            }
            ["end", producer, how] => {
                let producer = ProducerId(number(producer));
                self.log.push(Logged::Marker(producer, how == "commit"));
                self.groups.end_transaction(producer, how == "commit");
                String::new()
            }
            ["topic", topic, count] => {
                self.topics.grow(topic, number(count));
                self.groups.topics_changed(self.topics.image.clone());
                String::new()
            }
            // While nobody serves the shard.
            ["drop-topic", topic, "unheard"] => {
                self.topics.remove(topic);
                self.restart(0)
            }
            ["drop-topic", topic] => {
                self.topics.remove(topic);
                self.groups.topics_changed(self.topics.image.clone());
                let topics = [(topic.to_owned(), topic_id(topic))];
                self.step(|groups, now, out| groups.topics_deleted(now, &topics, out))
            }
            ["fetch", group, ref rest @ ..] => {
                let partitions = rest.iter().filter(|it| it.contains('/'));
                let topics = partitions.map(|it| place(it)).map(|(topic, at)| of_topic(&topic, at, ()));
                self.ask(
                    "",
                    Request::FetchOffsets(FetchOffsets {
                        group: group.to_owned(),
                        member: rest
                            .iter()
                            .find_map(|it| it.strip_prefix("as:"))
                            .map(|it| self.readers.identity(it)),
                        topics: Some(topics.collect()).filter(|_| !rest.contains(&"all")),
                        require_stable: rest.contains(&"stable"),
                    }),
                )
            }
            ["forget", group, ref rest @ ..] => {
                let topics = rest.iter().map(|it| place(it)).map(|(topic, at)| of_topic(&topic, at, ()));
                let it = DeleteOffsets { group: group.to_owned(), topics: topics.collect() };
                self.ask("", Request::DeleteOffsets(it))
            }
            ["delete", group] => self.ask("", Request::DeleteGroup(group.to_owned())),
            ["describe-consumer", group] => self.ask("", Request::DescribeConsumer(group.to_owned())),
            ["describe", group] => self.ask("", Request::Describe(group.to_owned())),
            ["list", ref rest @ ..] => {
                let states: Vec<_> = rest.iter().filter_map(|it| GroupState::from_name(it)).collect();
                let states = Some(states).filter(|_| !rest.is_empty());
                let types = Some(vec![GroupType::Classic, GroupType::Consumer]);
                self.ask("", Request::List(List { states, types }))
            }
            [who, verb @ ("show" | "quit" | "pause"), ref rest @ ..] => {
                let request = self.readers.say(who, verb, rest);
                if rest.contains(&"late") {
                    self.late.push_back((who.to_owned(), request));
                    return String::new();
                }
                self.ask(who, Request::ConsumerHeartbeat(Box::new(request)))
            }
            ["arrive", ref rest @ ..] => {
                let is_it = |(who, _): &(String, _)| rest.is_empty() || rest.contains(&who.as_str());
                let Some(at) = self.late.iter().position(is_it) else { return String::new() };
                let (who, request) = self.late.remove(at).expect("found there");
                // It comes twice.
                if rest.contains(&"twice") {
                    self.late.push_back((who, request.clone()));
                }
                self.ask("", Request::ConsumerHeartbeat(Box::new(request)))
            }
            [who, verb, ref rest @ ..] => self.member(who, verb, rest),
            _ => panic!("no such line: {line}"),
        }
    }

    fn member(&mut self, who: &str, verb: &str, rest: &[&str]) -> String {
        let client = self.clients.entry(who.to_owned()).or_default();
        for (name, value) in rest.iter().filter_map(|it| it.split_once(':')) {
            client.said.insert(name.to_owned(), value.to_owned());
        }
        let said = |name: &str| client.said.get(name).map(String::as_str);
        let option = |name: &str| rest.iter().find_map(|it| it.strip_prefix(name)?.strip_prefix(':'));
        let group = said("group").unwrap_or("g").to_owned();
        let mut member = client.member.clone();
        member.instance_id = said("instance").map(str::to_owned);
        if let Some(generation) = option("generation") {
            member.generation = generation.parse().ok().filter(|it| 0 <= *it);
        }
        if rest.contains(&"reader") {
            member = self.readers.identity(who);
        }
        if let Some(id) = option("as") {
            member.member_id = id.to_owned();
        }
        let places = rest.iter().filter_map(|it| it.split_once('='));
        let topics = places.clone().filter(|(name, _)| name.contains('/')).map(|(at, offset)| {
            let (topic, at) = place(at);
            let value = NewOffset {
                offset: Offset::from_wire(offset.parse().expect("an offset")),
                leader_epoch: None,
                metadata: option("metadata").unwrap_or_default().to_owned(),
            };
            of_topic(&topic, at, value)
        });
        let request = match verb {
            // The cooperative keep what they say they have.
            "join" => Request::Join(Join {
                group,
                member_id: if rest.contains(&"anew") { String::new() } else { member.member_id },
                instance_id: member.instance_id,
                client_id: who.to_owned(),
                client_host: "/1.2.3.4".to_owned(),
                session_timeout_ms: said("session").map_or(10_000, number),
                rebalance_timeout_ms: said("patience").map_or(60_000, number),
                protocol_type: said("type").unwrap_or("consumer").to_owned(),
                protocols: protocols(
                    said("protocols").unwrap_or("range"),
                    said("topics").unwrap_or("t"),
                    option("has").unwrap_or_default(),
                ),
                reason: None,
                can_learn_id: rest.contains(&"handshake"),
                can_skip_assignment: rest.contains(&"skip"),
            }),
            "sync" => {
                let id = |who: &str| self.clients.get(who).map(|it| it.member.member_id.clone());
                let image = &self.topics.image;
                let assignments = places.map(|(who, work)| {
                    let work = if work.contains('/') {
                        embedded::given(by_topic(&listed(work)), image, &Bytes::new())
                    } else {
                        Bytes::copy_from_slice(work.as_bytes())
                    };
                    (id(who).unwrap_or_else(|| who.to_owned()), work)
                });
                Request::Sync(Sync {
                    group,
                    member,
                    protocol_type: option("type").map(str::to_owned),
                    protocol: option("protocol").map(str::to_owned),
                    assignments: assignments.collect(),
                })
            }
            "beat" => Request::Heartbeat(Heartbeat { group, member }),
            "leave" => {
                let it = |member: &Identity| Leaving {
                    member_id: if rest.contains(&"by-name") {
                        String::new()
                    } else {
                        member.member_id.clone()
                    },
                    instance_id: member.instance_id.clone(),
                    reason: None,
                };
                let others =
                    rest.iter().filter_map(|it| self.clients.get(*it)).map(|other| it(&other.member));
                let members = std::iter::once(it(&member)).chain(others).collect();
                Request::Leave(Leave { group, members })
            }
            "commit" => {
                let retention_ms = option("retention").map(number);
                let knows_epochs = !rest.contains(&"old");
                Request::Commit(Commit {
                    group,
                    member,
                    knows_epochs,
                    retention_ms,
                    topics: topics.collect(),
                })
            }
            "txn" => {
                let id = ProducerId(number(option("producer").unwrap_or("7")));
                let producer = Producer { id, epoch: ProducerEpoch(0), base_sequence: -1 };
                Request::TxnCommit(TxnCommit { producer, group, member, topics: topics.collect() })
            }
            other => panic!("no verb {other}"),
        };
        self.ask(who, request)
    }

    fn ask(&mut self, who: &str, request: Request) -> String {
        self.requests += 1;
        let id = RequestId(self.requests);
        self.waiting.insert(id, who.to_owned());
        let may_write = self.groups.may_write(&request);
        self.step(|groups, now, out| {
            groups.handle(now, id, request, out);
            assert!(may_write || out.appends.is_empty(), "nobody expected {:?}", out.appends);
        })
    }

    fn wait(&mut self, ms: u64) -> String {
        let until = self.now.tick.after_ms(ms);
        let mut told = String::new();
        while let Some(due) = self.groups.next_wake().filter(|it| *it <= until) {
            self.pass_to(due);
            let step = self.step(|groups, now, out| groups.tick(now, out));
            if !step.is_empty() {
                let _ = write!(told, "at {}\n{step}", self.now.wall.0);
            }
        }
        self.pass_to(until);
        told
    }

    fn pass_to(&mut self, tick: Tick) {
        let ms = tick.ms_since(self.now.tick);
        self.now = Now { tick, wall: Timestamp(self.now.wall.0 + i64::try_from(ms).expect("a short time")) };
    }

    fn restart(&mut self, doubt_ms: u64) -> String {
        self.groups = self.replayed();
        self.waiting.clear();
        self.start(doubt_ms)
    }

    /// Of each key the last record stays, and of what is gone nothing: what a cleaner leaves in the end. It does not go beyond what an open transaction has appended, and leaves
    /// those that have ended alone.
    fn compact(&mut self) -> String {
        let is_open = |(at, it): (usize, &Logged)| match it {
            Logged::Batch(Append { transaction: Some(it), .. }) => {
                !self.log[at..].iter().any(|end| matches!(end, Logged::Marker(id, _) if *id == it.id))
            }
            _ => false,
        };
        let end = self.log.iter().enumerate().position(is_open).unwrap_or(self.log.len());
        let mut seen = BTreeSet::new();
        for it in self.log[..end].iter_mut().rev() {
            let Logged::Batch(Append { transaction: None, entries }) = it else { continue };
            let mut kept: Vec<Entry> =
                entries.drain(..).rev().filter(|it| seen.insert(it.key.clone())).collect();
            kept.retain(|it| it.value.is_some() || matches!(decoded(it), GroupRecord::Offset { .. }));
            kept.reverse();
            *entries = kept;
        }
        String::new()
    }

    /// A shard that has read the log.
    pub(super) fn replayed(&self) -> Groups {
        let mut groups = Groups::new(self.config.clone(), 2 + self.requests);
        for it in &self.log {
            match it {
                Logged::Batch(append) => {
                    for entry in &append.entries {
                        groups.replay(decoded(entry), append.transaction);
                    }
                }
                Logged::Marker(producer, is_committed) => groups.end_transaction(*producer, *is_committed),
            }
        }
        groups
    }

    /// Lets the shard do something: what it appends goes to the log, what it answers to the clients.
    fn step(&mut self, f: impl FnOnce(&mut Groups, Now, &mut Effects<(RequestId, Reply)>)) -> String {
        let mut out = Effects::default();
        f(&mut self.groups, self.now, &mut out);
        let mut told = String::new();
        for append in out.appends {
            assert!(!append.entries.is_empty(), "an empty batch");
            let size: usize = append.entries.iter().map(size).sum();
            assert!(size <= self.config.batch_size_max, "a batch of {size} bytes");
            for entry in &append.entries {
                let line = self.record(decoded(entry));
                let transaction =
                    append.transaction.map_or(String::new(), |it| format!(" if {} commits", it.id));
                let _ = writeln!(told, "+ {line}{transaction}");
            }
            self.log.push(Logged::Batch(append));
        }
        for (id, reply) in out.outputs {
            let who = self.waiting.remove(&id).unwrap_or_else(|| panic!("nobody waits for {reply:?}"));
            if let Reply::ConsumerHeartbeat(result) = &reply
                && !who.is_empty()
            {
                self.readers.hear(&who, result);
            }
            let line = self.reply(&who, reply);
            let separator = if who.is_empty() { "" } else { ": " };
            let _ = writeln!(told, "{who}{separator}{line}");
        }
        self.readers.note_who_is_out(&self.groups);
        let has_group = self.groups.groups.contains_key("g");
        // No request is late by as much as it takes to forget a group, with which epochs begin anew.
        if std::mem::replace(&mut self.has_group, has_group) && !has_group {
            self.late.clear();
        }
        told
    }

    /// Members of groups of the consumer protocol show themselves until those that are stuck are out: everybody has then what it is to get.
    pub(super) fn check_settles(&mut self) {
        // A session may have to end, and after that the patience with somebody who was told to come.
        for _ in 0..30 {
            for who in self.readers.names() {
                self.run(&format!("{who} show"));
            }
            let is_consumer = self.groups.groups.get("g").is_some_and(|it| it.consumer().is_some());
            for who in self.clients.keys().filter(|_| is_consumer).cloned().collect::<Vec<_>>() {
                if self.run(&format!("{who} beat")).contains("RebalanceInProgress") {
                    self.run(&format!("{who} join"));
                }
                self.run(&format!("{who} sync"));
            }
            self.check();
            self.run("wait 5000");
        }
        let consumers = self.groups.groups.values().filter_map(Group::consumer);
        for consumer in consumers.filter(|it| it.state() != GroupState::Empty) {
            assert_eq!(consumer.state(), GroupState::Stable, "{consumer:?}");
            self.readers.check_settled(consumer, &self.classics(consumer));
        }
        for who in self.readers.names() {
            let beat = self.readers.say(&who, "show", &[]);
            let is_member = |it: &Group| it.consumer().is_some_and(|it| it.has_member(&beat.member_id));
            if self.groups.groups.get(&*beat.group).is_some_and(is_member) {
                assert!(!self.groups.may_write(&Request::ConsumerHeartbeat(Box::new(beat))), "{who}");
            }
        }
    }

    /// Nobody says anything any more: nobody may wait for ever, and nothing stays.
    pub(super) fn check_end(&mut self) {
        for producer in [7, 8] {
            self.run(&format!("end {producer} commit"));
        }
        self.run("wait 2000000");
        assert!(self.waiting.is_empty(), "still waiting: {:?}", self.waiting);
        assert!(self.groups.groups.is_empty(), "{:?}", self.groups.groups);
        assert_eq!(self.groups.shared.timers.len(), 1, "{:?}", self.groups.shared.timers);
    }

    /// Who speaks the classic protocol in a group of the other, and knows where it stands.
    fn classics(&self, consumer: &Consumer) -> BTreeMap<&str, &BTreeSet<TopicPartition>> {
        let is_one = |it: &&Client| consumer.epoch_of(&it.member.member_id) == it.member.generation;
        let is_member = |it: &&Client| consumer.has_member(&it.member.member_id);
        let members = self.clients.values().filter(is_member).filter(is_one);
        members.map(|it| (it.member.member_id.as_str(), &it.reads)).collect()
    }

    /// The rules that hold after every line.
    pub(super) fn check(&self) {
        let replayed = self.replayed();
        for (name, group) in &self.groups.groups {
            assert!(!group.is_nothing(), "{name} is nothing");
            let other = replayed.groups.get(name);
            let offsets = other.map(|it| it.offsets.values()).unwrap_or_default();
            assert_eq!(group.offsets.values(), offsets, "{name} has other offsets than its log");
            match &group.protocol {
                Protocol::Classic(classic) => {
                    classic.audit();
                    // Between two generations, the log has the earlier one.
                    if matches!(classic.state(), GroupState::Empty | GroupState::Stable) {
                        let recorded = other.and_then(|it| it.as_classic()?.recorded());
                        assert_eq!(classic.recorded(), recorded, "{name} is another than its log says");
                    }
                }
                Protocol::Consumer(consumer) => {
                    consumer.audit();
                    self.readers.check(name, consumer, &self.classics(consumer));
                    let other = other.and_then(Group::consumer).expect("the log knows of it");
                    other.audit();
                    assert_eq!(consumer.recorded(), other.recorded(), "{name} is another than its log says");
                }
            }
        }
        for (name, group) in &replayed.groups {
            if let Some(classic) = group.as_classic() {
                classic.audit();
            }
            assert!(self.groups.groups.contains_key(name), "{name} is in the log only");
        }
        let classics = || self.groups.groups.values().filter_map(Group::as_classic);
        let pending: usize = classics().map(Classic::pending_count).sum();
        assert_eq!(self.groups.shared.pending.len(), pending);
        let parked: usize = classics().map(Classic::parked_count).sum();
        assert_eq!(self.waiting.len(), parked, "a request that is not parked was not answered");
    }
}

fn decoded(entry: &Entry) -> GroupRecord {
    GroupRecord::decode(&entry.key, entry.value.as_ref())
        .expect("we wrote it")
        .expect("of a kind that we know")
}

fn size(entry: &Entry) -> usize {
    entry.key.len() + entry.value.as_ref().map_or(0, |it| it.len())
}

fn number<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("no number: {text}"))
}

fn place(text: &str) -> (String, PartitionIndex) {
    let (topic, partition) = text.split_once('/').expect("topic/partition");
    (topic.to_owned(), PartitionIndex(number(partition)))
}

/// The id of a topic of this name. `t.` is called `t` too, but came later.
fn of_topic<T>(topic: &str, partition: PartitionIndex, it: T) -> OfTopic<T> {
    let name = topic.trim_end_matches('.').to_owned();
    OfTopic { topic: name, id: Some(topic_id(topic)), partitions: vec![(partition, it)] }
}

fn topic_id(topic: &str) -> TopicId {
    TopicId(Uuid::from_u128(topic.bytes().fold(1, |id, byte| id << 8 | u128::from(byte))))
}

/// `t/01+u/2`, of topics that are there.
fn listed(text: &str) -> BTreeSet<TopicPartition> {
    let topics = text.split('+').filter_map(|it| it.split_once('/'));
    let each = topics.flat_map(|(topic, digits)| digits.chars().map(move |digit| (topic_id(topic), digit)));
    let index = |digit: char| PartitionIndex(number(&digit.to_string()));
    each.map(|(topic, digit)| TopicPartition { topic, partition: index(digit) }).collect()
}

/// `range+sticky`, each with a subscription to `t,u` of somebody who has `t/01`; to `?` is nonsense.
fn protocols(names: &str, topics: &str, has: &str) -> Vec<(String, Bytes)> {
    let partitions = |(topic, digits): (&str, &str)| SubscriptionTopicPartition {
        topic: topic.to_owned(),
        partitions: digits.chars().map(|it| number(&it.to_string())).collect(),
    };
    let subscription = ConsumerProtocolSubscription {
        topics: topics.split(',').map(str::to_owned).collect(),
        owned_partitions: has.split('+').filter_map(|it| it.split_once('/')).map(partitions).collect(),
        ..Default::default()
    };
    let mut writer = Writer::new();
    writer.i16(1);
    if topics != "?" {
        subscription.encode(&mut writer, 1).expect("short");
    }
    let said = writer.finish().to_bytes().expect("no holes");
    names.split('+').filter(|it| !it.is_empty()).map(|it| (it.to_owned(), said.clone())).collect()
}
