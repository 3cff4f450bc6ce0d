//! Since when a group does nothing, though there is something to do. The protocol does not tell when something was committed: the records of
//! `__consumer_offsets` do, Apache Kafka's and ours alike.

use std::collections::BTreeMap;
use std::time::Duration;

use klamm_client::{
    Admin, Assignment, Client, Consumer, ConsumerConfig, Isolation, OffsetQuestion, OutOfRange,
    PartitionName, Start,
};
use klamm_model::{Offset, Timestamp};
use klamm_wire::{Limits, Message, OffsetCommitKey, OffsetCommitValue, Reader};

/// So long a group may be at a record before anybody is to wonder.
const STANDSTILL_MS: i64 = 30_000;
const OFFSETS_TOPIC: &str = "__consumer_offsets";
/// By then the topic has leaders or has none.
const LEADERS_TIMEOUT: Duration = Duration::from_secs(1);
/// Keys of committed offsets begin with one of these, the older one without a difference that matters.
const OFFSET_KEYS: [[u8; 2]; 2] = [[0, 0], [0, 1]];
/// Behind that number, in every version.
const KEY_VERSION: i16 = 0;

/// Whether a group stands still in a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standstill {
    /// It has done everything, or has moved lately.
    No,
    /// Since then something is to be done, and nothing was.
    Since(Timestamp),
    /// Nobody tells when it moved.
    Unknown,
}

impl Standstill {
    pub(super) fn text(self) -> String {
        match self {
            Self::No => crate::output::NOTHING.to_owned(),
            Self::Since(moment) => crate::time::date_time_text(moment.0),
            Self::Unknown => "unknown".to_owned(),
        }
    }

    /// `yes`, `no` or `unknown`.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Since(_) => "yes",
            Self::Unknown => "unknown",
        }
    }

    pub(super) fn since_ms(self) -> Option<i64> {
        match self {
            Self::Since(moment) => Some(moment.0),
            Self::No | Self::Unknown => None,
        }
    }
}

/// What a group has committed, as its log tells.
#[derive(Default)]
pub(super) struct Commits {
    of: BTreeMap<PartitionName, Run>,
    /// Whether the log was read up to where it ended when that began.
    is_whole: bool,
}

/// The commits of one offset that came last, one behind the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Run {
    offset: Offset,
    /// When the first of them was.
    since: Timestamp,
}

impl Commits {
    /// Whether the group stands still where it has committed `committed`. `first_open` is when the first record was written that is not done, if that is
    /// known: before that there was nothing to do.
    pub(super) fn standstill(
        &self,
        name: &PartitionName,
        committed: Offset,
        first_open: Option<Timestamp>,
        now_ms: i64,
    ) -> Standstill {
        let Some(run) = self.of.get(name) else { return Standstill::Unknown };
        if run.offset != committed {
            // What is known already may lie behind what could be read, while a transaction is open.
            return if self.is_whole { Standstill::No } else { Standstill::Unknown };
        }
        // Clocks differ, and producers may say any time.
        let first_open = first_open.filter(|moment| moment.0 <= now_ms);
        let since = first_open.map_or(run.since, |moment| moment.max(run.since));
        if since.0.saturating_add(STANDSTILL_MS) <= now_ms {
            Standstill::Since(since)
        } else {
            Standstill::No
        }
    }

    /// Takes a record of the log into account.
    fn see(&mut self, group: &str, key: &[u8], value: Option<&[u8]>) {
        let Some(name) = partition_in(group, key) else { return };
        // It was forgotten, or is of a version that is not known here.
        let Some((offset, since)) = value.and_then(committed_in) else {
            self.of.remove(&name);
            return;
        };
        let run = self.of.entry(name).or_insert(Run { offset, since });
        if run.offset != offset {
            *run = Run { offset, since };
        }
    }
}

/// Reads what the group has committed, from the one partition of the log that has it, up to where that ends now. `None` where it can't be read in time.
pub(super) async fn commits(
    client: &Client,
    admin: &Admin,
    config: ConsumerConfig,
    group: &str,
    timeout: Duration,
) -> Option<Commits> {
    tokio::time::timeout(timeout, read(client, admin, config, group)).await.ok().flatten()
}

async fn read(client: &Client, admin: &Admin, config: ConsumerConfig, group: &str) -> Option<Commits> {
    let topic = client.topic(OFFSETS_TOPIC, LEADERS_TIMEOUT).await.ok()?;
    let partition = partition_of(group, i32::try_from(topic.partitions.len()).ok()?);
    let name = PartitionName::new(OFFSETS_TOPIC, partition);
    let ends = admin.list_offsets([name.clone()], OffsetQuestion::Latest).await.ok()?;
    let end = ends.into_values().next()?.ok()?.offset?;
    // Offsets of transactions that were aborted do not count. What was compacted away meanwhile is not looked for.
    let (isolation, out_of_range) = (Isolation::ReadCommitted, OutOfRange::Earliest);
    let consumer = Consumer::new(client, ConsumerConfig { isolation, out_of_range, ..config });
    consumer.assign([Assignment { topic: name.topic, partition, start: Start::Earliest }]);
    let mut commits = Commits::default();
    let mut scratch = Vec::new();
    while let Some(batch) = consumer.next_batch_or_end().await.ok()? {
        for record in batch.records(&mut scratch).ok()? {
            let record = record.ok()?;
            commits.see(group, record.key.unwrap_or_default(), record.value);
        }
        if end <= batch.view().ok()?.next_offset() {
            break;
        }
    }
    let position = consumer.positions().first().and_then(|it| it.position);
    commits.is_whole = position.is_some_and(|position| end <= position);
    Some(commits)
}

/// Which of so many partitions has a group: `Utils.abs(group.hashCode()) % count` in Java.
fn partition_of(group: &str, count: i32) -> i32 {
    let hash =
        group.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    // The least number has no counterpart.
    hash.checked_abs().unwrap_or(0) % count
}

/// The partition that the key is about, if it is one of this group's offsets.
fn partition_in(group: &str, key: &[u8]) -> Option<PartitionName> {
    let key = OFFSET_KEYS.iter().find_map(|kind| key.strip_prefix(kind))?;
    // Most keys are of other groups: those are not unpacked.
    let size = u16::try_from(group.len()).ok()?.to_be_bytes();
    key.strip_prefix(&size)?.strip_prefix(group.as_bytes())?;
    let key: OffsetCommitKey = whole(key, KEY_VERSION)?;
    Some(PartitionName::new(key.topic, key.partition))
}

fn committed_in(value: &[u8]) -> Option<(Offset, Timestamp)> {
    let (version, value) = value.split_first_chunk()?;
    let value: OffsetCommitValue = whole(value, i16::from_be_bytes(*version))?;
    Some((Offset::from_wire(value.offset)?, Timestamp(value.commit_timestamp)))
}

fn whole<M: Message>(bytes: &[u8], version: i16) -> Option<M> {
    let mut reader = Reader::with_limits(bytes.to_vec().into(), Limits::for_response(bytes.len()));
    let message = M::decode(&mut reader, version).ok()?;
    reader.finish().ok().map(|()| message)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with `Utils.abs(name.hashCode()) % 50` of Java; that of `billing` is negative.
    #[test]
    fn a_group_has_the_partition_that_kafka_gives_it() {
        let cases = [
            ("", 0),
            ("a", 47),
            ("group", 47),
            ("billing", 9),
            ("connect-cluster", 13),
            ("gruppe-ä", 48),
            ("polygenelubricants", 0),
        ];
        for (group, partition) in cases {
            assert_eq!(partition_of(group, 50), partition, "{group:?}");
        }
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.chars().map(|digit| digit.to_digit(16).expect("a digit") as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    /// Group, key, value; topic and partition; offset and time of the commit. The lines are those that the coordinator is held to.
    type Golden = (&'static str, &'static str, &'static str, (&'static str, i32), (i64, i64));
    const GOLDEN: [Golden; 5] = [
        (
            "c.-.1",
            "00010005632e2d2e31000662e697a5636240b5f04b",
            "0000629bc2229cefe94d0009615f31e697a561625f20ff67585e33a8f6",
            ("b日cb", 1085665355),
            (7105486291024734541, 2377732757510138102),
        ),
        (
            "Yb100",
            "0001000559623130300002395fb5f30868",
            "00010190e5722719b81200075a63636161615a65ad3780e9f9789858f6f13d28ca7a36",
            ("9_", -1242363800),
            (112842269129291794, 7326573195622447256),
        ),
        (
            "9Y.Z9",
            "0001000539592e5a390007585a5f3959615f1325b024",
            "0002571ed03fbe3f95b700015f8dc2ee5e07cfb72c",
            ("XZ_9Ya_", 321237028),
            (6277683902794405303, -8231755081254455508),
        ),
        (
            "ü0.a9",
            "00010006c3bc302e613900085f62e697a52e612e1105b71d",
            "000307a221aa695c6fcc4fa8d8600002c3bcdd67dfa727198c9e",
            ("_b日.a.", 285587229),
            (550039120288444364, -2492777959717761890),
        ),
        (
            "cbc-Z",
            "000100056362632d5a0006c3bc61625939b3022880",
            "00044c98b20fce10594444908d8803c3bcecb157cd6ba09618010010c38ab7d5b7902b1200dd8eeb888eedf7",
            ("üabY9", -1291704192),
            (5519357124293974340, -1391234270095174120),
        ),
    ];

    /// Written by Kafka's coordinator, in all versions.
    #[test]
    fn what_kafka_writes_is_understood() {
        for (group, key, value, name, run) in GOLDEN {
            let (key, value) = (bytes(key), bytes(value));
            let mut commits = Commits::default();
            commits.see("another", &key, Some(&value));
            assert!(commits.of.is_empty(), "{group}");
            commits.see(group, &key, Some(&value));
            let (topic, partition) = name;
            let (offset, since) = (Offset::new(run.0), Timestamp(run.1));
            let found = commits.of.get(&PartitionName::new(topic, partition));
            assert_eq!(found, Some(&Run { offset, since }), "{group}");
            // Neither what is cut off nor what is unknown is taken for anything.
            for cut in 0..value.len() {
                commits.see(group, &key, Some(&value[..cut]));
                assert!(commits.of.is_empty(), "{group}: {cut} bytes");
            }
            for cut in 0..key.len() {
                commits.see(group, &key[..cut], Some(&value));
                assert!(commits.of.is_empty(), "{group}: {cut} bytes");
            }
        }
    }

    #[test]
    fn a_run_lasts_as_long_as_the_offset_is_the_same() {
        let key = b"\0\x01\0\x01g\0\x01t\0\0\0\x02";
        let value = |offset: i64, at: i64| {
            [&[0, 3][..], &offset.to_be_bytes(), &[0xff; 4], &[0, 0], &at.to_be_bytes()].concat()
        };
        let name = PartitionName::new("t", 2);
        let mut commits = Commits { is_whole: true, ..Commits::default() };
        let mut standstill = |commit: Option<(i64, i64)>, committed, first_open: Option<i64>| {
            let value = commit.map(|(offset, at)| value(offset, at));
            commits.see("g", key, value.as_deref());
            commits.standstill(&name, Offset::new(committed), first_open.map(Timestamp), 100_000)
        };
        let since = |ms| Standstill::Since(Timestamp(ms));
        assert_eq!(standstill(Some((5, 10_000)), 5, None), since(10_000));
        assert_eq!(standstill(Some((5, 20_000)), 5, None), since(10_000), "committed again");
        assert_eq!(
            standstill(Some((5, 20_000)), 5, Some(40_000)),
            since(40_000),
            "before, nothing was to do"
        );
        assert_eq!(standstill(Some((5, 20_000)), 5, Some(9_000)), since(10_000));
        assert_eq!(standstill(Some((5, 20_000)), 5, Some(70_001)), Standstill::No, "not for long");
        assert_eq!(standstill(Some((5, 20_000)), 5, Some(100_001)), since(10_000), "whoever wrote that");
        assert_eq!(standstill(Some((6, 70_000)), 6, None), since(70_000));
        assert_eq!(standstill(Some((5, 70_001)), 5, None), Standstill::No, "moved back lately");
        assert_eq!(standstill(Some((6, 99_000)), 5, None), Standstill::No, "moved meanwhile");
        assert_eq!(standstill(None, 6, None), Standstill::Unknown, "forgotten");
        let unread = Commits::default();
        assert_eq!(unread.standstill(&name, Offset::ZERO, None, 100_000), Standstill::Unknown);
    }
}
