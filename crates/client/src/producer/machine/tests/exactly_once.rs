//! A bad network, and brokers that keep Kafka's rules for transactions: whatever happens, of a transaction that is said to be committed all is read, of any other nothing.

use std::collections::VecDeque;

use bytes::Bytes;
use klamm_wire::{
    AddPartitionsToTxnResponse, EndTxnResponse, FindCoordinatorResponse, Response,
    add_partitions_to_txn::{AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult},
};

use super::super::super::config::TransactionalConfig;
use super::super::super::question::{Outcome, Protocol, Question};
use super::super::super::transaction_error::TransactionError;
use super::network::StoredPartition;
use super::*;

const PARTITION_COUNT: usize = 2;

/// A partition with what readers of committed records see of it.
struct Partition {
    stored: StoredPartition,
    /// Where the open transaction begins in it.
    open_from: Option<usize>,
    committed: Vec<String>,
}

impl Partition {
    fn mark(&mut self, outcome: Outcome, current: Identity) {
        if let Some(from) = self.open_from.take()
            && outcome == Outcome::Commit
        {
            self.committed.extend_from_slice(&self.stored.values[from..]);
        }
        // A mark fences what came before it.
        self.stored.fence(current.id, current.epoch);
    }
}

enum Sent {
    Produce(CallId, Vec<(i32, Bytes)>),
    Ask(CallId, Question),
}

enum Answer {
    Produced(CallId, ProduceResponse),
    Said(CallId, Response),
}

struct Cluster {
    protocol: Protocol,
    identity: Identity,
    /// Partitions of the open transaction, if there is one.
    open: Option<BTreeSet<i32>>,
    last: Option<Outcome>,
    partitions: Vec<Partition>,
}

impl Cluster {
    fn produce(&mut self, index: i32, batch: &[u8]) -> (ErrorCode, i64) {
        let producer = BatchView::parse(batch).expect("a batch").header().producer.expect("numbered");
        let it = Identity { id: producer.id, epoch: producer.epoch };
        let place = index as usize;
        if self.partitions[place].open_from.is_none() {
            // The coordinator is asked (KIP-890).
            if it != self.identity {
                return (ErrorCode::InvalidProducerEpoch, -1);
            }
            match self.protocol {
                Protocol::Implicit => _ = self.open.get_or_insert_default().insert(index),
                Protocol::Named if self.open.as_ref().is_some_and(|open| open.contains(&index)) => {}
                Protocol::Named => return (ErrorCode::InvalidTxnState, -1),
            }
        }
        let end = self.partitions[place].stored.values.len();
        let (code, offset) = self.partitions[place].stored.append(batch);
        if code == ErrorCode::None {
            self.partitions[place].open_from.get_or_insert(end);
        }
        (code, offset)
    }

    fn end(&mut self, outcome: Outcome, current: Identity) {
        for index in self.open.take().unwrap_or_default() {
            self.partitions[index as usize].mark(outcome, current);
        }
        self.last = Some(outcome);
    }

    fn next_epoch(&mut self) {
        self.identity.epoch.0 += 1;
    }

    fn say(&mut self, question: &Question) -> Response {
        match question {
            Question::FindCoordinator => {
                Response::FindCoordinator(FindCoordinatorResponse { node_id: 5, ..Default::default() })
            }
            Question::Identify { current, .. } => {
                let is_before = |it: &Identity| it.epoch.0 + 1 == self.identity.epoch.0;
                if current.is_some_and(|it| it != self.identity && !is_before(&it)) {
                    let error_code = ErrorCode::ProducerFenced.code();
                    return Response::InitProducerId(InitProducerIdResponse {
                        error_code,
                        ..Default::default()
                    });
                }
                // Who has not heard of its new epoch is told again.
                if *current == Some(self.identity) || current.is_none() {
                    self.next_epoch();
                    self.end(Outcome::Abort, self.identity);
                }
                self.last = None;
                let Identity { id, epoch } = self.identity;
                let (producer_id, producer_epoch) = (id.0, epoch.0);
                Response::InitProducerId(InitProducerIdResponse {
                    producer_id,
                    producer_epoch,
                    ..Default::default()
                })
            }
            Question::AddPartitions(it, topics) => {
                let code = if *it == self.identity { ErrorCode::None } else { ErrorCode::ProducerFenced };
                let mut results = Vec::new();
                for &partition_index in topics.values().flatten() {
                    if code == ErrorCode::None {
                        self.open.get_or_insert_default().insert(partition_index);
                    }
                    let partition_error_code = code.code();
                    results.push(AddPartitionsToTxnPartitionResult { partition_index, partition_error_code });
                }
                let topic = AddPartitionsToTxnTopicResult { name: "t".into(), results_by_partition: results };
                let results_by_topic_v3_and_below = vec![topic];
                Response::AddPartitionsToTxn(AddPartitionsToTxnResponse {
                    results_by_topic_v3_and_below,
                    ..Default::default()
                })
            }
            Question::End(it, _, outcome) => {
                let is_repeated = it.epoch.0 + 1 == self.identity.epoch.0 && self.last == Some(*outcome);
                let code = match self.protocol {
                    Protocol::Implicit if is_repeated && self.open.is_none() => ErrorCode::None,
                    _ if *it != self.identity => ErrorCode::ProducerFenced,
                    Protocol::Implicit if self.open.is_some() || *outcome == Outcome::Abort => {
                        self.next_epoch();
                        self.end(*outcome, self.identity);
                        ErrorCode::None
                    }
                    Protocol::Named if self.open.is_some() => {
                        self.end(*outcome, self.identity);
                        ErrorCode::None
                    }
                    Protocol::Named if self.last == Some(*outcome) => ErrorCode::None,
                    _ => ErrorCode::InvalidTxnState,
                };
                let (producer_id, producer_epoch) = match self.protocol {
                    Protocol::Named => (-1, -1),
                    Protocol::Implicit => (self.identity.id.0, self.identity.epoch.0),
                };
                let error_code = code.code();
                Response::EndTxn(EndTxnResponse {
                    error_code,
                    producer_id,
                    producer_epoch,
                    ..Default::default()
                })
            }
            Question::FindGroupCoordinator(_) | Question::AddGroup(..) | Question::CommitOffsets(..) => {
                unreachable!("no groups here")
            }
        }
    }
}

struct Net {
    machine: Machine<u32>,
    random: Random,
    now: Tick,
    cluster: Cluster,
    requests: VecDeque<Sent>,
    answers: VecDeque<Answer>,
    /// Requests of connections that are gone. The older protocol can't tell them from newer ones.
    late: Vec<Sent>,
}

impl Net {
    fn step(&mut self) {
        let mut effects = Vec::new();
        match self.random.below(100) {
            0..50 => {
                let request = self.requests.pop_front();
                self.serve(request);
            }
            50..85 => match self.answers.pop_front() {
                Some(Answer::Produced(call, response)) => {
                    self.machine.produced(self.now, call, response, &mut effects);
                }
                Some(Answer::Said(call, response)) => {
                    self.machine.coordinated(self.now, call, response, &mut effects);
                }
                None => {}
            },
            85..89 => self.cut(&mut effects),
            89..92 if !self.late.is_empty() => {
                let place = self.random.below(self.late.len() as u64) as usize;
                let request = self.late.swap_remove(place);
                self.serve(Some(request));
                // Nobody is there to hear the answer.
                self.answers.pop_back();
            }
            _ => self.now.0 += self.random.below(150_000),
        }
        self.machine.advance(self.now, &mut effects);
        for effect in effects {
            match effect {
                Effect::Produce { call, topics, .. } => {
                    let batches = topics.into_iter().flat_map(|topic| topic.partitions).collect();
                    self.requests.push_back(Sent::Produce(call, batches));
                }
                Effect::Ask { call, question, .. } => self.requests.push_back(Sent::Ask(call, question)),
                _ => {}
            }
        }
    }

    fn serve(&mut self, request: Option<Sent>) {
        match request {
            Some(Sent::Produce(call, batches)) => {
                let partition_responses = batches.into_iter().map(|(index, batch)| {
                    let (code, base_offset) = match self.random.below(100) {
                        0..8 => (ErrorCode::NotEnoughReplicas, -1),
                        8..10 => (ErrorCode::InvalidRecord, -1),
                        _ => self.cluster.produce(index, &batch),
                    };
                    let error_code = code.code();
                    PartitionProduceResponse { index, error_code, base_offset, ..Default::default() }
                });
                let topic = TopicProduceResponse {
                    name: "t".into(),
                    partition_responses: partition_responses.collect(),
                    ..Default::default()
                };
                let response = ProduceResponse { responses: vec![topic], ..Default::default() };
                self.answers.push_back(Answer::Produced(call, response));
            }
            Some(Sent::Ask(call, question)) => {
                let response = self.cluster.say(&question);
                self.answers.push_back(Answer::Said(call, response));
            }
            None => {}
        }
    }

    /// The connection goes: answers on their way are lost, of the requests on their way some still arrive.
    fn cut(&mut self, effects: &mut Vec<Effect<u32>>) {
        for _ in 0..self.random.below(4) {
            let request = self.requests.pop_front();
            self.serve(request);
        }
        let answers = self.answers.drain(..).map(|it| match it {
            Answer::Produced(call, _) | Answer::Said(call, _) => call,
        });
        let mut lost: Vec<CallId> = answers.collect();
        for request in self.requests.drain(..) {
            let (Sent::Produce(call, _) | Sent::Ask(call, _)) = &request;
            lost.push(*call);
            // Who takes the transactional id over late fences us rightly.
            let takes_over = matches!(&request, Sent::Ask(_, Question::Identify { current: None, .. }));
            if self.cluster.protocol == Protocol::Implicit && !takes_over {
                self.late.push(request);
            }
        }
        let error = CallError::Broken { address: "b".into(), problem: "cut".into() };
        for call in lost {
            self.machine.call_failed(self.now, call, &error, effects);
        }
    }

    /// Steps until there is something to see.
    fn until<R>(&mut self, what: &str, look: impl Fn(&mut Machine<u32>) -> Option<R>) -> R {
        for _ in 0..20_000 {
            if let Some(found) = look(&mut self.machine) {
                return found;
            }
            self.step();
        }
        panic!("{what} never ends");
    }
}

/// Says how many transactions were committed, aborted, and committed in vain.
fn survive(seed: u64, protocol: Protocol) -> [usize; 3] {
    let config = Config { delivery_timeout_ms: u64::MAX / 4_000, batch_size: 200, linger_ms: 5, ..eager() };
    let config = TransactionalConfig { producer: config, ..TransactionalConfig::new("me") };
    let new = || Partition { stored: StoredPartition::new(u32::MAX), open_from: None, committed: Vec::new() };
    let mut net = Net {
        machine: Machine::transactional(config, cluster(&[1; PARTITION_COUNT]), Random::new(seed)),
        random: Random::new(seed ^ 0xabcd),
        now: Tick(0),
        cluster: Cluster {
            protocol,
            identity: Identity { id: ProducerId(7), epoch: ProducerEpoch(0) },
            open: None,
            last: None,
            partitions: (0..PARTITION_COUNT).map(|_| new()).collect(),
        },
        requests: VecDeque::new(),
        answers: VecDeque::new(),
        late: Vec::new(),
    };
    let mut wanted: Vec<Vec<String>> = vec![Vec::new(); PARTITION_COUNT];
    let mut counts = [0; 3];
    for transaction in 0..12 {
        net.until("an identity", |machine| match machine.begin(protocol) {
            Ok(is_open) => is_open.then_some(()),
            Err(error) => panic!("seed {seed}: {error}"),
        });
        let mut written: Vec<Vec<String>> = vec![Vec::new(); PARTITION_COUNT];
        for number in 0..net.random.below(20) {
            let partition = net.random.below(PARTITION_COUNT as u64) as usize;
            let value = format!("{transaction}-{number}");
            let record = Record { partition: Some(partition as i32), ..Record::new("t", value.as_bytes()) };
            if net.machine.append(net.now, Timestamp(0), &record).is_ok() {
                written[partition].push(value);
            }
            for _ in 0..net.random.below(8) {
                net.step();
            }
        }
        let commits = net.random.below(4) > 0;
        let asked = if commits { net.machine.commit() } else { net.machine.abort() };
        let ended = asked.and_then(|()| net.until("a transaction", |machine| machine.transaction_end()));
        match ended {
            Ok(()) if commits => {
                counts[0] += 1;
                wanted.iter_mut().zip(written).for_each(|(all, these)| all.extend(these));
            }
            Ok(()) => counts[1] += 1,
            Err(TransactionError::MustAbort(_)) => counts[2] += 1,
            Err(error) => panic!("seed {seed}: {error}"),
        }
        net.machine.let_go();
    }
    assert_eq!(net.until("the last one", |machine| machine.is_ready()), Ok(()), "seed {seed}");
    assert_eq!(net.cluster.open, None, "seed {seed}: something hangs");
    for (partition, wanted) in net.cluster.partitions.iter().zip(wanted) {
        assert_eq!(partition.committed, wanted, "seed {seed}");
        assert_eq!(partition.open_from, None, "seed {seed}: something hangs");
    }
    counts
}

#[test]
fn all_of_a_transaction_counts_or_nothing_of_it_whatever_the_network_does() {
    for protocol in [Protocol::Named, Protocol::Implicit] {
        let mut counts = [0; 3];
        for seed in 0..300 {
            counts.iter_mut().zip(survive(seed, protocol)).for_each(|(all, it)| *all += it);
        }
        assert!(counts.iter().all(|count| *count > 200), "{protocol:?}: {counts:?}");
    }
}
