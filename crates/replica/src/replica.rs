//! The replica: its part in the partition, how it changes, and what the disk's answers move.

use klamm_log::{DiskError, DiskOp, Done, Log, LogConfig, LogDir, OpId, ScrubProgress};
use klamm_model::{BrokerId, LeaderEpoch, Offset, Tick, Timestamp};

use crate::error::BecomeError;
use crate::follower::Following;
use crate::leader::Leader;
use crate::state::{PartitionState, ReplicaConfig, Sabotage};

/// One partition on this broker.
pub struct Replica {
    pub(crate) me: BrokerId,
    pub(crate) log: Log,
    pub(crate) config: ReplicaConfig,
    pub(crate) sabotage: Sabotage,
    pub(crate) duty: Duty,
    /// Everything below is known to be committed.
    pub(crate) high_watermark: Offset,
    /// The newest leader epoch that this replica took a part in.
    pub(crate) leader_epoch: Option<LeaderEpoch>,
}

/// The part a replica has, with what belongs to it.
pub(crate) enum Duty {
    /// Serves nothing and asks for nothing.
    Idle,
    Leader(Box<Leader>),
    Follower(Following),
}

/// The part a replica has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// It has not been told yet, or was taken offline.
    Idle,
    /// It accepts and hands out records.
    Leader {
        /// The epoch it leads under.
        epoch: LeaderEpoch,
    },
    /// It copies.
    Follower {
        /// Whom it copies; nobody while the partition has no leader.
        leader: Option<BrokerId>,
        /// The leader's epoch.
        epoch: LeaderEpoch,
    },
}

/// What a call changed. Whoever owns the waiters reads off it which of them to release and which to fail.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// The high watermark moved here. What waits for an offset at or below it is committed.
    pub high_watermark: Option<Offset>,
    /// More is written: answers from the page cache may leave, followers have something to fetch.
    pub written: bool,
    /// Everything appended at and above this offset is gone again, because a write failed.
    pub lost_from: Option<Offset>,
    /// It led and does not any more: what waits for an offset above the high watermark must be failed, for another leader may
    /// commit other records there.
    pub resigned: bool,
    /// Replicas were taken away, and what was known of them is forgotten: whoever waits here for records must be told to ask again.
    pub followers_gone: bool,
    /// The log failed for good, now. Nothing can be appended any more, and what was not synced counts as lost.
    pub log_failed: bool,
    /// The log's files are gone, as [`Replica::delete`] asked.
    pub deleted: bool,
    /// Compaction has found this segment damaged.
    pub suspect: Option<Offset>,
    /// A piece of a scrub has ended.
    pub scrubbed: Option<ScrubProgress>,
}

impl Replica {
    /// A replica on a log that was created or recovered. It is idle until it is told its part.
    pub fn new(me: BrokerId, log: Log, config: ReplicaConfig, sabotage: Sabotage) -> Self {
        let high_watermark = log.log_start();
        Self { me, log, config, sabotage, duty: Duty::Idle, high_watermark, leader_epoch: None }
    }

    /// Leads from now on. Under the leader epoch it already leads under, only the sets of replicas change.
    ///
    /// Its own records all stay, whoever wrote them; those that the epoch before did not see committed are committed with this
    /// epoch's first.
    pub fn become_leader(&mut self, now: Tick, state: &PartitionState) -> Result<Progress, BecomeError> {
        if state.leader != Some(self.me) {
            return Err(BecomeError::OtherLeader { leader: state.leader });
        }
        if self.role() == (Role::Leader { epoch: state.leader_epoch }) {
            return Ok(self.image_changed(now, state));
        }
        self.refuse_old_epoch(state)?;
        // With one replica there is no follower that could hold what is missing here.
        if self.log.last_epoch() == Some(state.leader_epoch) && 1 < state.replicas.len() {
            // It does not lead: then its log would end in an older epoch.
            self.duty = Duty::Idle;
            return Err(BecomeError::EpochUsedBefore { epoch: state.leader_epoch });
        }
        self.leader_epoch = Some(state.leader_epoch);
        let epoch_start = self.log.end();
        if self.log.last_epoch() != Some(state.leader_epoch) {
            self.log.begin_epoch(state.leader_epoch, epoch_start);
        }
        self.duty = Duty::Leader(Box::new(Leader::new(self.me, now, state, epoch_start)));
        Ok(self.progress_of_high_watermark())
    }

    /// Copies from now on, or waits where the partition has no leader.
    pub fn become_follower(&mut self, state: &PartitionState) -> Result<Progress, BecomeError> {
        if state.leader == Some(self.me) {
            return Err(BecomeError::OtherLeader { leader: state.leader });
        }
        self.refuse_old_epoch(state)?;
        self.leader_epoch = Some(state.leader_epoch);
        let role = Role::Follower { leader: state.leader, epoch: state.leader_epoch };
        if self.role() == role {
            return Ok(Progress::default());
        }
        let progress = self.resign();
        self.duty = Duty::Follower(Following::new(state, self.high_watermark));
        Ok(progress)
    }

    /// Serves nothing from now on.
    pub fn become_offline(&mut self) -> Progress {
        self.resign()
    }

    /// The metadata has a new in-sync set or other replicas under the leader epoch that this replica leads under. Anything else
    /// changes nothing.
    pub fn image_changed(&mut self, now: Tick, state: &PartitionState) -> Progress {
        let me = self.me;
        let Duty::Leader(leader) = &mut self.duty else {
            return Progress::default();
        };
        if state.leader_epoch != leader.epoch || state.partition_epoch < leader.partition_epoch {
            return Progress::default();
        }
        let followers_gone = leader.adopt_replicas(me, now, &state.replicas);
        if leader.partition_epoch < state.partition_epoch {
            leader.adopt_isr(now, state.partition_epoch, &state.isr);
        }
        leader.adopt_eligible(state.others_eligible);
        Progress { followers_gone, ..self.progress_of_high_watermark() }
    }

    /// A disk operation of this partition has ended.
    pub fn disk_done(
        &mut self,
        op: OpId,
        result: Result<Done, DiskError>,
        out: &mut Vec<DiskOp>,
    ) -> Progress {
        let moved = self.log.done(op, result, out);
        if self.sabotage.forget_damage {
            self.log.forget_damage();
        }
        if let Duty::Leader(leader) = &mut self.duty {
            leader.forget_above(self.log.end());
        }
        let mut progress = self.progress_of_high_watermark();
        progress.written = moved.written.is_some();
        progress.lost_from = moved.lost_from;
        progress.log_failed = moved.fatal.is_some();
        progress.deleted = moved.deleted;
        (progress.suspect, progress.scrubbed) = (moved.suspect, moved.scrubbed);
        self.check_invariants();
        progress
    }

    /// A sync of this partition begins on the disk: it covers what was written while it waited, too. See [`Log::sync_begins`].
    pub fn sync_begins(&mut self, op: OpId) {
        self.log.sync_begins(op);
    }

    /// Time passed: the log's background work.
    pub fn periodic(&mut self, now: Tick, out: &mut Vec<DiskOp>) {
        self.log.periodic(now, out);
    }

    /// Looks for segments that are too old or too much; `wall` is compared with their records' timestamps.
    pub fn enforce_retention(&mut self, wall: Timestamp, out: &mut Vec<DiskOp>) {
        const AGES: i64 = 1 << 40;
        let wall = if self.sabotage.retention_ignores_age { Timestamp(wall.0 + AGES) } else { wall };
        self.log.enforce_retention(wall, out);
    }

    /// Begins to compact the log, if that is due.
    pub fn compact(&mut self, wall: Timestamp, out: &mut Vec<DiskOp>) {
        self.log.compact(wall, out);
    }

    /// Takes the log to another data directory, by and by.
    pub fn move_log(&mut self, to: LogDir, out: &mut Vec<DiskOp>) {
        self.log.move_to(to, out);
    }

    /// The log stays where it is, unless it is too late for that.
    pub fn call_off_move(&mut self, out: &mut Vec<DiskOp>) {
        self.log.call_off_move(out);
    }

    /// Begins to look for damage: in the segment that begins at `base`, or in all of them.
    pub fn begin_scrub(&mut self, base: Option<Offset>) {
        match base {
            Some(base) => self.log.begin_scrub_of(base),
            None => self.log.begin_scrub(),
        }
    }

    /// Goes on with it by a piece. Tells whether there is any left.
    pub fn scrub_on(&mut self, bytes_max: u32, out: &mut Vec<DiskOp>) -> bool {
        self.log.scrub_on(bytes_max, out)
    }

    /// The disk that the log is on has failed.
    #[must_use]
    pub fn disk_failed(&mut self, error: DiskError) -> Progress {
        let moved = self.log.disk_failed(error);
        if let Duty::Leader(leader) = &mut self.duty {
            leader.forget_above(self.log.end());
        }
        Progress { lost_from: moved.lost_from, log_failed: moved.fatal.is_some(), ..Progress::default() }
    }

    /// The process ends: what this log has comes to disk.
    pub fn stop(&mut self, out: &mut Vec<DiskOp>) {
        self.log.stop(out);
    }

    /// The topic was deleted: the log's files go.
    #[must_use]
    pub fn delete(&mut self, out: &mut Vec<DiskOp>) -> Progress {
        let progress = self.resign();
        self.log.delete(out);
        progress
    }

    /// The topic's settings changed. A lower `min_isr` may release the high watermark, and so may other settings of the log.
    #[must_use]
    pub fn set_config(&mut self, config: ReplicaConfig) -> Progress {
        self.config = config;
        self.progress_of_high_watermark()
    }

    /// The topic's settings for the log changed.
    pub fn set_log_config(&mut self, config: LogConfig) {
        self.log.set_config(config);
    }

    /// Everything below is committed. What a leader knows may lag behind what its predecessor knew; see [`Self::consumer_fetch`].
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// The partition's records.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The part it has.
    pub fn role(&self) -> Role {
        match &self.duty {
            Duty::Idle => Role::Idle,
            Duty::Leader(leader) => Role::Leader { epoch: leader.epoch },
            Duty::Follower(following) => Role::Follower { leader: following.leader, epoch: following.epoch },
        }
    }

    /// The newest leader epoch that this replica took a part in.
    pub fn leader_epoch(&self) -> Option<LeaderEpoch> {
        self.leader_epoch
    }

    /// The committed in-sync set, as its leader knows it; empty on others.
    pub fn in_sync(&self) -> &[BrokerId] {
        match &self.duty {
            Duty::Leader(leader) => &leader.isr,
            Duty::Idle | Duty::Follower(_) => &[],
        }
    }

    /// Whether this replica leads and as many are in sync as `acks=all` asks for.
    pub fn enough_in_sync(&self) -> bool {
        match &self.duty {
            Duty::Leader(leader) => leader.enough_in_sync(self.config),
            Duty::Idle | Duty::Follower(_) => false,
        }
    }

    /// What of this log counts as held: as leader for the high watermark, as follower for what it claims.
    pub(crate) fn counted_end(&self) -> Offset {
        if self.sabotage.ack_before_synced {
            return self.log.written();
        }
        self.log.frontier()
    }

    /// Moves the high watermark as far as it goes, and tells whether it moved.
    pub(crate) fn progress_of_high_watermark(&mut self) -> Progress {
        let counted_end = self.counted_end();
        let committed = match &self.duty {
            Duty::Idle => None,
            Duty::Leader(leader) => leader.committed_end(counted_end, self.config, self.sabotage),
            Duty::Follower(following) => Some(following.leader_high_watermark.min(counted_end)),
        };
        let high_watermark = committed.filter(|&committed| self.high_watermark < committed);
        if let Some(moved) = high_watermark {
            self.high_watermark = moved;
            self.log.note_high_watermark(moved);
        }
        Progress { high_watermark, ..Progress::default() }
    }

    /// Metadata is replayed from the start when a broker starts. A part in an epoch that is over would make this replica follow
    /// a leader that lacks records committed since, and cut its log back to that leader's.
    fn refuse_old_epoch(&self, state: &PartitionState) -> Result<(), BecomeError> {
        if self.log.has_failed() {
            return Err(BecomeError::LogFailed);
        }
        match self.leader_epoch.max(self.log.last_epoch()) {
            Some(current) if state.leader_epoch < current => {
                Err(BecomeError::OldEpoch { given: state.leader_epoch, current })
            }
            _ => Ok(()),
        }
    }

    fn resign(&mut self) -> Progress {
        let resigned = matches!(self.duty, Duty::Leader(_));
        self.duty = Duty::Idle;
        Progress { resigned, ..Progress::default() }
    }

    pub(crate) fn check_invariants(&self) {
        let (high_watermark, end) = (self.high_watermark, self.log.end());
        // A replica that breaks a rule on purpose is for the checkers of the history to find.
        if self.log.has_failed() || self.sabotage != Sabotage::default() {
            return;
        }
        assert!(high_watermark <= end, "high watermark {high_watermark} is above the log's end {end}");
    }
}
