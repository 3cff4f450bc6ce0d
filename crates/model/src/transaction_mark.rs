//! The mark that ends a transaction in a partition's log (KIP-98): a batch of the broker's own, with one record.
//!
//! ```text
//!   key:    version, 0  i16 | 0 abort, 1 commit      i16
//!   value:  version, 0  i16 | coordinator's epoch    i32
//! ```

use bytes::Bytes;

use crate::{
    BatchBuilder, BatchView, LeaderEpoch, Producer, ProducerEpoch, ProducerId, Seal, Timestamp, ValidBatch,
};

/// How a transaction ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TransactionEnd {
    /// Its records do not count.
    Abort,
    /// Its records count.
    Commit,
}

/// What a mark says besides whose transaction it ends, which the batch says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TransactionMark {
    /// How it ends.
    pub end: TransactionEnd,
    /// Under which leadership of its own partition the coordinator decided that: an older one is not to be heard any more.
    pub coordinator_epoch: LeaderEpoch,
}

impl TransactionMark {
    const VERSION: i16 = 0;

    /// The batch that ends the transaction of a producer.
    pub fn to_batch(self, id: ProducerId, epoch: ProducerEpoch, now: Timestamp) -> (ValidBatch, Bytes) {
        let end: i16 = match self.end {
            TransactionEnd::Abort => 0,
            TransactionEnd::Commit => 1,
        };
        let key = [Self::VERSION.to_be_bytes(), end.to_be_bytes()].concat();
        let value = [&Self::VERSION.to_be_bytes()[..], &self.coordinator_epoch.0.to_be_bytes()].concat();
        let mut builder = BatchBuilder::default();
        builder.append(now, Some(&key), Some(&value), &[]);
        let producer = Some(Producer { id, epoch, base_sequence: Producer::NO_SEQUENCE });
        let seal = Seal { producer, is_transactional: true, is_control: true, ..Seal::default() };
        let (batch, bytes) = builder.finish_own(&seal);
        (ValidBatch { mark: Some(self), ..batch }, bytes)
    }

    /// The mark that a batch is; `None` for any other, and for one that lost its record to compaction.
    pub fn of(batch: &BatchView<'_>) -> Option<Self> {
        let attributes = batch.header().attributes;
        if !attributes.is_control() || !attributes.is_transactional() {
            return None;
        }
        let mut unpacked = Vec::new();
        let record = batch.records(&mut unpacked, Self::UNPACKED_BYTES_MAX).ok()?.next()?.ok()?;
        // What a later version says besides comes after these.
        let (_, key) = record.key?.split_first_chunk::<2>()?;
        let (_, value) = record.value?.split_first_chunk::<2>()?;
        let end = match i16::from_be_bytes(*key.first_chunk()?) {
            0 => TransactionEnd::Abort,
            1 => TransactionEnd::Commit,
            _ => return None,
        };
        let coordinator_epoch = LeaderEpoch::from_wire(i32::from_be_bytes(*value.first_chunk()?))?;
        Some(Self { end, coordinator_epoch })
    }

    /// No broker packs a mark. One that says that it is packed does not get more memory than it may need.
    const UNPACKED_BYTES_MAX: usize = 4096;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_back_and_is_as_kafka_writes_it() {
        for (end, byte) in [(TransactionEnd::Abort, 0), (TransactionEnd::Commit, 1)] {
            let mark = TransactionMark { end, coordinator_epoch: LeaderEpoch(7) };
            let (valid, bytes) = mark.to_batch(ProducerId(5), ProducerEpoch(3), Timestamp(1000));
            let view = BatchView::parse(&bytes).expect("a batch");
            view.verify_crc().expect("right");
            let header = view.header();
            assert_eq!((header.attributes.0, header.record_count, header.size), (0x30, 1, valid.size));
            assert_eq!(header.producer, valid.producer);
            let record = [0, 0, 0, 8, 0, 0, 0, byte, 12, 0, 0, 0, 0, 0, 7, 0];
            assert_eq!(view.body()[1..], record);
            assert_eq!((TransactionMark::of(&view), valid.mark), (Some(mark), Some(mark)));
        }
    }

    #[test]
    fn what_is_no_mark_is_taken_for_none() {
        let read = |key: &[u8], value: &[u8], is_control: bool| {
            let mut builder = BatchBuilder::default();
            builder.append(Timestamp(0), Some(key), Some(value), &[]);
            let seal = Seal { is_transactional: true, is_control, ..Seal::default() };
            TransactionMark::of(&BatchView::parse(&builder.finish(&seal)).expect("a batch"))
        };
        let (key, value) = ([0, 0, 0, 1], [0, 0, 0, 0, 0, 9]);
        assert!(read(&key, &value, true).is_some());
        assert!(
            read(&[&[0, 9, 0, 1][..], b"more"].concat(), &[&value[..], b"more"].concat(), true).is_some()
        );
        assert_eq!(read(&key, &value, false), None, "a client's record");
        assert_eq!(read(&[0, 0, 0, 2], &value, true), None, "a leader change");
        assert_eq!(read(&key[..3], &value, true), None);
        assert_eq!(read(&key, &value[..5], true), None);
        assert_eq!(read(&key, &[0, 0, 0xff, 0xff, 0xff, 0xff], true), None);
    }
}
