//! Why a record batch is refused, in the terms of the batch. The answer's error code is chosen elsewhere.

use crate::DecompressError;

/// Why bytes are not a record batch that we take, store or hand on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BatchError {
    /// The bytes are not what their writer wrote: Kafka's `CORRUPT_MESSAGE`.
    #[error("corrupt batch: {0}")]
    Corrupt(#[from] Corruption),
    /// The bytes are intact and say something that no client may say: Kafka's `INVALID_RECORD`.
    #[error("invalid batch: {0}")]
    Invalid(#[from] Invalidity),
    /// A message format from before Kafka 0.11, or none at all: `INVALID_RECORD` for a client, damage on our own disk.
    #[error("message format {0}, only 2 is supported")]
    UnsupportedMagic(i8),
    /// A compression that Kafka has no name for: `UNSUPPORTED_COMPRESSION_TYPE`.
    #[error("unknown compression {0}")]
    UnsupportedCodec(u8),
    /// `MESSAGE_TOO_LARGE`
    #[error("batch of {size} bytes, allowed are {size_max}")]
    TooLarge {
        /// What the batch takes, header included.
        size: usize,
        /// What was allowed.
        size_max: usize,
    },
    /// A Produce request names a partition and brings nothing for it: `INVALID_RECORD`.
    #[error("no batch for the partition")]
    Empty,
    /// A Produce request carries exactly one batch for each partition: `INVALID_RECORD`.
    #[error("more than one batch for the partition")]
    TooManyBatches,
    /// Only the broker stamps records with the time of their arrival: `INVALID_TIMESTAMP`.
    #[error("a client claims the broker's timestamps")]
    LogAppendTimeFromClient,
    /// The body does not decompress: `MESSAGE_TOO_LARGE` or `CORRUPT_MESSAGE`.
    #[error(transparent)]
    Decompress(#[from] DecompressError),
}

/// How we know that bytes were damaged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Corruption {
    /// The bytes end within the batch.
    #[error("{have} bytes of {need}")]
    Truncated {
        /// Bytes that are there.
        have: usize,
        /// Bytes that the batch, or its header, takes.
        need: usize,
    },
    /// The length field is smaller than any batch.
    #[error("length field {0}")]
    Length(i32),
    /// The CRC-32C does not fit.
    #[error("checksum {computed:08x}, the header says {stored:08x}")]
    Checksum {
        /// What the header carries.
        stored: u32,
        /// What the bytes give.
        computed: u32,
    },
    /// A field has a value that no writer gives it.
    #[error("{name} {value}")]
    Field {
        /// Which field of the header.
        name: &'static str,
        /// What it holds.
        value: i64,
    },
    /// Something that is not a batch follows the batch.
    #[error("{0} bytes after the batch")]
    TrailingBytes(usize),
}

/// What a batch says that it may not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Invalidity {
    /// Control batches are written by brokers.
    #[error("control batch from a client")]
    ControlFromClient,
    /// The delete horizon is set by the broker's compaction.
    #[error("delete horizon from a client")]
    DeleteHorizonFromClient,
    /// A producer does not know offsets: it counts from 0.
    #[error("base offset {0} from a client")]
    BaseOffset(i64),
    /// A transaction has a producer.
    #[error("transactional batch without a producer id")]
    TransactionWithoutProducer,
    /// A producer id comes with an epoch and a sequence.
    #[error("producer epoch {epoch}, base sequence {base_sequence}")]
    Producer {
        /// The epoch of the batch.
        epoch: i16,
        /// The sequence number of its first record.
        base_sequence: i32,
    },
    /// A client's batch has no gaps and is not empty.
    #[error("{record_count} records, last offset delta {last_offset_delta}")]
    Count {
        /// How many records the header announces.
        record_count: u32,
        /// Where the header puts the last one.
        last_offset_delta: u32,
    },
    /// Its compressed body is too small for its records.
    #[error("{record_count} records in what unpacks to at most {unpacked_size_max} bytes")]
    TooManyRecords {
        /// How many records the header announces.
        record_count: u32,
        /// What the body can unpack to.
        unpacked_size_max: u64,
    },
    /// A record is malformed.
    #[error("record {index}: {problem}")]
    Record {
        /// Its place in the batch, from 0.
        index: u32,
        /// What is wrong with it.
        problem: RecordProblem,
    },
    /// Something follows the last record.
    #[error("{0} bytes after the last record")]
    BytesAfterRecords(usize),
}

/// What is wrong with a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecordProblem {
    /// A variable-length number does not end, or does not fit its type.
    #[error("malformed number")]
    Varint,
    /// It ends before its fields do.
    #[error("ends too early")]
    Truncated,
    /// A length is negative where nothing may be null, or below -1.
    #[error("negative length")]
    NegativeLength,
    /// It is longer than its fields.
    #[error("bytes after the last field")]
    TrailingBytes,
    /// Its offset is not the one its place demands.
    #[error("offset delta out of order")]
    OffsetDelta,
    /// Its timestamp does not fit in 64 bits.
    #[error("timestamp out of range")]
    Timestamp,
    /// It has more headers than we accept, or than fit.
    #[error("too many headers")]
    HeaderCount,
}

impl RecordProblem {
    pub(crate) fn at(self, index: u32) -> BatchError {
        BatchError::Invalid(Invalidity::Record { index, problem: self })
    }
}
