//! The small files beside the segments.

use klamm_model::{Offset, ProducerId, Timestamp, crc32c};

use super::Damage;

const SNAPSHOT_VERSION: i16 = 1;
/// Version, checksum, count.
const SNAPSHOT_HEADER_SIZE: usize = 2 + 4 + 4;
const SNAPSHOT_ENTRY_SIZE: usize = 8 + 2 + 4 + 8 + 4 + 8 + 4 + 8;

/// What a snapshot says of a producer's batch. Kafka writes the last batch of each, Klamm the ones before it, too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SnapshotEntry {
    pub(super) producer: ProducerId,
    pub(super) epoch: i16,
    pub(super) last_sequence: i32,
    pub(super) last_offset: i64,
    /// Records of the batch but one.
    pub(super) offset_delta: i32,
    pub(super) timestamp: Timestamp,
    /// Where the open transaction begins, if there is one.
    pub(super) transaction_start: Option<Offset>,
}

pub(super) fn snapshot(bytes: &[u8]) -> Result<Vec<SnapshotEntry>, Damage> {
    let truncated = || Damage::whole(&format!("{} bytes are no snapshot", bytes.len()));
    let (header, entries) = bytes.split_first_chunk::<SNAPSHOT_HEADER_SIZE>().ok_or_else(truncated)?;
    let [v0, v1, c0, c1, c2, c3, n0, n1, n2, n3] = *header;
    let version = i16::from_be_bytes([v0, v1]);
    if version != SNAPSHOT_VERSION {
        return Err(Damage::at(0, &format!("version {version}, known is {SNAPSHOT_VERSION}")));
    }
    let (stored, computed) = (u32::from_be_bytes([c0, c1, c2, c3]), crc32c(&bytes[6..]));
    if stored != computed {
        return Err(Damage::at(2, &format!("checksum {computed:08x}, the file says {stored:08x}")));
    }
    let count = i32::from_be_bytes([n0, n1, n2, n3]);
    if usize::try_from(count).ok().and_then(|count| count.checked_mul(SNAPSHOT_ENTRY_SIZE))
        != Some(entries.len())
    {
        return Err(Damage::at(6, &format!("{count} entries in {} bytes", entries.len())));
    }
    Ok(entries.chunks_exact(SNAPSHOT_ENTRY_SIZE).map(snapshot_entry).collect())
}

fn snapshot_entry(bytes: &[u8]) -> SnapshotEntry {
    fn field<const SIZE: usize>(bytes: &[u8], at: usize) -> [u8; SIZE] {
        let mut field = [0; SIZE];
        field.copy_from_slice(&bytes[at..at + SIZE]);
        field
    }
    SnapshotEntry {
        producer: ProducerId(i64::from_be_bytes(field(bytes, 0))),
        epoch: i16::from_be_bytes(field(bytes, 8)),
        last_sequence: i32::from_be_bytes(field(bytes, 10)),
        last_offset: i64::from_be_bytes(field(bytes, 14)),
        offset_delta: i32::from_be_bytes(field(bytes, 22)),
        timestamp: Timestamp(i64::from_be_bytes(field(bytes, 26))),
        transaction_start: Offset::from_wire(i64::from_be_bytes(field(bytes, 38))),
    }
}

/// The lines of a checkpoint: after a version and a count, `width` words each.
pub(super) fn checkpoint(bytes: &[u8], width: usize) -> Result<Vec<Vec<String>>, Damage> {
    let text = std::str::from_utf8(bytes).map_err(|_| Damage::whole("no text"))?;
    let mut lines = text.lines();
    match lines.next() {
        Some("0") => {}
        Some(version) => return Err(Damage::whole(&format!("line 1: version {version:?}, known is 0"))),
        None => return Err(Damage::whole("it is empty")),
    }
    let count: usize = match lines.next().map(str::parse) {
        Some(Ok(count)) => count,
        _ => return Err(Damage::whole("line 2: no count of entries")),
    };
    let mut entries = Vec::new();
    for (number, line) in (3..).zip(lines) {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        // The first word of an entry of three is a topic's name.
        let numbers = words.iter().skip(width.saturating_sub(2));
        if words.len() != width || numbers.clone().any(|word| word.parse::<u64>().is_err()) {
            return Err(Damage::whole(&format!("line {number}: {line:?} is no entry")));
        }
        entries.push(words);
    }
    if entries.len() != count {
        return Err(Damage::whole(&format!("{} entries, line 2 says {count}", entries.len())));
    }
    Ok(entries)
}

/// Which leader's records begin where; both rise. Klamm's file has its checksum in the last line, Kafka's has none.
pub(super) fn leader_epochs(bytes: &[u8]) -> Result<Vec<(u64, u64)>, Damage> {
    let last_line = bytes.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    let has_checksum = last_line.len() == CHECKSUM_SIZE && !last_line.contains(&b' ');
    let lines = if has_checksum { checked(bytes, "list of epochs")?.as_bytes() } else { bytes };
    let mut entries: Vec<(u64, u64)> = Vec::new();
    for words in checkpoint(lines, 2)? {
        let number =
            |word: &String| word.parse().map_err(|_| Damage::whole(&format!("{word:?} is no number")));
        let entry = (number(&words[0])?, number(&words[1])?);
        if entries.last().is_some_and(|last| entry.0 <= last.0 || entry.1 <= last.1) {
            return Err(Damage::whole(&format!("epoch {} at offset {} does not rise", entry.0, entry.1)));
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// What Klamm knows of a log for certain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct DurablePoint {
    /// Everything below is on disk.
    pub(super) durable: Offset,
    /// Everything below is committed.
    pub(super) committed: Offset,
    /// Everything below is deleted; version 0 does not say.
    pub(super) log_start: Option<Offset>,
}

/// A version, offsets, and a checksum of all that, a line each.
pub(super) fn durable_point(bytes: &[u8]) -> Result<DurablePoint, Damage> {
    let checked = checked(bytes, "durable point")?;
    let offset = |text: &str| text.parse().ok().and_then(Offset::from_wire);
    let lines: Vec<&str> = checked.split('\n').collect();
    let point = match lines.as_slice() {
        ["0", durable, committed] => (offset(durable), offset(committed), None),
        // What may follow are notes that only a start needs.
        ["1" | "2" | "3", durable, committed, log_start, ..] => {
            (offset(durable), offset(committed), Some(offset(log_start)))
        }
        [version, ..] => return Err(Damage::whole(&format!("version {version:?}, known are 0 to 3"))),
        [] => unreachable!("a split text has a piece"),
    };
    match point {
        (Some(durable), Some(committed), None) => Ok(DurablePoint { durable, committed, log_start: None }),
        (Some(durable), Some(committed), Some(Some(log_start))) => {
            Ok(DurablePoint { durable, committed, log_start: Some(log_start) })
        }
        _ => Err(Damage::whole("a line is no offset")),
    }
}

/// Of each range its segment, the offsets from and to which, and the positions.
pub(super) fn damaged_ranges(bytes: &[u8]) -> Result<Vec<[u64; 5]>, Damage> {
    let mut lines = checked(bytes, "list of damaged ranges")?.split('\n');
    match lines.next() {
        Some("0") => {}
        version => {
            let version = version.unwrap_or_default();
            return Err(Damage::whole(&format!("version {version:?}, known is 0")));
        }
    }
    let mut end = 0;
    let range = |line: &str| {
        let numbers = line.split(' ').map(|word| word.parse().ok()).collect::<Option<Vec<u64>>>();
        let range = numbers.and_then(|numbers| <[u64; 5]>::try_from(numbers).ok());
        let rises =
            |[_, from, to, position, after]: &[u64; 5]| end <= *from && from < to && position <= after;
        let range = range
            .filter(rises)
            .ok_or_else(|| Damage::whole(&format!("{line:?} is no range behind {end}")))?;
        end = range[2];
        Ok(range)
    };
    lines.map(range).collect()
}

/// Hexadecimal digits of a checksum.
const CHECKSUM_SIZE: usize = 8;

/// The lines before the checksum, if that is right.
fn checked<'a>(bytes: &'a [u8], what: &str) -> Result<&'a str, Damage> {
    let text = std::str::from_utf8(bytes).map_err(|_| Damage::whole("no text"))?;
    let whole = text.strip_suffix('\n').and_then(|text| text.rsplit_once('\n'));
    let Some((checked, checksum)) = whole else { return Err(Damage::whole(&format!("no {what}"))) };
    let computed = format!("{:08x}", crc32c(format!("{checked}\n").as_bytes()));
    if checksum != computed {
        return Err(Damage::whole(&format!("checksum {computed}, the file says {checksum}")));
    }
    Ok(checked)
}

/// The id of the topic whose directory it is.
pub(super) fn partition_metadata(bytes: &[u8]) -> Result<String, Damage> {
    let text = std::str::from_utf8(bytes).map_err(|_| Damage::whole("no text"))?;
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'));
        line.map(str::trim)
    };
    match (value("version"), value("topic_id")) {
        (Some("0"), Some(id)) if id.len() == 22 => Ok(id.to_owned()),
        (Some("0"), id) => Err(Damage::whole(&format!("{:?} is no topic id", id.unwrap_or_default()))),
        (version, _) => Err(Damage::whole(&format!("version {:?}, known is 0", version.unwrap_or_default()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot_of(entry: &[u8]) -> Vec<u8> {
        let checked = [&1_i32.to_be_bytes(), entry].concat();
        [&1_i16.to_be_bytes()[..], &crc32c(&checked).to_be_bytes(), &checked].concat()
    }

    #[test]
    fn a_snapshot_with_any_bit_flipped_is_damaged() {
        let mut entry = vec![0; SNAPSHOT_ENTRY_SIZE];
        entry[7] = 9;
        let bytes = snapshot_of(&entry);
        let read = snapshot(&bytes).expect("good");
        assert_eq!((read.len(), read[0].producer), (1, ProducerId(9)));
        assert_eq!(read[0].transaction_start, Some(Offset::ZERO));
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert!(snapshot(&flipped).is_err(), "byte {at}");
            assert!(snapshot(&bytes[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn checkpoints() {
        let text = "0\n2\n1 0\n3 10\n";
        let checksum = crc32c(text.as_bytes());
        assert_eq!(leader_epochs(text.as_bytes()), Ok(vec![(1, 0), (3, 10)]));
        assert_eq!(leader_epochs(format!("{text}{checksum:08x}\n").as_bytes()), Ok(vec![(1, 0), (3, 10)]));
        assert!(leader_epochs(format!("{text}{:08x}\n", checksum ^ 1).as_bytes()).is_err());
        for (odd, problem) in [
            ("", "it is empty"),
            ("1\n0\n", "line 1: version \"1\", known is 0"),
            ("0\nx\n", "line 2: no count of entries"),
            ("0\n2\n1 0\n", "1 entries, line 2 says 2"),
            ("0\n1\n1 0 7\n", "line 3: \"1 0 7\" is no entry"),
            ("0\n1\n1 -7\n", "line 3: \"1 -7\" is no entry"),
            ("0\n2\n3 0\n2 5\n", "epoch 2 at offset 5 does not rise"),
        ] {
            assert_eq!(leader_epochs(odd.as_bytes()), Err(Damage::whole(problem)));
        }
        assert_eq!(
            checkpoint(b"0\n1\norders 3 17\n", 3).map(|entries| entries[0].join("/")),
            Ok("orders/3/17".into())
        );
    }

    #[test]
    fn a_durable_point_with_another_number_is_damaged() {
        let point = |text: &str| format!("{text}{:08x}\n", crc32c(text.as_bytes()));
        let offsets = |text: &str| {
            let found = durable_point(point(text).as_bytes()).expect("good");
            (found.durable.raw(), found.committed.raw(), found.log_start.map(Offset::raw))
        };
        assert_eq!(offsets("0\n7\n5\n"), (7, 5, None));
        assert_eq!(offsets("1\n7\n5\n2\n"), (7, 5, Some(2)));
        assert_eq!(offsets("1\n7\n5\n2\n-\n"), (7, 5, Some(2)));
        assert_eq!(offsets("2\n7\n5\n2\n-\n0\n"), (7, 5, Some(2)));
        let good = point("1\n7\n5\n2\n");
        for at in 0..good.len() {
            let mut flipped = good.clone().into_bytes();
            flipped[at] ^= 1;
            assert!(durable_point(&flipped).is_err(), "byte {at}");
            assert!(durable_point(&good.as_bytes()[..at]).is_err(), "cut at {at}");
        }
        let newer = durable_point(point("4\n7\n5\n2\n1\n").as_bytes());
        assert_eq!(newer, Err(Damage::whole("version \"4\", known are 0 to 3")));
        assert_eq!(durable_point(point("0\n7\n-5\n").as_bytes()), Err(Damage::whole("a line is no offset")));
    }

    #[test]
    fn damaged_ranges_follow_one_another() {
        let file = |text: &str| format!("{text}{:08x}\n", crc32c(text.as_bytes()));
        let ranges = |text: &str| damaged_ranges(file(text).as_bytes());
        assert_eq!(ranges("0\n"), Ok(vec![]));
        assert_eq!(ranges("0\n0 4 6 100 150\n8 8 9 0 0\n"), Ok(vec![[0, 4, 6, 100, 150], [8, 8, 9, 0, 0]]));
        for odd in ["1\n", "0\n0 4 4 0 0\n", "0\n0 4 6 9 8\n", "0\n0 4 6 0\n", "0\n0 4 6 0 9\n0 5 7 9 12\n"] {
            assert!(ranges(odd).is_err(), "{odd:?}");
        }
    }

    #[test]
    fn a_directory_says_whose_it_is() {
        let text = b"version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ\n";
        assert_eq!(partition_metadata(text).as_deref(), Ok("AAAAAAAAAAAAAAAAAAAAAQ"));
        assert!(partition_metadata(b"version: 1\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ\n").is_err());
        assert!(partition_metadata(b"version: 0\n").is_err());
    }
}
