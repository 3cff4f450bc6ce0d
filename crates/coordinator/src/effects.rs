//! What a shard wants of the world.

use bytes::Bytes;
use klamm_model::Producer;

/// A request that waits for its answer, by the number the node gave it. Never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestId(pub u64);

/// A record of a shard's log, as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// What compaction keeps the last record of.
    pub key: Bytes,
    /// `None`: there is no such thing any more.
    pub value: Option<Bytes>,
}

/// Records that are appended together or not at all: one batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Append {
    /// The transaction that they belong to, if any: its marker decides whether they count.
    pub transaction: Option<Producer>,
    /// In their order; never empty.
    pub entries: Vec<Entry>,
}

/// What a shard wants: records appended, and then `O` (answers, mostly) let go. The appends come before everything in `outputs`: an output leaves when all that was
/// appended until then, by this call and every earlier one, is committed.
#[derive(Debug)]
pub struct Effects<O> {
    /// In this order.
    pub appends: Vec<Append>,
    /// In this order.
    pub outputs: Vec<O>,
}

impl<O> Default for Effects<O> {
    fn default() -> Self {
        Self { appends: Vec::new(), outputs: Vec::new() }
    }
}
