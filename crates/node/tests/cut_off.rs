//! A broker that is cut off from the others, and not from its clients.

use crate::world::{CONNECTION, World, another, batch, producer};
use klamm_cluster::record::{PartitionChange, Record};
use klamm_model::{
    BrokerId, ControllerEpoch, ErrorCode, LeaderEpoch, PartitionEpoch, PartitionIndex, TopicId,
    TopicPartition,
};
use klamm_node::{Event, Listener, PeerFailure, Reply};
use klamm_wire::{
    AllocateProducerIdsResponse, BrokerHeartbeatResponse, FetchRequest, InitProducerIdRequest,
    ProduceRequest, Records, Request, Response,
    fetch::{FetchPartition, FetchTopic, ReplicaState},
    produce::{PartitionProduceData, TopicProduceData},
};

const OTHER: BrokerId = BrokerId(2);
const SESSION_MS: u64 = 400;

/// This broker leads a topic `t`, which another one is in sync with; that is the controller, and has just heard of this one.
struct Cluster {
    world: World,
    topic: TopicId,
    sequence: i32,
}

impl Cluster {
    fn new() -> Self {
        let mut world = World::with(|config| {
            config.session_timeout_ms = SESSION_MS;
            config.heartbeat_interval_ms = SESSION_MS / 4;
        });
        let topic = world.create("t", 1);
        world.decides(OTHER, ControllerEpoch(2), Record::RegisterBroker(another()));
        let mut it = Self { world, topic, sequence: 0 };
        let before = it.world.node.image().partition(it.key()).expect("it is there");
        let both = vec![BrokerId(1), OTHER];
        let change = PartitionChange {
            leader: Some(Some(BrokerId(1))),
            leader_epoch: Some(LeaderEpoch(before.leader_epoch.0 + 1)),
            isr: Some(both.clone()),
            replicas: Some(both),
            ..PartitionChange::nothing(it.key(), PartitionEpoch(before.partition_epoch.0 + 1))
        };
        it.world.decides(OTHER, ControllerEpoch(3), Record::PartitionChange(change));
        it.world.all_disk();
        it.is_heard();
        it
    }

    /// Somebody has waited in vain, and was sent away.
    fn stalled() -> Self {
        let mut it = Self::new();
        let waits = it.produce(-1, false);
        it.wait_ms(1_000);
        assert_eq!(it.told(waits), AWAY);
        it
    }

    fn key(&self) -> TopicPartition {
        TopicPartition { topic: self.topic, partition: PartitionIndex(0) }
    }

    /// The controller takes all signs of life that were sent.
    fn is_heard(&mut self) {
        while let Some(token) = self.asked(|it| matches!(it, Request::BrokerHeartbeat(_))) {
            let answer = BrokerHeartbeatResponse { is_fenced: false, ..Default::default() };
            let answer = Ok(Response::BrokerHeartbeat(answer));
            self.world.step(Event::Peer { from: OTHER, token, answer });
        }
    }

    /// The token of such a request to the other broker, if there is one.
    fn asked(&mut self, is_meant: fn(&Request) -> bool) -> Option<u64> {
        let index = self.world.sent.iter().position(|(_, request)| is_meant(request))?;
        Some(self.world.sent.remove(index).0)
    }

    /// Time passes, evenly.
    fn wait_ms(&mut self, ms: u64) {
        for _ in 0..ms / 100 {
            self.world.wait_ms(100);
        }
    }

    /// One record with the next number, or the last one again. Gives the number of the request.
    fn produce(&mut self, acks: i16, is_again: bool) -> u64 {
        let numbered = producer(self.sequence - i32::from(is_again));
        self.sequence += i32::from(!is_again);
        let records = Some(Records::Bytes(batch(1, numbered)));
        let partition_data = vec![PartitionProduceData { records, ..Default::default() }];
        let topic_data = vec![TopicProduceData { name: "t".into(), partition_data, ..Default::default() }];
        let request = ProduceRequest { acks, timeout_ms: 60_000, topic_data, ..Default::default() };
        let asked = self.world.send(Request::Produce(request), 9);
        self.world.all_disk();
        asked
    }

    /// A consumer's fetch from there on.
    fn read(&mut self, offset: i64) -> ErrorCode {
        let partition =
            FetchPartition { fetch_offset: offset, partition_max_bytes: 1 << 20, ..Default::default() };
        let topic = FetchTopic { topic_id: self.topic, partitions: vec![partition], ..Default::default() };
        let request = FetchRequest { max_bytes: 1 << 20, topics: vec![topic], ..Default::default() };
        let asked = self.world.send(Request::Fetch(request), 13);
        let response = match self.world.answer(asked) {
            Some(Reply::Ready(Response::Fetch(response)) | Reply::Fetch { response, .. }) => response,
            other => panic!("{other:?}"),
        };
        ErrorCode::told(response.responses[0].partitions[0].error_code)
    }

    fn told(&mut self, asked: u64) -> Option<ErrorCode> {
        let is_there = self.world.replies.iter().any(|(to, _)| *to == asked);
        is_there.then(|| self.world.produced(asked).0)
    }

    /// The follower fetches: it has everything before this offset.
    fn follower_has(&mut self, offset: i64) {
        self.follower_asks(offset, 1 << 20);
    }

    fn follower_asks(&mut self, offset: i64, partition_max_bytes: i32) {
        let led = self.world.node.image().partition(self.key()).expect("it is there").leader_epoch;
        let partition = FetchPartition {
            fetch_offset: offset,
            partition_max_bytes,
            current_leader_epoch: led.0,
            ..Default::default()
        };
        let topic = FetchTopic { topic_id: self.topic, partitions: vec![partition], ..Default::default() };
        let request = FetchRequest {
            replica_state: ReplicaState { replica_id: OTHER.0, replica_epoch: 5 },
            max_bytes: 1 << 20,
            topics: vec![topic],
            ..Default::default()
        };
        self.world.send_on(Listener::Broker, Request::Fetch(request), 17);
        self.world.all_disk();
    }
}

const AWAY: Option<ErrorCode> = Some(ErrorCode::NotLeaderOrFollower);
const TAKEN: Option<ErrorCode> = Some(ErrorCode::None);

#[test]
fn who_waits_in_vain_for_a_session_is_sent_away_and_so_is_who_comes_later() {
    let mut it = Cluster::new();
    let waits = it.produce(-1, false);
    it.wait_ms(SESSION_MS);
    assert_eq!(it.told(waits), None, "it may be a moment only");
    it.wait_ms(600);
    assert_eq!(it.told(waits), AWAY);
    let again = it.produce(-1, true);
    assert_eq!(it.told(again), AWAY, "what it has already is not acknowledged either");
    let asks_for_less = it.produce(1, false);
    assert_eq!(it.told(asks_for_less), TAKEN, "nobody else has to have it");

    // The sign of life that the controller takes first is as old as the cut.
    it.is_heard();
    it.wait_ms(200);
    it.is_heard();
    let goes_on = it.produce(-1, false);
    assert_eq!(it.told(goes_on), None, "it leads, and the controller has told nothing else");
    it.follower_has(3);
    assert_eq!(it.told(goes_on), TAKEN);
    let again = it.produce(-1, true);
    assert_eq!(it.world.produced(again), (ErrorCode::None, 2), "it is known by its number");
}

/// librdkafka asks where it wrote to last who leads.
#[test]
fn who_comes_again_and_again_is_dismissed() {
    let mut it = Cluster::stalled();
    let again = it.produce(-1, true);
    assert_eq!(it.told(again), AWAY);
    it.wait_ms(400);
    let again = it.produce(-1, true);
    assert_eq!((it.told(again), it.world.closed.len()), (AWAY, 0), "it is looking for another leader");
    it.wait_ms(100);
    let again = it.produce(-1, true);
    assert_eq!((it.told(again), it.world.closed.len()), (AWAY, 1), "it is answered first");
    it.world.step(Event::Closed(CONNECTION));
    let again = it.produce(-1, true);
    assert_eq!(it.told(again), AWAY, "it may have found nobody else");

    it.is_heard();
    it.wait_ms(200);
    it.is_heard();
    it.follower_has(1);
    it.wait_ms(1_000);
    let waits = it.produce(-1, false);
    assert_eq!((it.told(waits), it.world.closed.len()), (None, 1), "that was another time");
}

/// One of a row waits in vain, the next ones are turned away, and then it is cut off no more.
#[test]
fn who_is_the_last_of_a_row_is_not_told_of_a_gap() {
    let mut it = Cluster::stalled();
    let behind = it.produce(-1, false);
    assert_eq!(it.told(behind), AWAY);
    it.follower_has(1);
    let last = it.produce(-1, false);
    assert_eq!(it.told(last), AWAY);
    it.sequence = 1;
    let both = [it.produce(-1, false), it.produce(-1, false)];
    it.follower_has(3);
    assert_eq!(both.map(|asked| it.told(asked)), [TAKEN; 2]);
}

#[test]
fn a_leader_that_commits_again_sends_nobody_away_though_no_controller_is_there() {
    let mut it = Cluster::stalled();
    it.follower_has(1);
    for end in 2..6 {
        let waits = it.produce(-1, false);
        it.wait_ms(300);
        assert_eq!(it.told(waits), None);
        it.follower_has(end);
        assert_eq!(it.told(waits), TAKEN, "the majority of the controllers is lost, and no more");
    }
}

/// Where a reader is who was told by another leader that so much is committed.
#[test]
fn who_reads_beyond_its_end_is_sent_to_another_leader() {
    let mut it = Cluster::new();
    it.produce(-1, false);
    it.follower_has(1);
    assert_eq!(it.read(2), ErrorCode::OffsetOutOfRange, "it was heard just now");
    it.wait_ms(1_000);
    assert_eq!(it.read(2), ErrorCode::NotLeaderOrFollower);
    assert_eq!(it.read(0), ErrorCode::None, "what it has it has");
    it.is_heard();
    it.wait_ms(200);
    it.is_heard();
    assert_eq!(it.read(2), ErrorCode::OffsetOutOfRange);
}

/// A backlog: everybody waits for longer than a session, and for what others waited for before.
#[test]
fn who_waits_while_others_are_served_is_not_sent_away() {
    let mut it = Cluster::new();
    let waiting: Vec<u64> = (0..8).map(|_| it.produce(-1, false)).collect();
    for (end, waits) in (1..).zip(waiting) {
        it.wait_ms(300);
        it.follower_has(end);
        assert_eq!(it.told(waits), TAKEN);
    }
}

#[test]
fn who_is_heard_sends_nobody_away_however_slow_a_follower_is() {
    let mut it = Cluster::new();
    let waits = it.produce(-1, false);
    for _ in 0..20 {
        it.wait_ms(200);
        it.is_heard();
    }
    assert_eq!(it.told(waits), None);
    it.follower_has(1);
    assert_eq!(it.told(waits), TAKEN);
}

/// A process that was stopped and goes on hears in a moment what happened meanwhile.
#[test]
fn who_stood_still_has_a_session_to_be_heard_before_anybody_is_sent_away() {
    let mut it = Cluster::new();
    let waits = it.produce(-1, false);
    it.world.wait_ms(10_000);
    it.wait_ms(300);
    assert_eq!(it.told(waits), None);
    it.wait_ms(900);
    assert_eq!(it.told(waits), AWAY);
}

fn wants_producer_ids(request: &Request) -> bool {
    matches!(request, Request::AllocateProducerIds(_))
}

impl Cluster {
    fn gets_producer_ids(&mut self, token: u64, first: i64) {
        let answer = AllocateProducerIdsResponse {
            producer_id_start: first,
            producer_id_len: 1_000,
            ..Default::default()
        };
        let answer = Ok(Response::AllocateProducerIds(answer));
        self.world.step(Event::Peer { from: OTHER, token, answer });
    }

    fn producer_begins(&mut self) -> u64 {
        let request = InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: 1,
            producer_id: -1,
            producer_epoch: -1,
            ..Default::default()
        };
        self.world.send(Request::InitProducerId(request), 4)
    }

    fn producer_id(&mut self, asked: u64) -> i64 {
        let Response::InitProducerId(response) = self.world.response(asked) else { panic!("another answer") };
        response.producer_id
    }
}

#[test]
fn producers_begin_though_no_controller_is_there_with_numbers_that_were_taken_before() {
    let mut it = Cluster::new();
    let token = it.asked(wants_producer_ids).expect("before anybody wants one");
    it.gets_producer_ids(token, 5_000);
    assert_eq!(it.asked(wants_producer_ids), None, "half of a block is enough");
    let mut next = None;
    for id in 5_000..6_000 {
        let asked = it.producer_begins();
        assert_eq!(it.producer_id(asked), id);
        let more = it.asked(wants_producer_ids);
        assert_eq!(more.is_some(), id == 5_500, "{id}");
        next = next.or(more);
    }
    let waits = it.producer_begins();
    assert!(it.world.answer(waits).is_none());
    it.gets_producer_ids(next.expect("asked for"), 9_000);
    assert_eq!(it.producer_id(waits), 9_000);
}

#[test]
fn a_block_of_numbers_that_nobody_waits_for_is_asked_for_again_slowly() {
    let mut it = Cluster::new();
    let token = it.asked(wants_producer_ids).expect("before anybody wants one");
    it.world.step(Event::Peer { from: OTHER, token, answer: Err(PeerFailure::TimedOut) });
    it.wait_ms(900);
    assert_eq!(it.asked(wants_producer_ids), None);
    it.wait_ms(100);
    assert!(it.asked(wants_producer_ids).is_some());
}

/// By the bytes that it asks for.
#[test]
fn nobody_waits_for_a_follower_that_takes_nothing() {
    for (partition_max_bytes, expected) in [(1 << 20, None), (0, Some(vec![BrokerId(1).0]))] {
        let mut it = Cluster::new();
        it.produce(-1, false);
        it.follower_asks(0, partition_max_bytes);
        it.world.wait_ms(1);
        let proposed = it.world.sent.iter().find_map(|(_, request)| match request {
            Request::AlterPartition(it) => Some(&it.topics[0].partitions[0]),
            _ => None,
        });
        let isr = proposed.map(|it| it.new_isr_with_epochs.iter().map(|it| it.broker_id).collect::<Vec<_>>());
        assert_eq!(isr, expected, "{partition_max_bytes}");
    }
}
