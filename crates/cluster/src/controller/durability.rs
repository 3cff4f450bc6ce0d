//! What a broker that crashed still has.
//!
//! A member of the in-sync set of a *synced* topic said that it has a record only when that was on its disk. So its next process has all that it ever said it
//! has, and keeps its places (docs/decisions/0006). That holds if the topic was synced for as long as the process could say anything, which was since it
//! registered: whoever changes a topic's `flush` keys at run time has the places of brokers that crash before their next start.

use std::collections::BTreeMap;

use crate::config::{Flush, Layers, TopicConfig};
use crate::image::{Broker, Image, Topic};
use crate::record::ConfigResource;

/// See the module; for one broker and the process of it that is known.
pub(super) struct Durability<'a> {
    image: &'a Image,
    broker: &'a Broker,
    /// Of topics that say nothing themselves.
    default: Flush,
}

impl<'a> Durability<'a> {
    pub(super) fn of(image: &'a Image, broker: &'a Broker) -> Self {
        let configs = |resource| image.configs(resource).map(|it| &**it);
        let given = BTreeMap::new();
        let set = Layers {
            broker: configs(ConfigResource::Broker(broker.id)),
            cluster: configs(ConfigResource::BrokerDefault),
            given: &given,
        };
        let relaxed = Flush::Relaxed { messages: u64::MAX, interval_ms: None };
        let at_start = if broker.is_relaxed { relaxed } else { Flush::Synced };
        Self { image, broker, default: TopicConfig::flush(&set.topic_defaults(), at_start) }
    }

    /// Whether all that the process said it has of the topic was on its disk.
    pub(super) fn is_synced(&self, topic: &Topic) -> bool {
        let is_older = |changed: Option<u64>| {
            changed.is_none_or(|at| i64::try_from(at).is_ok_and(|at| at < self.broker.epoch.0))
        };
        is_older(topic.flush_changed)
            && is_older(self.image.flush_changed())
            && TopicConfig::flush(&topic.configs, self.default) == Flush::Synced
    }
}
