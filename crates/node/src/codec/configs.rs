//! AlterConfigs and IncrementalAlterConfigs as commands.

use klamm_cluster::controller::{
    AlterConfigError, AlterConfigs, ConfigChange, ConfigOperation, ConfigTarget,
};
use klamm_model::{BrokerId, ErrorCode};
use klamm_wire::{
    AlterConfigsRequest, AlterConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse, Response, alter_configs, incremental_alter_configs,
};

/// What a resource of configs is, as a number on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ResourceType {
    Topic = 2,
    Broker = 4,
    BrokerLogger = 8,
    ClientMetrics = 16,
    Group = 32,
}

impl ResourceType {
    pub(crate) const ALL: [Self; 5] =
        [Self::Topic, Self::Broker, Self::BrokerLogger, Self::ClientMetrics, Self::Group];

    pub(crate) fn from_wire(number: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.number() == number)
    }

    pub(crate) fn number(self) -> i8 {
        self as i8
    }
}

/// Which resources a request names, for its answer.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    is_incremental: bool,
    resources: Vec<(i8, String)>,
}

impl Asked {
    /// Of AlterConfigs.
    pub(crate) fn all(request: &AlterConfigsRequest) -> Self {
        let resources = request.resources.iter().map(|it| (it.resource_type, it.resource_name.clone()));
        Self { is_incremental: false, resources: resources.collect() }
    }

    /// Of IncrementalAlterConfigs.
    pub(crate) fn some(request: &IncrementalAlterConfigsRequest) -> Self {
        let resources = request.resources.iter().map(|it| (it.resource_type, it.resource_name.clone()));
        Self { is_incremental: true, resources: resources.collect() }
    }

    pub(crate) fn resources(&self) -> impl Iterator<Item = &(i8, String)> {
        self.resources.iter()
    }

    /// The answer, with what became of each resource.
    pub(crate) fn response(&self, results: impl Iterator<Item = (ErrorCode, Option<String>)>) -> Response {
        let answers = self.resources.iter().cloned().zip(results);
        if self.is_incremental {
            let responses = answers.map(|((resource_type, resource_name), (code, error_message))| {
                incremental_alter_configs::AlterConfigsResourceResponse {
                    error_code: code.code(),
                    error_message,
                    resource_type,
                    resource_name,
                }
            });
            return Response::IncrementalAlterConfigs(IncrementalAlterConfigsResponse {
                responses: responses.collect(),
                ..Default::default()
            });
        }
        let responses = answers.map(|((resource_type, resource_name), (code, error_message))| {
            alter_configs::AlterConfigsResourceResponse {
                error_code: code.code(),
                error_message,
                resource_type,
                resource_name,
            }
        });
        Response::AlterConfigs(AlterConfigsResponse { responses: responses.collect(), ..Default::default() })
    }
}

/// AlterConfigs: what is not named has its default again.
pub(crate) fn replacing(request: &AlterConfigsRequest) -> AlterConfigs {
    let change = |it: &alter_configs::AlterConfigsResource| {
        let operations = it.configs.iter().map(|config| match &config.value {
            Some(value) => Ok((config.name.clone(), ConfigOperation::Set(value.clone()))),
            None => Err(without_value(&config.name)),
        });
        Ok(ConfigChange {
            target: target(it.resource_type, &it.resource_name)?,
            operations: operations.collect::<Result<_, _>>()?,
            replaces: true,
        })
    };
    AlterConfigs {
        resources: request.resources.iter().map(change).collect(),
        validate_only: request.validate_only,
    }
}

/// IncrementalAlterConfigs: what is not named stays (KIP-339).
pub(crate) fn changing(request: &IncrementalAlterConfigsRequest) -> AlterConfigs {
    let change = |it: &incremental_alter_configs::AlterConfigsResource| {
        let operations = it
            .configs
            .iter()
            .map(|config| Ok::<_, AlterConfigError>((config.name.clone(), operation(config)?)));
        Ok(ConfigChange {
            target: target(it.resource_type, &it.resource_name)?,
            operations: operations.collect::<Result<_, _>>()?,
            replaces: false,
        })
    };
    AlterConfigs {
        resources: request.resources.iter().map(change).collect(),
        validate_only: request.validate_only,
    }
}

fn operation(
    config: &incremental_alter_configs::AlterableConfig,
) -> Result<ConfigOperation, AlterConfigError> {
    const DELETE: i8 = 1;
    if config.config_operation == DELETE {
        return Ok(ConfigOperation::Delete);
    }
    let value = config.value.clone().ok_or_else(|| without_value(&config.name))?;
    match config.config_operation {
        0 => Ok(ConfigOperation::Set(value)),
        2 => Ok(ConfigOperation::Append(value)),
        3 => Ok(ConfigOperation::Subtract(value)),
        other => malformed(format!("{other} is no operation on a config")),
    }
}

fn without_value(key: &str) -> AlterConfigError {
    AlterConfigError::Malformed { what: format!("{key} has no value") }
}

fn malformed<T>(what: String) -> Result<T, AlterConfigError> {
    Err(AlterConfigError::Malformed { what })
}

fn target(resource_type: i8, name: &str) -> Result<ConfigTarget, AlterConfigError> {
    match ResourceType::from_wire(resource_type) {
        Some(ResourceType::Topic) => Ok(ConfigTarget::Topic(name.to_owned())),
        Some(ResourceType::Broker) if name.is_empty() => Ok(ConfigTarget::BrokerDefault),
        Some(ResourceType::Broker) => match name.parse() {
            Ok(id) => Ok(ConfigTarget::Broker(BrokerId(id))),
            Err(_) => malformed(format!("{name:?} is not the number of a broker")),
        },
        Some(ResourceType::BrokerLogger) => {
            malformed("what a broker logs is told to it at start, by KLAMM_LOG".to_owned())
        }
        Some(ResourceType::ClientMetrics) => malformed("metrics of clients are not collected".to_owned()),
        Some(ResourceType::Group) => malformed("groups have no configs of their own yet".to_owned()),
        None => malformed(format!("{resource_type} is no type of a resource")),
    }
}
