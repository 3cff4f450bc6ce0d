//! Transactions, as those who write them and those who read them see it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use klamm_client::{
    Admin, AdminError, Assignment, ByItem, Client, CommittedOffset, Consumer, ConsumerConfig, FormatError,
    GroupMetadata, Isolation, NewTopic, PartitionName, ProducerConfig, RawFormat, Record, RecordFormat,
    Serializer, Start, TextFormat, TransactionError, TransactionFilter, TransactionProtocol,
    TransactionState, TransactionalConfig, TransactionalProducer,
};
use klamm_model::{ErrorCode, Offset, ProducerId};
use tokio::time::timeout;

use crate::admin::{code, until};
use crate::{with_new_topic, with_topic};

const PATIENCE: Duration = Duration::from_secs(20);
const PROTOCOLS: [Option<TransactionProtocol>; 2] = [None, Some(TransactionProtocol::Named)];

/// The values of the first records of a topic, sorted, as readers of this level see them: as soon as so many can be read.
async fn values(client: &Client, topic: &str, isolation: Isolation, count: usize) -> Vec<String> {
    let consumer = Consumer::new(client, ConsumerConfig { isolation, ..ConsumerConfig::default() });
    let partition_count = client.cluster().topics[topic].partitions.len() as i32;
    consumer.assign((0..partition_count).map(|partition| Assignment {
        topic: topic.into(),
        partition,
        start: Start::Earliest,
    }));
    let (mut values, mut scratch) = (Vec::new(), Vec::new());
    while values.len() < count {
        let batch = timeout(PATIENCE, consumer.next_batch()).await.expect("in time").expect("readable");
        for record in batch.records(&mut scratch).expect("unpacks") {
            let value = record.expect("a record").value.expect("a value").to_vec();
            values.push(String::from_utf8(value).expect("text"));
        }
    }
    values.sort();
    values
}

async fn committed(client: &Client, topic: &str, count: usize) -> Vec<String> {
    values(client, topic, Isolation::ReadCommitted, count).await
}

fn config(topic: &str) -> TransactionalConfig {
    TransactionalConfig::new(format!("{topic}-id"))
}

async fn start(client: &Client, config: TransactionalConfig) -> TransactionalProducer {
    TransactionalProducer::start(client, config).await.expect("has the id")
}

fn record<'a>(topic: &'a str, partition: i32, value: &'a str) -> Record<'a> {
    Record { partition: Some(partition), ..Record::new(topic, value.as_bytes()) }
}

#[test]
fn what_is_committed_is_read_and_what_is_aborted_or_dropped_is_not() {
    with_topic(3, async |client, topic| {
        let (mut meant, mut all) = (Vec::new(), Vec::new());
        for (number, protocol) in PROTOCOLS.into_iter().enumerate() {
            let producer = start(&client, TransactionalConfig { protocol, ..config(topic) }).await;
            for round in 0..12 {
                let transaction = producer.begin().await.expect("begins");
                let values: Vec<_> = (0..5).map(|record| format!("{number}-{round:02}-{record}")).collect();
                for (place, value) in values.iter().enumerate() {
                    transaction.send(record(topic, place as i32 % 3, value)).await.expect("written");
                }
                all.extend(values.clone());
                match round % 3 {
                    0 => drop(transaction),
                    1 => transaction.abort().await.expect("aborted"),
                    _ => {
                        transaction.commit().await.expect("committed");
                        meant.extend(values);
                    }
                }
            }
            let last = producer.begin().await.expect("begins");
            let value = format!("{number}-not waited for");
            last.post(record(topic, 0, &value)).await.expect("taken");
            last.commit().await.expect("committed");
            meant.push(value.clone());
            all.push(value);
            producer.begin().await.expect("begins").commit().await.expect("there is nothing in it");
            producer.close().await;
        }
        assert_eq!(committed(&client, topic, meant.len()).await, meant);
        assert_eq!(values(&client, topic, Isolation::ReadUncommitted, all.len()).await, all);
    });
}

#[test]
fn who_comes_last_has_the_transactional_id_and_the_others_are_told() {
    with_topic(1, async |client, topic| {
        for protocol in PROTOCOLS {
            let config = TransactionalConfig { protocol, ..config(topic) };
            let old = start(&client, config.clone()).await;
            let zombie = old.begin().await.expect("begins");
            zombie.send(record(topic, 0, "zombie")).await.expect("written");
            assert_eq!(old.begin().await.expect_err("one at a time"), TransactionError::AlreadyOpen);
            let new = start(&client, config.clone()).await;
            let uncommitted = zombie.commit().await.expect_err("too late");
            let fenced = TransactionError::Fenced { transactional_id: config.transactional_id };
            assert_eq!(uncommitted.cause, fenced);
            assert!(fenced.is_fatal());
            uncommitted.transaction.send(record(topic, 0, "more")).await.expect_err("it is over");
            drop(uncommitted);
            assert_eq!(old.begin().await.expect_err("it is over"), fenced);
            let transaction = new.begin().await.expect("begins");
            transaction.send(record(topic, 0, "new")).await.expect("written");
            transaction.commit().await.expect("committed");
        }
        assert_eq!(committed(&client, topic, 2).await, ["new", "new"]);
    });
}

#[test]
fn a_transaction_that_misses_a_record_is_aborted_and_the_next_one_goes_well() {
    let configs = vec![("max.message.bytes".to_owned(), "1000".to_owned())];
    let topic = NewTopic { partition_count: Some(2), configs, ..NewTopic::default() };
    with_new_topic(topic, async |client, topic| {
        for (number, protocol) in PROTOCOLS.into_iter().enumerate() {
            let producer = start(&client, TransactionalConfig { protocol, ..config(topic) }).await;
            let transaction = producer.begin().await.expect("begins");
            transaction.post(record(topic, 0, "half of it")).await.expect("taken");
            transaction.post(record(topic, 1, &"x".repeat(2_000))).await.expect("taken");
            let uncommitted = transaction.commit().await.expect_err("half of it");
            let TransactionError::MustAbort(cause) = &uncommitted.cause else { panic!("{uncommitted:?}") };
            assert!(cause.to_string().contains("MESSAGE_TOO_LARGE"), "{cause}");
            let refused = uncommitted.transaction.send(record(topic, 0, "more")).await;
            assert!(refused.expect_err("in vain").to_string().contains("can only be aborted"));
            uncommitted.transaction.abort().await.expect("aborted");
            let transaction = producer.begin().await.expect("begins");
            let value = format!("{number} whole");
            transaction.post(record(topic, 0, &value)).await.expect("taken");
            transaction.commit().await.expect("committed");
            producer.close().await;
        }
        assert_eq!(committed(&client, topic, 2).await, ["0 whole", "1 whole"]);
    });
}

#[test]
fn what_stays_open_for_too_long_is_aborted_and_its_producer_fenced() {
    with_topic(1, async |client, topic| {
        let slow = start(&client, TransactionalConfig { timeout_ms: 300, ..config(topic) }).await;
        let forgotten = slow.begin().await.expect("begins");
        forgotten.send(record(topic, 0, "forgotten")).await.expect("written");
        let other = start(&client, TransactionalConfig::new(format!("{topic}-other"))).await;
        let behind = other.begin().await.expect("begins");
        behind.send(record(topic, 0, "behind")).await.expect("written");
        behind.commit().await.expect("committed");
        assert_eq!(committed(&client, topic, 1).await, ["behind"]);
        let uncommitted = forgotten.commit().await.expect_err("too late");
        assert!(matches!(uncommitted.cause, TransactionError::Fenced { .. }), "{uncommitted}");
    });
}

/// The offset that the group has committed for the topic's first partition.
async fn group_offset(admin: &Admin, group: &str, topic: &str) -> Option<i64> {
    let partition = PartitionName::new(topic, 0);
    let offsets: ByItem<_, _> = admin.group_offsets(group, Some(&[partition])).await.expect("answers");
    let offset: Option<CommittedOffset> = offsets.into_values().next().expect("told").expect("known");
    offset.map(|it| it.offset.raw())
}

#[test]
fn offsets_count_with_their_transaction() {
    with_topic(2, async |client, topic| {
        let (admin, partition) = (Admin::new(&client), PartitionName::new(topic, 0));
        for protocol in PROTOCOLS {
            let group = format!("{topic}-{protocol:?}");
            let producer = start(&client, TransactionalConfig { protocol, ..config(topic) }).await;
            let mut expected = None;
            for (round, is_committed) in [true, false, true].into_iter().enumerate() {
                let transaction = producer.begin().await.expect("begins");
                transaction.post(record(topic, 1, "out")).await.expect("taken");
                for offset in [round as i64 * 10, round as i64 * 10 + 1] {
                    let offsets = BTreeMap::from([(partition.clone(), Offset::new(offset).into())]);
                    let me = GroupMetadata::without_member(&group);
                    transaction.send_offsets(offsets, me).await.expect("taken");
                }
                if is_committed {
                    transaction.commit().await.expect("committed");
                    expected = Some(round as i64 * 10 + 1);
                } else {
                    transaction.abort().await.expect("aborted");
                }
                until(async || Ok(group_offset(&admin, &group, topic).await), |it| *it == expected).await;
            }
            // Who is no member of the group that it says.
            let transaction = producer.begin().await.expect("begins");
            let offsets = BTreeMap::from([(partition.clone(), Offset::new(99).into())]);
            let stranger = GroupMetadata {
                member_id: "nobody".into(),
                generation: 3,
                ..GroupMetadata::without_member(&group)
            };
            let refused = transaction.send_offsets(offsets, stranger).await.expect_err("a stranger");
            let TransactionError::MustAbort(_) = &refused else { panic!("{refused}") };
            let uncommitted = transaction.commit().await.expect_err("something is missing");
            assert_eq!(uncommitted.cause, refused);
            uncommitted.transaction.abort().await.expect("aborted");
            assert_eq!(group_offset(&admin, &group, topic).await, expected);
            producer.close().await;
        }
    });
}

/// Reads numbers and writes their squares, with its progress in the same transactions, and dies now and then between any two steps.
#[test]
fn what_is_read_and_written_again_is_there_once_however_often_its_writer_dies() {
    const COUNT: i64 = 40;
    with_topic(2, async |client, topic| {
        let (admin, group) = (Admin::new(&client), format!("{topic}-group"));
        let source = start(&client, TransactionalConfig::new(format!("{topic}-source"))).await;
        let transaction = source.begin().await.expect("begins");
        for number in 0..COUNT {
            transaction.post(record(topic, 0, &format!("{number:02}"))).await.expect("taken");
        }
        transaction.commit().await.expect("committed");
        let mut deaths = 0;
        loop {
            let producer = start(&client, config(topic)).await;
            let from = group_offset(&admin, &group, topic).await.unwrap_or(0);
            if from >= COUNT {
                break;
            }
            let consumer = Consumer::new(
                &client,
                ConsumerConfig { isolation: Isolation::ReadCommitted, ..ConsumerConfig::default() },
            );
            let start = Start::At(Offset::new(from));
            consumer.assign([Assignment { topic: topic.into(), partition: 0, start }]);
            let mut records = consumer.records();
            // Each life is longer by a step, and a transaction has four of them.
            for step in 0..2 + deaths % 7 {
                let read = timeout(PATIENCE, records.next())
                    .await
                    .expect("in time")
                    .expect("more")
                    .expect("readable");
                let value = String::from_utf8(read.value.expect("a value").to_vec()).expect("text");
                let transaction = producer.begin().await.expect("begins");
                let number: i64 = value.parse().expect("a number");
                let square = format!("={:04}", number * number);
                transaction.post(record(topic, 1, &square)).await.expect("taken");
                let next = Offset::new(read.offset.raw() + 1);
                if step == 1 && deaths % 3 == 0 {
                    break;
                }
                let offsets = BTreeMap::from([(PartitionName::new(topic, 0), next.into())]);
                transaction
                    .send_offsets(offsets, GroupMetadata::without_member(&group))
                    .await
                    .expect("taken");
                if step == 1 && deaths % 3 == 1 {
                    break;
                }
                transaction.commit().await.expect("committed");
                if next.raw() == COUNT {
                    break;
                }
            }
            deaths += 1;
        }
        assert!(deaths > 5, "{deaths}");
        let mut expected: Vec<_> = (0..COUNT).map(|number| format!("{number:02}")).collect();
        expected.extend((0..COUNT).map(|number| format!("={:04}", number * number)));
        expected.sort();
        assert_eq!(committed(&client, topic, expected.len()).await, expected);
    });
}

#[test]
fn transactions_are_listed_described_and_taken_away() {
    with_topic(2, async |client, topic| {
        let (admin, me) = (Admin::new(&client), config(topic).transactional_id);
        let producer = start(&client, config(topic)).await;
        let mine = async |filter: TransactionFilter| {
            let listed = admin.list_transactions(&filter).await?;
            Ok::<_, AdminError>(listed.get(&me).map(|it| it.state.clone()))
        };
        let all = TransactionFilter::default;
        assert_eq!(mine(all()).await, Ok(Some(TransactionState::Empty)));
        let transaction = producer.begin().await.expect("begins");
        transaction.send(record(topic, 1, "open")).await.expect("written");
        let described = admin.describe_transactions(&[&me, "no-such-id"]).await.expect("answers");
        let description = described[&me].as_ref().expect("described");
        assert_eq!(description.state, TransactionState::Ongoing);
        assert_eq!(description.timeout, Duration::from_secs(60));
        assert!(description.started_at.is_some());
        assert_eq!(Vec::from_iter(&description.partitions), [&PartitionName::new(topic, 1)]);
        assert_eq!(code(&described["no-such-id"]), Some(ErrorCode::TransactionalIdNotFound));

        let other = ProducerId(description.producer.0 + 1_000);
        for (filter, found) in [
            (TransactionFilter { states: vec![TransactionState::Ongoing], ..all() }, true),
            (TransactionFilter { states: vec![TransactionState::Empty], ..all() }, false),
            (TransactionFilter { producers: vec![other, description.producer], ..all() }, true),
            (TransactionFilter { producers: vec![other], ..all() }, false),
            (TransactionFilter { longer_than: Some(Duration::from_secs(600)), ..all() }, false),
            (TransactionFilter { pattern: Some(format!("{topic}.*")), ..all() }, true),
            (TransactionFilter { pattern: Some("nothing".into()), ..all() }, false),
        ] {
            let state = found.then_some(TransactionState::Ongoing);
            assert_eq!(mine(filter.clone()).await, Ok(state), "{filter:?}");
        }

        let fenced = admin.fence_producers(&[&me]).await.expect("answers");
        let (_, epoch) = fenced[&me].as_ref().expect("fenced");
        assert!(*epoch > description.epoch, "{epoch} after {}", description.epoch);
        let uncommitted = transaction.commit().await.expect_err("taken away");
        assert!(matches!(uncommitted.cause, TransactionError::Fenced { .. }), "{uncommitted}");
        assert_eq!(mine(all()).await, Ok(Some(TransactionState::Empty)));
    });
}

#[test]
fn a_transaction_is_ended_in_one_partition_by_force() {
    with_topic(1, async |client, topic| {
        let (admin, partition) = (Admin::new(&client), PartitionName::new(topic, 0));
        let stuck = start(&client, config(topic)).await;
        let transaction = stuck.begin().await.expect("begins");
        transaction.send(record(topic, 0, "stuck")).await.expect("written");
        let other = start(&client, TransactionalConfig::new(format!("{topic}-other"))).await;
        let behind = other.begin().await.expect("begins");
        behind.send(record(topic, 0, "behind")).await.expect("written");
        behind.commit().await.expect("committed");
        let nowhere = admin.open_transaction(&partition, Offset::new(1_000)).await;
        assert_eq!(code(&nowhere), Some(ErrorCode::InvalidRequest));
        let open = admin.open_transaction(&partition, Offset::ZERO).await.expect("found");
        admin.abort_transaction(&open).await.expect("aborted");
        assert_eq!(committed(&client, topic, 1).await, ["behind"]);
    });
}

#[test]
fn settings_that_cannot_keep_a_promise_are_refused() {
    with_topic(1, async |client, topic| {
        let careless = ProducerConfig { idempotent: false, ..ProducerConfig::default() };
        let careless = TransactionalConfig { producer: careless, ..config(topic) };
        let refused = TransactionalProducer::start(&client, careless).await.err().expect("refused");
        assert_eq!(refused.to_string(), "transactions need acks=all and idempotence");
        let endless = TransactionalConfig { timeout_ms: 3_000_000_000, ..config(topic) };
        let refused = TransactionalProducer::start(&client, endless).await.err().expect("refused");
        let TransactionError::Fatal(cause) = &refused else { panic!("{refused}") };
        assert!(cause.to_string().contains(ErrorCode::InvalidTransactionTimeout.name()), "{cause}");
        // Nobody's transaction is open, and nobody waits for one.
        let producer = start(&client, config(topic)).await;
        producer.begin().await.expect("begins").abort().await.expect("aborted");
        producer.close().await;
    });
}

/// Counts, in decimal; not every one.
struct Count;

impl Serializer<u64> for Count {
    fn serialize<'a>(&self, topic: &str, item: &'a u64) -> Result<Cow<'a, [u8]>, FormatError> {
        if *item == 13 {
            Err(format!("{topic} has no 13").into())
        } else {
            Ok(item.to_string().into_bytes().into())
        }
    }
}

#[test]
fn records_in_a_transaction_may_have_types() {
    with_topic(1, async |client, topic| {
        let producer = start(&client, config(topic)).await;
        let (counts, texts) = (
            RecordFormat::<str, u64>::new(TextFormat, Count),
            RecordFormat::<[u8], str>::new(RawFormat, TextFormat),
        );
        let count = |value| Record { topic, key: Some("key"), value: Some(value), ..Record::default() };
        let text = Record { topic, key: Some(&b"\0"[..]), value: Some("text"), ..Record::default() };
        let aborted = producer.begin().await.expect("begins");
        aborted.typed(&counts).send(count(&1)).await.expect("written");
        aborted.abort().await.expect("aborted");
        let transaction = producer.begin().await.expect("begins");
        transaction.typed(&counts).post(count(&2)).await.expect("taken");
        transaction.typed(&texts).accept(text).await.expect("taken").await.expect("written");
        let refused = transaction.typed(&counts).send(count(&13)).await.expect_err("no 13");
        assert!(refused.to_string().contains("has no 13"), "{refused}");
        transaction.commit().await.expect("that was no part of it");
        assert_eq!(committed(&client, topic, 2).await, ["2", "text"]);
    });
}
