//! Clients: applications that use the machines of the client crate, and tell the checker what they were told.

use std::sync::Arc;

use klamm_model::ErrorCode;
use klamm_node::PeerFailure;
use klamm_wire::Response;

use crate::{
    NODE_COUNT,
    check::Checker,
    network::Network,
    timeline::{Happening, Life, Timeline},
};

pub mod admin;
pub mod consumer;
pub mod member;
mod operator;
mod pool;
pub mod producer;
pub mod renewer;
pub mod teller;

pub use admin::Admin;
pub(crate) use admin::UNCLEAN;
pub use consumer::Consumer;
pub use member::{GroupPlan, Member};
pub use producer::Producer;
pub use renewer::Renewer;
pub use teller::Teller;

use pool::Pool;

/// What clients do wrong on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ClientSabotage {
    /// Nothing.
    #[default]
    Nothing,
    /// A batch that is sent again has no number.
    ForgetsNumberAtRetry,
    /// A batch that is sent again gets the number behind all others.
    NewNumberAtRetry,
    /// No batch has a number, with several under way.
    NumbersNothing,
    /// The outcome of a batch is told twice.
    TellsTwice,
    /// Some outcomes are not told.
    ForgetsOutcomes,
    /// The machine does not hear of questions that have no answer.
    LosesFailures,
    /// The bytes of a batch that has its end still count.
    KeepsBytes,
    /// After a connection broke, the first batch of an answer is passed over.
    SkipsAfterReset,
    /// Some batches are handed out twice.
    HandsOutTwice,
}

/// A topic of a run.
#[derive(Clone, Debug)]
pub struct TopicPlan {
    /// Its name.
    pub name: Arc<str>,
    /// How many partitions.
    pub partition_count: i32,
    /// How many replicas each has.
    pub replication_factor: i16,
    /// `min.insync.replicas`.
    pub min_isr: u32,
    /// Nobody waits for the disk: `flush.messages` is large.
    pub is_relaxed: bool,
    /// Who lacks records may lead where nobody else can: `unclean.leader.election.enable`. What is acknowledged may be lost.
    pub is_loose: bool,
    /// Its replicas are held back while they catch up.
    pub is_throttled: bool,
    /// When it is created.
    pub created_at: u64,
}

/// A partition as clients name it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    /// The topic's name.
    pub topic: Arc<str>,
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

/// One client, and when it is to look what there is to do.
pub struct Client {
    number: usize,
    kind: Kind,
    wakes_at: Option<u64>,
}

/// What it does.
pub enum Kind {
    /// Writes.
    Producer(Box<Producer>),
    /// Writes in transactions.
    Teller(Box<Teller>),
    /// Reads.
    Consumer(Box<Consumer>),
    /// Reads as one of a group.
    Member(Box<Member>),
    /// Creates topics, and operates the cluster.
    Admin(Box<Admin>),
    /// Deletes its topic and makes it anew.
    Renewer(Box<Renewer>),
}

impl Client {
    /// One that has not begun.
    pub fn new(number: usize, kind: Kind) -> Self {
        Self { number, kind, wakes_at: None }
    }

    /// It begins.
    pub fn start(&mut self, timeline: &mut Timeline) {
        self.plan_wake(Some(timeline.now()), timeline);
    }

    /// It is time to look what there is to do, if the client still means this moment.
    pub fn wake(&mut self, scene: &mut Scene<'_>) {
        if self.wakes_at.take_if(|at| *at <= scene.timeline.now()).is_none() {
            return;
        }
        match &mut self.kind {
            Kind::Producer(it) => it.wake(scene),
            Kind::Teller(it) => it.wake(scene),
            Kind::Consumer(it) => it.wake(scene),
            Kind::Member(it) => it.wake(scene),
            Kind::Admin(it) => it.wake(scene),
            Kind::Renewer(it) => it.wake(scene),
        }
        self.go_on(scene);
        self.plan_wake(self.next_wake(), scene.timeline);
    }

    /// A question has its end.
    pub fn answered(
        &mut self,
        scene: &mut Scene<'_>,
        server: usize,
        token: u64,
        answer: Result<Response, PeerFailure>,
    ) {
        self.pool().answered(server, token, answer, scene);
        self.go_on(scene);
        self.plan_wake(self.next_wake(), scene.timeline);
    }

    /// Its connections.
    fn pool(&mut self) -> &mut Pool {
        match &mut self.kind {
            Kind::Producer(it) => &mut it.pool,
            Kind::Teller(it) => &mut it.pool,
            Kind::Consumer(it) => &mut it.pool,
            Kind::Member(it) => &mut it.pool,
            Kind::Admin(it) => &mut it.pool,
            Kind::Renewer(it) => &mut it.pool,
        }
    }

    /// It does what follows from its news, and from what it wants.
    fn go_on(&mut self, scene: &mut Scene<'_>) {
        match &mut self.kind {
            Kind::Producer(it) => it.go_on(scene),
            Kind::Teller(it) => it.go_on(scene),
            Kind::Consumer(it) => it.go_on(scene),
            Kind::Member(it) => it.go_on(scene),
            Kind::Admin(it) => it.go_on(scene),
            Kind::Renewer(it) => it.go_on(scene),
        }
    }

    fn next_wake(&self) -> Option<u64> {
        match &self.kind {
            Kind::Producer(it) => it.next_wake(),
            Kind::Teller(it) => it.next_wake(),
            Kind::Consumer(it) => it.next_wake(),
            Kind::Member(it) => it.next_wake(),
            Kind::Admin(it) => it.next_wake(),
            Kind::Renewer(it) => it.next_wake(),
        }
    }

    fn plan_wake(&mut self, wanted: Option<u64>, timeline: &mut Timeline) {
        let Some(wanted) = wanted.map(|at| at.max(timeline.now())) else { return };
        if self.wakes_at.is_none_or(|planned| wanted < planned) {
            self.wakes_at = Some(wanted);
            timeline.at(wanted, Happening::ClientWakes { client: self.number });
        }
    }

    /// Nothing new is begun any more; what is under way is finished.
    pub fn calm_down(&mut self, timeline: &mut Timeline) {
        match &mut self.kind {
            Kind::Producer(it) => it.calm_down(),
            Kind::Teller(it) => it.calm_down(),
            Kind::Consumer(it) => it.calm_down(),
            Kind::Member(it) => it.calm_down(),
            Kind::Renewer(it) => it.calm_down(),
            Kind::Admin(it) => it.calm_down(),
        }
        self.plan_wake(Some(timeline.now()), timeline);
    }

    /// What it still waits for, if it does.
    pub fn waits_for(&self) -> Option<String> {
        match &self.kind {
            Kind::Producer(it) if !it.is_done() => Some(it.waits_for()),
            Kind::Teller(it) if !it.is_done() => Some(it.waits_for()),
            Kind::Admin(it) if !it.is_done() => Some(it.waits_for()),
            Kind::Renewer(it) if !it.is_done() => Some(it.waits_for()),
            Kind::Member(it) => it.waits_for(),
            _ => None,
        }
    }

    /// The client as one that reads.
    pub fn as_consumer(&self) -> Option<&Consumer> {
        match &self.kind {
            Kind::Consumer(it) => Some(it),
            _ => None,
        }
    }

    /// The client as one that makes its topic anew.
    pub fn as_renewer(&self) -> Option<&Renewer> {
        match &self.kind {
            Kind::Renewer(it) => Some(it),
            _ => None,
        }
    }

    /// One that makes its topic anew does it now.
    pub fn hurry(&mut self, timeline: &mut Timeline) {
        if let Kind::Renewer(it) = &mut self.kind {
            it.hurry(timeline.now());
            self.plan_wake(Some(timeline.now()), timeline);
        }
    }

    /// The client as a member of a group.
    pub fn as_member(&self) -> Option<&Member> {
        match &self.kind {
            Kind::Member(it) => Some(it),
            _ => None,
        }
    }
}

fn code(raw: i16) -> ErrorCode {
    ErrorCode::from_code(raw).unwrap_or_else(|| panic!("{raw} is no error code of Kafka"))
}
