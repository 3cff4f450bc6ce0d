//! Compaction: which log's turn it is.
//!
//! One log at a time is given a pass, the dirtiest first: a pass reads and writes much, and its keys take memory. Those whose last pass failed come after the
//! others, or one that cannot be read would have every turn.

use klamm_log::{Compacted, DiskError, Log};
use klamm_model::{Tick, TopicPartition};

use crate::{Effect, Now, Walk, node::Node};

/// The log that is being compacted.
#[derive(Debug, Default)]
pub(crate) struct Cleaner {
    /// There may be a log that is to be compacted.
    is_wanted: bool,
    /// When logs are looked at next.
    at: Option<Tick>,
    /// How far the look under way has come, and the log that is to be compacted first of those it has seen.
    look: Option<(Walk, Option<Due>)>,
    running: Option<TopicPartition>,
}

/// A log that is to be compacted: whether its last pass went well, how dirty it is, and which it is.
type Due = (bool, u32, TopicPartition);

impl Cleaner {
    pub(crate) fn next_wake(&self) -> Option<Tick> {
        self.at.filter(|_| self.is_wanted)
    }

    pub(crate) fn is_looking(&self) -> bool {
        self.look.is_some()
    }

    /// There is a log that is to be compacted.
    pub(crate) fn expect_work(&mut self) {
        self.is_wanted = true;
    }
}

impl Node {
    /// Gives a log a pass, if it is time and one is due. For that all logs are looked at, a slice at a time.
    pub(crate) fn clean(&mut self, now: Now, out: &mut Vec<Effect>) {
        let next = now.tick.after_ms(self.config.cleaner.backoff_ms);
        if self.cleaner.look.is_none() {
            if !self.cleaner.is_wanted || now.tick < *self.cleaner.at.get_or_insert(next) {
                return;
            }
            // Compacted logs that are met or made from here on want the next look.
            self.cleaner.is_wanted = false;
            // It may have failed without an operation of its own that ended.
            self.cleaner.running.into_iter().for_each(|key| self.note_cleaned(now, key));
        }
        let (mut walk, mut first) = self.cleaner.look.take().unwrap_or_default();
        for key in self.next_of(&mut walk) {
            let log = self.hosted[&key].replica.log();
            self.cleaner.is_wanted |= log.config().compaction.is_some();
            let is_sound = !matches!(log.last_pass(), Some(Err(_)));
            first = first.max(log.compaction_due(now.wall).map(|dirt| (is_sound, dirt, key)));
        }
        if !walk.is_over() {
            self.cleaner.look = Some((walk, first));
            return;
        }
        // A pass that ended meanwhile may have asked for a rest.
        if self.cleaner.at.is_some_and(|at| now.tick < at) {
            return;
        }
        self.cleaner.at = self.cleaner.is_wanted.then_some(next);
        if self.cleaner.running.is_none()
            && let Some((.., key)) = first
            && let Some(hosted) = self.hosted.get_mut(&key)
        {
            hosted.replica.compact(now.wall, &mut self.ops);
            // Unless it was compacted after it was looked at.
            self.cleaner.running = Some(key).filter(|_| hosted.replica.log().is_compacting());
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
                tracing::debug!(topic, partition = %key.partition, %from, %through, bytes_before, bytes_after, key_count, "log compacted");
                // Another may have waited for this one.
                let bytes = bytes_before + bytes_after;
                let rest_ms =
                    self.config.cleaner.bytes_per_second_max.map_or(0, |max| bytes * 1000 / max.max(1));
                self.cleaner.at = Some(now.tick.after_ms(rest_ms));
            }
            Some(Err(DiskError::CalledOff)) => {
                tracing::debug!(topic, partition = %key.partition, "a log is not compacted, as the broker stops");
            }
            // It is tried again at the next round.
            Some(Err(error)) => {
                tracing::error!(topic, partition = %key.partition, %error, "a log could not be compacted");
            }
            None => {}
        }
    }
}
