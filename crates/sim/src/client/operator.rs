//! An operator: alters configs, makes partitions, has leaders elected and moves replicas about, whatever else happens (F43).
//!
//! Each order is given once, to one broker. Where there is no answer, or one that is no success, nobody knows what becomes of it.
//!
//! When all is calm it does what nobody else may: it has somebody lead where all who had everything for certain have lost it, and others have records (docs/decisions/0006).

use std::{collections::BTreeMap, sync::Arc};

use klamm_client::{CallError, CallId};
use klamm_cluster::image::Partition;
use klamm_model::{BrokerId, ErrorCode, TopicPartition};
use klamm_wire::{
    AlterPartitionReassignmentsRequest, CreatePartitionsRequest, ElectLeadersRequest,
    IncrementalAlterConfigsRequest, Request, Response,
    alter_partition_reassignments::{ReassignablePartition, ReassignableTopic},
    create_partitions::CreatePartitionsTopic,
    elect_leaders::TopicPartitions,
    incremental_alter_configs::{AlterConfigsResource, AlterableConfig},
};

use super::{
    Place, Scene, TopicPlan, code,
    pool::{Ask, Asker, Pool, Purpose},
};
use crate::{
    BROKER_COUNT, broker_id,
    dice::Dice,
    orders::{self, ALTERED, Subject, Value},
    timeline::{MS, SECOND, Timeline},
};

/// The topic that gets more and more partitions. Nobody writes to it.
pub(super) const GROWING: &str = "growing";
/// How many it has in the end, at most.
const PARTITIONS_MAX: usize = 6;
/// How long an answer is waited for.
const PATIENCE_MS: u64 = 1500;
/// The kind of a config's resource that is a topic.
const TOPIC: i8 = 2;
/// Of ten kinds of orders, from this one on they are about where replicas are.
const MOVES: u64 = 6;

/// What comes back by itself does so sooner once all are there.
const DECIDES_AFTER: u64 = 4 * SECOND;
/// Of an election: the preferred replica leads, or any.
const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

/// See the module.
pub(super) struct Operator {
    topics: Vec<TopicPlan>,
    is_working: bool,
    is_calm: bool,
    /// Since when nobody leads these, and nobody will by itself.
    undecided: BTreeMap<TopicPartition, u64>,
    acts_at: u64,
    asked: Option<(CallId, Order)>,
    /// It has just had replicas moved, and may call that off: most moves are over long before its next order.
    regrets: bool,
    count: u64,
}

#[derive(Clone, Debug)]
enum Order {
    /// Something is to be so.
    Make(Subject, Value),
    /// Replicas are to stay where they were before they began to move.
    CallOff(Subject),
    /// The preferred replica is to lead.
    Elect,
    /// Whoever is there is to lead.
    Decide,
}

impl Operator {
    /// Of a run with these topics.
    pub(super) fn new(topics: Vec<TopicPlan>, dice: &mut Dice) -> Self {
        let is_working = dice.chance(60);
        let acts_at = dice.between(2 * SECOND, 5 * SECOND);
        let (is_calm, undecided) = (false, BTreeMap::new());
        Self { topics, is_working, is_calm, undecided, acts_at, asked: None, regrets: false, count: 0 }
    }

    /// Gives no more orders but those that are needed.
    pub(super) fn calm_down(&mut self) {
        (self.is_working, self.is_calm) = (false, true);
    }

    /// Whether every order has its end.
    pub(super) fn is_done(&self) -> bool {
        self.asked.is_none()
    }

    pub(super) fn next_wake(&self) -> Option<u64> {
        ((self.is_working || self.is_calm) && self.is_done()).then_some(self.acts_at)
    }

    /// Gives an order, if it is time. Their numbers begin with `first`.
    pub(super) fn wake(&mut self, first: u64, pool: &mut Pool, scene: &mut Scene<'_>) {
        if self.next_wake().is_none_or(|at| scene.timeline.now() < at) {
            return;
        }
        let drawn = if self.is_calm {
            self.acts_at = scene.timeline.now() + SECOND;
            self.decide(scene)
        } else {
            self.acts_at = scene.timeline.now() + scene.timeline.dice.between(300 * MS, 3 * SECOND);
            self.draw(scene)
        };
        let Some((order, request)) = drawn else { return };
        scene.timeline.note(format_args!("the operator orders {order:?}"));
        if let Order::Make(subject, _) | Order::CallOff(subject) = &order {
            let image = scene.checker.replicas.newest_image();
            scene.checker.orders.given(subject, &image);
        }
        self.count += 1;
        let call = CallId(first + self.count);
        self.asked = Some((call, order));
        let purpose = Purpose::Machine(Asker { generation: 0, call });
        let ask = Ask { request, version_limit: i16::MAX, timeout_ms: PATIENCE_MS, purpose };
        let node = scene.timeline.dice.index(BROKER_COUNT);
        pool.ask_node(node, ask, scene);
    }

    fn decide(&mut self, scene: &mut Scene<'_>) -> Option<(Order, Request)> {
        let (image, now) = (scene.checker.replicas.newest_image(), scene.timeline.now());
        let are_back = image.brokers().filter(|it| it.is_active()).count() == BROKER_COUNT;
        let is_lost = |it: &Partition| are_back && it.has_no_heir() && it.last_known_elr.len() != 1;
        self.undecided.retain(|key, _| image.partition(*key).is_some_and(|it| is_lost(it)));
        for (key, _) in image.partitions().filter(|(_, it)| is_lost(it)) {
            self.undecided.entry(key).or_insert(now);
        }
        let key = *self.undecided.iter().find(|(_, since)| **since + DECIDES_AFTER <= now)?.0;
        self.undecided.insert(key, now);
        scene.checker.replicas.is_decided_on(key);
        let topic = image.topic(key.topic)?.name.clone();
        Some((Order::Decide, elected(&Place { topic, partition: key.partition.0 }, UNCLEAN)))
    }

    fn draw(&mut self, scene: &mut Scene<'_>) -> Option<(Order, Request)> {
        let image = scene.checker.replicas.newest_image();
        let dice = &mut scene.timeline.dice;
        let kind = dice.below(10);
        let kind = if std::mem::take(&mut self.regrets) { MOVES } else { kind };
        if kind < 2 {
            let topic = self.topics[dice.index(self.topics.len())].name.clone();
            let value = 1_000_000 + self.count;
            return Some((Order::Make(Subject::Config(topic.clone()), vec![value]), altered(&topic, value)));
        }
        if kind < 4 {
            let count = image.topic_named(GROWING)?.partitions.len() + 1;
            let order = Order::Make(Subject::Count(GROWING.into()), vec![count as u64]);
            return (count <= PARTITIONS_MAX).then(|| (order, grown(count)));
        }
        // Those of coordinators too.
        let topics: Vec<_> = image
            .topics()
            .filter(|it| it.name.starts_with("__") || self.topics.iter().any(|plan| plan.name == it.name))
            .collect();
        if topics.is_empty() {
            return None;
        }
        let all =
            topics.iter().flat_map(|topic| (0..topic.partitions.len()).map(move |index| (topic, index)));
        let all: Vec<_> = all.collect();
        let moving = all.iter().find(|(topic, index)| topic.partitions[*index].is_reassigning());
        // Those that move are few, and soon there.
        let (topic, index) = match moving {
            Some(moving) if MOVES <= kind && dice.chance(70) => *moving,
            _ => all[dice.index(all.len())],
        };
        let place = Place { topic: topic.name.clone(), partition: index as i32 };
        if kind < MOVES {
            return Some((Order::Elect, elected(&place, PREFERRED)));
        }
        let subject = Subject::Replicas(place.clone());
        if topic.partitions[index].is_reassigning() && dice.chance(80) {
            return Some((Order::CallOff(subject), moved(&place, None)));
        }
        // As many as before, or one more or less.
        let count = topic.partitions[index].replicas.len();
        let count = if dice.chance(70) { count } else { dice.between(count.max(2) as u64 - 1, 4) as usize };
        // What nobody waits for the disk with wants all nodes, see `draw_topics`.
        let is_relaxed = self.topics.iter().any(|plan| plan.is_relaxed && plan.name == topic.name);
        let to = some_brokers(if is_relaxed { BROKER_COUNT } else { count.clamp(1, BROKER_COUNT) }, dice);
        Some((Order::Make(subject, orders::replicas(&to)), moved(&place, Some(&to))))
    }

    /// An order has its end. `false`: it is another's.
    pub(super) fn answered(
        &mut self,
        call: CallId,
        answer: &Result<Response, CallError>,
        scene: &mut Scene<'_>,
    ) -> bool {
        let Some((_, order)) = self.asked.take_if(|(asked, _)| *asked == call) else { return false };
        let code = answer.as_ref().map_or(ErrorCode::NetworkException, told);
        scene.timeline.note(format_args!("the operator is told {code} of {order:?}"));
        let image = scene.checker.replicas.newest_image();
        let checker = &mut *scene.checker;
        let now = scene.timeline.now();
        let Timeline { coverage, dice, .. } = &mut *scene.timeline;
        match order {
            Order::Elect if code == ErrorCode::None => coverage.count("operator: preferred leader elected"),
            Order::Decide if code == ErrorCode::None => {
                coverage.count("operator: somebody leads with what is left")
            }
            Order::Elect | Order::Decide => {}
            Order::Make(subject, value) if code == ErrorCode::None => {
                coverage.count(match subject {
                    Subject::Config(_) => "operator: config altered",
                    Subject::Count(_) => "operator: partitions made",
                    Subject::Replicas(_) => "operator: replicas on their way",
                });
                if subject.is_moving(&image) && dice.chance(30) {
                    self.regrets = true;
                    self.acts_at = now + dice.below(20 * MS);
                }
                checker.orders.acknowledged(&subject, value, &image, &mut checker.findings);
            }
            Order::Make(subject, value) => {
                coverage.count("operator: nobody knows what becomes of an order");
                checker.orders.doubted(&subject, value);
            }
            Order::CallOff(subject) => {
                if code == ErrorCode::None {
                    coverage.count("operator: move called off");
                }
                checker.orders.called_off(&subject);
            }
        }
        true
    }
}

/// The one thing that was asked for.
fn told(answer: &Response) -> ErrorCode {
    match answer {
        Response::IncrementalAlterConfigs(it) => code(it.responses[0].error_code),
        Response::CreatePartitions(it) => code(it.results[0].error_code),
        Response::ElectLeaders(it) => {
            let of_partition =
                it.replica_election_results.first().and_then(|topic| topic.partition_result.first());
            code(of_partition.map_or(it.error_code, |it| it.error_code))
        }
        Response::AlterPartitionReassignments(it) => {
            let of_partition = it.responses.first().and_then(|topic| topic.partitions.first());
            code(of_partition.map_or(it.error_code, |it| it.error_code))
        }
        other => panic!("an answer of another kind: {other:?}"),
    }
}

fn some_brokers(count: usize, dice: &mut Dice) -> Vec<BrokerId> {
    let mut left: Vec<BrokerId> = (0..BROKER_COUNT).map(broker_id).collect();
    (0..count).map(|_| left.remove(dice.index(left.len()))).collect()
}

fn altered(topic: &Arc<str>, value: u64) -> Request {
    let config = AlterableConfig {
        name: ALTERED.to_owned(),
        config_operation: 0,
        value: Some(value.to_string()),
        ..AlterableConfig::default()
    };
    let resource = AlterConfigsResource {
        resource_type: TOPIC,
        resource_name: topic.to_string(),
        configs: vec![config],
        ..AlterConfigsResource::default()
    };
    Request::IncrementalAlterConfigs(IncrementalAlterConfigsRequest {
        resources: vec![resource],
        ..IncrementalAlterConfigsRequest::default()
    })
}

fn grown(count: usize) -> Request {
    let topic = CreatePartitionsTopic {
        name: GROWING.to_owned(),
        count: count as i32,
        assignments: None,
        ..CreatePartitionsTopic::default()
    };
    Request::CreatePartitions(CreatePartitionsRequest {
        topics: vec![topic],
        timeout_ms: 1000,
        ..CreatePartitionsRequest::default()
    })
}

fn elected(place: &Place, election_type: i8) -> Request {
    let topic = TopicPartitions {
        topic: place.topic.to_string(),
        partitions: vec![place.partition],
        ..TopicPartitions::default()
    };
    Request::ElectLeaders(ElectLeadersRequest {
        election_type,
        topic_partitions: Some(vec![topic]),
        timeout_ms: 1000,
        ..ElectLeadersRequest::default()
    })
}

fn moved(place: &Place, to: Option<&[BrokerId]>) -> Request {
    let partition = ReassignablePartition {
        partition_index: place.partition,
        replicas: to.map(|to| to.iter().map(|id| id.0).collect()),
        ..ReassignablePartition::default()
    };
    let topic = ReassignableTopic {
        name: place.topic.to_string(),
        partitions: vec![partition],
        ..ReassignableTopic::default()
    };
    Request::AlterPartitionReassignments(AlterPartitionReassignmentsRequest {
        timeout_ms: 1000,
        topics: vec![topic],
        ..AlterPartitionReassignmentsRequest::default()
    })
}
