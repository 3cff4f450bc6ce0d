//! Commits: one is under way at a time, and what comes meanwhile goes out together as the next one. So none overtakes another, and who commits
//! more often than the coordinator answers loses nothing.

use std::collections::{BTreeMap, VecDeque};
use std::mem;

use klamm_model::{ErrorCode, Offset, Tick};
use klamm_wire::OffsetCommitResponse;

use super::super::CommitError;
use super::super::effect::{CommitId, Effect, Taken};
use super::super::metadata::GroupMetadata;
use super::super::request;
use super::{Machine, Protocol, Purpose};
use crate::PartitionName;
use crate::admin::CommittedOffset;
use crate::call::CallError;
use crate::consumer::{Effect as ReadEffect, Topics};

type Offsets = BTreeMap<PartitionName, CommittedOffset>;

#[derive(Debug)]
struct Commit {
    /// Who waits for it, if anybody does.
    id: Option<CommitId>,
    offsets: Offsets,
    /// Up to where the application was done with those partitions.
    done: BTreeMap<PartitionName, Offset>,
    until: Tick,
    /// What stood in the way last.
    problem: String,
}

#[derive(Debug, Default)]
pub(super) struct Commits {
    waiting: VecDeque<Commit>,
    /// Those that are under way together, and in whose name.
    sent: Option<(GroupMetadata, Vec<Commit>)>,
    not_before: Tick,
    /// What the group has committed for partitions that we have, as far as is known, and up to where the application was done then.
    known: BTreeMap<PartitionName, (Offset, Offset)>,
    by_itself_at: Option<Tick>,
}

/// Whether a commit can go out now.
enum Chance {
    Now(GroupMetadata),
    Later,
    Never(CommitError),
}

impl Commits {
    pub(super) fn are_through(&self) -> bool {
        self.waiting.is_empty() && self.sent.is_none()
    }

    pub(super) fn is_committed(&mut self, name: &PartitionName, offset: Offset, done: Offset) {
        self.known.insert(name.clone(), (offset, done));
    }

    pub(super) fn forget_partition(&mut self, name: &PartitionName) {
        self.known.remove(name);
    }

    pub(super) fn forget(&mut self) {
        self.known.clear();
        self.not_before = Tick(0);
    }

    /// They go out again before all others.
    fn again(&mut self, commits: Vec<Commit>, problem: &str, not_before: Tick) {
        for mut commit in commits.into_iter().rev() {
            problem.clone_into(&mut commit.problem);
            self.waiting.push_front(commit);
        }
        self.not_before = not_before;
    }
}

impl Machine {
    /// Has these offsets committed; what comes of it is told by [`Effect::Committed`].
    pub fn commit(&mut self, now: Tick, id: CommitId, mut offsets: Offsets, out: &mut Vec<Effect>) {
        let is_lost = self.untold_losses().any(|name| offsets.contains_key(name));
        // Without an epoch, whoever goes on from there believes any leader that was there before, and that its log has no such offset.
        for (name, place) in &mut offsets {
            place.leader_epoch = place.leader_epoch.or_else(|| self.epoch_up_to(name, place.offset));
        }
        self.commit_unless(is_lost, now, id, offsets, out);
    }

    /// The same with everything that was handed out. If the application has records in hand of a partition that is lost, which it was not told yet, it must not take
    /// them for committed.
    pub fn commit_handed_out(&mut self, now: Tick, id: CommitId, out: &mut Vec<Effect>) {
        let is_lost = self.untold_losses().next().is_some();
        self.commit_unless(is_lost, now, id, self.positions(), out);
    }

    /// What it has lost and the application was not told of yet.
    pub(super) fn untold_losses(&self) -> impl Iterator<Item = &PartitionName> {
        let lost = self.events.iter().filter_map(|event| match event {
            Taken::Lost(partitions) => Some(partitions),
            _ => None,
        });
        lost.flatten()
    }

    fn commit_unless(
        &mut self,
        is_lost: bool,
        now: Tick,
        id: CommitId,
        offsets: Offsets,
        out: &mut Vec<Effect>,
    ) {
        let outcome = match &self.failed {
            Some(super::GroupError::Fenced { .. }) => Err(CommitError::Fenced),
            Some(_) => Err(CommitError::Closed),
            None if self.closing.is_some() => Err(CommitError::Closed),
            None if is_lost => Err(CommitError::NotMember),
            None if offsets.is_empty() => Ok(()),
            None => return self.queue_commit(now, Some(id), offsets),
        };
        out.push(Effect::Committed { commit: id, outcome });
    }

    fn queue_commit(&mut self, now: Tick, id: Option<CommitId>, offsets: Offsets) {
        let until = now.after_ms(self.request_timeout_ms());
        let problem = "the coordinator is not known".to_owned();
        let done = self.done().into_iter().filter(|(name, _)| offsets.contains_key(name));
        let done = done.map(|(name, place)| (name, place.offset)).collect();
        self.commits.waiting.push_back(Commit { id, offsets, done, until, problem });
    }

    /// The same, with nobody who waits for it, for what is not committed yet. What the application has committed counts, be it another place,
    /// until it has gone on.
    pub(super) fn commit_what_changed(&mut self, now: Tick, mut places: Offsets) {
        let is_known = |name: &PartitionName, place: &CommittedOffset| {
            let known = self.commits.known.get(name);
            known.is_some_and(|(offset, done)| [offset, done].contains(&&place.offset))
        };
        places.retain(|name, place| !is_known(name, place));
        if !places.is_empty() && self.is_member() {
            self.queue_commit(now, None, places);
        }
    }

    pub(super) fn commit_by_itself(&mut self, now: Tick) {
        let Some(interval_ms) = self.config.auto_commit_interval_ms else { return };
        if !self.wants_in() || !self.is_member() {
            return;
        }
        match self.commits.by_itself_at {
            Some(at) if at <= now => {
                // What is to be given up is committed when the application has acknowledged that.
                let mut done = self.done();
                done.retain(|name, _| !self.is_leaving(name));
                if self.commits.are_through() {
                    self.commit_what_changed(now, done);
                }
                self.commits.by_itself_at = Some(now.after_ms(interval_ms.max(1)));
            }
            Some(_) => {}
            None => self.commits.by_itself_at = Some(now.after_ms(interval_ms)),
        }
        self.wake_at(self.commits.by_itself_at);
    }

    pub(super) fn send_commits(&mut self, now: Tick, out: &mut Vec<Effect>) {
        self.give_up_late_commits(now, out);
        if self.commits.sent.is_some() || self.commits.waiting.is_empty() {
            return;
        }
        self.wake_at(self.commits.waiting.iter().map(|commit| commit.until).min());
        let me = match self.chance() {
            Chance::Now(me) => me,
            Chance::Later => return,
            Chance::Never(error) => return self.fail_commits(&error, out),
        };
        if self.coordinator().is_none() || now < self.commits.not_before {
            return self.wake_at(Some(self.commits.not_before).filter(|at| now < *at));
        }
        self.drop_commits_of_others(out);
        let commits = Vec::from(mem::take(&mut self.commits.waiting));
        let Some(first) = commits.first() else { return };
        let left_ms = first.until.ms_since(now).max(1);
        let mut offsets = Offsets::new();
        // Of several for one partition the last one counts.
        commits.iter().for_each(|commit| offsets.extend(commit.offsets.clone()));
        let request = request::commit(me.clone(), &offsets);
        self.commits.sent = Some((me, commits));
        self.ask(Purpose::Commit, (request, None), left_ms, out);
    }

    fn chance(&self) -> Chance {
        let me = self.metadata();
        match &self.protocol {
            _ if me.generation < 0 => Chance::Never(CommitError::NotMember),
            Protocol::Classic(it) if it.is_stable() => Chance::Now(me),
            // Members that keep what they have can commit that when it is settled what they keep.
            Protocol::Classic(_) if self.config.is_cooperative() && self.closing.is_none() => Chance::Later,
            Protocol::Classic(_) => Chance::Never(CommitError::RebalanceInProgress),
            Protocol::Consumer(_) => Chance::Now(me),
        }
    }

    /// Commits that waited for the end of a rebalance may be about partitions that went to others in it.
    fn drop_commits_of_others(&mut self, out: &mut Vec<Effect>) {
        let is_late = |commit: &Commit| commit.offsets.keys().any(|name| !self.owned.contains(name));
        let Protocol::Classic(classic) = &mut self.protocol else { return };
        if !mem::take(&mut classic.has_moved) {
            return;
        }
        let (late, waiting): (VecDeque<_>, _) =
            mem::take(&mut self.commits.waiting).into_iter().partition(is_late);
        self.commits.waiting = waiting;
        for commit in late {
            end(&commit, Err(CommitError::RebalanceInProgress), out);
        }
    }

    fn give_up_late_commits(&mut self, now: Tick, out: &mut Vec<Effect>) {
        let (late, waiting): (VecDeque<_>, _) =
            mem::take(&mut self.commits.waiting).into_iter().partition(|commit| commit.until <= now);
        self.commits.waiting = waiting;
        for commit in late {
            end(&commit, Err(CommitError::TimedOut(commit.problem.clone())), out);
        }
    }

    /// Whatever is to be committed is not.
    pub(super) fn fail_commits(&mut self, error: &CommitError, out: &mut Vec<Effect>) {
        let sent = self.commits.sent.take().map(|(_, commits)| commits).unwrap_or_default();
        for commit in sent.into_iter().chain(mem::take(&mut self.commits.waiting)) {
            end(&commit, Err(error.clone()), out);
        }
    }

    pub(super) fn committed(&mut self, now: Tick, answer: OffsetCommitResponse, out: &mut Vec<Effect>) {
        let Some((me, commits)) = self.commits.sent.take() else { return };
        let mut codes = BTreeMap::new();
        for topic in answer.topics {
            let name: std::sync::Arc<str> = topic.name.into();
            for it in topic.partitions {
                let partition = PartitionName { topic: name.clone(), partition: it.partition_index };
                codes.insert(partition, ErrorCode::told(it.error_code));
            }
        }
        let code = |name: &PartitionName| codes.get(name).copied().unwrap_or(ErrorCode::UnknownServerError);
        // What is about the member is said of every partition.
        let all = codes.values().copied();
        let passing = |(name, code): (_, &ErrorCode)| code.is_retriable() && !self.is_gone(name, *code);
        let passing = codes.iter().find(|it| passing(*it)).map(|(_, code)| *code);
        let worst = all.clone().find(|code| is_about_all(*code)).or(passing);
        match worst {
            Some(code) if code.is_retriable() || code == ErrorCode::StaleMemberEpoch => {
                self.is_elsewhere(now, code, out);
                if code == ErrorCode::UnknownTopicOrPartition {
                    out.push(Effect::Read(ReadEffect::RefreshMetadata));
                }
                // Who has moved on meanwhile may commit as who it is now.
                let not_before = if me == self.metadata() { self.later(now) } else { now };
                self.commits.again(commits, code.name(), not_before);
            }
            Some(ErrorCode::RebalanceInProgress) => {
                let not_before = self.later(now);
                self.commits.again(commits, ErrorCode::RebalanceInProgress.name(), not_before);
                self.rejoin("a commit came into a rebalance");
                if !self.config.is_cooperative() {
                    self.fail_commits(&CommitError::RebalanceInProgress, out);
                }
            }
            Some(code) => {
                let error = match code {
                    ErrorCode::FencedInstanceId => CommitError::Fenced,
                    _ => CommitError::NotMember,
                };
                commits.iter().for_each(|commit| end(commit, Err(error.clone()), out));
                // In the consumer protocol heartbeats tell of that.
                if me == self.metadata() && matches!(self.protocol, Protocol::Classic(_)) {
                    self.is_about_member(code, out);
                }
            }
            None => {
                self.failures = 0;
                for commit in commits {
                    let refused = commit.offsets.keys().find(|name| code(name) != ErrorCode::None);
                    let refused = refused
                        .map(|name| CommitError::Refused { partition: name.clone(), code: code(name) });
                    for (name, place) in &commit.offsets {
                        if code(name) == ErrorCode::None && self.owned.contains(name) {
                            let done = commit.done.get(name).copied().unwrap_or(place.offset);
                            self.commits.is_committed(name, place.offset, done);
                        }
                    }
                    end(&commit, refused.map_or(Ok(()), Err), out);
                }
            }
        }
    }

    /// The partition is not there, by our picture of the cluster either: what is waited for it the others of the group wait for us.
    fn is_gone(&self, name: &PartitionName, code: ErrorCode) -> bool {
        // What has no name in the wish may be one that we know nothing of.
        let sees_all = !matches!(self.wish.topics, Some(Topics::Named(_)));
        let is_seen = sees_all || self.cluster.topics.contains_key(&name.topic);
        code == ErrorCode::UnknownTopicOrPartition
            && is_seen
            && self.cluster.partition(&name.topic, name.partition).is_none()
    }

    pub(super) fn commit_failed(&mut self, now: Tick, error: &CallError, out: &mut Vec<Effect>) {
        let Some((_, commits)) = self.commits.sent.take() else { return };
        if error.is_retriable() {
            self.seek_coordinator(now, out);
            self.commits.again(commits, &error.to_string(), now);
        } else {
            let error = CommitError::TimedOut(error.to_string());
            commits.iter().for_each(|commit| end(commit, Err(error.clone()), out));
        }
    }
}

fn end(commit: &Commit, outcome: Result<(), CommitError>, out: &mut Vec<Effect>) {
    out.extend(commit.id.map(|commit| Effect::Committed { commit, outcome }));
}

fn is_about_all(code: ErrorCode) -> bool {
    use ErrorCode as E;
    matches!(
        code,
        E::FencedInstanceId
            | E::UnknownMemberId
            | E::IllegalGeneration
            | E::FencedMemberEpoch
            | E::StaleMemberEpoch
            | E::RebalanceInProgress
    )
}
