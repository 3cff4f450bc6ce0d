//! Brokers whose connections to this one have just broken: their processes may be gone.
//!
//! A client that loses the leader it wrote to asks another broker who leads now, within a millisecond; a controller needs some ten to hear of a process that is
//! gone, and to have others lead. A client that is told of the old leader asks again when it thinks fit: librdkafka after up to a second. So
//! a question about such a broker's partitions waits for the metadata to change, or for that broker to be heard again, and for a moment at most.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

use klamm_model::{BrokerId, Tick};

use crate::{ConnectionId, Effect, Now, calls::MetadataAsked, handlers::topics, node::Node};

/// What an election takes where all are well, some times over.
const DOUBT_MS: u64 = 300;
/// Questions that wait at most. Others hear what is known.
const WAITING_MAX: usize = 1_000;

#[derive(Debug, Default)]
pub(crate) struct Doubts {
    /// Brokers that were heard since they were last in doubt. One that is gone for good is in doubt once.
    heard: BTreeSet<BrokerId>,
    until: BTreeMap<BrokerId, Tick>,
    waiting: Vec<MetadataAsked>,
}

impl Doubts {
    pub(crate) fn next_wake(&self) -> Option<Tick> {
        self.until.values().min().copied()
    }

    /// As the view has them.
    pub(crate) fn brokers(&self) -> BTreeSet<BrokerId> {
        self.until.keys().copied().collect()
    }

    pub(crate) fn have_room(&self) -> bool {
        self.waiting.len() < WAITING_MAX
    }

    /// Answered as soon as nothing it asks about is in doubt.
    pub(crate) fn wait(&mut self, asked: MetadataAsked) {
        self.waiting.push(asked);
    }

    pub(crate) fn forget(&mut self, connection: ConnectionId) {
        self.waiting.retain(|it| it.to.connection != connection);
    }
}

impl Node {
    /// A connection with that broker broke.
    pub(crate) fn doubt(&mut self, now: Now, broker: BrokerId) {
        if self.doubts.heard.remove(&broker) {
            self.doubts.until.insert(broker, now.tick.after_ms(DOUBT_MS));
            self.view_is_stale = true;
        }
    }

    /// That broker answered, or asked something.
    pub(crate) fn heard_of(&mut self, broker: BrokerId) {
        if self.doubts.heard.insert(broker) && self.doubts.until.remove(&broker).is_some() {
            self.view_is_stale = true;
        }
    }

    /// Ends doubts that have lasted, and answers whoever waited for one that ended or for other metadata.
    pub(crate) fn settle_doubts(&mut self, now: Now, out: &mut Vec<Effect>) {
        let count = self.doubts.until.len();
        let image = &self.image;
        let is_served = |broker| image.broker(broker).is_some_and(|it| it.is_active());
        self.doubts.until.retain(|broker, until| now.tick < *until && is_served(*broker));
        self.view_is_stale |= self.doubts.until.len() < count;
        if self.view_is_stale {
            for MetadataAsked { to, origin, version, request } in mem::take(&mut self.doubts.waiting) {
                topics::metadata(self, now, to, &origin, version, request, out);
            }
        }
    }
}
