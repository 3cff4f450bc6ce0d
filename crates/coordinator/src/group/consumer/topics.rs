//! Which topics members want, and what of them makes the work worth distributing anew.

use std::collections::{BTreeMap, BTreeSet};

use klamm_cluster::Image;
use klamm_model::{BrokerId, TopicId};

use super::Consumer;
use crate::group::GroupError;
use crate::group::turn::{Turn, mix};
use crate::record::{ConsumerMember, GroupRecord, ResolvedRegex};
use crate::{Entry, Pattern};

pub(super) fn compiled(regex: &str) -> Result<Pattern, GroupError> {
    Pattern::new(regex).map_err(|it| GroupError::InvalidRegex { why: it.to_string() })
}

/// What a member wants.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Wish<'a> {
    names: &'a [String],
    regex: Option<&'a str>,
}

impl<'a> Wish<'a> {
    pub(super) fn of(said: &'a ConsumerMember) -> Self {
        Self { names: &said.topics, regex: said.topic_regex.as_deref() }
    }
}

impl Consumer {
    /// Looks up what expressions stand for, if members have others than before or there are other topics.
    pub(super) fn resolve(&mut self, turn: &Turn<'_>, log: &mut Vec<Entry>) {
        let wanted: BTreeSet<&String> =
            self.members.values().filter_map(|it| it.said.topic_regex.as_ref()).collect();
        let are_topics_new = self.seen_image != Some(turn.shared.image_count);
        let mut changed = Vec::new();
        for regex in &wanted {
            let before = self.regexes.get(*regex);
            if before.is_none() || are_topics_new {
                let topics = matching(regex, &turn.shared.image);
                if before.is_none_or(|it| it.topics != topics) {
                    let metadata_version = turn.shared.image.applied().map_or(0, u64::cast_signed);
                    let at = turn.now.wall;
                    changed.push(((*regex).clone(), Some(ResolvedRegex { topics, metadata_version, at })));
                }
            }
        }
        changed.extend(self.regexes.keys().filter(|it| !wanted.contains(it)).map(|it| (it.clone(), None)));
        for (regex, value) in changed {
            let record = GroupRecord::Regex { group: self.name.to_string(), regex, value };
            if turn.check_fits([&record.encode()]).is_ok() {
                self.put(log, record);
            } else {
                tracing::warn!(group = ?self.name, "an expression stands for more topics than can be kept");
            }
        }
        self.seen_image = Some(turn.shared.image_count);
    }

    pub(super) fn check_is_resolved(&self, member: &str) -> Result<(), GroupError> {
        match &self.members[member].said.topic_regex {
            Some(regex) if !self.regexes.contains_key(regex) => {
                Err(GroupError::InvalidRegex { why: "it stands for too many topics".to_owned() })
            }
            _ => Ok(()),
        }
    }

    /// The topics that are there of those that members want, by their wishes: most members have the same.
    pub(super) fn subscriptions<'a>(&'a self, image: &Image) -> BTreeMap<Wish<'a>, BTreeSet<TopicId>> {
        let wishes: BTreeSet<Wish<'_>> = self.members.values().map(|it| Wish::of(&it.said)).collect();
        let topics = |wish: Wish<'a>| {
            let regex = wish.regex.and_then(|it| self.regexes.get(it));
            let names = wish.names.iter().chain(regex.into_iter().flat_map(|it| &it.topics));
            (wish, names.filter_map(|name| Some(image.topic_named(name)?.id)).collect())
        };
        wishes.into_iter().map(topics).collect()
    }

    /// The names of all topics that members want, whether they are there or not.
    pub(in crate::group) fn wanted(&self) -> BTreeSet<String> {
        let named = self.members.values().flat_map(|it| &it.said.topics);
        named.chain(self.regexes.values().flat_map(|it| &it.topics)).cloned().collect()
    }

    pub(super) fn wants_racks(&self) -> bool {
        self.members.values().any(|it| it.said.rack.is_some())
    }

    /// Another one where topics that members want came, went or grew, or their replicas stand elsewhere and members care where.
    pub(super) fn hash_topics(&self, image: &Image) -> i64 {
        let topics: BTreeSet<TopicId> = self.subscriptions(image).into_values().flatten().collect();
        let wants_racks = self.wants_racks();
        let mut hash = 0;
        let mut add = |number: u64| hash = mix(hash ^ number);
        for topic in topics.into_iter().filter_map(|it| image.topic(it)) {
            let (high, low) = topic.id.0.as_u64_pair();
            [high, low, topic.partitions.len() as u64].into_iter().for_each(&mut add);
            for partition in topic.partitions.iter().filter(|_| wants_racks) {
                racks(image, &partition.replicas).flat_map(str::bytes).for_each(|it| add(it.into()));
                add(u64::MAX);
            }
        }
        hash.cast_signed()
    }
}

pub(super) fn racks<'a>(image: &'a Image, replicas: &'a [BrokerId]) -> impl Iterator<Item = &'a str> {
    replicas.iter().filter_map(|id| image.broker(*id)?.rack.as_deref())
}

fn matching(regex: &str, image: &Image) -> Vec<String> {
    // One that another version of ours or Kafka took may be none here: it stands for nothing.
    let Ok(regex) = compiled(regex) else { return Vec::new() };
    let names = image.topics().map(|it| &it.name).filter(|name| regex.is_match(name));
    names.map(|it| it.to_string()).collect()
}
