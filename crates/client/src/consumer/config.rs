//! What a consumer can be told.

use std::str::FromStr;

use klamm_model::{Offset, Timestamp};

use crate::backoff::Backoff;

/// Where to begin reading a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// The oldest record there is.
    Earliest,
    /// What comes from now on.
    Latest,
    /// This offset.
    At(Offset),
    /// This many offsets before the end, or the oldest record if there are fewer.
    Last(u64),
    /// The first record with this timestamp or a later one; if there is none, what comes from now on, whatever its timestamp.
    Since(Timestamp),
}

/// What to do when the wanted offset is not there any more, or not yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OutOfRange {
    /// Go on with the oldest record there is.
    Earliest,
    /// Go on with what comes from now on.
    Latest,
    /// Report it and stop reading the partition.
    Fail,
}

/// Whether records of transactions count before their transaction does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Isolation {
    /// Every record, also those of transactions that are open or were aborted.
    #[default]
    ReadUncommitted,
    /// Nothing of aborted transactions, and nothing beyond the first open one.
    ReadCommitted,
}

impl Isolation {
    /// The number as the protocol carries it.
    pub fn to_wire(self) -> i8 {
        match self {
            Self::ReadUncommitted => 0,
            Self::ReadCommitted => 1,
        }
    }
}

impl FromStr for Isolation {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "read_uncommitted" => Ok(Self::ReadUncommitted),
            "read_committed" => Ok(Self::ReadCommitted),
            _ => Err("neither read_uncommitted nor read_committed"),
        }
    }
}

impl FromStr for OutOfRange {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            "none" => Ok(Self::Fail),
            _ => Err("not one of earliest, latest, none"),
        }
    }
}

/// Settings of a consumer; the defaults are those of Kafka's Java client, except that a lost position is reported.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// The broker answers when it has this many bytes, or when `wait_max_ms` is over.
    pub bytes_min: usize,
    /// Most bytes of one answer.
    pub bytes_max: usize,
    /// Most bytes of one partition in one answer; a larger batch comes alone.
    pub partition_bytes_max: usize,
    /// How long the broker may hold an answer back, in milliseconds.
    pub wait_max_ms: u64,
    /// Fetching pauses while this many bytes wait to be read.
    pub prefetch_bytes_max: usize,
    /// A batch that is larger than this when unpacked is refused.
    pub unpacked_batch_bytes_max: usize,
    /// Whether records of open and aborted transactions are read.
    pub isolation: Isolation,
    /// Where we are, for brokers that send their readers to the nearest replica (KIP-392); empty if that does not matter.
    pub rack: String,
    /// How long the replica that a leader sent us to is read before the leader is asked again, in milliseconds; a second at least.
    pub nearest_age_max_ms: u64,
    /// What to do when the wanted offset is not there, or when records that were read are not in the log any more.
    pub out_of_range: OutOfRange,
    /// The wait before a partition is asked for again.
    pub backoff: Backoff,
    /// How long one request may go unanswered, in milliseconds, beyond what the broker may hold it back.
    pub request_timeout_ms: u64,
    /// How long a topic or partition may be unknown before that is reported, in milliseconds.
    pub unknown_topic_timeout_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bytes_min: 1,
            bytes_max: 50 << 20,
            partition_bytes_max: 1 << 20,
            wait_max_ms: 500,
            prefetch_bytes_max: 64 << 20,
            unpacked_batch_bytes_max: 256 << 20,
            isolation: Isolation::ReadUncommitted,
            rack: String::new(),
            nearest_age_max_ms: 300_000,
            out_of_range: OutOfRange::Fail,
            backoff: Backoff::default(),
            request_timeout_ms: 30_000,
            unknown_topic_timeout_ms: 10_000,
        }
    }
}
