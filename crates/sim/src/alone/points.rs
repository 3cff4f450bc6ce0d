//! A crash at each step that the disk takes: not drawn but counted, so that none is left out (F44, F45).
//!
//! One short life has everything that changes files: topics made and deleted, writes, syncs, rolls with their indexes and snapshots, checkpoints, compaction
//! and its swaps, retention, deleted records, the metadata log, a clean stop. It is lived through again for every step, and ends with that one.

use std::collections::BTreeMap;

use super::{Alone, Happening, Options, Sabotage, topics::Kind, workload::Workload};
use crate::{
    Outcome,
    disk::Loss,
    timeline::{MS, SECOND},
    world::panic_of,
};

/// When the life that is not interrupted is told to stop.
const STOPS_AT: u64 = 3600 * MS;
/// A start has done by then what it has to do, and nothing that depends on the time has begun.
const START_TAKES: u64 = 250 * MS;

/// Where it ends.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// After so many steps of the disk, the last of them half done if it writes.
    pub step: u64,
    /// What the crash takes.
    pub loss: Loss,
    /// The start after it ends after so many steps too, and the one after that.
    pub again: Option<u64>,
}

/// The files of segments, by topic and base offset.
pub type Segments = BTreeMap<(Kind, i64), Vec<u8>>;

/// A life and what it left.
pub struct Lived {
    /// What it came to.
    pub outcome: Outcome,
    /// Steps of the disk until the stop was over.
    pub step_count: u64,
    /// The segments of all partitions when the first start after the crash was over.
    pub bytes: Segments,
}

/// Lives through the life up to a point, if one is given, and what comes after it.
pub fn live(point: Option<Point>, sabotage: Sabotage) -> Lived {
    let mut world = Alone::new(Options { seed: 0, sabotage, ..Options::default() });
    world.kinds.clear();
    let topics = [
        ("by-age", Kind::ByAge),
        ("compacted", Kind::Compacted),
        ("brief", Kind::Brief),
        ("plain", Kind::Plain),
    ];
    world.workload = Workload::new(&topics, 220 * MS);
    let mut lived = (0, BTreeMap::new());
    let ended = panic_of(|| lived = world.live_to(point));
    Lived { outcome: world.outcome(0, ended), step_count: lived.0, bytes: lived.1 }
}

impl Alone {
    fn live_to(&mut self, point: Option<Point>) -> (u64, Segments) {
        self.disk.steps_left = point.map(|point| point.step);
        self.halt_loss = point.map_or(Loss::Process, |point| point.loss);
        self.timeline.at(0, Happening::Boots);
        self.timeline.at(0, Happening::ClientsAct);
        self.live_while(STOPS_AT, |world| world.lives == 0 || world.process.is_some());
        self.stop();
        self.live_while(STOPS_AT + SECOND, |world| world.process.is_some());
        let step_count = self.disk.step_count;
        self.is_mute = true;
        for again in point.and_then(|point| point.again).into_iter().flat_map(|step| [step, step + 1]) {
            (self.steps_of_next_start, self.halt_loss) = (Some(again), Loss::Process);
            self.start();
            self.crash(Loss::Process);
        }
        self.start();
        let bytes = self.segments();
        self.is_mute = false;
        self.live_until(self.timeline.now() + SECOND);
        self.conclude();
        (step_count, bytes)
    }

    fn segments(&self) -> Segments {
        let mut found = Segments::new();
        for (partition, kind) in self.workload.partitions() {
            let Some(process) = &self.process else { continue };
            let log_start = process.node.replica(partition).map_or(0, |it| it.log().log_start().raw());
            let segments = self.disk.segments(partition);
            // What lies below is no part of the log any more, and goes sooner or later.
            let ends = segments.iter().skip(1).map(|(base, _)| *base).chain([i64::MAX]);
            let in_log = segments.iter().zip(ends).filter(|(_, end)| log_start < *end);
            found.extend(in_log.map(|((base, bytes), _)| ((kind, *base), bytes.to_vec())));
        }
        found
    }

    /// A process starts, and has done what a start has to do, or ends before that.
    fn start(&mut self) {
        self.live_while(u64::MAX, |world| world.process.is_none());
        self.live_while(self.timeline.now() + START_TAKES, |world| world.process.is_some());
    }

    fn live_while(&mut self, end: u64, goes_on: impl Fn(&Self) -> bool) {
        while self.timeline.now() < end && goes_on(self) {
            self.live_until(self.timeline.now() + MS);
        }
    }
}
