//! A whole node: events and time in, effects out.
//!
//! It owns the replicas, the requests that wait for them, the committed [`Image`], and, while it leads the quorum, the controller.
//! It never waits and never looks at a clock: whatever it wants from the world it says as an [`Effect`].

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use klamm_cluster::{Image, config::TopicConfig};
use klamm_log::{DiskError, DiskOp, Done, Log, OpId};
use klamm_model::{BrokerId, ErrorCode, Offset, PartitionIndex, Tick, TopicPartition};
use klamm_replica::{Progress, Role, Sabotage};
use rustc_hash::FxHashMap;

use crate::{
    Body, Effect, Event, Incoming, LineLimit, NodeConfig, Now, View,
    calls::Purpose,
    cleaner::Cleaner,
    coordinators::Coordinators,
    disks::Disks,
    doubts::Doubts,
    feeds::Feeds,
    fetch_sessions::FetchSessions,
    follow::Followers,
    handlers::{
        self,
        delete_records::DeleteWaiter,
        fetch::{self, FetchWaiter},
        in_pieces::{self, InPieces},
        produce::{self, ProduceWaiter},
        producer_ids::{self, ProducerIds},
    },
    hosted::{Goal, Hosted, ProduceWait},
    membership::Membership,
    metadata::Metadata,
    mover::Mover,
    offline::OfflineReplicas,
    partitions::layers,
    report::Counters,
    rules::TopicRules,
    scrubber::Scrubber,
    stalls::SentAway,
    stopping::Stopping,
    throttle::Throttles,
    turned_away::Awake,
    waiters::{WaiterId, Waiters},
    walk::Walk,
};

/// How often durable points are noted and lagging followers looked for.
const PERIODIC_MS: u64 = 500;

/// How soon after the start old segments are looked for, where that is not done more often anyway. As with Kafka.
const RETENTION_FIRST_MS: u64 = 30_000;

/// One node of a cluster; see the module.
pub struct Node {
    /// As it holds now: what was given at start, and over it what was set at run time.
    pub(crate) config: NodeConfig,
    pub(crate) started_with: NodeConfig,
    pub(crate) sabotage: Sabotage,
    pub(crate) image: Image,
    pub(crate) topic_defaults: TopicConfig,
    pub(crate) rules: TopicRules,
    pub(crate) hosted: FxHashMap<TopicPartition, Hosted>,
    /// For what is said of writes that failed: on a full disk all of them do.
    loss_lines: LineLimit,
    pub(crate) produce_waiters: Waiters<ProduceWaiter>,
    pub(crate) fetch_waiters: Waiters<FetchWaiter>,
    /// Of the fetches of clients among them.
    pub(crate) parked_partitions: usize,
    pub(crate) fetch_sessions: FetchSessions,
    pub(crate) delete_waiters: Waiters<DeleteWaiter>,
    /// Parked fetches that may find more now.
    woken: Vec<WaiterId>,
    /// Requests to other brokers that are under way.
    pub(crate) sent: FxHashMap<u64, Purpose>,
    pub(crate) next_token: u64,
    /// Partitions whose frontiers moved in this step.
    pub(crate) moved: Vec<TopicPartition>,
    /// Partitions whose in-sync set may want a change.
    pub(crate) isr_due: BTreeSet<TopicPartition>,
    /// Disk operations of the call under way; empty between calls.
    pub(crate) ops: Vec<DiskOp>,
    pub(crate) doubts: Doubts,
    pub(crate) sent_away: SentAway,
    pub(crate) awake: Awake,
    pub(crate) metadata: Metadata,
    pub(crate) membership: Membership,
    pub(crate) feeds: Feeds,
    pub(crate) followers: Followers,
    pub(crate) throttles: Throttles,
    pub(crate) producer_ids: ProducerIds,
    pub(crate) coordinators: Coordinators,
    pub(crate) disks: Disks,
    pub(crate) counters: Counters,
    /// Logs found on disk that no partition has claimed.
    pub(crate) found: BTreeMap<TopicPartition, Log>,
    /// Partitions whose logs on this disk could not be recovered; they stay offline here.
    pub(crate) damaged: BTreeSet<TopicPartition>,
    /// Partitions whose logs here cannot be used: those that are damaged, and those that have failed.
    pub(crate) offline: Arc<BTreeSet<TopicPartition>>,
    pub(crate) offline_replicas: OfflineReplicas,
    /// Directories, by topic name and partition, whose deletion is under way; a new partition of that name has to wait.
    pub(crate) leaving: BTreeMap<(Arc<str>, PartitionIndex), BTreeSet<TopicPartition>>,
    /// Directories that are free again.
    freed: Vec<(Arc<str>, PartitionIndex)>,
    /// Directories with records of which it is not known whose they are.
    pub(crate) unclaimed: BTreeSet<String>,
    /// Partitions with something to note at the next periodic round.
    active: BTreeSet<TopicPartition>,
    periodic_at: Option<Tick>,
    pub(crate) cleaner: Cleaner,
    pub(crate) mover: Mover,
    pub(crate) scrubber: Scrubber,
    /// When old segments are looked for next, and how far the look under way has come.
    retention_at: Option<Tick>,
    retention: Option<Walk>,
    pub(crate) in_pieces: VecDeque<InPieces>,
    /// Since when a look at all partitions waits to go on.
    walking_since: Option<Tick>,
    /// Partitions with deleted segments whose files are to go, by when.
    removals: BTreeSet<(Tick, TopicPartition)>,
    pub(crate) stopping: Option<Stopping>,
    /// The image or readiness changed since the last view was published.
    pub(crate) view_is_stale: bool,
}

impl Node {
    /// A node that knows nothing yet. `seed` feeds all its randomness.
    pub fn new(config: NodeConfig, seed: u64, sabotage: Sabotage) -> Self {
        let image = Image::default();
        let topic_defaults = NodeConfig::topic_defaults(layers(&image, config.broker_id, &config.given));
        let mut node = Self {
            metadata: Metadata::new(seed),
            membership: Membership::default(),
            doubts: Doubts::default(),
            sent_away: SentAway::default(),
            awake: Awake::default(),
            feeds: Feeds::default(),
            followers: Followers::default(),
            throttles: Throttles::default(),
            producer_ids: ProducerIds::default(),
            coordinators: Coordinators::new(seed),
            disks: Disks::new(&config),
            counters: Counters::default(),
            image,
            hosted: FxHashMap::default(),
            loss_lines: LineLimit::default(),
            produce_waiters: Waiters::default(),
            fetch_waiters: Waiters::default(),
            parked_partitions: 0,
            fetch_sessions: FetchSessions::new(config.fetch_session_count_max, seed),
            delete_waiters: Waiters::default(),
            moved: Vec::new(),
            isr_due: BTreeSet::new(),
            ops: Vec::new(),
            found: BTreeMap::new(),
            damaged: BTreeSet::new(),
            offline: Arc::default(),
            offline_replicas: OfflineReplicas::default(),
            leaving: BTreeMap::new(),
            freed: Vec::new(),
            unclaimed: BTreeSet::new(),
            woken: Vec::new(),
            sent: FxHashMap::default(),
            next_token: 0,
            active: BTreeSet::new(),
            periodic_at: None,
            cleaner: Cleaner::default(),
            mover: Mover::default(),
            scrubber: Scrubber::new(seed),
            retention_at: None,
            retention: None,
            in_pieces: VecDeque::new(),
            walking_since: None,
            removals: BTreeSet::new(),
            stopping: None,
            view_is_stale: true,
            started_with: config.clone(),
            config,
            sabotage,
            rules: TopicRules::new(&topic_defaults),
            topic_defaults,
        };
        node.set_throttles();
        node
    }

    /// Hands in a log that was found on disk at start, before the first event.
    pub fn adopt(&mut self, log: Log) {
        self.found.insert(log.partition(), log);
    }

    /// Tells of a log on disk that could not be recovered: its partition is offline here, and nothing of it is touched.
    pub fn adopt_damaged(&mut self, partition: TopicPartition) {
        self.damaged.insert(partition);
        self.goes_offline(partition);
    }

    /// Clients are told from now on.
    pub(crate) fn goes_offline(&mut self, partition: TopicPartition) {
        Arc::make_mut(&mut self.offline).insert(partition);
        self.offline_replicas.changed();
        self.view_is_stale = true;
    }

    /// This node's number.
    pub fn id(&self) -> BrokerId {
        self.config.broker_id
    }

    /// The committed metadata as this node has applied it.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// A partition this node has, for checks and reports.
    pub fn replica(&self, key: TopicPartition) -> Option<&klamm_replica::Replica> {
        self.hosted.get(&key).map(|hosted| &hosted.replica)
    }

    /// All partitions this node has.
    pub fn partitions(&self) -> impl Iterator<Item = TopicPartition> {
        self.hosted.keys().copied()
    }

    /// From where on records that were acknowledged may be lost: the topic is not synced, and the broker was not stopped cleanly.
    pub fn may_lack_from(&self, key: TopicPartition) -> Option<Offset> {
        self.hosted.get(&key)?.may_lack_from
    }

    /// Logs on this disk that the cluster's metadata does not know; they are left alone.
    pub fn strays(&self) -> impl Iterator<Item = TopicPartition> {
        self.found.keys().copied()
    }

    /// Tells of a directory with records that does not say whose they are: the partition of that name does not begin anew beside it.
    pub fn adopt_unclaimed(&mut self, directory: String) {
        self.unclaimed.insert(directory);
    }

    /// The cluster that this node has become a member of, or founds. Told before the engine starts, where it was not known at construction.
    pub fn belong(&mut self, cluster_id: &str) {
        for config in [&mut self.config, &mut self.started_with] {
            config.cluster_id = Some(cluster_id.to_owned());
        }
    }

    /// The one way in.
    pub fn step(&mut self, now: Now, event: Event, out: &mut Vec<Effect>) {
        self.take(now, event, out);
        self.conclude(now, out);
    }

    /// The same for several. What disks have done is taken together, so that whoever waits for several partitions gets one answer.
    pub fn step_all(&mut self, now: Now, events: impl Iterator<Item = Event>, out: &mut Vec<Effect>) {
        let is_of_disks = |event: &Event| matches!(event, Event::Disk { .. } | Event::SyncBegins { .. });
        let mut events = events.peekable();
        while let Some(event) = events.next() {
            let goes_on = is_of_disks(&event) && events.peek().is_some_and(is_of_disks);
            self.take(now, event, out);
            if !goes_on {
                self.conclude(now, out);
            }
        }
    }

    fn take(&mut self, now: Now, event: Event, out: &mut Vec<Effect>) {
        self.membership.observe(now.tick, self.config.session_timeout_ms);
        self.awake.observe(now.tick);
        match event {
            Event::Request(incoming) => self.request(now, incoming, out),
            Event::Closed(connection) => {
                self.produce_waiters.take_where(|waiter| waiter.to.connection == connection);
                for (id, waiter) in self.fetch_waiters.take_where(|waiter| waiter.to.connection == connection)
                {
                    waiter.abandon(self, id);
                }
                if let Some(follower) = self.close_feed(connection) {
                    self.doubt(now, follower);
                }
                self.doubts.forget(connection);
                self.sent_away.forget(connection);
                self.delete_waiters.take_where(|waiter| waiter.to.connection == connection);
                self.metadata.forget(connection);
                self.producer_ids.forget(connection);
                self.coordinators.forget(connection);
                self.in_pieces.retain(|it| it.to.connection != connection);
            }
            Event::Disk { partition, op, result } => {
                self.disk_done(now, partition, op, result, out);
                self.note_cleaned(now, partition);
                self.note_moved(partition, out);
                self.may_rest(partition, out);
            }
            Event::SyncBegins { partition, op } => {
                if let Some(hosted) = self.hosted.get_mut(&partition) {
                    hosted.replica.sync_begins(op);
                }
            }
            Event::Quorum(output) => self.quorum(now, output, out),
            Event::Peer { from, token, answer } => self.peer(now, from, token, answer, out),
            Event::Loaded(loaded) => self.loaded(now, loaded, out),
            Event::Suspect(segment) => self.scrubber.suspect(segment),
            Event::Tick => {}
            Event::Space(spaces) => self.space_seen(&spaces, now),
            Event::LogDirFailed(log_dir) => self.log_dir_failed(log_dir, out),
            Event::Leaving => self.begin_to_leave(now, out),
            Event::Stopping => self.begin_to_stop(out),
        }
    }

    /// Draws the consequences.
    fn conclude(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.time(now, out);
        self.settle(now, out);
        if self.disks.take_look() {
            out.push(Effect::LookAtSpace);
        }
        self.settle_doubts(now, out);
        if self.view_is_stale {
            self.view_is_stale = false;
            out.push(Effect::Publish(Arc::new(self.view())));
        }
    }

    /// When a [`Event::Tick`] is wanted at the latest.
    pub fn next_wake(&self) -> Option<Tick> {
        [
            self.produce_waiters.next_deadline(),
            self.fetch_waiters.next_deadline(),
            self.delete_waiters.next_deadline(),
            self.feeds.next_wake(),
            self.doubts.next_wake(),
            self.throttles.leading.goes_on_at().filter(|_| self.feeds.hold_some_back()),
            self.periodic_at,
            self.retention_at,
            self.walking_since,
            self.cleaner.next_wake(),
            // Whoever stops begins no piece of a scrub any more, however late it is.
            self.scrubber.next_wake(&self.config.scrubber).filter(|_| self.stopping.is_none()),
            self.removals.first().map(|(at, _)| *at),
            // Without a controller there is nobody to show a sign of life to; a new one is told of by an event.
            self.membership
                .next_wake()
                .filter(|_| self.config.roles.broker && self.metadata.controller_id().is_some()),
            self.membership.gives_up_at().filter(|_| self.metadata.controller_id().is_none()),
            self.offline_replicas.next_wake().filter(|_| self.metadata.controller_id().is_some()),
            self.metadata.next_wake(),
            self.followers.next_wake(self.my_epoch().is_some()),
            self.coordinators.next_wake(),
            producer_ids::next_wake(self),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn request(&mut self, now: Now, incoming: Incoming, out: &mut Vec<Effect>) {
        let Incoming { to, origin, version, client_id, body } = incoming;
        assert!(body.is_ready(), "records of a request were not unpacked");
        let request = match body {
            Body::Produce(produce) => return produce::handle(self, now, to, version, produce, out),
            Body::Other(request) => request,
        };
        let client_id = client_id.unwrap_or_default();
        handlers::handle(self, now, to, (&origin, &client_id), version, request, out);
    }

    pub(crate) fn view(&self) -> View {
        View {
            image: self.image.clone(),
            me: self.config.broker_id,
            ready: self.is_ready(),
            controller: self.metadata.controller_id(),
            auto_create_topics: self.config.auto_create_topics,
            rules: self.rules.clone(),
            offline: Arc::clone(&self.offline),
            doubted: self.doubts.brokers(),
            given: Arc::clone(&self.config.given),
            supported: Arc::clone(&self.config.supported),
        }
    }

    fn disk_done(
        &mut self,
        now: Now,
        key: TopicPartition,
        op: OpId,
        result: Result<Done, DiskError>,
        out: &mut Vec<Effect>,
    ) {
        let Some(hosted) = self.hosted.get_mut(&key) else {
            // A log that no replica had is deleted; others were deleted before they heard of their last operations.
            if let Err(error) = &result {
                tell_left(key, error);
            }
            return self.free_directory(key);
        };
        let error = result.as_ref().err().cloned();
        let progress = hosted.replica.disk_done(op, result, &mut self.ops);
        if progress.deleted
            && let Some(error) = &error
        {
            tell_left(key, error);
        }
        if progress.lost_from.is_some() {
            if matches!(hosted.replica.role(), Role::Follower { .. }) {
                self.followers.rest(now, key, hosted);
            }
            hosted.turned_away.lost(self.awake.time());
            if error == Some(DiskError::Full) {
                self.disks.look_again();
            }
        }
        self.flush_ops(out);
        self.note_scrubbed(now, key, &progress);
        if let Some(kept) = progress.lost_from
            && let Some(suppressed) = self.loss_lines.allow(now.tick)
        {
            tracing::warn!(topic = %self.topic_of(key), partition = %key.partition, %kept, suppressed, "a write failed; what it carried is refused");
        }
        self.progressed(key, &progress, out);
    }

    /// Draws the consequences of what a replica's call changed.
    pub(crate) fn progressed(&mut self, key: TopicPartition, progress: &Progress, out: &mut Vec<Effect>) {
        if progress.deleted {
            if let Some(gone) = self.hosted.remove(&key) {
                self.disks.left(gone.counted_in);
                self.followers.gone(key, &gone);
            }
            return self.free_directory(key);
        }
        if let Some(kept) = progress.lost_from {
            self.fail_waits(key, Some(kept), ErrorCode::KafkaStorageError, out);
            self.lose_marks(key, Some(kept), ErrorCode::KafkaStorageError);
            self.drop_shard(key, ErrorCode::NotCoordinator, out);
            // A follower that has what is lost here waits for more: it is told where the logs part now.
            self.wake_fetches(key, true);
        }
        if progress.resigned {
            let kept = self.hosted.get(&key).map(|hosted| hosted.replica.high_watermark());
            self.fail_waits(key, kept, ErrorCode::NotLeaderOrFollower, out);
            self.lose_marks(key, kept, ErrorCode::NotLeaderOrFollower);
            self.drop_shard(key, ErrorCode::NotCoordinator, out);
            self.fail_deletes(key, ErrorCode::NotLeaderOrFollower, out);
            self.wake_fetches(key, true);
        }
        if progress.followers_gone {
            // One that is made a replica again before it hears of any of it would wait, and the leader would not know how far it is.
            self.wake_feeds(key, true);
        }
        if progress.log_failed {
            tracing::error!(topic = %self.topic_of(key), partition = %key.partition, "the log failed; the partition is offline here");
            self.fail_waits(key, None, ErrorCode::KafkaStorageError, out);
            self.lose_marks(key, None, ErrorCode::KafkaStorageError);
            self.drop_shard(key, ErrorCode::CoordinatorNotAvailable, out);
            self.fail_deletes(key, ErrorCode::KafkaStorageError, out);
            self.wake_fetches(key, true);
            self.goes_offline(key);
        }
        self.moved.push(key);
    }

    fn free_directory(&mut self, key: TopicPartition) {
        if self.offline.contains(&key) {
            Arc::make_mut(&mut self.offline).remove(&key);
        }
        let freed: Vec<_> =
            self.leaving.extract_if(.., |_, left| left.remove(&key) && left.is_empty()).collect();
        self.freed.extend(freed.into_iter().map(|(directory, _)| directory));
    }

    /// A topic of a deleted one's name was created before that one's directory was gone: now it can have its own.
    fn use_freed(&mut self, now: Now, out: &mut Vec<Effect>) {
        while let Some((name, partition)) = self.freed.pop() {
            if let Some(topic) = self.topic_id(&name) {
                self.apply_partition(now, TopicPartition { topic, partition }, out);
            }
        }
    }

    /// For a person who reads the log.
    pub(crate) fn topic_of(&self, key: TopicPartition) -> &str {
        self.hosted.get(&key).map_or("", |hosted| &hosted.name)
    }

    /// Releases whoever waited for what moved, until nothing moves any more.
    pub(crate) fn settle(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.use_freed(now, out);
        self.tell_lost_marks(now, out);
        loop {
            while let Some(key) = self.moved.pop() {
                self.note_active(now, key);
                self.release_produce(now, key, out);
                self.release_deletes(key, out);
                self.coordinate(now, key, out);
                self.release_marks(now, key, out);
                self.wake_fetches(key, false);
                if let Some(hosted) = self.hosted.get_mut(&key) {
                    self.followers.consider(key, hosted);
                }
            }
            // When all have moved: one answer has what is new of all of them.
            self.retry_woken(now, out);
            if self.moved.is_empty() && !self.go_on_with_held(now, out) {
                break;
            }
        }
        self.propose_isr_changes(now, out);
        self.send_fetches(now, out);
    }

    fn note_active(&mut self, now: Now, key: TopicPartition) {
        self.active.insert(key);
        self.plan_periodic(now);
    }

    pub(crate) fn plan_periodic(&mut self, now: Now) {
        self.periodic_at.get_or_insert(now.tick.after_ms(PERIODIC_MS));
    }

    fn release_produce(&mut self, now: Now, key: TopicPartition, out: &mut Vec<Effect>) {
        let Some(hosted) = self.hosted.get_mut(&key) else { return };
        for goal in [Goal::Written, Goal::Committed] {
            while let Some(wait) = hosted.pop_reached(now.tick, goal) {
                let Some(waiter) = self.produce_waiters.get_mut(wait.waiter) else { continue };
                if goal == Goal::Committed && !hosted.replica.enough_in_sync() {
                    let slot = waiter.slot(wait.slot);
                    *slot =
                        produce::failed(PartitionIndex(slot.index), ErrorCode::NotEnoughReplicasAfterAppend);
                }
                waiter.close(wait.slot);
                if waiter.waiting.is_empty() {
                    let waiter = self.produce_waiters.remove(wait.waiter).expect("it was just there");
                    out.push(waiter.answer());
                }
            }
        }
    }

    /// `kept: None` fails all.
    pub(crate) fn fail_waits(
        &mut self,
        key: TopicPartition,
        kept: Option<Offset>,
        code: ErrorCode,
        out: &mut Vec<Effect>,
    ) {
        let Some(hosted) = self.hosted.get_mut(&key) else { return };
        for wait in hosted.take_waits_above(kept) {
            self.fail_wait(&wait, code, out);
        }
    }

    pub(crate) fn fail_wait(&mut self, wait: &ProduceWait, code: ErrorCode, out: &mut Vec<Effect>) {
        let Some(waiter) = self.produce_waiters.get_mut(wait.waiter) else { return };
        let slot = waiter.slot(wait.slot);
        *slot = produce::failed(PartitionIndex(slot.index), code);
        waiter.close(wait.slot);
        if waiter.waiting.is_empty() {
            let waiter = self.produce_waiters.remove(wait.waiter).expect("it was just there");
            out.push(waiter.answer());
        }
    }

    /// Lets parked fetches of this partition be tried again; `all` also those that wait for another frontier.
    pub(crate) fn wake_fetches(&mut self, key: TopicPartition, all: bool) {
        let Some(hosted) = self.hosted.get_mut(&key) else { return };
        let high_watermark = hosted.replica.high_watermark();
        if all || hosted.consumers_saw != high_watermark {
            hosted.consumers_saw = high_watermark;
            self.woken.extend_from_slice(&hosted.consumers);
        }
        self.wake_feeds(key, all);
    }

    fn retry_woken(&mut self, now: Now, out: &mut Vec<Effect>) {
        while let Some(id) = self.woken.pop() {
            fetch::retry(self, now, id, false, out);
        }
        self.answer_woken_feeds(now, out);
    }

    /// What is due because time passed.
    fn time(&mut self, now: Now, out: &mut Vec<Effect>) {
        while let Some((_, mut waiter)) = self.produce_waiters.pop_due(now.tick) {
            waiter.time_out();
            out.push(waiter.answer());
        }
        while let Some(id) = self.fetch_waiters.first_due(now.tick) {
            fetch::retry(self, now, id, true, out);
        }
        self.feeds_time(now, out);
        self.time_out_deletes(now, out);
        self.tell_offline_replicas(now, out);
        self.membership_time(now, out);
        producer_ids::keep_some(self, now, out);
        self.controller_time(now, out);
        self.tell_news(now);
        handlers::voters::time(self, now, out);
        self.offer_snapshot_if_due(now, out);
        self.coordinators_time(now, out);
        while self.removals.first().is_some_and(|(at, _)| *at <= now.tick) {
            self.active.extend(self.removals.pop_first().map(|(_, key)| key));
            self.periodic_at = Some(now.tick);
        }
        if self.periodic_at.is_some_and(|at| at <= now.tick) {
            self.periodic(now, out);
        }
        self.look_for_old_segments(now, out);
        in_pieces::go_on(self, out);
        self.clean(now, out);
        let is_walking = self.retention.is_some() || !self.in_pieces.is_empty() || self.cleaner.is_looking();
        self.walking_since = is_walking.then_some(now.tick);
        self.scrub(now, out);
    }

    /// Looks for old segments every so often. A log without any costs the look, and nothing between.
    fn look_for_old_segments(&mut self, now: Now, out: &mut Vec<Effect>) {
        let interval_ms = self.config.retention_check_interval_ms;
        let first = now.tick.after_ms(interval_ms.min(RETENTION_FIRST_MS));
        let at = *self.retention_at.get_or_insert(first);
        if at <= now.tick {
            self.retention_at = Some(now.tick.after_ms(interval_ms));
            self.retention = Some(Walk::default());
        }
        let Some(mut walk) = self.retention else { return };
        for key in self.next_of(&mut walk) {
            if let Some(hosted) = self.hosted.get_mut(&key) {
                hosted.replica.enforce_retention(now.wall, &mut self.ops);
            }
        }
        self.retention = Some(walk).filter(|walk| !walk.is_over());
        self.flush_ops(out);
    }

    fn periodic(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.periodic_at = None;
        if self.disks.periodic() {
            self.plan_periodic(now);
        }
        let active = std::mem::take(&mut self.active);
        self.look_for_stalls(now, &active, out);
        for key in active {
            let Some(hosted) = self.hosted.get_mut(&key) else { continue };
            hosted.replica.periodic(now.tick, &mut self.ops);
            let leads_others =
                matches!(hosted.replica.role(), Role::Leader { .. }) && hosted.replica_count > 1;
            if leads_others {
                self.isr_due.insert(key);
            }
            // Followers are watched for as long as there are any; a log until all it has is noted as durable.
            let log = hosted.replica.log();
            if let Some(at) = log.next_removal() {
                self.removals.insert((at, key));
            }
            if leads_others || log.wants_periodic() {
                self.note_active(now, key);
            }
        }
        self.flush_ops(out);
    }

    /// Hands the disk operations of a call to the world.
    pub(crate) fn flush_ops(&mut self, out: &mut Vec<Effect>) {
        for op in self.ops.drain(..) {
            self.disks.note(&op);
            out.push(Effect::Disk(op));
        }
    }
}

/// A start removes it, and takes it for nobody else's: it has the topic's id.
fn tell_left(key: TopicPartition, error: &DiskError) {
    tracing::error!(partition = %key, %error, "a deleted partition's log could not be removed");
}
