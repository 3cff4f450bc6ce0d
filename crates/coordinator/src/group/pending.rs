//! Clients that were told an id and have not come with it, in all groups of a shard.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many there may be: more than ever start at once. One more, and somebody else is forgotten.
pub(super) const PENDING_MEMBERS_MAX: usize = 10_000;

/// Who came when. What is known of them otherwise is their groups'.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// By group, and in the order in which they came.
    groups: BTreeMap<Arc<str>, BTreeMap<Place, Arc<str>>>,
    /// The last is the group that has most of them; of several, the one that has the oldest.
    ranks: BTreeMap<(usize, Reverse<Place>), Arc<str>>,
    count: usize,
    last: Place,
}

/// Who came later has a higher one. No two have the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct Place(u64);

impl Pending {
    pub(super) fn add(&mut self, group: &Arc<str>, member: &Arc<str>) -> Place {
        self.last.0 += 1;
        let place = self.last;
        self.change(group, |members| drop(members.insert(place, member.clone())));
        place
    }

    pub(super) fn remove(&mut self, group: &Arc<str>, place: Place) {
        self.change(group, |members| drop(members.remove(&place)));
    }

    /// Who has to go, if there is one too many. It comes from the group that has most, so that a client that only ever asks for ids costs other groups nothing; and has been away for
    /// longest, so that in its own group those that do come mostly find their places.
    pub(super) fn surplus(&self) -> Option<(Arc<str>, Arc<str>)> {
        if self.count <= PENDING_MEMBERS_MAX {
            return None;
        }
        let (_, group) = self.ranks.last_key_value()?;
        let (_, member) = self.groups[group].first_key_value()?;
        Some((group.clone(), member.clone()))
    }

    fn change(&mut self, group: &Arc<str>, f: impl FnOnce(&mut BTreeMap<Place, Arc<str>>)) {
        let mut members = self.groups.remove(group).unwrap_or_default();
        if let Some(rank) = rank(&members) {
            self.ranks.remove(&rank);
        }
        self.count -= members.len();
        f(&mut members);
        self.count += members.len();
        if let Some(rank) = rank(&members) {
            self.ranks.insert(rank, group.clone());
            self.groups.insert(group.clone(), members);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.count, self.groups.values().map(BTreeMap::len).sum::<usize>(), "{self:?}");
        assert_eq!(self.ranks.len(), self.groups.len(), "{self:?}");
        self.count
    }
}

fn rank(members: &BTreeMap<Place, Arc<str>>) -> Option<(usize, Reverse<Place>)> {
    members.first_key_value().map(|(oldest, _)| (members.len(), Reverse(*oldest)))
}
