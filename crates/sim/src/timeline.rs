//! Virtual time: what happens when, and in which order.
//!
//! Things that happen at the same moment happen in the order they were planned, so a run depends on nothing but its seed.

use std::{cmp::Reverse, collections::BinaryHeap, fmt};

use klamm_log::DiskOp;
use klamm_node::{Load, Reply, ReplyTo};

use crate::{coverage::Coverage, dice::Dice, engine, faults, network::ConnectionSide, trace::Trace};

/// One millisecond, in the unit of all times here.
pub const MS: u64 = 1000;
/// One second.
pub const SECOND: u64 = 1000 * MS;

/// One process of a node. A message or a disk operation of an earlier one means nothing to a later one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Life {
    /// Which machine.
    pub node: usize,
    /// Counts the starts of that machine, from 1.
    pub number: u64,
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}#{}", self.node, self.number)
    }
}

/// What can happen in the world.
#[derive(Debug)]
pub enum Happening {
    /// A sync has waited for a thread of the shell, and begins.
    SyncBegins {
        /// Whose disk.
        life: Life,
        /// What was asked for.
        op: DiskOp,
    },
    /// A disk operation is finished, or has failed.
    DiskEnds {
        /// Whose disk.
        life: Life,
        /// Which operation.
        job: u64,
    },
    /// A broker learns how much room there is.
    Looked {
        /// By whom.
        life: Life,
    },
    /// A piece of a coordinator's log is read.
    Loads {
        /// By whom.
        life: Life,
        /// What.
        load: Load,
    },
    /// A thread of the shell gets to completing an answer that wants records from the disk.
    AnswerIsRead {
        /// Whose answer.
        life: Life,
        /// To whom.
        to: ReplyTo,
        /// What.
        reply: Box<Reply>,
    },
    /// A node asked to be told that time passed.
    NodeWakes {
        /// Which.
        life: Life,
    },
    /// The next message of one direction of a connection arrives.
    Arrives {
        /// Which connection.
        connection: u64,
        /// At which end.
        at: ConnectionSide,
    },
    /// The caller looks whether it has waited for too long.
    CallerLooks {
        /// At which connection.
        connection: u64,
    },
    /// The consensus engine goes on.
    Engine(engine::Step),
    /// A client looks what it has to do.
    ClientWakes {
        /// Which.
        client: usize,
    },
    /// A machine is switched on.
    Boots {
        /// Which.
        node: usize,
    },
    /// A fault begins or ends.
    Fault(faults::Fault),
}

struct Planned<What> {
    at: u64,
    order: u64,
    what: What,
}

impl<What> PartialEq for Planned<What> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl<What> Eq for Planned<What> {}

impl<What> PartialOrd for Planned<What> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<What> Ord for Planned<What> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// The clock, what is planned, and what every part of the world shares: dice, trace and counters.
pub struct Timeline<What = Happening> {
    now: u64,
    order: u64,
    planned: BinaryHeap<Reverse<Planned<What>>>,
    /// Randomness of the world.
    pub dice: Dice,
    /// What the run did.
    pub trace: Trace,
    /// What the run met.
    pub coverage: Coverage,
}

impl<What> Timeline<What> {
    /// Time 0.
    pub fn new(seed: u64, printed: bool) -> Self {
        Self {
            now: 0,
            order: 0,
            planned: BinaryHeap::new(),
            dice: Dice::new(seed),
            trace: Trace::new(printed),
            coverage: Coverage::default(),
        }
    }

    /// The moment, in microseconds.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Plans something for `delay` from now.
    pub fn after(&mut self, delay: u64, what: What) {
        self.at(self.now + delay, what);
    }

    /// Plans something for a moment that is not past.
    pub fn at(&mut self, at: u64, what: What) {
        let planned = Planned { at: at.max(self.now), order: self.order, what };
        self.order += 1;
        self.planned.push(Reverse(planned));
    }

    /// Takes what happens next, and lets time pass up to it; nothing if that is not before `end`.
    pub fn next(&mut self, end: u64) -> Option<What> {
        if self.planned.peek().is_none_or(|Reverse(next)| end <= next.at) {
            self.now = self.now.max(end);
            return None;
        }
        let Reverse(next) = self.planned.pop()?;
        self.now = next.at;
        Some(next.what)
    }

    /// One more line in the trace.
    pub fn note(&mut self, line: fmt::Arguments<'_>) {
        self.trace.note(self.now, line);
    }
}
