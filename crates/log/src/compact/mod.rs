//! Compaction: of each key, the last value stays (`cleanup.policy=compact`).
//!
//! Owns what is kept and how it is written: [`Keys`] knows the newest offset of each key, [`batch`] which records of a batch stay, [`work`] goes
//! through files with both. Knows no file names and never waits: it is given something to read by and to write to. When a pass is due, and what
//! its end means for a log, is in [`pass`].
//!
//! ```text
//!   log_start            clean to                    limit
//!      |  each key once, or  |  keys are collected here |  not touched: above the high watermark, too young, or growing
//!      |  newer below        |                          |
//!      [ a:1 b:1 - c:1 -     | a:2 c:2 a:3              | b:2 …     )
//!   →  [   -   b:1     -     |   -  c:2 a:3             | b:2 …     )
//! ```
//! Invariants: the last record of each key below the limit stays, with its offset (but a tombstone goes after its time); nothing at or above the
//! limit is touched; where batches go, one empty batch for each leader epoch takes their offsets, so a log has no holes after it either. Kafka
//! leaves holes, and reads our logs as we read its empty batches.

mod batch;
mod keys;
mod pass;
mod swap;
#[cfg(test)]
mod tests;
mod work;

pub use batch::{Rules, Sabotage};
pub(crate) use batch::{filler, is_filler};
pub use keys::Keys;
pub(crate) use pass::Pass;
pub use pass::{Compacted, Compaction, MILLION};
pub use swap::{CLEANED, FileStep, SWAP, swap_steps, unfinished_swaps};
pub use work::{CompactError, MapKeys, Rewrite, Rewritten, Source, end_of, map_keys, rewrite};
