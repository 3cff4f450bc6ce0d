//! Who leads is asked right after a broker died, and before the controller has others lead.

use crate::world::{World, another};
use klamm_cluster::record::{BrokerState, PartitionChange, Record};
use klamm_model::{
    BrokerId, ControllerEpoch, ErrorCode, LeaderEpoch, PartitionEpoch, PartitionIndex, TopicId,
    TopicPartition,
};
use klamm_node::{Event, Listener, PeerFailure, Reply};
use klamm_wire::{
    FetchRequest, FetchResponse, MetadataRequest, Request, Response, fetch::ReplicaState,
    metadata::MetadataRequestTopic,
};

const ME: BrokerId = BrokerId(1);
const OTHER: BrokerId = BrokerId(2);

/// Another broker leads the topic `t`, which this one follows.
struct Cluster {
    world: World,
    topic: TopicId,
    epoch: i32,
}

impl Cluster {
    fn new() -> Self {
        let mut world = World::new();
        let topic = world.create("t", 1);
        let mut it = Self { world, topic, epoch: 1 };
        it.decides(Record::RegisterBroker(another()));
        it.becomes(BrokerState::Active);
        it.leads(OTHER);
        it
    }

    fn decides(&mut self, record: Record) {
        self.epoch += 1;
        self.world.decides(BrokerId(3), ControllerEpoch(self.epoch), record);
        self.world.all_disk();
    }

    fn becomes(&mut self, state: BrokerState) {
        let epoch = self.world.node.image().broker(OTHER).expect("it is registered").epoch;
        self.decides(Record::BrokerState { id: OTHER, epoch, state });
    }

    fn leads(&mut self, leader: BrokerId) {
        let key = TopicPartition { topic: self.topic, partition: PartitionIndex(0) };
        let before = self.world.node.image().partition(key).expect("it is there");
        let both = vec![ME, OTHER];
        let change = PartitionChange {
            leader: Some(Some(leader)),
            leader_epoch: Some(LeaderEpoch(before.leader_epoch.0 + 1)),
            isr: Some(both.clone()),
            replicas: Some(both),
            ..PartitionChange::nothing(key, PartitionEpoch(before.partition_epoch.0 + 1))
        };
        self.decides(Record::PartitionChange(change));
    }

    /// What became of the oldest fetch that is under way to the other broker.
    fn fetch_ends(&mut self, failure: Option<PeerFailure>) {
        let is_fetch = |(_, request): &(u64, Request)| matches!(request, Request::Fetch(_));
        let index = self.world.sent.iter().position(is_fetch).expect("one is under way");
        let (token, _) = self.world.sent.remove(index);
        let response = Response::Fetch(FetchResponse { session_id: 1, ..Default::default() });
        let answer = failure.map_or(Ok(response), Err);
        self.world.step(Event::Peer { from: OTHER, token, answer });
    }

    /// The other broker was heard, and then the connection broke.
    fn breaks(&mut self) {
        self.fetch_ends(None);
        self.world.wait_ms(1_000);
        self.fetch_ends(Some(PeerFailure::Disconnected));
    }

    fn asks(&mut self) -> u64 {
        let topics = vec![MetadataRequestTopic { name: Some("t".into()), ..Default::default() }];
        self.world.send(Request::Metadata(MetadataRequest { topics: Some(topics), ..Default::default() }), 9)
    }

    /// Who leads, if that was answered.
    fn told(&mut self, asked: u64) -> Option<BrokerId> {
        match self.world.answer(asked)? {
            Reply::Ready(Response::Metadata(it)) => Some(BrokerId(it.topics[0].partitions[0].leader_id)),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_client_that_lost_a_leader_hears_of_the_next_one() {
    let mut it = Cluster::new();
    it.fetch_ends(None);
    let asked = it.asks();
    assert_eq!(it.told(asked), Some(OTHER));
    it.breaks();
    let asked = it.asks();
    it.world.wait_ms(100);
    assert_eq!(it.told(asked), None, "another will lead in a moment");
    it.leads(ME);
    assert_eq!(it.told(asked), Some(ME));
}

/// That a question waits is no reason to create what it names and may not be created.
#[test]
fn a_topic_that_is_not_there_is_not_created_in_doubt() {
    let mut it = Cluster::new();
    it.breaks();
    let topics =
        ["t", "u"].map(|name| MetadataRequestTopic { name: Some(name.into()), ..Default::default() });
    let request = MetadataRequest {
        topics: Some(topics.into()),
        allow_auto_topic_creation: false,
        ..Default::default()
    };
    let asked = it.world.send(Request::Metadata(request), 9);
    it.leads(ME);
    let Some(Reply::Ready(Response::Metadata(told))) = it.world.answer(asked) else { panic!("no answer") };
    let codes: Vec<_> = told.topics.iter().map(|it| ErrorCode::told(it.error_code)).collect();
    assert_eq!(codes, [ErrorCode::None, ErrorCode::UnknownTopicOrPartition]);
}

#[test]
fn nobody_waits_for_long_nor_once_the_broker_is_heard_or_known_to_be_gone() {
    let mut it = Cluster::new();
    it.breaks();
    let asked = it.asks();
    it.world.wait_ms(299);
    assert_eq!(it.told(asked), None);
    it.world.wait_ms(1);
    assert_eq!(it.told(asked), Some(OTHER));

    // It is gone, and nobody can say so: every attempt to reach it fails.
    it.fetch_ends(Some(PeerFailure::Disconnected));
    let asked = it.asks();
    assert_eq!(it.told(asked), Some(OTHER), "once is enough");

    it.world.wait_ms(1_000);
    it.breaks();
    let asked = it.asks();
    assert_eq!(it.told(asked), None);
    it.world.wait_ms(100);
    it.fetch_ends(None);
    assert_eq!(it.told(asked), Some(OTHER), "it was the connection alone");

    it.world.wait_ms(1_000);
    it.breaks();
    let asked = it.asks();
    assert_eq!(it.told(asked), None);
    it.becomes(BrokerState::Fenced);
    assert_eq!(it.told(asked), Some(OTHER), "the controller has decided");
}

#[test]
fn who_follows_a_leader_is_doubted_by_it_too() {
    let mut it = Cluster::new();
    let replica_state = ReplicaState { replica_id: OTHER.0, replica_epoch: 5 };
    let request = FetchRequest { replica_state, session_id: 0, session_epoch: 0, ..Default::default() };
    let asked = it.world.send_on(Listener::Broker, Request::Fetch(request), 17);
    assert!(it.world.answer(asked).is_some());
    it.world.step(Event::Closed(crate::world::CONNECTION));
    let asked = it.asks();
    assert_eq!(it.told(asked), None);
    it.leads(ME);
    assert_eq!(it.told(asked), Some(ME));
}
