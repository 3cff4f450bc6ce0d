//! The nouns every other crate speaks, and the record batch.
//!
//! Knows bytes and numbers; knows no files, no requests and no connections.

mod ids;

pub use ids::*;
