//! Partitions on their way from one data directory to another (AlterReplicaLogDirs): which one's turn it is.
//!
//! One at a time, since a move reads and writes a whole log. Nothing of it is kept over a restart: what has not ended by then is forgotten.

use std::collections::BTreeMap;

use klamm_log::LogDir;
use klamm_model::TopicPartition;

use crate::{Effect, node::Node};

/// The partition that moves, and those that wait.
#[derive(Debug, Default)]
pub(crate) struct Mover {
    wanted: BTreeMap<TopicPartition, LogDir>,
    running: Option<TopicPartition>,
}

impl Node {
    /// The other data directory that a partition is to be in.
    pub(crate) fn moving_to(&self, key: TopicPartition) -> Option<LogDir> {
        let log = self.hosted.get(&key)?.replica.log();
        self.mover.wanted.get(&key).copied().or(log.moving_to()).filter(|to| *to != log.log_dir())
    }

    /// From now on a partition is to be in this data directory, whatever was wanted before.
    pub(crate) fn want_in(&mut self, key: TopicPartition, to: LogDir, out: &mut Vec<Effect>) {
        if let Some(running) = self.mover.running {
            self.note_moved(running, out);
        }
        let Some(hosted) = self.hosted.get_mut(&key) else { return };
        self.mover.wanted.remove(&key);
        let is_running = self.mover.running == Some(key);
        if hosted.replica.log().moving_to() == Some(to) {
            return;
        }
        if is_running {
            hosted.replica.call_off_move(&mut self.ops);
        }
        if is_running || hosted.replica.log().log_dir() != to {
            self.mover.wanted.insert(key, to);
        }
        self.move_next(out);
    }

    /// An operation of this log has ended: perhaps its move with it.
    pub(crate) fn note_moved(&mut self, key: TopicPartition, out: &mut Vec<Effect>) {
        if self.mover.running != Some(key) {
            return;
        }
        let hosted = self.hosted.get_mut(&key);
        if hosted.as_ref().is_some_and(|hosted| hosted.replica.log().is_moving()) {
            return;
        }
        self.mover.running = None;
        if let Some(hosted) = hosted {
            let (topic, partition, log_dir) = (&*hosted.name, key.partition, hosted.replica.log().log_dir());
            let from = std::mem::replace(&mut hosted.counted_in, log_dir);
            if log_dir == from {
                tracing::warn!(topic, %partition, "a log stays in its data directory");
            } else {
                self.disks.moved(from, log_dir);
                tracing::info!(topic, %partition, path = self.disks.path(log_dir), "a log has moved");
                self.ask_again_by_room(key);
            }
        }
        self.move_next(out);
    }

    fn move_next(&mut self, out: &mut Vec<Effect>) {
        while self.mover.running.is_none()
            && self.stopping.is_none()
            && let Some((key, to)) = self.mover.wanted.pop_first()
        {
            let Some(hosted) = self.hosted.get_mut(&key) else { continue };
            if !self.disks.has_room_for(to, hosted.replica.log().size_bytes()) {
                // There was when it was asked for; others have come since.
                let (topic, path) = (&hosted.name, self.disks.path(to));
                tracing::error!(%topic, partition = %key.partition, path, "no room for a log in the data directory that it is to move to");
                continue;
            }
            hosted.replica.move_log(to, &mut self.ops);
            if hosted.replica.log().is_moving() {
                self.mover.running = Some(key);
            }
        }
        self.flush_ops(out);
    }
}
