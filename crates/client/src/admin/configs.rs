//! Settings of topics, brokers and the cluster.

use std::collections::BTreeMap;
use std::fmt;

use klamm_model::BrokerId;
use klamm_wire::{
    DescribeConfigsRequest, IncrementalAlterConfigsRequest, ListConfigResourcesRequest, Request,
    describe_configs::{DescribeConfigsResource, DescribeConfigsResourceResult},
    incremental_alter_configs::{AlterConfigsResource, AlterableConfig},
};

use super::ask::{Whom, answer};
use super::error::{AdminError, Failure, check};
use super::wire_enum::wire_enum;
use super::{Admin, Change};
use crate::call::CallError;

/// What has settings.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ConfigResource {
    /// A topic.
    Topic(String),
    /// One broker.
    Broker(BrokerId),
    /// All brokers, where a broker has no setting of its own.
    Cluster,
    /// The log levels of a broker.
    BrokerLogger(BrokerId),
    /// A subscription to clients' metrics.
    ClientMetrics(String),
    /// A group.
    Group(String),
}

impl ConfigResource {
    fn wire(&self) -> (i8, String) {
        match self {
            Self::Topic(name) => (2, name.clone()),
            Self::Broker(broker) => (4, broker.to_string()),
            Self::Cluster => (4, String::new()),
            Self::BrokerLogger(broker) => (8, broker.to_string()),
            Self::ClientMetrics(name) => (16, name.clone()),
            Self::Group(name) => (32, name.clone()),
        }
    }

    fn from_wire(kind: i8, name: String) -> Option<Self> {
        Some(match kind {
            2 => Self::Topic(name),
            4 if name.is_empty() => Self::Cluster,
            4 => Self::Broker(BrokerId(name.parse().ok()?)),
            8 => Self::BrokerLogger(BrokerId(name.parse().ok()?)),
            16 => Self::ClientMetrics(name),
            32 => Self::Group(name),
            _ => return None,
        })
    }

    /// Who answers: a broker for itself, anybody for what the whole cluster knows.
    fn answered_by(&self) -> Whom {
        match self {
            Self::Broker(broker) | Self::BrokerLogger(broker) => Whom::Broker(*broker),
            Self::Topic(_) | Self::Cluster | Self::ClientMetrics(_) | Self::Group(_) => Whom::Anybody,
        }
    }
}

impl fmt::Display for ConfigResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(name) => write!(f, "topic {name}"),
            Self::Broker(broker) => write!(f, "broker {broker}"),
            Self::Cluster => f.write_str("cluster"),
            Self::BrokerLogger(broker) => write!(f, "logger of broker {broker}"),
            Self::ClientMetrics(name) => write!(f, "client metrics {name}"),
            Self::Group(name) => write!(f, "group {name}"),
        }
    }
}

wire_enum! {
    /// Where a value comes from.
    ConfigSource {
        /// The broker does not say, or something that we do not know.
        Unknown = 0 "unknown",
        /// Set for the topic.
        Topic = 1 "topic",
        /// Set for the broker while it ran.
        Broker = 2 "broker",
        /// Set for all brokers while they ran.
        Cluster = 3 "cluster",
        /// From the broker's files, environment or command line.
        Static = 4 "static",
        /// Nobody set it.
        Default = 5 "default",
        /// Set for the log levels of a broker.
        BrokerLogger = 6 "logger",
        /// Set for a subscription to clients' metrics.
        ClientMetrics = 7 "client-metrics",
        /// Set for a group.
        Group = 8 "group",
    }
}

wire_enum! {
    /// What kind of value a setting takes.
    ConfigType {
        /// The broker does not say, or something that we do not know.
        Unknown = 0 "unknown",
        /// `true` or `false`.
        Boolean = 1 "boolean",
        /// Any text.
        String = 2 "string",
        /// A number within 32 bits.
        Int = 3 "int",
        /// A number within 16 bits.
        Short = 4 "short",
        /// A number within 64 bits.
        Long = 5 "long",
        /// A number with a fraction.
        Double = 6 "double",
        /// Words with commas between.
        List = 7 "list",
        /// The name of a Java class.
        Class = 8 "class",
        /// What nobody is shown.
        Password = 9 "password",
    }
}

/// One setting.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigEntry {
    /// Its key.
    pub name: String,
    /// Its value; `None` if it has none, or nobody is shown it.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// What kind of value it takes.
    pub kind: ConfigType,
    /// Whether it can only be set before a start.
    pub is_read_only: bool,
    /// Whether nobody is shown its value.
    pub is_sensitive: bool,
    /// Every place that has a value for it, the one that holds first.
    pub synonyms: Vec<ConfigSynonym>,
    /// What it does, where that was asked for and the broker tells.
    pub documentation: Option<String>,
}

/// A place that has a value for a setting.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigSynonym {
    /// The key there.
    pub name: String,
    /// The value.
    pub value: Option<String>,
    /// The place.
    pub source: ConfigSource,
}

/// What is done to a setting.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConfigOperation {
    /// It gets this value.
    Set(String),
    /// It gets its default again.
    Unset,
    /// These words are added to its list.
    Append(String),
    /// These words are taken from its list.
    Subtract(String),
}

/// A setting, and what is done to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigChange {
    /// Its key.
    pub name: String,
    /// What is done.
    pub operation: ConfigOperation,
}

impl Admin {
    /// The settings of a resource: these, or all.
    pub async fn describe_configs(
        &self,
        resource: &ConfigResource,
        names: Option<&[&str]>,
        with_documentation: bool,
    ) -> Result<Vec<ConfigEntry>, AdminError> {
        let (resource_type, resource_name) = resource.wire();
        let configuration_keys = names.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        let mut request = DescribeConfigsRequest {
            resources: vec![DescribeConfigsResource { resource_type, resource_name, configuration_keys }],
            include_synonyms: true,
            include_documentation: with_documentation,
        };
        let read = |response| {
            let result = answer!(response, DescribeConfigs).results.pop().ok_or_else(Failure::silent)?;
            check(result.error_code, result.error_message)?;
            Ok(result.configs.into_iter().map(entry).collect())
        };
        let whom = resource.answered_by();
        let answer = match self.ask(whom, &Request::DescribeConfigs(request.clone()), read).await {
            // Brokers before 2.6 have none.
            Err(Failure::Call(CallError::Unencodable { .. })) if with_documentation => {
                request.include_documentation = false;
                let request = Request::DescribeConfigs(request);
                self.ask(whom, &request, read).await
            }
            answer => answer,
        };
        answer.map_err(|failure| failure.about(resource))
    }

    /// Changes settings of a resource, all of them or none.
    pub async fn alter_configs(
        &self,
        resource: &ConfigResource,
        changes: &[ConfigChange],
        change: Change,
    ) -> Result<(), AdminError> {
        let (resource_type, resource_name) = resource.wire();
        let request = Request::IncrementalAlterConfigs(IncrementalAlterConfigsRequest {
            resources: vec![AlterConfigsResource {
                resource_type,
                resource_name,
                configs: changes.iter().map(alterable).collect(),
            }],
            validate_only: change == Change::Check,
        });
        let read = |response| {
            let result = answer!(response, IncrementalAlterConfigs).responses.pop();
            let result = result.ok_or_else(Failure::silent)?;
            check(result.error_code, result.error_message)
        };
        let whom = match resource.answered_by() {
            Whom::Anybody => Whom::Controller,
            whom => whom,
        };
        self.ask(whom, &request, read).await.map_err(|failure| failure.about(resource))
    }

    /// Settings of a topic by name, as far as the broker tells; `None` if the broker does not serve the question.
    pub async fn topic_configs(
        &self,
        topic: &str,
        names: &[&str],
    ) -> Result<Option<BTreeMap<String, String>>, AdminError> {
        let topic = ConfigResource::Topic(topic.to_owned());
        match self.describe_configs(&topic, Some(names), false).await {
            Ok(entries) => {
                Ok(Some(entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect()))
            }
            Err(error) if error.is_unsupported() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What has settings of its own. Brokers before 4.1 list subscriptions to clients' metrics only.
    pub async fn list_config_resources(&self) -> Result<Vec<ConfigResource>, AdminError> {
        let request = Request::ListConfigResources(ListConfigResourcesRequest::default());
        let read = |response| {
            let answer = answer!(response, ListConfigResources);
            check(answer.error_code, None)?;
            let resources = answer.config_resources.into_iter();
            Ok(resources
                .filter_map(|it| ConfigResource::from_wire(it.resource_type, it.resource_name))
                .collect())
        };
        self.ask(Whom::Anybody, &request, read).await.map_err(|failure| failure.about("config resources"))
    }
}

fn source(raw: i8) -> ConfigSource {
    ConfigSource::from_number(raw).unwrap_or(ConfigSource::Unknown)
}

fn entry(raw: DescribeConfigsResourceResult) -> ConfigEntry {
    let synonyms = raw.synonyms.into_iter().map(|synonym| ConfigSynonym {
        name: synonym.name,
        value: synonym.value,
        source: source(synonym.source),
    });
    ConfigEntry {
        name: raw.name,
        value: raw.value,
        source: source(raw.config_source),
        kind: ConfigType::from_number(raw.config_type).unwrap_or(ConfigType::Unknown),
        is_read_only: raw.read_only,
        is_sensitive: raw.is_sensitive,
        synonyms: synonyms.collect(),
        documentation: raw.documentation.filter(|text| !text.is_empty()),
    }
}

fn alterable(change: &ConfigChange) -> AlterableConfig {
    let (config_operation, value) = match &change.operation {
        ConfigOperation::Set(value) => (0, Some(value)),
        ConfigOperation::Unset => (1, None),
        ConfigOperation::Append(value) => (2, Some(value)),
        ConfigOperation::Subtract(value) => (3, Some(value)),
    };
    AlterableConfig { name: change.name.clone(), config_operation, value: value.cloned() }
}
