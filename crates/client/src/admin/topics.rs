//! Topics: make them, look at them, let them grow, delete them.

use std::collections::BTreeMap;
use std::slice;
use std::sync::Arc;

use klamm_model::{BrokerId, ErrorCode, TopicId};
use klamm_wire::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, DescribeTopicPartitionsRequest,
    Request,
    create_partitions::{CreatePartitionsAssignment, CreatePartitionsTopic},
    create_topics::{CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig},
    delete_topics::DeleteTopicState,
    describe_topic_partitions::{DescribeTopicPartitionsResponsePartition, RequestCursor, TopicRequest},
};

use super::ask::{ByItem, Whom, answer};
use super::error::{AdminError, Failure, check};
use super::{Admin, Change};
use crate::call::CallError;
use crate::metadata::{Cluster, Topic};

/// Partitions asked for at once; brokers may give fewer.
const PARTITIONS_AT_ONCE: i32 = 2_000;
/// No cluster has a million partitions, which is what comes in so many answers.
const ANSWERS_MAX: usize = 500;

/// A topic to be made.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; `None` leaves it to the broker.
    pub partition_count: Option<i32>,
    /// How many copies of each; `None` leaves it to the broker.
    pub replication_factor: Option<i16>,
    /// Who holds each partition, the preferred leader first. Where this is said, the two numbers are not.
    pub assignments: Vec<Vec<BrokerId>>,
    /// Settings that differ from the broker's.
    pub configs: Vec<(String, String)>,
}

/// A topic as it was made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreatedTopic {
    /// Its identity, zero if the broker does not say.
    pub id: TopicId,
    /// How many partitions it got, if the broker says.
    pub partition_count: Option<i32>,
    /// How many copies of each, if the broker says.
    pub replication_factor: Option<i16>,
}

/// A topic with what only DescribeTopicPartitions tells (KIP-966).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DescribedTopic {
    /// Its identity.
    pub id: TopicId,
    /// Why it can't be described, else [`ErrorCode::None`].
    pub error: ErrorCode,
    /// Whether the cluster itself owns it.
    pub is_internal: bool,
    /// By number.
    pub partitions: BTreeMap<i32, DescribedPartition>,
}

/// A partition with what only DescribeTopicPartitions tells (KIP-966).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DescribedPartition {
    /// Who takes writes now.
    pub leader: Option<BrokerId>,
    /// Which leader that is.
    pub leader_epoch: i32,
    /// Who holds a copy.
    pub replicas: Vec<BrokerId>,
    /// Who holds everything that is committed.
    pub in_sync: Vec<BrokerId>,
    /// Who is not there.
    pub offline: Vec<BrokerId>,
    /// Who is not in sync and may lead all the same without losing a record.
    pub eligible_leaders: Vec<BrokerId>,
    /// Who was the last to be eligible, where nobody is.
    pub last_known_eligible: Vec<BrokerId>,
}

impl Admin {
    /// Makes a topic.
    pub async fn create_topic(&self, topic: &NewTopic, change: Change) -> Result<CreatedTopic, AdminError> {
        let mut outcomes = self.create_topics(slice::from_ref(topic), change).await?;
        outcomes.remove(&topic.name).expect("every topic has an outcome")
    }

    /// Makes topics at once.
    pub async fn create_topics(
        &self,
        topics: &[NewTopic],
        change: Change,
    ) -> Result<ByItem<String, CreatedTopic>, AdminError> {
        let request = Request::CreateTopics(CreateTopicsRequest {
            topics: topics.iter().map(creatable).collect(),
            timeout_ms: self.change_timeout_ms(),
            validate_only: change == Change::Check,
        });
        let read = |response| {
            let results = answer!(response, CreateTopics).topics.into_iter().map(|result| {
                let created = CreatedTopic {
                    id: result.topic_id,
                    partition_count: (result.num_partitions > 0).then_some(result.num_partitions),
                    replication_factor: (result.replication_factor > 0).then_some(result.replication_factor),
                };
                (result.name, check(result.error_code, result.error_message).map(|()| created))
            });
            Ok(results.collect())
        };
        let names = topics.iter().map(|topic| topic.name.clone());
        self.ask_about(Whom::Controller, "topics", names, &request, read).await
    }

    /// Gives a topic more partitions, so that it has `partition_count`. Keys go to other partitions from then on.
    pub async fn create_partitions(
        &self,
        topic: &str,
        partition_count: i32,
        change: Change,
    ) -> Result<(), AdminError> {
        self.create_partitions_on(topic, partition_count, &[], change).await
    }

    /// The same, where each of the new partitions is held by these brokers, the preferred leader first. Where none is named, the cluster
    /// chooses.
    pub async fn create_partitions_on(
        &self,
        topic: &str,
        partition_count: i32,
        assignments: &[Vec<BrokerId>],
        change: Change,
    ) -> Result<(), AdminError> {
        let assigned =
            assignments.iter().map(|held_by| CreatePartitionsAssignment { broker_ids: numbers(held_by) });
        let request = Request::CreatePartitions(CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic {
                name: topic.to_owned(),
                count: partition_count,
                assignments: (!assignments.is_empty()).then(|| assigned.collect()),
            }],
            timeout_ms: self.change_timeout_ms(),
            validate_only: change == Change::Check,
        });
        let read = |response| {
            let result = answer!(response, CreatePartitions).results.pop().ok_or_else(Failure::silent)?;
            check(result.error_code, result.error_message)
        };
        self.ask(Whom::Controller, &request, read).await.map_err(|failure| failure.about(topic))?;
        self.client.refresh_metadata();
        Ok(())
    }

    /// Deletes a topic with all its records.
    pub async fn delete_topic(&self, name: &str) -> Result<(), AdminError> {
        let mut outcomes = self.delete_topics(&[name]).await?;
        outcomes.remove(name).expect("every topic has an outcome")
    }

    /// Deletes topics at once, with all their records.
    pub async fn delete_topics(&self, names: &[&str]) -> Result<ByItem<String, ()>, AdminError> {
        let timeout_ms = self.change_timeout_ms();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let topics =
            names.iter().map(|name| DeleteTopicState { name: Some(name.clone()), topic_id: TopicId::ZERO });
        let by_name_or_id = Request::DeleteTopics(DeleteTopicsRequest {
            topics: topics.collect(),
            topic_names: Vec::new(),
            timeout_ms,
        });
        let by_name = Request::DeleteTopics(DeleteTopicsRequest {
            topics: Vec::new(),
            topic_names: names.clone(),
            timeout_ms,
        });
        let read = |response| {
            let results = answer!(response, DeleteTopics)
                .responses
                .into_iter()
                .filter_map(|result| Some((result.name?, check(result.error_code, result.error_message))));
            Ok(results.collect())
        };
        let ask = async |request| {
            self.ask_about(Whom::Controller, "topics", names.iter().cloned(), request, read).await
        };
        let outcomes = match ask(&by_name_or_id).await {
            // Brokers before 2.8 know topics by their names only, which travel elsewhere in the request.
            Err(AdminError::Call(CallError::Unencodable { .. })) => ask(&by_name).await,
            outcomes => outcomes,
        };
        names.iter().for_each(|name| self.client.forget_topic(name));
        outcomes
    }

    /// Deletes topics at once by their ids, so that what was made anew under the same name meanwhile stays. Brokers know ids since Kafka 2.8
    /// (KIP-516).
    pub async fn delete_topics_by_id(&self, ids: &[TopicId]) -> Result<ByItem<TopicId, ()>, AdminError> {
        let topics = ids.iter().map(|&topic_id| DeleteTopicState { name: None, topic_id });
        let request = Request::DeleteTopics(DeleteTopicsRequest {
            topics: topics.collect(),
            topic_names: Vec::new(),
            timeout_ms: self.change_timeout_ms(),
        });
        let read = |response| {
            let results = answer!(response, DeleteTopics).responses.into_iter().map(|result| {
                let outcome = check(result.error_code, result.error_message);
                if let (Some(name), Ok(())) = (&result.name, &outcome) {
                    self.client.forget_topic(name);
                }
                (result.topic_id, outcome)
            });
            Ok(results.collect())
        };
        self.ask_about(Whom::Controller, "topics", ids.iter().copied(), &request, read).await
    }

    /// Every topic that there is, by name.
    pub async fn list_topics(&self) -> Result<BTreeMap<Arc<str>, Topic>, AdminError> {
        Ok(self.metadata(None).await?.topics)
    }

    /// The cluster's brokers and these topics, asked for just now. Asking makes no topic.
    pub async fn describe(&self, names: &[&str]) -> Result<Cluster, AdminError> {
        self.metadata(Some(names)).await
    }

    /// These topics with their eligible leaders, which Kafka tells since 3.7.
    pub async fn describe_topic_partitions(
        &self,
        names: &[&str],
    ) -> Result<BTreeMap<Arc<str>, DescribedTopic>, AdminError> {
        let mut found: BTreeMap<Arc<str>, DescribedTopic> = BTreeMap::new();
        let mut cursor = None;
        // Each answer must bring something, so that a broker that repeats itself is not asked for ever.
        for _ in 0..ANSWERS_MAX {
            let topics = names.iter().map(|name| TopicRequest { name: (*name).to_owned() });
            let request = Request::DescribeTopicPartitions(DescribeTopicPartitionsRequest {
                topics: topics.collect(),
                response_partition_limit: PARTITIONS_AT_ONCE,
                cursor: cursor.take(),
            });
            let read = |response| Ok(answer!(response, DescribeTopicPartitions));
            let response =
                self.ask(Whom::Anybody, &request, read).await.map_err(|failure| failure.about("topics"))?;
            let mut is_news = false;
            for topic in response.topics {
                let Some(name) = topic.name.filter(|name| names.contains(&name.as_str())) else { continue };
                let known = found.entry(name.into()).or_insert_with(|| {
                    is_news = true;
                    DescribedTopic {
                        id: topic.topic_id,
                        error: ErrorCode::told(topic.error_code),
                        is_internal: topic.is_internal,
                        partitions: BTreeMap::new(),
                    }
                });
                for partition in topic.partitions {
                    is_news |=
                        known.partitions.insert(partition.partition_index, described(partition)).is_none();
                }
            }
            let Some(next) = response.next_cursor.filter(|_| is_news) else { return Ok(found) };
            cursor =
                Some(RequestCursor { topic_name: next.topic_name, partition_index: next.partition_index });
        }
        let message = Some("the answer has no end".to_owned());
        Err(Failure::Refused { code: ErrorCode::UnknownServerError, message }.about("topics"))
    }
}

fn creatable(topic: &NewTopic) -> CreatableTopic {
    let configs = topic
        .configs
        .iter()
        .map(|(name, value)| CreatableTopicConfig { name: name.clone(), value: Some(value.clone()) });
    let assignments = (0..).zip(&topic.assignments).map(|(partition_index, brokers)| {
        CreatableReplicaAssignment { partition_index, broker_ids: numbers(brokers) }
    });
    CreatableTopic {
        name: topic.name.clone(),
        num_partitions: topic.partition_count.unwrap_or(-1),
        replication_factor: topic.replication_factor.unwrap_or(-1),
        assignments: assignments.collect(),
        configs: configs.collect(),
    }
}

fn described(partition: DescribeTopicPartitionsResponsePartition) -> DescribedPartition {
    DescribedPartition {
        leader: (partition.leader_id >= 0).then_some(BrokerId(partition.leader_id)),
        leader_epoch: partition.leader_epoch,
        replicas: brokers(partition.replica_nodes),
        in_sync: brokers(partition.isr_nodes),
        offline: brokers(partition.offline_replicas),
        eligible_leaders: brokers(partition.eligible_leader_replicas.unwrap_or_default()),
        last_known_eligible: brokers(partition.last_known_elr.unwrap_or_default()),
    }
}

pub(super) fn brokers(raw: Vec<i32>) -> Vec<BrokerId> {
    raw.into_iter().map(BrokerId).collect()
}

pub(super) fn numbers(brokers: &[BrokerId]) -> Vec<i32> {
    brokers.iter().map(|broker| broker.0).collect()
}
