//! Configs are set and removed, key by key.

use std::collections::{BTreeMap, BTreeSet};

use klamm_model::TopicId;

use super::elections::{MIN_ISR, UNCLEAN};
use super::{
    AlterConfigError, AlterConfigs, ConfigChange, ConfigOperation, ConfigTarget, Controller, Decision, Reply,
};
use crate::config::{self, ConfigError, Kind, Layers, Update, items};
use crate::image::Image;
use crate::record::{self, ConfigResource, Record};
use crate::topic_name;

impl Controller {
    pub(super) fn alter_configs(&self, it: &AlterConfigs) -> Decision {
        let mut records = Vec::new();
        let mut size = 0;
        let mut answers = Vec::new();
        let mut named = BTreeMap::new();
        for change in it.resources.iter().flatten() {
            *named.entry(&change.target).or_insert(0) += 1;
        }
        for change in &it.resources {
            let result = change.as_ref().map_err(Clone::clone).and_then(|change| {
                if 1 < named[&change.target] {
                    return Err(AlterConfigError::RepeatedResource);
                }
                let new = self.config_records(change)?;
                size += new.iter().map(record::encoded_size).sum::<usize>();
                if self.config.entry_bytes_max < size {
                    return Err(AlterConfigError::TooLarge);
                }
                records.extend(new);
                Ok(())
            });
            answers.push(result);
        }
        if it.validate_only {
            records.clear();
        }
        let following = self.following(&records);
        records.extend(following);
        Decision { records, reply: Reply::AlterConfigs(answers) }
    }

    /// What follows for partitions. Where fewer have to be in sync from now on, records are committed again that those who are eligible do not have; where
    /// somebody may lead who lacks records, somebody may lead at once.
    fn following(&self, changes: &[Record]) -> Vec<Record> {
        let (counts, leads) = (self.topics_of(changes, MIN_ISR), self.topics_of(changes, UNCLEAN));
        if counts.is_empty() && leads.is_empty() {
            return Vec::new();
        }
        let mut after = self.image.clone();
        let mut next = self.appended() + 1;
        let mut apply = |after: &mut Image, records: &[Record]| {
            after.apply_entry(next, self.image.epoch(), records).expect("they were decided on");
            next += 1;
        };
        apply(&mut after, changes);
        let mut records =
            self.elections_in(&after).settle(counts.iter().filter_map(|id| Some(&**after.topic(*id)?)));
        apply(&mut after, &records);
        let elected =
            self.elections_in(&after).elect_in(leads.iter().filter_map(|id| Some(&**after.topic(*id)?)));
        records.extend(elected);
        records
    }

    /// For which topics another value of a key may hold.
    fn topics_of(&self, changes: &[Record], wanted: &str) -> BTreeSet<TopicId> {
        let mut topics = BTreeSet::new();
        for change in changes {
            match change {
                Record::Config { key, .. } if key != wanted => {}
                Record::Config { resource: ConfigResource::Topic(id), .. } => _ = topics.insert(*id),
                Record::Config { resource: ConfigResource::BrokerDefault, .. } => {
                    topics.extend(self.image.topics().map(|it| it.id));
                }
                _ => {}
            }
        }
        topics
    }

    fn config_records(&self, change: &ConfigChange) -> Result<Vec<Record>, AlterConfigError> {
        let resource = self.config_resource(&change.target)?;
        let before = self.image.configs(resource).cloned().unwrap_or_default();
        let mut after = if change.replaces { BTreeMap::new() } else { BTreeMap::clone(&before) };
        let mut names: Vec<&str> = change.operations.iter().map(|it| it.0.as_str()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(AlterConfigError::Repeated { key: pair[0].to_owned() });
        }
        for (key, operation) in &change.operations {
            operate(resource, key, operation, &mut after)?;
        }
        if matches!(resource, ConfigResource::Topic(_)) {
            self.check_together(&after)?;
        }
        let record = |key: &String, value: Option<&String>| Record::Config {
            resource,
            key: key.clone(),
            value: value.cloned(),
        };
        let removed = before.keys().filter(|key| !after.contains_key(*key)).map(|key| record(key, None));
        let set = after.iter().filter(|(key, value)| before.get(*key) != Some(value));
        Ok(removed.chain(set.map(|(key, value)| record(key, Some(value)))).collect())
    }

    pub(super) fn check_together(&self, overrides: &BTreeMap<String, String>) -> Result<(), ConfigError> {
        let cluster = self.image.configs(ConfigResource::BrokerDefault).map(|it| &**it);
        config::check_together(overrides, &Layers { broker: None, cluster, given: &self.config.given })
    }

    fn config_resource(&self, target: &ConfigTarget) -> Result<ConfigResource, AlterConfigError> {
        match target {
            ConfigTarget::Topic(name) => match self.image.topic_named(name) {
                Some(topic) => Ok(ConfigResource::Topic(topic.id)),
                None if name.is_empty() => Err(AlterConfigError::NoTopicDefault),
                None => {
                    topic_name::validate(name)?;
                    Err(AlterConfigError::UnknownTopic { name: name.clone() })
                }
            },
            ConfigTarget::Broker(id) => match self.image.broker(*id) {
                Some(_) => Ok(ConfigResource::Broker(*id)),
                None => Err(AlterConfigError::UnknownBroker { id: *id }),
            },
            ConfigTarget::BrokerDefault => Ok(ConfigResource::BrokerDefault),
        }
    }
}

fn operate(
    resource: ConfigResource,
    key: &str,
    operation: &ConfigOperation,
    configs: &mut BTreeMap<String, String>,
) -> Result<(), AlterConfigError> {
    let value = match operation {
        ConfigOperation::Delete => {
            // Also a key that an older version knew.
            if configs.remove(key).is_none() {
                kind(resource, key)?;
            }
            return Ok(());
        }
        ConfigOperation::Set(value) => value.clone(),
        ConfigOperation::Append(change) | ConfigOperation::Subtract(change) => {
            let (kind, default) = kind(resource, key)?;
            if !kind.is_list() {
                return Err(AlterConfigError::NoList { key: key.to_owned() });
            }
            let before = items(configs.get(key).map_or(default, String::as_str));
            // A client may name thousands of items.
            let mut named: BTreeSet<&str> = BTreeSet::new();
            let after: Vec<&str> = if matches!(operation, ConfigOperation::Append(_)) {
                before.chain(items(change)).filter(|it| named.insert(it)).collect()
            } else {
                named.extend(items(change));
                before.filter(|it| !named.contains(it)).collect()
            };
            after.join(",")
        }
    };
    check(resource, key, &value)?;
    configs.insert(key.to_owned(), value);
    Ok(())
}

/// What values a key takes, and its default.
fn kind(resource: ConfigResource, key: &str) -> Result<(Kind, &'static str), AlterConfigError> {
    match resource {
        ConfigResource::Topic(_) => {
            let row = config::known_topic_key(key)?;
            Ok((row.kind, row.default))
        }
        ConfigResource::Broker(_) | ConfigResource::BrokerDefault => {
            let row = config::known_broker_key(key)?;
            Ok((row.kind, row.default.unwrap_or_default()))
        }
    }
}

fn check(resource: ConfigResource, key: &str, value: &str) -> Result<(), AlterConfigError> {
    if matches!(resource, ConfigResource::Topic(_)) {
        return Ok(config::check(key, value)?);
    }
    let row = config::known_broker_key(key)?;
    if row.kind.is_secret() {
        return Err(AlterConfigError::Secret { key: row.name });
    }
    match (row.update, resource) {
        (Update::ReadOnly, _) => Err(AlterConfigError::ReadOnly { key: row.name }),
        (Update::PerBroker, ConfigResource::BrokerDefault) => {
            Err(AlterConfigError::PerBroker { key: row.name })
        }
        _ => {
            config::check_broker(key, value)?;
            Ok(())
        }
    }
}
