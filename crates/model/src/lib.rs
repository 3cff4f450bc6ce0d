//! The nouns every other crate speaks, and the record batch.
//!
//! Knows bytes and numbers; knows no files, no requests and no connections.
//!
//! ```text
//!   a run of bytes:  | batch | batch | bat        what a segment, a Fetch answer or a Produce request holds
//!   a batch:         | header, 61 bytes | body |  body = records, compressed as a whole or not at all
//!   a record:        | length | attributes | timestamp delta | offset delta | key | value | headers |
//! ```

mod batch;
mod batch_error;
mod builder;
mod checksum;
mod compress;
mod error_code;
mod header;
mod ids;
mod outline;
mod properties;
mod record;
mod rules;
mod snappy;
mod transaction_mark;
mod validate;
mod varint;

pub use batch::{BatchView, Batches, Tail};
pub use batch_error::{BatchError, Corruption, Invalidity, RecordProblem};
pub use builder::{BatchBuilder, Seal, put_record};
pub use checksum::crc32c;
pub use compress::{Codec, Compression, DecompressError, UnknownCodec, compress, decompress};
pub use error_code::ErrorCode;
pub use header::{
    Attributes, BATCH_HEADER_SIZE, BATCH_OVERHEAD, BatchHeader, MAGIC, Producer, TimestampType, batch_size,
    patched_prefix, position, restamped_header,
};
pub use ids::*;
pub use outline::unpacked_size_bound;
pub use properties::{BadLine, parse_properties};
pub use record::{Headers, RecordHeader, RecordView, Records};
pub use rules::{BatchRules, Fault, RECORD_FAULTS_MAX, RecordFault, RuleError, TimestampRule};
pub use transaction_mark::{TransactionEnd, TransactionMark};
pub use validate::{ProduceLimits, ValidBatch, validate_produce};
pub use varint::{put_varint, put_varlong, varint_size, varlong_size};
