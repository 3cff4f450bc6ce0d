//! What Kafka's coordinators wrote (interop/java-golden) is read, and what we write of it is what they would have written.

use std::collections::BTreeMap;

use bytes::Bytes;
use expect_test::expect;
use klamm_coordinator::Entry;
use klamm_coordinator::record::{GroupRecord, RecordError, TransactionRecord};
use proptest::prelude::*;

const LINES: &str = include_str!("golden/java-4.4.0.txt");

#[test]
fn records_of_kafka_are_read_and_written_again() {
    let mut seen = BTreeMap::<&str, u32>::new();
    for line in lines() {
        let record =
            Record::decode(line.log, &line.entry).unwrap_or_else(|error| panic!("{}: {error}", line.text));
        let record = record.unwrap_or_else(|| panic!("{}: no such kind", line.text));
        let ours = record.encode();
        assert_eq!(ours.key, line.entry.key, "{}", line.text);
        assert_eq!(Record::decode(line.log, &ours), Ok(Some(record)), "{}", line.text);
        // The choice of versions is a coordinator's own; of the same version, the bytes are the same.
        if line.is_own || version(&ours) == version(&line.entry) && !line.lacks_epochs() {
            assert_eq!(ours, line.entry, "{}", line.text);
            *seen.entry("the same bytes").or_default() += 1;
        }
        *seen.entry(if line.is_own { "own" } else { "any" }).or_default() += 1;
    }
    assert_eq!(seen, BTreeMap::from([("any", 54), ("own", 16), ("the same bytes", 43)]));
}

#[test]
fn fields_are_where_they_belong() {
    let decoded = |line: Line| format!("{:?}\n", Record::decode(line.log, &line.entry).unwrap().unwrap());
    let text: String = lines().filter(|line| line.is_own).map(decoded).collect();
    expect![[r#"
        Group(Offset { group: "g", topic: "t", partition: PartitionIndex(1), value: Some(CommittedOffset { offset: Offset(10), leader_epoch: Some(LeaderEpoch(2)), metadata: "note", committed_at: Timestamp(7), expires_at: None, topic: Some(AAAAAAAAAAEAAAAAAAAAAg) }) })
        Group(Offset { group: "g", topic: "t", partition: PartitionIndex(1), value: Some(CommittedOffset { offset: Offset(10), leader_epoch: None, metadata: "", committed_at: Timestamp(7), expires_at: Some(Timestamp(8)), topic: None }) })
        Group(Classic { group: "g", value: Some(ClassicGroup { protocol_type: "", generation: 0, protocol: None, leader: None, since: Some(Timestamp(7)), members: [] }) })
        Group(Consumer { group: "g", value: Some(ConsumerGroup { epoch: 5, metadata_hash: 77 }) })
        Group(Member { group: "g", member: "m", value: Some(ConsumerMember { instance_id: Some("i"), rack: Some("r"), client_id: "c", client_host: "/h", topics: ["a", "b"], topic_regex: Some("x.*"), rebalance_timeout_ms: 9, assignor: Some("range"), upgraded: None }) })
        Group(Target { group: "g", value: Some(ConsumerTarget { epoch: 5, at: Some(Timestamp(7)) }) })
        Group(MemberTarget { group: "g", member: "m", value: Some([TopicPartitions { topic: AAAAAAAAAAEAAAAAAAAAAg, partitions: [PartitionIndex(3)] }]) })
        Group(Assignment { group: "g", member: "m", value: Some(ConsumerAssignment { epoch: 5, previous_epoch: 4, state: Revoking, assigned: [OwnedPartitions { topic: AAAAAAAAAAEAAAAAAAAAAg, partitions: [(PartitionIndex(3), 2)] }], revoking: [OwnedPartitions { topic: AAAAAAAAAAEAAAAAAAAAAg, partitions: [(PartitionIndex(4), 1)] }] }) })
        Group(Regex { group: "g", regex: "x.*", value: Some(ResolvedRegex { topics: ["xy"], metadata_version: 12, at: Timestamp(7) }) })
        Group(Offset { group: "g", topic: "t", partition: PartitionIndex(1), value: None })
        Transaction(TransactionRecord { transactional_id: "id", value: Some(Transaction { producer: ProducerId(11), previous_producer: None, next_producer: None, epoch: ProducerEpoch(3), timeout_ms: 60000, state: Empty, partitions: {}, updated_at: Timestamp(7), started_at: None, version: V2 }) })
        Transaction(TransactionRecord { transactional_id: "id", value: Some(Transaction { producer: ProducerId(11), previous_producer: Some(ProducerId(0)), next_producer: None, epoch: ProducerEpoch(3), timeout_ms: 60000, state: Ongoing, partitions: {"t": {PartitionIndex(1)}}, updated_at: Timestamp(7), started_at: Some(Timestamp(6)), version: V2 }) })
        Transaction(TransactionRecord { transactional_id: "id", value: Some(Transaction { producer: ProducerId(11), previous_producer: Some(ProducerId(1)), next_producer: None, epoch: ProducerEpoch(3), timeout_ms: 60000, state: PrepareCommit, partitions: {"t": {PartitionIndex(2)}}, updated_at: Timestamp(7), started_at: Some(Timestamp(6)), version: V2 }) })
        Transaction(TransactionRecord { transactional_id: "id", value: Some(Transaction { producer: ProducerId(11), previous_producer: Some(ProducerId(2)), next_producer: None, epoch: ProducerEpoch(3), timeout_ms: 60000, state: PrepareAbort, partitions: {"t": {PartitionIndex(3)}}, updated_at: Timestamp(7), started_at: Some(Timestamp(6)), version: V2 }) })
        Transaction(TransactionRecord { transactional_id: "id", value: Some(Transaction { producer: ProducerId(11), previous_producer: Some(ProducerId(3)), next_producer: None, epoch: ProducerEpoch(3), timeout_ms: 60000, state: CompleteCommit, partitions: {}, updated_at: Timestamp(7), started_at: Some(Timestamp(6)), version: V2 }) })
        Transaction(TransactionRecord { transactional_id: "id", value: Some(Transaction { producer: ProducerId(11), previous_producer: Some(ProducerId(4)), next_producer: None, epoch: ProducerEpoch(3), timeout_ms: 60000, state: CompleteAbort, partitions: {"t": {PartitionIndex(5)}}, updated_at: Timestamp(7), started_at: Some(Timestamp(6)), version: V2 }) })
    "#]].assert_eq(&text);
}

#[test]
fn kinds_that_are_not_known_are_left_alone_and_versions_are_refused() {
    let entry =
        |key: &'static [u8], value: &'static [u8]| Entry { key: key.into(), value: Some(value.into()) };
    let share_group = entry(b"\0\x0b\0\x01g", b"\0\0\0\0\0\x01\0");
    let newer = entry(b"\0\x02\0\x01g", b"\0\x05");
    assert_eq!(Record::decode(Log::Groups, &share_group), Ok(None));
    assert_eq!(Record::decode(Log::Transactions, &share_group), Ok(None));
    let error = Record::decode(Log::Groups, &newer).unwrap_err();
    expect!["GroupMetadataValue: at byte 2: there is no version 5"].assert_eq(&error.to_string());
}

proptest! {
    /// Whatever is read at all is written so that the same is read again.
    #[test]
    fn damage_is_refused_or_is_a_record(
        at in 0..LINES.lines().count(),
        cut in prop::option::of(any::<prop::sample::Index>()),
        wrong in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let line = lines().nth(at).unwrap();
        let mut key = line.entry.key.to_vec();
        let mut value = line.entry.value.clone().unwrap_or_default().to_vec();
        for (in_key, index, byte) in wrong {
            let part = if in_key { &mut key } else { &mut value };
            if !part.is_empty() {
                let index = index.index(part.len());
                part[index] = byte;
            }
        }
        if let Some(cut) = cut {
            value.truncate(cut.index(value.len() + 1));
        }
        let entry = Entry { key: key.into(), value: Some(value.into()) };
        if let Ok(Some(record)) = Record::decode(line.log, &entry) {
            prop_assert_eq!(Record::decode(line.log, &record.encode()), Ok(Some(record)));
        }
    }
}

#[derive(Clone, Copy)]
enum Log {
    Groups,
    Transactions,
}

#[derive(PartialEq, Debug)]
enum Record {
    Group(GroupRecord),
    Transaction(TransactionRecord),
}

impl Record {
    fn decode(log: Log, entry: &Entry) -> Result<Option<Self>, RecordError> {
        let (key, value) = (&entry.key, entry.value.as_ref());
        Ok(match log {
            Log::Groups => GroupRecord::decode(key, value)?.map(Self::Group),
            Log::Transactions => TransactionRecord::decode(key, value)?.map(Self::Transaction),
        })
    }

    fn encode(&self) -> Entry {
        match self {
            Self::Group(record) => record.encode(),
            Self::Transaction(record) => record.encode(),
        }
    }
}

struct Line {
    text: &'static str,
    log: Log,
    /// As a coordinator itself would have written it.
    is_own: bool,
    entry: Entry,
}

impl Line {
    /// Kafka does not write such any more.
    fn lacks_epochs(&self) -> bool {
        self.text.starts_with("any CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT")
    }
}

fn version(entry: &Entry) -> Option<&[u8]> {
    entry.value.as_ref().map(|value| &value[..2])
}

fn lines() -> impl Iterator<Item = Line> {
    LINES.lines().map(|text| {
        let words: Vec<&str> = text.split(' ').collect();
        let [kind, record, _, key, value] = words.as_slice() else { panic!("{text}") };
        let is_transaction = record.to_lowercase().starts_with("transaction");
        let log = if is_transaction { Log::Transactions } else { Log::Groups };
        let entry = Entry { key: from_hex(key).expect("a key"), value: from_hex(value) };
        Line { text, log, is_own: *kind == "own", entry }
    })
}

fn from_hex(hex: &str) -> Option<Bytes> {
    let digit = |char: u8| char::from(char).to_digit(16).expect("a hexadecimal digit") as u8;
    let pairs = hex.as_bytes().chunks_exact(2);
    (hex != "-").then(|| pairs.map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect::<Vec<u8>>().into())
}
