//! What seeds of the simulator found, each as a short script.

use std::sync::Arc;

use klamm_cluster::record::{self, Record};
use klamm_log::{DiskOp, Done};
use klamm_model::{BatchBuilder, BrokerId, ControllerEpoch, ErrorCode, Seal, Tick, Timestamp};
use klamm_node::{
    ConnectionId, Effect, Event, Incoming, Listener, Node, NodeConfig, Now, Origin, Reply, ReplyTo, View,
    prepare,
};
use klamm_quorum::{Entry, Input, Output, Proposer};
use klamm_replica::Sabotage;
use klamm_wire::{
    CreateTopicsRequest, InitProducerIdRequest, ProduceRequest, Records, Request, Response,
    create_topics::CreatableTopic, produce,
};
use uuid::Uuid;

/// A node whose engine and disk are the test's hands.
struct Bare {
    node: Node,
    /// Committed so far.
    entries: Vec<Entry>,
    proposed: Vec<Entry>,
    disk: Vec<DiskOp>,
    replies: Vec<(u64, Response)>,
    view: Option<Arc<View>>,
    requests: u64,
}

const NOW: Now = Now { tick: Tick(1_000_000), wall: Timestamp(1_700_000_000_000) };

impl Bare {
    fn new(incarnation: u128) -> Self {
        let config = NodeConfig::new(BrokerId(1), Uuid::from_u128(2), Uuid::from_u128(incarnation));
        Self {
            node: Node::new(config, 4, Sabotage::default()),
            entries: Vec::new(),
            proposed: Vec::new(),
            disk: Vec::new(),
            replies: Vec::new(),
            view: None,
            requests: 0,
        }
    }

    fn step(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.node.step(NOW, event, &mut effects);
        for effect in effects {
            match effect {
                Effect::Propose { epoch, payload } => self.proposed.push(Entry { index: 0, epoch, payload }),
                Effect::Disk(op) => self.disk.push(op),
                Effect::Reply { to, reply: Reply::Ready(response) } => {
                    self.replies.push((to.sequence, response))
                }
                Effect::Publish(view) => self.view = Some(view),
                _ => {}
            }
        }
    }

    fn commit(&mut self, entry: Entry) {
        let entry = Entry { index: self.entries.len() as u64, ..entry };
        self.entries.push(entry.clone());
        self.step(Event::Quorum(Output::Committed(entry)));
    }

    /// Lets everything that is under way end.
    fn settle(&mut self) {
        while !self.proposed.is_empty() || !self.disk.is_empty() {
            for entry in std::mem::take(&mut self.proposed) {
                self.commit(entry);
            }
            for op in std::mem::take(&mut self.disk) {
                self.step(Event::Disk { partition: op.partition, op: op.id, result: Ok(Done::Nothing) });
            }
        }
    }

    /// Leads the quorum under epoch 1, and is registered and in service.
    fn controller() -> Self {
        let mut bare = Self::new(3);
        bare.step(Event::Quorum(Output::Leader { epoch: ControllerEpoch(1) }));
        bare.settle();
        bare
    }

    fn send(&mut self, request: Request, version: i16) -> u64 {
        let to = ReplyTo { connection: ConnectionId(7), sequence: self.requests };
        self.requests += 1;
        let origin = Arc::new(Origin {
            listener: Listener::Client,
            local_host: "here".into(),
            local_port: 1,
            peer_host: "there".into(),
        });
        self.step(Event::Request(Incoming {
            to,
            origin,
            version,
            client_id: None,
            body: prepare(request, self.view.as_ref().expect("a view was published"), NOW.wall),
        }));
        to.sequence
    }

    fn answer(&self, sequence: u64) -> Option<&Response> {
        self.replies.iter().find(|(to, _)| *to == sequence).map(|(_, response)| response)
    }
}

/// The entry that begins epoch 2, of another controller.
fn begin_of_another() -> Entry {
    let (epoch, controller) = (ControllerEpoch(2), BrokerId(2));
    let records = record::encode(&[Record::Begin { epoch, controller }]);
    let Input::Propose { epoch, payload } = Proposer::new(epoch).propose(&records) else {
        panic!("a proposer proposes")
    };
    Entry { index: 0, epoch, payload }
}

#[test]
fn a_controller_that_was_not_told_yet_of_its_successor_confirms_nothing() {
    let mut bare = Bare::controller();
    let request = InitProducerIdRequest { transactional_id: None, ..Default::default() };
    let asked = bare.send(Request::InitProducerId(request), 4);
    assert!(bare.answer(asked).is_none() && !bare.proposed.is_empty(), "a block of ids is proposed");
    // Another's entry takes the metadata offset that the block would have had.
    bare.commit(begin_of_another());
    let Some(Response::InitProducerId(answer)) = bare.answer(asked) else { panic!("no answer") };
    assert_ne!(answer.error_code, ErrorCode::None.code(), "ids that were never given out: {answer:?}");
}

#[test]
fn a_late_hint_does_not_bring_back_an_old_controller() {
    let mut bare = Bare::controller();
    bare.commit(begin_of_another());
    let late = Output::LeaderIs { leader: Some(BrokerId(1)), epoch: ControllerEpoch(1) };
    bare.step(Event::Quorum(late));
    assert_eq!(bare.view.expect("published").controller, Some(BrokerId(2)));
}

#[test]
fn a_node_without_a_controller_does_not_ask_to_be_woken_at_once() {
    let mut bare = Bare::new(3);
    bare.step(Event::Quorum(Output::LeaderIs { leader: None, epoch: ControllerEpoch(1) }));
    bare.step(Event::Tick);
    assert!(bare.node.next_wake().is_none_or(|wake| NOW.tick < wake), "{:?}", bare.node.next_wake());
}

fn produce_one(name: &str) -> Request {
    let mut builder = BatchBuilder::default();
    builder.append(Timestamp(1), None, Some(b"value"), &[]);
    let records = Some(Records::Bytes(builder.finish(&Seal::default())));
    let data = produce::PartitionProduceData { index: 0, records, ..Default::default() };
    let topic =
        produce::TopicProduceData { name: name.into(), partition_data: vec![data], ..Default::default() };
    Request::Produce(ProduceRequest {
        transactional_id: None,
        acks: 1,
        timeout_ms: 1000,
        topic_data: vec![topic],
        ..Default::default()
    })
}

#[test]
fn a_restarted_broker_does_not_lead_under_the_epochs_of_its_former_life() {
    let mut first_life = Bare::controller();
    let topic =
        CreatableTopic { name: "t".into(), num_partitions: 1, replication_factor: 1, ..Default::default() };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 1000, ..Default::default() };
    first_life.send(Request::CreateTopics(request), 5);
    first_life.settle();
    let taken = first_life.send(produce_one("t"), 9);
    first_life.settle();
    let Some(Response::Produce(answer)) = first_life.answer(taken) else { panic!("no answer") };
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);

    // What the metadata say of the broker was decided for its former life: records of that epoch may be gone here and be elsewhere.
    let mut second_life = Bare::new(33);
    for entry in first_life.entries {
        second_life.commit(entry);
    }
    second_life.step(Event::Quorum(Output::LeaderIs { leader: None, epoch: ControllerEpoch(1) }));
    second_life.settle();
    let asked = second_life.send(produce_one("t"), 9);
    second_life.settle();
    let Some(Response::Produce(answer)) = second_life.answer(asked) else { panic!("no answer") };
    let code = answer.responses[0].partition_responses[0].error_code;
    assert_eq!(code, ErrorCode::NotLeaderOrFollower.code());
}

/// A broker that led the quorum without being its controller yet heard of the next leader first, and then that it leads no longer: nothing reminded it of
/// its signs of life any more (seed 400 of the simulator).
#[test]
fn a_leader_that_hears_late_of_its_end_gives_signs_of_life_to_the_next_one() {
    let mut bare = Bare::new(1);
    let next = BrokerId(2);
    bare.step(Event::Quorum(Output::Leader { epoch: ControllerEpoch(1) }));
    bare.step(Event::Quorum(Output::LeaderIs { leader: Some(next), epoch: ControllerEpoch(2) }));
    bare.step(Event::Tick);
    let mut effects = Vec::new();
    bare.node.step(NOW, Event::Quorum(Output::NoLongerLeader), &mut effects);
    bare.node.step(NOW, Event::Tick, &mut effects);
    let registers = |effect: &Effect| matches!(effect, Effect::Send { to, request: Request::BrokerRegistration(_), .. } if *to == next);
    assert!(effects.iter().any(registers), "{effects:?}");
}
