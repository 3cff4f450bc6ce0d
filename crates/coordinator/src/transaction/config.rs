//! What an operator may set for transactions.

/// What an operator may set for transactions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TransactionConfig {
    /// `transaction.max.timeout.ms`: the longest that a transaction may be open.
    pub timeout_ms_max: i32,
    /// `transactional.id.expiration.ms`: how long a transactional id is remembered that nobody uses.
    pub id_expiration_ms: u64,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`: how often it is looked for such ids.
    pub expiry_check_interval_ms: u64,
    /// `add.partitions.to.txn.retry.backoff.max.ms`: how long a request waits for the markers of the transaction before. Kafka's brokers ask again and again for so
    /// long; 0: not at all.
    pub wait_ms: u64,
    /// The most that one append may hold: what the log takes in one batch (`max.message.bytes` of the topic).
    pub batch_size_max: usize,
}

impl Default for TransactionConfig {
    fn default() -> Self {
        Self {
            timeout_ms_max: 900_000,
            id_expiration_ms: 7 * 86_400_000,
            expiry_check_interval_ms: 3_600_000,
            wait_ms: 100,
            batch_size_max: 1_048_588,
        }
    }
}
