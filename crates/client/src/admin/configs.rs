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
use super::{Admin, Change};
use crate::call::CallError;

/// The last version that says less: no types, no documentation.
const DESCRIBE_VERSION_BEFORE_DOCS: i16 = 2;

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

/// Where a value comes from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ConfigSource {
    /// Set for the topic.
    Topic,
    /// Set for the broker while it ran.
    Broker,
    /// Set for all brokers while they ran.
    Cluster,
    /// From the broker's files, environment or command line.
    Static,
    /// Nobody set it.
    Default,
    /// Set for the log levels of a broker.
    BrokerLogger,
    /// Set for a subscription to clients' metrics.
    ClientMetrics,
    /// Set for a group.
    Group,
    /// The broker does not say, or something that we do not know.
    Unknown,
}

impl ConfigSource {
    fn from_wire(raw: i8) -> Self {
        match raw {
            1 => Self::Topic,
            2 => Self::Broker,
            3 => Self::Cluster,
            4 => Self::Static,
            5 => Self::Default,
            6 => Self::BrokerLogger,
            7 => Self::ClientMetrics,
            8 => Self::Group,
            _ => Self::Unknown,
        }
    }

    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Broker => "broker",
            Self::Cluster => "cluster",
            Self::Static => "static",
            Self::Default => "default",
            Self::BrokerLogger => "logger",
            Self::ClientMetrics => "client-metrics",
            Self::Group => "group",
            Self::Unknown => "unknown",
        }
    }
}

/// What kind of value a setting takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConfigType {
    /// The broker does not say.
    Unknown,
    /// `true` or `false`.
    Boolean,
    /// Any text.
    String,
    /// A number within 32 bits.
    Int,
    /// A number within 16 bits.
    Short,
    /// A number within 64 bits.
    Long,
    /// A number with a fraction.
    Double,
    /// Words with commas between.
    List,
    /// The name of a Java class.
    Class,
    /// What nobody is shown.
    Password,
}

impl ConfigType {
    fn from_wire(raw: i8) -> Self {
        match raw {
            1 => Self::Boolean,
            2 => Self::String,
            3 => Self::Int,
            4 => Self::Short,
            5 => Self::Long,
            6 => Self::Double,
            7 => Self::List,
            8 => Self::Class,
            9 => Self::Password,
            _ => Self::Unknown,
        }
    }

    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Boolean => "boolean",
            Self::String => "string",
            Self::Int => "int",
            Self::Short => "short",
            Self::Long => "long",
            Self::Double => "double",
            Self::List => "list",
            Self::Class => "class",
            Self::Password => "password",
        }
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
            Err(Failure::Call(CallError::Unencodable { .. })) if with_documentation => {
                request.include_documentation = false;
                let request = Request::DescribeConfigs(request);
                self.ask_in_version(whom, &request, DESCRIBE_VERSION_BEFORE_DOCS, read).await
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

fn entry(raw: DescribeConfigsResourceResult) -> ConfigEntry {
    let synonyms = raw.synonyms.into_iter().map(|synonym| ConfigSynonym {
        name: synonym.name,
        value: synonym.value,
        source: ConfigSource::from_wire(synonym.source),
    });
    ConfigEntry {
        name: raw.name,
        value: raw.value,
        source: ConfigSource::from_wire(raw.config_source),
        kind: ConfigType::from_wire(raw.config_type),
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
