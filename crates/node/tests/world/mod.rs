//! One node, its own controller, with a world that the test holds in its hands: disk operations end when the test says so.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use klamm_cluster::features::{LevelRange, Supported};
use klamm_cluster::record::{self, PartitionChange, Record, RegisterBroker};
use klamm_log::{
    DiskAction, DiskError, DiskOp, Done, FileKind, Log, LogConfig, LogFiles, SegmentId, SegmentVersion,
};
use klamm_model::{
    BatchBuilder, BrokerId, ControllerEpoch, ErrorCode, LeaderEpoch, Offset, PartitionEpoch, Producer,
    ProducerEpoch, ProducerId, Seal, Tick, Timestamp, TopicId, TopicPartition,
};
use klamm_node::{
    ConnectionId, Effect, Endpoint, Event, FileRange, Incoming, Listener, Load, Node, NodeConfig, Now,
    Origin, Reply, ReplyTo, Rest, View, prepare,
};
use klamm_quorum::{
    Description, Entry, Input, Output, Proposer, Registration, ReplicaDescription, Snapshot, VoterChange,
};
use klamm_replica::Sabotage;
use klamm_wire::{
    CreateTopicsRequest, FetchRequest, IncrementalAlterConfigsRequest, ProduceRequest, Records, Request,
    Response,
    broker_registration::Feature,
    create_topics::{CreatableTopic, CreatableTopicConfig},
    fetch,
    incremental_alter_configs::{AlterConfigsResource, AlterableConfig},
    produce,
};
use uuid::Uuid;

/// Another broker that registers.
pub(crate) fn another() -> RegisterBroker {
    RegisterBroker {
        id: BrokerId(2),
        incarnation: Uuid::from_u128(20),
        directory: Uuid::from_u128(21),
        listeners: Vec::new(),
        rack: None,
        is_relaxed: false,
        supported: Supported::default(),
        other_directories: Vec::new(),
        may_vote: true,
    }
}

/// What a broker with these feature levels says of them when it registers.
pub(crate) fn features(supported: &Supported) -> Vec<Feature> {
    let feature = |(name, range): (&String, &LevelRange)| Feature {
        name: name.clone(),
        min_supported_version: range.min,
        max_supported_version: range.max,
    };
    supported.0.iter().map(feature).collect()
}

/// A node and everything it wanted that has not happened yet.
pub(crate) struct World {
    pub(crate) node: Node,
    pub(crate) config: NodeConfig,
    pub(crate) tick: u64,
    /// Everything that was committed.
    pub(crate) entries: Vec<Entry>,
    pub(crate) next_sequence: u64,
    /// In which each request was sent.
    pub(crate) versions: Vec<i16>,
    pub(crate) disk: VecDeque<DiskOp>,
    pub(crate) replies: Vec<(u64, Reply)>,
    pub(crate) closed: Vec<&'static str>,
    pub(crate) view: Option<Arc<View>>,
    pub(crate) wall: Timestamp,
    /// What was written, by segment.
    pub(crate) files: Vec<(SegmentId, Vec<u8>)>,
    /// Which transactions were aborted, by closed segment.
    pub(crate) aborted: Vec<(SegmentId, Vec<u8>)>,
    /// The segment that compaction has written and not swapped in yet.
    pub(crate) cleaned: Vec<u8>,
    pub(crate) left: Vec<bool>,
    /// What the metadata have that it does not know.
    pub(crate) outdated: Vec<String>,
    pub(crate) rest: Option<Rest>,
    /// Pieces of coordinators' logs that are read when the test says so.
    pub(crate) hold_loads: bool,
    pub(crate) loads: Vec<Load>,
    /// How often the node wanted to know how much room there is.
    pub(crate) looks: usize,
    /// How often it has asked its engine how the quorum is, which tells when the test says so.
    pub(crate) descriptions: usize,
    pub(crate) hold_descriptions: bool,
    /// What it wanted of its engine, which answers when the test says so.
    pub(crate) voter_changes: Vec<VoterChange>,
    /// What the engine was told of brokers that came and went.
    pub(crate) registrations: Vec<Registration>,
    /// What other brokers are asked, by the tokens of the questions.
    pub(crate) sent: Vec<(u64, Request)>,
    /// Whose directories were deleted.
    pub(crate) deleted: Vec<TopicPartition>,
    /// What it offered to nodes that are behind, and to its next start.
    pub(crate) snapshots: Vec<Snapshot>,
    /// Proposals that are committed when the test says so.
    pub(crate) hold_proposals: bool,
    pub(crate) proposed: Vec<Entry>,
}

pub(crate) const CONNECTION: ConnectionId = ConnectionId(7);

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| ())
    }

    /// With another configuration.
    pub(crate) fn with(change: impl FnOnce(&mut NodeConfig)) -> Self {
        let mut config = NodeConfig::new(BrokerId(1), Uuid::from_u128(2), Uuid::from_u128(3));
        config.endpoints = vec![Endpoint { name: "CLIENT".into(), host: "127.0.0.1".into(), port: 9092 }];
        change(&mut config);
        let mut world = Self {
            node: Node::new(config.clone(), 4, Sabotage::default()),
            config,
            tick: 0,
            entries: Vec::new(),
            next_sequence: 0,
            versions: Vec::new(),
            disk: VecDeque::new(),
            replies: Vec::new(),
            closed: Vec::new(),
            view: None,
            wall: Timestamp(1_700_000_000_000),
            files: Vec::new(),
            aborted: Vec::new(),
            cleaned: Vec::new(),
            left: Vec::new(),
            outdated: Vec::new(),
            rest: None,
            hold_loads: false,
            loads: Vec::new(),
            looks: 0,
            hold_descriptions: false,
            descriptions: 0,
            voter_changes: Vec::new(),
            registrations: Vec::new(),
            sent: Vec::new(),
            deleted: Vec::new(),
            snapshots: Vec::new(),
            hold_proposals: false,
            proposed: Vec::new(),
        };
        world.step(Event::Quorum(Output::Leader { epoch: ControllerEpoch(1) }));
        world
    }

    /// The process ends and starts again, with no log on its disk, from the last snapshot if there is one.
    pub(crate) fn restart(&mut self) {
        self.restart_with(|_| ());
    }

    /// The same with what the node finds.
    pub(crate) fn restart_with(&mut self, adopt: impl FnOnce(&mut Node)) {
        self.node = Node::new(self.config.clone(), 4, Sabotage::default());
        adopt(&mut self.node);
        self.disk.clear();
        let from = self.snapshots.last().cloned();
        let first = from.as_ref().map_or(0, |it| it.position.next_index);
        from.into_iter().for_each(|it| self.step(Event::Quorum(Output::Snapshot(it))));
        for entry in self.entries.clone().into_iter().skip(first as usize) {
            self.step(Event::Quorum(Output::Committed(entry)));
        }
        let epoch = self.entries.last().expect("something was committed").epoch;
        self.step(Event::Quorum(Output::Leader { epoch: ControllerEpoch(epoch.0 + 1) }));
        self.all_disk();
    }

    /// The same with every log that was written, if it has one segment.
    pub(crate) fn restart_with_logs(&mut self) {
        let logs = self.recovered();
        self.restart_with(|node| logs.into_iter().for_each(|log| node.adopt(log)));
    }

    /// The process ends and starts again with these logs, and the engine has told it nothing yet.
    pub(crate) fn begin_restart(&mut self) {
        let logs = self.recovered();
        self.node = Node::new(self.config.clone(), 4, Sabotage::default());
        logs.into_iter().for_each(|log| self.node.adopt(log));
        self.disk.clear();
    }

    fn recovered(&self) -> Vec<Log> {
        let mut logs = Vec::new();
        for (segment, bytes) in self.files.clone() {
            let partition = segment.partition;
            let Some(topic) = self.node.image().topic(partition.topic) else { continue };
            let directory = format!("{}-{}", topic.name, partition.partition);
            let recovered = Log::recover(partition, directory, LogConfig::default(), &Segment(bytes));
            logs.push(recovered.expect("a good log").0);
        }
        logs
    }

    pub(crate) fn now(&self) -> Now {
        Now { tick: Tick(self.tick), wall: self.wall }
    }

    /// Steps the node; whatever it proposes is committed at once, disk operations wait.
    pub(crate) fn step(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.node.step(self.now(), event, &mut effects);
        self.carry_out(effects);
    }

    /// Ends all operations that wait, and tells the node of them in one step, as a thread does that has done several. What follows from them waits.
    pub(crate) fn disk_together(&mut self) {
        let ops = std::mem::take(&mut self.disk);
        ops.iter().for_each(|op| self.write(&op.action));
        let done = |op: DiskOp| Event::Disk { partition: op.partition, op: op.id, result: Ok(Done::Nothing) };
        let mut effects = Vec::new();
        self.node.step_all(self.now(), ops.into_iter().map(done), &mut effects);
        self.carry_out(effects);
    }

    fn carry_out(&mut self, mut effects: Vec<Effect>) {
        let mut events = VecDeque::new();
        loop {
            for effect in effects.drain(..) {
                match effect {
                    Effect::Reply { to, reply } => self.replies.push((to.sequence, reply)),
                    Effect::NoReply { .. } => {}
                    Effect::Close { reason, .. } | Effect::Dismiss { reason, .. } => self.closed.push(reason),
                    Effect::Disk(op) => self.disk.push_back(op),
                    Effect::Propose { epoch, payload } => {
                        let entry = Entry { index: self.entries.len() as u64, epoch, payload };
                        if self.hold_proposals {
                            self.proposed.push(entry);
                            continue;
                        }
                        self.entries.push(entry.clone());
                        events.push_back(Event::Quorum(Output::Committed(entry)));
                    }
                    Effect::Publish(view) => self.view = Some(view),
                    Effect::Load(load) if self.hold_loads => self.loads.push(load),
                    Effect::Load(load) => {
                        let read = &mut |segment, kind, position, buffer: &mut [u8]| {
                            self.read(segment, kind, position, buffer)
                        };
                        events.push_back(Event::Loaded(load.run(read)));
                    }
                    Effect::OfferSnapshot { position, image } => {
                        self.snapshots.push(Snapshot { position, state: image.to_bytes() });
                    }
                    Effect::DescribeQuorum => {
                        self.descriptions += 1;
                        if !self.hold_descriptions {
                            events.push_back(Event::Quorum(Output::Described(self.alone())));
                        }
                    }
                    Effect::ChangeVoters(change) => self.voter_changes.push(change),
                    Effect::Registration(told) => self.registrations.push(told),
                    Effect::LookAtSpace => self.looks += 1,
                    Effect::Left { has_handed_over } => self.left.push(has_handed_over),
                    Effect::Refused(why) => panic!("{why}"),
                    Effect::Outdated(why) => self.outdated.push(why),
                    Effect::AtRest(rest) => assert_eq!(self.rest.replace(rest), None, "told once"),
                    Effect::Send { token, request, .. } => self.sent.push((token, request)),
                }
            }
            let Some(event) = events.pop_front() else { break };
            self.node.step(self.now(), event, &mut effects);
        }
    }

    /// The quorum, where there is nobody else.
    pub(crate) fn alone(&self) -> Description {
        let committed = self.entries.len() as u64;
        let own = ReplicaDescription {
            id: BrokerId(1),
            directory: None,
            is_voter: true,
            end: Some(committed),
            heard_ms: Some(0),
            caught_up_ms: Some(0),
            address: None,
        };
        Description { committed, replicas: vec![own] }
    }

    /// Another broker becomes the controller, and the only one with this partition.
    pub(crate) fn give_away(&mut self, partition: TopicPartition) {
        let (other, epoch) = (BrokerId(2), ControllerEpoch(2));
        let before = self.node.image().partition(partition).expect("it is there");
        let change = PartitionChange {
            leader: Some(Some(other)),
            leader_epoch: Some(LeaderEpoch(before.leader_epoch.0 + 1)),
            isr: Some(vec![other]),
            replicas: Some(vec![other]),
            ..PartitionChange::nothing(partition, PartitionEpoch(before.partition_epoch.0 + 1))
        };
        self.decides(other, epoch, Record::PartitionChange(change));
        self.all_disk();
        self.sent.clear();
    }

    /// Another broker becomes the controller, and decides that.
    pub(crate) fn decides(&mut self, other: BrokerId, epoch: ControllerEpoch, record: Record) {
        let records = record::encode(&[Record::Begin { epoch, controller: other }, record]);
        let Input::Propose { epoch, payload } = Proposer::new(epoch).propose(&records) else {
            panic!("a proposer proposes")
        };
        self.commit(Entry { index: 0, epoch, payload });
        self.step(Event::Quorum(Output::LeaderIs { leader: Some(other), epoch }));
    }

    pub(crate) fn commit(&mut self, entry: Entry) {
        let entry = Entry { index: self.entries.len() as u64, ..entry };
        self.entries.push(entry.clone());
        self.step(Event::Quorum(Output::Committed(entry)));
    }

    /// Reads all that coordinators want to have read.
    pub(crate) fn run_loads(&mut self) {
        while let Some(load) = self.loads.pop() {
            let read =
                &mut |segment, kind, position, buffer: &mut [u8]| self.read(segment, kind, position, buffer);
            let loaded = load.run(read);
            self.step(Event::Loaded(loaded));
        }
    }

    pub(crate) fn wait_ms(&mut self, ms: u64) {
        self.tick += ms * 1000;
        self.step(Event::Tick);
    }

    /// Ends the operations that `which` picks, the oldest first, and those that follow from them.
    pub(crate) fn disk(&mut self, which: fn(&DiskAction) -> bool, result: &Result<Done, DiskError>) -> usize {
        let mut ended = 0;
        while let Some(index) = self.disk.iter().position(|op| which(&op.action)) {
            let op = self.disk.remove(index).expect("it was just found");
            let mut result = result.clone();
            if result.is_ok() {
                self.write(&op.action);
                self.deleted.extend(matches!(op.action, DiskAction::DeletePartition).then_some(op.partition));
            }
            if let (DiskAction::Scrub(job), Ok(done)) = (&op.action, &mut result) {
                let mut read =
                    |segment, kind, position, buffer: &mut [u8]| self.read(segment, kind, position, buffer);
                *done = Done::Scrubbed(Box::new(klamm_log::scrub(job, &mut read).expect("readable")));
            }
            self.step(Event::Disk { partition: op.partition, op: op.id, result });
            ended += 1;
        }
        ended
    }

    pub(crate) fn write(&mut self, action: &DiskAction) {
        let DiskAction::Write { segment, position, prefix, body } = action else { return };
        let known = self.files.iter().position(|(id, _)| id == segment);
        let index = known.unwrap_or_else(|| {
            self.files.push((*segment, Vec::new()));
            self.files.len() - 1
        });
        let (file, start) = (&mut self.files[index].1, *position as usize);
        file.resize(file.len().max(start + body.len()), 0);
        file[start..][..body.len()].copy_from_slice(body);
        if let Some(prefix) = prefix {
            file[start..][..prefix.len()].copy_from_slice(prefix);
        }
    }

    fn read(
        &self,
        segment: SegmentVersion,
        kind: FileKind,
        position: u64,
        buffer: &mut [u8],
    ) -> std::io::Result<usize> {
        let files = match kind {
            FileKind::Log => &self.files[..],
            FileKind::Aborted => &self.aborted,
            _ => &[],
        };
        let file = files.iter().find(|(id, _)| *id == segment.id);
        let bytes = file.and_then(|(_, file)| file.get(position as usize..)).unwrap_or_default();
        let size = bytes.len().min(buffer.len());
        buffer[..size].copy_from_slice(&bytes[..size]);
        Ok(size)
    }

    /// The answer with what it needs from the files of segments.
    pub(crate) fn complete(&self, reply: Reply) -> (Response, Vec<FileRange>) {
        let (response, ranges, suspects) = self.complete_suspecting(reply);
        assert_eq!(suspects, [], "something is damaged");
        (response, ranges)
    }

    /// The same, with the segments that were found damaged on the way.
    pub(crate) fn complete_suspecting(&self, reply: Reply) -> (Response, Vec<FileRange>, Vec<SegmentId>) {
        let mut read =
            |segment, kind, position, buffer: &mut [u8]| self.read(segment, kind, position, buffer);
        let mut suspects = Vec::new();
        let found = reply.look(&mut read);
        let (response, ranges) = reply.complete(found, &mut |segment| suspects.push(segment));
        (response, ranges, suspects)
    }

    pub(crate) fn all_disk(&mut self) {
        self.disk(|_| true, &Ok(Done::Nothing));
    }

    pub(crate) fn writes(&mut self) -> usize {
        self.disk(|action| !matches!(action, DiskAction::Sync { .. }), &Ok(Done::Nothing))
    }

    pub(crate) fn send_on(&mut self, listener: Listener, request: Request, version: i16) -> u64 {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.versions.push(version);
        let origin = Arc::new(Origin {
            listener,
            local_host: "127.0.0.1".into(),
            local_port: 9092,
            peer_host: "there".into(),
        });
        let to = ReplyTo { connection: CONNECTION, sequence };
        let view = self.view.clone().expect("a view was published");
        let body = prepare(request, &view, self.wall);
        self.step(Event::Request(Incoming { to, origin, version, client_id: None, body }));
        sequence
    }

    pub(crate) fn send(&mut self, request: Request, version: i16) -> u64 {
        self.send_on(Listener::Client, request, version)
    }

    pub(crate) fn answer(&mut self, sequence: u64) -> Option<Reply> {
        let index = self.replies.iter().position(|(to, _)| *to == sequence)?;
        Some(self.replies.remove(index).1)
    }

    pub(crate) fn response(&mut self, sequence: u64) -> Response {
        let response = self.undecoded(sequence);
        let version = self.versions[sequence as usize];
        // What cannot be encoded in the version that was asked for is no answer.
        klamm_wire::encode_response(1, version, &response)
            .unwrap_or_else(|error| panic!("{response:?}: {error}"));
        response
    }

    pub(crate) fn undecoded(&mut self, sequence: u64) -> Response {
        match self.answer(sequence).expect("an answer has come") {
            Reply::Ready(response) => response,
            Reply::Fetch { response, .. } => Response::Fetch(response),
            Reply::Times { response, .. } => Response::ListOffsets(response),
        }
    }

    pub(crate) fn create(&mut self, name: &str, partitions: i32) -> TopicId {
        self.create_with(name, partitions, &[])
    }

    pub(crate) fn create_with(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> TopicId {
        let configs = configs
            .iter()
            .map(|(key, value)| CreatableTopicConfig { name: (*key).into(), value: Some((*value).into()) })
            .collect();
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: partitions,
            replication_factor: 1,
            configs,
            ..Default::default()
        };
        let sequence = self.send(
            Request::CreateTopics(CreateTopicsRequest { topics: vec![topic], ..Default::default() }),
            7,
        );
        let Response::CreateTopics(response) = self.response(sequence) else { panic!("another answer") };
        assert_eq!(response.topics[0].error_code, 0, "{:?}", response.topics[0].error_message);
        self.all_disk();
        response.topics[0].topic_id
    }

    /// `key=value`; without a value it is the default again.
    pub(crate) fn set(&mut self, topic: &str, configs: &[&str]) {
        const TOPIC: i8 = 2;
        let config = |it: &&str| {
            let (name, value) = it.split_once('=').expect("key=value");
            let value = Some(value.to_owned()).filter(|it| !it.is_empty());
            AlterableConfig { name: name.into(), config_operation: i8::from(value.is_none()), value }
        };
        let configs = configs.iter().map(config).collect();
        let resource = AlterConfigsResource { resource_type: TOPIC, resource_name: topic.into(), configs };
        let request = IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
        let sequence = self.send(Request::IncrementalAlterConfigs(request), 1);
        let Response::IncrementalAlterConfigs(response) = self.response(sequence) else {
            panic!("another answer")
        };
        assert_eq!(response.responses[0].error_code, 0, "{:?}", response.responses[0].error_message);
    }

    pub(crate) fn produce(&mut self, topic: &str, acks: i16, records: Bytes) -> u64 {
        self.produce_to(topic, 0, acks, records)
    }

    pub(crate) fn produce_to(&mut self, topic: &str, partition: i32, acks: i16, records: Bytes) -> u64 {
        let partition = produce::PartitionProduceData {
            index: partition,
            records: Some(Records::Bytes(records)),
            ..Default::default()
        };
        let topic = produce::TopicProduceData {
            name: topic.into(),
            partition_data: vec![partition],
            ..Default::default()
        };
        let request =
            ProduceRequest { acks, timeout_ms: 1000, topic_data: vec![topic], ..Default::default() };
        self.send(Request::Produce(request), 9)
    }

    /// Error code and base offset.
    pub(crate) fn produced(&mut self, sequence: u64) -> (ErrorCode, i64) {
        let Response::Produce(response) = self.response(sequence) else { panic!("another answer") };
        let partition = &response.responses[0].partition_responses[0];
        (ErrorCode::from_code(partition.error_code).expect("a known code"), partition.base_offset)
    }

    pub(crate) fn fetch(&mut self, topic: &str, offset: i64, wait_ms: i32, min_bytes: i32) -> u64 {
        let partition = fetch::FetchPartition {
            partition: 0,
            fetch_offset: offset,
            partition_max_bytes: 1 << 20,
            current_leader_epoch: -1,
            last_fetched_epoch: -1,
            ..Default::default()
        };
        let topic =
            fetch::FetchTopic { topic: topic.into(), partitions: vec![partition], ..Default::default() };
        let request = FetchRequest {
            max_wait_ms: wait_ms,
            min_bytes,
            max_bytes: 1 << 20,
            topics: vec![topic],
            ..Default::default()
        };
        self.send(Request::Fetch(request), 12)
    }
}

pub(crate) fn batch(count: usize, producer: Option<Producer>) -> Bytes {
    let mut builder = BatchBuilder::with_capacity(1024);
    for number in 0..count {
        builder.append(Timestamp(1000 + number as i64), None, Some(b"value"), &[]);
    }
    builder.finish(&Seal { producer, ..Seal::default() })
}

pub(crate) fn producer(base_sequence: i32) -> Option<Producer> {
    Some(Producer { id: ProducerId(5), epoch: ProducerEpoch(0), base_sequence })
}

/// The files of a log that has one segment.
pub(crate) struct Segment(pub(crate) Vec<u8>);

impl LogFiles for Segment {
    fn list(&self) -> std::io::Result<Vec<(String, u64)>> {
        Ok(vec![(FileKind::Log.file_name(Offset::ZERO), self.0.len() as u64)])
    }

    fn read_at(&self, _: &str, position: u64, buffer: &mut [u8]) -> std::io::Result<usize> {
        let bytes = self.0.get(position as usize..).unwrap_or_default();
        let size = bytes.len().min(buffer.len());
        buffer[..size].copy_from_slice(&bytes[..size]);
        Ok(size)
    }
}
