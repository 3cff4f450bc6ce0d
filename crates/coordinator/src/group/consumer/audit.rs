//! What must hold of a group whatever happened, for tests.

use super::Consumer;
use super::partitions::by_topic;
use crate::record::{ConsumerTarget, GroupRecord, Reconciliation};

impl Consumer {
    pub(in crate::group) fn audit(&self) {
        let held: usize = self.members.values().map(|it| it.has.partitions().count()).sum();
        assert_eq!(self.owners.len(), held, "a partition has two owners, or none: {self:?}");
        for (id, member) in &self.members {
            assert!(member.has.partitions().all(|it| self.owners[&it] == *id), "{self:?}");
            let is_revoking = member.has.state == Reconciliation::Revoking;
            assert_eq!(is_revoking, !member.has.revoking.is_empty(), "{self:?}");
            assert!(member.has.epoch <= self.target.epoch, "{self:?}");
            if member.has.is_at(self.target.epoch) {
                assert!(member.has.assigned.keys().eq(&member.target), "{self:?}");
            }
        }
        assert!(self.target.epoch <= self.epoch, "{self:?}");
        let statics = self.members.values().filter(|it| it.said.instance_id.is_some()).count();
        assert_eq!(self.instances.len(), statics, "{self:?}");
        let targets: usize = self.members.values().map(|it| it.target.len()).sum();
        let distinct: std::collections::BTreeSet<_> =
            self.members.values().flat_map(|it| &it.target).collect();
        assert_eq!(targets, distinct.len(), "a partition is to have two owners: {self:?}");
    }

    /// Everything that the log must say of it.
    pub(in crate::group) fn recorded(&self) -> Vec<GroupRecord> {
        let group = || self.name.to_string();
        let members = self.members.iter().flat_map(|(id, it)| {
            [
                GroupRecord::Member { group: group(), member: id.to_string(), value: Some(it.said.clone()) },
                GroupRecord::MemberTarget {
                    group: group(),
                    member: id.to_string(),
                    value: Some(by_topic(&it.target)),
                },
                GroupRecord::Assignment {
                    group: group(),
                    member: id.to_string(),
                    value: Some(it.has.record()),
                },
            ]
        });
        let regexes = self.regexes.iter().map(|(regex, it)| GroupRecord::Regex {
            group: group(),
            regex: regex.clone(),
            value: Some(it.clone()),
        });
        // A record cannot say that it was at the beginning of time, where tests begin.
        let at = self.target.at.filter(|at| at.0 != 0);
        let target =
            GroupRecord::Target { group: group(), value: Some(ConsumerTarget { at, ..self.target.clone() }) };
        let whole = self.record(self.epoch, self.topics_hash);
        members.chain(regexes).chain([target, whole]).collect()
    }
}
