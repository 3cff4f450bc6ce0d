//! What the engine's connections show of the nodes to whoever leads: most of the time what is so, sometimes late, and, as the contract allows, what is not so.

use klamm_cluster::features::METADATA_FORM_MAX;
use klamm_quorum::Peer;
use uuid::Uuid;

use crate::{
    NODE_COUNT, broker_id,
    timeline::{Life, MS, SECOND, Timeline},
};

/// Between two reports.
pub const REPORT: u64 = 250 * MS;

/// Which nodes hear each other at the moment: those that run, and both ways between them are free.
pub type Hears = [[bool; NODE_COUNT]; NODE_COUNT];

/// See the module.
#[derive(Default)]
pub struct Sightings {
    known: [Option<Known>; NODE_COUNT],
    /// Processes that were there before, and may be said to be gone again.
    past: Vec<(usize, Uuid)>,
}

struct Known {
    incarnation: Uuid,
    heard: [u64; NODE_COUNT],
    /// From then on it is seen to be gone.
    gone_at: Option<u64>,
    /// Until then it is said to be gone, though it lives.
    said_gone_until: u64,
}

impl Sightings {
    /// A process runs.
    pub fn started(&mut self, node: usize, incarnation: Uuid, now: u64) {
        let new = Known { incarnation, heard: [now; NODE_COUNT], gone_at: None, said_gone_until: 0 };
        if let Some(last) = self.known[node].replace(new) {
            self.past.push((node, last.incarnation));
        }
        // Nobody has been silent to it for longer than it lives (seed 3311).
        self.known.iter_mut().flatten().for_each(|known| known.heard[node] = now);
    }

    /// It does no more. A machine that lost its power refuses nothing: its silence has to do.
    pub fn stopped(&mut self, life: Life, refuses: bool, timeline: &mut Timeline) {
        if let Some(known) = &mut self.known[life.node]
            && refuses
        {
            known.gone_at = Some(timeline.now() + timeline.dice.between(MS, 100 * MS));
        }
    }

    /// It is said to be gone for a while, whether it is or not.
    pub fn say_gone(&mut self, node: usize, until: u64) {
        if let Some(known) = &mut self.known[node] {
            known.said_gone_until = until;
        }
    }

    /// As the leader is told.
    pub fn report(&mut self, to: usize, hears: &Hears, timeline: &mut Timeline) -> Vec<Peer> {
        let now = timeline.now();
        let mut peers = Vec::new();
        for (node, known) in self.known.iter_mut().enumerate() {
            let Some(known) = known.as_mut().filter(|_| node != to) else { continue };
            for (other, heard) in known.heard.iter_mut().enumerate() {
                *heard = if hears[other][node] { now } else { *heard };
            }
            let is_gone = known.gone_at.is_some_and(|at| at <= now);
            let is_said = now < known.said_gone_until;
            if is_said && !is_gone {
                timeline.coverage.count("engine: a process that lives said to be gone");
            }
            peers.push(Peer {
                id: broker_id(node),
                incarnation: known.incarnation,
                silent_ms: (now - known.heard[to]) / MS,
                is_gone: is_gone || is_said,
                metadata_form: METADATA_FORM_MAX,
            });
        }
        if !self.past.is_empty() && timeline.dice.chance(20) {
            let (node, incarnation) = self.past[timeline.dice.index(self.past.len())];
            timeline.coverage.count("engine: old news of a process that is gone");
            peers.push(Peer {
                id: broker_id(node),
                incarnation,
                silent_ms: 0,
                is_gone: true,
                metadata_form: METADATA_FORM_MAX,
            });
        }
        peers
    }

    /// How long a report is on its way.
    pub fn delay(timeline: &mut Timeline) -> u64 {
        match timeline.dice.below(20) {
            0 => timeline.dice.between(100 * MS, 2 * SECOND),
            _ => timeline.dice.between(100, 5 * MS),
        }
    }
}
