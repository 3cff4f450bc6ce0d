//! A fetch session with one broker (KIP-227): it remembers what we want, so that requests and answers name only what is new.
//!
//! Invariant: `known` is what the broker has in the session, provided that it took the last request; who can't tell begins anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use klamm_model::TopicId;

use super::effect::{PartitionFetch, SessionStep, TopicFetch};

/// The epoch of the request that ends a session.
const END: i32 = -1;

/// A partition that is to be read, with its topic.
pub(super) type Wanted = (Arc<str>, TopicId, PartitionFetch);

#[derive(Debug, Default)]
pub(super) struct Session {
    /// 0 while the broker gave us none.
    id: i32,
    /// 0 has the broker forget everything and begin a session.
    epoch: i32,
    known: BTreeMap<(Arc<str>, i32), (TopicId, PartitionFetch)>,
}

impl Session {
    /// What a request has to say, so that the broker reads these partitions and no others.
    pub(super) fn request(&mut self, wanted: Vec<Wanted>) -> SessionStep {
        let has_id = |id: &TopicId| !id.is_zero();
        let uses_ids = wanted.iter().all(|(_, id, _)| has_id(id));
        // A session names topics in one way.
        if self.epoch == 0 || self.known.values().any(|(id, _)| has_id(id) != uses_ids) {
            self.begin_anew();
        }
        let (id, epoch) = (self.id, self.epoch);
        let mut before = std::mem::take(&mut self.known);
        let mut step = SessionStep { id, epoch, uses_ids, topics: Vec::new(), forgotten: Vec::new() };
        for (name, id, fetch) in wanted {
            let key = (name, fetch.partition);
            match before.remove(&key) {
                Some(known) if known == (id, fetch) => {}
                Some((old, known)) if old != id => {
                    add(&mut step.forgotten, &key.0, old, known);
                    add(&mut step.topics, &key.0, id, fetch);
                }
                Some(_) | None => add(&mut step.topics, &key.0, id, fetch),
            }
            self.known.insert(key, (id, fetch));
        }
        for ((name, _), (id, fetch)) in before {
            add(&mut step.forgotten, &name, id, fetch);
        }
        step
    }

    /// The broker took the last request. Says whether it may have left out partitions of which there is no news.
    pub(super) fn answered(&mut self, id: i32) -> bool {
        let was_partial = self.epoch > 0;
        self.id = id;
        self.epoch = match (id, self.epoch) {
            (0, _) => 0,
            // After the largest comes 1: 0 has a meaning of its own.
            (_, i32::MAX) => 1,
            (_, epoch) => epoch + 1,
        };
        was_partial
    }

    /// The session that is left behind at the broker, if there is one.
    pub(super) fn end(&self) -> Option<SessionStep> {
        let (topics, forgotten) = (Vec::new(), Vec::new());
        let end = SessionStep { id: self.id, epoch: END, uses_ids: true, topics, forgotten };
        (self.id != 0).then_some(end)
    }

    /// Nobody knows what the broker knows. Says whether that explains why it refused the request.
    pub(super) fn begin_anew(&mut self) -> bool {
        self.known.clear();
        std::mem::take(&mut self.epoch) > 0
    }
}

fn add(topics: &mut Vec<TopicFetch>, name: &Arc<str>, id: TopicId, fetch: PartitionFetch) {
    match topics.iter_mut().find(|topic| topic.name == *name && topic.id == id) {
        Some(topic) => topic.partitions.push(fetch),
        None => topics.push(TopicFetch { name: name.clone(), id, partitions: vec![fetch] }),
    }
}
