//! Reads every partition from the first record on, over and over.

use std::collections::BTreeMap;

use klamm_model::{Batches, ErrorCode, Tail};
use klamm_node::PeerFailure;
use klamm_wire::{
    FetchRequest, Records, Request, Response,
    fetch::{FetchPartition, FetchTopic, PartitionData},
};

use super::{Asking, Metadata, Place, Scene, code};
use crate::{
    NODE_COUNT,
    dice::Dice,
    timeline::{MS, SECOND},
};

/// The most a record may unpack to.
const UNPACKED_BYTES_MAX: usize = 1 << 20;

/// See the module.
pub struct Consumer {
    /// What it asked.
    pub asking: Asking<Purpose>,
    metadata: Metadata,
    version: i16,
    positions: BTreeMap<Place, Position>,
    /// One fetch at most is under way to each node.
    fetching: [bool; NODE_COUNT],
    not_before: [u64; NODE_COUNT],
    starts_again_at: u64,
    restless: bool,
}

/// What a question is for.
pub enum Purpose {
    /// To know who leads.
    Metadata,
    /// For records.
    Fetch(Vec<Wanted>),
}

/// What is asked of one partition.
pub struct Wanted {
    place: Place,
    from: i64,
    /// The high watermark it knew when it asked: an answer to this must not tell a lower one.
    seen: i64,
}

/// How far it is in a partition.
#[derive(Clone, Copy, Debug)]
struct Position {
    next: i64,
    /// Epoch of the record before.
    last_epoch: i32,
    high_watermark: i64,
    not_before: u64,
}

impl Consumer {
    /// With the topics it reads.
    pub fn new(me: usize, topics: Vec<String>, restless: bool, dice: &mut Dice) -> Self {
        Self {
            asking: Asking::new(me, dice.between(SECOND, 2 * SECOND)),
            metadata: Metadata::new(topics),
            version: dice.between(9, 18) as i16,
            positions: BTreeMap::new(),
            fetching: [false; NODE_COUNT],
            not_before: [0; NODE_COUNT],
            starts_again_at: 6 * SECOND,
            restless,
        }
    }

    /// Where it is in every partition.
    pub fn positions(&self) -> BTreeMap<Place, i64> {
        self.positions.iter().map(|(place, position)| (place.clone(), position.next)).collect()
    }

    pub(super) fn wake(&mut self, scene: &mut Scene<'_>) -> u64 {
        if let Some((node, request, version)) = self.metadata.question(scene.timeline) {
            self.asking.ask(scene, node, &request, version, Purpose::Metadata);
        }
        let now = scene.timeline.now();
        for place in self.metadata.places() {
            self.positions.entry(place.clone()).or_insert(Position {
                next: 0,
                last_epoch: -1,
                high_watermark: 0,
                not_before: 0,
            });
        }
        if self.restless && self.starts_again_at <= now {
            self.starts_again_at = now + scene.timeline.dice.between(4 * SECOND, 12 * SECOND);
            for position in self.positions.values_mut() {
                (position.next, position.last_epoch) = (0, -1);
            }
        }
        for node in 0..NODE_COUNT {
            if !self.fetching[node] && self.not_before[node] <= now {
                self.fetch(scene, node);
            }
        }
        scene.timeline.dice.between(20 * MS, 60 * MS)
    }

    fn fetch(&mut self, scene: &mut Scene<'_>, node: usize) {
        let now = scene.timeline.now();
        let mut asked = Vec::new();
        let mut topics: Vec<FetchTopic> = Vec::new();
        for (place, position) in &self.positions {
            let Some(leader) = self.metadata.leader(place).filter(|leader| leader.node == Some(node)) else {
                continue;
            };
            if now < position.not_before {
                continue;
            }
            let seen = position.high_watermark.max(position.next);
            asked.push(Wanted { place: place.clone(), from: position.next, seen });
            let partition = FetchPartition {
                partition: place.partition,
                current_leader_epoch: leader.epoch,
                fetch_offset: position.next,
                last_fetched_epoch: if self.version >= 12 { position.last_epoch } else { -1 },
                partition_max_bytes: 2000,
                ..Default::default()
            };
            let id = self.metadata.ids[&place.topic];
            match topics.last_mut().filter(|topic| topic.topic_id == id || topic.topic == place.topic) {
                Some(topic) => topic.partitions.push(partition),
                None if self.version >= 13 => topics.push(FetchTopic {
                    topic_id: id,
                    partitions: vec![partition],
                    ..Default::default()
                }),
                None => topics.push(FetchTopic {
                    topic: place.topic.clone(),
                    partitions: vec![partition],
                    ..Default::default()
                }),
            }
        }
        if asked.is_empty() {
            return;
        }
        let dice = &mut scene.timeline.dice;
        let request = FetchRequest {
            replica_id: -1,
            max_wait_ms: dice.between(0, 500) as i32,
            min_bytes: 1,
            max_bytes: if dice.chance(20) { 300 } else { 20_000 },
            session_epoch: -1,
            topics,
            ..Default::default()
        };
        self.fetching[node] = true;
        self.asking.ask(scene, node, &Request::Fetch(request), self.version, Purpose::Fetch(asked));
    }

    pub(super) fn answered(
        &mut self,
        scene: &mut Scene<'_>,
        server: usize,
        token: u64,
        answer: Result<Response, PeerFailure>,
    ) {
        let now = scene.timeline.now();
        match (self.asking.take(token), answer) {
            (Purpose::Metadata, Ok(Response::Metadata(response))) => {
                self.metadata.answered(scene.timeline, Ok(response));
            }
            (Purpose::Metadata, answer) => {
                let failure = answer.err().unwrap_or(PeerFailure::Garbled);
                self.metadata.answered(scene.timeline, Err(failure));
            }
            (Purpose::Fetch(asked), Ok(Response::Fetch(response))) if response.error_code == 0 => {
                self.fetching[server] = false;
                for topic in response.responses {
                    let name = match self.metadata.name_of(topic.topic_id) {
                        Some(name) if self.version >= 13 => name.clone(),
                        _ => topic.topic,
                    };
                    for data in topic.partitions {
                        let place = Place { topic: name.clone(), partition: data.partition_index };
                        let wanted = asked.iter().find(|wanted| wanted.place == place);
                        self.partition_answered(
                            scene,
                            wanted.expect("only what was asked for is answered"),
                            &data,
                        );
                    }
                }
            }
            (Purpose::Fetch(_), _) => {
                self.fetching[server] = false;
                self.not_before[server] = now + 50 * MS;
                self.metadata.distrust(now);
            }
        }
    }

    fn partition_answered(&mut self, scene: &mut Scene<'_>, wanted: &Wanted, data: &PartitionData) {
        let Wanted { place, from, seen } = wanted;
        let (from, seen) = (*from, *seen);
        let me = self.asking.me;
        let now = scene.timeline.now();
        let position = self.positions.get_mut(place).expect("only known partitions are asked for");
        if position.next != from {
            return;
        }
        match code(data.error_code) {
            ErrorCode::None => {}
            ErrorCode::OffsetOutOfRange => {
                return scene.checker.position_refused(place, me, from, "out of range");
            }
            _ => {
                position.not_before = now + 50 * MS;
                self.metadata.distrust(now);
                return;
            }
        }
        if 0 <= data.diverging_epoch.epoch {
            return scene.checker.position_refused(place, me, from, "of a diverging epoch");
        }
        if data.high_watermark < seen {
            let id = self.metadata.ids[&place.topic];
            scene.checker.high_watermark_went_back(place, id, me, seen, data.high_watermark);
        }
        position.high_watermark = position.high_watermark.max(data.high_watermark);
        let id = self.metadata.ids[&place.topic];
        let Some(Records::Bytes(run)) = &data.records else { return };
        let mut scratch = Vec::new();
        for batch in Batches::new(run, Tail::MayBeTruncated) {
            let batch = match batch.and_then(|batch| batch.verify_crc().map(|()| batch)) {
                Ok(batch) => batch,
                Err(error) => {
                    return scene.checker.garbage(place, me, position.next, &error.to_string());
                }
            };
            let epoch = batch.header().leader_epoch.map_or(-1, |epoch| epoch.0);
            if batch.last_offset().raw() < position.next {
                return scene.checker.skipped(place, me, position.next, batch.last_offset().raw());
            }
            scratch.clear();
            let records =
                batch.records(&mut scratch, UNPACKED_BYTES_MAX).expect("checked when it was produced");
            for record in records {
                let record = record.expect("checked when it was produced");
                let offset = record.offset.raw();
                // Batches are given whole: what lies before the position was read before.
                if offset < position.next {
                    continue;
                }
                if offset != position.next {
                    return scene.checker.skipped(place, me, position.next, offset);
                }
                if data.high_watermark <= offset {
                    scene.checker.read_above_high_watermark(place, me, offset, data.high_watermark);
                }
                let value = record
                    .value
                    .and_then(|value| value.first_chunk())
                    .map(|value| u64::from_be_bytes(*value));
                scene.checker.read(place, id, offset, epoch, value, me);
                scene.timeline.coverage.count("record read");
                position.next = offset + 1;
                position.last_epoch = epoch;
            }
        }
    }
}
