//! What stays of one batch. The rules are those of Kafka's `Cleaner`, with KIP-534 for tombstones.

use std::sync::Arc;

use klamm_model::{
    BATCH_HEADER_SIZE, BatchError, BatchHeader, BatchView, Codec, Compression, LeaderEpoch, Offset,
    ProducerId, RecordView, Timestamp, TransactionMark, compress, put_record,
};
use rustc_hash::FxHashSet;

use super::keys::Keys;
use crate::transactions::{AbortedRecords, AbortedTransaction};

/// What the records of one batch may unpack to.
pub(super) const UNPACKED_BYTES_MAX: usize = 256 << 20;
/// "No timestamp", in a batch without records.
const NO_TIMESTAMP: Timestamp = Timestamp(-1);

/// What a pass goes by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rules {
    /// The newest offset of each key that occurs among the records that were not clean.
    pub keys: Arc<Keys>,
    /// Where batches begin that producers' numbering rests on, and their last marks, in rising order. They stay, without records if need be, or a batch sent
    /// again would not be known as such by whoever rebuilds that state from the log.
    pub numbered: Arc<[Offset]>,
    /// The time on the wall when the pass began.
    pub now: Timestamp,
    /// How long a tombstone stays from the first pass on that it went through (`delete.retention.ms`).
    pub delete_retention_ms: u64,
    /// For tests of what notices a broken rule.
    pub sabotage: Option<Sabotage>,
}

/// A rule that is broken on purpose, so that a test can see who notices.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sabotage {
    /// Keeps the older value of a key and drops the newer one.
    KeepsOlder,
    /// Takes records above the high watermark for committed.
    BeyondHighWatermark,
    /// Drops tombstones at once.
    NoGrace,
}

/// What becomes of a batch.
pub(super) enum Kept {
    /// It stays as it is.
    AsItIs,
    /// It stays in this form, under the same offsets.
    Rewritten(Vec<u8>),
    /// Nothing of it stays.
    Nothing,
}

/// What goes with the work from batch to batch, and memory for it.
#[derive(Default)]
pub(super) struct Scratch {
    unpacked: Vec<u8>,
    body: Vec<u8>,
    /// Whose records do not count.
    pub(super) aborted: AbortedRecords,
    /// Producers of whose transaction there was something since their last mark.
    pub(super) members: FxHashSet<ProducerId>,
}

impl Scratch {
    pub(super) fn new(aborted: &[AbortedTransaction], members: &FxHashSet<ProducerId>) -> Self {
        let (aborted, members) = (AbortedRecords::new(aborted), members.clone());
        Self { aborted, members, ..Self::default() }
    }

    /// The aborted transaction whose mark this is.
    pub(super) fn ended_by(&self, mark: &BatchHeader) -> Option<AbortedTransaction> {
        let found = self.aborted.at(mark.producer?.id, mark.base_offset);
        found.copied().filter(|it| it.mark == mark.base_offset)
    }
}

impl Rules {
    /// What stays of a batch.
    pub(super) fn keep(&self, batch: &BatchView<'_>, scratch: &mut Scratch) -> Result<Kept, BatchError> {
        let header = *batch.header();
        if self.keys.through <= header.base_offset {
            return Ok(Kept::AsItIs);
        }
        let is_numbered = self.numbered.binary_search(&header.base_offset).is_ok();
        if header.attributes.is_control() {
            return self.keep_mark(batch, is_numbered, scratch);
        }
        if let Some(producer) = header.producer.filter(|_| header.attributes.is_transactional()) {
            scratch.members.insert(producer.id);
        }
        if header.record_count == 0 {
            return Ok(if is_numbered { Kept::AsItIs } else { Kept::Nothing });
        }
        if is_aborted(&header, &scratch.aborted) {
            return Ok(if is_numbered { Kept::Rewritten(emptied(&header)) } else { Kept::Nothing });
        }
        let unpacked = &mut scratch.unpacked;
        let chosen = self.choose(batch, unpacked)?;
        let horizon = header.delete_horizon().or_else(|| self.horizon(&chosen));
        if chosen.count == header.record_count && horizon == header.delete_horizon() {
            return Ok(Kept::AsItIs);
        }
        if chosen.count == 0 {
            return Ok(if is_numbered { Kept::Rewritten(emptied(&header)) } else { Kept::Nothing });
        }
        rewritten(batch, &chosen, horizon, scratch, &|record| self.stays(&header, record))
    }

    /// A mark stays as long as there is something of its transaction, or it is the last that is known of its producer; and from then on for as long as a tombstone
    /// does, for those who have read that the transaction was aborted.
    fn keep_mark(
        &self,
        batch: &BatchView<'_>,
        is_last: bool,
        scratch: &mut Scratch,
    ) -> Result<Kept, BatchError> {
        let header = *batch.header();
        let (Some(producer), Some(_)) = (header.producer, TransactionMark::of(batch)) else {
            return Ok(Kept::AsItIs);
        };
        let has_members = scratch.members.remove(&producer.id);
        match header.delete_horizon() {
            _ if has_members || is_last => Ok(Kept::AsItIs),
            Some(horizon) if horizon <= self.now => Ok(Kept::Nothing),
            Some(_) => Ok(Kept::AsItIs),
            None => {
                let timestamp = header.max_timestamp;
                let chosen =
                    Chosen { count: 1, expires: true, min_timestamp: timestamp, max_timestamp: timestamp };
                match self.horizon(&chosen) {
                    Some(horizon) => rewritten(batch, &chosen, Some(horizon), scratch, &|_| true),
                    None => Ok(Kept::AsItIs),
                }
            }
        }
    }

    fn choose(&self, batch: &BatchView<'_>, unpacked: &mut Vec<u8>) -> Result<Chosen, BatchError> {
        let header = batch.header();
        let mut chosen = Chosen::default();
        for record in batch.records(unpacked, UNPACKED_BYTES_MAX)? {
            let record = record?;
            if self.stays(header, &record) {
                chosen.count += 1;
                chosen.expires |= record.value.is_none() && record.offset < self.keys.through;
                chosen.min_timestamp = chosen.min_timestamp.min(record.timestamp);
                chosen.max_timestamp = chosen.max_timestamp.max(record.timestamp);
            }
        }
        Ok(chosen)
    }

    fn stays(&self, header: &BatchHeader, record: &RecordView<'_>) -> bool {
        if self.keys.through <= record.offset {
            return true;
        }
        // Without a key a record has no successor; Kafka drops those that a topic had before it was compacted.
        let Some(key) = record.key else { return false };
        if self.keys.has_newer(key, record.offset) {
            return false;
        }
        let is_due = header.delete_horizon().is_some_and(|horizon| horizon <= self.now);
        record.value.is_some() || !(is_due || self.sabotage == Some(Sabotage::NoGrace))
    }

    /// When tombstones and marks that are met for the first time may go. `None` if the batch cannot carry it, or if that time never comes: a later pass may know one.
    fn horizon(&self, chosen: &Chosen) -> Option<Timestamp> {
        let horizon = self.now.0.checked_add(i64::try_from(self.delete_retention_ms).ok()?)?;
        let fits = |timestamp: Timestamp| timestamp.0.checked_sub(horizon).is_some();
        let has_room = fits(chosen.min_timestamp) && fits(chosen.max_timestamp);
        (chosen.expires && has_room).then_some(Timestamp(horizon))
    }
}

/// What is known of the records that stay.
struct Chosen {
    count: u32,
    /// There is something among them that goes after its time.
    expires: bool,
    min_timestamp: Timestamp,
    max_timestamp: Timestamp,
}

impl Default for Chosen {
    fn default() -> Self {
        let (min_timestamp, max_timestamp) = (Timestamp(i64::MAX), Timestamp(i64::MIN));
        Self { count: 0, expires: false, min_timestamp, max_timestamp }
    }
}

/// The batch with those of its records that were chosen.
fn rewritten(
    batch: &BatchView<'_>,
    chosen: &Chosen,
    horizon: Option<Timestamp>,
    scratch: &mut Scratch,
    stays: &dyn Fn(&RecordView<'_>) -> bool,
) -> Result<Kept, BatchError> {
    let (header, Scratch { unpacked, body, .. }) = (*batch.header(), scratch);
    let base_timestamp = horizon.unwrap_or(header.base_timestamp);
    body.clear();
    let mut headers = Vec::new();
    for record in batch.records(unpacked, UNPACKED_BYTES_MAX)? {
        let record = record?;
        if !stays(&record) {
            continue;
        }
        headers.clear();
        headers.extend(record.headers.iter());
        let timestamp_delta = record.timestamp.0.wrapping_sub(base_timestamp.0);
        let offset_delta = record.offset.raw() - header.base_offset.raw();
        put_record(body, timestamp_delta, offset_delta, record.key, record.value, &headers);
    }
    let attributes = header.attributes;
    let rewritten = BatchHeader {
        record_count: chosen.count,
        base_timestamp,
        max_timestamp: chosen.max_timestamp,
        attributes: if horizon.is_some() { attributes.with_delete_horizon() } else { attributes },
        ..header
    };
    Ok(Kept::Rewritten(packed(&rewritten, body)?))
}

/// Whether a batch's records belong to a transaction that was aborted: they displace nothing, and go.
pub(super) fn is_aborted(header: &BatchHeader, aborted: &AbortedRecords) -> bool {
    let producer = header.producer.filter(|_| header.attributes.is_transactional());
    producer.is_some_and(|producer| aborted.at(producer.id, header.base_offset).is_some())
}

/// A batch without records that takes offsets, and says whose epoch they were.
pub(crate) fn filler(base: Offset, last_offset_delta: u32, leader_epoch: Option<LeaderEpoch>) -> Vec<u8> {
    let header = BatchHeader {
        base_offset: base,
        size: BATCH_HEADER_SIZE,
        leader_epoch,
        crc: 0,
        attributes: klamm_model::Attributes::default(),
        last_offset_delta,
        base_timestamp: NO_TIMESTAMP,
        max_timestamp: NO_TIMESTAMP,
        producer: None,
        record_count: 0,
    };
    header.seal(&[])
}

/// Whether a batch is one that [`filler`] made.
pub(crate) fn is_filler(header: &BatchHeader) -> bool {
    header.record_count == 0 && header.producer.is_none()
}

/// Without records there is nothing compressed and no timestamp.
fn emptied(header: &BatchHeader) -> Vec<u8> {
    let attributes = header.attributes.without_records();
    let (base_timestamp, max_timestamp) = (NO_TIMESTAMP, NO_TIMESTAMP);
    BatchHeader { record_count: 0, base_timestamp, max_timestamp, attributes, ..*header }.seal(&[])
}

fn packed(header: &BatchHeader, body: &[u8]) -> Result<Vec<u8>, BatchError> {
    Ok(match header.attributes.codec()? {
        Codec::None => header.seal(body),
        codec => {
            let mut packed = Vec::with_capacity(body.len() / 2);
            compress(Compression::of(codec), body, &mut packed);
            header.seal(&packed)
        }
    })
}
