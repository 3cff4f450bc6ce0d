//! The data directories, as far as decisions depend on them: where a new partition goes, whether there is room to produce, and which have failed.
//!
//! The shell looks how much room there is when the node asks for it, which is the sooner the less is left. A node that writes nothing asks for nothing, but
//! for one that waits for room: that looks at every periodic round, so that it takes records again by itself.

use klamm_log::{DiskAction, DiskError, DiskOp, LogDir, Space};
use klamm_model::TopicPartition;

use crate::{Effect, LogDirReport, NodeConfig, hosted::Hosted, node::Node};

/// Bytes written between two looks, however much room there is: others write to the same disk.
const LOOK_BYTES_MAX: u64 = 64 << 20;
/// The same, however little there is.
const LOOK_BYTES_MIN: u64 = 1 << 20;

/// Where nothing is configured, this much stays free, or this share of a small disk.
const MIN_FREE_BYTES: u64 = 5 << 30;
const MIN_FREE_DIVISOR: u64 = 20;

/// All of them.
pub(crate) struct Disks {
    dirs: Vec<Dir>,
    min_free_bytes: Option<u64>,
    unseen_bytes: u64,
    /// Bytes to be written before the next look.
    look_at: u64,
    is_look_due: bool,
    is_look_under_way: bool,
}

struct Dir {
    path: String,
    space: Option<Space>,
    /// Produce is refused.
    is_full: bool,
    /// Nor is taken what others lead: what is left is for what makes room again, and for the metadata.
    is_spent: bool,
    has_failed: bool,
    partition_count: usize,
}

impl Disks {
    pub(crate) fn new(config: &NodeConfig) -> Self {
        assert!(!config.log_dirs.is_empty(), "a node has a data directory");
        let dir = |path: &String| Dir {
            path: path.clone(),
            space: None,
            is_full: false,
            is_spent: false,
            has_failed: false,
            partition_count: 0,
        };
        Self {
            dirs: config.log_dirs.iter().map(dir).collect(),
            min_free_bytes: config.min_free_bytes,
            unseen_bytes: 0,
            look_at: LOOK_BYTES_MAX,
            is_look_due: true,
            is_look_under_way: false,
        }
    }

    /// Where a new partition goes: where the fewest are, as with Kafka, and where there is room.
    pub(crate) fn place(&self) -> LogDir {
        let numbered = self.dirs.iter().enumerate();
        let best = numbered.min_by_key(|(_, dir)| (dir.has_failed, dir.is_full, dir.partition_count));
        LogDir(best.map_or(0, |(number, _)| number as u16))
    }

    pub(crate) fn hosted(&mut self, log_dir: LogDir) {
        self.dir_mut(log_dir).partition_count += 1;
    }

    pub(crate) fn left(&mut self, log_dir: LogDir) {
        self.dir_mut(log_dir).partition_count -= 1;
    }

    /// Whether there is too little room to take records from clients.
    pub(crate) fn is_full(&self, log_dir: LogDir) -> bool {
        self.dir(log_dir).is_full
    }

    /// Whether what others lead is still taken.
    pub(crate) fn may_follow(&self, log_dir: LogDir) -> bool {
        !self.dir(log_dir).is_spent
    }

    /// Whether there was room for so much more when it was looked at last.
    pub(crate) fn has_room_for(&self, log_dir: LogDir, bytes: u64) -> bool {
        let fits =
            |space: Space| min_free(self.min_free_bytes, space).saturating_add(bytes) <= space.free_bytes;
        !self.is_full(log_dir) && self.space(log_dir).is_none_or(fits)
    }

    pub(crate) fn has_failed(&self, log_dir: LogDir) -> bool {
        self.dir(log_dir).has_failed
    }

    /// A partition has moved.
    pub(crate) fn moved(&mut self, from: LogDir, to: LogDir) {
        self.left(from);
        self.hosted(to);
    }

    pub(crate) fn path(&self, log_dir: LogDir) -> &str {
        &self.dir(log_dir).path
    }

    /// The data directory at this path.
    pub(crate) fn at_path(&self, path: &str) -> Option<LogDir> {
        let found = self.dirs.iter().position(|dir| dir.path == path.trim_end_matches('/'));
        found.map(|number| LogDir(number as u16))
    }

    pub(crate) fn reports(&self) -> impl Iterator<Item = LogDirReport> {
        self.dirs.iter().map(|dir| LogDirReport {
            path: dir.path.clone(),
            partitions: dir.partition_count,
            is_full: dir.is_full,
            has_failed: dir.has_failed,
        })
    }

    /// How much room there was when it was looked at last.
    pub(crate) fn space(&self, log_dir: LogDir) -> Option<Space> {
        self.dir(log_dir).space
    }

    /// An operation is handed out.
    pub(crate) fn note(&mut self, op: &DiskOp) {
        match &op.action {
            DiskAction::Write { body, .. } => self.unseen_bytes += body.len() as u64,
            // The step before may have copied a whole segment.
            DiskAction::Move(_) => self.is_look_due = true,
            _ => {}
        }
    }

    /// A periodic round. Tells whether there has to be another though nothing happens.
    pub(crate) fn periodic(&mut self) -> bool {
        let waits_for_room = self.some_are_full();
        self.is_look_due |= waits_for_room || 0 < self.unseen_bytes;
        waits_for_room
    }

    /// Whether the shell has to look now; the answer is [`Self::seen`].
    pub(crate) fn take_look(&mut self) -> bool {
        let is_due = self.is_look_due || self.look_at <= self.unseen_bytes;
        if !is_due || self.is_look_under_way {
            return false;
        }
        self.is_look_due = false;
        self.is_look_under_way = true;
        self.unseen_bytes = 0;
        true
    }

    /// What the shell saw, by number; `None` where it could not be found out. Tells in which it is news whether what others lead is taken.
    fn seen(&mut self, spaces: &[Option<Space>]) -> Vec<LogDir> {
        self.is_look_under_way = false;
        self.look_at = LOOK_BYTES_MAX;
        let min_free_bytes = self.min_free_bytes;
        let mut news = Vec::new();
        for ((number, dir), space) in self.dirs.iter_mut().enumerate().zip(spaces) {
            let Some(space) = *space else { continue };
            let min = min_free(min_free_bytes, space);
            if dir.see(space, min) {
                news.push(LogDir(number as u16));
            }
            let above = space.free_bytes.saturating_sub(min);
            self.look_at = self.look_at.min((above / 4).max(LOOK_BYTES_MIN));
        }
        news
    }

    /// Whether records are refused as a directory has too little room. A failed one would not take them with room either.
    pub(crate) fn some_are_full(&self) -> bool {
        self.dirs.iter().any(|dir| dir.is_full && !dir.has_failed)
    }

    /// Tells whether that is news.
    fn fail(&mut self, log_dir: LogDir) -> bool {
        !std::mem::replace(&mut self.dir_mut(log_dir).has_failed, true)
    }

    /// A write found no room. A look tells whether there is none: it may have been file descriptors, or a quota.
    pub(crate) fn look_again(&mut self) {
        self.is_look_due = true;
    }

    /// For whoever is refused because of [`Self::is_full`].
    pub(crate) fn why_full(&self, log_dir: LogDir) -> Option<String> {
        let dir = self.dir(log_dir);
        let free_bytes = dir.space.filter(|_| dir.is_full)?.free_bytes;
        Some(format!(
            "the broker's disk is nearly full ({free_bytes} bytes free): it takes no records until there is room"
        ))
    }

    fn dir(&self, log_dir: LogDir) -> &Dir {
        &self.dirs[usize::from(log_dir.0)]
    }

    fn dir_mut(&mut self, log_dir: LogDir) -> &mut Dir {
        &mut self.dirs[usize::from(log_dir.0)]
    }
}

/// So much of a disk is to stay free. Where nothing is, less than is written between two looks is as good as none.
fn min_free(configured: Option<u64>, space: Space) -> u64 {
    let share = space.total_bytes / MIN_FREE_DIVISOR;
    configured.unwrap_or(MIN_FREE_BYTES.min(share)).max(LOOK_BYTES_MIN.min(share))
}

impl Dir {
    /// Tells whether records of other brokers are taken now and were not, or the other way round.
    fn see(&mut self, space: Space, min: u64) -> bool {
        self.space = Some(space);
        let Space { free_bytes, total_bytes } = space;
        // A little more than the least, so that it does not come and go with each small thing that is deleted.
        let a_little = min / 8;
        let is_spent = free_bytes < min / 2 + if self.is_spent { a_little } else { 0 };
        if is_spent && !self.is_spent {
            tracing::error!(
                path = self.path,
                free_bytes,
                "the disk is full: nothing is copied from other brokers"
            );
        }
        let is_other = std::mem::replace(&mut self.is_spent, is_spent) != is_spent;
        let enough = min.saturating_add(a_little);
        let path = &self.path;
        if !self.is_full && free_bytes < min {
            self.is_full = true;
            tracing::error!(
                path,
                free_bytes,
                total_bytes,
                min,
                "the disk is nearly full: no records are taken from clients"
            );
        } else if self.is_full && enough <= free_bytes {
            self.is_full = false;
            tracing::warn!(path, free_bytes, total_bytes, "there is room on the disk again");
        }
        is_other
    }
}

impl Node {
    /// The shell has looked how much room there is. Who is full looks again by itself, and tells the controller at once, so that others lead.
    pub(crate) fn space_seen(&mut self, spaces: &[Option<Space>], now: crate::Now) {
        let was_full = self.disks.some_are_full();
        for log_dir in self.disks.seen(spaces) {
            self.in_log_dir(log_dir).into_iter().for_each(|key| self.ask_again_by_room(key));
        }
        let is_full = self.disks.some_are_full();
        if is_full {
            self.plan_periodic(now);
        }
        if is_full != was_full {
            self.membership.has_news(now.tick);
        }
    }

    fn in_log_dir(&self, log_dir: LogDir) -> Vec<TopicPartition> {
        let in_it = |hosted: &Hosted| hosted.replica.log().log_dir() == log_dir;
        self.hosted.iter().filter(|(_, it)| in_it(it)).map(|(key, _)| *key).collect()
    }

    /// A data directory answers no more: everything in it is offline, and the rest goes on (F27, F28).
    pub(crate) fn log_dir_failed(&mut self, log_dir: LogDir, out: &mut Vec<Effect>) {
        if !self.disks.fail(log_dir) {
            return;
        }
        tracing::error!(
            path = self.disks.dir(log_dir).path,
            "a data directory has failed; its partitions are offline here"
        );
        let lost: Vec<_> = self.found.extract_if(.., |_, log| log.log_dir() == log_dir).collect();
        lost.into_iter().for_each(|(key, _)| self.adopt_damaged(key));
        for key in self.in_log_dir(log_dir) {
            let Some(hosted) = self.hosted.get_mut(&key) else { continue };
            let progress =
                hosted.replica.disk_failed(DiskError::Io("its data directory has failed".to_owned()));
            self.progressed(key, &progress, out);
        }
    }
}
