//! What all threads of a server share, and the carrying out of effects, which any of them may do.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use klamm_cluster::features::METADATA_FORM;
use klamm_log::{DiskAction, DiskOp, Files, LogDir};
use klamm_model::Tick;
use klamm_node::{ConnectionId, Effect, Event, LineLimit};
use parking_lot::Mutex;

use crate::{
    buffer::Budget,
    clock::Clock,
    config::Config,
    disk::{DiskThreads, Job},
    engines::Engine,
    greet::Greeter,
    inbox::{Inbox, Mail},
    metrics::Metrics,
    monitor::Monitor,
    places::{PlaceLimits, Places},
    write,
};

/// What all threads of a server share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) monitor: Monitor,
    /// What orders the cluster's metadata, as the node's side holds it.
    pub(crate) engine: Engine,
    pub(crate) greeter: Arc<Greeter>,
    pub(crate) files: Arc<Files>,
    pub(crate) disk: DiskThreads,
    pub(crate) inboxes: Vec<Inbox>,
    pub(crate) budget: Arc<Budget>,
    /// For answers in memory that their readers have not taken yet.
    pub(crate) unsent: Arc<Budget>,
    pub(crate) places: Arc<Places>,
    /// Of those that the process may have, for connections.
    pub(crate) file_descriptors_max: usize,
    pub(crate) metrics: Metrics,
    /// The process before left everything on disk, or there was none.
    pub(crate) was_left_clean: bool,
    pub(crate) failure: Mutex<Failure>,
    /// For what is said of disk operations that failed.
    pub(crate) disk_lines: Mutex<LineLimit>,
    /// Until then (a tick) I/O threads leave writes to the disk threads, because the system makes writers wait.
    pub(crate) writes_aside_until: AtomicU64,
}

/// Why the server cannot go on, if so, and whom to tell.
#[derive(Default)]
pub(crate) struct Failure {
    reason: Option<String>,
    tell: Option<Box<dyn FnOnce(String) + Send>>,
}

impl Shared {
    /// How many connections there may be, as it holds now: it may be changed at run time.
    pub(crate) fn place_limits(&self) -> PlaceLimits {
        let view = self.monitor.view().load();
        let told = |key| {
            let told = view.as_ref().and_then(|view| view.broker_value(key)?.parse().ok());
            told.unwrap_or(usize::MAX)
        };
        PlaceLimits {
            total: told("max.connections").min(self.file_descriptors_max),
            per_ip: told("max.connections.per.ip"),
        }
    }

    /// After a failed operation: tells of data directories that answer no more. Without the first, which has the metadata, the server cannot go on.
    pub(crate) fn tell_losses(&self, events: &mut Vec<Event>) {
        for (number, data_dir) in self.files.data_dirs().iter().enumerate() {
            if !data_dir.take_loss() {
                continue;
            }
            events.push(Event::LogDirFailed(LogDir(number as u16)));
            if number == 0 {
                self.fail(format!("the data directory {} has failed", data_dir.path().display()));
            }
        }
    }

    /// The server cannot go on.
    pub(crate) fn fail(&self, reason: String) {
        let mut failure = self.failure.lock();
        failure.reason.get_or_insert_with(|| reason.clone());
        if let Some(tell) = failure.tell.take() {
            tell(reason);
        }
    }

    /// Whom to tell, once, when that happens, or has happened; nobody else from now on.
    pub(crate) fn on_failure(&self, tell: impl FnOnce(String) + Send + 'static) {
        let mut failure = self.failure.lock();
        match &failure.reason {
            Some(reason) => tell(reason.clone()),
            None => failure.tell = Some(Box::new(tell)),
        }
    }

    fn writes_go_aside(&self) -> bool {
        let until = self.writes_aside_until.load(Ordering::Relaxed);
        until > 0 && self.clock.tick(Instant::now()).0 < until
    }
}

/// A round of writes that takes this long was made to wait for the disk: there is more unwritten data than the system lets stand.
const WRITE_SLOW: Duration = Duration::from_millis(50);

/// How long I/O threads then leave writes to the disk threads, which may wait while the network goes on.
const WRITE_ASIDE: Duration = Duration::from_millis(500);

/// The I/O thread that owns a connection is part of the connection's number.
const THREAD_BITS: u32 = 8;

/// I/O threads at most, so that their number fits.
pub(crate) const IO_THREADS_MAX: usize = 1 << THREAD_BITS;

pub(crate) fn connection_id(serial: u64, thread: usize) -> ConnectionId {
    ConnectionId(serial << THREAD_BITS | thread as u64)
}

pub(crate) fn owner(connection: ConnectionId) -> usize {
    connection.0 as usize % IO_THREADS_MAX
}

/// Steps the node and carries out what comes of it, until nothing is left that the calling thread can do itself.
pub(crate) struct Performer {
    pub(crate) shared: Arc<Shared>,
    /// Put events here, then [`Performer::run`].
    pub(crate) events: Vec<Event>,
    effects: Vec<Effect>,
    writes: Vec<DiskOp>,
    /// Writes go to the disk threads now.
    is_aside: bool,
    /// For each I/O thread.
    mail: Vec<Vec<Mail>>,
    /// The I/O thread that this is, if it is one: it takes its mail itself and can wake itself up in time.
    home: Option<usize>,
    /// This is a disk thread, about to be free: it keeps the first disk operation of a step for itself.
    pub(crate) keeps_a_job: bool,
    kept: Option<Job>,
    /// When this thread has to come back, if it is an I/O thread.
    pub(crate) wake: Option<Tick>,
}

impl Performer {
    pub(crate) fn new(shared: Arc<Shared>, home: Option<usize>) -> Self {
        let mail = shared.inboxes.iter().map(|_| Vec::new()).collect();
        Self {
            shared,
            events: Vec::new(),
            effects: Vec::new(),
            writes: Vec::new(),
            is_aside: false,
            mail,
            home,
            keeps_a_job: false,
            kept: None,
            wake: None,
        }
    }

    /// The same for a disk thread.
    pub(crate) fn of_disk_thread(shared: Arc<Shared>) -> Self {
        Self { keeps_a_job: true, ..Self::new(shared, None) }
    }

    /// What a disk thread is to do next.
    pub(crate) fn take_kept(&mut self) -> Option<Job> {
        self.kept.take()
    }

    /// Mail for the I/O thread that this is.
    pub(crate) fn own_mail(&mut self) -> &mut Vec<Mail> {
        &mut self.mail[self.home.expect("only I/O threads have mail")]
    }

    /// Whether time has come for the node.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.wake.is_some_and(|wake| wake <= self.shared.clock.tick(now))
    }

    /// Steps all events and carries out all effects; also when there are no events, for the passing of time.
    pub(crate) fn run(&mut self) {
        let mut came_in_time = self.is_due(Instant::now());
        if came_in_time {
            self.wake = None;
        }
        loop {
            let came_in_time = std::mem::take(&mut came_in_time);
            if let Some(wake) = self.shared.monitor.step(came_in_time, &mut self.events, &mut self.effects) {
                self.come_back_at(wake);
            }
            self.is_aside = self.home.is_some() && self.shared.writes_go_aside();
            let mut effects = std::mem::take(&mut self.effects);
            for effect in effects.drain(..) {
                self.perform(effect);
            }
            self.effects = effects;
            self.write();
            if self.events.is_empty() {
                break;
            }
        }
        self.deliver();
    }

    fn come_back_at(&mut self, wake: Tick) {
        match self.home {
            Some(_) => self.wake = Some(self.wake.map_or(wake, |own| own.min(wake))),
            None => self.mail[0].push(Mail::Timer { wake }),
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Reply { to, reply } => self.mail[owner(to.connection)].push(Mail::Reply { to, reply }),
            Effect::NoReply { to } => self.mail[owner(to.connection)].push(Mail::NoReply { to }),
            Effect::Close { connection, reason } => {
                self.mail[owner(connection)].push(Mail::Close { connection, reason })
            }
            Effect::Dismiss { connection, reason } => {
                self.mail[owner(connection)].push(Mail::Dismiss { connection, reason })
            }
            Effect::Disk(op) if matches!(op.action, DiskAction::Write { .. }) && !self.is_aside => {
                self.writes.push(op);
            }
            Effect::Disk(op) if self.keeps_a_job && self.kept.is_none() => self.kept = Some(Job::Op(op)),
            Effect::Disk(op) => self.shared.disk.submit(&self.shared, Job::Op(op)),
            Effect::Load(load) => self.shared.disk.submit(&self.shared, Job::Load(load)),
            Effect::LookAtSpace => self.shared.disk.submit(&self.shared, Job::LookAtSpace),
            Effect::OfferSnapshot { position, image } => {
                self.shared.disk.submit(&self.shared, Job::Snapshot { position, image: Box::new(image) });
            }
            Effect::Send { to, token, request, version } => {
                let thread = to.0 as usize % self.mail.len();
                self.mail[thread].push(Mail::Send { to, token, request, version });
            }
            Effect::Refused(why) => self.shared.fail(format!("the cluster refuses this node: {why}")),
            Effect::Outdated(why) => self.shared.fail(format!("this node is older than its cluster: {why}")),
            // Handed on under the lock, in order, besides.
            Effect::Publish(view) => self.shared.greeter.needs(view.image.level(METADATA_FORM)),
            // Handed on under the lock, in order.
            Effect::Propose { .. }
            | Effect::DescribeQuorum
            | Effect::ChangeVoters(_)
            | Effect::Registration(_)
            | Effect::Left { .. }
            | Effect::AtRest(_) => {}
        }
    }

    fn write(&mut self) {
        if self.writes.is_empty() {
            return;
        }
        let began = Instant::now();
        let failed_count =
            write::perform(&self.shared.files, &mut self.writes, &mut self.events, |op, error| {
                write::tell_failure(&self.shared, op, error);
            });
        if failed_count > 0 {
            self.shared.metrics.disk_errors.fetch_add(failed_count, Ordering::Relaxed);
            self.shared.tell_losses(&mut self.events);
        }
        let took = began.elapsed();
        self.shared.metrics.writes.note(took);
        if self.home.is_some() && took > WRITE_SLOW {
            let until = self.shared.clock.tick(Instant::now() + WRITE_ASIDE);
            self.shared.writes_aside_until.store(until.0, Ordering::Relaxed);
        }
    }

    fn deliver(&mut self) {
        for (thread, mail) in self.mail.iter_mut().enumerate() {
            if !mail.is_empty() && self.home != Some(thread) {
                self.shared.inboxes[thread].deliver(mail);
            }
        }
    }
}
