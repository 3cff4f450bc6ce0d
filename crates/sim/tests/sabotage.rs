//! Every rule that is broken on purpose is noticed, from the history alone: checks that never fail prove nothing.

use std::collections::BTreeMap;

use klamm_log::compact::Sabotage as Compaction;
use klamm_sim::{
    BrokerSabotage, Options, Outcome, Sabotage, Workload,
    alone::{
        self,
        points::{Point, live},
    },
    client::ClientSabotage,
    disk::{DiskSabotage, Loss},
    engine::EngineSabotage,
    run,
    runner::on_all_cores,
};

/// A rule is switched off; within so many seeds every one of these invariants must be seen broken.
struct Case {
    name: &'static str,
    sabotage: Broken,
    invariants: &'static [&'static str],
    seeds_max: u64,
    /// Where the moment is rare: the faults that bring it about.
    faults: &'static [&'static str],
}

/// Where it is broken.
#[derive(Clone, Copy)]
enum Broken {
    Cluster(Sabotage),
    /// The same, where only these clients could notice.
    For(Workload, Sabotage),
    Alone(alone::Sabotage),
    /// The process ends at a step of the disk, and the seed says at which: where the moment is a single one.
    AtEachStep(alone::Sabotage),
}

impl Broken {
    fn run(self, seed: u64, faults: &'static [&'static str]) -> Outcome {
        let options = Options { seed, faults, ..Options::default() };
        match self {
            Self::Cluster(sabotage) => {
                run(Options { sabotage, workload: Some(Workload::Records), ..options })
            }
            Self::For(workload, sabotage) => run(Options { sabotage, workload: Some(workload), ..options }),
            Self::Alone(sabotage) => alone::run(alone::Options { seed, printed: false, sabotage, faults }),
            Self::AtEachStep(sabotage) => {
                let point = Point { step: 1 + seed, loss: Loss::Process, again: None };
                live(Some(point), sabotage).outcome
            }
        }
    }
}

fn replica(
    name: &'static str,
    invariants: &'static [&'static str],
    seeds_max: u64,
    broken: klamm_replica::Sabotage,
) -> Case {
    Case {
        name,
        sabotage: Broken::Cluster(Sabotage { replica: broken, ..Sabotage::default() }),
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
        sabotage: Broken::Cluster(Sabotage { disk, ..Sabotage::default() }),
        invariants,
        seeds_max,
        faults: &[],
    };
    let client = |name, invariants, client| Case {
        name,
        sabotage: Broken::Cluster(Sabotage { client, ..Sabotage::default() }),
        invariants,
        seeds_max: 20,
        faults: &["fault: connections broken", "fault: process killed"],
    };
    let broker = |name, invariants, workload, broker| Case {
        name,
        sabotage: Broken::For(workload, Sabotage { broker, ..Sabotage::default() }),
        invariants,
        seeds_max: 40,
        faults: &["fault: connections broken", "fault: process killed"],
    };
    let transfers = |name, invariants, broken| broker(name, invariants, Workload::Transfers, broken);
    let groups = |name, invariants, broken| broker(name, invariants, Workload::Groups, broken);
    let early = |name, invariants, workload| Case {
        name,
        sabotage: Broken::For(
            workload,
            Sabotage { replica: Replica { answer_before_committed: true, ..off }, ..Sabotage::default() },
        ),
        invariants,
        seeds_max: 60,
        faults: &["fault: power lost", "fault: leaders crash in quick succession"],
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
                800,
                Replica { isr_join_below_epoch_start: true, ..off },
            )
        },
        replica(
            "serve above high watermark",
            &["I4", "I9", "I10"],
            60,
            Replica { serve_above_high_watermark: true, ..off },
        ),
        Case {
            faults: &["fault: power lost", "fault: leaders crash in quick succession"],
            ..replica("a crash counts as a stop", &["I7"], 200, Replica { crash_counts_as_stop: true, ..off })
        },
        replica("forget producer state", &["I14"], 20, Replica { forget_producer_state: true, ..off }),
        disk("sync lies", &["I1"], 60, DiskSabotage { fsync_lies: true, ..DiskSabotage::default() }),
        disk(
            "begin of a sync told late",
            &["I1"],
            200,
            DiskSabotage { tells_late: true, ..DiskSabotage::default() },
        ),
        client("client: number forgotten at a retry", &["I14"], ClientSabotage::ForgetsNumberAtRetry),
        client("client: new number at a retry", &["I14"], ClientSabotage::NewNumberAtRetry),
        client("client: no numbers, and several batches under way", &["I14"], ClientSabotage::NumbersNothing),
        client("client: outcome told twice", &["I26"], ClientSabotage::TellsTwice),
        client("client: outcome forgotten", &["I24", "I26"], ClientSabotage::ForgetsOutcomes),
        client("client: nobody tells that a request failed", &["I25"], ClientSabotage::LosesFailures),
        client("client: bytes of the buffer not given back", &["I24"], ClientSabotage::KeepsBytes),
        client("client: batch passed over after a reset", &["I11"], ClientSabotage::SkipsAfterReset),
        client("client: batch handed out twice", &["I11"], ClientSabotage::HandsOutTwice),
        transfers("EndTxn ends whatever is open", &["I15"], BrokerSabotage::EndsWhateverIsOpen),
        transfers("mark says the opposite", &["I15"], BrokerSabotage::TurnsMarks),
        transfers("mark lost", &["I16"], BrokerSabotage::LosesMarks),
        transfers("unstable served as stable", &["I10"], BrokerSabotage::ServesUnstable),
        groups("offsets of anybody taken", &["I13"], BrokerSabotage::TakesAnyCommit),
        groups("offsets lost", &["I12"], BrokerSabotage::LosesCommits),
        groups("members who are none told that they are", &["I13"], BrokerSabotage::FencesNobody),
        early("a commit of offsets answered before it is committed", &["I12"], Workload::Groups),
        early("EndTxn answered before it is committed", &["I15"], Workload::Transfers),
        broker(
            "whatever topic is named by its id, the one of its name is meant",
            &["I22"],
            Workload::Records,
            BrokerSabotage::TakesAnyTopicId,
        ),
        broker(
            "orders are acknowledged and not carried out",
            &["I18"],
            Workload::Records,
            BrokerSabotage::AltersNothing,
        ),
        Case {
            faults: &["fault: rolling restart"],
            seeds_max: 5,
            ..broker(
                "a broker that stops hands nothing over",
                &["F17"],
                Workload::Records,
                BrokerSabotage::HandsNothingOver,
            )
        },
        Case {
            faults: &["fault: process killed", "fault: power lost everywhere", "fault: slow disk"],
            ..broker(
                "whoever is there leads, whatever it lacks",
                &["I7"],
                Workload::Records,
                BrokerSabotage::ElectsAnybody,
            )
        },
        Case {
            faults: &["fault: majority lost"],
            seeds_max: 10,
            ..broker(
                "who asks for a controller waits for a majority",
                &["F14"],
                Workload::Records,
                BrokerSabotage::WaitsForMajority,
            )
        },
        Case {
            faults: &["fault: process killed", "fault: power lost"],
            ..disk(
                "a deleted topic's files left to the next one of its name",
                &["I22"],
                40,
                DiskSabotage { keeps_deleted: true, ..DiskSabotage::default() },
            )
        },
        Case {
            sabotage: Broken::For(
                Workload::Groups,
                Sabotage {
                    disk: DiskSabotage {
                        compaction: Some(Compaction::KeepsOlder),
                        ..DiskSabotage::default()
                    },
                    ..Sabotage::default()
                },
            ),
            ..groups(
                "compaction of coordinators' logs keeps the older value",
                &["I21"],
                BrokerSabotage::Nothing,
            )
        },
        Case {
            faults: &["fault: data directory replaced"],
            ..replica(
                "a log of which nothing is found counts as it did",
                &["I7"],
                40,
                Replica { trusts_what_is_gone: true, ..off },
            )
        },
        Case {
            sabotage: Broken::For(
                Workload::Groups,
                Sabotage {
                    replica: Replica { keep_offsets_of_gone_topics: true, ..off },
                    ..Sabotage::default()
                },
            ),
            faults: &["fault: coordinator lost as a topic goes"],
            ..groups(
                "offsets of a topic that went unheard of left to the next one of its name",
                &["I22"],
                BrokerSabotage::Nothing,
            )
        },
        disk(
            "offsets forgotten",
            &["I3"],
            20,
            DiskSabotage { forgets_offsets: true, ..DiskSabotage::default() },
        ),
        Case {
            name: "two controllers",
            sabotage: Broken::Cluster(Sabotage {
                engine: EngineSabotage { two_leaders: true, ..EngineSabotage::default() },
                ..Sabotage::default()
            }),
            invariants: &["I5"],
            seeds_max: 20,
            faults: &[],
        },
        Case {
            name: "snapshots that miss an entry",
            sabotage: Broken::Cluster(Sabotage {
                engine: EngineSabotage { snapshots_miss_an_entry: true, ..EngineSabotage::default() },
                ..Sabotage::default()
            }),
            invariants: &["I17"],
            seeds_max: 20,
            faults: &["fault: process killed"],
        },
    ]
}

/// The same for one node with its disks.
fn cases_alone() -> Vec<Case> {
    use klamm_replica::Sabotage as Replica;
    let case = |name, invariants, faults, sabotage| Case {
        name,
        sabotage: Broken::Alone(sabotage),
        invariants,
        seeds_max: 40,
        faults,
    };
    let disk = |disk| alone::Sabotage { disk, ..alone::Sabotage::default() };
    let replica = |replica| alone::Sabotage { replica, ..alone::Sabotage::default() };
    let (off, honest) = (Replica::default(), DiskSabotage::default());
    let power: &[&str] = &["alone: power lost"];
    vec![
        case("alone: ack before synced", &["I1"], power, replica(Replica { ack_before_synced: true, ..off })),
        case("alone: sync lies", &["I19"], power, disk(DiskSabotage { fsync_lies: true, ..honest })),
        case(
            "alone: begin of a sync told late",
            &["I1"],
            power,
            disk(DiskSabotage { tells_late: true, ..honest }),
        ),
        case(
            "alone: failed sync is tried again",
            &["I1"],
            &["alone: sync fails"],
            disk(DiskSabotage { retries_sync: true, ..honest }),
        ),
        case(
            "alone: forget producer state",
            &["I14"],
            &["alone: process killed"],
            replica(Replica { forget_producer_state: true, ..off }),
        ),
        case(
            "compaction keeps the older value",
            &["I21"],
            power,
            disk(DiskSabotage { compaction: Some(Compaction::KeepsOlder), ..honest }),
        ),
        case(
            "tombstones go without grace",
            &["I21"],
            power,
            disk(DiskSabotage { compaction: Some(Compaction::NoGrace), ..honest }),
        ),
        Case {
            name: "swap without the name that counts",
            sabotage: Broken::AtEachStep(disk(DiskSabotage { swaps_carelessly: true, ..honest })),
            invariants: &["I19"],
            seeds_max: 1000,
            faults: &[],
        },
        Case {
            name: "copy of a log without the mark that it is whole",
            sabotage: Broken::AtEachStep(disk(DiskSabotage { moves_carelessly: true, ..honest })),
            invariants: &["I19"],
            seeds_max: 1000,
            faults: &[],
        },
        case(
            "retention takes what is young and grows",
            &["I22"],
            power,
            replica(Replica { retention_ignores_age: true, ..off }),
        ),
        case(
            "log start forgotten",
            &["I19"],
            power,
            disk(DiskSabotage { forgets_log_start: true, ..honest }),
        ),
        case(
            "durable point and epochs lost",
            &["I22"],
            &["alone: durable point damaged"],
            disk(DiskSabotage { forgets_epochs: true, ..honest }),
        ),
        case(
            "topic id lost, and nobody is told",
            &["I19"],
            &["alone: topic id damaged"],
            alone::Sabotage { passes_by_unclaimed: true, ..alone::Sabotage::default() },
        ),
        case(
            "a deleted topic's files left to the next one",
            &["I2"],
            &["alone: process killed"],
            disk(DiskSabotage { keeps_deleted: true, ..honest }),
        ),
        case(
            "configs looked at and not altered",
            &["I1", "I18", "I22"],
            power,
            alone::Sabotage { alters_nothing: true, ..alone::Sabotage::default() },
        ),
        case(
            "compaction believes what is damaged",
            &["I21"],
            &["alone: bit flipped while it runs"],
            disk(DiskSabotage { mends_for_compaction: true, ..honest }),
        ),
        case("torn tail trusted", &["I3"], power, disk(DiskSabotage { mends_checksums: true, ..honest })),
        case("index leads elsewhere", &["I20"], power, disk(DiskSabotage { flips_indexes: true, ..honest })),
        case(
            "rest cut behind damage",
            &["I19"],
            &["alone: bit flipped between two lives"],
            disk(DiskSabotage { cuts_at_damage: true, ..honest }),
        ),
        case(
            "damage forgotten over a clean stop",
            &["I3"],
            &["alone: bit flipped while it runs", "alone: clean stop"],
            disk(DiskSabotage { forgets_damage: true, ..honest }),
        ),
        case(
            "damage that was found is served",
            &["I3"],
            &["alone: bit flipped while it runs"],
            replica(Replica { forget_damage: true, ..off }),
        ),
        case(
            "marker of a clean stop after a failure",
            &["I19", "F5"],
            &["alone: power lost", "alone: write fails"],
            alone::Sabotage { always_clean: true, ..alone::Sabotage::default() },
        ),
    ]
}

impl Case {
    /// The first seed by which all of it was noticed, if any, and how often each invariant was seen broken until then.
    fn noticed(&self) -> (Option<u64>, BTreeMap<&'static str, u64>) {
        let mut seen = BTreeMap::new();
        let caught_at = (0..self.seeds_max).find(|seed| {
            for violation in &self.sabotage.run(*seed, self.faults).violations {
                *seen.entry(violation.invariant).or_default() += 1;
            }
            self.invariants.iter().all(|wanted| seen.contains_key(wanted))
        });
        (caught_at, seen)
    }
}

#[test]
fn every_broken_rule_is_noticed() {
    let mut report = String::new();
    let mut missed = Vec::new();
    let cases: Vec<Case> = cases().into_iter().chain(cases_alone()).collect();
    let noticed = on_all_cores(0..cases.len() as u64, |at| {
        let case = &cases[at as usize];
        (case.name, case.noticed())
    });
    for (name, (caught_at, seen)) in noticed {
        report += &format!("{name}: {caught_at:?}, seen {seen:?}\n");
        if caught_at.is_none() {
            missed.push(name);
        }
    }
    println!("{report}");
    for wanted in [
        "I1", "I2", "I3", "I4", "I5", "I6", "I7", "I9", "I10", "I11", "I12", "I13", "I14", "I15", "I16",
        "I18", "I19", "I20", "I21", "I22", "I24", "I25", "I26", "F5", "F14", "F17",
    ] {
        assert!(
            cases.iter().any(|case| case.invariants.contains(&wanted)),
            "{wanted} has no negative control"
        );
    }
    assert!(missed.is_empty(), "nobody noticed: {missed:?}\n{report}");
}

#[test]
fn the_page_about_simulation_has_every_case() {
    let page = include_str!("../../../docs/SIMULATION.md");
    let rows: Vec<&str> =
        page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| broken")).collect();
    let cases = cases().into_iter().chain(cases_alone());
    let expected: Vec<String> =
        cases.map(|case| format!("| {} | {} |", case.name, case.invariants.join(", "))).collect();
    assert_eq!(rows, expected);
}
