//! The topics that are read, whatever partitions they have or get. Without a group: every partition is read here.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use klamm_model::ErrorCode;

use super::config::Start;
use crate::metadata::{Cluster, Topic};

/// Which topics are meant.
#[derive(Clone)]
pub enum Topics {
    /// These.
    Named(BTreeSet<Arc<str>>),
    /// Those whose names please the function, except the cluster's own; also those that are made later.
    Matching(Arc<dyn Fn(&str) -> bool + Send + Sync>),
}

impl fmt::Debug for Topics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(names) => f.debug_set().entries(names).finish(),
            Self::Matching(_) => f.write_str("Matching"),
        }
    }
}

#[derive(Debug)]
pub(super) struct Subscription {
    topics: Topics,
    start: Start,
    /// Topics of which it is known whether they were there when the subscription began.
    seen: BTreeSet<Arc<str>>,
    /// How often all topics had been told then.
    all_told_before: u64,
    /// All topics have been told since: any other is younger than the subscription.
    has_seen_all: bool,
}

/// What the newest picture of a topic means to a subscription.
pub(super) enum Notice {
    /// It is not meant, or nothing is known of it.
    Nothing,
    /// It was named, and is not there.
    Absent,
    /// Its partitions are read; those that are not read yet from there on.
    Reads(Start),
}

impl Subscription {
    pub(super) fn new(topics: Topics, start: Start, cluster: &Cluster) -> Self {
        let all_told_before = cluster.all_told;
        Self { topics, start, seen: BTreeSet::new(), all_told_before, has_seen_all: false }
    }

    /// To be called for every topic of a picture, and then [`noticed_all`](Self::noticed_all). Topics that are made later, and partitions that a
    /// topic gets later, begin with their first record: whoever was there before must not miss any.
    pub(super) fn notice(&mut self, name: &Arc<str>, topic: &Topic) -> Notice {
        let is_meant = match &self.topics {
            Topics::Named(names) => names.contains(name),
            Topics::Matching(is_meant) => !topic.is_internal && is_meant(name),
        };
        let is_named = matches!(self.topics, Topics::Named(_));
        if is_meant && is_named && topic.error == ErrorCode::UnknownTopicOrPartition {
            self.seen.insert(name.clone());
            return Notice::Absent;
        }
        if !is_meant || topic.error != ErrorCode::None || topic.partitions.is_empty() {
            return Notice::Nothing;
        }
        let was_there = self.seen.insert(name.clone()) && !self.has_seen_all;
        Notice::Reads(match self.start {
            // Nobody wants older ones than that.
            start @ Start::Since(_) => start,
            start if was_there => start,
            _ => Start::Earliest,
        })
    }

    pub(super) fn noticed_all(&mut self, cluster: &Cluster) {
        self.has_seen_all |= self.all_told_before < cluster.all_told;
    }
}
