//! The end of a node's life: its logs bring what they have to disk, and the node tells when the last one is at rest.

use std::collections::BTreeSet;

use klamm_model::TopicPartition;

use crate::{Effect, Rest, node::Node};

/// A stop under way.
#[derive(Debug)]
pub(crate) struct Stopping {
    /// Logs that still have operations under way.
    restless: BTreeSet<TopicPartition>,
    /// The logs at rest are all whole.
    is_whole: bool,
}

impl Node {
    pub(crate) fn begin_to_stop(&mut self, out: &mut Vec<Effect>) {
        // What could not be recovered may hold anything, and so may the logs of a node that does not know yet which are its own: a log that it takes up
        // later is not told to stop.
        let is_whole = self.damaged.is_empty() && (self.metadata.is_live() || self.found.is_empty());
        let mut stopping = Stopping { restless: BTreeSet::new(), is_whole };
        for (key, hosted) in &mut self.hosted {
            hosted.replica.stop(&mut self.ops);
            let log = hosted.replica.log();
            if log.is_at_rest() {
                stopping.is_whole &= log.is_whole();
            } else {
                stopping.restless.insert(*key);
            }
        }
        self.flush_ops(out);
        self.stopping = Some(stopping);
        self.tell_rest(out);
    }

    /// An operation of this partition has ended.
    pub(crate) fn may_rest(&mut self, key: TopicPartition, out: &mut Vec<Effect>) {
        let Some(stopping) = &mut self.stopping else { return };
        let is_whole = match self.hosted.get(&key).map(|hosted| hosted.replica.log()) {
            Some(log) if !log.is_at_rest() => return,
            Some(log) => log.is_whole(),
            // Deleted.
            None => true,
        };
        if stopping.restless.remove(&key) {
            stopping.is_whole &= is_whole;
            self.tell_rest(out);
        }
    }

    fn tell_rest(&self, out: &mut Vec<Effect>) {
        if let Some(stopping) = &self.stopping
            && stopping.restless.is_empty()
        {
            out.push(Effect::AtRest(Rest { is_whole: stopping.is_whole, broker_epoch: self.my_epoch() }));
        }
    }
}
