//! A segment's indexes, in Kafka's formats, and whether they agree with the segment.
//!
//! ```text
//!   .index      last offset of a batch, from the base  u32 | where it begins            u32     rises
//!   .timeindex  timestamp                              i64 | offset, from the base      u32     rises
//!   .txnindex   version 0 i16 | producer i64 | first offset i64 | last offset i64 | last stable offset i64
//! ```
//! A file that was made in its full size ends with zeros, which are no entries.

use klamm_model::{Offset, ProducerId, Timestamp, crc32c};

use super::Damage;

const INDEX_ENTRY_SIZE: usize = 8;
const TIME_ENTRY_SIZE: usize = 12;
const ABORTED_SIZE: usize = 34;

/// An entry of an offset index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct IndexEntry {
    pub(super) offset: Offset,
    pub(super) position: u64,
}

/// An entry of a time index: no record up to `offset` is newer than `timestamp`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TimeEntry {
    pub(super) timestamp: Timestamp,
    pub(super) offset: Offset,
}

/// A transaction that was aborted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Aborted {
    pub(super) producer: ProducerId,
    pub(super) first: Offset,
    pub(super) last: Offset,
    pub(super) last_stable: Offset,
}

/// What an index is compared with: a batch of the segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Placed {
    pub(super) position: u64,
    pub(super) base: Offset,
    pub(super) last: Offset,
    pub(super) newest: Timestamp,
}

pub(super) fn index_entries(bytes: &[u8], base: Offset) -> (Vec<IndexEntry>, Vec<Damage>) {
    let mut damage = Vec::new();
    let mut entries: Vec<IndexEntry> = Vec::new();
    for (at, entry) in whole_entries(bytes, INDEX_ENTRY_SIZE, &mut damage) {
        let entry = IndexEntry {
            offset: base.advance(u32::from_be_bytes(field(entry, 0))),
            position: u32::from_be_bytes(field(entry, 4)).into(),
        };
        if entries.last().is_some_and(|last| entry.offset <= last.offset || entry.position <= last.position) {
            damage.push(Damage::at(at, &format!("the entry for offset {} does not rise", entry.offset)));
        }
        entries.push(entry);
    }
    (entries, damage)
}

pub(super) fn time_entries(bytes: &[u8], base: Offset) -> (Vec<TimeEntry>, Vec<Damage>) {
    let mut damage = Vec::new();
    let mut entries: Vec<TimeEntry> = Vec::new();
    for (at, entry) in whole_entries(bytes, TIME_ENTRY_SIZE, &mut damage) {
        let entry = TimeEntry {
            timestamp: Timestamp(i64::from_be_bytes(field(entry, 0))),
            offset: base.advance(u32::from_be_bytes(field(entry, 8))),
        };
        if entries.last().is_some_and(|last| entry.timestamp < last.timestamp || entry.offset < last.offset) {
            damage.push(Damage::at(at, &format!("the entry for time {} does not rise", entry.timestamp)));
        }
        entries.push(entry);
    }
    (entries, damage)
}

/// Klamm writes a checksum behind the entries, of the segment's base and of them.
pub(super) fn aborted(bytes: &[u8], base: Offset) -> (Vec<Aborted>, Vec<Damage>) {
    let mut damage = Vec::new();
    let (entries, rest) = bytes.split_at(bytes.len() / ABORTED_SIZE * ABORTED_SIZE);
    let checksum = crc32c(&[&base.raw().to_be_bytes()[..], entries].concat()).to_be_bytes();
    let bytes = match rest.len() {
        4 if rest == checksum => entries,
        4 => {
            damage.push(Damage::at(entries.len() as u64, "the checksum is wrong"));
            entries
        }
        _ => bytes,
    };
    let mut found = Vec::new();
    for (at, entry) in bytes.chunks(ABORTED_SIZE).enumerate() {
        let at = (at * ABORTED_SIZE) as u64;
        let Some(entry) = entry.first_chunk::<ABORTED_SIZE>() else {
            damage.push(Damage::at(at, &format!("{} bytes of {ABORTED_SIZE}", entry.len())));
            break;
        };
        let number = |at| i64::from_be_bytes(field(entry, at));
        let offsets = [number(10), number(18), number(26)].map(Offset::from_wire);
        let (producer, [Some(first), Some(last), Some(last_stable)]) = (ProducerId(number(2)), offsets)
        else {
            damage.push(Damage::at(at, "a negative offset"));
            continue;
        };
        if entry[..2] != [0, 0] || last < first {
            damage.push(Damage::at(at, &format!("offsets {first} to {last} of version {}", entry[1])));
        }
        found.push(Aborted { producer, first, last, last_stable });
    }
    (found, damage)
}

/// An entry leads to the beginning of a batch, and names the last offset of that batch or, where several were appended at once by an older
/// broker, of a later one. Whoever looks for an offset from there on finds it.
pub(super) fn compare_index(entries: &[IndexEntry], batches: &[Placed]) -> Vec<Damage> {
    let mut damage = Vec::new();
    for (number, entry) in entries.iter().enumerate() {
        let at = (number * INDEX_ENTRY_SIZE) as u64;
        let IndexEntry { offset, position } = entry;
        let Ok(batch) = batches.binary_search_by_key(position, |batch| batch.position) else {
            let problem = format!("offset {offset} is at {position}, where no batch of the segment begins");
            damage.push(Damage::at(at, &problem));
            continue;
        };
        let named = batches.partition_point(|batch| batch.last < *offset);
        if named < batch || batches.get(named).is_none_or(|batch| batch.last != *offset) {
            let found = batches[batch].last;
            let problem = format!(
                "offset {offset} is said to be at {position}, where the segment has a batch up to {found}"
            );
            damage.push(Damage::at(at, &problem));
        }
    }
    damage
}

/// An entry names the newest timestamp up to and with the batch of its offset.
pub(super) fn compare_times(entries: &[TimeEntry], batches: &[Placed]) -> Vec<Damage> {
    let mut damage = Vec::new();
    let mut newest = Timestamp(-1);
    let mut next = 0;
    for (number, entry) in entries.iter().enumerate() {
        let at = (number * TIME_ENTRY_SIZE) as u64;
        while let Some(batch) = batches.get(next).filter(|batch| batch.base <= entry.offset) {
            newest = newest.max(batch.newest);
            next += 1;
        }
        let TimeEntry { timestamp, offset } = entry;
        if newest != *timestamp {
            let problem = format!(
                "up to offset {offset} the newest is said to be {timestamp}, the segment says {newest}"
            );
            damage.push(Damage::at(at, &problem));
        }
    }
    damage
}

/// The entries before the zeros at the end, with their positions.
fn whole_entries<'a>(
    bytes: &'a [u8],
    entry_size: usize,
    damage: &mut Vec<Damage>,
) -> impl Iterator<Item = (u64, &'a [u8])> + use<'a> {
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let used = used.next_multiple_of(entry_size);
    if bytes.len() < used {
        let at = bytes.len() / entry_size * entry_size;
        damage
            .push(Damage::at(at as u64, &format!("{} bytes of an entry of {entry_size}", bytes.len() - at)));
    }
    let whole = bytes[..used.min(bytes.len())].chunks_exact(entry_size);
    whole.enumerate().map(move |(number, entry)| ((number * entry_size) as u64, entry))
}

fn field<const SIZE: usize>(bytes: &[u8], at: usize) -> [u8; SIZE] {
    let mut field = [0; SIZE];
    field.copy_from_slice(&bytes[at..at + SIZE]);
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Batches of ten records and 100 bytes each from offset 50 on, each newer by 5 than the one before but for the fourth, which is old.
    fn batches() -> Vec<Placed> {
        let batch = |number: i64| Placed {
            position: 100 * number as u64,
            base: Offset::new(50 + 10 * number),
            last: Offset::new(59 + 10 * number),
            newest: Timestamp(if number == 3 { 1 } else { 1_000 + 5 * number }),
        };
        (0..6).map(batch).collect()
    }

    fn index(entries: &[(u32, u32)]) -> Vec<String> {
        let bytes: Vec<u8> = entries
            .iter()
            .flat_map(|(offset, position)| [offset.to_be_bytes(), position.to_be_bytes()])
            .flatten()
            .collect();
        let (entries, mut damage) = index_entries(&bytes, Offset::new(50));
        damage.extend(compare_index(&entries, &batches()));
        damage.iter().map(Damage::to_string).collect()
    }

    #[test]
    fn an_index_leads_to_batches() {
        assert_eq!(index(&[(19, 100), (49, 400)]), [""; 0]);
        assert_eq!(index(&[(29, 100)]), [""; 0], "two batches appended at once");
        assert_eq!(index(&[(19, 100), (0, 0), (0, 0)]), [""; 0], "preallocated");
        let elsewhere = "position 8: offset 99 is at 401, where no batch of the segment begins";
        assert_eq!(index(&[(19, 100), (49, 401)]), [elsewhere]);
        let late = "position 0: offset 69 is said to be at 200, where the segment has a batch up to 79";
        assert_eq!(index(&[(19, 200)]), [late]);
        let inside = "position 0: offset 68 is said to be at 100, where the segment has a batch up to 69";
        assert_eq!(index(&[(18, 100)]), [inside]);
        let falls = "position 8: the entry for offset 69 does not rise";
        assert_eq!(index(&[(19, 100), (19, 100)]), [falls]);
    }

    #[test]
    fn an_entry_that_is_cut_off_is_damage() {
        let (entries, damage) = index_entries(&[0, 0, 0, 19, 0, 0, 0, 100, 0, 0, 1], Offset::ZERO);
        assert_eq!(entries.len(), 1);
        assert_eq!(damage, [Damage::at(8, "3 bytes of an entry of 8")]);
    }

    fn times(entries: &[(i64, u32)]) -> Vec<String> {
        let bytes: Vec<u8> = entries
            .iter()
            .flat_map(|(time, offset)| [time.to_be_bytes().to_vec(), offset.to_be_bytes().to_vec()].concat())
            .collect();
        let (entries, mut damage) = time_entries(&bytes, Offset::new(50));
        damage.extend(compare_times(&entries, &batches()));
        damage.iter().map(Damage::to_string).collect()
    }

    #[test]
    fn a_time_index_knows_the_newest_so_far() {
        assert_eq!(times(&[(1_005, 19), (1_010, 29), (1_025, 59)]), [""; 0]);
        assert_eq!(
            times(&[(1_005, 15), (1_010, 39)]),
            [""; 0],
            "any offset of a batch, and an old one after it"
        );
        let wrong = "position 12: up to offset 79 the newest is said to be 1005, the segment says 1010";
        assert_eq!(times(&[(1_005, 19), (1_005, 29)]), [wrong]);
        let falls = "position 12: the entry for time 1005 does not rise";
        assert_eq!(times(&[(1_010, 29), (1_005, 29)])[0], falls);
    }

    #[test]
    fn aborted_transactions() {
        let mut bytes = vec![0, 0];
        for number in [7_i64, 10, 20, 15] {
            bytes.extend(number.to_be_bytes());
        }
        let (found, damage) = aborted(&bytes, Offset::ZERO);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].producer, found[0].last), (ProducerId(7), Offset::new(20)));
        assert_eq!(damage, []);
        let checksum = crc32c(&[&0_i64.to_be_bytes()[..], &bytes].concat()).to_be_bytes();
        let sealed = [&bytes[..], &checksum].concat();
        assert_eq!(aborted(&sealed, Offset::ZERO).1, []);
        assert_eq!(aborted(&sealed, Offset::new(1)).1, [Damage::at(34, "the checksum is wrong")]);
        bytes.truncate(30);
        assert_eq!(aborted(&bytes, Offset::ZERO).1, [Damage::at(0, "30 bytes of 34")]);
    }
}
