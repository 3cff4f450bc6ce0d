//! An idempotent producer: up to five batches of each partition under way, sent again until somebody takes them.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use klamm_model::{
    BatchBuilder, Codec, Compression, ErrorCode, Producer as Session, ProducerEpoch, ProducerId, Seal,
    Timestamp,
};
use klamm_node::PeerFailure;
use klamm_wire::{
    InitProducerIdRequest, ProduceRequest, Records, Request, Response,
    produce::{PartitionProduceData, PartitionProduceResponse, TopicProduceData},
};

use super::{Asking, Leader, Metadata, Place, Scene, code};
use crate::{
    NODE_COUNT,
    dice::Dice,
    timeline::{MS, SECOND},
};

/// As many as brokers remember of each producer.
const UNDER_WAY_MAX: usize = 5;

/// See the module.
pub struct Producer {
    /// What it asked.
    pub asking: Asking<Purpose>,
    /// Whether it makes new batches.
    pub is_producing: bool,
    metadata: Metadata,
    acks_all: bool,
    version: i16,
    pace: u64,
    session: Option<(ProducerId, ProducerEpoch)>,
    session_asked: bool,
    session_ask_at: u64,
    streams: BTreeMap<Place, Stream>,
    next_value: u64,
}

/// What a question is for.
pub enum Purpose {
    /// To know who leads.
    Metadata,
    /// For a number of its own.
    Session,
    /// The first sequence number of the batch of each partition.
    Produce(Vec<(Place, i32)>),
}

#[derive(Default)]
struct Stream {
    /// The brokers know this producer. Before, they take any sequence number as the first, as Kafka's do, so a second batch must not overtake the first.
    is_known: bool,
    next_sequence: i32,
    next_batch_at: u64,
    batches: VecDeque<Batch>,
}

struct Batch {
    sequence: i32,
    values: Vec<u64>,
    bytes: Bytes,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    ToSend {
        not_before: u64,
    },
    /// `is_first`: when it was sent, all before it had been taken.
    Sent {
        token: u64,
        is_first: bool,
    },
    Taken,
}

impl Producer {
    /// With the topics it writes to.
    pub fn new(me: usize, topics: Vec<String>, acks_all: bool, dice: &mut Dice) -> Self {
        Self {
            asking: Asking::new(me, dice.between(700 * MS, 2 * SECOND)),
            is_producing: true,
            metadata: Metadata::new(topics),
            acks_all,
            version: dice.between(3, 14) as i16,
            pace: dice.between(150 * MS, 400 * MS),
            session: None,
            session_asked: false,
            session_ask_at: 0,
            streams: BTreeMap::new(),
            next_value: (me as u64) << 32,
        }
    }

    /// Whether everything it made was taken.
    pub fn is_done(&self) -> bool {
        !self.is_producing && self.streams.values().all(|stream| stream.batches.is_empty())
    }

    pub(super) fn waits_for(&self) -> String {
        let waiting = self.streams.iter().filter(|(_, stream)| !stream.batches.is_empty());
        let names: Vec<String> = waiting
            .map(|(place, stream)| format!("{}-{} x{}", place.topic, place.partition, stream.batches.len()))
            .collect();
        format!("producer with session {:?} waits for {names:?}", self.session)
    }

    pub(super) fn wake(&mut self, scene: &mut Scene<'_>) -> u64 {
        if let Some((node, request, version)) = self.metadata.question(scene.timeline) {
            self.asking.ask(scene, node, &request, version, Purpose::Metadata);
        }
        let now = scene.timeline.now();
        match self.session {
            None if !self.session_asked && self.session_ask_at <= now => {
                self.session_asked = true;
                let node = scene.timeline.dice.index(NODE_COUNT);
                let request = InitProducerIdRequest {
                    transactional_id: None,
                    producer_id: -1,
                    producer_epoch: -1,
                    transaction_timeout_ms: 60_000,
                    ..Default::default()
                };
                self.asking.ask(scene, node, &Request::InitProducerId(request), 4, Purpose::Session);
            }
            Some(session) => {
                self.make_batches(scene, session);
                self.send(scene);
            }
            None => {}
        }
        scene.timeline.dice.between(8 * MS, 25 * MS)
    }

    fn make_batches(&mut self, scene: &mut Scene<'_>, session: (ProducerId, ProducerEpoch)) {
        let now = scene.timeline.now();
        for place in self.metadata.places() {
            let stream = self.streams.entry(place.clone()).or_default();
            let due = self.is_producing && stream.next_batch_at <= now;
            if !due || UNDER_WAY_MAX <= stream.batches.len() {
                continue;
            }
            let dice = &mut scene.timeline.dice;
            // Several at once now and then, so that there are some in flight together.
            let burst = if dice.chance(20) { UNDER_WAY_MAX - stream.batches.len() } else { 1 };
            for _ in 0..burst {
                let values: Vec<u64> = (0..dice.between(1, 4)).map(|index| self.next_value + index).collect();
                self.next_value += values.len() as u64;
                scene.checker.sent(&values, self.asking.me);
                let sequence = stream.next_sequence;
                stream.next_sequence += values.len() as i32;
                let bytes = batch(&values, session, sequence, (now / MS) as i64, dice);
                stream.batches.push_back(Batch {
                    sequence,
                    values,
                    bytes,
                    state: State::ToSend { not_before: 0 },
                });
            }
            stream.next_batch_at = now + dice.between(self.pace / 2, 2 * self.pace);
        }
    }

    /// Sends what may be sent: of each partition in order, and nothing before what is to be sent again.
    fn send(&mut self, scene: &mut Scene<'_>) {
        let now = scene.timeline.now();
        while let Some((node, picked)) = self.pick(now) {
            let request = self.request(&picked, scene);
            let purpose = Purpose::Produce(picked.clone());
            let token = self.asking.ask(scene, node, &Request::Produce(request), self.version, purpose);
            for (place, sequence) in &picked {
                let batches = &mut self.streams.get_mut(place).expect("picked just now").batches;
                let at =
                    batches.iter().position(|batch| batch.sequence == *sequence).expect("picked just now");
                batches[at].state = State::Sent { token, is_first: at == 0 };
            }
        }
    }

    /// One batch of each partition that one node leads.
    fn pick(&self, now: u64) -> Option<(usize, Vec<(Place, i32)>)> {
        let mut picked: Option<(usize, Vec<(Place, i32)>)> = None;
        for (place, stream) in &self.streams {
            let Some(Leader { node: Some(leader), .. }) = self.metadata.leader(place) else { continue };
            let first = stream.batches.iter().find(|batch| matches!(batch.state, State::ToSend { .. }));
            let Some(batch) = first.filter(|batch| batch.state.is_due(now)) else { continue };
            if !stream.is_known && batch.sequence != 0 {
                continue;
            }
            let (node, batches) = picked.get_or_insert((leader, Vec::new()));
            if *node == leader {
                batches.push((place.clone(), batch.sequence));
            }
        }
        picked
    }

    fn batch(&mut self, place: &Place, sequence: i32) -> Option<&mut Batch> {
        self.streams.get_mut(place)?.batches.iter_mut().find(|batch| batch.sequence == sequence)
    }

    fn request(&mut self, picked: &[(Place, i32)], scene: &mut Scene<'_>) -> ProduceRequest {
        let mut topic_data: Vec<TopicProduceData> = Vec::new();
        for (place, sequence) in picked {
            let bytes = self.batch(place, *sequence).expect("picked just now").bytes.clone();
            let data = PartitionProduceData {
                index: place.partition,
                records: Some(Records::Bytes(bytes)),
                ..Default::default()
            };
            let id = self.metadata.ids[&place.topic];
            match topic_data.last_mut().filter(|topic| topic.topic_id == id || topic.name == place.topic) {
                Some(topic) => topic.partition_data.push(data),
                None if self.version >= 13 => topic_data.push(TopicProduceData {
                    topic_id: id,
                    partition_data: vec![data],
                    ..Default::default()
                }),
                None => topic_data.push(TopicProduceData {
                    name: place.topic.clone(),
                    partition_data: vec![data],
                    ..Default::default()
                }),
            }
        }
        let timeout_ms = scene.timeline.dice.between(300, 1500) as i32;
        ProduceRequest {
            transactional_id: None,
            acks: if self.acks_all { -1 } else { 1 },
            timeout_ms,
            topic_data,
            ..Default::default()
        }
    }

    pub(super) fn answered(
        &mut self,
        scene: &mut Scene<'_>,
        _server: usize,
        token: u64,
        answer: Result<Response, PeerFailure>,
    ) {
        match (self.asking.take(token), answer) {
            (Purpose::Metadata, Ok(Response::Metadata(response))) => {
                self.metadata.answered(scene.timeline, Ok(response));
            }
            (Purpose::Metadata, answer) => {
                let failure = answer.err().unwrap_or(PeerFailure::Garbled);
                self.metadata.answered(scene.timeline, Err(failure));
            }
            (Purpose::Session, Ok(Response::InitProducerId(response))) if response.error_code == 0 => {
                self.session_asked = false;
                self.session =
                    Some((ProducerId(response.producer_id), ProducerEpoch(response.producer_epoch)));
                scene.checker.session(response.producer_id, self.asking.me);
            }
            (Purpose::Session, _) => {
                self.session_asked = false;
                self.session_ask_at = scene.timeline.now() + 50 * MS;
            }
            (Purpose::Produce(batches), Ok(Response::Produce(response))) => {
                let results: Vec<(Place, PartitionProduceResponse)> = response
                    .responses
                    .into_iter()
                    .flat_map(|topic| {
                        let name = match self.metadata.name_of(topic.topic_id) {
                            Some(name) if self.version >= 13 => name.clone(),
                            _ => topic.name,
                        };
                        topic.partition_responses.into_iter().map(move |partition| {
                            (Place { topic: name.clone(), partition: partition.index }, partition)
                        })
                    })
                    .collect();
                for (place, sequence) in batches {
                    let result = results.iter().find(|(it, _)| *it == place);
                    let (_, result) = result.expect("every partition that was asked for is answered");
                    let offset = result.base_offset;
                    self.batch_answered(scene, &place, sequence, token, code(result.error_code), offset);
                }
            }
            (Purpose::Produce(batches), _) => {
                for (place, sequence) in batches {
                    self.batch_answered(scene, &place, sequence, token, ErrorCode::NetworkException, -1);
                }
            }
        }
    }

    fn batch_answered(
        &mut self,
        scene: &mut Scene<'_>,
        place: &Place,
        sequence: i32,
        token: u64,
        result: ErrorCode,
        offset: i64,
    ) {
        let now = scene.timeline.now();
        let (acks_all, me) = (self.acks_all, self.asking.me);
        let Some(stream) = self.streams.get_mut(place) else { return };
        let Some(at) = stream.batches.iter().position(|batch| batch.sequence == sequence) else { return };
        let batch = &mut stream.batches[at];
        let State::Sent { token: sent, is_first } = batch.state else { return };
        if sent != token {
            return;
        }
        match result {
            ErrorCode::None => {
                batch.state = State::Taken;
                stream.is_known = true;
                let id = self.metadata.ids[&place.topic];
                scene.checker.taken(place, id, &batch.values, offset, acks_all, me);
                scene.timeline.coverage.count(if acks_all {
                    "batch acked by all"
                } else {
                    "batch acked by one"
                });
                while stream.batches.front().is_some_and(|batch| batch.state == State::Taken) {
                    stream.batches.pop_front();
                }
            }
            // An earlier batch of this producer is not there: its turn comes before this one's.
            ErrorCode::OutOfOrderSequenceNumber if !is_first => {
                scene.timeline.coverage.count("batch out of order behind another");
                batch.state = State::ToSend { not_before: now + 20 * MS };
            }
            ErrorCode::OutOfOrderSequenceNumber | ErrorCode::UnknownProducerId => {
                if acks_all {
                    scene.checker.sequence_refused(place, me, sequence);
                }
                // Records that one broker acknowledged alone were lost with it; nobody can number on from there, nor know what became of the rest.
                scene.timeline.coverage.count("producer began a new session");
                self.session = None;
                self.streams.clear();
            }
            retriable if retriable.is_retriable() || retriable == ErrorCode::KafkaStorageError => {
                batch.state =
                    State::ToSend { not_before: now + scene.timeline.dice.between(10 * MS, 80 * MS) };
                self.metadata.distrust(now);
            }
            other => scene.checker.unexpected(me, &format!("a batch for {place:?} was refused with {other}")),
        }
    }
}

impl State {
    fn is_due(self, now: u64) -> bool {
        matches!(self, Self::ToSend { not_before } if not_before <= now)
    }
}

fn batch(
    values: &[u64],
    (id, epoch): (ProducerId, ProducerEpoch),
    base_sequence: i32,
    now_ms: i64,
    dice: &mut Dice,
) -> Bytes {
    let mut builder = BatchBuilder::default();
    for value in values {
        let mut record = value.to_be_bytes().to_vec();
        let size_max = if dice.chance(5) { 3000 } else { 120 };
        record.resize(8 + dice.index(size_max), b'.');
        builder.append(Timestamp(1_700_000_000_000 + now_ms), None, Some(&record), &[]);
    }
    let codec = if dice.chance(10) { Codec::Lz4 } else { Codec::None };
    builder.finish(&Seal {
        producer: Some(Session { id, epoch, base_sequence }),
        compression: Compression::of(codec),
        ..Seal::default()
    })
}
