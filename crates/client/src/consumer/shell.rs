//! Drives the consumer's machine: sockets, clock, and whoever waits for a batch.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use klamm_model::Tick;
use klamm_wire::Response;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::{info, warn};

use super::batch::FetchedBatch;
use super::config::{Config, Start};
use super::effect::{Ask, Assignment, Effect, PartitionPosition};
use super::error::{Cause, ConsumeError};
use super::machine::Machine;
use super::reset::{Reset, Resets};
use super::stream::RecordStream;
use super::subscription::Topics;
use crate::call::{CallError, CallId};
use crate::client::{AllTopics, Client};
use crate::metrics::ConsumerMetrics;
use crate::net::seeded;
use crate::trouble::Trouble;

/// Reads partitions that it is told to read, without a group (for one there is [`GroupConsumer`](crate::GroupConsumer)). Batches are fetched ahead in the
/// background, in order for each partition.
///
/// ```no_run
/// # async fn example(client: klamm_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use klamm_client::{Consumer, ConsumerConfig, OutOfRange, Start, Topics};
///
/// let config = ConsumerConfig { out_of_range: OutOfRange::Earliest, ..ConsumerConfig::default() };
/// let consumer = Consumer::new(&client, config);
/// consumer.subscribe(Topics::Named(["orders".into()].into()), Start::Latest);
/// let mut records = consumer.records();
/// while let Some(record) = records.next().await {
///     let record = record?;
///     println!("{}-{} {}: {:?}", record.topic, record.partition, record.offset, record.value);
///     println!("{} behind", consumer.metrics().lag);
/// }
/// # Ok(())
/// # }
/// ```
///
/// Dropping it blocks nobody and ends the fetching; the brokers are told, as far as they can be reached, to forget what it read.
pub struct Consumer {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    client: Client,
    state: Mutex<State>,
    /// The driving task has something to do.
    work: Notify,
}

struct State {
    machine: Machine,
    is_dropped: bool,
    /// Who waits for something to read.
    readers: Vec<Waker>,
    resets: Resets,
    /// Kept while topics are chosen by their names.
    all_topics: Option<AllTopics>,
}

impl Drop for Consumer {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.is_dropped = true;
        state.machine.assign([]);
        drop(state);
        self.shared.wake_readers();
        self.shared.work.notify_one();
    }
}

impl Consumer {
    /// A consumer that reads nothing yet, on the client's connections. Must be called within a tokio runtime.
    pub fn new(client: &Client, config: Config) -> Self {
        let machine = Machine::new(config, client.cluster(), seeded());
        let shared = Arc::new(Shared {
            client: client.clone(),
            state: Mutex::new(State {
                machine,
                is_dropped: false,
                readers: Vec::new(),
                resets: Resets::default(),
                all_topics: None,
            }),
            work: Notify::new(),
        });
        tokio::spawn(drive(shared.clone()));
        Self { shared }
    }

    /// Reads these partitions from now on, and no others.
    pub fn assign(&self, assignments: impl IntoIterator<Item = Assignment>) {
        let assignments: Vec<_> = assignments.into_iter().collect();
        for assignment in &assignments {
            self.shared.client.want_topic(&assignment.topic);
        }
        let mut state = self.shared.state.lock();
        state.machine.assign(assignments);
        state.all_topics = None;
        drop(state);
        self.shared.work.notify_one();
    }

    /// Reads all partitions of these topics from now on and no others, also topics and partitions that are made later: those from their first
    /// record, or from the given moment. A topic that the brokers' first answer lacks counts as made later: where the broker that answers lags
    /// behind just then, a topic that was there is read from its first record too.
    pub fn subscribe(&self, topics: Topics, start: Start) {
        let all_topics = match &topics {
            Topics::Named(names) => {
                names.iter().for_each(|name| self.shared.client.want_topic(name));
                None
            }
            Topics::Matching(_) => Some(AllTopics::of(&self.shared.client)),
        };
        let mut state = self.shared.state.lock();
        state.machine.subscribe(topics, start);
        state.all_topics = all_topics;
        drop(state);
        self.shared.work.notify_one();
    }

    /// The next batch of any partition; waits for one. After an error the other partitions go on.
    pub async fn next_batch(&self) -> Result<FetchedBatch, ConsumeError> {
        poll_fn(|context| self.shared.poll(context, Machine::take)).await
    }

    /// The same, but `None` when every partition has been read to its end once since it was assigned.
    pub async fn next_batch_or_end(&self) -> Result<Option<FetchedBatch>, ConsumeError> {
        let next_or_end = |machine: &mut Machine| match machine.take() {
            Some(next) => Some(next.map(Some)),
            None => machine.has_reached_end().then_some(Ok(None)),
        };
        poll_fn(|context| self.shared.poll(context, next_or_end)).await
    }

    /// The next batch if one is here already.
    pub fn take(&self) -> Option<Result<FetchedBatch, ConsumeError>> {
        let next = self.shared.state.lock().machine.take()?;
        // There is room now for more.
        self.shared.work.notify_one();
        Some(next)
    }

    /// Reads the partition from there on; what was fetched ahead is dropped. A partition that could not be read is tried again. Says
    /// whether the partition is read here at all.
    pub fn seek(&self, topic: &str, partition: i32, to: Start) -> bool {
        self.change(|machine| machine.seek(topic, partition, to))
    }

    /// Leaves the partition alone until [`resume`](Self::resume), without losing its place. Says whether it is read here at all.
    pub fn pause(&self, topic: &str, partition: i32) -> bool {
        self.change(|machine| machine.pause(topic, partition, true))
    }

    /// Goes on with a paused partition. Says whether it is read here at all.
    pub fn resume(&self, topic: &str, partition: i32) -> bool {
        self.change(|machine| machine.pause(topic, partition, false))
    }

    /// How far each partition is read, and how far that is from its end.
    pub fn positions(&self) -> Vec<PartitionPosition> {
        self.shared.state.lock().machine.positions().collect()
    }

    /// Which partitions are not readable for now, and why, for whoever waits for records in vain; what lasts longest comes first. They are tried
    /// again and again; what does not pass is an error instead, and what lasts for seconds is told in the log.
    pub fn troubles(&self) -> Vec<Trouble<Cause>> {
        let now = self.shared.client.clock().now();
        self.shared.state.lock().machine.troubles(now)
    }

    /// Where reading went on somewhere else than it had come to since this was asked last, as the log did not have that and `out_of_range` is not
    /// [`OutOfRange::Fail`](crate::OutOfRange::Fail); the last thousand.
    pub fn take_resets(&self) -> Vec<Reset> {
        self.shared.state.lock().resets.take()
    }

    /// What was done so far.
    pub fn metrics(&self) -> ConsumerMetrics {
        self.shared.state.lock().machine.metrics()
    }

    /// All records, one by one. The stream ends when the consumer is dropped.
    pub fn records(&self) -> RecordStream {
        RecordStream::new(self.shared.clone(), None)
    }

    /// The records of one partition, one by one. What such a stream takes is taken from all others.
    pub fn records_of(&self, topic: impl Into<Arc<str>>, partition: i32) -> RecordStream {
        RecordStream::new(self.shared.clone(), Some((topic.into(), partition)))
    }

    fn change(&self, change: impl FnOnce(&mut Machine) -> bool) -> bool {
        let is_ours = change(&mut self.shared.state.lock().machine);
        self.shared.work.notify_one();
        // What waited while the partition was paused can be read at once.
        self.shared.wake_readers();
        is_ours
    }
}

impl Shared {
    /// What `take` finds; whoever finds nothing is woken when there may be something.
    pub(super) fn poll<T>(
        &self,
        context: &Context<'_>,
        take: impl FnOnce(&mut Machine) -> Option<T>,
    ) -> Poll<T> {
        let mut state = self.state.lock();
        let Some(taken) = take(&mut state.machine) else {
            if !state.readers.iter().any(|reader| reader.will_wake(context.waker())) {
                state.readers.push(context.waker().clone());
            }
            return Poll::Pending;
        };
        drop(state);
        // There is room now for more.
        self.work.notify_one();
        Poll::Ready(taken)
    }

    pub(super) fn is_dropped(&self) -> bool {
        self.state.lock().is_dropped
    }

    fn wake_readers(&self) {
        let readers = std::mem::take(&mut self.state.lock().readers);
        readers.into_iter().for_each(Waker::wake);
    }

    fn step(self: &Arc<Self>, feed: impl FnOnce(&mut Machine, Tick, &mut Vec<Effect>)) {
        let now = self.client.clock().now();
        let mut effects = Vec::new();
        feed(&mut self.state.lock().machine, now, &mut effects);
        for effect in effects {
            self.perform(effect);
        }
    }

    fn perform(self: &Arc<Self>, effect: Effect) {
        match effect {
            Effect::Ask(ask) => self.ask(ask),
            Effect::RefreshMetadata => self.client.refresh_metadata(),
            Effect::LeaderHint(hint) => self.client.leader_hint(hint),
            Effect::Readable => self.wake_readers(),
            Effect::Trouble(trouble) => warn!(%trouble, "can't be read, trying on"),
            Effect::Reset(reset) => {
                info!(%reset, "the place was lost");
                self.state.lock().resets.push(reset);
            }
        }
    }

    fn ask(self: &Arc<Self>, Ask { call, broker, what }: Ask) {
        let question = what.question(self.state.lock().machine.config());
        // Only the driving task keeps the consumer alive: a question that is never answered must not.
        let shared = Arc::downgrade(self);
        let answer = Box::new(move |response| {
            if let (Some(call), Some(shared)) = (call, shared.upgrade()) {
                shared.answered(call, response);
            }
        });
        self.client.pool().ask_to_read(broker, question, answer);
    }

    fn answered(self: &Arc<Self>, call: CallId, response: Result<Response, CallError>) {
        self.step(|machine, now, out| {
            machine.answered(now, call, response, out);
            // The next question goes out at once, from here.
            machine.advance(now, out);
        });
        self.work.notify_one();
    }
}

/// Asks for whatever is wanted, until the consumer is dropped.
async fn drive(shared: Arc<Shared>) {
    let mut clusters = shared.client.clusters();
    loop {
        shared.step(|machine, now, out| machine.advance(now, out));
        let wake = {
            let state = shared.state.lock();
            if state.is_dropped {
                drop(state);
                return shared.step(|machine, _, out| machine.close(out));
            }
            state.machine.next_wake()
        };
        match shared.client.turn(&shared.work, &mut clusters, wake).await {
            Ok(None) => {}
            Ok(Some(cluster)) => shared.state.lock().machine.cluster_changed(cluster),
            Err(_) => return,
        }
    }
}
