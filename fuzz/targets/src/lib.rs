//! What the fuzzer runs (`cargo xtask fuzz`): for each target a function that takes any bytes and panics where we do not keep what we promise.
//!
//! The same functions see the committed inputs of `fuzz/corpus` in every `cargo test`: seeds that our own encoders wrote (`cargo run -p
//! klamm-fuzz-targets --example seeds`), and every input that once broke something.

pub mod batches;
pub mod frames;
pub mod node;
pub mod recovery;
pub mod requests;
pub mod responses;
pub mod settings;

/// A target's name and what it runs.
pub type Target = (&'static str, fn(&[u8]));

/// All of them; each has a file in `fuzz/fuzz_targets` and a folder in `fuzz/corpus`.
pub const TARGETS: &[Target] = &[
    ("frames", frames::run),
    ("requests", requests::run),
    ("responses", responses::run),
    ("batches", batches::run),
    ("recovery", recovery::run),
    ("settings", settings::run),
    ("node", node::run),
];

/// Takes some bytes off the front; fewer, when there are no more.
fn take<'a>(data: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (front, rest) = data.split_at(count.min(data.len()));
    *data = rest;
    front
}

/// Takes a byte; 0, when there is none.
fn take_byte(data: &mut &[u8]) -> u8 {
    take(data, 1).first().copied().unwrap_or(0)
}
