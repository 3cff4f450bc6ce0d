//! Creates the topics of a run, whatever it takes, and operates the cluster.

use std::collections::BTreeMap;

use klamm_client::{CallError, CallId};
use klamm_model::ErrorCode;
use klamm_wire::{
    CreateTopicsRequest, Request, Response,
    create_topics::{CreatableTopic, CreatableTopicConfig},
};

use super::{
    Scene, TopicPlan, code,
    operator::{GROWING, Operator},
    pool::{Asker, News, Pool},
};
use crate::{
    dice::Dice,
    timeline::{MS, SECOND},
};

/// The key by which whoever lacks records may lead.
pub(crate) const UNCLEAN: &str = "unclean.leader.election.enable";

/// The operator's questions are numbered by themselves.
const ORDERS: u64 = 1 << 32;

/// See the module.
pub struct Admin {
    pub(super) pool: Pool,
    to_create: Vec<TopicPlan>,
    asked: BTreeMap<CallId, TopicPlan>,
    next_call: u64,
    operator: Operator,
}

impl Admin {
    /// With topics to create at their times.
    pub fn new(me: usize, topics: Vec<TopicPlan>, dice: &mut Dice) -> Self {
        let operator = Operator::new(topics.clone(), dice);
        let growing = TopicPlan {
            name: GROWING.into(),
            partition_count: 1,
            replication_factor: 3,
            min_isr: 1,
            is_relaxed: false,
            is_loose: false,
            is_throttled: false,
            created_at: SECOND,
        };
        let to_create = topics.into_iter().chain([growing]).collect();
        Self { pool: Pool::new(me, dice), to_create, asked: BTreeMap::new(), next_call: 0, operator }
    }

    /// Orders nothing more.
    pub(super) fn calm_down(&mut self) {
        self.operator.calm_down();
    }

    /// Whether every topic is there.
    pub fn is_done(&self) -> bool {
        self.to_create.is_empty() && self.asked.is_empty() && self.operator.is_done()
    }

    pub(super) fn waits_for(&self) -> String {
        format!("topics to create: {:?}, asked for: {}", self.to_create, self.asked.len())
    }

    pub(super) fn next_wake(&self) -> Option<u64> {
        self.to_create.iter().map(|plan| plan.created_at).chain(self.operator.next_wake()).min()
    }

    pub(super) fn wake(&mut self, scene: &mut Scene<'_>) {
        let now = scene.timeline.now();
        let due = |plan: &mut TopicPlan| plan.created_at <= now;
        for plan in self.to_create.extract_if(.., due).collect::<Vec<_>>() {
            let call = CallId(self.next_call);
            self.next_call += 1;
            let asked = (request(&plan), i16::MAX);
            self.pool.ask_any(asked, Some(Asker { generation: 0, call }), scene);
            self.asked.insert(call, plan);
        }
        self.operator.wake(ORDERS, &mut self.pool, scene);
    }

    pub(super) fn go_on(&mut self, scene: &mut Scene<'_>) {
        while let Some(News::Answer(Asker { call, .. }, answer)) = self.pool.next_news() {
            if !self.operator.answered(call, &answer, scene) {
                self.created(call, answer, scene);
            }
        }
    }

    fn created(&mut self, call: CallId, answer: Result<Response, CallError>, scene: &mut Scene<'_>) {
        let mut plan = self.asked.remove(&call).expect("an answer to something that was asked");
        let result = match answer {
            Ok(Response::CreateTopics(response)) => {
                let topic = response.topics.first().expect("one topic was asked for");
                code(topic.error_code)
            }
            Ok(other) => panic!("an answer of another kind: {other:?}"),
            Err(_) => ErrorCode::NetworkException,
        };
        match result {
            // An earlier attempt may have got through, or its answer got lost.
            ErrorCode::None | ErrorCode::TopicAlreadyExists => {
                scene.timeline.coverage.count("topic created");
                scene.checker.topic_created(&plan.name);
            }
            _ => {
                plan.created_at = scene.timeline.now() + scene.timeline.dice.between(20 * MS, 200 * MS);
                self.to_create.push(plan);
            }
        }
    }
}

pub(super) fn request(plan: &TopicPlan) -> Request {
    let config = |name: &str, value: String| CreatableTopicConfig {
        name: name.to_owned(),
        value: Some(value),
        ..Default::default()
    };
    let mut configs = vec![config("min.insync.replicas", plan.min_isr.to_string())];
    configs.extend(plan.is_relaxed.then(|| config("flush.messages", "100000".to_owned())));
    configs.extend(plan.is_loose.then(|| config(UNCLEAN, "true".to_owned())));
    for key in ["leader.replication.throttled.replicas", "follower.replication.throttled.replicas"] {
        configs.extend(plan.is_throttled.then(|| config(key, "*".to_owned())));
    }
    let topic = CreatableTopic {
        name: plan.name.to_string(),
        num_partitions: plan.partition_count,
        replication_factor: plan.replication_factor,
        configs,
        ..Default::default()
    };
    let topics = vec![topic];
    Request::CreateTopics(CreateTopicsRequest { topics, timeout_ms: 1000, ..Default::default() })
}
