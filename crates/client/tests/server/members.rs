//! Members of groups, as applications see them.

use std::collections::{BTreeMap, BTreeSet};

use klamm_client::{
    Admin, Assignor, Client, CommitError, CommittedOffset, ConsumerConfig, GroupConfig, GroupConsumeError,
    GroupConsumer, GroupError, GroupEvent, GroupFilter, GroupProtocol, GroupState, NewTopic, OutOfRange,
    PartitionName, Revocation, Start, Topics,
};
use klamm_model::Offset;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::consumer::write_ten;
use crate::with_new_topic;

/// A topic whose records stay: those that are written here are of 1970, and a broker that looks for old ones meanwhile deletes them. Apache Kafka does,
/// half a minute after its start.
fn with_topic<T>(partition_count: i32, question: impl AsyncFnOnce(Client, &str) -> T) -> T {
    let configs = vec![("retention.ms".to_owned(), "-1".to_owned())];
    with_new_topic(
        NewTopic { partition_count: Some(partition_count), configs, ..NewTopic::default() },
        question,
    )
}

/// What an application was told.
#[derive(Clone, Debug, Default)]
struct Told {
    owned: BTreeSet<i32>,
    /// Every offset of each partition, in the order in which they came.
    read: BTreeMap<i32, Vec<i64>>,
    lost: u32,
}

/// An application that reads whatever comes, until it is stopped.
struct Application {
    told: watch::Receiver<Told>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Application {
    fn start(client: &Client, topic: &str, config: GroupConfig) -> Self {
        let consumer = GroupConsumer::new(client, ConsumerConfig::default(), config);
        consumer.subscribe(Topics::Named([topic.into()].into()));
        let (told, receiver) = watch::channel(Told::default());
        let (stop, stopped) = oneshot::channel();
        Self { told: receiver, stop, task: tokio::spawn(run(consumer, told, stopped)) }
    }

    async fn until(&mut self, holds: impl FnMut(&Told) -> bool) -> Told {
        self.told.wait_for(holds).await.expect("it goes on").clone()
    }

    async fn stop(self) -> Told {
        self.stop.send(()).expect("it goes on");
        self.task.await.expect("it ends well");
        self.told.borrow().clone()
    }
}

async fn run(consumer: GroupConsumer, told: watch::Sender<Told>, mut stopped: oneshot::Receiver<()>) {
    let numbers = |partitions: &[PartitionName]| partitions.iter().map(|it| it.partition).collect::<Vec<_>>();
    loop {
        let event = tokio::select! {
            event = consumer.next() => event.expect("a member of the group"),
            _ = &mut stopped => return consumer.close().await,
        };
        told.send_modify(|told| match &event {
            GroupEvent::Assigned(partitions) => {
                for partition in numbers(partitions) {
                    assert!(told.owned.insert(partition), "{partition} was not ours");
                }
            }
            GroupEvent::Revoked(revocation) => {
                for partition in numbers(revocation.partitions()) {
                    assert!(told.owned.remove(&partition), "{partition} was ours");
                }
            }
            GroupEvent::Lost(partitions) => {
                told.lost += 1;
                told.owned.retain(|it| !numbers(partitions).contains(it));
            }
            GroupEvent::Batch(batch) => {
                assert!(told.owned.contains(&batch.partition), "{} is ours", batch.partition);
                let offsets = batch.owned_records().expect("records").into_iter().map(|it| it.offset.raw());
                told.read.entry(batch.partition).or_default().extend(offsets);
            }
        });
    }
}

fn config(topic: &str, protocol: GroupProtocol, assignors: &[Assignor]) -> GroupConfig {
    GroupConfig {
        protocol,
        assignors: assignors.to_vec(),
        heartbeat_interval_ms: 50,
        uncommitted: OutOfRange::Earliest,
        ..GroupConfig::new(format!("{topic}-{protocol:?}-{assignors:?}"))
    }
}

fn count(told: &Told) -> usize {
    told.read.values().map(Vec::len).sum()
}

#[test]
fn members_share_a_topic_and_whoever_comes_back_goes_on_where_the_group_has_committed() {
    use Assignor::{CooperativeSticky, Range, RoundRobin, Sticky};
    let classic = GroupProtocol::Classic;
    with_topic(4, async |client, topic| {
        for (number, config) in [
            config(topic, classic, &[Range, CooperativeSticky]),
            config(topic, classic, &[CooperativeSticky]),
            config(topic, classic, &[RoundRobin]),
            config(topic, classic, &[Sticky]),
            config(topic, GroupProtocol::Consumer, &[]),
        ]
        .into_iter()
        .enumerate()
        {
            let group = &config.group_id;
            write_ten(&client, topic, 4).await;
            let old = 40 * 3 * number;
            let mut one = Application::start(&client, topic, config.clone());
            one.until(|told| told.owned.len() == 4 && count(told) == old + 40).await;
            let mut two = Application::start(&client, topic, config.clone());
            two.until(|told| told.owned.len() == 2).await;
            let of_one = one.until(|told| told.owned.len() == 2).await.owned;
            assert!(of_one.is_disjoint(&two.told.borrow().owned), "{group}");

            write_ten(&client, topic, 4).await;
            two.until(|told| count(told) == 20).await;
            let two = two.stop().await;
            one.until(|told| told.owned.len() == 4).await;
            let one = one.stop().await;
            assert_eq!((one.lost, two.lost), (0, 0), "{group}");

            write_ten(&client, topic, 4).await;
            let mut three = Application::start(&client, topic, config.clone());
            let left = old + 120 - count(&one) - count(&two);
            three.until(|told| count(told) == left).await;
            let three = three.stop().await;
            // Whoever read them: every record once.
            for partition in 0..4 {
                let read =
                    [&one, &two, &three].map(|told| told.read.get(&partition).cloned().unwrap_or_default());
                let expected: Vec<_> = (0..30 * (number as i64 + 1)).collect();
                assert_eq!(read.concat(), expected, "{group}: partition {partition}");
            }
        }
    });
}

fn consumer(client: &Client, topic: &str, config: GroupConfig) -> GroupConsumer {
    let consumer = GroupConsumer::new(client, ConsumerConfig::default(), config);
    consumer.subscribe(Topics::Named([topic.into()].into()));
    consumer
}

async fn until_assigned(consumer: &GroupConsumer) -> Vec<PartitionName> {
    loop {
        if let GroupEvent::Assigned(partitions) = consumer.next().await.expect("a member") {
            return partitions;
        }
    }
}

async fn until_revoked(consumer: &GroupConsumer) -> Revocation {
    loop {
        if let GroupEvent::Revoked(revocation) = consumer.next().await.expect("a member") {
            return revocation;
        }
    }
}

#[test]
fn what_is_revoked_is_ours_until_that_is_dropped_and_can_be_committed() {
    with_topic(2, async |client, topic| {
        for protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
            let config = config(topic, protocol, &[Assignor::CooperativeSticky]);
            let one = consumer(&client, topic, config.clone());
            assert_eq!(until_assigned(&one).await.len(), 2);
            let two = consumer(&client, topic, config.clone());
            let revocation = until_revoked(&one).await;
            let partition = revocation.partitions()[0].clone();
            assert_eq!(revocation.partitions().len(), 1, "{config:?}");
            let place = CommittedOffset { metadata: "so far".into(), ..Offset::new(5).into() };
            let committed = one.commit_offsets([(partition.clone(), place.clone())].into()).await;
            assert_eq!(committed, Ok(()), "{config:?}");
            assert_eq!(two.assignment(), [], "nobody else has it yet");
            assert!(!one.seek(&partition, Start::Earliest), "nothing more is read of it");
            drop(revocation);
            assert_eq!(until_assigned(&two).await, std::slice::from_ref(&partition));
            let told = two.committed(std::slice::from_ref(&partition)).await.expect("answers");
            assert_eq!(told, [(partition.clone(), Ok(Some(place)))].into());
            let (old, new) = (one.metadata(), two.metadata());
            assert_eq!((&old.group_id, old.generation > 0), (&config.group_id, true), "{old:?}");
            assert!(old.member_id != new.member_id && !new.member_id.is_empty(), "{old:?} {new:?}");
            tokio::join!(one.close(), two.close());
        }
    });
}

#[test]
fn a_stream_that_ends_early_loses_nothing() {
    with_topic(1, async |client, topic| {
        write_ten(&client, topic, 1).await;
        let config = config(topic, GroupProtocol::Classic, &[Assignor::Range]);
        let one = consumer(&client, topic, config.clone());
        let partition = PartitionName::new(topic, 0);
        for expected in [0, 1, 2] {
            let record = one.records().next().await.expect("goes on").expect("readable");
            assert_eq!(record.offset, Offset::new(expected));
        }
        assert_eq!(one.handed_out()[&partition].offset, Offset::new(3));
        let mut records = one.records();
        let record = records.next().await.expect("goes on").expect("readable");
        assert_eq!(record.offset, Offset::new(3));
        assert_eq!(one.commit().await, Ok(()));
        assert!(one.seek(&partition, Start::At(Offset::new(8))));
        let record = records.next().await.expect("goes on").expect("readable");
        assert_eq!(record.offset, Offset::new(8), "what was taken before does not count");
        assert!(one.seek(&partition, Start::At(Offset::new(6))));
        one.close().await;
        assert!(records.next().await.is_none(), "it is closed");
        // What was handed out last is done, as it was closed.
        let two = consumer(&client, topic, config);
        let record = two.records().next().await.expect("goes on").expect("readable");
        assert_eq!(record.offset, Offset::new(6));
    });
}

#[test]
fn whoever_comes_by_the_same_name_takes_the_place() {
    with_topic(1, async |client, topic| {
        let config = config(topic, GroupProtocol::Classic, &[Assignor::Range]);
        let named = GroupConfig { instance_id: Some("the one".into()), ..config };
        let old = consumer(&client, topic, named.clone());
        until_assigned(&old).await;
        let new = consumer(&client, topic, named);
        until_assigned(&new).await;
        let error = loop {
            match old.next().await {
                Ok(GroupEvent::Lost(_)) => {}
                Ok(other) => panic!("{other:?}"),
                Err(error) => break error,
            }
        };
        let fenced = GroupError::Fenced { instance_id: "the one".into() };
        assert_eq!(error, GroupConsumeError::Group(fenced));
        assert_eq!(old.commit().await, Err(CommitError::Fenced));
        old.close().await;
        new.close().await;
    });
}

#[test]
fn who_is_busy_for_too_long_has_no_part_until_it_asks_for_more() {
    with_topic(1, async |client, topic| {
        write_ten(&client, topic, 1).await;
        let config = config(topic, GroupProtocol::Classic, &[Assignor::Range]);
        let busy = consumer(&client, topic, GroupConfig { poll_interval_max_ms: 300, ..config.clone() });
        until_assigned(&busy).await;
        let GroupEvent::Batch(_) = busy.next().await.expect("a member") else { panic!("no records") };
        let other = consumer(&client, topic, config);
        assert_eq!(until_assigned(&other).await.len(), 1);
        assert!(busy.assignment().is_empty(), "it is out");
        assert_eq!(
            busy.metadata().generation,
            1,
            "whoever commits by this is refused, as another generation goes on"
        );
        other.close().await;
        assert_eq!(until_assigned(&busy).await.len(), 1);
        busy.close().await;
    });
}

#[test]
fn brokers_know_which_topics_an_expression_means() {
    with_topic(2, async |client, topic| {
        let config = config(topic, GroupProtocol::Consumer, &[]);
        let one = GroupConsumer::new(&client, ConsumerConfig::default(), config.clone());
        one.subscribe_regex(format!("{}.*", topic.replace('.', "[.]")));
        assert_eq!(until_assigned(&one).await.len(), 2);
        one.close().await;
        let two = GroupConsumer::new(&client, ConsumerConfig::default(), config);
        two.subscribe_regex("(");
        let error = two.next().await.expect_err("it can't be understood");
        let GroupConsumeError::Group(GroupError::Refused { code, .. }) = error else { panic!("{error}") };
        assert_eq!(code, klamm_model::ErrorCode::InvalidRegularExpression);
    });
}

/// However far it is in joining: nobody is left in the group for whom others would wait.
#[test]
fn who_closes_at_any_moment_is_gone() {
    with_topic(1, async |client, topic| {
        for protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
            let config = config(topic, protocol, &[Assignor::Range]);
            for turns in 0..60 {
                let one = consumer(&client, topic, config.clone());
                for _ in 0..turns {
                    tokio::task::yield_now().await;
                }
                one.close().await;
            }
            let groups = Admin::new(&client).list_groups(&GroupFilter::default()).await.expect("answers");
            let state = groups.get(&config.group_id).map(|group| &group.state);
            assert!(matches!(state, None | Some(GroupState::Empty)), "{protocol:?}: {groups:?}");
        }
    });
}
