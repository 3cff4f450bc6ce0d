//! The leader's side: appends, and the questions of followers and consumers.

use bytes::Bytes;
use klamm_log::{Appended, DiskOp, ReadError, ReadPlan};
use klamm_model::{BrokerEpoch, BrokerId, LeaderEpoch, Offset, Tick, ValidBatch};

use crate::error::{AppendError, FetchError};
use crate::leader::Leader;
use crate::replica::{Duty, Progress, Replica};

/// What a producer waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Acks {
    /// Nothing.
    None,
    /// The leader's write.
    Leader,
    /// The high watermark: every replica in sync.
    All,
}

/// A follower's fetch as it arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FollowerFetchRequest {
    /// Who fetches.
    pub follower: BrokerId,
    /// The registration it fetches under, if it told.
    pub broker_epoch: Option<BrokerEpoch>,
    /// The epoch it believes this leader to lead under. A fetch without one is served but proves nothing.
    pub current_leader_epoch: Option<LeaderEpoch>,
    /// The first offset it wants; it holds everything below.
    pub fetch_offset: Offset,
    /// The epoch of the last record it holds; `None` if it holds none.
    pub last_fetched_epoch: Option<LeaderEpoch>,
    /// Where its log starts, if it told.
    pub log_start: Option<Offset>,
    /// How much it wants; the first batch comes whole whatever its size.
    pub max_bytes: u32,
}

/// The answer to a fetch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FetchAnswer {
    /// Whoever fetches holds records that this leader has not: it must cut back first.
    Diverging {
        /// The newest epoch here that is not newer than that of the last record fetched.
        epoch: LeaderEpoch,
        /// Where that epoch ends.
        end: Offset,
    },
    /// What there is.
    Data {
        /// Where the records are; `None` if there are none yet.
        read: Option<ReadPlan>,
        /// Everything below is committed.
        high_watermark: Offset,
        /// Where the log starts.
        log_start: Offset,
    },
}

/// What consumers may read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Readable {
    /// The first offset there is.
    pub log_start: Offset,
    /// One past the last.
    pub high_watermark: Offset,
    /// The leader's epoch.
    pub epoch: LeaderEpoch,
}

impl Replica {
    /// Takes a producer's batch. `Appended::end` is what `acks=all` waits for, for a duplicate too: the original may not be
    /// committed yet.
    ///
    /// `expected_epoch` is given by those whose own state belongs to one leadership, such as coordinators.
    pub fn append(
        &mut self,
        batch: &ValidBatch,
        bytes: Bytes,
        acks: Acks,
        expected_epoch: Option<LeaderEpoch>,
        out: &mut Vec<DiskOp>,
    ) -> Result<Appended, AppendError> {
        let Duty::Leader(leader) = &self.duty else {
            return Err(AppendError::NotLeader);
        };
        let current = leader.epoch;
        if let Some(given) = expected_epoch.filter(|&given| given != current) {
            return Err(AppendError::Fenced { given, current });
        }
        if acks == Acks::All && !leader.enough_in_sync(self.config) {
            return Err(AppendError::NotEnoughReplicas {
                in_sync: u32::try_from(leader.isr.len()).unwrap_or(u32::MAX),
                min_isr: self.config.min_isr,
            });
        }
        let mut batch = *batch;
        if self.sabotage.forget_producer_state {
            batch.producer = None;
        }
        Ok(self.log.append_as_leader(current, &batch, bytes, out)?)
    }

    /// A follower's fetch: counts what it claims to hold, and says what comes next. The high watermark may move.
    pub fn follower_fetch(
        &mut self,
        now: Tick,
        fetch: &FollowerFetchRequest,
    ) -> Result<(FetchAnswer, Progress), FetchError> {
        let asked_from = fetch.fetch_offset;
        let mut counts = true;
        if !self.sabotage.skip_epoch_check_on_fetch {
            self.leading(fetch.current_leader_epoch)?;
            if let Some(diverging) = self.divergence(fetch.last_fetched_epoch, asked_from) {
                return Ok((diverging, Progress::default()));
            }
            counts = fetch.current_leader_epoch.is_some();
        }
        let (log_start, end, written) = (self.log.log_start(), self.log.end(), self.log.written());
        let Duty::Leader(leader) = &mut self.duty else {
            return Err(FetchError::NotLeader);
        };
        let Some(follower) = leader.follower_mut(fetch.follower) else {
            return Err(FetchError::UnknownReplica { follower: fetch.follower });
        };
        if let (Some(given), Some(current)) = (fetch.broker_epoch, follower.broker_epoch)
            && given < current
        {
            return Err(FetchError::StaleBroker { given, current });
        }
        if asked_from < log_start || end < asked_from {
            return Err(FetchError::OutOfRange { from: asked_from, log_start, end });
        }
        let mut progress = Progress::default();
        follower.log_start = fetch.log_start.or(follower.log_start);
        if counts {
            follower.fetched(now, fetch.broker_epoch, asked_from, written);
            progress = self.progress_of_high_watermark();
        }
        let read = self.log.read(asked_from, end, fetch.max_bytes)?;
        Ok((FetchAnswer::Data { read, high_watermark: self.high_watermark, log_start }, progress))
    }

    /// A consumer's fetch: committed records only.
    ///
    /// A new leader that does not know yet how far its predecessor's high watermark was answers `OffsetNotAvailable`, so that no
    /// consumer sees it go back (KIP-207). That takes one round of fetches, except with too few replicas in sync: then what is
    /// known to be committed is readable, for the wait may be long.
    pub fn consumer_fetch(
        &self,
        current_leader_epoch: Option<LeaderEpoch>,
        last_fetched_epoch: Option<LeaderEpoch>,
        from: Offset,
        max_bytes: u32,
    ) -> Result<FetchAnswer, FetchError> {
        let leader = self.leading(current_leader_epoch)?;
        if let Some(diverging) = self.divergence(last_fetched_epoch, from) {
            return Ok(diverging);
        }
        let (log_start, end, high_watermark) = (self.log.log_start(), self.log.end(), self.high_watermark);
        if from < log_start || end < from {
            return Err(FetchError::OutOfRange { from, log_start, end });
        }
        let long_wait = !leader.enough_in_sync(self.config);
        if !(long_wait && from < high_watermark) {
            self.check_high_watermark_known(leader)?;
        }
        let limit = if self.sabotage.serve_above_high_watermark { end } else { high_watermark };
        let read = if from < limit { self.log.read(from, limit, max_bytes)? } else { None };
        Ok(FetchAnswer::Data { read, high_watermark, log_start })
    }

    /// The newest epoch that is not newer than `asked`, and where it ends (KIP-101, KIP-320).
    pub fn epoch_end(
        &self,
        current_leader_epoch: Option<LeaderEpoch>,
        asked: LeaderEpoch,
    ) -> Result<(LeaderEpoch, Offset), FetchError> {
        self.leading(current_leader_epoch)?;
        Ok(self.own_epoch_end(asked))
    }

    /// The offsets consumers may read, for questions about the earliest and the latest (ListOffsets).
    pub fn readable(&self, current_leader_epoch: Option<LeaderEpoch>) -> Result<Readable, FetchError> {
        let leader = self.leading(current_leader_epoch)?;
        self.check_high_watermark_known(leader)?;
        Ok(Readable {
            log_start: self.log.log_start(),
            high_watermark: self.high_watermark,
            epoch: leader.epoch,
        })
    }

    /// Whether this replica leads, and whoever asks knows it under the same epoch.
    pub(crate) fn leading(&self, given: Option<LeaderEpoch>) -> Result<&Leader, FetchError> {
        if let (Some(given), Some(current)) = (given, self.leader_epoch) {
            if given < current {
                return Err(FetchError::FencedEpoch { given, current });
            }
            if current < given {
                return Err(FetchError::UnknownEpoch { given, current });
            }
        }
        match &self.duty {
            // A failed log ends where it last knew to be on disk: taken for its real end, that would make others cut back or look elsewhere.
            Duty::Leader(_) if self.log.has_failed() => Err(FetchError::Log(ReadError::LogFailed)),
            Duty::Leader(leader) => Ok(leader),
            Duty::Idle | Duty::Follower(_) => Err(FetchError::NotLeader),
        }
    }

    fn check_high_watermark_known(&self, leader: &Leader) -> Result<(), FetchError> {
        let (high_watermark, epoch_start) = (self.high_watermark, leader.epoch_start);
        if high_watermark < epoch_start {
            return Err(FetchError::OffsetNotAvailable { high_watermark, epoch_start });
        }
        Ok(())
    }

    /// Where the logs part, if whoever fetches from `from` on has other records just before it than this leader.
    fn divergence(&self, last_fetched: Option<LeaderEpoch>, from: Offset) -> Option<FetchAnswer> {
        let asked = last_fetched?;
        let (epoch, end) = self.own_epoch_end(asked);
        (epoch < asked || end < from).then_some(FetchAnswer::Diverging { epoch, end })
    }

    fn own_epoch_end(&self, asked: LeaderEpoch) -> (LeaderEpoch, Offset) {
        // An epoch before all of ours: its records lie before the log, or never were here. What follows agrees from the log's
        // start on.
        self.log.epoch_end(asked).unwrap_or((asked, self.log.log_start()))
    }
}
