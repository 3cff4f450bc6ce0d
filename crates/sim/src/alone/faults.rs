//! What goes wrong with one node and its disks.
//!
//! The budget: the disks keep what was synced, and a start makes good what a crash leaves behind the durable points and what is wrong with files beside the
//! records. Within it nothing that was acknowledged is lost, but on a relaxed topic what was not synced when the power went, and that is said; and a batch in
//! which a bit is flipped, of which readers are told. Without its durable point or its topic id a log may be refused, until somebody puts that back.

use klamm_log::{DURABLE_POINT, LogDir, PARTITION_METADATA};

use crate::{
    dice::Dice,
    disk::{Damage, Illness, Loss},
    timeline::{MS, SECOND},
};

/// Something that begins or ends.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Fault {
    /// Time for the next one.
    Next,
    /// The process ends; it starts again after a while.
    Crash(Loss),
    /// The process is told to stop (SIGTERM), and then the power goes.
    Stop,
    /// It crashes, something becomes of the files, it starts again.
    Damage(Damage),
    /// A bit of what was on disk for certain is another one; in the growing segment too if the process has crashed.
    Flip {
        /// It crashes first.
        with_crash: bool,
    },
    /// The disk is ill from now on.
    Ill(Illness),
    /// There is so much room more than is used.
    Room(Option<u64>),
    /// So many starts are ended in the middle.
    CrashStarts(u64),
    /// It crashes, and somebody puts back the files that a start cannot make again.
    Mend,
    /// The wall clock jumps.
    Clock,
    /// Everything works from now on.
    Heal,
}

/// The kinds there are, by the names they are counted under.
pub const KINDS: &[&str] = &[
    "alone: process killed",
    "alone: power lost",
    "alone: clean stop",
    "alone: killed again and again while it starts",
    "alone: torn tail",
    "alone: misdirected write",
    "alone: files beside the records damaged",
    "alone: durable point damaged",
    "alone: topic id damaged",
    "alone: bit flipped between two lives",
    "alone: bit flipped while it runs",
    "alone: disk full",
    "alone: disk full during a start",
    "alone: write fails",
    "alone: sync fails",
    "alone: slow sync",
    "alone: read fails",
    "alone: wall clock jumps",
];

/// What happens now and after a while.
pub fn steps(kind: &str, dice: &mut Dice) -> Vec<(u64, Fault)> {
    let lasts = dice.between(200 * MS, 3 * SECOND);
    let loss = if dice.chance(50) { Loss::AllUnsynced } else { Loss::Power };
    let well = (lasts, Fault::Ill(Illness::default()));
    match kind {
        "alone: process killed" => vec![(0, Fault::Crash(Loss::Process))],
        "alone: power lost" => vec![(0, Fault::Crash(loss))],
        "alone: clean stop" => vec![(0, Fault::Stop)],
        "alone: killed again and again while it starts" => {
            vec![(0, Fault::CrashStarts(dice.between(2, 6))), (1, Fault::Crash(loss))]
        }
        "alone: torn tail" => vec![(0, Fault::Damage(Damage::TornTail))],
        "alone: misdirected write" => vec![(0, Fault::Damage(Damage::Misdirected))],
        "alone: files beside the records damaged" => vec![(0, Fault::Damage(Damage::Beside))],
        "alone: durable point damaged" => {
            vec![(0, Fault::Damage(Damage::File(DURABLE_POINT))), (lasts, Fault::Mend)]
        }
        "alone: topic id damaged" => {
            vec![(0, Fault::Damage(Damage::File(PARTITION_METADATA))), (lasts, Fault::Mend)]
        }
        "alone: bit flipped between two lives" => vec![(0, Fault::Flip { with_crash: true })],
        "alone: bit flipped while it runs" => vec![(0, Fault::Flip { with_crash: false })],
        "alone: disk full" => {
            vec![(0, Fault::Room(Some(dice.between(0, 6000)))), (lasts, Fault::Room(None))]
        }
        "alone: disk full during a start" => vec![
            (0, Fault::Room(Some(dice.between(0, 300)))),
            (1, Fault::Crash(loss)),
            (lasts + SECOND, Fault::Room(None)),
        ],
        "alone: write fails" => {
            let fails_writes = Some(LogDir(dice.below(2) as u16));
            vec![
                (0, Fault::Ill(Illness { fails_writes, ..Illness::default() })),
                well,
                (lasts + 1, Fault::Crash(loss)),
            ]
        }
        // Whether or not it met one: what the cache holds after a failed sync is not to be relied on.
        "alone: sync fails" => vec![
            (0, Fault::Ill(Illness { fails_sync: true, ..Illness::default() })),
            well,
            (lasts + 1, Fault::Crash(loss)),
        ],
        "alone: slow sync" => {
            let sync_delay = dice.between(SECOND, 6 * SECOND);
            vec![(0, Fault::Ill(Illness { sync_delay, ..Illness::default() })), well]
        }
        "alone: read fails" => {
            vec![(0, Fault::Ill(Illness { fails_reads: true, ..Illness::default() })), well]
        }
        "alone: wall clock jumps" => vec![(0, Fault::Clock)],
        other => unreachable!("{other} is no kind of fault"),
    }
}
