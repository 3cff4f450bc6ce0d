//! Changing the in-sync set: what the leader proposes to the controller, and what becomes of it.
//!
//! A proposal names the partition epoch it was made under, and the controller carries out at most one under each. As long as
//! that epoch stays, every proposal whose refusal is not certain may still be carried out, however late: its members stay in
//! the maximal in-sync set. So a lost answer costs no safety, and is settled by proposing again until the epoch moves.

use klamm_model::{BrokerEpoch, BrokerId, LeaderEpoch, PartitionEpoch, Tick};

use crate::leader::{Follower, Leader};
use crate::replica::{Duty, Progress, Replica};

/// After a refusal or a lost answer the leader waits for so long before it proposes again: about what a controller takes to
/// change or to learn that a broker is back.
const PROPOSE_AGAIN_AFTER_MS: u64 = 100;

/// What a leader wants the controller to commit (`AlterPartition`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IsrProposal {
    /// The in-sync set that is to be. It may equal the committed one: to settle an earlier proposal whose answer was lost.
    pub isr: Vec<IsrMember>,
    /// The epoch the leader leads under.
    pub leader_epoch: LeaderEpoch,
    /// The partition epoch that the proposal builds on. Refused if it is not the current one.
    pub partition_epoch: PartitionEpoch,
}

/// A member of a proposed in-sync set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IsrMember {
    /// The broker.
    pub id: BrokerId,
    /// The registration it last fetched under, so that a broker which restarted since is not taken in (KIP-903). `None` for the
    /// leader itself and where the fetches carried none.
    pub broker_epoch: Option<BrokerEpoch>,
}

/// The set as the controller committed it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IsrChange {
    /// The committed in-sync set.
    pub isr: Vec<BrokerId>,
    /// The leader epoch it belongs to.
    pub leader_epoch: LeaderEpoch,
    /// The partition epoch from then on.
    pub partition_epoch: PartitionEpoch,
}

/// Why a proposal was not carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IsrRefused {
    /// The controller said no: this asking will never be carried out.
    NotApplied,
    /// No answer came, or one that leaves it open. It may have been carried out or may still be.
    Unknown,
}

/// The leader's proposals under one partition epoch.
#[derive(Default)]
pub(crate) struct Proposals {
    /// One has been handed out and not been answered.
    asked: bool,
    /// The answer to one was lost: the members of it stay in the maximal set whatever later ones are told.
    unsettled: bool,
    not_before: Tick,
}

impl Replica {
    /// The change of the in-sync set that is due, if any and if none is under way. Cheap where there is nothing to do; call it
    /// after a follower's fetch and now and then. `may_join` is the controller's rule as far as it is known here: one member that may not be
    /// in sync has the whole set refused, so that somebody dead, who has all that a quiet log has, would keep everybody else out.
    pub fn isr_proposal(&mut self, now: Tick, may_join: impl Fn(&IsrMember) -> bool) -> Option<IsrProposal> {
        let (high_watermark, leader_end) = (self.high_watermark, self.log.written());
        let (me, config, sabotage) = (self.me, self.config, self.sabotage);
        let Duty::Leader(leader) = &mut self.duty else {
            return None;
        };
        if leader.followers.is_empty() || leader.proposals.asked || now < leader.proposals.not_before {
            return None;
        }
        let epoch_start = leader.epoch_start;
        let belongs = |follower: &Follower| {
            // One that takes nothing and has everything is let in: it may have to lead before the next record puts it out.
            if follower.lags(now, leader_end, config) {
                return false;
            }
            follower.in_sync
                || follower.end.is_some_and(|end| {
                    high_watermark <= end && (epoch_start <= end || sabotage.isr_join_below_epoch_start)
                }) && may_join(&follower.as_member())
        };
        let changed = leader.followers.iter().any(|follower| belongs(follower) != follower.in_sync);
        if !changed && !leader.proposals.unsettled {
            return None;
        }
        let mut isr = vec![IsrMember { id: me, broker_epoch: None }];
        for follower in leader.followers.iter_mut().filter(|follower| belongs(follower)) {
            follower.proposed = true;
            isr.push(follower.as_member());
        }
        leader.proposals.asked = true;
        Some(IsrProposal { isr, leader_epoch: leader.epoch, partition_epoch: leader.partition_epoch })
    }

    /// The controller answered `proposal`, or the answer was lost. An answer to one that was overtaken by the metadata changes nothing.
    pub fn isr_answered(
        &mut self,
        now: Tick,
        proposal: &IsrProposal,
        answer: Result<IsrChange, IsrRefused>,
    ) -> Progress {
        let Duty::Leader(leader) = &mut self.duty else {
            return Progress::default();
        };
        if (proposal.leader_epoch, proposal.partition_epoch) != (leader.epoch, leader.partition_epoch) {
            return Progress::default();
        }
        leader.proposals.asked = false;
        match answer {
            Ok(change)
                if change.leader_epoch == leader.epoch && leader.partition_epoch < change.partition_epoch =>
            {
                leader.adopt_isr(now, change.partition_epoch, &change.isr);
            }
            Ok(_) | Err(IsrRefused::Unknown) => {
                leader.proposals.unsettled = true;
                leader.proposals.not_before = now.after_ms(PROPOSE_AGAIN_AFTER_MS);
            }
            Err(IsrRefused::NotApplied) => {
                leader.proposals.not_before = now.after_ms(PROPOSE_AGAIN_AFTER_MS);
                if !leader.proposals.unsettled {
                    leader.forget_proposed();
                }
            }
        }
        self.progress_of_high_watermark()
    }
}

impl Follower {
    fn as_member(&self) -> IsrMember {
        IsrMember { id: self.id, broker_epoch: self.broker_epoch }
    }
}

impl Leader {
    fn forget_proposed(&mut self) {
        for follower in &mut self.followers {
            follower.proposed = false;
        }
    }
}
