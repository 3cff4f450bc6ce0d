//! Compaction: which log's turn it is.
//!
//! One log at a time is given a pass, the dirtiest first: a pass reads and writes much, and its keys take memory. Those whose last pass failed come after the
//! others, or one that cannot be read would have every turn.

use klamm_log::{Compacted, Log};
use klamm_model::{Tick, TopicPartition};

use crate::{Effect, Now, hosted::Hosted, node::Node};

/// The log that is being compacted.
#[derive(Debug, Default)]
pub(crate) struct Cleaner {
    /// There may be a log that is to be compacted.
    is_wanted: bool,
    /// When logs are looked at next.
    at: Option<Tick>,
    running: Option<TopicPartition>,
}

impl Cleaner {
    pub(crate) fn next_wake(&self) -> Option<Tick> {
        self.at
    }

    /// There is a log that is to be compacted.
    pub(crate) fn expect_work(&mut self) {
        self.is_wanted = true;
    }
}

impl Node {
    /// Gives a log a pass, if it is time and one is due.
    pub(crate) fn clean(&mut self, now: Now, out: &mut Vec<Effect>) {
        let next = now.tick.after_ms(self.config.cleaner.backoff_ms);
        if !self.cleaner.is_wanted || now.tick < *self.cleaner.at.get_or_insert(next) {
            return;
        }
        let is_compacted = |hosted: &Hosted| hosted.replica.log().config().compaction.is_some();
        self.cleaner.is_wanted = self.hosted.values().any(is_compacted);
        self.cleaner.at = self.cleaner.is_wanted.then_some(next);
        // It may have failed without an operation of its own that ended.
        self.cleaner.running.into_iter().for_each(|key| self.note_cleaned(now, key));
        if self.cleaner.running.is_some() {
            return;
        }
        let due = |(key, hosted): (&TopicPartition, &Hosted)| {
            let log = hosted.replica.log();
            let is_sound = !matches!(log.last_pass(), Some(Err(_)));
            Some((is_sound, log.compaction_due(now.wall)?, *key))
        };
        let dirtiest = self.hosted.iter().filter_map(due).max().map(|(.., key)| key);
        if let Some(key) = dirtiest
            && let Some(hosted) = self.hosted.get_mut(&key)
        {
            hosted.replica.compact(now.wall, &mut self.ops);
            self.cleaner.running = Some(key);
            self.flush_ops(out);
        }
    }

    /// An operation of this log has ended: perhaps a pass with it.
    pub(crate) fn note_cleaned(&mut self, now: Now, key: TopicPartition) {
        let log = self.hosted.get(&key).map(|hosted| hosted.replica.log());
        if self.cleaner.running != Some(key) || log.is_some_and(Log::is_compacting) {
            return;
        }
        self.cleaner.running = None;
        let topic = self.topic_of(key);
        match log.and_then(Log::last_pass) {
            Some(Ok(pass)) => {
                let Compacted { from, through, bytes_before, bytes_after, key_count } = *pass;
                tracing::info!(topic, partition = %key.partition, %from, %through, bytes_before, bytes_after, key_count, "log compacted");
                // Another may have waited for this one.
                let bytes = bytes_before + bytes_after;
                let rest_ms =
                    self.config.cleaner.bytes_per_second_max.map_or(0, |max| bytes * 1000 / max.max(1));
                self.cleaner.at = Some(now.tick.after_ms(rest_ms));
            }
            // It is tried again at the next round.
            Some(Err(error)) => {
                tracing::error!(topic, partition = %key.partition, %error, "a log could not be compacted");
            }
            None => {}
        }
    }
}
