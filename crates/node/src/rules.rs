//! Each topic's rules for batches, worked out when its configs change: requests are checked against them outside the lock.

use std::sync::Arc;

use imbl::OrdMap;
use klamm_cluster::{
    Image,
    config::{Compression as CompressionSetting, TimestampType, TopicConfig},
};
use klamm_model::{BatchRules, Codec, Compression, TimestampRule, TopicId};

/// To how many bytes a batch is unpacked at most, whatever its topic allows: an I/O thread holds one at a time.
const UNPACKED_SIZE_MAX: usize = 128 << 20;

/// Rules with a number that is never used for others, so that two moments can be compared at no cost.
#[derive(Debug)]
pub(crate) struct Ruled {
    pub(crate) version: u64,
    pub(crate) rules: BatchRules,
}

/// The rules of all topics that this broker has partitions of. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct TopicRules {
    /// Of every topic that is not listed.
    common: Arc<Ruled>,
    others: OrdMap<TopicId, Arc<Ruled>>,
    next_version: u64,
}

impl TopicRules {
    pub(crate) fn new(defaults: &TopicConfig) -> Self {
        let common = Arc::new(Ruled { version: 0, rules: batch_rules(defaults) });
        Self { common, others: OrdMap::new(), next_version: 1 }
    }

    /// Topics without configs of their own have these; each topic's are to be set again.
    pub(crate) fn set_common(&mut self, defaults: &TopicConfig) {
        let rules = batch_rules(defaults);
        if self.common.rules != rules {
            self.common = Arc::new(Ruled { version: self.next_version, rules });
            self.next_version += 1;
        }
    }

    /// The rules of a topic; where most topics have the same, that costs no search.
    pub(crate) fn of(&self, image: &Image, name: &str, id: TopicId) -> &Arc<Ruled> {
        if self.others.is_empty() {
            return &self.common;
        }
        let id = if id == TopicId::ZERO { image.topic_named(name).map(|topic| topic.id) } else { Some(id) };
        id.and_then(|id| self.others.get(&id)).unwrap_or(&self.common)
    }

    /// A topic has these configs now.
    pub(crate) fn set(&mut self, topic: TopicId, config: &TopicConfig) -> Arc<Ruled> {
        let rules = batch_rules(config);
        let current = self.others.get(&topic).unwrap_or(&self.common);
        if current.rules == rules {
            return Arc::clone(current);
        }
        if self.common.rules == rules {
            self.others.remove(&topic);
            return Arc::clone(&self.common);
        }
        let ruled = Arc::new(Ruled { version: self.next_version, rules });
        self.next_version += 1;
        self.others.insert(topic, Arc::clone(&ruled));
        ruled
    }

    pub(crate) fn forget(&mut self, topic: TopicId) {
        self.others.remove(&topic);
    }
}

fn batch_rules(config: &TopicConfig) -> BatchRules {
    let size = |bytes: u32| usize::try_from(bytes).unwrap_or(usize::MAX);
    BatchRules {
        size_max: size(config.max_message_bytes),
        unpacked_size_max: size(config.max_decompressed_message_bytes).min(UNPACKED_SIZE_MAX),
        key_required: config.cleanup.compact,
        timestamps: match config.timestamp_type {
            TimestampType::LogAppendTime => TimestampRule::Append,
            TimestampType::CreateTime => TimestampRule::Create {
                before_max_ms: config.timestamp_before_max_ms,
                after_max_ms: config.timestamp_after_max_ms,
            },
        },
        compression: match config.compression {
            CompressionSetting::Producer => None,
            CompressionSetting::None => Some(Compression::NONE),
            CompressionSetting::Snappy => Some(Compression::of(Codec::Snappy)),
            CompressionSetting::Gzip => {
                let of_library = Compression::of(Codec::Gzip);
                Some(Compression { level: config.gzip_level.unwrap_or(of_library.level), ..of_library })
            }
            CompressionSetting::Lz4 => Some(Compression::of(Codec::Lz4)),
            CompressionSetting::Zstd => Some(Compression { codec: Codec::Zstd, level: config.zstd_level }),
        },
    }
}
