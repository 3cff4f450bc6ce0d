//! A bad network and a broker that keeps Kafka's rules for numbered batches and may find them too large: whatever happens, each record is stored once and in order.

use std::collections::VecDeque;

use bytes::Bytes;
use klamm_model::BatchView;

use super::*;

/// A broker remembers this many batches of a producer.
const REMEMBERED: usize = 5;

pub(super) struct StoredPartition {
    pub(super) values: Vec<String>,
    producer: Option<(ProducerId, ProducerEpoch)>,
    next_sequence: i32,
    recent: VecDeque<(i32, i64)>,
    /// A batch of more records is too large.
    record_count_max: u32,
}

impl StoredPartition {
    pub(super) fn new(record_count_max: u32) -> Self {
        let (values, recent) = (Vec::new(), VecDeque::new());
        Self { values, producer: None, next_sequence: 0, recent, record_count_max }
    }

    /// Who comes with an older epoch is refused from now on, and this one begins at the first number.
    pub(super) fn fence(&mut self, id: ProducerId, epoch: ProducerEpoch) {
        if self.producer != Some((id, epoch)) {
            (self.producer, self.next_sequence) = (Some((id, epoch)), 0);
            self.recent.clear();
        }
    }

    /// The error code and the base offset of the answer.
    pub(super) fn append(&mut self, batch: &[u8]) -> (ErrorCode, i64) {
        let view = BatchView::parse(batch).expect("a batch");
        view.verify_crc().expect("a whole batch");
        if view.record_count() > self.record_count_max {
            return (ErrorCode::MessageTooLarge, -1);
        }
        let producer = view.header().producer.expect("numbered");
        match self.producer {
            Some((_, epoch)) if producer.epoch < epoch => return (ErrorCode::InvalidProducerEpoch, -1),
            known if known != Some((producer.id, producer.epoch)) => {
                // Of a producer of which Kafka knows nothing, it takes any number as the first.
                if known.is_some() && producer.base_sequence != 0 {
                    return (ErrorCode::OutOfOrderSequenceNumber, -1);
                }
                self.producer = Some((producer.id, producer.epoch));
                self.next_sequence = producer.base_sequence;
                self.recent.clear();
            }
            _ => {}
        }
        if let Some((_, offset)) =
            self.recent.iter().find(|(sequence, _)| *sequence == producer.base_sequence)
        {
            return (ErrorCode::None, *offset);
        }
        if producer.base_sequence != self.next_sequence {
            return (ErrorCode::OutOfOrderSequenceNumber, -1);
        }
        let offset = self.values.len() as i64;
        let mut scratch = Vec::new();
        for record in view.records(&mut scratch, 1 << 20).expect("records") {
            let value = record.expect("a record").value.expect("a value").to_vec();
            self.values.push(String::from_utf8(value).expect("text"));
        }
        self.recent.push_back((producer.base_sequence, offset));
        if self.recent.len() > REMEMBERED {
            self.recent.pop_front();
        }
        self.next_sequence += view.record_count() as i32;
        (ErrorCode::None, offset)
    }
}

type Sent = (CallId, Vec<(i32, Bytes)>);

struct Net {
    machine: Machine<u32>,
    random: Random,
    now: Tick,
    partitions: Vec<StoredPartition>,
    /// In the order they were sent; answered in the same order.
    requests: VecDeque<Sent>,
    answers: VecDeque<(CallId, ProduceResponse)>,
    identities: VecDeque<CallId>,
    written: usize,
    offsets_told: BTreeMap<(i32, i64), u32>,
}

impl Net {
    fn step(&mut self, is_calm: bool) {
        let mut effects = Vec::new();
        let chance = if is_calm { 0 } else { self.random.below(100) };
        match chance {
            0..60 => self.serve(is_calm, &mut effects),
            60..85 => {
                if let Some((call, response)) = self.answers.pop_front() {
                    self.machine.produced(self.now, call, response, &mut effects);
                }
            }
            85..90 => self.cut(&mut effects),
            _ => self.now.0 += self.random.below(150_000),
        }
        if is_calm {
            while let Some((call, response)) = self.answers.pop_front() {
                self.machine.produced(self.now, call, response, &mut effects);
            }
            self.now.0 += 10_000;
        }
        if let Some(call) = self.identities.pop_front() {
            let response = InitProducerIdResponse { producer_id: 7, ..InitProducerIdResponse::default() };
            self.machine.identified(self.now, call, &response, &mut effects);
        }
        self.machine.advance(self.now, &mut effects);
        self.perform(effects);
    }

    fn perform(&mut self, effects: Vec<Effect<u32>>) {
        for effect in effects {
            match effect {
                Effect::Produce { call, topics, .. } => {
                    let batches = topics.into_iter().flat_map(|topic| topic.partitions).collect();
                    self.requests.push_back((call, batches));
                }
                Effect::InitProducerId { call } => self.identities.push_back(call),
                Effect::RefreshMetadata | Effect::Trouble(_) | Effect::LeaderHint(_) | Effect::Room => {}
                Effect::Ask { .. } | Effect::Progress => unreachable!("no transactions here"),
                Effect::Done(done) => {
                    let written = done.outcome.expect("nothing is given up in this test");
                    self.written += done.record_count as usize;
                    let offset = written.base_offset.expect("told by this broker").raw();
                    let before = self.offsets_told.insert((done.partition, offset), done.record_count);
                    assert_eq!(before, None, "two batches were told the same offset");
                }
            }
        }
    }

    fn serve(&mut self, is_calm: bool, _: &mut Vec<Effect<u32>>) {
        let Some((call, batches)) = self.requests.pop_front() else { return };
        let partition_responses = batches.into_iter().map(|(index, batch)| {
            let (code, base_offset) = if !is_calm && self.random.below(10) == 0 {
                (ErrorCode::NotEnoughReplicas, -1)
            } else {
                self.partitions[index as usize].append(&batch)
            };
            // Stored, but not by enough in time: the producer cannot know.
            let code = match code {
                ErrorCode::None if !is_calm && self.random.below(10) == 0 => {
                    ErrorCode::NotEnoughReplicasAfterAppend
                }
                code => code,
            };
            PartitionProduceResponse {
                index,
                error_code: code.code(),
                base_offset,
                ..PartitionProduceResponse::default()
            }
        });
        let topic = TopicProduceResponse {
            name: "t".into(),
            partition_responses: partition_responses.collect(),
            ..TopicProduceResponse::default()
        };
        self.answers
            .push_back((call, ProduceResponse { responses: vec![topic], ..ProduceResponse::default() }));
    }

    /// The connection goes: answers on their way are lost, of the requests on their way some still arrive.
    fn cut(&mut self, effects: &mut Vec<Effect<u32>>) {
        for _ in 0..self.random.below(4) {
            self.serve(false, effects);
        }
        let error = CallError::Broken { address: "b".into(), problem: "cut".into() };
        let lost: Vec<CallId> = self
            .answers
            .drain(..)
            .map(|(call, _)| call)
            .chain(self.requests.drain(..).map(|(call, _)| call))
            .collect();
        for call in lost {
            self.machine.call_failed(self.now, call, &error, effects);
        }
    }
}

fn survive(seed: u64) {
    const PARTITION_COUNT: usize = 2;
    const RECORD_COUNT: usize = 120;
    let config = Config { delivery_timeout_ms: u64::MAX / 4_000, batch_size: 250, linger_ms: 5, ..eager() };
    // Batches get about fifteen records.
    let record_count_max = if seed.is_multiple_of(2) { u32::MAX } else { 3 };
    let mut net = Net {
        machine: Machine::new(config, cluster(&[1; PARTITION_COUNT]), Random::new(seed)),
        random: Random::new(seed ^ 0xabcd),
        now: Tick(0),
        partitions: std::iter::repeat_with(|| StoredPartition::new(record_count_max))
            .take(PARTITION_COUNT)
            .collect(),
        requests: VecDeque::new(),
        answers: VecDeque::new(),
        identities: VecDeque::new(),
        written: 0,
        offsets_told: BTreeMap::new(),
    };
    let mut wanted: Vec<Vec<String>> = vec![Vec::new(); PARTITION_COUNT];
    for number in 0..RECORD_COUNT {
        let partition = net.random.below(PARTITION_COUNT as u64) as usize;
        let value = format!("v{number}");
        let record = Record { partition: Some(partition as i32), ..Record::new("t", value.as_bytes()) };
        net.machine.append(net.now, Timestamp(0), &record).expect("there is room");
        wanted[partition].push(value);
        for _ in 0..net.random.below(6) {
            net.step(false);
        }
    }
    net.machine.close();
    for _ in 0..400 {
        net.step(false);
    }
    for _ in 0..2_000 {
        net.step(true);
    }
    assert!(net.machine.is_finished(), "seed {seed}: something is stuck");
    assert_eq!(net.written, RECORD_COUNT, "seed {seed}");
    for (partition, wanted) in net.partitions.iter().zip(wanted) {
        assert_eq!(partition.values, wanted, "seed {seed}");
    }
}

#[test]
fn every_record_is_stored_once_and_in_order_whatever_the_network_does() {
    for seed in 0..400 {
        survive(seed);
    }
}
