//! Threads for disk work that blocks: syncs, truncations, creations, deletions, and reads that miss the page cache.
//!
//! They are started when they are needed first, so that an idle server has none. A log has at most one sync under way, and what is written before it begins shares
//! it. Where little is to be synced of each, a data directory's journal serves all of its logs: one such sync is under way, and all that come meanwhile share the
//! next. Others run side by side, as many at a time as the processors can bear (`pace.rs`).

use std::{
    net::ToSocketAddrs,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use klamm_cluster::Image;
use klamm_log::{DataDir, DiskError, DiskOp, Done, LogDir, Space};
use klamm_model::BrokerId;
use klamm_node::{ConnectionId, Event, Incoming, Load, Reply, ReplyTo};
use klamm_quorum::{Position, Snapshot};
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::{
    inbox::Mail,
    metrics,
    output::{FilePiece, warm},
    request,
    shared::{Performer, Shared, owner},
    write::tell_failure,
};

mod pace;
mod queue;

use queue::{Queue, is_sync};

/// How long a sync waits at most for those under way, if a thread is free. One data directory's disk that stands still does not hold up another's for longer.
const SYNC_PATIENCE: Duration = Duration::from_millis(10);

/// Something that may block.
pub(crate) enum Job {
    /// A disk operation of a log.
    Op(DiskOp),
    /// Bring what logs of one data directory have written to disk, by one sync.
    Syncs { log_dir: LogDir, ops: Vec<DiskOp> },
    /// Bring file bytes into the page cache, for a connection that wants to send them.
    Warm { connection: ConnectionId, piece: FilePiece },
    /// Read what an answer needs to know of files that are not in the page cache.
    Look { to: ReplyTo, reply: Reply },
    /// Unpack what a request brings, one batch, and give it to the node if it was the last.
    Unpack(Box<Incoming>),
    /// Read a piece of a coordinator's log.
    Load(Load),
    /// Look how much room the data directories have.
    LookAtSpace,
    /// Write the metadata as bytes, for the engine.
    Snapshot { position: Position, image: Box<Image> },
    /// Look a broker's name up, for an I/O thread.
    Resolve { to: BrokerId, host: String, port: u16, thread: usize },
}

/// The threads and their queue.
///
/// The queue needs no bound of its own: a log has one sync and one barrier under way at most, a connection one read and one lookup for each request it
/// may have open. Requests with much to unpack come one a connection. They have a few threads at a time, and a batch each in turn: unpacking takes a processor, not a
/// disk, and who sends bombs is not to have all of both.
pub(crate) struct DiskThreads {
    queue: Mutex<Queue>,
    arrived: Condvar,
    thread_count_max: usize,
}

impl DiskThreads {
    /// So many threads at most; of the processors, syncs and unpacking may each keep so many busy.
    pub(crate) fn new(thread_count_max: usize, processors: usize) -> Self {
        Self { queue: Mutex::new(Queue::new(processors)), arrived: Condvar::new(), thread_count_max }
    }

    pub(crate) fn submit(&self, shared: &Arc<Shared>, job: Job) {
        let shared_in = shared_in(shared, &job);
        let mut queue = self.queue.lock();
        push(&mut queue, job, shared_in);
        self.find_a_thread(shared, queue);
    }

    /// For what may begin now.
    fn find_a_thread(&self, shared: &Arc<Shared>, mut queue: MutexGuard<'_, Queue>) {
        let startable_count = queue.startable_count();
        if startable_count == 0 {
            return; // What waits comes behind a sync that is under way.
        }
        let (idle_count, number) = (queue.idle_count, queue.threads.len());
        if idle_count < startable_count && number < self.thread_count_max && !queue.is_stopping {
            let shared = Arc::clone(shared);
            let spawned = thread::Builder::new().name(format!("disk-{number}")).spawn(move || work(&shared));
            match spawned {
                Ok(thread) => queue.threads.push(thread),
                // With at least one thread the work gets done, only slower.
                Err(error) if number > 0 => tracing::warn!(%error, "could not start another disk thread"),
                Err(error) => panic!("could not start a disk thread: {error}"),
            }
        } else if idle_count > 0 {
            drop(queue);
            self.arrived.notify_one();
        }
    }

    /// Lets the threads finish what is queued and waits for them. Called from none of them.
    pub(crate) fn stop(&self) {
        let threads = {
            let mut queue = self.queue.lock();
            queue.is_stopping = true;
            std::mem::take(&mut queue.threads)
        };
        self.arrived.notify_all();
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a disk thread had panicked");
            }
        }
    }

    /// What a disk thread does next; `None`: it ends. `kept` is mostly the next sync of the log that the thread just synced: nobody is woken for it,
    /// but those who have waited for longer come first.
    fn next(&self, shared: &Arc<Shared>, kept: Option<Job>) -> Option<Job> {
        let shared_in = kept.as_ref().and_then(|kept| shared_in(shared, kept));
        let mut queue = self.queue.lock();
        if let Some(kept) = kept {
            push(&mut queue, kept, shared_in);
        }
        let startable_before = queue.startable_count();
        let job = loop {
            if let Some(job) = queue.pop() {
                break job;
            }
            if queue.is_stopping {
                return None;
            }
            if let Some(job) = self.sleep(&mut queue) {
                break job;
            }
        };
        if startable_before < queue.startable_count() || queue.unwatched().is_some() {
            self.find_a_thread(shared, queue);
        }
        Some(job)
    }

    /// Until there may be something to do. One of those who sleep watches the sync in front, if that waits for others, and takes it if none of them ends.
    fn sleep(&self, queue: &mut MutexGuard<'_, Queue>) -> Option<Job> {
        queue.idle_count += 1;
        let overdue = match queue.unwatched() {
            None => {
                self.arrived.wait(queue);
                None
            }
            Some(watched) => {
                queue.is_watched = true;
                let is_late = self.arrived.wait_for(queue, SYNC_PATIENCE).timed_out();
                queue.is_watched = false;
                is_late.then(|| queue.pop_overdue(watched)).flatten()
            }
        };
        queue.idle_count -= 1;
        overdue
    }

    /// An operation has ended. Gives what has waited for a thread, if anything has.
    fn ended(&self, shared: &Arc<Shared>, ended: Ended) -> Option<Job> {
        let mut queue = self.queue.lock();
        let startable_before = queue.startable_count();
        match ended {
            Ended::Sync { took, busy } => queue.pace.ended(took, busy),
            Ended::Syncs(log_dir) => queue.shared_ended(log_dir),
            Ended::Other => {}
        }
        let next = queue.pop();
        // Where this thread does something else, or more syncs may go than before, others go on with those.
        if startable_before < queue.startable_count() || queue.unwatched().is_some() {
            self.find_a_thread(shared, queue);
        }
        next
    }

    /// A batch was unpacked; `rest` has more. Another thread goes on with them if this one gets something else to do.
    fn unpacked(&self, rest: Option<Box<Incoming>>) {
        let mut queue = self.queue.lock();
        queue.unpacking_count -= 1;
        queue.unpacks.extend(rest);
        if queue.has_others() && !queue.unpacks.is_empty() {
            drop(queue);
            self.arrived.notify_one();
        }
    }
}

fn look_at_space(shared: &Shared) -> Vec<Option<Space>> {
    let look = |data_dir: &DataDir| {
        data_dir.space().map_err(|error| tracing::warn!(path = %data_dir.path().display(), %error, "cannot find out how much room there is")).ok()
    };
    shared.files.data_dirs().iter().map(look).collect()
}

/// What has ended, for those who waited for it.
#[derive(Clone, Copy)]
enum Ended {
    /// A sync that was made for itself: how long it took, and for how long of that it had a processor.
    Sync {
        took: Duration,
        busy: Duration,
    },
    /// The shared one of this data directory.
    Syncs(LogDir),
    Other,
}

/// The data directory whose syncs this one shares.
fn shared_in(shared: &Shared, job: &Job) -> Option<LogDir> {
    match job {
        Job::Op(op) => shared.files.syncs_together(op),
        _ => None,
    }
}

fn push(queue: &mut Queue, job: Job, shared_in: Option<LogDir>) {
    match (job, shared_in) {
        (Job::Op(op), Some(log_dir)) => queue.push_shared(log_dir, op),
        (job, _) => queue.push(job),
    }
}

/// Carries an operation out and tells its end. Returns what the thread does next, if something has waited.
fn operate(shared: &Arc<Shared>, performer: &mut Performer, op: &DiskOp) -> Option<Job> {
    let (began, busy_before) = (Instant::now(), busy_time());
    let result = shared.files.perform(op);
    let took = began.elapsed();
    tell(shared, performer, op, result, took);
    let busy = busy_time().saturating_sub(busy_before);
    let next = go_on(shared, performer, if is_sync(op) { Ended::Sync { took, busy } } else { Ended::Other });
    if next.is_none() {
        // It may take a while.
        shared.files.note_sync(op);
    }
    next
}

/// The same for syncs of one data directory.
fn sync(shared: &Arc<Shared>, performer: &mut Performer, log_dir: LogDir, ops: &[DiskOp]) -> Option<Job> {
    let began = Instant::now();
    let results = shared.files.sync_together(log_dir, ops);
    let took = began.elapsed();
    for (op, result) in ops.iter().zip(results) {
        tell(shared, performer, op, result, took);
    }
    go_on(shared, performer, Ended::Syncs(log_dir))
}

fn tell(
    shared: &Shared,
    performer: &mut Performer,
    op: &DiskOp,
    result: Result<Done, DiskError>,
    took: Duration,
) {
    shared.metrics.operated(op, took);
    let failed = result.as_ref().is_err_and(|error| *error != DiskError::CalledOff);
    if let Err(error) = &result {
        tell_failure(shared, op, error);
    }
    performer.events.push(Event::Disk { partition: op.partition, op: op.id, result });
    if failed {
        metrics::count(&shared.metrics.disk_errors);
        shared.tell_losses(&mut performer.events);
    }
}

/// Steps the node, and takes what has waited: that syncs of it begin is told in the same step, and so what was written since they were handed out does not need
/// others.
fn go_on(shared: &Arc<Shared>, performer: &mut Performer, ended: Ended) -> Option<Job> {
    let next = shared.disk.ended(shared, ended);
    tell_begins(performer, next.as_ref());
    // Whoever has something to do keeps nothing else: another thread may be free for it.
    performer.keeps_a_job = next.is_none();
    performer.run();
    next
}

fn tell_begins(performer: &mut Performer, job: Option<&Job>) {
    let syncs = match job {
        Some(Job::Op(op)) if is_sync(op) => std::slice::from_ref(op),
        Some(Job::Syncs { ops, .. }) => ops,
        _ => &[],
    };
    performer.events.extend(syncs.iter().map(|op| Event::SyncBegins { partition: op.partition, op: op.id }));
}

/// For how long this thread has had a processor.
fn busy_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Until there is something to do; `None`: this thread ends.
fn wait(shared: &Arc<Shared>, performer: &mut Performer) -> Option<Job> {
    let job = shared.disk.next(shared, performer.take_kept())?;
    if matches!(&job, Job::Syncs { ops, .. } if ops.len() > 1) {
        tell_begins(performer, Some(&job));
        performer.keeps_a_job = false;
        performer.run();
    }
    Some(job)
}

fn work(shared: &Arc<Shared>) {
    let mut performer = Performer::of_disk_thread(Arc::clone(shared));
    let mut next = None;
    while let Some(job) = next.take().or_else(|| wait(shared, &mut performer)) {
        match job {
            Job::Op(op) => next = operate(shared, &mut performer, &op),
            Job::Syncs { log_dir, ops } => next = sync(shared, &mut performer, log_dir, &ops),
            Job::Unpack(mut incoming) => {
                incoming.body.unpack_next(shared.clock.now_at(Instant::now()).wall);
                if !incoming.body.is_ready() {
                    shared.disk.unpacked(Some(incoming));
                    continue;
                }
                shared.disk.unpacked(None);
                let connection = incoming.to.connection;
                performer.events.push(Event::Request(*incoming));
                performer.run();
                shared.inboxes[owner(connection)].deliver(&mut vec![Mail::Unpacked { connection }]);
            }
            Job::Load(load) => {
                let read = &mut |segment, kind, position, buffer: &mut [u8]| {
                    shared.files.read_at(segment, kind, position, buffer)
                };
                performer.events.push(Event::Loaded(load.run(read)));
                performer.run();
            }
            Job::LookAtSpace => {
                performer.events.push(Event::Space(look_at_space(shared)));
                performer.run();
            }
            Job::Snapshot { position, image } => {
                shared.engine.offer(Snapshot { position, state: image.to_bytes() });
            }
            Job::Resolve { to, host, port, thread } => {
                let addresses = (host.as_str(), port).to_socket_addrs().map_or_else(
                    |error| {
                        tracing::warn!(broker = %to, host, %error, "the name of a broker cannot be resolved");
                        Vec::new()
                    },
                    Iterator::collect,
                );
                shared.inboxes[thread].deliver(&mut vec![Mail::Resolved { to, addresses }]);
            }
            Job::Look { to, reply } => {
                let found = request::look(&reply, &shared.files);
                shared.inboxes[owner(to.connection)].deliver(&mut vec![Mail::Found { to, reply, found }]);
            }
            Job::Warm { connection, piece } => {
                let result = warm(&piece);
                shared.inboxes[owner(connection)].deliver(&mut vec![Mail::Warmed { connection, result }]);
            }
        }
    }
}
