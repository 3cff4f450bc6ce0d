//! Runs the fuzzer: each target for a while, one after the other. Needs `cargo install cargo-fuzz` and the nightly compiler.

use std::{path::Path, process::Command, time::Instant};

use anyhow::{Context, Result, bail, ensure};

/// Seconds for each target.
const SECONDS: &str = "60";

/// In what the fuzzer runs, everything that is taken from a peer is bounded; this is far more.
const MEMORY_MIB_MAX: u32 = 2048;

/// `[--seconds N] [TARGET…]`; all targets, if none is named.
pub(crate) fn run(mut arguments: &[&str]) -> Result<()> {
    let mut seconds = SECONDS;
    if let ["--seconds", value, rest @ ..] = arguments {
        (seconds, arguments) = (value, rest);
    }
    let fuzz =
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the repository")?.join("fuzz");
    let mut targets: Vec<String> = Vec::new();
    for entry in fuzz.join("fuzz_targets").read_dir()? {
        let path = entry?.path();
        targets.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    targets.sort();
    if let Some(unknown) = arguments.iter().find(|name| !targets.iter().any(|target| target == *name)) {
        bail!("there is no target {unknown}, but {}", targets.join(", "));
    }
    targets.retain(|target| arguments.is_empty() || arguments.contains(&target.as_str()));
    let mut broken = Vec::new();
    for target in targets {
        let began = Instant::now();
        // New inputs go to the first folder; the committed ones are only read.
        let grown = fuzz.join("grown").join(&target);
        std::fs::create_dir_all(&grown)?;
        let status = Command::new("cargo")
            .args(["+nightly", "fuzz", "run", &target])
            .args([grown, fuzz.join("corpus").join(&target)])
            .args(["--", &format!("-max_total_time={seconds}"), &format!("-rss_limit_mb={MEMORY_MIB_MAX}")])
            .args(["-timeout=10", "-max_len=8192", "-print_final_stats=1"])
            // This program was started by another compiler's cargo.
            .env_remove("RUSTUP_TOOLCHAIN")
            .env_remove("CARGO")
            .current_dir(&fuzz)
            .status()
            .context("running cargo fuzz (cargo install cargo-fuzz)")?;
        println!("{target}: {status}, {} s", began.elapsed().as_secs());
        if !status.success() {
            broken.push(target);
        }
    }
    ensure!(broken.is_empty(), "broken: {}; what broke them is in fuzz/artifacts", broken.join(", "));
    Ok(())
}
