//! Looking for damage that nobody has met yet: which log's turn it is.
//!
//! One log at a time, in pieces, with rests between them, so that no more is read in a second than may be. What somebody has met comes before a
//! round through all of them. A round begins somewhere: a broker that starts often does not look at the same logs each time.

use std::collections::VecDeque;

use klamm_log::{DamagedRange, DiskError, FileKind, ScrubProgress, SegmentId};
use klamm_model::{Tick, TopicPartition};
use klamm_replica::Progress;

use crate::{Effect, Now, ScrubberConfig, node::Node};

/// Bytes of a piece: a disk thread is taken for some milliseconds.
const PIECE_BYTES: u32 = 1 << 20;
/// When the first round begins, if the interval is longer. A broker that has just started has other things to read.
const FIRST_MS: u64 = 3600 * 1000;
/// Logs that are looked at in one step, for most of them have nothing to be read.
const LOGS_A_TURN_MAX: usize = 256;
/// Segments that wait to be looked at because somebody met damage in them; others are met again.
const SUSPECTS_MAX: usize = 1024;

/// The log that is looked at, and those that wait for it.
#[derive(Debug)]
pub(crate) struct Scrubber {
    seed: u64,
    current: Option<TopicPartition>,
    /// A piece of the current one is under way.
    is_reading: bool,
    /// The rest of the round.
    waiting: VecDeque<TopicPartition>,
    suspects: VecDeque<SegmentId>,
    rest_until: Tick,
    /// When the round began, or the first one could have.
    round_began: Option<Tick>,
    round_count: u64,
    pub(crate) bytes: u64,
}

impl Scrubber {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            current: None,
            is_reading: false,
            waiting: VecDeque::new(),
            suspects: VecDeque::new(),
            rest_until: Tick::default(),
            round_began: None,
            round_count: 0,
            bytes: 0,
        }
    }

    pub(crate) fn next_wake(&self, config: &ScrubberConfig) -> Option<Tick> {
        let has_work = self.current.is_some() || !self.waiting.is_empty() || !self.suspects.is_empty();
        match (self.is_reading, has_work) {
            (true, _) => None,
            (false, true) => Some(self.rest_until),
            (false, false) => self.round_at(config),
        }
    }

    fn round_at(&self, config: &ScrubberConfig) -> Option<Tick> {
        let first_ms = if self.round_count == 0 { FIRST_MS } else { u64::MAX };
        let began = self.round_began.filter(|_| 0 < config.bytes_per_second)?;
        Some(began.after_ms(config.interval_ms.min(first_ms)))
    }

    pub(crate) fn suspect(&mut self, segment: SegmentId) {
        if self.suspects.len() < SUSPECTS_MAX && !self.suspects.contains(&segment) {
            self.suspects.push_back(segment);
        }
    }
}

impl Node {
    /// Goes on with the scrub, if it is time.
    pub(crate) fn scrub(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.scrubber.round_began.get_or_insert(now.tick);
        if self.scrubber.next_wake(&self.config.scrubber).is_none_or(|at| now.tick < at)
            || self.stopping.is_some()
        {
            return;
        }
        for _ in 0..LOGS_A_TURN_MAX {
            let Some(key) = self.log_to_scrub(now) else { return };
            let hosted = self.hosted.get_mut(&key);
            if hosted.is_some_and(|hosted| hosted.replica.scrub_on(PIECE_BYTES, &mut self.ops)) {
                self.scrubber.is_reading = true;
                return self.flush_ops(out);
            }
            self.scrubber.current = None;
        }
        self.scrubber.rest_until = now.tick;
    }

    fn log_to_scrub(&mut self, now: Now) -> Option<TopicPartition> {
        if self.scrubber.current.is_some() {
            return self.scrubber.current;
        }
        let scrubber = &mut self.scrubber;
        let is_round_due = scrubber.round_at(&self.config.scrubber).is_some_and(|at| at <= now.tick);
        if scrubber.suspects.is_empty() && scrubber.waiting.is_empty() && is_round_due {
            scrubber.round_began = Some(now.tick);
            scrubber.round_count += 1;
            let mut keys: Vec<TopicPartition> = self.hosted.keys().copied().collect();
            keys.sort_unstable();
            let first = scrubber.seed % (keys.len() as u64).max(1);
            keys.rotate_left(first as usize);
            scrubber.waiting = keys.into();
        }
        let suspect = scrubber.suspects.pop_front();
        let key = suspect.map(|segment| segment.partition).or_else(|| scrubber.waiting.pop_front())?;
        if let Some(hosted) = self.hosted.get_mut(&key) {
            hosted.replica.begin_scrub(suspect.map(|segment| segment.base));
        }
        scrubber.current = Some(key);
        scrubber.current
    }

    /// An operation of this log has ended: perhaps a piece of a scrub, or a pass of compaction that met damage.
    pub(crate) fn note_scrubbed(&mut self, now: Now, key: TopicPartition, progress: &Progress) {
        if let Some(base) = progress.suspect {
            self.scrubber.suspect(SegmentId { partition: key, base });
        }
        let Some(ScrubProgress { bytes, damaged, error }) = &progress.scrubbed else { return };
        let bytes = u64::from(*bytes);
        let rate = self.config.scrubber.bytes_per_second;
        self.scrubber.is_reading = false;
        self.scrubber.bytes += bytes;
        self.scrubber.rest_until = now.tick.after_ms((bytes * 1000).checked_div(rate).unwrap_or(0));
        for range in damaged {
            self.tell_damage(key, range);
        }
        if let Some(error) = error.as_ref().filter(|error| **error != DiskError::CalledOff) {
            tracing::error!(topic = self.topic_of(key), partition = %key.partition, %error, "the rest of a segment could not be looked at");
        }
    }

    /// One line for each range, and for each start.
    pub(crate) fn tell_damage(&self, key: TopicPartition, range: &DamagedRange) {
        let Some(hosted) = self.hosted.get(&key) else { return };
        let log = hosted.replica.log();
        let (name, file) = (&hosted.name, FileKind::Log.file_name(range.base));
        let file = format!("{}/{name}-{}/{file}", self.disks.path(log.log_dir()), key.partition);
        let DamagedRange { from, to, position, .. } = range;
        let compaction =
            if log.config().compaction.is_some() { "; its segment is not compacted" } else { "" };
        tracing::error!(topic = %name, partition = %key.partition, %from, %to, file, position, size = range.size(), "records on disk are not what was written: they stay there, and are not served{compaction}");
    }
}
