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

use klamm_model::TopicPartition;

use super::member::Holding;
use super::partitions::{Owned, Partitions};
use crate::group::GroupError;
use crate::record::Reconciliation;

/// What a member is to get, and what it says.
pub(super) struct Aim<'a> {
    pub(super) target: &'a Partitions,
    pub(super) target_epoch: i32,
    /// The epoch that it believes to be in: at least that answer it has got.
    pub(super) given_epoch: i32,
    /// What it has, if it says so.
    pub(super) owned: Option<&'a Partitions>,
}

impl Holding {
    /// `None`: nothing changes. `is_free`: no other member has the partition.
    pub(super) fn next(
        &self,
        aim: &Aim<'_>,
        is_free: impl Fn(&TopicPartition) -> bool,
    ) -> Result<Option<Self>, GroupError> {
        let has_given_up =
            |all: &Owned| aim.owned.is_some_and(|owned| !owned.iter().any(|it| all.contains_key(it)));
        match self.state {
            Reconciliation::Stable if self.is_at(aim.target_epoch) => return Ok(None),
            Reconciliation::Revoking if !has_given_up(&self.revoking) => return Ok(None),
            // A later version knows what it may have: it must begin anew.
            Reconciliation::Unknown if aim.owned.is_none_or(|owned| !owned.is_empty()) => {
                return Err(GroupError::FencedEpoch { epoch: self.epoch });
            }
            _ => {}
        }
        let (mut assigned, revoking): (Owned, Owned) =
            self.assigned.iter().partition(|(partition, _)| aim.target.contains(partition));
        let state = if !revoking.is_empty() && !has_given_up(&revoking) {
            return Ok(Some(Self {
                epoch: self.epoch,
                previous_epoch: aim.given_epoch,
                state: Reconciliation::Revoking,
                assigned,
                revoking,
            }));
        } else {
            let missing = aim.target.iter().filter(|it| !self.assigned.contains_key(it));
            let (free, others): (Vec<TopicPartition>, Vec<TopicPartition>) =
                missing.partition(|it| is_free(it));
            assigned.extend(free.into_iter().map(|it| (it, aim.target_epoch)));
            if others.is_empty() { Reconciliation::Stable } else { Reconciliation::Waiting }
        };
        let next = Self {
            epoch: aim.target_epoch,
            previous_epoch: aim.given_epoch,
            state,
            assigned,
            revoking: Owned::new(),
        };
        let is_same = Self { previous_epoch: self.previous_epoch, ..next.clone() } == *self;
        Ok(Some(next).filter(|_| !is_same))
    }
}
