//! What a producer can be told.

use std::str::FromStr;

use klamm_model::Compression;

use super::question::Protocol;
use crate::backoff::Backoff;
use crate::partitioner::Partitioner;

/// Who must have a record before it counts as written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Acks {
    /// Nobody: the record was sent, and that is all that is known.
    None,
    /// The leader's memory.
    Leader,
    /// Every in-sync replica.
    #[default]
    All,
}

impl Acks {
    /// The number as the protocol carries it.
    pub fn to_wire(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

impl FromStr for Acks {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "0" => Ok(Self::None),
            "1" => Ok(Self::Leader),
            "all" | "-1" => Ok(Self::All),
            _ => Err("not one of 0, 1, all"),
        }
    }
}

/// Settings of a producer; the defaults are those of Kafka's Java client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Who must have a record before it counts as written.
    pub acks: Acks,
    /// Number every batch, so that the broker stores it once however often it is sent. Needs [`Acks::All`]; with less it is off.
    pub idempotent: bool,
    /// How long a batch that is not full waits for more records, in milliseconds.
    pub linger_ms: u64,
    /// A batch is closed when it has this many bytes. A larger record gets a batch of its own.
    pub batch_size: usize,
    /// Most bytes that wait for an acknowledgement; whoever sends more waits.
    pub buffer_memory: usize,
    /// Most bytes of one request, and so of one record.
    pub request_size_max: usize,
    /// Most unanswered requests to one broker, and most unanswered batches of one partition. At most 5 when idempotent.
    pub in_flight_max: usize,
    /// How batches are packed.
    pub compression: Compression,
    /// Who chooses the partition of records that name none, before keys and load do.
    pub partitioner: Option<Partitioner>,
    /// Records with a key are spread like those without.
    pub ignores_keys: bool,
    /// Records without a key go rather to partitions in which fewer batches wait (KIP-794).
    pub prefers_idle_partitions: bool,
    /// How often a batch is sent again at most, within `delivery_timeout_ms`.
    pub retries_max: u32,
    /// The wait before a batch is sent again.
    pub backoff: Backoff,
    /// From `send` to the answer or the error, in milliseconds.
    pub delivery_timeout_ms: u64,
    /// How long one request may go unanswered, in milliseconds.
    pub request_timeout_ms: u64,
    /// How long `send` waits for the topic's metadata or for room in the buffer, in milliseconds.
    pub block_max_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            idempotent: true,
            linger_ms: 5,
            batch_size: 16_384,
            buffer_memory: 32 << 20,
            request_size_max: 1 << 20,
            in_flight_max: 5,
            compression: Compression::NONE,
            partitioner: None,
            ignores_keys: false,
            prefers_idle_partitions: true,
            retries_max: u32::MAX,
            backoff: Backoff::default(),
            delivery_timeout_ms: 120_000,
            request_timeout_ms: 30_000,
            block_max_ms: 60_000,
        }
    }
}

/// Settings of a producer of transactions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TransactionalConfig {
    /// The name that the producer keeps over restarts: who comes with it last fences all others, and what they left open is aborted.
    pub transactional_id: String,
    /// After so long the coordinator aborts a transaction that is still open, and fences its producer; in milliseconds.
    pub timeout_ms: u64,
    /// How transactions go; `None`: as the cluster has agreed. The older way goes with every cluster, and takes a round more for each partition.
    pub protocol: Option<Protocol>,
    /// How records are written. Needs [`Acks::All`] and numbered batches.
    pub producer: Config,
}

impl TransactionalConfig {
    /// The defaults of Kafka's Java client.
    pub fn new(transactional_id: impl Into<String>) -> Self {
        Self {
            transactional_id: transactional_id.into(),
            timeout_ms: 60_000,
            protocol: None,
            producer: Config::default(),
        }
    }
}

impl Config {
    /// Whether batches get sequence numbers.
    pub(crate) fn numbers_batches(&self) -> bool {
        self.idempotent && self.acks == Acks::All
    }

    /// The broker remembers the last five batches of a producer; with more under way it could not recognise a repeated one.
    pub(crate) fn in_flight_limit(&self) -> usize {
        let limit = if self.numbers_batches() { self.in_flight_max.min(5) } else { self.in_flight_max };
        limit.max(1)
    }
}
