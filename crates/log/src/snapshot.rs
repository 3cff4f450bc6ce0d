//! The producers' state in a file, in Kafka's format, so that a start need not read the whole log.
//!
//! Kafka keeps a producer's last batch only. Here the ones before it come first, as entries of their own under the same id: Kafka's reader lets
//! the last one win, ours has them all back, so that a batch sent again across a restart is still known.

use bytes::{BufMut, Bytes};
use klamm_model::{LeaderEpoch, Offset, Producer, ProducerEpoch, ProducerId, Timestamp, crc32c};

use crate::producers::{Producers, SequencedBatch, sequence_after};

const VERSION: i16 = 1;
/// Version, checksum, count.
const HEADER_SIZE: usize = 2 + 4 + 4;
const ENTRY_SIZE: usize = 8 + 2 + 4 + 8 + 4 + 8 + 4 + 8;

/// The file for `producers`.
pub(crate) fn write(producers: &Producers) -> Bytes {
    let mut entries = Vec::with_capacity(producers.len() * ENTRY_SIZE);
    let mut count: i32 = 0;
    for (id, entry) in producers.sorted() {
        let not_numbered = SequencedBatch {
            base_sequence: Producer::NO_SEQUENCE,
            last_delta: 0,
            base: entry.last_offset,
            timestamp: entry.timestamp,
        };
        // A mark comes first, though it is the last: who lets the last one win has to know the numbers.
        let ends_numbered =
            entry.batches().last().is_some_and(|last| last.last_offset() == entry.last_offset);
        for batch in (!ends_numbered).then_some(&not_numbered).into_iter().chain(entry.batches()) {
            let is_numbered = 0 <= batch.base_sequence;
            entries.put_i64(id.0);
            entries.put_i16(entry.epoch.0);
            entries.put_i32(if is_numbered { batch.last_sequence() } else { Producer::NO_SEQUENCE });
            entries.put_i64(batch.last_offset().raw());
            entries.put_u32(batch.last_delta);
            entries.put_i64(batch.timestamp.0);
            entries.put_i32(entry.coordinator_epoch.map_or(-1, |epoch| epoch.0));
            entries.put_i64(entry.transaction.map_or(-1, Offset::raw));
            count += 1;
        }
    }
    let mut checked = count.to_be_bytes().to_vec();
    checked.append(&mut entries);
    let mut file = Vec::with_capacity(HEADER_SIZE + checked.len());
    file.put_i16(VERSION);
    file.put_u32(crc32c(&checked));
    file.put_slice(&checked);
    file.into()
}

/// Reads a file; `None` if it is damaged, or is of a log that goes on after `next`.
pub(crate) fn read(file: &[u8], next: Offset) -> Option<Producers> {
    let (head, entries) = file.split_at_checked(HEADER_SIZE)?;
    let (version, rest) = head.split_first_chunk::<2>()?;
    let (checksum, count) = rest.split_first_chunk::<4>()?;
    let count = usize::try_from(i32::from_be_bytes(*count.first_chunk()?)).ok()?;
    if i16::from_be_bytes(*version) != VERSION
        || u32::from_be_bytes(*checksum) != crc32c(&file[6..])
        || Some(entries.len()) != count.checked_mul(ENTRY_SIZE)
    {
        return None;
    }
    let mut producers = Producers::default();
    for entry in entries.chunks_exact(ENTRY_SIZE) {
        let (id, rest) = entry.split_first_chunk::<8>()?;
        let (epoch, rest) = rest.split_first_chunk::<2>()?;
        let (last_sequence, rest) = rest.split_first_chunk::<4>()?;
        let (last_offset, rest) = rest.split_first_chunk::<8>()?;
        let (last_delta, rest) = rest.split_first_chunk::<4>()?;
        let (timestamp, rest) = rest.split_first_chunk::<8>()?;
        let (coordinator_epoch, rest) = rest.split_first_chunk::<4>()?;
        let (transaction, _) = rest.split_first_chunk::<8>()?;
        let last_delta = u32::try_from(i32::from_be_bytes(*last_delta)).ok()?;
        let last_offset = Offset::from_wire(i64::from_be_bytes(*last_offset))?;
        let last_sequence = i32::from_be_bytes(*last_sequence);
        let transaction = Offset::from_wire(i64::from_be_bytes(*transaction));
        if next <= last_offset || transaction.is_some_and(|first| next <= first) {
            return None;
        }
        let base_sequence = if last_sequence < 0 {
            Producer::NO_SEQUENCE
        } else {
            sequence_before(last_sequence, last_delta)
        };
        let producer = Producer {
            id: ProducerId::from_wire(i64::from_be_bytes(*id))?,
            epoch: ProducerEpoch(i16::from_be_bytes(*epoch)),
            base_sequence,
        };
        let batch = SequencedBatch {
            base_sequence,
            last_delta,
            base: Offset::from_wire(last_offset.raw() - i64::from(last_delta))?,
            timestamp: Timestamp(i64::from_be_bytes(*timestamp)),
        };
        let coordinator_epoch = LeaderEpoch::from_wire(i32::from_be_bytes(*coordinator_epoch));
        producers.remember(producer, batch, transaction, coordinator_epoch);
    }
    Some(producers)
}

fn sequence_before(sequence: i32, delta: u32) -> i32 {
    // As far forward as is missing to a whole round.
    let round = 1_u32 << 31;
    sequence_after(sequence, (round - delta % round) % round)
}

#[cfg(test)]
mod tests {
    use klamm_model::{TransactionEnd, TransactionMark};

    use super::*;
    use crate::producers::{Part, Sent};

    fn some() -> Producers {
        let mut producers = Producers::default();
        let end = TransactionEnd::Commit;
        let mark = |epoch| Part::End(TransactionMark { end, coordinator_epoch: LeaderEpoch(epoch) });
        for (id, epoch, base_sequence, last_delta, base, part) in [
            (7, 0, 0, 9, 0, Part::None),
            (7, 0, 10, 0, 10, Part::None),
            (3, 2, i32::MAX - 1, 3, 11, Part::Member),
            (7, 0, 11, 4, 15, Part::None),
            (9, 1, -1, 0, 20, mark(4)),
            (3, 2, -1, 0, 21, mark(5)),
            (8, 1, 0, 0, 22, Part::Member),
            (8, 2, -1, 0, 23, mark(6)),
            (8, 2, 0, 1, 24, Part::Member),
        ] {
            let producer = Producer { id: ProducerId(id), epoch: ProducerEpoch(epoch), base_sequence };
            let timestamp = Timestamp(base);
            let batch = SequencedBatch { base_sequence, last_delta, base: Offset::new(base), timestamp };
            producers.note(&Sent { producer, batch, part }, 100);
        }
        producers
    }

    #[test]
    fn what_is_written_is_read_back() {
        let next = Offset::new(26);
        let file = write(&some());
        assert_eq!(read(&file, next), Some(some()));
        assert_eq!(some().first_open(), Some(Offset::new(24)));
        assert_eq!(read(&write(&Producers::default()), next), Some(Producers::default()));
    }

    #[test]
    fn a_file_with_any_bit_flipped_or_cut_anywhere_is_refused() {
        let next = Offset::new(26);
        let file = write(&some());
        for position in 0..file.len() {
            assert_eq!(read(&file[..position], next), None, "cut at {position}");
            let mut flipped = file.to_vec();
            flipped[position] ^= 4;
            assert_eq!(read(&flipped, next), None, "flipped at {position}");
        }
        assert_eq!(read(&file, Offset::new(25)), None, "of a longer log");
    }
}
