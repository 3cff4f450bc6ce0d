//! The topics that are read, whatever partitions they have or get. Without a group: every partition is read here.

use std::collections::{BTreeMap, BTreeSet};
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
    known: BTreeMap<Arc<str>, Known>,
    /// How often all topics had been told then.
    all_told_before: u64,
    /// All topics have been told since: any other is younger than the subscription.
    has_seen_all: bool,
}

/// What pictures have told of a topic so far. Only the first one decides whether it is younger than the subscription: a broker that lags
/// behind may say later that it is not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Known {
    /// It was not there.
    Missing,
    /// It was there, but nobody could say what partitions it has.
    There,
    /// Its partitions are read.
    Read,
}

/// A topic's partitions are read; those that are not read yet from there on.
pub(super) struct Notice {
    pub(super) start: Start,
    /// The topic has just come, and was not there when the subscription began.
    pub(super) is_younger: bool,
}

impl Subscription {
    pub(super) fn new(topics: Topics, start: Start, cluster: &Cluster) -> Self {
        let all_told_before = cluster.all_told;
        Self { topics, start, known: BTreeMap::new(), all_told_before, has_seen_all: false }
    }

    /// To be called for every topic of a picture, and then [`noticed_all`](Self::noticed_all). Topics that are made later, and partitions that a
    /// topic gets later, begin with their first record: whoever was there before must not miss any.
    pub(super) fn notice(&mut self, name: &Arc<str>, topic: &Topic) -> Option<Notice> {
        let (is_named, is_meant) = match &self.topics {
            Topics::Named(names) => (true, names.contains(name)),
            Topics::Matching(is_meant) => (false, !topic.is_internal && is_meant(name)),
        };
        if !is_meant {
            return None;
        }
        let known = self.known.get(name).copied();
        let was_there = known.map_or(!self.has_seen_all, |known| known == Known::There);
        let is_missing = topic.error == ErrorCode::UnknownTopicOrPartition;
        if topic.error != ErrorCode::None || topic.partitions.is_empty() {
            if known.is_none() && (is_named || !is_missing) {
                let known = if is_missing || !was_there { Known::Missing } else { Known::There };
                self.known.insert(name.clone(), known);
            }
            return None;
        }
        self.known.insert(name.clone(), Known::Read);
        let start = match self.start {
            // Nobody wants older ones than that.
            start @ Start::Since(_) => start,
            start if was_there => start,
            _ => Start::Earliest,
        };
        Some(Notice { start, is_younger: !was_there && known != Some(Known::Read) })
    }

    pub(super) fn noticed_all(&mut self, cluster: &Cluster) {
        self.has_seen_all |= self.all_told_before < cluster.all_told;
    }
}
