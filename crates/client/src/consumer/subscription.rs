//! The topics that are read, whatever partitions they have or get. Without a group: every partition is read here.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use klamm_model::ErrorCode;

use super::config::Start;
use crate::metadata::Topic;

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
    seen: BTreeSet<Arc<str>>,
}

impl Subscription {
    pub(super) fn new(topics: Topics, start: Start) -> Self {
        Self { topics, start, seen: BTreeSet::new() }
    }

    /// Where partitions of this topic that are not read yet begin, if it is meant. Those that a topic gets later begin with their first
    /// record: whoever was there before must not miss any.
    pub(super) fn start_of(&mut self, name: &Arc<str>, topic: &Topic) -> Option<Start> {
        let is_meant = match &self.topics {
            Topics::Named(names) => names.contains(name),
            Topics::Matching(is_meant) => !topic.is_internal && is_meant(name),
        };
        if !is_meant || topic.error != ErrorCode::None || topic.partitions.is_empty() {
            return None;
        }
        Some(if self.seen.insert(name.clone()) { self.start } else { Start::Earliest })
    }
}
