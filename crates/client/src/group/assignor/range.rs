//! A run of neighbours of each topic for each member; where racks matter, first what has a replica near the member (KIP-881).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Racks, Share, Subscriber, Topics, name, subscribers};

/// A topic while its partitions are given out.
struct Allotment<'a> {
    topic: &'a Arc<str>,
    racks: &'a [Racks],
    /// Who wants it, in order, with the number of partitions that each has got.
    members: Vec<(usize, usize)>,
    left: BTreeSet<usize>,
    for_each: usize,
    /// How many members may still get one more.
    extras: usize,
    is_rack_aware: bool,
}

pub(super) fn assign(topics: &Topics, members: &[&Subscriber]) -> Vec<Share> {
    let mut shares = vec![Share::new(); members.len()];
    let wanted = subscribers(topics, members).into_iter().filter(|(_, places)| !places.is_empty());
    let mut allotments: Vec<_> =
        wanted.map(|(topic, places)| Allotment::new(topic, &topics.0[topic], &places, members)).collect();
    if allotments.iter().any(|it| it.is_rack_aware) {
        near(&mut allotments, members, &mut shares);
    }
    for it in &mut allotments {
        it.give(|_, _| true, &mut shares);
    }
    shares
}

/// What has a replica in the rack of a member. Topics with the same members and equally many partitions go together, so that partitions of the
/// same number stay with one member.
fn near(allotments: &mut [Allotment<'_>], members: &[&Subscriber], shares: &mut [Share]) {
    let mut alike: BTreeMap<(Vec<usize>, usize), Vec<usize>> = BTreeMap::new();
    for (number, it) in allotments.iter().enumerate() {
        let places = it.members.iter().map(|(place, _)| *place).collect();
        alike.entry((places, it.racks_count(members))).or_default().push(number);
    }
    for ((places, count), numbers) in alike {
        if let [number] = numbers[..] {
            let it = &mut allotments[number];
            if it.is_rack_aware {
                let racks = it.racks;
                it.give(|place, partition| members[place].is_near(&racks[partition]), shares);
            }
            continue;
        }
        for partition in 0..count {
            let has_all_near = |&place: &usize| {
                numbers.iter().all(|&number| {
                    let it = &allotments[number];
                    members[place].is_near(&it.racks[partition]) && it.room(place) > 0
                })
            };
            let Some(place) = places.iter().copied().find(has_all_near) else { continue };
            for &number in &numbers {
                allotments[number].take(place, partition, shares);
            }
        }
    }
}

impl<'a> Allotment<'a> {
    fn new(topic: &'a Arc<str>, racks: &'a [Racks], places: &[usize], members: &[&Subscriber]) -> Self {
        let of_members: Racks = places.iter().filter_map(|&place| members[place].rack.clone()).collect();
        let of_topic: Racks = racks.iter().flatten().cloned().collect();
        // Where every rack has every partition, all are near.
        let is_rack_aware =
            !of_members.is_disjoint(&of_topic) && racks.iter().any(|racks| *racks != of_topic);
        Self {
            topic,
            racks,
            members: places.iter().map(|&place| (place, 0)).collect(),
            left: (0..racks.len()).collect(),
            for_each: racks.len() / places.len(),
            extras: racks.len() % places.len(),
            is_rack_aware,
        }
    }

    /// Topics count as alike by this: where no member has a rack, Kafka knows nothing of their partitions.
    fn racks_count(&self, members: &[&Subscriber]) -> usize {
        let has_rack = self.members.iter().any(|(place, _)| members[*place].rack.is_some());
        if has_rack { self.racks.len() } else { 0 }
    }

    /// How many partitions the member may still get.
    fn room(&self, place: usize) -> usize {
        let (_, has) = self.members.iter().find(|(it, _)| *it == place).expect("it wants the topic");
        (self.for_each + usize::from(self.extras > 0)).saturating_sub(*has)
    }

    fn take(&mut self, place: usize, partition: usize, shares: &mut [Share]) {
        let (_, has) = self.members.iter_mut().find(|(it, _)| *it == place).expect("it wants the topic");
        *has += 1;
        if *has == self.for_each + 1 {
            self.extras -= 1;
        }
        self.left.remove(&partition);
        shares[place].insert(name(self.topic, partition));
    }

    /// To each member in order the first that it may get, as many as it has room for.
    fn give(&mut self, may_get: impl Fn(usize, usize) -> bool, shares: &mut [Share]) {
        let places: Vec<usize> = self.members.iter().map(|(place, _)| *place).collect();
        for place in places {
            let fitting = self.left.iter().copied().filter(|&partition| may_get(place, partition));
            let taken: Vec<usize> = fitting.take(self.room(place)).collect();
            for partition in taken {
                self.take(place, partition, shares);
            }
        }
    }
}
