//! Members of groups, as applications see them.

use std::collections::{BTreeMap, BTreeSet};

use klamm_client::{
    Assignor, Client, ConsumerConfig, GroupConfig, GroupConsumer, GroupEvent, GroupProtocol, OutOfRange,
    PartitionName, Topics,
};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::consumer::write_ten;
use crate::with_topic;

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
