//! Drives the producer's machine: sockets, clock, and the futures of those who send.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use klamm_model::{ErrorCode, Tick};
use klamm_wire::{Request, Response};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::warn;

use super::config::Config;
use super::delivery::{Delivered, Delivery, Part, Slot};
use super::effect::{Done, Effect, Written};
use super::error::{Cause, SendError};
use super::machine::Machine;
use super::record::{Appended, OwnedRecord, Record, Refused};
use super::request::{coordinator_request, identity_request, produce_request};
use crate::call::{CallError, CallId};
use crate::client::Client;
use crate::metrics::ProducerMetrics;
use crate::net::{Lane, Question, RecordClock, Target, seeded};
use crate::trouble::Trouble;

/// How often a record for an unknown partition is tried again with newer metadata. The first of them may have been on their way before the
/// partition was added.
const TRIES_WITHOUT_PARTITION_MAX: u32 = 2;

/// What became of a batch, for those who care for batches and not for records. A batch that is too large for its broker is cut, and its parts
/// are reported each.
#[derive(Clone, Copy, Debug)]
pub struct BatchReport<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition.
    pub partition: i32,
    /// Records in the batch.
    pub record_count: u32,
    /// Bytes of the records before compression.
    pub size: usize,
    /// Offset of the first record, and the broker's time if it sets one; or why nothing was written.
    pub outcome: Result<Written, &'a SendError>,
}

/// Records that were given up because the producer was closed, and not known to be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{record_count} records were not acknowledged before the producer was closed")]
pub struct Unacknowledged {
    /// How many.
    pub record_count: u64,
}

type Observer = Box<dyn Fn(BatchReport<'_>) + Send + Sync>;

/// Writes records. Records are collected in batches by a lock and no hand-over; a task of its own sends them. All methods take `&self`, so
/// a producer is shared by reference or in an `Arc`.
///
/// ```no_run
/// # async fn example(client: klamm_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use klamm_client::{Producer, ProducerConfig, Record};
/// use klamm_model::{Codec, Compression};
///
/// let compression = Compression { codec: Codec::Zstd, level: 3 };
/// let producer = Producer::new(&client, ProducerConfig { compression, ..ProducerConfig::default() });
/// let mut deliveries = Vec::new();
/// for value in [b"one", b"two"] {
///     deliveries.push(producer.accept(Record::new("orders", value)).await?);
/// }
/// producer.flush().await;
/// for delivery in deliveries {
///     // In one batch, most likely, and in this order in any case.
///     println!("{:?}", delivery.await?.offset);
/// }
/// let done = producer.metrics();
/// println!("{} records in {} batches, {:?} each", done.records, done.batches, done.latency.mean());
/// # Ok(())
/// # }
/// ```
///
/// Dropping it blocks nobody: what was accepted is still sent in the background, as long as the runtime runs, and a warning tells how many
/// records that are. [`close`](Self::close) waits for them.
pub struct Producer {
    pub(super) shared: Arc<Shared>,
}

/// What is kept with each batch.
pub(super) type Tag = Option<Arc<Slot>>;

pub(super) struct Shared {
    pub(super) client: Client,
    pub(super) state: Mutex<State>,
    /// The driving task has something to do.
    pub(super) work: Notify,
    /// Somebody who waits may try again: there is room, or news of a topic.
    retry: Notify,
    /// A batch ended, or a transaction goes on.
    pub(super) ended: Notify,
    observer: Option<Observer>,
    /// A batch was closed or begun since somebody last stepped back.
    owes_turn: AtomicBool,
}

pub(super) struct State {
    pub(super) machine: Machine<Tag>,
    record_clock: RecordClock,
    effects: Vec<Effect<Tag>>,
}

impl Drop for Producer {
    fn drop(&mut self) {
        let records = {
            let mut state = self.shared.state.lock();
            state.machine.close();
            // Those of a transaction are given up, as whoever let go of it was told.
            if state.machine.transaction().is_some() { 0 } else { state.machine.record_count() }
        };
        if records > 0 {
            warn!(records, "a producer was dropped before they were acknowledged; they are still being sent");
        }
        self.shared.work.notify_one();
    }
}

impl Drop for Shared {
    /// Nobody is left who could send: the runtime has ended, or the producer is finished.
    fn drop(&mut self) {
        let State { machine, effects, .. } = self.state.get_mut();
        let records = machine.record_count();
        if records == 0 {
            return;
        }
        warn!(records, "a producer's runtime ended before they were acknowledged; they are given up");
        let mut effects = std::mem::take(effects);
        machine.abandon(&mut effects);
        for effect in effects {
            if let Effect::Done(done) = effect {
                self.report(done);
            }
        }
    }
}

impl Producer {
    /// A producer on the client's connections. Must be called within a tokio runtime.
    pub fn new(client: &Client, config: Config) -> Self {
        Self::start(client, Machine::new(config, client.cluster(), seeded()), None)
    }

    /// The same; `observer` is called for every batch that was written or given up, in a task that must not be held up.
    pub fn with_observer(
        client: &Client,
        config: Config,
        observer: impl Fn(BatchReport<'_>) + Send + Sync + 'static,
    ) -> Self {
        Self::start(client, Machine::new(config, client.cluster(), seeded()), Some(Box::new(observer)))
    }

    pub(super) fn start(client: &Client, machine: Machine<Tag>, observer: Option<Observer>) -> Self {
        let shared = Arc::new(Shared {
            client: client.clone(),
            state: Mutex::new(State { machine, record_clock: RecordClock::default(), effects: Vec::new() }),
            work: Notify::new(),
            retry: Notify::new(),
            ended: Notify::new(),
            observer,
            owes_turn: AtomicBool::new(false),
        });
        tokio::spawn(drive(shared.clone()));
        Self { shared }
    }

    /// Sends a record and waits until it is written. If there is room and the topic is known, the record is in its batch before this
    /// returns, whether or not the future is awaited: several futures awaited together share batches and keep their order.
    pub fn send<'a>(
        &'a self,
        record: Record<'a>,
    ) -> impl Future<Output = Result<Delivered, SendError>> + Send + 'a {
        let at_once = self.shared.try_append(&record);
        async move {
            let delivery = match at_once {
                Ok((delivery, _)) => delivery,
                Err(refused) => self.append_later(&record, refused).await?,
            };
            delivery.await
        }
    }

    /// Takes a record as soon as there is room; the answer to that can be awaited anywhere and any time. Order is that of acceptance.
    /// A future that is dropped before it is ready has sent nothing.
    pub async fn accept(&self, record: Record<'_>) -> Result<Delivery, SendError> {
        self.shared.let_others_work().await;
        match self.shared.try_append(&record) {
            Ok((delivery, wants_advance)) => {
                self.shared.owes_turn.store(wants_advance, Ordering::Relaxed);
                Ok(delivery)
            }
            Err(refused) => self.append_later(&record, refused).await,
        }
    }

    /// As [`send`](Self::send), but nothing happens before the future is awaited.
    pub async fn send_owned(&self, record: &OwnedRecord) -> Result<Delivered, SendError> {
        let headers = record.lend_headers();
        self.accept(record.lend(&headers)).await?.await
    }

    /// Takes a record if there is room and its topic is known; `None` if not. For those who cannot wait.
    pub fn try_accept(&self, record: &Record<'_>) -> Result<Option<Delivery>, SendError> {
        match self.shared.try_append(record) {
            Ok((delivery, _)) => Ok(Some(delivery)),
            Err(Refused::Never(error) | Refused::NoSuchPartition(error)) => Err(error),
            Err(Refused::NeedsMetadata) => {
                self.shared.client.want_topic(record.topic);
                Ok(None)
            }
            Err(Refused::Full) => Ok(None),
        }
    }

    /// Takes a record as soon as there is room, and that is all the caller wants to know; the observer hears of the batch. The cheapest
    /// way to send many records.
    pub async fn post(&self, record: Record<'_>) -> Result<(), SendError> {
        self.shared.let_others_work().await;
        match self.try_post(&record) {
            Ok(wants_advance) => self.shared.owes_turn.store(wants_advance, Ordering::Relaxed),
            Err(refused) => drop(self.append_later(&record, refused).await?),
        }
        Ok(())
    }

    /// Waits until everything accepted so far is written or given up.
    pub async fn flush(&self) {
        let mark = self.shared.state.lock().machine.flush();
        self.shared.work.notify_one();
        self.shared.until(|machine| machine.is_flushed(mark)).await;
    }

    /// Takes no more records, and waits until everything accepted is written or given up.
    pub async fn close(self) {
        self.shared.close().await;
    }

    /// As [`close`](Self::close), but gives up what is not acknowledged after `patience`.
    pub async fn close_within(self, patience: Duration) -> Result<(), Unacknowledged> {
        if tokio::time::timeout(patience, self.shared.close()).await.is_ok() {
            return Ok(());
        }
        let mut record_count = 0;
        self.shared.step(|machine, _, out| {
            record_count = machine.record_count();
            machine.abandon(out);
        });
        self.shared.work.notify_one();
        // The last may have been acknowledged this moment.
        if record_count == 0 { Ok(()) } else { Err(Unacknowledged { record_count }) }
    }

    /// Which partitions are not written for now, and why, for whoever waits in vain; what lasts longest comes first. It is tried on until the
    /// delivery timeout; what lasts for seconds is told in the log.
    pub fn troubles(&self) -> Vec<Trouble<Cause>> {
        let now = self.shared.client.clock().now();
        self.shared.state.lock().machine.troubles(now)
    }

    /// What was done so far.
    pub fn metrics(&self) -> ProducerMetrics {
        self.shared.state.lock().machine.metrics()
    }

    /// Bytes that wait for an acknowledgement.
    pub fn buffered(&self) -> usize {
        self.shared.state.lock().machine.buffered()
    }

    fn try_post(&self, record: &Record<'_>) -> Result<bool, Refused> {
        let clock = self.shared.client.clock();
        let mut state = self.shared.state.lock();
        let State { machine, record_clock, .. } = &mut *state;
        let wants_advance = machine.append_at(|| clock.now(), || record_clock.wall(), record)?.wants_advance;
        drop(state);
        if wants_advance {
            self.shared.work.notify_one();
        }
        Ok(wants_advance)
    }

    /// The slow way: wait for metadata or room, and try again.
    async fn append_later(&self, record: &Record<'_>, mut refused: Refused) -> Result<Delivery, SendError> {
        let shared = &self.shared;
        let block_max_ms = shared.state.lock().machine.config().block_max_ms;
        let deadline = tokio::time::Instant::now() + Duration::from_millis(block_max_ms);
        let mut tries_without_partition = 0;
        loop {
            match refused {
                Refused::Never(error) => return Err(error),
                Refused::NoSuchPartition(error) if tries_without_partition == TRIES_WITHOUT_PARTITION_MAX => {
                    return Err(error);
                }
                Refused::NoSuchPartition(_) => {
                    tries_without_partition += 1;
                    shared.client.refresh_metadata();
                }
                Refused::NeedsMetadata => shared.client.want_topic(record.topic),
                Refused::Full => shared.work.notify_one(),
            }
            let retry = shared.retry.notified();
            tokio::pin!(retry);
            // Registered before the next try, so that news between the two is not missed.
            retry.as_mut().enable();
            refused = match shared.try_append(record) {
                Ok((delivery, _)) => return Ok(delivery),
                Err(refused) => refused,
            };
            if tokio::time::timeout_at(deadline, retry).await.is_err() {
                return Err(shared.too_late(record, &refused, block_max_ms));
            }
        }
    }
}

impl Shared {
    /// On a runtime of one thread a sender that never has to wait would keep everybody else from working: it steps back once a batch. Before its next record,
    /// and not behind the last one: whoever gives up waiting here has sent nothing.
    async fn let_others_work(&self) {
        if self.owes_turn.load(Ordering::Relaxed) {
            self.owes_turn.store(false, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    }

    fn try_append(&self, record: &Record<'_>) -> Result<(Delivery, bool), Refused> {
        let clock = self.client.clock();
        let mut state = self.state.lock();
        let State { machine, record_clock, .. } = &mut *state;
        let appended = machine.append_at(|| clock.now(), || record_clock.wall(), record)?;
        let slot = appended.tag.get_or_insert_default().clone();
        let Appended { place, timestamp, wants_advance, .. } = appended;
        drop(state);
        if wants_advance {
            self.work.notify_one();
        }
        Ok((Delivery { slot, place, timestamp }, wants_advance))
    }

    fn too_late(&self, record: &Record<'_>, refused: &Refused, waited_ms: u64) -> SendError {
        let cause = match refused {
            Refused::Never(error) | Refused::NoSuchPartition(error) => return error.clone(),
            Refused::Full => {
                let buffer_memory = self.state.lock().machine.config().buffer_memory;
                Cause::BufferFull { buffer_memory, waited_ms }
            }
            Refused::NeedsMetadata => {
                let cluster = self.client.cluster();
                let answer = cluster.topics.get(record.topic).map(|topic| topic.error);
                let answer = answer.filter(|code| *code != ErrorCode::None);
                Cause::UnknownTopic { waited_ms, answer, last: self.client.unreachable() }
            }
        };
        SendError::before_sending(record.topic, record.partition, cause)
    }

    pub(super) async fn close(&self) {
        self.state.lock().machine.close();
        self.work.notify_one();
        self.until(|machine| machine.is_finished()).await;
    }

    async fn until(&self, is_true: impl Fn(&Machine<Tag>) -> bool) {
        self.found(|machine| is_true(machine).then_some(())).await;
    }

    /// Waits until the machine says something.
    pub(super) async fn found<R>(&self, mut look: impl FnMut(&mut Machine<Tag>) -> Option<R>) -> R {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if let Some(found) = look(&mut self.state.lock().machine) {
                return found;
            }
            ended.await;
        }
    }

    /// Feeds the machine and performs what comes out.
    fn step(self: &Arc<Self>, feed: impl FnOnce(&mut Machine<Tag>, Tick, &mut Vec<Effect<Tag>>)) {
        let now = self.client.clock().now();
        let mut effects = {
            let mut state = self.state.lock();
            let mut effects = std::mem::take(&mut state.effects);
            feed(&mut state.machine, now, &mut effects);
            effects
        };
        let mut something_ended = false;
        for effect in effects.drain(..) {
            something_ended |= matches!(effect, Effect::Done(_) | Effect::Progress);
            self.perform(effect);
        }
        self.state.lock().effects = effects;
        if something_ended {
            self.ended.notify_waiters();
        }
    }

    fn perform(self: &Arc<Self>, effect: Effect<Tag>) {
        match effect {
            Effect::Produce { call, broker, topics } => {
                let (request, version_limit) = {
                    let machine = &self.state.lock().machine;
                    produce_request(machine.config(), machine.transaction(), topics)
                };
                self.ask(call, Target::Broker(broker), request, version_limit);
            }
            Effect::InitProducerId { call } => self.ask_any(call, identity_request(), i16::MAX),
            Effect::Ask { call, coordinator, question } => {
                let transaction = self.state.lock().machine.transaction();
                let (id, _) = transaction.expect("only transactional producers ask coordinators");
                let (request, version_limit) = coordinator_request(&id, question);
                match coordinator {
                    Some(broker) => self.ask(call, Target::Broker(broker), request, version_limit),
                    None => self.ask_any(call, request, version_limit),
                }
            }
            // Told to those who wait when all is done.
            Effect::Progress => {}
            Effect::RefreshMetadata => self.client.refresh_metadata(),
            Effect::LeaderHint(hint) => self.client.leader_hint(hint),
            Effect::Done(done) => self.report(done),
            Effect::Room => self.retry.notify_waiters(),
            Effect::Trouble(trouble) => warn!(%trouble, "can't be written, trying on"),
        }
    }

    fn ask_any(self: &Arc<Self>, call: CallId, request: Request, version_limit: i16) {
        let shared = self.clone();
        let timeout_ms = self.client.config().request_timeout_ms;
        tokio::spawn(async move {
            let response = shared.client.call_any(&request, version_limit, timeout_ms).await;
            shared.answered(call, response);
        });
    }

    fn ask(self: &Arc<Self>, call: CallId, target: Target, request: Request, version_limit: i16) {
        // Only the driving task keeps the producer alive: a question that is never answered must not.
        let shared = Arc::downgrade(self);
        let timeout_ms = self.state.lock().machine.config().request_timeout_ms;
        let answer = Box::new(move |response| {
            if let Some(shared) = shared.upgrade() {
                shared.answered(call, response);
            }
        });
        self.client.pool().ask(target, Lane::Prompt, Question { request, version_limit, timeout_ms, answer });
    }

    fn answered(self: &Arc<Self>, call: CallId, response: Result<Response, CallError>) {
        self.step(|machine, now, out| match response {
            Ok(Response::Produce(response)) => machine.produced(now, call, response, out),
            Ok(Response::InitProducerId(response)) if machine.transaction().is_none() => {
                machine.identified(now, call, &response, out);
            }
            Ok(response) => machine.coordinated(now, call, response, out),
            Err(error) => machine.call_failed(now, call, &error, out),
        });
        self.work.notify_one();
    }

    fn report(&self, done: Done<Tag>) {
        let Done { tag, topic, partition, first_place, record_count, size, outcome } = done;
        if let Some(observer) = &self.observer {
            let outcome = outcome.as_ref().copied();
            observer(BatchReport { topic: &topic, partition, record_count, size, outcome });
        }
        if let Some(slot) = tag {
            let places = first_place..first_place + record_count;
            slot.settle(Part { places, topic, partition, outcome });
        }
    }
}

/// Sends whatever can be sent, until the producer is closed and empty.
async fn drive(shared: Arc<Shared>) {
    let mut clusters = shared.client.clusters();
    loop {
        shared.step(|machine, now, out| machine.advance(now, out));
        let wake = {
            let state = shared.state.lock();
            if state.machine.is_finished() {
                break;
            }
            state.machine.next_wake()
        };
        match shared.client.turn(&shared.work, &mut clusters, wake).await {
            Ok(None) => {}
            Ok(Some(cluster)) => {
                shared.state.lock().machine.cluster_changed(cluster);
                shared.retry.notify_waiters();
            }
            Err(_) => break,
        }
    }
    shared.ended.notify_waiters();
}
