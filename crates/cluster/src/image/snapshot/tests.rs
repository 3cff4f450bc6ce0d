use expect_test::expect;
use klamm_model::{PartitionIndex, TopicPartition};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::features::Supported;
use crate::quota::{EntityKind, QuotaEntity};
use crate::record::{BrokerState, ConfigResource, Listener, PartitionChange, Record, RegisterBroker};

fn ids(numbers: impl IntoIterator<Item = u8>) -> Vec<BrokerId> {
    numbers.into_iter().map(|it| BrokerId(it.into())).collect()
}

fn topic(number: u8) -> TopicId {
    TopicId(Uuid::from_u128(u128::from(number) + 1))
}

/// What a kind of step and three numbers come to after `image`; most of it fits.
fn record(image: &Image, [kind, a, b, c]: [u8; 4]) -> Record {
    let broker = BrokerId((a % 4).into());
    let epoch = image.broker(broker).map_or(BrokerEpoch(0), |it| it.epoch);
    let id = topic(a % 5);
    let text = |number: u8| format!("text-{number}");
    match kind % 14 {
        0 | 1 => Record::RegisterBroker(RegisterBroker {
            id: broker,
            incarnation: Uuid::from_u128(b.into()),
            directory: Uuid::from_u128(c.into()),
            listeners: (0..b % 3)
                .map(|it| Listener { name: text(it), host: text(b), port: c.into() })
                .collect(),
            rack: (c % 2 == 0).then(|| text(c)),
            is_relaxed: c % 3 == 1,
            supported: if b % 2 == 0 { Supported::ours() } else { Supported::default() },
            other_directories: (0..b % 3).map(|it| Uuid::from_u128((it + c % 2).into())).collect(),
            may_vote: c % 5 != 1,
        }),
        2 => {
            let states = [BrokerState::Fenced, BrokerState::Active, BrokerState::Draining];
            Record::BrokerState { id: broker, epoch, state: states[usize::from(b % 3)] }
        }
        3 => Record::UnregisterBroker { id: broker, epoch },
        // No id is used again.
        4 if image.removed_topics().any(|(removed, _)| removed == id) => Record::Cluster { id: text(b) },
        4 => Record::Topic { name: format!("t.{}", a % 5), id },
        5 | 6 => {
            let next = image.topic(id).map_or(0, |it| it.partitions.len());
            let partition = TopicPartition { topic: id, partition: PartitionIndex(next as i32) };
            let replicas = ids([b % 4, b % 4 + 1]);
            let isr = replicas[usize::from(c % 2)..].to_vec();
            let leader = (c % 3 == 0).then(|| isr[0]);
            Record::Partition { partition, replicas, isr, leader }
        }
        7 | 8 => {
            let partition = TopicPartition { topic: id, partition: PartitionIndex((b % 3).into()) };
            let before = image.partition(partition);
            let next = |epoch: i32| before.map_or(0, |_| epoch + 1);
            Record::PartitionChange(PartitionChange {
                partition,
                partition_epoch: PartitionEpoch(next(before.map_or(0, |it| it.partition_epoch.0))),
                leader: (c % 2 == 0).then_some(None),
                leader_epoch: (c % 2 == 0)
                    .then(|| LeaderEpoch(next(before.map_or(0, |it| it.leader_epoch.0)))),
                isr: None,
                replicas: before.map(|it| [it.replicas[..1].to_vec(), ids([7, 8, 9])].concat()),
                adding: (c % 3 == 0).then(|| ids([7])),
                removing: (c % 3 == 1).then(|| ids([8, 9])),
                elr: (c % 4 == 1).then(|| ids([8])),
                last_known_elr: (c % 5 == 1).then(|| ids([9, 7])),
                recovering: (c % 3 == 1).then_some(true),
                offline: (c % 7 == 1).then(|| ids([7, 9])),
                wanted_replicas: (c % 6 == 1).then_some((c % 4 == 1).then_some(3)),
            })
        }
        9 => Record::Config {
            resource: [
                ConfigResource::Topic(id),
                ConfigResource::Broker(broker),
                ConfigResource::BrokerDefault,
            ][usize::from(b % 3)],
            key: ["flush.ms", "log.flush.interval.ms"]
                .get(usize::from(c % 5))
                .map_or_else(|| text(c % 3), |it| (*it).to_owned()),
            value: (c % 4 != 0).then(|| text(c)),
        },
        10 => Record::ProducerIds {
            broker,
            broker_epoch: epoch,
            next: ProducerId(image.next_producer_id().0 + i64::from(b) + 1),
        },
        11 => Record::ClientQuota {
            entity: QuotaEntity(
                [(EntityKind::ALL[usize::from(a % 3)], (b % 2 == 0).then(|| text(b)))].into(),
            ),
            key: text(c % 3),
            value: (c % 4 != 0).then(|| QuotaValue::new(c.into())),
        },
        13 => Record::Feature { name: text(a % 3), level: (b % 4).into() },
        _ if a % 4 == 0 => Record::RemoveTopic { id },
        _ => Record::Cluster { id: text(b) },
    }
}

fn grow(image: &mut Image, steps: &[[u8; 4]]) {
    for step in steps {
        let offset = image.applied().map_or(0, |it| it + 1);
        let is_first = image.applied().is_none() || *step == [255; 4];
        let epoch = ControllerEpoch(image.epoch().0 + i32::from(is_first));
        let begin = Record::Begin { epoch, controller: BrokerId((step[1] % 4).into()) };
        let records = if is_first { vec![begin] } else { vec![record(image, *step)] };
        // What does not fit changes nothing.
        let _ = image.apply_entry(offset, epoch, &records);
    }
}

/// One of everything.
fn full() -> Image {
    let mut image = Image::default();
    let steps = [
        [0, 1, 0, 0],
        [0, 1, 2, 4],
        [2, 1, 1, 0],
        [4, 0, 0, 0],
        [5, 0, 1, 0],
        [7, 0, 0, 1],
        [9, 0, 0, 1],
        [9, 1, 1, 2],
        [10, 1, 99, 0],
        [11, 0, 2, 1],
        [12, 1, 3, 0],
        [4, 4, 0, 0],
        [12, 4, 0, 0],
        [13, 1, 2, 0],
    ];
    grow(&mut image, &steps);
    image
}

#[test]
fn the_bytes_are_what_they_are() {
    let image = full();
    let hex = |bytes: &[u8]| {
        let lines = bytes.chunks(16).map(|line| line.iter().map(|it| format!("{it:02x} ")).collect());
        lines.map(|line: String| line.trim_end().to_owned() + "\n").collect::<String>()
    };
    expect![[r#"
        01 1c fa 16 41 00 01 10 01 0c 01 01 01 01 06 74
        65 78 74 2d 33 64 00 00 01 04 e4 01 01 01 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 02 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 04 02 06
        74 65 78 74 2d 30 06 74 65 78 74 2d 32 04 06 74
        65 78 74 2d 31 06 74 65 78 74 2d 32 04 01 06 74
        65 78 74 2d 34 01 01 05 20 65 6c 69 67 69 62 6c
        65 2e 6c 65 61 64 65 72 2e 72 65 70 6c 69 63 61
        73 2e 76 65 72 73 69 6f 6e 01 01 0d 67 72 6f 75
        70 2e 76 65 72 73 69 6f 6e 00 01 16 6b 6c 61 6d
        6d 2e 6d 65 74 61 64 61 74 61 2e 76 65 72 73 69
        6f 6e 00 01 10 6d 65 74 61 64 61 74 61 2e 76 65
        72 73 69 6f 6e 21 21 13 74 72 61 6e 73 61 63 74
        69 6f 6e 2e 76 65 72 73 69 6f 6e 00 02 02 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 01 00 01
        02 01 48 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 01 03 74 2e 30 01 15 6c 6f 67 2e 66 6c 75
        73 68 2e 69 6e 74 65 72 76 61 6c 2e 6d 73 06 74
        65 78 74 2d 31 01 03 02 11 02 01 02 02 01 02 01
        01 00 00 00 00 00 00 00 00 00 00 04 00 11 01 01
        01 06 74 65 78 74 2d 32 06 74 65 78 74 2d 32 05
        00 1a 01 00 01 06 74 65 78 74 2d 32 01 06 74 65
        78 74 2d 31 3f f0 00 00 00 00 00 00 06 00 14 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 05 03
        74 2e 34 07 00 08 06 74 65 78 74 2d 31 02
    "#]]
    .assert_eq(&hex(&image.to_bytes()));
    let everything = [
        image.applied().is_some(),
        image.controller().is_some(),
        image.cluster_id().is_some(),
        image.next_producer_id() != ProducerId(0),
        image.brokers().len() == 1,
        image.partition_count() == 1,
        image.broker_configs.len() == 1,
        image.quotas().count() == 1,
        image.removed_topics().count() == 1,
        image.levels().count() == 1,
    ];
    assert_eq!(everything, [true; 10], "something of an image is not tried here");
    assert_eq!(Image::from_bytes(&image.to_bytes()), Ok(image));
}

#[test]
fn nothing_less_and_nothing_else_is_taken_for_an_image() {
    let bytes = full().to_bytes();
    for size in 0..bytes.len() {
        Image::from_bytes(&bytes[..size]).expect_err("it is cut off");
    }
    for at in 0..bytes.len() {
        let mut other = bytes.to_vec();
        other[at] ^= 1;
        Image::from_bytes(&other).expect_err("a bit is another");
    }
    let mut other = bytes.to_vec();
    other[0] = 2;
    assert_eq!(Image::from_bytes(&other), Err(SnapshotError::Version(2)));
    assert_eq!(Image::from_bytes(&sealed(&[])), Err("it ends too early".into()));
    assert_eq!(Image::from_bytes(&sealed(&[BROKER, 0, 0])), Err(SnapshotError::UnknownPart(BROKER)));
    let head = &Image::default().to_bytes()[5..];
    let unknown = [head, &[77, 0, 1, 9]].concat();
    assert_eq!(Image::from_bytes(&sealed(&unknown)), Err(SnapshotError::UnknownPart(77)));
}

fn sealed(parts: &[u8]) -> Vec<u8> {
    [&[VERSION], &crc32c(parts).to_be_bytes()[..], parts].concat()
}

#[test]
fn counts_are_bounded_by_what_is_there() {
    let head = &Image::default().to_bytes()[5..];
    // A topic with an id, no name, no configs, and a great many partitions.
    let topic = [&[TOPIC, 0, 22][..], &[1; 16], &[0, 0, 0xff, 0xff, 0xff, 0x7f]].concat();
    let bytes = sealed(&[head, &topic].concat());
    assert_eq!(Image::from_bytes(&bytes), Err("a length goes beyond the end".into()));
}

#[test]
fn what_a_newer_node_adds_at_the_end_of_a_part_is_passed_over() {
    let image = full();
    let bytes = image.to_bytes();
    let mut parts = Reader::new(&bytes[5..]);
    let mut longer = Writer::default();
    while !parts.is_empty() {
        let (kind, mut fields) = parts.record().expect("a part");
        longer.record(kind, 1, |out| {
            while let Ok(byte) = fields.byte() {
                out.byte(byte);
            }
            out.text("something new");
        });
    }
    assert_eq!(Image::from_bytes(&sealed(&longer.finish())), Ok(image));
}

#[test]
fn a_broker_of_before_there_were_roles_may_have_a_vote() {
    let image = full();
    let bytes = image.to_bytes();
    let mut parts = Reader::new(&bytes[5..]);
    let mut older = Writer::default();
    while !parts.is_empty() {
        let (kind, mut fields) = parts.record().expect("a part");
        let added = usize::from(kind == BROKER);
        let fields = fields.take(fields.remaining() - added).expect("it is there");
        older.record(kind, 3, |out| fields.iter().for_each(|it| out.byte(*it)));
    }
    let read = Image::from_bytes(&sealed(&older.finish()));
    assert!(image.brokers().next().is_some_and(|it| it.may_vote));
    assert_eq!(read, Ok(image));
}

fn steps() -> impl Strategy<Value = Vec<[u8; 4]>> {
    prop::collection::vec(prop_oneof![20 => any::<[u8; 4]>(), 1 => Just([255; 4])], 0..80)
}

/// What a node looks up when it is told of a change.
fn looked_up(image: &Image) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    all.extend(image.brokers().map(|it| (format!("{:?}", it.id), format!("{it:?}"))));
    all.extend(image.topics().map(|it| (format!("{:?}", it.id), it.name.to_string())));
    all.extend(image.partitions().map(|(key, it)| (key.to_string(), format!("{it:?}"))));
    let topics = image.topics().map(|it| ConfigResource::Topic(it.id));
    let others = image.broker_configs.keys().copied();
    for resource in topics.chain(others) {
        let set = image.configs(resource).filter(|it| !it.is_empty());
        all.extend(set.map(|it| (format!("{resource:?}"), format!("{it:?}"))));
    }
    all
}

proptest! {
    #[test]
    fn an_image_is_read_as_it_was_written(steps in steps()) {
        let mut image = Image::default();
        grow(&mut image, &steps);
        let bytes = image.to_bytes();
        let read = Image::from_bytes(&bytes).expect("we wrote it");
        prop_assert_eq!(&read, &image);
        prop_assert_eq!(read.to_bytes(), bytes);
    }

    #[test]
    fn whatever_the_bytes_are_they_are_read_or_refused(steps in steps(), at: prop::sample::Index, byte: u8) {
        let mut image = Image::default();
        grow(&mut image, &steps);
        let mut parts = image.to_bytes()[5..].to_vec();
        let at = at.index(parts.len());
        parts[at] = byte;
        // Its checksum is right, so that the parts are looked at.
        if let Ok(read) = Image::from_bytes(&sealed(&parts)) {
            prop_assert_eq!(Image::from_bytes(&read.to_bytes()), Ok(read));
        }
    }

    /// Whoever has the old image and looks up what changed has the new one.
    #[test]
    fn the_changes_between_two_images_are_all_there_are(before in steps(), between in steps()) {
        let mut old = Image::default();
        grow(&mut old, &before);
        let mut new = old.clone();
        grow(&mut new, &between);
        let changes = old.changes_to(&new);
        let mut known = looked_up(&old);
        let now = looked_up(&new);
        for gone in &changes.topics_removed {
            prop_assert!(new.topic(gone.id).is_none());
            prop_assert_eq!(old.topic(gone.id), Some(gone));
            let partitions = (0..).map(PartitionIndex).zip(&gone.partitions);
            let partitions = partitions.map(|(partition, _)| TopicPartition { topic: gone.id, partition }.to_string());
            let configs = format!("{:?}", ConfigResource::Topic(gone.id));
            partitions.chain([format!("{:?}", gone.id), configs]).for_each(|it| drop(known.remove(&it)));
        }
        let told = changes.brokers.iter().map(|it| format!("{it:?}"));
        let told = told.chain(changes.topics_created.iter().map(|it| format!("{it:?}")));
        let told = told.chain(changes.partitions.iter().map(ToString::to_string));
        for key in told.chain(changes.configs.iter().map(|it| format!("{it:?}"))) {
            prop_assert_ne!(known.get(&key), now.get(&key), "{} did not change", key);
            match now.get(&key) {
                Some(value) => known.insert(key, value.clone()),
                None => known.remove(&key),
            };
        }
        prop_assert_eq!(known, now);
        prop_assert_eq!(changes.controller, (old.epoch(), old.controller()) != (new.epoch(), new.controller()));
    }
}
