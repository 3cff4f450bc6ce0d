//! The Raft's log and vote as openraft wants them: readable at once from memory, on disk when it is told so.
//!
//! All entries since the last snapshot, and a few before, are in memory. Metadata are small, and followers that were away read them from here.

use std::{
    cell::RefCell,
    collections::VecDeque,
    fmt::Debug,
    ops::{Bound, RangeBounds},
    rc::Rc,
    sync::mpsc,
};

use klamm_wire::LogPoint;
use openraft::{
    AnyError, LogId, LogState, OptionalSend, RaftLogReader, StorageError, StorageIOError, Vote,
    storage::{LogFlushed, RaftLogStorage},
};
use tokio::sync::oneshot;

use super::{
    disk::Job,
    snapshot::RaftSnapshot,
    types::{Entry, Types, from_ballot, from_point, size_of, to_ballot, to_point, to_stored},
    vote::Kept,
};

/// Bytes of entries that are sent to another node at once, unless a single one has more.
const SEND_BYTES_MAX: usize = 2 << 20;

/// What is in memory.
///
/// Invariant: `entries` follow each other from `first`.
pub(super) struct Memory {
    first: u64,
    entries: VecDeque<Entry>,
    kept: Kept,
}

impl Memory {
    pub(super) fn new(mut entries: VecDeque<Entry>, kept: Kept) -> Self {
        let after_purged = kept.purged.map_or(0, |it| it.index + 1);
        // It was noted that they are given up, and a crash came before they were.
        while entries.pop_front_if(|it| it.log_id.index < after_purged).is_some() {}
        Self { first: entries.front().map_or(after_purged, |it| it.log_id.index), entries, kept }
    }

    /// The last entry, be it purged.
    pub(super) fn last(&self) -> Option<LogPoint> {
        self.entries.back().map(|it| to_point(it.log_id)).or(self.kept.purged)
    }

    fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        if self.entries.is_empty() {
            self.first = first.log_id.index;
        }
        assert_eq!(first.log_id.index, self.end(), "entries follow each other");
        self.entries.extend(entries.iter().cloned());
    }

    fn read(&self, range: &impl RangeBounds<u64>) -> Vec<Entry> {
        let from = match range.start_bound() {
            Bound::Included(from) => *from,
            Bound::Excluded(before) => before + 1,
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(last) => last + 1,
            Bound::Excluded(to) => *to,
            Bound::Unbounded => u64::MAX,
        };
        let at = |index: u64| (index.clamp(self.first, self.end()) - self.first) as usize;
        let (from, to) = (at(from), at(to));
        self.entries.range(from..to.max(from)).cloned().collect()
    }

    fn truncate(&mut self, from: u64) {
        self.entries.truncate(from.saturating_sub(self.first) as usize);
    }

    fn purge(&mut self, upto: LogPoint) {
        self.kept.purged = Some(upto);
        let below = upto.index + 1;
        let count = (below.saturating_sub(self.first) as usize).min(self.entries.len());
        self.entries.drain(..count);
        self.first = self.first.max(below);
    }
}

/// The end that openraft holds, as often as it likes.
#[derive(Clone)]
pub(super) struct Store {
    memory: Rc<RefCell<Memory>>,
    disk: mpsc::Sender<Job>,
}

impl Store {
    pub(super) fn new(memory: Memory, disk: mpsc::Sender<Job>) -> Self {
        Self { memory: Rc::new(RefCell::new(memory)), disk }
    }

    /// Waits until work on the log has begun.
    pub(super) async fn start(&self) -> Result<(), AnyError> {
        let below = self.memory.borrow().kept.purged.map_or(0, |it| it.index + 1);
        self.ask(|done| Job::Start { below, done }).await
    }

    /// The last entry.
    pub(super) fn last(&self) -> Option<LogPoint> {
        self.memory.borrow().last()
    }

    /// Ends the disk's thread as a crash would.
    #[cfg(test)]
    pub(super) fn crash(&self) {
        let _ = self.disk.send(Job::Crash);
    }

    /// Waits until a snapshot is on disk. Tells whether there was room for it, which `waits` waits for.
    pub(super) async fn keep_snapshot(&self, snapshot: &RaftSnapshot, waits: bool) -> Result<bool, AnyError> {
        let end = snapshot.applied.map_or(0, |it| it.index + 1);
        let (done, is_done) = oneshot::channel();
        let gone = || AnyError::error("the disk of the metadata log has failed");
        let job = Job::Snapshot { kept: snapshot.to_kept(), end, waits, done };
        self.disk.send(job).map_err(|_| gone())?;
        is_done.await.map_err(|_| gone())
    }

    /// Waits until it is done; the disk has failed if it is not.
    pub(super) async fn ask(&self, job: impl FnOnce(oneshot::Sender<()>) -> Job) -> Result<(), AnyError> {
        let (done, is_done) = oneshot::channel();
        let gone = || AnyError::error("the disk of the metadata log has failed");
        self.disk.send(job(done)).map_err(|_| gone())?;
        is_done.await.map_err(|_| gone())
    }
}

impl RaftLogReader<Types> for Store {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError<u64>> {
        Ok(self.memory.borrow().read(&range))
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, StorageError<u64>> {
        let memory = self.memory.borrow();
        let from = (start.clamp(memory.first, memory.end()) - memory.first) as usize;
        let mut size = 0;
        let fits = |entry: &&Entry| {
            let is_first = size == 0;
            size += size_of(entry);
            is_first || size <= SEND_BYTES_MAX
        };
        let count = end.saturating_sub(start) as usize;
        Ok(memory.entries.range(from..).take(count).take_while(fits).cloned().collect())
    }
}

impl RaftLogStorage<Types> for Store {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, StorageError<u64>> {
        let memory = self.memory.borrow();
        Ok(LogState {
            last_purged_log_id: memory.kept.purged.map(from_point),
            last_log_id: memory.last().map(from_point),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<u64>) -> Result<(), StorageError<u64>> {
        let kept = {
            let mut memory = self.memory.borrow_mut();
            memory.kept.vote = to_ballot(vote);
            memory.kept
        };
        let saved = self.ask(|done| Job::Vote(kept, done)).await;
        saved.map_err(|error| StorageIOError::write_vote(error).into())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<u64>>, StorageError<u64>> {
        let vote = self.memory.borrow().kept.vote;
        Ok((vote != klamm_wire::Ballot::default()).then(|| from_ballot(vote)))
    }

    async fn save_committed(&mut self, committed: Option<LogId<u64>>) -> Result<(), StorageError<u64>> {
        // Only so that the log need not be able to take it back any more.
        if let Some(committed) = committed {
            let _ = self.disk.send(Job::Committed { end: committed.index + 1 });
        }
        Ok(())
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<Types>) -> Result<(), StorageError<u64>>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        self.memory.borrow_mut().append(&entries);
        let stored = entries.iter().map(to_stored).collect();
        // Without its thread the callback is dropped, which openraft takes for the failure that it is.
        let _ = self.disk.send(Job::Append(stored, callback));
        Ok(())
    }

    async fn truncate(&mut self, from: LogId<u64>) -> Result<(), StorageError<u64>> {
        self.memory.borrow_mut().truncate(from.index);
        let cut = self.ask(|done| Job::Truncate { from: from.index, done }).await;
        cut.map_err(|error| StorageIOError::write_logs(error).into())
    }

    async fn purge(&mut self, upto: LogId<u64>) -> Result<(), StorageError<u64>> {
        let kept = {
            let mut memory = self.memory.borrow_mut();
            memory.purge(to_point(upto));
            memory.kept
        };
        let purged = self.ask(|done| Job::Purge { kept, below: upto.index + 1, done }).await;
        purged.map_err(|error| StorageIOError::write_logs(error).into())
    }
}
