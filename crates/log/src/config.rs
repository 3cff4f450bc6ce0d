//! What an operator may set for a log.

use crate::compact::Compaction;

/// When records are brought to disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Flush {
    /// As soon as they are written; only what is on disk counts.
    #[default]
    Synced,
    /// In the background; what is written counts.
    Relaxed {
        /// At the latest when so many bytes wait.
        bytes_max: u64,
        /// At the latest after this time.
        delay_ms_max: u64,
    },
}

impl Flush {
    /// As Kafka's default, for which the system writes back when it sees fit. A roll waits for all of its segment, and records after it wait for
    /// the roll: were nothing synced before, they would wait for a GiB.
    pub const LAZY: Self = Self::Relaxed { bytes_max: 64 << 20, delay_ms_max: u64::MAX };

    /// In the background, with a bound on what a power failure takes.
    pub const RELAXED: Self = Self::Relaxed { bytes_max: 256 * 1024, delay_ms_max: 100 };
}

/// How much is kept. Both may hold at once; a segment goes when one of them says so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retention {
    /// A segment goes when its youngest record is older than this (`retention.ms`); `None`: never.
    pub age_ms_max: Option<u64>,
    /// The oldest segments go as long as what is left is at least as large as this (`retention.bytes`); `None`: never.
    pub bytes_max: Option<u64>,
}

impl Retention {
    /// Nothing goes by itself. What somebody has deleted does.
    pub const FOR_EVER: Self = Self { age_ms_max: None, bytes_max: None };
}

/// Settings of one log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogConfig {
    /// A segment that would grow beyond this ends before (`segment.bytes`). One batch that is larger gets a segment of its own.
    pub segment_bytes: u32,
    /// A segment ends before a batch that is so much younger than its first one, by their timestamps (`segment.ms`).
    pub segment_ms: u64,
    /// By up to so much earlier, another time for each segment, so that not all logs roll at once (`segment.jitter.ms`).
    pub segment_jitter_ms: u64,
    /// A segment whose index file would grow beyond this ends before (`segment.index.bytes`).
    pub segment_index_bytes: u32,
    /// Bytes between two entries of the index (`index.interval.bytes`).
    pub index_interval_bytes: u32,
    /// When records are brought to disk (`flush.messages`, `flush.ms`).
    pub flush: Flush,
    /// How much is kept (`retention.ms`, `retention.bytes`, `cleanup.policy`).
    pub retention: Retention,
    /// Whether and how the last value of each key is kept (`cleanup.policy`).
    pub compaction: Option<Compaction>,
    /// Files of a deleted segment stay for so long under another name, for those who are reading them (`file.delete.delay.ms`).
    pub file_delete_delay_ms: u64,
    /// Bytes of the growing segment between two notes on it: what a start after a crash has to read of it, about.
    pub notes_interval_bytes: u32,
    /// Appends are refused while so many bytes wait to be written: a disk that does not keep up must not fill the memory.
    pub queue_bytes_max: u64,
    /// Producers whose sequence numbers are known. Beyond it, the one that has been silent for longest is forgotten.
    pub producer_count_max: usize,
    /// A producer whose last batch is older than this is forgotten (`producer.id.expiration.ms`).
    pub producer_expiration_ms: u64,
}

const WEEK_MS: u64 = 7 * 24 * 3600 * 1000;

impl Default for LogConfig {
    /// Kafka's defaults where it has them, but for the flush.
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 30,
            segment_ms: WEEK_MS,
            segment_jitter_ms: 0,
            segment_index_bytes: 10 << 20,
            index_interval_bytes: 4096,
            flush: Flush::Synced,
            retention: Retention { age_ms_max: Some(WEEK_MS), bytes_max: None },
            compaction: None,
            file_delete_delay_ms: 60_000,
            notes_interval_bytes: 32 << 20,
            queue_bytes_max: 64 << 20,
            producer_count_max: 10_000,
            producer_expiration_ms: 24 * 3600 * 1000,
        }
    }
}
