//! Scripts: each line is a moment in milliseconds and what happens then; below it stands what the machine wanted done.

mod classic;
mod consumer_protocol;
mod random;

use std::fmt::Write;

use expect_test::Expect;
use klamm_model::{BatchBuilder, LeaderEpoch, Offset, Seal, Timestamp, TopicId};
use klamm_wire::fetch::{FetchableTopicResponse, PartitionData};
use klamm_wire::find_coordinator::Coordinator as Found;
use klamm_wire::join_group::JoinGroupResponseMember;
use klamm_wire::offset_commit::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use klamm_wire::offset_fetch::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use klamm_wire::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, FetchResponse, HeartbeatResponse,
    JoinGroupRequest, JoinGroupResponse, LeaveGroupResponse, OffsetCommitResponse, OffsetFetchResponse,
    Records, Request, SyncGroupResponse, consumer_group_heartbeat as beats,
};

use super::super::assignor::{Assignor, Subscriber};
use super::super::effect::CommitId;
use super::super::{format, subscription};
use super::*;
use crate::admin::{CommittedOffset, by_topic};
use crate::backoff::Backoff;
use crate::consumer::{Ask, Asked};
use crate::metadata::{BrokerAddress, Partition, Topic};

/// Topics with so many partitions, all led by broker 1. Their ids are the codes of their first letters.
fn cluster(topics: &[(&str, usize)]) -> Arc<Cluster> {
    let partition = Partition { leader: Some(BrokerId(1)), leader_epoch: 3, ..Partition::default() };
    let topics = topics.iter().map(|(name, count)| {
        let (id, error) = (topic_id(name), ErrorCode::None);
        let topic = Topic { id, error, is_internal: false, partitions: vec![partition.clone(); *count] };
        ((*name).into(), topic)
    });
    let address = |port| BrokerAddress { host: "b".into(), port, rack: None };
    let brokers = [(BrokerId(1), address(1)), (BrokerId(2), address(2))].into();
    Arc::new(Cluster { topics: topics.collect(), brokers, ..Cluster::default() })
}

fn topic_id(name: &str) -> TopicId {
    TopicId(uuid::Uuid::from_u128(name.bytes().next().expect("a name").into()))
}

fn name(word: &str) -> PartitionName {
    let (topic, partition) = word.split_once('-').expect("topic-partition");
    PartitionName::new(topic, partition.parse().expect("a partition"))
}

fn number<T: std::str::FromStr<Err: std::fmt::Debug>>(word: &str) -> T {
    word.trim_start_matches('#').parse().expect("a number")
}

fn code(word: &str) -> i16 {
    ErrorCode::ALL.iter().find(|it| it.name() == word).expect("a code").code()
}

/// A batch as a log holds it: BASE+COUNT.
fn batch(word: &str) -> Vec<u8> {
    let (base, count) = word.split_once('+').expect("base+count");
    let mut builder = BatchBuilder::default();
    for _ in 0..number::<u32>(count) {
        builder.append(Timestamp(0), None, Some(b"r"), &[]);
    }
    let (base_offset, leader_epoch) = (Offset::new(number(base)), Some(LeaderEpoch(3)));
    builder.finish(&Seal { base_offset, leader_epoch, ..Seal::default() }).to_vec()
}

struct World {
    machine: Machine,
    effects: Vec<Effect>,
    /// What was asked, by the numbers of the questions.
    asked: BTreeMap<u64, Request>,
    log: String,
}

impl World {
    fn new(config: Config) -> Self {
        let backoff = Backoff { first_ms: 100, longest_ms: 100 };
        let read = ReadConfig { backoff, request_timeout_ms: 1_000, ..ReadConfig::default() };
        let machine = Machine::new(config, read, cluster(&[("t", 2), ("u", 1)]), Random::new(1));
        Self { machine, effects: Vec::new(), asked: BTreeMap::new(), log: String::new() }
    }

    fn run(&mut self, script: &str) {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let now = Tick(number::<u64>(words[0]) * 1_000);
            // The machine is woken when it wants to be, unless all slept.
            while let Some(wake) = self.machine.next_wake().filter(|wake| *wake < now && words[1] != "slept")
            {
                self.machine.advance(wake, &mut self.effects);
                assert!(self.machine.next_wake().is_none_or(|next| wake < next), "busy\n{}", self.log);
                self.tell_all(Some(wake));
            }
            writeln!(self.log, "{line}").expect("writes to memory");
            self.happen(now, &words[1..]);
            self.machine.advance(now, &mut self.effects);
            self.tell_all(None);
        }
    }

    fn tell_all(&mut self, woken: Option<Tick>) {
        if let Some(woken) = woken.filter(|_| !self.effects.is_empty()) {
            writeln!(self.log, "  {}", woken.0 / 1_000).expect("writes to memory");
        }
        for effect in std::mem::take(&mut self.effects) {
            self.tell(effect);
        }
    }

    fn happen(&mut self, now: Tick, words: &[&str]) {
        match *words {
            ["tick" | "slept"] => {}
            ["who"] => {
                let GroupMetadata { member_id, generation, .. } = self.machine.shown();
                writeln!(self.log, "    shown as {member_id:?} in {generation}").expect("writes to memory");
            }
            ["subscribe", ref topics @ ..] => {
                let topics = topics.iter().map(|&topic| topic.into()).collect();
                self.machine.subscribe(now, Topics::Named(topics), &mut self.effects);
            }
            ["regex", regex] => self.machine.subscribe_regex(now, regex.into()),
            // topics NAME:COUNT…
            ["topics", ref topics @ ..] => {
                let topics = topics.iter().map(|word| word.split_once(':').expect("name:count"));
                let topics: Vec<_> = topics.map(|(name, count)| (name, number(count))).collect();
                self.machine.cluster_changed(cluster(&topics));
            }
            ["take"] => self.take(now, ReaderId(0)),
            // by a stream beside the others, whose records it takes one by one
            ["take-by", reader] => {
                self.take(now, ReaderId(number(reader)));
                self.machine.hand_out_records(ReaderId(number(reader)));
            }
            ["record-by", reader, next] => {
                let next = Offset::new(number(next));
                assert!(self.machine.hand_out_record(now, ReaderId(number(reader)), next));
            }
            // one record of a stream, up to there
            ["record", next] => {
                let next = Offset::new(number(next));
                let counts = self.machine.hand_out_record(now, ReaderId(0), next);
                writeln!(self.log, "    {}", if counts { "handed out" } else { "does not count" })
                    .expect("writes");
            }
            ["by-record"] => self.machine.hand_out_records(ReaderId(0)),
            ["let-go"] => self.machine.let_go(ReaderId(0)),
            ["seek", partition, offset] => {
                assert!(self.machine.seek(&name(partition), crate::Start::At(Offset::new(number(offset)))));
            }
            ["acknowledge", id] => self.machine.acknowledge(now, RevocationId(number(id))),
            // commit ID: where it is; commit ID PARTITION:OFFSET…
            ["commit", id] => {
                self.machine.commit_handed_out(now, CommitId(number(id)), &mut self.effects);
            }
            ["commit", id, ref places @ ..] => {
                let places = places.iter().map(|word| word.split_once(':').expect("partition:offset"));
                let places = places.map(|(partition, offset)| {
                    (name(partition), CommittedOffset::from(Offset::new(number(offset))))
                });
                self.machine.commit(now, CommitId(number(id)), places.collect(), &mut self.effects);
            }
            ["close"] => self.machine.close(now, true, &mut self.effects),
            ["broken", call] => {
                let error = CallError::Broken { address: "b".into(), problem: "cut".into() };
                self.machine.answered(now, CallId(number(call)), Err(error), &mut self.effects);
            }
            // fetched CALL PARTITION BATCH…
            ["fetched", call, partition, ref batches @ ..] => {
                let PartitionName { topic, partition } = name(partition);
                let run: Vec<u8> = batches.iter().flat_map(|word| batch(word)).collect();
                let data = PartitionData {
                    partition_index: partition,
                    high_watermark: 100,
                    records: Some(Records::Bytes(run.into())),
                    ..Default::default()
                };
                let topic_id = topic_id(&topic);
                let topic = FetchableTopicResponse { topic_id, partitions: vec![data], ..Default::default() };
                let answer = FetchResponse { responses: vec![topic], ..Default::default() };
                let call = CallId(number(call));
                self.machine.read(&mut self.effects, |reader, out| reader.fetched(now, call, answer, out));
            }
            [kind, call, ref words @ ..] => {
                let asked = self.asked.get(&number(call)).unwrap_or_else(|| panic!("{call}?\n{}", self.log));
                let answer = answer(asked, kind, words);
                self.machine.answered(now, CallId(number(call)), Ok(answer), &mut self.effects);
            }
            _ => panic!("what is {words:?}?"),
        }
    }

    fn take(&mut self, now: Tick, reader: ReaderId) {
        let text = match self.machine.take(now, reader) {
            None => "nothing".to_owned(),
            Some(Err(error)) => format!("error: {error}"),
            Some(Ok(Taken::Batch(batch))) => {
                let offsets = batch.owned_records().expect("records");
                let offsets: Vec<_> = offsets.iter().map(|record| record.offset.to_string()).collect();
                format!("{}-{}: {}", batch.topic, batch.partition, offsets.join(" "))
            }
            Some(Ok(Taken::Assigned(partitions))) => format!("assigned {}", listed(&partitions)),
            Some(Ok(Taken::Lost(partitions))) => format!("lost {}", listed(&partitions)),
            Some(Ok(Taken::Revoked { revocation, partitions })) => {
                format!("revoked {} by {}", listed(&partitions), revocation.0)
            }
        };
        writeln!(self.log, "    {text}").expect("writes to memory");
    }

    fn tell(&mut self, effect: Effect) {
        let text = match effect {
            Effect::Read(ReadEffect::Ask(Ask {
                call: Some(call),
                what: Asked::Fetch { session, .. },
                ..
            })) => {
                let topics = session.topics.iter();
                let all: Vec<_> = topics
                    .flat_map(|topic| topic.partitions.iter().map(move |it| (&topic.name, it)))
                    .map(|(name, it)| format!("{name}-{} from {}", it.partition, it.offset))
                    .collect();
                format!("fetch #{}: {}", call.0, all.join(", "))
            }
            Effect::Read(ReadEffect::Ask(Ask { what: Asked::ListOffsets(topics), .. })) => {
                let all =
                    topics.iter().flat_map(|topic| topic.partitions.iter().map(move |it| (&topic.name, it)));
                let all: Vec<_> =
                    all.map(|(name, (partition, _, time))| format!("{name}-{partition} at {time}")).collect();
                format!("locate {}", all.join(", "))
            }
            Effect::Read(ReadEffect::RefreshMetadata) => "refresh".into(),
            Effect::Read(_) => return,
            Effect::Ask { call, whom, request, .. } => {
                let text = told(&request);
                self.asked.insert(call.0, *request);
                match whom {
                    Whom::Anybody => format!("#{} {text}", call.0),
                    Whom::Coordinator(broker) => format!("#{} at {broker}: {text}", call.0),
                }
            }
            Effect::WantTopics(topics) => format!("want {topics:?}"),
            Effect::Committed { commit, outcome: Ok(()) } => format!("commit {} is done", commit.0),
            Effect::Committed { commit, outcome: Err(error) } => format!("commit {}: {error}", commit.0),
            Effect::Note(note) => format!("note: {}", note.split(',').next().unwrap_or(note)),
        };
        writeln!(self.log, "    {text}").expect("writes to memory");
    }
}

fn listed<'a>(partitions: impl IntoIterator<Item = &'a PartitionName>) -> String {
    partitions.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn told(request: &Request) -> String {
    match request {
        Request::FindCoordinator(_) => "find the coordinator".into(),
        Request::JoinGroup(it) => join_told(it),
        Request::SyncGroup(it) => {
            let share = |bytes: &bytes::Bytes| format::assigned(bytes.clone()).expect("an assignment");
            let shares = it.assignments.iter();
            let shares: Vec<_> =
                shares.map(|it| format!("{}: {}", it.member_id, listed(&share(&it.assignment)))).collect();
            format!("sync as {} in {} [{}]", it.member_id, it.generation_id, shares.join(", "))
        }
        Request::Heartbeat(it) => format!("heartbeat of {} in {}", it.member_id, it.generation_id),
        Request::ConsumerGroupHeartbeat(it) => beat_told(it),
        Request::LeaveGroup(it) => format!("leave as {}", it.members[0].member_id),
        Request::OffsetFetch(it) => {
            let of = it.groups[0].member_id.as_ref().map(|_| format!(" in {}", it.groups[0].member_epoch));
            let topics = it.groups[0].topics.iter().flatten();
            let all = topics.flat_map(|topic| {
                topic.partition_indexes.iter().map(move |number| format!(" {}-{number}", topic.name))
            });
            format!("what is committed{}:{}", of.unwrap_or_default(), all.collect::<String>())
        }
        Request::OffsetCommit(it) => {
            let all = it.topics.iter().flat_map(|topic| {
                topic.partitions.iter().map(move |at| {
                    let epoch = match at.committed_leader_epoch {
                        -1 => String::new(),
                        epoch => format!(" after epoch {epoch}"),
                    };
                    format!(" {}-{}@{}{epoch}", topic.name, at.partition_index, at.committed_offset)
                })
            });
            let all: String = all.collect();
            format!("commit in {}:{all}", it.generation_id_or_member_epoch)
        }
        other => panic!("nobody wants {other:?}"),
    }
}

fn join_told(request: &JoinGroupRequest) -> String {
    let mut text = format!("join as {:?}", request.member_id);
    for protocol in &request.protocols {
        let assignor = protocol.name.parse().expect("an assignor");
        let who = ("me".into(), None);
        let it = format::subscriber(assignor, who, protocol.metadata.clone()).expect("a subscription");
        let has = it.generation.map(|generation| format!(" with [{}] in {generation}", listed(&it.owned)));
        write!(text, ", {} of {:?}{}", protocol.name, it.topics, has.unwrap_or_default()).expect("writes");
    }
    match &request.reason {
        Some(reason) => format!("{text}: {reason}"),
        None => text,
    }
}

fn beat_told(request: &ConsumerGroupHeartbeatRequest) -> String {
    let mut text = format!("heartbeat in {}", request.member_epoch);
    if let Some(topics) = &request.subscribed_topic_names {
        write!(text, ", wants {topics:?}").expect("writes");
    }
    if let Some(regex) = &request.subscribed_topic_regex {
        write!(text, ", wants like {regex:?}").expect("writes");
    }
    if let Some(topics) = &request.topic_partitions {
        let letter = |id: TopicId| char::from_u32(id.0.as_u128() as u32).expect("a letter");
        let all = topics.iter().flat_map(|it| {
            it.partitions.iter().map(move |number| format!("{}-{number}", letter(it.topic_id)))
        });
        write!(text, ", has [{}]", all.collect::<Vec<_>>().join(" ")).expect("writes");
    }
    text
}

/// What the coordinator says to what it was asked.
fn answer(asked: &Request, kind: &str, words: &[&str]) -> Response {
    let error_code = if kind == "refused" { code(words[0]) } else { 0 };
    match asked {
        Request::FindCoordinator(_) => {
            let node_id = if error_code == 0 { number(words[0]) } else { -1 };
            let found = Found { key: "g".into(), node_id, error_code, ..Default::default() };
            Response::FindCoordinator(FindCoordinatorResponse {
                coordinators: vec![found],
                ..Default::default()
            })
        }
        // refused CALL MEMBER_ID_REQUIRED ID; joined CALL GENERATION ASSIGNOR ME [MEMBER:TOPIC…], who leads
        Request::JoinGroup(_) if error_code != 0 => {
            let member_id = words.get(1).copied().unwrap_or_default().to_owned();
            Response::JoinGroup(JoinGroupResponse { error_code, member_id, ..Default::default() })
        }
        Request::JoinGroup(_) => {
            let assignor: Assignor = words[1].parse().expect("an assignor");
            let members = words[3..].iter().map(|word| {
                let (id, topic) = word.split_once(':').expect("member:topic");
                let topics = BTreeSet::from([topic.into()]);
                let metadata = subscription(assignor, &Subscriber { topics, ..Subscriber::default() });
                JoinGroupResponseMember { member_id: id.into(), metadata, ..Default::default() }
            });
            let members: Vec<_> = members.collect();
            Response::JoinGroup(JoinGroupResponse {
                generation_id: number(words[0]),
                protocol_type: Some("consumer".into()),
                protocol_name: Some(words[1].into()),
                leader: if members.is_empty() { "another".into() } else { words[2].into() },
                member_id: words[2].into(),
                members,
                ..Default::default()
            })
        }
        Request::SyncGroup(_) => {
            let share = words.iter().filter(|_| error_code == 0).map(|word| name(word)).collect();
            let assignment = format::assignment(&share);
            Response::SyncGroup(SyncGroupResponse { error_code, assignment, ..Default::default() })
        }
        Request::Heartbeat(_) => Response::Heartbeat(HeartbeatResponse { error_code, ..Default::default() }),
        Request::LeaveGroup(_) => {
            Response::LeaveGroup(LeaveGroupResponse { error_code, ..Default::default() })
        }
        // beaten CALL EPOCH [PARTITION…|nothing]
        Request::ConsumerGroupHeartbeat(_) => {
            let of_topic = |(topic, partitions): (Arc<str>, Vec<i32>)| beats::ResponseTopicPartitions {
                topic_id: topic_id(&topic),
                partitions,
            };
            let assignment = match words {
                _ if error_code != 0 => None,
                [_] => None,
                [_, "nothing"] => Some(beats::Assignment::default()),
                [_, partitions @ ..] => {
                    let partitions: Owned = partitions.iter().map(|word| name(word)).collect();
                    let topic_partitions = by_topic(&partitions).into_iter().map(of_topic).collect();
                    Some(beats::Assignment { topic_partitions })
                }
                [] => panic!("an epoch or a code"),
            };
            Response::ConsumerGroupHeartbeat(ConsumerGroupHeartbeatResponse {
                error_code,
                member_epoch: if error_code == 0 { number(words[0]) } else { 0 },
                heartbeat_interval_ms: 500,
                assignment,
                ..Default::default()
            })
        }
        // committed CALL [PARTITION:CODE…]; refused CALL CODE: all
        Request::OffsetCommit(asked) => {
            let own = words.iter().filter_map(|word| word.split_once(':'));
            let own: BTreeMap<_, _> = own.map(|(partition, word)| (name(partition), code(word))).collect();
            let topics = asked.topics.iter().map(|topic| OffsetCommitResponseTopic {
                name: topic.name.clone(),
                partitions: topic
                    .partitions
                    .iter()
                    .map(|it| {
                        let partition = PartitionName::new(topic.name.as_str(), it.partition_index);
                        let error_code = own.get(&partition).copied().unwrap_or(error_code);
                        OffsetCommitResponsePartition { partition_index: it.partition_index, error_code }
                    })
                    .collect(),
                ..Default::default()
            });
            let topics = topics.collect();
            Response::OffsetCommit(OffsetCommitResponse { topics, ..Default::default() })
        }
        // placed CALL PARTITION:OFFSET|PARTITION:CODE…; what is not named has none
        Request::OffsetFetch(asked) => {
            let own = words.iter().filter_map(|word| word.split_once(':'));
            let own: BTreeMap<_, _> = own.map(|(partition, word)| (name(partition), word)).collect();
            let topics = asked.groups[0].topics.iter().flatten().map(|topic| {
                let partitions = topic.partition_indexes.iter().map(|&partition_index| {
                    let word = own.get(&PartitionName::new(topic.name.as_str(), partition_index));
                    let offset = word.map_or(Some(-1), |word| word.parse().ok());
                    OffsetFetchResponsePartitions {
                        partition_index,
                        committed_offset: offset.unwrap_or(-1),
                        error_code: if offset.is_none() { code(word.expect("a code")) } else { 0 },
                        ..Default::default()
                    }
                });
                let partitions = partitions.collect();
                OffsetFetchResponseTopics { name: topic.name.clone(), partitions, ..Default::default() }
            });
            let group =
                OffsetFetchResponseGroup { group_id: "g".into(), topics: topics.collect(), error_code };
            Response::OffsetFetch(OffsetFetchResponse { groups: vec![group], ..Default::default() })
        }
        other => panic!("nobody asked {other:?}"),
    }
}

fn check(config: Config, script: &str, expected: &Expect) {
    let mut world = World::new(config);
    world.run(script);
    expected.assert_eq(&world.log);
}
