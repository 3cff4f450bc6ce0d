//! What clients do with one node: they write to topics of every kind, read them from start to end, have records deleted, and topics too.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use klamm_model::{
    BatchView, Batches, ErrorCode, PartitionIndex, Producer as Session, ProducerEpoch, ProducerId, Tail,
    TimestampType, TopicId, TopicPartition,
};
use klamm_wire::{Records, Request, Response, fetch::PartitionData};

use super::{
    PATHS,
    history::{History, Made, Reading},
    requests,
    topics::{Kind, Rule},
};
use crate::{coverage::Coverage, dice::Dice, timeline::MS};

/// Asks where a log starts.
const EARLIEST: i64 = -2;
/// Asks where the largest timestamp is.
const LARGEST: i64 = -3;

/// A batch that the node has to take.
#[derive(Debug)]
struct Batch {
    sequence: i32,
    records: Vec<Made>,
    bytes: Bytes,
    is_sent: bool,
    /// Not before this time.
    due: u64,
}

/// A topic with its one partition, and its writer.
#[derive(Debug)]
struct Stream {
    name: &'static str,
    kind: Kind,
    id: Option<TopicId>,
    state: State,
    session: Option<(ProducerId, ProducerEpoch)>,
    session_asked: bool,
    next_sequence: i32,
    next_number: u64,
    batches: VecDeque<Batch>,
    next_batch_at: u64,
    reading: Option<Progress>,
    end: i64,
    next_read_at: u64,
    /// What to look up next by a time.
    lookup: Option<Lookup>,
    is_altering: bool,
    /// Counts the topics of this name; what was asked of an earlier one means nothing.
    generation: u32,
}

/// A question about times, with what a reader has met.
#[derive(Clone, Copy, Debug)]
enum Lookup {
    /// The first offset with a time, or a later one.
    ByTime { time: i64, offset: i64, start: i64 },
    /// The largest timestamp, and the first offset that has it; everything was read from `start` up to `end`.
    Largest { read: (i64, i64), start: i64, end: i64 },
}

/// A reading under way.
#[derive(Debug, Default)]
struct Progress {
    reading: Reading,
    /// The next offset; `None` until it is known where the log starts.
    position: Option<i64>,
    is_asked: bool,
    /// Not before this time.
    due: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    ToCreate,
    Asked,
    There,
    ToDelete,
}

/// What a request was for.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Create,
    Delete,
    Session,
    Produce { sequence: i32, acks_all: bool },
    Start,
    Fetch { from: i64 },
    DeleteRecords { to: i64 },
    Lookup(Lookup),
    Move,
    Alter(Rule),
}

/// See the module.
pub struct Workload {
    streams: Vec<Stream>,
    asked: BTreeMap<u64, (usize, u32, Asked)>,
    next_request: u64,
    /// Nothing new is begun any more.
    pub is_calm: bool,
    /// Microseconds between two batches of a topic.
    pace: u64,
}

/// What a client has around it while it moves.
pub struct Around<'a> {
    /// In microseconds.
    pub now: u64,
    /// Milliseconds, as the node's clock shows.
    pub wall_ms: i64,
    /// Chance.
    pub dice: &'a mut Dice,
    /// Who is told.
    pub history: &'a mut History,
    /// What the run met.
    pub coverage: &'a mut Coverage,
    /// A disk has failed: reads may too.
    pub may_fail: bool,
}

impl Workload {
    /// With these topics.
    pub fn new(topics: &[(&'static str, Kind)], pace: u64) -> Self {
        let stream = |&(name, kind): &(&'static str, Kind)| Stream {
            name,
            kind,
            id: None,
            state: State::ToCreate,
            session: None,
            session_asked: false,
            next_sequence: 0,
            next_number: 0,
            batches: VecDeque::new(),
            next_batch_at: 0,
            reading: None,
            end: 0,
            next_read_at: 0,
            lookup: None,
            is_altering: false,
            generation: 0,
        };
        Self {
            streams: topics.iter().map(stream).collect(),
            asked: BTreeMap::new(),
            next_request: 0,
            is_calm: false,
            pace,
        }
    }

    /// The partitions there are, by the metadata that clients have.
    pub fn partitions(&self) -> impl Iterator<Item = (TopicPartition, Kind)> {
        self.streams.iter().filter_map(|stream| Some((stream.partition()?, stream.kind)))
    }

    /// Whether everything that was begun has its end, and why not.
    pub fn waits_for(&self) -> Option<String> {
        let waits = |it: &&Stream| it.state != State::There || !it.batches.is_empty() || it.reading.is_some();
        self.streams.iter().find(waits).map(|it| {
            let position = it.reading.as_ref().map(|reading| reading.position);
            format!("{}: {:?}, {} batches, reading at {position:?}", it.name, it.state, it.batches.len())
        })
    }

    /// All partitions are read once more.
    pub fn read_everything(&mut self) {
        for stream in &mut self.streams {
            stream.reading = Some(Progress::default());
        }
    }

    /// The process ended: whatever was asked has no answer.
    pub fn disconnected(&mut self) {
        for (_, (at, generation, asked)) in std::mem::take(&mut self.asked) {
            if self.streams[at].generation == generation {
                self.streams[at].unanswered(asked, 0);
            }
        }
        // What a relaxed topic has from here on may be something else than what was read.
        self.streams.iter_mut().filter(|it| it.kind == Kind::Relaxed).for_each(|it| it.read_again(0));
    }

    /// It is time to look what there is to do: requests with their numbers and versions.
    pub fn act(&mut self, around: &mut Around<'_>) -> Vec<(u64, Request, i16)> {
        let mut requests = Vec::new();
        for at in 0..self.streams.len() {
            for (asked, request, version) in self.streams[at].act(self.is_calm, self.pace, around) {
                self.asked.insert(self.next_request, (at, self.streams[at].generation, asked));
                requests.push((self.next_request, request, version));
                self.next_request += 1;
            }
        }
        requests
    }

    /// A request has its answer; `None` if the connection was closed.
    pub fn answered(&mut self, request: u64, response: Option<Response>, around: &mut Around<'_>) {
        let Some((at, generation, asked)) = self.asked.remove(&request) else { return };
        let stream = &mut self.streams[at];
        match response {
            _ if stream.generation != generation => {}
            Some(response) => stream.answered(asked, response, around),
            None => stream.unanswered(asked, around.now + 50 * MS),
        }
    }
}

impl Stream {
    fn partition(&self) -> Option<TopicPartition> {
        let topic = self.id.filter(|_| self.state == State::There)?;
        Some(TopicPartition { topic, partition: PartitionIndex(0) })
    }

    fn act(&mut self, is_calm: bool, pace: u64, around: &mut Around<'_>) -> Vec<(Asked, Request, i16)> {
        let mut out = Vec::new();
        let now = around.now;
        match self.state {
            State::ToCreate if self.next_batch_at <= now => {
                self.state = State::Asked;
                out.push((
                    Asked::Create,
                    requests::create(self.name, [self.kind.configs(), self.kind.rule().configs()].concat()),
                    7,
                ));
            }
            State::ToDelete if self.next_batch_at <= now => {
                self.state = State::Asked;
                out.push((Asked::Delete, requests::delete(self.name), 5));
            }
            _ => {}
        }
        let Some(partition) = self.partition() else { return out };
        let is_damaged = self.kind != Kind::Relaxed && around.history.has_flips(partition, &(0..i64::MAX));
        let is_given_up =
            around.dice.chance(1) && (self.kind == Kind::Brief || (is_damaged && around.dice.chance(20)));
        if is_given_up && !is_calm && self.batches.is_empty() {
            around.coverage.count(if is_damaged { "damaged topic deleted" } else { "topic deleted" });
            (self.state, self.reading) = (State::ToDelete, None);
            self.generation += 1;
            return out;
        }
        if self.session.is_none() && !self.session_asked {
            self.session_asked = true;
            out.push((Asked::Session, requests::session(), 4));
        }
        if let Some(session) = self.session.filter(|_| !is_calm && self.next_batch_at <= now) {
            self.next_batch_at = now + around.dice.between(pace / 2, 2 * pace);
            let count = if around.dice.chance(10) { 3 } else { 1 };
            for _ in 0..count {
                if self.batches.len() < 5 {
                    self.make_batch(partition, session, around);
                }
            }
        }
        for batch in self.batches.iter_mut().take_while(|batch| batch.is_sent || batch.due <= now) {
            if !std::mem::replace(&mut batch.is_sent, true) {
                let acks_all = self.kind != Kind::Relaxed || around.dice.chance(50);
                let request = requests::produce(self.name, batch.bytes.clone(), acks_all);
                out.push((Asked::Produce { sequence: batch.sequence, acks_all }, request, 9));
            }
        }
        if self.next_read_at <= now {
            self.next_read_at =
                if is_calm { u64::MAX } else { now + around.dice.between(400 * MS, 3000 * MS) };
            self.reading.get_or_insert_default();
        }
        if let Some(reading) = self.reading.as_mut().filter(|it| !it.is_asked && it.due <= now) {
            reading.is_asked = true;
            if reading.position.is_none() {
                reading.reading.deleted_to = around.history.deleted_to(partition);
            }
            out.push(match reading.position {
                None => (Asked::Start, requests::list_offsets(self.name, EARLIEST), 5),
                Some(from) => (Asked::Fetch { from }, requests::fetch(self.name, from), 11),
            });
        }
        if let Some(lookup) = self.lookup.take() {
            let time = match lookup {
                Lookup::ByTime { time, .. } => time,
                Lookup::Largest { .. } => LARGEST,
            };
            out.push((Asked::Lookup(lookup), requests::list_offsets(self.name, time), 7));
        }
        if !is_calm && !self.is_altering && around.dice.below(300) == 0 {
            self.is_altering = true;
            let rule = self.kind.altered(around.dice);
            around.history.altering(partition, rule);
            let mut configs = rule.configs();
            // The one changes no rule, and of the other there is nothing to be had on one node.
            configs.push(("segment.ms", around.dice.between(200, 1200).to_string()));
            configs.push(("min.insync.replicas", around.dice.between(1, 3).to_string()));
            out.push((Asked::Alter(rule), requests::alter(self.name, configs), 1));
        }
        if !is_calm && around.dice.chance(1) && around.dice.chance(60) {
            let to = PATHS[around.dice.index(PATHS.len())];
            out.push((Asked::Move, requests::move_log(self.name, to), 2));
        }
        let may_delete = matches!(self.kind, Kind::Plain | Kind::Compacted) && 2 < self.end;
        if may_delete && !is_calm && around.dice.chance(1) {
            let to = around.dice.between(1, self.end as u64 + 1) as i64;
            around.history.wished(partition, to);
            out.push((Asked::DeleteRecords { to }, requests::delete_records(self.name, to), 2));
        }
        out
    }

    fn make_batch(
        &mut self,
        partition: TopicPartition,
        (id, epoch): (ProducerId, ProducerEpoch),
        around: &mut Around<'_>,
    ) {
        let dice = &mut *around.dice;
        let records: Vec<Made> = (0..dice.between(1, 4))
            .map(|_| {
                self.next_number += 1;
                Made {
                    number: self.next_number,
                    key: dice.below(6) as u8,
                    is_tombstone: self.kind == Kind::Compacted && dice.chance(20),
                    timestamp: around.wall_ms,
                    is_stamped: false,
                }
            })
            .collect();
        around.history.sent(partition, &records);
        let producer = Session { id, epoch, base_sequence: self.next_sequence };
        let size = if self.kind != Kind::BySize && dice.chance(3) { 40_000 } else { dice.index(120) };
        let bytes = requests::encode(&records, producer, size);
        let batch = Batch { sequence: self.next_sequence, records, bytes, is_sent: false, due: 0 };
        self.next_sequence += batch.records.len() as i32;
        self.batches.push_back(batch);
    }

    /// Nobody knows what became of it.
    fn unanswered(&mut self, asked: Asked, due: u64) {
        match asked {
            Asked::Create => (self.state, self.next_batch_at) = (State::ToCreate, due),
            Asked::Delete => (self.state, self.next_batch_at) = (State::ToDelete, due),
            Asked::Session => self.session_asked = false,
            Asked::Produce { sequence, .. } => self.again(sequence, due),
            Asked::Start | Asked::Fetch { .. } => self.read_again(due),
            Asked::Alter(_) => self.is_altering = false,
            Asked::DeleteRecords { .. } | Asked::Lookup(_) | Asked::Move => {}
        }
    }

    fn again(&mut self, sequence: i32, due: u64) {
        if let Some(batch) = self.batches.iter_mut().find(|batch| batch.sequence == sequence) {
            (batch.is_sent, batch.due) = (false, due);
        }
    }

    fn read_again(&mut self, due: u64) {
        if let Some(reading) = &mut self.reading {
            *reading = Progress { due, ..Progress::default() };
        }
    }

    fn answered(&mut self, asked: Asked, response: Response, around: &mut Around<'_>) {
        let retry = around.now + 50 * MS;
        match (asked, response) {
            (Asked::Create, Response::CreateTopics(answer)) => {
                let topic = &answer.topics[0];
                match code(topic.error_code) {
                    ErrorCode::None => self.created(topic.topic_id, around),
                    // An earlier attempt got through; its topic goes, and another comes.
                    ErrorCode::TopicAlreadyExists => self.state = State::ToDelete,
                    _ => self.unanswered(asked, retry),
                }
            }
            (Asked::Delete, Response::DeleteTopics(answer)) => match code(answer.responses[0].error_code) {
                ErrorCode::None | ErrorCode::UnknownTopicOrPartition => {
                    (self.state, self.id) = (State::ToCreate, None);
                }
                _ => self.unanswered(asked, retry),
            },
            (Asked::Session, Response::InitProducerId(answer)) => {
                self.session_asked = false;
                if answer.error_code == 0 {
                    let id = ProducerId(answer.producer_id);
                    self.session = Some((id, ProducerEpoch(answer.producer_epoch)));
                }
            }
            (Asked::Produce { sequence, acks_all }, Response::Produce(answer)) => {
                let it = &answer.responses[0].partition_responses[0];
                self.produced(sequence, acks_all, code(it.error_code), it.base_offset, around);
            }
            (Asked::Start, Response::ListOffsets(answer)) => {
                let it = &answer.topics[0].partitions[0];
                match &mut self.reading {
                    Some(progress) if it.error_code == 0 => {
                        (progress.due, progress.is_asked, progress.position) = (0, false, Some(it.offset));
                        progress.reading.log_start = it.offset;
                    }
                    _ => self.read_again(retry),
                }
            }
            (Asked::Lookup(lookup), Response::ListOffsets(answer)) => {
                let it = &answer.topics[0].partitions[0];
                let Some(partition) = self.partition().filter(|_| it.error_code == 0) else { return };
                match lookup {
                    Lookup::ByTime { offset, start, .. } => {
                        around.coverage.count("offset looked up by time");
                        around.history.found_by_time(partition, offset, start, it.offset);
                    }
                    Lookup::Largest { read, start, end } => {
                        around.coverage.count("largest timestamp looked up");
                        around.history.largest_found(
                            partition,
                            read,
                            (start, end),
                            (it.offset, it.timestamp),
                        );
                    }
                }
            }
            (Asked::Fetch { from }, Response::Fetch(answer)) => {
                let data = &answer.responses[0].partitions[0];
                self.fetched(from, data, around);
            }
            (Asked::DeleteRecords { to }, Response::DeleteRecords(answer)) => {
                let it = &answer.topics[0].partitions[0];
                if let (0, Some(partition)) = (it.error_code, self.partition()) {
                    around.coverage.count("records deleted");
                    around.history.deleted(partition, to);
                }
            }
            (Asked::Alter(rule), Response::IncrementalAlterConfigs(answer)) => {
                self.is_altering = false;
                let result = code(answer.responses[0].error_code);
                if let (ErrorCode::None, Some(partition)) = (result, self.partition()) {
                    around.coverage.count("topic config altered");
                    around.history.altered(partition, rule);
                } else if !result.is_retriable() {
                    around.history.unexpected(format!("{}: {rule:?} was refused with {result}", self.name));
                }
            }
            (Asked::Move, Response::AlterReplicaLogDirs(answer)) => {
                let result = code(answer.results[0].partitions[0].error_code);
                if !matches!(
                    result,
                    ErrorCode::None | ErrorCode::KafkaStorageError | ErrorCode::ReplicaNotAvailable
                ) {
                    around.history.unexpected(format!("{}: a move was refused with {result}", self.name));
                }
            }
            (asked, response) => panic!("{asked:?} was answered with {response:?}"),
        }
    }

    fn created(&mut self, id: TopicId, around: &mut Around<'_>) {
        around.coverage.count("topic created");
        (self.id, self.state) = (Some(id), State::There);
        (self.session, self.next_sequence, self.end, self.is_altering) = (None, 0, 0, false);
        self.lookup = None;
        self.batches.clear();
        (self.next_batch_at, self.next_read_at) = (around.now, around.now + 500 * MS);
        around.history.began(self.partition().expect("it is there"), self.kind);
    }

    fn produced(
        &mut self,
        sequence: i32,
        acks_all: bool,
        result: ErrorCode,
        base: i64,
        around: &mut Around<'_>,
    ) {
        let Some(partition) = self.partition() else { return };
        let Some(at) = self.batches.iter().position(|batch| batch.sequence == sequence) else { return };
        let due = around.now + around.dice.between(20 * MS, 80 * MS);
        match result {
            ErrorCode::None => {
                let batch = self.batches.remove(at).expect("it was just found");
                self.end = self.end.max(base + batch.records.len() as i64);
                around.coverage.count("batch acknowledged");
                around.history.taken(partition, &batch.records, base, acks_all);
            }
            ErrorCode::OutOfOrderSequenceNumber if 0 < at => self.again(sequence, due),
            ErrorCode::OutOfOrderSequenceNumber | ErrorCode::UnknownProducerId => {
                around.history.out_of_order(partition, self.batches[at].records[0].number);
                // Records that were taken before are gone; nobody can number on from there.
                around.coverage.count("producer began a new session");
                (self.session, self.next_sequence) = (None, 0);
                self.batches.clear();
            }
            retriable if retriable.is_retriable() || retriable == ErrorCode::KafkaStorageError => {
                self.again(sequence, due);
            }
            other => around.history.unexpected(format!("{partition}: a batch was refused with {other}")),
        }
    }

    fn fetched(&mut self, from: i64, data: &PartitionData, around: &mut Around<'_>) {
        let Some(partition) = self.partition() else { return };
        let Some(progress) = &mut self.reading else { return };
        match code(data.error_code) {
            ErrorCode::None => {}
            // It was deleted meanwhile.
            ErrorCode::OffsetOutOfRange => return self.read_again(around.now),
            // It does not lead yet, or has not heard of the topic.
            ErrorCode::NotLeaderOrFollower
            | ErrorCode::UnknownTopicOrPartition
            | ErrorCode::OffsetNotAvailable => {
                return self.read_again(around.now + 50 * MS);
            }
            ErrorCode::KafkaStorageError if around.may_fail => return self.read_again(around.now + 50 * MS),
            ErrorCode::CorruptMessage => {
                let Some(flip) = around.history.refused(partition, from) else {
                    return self.read_again(around.now + 50 * MS);
                };
                around.coverage.count("alone: damaged batch refused");
                progress.reading.bytes += flip.bytes;
                progress.reading.refused.push(from..flip.offsets.end);
                (progress.position, progress.is_asked) = (Some(flip.offsets.end), false);
                return;
            }
            error => {
                around.history.unexpected(format!("{partition}: a fetch at {from} was refused with {error}"));
                return self.read_again(around.now + 50 * MS);
            }
        }
        let reading = &mut progress.reading;
        reading.high_watermark = data.high_watermark;
        let run = data.records.as_ref().and_then(Records::bytes).cloned().unwrap_or_default();
        let mut next = from;
        for batch in Batches::new(&run, Tail::MayBeTruncated) {
            let batch = match batch {
                Ok(batch) => batch,
                Err(error) => return self.unreadable(next, &error.to_string(), around),
            };
            if let Some((at, why)) = what_is_wrong(&batch, next, next == from) {
                return self.unreadable(at, &why, around);
            }
            let mut scratch = Vec::new();
            let records =
                batch.records(&mut scratch, 1 << 20).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            let records = match records {
                Ok(records) => records,
                Err(error) => return self.unreadable(next, &error.to_string(), around),
            };
            reading.bytes += batch.bytes().len() as u64;
            let is_stamped = batch.header().attributes.timestamp_type() == TimestampType::LogAppendTime;
            for record in records.iter().filter(|record| from <= record.offset.raw()) {
                let number = record.headers.iter().next().and_then(|header| header.value);
                let made = Made {
                    number: number.and_then(|it| it.try_into().ok()).map_or(0, u64::from_be_bytes),
                    key: record.key.and_then(|key| key.first()).copied().unwrap_or(0),
                    is_tombstone: record.value.is_none(),
                    timestamp: record.timestamp.0,
                    is_stamped,
                };
                reading.records.push((record.offset.raw(), made));
            }
            next = batch.next_offset().raw();
        }
        if reading.high_watermark <= next {
            around.coverage.count("partition read as a whole");
            around.history.read(partition, reading);
            if self.kind == Kind::Plain {
                self.lookup = lookup_of(reading, around.dice);
            }
            self.reading = None;
        } else if next == from && !run.is_empty() {
            self.unreadable(next, "only a part of a batch", around);
        } else {
            (progress.position, progress.is_asked) = (Some(next), false);
        }
    }

    /// What was read is no batch.
    fn unreadable(&mut self, at: i64, why: &str, around: &mut Around<'_>) {
        let Some(partition) = self.partition() else { return };
        around.coverage.count("alone: reader met what is no batch");
        around.history.garbage(partition, at, why);
        self.read_again(around.now + 50 * MS);
    }
}

/// A question whose answer follows from what was read.
fn lookup_of(reading: &Reading, dice: &mut Dice) -> Option<Lookup> {
    let records = &reading.records;
    let (_, some) = records.get(dice.index(records.len().max(1)))?;
    let is_largest = dice.chance(50) && reading.refused.is_empty();
    let largest = records.iter().map(|(_, made)| made.timestamp).max()?;
    let time = if is_largest { largest } else { some.timestamp };
    let (offset, _) = *records.iter().find(|(_, made)| time <= made.timestamp)?;
    Some(match is_largest {
        true => {
            let read = (offset, largest);
            Lookup::Largest { read, start: reading.log_start, end: reading.high_watermark }
        }
        false => Lookup::ByTime { time, offset, start: reading.log_start },
    })
}

/// Why a reader who wants the offset `next` cannot use a batch, and the offset at which something is wrong. Only the first batch of an answer may begin before.
fn what_is_wrong(batch: &BatchView<'_>, next: i64, is_first: bool) -> Option<(i64, String)> {
    if let Err(error) = batch.verify_crc() {
        // Where it ends may be what is wrong: then it is given to whoever wants what lies behind it.
        return Some((batch.base_offset().raw(), error.to_string()));
    }
    let offsets = batch.base_offset().raw()..batch.next_offset().raw();
    let is_next = offsets.contains(&next) && (is_first || offsets.start == next);
    (!is_next).then(|| (next, "a batch with other offsets".to_owned()))
}

fn code(raw: i16) -> ErrorCode {
    ErrorCode::from_code(raw).unwrap_or_else(|| panic!("{raw} is no error code of Kafka"))
}

#[cfg(test)]
mod tests {
    use klamm_model::{BatchBuilder, Seal, Timestamp};

    use super::*;

    #[test]
    fn a_damaged_batch_is_wrong_where_it_begins_whoever_is_given_it() {
        let mut builder = BatchBuilder::with_capacity(100);
        (0..2).for_each(|_| builder.append(Timestamp(1), None, None, &[]));
        let good = builder.finish(&Seal::default()).to_vec();
        let mut longer = good.clone();
        longer[26] ^= 4;
        for (bytes, next, is_first, wrong_at) in [
            (&good, 0, true, None),
            (&good, 1, true, None),
            (&good, 1, false, Some(1)),
            (&good, 2, true, Some(2)),
            (&longer, 3, true, Some(0)),
        ] {
            let wrong = what_is_wrong(&BatchView::parse(bytes).expect("a batch"), next, is_first);
            assert_eq!(wrong.map(|(at, _)| at), wrong_at, "{next}, {is_first}");
        }
    }
}
