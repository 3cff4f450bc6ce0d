//! What an operator may set for a log.

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
    /// Kafka's default: the system writes back when it sees fit. Only a roll and a clean stop bring the log to disk.
    pub const NEVER: Self = Self::Relaxed { bytes_max: u64::MAX, delay_ms_max: u64::MAX };

    /// In the background, with a bound on what a power failure takes.
    pub const RELAXED: Self = Self::Relaxed { bytes_max: 256 * 1024, delay_ms_max: 100 };
}

/// Settings of one log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogConfig {
    /// A segment that would grow beyond this ends before (`segment.bytes`). One batch that is larger gets a segment of its own.
    pub segment_bytes: u32,
    /// A segment that is older than this ends before the next batch (`segment.ms`).
    pub segment_ms: u64,
    /// Bytes between two entries of the index (`index.interval.bytes`).
    pub index_interval_bytes: u32,
    /// When records are brought to disk (`flush.messages`, `flush.ms`).
    pub flush: Flush,
    /// Appends are refused while so many bytes wait to be written: a disk that does not keep up must not fill the memory.
    pub queue_bytes_max: u64,
    /// Producers whose sequence numbers are known. Beyond it, the one that has been silent for longest is forgotten.
    pub producer_count_max: usize,
}

impl Default for LogConfig {
    /// Kafka's defaults where it has them, but for the flush.
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 3600 * 1000,
            index_interval_bytes: 4096,
            flush: Flush::Synced,
            queue_bytes_max: 64 << 20,
            producer_count_max: 10_000,
        }
    }
}
