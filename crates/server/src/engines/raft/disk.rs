//! The thread that writes: log and vote, in the order they were given, each on disk before it is told so.
//!
//! It is a thread of its own because a disk may take its time while the leader's signs of life must not.

use std::{
    collections::VecDeque,
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use klamm_log::{DiskError, DiskOp, Files};
use klamm_quorum::{
    raft_log::{Effect, RaftLog, Stored},
    snapshot,
};
use openraft::storage::LogFlushed;
use tokio::sync::oneshot;

use super::{
    types::Types,
    vote::{self, Kept},
};
use crate::clock::Clock;

/// How long after a full disk it is tried again, and how often the log's housekeeping is done while there is any.
const PAUSE: Duration = Duration::from_secs(1);

/// Something to be written. What is answered is on disk; where nothing is answered, the disk has failed.
pub(super) enum Job {
    /// What was found at the start, of which the entries before `below` were given up.
    Start {
        below: u64,
        done: oneshot::Sender<()>,
    },
    Vote(Kept, oneshot::Sender<()>),
    Append(Vec<Stored>, LogFlushed<Types>),
    Truncate {
        from: u64,
        done: oneshot::Sender<()>,
    },
    Purge {
        kept: Kept,
        below: u64,
        done: oneshot::Sender<()>,
    },
    Committed {
        end: u64,
    },
    /// A snapshot that has the Raft's entries before `end`. It is told whether there was room for it.
    Snapshot {
        kept: snapshot::Kept,
        end: u64,
        waits: bool,
        done: oneshot::Sender<bool>,
    },
    /// As a crash would: whatever was not asked for yet stays undone.
    #[cfg(test)]
    Crash,
}

/// Since when the thread is at one job.
#[derive(Debug)]
pub(super) struct Busy {
    start: Instant,
    /// Milliseconds since the start, and 1; 0 is idle.
    since: AtomicU64,
    /// Milliseconds that a job took of late: the longest, which counts half with each that comes after.
    took: AtomicU64,
}

impl Busy {
    fn new() -> Self {
        Self { start: Instant::now(), since: AtomicU64::new(0), took: AtomicU64::new(0) }
    }

    pub(super) fn for_how_long(&self) -> Duration {
        match self.since.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => self.start.elapsed().saturating_sub(Duration::from_millis(since - 1)),
        }
    }

    pub(super) fn of_late(&self) -> Duration {
        Duration::from_millis(self.took.load(Ordering::Relaxed))
    }

    fn begin(&self) {
        self.since.store(self.start.elapsed().as_millis() as u64 + 1, Ordering::Relaxed);
    }

    fn end(&self) {
        let took = self.for_how_long().as_millis() as u64;
        if self.since.swap(0, Ordering::Relaxed) != 0 {
            let before = self.took.load(Ordering::Relaxed);
            self.took.store(took.max(before / 2), Ordering::Relaxed);
        }
    }
}

/// Whom to tell how long an operation of the log took.
pub(super) type Operated = Box<dyn Fn(&DiskOp, Duration) + Send>;

/// What the thread needs from around.
pub(super) struct World {
    pub(super) files: Arc<Files>,
    pub(super) data_dir: PathBuf,
    pub(super) operated: Operated,
    /// The snapshot that was found has the entries before this one.
    pub(super) snapshot_end: u64,
    /// Writing a vote took that long.
    pub(super) voted: Box<dyn Fn(Duration) + Send>,
    /// The disk has failed.
    pub(super) fail: Box<dyn Fn(String) + Send>,
}

/// The end that gives it work.
pub(super) struct DiskThread {
    pub(super) jobs: mpsc::Sender<Job>,
    pub(super) busy: Arc<Busy>,
    /// Ends when nobody holds `jobs` any more, by telling whether all of the log is on disk.
    pub(super) thread: thread::JoinHandle<bool>,
}

/// `log` is `None` on a node that has none yet.
pub(super) fn start(log: Option<RaftLog>, world: World) -> io::Result<DiskThread> {
    let (jobs, received) = mpsc::channel();
    let busy = Arc::new(Busy::new());
    let worker = Worker {
        log,
        world,
        clock: Clock::new(),
        waiting: VecDeque::new(),
        effects: Vec::new(),
        is_full: false,
        has_failed: false,
        busy: Arc::clone(&busy),
        deferred: None,
    };
    let thread =
        thread::Builder::new().name("quorum-disk".to_owned()).spawn(move || worker.run(&received))?;
    Ok(DiskThread { jobs, busy, thread })
}

struct Worker {
    log: Option<RaftLog>,
    world: World,
    clock: Clock,
    /// Who waits for all entries below an index.
    waiting: VecDeque<(u64, LogFlushed<Types>)>,
    effects: Vec<Effect>,
    is_full: bool,
    has_failed: bool,
    busy: Arc<Busy>,
    /// Entries that are to go once a snapshot that has them is on disk: openraft asks for the one while it still is at the other.
    deferred: Option<Job>,
}

impl Worker {
    fn run(mut self, jobs: &mpsc::Receiver<Job>) -> bool {
        loop {
            let wants_periodic = self.log.as_ref().is_some_and(RaftLog::wants_periodic);
            let job = if self.is_full || wants_periodic {
                jobs.recv_timeout(PAUSE)
            } else {
                self.busy.end();
                jobs.recv().map_err(|mpsc::RecvError| mpsc::RecvTimeoutError::Disconnected)
            };
            if !self.is_full {
                self.busy.begin();
            }
            match job {
                #[cfg(test)]
                Ok(Job::Crash) => return false,
                Ok(_) if self.has_failed => {}
                Ok(job) => self.perform(job),
                Err(mpsc::RecvTimeoutError::Timeout) => self.look_at_time(),
                Err(mpsc::RecvTimeoutError::Disconnected) => return self.stop(),
            }
            if !self.is_full {
                self.busy.end();
            }
        }
    }

    fn perform(&mut self, job: Job) {
        match job {
            Job::Start { below, done } => {
                if self.log.is_none() {
                    // First of all, so that there never is a log without it.
                    if !self.keep(&Kept::default()) {
                        return;
                    }
                    self.log = Some(RaftLog::create(&mut self.effects));
                } else {
                    self.with_log(RaftLog::start);
                    self.carry_out();
                    // That was noted, and a crash came before it was done: what follows would not fit what is there.
                    self.with_log(|log, out| log.purge(below, out));
                }
                self.carry_out();
                self.answer(done);
            }
            Job::Vote(kept, done) => {
                if self.keep(&kept) {
                    self.answer(done);
                }
            }
            Job::Append(entries, flushed) => {
                let end = entries.last().map_or(0, |it| it.index + 1);
                self.with_log(|log, out| log.append(entries, out));
                self.waiting.push_back((end, flushed));
                self.carry_out();
            }
            Job::Truncate { from, done } => {
                self.with_log(|log, out| log.truncate(from, out));
                self.carry_out();
                self.answer(done);
            }
            Job::Purge { below, .. } if self.world.snapshot_end < below => self.deferred = Some(job),
            Job::Purge { kept, below, done } => {
                // What is gone must be known before it is.
                if self.keep(&kept) {
                    self.with_log(|log, out| log.purge(below, out));
                    self.carry_out();
                    self.answer(done);
                }
            }
            Job::Committed { end } => self.with_log(|log, _| log.note_committed(end)),
            Job::Snapshot { kept, end, waits, done } => {
                let Some(is_kept) = self.keep_snapshot(&kept, waits) else { return };
                if is_kept {
                    self.world.snapshot_end = self.world.snapshot_end.max(end);
                }
                // Who asked may have given up.
                let _ = done.send(is_kept);
                if let Some(job) = self.deferred.take() {
                    self.perform(job);
                }
            }
            #[cfg(test)]
            Job::Crash => unreachable!("looked at before"),
        }
    }

    fn answer(&self, done: oneshot::Sender<()>) {
        if !self.has_failed {
            // Who asked may have given up.
            let _ = done.send(());
        }
    }

    fn with_log(&mut self, act: impl FnOnce(&mut RaftLog, &mut Vec<Effect>)) {
        act(self.log.as_mut().expect("it was started"), &mut self.effects);
    }

    /// Whether it is on disk. A full disk is waited for.
    fn keep(&mut self, kept: &Kept) -> bool {
        loop {
            let began = Instant::now();
            match vote::store(&self.world.data_dir, kept) {
                Ok(()) => {
                    (self.world.voted)(began.elapsed());
                    return true;
                }
                Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                    tracing::error!("the disk is full: this node cannot vote");
                    thread::sleep(PAUSE);
                }
                Err(error) => {
                    self.give_up(&format!("{}: {error}", vote::FILE_NAME));
                    return false;
                }
            }
        }
    }

    /// Whether there was room for it; `None`: the disk has failed.
    fn keep_snapshot(&mut self, kept: &snapshot::Kept, waits: bool) -> Option<bool> {
        let op = snapshot::keep(kept);
        loop {
            let began = Instant::now();
            let result = self.world.files.perform(&op);
            (self.world.operated)(&op, began.elapsed());
            match result {
                Ok(_) => return Some(true),
                Err(DiskError::Full) if waits => {
                    tracing::error!("the disk is full: there is no room for a snapshot of the metadata");
                    thread::sleep(PAUSE);
                }
                Err(DiskError::Full) => return Some(false),
                Err(error) => {
                    self.give_up(&error.to_string());
                    return None;
                }
            }
        }
    }

    fn carry_out(&mut self) {
        while !self.effects.is_empty() {
            for effect in std::mem::take(&mut self.effects) {
                match effect {
                    Effect::Disk(op) => {
                        let began = Instant::now();
                        let result = self.world.files.perform(&op);
                        (self.world.operated)(&op, began.elapsed());
                        self.with_log(|log, out| log.disk_done(op.id, result, out));
                    }
                    Effect::TryAgainLater => {
                        if !std::mem::replace(&mut self.is_full, true) {
                            tracing::error!("the disk is full: this node holds up the cluster's metadata");
                        }
                    }
                    Effect::Fatal(error) => self.give_up(&error.to_string()),
                }
            }
        }
        let synced = self.log.as_ref().map_or(0, RaftLog::synced);
        while let Some((_, flushed)) = self.waiting.pop_front_if(|(end, _)| *end <= synced) {
            flushed.log_io_completed(Ok(()));
        }
    }

    fn look_at_time(&mut self) {
        if std::mem::take(&mut self.is_full) {
            self.with_log(RaftLog::try_again);
        }
        let now = self.clock.tick(Instant::now());
        self.with_log(|log, out| log.periodic(now, out));
        self.carry_out();
    }

    /// What was promised to the disk is not there: whoever waits for it never hears of it, and the Raft ends.
    fn give_up(&mut self, problem: &str) {
        tracing::error!(problem, "the metadata log has failed");
        self.has_failed = true;
        self.waiting.clear();
        (self.world.fail)(format!("the metadata log has failed: {problem}"));
    }

    fn stop(mut self) -> bool {
        if self.log.is_none() {
            return !self.has_failed;
        }
        self.with_log(RaftLog::stop);
        self.carry_out();
        !self.has_failed && self.log.as_ref().is_some_and(RaftLog::is_whole)
    }
}
