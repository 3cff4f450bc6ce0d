//! A partition's log as a state machine: calls in, disk operations out, their ends in.
//!
//! ```text
//!   log_start        synced         written            end
//!      |  on disk      |  readable     |  on the way     |
//!   [  a  b  c  d      |  e  f  g      |  h  i  j        )
//! ```
//! Invariant: `synced <= written <= end`, `log_start <= written`, and nothing at or above `written` is readable. `end`, the segments, the epochs and the
//! producers are those of everything appended, as if all queued disk work had been done; what is taken back is undone in all of them.

use klamm_model::{LeaderEpoch, Offset, Producer, ProducerId, Tick, Timestamp, TopicPartition, ValidBatch};

use crate::compact::{Compacted, Pass};
use crate::config::{Flush, LogConfig};
use crate::disk::{DiskError, DiskOp, LogDir, SegmentId, SegmentVersion};
use crate::epochs::Epochs;
use crate::error::AppendError;
use crate::index::Largest;
use crate::moving::Moving;
use crate::notes::{Draft, Notes};
use crate::producers::{Part, ProducerState, Producers, TransactionGuard};
use crate::quarantine::{DamagedRange, Quarantine};
use crate::queue::{Barrier, Queue};
use crate::retention::Leftovers;
use crate::scrub::{ScrubProgress, Scrubbing};
use crate::segment::Segment;
use crate::tail::Tail;
use crate::transactions::Unconfirmed;

/// What the end of an operation moved.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// The written frontier moved up to here.
    pub written: Option<Offset>,
    /// The synced frontier moved up to here.
    pub synced: Option<Offset>,
    /// Everything appended at and above is gone again, because of `error`.
    pub lost_from: Option<Offset>,
    /// What failed. If `fatal` is not set, the log goes on.
    pub error: Option<DiskError>,
    /// The log has failed for good, now: all further calls are refused.
    pub fatal: Option<DiskError>,
    /// A cut of the log is on disk; it ended here.
    pub truncated: Option<Offset>,
    /// The files are gone, as [`Log::delete`] asked, or stay because of `error`.
    pub deleted: bool,
    /// Compaction has found this segment damaged.
    pub suspect: Option<Offset>,
    /// A piece of a scrub has ended.
    pub scrubbed: Option<ScrubProgress>,
}

/// Whether a log still takes calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Life {
    Running,
    /// A disk operation failed and nobody knows what is on the disk.
    Failed,
    /// The files go, or are gone.
    Deleted,
}

/// A partition's log.
#[derive(Debug)]
pub struct Log {
    pub(crate) partition: TopicPartition,
    pub(crate) log_dir: LogDir,
    pub(crate) config: LogConfig,
    pub(crate) life: Life,
    pub(crate) log_start: Offset,
    pub(crate) synced: Offset,
    pub(crate) written: Offset,
    pub(crate) end: Offset,
    /// Bytes of the log up to `end`, to `written` and to `synced`, all counted from when it was opened.
    pub(crate) appended_bytes: u64,
    pub(crate) written_bytes: u64,
    pub(crate) synced_bytes: u64,
    pub(crate) high_watermark: Offset,
    /// In the order of their bases; never empty. The last one grows.
    pub(crate) segments: Vec<Segment>,
    pub(crate) tail: Tail,
    pub(crate) epochs: Epochs,
    pub(crate) producers: Producers,
    pub(crate) unconfirmed: Unconfirmed,
    pub(crate) queue: Queue,
    /// The directory's name, until it is made.
    pub(crate) to_create: Option<String>,
    /// The epochs differ from what their file says.
    pub(crate) epochs_unsaved: bool,
    /// What the file with the durable point says, or may say.
    pub(crate) durable_point: Offset,
    /// The log start that a start would find. Above `log_start` only until a cut that is queued begins.
    pub(crate) log_start_on_disk: Offset,
    /// Closed segments that end here or below have expired.
    pub(crate) expired_below: Offset,
    pub(crate) leftovers: Leftovers,
    /// What of the log is not served because it is not what was written.
    pub(crate) quarantine: Quarantine,
    /// Its file says something else.
    pub(crate) quarantine_unsaved: bool,
    /// Notes on the growing segment, as they are in their files.
    pub(crate) notes: Option<Notes>,
    /// The file with the durable point has others, or none.
    pub(crate) notes_unsaved: bool,
    pub(crate) draft: Option<Box<Draft>>,
    /// Each key is there once below, or newer.
    pub(crate) clean_to: Offset,
    /// What of it the file with the durable point says.
    pub(crate) clean_to_on_disk: Offset,
    /// A scrub under way.
    pub(crate) scrubbing: Option<Box<Scrubbing>>,
    /// Compaction under way.
    pub(crate) pass: Option<Box<Pass>>,
    /// A move to another data directory under way.
    pub(crate) moving: Option<Box<Moving>>,
    /// How the last pass ended.
    pub(crate) last_pass: Option<Result<Compacted, DiskError>>,
    /// The newest version of a segment that compaction made.
    pub(crate) version: u32,
    /// A segment ended, or the log start moved: the durable point is not to wait for its turn.
    pub(crate) durable_point_due: bool,
    /// A small file found the disk full: wait for the next turn.
    pub(crate) errands_pause: bool,
    /// The last time somebody told us.
    pub(crate) now: Tick,
    pub(crate) durable_point_saved: Tick,
    pub(crate) sync_started: Tick,
    /// The process ends: everything is brought to disk and saved as soon as it can be.
    pub(crate) is_stopping: bool,
}

impl Log {
    /// An empty log that starts at offset 0, in a directory of this name, such as `topic-0`, which is made now in the first data directory.
    pub fn create(
        partition: TopicPartition,
        directory: String,
        config: LogConfig,
        out: &mut Vec<DiskOp>,
    ) -> Self {
        Self::create_in(LogDir::default(), partition, directory, config, out)
    }

    /// The same in a data directory of choice.
    pub fn create_in(
        log_dir: LogDir,
        partition: TopicPartition,
        directory: String,
        config: LogConfig,
        out: &mut Vec<DiskOp>,
    ) -> Self {
        let mut log = Self::empty(partition, config, Offset::ZERO);
        log.log_dir = log_dir;
        log.to_create = Some(directory);
        log.create_files();
        log.pump(out);
        log
    }

    pub(crate) fn empty(partition: TopicPartition, config: LogConfig, base: Offset) -> Self {
        Self {
            partition,
            log_dir: LogDir::default(),
            config,
            life: Life::Running,
            log_start: base,
            synced: base,
            written: base,
            end: base,
            appended_bytes: 0,
            written_bytes: 0,
            synced_bytes: 0,
            high_watermark: base,
            segments: vec![Segment::new(base)],
            tail: Tail::default(),
            epochs: Epochs::default(),
            producers: Producers::default(),
            unconfirmed: Unconfirmed::default(),
            queue: Queue::default(),
            to_create: None,
            epochs_unsaved: false,
            durable_point: Offset::ZERO,
            log_start_on_disk: base,
            expired_below: Offset::ZERO,
            leftovers: Leftovers::default(),
            quarantine: Quarantine::default(),
            quarantine_unsaved: false,
            notes: None,
            notes_unsaved: false,
            draft: None,
            clean_to: Offset::ZERO,
            clean_to_on_disk: Offset::ZERO,
            scrubbing: None,
            pass: None,
            moving: None,
            last_pass: None,
            version: 0,
            durable_point_due: false,
            errands_pause: false,
            now: Tick::default(),
            durable_point_saved: Tick::default(),
            sync_started: Tick::default(),
            is_stopping: false,
        }
    }

    /// Queues the making of the directory, if it has to be made.
    pub(crate) fn create_files(&mut self) {
        if let Some(directory) = self.to_create.take() {
            let base = self.active().base;
            self.active_mut().may_exist = true;
            self.queue.push_barrier(Barrier::Create { directory, topic: self.partition.topic, base });
        }
    }

    /// Whether no segment of it was found: nothing in it ever counted, or somebody has removed it.
    pub fn has_no_files(&self) -> bool {
        self.to_create.is_some()
    }

    /// Whose log this is.
    pub fn partition(&self) -> TopicPartition {
        self.partition
    }

    /// The data directory it is in.
    pub fn log_dir(&self) -> LogDir {
        self.log_dir
    }

    /// It was found in this data directory, before it is [started](Self::start).
    pub fn set_log_dir(&mut self, log_dir: LogDir) {
        self.log_dir = log_dir;
    }

    /// The settings that hold.
    pub fn config(&self) -> &LogConfig {
        &self.config
    }

    /// Other settings from now on. A log that is to be synced from now on is, with the next append or call of [`periodic`](Self::periodic),
    /// which it [wants](Self::wants_periodic) then.
    pub fn set_config(&mut self, config: LogConfig) {
        self.config = config;
    }

    /// The first offset there is.
    pub fn log_start(&self) -> Offset {
        self.log_start
    }

    /// The offset below which records stay deleted whatever happens: a start finds it on disk.
    pub fn durable_log_start(&self) -> Offset {
        self.log_start.min(self.log_start_on_disk)
    }

    /// One past the last offset given out.
    pub fn end(&self) -> Offset {
        self.end
    }

    /// Everything below is written, and readable.
    pub fn written(&self) -> Offset {
        self.written
    }

    /// Everything below is on disk.
    pub fn synced(&self) -> Offset {
        self.synced
    }

    /// Everything below counts: as a leader's own copy, and as what a follower claims to have.
    pub fn frontier(&self) -> Offset {
        match self.config.flush {
            Flush::Synced => self.synced,
            Flush::Relaxed { .. } => self.written,
        }
    }

    /// What is not served because it is not what was written, in the order of offsets.
    pub fn damaged(&self) -> &[DamagedRange] {
        self.quarantine.ranges()
    }

    /// The disk failed, or the log was deleted: everything is refused.
    pub fn has_failed(&self) -> bool {
        self.life != Life::Running
    }

    /// The epoch of the last record.
    pub fn last_epoch(&self) -> Option<LeaderEpoch> {
        self.epochs.at(self.end.before()?)
    }

    /// The epoch of the record at `offset`.
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        if offset < self.log_start || self.end <= offset {
            return None;
        }
        self.epochs.at(offset)
    }

    /// The newest epoch that is not newer than `asked`, and where it ends: where the next begins, or the log ends (KIP-101, KIP-320).
    pub fn epoch_end(&self, asked: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        self.epochs.end_of(asked, self.end)
    }

    /// All producers that are remembered, by id.
    pub fn producer_states(&self) -> impl Iterator<Item = ProducerState> {
        self.producers.sorted().into_iter().map(|(id, entry)| ProducerState::of(id, entry))
    }

    /// Whether a transactional batch would begin a transaction here, so that its coordinator has to be asked first. `None` if its transaction is open
    /// already, or the batch is there already. Asked again before the append, it must be `None` or the same.
    pub fn begins_transaction(&self, batch: &ValidBatch) -> Option<TransactionGuard> {
        let producer = batch.producer.filter(|_| batch.is_transactional && batch.mark.is_none())?;
        self.producers.begins_transaction(producer, batch.last_offset_delta)
    }

    /// The same of a batch without numbers, as a coordinator writes it for a producer. Refuses what the append would refuse.
    pub fn begins_unnumbered(&self, producer: Producer) -> Result<Option<TransactionGuard>, AppendError> {
        self.producers.check(producer, 0, Part::Member)?;
        Ok(self.producers.begins_transaction(producer, 0))
    }

    /// What is known of a producer.
    pub fn producer_state(&self, id: ProducerId) -> Option<ProducerState> {
        self.producers.get(id).map(|entry| ProducerState::of(id, entry))
    }

    /// A leader's epoch begins at `at`, though it has no record yet. It is saved with its first one: a start would not take it for one without.
    ///
    /// # Panics
    /// If there are records of a newer epoch: the caller has to refuse those who come too late.
    pub fn begin_epoch(&mut self, epoch: LeaderEpoch, at: Offset) {
        if self.life == Life::Running {
            self.epochs.begin(epoch, at);
        }
    }

    /// Nothing below is going to be taken back, unless a leader is elected that lacks committed records.
    pub fn note_high_watermark(&mut self, high_watermark: Offset) {
        self.high_watermark = high_watermark;
        self.unconfirmed.confirm(high_watermark);
        self.tail.trim(high_watermark, self.written);
        self.forget_indexes();
    }

    /// Closed segments have indexes as files. One that a cut may make grow again has to have it in memory: above the high watermark, and as far as
    /// batches are listed, where a cut is exact.
    pub(crate) fn forget_indexes(&mut self) {
        let cut_above = self.tail.start().map_or(self.high_watermark, |start| start.min(self.high_watermark));
        let mut next_base = self.active().base;
        for segment in self.segments.iter_mut().rev().skip(1) {
            if segment.index.is_none() {
                break;
            }
            if segment.sealed && next_base <= cut_above {
                segment.index = None;
                segment.aborted.forget();
            }
            next_base = segment.base;
        }
    }

    /// Bytes of all segments.
    pub fn size_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| u64::from(segment.size)).sum()
    }

    /// The highest timestamp of a record; negative if none has one.
    pub fn largest_timestamp(&self) -> Timestamp {
        let largest = self.segments.iter().map(|segment| segment.largest.timestamp).max();
        largest.expect("a log always has a segment")
    }

    /// When about the record at `offset` was written, by the timestamps, as far as that is known without a look into a file: between the nearest two
    /// that are known, as if records had come at an even pace.
    pub fn time_near(&self, offset: Offset) -> Option<Timestamp> {
        let at = self.segment_at(offset);
        let segment = &self.segments[at];
        let before = at.checked_sub(1).map_or(Largest::NONE, |before| self.segments[before].largest);
        let begin = before.timestamp.max(segment.first_timestamp);
        let begin = Largest { timestamp: begin, last_offset: segment.base };
        let [known, behind] =
            segment.index.as_ref().map_or([None; 2], |index| index.times_around(segment.base, offset));
        let (early, late) = (known.unwrap_or(begin), behind.unwrap_or(segment.largest));
        if early.timestamp.0 < 0 || offset < self.log_start || self.end <= offset {
            return None;
        }
        let span = late.last_offset.raw().saturating_sub(early.last_offset.raw());
        let passed = offset.raw().saturating_sub(early.last_offset.raw()).clamp(0, span.max(0));
        let time = i128::from(late.timestamp.0.saturating_sub(early.timestamp.0).max(0));
        let since = if 0 < span { time * i128::from(passed) / i128::from(span) } else { 0 };
        Some(Timestamp(early.timestamp.0 + i64::try_from(since).expect("a part of the time between them")))
    }

    /// Bytes appended that are not known to be on disk.
    pub fn unsynced_bytes(&self) -> u64 {
        self.appended_bytes - self.synced_bytes
    }

    /// Bytes appended that are not written yet.
    pub fn queued_bytes(&self) -> u64 {
        self.queue.bytes
    }

    pub(crate) fn active(&self) -> &Segment {
        self.segments.last().expect("a log always has a segment")
    }

    pub(crate) fn active_mut(&mut self) -> &mut Segment {
        self.segments.last_mut().expect("a log always has a segment")
    }

    pub(crate) fn id_of(&self, base: Offset) -> SegmentId {
        SegmentId { partition: self.partition, base }
    }

    pub(crate) fn version_of(&self, segment: &Segment) -> SegmentVersion {
        SegmentVersion { id: self.id_of(segment.base), version: segment.version }
    }

    /// The segment that has `offset`, or would have it: the last one, for the end.
    pub(crate) fn segment_at(&self, offset: Offset) -> usize {
        self.segments.partition_point(|segment| segment.base <= offset).saturating_sub(1)
    }

    /// Where the segment's records end.
    pub(crate) fn segment_end(&self, at: usize) -> Offset {
        self.segments.get(at + 1).map_or(self.end, |next| next.base)
    }

    /// Stops the process if the log contradicts itself: a wrong log is worse than none. Costs as much as is kept in memory.
    pub fn check_invariants(&self) {
        if self.life != Life::Running {
            return;
        }
        self.check_frontiers();
        let mut last_end = None;
        for batch in self.tail.iter() {
            assert!(
                last_end.is_none_or(|end| end == batch.base),
                "batches of {} do not follow: {batch:?} after {last_end:?}",
                self.partition
            );
            last_end = Some(batch.end);
        }
        assert!(
            last_end.is_none_or(|end| end == self.end),
            "the last batch of {} ends at {last_end:?}, the log at {}",
            self.partition,
            self.end
        );
        assert!(
            self.written == self.end || self.tail.start().is_some_and(|start| start <= self.written),
            "unwritten batches of {} are not in memory",
            self.partition
        );
        assert!(
            self.segments.is_sorted_by(|one, next| one.base < next.base),
            "segments of {} out of order: {:?}",
            self.partition,
            self.segments
        );
        assert!(
            self.log_start_on_disk <= self.log_start || !self.queue.is_open(),
            "log start {} of {} is on disk, but it is {}",
            self.log_start_on_disk,
            self.partition,
            self.log_start
        );
        assert!(
            self.notes.is_none_or(|notes| notes.base == self.active().base && notes.through <= self.end),
            "notes on {}, which ends at {}: {:?}",
            self.partition,
            self.end,
            self.notes
        );
        assert!(
            self.leftovers.named.last().is_none_or(|last| *last < self.segments[0].base),
            "leftovers {:?} of {} are part of it",
            self.leftovers,
            self.partition
        );
        assert!(
            self.active().base <= self.end,
            "segment {} of {} begins after the end {}",
            self.active().base,
            self.partition,
            self.end
        );
        assert!(
            self.quarantine.ranges().is_sorted_by(|one, next| one.to <= next.from)
                && self.quarantine.ranges().iter().all(|range| range.from < self.end),
            "damaged ranges of {}, from {} up to {}: {:?}",
            self.partition,
            self.log_start,
            self.end,
            self.quarantine
        );
        assert!(
            self.segments.iter().all(|it| it.index.is_none() || it.aborted.is_known()),
            "a segment of {} that may grow has no index of aborted transactions",
            self.partition
        );
        assert!(self.active().index.is_some(), "the growing segment of {} has no index", self.partition);
        if let Some(last) = self.tail.last().filter(|last| self.active().base <= last.base) {
            assert_eq!(
                last.position + last.size,
                self.active().size,
                "size of {}'s last segment",
                self.partition
            );
        }
        let mut written_to = self.written;
        for running in self.queue.running.iter().filter(|running| !running.lost) {
            assert_eq!(running.base, written_to, "a hole between the writes of {}", self.partition);
            written_to = running.end;
        }
        assert!(
            self.epochs.newest().is_none_or(|newest| newest.start <= self.end),
            "epoch {:?} of {} begins after the end",
            self.epochs.newest(),
            self.partition
        );
    }

    /// The cheap part of the invariants, for every call that changes something.
    pub(crate) fn check_frontiers(&self) {
        let Self { partition, log_start, synced, written, end, .. } = self;
        assert!(
            self.life != Life::Running || (log_start <= end && synced <= written && written <= end),
            "frontiers of {partition}: log start {log_start}, synced {synced}, written {written}, end {end}"
        );
    }

    pub(crate) fn after_change(&self) {
        self.check_frontiers();
        #[cfg(debug_assertions)]
        self.check_invariants();
    }
}
