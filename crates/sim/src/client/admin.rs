//! Creates the topics of a run, whatever it takes.

use klamm_model::ErrorCode;
use klamm_node::PeerFailure;
use klamm_wire::{
    CreateTopicsRequest, Request, Response,
    create_topics::{CreatableTopic, CreatableTopicConfig},
};

use super::{Asking, Scene, TopicPlan, code};
use crate::{NODE_COUNT, timeline::MS};

/// See the module.
pub struct Admin {
    /// What it asked.
    pub asking: Asking<TopicPlan>,
    to_create: Vec<TopicPlan>,
}

impl Admin {
    /// With topics to create at their times.
    pub fn new(me: usize, topics: Vec<TopicPlan>) -> Self {
        Self { asking: Asking::new(me, 2000 * MS), to_create: topics }
    }

    /// Whether every topic is there.
    pub fn is_done(&self) -> bool {
        self.to_create.is_empty() && self.asking.open.is_empty()
    }

    pub(super) fn waits_for(&self) -> String {
        format!("topics to create: {:?}, asked for: {}", self.to_create, self.asking.open.len())
    }

    pub(super) fn wake(&mut self, scene: &mut Scene<'_>) -> u64 {
        let now = scene.timeline.now();
        let due = |plan: &mut TopicPlan| plan.created_at <= now;
        for plan in self.to_create.extract_if(.., due).collect::<Vec<_>>() {
            let node = scene.timeline.dice.index(NODE_COUNT);
            let version = scene.timeline.dice.between(5, 8) as i16;
            let request = Request::CreateTopics(request(&plan));
            self.asking.ask(scene, node, &request, version, plan);
        }
        20 * MS
    }

    pub(super) fn answered(
        &mut self,
        scene: &mut Scene<'_>,
        token: u64,
        answer: Result<Response, PeerFailure>,
    ) {
        let mut plan = self.asking.take(token);
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

fn request(plan: &TopicPlan) -> CreateTopicsRequest {
    let config = |name: &str, value: String| CreatableTopicConfig {
        name: name.to_owned(),
        value: Some(value),
        ..Default::default()
    };
    let topic = CreatableTopic {
        name: plan.name.clone(),
        num_partitions: plan.partition_count,
        replication_factor: plan.replication_factor,
        configs: vec![config("min.insync.replicas", plan.min_isr.to_string())],
        ..Default::default()
    };
    CreateTopicsRequest { topics: vec![topic], timeout_ms: 1000, ..Default::default() }
}
