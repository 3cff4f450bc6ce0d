//! Configs are set and removed, key by key.

use super::{AlterConfigError, AlterConfigs, ConfigChange, Controller, Decision, Reply};
use crate::config::{self, ConfigError, TOPIC_CONFIGS};
use crate::record::{self, ConfigResource, Record};

impl Controller {
    pub(super) fn alter_configs(&self, it: &AlterConfigs) -> Decision {
        let mut records = Vec::new();
        let mut size = 0;
        let mut answers = Vec::new();
        for change in &it.resources {
            let result = self.config_records(change).and_then(|new| {
                size += new.iter().map(record::encoded_size).sum::<usize>();
                if self.config.entry_bytes_max < size {
                    return Err(AlterConfigError::TooLarge);
                }
                records.extend(new);
                Ok(())
            });
            answers.push((change.resource, result));
        }
        if it.validate_only {
            records.clear();
        }
        Decision { records, reply: Reply::AlterConfigs(answers) }
    }

    fn config_records(&self, change: &ConfigChange) -> Result<Vec<Record>, AlterConfigError> {
        let is_known = match change.resource {
            ConfigResource::Topic(id) => self.image.topic(id).is_some(),
            ConfigResource::Broker(id) => self.image.broker(id).is_some(),
            ConfigResource::BrokerDefault => true,
        };
        if !is_known {
            return Err(AlterConfigError::UnknownResource);
        }
        let overrides = self.image.configs(change.resource);
        let mut records = Vec::new();
        for (at, (key, value)) in change.set.iter().enumerate() {
            if change.set[..at].iter().any(|(earlier, _)| earlier == key) {
                return Err(AlterConfigError::Repeated { key: key.clone() });
            }
            // Bounds the loop above: there are few keys.
            check(change.resource, key, value.as_deref())?;
            if overrides.and_then(|it| it.get(key)) != value.as_ref() {
                records.push(Record::Config {
                    resource: change.resource,
                    key: key.clone(),
                    value: value.clone(),
                });
            }
        }
        Ok(records)
    }
}

/// A broker's configs are, for now, the defaults it gives to topics.
fn check(resource: ConfigResource, key: &str, value: Option<&str>) -> Result<(), ConfigError> {
    let name = match resource {
        ConfigResource::Topic(_) => key,
        ConfigResource::Broker(_) | ConfigResource::BrokerDefault => {
            let row = TOPIC_CONFIGS.iter().find(|it| it.broker_key == Some(key));
            row.ok_or_else(|| ConfigError::UnknownKey { name: key.to_owned(), nearest: None })?.name
        }
    };
    config::check_optional(name, value)
}
