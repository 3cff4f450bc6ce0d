//! Giving up partitions, and the group as a whole.

use std::collections::BTreeMap;

use klamm_model::{ErrorCode, Tick};

use super::super::assignor::Owned;
use super::super::effect::{Effect, ReaderId, RevocationId, Taken};
use super::super::error::GroupError;
use super::super::request::Versions;
use super::hands::Place;
use super::{Machine, Protocol, Purpose};
use crate::PartitionName;

/// Partitions that the application still has, and is to give up.
#[derive(Debug)]
pub(super) struct Leaving {
    revocation: RevocationId,
    /// Up to where each was handed out, if anywhere.
    partitions: BTreeMap<PartitionName, Option<Place>>,
    /// Who was at a record of them, and up to where that one was done before.
    in_hand: BTreeMap<ReaderId, (PartitionName, Place)>,
    /// The application has nothing more to do with them. What is to be committed of them may still be on its way.
    is_acknowledged: bool,
}

const CLOSES: &str = "the consumer is closed";

/// How far the consumer is in leaving for good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Closing {
    /// Until then at most, also while the coordinator is looked for.
    Committing(Tick),
    /// Until then at most.
    Leaving(Tick),
    Done,
}

impl Machine {
    /// The application is to give up these partitions; nothing more is read of them.
    pub(super) fn give_up(&mut self, partitions: &Owned, out: &mut Vec<Effect>) {
        assert!(self.leaving.is_none(), "one after the other: {:?}", self.leaving);
        let revocation = self.new_revocation();
        let hands = self.hands.iter().filter(|(_, hand)| partitions.contains(&hand.name));
        let in_hand = hands.map(|(reader, hand)| (*reader, (hand.name.clone(), hand.done))).collect();
        let places = partitions.iter().map(|name| (name.clone(), self.take_place(name))).collect();
        self.reader.drop_partitions(partitions);
        // An answer about who had them before they went to others and came back must not count.
        self.placing.partitions.retain(|name| !partitions.contains(name));
        self.placing.asked.clear();
        self.calls.retain(|_, purpose| *purpose != Purpose::Place);
        self.leaving = Some(Leaving { revocation, partitions: places, in_hand, is_acknowledged: false });
        let partitions = partitions.iter().cloned().collect();
        self.tell(Taken::Revoked { revocation, partitions }, out);
    }

    /// The reader is done with what it had in hand.
    pub(super) fn is_done(&mut self, reader: ReaderId) {
        if let Some(leaving) = &mut self.leaving {
            leaving.in_hand.remove(&reader);
        }
    }

    /// The application has nothing more to do with what was revoked. What it had been handed of that is done, but for what others have in hand than who heard of it.
    pub fn acknowledge(&mut self, now: Tick, revocation: RevocationId) {
        let Some(leaving) = self.leaving.as_mut().filter(|it| it.revocation == revocation) else { return };
        leaving.is_acknowledged = true;
        for (name, done) in std::mem::take(&mut leaving.in_hand).into_values() {
            if let Some(Some(place)) = leaving.partitions.get_mut(&name) {
                *place = if done.0 < place.0 { done } else { *place };
            }
        }
        let names: Vec<_> = leaving.partitions.keys().cloned().collect();
        if self.config.auto_commit_interval_ms.is_some() {
            let mut done = self.done();
            done.retain(|name, _| names.contains(name));
            self.commit_what_changed(now, done);
        }
    }

    /// When all commits are through, the partitions are nobody's.
    pub(super) fn finish_leaving(&mut self) {
        if !self.commits.are_through() {
            return;
        }
        let Some(leaving) = self.leaving.take_if(|it| it.is_acknowledged) else { return };
        for name in leaving.partitions.keys() {
            self.owned.remove(name);
            self.commits.forget_partition(name);
        }
        match &mut self.protocol {
            Protocol::Classic(it) => it.given_up(),
            Protocol::Consumer(_) => {}
        }
    }

    pub(super) fn is_leaving(&self, name: &PartitionName) -> bool {
        self.leaving.as_ref().is_some_and(|leaving| leaving.partitions.contains_key(name))
    }

    /// Where a partition that is to be given up was handed out up to.
    pub(super) fn leaving_place(&self, name: &PartitionName) -> Option<Place> {
        *self.leaving.as_ref()?.partitions.get(name)?
    }

    /// Reads nothing more; commits by itself if it does that, and leaves the group. Whether everything that was handed out is done only the
    /// application knows.
    pub fn close(&mut self, now: Tick, is_all_done: bool, out: &mut Vec<Effect>) {
        if self.closing.is_some() {
            return;
        }
        if self.config.auto_commit_interval_ms.is_some() && self.failed.is_none() {
            let places = if is_all_done { self.positions() } else { self.done() };
            self.commit_what_changed(now, places);
        }
        self.closing = Some(Closing::Committing(now.after_ms(self.request_timeout_ms())));
        self.leaving = None;
        self.events.clear();
        // Whatever it would still be given it does not want, but for the name by which it can leave.
        let is_nameless = self.is_nameless();
        let is_wanted = |purpose: &Purpose| match purpose {
            Purpose::FindCoordinator | Purpose::Commit => true,
            Purpose::Join => is_nameless,
            _ => false,
        };
        self.calls.retain(|_, purpose| is_wanted(purpose));
        self.read(out, |reader, out| reader.close(out));
    }

    /// Nothing is left to be done for a consumer that was closed.
    pub fn is_finished(&self) -> bool {
        self.closing.is_some_and(|it| it == Closing::Done || self.failed.is_some())
    }

    pub(super) fn advance_closing(&mut self, now: Tick, out: &mut Vec<Effect>) {
        if let Some(Closing::Committing(until)) = self.closing
            && (until <= now || (self.commits.are_through() && self.can_leave()))
        {
            self.fail_commits(&super::super::CommitError::Closed, out);
            // Who can't tell the coordinator is found to be gone by its silence.
            let is_told = self.leave_group(CLOSES, out);
            self.closing = Some(if is_told { Closing::Leaving(until) } else { Closing::Done });
        }
        match self.closing {
            Some(Closing::Leaving(until)) if until <= now => self.closing = Some(Closing::Done),
            Some(Closing::Leaving(until) | Closing::Committing(until)) => self.wake_at(Some(until)),
            Some(Closing::Done) | None => {}
        }
    }

    /// The coordinator was told, or could not be: then it, or the next one, is told once more if time is left.
    pub(super) fn left(&mut self, now: Tick, is_heard: bool, out: &mut Vec<Effect>) {
        let Some(Closing::Leaving(until)) = self.closing else { return };
        self.closing = Some(if is_heard { Closing::Done } else { Closing::Committing(until) });
        if !is_heard {
            self.seek_coordinator(now, out);
        }
    }

    /// There is somebody to be told that we go, or nobody who has to know.
    fn can_leave(&self) -> bool {
        // Who closed waits for no other than this one: it brings the name.
        let will_be_named = self.is_asking(Purpose::Join);
        !will_be_named && (self.coordinator().is_some() || self.leave_request(CLOSES).is_none())
    }

    /// It would be given a name by the coordinator, if it joined. By that the group waits for it, so that it has to leave by it as well.
    fn is_nameless(&self) -> bool {
        match &self.protocol {
            Protocol::Classic(it) => it.member_id.is_empty() && self.config.instance_id.is_none(),
            Protocol::Consumer(_) => false,
        }
    }

    /// Others may have our partitions at once: the coordinator is told, if it can be.
    pub(super) fn leave_for_now(&mut self, reason: &'static str, out: &mut Vec<Effect>) {
        if !self.leave_group(reason, out) {
            return;
        }
        // Nobody is known by that any more.
        match &mut self.protocol {
            Protocol::Classic(it) => it.member_id.clear(),
            Protocol::Consumer(it) => it.is_unknown(),
        }
    }

    /// Says whether an answer will come.
    fn leave_group(&mut self, reason: &'static str, out: &mut Vec<Effect>) -> bool {
        let timeout_ms = self.request_timeout_ms();
        let versions = self.leave_request(reason);
        versions.is_some_and(|versions| self.ask(Purpose::Leave, versions, timeout_ms, out))
    }

    fn leave_request(&self, reason: &'static str) -> Option<Versions> {
        match &self.protocol {
            Protocol::Classic(it) => it.leave_request(&self.config, reason),
            Protocol::Consumer(it) => it.leave_request(&self.config),
        }
    }

    /// What went wrong with the membership as a whole, if that is what the code says; then it was dealt with.
    pub(super) fn is_about_member(&mut self, code: ErrorCode, out: &mut Vec<Effect>) -> bool {
        match code {
            ErrorCode::FencedInstanceId => {
                let error = GroupError::Fenced { instance_id: self.instance_id() };
                self.fail(error, out);
            }
            // The one who has the name has not been gone for long enough to be replaced; that one's time is limited.
            ErrorCode::UnreleasedInstanceId => {
                let error = GroupError::Unreleased { instance_id: self.instance_id() };
                self.fail(error, out);
            }
            ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration | ErrorCode::FencedMemberEpoch => {
                self.lose(out);
                match &mut self.protocol {
                    _ if code != ErrorCode::UnknownMemberId => {}
                    // Who is not known by its id needs a new one.
                    Protocol::Classic(it) => it.member_id.clear(),
                    Protocol::Consumer(it) => it.is_unknown(),
                }
            }
            _ => return false,
        }
        true
    }

    /// An error that does not pass, whatever was asked for.
    pub(super) fn refuse(&mut self, code: i16, message: Option<String>, out: &mut Vec<Effect>) {
        self.fail(GroupError::Refused { code: ErrorCode::told(code), message }, out);
    }
}
