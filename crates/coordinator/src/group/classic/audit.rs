//! What must hold of a group whatever happened, for tests.

use super::{Classic, ClassicState, Member};
use crate::record::ClassicGroup;

impl Classic {
    pub(in crate::group) fn audit(&self) {
        let count = |is_it: fn(&Member) -> bool| self.members.values().filter(|it| is_it(it)).count();
        assert_eq!(self.joining_count, count(Member::is_joining), "{self:?}");
        assert_eq!(self.unsynced_count, count(|it| it.owes_sync), "{self:?}");
        assert_eq!(self.size, self.members.values().map(Member::size).sum::<usize>(), "{self:?}");
        assert_eq!(self.instances.len(), count(|it| it.instance_id.is_some()), "{self:?}");
        let supported: usize = self.members.values().map(|it| it.protocols.len()).sum();
        assert_eq!(self.supported.values().sum::<usize>(), supported, "{self:?}");
        match self.state {
            ClassicState::Empty => assert!(self.members.is_empty() && self.leader.is_none(), "{self:?}"),
            ClassicState::PreparingRebalance => {
                assert_eq!(self.joining_count, self.parked_count(), "{self:?}")
            }
            ClassicState::CompletingRebalance => assert_eq!(self.joining_count, 0, "{self:?}"),
            ClassicState::Stable => assert_eq!(self.parked_count(), 0, "{self:?}"),
        }
        if let Some(leader) = &self.leader {
            assert!(self.members.contains_key(leader), "{self:?}");
        }
        if matches!(self.state, ClassicState::CompletingRebalance | ClassicState::Stable) {
            assert!(self.select_protocol().is_some(), "{self:?}");
        }
    }

    pub(in crate::group) fn recorded(&self) -> Option<ClassicGroup> {
        self.is_recorded.then(|| self.record())
    }

    pub(in crate::group) fn parked_count(&self) -> usize {
        self.members.values().filter(|it| it.parked.is_some()).count()
    }

    pub(in crate::group) fn pending_count(&self) -> usize {
        self.pending.len()
    }
}
