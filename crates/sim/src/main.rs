//! Lives through seeds: `klamm-sim --seed N [--trace]`, `klamm-sim --seeds FROM..TO`, of the cluster (`--cluster`) or of one node (`--alone`) only.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that tells what it has seen")]

use std::{
    ops::Range,
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use klamm_sim::{Options, Outcome, alone, coverage::Coverage, run, runner::on_all_cores};

struct Wish {
    seeds: Range<u64>,
    printed: bool,
    cluster: bool,
    alone: bool,
}

fn main() -> ExitCode {
    let Some(wish) = wish() else {
        eprintln!("klamm-sim (--seed N [--trace] | --seeds FROM..TO) [--cluster | --alone]");
        return ExitCode::FAILURE;
    };
    let is_one = wish.seeds.end - wish.seeds.start == 1;
    let met = Mutex::new(Coverage::default());
    let failed = AtomicU64::new(0);
    on_all_cores(wish.seeds.clone(), |seed| {
        let outcomes = lives(&wish, seed);
        failed.fetch_add(u64::from(!outcomes.iter().all(Outcome::is_good)), Ordering::Relaxed);
        for outcome in outcomes {
            if is_one || !outcome.is_good() {
                print!("{outcome}");
            }
            met.lock().expect("no panic").merge(&outcome.coverage);
        }
    });
    for (what, times) in met.into_inner().expect("no panic").iter() {
        println!("  {times:>10}  {what}");
    }
    let failed = failed.into_inner();
    println!("{failed} of {} seeds failed", wish.seeds.end - wish.seeds.start);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn lives(wish: &Wish, seed: u64) -> Vec<Outcome> {
    let printed = wish.printed;
    let mut outcomes = Vec::new();
    if wish.cluster {
        outcomes.push(run(Options { seed, printed, ..Options::default() }));
    }
    if wish.alone {
        outcomes.push(alone::run(alone::Options { seed, printed, ..alone::Options::default() }));
    }
    outcomes
}

fn wish() -> Option<Wish> {
    let mut wish = Wish { seeds: 0..1, printed: false, cluster: true, alone: true };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--trace" => wish.printed = true,
            "--cluster" => wish.alone = false,
            "--alone" => wish.cluster = false,
            "--seed" => {
                let seed: u64 = arguments.next()?.parse().ok()?;
                wish.seeds = seed..seed + 1;
            }
            "--seeds" => {
                let (from, to) =
                    arguments.next()?.split_once("..").map(|(from, to)| (from.parse(), to.parse()))?;
                wish.seeds = from.ok()?..to.ok()?;
            }
            _ => return None,
        }
    }
    (wish.cluster || wish.alone).then_some(wish)
}
