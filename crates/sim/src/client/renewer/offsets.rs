//! The group of an application that makes its topic anew: it asks for what is committed, by the topic's id and by its name, and commits as somebody who is no member.

use klamm_client::{
    CallError,
    producer::{Question, coordinator_request},
};
use klamm_model::{BrokerId, ErrorCode, TopicId};
use klamm_wire::{
    ApiKey, OffsetCommitRequest, OffsetFetchRequest, Request, Response,
    offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic},
    offset_fetch::{OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponsePartitions},
};

use crate::{
    check::Checker,
    client::{Scene, code},
    dice::Dice,
    renewals::{Knowledge, NAME, Span, knowledge},
};

/// From these versions on a topic is told by its id.
pub(super) const BY_ID: &[(ApiKey, i16)] = &[(ApiKey::OffsetCommit, 10), (ApiKey::OffsetFetch, 10)];
/// The newest version of both that names it.
const BY_NAME: i16 = 9;

/// See the module.
pub(super) struct Offsets {
    me: usize,
    group: String,
    coordinator: Option<BrokerId>,
    /// It is being found out who that is.
    is_looked_for: bool,
    is_fetching: bool,
    next_offset: i64,
    /// The topic of which it is known where to begin: nothing is committed before that.
    begun: Option<TopicId>,
    /// It was looked up when nothing was committed any more.
    is_concluded: bool,
}

/// The topic as the application knows it.
pub(super) struct Topic {
    pub(super) id: Option<TopicId>,
    /// One that is gone.
    pub(super) gone: Option<TopicId>,
    pub(super) partition_count: i32,
    /// Whether it goes on being written to.
    pub(super) is_in_use: bool,
}

/// What was asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked {
    Find,
    Commit { offset: i64, by_id: Option<(TopicId, Knowledge)> },
    Fetch { at: u64, span: Span, by_id: Option<(TopicId, Knowledge)>, is_last: bool },
}

/// A question to the coordinator, or to any broker, and up to which version it says what is meant.
pub(super) struct Wish {
    pub(super) asked: Asked,
    pub(super) broker: Option<BrokerId>,
    pub(super) request: Request,
    pub(super) version_limit: i16,
}

/// A topic by its id, or by its name where there is none, and which that may be.
struct Meant {
    by_id: Option<(TopicId, Knowledge)>,
    span: Span,
}

impl Offsets {
    pub(super) fn new(me: usize, dice: &mut Dice) -> Self {
        // Names that are not all kept by one coordinator.
        let group = format!("readers {}", dice.below(4));
        Self {
            me,
            group,
            coordinator: None,
            is_looked_for: false,
            is_fetching: false,
            next_offset: 0,
            begun: None,
            is_concluded: false,
        }
    }

    pub(super) fn group(&self) -> &str {
        &self.group
    }

    pub(super) fn is_concluded(&self) -> bool {
        self.is_concluded
    }

    /// What it wants to know or to commit now.
    pub(super) fn act(&mut self, topic: &Topic, scene: &mut Scene<'_>) -> Vec<Wish> {
        let Some(broker) = self.coordinator else {
            let asks = !std::mem::replace(&mut self.is_looked_for, true);
            return asks.then(|| self.find()).into_iter().collect();
        };
        let mut wishes = Vec::new();
        let must_fetch = self.begun != topic.id || !topic.is_in_use;
        if !self.is_fetching && (must_fetch || scene.timeline.dice.chance(40)) {
            self.is_fetching = true;
            wishes.push(self.fetch(topic, broker, scene));
        }
        let may_commit = topic.is_in_use && topic.id.is_some() && self.begun == topic.id;
        if may_commit && scene.timeline.dice.chance(50) {
            wishes.push(self.commit(topic, broker, scene));
        }
        wishes
    }

    fn find(&self) -> Wish {
        let (request, version_limit) =
            coordinator_request("", Question::FindGroupCoordinator(self.group.clone()));
        Wish { asked: Asked::Find, broker: None, request, version_limit }
    }

    /// By the name, or by an id, at times of one that is gone.
    fn mean(topic: &Topic, broker: BrokerId, scene: &mut Scene<'_>) -> Meant {
        let replicas = &scene.checker.replicas;
        let node = broker.0 as usize;
        let is_named = scene.timeline.dice.chance(40);
        match topic.gone.or(topic.id).filter(|_| !is_named) {
            Some(id) => {
                Meant { by_id: Some((id, knowledge(replicas, node, id))), span: Span::of(replicas, id) }
            }
            None => Meant { by_id: None, span: Span::since(replicas, node) },
        }
    }

    fn fetch(&self, topic: &Topic, broker: BrokerId, scene: &mut Scene<'_>) -> Wish {
        let Meant { by_id, span } = Self::mean(topic, broker, scene);
        let partition_indexes = (0..topic.partition_count).collect();
        let (name, topic_id, version_limit) = named(by_id);
        let topics = Some(vec![OffsetFetchRequestTopics { name, topic_id, partition_indexes }]);
        let group = OffsetFetchRequestGroup { group_id: self.group.clone(), topics, ..Default::default() };
        let request = OffsetFetchRequest { groups: vec![group], ..Default::default() };
        let at = scene.timeline.now();
        let asked = Asked::Fetch { at, span, by_id, is_last: !topic.is_in_use };
        Wish { asked, broker: Some(broker), request: Request::OffsetFetch(request), version_limit }
    }

    fn commit(&mut self, topic: &Topic, broker: BrokerId, scene: &mut Scene<'_>) -> Wish {
        let Meant { by_id, span } = Self::mean(topic, broker, scene);
        let partition = scene.timeline.dice.index(topic.partition_count as usize) as i32;
        let offset = self.next_offset;
        self.next_offset += 1;
        scene.checker.renewals.offsets.sent(offset, partition, span);
        let (name, topic_id, version_limit) = named(by_id);
        let partitions = vec![OffsetCommitRequestPartition {
            partition_index: partition,
            committed_offset: offset,
            committed_leader_epoch: -1,
            ..Default::default()
        }];
        let request = OffsetCommitRequest {
            group_id: self.group.clone(),
            generation_id_or_member_epoch: -1,
            retention_time_ms: -1,
            topics: vec![OffsetCommitRequestTopic { name, topic_id, partitions }],
            ..Default::default()
        };
        let asked = Asked::Commit { offset, by_id };
        Wish { asked, broker: Some(broker), request: Request::OffsetCommit(request), version_limit }
    }

    /// What came of it; and of a topic that was named by its id, what is said of that.
    pub(super) fn hear(
        &mut self,
        asked: Asked,
        answer: Result<Response, CallError>,
        scene: &mut Scene<'_>,
    ) -> Option<(TopicId, Knowledge, ErrorCode)> {
        let (code, by_id) = match (asked, answer) {
            (Asked::Find, answer) => {
                self.is_looked_for = false;
                self.coordinator = match answer {
                    Ok(Response::FindCoordinator(it)) if it.error_code == 0 => Some(BrokerId(it.node_id)),
                    _ => None,
                };
                return None;
            }
            (Asked::Commit { offset, by_id }, Ok(Response::OffsetCommit(response))) => {
                let code = code(response.topics[0].partitions[0].error_code);
                self.committed(offset, code, scene);
                (code, by_id)
            }
            (Asked::Fetch { at, span, by_id, is_last }, Ok(Response::OffsetFetch(response)))
                if response.groups[0].error_code == 0 =>
            {
                self.is_fetching = false;
                let told = &response.groups[0].topics[0].partitions;
                let code = code(told[0].error_code);
                if code == ErrorCode::None {
                    self.fetched((at, span, is_last), told, scene);
                }
                (code, by_id)
            }
            (Asked::Commit { .. } | Asked::Fetch { .. }, _) => {
                self.is_fetching &= !matches!(asked, Asked::Fetch { .. });
                self.coordinator = None;
                return None;
            }
        };
        by_id.map(|(id, knew)| (id, knew, code))
    }

    fn committed(&mut self, offset: i64, code: ErrorCode, scene: &mut Scene<'_>) {
        match code {
            ErrorCode::None => {
                scene.timeline.coverage.count("renewed topic: offset committed");
                let now = scene.timeline.now();
                scene.checker.renewals.offsets.acked(offset, now, &scene.checker.replicas);
            }
            ErrorCode::UnknownTopicId | ErrorCode::UnknownTopicOrPartition => {}
            _ => self.coordinator = None,
        }
    }

    fn fetched(
        &mut self,
        (at, span, is_last): (u64, Span, bool),
        told: &[OffsetFetchResponsePartitions],
        scene: &mut Scene<'_>,
    ) {
        scene.timeline.coverage.count("renewed topic: offsets looked up");
        let Checker { renewals, replicas, findings, .. } = &mut *scene.checker;
        for it in told {
            let offset = Some(it.committed_offset).filter(|offset| 0 <= *offset);
            let place = (span, it.partition_index);
            renewals.offsets.fetched(self.me, place, (offset, at), replicas, findings);
        }
        if let Some(id) = span.topic(replicas) {
            self.begun = Some(id);
            self.is_concluded |= is_last;
        }
    }
}

/// How a topic is named, and up to which version.
fn named(by_id: Option<(TopicId, Knowledge)>) -> (String, TopicId, i16) {
    match by_id {
        Some((id, _)) => (String::new(), id, i16::MAX),
        None => (NAME.to_owned(), TopicId::ZERO, BY_NAME),
    }
}
