//! The leader's side: appends, and the questions of followers and consumers. Of consumers a follower answers some, too (KIP-392).

use bytes::Bytes;
use klamm_log::{AbortedLookup, Appended, DiskOp, ProducerState, ReadError, ReadPlan};
use klamm_model::{
    BrokerEpoch, BrokerId, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Tick, Timestamp, TransactionMark,
    ValidBatch,
};

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
    /// It takes no records now, as its disk is full: it only says where it is.
    pub takes_none: bool,
}

/// A consumer's fetch as it arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConsumerFetchRequest {
    /// The epoch under which it knows the partition's leader, if it told.
    pub current_leader_epoch: Option<LeaderEpoch>,
    /// The epoch of the last record it has, if it told.
    pub last_fetched_epoch: Option<LeaderEpoch>,
    /// The first offset it wants.
    pub from: Offset,
    /// How much it wants; the first batch comes whole whatever its size.
    pub max_bytes: u32,
    /// What it sees of transactions.
    pub isolation: Isolation,
    /// Whether a follower may answer. Consumers that know nothing of that could not tell a follower that lags from a log that was cut.
    pub by_follower: bool,
}

/// A replica that a leader may send consumers to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadReplica {
    /// Who has it.
    pub id: BrokerId,
    /// Everything below is on its disk.
    pub end: Offset,
    /// When it last had all there was.
    pub caught_up_at: Tick,
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
        /// Everything below is committed, and its transactions are decided.
        last_stable: Offset,
        /// Where the log starts.
        log_start: Offset,
        /// Which of the transactions were aborted, for who reads committed ones only.
        aborted: Option<Box<AbortedLookup>>,
    },
}

/// What of a transaction consumers see.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Isolation {
    /// Its records as they come, whatever becomes of it.
    ReadUncommitted,
    /// Nothing before it is decided.
    ReadCommitted,
}

/// The end of a transaction, as its coordinator decided it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EndTransaction {
    /// Whose transaction.
    pub producer: ProducerId,
    /// The epoch that holds from now on.
    pub epoch: ProducerEpoch,
    /// How it ends.
    pub mark: TransactionMark,
    /// Each transaction ends with a new epoch (KIP-890): a mark without one is about an earlier transaction.
    pub bumps_epoch: bool,
}

/// What consumers may read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Readable {
    /// The first offset there is.
    pub log_start: Offset,
    /// One past the last.
    pub high_watermark: Offset,
    /// One past the last for who reads committed transactions only.
    pub last_stable: Offset,
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
            let has_failed = matches!(self.duty, Duty::Idle) && self.log.has_failed();
            return Err(if has_failed {
                klamm_log::AppendError::LogFailed.into()
            } else {
                AppendError::NotLeader
            });
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

    /// Ends a producer's transaction in this partition. Said again, it is written again, which changes nothing.
    pub fn end_transaction(
        &mut self,
        it: &EndTransaction,
        now: Timestamp,
        out: &mut Vec<DiskOp>,
    ) -> Result<Appended, AppendError> {
        let is_of_earlier = |known: &ProducerState| known.transaction.is_some() && it.epoch <= known.epoch;
        if let Some(known) = self.log.producer_state(it.producer).filter(is_of_earlier)
            && it.bumps_epoch
        {
            let (producer, given, current) = (it.producer, it.epoch, known.epoch);
            return Err(klamm_log::AppendError::StaleProducerEpoch { producer, given, current }.into());
        }
        let (batch, bytes) = it.mark.to_batch(it.producer, it.epoch, now);
        self.append(&batch, bytes, Acks::All, None, out)
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
            follower.takes_none = fetch.takes_none;
            progress = self.progress_of_high_watermark();
        }
        let read = if fetch.takes_none { None } else { self.log.read(asked_from, end, fetch.max_bytes)? };
        let (high_watermark, last_stable) = (self.high_watermark, self.last_stable());
        let answer = FetchAnswer::Data { read, high_watermark, last_stable, log_start, aborted: None };
        Ok((answer, progress))
    }

    /// A follower that was level when its last fetch was looked at has waited since, and was heard of at `heard`: it did not begin to lag before that.
    pub fn follower_waited(&mut self, follower: BrokerId, heard: Tick) {
        if let Duty::Leader(leader) = &mut self.duty
            && let Some(follower) = leader.follower_mut(follower)
        {
            follower.waited(heard);
        }
    }

    /// A consumer's fetch: committed records only.
    ///
    /// A new leader that does not know yet how far its predecessor's high watermark was answers `OffsetNotAvailable`, so that no
    /// consumer sees it go back (KIP-207). That takes one round of fetches, except with too few replicas in sync: then what is
    /// known to be committed is readable, for the wait may be long.
    pub fn consumer_fetch(&self, fetch: &ConsumerFetchRequest) -> Result<FetchAnswer, FetchError> {
        let from = fetch.from;
        if fetch.by_follower && self.follows_for_consumers(fetch.current_leader_epoch)? {
            self.check_within_copy(from)?;
            return self.committed(fetch).map_err(|error| match error {
                // Its leader has them, most likely, and is to be asked.
                FetchError::Log(ReadError::Quarantined(damaged)) => FetchError::DamagedCopy(damaged),
                error => error,
            });
        }
        let leader = self.leading(fetch.current_leader_epoch)?;
        if let Some(diverging) = self.divergence(fetch.last_fetched_epoch, from) {
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
        self.committed(fetch)
    }

    /// What there is for a consumer from an offset within the log.
    fn committed(&self, fetch: &ConsumerFetchRequest) -> Result<FetchAnswer, FetchError> {
        let &ConsumerFetchRequest { from, max_bytes, isolation, .. } = fetch;
        let (log_start, high_watermark) = (self.log.log_start(), self.high_watermark);
        let last_stable = self.last_stable();
        let limit = match isolation {
            _ if self.sabotage.serve_above_high_watermark => self.log.end(),
            Isolation::ReadUncommitted => high_watermark,
            Isolation::ReadCommitted => last_stable,
        };
        let read = if from < limit { self.log.read(from, limit, max_bytes)? } else { None };
        let aborted = match (&read, isolation) {
            (Some(read), Isolation::ReadCommitted) => self.log.aborted(read, limit),
            _ => None,
        };
        Ok(FetchAnswer::Data { read, high_watermark, last_stable, log_start, aborted })
    }

    /// Whether this is a follower whose committed records are those of the partition.
    ///
    /// After an election that may have lost records, what was committed here need not be any more: consumers go to the leader.
    fn follows_for_consumers(&self, given: Option<LeaderEpoch>) -> Result<bool, FetchError> {
        let Duty::Follower(following) = &self.duty else { return Ok(false) };
        self.check_epoch(given)?;
        Ok(!self.log.has_failed() && !following.may_lose_committed())
    }

    /// Whether a follower can say anything of this offset. What it lacks its leader may have committed, which is no reason for a consumer to begin anew; whether
    /// it has, the leader knows: this one may not have heard of it for long, and may have lost what it had itself.
    fn check_within_copy(&self, from: Offset) -> Result<(), FetchError> {
        let (log_start, end) = (self.log.log_start(), self.log.end());
        if end < from {
            return Err(FetchError::NotCopiedYet { from, end });
        }
        if from < log_start {
            return Err(FetchError::OutOfRange { from, log_start, end });
        }
        Ok(())
    }

    /// The other replicas that have what is at this offset and are not behind for long, so that a consumer may read there. None where this one does not lead.
    ///
    /// One that is not in sync might stay behind for ever, and its readers with it.
    pub fn read_replicas(&self, from: Offset) -> impl Iterator<Item = ReadReplica> {
        let followers = match &self.duty {
            Duty::Leader(leader) => leader.followers.as_slice(),
            Duty::Idle | Duty::Follower(_) => &[],
        };
        followers.iter().filter_map(move |follower| {
            let end = follower.end.filter(|end| from <= *end && follower.in_sync)?;
            follower.log_start.filter(|start| *start <= from)?;
            Some(ReadReplica { id: follower.id, end, caught_up_at: follower.caught_up_at })
        })
    }

    /// Everything below is committed, and its transactions are decided.
    pub fn last_stable(&self) -> Offset {
        self.log.first_unstable().map_or(self.high_watermark, |first| first.min(self.high_watermark))
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
            last_stable: self.last_stable(),
            epoch: leader.epoch,
        })
    }

    /// Whether this replica leads, and whoever asks knows it under the same epoch.
    pub(crate) fn leading(&self, given: Option<LeaderEpoch>) -> Result<&Leader, FetchError> {
        self.check_epoch(given)?;
        match &self.duty {
            // A failed log ends where it last knew to be on disk: taken for its real end, that would make others cut back or look elsewhere.
            Duty::Leader(_) | Duty::Idle if self.log.has_failed() => {
                Err(FetchError::Log(ReadError::LogFailed))
            }
            Duty::Leader(leader) => Ok(leader),
            Duty::Idle | Duty::Follower(_) => Err(FetchError::NotLeader),
        }
    }

    fn check_epoch(&self, given: Option<LeaderEpoch>) -> Result<(), FetchError> {
        match (given, self.leader_epoch) {
            (Some(given), Some(current)) if given < current => {
                Err(FetchError::FencedEpoch { given, current })
            }
            (Some(given), Some(current)) if current < given => {
                Err(FetchError::UnknownEpoch { given, current })
            }
            _ => Ok(()),
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
