//! Every rule that is broken on purpose is noticed, from the history alone: checks that never fail prove nothing.

use std::collections::BTreeMap;

use klamm_sim::{Options, Sabotage, disk::DiskSabotage, engine::EngineSabotage, run};

/// A rule is switched off; within so many seeds every one of these invariants must be seen broken.
struct Case {
    name: &'static str,
    sabotage: Sabotage,
    invariants: &'static [&'static str],
    seeds_max: u64,
    /// Where the moment is rare: the faults that bring it about.
    faults: &'static [&'static str],
}

fn replica(
    name: &'static str,
    invariants: &'static [&'static str],
    seeds_max: u64,
    broken: klamm_replica::Sabotage,
) -> Case {
    Case {
        name,
        sabotage: Sabotage { replica: broken, ..Sabotage::default() },
        invariants,
        seeds_max,
        faults: &[],
    }
}

fn cases() -> Vec<Case> {
    use klamm_replica::Sabotage as Replica;
    let off = Replica::default();
    let disk = |name, invariants, seeds_max, disk| Case {
        name,
        sabotage: Sabotage { disk, ..Sabotage::default() },
        invariants,
        seeds_max,
        faults: &[],
    };
    vec![
        replica("ack before synced", &["I1"], 60, Replica { ack_before_synced: true, ..off }),
        replica(
            "skip epoch check on fetch",
            &["I2", "I6", "I7"],
            60,
            Replica { skip_epoch_check_on_fetch: true, ..off },
        ),
        replica("skip truncation", &["I2", "I6"], 60, Replica { skip_truncation: true, ..off }),
        replica(
            "high watermark ignores pending in-sync set",
            &["I7"],
            200,
            Replica { high_watermark_ignores_pending_isr: true, ..off },
        ),
        replica(
            "high watermark ignores followers",
            &["I7"],
            20,
            Replica { high_watermark_ignores_followers: true, ..off },
        ),
        Case {
            faults: &[
                "fault: leaders crash in quick succession",
                "fault: slow disk",
                "fault: process paused",
            ],
            ..replica(
                "in-sync set joined below epoch start",
                &["I1", "I7"],
                400,
                Replica { isr_join_below_epoch_start: true, ..off },
            )
        },
        replica(
            "serve above high watermark",
            &["I4", "I9", "I10"],
            60,
            Replica { serve_above_high_watermark: true, ..off },
        ),
        replica("forget producer state", &["I14"], 20, Replica { forget_producer_state: true, ..off }),
        disk("sync lies", &["I1"], 60, DiskSabotage { fsync_lies: true, ..DiskSabotage::default() }),
        disk(
            "offsets forgotten",
            &["I3"],
            20,
            DiskSabotage { forgets_offsets: true, ..DiskSabotage::default() },
        ),
        Case {
            name: "two controllers",
            sabotage: Sabotage { engine: EngineSabotage { two_leaders: true }, ..Sabotage::default() },
            invariants: &["I5"],
            seeds_max: 20,
            faults: &[],
        },
    ]
}

#[test]
fn every_broken_rule_is_noticed() {
    let mut report = String::new();
    let mut missed = Vec::new();
    for case in cases() {
        let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
        let mut caught_at = None;
        for seed in 0..case.seeds_max {
            let outcome = run(Options { seed, printed: false, sabotage: case.sabotage, faults: case.faults });
            for violation in &outcome.violations {
                *seen.entry(violation.invariant).or_default() += 1;
            }
            if case.invariants.iter().all(|wanted| seen.contains_key(wanted)) {
                caught_at = Some(seed);
                break;
            }
        }
        report += &format!("{}: {caught_at:?}, seen {seen:?}\n", case.name);
        if caught_at.is_none() {
            missed.push(case.name);
        }
    }
    println!("{report}");
    for wanted in ["I1", "I2", "I3", "I4", "I5", "I6", "I7", "I9", "I10", "I14"] {
        assert!(
            cases().iter().any(|case| case.invariants.contains(&wanted)),
            "{wanted} has no negative control"
        );
    }
    assert!(missed.is_empty(), "nobody noticed: {missed:?}\n{report}");
}
