//! A member of a group without sockets and clock: answers and time go in, requests, rebalances and records come out.
//!
//! Owns which partitions the member has, what the application has in hand of them, and what is committed. It reads by a machine of its own
//! ([`consumer::machine`](crate::consumer::machine)), to which it gives partitions and takes them away. Invariants: nothing is read of a partition that the member does
//! not have; a partition is given up only when the application has acknowledged that, and what it is done with is committed; only one
//! commit is under way, so that none overtakes another.
//!
//! ```text
//!            assigned                       to be revoked            acknowledged, committed
//!   others ------------> read and handed out ------------> with the application ------------> others
//! ```

mod classic;
mod commits;
mod consumer_protocol;
mod hands;
mod leaving;
mod placing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;
use std::sync::Arc;

use klamm_model::{BrokerId, ErrorCode, Tick};
use klamm_wire::{ConsumerGroupHeartbeatResponse, FindCoordinatorResponse, LeaveGroupResponse, Response};

use super::assignor::Owned;
use super::config::{Config, GroupProtocol};
use super::effect::{Effect, ReaderId, RevocationId, Taken, Whom};
use super::error::{GroupConsumeError, GroupError};
use super::metadata::GroupMetadata;
use super::request::{self, Versions};
use crate::PartitionName;
use crate::call::{CallError, CallId};
use crate::consumer::machine::Machine as Reader;
use crate::consumer::{Config as ReadConfig, Effect as ReadEffect, Topics};
use crate::metadata::Cluster;
use crate::partitioner::Random;
use crate::trouble::LASTING_MS;
use classic::Classic;
use commits::Commits;
use consumer_protocol::Member;
use hands::Hand;
use leaving::{Closing, Leaving};
use placing::Placing;

/// What a question was for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Purpose {
    FindCoordinator,
    Join,
    Sync,
    Heartbeat,
    Commit,
    Place,
    Leave,
}

/// Who keeps the group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Coordinator {
    Sought { not_before: Tick },
    Asked,
    Known(BrokerId),
}

/// How the group shares its partitions, and what this member knows of that.
#[derive(Debug)]
enum Protocol {
    Classic(Classic),
    Consumer(Member),
}

/// What the application wants to read.
#[derive(Debug, Default)]
struct Wish {
    topics: Option<Topics>,
    /// An expression that the coordinator understands.
    regex: Option<String>,
}

/// A member of a group without sockets and clock.
#[derive(Debug)]
pub struct Machine {
    config: Config,
    reader: Reader,
    cluster: Arc<Cluster>,
    wish: Wish,
    /// The names that the wish stands for now.
    topics: BTreeSet<Arc<str>>,
    coordinator: Coordinator,
    protocol: Protocol,
    /// What it has, and what it is about to give up.
    owned: Owned,
    /// Who it was when the group last went on without it.
    was: Option<GroupMetadata>,
    leaving: Option<Leaving>,
    placing: Placing,
    commits: Commits,
    hands: BTreeMap<ReaderId, Hand>,
    events: VecDeque<Taken>,
    /// Since when the application has something to do, unless it waits for more.
    busy_since: Option<Tick>,
    /// It asked for something when there was nothing.
    waits: bool,
    /// It was busy for too long, and is out of the group until it asks for more.
    is_idle: bool,
    closing: Option<Closing>,
    failed: Option<GroupError>,
    calls: BTreeMap<CallId, Purpose>,
    /// Answers of the coordinator that brought nothing, in a row, and since when; told once where it lasts.
    failures: u32,
    failing_since: Tick,
    is_told: bool,
    next_call: u64,
    next_revocation: u64,
    wake: Option<Tick>,
    random: Random,
}

impl Machine {
    /// A consumer that is in no group yet; [`subscribe`](Self::subscribe) has it join.
    pub fn new(config: Config, read: ReadConfig, cluster: Arc<Cluster>, mut random: Random) -> Self {
        let protocol = match config.protocol {
            GroupProtocol::Classic => Protocol::Classic(Classic::default()),
            GroupProtocol::Consumer => Protocol::Consumer(Member::new(&mut random)),
        };
        let reader = Reader::new(read, cluster.clone(), Random::new(random.next_u64()));
        Self {
            config,
            reader,
            cluster,
            wish: Wish::default(),
            topics: BTreeSet::new(),
            coordinator: Coordinator::Sought { not_before: Tick(0) },
            protocol,
            owned: Owned::new(),
            was: None,
            leaving: None,
            placing: Placing::default(),
            commits: Commits::default(),
            hands: BTreeMap::new(),
            events: VecDeque::new(),
            busy_since: None,
            waits: false,
            is_idle: false,
            closing: None,
            failed: None,
            calls: BTreeMap::new(),
            failures: 0,
            failing_since: Tick(0),
            is_told: false,
            next_call: 0,
            next_revocation: 0,
            wake: None,
            random,
        }
    }

    /// What the member was told.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What reads for it: to look at, to seek and to pause.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Wants all partitions of these topics from now on and no others, also those that come later, and shares them with the group.
    pub fn subscribe(&mut self, now: Tick, topics: Topics, out: &mut Vec<Effect>) {
        if let Topics::Named(names) = &topics {
            out.push(Effect::WantTopics(names.clone()));
        }
        self.wish_for(now, Wish { topics: Some(topics), regex: None });
    }

    /// The same with the topics whose names match an expression of RE2's, as the coordinator sees it; only in the consumer protocol. Whoever
    /// drives this keeps all topics up to date in the picture of the cluster.
    pub fn subscribe_regex(&mut self, now: Tick, regex: String) {
        self.wish_for(now, Wish { topics: None, regex: Some(regex) });
    }

    fn wish_for(&mut self, now: Tick, wish: Wish) {
        self.wish = wish;
        if !self.waits {
            self.busy_since.get_or_insert(now);
        }
        self.follow_topics();
    }

    /// A newer picture of the cluster.
    pub fn cluster_changed(&mut self, cluster: Arc<Cluster>) {
        self.cluster = cluster.clone();
        self.reader.cluster_changed(cluster);
        self.follow_topics();
        if let Protocol::Classic(classic) = &mut self.protocol {
            classic.cluster_changed(&self.cluster);
        }
    }

    fn follow_topics(&mut self) {
        self.topics = match &self.wish.topics {
            None => BTreeSet::new(),
            Some(Topics::Named(names)) => names.clone(),
            Some(Topics::Matching(is_meant)) => {
                let topics = self.cluster.topics.iter().filter(|(name, topic)| {
                    topic.error == ErrorCode::None && !topic.is_internal && is_meant(name)
                });
                topics.map(|(name, _)| name.clone()).collect()
            }
        };
    }

    /// The next thing for this reader of the application, which is done with what it was handed before.
    pub fn take(&mut self, now: Tick, reader: ReaderId) -> Option<Result<Taken, GroupConsumeError>> {
        self.hands.remove(&reader);
        self.is_done(reader);
        self.is_idle = false;
        let taken = self.next_taken(reader);
        (self.busy_since, self.waits) = (taken.is_some().then_some(now), taken.is_none());
        taken
    }

    fn next_taken(&mut self, reader: ReaderId) -> Option<Result<Taken, GroupConsumeError>> {
        if let Some(event) = self.events.pop_front() {
            return Some(Ok(event));
        }
        if let Some(error) = &self.failed {
            return Some(Err(error.clone().into()));
        }
        Some(match self.reader.take()? {
            Ok(batch) => {
                self.hold(reader, &batch);
                Ok(Taken::Batch(batch))
            }
            Err(error) => Err(error.into()),
        })
    }

    /// Who this member is to the group.
    pub fn metadata(&self) -> GroupMetadata {
        let (member_id, generation) = match &self.protocol {
            Protocol::Classic(it) => (&it.member_id, it.generation.unwrap_or(-1)),
            Protocol::Consumer(it) => (&it.member_id, it.epoch.unwrap_or(-1)),
        };
        GroupMetadata {
            group_id: self.config.group_id.clone(),
            member_id: if generation < 0 { String::new() } else { member_id.clone() },
            instance_id: self.config.instance_id.clone(),
            generation,
        }
    }

    /// The same, to be shown by whoever commits for it: once the group has gone on without it, who it was, which is refused. As nobody it would be taken at its
    /// word, though another member has its partitions by now; and so it would as who it has become since, by an application that does not know yet what it has lost.
    pub fn shown(&self) -> GroupMetadata {
        let me = self.metadata();
        let is_another = me.generation < 0 || self.untold_losses().next().is_some();
        self.was.clone().filter(|_| is_another).unwrap_or(me)
    }

    /// The partitions that it has and is not giving up.
    pub fn assignment(&self) -> Owned {
        self.owned.iter().filter(|name| !self.is_leaving(name)).cloned().collect()
    }

    /// Requests that have neither an answer nor an end.
    pub fn call_count(&self) -> usize {
        self.calls.len() + self.reader.call_count()
    }

    /// Does everything that is possible now. To be called after every event, after [`take`](Self::take) and when
    /// [`next_wake`](Self::next_wake) is due.
    pub fn advance(&mut self, now: Tick, out: &mut Vec<Effect>) {
        self.wake = None;
        if self.busy_since.is_none() && self.has_something() {
            self.busy_since = Some(now);
        }
        if self.failed.is_none() && !self.is_finished() {
            self.find_coordinator(now, out);
            self.look_at_application(now, out);
            self.send_commits(now, out);
            self.finish_leaving();
            match self.config.protocol {
                GroupProtocol::Classic => self.advance_classic(now, out),
                GroupProtocol::Consumer => self.advance_member(now, out),
            }
            self.place(now, out);
            self.commit_by_itself(now);
            self.send_commits(now, out);
            self.advance_closing(now, out);
        }
        self.read(out, |reader, out| reader.advance(now, out));
        self.wake_at(self.reader.next_wake());
    }

    /// When [`advance`](Self::advance) has something to do at the latest, if nothing happens before.
    pub fn next_wake(&self) -> Option<Tick> {
        self.wake
    }

    /// Something happens to what reads, an answer for example.
    pub fn read<T>(
        &mut self,
        out: &mut Vec<Effect>,
        happen: impl FnOnce(&mut Reader, &mut Vec<ReadEffect>) -> T,
    ) -> T {
        let mut effects = Vec::new();
        let outcome = happen(&mut self.reader, &mut effects);
        out.extend(effects.into_iter().map(Effect::Read));
        outcome
    }

    /// What came of an [`Effect::Ask`].
    pub fn answered(
        &mut self,
        now: Tick,
        call: CallId,
        answer: Result<Response, CallError>,
        out: &mut Vec<Effect>,
    ) {
        // What was asked for a membership that is over does not count any more.
        let Some(purpose) = self.calls.remove(&call) else { return };
        match answer {
            Ok(Response::FindCoordinator(answer)) => self.found(now, answer, out),
            Ok(Response::JoinGroup(answer)) => self.joined(now, answer, out),
            Ok(Response::SyncGroup(answer)) => self.synced(now, answer, out),
            Ok(Response::Heartbeat(answer)) => self.heartbeat_answered(now, answer.error_code, out),
            Ok(Response::ConsumerGroupHeartbeat(answer)) if purpose == Purpose::Heartbeat => {
                self.member_answered(now, answer, out);
            }
            Ok(Response::OffsetCommit(answer)) => self.committed(now, answer, out),
            Ok(Response::OffsetFetch(answer)) => self.placed(now, answer, out),
            Ok(
                Response::LeaveGroup(LeaveGroupResponse { error_code, .. })
                | Response::ConsumerGroupHeartbeat(ConsumerGroupHeartbeatResponse { error_code, .. }),
            ) => self.left(now, !ErrorCode::told(error_code).is_retriable(), out),
            Ok(_) => unreachable!("answers are decoded as what was asked for"),
            Err(error) => self.call_failed(now, purpose, error, out),
        }
    }

    fn call_failed(&mut self, now: Tick, purpose: Purpose, error: CallError, out: &mut Vec<Effect>) {
        let is_passing = error.is_retriable();
        match purpose {
            Purpose::FindCoordinator if is_passing => self.seek_coordinator(now, out),
            Purpose::Leave => self.left(now, !is_passing, out),
            Purpose::Commit => self.commit_failed(now, &error, out),
            _ if is_passing => {
                match purpose {
                    Purpose::Join | Purpose::Sync => self.join_again(),
                    Purpose::Place => self.placing.asked.clear(),
                    _ => {}
                }
                self.beat_failed();
                self.seek_coordinator(now, out);
            }
            _ => self.fail(GroupError::Call(error), out),
        }
    }

    // ---- the coordinator ----

    fn find_coordinator(&mut self, now: Tick, out: &mut Vec<Effect>) {
        let Coordinator::Sought { not_before } = self.coordinator else { return };
        if !self.is_told && self.failures > 0 && LASTING_MS <= now.ms_since(self.failing_since) {
            self.is_told = true;
            out.push(Effect::Note("no broker coordinates the group, trying on"));
        }
        if now < not_before {
            return self.wake_at(Some(not_before));
        }
        self.coordinator = Coordinator::Asked;
        let versions = request::find_coordinator(&self.config.group_id);
        self.ask_whom(Whom::Anybody, Purpose::FindCoordinator, versions, false, out);
    }

    fn found(&mut self, now: Tick, answer: FindCoordinatorResponse, out: &mut Vec<Effect>) {
        let (code, message, broker) = match answer.coordinators.into_iter().next() {
            Some(it) => (it.error_code, it.error_message, it.node_id),
            None => (answer.error_code, answer.error_message, answer.node_id),
        };
        match ErrorCode::told(code) {
            ErrorCode::None => {
                self.coordinator = Coordinator::Known(BrokerId(broker));
                if !self.cluster.brokers.contains_key(&BrokerId(broker)) {
                    out.push(Effect::Read(ReadEffect::RefreshMetadata));
                }
            }
            code if code.is_retriable() => self.seek_coordinator(now, out),
            code => self.fail(GroupError::Refused { code, message }, out),
        }
    }

    /// Who was asked does not keep the group, or can't be reached.
    fn seek_coordinator(&mut self, now: Tick, out: &mut Vec<Effect>) {
        if matches!(self.coordinator, Coordinator::Known(_)) {
            out.push(Effect::Read(ReadEffect::RefreshMetadata));
        }
        self.coordinator = Coordinator::Sought { not_before: self.later(now) };
    }

    /// When to try again what brought nothing.
    fn later(&mut self, now: Tick) -> Tick {
        if self.failures == 0 {
            (self.failing_since, self.is_told) = (now, false);
        }
        self.failures = self.failures.saturating_add(1);
        let backoff = self.reader.config().backoff;
        Tick(now.0 + backoff.wait_us(self.failures, &mut self.random))
    }

    fn coordinator(&self) -> Option<BrokerId> {
        match self.coordinator {
            Coordinator::Known(broker) => Some(broker),
            Coordinator::Sought { .. } | Coordinator::Asked => None,
        }
    }

    /// Whether the answer says that the coordinator is elsewhere, or can't answer yet; then it was dealt with.
    fn is_elsewhere(&mut self, now: Tick, code: ErrorCode, out: &mut Vec<Effect>) -> bool {
        let is_elsewhere = matches!(code, ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable);
        if is_elsewhere {
            self.seek_coordinator(now, out);
        }
        is_elsewhere
    }

    /// Asks the coordinator, if it is known.
    fn ask(&mut self, purpose: Purpose, versions: Versions, timeout_ms: u64, out: &mut Vec<Effect>) -> bool {
        let Some(broker) = self.coordinator() else { return false };
        let is_parked = matches!(purpose, Purpose::Join | Purpose::Sync);
        self.ask_within(Whom::Coordinator(broker), purpose, versions, is_parked, timeout_ms, out);
        true
    }

    fn ask_whom(
        &mut self,
        whom: Whom,
        purpose: Purpose,
        versions: Versions,
        is_parked: bool,
        out: &mut Vec<Effect>,
    ) {
        self.ask_within(whom, purpose, versions, is_parked, self.request_timeout_ms(), out);
    }

    fn ask_within(
        &mut self,
        whom: Whom,
        purpose: Purpose,
        (request, older): Versions,
        is_parked: bool,
        timeout_ms: u64,
        out: &mut Vec<Effect>,
    ) {
        let call = CallId(self.next_call);
        self.next_call += 1;
        self.calls.insert(call, purpose);
        let version_limit = match purpose {
            Purpose::Commit | Purpose::Place => request::BY_NAME_VERSION_MAX,
            _ => i16::MAX,
        };
        let (request, older) = (Box::new(request), older.map(Box::new));
        out.push(Effect::Ask { call, whom, is_parked, request, older, version_limit, timeout_ms });
    }

    fn request_timeout_ms(&self) -> u64 {
        self.reader.config().request_timeout_ms
    }

    fn is_asking(&self, purpose: Purpose) -> bool {
        self.calls.values().any(|it| *it == purpose)
    }

    // ---- the membership ----

    /// The group's members are to be this one and others: it is wanted, and the application keeps up.
    fn wants_in(&self) -> bool {
        let has_wish = self.wish.topics.is_some() || self.wish.regex.is_some();
        has_wish && !self.is_idle && self.closing.is_none()
    }

    /// Has these partitions from now on, beside what it has.
    fn assign(&mut self, partitions: &Owned, out: &mut Vec<Effect>) {
        let added: Vec<_> = partitions.difference(&self.owned).cloned().collect();
        if added.is_empty() {
            return;
        }
        for name in &added {
            self.reader.await_start(name);
            self.placing.partitions.insert(name.clone());
        }
        self.owned.extend(added.iter().cloned());
        self.tell(Taken::Assigned(added), out);
    }

    /// The group goes on without this member: whatever it had may be somebody else's by now.
    fn lose(&mut self, out: &mut Vec<Effect>) {
        let me = self.metadata();
        if 0 <= me.generation {
            self.was = Some(me);
        }
        let lost = self.assignment();
        let all = mem::take(&mut self.owned);
        self.reader.drop_partitions(&all);
        self.hands.clear();
        self.leaving = None;
        self.placing = Placing::default();
        self.commits.forget();
        self.fail_commits(&super::CommitError::NotMember, out);
        // Of the answers that are on their way, only those count that have nothing to do with the membership.
        self.calls.retain(|_, purpose| matches!(purpose, Purpose::FindCoordinator | Purpose::Leave));
        match &mut self.protocol {
            Protocol::Classic(it) => it.lose(),
            Protocol::Consumer(it) => it.lose(),
        }
        if !lost.is_empty() {
            self.tell(Taken::Lost(lost.into_iter().collect()), out);
        }
    }

    /// Out of the group for good.
    fn fail(&mut self, error: GroupError, out: &mut Vec<Effect>) {
        let outcome = match &error {
            GroupError::Fenced { .. } => super::CommitError::Fenced,
            _ => super::CommitError::Closed,
        };
        self.fail_commits(&outcome, out);
        self.lose(out);
        self.calls.clear();
        self.failed = Some(error);
        out.push(Effect::Read(ReadEffect::Readable));
    }

    fn instance_id(&self) -> String {
        self.config.instance_id.clone().unwrap_or_default()
    }

    fn tell(&mut self, event: Taken, out: &mut Vec<Effect>) {
        self.events.push_back(event);
        out.push(Effect::Read(ReadEffect::Readable));
    }

    fn new_revocation(&mut self) -> RevocationId {
        self.next_revocation += 1;
        RevocationId(self.next_revocation)
    }

    fn wake_at(&mut self, tick: Option<Tick>) {
        self.wake = match (self.wake, tick) {
            (Some(wake), Some(tick)) => Some(wake.min(tick)),
            (wake, tick) => wake.or(tick),
        };
    }
}

/// The topic's partition, for who has only its number.
fn is_of_topics(name: &PartitionName, topics: &BTreeSet<Arc<str>>) -> bool {
    topics.contains(&name.topic)
}
