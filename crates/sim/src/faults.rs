//! What goes wrong in a run.
//!
//! The budget: where every topic is synced, any number of machines may lose power at any moment, all of them at once too, as long as their disks keep what
//! was synced; a machine whose sync failed loses its page cache before it starts again (what the system dropped from it is gone, F28). The network and the engine
//! may do whatever they like for as long as they like. Within this budget nothing acknowledged by all may ever be lost, and once the faults stop
//! everything comes back by itself.
//!
//! Some seeds have topics that are *relaxed*: what is acknowledged is in the page cache of those in sync. There one machine at a time ends, by whatever fault, and
//! the next one only when the first is back in all in-sync sets; and no sync fails.

use crate::{
    CLIENT_COUNT, NODE_COUNT, PARTY_COUNT,
    dice::Dice,
    disk::Loss,
    roles::Layout,
    timeline::{Life, MS, SECOND},
};

/// A fault that begins or ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Time for the next one.
    Next,
    /// A machine's process ends; the machine starts it again after a while.
    Crash {
        /// Which.
        node: usize,
        /// What it takes.
        loss: Loss,
        /// Until it starts again.
        down: u64,
    },
    /// The power goes everywhere.
    CrashAll {
        /// What it takes.
        loss: Loss,
        /// Which machine stays off for long, if any.
        away: Option<usize>,
    },
    /// By now somebody leads wherever somebody runs who may.
    LookForLeaders,
    /// Whoever leads some partition crashes and is back at once, so that leaders change in quick succession.
    CrashLeader {
        /// So many more times.
        times: u64,
    },
    /// A process is told to stop, has others take over, and is started again after a while.
    Stop {
        /// Which.
        node: usize,
        /// Until it starts again.
        down: u64,
    },
    /// Nobody waits any longer for others to take over from it.
    StopWaiting {
        /// From whom.
        life: Life,
    },
    /// A process stands still.
    Pause {
        /// Which.
        node: usize,
    },
    /// It goes on.
    Resume {
        /// Which.
        node: usize,
    },
    /// Nothing gets from one party to another.
    Cut {
        /// From.
        from: usize,
        /// To.
        to: usize,
        /// Since when this cut has ended, if it has.
        is_cut: bool,
    },
    /// Messages take long.
    Delay {
        /// So long, at most; 0 ends it.
        most: u64,
    },
    /// Connections are narrow.
    Throttle {
        /// So much gets through each; 0 ends it.
        bytes_per_second: u64,
    },
    /// Connections break.
    Break {
        /// So many.
        count: u64,
    },
    /// Connections fall silent.
    Silence {
        /// So many.
        count: u64,
    },
    /// A client stands still.
    Standstill {
        /// Which.
        client: usize,
        /// For how long.
        lasts: u64,
    },
    /// A disk takes its time.
    Slow {
        /// Whose.
        node: usize,
        /// So many times as long; 0 ends it.
        times: u64,
    },
    /// A disk has no room.
    Full {
        /// Whose.
        node: usize,
        /// Begins or ends.
        is_full: bool,
    },
    /// The next sync of a disk fails.
    FailSync {
        /// Whose.
        node: usize,
    },
    /// A wall clock jumps.
    Clock {
        /// Whose.
        node: usize,
    },
    /// The quorum gets another leader.
    MoveController,
    /// A data directory of a machine answers no more.
    LoseDirectory {
        /// Whose; the first of a machine is not lost alone.
        node: usize,
    },
    /// The process ends, and the next one finds the directory in order, or an empty one in its place.
    MendDirectory {
        /// Whose.
        node: usize,
        /// What was in it is gone.
        is_replaced: bool,
        /// Until the process starts again.
        down: u64,
    },
    /// The quorum has no majority for a while.
    LoseMajority {
        /// What becomes of the nodes.
        how: MajorityLost,
        /// For how long.
        lasts: u64,
    },
    /// It has one again.
    FindMajority,
    /// The topic that is made anew again and again is, and whoever coordinates the group that reads it is lost at that moment.
    LoseCoordinator {
        /// What the process takes with it; without, it is cut off and goes on.
        loss: Option<Loss>,
        /// For how long it is away.
        lasts: u64,
        /// Until it is lost.
        lost_in: u64,
        /// Until the topic is deleted.
        goes_in: u64,
    },
    /// The topic is deleted.
    DeleteTopic,
    /// Whoever leads the quorum is told that a process is gone that is not.
    SaidGone {
        /// Which.
        node: usize,
        /// For how long.
        lasts: u64,
    },
    /// A node hears nothing of the quorum.
    Stall {
        /// Which.
        node: usize,
        /// For how long.
        lasts: u64,
    },
    /// Everything works from now on.
    Heal,
    /// Clients begin nothing new.
    CalmClients,
}

/// How two of three are lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MajorityLost {
    /// They are down; this one stays.
    AllBut(usize),
    /// No node hears another; clients hear all of them.
    Apart,
    /// Those who vote do not hear each other, and brokers do, as where others are voters.
    Voters,
}

/// The kinds there are, by the names they are counted under.
pub const KINDS: &[&str] = &[
    "fault: process killed",
    "fault: power lost",
    "fault: power lost everywhere",
    "fault: power lost everywhere, and one stays away",
    "fault: leaders crash in quick succession",
    "fault: process stopped",
    "fault: rolling restart",
    "fault: process paused",
    "fault: node cut off from everybody",
    "fault: node cut off from the other nodes",
    "fault: two nodes cut from each other",
    "fault: one-way cut",
    "fault: client cut off",
    "fault: messages delayed",
    "fault: bandwidth throttled",
    "fault: connections broken",
    "fault: connections half open",
    "fault: client stands still",
    "fault: slow disk",
    "fault: full disk",
    "fault: sync fails",
    "fault: wall clock jumps",
    "fault: controller moves",
    "fault: node hears nothing of the quorum",
    "fault: process said to be gone",
    "fault: majority lost",
    "fault: data directory fails",
    "fault: data directory replaced",
    COORDINATOR_LOST,
];

/// Somebody has to have committed something for it.
const COORDINATOR_LOST: &str = "fault: coordinator lost as a topic goes";

/// Kinds after which much else stands still, and how many runs in a hundred have them. They are drawn by themselves: seeds of other runs stay what they were.
const LONG_KINDS: &[(&str, u64)] = &[
    ("fault: majority lost", 25),
    ("fault: data directory fails", 30),
    ("fault: data directory replaced", 30),
    (COORDINATOR_LOST, 60),
];

/// How long a machine stays away; nothing else goes wrong meanwhile.
pub const AWAY: u64 = 8 * SECOND;

/// Which kinds a run has, and how often something happens.
#[derive(Clone, Debug)]
pub struct Plan {
    kinds: Vec<usize>,
    pace: u64,
    among: Layout,
}

impl Plan {
    /// Some of the kinds, in some runs none: what heals by itself when nothing else happens must be met too.
    pub fn draw(dice: &mut Dice, among: Layout, seed: u64) -> Self {
        let share = dice.between(15, 101);
        let short = KINDS.len() - LONG_KINDS.len();
        let mut kinds: Vec<usize> = (0..short).filter(|_| dice.chance(share)).collect();
        let pace = dice.between(300 * MS, 2 * SECOND);
        if !kinds.is_empty() {
            let mut own = Dice::new(seed.rotate_left(32));
            kinds.extend((short..KINDS.len()).filter(|kind| own.chance(share_of(KINDS[*kind]))));
        }
        Self { kinds, pace, among }
    }

    /// These kinds only, in quick succession.
    pub fn of(kinds: &[&str], among: Layout) -> Self {
        let kinds = (0..KINDS.len()).filter(|kind| kinds.contains(&KINDS[*kind])).collect();
        Self { kinds, pace: 500 * MS, among }
    }

    /// All of them but what no replica can bear that does not wait for its disk.
    pub fn without_failed_disks(mut self) -> Self {
        let is_borne = |kind: &str| kind != "fault: sync fails" && !kind.starts_with("fault: data directory");
        self.kinds.retain(|kind| is_borne(KINDS[*kind]));
        self
    }

    /// All of them but what needs a group.
    pub fn without_groups(mut self) -> Self {
        self.kinds.retain(|kind| KINDS[*kind] != COORDINATOR_LOST);
        self
    }

    /// Nothing goes wrong in this run.
    pub fn is_calm(&self) -> bool {
        self.kinds.is_empty()
    }

    /// Until the next fault.
    pub fn pause(&self, dice: &mut Dice) -> u64 {
        dice.between(self.pace / 10, 2 * self.pace)
    }

    /// A fault, as what happens now and after a while, and its name.
    pub fn next(&self, dice: &mut Dice) -> Option<(&'static str, Vec<(u64, Fault)>)> {
        if self.kinds.is_empty() {
            return None;
        }
        let kind = KINDS[self.kinds[dice.index(self.kinds.len())]];
        Some((kind, steps(kind, &self.among, dice)))
    }
}

/// How many runs in a hundred have a kind that is drawn by itself.
fn share_of(kind: &str) -> u64 {
    LONG_KINDS.iter().find(|(name, _)| *name == kind).expect("the last kinds are the long ones").1
}

fn steps(kind: &str, among: &Layout, dice: &mut Dice) -> Vec<(u64, Fault)> {
    let node_count = among.node_count();
    let node = dice.index(node_count);
    let lasts = dice.between(200 * MS, 4 * SECOND);
    let down =
        if dice.chance(40) { dice.between(20 * MS, 300 * MS) } else { dice.between(300 * MS, 4 * SECOND) };
    let loss = if dice.chance(30) { Loss::AllUnsynced } else { Loss::Power };
    match kind {
        "fault: process killed" => vec![(0, Fault::Crash { node, loss: Loss::Process, down })],
        "fault: power lost" => vec![(0, Fault::Crash { node, loss, down })],
        "fault: power lost everywhere" => vec![(0, Fault::CrashAll { loss, away: None })],
        "fault: power lost everywhere, and one stays away" => {
            vec![(0, Fault::CrashAll { loss, away: Some(node) }), (AWAY - SECOND, Fault::LookForLeaders)]
        }
        "fault: leaders crash in quick succession" => {
            vec![(0, Fault::CrashLeader { times: dice.between(2, 5) })]
        }
        "fault: process stopped" => vec![(0, Fault::Stop { node, down })],
        "fault: rolling restart" => {
            let pause = dice.between(SECOND, 3 * SECOND);
            let stop = |at: usize| Fault::Stop { node: (node + at) % node_count, down: down.min(300 * MS) };
            (0..node_count).map(|at| (at as u64 * pause, stop(at))).collect()
        }
        "fault: process paused" => vec![(0, Fault::Pause { node }), (lasts, Fault::Resume { node })],
        "fault: node cut off from everybody" => cut_off(node, 0..PARTY_COUNT, lasts, dice),
        "fault: node cut off from the other nodes" => cut_off(node, 0..NODE_COUNT, lasts, dice),
        "fault: two nodes cut from each other" => {
            let other = (node + dice.between(1, node_count as u64) as usize) % node_count;
            cut_off(node, other..other + 1, lasts, dice)
        }
        "fault: one-way cut" => {
            let other = dice.index(node_count + CLIENT_COUNT);
            let other = if other < node_count { other } else { NODE_COUNT + other - node_count };
            let (mut from, mut to) = (node, other);
            if dice.chance(50) {
                (from, to) = (to, from);
            }
            vec![(0, Fault::Cut { from, to, is_cut: true }), (lasts, Fault::Cut { from, to, is_cut: false })]
        }
        "fault: client cut off" => {
            let client = NODE_COUNT + dice.index(PARTY_COUNT - NODE_COUNT);
            cut_off(client, 0..NODE_COUNT, lasts, dice)
        }
        "fault: messages delayed" => {
            let most = dice.between(20 * MS, SECOND);
            vec![(0, Fault::Delay { most }), (lasts, Fault::Delay { most: 0 })]
        }
        "fault: bandwidth throttled" => {
            let bytes_per_second = dice.between(8 << 10, 64 << 10);
            vec![(0, Fault::Throttle { bytes_per_second }), (lasts, Fault::Throttle { bytes_per_second: 0 })]
        }
        "fault: connections broken" => vec![(0, Fault::Break { count: dice.between(1, 6) })],
        "fault: connections half open" => vec![(0, Fault::Silence { count: dice.between(1, 8) })],
        "fault: client stands still" => {
            vec![(0, Fault::Standstill { client: dice.index(CLIENT_COUNT), lasts })]
        }
        "fault: slow disk" => {
            let times = dice.between(10, 150);
            vec![(0, Fault::Slow { node, times }), (lasts, Fault::Slow { node, times: 0 })]
        }
        "fault: full disk" => {
            vec![(0, Fault::Full { node, is_full: true }), (lasts, Fault::Full { node, is_full: false })]
        }
        // Its process ends soon: a log whose sync failed is of no use any more.
        "fault: sync fails" => {
            let crash = Fault::Crash { node, loss, down };
            vec![(0, Fault::FailSync { node }), (dice.between(300 * MS, 2 * SECOND), crash)]
        }
        "fault: wall clock jumps" => vec![(0, Fault::Clock { node })],
        "fault: controller moves" => vec![(0, Fault::MoveController)],
        "fault: node hears nothing of the quorum" => vec![(0, Fault::Stall { node, lasts })],
        "fault: process said to be gone" => vec![(0, Fault::SaidGone { node, lasts })],
        "fault: data directory fails" => {
            let is_replaced = dice.chance(30);
            vec![
                (0, Fault::LoseDirectory { node }),
                (lasts, Fault::MendDirectory { node, is_replaced, down }),
            ]
        }
        "fault: data directory replaced" => {
            vec![(0, Fault::MendDirectory { node, is_replaced: true, down })]
        }
        COORDINATOR_LOST => {
            // Before it is noticed that nobody coordinates, the topic is to be there anew.
            let (between, is_first) = (dice.below(100 * MS), dice.chance(60));
            let (lost_in, goes_in) = if is_first { (0, between) } else { (between / 4, 0) };
            let loss = if dice.chance(40) { Loss::Process } else { loss };
            let loss = dice.chance(60).then_some(loss);
            let lasts = if loss.is_some() { down } else { lasts };
            vec![(0, Fault::LoseCoordinator { loss, lasts, lost_in, goes_in })]
        }
        "fault: majority lost" => {
            let lasts = dice.between(3 * SECOND, 7 * SECOND);
            let how = match dice.below(3) {
                0 if among.is_controller(node) => MajorityLost::AllBut(node),
                0 => MajorityLost::AllBut(among.controllers()[0]),
                1 => MajorityLost::Apart,
                _ => MajorityLost::Voters,
            };
            vec![(0, Fault::LoseMajority { how, lasts }), (lasts, Fault::FindMajority)]
        }
        other => unreachable!("{other} is no kind of fault"),
    }
}

/// Both directions between one party and others; what cuts a node off often cuts it off from the quorum too.
pub(crate) fn cut_off(
    one: usize,
    others: std::ops::Range<usize>,
    lasts: u64,
    dice: &mut Dice,
) -> Vec<(u64, Fault)> {
    let mut steps = Vec::new();
    for other in others.filter(|other| *other != one) {
        for (from, to) in [(one, other), (other, one)] {
            steps.push((0, Fault::Cut { from, to, is_cut: true }));
            steps.push((lasts, Fault::Cut { from, to, is_cut: false }));
        }
    }
    if one < NODE_COUNT && dice.chance(60) {
        steps.push((0, Fault::Stall { node: one, lasts }));
    }
    steps
}
