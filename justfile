# A thin front: every recipe is one command that works without just.

# What there is.
default:
    @just --list --unsorted

# All that a change must pass.
ci:
    bash .ci/run

# The tests.
test *ARGS:
    cargo test --workspace {{ ARGS }}

# Format, lints, licences.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo deny check licenses bans sources

# The release binary against real clients.
interop *ARGS:
    cargo build --release
    interop/run.sh {{ ARGS }}

# Klamm beside Apache Kafka and a bare program (bench/README.md); `just bench --quick` to see that it works.
bench *ARGS:
    cargo build --release
    cargo build --release -p bench-floor
    bench/kafka/install.sh
    python3 bench/run.py {{ ARGS }}
    python3 bench/whole.py {{ ARGS }}

# The simulator: one seed again (`just sim --seed 7 --trace`), or many (`just sim --seeds 0..3000`).
sim *ARGS:
    cargo run --profile sim -p klamm-sim -- {{ ARGS }}

# The fuzzer, each target for a minute: `just fuzz --seconds 600 batches`. Needs cargo-fuzz and the nightly compiler.
fuzz *ARGS:
    cargo xtask fuzz {{ ARGS }}

# Write the message structs again from the schema.
gen *ARGS:
    cargo xtask gen {{ ARGS }}

# All clients and Kafka's tools against the release binary; writes docs/COMPATIBILITY.md.
interop-full *ARGS:
    cargo build --release
    interop/full.sh --report docs/COMPATIBILITY.md {{ ARGS }}

# An hour of full load on three processes, stopped for moments, cut off and slow: no failover; `just calm --seconds 45` is what .ci/run does.
calm *ARGS="--seconds 3600":
    cargo build --release
    interop/calm.sh {{ ARGS }}

# One real process, then three that are a cluster, through kills, stops, cut links, full and damaged disks, under load (interop/chaos.py, interop/chaos_cluster.py); `just chaos --seed 7 --rounds 40`.
chaos *ARGS:
    cargo build --release
    interop/chaos.sh {{ ARGS }}
    interop/chaos_cluster.sh {{ ARGS }}

# docs/TESTING.md: what must hold, what may happen, what was asked for, and what shows it
testing:
    cargo xtask testing
