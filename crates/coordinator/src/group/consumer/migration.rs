//! The group comes from the classic protocol, or goes over to it, with all its members.

use super::member::Holding;
use super::partitions::by_topic;
use super::{Consumer, Partitions};
use crate::Entry;
use crate::group::migration::Migrant;
use crate::record::{ConsumerTarget, GroupRecord, Reconciliation};

impl Consumer {
    /// The members of a classic group, each with the work that it has.
    pub(in crate::group) fn take_over(&mut self, log: &mut Vec<Entry>, epoch: i32, members: Vec<Migrant>) {
        if members.is_empty() {
            return;
        }
        self.put(log, self.record(epoch, 0));
        let group = self.name.to_string();
        for Migrant { id, said, has, gives_up } in members {
            let (group, member) = (group.clone(), id.to_string());
            let value = Some(said);
            self.put(log, GroupRecord::Member { group: group.clone(), member: member.clone(), value });
            let value = Some(by_topic(&has));
            self.put(log, GroupRecord::MemberTarget { group: group.clone(), member: member.clone(), value });
            let is_stable = gives_up.is_empty();
            let has = Holding {
                epoch,
                previous_epoch: epoch,
                state: if is_stable { Reconciliation::Stable } else { Reconciliation::Revoking },
                assigned: has.into_iter().map(|it| (it, epoch)).collect(),
                revoking: gives_up.into_iter().map(|it| (it, epoch)).collect(),
            };
            self.put(log, GroupRecord::Assignment { group, member, value: Some(has.record()) });
        }
        self.put(log, GroupRecord::Target { group, value: Some(ConsumerTarget { epoch, at: None }) });
    }

    pub(in crate::group) fn migrants(&self) -> impl Iterator<Item = Migrant> {
        self.members.iter().map(|(id, member)| Migrant {
            id: id.clone(),
            said: member.said.clone(),
            has: member.has.partitions().collect::<Partitions>(),
            gives_up: Partitions::new(),
        })
    }

    /// The newest epoch that one of its members knows: whoever is there goes on in it.
    pub(in crate::group) fn generation(&self) -> i32 {
        self.members.values().map(|it| it.has.epoch).max().unwrap_or(0).max(1)
    }
}
