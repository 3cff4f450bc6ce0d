//! Drives a member's machine: sockets, clock, and whoever waits for records, rebalances or the end of a commit.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use klamm_model::Tick;
use klamm_wire::{Request, Response};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot, watch};
use tracing::{debug, info, warn};

use super::config::Config;
use super::effect::{CommitId, Effect, ReaderId, RevocationId, Taken, Whom};
use super::error::{CommitError, GroupConsumeError};
use super::machine::Machine;
use super::metadata::GroupMetadata;
use super::stream::GroupRecords;
use crate::admin::{AdminError, ByItem, CommittedOffset};
use crate::call::{CallError, CallId};
use crate::client::{AllTopics, Client};
use crate::consumer::{
    self, Ask, Config as ReadConfig, FetchedBatch, PartitionPosition, Reset, Resets, Start, Topics,
};
use crate::metrics::ConsumerMetrics;
use crate::net::{Lane, Question, Target, seeded};
use crate::trouble::Trouble;
use crate::{Admin, PartitionName};

/// Reads as a member of a group: the members share the partitions of their topics, and start again where the group has committed.
///
/// What the application is told comes in one order, so that it knows of a partition before it gets its records, and is asked to give it up
/// when it has got the last ones:
///
/// ```no_run
/// # async fn example(client: klamm_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use klamm_client::{ConsumerConfig, GroupConfig, GroupConsumer, GroupEvent, Topics};
///
/// let consumer = GroupConsumer::new(&client, ConsumerConfig::default(), GroupConfig::new("billing"));
/// consumer.subscribe(Topics::Named(["orders".into()].into()));
/// loop {
///     match consumer.next().await? {
///         GroupEvent::Batch(batch) => println!("{} records of {}", batch.owned_records()?.len(), batch.topic),
///         GroupEvent::Assigned(partitions) => println!("ours: {partitions:?}"),
///         // Others get them when this is dropped.
///         GroupEvent::Revoked(revocation) => println!("not ours any more: {:?}", revocation.partitions()),
///         GroupEvent::Lost(partitions) => println!("others may have them already: {partitions:?}"),
///     }
/// #   break;
/// }
/// consumer.close().await;
/// # Ok(())
/// # }
/// ```
///
/// Whoever asks for more is done with what was handed out before: that is what is committed by itself, if the settings say so. One task is to
/// ask at a time; several streams of [records](Self::records) may be read side by side. Whoever does not ask for more within
/// `poll_interval_max_ms` is out of the group until it does.
///
/// Dropping it leaves the group too, with nobody to wait for that.
pub struct GroupConsumer {
    shared: Arc<Shared>,
}

/// What a member of a group is told.
#[derive(Debug)]
pub enum GroupEvent {
    /// Records of a partition that it has.
    Batch(FetchedBatch),
    /// It has these partitions too from now on. Their records come after this: whoever wants them from elsewhere seeks before it asks for more.
    Assigned(Vec<PartitionName>),
    /// It is to give up these partitions.
    Revoked(Revocation),
    /// It has lost these partitions: the group has gone on without it. Others may have them already, and nothing can be committed for them.
    Lost(Vec<PartitionName>),
}

/// Partitions that the application is to give up. It has them, and can commit for them, until it drops this; others wait for that, at most as
/// long as `poll_interval_max_ms` says.
#[derive(Debug)]
pub struct Revocation {
    shared: Weak<Shared>,
    revocation: RevocationId,
    partitions: Vec<PartitionName>,
}

/// What comes of a commit, which goes on whether or not anybody waits for it.
#[derive(Debug)]
pub struct Commit(oneshot::Receiver<Result<(), CommitError>>);

pub(super) struct Shared {
    client: Client,
    /// Where joining waits for others.
    lane: Lane,
    state: Mutex<State>,
    /// The driving task has something to do.
    work: Notify,
    ended: watch::Sender<bool>,
}

struct State {
    machine: Machine,
    /// Who waits for something to be told.
    readers: Vec<Waker>,
    resets: Resets,
    next_reader: u64,
    commits: BTreeMap<CommitId, oneshot::Sender<Result<(), CommitError>>>,
    next_commit: u64,
    /// Kept while topics are chosen by their names.
    all_topics: Option<AllTopics>,
    is_closed: bool,
}

/// Who calls [`GroupConsumer::next`].
const APPLICATION: ReaderId = ReaderId(0);

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.state.lock().machine.metadata())
    }
}

impl Drop for GroupConsumer {
    fn drop(&mut self) {
        self.shared.close(false);
    }
}

impl GroupConsumer {
    /// A consumer that reads nothing yet, on the client's connections and one of its own. Must be called within a tokio runtime.
    pub fn new(client: &Client, read: ReadConfig, group: Config) -> Self {
        let machine = Machine::new(group, read, client.cluster(), seeded());
        let state = State {
            machine,
            readers: Vec::new(),
            resets: Resets::default(),
            next_reader: 0,
            commits: BTreeMap::new(),
            next_commit: 0,
            all_topics: None,
            is_closed: false,
        };
        let shared = Arc::new(Shared {
            client: client.clone(),
            lane: client.pool().own_lane(),
            state: Mutex::new(state),
            work: Notify::new(),
            ended: watch::Sender::default(),
        });
        tokio::spawn(drive(shared.clone()));
        Self { shared }
    }

    /// Shares all partitions of these topics with the group from now on and of no others, also of topics and partitions that are made later.
    pub fn subscribe(&self, topics: Topics) {
        let all_topics = matches!(topics, Topics::Matching(_)).then(|| AllTopics::of(&self.shared.client));
        self.shared.state.lock().all_topics = all_topics;
        self.shared.step(|machine, now, out| machine.subscribe(now, topics, out));
        self.shared.work.notify_one();
    }

    /// The same with all topics whose names match the expression, as RE2 has it, as a whole. Only in the consumer protocol, where the coordinator
    /// looks for them; it says so when it does not understand the expression.
    pub fn subscribe_regex(&self, regex: impl Into<String>) {
        self.shared.state.lock().all_topics = Some(AllTopics::of(&self.shared.client));
        self.shared.step(|machine, now, _| machine.subscribe_regex(now, regex.into()));
        self.shared.work.notify_one();
    }

    /// The next batch of any partition, or what happened to the partitions; waits for it. After an error about a partition the others go on; an
    /// error about the group is the last word.
    pub async fn next(&self) -> Result<GroupEvent, GroupConsumeError> {
        let taken =
            poll_fn(|context| self.shared.poll(context, |machine, now| machine.take(now, APPLICATION)));
        Ok(match taken.await? {
            Taken::Batch(batch) => GroupEvent::Batch(batch),
            Taken::Assigned(partitions) => GroupEvent::Assigned(partitions),
            Taken::Lost(partitions) => GroupEvent::Lost(partitions),
            Taken::Revoked { revocation, partitions } => {
                let shared = Arc::downgrade(&self.shared);
                GroupEvent::Revoked(Revocation { shared, revocation, partitions })
            }
        })
    }

    /// The records, one by one, for applications to which it does not matter what partitions they have. What was taken is done when the next
    /// record is asked for, and partitions are given up between two records. The stream ends when the consumer is closed, and after an error
    /// about the group.
    pub fn records(&self) -> GroupRecords {
        let mut state = self.shared.state.lock();
        state.next_reader += 1;
        GroupRecords::new(self.shared.clone(), ReaderId(state.next_reader))
    }

    /// Commits up to where records were handed out: those that the application has now count as done. It begins at once; whoever wants to know
    /// how it ends waits. What the consumer has lost meanwhile is not committed, and neither is anything else until [`next`](Self::next) has told of that.
    pub fn commit(&self) -> Commit {
        self.begin_commit(|machine, now, id, out| machine.commit_handed_out(now, id, out))
    }

    /// Commits these offsets, each the first that is not done, with what is to be kept beside them. They are committed together or, where the
    /// coordinator refuses single partitions, those that it takes. Commits that are under way end one after the other.
    pub fn commit_offsets(&self, offsets: BTreeMap<PartitionName, CommittedOffset>) -> Commit {
        self.begin_commit(|machine, now, id, out| machine.commit(now, id, offsets, out))
    }

    fn begin_commit(&self, begin: impl FnOnce(&mut Machine, Tick, CommitId, &mut Vec<Effect>)) -> Commit {
        let (told, outcome) = oneshot::channel();
        let id = {
            let mut state = self.shared.state.lock();
            state.next_commit += 1;
            let id = CommitId(state.next_commit);
            state.commits.insert(id, told);
            id
        };
        self.shared.step(|machine, now, out| begin(machine, now, id, out));
        self.shared.work.notify_one();
        Commit(outcome)
    }

    /// Up to where records of each partition were handed out, for whoever commits them elsewhere, within a transaction for example.
    pub fn handed_out(&self) -> BTreeMap<PartitionName, CommittedOffset> {
        self.shared.state.lock().machine.positions()
    }

    /// What the group has committed for these partitions. `None`: nothing.
    pub async fn committed(
        &self,
        partitions: &[PartitionName],
    ) -> Result<ByItem<PartitionName, Option<CommittedOffset>>, AdminError> {
        let group_id = self.shared.state.lock().machine.config().group_id.clone();
        Admin::new(&self.shared.client).group_offsets(&group_id, Some(partitions)).await
    }

    /// Who this consumer is to the group just now; once the group has gone on without it, who it was, until [`next`](Self::next) has told what it has lost, so
    /// that what is committed for it in a transaction is refused.
    pub fn metadata(&self) -> GroupMetadata {
        self.shared.state.lock().machine.shown()
    }

    /// The partitions that it has now. The application may not have been told of all of them yet.
    pub fn assignment(&self) -> Vec<PartitionName> {
        self.shared.state.lock().machine.assignment().into_iter().collect()
    }

    /// Reads the partition from there on; what was fetched ahead is dropped. Says whether it is one of ours.
    pub fn seek(&self, partition: &PartitionName, to: Start) -> bool {
        self.change(|machine| machine.seek(partition, to))
    }

    /// Leaves the partition alone until [`resume`](Self::resume), without losing its place, or until it is given up. Says whether it is one of
    /// ours.
    pub fn pause(&self, partition: &PartitionName) -> bool {
        self.change(|machine| machine.pause(partition, true))
    }

    /// Goes on with a paused partition. Says whether it is one of ours.
    pub fn resume(&self, partition: &PartitionName) -> bool {
        self.change(|machine| machine.pause(partition, false))
    }

    /// How far each partition is read, and how far that is from its end.
    pub fn positions(&self) -> Vec<PartitionPosition> {
        self.shared.state.lock().machine.reader().positions().collect()
    }

    /// Which partitions are not readable for now, and why; see [`Consumer::troubles`](crate::Consumer::troubles).
    pub fn troubles(&self) -> Vec<Trouble<consumer::Cause>> {
        let now = self.shared.client.clock().now();
        self.shared.state.lock().machine.reader().troubles(now)
    }

    /// Where reading went on somewhere else than the group had come to; see [`Consumer::take_resets`](crate::Consumer::take_resets).
    pub fn take_resets(&self) -> Vec<Reset> {
        self.shared.state.lock().resets.take()
    }

    /// What was done so far.
    pub fn metrics(&self) -> ConsumerMetrics {
        self.shared.state.lock().machine.reader().metrics()
    }

    /// Leaves the group, after it has committed what was handed out, if it commits by itself. Returns when the coordinator knows, or could not be
    /// told for as long as a request may take.
    pub async fn close(self) {
        self.shared.close(true);
        let mut ended = self.shared.ended.subscribe();
        // The driving task keeps the other end.
        let _ = ended.wait_for(|has_ended| *has_ended).await;
    }

    fn change(&self, change: impl FnOnce(&mut Machine) -> bool) -> bool {
        let is_ours = change(&mut self.shared.state.lock().machine);
        self.shared.work.notify_one();
        // What waited while the partition was paused can be read at once.
        self.shared.wake_readers();
        is_ours
    }
}

impl Revocation {
    /// The partitions that are to be given up.
    pub fn partitions(&self) -> &[PartitionName] {
        &self.partitions
    }
}

impl Drop for Revocation {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.acknowledge(self.revocation);
        }
    }
}

impl Future for Commit {
    type Output = Result<(), CommitError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|outcome| outcome.unwrap_or(Err(CommitError::Closed)))
    }
}

impl Shared {
    /// What `take` finds; whoever finds nothing is woken when there may be something.
    pub(super) fn poll<T>(
        &self,
        context: &Context<'_>,
        take: impl FnOnce(&mut Machine, Tick) -> Option<T>,
    ) -> Poll<T> {
        let now = self.client.clock().now();
        let mut state = self.state.lock();
        let Some(taken) = take(&mut state.machine, now) else {
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

    pub(super) fn hand_out(&self, reader: ReaderId, next: klamm_model::Offset) -> bool {
        let now = self.client.clock().now();
        self.state.lock().machine.hand_out_record(now, reader, next)
    }

    pub(super) fn let_go(&self, reader: ReaderId) {
        self.state.lock().machine.let_go(reader);
        self.work.notify_one();
    }

    pub(super) fn acknowledge(&self, revocation: RevocationId) {
        let now = self.client.clock().now();
        self.state.lock().machine.acknowledge(now, revocation);
        self.work.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().is_closed
    }

    fn close(self: &Arc<Self>, is_all_done: bool) {
        self.state.lock().is_closed = true;
        self.step(|machine, now, out| machine.close(now, is_all_done, out));
        self.wake_readers();
        self.work.notify_one();
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
            Effect::Read(effect) => self.perform_read(effect),
            Effect::Ask { call, whom: Whom::Anybody, request, older, version_limit, timeout_ms, .. } => {
                let shared = self.clone();
                tokio::spawn(async move {
                    let client = &shared.client;
                    let mut answer = client.call_any(&request, version_limit, timeout_ms).await;
                    if let (Err(CallError::Unencodable { .. }), Some(older)) = (&answer, &older) {
                        answer = client.call_any(older, version_limit, timeout_ms).await;
                    }
                    shared.answered(call, answer);
                });
            }
            Effect::Ask {
                call,
                whom: Whom::Coordinator(broker),
                is_parked,
                request,
                older,
                version_limit,
                timeout_ms,
            } => {
                let lane = if is_parked { self.lane } else { Lane::Prompt };
                let question =
                    Asked { call, target: Target::Broker(broker), lane, version_limit, timeout_ms };
                self.ask(question, *request, older);
            }
            Effect::WantTopics(topics) => topics.iter().for_each(|name| self.client.want_topic(name)),
            Effect::Committed { commit, outcome } => {
                if let Some(told) = self.state.lock().commits.remove(&commit) {
                    // Nobody may wait for it.
                    let _ = told.send(outcome);
                }
            }
            Effect::Note(note) => warn!(group = self.state.lock().machine.config().group_id, "{note}"),
        }
    }

    fn perform_read(self: &Arc<Self>, effect: consumer::Effect) {
        use consumer::Effect as Read;
        let Ask { call, broker, what } = match effect {
            Read::Ask(ask) => ask,
            Read::RefreshMetadata => return self.client.refresh_metadata(),
            Read::LeaderHint(hint) => return self.client.leader_hint(hint),
            Read::Readable => return self.wake_readers(),
            Read::Trouble(trouble) => return warn!(%trouble, "can't be read, trying on"),
            Read::Reset(reset) => {
                info!(%reset, "the place was lost");
                return self.state.lock().resets.push(reset);
            }
        };
        let question = what.question(self.state.lock().machine.reader().config());
        // Only the driving task keeps the consumer alive: a question that is never answered must not.
        let shared = Arc::downgrade(self);
        let answer = Box::new(move |response| {
            if let (Some(call), Some(shared)) = (call, shared.upgrade()) {
                shared.read_answered(call, response);
            }
        });
        self.client.pool().ask_to_read(broker, question, answer);
    }

    fn ask(self: &Arc<Self>, asked: Asked, request: Request, older: Option<Box<Request>>) {
        let Asked { call, target, lane, version_limit, timeout_ms } = asked;
        let shared = Arc::downgrade(self);
        let answer = Box::new(move |response| {
            let Some(shared) = shared.upgrade() else { return };
            match (response, older) {
                (Err(CallError::Unencodable { .. }), Some(older)) => shared.ask(asked, *older, None),
                (response, _) => shared.answered(call, response),
            }
        });
        let question = Question { request, version_limit, timeout_ms, answer };
        self.client.pool().ask(target, lane, question);
    }

    fn answered(self: &Arc<Self>, call: CallId, response: Result<Response, CallError>) {
        self.step(|machine, now, out| {
            machine.answered(now, call, response, out);
            // The next question goes out at once, from here.
            machine.advance(now, out);
        });
        self.work.notify_one();
    }

    fn read_answered(self: &Arc<Self>, call: CallId, response: Result<Response, CallError>) {
        self.step(|machine, now, out| {
            machine.read(out, |reader, out| reader.answered(now, call, response, out));
            machine.advance(now, out);
        });
        self.work.notify_one();
    }
}

#[derive(Clone, Copy)]
struct Asked {
    call: CallId,
    target: Target,
    lane: Lane,
    version_limit: i16,
    timeout_ms: u64,
}

/// Does whatever is due, until the consumer was closed and has left.
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
            Ok(Some(cluster)) => shared.state.lock().machine.cluster_changed(cluster),
            Err(_) => break,
        }
    }
    shared.client.pool().close_lane(shared.lane);
    debug!("left the group");
    shared.ended.send_replace(true);
}
