//! Lives through seeds: `klamm-sim --seed N [--trace] [--count M]`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use klamm_sim::{Options, run};

fn main() -> ExitCode {
    let mut options = Options::default();
    let mut count = 1;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|text| text.parse::<u64>().ok());
        match argument.as_str() {
            "--trace" => options.printed = true,
            "--seed" => match number() {
                Some(seed) => options.seed = seed,
                None => return usage(),
            },
            "--count" => match number() {
                Some(runs) => count = runs,
                None => return usage(),
            },
            _ => return usage(),
        }
    }
    let mut failed = 0;
    for seed in options.seed..options.seed + count {
        let outcome = run(Options { seed, ..options });
        if !outcome.is_good() || count == 1 {
            print!("{outcome}");
        }
        if count == 1 {
            for (what, times) in outcome.coverage.iter() {
                println!("  {times:>8}  {what}");
            }
        }
        failed += u64::from(!outcome.is_good());
    }
    println!("{failed} of {count} seeds failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn usage() -> ExitCode {
    eprintln!("klamm-sim --seed N [--trace] [--count M]");
    ExitCode::FAILURE
}
