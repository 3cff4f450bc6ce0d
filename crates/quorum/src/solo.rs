//! The engine of a cluster of one: a log on this node's disk. What is synced is committed.
//!
//! An entry is stored under the proposer's epoch ([`stored`](crate::stored)). A start delivers the snapshot and what the log holds behind it, once that is known to
//! be on disk, and then leads under the next epoch. A snapshot that the node offers is written beside the log; when it is on disk, the entries before it go.
//!
//! Deterministic like all engines' inner parts: disk work goes out as values, and its end comes back in.

use std::collections::VecDeque;

use bytes::Bytes;
use klamm_log::{AppendError, DiskError, DiskOp, Done, Log, OpId};
use klamm_model::{BrokerId, ControllerEpoch, LeaderEpoch, ProduceLimits, Tick, validate_produce};

pub use crate::stored::{DIRECTORY, PARTITION, ReadFile, StoredError as SoloError, log_config};
use crate::{
    Description, Entry, Input, Output, PAYLOAD_BYTES_MAX, ReplicaDescription, Snapshot, VoterChange,
    VoterError,
    snapshot::{self, Kept},
    stored::{SnapshotEnd, Stored, batch, index, offset, read_all},
};

/// What a [`Solo`] wants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// To be carried out; the end is told by [`Solo::disk_done`].
    Disk(DiskOp),
    /// For the node.
    Tell(Output),
    /// The disk is full: call [`Solo::try_again`] after a while, a second say. Until then nothing leads.
    TryAgainLater,
    /// The disk failed. What the log holds is not known, so the node must stop; nothing more will come of this engine.
    Fatal(DiskError),
}

/// The engine.
///
/// Invariant: told entries are a prefix of the log and synced; `waiting` is the rest of the log, in order.
pub struct Solo {
    me: BrokerId,
    log: Log,
    epoch: ControllerEpoch,
    state: State,
    waiting: VecDeque<Entry>,
    /// The entries before this one are in the snapshot on disk.
    kept: u64,
    /// The same of a snapshot on its way to the disk.
    keeping: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Leads as soon as nothing is waiting.
    Starting,
    /// The disk was full.
    Paused,
    Leading,
    Failed,
}

impl Solo {
    /// For a node that has no metadata log yet.
    pub fn create(me: BrokerId, out: &mut Vec<Effect>) -> Self {
        let mut ops = Vec::new();
        let log = Log::create(PARTITION, DIRECTORY.to_owned(), log_config(), &mut ops);
        out.extend(ops.into_iter().map(Effect::Disk));
        let mut solo = Self::new(me, log, ControllerEpoch(0));
        solo.advance(out);
        solo
    }

    fn new(me: BrokerId, log: Log, epoch: ControllerEpoch) -> Self {
        Self { me, log, epoch, state: State::Starting, waiting: VecDeque::new(), kept: 0, keeping: None }
    }

    /// For a node whose metadata log was recovered with [`log_config`], before `Log::start`, and the snapshot beside it. Reads it all, so this is a job for
    /// the start.
    pub fn recovered(
        me: BrokerId,
        log: Log,
        kept: Option<Kept>,
        read: ReadFile<'_>,
        out: &mut Vec<Effect>,
    ) -> Result<Self, SoloError> {
        check_snapshot(&log, kept.as_ref())?;
        let mut solo = Self::new(me, log, ControllerEpoch(0));
        if let Some(Kept { snapshot, .. }) = kept {
            solo.kept = snapshot.position.next_index;
            solo.epoch = snapshot.position.epoch;
            out.push(Effect::Tell(Output::Snapshot(snapshot)));
        }
        solo.waiting = read_entries(&solo.log, read)?;
        // A crash came between the snapshot and the end of what it has.
        while solo.waiting.pop_front_if(|it| it.index < solo.kept).is_some() {}
        solo.epoch = solo.waiting.back().map_or(solo.epoch, |it| it.epoch.max(solo.epoch));
        solo.with_ops(out, |log, ops| log.start(ops));
        solo.purge(out);
        solo.advance(out);
        Ok(solo)
    }

    /// The node says something.
    pub fn step(&mut self, input: Input, out: &mut Vec<Effect>) {
        match input {
            Input::Propose { epoch, payload } => self.propose(epoch, payload, out),
            Input::OfferSnapshot(snapshot) => self.keep(snapshot, out),
            Input::Describe => out.push(Effect::Tell(Output::Described(self.describe()))),
            Input::ChangeVoters(change) => {
                out.push(Effect::Tell(Output::VotersChanged(Err(self.refuse_change(change)))));
            }
            // Nobody else keeps its log.
            Input::Registration(_) => {}
        }
    }

    /// There is nobody to add, and nobody would be left.
    fn refuse_change(&self, change: VoterChange) -> VoterError {
        match change {
            VoterChange::Add { id, .. } if id == self.me => VoterError::IsVoter { id },
            VoterChange::Add { .. } => VoterError::Alone,
            VoterChange::Remove { id, .. } if id == self.me => VoterError::Last,
            VoterChange::Remove { id, directory } => VoterError::NoVoter { id, directory },
        }
    }

    /// It is all of the quorum, and never behind itself.
    fn describe(&self) -> Description {
        let committed = index(self.log.synced());
        let own = ReplicaDescription {
            id: self.me,
            directory: None,
            is_voter: true,
            end: Some(committed),
            heard_ms: Some(0),
            caught_up_ms: Some(0),
            address: None,
        };
        Description { committed, replicas: vec![own] }
    }

    /// One at a time: a node offers the next one when it has more to say.
    fn keep(&mut self, snapshot: Snapshot, out: &mut Vec<Effect>) {
        let end = snapshot.position.next_index;
        if self.keeping.is_none() && self.kept < end && self.state != State::Failed {
            assert!(end <= index(self.log.synced()), "a snapshot of {end} entries, which were not all told");
            self.keeping = Some(end);
            let kept = Kept { snapshot, engine: Bytes::new() };
            out.push(Effect::Disk(snapshot::keep(&kept)));
        }
    }

    /// The file with a snapshot was written, or was not.
    fn was_kept(&mut self, result: Result<Done, DiskError>, out: &mut Vec<Effect>) {
        let end = self.keeping.take().expect("nothing else is written under this number");
        match result {
            Ok(_) => {
                self.kept = end;
                self.purge(out);
            }
            // The one before is there still, and the entries behind it.
            Err(DiskError::Full) => {}
            Err(error) => {
                self.give_up(State::Failed, out);
                self.waiting.clear();
                out.push(Effect::Fatal(error));
            }
        }
    }

    fn purge(&mut self, out: &mut Vec<Effect>) {
        let kept = offset(self.kept);
        self.with_ops(out, |log, ops| log.advance_log_start(kept, ops));
    }

    fn with_ops(&mut self, out: &mut Vec<Effect>, act: impl FnOnce(&mut Log, &mut Vec<DiskOp>)) {
        let mut ops = Vec::new();
        act(&mut self.log, &mut ops);
        out.extend(ops.into_iter().map(Effect::Disk));
    }

    /// A disk operation has ended.
    pub fn disk_done(&mut self, op: OpId, result: Result<Done, DiskError>, out: &mut Vec<Effect>) {
        if op == snapshot::KEEP {
            return self.was_kept(result, out);
        }
        let mut ops = Vec::new();
        let progress = self.log.done(op, result, &mut ops);
        out.extend(ops.into_iter().map(Effect::Disk));
        if let Some(error) = progress.fatal {
            self.give_up(State::Failed, out);
            self.waiting.clear();
            out.push(Effect::Fatal(error));
        } else if let Some(lost_from) = progress.lost_from {
            self.waiting.retain(|it| it.index < index(lost_from));
            self.give_up(State::Paused, out);
            out.push(Effect::TryAgainLater);
        }
        self.advance(out);
    }

    /// The disk was full and may have room now.
    pub fn try_again(&mut self, out: &mut Vec<Effect>) {
        if self.state == State::Paused {
            self.state = State::Starting;
            self.advance(out);
        }
    }

    /// The process ends: what the log has comes to disk. Nothing may be proposed afterwards.
    pub fn stop(&mut self, out: &mut Vec<Effect>) {
        self.with_ops(out, Log::stop);
    }

    /// Whether [`Self::periodic`] has anything to do.
    pub fn wants_periodic(&self) -> bool {
        self.log.wants_periodic()
    }

    /// Once a second or so: housekeeping of the log.
    pub fn periodic(&mut self, now: Tick, out: &mut Vec<Effect>) {
        self.with_ops(out, |log, ops| log.periodic(now, ops));
    }

    /// The log, to look at.
    pub fn log(&self) -> &Log {
        &self.log
    }

    fn propose(&mut self, epoch: ControllerEpoch, payload: Bytes, out: &mut Vec<Effect>) {
        assert!(payload.len() <= PAYLOAD_BYTES_MAX, "a proposal of {} bytes", payload.len());
        if self.state != State::Leading || epoch != self.epoch {
            return;
        }
        let bytes = batch(&payload);
        let limits = ProduceLimits { batch_size_max: usize::MAX, ..ProduceLimits::default() };
        let valid = validate_produce(&bytes, &limits).expect("we built it");
        let mut ops = Vec::new();
        let appended = self.log.append_as_leader(LeaderEpoch(epoch.0), &valid, bytes, &mut ops);
        out.extend(ops.into_iter().map(Effect::Disk));
        match appended {
            Ok(appended) => self.waiting.push_back(Entry { index: index(appended.base), epoch, payload }),
            // A proposal is lost, and whoever made it has to learn that. It leads again once the queue is empty.
            Err(AppendError::Overloaded { .. }) => self.give_up(State::Starting, out),
            // The failure itself was told by `disk_done`.
            Err(AppendError::LogFailed) => self.give_up(State::Failed, out),
            Err(error) => panic!("the metadata log refused a batch of ours: {error}"),
        }
    }

    /// Tells what is synced, and leads if it is time to.
    fn advance(&mut self, out: &mut Vec<Effect>) {
        // There is nobody else: what is synced is committed, and the log need not be able to take it back.
        self.log.note_high_watermark(self.log.synced());
        let committed = index(self.log.synced());
        while let Some(entry) = self.waiting.pop_front_if(|it| it.index < committed) {
            out.push(Effect::Tell(Output::Committed(entry)));
        }
        if self.state == State::Starting && self.waiting.is_empty() {
            self.state = State::Leading;
            self.epoch.0 += 1;
            out.push(Effect::Tell(Output::Leader { epoch: self.epoch }));
            out.push(Effect::Tell(Output::LeaderIs { leader: Some(self.me), epoch: self.epoch }));
        }
    }

    fn give_up(&mut self, next: State, out: &mut Vec<Effect>) {
        if self.state == State::Leading {
            out.push(Effect::Tell(Output::NoLongerLeader));
        }
        if self.state != State::Failed {
            self.state = next;
        }
    }
}

/// Whether the log goes on where the snapshot ends.
fn check_snapshot(log: &Log, kept: Option<&Kept>) -> Result<(), SoloError> {
    let (start, end) = (index(log.log_start()), index(log.end()));
    let snapshot = kept.map(|it| it.snapshot.position.next_index);
    let apart = |what| Err(SoloError::Apart { start, end, snapshot: SnapshotEnd(snapshot), what });
    match kept {
        Some(it) if !it.engine.is_empty() => apart("that is of a cluster of several nodes"),
        _ if snapshot.unwrap_or(0) < start => apart("the snapshot that belongs to this log is gone"),
        _ if Some(end) < snapshot => apart("the log is an old copy, or has lost its end"),
        _ => Ok(()),
    }
}

fn read_entries(log: &Log, read: ReadFile<'_>) -> Result<VecDeque<Entry>, SoloError> {
    let entry = |Stored { index, term, payload }| {
        // A sequence number begins every payload, and none is as high as what a Raft's entries begin with.
        if payload.first() != Some(&0) {
            let what = "it is of a cluster of several nodes, whose vote is missing beside it";
            return Err(SoloError::NoEntry { at: offset(index), what });
        }
        Ok(Entry { index, epoch: ControllerEpoch(term.0), payload })
    };
    read_all(log, read)?.into_iter().map(entry).collect()
}

#[cfg(test)]
mod tests;
