//! A consensus engine that does everything its contract (`klamm_quorum`) allows and no node wants.
//!
//! One durable sequence, which survives everything. Leadership goes to any live node and is lost at bad moments; a deposed leader hears of it late; what it
//! proposed is committed, forgotten, or committed after the next leader's first entries; some entries are committed twice; every node is told at its own pace,
//! and after a restart everything again from the start, with hints about the leader thrown in anywhere. Who starts or is behind gets a snapshot in place of
//! entries, any node's, or has to, because the engine has given the entries up.

use std::collections::VecDeque;

use bytes::Bytes;
use klamm_cluster::Image;
use klamm_model::{BrokerId, ControllerEpoch};
use klamm_quorum::{DEPOSED_WITHIN_MS, Entry, Filter, Output, Peer, Snapshot, Verdict, contract::Witness};
use uuid::Uuid;

use crate::{
    NODE_COUNT, broker_id,
    roles::Layout,
    sightings::{Hears, REPORT, Sightings},
    timeline::{Happening, Life, MS, SECOND, Timeline},
};

/// What the engine does wrong on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EngineSabotage {
    /// Tells two nodes that they lead under one epoch.
    pub two_leaders: bool,
    /// Gives snapshots that miss the last of the entries that they say they have.
    pub snapshots_miss_an_entry: bool,
}

/// Snapshots that the engine has at a time. Other nodes' may be older than what is given up.
const SNAPSHOTS_MAX: usize = 4;
/// A node that misses fewer entries gets them.
const FEW: u64 = 4;

/// What the engine does next.
#[derive(Debug)]
pub enum Step {
    /// The oldest proposal of the leader is committed.
    Commit,
    /// A node is told entries.
    Tell {
        /// Which.
        life: Life,
        /// Up to the entry before this one.
        to: u64,
    },
    /// A node is told who leads.
    Hint {
        /// Which.
        life: Life,
        /// Who leads, as it was when this was planned.
        leader: Option<BrokerId>,
        /// Under which epoch.
        epoch: ControllerEpoch,
    },
    /// A deposed leader hears of it.
    Depose {
        /// Which.
        life: Life,
        /// What it led.
        epoch: ControllerEpoch,
    },
    /// The engine looks whether it wants another leader.
    Look,
    /// It is looked how the nodes are, for the one that leads.
    Report {
        /// Which.
        life: Life,
        /// Under which epoch.
        epoch: ControllerEpoch,
        /// And again after a while.
        is_regular: bool,
    },
    /// A node is told how the others are, or were.
    Sight {
        /// Which.
        life: Life,
        /// What.
        peers: Vec<Peer>,
    },
    /// Something is committed late, or twice.
    Late {
        /// What; its index is given out then.
        entry: Entry,
    },
}

/// See the module.
pub struct Engine {
    sequence: Vec<Entry>,
    epoch: ControllerEpoch,
    leader: Option<(Life, ControllerEpoch)>,
    /// Proposals of the leader that are not committed, in order.
    proposed: VecDeque<Bytes>,
    seats: [Seat; NODE_COUNT],
    /// The newest that nodes have offered, in rising order.
    snapshots: VecDeque<Snapshot>,
    /// Entries before this one are not to be had any more, but for whoever leads.
    given_up: u64,
    sightings: Sightings,
    witness: Witness,
    sabotage: EngineSabotage,
    /// Between leaderships, on average; `None` where they last.
    unrest: Option<u64>,
    lasts_until: u64,
    is_ended: bool,
    /// Until then there is no majority: nothing is committed, and nobody leads once that is noticed.
    lost_until: u64,
    layout: Layout,
}

/// A node's place at the engine.
#[derive(Default)]
struct Seat {
    life: Option<Life>,
    told: u64,
    leads: Option<ControllerEpoch>,
    stalled_until: u64,
}

/// What a node is told.
pub type Told = (Life, Output);

impl Engine {
    /// With an empty sequence.
    pub fn new(layout: Layout, sabotage: EngineSabotage) -> Self {
        Self {
            sequence: Vec::new(),
            epoch: ControllerEpoch(0),
            leader: None,
            proposed: VecDeque::new(),
            seats: Default::default(),
            snapshots: VecDeque::new(),
            given_up: 0,
            sightings: Sightings::default(),
            witness: Witness::default(),
            sabotage,
            unrest: None,
            lasts_until: 0,
            is_ended: false,
            lost_until: 0,
            layout,
        }
    }

    /// Everything committed so far.
    pub fn sequence(&self) -> &[Entry] {
        &self.sequence
    }

    /// The node that leads, as far as the engine is concerned.
    pub fn leader(&self) -> Option<Life> {
        self.leader.map(|(life, _)| life)
    }

    /// Leaderships last about so long from now on.
    pub fn set_unrest(&mut self, unrest: Option<u64>) {
        self.unrest = unrest;
        self.lasts_until = 0;
    }

    /// Whoever leads has led for long enough.
    pub fn end_leadership(&mut self) {
        self.lasts_until = 0;
        self.is_ended = true;
    }

    /// There is no majority for a while. Whoever leads finds that out soon.
    pub fn lose_majority(&mut self, until: u64, timeline: &mut Timeline) {
        self.lost_until = until;
        let noticed = timeline.dice.between(50 * MS, SECOND);
        timeline.after(noticed, Happening::Engine(Step::Look));
    }

    /// There is one again.
    pub fn find_majority(&mut self, timeline: &mut Timeline) {
        self.lost_until = 0;
        let elected = timeline.dice.between(1, 600 * MS);
        timeline.after(elected, Happening::Engine(Step::Look));
    }

    /// A node hears nothing for a while.
    pub fn stall(&mut self, node: usize, until: u64) {
        self.seats[node].stalled_until = until;
    }

    /// A process that lives is said to be gone, for a while.
    pub fn say_gone(&mut self, node: usize, until: u64, timeline: &mut Timeline) {
        self.sightings.say_gone(node, until);
        self.plan_report(0, false, timeline);
    }

    fn plan_report(&mut self, delay: u64, is_regular: bool, timeline: &mut Timeline) {
        if let Some((life, epoch)) = self.leader {
            timeline.after(delay, Happening::Engine(Step::Report { life, epoch, is_regular }));
        }
    }

    /// A process starts: it is told everything from the start.
    pub fn started(&mut self, life: Life, incarnation: Uuid, timeline: &mut Timeline) {
        self.sightings.started(life.node, incarnation, timeline.now());
        self.seats[life.node] = Seat { life: Some(life), ..Seat::default() };
        self.witness.restarted(broker_id(life.node));
        let end = self.sequence.len() as u64;
        let mut delay = timeline.dice.between(1, 20 * MS);
        let pieces = timeline.dice.between(1, 4);
        for piece in 1..=pieces {
            timeline.after(delay, Happening::Engine(Step::Tell { life, to: end * piece / pieces }));
            delay += timeline.dice.between(1, 20 * MS);
        }
        // Who leads is known to a restarted process before or after it has caught up.
        let hint = timeline.dice.between(1, 100 * MS);
        self.plan_hint(life, hint, timeline);
        timeline.after(150 * MS, Happening::Engine(Step::Look));
    }

    /// A process is gone. `refuses`: its machine runs, and says so.
    pub fn stopped(&mut self, life: Life, refuses: bool, timeline: &mut Timeline) {
        self.seats[life.node] = Seat::default();
        self.sightings.stopped(life, refuses, timeline);
        self.plan_report(100 * MS, false, timeline);
        if self.leader.is_some_and(|(leader, _)| leader == life) {
            let delay = timeline.dice.between(20 * MS, 1500 * MS);
            timeline.after(delay, Happening::Engine(Step::Look));
        }
    }

    fn lives(&self, life: Life) -> bool {
        self.seats[life.node].life == Some(life)
    }

    fn plan_hint(&mut self, life: Life, delay: u64, timeline: &mut Timeline) {
        let leader = self.leader.map(|(life, _)| broker_id(life.node));
        let step = Step::Hint { life, leader, epoch: self.epoch };
        timeline.after(delay, Happening::Engine(step));
    }

    /// A node proposes.
    pub fn propose(&mut self, life: Life, epoch: ControllerEpoch, payload: Bytes, timeline: &mut Timeline) {
        let leads = self.leader == Some((life, epoch));
        if leads {
            self.proposed.push_back(payload);
            let delay = self.commit_delay(timeline);
            timeline.after(delay, Happening::Engine(Step::Commit));
            if self.unrest.is_some() && timeline.dice.chance(3) {
                timeline.coverage.count("engine: leadership lost in the middle of proposals");
                self.lasts_until = 0;
                let delay = timeline.dice.between(1, 2 * MS);
                timeline.after(delay, Happening::Engine(Step::Look));
            }
        } else if self.sabotage.two_leaders || timeline.dice.chance(50) {
            let entry = Entry { index: 0, epoch, payload };
            let delay = timeline.dice.between(MS, SECOND);
            timeline.after(delay, Happening::Engine(Step::Late { entry }));
        }
    }

    fn commit_delay(&self, timeline: &mut Timeline) -> u64 {
        match timeline.dice.below(20) {
            0 if self.unrest.is_some() => timeline.dice.between(20 * MS, 300 * MS),
            _ => timeline.dice.between(MS / 2, 4 * MS),
        }
    }

    /// Whose event this is, if it is one node's: a paused process hears nothing.
    pub fn node_of(step: &Step) -> Option<usize> {
        match step {
            Step::Tell { life, .. }
            | Step::Hint { life, .. }
            | Step::Depose { life, .. }
            | Step::Report { life, .. }
            | Step::Sight { life, .. } => Some(life.node),
            Step::Commit | Step::Look | Step::Late { .. } => None,
        }
    }

    /// The engine goes on. `hears`: which nodes hear which; those that hear themselves can be told at once that they lead.
    pub fn step(&mut self, step: Step, hears: &Hears, timeline: &mut Timeline) -> Vec<Told> {
        let may_lead = std::array::from_fn(|node| hears[node][node] && self.layout.is_controller(node));
        let mut told = Vec::new();
        match step {
            Step::Commit if timeline.now() < self.lost_until => {
                timeline.at(self.lost_until, Happening::Engine(Step::Commit));
            }
            Step::Commit => {
                if let (Some((_, epoch)), Some(payload)) = (self.leader, self.proposed.pop_front()) {
                    let entry = Entry { index: 0, epoch, payload };
                    if timeline.dice.chance(5) {
                        timeline.coverage.count("engine: entry committed twice");
                        let (entry, delay) = (entry.clone(), timeline.dice.between(1, 2 * SECOND));
                        timeline.after(delay, Happening::Engine(Step::Late { entry }));
                    }
                    self.commit(entry, timeline);
                }
            }
            Step::Late { entry } => {
                if entry.epoch < self.epoch {
                    timeline.coverage.count("engine: entry committed late");
                }
                self.commit(entry, timeline);
            }
            Step::Tell { life, to } if self.lives(life) => {
                let stalled_until = self.seats[life.node].stalled_until;
                if timeline.now() < stalled_until {
                    timeline.at(stalled_until, Happening::Engine(Step::Tell { life, to }));
                } else {
                    self.tell(life, to, timeline, &mut told);
                }
            }
            Step::Hint { life, leader, epoch } if self.lives(life) => {
                // An engine that has not had a leader yet has nothing to say.
                if ControllerEpoch(0) < epoch {
                    self.say(life, Output::LeaderIs { leader, epoch }, &mut told);
                }
            }
            Step::Depose { life, epoch } if self.lives(life) => self.depose(life, epoch, &mut told),
            Step::Look => self.look(may_lead, timeline, &mut told),
            Step::Report { life, epoch, is_regular } if self.leader == Some((life, epoch)) => {
                self.report(life, hears, timeline);
                if is_regular {
                    self.plan_report(REPORT, true, timeline);
                }
            }
            Step::Sight { life, peers } if self.lives(life) => {
                self.say(life, Output::Peers(peers), &mut told)
            }
            Step::Tell { .. }
            | Step::Hint { .. }
            | Step::Depose { .. }
            | Step::Report { .. }
            | Step::Sight { .. } => {}
        }
        told
    }

    /// Who hears nothing of the quorum is not heard either.
    fn report(&mut self, life: Life, hears: &Hears, timeline: &mut Timeline) {
        let is_stalled = |node: usize| timeline.now() < self.seats[node].stalled_until;
        let hears = std::array::from_fn(|one| {
            std::array::from_fn(|other| hears[one][other] && !is_stalled(one) && !is_stalled(other))
        });
        let peers = self.sightings.report(life.node, &hears, timeline);
        let delay = Sightings::delay(timeline);
        timeline.after(delay, Happening::Engine(Step::Sight { life, peers }));
    }

    fn commit(&mut self, entry: Entry, timeline: &mut Timeline) {
        if timeline.now() < self.lost_until {
            // Whoever has it may bring it back with the majority.
            let delay = timeline.dice.between(1, SECOND);
            return timeline.at(self.lost_until + delay, Happening::Engine(Step::Late { entry }));
        }
        let index = self.sequence.len() as u64;
        self.sequence.push(Entry { index, ..entry });
        let lives: Vec<Life> = self.seats.iter().filter_map(|seat| seat.life).collect();
        for life in lives {
            let delay = match timeline.dice.below(30) {
                0 => timeline.dice.between(10 * MS, 400 * MS),
                _ => timeline.dice.between(100, 5 * MS),
            };
            timeline.after(delay, Happening::Engine(Step::Tell { life, to: index + 1 }));
        }
    }

    fn tell(&mut self, life: Life, to: u64, timeline: &mut Timeline, told: &mut Vec<Told>) {
        self.give_snapshot(life, to, timeline, told);
        for index in self.seats[life.node].told..to {
            let entry = self.sequence[index as usize].clone();
            self.seats[life.node].told += 1;
            self.say(life, Output::Committed(entry), told);
        }
    }

    /// A node offers a snapshot.
    pub fn offer(&mut self, snapshot: Snapshot, timeline: &mut Timeline) {
        timeline.coverage.count("engine: snapshot offered");
        let end = snapshot.position.next_index;
        let at = self.snapshots.partition_point(|it| it.position.next_index <= end);
        self.snapshots.insert(at, snapshot);
        if SNAPSHOTS_MAX < self.snapshots.len() {
            self.snapshots.pop_front();
        }
        if timeline.dice.chance(50) {
            self.given_up = self.given_up.max(end);
        }
    }

    fn give_snapshot(&mut self, life: Life, to: u64, timeline: &mut Timeline, told: &mut Vec<Told>) {
        let seat = &self.seats[life.node];
        if self.leader.is_some_and(|(leader, _)| leader == life) {
            return;
        }
        let must = seat.told < to.min(self.given_up);
        let least = if must { self.given_up } else { seat.told + FEW };
        let possible = self.snapshots.iter().filter(|it| {
            let end = it.position.next_index;
            least <= end && seat.told < end && (must || end <= to)
        });
        let possible: Vec<Snapshot> = possible.cloned().collect();
        if possible.is_empty() || !(must || timeline.dice.chance(40)) {
            return;
        }
        timeline.coverage.count(match seat.told {
            0 => "engine: snapshot at a start",
            _ => "engine: snapshot for a node that is behind",
        });
        let mut snapshot = possible[timeline.dice.index(possible.len())].clone();
        if self.sabotage.snapshots_miss_an_entry {
            snapshot = self.without_an_entry(snapshot);
        }
        self.seats[life.node].told = snapshot.position.next_index;
        timeline.note(format_args!("engine: {life} gets a snapshot up to {:?}", snapshot.position));
        self.say(life, Output::Snapshot(snapshot), told);
    }

    /// One that says that it has an entry more than it has.
    fn without_an_entry(&self, snapshot: Snapshot) -> Snapshot {
        let mut filter = Filter::at(snapshot.position);
        let mut image = Image::from_bytes(&snapshot.state).expect("a node wrote it");
        let next = self.sequence.get(snapshot.position.next_index as usize);
        match next.map(|it| filter.take(it).expect("in order")) {
            Some(Verdict::Accept(it)) if !it.begins => {
                image.apply_entry(it.offset, it.epoch, &[]).expect("it comes next");
                Snapshot { position: filter.position(), state: image.to_bytes() }
            }
            _ => snapshot,
        }
    }

    fn say(&mut self, life: Life, output: Output, told: &mut Vec<Told>) {
        if self.sabotage == EngineSabotage::default() {
            self.witness.saw(broker_id(life.node), &output);
        }
        told.push((life, output));
    }

    fn depose(&mut self, life: Life, epoch: ControllerEpoch, told: &mut Vec<Told>) {
        if self.seats[life.node].leads == Some(epoch) {
            self.seats[life.node].leads = None;
            self.say(life, Output::NoLongerLeader, told);
        }
    }

    fn look(&mut self, may_lead: [bool; NODE_COUNT], timeline: &mut Timeline, told: &mut Vec<Told>) {
        if timeline.now() < self.lost_until {
            if self.leader.is_some() {
                timeline.coverage.count("engine: leader finds that it has no majority");
                self.give_up_leader(timeline);
                self.remind(timeline);
            }
            return;
        }
        let alive = self.leader.is_some_and(|(life, _)| self.lives(life));
        let is_over = self.is_ended || (self.unrest.is_some() && self.lasts_until <= timeline.now());
        if alive && !is_over {
            return self.remind(timeline);
        }
        let candidates: Vec<Life> =
            self.seats.iter().filter_map(|seat| seat.life).filter(|life| may_lead[life.node]).collect();
        if candidates.is_empty() {
            timeline.after(200 * MS, Happening::Engine(Step::Look));
            return;
        }
        self.is_ended = false;
        self.give_up_leader(timeline);
        let next = candidates[timeline.dice.index(candidates.len())];
        self.epoch.0 += 1;
        self.elect(next, timeline, told);
        if self.sabotage.two_leaders
            && let Some(second) = candidates.iter().find(|life| **life != next)
        {
            self.elect(*second, timeline, told);
        }
        self.lasts_until = u64::MAX;
        if let Some(unrest) = self.unrest {
            let lasts = if timeline.dice.chance(15) { 300 * MS } else { 2 * unrest };
            self.lasts_until = timeline.now() + timeline.dice.between(MS, lasts);
            timeline.at(self.lasts_until, Happening::Engine(Step::Look));
        }
    }

    /// What the old leader proposed is committed, forgotten, or will be committed late; it hears that it was deposed some time.
    fn give_up_leader(&mut self, timeline: &mut Timeline) {
        let Some((life, epoch)) = self.leader.take() else { return };
        for payload in std::mem::take(&mut self.proposed) {
            let entry = Entry { index: 0, epoch, payload };
            match timeline.dice.below(3) {
                0 => timeline.coverage.count("engine: proposal forgotten"),
                1 => self.commit(entry, timeline),
                _ => {
                    let delay = timeline.dice.between(1, 2 * SECOND);
                    timeline.after(delay, Happening::Engine(Step::Late { entry }));
                }
            }
        }
        if self.lives(life) {
            let delay = timeline.dice.between(1, DEPOSED_WITHIN_MS * MS);
            timeline.after(delay, Happening::Engine(Step::Depose { life, epoch }));
        }
    }

    fn elect(&mut self, life: Life, timeline: &mut Timeline, told: &mut Vec<Told>) {
        let epoch = self.epoch;
        timeline.coverage.count("controller elected");
        if self.layout.is_controller_only(life.node) {
            timeline.coverage.count("roles: controller elected that is no broker");
        }
        timeline.note(format_args!("engine: {life} leads under epoch {epoch}"));
        if let Some(old) = self.seats[life.node].leads {
            self.depose(life, old, told);
        }
        self.tell(life, self.sequence.len() as u64, timeline, told);
        self.say(life, Output::Leader { epoch }, told);
        self.seats[life.node].leads = Some(epoch);
        self.leader = Some((life, epoch));
        self.plan_report(0, true, timeline);
        self.remind(timeline);
    }

    /// Tells everybody who leads.
    fn remind(&mut self, timeline: &mut Timeline) {
        let lives: Vec<Life> = self.seats.iter().filter_map(|seat| seat.life).collect();
        for life in lives {
            let delay = timeline.dice.between(1, 300 * MS);
            self.plan_hint(life, delay, timeline);
        }
    }
}
