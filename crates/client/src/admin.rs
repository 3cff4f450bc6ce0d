//! Topics: make them, look at them, delete them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use klamm_model::{ErrorCode, TopicId};
use klamm_wire::{
    ApiKey, CreateTopicsRequest, DeleteTopicsRequest, DescribeConfigsRequest, MetadataRequest, Request,
    Response,
    create_topics::{CreatableTopic, CreatableTopicConfig},
    delete_topics::DeleteTopicState,
    describe_configs::DescribeConfigsResource,
    metadata::MetadataRequestTopic,
};

use crate::call::CallError;
use crate::client::Client;
use crate::metadata::{Cluster, Topic};
use crate::net::{Target, seeded};

/// How long the brokers may take to carry a change out.
const CHANGE_TIMEOUT_MS: i32 = 30_000;
/// How often a question is asked again that only found the wrong broker or no controller.
const TRIES_MAX: u32 = 10;
/// How DescribeConfigs calls a topic.
const TOPIC_RESOURCE: i8 = 2;
/// From this version on topics may be named by id, and names travel elsewhere in the request.
const DELETE_VERSION_BEFORE_IDS: i16 = 5;

/// Why an administrator's request failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AdminError {
    /// The broker said no.
    #[error("{subject}: {}", explained(*.code, .message))]
    Refused {
        /// What it was about.
        subject: String,
        /// The error code.
        code: ErrorCode,
        /// The broker's explanation, if it gave one.
        message: Option<String>,
    },
    /// The request brought no answer.
    #[error("{0}")]
    Call(#[from] CallError),
}

fn explained(code: ErrorCode, message: &Option<String>) -> String {
    match (code, message) {
        (ErrorCode::UnknownTopicOrPartition, _) => "there is no such topic".into(),
        (ErrorCode::TopicAlreadyExists, _) => "the topic exists already".into(),
        (code, Some(message)) if !message.is_empty() => format!("{message} ({code})"),
        (code, _) => format!("the broker answered {code}"),
    }
}

/// A topic to be made.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; `None` leaves it to the broker.
    pub partition_count: Option<i32>,
    /// How many copies of each; `None` leaves it to the broker.
    pub replication_factor: Option<i16>,
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

/// Topics: make them, look at them, delete them.
#[derive(Clone)]
pub struct Admin {
    client: Client,
}

impl Admin {
    /// On the client's connections.
    pub fn new(client: &Client) -> Self {
        Self { client: client.clone() }
    }

    /// Makes a topic.
    pub async fn create_topic(&self, topic: &NewTopic) -> Result<CreatedTopic, AdminError> {
        let configs = topic
            .configs
            .iter()
            .map(|(name, value)| CreatableTopicConfig { name: name.clone(), value: Some(value.clone()) });
        let request = Request::CreateTopics(CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: topic.name.clone(),
                num_partitions: topic.partition_count.unwrap_or(-1),
                replication_factor: topic.replication_factor.unwrap_or(-1),
                configs: configs.collect(),
                ..CreatableTopic::default()
            }],
            timeout_ms: CHANGE_TIMEOUT_MS,
            ..CreateTopicsRequest::default()
        });
        let result = self
            .ask_controller(&request, i16::MAX, |response| match response {
                Response::CreateTopics(mut response) => {
                    let result = response.topics.pop()?;
                    Some((result.error_code, result.error_message.clone(), result))
                }
                _ => None,
            })
            .await
            .map_err(|error| error.about(&topic.name))?;
        Ok(CreatedTopic {
            id: result.topic_id,
            partition_count: (result.num_partitions > 0).then_some(result.num_partitions),
            replication_factor: (result.replication_factor > 0).then_some(result.replication_factor),
        })
    }

    /// Deletes a topic with all its records.
    pub async fn delete_topic(&self, name: &str) -> Result<(), AdminError> {
        let request = Request::DeleteTopics(DeleteTopicsRequest {
            topics: Vec::new(),
            topic_names: vec![name.to_owned()],
            timeout_ms: CHANGE_TIMEOUT_MS,
        });
        let newer = Request::DeleteTopics(DeleteTopicsRequest {
            topics: vec![DeleteTopicState { name: Some(name.to_owned()), topic_id: TopicId::ZERO }],
            topic_names: Vec::new(),
            timeout_ms: CHANGE_TIMEOUT_MS,
        });
        let result = |response| match response {
            Response::DeleteTopics(mut response) => {
                let result = response.responses.pop()?;
                Some((result.error_code, result.error_message, ()))
            }
            _ => None,
        };
        let answer = match self.ask_controller(&newer, i16::MAX, result).await {
            Err(Failure::Call(CallError::Unencodable { .. })) => {
                self.ask_controller(&request, DELETE_VERSION_BEFORE_IDS, result).await
            }
            answer => answer,
        };
        self.client.forget_topic(name);
        answer.map_err(|error| error.about(name))
    }

    /// Every topic that there is, by name.
    pub async fn list_topics(&self) -> Result<BTreeMap<Arc<str>, Topic>, AdminError> {
        Ok(self.metadata(None).await?.topics)
    }

    /// The cluster's brokers and these topics, asked for just now. Asking makes no topic.
    pub async fn describe(&self, names: &[&str]) -> Result<Cluster, AdminError> {
        self.metadata(Some(names)).await
    }

    /// Settings of a topic by name, as far as the broker tells; `None` if the broker does not serve the question.
    pub async fn topic_configs(
        &self,
        topic: &str,
        names: &[&str],
    ) -> Result<Option<BTreeMap<String, String>>, AdminError> {
        let request = Request::DescribeConfigs(DescribeConfigsRequest {
            resources: vec![DescribeConfigsResource {
                resource_type: TOPIC_RESOURCE,
                resource_name: topic.to_owned(),
                configuration_keys: Some(names.iter().map(|name| (*name).to_owned()).collect()),
            }],
            ..DescribeConfigsRequest::default()
        });
        let response = match self.client.call_any(request, i16::MAX).await {
            Ok(Response::DescribeConfigs(response)) => response,
            Ok(_) => unreachable!("answers are decoded as what was asked for"),
            Err(CallError::Unsupported { api: ApiKey::DescribeConfigs, .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let Some(result) = response.results.into_iter().next() else { return Ok(None) };
        check(result.error_code, result.error_message).map_err(|error| error.about(topic))?;
        let configs = result.configs.into_iter().filter_map(|config| Some((config.name, config.value?)));
        Ok(Some(configs.collect()))
    }

    async fn metadata(&self, names: Option<&[&str]>) -> Result<Cluster, AdminError> {
        let topics = names.map(|names| {
            let topics = names.iter().map(|name| MetadataRequestTopic {
                name: Some((*name).to_owned()),
                ..MetadataRequestTopic::default()
            });
            topics.collect()
        });
        let request =
            MetadataRequest { topics, allow_auto_topic_creation: false, ..MetadataRequest::default() };
        match self.client.call_any(Request::Metadata(request), i16::MAX).await? {
            Response::Metadata(response) => Ok(Cluster::from_response(response)),
            _ => unreachable!("answers are decoded as what was asked for"),
        }
    }

    /// Asks whoever leads the cluster, again after a while if that has just changed.
    async fn ask_controller<T>(
        &self,
        request: &Request,
        version_limit: i16,
        result: impl Fn(Response) -> Option<(i16, Option<String>, T)>,
    ) -> Result<T, Failure> {
        let timeout_ms = self.client.config().request_timeout_ms.max(CHANGE_TIMEOUT_MS.unsigned_abs().into());
        let mut random = seeded();
        let mut tries = 0;
        loop {
            tries += 1;
            let controller = self.client.cluster().controller;
            let answer = match controller {
                Some(controller) => {
                    let target = Target::Broker(controller);
                    self.client.pool().call(target, request.clone(), version_limit, timeout_ms).await
                }
                None => self.client.call_any(request.clone(), version_limit).await,
            };
            let failure = match answer {
                Ok(response) => match result(response) {
                    Some((code, message, result)) => match check(code, message) {
                        Ok(()) => return Ok(result),
                        Err(failure) => failure,
                    },
                    None => Failure::Refused { code: ErrorCode::UnknownServerError, message: None },
                },
                Err(error) => Failure::Call(error),
            };
            if tries >= TRIES_MAX || !failure.is_passing() {
                return Err(failure);
            }
            self.client.refresh_metadata();
            let wait_us = self.client.config().backoff.wait_us(tries, &mut random);
            tokio::time::sleep(Duration::from_micros(wait_us)).await;
        }
    }
}

enum Failure {
    Refused { code: ErrorCode, message: Option<String> },
    Call(CallError),
}

impl Failure {
    fn about(self, subject: &str) -> AdminError {
        match self {
            Self::Refused { code, message } => {
                AdminError::Refused { subject: subject.to_owned(), code, message }
            }
            Self::Call(error) => AdminError::Call(error),
        }
    }

    /// A change that may have been carried out must not be asked for twice: the second answer would be wrong.
    fn is_passing(&self) -> bool {
        match self {
            Self::Refused { code, .. } => {
                matches!(
                    code,
                    ErrorCode::NotController | ErrorCode::BrokerNotAvailable | ErrorCode::LeaderNotAvailable
                )
            }
            Self::Call(error) => error.was_not_sent() && error.is_retriable(),
        }
    }
}

fn check(code: i16, message: Option<String>) -> Result<(), Failure> {
    match ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError) {
        ErrorCode::None => Ok(()),
        code => Err(Failure::Refused { code, message }),
    }
}
