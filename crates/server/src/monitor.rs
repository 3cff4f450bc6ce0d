//! The node and its lock: the one place where decisions are made.
//!
//! Whoever holds the lock only steps the node; reading, checking, encoding and disk work happen outside. What has to be in the order of the steps
//! (published views, proposals) is handed on before the lock is let go.

use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use klamm_model::{Tick, Timestamp};
use klamm_node::{Effect, Event, Lag, LagWalk, Node, Report, Rest, View, Walk};
use parking_lot::{Mutex, MutexGuard};

use crate::{clock::Clock, engines::Engine};

/// A node that several threads step.
pub(crate) struct Monitor {
    inside: Mutex<Inside>,
    view: ArcSwapOption<View>,
    clock: Clock,
}

struct Inside {
    node: Node,
    engine: Engine,
    /// Told once, when the node serves.
    ready: Option<mpsc::Sender<Result<(), String>>>,
    /// Told when the node may leave, and when it is at rest, once somebody wants to know.
    left: Option<mpsc::Sender<bool>>,
    rest: Option<mpsc::Sender<Rest>>,
    plan: Plan,
    times: LockTimes,
}

impl Monitor {
    pub(crate) fn new(
        node: Node,
        engine: Engine,
        clock: Clock,
        ready: mpsc::Sender<Result<(), String>>,
    ) -> Self {
        let inside = Inside {
            node,
            engine,
            ready: Some(ready),
            left: None,
            rest: None,
            plan: Plan::default(),
            times: LockTimes::default(),
        };
        Self { inside: Mutex::new(inside), view: ArcSwapOption::empty(), clock }
    }

    /// The newest committed view; `None` until the node has one.
    pub(crate) fn view(&self) -> &ArcSwapOption<View> {
        &self.view
    }

    /// Takes the lock once for all of `events`, and for the passing of time if that is due.
    ///
    /// Returns a moment at which the caller has to see to it that a thread comes back, if no other will by then. `came_in_time` says that the
    /// caller came back for such a moment, and will not for another one.
    pub(crate) fn step(
        &self,
        came_in_time: bool,
        events: &mut Vec<Event>,
        out: &mut Vec<Effect>,
    ) -> Option<Tick> {
        let (mut inside, waited) = self.lock();
        let began = Instant::now();
        let now = self.clock.now_at(began);
        let event_count = events.len();
        let first = out.len();
        inside.node.step_all(now, events.drain(..), out);
        if inside.node.next_wake().is_some_and(|wake| wake <= now.tick) {
            inside.node.step(now, Event::Tick, out);
        }
        self.hand_on(&mut inside, &out[first..]);
        let wanted = inside.node.next_wake();
        let wake = inside.plan.take_over(now.tick, came_in_time, wanted);
        let held = began.elapsed();
        inside.times.note(waited, held, event_count);
        wake
    }

    fn lock(&self) -> (MutexGuard<'_, Inside>, Duration) {
        if let Some(guard) = self.inside.try_lock() {
            return (guard, Duration::ZERO);
        }
        let began = Instant::now();
        let guard = self.inside.lock();
        (guard, began.elapsed())
    }

    fn hand_on(&self, inside: &mut Inside, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Publish(view) => {
                    self.view.store(Some(view.clone()));
                    if view.ready
                        && let Some(ready) = inside.ready.take()
                    {
                        // Nobody listens if the start was given up meanwhile.
                        let _ = ready.send(Ok(()));
                    }
                }
                Effect::Propose { epoch, payload } => inside.engine.propose(*epoch, payload.clone()),
                Effect::DescribeQuorum => inside.engine.describe(),
                Effect::ChangeVoters(change) => inside.engine.change_voters(*change),
                Effect::Registration(told) => inside.engine.registration(*told),
                Effect::Left { has_handed_over } => {
                    if let Some(wanted) = inside.left.take() {
                        let _ = wanted.send(*has_handed_over);
                    }
                }
                Effect::AtRest(rest) => {
                    if let Some(wanted) = inside.rest.take() {
                        // Whoever stops in a hurry does not wait for it.
                        let _ = wanted.send(*rest);
                    }
                }
                _ => {}
            }
        }
    }

    /// Where it will be told, after [`Event::Leaving`], that there is nothing more to wait for, and whether others have taken over.
    pub(crate) fn expect_left(&self) -> mpsc::Receiver<bool> {
        let (wanted, left) = mpsc::channel();
        self.inside.lock().left = Some(wanted);
        left
    }

    /// The node belongs to this cluster; told once, before the engine starts.
    pub(crate) fn belong(&self, cluster_id: &str) {
        self.inside.lock().node.belong(cluster_id);
    }

    /// Where the node's [`Rest`] will be told, after [`Event::Stopping`].
    pub(crate) fn expect_rest(&self) -> mpsc::Receiver<Rest> {
        let (wanted, rest) = mpsc::channel();
        self.inside.lock().rest = Some(wanted);
        rest
    }

    /// The node's own figures. The lock is let go again and again, so that nobody has to wait until all partitions were looked at.
    pub(crate) fn report(&self) -> Report {
        let mut report = self.inside.lock().node.report();
        let mut walk = Walk::default();
        while !walk.is_over() {
            self.inside.lock().node.report_next(&mut walk, &mut report);
        }
        report
    }

    /// How far groups are behind, at most so many of their partitions, and the time; the lock is let go again and again.
    pub(crate) fn lags(&self, count_max: usize) -> (Vec<Lag>, Timestamp) {
        let (mut lags, mut walk) = (Vec::new(), LagWalk::default());
        while !walk.is_over() && lags.len() < count_max {
            self.inside.lock().node.lags_next(&mut walk, &mut lags);
        }
        lags.truncate(count_max);
        (lags, self.clock.now_at(Instant::now()).wall)
    }

    /// Lock times so far.
    pub(crate) fn times(&self) -> LockTimes {
        self.inside.lock().times.clone()
    }
}

/// Who comes back for the node, so that not every thread does.
#[derive(Default)]
struct Plan {
    /// The earliest moment at which some I/O thread is going to wake up.
    planned: Option<Tick>,
}

impl Plan {
    fn take_over(&mut self, now: Tick, came_in_time: bool, wanted: Option<Tick>) -> Option<Tick> {
        // Whoever planned it is here, or will find nothing due. A thread keeps only the earliest of its moments: who came for one may have
        // been the one to come for the planned one too.
        if came_in_time || self.planned.is_some_and(|planned| planned <= now) {
            self.planned = None;
        }
        let wanted = wanted?;
        let is_covered = self.planned.is_some_and(|planned| planned <= wanted);
        (!is_covered).then(|| {
            self.planned = Some(wanted);
            wanted
        })
    }
}

/// How long the lock was waited for and held: what decides how far one node scales on many cores.
#[derive(Clone, Debug, Default)]
pub struct LockTimes {
    /// How often it was taken.
    pub count: u64,
    /// How often somebody else had it.
    pub contended_count: u64,
    /// Events stepped.
    pub event_count: u64,
    /// Nanoseconds held, in all.
    pub held_ns: u64,
    /// Nanoseconds waited, in all.
    pub waited_ns: u64,
    /// Held times by powers of two: the number at `n` counts times below 2^n nanoseconds and not below 2^(n-1).
    pub held_histogram: [u64; 32],
}

impl LockTimes {
    fn note(&mut self, waited: Duration, held: Duration, event_count: usize) {
        let held_ns = u64::try_from(held.as_nanos()).unwrap_or(u64::MAX);
        self.count += 1;
        self.contended_count += u64::from(!waited.is_zero());
        self.event_count += event_count as u64;
        self.held_ns += held_ns;
        self.waited_ns += u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX);
        let bucket = (u64::BITS - held_ns.leading_zeros()) as usize;
        self.held_histogram[bucket.min(31)] += 1;
    }

    /// What was added since an earlier look.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut since = self.clone();
        since.count -= earlier.count;
        since.contended_count -= earlier.contended_count;
        since.event_count -= earlier.event_count;
        since.held_ns -= earlier.held_ns;
        since.waited_ns -= earlier.waited_ns;
        for (count, before) in since.held_histogram.iter_mut().zip(earlier.held_histogram) {
            *count -= before;
        }
        since
    }

    /// The upper bound of the bucket in which the given share of the held times lies, in nanoseconds.
    pub fn held_ns_at(&self, share: f64) -> u64 {
        let wanted = (self.count as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (power, count) in self.held_histogram.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return 1 << power;
            }
        }
        u64::MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_comes_back_though_time_passes_between_two_looks_at_the_clock() {
        let (mut plan, mut own) = (Plan::default(), None::<Tick>);
        let mut run = |before_lock, within_lock, wanted| {
            let came_in_time = own.is_some_and(|own| own <= Tick(before_lock));
            if came_in_time {
                own = None;
            }
            if let Some(wake) = plan.take_over(Tick(within_lock), came_in_time, Some(Tick(wanted))) {
                own = Some(own.map_or(wake, |own| own.min(wake)));
            }
            own
        };
        assert_eq!(run(0, 0, 10), Some(Tick(10)));
        // What was wanted at 10 is done, and the thread will come once more for it.
        assert_eq!(run(9, 10, 20), Some(Tick(10)));
        assert_eq!(run(11, 11, 20), Some(Tick(20)));
        assert_eq!(run(12, 12, 20), Some(Tick(20)));
    }
}
