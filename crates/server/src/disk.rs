//! Threads for disk work that blocks: syncs, truncations, creations, deletions, and reads that miss the page cache.
//!
//! They are started when they are needed first, so that an idle server has none. Syncs of different partitions run side by side; a log has at
//! most one under way, which is what makes a group of appends share it.

use std::{collections::VecDeque, net::ToSocketAddrs, sync::Arc, thread, time::Instant};

use klamm_cluster::Image;
use klamm_log::{DataDir, DiskOp, Space};
use klamm_model::BrokerId;
use klamm_node::{ConnectionId, Event, Incoming, Load, Reply, ReplyTo};
use klamm_quorum::{Position, Snapshot};
use parking_lot::{Condvar, Mutex};

use crate::{
    inbox::Mail,
    metrics,
    output::{FilePiece, warm},
    request,
    shared::{Performer, Shared, owner},
    write::tell_failure,
};

/// Something that may block.
pub(crate) enum Job {
    /// A disk operation of a log.
    Op(DiskOp),
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

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    unpacks: VecDeque<Box<Incoming>>,
    /// Threads that unpack, and how many may at the same time.
    unpacking_count: usize,
    unpacking_count_max: usize,
    idle_count: usize,
    threads: Vec<thread::JoinHandle<()>>,
    is_stopping: bool,
}

impl DiskThreads {
    pub(crate) fn new(thread_count_max: usize, unpacking_count_max: usize) -> Self {
        let queue = Mutex::new(Queue { unpacking_count_max, ..Queue::default() });
        Self { queue, arrived: Condvar::new(), thread_count_max }
    }

    pub(crate) fn submit(&self, shared: &Arc<Shared>, job: Job) {
        let mut queue = self.queue.lock();
        queue.push(job);
        if queue.idle_count >= queue.startable_count() {
            drop(queue);
            self.arrived.notify_one();
            return;
        }
        let number = queue.threads.len();
        if number < self.thread_count_max && !queue.is_stopping {
            let shared = Arc::clone(shared);
            let spawned = thread::Builder::new().name(format!("disk-{number}")).spawn(move || work(&shared));
            match spawned {
                Ok(thread) => queue.threads.push(thread),
                // With at least one thread the work gets done, only slower.
                Err(error) if number > 0 => tracing::warn!(%error, "could not start another disk thread"),
                Err(error) => panic!("could not start a disk thread: {error}"),
            }
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
    fn next(&self, kept: Option<Job>) -> Option<Job> {
        let mut queue = self.queue.lock();
        queue.jobs.extend(kept);
        loop {
            if let Some(job) = queue.pop() {
                return Some(job);
            }
            if queue.is_stopping {
                return None;
            }
            queue.idle_count += 1;
            self.arrived.wait(&mut queue);
            queue.idle_count -= 1;
        }
    }

    /// A batch was unpacked; `rest` has more. Another thread goes on with them if this one gets something else to do.
    fn unpacked(&self, rest: Option<Box<Incoming>>) {
        let mut queue = self.queue.lock();
        queue.unpacking_count -= 1;
        queue.unpacks.extend(rest);
        if !queue.jobs.is_empty() && !queue.unpacks.is_empty() {
            drop(queue);
            self.arrived.notify_one();
        }
    }
}

impl Queue {
    fn push(&mut self, job: Job) {
        match job {
            Job::Unpack(incoming) => self.unpacks.push_back(incoming),
            job => self.jobs.push_back(job),
        }
    }

    fn pop(&mut self) -> Option<Job> {
        self.jobs.pop_front().or_else(|| {
            let incoming = self.may_unpack().then(|| self.unpacks.pop_front()).flatten()?;
            self.unpacking_count += 1;
            Some(Job::Unpack(incoming))
        })
    }

    fn may_unpack(&self) -> bool {
        self.unpacking_count < self.unpacking_count_max
    }

    /// How many threads could begin something now.
    fn startable_count(&self) -> usize {
        self.jobs.len() + self.unpacks.len().min(self.unpacking_count_max - self.unpacking_count)
    }
}

fn look_at_space(shared: &Shared) -> Vec<Option<Space>> {
    let look = |data_dir: &DataDir| {
        data_dir.space().map_err(|error| tracing::warn!(path = %data_dir.path().display(), %error, "cannot find out how much room there is")).ok()
    };
    shared.files.data_dirs().iter().map(look).collect()
}

fn work(shared: &Arc<Shared>) {
    let mut performer = Performer::of_disk_thread(Arc::clone(shared));
    while let Some(job) = shared.disk.next(performer.take_kept()) {
        match job {
            Job::Op(op) => {
                let began = Instant::now();
                let result = shared.files.perform(&op);
                shared.metrics.operated(&op, began.elapsed());
                let failed = result.is_err();
                if let Err(error) = &result {
                    tell_failure(&shared.files, &op, error);
                }
                performer.events.push(Event::Disk { partition: op.partition, op: op.id, result });
                if failed {
                    metrics::count(&shared.metrics.disk_errors);
                    shared.tell_losses(&mut performer.events);
                }
                performer.run();
            }
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
