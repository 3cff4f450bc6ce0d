//! Drives the engine of a cluster of one: a log of its own, written and synced by the thread that sleeps on the node's proposals.

use std::{
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use klamm_log::{DiskError, Files, Log};
use klamm_model::BrokerId;
use klamm_node::Event;
use klamm_quorum::{
    Output,
    snapshot::Kept,
    solo::{Effect, Solo, SoloError},
};

use crate::{
    engines::{Order, with_waiting},
    shared::{Performer, Shared},
};

/// An engine that has read its log, and what it wants first.
pub(crate) struct Opened {
    engine: Solo,
    effects: Vec<Effect>,
}

impl Opened {
    /// The first start.
    pub(crate) fn create(me: BrokerId) -> Self {
        let mut effects = Vec::new();
        let engine = Solo::create(me, &mut effects);
        Self { engine, effects }
    }

    /// Any other start: the snapshot and all entries behind it are told to the node again.
    pub(crate) fn recovered(
        me: BrokerId,
        log: Log,
        kept: Option<Kept>,
        files: &Files,
    ) -> Result<Self, SoloError> {
        let mut effects = Vec::new();
        let mut read =
            |segment, kind, position, buffer: &mut [u8]| files.read_at(segment, kind, position, buffer);
        let engine = Solo::recovered(me, log, kept, &mut read, &mut effects)?;
        Ok(Self { engine, effects })
    }
}

impl Opened {
    /// Brings all of the log to disk, tells what it comes to as if the node were to begin, and ends.
    pub(crate) fn come_to_an_end(self, files: &Files, tell: &mut dyn FnMut(Output)) -> Result<(), DiskError> {
        let Self { mut engine, mut effects } = self;
        let mut is_stopping = false;
        loop {
            if effects.is_empty() {
                if std::mem::replace(&mut is_stopping, true) {
                    return Ok(());
                }
                engine.stop(&mut effects);
            }
            for effect in std::mem::take(&mut effects) {
                match effect {
                    Effect::Disk(op) => engine.disk_done(op.id, files.perform(&op), &mut effects),
                    Effect::Tell(output) => tell(output),
                    Effect::TryAgainLater => return Err(DiskError::Full),
                    Effect::Fatal(error) => return Err(error),
                }
            }
        }
    }
}

/// Proposals taken from the queue at once; they share one sync.
const BATCH_MAX: usize = 256;

/// How long after a full disk it is tried again, and how often the log's housekeeping is done while there is any.
const PAUSE: Duration = Duration::from_secs(1);

/// Tells at the end whether all of the log is on disk.
pub(super) fn run(shared: Arc<Shared>, opened: Opened, orders: &mpsc::Receiver<Order>) -> bool {
    let Opened { engine, effects } = opened;
    let performer = Performer::new(Arc::clone(&shared), None);
    Driver { engine, effects, shared, performer, try_again_at: None, periodic_at: None }.run(orders)
}

struct Driver {
    engine: Solo,
    effects: Vec<Effect>,
    shared: Arc<Shared>,
    performer: Performer,
    try_again_at: Option<Instant>,
    periodic_at: Option<Instant>,
}

impl Driver {
    fn run(mut self, orders: &mpsc::Receiver<Order>) -> bool {
        loop {
            self.carry_out();
            let order = match self.next_wake() {
                None => match orders.recv() {
                    Ok(order) => Some(order),
                    Err(mpsc::RecvError) => Some(Order::Stop),
                },
                Some(wake) => match orders.recv_timeout(wake.saturating_duration_since(Instant::now())) {
                    Ok(order) => Some(order),
                    Err(mpsc::RecvTimeoutError::Timeout) => None,
                    Err(mpsc::RecvTimeoutError::Disconnected) => Some(Order::Stop),
                },
            };
            for order in with_waiting(order, || orders.try_recv().ok(), BATCH_MAX) {
                match order {
                    Order::Input(input) => self.engine.step(input, &mut self.effects),
                    // Nobody asks a lone node: it has no listener for nodes.
                    Order::LetIn(_) => {}
                    Order::Stop => return self.stop(),
                    #[cfg(test)]
                    Order::Crash => return false,
                }
            }
            self.look_at_time();
        }
    }

    fn stop(mut self) -> bool {
        self.engine.stop(&mut self.effects);
        self.carry_out();
        self.engine.log().is_whole()
    }

    fn next_wake(&mut self) -> Option<Instant> {
        if self.periodic_at.is_none() && self.engine.wants_periodic() {
            self.periodic_at = Some(Instant::now() + PAUSE);
        }
        [self.try_again_at, self.periodic_at].into_iter().flatten().min()
    }

    fn look_at_time(&mut self) {
        let now = Instant::now();
        if self.try_again_at.is_some_and(|at| at <= now) {
            self.try_again_at = None;
            self.engine.try_again(&mut self.effects);
        }
        if self.periodic_at.is_some_and(|at| at <= now) {
            self.periodic_at = None;
            self.engine.periodic(self.shared.clock.tick(now), &mut self.effects);
        }
    }

    fn carry_out(&mut self) {
        while !self.effects.is_empty() {
            for effect in std::mem::take(&mut self.effects) {
                match effect {
                    Effect::Disk(op) => {
                        let began = Instant::now();
                        let result = self.shared.files.perform(&op);
                        self.shared.metrics.operated(&op, began.elapsed());
                        self.engine.disk_done(op.id, result, &mut self.effects);
                    }
                    Effect::Tell(output) => self.performer.events.push(Event::Quorum(output)),
                    Effect::TryAgainLater => {
                        tracing::error!("the disk is full: topics cannot be created or changed");
                        self.try_again_at = Some(Instant::now() + PAUSE);
                    }
                    // What was promised to the disk is not there: the engine leads no more, or it could contradict what others were told.
                    Effect::Fatal(error) => {
                        tracing::error!(%error, "the metadata log has failed");
                        self.shared.fail(format!("the metadata log has failed: {error}"));
                    }
                }
            }
        }
        if !self.performer.events.is_empty() {
            self.performer.run();
        }
    }
}
