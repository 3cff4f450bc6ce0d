//! Controlled shutdown (F17), as a shell does it: others take over what the broker leads, its connections end, its logs come to rest, and the last thing that
//! it writes says that everything is on disk.

use std::collections::VecDeque;

use klamm_log::{CleanShutdown, LogDir};
use klamm_node::{Event, Rest};

use super::{BrokerSabotage, STOPPED, World};
use crate::{
    BROKER_COUNT, broker_id,
    disk::Loss,
    faults::Fault,
    timeline::{Happening, Life, SECOND},
};

/// How long others may take to take over: a cluster in trouble keeps nobody for longer.
const PATIENCE: u64 = 2 * SECOND;

/// How far a process is on its way out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exit {
    /// Until the machine starts it again.
    down: u64,
    /// There is a controller to ask and somebody to take over: it does not go before that is done, unless it takes too long.
    has_heirs: bool,
    /// It has no connections any more, and nobody finds it.
    pub(crate) is_deaf: bool,
    /// All its logs are at rest.
    rest: Option<Rest>,
}

impl World {
    /// Somebody tells a process to stop. One that stands still does not hear of it.
    pub(super) fn begin_to_stop(&mut self, node: usize, down: u64) {
        // Whoever was killed just now still counts as one who could take over, and may lack what is in no other place then.
        if self.is_one_too_many(node) {
            return;
        }
        let machine = &mut self.machines[node];
        let is_paused = machine.is_paused;
        let Some(process) = machine.process.as_mut().filter(|it| it.exit.is_none() && !is_paused) else {
            return;
        };
        let me = broker_id(node);
        let has_heirs = process.view.as_ref().is_some_and(|view| {
            view.ready
                && view.controller.is_some()
                && view.image.brokers().any(|it| it.id != me && it.is_active())
        });
        process.exit = Some(Exit { down, has_heirs, is_deaf: false, rest: None });
        let life = process.life;
        self.timeline.after(PATIENCE, Happening::Fault(Fault::StopWaiting { life }));
        if self.sabotage.broker == BrokerSabotage::HandsNothingOver {
            self.hang_up(life, true);
        } else {
            self.step(life, Event::Leaving);
        }
    }

    /// The node says that others have taken over, or that there is no controller that could have them do so.
    pub(super) fn has_left(&mut self, life: Life, has_handed_over: bool, events: &mut VecDeque<Event>) {
        if self.goes_deaf(life, has_handed_over) {
            events.push_back(Event::Stopping);
        }
    }

    /// Nobody waits any longer for others to take over.
    pub(super) fn stop_waiting(&mut self, life: Life) {
        self.hang_up(life, false);
    }

    fn hang_up(&mut self, life: Life, has_handed_over: bool) {
        if self.goes_deaf(life, has_handed_over) {
            self.step(life, Event::Stopping);
        }
    }

    /// From now on it hears of nobody, and nobody of it. Not if it did so before.
    fn goes_deaf(&mut self, life: Life, has_handed_over: bool) -> bool {
        let exit = self.process(life).and_then(|it| it.exit.as_mut()).filter(|it| !it.is_deaf);
        let Some(exit) = exit else { return false };
        exit.is_deaf = true;
        let is_promised = exit.has_heirs && has_handed_over;
        if is_promised {
            self.timeline.coverage.count("broker stops when others have taken over");
            self.nobody_comes_to(life);
        }
        self.network.process_ended(life, false, &mut self.timeline);
        self.engine.stopped(life, true, &mut self.timeline);
        true
    }

    /// Whoever takes part knows that this broker leads nothing. One that is fenced, for it was not heard of, is waited for by nobody.
    fn nobody_comes_to(&mut self, life: Life) {
        let me = broker_id(life.node);
        let leads = |image: &klamm_cluster::Image| {
            image.partitions().find(|(_, it)| it.leader == Some(me)).map(|(key, _)| key)
        };
        let newest = self.checker.replicas.newest_image();
        let mut seen = vec![("the metadata say".to_owned(), leads(&newest))];
        let takes_part = |node: &usize| newest.broker(broker_id(*node)).is_some_and(|it| it.is_active());
        for other in (0..BROKER_COUNT).filter(|other| *other != life.node).filter(takes_part) {
            let view = self.machines[other].process.as_ref().and_then(|it| it.view.as_ref());
            if let Some(view) = view.filter(|view| view.ready) {
                seen.push((format!("n{other} believes"), leads(&view.image)));
            }
        }
        for (who, led) in seen {
            if let Some(partition) = led {
                let what = format!("{life} stops, and {who} that it leads {partition}");
                self.checker.findings.broken("F17", what);
            }
        }
    }

    /// All that the node's logs had to do is done.
    pub(super) fn came_to_rest(&mut self, life: Life, rest: Rest) {
        if let Some(exit) = self.process(life).and_then(|it| it.exit.as_mut()) {
            exit.rest = Some(rest);
        }
    }

    /// The process ends, if it is at rest. What it says to be on disk is all that is there.
    pub(super) fn may_have_stopped(&mut self, life: Life) {
        let machine = &mut self.machines[life.node];
        let Some(process) = machine.process.as_ref().filter(|it| it.life == life) else { return };
        let Some(exit) = process.exit else { return };
        let Some(rest) = exit.rest else { return };
        let is_whole = rest.is_whole && !process.has_failures && !machine.disk.has_failed_sync();
        let marker = rest
            .broker_epoch
            .filter(|_| is_whole)
            .map(|broker_epoch| CleanShutdown { broker_epoch, incarnation: process.incarnation });
        self.count_held_back(life.node);
        let machine = &mut self.machines[life.node];
        machine.process = None;
        let mut loss = Loss::Process;
        if let Some(marker) = marker {
            (0..machine.log_dirs()).for_each(|dir| machine.disk.leave(LogDir(dir), marker));
            self.timeline.coverage.count("broker stopped clean");
            loss = Loss::AllUnsynced;
        }
        self.timeline.note(format_args!("{life} has stopped: {marker:?}"));
        machine.disk.crash(loss, &mut self.timeline.dice);
        self.count_role(life.node, STOPPED);
        self.checker.replicas.stopped(life.node);
        self.timeline.after(exit.down, Happening::Boots { node: life.node });
    }
}
