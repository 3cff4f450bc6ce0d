//! Clients as small machines: they ask, retry, and tell the checker what they were told.

use std::collections::BTreeMap;

use klamm_model::{ErrorCode, TopicId};
use klamm_node::PeerFailure;
use klamm_wire::{MetadataRequest, MetadataResponse, Request, Response, metadata::MetadataRequestTopic};

use crate::{
    NODE_COUNT,
    check::Checker,
    network::{Network, Party, Question},
    timeline::{Happening, Life, MS, SECOND, Timeline},
};

pub mod admin;
pub mod consumer;
pub mod producer;

pub use admin::Admin;
pub use consumer::Consumer;
pub use producer::Producer;

/// A topic of a run.
#[derive(Clone, Debug)]
pub struct TopicPlan {
    /// Its name.
    pub name: String,
    /// How many partitions.
    pub partition_count: i32,
    /// How many replicas each has.
    pub replication_factor: i16,
    /// `min.insync.replicas`.
    pub min_isr: u32,
    /// When it is created.
    pub created_at: u64,
}

/// A partition as clients name it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    /// The topic's name.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
}

/// What a client has around it while it moves.
pub struct Scene<'a> {
    /// Time and dice.
    pub timeline: &'a mut Timeline,
    /// The way to the nodes.
    pub network: &'a mut Network,
    /// The processes that run.
    pub lives: &'a [Option<Life>; NODE_COUNT],
    /// Who is told what happened.
    pub checker: &'a mut Checker,
}

/// One client of any kind.
pub enum Client {
    /// Writes.
    Producer(Box<Producer>),
    /// Reads.
    Consumer(Box<Consumer>),
    /// Creates topics.
    Admin(Box<Admin>),
}

impl Client {
    /// It is time to look what there is to do.
    pub fn wake(&mut self, scene: &mut Scene<'_>) {
        let (number, pause) = match self {
            Self::Producer(it) => (it.asking.me, it.wake(scene)),
            Self::Consumer(it) => (it.asking.me, it.wake(scene)),
            Self::Admin(it) => (it.asking.me, it.wake(scene)),
        };
        scene.timeline.after(pause, Happening::ClientWakes { client: number });
    }

    /// A question has its end.
    pub fn answered(
        &mut self,
        scene: &mut Scene<'_>,
        server: usize,
        token: u64,
        answer: Result<Response, PeerFailure>,
    ) {
        match self {
            Self::Producer(it) => it.answered(scene, server, token, answer),
            Self::Consumer(it) => it.answered(scene, server, token, answer),
            Self::Admin(it) => it.answered(scene, token, answer),
        }
    }

    /// Nothing new is begun any more; what is under way is finished.
    pub fn calm_down(&mut self) {
        match self {
            Self::Producer(it) => it.is_producing = false,
            Self::Consumer(_) | Self::Admin(_) => {}
        }
    }

    /// Whether nothing is under way.
    pub fn is_done(&self) -> bool {
        match self {
            Self::Producer(it) => it.is_done(),
            Self::Consumer(_) => true,
            Self::Admin(it) => it.is_done(),
        }
    }

    /// What it still waits for, for a message.
    pub fn waits_for(&self) -> String {
        match self {
            Self::Producer(it) => it.waits_for(),
            Self::Consumer(_) => String::new(),
            Self::Admin(it) => it.waits_for(),
        }
    }
}

/// How a client asks: whom, and what it asked.
pub struct Asking<P> {
    /// The client's number.
    pub me: usize,
    next_token: u64,
    open: BTreeMap<u64, P>,
    patience: u64,
}

impl<P> Asking<P> {
    fn new(me: usize, patience: u64) -> Self {
        Self { me, next_token: 0, open: BTreeMap::new(), patience }
    }

    fn ask(
        &mut self,
        scene: &mut Scene<'_>,
        node: usize,
        request: &Request,
        version: i16,
        purpose: P,
    ) -> u64 {
        let token = self.next_token;
        self.next_token += 1;
        self.open.insert(token, purpose);
        let question = Question {
            caller: Party::Client(self.me),
            lane: 0,
            server: scene.lives[node],
            node,
            token,
            request,
            version,
            patience: self.patience,
        };
        scene.network.ask(&question, scene.timeline);
        token
    }

    fn take(&mut self, token: u64) -> P {
        self.open.remove(&token).expect("an answer to something that was asked")
    }
}

/// What a client knows of the cluster.
pub struct Metadata {
    topics: Vec<String>,
    leaders: BTreeMap<Place, Leader>,
    ids: BTreeMap<String, TopicId>,
    asked: bool,
    ask_at: u64,
}

/// Who leads a partition, as a client knows.
#[derive(Clone, Copy, Debug)]
pub struct Leader {
    /// The machine; `None` while nobody leads.
    pub node: Option<usize>,
    /// The epoch it leads under.
    pub epoch: i32,
}

impl Metadata {
    fn new(topics: Vec<String>) -> Self {
        Self { topics, leaders: BTreeMap::new(), ids: BTreeMap::new(), asked: false, ask_at: 0 }
    }

    /// Something was not as the metadata say.
    fn distrust(&mut self, now: u64) {
        self.ask_at = self.ask_at.min(now + 30 * MS);
    }

    fn leader(&self, place: &Place) -> Option<Leader> {
        self.leaders.get(place).copied()
    }

    fn places(&self) -> impl Iterator<Item = &Place> {
        self.leaders.keys()
    }

    fn name_of(&self, id: TopicId) -> Option<&String> {
        self.ids.iter().find(|(_, it)| **it == id).map(|(name, _)| name)
    }

    /// Whom to ask for what, if it is time.
    fn question(&mut self, timeline: &mut Timeline) -> Option<(usize, Request, i16)> {
        if self.asked || timeline.now() < self.ask_at {
            return None;
        }
        self.asked = true;
        let topics = self
            .topics
            .iter()
            .map(|name| MetadataRequestTopic { name: Some(name.clone()), ..Default::default() });
        let request = MetadataRequest { topics: Some(topics.collect()), ..Default::default() };
        let version = timeline.dice.between(10, 14) as i16;
        Some((timeline.dice.index(NODE_COUNT), Request::Metadata(request), version))
    }

    fn answered(&mut self, timeline: &mut Timeline, answer: Result<MetadataResponse, PeerFailure>) {
        self.asked = false;
        let pause = if answer.is_ok() { timeline.dice.between(300 * MS, SECOND) } else { 40 * MS };
        self.ask_at = timeline.now() + pause;
        for topic in answer.into_iter().flat_map(|response| response.topics) {
            // A topic that is not there yet is met in the next round.
            let (Some(name), 0) = (topic.name, topic.error_code) else { continue };
            self.ids.insert(name.clone(), topic.topic_id);
            for partition in topic.partitions {
                let place = Place { topic: name.clone(), partition: partition.partition_index };
                let node = usize::try_from(partition.leader_id).ok();
                if node.is_none() {
                    self.distrust(timeline.now());
                }
                self.learn(place, Leader { node, epoch: partition.leader_epoch });
            }
        }
    }

    /// Newer epochs only (KIP-320): a node that lags must not send anybody back to an old leader.
    fn learn(&mut self, place: Place, leader: Leader) {
        let known = self.leaders.entry(place).or_insert(leader);
        if known.epoch <= leader.epoch {
            *known = leader;
        }
    }
}

fn code(raw: i16) -> ErrorCode {
    ErrorCode::from_code(raw).unwrap_or_else(|| panic!("{raw} is no error code of Kafka"))
}
