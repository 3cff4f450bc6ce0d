//! What the coordinator of a producer's transactions is asked, one question at a time, and what its answers mean.

use std::collections::BTreeMap;
use std::sync::Arc;

use klamm_model::{BrokerId, ErrorCode, ProducerEpoch, ProducerId, Tick};
use klamm_wire::{AddPartitionsToTxnResponse, Response};

use super::super::effect::Effect;
use super::super::error::Cause;
use super::super::question::{Identity, Outcome, Protocol, Question};
use super::super::transaction_error::TransactionError;
use super::transactions::Phase;
use super::{IdentityState, Machine};
use crate::backoff::Backoff;
use crate::call::{CallError, CallId};
use crate::trouble::Failing;

/// The marks of the transaction before are written in a moment, as a rule.
const MARKS_WAIT_MS: u64 = 20;

/// What a refusal means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Again,
    /// Somebody else has to be asked.
    Elsewhere,
    /// The transaction can't be committed.
    Fails,
    /// Nor has it to be aborted: the coordinator does not know us any more.
    Forgotten,
    Fenced,
    Over,
}

impl<T: Clone + Default> Machine<T> {
    /// A coordinator, or who was asked for one, answered an [`Effect::Ask`].
    pub fn coordinated(&mut self, now: Tick, call: CallId, response: Response, out: &mut Vec<Effect<T>>) {
        let Some(question) = self.end_question(call) else { return };
        match self.understood(&question, response) {
            Ok(()) => {
                self.is_known_of(&question);
                // Who was found may know nothing of us: only what it says itself shows that things go on.
                if !matches!(question, Question::FindCoordinator | Question::FindGroupCoordinator(_)) {
                    self.transactions_mut().failing = None;
                }
                out.push(Effect::Progress);
            }
            Err(code) => self.refused_by_coordinator(now, &question, code, out),
        }
    }

    /// Asks the next question, if there is one and its time has come.
    pub(super) fn coordinate(&mut self, now: Tick, out: &mut Vec<Effect<T>>) {
        let Some(it) = &self.transactions else { return };
        if it.asked.is_some() {
            return;
        }
        if matches!(it.phase, Phase::Ending(_))
            && it.unsure.is_none()
            && it.offsets.is_empty()
            && !it.is_begun
            && self.is_quiet()
        {
            // The coordinator has heard nothing of it.
            self.transactions_mut().decided();
            out.push(Effect::Progress);
        }
        let Some(question) = self.next_question() else { return };
        let not_before = self.transactions().not_before;
        if now < not_before {
            return self.wake_by(not_before);
        }
        let call = CallId(self.next_call);
        self.next_call += 1;
        let it = self.transactions_mut();
        let coordinator = match &question {
            Question::FindCoordinator | Question::FindGroupCoordinator(_) => None,
            Question::CommitOffsets(_, protocol, _) => {
                it.is_begun |= *protocol == Protocol::Implicit;
                it.group_coordinator.as_ref().map(|(_, broker)| *broker)
            }
            _ => it.coordinator,
        };
        it.asked = Some((call, question.clone()));
        out.push(Effect::Ask { call, coordinator, question });
    }

    /// Whether records may go to this partition; if not, the coordinator is to hear of it.
    pub(super) fn is_covered(&mut self, slot: usize) -> bool {
        let Some(it) = &mut self.transactions else { return true };
        if it.protocol == Protocol::Implicit || it.added.contains(&slot) {
            return true;
        }
        it.wanted.insert(slot);
        false
    }

    /// A question of ours brought no answer.
    pub(super) fn not_coordinated(
        &mut self,
        now: Tick,
        call: CallId,
        error: &CallError,
        out: &mut Vec<Effect<T>>,
    ) -> bool {
        let Some(question) = self.end_question(call) else { return false };
        let cause = Cause::Call(error.clone());
        if !error.is_retriable() {
            self.transactions_over(TransactionError::Fatal(Box::new(cause)), out);
            return true;
        }
        out.push(Effect::RefreshMetadata);
        self.forget_coordinator(&question);
        if matches!(question, Question::AddPartitions(..) | Question::AddGroup(..)) && !error.was_not_sent() {
            self.transactions_mut().unsure = Some(question);
        }
        self.ask_again(now, &cause, out);
        true
    }

    /// How long to wait after so many failures.
    pub(super) fn wait_us(&mut self, tries: u32, cause: &Cause) -> u64 {
        let backoff = match cause {
            Cause::Refused { code: ErrorCode::ConcurrentTransactions, .. } => {
                Backoff { first_ms: MARKS_WAIT_MS.min(self.config.backoff.first_ms), ..self.config.backoff }
            }
            _ => self.config.backoff,
        };
        backoff.wait_us(tries, &mut self.random)
    }

    /// Whether nothing that was written may still be on its way: it must not come after the end.
    fn is_quiet(&self) -> bool {
        self.outstanding.is_empty() && self.calls.is_empty()
    }

    fn end_question(&mut self, call: CallId) -> Option<Question> {
        let (_, question) = self.transactions.as_mut()?.asked.take_if(|(asked, _)| *asked == call)?;
        Some(question)
    }

    /// There is an answer that says what came of this.
    fn is_known_of(&mut self, question: &Question) {
        self.transactions_mut().unsure.take_if(|unsure| unsure == question);
    }

    fn next_question(&self) -> Option<Question> {
        let it = self.transactions();
        let question = self.wanted_question()?;
        match &question {
            Question::CommitOffsets(_, _, offsets) => {
                let group = &offsets.group.group_id;
                match &it.group_coordinator {
                    Some((known, _)) if known == group => Some(question),
                    _ => Some(Question::FindGroupCoordinator(group.clone())),
                }
            }
            _ if it.coordinator.is_none() => Some(Question::FindCoordinator),
            _ => Some(question),
        }
    }

    /// What is to be known or done next, whoever it is that has to be asked.
    fn wanted_question(&self) -> Option<Question> {
        let it = self.transactions();
        if it.unsure.is_some() {
            return it.unsure.clone();
        }
        let identity = self.identity();
        match &it.phase {
            Phase::Identifying => {
                let question = Question::Identify { current: identity, timeout_ms: it.timeout_ms };
                (!self.is_closed).then_some(question)
            }
            Phase::Open | Phase::Ending(_) => {
                let identity = identity.expect("a transaction begins when the producer is identified");
                if !it.wanted.is_empty() {
                    return Some(Question::AddPartitions(identity, self.wanted_partitions()));
                }
                if let Some((_, offsets)) = it.offsets.front() {
                    let group = &offsets.group.group_id;
                    if it.protocol == Protocol::Named && !it.added_groups.contains(group) {
                        return Some(Question::AddGroup(identity, group.clone()));
                    }
                    return Some(Question::CommitOffsets(identity, it.protocol, offsets.clone()));
                }
                match it.phase {
                    Phase::Ending(outcome) if self.is_quiet() => {
                        Some(Question::End(identity, it.protocol, outcome))
                    }
                    _ => None,
                }
            }
            Phase::Idle | Phase::Failed(_) | Phase::Over(_) => None,
        }
    }

    fn wanted_partitions(&self) -> BTreeMap<Arc<str>, Vec<i32>> {
        let mut topics: BTreeMap<Arc<str>, Vec<i32>> = BTreeMap::new();
        for &slot in &self.transactions().wanted {
            let queue = &self.queues[slot];
            topics.entry(queue.topic.clone()).or_default().push(queue.index);
        }
        topics
    }

    /// Takes an answer in, or gives the error that it is.
    fn understood(&mut self, question: &Question, response: Response) -> Result<(), ErrorCode> {
        match (question, response) {
            (Question::FindCoordinator, Response::FindCoordinator(answer)) => {
                check(answer.error_code)?;
                self.transactions_mut().coordinator = Some(BrokerId(answer.node_id));
            }
            (Question::FindGroupCoordinator(group), Response::FindCoordinator(answer)) => {
                check(answer.error_code)?;
                self.transactions_mut().group_coordinator = Some((group.clone(), BrokerId(answer.node_id)));
            }
            (Question::Identify { .. }, Response::InitProducerId(answer)) => {
                check(answer.error_code)?;
                let identity = identity(answer.producer_id, answer.producer_epoch);
                let identity = identity.ok_or(ErrorCode::UnknownServerError)?;
                self.identity = IdentityState::Known(identity);
                let it = self.transactions_mut();
                (it.needs_epoch, it.has_used_epoch) = (false, false);
                it.decided();
            }
            (Question::AddPartitions(_, topics), Response::AddPartitionsToTxn(answer)) => {
                check_all_added(&answer)?;
                let names =
                    topics.iter().flat_map(|(topic, numbers)| numbers.iter().map(move |it| (topic, *it)));
                let slots = names
                    .map(|(topic, number)| self.topics[self.topics_by_name[topic]].slots[number as usize]);
                let slots: Vec<usize> = slots.collect();
                let it = self.transactions_mut();
                it.is_begun = true;
                it.wanted.retain(|slot| !slots.contains(slot));
                it.added.extend(slots);
            }
            (Question::AddGroup(_, group), Response::AddOffsetsToTxn(answer)) => {
                check(answer.error_code)?;
                let it = self.transactions_mut();
                it.is_begun = true;
                it.added_groups.insert(group.clone());
            }
            (Question::CommitOffsets(..), Response::TxnOffsetCommit(answer)) => {
                let mut partitions = answer.topics.into_iter().flat_map(|topic| topic.partitions);
                partitions.try_for_each(|it| check(it.error_code))?;
                self.transactions_mut().offsets_done();
            }
            (Question::End(_, protocol, _), Response::EndTxn(answer)) => {
                check(answer.error_code)?;
                let next = identity(answer.producer_id, answer.producer_epoch);
                match (protocol, next) {
                    (Protocol::Implicit, Some(next)) => {
                        self.identity = IdentityState::Known(next);
                        self.transactions_mut().needs_epoch = false;
                    }
                    (Protocol::Implicit, None) => self.transactions_mut().needs_epoch = true,
                    (Protocol::Named, _) => self.transactions_mut().has_used_epoch = true,
                }
                self.transactions_mut().decided();
            }
            _ => unreachable!("answers are decoded as what was asked for"),
        }
        Ok(())
    }

    fn refused_by_coordinator(
        &mut self,
        now: Tick,
        question: &Question,
        code: ErrorCode,
        out: &mut Vec<Effect<T>>,
    ) {
        let cause = Cause::Refused { code, message: None };
        let verdict = verdict(question, code);
        // Who can't say yet, or is not the one to say, has not said what came of it when it was asked before.
        let may_say = !matches!(verdict, Verdict::Again | Verdict::Elsewhere);
        if may_say || code == ErrorCode::UnknownTopicOrPartition {
            self.is_known_of(question);
        }
        match verdict {
            Verdict::Again => self.ask_again(now, &cause, out),
            Verdict::Elsewhere => {
                self.forget_coordinator(question);
                self.ask_again(now, &cause, out);
            }
            Verdict::Fails => self.fail_transaction(&cause, out),
            Verdict::Forgotten => {
                let it = self.transactions_mut();
                (it.is_begun, it.needs_epoch) = (false, true);
                self.fail_transaction(&cause, out);
            }
            Verdict::Fenced => {
                let transactional_id = self.transactions().id.to_string();
                self.transactions_over(TransactionError::Fenced { transactional_id }, out);
            }
            Verdict::Over => self.transactions_over(TransactionError::Fatal(Box::new(cause)), out),
        }
    }

    fn forget_coordinator(&mut self, question: &Question) {
        let it = self.transactions_mut();
        match question {
            Question::CommitOffsets(..) => it.group_coordinator = None,
            _ => it.coordinator = None,
        }
    }

    fn ask_again(&mut self, now: Tick, cause: &Cause, out: &mut Vec<Effect<T>>) {
        let it = self.transactions_mut();
        Failing::note(&mut it.failing, now, cause.clone());
        let (tries, lasts) =
            it.failing.as_ref().map_or((0, 0), |it| (it.all_tries(), now.ms_since(it.since)));
        if self.is_closed && self.config.delivery_timeout_ms <= lasts {
            // Nobody waits for that any more, and what it left is aborted in time.
            return self.transactions_over(TransactionError::Closed, out);
        }
        let wait_us = self.wait_us(tries, cause);
        self.transactions_mut().not_before = Tick(now.0 + wait_us);
    }
}

fn verdict(question: &Question, code: ErrorCode) -> Verdict {
    use ErrorCode as E;
    let is_about_group = matches!(
        question,
        Question::FindGroupCoordinator(_) | Question::AddGroup(..) | Question::CommitOffsets(..)
    );
    let verdict = match code {
        E::NotCoordinator | E::CoordinatorNotAvailable => Verdict::Elsewhere,
        E::ProducerFenced | E::InvalidProducerEpoch => Verdict::Fenced,
        E::UnknownProducerId | E::InvalidProducerIdMapping => Verdict::Forgotten,
        E::TransactionAbortable | E::TopicAuthorizationFailed => Verdict::Fails,
        // How far that came is not known, or it is not ours to do.
        E::UnknownServerError | E::InvalidTxnState | E::TransactionalIdAuthorizationFailed => Verdict::Over,
        E::ClusterAuthorizationFailed | E::UnsupportedVersion => Verdict::Over,
        _ if code.is_retriable() => Verdict::Again,
        // The group does not take these offsets: those of another member, or other ones, may go better.
        _ if is_about_group => Verdict::Fails,
        _ => Verdict::Over,
    };
    match (question, verdict) {
        (Question::Identify { .. }, Verdict::Fails | Verdict::Forgotten) => Verdict::Over,
        (Question::End(_, _, Outcome::Abort), Verdict::Fails) => Verdict::Again,
        // Somebody else has ended it: the coordinator, most likely, when its time was over.
        (Question::End(_, _, Outcome::Commit), _) if code == E::InvalidTxnState => Verdict::Fenced,
        _ => verdict,
    }
}

fn check(code: i16) -> Result<(), ErrorCode> {
    match ErrorCode::told(code) {
        ErrorCode::None => Ok(()),
        code => Err(code),
    }
}

/// All or none: those that nothing is wrong with are told so where another is refused.
fn check_all_added(answer: &AddPartitionsToTxnResponse) -> Result<(), ErrorCode> {
    let partitions = answer.results_by_topic_v3_and_below.iter().flat_map(|it| &it.results_by_partition);
    let refusals = partitions.filter_map(|it| check(it.partition_error_code).err());
    // The most telling one.
    refusals.max_by_key(|code| *code != ErrorCode::OperationNotAttempted).map_or(Ok(()), Err)
}

fn identity(id: i64, epoch: i16) -> Option<Identity> {
    let epoch = (0 <= epoch).then_some(ProducerEpoch(epoch))?;
    Some(Identity { id: ProducerId::from_wire(id)?, epoch })
}
