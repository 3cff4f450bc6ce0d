//! DescribeConfigs and ListConfigResources: which configs hold, and who said so.

use std::collections::{BTreeMap, BTreeSet};

use klamm_cluster::{
    Image,
    config::{
        BrokerKey, CLIENT_METRICS_CONFIGS, ConfigKey, GROUP_CONFIGS, Kind, Layers, Source, TOPIC_CONFIGS,
        TopicConfig, Update, broker_key, broker_keys,
    },
    image::Topic,
    record::ConfigResource,
    topic_name,
};
use klamm_model::ErrorCode;
use klamm_wire::{
    DescribeConfigsRequest, DescribeConfigsResponse, ListConfigResourcesRequest, ListConfigResourcesResponse,
    describe_configs::{
        DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
    },
    list_config_resources,
};

use super::live_brokers;
use crate::{View, codec::configs::ResourceType, coordinators::REBALANCE_DELAY_MS};

/// One thing that is said of a key: by whom, under which name, and what.
type Said<'a> = (Source, &'a str, &'a str);

pub(super) fn describe(view: &View, request: &DescribeConfigsRequest) -> DescribeConfigsResponse {
    let description = Description { view, request };
    let mut named = BTreeSet::new();
    let results = request.resources.iter().map(|asked| {
        // Large answers to the same question again and again would be a cheap way to fill the memory (B19).
        let is_new = named.insert((asked.resource_type, &asked.resource_name));
        let described = if is_new { description.resource(asked) } else { invalid("it was asked for before") };
        let (configs, refusal) = match described {
            Ok(configs) => (configs, None),
            Err(refusal) => (Vec::new(), Some(refusal)),
        };
        let (error_code, error_message) = refusal.map_or((0, None), |(code, text)| (code.code(), Some(text)));
        DescribeConfigsResult {
            error_code,
            error_message,
            resource_type: asked.resource_type,
            resource_name: asked.resource_name.clone(),
            configs,
        }
    });
    DescribeConfigsResponse { results: results.collect(), ..Default::default() }
}

/// Why a resource is not described.
type Refusal = (ErrorCode, String);

fn invalid<T>(why: impl Into<String>) -> Result<T, Refusal> {
    Err((ErrorCode::InvalidRequest, why.into()))
}

struct Description<'a> {
    view: &'a View,
    request: &'a DescribeConfigsRequest,
}

impl Description<'_> {
    fn resource(
        &self,
        asked: &DescribeConfigsResource,
    ) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
        let name = asked.resource_name.as_str();
        let mut configs = match ResourceType::from_wire(asked.resource_type) {
            Some(ResourceType::Topic) => self.topic(name)?,
            Some(ResourceType::Broker) if name.is_empty() => self.cluster_defaults(),
            Some(ResourceType::Broker) => {
                self.check_own(name)?;
                broker_keys().iter().map(|key| self.broker_key(key)).collect()
            }
            // What is logged is told at start and by no names that could be described.
            Some(ResourceType::BrokerLogger) => {
                self.check_own(name)?;
                Vec::new()
            }
            Some(ResourceType::ClientMetrics) if !name.is_empty() => self.defaults(CLIENT_METRICS_CONFIGS),
            Some(ResourceType::Group) if !name.is_empty() => self.defaults(GROUP_CONFIGS),
            Some(ResourceType::ClientMetrics | ResourceType::Group) => return invalid("the name is empty"),
            None => return invalid(format!("{} is no type of a resource", asked.resource_type)),
        };
        if let Some(keys) = asked.configuration_keys.as_ref().filter(|keys| !keys.is_empty()) {
            let wanted: BTreeSet<&str> = keys.iter().map(String::as_str).collect();
            configs.retain(|config| wanted.contains(config.name.as_str()));
        }
        Ok(configs)
    }

    /// A broker knows what was given at start to itself alone; clients ask each for its own.
    fn check_own(&self, name: &str) -> Result<(), Refusal> {
        match name.parse() {
            Ok(id) if self.view.me.0 == id => Ok(()),
            Ok(id) => invalid(format!("this is broker {}, not {id}", self.view.me)),
            Err(_) => invalid(format!("{name:?} is not the number of a broker")),
        }
    }

    fn topic(&self, name: &str) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
        if let Err(error) = topic_name::validate(name) {
            return Err((ErrorCode::InvalidTopicException, error.to_string()));
        }
        let Some(topic) = self.view.image.topic_named(name) else {
            return Err((ErrorCode::UnknownTopicOrPartition, format!("The topic '{name}' does not exist.")));
        };
        Ok(TOPIC_CONFIGS.iter().map(|key| self.topic_key(topic, key)).collect())
    }

    fn topic_key(&self, topic: &Topic, key: &'static ConfigKey) -> DescribeConfigsResourceResult {
        let layers = self.view.layers();
        let (value, _) = topic_value(&layers, &topic.configs, topic.replication_factor(), key);
        let said = said_of_topic(&layers, &topic.configs, key);
        self.entry(key.name, key.kind, Some(value), &said, false, key.doc)
    }

    fn broker_key(&self, key: &BrokerKey) -> DescribeConfigsResourceResult {
        let mut said = self.view.layers().said(key.name);
        // As Kafka does: what comes before the key's own name is another key's.
        let own = said.iter().position(|it| it.1 == key.name).unwrap_or(said.len());
        said.drain(..own);
        let set = self.view.layers().set(key.name).map(str::to_owned);
        let value = set
            .or_else(|| computed(self.view, key.name))
            .or(self.view.broker_value(key.name).map(str::to_owned));
        self.entry(key.name, key.kind, value, &said, key.update == Update::ReadOnly, key.doc)
    }

    /// What is set for all brokers, and nothing else.
    fn cluster_defaults(&self) -> Vec<DescribeConfigsResourceResult> {
        let set = self.view.image.configs(ConfigResource::BrokerDefault).map(|it| it.iter());
        let known = set.into_iter().flatten().filter_map(|(name, value)| Some((broker_key(name)?, value)));
        known
            .map(|(key, value)| {
                let said = [(Source::Cluster, key.name, value.as_str())];
                let read_only = key.update == Update::ReadOnly;
                self.entry(key.name, key.kind, Some(value.clone()), &said, read_only, key.doc)
            })
            .collect()
    }

    fn defaults(&self, keys: &[ConfigKey]) -> Vec<DescribeConfigsResourceResult> {
        keys.iter()
            .map(|key| {
                let broker_value = key.broker_key.and_then(|it| self.view.broker_value(it));
                let value = broker_value.unwrap_or(key.default).to_owned();
                let said = key.broker_key.map(|name| self.view.layers().said(name)).unwrap_or_default();
                self.entry(key.name, key.kind, Some(value), &said, false, key.doc)
            })
            .collect()
    }

    fn entry(
        &self,
        name: &str,
        kind: Kind,
        value: Option<String>,
        said: &[Said<'_>],
        read_only: bool,
        doc: &str,
    ) -> DescribeConfigsResourceResult {
        let shown = |value: Option<String>| value.filter(|_| !kind.is_secret());
        let synonyms = said.iter().filter(|_| self.request.include_synonyms).map(|(source, name, value)| {
            DescribeConfigsSynonym {
                name: (*name).to_owned(),
                value: shown(Some((*value).to_owned())),
                source: source_number(*source),
            }
        });
        DescribeConfigsResourceResult {
            name: name.to_owned(),
            value: shown(value),
            read_only,
            config_source: source_number(said.first().map_or(Source::Default, |it| it.0)),
            is_sensitive: kind.is_secret(),
            synonyms: synonyms.collect(),
            config_type: type_number(kind),
            documentation: self.request.include_documentation.then(|| doc.to_owned()),
        }
    }
}

/// All that is said of a topic's key, the strongest first.
fn said_of_topic<'a>(
    layers: &Layers<'a>,
    own: &'a BTreeMap<String, String>,
    key: &'static ConfigKey,
) -> Vec<Said<'a>> {
    let own = own.get(key.name).map(|value| (Source::Topic, key.name, value.as_str()));
    // Kafka leaves out older names of the broker's key (`log.retention.hours`), and with them where the value comes from.
    let inherited = key.broker_key.map(|name| layers.said(name)).unwrap_or_default();
    own.into_iter().chain(inherited).collect()
}

/// What a topic with these configs of its own has, and who said so.
pub(crate) fn topic_value(
    layers: &Layers<'_>,
    own: &BTreeMap<String, String>,
    replication_factor: usize,
    key: &'static ConfigKey,
) -> (String, Source) {
    let source = said_of_topic(layers, own, key).first().map_or(Source::Default, |it| it.0);
    let set = own.get(key.name).cloned().or_else(|| layers.topic_default(key.broker_key?));
    let value = set.unwrap_or_else(|| match key.name {
        "min.insync.replicas" => TopicConfig::default().min_insync_replicas(replication_factor).to_string(),
        _ => key.default.to_owned(),
    });
    (value, source)
}

/// Values that are in no table, because they depend on the cluster.
fn computed(view: &View, name: &str) -> Option<String> {
    match name {
        "broker.id" | "node.id" => Some(view.me.to_string()),
        "default.replication.factor" => Some(view.image.brokers().len().clamp(1, 3).to_string()),
        "group.initial.rebalance.delay.ms" => {
            let is_alone = view.image.brokers().len() == 1;
            Some(if is_alone { "0".to_owned() } else { REBALANCE_DELAY_MS.to_string() })
        }
        "offsets.topic.replication.factor" | "transaction.state.log.replication.factor" => {
            computed(view, "default.replication.factor")
        }
        "advertised.listeners" => advertised(&view.image, view),
        _ => None,
    }
}

fn advertised(image: &Image, view: &View) -> Option<String> {
    let listeners = &image.broker(view.me)?.listeners;
    let for_clients = listeners.iter().filter(|it| it.name != crate::BROKER_LISTENER);
    let uris: Vec<_> = for_clients.map(|it| format!("{}://{}:{}", it.name, it.host, it.port)).collect();
    Some(uris.join(","))
}

/// Kafka's numbers of sources.
pub(crate) fn source_number(source: Source) -> i8 {
    match source {
        Source::Topic => 1,
        Source::Broker => 2,
        Source::Cluster => 3,
        Source::Given => 4,
        Source::Default => 5,
    }
}

/// Kafka's numbers of types.
fn type_number(kind: Kind) -> i8 {
    match kind {
        Kind::Boolean => 1,
        Kind::Text | Kind::OneOf(_) => 2,
        Kind::Int { .. } | Kind::Level { .. } => 3,
        Kind::Short { .. } => 4,
        Kind::Long { .. } => 5,
        Kind::Ratio | Kind::Double => 6,
        Kind::List | Kind::SomeOf(_) | Kind::Replicas => 7,
        Kind::Class => 8,
        Kind::Password => 9,
    }
}

/// KIP-1142. Before version 1 the one question was which subscriptions to client metrics there are.
pub(super) fn list(
    view: &View,
    version: i16,
    request: &ListConfigResourcesRequest,
) -> ListConfigResourcesResponse {
    let wanted: Option<Vec<ResourceType>> = match request.resource_types.as_slice() {
        _ if version == 0 => Some(vec![ResourceType::ClientMetrics]),
        [] => Some(ResourceType::ALL.to_vec()),
        types => types.iter().map(|it| ResourceType::from_wire(*it)).collect(),
    };
    let Some(wanted) = wanted else {
        let error_code = ErrorCode::UnsupportedVersion.code();
        return ListConfigResourcesResponse { error_code, ..Default::default() };
    };
    let mut config_resources = Vec::new();
    for resource_type in ResourceType::ALL.into_iter().filter(|it| wanted.contains(it)) {
        let names: Vec<String> = match resource_type {
            ResourceType::Topic => view.image.topics().map(|topic| topic.name.to_string()).collect(),
            ResourceType::Broker | ResourceType::BrokerLogger => {
                live_brokers(&view.image).map(|broker| broker.id.to_string()).collect()
            }
            ResourceType::ClientMetrics | ResourceType::Group => Vec::new(),
        };
        config_resources.extend(names.into_iter().map(|resource_name| {
            list_config_resources::ConfigResource { resource_name, resource_type: resource_type.number() }
        }));
    }
    ListConfigResourcesResponse { config_resources, ..Default::default() }
}
