use expect_test::expect;
use proptest::prelude::*;

use super::*;

fn broker() -> impl Strategy<Value = BrokerId> {
    (0..i32::MAX).prop_map(BrokerId)
}

fn brokers() -> impl Strategy<Value = Vec<BrokerId>> {
    prop::collection::vec(broker(), 0..4)
}

fn partition() -> impl Strategy<Value = TopicPartition> {
    (any::<u128>(), 0..i32::MAX).prop_map(|(topic, index)| TopicPartition {
        topic: TopicId(Uuid::from_u128(topic)),
        partition: PartitionIndex(index),
    })
}

fn broker_epoch() -> impl Strategy<Value = BrokerEpoch> {
    (0..i64::MAX).prop_map(BrokerEpoch)
}

fn level_range() -> impl Strategy<Value = LevelRange> {
    (0..i16::MAX, 0..i16::MAX).prop_map(|(min, max)| LevelRange { min, max })
}

fn record() -> impl Strategy<Value = Record> {
    let state =
        prop_oneof![Just(BrokerState::Fenced), Just(BrokerState::Active), Just(BrokerState::Draining)];
    let resource = prop_oneof![
        any::<u128>().prop_map(|id| ConfigResource::Topic(TopicId(Uuid::from_u128(id)))),
        broker().prop_map(ConfigResource::Broker),
        Just(ConfigResource::BrokerDefault),
    ];
    let listener = (".*", ".*", any::<u16>()).prop_map(|(name, host, port)| Listener { name, host, port });
    let register = (
        broker(),
        any::<u128>(),
        any::<u128>(),
        prop::collection::vec(listener, 0..3),
        (prop::option::of(".*"), any::<bool>(), any::<bool>(), prop::collection::vec(any::<u128>(), 0..3)),
        prop::collection::btree_map(".*", level_range(), 0..3).prop_map(Supported),
    )
        .prop_map(
            |(id, incarnation, directory, listeners, (rack, is_relaxed, may_vote, others), supported)| {
                let (incarnation, directory) = (Uuid::from_u128(incarnation), Uuid::from_u128(directory));
                let other_directories = others.into_iter().map(Uuid::from_u128).collect();
                Record::RegisterBroker(RegisterBroker {
                    id,
                    incarnation,
                    directory,
                    listeners,
                    rack,
                    is_relaxed,
                    supported,
                    other_directories,
                    may_vote,
                })
            },
        );
    let change = (
        partition(),
        (0..i32::MAX).prop_map(PartitionEpoch),
        prop::option::of(prop::option::of(broker())),
        prop::option::of((0..i32::MAX).prop_map(LeaderEpoch)),
        prop::option::of(brokers()),
        prop::option::of(brokers()),
        (prop::option::of(brokers()), prop::option::of(brokers())),
        (prop::option::of(brokers()), prop::option::of(brokers()), prop::option::of(any::<bool>())),
        (prop::option::of(brokers()), prop::option::of(prop::option::of(any::<u16>()))),
    )
        .prop_map(
            |(partition, partition_epoch, leader, leader_epoch, isr, replicas, moving, others, rest)| {
                let ((adding, removing), (elr, last_known_elr, recovering)) = (moving, others);
                let (offline, wanted_replicas) = rest;
                Record::PartitionChange(PartitionChange {
                    partition,
                    partition_epoch,
                    leader,
                    leader_epoch,
                    isr,
                    replicas,
                    adding,
                    removing,
                    elr,
                    last_known_elr,
                    recovering,
                    offline,
                    wanted_replicas,
                })
            },
        );
    let kind = prop::sample::select(EntityKind::ALL.to_vec());
    prop_oneof![
        (0..i32::MAX, broker())
            .prop_map(|(epoch, controller)| Record::Begin { epoch: ControllerEpoch(epoch), controller }),
        ".*".prop_map(|id| Record::Cluster { id }),
        register,
        (broker(), broker_epoch(), state).prop_map(|(id, epoch, state)| Record::BrokerState {
            id,
            epoch,
            state
        }),
        (broker(), broker_epoch()).prop_map(|(id, epoch)| Record::UnregisterBroker { id, epoch }),
        (".*", any::<u128>()).prop_map(|(name, id)| Record::Topic { name, id: TopicId(Uuid::from_u128(id)) }),
        any::<u128>().prop_map(|id| Record::RemoveTopic { id: TopicId(Uuid::from_u128(id)) }),
        (partition(), brokers(), brokers(), prop::option::of(broker())).prop_map(
            |(partition, replicas, isr, leader)| Record::Partition { partition, replicas, isr, leader }
        ),
        change,
        (".*", 0..i16::MAX).prop_map(|(name, level)| Record::Feature { name, level }),
        (resource, ".*", prop::option::of(".*"))
            .prop_map(|(resource, key, value)| { Record::Config { resource, key, value } }),
        (
            prop::collection::btree_map(kind, prop::option::of(".*"), 0..3),
            ".*",
            prop::option::of(any::<u64>())
        )
            .prop_map(|(entity, key, bits)| Record::ClientQuota {
                entity: QuotaEntity(entity),
                key,
                value: bits.map(QuotaValue::from_bits)
            }),
        (broker(), broker_epoch(), 0..i64::MAX).prop_map(|(broker, broker_epoch, next)| {
            Record::ProducerIds { broker, broker_epoch, next: ProducerId(next) }
        }),
    ]
}

proptest! {
    #[test]
    fn what_was_written_is_read_back(records in prop::collection::vec(record(), 0..8)) {
        prop_assert_eq!(decode(&encode(&records)), Ok(records));
    }

    #[test]
    fn garbage_is_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes);
    }

    #[test]
    fn a_flipped_byte_never_panics(records in prop::collection::vec(record(), 1..4), at: prop::sample::Index, to: u8) {
        let mut bytes = encode(&records).to_vec();
        let at = at.index(bytes.len());
        bytes[at] = to;
        let _ = decode(&bytes);
    }

    #[test]
    fn a_payload_cut_short_within_a_record_is_damaged(record in record(), cut: prop::sample::Index) {
        let bytes = encode(std::slice::from_ref(&record));
        let cut = 1 + cut.index(bytes.len() - 1);
        prop_assert_eq!(decode(&bytes[..cut]).is_err(), cut < bytes.len());
    }

    #[test]
    fn fields_that_a_newer_version_added_are_skipped(record in record(), added in prop::collection::vec(any::<u8>(), 0..20)) {
        let fields = |size: usize| 2 + 1 + usize::from(0x80 <= size) + usize::from(0x4000 <= size);
        let old = encode(std::slice::from_ref(&record));
        let header = (0..6).find(|header| *header == fields(old.len() - header)).expect("a header fits");
        let mut newer = Writer::default();
        newer.record(old[0], 9, |out| old[header..].iter().chain(&added).for_each(|byte| out.byte(*byte)));
        prop_assert_eq!(decode(&newer.finish()), Ok(vec![record]));
    }

    #[test]
    fn split_payloads_hold_the_records_in_order(records in prop::collection::vec(record(), 0..20)) {
        let bytes_max = records.iter().map(encoded_size).max().unwrap_or(1);
        let mut joined = Vec::new();
        for (payload, part) in encode_split(&records, bytes_max) {
            prop_assert!(payload.len() <= bytes_max);
            prop_assert_eq!(decode(&payload), Ok(part.to_vec()));
            joined.extend_from_slice(part);
        }
        prop_assert_eq!(joined, records);
    }
}

#[test]
fn an_unknown_type_is_refused_loudly() {
    let mut payload = encode(&[Record::Cluster { id: "here".into() }]).to_vec();
    payload.extend_from_slice(&[200, 0, 0]);
    let error = decode(&payload).expect_err("unknown");
    expect!["metadata record of the unknown type 200 at byte 8: this node is older than its cluster"]
        .assert_eq(&error.to_string());
}

#[test]
fn the_bytes_of_a_record_stay_as_they_are() {
    let change = Record::PartitionChange(PartitionChange {
        leader: Some(None),
        leader_epoch: Some(LeaderEpoch(2)),
        isr: Some(vec![BrokerId(1)]),
        ..PartitionChange::nothing(
            TopicPartition { topic: TopicId(Uuid::from_u128(0xabcd)), partition: PartitionIndex(300) },
            PartitionEpoch(5),
        )
    });
    let records = [change];
    expect![
        "[8, 3, 34, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 171, 205, 172, 2, 5, 1, 0, 1, 2, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]"
    ]
    .assert_eq(&format!("{:?}", encode(&records).as_ref()));
    let of_version_0 =
        [8, 0, 27, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 171, 205, 172, 2, 5, 1, 0, 1, 2, 1, 1, 1, 0];
    assert_eq!(decode(&of_version_0).as_deref(), Ok(&records[..]));
}

#[test]
fn a_registration_of_before_there_were_roles_is_that_of_a_node_that_may_vote() {
    let register = Record::RegisterBroker(RegisterBroker {
        id: BrokerId(1),
        incarnation: Uuid::from_u128(2),
        directory: Uuid::from_u128(3),
        listeners: Vec::new(),
        rack: None,
        is_relaxed: false,
        supported: Supported::default(),
        other_directories: Vec::new(),
        may_vote: true,
    });
    let bytes = encode(std::slice::from_ref(&register));
    let mut of_version_3 = bytes[..bytes.len() - 1].to_vec();
    (of_version_3[1], of_version_3[2]) = (3, of_version_3[2] - 1);
    assert_eq!(decode(&of_version_3), Ok(vec![register]));
}
