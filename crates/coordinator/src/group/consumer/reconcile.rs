//! One member's next step towards what it is to get.
//!
//! ```text
//!              nothing to give up, all free
//!           +-------------------------------> Stable   <--+
//!           |                                             | what others had is free
//!   target -+-- something is another's -----> Waiting  ---+
//!           |                                    ^
//!           +-- something to give up ---> Revoking: the member says that it has given it up
//! ```
//!
//! Requests come late, twice and in another order, and what one does not name of a member's partitions the member may have got since. So nobody is believed to have given something
//! up but in an epoch that it hears of by the very answer that tells it to: whoever speaks of that epoch speaks of what came after it. Of members of the classic
//! protocol nobody knows more than what they say as they join.

use klamm_model::TopicPartition;

use super::member::Holding;
use super::partitions::{Owned, Partitions};
use crate::group::GroupError;
use crate::record::Reconciliation;

/// What a member is to get, and what it says.
pub(super) struct Aim<'a> {
    pub(super) target: &'a Partitions,
    pub(super) target_epoch: i32,
    pub(super) voice: Voice,
    /// What it has, if it says so.
    pub(super) owned: Option<&'a Partitions>,
}

/// How a member speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Voice {
    /// It joins by the classic protocol.
    Classic,
    /// It believes to be in this epoch: at least that answer it has got. 0: in none, and it has nothing.
    Epoch(i32),
}

impl Holding {
    /// `None`: nothing changes. `is_free`: no other member has the partition.
    pub(super) fn next(
        &self,
        aim: &Aim<'_>,
        is_free: impl Fn(&TopicPartition) -> bool,
    ) -> Result<Option<Self>, GroupError> {
        let previous_epoch = match aim.voice {
            Voice::Classic => self.epoch,
            Voice::Epoch(epoch) => epoch,
        };
        let mut held = self.assigned.clone();
        match self.state {
            Reconciliation::Stable if self.is_at(aim.target_epoch) => return Ok(None),
            Reconciliation::Revoking if self.has_given_up(aim) => {}
            Reconciliation::Revoking if self.must_begin_anew(aim.voice) => held.extend(&self.revoking),
            Reconciliation::Revoking => return Ok(None),
            // A later version knows what it may have: it must begin anew.
            Reconciliation::Unknown if aim.owned.is_none_or(|owned| !owned.is_empty()) => {
                return Err(GroupError::FencedEpoch { epoch: self.epoch });
            }
            Reconciliation::Unknown => held.extend(&self.revoking),
            Reconciliation::Stable | Reconciliation::Waiting => {}
        }
        let (mut assigned, revoking): (Owned, Owned) =
            held.iter().partition(|(partition, _)| aim.target.contains(partition));
        if !revoking.is_empty() && !self.can_do_without(aim, &revoking) {
            let epoch = match aim.voice {
                Voice::Classic => self.epoch,
                // There is a newer target, or its epoch was made for this.
                Voice::Epoch(_) => (self.epoch + 1).min(aim.target_epoch),
            };
            let state = Reconciliation::Revoking;
            return Ok(Some(Self { epoch, previous_epoch, state, assigned, revoking }));
        }
        let missing = aim.target.iter().filter(|it| !held.contains_key(it));
        let (free, others): (Vec<TopicPartition>, Vec<TopicPartition>) = missing.partition(|it| is_free(it));
        assigned.extend(free.into_iter().map(|it| (it, aim.target_epoch)));
        let next = Self {
            epoch: aim.target_epoch,
            previous_epoch,
            state: if others.is_empty() { Reconciliation::Stable } else { Reconciliation::Waiting },
            assigned,
            revoking: Owned::new(),
        };
        let is_same = Self { previous_epoch: self.previous_epoch, ..next.clone() } == *self;
        Ok(Some(next).filter(|_| !is_same))
    }

    /// Whether the member says that it has what it was told to give up no more, and says it knowing that it was told.
    fn has_given_up(&self, aim: &Aim<'_>) -> bool {
        let is_told = match aim.voice {
            Voice::Classic => true,
            Voice::Epoch(epoch) => epoch == self.epoch,
        };
        match aim.owned {
            Some(owned) => is_told && !owned.iter().any(|it| self.revoking.contains_key(it)),
            // Of this epoch none is told but who joins, with nothing.
            None => is_told && self.previous_epoch == 0,
        }
    }

    /// It joins with nothing, and was in an epoch before. A request of the same kind that comes late would say so too: only in an epoch that it has not heard of yet it is believed.
    pub(super) fn must_begin_anew(&self, voice: Voice) -> bool {
        let is_owing = matches!(self.state, Reconciliation::Revoking | Reconciliation::Unknown);
        voice == Voice::Epoch(0) && is_owing && self.previous_epoch != 0
    }

    /// It need not be told to give them up.
    fn can_do_without(&self, aim: &Aim<'_>, revoking: &Owned) -> bool {
        match aim.voice {
            Voice::Classic => {
                aim.owned.is_some_and(|owned| !owned.iter().any(|it| revoking.contains_key(it)))
            }
            // It is in the place of one that has gone, and nobody has told it what that had.
            Voice::Epoch(_) => self.epoch == 0,
        }
    }
}
