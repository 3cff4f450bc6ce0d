//! The follower's side: what to fetch next, and what an answer does to the log.
//!
//! It fetches only when its log is at rest: everything it has is on disk (synced, where the topic asks for it) and no cut is
//! pending. So the offset of a fetch says three things at once: what is held, what is wanted, and where the logs must agree.

use bytes::Bytes;
use klamm_log::DiskOp;
use klamm_model::{Batches, BrokerId, LeaderEpoch, Offset, Tail};

use crate::error::FetchedError;
use crate::replica::{Duty, Progress, Replica};
use crate::state::PartitionState;

/// What a follower keeps of its leader.
pub(crate) struct Following {
    pub(crate) leader: Option<BrokerId>,
    pub(crate) epoch: LeaderEpoch,
    /// The leader's high watermark as last told.
    pub(crate) leader_high_watermark: Offset,
    /// The leader may lack committed records: cut back even those.
    unclean: bool,
    /// The leader asked for what must not be done. Nothing more is fetched from it.
    halted: bool,
    /// The leader has answered under this epoch that the logs agree.
    agrees: bool,
}

/// A fetch to make. Keep it beside the request: an answer counts only for the log it was made for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FollowerFetch {
    /// Whom to ask.
    pub leader: BrokerId,
    /// The epoch it is believed to lead under.
    pub leader_epoch: LeaderEpoch,
    /// The first offset wanted; everything below is held.
    pub fetch_offset: Offset,
    /// The epoch of the last record held; `None` for an empty log.
    pub last_fetched_epoch: Option<LeaderEpoch>,
    /// Where this log starts.
    pub log_start: Offset,
}

/// A leader's answer. Other refusals (not the leader, another epoch, no connection) concern nobody here: ask again later.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fetched {
    /// The logs agree up to the fetch's offset; this comes next.
    Data {
        /// Batches as the leader stores them; the last may be cut off. Empty if there is nothing yet.
        records: Bytes,
        /// Everything below is committed.
        high_watermark: Offset,
        /// Where the leader's log starts.
        log_start: Offset,
    },
    /// The logs differ before the fetch's offset (KIP-595).
    Diverging {
        /// The leader's newest epoch that is not newer than the follower's last.
        epoch: LeaderEpoch,
        /// Where that epoch ends at the leader.
        end: Offset,
    },
    /// The leader has nothing at the fetch's offset any more.
    OutOfRange {
        /// Where the leader's log starts.
        log_start: Offset,
    },
}

impl Following {
    pub(crate) fn new(state: &PartitionState, high_watermark: Offset) -> Self {
        Self {
            leader: state.leader,
            epoch: state.leader_epoch,
            leader_high_watermark: high_watermark,
            unclean: state.unclean,
            halted: false,
            agrees: false,
        }
    }

    /// Records that were committed here may have to go.
    pub(crate) fn may_lose_committed(&self) -> bool {
        self.halted || (self.unclean && !self.agrees)
    }
}

impl Replica {
    /// The fetch to make now. `None` unless it follows somebody and its log is at rest.
    pub fn next_fetch(&self) -> Option<FollowerFetch> {
        let Duty::Follower(following) = &self.duty else {
            return None;
        };
        let leader = following.leader.filter(|_| !following.halted && !self.log.has_failed())?;
        if self.counted_end() < self.log.end() {
            return None;
        }
        Some(FollowerFetch {
            leader,
            leader_epoch: following.epoch,
            fetch_offset: self.log.end(),
            last_fetched_epoch: self.log.last_epoch().filter(|_| !self.sabotage.skip_truncation),
            log_start: self.log.log_start(),
        })
    }

    /// The leader answered `fetch`. An answer that comes late, or twice, is one to a fetch that would not be made now: it
    /// changes nothing.
    pub fn fetched(
        &mut self,
        fetch: &FollowerFetch,
        answer: Fetched,
        out: &mut Vec<DiskOp>,
    ) -> Result<Progress, FetchedError> {
        if self.next_fetch() != Some(*fetch) {
            return Ok(Progress::default());
        }
        match answer {
            Fetched::Data { records, high_watermark, log_start } => {
                self.copy(fetch, &records, out)?;
                if let Duty::Follower(following) = &mut self.duty {
                    following.agrees = true;
                    // A new leader may know less than its predecessor did.
                    following.leader_high_watermark = following.leader_high_watermark.max(high_watermark);
                }
                let progress = self.progress_of_high_watermark();
                let log_start = log_start.min(self.high_watermark);
                if self.log.log_start() < log_start {
                    self.log.advance_log_start(log_start, out);
                }
                Ok(progress)
            }
            Fetched::Diverging { epoch, end } => self.reconcile(epoch, end, out),
            Fetched::OutOfRange { log_start } => self.start_again(log_start, out),
        }
    }

    fn copy(
        &mut self,
        fetch: &FollowerFetch,
        records: &Bytes,
        out: &mut Vec<DiskOp>,
    ) -> Result<(), FetchedError> {
        let mut batches = Batches::new(records, Tail::MayBeTruncated);
        for batch in batches.by_ref() {
            let batch = batch.map_err(FetchedError::Malformed)?;
            let found = batch.header().leader_epoch;
            if found.is_none_or(|found| fetch.leader_epoch < found) {
                return Err(FetchedError::EpochFromTheFuture {
                    base: batch.base_offset(),
                    found,
                    leader_epoch: fetch.leader_epoch,
                });
            }
        }
        let whole = batches.position();
        if 0 < whole {
            self.log.append_as_follower(records.slice(..whole), out)?;
        }
        Ok(())
    }

    /// Cuts back to the last point that the leader's answer allows to be common. With several epochs that the other side does
    /// not know this takes several rounds, each of which gets past at least one (KIP-279).
    fn reconcile(
        &mut self,
        epoch: LeaderEpoch,
        end: Offset,
        out: &mut Vec<DiskOp>,
    ) -> Result<Progress, FetchedError> {
        // What is older than the epoch named, or lies below its end in it, may be common. An epoch that is known here only ends
        // here before the next; one that is not known here has no records here.
        let own = self.log.epoch_end(epoch).map_or(self.log.log_start(), |(_, own_end)| own_end);
        let to = own.min(end).max(self.log.log_start());
        let own_end = self.log.end();
        if own_end <= to {
            return Err(FetchedError::NothingToTruncate { epoch, end, own_end });
        }
        self.give_up_from(to)?;
        self.log.truncate_to(to, out);
        // A batch goes as a whole. That it reaches below the high watermark can only be after an unclean election.
        if self.sanctioned_loss() {
            self.high_watermark = self.high_watermark.min(self.log.end());
        }
        self.check_invariants();
        Ok(Progress::default())
    }

    /// Everything here lies before the leader's first record, or nothing is here and the leader ends before: there is nothing
    /// to keep.
    fn start_again(&mut self, log_start: Offset, out: &mut Vec<DiskOp>) -> Result<Progress, FetchedError> {
        let own_end = self.log.end();
        let empty = self.log.log_start() == own_end;
        if log_start == own_end || (log_start < own_end && !empty) {
            return Err(FetchedError::NoReasonToRestart { log_start, own_end });
        }
        self.give_up_from(log_start)?;
        self.log.restart_at(log_start, out);
        // A leader's log starts at or below its high watermark.
        self.high_watermark = log_start;
        self.log.note_high_watermark(log_start);
        Ok(Progress { high_watermark: Some(log_start), ..Progress::default() })
    }

    fn sanctioned_loss(&self) -> bool {
        matches!(&self.duty, Duty::Follower(following) if following.unclean)
    }

    /// Refuses to give up what was committed, unless a leader was elected that may lack it.
    fn give_up_from(&mut self, to: Offset) -> Result<(), FetchedError> {
        let high_watermark = self.high_watermark;
        let Duty::Follower(following) = &mut self.duty else {
            return Ok(());
        };
        if high_watermark <= to {
            return Ok(());
        }
        if !following.unclean {
            following.halted = true;
            return Err(FetchedError::TruncationBelowHighWatermark { to, high_watermark });
        }
        self.high_watermark = to;
        following.leader_high_watermark = to;
        Ok(())
    }
}
