use expect_test::expect;

use super::*;
use crate::record::{PartitionChange, Record, RegisterBroker};

fn topic(number: u128) -> TopicId {
    TopicId(Uuid::from_u128(number))
}

fn at(number: u128, index: i32) -> TopicPartition {
    TopicPartition { topic: topic(number), partition: PartitionIndex(index) }
}

fn ids(numbers: &[i32]) -> Vec<BrokerId> {
    numbers.iter().copied().map(BrokerId).collect()
}

fn partition(number: u128, index: i32, replicas: &[i32], isr: &[i32], leader: Option<i32>) -> Record {
    Record::Partition {
        partition: at(number, index),
        replicas: ids(replicas),
        isr: ids(isr),
        leader: leader.map(BrokerId),
    }
}

fn change(number: u128, index: i32, partition_epoch: i32) -> PartitionChange {
    PartitionChange::nothing(at(number, index), PartitionEpoch(partition_epoch))
}

fn named(name: &str, number: u128) -> Record {
    Record::Topic { name: name.to_owned(), id: topic(number) }
}

fn register(id: i32) -> Record {
    Record::RegisterBroker(RegisterBroker {
        id: BrokerId(id),
        incarnation: Uuid::nil(),
        directory: Uuid::nil(),
        listeners: Vec::new(),
        rack: None,
        is_relaxed: false,
        supported: Supported::default(),
        other_directories: Vec::new(),
        may_vote: true,
    })
}

fn begun() -> Image {
    let mut image = Image::default();
    let begin = Record::Begin { epoch: ControllerEpoch(1), controller: BrokerId(9) };
    image.apply_entry(0, ControllerEpoch(1), &[begin]).expect("a beginning");
    image
}

fn apply(image: &mut Image, records: &[Record]) -> Result<Changes, ImageError> {
    image.apply_entry(image.applied().map_or(0, |it| it + 1), image.epoch(), records)
}

fn small() -> Image {
    let mut image = begun();
    let records = [
        register(1),
        register(2),
        named("t", 7),
        partition(7, 0, &[1, 2], &[1, 2], Some(1)),
        partition(7, 1, &[2, 1], &[2], None),
    ];
    apply(&mut image, &records).expect("a small cluster");
    image
}

#[test]
fn an_entry_tells_what_it_changed() {
    let mut image = small();
    let leaves = PartitionChange {
        isr: Some(ids(&[2])),
        leader: Some(Some(BrokerId(2))),
        leader_epoch: Some(LeaderEpoch(1)),
        ..change(7, 0, 1)
    };
    let config = Record::Config {
        resource: ConfigResource::Topic(topic(7)),
        key: "k".into(),
        value: Some("v".into()),
    };
    let records =
        [named("u", 8), partition(8, 0, &[1], &[1], Some(1)), Record::PartitionChange(leaves), config];
    let changes = apply(&mut image, &records).expect("it fits");
    assert_eq!(changes.topics_created, [topic(8)]);
    assert_eq!(changes.partitions, [at(7, 0), at(8, 0)].into());
    assert_eq!(changes.configs, [ConfigResource::Topic(topic(7))].into());

    let changes = apply(&mut image, &[Record::RemoveTopic { id: topic(7) }]).expect("it fits");
    assert_eq!(changes.topics_removed.iter().map(|it| it.id).collect::<Vec<_>>(), [topic(7)]);
    assert_eq!(changes.partitions, [].into());
    assert_eq!((image.partition_count(), image.topic_count()), (1, 1));
    assert!(image.topic_named("t").is_none() && image.partition(at(7, 0)).is_none());
}

#[test]
fn an_older_clone_keeps_what_it_saw() {
    let mut image = small();
    let before = image.clone();
    let record = Record::PartitionChange(PartitionChange { isr: Some(ids(&[1])), ..change(7, 0, 1) });
    apply(&mut image, &[record]).expect("it fits");
    assert_eq!(before.partition(at(7, 0)).map(|it| it.isr.len()), Some(2));
    assert_eq!(image.partition(at(7, 0)).map(|it| it.isr.len()), Some(1));
    let untouched = |image: &Image| image.partition(at(7, 1)).map(Arc::clone).expect("it is there");
    assert!(Arc::ptr_eq(&untouched(&before), &untouched(&image)));
}

#[test]
fn topics_are_listed_by_name_from_any_name_on() {
    let mut image = begun();
    for (number, name) in (1..).zip(["m", "a", "z", "k.b", "k"]) {
        apply(&mut image, &[named(name, number)]).expect("it fits");
    }
    let from = |name| image.topics_from(name).map(|it| it.name.to_string()).collect::<Vec<_>>().join(" ");
    assert_eq!([from(""), from("k"), from("ka"), from("zz")], ["a k k.b m z", "k k.b m z", "m z", ""]);
}

#[test]
fn what_does_not_fit_is_refused_as_a_whole() {
    let leader = |leader, epoch| (Some(leader), Some(LeaderEpoch(epoch)));
    let with = |(leader, leader_epoch), change| PartitionChange { leader, leader_epoch, ..change };
    let state = |id, epoch| Record::BrokerState {
        id: BrokerId(id),
        epoch: BrokerEpoch(epoch),
        state: BrokerState::Active,
    };
    let ids_to = |next| Record::ProducerIds {
        broker: BrokerId(1),
        broker_epoch: BrokerEpoch(1),
        next: ProducerId(next),
    };
    let wrong = [
        Record::Begin { epoch: ControllerEpoch(1), controller: BrokerId(1) },
        named("t", 9),
        named("v", 7),
        named("v", 0),
        Record::RemoveTopic { id: topic(9) },
        partition(9, 0, &[1], &[1], Some(1)),
        partition(7, 3, &[1], &[1], Some(1)),
        partition(7, 2, &[1], &[], None),
        partition(7, 2, &[1], &[2], Some(2)),
        partition(7, 2, &[1, 1], &[1], Some(1)),
        partition(7, 2, &[1, 2], &[1], Some(2)),
        Record::PartitionChange(change(7, 2, 1)),
        Record::PartitionChange(change(7, 0, 2)),
        Record::PartitionChange(change(7, 0, 0)),
        Record::PartitionChange(with(leader(None, 2), change(7, 0, 1))),
        Record::PartitionChange(with(leader(Some(BrokerId(3)), 1), change(7, 0, 1))),
        Record::PartitionChange(with((Some(None), None), change(7, 0, 1))),
        state(3, 1),
        state(1, 2),
        ids_to(0),
        Record::Config { resource: ConfigResource::Topic(topic(9)), key: "k".into(), value: None },
    ];
    let mut told = String::new();
    for record in wrong {
        let mut image = small();
        let error = apply(&mut image, &[named("new", 99), record]).expect_err("it does not fit");
        assert_eq!(image, small(), "half of it was applied");
        told += &format!("{error}\n");
    }
    expect![[r#"
        metadata entry of epoch 1 does not fit epoch 1: it begins twice
        the name or the id is taken: Topic { name: "t", id: AAAAAAAAAAAAAAAAAAAACQ }
        the name or the id is taken: Topic { name: "v", id: AAAAAAAAAAAAAAAAAAAABw }
        the name or the id is taken: Topic { name: "v", id: AAAAAAAAAAAAAAAAAAAAAA }
        no such topic: RemoveTopic { id: AAAAAAAAAAAAAAAAAAAACQ }
        no such topic: Partition { partition: TopicPartition { topic: AAAAAAAAAAAAAAAAAAAACQ, partition: PartitionIndex(0) }, replicas: [BrokerId(1)], isr: [BrokerId(1)], leader: Some(BrokerId(1)) }
        it is not the topic's next partition: Partition { partition: TopicPartition { topic: AAAAAAAAAAAAAAAAAAAABw, partition: PartitionIndex(3) }, replicas: [BrokerId(1)], isr: [BrokerId(1)], leader: Some(BrokerId(1)) }
        nobody is in sync at the beginning: Partition { partition: TopicPartition { topic: AAAAAAAAAAAAAAAAAAAABw, partition: PartitionIndex(2) }, replicas: [BrokerId(1)], isr: [], leader: None }
        who is in sync or eligible is not one of the replicas: Partition { partition: TopicPartition { topic: AAAAAAAAAAAAAAAAAAAABw, partition: PartitionIndex(2) }, replicas: [BrokerId(1)], isr: [BrokerId(2)], leader: Some(BrokerId(2)) }
        a replica is named twice: Partition { partition: TopicPartition { topic: AAAAAAAAAAAAAAAAAAAABw, partition: PartitionIndex(2) }, replicas: [BrokerId(1), BrokerId(1)], isr: [BrokerId(1)], leader: Some(BrokerId(1)) }
        the leader is not in sync: Partition { partition: TopicPartition { topic: AAAAAAAAAAAAAAAAAAAABw, partition: PartitionIndex(2) }, replicas: [BrokerId(1), BrokerId(2)], isr: [BrokerId(1)], leader: Some(BrokerId(2)) }
        no such partition: PartitionChange(PartitionChange { partition: TopicPartition { topic: AAAAAAAAAAAAAAAAAAAABw, partition: PartitionIndex(2) }, partition_epoch: PartitionEpoch(1), leader: None, leader_epoch: None, isr: None, replicas: None, adding: None, removing: None, elr: None, last_known_elr: None, recovering: None, offline: None, wanted_replicas: None })
        the partition has changed since: PartitionChange(PartitionChange { partition: TopicPartition { topic: AAAAAAAAAAAAAAAAAAAABw, partition: PartitionIndex(0) }, partition_epoch: PartitionEpoch(2), leader: None, leader_epoch: None, isr: None, replicas: None, adding: None, removing: None, elr: None, last_known_elr: None, recovering: None, offline: None, wanted_replicas: None })
        the partition has changed since: PartitionChange(PartitionChange { partition: TopicPartition { topic: AAAAAAAAAAAAAAAAAAAABw, partition: PartitionIndex(0) }, partition_epoch: PartitionEpoch(0), leader: None, leader_epoch: None, isr: None, replicas: None, adding: None, removing: None, elr: None, last_known_elr: None, recovering: None, offline: None, wanted_replicas: None })
        the leader epoch is not the next one: PartitionChange(PartitionChange { partition: TopicPartition { topic: AAAAAAAAAAAAAAAAAAAABw, partition: PartitionIndex(0) }, partition_epoch: PartitionEpoch(1), leader: Some(None), leader_epoch: Some(LeaderEpoch(2)), isr: None, replicas: None, adding: None, removing: None, elr: None, last_known_elr: None, recovering: None, offline: None, wanted_replicas: None })
        the leader is not in sync: PartitionChange(PartitionChange { partition: TopicPartition { topic: AAAAAAAAAAAAAAAAAAAABw, partition: PartitionIndex(0) }, partition_epoch: PartitionEpoch(1), leader: Some(Some(BrokerId(3))), leader_epoch: Some(LeaderEpoch(1)), isr: None, replicas: None, adding: None, removing: None, elr: None, last_known_elr: None, recovering: None, offline: None, wanted_replicas: None })
        a leader and its epoch change together: PartitionChange(PartitionChange { partition: TopicPartition { topic: AAAAAAAAAAAAAAAAAAAABw, partition: PartitionIndex(0) }, partition_epoch: PartitionEpoch(1), leader: Some(None), leader_epoch: None, isr: None, replicas: None, adding: None, removing: None, elr: None, last_known_elr: None, recovering: None, offline: None, wanted_replicas: None })
        no such broker: BrokerState { id: BrokerId(3), epoch: BrokerEpoch(1), state: Active }
        another registration of the broker holds: BrokerState { id: BrokerId(1), epoch: BrokerEpoch(2), state: Active }
        these producer ids were given out before: ProducerIds { broker: BrokerId(1), broker_epoch: BrokerEpoch(1), next: ProducerId(0) }
        no such topic: Config { resource: Topic(AAAAAAAAAAAAAAAAAAAACQ), key: "k", value: None }
    "#]].assert_eq(&told);
}

#[test]
fn entries_come_in_order_and_an_epoch_begins_once() {
    let begin = |epoch| Record::Begin { epoch: ControllerEpoch(epoch), controller: BrokerId(1) };
    let mut told = String::new();
    for (offset, epoch, records) in [
        (2, 1, vec![]),
        (0, 1, vec![]),
        (1, 2, vec![]),
        (1, 2, vec![begin(3)]),
        (1, 1, vec![begin(1)]),
        (1, 0, vec![]),
        (1, 3, vec![begin(3)]),
        (1, 1, vec![]),
    ] {
        let result = begun().apply_entry(offset, ControllerEpoch(epoch), &records);
        told += &format!(
            "{}\n",
            result.map_or_else(|error| error.to_string(), |it| format!("{:?}", it.controller))
        );
    }
    expect![[r#"
        metadata entry 2 was applied where 1 must come
        metadata entry 0 was applied where 1 must come
        metadata entry of epoch 2 does not fit epoch 1: an epoch begins with its first entry, and only with it
        metadata entry of epoch 2 does not fit epoch 1: an epoch begins with its first entry, and only with it
        metadata entry of epoch 1 does not fit epoch 1: an epoch begins with its first entry, and only with it
        metadata entry of epoch 0 does not fit epoch 1: it is older
        true
        false
    "#]]
    .assert_eq(&told);
}

#[test]
fn names_that_look_alike_are_found_as_long_as_they_are_there() {
    let mut image = begun();
    let found = |image: &Image, name| image.topic_that_looks_like(name).map(|topic| topic.name.to_string());
    for (offset, name) in (1..).zip(["a.b", "a", "ab", "a_bc", "plain"]) {
        image.apply_entry(offset, ControllerEpoch(1), &[named(name, offset.into())]).expect("a topic");
    }
    for (name, expected) in [
        ("a_b", Some("a.b")),
        ("a.b", Some("a.b")),
        ("a.bc", Some("a_bc")),
        ("a_", None),
        ("a.a", None),
        ("plain", None),
    ] {
        assert_eq!(found(&image, name).as_deref(), expected, "{name}");
    }
    let removed = [Record::RemoveTopic { id: topic(1) }];
    image.apply_entry(6, ControllerEpoch(1), &removed).expect("removed");
    assert_eq!(found(&image, "a_b"), None);
}

#[test]
fn the_last_topics_that_were_removed_are_remembered() {
    let mut image = begun();
    let removed = |image: &Image| image.removed_topics().map(|(id, _)| id).collect::<Vec<_>>();
    for number in 1..=REMOVED_TOPICS_MAX as u128 + 2 {
        apply(&mut image, &[named("t", number)]).expect("it fits");
        apply(&mut image, &[Record::RemoveTopic { id: topic(number) }]).expect("it fits");
    }
    let all = removed(&image);
    assert_eq!((all.len(), all[0]), (REMOVED_TOPICS_MAX, topic(3)));
    assert_eq!(Image::from_bytes(&image.to_bytes()), Ok(image));
}

#[test]
fn a_broker_that_comes_without_a_directory_it_had_has_something_to_say_until_it_takes_part() {
    let mut image = begun();
    let mut offset = 0;
    let mut registered = |image: &mut Image, directories: &[u128], is_active: bool| {
        let Record::RegisterBroker(mut it) = register(1) else { unreachable!("it is one") };
        it.other_directories = directories.iter().copied().map(Uuid::from_u128).collect();
        offset += 1;
        image.apply_entry(offset, ControllerEpoch(1), &[Record::RegisterBroker(it)]).expect("it registers");
        let has_lost = image.broker(BrokerId(1)).expect("it is there").has_lost_directory;
        if is_active {
            let epoch = image.broker(BrokerId(1)).expect("it is there").epoch;
            let active = Record::BrokerState { id: BrokerId(1), epoch, state: BrokerState::Active };
            offset += 1;
            image.apply_entry(offset, ControllerEpoch(1), &[active]).expect("it takes part");
        }
        has_lost
    };
    assert!(!registered(&mut image, &[], true), "there was none before");
    assert!(!registered(&mut image, &[7, 8], true), "there are more");
    assert!(!registered(&mut image, &[8, 7, 9], true), "all are there, and one more");
    assert!(registered(&mut image, &[7, 10], false), "two are not there any more");
    assert!(registered(&mut image, &[7, 10], true), "its process ended before it said what it lacks");
    assert!(!registered(&mut image, &[7, 10], true), "it has been said");
}
